//! Counting what clients say to a Redis, apart from what its scripts do.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};

use tokio::task::JoinHandle;

use super::resp::Connection;

/// Counts commands by name (`MONITOR`). Ends when dropped.
#[derive(Debug)]
pub struct Monitor {
    counts: Arc<Mutex<BTreeMap<String, u64>>>,
    reading: JoinHandle<()>,
}

impl Monitor {
    pub(super) async fn over(mut connection: Connection) -> Self {
        let begun = connection.command(&["MONITOR"]).await;
        begun.expect("Redis can be monitored");
        let counts = Arc::new(Mutex::new(BTreeMap::new()));
        let counted = counts.clone();
        let reading = tokio::spawn(async move {
            while let Ok(reply) = connection.reply().await {
                if let Some(name) = client_command(&reply.text()) {
                    *counted.lock().unwrap().entry(name).or_insert(0) += 1;
                }
            }
        });
        Self { counts, reading }
    }

    /// How often each command was said so far.
    pub fn counts(&self) -> BTreeMap<String, u64> {
        self.counts.lock().unwrap().clone()
    }
}

impl Drop for Monitor {
    fn drop(&mut self) {
        self.reading.abort();
    }
}

/// The command of a line such as `1.5 [0 127.0.0.1:33] "set" "a" "1"`, unless a script ran it.
fn client_command(line: &str) -> Option<String> {
    let (head, rest) = line.split_once("] ")?;
    if head.ends_with(" lua") {
        return None;
    }
    let name = rest.split('"').nth(1)?;
    Some(name.to_ascii_lowercase())
}
