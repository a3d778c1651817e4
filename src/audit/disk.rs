//! The few things done to files, so that tests can make each of them fail; and how they are read.

use std::fmt::Debug;
use std::fs::{self, DirBuilder, File, OpenOptions};
use std::io::{self, Write as _};
use std::os::unix::fs::{DirBuilderExt as _, FileExt as _, MetadataExt as _, OpenOptionsExt as _};
use std::path::Path;

/// Where files are.
pub(super) trait Disk: Debug + Send + Sync {
    /// A new file, in directories that are made if need be; all of it is durable.
    fn create(&self, path: &Path) -> io::Result<Box<dyn Medium>>;
    /// A file that is there, to be gone on with.
    fn reopen(&self, path: &Path) -> io::Result<Box<dyn Medium>>;
    /// A whole file, in place of what was there; durable, and never half of it.
    fn replace(&self, path: &Path, bytes: &[u8]) -> io::Result<()>;
    /// Removes a file, durably; one that is not there is none to remove.
    fn remove(&self, path: &Path) -> io::Result<()>;
}

/// An open file.
pub(super) trait Medium: Send {
    /// Writes at the end. After an error some of it may be there.
    fn append(&mut self, bytes: &[u8]) -> io::Result<()>;
    /// Writes at the beginning, over what is there.
    fn overwrite(&mut self, bytes: &[u8]) -> io::Result<()>;
    /// Makes everything that was written durable.
    fn sync(&mut self) -> io::Result<()>;
    /// Cuts off what is behind the first `length` bytes, durably.
    fn cut(&mut self, length: u64) -> io::Result<()>;
    /// Whether it has no name any more: what is written to it nobody finds again. One that was moved has.
    fn is_removed(&self) -> bool;
}

/// What a file holds, if there is one. An error names it.
///
/// Links and whatever else is no file of its own are refused: to read them could take for ever.
pub(super) fn read(path: &Path) -> io::Result<Option<Vec<u8>>> {
    let found = fs::symlink_metadata(path).and_then(|found| {
        if found.is_file() {
            fs::read(path)
        } else {
            Err(io::Error::other("is no file of its own"))
        }
    });
    match found {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        found => found.map(Some).map_err(|error| named(path, &error)),
    }
}

/// The error, with the file that it is about.
pub(super) fn named(path: &Path, error: &io::Error) -> io::Error {
    io::Error::new(error.kind(), format!("{}: {error}", path.display()))
}

/// The disk of this machine. Files are for nobody but their owner.
#[derive(Clone, Copy, Debug)]
pub(super) struct LocalDisk;

/// Makes a directory with those above it, each durable in the one above.
fn make(directory: &Path) -> io::Result<()> {
    if directory.as_os_str().is_empty() || directory.is_dir() {
        return Ok(());
    }
    let above = directory.parent().unwrap_or(Path::new(""));
    make(above)?;
    match DirBuilder::new().mode(0o700).create(directory) {
        Err(error) if error.kind() != io::ErrorKind::AlreadyExists => Err(error),
        Ok(()) | Err(_) => sync_directory(above),
    }
}

fn sync_directory(directory: &Path) -> io::Result<()> {
    let is_here = directory.as_os_str().is_empty();
    let directory = if is_here { Path::new(".") } else { directory };
    File::open(directory)?.sync_all()
}

fn around(path: &Path) -> &Path {
    path.parent().unwrap_or(Path::new(""))
}

impl Disk for LocalDisk {
    fn create(&self, path: &Path) -> io::Result<Box<dyn Medium>> {
        make(around(path))?;
        let file = OpenOptions::new()
            .write(true)
            .create_new(true)
            .mode(0o600)
            .open(path)?;
        file.sync_all()?;
        sync_directory(around(path))?;
        Ok(Box::new(LocalFile { file, end: 0 }))
    }

    fn reopen(&self, path: &Path) -> io::Result<Box<dyn Medium>> {
        let file = OpenOptions::new().write(true).open(path)?;
        let end = file.metadata()?.len();
        Ok(Box::new(LocalFile { file, end }))
    }

    fn replace(&self, path: &Path, bytes: &[u8]) -> io::Result<()> {
        make(around(path))?;
        let aside = path.with_extension("new");
        let mut file = OpenOptions::new()
            .write(true)
            .create(true)
            .truncate(true)
            .mode(0o600)
            .open(&aside)?;
        file.write_all(bytes)?;
        file.sync_all()?;
        fs::rename(&aside, path)?;
        sync_directory(around(path))
    }

    fn remove(&self, path: &Path) -> io::Result<()> {
        match fs::remove_file(path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
            Err(error) => Err(error),
            Ok(()) => sync_directory(around(path)),
        }
    }
}

struct LocalFile {
    file: File,
    end: u64,
}

impl Medium for LocalFile {
    fn append(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.file.write_all_at(bytes, self.end)?;
        self.end += bytes.len() as u64;
        Ok(())
    }

    fn overwrite(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.file.write_all_at(bytes, 0)?;
        self.end = self.end.max(bytes.len() as u64);
        Ok(())
    }

    fn sync(&mut self) -> io::Result<()> {
        self.file.sync_data()
    }

    fn cut(&mut self, length: u64) -> io::Result<()> {
        self.file.set_len(length)?;
        self.end = length;
        self.file.sync_all()
    }

    fn is_removed(&self) -> bool {
        self.file.metadata().is_ok_and(|found| found.nlink() == 0)
    }
}

/// A stream of the process in place of a file: lines go out and cannot be taken back.
#[derive(Clone, Copy, Debug)]
pub(super) enum Stream {
    Stdout,
    Stderr,
}

impl Medium for Stream {
    fn append(&mut self, bytes: &[u8]) -> io::Result<()> {
        match self {
            Self::Stdout => io::stdout().lock().write_all(bytes),
            Self::Stderr => io::stderr().lock().write_all(bytes),
        }
    }

    fn overwrite(&mut self, _: &[u8]) -> io::Result<()> {
        Err(io::ErrorKind::Unsupported.into())
    }

    fn sync(&mut self) -> io::Result<()> {
        match self {
            Self::Stdout => io::stdout().lock().flush(),
            Self::Stderr => io::stderr().lock().flush(),
        }
    }

    fn cut(&mut self, _: u64) -> io::Result<()> {
        Err(io::ErrorKind::Unsupported.into())
    }

    fn is_removed(&self) -> bool {
        false
    }
}
