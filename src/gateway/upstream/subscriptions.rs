//! Subscriptions to an upstream's resources: one for each principal and URI, however many of the
//! principal's clients watch it.
//!
//! One task per principal does what must happen in order. An upstream with sessions is told by
//! `resources/subscribe`, on a line that is kept for as long as anything is watched; one of the stateless
//! era by a listen that names all URIs, and a new one is acknowledged before the old one ends. When
//! either breaks off it is taken up again, and each URI counts as changed: something may have been
//! missed.
//!
//! A program that changes a resource tells only those who subscribed to it in the same process. So all
//! processes of the principal are told, and each that starts later before it is used.
//!
//! Spec: server/resources, subscriptions (session era); 2026-07-28 basic/patterns/subscriptions.

use std::collections::{BTreeSet, HashMap};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use serde::Deserialize;
use serde_json::{Map, json};
use tokio::sync::{mpsc, oneshot};
use tokio::time::Instant;

use super::actor::{LASTED, rest};
use super::conversation::{Conversation, Next, Said};
use super::line::{Lease, Line};
use super::offer::Offer;
use super::pool::{Key, Unit, Until};
use super::{Heard, Upstream};
use crate::client::ClientError;
use crate::gateway::bridge::capability_set::CapabilitySet;
use crate::gateway::envelope::Envelope;
use crate::identity::Principal;
use crate::protocol::jsonrpc::Notification;
use crate::protocol::method::Method;
use crate::protocol::subscription::SubscriptionFilter;
use crate::protocol::version::Era;
use crate::runtime::tasks::TaskKind;

/// How a listen tells what it honours.
pub(super) const ACKNOWLEDGED: &str = "notifications/subscriptions/acknowledged";
/// Rest after a subscription broke off.
const REST: Duration = Duration::from_secs(1);
/// From this status on, an error is one of now.
const TOO_MANY_REQUESTS: u16 = 429;

/// The tasks that look after subscriptions, by principal.
#[derive(Debug, Default)]
pub(in crate::gateway) struct Subscriptions(Mutex<HashMap<Principal, Task>>);

/// The task of a principal.
#[derive(Clone, Debug)]
struct Task {
    orders: mpsc::UnboundedSender<Order>,
    watched: Watched,
}

/// How many watch each URI.
type Watched = Arc<Mutex<HashMap<String, usize>>>;

/// What the task of a principal is told. Each watcher says at most two things, and watchers are bounded.
#[derive(Debug)]
enum Order {
    Add(BTreeSet<String>, oneshot::Sender<BTreeSet<String>>),
    Remove(BTreeSet<String>),
    Renew,
}

/// Resources that are watched until this is dropped.
#[derive(Debug)]
pub(in crate::gateway) struct Subscribed {
    uris: BTreeSet<String>,
    orders: mpsc::UnboundedSender<Order>,
}

impl Subscribed {
    /// Which are.
    pub(in crate::gateway) const fn uris(&self) -> &BTreeSet<String> {
        &self.uris
    }
}

impl Drop for Subscribed {
    fn drop(&mut self) {
        let uris = std::mem::take(&mut self.uris);
        let _over = self.orders.send(Order::Remove(uris));
    }
}

impl Subscriptions {
    /// Watches these for a principal, as far as the upstream lets it; `None` when it did not answer.
    pub(in crate::gateway) async fn subscribe(
        &self,
        upstream: &Arc<Upstream>,
        principal: &Principal,
        uris: BTreeSet<String>,
    ) -> Option<Subscribed> {
        let orders = self.of(upstream, principal).orders;
        let (tell, told) = oneshot::channel();
        orders.send(Order::Add(uris, tell)).ok()?;
        let limit = upstream.config.timeouts.list;
        let uris = tokio::time::timeout(limit, told).await.ok()?.ok()?;
        Some(Subscribed { uris, orders })
    }

    /// Takes subscriptions up again that may have been lost.
    pub(super) fn renew(&self) {
        let tasks = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        for task in tasks.values() {
            let _over = task.orders.send(Order::Renew);
        }
    }

    /// Tells a line that was just opened what its principal watches.
    pub(super) async fn tell(&self, principal: &Principal, line: &Arc<Line>) {
        let uris = {
            let tasks = self.0.lock().unwrap_or_else(PoisonError::into_inner);
            tasks.get(principal).map(|task| uris(&task.watched))
        };
        if line.version().era() == Era::Session {
            for uri in uris.into_iter().flatten() {
                if let Err(error) = ask(line, "resources/subscribe", &uri).await {
                    tracing::debug!(
                        error = error.for_log(),
                        "an upstream refuses a subscription"
                    );
                }
            }
        }
    }

    fn of(&self, upstream: &Arc<Upstream>, principal: &Principal) -> Task {
        let mut tasks = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        tasks.retain(|_, task| !task.orders.is_closed());
        if let Some(task) = tasks.get(principal) {
            return task.clone();
        }
        let watched = Watched::default();
        let (orders, ordered) = mpsc::unbounded_channel();
        let subscriber = Subscriber {
            upstream: upstream.clone(),
            principal: principal.clone(),
            watched: watched.clone(),
            channel: None,
        };
        upstream
            .tasks
            .spawn(TaskKind::Upkeep, subscriber.work(ordered));
        let task = Task { orders, watched };
        tasks.insert(principal.clone(), task.clone());
        task
    }
}

fn uris(watched: &Watched) -> BTreeSet<String> {
    let watched = watched.lock().unwrap_or_else(PoisonError::into_inner);
    watched.keys().cloned().collect()
}

/// What carries a principal's subscriptions.
enum Channel {
    /// A session that was told of each.
    Session(Lease),
    /// A listen that names all. Behind a lock because it is not to be shared, though its task may move.
    Listen(Box<Mutex<Conversation>>),
}

struct Subscriber {
    upstream: Arc<Upstream>,
    principal: Principal,
    watched: Watched,
    channel: Option<Channel>,
}

impl Subscriber {
    /// Works until nothing is watched any more.
    async fn work(mut self, mut orders: mpsc::UnboundedReceiver<Order>) {
        loop {
            let order = tokio::select! {
                order = orders.recv() => order,
                () = broken(self.channel.as_mut()), if self.channel.is_some() => {
                    self.channel = None;
                    self.take_up_again().await;
                    continue;
                }
                () = tokio::time::sleep(REST), if self.channel.is_none() && self.is_watching() => {
                    self.take_up_again().await;
                    continue;
                }
            };
            match order {
                None => return,
                Some(Order::Renew) if self.channel.is_none() => self.take_up_again().await,
                Some(Order::Renew) => self.look().await,
                Some(Order::Add(uris, tell)) => {
                    let honoured = self.add(uris).await;
                    if let Err(honoured) = tell.send(honoured) {
                        self.remove(honoured).await;
                    }
                }
                Some(Order::Remove(uris)) => self.remove(uris).await,
            }
            if !self.is_watching() && orders.is_empty() {
                // Whoever comes now finds the door closed and is served by another task.
                orders.close();
                if orders.is_empty() {
                    return;
                }
            }
        }
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<String, usize>> {
        self.watched.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn is_watching(&self) -> bool {
        !self.lock().is_empty()
    }

    async fn add(&mut self, uris: BTreeSet<String>) -> BTreeSet<String> {
        let mut new = BTreeSet::new();
        for uri in &uris {
            // Before any line is told: one that opens meanwhile looks there.
            let mut watched = self.lock();
            let count = watched.entry(uri.clone()).or_default();
            *count += 1;
            if *count == 1 {
                new.insert(uri.clone());
            }
        }
        if new.is_empty() {
            return uris;
        }
        let refused = self.tell(&new, self::uris(&self.watched)).await;
        let (refused, honoured) = uris.into_iter().partition(|uri| refused.contains(uri));
        let _refused = self.forget(refused);
        honoured
    }

    /// Counts one watcher less of each. Returns those that nobody watches any more.
    fn forget(&self, uris: BTreeSet<String>) -> BTreeSet<String> {
        let mut watched = self.lock();
        let is_gone = |uri: &String| {
            let Some(count) = watched.get_mut(uri) else {
                return false;
            };
            *count -= 1;
            let is_gone = *count == 0;
            if is_gone {
                watched.remove(uri);
            }
            is_gone
        };
        uris.into_iter().filter(is_gone).collect()
    }

    async fn remove(&mut self, uris: BTreeSet<String>) {
        let gone = self.forget(uris);
        if gone.is_empty() {
            return;
        }
        match &self.channel {
            Some(Channel::Session(_)) => {
                for line in self.lines().await {
                    for uri in &gone {
                        if let Err(error) = ask(&line, "resources/unsubscribe", uri).await {
                            tracing::debug!(
                                error = error.for_log(),
                                "a subscription could not be ended"
                            );
                        }
                    }
                }
            }
            Some(Channel::Listen(_)) if self.is_watching() => {
                let rest = self::uris(&self.watched);
                let _refused = self.tell(&BTreeSet::new(), rest).await;
            }
            Some(Channel::Listen(_)) | None => {}
        }
        if !self.is_watching() {
            self.channel = None;
        }
    }

    /// Whom to tell: the line that is kept, and the other processes of the principal.
    async fn lines(&self) -> Vec<Arc<Line>> {
        let Some(Channel::Session(kept)) = &self.channel else {
            return Vec::new();
        };
        let mut lines = vec![Lease::line(kept)];
        if !self.upstream.is_http() {
            for opening in self.upstream.pool.of(&self.principal) {
                let opened = opening.await.ok();
                lines.extend(opened.filter(|line| !Arc::ptr_eq(line, &lines[0])));
            }
        }
        lines
    }

    /// Asks an upstream that was away whether it knows the session still: it breaks off if not.
    async fn look(&self) {
        if let Some(Channel::Session(lease)) = &self.channel {
            let _known = super::actor::ping(&self.upstream, &Lease::line(lease)).await;
        }
    }

    /// Tells the upstream what is watched; `new` of that is not yet. Returns what it refuses. One that has
    /// forgotten the session refuses everything, and is told in another.
    async fn tell(&mut self, new: &BTreeSet<String>, all: BTreeSet<String>) -> BTreeSet<String> {
        let refused = self.tell_once(new, all.clone()).await;
        match &self.channel {
            Some(Channel::Session(lease)) if lease.is_ending() => {
                self.tell_once(&all, all.clone()).await
            }
            _ => refused,
        }
    }

    async fn tell_once(
        &mut self,
        new: &BTreeSet<String>,
        all: BTreeSet<String>,
    ) -> BTreeSet<String> {
        if !self.upstream.offer().subscribes() {
            return new.clone();
        }
        let lease = match &self.channel {
            Some(Channel::Session(lease)) if !lease.is_ending() => None,
            _ => match self.lease().await {
                Some(lease) => Some(lease),
                None => return new.clone(),
            },
        };
        let lease = match lease {
            Some(lease) if lease.version().era() == Era::Stateless => {
                return match listen(lease, &all).await {
                    Some((conversation, honoured)) => {
                        // The old one ends here, after the new one stands.
                        self.channel = Some(Channel::Listen(Box::new(Mutex::new(conversation))));
                        all.difference(&honoured).cloned().collect()
                    }
                    None => new.clone(),
                };
            }
            Some(lease) => {
                lease.connection().stand().await;
                self.channel = Some(Channel::Session(lease));
                // A new session knows of none.
                return self.subscribe_to(&all).await;
            }
            None => new,
        };
        self.subscribe_to(lease).await
    }

    /// Returns what the line that is kept refuses.
    async fn subscribe_to(&self, uris: &BTreeSet<String>) -> BTreeSet<String> {
        let mut refused = BTreeSet::new();
        for (index, line) in self.lines().await.iter().enumerate() {
            for uri in uris {
                if let Err(error) = ask(line, "resources/subscribe", uri).await {
                    tracing::debug!(
                        error = error.for_log(),
                        "an upstream refuses a subscription"
                    );
                    if index == 0 {
                        refused.insert(uri.clone());
                    }
                }
            }
        }
        refused
    }

    async fn lease(&self) -> Option<Lease> {
        let key = Key {
            principal: self.principal.clone(),
            capabilities: CapabilitySet::default(),
            unit: Unit::Shared,
        };
        let until = Instant::now() + self.upstream.config.timeouts.connect;
        let until = Until::at(until);
        self.upstream.line(key, false, until).await.ok()
    }

    /// After a gap: subscribes anew and says that everything may have changed.
    async fn take_up_again(&mut self) {
        let all = uris(&self.watched);
        if all.is_empty() {
            return;
        }
        let _refused = self.tell(&all, all.clone()).await;
        if self.channel.is_some() {
            for uri in all {
                let whom = Some(&self.principal);
                self.upstream.tell(Heard::Updated(&uri, whom));
            }
        }
    }
}

/// Waits until a channel carries nothing any more.
async fn broken(channel: Option<&mut Channel>) {
    match channel {
        Some(Channel::Session(lease)) => lease.over().await,
        Some(Channel::Listen(conversation)) => {
            let conversation = conversation.get_mut();
            let conversation = conversation.unwrap_or_else(PoisonError::into_inner);
            while let Next::Said(_) = conversation.next().await {}
        }
        None => std::future::pending().await,
    }
}

async fn ask(line: &Arc<Line>, method: &str, uri: &str) -> Result<(), ClientError> {
    let method = Method::parse(method);
    line.ask(Envelope::own(method, &json!({"uri": uri})))
        .await?;
    Ok(())
}

/// Opens a listen for these, and waits for its acknowledgement.
async fn listen(lease: Lease, uris: &BTreeSet<String>) -> Option<(Conversation, BTreeSet<String>)> {
    let filter = json!({"notifications": {"resourceSubscriptions": uris}});
    let mut conversation = Line::begin(lease, &Envelope::own(Method::Listen, &filter));
    loop {
        match conversation.next().await {
            Next::Said(Said::Told(told)) if told.method == ACKNOWLEDGED => {
                return Some((conversation, honoured(&told)));
            }
            Next::Said(_) => {}
            Next::Ended(ended) => {
                if let Err(error) = ended {
                    tracing::debug!(
                        error = error.for_log(),
                        "an upstream refuses to be listened to"
                    );
                }
                return None;
            }
        }
    }
}

fn honoured(acknowledged: &Notification) -> BTreeSet<String> {
    #[derive(Deserialize)]
    struct Acknowledged {
        notifications: SubscriptionFilter,
    }
    let acknowledged = acknowledged.params.decode::<Acknowledged>();
    acknowledged.map_or_else(
        |_| BTreeSet::new(),
        |acknowledged| acknowledged.notifications.resource_subscriptions,
    )
}

/// Hears of changes of the lists of a stateless upstream, as far as it announced any, for as long as it is
/// polled. What changed before it is listened to is not told: the lists are read again then.
pub(super) async fn listen_to_lists(upstream: &Upstream, line: &Arc<Line>, offer: &Offer) {
    let lists = [
        ("tools", "toolsListChanged"),
        ("prompts", "promptsListChanged"),
        ("resources", "resourcesListChanged"),
    ];
    let announced = lists.into_iter().filter(|(list, _)| offer.tells_of(list));
    let announced = announced.map(|(_, wish)| (wish.to_owned(), json!(true)));
    let announced = announced.collect::<Map<_, _>>();
    if announced.is_empty() {
        return;
    }
    let filter = json!({"notifications": announced});
    let mut failures = 0;
    loop {
        // Until it is acknowledged, nothing is heard.
        upstream.set_announces(false);
        let Some(lease) = line.lease(false) else {
            return;
        };
        let began = Instant::now();
        let mut conversation = Line::begin(lease, &Envelope::own(Method::Listen, &filter));
        let ended = loop {
            match conversation.next().await {
                Next::Said(Said::Told(told)) if told.method == ACKNOWLEDGED => {
                    upstream.set_announces(offer.announces);
                    upstream.nudge();
                }
                Next::Said(_) => {}
                Next::Ended(ended) => break ended,
            }
        };
        upstream.set_announces(false);
        if let Err(ClientError::Answered { status, .. }) = ended
            && status.is_none_or(|status| status < TOO_MANY_REQUESTS)
        {
            return;
        }
        let lasted = began.elapsed() >= LASTED;
        failures = if lasted { 0 } else { failures + 1 };
        tokio::time::sleep(rest(failures)).await;
    }
}
