//! Changes announced on this node, told by the same services on the nodes that share its store.
//!
//! [`Spread`] stands between the services of this node's endpoints and [`Node`]: what a service
//! announces waits in an [`outgoing`] set until one loop sends it, all that waits in one letter; what
//! other nodes announce is handed to the service at the endpoint of the same name. Changes are
//! levels: ten of one resource within a moment are one, and of one that may have been missed
//! everybody who watches anything is told to look again.
//!
//! It does not decide what is carried: a service passes on what the others cannot see by themselves.
//! Nor does it decide who hears of a change: each service knows its own watchers, and what they may
//! see. Where a process cannot have others, on standard input or in memory, it is not started.
//!
//! Concurrency: announcing never waits; it takes a lock for the time of an insertion.

mod outgoing;

use std::collections::HashMap;
use std::fmt;
use std::sync::{Arc, Weak};
use std::time::Duration;

use bytes::Bytes;

use crate::node::{Heard, Node, Topic};
use crate::runtime::ratelimited::warn_ratelimited;
use crate::runtime::tasks::{TaskKind, Tasks};
use crate::service::Service;
use crate::service::changes::{Announced, Elsewhere};
use outgoing::{Letter, Outgoing};

/// Time between two letters: what changes meanwhile is one letter. Short beside what a client
/// takes to read again, long beside a loop that announces.
const GATHER: Duration = Duration::from_millis(50);

/// See the module docs.
pub struct Spread {
    node: Node,
    services: HashMap<Arc<str>, Weak<dyn Service>>,
    outgoing: Arc<Outgoing>,
}

impl Spread {
    /// Lets the services at these endpoints tell other nodes and hear of them. Before the node
    /// starts, and once for each service.
    pub fn start<'a>(
        node: &Node,
        tasks: &Tasks,
        endpoints: impl IntoIterator<Item = (&'a Arc<str>, &'a Arc<dyn Service>)>,
    ) {
        let outgoing = Arc::new(Outgoing::default());
        let mut services = HashMap::new();
        for (name, service) in endpoints {
            let (node, outgoing, endpoint) = (node.clone(), outgoing.clone(), name.clone());
            service.pass_on_to(Arc::new(move |announced: Announced| {
                // One that comes later is told to doubt all it keeps.
                if !node.is_alone() {
                    outgoing.put(&endpoint, announced);
                }
            }));
            // Not held: a service holds the node, and with it its listeners.
            services.insert(name.clone(), Arc::downgrade(service));
        }
        let spread = Arc::new(Self {
            node: node.clone(),
            services,
            outgoing,
        });
        let loops = spread.clone();
        tasks.spawn(TaskKind::Upkeep, async move {
            tokio::join!(loops.send(), loops.notice_deaths())
        });
        let (hearing, tasks) = (Arc::downgrade(&spread), tasks.clone());
        let listener = move |heard| {
            // A node with many watchers takes its time, and its lease must not wait for that.
            if let Some(spread) = hearing.upgrade() {
                tasks.spawn(TaskKind::Store, async move { spread.hear(heard) });
            }
        };
        node.listen(Topic::Changes, Box::new(listener));
    }

    async fn send(&self) {
        loop {
            let letter = self.outgoing.next().await;
            self.node.announce(Topic::Changes, &letter.encode());
            tokio::time::sleep(GATHER).await;
        }
    }

    /// Nobody announces the end of what ran on a node that died, so each node looks for itself.
    async fn notice_deaths(&self) {
        let mut seen = 0;
        loop {
            seen = self.node.next_gone(seen).await;
            self.tell_all(&Elsewhere::NodeGone);
        }
    }

    fn hear(&self, heard: Heard) {
        match heard {
            Heard::Doubt => self.tell_all(&Elsewhere::Missed),
            Heard::Letter { body, .. } => self.take(&body),
        }
    }

    fn take(&self, body: &Bytes) {
        match Letter::decode(body) {
            Ok(Letter::Changed(changed)) => {
                for (endpoint, announced) in changed {
                    // An endpoint that is not here has no watchers here either.
                    let Some(service) = self.services.get(&endpoint).and_then(Weak::upgrade) else {
                        continue;
                    };
                    for announced in announced {
                        service.hear(&Elsewhere::Announced(announced));
                    }
                }
            }
            Ok(Letter::TooMany) => self.tell_all(&Elsewhere::Missed),
            Err(error) => {
                warn_ratelimited!("a letter about changes was not understood", %error);
                self.tell_all(&Elsewhere::Missed);
            }
        }
    }

    fn tell_all(&self, elsewhere: &Elsewhere) {
        for service in self.services.values().filter_map(Weak::upgrade) {
            service.hear(elsewhere);
        }
    }
}

impl fmt::Debug for Spread {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Spread")
            .field("endpoints", &self.services.keys())
            .finish_non_exhaustive()
    }
}
