//! Values that somebody else wrote, cut or changed: only what they belong to suffers.

use switchboard::store::{LogPage, Scope};

use super::{is_damaged, open_at, use_all};
use crate::store_contract::world::{HERE, World, text};
use crate::world::Redis;

/// The key of this scope, found by looking.
async fn key_of(redis: &Redis, kind: &str, scope: &Scope) -> String {
    let pattern = format!("sb:1:*:{kind}:*{}*", scope.0);
    let keys = redis.cli(&["KEYS", &pattern]).await;
    keys.list().first().expect("there is one").text()
}

/// The others are as they were, also of the same name but for a letter.
async fn others_are_well(world: &World, other: &Scope) {
    let record = world.store.read(other).await.unwrap().unwrap();
    assert_eq!(record.value, text("record"));
    use_all(world, HERE, "new").await;
}

/// Ours: of later releases, cut short, changed, gone in parts, or something else altogether.
#[tokio::test]
async fn a_record_that_is_none_of_ours_is_refused_and_can_be_removed() {
    let redis = Redis::start().await;
    let world = open_at(&redis.url());
    let other = world.session("other").await;
    let cases = [
        (
            "of a later form",
            vec!["HSET", "KEY", "r", "\u{2}....record"],
        ),
        ("cut short", vec!["HSET", "KEY", "r", "\u{1}.."]),
        ("changed", vec!["HSET", "KEY", "r", "\u{1}....record"]),
        ("empty", vec!["HSET", "KEY", "r", ""]),
        ("without value", vec!["HDEL", "KEY", "r"]),
        ("without version", vec!["HDEL", "KEY", "v"]),
        ("of no version", vec!["HSET", "KEY", "v", "first"]),
    ];
    for (problem, command) in cases {
        let session = world.session("a").await;
        let key = key_of(&redis, "s", &session).await;
        let command = command
            .iter()
            .map(|word| if *word == "KEY" { key.as_str() } else { word });
        redis.cli(&command.collect::<Vec<_>>()).await;

        let read = world.store.read(&session).await;
        assert!(is_damaged(&read), "{problem}: {read:?}");
        println!("{problem}: {}", read.unwrap_err());
        others_are_well(&world, &other).await;
        assert_eq!(world.store.remove(&session).await, Ok(true), "{problem}");
    }

    let session = world.session("a").await;
    let key = key_of(&redis, "s", &session).await;
    redis.cli(&["SET", &key, "a text"]).await;
    assert!(is_damaged(&world.store.read(&session).await));
    assert!(is_damaged(&world.store.remove(&session).await));
    others_are_well(&world, &other).await;
}

/// Ours: what is written about a single thing.
#[tokio::test]
async fn a_thing_that_is_none_of_ours_is_refused_and_goes_with_its_scope() {
    let redis = Redis::start().await;
    let world = open_at(&redis.url());
    let other = world.session("other").await;
    for written in ["", "\u{1}", "\u{2}abc", "\u{1}abc", "\u{1}\u{c1}"] {
        let session = world.session("a").await;
        let (stream, epoch) = world.stream(&session, "stream").await;
        let key = key_of(&redis, "s", &session).await;
        redis.cli(&["HSET", &key, "t:stream", written]).await;

        let append = world.append((&session, &stream, epoch), [1], 10).await;
        assert!(is_damaged(&append), "{written:?}: {append:?}");
        let owner = world.store.ownership(&session, &stream).await;
        assert!(is_damaged(&owner), "{written:?}: {owner:?}");
        assert!(world.store.read(&session).await.unwrap().is_some());
        others_are_well(&world, &other).await;
        assert_eq!(world.store.remove(&session).await, Ok(true));
    }
}

/// Ours: a log whose entries were changed, or that is no log, or is gone by other hands.
#[tokio::test]
async fn a_log_that_is_none_of_ours_is_refused_or_told_as_dropped() {
    let redis = Redis::start().await;
    let world = open_at(&redis.url());
    let other = world.session("other").await;
    let read = async |session: &Scope, stream: &_| {
        world.store.read_log(session, stream, 0, 10, None).await
    };

    let session = world.session("a").await;
    let (stream, epoch) = world.stream(&session, "stream").await;
    world
        .append((&session, &stream, epoch), 1..=3, 10)
        .await
        .unwrap();
    let log = key_of(&redis, "l", &session).await;
    redis
        .cli(&["XADD", &log, "4-0", "d", "\u{1}....changed"])
        .await;
    redis.cli(&["XDEL", &log, "3-0"]).await;
    assert!(is_damaged(&read(&session, &stream).await));
    redis.cli(&["XDEL", &log, "4-0"]).await;
    redis.cli(&["XDEL", &log, "1-0"]).await;
    assert_eq!(read(&session, &stream).await, Ok(LogPage::Dropped));
    redis.cli(&["DEL", &log]).await;
    assert_eq!(read(&session, &stream).await, Ok(LogPage::Dropped));
    redis.cli(&["SET", &log, "a text"]).await;
    assert!(is_damaged(&read(&session, &stream).await));
    let append = world.append((&session, &stream, epoch), [4], 10).await;
    assert!(is_damaged(&append), "{append:?}");
    others_are_well(&world, &other).await;
    assert_eq!(world.store.remove(&session).await, Ok(true));
}
