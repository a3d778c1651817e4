//! One who came back to a stream: reads its log as it grows, and ends it if nobody else will.
//!
//! [`Follower`] takes the steps of a [`Tail`]: it asks the store and the node, and hands what it
//! reads to the client. It begins to watch for news before it reads, and registers with the log as
//! it reads, so nothing that is stored meanwhile is missed; a letter that is lost is made up for
//! by the next renewal.

use std::sync::Arc;
use std::time::Duration;

use bytestring::ByteString;

use super::event_log::{Append, NOBODY, OwnedLog, StreamName};
use super::handle::{Entered, SessionHandle};
use super::letters::News;
use super::open_stream::leave_to_readers;
use super::readers::Readers;
use super::replay::PAGE;
use super::stand_in::{self, Again, Note, StandIn};
use super::tail::{Heard, Step, Tail};
use crate::protocol::jsonrpc::{Params, Request};
use crate::protocol::method::Method;
use crate::runtime::ratelimited::warn_ratelimited;
use crate::service::event::{Event, EventSender};
use crate::store::{
    AppendOutcome, ClaimOutcome, Epoch, Incarnation, LogEntry, LogPage, StoreError,
};

/// A reader who hears nothing for so long looks all the same: a node that does not reach the store
/// hears of no renewal either, and only the store can say that it is away.
const SILENCE_MAX: Duration = Duration::from_secs(5);

/// See the module docs.
pub(super) struct Follower {
    session: SessionHandle,
    stream: StreamName,
    readers: Arc<Readers>,
    /// Which of the readers this is.
    reader: u64,
    /// What the stream answers; known once it was asked who owns it.
    note: Note,
    /// A call whose stream was taken over, to be made again. Dropped, it is left to its readers.
    again: Option<Again>,
    /// Whether this node was found to own it.
    owned_here: bool,
    stand_in: Arc<dyn StandIn>,
    client: EventSender,
}

impl Follower {
    /// The newest reader of that stream: it takes the place of the connection and of earlier
    /// readers here.
    pub(super) fn of(
        session: &SessionHandle,
        stream: StreamName,
        stand_in: Arc<dyn StandIn>,
        client: EventSender,
    ) -> Self {
        let readers = session.inner().now_and_then.readers(&stream);
        let reader = readers.come();
        if let Some(running) = session.stream(&stream) {
            running.release_connection();
        }
        Self {
            session: session.clone(),
            stream,
            readers,
            reader,
            note: Note::default(),
            again: None,
            owned_here: false,
            stand_in,
            client,
        }
    }

    /// Tells the client what follows number `after`, until the stream ends or the client is gone.
    pub(super) async fn follow(mut self, after: u64) {
        let session = self.session.clone();
        let node = &session.inner().shared.node;
        let readers = self.readers.clone();
        let client = self.client.clone();
        let (mut tail, mut step) = Tail::after(after);
        loop {
            let news = readers.news();
            while step != Step::Wait {
                let Some(heard) = self.take(step).await else {
                    return;
                };
                step = tail.hear(heard);
            }
            let heard = tokio::select! {
                () = news => self.news(),
                () = node.next_renewal() => Heard::Renewed,
                () = tokio::time::sleep(SILENCE_MAX) => Heard::Renewed,
                () = client.closed() => return,
            };
            if !readers.is_newest(self.reader) {
                return;
            }
            step = tail.hear(heard);
        }
    }

    /// Takes one step; `None` when it is the last.
    async fn take(&mut self, step: Step) -> Option<Heard> {
        let heard = match step {
            Step::Read { after } => self.read(after).await,
            Step::Deliver(entries) => self.deliver(entries).await,
            Step::AskOwner => self.ask_owner().await,
            Step::AskLife(owner) => self.ask_life(owner).await,
            Step::Claim { ending } => self.claim(ending).await,
            Step::End { epoch, after } => self.end(epoch, after).await,
            Step::Wait => Ok(Heard::News),
            Step::Close => return None,
        };
        Some(heard.unwrap_or_else(|error| {
            warn_ratelimited!("a stream cannot be followed; its client is let go", %error);
            Heard::Nothing
        }))
    }

    /// What it means to be woken: when a call that ran here is gone, there is more to ask than
    /// what it said last.
    fn news(&self) -> Heard {
        if self.owned_here && self.session.stream(&self.stream).is_none() {
            Heard::Renewed
        } else {
            Heard::News
        }
    }

    async fn read(&self, after: u64) -> Result<Heard, StoreError> {
        let shared = &self.session.inner().shared;
        let me = Some(shared.node.incarnation());
        let (scope, thing) = (self.session.id().scope(), self.stream.thing());
        let reading = shared.store.read_log(&scope, &thing, after, PAGE, me);
        Ok(match reading.await? {
            LogPage::Entries { entries, ended } => Heard::Page {
                full: entries.len() == PAGE,
                entries,
                ended,
            },
            LogPage::Dropped | LogPage::Missing => Heard::Nothing,
        })
    }

    async fn deliver(&self, entries: Vec<LogEntry>) -> Result<Heard, StoreError> {
        for LogEntry { seq, payload } in entries {
            let data = ByteString::try_from(payload)
                .map_err(|_| StoreError::Damaged("an event is not UTF-8".into()))?;
            let seq = Some(seq);
            if self
                .client
                .send(Event::Message { seq, data })
                .await
                .is_err()
            {
                return Ok(Heard::Nothing);
            }
        }
        Ok(Heard::Delivered)
    }

    async fn ask_owner(&mut self) -> Result<Heard, StoreError> {
        let shared = &self.session.inner().shared;
        let (scope, thing) = (self.session.id().scope(), self.stream.thing());
        let Some(ownership) = shared.store.ownership(&scope, &thing).await? else {
            return Ok(Heard::Nothing);
        };
        self.note = serde_json::from_slice(&ownership.note)
            .map_err(|_| StoreError::Damaged("nobody can tell what a stream answers".into()))?;
        self.owned_here = ownership.owner == shared.node.incarnation();
        Ok(Heard::Owner {
            owner: ownership.owner,
            epoch: ownership.epoch,
        })
    }

    /// A run of a node that lives has the call, but for this one, which knows better.
    async fn ask_life(&self, owner: Incarnation) -> Result<Heard, StoreError> {
        let node = &self.session.inner().shared.node;
        let lives = if owner == node.incarnation() {
            let running = self.session.stream(&self.stream);
            running.is_some_and(|running| running.is_written_here())
        } else {
            node.lives(owner).await?
        };
        Ok(if lives { Heard::Lives } else { Heard::Gone })
    }

    async fn claim(&mut self, ending: Epoch) -> Result<Heard, StoreError> {
        let again = self.may_run_again();
        let log = self.log(ending);
        let note = Note::taken_over(&self.note.requests);
        let tenure = self.session.inner().shared.node.tenure();
        let outcome = if again.is_some() {
            let me = self.session.inner().shared.node.incarnation();
            let outcome = log.take_over(me, note).await;
            if outcome.is_err() {
                // It may be ours all the same, and then nobody else would dare to end it.
                leave_to_readers(&self.session, log, &self.stream, &self.note.requests);
            }
            outcome?
        } else {
            log.disown(note).await?
        };
        let claimed = match outcome {
            ClaimOutcome::Claimed(claimed) if claimed.ended => return Ok(Heard::HadEnded),
            ClaimOutcome::Claimed(claimed) => claimed,
            ClaimOutcome::Lost => return Ok(Heard::TooLate),
            ClaimOutcome::Gone => return Ok(Heard::Nothing),
        };
        let (epoch, last_seq) = (claimed.ownership.epoch, claimed.last_seq);
        let shared = &self.session.inner().shared;
        let from = claimed.previous;
        if from.is_some_and(|from| from != NOBODY && from != shared.node.incarnation()) {
            shared.taken_over(&self.session, epoch);
        }
        self.again = again.map(|(request, entered)| Again {
            session: self.session.clone(),
            stream: self.session.go_on(
                (self.log(epoch), tenure),
                last_seq,
                self.readers.clone(),
                request.id.clone(),
            ),
            request,
            entered,
        });
        Ok(Heard::Claimed { epoch, last_seq })
    }

    /// The call, if it may be made again as far as is known before its stream is taken over; see
    /// [`super::stand_in`].
    fn may_run_again(&self) -> Option<(Request, Entered)> {
        let ([id], Some(call)) = (self.note.requests.as_slice(), &self.note.call) else {
            return None;
        };
        let params = Params::new(call.clone());
        let trusted = self.session.trusts(&params);
        let holds_lease = self.session.inner().shared.node.holds_lease();
        if !trusted || !holds_lease {
            return None;
        }
        // Refused: another request has that id by now, or as many run as may.
        let entered = self.session.enter(id).ok()?;
        let request = Request {
            id: id.clone(),
            method: Method::ToolsCall,
            params,
        };
        Some((request, entered))
    }

    /// Whether the whole log is there and nothing in it asks the client.
    async fn never_asked(&self) -> Result<bool, StoreError> {
        let store = &self.session.inner().shared.store;
        let (scope, thing) = (self.session.id().scope(), self.stream.thing());
        let mut after = 0;
        // Ends with the log, whose entries are bounded, and to which nobody adds any more.
        loop {
            let page = store.read_log(&scope, &thing, after, PAGE, None).await?;
            let LogPage::Entries { entries, .. } = page else {
                return Ok(false);
            };
            if entries
                .iter()
                .any(|entry| stand_in::is_question(&entry.payload))
            {
                return Ok(false);
            }
            match entries.last() {
                Some(last) => after = last.seq,
                None => return Ok(true),
            }
        }
    }

    /// Makes the call again, or writes what nobody knows better, for every request at once, and
    /// lets all who read know.
    async fn end(&mut self, epoch: Epoch, after: u64) -> Result<Heard, StoreError> {
        if let Some(again) = self.again.take() {
            if self.never_asked().await? {
                self.stand_in.run_again(again);
                return Ok(Heard::RunsAgain);
            }
            let unknown = self.stand_in.unknown(&again.request.id);
            again.stream.last(vec![unknown]);
            again.stream.pump().await;
            return Ok(Heard::Written);
        }
        let shared = &self.session.inner().shared;
        let entry = |(seq, request)| LogEntry {
            seq,
            payload: self.stand_in.unknown(request).into_bytes(),
        };
        let entries = (after + 1..).zip(&self.note.requests).map(entry).collect();
        let ends = true;
        Ok(
            match self.log(epoch).append(Append { entries, ends }).await? {
                AppendOutcome::Stored { followers } => {
                    for follower in followers {
                        let name = self.stream.as_str().to_owned();
                        shared.tell(follower, self.session.id(), News::Stored(name));
                    }
                    self.readers.wake();
                    Heard::Written
                }
                AppendOutcome::Stale => Heard::TooLate,
                AppendOutcome::Gone => Heard::Nothing,
            },
        )
    }

    fn log(&self, epoch: Epoch) -> OwnedLog {
        let store = self.session.inner().shared.store.clone();
        OwnedLog::under(store, self.session.id().scope(), &self.stream, epoch)
    }
}
