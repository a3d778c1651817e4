//! The bridge matrix: a client of every revision uses everything of an upstream of every revision.
//!
//! A cell works, or it is refused for a reason that lies in one of the two revisions themselves;
//! [`refusal`] is the whole list of these. What came of all cells is printed, and committed as
//! `docs/bridge-matrix.md`.

mod cells;
mod page;
mod pair;

use std::fmt::Write as _;

use futures_util::FutureExt as _;
use futures_util::future::{BoxFuture, join_all};
use switchboard::protocol::version::{Era, ProtocolVersion};
use tempfile::TempDir;

use self::cells::Outcome;
use self::pair::{Pair, Way};
use crate::world::Switchboard;
use crate::world::server::example;

use ProtocolVersion::{V2025_03_26, V2025_06_18, V2025_11_25, V2026_07_28};
use Way::{Http, HttpSse, Stdio};

const CLIENTS: [Way; 5] = [
    HttpSse,
    Http(V2025_03_26),
    Http(V2025_06_18),
    Http(V2025_11_25),
    Http(V2026_07_28),
];
const UPSTREAMS: [Way; 7] = [
    HttpSse,
    Http(V2025_03_26),
    Http(V2025_06_18),
    Http(V2025_11_25),
    Http(V2026_07_28),
    Stdio(V2025_11_25),
    Stdio(V2026_07_28),
];

/// Something a client does with an upstream.
#[derive(Clone, Copy)]
struct Feature {
    name: &'static str,
    try_it: for<'a> fn(&'a Pair) -> BoxFuture<'a, Outcome>,
}

const FEATURES: [Feature; 11] = [
    feature("call", |pair| cells::call(pair).boxed()),
    feature("progress", |pair| cells::progress(pair).boxed()),
    feature("log", |pair| cells::log(pair).boxed()),
    feature("elicitation", |pair| cells::elicitation(pair).boxed()),
    feature("sampling", |pair| cells::sampling(pair).boxed()),
    feature("roots", |pair| cells::roots(pair).boxed()),
    feature("resource read", |pair| cells::resource_read(pair).boxed()),
    feature("subscribe + update", |pair| {
        cells::subscribe_and_update(pair).boxed()
    }),
    feature("list_changed", |pair| cells::list_changed(pair).boxed()),
    feature("cancel", |pair| cells::cancel(pair).boxed()),
    feature("completion", |pair| cells::completion(pair).boxed()),
];

const fn feature(
    name: &'static str,
    try_it: for<'a> fn(&'a Pair) -> BoxFuture<'a, Outcome>,
) -> Feature {
    Feature { name, try_it }
}

/// Why something cannot be had, and what the client is told.
struct Refusal {
    reason: &'static str,
    answer: String,
}

/// All that cannot be had.
fn refusal(feature: &str, pair: &Pair) -> Option<Refusal> {
    let (client, upstream) = (pair.client.version(), pair.upstream.version());
    if feature != "elicitation" || pair.older() >= V2025_06_18 {
        return None;
    }
    let reason = if client < V2025_06_18 {
        "the client's revision knows no elicitation: it came with 2025-06-18"
    } else {
        "the upstream's revision knows no elicitation: it came with 2025-06-18"
    };
    let answer = match upstream.era() {
        // The upstream was told that its client cannot be asked.
        Era::Session => "this needs the client capability elicitation.form".to_owned(),
        Era::Stateless => {
            let name = pair.upstream.name();
            format!("upstream `{name}` needs a client with the capabilities elicitation.form")
        }
    };
    Some(Refusal { reason, answer })
}

/// What came of a cell.
struct Cell {
    client: Way,
    upstream: Way,
    feature: &'static str,
    /// The reason why it was refused, if it was.
    refused: Option<&'static str>,
    /// What is wrong with that.
    problem: Option<String>,
}

/// Everything a client does with an upstream, one after the other: a log line of a pipe is known to
/// belong to a call only while there is one.
async fn tried(pair: &Pair) -> Vec<Cell> {
    let mut tried = Vec::new();
    for Feature { name, try_it } in FEATURES {
        println!("--- {} at {}: {name}", pair.client, pair.upstream);
        let outcome = std::panic::AssertUnwindSafe(try_it(pair));
        let outcome = outcome.catch_unwind().await;
        let expected = refusal(name, pair);
        let refused = expected.as_ref().map(|expected| expected.reason);
        let problem = match (outcome, expected) {
            (Ok(Ok(())), None) => None,
            (Ok(Err(told)), Some(expected)) if told == expected.answer => None,
            (Ok(Ok(())), Some(_)) => Some("works, though it cannot".to_owned()),
            (Ok(Err(told)), _) => Some(format!("refused: {told}")),
            (Err(panic), _) => {
                let said = panic.downcast::<String>().map(|said| *said);
                Some(said.unwrap_or_else(|_| "see the transcript".to_owned()))
            }
        };
        tried.push(Cell {
            client: pair.client,
            upstream: pair.upstream,
            feature: name,
            refused,
            problem,
        });
    }
    tried
}

/// An upstream that is a process of its own.
async fn started() -> Switchboard {
    let bridged = Switchboard::with().program(example("bridged"));
    bridged.start().await
}

/// Where the gateway finds an upstream.
fn reach(way: Way, server: Option<&Switchboard>, directory: &TempDir) -> String {
    match (way, server) {
        (HttpSse | Http(_), Some(server)) => format!("url = {:?}", server.url(way.path())),
        _ => format!(
            "command = [\"{}\", \"stdio\"]\ncwd = \"{}\"",
            example("bridged").display(),
            directory.path().display()
        ),
    }
}

/// A gateway before these, each process of which is killed when this is dropped.
struct Rig {
    gateway: Switchboard,
    servers: Vec<(Way, Switchboard)>,
    _directories: Vec<TempDir>,
}

impl Rig {
    /// Starts all; what an upstream offers has its name as prefix, or none.
    async fn start(upstreams: &[Way], has_prefix: bool) -> Self {
        let mut config = String::new();
        let (mut servers, mut directories) = (Vec::new(), Vec::new());
        for way in upstreams {
            let server = match way {
                HttpSse | Http(_) => Some(started().await),
                Stdio(_) => None,
            };
            let directory = TempDir::new().unwrap();
            let reach = reach(*way, server.as_ref(), &directory);
            let prefix = if has_prefix { "" } else { "prefix = \"\"\n" };
            let (name, version) = (way.name(), way.version());
            write!(
                config,
                "[upstreams.{name}]\n{reach}\n{prefix}version = \"{version}\"\n"
            )
            .unwrap();
            servers.extend(server.map(|server| (*way, server)));
            directories.push(directory);
        }
        let names: Vec<_> = upstreams.iter().map(|way| way.name()).collect();
        let config = format!("[endpoints.main]\npath = \"/mcp\"\nupstreams = {names:?}\n{config}");
        let gateway = Switchboard::with().config(&config).start().await;
        // An upstream that comes later changes the lists of all.
        gateway.is_ready().await;
        Self {
            gateway,
            servers,
            _directories: directories,
        }
    }

    /// What is spoken to each server, in its own words: the gateway holds a stream at one of HTTP+SSE,
    /// another with each session, and none where there are no sessions.
    async fn is_spoken_to_as_configured(&self) {
        for (way, server) in &self.servers {
            let streams = async |kind| {
                let metric = format!("mcp_open_streams{{kind=\"{kind}\"}}");
                server.metric(&metric).await > 0.0
            };
            let of_sessions = (streams("sse").await, streams("standing").await);
            let expected = match way {
                HttpSse => (true, false),
                Http(version) | Stdio(version) => (false, version.era() == Era::Session),
            };
            assert_eq!(of_sessions, expected, "{way}");
        }
    }

    /// Tries everything of an upstream, with each client.
    async fn tried_at(&self, upstream: Way, prefix: &str) -> Vec<Cell> {
        let origin = self.gateway.url("");
        let mut all = Vec::new();
        for client in CLIENTS {
            let pair = Pair::connect(client, upstream, &origin, prefix).await;
            all.extend(tried(&pair).await);
            pair.close().await;
        }
        all
    }
}

/// Shows what is wrong.
fn nothing_wrong(cells: &[Cell]) {
    let wrong = cells.iter().filter_map(|cell| {
        let problem = cell.problem.as_ref()?;
        let (client, upstream, feature) = (cell.client, cell.upstream, cell.feature);
        Some(format!("{client} at {upstream}: {feature}: {problem}\n"))
    });
    let wrong: Vec<_> = wrong.collect();
    assert!(
        wrong.is_empty(),
        "{} cells:\n{}",
        wrong.len(),
        wrong.concat()
    );
}

/// Ours: the gateway. All upstreams are behind one endpoint.
#[tokio::test]
async fn a_client_of_every_revision_uses_everything_of_every_upstream() {
    let rig = Rig::start(&UPSTREAMS, true).await;
    let names = UPSTREAMS.map(Way::name);
    let at_each = UPSTREAMS.iter().zip(&names);
    let tried = join_all(at_each.map(|(upstream, name)| rig.tried_at(*upstream, name))).await;
    rig.is_spoken_to_as_configured().await;
    let cells: Vec<_> = tried.into_iter().flatten().collect();
    let page = page::rendered(&cells);
    println!("{page}");
    nothing_wrong(&cells);
    page::is_committed(&page);
}

/// Ours: the gateway. Names pass unchanged where an upstream is an endpoint's only one.
#[tokio::test]
async fn the_same_works_without_a_prefix() {
    for upstream in [Http(V2025_11_25), Http(V2026_07_28)] {
        let rig = Rig::start(&[upstream], false).await;
        nothing_wrong(&rig.tried_at(upstream, "").await);
    }
}
