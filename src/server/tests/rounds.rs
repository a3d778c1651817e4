//! Questions in the stateless era: rounds, what they carry, and what they refuse.

use std::sync::atomic::{AtomicUsize, Ordering};

use super::*;
use crate::protocol::capabilities::ClientCapability;

/// A tool of two rounds with an effect between them.
fn booking(effects: &Arc<AtomicUsize>, clock: &Clock, keys: &ClusterKeys) -> Server {
    let effects = Arc::clone(effects);
    let tool = Tool::untyped("book", no_schema(), move |ctx: Context, _| {
        let effects = Arc::clone(&effects);
        async move {
            let first = ctx.elicit("first", name_form()).await?;
            let number = ctx
                .once("reserve", async {
                    tokio::task::yield_now().await;
                    Ok::<_, ToolError>(effects.fetch_add(1, Ordering::Relaxed) + 7)
                })
                .await?;
            let second = ctx.elicit("second", name_form()).await?;
            Ok(format!(
                "{} {number} {}",
                first.text("name").unwrap(),
                second.text("name").unwrap()
            ))
        }
    });
    Server::builder("test", "1")
        .clock(clock.clone())
        .tool(tool)
        .build(keys)
        .unwrap()
}

fn no_schema() -> Value {
    json!({"type": "object"})
}

fn fresh() -> (Server, Arc<AtomicUsize>, Clock) {
    let (effects, clock) = (Arc::new(AtomicUsize::new(0)), manual_clock());
    let server = booking(&effects, &clock, &ClusterKeys::generate());
    (server, effects, clock)
}

#[tokio::test]
async fn work_inside_once_is_done_once_over_all_rounds() {
    let (server, effects, _) = fresh();
    let alice = Caller::stateless(&server);
    let first = alice.tool("book", json!({})).await.unwrap();
    assert_eq!(questions(&first), ["first"]);
    let answers = json!({"first": accepted("Ada"), "unknown": accepted("x")});
    let second = alice.retry("book", &first, answers).await.unwrap();
    assert_eq!(questions(&second), ["second"]);
    assert_ne!(state(&first), state(&second));
    // Only the last answers are sent; the earlier one comes out of the state.
    let answers = json!({"second": accepted("Bob")});
    let done = alice.retry("book", &second, answers).await.unwrap();
    assert_eq!(text(&done), "Ada 7 Bob");
    assert_eq!(effects.load(Ordering::Relaxed), 1);
}

#[tokio::test]
async fn a_state_is_good_for_nothing_else() {
    let (server, _, clock) = fresh();
    let alice = Caller::stateless(&server);
    let first = alice.tool("book", json!({})).await.unwrap();
    let answers = json!({"first": accepted("Ada")});
    let refused = Err(ServiceError::InvalidRequestState);

    let mallory = Caller {
        principal: "mallory",
        ..alice.clone()
    };
    assert_eq!(
        brief(mallory.retry("book", &first, answers.clone()).await),
        refused
    );
    let elsewhere = Caller {
        endpoint: "other",
        ..alice.clone()
    };
    assert_eq!(
        brief(elsewhere.retry("book", &first, answers.clone()).await),
        refused
    );
    for params in [
        json!({"name": "book", "arguments": {"a": 1}, "requestState": state(&first)}),
        json!({"name": "book", "requestState": format!("{}-TAMPERED", state(&first))}),
        json!({"name": "book", "requestState": ""}),
        json!({"name": "book", "requestState": null}),
        json!({"name": "book", "requestState": 7}),
    ] {
        let answer = alice.call("tools/call", params.clone()).await;
        assert_eq!(brief(answer), refused, "{params}");
    }
    // The same call in other words, before and after its time.
    let same = json!({"name": "book", "requestState": state(&first), "inputResponses": answers});
    clock.advance(Duration::from_secs(599));
    assert!(alice.call("tools/call", same.clone()).await.is_ok());
    clock.advance(Duration::from_secs(2));
    assert_eq!(brief(alice.call("tools/call", same).await), refused);
}

fn brief(answer: Result<Reply, ServiceError>) -> Result<(), ServiceError> {
    answer.map(|_| ())
}

#[tokio::test]
async fn answers_without_a_state_count_too() {
    let (server, effects, _) = fresh();
    let params = json!({"name": "book", "inputResponses":
        {"first": accepted("Ada"), "second": accepted("Bob")}});
    let done = Caller::stateless(&server).call("tools/call", params).await;
    assert_eq!(text(&done.unwrap()), "Ada 7 Bob");
    assert_eq!(effects.load(Ordering::Relaxed), 1);
}

#[tokio::test]
async fn an_answer_that_does_not_fit_is_asked_for_again() {
    let (server, ..) = fresh();
    let alice = Caller::stateless(&server);
    for answer in [
        json!({"action": "shrug"}),
        json!({"action": "accept", "content": {"name": 7}}),
        json!({"action": "accept"}),
        json!({"content": {}}),
    ] {
        let params = json!({"name": "book", "inputResponses": {"first": answer}});
        let again = alice.call("tools/call", params).await.unwrap();
        assert_eq!(questions(&again), ["first"], "{answer}");
    }
    for answers in [
        json!(null),
        json!([]),
        json!({"first": 12345}),
        json!({"first": null}),
    ] {
        let params = json!({"name": "book", "inputResponses": answers});
        let error = alice.call("tools/call", params).await.unwrap_err();
        assert_eq!(error.kind(), "invalid_params", "{answers}");
    }
}

#[tokio::test]
async fn questions_put_together_go_out_together() {
    let server = one_tool(Tool::untyped(
        "t",
        no_schema(),
        |ctx: Context, _| async move {
            let (name, model, roots) = tokio::join!(
                ctx.elicit("name", name_form()),
                ctx.sample("model", SampleRequest::new("Hi")),
                ctx.roots("roots"),
            );
            let (name, model, roots) = (name?, model?, roots?);
            Ok(format!(
                "{} {} {}",
                name.action(),
                model.text(),
                roots[0].uri
            ))
        },
    ));
    let alice = Caller::stateless(&server);
    let asked = alice.tool("t", json!({})).await.unwrap();
    assert_eq!(questions(&asked), ["model", "name", "roots"]);
    let model =
        json!({"role": "assistant", "model": "m", "content": {"type": "text", "text": "Ho"}});
    let roots = json!({"roots": [{"uri": "file:///a"}]});
    // One at a time, in any order.
    let asked = alice
        .retry("t", &asked, json!({"roots": roots}))
        .await
        .unwrap();
    assert_eq!(questions(&asked), ["model", "name"]);
    let answers = json!({"model": model, "name": {"action": "decline"}});
    let done = alice.retry("t", &asked, answers).await.unwrap();
    assert_eq!(text(&done), "decline Ho file:///a");
}

#[tokio::test]
async fn work_that_has_begun_ends_before_the_round_does() {
    let effects = Arc::new(AtomicUsize::new(0));
    let counted = Arc::clone(&effects);
    let server = one_tool(Tool::untyped("t", no_schema(), move |ctx: Context, _| {
        let effects = Arc::clone(&counted);
        async move {
            let work = ctx.once("work", async {
                tokio::time::sleep(Duration::from_millis(5)).await;
                Ok::<_, ToolError>(effects.fetch_add(1, Ordering::Relaxed))
            });
            let (answer, work) = tokio::join!(ctx.elicit("name", name_form()), work);
            Ok(format!("{} {}", answer?.action(), work?))
        }
    }));
    let alice = Caller::stateless(&server);
    let asked = alice.tool("t", json!({})).await.unwrap();
    assert_eq!(effects.load(Ordering::Relaxed), 1);
    let done = alice
        .retry("t", &asked, json!({"name": accepted("Ada")}))
        .await
        .unwrap();
    assert_eq!(text(&done), "accept 0");
    assert_eq!(effects.load(Ordering::Relaxed), 1);
}

#[tokio::test]
async fn what_a_client_did_not_declare_ends_the_call() {
    let server = one_tool(Tool::untyped(
        "t",
        no_schema(),
        |ctx: Context, _| async move {
            // Even a handler that would go on without the answer.
            tokio::select! {
                biased;
                roots = ctx.roots("roots") => Ok(format!("{}", roots?.len())),
                () = std::future::ready(()) => Ok("went on".to_owned()),
            }
        },
    ));
    let alice = Caller {
        capabilities: json!({"sampling": {}}),
        ..Caller::stateless(&server)
    };
    assert_eq!(
        brief(alice.tool("t", json!({})).await),
        Err(ServiceError::MissingCapability(ClientCapability::Roots))
    );
}

#[tokio::test]
async fn a_question_from_another_task_ends_the_round_too() {
    let server = one_tool(Tool::untyped(
        "t",
        no_schema(),
        |ctx: Context, _| async move {
            #[expect(
                clippy::disallowed_methods,
                reason = "what a user of the library may do"
            )]
            let other = tokio::spawn(async move {
                tokio::task::yield_now().await;
                ctx.elicit("name", name_form()).await
            });
            let answer = other.await.map_err(|error| ToolError::internal(&error))??;
            Ok(answer.action().to_owned())
        },
    ));
    let asked = Caller::stateless(&server)
        .tool("t", json!({}))
        .await
        .unwrap();
    assert_eq!(questions(&asked), ["name"]);
}

#[tokio::test]
async fn rounds_and_answers_are_bounded() {
    let server = one_tool(Tool::untyped(
        "t",
        no_schema(),
        |ctx: Context, _| async move {
            for round in 0.. {
                ctx.elicit(&format!("q{round}"), name_form()).await?;
            }
            Ok("never")
        },
    ));
    let alice = Caller::stateless(&server);
    let mut asked = alice.tool("t", json!({})).await.unwrap();
    for round in 0..9 {
        let answers = json!({format!("q{round}"): accepted("x")});
        asked = alice.retry("t", &asked, answers).await.unwrap();
        assert_eq!(questions(&asked), [format!("q{}", round + 1)]);
    }
    let stuck = alice
        .retry("t", &asked, json!({"q9": accepted("x")}))
        .await
        .unwrap();
    assert!(failure(&stuck).contains("10 rounds"));
    let large = json!({"name": "t", "inputResponses": {"q0": accepted(&"x".repeat(10_000))}});
    let stuck = alice.call("tools/call", large).await.unwrap();
    assert!(failure(&stuck).contains("too large"));
}

#[tokio::test]
async fn prompts_and_resources_ask_in_rounds_too() {
    let server = Server::builder("test", "1")
        .prompt(Prompt::new("p", |ctx: Context, _| async move {
            let answer = ctx.elicit("name", name_form()).await?;
            Ok(format!("Greet {}", answer.text("name").unwrap_or("nobody")))
        }))
        .resource(
            Resource::dynamic("a:b", "b", |ctx: Context| async move {
                Ok(ctx.elicit("name", name_form()).await?.action())
            })
            .cache(crate::service::CacheHints {
                ttl_ms: 1_000,
                public: true,
            }),
        )
        .build(&ClusterKeys::generate())
        .unwrap();
    let alice = Caller::stateless(&server);
    for (method, params) in [
        ("prompts/get", json!({"name": "p"})),
        ("resources/read", json!({"uri": "a:b"})),
    ] {
        let asked = alice.call(method, params.clone()).await.unwrap();
        assert_eq!(questions(&asked), ["name"]);
        let mut retry = params;
        retry["requestState"] = state(&asked).into();
        retry["inputResponses"] = json!({"name": accepted("Ada")});
        let done = alice.call(method, retry).await.unwrap();
        assert_eq!(done.kind, ReplyKind::Complete);
        // What came out of answers is nobody else's.
        assert_eq!(done.cache, crate::service::CacheHints::default());
    }
}
