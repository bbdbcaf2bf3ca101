//! PostgreSQL: a server with the role `postgres`, that may do anything, and the database `postgres`.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use tempfile::TempDir;

use crate::process::{children, is_root, succeed, until_ended, until_stopped};
use crate::{Certificates, Daemon, free_port, until};

/// A running PostgreSQL. Ends with the value.
#[derive(Debug)]
pub struct Postgres {
    /// None only while it restarts.
    daemon: Option<Daemon>,
    port: u16,
    /// Has the data and the socket.
    folder: TempDir,
}

/// The password of the role `postgres`.
const PASSWORD: &str = "secret";

impl Postgres {
    /// Starts it without TLS.
    pub fn start() -> Self {
        Self::with(None)
    }

    /// Starts it with TLS for those who want it, as the certificate of this name.
    pub fn with_tls(certificates: &Certificates, name: &str) -> Self {
        Self::with(Some((certificates, name)))
    }

    fn with(certificate: Option<(&Certificates, &str)>) -> Self {
        let folder = tempfile::tempdir().unwrap();
        give(folder.path());
        std::fs::write(folder.path().join("password"), PASSWORD).unwrap();
        let mut initdb = program("initdb");
        initdb.current_dir(folder.path());
        initdb.args("-D data -U postgres -E UTF8 --locale C --no-sync --pwfile password".split(' '));
        succeed(initdb.args(["--auth-local=trust", "--auth-host=scram-sha-256"]));
        if let Some((certificates, name)) = certificate {
            for (extension, into) in [("pem", "server.crt"), ("key", "server.key")] {
                let path = folder.path().join("data").join(into);
                std::fs::copy(certificates.path(&format!("{name}.{extension}")), &path).unwrap();
                give(&path);
                succeed(Command::new("chmod").arg("600").arg(&path));
            }
        }
        let mut postgres = Self { daemon: None, port: free_port(), folder };
        postgres.run();
        postgres
    }

    /// Starts the server itself, as a user that it agrees to run as.
    fn run(&mut self) {
        let data = self.data();
        let tls = if data.join("server.crt").exists() { "on" } else { "off" };
        let command = program("postgres");
        let name = command.get_program().to_string_lossy().into_owned();
        let daemon = Daemon::start((&name, "postgresql"), tempfile::tempdir().unwrap(), self.port, |_, daemon| {
            daemon.args(command.get_args()).arg("-D").arg(&data).arg("-k").arg(self.folder.path());
            daemon.args(["-h", "127.0.0.1", "-p", &self.port.to_string(), "-F", "-c", &format!("ssl={tls}")]);
        });
        self.daemon = Some(daemon);
        until("PostgreSQL", || self.psql("select 1").is_ok());
    }

    /// Runs statements as the role `postgres`, and gives what they print: a line for each row, columns apart by `|`.
    pub fn sql(&self, statements: &str) -> String {
        self.psql(statements).unwrap_or_else(|error| panic!("{error}"))
    }

    fn psql(&self, statements: &str) -> Result<String, String> {
        let mut psql = program("psql");
        psql.args(["-X", "-q", "-A", "-t", "-v", "ON_ERROR_STOP=1", "-U", "postgres", "-h"]).arg(self.folder.path());
        let output = psql.args(["-p", &self.port.to_string(), "-c", statements]).output().unwrap();
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).trim_end().to_owned();
        if output.status.success() { Ok(text(&output.stdout)) } else { Err(text(&output.stderr)) }
    }

    /// The address for the role `postgres`.
    pub fn url(&self) -> String {
        self.url_of("postgres", PASSWORD)
    }

    /// The address for another role.
    pub fn url_of(&self, role: &str, password: &str) -> String {
        format!("postgres://{role}:{password}@127.0.0.1:{}/postgres", self.port)
    }

    /// The folder of its Unix socket, which lets in everybody.
    pub fn socket(&self) -> &Path {
        self.folder.path()
    }

    pub const fn port(&self) -> u16 {
        self.port
    }

    /// Makes the server hang: connections open, and nothing is answered.
    pub fn pause(&self) {
        self.signal("STOP").iter().for_each(|process| until_stopped(process));
    }

    /// Goes on after [`pause`](Self::pause).
    pub fn resume(&self) {
        self.signal("CONT");
    }

    /// Ends it, without a word to anybody.
    pub fn kill(&mut self) {
        let processes = self.signal("KILL");
        self.daemon = None;
        processes.iter().for_each(|process| until_ended(process));
    }

    /// Ends it if it runs, and starts it on the same port with the same data.
    pub fn restart(&mut self) {
        self.stop("fast");
        self.run();
    }

    fn stop(&mut self, mode: &str) {
        if self.daemon.is_some() {
            self.resume();
            let mut stop = program("pg_ctl");
            stop.arg("-D").arg(self.data()).args(["stop", "-w", "-m", mode]).stdout(Stdio::null());
            drop(stop.status());
            self.daemon = None;
        }
    }

    fn data(&self) -> PathBuf {
        self.folder.path().join("data")
    }

    /// To the server and the processes that serve its connections, which are given back.
    fn signal(&self, name: &str) -> BTreeSet<String> {
        let Some(daemon) = &self.daemon else { return BTreeSet::new() };
        // A server that ends loses its children, and one that has not stopped yet makes more.
        let mut processes = BTreeSet::from_iter(children(&self.id()));
        daemon.signal(name);
        processes.extend(children(&self.id()));
        for process in &processes {
            // It may have ended by itself.
            drop(Command::new("kill").arg(format!("-{name}")).arg(process).stderr(Stdio::null()).status());
        }
        processes.insert(self.id());
        processes
    }

    /// The process of the server itself.
    fn id(&self) -> String {
        let file = std::fs::read_to_string(self.data().join("postmaster.pid")).unwrap_or_default();
        file.lines().next().unwrap_or_default().to_owned()
    }
}

impl Drop for Postgres {
    fn drop(&mut self) {
        self.stop("immediate");
    }
}

/// A program of PostgreSQL. It refuses to run as root, so root runs it as the user `postgres`.
fn program(name: &str) -> Command {
    let versions = std::fs::read_dir("/usr/lib/postgresql").into_iter().flatten().flatten();
    let newest =
        versions.map(|entry| entry.path()).max().expect("install the Debian package postgresql, or run tests/run");
    let path = newest.join("bin").join(name);
    if !is_root() {
        return Command::new(path);
    }
    let mut command = Command::new("setpriv");
    command.args(["--reuid=postgres", "--regid=postgres", "--init-groups"]).arg(path);
    command
}

/// Gives a file to the user that the server runs as.
fn give(path: &Path) {
    if is_root() {
        succeed(Command::new("chown").arg("postgres").arg(path));
    }
}
