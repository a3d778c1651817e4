//! Nodes on one store that do not have the same cluster keys.

use crate::world::{Cluster, eventually};

const OLD: &str = "0f1e2d3c4b5a69780f1e2d3c4b5a69780f1e2d3c4b5a69780f1e2d3c4b5a6978";
const NEW: &str = "8796a5b4c3d2e1f08796a5b4c3d2e1f08796a5b4c3d2e1f08796a5b4c3d2e1f0";

/// A node for each of these lists of keys, of which the first signs.
async fn with_keys(keys: &[&[&str]]) -> Cluster {
    let mut setup = Cluster::with(keys.len()).keeps_logs();
    for (node, keys) in keys.iter().enumerate() {
        let keys = keys.join(",");
        setup = setup.variables_of(node, &[("SWITCHBOARD_CLUSTER_KEY", &keys)]);
    }
    setup.start().await
}

/// Waits until each node counts so many others that do not know its key.
async fn find_strangers(cluster: &Cluster, expected: &[f64]) {
    eventually("they have found out", || async {
        let mut found = Vec::new();
        for node in cluster.nodes() {
            found.push(node.metric("mcp_cluster_key_strangers").await);
        }
        (found == expected).then_some(())
    })
    .await;
}

/// What a node says of those.
fn complaints(cluster: &Cluster, node: usize) -> Vec<String> {
    let complaint = "another node does not know the key that signs here";
    let log = cluster[node].server.log();
    let said = log.lines().filter(|line| line.contains(complaint));
    said.map(str::to_owned).collect()
}

/// Ours: nothing else tells, but clients whose sessions are there at one node only.
#[tokio::test]
async fn nodes_that_do_not_know_each_others_keys_say_so_loudly() {
    let mut cluster = with_keys(&[&[OLD], &[NEW]]).await;
    let session = cluster[0].server.session("2025-11-25").await;
    let there = session.elsewhere(&cluster[1].url("/mcp"));
    let ping = serde_json::json!({"jsonrpc": "2.0", "id": 1, "method": "ping"});
    assert_eq!(there.send(&ping).await.status, 404);

    find_strangers(&cluster, &[1.0, 1.0]).await;
    for node in 0..2 {
        let complaints = complaints(&cluster, node);
        println!("{complaints:?}");
        assert_eq!(complaints.len(), 1, "it is said once");
        for told in ["ERROR", "ours=", "theirs=", "[cluster] keys"] {
            assert!(complaints[0].contains(told), "{told}");
        }
        let log = cluster[node].server.log();
        assert!(!log.contains(OLD) && !log.contains(NEW), "a key is told");
    }

    cluster[1].term().await;
    eventually("who is gone is nobody's trouble", || async {
        let strangers = cluster[0].metric("mcp_cluster_key_strangers").await;
        (strangers == 0.0).then_some(())
    })
    .await;
}

/// Ours: the second step of a rotation was taken at one node before the first was at all.
#[tokio::test]
async fn a_rotation_is_quiet_but_where_a_step_was_left_out() {
    let cluster = with_keys(&[&[OLD, NEW], &[NEW, OLD], &[OLD]]).await;

    find_strangers(&cluster, &[0.0, 1.0, 0.0]).await;
    assert_eq!(complaints(&cluster, 1).len(), 1);
    assert!(complaints(&cluster, 0).is_empty() && complaints(&cluster, 2).is_empty());
}
