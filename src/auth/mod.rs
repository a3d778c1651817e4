//! Who presents what: the proofs of an identity that a request or its connection carries.
//!
//! [`certificate`] names whom a verified client certificate is about. [`proxy`] checks what a
//! configured proxy says of the caller it authenticated.
//!
//! It does not decide what a caller may do; that is `policy`.

pub mod certificate;
pub mod proxy;
