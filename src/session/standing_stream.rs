//! The standing stream: what a session hears that belongs to none of its requests.
//!
//! It opens with a priming event (2025-11-25), replays what a returning client missed, says which
//! lists changed since the client last heard of them, and then tells changes as they come. It ends
//! when its client goes, when a newer one takes its place, or when the process drains.
//!
//! Spec: 2025-11-25 basic/transports, listening for messages from the server.

use std::collections::BTreeSet;

use bytestring::ByteString;
use futures_util::FutureExt as _;

use super::event_log::{EventId, LogWriter, NotOurs, StreamName};
use super::handle::SessionHandle;
use super::messages::MakeChange;
use super::record::Change as StateChange;
use super::replay::{self, ReadTo};
use crate::protocol::encode;
use crate::protocol::subscription::{Change, SubscriptionFilter};
use crate::runtime::ratelimited::warn_ratelimited;
use crate::runtime::shutdown::Phase;
use crate::service::changes::{CatalogDigest, Watch};
use crate::service::event::{Event, EventSender};

pub(super) struct StandingStream {
    pub(super) handle: SessionHandle,
    /// Absent in a session that lives with one connection.
    pub(super) log: Option<LogWriter>,
    pub(super) connection: EventSender,
    pub(super) after: Option<EventId>,
    /// The lists as the client last heard of them. Kept here because what the session remembers
    /// lags behind: it is written first.
    pub(super) seen: CatalogDigest,
}

/// Nobody reads this stream any more, or somebody else writes it.
struct Ended;

impl StandingStream {
    /// Runs until the stream ends; gives back the watch. Dropped when another takes its place, and
    /// when the session ends.
    pub(super) async fn run(&mut self) -> Option<Watch> {
        let mut watch = None;
        let handle = self.handle.clone();
        let connection = self.connection.clone();
        tokio::select! {
            () = handle.inner().shared.shutdown.drains() => Box::pin(self.say_goodbye()).await,
            () = connection.closed() => {}
            _ended = self.speak(&mut watch) => {}
        }
        watch
    }

    /// When the process drains, the client is told to come back, to another node or to our
    /// successor. One that lives with its connection cannot: it keeps the connection for the
    /// answers it waits for, and only the notices end, so that nobody waits for them when stopping.
    async fn say_goodbye(&self) {
        let shared = &self.handle.inner().shared;
        if shared.shutdown.phase() >= Phase::Draining && self.log.is_some() {
            let retry = shared.config.retry;
            let _gone = self.connection.send(Event::Retry { retry }).await;
        }
    }

    /// What it does now and then is boxed: a stream waits nearly all of its life, and there are as
    /// many as sessions, so what it needs while waiting is all it should take.
    async fn speak(&mut self, watch: &mut Option<Watch>) -> Result<(), Ended> {
        Box::pin(self.open()).await?;
        let handle = self.handle.clone();
        loop {
            let changed = handle.inner().news.notified();
            tokio::pin!(changed);
            changed.as_mut().enable();
            Box::pin(self.watch_anew(watch)).await?;
            let Some(watching) = watch.as_ref() else {
                changed.await;
                continue;
            };
            loop {
                tokio::select! {
                    () = &mut changed => break,
                    changes = watching.changed() => {
                        for change in changes {
                            Box::pin(self.tell(&change)).await?;
                        }
                    }
                }
            }
        }
    }

    /// Says what comes first: the priming event, and what the client missed.
    async fn open(&mut self) -> Result<(), Ended> {
        let negotiated = self.handle.negotiated();
        let retry = self.handle.inner().shared.config.retry;
        if self.log.is_some() && negotiated.version.has_priming_events() && self.after.is_none() {
            self.control(Event::Priming { retry }).await?;
        }
        self.replay().await
    }

    /// Watches what the session may hear of by now, and tells what has changed before.
    async fn watch_anew(&mut self, watch: &mut Option<Watch>) -> Result<(), Ended> {
        // The new watch is made before the old one goes, so that nothing falls between them.
        let fresh = self.watch_all().await;
        let mut older = self.handle.kept_watches();
        let watched_before = watch.is_some();
        older.extend(watch.take());
        *watch = fresh;
        if watched_before {
            self.tell_unwatched(&older).await?;
        }
        self.tell_gathered(&older, watch.as_ref()).await?;
        self.tell_catalog_changes().await
    }

    /// A subscription that came in on another node was watched by nobody here until now, so its
    /// resource may have changed: the client hears that it did, rather than perhaps never.
    async fn tell_unwatched(&mut self, older: &[Watch]) -> Result<(), Ended> {
        let mut unwatched = self.handle.changing().subscriptions;
        for watch in older {
            let watched = &watch.honoured().resource_subscriptions;
            unwatched.retain(|uri| !watched.contains(uri));
        }
        for uri in unwatched {
            self.tell(&Change::Resource(uri)).await?;
        }
        Ok(())
    }

    /// Everything this session may hear of: list changes, and what it subscribed to.
    async fn watch_all(&self) -> Option<Watch> {
        let negotiated = self.handle.negotiated();
        let filter = SubscriptionFilter {
            tools_list_changed: true,
            prompts_list_changed: true,
            resources_list_changed: true,
            resource_subscriptions: self.handle.changing().subscriptions,
            tasks_of: negotiated
                .version
                .has_tasks()
                .then(|| self.handle.id().key().0),
            ..SubscriptionFilter::default()
        };
        match self
            .handle
            .service()
            .watch(&self.handle.caller(), filter)
            .await
        {
            Ok(watch) => Some(watch),
            Err(error) => {
                warn_ratelimited!("changes cannot be watched for a session", %error);
                None
            }
        }
    }

    /// Tells what older watches have gathered, each change once: also what the fresh one saw as well.
    async fn tell_gathered(&mut self, older: &[Watch], fresh: Option<&Watch>) -> Result<(), Ended> {
        let watches = older.iter().chain(fresh);
        let gathered = watches
            .filter_map(|watch| watch.changed().now_or_never())
            .flatten()
            .collect::<BTreeSet<_>>();
        let subscriptions = self.handle.changing().subscriptions;
        for change in gathered {
            let unsubscribed =
                matches!(&change, Change::Resource(uri) if !subscriptions.contains(uri));
            if !unsubscribed {
                self.tell(&change).await?;
            }
        }
        Ok(())
    }

    /// Levels, not edges: whatever differs from what the client last heard of is told.
    async fn tell_catalog_changes(&mut self) -> Result<(), Ended> {
        let now = self.digest();
        let changes = now.changes_since(&self.seen).collect::<Vec<_>>();
        for change in changes {
            self.say(&change).await?;
        }
        self.remember(now);
        Ok(())
    }

    async fn tell(&mut self, change: &Change) -> Result<(), Ended> {
        // Taken before it is told, so that what changes meanwhile still differs.
        let now = self.digest();
        self.say(change).await?;
        match change {
            Change::Tools | Change::Prompts | Change::Resources => self.remember(now),
            Change::Resource(_) | Change::Task(_) => {}
        }
        Ok(())
    }

    fn digest(&self) -> CatalogDigest {
        self.handle
            .service()
            .catalog_digest(&self.handle.caller(), None)
    }

    /// Lost, the client hears of the same change once more: harmless, so nobody waits for it.
    fn remember(&mut self, seen: CatalogDigest) {
        if std::mem::replace(&mut self.seen, seen) == seen {
            return;
        }
        if let Some(addr) = self.handle.inner().actor() {
            drop(addr.try_send(MakeChange(StateChange::Seen(seen))));
        }
    }

    async fn say(&mut self, change: &Change) -> Result<(), Ended> {
        let negotiated = self.handle.negotiated();
        let service = self.handle.service();
        let telling = service.tell(&self.handle.caller(), negotiated.version, change);
        let Some(notification) = telling.await else {
            return Ok(());
        };
        let data = ByteString::from(encode::notification(&notification));
        let mut seq = None;
        if let Some(log) = &mut self.log {
            let owner = self.handle.inner().shared.node.incarnation();
            seq = log.write(owner, &data).await.map_err(|NotOurs| Ended)?;
        }
        self.control(Event::Message { seq, data }).await
    }

    async fn control(&self, event: Event) -> Result<(), Ended> {
        self.connection.send(event).await.map_err(|_| Ended)
    }

    /// What was said on earlier standing streams after the event the client last saw.
    async fn replay(&mut self) -> Result<(), Ended> {
        let Some(after) = self.after.take() else {
            return Ok(());
        };
        let shared = &self.handle.inner().shared;
        let reading = replay::Reading {
            store: &*shared.store,
            scope: &self.handle.id().scope(),
            thing: &StreamName::standing().thing(),
        };
        match reading.send_after(after.seq, &self.connection).await {
            Ok(ReadTo::Present(last)) if last >= after.seq => Ok(()),
            // Part of what the client missed is gone, or it names an event we never sent: the
            // stream says so by ending, never by skipping.
            Ok(ReadTo::Present(_) | ReadTo::End | ReadTo::Nothing) | Err(_) => Err(Ended),
        }
    }
}
