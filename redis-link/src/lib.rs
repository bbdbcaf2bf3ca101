//! How a Redis is reached: one server, the primary that Sentinels name, or a Cluster; with users and TLS where they are
//! wanted. The claim source `redis` and the store reach theirs by it, and their operators write the same words.
//!
//! It knows nothing of what is asked, reads from no replica, and tells nobody a text of a server.

mod address;
mod connect;
mod link;
mod settings;
mod tls;

pub use self::connect::{Connection, Connector};
pub use self::link::{Failed, Link};
pub use self::settings::{Sentinel, Settings, Tell};

/// What the address of a Redis may begin with.
pub const SCHEMES: [&str; 4] = ["redis", "rediss", "valkey", "valkeys"];
