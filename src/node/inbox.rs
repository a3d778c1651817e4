//! The inbox: letters in the order they were put there, each handed to the part it is for.

use std::time::Duration;

use bytes::Bytes;

use super::letter::{self, Topic};
use super::{Heard, Inner, Parts};
use crate::runtime::ratelimited::warn_ratelimited;
use crate::store::{Incarnation, Scope};

/// How long one look waits for the first letter. Longer saves commands, shorter nothing: a letter
/// ends the wait.
const WAIT: Duration = Duration::from_secs(5);
/// How long a look that failed is not repeated.
const AGAIN: Duration = Duration::from_millis(250);

/// Reads for as long as it is polled.
pub(super) async fn read(node: &Inner, parts: &Parts) {
    let mut cursor = 0;
    let mut failing = false;
    loop {
        let receiving = parts.store.receive(parts.incarnation, cursor, WAIT);
        match receiving.await {
            Ok(page) => {
                failing = false;
                cursor = page.cursor;
                if page.lost {
                    tracing::warn!("letters from other nodes were lost");
                    node.doubt();
                }
                for message in page.messages {
                    take(node, parts, &message).await;
                }
            }
            Err(error) => {
                if !std::mem::replace(&mut failing, true) {
                    tracing::warn!(%error, "letters from other nodes cannot be read");
                }
                tokio::time::sleep(AGAIN).await;
            }
        }
    }
}

async fn take(node: &Inner, parts: &Parts, message: &Bytes) {
    match letter::read(message) {
        Ok((Topic::Doubt, from, keys)) => {
            node.keys.hear(from, &keys);
            node.doubt();
        }
        Ok((Topic::Census, from, keys)) => {
            node.keys.hear(from, &keys);
            node.hurry.notify_one();
        }
        Ok((Topic::Large, from, named)) => {
            if let Some((topic, body)) = fetch(parts, &named).await {
                node.hear(topic, Heard::Letter { from, body });
            } else {
                tracing::warn!("a large letter from another node is gone");
            }
        }
        Ok((topic, from, body)) => node.hear(topic, Heard::Letter { from, body }),
        // From another release, during a rolling upgrade: what it asks we cannot do.
        Err(error) => warn_ratelimited!("a letter from another node was not understood", %error),
    }
}

/// Takes a body out of the record it travelled in.
async fn fetch(parts: &Parts, named: &Bytes) -> Option<(Topic, Bytes)> {
    let scope = Scope(std::str::from_utf8(named).ok()?.into());
    let record = parts.store.read(&scope).await.ok()??;
    // Left behind, it goes by its own expiry.
    drop(parts.store.remove(&scope).await);
    match letter::read(&record.value).ok()? {
        (Topic::Large | Topic::Doubt | Topic::Census, Incarnation(_), _) => None,
        (topic, Incarnation(_), body) => Some((topic, body)),
    }
}
