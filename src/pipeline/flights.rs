//! Single flight: whoever asks a question that is under way waits for its answer. The flight is a task of its own, so
//! that a caller who gives up takes nothing from the others, and its deadline is the source's, not the first caller's.
//! (moka's own single flight runs in the first caller's task.)

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};

use futures::FutureExt as _;
use futures::future::{BoxFuture, Shared};
use tokio::sync::oneshot;
use tokio_util::task::TaskTracker;

use super::kept::Key;

/// The questions under way.
#[derive(Debug)]
pub(super) struct Flights<T: Clone> {
    under_way: Arc<Mutex<BTreeMap<Key, Flight<T>>>>,
    tasks: TaskTracker,
}

/// The answer that will come; none where the task panicked.
type Coming<T> = Shared<BoxFuture<'static, Option<T>>>;

#[derive(Debug)]
struct Flight<T: Clone> {
    epoch: u64,
    coming: Coming<T>,
}

impl<T: Clone + Send + Sync + 'static> Flights<T> {
    pub(super) fn new(tasks: TaskTracker) -> Self {
        Self { under_way: Arc::default(), tasks }
    }

    /// Joins the flight of this key if it began at `epoch` or later, else begins one: `landed` is looked at once more,
    /// because one may just have landed, then `fly` is called.
    pub(super) fn join<F>(
        &self,
        key: Key,
        epoch: u64,
        landed: impl FnOnce() -> Option<T>,
        fly: impl FnOnce() -> F,
    ) -> Coming<T>
    where
        F: Future<Output = T> + Send + 'static,
    {
        let mut under_way = self.under_way.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(flight) = under_way.get(&key).filter(|flight| flight.epoch >= epoch) {
            return flight.coming.clone();
        }
        if let Some(answer) = landed() {
            return futures::future::ready(Some(answer)).boxed().shared();
        }
        let (tell, told) = oneshot::channel();
        let coming = told.map(Result::ok).boxed().shared();
        under_way.insert(key.clone(), Flight { epoch, coming: coming.clone() });
        let landing = Landing { under_way: Arc::clone(&self.under_way), key, epoch };
        let flight = fly();
        self.tasks.spawn(async move {
            let landing = landing;
            let answer = flight.await;
            drop(landing);
            // Nobody may be waiting any more.
            drop(tell.send(answer));
        });
        coming
    }
}

/// Takes the flight off the board, also when it crashes.
struct Landing<T: Clone> {
    under_way: Arc<Mutex<BTreeMap<Key, Flight<T>>>>,
    key: Key,
    epoch: u64,
}

impl<T: Clone> Drop for Landing<T> {
    fn drop(&mut self) {
        let mut under_way = self.under_way.lock().unwrap_or_else(PoisonError::into_inner);
        // A later one may have taken its place.
        if under_way.get(&self.key).is_some_and(|flight| flight.epoch == self.epoch) {
            under_way.remove(&self.key);
        }
    }
}

#[cfg(test)]
mod tests {
    use tokio::sync::Notify;

    use super::*;

    #[tokio::test]
    async fn a_question_under_way_is_joined_and_a_crash_is_nobodys_answer_for_ever() {
        let flights: Flights<u8> = Flights::new(TaskTracker::new());
        let (gate, none) = (Arc::new(Notify::new()), || None);
        let opened = Arc::clone(&gate);
        let first = flights.join(b"k".to_vec(), 0, none, || async move {
            opened.notified().await;
            1
        });
        let second = flights.join(b"k".to_vec(), 0, none, || async { 2 });
        let later = flights.join(b"k".to_vec(), 1, none, || async { 3 });
        drop(first);
        gate.notify_one();
        assert_eq!((second.await, later.await), (Some(1), Some(3)), "an invalidation begins a new flight");
        let crash = flights.join(b"k".to_vec(), 1, none, || async { panic!("a bug") });
        assert_eq!(crash.await, None);
        assert_eq!(flights.join(b"k".to_vec(), 1, none, || async { 4 }).await, Some(4));
        assert_eq!(flights.join(b"k".to_vec(), 1, || Some(5), || async { 6 }).await, Some(5), "it has just landed");
    }
}
