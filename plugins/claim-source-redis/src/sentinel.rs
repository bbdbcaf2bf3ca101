//! The primary, found by asking Sentinels (redis.io, "Sentinel client spec").
//!
//! They are asked whenever there is a connection to make, and not before: a primary that is demoted by them closes its
//! connections by itself. All are asked at once and the first that leads to a primary counts, so that dead ones cost no
//! time.

use std::str::from_utf8;

use futures::future::select_ok;

use crate::address::Address;
use crate::failure::Failure;
use crate::resp::{Command, Reply};
use crate::wire::{Dialer, Wire};

/// The Sentinels that watch a primary.
#[derive(Clone, Debug)]
pub(crate) struct Sentinels {
    pub(crate) addresses: Vec<Address>,
    /// What they call the primary with its replicas.
    pub(crate) master_name: String,
    /// How the Sentinels are connected to: they have users of their own.
    pub(crate) dialer: Dialer,
}

impl Sentinels {
    /// A connection to the primary.
    pub(crate) async fn primary(&self, dialer: &Dialer) -> Result<Wire, Failure> {
        let asked = self.addresses.iter().map(|sentinel| Box::pin(self.primary_by(sentinel, dialer)));
        select_ok(asked).await.map(|(primary, _others)| primary)
    }

    async fn primary_by(&self, sentinel: &Address, dialer: &Dialer) -> Result<Wire, Failure> {
        let question = Command::new(&["SENTINEL", "GET-MASTER-ADDR-BY-NAME", &self.master_name]);
        let address = match self.dialer.connect(sentinel).await?.ask(&question).await? {
            Reply::List(parts) => address(&parts)?,
            Reply::Nil => return Err(Failure::unavailable("no Sentinel knows the master_name")),
            Reply::Error(error) => return Err(Failure::answered(&error)),
            Reply::Text(_) => return Err(Failure::malformed("a Sentinel names no address")),
        };
        let mut primary = dialer.connect(&address).await?;
        // A Sentinel that has not heard of a failover yet names the old one.
        match primary.ask(&Command::new(&["ROLE"])).await? {
            Reply::List(role) if role.first() == Some(&Reply::Text(b"master".to_vec())) => Ok(primary),
            Reply::Error(error) => Err(Failure::answered(&error)),
            Reply::List(_) | Reply::Text(_) | Reply::Nil => {
                Err(Failure::unavailable("what the Sentinels name is no primary"))
            }
        }
    }
}

fn address(parts: &[Reply]) -> Result<Address, Failure> {
    let text = |part: &Reply| match part {
        Reply::Text(text) => from_utf8(text).ok().map(str::to_owned),
        Reply::Nil | Reply::List(_) | Reply::Error(_) => None,
    };
    let [host, port] = parts else { return Err(Failure::malformed("a Sentinel names no address")) };
    let address = text(host).zip(text(port).and_then(|port| port.parse().ok()));
    address.map(|(host, port)| Address { host, port }).ok_or(Failure::malformed("a Sentinel names no address"))
}
