//! What lets somebody in, looked for wherever it must not be.

use std::collections::BTreeMap;
use std::path::Path;

use serde_json::{Value, json};

use super::{VERSION, finds};
use crate::world::asserted::{HEADER, VARIABLE, believed_from, word};
use crate::world::marked::Mark;
use crate::world::scripted::{Heard, Script, Scripted, of_session_era, of_stateless_era, said};
use crate::world::server::Store;
use crate::world::{Answer, Session, Stateless, Switchboard, command};

const CLUSTER_KEY: &str = "5ec2e75ec2e75ec2e75ec2e75ec2e75ec2e75ec2e75ec2e75ec2e75ec2e75ec2";
const OF_UPSTREAM: &str = "canary-of-the-secret-for-the-upstream";
const COOKIE: &str = "session=canary-of-a-cookie";

fn whoami(heard: &Heard) -> Script {
    let id = &heard.message["id"];
    match heard.method() {
        "tools/list" => Script::tools(id, ["whoami"]),
        "ping" => Script::result(id, &json!({})),
        _call => Script::Json(200, said(id, "somebody")),
    }
}

/// A gateway that takes keys and the word of a proxy, with an upstream of each kind.
struct World {
    gateway: Switchboard,
    old: Scripted,
    new: Scripted,
    mark: Mark,
    /// All that lets somebody in here, or us in elsewhere, by what it is.
    secrets: BTreeMap<&'static str, String>,
}

impl World {
    async fn start() -> Self {
        let mark = Mark::new();
        let old = Scripted::start(of_session_era(whoami)).await;
        let new = Scripted::start(of_stateless_era(whoami)).await;
        // It writes down all that it is told.
        let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/servers/faulty.py");
        let program = format!(
            "tee -a \"$MARK/told\" | python3 {} session",
            script.display()
        );
        let config = format!(
            "[log]\nfilter = \"debug\"\n[auth.api_keys]\n{}\
             [upstreams.old]\nurl = {:?}\nversion = {VERSION:?}\nheaders = {{ X-Upstream = \"env:OF_UPSTREAM\" }}\n\
             [upstreams.new]\nurl = {:?}\nversion = \"2026-07-28\"\n\
             auth = {{ kind = \"static\", bearer = \"env:OF_UPSTREAM\" }}\n\
             [upstreams.it]\ncommand = {}\nversion = {VERSION:?}\nenv = {{ MARK = {} }}\n",
            believed_from("127.0.0.1"),
            old.url,
            new.url,
            json!(["sh", "-c", program]),
            json!(mark.directory.path()),
        );
        let setup = Switchboard::with().store(Store::Embedded).config(&config);
        let setup = setup.variable(VARIABLE.0, VARIABLE.1).keeps_log();
        let setup = setup.variable("SWITCHBOARD_CLUSTER_KEY", CLUSTER_KEY);
        let gateway = setup.variable("OF_UPSTREAM", OF_UPSTREAM).start().await;
        let secrets = BTreeMap::from([
            ("the cluster's key", CLUSTER_KEY.to_owned()),
            ("the proxy's key", VARIABLE.1.to_owned()),
            ("the secret for the upstream", OF_UPSTREAM.to_owned()),
            ("the cookie", COOKIE.to_owned()),
        ]);
        Self {
            gateway,
            old,
            new,
            mark,
            secrets,
        }
    }

    async fn keys(&self, words: &[&str]) -> String {
        let store = format!(
            "embedded:{}",
            self.gateway.directory().join("data").display()
        );
        let rest = ["--listen", self.gateway.authority(), "--store", &store];
        let words = [&["key"], words, &rest[..]].concat();
        let variables = [
            VARIABLE,
            ("SWITCHBOARD_CLUSTER_KEY", CLUSTER_KEY),
            ("OF_UPSTREAM", OF_UPSTREAM),
        ];
        let ended = command::run_with(self.gateway.directory(), &words, &variables).await;
        assert_eq!(ended.code, 0, "{}", ended.err);
        ended.out.trim().to_owned()
    }

    /// Calls every upstream in both eras, and is refused once, by each means in turn.
    async fn is_used(&mut self) {
        let key = self
            .keys(&["create", "--owner", "ci", "--role", "admin"])
            .await;
        let admins = json!({"sub": "alice", "tenant": "default"});
        let said = word(admins);
        let wrong = format!("{}x", &key[..key.len() - 1]);
        self.secrets.insert("the key", key.clone());
        let secret = key.split('_').nth(2).unwrap().to_owned();
        self.secrets.insert("the secret part of the key", secret);
        self.secrets.insert("the wrong key", wrong.clone());
        self.secrets.insert("the proxy's word", said.clone());
        let url = self.gateway.url("/mcp");
        let bearer = format!("Bearer {key}");
        let means = [
            ("authorization", bearer, true),
            ("x-api-key", key, true),
            (HEADER, said, false),
            ("x-api-key", wrong, false),
        ];
        for (header, value, is_let_in) in means {
            let headers = reqwest::header::HeaderMap::from_iter([
                (header.parse().unwrap(), value.parse().unwrap()),
                (reqwest::header::COOKIE, COOKIE.parse().unwrap()),
            ]);
            let http = reqwest::Client::builder().tls_certs_only([]);
            let http = http.default_headers(headers).build().unwrap();
            let client = Stateless::through(http.clone(), &url);
            if !is_let_in {
                let call = json!({"name": "new.whoami", "arguments": {}});
                let request = client.request(&client.message("tools/call", call));
                let answer = client.send(request).await;
                assert!(answer.message().get("result").is_none(), "{}", answer.text);
                continue;
            }
            for tool in ["old.whoami", "new.whoami", "it.count"] {
                finds(&client, tool).await;
                client.tool(tool, json!({})).await.tool_text();
            }
            let session = Session::through(http, &url, VERSION, json!({})).await;
            for tool in ["old.whoami", "new.whoami", "it.count"] {
                session.tool(tool, json!({})).await.tool_text();
            }
            self.secrets
                .insert("the id of a session", session.id.clone());
        }
    }

    /// Which secrets are in a text, but for those that belong there.
    fn found(&self, place: &str, text: &str, but: &[&str]) -> Vec<String> {
        let secrets = self.secrets.iter().filter(|(what, _)| !but.contains(what));
        let found = secrets.filter(|(_, secret)| text.contains(secret.as_str()));
        found
            .map(|(what, _)| format!("{what} in {place}"))
            .collect()
    }
}

/// 2026-07-28 basic/authorization, token passthrough: byte for byte, nothing of it goes on.
#[tokio::test]
async fn no_credential_of_a_client_reaches_an_upstream() {
    let mut world = World::start().await;
    world.is_used().await;
    let ours = ["the secret for the upstream"];
    for upstream in [&world.old, &world.new] {
        let heard = upstream.heard(|_| true);
        let calls = heard.iter().filter(|heard| heard.method() == "tools/call");
        assert_eq!(calls.count(), 4);
        for heard in heard {
            let found = world.found("a request", &format!("{heard:?}"), &ours);
            assert!(found.is_empty(), "{found:?} {heard:?}");
        }
    }
    let told = std::fs::read_to_string(world.mark.directory.path().join("told")).unwrap();
    assert!(told.matches("tools/call").count() >= 4, "{told}");
    let found = world.found("what a program was told", &told, &[]);
    assert!(found.is_empty(), "{found:?}");
}

/// Ours: secrets are in nothing that is logged, counted, listed, or shown to other processes.
#[tokio::test]
async fn no_secret_is_found_in_a_log_a_list_or_another_process() {
    let mut world = World::start().await;
    world.is_used().await;
    let mut found = Vec::new();
    let log = world.gateway.log();
    assert!(log.contains("DEBUG"), "all that can be logged usefully is");
    found.extend(world.found("the log", &log, &[]));
    let page = crate::world::get(world.gateway.url("/metrics"))
        .await
        .unwrap();
    found.extend(world.found("the metrics", &page.text().await.unwrap(), &[]));
    for list in [&["list"][..], &["list", "--json"]] {
        let listed = world.keys(list).await;
        assert!(listed.contains("ci"), "{listed}");
        found.extend(world.found("the list of keys", &listed, &[]));
    }
    let proc = |process: u32, what: &str| {
        let bytes = std::fs::read(format!("/proc/{process}/{what}")).unwrap_or_default();
        String::from_utf8_lossy(&bytes).into_owned()
    };
    let words = proc(world.gateway.pid(), "cmdline");
    found.extend(world.found("its own words", &words, &[]));
    let children = world.mark.alive();
    assert!(children.len() >= 2, "{children:?}");
    for (process, _) in children {
        for what in ["cmdline", "environ"] {
            found.extend(world.found(what, &proc(process, what), &[]));
        }
    }
    let stranger = Stateless::new(&world.gateway.url("/mcp"));
    let refused = stranger.request(&stranger.message("tools/list", json!({})));
    let refused: Answer = stranger.send(refused).await;
    assert_eq!(refused.status, 401);
    found.extend(world.found("a refusal", &refused.text, &[]));
    assert_eq!(found, <[String; 0]>::default());
    let _: Value = refused.message();
}
