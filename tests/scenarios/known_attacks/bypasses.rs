//! Words that open what no proof opens elsewhere: internal headers, missing ids, secrets that come
//! with the program.

use serde_json::json;
use switchboard::runtime::clock::Clock;

use super::{VERSION, asking, finds, person};
use crate::world::asserted::{VARIABLE, believed_from, client_of, word};
use crate::world::redis::Redis;
use crate::world::server::{CONFIG, Store};
use crate::world::wire::{Parts, Wire};
use crate::world::{Answer, Session, Stateless, Switchboard, command, http_client};

/// What proxies, balancers, frameworks and other gateways say to those behind them.
fn internal() -> Vec<(&'static str, String)> {
    let admin = word(person("t1", "root"));
    let mut headers = vec![("x-switchboard-identity", admin)];
    for (name, value) in [
        ("forwarded", "for=10.1.2.3;host=localhost;proto=https"),
        ("x-forwarded-for", "10.1.2.3"),
        ("x-forwarded-user", "root"),
        ("x-forwarded-email", "root@example.com"),
        ("x-forwarded-groups", "admins"),
        ("x-forwarded-access-token", "root"),
        ("x-forwarded-client-cert", "Subject=\"CN=root\";DNS=root"),
        ("x-real-ip", "10.1.2.3"),
        ("x-client-ip", "10.1.2.3"),
        ("true-client-ip", "10.1.2.3"),
        ("cf-connecting-ip", "10.1.2.3"),
        ("x-auth-request-user", "root"),
        ("x-authenticated-user", "root"),
        ("x-remote-user", "root"),
        ("remote-user", "root"),
        ("x-user-id", "root"),
        ("x-user-roles", "admin"),
        ("x-tenant-id", "t1"),
        ("x-amzn-oidc-identity", "root"),
        ("x-ms-client-principal-name", "root"),
        ("x-goog-authenticated-user-email", "root@example.com"),
        ("x-ssl-client-verify", "SUCCESS"),
        ("ssl-client-cert", "root"),
        ("x-internal", "true"),
        ("x-switchboard-node", "1"),
        ("x-switchboard-internal", "1"),
        ("x-mcp-principal", "root"),
        ("x-original-url", "/open"),
        ("x-rewrite-url", "/open"),
    ] {
        headers.push((name, value.to_owned()));
    }
    headers
}

/// What an answer is, but for the id that it echoes.
fn told(answer: &Answer) -> (u16, String, String) {
    let challenge = answer.header("www-authenticate").to_owned();
    (answer.status, answer.text.clone(), challenge)
}

/// Ours: who calls is said by what is presented, and by a proxy that is configured.
#[tokio::test]
async fn no_header_of_a_stranger_makes_anybody_somebody() {
    let open = "[endpoints.main]\nbuiltin = \"demo\"\nauth = [\"api_keys\", \"proxy\"]\n\
                [endpoints.open]\npath = \"/open\"\nbuiltin = \"demo\"\nauth = [\"none\"]\n";
    let config = format!("[auth.api_keys]\n{}{open}", believed_from("10.0.0.0/8"));
    let server = Switchboard::with().store(Store::Embedded).config(&config);
    let server = server.variable(VARIABLE.0, VARIABLE.1).start().await;
    let store = format!("embedded:{}", server.directory().join("data").display());
    let key_of = async |more: &[&str]| {
        let rest = ["--listen", server.authority(), "--store", &store];
        let words = [&["key", "create"], more, &rest[..]].concat();
        let made = command::run_with(server.directory(), &words, &[VARIABLE]).await;
        assert_eq!(made.code, 0, "{}", made.err);
        made.out.trim().to_owned()
    };
    let nothing = key_of(&["--owner", "nobody"]).await;
    let far = key_of(&["--owner", "far", "--role", "admin", "--from", "10.0.0.0/8"]).await;
    let stranger = Stateless::new(&server.url("/mcp"));
    let message = json!({"jsonrpc": "2.0", "id": 7, "method": "tools/list",
        "params": {"_meta": stranger.meta()}});
    for (presented, status) in [(None, 401), (Some(&nothing), 200), (Some(&far), 401)] {
        let request = || {
            let request = stranger.request(&message);
            match presented {
                None => request,
                Some(key) => request.header("x-api-key", key),
            }
        };
        let expected = told(&stranger.send(request()).await);
        assert_eq!(expected.0, status);
        for (name, value) in internal() {
            let answer = stranger.send(request().header(name, value)).await;
            assert_eq!(told(&answer), expected, "{name}");
            if status == 200 {
                let tools = &answer.result()["tools"];
                assert_eq!(*tools, json!([]), "{name} opens something");
            }
        }
    }
}

/// Ours: what a proxy says of the request is no more than what its client says.
#[tokio::test]
async fn no_header_changes_the_host_the_path_or_the_method() {
    let server = Switchboard::start().await;
    let session = server.session(VERSION).await;
    let ping = r#"{"jsonrpc":"2.0","id":1,"method":"ping"}"#;
    let post = || Parts::post(ping).with("Mcp-Session-Id", &session.id);
    for (name, value) in [
        ("X-HTTP-Method-Override", "DELETE"),
        ("X-HTTP-Method", "DELETE"),
        ("X-Method-Override", "DELETE"),
        ("X-Original-URL", "/health"),
        ("X-Rewrite-URL", "/nowhere"),
        ("X-Original-Method", "DELETE"),
        ("X-Forwarded-Prefix", "/nowhere"),
        ("X-Forwarded-Host", "evil.example"),
    ] {
        let mut wire = Wire::connect(&server).await;
        wire.send(post().with(name, value).bytes()).await;
        let answer = wire.answer().await.expect("it is answered");
        let result = json!({"jsonrpc": "2.0", "id": 1, "result": {}});
        assert_eq!((answer.status, answer.message()), (200, result), "{name}");
    }
    for name in ["X-Forwarded-Host", "X-Host", "Forwarded"] {
        let request = post().set("Host", "evil.example");
        let mut wire = Wire::connect(&server).await;
        wire.send(request.with(name, "127.0.0.1").bytes()).await;
        assert_eq!(
            wire.answer().await.expect("an answer").status,
            403,
            "{name}"
        );
    }
}

/// basic/transports, session management: an id that is not there names no session.
#[tokio::test]
async fn no_session_is_found_without_its_id_though_it_is_the_only_one() {
    let server = Switchboard::start().await;
    let session = server.session(VERSION).await;
    let ping = r#"{"jsonrpc":"2.0","id":1,"method":"ping"}"#;
    let (id, with_id) = (&session.id, format!("/mcp?sessionId={}", session.id));
    let nameless = |line: &str| {
        let parts = if line.starts_with("POST") {
            Parts::post(ping)
        } else {
            Parts::of("GET", "/mcp")
        };
        parts.line(format!("{line} HTTP/1.1"))
    };
    for (line, header) in [
        ("POST /mcp", None),
        ("GET /mcp", None),
        ("DELETE /mcp", None),
        (&*format!("POST {with_id}"), None),
        (&format!("GET {with_id}"), None),
        (&format!("DELETE {with_id}"), None),
        (
            "POST /mcp",
            Some(("Cookie", format!("mcp-session-id={id}"))),
        ),
        ("POST /mcp", Some(("X-Session-Id", id.clone()))),
        ("POST /mcp", Some(("Last-Event-ID", "s_0".to_owned()))),
        ("POST /mcp", Some(("Mcp-Session-Id", String::new()))),
        ("POST /mcp", Some(("Mcp-Session-Id", "*".to_owned()))),
        ("POST /mcp", Some(("Mcp-Session-Id", "null".to_owned()))),
        ("GET /mcp", Some(("Mcp-Session-Id", String::new()))),
        ("DELETE /mcp", Some(("Mcp-Session-Id", String::new()))),
        ("POST /mcp", Some(("Mcp-Session-Id", id[..42].to_owned()))),
        ("POST /mcp", Some(("Mcp-Session-Id", format!("{id},{id}")))),
    ] {
        let request = nameless(line);
        let request = match &header {
            Some((name, value)) => request.with(name, value),
            None => request,
        };
        let mut wire = Wire::connect(&server).await;
        wire.send(request.bytes()).await;
        let answer = wire.answer().await.expect("it is answered");
        assert!(
            matches!(answer.status, 400 | 404),
            "{line} {header:?}: {}",
            answer.status
        );
    }
    assert_eq!(session.call("ping", json!({})).await.result(), json!({}));
}

/// Ours: a server that was told no secret makes one, and one that needs a shared one does not start.
#[tokio::test]
async fn no_two_servers_share_a_secret_that_nobody_gave_them() {
    let config = "[auth.api_keys]\n";
    let start = || {
        let setup = Switchboard::with().store(Store::Embedded).config(config);
        setup.start()
    };
    let (here, there) = tokio::join!(start(), start());
    let store = format!("embedded:{}", here.directory().join("data").display());
    let words = ["key", "create", "--owner", "ci", "--role", "admin"];
    let rest = ["--listen", here.authority(), "--store", &store];
    let made = command::run(here.directory(), &[&words[..], &rest].concat()).await;
    let http = crate::world::http_client_bearing(made.out.trim());
    let listed = Stateless::through(http.clone(), &here.url("/mcp"));
    assert_eq!(listed.call("tools/list", json!({})).await.status, 200);
    let listed = Stateless::through(http, &there.url("/mcp"));
    let refused = listed.send(listed.request(&listed.message("tools/list", json!({}))));
    assert_eq!(refused.await.status, 401);

    // Ids of sessions: nobody has to present anything here.
    let (one, other) = tokio::join!(Switchboard::start(), Switchboard::start());
    let session = one.session(VERSION).await;
    let elsewhere = session.presented_by(http_client(), &other.url("/mcp"));
    let ping = json!({"jsonrpc": "2.0", "id": 1, "method": "ping"});
    assert_eq!(elsewhere.send(&ping).await.status, 404);

    let redis = Redis::start().await;
    let directory = tempfile::tempdir().unwrap();
    let zeros = "00".repeat(32);
    for key in [None, Some(""), Some("changeme"), Some(&zeros)] {
        let keys = key.map(|key| ("SWITCHBOARD_CLUSTER_KEY", key));
        let variables = keys.into_iter().collect::<Vec<_>>();
        let words = ["serve", "--listen", "127.0.0.1:0", "--store", &redis.url()];
        let ended = command::run_with(directory.path(), &words, &variables).await;
        assert_eq!(ended.code, 2, "{key:?} {} {}", ended.out, ended.err);
    }
    // What signs for people must not be a word either.
    let config = directory.path().join(CONFIG);
    std::fs::write(config, believed_from("127.0.0.1")).unwrap();
    for key in ["", "secret", "changeme"] {
        let words = ["--config", CONFIG, "check"];
        let checked = command::run_with(directory.path(), &words, &[(VARIABLE.0, key)]).await;
        assert_eq!(checked.code, 2, "{key} {} {}", checked.out, checked.err);
    }
}

/// Ours: who is anybody to a proxy is nobody to the next endpoint.
#[tokio::test]
async fn nobody_is_promoted_by_presenting_nothing() {
    let server = asking(switchboard::builtin::demo::demo(&Clock::system())).await;
    let url = server.0.url();
    let somebody = client_of(json!({"sub": "", "tenant": "t1", "groups": ["admins"]}));
    let nobody = client_of(json!({"tenant": "t1", "groups": ["admins"]}));
    for http in [http_client(), somebody, nobody] {
        let client = Stateless::through(http.clone(), &url);
        let request = client.request(&client.message("tools/list", json!({})));
        assert_eq!(client.send(request).await.status, 401);
        let opened = Session::initialize(&http, &url, VERSION, json!({})).await;
        assert_eq!(opened.status, 401);
    }
    let admin = Stateless::through(client_of(person("t1", "root")), &url);
    finds(&admin, "echo").await;
    let visitor = client_of(json!({"sub": "visitor", "tenant": "t1"}));
    let visitor = Stateless::through(visitor, &url);
    let listed = visitor.call("tools/list", json!({})).await.result();
    assert_eq!(listed["tools"], json!([]));
}
