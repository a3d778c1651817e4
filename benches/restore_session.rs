//! How long does it take to bring a passivated session back from the store?

use std::sync::Arc;
use std::time::{Duration, Instant};

use criterion::{Criterion, criterion_group, criterion_main};
use node::{ENDPOINT, Node};
use switchboard::identity::Caller;
use switchboard::runtime::clock::{Clock, Timestamp};
use switchboard::store::embedded::EmbeddedStore;
use switchboard::store::memory::MemoryStore;
use switchboard::store::{Bounds, Store};

mod node;

/// Sessions that are passivated at once; more amortise the waiting for the registry's sweep.
const BATCH: usize = 500;
/// Unused for so long, a session goes.
const PASSIVATE_AFTER: Duration = Duration::from_millis(200);
/// How long the registry may take to sweep; it does so twenty times a second here.
const PATIENCE: Duration = Duration::from_secs(10);

fn bench(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("restore_session");
    // Passivation is waited for and not measured, so a sample takes longer than it says.
    group
        .sample_size(10)
        .warm_up_time(Duration::from_millis(200))
        .measurement_time(Duration::from_millis(500));
    let directory = tempfile::TempDir::new().expect("a temporary directory can be made");
    // It stands still while sessions are restored.
    let clock = Clock::manual(Timestamp(1_000));
    let memory = MemoryStore::new(clock.clone(), Bounds::default());
    let embedded = EmbeddedStore::open(directory.path(), clock.clone(), Bounds::default())
        .expect("the directory is ours");
    let stores: [(_, Arc<dyn Store>); 2] = [
        ("memory", Arc::new(memory)),
        ("embedded", Arc::new(embedded)),
    ];
    for (name, store) in stores {
        let node = Node::start(&clock, store, PASSIVATE_AFTER);
        let ids = node
            .open(BATCH)
            .iter()
            .map(|session| session.id().as_str().to_owned())
            .collect::<Vec<_>>();
        group.bench_function(name, |bencher| {
            bencher.iter_custom(|iterations| {
                let iterations = usize::try_from(iterations).expect("it fits");
                let mut took = Duration::ZERO;
                for begun in (0..iterations).step_by(BATCH) {
                    passivate(&node, &clock);
                    took += restore(&node, &ids[..BATCH.min(iterations - begun)]);
                }
                took
            });
        });
    }
}

/// Lets the clock run until every session is out of use, and waits for the sweep that sees it.
fn passivate(node: &Node, clock: &Clock) {
    clock.advance(PASSIVATE_AFTER);
    let started = Instant::now();
    while node.sessions.live() > 0 {
        assert!(started.elapsed() < PATIENCE, "the registry does not sweep");
        std::thread::sleep(Duration::from_millis(1));
    }
}

/// Restores one after the other: a client that comes back waits for its own session only.
fn restore(node: &Node, ids: &[String]) -> Duration {
    let caller = Arc::new(Caller::local());
    node.runtime.block_on(async {
        let started = Instant::now();
        for id in ids {
            let found = node.sessions.find(id, &caller, ENDPOINT).await;
            found.expect("the store has it");
        }
        started.elapsed()
    })
}

criterion_group!(benches, bench);
criterion_main!(benches);
