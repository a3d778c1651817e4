//! Many nodes over one store: what clients see when sessions outlive their nodes.
//!
//! The rig is told in parts: [`links`] and [`stores`] hold what it breaks things with, [`history`],
//! [`ledger`], [`kept`] and [`checker`] what it judges them by, [`clients`] whom it asks, and [`rig`] that all
//! of it works on one node. Then come the stories, and [`sabotage`]: that each can end badly.

mod checker;
mod clients;
mod faults;
mod history;
mod http;
mod judging;
mod kept;
pub mod ledger;
mod links;
mod outlived;
mod requests;
mod rig;
mod rolling;
mod sabotage;
mod splitting;
mod stock;
mod stores;
mod takeover;
mod together;
