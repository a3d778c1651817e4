//! One reader of a stream, as a state machine: what it reads, what it waits for, and when it ends a
//! stream whose call nobody runs any more.
//!
//! [`Tail`] is told what the store and the node say, and tells the next [`Step`]. There is always
//! one step under way, and its answer is what is heard next.
//!
//! ```text
//!   +-> Reading --> Delivering --> AskingOwner --> AskingLife --> Waiting
//!   |      ^ more      | end           | nobody        | gone        |
//!   |      +-----------+-> Closed      +-> Claiming <--+             |
//!   |                                   |    | somebody was first     |
//!   |          ours under a new epoch   v    +----------> Waiting     |
//!   +----------------------------- Ending                             |
//!   +-----------------------------------------------------------------+
//! ```
//!
//! The end it writes is read like everything else, so every reader of a stream is told the same.
//!
//! A claimer that only writes the end names nobody as the owner ([`NOBODY`]): if it dies before it
//! wrote, or the store does not answer, the next reader claims again. Who was too late waits for
//! news, or for the next renewal, so that claimers do not overtake each other in turns.
//!
//! It does not read or write; [`super::replay`] does. It does not know what the end says.
//!
//! Invariants:
//! - What it delivers follows what it delivered before, without a gap. Where that is impossible it
//!   closes: the stream says so by ending, never by skipping.
//! - It claims under the epoch of an owner that was found to be gone after that epoch was read.

use super::event_log::NOBODY;
use crate::runtime::sabotage::{self, Bug};
use crate::store::{Epoch, Incarnation, LogEntry};

/// See the module docs.
#[derive(Debug)]
pub(super) struct Tail {
    /// The number of the last event delivered.
    after: u64,
    phase: Phase,
    /// Whether to ask who owns the stream once all is read. Again only when it was asked anew who
    /// lives: what wakes a reader of a busy stream says that its owner lives.
    ask: bool,
}

/// What a reader does next.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Step {
    /// Read what follows this number.
    Read {
        after: u64,
    },
    /// Hand these to the client.
    Deliver(Vec<LogEntry>),
    /// Ask the store who owns the stream.
    AskOwner,
    /// Find out whether that node lives and has the call.
    AskLife(Incarnation),
    /// Wait for news of the stream, or until who lives was asked once more.
    Wait,
    /// Claim the stream, if this epoch still stands: for [`NOBODY`], or for a call to be made again.
    Claim {
        ending: Epoch,
    },
    /// Write the end after this number, or make the call again.
    End {
        epoch: Epoch,
        after: u64,
    },
    Close,
}

/// What came of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Heard {
    Page {
        entries: Vec<LogEntry>,
        /// Nothing will follow these.
        ended: bool,
        /// More may be there already.
        full: bool,
    },
    Delivered,
    Owner {
        owner: Incarnation,
        epoch: Epoch,
    },
    Lives,
    Gone,
    /// There may be more to read.
    News,
    /// It was asked anew who lives.
    Renewed,
    Claimed {
        epoch: Epoch,
        last_seq: u64,
    },
    /// It was claimed, and had ended before.
    HadEnded,
    /// The epoch does not stand any more.
    TooLate,
    Written,
    /// No end was written: this node makes the call again.
    RunsAgain,
    /// There is no such stream (any more), part of what was asked for is gone, the store cannot
    /// say, or the client has left.
    Nothing,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Phase {
    Reading,
    Delivering { last: u64, ended: bool, full: bool },
    AskingOwner,
    AskingLife { epoch: Epoch },
    Waiting,
    Claiming { ending: Epoch },
    Ending,
    Closed,
}

impl Tail {
    /// A reader of what follows `after`, and its first step.
    pub(super) const fn after(after: u64) -> (Self, Step) {
        let tail = Self {
            after,
            phase: Phase::Reading,
            ask: true,
        };
        (tail, Step::Read { after })
    }

    /// What to do after this was heard.
    pub(super) fn hear(&mut self, heard: Heard) -> Step {
        match (self.phase, heard) {
            (_, Heard::Nothing) => self.close(),
            (
                Phase::Reading,
                Heard::Page {
                    entries,
                    ended,
                    full,
                },
            ) => self.page(entries, ended, full),
            (Phase::Delivering { last, ended, full }, Heard::Delivered) => {
                assert!(last > self.after, "invariant: numbers that leave rise");
                self.after = last;
                if ended {
                    self.close()
                } else if full {
                    self.read()
                } else {
                    self.all_read()
                }
            }
            (Phase::AskingOwner, Heard::Owner { owner, epoch })
                if owner == NOBODY || sabotage::is(Bug::LastWriteWinsLease) =>
            {
                self.claim(epoch)
            }
            (Phase::AskingOwner, Heard::Owner { owner, epoch }) => {
                self.phase = Phase::AskingLife { epoch };
                Step::AskLife(owner)
            }
            (Phase::AskingLife { .. }, Heard::Lives)
            | (Phase::Claiming { .. } | Phase::Ending, Heard::TooLate) => self.wait(),
            (Phase::AskingLife { epoch }, Heard::Gone) => self.claim(epoch),
            (Phase::Claiming { ending }, Heard::Claimed { epoch, last_seq }) => {
                assert!(epoch > ending, "invariant: a takeover raises the epoch");
                self.phase = Phase::Ending;
                Step::End {
                    epoch,
                    after: last_seq,
                }
            }
            (Phase::Claiming { .. }, Heard::HadEnded)
            | (Phase::Ending, Heard::Written | Heard::RunsAgain)
            | (Phase::Waiting, Heard::News) => self.read(),
            (Phase::Waiting, Heard::Renewed) => {
                self.ask = true;
                self.read()
            }
            (phase, heard) => panic!("invariant: {phase:?} is no time to hear {heard:?}"),
        }
    }

    fn page(&mut self, entries: Vec<LogEntry>, ended: bool, full: bool) -> Step {
        let follows = (self.after + 1..)
            .zip(&entries)
            .all(|(seq, entry)| entry.seq == seq);
        if !follows {
            tracing::error!("an event log has a gap; its reader is let go");
            return self.close();
        }
        match entries.last() {
            Some(entry) => {
                let last = entry.seq;
                self.phase = Phase::Delivering { last, ended, full };
                Step::Deliver(entries)
            }
            None if ended => self.close(),
            None => self.all_read(),
        }
    }

    const fn read(&mut self) -> Step {
        self.phase = Phase::Reading;
        Step::Read { after: self.after }
    }

    /// Nothing more is there now.
    const fn all_read(&mut self) -> Step {
        if self.ask {
            self.phase = Phase::AskingOwner;
            Step::AskOwner
        } else {
            self.wait()
        }
    }

    const fn claim(&mut self, ending: Epoch) -> Step {
        self.phase = Phase::Claiming { ending };
        Step::Claim { ending }
    }

    const fn wait(&mut self) -> Step {
        self.ask = false;
        self.phase = Phase::Waiting;
        Step::Wait
    }

    const fn close(&mut self) -> Step {
        self.phase = Phase::Closed;
        Step::Close
    }
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;

    use super::*;

    const OWNER: Incarnation = Incarnation(7);

    fn entries(seqs: &[u64]) -> Vec<LogEntry> {
        let entry = |&seq| LogEntry {
            seq,
            payload: Bytes::new(),
        };
        seqs.iter().map(entry).collect()
    }

    fn page(seqs: &[u64]) -> Heard {
        Heard::Page {
            entries: entries(seqs),
            ended: false,
            full: false,
        }
    }

    fn ended(seqs: &[u64]) -> Heard {
        Heard::Page {
            entries: entries(seqs),
            ended: true,
            full: false,
        }
    }

    fn owner(owner: Incarnation, epoch: u64) -> Heard {
        let epoch = Epoch(epoch);
        Heard::Owner { owner, epoch }
    }

    /// A reader after event 4, and the steps that follow from what it hears.
    fn steps(heard: impl IntoIterator<Item = Heard>) -> Vec<Step> {
        let (mut tail, first) = Tail::after(4);
        assert_eq!(first, Step::Read { after: 4 });
        heard.into_iter().map(|heard| tail.hear(heard)).collect()
    }

    /// How it comes to claim epoch 1 after it has read events 5 and 6.
    fn until_claim() -> Vec<Heard> {
        vec![
            page(&[5, 6]),
            Heard::Delivered,
            owner(OWNER, 1),
            Heard::Gone,
        ]
    }

    #[test]
    fn an_ended_stream_is_read_to_its_end() {
        let full = Heard::Page {
            entries: entries(&[5, 6]),
            ended: false,
            full: true,
        };
        assert_eq!(
            steps([full, Heard::Delivered, ended(&[7]), Heard::Delivered]),
            [
                Step::Deliver(entries(&[5, 6])),
                Step::Read { after: 6 },
                Step::Deliver(entries(&[7])),
                Step::Close,
            ]
        );
        assert_eq!(steps([ended(&[])]), [Step::Close]);
    }

    #[test]
    fn a_stream_whose_owner_lives_is_followed() {
        assert_eq!(
            steps([
                page(&[5]),
                Heard::Delivered,
                owner(OWNER, 1),
                Heard::Lives,
                Heard::News,
                page(&[6]),
                Heard::Delivered,
                Heard::News,
                page(&[]),
                Heard::Renewed,
                page(&[]),
            ]),
            [
                Step::Deliver(entries(&[5])),
                Step::AskOwner,
                Step::AskLife(OWNER),
                Step::Wait,
                Step::Read { after: 5 },
                Step::Deliver(entries(&[6])),
                Step::Wait,
                Step::Read { after: 6 },
                Step::Wait,
                Step::Read { after: 6 },
                Step::AskOwner,
            ],
            "it asks again when it may have changed who lives"
        );
    }

    #[test]
    fn a_stream_whose_owner_is_gone_is_ended_and_the_end_is_read() {
        let mut heard = until_claim();
        heard.extend([
            Heard::Claimed {
                epoch: Epoch(2),
                last_seq: 8,
            },
            Heard::Written,
            ended(&[7, 8, 9]),
            Heard::Delivered,
        ]);
        assert_eq!(
            steps(heard)[2..],
            [
                Step::AskLife(OWNER),
                Step::Claim { ending: Epoch(1) },
                Step::End {
                    epoch: Epoch(2),
                    after: 8,
                },
                Step::Read { after: 6 },
                Step::Deliver(entries(&[7, 8, 9])),
                Step::Close,
            ],
            "what the owner wrote last is not skipped"
        );
    }

    #[test]
    fn a_stream_that_had_ended_all_the_while_is_read_to_its_end() {
        let mut heard = until_claim();
        heard.extend([Heard::HadEnded, ended(&[7]), Heard::Delivered]);
        assert_eq!(
            steps(heard)[4..],
            [
                Step::Read { after: 6 },
                Step::Deliver(entries(&[7])),
                Step::Close
            ]
        );
    }

    #[test]
    fn who_is_too_late_reads_what_the_other_wrote() {
        let mut late_claim = until_claim();
        late_claim.extend([Heard::TooLate, Heard::News]);
        let steps_of_late_claim = steps(late_claim);
        assert_eq!(
            steps_of_late_claim[4..],
            [Step::Wait, Step::Read { after: 6 }]
        );

        let mut overtaken = until_claim();
        overtaken.extend([
            Heard::Claimed {
                epoch: Epoch(2),
                last_seq: 6,
            },
            Heard::TooLate,
            Heard::News,
            ended(&[7]),
        ]);
        assert_eq!(
            steps(overtaken)[5..],
            [
                Step::Wait,
                Step::Read { after: 6 },
                Step::Deliver(entries(&[7])),
            ]
        );
    }

    #[test]
    fn a_stream_that_nobody_owns_is_claimed_without_asking_who_lives() {
        assert_eq!(
            steps([page(&[]), owner(NOBODY, 3)]),
            [Step::AskOwner, Step::Claim { ending: Epoch(3) }]
        );
    }

    #[test]
    fn a_gap_ends_the_stream() {
        assert_eq!(steps([page(&[6])]), [Step::Close]);
        assert_eq!(steps([page(&[5, 7])]), [Step::Close]);
        assert_eq!(steps([page(&[4, 5])]), [Step::Close]);
    }

    #[test]
    fn whatever_is_missing_ends_the_stream() {
        for heard in 0..=until_claim().len() {
            let mut heard = until_claim()[..heard].to_vec();
            heard.push(Heard::Nothing);
            assert_eq!(steps(heard).last(), Some(&Step::Close));
        }
    }
}
