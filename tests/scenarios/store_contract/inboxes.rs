//! Inboxes: in order, taken by cursor, bounded; a reader is told what it missed.

use std::time::Duration;

use bytes::Bytes;
use futures_util::FutureExt;
use switchboard::store::{Bounds, INBOX_MESSAGE_BYTES_MAX, StoreError};

use super::contract;
use super::world::{HERE, Open, THERE, text};

contract!(
    messages_are_taken_in_order_until_the_cursor_passes_them,
    an_empty_inbox_answers_when_the_wait_is_over,
    a_message_wakes_the_reader_that_waits_for_it,
    a_full_inbox_loses_its_oldest_and_says_so_once,
    a_message_too_large_is_refused,
    a_cursor_from_a_forgotten_inbox_is_told_that_messages_were_lost,
);

/// Long enough that no test ever waits so long.
const PATIENCE: Duration = Duration::from_secs(60);
const NOW: Duration = Duration::ZERO;

async fn messages_are_taken_in_order_until_the_cursor_passes_them(open: Open) {
    let world = open(Bounds::default()).await;
    let store = &world.store;
    for message in ["a", "b"] {
        store.post(HERE, text(message)).await.unwrap();
    }
    store.post(THERE, text("not for here")).await.unwrap();
    let page = store.receive(HERE, 0, PATIENCE).await.unwrap();
    assert_eq!(page.messages, [text("a"), text("b")]);
    assert!(!page.lost);
    let again = store.receive(HERE, 0, PATIENCE).await.unwrap();
    assert_eq!(again, page, "nothing goes before the cursor passes it");

    store.post(HERE, text("c")).await.unwrap();
    let next = store.receive(HERE, page.cursor, PATIENCE).await.unwrap();
    assert_eq!(next.messages, [text("c")]);
    let rest = store.receive(HERE, next.cursor, NOW).await.unwrap();
    assert_eq!((rest.messages.len(), rest.lost), (0, false));
    assert_eq!(rest.cursor, next.cursor);
}

async fn an_empty_inbox_answers_when_the_wait_is_over(open: Open) {
    let world = open(Bounds::default()).await;
    let page = world.store.receive(HERE, 0, NOW).await.unwrap();
    assert_eq!((page.messages.len(), page.lost), (0, false));
    world.store.post(HERE, text("a")).await.unwrap();
    let next = world.store.receive(HERE, page.cursor, NOW).await.unwrap();
    assert_eq!(next.messages, [text("a")]);
}

async fn a_message_wakes_the_reader_that_waits_for_it(open: Open) {
    let world = open(Bounds::default()).await;
    let mut waiting = world.store.receive(HERE, 0, PATIENCE);
    assert!(waiting.as_mut().now_or_never().is_none(), "it waits");
    let (page, posted) = tokio::join!(waiting, world.store.post(HERE, text("a")));
    posted.unwrap();
    assert_eq!(page.unwrap().messages, [text("a")]);
}

async fn a_full_inbox_loses_its_oldest_and_says_so_once(open: Open) {
    let world = open(Bounds {
        inbox_messages: 3,
        ..Bounds::default()
    })
    .await;
    let store = &world.store;
    store.post(HERE, text("0")).await.unwrap();
    let first = store.receive(HERE, 0, PATIENCE).await.unwrap();
    for number in 1..=4 {
        store.post(HERE, text(&number.to_string())).await.unwrap();
    }
    let page = store.receive(HERE, first.cursor, PATIENCE).await.unwrap();
    assert_eq!(page.messages, [text("2"), text("3"), text("4")]);
    assert!(page.lost, "1 was dropped before it was read");
    let next = store.receive(HERE, page.cursor, NOW).await.unwrap();
    assert_eq!((next.messages.len(), next.lost), (0, false));
}

async fn a_message_too_large_is_refused(open: Open) {
    let world = open(Bounds::default()).await;
    let message = Bytes::from(vec![0; INBOX_MESSAGE_BYTES_MAX + 1]);
    let refused = world.store.post(HERE, message.clone()).await;
    assert!(matches!(refused, Err(StoreError::Full(_))));
    let fits = message.slice(1..);
    assert_eq!(world.store.post(HERE, fits).await, Ok(()));
}

async fn a_cursor_from_a_forgotten_inbox_is_told_that_messages_were_lost(open: Open) {
    let world = open(Bounds::default()).await;
    let store = &world.store;
    store.post(HERE, text("a")).await.unwrap();
    let page = store.receive(HERE, 0, PATIENCE).await.unwrap();
    world.forget_inboxes().await;
    store.post(HERE, text("b")).await.unwrap();
    let late = store.receive(HERE, page.cursor, PATIENCE).await.unwrap();
    assert_eq!(late.messages, [text("b")]);
    assert!(late.lost);
}
