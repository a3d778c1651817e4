//! Pages in browsers: nothing for anybody by default, everything they need for those configured.

use reqwest::Method;
use serde_json::json;

use crate::world::client::post;
use crate::world::{Answer, Switchboard};

const PAGE: &str = "https://app.example";
const INITIALIZE: &str = r#"{"jsonrpc":"2.0","id":0,"method":"initialize","params":{"protocolVersion":"2025-11-25","capabilities":{},"clientInfo":{"name":"c","version":"1"}}}"#;

async fn preflight(server: &Switchboard, origin: &str, headers: &str) -> Answer {
    let request = crate::world::http_client()
        .request(Method::OPTIONS, server.url("/mcp"))
        .header("origin", origin)
        .header("access-control-request-method", "POST")
        .header("access-control-request-headers", headers);
    Answer::read(request.send().await.expect("it is answered")).await
}

async fn handshake(server: &Switchboard, origin: Option<&str>) -> Answer {
    let mut request = post(&crate::world::http_client(), &server.url("/mcp")).body(INITIALIZE);
    if let Some(origin) = origin {
        request = request.header("origin", origin);
    }
    Answer::read(request.send().await.expect("it is answered")).await
}

fn says_nothing_about_cors(answer: &Answer) -> bool {
    !answer
        .headers
        .keys()
        .any(|name| name.as_str().starts_with("access-control-"))
}

async fn server_for_a_page() -> Switchboard {
    Switchboard::with()
        .config(&format!("[server]\ncors_origins = [\"{PAGE}\"]"))
        .start()
        .await
}

/// Fetch standard, CORS protocol; ours: off unless configured, even for pages of this machine.
#[tokio::test]
async fn without_configuration_no_page_may_read_anything() {
    let server = Switchboard::start().await;
    for (origin, status) in [("http://localhost:3000", 405), (PAGE, 403)] {
        let answer = preflight(&server, origin, "content-type").await;
        assert_eq!(answer.status, status);
        assert!(says_nothing_about_cors(&answer), "{answer:?}");
    }
    let answer = handshake(&server, Some("http://localhost:3000")).await;
    assert_eq!(answer.status, 200);
    assert!(says_nothing_about_cors(&answer), "{answer:?}");
    assert_eq!(answer.header("vary"), "");
}

/// Fetch standard, CORS protocol, preflight; 2026-07-28 basic/transports/streamable-http, custom
/// headers: their names are not known before, and wildcards do not cover credentials.
#[tokio::test]
async fn a_preflight_lists_every_header_a_client_needs() {
    let server = server_for_a_page().await;

    let answer = preflight(
        &server,
        PAGE,
        "content-type, Mcp-Param-Region, x-evil, mcp-param-id",
    )
    .await;

    assert_eq!((answer.status, answer.text.as_str()), (204, ""));
    assert_eq!(answer.header("access-control-allow-origin"), PAGE);
    assert_eq!(answer.header("vary"), "Origin");
    assert_eq!(
        answer.header("access-control-allow-methods"),
        "GET, POST, DELETE, OPTIONS"
    );
    let allowed: Vec<&str> = answer
        .header("access-control-allow-headers")
        .split(", ")
        .collect();
    for name in [
        "content-type",
        "accept",
        "authorization",
        "mcp-session-id",
        "mcp-protocol-version",
        "last-event-id",
        "mcp-method",
        "mcp-name",
        "mcp-param-region",
        "mcp-param-id",
    ] {
        assert!(allowed.contains(&name), "{name} is not in {allowed:?}");
    }
    assert!(!allowed.contains(&"x-evil"), "{allowed:?}");
    assert!(!allowed.contains(&"*"), "{allowed:?}");
    assert_eq!(server.metric("mcp_active_sessions").await, 0.0);
}

/// Fetch standard, CORS protocol, exposed headers.
#[tokio::test]
async fn an_allowed_page_can_read_answers_refusals_and_streams() {
    let server = server_for_a_page().await;
    let opened = handshake(&server, Some(PAGE)).await;
    let refused = {
        let request =
            post(&crate::world::http_client(), &server.url("/mcp")).header("origin", PAGE);
        Answer::read(request.body("[]").send().await.unwrap()).await
    };
    assert_eq!((opened.status, refused.status), (200, 400));
    for answer in [&opened, &refused] {
        assert_eq!(answer.header("access-control-allow-origin"), PAGE);
        assert_eq!(answer.header("vary"), "Origin");
        let exposed: Vec<&str> = answer
            .header("access-control-expose-headers")
            .split(", ")
            .collect();
        for name in [
            "mcp-session-id",
            "www-authenticate",
            "mcp-protocol-version",
            "retry-after",
        ] {
            assert!(exposed.contains(&name), "{name} is not in {exposed:?}");
        }
        // Credentials are not asked for, so no page may send any.
        assert_eq!(answer.header("access-control-allow-credentials"), "");
    }
    let stream = crate::world::http_client()
        .get(server.url("/mcp"))
        .header("accept", "text/event-stream")
        .header("origin", PAGE)
        .header("mcp-session-id", opened.header("mcp-session-id"))
        .send()
        .await
        .unwrap();
    assert_eq!(stream.status(), 200);
    assert_eq!(stream.headers()["access-control-allow-origin"], PAGE);
}

/// basic/transports (every revision), security warning; ours: what is configured for one page is
/// not for another, and what a cache keeps is told apart.
#[tokio::test]
async fn another_page_is_refused_all_the_same() {
    let server = server_for_a_page().await;
    for origin in [
        "https://evil.example",
        "http://app.example",
        "https://app.example:8443",
        "null",
    ] {
        for answer in [
            preflight(&server, origin, "content-type").await,
            handshake(&server, Some(origin)).await,
        ] {
            assert_eq!(answer.status, 403, "{origin}");
            assert!(says_nothing_about_cors(&answer), "{origin}: {answer:?}");
            assert_eq!(answer.header("vary"), "Origin");
        }
    }
    let plain = handshake(&server, None).await;
    assert_eq!((plain.status, plain.header("vary")), (200, "Origin"));
    assert!(says_nothing_about_cors(&plain), "{plain:?}");
    assert_eq!(
        plain.result()["serverInfo"]["name"],
        json!("switchboard-demo")
    );
}
