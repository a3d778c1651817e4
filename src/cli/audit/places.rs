//! Where the records are that a command is about, and the keys to read them.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use super::Failure;
use crate::app::Host;
use crate::audit::archive::Archive;
use crate::audit::{self, Config, Sink};
use crate::config::{Overrides, Settings};
use crate::runtime::seal::ClusterKeys;

/// Tenants that are named to who asked about another: enough to see a slip.
const TENANTS_NAMED_MAX: usize = 10;

/// Where the records are.
#[derive(Clone, Debug, clap::Args)]
pub(in crate::cli) struct Target {
    /// The directory of the records [default: that of `audit.sink`]
    #[arg(long, value_name = "DIR")]
    dir: Option<PathBuf>,
    /// The directory of their checkpoints [default: that of `audit.checkpoints`]
    #[arg(long, value_name = "DIR")]
    checkpoints: Option<PathBuf>,
    /// The directory of their keys [default: that of `audit.vault`]
    #[arg(long, value_name = "DIR")]
    vault: Option<PathBuf>,
    /// The address and port the node listens on [default: 127.0.0.1:8000]
    #[arg(long, value_name = "ADDR")]
    listen: Option<String>,
    /// Where it keeps state [default: embedded:./switchboard-data]
    #[arg(long, value_name = "URL")]
    store: Option<String>,
}

/// What a command works with.
pub(super) struct Places {
    pub(super) config: Config,
    pub(super) keys: ClusterKeys,
    pub(super) settings: Settings,
    pub(super) named: Named,
}

/// Which of the three directories were named, so that they need not be those of the node.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Named {
    None,
    Some,
    All,
}

impl Places {
    /// What can be read.
    pub(super) fn archive(&self) -> Result<Archive, Failure> {
        match self.config.sink {
            Sink::Directory => Ok(Archive::of(&self.config.places, &self.keys)),
            Sink::Stdout | Sink::Stderr => Err(Failure::Usage(
                "the records went to the node's standard output: put them into files as they \
                 were, and name their directory with --dir"
                    .to_owned(),
            )),
        }
    }

    /// Refuses a copy that is named wrongly, before anything is made there and found empty.
    pub(super) fn are_there(&self) -> Result<(), Failure> {
        let places = &self.config.places;
        let all = [&places.records, &places.checkpoints, &places.vault];
        match all.into_iter().find(|place| !place.is_dir()) {
            Some(place) if self.named == Named::All => Err(Failure::Failed(format!(
                "there is no directory {}",
                place.display()
            ))),
            Some(_) | None => Ok(()),
        }
    }

    /// Refuses a tenant of whom there are no records, which nobody asks about but by mistake.
    pub(super) fn has_records_of(&self, tenant: &str) -> Result<(), Failure> {
        let archive = Archive::of(&self.config.places, &self.keys);
        let tenants = archive.tenants().map_err(|error| Failure::of(&error))?;
        if tenants.contains(tenant) {
            return Ok(());
        }
        let named = tenants.iter().take(TENANTS_NAMED_MAX);
        let named: Vec<_> = named.map(|tenant| format!("{tenant:?}")).collect();
        let more = if tenants.len() > named.len() {
            ", …"
        } else {
            ""
        };
        Err(Failure::Failed(format!(
            "there are no records of the tenant {tenant:?}; there are of: {}{more}",
            named.join(", ")
        )))
    }
}

impl Target {
    pub(super) fn places(&self, host: Host) -> Result<Places, Failure> {
        let overrides = Overrides {
            listen: self.listen.clone(),
            store: self.store.clone(),
            ..Overrides::default()
        };
        let settings = host.overrides(overrides).settings();
        let settings = settings.map_err(|complaints| Failure::Usage(complaints.to_string()))?;
        let data = settings.store.data_directory();
        let mut config = match (&settings.audit, &self.dir) {
            (Some(config), _) => config.clone(),
            (None, Some(directory)) => Config::in_directory(audit::Places {
                records: directory.clone(),
                checkpoints: data.join("audit").join("checkpoints"),
                vault: data.join("audit").join("vault"),
            }),
            (None, None) => {
                let problem = "nothing is recorded here: name the directory of the records with \
                               --dir, or configure `audit.sink`";
                return Err(Failure::Usage(problem.to_owned()));
            }
        };
        // What went to standard output was put somewhere, and is still the node's.
        let is_put = config.sink != Sink::Directory && self.dir.is_some();
        let apart = [&self.checkpoints, &self.vault].map(Option::is_some);
        let named = match (self.dir.is_some(), apart) {
            (true, [true, true]) => Named::All,
            (true, [false, false]) if is_put => Named::None,
            (false, [false, false]) => Named::None,
            (_, _) => Named::Some,
        };
        for (named, place) in [
            (&self.dir, &mut config.places.records),
            (&self.checkpoints, &mut config.places.checkpoints),
            (&self.vault, &mut config.places.vault),
        ] {
            if let Some(directory) = named {
                place.clone_from(directory);
            }
        }
        // What is too old is the node's business, by its own configuration.
        config.retention = config.retention.without_age();
        if self.dir.is_some() {
            config.sink = Sink::Directory;
        }
        let is_there = config.places.records.is_dir() || config.places.checkpoints.is_dir();
        if !is_there {
            let place = config.places.records.display();
            return Err(Failure::Failed(format!("there are no records in {place}")));
        }
        let keys = match &settings.cluster.keys {
            Some(keys) => keys.clone(),
            None => kept(data)?,
        };
        Ok(Places {
            config,
            keys,
            settings,
            named,
        })
    }
}

/// The key that a node keeps beside its embedded store.
fn kept(data: &Path) -> Result<ClusterKeys, Failure> {
    let path = data.join("cluster.key");
    let text = fs::read_to_string(&path).map_err(|error| match error.kind() {
        io::ErrorKind::NotFound => Failure::Usage(format!(
            "the cluster's keys are needed: `cluster.keys` is not configured, and there is no {}",
            path.display()
        )),
        _ => Failure::Failed(format!("{} cannot be read: {error}", path.display())),
    })?;
    ClusterKeys::from_hex(&[text.trim()]).map_err(|error| Failure::of(&error))
}
