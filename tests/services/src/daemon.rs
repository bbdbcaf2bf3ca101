//! A child process that listens on a port.

use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

use tempfile::TempDir;

use crate::process::until_stopped;

/// How long a server may take until it answers: the machines of a CI are slow, and a server that never does is a bug.
const PATIENCE: Duration = Duration::from_secs(60);

/// A running server and its folder. Ends with the value.
#[derive(Debug)]
pub struct Daemon {
    child: Child,
    pub address: SocketAddr,
    folder: TempDir,
}

/// The ports to choose from. Linux gives 32768 and more to outgoing connections, and one of those could take a port
/// between the moment it is chosen and the moment that the server listens.
const PORTS: Range<u16> = 10_000..32_000;

/// A port of loopback that nobody listens on now, and that this process did not choose a moment ago.
pub fn free_port() -> u16 {
    static CHOSEN: AtomicU32 = AtomicU32::new(0);
    let (first, many) = (u32::from(PORTS.start), u32::from(PORTS.end - PORTS.start));
    loop {
        // Processes that run at the same time begin at different places.
        let at = (std::process::id() * 197 + CHOSEN.fetch_add(1, Ordering::Relaxed)) % many;
        let port = u16::try_from(first + at).unwrap();
        if TcpListener::bind((Ipv4Addr::LOCALHOST, port)).is_ok() {
            return port;
        }
    }
}

/// Tries until something holds; a server that starts or recovers tells no other way.
#[track_caller]
pub fn until(what: &str, mut holds: impl FnMut() -> bool) {
    let began = Instant::now();
    while !holds() {
        assert!(began.elapsed() < PATIENCE, "{what} did not come about within {PATIENCE:?}");
        std::thread::park_timeout(Duration::from_millis(20));
    }
}

impl Daemon {
    /// Starts `program` in a folder of its own and waits until it takes connections. `arguments` is given the folder and
    /// the port. `package` is the Debian package to name where the program is not installed.
    pub fn start(
        (program, package): (&str, &str),
        folder: TempDir,
        port: u16,
        arguments: impl FnOnce(&Path, &mut Command),
    ) -> Self {
        let mut command = Command::new(program);
        command.current_dir(folder.path()).stdin(Stdio::null());
        let log = std::fs::File::create(folder.path().join("log")).unwrap();
        command.stdout(log.try_clone().unwrap()).stderr(log);
        arguments(folder.path(), &mut command);
        let child = command.spawn().unwrap_or_else(|error| {
            panic!("{program} cannot be started ({error}): install the Debian package {package}, or run tests/run")
        });
        let address = SocketAddr::from((Ipv4Addr::LOCALHOST, port));
        let mut daemon = Self { child, address, folder };
        let began = Instant::now();
        while TcpStream::connect(address).is_err() {
            let ended = daemon.child.try_wait().unwrap();
            let late = began.elapsed() >= PATIENCE;
            assert!(ended.is_none() && !late, "{program} does not serve ({ended:?}):\n{}", daemon.log());
            std::thread::park_timeout(Duration::from_millis(20));
        }
        daemon
    }

    pub fn port(&self) -> u16 {
        self.address.port()
    }

    pub fn folder(&self) -> PathBuf {
        self.folder.path().to_owned()
    }

    /// What the server said.
    pub fn log(&self) -> String {
        std::fs::read_to_string(self.folder.path().join("log")).unwrap_or_default()
    }

    /// Sends a signal by name: `STOP` makes a server hang, `CONT` wakes it, `KILL` ends it.
    pub fn signal(&self, name: &str) {
        let status = Command::new("kill").arg(format!("-{name}")).arg(self.child.id().to_string()).status();
        assert!(status.unwrap().success());
        if name == "STOP" {
            // Its threads go on for a moment, and would still answer.
            until_stopped(&self.child.id().to_string());
        }
    }
}

impl Drop for Daemon {
    fn drop(&mut self) {
        // A stopped process cannot end in an orderly way; none of these servers holds anything that matters.
        drop(self.child.kill());
        drop(self.child.wait());
    }
}
