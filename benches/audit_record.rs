//! What does it cost to record a call?

use std::hint::black_box;
use std::sync::Arc;

use criterion::{Criterion, criterion_group, criterion_main};
use switchboard::audit::redact::{Redactor, Report, Rules};
use switchboard::audit::{Audit, Begin, Config, Decision, End, Ending, OnFailure, Party, Places};
use switchboard::identity::{Caller, Origin};
use switchboard::protocol::raw::RawJson;
use switchboard::runtime::clock::Clock;
use switchboard::runtime::seal::ClusterKeys;
use switchboard::telemetry::metrics::Metrics;

const ARGUMENTS: &str =
    r#"{"text":"abcdefghij klmnopqrst uvwxyzabcd efghijklmn opqrstuvwx yzabcdefghijkl"}"#;
const RESULT: &str = r#"{"content":[{"type":"text","text":"abcdefghij klmnopqrst uvwxyzabcd efghijklmn opqrstuvwx yzabcdefghijkl"}]}"#;

fn bench(criterion: &mut Criterion) {
    let keys = ClusterKeys::generate();
    let (arguments, result) = (RawJson::from_valid(ARGUMENTS), RawJson::from_valid(RESULT));
    let redactor = Redactor::new(&Rules::default(), &keys).expect("the default rules are right");
    criterion.bench_function("audit_record/redact_64_bytes", |bencher| {
        bencher.iter(|| {
            let mut report = Report::default();
            redactor.document(
                "t",
                Some("echo"),
                black_box(&arguments),
                16_384,
                &mut report,
            )
        });
    });

    let directory = tempfile::tempdir().expect("there is room for files");
    let place = |name: &str| directory.path().join(name);
    let config = Config {
        // Nobody waits for the disk, so that the work is measured and not the waiting.
        on_failure: OnFailure::Open,
        ..Config::in_directory(Places {
            records: place("records"),
            checkpoints: place("checkpoints"),
            vault: place("vault"),
        })
    };
    let clock = Clock::system();
    let audit = Audit::open(&config, &keys, &clock, &Metrics::new(), "bench");
    let audit = audit.expect("the directory can be used");
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .expect("a runtime can be built");
    let caller = Caller::local();
    let origin = Arc::new(Origin {
        address: "127.0.0.1".parse().ok(),
        user_agent: Some("bench/1".to_owned()),
    });
    let begin = Begin {
        party: Party {
            caller: &caller,
            session: Some("c2Vzc2lvbg"),
            origin: &origin,
        },
        trace: None,
        method: "tools/call",
        target: Some("echo"),
        is_target_given: true,
        upstream: None,
        decision: Decision {
            is_allowed: true,
            rule: Some("analyst/0"),
            policy: Some("1"),
        },
        input: Some(&arguments),
        bytes: 200,
    };
    let end = End {
        output: Some(&result),
        ..End::of(Ending::Ok)
    };
    // Rounds of a thousand calls, each ended by waiting for its last record: the writer's work, done on
    // its own thread, is in it.
    let mut group = criterion.benchmark_group("audit_record");
    group.throughput(criterion::Throughput::Elements(1_000));
    group.bench_function("begin_and_end_of_1000_calls", |bencher| {
        bencher.to_async(&runtime).iter(|| async {
            let mut last = None;
            for _ in 0..1_000 {
                let begun = audit.begin(&begin).await.expect("it is open");
                last = Some(begun.end(&end));
            }
            last.expect("there were some").await
        });
    });
    group.finish();
    runtime.block_on(audit.close());
}

criterion_group!(benches, bench);
criterion_main!(benches);
