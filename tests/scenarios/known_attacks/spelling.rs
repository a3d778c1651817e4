//! Names that are one thing to the policy and another to whoever runs the call.

use serde_json::{Value, json};

use super::VERSION;
use crate::world::asserted::{HEADER, VARIABLE, believed_from, client_of, word};
use crate::world::scripted::{Heard, Script, Scripted, of_stateless_era, said};
use crate::world::wire::{Parts, Wire};
use crate::world::{Session, Stateless, Switchboard};

/// Readers search; only on the test system may they deploy.
const RULES: &str = r#"
[roles.reader]
allow = [
  { tools = ["it.search"] },
  { tools = ["it.deploy"], when = { args = { "/env" = ["test"] } } },
]
deny = [{ tools = ["it.search"], when = { args = { "/scope" = ["all"] } } }]
[[bindings]]
role = "reader"
any_of = [{ claim = "groups", has = "readers" }]
"#;

fn reader() -> Value {
    json!({"sub": "eve", "groups": ["readers"]})
}

/// A member as lenient decoders find it: the last that is spelled so, in whatever case.
fn lenient<'a>(object: &'a Value, key: &str) -> &'a Value {
    let members = object.as_object().into_iter().flatten();
    let mut alike = members.filter(|(it, _)| it.eq_ignore_ascii_case(key));
    alike.next_back().map_or(&Value::Null, |(_, value)| value)
}

/// An upstream that reads leniently, behind a gateway with rules.
async fn world() -> (Scripted, Switchboard) {
    let upstream = Scripted::start(of_stateless_era(|heard: &Heard| {
        let id = &heard.message["id"];
        match heard.method() {
            "tools/list" => Script::tools(id, ["search", "deploy", "delete"]),
            _call => {
                let name = lenient(lenient(&heard.message, "params"), "name");
                Script::Json(200, said(id, name.as_str().unwrap_or_default()))
            }
        }
    }))
    .await;
    let config = format!(
        "{}{RULES}[upstreams.it]\nurl = {:?}\nversion = \"2026-07-28\"\n",
        believed_from("127.0.0.1"),
        upstream.url
    );
    let gateway = Switchboard::with().config(&config);
    let gateway = gateway.variable(VARIABLE.0, VARIABLE.1).start().await;
    let client = Stateless::through(client_of(reader()), &gateway.url("/mcp"));
    super::finds(&client, "it.search").await;
    (upstream, gateway)
}

fn calls(upstream: &Scripted) -> usize {
    upstream.heard(|heard| heard.method() == "tools/call").len()
}

/// Ours: what two decoders could read differently is refused before anybody decides by it.
#[tokio::test]
async fn no_key_is_spelled_so_that_another_tool_runs_than_was_judged() {
    let (upstream, gateway) = world().await;
    let session = client_of(reader());
    let session = Session::through(session, &gateway.url("/mcp"), VERSION, json!({})).await;
    let meta = Stateless::new("").meta();
    let envelope = |params: &str| {
        format!(r#"{{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{params}}}"#)
    };
    let call =
        |members: &str| envelope(&format!(r#"{{{members},"arguments":{{}},"_meta":{meta}}}"#));
    let good = call(r#""name":"it.search""#);
    let bodies = [
        call(r#""name":"it.search","name":"it.delete""#),
        call(r#""name":"it.delete","name":"it.search""#),
        call(r#""n\u0061me":"it.delete","name":"it.search""#),
        call(r#""name":"it.search","\u006e\u0061\u006d\u0065":"it.delete""#),
        call(r#""name":"it.search","Name":"delete""#),
        call(r#""Name":"delete","name":"it.search""#),
        call(r#""name":"it.search","NAME":"delete""#),
        call(r#""name":"it.search","n\u0041me":"delete""#),
        call(r#""name":"it.search","Arguments":{"scope":"all"}"#),
        call(r#""name":"it.search","argument\u017f":{"scope":"all"}"#),
        call(r#""name":"it.search","ta\u017f\u212a":{}"#),
        call(r#""name":"it.search","_Meta":{}"#),
        good.replace(r#""params""#, r#""Params":{"name":"delete"},"params""#),
        good.replace(r#""params""#, r#""param\u017f":{"name":"delete"},"params""#),
        good.replace(r#""method""#, r#""METHOD":"tools/list","method""#),
        good.replace(
            r#""method":"tools/call""#,
            r#""method":"ping","Method":"tools/call""#,
        ),
        good.replace(r#""id":1"#, r#""id":1,"ID":2"#),
    ];
    for body in bodies {
        println!("== {body}");
        let post = || Parts::post(&body).with(HEADER, word(reader()));
        let stateless = post()
            .with("MCP-Protocol-Version", "2026-07-28")
            .with("Mcp-Method", "tools/call")
            .with("Mcp-Name", "it.search");
        for request in [stateless, post().with("Mcp-Session-Id", &session.id)] {
            let mut wire = Wire::connect(&gateway).await;
            wire.send(request.bytes()).await;
            let answer = wire.answer().await.expect("it is refused");
            assert_eq!(answer.status, 400, "{body}");
            assert_eq!(answer.message()["error"]["code"], -32700, "{body}");
        }
    }
    assert_eq!(calls(&upstream), 0, "nothing of it went on");

    let client = Stateless::through(client_of(reader()), &gateway.url("/mcp"));
    assert_eq!(
        client.tool("it.search", json!({})).await.tool_text(),
        "search"
    );
    assert_eq!(client.tool("it.delete", json!({})).await.code(), -32602);
    assert_eq!(calls(&upstream), 1);
}

/// Ours: a rule about an argument is about whatever could be read as that.
#[tokio::test]
async fn no_argument_is_spelled_so_that_a_rule_overlooks_it() {
    let (upstream, gateway) = world().await;
    let client = Stateless::through(client_of(reader()), &gateway.url("/mcp"));
    for (tool, arguments) in [
        ("it.deploy", json!({"env": "test", "Env": "production"})),
        ("it.deploy", json!({"ENV": "production", "env": "test"})),
        ("it.deploy", json!({"Env": "test"})),
        ("it.search", json!({"Scope": "all"})),
        ("it.search", json!({"scope": "mine", "SCOPE": ["all"]})),
    ] {
        let answer = client.tool(tool, arguments.clone()).await.message();
        let is_refused = answer["result"]["isError"] == true || answer.get("error").is_some();
        assert!(is_refused, "{tool} {arguments}: {answer}");
    }
    assert_eq!(calls(&upstream), 0, "nothing of it went on");
    let test = client.tool("it.deploy", json!({"env": "test"})).await;
    assert_eq!(test.tool_text(), "deploy");
    let mine = client.tool("it.search", json!({"scope": "mine"})).await;
    assert_eq!(mine.tool_text(), "search");
}

/// 2026-07-28 basic/transports/streamable-http: headers repeat the body, and the body counts.
#[tokio::test]
async fn no_header_names_another_tool_or_method_than_the_body() {
    let (upstream, gateway) = world().await;
    let meta = Stateless::new("").meta();
    let body = |method: &str, name: &str| {
        json!({"jsonrpc": "2.0", "id": 1, "method": method,
            "params": {"name": name, "arguments": {}, "_meta": meta}})
        .to_string()
    };
    for (method, name, said_method, said_name) in [
        ("tools/call", "it.delete", "tools/call", "it.search"),
        ("tools/call", "it.delete", "tools/list", "it.search"),
        ("tools/call", "it.delete", "prompts/get", "it.delete"),
        ("tools/call", "it.search", "tools/call", "it.delete"),
        ("tools/list", "it.search", "tools/call", "it.search"),
    ] {
        let request = Parts::post(body(method, name))
            .with(HEADER, word(reader()))
            .with("MCP-Protocol-Version", "2026-07-28")
            .with("Mcp-Method", said_method)
            .with("Mcp-Name", said_name);
        let mut wire = Wire::connect(&gateway).await;
        wire.send(request.bytes()).await;
        let answer = wire.answer().await.expect("it is refused");
        assert_eq!(
            answer.status, 400,
            "{method} {name} said as {said_method} {said_name}"
        );
    }
    assert_eq!(calls(&upstream), 0);
}
