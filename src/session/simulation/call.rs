//! The node that runs the call: the real gate, with the store and the connection as they are here.
//!
//! It does what `call_stream` and `open_stream` do.

use std::collections::VecDeque;

use bytestring::ByteString;

use super::event::{Ask, At, By, Event, Purpose, incarnation};
use super::random::Random;
use super::world::World;
use crate::runtime::sabotage::{self, Bug};
use crate::session::event_log::Append;
use crate::session::gate::{Answer, Gate, Phase, Way};
use crate::store::{AppendOutcome, ClaimOutcome, Claimed, Epoch, Ownership, StoreResult};

/// Appends that may be under way.
const UNACKNOWLEDGED: usize = 4;
/// A claim of its own stream that failed is tried again so soon.
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
    /// Whether it ended without saying how.
    pub(super) broke_off: bool,
    epoch: Epoch,
    /// In which it claimed its log.
    tenure: Option<u64>,
    /// In which it claims it anew.
    claiming: Option<u64>,
    /// Whether it claims its broken log.
    mending: bool,
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
            broke_off: false,
            epoch: Epoch(1),
            tenure: Some(0),
            claiming: None,
            mending: false,
            asked_until: 0,
            answered_until: 0,
        }
    }

    /// Whether this node still writes the stream.
    pub(super) fn is_written_here(&self) -> bool {
        !self.dropped && matches!(self.gate.phase(), Phase::Speaking | Phase::Owing)
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
        if self.call.answers.len() + self.call.gate.owed() >= UNACKNOWLEDGED {
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
            Act::Panics => {
                self.call.broke_off = true;
                return self.drop_call();
            }
        };
        self.after(rest, Event::CallGoesOn);
    }

    fn call_said(&mut self, way: Way) {
        match way {
            Way::Log(append) => self.call_appends(append),
            Way::Straight => self.call.answers.push_back(Some(Answer::NotLogged)),
            Way::Closed => return,
        }
        self.run_call();
    }

    fn call_appends(&mut self, append: Append) {
        self.call.answers.push_back(None);
        self.ask(0, Ask::Append(By::Call, self.call.epoch, append));
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
                let broken = self.call.gate.is_broken() && self.call.answers.is_empty();
                if broken && !self.call.dropped && !self.call.mending {
                    self.call.mending = true;
                    self.after(AGAIN, Event::CallAsks(Purpose::Mend));
                }
                return self.tell_unaware();
            }
            let Some(Some(answer)) = self.call.answers.pop_front() else {
                return;
            };
            if answer == Answer::Overtaken {
                self.overtaken();
            }
            let sure = self.call.tenure.is_some() && self.call.tenure == self.tenure(0);
            self.call.gate.settle(answer, sure);
            self.deliver_settled();
            self.wake_readers(0);
            match self.call.gate.phase() {
                Phase::Speaking => {}
                // The call has ended; its log has not.
                Phase::Owing => self.release_connection(),
                Phase::Ended | Phase::Overtaken => {
                    self.tell_unaware();
                    return self.drop_call();
                }
            }
        }
    }

    fn deliver_settled(&mut self) {
        while let Some(delivery) = self.call.gate.next() {
            if let Some(connection) = self.call.connection {
                assert!(!self.call.overtaken, "a call speaks that was overtaken");
                self.witness.told_by_call(delivery.seq, &delivery.data);
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
            self.witness.seen.left += 1;
            self.call_asks(Purpose::Leave);
        }
        self.wake_readers(0);
    }

    fn overtaken(&mut self) {
        self.call.overtaken = true;
        self.witness.seen.overtaken += 1;
    }

    pub(super) fn call_asks(&mut self, purpose: Purpose) {
        if purpose == Purpose::Leave || !self.call.dropped {
            self.call.claiming = self.tenure(0);
            self.ask(0, Ask::Own(purpose));
        }
    }

    pub(super) fn call_owns(&mut self, purpose: Purpose, owned: StoreResult<Option<Ownership>>) {
        match owned {
            Err(_) => self.after(AGAIN, Event::CallAsks(purpose)),
            Ok(Some(owned)) if owned.owner == incarnation(0) => {
                self.ask(0, Ask::PassOn(purpose, owned.epoch));
            }
            Ok(_) => self.call_claimed(purpose, None),
        }
    }

    pub(super) fn call_passed_on(&mut self, purpose: Purpose, outcome: StoreResult<ClaimOutcome>) {
        match outcome {
            Err(_) => self.after(AGAIN, Event::CallAsks(purpose)),
            Ok(ClaimOutcome::Lost) => self.call_asks(purpose),
            Ok(ClaimOutcome::Gone) => self.call_claimed(purpose, None),
            Ok(ClaimOutcome::Claimed(claimed)) => self.call_claimed(purpose, Some(claimed)),
        }
    }

    fn call_claimed(&mut self, purpose: Purpose, claimed: Option<Claimed>) {
        if purpose == Purpose::Leave || self.call.dropped {
            return;
        }
        self.call.mending = false;
        assert!(
            self.call.answers.is_empty(),
            "a broken log is asked nothing"
        );
        let Some(claimed) = claimed else {
            self.overtaken();
            self.call.gate.overtake();
            return self.drop_call();
        };
        self.witness.seen.mended += 1;
        self.witness.seen.ended_late += u64::from(self.call.gate.phase() == Phase::Owing);
        self.call.epoch = claimed.ownership.epoch;
        self.call.tenure = self.call.claiming;
        for append in self.call.gate.mended(claimed.last_seq, claimed.ended) {
            self.call_appends(append);
        }
        self.deliver_settled();
        self.wake_readers(0);
        if self.call.gate.phase() == Phase::Ended {
            return self.drop_call();
        }
        self.run_call();
    }
}
