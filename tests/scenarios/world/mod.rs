//! What the scenarios are told with.

pub mod answer;
pub mod asserted;
pub mod authority;
pub mod bystander;
pub mod client;
pub mod cluster;
pub mod command;
pub mod disk_faults;
pub mod events;
pub mod fault_proxy;
pub mod http_sse;
pub mod identity_provider;
pub mod marked;
pub mod nginx;
pub mod own;
pub mod process;
pub mod reading;
pub mod redis;
pub mod relay;
pub mod scripted;
pub mod scripted_stream;
pub mod server;
pub mod signals;
pub mod stdio;
pub mod terminal;
pub mod tools;
pub mod wire;

pub use answer::Answer;
pub use client::{Session, Stateless};
pub use cluster::Cluster;
pub use disk_faults::FaultyDisk;
pub use events::{Event, EventStream};
pub use fault_proxy::FaultProxy;
pub use http_sse::HttpSse;
pub use nginx::Nginx;
pub use reading::{NOTHING, Told};
pub use redis::Redis;
pub use server::{Setup, Store, Switchboard};

use std::future::Future;
use std::time::{Duration, Instant};

/// How long a scenario waits for something that must happen: ten times and more what is promised,
/// so that only a real fault is ever reported on a busy machine.
pub const PATIENCE: Duration = Duration::from_secs(30);

/// Waits until `condition` gives something, asking again and again.
///
/// # Panics
/// When it has not within [`PATIENCE`].
pub async fn eventually<T, F>(what: &str, mut condition: impl FnMut() -> F) -> T
where
    F: Future<Output = Option<T>>,
{
    let started = Instant::now();
    loop {
        if let Some(found) = condition().await {
            return found;
        }
        assert!(
            started.elapsed() < PATIENCE,
            "not within {PATIENCE:?}: {what}"
        );
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}

/// An HTTP client that trusts no certificates: nothing here speaks TLS, and to load the system's
/// takes so long that a server gives up on the connections of a hundred clients meanwhile.
pub fn http_client() -> reqwest::Client {
    reqwest::Client::builder()
        .tls_certs_only([])
        .build()
        .expect("a client needs nothing")
}

/// The same, presenting this with every request.
pub fn http_client_bearing(credential: &str) -> reqwest::Client {
    let value = format!("Bearer {credential}");
    let value = value.parse().expect("a credential is a header value");
    reqwest::Client::builder()
        .tls_certs_only([])
        .default_headers(
            [(reqwest::header::AUTHORIZATION, value)]
                .into_iter()
                .collect(),
        )
        .build()
        .expect("a client needs nothing")
}

/// Fetches a page.
pub async fn get(url: impl reqwest::IntoUrl) -> reqwest::Result<reqwest::Response> {
    http_client().get(url).send().await
}

/// Waits for `future`, which must end.
///
/// # Panics
/// When it has not within [`PATIENCE`].
pub async fn within<T>(what: &str, future: impl Future<Output = T>) -> T {
    match tokio::time::timeout(PATIENCE, future).await {
        Ok(value) => value,
        Err(_) => panic!("not within {PATIENCE:?}: {what}"),
    }
}

/// Whether the stories that take long are told at full length (`tests/run --long`).
pub fn long() -> bool {
    std::env::var_os("SWITCHBOARD_TEST_LONG").is_some()
}

/// Every revision with a handshake and a session, oldest first.
pub const SESSION_ERA: [&str; 4] = ["2024-11-05", "2025-03-26", "2025-06-18", "2025-11-25"];
