//! What upstreams let the gateway in by, and what becomes of credentials of clients.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use futures_util::future::join_all;
use reqwest::Url;
use serde_json::{Value, json};
use switchboard::client::oauth::{
    Config, Issuer, Loopback, Means, OAuth, Proof, Registered, Scopes, Subject, TokenExchange,
};
use switchboard::client::{Client, Request, Speak};
use switchboard::egress::{Egress, Settings};
use switchboard::protocol::version::ProtocolVersion;
use switchboard::runtime::clock::Clock;
use switchboard::runtime::secret::Secret;
use switchboard::runtime::tasks::Tasks;

use crate::world::Switchboard;
use crate::world::scripted::{Heard, Script, Scripted, of_stateless_era, said};

/// What an upstream says in a challenge, and nobody else is told.
const CHALLENGE: &str = "https://elsewhere.example/canary-of-a-challenge";

/// An upstream that lets in who has `Bearer <accepted>`, and says what it let them in by.
async fn upstream(accepted: impl Fn(&str) -> bool + Send + Sync + 'static) -> Scripted {
    let answer = of_stateless_era(|heard: &Heard| match heard.method() {
        "tools/list" => Script::tools(&heard.message["id"], ["whoami"]),
        _call => {
            let credential = heard.header("authorization").unwrap_or("nothing");
            Script::Json(200, said(&heard.message["id"], credential))
        }
    });
    Scripted::start(move |heard| {
        let credential = heard.header("authorization").unwrap_or_default();
        let token = credential.strip_prefix("Bearer ").unwrap_or_default();
        // Where its metadata would be, there is nothing.
        if heard.verb == "GET" && heard.path.starts_with("/.well-known/") {
            return Script::Bare(404);
        }
        if accepted(token) {
            return answer(heard);
        }
        let refusal = format!(
            "HTTP/1.1 401 X\r\nConnection: close\r\nContent-Length: 0\r\n\
             WWW-Authenticate: Bearer error=\"invalid_token\", error_uri=\"{CHALLENGE}\"\r\n\r\n"
        );
        Script::Raw(refusal.into())
    })
    .await
}

/// What was filled in.
fn form(heard: &Heard) -> HashMap<String, String> {
    let form = Url::parse(&format!("form:?{}", heard.body)).unwrap();
    form.query_pairs().into_owned().collect()
}

/// An authorization server that answers what is filled in.
async fn issuer(
    token: impl Fn(&HashMap<String, String>) -> Result<String, &'static str> + Send + Sync + 'static,
) -> Scripted {
    Scripted::start(move |heard| {
        let here = format!("http://{}", heard.header("host").unwrap());
        match &*heard.path {
            "/.well-known/oauth-authorization-server" => Script::Json(
                200,
                json!({"issuer": here, "token_endpoint": format!("{here}/token")}),
            ),
            "/token" => match token(&form(heard)) {
                Ok(token) => Script::Json(
                    200,
                    json!({"access_token": token, "token_type": "Bearer", "expires_in": 3600}),
                ),
                Err(error) => Script::Json(400, json!({"error": error})),
            },
            _elsewhere => Script::Bare(404),
        }
    })
    .await
}

fn name_of(issuer: &Scripted) -> String {
    format!("http://{}", issuer.address)
}

/// A gateway that asks `upstream` with tokens of `issuer`.
async fn gateway(upstream: &Scripted, issuer: &Scripted) -> Switchboard {
    let config = format!(
        "[upstreams.crm]\nurl = {:?}\nversion = \"2026-07-28\"\n[upstreams.crm.auth]\n\
         kind = \"client_credentials\"\nissuer = {:?}\nclient_id = \"gateway\"\n\
         client_secret = \"env:CRM_SECRET\"\nscopes = [\"crm:read\"]\n",
        upstream.url,
        name_of(issuer)
    );
    let gateway = Switchboard::with().config(&config);
    let gateway = gateway.variable("CRM_SECRET", "open:sesame").start().await;
    gateway.lists(&["crm.whoami"]).await;
    gateway
}

fn asked_for_tokens(issuer: &Scripted) -> usize {
    issuer.heard(|heard| heard.path == "/token").len()
}

async fn whoami(gateway: &Switchboard) -> crate::world::Answer {
    gateway.stateless().tool("crm.whoami", json!({})).await
}

/// Ours: the gateway, a secret by reference.
#[tokio::test]
async fn a_secret_that_never_changes_is_sent_with_every_request() {
    let by_token = upstream(|token| token == "sesame").await;
    let by_key = Scripted::start(of_stateless_era(|heard| match heard.method() {
        "tools/list" => Script::tools(&heard.message["id"], ["whoami"]),
        _call => {
            let key = heard.header("x-key").unwrap_or("nothing");
            Script::Json(200, said(&heard.message["id"], key))
        }
    }))
    .await;
    let config = format!(
        "[upstreams.token]\nurl = {:?}\nauth = {{ kind = \"static\", bearer = \"env:SECRET\" }}\n\
         [upstreams.key]\nurl = {:?}\nauth = {{ kind = \"static\", header = \"X-Key\", value = \"env:SECRET\" }}\n",
        by_token.url, by_key.url
    );
    let gateway = Switchboard::with()
        .config(&config)
        .variable("SECRET", "sesame");
    let gateway = gateway.start().await;

    gateway.lists(&["token.whoami", "key.whoami"]).await;

    let client = gateway.stateless();
    for (tool, credential) in [("token.whoami", "Bearer sesame"), ("key.whoami", "sesame")] {
        assert_eq!(client.tool(tool, json!({})).await.tool_text(), credential);
    }
}

/// RFC 6749 section 4.4, RFC 8707: one token for all who wait, for this upstream; another one when it is
/// refused.
#[tokio::test]
async fn a_token_is_got_once_for_all_and_again_when_it_is_refused() {
    let good = Arc::new(AtomicUsize::new(1));
    let accepted = good.clone();
    let upstream =
        upstream(move |token| token == format!("t{}", accepted.load(Ordering::SeqCst))).await;
    let issued = Arc::new(AtomicUsize::new(0));
    let issuer =
        issuer(move |_| Ok(format!("t{}", issued.fetch_add(1, Ordering::SeqCst) + 1))).await;
    let gateway = gateway(&upstream, &issuer).await;

    let calls = join_all((0..20).map(|_| whoami(&gateway))).await;

    assert!(calls.iter().all(|call| call.tool_text() == "Bearer t1"));
    assert_eq!(asked_for_tokens(&issuer), 1);
    let asked = issuer.heard(|heard| heard.path == "/token").remove(0);
    // "gateway" and "open:sesame", encoded before they are put together.
    assert_eq!(
        asked.header("authorization"),
        Some("Basic Z2F0ZXdheTpvcGVuJTNBc2VzYW1l")
    );
    let filled_in = form(&asked);
    assert_eq!(filled_in["grant_type"], "client_credentials");
    assert_eq!(
        (&*filled_in["resource"], &*filled_in["scope"]),
        (&*upstream.url, "crm:read")
    );

    good.store(2, Ordering::SeqCst);
    let calls = join_all((0..20).map(|_| whoami(&gateway))).await;

    assert!(calls.iter().all(|call| call.tool_text() == "Bearer t2"));
    assert_eq!(asked_for_tokens(&issuer), 2);
}

/// 2026-07-28 basic/authorization as a gateway keeps it: a challenge is between the upstream and us.
#[tokio::test]
async fn an_upstream_that_accepts_nothing_more_fails_the_tool_without_its_challenge() {
    let is_open = Arc::new(AtomicUsize::new(1));
    let open = is_open.clone();
    let upstream = upstream(move |_| open.load(Ordering::SeqCst) == 1).await;
    let issuer = issuer(|_| Ok("t".to_owned())).await;
    let gateway = gateway(&upstream, &issuer).await;
    is_open.store(0, Ordering::SeqCst);

    let answers = [whoami(&gateway).await, whoami(&gateway).await];

    for answer in answers {
        let result = answer.result();
        assert_eq!(result["isError"], true, "{result}");
        assert_eq!(
            answer.tool_text(),
            "upstream `crm` does not accept our credential for it"
        );
        assert_eq!(answer.header("www-authenticate"), "");
        assert!(!answer.text.contains("canary"));
    }
    assert_eq!(
        asked_for_tokens(&issuer),
        2,
        "once more, and then not again and again"
    );
}

/// The same: when nobody but the gateway can do something about it, that is an error of the gateway.
#[tokio::test]
async fn a_credential_of_ours_that_is_bad_is_our_error() {
    let is_known = Arc::new(AtomicUsize::new(1));
    let known = is_known.clone();
    let open = is_known.clone();
    let upstream = upstream(move |_| open.load(Ordering::SeqCst) == 1).await;
    let issuer = issuer(move |_| match known.load(Ordering::SeqCst) {
        1 => Ok("t".to_owned()),
        _unknown => Err("invalid_client"),
    })
    .await;
    let gateway = gateway(&upstream, &issuer).await;
    is_known.store(0, Ordering::SeqCst);

    let answer = whoami(&gateway).await;

    assert_eq!(answer.code(), -32603);
    let error = answer.message()["error"].clone();
    assert_eq!(
        error["message"],
        "upstream `crm` cannot be asked: our own credential for it is not good"
    );
    assert!(!answer.text.contains("canary") && !answer.text.contains("sesame"));
}

/// 2026-07-28 basic/authorization, token passthrough.
#[tokio::test]
async fn nothing_that_clients_are_let_in_by_reaches_an_upstream_or_who_issues_for_it() {
    const CANARY: &str = "canary-of-a-client";
    let upstream = upstream(|token| token == "t").await;
    let issuer = issuer(|_| Ok("t".to_owned())).await;
    let gateway = gateway(&upstream, &issuer).await;
    let client = gateway.stateless();
    for version in [None, Some("2025-11-25")] {
        let answer = match version {
            None => {
                let params = json!({"name": "crm.whoami", "arguments": {}});
                let request = client.request(&client.message("tools/call", params));
                let request = request
                    .header("authorization", format!("Bearer {CANARY}"))
                    .header("cookie", format!("session={CANARY}"))
                    .header("x-api-key", CANARY);
                client.send(request).await
            }
            Some(version) => {
                let session = gateway.session(version).await;
                let message = json!({"jsonrpc": "2.0", "id": 9, "method": "tools/call",
                    "params": {"name": "crm.whoami", "arguments": {}}});
                let request = session.request(reqwest::Method::POST);
                let request = request
                    .header("content-type", "application/json")
                    .header("accept", "application/json, text/event-stream")
                    .header("authorization", format!("Bearer {CANARY}"))
                    .header("cookie", format!("session={CANARY}"))
                    .header("x-api-key", CANARY);
                client.send(request.body(message.to_string())).await
            }
        };
        assert_eq!(answer.tool_text(), "Bearer t");
    }

    for heard in [upstream.heard(|_| true), issuer.heard(|_| true)].concat() {
        assert!(!format!("{heard:?}").contains(CANARY), "{heard:?}");
    }
}

/// RFC 8693: whom an upstream is asked for, it learns from a token of its own; the one they came with is
/// shown to who issued it.
#[tokio::test]
async fn a_caller_is_named_by_a_token_that_was_exchanged() {
    let upstream = upstream(|token| token.starts_with("for-")).await;
    let issuer = issuer(|form| match &*form["subject_token"] {
        "alice's" => Ok("for-alice".to_owned()),
        "bob's" => Ok("for-bob".to_owned()),
        _unknown => Err("invalid_grant"),
    })
    .await;
    let tasks = Tasks::on(tokio::runtime::Handle::current());
    let patience = Duration::from_secs(1);
    let nobody = Loopback::new(([127, 0, 0, 1], 0).into(), patience, tasks.clone(), |_| {});
    let means = Means {
        egress: Egress::new(Settings::default()).unwrap(),
        clock: Clock::system(),
        tasks: tasks.clone(),
        browser: Arc::new(nobody),
    };
    let config = Config::TokenExchange(TokenExchange {
        issuer: Issuer {
            issuer: name_of(&issuer),
            token_url: None,
        },
        client: Registered {
            id: "gateway".to_owned(),
            proof: Proof::Secret(Secret::new("sesame".to_owned())),
        },
        scopes: Scopes::parse("crm:read"),
        resource: None,
        audience: None,
    });
    let pattern = OAuth::new(&upstream.url, config, means).unwrap();
    let asks = async |subject: &str, by: &str| -> Result<Value, String> {
        let oauth = pattern.for_another();
        oauth.act_for(Subject {
            issuer: by.to_owned(),
            token: Secret::new(subject.to_owned()),
            expires: None,
        });
        let client = Client::builder(tasks.clone())
            .speak(Speak::Version(ProtocolVersion::NEWEST))
            .credentials(Arc::new(oauth));
        let client = client
            .http(&upstream.url)
            .await
            .map_err(|error| error.to_string())?;
        let call = Request::new("tools/call", &json!({"name": "whoami", "arguments": {}}));
        let result = client
            .request(call)
            .await
            .map_err(|error| error.to_string())?;
        Ok(result.to_value()["content"][0]["text"].clone())
    };
    let here = name_of(&issuer);

    assert_eq!(asks("alice's", &here).await, Ok(json!("Bearer for-alice")));
    assert_eq!(asks("bob's", &here).await, Ok(json!("Bearer for-bob")));
    assert!(
        asks("mallory's", &here)
            .await
            .unwrap_err()
            .contains("invalid_grant")
    );
    // A token of somebody else's is shown to nobody.
    let foreign = asks("carol's", "https://elsewhere.example").await;
    assert!(foreign.unwrap_err().contains("no token to be exchanged"));

    let asked = issuer.heard(|heard| heard.path == "/token");
    assert_eq!(asked.len(), 3);
    let filled_in = form(&asked[0]);
    for (key, value) in [
        (
            "grant_type",
            "urn:ietf:params:oauth:grant-type:token-exchange",
        ),
        (
            "subject_token_type",
            "urn:ietf:params:oauth:token-type:access_token",
        ),
        ("resource", &upstream.url),
        ("scope", "crm:read"),
    ] {
        assert_eq!(filled_in[key], value);
    }
    for heard in upstream.heard(|_| true) {
        assert!(!format!("{heard:?}").contains("'s"), "{heard:?}");
    }
}
