//! A disk that fails when it is told to, for one program: what it does to files below a directory passes
//! through a library (`disk_faults.c`) that is loaded before the system's own.

use std::fs;
use std::path::PathBuf;
use std::process::Command;

use tempfile::TempDir;

use super::Setup;

const LIBRARY: &str = concat!(
    env!("CARGO_MANIFEST_DIR"),
    "/tests/scenarios/world/disk_faults.c"
);

/// How a disk fails.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// Nothing new is written.
    Full,
    /// The same, but half of what is written fits.
    Short,
    /// Nothing becomes durable.
    Unsynced,
    /// Nothing is changed.
    ReadOnly,
}

/// A directory on such a disk.
#[derive(Debug)]
pub struct FaultyDisk(TempDir);

impl FaultyDisk {
    /// A disk that is well.
    pub fn new() -> Self {
        let disk = Self(TempDir::new().expect("a temporary directory can be made"));
        fs::create_dir(disk.path()).expect("a directory can be made");
        let mut compiler = Command::new("cc");
        let compiler = compiler
            .args(["-shared", "-fPIC", "-o"])
            .arg(disk.library())
            .args([LIBRARY, "-ldl"]);
        let status = compiler
            .status()
            .expect("there is a C compiler: it links us");
        assert!(status.success(), "the library compiles");
        disk.heals();
        disk
    }

    /// The directory.
    pub fn path(&self) -> PathBuf {
        self.0.path().join("disk")
    }

    /// A program that has this disk.
    pub fn under(&self, setup: Setup) -> Setup {
        setup
            .variable("LD_PRELOAD", &self.library().display().to_string())
            .variable("DISK_FAULTS", &self.path().display().to_string())
    }

    /// It fails from now on.
    pub fn fails(&self, fault: Fault) {
        self.is(match fault {
            Fault::Full => "full",
            Fault::Short => "short",
            Fault::Unsynced => "unsynced",
            Fault::ReadOnly => "read-only",
        });
    }

    /// It is well again.
    pub fn heals(&self) {
        self.is("");
    }

    /// Renamed into place: nobody reads half a word.
    fn is(&self, how: &str) {
        let aside = self.0.path().join("next");
        fs::write(&aside, how).expect("a file can be written");
        fs::rename(aside, self.0.path().join("disk.how")).expect("a file can be renamed");
    }

    fn library(&self) -> PathBuf {
        self.0.path().join("disk_faults.so")
    }
}
