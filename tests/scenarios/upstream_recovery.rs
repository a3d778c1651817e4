//! Upstreams that go away and come back: what became of the calls, and that nobody has to be told.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use futures_util::future::join_all;
use serde_json::json;

use crate::world::nginx::lasting_address;
use crate::world::scripted::{Heard, Script, Scripted, of_session_era, of_stateless_era, said};
use crate::world::server::{Setup, example};
use crate::world::{Answer, Event, FaultProxy, Session, Switchboard, eventually, within};

/// A gateway before `it`.
fn gateway(it: &str) -> Setup {
    gateway_where("", it)
}

/// The same with more in the configuration.
fn gateway_where(more: &str, it: &str) -> Setup {
    Switchboard::with().config(&format!(
        "{more}\n[endpoints.main]\npath = \"/mcp\"\nupstreams = [\"it\"]\n[upstreams.it]\n{it}\n"
    ))
}

fn at(url: &str) -> String {
    format!("url = {url:?}\n")
}

/// Answers a call with `answer`, and lists one tool of that name.
fn has(tool: &'static str) -> impl Fn(&Heard) -> Script + Send + Sync + 'static {
    move |heard| {
        let id = &heard.message["id"];
        match heard.method() {
            "tools/list" => Script::tools(id, [tool]),
            "tools/call" => Script::Json(200, said(id, tool)),
            "ping" => Script::result(id, &json!({})),
            _unknown => Script::Bare(400),
        }
    }
}

fn is_call(heard: &Heard) -> bool {
    heard.method() == "tools/call"
}

/// Is told that the tools are others.
async fn hears_of_other_tools(session: &Session) {
    let mut stream = session.listen(None).await;
    let heard = stream.until(Event::is_message).await;
    let last = heard.last().unwrap();
    assert_eq!(last.method(), "notifications/tools/list_changed");
}

async fn comes_back<A>(
    first: impl Fn(&Heard) -> Script + Send + Sync + 'static,
    then: impl FnOnce() -> A,
) where
    A: Fn(&Heard) -> Script + Send + Sync + 'static,
{
    let upstream = Scripted::start(first).await;
    let address = upstream.address;
    let gateway = gateway(&at(&upstream.url)).start().await;
    gateway.lists(&["it.before"]).await;
    let session = gateway.session("2025-11-25").await;

    upstream.stop().await;
    let lost = session.tool("it.before", json!({})).await.failure();
    assert!(
        lost.starts_with("upstream `it` cannot be reached"),
        "{lost}"
    );
    let _upstream = Scripted::start_at(address, then()).await;

    within("clients hear of it", hears_of_other_tools(&session)).await;
    let answer = session.tool("it.after", json!({})).await;
    assert_eq!(answer.tool_text(), "after");
    gateway.lists(&["it.after"]).await;
}

/// Ours.
#[tokio::test]
async fn an_upstream_with_sessions_that_comes_back_is_found() {
    comes_back(of_session_era(has("before")), || {
        of_session_era(has("after"))
    })
    .await;
}

/// Ours.
#[tokio::test]
async fn an_upstream_without_sessions_that_comes_back_is_found() {
    comes_back(of_stateless_era(has("before")), || {
        of_stateless_era(has("after"))
    })
    .await;
}

/// basic/versioning, clients of both eras: what was found out of a server is not for ever.
#[tokio::test]
async fn a_call_goes_through_though_its_upstream_has_another_era_now() {
    let upstream = Scripted::start(of_stateless_era(has("tool"))).await;
    let (address, gateway) = (upstream.address, gateway(&at(&upstream.url)).start().await);
    gateway.lists(&["it.tool"]).await;
    let client = gateway.stateless();
    assert_eq!(client.tool("it.tool", json!({})).await.tool_text(), "tool");

    upstream.stop().await;
    let upstream = Scripted::start_at(address, of_session_era(has("tool"))).await;
    assert_eq!(client.tool("it.tool", json!({})).await.tool_text(), "tool");
    let in_a_session = |heard: &Heard| is_call(heard) && heard.header("mcp-session-id").is_some();
    assert_eq!(upstream.heard(in_a_session).len(), 1);

    upstream.stop().await;
    let upstream = Scripted::start_at(address, of_stateless_era(has("tool"))).await;
    assert_eq!(client.tool("it.tool", json!({})).await.tool_text(), "tool");
    gateway.lists(&["it.tool"]).await;
    let with_a_claim =
        |heard: &Heard| is_call(heard) && heard.header("mcp-method") == Some("tools/call");
    assert_eq!(upstream.heard(with_a_claim).len(), 1);
}

/// A server that counts how often it does something, and its file.
fn ledger(directory: &Path) -> (Setup, PathBuf) {
    let file = directory.join("ledger");
    let ledger = Switchboard::with()
        .program(example("ledger"))
        .variable("LEDGER", &file.display().to_string());
    (ledger, file)
}

/// How often the call was executed.
fn executions(ledger: &Path) -> usize {
    let text = std::fs::read_to_string(ledger).unwrap_or_default();
    text.lines().count()
}

/// 2025-11-25 basic/transports, session management: a 404 means a new session.
#[tokio::test]
async fn a_lost_session_is_opened_again_and_the_call_runs_once() {
    let directory = tempfile::tempdir().unwrap();
    let (ledger, file) = ledger(directory.path());
    let mut upstream = ledger.same_port().start().await;
    let it = at(&upstream.url("/mcp")) + "version = \"2025-11-25\"";
    let gateway = gateway(&it).start().await;
    gateway.lists(&["it.ledger_append"]).await;
    let session = gateway.session("2025-11-25").await;
    let echo = json!({"text": "here"});
    assert_eq!(session.tool("it.echo", echo).await.tool_text(), "here");

    upstream.crash().await;
    upstream.start_again().await;

    let answer = session.tool("it.ledger_append", json!({"call": "a"})).await;
    assert!(answer.tool_text().contains(r#""call":"a""#));
    assert_eq!(executions(&file), 1);
}

/// A call that is under way at an upstream whose connection breaks, and how often it was executed.
async fn cut_off(more: &str) -> (Answer, usize) {
    let directory = tempfile::tempdir().unwrap();
    let (ledger, file) = ledger(directory.path());
    let upstream = ledger.start().await;
    let link = FaultProxy::before(upstream.address()).await;
    let it = at(&format!("http://{}/mcp", link.address())) + more;
    let gateway = gateway(&it).may_have_a_bug().start().await;
    gateway.lists(&["it.ledger_append"]).await;
    let client = gateway.stateless();
    let call = client.tool("it.ledger_append", json!({"call": "a", "hold_ms": 2_000}));
    let cutting = async {
        eventually("it runs", async || (executions(&file) == 1).then_some(())).await;
        link.reset();
    };
    let (answer, ()) = tokio::join!(call, cutting);
    (answer, executions(&file))
}

/// Ours: it may have run, so it is not made again.
#[tokio::test]
async fn a_call_that_is_cut_off_is_not_sent_again() {
    let (answer, executions) = cut_off("").await;
    assert_eq!(executions, 1, "it was sent again");
    assert_eq!(answer.message()["error"]["data"]["outcome"], "unknown");
    assert!(answer.failure().contains("upstream `it` broke off"));
}

/// Ours: unless that does no harm.
#[tokio::test]
async fn a_call_that_is_cut_off_and_does_no_harm_is_sent_again_once() {
    let (answer, executions) = cut_off("idempotent = [\"ledger_*\"]").await;
    assert_eq!(executions, 2);
    assert!(answer.tool_text().contains(r#""call":"a""#));
}

/// Ours: there would be no time left for it.
#[tokio::test]
async fn a_call_whose_time_is_over_is_not_sent_again() {
    let upstream = Scripted::session(move |heard| match heard.method() {
        "tools/call" => Script::Nothing,
        _ => has("tool")(heard),
    })
    .await;
    let it = at(&upstream.url) + "idempotent = [\"*\"]";
    let gateway = gateway_where("[calls]\ndeadline = \"1s\"", &it);
    let gateway = gateway.start().await;
    gateway.lists(&["it.tool"]).await;
    let answer = gateway.stateless().tool("it.tool", json!({})).await;
    assert!(answer.failure().contains("upstream `it` did not answer"));
    assert_eq!(upstream.heard(is_call).len(), 1);
}

/// A server that answers a handshake only as long as it is told to.
async fn shakes_hands_while(willing: &Arc<AtomicBool>) -> Scripted {
    let willing = willing.clone();
    let answers = of_session_era(has("tool"));
    Scripted::start(move |heard| match heard.method() {
        "initialize" if !willing.load(Ordering::Relaxed) => Script::Nothing,
        _ => answers(heard),
    })
    .await
}

/// Ours: what was never sent cannot have run.
#[tokio::test]
async fn a_call_for_which_no_session_could_be_opened_has_not_run() {
    let willing = Arc::new(AtomicBool::new(true));
    let upstream = shakes_hands_while(&willing).await;
    let it =
        at(&upstream.url) + "isolation = \"request\"\ntimeouts.connect = \"1s\"\nmax_wait = \"1s\"";
    let gateway = gateway(&it).start().await;
    gateway.lists(&["it.tool"]).await;
    willing.store(false, Ordering::Relaxed);
    let answer = gateway.stateless().tool("it.tool", json!({})).await;
    let told = answer.failure();
    assert!(
        told.starts_with("upstream `it` did not get ready"),
        "{told}"
    );
    assert!(told.contains("try again in"), "{told}");
    assert_eq!(upstream.heard(is_call).len(), 0);
}

/// Ours: a call has a deadline, and an upstream that is not ready by then is too late.
#[tokio::test]
async fn a_call_does_not_wait_for_a_session_beyond_its_deadline() {
    let willing = Arc::new(AtomicBool::new(true));
    let upstream = shakes_hands_while(&willing).await;
    let it = at(&upstream.url) + "isolation = \"request\"\ntimeouts.connect = \"10m\"";
    let gateway = gateway_where("[calls]\ndeadline = \"1s\"", &it);
    let gateway = gateway.start().await;
    gateway.lists(&["it.tool"]).await;
    willing.store(false, Ordering::Relaxed);
    let told = gateway
        .stateless()
        .tool("it.tool", json!({}))
        .await
        .failure();
    assert!(
        told.starts_with("upstream `it` did not get ready"),
        "{told}"
    );
}

/// Ours: it is asked once in a while, by one, and by all when it is well.
#[tokio::test]
async fn an_upstream_that_fails_too_often_is_left_alone_until_it_is_well() {
    let is_well = Arc::new(AtomicBool::new(false));
    let well = is_well.clone();
    let upstream = Scripted::start(of_stateless_era(move |heard| match heard.method() {
        "tools/call" if !well.load(Ordering::Relaxed) => Script::Bare(500),
        _ => has("tool")(heard),
    }))
    .await;
    let it = at(&upstream.url) + "breaker = { min_calls = 3, open_for = \"1s\" }";
    let gateway = gateway(&it).start().await;
    gateway.lists(&["it.tool"]).await;
    let client = gateway.stateless();
    let call = async || client.tool("it.tool", json!({})).await.failure();

    for _ in 0..3 {
        let told = call().await;
        assert!(told.contains("upstream `it` answered HTTP 500"), "{told}");
    }
    let began = std::time::Instant::now();
    let told = call().await;
    println!("-- refused after {:?}", began.elapsed());
    assert!(told.starts_with("upstream `it` failed too often"), "{told}");
    assert!(told.contains("try again in 1 s"), "{told}");
    assert_eq!(upstream.heard(is_call).len(), 3);

    let probes = eventually("somebody asks again", async || {
        join_all((0..5).map(|_| call())).await;
        let probes = upstream.heard(is_call).len() - 3;
        (probes > 0).then_some(probes)
    })
    .await;
    assert_eq!(probes, 1, "one finds out for all");

    is_well.store(true, Ordering::Relaxed);
    eventually("it is well", async || call().await.is_empty().then_some(())).await;
    let told = join_all((0..5).map(|_| call())).await;
    assert!(told.iter().all(String::is_empty), "{told:?}");
}

/// Ours: many servers say in words that they are not well. The words are told all the same.
#[tokio::test]
async fn an_upstream_whose_errors_come_with_a_500_is_left_alone_too() {
    let upstream = Scripted::start(of_stateless_era(|heard| match heard.method() {
        "tools/call" => {
            let error = json!({"code": -32603, "message": "out of memory"});
            let id = &heard.message["id"];
            Script::Json(500, json!({"jsonrpc": "2.0", "id": id, "error": error}))
        }
        _ => has("tool")(heard),
    }))
    .await;
    let it = at(&upstream.url) + "breaker = { min_calls = 3, open_for = \"10m\" }";
    let gateway = gateway(&it).start().await;
    gateway.lists(&["it.tool"]).await;
    let client = gateway.stateless();
    for _ in 0..3 {
        let told = client.tool("it.tool", json!({})).await.failure();
        assert_eq!(told, "out of memory");
    }
    let told = client.tool("it.tool", json!({})).await.failure();
    assert!(told.starts_with("upstream `it` failed too often"), "{told}");
    assert_eq!(upstream.heard(is_call).len(), 3);
}

/// Ours.
#[tokio::test]
async fn who_finds_no_place_at_an_upstream_is_told_so() {
    let upstream = Scripted::session(|heard| match heard.method() {
        "tools/call" => Script::Nothing,
        _ => has("tool")(heard),
    })
    .await;
    let it = at(&upstream.url) + "max_running = 1\nmax_waiting = 1\nmax_wait = \"1s\"";
    let gateway = gateway_where("[calls]\ndeadline = \"3s\"", &it);
    let gateway = gateway.start().await;
    gateway.lists(&["it.tool"]).await;
    let client = gateway.stateless();
    let calls = (0..3).map(|_| async { client.tool("it.tool", json!({})).await.failure() });
    let mut told = join_all(calls).await;
    told.sort();
    let [ran, waited, queue] = &told[..] else {
        panic!("{told:?}")
    };
    assert!(
        ran.contains("unknown: upstream `it` did not answer"),
        "{ran}"
    );
    assert!(
        waited.starts_with("upstream `it` had none of its 1 places free for 1s"),
        "{waited}"
    );
    assert!(
        queue.starts_with("upstream `it` has 1 requests running and 1 waiting"),
        "{queue}"
    );
}

/// Ours: DNS and a closed port are one to a client.
#[tokio::test]
async fn an_upstream_that_is_nowhere_is_named() {
    for url in ["http://127.0.0.1:1/mcp", "http://nowhere.invalid/mcp"] {
        let gateway = gateway(&(at(url) + "isolation = \"session\""))
            .start()
            .await;
        let told = gateway
            .stateless()
            .tool("it.tool", json!({}))
            .await
            .failure();
        assert!(
            told.starts_with("upstream `it` cannot be reached"),
            "{told}"
        );
    }
}

/// Ours: one that is down hides nothing of the others, though it would have to be asked for its lists.
#[tokio::test]
async fn lists_do_not_wait_for_an_upstream_that_is_down() {
    let well = Switchboard::start().await;
    let gone = Scripted::session(|heard| Script::tools(&heard.message["id"], ["kept"])).await;
    let config = format!(
        "[upstreams.well]\nurl = \"{}\"\n[upstreams.gone]\nurl = \"{}\"\nlist_ttl = \"1ms\"",
        well.url("/mcp"),
        gone.url
    );
    let gateway = Switchboard::with().config(&config).start().await;
    gateway.lists(&["well.echo"]).await;
    gateway.lists(&["gone.kept"]).await;

    gone.stop().await;

    for _ in 0..3 {
        let listed = gateway.stateless().call("tools/list", json!({})).await;
        let listed = listed.result()["tools"].to_string();
        for tool in ["well.echo", "gone.kept"] {
            assert!(listed.contains(&format!("{tool:?}")), "{listed}");
        }
    }
}

/// 2025-11-25 basic/transports, session management: subscriptions end with a session, and whoever watches
/// is told that something may have been missed.
#[tokio::test]
async fn what_is_watched_is_watched_again_when_its_upstream_is_back() {
    let is_update = |event: &Event| event.json()["method"] == "notifications/resources/updated";
    let address = lasting_address();
    let config = format!("[server]\nlisten = {address:?}\n");
    let mut upstream = Switchboard::with().config(&config).start().await;
    let it = at(&upstream.url("/mcp")) + "version = \"2025-11-25\"\ntimeouts.ping = \"1s\"";
    let gateway = gateway(&it).start().await;
    gateway.lists(&["it.echo"]).await;
    let filter = json!({"notifications": {"resourceSubscriptions": ["it+clock://now"]}});
    let client = gateway.stateless();
    let (_, mut listening) = client.stream("subscriptions/listen", filter.clone()).await;
    listening.until(is_update).await;

    upstream.crash().await;
    upstream.start_again().await;

    // Once because of the gap; what is heard then is new.
    for _ in 0..3 {
        listening.until(is_update).await;
    }
    let (_, mut another) = client.stream("subscriptions/listen", filter).await;
    another.until(is_update).await;
}
