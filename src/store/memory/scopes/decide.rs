//! Single things of a store that keeps nothing elsewhere: decided and written under one lock.

use bytes::Bytes;

use super::{JudgedAppend, Scopes};
use crate::store::memory::single_thing::{Head, SingleThing};
use crate::store::{
    AppendOutcome, ClaimOutcome, Epoch, Incarnation, LogEntry, LogPage, Ownership, Scope,
    StoreResult, Thing,
};

impl<R> Scopes<R> {
    /// See [`crate::store::Store::claim`].
    pub(in crate::store) fn claim(
        &self,
        (scope, thing): (&Scope, &Thing),
        ending: Option<Epoch>,
        (owner, note): (Incarnation, Bytes),
    ) -> ClaimOutcome {
        let Some(mut living) = self.get_mut(scope) else {
            return ClaimOutcome::Gone;
        };
        let standing = living.things.get(thing).map(SingleThing::head);
        let Some(Head { epoch, .. }) = Head::claim(standing, ending) else {
            return ClaimOutcome::Lost;
        };
        let claimed = Ownership { epoch, owner, note };
        let standing = self.counted(&mut living, |things, bounds| {
            let standing = things.claim(thing, claimed, 0);
            things.trim(bounds);
            standing
        });
        ClaimOutcome::Claimed(standing)
    }

    /// See [`crate::store::Store::append`].
    pub(in crate::store) fn append(
        &self,
        (scope, thing): (&Scope, &Thing),
        epoch: Epoch,
        entries: Vec<LogEntry>,
        ends: bool,
    ) -> StoreResult<AppendOutcome> {
        let Some(mut living) = self.get_mut(scope) else {
            return Ok(AppendOutcome::Gone);
        };
        let Some(head) = living.things.get(thing).map(SingleThing::head) else {
            return Ok(AppendOutcome::Stale);
        };
        if head.append(epoch, &entries, ends)?.is_none() {
            return Ok(AppendOutcome::Stale);
        }
        let ended = ends.then(|| self.clock.now());
        let append = JudgedAppend { entries, ended };
        let followers = self.write(scope, thing, &mut living, append);
        drop(living);
        self.trim(scope, thing);
        Ok(AppendOutcome::Stored { followers })
    }

    /// See [`crate::store::Store::ownership`].
    pub(in crate::store) fn ownership(&self, scope: &Scope, thing: &Thing) -> Option<Ownership> {
        Some(self.get(scope)?.things.get(thing)?.ownership.clone())
    }

    /// See [`crate::store::Store::read_log`].
    pub(in crate::store) fn read_log(
        &self,
        (scope, thing): (&Scope, &Thing),
        (after, limit): (u64, usize),
        follower: Option<Incarnation>,
    ) -> LogPage {
        let page = match follower {
            None => self
                .get(scope)
                .and_then(|living| Some(living.things.get(thing)?.log.page(after, limit))),
            Some(follower) => self.get_mut(scope).and_then(|mut living| {
                living.things.update(thing, |thing| {
                    thing.follow(follower);
                    thing.log.page(after, limit)
                })
            }),
        };
        page.unwrap_or(LogPage::Missing)
    }
}
