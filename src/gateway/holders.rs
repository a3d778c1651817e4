//! Which node holds the lines of a client's session to upstreams with
//! [`Isolation::Session`](super::config::Isolation::Session).
//!
//! They are the session's state, so there is one place for all of them: the node at which the first call
//! of the session for such an upstream came in. It owns them in the store, among the session's other
//! single things, for as long as it lives; whoever finds it gone takes over, and begins with nothing.
//!
//! What was found is kept here. It is asked anew when letters may have been lost, and when the node it
//! names says that it is another's.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use bytes::Bytes;

use crate::node::Node;
use crate::service::SessionKey;
use crate::store::{
    ClaimOutcome, Epoch, Incarnation, Ownership, Scope, Store, StoreError, StoreResult, Thing,
};

/// Most sessions whose holder is kept in mind: as many as may live on a node. Beyond that all are
/// forgotten, and asked for again.
const KNOWN_MAX: usize = 20_000;
/// How often a claim that came too late is followed by a look who was first.
const ATTEMPTS: u32 = 3;

/// See the module docs.
#[derive(Debug)]
pub(super) struct Holders {
    store: Arc<dyn Store>,
    node: Node,
    known: Mutex<HashMap<SessionKey, Incarnation>>,
}

impl Holders {
    pub(super) fn new(store: Arc<dyn Store>, node: Node) -> Self {
        Self {
            store,
            node,
            known: Mutex::default(),
        }
    }

    /// Which node it is; this one from now on, if there is none that lives.
    ///
    /// # Errors
    /// When the store cannot say.
    pub(super) async fn of(&self, session: &SessionKey) -> StoreResult<Incarnation> {
        if !self.node.may_have_others() {
            return Ok(self.node.incarnation());
        }
        let known = self.lock().get(session).copied();
        if let Some(known) = known {
            return Ok(known);
        }
        let holder = self.ask(session).await?;
        let mut known = self.lock();
        if known.len() >= KNOWN_MAX {
            known.clear();
        }
        known.insert(session.clone(), holder);
        Ok(holder)
    }

    /// Asks anew when it is needed again.
    pub(super) fn forget(&self, session: &SessionKey) {
        self.lock().remove(session);
    }

    /// The same for all.
    pub(super) fn doubt(&self) {
        self.lock().clear();
    }

    async fn ask(&self, session: &SessionKey) -> StoreResult<Incarnation> {
        let (scope, thing) = (Scope(session.0.clone()), Thing("lines".into()));
        let here = self.node.incarnation();
        for _ in 0..ATTEMPTS {
            let ownership = self.store.ownership(&scope, &thing).await?;
            let epoch = match ownership {
                Some(Ownership { owner, .. }) if owner == here => return Ok(here),
                Some(Ownership { owner, .. }) if self.node.lives(owner).await? => return Ok(owner),
                Some(Ownership { epoch, .. }) => epoch,
                None => Epoch::UNCLAIMED,
            };
            let claim = self
                .store
                .claim(&scope, &thing, here, Some(epoch), Bytes::new());
            match claim.await? {
                ClaimOutcome::Claimed(claimed) => {
                    if claimed.previous.is_some() {
                        tracing::warn!(
                            "what upstreams kept for a client's session is lost: the node that held it \
                             is gone"
                        );
                    }
                    return Ok(here);
                }
                ClaimOutcome::Lost => {}
                // One that lives with a connection of this node is in no store.
                ClaimOutcome::Gone => return Ok(here),
            }
        }
        Err(StoreError::Unavailable(
            "others claim it all the time".to_owned(),
        ))
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<SessionKey, Incarnation>> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
