//! Taking messages from an inbox: a stream whose entries are numbered without gaps.
//!
//! The cursor is the number of the last message taken, which is also its id in the stream. A number
//! that is missing between two is a message that was lost, as is one that cannot be read; an inbox
//! that was forgotten and made anew begins beyond all numbers of the old one.

use std::time::Duration;

use deadpool_redis::redis::{self, Pipeline, Value};
use tokio::time::Instant;

use super::answers::Answer;
use super::apart::Apart;
use super::keys;
use super::lanes::Shared;
use super::scripts;
use crate::store::{InboxPage, Incarnation, StoreResult};

/// Messages handed out at once; a reader with more waiting asks again.
const PAGE_MESSAGES_MAX: usize = 512;

/// An inbox nobody read for so long belongs to a node that died: a living one reads all the time.
pub(super) const UNREAD_MAX: Duration = Duration::from_secs(600);

/// The longest the server is asked to wait: a connection that died silently is noticed then.
pub(super) const BLOCK_MAX: Duration = Duration::from_secs(5);

/// The reading end of inboxes, from the side of one process.
#[derive(Debug, Default)]
pub(super) struct Reader {
    connection: Apart,
}

impl Reader {
    /// See [`crate::store::Store::receive`].
    pub(super) async fn receive(
        &self,
        shared: &Shared,
        inbox: Incarnation,
        cursor: u64,
        wait: Duration,
    ) -> StoreResult<InboxPage> {
        let until = Instant::now() + wait;
        loop {
            let page = self.take(shared, inbox, cursor).await?;
            let left = until.saturating_duration_since(Instant::now());
            if !page.messages.is_empty() || page.lost || left.is_zero() {
                return Ok(page);
            }
            let time = left.min(BLOCK_MAX);
            let arrived = self.wait(shared, inbox, cursor, time).await?;
            if !arrived && time == left {
                return Ok(page);
            }
        }
    }

    /// What is there now.
    async fn take(
        &self,
        shared: &Shared,
        inbox: Incarnation,
        cursor: u64,
    ) -> StoreResult<InboxPage> {
        let mut receive = scripts::RECEIVE.run([keys::inbox(inbox)].iter());
        receive
            .arg(cursor)
            .arg(PAGE_MESSAGES_MAX)
            .arg(UNREAD_MAX.as_secs() * 1_000);
        let mut commands = Pipeline::new();
        commands.add_command(receive);
        let run = self.connection.run(shared, &commands, shared.timeout);
        let mut answer = Answer::new(run.await?.pop().unwrap_or(Value::Nil))?;
        let (newest, origin) = (answer.number()?, answer.number()?);
        let entries = answer.numbered()?;
        let seen = if cursor == 0 { origin } else { cursor };
        let next = entries.first().map_or(newest + 1, |(number, _)| *number);
        let cursor = entries.last().map_or(newest, |(number, _)| *number);
        let among = entries.len();
        let messages: Vec<_> = entries.into_iter().filter_map(|(_, it)| it.ok()).collect();
        Ok(InboxPage {
            lost: next != seen + 1 || messages.len() < among,
            cursor,
            messages,
        })
    }

    /// Waits for a message after `cursor`, or until that time is over. Whether there is one.
    async fn wait(
        &self,
        shared: &Shared,
        inbox: Incarnation,
        cursor: u64,
        time: Duration,
    ) -> StoreResult<bool> {
        // Zero would be for ever.
        let millis = u64::try_from(time.as_millis()).unwrap_or(u64::MAX).max(1);
        let mut read = redis::cmd("XREAD");
        read.arg("COUNT").arg(1).arg("BLOCK").arg(millis);
        read.arg("STREAMS").arg(keys::inbox(inbox));
        read.arg(format!("{cursor}-0"));
        let mut commands = Pipeline::new();
        commands.add_command(read);
        let patience = time + shared.timeout;
        let run = self.connection.run(shared, &commands, patience);
        Ok(run.await?.pop().is_some_and(|found| found != Value::Nil))
    }
}
