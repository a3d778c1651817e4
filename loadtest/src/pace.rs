//! Send times that are fixed in advance.
//!
//! A load in an open loop does not ask whether the server keeps up: the k-th send is due at its
//! time, and whoever sends it late counts the delay as the server's. The times are kept by a thread
//! of its own, because the timers of the runtime tick once a millisecond.

use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};

/// One send: what number it has, and when it is due.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Due {
    pub(crate) number: u32,
    pub(crate) at: Instant,
}

/// `total` sends, `per_second` of them, dealt out to `lanes` in turn. Each lane ends after its last.
///
/// What waits in a lane is bounded by `total`; a lane that falls behind is what is measured.
pub(crate) fn lanes(
    total: u32,
    per_second: f64,
    lanes: usize,
) -> (Vec<UnboundedReceiver<Due>>, JoinHandle<()>) {
    let (senders, receivers): (Vec<_>, Vec<_>) = (0..lanes).map(|_| unbounded_channel()).unzip();
    let keeper = std::thread::spawn(move || keep(total, per_second, &senders));
    (receivers, keeper)
}

fn keep(total: u32, per_second: f64, lanes: &[UnboundedSender<Due>]) {
    let start = Instant::now();
    for (number, lane) in (0..total).zip(lanes.iter().cycle()) {
        let at = start + Duration::from_secs_f64(f64::from(number) / per_second);
        let early = at.saturating_duration_since(Instant::now());
        if !early.is_zero() {
            std::thread::sleep(early);
        }
        // A lane that has given up has counted why.
        let _taken = lane.send(Due { number, at });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_lane_gets_its_turn_and_ends() {
        let (mut lanes, keeper) = lanes(5, 1e6, 2);
        keeper.join().unwrap();
        let mut numbers = |lane: usize| {
            std::iter::from_fn(|| lanes[lane].blocking_recv())
                .map(|due| due.number)
                .collect::<Vec<_>>()
        };
        assert_eq!(numbers(0), [0, 2, 4]);
        assert_eq!(numbers(1), [1, 3]);
    }
}
