//! A connection that many use at the same time: what they ask goes out together, and the replies come back in order
//! (redis.io, "Redis pipelining").
//!
//! A task of its own connects, writes and reads, so that whoever is dropped while it waits leaves the others alone. A
//! link is never repaired. It ends, and [`Server`](crate::server::Server) opens another.

use std::collections::VecDeque;
use std::time::Duration;

use bytes::BytesMut;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _, split};
use tokio::sync::{mpsc, oneshot};
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep_until, timeout};

use crate::failure::Failure;
use crate::resp::{Command, Reply, take};
use crate::wire::{READ_BYTES, Wire};

/// Commands without a reply yet. More wait their turn.
const IN_FLIGHT: usize = 1024;

/// Commands that are sent at once.
const BATCH: usize = 128;

/// How long a reply is waited for at least, however short the caller's patience is: past it the connection is taken for
/// dead, and a server that is slow for a moment must not lose its connection.
const PATIENCE: Duration = Duration::from_secs(1);

/// A connection that many use at the same time.
#[derive(Debug)]
pub(crate) struct Link {
    asks: mpsc::Sender<Asked>,
    /// Ends with the link.
    _task: JoinSet<()>,
}

struct Asked {
    command: Command,
    /// When the connection is given up if there is no reply.
    until: Instant,
    answer: oneshot::Sender<Result<Reply, Failure>>,
}

impl Link {
    /// A link over what `dial` leads to. Whoever asks before that waits for it.
    pub(crate) fn open(dial: impl Future<Output = Result<Wire, Failure>> + Send + 'static) -> Self {
        let (asks, asked) = mpsc::channel(BATCH);
        let mut task = JoinSet::new();
        task.spawn(run(dial, asked));
        Self { asks, _task: task }
    }

    /// Whether it can still be used, as far as is known.
    pub(crate) fn is_open(&self) -> bool {
        !self.asks.is_closed()
    }

    /// The reply to a command. The caller may wait for less than `time`.
    pub(crate) async fn ask(&self, command: Command, time: Duration) -> Result<Reply, Failure> {
        let (answer, reply) = oneshot::channel();
        let until = Instant::now() + time.max(PATIENCE);
        self.asks.send(Asked { command, until, answer }).await.map_err(|_gone| Failure::Lost)?;
        reply.await.unwrap_or(Err(Failure::Lost))
    }
}

async fn run(dial: impl Future<Output = Result<Wire, Failure>> + Send, mut asks: mpsc::Receiver<Asked>) {
    let mut waiting = VecDeque::new();
    match dial.await {
        Ok(wire) => {
            let ended = exchange(wire, &mut asks, &mut waiting).await;
            // Replies come in order, so this is whose reply ended it. The others were only behind it.
            if let Some(first) = waiting.pop_front() {
                first.tell(Err(ended));
            }
            asks.close();
            for asked in waiting {
                asked.tell(Err(Failure::Lost));
            }
        }
        Err(failure) => {
            asks.close();
            while let Some(asked) = asks.recv().await {
                asked.tell(Err(failure.clone()));
            }
        }
    }
}

/// Writes what is asked and reads the replies until the connection is of no use any more, and says why.
async fn exchange(wire: Wire, asks: &mut mpsc::Receiver<Asked>, waiting: &mut VecDeque<Asked>) -> Failure {
    let Wire { stream, mut received } = wire;
    let (mut from, mut to) = split(stream);
    let mut batch = Vec::new();
    loop {
        if let Err(failure) = deliver(&mut received, waiting) {
            return failure;
        }
        received.reserve(READ_BYTES);
        let room = BATCH.min(IN_FLIGHT.saturating_sub(waiting.len()));
        let until = waiting.front().map(|asked| asked.until);
        tokio::select! {
            taken = asks.recv_many(&mut batch, room), if room > 0 => {
                if taken == 0 {
                    return Failure::Lost;
                }
                batch.retain(|asked| !asked.answer.is_closed());
                let bytes: Vec<u8> = batch.iter().flat_map(|asked| &asked.command.bytes).copied().collect();
                waiting.extend(batch.drain(..));
                let written = async {
                    to.write_all(&bytes).await?;
                    to.flush().await
                };
                if !matches!(timeout(PATIENCE, written).await, Ok(Ok(()))) {
                    return Failure::Lost;
                }
            }
            read = from.read_buf(&mut received) => {
                if !matches!(read, Ok(1..)) {
                    return Failure::Lost;
                }
            }
            () = sleep_until(until.unwrap_or_else(Instant::now)), if false => {
                return Failure::unavailable("there was no reply in time");
            }
        }
    }
}

/// Gives every whole reply to whoever waits for it.
fn deliver(received: &mut BytesMut, waiting: &mut VecDeque<Asked>) -> Result<(), Failure> {
    while let Some(reply) = take(received)? {
        let mut asked = waiting.pop_front().ok_or(Failure::malformed("a reply came that nothing was asked for"))?;
        asked.command.replies -= 1;
        match asked.command.replies {
            0 => asked.tell(Ok(reply)),
            _ => waiting.push_front(asked),
        }
    }
    Ok(())
}

impl Asked {
    fn tell(self, reply: Result<Reply, Failure>) {
        // Whoever asked may be gone, which is theirs to decide.
        drop(self.answer.send(reply));
    }
}
