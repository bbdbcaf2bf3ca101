//! Redis: one server, with users or TLS where they are wanted; a primary and a replica that a Sentinel watches; and a
//! Cluster of three primaries.

use std::cell::Cell;
use std::net::TcpStream;
use std::process::Command;

use crate::{Certificates, Daemon, free_port, until};

/// How long a server of a Cluster, or one that is watched, is silent until it counts as down, in milliseconds.
const DOWN_AFTER: &str = "3000";

/// Looks after which an election of a Cluster is held at once.
const PATIENCE: usize = 400;
/// A replica is sent its data at once. A primary waits five seconds for more of them otherwise.
const AT_ONCE: [&str; 2] = ["--repl-diskless-sync-delay", "0"];

/// A running server. Ends with the value.
#[derive(Debug)]
pub struct Redis {
    daemon: Daemon,
    options: Vec<String>,
    /// What `redis-cli` needs to be let in.
    client: Vec<String>,
}

impl Redis {
    /// A server that lets everybody in and keeps nothing on disk.
    pub fn start() -> Self {
        Self::with(&[])
    }

    /// A server with more options, such as `--maxclients 10`.
    pub fn with(options: &[&str]) -> Self {
        let port = free_port();
        Self::listening(port, &[&["--port", &port.to_string()], options].concat(), &[])
    }

    /// A server that speaks TLS alone, with the certificate of that name: `server` or `other`. It asks for a client
    /// certificate, and takes none that its authority did not sign.
    pub fn with_tls(certificates: &Certificates, name: &str) -> Self {
        let (port, file) = (free_port(), |name: &str| certificates.text(name));
        let (ca, cert, key) = (file("ca.pem"), file(&format!("{name}.pem")), file(&format!("{name}.key")));
        let number = port.to_string();
        let listens = ["--port", "0", "--tls-port", &number, "--tls-ca-cert-file", &ca];
        let shows = ["--tls-cert-file", &cert, "--tls-key-file", &key];
        let (cert, key) = (file("client.pem"), file("client.key"));
        let client = ["--tls", "--cacert", &ca, "--cert", &cert, "--key", &key];
        Self::listening(port, &[&listens[..], &shows].concat(), &client)
    }

    fn listening(port: u16, options: &[&str], client: &[&str]) -> Self {
        let own = |texts: &[&str]| texts.iter().map(|text| (*text).to_owned()).collect();
        let options: Vec<String> = own(options);
        Self { daemon: daemon(port, &options), options, client: own(client) }
    }

    pub fn port(&self) -> u16 {
        self.daemon.port()
    }

    /// Its address without a user, for everybody or with TLS.
    pub fn url(&self) -> String {
        let scheme = if self.client.iter().any(|word| word == "--tls") { "rediss" } else { "redis" };
        format!("{scheme}://127.0.0.1:{}", self.port())
    }

    /// Runs a command as `redis-cli` does, and gives what it prints.
    pub fn run(&self, command: &[&str]) -> String {
        let mut cli = Command::new("redis-cli");
        cli.args(["-e", "-p", &self.port().to_string()]).args(&self.client).args(command);
        let output = cli.output().expect("redis-cli is not installed: run tests/run");
        let printed = String::from_utf8_lossy(&output.stdout).trim_end().to_owned();
        assert!(output.status.success(), "{command:?}: {printed}{}", String::from_utf8_lossy(&output.stderr));
        printed
    }

    /// Makes it hang: connections are taken, and nothing is answered.
    pub fn pause(&self) {
        self.daemon.signal("STOP");
    }

    /// Lets it go on after [`pause`](Self::pause).
    pub fn resume(&self) {
        self.daemon.signal("CONT");
    }

    /// Ends it at once. Nobody listens any more when this returns.
    pub fn kill(&self) {
        self.daemon.signal("KILL");
        until("a killed server", || TcpStream::connect(self.daemon.address).is_err());
    }

    /// Ends it, where it runs, and starts it on the same port, empty.
    pub fn restart(&mut self) {
        self.kill();
        self.daemon = daemon(self.port(), &self.options);
    }

    fn is_in_a_whole_cluster(&self) -> bool {
        self.run(&["CLUSTER", "INFO"]).contains("cluster_state:ok")
    }

    /// A value of `INFO`.
    fn info(&self, name: &str) -> String {
        let info = self.run(&["INFO"]);
        let value = info.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':'));
        value.unwrap_or_default().trim_end().to_owned()
    }
}

fn daemon(port: u16, options: &[String]) -> Daemon {
    let folder = tempfile::tempdir().unwrap();
    Daemon::start(("redis-server", "redis-server"), folder, port, |_, command| {
        command.args(["--bind", "127.0.0.1", "--save", ""]).args(options);
    })
}

/// A primary, its replica, and a Sentinel that makes the replica the primary when the other is down.
#[derive(Debug)]
pub struct RedisSentinel {
    pub primary: Redis,
    pub replica: Redis,
    sentinel: Redis,
}

impl RedisSentinel {
    /// What the Sentinel calls the primary.
    pub const MASTER_NAME: &'static str = "profiles";
    /// The password of the primary and the replica.
    pub const PASSWORD: &'static str = "watched-s3cret";
    /// The password of the Sentinel.
    pub const SENTINEL_PASSWORD: &'static str = "sentinel-s3cret";

    /// Starts the three and waits until a failover is possible.
    pub fn start() -> Self {
        let both = ["--requirepass", Self::PASSWORD, "--masterauth", Self::PASSWORD, AT_ONCE[0], AT_ONCE[1]];
        let client = ["-a", Self::PASSWORD, "--no-auth-warning"];
        let start = |more: &[&str]| {
            let port = free_port();
            Redis::listening(port, &[&["--port", &port.to_string()], &both[..], more].concat(), &client)
        };
        let primary = start(&[]);
        let replica = start(&["--replicaof", "127.0.0.1", &primary.port().to_string()]);
        until("a replica", || replica.info("master_link_status") == "up");

        let sentinel = Self::sentinel(primary.port());
        until("a replica that the Sentinel knows", || {
            let replicas = sentinel.run(&["SENTINEL", "REPLICAS", Self::MASTER_NAME]);
            replicas.contains("master-link-status\nok")
        });
        Self { primary, replica, sentinel }
    }

    fn sentinel(primary: u16) -> Redis {
        let (name, password, own) = (Self::MASTER_NAME, Self::PASSWORD, Self::SENTINEL_PASSWORD);
        let folder = tempfile::tempdir().unwrap();
        let port = free_port();
        let configuration = format!(
            "port {port}\nbind 127.0.0.1\nrequirepass {own}\n\
             sentinel monitor {name} 127.0.0.1 {primary} 1\nsentinel auth-pass {name} {password}\n\
             sentinel down-after-milliseconds {name} {DOWN_AFTER}\nsentinel failover-timeout {name} 3000\n"
        );
        let daemon = Daemon::start(("redis-server", "redis-server"), folder, port, |folder, command| {
            // It writes into the file what it finds out.
            let file = folder.join("sentinel.conf");
            std::fs::write(&file, configuration).unwrap();
            command.arg(file).arg("--sentinel");
        });
        let client = ["-a", own, "--no-auth-warning"].map(str::to_owned).to_vec();
        Redis { daemon, options: Vec::new(), client }
    }

    /// The address of the Sentinel.
    pub fn url(&self) -> String {
        self.sentinel.url()
    }

    /// Waits until the replica is the primary. It takes a second or two after the primary went away.
    pub fn wait_for_failover(&self) {
        let question = ["SENTINEL", "GET-MASTER-ADDR-BY-NAME", Self::MASTER_NAME];
        until("a failover", || self.sentinel.run(&question).ends_with(&format!("\n{}", self.replica.port())));
        until("a primary", || self.replica.info("role") == "master");
    }
}

/// A Cluster of three primaries, and of three replicas where they are wanted.
#[derive(Debug)]
pub struct RedisCluster {
    pub primaries: Vec<Redis>,
    /// Each of the primary at the same place.
    pub replicas: Vec<Redis>,
}

/// The first and the last slot of each primary.
const SLOTS: [(&str, &str); 3] = [("0", "5460"), ("5461", "10922"), ("10923", "16383")];

impl RedisCluster {
    /// Three primaries that know each other and have all slots.
    pub fn start() -> Self {
        Self::of(0)
    }

    /// Three primaries, each with a replica that takes over when it is down.
    pub fn with_replicas() -> Self {
        Self::of(SLOTS.len())
    }

    fn of(replicas: usize) -> Self {
        let start = |_| {
            let bus = free_port().to_string();
            let cluster = ["--cluster-enabled", "yes", "--cluster-port", &bus, "--cluster-node-timeout", DOWN_AFTER];
            (Redis::with(&[&cluster[..], &AT_ONCE].concat()), bus)
        };
        let (mut primaries, buses): (Vec<_>, Vec<_>) = (0..SLOTS.len() + replicas).map(start).unzip();
        // Each meets each: what they hear of each other from a third one takes seconds.
        for (at, (node, bus)) in primaries.iter().zip(buses).enumerate() {
            for earlier in &primaries[..at] {
                earlier.run(&["CLUSTER", "MEET", "127.0.0.1", &node.port().to_string(), &bus]);
            }
        }
        let replicas = primaries.split_off(SLOTS.len());
        for (primary, (first, last)) in primaries.iter().zip(SLOTS) {
            primary.run(&["CLUSTER", "ADDSLOTSRANGE", first, last]);
        }
        let all = || primaries.iter().chain(&replicas);
        let known = format!("cluster_known_nodes:{}", all().count());
        // A node that is met counts as known before it has said its name.
        let has_met = |node: &Redis| !node.run(&["CLUSTER", "NODES"]).contains("handshake");
        let knows = |node: &Redis| node.run(&["CLUSTER", "INFO"]).contains(&known) && has_met(node);
        until("nodes that know each other", || all().all(knows));
        for (primary, replica) in primaries.iter().zip(&replicas) {
            replica.run(&["CLUSTER", "REPLICATE", &primary.run(&["CLUSTER", "MYID"])]);
        }
        until("replicas", || replicas.iter().all(|replica| replica.info("master_link_status") == "up"));
        until("a Cluster", || all().all(Redis::is_in_a_whole_cluster));
        Self { primaries, replicas }
    }

    /// The address of one of its nodes.
    pub fn url(&self) -> String {
        self.primaries[0].url()
    }

    /// The place among the primaries of the one that a key belongs to.
    pub fn home(&self, key: &str) -> usize {
        let slot: u16 = self.primaries[0].run(&["CLUSTER", "KEYSLOT", key]).parse().unwrap();
        SLOTS.iter().position(|(_, last)| slot <= last.parse().unwrap()).unwrap()
    }

    /// Runs a command about a key on the primary that it belongs to, and waits until its replica has it too.
    pub fn run(&self, key: &str, command: &[&str]) -> String {
        let home = self.home(key);
        let printed = self.primaries[home].run(command);
        let keys = |server: &Redis| server.run(&["DBSIZE"]);
        if let Some(replica) = self.replicas.get(home) {
            until("a replica that has the key", || keys(replica) == keys(&self.primaries[home]));
        }
        printed
    }

    /// Waits until the replica at this place is a primary. It takes a few seconds after the primary went away.
    pub fn wait_for_failover(&self, home: usize) {
        let (replica, looks) = (&self.replicas[home], Cell::new(0));
        until("a failover", || {
            looks.set(looks.get() + 1);
            // On a machine that is loaded an election may miss its time, again and again: it is held at once then.
            if looks.get() % PATIENCE == 0 && replica.info("role") != "master" {
                replica.run(&["CLUSTER", "FAILOVER", "FORCE"]);
            }
            replica.info("role") == "master" && replica.is_in_a_whole_cluster()
        });
    }

    /// Starts the primary that was lost at this place anew, empty, as the replica of the one that took over.
    pub fn replace(&mut self, home: usize) {
        let (lost, taken) = (&mut self.primaries[home], &self.replicas[home]);
        lost.restart();
        let bus = lost.options.iter().skip_while(|option| *option != "--cluster-port").nth(1).unwrap();
        taken.run(&["CLUSTER", "MEET", "127.0.0.1", &lost.port().to_string(), bus]);
        let id = taken.run(&["CLUSTER", "MYID"]);
        until("a node that knows the other", || lost.run(&["CLUSTER", "NODES"]).contains(&id));
        lost.run(&["CLUSTER", "REPLICATE", &id]);
        until("a replica", || lost.info("master_link_status") == "up");
    }
}
