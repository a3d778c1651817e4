//! What a session is told without asking: lists that changed, resources it subscribed to.

use serde_json::json;

use crate::world::{Event, HttpSse, NOTHING, Session, Switchboard, Told as _};

const VERSION: &str = "2025-11-25";
const UPDATED: &str = "notifications/resources/updated";

async fn subscribe(session: &Session) {
    let uri = json!({"uri": "clock://now"});
    let answer = session.call("resources/subscribe", uri).await;
    assert_eq!(answer.result(), json!({}));
}

async fn unsubscribe(session: &Session) {
    let uri = json!({"uri": "clock://now"});
    let answer = session.call("resources/unsubscribe", uri).await;
    assert_eq!(answer.result(), json!({}));
}

/// server/resources (each revision), subscriptions.
#[tokio::test]
async fn a_subscriber_hears_of_its_resource() {
    let server = Switchboard::start().await;
    for version in crate::world::SESSION_ERA {
        let session = server.session(version).await;
        let mut standing = session.listen(None).await;

        subscribe(&session).await;

        for _ in 0..2 {
            let told = standing.message().await;
            assert_eq!(told["method"], UPDATED, "{version}");
            assert_eq!(told["params"]["uri"], "clock://now");
            assert!(told.get("id").is_none());
        }
    }
}

/// server/resources (2025-11-25), subscriptions: a subscription needs no open stream.
#[tokio::test]
async fn a_subscription_made_before_the_stream_attaches_is_told_on_it() {
    let server = Switchboard::start().await;
    let session = server.session(VERSION).await;
    subscribe(&session).await;

    let mut standing = session.listen(None).await;

    assert_eq!(standing.message().await["method"], UPDATED);
}

/// server/resources (2025-11-25), subscriptions.
#[tokio::test]
async fn nothing_is_told_of_a_resource_after_unsubscribing() {
    let server = Switchboard::start().await;
    let (former, witness) = (server.session(VERSION).await, server.session(VERSION).await);
    let mut heard = former.listen(None).await;
    let mut witnessed = witness.listen(None).await;
    subscribe(&former).await;
    subscribe(&witness).await;
    heard.until(Event::is_message).await;

    unsubscribe(&former).await;

    // The resource goes on changing.
    witnessed.until(Event::is_message).await;
    for _ in 0..3 {
        assert_eq!(witnessed.message().await["method"], UPDATED);
    }
    former.delete().await;
    let after = heard.rest().await.messages().len();
    assert!(after <= 1, "one may have been on its way, {after} came");
}

/// server/resources (2025-11-25), subscriptions: nobody hears of what it did not ask for.
#[tokio::test]
async fn a_session_that_did_not_subscribe_hears_nothing() {
    let server = Switchboard::start().await;
    let (stranger, witness) = (server.session(VERSION).await, server.session(VERSION).await);
    let mut heard = stranger.listen(None).await;
    heard.priming().await;
    subscribe(&witness).await;

    let mut witnessed = witness.listen(None).await;
    for _ in 0..2 {
        assert_eq!(witnessed.message().await["method"], UPDATED);
    }

    stranger.delete().await;
    assert_eq!(heard.rest().await.messages(), NOTHING);
}

/// server/resources (2025-11-25), error handling.
#[tokio::test]
async fn a_resource_that_is_not_there_cannot_be_subscribed_to() {
    let server = Switchboard::start().await;
    let session = server.session(VERSION).await;

    let uri = json!({"uri": "clock://yesterday"});
    let answer = session.call("resources/subscribe", uri).await;

    assert_eq!((answer.status, answer.code()), (200, -32002));
    let answer = session.call("resources/subscribe", json!({})).await;
    assert_eq!(answer.code(), -32602);
}

/// server/resources (2025-11-25), subscriptions: asking twice is asking once.
#[tokio::test]
async fn subscribing_and_unsubscribing_may_be_repeated() {
    let server = Switchboard::with().builtin("conformance").start().await;
    let session = server.session(VERSION).await;
    let uri = json!({"uri": "test://watched-resource"});
    for method in [
        "resources/unsubscribe",
        "resources/subscribe",
        "resources/subscribe",
        "resources/unsubscribe",
        "resources/unsubscribe",
    ] {
        let answer = session.call(method, uri.clone()).await;

        assert_eq!(answer.result(), json!({}), "{method}");
    }
}

/// server/tools and server/prompts (2025-11-25), list changed notification.
#[tokio::test]
async fn every_session_is_told_of_a_changed_list_on_its_standing_stream() {
    let server = Switchboard::with().builtin("conformance").start().await;
    for (tool, method) in [
        (
            "test_trigger_tool_change",
            "notifications/tools/list_changed",
        ),
        (
            "test_trigger_prompt_change",
            "notifications/prompts/list_changed",
        ),
    ] {
        let (one, two) = (server.session(VERSION).await, server.session(VERSION).await);
        let (mut one_stands, mut two_stands) = (one.listen(None).await, two.listen(None).await);
        one_stands.priming().await;
        two_stands.priming().await;

        let answer = one.tool(tool, json!({})).await;

        assert_eq!(
            answer.told().methods(),
            [""; 0],
            "not on the stream of the call"
        );
        for standing in [&mut one_stands, &mut two_stands] {
            let told = standing.message().await;
            assert_eq!(told["method"], method);
            assert!(told.get("id").is_none());
        }
        for (session, standing) in [(one, one_stands), (two, two_stands)] {
            session.delete().await;
            // The list changed twice; marks that wait are told together.
            let more = standing.rest().await.methods();
            assert!(
                more.len() <= 1 && more.iter().all(|it| it == method),
                "{more:?}"
            );
        }
    }
}

/// server/tools (2025-11-25), list changed notification: what is as it was is no change.
#[tokio::test]
async fn a_stream_that_attaches_is_not_told_of_what_changed_back() {
    let server = Switchboard::with()
        .builtin("conformance")
        .config("[streams]\nheartbeat = \"50ms\"")
        .start()
        .await;
    let session = server.session(VERSION).await;
    session.tool("test_trigger_tool_change", json!({})).await;

    let mut standing = session.listen(None).await;
    standing.priming().await;
    standing.heartbeat().await;

    session.delete().await;
    assert_eq!(standing.rest().await.messages(), NOTHING);
}

/// server/tools (2024-11-05), list changed notification: HTTP+SSE has one stream for everything.
#[tokio::test]
async fn a_client_of_http_sse_is_told_of_changes_on_its_only_stream() {
    let server = Switchboard::start().await;
    let (mut client, _) = HttpSse::open(&server, "2024-11-05", json!({})).await;

    let uri = json!({"uri": "clock://now"});
    let answer = client.call("resources/subscribe", uri).await;

    assert_eq!(answer["result"], json!({}));
    let told = client.stream.next().await.expect("the stream goes on");
    assert_eq!(told.method(), UPDATED);
    assert_eq!(told.id, None, "there is no resumption here");
}
