//! A connection of its own, for what must not wait behind anything else: leases, and the inbox.
//!
//! It is made on the runtime that first uses it and kept there, so that whoever renews leases on a
//! thread of its own is not delayed by the main runtime. It does not ask the breaker: its users come
//! at a pace of their own, and connections are spaced out anyway.

use std::time::Duration;

use deadpool_redis::redis::{Pipeline, RedisError, RedisResult, Value};

use super::connection::Connection;
use super::failure::{self, Verdict, judge};
use super::lanes::Shared;
use crate::store::{StoreError, StoreResult};

/// At most one connection, used by one at a time.
#[derive(Default)]
pub(super) struct Apart(tokio::sync::Mutex<Option<Connection>>);

impl std::fmt::Debug for Apart {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Apart")
    }
}

impl Apart {
    /// Runs commands that may be run twice, in one trip, and answers each. Waits for the answers
    /// `patience` and no longer.
    ///
    /// # Cancel safety
    /// May be dropped at any await; the connection then goes as well.
    pub(super) async fn run(
        &self,
        shared: &Shared,
        commands: &Pipeline,
        patience: Duration,
    ) -> StoreResult<Vec<Value>> {
        let mut place = self.0.lock().await;
        if let Some(mut kept) = place.take() {
            match trip(&mut kept, commands, patience).await {
                Ok(answers) => {
                    *place = Some(kept);
                    return Ok(answers);
                }
                // It may just be old: closed by the server, to a primary that is none any more, or
                // unknown to a server that began anew.
                Err(error) => {
                    shared.one_broke();
                    if error.is_timeout() {
                        return Err(said(&error, patience));
                    }
                }
            }
        }
        let fresh = async {
            let mut fresh = shared.servers.connect().await?;
            let answers = trip(&mut fresh, commands, patience).await?;
            Ok((fresh, answers))
        };
        let (fresh, answers) = fresh.await.map_err(|error| {
            if failure::refuses_writes(&error) {
                shared.refuses_writes(&error.to_string());
            }
            said(&error, patience)
        })?;
        *place = Some(fresh);
        Ok(answers)
    }
}

async fn trip(
    connection: &mut Connection,
    commands: &Pipeline,
    patience: Duration,
) -> RedisResult<Vec<Value>> {
    let answers = tokio::time::timeout(patience, connection.run(commands)).await;
    let answers = answers.map_err(|_| failure::timed_out())??;
    answers.into_iter().map(Value::extract_error).collect()
}

fn said(error: &RedisError, patience: Duration) -> StoreError {
    if error.is_timeout() && judge(error) == Verdict::Away {
        failure::late(patience)
    } else {
        failure::store_error(error)
    }
}
