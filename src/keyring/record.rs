//! What is kept of a key.

use std::collections::BTreeSet;
use std::fmt;
use std::net::IpAddr;
use std::time::Duration;

use ipnet::IpNet;
use serde::{Deserialize, Serialize};

use super::{LIFE, LIFE_MAX};
use crate::auth::api_key::{KeyHash, KeyId};
use crate::auth::user;
use crate::runtime::clock::Timestamp;

/// Characters of a tenant, an owner, a role, a scope.
const NAME_MAX: usize = 200;
/// Roles, scopes and networks of one key.
const NAMES_MAX: usize = 32;

/// A key without its secret.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct KeyRecord {
    /// Which key.
    pub id: String,
    pub(super) hash: KeyHash,
    /// Names the cluster key its pepper comes from: without that key it is void.
    pub pepper: String,
    /// The tenant it acts for.
    pub tenant: String,
    /// Whose it is. All keys of one owner are one principal.
    pub owner: String,
    /// What its holder is.
    pub roles: BTreeSet<String>,
    /// What it may be used for.
    pub scopes: BTreeSet<String>,
    /// When it was made.
    pub created: Timestamp,
    /// From when on it is good.
    pub not_before: Timestamp,
    /// Until when it is good.
    pub expires: Timestamp,
    /// From where it may be used; from anywhere, if empty.
    pub networks: Vec<IpNet>,
    /// When it was ended before its time.
    pub revoked: Option<Timestamp>,
}

/// Whether a key is good now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum KeyState {
    /// It is.
    Good,
    /// It will be.
    NotYet,
    /// It was.
    Expired,
    /// It was ended.
    Revoked,
}

impl fmt::Display for KeyState {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Good => "good",
            Self::NotYet => "not good yet",
            Self::Expired => "expired",
            Self::Revoked => "revoked",
        })
    }
}

/// A key that is wanted.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct NewKey {
    /// See [`KeyRecord::tenant`].
    pub tenant: String,
    /// See [`KeyRecord::owner`].
    pub owner: String,
    /// See [`KeyRecord::roles`].
    pub roles: BTreeSet<String>,
    /// See [`KeyRecord::scopes`].
    pub scopes: BTreeSet<String>,
    /// How long it is good, counted from when it begins to be; 90 days without a word.
    pub life: Option<Duration>,
    /// In how long it begins to be good; at once without a word.
    pub begins_in: Option<Duration>,
    /// See [`KeyRecord::networks`].
    pub networks: Vec<IpNet>,
}

impl NewKey {
    /// What is wrong with it.
    pub(super) fn check(&self, now: Timestamp) -> Result<(), String> {
        let names = [("tenant", &self.tenant), ("owner", &self.owner)];
        let roles = self.roles.iter().map(|role| ("role", role));
        let scopes = self.scopes.iter().map(|scope| ("scope", scope));
        for (what, name) in names.into_iter().chain(roles).chain(scopes) {
            if name.is_empty() || name.len() > NAME_MAX {
                return Err(format!("the {what} must have 1 to {NAME_MAX} bytes"));
            }
            if name.chars().any(char::is_control) {
                return Err(format!("the {what} {name:?} has control characters"));
            }
        }
        for scope in &self.scopes {
            // RFC 6749 section 3.3.
            let is_scope = |byte| matches!(byte, b'!' | b'#'..=b'[' | b']'..=b'~');
            if !scope.bytes().all(is_scope) {
                return Err(format!("{scope:?} cannot be a scope"));
            }
        }
        let lists = [
            ("roles", self.roles.len()),
            ("scopes", self.scopes.len()),
            ("networks", self.networks.len()),
        ];
        if let Some((what, _)) = lists.into_iter().find(|(_, len)| *len > NAMES_MAX) {
            return Err(format!("a key has at most {NAMES_MAX} {what}"));
        }
        let times = (self.expires(now).0, self.begins(now).0);
        let total = self
            .life()
            .saturating_add(self.begins_in.unwrap_or_default());
        if total > LIFE_MAX || times.0 <= times.1 {
            return Err("a key ends within 366 days, and after it has begun".to_owned());
        }
        Ok(())
    }

    fn life(&self) -> Duration {
        self.life.unwrap_or(LIFE)
    }

    fn begins(&self, now: Timestamp) -> Timestamp {
        now.after(self.begins_in.unwrap_or_default())
    }

    fn expires(&self, now: Timestamp) -> Timestamp {
        self.begins(now).after(self.life())
    }

    pub(super) fn record(
        self,
        id: &KeyId,
        hash: KeyHash,
        pepper: String,
        now: Timestamp,
    ) -> KeyRecord {
        KeyRecord {
            id: id.as_str().to_owned(),
            hash,
            pepper,
            created: now,
            not_before: self.begins(now),
            expires: self.expires(now),
            tenant: self.tenant,
            owner: self.owner,
            roles: self.roles,
            scopes: self.scopes,
            networks: self.networks,
            revoked: None,
        }
    }
}

impl KeyRecord {
    /// Whether it is good at that time.
    #[must_use]
    pub fn state(&self, now: Timestamp) -> KeyState {
        if self.revoked.is_some() {
            KeyState::Revoked
        } else if now >= self.expires {
            KeyState::Expired
        } else if now < self.not_before {
            KeyState::NotYet
        } else {
            KeyState::Good
        }
    }

    /// What its holder is called in limits and records.
    #[must_use]
    pub fn user(&self) -> String {
        user::of_owner(&self.owner)
    }

    /// Who a user is as the owner of keys, if it is one.
    #[must_use]
    pub(super) fn owner_of(user: &str) -> Option<&str> {
        user.strip_prefix("owner ")
    }

    pub(super) fn may_come_from(&self, address: Option<IpAddr>) -> bool {
        let holds = |address: IpAddr| {
            let address = address.to_canonical();
            self.networks
                .iter()
                .any(|network| network.contains(&address))
        };
        self.networks.is_empty() || address.is_some_and(holds)
    }

    /// Where it stands in a list.
    pub(super) fn place(&self) -> (&str, &str, Timestamp, &str) {
        (&self.tenant, &self.owner, self.created, &self.id)
    }
}
