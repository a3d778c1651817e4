//! Keys that come and go, and an issuer that does.

use std::time::Duration;

use super::issuer::{Answer, Stage};
use super::*;

/// Another key of the same kind.
fn another(id: &str) -> Signer {
    Signer::generate(Library::ES256, id)
}

/// A good token that outlives these stories.
fn lasting(stage: &Stage, signer: &Signer) -> String {
    let claims = but(stage.good(), json!({"exp": START + 1_000_000}));
    signer.sign(&signer.header(), &claims)
}

/// Lets go on what goes on beside requests, until the issuer was asked so often.
async fn asked(stage: &Stage, fetches: usize) {
    while stage.fetches() < fetches {
        tokio::task::yield_now().await;
    }
}

#[tokio::test]
async fn all_who_come_at_once_wait_for_one_answer() {
    let stage = Stage::new(&[&ES256]).await;
    let tokens: Vec<_> = (0..50)
        .map(|id| {
            let claims = but(stage.good(), json!({"jti": id.to_string()}));
            ES256.sign(&ES256.header(), &claims)
        })
        .collect();
    let verified = tokens.iter().map(|token| stage.verify(token));
    let verified = futures_util::future::join_all(verified).await;
    assert!(verified.iter().all(Result::is_ok));
    assert_eq!(stage.fetches(), 1);
}

#[tokio::test]
async fn who_goes_away_takes_the_answer_from_nobody() {
    let stage = Stage::new(&[&ES256]).await;
    let token = lasting(&stage, &ES256);
    let mut impatient = Box::pin(stage.verify(&token));
    assert!(futures_util::poll!(&mut impatient).is_pending());
    drop(impatient);
    assert_eq!(stage.refused(&token).await, None);
    assert_eq!(stage.fetches(), 1);
}

/// Fault 13: nobody is refused while both keys are published.
#[tokio::test]
async fn a_new_key_is_found_and_the_old_one_stays_good() {
    let (stage, new) = (Stage::new(&[&ES256]).await, another("e2"));
    let old_token = lasting(&stage, &ES256);
    assert_eq!(stage.refused(&old_token).await, None);
    stage.publish(&[&new, &ES256]);
    stage.advance(1);
    assert_eq!(stage.refused(&lasting(&stage, &new)).await, None);
    assert_eq!(stage.refused(&old_token).await, None);
    assert_eq!(stage.fetches(), 2);
}

/// Within a minute, also for a token that was good a moment ago.
#[tokio::test]
async fn a_withdrawn_key_is_good_no_longer() {
    let (stage, new) = (Stage::new(&[&ES256]).await, another("e2"));
    let token = lasting(&stage, &ES256);
    assert_eq!(stage.refused(&token).await, None);
    stage.publish(&[&new]);
    stage.advance(44);
    assert_eq!(stage.refused(&token).await, None, "nobody was asked");
    assert_eq!(stage.fetches(), 1);
    stage.advance(16);
    assert_eq!(stage.refused(&token).await, Some(Step::Key));
    assert_eq!(stage.refused(&lasting(&stage, &new)).await, None);
}

#[tokio::test]
async fn keys_are_asked_for_beside_requests_before_they_are_old() {
    let stage = Stage::new(&[&ES256]).await;
    let token = lasting(&stage, &ES256);
    assert_eq!(stage.refused(&token).await, None);
    stage.answer(Answer::Silence);
    stage.advance(45);
    assert_eq!(stage.refused(&token).await, None, "it does not wait");
    asked(&stage, 2).await;
}

/// Whoever sends tokens must not be able to send requests to the issuer with them.
#[tokio::test]
async fn a_flood_of_unknown_keys_is_one_question_in_half_a_minute() {
    let stage = Stage::new(&[&ES256]).await;
    assert_eq!(stage.refused(&lasting(&stage, &ES256)).await, None);
    let flood = async |stage: &Stage| {
        for id in 0..200 {
            let header = but(ES256.header(), json!({"kid": format!("unknown {id}")}));
            let token = ES256.sign(&header, &stage.good());
            assert_eq!(stage.refused(&token).await, Some(Step::Key));
        }
    };
    flood(&stage).await;
    assert_eq!(stage.fetches(), 2);
    stage.advance(29);
    flood(&stage).await;
    assert_eq!(stage.fetches(), 2);
    stage.advance(1);
    flood(&stage).await;
    assert_eq!(stage.fetches(), 3);
}

#[tokio::test]
async fn an_outage_is_bridged_and_then_admitted() {
    let stage = Stage::new(&[&ES256]).await;
    let token = lasting(&stage, &ES256);
    assert_eq!(stage.refused(&token).await, None);
    for answer in [
        Answer::Down,
        Answer::With("{\"keys\":[".to_owned()),
        Answer::With("<html>".to_owned()),
        Answer::With("{\"keys\":[]}".to_owned()),
        Answer::With(json!({"keys": [{"kty": "oct", "k": "AAAA"}]}).to_string()),
    ] {
        stage.answer(answer);
        stage.advance(10 * 60);
        assert_eq!(stage.refused(&token).await, None);
    }
    let unknown = but(ES256.header(), json!({"kid": "e2"}));
    let unknown = ES256.sign(&unknown, &stage.good());
    assert_eq!(
        stage.refused(&unknown).await,
        Some(Step::Unreachable),
        "nobody can know"
    );
    stage.advance(10 * 60 + 1);
    assert_eq!(stage.refused(&token).await, Some(Step::Unreachable));

    stage.publish(&[&ES256]);
    assert_eq!(
        stage.refused(&token).await,
        Some(Step::Unreachable),
        "it was just asked"
    );
    stage.advance(5);
    assert_eq!(stage.refused(&token).await, None);
}

/// An issuer that is down is asked as rarely as one that is flooded, and nobody waits for it.
#[tokio::test]
async fn an_issuer_that_is_down_is_left_alone() {
    let stage = Stage::new(&[&ES256]).await;
    let token = lasting(&stage, &ES256);
    assert_eq!(stage.refused(&token).await, None);
    stage.answer(Answer::Down);
    stage.advance(60);
    for _ in 0..100 {
        assert_eq!(stage.refused(&token).await, None);
    }
    assert_eq!(stage.fetches(), 2);
    stage.answer(Answer::Silence);
    stage.advance(30);
    for _ in 0..100 {
        assert_eq!(stage.refused(&token).await, None);
    }
    asked(&stage, 3).await;
}

#[tokio::test]
async fn who_comes_before_the_issuer_is_told_when_to_come_back() {
    let stage = Stage::new(&[]).await;
    stage.answer(Answer::Down);
    let token = lasting(&stage, &ES256);
    for _ in 0..10 {
        let refusal = stage.verify(&token).await.unwrap_err();
        let Retry::After(rest) = refusal.retry else {
            panic!("{refusal:?}");
        };
        assert_eq!(refusal.step, Step::Unreachable);
        assert_eq!(rest, Duration::from_secs(5));
    }
    assert_eq!(stage.fetches(), 1);
    stage.publish(&[&ES256]);
    stage.advance(5);
    assert_eq!(stage.refused(&token).await, None);
}

#[tokio::test]
async fn a_set_is_read_for_the_keys_that_can_be_used() {
    let weak = json!({"kty": "RSA", "kid": "r1", "e": "AQAB", "n": encoded(&"x".repeat(255))});
    let with = |members: Value| json!({"keys": [but(ES256.jwk.clone(), members)]});
    for (document, is_usable) in [
        (with(json!({})), true),
        (with(json!({"alg": null})), true),
        (with(json!({"use": null})), true),
        (with(json!({"x5c": ["a"], "more": {"a": 1}})), true),
        (json!({"keys": [1, {"kty": "new"}, weak, ES256.jwk]}), true),
        (with(json!({"use": "enc"})), false),
        (with(json!({"key_ops": ["sign"]})), false),
        (with(json!({"alg": "ES384"})), false),
        (with(json!({"alg": "RS256"})), false),
        (with(json!({"alg": "HS256"})), false),
        (with(json!({"crv": "P-384"})), false),
        (with(json!({"kty": "oct", "k": "AAAA"})), false),
        (json!({"keys": [weak]}), false),
        (json!({"keys": {}}), false),
        (json!([ES256.jwk]), false),
        (json!({}), false),
    ] {
        let read = KeySet::read(document.to_string().as_bytes());
        assert_eq!(read.is_ok(), is_usable, "{document} {read:?}");
    }
}
