//! The API keys there are: made, listed, revoked, and looked up for each request that presents one.
//!
//! Records are kept in the store all nodes share, in [`PAGES`] pages by their owner; a key's id
//! begins with its page. A node keeps the pages it uses and reads them again every [`FRESH`], so a
//! revoked key is good for that long at most at other nodes, and not at all at the one that revoked
//! it. While the store is away a page is believed for [`STALE_MAX`]; after that its keys can be
//! neither accepted nor refused.
//!
//! An owner has at most [`LIVE_MAX`] keys that are good now: the one in use, and the next.
//!
//! It does not know what a key's roles allow.

pub mod order;
mod page;
mod record;
#[cfg(test)]
mod tests;

use std::net::IpAddr;
use std::sync::{Arc, PoisonError, RwLock};
use std::time::Duration;

use futures_util::future::join_all;
use tokio::sync::Mutex;

use page::{Page, Read};
pub use record::{KeyRecord, KeyState, NewKey};

use crate::auth::api_key::{ApiKey, KeyHash, KeyId, Pepper};
use crate::runtime::clock::{Clock, Timestamp};
use crate::runtime::seal::{self, ClusterKeys};
use crate::store::{CasOutcome, Store, StoreError};

/// Pages of records: small enough to be rewritten with each change, enough of them for 64,000 keys.
pub const PAGES: u8 = 64;
/// Records in a page, of about 400 bytes each.
pub const PER_PAGE_MAX: usize = 1_000;
/// Keys of one owner that are good at a time.
pub const LIVE_MAX: usize = 2;
/// How long a page is used before it is read again.
pub const FRESH: Duration = Duration::from_secs(5);
/// How soon a page is read again for a key that is not in it: whoever invents keys costs one read of
/// each page in that time.
const RECHECK: Duration = Duration::from_secs(1);
/// How long a page is used while the store is away: with the time until an open stream asks, a minute.
pub const STALE_MAX: Duration = Duration::from_secs(50);
/// Writers of one page try again when another was first: so many at once are not to be expected.
const TRIES: usize = 8;

/// Why a change of the keys was not made.
#[derive(Debug, thiserror::Error)]
pub enum KeyringError {
    /// What is asked for cannot be a key.
    #[error("{0}")]
    Invalid(String),
    /// The owner has as many as may be.
    #[error("`{owner}` has {LIVE_MAX} keys that are good: revoke one first")]
    TooMany {
        /// Whose.
        owner: String,
    },
    /// There is no room for another record.
    #[error("no more keys can be kept with those of `{owner}`: revoke some, they go after a month")]
    Full {
        /// Whose.
        owner: String,
    },
    /// No such key.
    #[error("there is no key `{0}`")]
    Unknown(String),
    /// Others kept changing the same page.
    #[error("others change keys at the same time; try again")]
    Busy,
    /// The store could not do it.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// Why a key is not accepted. All but the last look the same to whoever presents it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum KeyRefusal {
    /// No such key, or another secret.
    #[error("unknown key or wrong secret")]
    Unknown,
    /// It is not good (any more, or yet).
    #[error("the key is {0}")]
    State(KeyState),
    /// It is not to be used from there.
    #[error("the key is not to be used from this address")]
    Address,
    /// Nobody can say.
    #[error("the keys cannot be read")]
    Unavailable,
}

/// See the module docs. Cloning shares it.
#[derive(Clone)]
pub struct Keyring(Arc<Inner>);

struct Inner {
    store: Arc<dyn Store>,
    pepper: Pepper,
    /// Names the key the pepper comes from.
    pepper_name: String,
    clock: Clock,
    pages: Vec<Kept>,
}

/// A page as this node last read it.
#[derive(Default)]
struct Kept {
    read: RwLock<Option<Arc<Read>>>,
    /// Held while it is read again: by one for all.
    reading: Mutex<()>,
}

impl Kept {
    fn get(&self) -> Option<Arc<Read>> {
        self.read
            .read()
            .unwrap_or_else(PoisonError::into_inner)
            .clone()
    }

    fn set(&self, read: Read) -> Arc<Read> {
        let read = Arc::new(read);
        *self.read.write().unwrap_or_else(PoisonError::into_inner) = Some(read.clone());
        read
    }
}

impl std::fmt::Debug for Keyring {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Keyring")
    }
}

impl Keyring {
    /// The keys in `store`.
    #[must_use]
    pub fn new(store: Arc<dyn Store>, keys: &ClusterKeys, clock: Clock) -> Self {
        let pepper_name = keys.fingerprints().first().map(ToString::to_string);
        Self(Arc::new(Inner {
            store,
            pepper: Pepper::of(keys),
            pepper_name: pepper_name.unwrap_or_default(),
            clock,
            pages: (0..PAGES).map(|_| Kept::default()).collect(),
        }))
    }

    /// By which keys are good or not.
    fn now(&self) -> Timestamp {
        self.0.clock.now()
    }

    /// Makes a key. It is told here, and never again.
    ///
    /// # Errors
    /// [`KeyringError`].
    pub async fn create(&self, new: NewKey) -> Result<(ApiKey, KeyRecord), KeyringError> {
        let now = self.0.clock.now();
        new.check(now).map_err(KeyringError::Invalid)?;
        let page = page_of(&new.tenant, &new.owner);
        let key = ApiKey::generate(page);
        let (hash, pepper) = (self.0.pepper.hash(&key), self.0.pepper_name.clone());
        let record = new.record(key.id(), hash, pepper, now);
        self.change(page, |page| {
            page.forget_ended(now);
            let owner = record.owner.clone();
            if page.live_of(&record.tenant, &owner, now) >= LIVE_MAX {
                return Err(KeyringError::TooMany { owner });
            }
            if page.records.len() >= PER_PAGE_MAX {
                return Err(KeyringError::Full { owner });
            }
            page.insert(record.clone());
            Ok(())
        })
        .await?;
        Ok((key, record))
    }

    /// All keys, and for a month those that were; by tenant, owner and age.
    ///
    /// # Errors
    /// [`KeyringError::Store`].
    pub async fn list(&self) -> Result<Vec<Arc<KeyRecord>>, KeyringError> {
        let pages = join_all((0..PAGES).map(|page| self.read(page))).await;
        let mut records = Vec::new();
        for page in pages {
            records.extend(page?.page.records.iter().cloned());
        }
        records.sort_by(|one, other| one.place().cmp(&other.place()));
        Ok(records)
    }

    /// Ends a key.
    ///
    /// # Errors
    /// [`KeyringError`]; a key that is revoked already is revoked.
    pub async fn revoke(&self, id: &str) -> Result<KeyRecord, KeyringError> {
        let unknown = || KeyringError::Unknown(id.to_owned());
        let id = KeyId::parse(id).filter(|id| id.page() < PAGES);
        let id = id.ok_or_else(unknown)?;
        let now = self.0.clock.now();
        let mut revoked = None;
        self.change(id.page(), |page| {
            let mut records = page.records.iter_mut();
            let record = records.find(|record| record.id == id.as_str());
            let record = Arc::make_mut(record.ok_or_else(unknown)?);
            record.revoked.get_or_insert(now);
            revoked = Some(record.clone());
            Ok(())
        })
        .await?;
        revoked.ok_or_else(unknown)
    }

    /// Ends all keys of a user, and keeps nothing of them: not even that there were any. Gives their ids.
    ///
    /// # Errors
    /// [`KeyringError`].
    pub async fn forget(&self, tenant: &str, user: &str) -> Result<Vec<String>, KeyringError> {
        let Some(owner) = KeyRecord::owner_of(user) else {
            return Ok(Vec::new());
        };
        let page = page_of(tenant, owner);
        let is_theirs = |it: &Arc<KeyRecord>| it.tenant == tenant && it.owner == owner;
        if !self.read(page).await?.page.records.iter().any(is_theirs) {
            return Ok(Vec::new());
        }
        let mut forgotten = Vec::new();
        self.change(page, |page| {
            let theirs = page.records.iter().filter(|it| is_theirs(it));
            forgotten = theirs.map(|it| it.id.clone()).collect();
            page.records.retain(|it| !is_theirs(it));
            Ok(())
        })
        .await?;
        Ok(forgotten)
    }

    /// The record of a key that is presented from `address`.
    ///
    /// # Errors
    /// [`KeyRefusal`].
    pub async fn verify(
        &self,
        key: &ApiKey,
        address: Option<IpAddr>,
    ) -> Result<Arc<KeyRecord>, KeyRefusal> {
        let page = key.id().page();
        let mut found = self.find(key, &*self.page_to_look_in(page, FRESH).await?);
        if found.is_none() {
            // It may have been made elsewhere a moment ago.
            found = self.find(key, &*self.page_to_look_in(page, RECHECK).await?);
        }
        self.accept(found.ok_or(KeyRefusal::Unknown)?, address)
    }

    /// The record of a key that was presented from `address` before, and is still good.
    ///
    /// # Errors
    /// [`KeyRefusal`].
    pub async fn look_up(
        &self,
        id: &KeyId,
        address: Option<IpAddr>,
    ) -> Result<Arc<KeyRecord>, KeyRefusal> {
        let read = self.page_to_look_in(id.page(), FRESH).await?;
        let record = read.page.nearest(id).filter(|it| it.id == id.as_str());
        self.accept(record.cloned().ok_or(KeyRefusal::Unknown)?, address)
    }

    /// A key that is known is good now, and from there.
    fn accept(
        &self,
        record: Arc<KeyRecord>,
        address: Option<IpAddr>,
    ) -> Result<Arc<KeyRecord>, KeyRefusal> {
        match record.state(self.0.clock.now()) {
            KeyState::Good => {}
            state => return Err(KeyRefusal::State(state)),
        }
        if !record.may_come_from(address) {
            return Err(KeyRefusal::Address);
        }
        Ok(record)
    }

    /// The record of that key, if the secret is right. An unknown id takes the way of a wrong secret,
    /// so that nobody learns which ids there are: it is compared with what another key has.
    fn find(&self, key: &ApiKey, read: &Read) -> Option<Arc<KeyRecord>> {
        let record = read.page.nearest(key.id());
        let hash = record.map_or(&KeyHash::DUMMY, |record| &record.hash);
        let is_right = self.0.pepper.verify(key, hash).is_ok();
        let is_it = |record: &&Arc<KeyRecord>| is_right && record.id == key.id().as_str();
        record.filter(is_it).cloned()
    }

    /// A page that was read within `fresh`, or as long ago as the store is away.
    async fn page_to_look_in(&self, page: u8, fresh: Duration) -> Result<Arc<Read>, KeyRefusal> {
        let Some(kept) = self.0.pages.get(usize::from(page)) else {
            // No key of ours begins like this.
            return Ok(Arc::default());
        };
        let is_fresh = |read: &Arc<Read>| self.0.clock.now().since(read.at) < fresh;
        if let Some(read) = kept.get().filter(is_fresh) {
            return Ok(read);
        }
        let _reading = kept.reading.lock().await;
        if let Some(read) = kept.get().filter(is_fresh) {
            return Ok(read);
        }
        let now = self.0.clock.now();
        match self.read(page).await {
            Ok(read) => Ok(read),
            Err(error) => {
                let usable = kept.get().filter(|read| now.since(read.at) < STALE_MAX);
                if usable.is_none() {
                    tracing::warn!(%error, "API keys cannot be checked");
                }
                usable.ok_or(KeyRefusal::Unavailable)
            }
        }
    }

    /// Reads a page from the store, and keeps it.
    async fn read(&self, page: u8) -> Result<Arc<Read>, StoreError> {
        let kept = &self.0.pages[usize::from(page)];
        let at = self.0.clock.now();
        let record = self.0.store.read(&page::scope(page)).await?;
        let read = match (record, kept.get()) {
            (None, _) => Read {
                at,
                ..Read::default()
            },
            // Whoever compares records finds the same ones.
            (Some(record), Some(before)) if before.version == Some(record.version) => Read {
                at,
                version: before.version,
                page: before.page.clone(),
            },
            (Some(record), _) => Read {
                at,
                version: Some(record.version),
                page: Page::decode(&record.value).map_err(StoreError::Damaged)?,
            },
        };
        Ok(kept.set(read))
    }

    /// Changes a page, again from what stands there when another was first.
    async fn change(
        &self,
        page: u8,
        mut change: impl FnMut(&mut Page) -> Result<(), KeyringError>,
    ) -> Result<(), KeyringError> {
        let scope = page::scope(page);
        for _ in 0..TRIES {
            let read = self.read(page).await?;
            let mut changed = read.page.clone();
            change(&mut changed)?;
            let value = changed.encode();
            let expires = self.0.clock.now().after(page::KEPT);
            let version = match read.version {
                None => self.0.store.create(&scope, value, expires).await?,
                Some(version) => {
                    let written = self.0.store.compare_and_set(&scope, version, value).await?;
                    matches!(written, CasOutcome::Written(_))
                }
            };
            if version {
                self.0.store.touch(vec![(scope, expires)]).await?;
                self.read(page).await?;
                return Ok(());
            }
        }
        Err(KeyringError::Busy)
    }
}

/// The page with the keys of an owner.
fn page_of(tenant: &str, owner: &str) -> u8 {
    seal::digest(&[tenant.as_bytes(), owner.as_bytes()])[0] % PAGES
}

/// When a key that was made now and names no time ends.
pub const LIFE: Duration = Duration::from_secs(90 * 24 * 60 * 60);
/// Longest life of a key.
pub const LIFE_MAX: Duration = Duration::from_secs(366 * 24 * 60 * 60);
/// How long the record of a key that ended is listed.
const ENDED_KEPT: Duration = Duration::from_secs(30 * 24 * 60 * 60);

impl Page {
    fn forget_ended(&mut self, now: Timestamp) {
        self.records.retain(|record| {
            let ended = record.revoked.unwrap_or(record.expires).min(record.expires);
            now.since(ended) < ENDED_KEPT
        });
    }

    fn live_of(&self, tenant: &str, owner: &str, now: Timestamp) -> usize {
        let of_owner = self.records.iter();
        let of_owner = of_owner.filter(|it| it.tenant == tenant && it.owner == owner);
        of_owner
            .filter(|it| matches!(it.state(now), KeyState::Good | KeyState::NotYet))
            .count()
    }
}
