//! The end of the newest segment: grows by whole writes or not at all.
//!
//! [`Tail`] knows how many bytes of its file are good. When a write fails half-way (a full disk),
//! the file is cut back to them, at once or before the next attempt, so it never has a torn middle.
//! [`Disk`] is the little it needs of a file; tests put a misbehaving one in its place.

use std::fs::File;
use std::io::{self, Write};
use std::sync::Arc;

/// A file that grows at its end.
pub(super) trait Disk: std::fmt::Debug + Send + Sync {
    /// Writes all of `bytes` at the end, or some of them and fails.
    fn append(&self, bytes: &[u8]) -> io::Result<()>;

    /// Cuts it back to that length.
    fn cut(&self, length: u64) -> io::Result<()>;

    /// Waits until it would survive a power cut.
    fn sync(&self) -> io::Result<()>;
}

/// Must have been opened for appending.
impl Disk for File {
    fn append(&self, bytes: &[u8]) -> io::Result<()> {
        let mut file = self;
        file.write_all(bytes)
    }

    fn cut(&self, length: u64) -> io::Result<()> {
        self.set_len(length)
    }

    fn sync(&self) -> io::Result<()> {
        self.sync_data()
    }
}

/// A file of which the first `length` bytes are good.
#[derive(Debug)]
pub(super) struct Tail {
    disk: Arc<dyn Disk>,
    length: u64,
    torn: bool,
}

impl Tail {
    /// The end of a file that has `length` good bytes and no others.
    pub(super) const fn new(disk: Arc<dyn Disk>, length: u64) -> Self {
        Self {
            disk,
            length,
            torn: false,
        }
    }

    /// How many good bytes there are.
    pub(super) const fn length(&self) -> u64 {
        self.length
    }

    /// The file, to be synced elsewhere.
    pub(super) fn disk(&self) -> Arc<dyn Disk> {
        self.disk.clone()
    }

    /// Writes all or nothing.
    ///
    /// # Errors
    /// What the operating system said. The next call tries again.
    pub(super) fn write(&mut self, bytes: &[u8]) -> io::Result<()> {
        if self.torn {
            self.disk.cut(self.length)?;
            self.torn = false;
        }
        if let Err(error) = self.disk.append(bytes) {
            self.torn = self.disk.cut(self.length).is_err();
            return Err(error);
        }
        self.length += bytes.len() as u64;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::Mutex;

    /// A disk with little room, that at first cannot even be cut.
    #[derive(Debug)]
    struct FullDisk {
        held: Mutex<Vec<u8>>,
        room: Mutex<usize>,
        cuts_failing: Mutex<u32>,
    }

    impl FullDisk {
        fn new(room: usize, cuts_failing: u32) -> Arc<Self> {
            Arc::new(Self {
                held: Mutex::default(),
                room: Mutex::new(room),
                cuts_failing: Mutex::new(cuts_failing),
            })
        }

        fn held(&self) -> Vec<u8> {
            self.held.lock().unwrap().clone()
        }
    }

    impl Disk for FullDisk {
        fn append(&self, bytes: &[u8]) -> io::Result<()> {
            let mut held = self.held.lock().unwrap();
            let fits = bytes.len().min(*self.room.lock().unwrap() - held.len());
            held.extend(&bytes[..fits]);
            if fits < bytes.len() {
                return Err(io::ErrorKind::StorageFull.into());
            }
            Ok(())
        }

        fn cut(&self, length: u64) -> io::Result<()> {
            let mut failing = self.cuts_failing.lock().unwrap();
            if *failing > 0 {
                *failing -= 1;
                return Err(io::ErrorKind::Other.into());
            }
            let length = usize::try_from(length).unwrap();
            self.held.lock().unwrap().truncate(length);
            Ok(())
        }

        fn sync(&self) -> io::Result<()> {
            Ok(())
        }
    }

    #[test]
    fn a_full_disk_leaves_no_torn_write_and_takes_more_once_there_is_room() {
        let disk = FullDisk::new(6, 0);
        let mut tail = Tail::new(disk.clone(), 0);
        tail.write(b"abc").unwrap();
        let full = tail.write(b"defg").unwrap_err();
        assert_eq!(full.kind(), io::ErrorKind::StorageFull);
        assert_eq!(disk.held(), b"abc");
        *disk.room.lock().unwrap() = 100;
        tail.write(b"hij").unwrap();
        assert_eq!(disk.held(), b"abchij");
        assert_eq!(tail.length(), 6);
    }

    #[test]
    fn a_torn_write_that_cannot_be_cut_is_cut_before_the_next() {
        let disk = FullDisk::new(5, 2);
        let mut tail = Tail::new(disk.clone(), 0);
        tail.write(b"abc").unwrap();
        tail.write(b"defg").unwrap_err();
        assert_eq!(disk.held(), b"abcde", "still torn");
        tail.write(b"h").unwrap_err();
        assert_eq!(disk.held(), b"abcde", "nothing is written behind a tear");
        tail.write(b"h").unwrap();
        assert_eq!(disk.held(), b"abch");
    }
}
