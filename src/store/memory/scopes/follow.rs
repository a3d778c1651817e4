//! Single things of a store that writes elsewhere first: here they follow what stands there.
//!
//! `is_same` tells each time whether a record is still the one that was meant, not a later one of
//! the same name: between the decision and this, a scope may have been removed and begun anew.

use dashmap::mapref::one::RefMut;

use super::{JudgedAppend, Living, Scopes};
use crate::store::memory::single_thing::{Head, SingleThing};
use crate::store::{Claimed, Incarnation, Ownership, Scope, Thing};

impl<R> Scopes<R> {
    /// What decides about the next write to a thing.
    pub(in crate::store) fn head(
        &self,
        (scope, thing): (&Scope, &Thing),
        is_same: impl FnOnce(&R) -> bool,
    ) -> Option<Head> {
        let living = self.get(scope).filter(|living| is_same(&living.record))?;
        living.things.get(thing).map(SingleThing::head)
    }

    /// Follows a claim. `None`: that scope is gone.
    pub(in crate::store) fn follow_claim(
        &self,
        (scope, thing): (&Scope, &Thing),
        is_same: impl FnOnce(&R) -> bool,
        (claimed, origin): (Ownership, u64),
    ) -> Option<Claimed> {
        let mut living = self.same_mut(scope, is_same)?;
        Some(self.counted(&mut living, |things, bounds| {
            let standing = things.claim(thing, claimed, origin);
            things.trim(bounds);
            standing
        }))
    }

    /// Follows an append. `None`: that scope is gone.
    pub(in crate::store) fn follow_append(
        &self,
        (scope, thing): (&Scope, &Thing),
        is_same: impl FnOnce(&R) -> bool,
        append: JudgedAppend,
    ) -> Option<Vec<Incarnation>> {
        let mut living = self.same_mut(scope, is_same)?;
        let followers = self.write(scope, thing, &mut living, append);
        drop(living);
        self.trim(scope, thing);
        Some(followers)
    }

    /// Puts a thing in its place as it once stood.
    pub(in crate::store) fn put_thing(
        &self,
        (scope, name): (&Scope, &Thing),
        is_same: impl FnOnce(&R) -> bool,
        thing: SingleThing,
    ) {
        let ended = thing.log.ended();
        if let Some(mut living) = self.same_mut(scope, is_same) {
            self.counted(&mut living, |things, bounds| {
                things.put(name.clone(), thing);
                things.trim(bounds);
            });
            drop(living);
            self.list_ended(scope, name, ended);
            self.trim(scope, name);
        }
    }

    /// Changes a thing. `None`: it is gone.
    pub(in crate::store) fn update_thing<T>(
        &self,
        (scope, thing): (&Scope, &Thing),
        is_same: impl FnOnce(&R) -> bool,
        change: impl FnOnce(&mut SingleThing) -> T,
    ) -> Option<T> {
        let mut living = self.same_mut(scope, is_same)?;
        self.counted(&mut living, |things, _| things.update(thing, change))
    }

    /// Lets `visit` see every thing of every living scope.
    pub(in crate::store) fn for_each_thing(
        &self,
        mut visit: impl FnMut(&Scope, &R, &Thing, &SingleThing),
    ) {
        let now = self.clock.now();
        for living in self.map.iter().filter(|living| living.expires > now) {
            for (name, thing) in living.things.iter() {
                visit(living.key(), &living.record, name, thing);
            }
        }
    }

    fn same_mut(
        &self,
        scope: &Scope,
        is_same: impl FnOnce(&R) -> bool,
    ) -> Option<RefMut<'_, Scope, Living<R>>> {
        self.get_mut(scope).filter(|living| is_same(&living.record))
    }
}
