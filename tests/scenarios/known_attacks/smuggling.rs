//! Requests that a proxy and the server behind it could cut apart differently.

use std::fmt::Write as _;

use serde_json::json;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

use super::VERSION;
use crate::framing::{doubtful, ping};
use crate::world::nginx::lasting_address;
use crate::world::{Nginx, Stateless, Switchboard, within};

/// An nginx that lets nobody end a session, and keeps its connections to the server open.
async fn nginx(server: &Switchboard) -> Nginx {
    let address = lasting_address();
    let authority = server.authority();
    let mut config = String::from("events { }\n");
    write!(
        config,
        "http {{
    upstream node {{ server {authority}; keepalive 4; }}
    server {{
        listen {address};
        location / {{
            limit_except GET POST {{ deny all; }}
            proxy_pass http://node;
            proxy_http_version 1.1;
            proxy_set_header Connection \"\";
            proxy_set_header Host 127.0.0.1;
            proxy_ignore_client_abort on;
            proxy_request_buffering off;
            proxy_buffering off;
        }}
    }}
}}
"
    )
    .expect("memory can be written");
    Nginx::configured(&config, &address).await
}

/// Requests that never end, and one of a time when answers had no status: the proxy waits for more.
const UNANSWERED: [&str; 3] = [
    "a chunk larger than what comes",
    "a body larger than what comes",
    "HTTP/0.9",
];

/// Everything that comes back for these bytes, until the connection ends.
async fn said(nginx: &Nginx, bytes: &[u8]) -> String {
    let mut stream = TcpStream::connect(nginx.address()).await.unwrap();
    // It may have refused already.
    stream.write_all(bytes).await.ok();
    stream.shutdown().await.ok();
    let mut answers = Vec::new();
    let read = stream.read_to_end(&mut answers);
    within("the connection ends", read).await.ok();
    String::from_utf8_lossy(&answers).into_owned()
}

/// RFC 9112 section 11.2: whatever the proxy makes of a doubtful request, the server behind it runs
/// nothing that the proxy did not see, and nobody gets the answer of somebody else.
#[tokio::test]
async fn nothing_is_smuggled_through_a_proxy() {
    let server = Switchboard::start().await;
    let nginx = nginx(&server).await;
    let session = server.session(VERSION).await;
    let proxied = Stateless::new(&format!("{}/mcp", nginx.url()));
    for (name, bytes) in doubtful(&session.id) {
        println!("== {name}");
        let answers = said(&nginx, bytes.as_bytes()).await;
        // The second is that of the proxy, to the request which it does not let through.
        let statuses = answers.matches("HTTP/1.1 ").count();
        let refused = answers.matches("HTTP/1.1 403").count();
        let expected = usize::from(!UNANSWERED.contains(&name));
        assert_eq!(statuses - refused, expected, "{name}: {answers}");
        // Whoever comes next over the same connections to the server has their own answers.
        for turn in 0..3 {
            let text = format!("{name} {turn}");
            let echoed = proxied.tool("echo", json!({"text": text})).await;
            assert_eq!(echoed.tool_text(), text);
        }
        let mine = session.call("ping", json!({})).await;
        assert_eq!(mine.status, 200, "{name} let a smuggled DELETE through");
    }
    // Were it let through whole, it would be served.
    let plain = String::from_utf8(ping(&session.id).bytes()).unwrap();
    let plain = plain.replacen("\r\n", "\r\nConnection: close\r\n", 1);
    assert!(
        said(&nginx, plain.as_bytes())
            .await
            .starts_with("HTTP/1.1 200")
    );
}
