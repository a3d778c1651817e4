//! DELETE at every node: who ended a session waits until the others have let it go, too.
//!
//! The record is removed first, so nothing can bring the session back; what is waited for is that
//! nodes which know it stop answering. A node that does not say so in time is not waited for: it
//! sleeps, is gone, or hears of it when the store is back.

use std::collections::BTreeSet;
use std::time::Duration;

use dashmap::DashMap;
use dashmap::mapref::entry::Entry;
use tokio::sync::oneshot;

use super::id::SessionId;
use super::letters::News;
use super::sessions::Shared;
use crate::store::Incarnation;

/// How long the others may take; a letter there and back takes milliseconds.
const OTHERS: Duration = Duration::from_millis(500);

/// Sessions that were ended here and are not known to be ended elsewhere. Each for as long as a
/// DELETE waits.
#[derive(Debug, Default)]
pub(super) struct Endings(DashMap<SessionId, Waiting>);

#[derive(Debug)]
struct Waiting {
    others: BTreeSet<Incarnation>,
    all: oneshot::Sender<()>,
}

/// Forgets a wait that is over, or was given up.
struct Forget<'a>(&'a Endings, &'a SessionId);

impl Drop for Forget<'_> {
    fn drop(&mut self) {
        self.0.0.remove(self.1);
    }
}

impl Endings {
    /// A node has let the session go.
    pub(super) fn hear(&self, session: &SessionId, from: Incarnation) {
        let Entry::Occupied(mut waiting) = self.0.entry(session.clone()) else {
            return;
        };
        waiting.get_mut().others.remove(&from);
        if waiting.get().others.is_empty() {
            // Nobody waits any more: it took too long.
            let _late = waiting.remove().all.send(());
        }
    }
}

impl Shared {
    /// Tells every other node that a session has ended, and waits until they say that it has there.
    pub(super) async fn end_elsewhere(&self, session: &SessionId) {
        let others = BTreeSet::from_iter(self.node.others());
        if others.is_empty() {
            // Also those that may only be asleep.
            return self.announce(session, News::Deleted);
        }
        let (all, heard) = oneshot::channel();
        let waiting = Waiting { others, all };
        self.endings.0.insert(session.clone(), waiting);
        let _forget = Forget(&self.endings, session);
        self.announce(session, News::Deleted);
        let _late = tokio::time::timeout(OTHERS, heard).await;
    }
}
