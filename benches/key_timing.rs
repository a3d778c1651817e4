//! Does the time in which a key is refused tell whether there is a key of that id?
//!
//! Prints Welch's t between the times of keys whose id is unknown and of keys whose secret is wrong. Below
//! 4.5 there is nothing to be seen in so many samples; the first row, of two lots that differ in nothing,
//! says what this machine makes of that.

#![expect(clippy::print_stdout, reason = "what it finds is for whoever runs it")]

use std::hint::black_box;
use std::sync::Arc;
use std::time::Instant;

use futures_util::FutureExt as _;
use switchboard::auth::api_key::{ApiKey, LEN};
use switchboard::keyring::{Keyring, NewKey};
use switchboard::runtime::clock::{Clock, Timestamp};
use switchboard::runtime::seal::{self, ClusterKeys};
use switchboard::store::Bounds;
use switchboard::store::memory::MemoryStore;

/// Samples of each kind.
const SAMPLES: usize = 100_000;
/// Keys that there are, over all pages, so that those that are tried have neighbours.
const OWNERS: usize = 1_000;
/// Samples slower than this part of all are left out of all but the first number: they were interrupted.
const UNDISTURBED: f64 = 0.99;

/// What ids and checksums are written with, in order.
const DIGITS: &[u8; 62] = b"0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz";

fn main() {
    // It stands still, so what was read of the keys is never read again: only the look itself is timed.
    let clock = Clock::manual(Timestamp(1_000_000));
    let store = Arc::new(MemoryStore::new(clock.clone(), Bounds::default()));
    let keyring = Keyring::new(store, &ClusterKeys::generate(), clock);
    let create = |owner: usize| {
        let new = NewKey {
            tenant: "t1".into(),
            owner: format!("owner {owner}"),
            roles: ["analyst".to_owned()].into(),
            scopes: std::collections::BTreeSet::new(),
            life: None,
            begins_in: None,
            networks: Vec::new(),
        };
        let created = keyring.create(new).now_or_never();
        created
            .expect("the store is in memory")
            .expect("there is room")
            .0
    };
    let good = (0..OWNERS).map(create).collect::<Vec<_>>();
    let revoked = (0..OWNERS).map(create).collect::<Vec<_>>();
    for key in &revoked {
        let revoking = keyring.revoke(key.id().as_str()).now_or_never();
        revoking
            .expect("the store is in memory")
            .expect("there is such a key");
    }
    let listed = keyring.list().now_or_never();
    listed
        .expect("the store is in memory")
        .expect("all is read");

    // As near to the good ones as can be: those are then what they are compared with, so that as many
    // records are touched in either case, and the processor's caches make no difference.
    let near = good.iter().map(|key| just_before(key.id().as_str()));
    let unknown = near.map(|id| with_id(&id)).collect::<Vec<_>>();
    let time = |key: &ApiKey| {
        let began = Instant::now();
        let verified = keyring.verify(black_box(key), None).now_or_never();
        let took = began.elapsed();
        assert!(
            verified.expect("nothing is waited for").is_err(),
            "none is good"
        );
        took.as_secs_f64() * 1e9
    };
    println!(
        "{:<44} {:>8} {:>8} {:>9} {:>9}",
        "", "t", "t, calm", "mean, ns", "mean, ns"
    );
    compare("unknown id, and unknown id", [&unknown, &unknown], &time);
    compare("unknown id, and wrong secret", [&unknown, &good], &time);
    let name = "unknown id, and wrong secret of a revoked one";
    compare(name, [&unknown, &revoked], &time);
}

/// Times keys of both kinds in random order, so that whatever else the machine does meets both. Each is
/// made in the same way just before it is tried.
fn compare(name: &str, kinds: [&[ApiKey]; 2], time: &dyn Fn(&ApiKey) -> f64) {
    let mut samples = [Vec::new(), Vec::new()];
    while samples.iter().any(|samples| samples.len() < SAMPLES) {
        let kind = number() % 2;
        let key = with_another_secret(&kinds[kind][number() % OWNERS]);
        let took = time(&key);
        if samples[kind].len() < SAMPLES {
            samples[kind].push(took);
        }
    }
    let [one, other] = samples;
    let mut all = [&one[..], &other].concat();
    all.sort_by(f64::total_cmp);
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        clippy::cast_precision_loss,
        reason = "a place in a list"
    )]
    let slowest = all[(all.len() as f64 * UNDISTURBED) as usize];
    let undisturbed = |samples: &[f64]| {
        let samples = samples.iter().copied().filter(|took| *took < slowest);
        samples.collect::<Vec<_>>()
    };
    let (all, calm) = ([&one[..], &other], [undisturbed(&one), undisturbed(&other)]);
    println!(
        "{name:<44} {:>8.2} {:>8.2} {:>9.0} {:>9.0}",
        welch(all[0], all[1]),
        welch(&calm[0], &calm[1]),
        mean(&calm[0]),
        mean(&calm[1]),
    );
}

/// Welch's t: the difference of the means in units of its own uncertainty.
fn welch(one: &[f64], other: &[f64]) -> f64 {
    let error = |samples: &[f64]| variance(samples) / count(samples);
    (mean(one) - mean(other)) / (error(one) + error(other)).sqrt()
}

fn mean(samples: &[f64]) -> f64 {
    samples.iter().sum::<f64>() / count(samples)
}

fn variance(samples: &[f64]) -> f64 {
    let mean = mean(samples);
    let squares = samples.iter().map(|sample| (sample - mean).powi(2));
    squares.sum::<f64>() / (count(samples) - 1.0)
}

#[expect(clippy::cast_precision_loss, reason = "there are a hundred thousand")]
fn count(samples: &[f64]) -> f64 {
    samples.len() as f64
}

/// Any number.
fn number() -> usize {
    usize::from(u16::from_be_bytes(seal::random()))
}

/// A well-formed key of the same id with a secret of another one.
fn with_another_secret(key: &ApiKey) -> ApiKey {
    with_id(key.id().as_str())
}

/// The last id before this one.
fn just_before(id: &str) -> String {
    let mut id = id.as_bytes().to_vec();
    for digit in id.iter_mut().rev() {
        let place = DIGITS.iter().position(|it| it == digit);
        match place.expect("an id is of digits").checked_sub(1) {
            Some(before) => {
                *digit = DIGITS[before];
                break;
            }
            None => *digit = DIGITS[DIGITS.len() - 1],
        }
    }
    String::from_utf8(id).expect("digits are text")
}

/// Any key of that id.
fn with_id(id: &str) -> ApiKey {
    const CHECKSUM: usize = 6;
    let other = ApiKey::generate(0).reveal();
    let secret = other.split('_').nth(2).expect("a key has a secret");
    let body = format!("mcpk_{id}_{secret}");
    let mut rest = crc32fast::hash(body.as_bytes());
    let mut checksum = [b'0'; CHECKSUM];
    for digit in checksum.iter_mut().rev() {
        *digit = DIGITS[rest as usize % DIGITS.len()];
        rest /= 62;
    }
    let text = format!("{body}_{}", String::from_utf8_lossy(&checksum));
    assert_eq!(text.len(), LEN, "all keys are as long");
    ApiKey::parse(&text).expect("it is written like a key")
}
