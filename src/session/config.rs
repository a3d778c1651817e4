//! What an operator can set about sessions.

use std::time::Duration;

/// Bounds and times of sessions.
#[derive(Clone, Debug)]
pub struct Config {
    /// Live sessions on this node. 20,000 idle ones cost 50 MiB, and 300 with a stream each.
    pub max: usize,
    /// Running calls of one session.
    pub calls_per_session: usize,
    /// Unused for so long, a session ends.
    pub idle_ttl: Duration,
    /// So old, a session ends even in use.
    pub absolute_ttl: Duration,
    /// Unused for so long, a session leaves this process and lives on in the store.
    pub passivate_after: Duration,
    /// How long a person may take to answer a question.
    pub question_timeout: Duration,
    /// What `retry:` tells a client whose connection we let go.
    pub retry: Duration,
    /// Events of one call that may be on their way into the store.
    pub unacknowledged: usize,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            max: 20_000,
            calls_per_session: 256,
            idle_ttl: Duration::from_secs(3_600),
            absolute_ttl: Duration::from_secs(24 * 3_600),
            passivate_after: Duration::from_secs(60),
            question_timeout: Duration::from_secs(600),
            retry: Duration::from_secs(1),
            unacknowledged: 64,
        }
    }
}

impl Config {
    /// How often the registry looks around: often enough that no time above is overrun by more
    /// than a quarter, and never in a spin.
    #[must_use]
    pub fn sweep_interval(&self) -> Duration {
        (self.passivate_after.min(self.idle_ttl) / 4)
            .clamp(Duration::from_millis(50), Duration::from_secs(5))
    }
}
