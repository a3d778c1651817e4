//! Questions and messages in the session era, and results as each revision takes them.

use std::sync::atomic::Ordering;

use super::*;
use crate::protocol::capabilities::ClientCapability;
use crate::protocol::content::Content;

fn asking() -> Server {
    one_tool(Tool::new("t", |ctx: Context, NoArguments {}| async move {
        let answer = ctx.elicit("name", name_form()).await?;
        Ok(format!(
            "Hello, {}!",
            answer.text("name").unwrap_or(answer.action())
        ))
    }))
}

#[tokio::test]
async fn a_question_is_a_request_and_its_answer_goes_on() {
    let server = asking();
    for (answer, told) in [
        (accepted("Ada"), "Hello, Ada!"),
        (json!({"action": "decline"}), "Hello, decline!"),
        (json!({"action": "cancel"}), "Hello, cancel!"),
    ] {
        let alice = Caller::session(&server).answering([answer]);
        assert_eq!(text(&alice.tool("t", json!({})).await.unwrap()), told);
        let asked = alice.outlet.asked.lock().unwrap();
        assert_eq!(asked[0]["method"], "elicitation/create");
        assert_eq!(asked[0]["params"]["message"], "Who?");
    }
}

#[tokio::test]
async fn an_answer_that_does_not_fit_fails_the_tool() {
    let server = asking();
    for (answers, told) in [
        (
            vec![json!({"action": "accept", "content": {"name": 7}})],
            "does not fit",
        ),
        (vec![json!({"action": "shrug"})], "does not fit"),
        (vec![], "did not answer in time"),
    ] {
        let alice = Caller::session(&server).answering(answers);
        let failed = failure(&alice.tool("t", json!({})).await.unwrap());
        assert!(failed.contains(told), "{failed}");
    }
}

#[tokio::test]
async fn nobody_is_asked_what_they_did_not_declare() {
    let server = asking();
    for (version, capabilities) in [
        (ProtocolVersion::V2025_11_25, json!({})),
        (
            ProtocolVersion::V2025_11_25,
            json!({"elicitation": {"url": {}}}),
        ),
        (ProtocolVersion::V2025_03_26, json!({"elicitation": {}})),
    ] {
        let alice = Caller {
            capabilities,
            ..Caller::new(&server, version)
        }
        .answering([accepted("Ada")]);
        let failed = failure(&alice.tool("t", json!({})).await.unwrap());
        assert!(failed.contains("elicitation.form"), "{failed}");
        assert!(alice.outlet.asked.lock().unwrap().is_empty());
    }
}

#[tokio::test]
async fn a_declared_need_is_checked_before_anything_runs() {
    let server = one_tool(
        Tool::new("t", |_, NoArguments {}| async { Ok("ran") }).needs(ClientCapability::Sampling),
    );
    let without = |version| Caller {
        capabilities: json!({}),
        ..Caller::new(&server, version)
    };
    let stateless = without(ProtocolVersion::V2026_07_28)
        .tool("t", json!({"bad": 1}))
        .await;
    assert_eq!(
        stateless.map(|_| ()),
        Err(ServiceError::MissingCapability(ClientCapability::Sampling))
    );
    let session = without(ProtocolVersion::V2025_06_18)
        .tool("t", json!({"bad": 1}))
        .await;
    assert!(failure(&session.unwrap()).contains("sampling"));
    let able = Caller::stateless(&server).tool("t", json!({})).await;
    assert_eq!(text(&able.unwrap()), "ran");
}

#[tokio::test]
async fn progress_only_moves_forward_and_begins_anywhere() {
    let server = one_tool(Tool::new("t", |ctx: Context, NoArguments {}| async move {
        for value in [0.0, 0.0, f64::NAN, 2.0, 1.0, 3.0] {
            ctx.progress(value, Some(3.0), Some("words")).await;
        }
        Ok("")
    }));
    for (version, message) in [
        (ProtocolVersion::V2025_03_26, json!("words")),
        (ProtocolVersion::V2024_11_05, Value::Null),
    ] {
        let alice = Caller::new(&server, version);
        alice.tool("t", json!({})).await.unwrap();
        let heard = alice.outlet.heard.lock().unwrap();
        let values = heard
            .iter()
            .map(|(_, params)| params["progress"].as_f64().unwrap());
        assert_eq!(values.collect::<Vec<_>>(), [0.0, 2.0, 3.0]);
        assert!(heard.iter().all(|(_, params)| params["message"] == message));
    }
}

#[tokio::test]
async fn log_lines_below_the_wanted_level_are_not_sent() {
    let server = one_tool(Tool::new("t", |ctx: Context, NoArguments {}| async move {
        ctx.log(LogLevel::Info, None, "quiet").await;
        ctx.log(LogLevel::Error, Some("me"), json!({"loud": true}))
            .await;
        Ok("")
    }));
    for (log_from, lines) in [
        (None, 0),
        (Some(LogLevel::Error), 1),
        (Some(LogLevel::Debug), 2),
    ] {
        let alice = Caller {
            outlet: Arc::new(Recorder {
                log_from,
                ..Recorder::default()
            }),
            ..Caller::session(&server)
        };
        alice.tool("t", json!({})).await.unwrap();
        assert_eq!(alice.outlet.heard.lock().unwrap().len(), lines);
    }
}

#[tokio::test]
async fn a_url_has_an_id_where_the_revision_wants_one() {
    let server = one_tool(Tool::new("t", |ctx: Context, NoArguments {}| async move {
        let consent = ctx
            .elicit_url("pay", "Please pay", "https://example.com/pay")
            .await?;
        Ok(format!("{consent:?}"))
    }));
    let alice = Caller::session(&server).answering([json!({"action": "accept"})]);
    assert_eq!(text(&alice.tool("t", json!({})).await.unwrap()), "Accepted");
    let asked = alice.outlet.asked.lock().unwrap()[0]["params"].clone();
    assert_eq!(asked["mode"], "url");
    assert_eq!(asked["elicitationId"].as_str().unwrap().len(), 32);
    let asked = Caller::stateless(&server)
        .tool("t", json!({}))
        .await
        .unwrap();
    let asked = &asked.members.to_value()["inputRequests"]["pay"]["params"];
    assert!(asked.get("elicitationId").is_none());
}

#[tokio::test]
async fn once_runs_once_within_a_session_call_too() {
    let runs = Arc::new(std::sync::atomic::AtomicUsize::new(0));
    let counted = Arc::clone(&runs);
    let server = one_tool(Tool::new("t", move |ctx: Context, NoArguments {}| {
        let runs = Arc::clone(&counted);
        async move {
            for _ in 0..3 {
                let _: u32 = ctx
                    .once("work", async {
                        runs.fetch_add(1, Ordering::Relaxed);
                        Ok::<_, ToolError>(1)
                    })
                    .await?;
            }
            Ok("")
        }
    }));
    Caller::session(&server).tool("t", json!({})).await.unwrap();
    assert_eq!(runs.load(Ordering::Relaxed), 1);
}

#[tokio::test]
async fn results_are_written_as_each_revision_takes_them() {
    let server = one_tool(Tool::new("t", |_, NoArguments {}| async {
        Ok(vec![
            Content::audio(b"abc", "audio/wav"),
            Content::link("a:b", "b"),
        ])
    }));
    for (version, kinds) in [
        (ProtocolVersion::V2024_11_05, ["text", "text"]),
        (ProtocolVersion::V2025_03_26, ["audio", "text"]),
        (ProtocolVersion::V2025_06_18, ["audio", "resource_link"]),
        (ProtocolVersion::V2026_07_28, ["audio", "resource_link"]),
    ] {
        let reply = Caller::new(&server, version)
            .tool("t", json!({}))
            .await
            .unwrap();
        let content = reply.members.to_value()["content"].clone();
        assert_eq!(
            [&content[0]["type"], &content[1]["type"]],
            kinds,
            "{version}"
        );
    }
}
