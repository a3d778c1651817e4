//! A proxy that says who calls, as `[auth.proxy]` believes it: the quickest way to be anybody.

use aws_lc_rs::hmac;
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use reqwest::header::{HeaderMap, HeaderName, HeaderValue};
use serde_json::{Value, json};

/// The header in which it says that.
pub const HEADER: &str = "x-switchboard-identity";
/// Whom it says it to.
pub const AUDIENCE: &str = "https://switchboard.example";
/// What it signs with.
const SECRET: &str = "a secret that the proxy and the server share";
/// The variable in which a server finds that.
pub const VARIABLE: (&str, &str) = ("PROXY_KEY", SECRET);
/// How long what it says is good, in seconds: as long as may be.
const LIFE: u64 = 290;

/// The configuration that believes it when it connects from `peers`.
pub fn believed_from(peers: &str) -> String {
    format!(
        "[auth.proxy]\npeers = [{peers:?}]\nkey = \"env:{}\"\naudience = {AUDIENCE:?}\n",
        VARIABLE.0
    )
}

/// What it says of somebody: `said` is any claims, of which `sub` is the least.
pub fn word(said: Value) -> String {
    let mut claims = json!({"aud": AUDIENCE, "exp": now() + LIFE});
    for (name, value) in said.as_object().expect("claims are an object") {
        claims[name] = value.clone();
    }
    let encoded = |part: &Value| URL_SAFE_NO_PAD.encode(part.to_string());
    let signed = format!("{}.{}", encoded(&json!({"alg": "HS256"})), encoded(&claims));
    let key = hmac::Key::new(hmac::HMAC_SHA256, SECRET.as_bytes());
    let signature = URL_SAFE_NO_PAD.encode(hmac::sign(&key, signed.as_bytes()));
    format!("{signed}.{signature}")
}

/// An HTTP client whose requests come through the proxy.
pub fn client_of(said: Value) -> reqwest::Client {
    let value = HeaderValue::try_from(word(said)).expect("it is a header value");
    let headers = HeaderMap::from_iter([(HeaderName::from_static(HEADER), value)]);
    let client = reqwest::Client::builder().tls_certs_only([]);
    let client = client.default_headers(headers).build();
    client.expect("a client needs nothing")
}

/// Seconds since 1970.
pub fn now() -> u64 {
    let since = std::time::UNIX_EPOCH.elapsed();
    since.expect("it is later than 1970").as_secs()
}
