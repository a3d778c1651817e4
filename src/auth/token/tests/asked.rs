//! Tokens that only their issuer understands.

use super::issuer::Stage;
use super::*;

const TOKEN: &str = "an-opaque-token";

async fn stage() -> Stage {
    Stage::with(&[&ES256], |config| {
        config.introspection = Some(Introspection {
            endpoint: format!("{}/introspect", config.issuer).parse().unwrap(),
            client_id: "us".to_owned(),
            secret: "s:cret".to_owned().into(),
        });
    })
    .await
}

/// What an issuer says of a good token.
fn said(stage: &Stage) -> Value {
    but(
        stage.good(),
        json!({"active": true, "token_type": "Bearer"}),
    )
}

fn questions(stage: &Stage) -> usize {
    stage.asked("POST /introspect")
}

#[tokio::test]
async fn a_token_is_what_its_issuer_says() {
    let stage = stage().await;
    stage.say(said(&stage));
    let verified = stage.verify(TOKEN).await.unwrap();
    assert_eq!((&*verified.tenant, &*verified.subject), ("t1", "alice"));
    assert_eq!(verified.expires, Timestamp((START + 300) * 1_000));
}

#[tokio::test]
async fn an_issuer_may_say_of_a_token_that_it_is_no_good() {
    let stage = stage().await;
    let refusals = [
        (json!({"active": false}), Step::Inactive),
        (json!({"active": "true"}), Step::Inactive),
        (json!({"active": null}), Step::Inactive),
        (json!({"token_type": "DPoP"}), Step::Type),
        (json!({"token_type": 1}), Step::Type),
        (json!({"iss": "https://evil.example"}), Step::Issuer),
        (json!({"aud": "https://other.example"}), Step::Audience),
        (json!({"aud": null}), Step::Audience),
        (json!({"exp": START - 30}), Step::Expired),
        (json!({"exp": "never"}), Step::Times),
        (json!({"nbf": START + 31}), Step::Early),
        (json!({"sub": null, "client_id": null}), Step::Subject),
        (json!({"scope": 1}), Step::Scopes),
        (json!({"cnf": {"jkt": "x"}}), Step::Bound),
    ];
    for (at, (members, step)) in refusals.into_iter().enumerate() {
        stage.say(but(said(&stage), members.clone()));
        let token = format!("{TOKEN}-{at}");
        assert_eq!(stage.refused(&token).await, Some(step), "{members}");
    }
}

/// A revoked token is good for half a minute more at most, and an expired one not at all.
#[tokio::test]
async fn an_answer_is_kept_for_half_a_minute_and_never_beyond_the_token() {
    let stage = stage().await;
    stage.say(but(said(&stage), json!({"exp": START + 60})));
    for _ in 0..3 {
        assert_eq!(stage.refused(TOKEN).await, None);
    }
    stage.advance(29);
    assert_eq!(stage.refused(TOKEN).await, None);
    assert_eq!(questions(&stage), 1);
    stage.advance(1);
    assert_eq!(stage.refused(TOKEN).await, None);
    assert_eq!(questions(&stage), 2);
    stage.advance(30);
    stage.say(json!({"active": false}));
    assert_eq!(stage.refused(TOKEN).await, Some(Step::Inactive));
    assert_eq!(questions(&stage), 3);
}

#[tokio::test]
async fn a_bad_answer_is_kept_too() {
    let stage = stage().await;
    stage.say(json!({"active": false}));
    for _ in 0..3 {
        assert_eq!(stage.refused(TOKEN).await, Some(Step::Inactive));
    }
    assert_eq!(questions(&stage), 1);
    stage.advance(30);
    assert_eq!(stage.refused(TOKEN).await, Some(Step::Inactive));
    assert_eq!(questions(&stage), 2);
}

/// What is not said is asked again soon.
#[tokio::test]
async fn a_token_without_an_end_is_good_until_it_is_asked_about_again() {
    let stage = stage().await;
    stage.say(but(said(&stage), json!({"exp": null})));
    let verified = stage.verify(TOKEN).await.unwrap();
    assert_eq!(verified.expires, Timestamp((START + 30) * 1_000));
}

#[tokio::test]
async fn an_issuer_that_does_not_answer_is_not_the_tokens_fault() {
    let stage = stage().await;
    for said in [json!(null), json!("garbage"), json!([true])] {
        stage.say(said.clone());
        assert_eq!(
            stage.refused(TOKEN).await,
            Some(Step::Unreachable),
            "{said}"
        );
    }
    stage.say(said(&stage));
    assert_eq!(stage.refused(TOKEN).await, None, "nothing of it was kept");
}

/// What says by its form that it is signed is told to nobody.
#[tokio::test]
async fn nobody_is_asked_about_a_signed_token() {
    let stage = stage().await;
    stage.say(said(&stage));
    let token = ES256.sign(&ES256.header(), &stage.good());
    assert_eq!(stage.refused(&token).await, None);
    let forged = EDDSA.sign(&ES256.header(), &stage.good());
    assert_eq!(stage.refused(&forged).await, Some(Step::Signature));
    assert_eq!(stage.refused("a.b.c").await, Some(Step::Encoding));
    assert_eq!(questions(&stage), 0);
}
