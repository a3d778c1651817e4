//! The node that runs the call: the real gate, with the store and the connection as they are here.
//!
//! It does what `call_stream` and `open_stream` do.

use std::collections::VecDeque;

use bytestring::ByteString;

use super::event::{Ask, At, By, Event};
use super::random::Random;
use super::world::World;
use crate::runtime::sabotage::{self, Bug};
use crate::session::gate::{Answer, Gate, Phase, Way};
use crate::store::{AppendOutcome, ClaimOutcome, Epoch, StoreResult};

/// Appends that may be under way.
const UNACKNOWLEDGED: usize = 4;
/// Leaving the stream to its readers is tried again so soon.
const AGAIN: u64 = 100;

/// What a call does, one after the other.
enum Act {
    Waits(u64),
    Says(ByteString),
    SaysLast(Vec<ByteString>),
    Panics,
}

pub(super) struct Call {
    /// How many requests it answers.
    pub(super) requests: usize,
    acts: VecDeque<Act>,
    gate: Gate,
    /// What the store says of each append, in their order; nothing yet for those under way.
    answers: VecDeque<Option<Answer>>,
    /// The client's connection.
    connection: Option<At>,
    /// Whether the store said that somebody else speaks for it.
    overtaken: bool,
    /// Whether nobody here will write any more.
    pub(super) dropped: bool,
    pub(super) asked_until: u64,
    pub(super) answered_until: u64,
}

impl Call {
    pub(super) fn of(random: &mut Random) -> Self {
        let requests = 1 + usize::from(random.one_in(4));
        let mut acts = VecDeque::new();
        for number in 0..random.below(8) {
            acts.push_back(Act::Waits(waits(random)));
            acts.push_back(Act::Says(format!("p{number}").into()));
        }
        acts.push_back(Act::Waits(waits(random)));
        acts.push_back(if random.one_in(12) {
            Act::Panics
        } else {
            let results = (0..requests).map(|request| format!("r{request}").into());
            Act::SaysLast(results.collect())
        });
        Self {
            requests,
            acts,
            gate: Gate::new(true),
            answers: VecDeque::new(),
            connection: Some(0),
            overtaken: false,
            dropped: false,
            asked_until: 0,
            answered_until: 0,
        }
    }

    /// Whether this node still writes the stream.
    pub(super) fn is_written_here(&self) -> bool {
        !self.dropped && self.gate.phase() == Phase::Speaking
    }
}

fn waits(random: &mut Random) -> u64 {
    match random.below(8) {
        0 => random.between(100, 1_500),
        1 | 2 => random.between(5, 60),
        _ => random.below(4),
    }
}

impl World {
    pub(super) fn call_is_over(&self) -> bool {
        self.call.dropped || self.nodes[0].dead
    }

    pub(super) fn call_goes_on(&mut self) {
        if self.call.dropped {
            return;
        }
        assert!(!self.call.overtaken, "a call goes on that was overtaken");
        if self.call.answers.len() >= UNACKNOWLEDGED {
            return self.after(1, Event::CallGoesOn);
        }
        let Some(act) = self.call.acts.pop_front() else {
            return;
        };
        let rest = match act {
            Act::Waits(millis) => millis,
            Act::Says(data) => {
                let way = self.call.gate.say(data);
                self.call_said(way);
                0
            }
            Act::SaysLast(messages) => {
                let way = self.call.gate.last(messages);
                self.call_said(way);
                0
            }
            Act::Panics => return self.drop_call(),
        };
        self.after(rest, Event::CallGoesOn);
    }

    fn call_said(&mut self, way: Way) {
        match way {
            Way::Log(append) => {
                self.call.answers.push_back(None);
                self.ask(0, Ask::Append(By::Call, Epoch(1), append));
            }
            Way::Straight => self.call.answers.push_back(Some(Answer::NotLogged)),
            Way::Closed => return,
        }
        self.run_call();
    }

    pub(super) fn call_append_answered(&mut self, outcome: StoreResult<AppendOutcome>) {
        let mut under_way = self.call.answers.iter_mut();
        if let Some(answer) = under_way.find(|answer| answer.is_none()) {
            *answer = Some(outcome.into());
            self.run_call();
        }
    }

    /// A connection to this node is broken, or its client came back.
    pub(super) fn release_connection(&mut self) {
        self.call.gate.disconnect();
        self.let_connection_go();
    }

    pub(super) fn call_has(&self, connection: At) -> bool {
        self.call.connection == Some(connection)
    }

    fn run_call(&mut self) {
        loop {
            if sabotage::is(Bug::NoOutputGate) {
                self.deliver_settled();
            }
            if self.call.dropped || !matches!(self.call.answers.front(), Some(Some(_))) {
                return self.tell_unaware();
            }
            let Some(Some(answer)) = self.call.answers.pop_front() else {
                return;
            };
            if answer == Answer::Overtaken {
                self.call.overtaken = true;
                self.witness.seen.overtaken += 1;
            }
            self.call.gate.settle(answer);
            self.deliver_settled();
            self.wake_readers(0);
            if self.call.gate.phase() != Phase::Speaking {
                self.tell_unaware();
                return self.drop_call();
            }
        }
    }

    fn deliver_settled(&mut self) {
        while let Some(delivery) = self.call.gate.next() {
            if let Some(connection) = self.call.connection {
                assert!(!self.call.overtaken, "a call speaks that was overtaken");
                self.leaves(connection, delivery.seq, delivery.data);
            }
        }
        self.let_connection_go();
    }

    fn let_connection_go(&mut self) {
        if !self.call.gate.is_connected()
            && let Some(connection) = self.call.connection.take()
        {
            self.send_client(connection, Event::Ends(connection));
        }
    }

    fn tell_unaware(&mut self) {
        for follower in self.call.gate.unaware() {
            self.tell(0, follower);
        }
    }

    fn drop_call(&mut self) {
        self.release_connection();
        self.call.dropped = true;
        if self.call.gate.leaves_log_open() {
            self.let_go();
        }
        self.wake_readers(0);
    }

    pub(super) fn let_go(&mut self) {
        self.witness.seen.let_go += 1;
        self.ask(0, Ask::Disown(By::Call, Epoch(1)));
    }

    pub(super) fn let_go_answered(&mut self, outcome: &StoreResult<ClaimOutcome>) {
        if outcome.is_err() {
            self.after(AGAIN, Event::LetGoAgain);
        }
    }
}
