//! How long does it take to find a session among ten thousand live ones?

use std::hint::black_box;
use std::sync::Arc;

use criterion::{Criterion, criterion_group, criterion_main};
use node::{ENDPOINT, Node};
use switchboard::identity::Caller;
use switchboard::runtime::clock::{Clock, Timestamp};
use switchboard::session::Config;
use switchboard::store::Bounds;
use switchboard::store::memory::MemoryStore;

mod node;

const LIVE: usize = 10_000;

fn bench(criterion: &mut Criterion) {
    // It stands still, so no session falls out of use.
    let clock = Clock::manual(Timestamp(1_000));
    let store = Arc::new(MemoryStore::new(clock.clone(), Bounds::default()));
    let node = Node::start(&clock, store, Config::default().passivate_after);
    let ids = node
        .open(LIVE)
        .iter()
        .map(|session| session.id().as_str().to_owned())
        .collect::<Vec<_>>();
    let caller = Arc::new(Caller::local());
    let mut group = criterion.benchmark_group("find_session");
    // In turn, so that neither the caches nor one shard of the index answer for all.
    let mut next = ids.iter().cycle();
    group.bench_function("live_among_10000", |bencher| {
        bencher.to_async(&node.runtime).iter(|| {
            let id = next.next().expect("there are ids");
            let find = node.sessions.find(black_box(id), &caller, ENDPOINT);
            async { find.await.expect("the session is live") }
        });
    });
    let stranger = Arc::new(Caller::known_as("stranger"));
    group.bench_function("refuse_a_stranger", |bencher| {
        bencher.to_async(&node.runtime).iter(|| {
            let find = node.sessions.find(black_box(&ids[0]), &stranger, ENDPOINT);
            async { find.await.expect_err("it is somebody else's") }
        });
    });
}

criterion_group!(benches, bench);
criterion_main!(benches);
