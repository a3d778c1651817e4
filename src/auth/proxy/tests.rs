//! Assertions, good and bad.

use jsonwebtoken::{Algorithm, EncodingKey, crypto};
use proptest::prelude::*;
use rcgen::{
    KeyPair, PKCS_ECDSA_P256_SHA256, PKCS_ECDSA_P384_SHA384, PKCS_ED25519, PKCS_RSA_SHA256,
};
use serde_json::json;

use super::*;

const SECRET: &str = "0123456789abcdef0123456789abcdef";
const NOW: Timestamp = Timestamp(1_800_000_000_000);
const NOW_SECONDS: u64 = 1_800_000_000;
const PROXY: &str = "10.1.2.3";

fn config(key: &str) -> Config {
    Config {
        peers: vec!["10.0.0.0/8".parse().unwrap(), "fd00::/8".parse().unwrap()],
        header: "x-switchboard-identity".to_owned(),
        key: Key::parse(key).unwrap(),
        audience: "https://mcp.example.com".to_owned(),
        tenant_claim: "tenant".to_owned(),
        client_claim: "client_id".to_owned(),
        scope_claim: "scope".to_owned(),
    }
}

fn encoded(document: &str) -> String {
    BASE64_URL_SAFE_NO_PAD.encode(document)
}

/// A JWS of two documents as they are written, really signed.
fn signed(header: &str, claims: &str) -> String {
    let message = format!("{}.{}", encoded(header), encoded(claims));
    let key = EncodingKey::from_secret(SECRET.as_bytes());
    let signature = crypto::sign(message.as_bytes(), &key, Algorithm::HS256).unwrap();
    format!("{message}.{signature}")
}

/// One with these members in place of what a good one has; null takes one away.
fn assertion(changed: Value) -> String {
    let mut claims = json!({
        "sub": "alice",
        "aud": "https://mcp.example.com",
        "exp": NOW_SECONDS + 60,
    });
    for (name, value) in changed.as_object().unwrap() {
        claims[name] = value.clone();
    }
    claims
        .as_object_mut()
        .unwrap()
        .retain(|_, value| !value.is_null());
    signed(r#"{"alg":"HS256"}"#, &claims.to_string())
}

fn verify(assertion: &str) -> Result<Said, ProxyRefusal> {
    let peer = PROXY.parse().unwrap();
    config(SECRET).verify(peer, &[assertion.as_bytes()], NOW)
}

fn caller(said: Result<Said, ProxyRefusal>) -> Asserted {
    match said.unwrap() {
        Said::Caller(asserted) => *asserted,
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_proxy_says_who_calls() {
    let asserted = caller(verify(&assertion(json!({
        "tenant": "t1", "client_id": "host", "scope": "mcp:tools mcp:read", "groups": ["a"],
    }))));
    assert_eq!(&*asserted.subject, "alice");
    assert_eq!(asserted.tenant.as_deref(), Some("t1"));
    assert_eq!(asserted.client.as_deref(), Some("host"));
    assert_eq!(
        asserted.scopes,
        ["mcp:read", "mcp:tools"].map(Arc::from).into()
    );
    assert_eq!(asserted.claims["groups"], json!(["a"]));
    let bare = caller(verify(&assertion(
        json!({"aud": ["other", "https://mcp.example.com"]}),
    )));
    assert_eq!((bare.tenant, bare.client), (None, None));
    assert!(bare.scopes.is_empty());
    let listed = caller(verify(&assertion(json!({"scope": ["a", "b"]}))));
    assert_eq!(listed.scopes, ["a", "b"].map(Arc::from).into());
}

#[test]
fn from_anywhere_else_the_header_means_nothing() {
    let good = assertion(json!({}));
    for (peer, is_proxy) in [
        ("10.255.0.1", true),
        ("::ffff:10.1.2.3", true),
        ("fd00::1", true),
        ("11.0.0.1", false),
        ("127.0.0.1", false),
        ("::1", false),
        ("::10.1.2.3", false),
    ] {
        let config = config(SECRET);
        let peer = peer.parse().unwrap();
        let said = config.verify(peer, &[good.as_bytes()], NOW).unwrap();
        assert_eq!(matches!(said, Said::Caller(_)), is_proxy, "{peer}");
        assert_eq!(said == Said::Stranger, !is_proxy, "{peer}");
        // Nothing of it is even looked at.
        let bad = config.verify(peer, &[b"not an assertion"], NOW);
        assert_eq!(bad.is_err(), is_proxy, "{peer}");
    }
}

#[test]
fn a_proxy_may_say_nothing_but_not_two_things() {
    let (config, peer) = (config(SECRET), PROXY.parse().unwrap());
    assert_eq!(config.verify(peer, &[], NOW), Ok(Said::Nothing));
    let good = assertion(json!({}));
    let twice = [good.as_bytes(), good.as_bytes()];
    assert_eq!(
        config.verify(peer, &twice, NOW),
        Err(ProxyRefusal::Repeated)
    );
}

#[test]
fn what_an_assertion_must_say() {
    use ProxyRefusal::{Audience, Name, NotNow, Times, TooLong};
    for (changed, expected) in [
        (json!({"aud": null}), Audience),
        (json!({"aud": "https://mcp.example.com/"}), Audience),
        (json!({"aud": []}), Audience),
        (json!({"aud": {"https://mcp.example.com": 1}}), Audience),
        (json!({"exp": null}), Times),
        (json!({"exp": (NOW_SECONDS + 60).to_string()}), Times),
        (json!({"exp": true}), Times),
        (json!({"nbf": "0"}), Times),
        (json!({"iat": []}), Times),
        (json!({"exp": 0}), NotNow),
        (json!({"exp": -1e300}), NotNow),
        (json!({"exp": NOW_SECONDS - 30}), NotNow),
        (json!({"nbf": NOW_SECONDS + 31}), NotNow),
        (json!({"iat": NOW_SECONDS + 31}), NotNow),
        (json!({"exp": NOW_SECONDS + 331}), TooLong),
        (json!({"exp": 1e300}), TooLong),
        (json!({"sub": null}), Name(ClaimRole::Subject)),
        (json!({"sub": ""}), Name(ClaimRole::Subject)),
        (json!({"sub": 7}), Name(ClaimRole::Subject)),
        (json!({"sub": "a\nb"}), Name(ClaimRole::Subject)),
        (json!({"sub": " a"}), Name(ClaimRole::Subject)),
        (json!({"sub": "a".repeat(513)}), Name(ClaimRole::Subject)),
        (json!({"tenant": ["t1"]}), Name(ClaimRole::Tenant)),
        (json!({"client_id": ""}), Name(ClaimRole::Client)),
        (json!({"scope": 1}), Name(ClaimRole::Scope)),
        (json!({"scope": ["a", 1]}), Name(ClaimRole::Scope)),
        (json!({"scope": vec!["a"; 129]}), Name(ClaimRole::Scope)),
    ] {
        let shown = changed.to_string();
        assert_eq!(verify(&assertion(changed)), Err(expected), "{shown}");
    }
    for good in [
        json!({"exp": NOW_SECONDS - 29}),
        json!({"exp": NOW_SECONDS + 330}),
        json!({"exp": 1_800_000_001.5}),
        json!({"nbf": NOW_SECONDS + 30, "iat": 0}),
    ] {
        caller(verify(&assertion(good)));
    }
}

#[test]
fn how_an_assertion_must_be_written() {
    use ProxyRefusal::{Algorithm, Critical, Malformed, Signature};
    let claims = json!({
        "sub": "alice", "aud": "https://mcp.example.com", "exp": NOW_SECONDS + 60,
    });
    let claims = claims.to_string();
    let doubled = claims.replacen('{', r#"{"sub":"bob","#, 1);
    let deep = format!(r#"{{"a":{}{}}}"#, "[".repeat(99), "]".repeat(99));
    let good = signed(r#"{"alg":"HS256"}"#, &claims);
    let (message, signature) = good.rsplit_once('.').unwrap();
    let (header, payload) = message.split_once('.').unwrap();
    let forged = encoded(&claims.replace("alice", "admin"));
    for (value, expected) in [
        (String::new(), Malformed),
        ("a.b.c".to_owned(), Malformed),
        (message.to_owned(), Malformed),
        (format!("{good}."), Signature),
        (format!("{good}.{signature}"), Signature),
        (format!(" {good}"), Malformed),
        (format!("{good}="), Signature),
        (format!("{header}={}.{signature}", &payload), Malformed),
        (format!("{header}.{forged}.{signature}"), Signature),
        (format!("{header}.{payload}."), Signature),
        (format!("{header}.{payload}.{}", &signature[1..]), Signature),
        ("x".repeat(ASSERTION_MAX + 1), Malformed),
        (signed(r#"{"alg":"none"}"#, &claims), Algorithm),
        (signed(r#"{"alg":"HS512"}"#, &claims), Algorithm),
        (signed(r#"{"alg":"hs256"}"#, &claims), Algorithm),
        (signed(r#"{"alg":"RS256"}"#, &claims), Algorithm),
        (signed(r#"{"alg":["HS256"]}"#, &claims), Algorithm),
        (signed("{}", &claims), Algorithm),
        (signed(r#"["HS256"]"#, &claims), Malformed),
        (
            signed(r#"{"alg":"none","alg":"HS256"}"#, &claims),
            Malformed,
        ),
        (signed(r#"{"alg":"HS256","crit":["x"]}"#, &claims), Critical),
        (signed(r#"{"alg":"HS256","b64":false}"#, &claims), Critical),
        (signed(r#"{"alg":"HS256"}"#, &doubled), Malformed),
        (signed(r#"{"alg":"HS256"}"#, &deep), Malformed),
        (signed(r#"{"alg":"HS256"}"#, "[]"), Malformed),
        (signed(r#"{"alg":"HS256"}"#, "alice"), Malformed),
    ] {
        assert_eq!(verify(&value), Err(expected), "{value}");
    }
    let bytes = [b'\xff'; 9];
    let said = config(SECRET).verify(PROXY.parse().unwrap(), &[&bytes], NOW);
    assert_eq!(said, Err(Malformed));
    let others = config("another secret that has 32 bytes").verify(
        PROXY.parse().unwrap(),
        &[good.as_bytes()],
        NOW,
    );
    assert_eq!(others, Err(Signature));
}

#[test]
fn a_public_key_verifies_what_its_owner_signed_and_no_secret_does() {
    for (kind, algorithm) in [
        (&PKCS_ECDSA_P256_SHA256, Algorithm::ES256),
        (&PKCS_ED25519, Algorithm::EdDSA),
        (&PKCS_RSA_SHA256, Algorithm::RS256),
        (&PKCS_RSA_SHA256, Algorithm::PS256),
    ] {
        let pair = KeyPair::generate_for(kind).unwrap();
        let public = pair.public_key_pem();
        let private = pair.serialize_pem();
        let private = match algorithm {
            Algorithm::RS256 | Algorithm::PS256 => EncodingKey::from_rsa_pem(private.as_bytes()),
            Algorithm::ES256 => EncodingKey::from_ec_pem(private.as_bytes()),
            _ => EncodingKey::from_ed_pem(private.as_bytes()),
        };
        let header = encoded(&json!({"alg": algorithm}).to_string());
        let claims = json!({
            "sub": "alice", "aud": "https://mcp.example.com", "exp": NOW_SECONDS + 60,
        });
        let message = format!("{header}.{}", encoded(&claims.to_string()));
        let signature = crypto::sign(message.as_bytes(), &private.unwrap(), algorithm).unwrap();
        let config = config(&public);
        let verify = |text: &str| config.verify(PROXY.parse().unwrap(), &[text.as_bytes()], NOW);
        caller(verify(&format!("{message}.{signature}")));
        // The public key is no secret, so it must not be taken for one.
        let header = encoded(r#"{"alg":"HS256"}"#);
        let message = format!("{header}.{}", encoded(&claims.to_string()));
        let key = EncodingKey::from_secret(public.as_bytes());
        let signature = crypto::sign(message.as_bytes(), &key, Algorithm::HS256).unwrap();
        let confused = verify(&format!("{message}.{signature}"));
        assert_eq!(confused, Err(ProxyRefusal::Algorithm));
    }
}

#[test]
fn keys_that_verify_nothing_are_refused() {
    let other_curve = KeyPair::generate_for(&PKCS_ECDSA_P384_SHA384).unwrap();
    let pair = KeyPair::generate().unwrap();
    for (text, expected) in [
        (String::new(), KeyError::Short),
        ("a".repeat(31), KeyError::Short),
        (pair.serialize_pem(), KeyError::Unknown),
        (other_curve.public_key_pem(), KeyError::Unknown),
        (
            "-----BEGIN PUBLIC KEY-----\nAAAA\n-----END PUBLIC KEY-----".to_owned(),
            KeyError::Unknown,
        ),
        (
            "-----BEGIN CERTIFICATE-----\nAAAA".to_owned(),
            KeyError::Unknown,
        ),
    ] {
        assert_eq!(Key::parse(&text).unwrap_err(), expected, "{text}");
    }
    let shown = format!("{:?}", config(SECRET));
    assert!(!shown.contains(SECRET), "{shown}");
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(100_000))]

    #[test]
    fn nothing_but_what_was_signed_is_believed(at: prop::sample::Index, byte: u8, cut: bool) {
        let good = GOOD.with(Clone::clone);
        let mut bytes = good.clone().into_bytes();
        let at = at.index(bytes.len());
        if cut {
            bytes.truncate(at);
        } else {
            bytes[at] = byte;
        }
        let said = config(SECRET).verify(PROXY.parse().unwrap(), &[&bytes], NOW);
        prop_assert_eq!(said.is_ok(), bytes == good.as_bytes());
    }
}

thread_local! {
    static GOOD: String = assertion(json!({}));
}
