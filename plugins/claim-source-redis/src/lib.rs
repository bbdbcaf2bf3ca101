//! Claims from Redis, as the source: the fields of a hash, or a JSON document in a string.
//!
//! It only reads. The library `redis` speaks the protocol and knows Sentinel and Cluster; what is ours is how claims are
//! found (`format`) and that what is read stays small (`question`). How the servers are reached is `countersign-redis-link`.
//! It does not read from replicas, and caches nothing.

mod config;
mod failure;
mod format;
mod question;

use std::sync::Arc;

use async_trait::async_trait;
use countersign_claim_source::{Answer, Ask, Check, ClaimSource, OpenError, SourceKind, Template};
use countersign_redis_link::{Failed, Link};

pub use self::config::{Checked, Config};
use self::format::Layout;

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
        let Checked { connector, key, layout } = checked;
        Ok(Arc::new(Open { link: Link::new(connector), key, layout }))
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
        let question = &question;
        match self.link.ask(ask.time, |connection| async move { question.ask(&connection).await }).await {
            Ok(Some(values)) => self.layout.answer(values, ask),
            Ok(None) => failure::too_large(),
            Err(Failed::Connecting(error)) => failure::connecting(&error),
            Err(Failed::Asking(error)) => failure::asking(&error),
            Err(Failed::Silent) => failure::silent(),
        }
    }
}
