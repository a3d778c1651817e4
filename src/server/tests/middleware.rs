//! What stands around every call: its order, what it can do, and how it fails.

use super::*;
use crate::protocol::tool::ToolResult;

type Notes = Arc<Mutex<Vec<String>>>;

/// Writes down when a call goes in and how it comes out.
fn noting(builder: ServerBuilder, notes: &Notes, layer: &'static str) -> ServerBuilder {
    let notes = notes.clone();
    builder.middleware(move |call, next| {
        let notes = notes.clone();
        async move {
            let subject = format!("{} {}", call.method, call.subject());
            notes.lock().unwrap().push(format!("{layer} {subject}"));
            let reply = next.run(call).await;
            let outcome = reply.as_ref().map_or_else(ServiceError::kind, |_| "ok");
            notes.lock().unwrap().push(format!("{layer} {outcome}"));
            reply
        }
    })
}

fn echo() -> ServerBuilder {
    let tool = Tool::new("hello", |ctx: Context, NoArguments {}| async move {
        Ok(format!("hello {}", ctx.principal()))
    });
    Server::builder("test", "1").tool(tool)
}

fn build(builder: ServerBuilder) -> Server {
    builder.build(&ClusterKeys::generate()).unwrap()
}

#[tokio::test]
async fn the_first_registered_is_the_outermost() {
    let notes = Notes::default();
    let server = build(noting(noting(echo(), &notes, "outer"), &notes, "inner"));
    let alice = Caller::session(&server);

    alice.tool("hello", json!({})).await.unwrap();
    alice.tool("none", json!({})).await.unwrap_err();
    alice.call("tools/list", json!({})).await.unwrap();

    assert_eq!(
        *notes.lock().unwrap(),
        [
            "outer tools/call hello",
            "inner tools/call hello",
            "inner ok",
            "outer ok",
            "outer tools/call none",
            "inner tools/call none",
            "inner unknown_tool",
            "outer unknown_tool",
            "outer tools/list ",
            "inner tools/list ",
            "inner ok",
            "outer ok",
        ]
    );
}

#[tokio::test]
async fn one_may_refuse_answer_or_add() {
    let notes = Notes::default();
    let builder = echo().middleware(|call, next| async move {
        match call.context.principal().key() {
            "mallory" => Err(ServiceError::InvalidParams("not you".into())),
            "guest" => Ok(Reply::tool(
                &ToolResult::error("only members may"),
                call.context.version,
            )),
            _member => next.run(call).await.map(|reply| Reply {
                meta: Some(RawJson::of(&json!({"example.com/shard": 7}))),
                ..reply
            }),
        }
    });
    let server = build(noting(builder, &notes, "inner"));
    let as_principal = |principal| Caller {
        principal,
        ..Caller::stateless(&server)
    };

    let refused = as_principal("mallory").tool("hello", json!({})).await;
    let told = as_principal("guest")
        .tool("hello", json!({}))
        .await
        .unwrap();
    assert!(notes.lock().unwrap().is_empty(), "nothing went in");
    let added = as_principal("alice")
        .tool("hello", json!({}))
        .await
        .unwrap();

    assert_eq!(refused.unwrap_err().kind(), "invalid_params");
    assert_eq!(failure(&told), "only members may");
    assert!(told.is_tool_error);
    assert_eq!(text(&added), "hello alice");
    assert_eq!(added.meta.unwrap().to_value()["example.com/shard"], 7);
}

#[tokio::test]
async fn each_round_of_a_call_passes() {
    let notes = Notes::default();
    let ask = Tool::new("ask", |ctx: Context, NoArguments {}| async move {
        let name = ctx.elicit("who", name_form()).await?.accepted();
        Ok(format!("{}", name.unwrap_or_default()["name"]))
    });
    let server = build(noting(
        Server::builder("test", "1").tool(ask),
        &notes,
        "around",
    ));
    let alice = Caller::stateless(&server);

    let asked = alice.tool("ask", json!({})).await.unwrap();
    let done = alice
        .retry("ask", &asked, json!({"who": accepted("Ada")}))
        .await
        .unwrap();

    assert_eq!(text(&done), "\"Ada\"");
    assert_eq!(notes.lock().unwrap().len(), 4);
}

#[tokio::test]
async fn a_panic_is_the_fault_of_this_call_alone() {
    let server = build(echo().middleware(|call, next| async move {
        assert!(call.context.principal().key() != "mallory", "it panics");
        next.run(call).await
    }));
    let mallory = Caller {
        principal: "mallory",
        ..Caller::session(&server)
    };
    let error = mallory.tool("hello", json!({})).await.unwrap_err();
    assert_eq!(error, ServiceError::Internal);
    let alice = Caller::session(&server);
    assert_eq!(
        text(&alice.tool("hello", json!({})).await.unwrap()),
        "hello alice"
    );
}
