//! The world of one seed: its time, what is on its way, and what goes wrong.

use std::collections::BTreeMap;
use std::time::Duration;

use bytestring::ByteString;

use super::call::Call;
use super::client::Client;
use super::event::{At, Event};
use super::nodes::Node;
use super::random::Random;
use super::reader::Reader;
use super::shared_store::SharedStore;
use super::witness::{Seen, Witness};
use crate::runtime::clock::Clock;

/// When the last fault has ended, in milliseconds. All begin in its first half.
pub(super) const HEALED: u64 = 3_000;
/// More than any story needs, by far: then somebody waits for what never comes.
const EVENTS_MAX: usize = 20_000;

/// See the module docs.
pub(super) struct World {
    pub(super) random: Random,
    pub(super) clock: Clock,
    pub(super) now: u64,
    pub(super) store: SharedStore,
    pub(super) nodes: Vec<Node>,
    pub(super) call: Call,
    pub(super) readers: Vec<Reader>,
    pub(super) connections: Vec<Connection>,
    pub(super) client: Client,
    pub(super) witness: Witness,
    on_the_way: BTreeMap<(u64, u64), Event>,
    begun: u64,
    /// Whether to tell each event as it happens.
    told: bool,
}

/// A connection of the client.
pub(super) struct Connection {
    pub(super) node: At,
    /// When the last of what it carries arrives: it keeps the order.
    pub(super) arrives: u64,
}

impl World {
    pub(super) fn of(seed: u64, told: bool) -> Self {
        let mut random = Random::seeded(seed);
        let clock = Clock::manual(crate::runtime::clock::Timestamp(1));
        let count = 2 + random.one_of(2) + random.one_of(2);
        let kept = if random.one_in(8) { 3 } else { 100 };
        let store = SharedStore::begin(&clock, count, kept);
        let call = Call::of(&mut random);
        let mut world = Self {
            client: Client::new(call.requests),
            witness: Witness::new(call.requests, kept),
            nodes: (0..count).map(|_| Node::of(count)).collect(),
            call,
            store,
            random,
            clock,
            now: 0,
            readers: Vec::new(),
            connections: Vec::new(),
            on_the_way: BTreeMap::new(),
            begun: 0,
            told,
        };
        for node in 0..count {
            let first = world.random.below(super::nodes::BETWEEN_RENEWALS);
            world.at(first, Event::RenewalDue(node, 0));
        }
        world.open_connection(0);
        world.at(0, Event::CallGoesOn);
        world.plan_faults();
        world
    }

    /// Lives through it; panics where a promise is broken.
    pub(super) fn live(mut self) -> Seen {
        for _ in 0..EVENTS_MAX {
            if self.client.is_done() && self.call_is_over() {
                let dropped = self.witness.dropped();
                self.witness.compare(self.store.all_after(dropped));
                if !self.call.broke_off && !self.was_gone(0) {
                    self.witness.ended_by_its_call();
                }
                return self.witness.seen;
            }
            let Some(((time, order), event)) = self.on_the_way.pop_first() else {
                panic!("nothing happens any more, and the client is not at the end");
            };
            self.now = self.now.max(time);
            self.happens(order, event);
        }
        panic!("the client never comes to the end, or the call never ends");
    }

    pub(super) fn at(&mut self, time: u64, event: Event) {
        self.begun += 1;
        self.on_the_way.insert((time, self.begun), event);
    }

    pub(super) fn after(&mut self, millis: u64, event: Event) {
        self.at(self.now + millis, event);
    }

    /// How long something takes on its way: mostly little.
    pub(super) fn delay(&mut self) -> u64 {
        match self.random.below(16) {
            0 => self.random.between(20, 150),
            _ => self.random.between(1, 9),
        }
    }

    /// Another connection of the client; it gives the older ones up.
    pub(super) fn open_connection(&mut self, node: At) -> At {
        let connection = self.connections.len();
        let arrives = self.now;
        self.connections.push(Connection { node, arrives });
        self.client.is_on(connection);
        // Once all is well, one connection must be enough.
        if self.now < HEALED {
            let patience = self.random.between(200, 2_000);
            self.after(patience, Event::Impatient(connection));
        }
        connection
    }

    /// Sends something to the client, behind what was sent before.
    pub(super) fn send_client(&mut self, connection: At, event: Event) {
        let delay = self.delay();
        let arrives = &mut self.connections[connection].arrives;
        *arrives = (*arrives).max(self.now + delay);
        let arrives = *arrives;
        self.at(arrives, event);
    }

    /// Hands an event to the client, if that may be.
    pub(super) fn leaves(&mut self, connection: At, seq: Option<u64>, data: ByteString) {
        self.witness.leaves(seq, &data);
        self.send_client(connection, Event::Hears(connection, seq, data));
    }

    /// Each node may be killed, stand still or be cut off; the one that runs the call more often.
    fn plan_faults(&mut self) {
        for node in 0..self.nodes.len() {
            let begins = self.random.below(HEALED / 2);
            let ends = self.random.between(begins, HEALED);
            // One node is always left.
            let may_die = node + 1 < self.nodes.len();
            let chances = if node == 0 { 6 } else { 12 };
            match self.random.below(chances) {
                0 if may_die => self.at(begins, Event::Killed(node)),
                1 => self.at(begins, Event::Paused(node, ends)),
                2 => self.at(begins, Event::CutOff(node, ends)),
                _ => {}
            }
        }
        // The store is away for all.
        if self.random.one_in(12) {
            let begins = self.random.below(HEALED / 2);
            let ends = self.random.between(begins, HEALED);
            for node in 0..self.nodes.len() {
                self.at(begins, Event::CutOff(node, ends));
            }
        }
    }

    fn happens(&mut self, order: u64, event: Event) {
        if let Some(node) = self.happens_on(&event) {
            if self.nodes[node].dead {
                return;
            }
            let goes_on = self.nodes[node].paused_until;
            if goes_on > self.now {
                // In the order in which it would have been heard.
                self.on_the_way.insert((goes_on, order), event);
                return;
            }
        }
        if self.told {
            eprintln!("{:>6} {event:?}", self.now);
        }
        let standing = Duration::from_millis(self.now.saturating_sub(self.clock.now().0));
        self.clock.advance(standing);
        match event {
            Event::CallGoesOn => self.call_goes_on(),
            Event::Asked(node, ask) => self.asked(node, ask),
            Event::Answered(node, answer) => self.answered(node, answer),
            Event::Letter(node) => self.wake_readers(node),
            Event::RenewalDue(node, wait) => self.renewal_due(node, wait),
            Event::CallAsks(purpose) => self.call_asks(purpose),
            Event::Silence(reader, wait) => self.silence(reader, wait),
            Event::NobodySays(reader, wait) => self.nobody_says(reader, wait),
            Event::ComesBack(connection, after) => self.comes_back(connection, after),
            Event::Broken(connection) => self.broken(connection),
            Event::Hears(connection, seq, data) => self.client_hears(connection, seq, &data),
            Event::Ends(connection) => self.client_left(connection),
            Event::Refused(connection, refusal) => self.client_refused(connection, refusal),
            Event::Impatient(connection) => self.client_impatient(connection),
            Event::Returns => self.client_returns(),
            Event::Paused(node, until) => self.nodes[node].paused_until = until,
            Event::CutOff(node, until) => self.nodes[node].cut_off_until = until,
            Event::Killed(node) => self.kill(node),
        }
    }

    /// The node that an event happens on: one that stands still hears of it later, a dead one never.
    fn happens_on(&self, event: &Event) -> Option<At> {
        match event {
            Event::CallGoesOn | Event::CallAsks(_) => Some(0),
            Event::Answered(node, _) | Event::Letter(node) | Event::RenewalDue(node, _) => {
                Some(*node)
            }
            Event::Silence(reader, _) | Event::NobodySays(reader, _) => {
                Some(self.readers[*reader].node)
            }
            Event::ComesBack(connection, _) | Event::Broken(connection) => {
                Some(self.connections[*connection].node)
            }
            Event::Asked(..)
            | Event::Hears(..)
            | Event::Ends(_)
            | Event::Refused(..)
            | Event::Impatient(_)
            | Event::Returns
            | Event::Paused(..)
            | Event::Killed(_)
            | Event::CutOff(..) => None,
        }
    }

    fn kill(&mut self, node: At) {
        self.nodes[node].dead = true;
        for connection in 0..self.connections.len() {
            if self.connections[connection].node == node {
                self.send_client(connection, Event::Ends(connection));
            }
        }
    }
}
