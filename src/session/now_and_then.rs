//! What a session has now and then, behind one pointer while it has none of it.
//!
//! Ten thousand sessions stand idle for one that streams a call: three empty lists in each would
//! be 72 bytes for nothing.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use super::call_stream::CallStream;
use super::event_log::StreamName;
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
        let is_empty =
            lists.streams.is_empty() && lists.watches.is_empty() && lists.deaths.is_empty();
        *kept = (!is_empty).then_some(lists);
        result
    }

    fn lock(&self) -> MutexGuard<'_, Option<Box<Lists>>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
