//! Who presents what: access tokens as an OAuth resource server checks them.
//!
//! [`token`] says whether an access token was issued for us by an issuer we trust, and what it
//! says. [`protected_resource`] is the document that tells clients where to get one.
//!
//! It does not decide what a caller may do (`policy`), and it issues nothing.

pub mod protected_resource;
pub mod token;
