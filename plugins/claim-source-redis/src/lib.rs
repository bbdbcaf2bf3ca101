//! Claims from Redis, as the source: the fields of a hash, or a JSON document in a string.
//!
//! It only reads. The library `redis` speaks the protocol and knows Sentinel and Cluster; what is ours is how claims are
//! found (`format`), that what is read stays small (`question`), and that a bad connection is replaced (`link`). It does
//! not read from replicas, and caches nothing.

mod address;
mod config;
mod connect;
mod failure;
mod format;
mod link;
mod question;
mod tls;

use std::sync::Arc;

use async_trait::async_trait;
use countersign_claim_source::{Answer, Ask, Check, ClaimSource, OpenError, SourceKind, Template};

pub use self::config::{Checked, Config};
use self::connect::Connector;
use self::format::Layout;
use self::link::Link;

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
        // The library takes the cryptography of TLS from the process. An error says that the process has one.
        rustls::crypto::aws_lc_rs::default_provider().install_default().unwrap_or_default();
        let Checked { servers, login, database, tls, key, layout } = checked;
        let link = Link::new(Connector { servers, login, database, tls });
        Ok(Arc::new(Open { link, key, layout }))
    }
}

struct Open {
    link: Link,
    key: Template,
    layout: Layout,
}

#[async_trait]
impl ClaimSource for Open {
    async fn claims(&self, ask: &Ask) -> Answer {
        // No command here knows patterns, so a key is found by the whole text, whatever a value holds.
        let key = match self.key.render_distinct(ask) {
            Ok(key) => key,
            Err(answer) => return answer,
        };
        let Some(question) = self.layout.question(key, ask) else { return Answer::NotFound };
        let values = self.link.ask(&question, ask.time).await;
        values.map_or_else(|failure| failure.answer, |values| self.layout.answer(values, ask))
    }
}
