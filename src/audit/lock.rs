//! One process writes to a place. The lock is the operating system's, so the dead hold none.

use std::fs::{self, File, OpenOptions, TryLockError};
use std::io::{self, Read as _, Seek as _, Write as _};
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};

/// Held for as long as it lives.
#[derive(Debug)]
pub(super) struct Lock(#[expect(dead_code, reason = "closing it gives the lock back")] File);

/// Why the audit cannot begin. Each text is a sentence for the operator.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// Another process writes there.
    #[error(
        "{holder} writes its audit records to {}; give each node a place of its own",
        .place.display()
    )]
    Locked {
        /// Where.
        place: PathBuf,
        /// What the lock file says of its holder.
        holder: String,
    },
    /// The disk.
    #[error("the audit records in {} cannot be gone on with", .place.display())]
    Disk {
        /// Where.
        place: PathBuf,
        /// The operating system's reason.
        source: io::Error,
    },
    /// Standard output is not ours to write to.
    #[error("standard output is the protocol's here: `audit.sink` has to be a directory")]
    StdoutTaken,
    /// The keys end with the process.
    #[error("`cluster.keys` are needed here: without, nobody could read these records later")]
    Keyless,
    /// What is to be taken out of records.
    #[error("the audit's redaction cannot be used")]
    Rules(#[from] super::redact::RulesError),
}

impl Lock {
    /// Takes the lock of a place, which is made if need be.
    pub(super) fn take(place: &Path) -> Result<Self, OpenError> {
        let disk = |source| OpenError::Disk {
            place: place.to_owned(),
            source,
        };
        let mut directory = fs::DirBuilder::new();
        directory.recursive(true).mode(0o700);
        directory.create(place).map_err(disk)?;
        let mut file = OpenOptions::new()
            .read(true)
            .write(true)
            .create(true)
            .truncate(false)
            .mode(0o600)
            .open(place.join("lock"))
            .map_err(disk)?;
        match file.try_lock() {
            Ok(()) => {}
            Err(TryLockError::Error(source)) => return Err(disk(source)),
            Err(TryLockError::WouldBlock) => {
                let mut holder = String::new();
                file.read_to_string(&mut holder).map_err(disk)?;
                let is_said = !holder.trim().is_empty();
                return Err(OpenError::Locked {
                    place: place.to_owned(),
                    holder: if is_said {
                        holder
                    } else {
                        "another process".to_owned()
                    },
                });
            }
        }
        let named = file.set_len(0).and_then(|()| {
            file.rewind()?;
            write!(file, "process {}", std::process::id())
        });
        named.map_err(disk)?;
        Ok(Self(file))
    }
}
