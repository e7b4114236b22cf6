//! Files without a name, for bodies that are too large for memory or too fast for their client.

use std::fs::File;
use std::io;
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
    /// Those of open(2), with the directory in the message.
    pub(crate) fn create(&self) -> io::Result<File> {
        tempfile::tempfile_in(&self.directory).map_err(|error| self.explain(&error))
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
