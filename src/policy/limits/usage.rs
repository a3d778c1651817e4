//! How much of its limits is used: what the command line asks a node, and what that answers.

use serde::{Deserialize, Serialize};

use super::Demands;
use super::key::Key;
use super::rate::Share;

/// Buckets and counts, by the keys they have on every node with the same limits.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct Question {
    /// Which buckets.
    pub buckets: Vec<Bucket>,
    /// Which counts of calls that run.
    pub running: Vec<Key>,
}

/// One bucket, and the rate it is counted with.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Bucket {
    /// Which.
    pub key: Key,
    /// How fast it fills, and how far.
    pub rate: Share,
}

/// What is used, in the order of the question.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Usage {
    /// How many calls each bucket would let pass now; nothing while the store that nodes share is away.
    /// What other nodes took ahead of need counts as used.
    pub left: Option<Vec<u32>>,
    /// How many calls run on this node.
    pub running: Vec<u32>,
}

impl From<&Demands> for Question {
    fn from(demands: &Demands) -> Self {
        let bucket = |demand: &super::Demand| Bucket {
            key: demand.key.clone(),
            rate: demand.rate.into(),
        };
        let running = demands.running.iter();
        Self {
            buckets: demands.rates.iter().map(bucket).collect(),
            running: running.map(|demand| demand.key.clone()).collect(),
        }
    }
}
