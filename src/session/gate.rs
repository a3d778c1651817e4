//! The output gate of one stream: what a call says goes into the log, and leaves once it is there.
//!
//! [`Gate`] is a state machine without runtime and store. It is told what the call says and how
//! each append was answered, in the order they were begun, and tells what to append, what to hand
//! to the connection, and whom to wake.
//!
//! ```text
//!            say              last             its answer
//! Speaking ------> Speaking ------> Speaking ------------> Ended
//!     |                                |   ^ mended          ^
//!     |                 it has none    v   |                 | mended, and the end is there
//!     |                              Owing-------------------+
//!     |  an append finds its epoch stale, or the session gone
//!     +--------------------------------------------------> Overtaken
//! ```
//!
//! A log that did not take something is *broken*: what is said then leaves without a number. Once
//! the store answers again the log is claimed anew, which no append under way outlives, and
//! [`Gate::mended`] goes on with it. What had left without a number stays out of it; what could not
//! leave, and how the call ended, is owed to it.
//!
//! How a call ended leaves without a number only if this node has held its lease all the while: otherwise
//! another may have taken the stream over and told its reader another end. It waits until the log is mended,
//! or found to be another's.
//!
//! It does not append or send; [`super::call_stream`] does. It does not know of readers that came
//! back to this node but that they did.
//!
//! Without its lease the call goes on, and each append finds out whether its epoch still stands. What
//! ends nothing may leave without a number all the while, as long as nobody came back for it.
//!
//! Invariants:
//! - Nothing leaves with a number before the log has it under the epoch that stands.
//! - Numbers that leave rise; nothing gets one while the log is broken, because a log with a hole
//!   would let a client resume past what it never got.
//! - Once overtaken, nothing leaves: it might contradict what the client has been told.
//! - One message goes to one stream: whoever reads the log takes the place of the connection.

use std::collections::VecDeque;

use bytestring::ByteString;

use super::event_log::Append;
use crate::runtime::ratelimited::warn_ratelimited;
use crate::runtime::sabotage::{self, Bug};
use crate::store::{AppendOutcome, Incarnation, LogEntry, StoreResult};

/// See the module docs.
#[derive(Debug)]
pub(super) struct Gate {
    log: Log,
    overtaken: bool,
    /// The last was said. What a handler's remains still say afterwards nobody hears.
    said_all: bool,
    /// Said and not yet settled, the oldest first.
    said: VecDeque<Said>,
    /// Settled, and on its way to the connection.
    leaving: VecDeque<Delivery>,
    /// What a broken log is to get, the oldest first. It grows by what the call may say unsettled,
    /// and by the last.
    owed: Vec<Said>,
    /// Whether the last is owed and did not leave to who is connected. Nothing else is owed then.
    withheld: bool,
    connected: bool,
    /// Followers that were not told of the newest append. At most as many as a log lists.
    unaware: Vec<Incarnation>,
    /// The newest number that left the log.
    newest: u64,
}

/// How far a stream is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Phase {
    /// There is or may be more.
    Speaking,
    /// All was said and has gone where it could, but a broken log still lacks its end.
    Owing,
    /// All was said, and it has gone where it could.
    Ended,
    /// Somebody else speaks for it now, or nobody may.
    Overtaken,
}

/// Where a message goes first.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Way {
    /// Into the log; [`Gate::settle`] hears the answer.
    Log(Append),
    /// Nowhere: it is settled as [`Answer::NotLogged`] in its turn.
    Straight,
    /// It will not leave.
    Closed,
}

/// How an append was answered.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Answer {
    /// There was none: no log keeps it.
    NotLogged,
    /// It is in the log, which these nodes follow.
    Stored(Vec<Incarnation>),
    /// The epoch is stale, or the session is gone.
    Overtaken,
    /// The store did not take it, or did not say.
    Failed,
}

/// What the connection gets.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Delivery {
    pub(super) seq: Option<u64>,
    pub(super) data: ByteString,
}

#[derive(Clone, Debug)]
struct Said {
    seq: Option<u64>,
    /// Nothing, when a log only ends.
    data: Option<ByteString>,
    /// It shares its append with the next.
    with_next: bool,
    last: bool,
}

#[derive(Debug, PartialEq, Eq)]
enum Log {
    None,
    Open { last: u64 },
    Broken,
    Closed,
}

impl From<StoreResult<AppendOutcome>> for Answer {
    fn from(outcome: StoreResult<AppendOutcome>) -> Self {
        match outcome {
            Ok(AppendOutcome::Stored { followers }) => Self::Stored(followers),
            Ok(AppendOutcome::Stale | AppendOutcome::Gone) => Self::Overtaken,
            Err(error) => {
                warn_ratelimited!("an event could not be stored and leaves without an id", %error);
                Self::Failed
            }
        }
    }
}

impl Gate {
    /// A gate before a connection, and before a new log if there is one.
    pub(super) const fn new(logged: bool) -> Self {
        Self::before(if logged {
            Log::Open { last: 0 }
        } else {
            Log::None
        })
    }

    /// A gate before a log that goes on after this number, and before no connection.
    pub(super) const fn going_on(last: u64) -> Self {
        let mut gate = Self::before(Log::Open { last });
        gate.connected = false;
        gate
    }

    const fn before(log: Log) -> Self {
        Self {
            log,
            overtaken: false,
            said_all: false,
            said: VecDeque::new(),
            leaving: VecDeque::new(),
            owed: Vec::new(),
            withheld: false,
            connected: true,
            unaware: Vec::new(),
            newest: 0,
        }
    }

    /// How far it is.
    pub(super) fn phase(&self) -> Phase {
        if self.overtaken {
            return Phase::Overtaken;
        }
        let waits = self.withheld && self.connected;
        let all_gone = self.said_all && self.said.is_empty() && self.leaving.is_empty() && !waits;
        match self.log {
            Log::None | Log::Closed if all_gone => Phase::Ended,
            Log::Broken if all_gone => Phase::Owing,
            Log::None | Log::Closed | Log::Broken | Log::Open { .. } => Phase::Speaking,
        }
    }

    /// Whether the connection is still wanted.
    pub(super) const fn is_connected(&self) -> bool {
        self.connected
    }

    /// Whether a log would stay without an end if nobody wrote here any more.
    pub(super) fn leaves_log_open(&self) -> bool {
        let open = matches!(self.log, Log::Open { .. } | Log::Broken);
        open && !self.overtaken
    }

    /// How many appends a broken log is to get.
    pub(super) fn owed(&self) -> usize {
        self.owed.iter().filter(|said| !said.with_next).count()
    }

    /// Whether the log is to be claimed anew.
    pub(super) fn is_broken(&self) -> bool {
        self.log == Log::Broken && !self.overtaken
    }

    /// The call says something.
    pub(super) fn say(&mut self, data: ByteString) -> Way {
        if self.said_all || self.overtaken {
            return Way::Closed;
        }
        let entry = self.put(data, false);
        self.way(entry.into_iter().collect(), false)
    }

    /// The call says the last it has to say, which may be nothing. It goes into the log at once
    /// or not at all, so that no request is answered twice when this node dies in between.
    pub(super) fn last(&mut self, messages: Vec<ByteString>) -> Way {
        if self.said_all || self.overtaken {
            return Way::Closed;
        }
        self.said_all = true;
        if messages.is_empty() {
            self.say_nothing();
        }
        let count = messages.len();
        let entries = (1..=count)
            .zip(messages)
            .filter_map(|(place, data)| self.put(data, place < count))
            .collect();
        if let Some(said) = self.said.back_mut() {
            said.last = true;
        }
        self.way(entries, true)
    }

    /// The oldest append that was not answered is. `sure`: nobody can have taken the log over. Whether it is
    /// done with: what is owed to a broken log still waits.
    pub(super) fn settle(&mut self, answer: Answer, sure: bool) -> bool {
        if self.overtaken {
            return true;
        }
        let shared = self.said.iter().take_while(|said| said.with_next).count();
        assert!(
            shared < self.said.len(),
            "invariant: an answer belongs to what was said"
        );
        let mut settled: Vec<_> = self.said.drain(..=shared).collect();
        let ends = settled.iter().any(|said| said.last);
        let answer = match answer {
            Answer::Overtaken if sabotage::is(Bug::EpochIgnored) => Answer::Stored(Vec::new()),
            answer => answer,
        };
        match answer {
            Answer::NotLogged => {
                let logged = settled.iter().any(|said| said.seq.is_some());
                assert!(!logged, "invariant: what has a number waits for the log");
            }
            Answer::Stored(followers) => {
                if !followers.is_empty() {
                    self.disconnect();
                }
                for follower in followers {
                    if !self.unaware.contains(&follower) {
                        self.unaware.push(follower);
                    }
                }
                if ends {
                    self.log = Log::Closed;
                }
                self.leave(settled);
                return true;
            }
            Answer::Overtaken => {
                self.overtake();
                return true;
            }
            Answer::Failed => self.log = Log::Broken,
        }
        // How the call ended is owed to the log wherever else it went.
        let owes = self.log == Log::Broken && (ends || !self.connected);
        if owes {
            self.owed.extend(settled.iter().cloned());
        }
        if owes && ends && !sure && self.connected {
            self.withheld = true;
            return false;
        }
        for said in &mut settled {
            said.seq = None;
        }
        self.leave(settled);
        !owes
    }

    /// The broken log is ours again and has events up to `last`; nothing that was under way reaches
    /// it any more. All that was said is settled. What to append now, unless it `ended` before.
    pub(super) fn mended(&mut self, last: u64, ended: bool) -> Vec<Append> {
        assert!(
            self.is_broken() && self.said.is_empty(),
            "invariant: what is said to a broken log is settled at once"
        );
        let owed = std::mem::take(&mut self.owed).into_iter();
        // Of some only the answers were lost.
        let (stored, owed): (Vec<_>, Vec<_>) =
            owed.partition(|said| said.seq.is_some_and(|seq| seq <= last));
        if std::mem::take(&mut self.withheld) && self.connected {
            self.leave(stored);
        }
        if ended {
            self.log = Log::Closed;
            return Vec::new();
        }
        self.log = Log::Open { last };
        let mut appends = Vec::new();
        let mut entries = Vec::new();
        for Said {
            data,
            with_next,
            last,
            ..
        } in owed
        {
            match data {
                Some(data) => entries.extend(self.put(data, with_next)),
                None => self.say_nothing(),
            }
            if let Some(said) = self.said.back_mut() {
                said.last = last;
            }
            if !with_next {
                let entries = std::mem::take(&mut entries);
                let ends = last;
                appends.push(Append { entries, ends });
            }
        }
        appends
    }

    /// Somebody else speaks for the call, or nobody may.
    pub(super) fn overtake(&mut self) {
        self.overtaken = true;
        self.connected = false;
        self.said.clear();
        self.leaving.clear();
        self.owed.clear();
    }

    /// The next thing the connection gets, of what is settled.
    pub(super) fn next(&mut self) -> Option<Delivery> {
        if sabotage::is(Bug::NoOutputGate) && self.connected {
            let mut said = self.said.iter_mut();
            let early = said.find_map(|said| Some((said.seq, said.data.take()?)));
            if let Some((seq, data)) = early {
                return Some(Delivery { seq, data });
            }
        }
        self.leaving.pop_front()
    }

    /// Whom to tell that there is more to read. Asked when nothing else is to be done at once, so
    /// that one letter tells of many appends.
    pub(super) fn unaware(&mut self) -> Vec<Incarnation> {
        std::mem::take(&mut self.unaware)
    }

    /// The connection broke or was let go, or its client came back.
    pub(super) fn disconnect(&mut self) {
        self.connected = false;
        self.leaving.clear();
    }

    /// Hands what is settled to the connection, if there is one.
    fn leave(&mut self, settled: Vec<Said>) {
        for Said { seq, data, .. } in settled {
            if let Some(seq) = seq {
                assert!(seq > self.newest, "invariant: numbers that leave rise");
                self.newest = seq;
            }
            if let (true, Some(data)) = (self.connected, data) {
                self.leaving.push_back(Delivery { seq, data });
            }
        }
    }

    fn say_nothing(&mut self) {
        self.said.push_back(Said {
            seq: None,
            data: None,
            with_next: false,
            last: false,
        });
    }

    fn put(&mut self, data: ByteString, with_next: bool) -> Option<LogEntry> {
        let seq = match &mut self.log {
            Log::Open { last } => {
                *last += 1;
                Some(*last)
            }
            Log::None | Log::Broken | Log::Closed => None,
        };
        let payload = data.as_bytes().clone();
        self.said.push_back(Said {
            seq,
            data: Some(data),
            with_next,
            last: false,
        });
        seq.map(|seq| LogEntry { seq, payload })
    }

    fn way(&self, entries: Vec<LogEntry>, ends: bool) -> Way {
        match self.log {
            Log::Open { .. } => Way::Log(Append { entries, ends }),
            Log::None | Log::Broken | Log::Closed => Way::Straight,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const THERE: Incarnation = Incarnation(2);

    fn seqs(way: &Way) -> Vec<u64> {
        match way {
            Way::Log(append) => append.entries.iter().map(|entry| entry.seq).collect(),
            Way::Straight | Way::Closed => Vec::new(),
        }
    }

    fn stored() -> Answer {
        Answer::Stored(Vec::new())
    }

    /// What leaves now, as number and text.
    fn leaving(gate: &mut Gate) -> Vec<(Option<u64>, String)> {
        std::iter::from_fn(|| gate.next())
            .map(|delivery| (delivery.seq, delivery.data.to_string()))
            .collect()
    }

    fn numbered(seq: u64, text: &str) -> (Option<u64>, String) {
        (Some(seq), text.into())
    }

    fn bare(text: &str) -> (Option<u64>, String) {
        (None, text.into())
    }

    #[test]
    fn a_message_leaves_when_the_log_has_it() {
        let mut gate = Gate::new(true);
        assert_eq!(seqs(&gate.say("a".into())), [1]);
        assert_eq!(seqs(&gate.say("b".into())), [2]);
        assert_eq!(leaving(&mut gate), []);
        gate.settle(stored(), true);
        assert_eq!(leaving(&mut gate), [numbered(1, "a")]);
        gate.settle(stored(), true);
        assert_eq!(leaving(&mut gate), [numbered(2, "b")]);
        assert_eq!(gate.phase(), Phase::Speaking);
    }

    #[test]
    fn without_a_log_messages_leave_in_their_turn_without_numbers() {
        let mut gate = Gate::new(false);
        assert_eq!(gate.say("a".into()), Way::Straight);
        assert_eq!(gate.last(vec!["b".into(), "c".into()]), Way::Straight);
        gate.settle(Answer::NotLogged, true);
        assert_eq!(leaving(&mut gate), [bare("a")]);
        gate.settle(Answer::NotLogged, true);
        assert_eq!(leaving(&mut gate), [bare("b"), bare("c")]);
        assert_eq!(gate.phase(), Phase::Ended);
        assert!(!gate.leaves_log_open());
    }

    #[test]
    fn the_last_messages_go_into_the_log_together_and_end_it() {
        let mut gate = Gate::new(true);
        let way = gate.last(vec!["a".into(), "b".into()]);
        assert!(matches!(&way, Way::Log(append) if append.ends));
        assert_eq!(seqs(&way), [1, 2]);
        assert!(gate.leaves_log_open(), "until it is answered");
        gate.settle(stored(), true);
        assert_eq!(leaving(&mut gate), [numbered(1, "a"), numbered(2, "b")]);
        assert_eq!(gate.phase(), Phase::Ended);
        assert!(!gate.leaves_log_open());
    }

    #[test]
    fn a_call_that_says_nothing_last_ends_its_log_all_the_same() {
        let mut gate = Gate::new(true);
        let ended = Append {
            entries: Vec::new(),
            ends: true,
        };
        assert_eq!(gate.last(Vec::new()), Way::Log(ended));
        gate.settle(stored(), true);
        assert_eq!(leaving(&mut gate), []);
        assert_eq!(gate.phase(), Phase::Ended);
    }

    #[test]
    fn after_a_failed_append_what_is_said_has_no_number() {
        let mut gate = Gate::new(true);
        gate.say("a".into());
        gate.settle(Answer::Failed, true);
        assert_eq!(leaving(&mut gate), [bare("a")]);
        assert_eq!(gate.say("b".into()), Way::Straight);
        assert_eq!(gate.last(vec!["c".into()]), Way::Straight);
        gate.settle(Answer::NotLogged, true);
        assert_eq!(leaving(&mut gate), [bare("b")]);
        assert_eq!(gate.phase(), Phase::Speaking);
        gate.settle(Answer::NotLogged, true);
        assert_eq!(leaving(&mut gate), [bare("c")]);
        assert_eq!(gate.phase(), Phase::Owing, "the log lacks its end");
        assert!(gate.leaves_log_open());
    }

    /// What is appended once the log is mended: numbers and texts, and whether it ends.
    fn owed(appends: &[Append]) -> Vec<(Vec<(u64, String)>, bool)> {
        let text = |entry: &LogEntry| String::from_utf8(entry.payload.to_vec()).unwrap();
        let entries = |append: &Append| -> Vec<_> {
            let entries = append.entries.iter();
            entries.map(|entry| (entry.seq, text(entry))).collect()
        };
        let appends = appends.iter();
        appends
            .map(|append| (entries(append), append.ends))
            .collect()
    }

    #[test]
    fn a_mended_log_goes_on_after_what_it_has_and_lacks_what_left_without_a_number() {
        let mut gate = Gate::new(true);
        gate.say("a".into());
        gate.settle(stored(), true);
        gate.say("b".into());
        assert!(gate.settle(Answer::Failed, true));
        assert_eq!(gate.say("c".into()), Way::Straight);
        assert!(gate.settle(Answer::NotLogged, true));
        let left = [numbered(1, "a"), bare("b"), bare("c")];
        assert_eq!(leaving(&mut gate), left);
        assert!(gate.is_broken());
        assert_eq!(owed(&gate.mended(1, false)), []);
        assert!(!gate.is_broken());
        assert_eq!(seqs(&gate.say("d".into())), [2]);
    }

    #[test]
    fn how_a_call_ended_is_owed_to_its_log_even_when_its_client_heard_it() {
        let mut gate = Gate::new(true);
        gate.say("a".into());
        gate.settle(Answer::Failed, true);
        gate.last(vec!["b".into(), "c".into()]);
        assert!(!gate.settle(Answer::NotLogged, true));
        assert_eq!(leaving(&mut gate), [bare("a"), bare("b"), bare("c")]);
        assert_eq!(gate.phase(), Phase::Owing);
        gate.disconnect();
        // The first was stored after all.
        let appends = owed(&gate.mended(1, false));
        let end = vec![(2, "b".to_owned()), (3, "c".to_owned())];
        assert_eq!(appends, [(end, true)]);
        assert_eq!(gate.phase(), Phase::Speaking);
        assert!(gate.settle(stored(), true));
        assert_eq!(leaving(&mut gate), []);
        assert_eq!(gate.phase(), Phase::Ended);
    }

    #[test]
    fn an_end_whose_answer_was_lost_is_not_written_twice() {
        let mut gate = Gate::new(true);
        gate.last(vec!["a".into()]);
        gate.settle(Answer::Failed, true);
        assert_eq!(leaving(&mut gate), [bare("a")]);
        assert_eq!(owed(&gate.mended(1, true)), []);
        assert_eq!(gate.phase(), Phase::Ended);
    }

    #[test]
    fn how_a_call_ended_waits_for_the_log_when_another_may_have_taken_it_over() {
        let mut gate = Gate::new(true);
        gate.say("a".into());
        gate.settle(Answer::Failed, false);
        gate.last(vec!["b".into()]);
        assert!(!gate.settle(Answer::NotLogged, false));
        assert_eq!(leaving(&mut gate), [bare("a")]);
        assert_eq!(gate.phase(), Phase::Speaking, "somebody waits for it");
        assert_eq!(
            owed(&gate.mended(0, false)),
            [(vec![(1, "b".into())], true)]
        );
        gate.settle(stored(), true);
        assert_eq!(leaving(&mut gate), [numbered(1, "b")]);
        assert_eq!(gate.phase(), Phase::Ended);
    }

    #[test]
    fn an_end_that_waited_and_was_stored_after_all_leaves_once() {
        let mut gate = Gate::new(true);
        gate.last(vec!["a".into(), "b".into()]);
        gate.settle(Answer::Failed, false);
        assert_eq!(leaving(&mut gate), []);
        assert_eq!(owed(&gate.mended(2, true)), []);
        assert_eq!(leaving(&mut gate), [numbered(1, "a"), numbered(2, "b")]);
        assert_eq!(gate.phase(), Phase::Ended);
    }

    #[test]
    fn what_was_stored_after_all_leaves_to_nobody_that_is_gone() {
        let mut gate = Gate::new(true);
        gate.disconnect();
        gate.say("a".into());
        gate.say("b".into());
        gate.settle(Answer::Failed, false);
        gate.settle(stored(), false);
        gate.last(vec!["c".into()]);
        gate.settle(Answer::NotLogged, false);
        assert_eq!(
            owed(&gate.mended(2, false)),
            [(vec![(3, "c".into())], true)]
        );
        assert_eq!(leaving(&mut gate), []);
    }

    #[test]
    fn an_end_that_waits_keeps_nobody_when_the_connection_is_gone() {
        let mut gate = Gate::new(true);
        gate.last(vec!["a".into()]);
        gate.settle(Answer::Failed, false);
        assert_eq!(gate.phase(), Phase::Speaking);
        gate.disconnect();
        assert_eq!(gate.phase(), Phase::Owing);
    }

    #[test]
    fn without_connection_and_log_messages_wait_for_the_log() {
        let mut gate = Gate::new(true);
        gate.say("a".into());
        gate.disconnect();
        for text in ["b", "c"] {
            gate.say(text.into());
        }
        for _ in 0..3 {
            assert!(!gate.settle(Answer::Failed, true), "they wait");
        }
        assert_eq!(gate.owed(), 3);
        gate.say("d".into());
        assert!(!gate.settle(Answer::NotLogged, true));
        let one = |seq, text: &str| (vec![(seq, text.to_owned())], false);
        let appends = owed(&gate.mended(1, false));
        assert_eq!(appends, [one(2, "b"), one(3, "c"), one(4, "d")]);
        assert_eq!(seqs(&gate.say("e".into())), [5]);
    }

    #[test]
    fn nothing_is_said_after_the_last() {
        let mut gate = Gate::new(true);
        gate.last(vec!["a".into()]);
        assert_eq!(gate.say("b".into()), Way::Closed);
        assert_eq!(gate.last(Vec::new()), Way::Closed);
        gate.settle(stored(), true);
        assert_eq!(leaving(&mut gate), [numbered(1, "a")]);
    }

    #[test]
    fn an_append_under_way_when_another_failed_counts_by_its_own_answer() {
        let mut gate = Gate::new(true);
        gate.say("a".into());
        gate.say("b".into());
        gate.settle(Answer::Failed, true);
        assert_eq!(leaving(&mut gate), [bare("a")]);
        // Stored, so the first was too, and only its answer was lost: no hole.
        gate.settle(stored(), true);
        assert_eq!(leaving(&mut gate), [numbered(2, "b")]);
        assert_eq!(gate.say("c".into()), Way::Straight);
        assert!(gate.leaves_log_open());
    }

    #[test]
    fn an_overtaken_stream_says_nothing_more() {
        let mut gate = Gate::new(true);
        gate.say("a".into());
        gate.say("b".into());
        gate.settle(Answer::Overtaken, true);
        assert_eq!(gate.phase(), Phase::Overtaken);
        assert!(!gate.is_connected());
        assert_eq!(leaving(&mut gate), []);
        assert_eq!(gate.say("c".into()), Way::Closed);
        assert_eq!(gate.last(vec!["d".into()]), Way::Closed);
        gate.settle(stored(), true);
        assert_eq!(leaving(&mut gate), []);
        assert!(!gate.leaves_log_open(), "it is not ours to end");
    }

    #[test]
    fn a_follower_takes_the_place_of_the_connection_and_is_told_once_for_many() {
        let mut gate = Gate::new(true);
        for data in ["a", "b", "c"] {
            gate.say(data.into());
        }
        gate.settle(stored(), true);
        assert_eq!(leaving(&mut gate), [numbered(1, "a")]);
        gate.settle(Answer::Stored(vec![THERE]), true);
        assert_eq!(leaving(&mut gate), []);
        assert!(!gate.is_connected());
        gate.settle(Answer::Stored(vec![THERE]), true);
        assert_eq!(leaving(&mut gate), []);
        assert_eq!(gate.unaware(), [THERE]);
        assert_eq!(gate.unaware(), []);
    }

    #[test]
    fn without_its_connection_a_call_goes_on_into_the_log() {
        let mut gate = Gate::new(true);
        gate.say("a".into());
        gate.disconnect();
        gate.settle(stored(), true);
        assert_eq!(leaving(&mut gate), []);
        assert_eq!(seqs(&gate.last(vec!["b".into()])), [2]);
        gate.settle(stored(), true);
        assert_eq!(leaving(&mut gate), []);
        assert_eq!(gate.phase(), Phase::Ended);
    }
}
