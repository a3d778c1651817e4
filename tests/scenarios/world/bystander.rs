//! A client of an upstream that is well, while another is not.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use serde_json::json;
use tokio::task::JoinHandle;

use super::{Switchboard, within};

/// Between two calls: a hundred per second, so that a fault of a moment is not missed.
const TEMPO: Duration = Duration::from_millis(10);

/// Calls a tool `echo` again and again until it is asked what came of it.
#[derive(Debug)]
pub struct Bystander {
    calling: JoinHandle<()>,
    enough: Arc<AtomicBool>,
    counts: Arc<[AtomicU64; 2]>,
}

impl Bystander {
    /// Begins to call this tool.
    pub fn of(gateway: &Switchboard, tool: &'static str) -> Self {
        let client = gateway.stateless();
        let enough = Arc::new(AtomicBool::new(false));
        let counts = Arc::new([AtomicU64::new(0), AtomicU64::new(0)]);
        let (until, count) = (enough.clone(), counts.clone());
        let calling = tokio::spawn(async move {
            let mut tempo = tokio::time::interval(TEMPO);
            while !until.load(Ordering::Relaxed) {
                tempo.tick().await;
                let answer = client.tool(tool, json!({"text": "well"})).await;
                let is_well = answer.message()["result"]["content"][0]["text"] == "well";
                count[usize::from(is_well)].fetch_add(1, Ordering::Relaxed);
            }
        });
        Self {
            calling,
            enough,
            counts,
        }
    }

    /// Of a thousand calls, at most one may have failed.
    pub async fn noticed_nothing(self) {
        self.enough.store(true, Ordering::Relaxed);
        within("the last call ends", self.calling).await.unwrap();
        let [failed, well] = [0, 1].map(|at: usize| self.counts[at].load(Ordering::Relaxed));
        println!("-- a bystander made {well} calls, and {failed} that failed");
        assert!(well > 0 && failed * 1_000 <= well, "{failed} of {well}");
    }
}
