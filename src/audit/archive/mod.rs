//! Reading what was recorded: is it whole, what does it say, what does it say of one person.
//!
//! An [`Archive`] reads the three places a node writes to, with the cluster's keys. It may be used
//! beside a node that is writing: what is half written at the end of an open segment is not there yet.
//!
//! It changes nothing. Erasing goes through [`super::Audit`], which is the one that writes.

mod export;
mod query;
mod records;
mod verify;

use std::collections::{BTreeMap, HashMap};
use std::io;
use std::sync::Arc;

use serde_json::{Map, Value};

pub use export::{Control, Export};
pub use query::Query;
pub use verify::{Problem, Verified};

use super::chain::Keys;
use super::checkpoint::{Anchor, Checkpoint, Found};
use super::config::Places;
use super::disk::LocalDisk;
use super::layout::{self, Part, Trail, TrailId};
use super::segment::Header;
use super::vault::{Kind, Opened, Subject, Vault};
use crate::runtime::seal::ClusterKeys;
use records::Segment;

/// What a node has recorded.
#[derive(Debug)]
pub struct Archive {
    places: Places,
    keys: Arc<Keys>,
    vault: Vault,
}

/// The keys of a tenant's people, read once.
type Subjects = HashMap<Arc<str>, Subject>;

/// What is in a record's boxes.
#[derive(Debug, Default)]
struct Contents {
    /// Members that were sealed.
    members: Map<String, Value>,
    /// Boxes whose key is gone.
    erased: u64,
    /// The first box that is not what the record commits to.
    changed: Option<&'static str>,
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

    /// Every trail there is, by its directory in the places.
    fn trails(&self) -> io::Result<BTreeMap<(String, Trail), Option<TrailId>>> {
        let mut tenants = layout::tenant_directories(&self.places.checkpoints)?;
        tenants.extend(layout::tenant_directories(&self.places.records)?);
        let mut trails = BTreeMap::new();
        for tenant in tenants {
            for trail in Trail::ALL {
                let id = self.name(&tenant, trail)?;
                if id.is_some() || self.has_files(&tenant, trail)? {
                    trails.insert((tenant.clone(), trail), id);
                }
            }
        }
        Ok(trails)
    }

    fn has_files(&self, tenant: &str, trail: Trail) -> io::Result<bool> {
        let records = self.places.records.join(tenant).join(trail.as_str());
        Ok(!layout::listed(&records, Part::Segment)?.is_empty())
    }

    /// Whose trail a directory holds, as its own files say.
    fn name(&self, directory: &str, trail: Trail) -> io::Result<Option<TrailId>> {
        let checkpoints = self.places.checkpoints.join(directory).join(trail.as_str());
        let id = |tenant: String| TrailId {
            tenant: tenant.into(),
            trail,
        };
        for first in layout::listed(&checkpoints, Part::Checkpoint)? {
            let path = layout::file(&checkpoints, first, Part::Checkpoint);
            if let Found::Ours(signed) = Checkpoint::read(&path, &self.keys)? {
                return Ok(Some(id(signed.says.tenant)));
            }
        }
        for first in layout::listed(&checkpoints, Part::Anchor)? {
            let path = layout::file(&checkpoints, first, Part::Anchor);
            if let Found::Ours(anchor) = Anchor::read(&path, &self.keys)? {
                return Ok(Some(id(anchor.tenant)));
            }
        }
        let records = self.places.records.join(directory).join(trail.as_str());
        for first in layout::listed(&records, Part::Segment)? {
            let segment = Segment::read(&layout::file(&records, first, Part::Segment))?;
            if let Some(Header { tenant, .. }) = segment.header() {
                return Ok(Some(id(tenant)));
            }
        }
        Ok(None)
    }

    /// What is sealed in a record, as far as there are keys.
    fn contents(
        &self,
        tenant: &str,
        subjects: &Subjects,
        record: &Map<String, Value>,
        line: &super::line::Line<'_>,
    ) -> io::Result<Contents> {
        let mut contents = Contents::default();
        let text = |name: &str| record.get(name).and_then(Value::as_str);
        let day = record.get("payload_day").and_then(Value::as_u64);
        let kinds = [
            ("who", Kind::Who),
            (
                "payload",
                Kind::Payload {
                    day: day.unwrap_or(0),
                },
            ),
        ];
        for (name, kind) in kinds {
            let (commitment, sealed) = (text(name), line.sealed(name));
            let (Some(commitment), Some(sealed)) = (commitment, sealed) else {
                if commitment.is_some() || sealed.is_some() {
                    contents.changed.get_or_insert(name);
                }
                continue;
            };
            let subject = text("subject").and_then(|subject| subjects.get(subject));
            let opened = match subject {
                None => None,
                Some(subject) => self.vault.open(tenant, subject, kind, sealed)?,
            };
            match opened {
                None => contents.erased += 1,
                Some(Opened::Text {
                    text,
                    commitment: found,
                }) if found == commitment => {
                    let inside = serde_json::from_str::<Map<String, Value>>(&text);
                    contents.members.extend(inside.unwrap_or_default());
                }
                Some(Opened::Text { .. } | Opened::Changed) => {
                    contents.changed.get_or_insert(name);
                }
            }
        }
        Ok(contents)
    }
}
