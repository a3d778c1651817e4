//! Deliberate bugs, so that tests of faults can show that they would find them.
//!
//! Each [`Bug`] is what somebody might well write who has not thought of the one case that matters.
//! The places that must get it right ask [`is`]. In a build without the feature `sabotage`, which is
//! every build that is shipped, that is constantly false and costs nothing. With the feature one
//! bug is chosen for the whole process when it starts; unit tests choose one for a while, for
//! their own thread.

#[cfg(any(test, feature = "sabotage"))]
pub use chosen::*;

/// See the module docs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Bug {
    /// An event leaves before it is stored.
    NoOutputGate,
    /// A call whose stream was taken over goes on as if nothing had happened.
    EpochIgnored,
    /// A stream is taken over without asking whether its owner lives, whoever did so before.
    LastWriteWinsLease,
    /// Other nodes are not told that a session ended or that its standing stream has moved.
    LostAnnouncement,
    /// A change to a session that is gone makes it anew.
    ResurrectionAfterDelete,
    /// Requests of all principals share the sessions with an upstream.
    PoolWithoutPrincipal,
    /// A call whose upstream was lost is sent again, whether or not it may have run.
    BlindRetry,
    /// The log says which token was refused.
    TokenLogged,
    /// What fails has no end on record.
    AuditSkippedOnError,
    /// Users of one name are counted together, whichever tenant is theirs.
    RateKeyWithoutTenant,
    /// No bug: records and letters have the formats of another release, as during an upgrade.
    OtherFormats,
}

/// The format that this build writes and reads where a release has this one.
#[must_use]
pub fn format(release: u8) -> u8 {
    release + u8::from(is(Bug::OtherFormats))
}

impl Bug {
    /// All there are.
    pub const ALL: [Self; 11] = [
        Self::NoOutputGate,
        Self::EpochIgnored,
        Self::LastWriteWinsLease,
        Self::LostAnnouncement,
        Self::ResurrectionAfterDelete,
        Self::PoolWithoutPrincipal,
        Self::BlindRetry,
        Self::TokenLogged,
        Self::AuditSkippedOnError,
        Self::RateKeyWithoutTenant,
        Self::OtherFormats,
    ];

    /// What it is called where it is chosen.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::NoOutputGate => "no_output_gate",
            Self::EpochIgnored => "epoch_ignored",
            Self::LastWriteWinsLease => "last_write_wins_lease",
            Self::LostAnnouncement => "lost_announcement",
            Self::ResurrectionAfterDelete => "resurrection_after_delete",
            Self::PoolWithoutPrincipal => "pool_without_principal",
            Self::BlindRetry => "blind_retry",
            Self::TokenLogged => "token_logged",
            Self::AuditSkippedOnError => "audit_skipped_on_error",
            Self::RateKeyWithoutTenant => "rate_key_without_tenant",
            Self::OtherFormats => "other_formats",
        }
    }

    /// The bug of that name.
    #[must_use]
    pub fn named(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|bug| bug.name() == name)
    }
}

/// Whether this build has that bug now.
#[cfg(not(any(test, feature = "sabotage")))]
#[must_use]
pub const fn is(_: Bug) -> bool {
    false
}

#[cfg(test)]
mod chosen {
    use std::cell::Cell;

    use super::Bug;

    thread_local! {
        static CHOSEN: Cell<Option<Bug>> = const { Cell::new(None) };
    }

    /// Whether this thread has that bug now.
    #[must_use]
    pub fn is(bug: Bug) -> bool {
        CHOSEN.get() == Some(bug)
    }

    /// Does something with a bug, on this thread.
    pub(crate) fn with<T>(bug: Bug, what: impl FnOnce() -> T) -> T {
        CHOSEN.set(Some(bug));
        let done = what();
        CHOSEN.set(None);
        done
    }
}

#[cfg(all(feature = "sabotage", not(test)))]
mod chosen {
    use std::sync::OnceLock;

    use super::Bug;

    static CHOSEN: OnceLock<Bug> = OnceLock::new();

    /// Whether this process has that bug.
    #[must_use]
    pub fn is(bug: Bug) -> bool {
        CHOSEN.get() == Some(&bug)
    }

    /// Gives this process a bug for the rest of its life. The first choice stands.
    pub fn choose(bug: Bug) {
        CHOSEN.get_or_init(|| bug);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_bug_is_found_by_its_name() {
        for bug in Bug::ALL {
            assert_eq!(Bug::named(bug.name()), Some(bug));
        }
        assert_eq!(Bug::named("none"), None);
    }

    #[test]
    fn a_bug_lasts_as_long_as_it_is_asked_for() {
        assert!(!is(Bug::EpochIgnored));
        with(Bug::EpochIgnored, || {
            assert!(is(Bug::EpochIgnored));
            assert!(!is(Bug::NoOutputGate));
        });
        assert!(!is(Bug::EpochIgnored));
    }
}
