//! What has to be on replicas before it is answered for. A `WAIT` costs a round trip to them, and holds up whatever else
//! is sent over its connection, so each tag has a connection of its own, and what waits there goes out together: a
//! thousand tokens that are used at once wait for one `WAIT`, and a server of a Cluster that hangs holds up its own tags
//! alone. The file's writer does the same with its flush to the disk.

use std::fmt;
use std::sync::Arc;

use countersign_redis_link::{Connector, Link};
use redis::{Cmd, FromRedisValue, Value};
use tokio::sync::{mpsc, oneshot};
use tokio::task::JoinSet;
use tokio::time::timeout;

use super::Away;
use super::redis::COMMAND;

/// How long replicas may take to acknowledge, in milliseconds: less than a command may take.
const ACKNOWLEDGE_MS: u64 = 500;
/// Commands that may wait; more wait to be let in.
const QUEUE: usize = 4_096;
/// Commands that go out together at most.
const BATCH: usize = 512;

/// A command, and who waits for what it answers.
type Job = (Cmd, oneshot::Sender<Result<Value, Away>>);

/// The way to replicas for the keys of one tag. Its task ends with the last clone.
#[derive(Clone)]
pub(super) struct Lane {
    jobs: mpsc::Sender<Job>,
    _task: Arc<JoinSet<()>>,
}

impl fmt::Debug for Lane {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Lane")
    }
}

impl Lane {
    pub(super) fn open(connector: Connector, wait_replicas: u32) -> Self {
        let (jobs, waiting) = mpsc::channel(QUEUE);
        let mut task = JoinSet::new();
        task.spawn(work(Link::new(connector), wait_replicas, waiting));
        Self { jobs, _task: Arc::new(task) }
    }

    /// What a command answers, once the replicas have what it wrote.
    pub(super) async fn send<T: FromRedisValue>(&self, command: Cmd) -> Result<T, Away> {
        let (done, answer) = oneshot::channel();
        let answered = async {
            self.jobs.send((command, done)).await.map_err(|_ended| Away)?;
            answer.await.map_err(|_ended| Away)?
        };
        let value = timeout(COMMAND, answered).await.map_err(|_elapsed| Away)??;
        T::from_redis_value(value).map_err(|_other_type| Away)
    }
}

async fn work(link: Link, wait_replicas: u32, mut waiting: mpsc::Receiver<Job>) {
    let mut jobs = Vec::with_capacity(BATCH);
    while waiting.recv_many(&mut jobs, BATCH).await > 0 {
        // What nobody waits for any more is not done behind their backs.
        let wanted = jobs.drain(..).filter(|(_, waiter)| !waiter.is_closed());
        let (commands, waiters): (Vec<_>, Vec<_>) = wanted.unzip();
        if commands.is_empty() {
            continue;
        }
        let mut pipeline = redis::pipe();
        for command in commands {
            pipeline.add_command(command);
        }
        // Behind them on the same connection, and so at the server that has the keys: no other one knows of the writes.
        pipeline.cmd("WAIT").arg(wait_replicas).arg(ACKNOWLEDGE_MS);
        let pipeline = &pipeline;
        let answers = link.ask(COMMAND, |connection| async move { connection.run::<Vec<Value>>(pipeline).await }).await;
        let answers = answers.ok().and_then(|answers| acknowledged(answers, wait_replicas));
        let mut answers = answers.unwrap_or_default().into_iter();
        for waiter in waiters {
            waiter.send(answers.next().ok_or(Away)).unwrap_or_default();
        }
    }
}

/// The answers, where the last of them says that enough replicas have it all.
fn acknowledged(mut answers: Vec<Value>, wait_replicas: u32) -> Option<Vec<Value>> {
    let Value::Int(replicas) = answers.pop()? else { return None };
    (replicas >= i64::from(wait_replicas)).then_some(answers)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_is_answered_that_too_few_replicas_have() {
        let answers = |replicas| vec![Value::Okay, Value::Int(1), Value::Int(replicas)];
        assert_eq!(acknowledged(answers(2), 2), Some(vec![Value::Okay, Value::Int(1)]));
        assert_eq!(acknowledged(answers(3), 2), Some(vec![Value::Okay, Value::Int(1)]));
        assert_eq!(acknowledged(answers(1), 2), None);
        assert_eq!(acknowledged(vec![Value::Okay], 0), None);
        assert_eq!(acknowledged(vec![], 0), None);
    }
}
