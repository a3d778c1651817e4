//! How long does it take to read a request and decide its era?

use std::hint::black_box;

use bytes::Bytes;
use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use switchboard::protocol::era::{VersionHeader, classify};
use switchboard::protocol::jsonrpc::{Body, Message};
use switchboard::protocol::prescan::Limits;
use switchboard::protocol::version::Era;

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

fn read(bytes: &Bytes, header: &str) -> (Message, Era) {
    let Ok(Body::Single(message)) = Body::parse(bytes, &Limits::default()) else {
        panic!("the request of this bench is one message");
    };
    let era = classify(&message, VersionHeader::Http(Some(header)));
    (message, era.expect("it belongs to an era"))
}

fn bench(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("classify");
    for (name, text, header, era) in [
        ("session_era_call", SESSION, "2025-11-25", Era::Session),
        (
            "stateless_era_call",
            STATELESS,
            "2026-07-28",
            Era::Stateless,
        ),
    ] {
        let bytes = Bytes::from_static(text.as_bytes());
        assert_eq!(read(&bytes, header).1, era);
        group.throughput(Throughput::Bytes(bytes.len() as u64));
        group.bench_function(name, |bencher| {
            bencher.iter(|| read(black_box(&bytes), black_box(header)));
        });
    }
}

criterion_group!(benches, bench);
criterion_main!(benches);
