//! What is recorded, and what becomes of it when the disk, the process or somebody misbehaves.

mod failing;
mod keeping;
mod losing;
mod recording;
mod tampering;

use std::fs;
use std::ops::ControlFlow;
use std::path::PathBuf;
use std::sync::{Arc, LazyLock};
use std::time::Duration;

use serde_json::{Map, Value};
use tempfile::TempDir;

use super::archive::{Archive, Query, Verified};
use super::chain::Keys;
use super::disk::{Disk, LocalDisk};
use super::layout::{self, Part, TrailId};
use super::*;
use crate::identity::{Caller, Origin, Principal};
use crate::protocol::raw::RawJson;
use crate::runtime::clock::Timestamp;

/// The 28th of July 2026.
const START: Timestamp = Timestamp(1_785_196_800_000);
const DAY: Duration = Duration::from_secs(86_400);

/// One cluster's keys; two tests may share them, since their directories differ.
static KEYS: LazyLock<ClusterKeys> = LazyLock::new(ClusterKeys::generate);

/// A node's three places, its clock and its counts, over several runs.
struct Place {
    directory: TempDir,
    config: Config,
    clock: Clock,
    metrics: Metrics,
    disk: Arc<dyn Disk>,
}

impl Place {
    fn new() -> Self {
        Self::on(Arc::new(LocalDisk))
    }

    fn on(disk: Arc<dyn Disk>) -> Self {
        let directory = TempDir::new().unwrap();
        let place = |name: &str| directory.path().join(name);
        let places = Places {
            records: place("records"),
            checkpoints: place("checkpoints"),
            vault: place("vault"),
        };
        Self {
            config: Config::in_directory(places),
            directory,
            clock: Clock::manual(START),
            metrics: Metrics::new(),
            disk,
        }
    }

    fn open(&self) -> Audit {
        self.try_open().unwrap()
    }

    fn try_open(&self) -> Result<Audit, OpenError> {
        let disk = self.disk.clone();
        Audit::open_on(disk, &self.config, &KEYS, &self.clock, &self.metrics, "n1")
    }

    /// What this node makes segments with.
    fn ground(&self) -> Ground {
        let Places {
            records,
            checkpoints,
            vault,
        } = self.config.places.clone();
        Ground {
            disk: self.disk.clone(),
            keys: Arc::new(Keys::of(&KEYS)),
            node: "n1".into(),
            records,
            checkpoints,
            vault,
            stream: None,
        }
    }

    fn archive(&self) -> Archive {
        Archive::of(&self.config.places, &KEYS)
    }

    #[track_caller]
    fn verify(&self) -> Verified {
        self.archive().verify(0, u64::MAX).unwrap()
    }

    /// What is wrong, as it is told.
    fn problems(&self) -> Vec<String> {
        let problems = self.verify().problems;
        problems.iter().map(ToString::to_string).collect()
    }

    fn query(&self, query: &Query) -> Vec<Map<String, Value>> {
        let mut found = Vec::new();
        let each = |record| {
            found.push(record);
            ControlFlow::Continue(())
        };
        self.archive().query(query, each).unwrap();
        found
    }

    fn calls(&self) -> Vec<Map<String, Value>> {
        self.query(&Query {
            kinds: vec!["call".to_owned()],
            ..Query::default()
        })
    }

    /// The outcomes of all calls.
    fn outcomes(&self) -> Vec<String> {
        let calls = self.calls().into_iter();
        calls
            .map(|call| {
                call.get("outcome")
                    .map_or("none", |it| it.as_str().unwrap())
                    .to_owned()
            })
            .collect()
    }

    /// The segments of the tenant's calls.
    fn segments(&self, trail: Trail) -> Vec<PathBuf> {
        let id = TrailId {
            tenant: "acme".into(),
            trail,
        };
        let directory = layout::trail_directory(&self.config.places.records, &id);
        let firsts = layout::listed(&directory, Part::Segment).unwrap();
        let paths = firsts.into_iter();
        paths
            .map(|first| layout::file(&directory, first, Part::Segment))
            .collect()
    }

    /// The keys of the tenant's people, or of its days.
    fn keys_of(&self, whom: &str) -> Vec<PathBuf> {
        fn collect(directory: &std::path::Path, into: &mut Vec<PathBuf>) {
            for path in layout::paths_in(directory).unwrap() {
                if path.is_dir() {
                    collect(&path, into);
                } else {
                    into.push(path);
                }
            }
        }
        let mut paths = Vec::new();
        collect(
            &self.config.places.vault.join("t-acme").join(whom),
            &mut paths,
        );
        paths
    }

    /// Every byte of every file.
    fn all_bytes(&self) -> Vec<u8> {
        fn collect(directory: &std::path::Path, into: &mut Vec<u8>) {
            for path in layout::paths_in(directory).unwrap() {
                if path.is_dir() {
                    collect(&path, into);
                } else {
                    into.extend(path.to_str().unwrap().as_bytes());
                    into.extend(fs::read(&path).unwrap());
                }
            }
        }
        let mut bytes = Vec::new();
        collect(self.directory.path(), &mut bytes);
        bytes
    }
}

fn contains(bytes: &[u8], text: &str) -> bool {
    bytes
        .windows(text.len())
        .any(|window| window == text.as_bytes())
}

fn caller(user: &str) -> Caller {
    Caller {
        tenant: "acme".into(),
        user: user.into(),
        client: Some("agent".into()),
        ..Caller::of(Principal::of_subject("acme", "https://sso", user, "agent"))
    }
}

fn party(caller: &Caller) -> Party<'_> {
    static ORIGIN: LazyLock<Arc<Origin>> = LazyLock::new(|| {
        Arc::new(Origin {
            address: "203.0.113.7".parse().ok(),
            user_agent: Some("tester/1".to_owned()),
        })
    });
    Party {
        caller,
        session: Some("session-1"),
        origin: &ORIGIN,
    }
}

/// A call of a tool, by a user.
fn begin<'a>(caller: &'a Caller, input: &'a RawJson) -> Begin<'a> {
    Begin {
        party: party(caller),
        trace: Some("0af7651916cd43dd8448eb211c80319c"),
        method: "tools/call",
        target: Some("crm.search"),
        is_target_given: true,
        upstream: Some("crm"),
        decision: Decision {
            is_allowed: true,
            rule: Some("analyst/0"),
            policy: Some("7"),
        },
        input: Some(input),
        bytes: 120,
    }
}

/// One whole call.
async fn call(audit: &Audit, user: &str) -> Result<(), Unavailable> {
    let caller = caller(user);
    let input = RawJson::from_valid(r#"{"text":"hello"}"#);
    let begun = audit.begin(&begin(&caller, &input)).await?;
    begun.end(&End::of(Ending::Ok)).await
}

/// What a process leaves behind that is killed: its lock is given back and nothing else is done.
async fn kill(place: &Place, audit: Audit) -> Place {
    let left = TempDir::new().unwrap();
    copy(place.directory.path(), left.path());
    audit.close().await;
    let at = |name: &str| left.path().join(name);
    let config = Config {
        places: Places {
            records: at("records"),
            checkpoints: at("checkpoints"),
            vault: at("vault"),
        },
        ..place.config.clone()
    };
    Place {
        directory: left,
        config,
        clock: place.clock.clone(),
        metrics: Metrics::new(),
        disk: Arc::new(LocalDisk),
    }
}

/// What a process leaves behind that has recorded three whole calls, and was killed.
async fn killed_after_three_calls() -> Place {
    let place = Place::new();
    let audit = place.open();
    for _ in 0..3 {
        call(&audit, "ann").await.unwrap();
    }
    kill(&place, audit).await
}

fn copy(from: &std::path::Path, to: &std::path::Path) {
    fs::create_dir_all(to).unwrap();
    for path in layout::paths_in(from).unwrap() {
        let copied = to.join(path.file_name().unwrap());
        if path.is_dir() {
            copy(&path, &copied);
        } else {
            fs::copy(&path, &copied).unwrap();
        }
    }
}
