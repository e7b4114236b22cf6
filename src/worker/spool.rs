//! Files without a name, for bodies that are too large for memory or too fast for their client.

use std::fs::File;
use std::io::{self, IoSlice, Write as _};
use std::path::PathBuf;

use bytes::Bytes;
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

/// Chunks that are written by one system call.
const CHUNKS: usize = 64;

/// Such a file while it is written: what comes is collected, since a file system does for each write
/// almost what it does for a large one.
#[derive(Debug)]
pub(crate) struct Spooled {
    file: File,
    waiting: Vec<Bytes>,
    length: u64,
    batch: u64,
}

impl Spooled {
    /// An empty `file`, to which `batch` bytes are written at a time.
    pub(crate) fn new(file: File, batch: u64) -> Self {
        Self { file, waiting: Vec::new(), length: 0, batch }
    }

    /// Adds a chunk.
    ///
    /// # Errors
    /// Those of writev(2).
    pub(crate) fn add(&mut self, chunk: Bytes) -> io::Result<()> {
        self.length += chunk.len() as u64;
        self.waiting.push(chunk);
        if self.length >= self.batch || self.waiting.len() >= CHUNKS {
            self.flush()?;
        }
        Ok(())
    }

    /// The file, with all that was added.
    ///
    /// # Errors
    /// Those of writev(2).
    pub(crate) fn finish(mut self) -> io::Result<File> {
        self.flush()?;
        Ok(self.file)
    }

    fn flush(&mut self) -> io::Result<()> {
        let mut parts: Vec<_> = self.waiting.iter().map(|chunk| IoSlice::new(chunk)).collect();
        let mut rest = &mut parts[..];
        IoSlice::advance_slices(&mut rest, 0);
        while !rest.is_empty() {
            match self.file.write_vectored(rest) {
                Ok(0) => return Err(io::ErrorKind::WriteZero.into()),
                Ok(count) => IoSlice::advance_slices(&mut rest, count),
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
        self.waiting.clear();
        self.length = 0;
        Ok(())
    }
}
