//! The one connection that all questions share. Whoever finds none, or a bad one, replaces it for all.
//!
//! The library repairs some of its connections and goes on with others for ever. Here none is repaired: whatever it
//! was that failed, unless it was about what was asked for, the next question goes over a new connection.

use std::fmt;
use std::io;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use futures::FutureExt as _;
use futures::future::{BoxFuture, Shared};
use redis::{ErrorKind, RedisError, RedisResult};
use tokio::task::JoinSet;
use tokio::time::{Instant, timeout_at};

use crate::connect::{Connection, Connector};

/// How much earlier than its time is up a reply is given up, so that it is known here that none came.
const MARGIN: Duration = Duration::from_millis(2);

/// How long a server may have been silent when a reply does not come in time. A question for which there was hardly any
/// time must not cost a connection that works.
const SILENCE: Duration = Duration::from_millis(250);

/// How long a connection to a Cluster is kept at least: it is one for all nodes, and one that fails must not cost the
/// others theirs all the time.
const CLUSTER_REST: Duration = Duration::from_secs(5);

/// The connection to a Redis, whenever there is one.
pub struct Link {
    connector: Arc<Connector>,
    slot: Mutex<Option<Connecting>>,
}

/// Why there is no reply.
#[derive(Clone, Debug)]
pub enum Failed {
    /// It could not be connected to.
    Connecting(RedisError),
    /// An error came in place of a reply.
    Asking(RedisError),
    /// None came in time.
    Silent,
}

/// What that says of the connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Fate {
    /// It is in order: the failure is about what was asked for.
    Good,
    /// It leads nowhere, or to a server that cannot help now.
    Bad,
    /// It ended before the reply, through no fault of the question: that may be asked again over another one.
    Ended,
    /// The reply did not come in time.
    Silent,
}

/// An attempt to connect, and then what came of it. Many wait for it at the same time.
type Connecting = Shared<BoxFuture<'static, RedisResult<Connected>>>;

#[derive(Clone)]
struct Connected {
    connection: Connection,
    /// When it was made, or one server last replied.
    good: Arc<Mutex<Instant>>,
}

impl fmt::Debug for Link {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Link").field("connector", &self.connector).finish_non_exhaustive()
    }
}

impl Failed {
    fn fate(&self) -> Fate {
        match self {
            Self::Connecting(_) => Fate::Bad,
            Self::Silent => Fate::Silent,
            Self::Asking(error) => match error.code() {
                Some("WRONGTYPE" | "NOPERM") => Fate::Good,
                Some(_) => Fate::Bad,
                None if error.kind() == ErrorKind::Parse => Fate::Bad,
                None if error.is_timeout() => Fate::Silent,
                None => Fate::Ended,
            },
        }
    }
}

impl Link {
    /// A link that connects when it is first asked.
    #[must_use]
    pub fn new(connector: Connector) -> Self {
        Self { connector: Arc::new(connector), slot: Mutex::default() }
    }

    /// The reply to what is asked over the connection, within this time, connecting included. What was lost with a
    /// connection from before is asked once more over a new one, so it has to be such that asking twice does no harm: a
    /// server that was restarted while nobody asked is no reason to fail.
    ///
    /// # Errors
    ///
    /// Where there is no reply in time.
    pub async fn ask<T, F>(&self, time: Duration, ask: impl Fn(Connection) -> F) -> Result<T, Failed>
    where
        F: Future<Output = RedisResult<T>>,
    {
        let end = Instant::now() + time.saturating_sub(MARGIN);
        let (connecting, used) = self.connecting();
        match self.over(connecting, end, &ask).await {
            Err(failed) if used && failed.fate() == Fate::Ended => {
                let (connecting, _) = self.connecting();
                self.over(connecting, end, &ask).await
            }
            replied => replied,
        }
    }

    async fn over<T, F>(
        &self,
        connecting: Connecting,
        end: Instant,
        ask: &impl Fn(Connection) -> F,
    ) -> Result<T, Failed>
    where
        F: Future<Output = RedisResult<T>>,
    {
        let connected = timeout_at(end, connecting.clone()).await;
        let connected = connected.unwrap_or_else(|_elapsed| Err(late())).map_err(Failed::Connecting)?;
        let reply = timeout_at(end, ask(connected.connection.clone())).await;
        let reply = reply.map_or(Err(Failed::Silent), |reply| reply.map_err(Failed::Asking));
        if connected.is_bad_after(reply.as_ref().err().map_or(Fate::Good, Failed::fate)) {
            let mut slot = self.slot();
            // Somebody else may have replaced it already.
            if slot.as_ref().is_some_and(|current| current.ptr_eq(&connecting)) {
                *slot = None;
            }
        }
        reply
    }

    /// The connection, or the attempt to make it, and whether it was there before. An attempt that failed is made anew.
    fn connecting(&self) -> (Connecting, bool) {
        let mut slot = self.slot();
        if let Some(current) = slot.as_ref()
            && !matches!(current.clone().now_or_never(), Some(Err(_)))
        {
            return (current.clone(), true);
        }
        let connecting = connect(Arc::clone(&self.connector));
        *slot = Some(connecting.clone());
        (connecting, false)
    }

    fn slot(&self) -> MutexGuard<'_, Option<Connecting>> {
        self.slot.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Connected {
    /// Whether what came of a question says that the connection is to be replaced.
    fn is_bad_after(&self, fate: Fate) -> bool {
        let mut good = self.good.lock().unwrap_or_else(PoisonError::into_inner);
        match (&self.connection, fate) {
            (Connection::One(_), Fate::Good) => {
                *good = Instant::now();
                false
            }
            (Connection::One(_), Fate::Silent) => good.elapsed() >= SILENCE,
            (Connection::One(_), Fate::Bad | Fate::Ended) => true,
            (Connection::Cluster(_), Fate::Good) => false,
            (Connection::Cluster(_), Fate::Bad | Fate::Ended | Fate::Silent) => good.elapsed() >= CLUSTER_REST,
        }
    }
}

/// An attempt that goes on when whoever wanted it is gone, and ends with its last holder: it may take longer than the
/// host waits for one answer.
fn connect(connector: Arc<Connector>) -> Connecting {
    let mut task = JoinSet::new();
    task.spawn(async move {
        let connection = connector.connect().await?;
        Ok(Connected { connection, good: Arc::new(Mutex::new(Instant::now())) })
    });
    let connected = async move { task.join_next().await.and_then(Result::ok).unwrap_or_else(|| Err(unreachable())) };
    connected.boxed().shared()
}

/// It goes on, for whoever asks next.
fn late() -> RedisError {
    io::Error::from(io::ErrorKind::TimedOut).into()
}

/// For a reason that has no name.
fn unreachable() -> RedisError {
    (ErrorKind::Io, "it cannot be connected to").into()
}
