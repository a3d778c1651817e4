//! What keeps a stream open: the proof that whoever opened it came in by.
//!
//! A request is judged when it comes, and a stream goes on for days. So its proof is judged again every
//! [`PERIOD`], as that of a new request would be; when it would not be accepted any more the stream
//! ends. Nobody needs to be told that a key was revoked: every node finds out by itself.
//!
//! It does not end calls, which end by themselves, nor sessions, which another proof of the same
//! principal may go on with. The word of a proxy and a certificate are not asked again: they are as good
//! as the connection they came on.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use super::Access;
use crate::auth::api_key::KeyId;
use crate::auth::token::{Refusal, Retry};
use crate::identity::Proof;
use crate::keyring::KeyRefusal;
use crate::runtime::seal;
use crate::service::Visit;

/// How often a proof is judged again. What is known of keys and tokens is at most 50 s old
/// ([`crate::keyring`], [`crate::auth::token`]), so that nothing outlives its end by more than a minute.
/// Ten thousand streams are a thousand looks in memory a second.
pub const PERIOD: Duration = Duration::from_secs(10);
/// How often in a row a stream goes on though an issuer does not say what its token is. Half a minute is
/// what such an answer is believed without asking, so together that is a minute, too.
const UNANSWERED_MAX: usize = 2;

/// See the module docs. Cloning shares it.
#[derive(Clone, Debug)]
pub struct Hold(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    access: Access,
    /// Who came last.
    visit: Mutex<Visit>,
}

impl Hold {
    /// The same principal came again, here: what it showed now keeps the stream open from now on.
    pub fn renew(&self, visit: &Visit) {
        *self.0.visit.lock().unwrap_or_else(PoisonError::into_inner) = visit.clone();
    }

    /// Waits until the proof is not accepted any more, which is on record then.
    ///
    /// # Cancel safety
    /// May be dropped at any await.
    pub async fn lapsed(&self) {
        let mut unanswered = 0;
        let mut pause = first_pause();
        loop {
            tokio::time::sleep(pause).await;
            pause = PERIOD;
            let visit = self.visit();
            // Boxed: a stream waits nearly all of its life.
            let (reason, is_erased) = match Box::pin(self.0.access.standing(&visit)).await {
                Standing::Good => {
                    unanswered = 0;
                    continue;
                }
                Standing::Unanswered if unanswered < UNANSWERED_MAX => {
                    unanswered += 1;
                    continue;
                }
                Standing::Unanswered => ("the token's issuer cannot be reached".to_owned(), false),
                Standing::Ended(reason) => (reason, false),
                Standing::Erased => ("the key was erased".to_owned(), true),
            };
            let Inner { access, .. } = &*self.0;
            tracing::info!(%reason, "a stream was ended: its credential is not accepted any more");
            let recorder = &access.0.recorder;
            recorder.lapsed(&visit, &access.0.endpoint, &reason, is_erased);
            return;
        }
    }

    fn visit(&self) -> Visit {
        let visit = self.0.visit.lock();
        visit.unwrap_or_else(PoisonError::into_inner).clone()
    }
}

/// Streams that were opened at once must not all ask at once.
fn first_pause() -> Duration {
    let [random] = seal::random::<1>();
    PERIOD.mul_f64(f64::from(random) / 256.0)
}

/// How a proof does that was accepted before.
enum Standing {
    Good,
    /// Its issuer does not say.
    Unanswered,
    Ended(String),
    /// It was erased with all that was known of its owner.
    Erased,
}

impl Access {
    /// What keeps a stream open that this visit opens; nothing, where its connection alone does.
    #[must_use]
    pub fn hold(&self, visit: &Visit) -> Option<Hold> {
        match visit.caller.proof {
            Proof::ApiKey { .. } | Proof::Token { .. } => Some(Hold(Arc::new(Inner {
                access: self.clone(),
                visit: Mutex::new(visit.clone()),
            }))),
            Proof::Nothing | Proof::Proxy | Proof::Certificate => None,
        }
    }

    /// Judges again what a visitor came in by.
    async fn standing(&self, visit: &Visit) -> Standing {
        let ended = |reason: &dyn std::fmt::Display| Standing::Ended(reason.to_string());
        match (&visit.caller.proof, &visit.credential) {
            (Proof::ApiKey { id, .. }, _) => {
                let (Some(keyring), Some(id)) = (&self.0.ways.keys, KeyId::parse(id)) else {
                    return ended(&KeyRefusal::Unknown);
                };
                // Also where the keys cannot be read: until then they were believed for long enough.
                match keyring.look_up(&id, visit.origin.address).await {
                    Ok(_) => Standing::Good,
                    Err(KeyRefusal::Unknown) => Standing::Erased,
                    Err(refusal) => ended(&refusal),
                }
            }
            (Proof::Token { .. }, Some(credential)) => {
                let Some(tokens) = &self.0.ways.tokens else {
                    return ended(&"tokens are not taken here");
                };
                let token = credential.token.expose();
                match tokens.issuers.verify(token, &tokens.audience).await {
                    Ok(_) => Standing::Good,
                    Err(Refusal {
                        retry: Retry::After(_),
                        ..
                    }) => Standing::Unanswered,
                    Err(refusal) => ended(&refusal),
                }
            }
            (Proof::Token { .. }, None) => ended(&"the token is not here"),
            (Proof::Nothing | Proof::Proxy | Proof::Certificate, _) => Standing::Good,
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use serde_json::Value;
    use tokio::runtime::Handle;
    use tokio::time::{Instant, timeout};

    use super::*;
    use crate::access::{Present, Recorder, Rules, Tokens, Ways};
    use crate::auth::token::{Introspection, IssuerConfig, Issuers};
    use crate::egress::{Egress, Settings};
    use crate::identity::Caller;
    use crate::keyring::{Keyring, NewKey};
    use crate::runtime::clock::{Clock, Timestamp};
    use crate::runtime::seal::ClusterKeys;
    use crate::runtime::secret::Secret;
    use crate::runtime::tasks::Tasks;
    use crate::service::CallerToken;
    use crate::store::Bounds;
    use crate::store::memory::MemoryStore;

    const MINUTE: Duration = Duration::from_secs(60);

    fn clock() -> Clock {
        Clock::manual(Timestamp(1_000_000_000_000))
    }

    fn access(ways: Ways) -> Access {
        let recorder = Recorder::new(None, clock());
        Access::by("main", ways, Present::new(Rules::open()), recorder, clock())
    }

    fn visit(proof: Proof) -> Visit {
        let caller = Caller {
            proof,
            ..Caller::local()
        };
        Visit::of(Arc::new(caller))
    }

    #[tokio::test(start_paused = true)]
    async fn a_stream_is_open_as_long_as_its_key_is_good() {
        let keyring = Keyring::new(
            Arc::new(MemoryStore::new(clock(), Bounds::default())),
            &ClusterKeys::generate(),
            clock(),
        );
        let new = NewKey {
            tenant: "t1".into(),
            owner: "ci".into(),
            roles: BTreeSet::new(),
            scopes: BTreeSet::new(),
            life: None,
            begins_in: None,
            networks: Vec::new(),
        };
        let (key, record) = keyring.create(new).await.unwrap();
        let access = access(Ways {
            keys: Some(keyring.clone()),
            ..Ways::default()
        });
        let id = record.id.as_str().into();
        let owner = "ci".into();
        let hold = access.hold(&visit(Proof::ApiKey { id, owner })).unwrap();
        assert!(timeout(60 * MINUTE, hold.lapsed()).await.is_err());
        keyring.revoke(key.id().as_str()).await.unwrap();
        assert!(timeout(PERIOD, hold.lapsed()).await.is_ok());
    }

    /// What cannot be reached has not said that the token is no good, and yet nothing is believed for
    /// ever.
    #[tokio::test(start_paused = true)]
    async fn a_stream_bears_that_an_issuer_does_not_answer_for_less_than_a_minute() {
        // Nobody listens there.
        let mut config = IssuerConfig::new("http://127.0.0.1:1", "t1");
        config.introspection = Some(Introspection {
            endpoint: "http://127.0.0.1:1/introspect".parse().unwrap(),
            client_id: "us".to_owned(),
            secret: "secret".to_owned().into(),
        });
        let (egress, tasks) = (
            Egress::new(Settings::default()).unwrap(),
            Tasks::on(Handle::current()),
        );
        let issuers = Issuers::new(vec![config], &egress, &clock(), &tasks).unwrap();
        let access = access(Ways {
            tokens: Some(Tokens {
                issuers: Arc::new(issuers),
                audience: "https://mcp.example".to_owned(),
                metadata: "".into(),
                scopes: BTreeSet::new(),
                document: Value::Null,
            }),
            ..Ways::default()
        });
        let issuer: Arc<str> = "http://127.0.0.1:1".into();
        let token = CallerToken {
            issuer: issuer.clone(),
            token: Secret::new("opaque".to_owned()),
            expires: None,
        };
        let visit = Visit {
            credential: Some(Arc::new(token)),
            ..visit(Proof::Token { issuer })
        };
        let began = Instant::now();
        access.hold(&visit).unwrap().lapsed().await;
        let bore = began.elapsed();
        assert!((2 * PERIOD..MINUTE).contains(&bore), "{bore:?}");
    }

    #[tokio::test]
    async fn what_a_connection_proves_needs_no_other_hold() {
        let access = access(Ways::default());
        for proof in [Proof::Nothing, Proof::Proxy, Proof::Certificate] {
            assert!(access.hold(&visit(proof)).is_none());
        }
    }
}
