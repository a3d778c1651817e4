//! What an error of the server or the connection means for the store.

use std::time::Duration;

use deadpool_redis::redis::{ErrorKind, RedisError, make_extension_error};

use crate::store::StoreError;

/// What follows from an error.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Verdict {
    /// What stands under this key is not what we wrote; all else is well.
    Damaged,
    /// The server does not know a script (any more): tell it and ask again.
    Unloaded,
    /// The server cannot do it now; another connection would not help.
    Unable,
    /// This connection leads nowhere, or to the wrong server.
    Away,
    /// It refused what it was asked, which says nothing about the next request.
    Refused,
}

/// Judges an error.
pub(super) fn judge(error: &RedisError) -> Verdict {
    match error.code() {
        Some("DAMAGED" | "WRONGTYPE") => Verdict::Damaged,
        Some("NOSCRIPT") => Verdict::Unloaded,
        // Full, not able to persist, too few replicas, busy, not allowed, a slot that moves.
        Some("OOM" | "MISCONF" | "NOREPLICAS" | "BUSY" | "NOPERM" | "TRYAGAIN") => Verdict::Unable,
        Some(
            "LOADING" | "READONLY" | "MASTERDOWN" | "CLUSTERDOWN" | "MOVED" | "ASK" | "NOAUTH"
            | "WRONGPASS",
        ) => Verdict::Away,
        _ if matches!(error.kind(), ErrorKind::Server(_) | ErrorKind::Extension) => {
            Verdict::Refused
        }
        _ => Verdict::Away,
    }
}

/// Whether it says that the server takes no writes, whatever it does otherwise.
pub(super) fn refuses_writes(error: &RedisError) -> bool {
    matches!(
        error.code(),
        Some("READONLY" | "OOM" | "MISCONF" | "NOREPLICAS")
    )
}

/// The error as the store's caller gets it. A server that is full is unavailable, not
/// [`StoreError::Full`]: that is for bounds of ours that a client ran into.
pub(super) fn store_error(error: &RedisError) -> StoreError {
    let said = error.to_string();
    match judge(error) {
        // The server adds which script said so, and where.
        Verdict::Damaged => StoreError::Damaged(error.detail().map_or(said, |detail| {
            let (what, _) = detail.split_once(" script: ").unwrap_or((detail, ""));
            what.to_owned()
        })),
        Verdict::Unloaded | Verdict::Unable | Verdict::Away | Verdict::Refused => {
            StoreError::Unavailable(said)
        }
    }
}

/// No answer within the time an operation may take.
pub(super) fn late(timeout: Duration) -> StoreError {
    StoreError::Unavailable(format!("no answer within {timeout:?}"))
}

/// Why a write does not count that was done.
pub(super) const TOO_FEW_REPLICAS: &str = "too few replicas have it";

/// A refusal of ours among the server's.
pub(super) fn refusal(problem: &'static str) -> RedisError {
    make_extension_error("REFUSED".into(), Some(problem.into()))
}

/// An answer that no script of ours gives.
pub(super) fn unexpected() -> RedisError {
    (ErrorKind::UnexpectedReturnType, "unexpected answer").into()
}

/// No answer within the time an operation may take, as the client would say it.
pub(super) fn timed_out() -> RedisError {
    std::io::Error::from(std::io::ErrorKind::TimedOut).into()
}
