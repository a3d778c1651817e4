//! A simulated world for the two machines of a call's stream: thousands of short stories of a few
//! nodes that share a store, in which a seed decides what goes wrong.
//!
//! The real [`super::gate`] and [`super::tail`] run over the real store in memory. Simulated is what
//! is between them: time, the ways to the store and to the client, letters, leases. Asks and
//! answers are late, pass each other, or get lost when the store is away; letters are lost or come
//! twice; nodes are killed, stand still for longer than their lease, or are cut off; the client
//! loses its connection at any event and comes back anywhere. At last everything is well again.
//!
//! ```text
//! client <--- connections ---> call: Gate      node 1 --+-- asks, answers --> the store
//!                         \--> reader: Tail    node 2 --+
//! ```
//!
//! What must hold, at every event and at the end ([`witness`], [`client`], [`nodes`]):
//! - What leaves a node with a number is in the log, under that number.
//! - Numbers rise for the client, whose resumes leave no gap and bring nothing twice. Only what came
//!   without a number may come again with one, when it was stored after all.
//! - The log has one history: one writer under each epoch, nothing of an earlier owner, one end,
//!   one outcome for each request. A call that was overtaken stops.
//! - A call is taken only from a node that is gone or once was; of any other, how it ended is in the
//!   log, whatever the store did.
//! - In the end the client has an outcome for each request, or was told that what it missed is no
//!   longer kept, and that is so.
//!
//! It does not copy what is decided, only what carries it out: `call` what `call_stream` and
//! `open_stream` do, `reader` what `replay` and `follower` do.

mod call;
mod client;
mod event;
mod nodes;
mod random;
mod reader;
mod shared_store;
mod witness;
mod world;

use std::any::Any;
use std::ops::Range;
use std::panic::{AssertUnwindSafe, catch_unwind};

use crate::runtime::sabotage::{self, Bug};
use witness::Seen;
use world::World;

/// Stories of the ordinary run: each kind of trouble comes up hundreds of times.
const SEEDS: u64 = 20_000;
/// Stories of the long one.
const MANY_SEEDS: u64 = 1_000_000;

/// The story of one seed, or the promise that was broken.
fn story(seed: u64, told: bool) -> Result<Seen, String> {
    let living = AssertUnwindSafe(|| World::of(seed, told).live());
    catch_unwind(living).map_err(|panic| said(&*panic))
}

fn said(panic: &(dyn Any + Send)) -> String {
    let literal = panic.downcast_ref::<&str>().map(|said| (*said).to_owned());
    let formatted = panic.downcast_ref::<String>().cloned();
    literal.or(formatted).unwrap_or_default()
}

/// Lives through all of them; tells the first in which a promise is broken, event by event.
fn all_end_well(seeds: Range<u64>) -> Seen {
    let mut seen = Seen::default();
    for seed in seeds {
        match story(seed, false) {
            Ok(of_one) => seen += of_one,
            Err(broken) => {
                eprintln!("seed {seed}: {broken}");
                drop(story(seed, true));
                panic!("seed {seed}: {broken}");
            }
        }
    }
    println!("{seen:?}");
    seen
}

/// The first story in which a bug shows.
fn first_to_show(bug: Bug) -> Option<(u64, String)> {
    sabotage::with(bug, || {
        (0..SEEDS).find_map(|seed| Some((seed, story(seed, false).err()?)))
    })
}

#[test]
fn streams_keep_what_is_promised_whatever_goes_wrong() {
    let seen = all_end_well(0..SEEDS);
    let enough = SEEDS / 200;
    for (what, count) in [
        ("takeovers", seen.takeovers),
        ("calls that were overtaken", seen.overtaken),
        (
            "resumes where the call ran",
            seen.resumed - seen.resumed_elsewhere,
        ),
        ("resumes elsewhere", seen.resumed_elsewhere),
        ("events without a number", seen.unnumbered),
        ("results", seen.results),
        ("unknown outcomes", seen.unknown),
        ("streams left to their readers", seen.left),
        ("logs that were mended", seen.mended),
        ("logs that were ended after their call", seen.ended_late),
        ("clients that came back too late", seen.dropped),
    ] {
        assert!(count >= enough, "only {count} {what}");
    }
}

#[test]
#[ignore = "takes minutes"]
fn a_million_streams_keep_what_is_promised_whatever_goes_wrong() {
    all_end_well(SEEDS..MANY_SEEDS);
}

#[test]
fn an_event_that_leaves_before_it_is_stored_is_found() {
    shows(Bug::NoOutputGate);
}

#[test]
fn a_call_that_goes_on_after_it_was_overtaken_is_found() {
    shows(Bug::EpochIgnored);
}

#[test]
fn a_takeover_from_a_node_that_lives_is_found() {
    shows(Bug::LastWriteWinsLease);
}

/// A bug breaks a promise, and not just an assertion of a machine's own.
fn shows(bug: Bug) {
    let (seed, broken) = first_to_show(bug).expect("the simulation finds it");
    println!("{}: seed {seed}: {broken}", bug.name());
    assert!(!broken.contains("invariant"), "{broken}");
}
