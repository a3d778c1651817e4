//! The journal of single things: what is appended is in a file before anybody hears of it.
//!
//! Claims and entries go to append-only segments, written before they are answered and synced every
//! 100 ms: `kill -9` loses nothing acknowledged, a power cut at most 100 ms. What can be read lives
//! in memory; the files are read only when the store is opened.
//!
//! [`frame`] is one write as bytes, [`tail`] a file that grows by whole writes, [`segments`] all
//! files, [`writer`] the thread that writes, [`syncer`] the thread that syncs, [`replay`] reads
//! back, [`tidy`] deletes.

mod frame;
mod replay;
mod segments;
mod syncer;
mod tail;
mod tidy;
mod writer;

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::thread::{Builder, JoinHandle};

use crate::store::embedded::directory::OpenError;
use crate::store::embedded::queue::Queue;
use crate::store::embedded::records::Birth;
use crate::store::memory::Scopes;

pub(super) use writer::JournalWrite;

/// Where segments lie within the data directory.
const DIRECTORY: &str = "events";

/// The journal at work. Dropping it waits until all that was asked is written and synced.
#[derive(Debug)]
pub(super) struct Journal {
    queue: Arc<Queue<JournalWrite>>,
    syncer: Arc<syncer::Syncer>,
    threads: Vec<JoinHandle<()>>,
}

impl Journal {
    /// Reads back what was written into `scopes`, which holds every record already, and begins.
    ///
    /// # Errors
    /// See [`OpenError`].
    pub(super) fn open(data: &Path, scopes: &Arc<Scopes<Birth>>) -> Result<Self, OpenError> {
        let dir: PathBuf = data.join(DIRECTORY);
        fs::create_dir_all(&dir).map_err(OpenError::not_writable(&dir))?;
        let segments = replay::replay(&dir, scopes)?;
        let mut journal = Self {
            queue: Arc::new(Queue::new()),
            syncer: Arc::default(),
            threads: Vec::with_capacity(2),
        };
        journal
            .begin(segments, scopes)
            .map_err(OpenError::not_writable(&dir))?;
        Ok(journal)
    }

    /// Where to ask.
    pub(super) const fn queue(&self) -> &Arc<Queue<JournalWrite>> {
        &self.queue
    }

    fn begin(
        &mut self,
        segments: segments::Segments,
        scopes: &Arc<Scopes<Birth>>,
    ) -> io::Result<()> {
        let writer = writer::JournalWriter::new(
            self.queue.reader(),
            scopes.clone(),
            segments,
            self.syncer.clone(),
        );
        let syncer = self.syncer.clone();
        let named = |name: &str| Builder::new().name(name.into());
        self.threads
            .push(named("store-journal").spawn(move || writer.run())?);
        self.threads
            .push(named("store-sync").spawn(move || syncer.run())?);
        Ok(())
    }
}

impl Drop for Journal {
    fn drop(&mut self) {
        self.queue.close();
        self.syncer.stop();
        for thread in self.threads.drain(..) {
            if thread.join().is_err() {
                tracing::error!("a thread of the event journal had panicked");
            }
        }
    }
}
