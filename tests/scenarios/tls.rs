//! TLS: who is served, who is not, and certificates that change while connections live.

use std::fmt::Write as _;
use std::os::unix::fs::PermissionsExt as _;

use serde_json::json;

use crate::world::authority::{Authority, Files, replace};
use crate::world::client::post;
use crate::world::command::run;
use crate::world::server::CONFIG;
use crate::world::{Switchboard, eventually, http_client, within};

/// The configuration of a server that shows this certificate.
fn tls(files: &Files, more: &str) -> String {
    let mut text = String::from("[server.tls]\n");
    let (certificate, key) = (files.certificate.display(), files.key.display());
    writeln!(
        text,
        "certificate = \"{certificate}\"\nkey = \"{key}\"\n{more}"
    )
    .unwrap();
    text
}

async fn with_tls(files: &Files, more: &str) -> Switchboard {
    let setup = Switchboard::with().config(&tls(files, more)).keeps_log();
    setup.start().await
}

/// Whether a call over this client is answered.
async fn is_served(client: &reqwest::Client, server: &Switchboard) -> bool {
    let message = json!({"jsonrpc": "2.0", "id": 1, "method": "initialize", "params": {
        "protocolVersion": "2025-11-25", "capabilities": {},
        "clientInfo": {"name": "scenario", "version": "1"}}});
    let asked = post(client, &server.url("/mcp")).body(message.to_string());
    match within("there is an answer or none", asked.send()).await {
        Ok(answer) => {
            assert_eq!(answer.version(), reqwest::Version::HTTP_11);
            answer.status() == 200
        }
        Err(_) => false,
    }
}

/// Ours: with a certificate TLS is spoken, and nothing else.
#[tokio::test]
async fn a_server_with_a_certificate_speaks_tls_only() {
    let authority = Authority::new();
    let files = authority.signs_for_this_machine();
    let mut server = with_tls(&files, "").await;
    assert!(server.url("").starts_with("https://"), "it says so");
    assert!(is_served(&authority.trusted_by_a_client(None), &server).await);
    let strangers = Authority::new();
    assert!(!is_served(&strangers.trusted_by_a_client(None), &server).await);
    let clear = server.url("/health").replacen("https", "http", 1);
    assert!(http_client().get(clear).send().await.is_err());
    assert_eq!(server.stop().await.code(), Some(0));
}

/// Ours: who has to show a certificate, has to.
#[tokio::test]
async fn without_a_client_certificate_there_is_no_connection_where_one_is_required() {
    let authority = Authority::new();
    let ca = authority.file();
    let more = format!(
        "client_ca = \"{}\"\nclient_certificates = \"required\"",
        ca.display()
    );
    let server = with_tls(&authority.signs_for_this_machine(), &more).await;
    let shows = |identity| authority.trusted_by_a_client(Some(identity));
    assert!(is_served(&shows(authority.signs_for_a_client("a.example")), &server).await);
    assert!(!is_served(&authority.trusted_by_a_client(None), &server).await);
    let foreign = Authority::new().signs_for_a_client("a.example");
    assert!(!is_served(&shows(foreign), &server).await);
}

/// Ours: a renewed certificate is shown to whoever connects from then on, and a broken one to nobody.
#[tokio::test]
async fn a_renewed_certificate_is_shown_and_a_broken_one_is_refused() {
    let (before, after) = (Authority::new(), Authority::new());
    let files = before.signs_for_this_machine();
    let server = with_tls(&files, "").await;
    let connected = before.trusted_by_a_client(None);
    assert!(is_served(&connected, &server).await);

    replace(&files.certificate, "not a certificate");
    let refused = format!(
        "server.tls.certificate: the file {} holds no certificate",
        files.certificate.display()
    );
    eventually("it is refused", async || {
        server.log().contains(&refused).then_some(())
    })
    .await;
    assert!(is_served(&before.trusted_by_a_client(None), &server).await);

    let renewed = after.signs_for_this_machine();
    let text = |file| std::fs::read_to_string(file).unwrap();
    replace(&files.key, &text(&renewed.key));
    replace(&files.certificate, &text(&renewed.certificate));
    eventually("the new one is shown", async || {
        is_served(&after.trusted_by_a_client(None), &server)
            .await
            .then_some(())
    })
    .await;
    assert!(is_served(&connected, &server).await, "connections live on");
    assert!(!is_served(&before.trusted_by_a_client(None), &server).await);
    let log = server.log();
    assert!(log.contains("certificate=true"), "{log}");
    assert!(!log.contains("next start"), "{log}");
}

/// Ours: operators' own listener speaks TLS if it is told to, and asks nobody for a certificate.
#[tokio::test]
async fn the_listener_of_operators_speaks_tls_if_it_is_told_to() {
    let authority = Authority::new();
    let ca = authority.file();
    let more = format!(
        "client_ca = \"{}\"\nclient_certificates = \"required\"\n\
         [admin]\nlisten = \"127.0.0.1:0\"\ntls = true",
        ca.display()
    );
    let files = authority.signs_for_this_machine();
    let config = format!("[server]\nlisten = \"127.0.0.1:0\"\n{}", tls(&files, &more));
    let server = Switchboard::with().config(&config).keeps_log();
    let server = server.start().await;
    let admin = eventually("it says where it is", async || {
        let log = server.log();
        let (_, rest) = log.split_once(" admin=")?;
        Some(rest.split_whitespace().next()?.to_owned())
    })
    .await;
    let client = authority.trusted_by_a_client(None);
    let health = client.get(format!("https://{admin}/health")).send().await;
    assert_eq!(health.unwrap().status(), 200);
    assert!(!is_served(&client, &server).await);
}

/// Ours: a key that everybody on the machine can read is nobody's secret.
#[tokio::test]
async fn a_private_key_that_everybody_can_read_is_refused_at_start() {
    let authority = Authority::new();
    let files = authority.signs_for_this_machine();
    let readable = std::fs::Permissions::from_mode(0o644);
    std::fs::set_permissions(&files.key, readable).unwrap();
    let directory = tempfile::tempdir().unwrap();
    let config = directory.path().join(CONFIG);
    std::fs::write(&config, tls(&files, "")).unwrap();
    let ended = run(directory.path(), &["--config", CONFIG, "serve"]).await;
    assert_eq!(ended.code, 2, "{}", ended.err);
    let expected = format!(
        "server.tls.key: the file {} can be read or changed by every user",
        files.key.display()
    );
    assert!(ended.err.contains(&expected), "{}", ended.err);
}

/// RFC 6797: a server that is known by an https URL says that it speaks nothing else, also when it
/// refuses; one that is known by none, such as a test on this machine, does not.
#[tokio::test]
async fn a_public_server_of_tls_is_never_asked_in_clear_again() {
    let authority = Authority::new();
    let files = authority.signs_for_this_machine();
    let client = authority.trusted_by_a_client(None);
    let public = "[server]\npublic_url = \"https://127.0.0.1\"\n";
    for (more, said) in [(public, Some("max-age=31536000")), ("", None)] {
        let configuration = format!("{more}{}", tls(&files, ""));
        let server = Switchboard::with().config(&configuration).start().await;
        for path in ["/health", "/nowhere"] {
            let answer = client.get(server.url(path)).send().await.unwrap();
            let header = answer.headers().get("strict-transport-security");
            assert_eq!(header.map(|it| it.to_str().unwrap()), said, "{path}");
        }
    }
}
