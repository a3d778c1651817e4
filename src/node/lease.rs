//! The lease: renewed three times in its life, and given up by our own clock before it lapses.

use std::sync::atomic::Ordering;
use std::time::Duration;

use super::{Inner, Parts};

/// A renewal after which nothing was heard for so long is tried again at once.
const AGAIN: Duration = Duration::from_millis(250);

/// Renews for as long as it is polled.
pub(super) async fn renew(node: &Inner, parts: &Parts) {
    let lease = parts.lease;
    let between = lease / 3;
    let mut had_it = false;
    let mut first = true;
    loop {
        // The store counts from when it hears of the renewal, we from when we asked: so ours
        // always ends first.
        let asked = node.elapsed();
        let renewing = parts.store.renew(parts.incarnation, lease);
        let renewed = tokio::time::timeout(between, renewing).await;
        let wait = match renewed {
            Ok(Ok(renewed)) => {
                if std::mem::take(&mut first) {
                    parts.clock.follow(renewed.now);
                }
                let held = u64::try_from(lease.as_millis()).unwrap_or(u64::MAX);
                if node.elapsed() >= node.held_until.load(Ordering::Acquire) {
                    node.held_since.store(asked, Ordering::Release);
                }
                node.held_until
                    .store(asked.saturating_add(held), Ordering::Release);
                if renewed.lost {
                    tracing::error!(
                        "the store lost data, began anew, or had this node for dead; every session kept here is checked"
                    );
                    node.doubt();
                }
                let is_new = !had_it;
                if is_new {
                    tracing::info!(nodes = renewed.living.len(), "lease held");
                }
                had_it = true;
                node.note_living(renewed.living);
                if is_new {
                    // What they announce from now on is for this node, too.
                    node.call_census();
                }
                between
            }
            Ok(Err(error)) => {
                say_once(&mut had_it, &error.to_string());
                AGAIN.min(between)
            }
            Err(_) => {
                say_once(&mut had_it, "it took too long");
                AGAIN.min(between)
            }
        };
        tokio::select! {
            () = tokio::time::sleep(wait) => {}
            () = node.hurry.notified() => {}
        }
    }
}

/// Says that the lease is not renewed any more: once, not at each try.
fn say_once(had_it: &mut bool, why: &str) {
    if std::mem::take(had_it) {
        tracing::warn!(
            why,
            "lease not renewed; nothing that must exist once begins here"
        );
    }
}
