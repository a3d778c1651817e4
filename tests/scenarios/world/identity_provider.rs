//! A real `OpenID` provider of the scenario's own: it issues tokens, and breaks when it is told to.
//!
//! It is `tests/servers/identity_provider.mjs`. People log in without a browser; their accounts are
//! called `tenant.user`, and they consent to everything.

use std::collections::BTreeMap;
use std::process::Stdio;

use aws_lc_rs::digest::{SHA256, digest};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use reqwest::header::{CONTENT_TYPE, LOCATION, SET_COOKIE};
use serde_json::{Value, json};
use tokio::io::{AsyncBufReadExt as _, BufReader};
use tokio::process::Child;

use super::tools::{installed, node, root};
use super::within;

/// What the provider issues tokens for, unless it is set up for others.
pub const RESOURCE: &str = "https://switchboard.example/mcp";
/// An upstream, to which tokens can be exchanged.
pub const UPSTREAM: &str = "https://upstream.example/mcp";
/// All scopes there are.
pub const SCOPES: &str = "mcp:tools mcp:tools:write mcp:admin";
/// The client that asks about tokens and exchanges them. Its secret has to be encoded with care.
pub const GATEWAY: (&str, &str) = ("gateway", "gateway:secret/of+32 characters%");

const SERVICE: (&str, &str) = ("service", "service-secret-of-32-characters!");
/// The client that people log in with.
pub const HOST: &str = "host";
const CALLBACK: &str = "http://127.0.0.1/callback";
/// Redirects from the first page to the callback; there are five.
const REDIRECTS_MAX: usize = 12;

/// A provider to be started.
#[derive(Clone, Debug)]
pub struct Setup(Value);

/// A running provider. It ends when dropped.
#[derive(Debug)]
pub struct IdentityProvider {
    issuer: String,
    client: reqwest::Client,
    process: Child,
}

/// What somebody who logged in got.
#[derive(Clone, Debug)]
pub struct LoggedIn {
    /// For the resource.
    pub access_token: String,
    /// For the client, and nobody else.
    pub id_token: String,
}

/// What the provider does instead of answering for its keys and about tokens.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// Nothing: it answers.
    None,
    /// It hangs up.
    Down,
    /// It says nothing.
    Slow,
    /// It says nonsense.
    Garbage,
}

/// What becomes of the old keys when there are new ones.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OldKeys {
    /// They stay published.
    Kept,
    /// They are gone.
    Dropped,
}

impl Setup {
    /// Issues tokens for these resources.
    pub fn resources(mut self, resources: &[&str]) -> Self {
        self.0["resources"] = json!(resources);
        self
    }

    /// Exchanges tokens to these upstreams.
    pub fn upstreams(mut self, upstreams: &[&str]) -> Self {
        self.0["upstreams"] = json!(upstreams);
        self
    }

    /// Redeems the identity assertions of another.
    pub fn trusting(mut self, other: &IdentityProvider) -> Self {
        self.0["trusts"] = json!(other.issuer());
        self
    }

    /// Starts it.
    pub async fn start(self) -> IdentityProvider {
        let mut process = node()
            .arg(root().join("tests/servers/identity_provider.mjs"))
            .env("TEST_TOOLS", installed(""))
            .env("SETUP", self.0.to_string())
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .kill_on_drop(true)
            .spawn()
            .expect("node can be started");
        let stdout = process.stdout.take().expect("its output is piped");
        let mut lines = BufReader::new(stdout).lines();
        let issuer = loop {
            let line = within("it says where it is", lines.next_line()).await;
            let line = line.expect("its output is text");
            let line = line.expect("it ended before it served");
            if line.starts_with("http://") {
                break line;
            }
        };
        tokio::spawn(async move { while let Ok(Some(_)) = lines.next_line().await {} });
        let client = reqwest::Client::builder()
            .tls_certs_only([])
            .redirect(reqwest::redirect::Policy::none());
        IdentityProvider {
            issuer,
            client: client.build().expect("a client needs nothing"),
            process,
        }
    }
}

impl IdentityProvider {
    /// One that issues tokens for [`RESOURCE`], good for five minutes.
    pub async fn start() -> Self {
        Self::with().start().await
    }

    /// One to be set up first.
    pub fn with() -> Setup {
        Setup(json!({
            "resources": [RESOURCE], "upstreams": [UPSTREAM], "scopes": SCOPES, "seconds": 300,
        }))
    }

    /// Who it is, and where.
    pub fn issuer(&self) -> &str {
        &self.issuer
    }

    /// Where it is asked about tokens.
    pub fn introspection(&self) -> String {
        format!("{}/token/introspection", self.issuer)
    }

    /// The resource for which its tokens are opaque.
    pub fn opaque_resource(&self) -> String {
        format!("{}/opaque", self.issuer)
    }

    /// Ends it.
    pub async fn stop(&mut self) {
        self.process.kill().await.expect("it can be killed");
    }

    /// A token that a service got for itself.
    pub async fn service_token(&self, resource: &str, scope: &str) -> String {
        let form = [
            ("grant_type", "client_credentials"),
            ("resource", resource),
            ("scope", scope),
        ];
        access_token(&self.token(Some(SERVICE), &form).await)
    }

    /// Lets somebody log in, by code and PKCE.
    pub async fn log_in(&self, account: &str, resource: &str, scope: &str) -> LoggedIn {
        let verifier = "a-verifier-as-long-as-verifiers-have-to-be-at-least";
        let challenge = URL_SAFE_NO_PAD.encode(digest(&SHA256, verifier.as_bytes()));
        let query = form_urlencoded::Serializer::new(String::new())
            .append_pair("client_id", HOST)
            .append_pair("response_type", "code")
            .append_pair("redirect_uri", CALLBACK)
            .append_pair("scope", &format!("openid {scope}"))
            .append_pair("resource", resource)
            .append_pair("code_challenge", &challenge)
            .append_pair("code_challenge_method", "S256")
            .append_pair("state", "a-state")
            .append_pair("login_hint", account)
            .finish();
        let callback = self.follow(format!("{}/auth?{query}", self.issuer)).await;
        let said = |name: &str| {
            let mut pairs = callback.query_pairs();
            pairs.find_map(|(key, value)| (key == name).then(|| value.into_owned()))
        };
        assert_eq!(said("state").as_deref(), Some("a-state"), "{callback}");
        assert_eq!(said("iss").as_deref(), Some(self.issuer()), "{callback}");
        let code = said("code").unwrap_or_else(|| panic!("{callback}"));
        let form = [
            ("grant_type", "authorization_code"),
            ("client_id", HOST),
            ("code", &code),
            ("code_verifier", verifier),
            ("redirect_uri", CALLBACK),
            ("resource", resource),
        ];
        let answer = self.token(None, &form).await;
        LoggedIn {
            access_token: access_token(&answer),
            id_token: text(&answer["id_token"], &answer),
        }
    }

    /// Exchanges somebody's token for one for an upstream.
    pub async fn exchanged(&self, subject_token: &str, upstream: &str) -> String {
        let form = [
            (
                "grant_type",
                "urn:ietf:params:oauth:grant-type:token-exchange",
            ),
            ("subject_token", subject_token),
            (
                "subject_token_type",
                "urn:ietf:params:oauth:token-type:access_token",
            ),
            ("resource", upstream),
        ];
        access_token(&self.token(Some(GATEWAY), &form).await)
    }

    /// An assertion of who somebody is, for another issuer that trusts this one.
    pub async fn identity_assertion(
        &self,
        logged_in: &LoggedIn,
        audience: &IdentityProvider,
        resource: &str,
    ) -> String {
        let form = [
            (
                "grant_type",
                "urn:ietf:params:oauth:grant-type:token-exchange",
            ),
            (
                "requested_token_type",
                "urn:ietf:params:oauth:token-type:id-jag",
            ),
            ("subject_token", &logged_in.id_token),
            (
                "subject_token_type",
                "urn:ietf:params:oauth:token-type:id_token",
            ),
            ("audience", audience.issuer()),
            ("resource", resource),
            ("scope", "mcp:tools"),
            ("client_id", HOST),
        ];
        access_token(&self.token(None, &form).await)
    }

    /// What is given for the assertion of another issuer: a token, or an error.
    pub async fn redeem(&self, assertion: &str) -> Value {
        let form = [
            ("grant_type", "urn:ietf:params:oauth:grant-type:jwt-bearer"),
            ("assertion", assertion),
            ("client_id", HOST),
        ];
        self.token(None, &form).await
    }

    /// A token with these `claims`, `header` and `alg`, really signed; what is not said is as in a
    /// good one, and what is null is missing.
    pub async fn mint(&self, token: &Value) -> String {
        self.told("mint", &[("token", &token.to_string())]).await
    }

    /// Makes new keys, which sign from now on.
    pub async fn rotate(&self, old: OldKeys) {
        let kept: &[_] = match old {
            OldKeys::Kept => &[("keep", "1")],
            OldKeys::Dropped => &[],
        };
        self.told("rotate", kept).await;
    }

    /// Breaks it, or mends it.
    pub async fn fault(&self, fault: Fault) {
        let word = match fault {
            Fault::None => "none",
            Fault::Down => "down",
            Fault::Slow => "slow",
            Fault::Garbage => "garbage",
        };
        self.told("fault", &[("is", word)]).await;
    }

    /// How often somebody asked for its keys.
    pub async fn keys_asked(&self) -> usize {
        let count = self.told("asked", &[("path", "/jwks")]).await;
        count.parse().expect("it counts")
    }

    /// Takes a token back.
    pub async fn revoke(&self, token: &str) {
        let url = format!("{}/token/revocation", self.issuer);
        let request = self.form(url, &[("token", token)]);
        let request = request.basic_auth(SERVICE.0, Some(SERVICE.1));
        let answer = request.send().await.expect("it answers");
        assert!(answer.status().is_success(), "{}", answer.status());
    }

    /// Its keys, as it publishes them.
    pub async fn keys(&self) -> Value {
        let url = format!("{}/jwks", self.issuer);
        let answer = self.client.get(url).send().await.expect("it answers");
        answer.json().await.expect("keys are JSON")
    }

    async fn token(&self, client: Option<(&str, &str)>, form: &[(&str, &str)]) -> Value {
        let url = format!("{}/token", self.issuer);
        let encoded = |text: &str| form_urlencoded::byte_serialize(text.as_bytes()).collect();
        let mut request = self.form(url, form);
        if let Some((id, secret)) = client {
            let (id, secret): (String, String) = (encoded(id), encoded(secret));
            request = request.basic_auth(id, Some(secret));
        }
        let answer = request.send().await.expect("it answers");
        answer.json().await.expect("tokens come in JSON")
    }

    fn form(&self, url: String, form: &[(&str, &str)]) -> reqwest::RequestBuilder {
        let form = form_urlencoded::Serializer::new(String::new())
            .extend_pairs(form)
            .finish();
        let kind = "application/x-www-form-urlencoded";
        let request = self.client.post(url).header(CONTENT_TYPE, kind);
        request.body(form)
    }

    /// Follows redirects with the cookies they set, up to the client's callback.
    async fn follow(&self, first: String) -> url::Url {
        let mut next = url::Url::parse(&first).expect("the provider has a URL");
        let mut cookies = BTreeMap::<String, String>::new();
        for _ in 0..REDIRECTS_MAX {
            let cookie: Vec<_> = cookies
                .iter()
                .map(|(key, value)| format!("{key}={value}"))
                .collect();
            let request = self
                .client
                .get(next.clone())
                .header("cookie", cookie.join("; "));
            let answer = request.send().await.expect("it answers");
            for set in answer.headers().get_all(SET_COOKIE) {
                let set = set.to_str().expect("cookies are text");
                let pair = set.split(';').next().unwrap_or_default();
                let (key, value) = pair.split_once('=').expect("a cookie has a name");
                cookies.insert(key.to_owned(), value.to_owned());
            }
            let location = answer.headers().get(LOCATION).cloned();
            let Some(location) = location else {
                panic!(
                    "{next} leads nowhere: {}",
                    answer.text().await.unwrap_or_default()
                );
            };
            let location = location.to_str().expect("URLs are text");
            next = next.join(location).expect("a redirect leads to a URL");
            if next.as_str().starts_with(CALLBACK) {
                return next;
            }
        }
        panic!("more than {REDIRECTS_MAX} redirects, the last to {next}");
    }

    async fn told(&self, what: &str, words: &[(&str, &str)]) -> String {
        let mut url =
            url::Url::parse(&format!("{}/test/{what}", self.issuer)).expect("it is a URL");
        url.query_pairs_mut().extend_pairs(words);
        let answer = self.client.get(url).send().await.expect("it answers");
        let status = answer.status();
        let said = answer.text().await.expect("it says text");
        assert!(status.is_success(), "{what}: {status} {said}");
        said
    }
}

/// The access token of an answer that must have one.
pub fn access_token(answer: &Value) -> String {
    text(&answer["access_token"], answer)
}

fn text(value: &Value, answer: &Value) -> String {
    let text = value.as_str();
    text.unwrap_or_else(|| panic!("no token was issued: {answer}"))
        .to_owned()
}
