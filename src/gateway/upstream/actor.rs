//! The life of an upstream: an actor that keeps one line to it, on which its lists are read and its
//! changes heard.
//!
//! ```text
//! connecting ── connected, listed ──▶ attending ── lost ──┐
//!     ▲  └───── failed ──────────────────────────┐        │
//!     └── rested, or nudged ──── resting ◀───────┴────────┘
//! ```
//!
//! While it attends, it reads a list again when the upstream says that it changed, on whichever line,
//! and asks now and then whether the upstream is still there. Rests grow with each failure and are
//! never quite the same length, so that a hundred nodes do not come back at once.
//!
//! It is on no request's way: those have lines of their own, and this one declares everything a
//! client could, so that the lists hold all there is.
//!
//! Concurrency: the actor only says what comes next. What takes time runs on the main runtime and
//! reports back. When it dies of a bug, [`Life`] starts another.

use std::collections::BTreeSet;
use std::convert::Infallible;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use actix::{Actor, ActorContext, Addr, AsyncContext, Context, Handler, Message};
use serde_json::json;
use tokio::time::Instant;

use super::line::Line;
use super::listing;
use super::news::{List, News};
use super::offer::{Offer, PROMPTS, RESOURCES, TEMPLATES, TOOLS};
use super::{State, Upstream};
use crate::client::ClientError;
use crate::gateway::bridge::capability_set::CapabilitySet;
use crate::gateway::envelope::Envelope;
use crate::protocol::method::Method;
use crate::protocol::raw::RawJson;
use crate::protocol::subscription::Change;
use crate::protocol::version::Era;
use crate::runtime::arbiters::Arbiters;
use crate::runtime::seal;
use crate::runtime::tasks::TaskKind;

/// The first rest after a failure, and the longest.
const REST: Duration = Duration::from_millis(250);
const REST_MAX: Duration = Duration::from_secs(10);
/// A line that lasted so long was worth opening: the rest after it is a short one again.
pub(super) const LASTED: Duration = REST_MAX;
/// A rest is not cut short more often than this, however often it is asked for.
const NUDGE_INTERVAL: Duration = Duration::from_secs(1);
/// How long news are gathered: one change of a server is often several notices.
const GATHER: Duration = Duration::from_millis(50);
/// The same of those that come from elsewhere: usually the same is told where the lists are read.
const GATHER_ELSEWHERE: Duration = Duration::from_millis(500);
/// Between two readings of lists: one that says all the time that they changed is read four times a second.
const BREATH: Duration = Duration::from_millis(250);
/// How often unused lines are looked for.
const SWEEP: Duration = Duration::from_secs(5);
/// How often it is looked whether enough processes wait for being needed.
const WARM: Duration = Duration::from_millis(100);
/// How many looks in a row an upstream may leave unanswered.
const PINGS_MISSED_MAX: u32 = 2;

/// Keeps an upstream's actor alive. Dropped, it ends it.
#[derive(Debug)]
pub(in crate::gateway) struct Life {
    upstream: Arc<Upstream>,
    actor: Mutex<Addr<Keeper>>,
}

impl Life {
    /// Begins it.
    pub(in crate::gateway) fn begin(upstream: Arc<Upstream>, arbiters: &Arbiters) -> Self {
        let actor = Mutex::new(Keeper::start_on(arbiters, upstream.clone()));
        Self { upstream, actor }
    }

    /// Whose it is.
    pub(in crate::gateway) const fn upstream(&self) -> &Arc<Upstream> {
        &self.upstream
    }

    /// Starts another actor if this one has died.
    pub(in crate::gateway) fn revive(&self, arbiters: &Arbiters) {
        let mut actor = self.actor.lock().unwrap_or_else(PoisonError::into_inner);
        if !actor.connected() {
            tracing::error!(upstream = self.upstream.name(), "an upstream's actor died");
            *actor = Keeper::start_on(arbiters, self.upstream.clone());
        }
    }
}

impl Drop for Life {
    fn drop(&mut self) {
        let actor = self.actor.get_mut();
        // One that takes no more messages has ended already, or ends with its place.
        let _ended = actor.unwrap_or_else(PoisonError::into_inner).try_send(Stop);
        self.upstream.end();
    }
}

/// See the module docs.
#[derive(Debug)]
pub(super) struct Keeper {
    upstream: Arc<Upstream>,
    /// Failures in a row.
    failures: u32,
    /// What runs for it.
    at_work: Option<tokio::task::AbortHandle>,
}

#[derive(Message)]
#[rtype(result = "()")]
struct Connect;

/// The line was lost, or did not come about.
#[derive(Message)]
#[rtype(result = "()")]
struct Lost {
    why: String,
    /// Whether it stood for a while.
    was_up: bool,
}

#[derive(Message)]
#[rtype(result = "()")]
struct Stop;

impl Keeper {
    fn start_on(arbiters: &Arbiters, upstream: Arc<Upstream>) -> Addr<Self> {
        let arbiter = arbiters.place(&("upstream", upstream.name()));
        Self::start_in_arbiter(&arbiter, move |_| Self {
            upstream,
            failures: 0,
            at_work: None,
        })
    }

    fn work(&mut self, ctx: &Context<Self>, work: impl Future<Output = Lost> + Send + 'static) {
        let me = ctx.address();
        let working = self.upstream.tasks.spawn(TaskKind::Upkeep, async move {
            // Closed: it was stopped meanwhile.
            let _closed = me.send(work.await).await;
        });
        self.at_work = Some(working.abort_handle());
    }
}

impl Actor for Keeper {
    type Context = Context<Self>;

    fn started(&mut self, ctx: &mut Self::Context) {
        ctx.notify(Connect);
        if self.upstream.wants_warm() {
            ctx.run_interval(WARM, |keeper, _| {
                let upstream = keeper.upstream.clone();
                // Their pipes belong to the main runtime, like all that talk to upstreams.
                let filling = async move { upstream.keep_warm() };
                keeper.upstream.tasks.spawn(TaskKind::Upkeep, filling);
            });
        }
        ctx.run_interval(SWEEP, |keeper, _| keeper.upstream.sweep());
    }
}

impl Drop for Keeper {
    fn drop(&mut self) {
        if let Some(at_work) = self.at_work.take() {
            at_work.abort();
        }
    }
}

impl Handler<Connect> for Keeper {
    type Result = ();

    fn handle(&mut self, _: Connect, ctx: &mut Self::Context) {
        let upstream = self.upstream.clone();
        self.work(ctx, async move { attend(&upstream).await });
    }
}

impl Handler<Lost> for Keeper {
    type Result = ();

    fn handle(&mut self, lost: Lost, ctx: &mut Self::Context) {
        self.failures = if lost.was_up { 0 } else { self.failures + 1 };
        let upstream = &self.upstream;
        if upstream.state() != State::Down(lost.why.clone()) {
            tracing::warn!(
                upstream = upstream.name(),
                why = lost.why,
                "an upstream is down"
            );
        }
        upstream.set_state(State::Down(lost.why));
        let rest = rest(self.failures);
        let (upstream, me) = (upstream.clone(), ctx.address());
        let resting = self.upstream.tasks.spawn(TaskKind::Upkeep, async move {
            let nudged = async {
                tokio::time::sleep(NUDGE_INTERVAL.min(rest)).await;
                upstream.nudged.notified().await;
            };
            tokio::select! {
                () = tokio::time::sleep(rest) => {}
                () = nudged => {}
            }
            let _closed = me.send(Connect).await;
        });
        self.at_work = Some(resting.abort_handle());
    }
}

impl Handler<Stop> for Keeper {
    type Result = ();

    fn handle(&mut self, _: Stop, ctx: &mut Self::Context) {
        ctx.stop();
    }
}

/// How long to rest after so many failures: twice as long each time, give or take a quarter.
pub(super) fn rest(failures: u32) -> Duration {
    let full = REST.saturating_mul(1 << failures.min(10)).min(REST_MAX);
    let [random] = seal::random::<1>();
    full.mul_f64(0.75 + f64::from(random) / 512.0)
}

/// Connects, reads the lists, and watches for as long as the line holds.
async fn attend(upstream: &Arc<Upstream>) -> Lost {
    let lost = |why: String, was_up| Lost { why, was_up };
    if upstream.here().is_some() {
        return super::super::in_process::attend(upstream)
            .await
            .map_or_else(
                |why| lost(why, false),
                |()| lost("it ended".to_owned(), true),
            );
    }
    let news = News::of(upstream, None);
    let keys = upstream.own_keys();
    let opened = upstream.open(upstream.era(), CapabilitySet::all(), news, keys);
    let line = match opened.await {
        Ok(line) => line,
        Err(error) => {
            upstream.may_be_another(&error);
            return lost(error.for_log(), false);
        }
    };
    let began = Instant::now();
    let Err(error) = watch(upstream, &line).await;
    let was_up = began.elapsed() >= LASTED;
    upstream.may_be_another(&error);
    line.connection().close().await;
    lost(error.for_log(), was_up)
}

/// Reads everything, then goes on as long as the line holds. Returns how it ended.
async fn watch(upstream: &Arc<Upstream>, line: &Arc<Line>) -> Result<Infallible, ClientError> {
    let all = BTreeSet::from([List::Tools, List::Prompts, List::Resources]);
    let server = match line.connection().server() {
        Some(server) => server.to_value(),
        // It was not asked yet, as its revision was known.
        None => discover(upstream, line).await?.to_value(),
    };
    let mut offer = Offer {
        version: Some(line.version()),
        server,
        ..Offer::default()
    };
    let is_stateless = line.version().era() == Era::Stateless;
    if !is_stateless {
        // Changes of lists come there.
        line.connection().stand().await;
    }
    offer.announces = ["tools", "prompts", "resources"]
        .iter()
        .filter(|list| offer.declares(list))
        .all(|list| offer.tells_of(list));
    upstream.changed.forget(&all);
    read(upstream, line, &mut offer, &all).await?;
    upstream.look_up_pins().await;
    upstream.set_offer(offer.clone(), &BTreeSet::new());
    upstream.set_state(State::Up);
    tracing::info!(
        upstream = upstream.name(),
        version = %line.version(),
        tools = offer.tools.len(),
        "an upstream is up"
    );
    upstream.subscriptions.renew();
    let listening = async {
        if is_stateless {
            super::subscriptions::listen_to_lists(upstream, line, &offer).await;
        }
        std::future::pending::<()>().await;
    };
    tokio::pin!(listening);
    let (mut missed, mut due) = (0, Instant::now());
    loop {
        tokio::select! {
            () = line.over() => return Err(ClientError::Closed("it ended".to_owned())),
            () = &mut listening => {}
            lists = upstream.changed.told.gathered(GATHER) => {
                upstream.changed.forget(&lists);
                let told = lists.iter().map(|list| list.change()).collect();
                due = read_again(upstream, line, &lists, &told, due).await?;
            }
            lists = upstream.changed.elsewhere.gathered(GATHER_ELSEWHERE) => {
                due = read_again(upstream, line, &lists, &BTreeSet::new(), due).await?;
            }
            () = upstream.nudged.notified() => {
                // Somebody wants to know whether the lists are still these.
                due = read_again(upstream, line, &all, &BTreeSet::new(), due).await?;
            }
            () = tokio::time::sleep(upstream.config.timeouts.ping) => {
                match ping(upstream, line).await {
                    Ok(()) => missed = 0,
                    Err(error) => {
                        missed += 1;
                        if missed >= PINGS_MISSED_MAX || !matches!(error, ClientError::TimedOut(_)) {
                            return Err(error);
                        }
                    }
                }
            }
        }
    }
}

/// Reads these lists when it is due, of which `told` were said to have changed. Returns when that is due
/// again: an upstream that has news all the time costs half of it.
async fn read_again(
    upstream: &Upstream,
    line: &Arc<Line>,
    lists: &BTreeSet<List>,
    told: &BTreeSet<Change>,
    due: Instant,
) -> Result<Instant, ClientError> {
    tokio::time::sleep_until(due).await;
    let began = Instant::now();
    let mut offer = (*upstream.offer()).clone();
    read(upstream, line, &mut offer, lists).await?;
    upstream.set_offer(offer, told);
    Ok(Instant::now() + began.elapsed().max(BREATH))
}

/// Reads these lists anew.
async fn read(
    upstream: &Upstream,
    line: &Arc<Line>,
    offer: &mut Offer,
    lists: &BTreeSet<List>,
) -> Result<(), ClientError> {
    let has = |list| offer.declares(list);
    let (has_tools, has_prompts, has_resources) = (has("tools"), has("prompts"), has("resources"));
    let mut take = async |has, method, member, known: &mut Vec<_>, place: usize| {
        let listed = listing::read_if(has, upstream, line, method, member).await?;
        offer.late[place] = listed.is_late;
        // What was seen of it stays until as much comes in time again.
        if !listed.is_late || listed.entries.len() >= known.len() {
            (*known, offer.cache[place]) = (listed.entries, listed.cache);
        }
        Ok::<_, ClientError>(())
    };
    for list in lists {
        match list {
            List::Tools => {
                let known = &mut offer.tools;
                take(has_tools, Method::ToolsList, "tools", known, TOOLS).await?;
            }
            List::Prompts => {
                let known = &mut offer.prompts;
                take(has_prompts, Method::PromptsList, "prompts", known, PROMPTS).await?;
            }
            List::Resources => {
                let (method, known) = (Method::ResourcesList, &mut offer.resources);
                take(has_resources, method, "resources", known, RESOURCES).await?;
                let (method, known) = (Method::ResourceTemplatesList, &mut offer.templates);
                take(has_resources, method, "resourceTemplates", known, TEMPLATES).await?;
            }
        }
    }
    offer.read = Some(Instant::now());
    Ok(())
}

/// Whether the upstream still answers.
pub(super) async fn ping(upstream: &Upstream, line: &Arc<Line>) -> Result<(), ClientError> {
    let asked = match line.version().era() {
        Era::Stateless => discover(upstream, line).await,
        Era::Session => ask(upstream, line, Method::Ping).await,
    };
    match asked {
        Ok(_) => Ok(()),
        // It answers, and that was the question.
        Err(ClientError::Answered { .. }) => Ok(()),
        Err(error) => Err(error),
    }
}

/// What the upstream says of itself.
async fn discover(upstream: &Upstream, line: &Arc<Line>) -> Result<RawJson, ClientError> {
    ask(upstream, line, Method::Discover).await
}

async fn ask(
    upstream: &Upstream,
    line: &Arc<Line>,
    method: Method,
) -> Result<RawJson, ClientError> {
    let limit = upstream.config.timeouts.connect;
    let asked = line.ask(Envelope::own(method, &json!({})));
    let answered = tokio::time::timeout(limit, asked).await;
    answered.map_err(|_| ClientError::TimedOut(limit))?
}
