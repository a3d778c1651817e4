//! A new configuration while the process runs: what takes effect, what waits, and what is refused.

use std::fs::File;
use std::io::Write as _;
use std::os::unix::fs::{PermissionsExt as _, symlink};
use std::path::Path;

use serde_json::{Value, json};

use crate::api_keys::{client, key};
use crate::world::server::{CONFIG, MCP_JSON, Store};
use crate::world::{Stateless, Switchboard, eventually, signals};

const MAIN: &str = "[endpoints.main]\nbuiltin = \"demo\"\n";
const JIRA: &str = "[upstreams.jira]\nurl = \"http://127.0.0.1:1/mcp\"\n";

/// Puts another file in the place of one, as editors do.
pub fn replace(file: &Path, text: &str) {
    let other = file.with_extension("new");
    std::fs::write(&other, text).unwrap();
    std::fs::rename(&other, file).unwrap();
}

/// Waits for so many reloads with that outcome, and gives what was logged since the start.
async fn reloaded(server: &Switchboard, outcome: &str, count: f64) -> String {
    let metric = format!("mcp_config_reloads_total{{outcome={outcome:?}}}");
    eventually("the configuration is reloaded", async || {
        (server.metric(&metric).await == count).then_some(())
    })
    .await;
    server.log()
}

/// Ours: upstreams come, change and go; nobody else notices.
#[tokio::test]
async fn a_replaced_file_changes_upstreams_and_nobody_else_notices() {
    let server = Switchboard::with().config(MAIN).keeps_log().start().await;
    let file = server.directory().join(CONFIG);
    let session = server.session("2025-11-25").await;

    replace(&file, &format!("{MAIN}{JIRA}"));
    let log = reloaded(&server, "applied", 1.0).await;
    assert!(log.contains(r#"upstreams_added=["jira"]"#), "{log}");

    replace(&file, &format!("{MAIN}{JIRA}max_running = 1\n"));
    let log = reloaded(&server, "applied", 2.0).await;
    assert!(log.contains(r#"upstreams_changed=["jira"]"#), "{log}");

    replace(&file, MAIN);
    let log = reloaded(&server, "applied", 3.0).await;
    assert!(log.contains(r#"upstreams_removed=["jira"]"#), "{log}");

    let answer = session.tool("echo", json!({"text": "still here"})).await;
    assert_eq!(answer.tool_text(), "still here");
    assert!(!log.contains("next start"), "{log}");
}

/// Ours: what else is new is named once, and what it was stays.
#[tokio::test]
async fn what_takes_effect_at_the_next_start_is_named() {
    let mut server = Switchboard::with().config(MAIN).keeps_log().start().await;
    let file = server.directory().join(CONFIG);

    replace(
        &file,
        &format!("{MAIN}path = \"/other\"\n[server.limits]\nbody = \"1KiB\""),
    );

    let log = reloaded(&server, "unchanged", 1.0).await;
    let named = r#"keys="endpoints.main, server.limits.body""#;
    assert!(log.contains(named), "{log}");
    let large = json!({"text": "x".repeat(2_000)});
    let answer = server.stateless().tool("echo", large).await;
    assert_eq!(answer.tool_text().len(), 2_000);
    assert_eq!(server.stop().await.code(), Some(0));
}

/// Ours: the authentication of a configuration waits for the next start, and so does what would be open
/// without it.
#[tokio::test]
async fn nobody_may_do_more_before_the_authentication_that_goes_is_gone() {
    let open = "[endpoints.open]\npath = \"/open\"\nbuiltin = \"demo\"\n";
    let asking = format!("[auth.api_keys]\n{MAIN}{open}auth = [\"none\"]\n");
    let server = Switchboard::with().store(Store::Embedded).config(&asking);
    let server = server.keeps_log().start().await;
    let nobody = Stateless::new(&server.url("/open"));
    let listed = async || nobody.call("tools/list", json!({})).await.result()["tools"].clone();
    assert_eq!(listed().await, json!([]));

    replace(&server.directory().join(CONFIG), &format!("{MAIN}{open}"));

    let log = reloaded(&server, "unchanged", 1.0).await;
    assert!(log.contains("auth.api_keys"), "{log}");
    assert_eq!(listed().await, json!([]));
}

/// Ours: all that is wrong is said at once, and nothing changes.
#[tokio::test]
async fn a_wrong_configuration_is_refused_and_the_running_one_stays() {
    let server = Switchboard::with()
        .config(&format!("{MAIN}{JIRA}"))
        .keeps_log()
        .start()
        .await;
    let file = server.directory().join(CONFIG);

    replace(&file, &format!("{MAIN}lisen = 1\n[upstreams.wiki]\n"));

    let log = reloaded(&server, "refused", 1.0).await;
    let refused = |line: &&str| line.contains("configuration refused");
    let line = log.lines().find(refused).expect("it is said");
    assert!(line.contains("endpoints.main.lisen: unknown key"), "{line}");
    assert!(line.contains("upstreams.wiki: cannot be reached"), "{line}");
    let answer = server.stateless().tool("echo", json!({"text": "a"})).await;
    assert_eq!(answer.tool_text(), "a");

    replace(&file, &format!("{MAIN}{JIRA}\n"));
    let log = reloaded(&server, "unchanged", 1.0).await;
    assert_eq!(log.lines().filter(refused).count(), 1, "{log}");
    assert!(!log.contains("upstreams_removed=[\"jira\"]"), "{log}");
}

/// Kubernetes mounts a volume as links into a directory, and swaps the link to that directory: the file
/// itself is never touched.
#[tokio::test]
async fn a_swapped_link_beside_the_file_is_seen() {
    let mut server = Switchboard::with().config(MAIN).keeps_log().start().await;
    server.stop().await;
    let directory = server.directory().to_owned();
    for (name, text) in [("one", MAIN.to_owned()), ("two", format!("{MAIN}{JIRA}"))] {
        std::fs::create_dir(directory.join(name)).unwrap();
        std::fs::write(directory.join(name).join(CONFIG), text).unwrap();
    }
    let link = |to: &str, from: &str| {
        symlink(to, directory.join("next")).unwrap();
        std::fs::rename(directory.join("next"), directory.join(from)).unwrap();
    };
    link("one", "..data");
    link("..data/switchboard.toml", CONFIG);
    server.start_again().await;

    link("two", "..data");

    let log = reloaded(&server, "applied", 1.0).await;
    assert!(log.contains(r#"upstreams_added=["jira"]"#), "{log}");
}

/// Ours: half of a role may allow what its other half denies.
#[tokio::test]
async fn a_file_that_is_written_slowly_takes_effect_when_it_is_whole() {
    let allowed =
        format!("[auth.api_keys]\n{MAIN}[roles.clerk]\nallow = [{{ tools = [\"*\"] }}]\n");
    let denied = |tools: &str| format!("deny = [{{ tools = [{tools}] }}]\n");
    let setup = Switchboard::with().store(Store::Embedded);
    let setup = setup.config(&format!("{allowed}{}", denied("\"echo\"")));
    let server = setup.keeps_log().start().await;
    let made = key(&server, &["create", "--owner", "ci", "--role", "clerk"]).await;
    let client = client(&server, made.out.trim());
    let may = async |tool: &str, arguments: Value| {
        let answer = client.tool(tool, arguments).await;
        answer.message().get("result").is_some()
    };
    let echo = json!({"text": "a"});
    let count = json!({"from": 1, "interval_ms": 1});
    assert!(!may("echo", echo.clone()).await);
    assert!(may("countdown", count.clone()).await);
    let another = Switchboard::with().config(MAIN).keeps_log().start().await;

    let mut file = File::create(server.directory().join(CONFIG)).unwrap();
    file.write_all(allowed.as_bytes()).unwrap();
    // Something else happens beside it, and what changes elsewhere has long been taken over.
    replace(&server.directory().join("neighbour"), "");
    replace(&another.directory().join(CONFIG), &format!("{MAIN}{JIRA}"));
    reloaded(&another, "applied", 1.0).await;
    assert!(!may("echo", echo.clone()).await);
    assert!(may("countdown", count.clone()).await);
    let rest = denied("\"echo\", \"countdown\"");
    file.write_all(rest.as_bytes()).unwrap();
    drop(file);

    reloaded(&server, "applied", 1.0).await;
    assert!(!may("echo", echo).await);
    assert!(!may("countdown", count).await);
}

/// Ours: SIGHUP reads everything again, also what no watched directory shows.
#[tokio::test]
async fn a_hangup_reads_everything_again() {
    let server = Switchboard::with().config(MAIN).keeps_log().start().await;
    let secrets = server.directory().join("secrets");
    std::fs::create_dir(&secrets).unwrap();
    let secret = |text: &str| {
        let file = secrets.join("jira");
        std::fs::write(&file, text).unwrap();
        std::fs::set_permissions(&file, std::fs::Permissions::from_mode(0o600)).unwrap();
    };
    secret("one");
    let text = format!("{MAIN}{JIRA}headers = {{ X-Key = \"file:secrets/jira\" }}");
    replace(&server.directory().join(CONFIG), &text);
    reloaded(&server, "applied", 1.0).await;

    signals::send("HUP", server.pid()).await;
    reloaded(&server, "unchanged", 1.0).await;
    secret("two");
    signals::send("HUP", server.pid()).await;

    let log = reloaded(&server, "applied", 2.0).await;
    assert!(log.contains(r#"upstreams_changed=["jira"]"#), "{log}");
}

/// Ours: the servers of a client's configuration are upstreams like any other.
#[tokio::test]
async fn the_servers_of_a_client_are_reloaded_too() {
    let server = Switchboard::with()
        .config(MAIN)
        .mcp_json(r#"{"mcpServers": {}}"#)
        .keeps_log()
        .start()
        .await;
    let file = server.directory().join(MCP_JSON);

    replace(
        &file,
        r#"{"mcpServers": {"My Files": {"command": "files"}}}"#,
    );

    let log = reloaded(&server, "applied", 1.0).await;
    assert!(log.contains(r#"upstreams_added=["my-files"]"#), "{log}");
}
