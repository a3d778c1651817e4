//! Many nodes over one store: what clients see when sessions outlive their nodes.
//!
//! [`links`] and [`stores`] hold what the rig breaks things with, [`history`], [`ledger`] and
//! [`checker`] what it judges them by.

mod checker;
mod history;
mod ledger;
mod links;
mod stores;
