//! Access tokens over real sockets: from the refusal that says where to get one to what a bad one learns.
//!
//! The provider is a real one, and issues tokens for the endpoint's own URL. How each step of a check
//! decides is told in `identity_provider.rs`, where the clock can be moved.

use std::collections::BTreeSet;
use std::time::Duration;

use aws_lc_rs::hmac;
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde_json::{Value, json};

use crate::world::asserted::{self, client_of, now, word};
use crate::world::authority::Authority;
use crate::world::client::post;
use crate::world::command;
use crate::world::identity_provider::{Fault, GATEWAY, HOST, IdentityProvider, OldKeys};
use crate::world::nginx::lasting_address;
use crate::world::server::Store;
use crate::world::tools::{node, root, run};
use crate::world::{
    Answer, HttpSse, Session, Stateless, Switchboard, eventually, http_client, http_client_bearing,
};

const VERSION: &str = "2025-11-25";
const DISCOVERY: &str = "/.well-known/oauth-protected-resource";

/// Whoever comes in may use every tool: these stories are about who does.
const EVERYBODY: &str = r#"
[roles.everybody]
allow = [{ tools = ["**"] }]
[[bindings]]
role = "everybody"
tenant = "t1"
[[bindings]]
role = "everybody"
tenant = "t2"
[[bindings]]
role = "everybody"
tenant = "default"
"#;

/// A server whose address is known before anybody knows the server, so that tokens can be for it.
struct Place {
    address: String,
    /// The URL of its endpoint: what its tokens are for.
    resource: String,
}

impl Place {
    fn new() -> Self {
        let address = lasting_address();
        let resource = format!("http://{address}/mcp");
        Self { address, resource }
    }

    fn config(&self) -> String {
        format!(
            "[server]\nlisten = {0:?}\npublic_url = \"http://{0}\"\n{EVERYBODY}",
            self.address
        )
    }

    async fn provider(&self) -> IdentityProvider {
        let setup = IdentityProvider::with().resources(&[&self.resource]);
        setup.start().await
    }
}

/// An issuer's place in a configuration.
fn trusts(name: &str, tenant: &str, provider: &IdentityProvider, more: &str) -> String {
    let issuer = provider.issuer();
    format!("[auth.oidc.{name}]\nissuer = {issuer:?}\ntenant = {tenant:?}\n{more}\n")
}

/// A provider, and a server that trusts it.
struct Desk {
    provider: IdentityProvider,
    server: Switchboard,
    resource: String,
}

impl Desk {
    async fn start() -> Self {
        Self::with("").await
    }

    /// With more lines about the provider, and tables after them.
    async fn with(more: &str) -> Self {
        let place = Place::new();
        let provider = place.provider().await;
        let config = place.config() + &trusts("company", "t1", &provider, more);
        let server = Switchboard::with().store(Store::Embedded).config(&config);
        Self {
            server: server.start().await,
            provider,
            resource: place.resource,
        }
    }

    /// A good token of `t1.alice`, but for what is said.
    async fn minted(&self, claims: Value, header: Value) -> String {
        let mut all = json!({"sub": "t1.alice", "client_id": HOST, "aud": self.resource});
        for (name, value) in claims.as_object().expect("claims are an object") {
            all[name] = value.clone();
        }
        let token = json!({"claims": all, "header": header});
        self.provider.mint(&token).await
    }

    async fn good(&self) -> String {
        self.minted(json!({}), json!({})).await
    }

    /// What a client of the stateless era is answered that presents this.
    async fn answer(&self, token: &str) -> Answer {
        answer(&http_client_bearing(token), &self.resource).await
    }

    async fn session(&self, token: &str) -> Session {
        let http = http_client_bearing(token);
        Session::through(http, &self.resource, VERSION, json!({})).await
    }

    /// The challenge of a refusal.
    fn challenge(&self, error: &str) -> String {
        let metadata = self.server.url(DISCOVERY);
        format!("Bearer {error}resource_metadata=\"{metadata}/mcp\"")
    }

    fn assert_invalid(&self, answer: &Answer) {
        assert_eq!(answer.status, 401, "{}", answer.text);
        let challenge = self.challenge("error=\"invalid_token\", ");
        assert_eq!(answer.header("www-authenticate"), challenge);
    }
}

/// The answer to the same call of whoever presents something through this client.
async fn answer(http: &reqwest::Client, url: &str) -> Answer {
    let client = Stateless::through(http.clone(), url);
    let echo = json!({"name": "echo", "arguments": {"text": "hello"}});
    client
        .send(client.request(&client.message("tools/call", echo)))
        .await
}

fn ping() -> Value {
    json!({"jsonrpc": "2.0", "id": 1, "method": "ping"})
}

/// Whoever presents this finds no such session, as if it had been invented.
async fn assert_unknown(session: &Session, http: reqwest::Client, url: &str) {
    let theirs = session.presented_by(http.clone(), url);
    let mut invented = session.presented_by(http, url);
    invented.id = "A".repeat(43);
    let told = [theirs.send(&ping()).await, invented.send(&ping()).await];
    assert_eq!((told[0].status, told[1].status), (404, 404));
    assert_eq!(told[0].text, told[1].text);
    assert_eq!(theirs.get(None).await.status(), 404);
    assert_eq!(theirs.delete().await.status, 404);
}

/// RFC 9728 sections 3 and 3.1: the document is where clients of any age look, for pages of any origin.
#[tokio::test]
async fn the_metadata_is_found_at_three_places_by_everybody() {
    let place = Place::new();
    let provider = place.provider().await;
    let config = place.config()
        + &trusts("company", "t1", &provider, "scopes = [\"mcp:tools\"]")
        + "[endpoints.main]\nbuiltin = \"demo\"\n\
           [endpoints.staff]\npath = \"/staff\"\nbuiltin = \"demo\"\n\
           [endpoints.open]\npath = \"/open\"\nbuiltin = \"demo\"\nauth = [\"none\"]";
    let server = Switchboard::with().config(&config).start().await;
    let document = |path: &str| {
        json!({
            "resource": server.url(path),
            "authorization_servers": [provider.issuer()],
            "scopes_supported": ["mcp:tools"],
            "bearer_methods_supported": ["header"],
            "resource_name": if path == "/mcp" { "main" } else { "staff" },
        })
    };
    for (path, expected) in [
        (DISCOVERY.to_owned(), document("/mcp")),
        (format!("{DISCOVERY}/mcp"), document("/mcp")),
        (format!("/mcp{DISCOVERY}"), document("/mcp")),
        (format!("{DISCOVERY}/staff"), document("/staff")),
        (format!("/staff{DISCOVERY}"), document("/staff")),
    ] {
        let asked = http_client().get(server.url(&path));
        let asked = asked.header("origin", "https://inspector.example");
        let answer = Answer::read(asked.send().await.unwrap()).await;
        assert_eq!(answer.status, 200, "{path}");
        assert_eq!(answer.message(), expected, "{path}");
        assert_eq!(answer.header("content-type"), "application/json");
        assert_eq!(answer.header("access-control-allow-origin"), "*", "{path}");
    }
    // What stands there comes from the configuration, not from whoever asks.
    let asked = http_client().get(server.url(DISCOVERY));
    let asked = asked.header("host", "evil.example").send().await.unwrap();
    assert_eq!(asked.status(), 403);
    for path in [format!("{DISCOVERY}/open"), format!("/open{DISCOVERY}")] {
        let answer = http_client().get(server.url(&path)).send().await.unwrap();
        assert_eq!(answer.status(), 404, "{path}");
    }
}

/// RFC 9728 section 5.1, RFC 6750 section 3: each way in says where to get a token, and for what.
#[tokio::test]
async fn without_a_token_each_way_in_says_where_to_get_one() {
    let desk = Desk::with("scopes = [\"mcp:tools\"]").await;
    let (http, url) = (http_client(), desk.server.url("/mcp"));
    let initialize = Session::initialize(&http, &url, VERSION, json!({})).await;
    let mut answers = vec![initialize, answer(&http, &url).await];
    let token = desk.good().await;
    let typed = |request: reqwest::RequestBuilder| request.header("accept", "text/event-stream");
    for request in [
        typed(http.get(&url)).header("mcp-session-id", "A".repeat(43)),
        typed(http.get(desk.server.url("/sse"))),
        http.post(desk.server.url("/messages?sessionId=x"))
            .body("{}"),
        // RFC 6750 section 5.3 advises against it; here it is nothing.
        post(&http, &format!("{url}?access_token={token}")).body(ping().to_string()),
        post(&http, &url).body(format!("access_token={token}")),
    ] {
        answers.push(Answer::read(request.send().await.unwrap()).await);
    }
    let challenge = desk.challenge("scope=\"mcp:tools\", ");
    for answer in answers {
        assert_eq!(answer.status, 401, "{}", answer.text);
        assert_eq!(answer.header("www-authenticate"), challenge);
        assert!(!answer.text.contains(&token));
    }
}

/// Has an SDK log in by itself, and gives what it saw.
async fn logs_in(desk: &Desk, sdk: &str, mode: &str, client: &[&str]) -> Value {
    let mut driver = node();
    driver
        .arg(root().join("tests/clients/oauth_client.mjs"))
        .args(["--sdk", sdk, "--mode", mode, "--url", &desk.resource])
        .args(["--account", "t1.alice"])
        .args(client);
    let ran = run(driver).await;
    assert!(ran.status.success(), "{sdk} {mode}: {}", ran.status);
    serde_json::from_str(&ran.stdout).expect("the driver says JSON")
}

/// MCP basic/authorization, authorization flow: a stock client comes from a refusal to an answer by what it
/// is told, registered by itself (RFC 7591) or known before.
#[tokio::test]
async fn stock_clients_log_in_by_themselves() {
    let desk = Desk::with("scopes = [\"mcp:tools\"]").await;
    for (sdk, mode, client, registered) in [
        ("v1", "legacy", &[][..], 1),
        ("v2", "modern", &[], 1),
        ("v2", "legacy", &["--client", HOST], 0),
    ] {
        let saw = logs_in(&desk, sdk, mode, client).await;
        assert_eq!(saw["refusal"], "UnauthorizedError", "{sdk} {mode}: {saw}");
        assert_eq!(saw["asked"], 1, "{sdk} {mode}: {saw}");
        assert_eq!(saw["registered"], registered, "{sdk} {mode}: {saw}");
        assert_eq!(saw["resource"], desk.resource, "{sdk} {mode}");
        assert_eq!(saw["scope"], "mcp:tools", "{sdk} {mode}");
        assert_eq!(saw["pkce"], "S256", "{sdk} {mode}");
        assert_eq!(saw["text"], "logged in", "{sdk} {mode}");
    }
}

/// RFC 6750 section 2.1: a token opens what asks for one, of a person and of a service.
#[tokio::test]
async fn a_token_opens_every_way_in() {
    let desk = Desk::start().await;
    let alice = desk
        .provider
        .log_in("t1.alice", &desk.resource, "mcp:tools");
    let alice = alice.await.access_token;
    let service = desk
        .provider
        .service_token(&desk.resource, "mcp:tools")
        .await;
    for token in [alice, service] {
        assert_eq!(desk.answer(&token).await.tool_text(), "hello");
        let session = desk.session(&token).await;
        let echo = session.tool("echo", json!({"text": "hello"})).await;
        assert_eq!(echo.tool_text(), "hello");
        let http = http_client_bearing(&token);
        let mut pipe = HttpSse::connect_through(http, &desk.server.url("")).await;
        let initialize = json!({"protocolVersion": "2024-11-05", "capabilities": {},
            "clientInfo": {"name": "scenario", "version": "1"}});
        pipe.call("initialize", initialize).await;
        let echo = pipe.tool("echo", json!({"text": "hello"})).await;
        assert_eq!(echo["result"]["content"][0]["text"], "hello");
    }
}

/// RFC 8725, RFC 9068 section 4: whatever is wrong with a token, its bearer learns that it is not good.
#[tokio::test]
async fn bad_tokens_are_all_refused_alike() {
    let desk = Desk::start().await;
    let good = desk.good().await;
    assert_eq!(desk.answer(&good).await.status, 200);
    let mut bad = Vec::new();
    for (claims, header) in [
        (json!({"aud": format!("{}/", desk.resource)}), json!({})),
        (json!({"aud": desk.server.url("/other")}), json!({})),
        (json!({"aud": null}), json!({})),
        (json!({"exp": now() - 120}), json!({})),
        (json!({"exp": null}), json!({})),
        (json!({"exp": "9999999999"}), json!({})),
        (json!({"nbf": now() + 120}), json!({})),
        (json!({"iat": now() + 120}), json!({})),
        (json!({"iss": "https://evil.example"}), json!({})),
        (json!({"sub": null, "client_id": null}), json!({})),
        (json!({"cnf": {"jkt": "x"}}), json!({})),
        (json!({}), json!({"typ": "JWT"})),
        (json!({}), json!({"typ": "oauth-id-jag+jwt"})),
        (json!({}), json!({"kid": "unknown"})),
        (json!({}), json!({"crit": ["b64"], "b64": true})),
    ] {
        bad.push(desk.minted(claims, header).await);
    }
    let [head, claims, signature] = good.split('.').collect::<Vec<_>>()[..] else {
        panic!("{good}");
    };
    let alice = desk
        .provider
        .log_in("t1.alice", &desk.resource, "mcp:tools");
    let key = desk.provider.keys().await["keys"][0].clone();
    let forged = |alg: &str| {
        let head = json!({"alg": alg, "kid": key["kid"], "typ": "at+jwt"}).to_string();
        format!("{}.{claims}", URL_SAFE_NO_PAD.encode(head))
    };
    let by_hmac = {
        let head = forged("HS256");
        let secret = hmac::Key::new(hmac::HMAC_SHA256, key["n"].as_str().unwrap().as_bytes());
        let tag = URL_SAFE_NO_PAD.encode(hmac::sign(&secret, head.as_bytes()));
        format!("{head}.{tag}")
    };
    bad.extend([
        alice.await.id_token,
        desk.provider
            .service_token(&desk.provider.opaque_resource(), "mcp:tools")
            .await,
        format!("{}.", forged("none")),
        by_hmac,
        format!("{head}.{claims}."),
        format!("{head}.{claims}.{signature}A"),
        format!("{head}.{claims}"),
        format!("{head}..{signature}"),
        "mcpk_0000000000000000_x_0".to_owned(),
        "a".repeat(8_000),
        "x".to_owned(),
    ]);
    let mut bodies = BTreeSet::new();
    for token in bad {
        let http = http_client_bearing(&token);
        let client = Stateless::through(http, &desk.resource);
        let message = json!({"jsonrpc": "2.0", "id": 7, "method": "tools/list",
            "params": {"_meta": client.meta()}});
        let answer = client.send(client.request(&message)).await;
        desk.assert_invalid(&answer);
        bodies.insert(answer.text);
    }
    assert_eq!(bodies.len(), 1, "{bodies:?}");
    assert_eq!(desk.answer(&good).await.status, 200);
}

/// RFC 8707 section 2: a token for one endpoint is none for another of the same server.
#[tokio::test]
async fn a_token_is_for_one_endpoint() {
    let place = Place::new();
    let staff = format!("http://{}/staff", place.address);
    let provider = IdentityProvider::with().resources(&[&place.resource, &staff]);
    let provider = provider.start().await;
    let config = place.config()
        + &trusts("company", "t1", &provider, "")
        + "[endpoints.main]\nbuiltin = \"demo\"\n\
           [endpoints.staff]\npath = \"/staff\"\nbuiltin = \"demo\"";
    let _server = Switchboard::with().config(&config).start().await;
    for (for_url, statuses) in [(&place.resource, [200, 401]), (&staff, [401, 200])] {
        let token = provider.service_token(for_url, "mcp:tools").await;
        let http = http_client_bearing(&token);
        let told = [
            answer(&http, &place.resource).await.status,
            answer(&http, &staff).await.status,
        ];
        assert_eq!(told, statuses, "{for_url}");
    }
}

/// MCP basic/security_best_practices, session hijacking: a session authenticates nobody, and outlives the
/// token it was opened with.
#[tokio::test]
async fn a_session_outlives_the_token_it_was_opened_with() {
    let desk = Desk::with("leeway = \"1s\"").await;
    let short = desk.minted(json!({"exp": now() + 8}), json!({})).await;
    let session = desk.session(&short).await;
    assert_eq!(session.call("ping", json!({})).await.result(), json!({}));
    let refused = eventually("the token has expired", async || {
        Some(session.send(&ping()).await).filter(|answer| answer.status != 200)
    })
    .await;
    desk.assert_invalid(&refused);
    let fresh = http_client_bearing(&desk.good().await);
    let refreshed = session.presented_by(fresh, &desk.resource);
    assert_eq!(refreshed.call("ping", json!({})).await.result(), json!({}));
}

/// Trust: Z3. A stream does not outlive the token that opened it. A session of HTTP+SSE, which is one
/// stream, goes on with the token that its client came with last.
#[tokio::test]
async fn streams_of_an_expired_token_end() {
    let desk = Desk::with("leeway = \"1s\"\n[streams]\nheartbeat = \"100ms\"").await;
    let fresh = http_client_bearing(&desk.good().await);
    let claims = json!({"exp": now() + 8});
    let short = http_client_bearing(&desk.minted(claims, json!({})).await);
    let open = Session::through(short.clone(), &desk.resource, VERSION, json!({}));
    let session = open.await;
    let standing = session.listen(None).await;
    let client = Stateless::through(short.clone(), &desk.resource);
    let filter = json!({"notifications": {"toolsListChanged": true}});
    let (id, subscribed) = client.stream("subscriptions/listen", filter).await;
    let initialize = json!({"protocolVersion": "2024-11-05", "capabilities": {},
        "clientInfo": {"name": "scenario", "version": "1"}});
    let origin = desk.server.url("");
    let mut lapsing = HttpSse::connect_through(short.clone(), &origin).await;
    lapsing.call("initialize", initialize.clone()).await;
    let mut renewed = HttpSse::connect_through(short, &origin)
        .await
        .with(fresh.clone());
    renewed.call("initialize", initialize).await;

    let (_, closing, _) = tokio::join!(standing.rest(), subscribed.rest(), lapsing.stream.rest());
    let closing = closing.last().expect("it says that it ends").json();
    assert_eq!(closing["id"], id);
    assert_eq!(closing["result"]["resultType"], "complete");

    let echo = json!({"text": "hello"});
    let said = renewed.tool("echo", echo.clone()).await;
    assert_eq!(said["result"]["content"][0]["text"], "hello");
    let refreshed = session.presented_by(fresh, &desk.resource);
    let mut standing = refreshed.listen(None).await;
    standing.priming().await;
    standing.heartbeat().await;
    assert_eq!(refreshed.tool("echo", echo).await.tool_text(), "hello");
}

/// MCP basic/security_best_practices, session hijacking: who knows an id and is not its principal knows
/// nothing. The same person through another client is another principal.
#[tokio::test]
async fn a_session_belongs_to_the_person_and_the_client() {
    let desk = Desk::start().await;
    let session = desk.session(&desk.good().await).await;
    for claims in [
        json!({"client_id": "another"}),
        json!({"client_id": null}),
        json!({"sub": "t1.bob"}),
    ] {
        let theirs = http_client_bearing(&desk.minted(claims, json!({})).await);
        assert_unknown(&session, theirs, &desk.resource).await;
    }
    assert_eq!(session.call("ping", json!({})).await.result(), json!({}));
}

/// Trust: tenants. Two companies may call their people alike.
#[tokio::test]
async fn the_same_name_in_two_tenants_is_two_people() {
    let place = Place::new();
    let (one, other) = tokio::join!(place.provider(), place.provider());
    let config =
        place.config() + &trusts("one", "t1", &one, "") + &trusts("other", "t2", &other, "");
    let server = Switchboard::with().config(&config).start().await;
    let claims = json!({"sub": "alice", "client_id": HOST, "aud": place.resource});
    let token = json!({"claims": claims});
    let mine = http_client_bearing(&one.mint(&token).await);
    let theirs = http_client_bearing(&other.mint(&token).await);
    let url = server.url("/mcp");
    let session = Session::through(mine.clone(), &url, VERSION, json!({})).await;
    assert_unknown(&session, theirs.clone(), &url).await;
    let session_of_other = Session::through(theirs, &url, VERSION, json!({})).await;
    assert_unknown(&session_of_other, mine, &url).await;
    assert_eq!(session.call("ping", json!({})).await.result(), json!({}));
}

/// Fault 13: keys that are added refuse nobody, keys that are taken away end what they signed.
#[tokio::test]
async fn new_keys_refuse_nobody_and_withdrawn_ones_everybody() {
    let desk = Desk::start().await;
    let old = desk.good().await;
    assert_eq!(desk.answer(&old).await.status, 200);
    desk.provider.rotate(OldKeys::Kept).await;
    let new = desk.good().await;
    for token in [&new, &old, &new] {
        assert_eq!(desk.answer(token).await.status, 200);
    }
    let desk = Desk::start().await;
    let old = desk.good().await;
    assert_eq!(desk.answer(&old).await.status, 200);
    desk.provider.rotate(OldKeys::Dropped).await;
    assert_eq!(desk.answer(&desk.good().await).await.status, 200);
    desk.assert_invalid(&desk.answer(&old).await);
}

/// Fault 13: while the issuer is away its keys are good, and what nobody can check is not blamed.
#[tokio::test]
async fn an_outage_of_the_issuer_refuses_nobody_it_knows() {
    let desk = Desk::start().await;
    let known = desk.good().await;
    assert_eq!(desk.answer(&known).await.status, 200);
    let another = desk.good().await;
    let unknown = desk.minted(json!({}), json!({"kid": "a new one"})).await;
    desk.provider.fault(Fault::Down).await;
    // Signed by a key that is known, though never seen before.
    assert_eq!(desk.answer(&another).await.status, 200);
    let answer = desk.answer(&unknown).await;
    assert_eq!(answer.status, 503, "{}", answer.text);
    let seconds: u32 = answer.header("retry-after").parse().unwrap();
    assert!((1..=30).contains(&seconds), "{seconds}");
    assert_eq!(answer.header("www-authenticate"), "");
    assert_eq!(desk.answer(&known).await.status, 200);
}

/// Fault 13: of an issuer that never answered nothing is known.
#[tokio::test]
async fn before_the_issuer_has_answered_nobody_is_refused_for_it() {
    let desk = Desk::start().await;
    desk.provider.fault(Fault::Down).await;
    let answer = desk.answer(&desk.good().await).await;
    assert_eq!(answer.status, 503, "{}", answer.text);
    assert!(!answer.header("retry-after").is_empty());
}

/// A server that asks the provider about each token.
async fn asking(provider: &IdentityProvider, place: Place) -> Switchboard {
    let more = format!(
        "audience = {:?}\nintrospection_url = {:?}\nclient_id = {:?}\nclient_secret = \"env:SECRET\"\n\
         [streams]\nheartbeat = \"100ms\"",
        provider.opaque_resource(),
        provider.introspection(),
        GATEWAY.0
    );
    let config = place.config() + &trusts("company", "t1", provider, &more);
    let server = Switchboard::with()
        .config(&config)
        .variable("SECRET", GATEWAY.1);
    server.start().await
}

/// RFC 7662: a token that says nothing itself is asked about.
#[tokio::test]
async fn an_opaque_token_is_asked_about() {
    let place = Place::new();
    let provider = place.provider().await;
    let server = asking(&provider, place).await;
    let url = server.url("/mcp");
    let resource = provider.opaque_resource();
    let token = provider.service_token(&resource, "mcp:tools").await;
    assert!(!token.contains('.'), "it is opaque");
    let known = http_client_bearing(&token);
    assert_eq!(answer(&known, &url).await.tool_text(), "hello");
    let invented = http_client_bearing("invented");
    assert_eq!(answer(&invented, &url).await.status, 401);
    let revoked = provider.service_token(&resource, "mcp:tools").await;
    provider.revoke(&revoked).await;
    assert_eq!(
        answer(&http_client_bearing(&revoked), &url).await.status,
        401
    );

    let unseen = provider.service_token(&resource, "mcp:tools").await;
    provider.fault(Fault::Down).await;
    assert_eq!(answer(&known, &url).await.status, 200);
    let told = answer(&http_client_bearing(&unseen), &url).await;
    assert_eq!(told.status, 503, "{}", told.text);
    assert!(!told.header("retry-after").is_empty());
}

/// Trust: Z3. A token of which only its issuer knows whether it is good: once it is revoked there, its
/// streams end, and no others. We promise a minute, and wait for three.
#[tokio::test]
async fn streams_of_a_revoked_opaque_token_end() {
    let place = Place::new();
    let provider = place.provider().await;
    let server = asking(&provider, place).await;
    let (url, resource) = (server.url("/mcp"), provider.opaque_resource());
    let good = provider.service_token(&resource, "mcp:tools").await;
    let bad = provider.service_token(&resource, "mcp:tools").await;
    let open = async |token: &str| {
        let http = http_client_bearing(token);
        let session = Session::through(http, &url, VERSION, json!({})).await;
        let mut stream = session.listen(None).await;
        stream.priming().await;
        (session, stream)
    };
    let (_mine, mut goes_on) = open(&good).await;
    let (theirs, ends) = open(&bad).await;

    provider.revoke(&bad).await;
    ends.ends_within(Duration::from_secs(180)).await;
    assert_eq!(theirs.send(&ping()).await.status, 401);
    goes_on.heartbeat().await;
}

/// Ours: an endpoint that takes keys and tokens takes either, and never both at once.
#[tokio::test]
async fn a_key_does_where_a_token_does_and_both_do_not() {
    let desk = Desk::with("[auth.api_keys]").await;
    let store = format!(
        "embedded:{}",
        desk.server.directory().join("data").display()
    );
    let made = [
        "key",
        "create",
        "--owner",
        "ci",
        "--listen",
        desk.server.authority(),
        "--store",
        &store,
    ];
    let key = command::run(desk.server.directory(), &made).await.out;
    let (key, token) = (key.trim(), desk.good().await);
    assert_eq!(desk.answer(key).await.tool_text(), "hello");
    assert_eq!(desk.answer(&token).await.tool_text(), "hello");
    let client = Stateless::through(http_client_bearing(&token), &desk.resource);
    let request = client.request(&client.message("tools/list", json!({})));
    let answer = client.send(request.header("x-api-key", key)).await;
    assert_eq!(answer.status, 400, "{}", answer.text);
    // A key is not a token: what it opened is its owner's.
    let session = desk.session(key).await;
    assert_unknown(&session, http_client_bearing(&token), &desk.resource).await;
}

/// Ours: a proxy that is known says who calls; from anywhere else its header is nobody's word.
#[tokio::test]
async fn the_word_of_a_proxy_counts_where_proxies_are() {
    let (name, secret) = asserted::VARIABLE;
    let server = |peers: &'static str| {
        let setup = Switchboard::with().config(&(asserted::believed_from(peers) + EVERYBODY));
        setup.variable(name, secret).start()
    };
    let (near, far) = tokio::join!(server("127.0.0.1"), server("10.0.0.0/8"));
    let alice = || client_of(json!({"sub": "alice"}));
    let url = near.url("/mcp");
    assert_eq!(answer(&alice(), &url).await.tool_text(), "hello");
    assert_eq!(answer(&http_client(), &url).await.status, 401);
    let ignored = answer(&alice(), &far.url("/mcp")).await;
    assert_eq!(ignored.status, 401);
    // It was not looked at, so nothing is said to be wrong with it.
    assert_eq!(
        ignored.header("www-authenticate"),
        "Bearer realm=\"switchboard\""
    );

    // Whoever presents something themselves is judged by that alone.
    let client = Stateless::through(alice(), &url);
    let request = client.request(&client.message("tools/list", json!({})));
    let answer_to_both = client
        .send(request.header("authorization", "Bearer x"))
        .await;
    assert_eq!(answer_to_both.status, 401);

    // Two of it, of which one may be the client's own, are one too many.
    let nobody = Stateless::new(&url);
    let twice = ["alice", "mallory"].into_iter().fold(
        nobody.request(&nobody.message("tools/list", json!({}))),
        |request, sub| request.header(asserted::HEADER, word(json!({"sub": sub}))),
    );
    let refused = nobody.send(twice).await;
    assert_eq!(refused.status, 400, "{}", refused.text);

    let session = Session::through(alice(), &url, VERSION, json!({})).await;
    assert_eq!(session.call("ping", json!({})).await.result(), json!({}));
    for other in [
        json!({"sub": "bob"}),
        json!({"sub": "alice", "tenant": "t2"}),
        json!({"sub": "alice", "client_id": "another"}),
    ] {
        assert_unknown(&session, client_of(other), &url).await;
    }
    let forged = word(json!({"sub": "alice"})) + "A";
    for said in [
        forged,
        word(json!({"sub": "alice", "aud": "https://other.example"})),
        word(json!({"sub": "alice", "exp": now() - 60})),
        word(json!({"sub": "alice", "exp": now() + 3_600})),
    ] {
        let client = Stateless::new(&url);
        let request = client.request(&client.message("tools/list", json!({})));
        let answer = client.send(request.header(asserted::HEADER, &said)).await;
        assert_eq!(answer.status, 401, "{said}");
        let challenge = "Bearer error=\"invalid_token\", realm=\"switchboard\"";
        assert_eq!(answer.header("www-authenticate"), challenge);
    }
}

/// Ours: whoever shows a certificate is who it says, and may what is bound to that.
#[tokio::test]
async fn a_certificate_is_a_caller_with_the_roles_bound_to_it() {
    let authority = Authority::new();
    let files = authority.signs_for_this_machine();
    let config = format!(
        "[server.tls]\ncertificate = {:?}\nkey = {:?}\nclient_ca = {:?}\n\
         client_certificates = \"required\"\n\
         [roles.biller]\nallow = [{{ tools = [\"echo\"] }}]\n\
         [[bindings]]\nrole = \"biller\"\nany_of = [{{ certificate = \"dns:billing.*\" }}]",
        files.certificate,
        files.key,
        authority.file()
    );
    let server = Switchboard::with().config(&config).start().await;
    let url = server.url("/mcp");
    let shows = |name: &str| {
        let shown = authority.signs_for_a_client(name);
        authority.trusted_by_a_client(Some(shown))
    };
    let billing = shows("billing.example");
    assert_eq!(answer(&billing, &url).await.tool_text(), "hello");
    assert_eq!(answer(&shows("sales.example"), &url).await.code(), -32602);
    let session = Session::through(billing.clone(), &url, VERSION, json!({})).await;
    // Renewed, it is about the same one.
    let renewed = session.presented_by(shows("billing.example"), &url);
    assert_eq!(renewed.call("ping", json!({})).await.result(), json!({}));
    assert_unknown(&session, shows("sales.example"), &url).await;
}
