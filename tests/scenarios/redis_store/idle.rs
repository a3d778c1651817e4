//! What a node asks of its store by itself, and what it says about it.

use std::io::Write;
use std::sync::{Arc, Mutex};
use std::time::Instant;

use switchboard::Host;
use switchboard::server::Server;

use super::{open_at, renewed};
use crate::store_contract::world::{HERE, scope};
use crate::world::{Redis, eventually, within};

/// Ours: a node that nobody uses costs its store next to nothing.
#[tokio::test]
async fn an_idle_node_sends_at_most_two_commands_a_second() {
    let redis = Redis::start().await;
    let keys = "0123456789abcdef".repeat(4);
    let toml = format!(
        "server.listen = '127.0.0.1:0'\nstore.url = '{}'\ncluster.keys = ['{keys}']",
        redis.url()
    );
    let host = Host::new(Server::builder("idle", "1")).config(toml);
    let node = within("the node starts", host.start()).await.unwrap();
    let monitor = redis.monitor().await;
    let began = Instant::now();
    let counts = eventually(
        "it read its inbox and renewed its lease a few times",
        || async {
            let counts = monitor.counts();
            let several = counts.get("xread").is_some_and(|count| *count >= 2);
            (several && counts.get("evalsha").is_some_and(|count| *count >= 6)).then_some(counts)
        },
    )
    .await;
    let (took, sent) = (began.elapsed(), counts.values().sum::<u64>());
    println!("{sent} commands in {took:?}: {counts:?}");
    assert!(sent <= 2 * (took.as_secs() + 1));
    within("it stops", node.stop()).await.unwrap();
}

/// What is logged on this thread.
#[derive(Clone, Default)]
struct Logged(Arc<Mutex<Vec<u8>>>);

impl Write for Logged {
    fn write(&mut self, line: &[u8]) -> std::io::Result<usize> {
        self.0.lock().unwrap().write(line)
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

/// What the first use of this server says.
async fn said_about(redis: &Redis) -> String {
    let logged = Logged::default();
    let writer = logged.clone();
    let log = tracing_subscriber::fmt().with_ansi(false);
    let log = log.with_writer(move || writer.clone()).finish();
    let guard = tracing::subscriber::set_default(log);
    let world = open_at(&redis.url());
    renewed(&world, HERE).await;
    assert_eq!(world.store.read(&scope("a")).await, Ok(None));
    drop(guard);
    let said = logged.0.lock().unwrap().clone();
    String::from_utf8(said).unwrap()
}

/// Ours: what can be lost is said once at the start; nothing is refused for it.
#[tokio::test]
async fn a_store_that_can_lose_writes_is_named_as_one() {
    const CAUTION: &str = "acknowledged writes can be lost with the store's primary";
    let passing = Redis::start().await;
    let said = said_about(&passing).await;
    assert_eq!(said.matches(CAUTION).count(), 1, "{said}");
    assert!(
        said.contains("it has no replica and writes no file"),
        "{said}"
    );

    let primary = Redis::with().append_only().start().await;
    let said = said_about(&primary).await;
    assert!(said.contains("it has no replica\""), "{said}");
    let replica = Redis::with().replica_of(&primary).start().await;
    replica.in_step_with(&primary).await;
    let said = said_about(&primary).await;
    assert_eq!(said.matches(CAUTION).count(), 0, "{said}");
}
