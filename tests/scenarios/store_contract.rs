//! What every store promises, told once and run over each implementation.
//!
//! A story is an async function that takes a way to open a store; `contract!` makes a test of it
//! for each implementation, `contract_of_one_node!` for those that one node has to itself. What only a
//! store with files promises is told in [`restart`], [`damage`], [`disk_full`] and [`refusals`].

mod damage;
mod disk_full;
mod inboxes;
mod leases;
mod logs;
mod process;
mod records;
mod redis_server;
mod refusals;
mod restart;
mod things;
mod world;

/// Runs each story over one implementation.
macro_rules! stories_over {
    ($world:ident: $($story:ident),*) => {
        $(#[tokio::test]
        async fn $story() {
            super::$story($crate::store_contract::world::World::$world).await;
        })*
    };
}
use stories_over;

/// Runs each story over each implementation.
macro_rules! contract {
    ($($story:ident),* $(,)?) => {
        mod memory {
            $crate::store_contract::stories_over!(memory: $($story),*);
        }
        mod embedded {
            $crate::store_contract::stories_over!(embedded: $($story),*);
        }
        mod redis {
            $crate::store_contract::stories_over!(redis: $($story),*);
        }
    };
}
use contract;

/// Runs each story over each implementation that one node has to itself.
macro_rules! contract_of_one_node {
    ($($story:ident),* $(,)?) => {
        mod memory_alone {
            $crate::store_contract::stories_over!(memory: $($story),*);
        }
        mod embedded_alone {
            $crate::store_contract::stories_over!(embedded: $($story),*);
        }
    };
}
use contract_of_one_node;
