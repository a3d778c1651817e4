//! The nodes: their leases, what they know of each other, and what they tell each other.

use super::event::{Answer, Ask, At, By, Event, incarnation, place};
use super::world::World;
use crate::session::event_log::NOBODY;
use crate::store::{ClaimOutcome, Incarnation, Renewed, StoreResult};

/// How long a lease lasts, in milliseconds.
pub(super) const LEASE: u64 = 600;
pub(super) const BETWEEN_RENEWALS: u64 = LEASE / 3;
/// A renewal that failed is tried again so soon.
const AGAIN: u64 = 100;

pub(super) struct Node {
    pub(super) dead: bool,
    pub(super) paused_until: u64,
    pub(super) cut_off_until: u64,
    /// Who lives, as of its last renewal.
    living: Vec<Incarnation>,
    /// Counts the waits between renewals.
    wait: u64,
    renewing: bool,
    /// The newest reader here.
    pub(super) newest: Option<At>,
    /// Until when the store lets it live.
    leased_until: u64,
    /// Until when it is sure of that.
    held_until: u64,
    /// Since when, without a break.
    held_since: u64,
    /// When it last asked for it.
    asked: u64,
    /// Whether it was taken for dead at some time.
    lapsed: bool,
}

impl Node {
    pub(super) fn of(nodes: usize) -> Self {
        Self {
            dead: false,
            paused_until: 0,
            cut_off_until: 0,
            living: (0..nodes).map(incarnation).collect(),
            wait: 0,
            renewing: false,
            newest: None,
            leased_until: LEASE,
            held_until: LEASE,
            held_since: 0,
            asked: 0,
            lapsed: false,
        }
    }

    /// The store hears of a renewal.
    pub(super) const fn renews(&mut self, now: u64) {
        self.lapsed |= now >= self.leased_until;
        self.leased_until = now + LEASE;
    }
}

impl World {
    pub(super) fn renewal_due(&mut self, node: At, wait: u64) {
        let waiting = &mut self.nodes[node];
        if waiting.wait == wait && !waiting.renewing {
            waiting.renewing = true;
            waiting.asked = self.now;
            self.ask(node, Ask::Renew);
        }
    }

    fn renewed(&mut self, node: At, outcome: StoreResult<Renewed>) {
        let known = &mut self.nodes[node];
        known.renewing = false;
        known.wait += 1;
        let wait = known.wait;
        let Ok(renewed) = outcome else {
            return self.after(AGAIN, Event::RenewalDue(node, wait));
        };
        known.living = renewed.living;
        if self.now >= known.held_until {
            known.held_since = known.asked;
        }
        known.held_until = known.asked + LEASE;
        self.after(BETWEEN_RENEWALS, Event::RenewalDue(node, wait));
        self.readers_hear_of_renewal(node);
    }

    /// Whether a node knows that another lives.
    pub(super) fn knows_living(&self, node: At, other: Incarnation) -> bool {
        self.nodes[node].living.contains(&other)
    }

    /// A node renews before its time, to hear who lives.
    pub(super) fn hurry(&mut self, node: At) {
        let wait = self.nodes[node].wait;
        self.renewal_due(node, wait);
    }

    /// A letter; it may be lost or come twice.
    pub(super) fn tell(&mut self, from: At, to: Incarnation) {
        let to = place(to);
        if to == from || self.random.one_in(20) {
            return;
        }
        let delay = self.delay();
        self.after(delay, Event::Letter(to));
        if self.random.one_in(20) {
            let delay = self.delay();
            self.after(delay, Event::Letter(to));
        }
    }

    /// A stream was taken from its owner. That may only be one that was found to be gone.
    pub(super) fn disowned(&mut self, outcome: &StoreResult<ClaimOutcome>) {
        let Ok(ClaimOutcome::Claimed(claimed)) = outcome else {
            return;
        };
        if claimed.ended {
            return;
        }
        self.witness.seen.takeovers += 1;
        self.witness.taken_over();
        let Some(previous) = claimed.previous.filter(|previous| *previous != NOBODY) else {
            return;
        };
        assert!(
            self.was_gone(place(previous)) || self.call.broke_off,
            "a call was taken from a node that lived all the time"
        );
    }

    /// For how long a node has been sure that nobody takes it for dead.
    pub(super) fn tenure(&self, node: At) -> Option<u64> {
        let node = &self.nodes[node];
        (self.now < node.held_until).then_some(node.held_since)
    }

    /// Whether others had reason to take that node for dead at some time.
    pub(super) fn was_gone(&self, node: At) -> bool {
        let node = &self.nodes[node];
        node.dead || node.lapsed || self.now >= node.leased_until
    }

    pub(super) fn answered(&mut self, node: At, answer: Answer) {
        match answer {
            Answer::Append(By::Call, outcome) => self.call_append_answered(outcome),
            Answer::Append(By::Reader(reader), outcome) => self.end_written(reader, outcome),
            Answer::Own(purpose, owned) => self.call_owns(purpose, owned),
            Answer::PassOn(purpose, outcome) => self.call_passed_on(purpose, outcome),
            Answer::Disown(reader, outcome) => self.claim_answered(reader, outcome),
            Answer::Read(reader, page) => self.page_read(reader, page),
            Answer::Look(connection, after, page) => self.looked(connection, after, page),
            Answer::Owner(reader, owner) => self.owner_told(reader, owner),
            Answer::Renew(outcome) => self.renewed(node, outcome),
        }
    }
}
