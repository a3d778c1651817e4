//! Who is calling, as a value that stands in every key.
//!
//! [`Principal`] says whose a session, a stream, a sealed state or a cached answer is. It is part
//! of those key types, so that code that forgets it does not compile.
//!
//! [`Caller`] is the principal of one request with what its credential proves: tenant, roles, scopes.
//! [`Origin`] is where a request comes from.
//!
//! It does not decide who a caller is; the transport settles that before anything else.

mod caller;
mod mint;
mod origin;
mod principal;

pub use caller::{Caller, Proof};
pub use mint::Mint;
pub use origin::Origin;
pub use principal::Principal;
