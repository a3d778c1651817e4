//! Who may come in at an endpoint, and by which proof.
//!
//! A transport hands over what a request presents and where it came from; [`Access::admit`] gives
//! the [`Caller`] or says why not. An endpoint may take several kinds of proof at once; whatever a
//! request presents is judged alone: a bad token is refused also where nothing would have done.
//!
//! What a caller who came in may do is for the [`Guard`], which stands before all services.

mod asked;
mod guard;
mod lists;
mod rules;

use std::collections::BTreeSet;
use std::net::IpAddr;
use std::sync::Arc;

use dashmap::DashMap;

pub use guard::{Guard, Parts};
pub use rules::{Present, Rules};

use crate::auth::api_key::ApiKey;
use crate::auth::challenge::{Challenge, Problem};
use crate::auth::presented::{Malformed, Presented};
use crate::identity::{Caller, Principal, Proof};
use crate::keyring::{KeyRecord, KeyRefusal, Keyring};

/// The ways into one endpoint. Cloning shares them.
#[derive(Clone, Debug)]
pub struct Access(Arc<Ways>);

#[derive(Debug)]
struct Ways {
    /// Who everybody is where nothing has to be presented.
    anybody: Option<Arc<Caller>>,
    keys: Option<Keys>,
}

/// The callers of keys, as they were last seen.
#[derive(Debug)]
struct Keys {
    keyring: Keyring,
    /// The caller of each record in use: two requests with one key are of one value, which saves
    /// building it and makes it quick to compare.
    callers: DashMap<String, (Arc<KeyRecord>, Arc<Caller>)>,
}

/// Callers that are kept; after that many the oldest knowledge is given up at once, since all of it
/// comes back with the next request.
const CALLERS_MAX: usize = 10_000;

/// Why nobody was let in.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Denied {
    /// The request presents nothing that can be looked at.
    #[error(transparent)]
    Malformed(#[from] Malformed),
    /// A proof is needed; the text says nothing of what was wrong with the one that came.
    #[error("{}", challenge_text(.0.problem))]
    Challenged(Challenge),
    /// Whether the proof holds cannot be said now.
    #[error("credentials cannot be checked at the moment")]
    Unavailable,
}

const fn challenge_text(problem: Problem) -> &'static str {
    match problem {
        Problem::Missing => "a credential is required",
        Problem::InvalidToken => "the credential is not accepted",
        Problem::InsufficientScope => "the credential lacks a scope",
    }
}

impl Access {
    /// Everybody may come in, as [`Caller::local`].
    #[must_use]
    pub fn open() -> Self {
        Self(Arc::new(Ways {
            anybody: Some(Arc::new(Caller::local())),
            keys: None,
        }))
    }

    /// Whoever holds a key of this keyring may.
    #[must_use]
    pub fn by_keys(keyring: Keyring) -> Self {
        Self(Arc::new(Ways {
            anybody: None,
            keys: Some(Keys {
                keyring,
                callers: DashMap::new(),
            }),
        }))
    }

    /// Who everybody is, where nothing has to be presented and nothing is looked at.
    #[must_use]
    pub fn anybody(&self) -> Option<&Arc<Caller>> {
        self.0.anybody.as_ref()
    }

    /// Whose request it is that presents this.
    ///
    /// # Errors
    /// [`Denied`].
    pub async fn admit(
        &self,
        presented: Presented,
        address: Option<IpAddr>,
    ) -> Result<Arc<Caller>, Denied> {
        match (presented, &self.0.keys) {
            (Presented::ApiKey(key), Some(keys)) => match keys.caller(&key, address).await {
                Ok(caller) => Ok(caller),
                Err(KeyRefusal::Unavailable) => Err(Denied::Unavailable),
                Err(refusal) => {
                    tracing::info!(key = %key.id(), %refusal, "an API key was refused");
                    Err(self.challenged(Problem::InvalidToken))
                }
            },
            (Presented::Nothing, _) => Err(self.challenged(Problem::Missing)),
            (Presented::ApiKey(_) | Presented::NoApiKey | Presented::Token(_), _) => {
                Err(self.challenged(Problem::InvalidToken))
            }
        }
    }

    fn challenged(&self, problem: Problem) -> Denied {
        Denied::Challenged(self.challenge(problem, BTreeSet::new()))
    }

    /// What would let a request pass that needs these scopes.
    pub(crate) fn challenge(&self, problem: Problem, scopes: BTreeSet<Arc<str>>) -> Challenge {
        Challenge {
            problem,
            metadata: None,
            scopes,
        }
    }
}

impl Keys {
    async fn caller(
        &self,
        key: &ApiKey,
        address: Option<IpAddr>,
    ) -> Result<Arc<Caller>, KeyRefusal> {
        let record = self.keyring.verify(key, address).await?;
        let known = self.callers.get(&record.id);
        let known = known.filter(|known| Arc::ptr_eq(&known.0, &record));
        if let Some(caller) = known.map(|known| known.1.clone()) {
            return Ok(caller);
        }
        let caller = Arc::new(caller_of(&record));
        if self.callers.len() >= CALLERS_MAX {
            self.callers.clear();
        }
        let entry = (record.clone(), caller.clone());
        self.callers.insert(record.id.clone(), entry);
        Ok(caller)
    }
}

fn caller_of(record: &KeyRecord) -> Caller {
    let shared =
        |names: &BTreeSet<String>| names.iter().map(|name| Arc::from(name.as_str())).collect();
    Caller {
        principal: Principal::of_owner(&record.tenant, &record.owner),
        tenant: record.tenant.as_str().into(),
        user: record.owner.as_str().into(),
        client: None,
        proof: Proof::ApiKey {
            id: record.id.as_str().into(),
            owner: record.owner.as_str().into(),
        },
        roles: shared(&record.roles),
        scopes: shared(&record.scopes),
        claims: serde_json::Map::new(),
    }
}
