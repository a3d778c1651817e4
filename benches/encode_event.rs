//! How long does it take to write one event of a stream?

use std::hint::black_box;

use bytes::BytesMut;
use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use switchboard::identity::Principal;
use switchboard::runtime::seal::ClusterKeys;
use switchboard::service::event::Event;
use switchboard::session::IdMint;
use switchboard::session::event_log::StreamName;
use switchboard::transport::sse::encoder;

const PROGRESS: &str = concat!(
    r#"{"jsonrpc":"2.0","method":"notifications/progress","params":{"#,
    r#""progressToken":1000000000,"progress":17,"total":100,"message":"1750000000000000"}}"#,
);

fn bench(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("encode_event");
    let session = IdMint::new(&ClusterKeys::generate()).mint(&Principal::local(), "main");
    let random = StreamName::fresh(&session);
    for (name, stream, seq) in [
        ("progress_with_id", Some(&random), Some(17)),
        ("progress_without_id", None, None),
    ] {
        let event = Event::Message {
            seq,
            data: PROGRESS.into(),
        };
        group.throughput(Throughput::Elements(1));
        group.bench_function(name, |bencher| {
            // As on a busy stream: many events are gathered into one piece.
            let mut piece = BytesMut::with_capacity(64 * 1024);
            bencher.iter(|| {
                if piece.len() > 32 * 1024 {
                    piece.clear();
                }
                encoder::encode(black_box(&event), stream, &mut piece);
            });
        });
    }
}

criterion_group!(benches, bench);
criterion_main!(benches);
