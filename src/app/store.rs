//! The store as it was configured, and the key kept beside it.

use std::io::{self, Write as _};
use std::net::SocketAddr;
use std::sync::{Arc, Weak};

use super::error::StartError;
use crate::config::Settings;
use crate::config::settings::StoreKind;
use crate::runtime::clock::Clock;
use crate::runtime::seal::ClusterKeys;
use crate::runtime::tasks::Tasks;
use crate::store::embedded::EmbeddedStore;
use crate::store::memory::MemoryStore;
use crate::store::redis::RedisStore;
use crate::store::{Bounds, Store};

/// The store, in the form this module needs of it.
#[derive(Clone)]
pub(super) enum OpenedStore {
    Memory(Arc<MemoryStore>),
    Embedded(Arc<EmbeddedStore>, std::path::PathBuf),
    Redis(Arc<RedisStore>),
}

impl OpenedStore {
    pub(super) fn open(
        settings: &Settings,
        clock: &Clock,
        tasks: &Tasks,
    ) -> Result<Self, StartError> {
        let bounds = Bounds {
            // Without identities everybody is one principal, so its bound is that of the store,
            // where the records of tasks count too.
            scopes: settings.sessions.max_per_principal,
            ..settings.store.bounds
        };
        Ok(match &settings.store.kind {
            StoreKind::Memory => Self::Memory(Arc::new(MemoryStore::new(clock.clone(), bounds))),
            StoreKind::Embedded { directory } => Self::Embedded(
                Arc::new(EmbeddedStore::open(directory, clock.clone(), bounds)?),
                directory.clone(),
            ),
            StoreKind::Redis(config) => {
                let store = RedisStore::open(config, clock.clone(), bounds, tasks)?;
                Self::Redis(Arc::new(store))
            }
        })
    }

    pub(super) fn as_store(&self) -> Arc<dyn Store> {
        match self {
            Self::Memory(store) => store.clone(),
            Self::Embedded(store, _) => store.clone(),
            Self::Redis(store) => store.clone(),
        }
    }

    /// Whether other nodes may have it as well.
    pub(super) const fn is_shared(&self) -> bool {
        match self {
            Self::Memory(_) | Self::Embedded(..) => false,
            Self::Redis(_) => true,
        }
    }

    /// Something that lives until another process may open the store; nothing where none could.
    pub(super) fn held(&self) -> Weak<()> {
        match self {
            Self::Memory(_) | Self::Redis(_) => Weak::new(),
            Self::Embedded(store, _) => store.held(),
        }
    }

    /// The cluster keys of a process nobody gave any: kept beside the sessions they are for.
    pub(super) fn kept_keys(&self) -> Result<ClusterKeys, StartError> {
        match self {
            Self::Memory(_) => Ok(ClusterKeys::generate()),
            Self::Redis(_) => unreachable!("invariant: shared stores are configured with keys"),
            Self::Embedded(_, directory) => {
                let path = directory.join("cluster.key");
                keep_key(&path).map_err(|source| StartError::Key {
                    path: path.display().to_string(),
                    source,
                })
            }
        }
    }

    pub(super) fn name_holder(&self, address: SocketAddr) {
        if let Self::Embedded(store, _) = self
            && let Err(error) = store.name_holder(&format!("listening on {address}"))
        {
            tracing::warn!(%error, "the lock file could not be written");
        }
    }
}

/// Reads the key file, or makes it: readable by its owner alone, and never half written.
fn keep_key(path: &std::path::Path) -> io::Result<ClusterKeys> {
    use std::os::unix::fs::OpenOptionsExt as _;
    match std::fs::read_to_string(path) {
        Ok(text) => ClusterKeys::from_hex(&[text.trim()])
            .map_err(|error| io::Error::new(io::ErrorKind::InvalidData, error)),
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            let keys = ClusterKeys::generate();
            let fresh = path.with_extension("key.new");
            let mut file = std::fs::OpenOptions::new()
                .write(true)
                .create(true)
                .truncate(true)
                .mode(0o600)
                .open(&fresh)?;
            writeln!(file, "{}", keys.signing_key_hex())?;
            file.sync_all()?;
            std::fs::rename(&fresh, path)?;
            Ok(keys)
        }
        Err(error) => Err(error),
    }
}
