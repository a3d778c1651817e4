//! Reading what was recorded: is it whole, what does it say, what does it say of one person.
//!
//! An [`Archive`] reads the three places a node writes to, with the cluster's keys. It may be used
//! beside a node that is writing: what is half written at the end of an open segment is not there yet.
//!
//! It changes nothing. Erasing goes through [`super::Audit`], which is the one that writes.

mod export;
mod follow;
mod held;
mod losses;
mod query;
mod records;
mod verify;

use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::sync::Arc;

pub use export::{Control, Export};
pub use query::Query;
pub use verify::{Problem, Verified};

use super::chain::Keys;
use super::checkpoint::{Anchor, Checkpoint, Latest};
use super::config::Places;
use super::disk::LocalDisk;
use super::layout::{self, Part, Trail, TrailId};
use super::vault::Vault;
use crate::runtime::seal::ClusterKeys;
use records::Segment;

/// What a node has recorded.
#[derive(Debug)]
pub struct Archive {
    places: Places,
    keys: Arc<Keys>,
    vault: Vault,
}

impl Archive {
    /// What lies in these places.
    #[must_use]
    pub fn of(places: &Places, keys: &ClusterKeys) -> Self {
        let derived = Arc::new(Keys::of(keys));
        Self {
            places: places.clone(),
            vault: Vault::new(&places.vault, keys, derived.clone(), Arc::new(LocalDisk)),
            keys: derived,
        }
    }

    /// Whose records there are.
    ///
    /// # Errors
    /// When the places cannot be read.
    pub fn tenants(&self) -> io::Result<BTreeSet<Arc<str>>> {
        let trails = self.trails()?.into_values().flatten();
        Ok(trails.map(|id| id.tenant).collect())
    }

    /// Every trail there is, by its directory in the places.
    fn trails(&self) -> io::Result<BTreeMap<(String, Trail), Option<TrailId>>> {
        let mut tenants = layout::tenant_directories(&self.places.checkpoints)?;
        tenants.extend(layout::tenant_directories(&self.places.records)?);
        tenants.extend(layout::tenant_directories(&self.places.vault)?);
        let mut trails = BTreeMap::new();
        for tenant in tenants {
            for trail in Trail::ALL {
                let id = self.name(&tenant, trail);
                if id.is_some() || self.has_files(&tenant, trail) {
                    trails.insert((tenant.clone(), trail), id);
                }
            }
        }
        Ok(trails)
    }

    /// Whether there is anything of a trail, even what cannot be read.
    fn has_files(&self, tenant: &str, trail: Trail) -> bool {
        let records = self.places.records.join(tenant).join(trail.as_str());
        let latest = layout::latest(&self.places.vault, tenant, trail);
        layout::listed(&records, Part::Segment).map_or(true, |found| !found.is_empty())
            || latest.exists()
    }

    /// Whose trail a directory holds, as its own files say. What cannot be read says nothing.
    fn name(&self, directory: &str, trail: Trail) -> Option<TrailId> {
        let checkpoints = self.places.checkpoints.join(directory).join(trail.as_str());
        let records = self.places.records.join(directory).join(trail.as_str());
        let listed = |place, part| layout::listed(place, part).unwrap_or_default().into_iter();
        let checkpoint = |first| {
            let path = layout::file(&checkpoints, first, Part::Checkpoint);
            let found = Checkpoint::read(&path, &self.keys).ok()?.ours()?;
            Some(found.says.tenant)
        };
        let anchor = |first| {
            let path = layout::file(&checkpoints, first, Part::Anchor);
            Some(Anchor::read(&path, &self.keys).ok()?.ours()?.tenant)
        };
        let latest = || {
            let path = layout::latest(&self.places.vault, directory, trail);
            Some(Latest::read(&path, &self.keys).ok()?.ours()?.tenant)
        };
        let segment = |first| {
            let segment = Segment::read(&layout::file(&records, first, Part::Segment)).ok()??;
            segment.header().map(|header| header.tenant)
        };
        let tenant = listed(&checkpoints, Part::Checkpoint)
            .find_map(checkpoint)
            .or_else(|| listed(&checkpoints, Part::Anchor).find_map(anchor))
            .or_else(latest)
            .or_else(|| listed(&records, Part::Segment).find_map(segment));
        tenant.map(|tenant| TrailId {
            tenant: tenant.into(),
            trail,
        })
    }
}
