//! What is asked for, in commands to which a Redis has no long reply: the library would read one of any length.

use countersign_redis_link::Connection;
use futures::future::try_join_all;
use redis::{RedisResult, cmd};

/// Bytes of what is read for one answer, all in all.
pub(crate) const REPLY_BYTES: usize = 1024 * 1024;

/// What is asked for.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Question {
    /// The string under a key.
    Text { key: String },
    /// Fields of the hash under a key.
    Fields { key: String, names: Vec<String> },
}

/// What stands there, in the order of the question; none where nothing does.
pub(crate) type Values = Vec<Option<Vec<u8>>>;

impl Question {
    /// Asks over a connection. None: there is more than is read.
    pub(crate) async fn ask(&self, connection: &Connection) -> RedisResult<Option<Values>> {
        match self {
            Self::Text { key } => text(key, connection).await,
            Self::Fields { key, names } => fields(key, names, connection).await,
        }
    }
}

/// `GETRANGE` up to one byte more than is read: it tells what is too large in one step. It does not tell an empty
/// string from none, and neither holds a claim.
async fn text(key: &str, connection: &Connection) -> RedisResult<Option<Values>> {
    let text: Vec<u8> = connection.query(cmd("GETRANGE").arg(key).arg(0).arg(REPLY_BYTES)).await?;
    if text.len() > REPLY_BYTES {
        return Ok(None);
    }
    Ok(Some(vec![Some(text).filter(|text| !text.is_empty())]))
}

/// `HSTRLEN` of each field, together, and then `HMGET`: two steps, because no command reads part of a field. A hash that
/// grows between them is read as it is.
async fn fields(key: &str, names: &[String], connection: &Connection) -> RedisResult<Option<Values>> {
    let length = |name| async move { connection.query::<usize>(cmd("HSTRLEN").arg(key).arg(name)).await };
    let lengths = try_join_all(names.iter().map(length)).await?;
    if lengths.into_iter().fold(0, usize::saturating_add) > REPLY_BYTES {
        return Ok(None);
    }
    connection.query(cmd("HMGET").arg(key).arg(names)).await.map(Some)
}
