//! Erasure, export and retention.

use serde_json::json;

use super::*;

#[tokio::test]
async fn who_is_erased_is_gone_and_the_chain_still_holds() {
    let place = Place::new();
    let audit = place.open();
    call(&audit, "ann").await.unwrap();
    call(&audit, "bob").await.unwrap();
    let export = |user: &str| place.archive().export_subject("acme", user, START).unwrap();
    assert_eq!(export("ann").records, 1);
    let reference = audit.erase("acme", "ann").await.unwrap().unwrap();
    assert_eq!(
        audit.erase("acme", "ann").await.unwrap(),
        None,
        "there is nothing left"
    );

    assert_eq!((export("ann").records, export("bob").records), (0, 1));
    let erased = place.query(&Query {
        kinds: vec!["erased".to_owned()],
        ..Query::default()
    });
    assert_eq!(erased[0]["reference"], *reference);
    let users: Vec<_> = place
        .calls()
        .iter()
        .map(|call| call.get("user").cloned())
        .collect();
    assert_eq!(users, [None, Some(json!("bob"))]);
    call(&audit, "ann").await.unwrap();
    audit.close().await;
    assert_eq!(
        export("ann").records,
        1,
        "what came after is known again, and only that"
    );
    let verified = place.verify();
    assert_eq!((verified.problems, verified.erased), (vec![], 2));
    assert!(!contains(&place.all_bytes(), "\"ann\""));
}

/// What a call comes to is recorded, and of whose it was nothing any more.
#[tokio::test]
async fn a_call_that_runs_while_its_user_is_erased_ends_as_nobodys() {
    let place = Place::new();
    let audit = place.open();
    let ann = caller("ann");
    let input = RawJson::empty_object();
    let running = audit.begin(&begin(&ann, &input)).await.unwrap();
    assert!(audit.erase("acme", "ann").await.unwrap().is_some());
    running.end(&End::of(Ending::Ok)).await.unwrap();
    audit.close().await;
    let export = place.archive().export_subject("acme", "ann", START);
    assert_eq!(export.unwrap().records, 0);
    assert_eq!(place.outcomes(), ["ok"]);
    assert_eq!(place.problems(), [""; 0]);
}

#[tokio::test]
async fn an_export_is_everything_about_one_person() {
    let place = Place::new();
    let audit = place.open();
    call(&audit, "ann").await.unwrap();
    call(&audit, "bob").await.unwrap();
    let ann = caller("ann");
    let what = What::SessionOpened {
        endpoint: "main".to_owned(),
    };
    audit.note(&Event::by(party(&ann), what)).await.unwrap();
    audit.close().await;
    let export = place
        .archive()
        .export_subject("acme", "ann", START)
        .unwrap();
    let document = export.document;
    assert_eq!(document["format"], "switchboard audit export 1");
    let records = document["records"].as_array().unwrap();
    assert_eq!(records.len(), 2);
    assert!(records.iter().all(|record| record["user"] == "ann"));
    assert_eq!(records[0]["input"], json!({"text": "hello"}));
}

#[tokio::test]
async fn a_bundle_shows_how_controls_are_kept() {
    let place = Place::new();
    let audit = place.open();
    for what in [
        What::AuthenticationFailed {
            endpoint: "main".to_owned(),
            reason: "expired".to_owned(),
        },
        What::PolicyChanged {
            version: "2".to_owned(),
            previous: "1".to_owned(),
        },
    ] {
        audit.note(&Event::of("acme", what)).await.unwrap();
    }
    audit.close().await;
    let bundle = place
        .archive()
        .export_controls(&Query::default(), START)
        .unwrap();
    assert_eq!(bundle.records, 2);
    assert_eq!(bundle.document["verified"]["problems"], json!([]));
    let controls = bundle.document["controls"].as_array().unwrap();
    assert_eq!(controls[0]["records"][0]["reason"], "expired");
    assert_eq!(controls[3]["records"][0]["version"], "2");
}

#[tokio::test]
async fn what_is_too_old_goes_and_leaves_a_signed_mark() {
    let place = Place::new();
    let audit = place.open();
    call(&audit, "ann").await.unwrap();
    place.clock.advance(DAY * 32);
    audit.retain().await;
    assert_eq!(place.calls()[0].get("input"), None, "payloads go first");
    assert_eq!(place.calls()[0]["user"], "ann");
    call(&audit, "ann").await.unwrap();
    place.clock.advance(DAY * 370);
    audit.retain().await;
    assert_eq!(place.calls().len(), 1, "the first segment is gone");
    assert_eq!(place.problems(), [""; 0]);
    let runs = place.query(&Query {
        kinds: vec!["retention_run".to_owned()],
        ..Query::default()
    });
    let first_day = START.0 / 86_400_000;
    assert_eq!(runs[0]["payload_days"], json!([first_day]));
    assert_eq!(runs[1]["segments"], json!(["calls/1"]));
    audit.close().await;
    // Only what we say ourselves is believed to be gone.
    let id = TrailId {
        tenant: "acme".into(),
        trail: Trail::Calls,
    };
    let directory = layout::trail_directory(&place.config.places.checkpoints, &id);
    fs::remove_file(layout::file(&directory, 1, Part::Gone)).unwrap();
    assert_eq!(place.verify().problems[0].at, Some((Trail::Calls, 1)));
}

/// What was erased is told by the records of security: they are needed while anything was erased in.
#[tokio::test]
async fn what_says_why_a_key_is_gone_stays_as_long_as_the_records_that_need_it() {
    let mut place = Place::new();
    place.config.retention.default.security = DAY * 10;
    place.config.retention.default.metadata = DAY * 100;
    let audit = place.open();
    call(&audit, "ann").await.unwrap();
    audit.erase("acme", "ann").await.unwrap().unwrap();
    for _ in 0..6 {
        place.clock.advance(DAY * 10);
        audit.retain().await;
        call(&audit, "bob").await.unwrap();
        assert_eq!(place.problems(), [""; 0]);
    }
    assert_eq!(
        place.segments(Trail::Security)[0].file_stem().unwrap(),
        "00000000000000000001"
    );
    place.clock.advance(DAY * 60);
    audit.retain().await;
    audit.retain().await;
    assert_ne!(
        place.segments(Trail::Security)[0].file_stem().unwrap(),
        "00000000000000000001"
    );
    audit.close().await;
    assert_eq!(place.problems(), [""; 0]);
}

#[tokio::test]
async fn a_legal_hold_wins() {
    let mut place = Place::new();
    place.config.retention.legal_hold.insert("acme".to_owned());
    let audit = place.open();
    call(&audit, "ann").await.unwrap();
    place.clock.advance(DAY * 1_000);
    audit.retain().await;
    let refused = audit.erase("acme", "ann").await.unwrap_err();
    assert!(matches!(refused, EraseError::Held));
    audit.close().await;
    assert_eq!(place.calls()[0]["input"], json!({"text": "hello"}));
}
