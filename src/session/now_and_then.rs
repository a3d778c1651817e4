//! What a session has now and then, behind one pointer while it has none of it.
//!
//! Ten thousand sessions stand idle for one that streams a call: four empty lists in each would
//! be 96 bytes for nothing.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};

use super::call_stream::CallStream;
use super::event_log::StreamName;
use super::readers::Readers;
use crate::protocol::subscription::FILTER_URIS_MAX;
use crate::runtime::clock::Timestamp;
use crate::service::changes::Watch;

/// See the module docs.
#[derive(Default)]
pub(super) struct NowAndThen(Mutex<Option<Box<Lists>>>);

#[derive(Default)]
struct Lists {
    /// Of calls that run here. As many as calls.
    streams: Vec<Arc<CallStream>>,
    /// Of streams whose call runs here, and of those that are read here. As many as calls and
    /// connections; gone with the last who holds them.
    readers: Vec<Weak<Readers>>,
    /// What was watched before the standing stream watches it.
    watches: Vec<Watch>,
    /// When this session's actor died lately.
    deaths: Vec<Timestamp>,
}

impl NowAndThen {
    /// The stream of that name.
    pub(super) fn stream(&self, name: &StreamName) -> Option<Arc<CallStream>> {
        let lists = self.lock();
        let streams = &lists.as_ref()?.streams;
        streams.iter().find(|stream| stream.name() == name).cloned()
    }

    pub(super) fn add_stream(&self, stream: Arc<CallStream>) {
        self.change(|lists| lists.streams.push(stream));
    }

    pub(super) fn remove_stream(&self, name: &StreamName) {
        self.change(|lists| lists.streams.retain(|stream| stream.name() != name));
    }

    /// Those who read the stream of that name here.
    pub(super) fn readers(&self, name: &StreamName) -> Arc<Readers> {
        self.change(|lists| {
            lists.known_readers(name.as_str()).unwrap_or_else(|| {
                let readers = Arc::new(Readers::of(name.clone()));
                lists.readers.push(Arc::downgrade(&readers));
                readers
            })
        })
    }

    /// Lets those who read the stream of that name here know that there is more of it.
    pub(super) fn wake_readers(&self, name: &str) {
        let readers = self
            .lock()
            .as_ref()
            .and_then(|lists| lists.known_readers(name));
        if let Some(readers) = readers {
            readers.wake();
        }
    }

    /// Forgets readers who are gone.
    pub(super) fn tidy(&self) {
        self.change(|_| ());
    }

    /// Keeps a watch, if there are not too many.
    pub(super) fn keep_watch(&self, watch: Watch) {
        self.change(|lists| {
            // One for each subscription, and the one that the last stream gave back.
            if lists.watches.len() <= FILTER_URIS_MAX {
                lists.watches.push(watch);
            }
        });
    }

    /// The watches that were kept since this was last asked.
    pub(super) fn take_watches(&self) -> Vec<Watch> {
        self.change(|lists| std::mem::take(&mut lists.watches))
    }

    /// Notes that the actor died. Answers how often it did `since` then.
    pub(super) fn note_death(&self, now: Timestamp, since: impl Fn(Timestamp) -> bool) -> usize {
        self.change(|lists| {
            lists.deaths.retain(|at| since(*at));
            lists.deaths.push(now);
            lists.deaths.len()
        })
    }

    fn change<T>(&self, change: impl FnOnce(&mut Lists) -> T) -> T {
        let mut kept = self.lock();
        let mut lists = kept.take().unwrap_or_default();
        let result = change(&mut lists);
        lists.readers.retain(|readers| readers.strong_count() > 0);
        *kept = (!lists.is_empty()).then_some(lists);
        result
    }

    fn lock(&self) -> MutexGuard<'_, Option<Box<Lists>>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Lists {
    fn known_readers(&self, name: &str) -> Option<Arc<Readers>> {
        let mut living = self.readers.iter().filter_map(Weak::upgrade);
        living.find(|readers| readers.stream().as_str() == name)
    }

    fn is_empty(&self) -> bool {
        self.streams.is_empty()
            && self.readers.is_empty()
            && self.watches.is_empty()
            && self.deaths.is_empty()
    }
}
