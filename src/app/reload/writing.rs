//! Which of the files that are watched are being written, and what says that they are whole again.

use std::collections::BTreeSet;
use std::fs;
use std::os::unix::fs::MetadataExt as _;
use std::path::{self, Path, PathBuf};
use std::sync::{Mutex, PoisonError};

use notify::event::{AccessKind, AccessMode, ModifyKind};
use notify::{Event, EventKind};

/// Whether the system tells when a writer closes a file. Where it does not, each write may be the last.
const TELLS_OF_CLOSING: bool = cfg!(any(target_os = "linux", target_os = "android"));

/// The files that somebody has begun to write.
pub(super) struct Writing {
    /// All that are asked about, as the watcher names them.
    files: BTreeSet<PathBuf>,
    /// Those of them that are being written.
    open: Mutex<BTreeSet<PathBuf>>,
}

impl Writing {
    pub(super) fn of(files: &[PathBuf]) -> Self {
        let absolute = |file: &PathBuf| path::absolute(file).unwrap_or_else(|_| file.clone());
        Self {
            files: files.iter().map(absolute).collect(),
            open: Mutex::default(),
        }
    }

    pub(super) fn is_going_on(&self) -> bool {
        !self.open().is_empty()
    }

    /// Whether the files may hold something else now that this has happened.
    pub(super) fn stirs(&self, event: &Event) -> bool {
        match event.kind {
            // It is as it shall be.
            EventKind::Access(AccessKind::Close(AccessMode::Write)) => self.is_done(event),
            // Our own looks are not worth another.
            EventKind::Access(_) => return false,
            EventKind::Modify(ModifyKind::Data(_)) if TELLS_OF_CLOSING => {
                let ours = event.paths.iter().filter(|path| self.files.contains(*path));
                self.open().extend(ours.cloned());
                return false;
            }
            EventKind::Create(_) if TELLS_OF_CLOSING => {
                return event.paths.iter().any(|path| is_there_at_once(path));
            }
            // Another file has its name, or none.
            EventKind::Modify(ModifyKind::Name(_)) | EventKind::Remove(_) => self.is_done(event),
            // Events were lost, and that of a closing may be among them.
            _ if event.need_rescan() => self.open().clear(),
            _ => {}
        }
        true
    }

    fn is_done(&self, event: &Event) {
        let mut open = self.open();
        for path in &event.paths {
            open.remove(path);
        }
    }

    fn open(&self) -> std::sync::MutexGuard<'_, BTreeSet<PathBuf>> {
        self.open.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Whether this came into being as it is, like a link. A new file is still to be written.
fn is_there_at_once(path: &Path) -> bool {
    fs::symlink_metadata(path).is_ok_and(|it| !it.is_file() || it.nlink() > 1)
}
