//! How calls fail.

use serde::{Deserialize, Serialize};

use super::*;

#[derive(Deserialize, schemars::JsonSchema)]
struct Age {
    #[schemars(range(max = 200))]
    years: u32,
}

fn typed() -> Server {
    one_tool(Tool::new("t", |_, Age { years }| async move {
        Ok(years.to_string())
    }))
}

#[tokio::test]
async fn invalid_arguments_never_reach_the_handler() {
    let server = typed();
    for arguments in [
        json!({}),
        json!({"years": "7"}),
        json!({"years": 201}),
        json!({"years": 1.0}),
    ] {
        for version in ProtocolVersion::ALL {
            let answer = Caller::new(&server, version)
                .tool("t", arguments.clone())
                .await;
            if version.invalid_arguments_are_tool_errors() {
                let told = failure(&answer.unwrap());
                assert!(told.starts_with("invalid arguments: "), "{told}");
            } else {
                assert_eq!(answer.unwrap_err().kind(), "invalid_params");
            }
        }
    }
    let answer = Caller::session(&server)
        .tool("t", json!({"years": 7}))
        .await;
    assert_eq!(text(&answer.unwrap()), "7");
}

#[tokio::test]
async fn malformed_calls_are_protocol_errors_everywhere() {
    let server = typed();
    for version in ProtocolVersion::ALL {
        let caller = Caller::new(&server, version);
        for (params, kind) in [
            (json!({"name": "t", "arguments": [1]}), "invalid_params"),
            (json!({"name": "t", "arguments": "x"}), "invalid_params"),
            (json!({"name": 7}), "invalid_params"),
            (json!({}), "invalid_params"),
            (json!({"name": "T"}), "unknown_tool"),
        ] {
            let error = caller.call("tools/call", params).await.unwrap_err();
            assert_eq!(error.kind(), kind);
        }
    }
}

#[tokio::test]
async fn a_panic_is_an_internal_error_of_its_own_call() {
    let server = Server::builder("test", "1")
        .tool(Tool::new("early", |_, NoArguments {}| {
            assert!(std::env::args().count() == 0, "before the first await");
            async { Ok("") }
        }))
        .tool(Tool::new("late", |_, NoArguments {}| async {
            tokio::task::yield_now().await;
            assert!(std::env::args().count() == 0, "after an await");
            Ok("")
        }))
        .tool(Tool::new("fine", |_, NoArguments {}| async { Ok("fine") }))
        .build(&ClusterKeys::generate())
        .unwrap();
    let caller = Caller::stateless(&server);
    for tool in ["early", "late"] {
        let error = caller.tool(tool, json!({})).await.unwrap_err();
        assert_eq!(error, ServiceError::Internal);
    }
    assert_eq!(text(&caller.tool("fine", json!({})).await.unwrap()), "fine");
}

#[tokio::test]
async fn a_result_its_schema_forbids_does_not_leave() {
    #[derive(Serialize, schemars::JsonSchema)]
    struct Answer {
        #[schemars(range(max = 10))]
        n: u32,
    }
    let server = one_tool(Tool::new("t", |_, Age { years }| async move {
        Ok(Structured(Answer { n: years }))
    }));
    let caller = Caller::stateless(&server);
    let good = caller.tool("t", json!({"years": 7})).await.unwrap();
    assert_eq!(text(&good), r#"{"n":7}"#);
    assert_eq!(
        good.members.to_value()["structuredContent"],
        json!({"n": 7})
    );
    let bad = caller.tool("t", json!({"years": 11})).await.unwrap_err();
    assert_eq!(bad, ServiceError::Internal);
}

#[tokio::test(start_paused = true)]
async fn a_call_ends_at_its_deadline_or_when_nobody_wants_it() {
    let server = Server::builder("test", "1")
        .tool(Tool::new("blind", |_, NoArguments {}| async {
            tokio::time::sleep(Duration::from_secs(3_600)).await;
            Ok("slept")
        }))
        .tool(Tool::new(
            "watching",
            |ctx: Context, NoArguments {}| async move {
                ctx.cancelled().await;
                tokio::time::sleep(Duration::from_secs(1)).await;
                Ok("tidied up")
            },
        ))
        .build(&ClusterKeys::generate())
        .unwrap();
    let caller = Caller::stateless(&server);
    let error = caller.tool("blind", json!({})).await.unwrap_err();
    assert_eq!(error, ServiceError::DeadlineExceeded);
    let cancelled_after_a_second = async {
        tokio::time::sleep(Duration::from_secs(1)).await;
        caller.cancel.cancel();
    };
    let (blind, watching, ()) = tokio::join!(
        caller.tool("blind", json!({})),
        caller.tool("watching", json!({})),
        cancelled_after_a_second
    );
    assert_eq!(blind.unwrap_err(), ServiceError::Cancelled);
    assert_eq!(text(&watching.unwrap()), "tidied up");
    let late = caller.tool("blind", json!({})).await.unwrap_err();
    assert_eq!(late, ServiceError::Cancelled);
}
