//! One upstream: how it is reached, what it offers, how it is.
//!
//! An [`Upstream`] outlives its connections. [`actor`] keeps one line to it open, on which its lists
//! are read and its changes heard; requests of clients have lines of their own ([`pool`]), each under
//! whose key it is. [`breaker`] and [`bulkhead`] decide whether a request may go there at all.
//!
//! It does not know what clients see of it: names, merged lists and revisions of clients are the
//! gateway's.

pub(super) mod actor;
pub(super) mod breaker;
pub(super) mod bulkhead;
pub(super) mod conversation;
pub(super) mod credentials;
pub(super) mod line;
pub(super) mod listing;
pub(super) mod news;
pub(super) mod offer;
pub(super) mod pool;
pub(super) mod subscriptions;
mod warm;

use std::collections::{BTreeSet, HashMap};
use std::sync::{Arc, Mutex, PoisonError, RwLock};
use std::time::Duration;

use serde_json::json;
use tokio::sync::{Notify, watch};

use self::breaker::Breaker;
use self::bulkhead::Bulkhead;
use self::credentials::{Issuing, Keys};
use self::line::{Desk, Lease, Line};
use self::news::{Changed, News};
use self::offer::Offer;
use self::pool::{Key, NoLine, Open, Pool, Until};
use self::subscriptions::{Subscribed, Subscriptions};
use self::warm::Warm;
use super::bridge::capability_set::CapabilitySet;
use super::config::{CommandConfig, Reach, Secret, UpstreamConfig};
use super::kept_pins::{self, KeptPins};
use super::pins::{DefinitionHash, Pins};
use crate::client::oauth::OAuthError;
use crate::client::{
    ClientError, Connector, Credentials, Environment, HttpEndpoint, Introduction, Limits, Program,
    Speak, StandardError,
};
use crate::identity::Principal;
use crate::protocol::lifecycle::Implementation;
use crate::protocol::subscription::Change;
use crate::protocol::version::{Era, ProtocolVersion};
use crate::runtime::ratelimited::warn_ratelimited;
use crate::runtime::tasks::{TaskKind, Tasks};
use crate::service::{CallContext, Service};
use crate::telemetry::metrics::{Metrics, UpstreamRequests};

/// Most sessions with one upstream over HTTP: each is one per principal and capability set.
const HTTP_LINES_MAX: usize = 10_000;
/// How long stopping waits for lines to close.
const CLOSING: Duration = Duration::from_secs(5);
/// How long a line of a client's session is kept without use: as long as such a session itself.
const SESSION_IDLE: Duration = Duration::from_secs(3_600);

/// How an upstream is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum State {
    /// It was not reached yet, nor found unreachable.
    Starting,
    /// It answers.
    Up,
    /// It does not, and why.
    Down(String),
}

/// What is heard of an upstream.
#[derive(Clone, Copy, Debug)]
pub(super) enum Heard<'a> {
    /// Its lists were read anew; these it had said to have changed.
    Read(&'a BTreeSet<Change>),
    /// A resource of its was updated, by its own name; whom that concerns, if not everybody.
    Updated(&'a str, Option<&'a Principal>),
}

/// Hears of an upstream.
pub(super) type Listener = Arc<dyn Fn(Heard<'_>) + Send + Sync>;

/// See the module docs.
pub(super) struct Upstream {
    pub(super) config: UpstreamConfig,
    reached: Reached,
    /// What lets us in.
    keys: Keys,
    tasks: Tasks,
    offer: watch::Sender<Arc<Offer>>,
    /// What it told of its lists.
    changed: Changed,
    /// The era found when it was last connected to; nothing when that may not be true any more.
    era: Mutex<Option<Era>>,
    state: watch::Sender<State>,
    pub(super) breaker: Breaker,
    pub(super) bulkhead: Bulkhead,
    /// Counts how requests to it end.
    pub(super) requests: UpstreamRequests,
    pool: Arc<Pool>,
    warm: Warm,
    subscriptions: Subscriptions,
    pins: KeptPins,
    /// Who hears of changes: the endpoints that show it.
    listeners: RwLock<HashMap<String, Listener>>,
    /// Asks its actor to look at once.
    nudged: Notify,
}

/// What its place in the configuration comes to.
enum Reached {
    Http(HttpEndpoint),
    Program(Program),
    Here(Arc<dyn Service>),
}

impl Upstream {
    /// An upstream that nobody has connected to yet. `here` is the service of this process that it
    /// is, if it is one.
    ///
    /// # Errors
    /// When its address cannot be used.
    pub(super) fn new(
        config: UpstreamConfig,
        here: Option<Arc<dyn Service>>,
        pins: KeptPins,
        tasks: Tasks,
        metrics: &Metrics,
        issuing: &dyn Fn() -> Result<Issuing, ClientError>,
    ) -> Result<Arc<Self>, ClientError> {
        let limits = limits(&config);
        let (reached, lines_max, one_per_key) = match (&config.reach, here) {
            (_, Some(service)) => (Reached::Here(service), 1, true),
            (Reach::Url { url, headers }, None) => {
                let headers = headers
                    .iter()
                    .map(|(name, Secret(value))| (name.clone(), value.clone()));
                let headers = headers.collect::<Vec<_>>();
                let endpoint = HttpEndpoint::new(url, &headers, limits)?;
                (Reached::Http(endpoint), HTTP_LINES_MAX, true)
            }
            (Reach::Command(command), None) => (
                Reached::Program(program(&config.name, command)),
                command.children_max,
                false,
            ),
            (Reach::InProcess(name), None) => {
                let what = format!("`{name}` is no service of this process");
                return Err(ClientError::Address(what));
            }
        };
        let keys = match (&config.reach, &config.auth) {
            (Reach::Url { url, .. }, Some(auth)) => {
                Keys::new(&config.name, url, auth.clone(), issuing()?, tasks.clone())?
            }
            (Reach::Url { .. } | Reach::Command(_) | Reach::InProcess(_), _) => Keys::Nothing,
        };
        Ok(Arc::new(Self {
            keys,
            breaker: Breaker::new(&config.name, config.breaker),
            bulkhead: Bulkhead::new(config.bulkhead),
            requests: metrics.upstream_requests(&config.name),
            pool: Pool::new(tasks.clone(), lines_max, one_per_key),
            reached,
            tasks,
            offer: watch::Sender::default(),
            changed: Changed::default(),
            era: Mutex::default(),
            state: watch::Sender::new(State::Starting),
            warm: Warm::default(),
            subscriptions: Subscriptions::default(),
            pins,
            listeners: RwLock::default(),
            nudged: Notify::new(),
            config,
        }))
    }

    /// Its name.
    pub(super) fn name(&self) -> &str {
        &self.config.name
    }

    /// The service of this process that it is.
    pub(super) fn here(&self) -> Option<&Arc<dyn Service>> {
        match &self.reached {
            Reached::Here(service) => Some(service),
            Reached::Http(_) | Reached::Program(_) => None,
        }
    }

    /// Whether it is reached by HTTP.
    pub(super) fn is_http(&self) -> bool {
        matches!(self.reached, Reached::Http(_))
    }

    /// What it offered when it was last asked.
    pub(super) fn offer(&self) -> Arc<Offer> {
        self.offer.borrow().clone()
    }

    /// Takes what was read, after it had said that `told` changed.
    pub(super) fn set_offer(&self, offer: Offer, told: &BTreeSet<Change>) {
        // Two gateways that are each other's upstream would tell each other so for ever.
        let none = BTreeSet::new();
        let told = if offer.is_of_a_gateway() { &none } else { told };
        self.offer.send_replace(Arc::new(offer));
        self.tell(Heard::Read(told));
    }

    /// Notes whether it can be heard when its lists change.
    pub(super) fn set_announces(&self, announces: bool) {
        self.offer.send_if_modified(|offer| {
            let is_new = offer.announces != announces;
            if is_new {
                Arc::make_mut(offer).announces = announces;
            }
            is_new
        });
    }

    /// Reads its lists again if they may be too old and it would not say that they changed. Waits
    /// for that no longer than a list may take, and not for one that is down; what there is then has
    /// to do.
    pub(super) async fn freshen(&self) {
        let is_old = |offer: &Arc<Offer>| {
            let age = offer.read.map(|read| read.elapsed());
            let good_for = self.config.list_ttl.max(offer.good_for());
            !offer.stands() && age.is_some_and(|age| age > good_for)
        };
        let mut offers = self.offer.subscribe();
        let old = offers.borrow_and_update().clone();
        if !is_old(&old) {
            return;
        }
        self.nudge();
        let mut state = self.state.subscribe();
        let read = async {
            tokio::select! {
                // On a busy machine the next one may be too old by the time it is looked at.
                _ = offers.wait_for(|offer| !Arc::ptr_eq(offer, &old)) => {}
                _ = state.wait_for(|state| matches!(state, State::Down(_))) => {}
            }
        };
        let _late = tokio::time::timeout(self.config.timeouts.list, read).await;
    }

    /// The era it speaks, as far as is known.
    pub(super) fn era(&self) -> Option<Era> {
        *self.era.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// What was found out of its era may not be true any more: whoever connects next asks anew.
    pub(super) fn doubt_era(&self) {
        *self.era.lock().unwrap_or_else(PoisonError::into_inner) = None;
    }

    /// It could not be connected to, or is no longer. A program stays what it is, unless it says
    /// otherwise; at a URL another server may be next.
    pub(super) fn may_be_another(&self, error: &ClientError) {
        let says_so = matches!(
            error,
            ClientError::Answered { .. } | ClientError::Version(_) | ClientError::Protocol(_)
        );
        if says_so || self.is_http() {
            self.doubt_era();
        }
    }

    /// The era it spoke when it was last known.
    pub(super) fn last_era(&self) -> Option<Era> {
        let of_lists = || self.offer().version.map(ProtocolVersion::era);
        self.era().or_else(of_lists)
    }

    /// Whether it may know one line from another, as far as is known.
    pub(super) fn has_sessions(&self) -> bool {
        !(self.is_http() && self.last_era() == Some(Era::Stateless))
    }

    /// A request came to this. If another process may be there now, its actor looks at once.
    pub(super) fn may_be_gone(&self, error: &ClientError) {
        let is_sign = match error {
            ClientError::SessionLost | ClientError::Unreachable(_) => true,
            ClientError::OutcomeUnknown { .. } => self.is_http(),
            _ => false,
        };
        if is_sign {
            self.nudge();
        }
    }

    /// How it is.
    pub(super) fn state(&self) -> State {
        self.state.borrow().clone()
    }

    /// Whether it answers, as far as is known.
    pub(super) fn is_up(&self) -> bool {
        *self.state.borrow() == State::Up
    }

    /// Whether it was not reached yet, nor found unreachable.
    pub(super) fn is_starting(&self) -> bool {
        *self.state.borrow() == State::Starting
    }

    pub(super) fn set_state(&self, state: State) {
        self.state.send_replace(state);
    }

    /// Waits until it was reached once, or found unreachable.
    pub(super) async fn started(&self) {
        let mut state = self.state.subscribe();
        // Its sender is our own field, so it does not go away meanwhile.
        let _closed = state.wait_for(|state| *state != State::Starting).await;
    }

    /// Lets its actor look at once how it is.
    pub(super) fn nudge(&self) {
        self.nudged.notify_one();
    }

    /// Lets `listener` hear of what changes from now on.
    pub(super) fn listen(&self, who: &str, listener: Listener) {
        let mut listeners = self
            .listeners
            .write()
            .unwrap_or_else(PoisonError::into_inner);
        listeners.insert(who.to_owned(), listener);
    }

    /// Tells everybody.
    pub(super) fn tell(&self, heard: Heard<'_>) {
        let listeners = self
            .listeners
            .read()
            .unwrap_or_else(PoisonError::into_inner);
        for listener in listeners.values() {
            listener(heard);
        }
    }

    /// The right to use the line that is kept under `key`, if it is there; waits for it no longer than
    /// `until`.
    pub(super) async fn kept_line(
        &self,
        key: &Key,
        may_be_asked: bool,
        until: Until,
    ) -> Result<Lease, NoLine> {
        let none = None::<fn() -> Open>;
        self.pool.line(key, may_be_asked, until, none).await
    }

    /// The right to use a line for a request; waits for it no longer than `until`.
    pub(super) async fn line(
        self: &Arc<Self>,
        key: Key,
        may_be_asked: bool,
        until: Until,
    ) -> Result<Lease, NoLine> {
        // A line is opened as what its key was made for, whatever is found out meanwhile: what many
        // share must have no session.
        let era = self.era();
        let key = self.key(key, era);
        let open = || -> Open {
            let (upstream, key) = (self.clone(), key.clone());
            Box::new(move || {
                Box::pin(async move {
                    let news = News::of(&upstream, Some(key.principal.clone()));
                    let keys = upstream.keys.of(&key.principal);
                    let line = upstream.open(era, key.capabilities, news, keys).await?;
                    if !upstream.is_http() {
                        upstream.subscriptions.tell(&key.principal, &line).await;
                    }
                    Ok(line)
                })
            })
        };
        self.pool.line(&key, may_be_asked, until, Some(open)).await
    }

    /// Where nothing is kept between requests, everybody has the same line, or each caller who is let in
    /// by a credential of their own.
    fn key(&self, key: Key, era: Option<Era>) -> Key {
        match (era, self.is_http()) {
            (Some(Era::Stateless), true) => Key {
                principal: if self.keys.are_of_callers() {
                    key.principal
                } else {
                    Principal::local()
                },
                capabilities: CapabilitySet::default(),
                unit: pool::Unit::Shared,
            },
            (Some(Era::Stateless), false) => Key {
                capabilities: CapabilitySet::default(),
                ..key
            },
            (Some(Era::Session) | None, _) => key,
        }
    }

    /// What lets us in where it is nobody's call.
    pub(super) fn own_keys(&self) -> Option<Arc<dyn Credentials>> {
        self.keys.own()
    }

    /// Whether a caller can be let in, where each needs a credential of their own.
    pub(super) fn take_credential(&self, context: &CallContext) -> Result<(), OAuthError> {
        self.keys
            .take(context.principal(), context.credential.as_deref())
    }

    /// Opens a line that declares these capabilities, to an upstream of this era, if that is known; by
    /// these credentials, if it wants some.
    pub(super) async fn open(
        self: &Arc<Self>,
        era: Option<Era>,
        capabilities: CapabilitySet,
        news: News,
        keys: Option<Arc<dyn Credentials>>,
    ) -> Result<Arc<Line>, ClientError> {
        let name: Arc<str> = self.name().into();
        let desk = Desk::new(name, self.config.roots.clone(), news);
        let speak = match (self.config.version, era) {
            (Some(version), _) => Speak::Version(version),
            // Asking again would cost a request, or a process, each time.
            (None, Some(era)) => Speak::Era(era),
            (None, None) => Speak::Newest,
        };
        let version = self
            .config
            .version
            .unwrap_or(ProtocolVersion::NEWEST_WITH_SESSIONS);
        let connector = Connector {
            tasks: self.tasks.clone(),
            speak,
            introduction: Introduction {
                info: us(),
                session: capabilities.declaration(version).to_value(),
                stateless: json!({}),
            },
            hears: desk.clone(),
            limits: limits(&self.config),
            timeout: self.config.timeouts.connect,
            // Some take long to start, and are not to be taken for those that say nothing.
            probe: self.config.timeouts.connect,
        };
        let connection = match &self.reached {
            Reached::Http(endpoint) => match keys {
                Some(keys) => connector.http(&endpoint.with(keys)).await?,
                None => connector.http(endpoint).await?,
            },
            Reached::Program(program) => match self.warm.take() {
                Some(started) => connector.started(started, program).await?,
                None => connector.program(program).await?,
            },
            Reached::Here(_) => {
                return Err(ClientError::Closed("it is in this process".to_owned()));
            }
        };
        let known = era;
        let era = connection.version().era();
        // Without sessions nothing is said when one connects: what was only supposed is not found out by that,
        // and may be doubted by now.
        if known.is_none() || era == Era::Session {
            *self.era.lock().unwrap_or_else(PoisonError::into_inner) = Some(era);
        }
        desk.note(connection.server());
        if era == Era::Session && capabilities.can_be_asked() {
            // Some servers ask there.
            connection.stand().await;
        }
        Ok(Line::new(connection, desk, capabilities.can_be_asked()))
    }

    /// Watches resources for a principal; see [`Subscriptions::subscribe`].
    pub(super) async fn subscribe(
        self: &Arc<Self>,
        principal: &Principal,
        uris: BTreeSet<String>,
    ) -> Option<Subscribed> {
        self.subscriptions.subscribe(self, principal, uris).await
    }

    /// Where its work runs.
    pub(super) const fn tasks(&self) -> &Tasks {
        &self.tasks
    }

    /// The definitions of its tools as they were first seen.
    pub(super) fn pins(&self) -> Arc<Pins> {
        self.pins.now()
    }

    /// Remembers definitions that were never seen before, here and for the other nodes.
    pub(super) fn learn(self: &Arc<Self>, seen: &[(String, DefinitionHash)]) {
        let judged_by = self.pins.now().corrections();
        if !self.pins.learn(seen) {
            return;
        }
        let upstream = Arc::downgrade(self);
        self.tasks.spawn(TaskKind::Upkeep, async move {
            while let Some(upstream) = upstream.upgrade() {
                let kept = {
                    let _stopping_waits = upstream.tasks.track();
                    upstream.pins.keep().await
                };
                let Err(error) = kept else {
                    if upstream.pins.now().corrections() != judged_by {
                        upstream.tell(Heard::Read(&BTreeSet::new()));
                    }
                    return;
                };
                warn_ratelimited!("pins are not kept", upstream = upstream.name(), %error);
                drop(upstream);
                tokio::time::sleep(kept_pins::RETRY).await;
            }
        });
    }

    /// Learns what other nodes saw first, or this one before it was restarted: for whoever shows its
    /// lists for the first time. Waits no longer than [`kept_pins::PATIENCE`].
    pub(super) async fn look_up_pins(&self) {
        let asked = tokio::time::timeout(kept_pins::PATIENCE, self.pins.agree()).await;
        if let Ok(Err(error)) = asked {
            warn_ratelimited!("pins are not known", upstream = self.name(), %error);
        }
    }

    /// Whether processes of it are to wait for being needed.
    pub(super) fn wants_warm(&self) -> bool {
        matches!(&self.config.reach, Reach::Command(command) if command.warm > 0)
    }

    /// Sees to it that as many processes wait for being needed as shall.
    pub(super) fn keep_warm(&self) {
        if let (Reached::Program(program), Reach::Command(command)) =
            (&self.reached, &self.config.reach)
        {
            self.warm.fill(command.warm, program, &self.tasks);
        }
    }

    /// Ends lines that nobody uses, and those that carry nothing any more.
    pub(super) fn sweep(self: &Arc<Self>) {
        self.pool.sweep(self.config.timeouts.idle, SESSION_IDLE);
        for line in self.pool.left_unanswered() {
            // Where each request has a connection of its own, there is no other to be stuck.
            if line.connection().is_http() {
                continue;
            }
            let upstream = self.clone();
            self.tasks.spawn(TaskKind::Upkeep, async move {
                if let Err(error) = actor::ping(&upstream, &line).await {
                    let upstream = upstream.name();
                    tracing::warn!(
                        upstream,
                        error = error.for_log(),
                        "a line of an upstream carries nothing any more and is ended"
                    );
                    line.end();
                }
            });
        }
    }

    /// A session of a client has ended.
    pub(super) fn end_session(&self, session: &crate::service::SessionKey) {
        self.pool.end_session(session);
    }

    /// Ends all its lines, as soon as what runs on them has ended.
    pub(super) fn end(&self) {
        // Nobody waits for it any more.
        self.set_state(State::Down("it has ended".to_owned()));
        self.warm.end();
        self.pool.end_all();
    }

    /// Waits until all its lines have closed, and not for long.
    pub(super) async fn ended(&self) {
        self.pool.closed(CLOSING).await;
    }

    /// Whether its breaker keeps requests away.
    pub(super) fn is_left_alone(&self) -> bool {
        self.breaker.health() != breaker::Health::Closed
    }

    /// How many lines clients have to it.
    pub(super) fn lines(&self) -> usize {
        self.pool.len()
    }
}

impl std::fmt::Debug for Upstream {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Upstream")
            .field("name", &self.config.name)
            .finish_non_exhaustive()
    }
}

fn limits(config: &UpstreamConfig) -> Limits {
    Limits {
        message: config.message_max,
        ..Limits::default()
    }
}

/// The program of an upstream: guarded, its standard error in our log.
fn program(name: &str, command: &CommandConfig) -> Program {
    let mut words = command.command.iter().map(Into::into);
    let variables = command.environment.iter();
    let variables = variables.map(|(name, Secret(value))| (name.into(), value.into()));
    let mut program = Program::new(
        words.next().unwrap_or_else(std::ffi::OsString::new),
        words.collect(),
    );
    program.environment = Environment::With(variables.collect());
    program.directory.clone_from(&command.directory);
    program.standard_error = StandardError::Logged(name.to_owned());
    program.memory_max = command.memory_max;
    program.files_max = command.files_max;
    program
}

/// Who we say we are.
fn us() -> Implementation {
    Implementation {
        name: "switchboard".into(),
        version: env!("CARGO_PKG_VERSION").into(),
        title: None,
        description: None,
        website_url: None,
    }
}
