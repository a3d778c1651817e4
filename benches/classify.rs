//! How long does it take to read a request and decide its era?

use std::hint::black_box;

use bytes::Bytes;
use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use switchboard::protocol::era::{Belongs, VersionHeader, classify};
use switchboard::protocol::jsonrpc::Body;
use switchboard::protocol::prescan::Limits;

const SESSION: &str = concat!(
    r#"{"jsonrpc":"2.0","id":1000000000,"method":"tools/call","params":{"name":"echo","#,
    r#""arguments":{"text":"abcdefghijklmnopqrstuvwxyzabcdefghijklmnopqrstuvwxyzabcdefghijkl"},"#,
    r#""_meta":{"progressToken":1000000000}}}"#,
);
const STATELESS: &str = concat!(
    r#"{"jsonrpc":"2.0","id":1000000000,"method":"tools/call","params":{"name":"echo","#,
    r#""arguments":{"text":"abcdefghijklmnopqrstuvwxyzabcdefghijklmnopqrstuvwxyzabcdefghijkl"},"#,
    r#""_meta":{"io.modelcontextprotocol/protocolVersion":"2026-07-28","#,
    r#""io.modelcontextprotocol/clientCapabilities":{}}}}"#,
);

fn read(bytes: &Bytes, header: &str) -> Belongs {
    let Ok(Body::Single(message)) = Body::parse(bytes, &Limits::default()) else {
        panic!("the request of this bench is one message");
    };
    classify(message, VersionHeader::Http(Some(header))).expect("it belongs to an era")
}

fn bench(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("classify");
    for (name, text, header, is_stateless) in [
        ("session_era_call", SESSION, "2025-11-25", false),
        ("stateless_era_call", STATELESS, "2026-07-28", true),
    ] {
        let bytes = Bytes::from_static(text.as_bytes());
        let belongs = read(&bytes, header);
        assert_eq!(matches!(belongs, Belongs::Stateless(..)), is_stateless);
        group.throughput(Throughput::Bytes(bytes.len() as u64));
        group.bench_function(name, |bencher| {
            bencher.iter(|| read(black_box(&bytes), black_box(header)));
        });
    }
}

criterion_group!(benches, bench);
criterion_main!(benches);
