//! The audit, from what was written to what it needs.

use std::path::{Component, Path, PathBuf, absolute};

use super::layers::Ground;
use super::raw;
use super::settings::{StoreKind, StoreSettings};
use super::values::Period;
use crate::audit::redact::{Action, Class, Redactor, Rules, RulesError};
use crate::audit::{Config, Keep, OnFailure, Payloads, Places, Retention, Sink};
use crate::runtime::seal::ClusterKeys;

const SINK: &str = "audit.sink";
const NOBODYS: &str = "is empty: no caller is of such a tenant";

/// Why a hold does not take a name with a `*`: it would hold nothing of those it is meant for.
const NO_PATTERN: &str = "is no pattern: tenants are named one by one, without `*`";

/// The audit, if there is to be one. Everything is checked whether or not there is.
pub(super) fn resolve(
    raw: &raw::Audit,
    store: &StoreSettings,
    cluster: &raw::Cluster,
    ground: &mut Ground,
) -> Option<Config> {
    let rules = rules(&raw.redaction, ground);
    let retention = retention(&raw.retention, ground);
    let (sink, records) = sink(raw.sink.as_deref()?, ground)?;
    let within = |written: &Option<String>, name: &str| match written {
        Some(path) => PathBuf::from(path),
        None => store.data_directory().join("audit").join(name),
    };
    let places = Places {
        records,
        checkpoints: within(&raw.checkpoints, "checkpoints"),
        vault: within(&raw.vault, "vault"),
    };
    apart(sink, &places, ground);
    if store.kind == StoreKind::Memory && cluster.keys.is_empty() {
        let problem = "needs `cluster.keys` with a store in memory, which makes a key that ends with \
                       the process: nobody could read these records later";
        ground.complain(&[SINK], problem);
    }
    Some(Config {
        sink,
        places,
        on_failure: match raw.on_failure {
            raw::AuditOnFailure::Closed => OnFailure::Closed,
            raw::AuditOnFailure::Open => OnFailure::Open,
        },
        patience: raw.patience.get(),
        segment_size: raw.segment_size.get() as u64,
        segment_age: raw.segment_age.get(),
        payloads: match raw.payloads {
            raw::Payloads::Redacted => Payloads::Redacted,
            raw::Payloads::Off => Payloads::Off,
        },
        payload_max: raw.max_payload.get(),
        rules,
        retention,
    })
}

/// Complains about places that prove or forget nothing, since they lie in one another.
fn apart(sink: Sink, places: &Places, ground: &mut Ground) {
    const CHECKPOINTS: &str = "audit.checkpoints";
    const VAULT: &str = "audit.vault";
    let [records, checkpoints, vault] =
        [&places.records, &places.checkpoints, &places.vault].map(|place| plain(place));
    let is_file = sink == Sink::Directory;
    if is_file && records == checkpoints {
        let problem = "`audit.checkpoints` must be another directory than that of `audit.sink`";
        ground.complain(&[CHECKPOINTS, SINK], problem);
    }
    for (key, other) in [(SINK, &records), (CHECKPOINTS, &checkpoints)] {
        if (is_file || key != SINK) && (vault.starts_with(other) || other.starts_with(&vault)) {
            let problem = format!(
                "`audit.vault` ({}) must be a directory of its own, neither in that of `{key}` nor \
                 around it: a copy of that would have the keys of whoever is erased later",
                places.vault.display()
            );
            ground.complain(&[VAULT, key], problem);
        }
    }
}

/// A path from the root on, by what is written: `..` goes up, whatever links there are.
fn plain(path: &Path) -> PathBuf {
    let mut plain = PathBuf::new();
    for step in absolute(path).unwrap_or_else(|_| path.into()).components() {
        match step {
            Component::ParentDir => {
                plain.pop();
            }
            Component::Prefix(_)
            | Component::RootDir
            | Component::CurDir
            | Component::Normal(_) => {
                plain.push(step);
            }
        }
    }
    plain
}

fn sink(text: &str, ground: &mut Ground) -> Option<(Sink, PathBuf)> {
    match text.strip_prefix("file:") {
        Some(directory) if !directory.is_empty() => Some((Sink::Directory, directory.into())),
        None if text == "stdout" => Some((Sink::Stdout, PathBuf::new())),
        Some(_) | None => {
            let problem = format!("{text:?} is not \"file:DIRECTORY\" or \"stdout\"");
            ground.refuse(SINK, problem);
            None
        }
    }
}

fn rules(raw: &raw::Redaction, ground: &mut Ground) -> Rules {
    let mut rules = Rules {
        keys: raw.keys.clone(),
        ..Rules::default()
    };
    match raw.action.parse() {
        Ok(action) => rules.action = action,
        Err(problem) => ground.refuse("audit.redaction.action", problem),
    }
    for (class, action) in &raw.actions {
        let parsed = class
            .parse::<Class>()
            .and_then(|class| Ok((class.name(), action.parse::<Action>()?)));
        match parsed {
            Ok((class, action)) => {
                rules.actions.insert(class, action);
            }
            Err(problem) => ground.complain(&["audit.redaction.actions"], problem),
        }
    }
    for (tool, known) in &raw.tools {
        rules.tools.insert(tool.clone(), known.pointers.clone());
    }
    // No key is needed to see whether they can be read.
    match Redactor::new(&rules, &ClusterKeys::generate()) {
        Ok(_) => {}
        Err(error @ RulesError::Key(_)) => {
            ground.complain(&["audit.redaction.keys"], error.to_string());
        }
        Err(RulesError::Pointer { tool, problem }) => {
            let key = format!("audit.redaction.tools.{tool}.pointers");
            ground.complain(&[&key], problem);
        }
    }
    rules
}

fn retention(raw: &raw::Retention, ground: &mut Ground) -> Retention {
    let default = Keep {
        metadata: raw.metadata.get(),
        payloads: raw.payloads.get(),
        security: raw.security.get(),
    };
    if raw.payloads > raw.metadata {
        let problem = format!(
            "`audit.retention.payloads` ({}) must be at most `audit.retention.metadata` ({}): they go \
             with it",
            raw.payloads, raw.metadata
        );
        let keys = ["audit.retention.payloads", "audit.retention.metadata"];
        ground.complain(&keys, problem);
    }
    for (at, tenant) in raw.legal_hold.iter().enumerate() {
        let problem = match tenant.as_str() {
            "" => NOBODYS,
            pattern if pattern.contains('*') => NO_PATTERN,
            _ => continue,
        };
        ground.complain_within(&format!("audit.retention.legal_hold[{at}]"), problem);
    }
    if raw.tenants.contains_key("") {
        ground.complain_within("audit.retention.tenants.\"\"", NOBODYS);
    }
    let tenants = raw.tenants.iter().map(|(tenant, own)| {
        let keep = Keep {
            metadata: own.metadata.map_or(default.metadata, Period::get),
            payloads: own.payloads.map_or(default.payloads, Period::get),
            security: own.security.map_or(default.security, Period::get),
        };
        (tenant.clone(), keep)
    });
    Retention {
        default,
        tenants: tenants.collect(),
        legal_hold: raw.legal_hold.iter().cloned().collect(),
    }
}
