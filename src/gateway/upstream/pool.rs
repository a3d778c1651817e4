//! Which line of an upstream a request uses: who shares it, how many there are, when one is closed.
//!
//! Lines are kept by [`Key`]. Over HTTP a key has one line. On a pipe a line carries one call at a
//! time that may be asked something, so a key may have several processes, up to the upstream's
//! bound; a request that finds all of them busy waits. An idle line makes room for another key's.
//!
//! Invariants: a line is used under its key only, so nothing is shared by two principals. Opening is
//! not cut off when who asked for it goes away.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use futures_util::FutureExt as _;
use futures_util::future::{BoxFuture, Shared};
use tokio::sync::{Notify, OwnedSemaphorePermit, Semaphore};
use tokio::time::Instant;

use super::line::{Lease, Line};
use crate::client::ClientError;
use crate::gateway::bridge::capability_set::CapabilitySet;
use crate::identity::Principal;
use crate::runtime::sabotage;
use crate::runtime::tasks::{TaskKind, Tasks};
use crate::service::SessionKey;

/// Who shares a line.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(in crate::gateway) struct Key {
    /// Whose requests it carries.
    pub(in crate::gateway) principal: Principal,
    /// What their clients can be asked: an upstream with sessions is told once, when one is opened.
    pub(in crate::gateway) capabilities: CapabilitySet,
    /// Which of them.
    pub(in crate::gateway) unit: Unit,
}

/// Which requests of a principal share a line.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(in crate::gateway) enum Unit {
    /// All.
    Shared,
    /// Those of a session of a client.
    Session(SessionKey),
    /// One.
    Request(u64),
}

/// Why there is no line.
#[derive(Clone, Debug, thiserror::Error)]
pub(in crate::gateway) enum NoLine {
    /// None could be opened.
    #[error(transparent)]
    Failed(Arc<ClientError>),
    /// One was being opened for too long.
    #[error("it was not ready in time")]
    Late,
    /// All there may be are in use.
    #[error("all of its {0} processes are in use")]
    Busy(usize),
}

/// A line that is being opened.
pub(super) type Opening = Shared<BoxFuture<'static, Result<Arc<Line>, Arc<ClientError>>>>;

/// Opens a line.
pub(super) type Open =
    Box<dyn FnOnce() -> BoxFuture<'static, Result<Arc<Line>, ClientError>> + Send>;

/// See the module docs.
#[derive(Debug)]
pub(super) struct Pool {
    tasks: Tasks,
    lines_max: usize,
    /// Whether a key has one line, which carries any number of requests.
    one_per_key: bool,
    places: Arc<Semaphore>,
    slots: Mutex<HashMap<Key, Vec<Slot>>>,
    /// A line was given back, closed, or could not be opened.
    freed: Arc<Notify>,
}

#[derive(Debug)]
struct Slot {
    number: u64,
    opening: Opening,
    /// Once it is open.
    line: Option<Arc<Line>>,
    place: OwnedSemaphorePermit,
}

impl Pool {
    pub(super) fn new(tasks: Tasks, lines_max: usize, one_per_key: bool) -> Arc<Self> {
        Arc::new(Self {
            tasks,
            lines_max,
            one_per_key,
            places: Arc::new(Semaphore::new(lines_max)),
            slots: Mutex::default(),
            freed: Arc::default(),
        })
    }

    /// A line for a request under `key`; waits until `until` for one to be free.
    pub(super) async fn line(
        self: &Arc<Self>,
        key: &Key,
        may_be_asked: bool,
        until: Instant,
        open: impl Fn() -> Open,
    ) -> Result<Lease, NoLine> {
        let key = &sabotaged(key);
        loop {
            let freed = self.freed.notified();
            tokio::pin!(freed);
            // From here on a line that is given back is noticed.
            freed.as_mut().enable();
            match self.look(key, may_be_asked, &open) {
                Found::Lease(lease) => {
                    if matches!(key.unit, Unit::Request(_)) {
                        // It serves this one request.
                        lease.end();
                    }
                    return Ok(lease);
                }
                Found::Opening(opening) => {
                    let opened = tokio::time::timeout_at(until, opening).await;
                    match opened {
                        Ok(Ok(_)) => continue,
                        Ok(Err(error)) => return Err(NoLine::Failed(error)),
                        Err(_) => return Err(NoLine::Late),
                    }
                }
                Found::Nothing => {}
            }
            if tokio::time::timeout_at(until, freed).await.is_err() {
                return Err(NoLine::Busy(self.lines_max));
            }
        }
    }

    fn look(self: &Arc<Self>, key: &Key, may_be_asked: bool, open: &impl Fn() -> Open) -> Found {
        let mut slots = self.lock();
        // Who finds nothing leaves nothing.
        let of_key = slots.get(key).map_or(&[][..], Vec::as_slice);
        let mut leases = of_key.iter().filter_map(|slot| slot.line.as_ref());
        if let Some(lease) = leases.find_map(|line| line.lease(may_be_asked)) {
            return Found::Lease(lease);
        }
        let opening = of_key.iter().find(|slot| slot.line.is_none());
        let opening = opening.map(|slot| slot.opening.clone());
        if let Some(opening) = opening.filter(|_| self.one_per_key || !may_be_asked) {
            return Found::Opening(opening);
        }
        let place = self.places.clone().try_acquire_owned().ok();
        let place = place.or_else(|| Self::make_room(&mut slots));
        let Some(place) = place else {
            return Found::Nothing;
        };
        let slot = self.open(key, place, open());
        let opening = slot.opening.clone();
        slots.entry(key.clone()).or_default().push(slot);
        Found::Opening(opening)
    }

    /// Begins to open a line. It becomes the pool's when it stands.
    fn open(self: &Arc<Self>, key: &Key, place: OwnedSemaphorePermit, open: Open) -> Slot {
        static NUMBER: std::sync::atomic::AtomicU64 = std::sync::atomic::AtomicU64::new(0);
        let number = NUMBER.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
        let (pool, of) = (self.clone(), key.clone());
        let opening = self.tasks.spawn(TaskKind::Upkeep, async move {
            let opened = open().await;
            match &opened {
                Ok(line) => pool.opened(&of, number, line),
                Err(_) => pool.forget(&of, number),
            }
            opened.map_err(Arc::new)
        });
        let opening = async move {
            opening.await.unwrap_or_else(|_| {
                let what = "opening it was cut off".to_owned();
                Err(Arc::new(ClientError::Closed(what)))
            })
        };
        Slot {
            number,
            opening: opening.boxed().shared(),
            line: None,
            place,
        }
    }

    fn opened(self: &Arc<Self>, key: &Key, number: u64, line: &Arc<Line>) {
        line.tell_when_free(&self.freed);
        {
            let mut slots = self.lock();
            let slots = slots.get_mut(key).into_iter().flatten();
            for slot in slots.filter(|slot| slot.number == number) {
                slot.line = Some(line.clone());
            }
        }
        self.freed.notify_waiters();
        let (pool, key, line) = (self.clone(), key.clone(), line.clone());
        self.tasks.spawn(TaskKind::Upkeep, async move {
            line.over().await;
            pool.forget(&key, number);
            line.connection().close().await;
        });
    }

    fn forget(&self, key: &Key, number: u64) {
        {
            let mut slots = self.lock();
            if let Some(of_key) = slots.get_mut(key) {
                of_key.retain(|slot| slot.number != number);
                if of_key.is_empty() {
                    slots.remove(key);
                }
            }
        }
        self.freed.notify_waiters();
    }

    /// Ends the line that was unused for longest, and gives its place.
    fn make_room(slots: &mut HashMap<Key, Vec<Slot>>) -> Option<OwnedSemaphorePermit> {
        // A line of a session is that session's state: it is not taken away.
        let of_others = slots
            .iter()
            .filter(|(key, _)| !matches!(key.unit, Unit::Session(_)));
        let unused = of_others.flat_map(|(key, of_key)| {
            of_key.iter().filter_map(move |slot| {
                let line = slot.line.as_ref()?;
                Some((line.unused_for()?, key.clone(), slot.number))
            })
        });
        let (_, key, number) = unused.max_by_key(|(unused, ..)| *unused)?;
        let of_key = slots.get_mut(&key)?;
        let at = of_key.iter().position(|slot| slot.number == number)?;
        let slot = of_key.swap_remove(at);
        if let Some(line) = &slot.line {
            line.end();
        }
        Some(slot.place)
    }

    /// All lines of a principal, also those that are being opened.
    pub(super) fn of(&self, principal: &Principal) -> Vec<Opening> {
        let slots = self.lock();
        let of_principal = slots.iter().filter(|(key, _)| key.principal == *principal);
        let slots = of_principal.flat_map(|(_, of_key)| of_key);
        slots.map(|slot| slot.opening.clone()).collect()
    }

    /// Ends lines that were unused for `idle`.
    pub(super) fn sweep(&self, idle: Duration, idle_of_session: Duration) {
        let slots = self.lock();
        for (key, of_key) in &*slots {
            let idle = match key.unit {
                Unit::Session(_) => idle_of_session,
                Unit::Shared => idle,
                // Opened for one that did not come.
                Unit::Request(_) => Duration::ZERO,
            };
            for line in of_key.iter().filter_map(|slot| slot.line.as_ref()) {
                if line.unused_for().is_some_and(|unused| unused >= idle) {
                    line.end();
                }
            }
        }
    }

    /// The lines on which a request was given up before it was answered, since this was last asked.
    pub(super) fn left_unanswered(&self) -> Vec<Arc<Line>> {
        let slots = self.lock();
        let lines = slots.values().flatten();
        let lines = lines.filter_map(|slot| slot.line.as_ref());
        lines
            .filter(|line| line.left_unanswered())
            .cloned()
            .collect()
    }

    /// Ends the lines of a session of a client.
    pub(super) fn end_session(&self, session: &SessionKey) {
        self.end_where(|key| matches!(&key.unit, Unit::Session(of) if of == session));
    }

    /// Ends all lines.
    pub(super) fn end_all(&self) {
        self.end_where(|_| true);
    }

    fn end_where(&self, ends: impl Fn(&Key) -> bool) {
        let slots = self.lock();
        let ending = slots.iter().filter(|(key, _)| ends(key));
        for line in ending.flat_map(|(_, of_key)| of_key.iter().filter_map(|it| it.line.as_ref())) {
            line.end();
        }
    }

    /// Waits until no line is left, and not longer than `limit`.
    pub(super) async fn closed(&self, limit: Duration) {
        let all = u32::try_from(self.lines_max).unwrap_or(u32::MAX);
        let _cut = tokio::time::timeout(limit, self.places.acquire_many(all)).await;
    }

    /// How many lines there are.
    pub(super) fn len(&self) -> usize {
        self.lines_max - self.places.available_permits()
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<Key, Vec<Slot>>> {
        self.slots.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

enum Found {
    Lease(Lease),
    Opening(Opening),
    Nothing,
}

/// With a deliberate bug, everybody's requests share lines.
fn sabotaged(key: &Key) -> Key {
    if sabotage::is(sabotage::Bug::PoolWithoutPrincipal) {
        return Key {
            principal: Principal::local(),
            unit: Unit::Shared,
            ..key.clone()
        };
    }
    key.clone()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Each request of an upstream that shares nothing has a key of its own.
    #[tokio::test]
    async fn who_finds_no_place_leaves_nothing_behind() {
        let pool = Pool::new(Tasks::on(tokio::runtime::Handle::current()), 0, true);
        let key = Key {
            principal: Principal::local(),
            capabilities: CapabilitySet::default(),
            unit: Unit::Request(1),
        };
        let open = || -> Open { unreachable!("there is no place for it") };
        let line = pool.line(&key, false, Instant::now(), open).await;
        assert!(matches!(line, Err(NoLine::Busy(0))));
        assert!(pool.lock().is_empty());
    }
}
