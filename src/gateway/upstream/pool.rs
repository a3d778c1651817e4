//! Which line of an upstream a request uses: who shares it, how many there are, when one is closed.
//!
//! Lines are kept by [`Key`]. Over HTTP a key has one line. On a pipe a line carries one call at a
//! time that may be asked something, so a key may have several processes, up to the upstream's
//! bound; a request that finds all of them busy waits. An idle line makes room for another key's. A line
//! that is kept for a session of a client, or under a handle, is its state: it is the only one of its
//! key, and is not taken away.
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

/// Most lines kept for the handles of one principal. Who calls without naming a session keeps one more
/// each time, and all of a principal's clients together hold a few conversations at once.
const HANDLES_PER_PRINCIPAL_MAX: usize = 256;

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
    /// Those that carry a handle, by its number.
    Handle(u64),
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
    #[error("all of its processes are in use")]
    Busy,
    /// The only one there may be is, by another request.
    #[error("another call of its session did not end in time")]
    Taken,
    /// As many are kept for those who may come back to them as may.
    #[error("as many of its sessions are kept as may")]
    Full,
    /// The one that is asked for is not there.
    #[error("it has no such session")]
    Gone,
}

impl Unit {
    /// Whether its line is its state: it has just one, which is not taken away for others.
    const fn is_kept(&self) -> bool {
        matches!(self, Self::Session(_) | Self::Handle(_))
    }
}

/// How long a line is waited for.
#[derive(Clone, Copy, Debug)]
pub(in crate::gateway) struct Until {
    /// One that is being opened.
    pub(in crate::gateway) opened: Instant,
    /// One that others use.
    pub(in crate::gateway) free: Instant,
}

impl Until {
    /// The same for both.
    pub(super) const fn at(instant: Instant) -> Self {
        Self {
            opened: instant,
            free: instant,
        }
    }
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

    /// A line for a request under `key`; waits until `until` for one to be free. Without `open` only one
    /// that is there already.
    pub(super) async fn line(
        self: &Arc<Self>,
        key: &Key,
        may_be_asked: bool,
        until: Until,
        open: Option<impl Fn() -> Open>,
    ) -> Result<Lease, NoLine> {
        let key = &sabotaged(key);
        loop {
            let freed = self.freed.notified();
            tokio::pin!(freed);
            // From here on a line that is given back is noticed.
            freed.as_mut().enable();
            let late = match self.look(key, may_be_asked, open.as_ref()) {
                Found::Lease(lease) => {
                    if matches!(key.unit, Unit::Request(_)) {
                        // It serves this one request.
                        lease.end();
                    }
                    return Ok(lease);
                }
                Found::Opening(opening) => {
                    let opened = tokio::time::timeout_at(until.opened, opening).await;
                    match opened {
                        Ok(Ok(_)) => continue,
                        Ok(Err(error)) => return Err(NoLine::Failed(error)),
                        Err(_) => return Err(NoLine::Late),
                    }
                }
                Found::Nothing(late @ (NoLine::Busy | NoLine::Taken)) => late,
                Found::Nothing(no_line) => return Err(no_line),
            };
            if tokio::time::timeout_at(until.free, freed).await.is_err() {
                return Err(late);
            }
        }
    }

    fn look(
        self: &Arc<Self>,
        key: &Key,
        may_be_asked: bool,
        open: Option<&impl Fn() -> Open>,
    ) -> Found {
        let mut slots = self.lock();
        // Who finds nothing leaves nothing.
        let of_key = slots.get(key).map_or(&[][..], Vec::as_slice);
        let mut leases = of_key.iter().filter_map(|slot| slot.line.as_ref());
        if let Some(lease) = leases.find_map(|line| line.lease(may_be_asked)) {
            return Found::Lease(lease);
        }
        let opening = of_key.iter().find(|slot| slot.line.is_none());
        let opening = opening.map(|slot| slot.opening.clone());
        let has_one = self.one_per_key || key.unit.is_kept();
        if let Some(opening) = opening.filter(|_| has_one || !may_be_asked) {
            return Found::Opening(opening);
        }
        let mut lines = of_key.iter().filter_map(|slot| slot.line.as_ref());
        if has_one && lines.any(|line| !line.is_ending()) {
            return Found::Nothing(NoLine::Taken);
        }
        let Some(open) = open else {
            return Found::Nothing(NoLine::Gone);
        };
        if matches!(key.unit, Unit::Handle(_)) && !self.has_room_for_handle(&slots, &key.principal)
        {
            return Found::Nothing(NoLine::Full);
        }
        let place = self.places.clone().try_acquire_owned().ok();
        let place = place.or_else(|| Self::make_room(&mut slots));
        let Some(place) = place else {
            return Found::Nothing(NoLine::Busy);
        };
        let slot = self.open(key, place, open());
        let opening = slot.opening.clone();
        slots.entry(key.clone()).or_default().push(slot);
        Found::Opening(opening)
    }

    /// Whether one more line may be kept under a handle. One place stays for what has none, so that
    /// resources can be read whoever keeps what.
    fn has_room_for_handle(&self, slots: &HashMap<Key, Vec<Slot>>, principal: &Principal) -> bool {
        let kept = slots
            .keys()
            .filter(|key| matches!(key.unit, Unit::Handle(_)));
        let of_principal = kept.clone().filter(|key| key.principal == *principal);
        of_principal.count() < HANDLES_PER_PRINCIPAL_MAX
            && kept.count() < self.lines_max.saturating_sub(1).max(1)
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
        let of_others = slots.iter().filter(|(key, _)| !key.unit.is_kept());
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
                Unit::Shared | Unit::Handle(_) => idle,
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
    Nothing(NoLine),
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
        let line = pool
            .line(&key, false, Until::at(Instant::now()), Some(open))
            .await;
        assert!(matches!(line, Err(NoLine::Busy)));
        assert!(pool.lock().is_empty());
    }

    fn of_handle(principal: &str, number: u64) -> Key {
        Key {
            principal: Principal::from_key(principal),
            capabilities: CapabilitySet::default(),
            unit: Unit::Handle(number),
        }
    }

    /// Why there is no line under this key, though its opening would not be the reason.
    async fn refused(pool: &Arc<Pool>, key: &Key) -> NoLine {
        let open = || -> Open { Box::new(|| Box::pin(std::future::pending())) };
        let line = pool
            .line(key, false, Until::at(Instant::now()), Some(open))
            .await;
        line.expect_err("it never opens")
    }

    #[tokio::test]
    async fn one_principal_keeps_no_more_handles_than_it_may() {
        let most = HANDLES_PER_PRINCIPAL_MAX as u64;
        let tasks = Tasks::on(tokio::runtime::Handle::current());
        let pool = Pool::new(tasks, HANDLES_PER_PRINCIPAL_MAX * 2, true);
        for number in 0..most {
            let opening = refused(&pool, &of_handle("alice", number)).await;
            assert!(matches!(opening, NoLine::Late), "{opening}");
        }
        let beyond = refused(&pool, &of_handle("alice", most)).await;
        assert!(matches!(beyond, NoLine::Full), "{beyond}");
        let others = refused(&pool, &of_handle("bob", most)).await;
        assert!(matches!(others, NoLine::Late), "{others}");
    }

    #[tokio::test]
    async fn handles_leave_a_place_for_what_has_none() {
        let pool = Pool::new(Tasks::on(tokio::runtime::Handle::current()), 3, false);
        for (number, is_opened) in [(1, true), (2, true), (3, false)] {
            let refused = refused(&pool, &of_handle(&format!("p{number}"), number)).await;
            assert_eq!(matches!(refused, NoLine::Late), is_opened, "{refused}");
        }
        let shared = Key {
            unit: Unit::Shared,
            ..of_handle("p1", 1)
        };
        assert!(matches!(refused(&pool, &shared).await, NoLine::Late));
    }

    #[tokio::test]
    async fn a_handle_that_names_nothing_opens_nothing() {
        let pool = Pool::new(Tasks::on(tokio::runtime::Handle::current()), 3, true);
        let none = None::<fn() -> Open>;
        let key = of_handle("alice", 1);
        let line = pool
            .line(&key, false, Until::at(Instant::now()), none)
            .await;
        assert!(matches!(line, Err(NoLine::Gone)));
        assert!(pool.lock().is_empty());
    }
}
