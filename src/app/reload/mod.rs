//! A new configuration while the process runs: on SIGHUP, and when one of its files changes.
//!
//! All of it is read and checked. If anything is wrong, that is said once and nothing changes.
//! Otherwise the gateway is told of its upstreams ([`Reload::told`]), listeners show the certificate
//! that its files hold now ([`Reload::shown`]), calls are held against the rules that are written now
//! ([`Reload::telling`]), and what else is new is named: it takes effect at the next start.
//!
//! Not the files are watched but their directories: an editor puts another file in the place of one,
//! and Kubernetes swaps the link to a directory beside it. What is seen there only says when to look;
//! the files have changed if what they hold has. A directory that cannot be watched leaves SIGHUP.
//!
//! A file that is being written says only a part of what it will: half of a role may allow what its
//! other half denies. So nothing is read from the first write of a file until its writer closes it
//! ([`Writing`]), but on SIGHUP, which is somebody's word that it is whole.

mod writing;

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use notify::{RecommendedWatcher, RecursiveMode, Watcher as _};
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::sync::{Notify, watch};

use self::writing::Writing;
use super::parts;
use super::sources::Sources;
use crate::access::Present;
use crate::audit::{Audit, Event, What};
use crate::config::settings::PolicySettings;
use crate::config::{Change, Settings};
use crate::gateway;
use crate::identity::Caller;
use crate::runtime::shutdown::Shutdown;
use crate::telemetry::events::{Cautioned, ConfigRefused, ConfigReloaded, Event as _};
use crate::telemetry::metrics::Metrics;
use crate::transport::tls::Shown;

/// From the first change that is seen until the files are read: whoever writes one is done by then,
/// and a directory in which much happens costs four looks a second.
const SETTLE: Duration = Duration::from_millis(250);

/// Takes over new configurations, for the life of a process.
pub(super) struct Reload {
    sources: Sources,
    started: Settings,
    told: watch::Sender<Arc<gateway::config::Config>>,
    /// The certificate that listeners show, where they speak TLS.
    shown: Option<Shown>,
    /// Who may call what, and how often.
    policy: PolicySettings,
    /// Where calls find that.
    rules: Option<Present>,
    audit: Option<Audit>,
    /// The cautions of the last configuration that was right.
    cautions: Vec<String>,
    hangup: Option<Signal>,
    watched: Watched,
}

impl Reload {
    /// Watches from now on. Only with `signals` SIGHUP has anything to say.
    pub(super) fn new(sources: Sources, started: &Settings, signals: bool) -> Self {
        let hangup = signals.then(|| signal(SignalKind::hangup()).ok()).flatten();
        Self {
            watched: Watched::new(files(&sources, started)),
            sources,
            shown: started
                .server
                .tls
                .as_ref()
                .map(|tls| Shown::new(tls.config.identity.clone())),
            told: watch::Sender::new(Arc::new(started.gateway.clone())),
            policy: started.policy.clone(),
            rules: None,
            audit: None,
            cautions: started.cautions.clone(),
            started: started.clone(),
            hangup,
        }
    }

    /// Tells these of another policy, and puts it on record.
    pub(super) fn telling(self, rules: Present, audit: Option<Audit>) -> Self {
        Self {
            rules: Some(rules),
            audit,
            ..self
        }
    }

    /// What the gateway is told, now and later.
    pub(super) fn told(&self) -> watch::Receiver<Arc<gateway::config::Config>> {
        self.told.subscribe()
    }

    /// The certificate that listeners show, now and later.
    pub(super) const fn shown(&self) -> Option<&Shown> {
        self.shown.as_ref()
    }

    /// Takes over what comes, until the process drains.
    pub(super) async fn run(mut self, shutdown: Shutdown, metrics: Metrics) {
        loop {
            tokio::select! {
                () = shutdown.drains() => return,
                Some(()) = hung_up(&mut self.hangup) => self.watched.look().await,
                () = self.watched.changed() => {}
            }
            let sources = self.sources.clone();
            // Files are read, and they may lie anywhere.
            let loaded = tokio::task::spawn_blocking(move || sources.settings());
            match loaded.await {
                Ok(Ok(settings)) => self.take(settings, &metrics),
                Ok(Err(complaints)) => {
                    let complaints = complaints.to_string().replace('\n', "; ");
                    ConfigRefused {
                        complaints: &complaints,
                    }
                    .emit(&metrics);
                }
                // The runtime ends.
                Err(_) => return,
            }
        }
    }

    fn take(&mut self, mut new: Settings, metrics: &Metrics) {
        // Another authentication waits for the next start.
        new.policy = new.policy.beside(&self.started.auth);
        let change = {
            let told = self.told.borrow();
            Change::between(&self.started, &told, &self.policy, &new)
        };
        for caution in &new.cautions {
            if !self.cautions.contains(caution) {
                Cautioned { caution }.emit(metrics);
            }
        }
        self.watched.watch(files(&self.sources, &new));
        self.cautions = new.cautions;
        if let Some(gateway) = &change.gateway {
            self.told.send_replace(Arc::new(gateway.clone()));
        }
        let tls = new.server.tls.as_ref();
        let certificate = match (&self.shown, tls.map(|tls| &tls.config.identity)) {
            (Some(shown), Some(identity)) if !shown.shows(identity) => {
                shown.show(identity.clone());
                true
            }
            (Some(_) | None, Some(_) | None) => false,
        };
        if let Some(policy) = &change.policy {
            if let Some(rules) = &self.rules {
                rules.set(parts::rules(policy));
            }
            let what = What::PolicyChanged {
                version: policy.access.version().to_string(),
                previous: self.policy.access.version().to_string(),
            };
            if let Some(audit) = &self.audit {
                drop(audit.note(&Event::of(Caller::DEFAULT_TENANT, what)));
            }
            self.policy = policy.clone();
        }
        ConfigReloaded {
            changed: change.gateway.is_some() || change.policy.is_some() || certificate,
            certificate,
            upstreams_added: &change.added,
            upstreams_changed: &change.changed,
            upstreams_removed: &change.removed,
            at_next_start: &change.at_next_start,
        }
        .emit(metrics);
    }
}

/// All that is read for the settings, and may change while the process runs.
fn files(sources: &Sources, settings: &Settings) -> Vec<PathBuf> {
    let mut files = sources.files();
    files.extend(settings.server.tls.iter().flat_map(|tls| tls.files.clone()));
    files
}

async fn hung_up(hangup: &mut Option<Signal>) -> Option<()> {
    match hangup {
        Some(hangup) => hangup.recv().await,
        None => std::future::pending().await,
    }
}

/// The files, and what they held when they were last looked at.
struct Watched {
    files: Vec<PathBuf>,
    held: Vec<Option<Vec<u8>>>,
    /// Something happened in one of their directories. One word of it is as good as many.
    stirred: Arc<Notify>,
    writing: Arc<Writing>,
    /// Watches for as long as it lives.
    _watcher: Option<RecommendedWatcher>,
}

impl Watched {
    fn new(files: Vec<PathBuf>) -> Self {
        let stirred = Arc::new(Notify::new());
        let writing = Arc::new(Writing::of(&files));
        let watcher =
            (!files.is_empty()).then(|| watcher(&files, stirred.clone(), writing.clone()));
        let watcher = watcher.and_then(|watcher| {
            let failed = |error| tracing::warn!(%error, "configuration files are not watched");
            watcher.map_err(failed).ok()
        });
        Self {
            held: read(&files),
            files,
            stirred,
            writing,
            _watcher: watcher,
        }
    }

    /// Watches these from now on.
    fn watch(&mut self, files: Vec<PathBuf>) {
        if files != self.files {
            *self = Self::new(files);
        }
    }

    /// Waits until the files hold something else, and are whole.
    ///
    /// # Cancel safety
    /// Dropped, it forgets what it saw; who drops it has a look of its own.
    async fn changed(&mut self) {
        loop {
            self.stirred.notified().await;
            tokio::time::sleep(SETTLE).await;
            let files = self.files.clone();
            let Ok(held) = tokio::task::spawn_blocking(move || read(&files)).await else {
                return;
            };
            // What is being written is closed at last, and that stirs again.
            if !self.writing.is_going_on() && held != self.held {
                self.held = held;
                return;
            }
        }
    }

    /// Takes what they hold now as seen.
    async fn look(&mut self) {
        let files = self.files.clone();
        if let Ok(held) = tokio::task::spawn_blocking(move || read(&files)).await {
            self.held = held;
        }
    }
}

fn read(files: &[PathBuf]) -> Vec<Option<Vec<u8>>> {
    files.iter().map(|file| std::fs::read(file).ok()).collect()
}

fn watcher(
    files: &[PathBuf],
    stirred: Arc<Notify>,
    writing: Arc<Writing>,
) -> notify::Result<RecommendedWatcher> {
    let mut watcher = notify::recommended_watcher(move |event: notify::Result<notify::Event>| {
        // What cannot be told may be anything.
        if event.as_ref().map_or(true, |event| writing.stirs(event)) {
            stirred.notify_one();
        }
    })?;
    let directories = files.iter().map(|file| match file.parent() {
        Some(directory) if !directory.as_os_str().is_empty() => directory,
        _ => Path::new("."),
    });
    for directory in directories.collect::<BTreeSet<_>>() {
        watcher.watch(directory, RecursiveMode::NonRecursive)?;
    }
    Ok(watcher)
}
