//! What every store promises, told once and run over each implementation.
//!
//! A story is an async function that takes a way to open a store; `contract!` makes a test of it
//! for each implementation. What only a store with files promises is told in [`restart`], [`damage`],
//! [`disk_full`] and [`refusals`].

mod damage;
mod disk_full;
mod inboxes;
mod leases;
mod logs;
mod process;
mod records;
mod refusals;
mod restart;
mod things;
mod world;

/// Runs each story over each implementation.
macro_rules! contract {
    ($($story:ident),* $(,)?) => {
        mod memory {
            $(#[tokio::test]
            async fn $story() {
                super::$story($crate::store_contract::world::World::memory).await;
            })*
        }
        mod embedded {
            $(#[tokio::test]
            async fn $story() {
                super::$story($crate::store_contract::world::World::embedded).await;
            })*
        }
    };
}
use contract;
