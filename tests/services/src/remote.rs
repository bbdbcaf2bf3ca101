//! The examples of remote claim sources, `plugins/examples`, as processes on a Unix socket.

use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::OnceLock;

use tempfile::TempDir;

use crate::process::until_stopped;
use crate::until;

/// Which of the examples.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Example {
    Python,
    Go,
}

impl Example {
    /// The program that starts it: the value of `COUNTERSIGN_EXAMPLE_PYTHON` or `COUNTERSIGN_EXAMPLE_GO`, else what
    /// `plugins/examples/build` makes.
    pub fn program(self) -> PathBuf {
        static PYTHON: OnceLock<PathBuf> = OnceLock::new();
        static GO: OnceLock<PathBuf> = OnceLock::new();
        let (name, variable, program) = match self {
            Self::Python => ("python", "COUNTERSIGN_EXAMPLE_PYTHON", &PYTHON),
            Self::Go => ("go", "COUNTERSIGN_EXAMPLE_GO", &GO),
        };
        program.get_or_init(|| std::env::var_os(variable).map_or_else(|| build(name), PathBuf::from)).clone()
    }
}

/// Runs `plugins/examples/build` and takes the program that it names.
fn build(name: &str) -> PathBuf {
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../plugins/examples/build");
    let output = Command::new(&script).arg(name).output().unwrap();
    let told = String::from_utf8_lossy(&output.stderr);
    assert!(
        output.status.success(),
        "the example in {name} cannot be built; tests/run installs what it needs:\n{told}"
    );
    let line = String::from_utf8(output.stdout).unwrap();
    PathBuf::from(line.trim_end().split_once('=').unwrap().1)
}

/// A running example and its folder, with the users that it knows. Ends with the value.
#[derive(Debug)]
pub struct Remote {
    example: Example,
    folder: TempDir,
    child: Child,
}

impl Remote {
    /// Starts an example that knows these users, a JSON object of user id to claims, and waits until it takes
    /// connections.
    pub fn start(example: Example, users: &str) -> Self {
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join("users.json"), users).unwrap();
        let child = spawn(example, folder.path());
        Self { example, folder, child }
    }

    /// Where it listens, for `address`.
    pub fn address(&self) -> String {
        format!("unix:{}", self.socket().display())
    }

    pub fn socket(&self) -> PathBuf {
        self.folder.path().join("socket")
    }

    /// Sends a signal by name: `STOP` makes it hang, `CONT` wakes it, `KILL` and `TERM` end it.
    pub fn signal(&self, name: &str) {
        let status = Command::new("kill").arg(format!("-{name}")).arg(self.child.id().to_string()).status();
        assert!(status.unwrap().success());
        if name == "STOP" {
            // Its threads go on for a moment, and would still answer.
            until_stopped(&self.child.id().to_string());
        }
    }

    /// Waits until it has ended.
    pub fn ended(&mut self) -> ExitStatus {
        let mut status = None;
        until("the end of the process", || {
            status = self.child.try_wait().unwrap();
            status.is_some()
        });
        status.unwrap()
    }

    /// Starts it again, after it has ended, on the same socket.
    pub fn start_again(&mut self) {
        self.child = spawn(self.example, self.folder.path());
    }
}

fn spawn(example: Example, folder: &Path) -> Child {
    let socket = folder.join("socket");
    let mut command = Command::new(example.program());
    command.arg("--socket").arg(&socket).arg("--users").arg(folder.join("users.json")).stdin(Stdio::null());
    let mut child = command.spawn().unwrap();
    until("an example that serves", || {
        assert!(child.try_wait().unwrap().is_none(), "the example ended; what it said is above");
        UnixStream::connect(&socket).is_ok()
    });
    child
}

impl Drop for Remote {
    fn drop(&mut self) {
        // A stopped process cannot end in an orderly way; it holds nothing that matters.
        drop(self.child.kill());
        drop(self.child.wait());
    }
}
