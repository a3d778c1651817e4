//! The life of a session: handshake, calls, standing stream, end.

use serde_json::json;

use crate::world::Switchboard;

/// basic/lifecycle (2025-11-25), initialization; basic/transports, session management.
#[tokio::test]
async fn a_handshake_opens_a_session_that_answers() {
    let server = Switchboard::start().await;

    let session = server.session("2025-11-25").await;

    assert!(session.id.bytes().all(|byte| (0x21..=0x7e).contains(&byte)));
    let answer = session.tool("echo", json!({"text": "hello ☃"})).await;
    assert_eq!(answer.tool_text(), "hello ☃");
    assert_eq!(server.metric("mcp_active_sessions").await, 1.0);
}
