//! A Redis Cluster (redis.io, "Redis cluster specification"): every key belongs to a slot, and every slot to a node.
//!
//! Where a slot lives is learned from the redirections alone. It costs one more step for the first key of a slot, and
//! needs neither a permission to read the whole map nor a rule for when to read it again: a node that does not answer
//! is forgotten, and any other redirects to whoever has its slots now. Replicas are not read: they may be behind.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use crate::address::Address;
use crate::failure::Failure;
use crate::resp::{Command, Reply};
use crate::server::{Server, Target};
use crate::wire::Dialer;

/// Slots of every Cluster.
const SLOTS: u16 = 16384;

/// Nodes that are asked for one reply: where the slot was, where it is, and both again while a failover goes on.
const HOPS: usize = 6;

/// Nodes that are known at a time: what the specification says a Cluster may have.
const NODES: usize = 1000;

/// A Cluster.
#[derive(Debug)]
pub(crate) struct Cluster {
    seeds: Vec<Address>,
    dialer: Dialer,
    known: Mutex<Known>,
}

#[derive(Debug, Default)]
struct Known {
    nodes: BTreeMap<Address, Arc<Server>>,
    homes: BTreeMap<u16, Address>,
}

/// Where a node says that the command is to be sent.
#[derive(Debug, PartialEq, Eq)]
enum Redirection {
    /// The slot lives there.
    Moved(Address),
    /// The slot is on its way there, and this key has arrived.
    Ask(Address),
}

impl Cluster {
    /// A Cluster that is found by these nodes of it.
    pub(crate) fn new(seeds: Vec<Address>, dialer: Dialer) -> Self {
        Self { seeds, dialer, known: Mutex::default() }
    }

    /// The reply to a command about one key.
    pub(crate) async fn ask(&self, key: &str, command: &Command, time: Duration) -> Result<Reply, Failure> {
        let slot = slot(key);
        let mut address = self.home(slot)?;
        let mut asking = None;
        let mut failure = Failure::unavailable("the nodes send it from one to another");
        for _ in 0..HOPS {
            let reply = self.node(&address).ask(asking.as_ref().unwrap_or(command), time).await;
            asking = None;
            match reply {
                Ok(reply) => match Redirection::read(&reply, &address) {
                    Some(Redirection::Moved(to)) => {
                        self.lock().homes.insert(slot, to.clone());
                        address = to;
                    }
                    Some(Redirection::Ask(to)) => {
                        asking = Some(Command::new(&["ASKING"]).then(command));
                        address = to;
                    }
                    None => return Ok(reply),
                },
                Err(Failure::Unavailable(why)) => {
                    failure = Failure::Unavailable(why);
                    let other = self.home(slot)?;
                    if other == address {
                        break;
                    }
                    address = other;
                }
                Err(other) => return Err(other),
            }
        }
        Err(failure)
    }

    /// Whom to ask about a slot: its home if that is connected, else whoever can redirect.
    fn home(&self, slot: u16) -> Result<Address, Failure> {
        let mut known = self.lock();
        if known.nodes.is_empty() {
            for seed in &self.seeds {
                self.add(&mut known, seed);
            }
        }
        let home = known.homes.get(&slot).filter(|home| known.nodes.get(home).is_some_and(|node| node.is_open()));
        let any = || known.nodes.iter().min_by_key(|(_, node)| node.rank()).map(|(address, _)| address);
        home.or_else(any).cloned().ok_or(Failure::unavailable("no node is known"))
    }

    fn node(&self, address: &Address) -> Arc<Server> {
        let mut known = self.lock();
        match known.nodes.get(address) {
            Some(node) => Arc::clone(node),
            None => self.add(&mut known, address),
        }
    }

    fn add(&self, known: &mut Known, address: &Address) -> Arc<Server> {
        if known.nodes.len() >= NODES {
            *known = Known::default();
        }
        let node = Arc::new(Server::new(Target::Address(address.clone()), self.dialer.clone()));
        known.nodes.insert(address.clone(), Arc::clone(&node));
        node
    }

    fn lock(&self) -> MutexGuard<'_, Known> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Redirection {
    /// Reads `MOVED 3999 127.0.0.1:6381`. A host that is left out is the one that was asked.
    fn read(reply: &Reply, asked: &Address) -> Option<Self> {
        let Reply::Error(error) = reply else { return None };
        let mut words = error.split(' ');
        let (code, _slot, address) = (words.next()?, words.next()?, words.next()?);
        let mut to = Address::read(address)?;
        if to.host.is_empty() {
            to.host.clone_from(&asked.host);
        }
        match code {
            "MOVED" => Some(Self::Moved(to)),
            "ASK" => Some(Self::Ask(to)),
            _ => None,
        }
    }
}

/// The slot of a key: of the part between its first braces, where there is one (the specification's "Hash tags").
fn slot(key: &str) -> u16 {
    let tag = key.split_once('{').and_then(|(_, rest)| rest.split_once('}')).map(|(tag, _)| tag);
    crc16(tag.filter(|tag| !tag.is_empty()).unwrap_or(key)) % SLOTS
}

/// CRC16 of the kind XMODEM, as in the specification's appendix A.
fn crc16(text: &str) -> u16 {
    text.bytes().fold(0, |crc, byte| {
        (0..8).fold(crc ^ (u16::from(byte) << 8), |crc, _| (crc << 1) ^ if crc & 0x8000 == 0 { 0 } else { 0x1021 })
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_has_the_slot_of_the_specification() {
        assert_eq!(crc16("123456789"), 0x31c3);
        assert_eq!(slot("user:ada"), slot("{user:ada}.profile"));
        assert_eq!(slot("foo{}{bar}"), crc16("foo{}{bar}") % SLOTS, "an empty tag is none");
        assert_eq!(slot("foo{{bar}}zap"), crc16("{bar") % SLOTS);
        assert_eq!(slot("foo{bar"), crc16("foo{bar") % SLOTS);
    }

    #[test]
    fn a_redirection_names_the_code_the_slot_and_the_node() {
        let address = |host: &str, port| Address { host: host.to_owned(), port };
        let read = |error: &str| Redirection::read(&Reply::Error(error.to_owned()), &address("here", 1));
        assert_eq!(read("MOVED 3999 127.0.0.1:6381"), Some(Redirection::Moved(address("127.0.0.1", 6381))));
        assert_eq!(read("ASK 3999 ::1:6381"), Some(Redirection::Ask(address("::1", 6381))));
        assert_eq!(read("MOVED 3999 :6381"), Some(Redirection::Moved(address("here", 6381))));
        for other in ["MOVED", "MOVED 1 nowhere", "ERR 1 127.0.0.1:6381", "CLUSTERDOWN The cluster is down"] {
            assert_eq!(read(other), None, "{other}");
        }
    }

    #[tokio::test]
    async fn one_node_more_than_a_cluster_may_have_starts_anew() {
        let dialer = Dialer { tls: None, login: None, database: 0 };
        let address = |port| Address { host: "node.example".to_owned(), port };
        let cluster = Cluster::new(vec![address(0)], dialer);
        for port in 0..u16::try_from(NODES).expect("few") {
            cluster.node(&address(port));
        }
        assert_eq!(cluster.lock().nodes.len(), NODES);
        cluster.node(&address(0));
        assert_eq!(cluster.lock().nodes.len(), NODES, "it is known already");
        cluster.node(&address(u16::MAX));
        assert_eq!(cluster.lock().nodes.len(), 1);
    }
}
