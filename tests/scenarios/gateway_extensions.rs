//! Methods and extensions that the gateway does not know.

use serde_json::{Value, json};

use crate::world::scripted::{Heard, Script, Scripted, of_session_era, of_stateless_era};
use crate::world::{Session, Stateless, Switchboard};

/// What has a method of its own.
async fn upstreams() -> [Scripted; 2] {
    let answer = |heard: &Heard| match heard.method() {
        "tools/list" => Script::tools(&heard.message["id"], ["echo"]),
        "acme/reports/run" => Script::result(
            &heard.message["id"],
            &json!({"resultType": "complete", "report": heard.message["params"]["report"]}),
        ),
        _ => Script::Json(
            // For a server with sessions 404 would say that this one is over.
            if heard.header("mcp-session-id").is_some() {
                200
            } else {
                404
            },
            json!({"jsonrpc": "2.0", "id": heard.message["id"],
                "error": {"code": -32601, "message": "no such method", "data": {"asked": heard.method()}}}),
        ),
    };
    let of_stateless_era = of_stateless_era(answer);
    let with_an_extension = move |heard: &Heard| match heard.method() {
        "server/discover" => Script::result(
            &heard.message["id"],
            &json!({"resultType": "complete", "supportedVersions": ["2026-07-28"], "ttlMs": 0,
                "cacheScope": "private",
                "capabilities": {"tools": {}, "extensions": {"acme/reports": {"formats": ["pdf"]}}}}),
        ),
        _ => of_stateless_era(heard),
    };
    [
        Scripted::start(with_an_extension).await,
        Scripted::start(of_session_era(answer)).await,
    ]
}

/// Two endpoints with one upstream each whose names stay as they are, and two others.
async fn gateway([stateless, session]: &[Scripted; 2]) -> Switchboard {
    let config = format!(
        "[endpoints.stateless]\npath = \"/stateless\"\nupstreams = [\"stateless\"]\n\
        [endpoints.session]\npath = \"/session\"\nupstreams = [\"session\"]\n\
        [endpoints.renamed]\npath = \"/renamed\"\nupstreams = [\"first\"]\n\
        [endpoints.merged]\npath = \"/merged\"\nupstreams = [\"first\", \"second\"]\n\
        [upstreams.stateless]\nurl = \"{0}\"\nprefix = \"\"\n\
        [upstreams.session]\nurl = \"{1}\"\nprefix = \"\"\n\
        [upstreams.first]\nurl = \"{0}\"\n\
        [upstreams.second]\nurl = \"{1}\"\n",
        stateless.url, session.url
    );
    let gateway = Switchboard::with().config(&config).start().await;
    gateway.is_ready().await;
    gateway
}

/// Ours: the gateway.
#[tokio::test]
async fn a_method_nobody_knows_passes_where_one_upstream_is_all_there_is() {
    let upstreams = upstreams().await;
    let gateway = gateway(&upstreams).await;
    let params = json!({"report": {"name": "a.b", "uri": "x:y"}, "_meta": {"acme/key": [1, {}]}});
    for path in ["/stateless", "/session"] {
        let url = gateway.url(path);
        let stateless = Stateless::new(&url);
        let session = Session::open(&url, "2025-06-18", json!({})).await;
        for answer in [
            stateless.call("acme/reports/run", params.clone()).await,
            session.call("acme/reports/run", params.clone()).await,
        ] {
            assert_eq!(answer.result()["report"], params["report"], "{path}");
        }
        let refused = stateless.call("acme/nothing", json!({})).await;
        assert_eq!((refused.status, refused.code()), (404, -32601));
        assert_eq!(refused.message()["error"]["data"]["asked"], "acme/nothing");
        let refused = session.call("acme/nothing", json!({})).await;
        assert_eq!((refused.status, refused.code()), (200, -32601));
    }
    for upstream in &upstreams {
        let heard = upstream.heard(|heard| heard.method() == "acme/reports/run");
        assert_eq!(heard.len(), 2, "each is sent once");
        for heard in heard {
            let sent = &heard.message["params"];
            assert_eq!(sent["report"], params["report"]);
            assert_eq!(sent["_meta"]["acme/key"], params["_meta"]["acme/key"]);
        }
    }
}

#[tokio::test]
async fn a_method_nobody_knows_ends_where_there_are_many_or_names_are_ours() {
    let upstreams = upstreams().await;
    let gateway = gateway(&upstreams).await;
    for path in ["/renamed", "/merged"] {
        let client = Stateless::new(&gateway.url(path));
        let refused = client.call("acme/reports/run", json!({})).await;
        assert_eq!((refused.status, refused.code()), (404, -32601), "{path}");
    }
    for upstream in &upstreams {
        let heard = upstream.heard(|heard| heard.method() == "acme/reports/run");
        assert!(heard.is_empty());
    }
}

/// 2026-07-28 basic/index, capabilities.
#[tokio::test]
async fn extensions_pass_both_ways_where_one_upstream_is_all_there_is() {
    let upstreams = upstreams().await;
    let gateway = gateway(&upstreams).await;
    let declared = json!({"extensions": {"acme/reports": {"inline": true}}});
    for (path, tool, passes) in [
        ("/stateless", "echo", true),
        ("/renamed", "first.echo", false),
        ("/merged", "first.echo", false),
    ] {
        let client = Stateless::new(&gateway.url(path)).with(declared.clone());
        let server = client.call("server/discover", json!({})).await.result();
        let offered = &server["capabilities"]["extensions"]["acme/reports"];
        client.tool(tool, json!({"of": path})).await;
        let calls = upstreams[0].heard(|it| it.message["params"]["arguments"]["of"] == path);
        let meta = &calls[0].message["params"]["_meta"];
        let told = &meta["io.modelcontextprotocol/clientCapabilities"]["extensions"];
        if passes {
            assert_eq!(*offered, json!({"formats": ["pdf"]}));
            assert_eq!(*told, declared["extensions"]);
        } else {
            assert_eq!(*offered, Value::Null, "{path}");
            assert_eq!(told["acme/reports"], Value::Null, "{path}");
        }
    }
}
