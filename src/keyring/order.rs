//! What can be asked of the keys from the command line, and what is answered.
//!
//! The same words travel over the admin socket of a node that runs, and are carried out by the
//! command itself where none does.

use serde::{Deserialize, Serialize};

use super::{KeyRecord, Keyring, KeyringError, NewKey};
use crate::auth::api_key::KeyHash;
use crate::runtime::clock::Timestamp;

/// What is asked.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub enum Order {
    /// A new key.
    Create(NewKey),
    /// All there are.
    List,
    /// The end of the key with this id.
    Revoke(String),
    /// The end of all keys of somebody, of whom nothing is to be kept.
    Forget {
        /// Whose user.
        tenant: String,
        /// Whom, as limits and records call them.
        user: String,
    },
}

/// What came of it.
#[derive(Clone, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub enum Answer {
    /// The new key, told once.
    Created {
        /// The key itself.
        key: String,
        /// What is kept of it.
        record: KeyRecord,
    },
    /// The keys, and the time by which they are good or not.
    Listed {
        /// The node's clock.
        now: Timestamp,
        /// By tenant, owner and age.
        records: Vec<KeyRecord>,
    },
    /// The key that is no more.
    Revoked(KeyRecord),
    /// The keys that are no more, and of which nothing is kept.
    Forgotten {
        /// Whose they were.
        tenant: String,
        /// Their ids.
        keys: Vec<String>,
    },
    /// Nothing; why.
    Refused(String),
}

impl std::fmt::Debug for Answer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Answer([redacted])")
    }
}

impl Keyring {
    /// Carries out an order.
    pub async fn obey(&self, order: Order) -> Answer {
        let answer = match order {
            Order::Create(new) => self.create(new).await.map(|(key, record)| Answer::Created {
                key: key.reveal().to_string(),
                record: record.told(),
            }),
            Order::List => self.list().await.map(|records| Answer::Listed {
                now: self.now(),
                records: records.into_iter().map(|it| it.told()).collect(),
            }),
            Order::Revoke(id) => self.revoke(&id).await.map(|it| Answer::Revoked(it.told())),
            Order::Forget { tenant, user } => {
                let forgotten = self.forget(&tenant, &user).await;
                forgotten.map(|keys| Answer::Forgotten { tenant, keys })
            }
        };
        answer.unwrap_or_else(|error: KeyringError| Answer::Refused(error.to_string()))
    }
}

impl KeyRecord {
    /// The record without what nobody needs to see.
    fn told(&self) -> Self {
        Self {
            hash: KeyHash::DUMMY,
            ..self.clone()
        }
    }
}
