//! All gateways of a process, with the upstreams they share.

use std::collections::{BTreeSet, HashMap};
use std::sync::{Arc, Mutex, OnceLock, PoisonError, RwLock, Weak};

use serde::Serialize;

use super::bridge::parked_call::ParkedCalls;
use super::config::{Config, Reach};
use super::elsewhere::Elsewhere;
use super::handle::Handles;
use super::holders::Holders;
use super::kept_pins::KeptPins;
use super::path::Hop;
use super::pin_record::PinRecord;
use super::upstream::actor::Life;
use super::upstream::credentials::Issuing;
use super::upstream::{Heard, Listener, State, Upstream};
use super::warning;
use super::{Gateway, Inner, Shown};
use crate::audit::Audit;
use crate::client::ClientError;
use crate::egress::{self, Egress};
use crate::node::Node;
use crate::protocol::jsonrpc::ResponseError;
use crate::protocol::version::ProtocolVersion;
use crate::runtime::arbiters::Arbiters;
use crate::runtime::clock::Clock;
use crate::runtime::seal::ClusterKeys;
use crate::runtime::tasks::Tasks;
use crate::service::changes::Changes;
use crate::service::pages::Pages;
use crate::service::{Service, ServiceError};
use crate::store::Store;
use crate::telemetry::metrics::{Metrics, UpstreamIs};

/// How an upstream is that is not there any more.
const NOWHERE: UpstreamIs = UpstreamIs {
    up: false,
    left_alone: false,
    lines: 0,
    running: 0,
    waiting: 0,
};
/// Entries of one page of a list.
const PAGE: usize = 100;

/// What gateways need.
#[derive(Debug)]
pub struct Parts {
    /// Where upstreams' actors live.
    pub arbiters: Arbiters,
    /// Where work runs.
    pub tasks: Tasks,
    /// Seals states and cursors.
    pub keys: ClusterKeys,
    /// The clock.
    pub clock: Clock,
    /// This process among others.
    pub node: Node,
    /// What the nodes share.
    pub store: Arc<dyn Store>,
    /// Where requests to upstreams are counted.
    pub metrics: Metrics,
    /// Where it is recorded that a tool became another.
    pub audit: Option<Audit>,
    /// An error as it stands on the wire, for another node.
    pub error_on_the_wire: fn(&ServiceError, ProtocolVersion) -> ResponseError,
}

/// See the module docs. Cloning shares them.
#[derive(Clone, Debug)]
pub struct Gateways(Arc<All>);

#[derive(Debug)]
struct All {
    parts: Parts,
    parked: ParkedCalls,
    holders: Arc<Holders>,
    elsewhere: Elsewhere,
    /// Asks those who issue credentials for upstreams.
    egress: OnceLock<Egress>,
    living: Mutex<Living>,
}

#[derive(Debug, Default)]
struct Living {
    config: Config,
    /// By name.
    lives: HashMap<String, Life>,
    /// By the endpoint's name.
    gateways: HashMap<String, Gateway>,
}

/// How an upstream is, for operators.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct UpstreamStatus {
    /// Its name.
    pub name: String,
    /// `starting`, `up` or `down`.
    pub state: &'static str,
    /// Why it is down.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub why: Option<String>,
    /// Whether it is left alone for now.
    pub left_alone: bool,
    /// Sessions and processes with it that requests of clients use.
    pub lines: usize,
    /// Requests that run there.
    pub running: usize,
    /// Requests that wait for a place.
    pub waiting: usize,
}

impl Gateways {
    /// Starts the upstreams of `config` and the gateways of its endpoints. `here` finds a service of
    /// this process by its name.
    ///
    /// # Errors
    /// When an upstream's address cannot be used.
    pub fn start(
        parts: Parts,
        config: &Config,
        here: &dyn Fn(&str) -> Option<Arc<dyn Service>>,
    ) -> Result<Self, ClientError> {
        let parked = ParkedCalls::new(
            parts.keys.seal("gateway parked call"),
            parts.clock.clone(),
            parts.tasks.clone(),
            parts.node.incarnation(),
        );
        let holders = Arc::new(Holders::new(parts.store.clone(), parts.node.clone()));
        let all = Self(Arc::new_cyclic(|all: &Weak<All>| {
            let all = all.clone();
            let find = move |endpoint: &str| Self(all.upgrade()?).gateway(endpoint);
            let (node, tasks, find) = (&parts.node, &parts.tasks, Box::new(find));
            let elsewhere = Elsewhere::listen(node, tasks, find, &holders, parts.error_on_the_wire);
            All {
                parts,
                parked,
                holders,
                elsewhere,
                egress: OnceLock::new(),
                living: Mutex::default(),
            }
        }));
        all.change(config, here)?;
        Ok(all)
    }

    /// Lets `config` be what is served from now on. An upstream that is as it was goes
    /// on as if nothing had happened; one that changed begins anew, and what runs there may end.
    ///
    /// # Errors
    /// When an upstream's address cannot be used; then nothing has changed.
    pub fn change(
        &self,
        config: &Config,
        here: &dyn Fn(&str) -> Option<Arc<dyn Service>>,
    ) -> Result<(), ClientError> {
        let parts = &self.0.parts;
        let mut living = self.lock();
        let mut upstreams = HashMap::new();
        for upstream in &config.upstreams {
            let as_before = living.lives.get(&upstream.name).map(Life::upstream);
            let as_before = as_before.filter(|before| before.config == *upstream);
            let upstream = if let Some(before) = as_before {
                before.clone()
            } else {
                let here = match &upstream.reach {
                    Reach::InProcess(name) => here(name),
                    Reach::Url { .. } | Reach::Command(_) => None,
                };
                let (store, clock) = (parts.store.clone(), parts.clock.clone());
                let pins = KeptPins::new(store, clock, &upstream.name);
                let (tasks, metrics) = (parts.tasks.clone(), &parts.metrics);
                let issuing = || self.issuing();
                let pins = (pins, PinRecord::new(parts.audit.clone(), upstream));
                Upstream::new(upstream.clone(), here, pins, tasks, metrics, &issuing)?
            };
            upstreams.insert(upstream.config.name.clone(), upstream);
        }
        for endpoint in &config.endpoints {
            let of_endpoint = endpoint.upstreams.iter();
            let of_endpoint = of_endpoint.filter_map(|name| upstreams.get(name).cloned());
            let of_endpoint = of_endpoint.collect::<Vec<_>>();
            if let Some(gateway) = living.gateways.get(&endpoint.name) {
                gateway.show(&BTreeSet::new(), |before| {
                    let hop = &gateway.0.hop;
                    Shown::of(hop, endpoint.clone(), of_endpoint, Some(before))
                });
            } else {
                let fingerprint = parts.keys.fingerprints();
                let me = match fingerprint.first() {
                    Some(key) => format!("{}@{key}", endpoint.name),
                    None => endpoint.name.clone(),
                };
                let pages = Pages {
                    seal: parts.keys.seal("gateway cursor"),
                    size: PAGE,
                };
                let hop = Hop {
                    me,
                    max: config.hops_max,
                };
                let shown = Shown::of(&hop, endpoint.clone(), of_endpoint, None);
                let mut budget = warning::budget();
                shown.warn(None, &mut budget);
                let gateway = Gateway(Arc::new(Inner {
                    hop,
                    pages,
                    parked: self.0.parked.clone(),
                    handles: Handles::new(
                        parts.keys.seal("gateway handle"),
                        parts.node.incarnation(),
                    ),
                    holders: self.0.holders.clone(),
                    elsewhere: self.0.elsewhere.clone(),
                    changes: Changes::default(),
                    shown: RwLock::new(Arc::new(shown)),
                    looking: Mutex::new(budget),
                }));
                living.gateways.insert(endpoint.name.clone(), gateway);
            }
        }
        let gateways = living.gateways.values().cloned().collect::<Vec<_>>();
        for (name, upstream) in &upstreams {
            let is_as_before =
                (living.lives.get(name)).is_some_and(|life| Arc::ptr_eq(life.upstream(), upstream));
            for gateway in gateways.iter().filter(|it| it.has(upstream)) {
                upstream.listen(&gateway.0.hop.me, listener(gateway, upstream));
            }
            if !is_as_before {
                let life = Life::begin(upstream.clone(), &parts.arbiters);
                living.lives.insert(name.clone(), life);
            }
        }
        for gone in living
            .lives
            .keys()
            .filter(|name| !upstreams.contains_key(*name))
        {
            parts.metrics.upstream(gone, NOWHERE);
        }
        living.lives.retain(|name, _| upstreams.contains_key(name));
        living.config = config.clone();
        Ok(())
    }

    /// What credentials of upstreams are got with: put together for the first that wants one, since
    /// reading the certificates of this machine takes its time.
    fn issuing(&self) -> Result<Issuing, ClientError> {
        let egress = if let Some(egress) = self.0.egress.get() {
            egress.clone()
        } else {
            let egress = Egress::new(egress::Settings::default());
            let egress = egress.map_err(|error| ClientError::Address(error.to_string()))?;
            self.0.egress.get_or_init(|| egress).clone()
        };
        Ok(Issuing {
            egress,
            clock: self.0.parts.clock.clone(),
        })
    }

    /// The gateway of an endpoint.
    #[must_use]
    pub fn gateway(&self, endpoint: &str) -> Option<Gateway> {
        self.lock().gateways.get(endpoint).cloned()
    }

    /// How its upstreams are.
    #[must_use]
    pub fn status(&self) -> Vec<UpstreamStatus> {
        let living = self.lock();
        let mut all = living
            .lives
            .values()
            .map(|life| {
                let upstream = life.upstream();
                let (state, why) = match upstream.state() {
                    State::Starting => ("starting", None),
                    State::Up => ("up", None),
                    State::Down(why) => ("down", Some(why)),
                };
                UpstreamStatus {
                    name: upstream.name().to_owned(),
                    state,
                    why,
                    left_alone: upstream.is_left_alone(),
                    lines: upstream.lines(),
                    running: upstream.bulkhead.running(),
                    waiting: upstream.bulkhead.waiting(),
                }
            })
            .collect::<Vec<_>>();
        all.sort_by(|one, other| one.name.cmp(&other.name));
        all
    }

    /// Says how all of it is, for a rendering of the metrics.
    pub fn measure(&self) {
        let metrics = &self.0.parts.metrics;
        for status in self.status() {
            let is = UpstreamIs {
                up: status.state == "up",
                left_alone: status.left_alone,
                lines: status.lines,
                running: status.running,
                waiting: status.waiting,
            };
            metrics.upstream(&status.name, is);
        }
        metrics.parked_calls(self.0.parked.len());
    }

    /// Keeps the upstreams' actors alive.
    pub fn revive(&self) {
        for life in self.lock().lives.values() {
            life.revive(&self.0.parts.arbiters);
        }
    }

    /// Ends all upstreams, and waits until their processes are gone.
    pub async fn stop(&self) {
        let lives = std::mem::take(&mut self.lock().lives);
        let upstreams = lives.values().map(|life| life.upstream().clone());
        let upstreams = upstreams.collect::<Vec<_>>();
        drop(lives);
        for upstream in upstreams {
            upstream.ended().await;
        }
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Living> {
        self.0.living.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Hears for a gateway, as long as there is one.
fn listener(gateway: &Gateway, upstream: &Arc<Upstream>) -> Listener {
    let gateway: Weak<Inner> = Arc::downgrade(&gateway.0);
    let upstream = Arc::downgrade(upstream);
    Arc::new(move |heard| {
        let Some((gateway, upstream)) = gateway.upgrade().zip(upstream.upgrade()) else {
            return;
        };
        let gateway = Gateway(gateway);
        match heard {
            Heard::Read(told) => gateway.look_again(told),
            Heard::Updated(uri, whom) => gateway.updated(&upstream, whom, uri),
        }
    })
}
