//! Real servers for the tests: each starts on a free port of loopback with a folder of its own, and ends with the value
//! that stands for it. What is not installed is a failure that names the Debian package; `tests/run` installs it.

#![allow(
    missing_docs,
    unreachable_pub,
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::missing_panics_doc,
    clippy::must_use_candidate,
    reason = "it is a part of tests: what cannot go on should stop"
)]

mod certificates;
mod daemon;
mod http;
mod mysql;
mod postgres;
mod process;
mod redis;
mod remote;

pub use self::certificates::Certificates;
pub use self::daemon::{Daemon, free_port, until};
pub use self::http::{Nginx, Received, Reply, Site, Upstream};
pub use self::mysql::MariaDb;
pub use self::postgres::Postgres;
pub use self::redis::{Redis, RedisCluster, RedisSentinel};
pub use self::remote::{Example, Remote};
