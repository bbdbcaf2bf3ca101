//! One server that is asked, over one link at a time: a link that ended is replaced by whoever asks next.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::time::Instant;

use crate::address::Address;
use crate::failure::Failure;
use crate::link::Link;
use crate::resp::{Command, Reply};
use crate::sentinel::Sentinels;
use crate::wire::{Dialer, Wire};

/// Which server is meant.
#[derive(Clone, Debug)]
pub(crate) enum Target {
    /// The one that listens there.
    Address(Address),
    /// The one that the Sentinels say is the primary now.
    Primary(Sentinels),
}

/// A server.
#[derive(Debug)]
pub(crate) struct Server {
    target: Target,
    dialer: Dialer,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    link: Option<Arc<Link>>,
    opened: Option<Instant>,
}

impl Server {
    /// A server that is connected to when it is first asked.
    pub(crate) fn new(target: Target, dialer: Dialer) -> Self {
        Self { target, dialer, state: Mutex::default() }
    }

    /// The reply to a command. What was lost with its connection is asked once more over another: everything asked
    /// here only reads, and a server that was restarted while nobody asked is no reason to fail.
    pub(crate) async fn ask(&self, command: &Command, time: Duration) -> Result<Reply, Failure> {
        match self.link().ask(command.clone(), time).await {
            Err(Failure::Lost) => self.link().ask(command.clone(), time).await.map_err(|failure| match failure {
                Failure::Lost => Failure::unavailable("the connection ended before the reply"),
                other => other,
            }),
            reply => reply,
        }
    }

    /// Whether it is connected, as far as is known.
    pub(crate) fn is_open(&self) -> bool {
        self.lock().link.as_ref().is_some_and(|link| link.is_open())
    }

    /// Orders servers by whom to try first: who is connected, else who was not tried yet, or longest ago.
    pub(crate) fn rank(&self) -> (bool, Option<Instant>) {
        (!self.is_open(), self.lock().opened)
    }

    fn link(&self) -> Arc<Link> {
        let mut state = self.lock();
        if let Some(open) = state.link.as_ref().filter(|link| link.is_open()) {
            return Arc::clone(open);
        }
        let (target, dialer) = (self.target.clone(), self.dialer.clone());
        let link = Arc::new(Link::open(async move { target.connect(&dialer).await }));
        *state = State { link: Some(Arc::clone(&link)), opened: Some(Instant::now()) };
        link
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Target {
    async fn connect(&self, dialer: &Dialer) -> Result<Wire, Failure> {
        match self {
            Self::Address(address) => dialer.connect(address).await,
            Self::Primary(sentinels) => sentinels.primary(dialer).await,
        }
    }
}
