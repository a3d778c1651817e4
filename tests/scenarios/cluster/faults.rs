//! What every release must survive: one story for each thing that breaks.
//!
//! Promises are checked from the history, the ledger and what the store holds; times are printed.
//! What a story takes for granted while something is broken is in [`steady`].

mod cut_off;
mod emptied;
mod failover;
mod formats;
mod hanging_up;
mod idle;
mod late_writes;
mod log_lines;
mod not_ready;
mod other_keys;
mod paused;
mod reconnecting;
mod skewed;
mod steady;
mod store_trouble;
mod trouble;
