//! The open segment of a trail: records are added to it, and become durable together.
//!
//! Records are staged in memory and leave it in one write that is made durable. What fails is as if
//! it had never been: the segment stands where it stood, and its file is cut back to that. Where that
//! fails too, or where it is not known what the disk has, the segment is [`Segment::is_over`].

use std::io;
use std::path::PathBuf;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::chain::{Hash, Keys, SegmentKey};
use super::checkpoint::{Anchor, Checkpoint, Latest, Previous};
use super::disk::{Disk, Medium, Stream};
use super::layout::{self, Part, TrailId};
use super::line::{self, Boxes};
use crate::runtime::seal;

/// The first line of a segment: what its key is derived from, and what came before.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Header {
    pub(super) v: u64,
    pub(super) kind: String,
    pub(super) tenant: String,
    pub(super) trail: String,
    pub(super) first: u64,
    pub(super) node: String,
    /// Which of the cluster's keys.
    pub(super) key: String,
    pub(super) salt: String,
    /// The last chain value of the segment before.
    pub(super) after: String,
}

impl Header {
    /// What the kind of the line is called.
    pub(super) const KIND: &'static str = "segment";

    /// The key of the segment; nothing where the cluster's is not known any more.
    pub(super) fn segment_key(&self, keys: &Keys) -> Option<SegmentKey> {
        keys.segment(
            &self.key,
            &[
                self.tenant.as_bytes(),
                self.trail.as_bytes(),
                &self.first.to_be_bytes(),
                self.salt.as_bytes(),
            ],
        )
    }
}

/// Where a chain stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Standing {
    /// The last record.
    pub(super) last: u64,
    pub(super) head: Hash,
}

/// What a segment is made with.
#[derive(Debug)]
pub(super) struct Ground {
    pub(super) disk: Arc<dyn Disk>,
    pub(super) keys: Arc<Keys>,
    pub(super) node: Arc<str>,
    pub(super) records: PathBuf,
    pub(super) checkpoints: PathBuf,
    pub(super) vault: PathBuf,
    /// Where records go in place of files.
    pub(super) stream: Option<Stream>,
}

/// See the module docs.
pub(super) struct Segment {
    id: TrailId,
    first: u64,
    key: SegmentKey,
    files: Option<Files>,
    records_path: PathBuf,
    checkpoints_directory: PathBuf,
    /// What is durable.
    durable: Standing,
    length: u64,
    /// What is staged.
    staged: Standing,
    buffer: String,
    is_over: bool,
    pub(super) opened_ms: u64,
    pub(super) last_ms: u64,
}

struct Files {
    records: Box<dyn Medium>,
    anchor: Box<dyn Medium>,
}

impl std::fmt::Debug for Segment {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Segment({})", self.records_path.display())
    }
}

impl Segment {
    /// Begins a segment behind `after`; its first line is durable, and so are its anchor and what says
    /// that it is the latest. One that could not be begun is over, and has to be taken back: what there
    /// is of it would be in the way of the next.
    pub(super) fn begin(
        ground: &Ground,
        id: &TrailId,
        after: Standing,
        now_ms: u64,
    ) -> (Self, io::Result<()>) {
        let first = after.last + 1;
        let header = Header {
            v: line::FORMAT,
            kind: Header::KIND.to_owned(),
            tenant: id.tenant.to_string(),
            trail: id.trail.as_str().to_owned(),
            first,
            node: ground.node.to_string(),
            key: ground.keys.name().to_owned(),
            salt: super::chain::hex(&seal::random::<16>()),
            after: after.head.text(),
        };
        let key = header
            .segment_key(&ground.keys)
            .expect("invariant: the first key is known by its name");
        let records_path = layout::file(
            &layout::trail_directory(&ground.records, id),
            first,
            Part::Segment,
        );
        let checkpoints_directory = layout::trail_directory(&ground.checkpoints, id);
        let mut buffer = serde_json::to_string(&header).expect("invariant: our values serialize");
        buffer.pop();
        let head = line::finish(&mut buffer, 0, Boxes::default(), &key, &after.head);
        let standing = Standing {
            last: after.last,
            head,
        };
        let mut segment = Self {
            id: id.clone(),
            first,
            key,
            files: None,
            records_path,
            checkpoints_directory,
            durable: standing,
            length: buffer.len() as u64,
            staged: standing,
            buffer: String::new(),
            is_over: false,
            opened_ms: now_ms,
            last_ms: now_ms,
        };
        let begun = segment.make_files(ground, buffer.as_bytes());
        segment.is_over = begun.is_err();
        (segment, begun)
    }

    fn make_files(&mut self, ground: &Ground, header: &[u8]) -> io::Result<()> {
        let path = self.path(Part::Anchor);
        // Whole or not there: nobody may take the beginning of one for one that was changed.
        ground.disk.replace(&path, &self.anchor(&ground.keys))?;
        let anchor = ground.disk.reopen(&path)?;
        let mut records: Box<dyn Medium> = if let Some(stream) = ground.stream {
            Box::new(stream)
        } else {
            let created = ground.disk.create(&self.records_path);
            if created.as_ref().is_err_and(is_anothers) {
                ground.disk.remove(&path)?;
            }
            created?
        };
        records.append(header)?;
        records.sync()?;
        // Said last, and before any record is: what it names was there.
        name_the_latest(ground, &self.id, self.first)?;
        self.files = Some(Files { records, anchor });
        Ok(())
    }

    fn path(&self, part: Part) -> PathBuf {
        layout::file(&self.checkpoints_directory, self.first, part)
    }

    fn anchor(&self, keys: &Keys) -> Vec<u8> {
        let anchor = Anchor {
            v: Anchor::FORMAT,
            tenant: self.id.tenant.to_string(),
            trail: self.id.trail.as_str().to_owned(),
            first: self.first,
            last: self.durable.last,
            head: self.durable.head.text(),
        };
        anchor.write(keys)
    }

    /// Where the chain stands, what is staged included.
    pub(super) const fn standing(&self) -> Standing {
        self.staged
    }

    /// Whether nothing may be added any more.
    pub(super) const fn is_over(&self) -> bool {
        self.is_over
    }

    /// Bytes of it, what is staged included.
    pub(super) const fn size(&self) -> u64 {
        self.length + self.buffer.len() as u64
    }

    /// Whether it holds any record.
    pub(super) const fn is_empty(&self) -> bool {
        self.staged.last < self.first
    }

    /// Whether its files are open.
    pub(super) const fn has_files(&self) -> bool {
        self.files.is_some()
    }

    /// Closes its files, which are opened again when they are needed.
    pub(super) fn close_files(&mut self) {
        self.files = None;
    }

    /// Stages a record; `write` adds its members behind the number it is given.
    pub(super) fn stage(
        &mut self,
        at_ms: u64,
        boxes: Boxes<'_>,
        write: impl FnOnce(&mut String, u64),
    ) {
        let start = self.buffer.len();
        let number = self.staged.last + 1;
        write(&mut self.buffer, number);
        let head = line::finish(&mut self.buffer, start, boxes, &self.key, &self.staged.head);
        self.staged = Standing { last: number, head };
        self.last_ms = at_ms;
    }

    /// Writes what is staged and makes it durable.
    ///
    /// # Errors
    /// The disk's. Nothing of it is kept then, as far as that can be.
    pub(super) fn flush(&mut self, ground: &Ground) -> io::Result<()> {
        if self.buffer.is_empty() {
            return Ok(());
        }
        if let Err(error) = self.open_files(ground) {
            self.forget();
            return Err(error);
        }
        let files = self.files.as_mut().expect("invariant: they were opened");
        if let Err(error) = files.records.append(self.buffer.as_bytes()) {
            // A part of it may be there.
            let cut = files.records.cut(self.length);
            self.is_over |= cut.is_err();
            self.forget();
            return Err(error);
        }
        if let Err(error) = files.records.sync() {
            // What the disk has is anybody's guess from now on; ending the segment cuts it.
            let _tried_again_at_the_end = files.records.cut(self.length);
            self.is_over = true;
            self.forget();
            return Err(error);
        }
        self.length += self.buffer.len() as u64;
        self.durable = self.staged;
        self.buffer.clear();
        let anchor = self.anchor(&ground.keys);
        let files = self.files.as_mut().expect("invariant: they were opened");
        if let Err(error) = files.anchor.overwrite(&anchor) {
            // The records are there; an anchor that says less than it could is still true.
            tracing::warn!(%error, "the anchor of an audit segment could not be written");
            self.is_over = true;
        }
        Ok(())
    }

    fn open_files(&mut self, ground: &Ground) -> io::Result<()> {
        if self.files.is_none() {
            let records: Box<dyn Medium> = if let Some(stream) = ground.stream {
                Box::new(stream)
            } else {
                ground.disk.reopen(&self.records_path)?
            };
            let anchor = ground.disk.reopen(&self.path(Part::Anchor))?;
            self.files = Some(Files { records, anchor });
        }
        Ok(())
    }

    /// Forgets what is staged.
    fn forget(&mut self) {
        self.buffer.clear();
        self.staged = self.durable;
    }

    /// Whether it holds a record that is durable.
    pub(super) const fn is_begun(&self) -> bool {
        self.durable.last >= self.first
    }

    /// Its first record and how many there were, if somebody removed its file while it was open.
    pub(super) fn removed(&self) -> Option<(u64, u64)> {
        let files = self.files.as_ref()?;
        let removed = (self.first, self.durable.last + 1 - self.first);
        files.records.is_removed().then_some(removed)
    }

    /// See [`take_back`].
    pub(super) fn take_back(
        &mut self,
        ground: &Ground,
        previous: Option<&Previous>,
    ) -> io::Result<()> {
        self.files = None;
        take_back(ground, &self.id, self.first, previous)
    }

    /// Ends it with a checkpoint. Asked again after an error, it goes on where that was.
    pub(super) fn end(
        &mut self,
        ground: &Ground,
        previous: Option<Previous>,
        running: Vec<(String, Option<String>)>,
    ) -> io::Result<Previous> {
        if self.is_over && ground.stream.is_none() {
            // What was written and never became durable was told to nobody.
            ground.disk.reopen(&self.records_path)?.cut(self.length)?;
        }
        let checkpoint = Checkpoint {
            v: Checkpoint::FORMAT,
            tenant: self.id.tenant.to_string(),
            trail: self.id.trail.as_str().to_owned(),
            first: self.first,
            last: self.durable.last,
            count: self.durable.last + 1 - self.first,
            head: self.durable.head.text(),
            ended_ms: self.last_ms,
            previous,
            running,
            wrong: None,
            public: String::new(),
        };
        put(ground, &self.id, checkpoint)
    }
}

/// Whether a segment could not be begun since there is a file already, which is not ours to take back.
pub(super) fn is_anothers(error: &io::Error) -> bool {
    error.kind() == io::ErrorKind::AlreadyExists
}

/// Removes a segment that holds no record, so that its number can be used by the next.
pub(super) fn take_back(
    ground: &Ground,
    id: &TrailId,
    first: u64,
    previous: Option<&Previous>,
) -> io::Result<()> {
    let path = latest_path(ground, id);
    // First, since what is named has to be there; and only if it names this one, since a later one that
    // is not there was not taken back by us.
    if let Some(latest) = Latest::read(&path, &ground.keys)?.ours()
        && latest.first == first
    {
        match previous {
            Some(previous) => name_the_latest(ground, id, previous.first)?,
            None => ground.disk.remove(&path)?,
        }
    }
    let records = layout::trail_directory(&ground.records, id);
    let checkpoints = layout::trail_directory(&ground.checkpoints, id);
    ground
        .disk
        .remove(&layout::file(&records, first, Part::Segment))?;
    ground
        .disk
        .remove(&layout::file(&checkpoints, first, Part::Anchor))
}

fn name_the_latest(ground: &Ground, id: &TrailId, first: u64) -> io::Result<()> {
    let latest = Latest {
        v: Latest::FORMAT,
        tenant: id.tenant.to_string(),
        trail: id.trail.as_str().to_owned(),
        first,
    };
    let text = latest.sign(&ground.keys);
    let path = latest_path(ground, id);
    ground.disk.replace(&path, text.as_bytes())
}

fn latest_path(ground: &Ground, id: &TrailId) -> PathBuf {
    let directory = layout::tenant_directory(&id.tenant);
    layout::latest(&ground.vault, &directory, id.trail)
}

/// Writes the checkpoint of an ended segment, whose anchor is not needed any more.
pub(super) fn put(ground: &Ground, id: &TrailId, checkpoint: Checkpoint) -> io::Result<Previous> {
    let directory = layout::trail_directory(&ground.checkpoints, id);
    let first = checkpoint.first;
    let (signed, text) = checkpoint.sign(&ground.keys);
    let path = layout::file(&directory, first, Part::Checkpoint);
    ground.disk.replace(&path, text.as_bytes())?;
    ground
        .disk
        .remove(&layout::file(&directory, first, Part::Anchor))?;
    Ok(Previous {
        first,
        signature: signed.signature,
    })
}
