//! What upstreams list, however much and however badly, and that changes of it are seen.

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Instant;

use serde_json::{Value, json};

use crate::world::process::{memory, memory_most};
use crate::world::scripted::{Heard, Script, Scripted, of_session_era, of_stateless_era, said};
use crate::world::{Switchboard, eventually};

/// What any list may cost: what is taken of it, twice while it is read again, and what an allocator keeps.
const COST_MAX: u64 = 256 << 20;

/// A gateway before `it`.
async fn gateway(it: &Scripted, more: &str) -> Switchboard {
    let setup = Switchboard::with().keeps_log().config(&format!(
        "[endpoints.main]\npath = \"/mcp\"\nupstreams = [\"it\"]\n\
        [upstreams.it]\nurl = \"{}\"\n{more}\n",
        it.url
    ));
    setup.start().await
}

/// An upstream whose list is made of pages: `page` answers the cursor of each, and is `null` for the first.
async fn of_pages(page: impl Fn(&Value, &Value) -> Script + Send + Sync + 'static) -> Scripted {
    Scripted::start(of_session_era(move |heard| {
        let id = &heard.message["id"];
        match heard.method() {
            "tools/list" => page(id, &heard.message["params"]["cursor"]),
            "tools/call" => {
                let name = heard.message["params"]["name"].as_str().unwrap();
                Script::Json(200, said(id, name))
            }
            "ping" => Script::result(id, &json!({})),
            _other => Script::Bare(400),
        }
    }))
    .await
}

fn tool(name: &str) -> Value {
    json!({"name": name, "inputSchema": {"type": "object"}})
}

fn page(id: &Value, name: &str, next: &str) -> Script {
    Script::result(id, &json!({"tools": [tool(name)], "nextCursor": next}))
}

/// The names on the first page that clients see, once they see this one.
async fn shown(gateway: &Switchboard, wanted: &str) -> Vec<String> {
    let client = gateway.stateless();
    eventually("it is listed", async || {
        let listed = client.call("tools/list", json!({})).await.message();
        let names = listed["result"]["tools"].as_array()?.iter();
        let names = names.map(|tool| tool["name"].as_str().unwrap().to_owned());
        let names = names.collect::<Vec<_>>();
        names.iter().any(|name| name == wanted).then_some(names)
    })
    .await
}

/// Waits until the log has all of these in one line.
async fn logged(gateway: &Switchboard, words: &[&str]) {
    eventually("it is logged", async || {
        let log = gateway.log();
        let mut lines = log.lines();
        lines
            .any(|line| words.iter().all(|word| line.contains(word)))
            .then_some(())
    })
    .await;
}

/// server/utilities/pagination; ours: what came before is shown.
#[tokio::test]
async fn a_list_that_does_not_end_is_cut_and_shown() {
    type Page = fn(&Value, &Value) -> Script;
    let ways: [(&str, Page, &str); 6] = [
        (
            "it names itself",
            |id, _| page(id, "first", "a"),
            "its pages go round",
        ),
        (
            "it goes round",
            |id, cursor| match cursor.as_str() {
                None => page(id, "first", "a"),
                Some("a") => page(id, "second", "b"),
                Some(_) => page(id, "third", "a"),
            },
            "its pages go round",
        ),
        (
            "it has another page each time",
            |id, cursor| {
                let at = cursor.as_str().map_or(0, |at| at.parse::<u32>().unwrap());
                let name = if at == 0 { "first" } else { "more" };
                page(id, name, &(at + 1).to_string())
            },
            "it has too many pages",
        ),
        (
            "it hangs",
            |id, cursor| match cursor.as_str() {
                None => page(id, "first", "a"),
                Some(_) => Script::Nothing,
            },
            "it did not come in time",
        ),
        (
            "it breaks",
            |id, cursor| match cursor.as_str() {
                None => page(id, "first", "a"),
                Some(_) => Script::result(id, &json!({"tools": 7})),
            },
            "`tools` is no array",
        ),
        (
            "it swells",
            |id, cursor| match cursor.as_str() {
                None => page(id, "first", "a"),
                Some(_) => Script::Endless(OBJECT, " "),
            },
            "more than 10485760 bytes",
        ),
    ];
    for (way, page, why) in ways {
        let upstream = of_pages(page).await;
        let limit = if way == "it hangs" { "1s" } else { "25s" };
        let gateway = gateway(&upstream, &format!("timeouts.list = \"{limit}\"")).await;
        shown(&gateway, "it.first").await;
        let answer = gateway.stateless().tool("it.first", json!({})).await;
        assert_eq!(answer.tool_text(), "first", "{way}");
        logged(&gateway, &["\"it\"", "cut", why]).await;
    }
}

/// Ours: an upstream that has become slow keeps what it offered.
#[tokio::test]
async fn a_list_that_hangs_when_it_is_read_again_stays_what_it_was() {
    let pages = AtomicUsize::new(0);
    let upstream = of_pages(move |id, cursor| {
        match (pages.fetch_add(1, Ordering::Relaxed), cursor.as_str()) {
            (_, None) => page(id, "first", "a"),
            (1, Some(_)) => Script::tools(id, ["second"]),
            (_later, Some(_)) => Script::Nothing,
        }
    })
    .await;
    let gateway = gateway(&upstream, "timeouts.list = \"1s\"\nlist_ttl = \"100ms\"").await;
    let whole = ["it.first", "it.second"];
    assert_eq!(shown(&gateway, "it.second").await, whole);
    eventually("it was read again, and cut", async || {
        assert_eq!(shown(&gateway, "it.first").await, whole);
        gateway.log().contains("did not come in time").then_some(())
    })
    .await;
    assert_eq!(shown(&gateway, "it.first").await, whole);
}

/// Ours: whoever lists is answered in time, with what is known.
#[tokio::test]
async fn a_list_that_hangs_holds_up_nobodys_list() {
    let hangs = Arc::new(AtomicBool::new(false));
    let now = hangs.clone();
    let upstream = of_pages(move |id, _| {
        if now.load(Ordering::Relaxed) {
            Script::Nothing
        } else {
            Script::tools(id, ["kept"])
        }
    })
    .await;
    let gateway = gateway(&upstream, "timeouts.list = \"10m\"\nlist_ttl = \"1ms\"").await;
    shown(&gateway, "it.kept").await;
    hangs.store(true, Ordering::Relaxed);
    let listed = gateway.stateless().call("tools/list", json!({})).await;
    assert_eq!(listed.result()["tools"][0]["name"], "it.kept");
}

const OBJECT: &str = "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n\r\n";

/// Ours.
#[tokio::test]
async fn a_list_of_a_hundred_thousand_costs_what_is_taken_of_it() {
    let upstream = of_pages(|id, _| {
        let tools = (0..100_000).map(|at| tool(&format!("t{at}")));
        Script::result(id, &json!({"tools": tools.collect::<Vec<_>>()}))
    })
    .await;
    let gateway = gateway(&upstream, "timeouts.list = \"25s\"").await;
    let before = memory(gateway.pid());
    shown(&gateway, "it.t0").await;
    logged(&gateway, &["\"it\"", "cut", "it has too many entries"]).await;
    let answer = gateway.stateless().tool("it.t0", json!({})).await;
    assert_eq!(answer.tool_text(), "t0");
    let most = memory_most(gateway.pid());
    println!("-- memory: {before} bytes, at most {most}");
    assert!(most - before < COST_MAX, "{before} became {most}");
}

/// Ours: an entry that no client should be shown hides no other.
#[tokio::test]
async fn huge_entries_are_left_out_and_hide_no_other() {
    const PAGES: u64 = 9;
    let upstream = of_pages(|id, cursor| {
        let at = cursor.as_str().map_or(0, |at| at.parse::<u64>().unwrap());
        let mut huge = tool(&format!("huge{at}"));
        huge["description"] = "x".repeat(1 << 20).into();
        let mut listed = json!({"tools": [huge, huge, huge, huge]});
        if at == PAGES {
            listed["tools"] = json!([tool("fine")]);
        } else {
            listed["nextCursor"] = (at + 1).to_string().into();
        }
        Script::result(id, &listed)
    })
    .await;
    let gateway = gateway(&upstream, "timeouts.list = \"25s\"").await;
    let before = memory(gateway.pid());
    assert_eq!(shown(&gateway, "it.fine").await, ["it.fine"]);
    logged(&gateway, &["\"it\"", "huge", "are left out"]).await;
    let most = memory_most(gateway.pid());
    println!("-- memory: {before} bytes, at most {most}");
    assert!(most - before < COST_MAX, "{before} became {most}");
}

/// server/tools, tool names; ours: what nobody sees is seen by operators.
#[tokio::test]
async fn names_and_texts_that_deceive_are_shown_harmless_or_told_to_operators() {
    const NAMES: [&str; 6] = [
        "red\u{1b}[31m",
        "new\nline",
        "ba\u{202e}ck",
        "ze\u{200b}ro",
        "nul\0",
        "other.it",
    ];
    let upstream = of_pages(|id, _| {
        let mut tools = NAMES.map(tool).to_vec();
        let mut hidden = tool("hidden");
        hidden["description"] =
            "Adds.\u{e0049}\u{e0067}\u{e006e}\u{e006f}\u{e0072}\u{e0065}".into();
        let mut turned = tool("turned");
        turned["title"] = "\u{202e}eteled".into();
        let mut plain = tool("plain");
        plain["description"] = "Für שלום, 👨‍👩‍👧 and more.\n\tIndented.".into();
        let mut twice = tool("twice");
        twice["description"] = "another".into();
        tools.extend([tool("twice"), twice, hidden, turned, plain]);
        Script::result(id, &json!({"tools": tools}))
    })
    .await;
    let gateway = gateway(&upstream, "").await;
    let shown = shown(&gateway, "it.plain").await;
    assert_eq!(shown.len(), NAMES.len() + 4);
    let is_harmless = |name: &String| {
        let mut letters = name.chars();
        letters.all(|letter| letter.is_ascii_alphanumeric() || "._-/".contains(letter))
    };
    assert!(shown.iter().all(is_harmless), "{shown:?}");
    let client = gateway.stateless();
    for (shown, own) in shown.iter().zip(NAMES) {
        assert_eq!(client.tool(shown, json!({})).await.tool_text(), own);
    }
    logged(&gateway, &["\"it\"", "twice", "listed twice"]).await;
    for name in ["hidden", "turned"] {
        logged(&gateway, &["\"it\"", name, "that nobody sees"]).await;
    }
    let log = gateway.log();
    let mut warned = log.lines().filter(|line| line.contains("that nobody sees"));
    assert!(!warned.any(|line| line.contains("plain")), "{log}");
    assert!(!log.contains(['\u{1b}', '\u{202e}', '\0']), "{log}");
}

/// What a server without sessions says that announces changes of its tools.
fn announcing(
    answer: impl Fn(&Heard) -> Script + Send + Sync + 'static,
) -> impl Fn(&Heard) -> Script + Send + Sync + 'static {
    let of_era = of_stateless_era(answer);
    move |heard| match heard.method() {
        "server/discover" => Script::result(
            &heard.message["id"],
            &json!({"resultType": "complete", "supportedVersions": ["2026-07-28"],
                "capabilities": {"tools": {"listChanged": true}}, "ttlMs": 0, "cacheScope": "private"}),
        ),
        _other => of_era(heard),
    }
}

fn is_listen(heard: &Heard) -> bool {
    heard.method() == "subscriptions/listen"
}

/// 2026-07-28 basic/patterns/subscriptions: it said that it has nothing to tell.
#[tokio::test]
async fn an_upstream_that_announces_nothing_is_not_listened_to() {
    let upstream = Scripted::start(of_stateless_era(|heard| match heard.method() {
        "tools/list" => Script::tools(&heard.message["id"], ["tool"]),
        _other => Script::Bare(405),
    }))
    .await;
    let gateway = gateway(&upstream, "timeouts.ping = \"200ms\"").await;
    shown(&gateway, "it.tool").await;
    eventually("it is looked at again", async || {
        let looks = upstream.heard(|heard| heard.method() == "server/discover");
        (looks.len() > 3).then_some(())
    })
    .await;
    assert_eq!(upstream.heard(is_listen).len(), 0);
}

/// Ours. Each rest is twice as long as the one before, give or take a quarter: the fourth takes at least
/// three seconds. What cannot be heard is looked at, however much was announced.
#[tokio::test]
async fn an_upstream_that_refuses_to_be_listened_to_is_asked_more_and_more_seldom() {
    let asked = Arc::new(Mutex::new(Vec::new()));
    let noted = asked.clone();
    let upstream = Scripted::start(announcing(move |heard| match heard.method() {
        "tools/list" if noted.lock().unwrap().len() > 4 => {
            Script::tools(&heard.message["id"], ["another"])
        }
        "tools/list" => Script::tools(&heard.message["id"], ["tool"]),
        "subscriptions/listen" => {
            noted.lock().unwrap().push(Instant::now());
            Script::Bare(405)
        }
        _other => Script::Bare(400),
    }))
    .await;
    let gateway = gateway(&upstream, "").await;
    shown(&gateway, "it.tool").await;
    let asked = eventually("it was asked five times", async || {
        let asked = asked.lock().unwrap().clone();
        (asked.len() > 4).then_some(asked)
    })
    .await;
    let rests = asked.windows(2).map(|two| (two[1] - two[0]).as_secs_f64());
    let rests = rests.collect::<Vec<_>>();
    println!("-- rests: {rests:?}");
    assert!(rests[3] > 2.9, "{rests:?}");
    let filter = &upstream.heard(is_listen)[0].message["params"]["notifications"];
    assert_eq!(*filter, json!({"toolsListChanged": true}));
    shown(&gateway, "it.another").await;
}

/// 2026-07-28 basic/patterns/subscriptions: changes are told from the acknowledgement on.
#[tokio::test]
async fn what_changed_before_the_upstream_was_listened_to_is_seen() {
    let changed = Arc::new(AtomicBool::new(false));
    let upstream = Scripted::start(announcing(move |heard| {
        let id = &heard.message["id"];
        match heard.method() {
            "tools/list" if changed.load(Ordering::Relaxed) => Script::tools(id, ["after"]),
            "tools/list" => Script::tools(id, ["before"]),
            "subscriptions/listen" => {
                changed.store(true, Ordering::Relaxed);
                Script::Open(acknowledged(id))
            }
            _other => Script::Bare(400),
        }
    }))
    .await;
    let gateway = gateway(&upstream, "list_ttl = \"1h\"").await;
    assert_eq!(shown(&gateway, "it.after").await, ["it.after"]);
}

fn acknowledged(id: &Value) -> String {
    let message = json!({"jsonrpc": "2.0", "method": "notifications/subscriptions/acknowledged",
        "params": {"notifications": {"toolsListChanged": true},
            "_meta": {"io.modelcontextprotocol/subscriptionId": id}}});
    format!("data: {message}\n\n")
}
