//! Stateless calls that go on throughout a story: none may fail, and how long they take is told.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use tokio::task::JoinHandle;

use super::super::http::Connection;
use super::super::requests;
use crate::world::within;

/// Between two calls: enough of them for a percentile, and hardly any load.
const PAUSE: Duration = Duration::from_millis(10);

/// Calls one after the other until its end.
#[derive(Debug)]
pub struct Steady {
    over: Arc<AtomicBool>,
    calling: JoinHandle<Vec<Duration>>,
}

impl Steady {
    /// Begins to call a node.
    pub fn at(address: SocketAddr) -> Self {
        let over = Arc::<AtomicBool>::default();
        let ended = over.clone();
        let calling = tokio::spawn(async move {
            let mut connection = Connection::open(address).await.expect("it listens");
            let mut times = Vec::new();
            while !ended.load(Ordering::Relaxed) {
                let began = Instant::now();
                let call = async {
                    let head = connection.send(&requests::stateless_echo("on")).await?;
                    Ok::<_, std::io::Error>((head.status, connection.body().await?))
                };
                let answered = within("a stateless call is answered", call).await;
                let (status, text) = answered.expect("its connection lasts");
                assert!(status == 200 && text.contains("on"), "{status} {text}");
                times.push(began.elapsed());
                tokio::time::sleep(PAUSE).await;
            }
            times
        });
        Self { over, calling }
    }

    /// Ends it, and tells how long the calls took.
    ///
    /// # Panics
    /// When one was not answered as if nothing were broken.
    pub async fn end(self, when: &str) {
        self.over.store(true, Ordering::Relaxed);
        let mut times = self.calling.await.expect("every stateless call goes well");
        times.sort_unstable();
        let at = |percent: usize| times[times.len() * percent / 100];
        println!(
            "{when}: {} stateless calls, half within {:?}, 99 % within {:?}",
            times.len(),
            at(50),
            at(99)
        );
    }
}
