//! One who came back: the real tail, with the store and the node as they are here.
//!
//! It does what `replay::resume` and `follower` do.

use super::event::{Ask, At, By, Event, Refusal, incarnation};
use super::nodes::LEASE;
use super::shared_store::PAGE;
use super::world::World;
use crate::session::event_log::Append;
use crate::session::tail::{Heard, Step, Tail};
use crate::store::{
    AppendOutcome, ClaimOutcome, Epoch, Incarnation, LogEntry, LogPage, Ownership, StoreResult,
};

/// A reader who hears nothing for so long looks all the same.
const SILENCE_MAX: u64 = 1_500;

pub(super) struct Reader {
    pub(super) node: At,
    connection: At,
    tail: Tail,
    /// Whether there was news since the last wait.
    woken: bool,
    does: Does,
    /// Counts the times it waited.
    wait: u64,
    /// Whether this node was found to own the stream.
    owned_here: bool,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Does {
    /// Something, whose answer comes.
    AStep,
    Wait,
    AskLife(Incarnation),
    Nothing,
}

impl World {
    pub(super) fn comes_back(&mut self, connection: At, after: u64) {
        let node = self.connections[connection].node;
        self.ask(node, Ask::Look(connection, after));
    }

    pub(super) fn looked(&mut self, connection: At, after: u64, page: StoreResult<LogPage>) {
        let refusal = match page {
            Err(_) => return self.send_client(connection, Event::Ends(connection)),
            Ok(LogPage::Dropped | LogPage::Missing) => Refusal::Unknown,
            Ok(LogPage::Entries { entries, ended }) if ended && entries.is_empty() => {
                Refusal::NothingLeft
            }
            Ok(LogPage::Entries { .. }) => return self.follow(connection, after),
        };
        self.send_client(connection, Event::Refused(connection, refusal));
    }

    fn follow(&mut self, connection: At, after: u64) {
        let node = self.connections[connection].node;
        let reader = self.readers.len();
        let (tail, step) = Tail::after(after);
        self.readers.push(Reader {
            node,
            connection,
            tail,
            woken: false,
            does: Does::AStep,
            wait: 0,
            owned_here: false,
        });
        self.nodes[node].newest = Some(reader);
        self.wake_readers(node);
        if node == 0 && !self.call.dropped {
            self.release_connection();
        }
        self.readers[reader].woken = false;
        self.take(reader, step);
    }

    pub(super) fn broken(&mut self, connection: At) {
        let node = self.connections[connection].node;
        if node == 0 && self.call_has(connection) {
            self.release_connection();
        }
        let mut readers = self.readers.iter_mut();
        if let Some(reader) = readers.find(|reader| reader.connection == connection) {
            reader.does = Does::Nothing;
        }
    }

    /// There may be more to read, for all readers of a node.
    pub(super) fn wake_readers(&mut self, node: At) {
        for reader in 0..self.readers.len() {
            if self.readers[reader].node == node {
                self.readers[reader].woken = true;
                if self.readers[reader].does == Does::Wait {
                    self.woken(reader);
                }
            }
        }
    }

    pub(super) fn readers_hear_of_renewal(&mut self, node: At) {
        for reader in 0..self.readers.len() {
            if self.readers[reader].node != node {
                continue;
            }
            match self.readers[reader].does {
                Does::Wait => self.goes_on(reader, Heard::Renewed),
                Does::AskLife(owner) => {
                    let lives = self.knows_living(node, owner);
                    self.hears(reader, if lives { Heard::Lives } else { Heard::Gone });
                }
                Does::AStep | Does::Nothing => {}
            }
        }
    }

    pub(super) fn silence(&mut self, reader: At, wait: u64) {
        let Reader {
            does, wait: now, ..
        } = self.readers[reader];
        if does == Does::Wait && now == wait {
            self.goes_on(reader, Heard::Renewed);
        }
    }

    pub(super) fn nobody_says(&mut self, reader: At, wait: u64) {
        let Reader {
            does, wait: now, ..
        } = self.readers[reader];
        if matches!(does, Does::AskLife(_)) && now == wait {
            self.hears(reader, Heard::Nothing);
        }
    }

    pub(super) fn page_read(&mut self, reader: At, page: StoreResult<LogPage>) {
        let heard = match page {
            Ok(LogPage::Entries { entries, ended }) => Heard::Page {
                full: entries.len() == PAGE,
                entries,
                ended,
            },
            Ok(LogPage::Dropped | LogPage::Missing) | Err(_) => Heard::Nothing,
        };
        self.hears(reader, heard);
    }

    pub(super) fn owner_told(&mut self, reader: At, owner: StoreResult<Option<Ownership>>) {
        let Ok(Some(Ownership { owner, epoch, .. })) = owner else {
            return self.hears(reader, Heard::Nothing);
        };
        let reading = &mut self.readers[reader];
        reading.owned_here = owner == incarnation(reading.node);
        self.hears(reader, Heard::Owner { owner, epoch });
    }

    pub(super) fn claim_answered(&mut self, reader: At, outcome: StoreResult<ClaimOutcome>) {
        let heard = match outcome {
            Ok(ClaimOutcome::Claimed(claimed)) if claimed.ended => Heard::HadEnded,
            Ok(ClaimOutcome::Claimed(claimed)) => Heard::Claimed {
                epoch: claimed.ownership.epoch,
                last_seq: claimed.last_seq,
            },
            Ok(ClaimOutcome::Lost) => Heard::TooLate,
            Ok(ClaimOutcome::Gone) | Err(_) => Heard::Nothing,
        };
        self.hears(reader, heard);
    }

    /// The followers are told even if the client has left meanwhile.
    pub(super) fn end_written(&mut self, reader: At, outcome: StoreResult<AppendOutcome>) {
        let heard = match outcome {
            Ok(AppendOutcome::Stored { followers }) => {
                let node = self.readers[reader].node;
                for follower in followers {
                    self.tell(node, follower);
                }
                self.wake_readers(node);
                Heard::Written
            }
            Ok(AppendOutcome::Stale) => Heard::TooLate,
            Ok(AppendOutcome::Gone) | Err(_) => Heard::Nothing,
        };
        self.hears(reader, heard);
    }

    fn woken(&mut self, reader: At) {
        let reading = &self.readers[reader];
        let call_is_gone = reading.owned_here && self.call.dropped;
        self.goes_on(
            reader,
            if call_is_gone {
                Heard::Renewed
            } else {
                Heard::News
            },
        );
    }

    /// A wait is over.
    fn goes_on(&mut self, reader: At, heard: Heard) {
        let reading = &mut self.readers[reader];
        reading.woken = false;
        reading.does = Does::AStep;
        let (node, connection) = (reading.node, reading.connection);
        if self.nodes[node].newest == Some(reader) {
            self.hears(reader, heard);
        } else {
            self.readers[reader].does = Does::Nothing;
            self.send_client(connection, Event::Ends(connection));
        }
    }

    fn hears(&mut self, reader: At, heard: Heard) {
        let reading = &mut self.readers[reader];
        if reading.does == Does::Nothing {
            return;
        }
        reading.does = Does::AStep;
        let step = reading.tail.hear(heard);
        self.take(reader, step);
    }

    fn take(&mut self, reader: At, step: Step) {
        let (node, connection) = (self.readers[reader].node, self.readers[reader].connection);
        match step {
            Step::Read { after } => self.ask(node, Ask::Read(reader, after)),
            Step::Deliver(entries) => {
                for LogEntry { seq, payload } in entries {
                    let data = payload.try_into().expect("it is text");
                    self.leaves(connection, Some(seq), data);
                }
                self.hears(reader, Heard::Delivered);
            }
            Step::AskOwner => self.ask(node, Ask::Owner(reader)),
            Step::AskLife(owner) => self.ask_life(reader, owner),
            Step::Claim { ending } => self.ask(node, Ask::Disown(reader, ending)),
            Step::End { epoch, after } => self.end(reader, epoch, after),
            Step::Wait if self.readers[reader].woken => self.woken(reader),
            Step::Wait => {
                let reading = &mut self.readers[reader];
                reading.does = Does::Wait;
                reading.wait += 1;
                let wait = reading.wait;
                self.after(SILENCE_MAX, Event::Silence(reader, wait));
            }
            Step::Close => {
                self.readers[reader].does = Does::Nothing;
                self.send_client(connection, Event::Ends(connection));
            }
        }
    }

    fn ask_life(&mut self, reader: At, owner: Incarnation) {
        let node = self.readers[reader].node;
        let lives = if owner == incarnation(node) {
            Some(self.call.is_written_here())
        } else {
            self.knows_living(node, owner).then_some(true)
        };
        match lives {
            Some(true) => self.hears(reader, Heard::Lives),
            Some(false) => self.hears(reader, Heard::Gone),
            // Only a fresh list says that somebody is not on it.
            None => {
                let reading = &mut self.readers[reader];
                reading.does = Does::AskLife(owner);
                reading.wait += 1;
                let wait = reading.wait;
                self.after(LEASE, Event::NobodySays(reader, wait));
                self.hurry(node);
            }
        }
    }

    fn end(&mut self, reader: At, epoch: Epoch, after: u64) {
        let entry = |(seq, request)| LogEntry {
            seq,
            payload: format!("u{request}").into(),
        };
        let append = Append {
            entries: (after + 1..)
                .zip(0..self.call.requests)
                .map(entry)
                .collect(),
            ends: true,
        };
        let node = self.readers[reader].node;
        self.ask(node, Ask::Append(By::Reader(reader), epoch, append));
    }
}
