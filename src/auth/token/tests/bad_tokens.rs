//! Every step of the check, with a token that fails at it and at no other.

use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::select;

use super::issuer::Stage;
use super::*;

#[tokio::test]
async fn a_good_token_is_known_for_what_it_says() {
    let stage = Stage::new(&[&ES256, &EDDSA, &RS256, &PS256]).await;
    for signer in [&*ES256, &*EDDSA, &*RS256, &*PS256] {
        let token = signer.sign(&signer.header(), &stage.good());
        let verified = stage.verify(&token).await.unwrap();
        assert_eq!(*verified.issuer, *stage.url);
        assert_eq!(*verified.tenant, *"t1");
        assert_eq!(*verified.subject, *"alice");
        assert_eq!(verified.client.as_deref(), Some("host"));
        let scopes: Vec<_> = verified.scopes.iter().map(|scope| &**scope).collect();
        assert_eq!(scopes, ["mcp:admin", "mcp:tools"]);
        assert_eq!(verified.expires, Timestamp((START + 300) * 1_000));
        assert_eq!(verified.claims["iat"], START);
    }
}

#[tokio::test]
async fn what_is_written_otherwise_is_good_too() {
    let stage = Stage::new(&[&ES256]).await;
    let long_ago = json!({"nbf": 0, "iat": -1.5});
    for claims in [
        json!({"aud": ["https://other.example", AUDIENCE]}),
        json!({"exp": START + 1}),
        // Clocks differ.
        json!({"exp": START - 29}),
        json!({"exp": 1_800_000_000.5}),
        json!({"exp": 1e300}),
        json!({"nbf": START + 30, "iat": START + 30}),
        json!({"iat": null}),
        long_ago,
        json!({"client_id": null, "azp": "host"}),
        json!({"client_id": null, "cid": "host"}),
        json!({"sub": null}),
        json!({"scope": null}),
        json!({"scope": ""}),
        json!({"scope": null, "scp": ["a", "b"]}),
        json!({"nonce": "n", "at_hash": "a"}),
    ] {
        let token = ES256.sign(&ES256.header(), &but(stage.good(), claims.clone()));
        assert_eq!(stage.refused(&token).await, None, "{claims}");
    }
    for header in [
        json!({"typ": "AT+JWT"}),
        json!({"typ": "application/at+jwt"}),
        // There is only one that it can be.
        json!({"kid": null}),
        // What a token brings along is not looked at.
        json!({"jwk": RS256.jwk, "jku": "https://evil.example/jwks", "x5c": ["a"], "x5u": "b"}),
        json!({"b64": false}),
    ] {
        let token = ES256.sign(&but(ES256.header(), header.clone()), &stage.good());
        assert_eq!(stage.refused(&token).await, None, "{header}");
    }
    assert_eq!(
        stage.asked(""),
        2,
        "once for the metadata, once for the keys"
    );
}

#[tokio::test]
async fn a_service_is_its_own_subject() {
    let stage = Stage::new(&[&ES256]).await;
    let claims = but(stage.good(), json!({"sub": null, "client_id": "batch"}));
    let token = ES256.sign(&ES256.header(), &claims);
    assert_eq!(*stage.verify(&token).await.unwrap().subject, *"batch");
}

#[tokio::test]
async fn each_step_refuses_what_fails_at_it() {
    let stage = Stage::new(&[&ES256, &EDDSA]).await;
    for (claims, step) in [
        (json!({"iss": "https://evil.example"}), Step::Issuer),
        (json!({"iss": format!("{}/", stage.url)}), Step::Issuer),
        (json!({"iss": stage.url.to_uppercase()}), Step::Issuer),
        (json!({"iss": [stage.url]}), Step::Issuer),
        (json!({"iss": null}), Step::Issuer),
        (json!({"aud": "https://h.example/mcp/"}), Step::Audience),
        (json!({"aud": "https://h.example"}), Step::Audience),
        (json!({"aud": "https://H.example/mcp"}), Step::Audience),
        (json!({"aud": ["https://other.example"]}), Step::Audience),
        (json!({"aud": [AUDIENCE, 1]}), Step::Audience),
        (
            json!({"aud": {"https://h.example/mcp": true}}),
            Step::Audience,
        ),
        (json!({"aud": []}), Step::Audience),
        (json!({"aud": null}), Step::Audience),
        (json!({"exp": null}), Step::Times),
        (json!({"exp": (START + 300).to_string()}), Step::Times),
        (json!({"exp": true}), Step::Times),
        (json!({"exp": [START + 300]}), Step::Times),
        (json!({"nbf": START.to_string()}), Step::Times),
        (json!({"iat": {}}), Step::Times),
        (json!({"exp": START - 30}), Step::Expired),
        (json!({"exp": 0}), Step::Expired),
        (json!({"exp": -1e300}), Step::Expired),
        (json!({"nbf": START + 31}), Step::Early),
        (json!({"iat": START + 31}), Step::Early),
        (json!({"nbf": 1e300}), Step::Early),
        (json!({"sub": null, "client_id": null}), Step::Subject),
        (json!({"sub": ""}), Step::Subject),
        (json!({"sub": 7}), Step::Subject),
        (json!({"client_id": ["host"]}), Step::Subject),
        (json!({"scope": "a \"b\""}), Step::Scopes),
        (json!({"scope": "a\tb"}), Step::Scopes),
        (json!({"scope": "ä"}), Step::Scopes),
        (json!({"scope": ["a b"]}), Step::Scopes),
        (json!({"scope": [1]}), Step::Scopes),
        (json!({"scope": {"a": true}}), Step::Scopes),
        (json!({"cnf": {"jkt": "x"}}), Step::Bound),
        (json!({"cnf": {"x5t#S256": "x"}}), Step::Bound),
    ] {
        let token = ES256.sign(&ES256.header(), &but(stage.good(), claims.clone()));
        assert_eq!(stage.refused(&token).await, Some(step), "{claims}");
    }
}

#[tokio::test]
async fn a_header_cannot_choose_how_it_is_checked() {
    let stage = Stage::new(&[&ES256, &EDDSA]).await;
    for (header, step) in [
        (json!({"alg": "none"}), Step::Algorithm),
        (json!({"alg": "None"}), Step::Algorithm),
        (json!({"alg": "HS256"}), Step::Algorithm),
        (json!({"alg": "ES384"}), Step::Algorithm),
        (json!({"alg": "es256"}), Step::Algorithm),
        (json!({"alg": ""}), Step::Algorithm),
        (json!({"alg": null}), Step::Algorithm),
        (json!({"alg": ["ES256"]}), Step::Json),
        // Allowed, and not what this key is for.
        (json!({"alg": "EdDSA"}), Step::Algorithm),
        (json!({"alg": "RS256"}), Step::Algorithm),
        (json!({"kid": "d1"}), Step::Algorithm),
        (json!({"kid": "e2"}), Step::Key),
        (json!({"kid": "E1"}), Step::Key),
        (json!({"kid": "../e1"}), Step::Key),
        (json!({"kid": "' OR 1=1 --"}), Step::Key),
        (json!({"kid": null}), Step::Key),
        (json!({"kid": 1}), Step::Json),
        (json!({"crit": ["exp"]}), Step::Critical),
        (json!({"crit": ["b64"], "b64": false}), Step::Critical),
        (json!({"crit": []}), Step::Critical),
        (json!({"typ": null}), Step::Type),
        (json!({"typ": "JWT"}), Step::Type),
        (json!({"typ": "oauth-id-jag+jwt"}), Step::Type),
        (json!({"typ": "logout+jwt"}), Step::Type),
        (json!({"typ": 1}), Step::Json),
    ] {
        let token = ES256.sign(&but(ES256.header(), header.clone()), &stage.good());
        assert_eq!(stage.refused(&token).await, Some(step), "{header}");
    }
    let brought = but(
        EDDSA.header(),
        json!({"kid": "e1", "jwk": EDDSA.jwk, "alg": "ES256"}),
    );
    let token = EDDSA.sign(&brought, &stage.good());
    assert_eq!(stage.refused(&token).await, Some(Step::Signature));
}

/// RFC 8725 section 2.1: what everybody knows of a key must not become the secret to sign with.
#[tokio::test]
async fn a_public_key_is_not_a_secret_to_sign_with() {
    let stage = Stage::new(&[&RS256, &ES256]).await;
    for known in [
        RS256.jwk["n"].as_str().unwrap().to_owned(),
        RS256.jwk.to_string(),
        ES256.jwk["x"].as_str().unwrap().to_owned(),
        String::new(),
    ] {
        let header = but(RS256.header(), json!({"alg": "HS256"}));
        let signed = format!(
            "{}.{}",
            encoded(&header.to_string()),
            encoded(&stage.good().to_string())
        );
        let secret = EncodingKey::from_secret(known.as_bytes());
        let signature = crypto::sign(signed.as_bytes(), &secret, Library::HS256).unwrap();
        let token = format!("{signed}.{signature}");
        assert_eq!(stage.refused(&token).await, Some(Step::Algorithm));
    }
}

#[tokio::test]
async fn what_has_not_the_form_of_a_token_is_none() {
    let stage = Stage::new(&[&ES256]).await;
    let (header, claims) = (ES256.header().to_string(), stage.good().to_string());
    let token = ES256.sign_text(&header, &claims);
    let [head, body, signature] = token.split('.').collect::<Vec<_>>()[..] else {
        panic!("{token}");
    };
    let last = signature.chars().last().unwrap();
    let cut = &signature[..signature.len() - 1];
    for (token, step) in [
        (String::new(), Step::Size),
        ("a.".repeat(TOKEN_BYTES_MAX), Step::Size),
        ("a".to_owned(), Step::Parts),
        (format!("{head}.{body}"), Step::Parts),
        (format!("{token}."), Step::Parts),
        (format!(".{token}"), Step::Parts),
        (format!("{token}.{signature}"), Step::Parts),
        ("..".to_owned(), Step::Json),
        (format!("{head}.{body}."), Step::Signature),
        (format!("{head}=.{body}.{signature}"), Step::Encoding),
        (format!("{head}.{body}.{signature}=="), Step::Encoding),
        (format!("{head}.{body}.{signature}\n"), Step::Encoding),
        (format!(" {token}"), Step::Encoding),
        (
            format!("{head}.{body}.{}", signature.replace(last, "+")),
            Step::Encoding,
        ),
        // 64 bytes leave two bits over, and they are nothing.
        (
            format!("{head}.{body}.{cut}{}", if last == 'A' { 'Q' } else { 'A' }),
            Step::Signature,
        ),
        (
            format!("{head}.{body}.{cut}{}", char::from(last as u8 + 1)),
            Step::Encoding,
        ),
        (ES256.sign_text("", &claims), Step::Json),
        (ES256.sign_text("[]", &claims), Step::Json),
        (ES256.sign_text("null", &claims), Step::Json),
        (
            ES256.sign_text(&format!("{header}{header}"), &claims),
            Step::Json,
        ),
        (ES256.sign_text(&header, "[]"), Step::Json),
        (ES256.sign_text(&header, "\"alice\""), Step::Json),
        (
            ES256.sign_text(&header, &claims[..claims.len() - 1]),
            Step::Json,
        ),
        (
            ES256.sign_text(&header, &format!("{}1{}", "[".repeat(99), "]".repeat(99))),
            Step::Json,
        ),
        (ES256.sign_text(&header, "{\"exp\":1e999}"), Step::Json),
    ] {
        assert_eq!(stage.refused(&token).await, Some(step), "{token}");
    }
    let large = but(stage.good(), json!({"pad": "x".repeat(TOKEN_BYTES_MAX)}));
    let large = ES256.sign(&ES256.header(), &large);
    assert_eq!(stage.refused(&large).await, Some(Step::Size));
    assert_eq!(stage.refused(&token).await, None);
}

/// Decoders disagree which of two members counts, so what one of them checked another might not use.
#[tokio::test]
async fn nothing_may_be_said_twice() {
    let stage = Stage::new(&[&ES256]).await;
    let (header, claims) = (ES256.header().to_string(), stage.good().to_string());
    let twice = |object: &str, member: &str| object.replacen('{', &format!("{{{member},"), 1);
    for (header, claims) in [
        (twice(&header, r#""alg":"none""#), claims.clone()),
        (twice(&header, r#""\u0061lg":"ES256""#), claims.clone()),
        (twice(&header, r#""kid":"e2""#), claims.clone()),
        (header.clone(), twice(&claims, r#""sub":"root""#)),
        (header.clone(), twice(&claims, r#""s\u0075b":"alice""#)),
        (header.clone(), twice(&claims, r#""exp":9999999999"#)),
        (
            header.clone(),
            twice(&claims, r#""act":{"sub":"a","sub":"b"}"#),
        ),
    ] {
        let token = ES256.sign_text(&header, &claims);
        assert_eq!(
            stage.refused(&token).await,
            Some(Step::Json),
            "{header} {claims}"
        );
    }
}

#[tokio::test]
async fn a_lenient_check_still_tells_other_tokens_apart() {
    let stage = Stage::with(&[&ES256], |config| config.kind = Kind::Lenient).await;
    for (typ, claims, step) in [
        (json!(null), json!({}), None),
        (json!("JWT"), json!({}), None),
        (json!("at+jwt"), json!({}), None),
        (
            json!("jwt"),
            json!({"typ": "Bearer", "token_use": "access"}),
            None,
        ),
        (json!("JWT"), json!({"nonce": "n"}), Some(Step::Type)),
        (json!("JWT"), json!({"at_hash": "a"}), Some(Step::Type)),
        (json!(null), json!({"c_hash": "a"}), Some(Step::Type)),
        (json!(null), json!({"typ": "ID"}), Some(Step::Type)),
        (json!(null), json!({"typ": "Refresh"}), Some(Step::Type)),
        (json!(null), json!({"typ": 1}), Some(Step::Type)),
        (json!("JWT"), json!({"token_use": "id"}), Some(Step::Type)),
        (json!("oauth-id-jag+jwt"), json!({}), Some(Step::Type)),
        (json!("secevent+jwt"), json!({}), Some(Step::Type)),
        (json!("dpop+jwt"), json!({}), Some(Step::Type)),
    ] {
        let header = but(ES256.header(), json!({"typ": typ}));
        let token = ES256.sign(&header, &but(stage.good(), claims.clone()));
        assert_eq!(stage.refused(&token).await, step, "{typ} {claims}");
    }
}

#[tokio::test]
async fn an_issuer_signs_only_as_it_is_configured_to() {
    let only_rsa = |config: &mut IssuerConfig| config.algorithms = vec![Algorithm::Rs256];
    let stage = Stage::with(&[&ES256, &RS256], only_rsa).await;
    let token = ES256.sign(&ES256.header(), &stage.good());
    assert_eq!(stage.refused(&token).await, Some(Step::Algorithm));
    let token = RS256.sign(&RS256.header(), &stage.good());
    assert_eq!(stage.refused(&token).await, None);
}

#[tokio::test]
async fn an_issuer_may_have_its_own_name_for_us() {
    let named = |config: &mut IssuerConfig| config.audience = Some("api://switchboard".into());
    let stage = Stage::with(&[&ES256], named).await;
    let token = ES256.sign(&ES256.header(), &stage.good());
    assert_eq!(stage.refused(&token).await, Some(Step::Audience));
    let claims = but(stage.good(), json!({"aud": "api://switchboard"}));
    let token = ES256.sign(&ES256.header(), &claims);
    assert_eq!(stage.refused(&token).await, None);
}

/// One token of one moment is good for one endpoint, however often it was good there.
#[tokio::test]
async fn a_token_that_was_good_elsewhere_is_checked_again() {
    let stage = Stage::new(&[&ES256]).await;
    let token = ES256.sign(&ES256.header(), &stage.good());
    assert_eq!(stage.refused(&token).await, None);
    let elsewhere = stage
        .issuers
        .verify(&token, "https://h.example/other")
        .await;
    assert_eq!(elsewhere.unwrap_err(), Refusal::of(Step::Audience));
}

/// What headers, claims and tokens are made of, rightly and wrongly.
const HEADER: &[&str] = &[
    "}",
    ",",
    ",\"kid\":\"a\"",
    ",\"kid\":1",
    ",\"typ\":\"at+jwt\"",
    ",\"crit\":[]",
    ",\"alg\":\"none\"",
    "\\",
    "ä",
];
const CLAIMS: &[&str] = &[
    "}",
    "\"a\":1",
    "\"b\":[1e9]",
    "\"\\u0061\":{}",
    ",",
    ",\"c\":\"\\ud800\"",
    ",\"d\":1e999",
    "{",
    "\0",
    " ",
];
const TEXT: &[&str] = &["AA", "A", "_-", ".", "..", "=", "+", " ", "ä", "ZZZZ"];

proptest! {
    #![proptest_config(ProptestConfig::with_cases(100_000))]

    /// Whatever is taken for a token has one spelling, and says each thing once.
    #[test]
    fn no_text_breaks_the_parser(
        header in vec(select(HEADER), 0..5),
        claims in vec(select(CLAIMS), 0..5),
        tail in vec(select(TEXT), 0..6),
        is_plain: bool,
    ) {
        let tail = tail.concat();
        let token = if is_plain {
            tail
        } else {
            let header = format!("{{\"alg\":\"ES256\"{}", header.concat());
            let claims = format!("{{{}", claims.concat());
            format!("{}.{}.{tail}", encoded(&header), encoded(&claims))
        };
        if let Ok(parsed) = jwt::parse(&token) {
            prop_assert!(jwt::is_signed(&token));
            prop_assert_eq!(format!("{}.{}", parsed.signed, parsed.signature), &*token);
            let (head, body) = parsed.signed.split_once('.').unwrap();
            for part in [head, body, parsed.signature] {
                let bytes = URL_SAFE_NO_PAD.decode(part).unwrap();
                prop_assert_eq!(URL_SAFE_NO_PAD.encode(bytes), part);
            }
            let said: std::collections::BTreeMap<String, Value> =
                serde_json::from_slice(&URL_SAFE_NO_PAD.decode(body).unwrap()).unwrap();
            prop_assert!(said.iter().eq(parsed.claims.iter()));
        }
    }

}

proptest! {
    // A signature each.
    #![proptest_config(ProptestConfig::with_cases(10_000))]

    /// Nobody who only holds a key's public half, or a good token, can make another.
    #[test]
    fn no_changed_letter_survives(at in 0_usize..512, letter in "[ -~]") {
        static TOKEN: LazyLock<(KeySet, String)> = LazyLock::new(|| {
            let keys = json!({"keys": [EDDSA.jwk]}).to_string();
            let token = EDDSA.sign(&EDDSA.header(), &good("https://a.example"));
            (KeySet::read(keys.as_bytes()).unwrap(), token)
        });
        let (keys, token) = &*TOKEN;
        let at = at % token.len();
        let changed = format!("{}{letter}{}", &token[..at], &token[at + 1..]);
        let is_good = jwt::parse(&changed).is_ok_and(|parsed| keys.check(&parsed).is_ok());
        prop_assert_eq!(is_good, changed == *token);
    }
}
