//! The data directory: made, locked for one process, and known to be ours.
//!
//! [`Directory::open`] makes the directory if need be, takes the lock (`lock`, an operating system
//! lock on a file that names its holder, so that the file of a dead process is no obstacle), and
//! reads `format`. It deletes and overwrites nothing that it does not understand.
//!
//! It does not open what is inside; [`super::records`] and [`super::journal`] do.

use std::fs::{self, DirBuilder, File, OpenOptions, TryLockError};
use std::io::{self, Read, Seek, Write};
use std::os::unix::fs::DirBuilderExt as _;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Weak};

const FORMAT_FAMILY: &str = "switchboard embedded store ";
const FORMAT: &str = "switchboard embedded store 1";
const FORMAT_FILE: &str = "format";
const LOCK_FILE: &str = "lock";

/// The file of all records.
pub(super) const RECORDS_FILE: &str = "sessions.redb";

/// Why a data directory cannot be used. Each text is a sentence for the operator.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum OpenError {
    /// Another process has it.
    #[error(
        "the data directory {} is in use by {holder}; stop that process or choose another directory",
        .dir.display()
    )]
    Locked {
        /// The data directory.
        dir: PathBuf,
        /// What the lock file says of its holder.
        holder: String,
    },
    /// The operating system does not let us.
    #[error("{} cannot be created or written", .path.display())]
    NotWritable {
        /// What could not be created or written.
        path: PathBuf,
        /// The operating system's reason.
        source: io::Error,
    },
    /// Something is there that this store did not write, or that was damaged.
    #[error(
        "{} is damaged or not a file of this store ({problem}); nothing was changed: move it away \
         (for example to {}.damaged) to start without what it holds",
        .path.display(), .path.display()
    )]
    NotOurs {
        /// What is damaged or strange.
        path: PathBuf,
        /// What is wrong with it.
        problem: String,
    },
    /// A version of this program with another format wrote it.
    #[error(
        "{} says \"{found}\", but this version reads \"{FORMAT}\"; run the version that wrote it, \
         or choose another directory",
        .path.display()
    )]
    UnknownFormat {
        /// The format file.
        path: PathBuf,
        /// What it says.
        found: String,
    },
}

impl OpenError {
    pub(super) fn not_writable(path: &Path) -> impl FnOnce(io::Error) -> Self {
        let path = path.to_owned();
        move |source| Self::NotWritable { path, source }
    }

    pub(super) fn not_ours(path: &Path, problem: impl ToString) -> Self {
        Self::NotOurs {
            path: path.to_owned(),
            problem: problem.to_string(),
        }
    }
}

/// A data directory that is ours alone while this value lives.
#[derive(Debug)]
pub(super) struct Directory {
    path: PathBuf,
    lock: File,
    /// Seen from outside, it tells whether the lock is still held.
    held: Arc<()>,
}

impl Directory {
    /// Makes, locks and recognises the directory.
    ///
    /// # Errors
    /// See [`OpenError`].
    pub(super) fn open(path: &Path) -> Result<Self, OpenError> {
        // Session ids and results are in here: for nobody but its owner.
        DirBuilder::new()
            .recursive(true)
            .mode(0o700)
            .create(path)
            .map_err(OpenError::not_writable(path))?;
        let lock = lock(path)?;
        let directory = Self {
            path: path.to_owned(),
            lock,
            held: Arc::default(),
        };
        directory
            .name_holder("")
            .map_err(OpenError::not_writable(&path.join(LOCK_FILE)))?;
        directory.recognise()?;
        Ok(directory)
    }

    /// Something that lives as long as the directory is locked.
    pub(super) fn held(&self) -> Weak<()> {
        Arc::downgrade(&self.held)
    }

    /// Where it is.
    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    /// Writes into the lock file who holds it: this process, and what else helps to find it.
    pub(super) fn name_holder(&self, hint: &str) -> io::Result<()> {
        let mut file = &self.lock;
        file.set_len(0)?;
        file.rewind()?;
        let separator = if hint.is_empty() { "" } else { ", " };
        write!(file, "process {}{separator}{hint}", std::process::id())
    }

    fn recognise(&self) -> Result<(), OpenError> {
        let path = self.path.join(FORMAT_FILE);
        match fs::read(&path) {
            Ok(found) => {
                let found = String::from_utf8_lossy(&found);
                match found.trim_end() {
                    FORMAT => Ok(()),
                    found if found.starts_with(FORMAT_FAMILY) => Err(OpenError::UnknownFormat {
                        path,
                        found: found.chars().take(80).collect(),
                    }),
                    _ => Err(OpenError::not_ours(&path, "it names no known format")),
                }
            }
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                // The format is written before anything else, so this is not a half-made store.
                let records = self.path.join(RECORDS_FILE);
                if records.exists() {
                    return Err(OpenError::not_ours(
                        &records,
                        "there is no format file beside it",
                    ));
                }
                self.write_format(&path)
                    .map_err(OpenError::not_writable(&path))
            }
            Err(error) => Err(OpenError::not_writable(&path)(error)),
        }
    }

    /// Whole or not at all: written aside, then renamed.
    fn write_format(&self, path: &Path) -> io::Result<()> {
        let aside = path.with_extension("new");
        let mut file = File::create(&aside)?;
        writeln!(file, "{FORMAT}")?;
        file.sync_all()?;
        fs::rename(&aside, path)?;
        sync_directory(&self.path)
    }
}

impl Drop for Directory {
    fn drop(&mut self) {
        // Closing is not enough: a child process that is being started holds a copy of the file
        // until it runs its own program.
        if let Err(error) = self.lock.unlock() {
            tracing::warn!(%error, "could not unlock the data directory");
        }
    }
}

/// Makes the names in a directory survive a power cut.
pub(super) fn sync_directory(path: &Path) -> io::Result<()> {
    File::open(path)?.sync_all()
}

fn lock(dir: &Path) -> Result<File, OpenError> {
    let path = dir.join(LOCK_FILE);
    let mut file = OpenOptions::new()
        .read(true)
        .write(true)
        .create(true)
        .truncate(false)
        .open(&path)
        .map_err(OpenError::not_writable(&path))?;
    match file.try_lock() {
        Ok(()) => Ok(file),
        Err(TryLockError::WouldBlock) => {
            let mut holder = String::new();
            let named = file.read_to_string(&mut holder).is_ok() && !holder.is_empty();
            Err(OpenError::Locked {
                dir: dir.to_owned(),
                holder: if named {
                    holder
                } else {
                    "another process".into()
                },
            })
        }
        Err(TryLockError::Error(error)) => Err(OpenError::not_writable(&path)(error)),
    }
}
