//! What stands in records, how they are found again, and that every call has an end.

use serde_json::json;

use super::*;

#[tokio::test]
async fn a_call_is_recorded_with_everything_there_is_to_know() {
    let place = Place::new();
    let audit = place.open();
    let ann = caller("ann");
    let input = RawJson::from_valid(r#"{"query":"x","password":"hunter2"}"#);
    let output = RawJson::from_valid(r#"{"content":[{"type":"text","text":"bob@example.org"}]}"#);
    let begun = audit.begin(&begin(&ann, &input)).await.unwrap();
    let id = begun.id().to_string();
    place.clock.advance(Duration::from_millis(40));
    let end = End {
        ending: Ending::ToolError,
        code: Some(-32_603),
        output: Some(&output),
        error: Some("no such row for ann@example.org"),
        upstream: None,
        bytes: 77,
    };
    begun.end(&end).await.unwrap();
    audit.close().await;

    let calls = place.calls();
    let [call] = calls.as_slice() else {
        panic!("one call, not {calls:?}")
    };
    for (name, expected) in [
        ("at", json!("2026-07-28T00:00:00.000Z")),
        ("ended_at", json!("2026-07-28T00:00:00.040Z")),
        ("call", json!(id)),
        ("node", json!("n1")),
        ("tenant", json!("acme")),
        ("client", json!("agent")),
        ("trace", json!("0af7651916cd43dd8448eb211c80319c")),
        ("method", json!("tools/call")),
        ("target", json!("crm.search")),
        ("upstream", json!("crm")),
        ("allowed", json!(true)),
        ("rule", json!("analyst/0")),
        ("policy", json!("7")),
        ("outcome", json!("tool_error")),
        ("code", json!(-32_603)),
        ("took_us", json!(40_000)),
        ("bytes", json!(120)),
        ("bytes_out", json!(77)),
        ("user", json!("ann")),
        ("address", json!("203.0.113.7")),
        ("user_agent", json!("tester/1")),
        ("input", json!({"query": "x", "password": "[key]"})),
        (
            "output",
            json!({"content": [{"type": "text", "text": "[email]"}]}),
        ),
        ("error", json!("no such row for [email]")),
        ("redacted", json!({"key": 1})),
        ("redacted_out", json!({"email": 2})),
    ] {
        assert_eq!(call.get(name), Some(&expected), "{name} in {call:?}");
    }
    assert_ne!(call["session"], "session-1", "a keyed hash of it");
    assert_eq!(call["principal"], ann.principal.key());
    assert_eq!(place.problems(), [""; 0]);
}

#[tokio::test]
async fn nothing_personal_stands_in_any_file_in_clear() {
    let place = Place::new();
    let audit = place.open();
    let caller = caller("ann.canary");
    let input = RawJson::from_valid(r#"{"text":"payload-canary"}"#);
    let begun = audit.begin(&begin(&caller, &input)).await.unwrap();
    begun.end(&End::of(Ending::Ok)).await.unwrap();
    let what = What::SessionOpened {
        endpoint: "main".to_owned(),
    };
    audit.note(&Event::by(party(&caller), what)).await.unwrap();
    audit.close().await;
    let bytes = place.all_bytes();
    for canary in [
        "ann.canary",
        "payload-canary",
        "203.0.113.7",
        "tester/1",
        "session-1",
    ] {
        assert!(!contains(&bytes, canary), "{canary}");
    }
    assert!(contains(&bytes, "crm.search"), "what is not personal does");
}

#[tokio::test]
async fn every_call_gets_an_end_whatever_happens_to_it() {
    let place = Place::new();
    let audit = place.open();
    let ann = caller("ann");
    let input = RawJson::empty_object();
    let begin = begin(&ann, &input);
    drop(audit.begin(&begin).await.unwrap());
    let unawaited = audit.begin(&begin).await.unwrap().end(&End::of(Ending::Ok));
    drop(unawaited);
    let running = audit.begin(&begin).await.unwrap();
    audit.close().await;
    drop(running);
    assert_eq!(place.outcomes(), ["unknown", "ok", "unknown"]);
    assert!(audit.begin(&begin).await.is_err(), "it is closed");
}

#[tokio::test]
async fn who_gives_up_waiting_leaves_no_call_without_an_end() {
    let place = Place::new();
    let audit = place.open();
    let ann = caller("ann");
    let input = RawJson::empty_object();
    for _ in 0..20 {
        // Not polled at all, or dropped with the answer in it: nothing was dispatched.
        drop(audit.begin(&begin(&ann, &input)));
    }
    call(&audit, "ann").await.unwrap();
    audit.close().await;
    let outcomes = place.outcomes();
    let known = ["ok", "cancelled", "unknown"];
    assert!(
        outcomes.iter().all(|it| known.contains(&it.as_str())),
        "{outcomes:?}"
    );
    assert_eq!(outcomes.iter().filter(|it| *it == "ok").count(), 1);
}

#[tokio::test]
async fn records_are_found_by_what_is_asked() {
    let place = Place::new();
    let audit = place.open();
    call(&audit, "ann").await.unwrap();
    place.clock.advance(DAY);
    call(&audit, "bob").await.unwrap();
    let what = What::KeyRevoked {
        key: "k1".to_owned(),
    };
    audit.note(&Event::of("acme", what)).await.unwrap();
    audit
        .note(&Event::of(
            "other",
            What::PolicyChanged {
                version: "2".to_owned(),
                previous: "1".to_owned(),
            },
        ))
        .await
        .unwrap();
    audit.close().await;
    let count = |query: Query| place.query(&query).len();
    let some = |text: &str| Some(text.to_owned());
    assert_eq!(count(Query::default()), 4);
    assert_eq!(
        count(Query {
            user: some("ann"),
            ..Query::default()
        }),
        1
    );
    assert_eq!(
        count(Query {
            user: some("eve"),
            ..Query::default()
        }),
        0
    );
    assert_eq!(
        count(Query {
            tenant: some("other"),
            ..Query::default()
        }),
        1
    );
    assert_eq!(
        count(Query {
            target: some("crm.search"),
            ..Query::default()
        }),
        2
    );
    assert_eq!(
        count(Query {
            outcome: some("error"),
            ..Query::default()
        }),
        0
    );
    assert_eq!(
        count(Query {
            from_ms: Some(START.0 + 1),
            ..Query::default()
        }),
        3
    );
    assert_eq!(
        count(Query {
            to_ms: Some(START.0 + 1),
            ..Query::default()
        }),
        1
    );
    let id = place.calls()[1]["call"].as_str().unwrap().to_owned();
    assert_eq!(
        count(Query {
            call: Some(id),
            ..Query::default()
        }),
        1
    );
    assert_eq!(
        count(Query {
            kinds: vec!["key_revoked".into()],
            ..Query::default()
        }),
        1
    );
}

#[tokio::test]
async fn many_tenants_share_one_writer_and_few_files() {
    let place = Place::new();
    let audit = place.open();
    for round in 0..2 {
        for tenant in 0..300 {
            let tenant = format!("t{tenant}");
            let what = What::KeyRevoked {
                key: round.to_string(),
            };
            audit.note(&Event::of(&tenant, what)).await.unwrap();
        }
    }
    audit.close().await;
    let verified = place.verify();
    assert_eq!(verified.problems, []);
    assert_eq!((verified.segments, verified.records), (300, 600));
}

#[tokio::test]
async fn calls_that_come_together_are_written_together() {
    let place = Place::new();
    let audit = place.open();
    let calls = (0..200).map(|at| {
        let audit = audit.clone();
        async move { call(&audit, &format!("user {at}")).await }
    });
    let ended = futures_util::future::join_all(calls).await;
    assert!(ended.iter().all(Result::is_ok));
    audit.close().await;
    assert_eq!(place.outcomes().len(), 200);
    assert_eq!(place.problems(), [""; 0]);
    let metrics = place.metrics.render();
    assert!(metrics.contains("mcp_audit_records_total 400"), "{metrics}");
}

#[tokio::test]
async fn segments_end_by_size_and_age_and_their_chain_goes_on() {
    let mut place = Place::new();
    place.config.segment_size = 4_096;
    let audit = place.open();
    for _ in 0..10 {
        call(&audit, "ann").await.unwrap();
    }
    let by_size = place.segments(Trail::Calls).len();
    assert!(by_size > 2, "{by_size}");
    place.clock.advance(DAY);
    call(&audit, "ann").await.unwrap();
    assert!(place.segments(Trail::Calls).len() > by_size);
    audit.close().await;
    let audit = place.open();
    call(&audit, "ann").await.unwrap();
    audit.close().await;
    assert_eq!(place.problems(), [""; 0]);
    assert_eq!(place.outcomes(), ["ok"; 12]);
}

#[tokio::test]
async fn without_payloads_nothing_of_them_is_kept() {
    let mut place = Place::new();
    place.config.payloads = Payloads::Off;
    let audit = place.open();
    call(&audit, "ann").await.unwrap();
    audit.close().await;
    assert_eq!(place.calls()[0].get("input"), None);
    assert_eq!(place.calls()[0]["user"], "ann");
}

#[tokio::test]
async fn one_process_writes_to_a_place() {
    let place = Place::new();
    let audit = place.open();
    let error = place.try_open().unwrap_err().to_string();
    assert!(
        error.contains("process") && error.contains("of its own"),
        "{error}"
    );
    audit.close().await;
    // The lock is given back behind the last answer.
    let mut again = place.try_open();
    for _ in 0..1_000 {
        if again.is_ok() {
            break;
        }
        thread::yield_now();
        again = place.try_open();
    }
    again.unwrap().close().await;
}
