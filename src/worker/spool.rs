//! Files without a name, for bodies that are too large for memory or too fast for their client.

use std::fs::File;
use std::io::{self, Seek as _, Write as _};
use std::path::PathBuf;

use nix::unistd::{AccessFlags, access};

/// Where they are made.
#[derive(Debug)]
pub(crate) struct Spool {
    directory: PathBuf,
}

impl Spool {
    /// TMPDIR, else /var/tmp, which is a disk where /tmp often is memory, else /tmp.
    pub(crate) fn new() -> Self {
        let named = std::env::var_os("TMPDIR").map(PathBuf::from);
        let all = named.into_iter().chain(["/var/tmp".into(), "/tmp".into()]);
        let usable = |path: &PathBuf| access(path, AccessFlags::W_OK | AccessFlags::X_OK).is_ok();
        Self { directory: all.clone().find(usable).or(all.last()).unwrap_or_default() }
    }

    /// A new file, which goes away with its last descriptor.
    ///
    /// # Errors
    /// Those of open(2); see [`explain`](Self::explain).
    pub(crate) fn create(&self) -> io::Result<File> {
        tempfile::tempfile_in(&self.directory)
    }

    /// An error of such a file, with a remedy.
    pub(crate) fn explain(&self, error: &io::Error) -> io::Error {
        let place = self.directory.display();
        io::Error::new(
            error.kind(),
            format!(
                "{error}; bodies wait below {place}: make room, or set TMPDIR (env = TMPDIR=…)"
            ),
        )
    }
}

/// Bytes that are written to such a file at a time.
const BLOCK: usize = 256 * 1024;
/// Bytes for which room is made before they come.
const AHEAD: usize = 64 * 1024;

/// A body while it comes: in memory, and in such a file as soon as it is too large for that.
#[derive(Debug)]
pub(crate) struct Store {
    /// The most that memory may have of it.
    limit: usize,
    /// What is not in the file.
    block: Vec<u8>,
    file: Option<File>,
}

/// A body that has come.
pub(crate) enum Stored {
    /// In memory.
    Memory(Vec<u8>),
    /// In a file that is read from its beginning.
    File(File),
}

impl Store {
    /// Keeps up to `limit` bytes in memory.
    pub(crate) fn new(limit: u64) -> Self {
        let limit = usize::try_from(limit).unwrap_or(usize::MAX).max(1);
        Self { limit, block: Vec::new(), file: None }
    }

    /// Where the next bytes belong, and for how many of them there is room. There are `left` to come.
    ///
    /// # Errors
    /// Those of open(2) and write(2).
    pub(crate) fn room(&mut self, spool: &Spool, left: u64) -> io::Result<(&mut Vec<u8>, usize)> {
        if self.block.len() >= self.most() {
            self.flush(spool)?;
        }
        let left = usize::try_from(left).unwrap_or(usize::MAX);
        let room = (self.most() - self.block.len()).min(left);
        if self.file.is_some() {
            self.block.reserve_exact(room);
            return Ok((&mut self.block, room));
        }
        let room = room.min(AHEAD);
        self.block.reserve(room);
        Ok((&mut self.block, room))
    }

    /// Adds what has come.
    ///
    /// # Errors
    /// Those of open(2) and write(2).
    pub(crate) fn add(&mut self, spool: &Spool, mut bytes: &[u8]) -> io::Result<()> {
        while !bytes.is_empty() {
            if self.block.len() >= self.most() {
                self.flush(spool)?;
            }
            let room = self.most() - self.block.len();
            let (now, later) = bytes.split_at(room.min(bytes.len()));
            self.block.extend_from_slice(now);
            bytes = later;
        }
        Ok(())
    }

    /// All that has come.
    ///
    /// # Errors
    /// Those of write(2) and lseek(2).
    pub(crate) fn finish(self) -> io::Result<Stored> {
        match self.file {
            None => Ok(Stored::Memory(self.block)),
            Some(mut file) => {
                file.write_all(&self.block)?;
                file.rewind()?;
                Ok(Stored::File(file))
            }
        }
    }

    fn most(&self) -> usize {
        if self.file.is_some() { BLOCK } else { self.limit }
    }

    fn flush(&mut self, spool: &Spool) -> io::Result<()> {
        let file = match &mut self.file {
            Some(file) => file,
            None => self.file.insert(spool.create()?),
        };
        file.write_all(&self.block)?;
        self.block.clear();
        self.block.shrink_to(BLOCK);
        Ok(())
    }
}
