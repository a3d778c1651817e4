//! How long does it take to ask a session's actor something and have its answer?

use std::sync::Arc;

use criterion::{Criterion, criterion_group, criterion_main};
use node::Node;
use switchboard::protocol::logging::LogLevel;
use switchboard::runtime::clock::{Clock, Timestamp};
use switchboard::session::Config;
use switchboard::session::record::Change;
use switchboard::store::Bounds;
use switchboard::store::memory::MemoryStore;

mod node;

fn bench(criterion: &mut Criterion) {
    // It stands still, so no session falls out of use.
    let clock = Clock::manual(Timestamp(1_000));
    let store = Arc::new(MemoryStore::new(clock.clone(), Bounds::default()));
    let node = Node::start(&clock, store, Config::default().passivate_after);
    let session = node.open(1).remove(0);
    let mut group = criterion.benchmark_group("ask_actor");
    // One round trip, the sealing of the question's id, and taking the question back.
    group.bench_function("open_question", |bencher| {
        bencher
            .to_async(&node.runtime)
            .iter(|| async { session.open_question().await.expect("few are open") });
    });
    // One round trip, and a write to the store in memory.
    group.bench_function("change_log_level", |bencher| {
        bencher.to_async(&node.runtime).iter(|| async {
            let changed = session.change(Change::LogLevel(LogLevel::Debug)).await;
            changed.expect("the store in memory is there");
        });
    });
}

criterion_group!(benches, bench);
criterion_main!(benches);
