//! Proofs of who is calling: how each is written, and whether it holds.
//!
//! [`api_key`] is our own credential. [`token`] says whether an access token was issued for us by an
//! issuer we trust, and what it says; [`protected_resource`] is the document that tells clients where
//! to get one. [`certificate`] names whom a verified client certificate is about, [`proxy`] checks
//! what a configured proxy says of the caller it authenticated. [`presented`] finds what a request
//! presents; [`challenge`] is how a refused one is told what would do; [`user`] is what whoever was let in
//! is called.
//!
//! It does not know what a caller may do, nor where keys are kept, and it issues no tokens.

pub mod api_key;
pub mod certificate;
pub mod challenge;
pub mod presented;
pub mod protected_resource;
pub mod proxy;
pub mod token;
pub mod user;
