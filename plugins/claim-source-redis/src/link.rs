//! The one connection that all questions share. Whoever finds none, or a bad one, replaces it for all.
//!
//! The library repairs some of its connections and goes on with others for ever. Here none is repaired: whatever it
//! was that failed, unless it was about what was asked for, the next question goes over a new connection.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use futures::FutureExt as _;
use futures::future::{BoxFuture, Shared};
use tokio::task::JoinSet;
use tokio::time::{Instant, timeout};

use crate::connect::{Connection, Connector};
use crate::failure::{Failure, Fate};
use crate::question::{Question, Values};

/// How much earlier than the host a reply is given up, so that it is known here that none came.
const MARGIN: Duration = Duration::from_millis(2);

/// How long a server may have been silent when a reply does not come in time. A question for which there was hardly any
/// time must not cost a connection that works.
const SILENCE: Duration = Duration::from_millis(250);

/// How long a connection to a Cluster is kept at least: it is one for all nodes, and one that fails must not cost the
/// others theirs all the time.
const CLUSTER_REST: Duration = Duration::from_secs(5);

/// The connection to a Redis, whenever there is one.
pub(crate) struct Link {
    connector: Arc<Connector>,
    slot: Mutex<Option<Connecting>>,
}

/// An attempt to connect, and then what came of it. Many wait for it at the same time.
type Connecting = Shared<BoxFuture<'static, Result<Connected, Failure>>>;

#[derive(Clone)]
struct Connected {
    connection: Connection,
    /// When it was made, or one server last replied.
    good: Arc<Mutex<Instant>>,
}

impl Link {
    /// A link that connects when it is first asked.
    pub(crate) fn new(connector: Connector) -> Self {
        Self { connector: Arc::new(connector), slot: Mutex::default() }
    }

    /// What stands where the question says. What was lost with a connection from before is asked once more over a new
    /// one: everything asked here only reads, and a server that was restarted while nobody asked is no reason to fail.
    pub(crate) async fn ask(&self, question: &Question, time: Duration) -> Result<Values, Failure> {
        let (connecting, used) = self.connecting();
        match self.over(connecting, question, time).await {
            Err(Failure { connection: Fate::Ended, .. }) if used => {
                let (connecting, _) = self.connecting();
                self.over(connecting, question, time).await
            }
            replied => replied,
        }
    }

    async fn over(&self, connecting: Connecting, question: &Question, time: Duration) -> Result<Values, Failure> {
        let connected = connecting.clone().await?;
        let reply = timeout(time.saturating_sub(MARGIN), question.ask(&connected.connection)).await;
        let reply = reply.unwrap_or_else(|_elapsed| Err(Failure::silent()));
        if connected.is_bad_after(&reply) {
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
    fn is_bad_after(&self, reply: &Result<Values, Failure>) -> bool {
        let mut good = self.good.lock().unwrap_or_else(PoisonError::into_inner);
        let fate = reply.as_ref().map_or_else(|failure| failure.connection, |_values| Fate::Good);
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
    let connected =
        async move { task.join_next().await.and_then(Result::ok).unwrap_or_else(|| Err(Failure::unreachable())) };
    connected.boxed().shared()
}
