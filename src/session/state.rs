//! What a session actor knows and decides, without a runtime: (state, input) -> effects.
//!
//! ```text
//! standing stream:  none --attach--> claiming(n) --claimed--> open(epoch) --ended--> none
//!                                       | a newer attach supersedes an older one at any point
//! changing state:   settled --change--> writing --written--> settled
//!                                       | changes that come meanwhile wait for the next write
//! ```
//!
//! Spec: 2025-11-25 basic/transports, listening for messages (one message, one stream).

use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};

use super::record::{Change, Changing};
use crate::store::Epoch;

/// Most questions to one client at once. Each keeps a call waiting, and a session has at most as
/// many calls.
pub const QUESTIONS_MAX: usize = 256;
/// Most changes that may wait for the store in one session.
pub const CHANGES_MAX: usize = 64;

/// One attempt to attach a standing stream.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Attempt(pub u64);

/// One open question to the client.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct QuestionNumber(pub u64);

/// One wait for a change to be written.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Ticket(pub u64);

/// See the module docs.
#[derive(Debug, Default)]
pub struct State {
    attempts: u64,
    standing: Option<Epoch>,
    questions_asked: u64,
    changing: Changing,
    /// Apart, because most sessions have nothing open most of the time, and there are many.
    open: Option<Box<Open>>,
    tickets: u64,
    closed: bool,
}

/// What has begun and not ended.
#[derive(Debug, Default)]
struct Open {
    questions: BTreeSet<QuestionNumber>,
    /// Changes being written now, and those that wait for the next write.
    writing: Vec<(Ticket, Change)>,
    waiting: Vec<(Ticket, Change)>,
}

/// What the actor must do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Effect {
    /// Raise the epoch of the standing stream for this attempt.
    Claim(Attempt),
    /// End the standing stream that is open now.
    StopStanding,
    /// Open the standing stream of this attempt under this epoch.
    StartStanding(Attempt, Epoch),
    /// This attempt lost; end its connection.
    Discard(Attempt),
    /// Write this state; the version is the actor's to know.
    Write(Changing),
    /// The other nodes must know of what was written.
    Announce,
    /// These changes are in force.
    Settled(Vec<Ticket>),
}

impl State {
    /// The state of a session that is `changing` so far. Its questions are numbered after
    /// `questions`: not the same ones in each life, or a late answer would be taken for another's.
    #[must_use]
    pub fn new(changing: Changing, questions: u64) -> Self {
        Self {
            changing,
            questions_asked: questions,
            ..Self::default()
        }
    }

    /// What may change, as last written or read.
    #[must_use]
    pub const fn changing(&self) -> &Changing {
        &self.changing
    }

    /// A connection wants to be the standing stream.
    pub fn attach(&mut self) -> (Attempt, Effect) {
        self.attempts += 1;
        let attempt = Attempt(self.attempts);
        (attempt, Effect::Claim(attempt))
    }

    /// The store has raised the epoch for an attempt.
    pub fn claimed(&mut self, attempt: Attempt, epoch: Epoch) -> Vec<Effect> {
        // The newest attach wins, in whichever order the store answers.
        if self.closed || attempt.0 < self.attempts {
            return vec![Effect::Discard(attempt)];
        }
        let mut effects = Vec::new();
        if self.standing.replace(epoch).is_some() {
            effects.push(Effect::StopStanding);
        }
        effects.push(Effect::StartStanding(attempt, epoch));
        effects
    }

    /// The standing stream of that epoch has ended by itself. `false`: another is open by now.
    pub fn stream_ended(&mut self, epoch: Epoch) -> bool {
        let is_present = self.standing == Some(epoch);
        if is_present {
            self.standing = None;
        }
        is_present
    }

    /// Another node holds the standing stream, under this epoch.
    pub fn superseded(&mut self, by: Epoch) -> Option<Effect> {
        self.standing.take_if(|epoch| *epoch < by)?;
        Some(Effect::StopStanding)
    }

    /// Another node wrote what may change. `false`: a write of ours is under way, which will find
    /// out by losing.
    pub fn reloaded(&mut self, theirs: Changing) -> bool {
        let is_settled = self
            .open
            .as_ref()
            .is_none_or(|open| open.writing.is_empty());
        if is_settled {
            self.changing = theirs;
        }
        is_settled
    }

    /// A call wants to ask the client something; `None` when too much is open already.
    pub fn ask(&mut self) -> Option<QuestionNumber> {
        let questions = &mut self.open.get_or_insert_default().questions;
        if self.closed || questions.len() >= QUESTIONS_MAX {
            return None;
        }
        self.questions_asked = self.questions_asked.wrapping_add(1);
        let number = QuestionNumber(self.questions_asked);
        questions.insert(number);
        Some(number)
    }

    /// The question was answered or given up. `false`: it was not open, so an answer is dropped.
    pub fn settle_question(&mut self, number: QuestionNumber) -> bool {
        let was_open = self
            .open
            .as_mut()
            .is_some_and(|open| open.questions.remove(&number));
        self.let_go_of_nothing();
        was_open
    }

    /// The client changes something; `None` when too many changes wait already.
    pub fn change(&mut self, change: Change) -> Option<(Ticket, Option<Effect>)> {
        let open = self.open.get_or_insert_default();
        if self.closed || open.writing.len() + open.waiting.len() >= CHANGES_MAX {
            return None;
        }
        self.tickets += 1;
        let ticket = Ticket(self.tickets);
        open.waiting.push((ticket, change));
        Some((ticket, self.write_next()))
    }

    /// The write is done.
    pub fn written(&mut self) -> Vec<Effect> {
        let done = self.take_writing();
        for (_, change) in &done {
            self.changing.apply(change);
        }
        let mut effects = Vec::new();
        if done.iter().any(|(_, change)| change.concerns_all()) {
            effects.push(Effect::Announce);
        }
        let tickets = done.into_iter().map(|(ticket, _)| ticket).collect();
        effects.push(Effect::Settled(tickets));
        effects.extend(self.write_next());
        effects
    }

    /// Somebody else wrote first: what is being written is applied to what they wrote.
    pub fn lost(&mut self, theirs: Changing) -> Option<Effect> {
        self.changing = theirs;
        let again = self.take_writing();
        let waiting = &mut self.open.get_or_insert_default().waiting;
        waiting.splice(0..0, again);
        self.write_next()
    }

    /// The write failed; its changes are not in force. Returns whose they were.
    pub fn failed(&mut self) -> (Vec<Ticket>, Option<Effect>) {
        let tickets = self
            .take_writing()
            .into_iter()
            .map(|(ticket, _)| ticket)
            .collect();
        (tickets, self.write_next())
    }

    /// The session ends: nothing new begins.
    pub fn close(&mut self) {
        self.closed = true;
        if let Some(open) = &mut self.open {
            open.questions.clear();
        }
    }

    fn take_writing(&mut self) -> Vec<(Ticket, Change)> {
        self.open
            .as_mut()
            .map(|open| std::mem::take(&mut open.writing))
            .unwrap_or_default()
    }

    fn write_next(&mut self) -> Option<Effect> {
        let open = self.open.as_mut()?;
        if !open.writing.is_empty() {
            return None;
        }
        if open.waiting.is_empty() {
            self.let_go_of_nothing();
            return None;
        }
        open.writing = std::mem::take(&mut open.waiting);
        let mut next = self.changing.clone();
        for (_, change) in &open.writing {
            next.apply(change);
        }
        Some(Effect::Write(next))
    }

    /// Gives the room for open things back when there are none.
    fn let_go_of_nothing(&mut self) {
        let is_empty = |open: &Open| {
            open.questions.is_empty() && open.writing.is_empty() && open.waiting.is_empty()
        };
        if self.open.as_deref().is_some_and(is_empty) {
            self.open = None;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::protocol::logging::LogLevel;

    fn state() -> State {
        State::new(Changing::default(), 0)
    }

    #[test]
    fn the_newest_attach_wins_in_whatever_order_the_store_answers() {
        let mut state = state();
        let (first, _) = state.attach();
        let (second, _) = state.attach();
        assert_eq!(
            state.claimed(second, Epoch(2)),
            [Effect::StartStanding(second, Epoch(2))]
        );
        assert_eq!(state.claimed(first, Epoch(1)), [Effect::Discard(first)]);
    }

    #[test]
    fn a_second_stream_ends_the_first() {
        let mut state = state();
        let (first, _) = state.attach();
        state.claimed(first, Epoch(1));
        let (second, _) = state.attach();
        assert_eq!(
            state.claimed(second, Epoch(2)),
            [
                Effect::StopStanding,
                Effect::StartStanding(second, Epoch(2))
            ]
        );
        assert!(!state.stream_ended(Epoch(1)));
        let (third, _) = state.attach();
        assert_eq!(
            state.claimed(third, Epoch(3))[0],
            Effect::StopStanding,
            "the late end of the first stream is not the end of the second"
        );
    }

    #[test]
    fn an_answer_is_taken_once() {
        let mut state = state();
        let question = state.ask().unwrap();
        assert!(state.settle_question(question));
        assert!(!state.settle_question(question));
        assert!(!state.settle_question(QuestionNumber(99)));
    }

    #[test]
    fn questions_and_changes_are_bounded() {
        let mut state = state();
        for _ in 0..QUESTIONS_MAX {
            state.ask().unwrap();
        }
        assert_eq!(state.ask(), None);
        for _ in 0..CHANGES_MAX {
            state.change(Change::LogLevel(LogLevel::Info)).unwrap();
        }
        assert_eq!(state.change(Change::LogLevel(LogLevel::Info)), None);
    }

    #[test]
    fn changes_during_a_write_are_written_together_next() {
        let mut state = state();
        let (first, effect) = state.change(Change::Subscribe("a".into())).unwrap();
        assert!(matches!(effect, Some(Effect::Write(_))));
        let (second, effect) = state.change(Change::Subscribe("b".into())).unwrap();
        assert_eq!(effect, None);
        let (third, _) = state.change(Change::Unsubscribe("a".into())).unwrap();
        let effects = state.written();
        assert_eq!(
            effects[..2],
            [Effect::Announce, Effect::Settled(vec![first])]
        );
        let Effect::Write(next) = &effects[2] else {
            panic!("the next write")
        };
        assert_eq!(next.subscriptions, BTreeSet::from(["b".to_owned()]));
        assert_eq!(
            state.written(),
            [Effect::Announce, Effect::Settled(vec![second, third])],
            "nothing is left to write"
        );
    }

    #[test]
    fn the_loser_of_a_write_applies_its_change_again() {
        let mut state = state();
        let (ticket, _) = state.change(Change::Subscribe("ours".into())).unwrap();
        let mut theirs = Changing::default();
        theirs.apply(&Change::Subscribe("theirs".into()));
        let Some(Effect::Write(next)) = state.lost(theirs) else {
            panic!("writes again")
        };
        assert_eq!(next.subscriptions.len(), 2);
        assert_eq!(
            state.written(),
            [Effect::Announce, Effect::Settled(vec![ticket])]
        );
        assert_eq!(state.changing().subscriptions.len(), 2);
    }

    #[test]
    fn only_an_older_stream_is_superseded() {
        let mut state = state();
        let (attempt, _) = state.attach();
        state.claimed(attempt, Epoch(5));
        assert_eq!(state.superseded(Epoch(5)), None);
        assert_eq!(state.superseded(Epoch(6)), Some(Effect::StopStanding));
        assert_eq!(state.superseded(Epoch(7)), None, "there is none any more");
    }

    #[test]
    fn what_another_node_wrote_is_taken_unless_we_write() {
        let mut state = state();
        let mut theirs = Changing::default();
        theirs.apply(&Change::Subscribe("theirs".into()));
        assert!(state.reloaded(theirs.clone()));
        assert_eq!(*state.changing(), theirs);
        state.change(Change::Subscribe("ours".into())).unwrap();
        assert!(!state.reloaded(Changing::default()));
        assert_eq!(*state.changing(), theirs);
    }

    #[test]
    fn what_only_the_home_needs_is_not_announced() {
        let mut state = state();
        let (ticket, _) = state
            .change(Change::Home(crate::store::Incarnation(7)))
            .unwrap();
        assert_eq!(state.written(), [Effect::Settled(vec![ticket])]);
    }

    #[test]
    fn a_failed_write_changes_nothing() {
        let mut state = state();
        let (ticket, _) = state.change(Change::LogLevel(LogLevel::Error)).unwrap();
        assert_eq!(state.failed(), (vec![ticket], None));
        assert_eq!(state.changing().log_level, None);
    }

    #[test]
    fn a_closed_session_begins_nothing() {
        let mut state = state();
        let (attempt, _) = state.attach();
        state.close();
        assert_eq!(state.ask(), None);
        assert_eq!(state.change(Change::LogLevel(LogLevel::Error)), None);
        assert_eq!(state.claimed(attempt, Epoch(1)), [Effect::Discard(attempt)]);
    }
}
