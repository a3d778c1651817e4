//! Access tokens of a real `OpenID` provider, as the library checks them.
//!
//! The provider lives by the real clock. What checks its tokens is told the time, so nobody waits.

use std::time::Duration;

use aws_lc_rs::hmac;
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde_json::{Value, json};
use switchboard::auth::token::{Introspection, IssuerConfig, Issuers, Kind, Refusal, Retry, Step};
use switchboard::egress::{Egress, Settings};
use switchboard::runtime::clock::Clock;
use switchboard::runtime::tasks::Tasks;
use tokio::runtime::Handle;

use crate::world::identity_provider::{
    Fault, GATEWAY, IdentityProvider, OldKeys, RESOURCE, UPSTREAM, access_token,
};

/// What trusts providers, and its time.
struct Guard {
    clock: Clock,
    issuers: Issuers,
}

impl Guard {
    /// Trusts the issuers of these configurations.
    fn trusting(configs: Vec<IssuerConfig>) -> Self {
        let clock = Clock::manual(Clock::system().now());
        let settings = Settings {
            timeout: Duration::from_secs(2),
            ..Settings::default()
        };
        let egress = Egress::new(settings).expect("the system trusts somebody");
        let tasks = Tasks::on(Handle::current());
        let issuers = Issuers::new(configs, &egress, &clock, &tasks);
        Self {
            issuers: issuers.expect("the configuration is good"),
            clock,
        }
    }

    /// Trusts one provider, in the usual way.
    fn of(provider: &IdentityProvider) -> Self {
        Self::trusting(vec![IssuerConfig::new(provider.issuer(), "t1")])
    }

    /// Trusts one that it asks about tokens with this secret.
    fn asking(provider: &IdentityProvider, secret: &str) -> Self {
        let endpoint = provider.introspection();
        Self::trusting(vec![IssuerConfig {
            introspection: Some(Introspection {
                endpoint: endpoint.parse().expect("it is a URL"),
                client_id: GATEWAY.0.to_owned(),
                secret: secret.to_owned().into(),
            }),
            audience: Some(provider.opaque_resource().into()),
            ..IssuerConfig::new(provider.issuer(), "t1")
        }])
    }

    fn advance(&self, seconds: u64) {
        self.clock.advance(Duration::from_secs(seconds));
    }

    /// The step at which a token is refused.
    async fn refused(&self, token: &str) -> Option<Step> {
        match self.issuers.verify(token, RESOURCE).await {
            Ok(_) => None,
            Err(Refusal { step, retry }) => {
                assert_eq!(step == Step::Unreachable, retry != Retry::Never);
                Some(step)
            }
        }
    }
}

/// A good token that outlives these scenarios.
async fn lasting(provider: &IdentityProvider) -> String {
    let claims = json!({"sub": "t1.alice", "aud": RESOURCE, "exp": 9_999_999_999_u64});
    provider.mint(&json!({"claims": claims})).await
}

/// RFC 9068 section 4: each way to get a token for us leads to one that is accepted.
#[tokio::test]
async fn tokens_for_us_are_accepted_however_they_were_got() {
    let provider = IdentityProvider::start().await;
    let guard = Guard::of(&provider);

    let token = provider.service_token(RESOURCE, "mcp:tools").await;
    let service = guard.issuers.verify(&token, RESOURCE).await.unwrap();
    assert_eq!((&*service.tenant, &*service.subject), ("t1", "service"));
    assert_eq!(service.client.as_deref(), Some("service"));

    let scope = "mcp:tools mcp:admin";
    let alice = provider.log_in("t1.alice", RESOURCE, scope).await;
    let alice = guard.issuers.verify(&alice.access_token, RESOURCE).await;
    let alice = alice.unwrap();
    assert_eq!(*alice.subject, *"t1.alice");
    assert_eq!(alice.client.as_deref(), Some("host"));
    let scopes: Vec<_> = alice.scopes.iter().map(|scope| &**scope).collect();
    assert_eq!(scopes, ["mcp:admin", "mcp:tools"]);
    assert_eq!(alice.claims["groups"], json!(["analysts"]));
    assert!(alice.expires > guard.clock.now());
}

/// MCP enterprise-managed authorization: of all that is issued on the way, only the last is for us.
#[tokio::test]
async fn an_assertion_is_good_for_a_token_and_is_none() {
    let company = IdentityProvider::start().await;
    let ours = IdentityProvider::with().trusting(&company).start().await;
    let guard = Guard::trusting(vec![
        IssuerConfig::new(ours.issuer(), "t1"),
        IssuerConfig::new(company.issuer(), "t2"),
    ]);
    let alice = company.log_in("t1.alice", RESOURCE, "mcp:tools").await;
    let assertion = company.identity_assertion(&alice, &ours, RESOURCE).await;
    assert_eq!(guard.refused(&assertion).await, Some(Step::Type));

    let token = access_token(&ours.redeem(&assertion).await);
    let verified = guard.issuers.verify(&token, RESOURCE).await.unwrap();
    assert_eq!((&*verified.tenant, &*verified.subject), ("t1", "t1.alice"));

    let again = ours.redeem(&assertion).await;
    assert_eq!(again["error"], "invalid_grant", "an assertion is used once");
}

/// MCP authorization, token handling: a token that was issued for somebody else is not taken.
#[tokio::test]
async fn good_tokens_for_others_are_refused() {
    let provider = IdentityProvider::start().await;
    let lenient = IssuerConfig {
        kind: Kind::Lenient,
        ..IssuerConfig::new(provider.issuer(), "t1")
    };
    let alice = provider.log_in("t1.alice", RESOURCE, "mcp:tools").await;
    let for_upstream = provider.service_token(UPSTREAM, "mcp:tools").await;
    let exchanged = provider.exchanged(&alice.access_token, UPSTREAM).await;
    let opaque = provider.opaque_resource();
    let opaque = provider.service_token(&opaque, "mcp:tools").await;

    for guard in [Guard::of(&provider), Guard::trusting(vec![lenient])] {
        assert_eq!(guard.refused(&for_upstream).await, Some(Step::Audience));
        assert_eq!(guard.refused(&exchanged).await, Some(Step::Audience));
        assert_eq!(guard.refused(&opaque).await, Some(Step::Parts));
        let id_token = guard.refused(&alice.id_token).await;
        let is_seen = matches!(id_token, Some(Step::Type | Step::Audience));
        assert!(is_seen, "{id_token:?}");
    }
}

/// RFC 8725, RFC 9068 section 4: a signature alone makes no token good.
#[tokio::test]
async fn really_signed_bad_tokens_are_refused() {
    let provider = IdentityProvider::start().await;
    let guard = Guard::of(&provider);
    let es256 = provider.keys().await["keys"][1]["kid"].clone();
    let now = guard.clock.now().0 / 1_000;
    for (claims, header, step) in [
        (json!({}), json!({}), None),
        (json!({"exp": now - 31}), json!({}), Some(Step::Expired)),
        (json!({"exp": null}), json!({}), Some(Step::Times)),
        (json!({"exp": "9999999999"}), json!({}), Some(Step::Times)),
        (json!({"nbf": now + 60}), json!({}), Some(Step::Early)),
        (json!({"iat": now + 60}), json!({}), Some(Step::Early)),
        (
            json!({"iss": "https://evil.example"}),
            json!({}),
            Some(Step::Issuer),
        ),
        (json!({"aud": null}), json!({}), Some(Step::Audience)),
        (
            json!({"aud": format!("{RESOURCE}/")}),
            json!({}),
            Some(Step::Audience),
        ),
        (json!({"aud": [UPSTREAM]}), json!({}), Some(Step::Audience)),
        (json!({"aud": [UPSTREAM, RESOURCE]}), json!({}), None),
        (json!({"sub": null}), json!({}), Some(Step::Subject)),
        (json!({"scope": "\"all\""}), json!({}), Some(Step::Scopes)),
        (json!({"cnf": {"jkt": "x"}}), json!({}), Some(Step::Bound)),
        (json!({}), json!({"typ": "JWT"}), Some(Step::Type)),
        (
            json!({}),
            json!({"typ": "oauth-id-jag+jwt"}),
            Some(Step::Type),
        ),
        (json!({}), json!({"kid": "unknown"}), Some(Step::Key)),
        (json!({}), json!({"kid": es256}), Some(Step::Algorithm)),
    ] {
        let mut all = json!({"sub": "t1.alice", "aud": RESOURCE});
        for (name, value) in claims.as_object().unwrap() {
            all[name] = value.clone();
        }
        let token = provider
            .mint(&json!({"claims": all, "header": header}))
            .await;
        assert_eq!(guard.refused(&token).await, step, "{claims} {header}");
    }
}

/// RFC 8725 section 2.1: nobody signs with what the provider publishes.
#[tokio::test]
async fn unsigned_and_self_signed_tokens_are_refused() {
    let provider = IdentityProvider::start().await;
    let guard = Guard::of(&provider);
    let good = lasting(&provider).await;
    let [_, claims, _] = good.split('.').collect::<Vec<_>>()[..] else {
        panic!("{good}");
    };
    let key = provider.keys().await["keys"][0].clone();
    let head = |alg: &str| {
        let header = json!({"alg": alg, "kid": key["kid"], "typ": "at+jwt"});
        format!("{}.{claims}", URL_SAFE_NO_PAD.encode(header.to_string()))
    };
    let secret = |text: &str| hmac::Key::new(hmac::HMAC_SHA256, text.as_bytes());
    let modulus = key["n"].as_str().unwrap();
    let by_hmac = |text: &str| {
        let head = head("HS256");
        let tag = hmac::sign(&secret(text), head.as_bytes());
        format!("{head}.{}", URL_SAFE_NO_PAD.encode(tag))
    };
    for (token, step) in [
        (format!("{}.", head("none")), Step::Algorithm),
        (by_hmac(modulus), Step::Algorithm),
        (by_hmac(&key.to_string()), Step::Algorithm),
        (format!("{}.", head("RS256")), Step::Signature),
        (format!("{}.AAAA", head("RS256")), Step::Signature),
    ] {
        assert_eq!(guard.refused(&token).await, Some(step), "{token}");
    }
    assert_eq!(guard.refused(&good).await, None);
}

/// Fault 13, overlap: nobody is refused.
#[tokio::test]
async fn new_keys_beside_old_ones_refuse_nobody() {
    let provider = IdentityProvider::start().await;
    let guard = Guard::of(&provider);
    let mut tokens = Vec::new();
    for _ in 0..3 {
        tokens.push(lasting(&provider).await);
        for token in &tokens {
            assert_eq!(guard.refused(token).await, None);
        }
        provider.rotate(OldKeys::Kept).await;
        guard.advance(30);
    }
}

/// Fault 13, without overlap: what the old keys signed is good for a minute at most.
#[tokio::test]
async fn new_keys_in_place_of_old_ones_end_old_tokens() {
    let provider = IdentityProvider::start().await;
    let guard = Guard::of(&provider);
    let old = lasting(&provider).await;
    assert_eq!(guard.refused(&old).await, None);

    provider.rotate(OldKeys::Dropped).await;
    assert_eq!(guard.refused(&lasting(&provider).await).await, None);
    assert_eq!(guard.refused(&old).await, Some(Step::Key));

    let kept = lasting(&provider).await;
    assert_eq!(guard.refused(&kept).await, None);
    provider.rotate(OldKeys::Dropped).await;
    guard.advance(60);
    assert_eq!(guard.refused(&kept).await, Some(Step::Key));
}

/// Fault 13: an outage is bridged with the keys that are known, for an hour.
#[tokio::test]
async fn an_outage_is_bridged_for_an_hour_and_then_admitted() {
    let provider = IdentityProvider::start().await;
    let guard = Guard::of(&provider);
    let token = lasting(&provider).await;
    assert_eq!(guard.refused(&token).await, None);
    for fault in [Fault::Down, Fault::Garbage, Fault::Slow] {
        provider.fault(fault).await;
        guard.advance(19 * 60);
        assert_eq!(guard.refused(&token).await, None, "{fault:?}");
    }
    provider.fault(Fault::Down).await;
    guard.advance(3 * 60 + 1);
    assert_eq!(guard.refused(&token).await, Some(Step::Unreachable));

    provider.fault(Fault::None).await;
    guard.advance(30);
    assert_eq!(guard.refused(&token).await, None);
}

/// Fault 13: whoever sends tokens with invented keys sends no requests to the provider.
#[tokio::test]
async fn a_flood_of_unknown_keys_asks_once_in_half_a_minute() {
    let provider = IdentityProvider::start().await;
    let guard = Guard::of(&provider);
    let good = lasting(&provider).await;
    assert_eq!(guard.refused(&good).await, None);
    let [head, rest] = good.splitn(2, '.').collect::<Vec<_>>()[..] else {
        panic!("{good}");
    };
    let header: Value = serde_json::from_slice(&URL_SAFE_NO_PAD.decode(head).unwrap()).unwrap();
    let before = provider.keys_asked().await;
    for second in 0..60 {
        for id in 0..20 {
            let mut header = header.clone();
            header["kid"] = json!(format!("{second} {id}"));
            let token = format!("{}.{rest}", URL_SAFE_NO_PAD.encode(header.to_string()));
            assert_eq!(guard.refused(&token).await, Some(Step::Key));
        }
        assert_eq!(guard.refused(&good).await, None);
        guard.advance(1);
    }
    assert_eq!(provider.keys_asked().await - before, 2);
}

/// RFC 7662: a token only its issuer understands is what that says, and a revoked one ends soon.
#[tokio::test]
async fn an_opaque_token_is_good_until_it_is_revoked() {
    let provider = IdentityProvider::start().await;
    let guard = Guard::asking(&provider, GATEWAY.1);
    let resource = provider.opaque_resource();
    let token = provider.service_token(&resource, "mcp:tools").await;
    let verified = guard.issuers.verify(&token, RESOURCE).await.unwrap();
    assert_eq!(verified.client.as_deref(), Some("service"));
    assert!(verified.scopes.contains("mcp:tools"));

    provider.revoke(&token).await;
    guard.advance(60);
    assert_eq!(guard.refused(&token).await, Some(Step::Inactive));
    assert_eq!(guard.refused("invented").await, Some(Step::Inactive));
}

/// Whoever cannot ask does not know, and says so.
#[tokio::test]
async fn an_opaque_token_is_not_blamed_for_an_outage() {
    let provider = IdentityProvider::start().await;
    let resource = provider.opaque_resource();
    let token = provider.service_token(&resource, "mcp:tools").await;
    let stranger = Guard::asking(&provider, "another secret");
    assert_eq!(stranger.refused(&token).await, Some(Step::Unreachable));

    let guard = Guard::asking(&provider, GATEWAY.1);
    for fault in [Fault::Down, Fault::Garbage, Fault::Slow] {
        provider.fault(fault).await;
        assert_eq!(
            guard.refused(&token).await,
            Some(Step::Unreachable),
            "{fault:?}"
        );
    }
    provider.fault(Fault::None).await;
    assert_eq!(guard.refused(&token).await, None);
}

/// RFC 8414 section 3.3: metadata that name another issuer are not believed.
#[tokio::test]
async fn an_issuer_is_what_it_says_letter_by_letter() {
    let provider = IdentityProvider::start().await;
    let issuer = format!("{}/", provider.issuer());
    let guard = Guard::trusting(vec![IssuerConfig::new(&issuer, "t1")]);
    assert_eq!(
        guard.refused(&lasting(&provider).await).await,
        Some(Step::Issuer)
    );
    let claims = json!({"iss": issuer, "sub": "t1.alice", "aud": RESOURCE});
    let token = provider.mint(&json!({"claims": claims})).await;
    assert_eq!(guard.refused(&token).await, Some(Step::Unreachable));
}

/// A provider that is gone altogether.
#[tokio::test]
async fn nothing_is_known_of_tokens_whose_issuer_never_answered() {
    let mut provider = IdentityProvider::start().await;
    let guard = Guard::of(&provider);
    let token = lasting(&provider).await;
    provider.stop().await;
    assert_eq!(guard.refused(&token).await, Some(Step::Unreachable));
}
