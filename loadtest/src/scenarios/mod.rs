//! The scenarios, one file each.

pub(crate) mod calls;
