//! The sets of tools that come with the program, written like anybody's with [`crate::server`].
//!
//! [`demo::demo`] is what a process without configuration serves: something for each thing the
//! protocol can do, and tools to measure with. [`conformance::conformance`] is the set that the
//! official conformance suite expects.
//!
//! They use nothing of the library that is not public.

pub mod conformance;
pub mod demo;
