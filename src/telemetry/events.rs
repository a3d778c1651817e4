//! The happenings an operator acts on: each one's log line and counters, emitted together.
//!
//! One struct per event, its facts as fields, [`Event::emit`] to let it happen. Messages are
//! constant and in the past tense; facts are log fields. What happens on every request is only
//! counted ([`Metrics::request`]); these are for what is rarer, or written now and then
//! ([`warn_ratelimited!`]).
//!
//! A session appears in a log as `session`, a keyed hash its owner makes; never by its id.
//!
//! It does not write audit records: those are evidence, these are signals.

use std::fmt::Display;
use std::net::SocketAddr;
use std::time::Duration;

use tracing::{debug, error, info, warn};

use super::labels::{CloseReason, Label, Refusal, ReloadOutcome, StoreOperation};
use super::metrics::Metrics;
use crate::protocol::version::ProtocolVersion;
use crate::runtime::ratelimited::warn_ratelimited;
use crate::runtime::shutdown::StepEnd;

/// Something an operator should be able to see.
pub trait Event {
    /// Writes the log line and moves the counters.
    fn emit(self, metrics: &Metrics);
}

/// The process takes traffic.
#[derive(Clone, Copy, Debug)]
pub struct Started<'a> {
    /// The listening address, with the port the system chose if it was asked to; none on stdio.
    pub listen: Option<SocketAddr>,
    /// Where `/health`, `/ready` and `/metrics` are, if not there.
    pub admin: Option<SocketAddr>,
    /// The store's own description.
    pub store: &'a str,
    /// The served paths.
    pub endpoints: &'a [&'a str],
}

impl Event for Started<'_> {
    fn emit(self, _metrics: &Metrics) {
        info!(
            listen = self.listen.map(tracing::field::display),
            admin = self.admin.map(tracing::field::display),
            store = self.store,
            endpoints = ?self.endpoints,
            version = env!("CARGO_PKG_VERSION"),
            "started"
        );
    }
}

/// The configuration allows something its owner should know about.
#[derive(Clone, Copy, Debug)]
pub struct Cautioned<'a> {
    /// What.
    pub caution: &'a str,
}

impl Event for Cautioned<'_> {
    fn emit(self, _metrics: &Metrics) {
        warn!(caution = self.caution, "configuration allows a risk");
    }
}

/// A new configuration was taken over while the process ran.
#[derive(Clone, Copy, Debug)]
pub struct ConfigReloaded<'a> {
    /// Whether anything that takes effect now is new.
    pub changed: bool,
    /// Whether listeners show another certificate.
    pub certificate: bool,
    /// The names of the upstreams that came.
    pub upstreams_added: &'a [String],
    /// The names of those that are something else now.
    pub upstreams_changed: &'a [String],
    /// The names of those that went.
    pub upstreams_removed: &'a [String],
    /// What is new besides, and takes effect at the next start.
    pub at_next_start: &'a [String],
}

impl Event for ConfigReloaded<'_> {
    fn emit(self, metrics: &Metrics) {
        let outcome = if self.changed {
            ReloadOutcome::Applied
        } else {
            ReloadOutcome::Unchanged
        };
        metrics.config_reload(outcome);
        info!(
            outcome = outcome.text(),
            certificate = self.certificate,
            upstreams_added = ?self.upstreams_added,
            upstreams_changed = ?self.upstreams_changed,
            upstreams_removed = ?self.upstreams_removed,
            "configuration reloaded"
        );
        if !self.at_next_start.is_empty() {
            let keys = self.at_next_start.join(", ");
            warn!(keys, "configuration takes effect at the next start");
        }
    }
}

/// A new configuration is wrong; the one before stays.
#[derive(Clone, Copy, Debug)]
pub struct ConfigRefused<'a> {
    /// All that is wrong with it.
    pub complaints: &'a str,
}

impl Event for ConfigRefused<'_> {
    fn emit(self, metrics: &Metrics) {
        metrics.config_reload(ReloadOutcome::Refused);
        error!(complaints = self.complaints, "configuration refused");
    }
}

/// A session was opened by a handshake.
#[derive(Clone, Copy, Debug)]
pub struct SessionOpened<'a, S> {
    /// The keyed hash of its id.
    pub session: S,
    /// The negotiated revision.
    pub version: ProtocolVersion,
    /// The client's own name for itself.
    pub client: &'a str,
}

impl<S: Display> Event for SessionOpened<'_, S> {
    fn emit(self, metrics: &Metrics) {
        metrics.session_opened();
        debug!(
            session = %self.session,
            version = %self.version,
            client = ?excerpt(self.client),
            "session opened"
        );
    }
}

/// A session ended.
#[derive(Clone, Copy, Debug)]
pub struct SessionClosed<S> {
    /// The keyed hash of its id.
    pub session: S,
    /// Why.
    pub reason: CloseReason,
}

impl<S: Display> Event for SessionClosed<S> {
    fn emit(self, metrics: &Metrics) {
        metrics.session_closed(self.reason);
        debug!(session = %self.session, reason = self.reason.text(), "session closed");
    }
}

/// A session was brought back from its checkpoint.
#[derive(Clone, Copy, Debug)]
pub struct SessionRestored<S> {
    /// The keyed hash of its id.
    pub session: S,
}

impl<S: Display> Event for SessionRestored<S> {
    fn emit(self, metrics: &Metrics) {
        metrics.session_restored();
        debug!(session = %self.session, "session restored");
    }
}

/// A session's actor died of a panic.
#[derive(Clone, Copy, Debug)]
pub struct SessionPanicked<S> {
    /// The keyed hash of its id.
    pub session: S,
}

impl<S: Display> Event for SessionPanicked<S> {
    fn emit(self, metrics: &Metrics) {
        metrics.session_panicked();
        error!(session = %self.session, "session panicked");
    }
}

/// Something was refused. Logged at `debug`: a flood of refusals must not become a flood of lines.
#[derive(Clone, Copy, Debug)]
pub struct Refused<D> {
    /// Why.
    pub reason: Refusal,
    /// What a person needs to know besides; a short text of ours, or an excerpt.
    pub detail: D,
}

impl<D: Display> Event for Refused<D> {
    fn emit(self, metrics: &Metrics) {
        metrics.refused(self.reason);
        debug!(reason = self.reason.text(), detail = %self.detail, "refused");
    }
}

/// The store could not do something.
#[derive(Clone, Copy, Debug)]
pub struct StoreFailed<E> {
    /// What it was asked to do.
    pub operation: StoreOperation,
    /// What it says.
    pub error: E,
}

impl<E: Display> Event for StoreFailed<E> {
    fn emit(self, metrics: &Metrics) {
        metrics.store_error(self.operation);
        warn_ratelimited!("store operation failed", operation = self.operation.text(), error = %self.error);
    }
}

/// The process was told to stop and takes no new connections.
#[derive(Clone, Copy, Debug)]
pub struct Draining {
    /// How long what runs may take to end.
    pub deadline: Duration,
    /// How many sessions live here.
    pub sessions: usize,
    /// How many tasks run: calls, streams, store work.
    pub tasks: usize,
}

impl Event for Draining {
    fn emit(self, _metrics: &Metrics) {
        info!(
            deadline = ?self.deadline,
            sessions = self.sessions,
            tasks = self.tasks,
            "draining"
        );
    }
}

impl Event for StepEnd {
    fn emit(self, _metrics: &Metrics) {
        match self.cut {
            None => debug!(step = self.step, "stop step finished"),
            Some(left) => warn!(step = self.step, left, "stop step cut at its deadline"),
        }
    }
}

/// The process has stopped.
#[derive(Clone, Copy, Debug)]
pub struct Stopped {
    /// How long stopping took.
    pub took: Duration,
}

impl Event for Stopped {
    fn emit(self, _metrics: &Metrics) {
        info!(took = ?self.took, "stopped");
    }
}

/// The start of a text from outside; logged with `?`, so that it is escaped.
#[must_use]
pub fn excerpt(text: &str) -> &str {
    const EXCERPT_BYTES_MAX: usize = 64;
    let mut end = text.len().min(EXCERPT_BYTES_MAX);
    while !text.is_char_boundary(end) {
        end -= 1;
    }
    &text[..end]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_event_moves_its_counters() {
        let metrics = Metrics::new();
        SessionOpened {
            session: 7,
            version: ProtocolVersion::V2025_11_25,
            client: "c",
        }
        .emit(&metrics);
        SessionClosed {
            session: 7,
            reason: CloseReason::Idle,
        }
        .emit(&metrics);
        SessionRestored { session: 7 }.emit(&metrics);
        SessionPanicked { session: 7 }.emit(&metrics);
        Refused {
            reason: Refusal::Host,
            detail: "",
        }
        .emit(&metrics);
        StoreFailed {
            operation: StoreOperation::Append,
            error: "full",
        }
        .emit(&metrics);
        ConfigReloaded {
            changed: false,
            certificate: false,
            upstreams_added: &[],
            upstreams_changed: &[],
            upstreams_removed: &[],
            at_next_start: &[],
        }
        .emit(&metrics);
        ConfigRefused { complaints: "" }.emit(&metrics);
        let text = metrics.render();
        for line in [
            "mcp_sessions_opened_total 1",
            r#"mcp_sessions_closed_total{reason="idle"} 1"#,
            "mcp_sessions_restored_total 1",
            "mcp_session_panics_total 1",
            r#"mcp_refused_total{reason="host"} 1"#,
            r#"mcp_store_errors_total{operation="append"} 1"#,
            r#"mcp_config_reloads_total{outcome="unchanged"} 1"#,
            r#"mcp_config_reloads_total{outcome="refused"} 1"#,
        ] {
            assert!(text.contains(line), "{line}\nis not in\n{text}");
        }
    }

    #[test]
    fn an_excerpt_ends_between_characters() {
        assert_eq!(excerpt("short"), "short");
        let long = "x".repeat(63) + "é and more";
        assert_eq!(excerpt(&long), "x".repeat(63));
    }
}
