//! What a node that nobody asks for anything says of itself while its store is away or takes no
//! writes.

use serde_json::json;

use super::trouble::{Lasting, Trouble};
use crate::world::{Cluster, Redis, Switchboard, eventually, get};

/// Ours: whether the store is there is not known before it has answered.
#[tokio::test]
async fn a_node_that_starts_without_its_store_is_not_ready_until_it_holds_its_lease() {
    let mut redis = Redis::start().await;
    redis.stop_hard().await;
    let key = "0123456789abcdef".repeat(4);
    let node = Switchboard::with()
        .store_url(&redis.url())
        .variable("SWITCHBOARD_CLUSTER_KEY", &key)
        .start()
        .await;

    let ready = get(node.url("/ready")).await.unwrap();
    assert_eq!(ready.status(), 503);
    let text = ready.text().await.unwrap();
    assert!(text.contains("lease not held"), "{text}");
    assert_eq!(node.metric("mcp_ready").await, 0.0);
    let echo = node.stateless().tool("echo", json!({"text": "on"})).await;
    assert_eq!(echo.tool_text(), "on");

    redis.restart().await;
    eventually("it is ready", || async {
        let ready = get(node.url("/ready")).await.unwrap();
        ready.status().is_success().then_some(())
    })
    .await;
    assert_eq!(node.metric("mcp_ready").await, 1.0);
    node.session("2025-11-25").await;
}

/// Ours: `maxmemory`, a primary that became a replica, a disk that is full, replicas that are gone.
#[tokio::test]
async fn a_node_whose_store_takes_no_writes_is_not_ready_though_nobody_writes() {
    let mut cluster = Cluster::with(1).proxied().start().await;
    let session = cluster[0].server.session("2025-11-25").await;
    for trouble in [
        Trouble::Full,
        Trouble::ReadOnly,
        Trouble::Unsaved,
        Trouble::Alone,
    ] {
        println!("{trouble:?}");
        let lasting = Lasting::begin(trouble, &cluster).await;

        cluster[0].says_of_itself("store takes no writes").await;
        assert_eq!(cluster[0].metric("mcp_store_up").await, 0.0);
        let echo = session.tool("echo", json!({"text": "on"})).await;
        assert_eq!(echo.tool_text(), "on");

        lasting.end(&mut cluster).await;
        cluster[0].is_ready().await;
        assert_eq!(cluster[0].metric("mcp_store_up").await, 1.0);
        cluster[0].server.session("2025-11-25").await;
    }
}
