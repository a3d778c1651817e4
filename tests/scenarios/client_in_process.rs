//! The testing helper: a server built with the library, and a client without a socket.

use std::collections::BTreeSet;

use serde::Deserialize;
use serde_json::json;
use switchboard::identity::Principal;
use switchboard::protocol::capabilities::ClientCapability;
use switchboard::protocol::logging::LogLevel;
use switchboard::protocol::subscription::SubscriptionFilter;
use switchboard::protocol::version::Era;
use switchboard::runtime::seal::ClusterKeys;
use switchboard::server::{
    Context, Elicited, Field, Form, NoArguments, Resource, SampleRequest, Server, TaskUse, Tool,
};
use switchboard::testing::{self, ERAS};

use crate::world::{SESSION_ERA, eventually};

#[derive(Deserialize, schemars::JsonSchema)]
struct Say {
    what: String,
}

fn desk() -> Server {
    Server::builder("desk", "1")
        .tool(Tool::new("say", |ctx: Context, Say { what }| async move {
            ctx.log(LogLevel::Info, Some("desk"), format!("saying {what}"))
                .await;
            ctx.progress(1.0, Some(1.0), None).await;
            Ok(what)
        }))
        .tool(
            Tool::new("ask", |ctx: Context, _: NoArguments| async move {
                let first = Form::new("Sure?").field("sure", Field::boolean());
                if !matches!(ctx.elicit("first", first).await?, Elicited::Accepted(_)) {
                    return Ok("no".to_owned());
                }
                let second = Form::new("Who?").field("name", Field::string());
                let answer = ctx.elicit("second", second).await?;
                Ok(answer.text("name").unwrap_or("nobody").to_owned())
            })
            .needs(ClientCapability::ElicitationForm),
        )
        .tool(Tool::new(
            "sample",
            |ctx: Context, _: NoArguments| async move {
                Ok(ctx
                    .sample("turn", SampleRequest::new("Say it"))
                    .await?
                    .text())
            },
        ))
        .tool(Tool::new(
            "who",
            |ctx: Context, _: NoArguments| async move { Ok(ctx.principal().to_string()) },
        ))
        .resource(Resource::fixed("desk:note", "note", "a note".to_owned()))
        .build(&ClusterKeys::generate())
        .unwrap()
}

#[tokio::test]
async fn a_call_its_progress_and_its_log_lines_are_the_same_in_each_era() {
    for era in ERAS {
        let client = testing::client(desk()).era(era).connect().await.unwrap();
        let result = client.call("say", json!({"what": "hello"})).await.unwrap();
        assert_eq!(result.text(), "hello");
        assert!(!result.is_error());
        assert_eq!(client.progress()[0].done, 1.0, "{era:?}");
        assert_eq!(client.logs()[0].data, "saying hello", "{era:?}");
        assert_eq!(client.tools().await.unwrap().len(), 4);
        let wrong = client.call("say", json!({"what": 7})).await.unwrap();
        assert!(wrong.is_error());
        client.call("unknown", json!({})).await.unwrap_err();
    }
}

#[tokio::test]
async fn forms_and_turns_of_the_model_are_answered_in_each_era() {
    for era in ERAS {
        let client = testing::client(desk())
            .era(era)
            .answers("second", json!({"name": "Ada"}))
            .answers("first", json!({"sure": true}))
            .samples("a short summary");
        let client = client.connect().await.unwrap();
        let result = client.call("ask", json!({})).await.unwrap();
        assert_eq!(result.text(), "Ada", "{era:?}");
        let result = client.call("sample", json!({})).await.unwrap();
        assert_eq!(result.text(), "a short summary", "{era:?}");
        assert_eq!(client.asked().len(), 3);

        let client = testing::client(desk()).era(era).declines("first");
        let client = client.connect().await.unwrap();
        assert_eq!(client.call("ask", json!({})).await.unwrap().text(), "no");
    }
}

#[tokio::test]
async fn a_client_without_answers_cannot_be_asked() {
    for era in ERAS {
        let client = testing::client(desk()).era(era).connect().await.unwrap();
        let asked = client.call("ask", json!({})).await;
        assert!(
            asked.is_err() || asked.is_ok_and(|result| result.is_error()),
            "{era:?}"
        );
        assert!(client.asked().is_empty());
    }
}

#[tokio::test]
async fn changes_are_heard_in_each_era() {
    for era in ERAS {
        let server = desk();
        let mut client = testing::client(server.clone())
            .era(era)
            .connect()
            .await
            .unwrap();
        let filter = SubscriptionFilter {
            tools_list_changed: true,
            resource_subscriptions: BTreeSet::from(["desk:note".to_owned()]),
            ..SubscriptionFilter::default()
        };
        client.listen(filter).await.unwrap();
        eventually("the resource is watched", async || {
            server.handle().is_watched("desk:note").then_some(())
        })
        .await;
        server.handle().resource_updated("desk:note");
        let updated = client
            .heard("notifications/resources/updated")
            .await
            .unwrap();
        assert!(updated.params.raw().unwrap().as_str().contains("desk:note"));
        server.handle().remove_tool("who");
        client
            .heard("notifications/tools/list_changed")
            .await
            .unwrap();
        assert_eq!(client.tools().await.unwrap().len(), 3);
    }
}

#[tokio::test]
async fn every_caller_is_who_the_test_says() {
    for era in ERAS {
        let client = testing::client(desk())
            .era(era)
            .principal(Principal::from_key("ada"));
        let client = client.connect().await.unwrap();
        assert_eq!(
            client.call("who", json!({})).await.unwrap().text(),
            "ada",
            "{era:?}"
        );
    }
}

#[tokio::test]
async fn any_revision_can_be_spoken() {
    for version in SESSION_ERA.into_iter().chain(["2026-07-28"]) {
        let version = switchboard::protocol::version::ProtocolVersion::parse(version).unwrap();
        let client = testing::client(desk())
            .version(version)
            .connect()
            .await
            .unwrap();
        assert_eq!(client.client().version(), version);
        let result = client.call("say", json!({"what": "hello"})).await.unwrap();
        assert_eq!(result.text(), "hello", "{version}");
    }
}

/// Extension tasks: a test follows a task to its result, questions included.
#[tokio::test]
async fn a_test_follows_a_task_to_its_result() {
    let ask = Tool::new("ask", |ctx: Context, NoArguments {}| async move {
        let form = Form::new("Sure?").field("sure", Field::boolean());
        let answer = ctx.elicit("sure", form).await?.accepted();
        Ok(format!("{} {}", ctx.is_task(), answer.is_some()))
    })
    .task(TaskUse::required());
    let server = Server::builder("test", "1")
        .tool(ask)
        .build(&ClusterKeys::generate())
        .unwrap();

    let client = testing::client(server)
        .era(Era::Stateless)
        .follows_tasks()
        .answers("sure", json!({"sure": true}))
        .connect()
        .await
        .unwrap();

    let result = client.call("ask", json!({})).await.unwrap();
    assert_eq!(result.text(), "true true");
}
