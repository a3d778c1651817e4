//! Subscriptions to an upstream's resources: one for each principal and URI, however many of the
//! principal's clients watch it.
//!
//! One task per principal does what must happen in order. An upstream with sessions is told by
//! `resources/subscribe`, on a line that is kept for as long as anything is watched; one of the stateless
//! era by a listen that names all URIs, and a new one is acknowledged before the old one ends. When
//! either breaks off it is taken up again, and each URI counts as changed: something may have been
//! missed.
//!
//! Spec: server/resources, subscriptions (session era); 2026-07-28 basic/patterns/subscriptions.

use std::collections::{BTreeSet, HashMap};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use serde::Deserialize;
use serde_json::json;
use tokio::sync::{mpsc, oneshot};
use tokio::time::Instant;

use super::conversation::{Conversation, Next, Said};
use super::line::{Lease, Line};
use super::offer::Offer;
use super::pool::{Key, Unit};
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

/// The tasks that look after subscriptions, by principal.
#[derive(Debug, Default)]
pub(in crate::gateway) struct Subscriptions(
    Mutex<HashMap<Principal, mpsc::UnboundedSender<Order>>>,
);

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
        let orders = self.of(upstream, principal);
        let (tell, told) = oneshot::channel();
        orders.send(Order::Add(uris, tell)).ok()?;
        let limit = upstream.config.timeouts.list;
        let uris = tokio::time::timeout(limit, told).await.ok()?.ok()?;
        Some(Subscribed { uris, orders })
    }

    /// Takes subscriptions up again that may have been lost.
    pub(super) fn renew(&self, _: &Upstream) {
        let tasks = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        for orders in tasks.values() {
            let _over = orders.send(Order::Renew);
        }
    }

    fn of(&self, upstream: &Arc<Upstream>, principal: &Principal) -> mpsc::UnboundedSender<Order> {
        let mut tasks = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        tasks.retain(|_, orders| !orders.is_closed());
        if let Some(orders) = tasks.get(principal) {
            return orders.clone();
        }
        let (orders, ordered) = mpsc::unbounded_channel();
        let subscriber = Subscriber {
            upstream: upstream.clone(),
            principal: principal.clone(),
            watched: HashMap::new(),
            channel: None,
        };
        upstream
            .tasks
            .spawn(TaskKind::Upkeep, subscriber.work(ordered));
        tasks.insert(principal.clone(), orders.clone());
        orders
    }
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
    /// How many watch each URI.
    watched: HashMap<String, usize>,
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
                () = tokio::time::sleep(REST), if self.channel.is_none() && !self.watched.is_empty() => {
                    self.take_up_again().await;
                    continue;
                }
            };
            match order {
                None => return,
                Some(Order::Renew) if self.channel.is_none() => self.take_up_again().await,
                Some(Order::Renew) => {}
                Some(Order::Add(uris, tell)) => {
                    let honoured = self.add(uris).await;
                    if let Err(honoured) = tell.send(honoured) {
                        self.remove(honoured).await;
                    }
                }
                Some(Order::Remove(uris)) => self.remove(uris).await,
            }
            if self.watched.is_empty() && orders.is_empty() {
                // Whoever comes now finds the door closed and is served by another task.
                orders.close();
                if orders.is_empty() {
                    return;
                }
            }
        }
    }

    async fn add(&mut self, uris: BTreeSet<String>) -> BTreeSet<String> {
        let new = uris.iter().filter(|uri| !self.watched.contains_key(*uri));
        let new = new.cloned().collect::<BTreeSet<_>>();
        let refused = if new.is_empty() {
            BTreeSet::new()
        } else {
            let all = self
                .watched
                .keys()
                .cloned()
                .chain(new.iter().cloned())
                .collect();
            self.tell(&new, all).await
        };
        let honoured = uris.difference(&refused).cloned().collect::<BTreeSet<_>>();
        for uri in &honoured {
            *self.watched.entry(uri.clone()).or_default() += 1;
        }
        honoured
    }

    async fn remove(&mut self, uris: BTreeSet<String>) {
        let mut gone = BTreeSet::new();
        for uri in uris {
            if let Some(count) = self.watched.get_mut(&uri) {
                *count -= 1;
                if *count == 0 {
                    self.watched.remove(&uri);
                    gone.insert(uri);
                }
            }
        }
        if gone.is_empty() {
            return;
        }
        match &self.channel {
            Some(Channel::Session(lease)) => {
                for uri in gone {
                    if let Err(error) = ask(lease, "resources/unsubscribe", &uri).await {
                        tracing::debug!(%error, "a subscription could not be ended");
                    }
                }
            }
            Some(Channel::Listen(_)) if !self.watched.is_empty() => {
                let rest = self.watched.keys().cloned().collect();
                let _refused = self.tell(&BTreeSet::new(), rest).await;
            }
            Some(Channel::Listen(_)) | None => {}
        }
        if self.watched.is_empty() {
            self.channel = None;
        }
    }

    /// Tells the upstream what is watched; `new` of that is not yet. Returns what it refuses.
    async fn tell(&mut self, new: &BTreeSet<String>, all: BTreeSet<String>) -> BTreeSet<String> {
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

    async fn subscribe_to(&self, uris: &BTreeSet<String>) -> BTreeSet<String> {
        let Some(Channel::Session(lease)) = &self.channel else {
            return uris.clone();
        };
        let mut refused = BTreeSet::new();
        for uri in uris {
            if let Err(error) = ask(lease, "resources/subscribe", uri).await {
                tracing::debug!(%error, "an upstream refuses a subscription");
                refused.insert(uri.clone());
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
        self.upstream.line(key, false, until).await.ok()
    }

    /// After a gap: subscribes anew and says that everything may have changed.
    async fn take_up_again(&mut self) {
        if self.watched.is_empty() {
            return;
        }
        let all = self.watched.keys().cloned().collect::<BTreeSet<_>>();
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

async fn ask(lease: &Lease, method: &str, uri: &str) -> Result<(), ClientError> {
    let method = Method::parse(method);
    lease
        .ask(Envelope::own(method, &json!({"uri": uri})))
        .await?;
    Ok(())
}

/// Opens a listen for these, and waits for its acknowledgement.
async fn listen(lease: Lease, uris: &BTreeSet<String>) -> Option<(Conversation, BTreeSet<String>)> {
    let filter = json!({"notifications": {"resourceSubscriptions": uris}});
    let mut conversation = Line::begin(lease, Envelope::own(Method::Listen, &filter));
    loop {
        match conversation.next().await {
            Next::Said(Said::Told(told)) if told.method == ACKNOWLEDGED => {
                return Some((conversation, honoured(&told)));
            }
            Next::Said(_) => {}
            Next::Ended(ended) => {
                if let Err(error) = ended {
                    tracing::debug!(%error, "an upstream refuses to be listened to");
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

/// Hears of changes of the lists of a stateless upstream for as long as it is polled.
pub(super) async fn listen_to_lists(line: &Arc<Line>, offer: &Offer) {
    let filter = json!({"notifications": {
        "toolsListChanged": offer.tells_of("tools"),
        "promptsListChanged": offer.tells_of("prompts"),
        "resourcesListChanged": offer.tells_of("resources"),
    }});
    let mut is_first = true;
    loop {
        let Some(lease) = line.lease(false) else {
            return;
        };
        let mut conversation = Line::begin(lease, Envelope::own(Method::Listen, &filter));
        let ended = loop {
            match conversation.next().await {
                Next::Said(Said::Told(told)) if told.method == ACKNOWLEDGED && !is_first => {
                    // What changed in between was not heard.
                    line.news().changed_all();
                }
                Next::Said(_) => {}
                Next::Ended(ended) => break ended,
            }
        };
        match ended {
            Err(ClientError::Answered { .. }) => return,
            Ok(_) | Err(_) => tokio::time::sleep(REST).await,
        }
        is_first = false;
    }
}
