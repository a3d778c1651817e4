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
mod refusals;
mod restart;
mod things;
pub mod world;

/// Runs each story over one implementation.
macro_rules! stories_over {
    ($world:ident: $($story:ident),*) => {
        $(#[tokio::test]
        async fn $story() {
            super::$story($crate::store_contract::world::$world()).await;
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
        mod redis_cluster {
            /// A cluster takes longer to begin than most stories: they share one, emptied for each.
            #[tokio::test]
            async fn each_story_over_three_nodes() {
                let cluster = $crate::world::redis::RedisCluster::of(3).await;
                $(
                    println!(stringify!($story));
                    let open = $crate::store_contract::world::redis_cluster(&cluster).await;
                    super::$story(open).await;
                )*
            }
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
