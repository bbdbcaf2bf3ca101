//! The binary as processes: a server, and commands against it.

use std::io::{BufRead as _, BufReader, Write as _};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use serde_json::Value;

const BINARY: &str = env!("CARGO_BIN_EXE_countersign");
const JWT_SECRET: &str = "jwt-secret-of-thirty-two-bytes-or-more";
/// The hashes in the tests are made with it.
pub const IV_SECRET: &str = "iv_your-secret-key-of-thirty-two-bytes";

/// The application of `serve --dev`, for configurations that say more.
const DEMO: &str = r#"
[applications.demo]
profile = "featurebase"
[applications.demo.keys.jwt]
purpose = "jwt"
secret = { env = "COUNTERSIGN_DEMO_JWT_SECRET" }
[applications.demo.keys.iv]
purpose = "legacy"
secret = { env = "COUNTERSIGN_DEMO_IV_SECRET" }
"#;

/// Writes a configuration into the folder: what is said, with the folder in place of `FOLDER`, and the application `demo`.
pub fn configure(folder: &Path, said: &str) -> PathBuf {
    let path = folder.join("countersign.toml");
    std::fs::write(&path, said.replace("FOLDER", folder.to_str().unwrap()) + DEMO).unwrap();
    path
}

/// A server, which ends with the test.
pub struct Server {
    child: Child,
    pub address: String,
}

impl Server {
    pub fn dev() -> Self {
        Self::start(&["--dev"])
    }

    #[expect(clippy::zombie_processes, reason = "it is killed and waited for when dropped")]
    pub fn start(arguments: &[&str]) -> Self {
        let mut child = command()
            .args(["serve", "--listen", "127.0.0.1:0"])
            .args(arguments)
            .stderr(Stdio::piped())
            .stdout(Stdio::null())
            .spawn()
            .unwrap();
        let mut log = BufReader::new(child.stderr.take().unwrap());
        let mut seen = String::new();
        loop {
            let mut line = String::new();
            assert_ne!(log.read_line(&mut line).unwrap(), 0, "the server ended: {seen}");
            if let Some(address) = line.trim().strip_prefix("listening on ") {
                // The server goes on to log, and would wait for a reader.
                std::thread::spawn(move || std::io::copy(&mut log, &mut std::io::sink()));
                return Self { child, address: address.to_owned() };
            }
            seen.push_str(&line);
        }
    }

    /// Asks it to end (SIGTERM), and says with which status it did.
    pub fn terminate(mut self) -> Option<i32> {
        let asked = Command::new("sh").args(["-c", &format!("kill {}", self.child.id())]).status().unwrap();
        assert!(asked.success());
        self.child.wait().unwrap().code()
    }

    /// Runs a client command against it.
    pub fn run(&self, arguments: &[&str]) -> Ended {
        self.fed("", arguments)
    }

    /// The same with something on standard input.
    pub fn fed(&self, input: &str, arguments: &[&str]) -> Ended {
        let mut command = command();
        command.env("COUNTERSIGN_SERVER", &self.address).env("COUNTERSIGN_APPLICATION", "demo");
        ended(command.args(arguments), input)
    }

    /// The bare value that a command prints.
    pub fn value(&self, arguments: &[&str]) -> String {
        let ended = self.run(arguments);
        assert_eq!(ended.status, 0, "{ended:?}");
        assert_eq!(ended.output.lines().count(), 1, "{ended:?}");
        ended.output.trim_end().to_owned()
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        drop(self.child.kill());
        drop(self.child.wait());
    }
}

/// How a command ended and what it said.
#[derive(Debug)]
pub struct Ended {
    pub status: i32,
    pub output: String,
    pub remarks: String,
}

impl Ended {
    pub fn json(&self) -> Value {
        serde_json::from_str(&self.output).unwrap_or_else(|error| panic!("{error}: {self:?}"))
    }
}

/// The binary, with nothing of this process's environment that it would heed.
pub fn command() -> Command {
    let mut command = Command::new(BINARY);
    for (name, _) in std::env::vars_os() {
        if name.to_string_lossy().starts_with("COUNTERSIGN") {
            command.env_remove(name);
        }
    }
    command.env("COUNTERSIGN_DEMO_JWT_SECRET", JWT_SECRET).env("COUNTERSIGN_DEMO_IV_SECRET", IV_SECRET);
    command
}

pub fn ended(command: &mut Command, input: &str) -> Ended {
    let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    // A command that reads no input may be gone already.
    drop(child.stdin.take().unwrap().write_all(input.as_bytes()));
    let output = child.wait_with_output().unwrap();
    Ended {
        status: output.status.code().expect("ended by itself"),
        output: String::from_utf8(output.stdout).unwrap(),
        remarks: String::from_utf8(output.stderr).unwrap(),
    }
}

pub fn alone(arguments: &[&str]) -> Ended {
    ended(command().args(arguments), "")
}
