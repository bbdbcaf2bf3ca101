//! Claims from Redis, as the source: the fields of a hash, or a JSON document in a string.
//!
//! It only reads, with `HMGET` or `GET` and one round trip. It speaks the protocol itself, because the clients that
//! there are read replies of any length into memory and keep a connection that no longer answers; a source must stay
//! small and quick even where the Redis is broken or hostile. It does not read from replicas, and caches nothing.

mod address;
mod cluster;
mod config;
mod failure;
mod format;
mod link;
mod resp;
mod sentinel;
mod server;
mod tls;
mod wire;

use std::sync::Arc;

use async_trait::async_trait;
use countersign_claim_source::{Answer, Ask, Check, ClaimSource, OpenError, SourceKind, Template};

use self::cluster::Cluster;
use self::config::Servers;
pub use self::config::{Checked, Config};
use self::format::Layout;
use self::sentinel::Sentinels;
use self::server::{Server, Target};
use self::wire::Dialer;

/// `kind = "redis"`
#[derive(Clone, Copy, Debug)]
pub struct Redis;

#[async_trait]
impl SourceKind for Redis {
    const NAME: &'static str = "redis";
    type Config = Config;
    type Checked = Checked;

    fn check(config: Config, check: &Check<'_>) -> Option<Checked> {
        config.check(check)
    }

    async fn open(checked: Checked) -> Result<Arc<dyn ClaimSource>, OpenError> {
        let Checked { servers, login, database, trust, key, layout } = checked;
        let dialer = Dialer { tls: trust.map(tls::Trust::connector).transpose()?, login, database };
        let topology = match servers {
            Servers::One(address) => Topology::One(Server::new(Target::Address(address), dialer)),
            Servers::Cluster(seeds) => Topology::Cluster(Cluster::new(seeds, dialer)),
            Servers::Sentinels { addresses, master_name, login } => {
                let own = Dialer { tls: dialer.tls.clone(), login, database: 0 };
                let sentinels = Sentinels { addresses, master_name, dialer: own };
                Topology::One(Server::new(Target::Primary(sentinels), dialer))
            }
        };
        Ok(Arc::new(Open { topology, key, layout }))
    }
}

struct Open {
    topology: Topology,
    key: Template,
    layout: Layout,
}

enum Topology {
    /// A server, or the one that Sentinels name.
    One(Server),
    Cluster(Cluster),
}

#[async_trait]
impl ClaimSource for Open {
    async fn claims(&self, ask: &Ask) -> Answer {
        // Neither command knows patterns, so a key is found by the whole text, whatever a value holds.
        let key = match self.key.render_distinct(ask) {
            Ok(key) => key,
            Err(answer) => return answer,
        };
        let Some(question) = self.layout.question(&key, ask) else { return Answer::NotFound };
        let reply = match &self.topology {
            Topology::One(server) => server.ask(&question, ask.time).await,
            Topology::Cluster(cluster) => cluster.ask(&key, &question, ask.time).await,
        };
        reply.map_or_else(Answer::from, |reply| self.layout.answer(reply, ask))
    }
}
