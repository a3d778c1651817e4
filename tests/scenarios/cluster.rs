//! Many nodes over one store: what clients see when sessions outlive their nodes.
//!
//! [`links`] and [`stores`] hold what the rig breaks things with.

mod links;
mod stores;
