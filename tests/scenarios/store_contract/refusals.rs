//! A data directory that cannot be used is refused with one sentence that says what to do.

use std::fs;

use switchboard::store::Bounds;
use switchboard::store::embedded::{EmbeddedStore, OpenError};
use tempfile::TempDir;

use super::world::clock;

#[tokio::test]
async fn a_second_process_is_refused_and_told_who_is_there() {
    let dir = TempDir::new().unwrap();
    let first = EmbeddedStore::open(dir.path(), clock(), Bounds::default()).unwrap();
    first.name_holder("listening on 127.0.0.1:8080").unwrap();

    let second = EmbeddedStore::open(dir.path(), clock(), Bounds::default());

    let error = second.expect_err("the first is still there");
    assert!(matches!(error, OpenError::Locked { .. }));
    let holder = format!(
        "in use by process {}, listening on 127.0.0.1:8080;",
        std::process::id()
    );
    assert!(error.to_string().contains(&holder), "{error}");
    drop(first);
    EmbeddedStore::open(dir.path(), clock(), Bounds::default()).unwrap();
}

#[tokio::test]
async fn the_lock_file_of_a_dead_process_is_no_obstacle() {
    let dir = TempDir::new().unwrap();
    fs::write(dir.path().join("lock"), "process 4711").unwrap();
    EmbeddedStore::open(dir.path(), clock(), Bounds::default()).unwrap();
}

#[tokio::test]
async fn a_place_that_cannot_be_a_directory_is_named() {
    let dir = TempDir::new().unwrap();
    let file = dir.path().join("file");
    fs::write(&file, "").unwrap();
    for path in [file.clone(), file.join("data")] {
        let refused = EmbeddedStore::open(&path, clock(), Bounds::default());
        let error = refused.expect_err("a file is in the way");
        assert!(matches!(error, OpenError::NotWritable { .. }));
        let sentence = error.to_string();
        assert!(sentence.contains(path.to_str().unwrap()), "{sentence}");
    }
}

#[tokio::test]
async fn a_directory_of_another_format_is_refused() {
    let dir = TempDir::new().unwrap();
    fs::write(dir.path().join("format"), "switchboard embedded store 2\n").unwrap();
    let refused = EmbeddedStore::open(dir.path(), clock(), Bounds::default());
    let error = refused.expect_err("a later version wrote it");
    assert!(matches!(error, OpenError::UnknownFormat { .. }));
    assert!(error.to_string().contains("embedded store 2"), "{error}");
}

#[tokio::test]
async fn a_records_file_without_a_format_is_refused() {
    let dir = TempDir::new().unwrap();
    fs::write(dir.path().join("sessions.redb"), "whose?").unwrap();
    let refused = EmbeddedStore::open(dir.path(), clock(), Bounds::default());
    assert!(matches!(refused, Err(OpenError::NotOurs { .. })));
}
