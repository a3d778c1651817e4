//! Ending all sessions of somebody of whom nothing is to be kept.
//!
//! The sessions in this node's index are looked through: those at home here, and those that were used here
//! lately. One that sleeps in the store is known to nobody but its client, by its id; it goes by its own
//! time, like everything in the store.

use super::handle::SessionHandle;
use super::sessions::{FindError, Sessions};
use crate::telemetry::labels::CloseReason;

impl Sessions {
    /// Ends every session of a user that this node knows, at all nodes. Says how many there were.
    ///
    /// # Errors
    /// [`FindError`]; some may have ended.
    pub async fn erase(&self, tenant: &str, user: &str) -> Result<usize, FindError> {
        let is_theirs = |handle: &SessionHandle| {
            let caller = handle.caller();
            *caller.tenant == *tenant && *caller.user == *user
        };
        let index = self.0.index.iter();
        let theirs = index.map(|entry| entry.value().clone()).filter(is_theirs);
        let theirs: Vec<_> = theirs.collect();
        let mut ended = 0;
        for handle in theirs {
            let negotiated = handle.negotiated();
            let (principal, endpoint) = (&negotiated.principal, &*negotiated.endpoint);
            let closed = self.close(
                handle.id().as_str(),
                principal,
                endpoint,
                CloseReason::Erased,
            );
            match closed.await {
                Ok(()) => ended += 1,
                // It has just ended by itself.
                Err(FindError::NotFound) => {}
                Err(error @ (FindError::Unavailable | FindError::Full)) => return Err(error),
            }
        }
        Ok(ended)
    }
}
