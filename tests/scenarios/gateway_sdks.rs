//! The gateway before servers that people already have: those of the official SDKs.
//!
//! Each in its own revision, for clients of three; every cell is tried.

use std::process::Stdio;
use std::sync::{Arc, Mutex};

use futures_util::future::join_all;
use serde_json::{Value, json};
use switchboard::client::{Client, Notice, Request, Speak};
use switchboard::protocol::raw::RawJson;
use switchboard::protocol::version::ProtocolVersion;
use switchboard::runtime::tasks::Tasks;
use tokio::io::{AsyncBufReadExt as _, BufReader};
use tokio::process::{Child, Command};

use crate::world::server::example;
use crate::world::tools::{installed, node, python, root};
use crate::world::{Switchboard, within};

const CLIENTS: [ProtocolVersion; 3] = [
    ProtocolVersion::V2025_06_18,
    ProtocolVersion::V2025_11_25,
    ProtocolVersion::V2026_07_28,
];

/// A server of an SDK.
struct Sdk {
    name: &'static str,
    /// The newest revision it speaks.
    version: &'static str,
    /// What starts it; where it says where it serves, unless it is told to use its pipes.
    command: Vec<String>,
}

/// The first four have a server for HTTP too.
fn servers() -> Vec<Sdk> {
    let script = |name: &str| {
        let script = root().join("tests/servers").join(name);
        script.display().to_string()
    };
    let program = |command: Command| command.as_std().get_program().to_str().unwrap().to_owned();
    let typescript = |name| {
        let tools = format!("TEST_TOOLS={}", installed("").display());
        vec!["env".to_owned(), tools, program(node()), script(name)]
    };
    let python = |environment, name| {
        let python = program(python(environment));
        vec![python, "-B".to_owned(), script(name)]
    };
    let sdk = |name, version, command| Sdk {
        name,
        version,
        command,
    };
    vec![
        sdk(
            "typescript-v1",
            "2025-11-25",
            typescript("typescript_v1.mjs"),
        ),
        sdk(
            "python-v1",
            "2025-11-25",
            python("python-v1", "python_v1.py"),
        ),
        sdk(
            "python-v2",
            "2026-07-28",
            python("python-v2", "python_v2.py"),
        ),
        sdk(
            "typescript-v2",
            "2026-07-28",
            typescript("typescript_v2.mjs"),
        ),
        sdk(
            "rmcp",
            "2026-07-28",
            vec![example("rmcp_server").display().to_string()],
        ),
    ]
}

/// A gateway before servers, each reached like this.
async fn gateway(servers: &[(Sdk, String)]) -> Switchboard {
    let names: Vec<_> = servers.iter().map(|(sdk, _)| sdk.name).collect();
    let upstreams = servers.iter().map(|(sdk, reach)| {
        // Interpreters take their time on a busy machine.
        let patience = "timeouts.connect = \"30s\"\ntimeouts.list = \"30s\"";
        let Sdk { name, version, .. } = sdk;
        // Who is slow to start would be taken for one of the session era.
        format!("[upstreams.{name}]\n{reach}\nversion = \"{version}\"\n{patience}\n")
    });
    let config = format!(
        "[endpoints.main]\npath = \"/mcp\"\nupstreams = {names:?}\n{}",
        upstreams.collect::<String>()
    );
    Switchboard::with().config(&config).start().await
}

/// A client that can be asked, and the progress it heard of.
async fn client(gateway: &Switchboard, version: ProtocolVersion) -> (Client, Heard) {
    let heard = Heard::default();
    let hearing = heard.clone();
    let answer = |answer: Value| move |_| std::future::ready(Ok(RawJson::of(&answer)));
    let builder = Client::builder(Tasks::on(tokio::runtime::Handle::current()))
        .speak(Speak::Version(version))
        .on_notice(move |Notice { method, params, .. }| {
            if method == "notifications/progress" {
                let params = params.raw().map(RawJson::to_value).unwrap_or_default();
                hearing
                    .lock()
                    .unwrap()
                    .push(params["progress"].as_f64().unwrap());
            }
        })
        .on_elicitation(answer(
            json!({"action": "accept", "content": {"name": "ada"}}),
        ))
        .on_sampling(answer(
            json!({"role": "assistant", "model": "m", "stopReason": "endTurn",
            "content": {"type": "text", "text": "that"}}),
        ));
    let client = within("a client connects", builder.http(&gateway.url("/mcp"))).await;
    (client.unwrap(), heard)
}

type Heard = Arc<Mutex<Vec<f64>>>;

/// Every client at one server; what is not as it should be.
async fn wrong_at(gateway: &Switchboard, server: &str) -> Vec<String> {
    let mut wrong = Vec::new();
    for version in CLIENTS {
        let (client, heard) = client(gateway, version).await;
        for (tool, arguments, expected) in [
            ("add", json!({"a": 1, "b": 2}), "3"),
            ("count", json!({}), "three"),
            ("name", json!({}), "ada"),
            ("think", json!({}), "that"),
        ] {
            let called = format!("{server}.{tool}");
            let params = json!({"name": called, "arguments": arguments});
            let call = client.request(Request::new("tools/call", &params));
            let result = within(&called, call).await;
            println!("{version} {called}: {result:?}");
            let said = result.as_ref().ok().map(RawJson::to_value);
            let said = said.map(|said| said["content"][0]["text"].clone());
            if said != Some(json!(expected)) {
                wrong.push(format!("{version} {called}: {result:?}\n"));
            }
        }
        let heard = heard.lock().unwrap().clone();
        if heard != [1.0, 2.0, 3.0] {
            wrong.push(format!("{version} {server}: progress {heard:?}\n"));
        }
        client.close().await;
    }
    wrong
}

/// Every client at every server.
async fn all_work(servers: &[(Sdk, String)]) {
    let gateway = gateway(servers).await;
    let tried = servers.iter().map(|(sdk, _)| wrong_at(&gateway, sdk.name));
    let wrong = join_all(tried).await.concat().concat();
    assert!(wrong.is_empty(), "{wrong}");
}

/// Ours: the gateway. Five SDKs at once behind one endpoint.
#[tokio::test]
async fn clients_of_three_revisions_use_servers_of_five_sdks_over_stdio() {
    let servers = servers().into_iter().map(|sdk| {
        let mut command = sdk.command.clone();
        command.push("--stdio".to_owned());
        (sdk, format!("command = {command:?}"))
    });
    all_work(&servers.collect::<Vec<_>>()).await;
}

/// The same over Streamable HTTP, with those that have a server for it.
#[tokio::test]
async fn clients_of_three_revisions_use_servers_of_four_sdks_over_http() {
    let mut running = Vec::new();
    let mut servers = Vec::new();
    for sdk in self::servers().into_iter().take(4) {
        let (server, url) = serving(&sdk).await;
        running.push(server);
        servers.push((sdk, format!("url = {url:?}")));
    }
    all_work(&servers).await;
}

/// A server that was started, and where it is.
async fn serving(sdk: &Sdk) -> (Child, String) {
    let mut server = Command::new(&sdk.command[0])
        .args(&sdk.command[1..])
        .stdout(Stdio::piped())
        .kill_on_drop(true)
        .spawn()
        .unwrap();
    let mut lines = BufReader::new(server.stdout.take().unwrap()).lines();
    let url = within("it serves", lines.next_line()).await;
    (server, url.unwrap().unwrap())
}
