//! Endpoints of a gateway beside each other, gateways behind gateways, and upstreams that come and go
//! while others work.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use serde_json::{Value, json};

use crate::reload::replace;
use crate::world::nginx::lasting_address;
use crate::world::server::CONFIG;
use crate::world::{EventStream, Session, Stateless, Switchboard, Told as _, eventually};

const VERSION: &str = "2025-11-25";
const TOOLS_CHANGED: &str = "notifications/tools/list_changed";

/// An upstream's place in a configuration.
fn upstream(name: &str, url: &str, more: &str) -> String {
    format!("[upstreams.{name}]\nurl = {url:?}\n{more}\n")
}

async fn tools(endpoint: &str) -> Vec<String> {
    let listed = Stateless::new(endpoint).call("tools/list", json!({})).await;
    let listed = listed.result();
    let tools = listed["tools"].as_array().expect("a list").iter();
    tools
        .map(|tool| tool["name"].as_str().unwrap().to_owned())
        .collect()
}

/// Waits until an endpoint shows a tool.
async fn shows(endpoint: &str, tool: &str) {
    eventually("the tool is shown", async || {
        tools(endpoint)
            .await
            .contains(&tool.to_owned())
            .then_some(())
    })
    .await;
}

/// Ours: each endpoint has upstreams, a version and a future of its own.
#[tokio::test]
async fn endpoints_show_what_they_have_and_one_says_that_it_will_be_gone() {
    let demo = Switchboard::start().await;
    let suite = Switchboard::with().builtin("conformance").start().await;
    let config = "[endpoints.main]\nupstreams = [\"demo\", \"suite\"]\n\
        [endpoints.old]\npath = \"/old\"\nupstreams = [\"demo\"]\nversion = \"0.9.0\"\n\
        deprecated = \"use /mcp\"\n"
        .to_owned()
        + &upstream("demo", &demo.url("/mcp"), "")
        + &upstream("suite", &suite.url("/mcp"), "");
    let gateway = Switchboard::with().config(&config).start().await;
    shows(&gateway.url("/mcp"), "suite.test_simple_text").await;
    shows(&gateway.url("/old"), "demo.echo").await;

    let new = tools(&gateway.url("/mcp")).await;
    let old = tools(&gateway.url("/old")).await;

    assert!(new.contains(&"demo.echo".to_owned()), "{new:?}");
    assert!(old.iter().all(|name| name.starts_with("demo.")), "{old:?}");
    let session = Session::open(&gateway.url("/old"), VERSION, json!({})).await;
    let discovered = Stateless::new(&gateway.url("/old"));
    let discovered = discovered.call("server/discover", json!({})).await.result();
    for said in [
        &session.initialized["instructions"],
        &discovered["instructions"],
    ] {
        let said = said.as_str().unwrap_or_default();
        assert!(said.starts_with("Deprecated: use /mcp"), "{said}");
    }
    assert_eq!(session.initialized["serverInfo"]["version"], "0.9.0");
    let session = Session::open(&gateway.url("/mcp"), VERSION, json!({})).await;
    let said = session.initialized["instructions"].to_string();
    assert!(!said.contains("Deprecated"), "{said}");
    assert_ne!(session.initialized["serverInfo"]["version"], "0.9.0");
    let unknown = Stateless::new(&gateway.url("/old"));
    let unknown = unknown.tool("suite.test_simple_text", json!({})).await;
    assert_eq!(unknown.code(), -32602);
}

/// A gateway before a gateway before a server.
struct Chain {
    _desk: Switchboard,
    _inner: Switchboard,
    outer: Switchboard,
}

impl Chain {
    /// The server and the inner gateway are spoken to in these revisions.
    async fn start(desk_version: &str, inner_version: &str, inner_config: &str) -> Self {
        let pinned = |version: &str| format!("version = {version:?}");
        let desk = Switchboard::start().await;
        let config = format!("[endpoints.main]\nupstreams = [\"desk\"]\n{inner_config}\n")
            + &upstream("desk", &desk.url("/mcp"), &pinned(desk_version));
        let inner = Switchboard::with().config(&config).start().await;
        let config = "[endpoints.main]\nupstreams = [\"inner\"]\n".to_owned()
            + &upstream("inner", &inner.url("/mcp"), &pinned(inner_version));
        let outer = Switchboard::with().config(&config).start().await;
        shows(&outer.url("/mcp"), "inner.desk.ask_name").await;
        Self {
            _desk: desk,
            _inner: inner,
            outer,
        }
    }
}

/// 2025-11-25 client/elicitation, 2026-07-28 basic/patterns/mrtr: a question finds its user over three
/// hops, each of which may be of another era than the next.
#[tokio::test]
async fn a_question_comes_through_two_gateways_and_its_answer_goes_back() {
    let accepted = json!({"action": "accept", "content": {"name": "Ada"}});
    for (desk, inner) in [
        ("2025-11-25", "2026-07-28"),
        ("2026-07-28", "2025-11-25"),
        ("2025-11-25", "2025-11-25"),
    ] {
        let chain = Chain::start(desk, inner, "").await;

        let session = chain
            .outer
            .session_with(VERSION, json!({"elicitation": {}}))
            .await;
        let (_, mut call) = session.stream_tool("inner.desk.ask_name", json!({})).await;
        let question = call.message().await;
        assert_eq!(question["method"], "elicitation/create", "{question}");
        session.answer(&question, accepted.clone()).await;
        let answer = call.rest().await.answers().remove(0);
        let text = &answer["result"]["content"][0]["text"];
        assert_eq!(text, "Hello, Ada!", "{desk}, {inner}");

        let client = chain.outer.stateless().with(json!({"elicitation": {}}));
        let asked = client.tool("inner.desk.ask_name", json!({})).await.result();
        let questions = asked["inputRequests"].as_object().expect("a question");
        let answers = questions.keys().map(|key| (key.clone(), accepted.clone()));
        let again = json!({"name": "inner.desk.ask_name", "arguments": {},
            "requestState": asked["requestState"], "inputResponses": answers.collect::<Value>()});
        let answer = client.call("tools/call", again).await;
        assert_eq!(answer.tool_text(), "Hello, Ada!", "{desk}, {inner}");
    }
}

/// Ours: a call passes so many gateways and no more.
#[tokio::test]
async fn a_call_that_has_passed_enough_gateways_is_refused_with_its_path() {
    let version = "2026-07-28";
    let chain = Chain::start(version, version, "[gateway]\nmax_hops = 1").await;

    let echo = json!({"text": "hello"});
    let answer = chain.outer.stateless().tool("inner.desk.echo", echo).await;

    let told = answer.message()["error"].to_string();
    assert!(told.contains("passed 1 gateways"), "{told}");
    assert!(told.contains("main@"), "{told}");
}

/// Two gateways that are each other's upstream; the first has tools of its own.
struct Circle {
    one: Switchboard,
    other: Switchboard,
}

impl Circle {
    /// Each endpoint is spoken to in this revision.
    async fn start(version: &str) -> Self {
        let [one, other] = [lasting_address(), lasting_address()];
        let at = |address: &str| format!("[server]\nlisten = {address:?}\n");
        let more = format!("version = {version:?}\nlist_ttl = \"50ms\"");
        let to = |name, address: &str| upstream(name, &format!("http://{address}/mcp"), &more);
        let config = at(&one)
            + "[endpoints.main]\nupstreams = [\"demo\", \"other\"]\n"
            + "[upstreams.demo]\nbuiltin = \"demo\"\n"
            + &to("other", &other);
        let one_process = Switchboard::with().config(&config).start().await;
        let config = at(&other)
            + "[endpoints.main]\nupstreams = [\"one\", \"suite\"]\n"
            + "[upstreams.suite]\nbuiltin = \"conformance\"\n"
            + &to("one", &one);
        let other_process = Switchboard::with().config(&config).start().await;
        shows(&one_process.url("/mcp"), "other.suite.test_simple_text").await;
        shows(&other_process.url("/mcp"), "one.demo.echo").await;
        Self {
            one: one_process,
            other: other_process,
        }
    }

    /// Waits until neither asks the other for its lists while somebody counts for a second.
    async fn is_quiet(&self) {
        let client = self.one.stateless();
        eventually("they tell each other nothing more", async || {
            let before = self.listed().await;
            let second = json!({"from": 2, "interval_ms": 500});
            client.tool("demo.countdown", second).await;
            (self.listed().await == before).then_some(())
        })
        .await;
    }

    /// How often either was asked for its tools.
    async fn listed(&self) -> f64 {
        let mut sum = 0.0;
        for gateway in [&self.one, &self.other] {
            for era in ["session", "stateless"] {
                let line = format!(
                    "mcp_requests_total{{method=\"tools/list\",era=\"{era}\",outcome=\"ok\"}}"
                );
                sum += gateway.metric(&line).await;
            }
        }
        sum
    }
}

/// Ours: two gateways that are each other's upstream.
#[tokio::test]
async fn a_call_that_comes_back_to_where_it_was_is_refused_with_its_path() {
    let circle = Circle::start(VERSION).await;

    // No list has it, and a URI says by itself where it leads.
    let round = json!({"uri": "other+one+demo+clock://now"});
    let client = circle.one.stateless();
    let answer = client.call("resources/read", round).await;

    let told = answer.message()["error"].to_string();
    assert!(told.contains("goes round in circles: main@"), "{told}");
    assert_eq!(told.matches(" → main@").count(), 2, "{told}");
    let near = json!({"uri": "demo+clock://now"});
    let near = client.call("resources/read", near).await.result();
    assert_eq!(near["contents"][0]["uri"], "demo+clock://now");
}

/// Ours: what a gateway lists of another is not listed by that one again.
#[tokio::test]
async fn two_gateways_that_list_each_other_list_everything_once() {
    for version in [VERSION, "2026-07-28"] {
        let circle = Circle::start(version).await;

        // Each list is read again for the next, so that a circle would grow.
        for _ in 0..3 {
            for (gateway, theirs) in [(&circle.one, "other."), (&circle.other, "one.")] {
                let listed = tools(&gateway.url("/mcp")).await;
                let round: Vec<_> = listed
                    .iter()
                    .filter(|name| name.starts_with(theirs) && name.matches('.').count() != 2)
                    .collect();
                assert_eq!(round, [""; 0], "{version}");
                let (own, listed_of_theirs): (Vec<_>, Vec<_>) =
                    listed.iter().partition(|name| !name.starts_with(theirs));
                assert!(
                    !own.is_empty() && !listed_of_theirs.is_empty(),
                    "{listed:?}"
                );
            }
        }
        let client = circle.other.stateless();
        let listed = client.call("tools/list", json!({})).await.result();
        assert!(!listed.to_string().contains("switchboard/path"), "{listed}");
        circle.is_quiet().await;
    }
}

/// Somebody who calls a tool again and again.
struct Load {
    stop: Arc<AtomicBool>,
    made: Arc<AtomicUsize>,
    work: tokio::task::JoinHandle<()>,
}

impl Load {
    fn on(endpoint: &str) -> Self {
        let (stop, made) = (
            Arc::new(AtomicBool::new(false)),
            Arc::<AtomicUsize>::default(),
        );
        let (until, count) = (stop.clone(), made.clone());
        let endpoint = endpoint.to_owned();
        let work = tokio::spawn(async move {
            let session = Session::open(&endpoint, VERSION, json!({})).await;
            while !until.load(Ordering::Relaxed) {
                let answer = session.tool("steady.echo", json!({"text": "hello"})).await;
                assert_eq!(answer.tool_text(), "hello");
                count.fetch_add(1, Ordering::Relaxed);
            }
        });
        Self { stop, made, work }
    }

    /// Waits until it has made another call, from its beginning to its end.
    async fn goes_on(&self) {
        let before = self.made.load(Ordering::Relaxed);
        eventually("calls are made", async || {
            assert!(!self.work.is_finished(), "a call failed");
            (self.made.load(Ordering::Relaxed) > before + 1).then_some(())
        })
        .await;
    }

    async fn ends_well(self) {
        self.stop.store(true, Ordering::Relaxed);
        self.work.await.expect("no call failed");
    }
}

/// Waits until it is told that the tools changed, and there is such a tool, or none any more.
async fn told_of_tools(
    told: &mut EventStream,
    endpoint: &str,
    is_such: fn(&str) -> bool,
    is_there: bool,
) {
    loop {
        let is_told = told.message().await["method"] == TOOLS_CHANGED;
        if is_told && tools(endpoint).await.iter().any(|name| is_such(name)) == is_there {
            return;
        }
    }
}

/// Ours: an upstream comes, changes and goes under load. Who uses it is told; who does not loses no
/// call, no stream, and hears nothing.
#[tokio::test]
async fn upstreams_come_change_and_go_while_others_work() {
    let (steady, coming) = (Switchboard::start().await, Switchboard::start().await);
    let config = |upstreams: &str, more: &str| {
        format!(
            "[endpoints.main]\nupstreams = [\"steady\"]\n\
            [endpoints.more]\npath = \"/more\"\nupstreams = [{upstreams}]\n"
        ) + &upstream("steady", &steady.url("/mcp"), "")
            + more
    };
    let alone = config("\"steady\"", "");
    let both = |more| {
        let coming = upstream("coming", &coming.url("/mcp"), more);
        config("\"steady\", \"coming\"", &coming)
    };
    let gateway = Switchboard::with().config(&alone).keeps_log().start().await;
    let file = gateway.directory().join(CONFIG);
    let more = gateway.url("/more");
    for endpoint in [&gateway.url("/mcp"), &more] {
        shows(endpoint, "steady.echo").await;
    }
    let bystander = gateway.session(VERSION).await;
    let mut undisturbed = bystander.listen(None).await;
    let counting = json!({"from": 100_000, "interval_ms": 20});
    let (id, mut running) = bystander.stream_tool("steady.countdown", counting).await;
    let first = running.message().await["params"]["progress"]
        .as_u64()
        .unwrap();
    let user = Session::open(&more, VERSION, json!({})).await;
    let mut told = user.listen(None).await;
    let loads = [Load::on(&gateway.url("/mcp")), Load::on(&more)];

    replace(&file, &both(""));
    told_of_tools(&mut told, &more, |name| name == "coming.echo", true).await;
    let short = json!({"from": 20, "interval_ms": 100});
    let (_, mut finishing) = user.stream_tool("coming.countdown", short).await;
    let _begun = finishing.message().await;

    replace(&file, &both("deny = [\"echo\"]"));
    told_of_tools(&mut told, &more, |name| name == "coming.echo", false).await;
    shows(&more, "coming.countdown").await;
    let finished = finishing.rest().await.answers().remove(0);
    let text = finished["result"]["content"][0]["text"].to_string();
    assert!(
        text.contains("liftoff"),
        "what ran there is finished: {finished}"
    );

    replace(&file, &alone);
    told_of_tools(&mut told, &more, |name| name.starts_with("coming."), false).await;

    for load in loads {
        load.goes_on().await;
        load.ends_well().await;
    }
    let mut last = first;
    let cancel = json!({"requestId": id});
    for _ in 0..10 {
        let step = running.message().await["params"]["progress"]
            .as_u64()
            .unwrap();
        assert_eq!(step, last + 1, "no step of a running call is lost");
        last = step;
    }
    bystander.notify("notifications/cancelled", cancel).await;
    bystander.delete().await;
    while let Some(event) = undisturbed.next().await {
        assert!(!event.is_message(), "nothing is told: {event:?}");
    }
}
