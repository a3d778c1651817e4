//! The example in `examples/ticket_desk.rs`, as its owner and its clients see it.

use std::path::Path;
use std::process::Stdio;

use serde_json::{Value, json};
use tokio::process::{Child, Command};

use crate::world::server::{announced, example};
use crate::world::tools::{node, root, run};
use crate::world::{Event, Session, Stateless, within};

/// The built example. Killed when dropped.
struct Desk {
    _process: Child,
    url: String,
}

impl Desk {
    async fn open(directory: &Path) -> Self {
        let mut process = Command::new(example("ticket_desk"))
            .args(["--listen", "127.0.0.1:0", "--store", "memory:"])
            .current_dir(directory)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .kill_on_drop(true)
            .spawn()
            .expect("the example can be started");
        let stdout = process.stdout.take().expect("its output is piped");
        let base = within("it says where it serves", announced(stdout)).await;
        Self {
            _process: process,
            url: format!("{base}/mcp"),
        }
    }
}

/// What a stock client saw in a day's work.
async fn day(mode: &str, arguments: &[&str]) -> Value {
    let mut driver = node();
    driver
        .arg(root().join("tests/clients/ticket_desk.mjs"))
        .args(["--mode", mode])
        .args(arguments);
    let ran = run(driver).await;
    assert!(ran.status.success(), "{}", ran.status);
    serde_json::from_str(&ran.stdout).expect("the driver says JSON")
}

fn is_a_good_day(mut saw: Value) {
    // The client handles an answer before the notifications that came just before it: all of them, if
    // it read them in one piece.
    let steps = saw["steps"].take();
    let told = steps.as_array().map_or(usize::MAX, Vec::len);
    assert_eq!(steps, json!([1, 2, 3][..told.min(3)]), "no step is skipped");
    for (name, part) in [("hidden", "purge_tickets"), ("missing", "not found")] {
        let told = saw[name].take();
        assert!(told.as_str().unwrap_or("").contains(part), "{name}: {told}");
    }
    assert_eq!(
        saw,
        json!({
            "tools": ["open_ticket", "search_tickets", "close_ticket", "summarize_tickets",
                      "export_tickets"],
            "found": ["printer on fire", "printer out of ink"],
            "refused": true,
            "asked": ["Why close \"printer on fire\"?"],
            "closed": "#1 is closed: solved",
            "summary": "a short summary",
            "steps": null,
            "exported": ["id,severity,title", "1,high,\"printer on fire\"",
                         "2,low,\"mouse is slow\"", "3,low,\"printer out of ink\""],
            "hidden": null,
            "read": {"id": 1, "title": "printer on fire", "severity": "high", "closed": "solved"},
            "missing": null,
            "completed": ["1", "2", "3"],
            "prompt": "Search the tickets about printers; say which are urgent.",
        })
    );
}

/// Ours: a small server of somebody's own works with a stock client, with and without sessions.
#[tokio::test]
async fn a_day_at_the_desk_goes_well_in_both_eras() {
    for mode in ["legacy", "modern"] {
        let directory = tempfile::tempdir().unwrap();
        let desk = Desk::open(directory.path()).await;
        is_a_good_day(day(mode, &["--url", &desk.url]).await);
    }
}

/// Ours: whoever sees a ticket change may follow it, in both eras.
#[tokio::test]
async fn who_follows_a_ticket_hears_of_its_end() {
    let directory = tempfile::tempdir().unwrap();
    let desk = Desk::open(directory.path()).await;
    let can_fill_in = json!({"elicitation": {}});
    let session = Session::open(&desk.url, "2025-06-18", can_fill_in.clone()).await;
    let new = json!({"title": "door is stuck", "severity": "low"});
    session.tool("open_ticket", new).await;
    let uri = json!({"uri": "ticket://1"});
    session.call("resources/subscribe", uri).await.result();
    let mut standing = session.listen(None).await;
    let stateless = Stateless::new(&desk.url).with(can_fill_in);
    let filter = json!({"notifications": {"resourceSubscriptions": ["ticket://1"]}});
    let (_, mut listening) = stateless.stream("subscriptions/listen", filter).await;
    listening.until(Event::is_message).await;

    let close = json!({"name": "close_ticket", "arguments": {"id": 1}});
    let asked = stateless.call("tools/call", close.clone()).await.result();
    let mut answered = close;
    answered["requestState"] = asked["requestState"].clone();
    answered["inputResponses"] =
        json!({"reason": {"action": "accept", "content": {"reason": "duplicate"}}});
    let closed = stateless.call("tools/call", answered).await;
    assert_eq!(closed.tool_text(), "#1 is closed: duplicate");

    for stream in [&mut standing, &mut listening] {
        let updated = "notifications/resources/updated";
        stream
            .until(|event| event.is_message() && event.method() == updated)
            .await;
    }
}

/// Ours: the tool for administrators is there for them and for nobody else.
#[tokio::test]
async fn an_administrator_sees_one_tool_more() {
    let directory = tempfile::tempdir().unwrap();
    drop(Desk::open(directory.path()).await);
    let db = rusqlite::Connection::open(directory.path().join("tickets.db")).unwrap();
    db.execute("INSERT INTO admins VALUES ('local')", [])
        .unwrap();

    let desk = Desk::open(directory.path()).await;

    let client = Stateless::new(&desk.url);
    let purged = client.tool("purge_tickets", json!({})).await;
    assert_eq!(purged.tool_text(), "0 tickets are gone");
}

/// Ours: the same program serves a client that starts it.
#[tokio::test]
async fn a_day_at_the_desk_goes_well_over_stdio() {
    let program = example("ticket_desk");
    let program = program.to_str().expect("paths are text");
    let directory = tempfile::tempdir().unwrap();
    let wrapper = format!("cd {} && exec {program} stdio", directory.path().display());
    is_a_good_day(day("modern", &["--stdio", "sh", "-c", &wrapper]).await);
}
