//! Limits hold for all nodes together: what three of them let pass is what one would.

use std::time::{Duration, Instant};

use futures_util::future::join_all;
use serde_json::{Value, json};
use tokio::time::MissedTickBehavior;

use crate::world::{
    Answer, Cluster, Stateless, eventually, http_client_bearing, long, within as soon,
};

const NODES: usize = 3;
const USERS: usize = 10;
/// How many times as much as may pass is offered.
const TIMES: u32 = 5;

/// Tools of the demonstration, and how to call each so that it answers at once.
fn tools() -> [(&'static str, Value); 3] {
    [
        ("echo", json!({"text": "a"})),
        ("countdown", json!({"from": 1, "interval_ms": 0})),
        ("stream", json!({"count": 0})),
    ]
}

/// What each user may call each tool, and for how long more than that is offered.
#[derive(Clone, Copy)]
struct Offer {
    per_minute: u32,
    burst: u32,
    time: Duration,
}

impl Offer {
    fn of_this_run() -> Self {
        let (per_minute, secs) = if long() { (120, 60) } else { (60, 6) };
        Self {
            per_minute,
            burst: per_minute / 12,
            time: Duration::from_secs(secs),
        }
    }

    /// What one bucket gives within a time, when it is full at first.
    fn may_pass(self, time: Duration) -> f64 {
        f64::from(self.burst) + f64::from(self.per_minute) * time.as_secs_f64() / 60.0
    }

    /// The time between two calls of one user to one tool.
    fn every(self) -> Duration {
        Duration::from_secs(60) / (self.per_minute * TIMES)
    }

    /// How many of them there are.
    fn calls(self) -> usize {
        usize::try_from(self.time.as_millis() / self.every().as_millis()).unwrap()
    }
}

/// What came of the calls of one user to one tool.
#[derive(Clone, Copy, Debug, Default)]
struct Tally {
    passed: u32,
    refused: u32,
    /// From the first call to the last.
    offered_for: Duration,
}

/// Calls a tool as often as is offered, whatever comes of it. On a machine that is busy it takes
/// longer, and then more may pass.
async fn keep_calling(client: Stateless, offer: Offer, (tool, arguments): (&str, Value)) -> Tally {
    let mut tally = Tally::default();
    let mut due = tokio::time::interval(offer.every());
    due.set_missed_tick_behavior(MissedTickBehavior::Burst);
    let began = Instant::now();
    for _ in 0..offer.calls() {
        due.tick().await;
        tally.offered_for = began.elapsed();
        let answer = client.tool(tool, arguments.clone()).await;
        match answer.status {
            200 => tally.passed += 1,
            429 => {
                assert_over_the_limit(&answer);
                tally.refused += 1;
            }
            status => panic!("{status}: {}", answer.text),
        }
    }
    tally
}

fn assert_over_the_limit(answer: &Answer) {
    let message = answer.message()["error"]["message"].to_string();
    assert!(
        message.contains("over the limit `per_user_tool."),
        "{message}"
    );
    let seconds: u32 = answer.header("retry-after").parse().unwrap();
    assert!(seconds >= 1);
}

/// Ours: whoever is offered five times as much as may pass, and at whichever nodes, gets it, and no
/// more than a twentieth above.
#[tokio::test]
async fn three_nodes_together_let_each_user_call_each_tool_as_often_as_one_would() {
    let offer = Offer::of_this_run();
    let Offer {
        per_minute, burst, ..
    } = offer;
    let cluster = Cluster::with(NODES)
        .config(&format!(
            "[auth.api_keys]\n[limits]\nnodes = {NODES}\n\
             [limits.per_user_tool]\n'*' = {{ rate = '{per_minute}/min', burst = {burst} }}"
        ))
        .start()
        .await;
    let users: Vec<_> = (0..USERS).map(|user| format!("user-{user}")).collect();
    let keys = join_all(users.iter().map(|user| cluster.api_key(user))).await;
    let monitor = cluster.redis.monitor().await;

    let began = Instant::now();
    let calling = keys.iter().flat_map(|key| {
        let client = || Stateless::through(http_client_bearing(key), &cluster.url("/mcp"));
        tools().map(|tool| keep_calling(client(), offer, tool))
    });
    let tallies = join_all(calling).await;
    let took = began.elapsed();

    let most = 1.05 * offer.may_pass(took);
    for tally in &tallies {
        assert!(f64::from(tally.passed) <= most, "{tally:?} of {most}");
        let offered = f64::from(tally.passed + tally.refused);
        let least = 0.8 * offer.may_pass(tally.offered_for).min(offered);
        assert!(f64::from(tally.passed) >= least, "{tally:?} of {least}");
    }
    let passed: u32 = tallies.iter().map(|tally| tally.passed).sum();
    let refused: u32 = tallies.iter().map(|tally| tally.refused).sum();
    let calls = f64::from(passed + refused);
    let of = async |line| cluster.metric(line).await;
    let counted = of("mcp_limited_total{reason=\"rate\"}").await;
    assert_eq!(counted, f64::from(refused));
    assert!(of("mcp_limit_keys").await > 0.0);
    let asks = of("mcp_limit_store_asks_total{end=\"answered\"}").await;
    let scripts = monitor.counts().get("evalsha").copied();
    println!(
        "{calls} calls in {took:?}, {passed} passed; {asks} times limits asked the store, {:.2} per \
         call; scripts in all: {scripts:?}",
        asks / calls
    );
    // A bucket that was empty is asked again when it may hold one, not by every call.
    assert!(refused > passed, "too little was offered");
    assert!(asks < calls, "{asks} of {calls}");
}

/// What a node says to one call.
#[derive(Debug, PartialEq, Eq)]
enum Said {
    Passed,
    OverTheLimit,
    CannotCount,
}

struct User {
    /// One for each node.
    clients: Vec<Stateless>,
}

impl User {
    async fn of(cluster: &Cluster) -> Self {
        let key = cluster.api_key("user").await;
        let nodes = cluster.nodes().iter();
        let client = |url: String| Stateless::through(http_client_bearing(&key), &url);
        Self {
            clients: nodes.map(|node| client(node.url("/mcp"))).collect(),
        }
    }

    async fn calls(&self, tool: usize, node: usize) -> Said {
        let (name, arguments) = tools()[tool].clone();
        let called = self.clients[node].tool(name, arguments);
        let answer = soon("it is answered", called).await;
        match answer.status {
            200 => Said::Passed,
            429 if answer.text.contains("cannot be counted now") => Said::CannotCount,
            429 => {
                assert_over_the_limit(&answer);
                Said::OverTheLimit
            }
            status => panic!("{status}: {}", answer.text),
        }
    }

    /// How many of the calls that are made at a node, until one does not, or `most` have, pass.
    async fn passes(&self, tool: usize, node: usize, most: usize) -> usize {
        for passed in 0..most {
            match self.calls(tool, node).await {
                Said::Passed => {}
                Said::OverTheLimit | Said::CannotCount => return passed,
            }
        }
        most
    }
}

const LOCAL: usize = 0;
const REFUSE: usize = 1;
const ALLOW: usize = 2;
/// How often each tool may be called.
const A_DAY: usize = 9;

/// Ours: while nodes cannot count together, each limit does as it says; then they go on where they
/// were.
#[tokio::test]
async fn while_the_store_is_away_limits_do_as_they_say_and_then_are_exact_again() {
    let mut cluster = Cluster::with(NODES)
        .proxied()
        .config(&format!(
            "[auth.api_keys]\n[limits]\nnodes = {NODES}\n[limits.per_user_tool]\n\
             echo = {{ rate = '{A_DAY}/day', on_failure = 'local' }}\n\
             countdown = {{ rate = '{A_DAY}/day', on_failure = 'refuse' }}\n\
             stream = {{ rate = '{A_DAY}/day', on_failure = 'allow' }}"
        ))
        .start()
        .await;
    let user = User::of(&cluster).await;
    let all = [LOCAL, REFUSE, ALLOW];
    for (tool, node) in all
        .iter()
        .flat_map(|tool| (0..NODES).map(move |node| (*tool, node)))
    {
        assert_eq!(user.calls(tool, node).await, Said::Passed);
    }

    for node in 0..NODES {
        let link = cluster[node].link.as_mut().expect("it has one");
        link.refuse().await;
        link.reset();
    }

    for node in 0..NODES {
        eventually("it notices", async || {
            (user.calls(REFUSE, node).await == Said::CannotCount).then_some(())
        })
        .await;
        assert_eq!(
            user.passes(LOCAL, node, A_DAY).await,
            A_DAY / NODES,
            "its share"
        );
        assert_eq!(user.passes(ALLOW, node, A_DAY + 1).await, A_DAY + 1);
    }
    let away = cluster
        .metric("mcp_limited_total{reason=\"store_away\"}")
        .await;
    assert!(away >= 3.0, "{away}");

    for node in 0..NODES {
        let link = cluster[node].link.as_mut().expect("it has one");
        link.heal().await;
    }

    let mut passed = [NODES; 3];
    for node in 0..NODES {
        eventually("it counts again", async || {
            match user.calls(ALLOW, node).await {
                // It may have passed uncounted.
                Said::Passed | Said::CannotCount => None,
                Said::OverTheLimit => Some(()),
            }
        })
        .await;
        for tool in [LOCAL, REFUSE] {
            // Not all at one node, so that the last one has something to count.
            passed[tool] += user.passes(tool, node, (A_DAY - NODES) / NODES).await;
        }
    }
    for (tool, node) in [(LOCAL, 0), (LOCAL, 1), (REFUSE, 2), (REFUSE, 0)] {
        assert_eq!(user.calls(tool, node).await, Said::OverTheLimit);
    }
    assert_eq!((passed[LOCAL], passed[REFUSE]), (A_DAY, A_DAY));
}

/// Ours: whoever has the same name in another tenant is somebody else, also where calls are counted.
#[tokio::test]
async fn users_of_one_name_in_two_tenants_each_have_a_whole_limit() {
    const LIMIT: usize = 3;
    let config = format!("[auth.api_keys]\n[limits]\nper_user = '{LIMIT}/day'");
    let cluster = Cluster::with(1).config(&config).start().await;
    for tenant in ["acme", "globex"] {
        let key = cluster.api_key_in(tenant, "ann").await;
        let client = Stateless::through(http_client_bearing(&key), &cluster[0].url("/mcp"));
        let mut passed = 0;
        while client.tool("echo", json!({"text": "a"})).await.status == 200 {
            passed += 1;
            assert!(passed <= LIMIT, "more than the limit passed in {tenant}");
        }
        assert_eq!(passed, LIMIT, "not counted by itself: ann of {tenant}");
    }
}
