//! Sessions that nobody uses while their store is away: what is let go of them and what is ended is
//! for the store to agree to.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use serde_json::json;

use crate::world::{Cluster, Session, eventually};

const SESSIONS: usize = 10;
/// A sweep comes four times while an unused session stays.
const SWEEPS: f64 = 6.0;
const CLOSED: &str = "mcp_sessions_closed_total{reason=\"idle\"}";

async fn sessions(cluster: &Cluster) -> Vec<Session> {
    let mut sessions = Vec::new();
    for _ in 0..SESSIONS {
        sessions.push(cluster[0].server.session("2025-11-25").await);
    }
    sessions
}

async fn is_answered(session: &Session) {
    let echo = session.tool("echo", json!({"text": "on"})).await;
    assert_eq!(echo.tool_text(), "on");
}

/// Ours: idle at one node, used at another, and the first cannot ask.
#[tokio::test]
async fn a_node_that_cannot_ask_its_store_ends_no_session_that_looks_idle() {
    // Passivated in time they would not be looked at; here they hardly ever are.
    let times = "[sessions]\nidle_ttl = \"4s\"\npassivate_after = \"3999ms\"";
    let mut cluster = Cluster::with(2).proxied().config(times).start().await;
    let here = sessions(&cluster).await;
    let url = cluster[1].url("/mcp");
    let there: Arc<[Session]> = here.iter().map(|session| session.elsewhere(&url)).collect();
    let used = Arc::new(AtomicBool::new(true));
    let using = tokio::spawn({
        let (there, used) = (there.clone(), used.clone());
        async move {
            while used.load(Ordering::Acquire) {
                for session in &*there {
                    is_answered(session).await;
                }
                tokio::time::sleep(Duration::from_millis(200)).await;
            }
        }
    });

    cluster[0].link.as_ref().expect("there is a link").stall();
    // Only who sweeps asks anything of the store here.
    cluster[0].says_of_itself("store unavailable").await;
    assert_eq!(cluster[0].metric(CLOSED).await, 0.0);
    let link = cluster[0].link.as_mut().expect("there is a link");
    link.heal().await;
    cluster[0].is_ready().await;
    for session in &here {
        is_answered(session).await;
    }
    assert_eq!(cluster.metric(CLOSED).await, 0.0);

    used.store(false, Ordering::Release);
    using.await.expect("all were answered");
    eventually("the store agrees that they are idle", || async {
        (cluster.metric("mcp_active_sessions").await == 0.0).then_some(())
    })
    .await;
    for session in &*there {
        let ping = json!({"jsonrpc": "2.0", "id": 1, "method": "ping"});
        eventually("it is gone", || async {
            (session.send(&ping).await.status == 404).then_some(())
        })
        .await;
    }
}

/// Ours: what leaves a node while the store is away could not come back when it is called.
#[tokio::test]
async fn a_session_that_is_not_used_during_an_outage_stays_where_it_is_known() {
    let times = "[sessions]\nidle_ttl = \"40s\"\npassivate_after = \"3s\"";
    let mut cluster = Cluster::with(1).proxied().config(times).start().await;
    let here = sessions(&cluster).await;
    cluster[0].link.as_ref().expect("there is a link").stall();
    let sweeps = "mcp_store_errors_total{operation=\"sweep\"}";
    eventually("sweeps fail, while all sessions are used", || async {
        for session in &here {
            is_answered(session).await;
        }
        (cluster[0].metric(sweeps).await > 0.0).then_some(())
    })
    .await;

    let before = cluster[0].metric(sweeps).await;
    eventually("it was swept for longer than they stay unused", || async {
        (cluster[0].metric(sweeps).await >= before + SWEEPS).then_some(())
    })
    .await;
    assert_eq!(cluster[0].metric("mcp_store_up").await, 0.0);
    for session in &here {
        is_answered(session).await;
    }

    let link = cluster[0].link.as_mut().expect("there is a link");
    link.heal().await;
    eventually("unused ones live on in the store alone", || async {
        (cluster[0].metric("mcp_active_sessions").await == 0.0).then_some(())
    })
    .await;
    for session in &here {
        is_answered(session).await;
    }
}
