//! The end of a story over Redis: all that is left of it is read and judged.

use std::collections::BTreeMap;

use super::checker::{self, store};
use super::clients::Crowd;
use super::history::Record;
use super::kept::{Kept, StreamOf, changes};
use super::ledger::{self, Execution};
use crate::world::{Cluster, eventually};

/// What clients saw, what was executed, and every promise that was broken. The crowd leaves, and
/// node `asked`, which should not have run all its calls, tells its streams again.
pub async fn judge(
    crowd: &mut Crowd,
    cluster: &Cluster,
    asked: usize,
) -> (Vec<Record>, Vec<Execution>, Vec<String>) {
    crowd.leave().await;
    let names: BTreeMap<&str, &str> = (crowd.members().iter())
        .map(|member| (member.session.as_str(), member.name.as_str()))
        .collect();
    // Who died a moment ago counts as living for a while, and who was busy as dead.
    let kept = eventually("the leases are those of the nodes that run", || async {
        let kept = Kept::of(&cluster.redis, &names).await;
        (kept.living.len() == cluster.running()).then_some(kept)
    })
    .await;
    let changes = changes(&cluster.redis, &names).await;
    let history = crowd.history().records();
    let executed = ledger::read(&cluster.ledger_file());
    // Last, since whoever asks for a standing stream takes it over.
    let begins = |of: &StreamOf| kept.streams.get(of).map(|it| it.last - it.kept);
    let dump = crowd.dump(cluster[asked].address(), begins).await;

    println!(
        "judged: {} records, {} executions, {} streams in Redis after {} changes",
        history.len(),
        executed.len(),
        kept.streams.len(),
        changes.len()
    );
    let mut found = checker::violations(&history, &executed, &dump);
    found.extend(store::violations(&history, &kept, &changes));
    (history, executed, found)
}

/// The same when none may be.
///
/// # Panics
/// When one was broken.
pub async fn judged(
    crowd: &mut Crowd,
    cluster: &Cluster,
    asked: usize,
) -> (Vec<Record>, Vec<Execution>) {
    let (history, executed, found) = judge(crowd, cluster, asked).await;
    checker::assert_none(&found);
    (history, executed)
}
