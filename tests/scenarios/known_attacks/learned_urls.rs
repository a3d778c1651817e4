//! URLs that somebody else names, and that lead to where only this process can go.

use std::fmt::Write as _;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use futures_util::future::join_all;
use serde_json::{Value, json};

use crate::world::scripted::{Heard, Script, Scripted};
use crate::world::{Stateless, Switchboard, eventually, http_client_bearing};

/// An issuer that is its own to the letter, and says that its keys are at `keys`.
async fn issuer(keys: String) -> Scripted {
    Scripted::start(move |heard: &Heard| {
        let here = format!("http://{}", heard.header("host").unwrap_or_default());
        if heard.path.starts_with("/.well-known/") {
            return Script::Json(200, json!({"issuer": here, "jwks_uri": keys}));
        }
        // Where keys may be, they are elsewhere.
        let moved = format!("HTTP/1.1 302 X\r\nLocation: {keys}\r\nContent-Length: 0\r\n\r\n");
        Script::Raw(moved.into())
    })
    .await
}

/// A token that says it is of this issuer, whose keys are needed to find out that it is not.
fn token_of(issuer: &str) -> String {
    let part = |value: Value| URL_SAFE_NO_PAD.encode(value.to_string());
    let header = part(json!({"alg": "RS256", "kid": "k", "typ": "at+jwt"}));
    let claims = part(
        json!({"iss": issuer, "sub": "root", "aud": "http://127.0.0.1:1/mcp",
        "exp": 9_999_999_999_u64}),
    );
    format!("{header}.{claims}.{}", URL_SAFE_NO_PAD.encode([7; 256]))
}

/// Ours: what others name is asked where it is public, or where who named it is itself.
#[tokio::test]
async fn no_url_that_is_named_to_us_leads_to_where_others_cannot_go() {
    let inside = Scripted::start(|_| Script::Json(200, json!({"keys": []}))).await;
    let port = inside.address.port();
    let mut named = [
        "http://169.254.169.254/latest/meta-data/",
        "https://169.254.169.254/latest/meta-data/",
        "https://[::ffff:169.254.169.254]/",
        "https://[fd00:ec2::254]/",
        "https://10.0.0.1/keys",
        "https://192.168.1.1/keys",
        "https://172.16.0.1/keys",
        "https://100.64.0.1/keys",
        "https://0x0a000001/keys",
        "https://167772161/keys",
        "https://012.0.0.1/keys",
        "https://[64:ff9b::a00:1]/keys",
        "https://[2002:a00:1::]/keys",
        "https://[fe80::1]/keys",
        "https://0.0.0.0/keys",
        "https://255.255.255.255/keys",
        "https://224.0.0.1/keys",
        "http://example.com/keys",
        "https://user:password@example.com/keys",
        "file:///etc/passwd",
        "gopher://127.0.0.1:6379/_FLUSHALL",
        "ftp://example.com/keys",
        "//example.com/keys",
    ]
    .map(str::to_owned)
    .to_vec();
    // At 127.0.0.1 the keys of one at 127.0.0.1 may be; to be sent on from there is something else.
    let redirecting = issuer(inside.url.clone()).await;
    named.push(format!("http://{}/moved", redirecting.address));
    let issuers = join_all(named.iter().cloned().map(issuer)).await;
    let mut config = String::from("[server]\npublic_url = \"http://127.0.0.1:1\"\n");
    for (number, issuer) in issuers.iter().enumerate() {
        let url = format!("http://{}", issuer.address);
        write!(
            config,
            "[auth.oidc.i{number}]\nissuer = {url:?}\ntenant = \"t{number}\"\n"
        )
        .expect("memory can be written");
    }

    let server = Switchboard::with()
        .config(&config)
        .keeps_log()
        .start()
        .await;

    for issuer in &issuers {
        let token = token_of(&format!("http://{}", issuer.address));
        let client = Stateless::through(http_client_bearing(&token), &server.url("/mcp"));
        let request = client.request(&client.message("tools/list", json!({})));
        assert_eq!(client.send(request).await.status, 503);
    }

    let log = eventually("all issuers were asked", async || {
        let log = server.log();
        let lines = log.lines().filter(|line| line.contains("could not be had"));
        (lines.count() >= issuers.len()).then_some(log)
    })
    .await;
    for (issuer, keys) in issuers.iter().zip(&named) {
        let asked = issuer.heard(|heard| heard.path.starts_with("/.well-known/"));
        assert!(!asked.is_empty(), "{keys} was named");
        let of = |line: &&str| line.contains(&issuer.address.to_string());
        let line = log.lines().find(of).expect("each has a line");
        let is_refused = line.contains("no place of keys that may be asked");
        let is_moved = keys.ends_with("/moved") && line.contains("302");
        assert!(is_refused || is_moved, "{keys}: {line}");
    }
    assert!(!redirecting.heard(|heard| heard.path == "/moved").is_empty());
    assert_eq!(
        inside.heard(|_| true).len(),
        0,
        "nobody was asked at {port}"
    );
}
