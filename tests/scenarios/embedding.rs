//! Programs with servers of their own: what they get from the library, and how they stop.

use std::sync::Arc;

use serde_json::json;
use switchboard::app::StartError;
use switchboard::protocol::icon::Icon;
use switchboard::server::{Context, NoArguments, Resource, Server, ServerBuilder, Tool};
use switchboard::{Host, Hosted};
use tokio::sync::Notify;

use crate::world::own::{Own, configuration};
use crate::world::{Session, Stateless, Told as _, eventually, within};

fn named(name: &'static str) -> ServerBuilder {
    let tool = Tool::new("who", move |_, NoArguments {}| async move { Ok(name) });
    Server::builder(name, "1.0.0").tool(tool)
}

/// Ours: a program's own server has both eras, health and metrics, and changes while it runs.
#[tokio::test]
async fn a_program_serves_its_own_tools_in_both_eras() {
    let own = Own::start(named("shop")).await;
    let session = own.session("2025-06-18").await;

    assert_eq!(session.tool("who", json!({})).await.tool_text(), "shop");
    assert_eq!(
        own.stateless().tool("who", json!({})).await.tool_text(),
        "shop"
    );

    assert_eq!(session.initialized["serverInfo"]["name"], "shop");
    assert_eq!(own.get("/health").await.0, 200);
    assert_eq!(own.get("/ready").await.0, 200);
    assert!(
        own.get("/metrics")
            .await
            .1
            .contains("mcp_active_sessions 1")
    );
    let server = own.0.server("main").expect("it is served");
    assert!(server.handle().remove_tool("who"));
    assert_eq!(session.tool("who", json!({})).await.code(), -32_602);
}

/// Ours: several servers of one process stand at paths of their own; the configuration may move
/// them and add to them.
#[tokio::test]
async fn each_endpoint_has_its_own_server() {
    let toml = "[endpoints.staff]\npath = \"/intern\"\n\
                [endpoints.demo]\npath = \"/demo\"\nbuiltin = \"demo\"";
    let hosted = Host::new(named("shop"))
        .endpoint("staff", "/staff", named("office"))
        .config(configuration(toml))
        .start()
        .await
        .unwrap();
    let at = |path: &str| Stateless::new(&format!("http://{}{path}", hosted.address()));

    assert_eq!(at("/mcp").tool("who", json!({})).await.tool_text(), "shop");
    assert_eq!(
        at("/intern").tool("who", json!({})).await.tool_text(),
        "office"
    );
    let echo = at("/demo").tool("echo", json!({"text": "a"})).await;
    assert_eq!(echo.tool_text(), "a");
}

/// Ours: stopping waits for what runs, then lets go of the port.
#[tokio::test]
async fn stopping_a_host_waits_for_its_calls() {
    let go_on = Arc::new(Notify::new());
    let wait = go_on.clone();
    let slow = Tool::new("slow", move |ctx: Context, NoArguments {}| {
        let wait = wait.clone();
        async move {
            ctx.progress(1.0, None, None).await;
            wait.notified().await;
            Ok("finished")
        }
    });
    let own = Own::start(Server::builder("test", "1").tool(slow)).await;
    let (session, address) = (own.session("2025-06-18").await, own.0.address());
    let (_, mut call) = session.stream_tool("slow", json!({})).await;
    call.until_step(1).await;

    let stopping = tokio::spawn(own.0.stop());
    eventually("nobody new is let in", || async {
        let connected = tokio::net::TcpStream::connect(address).await;
        connected.is_err().then_some(())
    })
    .await;
    assert!(!stopping.is_finished(), "it waits");
    go_on.notify_one();

    let answers = call.rest().await.answers();
    assert_eq!(answers[0]["result"]["content"][0]["text"], "finished");
    within("the host ends", stopping).await.unwrap().unwrap();
    assert!(std::net::TcpStream::connect(address).is_err());
}

fn threads() -> usize {
    let tasks = std::fs::read_dir("/proc/self/task").expect("threads can be listed");
    tasks.count()
}

/// Ours: servers come and go in one process and on one directory, and leave no thread behind.
#[tokio::test]
async fn hosts_come_and_go_without_a_trace() {
    let directory = tempfile::tempdir().unwrap();
    let toml = format!(
        "server.listen = \"127.0.0.1:0\"\nstore.url = \"embedded:{}\"",
        directory.path().display()
    );
    let start = || async { Host::new(named("shop")).config(&*toml).start().await };
    start().await.unwrap().stop().await.unwrap();
    let before = threads();

    for _ in 0..3 {
        let hosted = start().await.unwrap();
        assert!(matches!(start().await, Err(StartError::Store(_))));
        let session = Session::open(&hosted.url(), "2025-11-25", json!({})).await;
        let _standing = session.listen(None).await;
        drop(hosted);
        eventually("the directory is free again", || async {
            let again: Hosted = start().await.ok()?;
            again.stop().await.ok()
        })
        .await;
    }

    eventually("its threads have ended", || async {
        (threads() <= before).then_some(())
    })
    .await;
}

/// Ours: what cannot be served is said before anything listens.
#[tokio::test]
async fn a_host_that_cannot_start_says_why() {
    let twice = named("shop").tool(Tool::new("who", |_, NoArguments {}| async { Ok("") }));
    for (server, toml, expected) in [
        (twice, "", "cannot serve endpoint `main`"),
        (
            named("shop"),
            "sessions.max = 0",
            "configuration:3: sessions.max",
        ),
        (
            named("shop"),
            "endpoints.main.builtin = \"demo\"",
            "configuration:3: endpoints.main.builtin: this program serves its own tools here",
        ),
    ] {
        let host = Host::new(server).config(configuration(toml));
        let error = host.start().await.err().map(|error| error.to_string());
        let error = error.expect("it does not start");
        assert!(error.starts_with(expected), "{error}");
    }
}

/// Ours: work beside the handlers runs for as long as the server is served.
#[tokio::test]
async fn background_work_reaches_subscribers() {
    let server = Server::builder("test", "1")
        .resource(Resource::fixed("a:b", "b", "text"))
        .background(|handle| async move {
            let mut interval = tokio::time::interval(std::time::Duration::from_millis(5));
            loop {
                interval.tick().await;
                handle.resource_updated("a:b");
            }
        });
    let own = Own::start(server).await;
    let filter = json!({"notifications": {"resourceSubscriptions": ["a:b"]}});

    let (_, mut stream) = own.stateless().stream("subscriptions/listen", filter).await;

    let told = stream
        .until(|event| event.is_message() && event.method() == "notifications/resources/updated")
        .await;
    assert!(!told.is_empty());
}

/// 2025-11-25 schema, Implementation: a server's pictures are told once, not with every result.
#[tokio::test]
async fn a_server_shows_its_pictures_to_those_who_ask_who_it_is() {
    let icon = Icon::new("https://example.com/shop.png");
    let own = Own::start(named("shop").icon(icon)).await;

    for (version, shown) in [("2025-06-18", false), ("2025-11-25", true)] {
        let told = own.session(version).await.initialized;
        let expected = json!([{"src": "https://example.com/shop.png"}]);
        let icons = told["serverInfo"].get("icons");
        assert_eq!(icons, shown.then_some(&expected), "{version}");
    }
    let me = "io.modelcontextprotocol/serverInfo";
    let client = own.stateless();
    let discovered = client.call("server/discover", json!({})).await.result();
    assert!(discovered["_meta"][me]["icons"].is_array());
    let called = client.tool("who", json!({})).await.result();
    assert_eq!(called["_meta"][me]["name"], "shop");
    assert!(called["_meta"][me].get("icons").is_none());
}
