//! MariaDB, which stands for MySQL too: a server with the user `root`, that may do anything, and the database `test`.

use std::process::Command;

use tempfile::TempDir;

use crate::process::{is_root, until_stopped};
use crate::{Certificates, Daemon, free_port, until};

/// A running MariaDB. Ends with the value.
#[derive(Debug)]
pub struct MariaDb {
    /// None only while it restarts.
    daemon: Option<Daemon>,
    port: u16,
    folder: TempDir,
    tls: Vec<String>,
}

/// The user, without a password, that the server runs as and that may do anything in it.
const ROOT: &str = "root";

impl MariaDb {
    /// Starts it without TLS.
    pub fn start() -> Self {
        Self::with(Vec::new())
    }

    /// Starts it with TLS for those who want it, as the certificate of this name.
    pub fn with_tls(certificates: &Certificates, name: &str) -> Self {
        let file = |option: &str, file: String| format!("--ssl-{option}={}", certificates.text(&file));
        Self::with(vec![file("cert", format!("{name}.pem")), file("key", format!("{name}.key"))])
    }

    fn with(tls: Vec<String>) -> Self {
        let folder = tempfile::tempdir().unwrap();
        std::fs::create_dir(folder.path().join("data")).unwrap();
        let mut mariadb = Self { daemon: None, port: free_port(), folder, tls };
        let mut install = Command::new("mariadb-install-db");
        install.args(["--no-defaults", "--auth-root-authentication-method=normal", "--skip-test-db"]);
        install.args(mariadb.options());
        let output = install.output().expect("install the Debian package mariadb-server, or run tests/run");
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        mariadb.run();
        mariadb.sql("create database test");
        mariadb
    }

    fn run(&mut self) {
        let log = tempfile::tempdir().unwrap();
        let daemon = Daemon::start(("mariadbd", "mariadb-server"), log, self.port, |_, daemon| {
            daemon.arg("--no-defaults").args(self.options()).args(&self.tls);
            daemon.args(["--bind-address=127.0.0.1", &format!("--port={}", self.port), "--skip-name-resolve"]);
            // One value may have 100 MB.
            daemon.arg("--max-allowed-packet=1G");
        });
        self.daemon = Some(daemon);
        until("MariaDB", || self.client("select 1").is_ok());
    }

    /// Where it keeps what, and that it need only survive its own end, not the machine's.
    fn options(&self) -> Vec<String> {
        let own = |option: &str, name: &str| format!("--{option}={}", self.folder.path().join(name).display());
        let mut options =
            vec![own("datadir", "data"), own("socket", "socket"), own("tmpdir", ""), own("pid-file", "pid")];
        options.push("--innodb-flush-method=nosync".to_owned());
        // Root has to say that the server may run as root.
        options.extend(is_root().then(|| "--user=root".to_owned()));
        options
    }

    /// Runs statements as the user `root`, and gives what they print: a line for each row, columns apart by tabs.
    pub fn sql(&self, statements: &str) -> String {
        self.client(statements).unwrap_or_else(|error| panic!("{error}"))
    }

    fn client(&self, statements: &str) -> Result<String, String> {
        let mut client = Command::new("mariadb");
        client.args(["--no-defaults", "--default-character-set=utf8mb4", "-N", "-B", "-u", ROOT, "-h", "127.0.0.1"]);
        let output = client.arg(format!("-P{}", self.port)).arg("-e").arg(statements).output().unwrap();
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).trim_end().to_owned();
        if output.status.success() { Ok(text(&output.stdout)) } else { Err(text(&output.stderr)) }
    }

    /// The address for the user `root`.
    pub fn url(&self) -> String {
        self.url_of(ROOT, "")
    }

    /// The address for another user.
    pub fn url_of(&self, user: &str, password: &str) -> String {
        format!("mysql://{user}:{password}@127.0.0.1:{}/test", self.port)
    }

    pub const fn port(&self) -> u16 {
        self.port
    }

    /// Makes the server hang: connections open, and nothing is answered.
    pub fn pause(&self) {
        self.daemon.as_ref().unwrap().signal("STOP");
        until_stopped(std::fs::read_to_string(self.folder.path().join("pid")).unwrap().trim());
    }

    /// Goes on after [`pause`](Self::pause).
    pub fn resume(&self) {
        self.daemon.as_ref().unwrap().signal("CONT");
    }

    /// Ends it without a word to anybody, and starts it on the same port with the same data.
    pub fn restart(&mut self) {
        self.daemon = None;
        self.run();
    }
}
