//! Opening what a path leads to, without waiting for it and without harm if it is no file.

use std::fs::{File, Metadata, OpenOptions};
use std::io;
use std::os::fd::AsRawFd;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use nix::errno::Errno;
use nix::fcntl::OFlag;

use crate::error::FileError;

/// A regular file that is open.
#[derive(Debug)]
pub(crate) struct Opened {
    pub(crate) file: File,
    pub(crate) facts: Metadata,
}

/// What a path leads to.
#[derive(Debug)]
pub(crate) enum Thing {
    File(Opened),
    Directory,
    /// Nothing, or something that is neither file nor directory.
    Nothing,
}

/// Opens what `path` leads to. A FIFO or a terminal neither blocks nor becomes ours.
///
/// # Errors
/// There is something, or may be, but the system does not let it be opened.
pub(crate) fn open(path: &Path) -> Result<Thing, FileError> {
    let flags = OFlag::O_NONBLOCK | OFlag::O_NOCTTY;
    let opened = OpenOptions::new().read(true).custom_flags(flags.bits()).open(path);
    let with_facts = opened.and_then(|file| file.metadata().map(|facts| Opened { file, facts }));
    match with_facts {
        Ok(opened) if opened.facts.is_file() => Ok(Thing::File(opened)),
        Ok(opened) if opened.facts.is_dir() => Ok(Thing::Directory),
        Ok(_) => Ok(Thing::Nothing),
        Err(error) if is_absence(&error) => Ok(Thing::Nothing),
        Err(error) => Err(FileError::Closed(path.to_owned(), error)),
    }
}

/// Whether the error says that there is no such file: no such name, a file where a directory would
/// have to be, a name that is too long for any, links in a circle, a socket, a NUL in the path.
fn is_absence(error: &io::Error) -> bool {
    let Some(number) = error.raw_os_error() else {
        return error.kind() == io::ErrorKind::InvalidInput;
    };
    matches!(
        Errno::from_raw(number),
        Errno::ENOENT
            | Errno::ENOTDIR
            | Errno::ENAMETOOLONG
            | Errno::ELOOP
            | Errno::ENXIO
            | Errno::ENODEV
    )
}

impl Opened {
    /// Where it really is, all links resolved.
    ///
    /// # Errors
    /// /proc is not there, or the path is longer than the system can tell.
    pub(crate) fn location(&self) -> io::Result<PathBuf> {
        std::fs::read_link(format!("/proc/self/fd/{}", self.file.as_raw_fd()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_says_that_there_is_nothing_is_a_miss() {
        for errno in [Errno::ENOENT, Errno::ENOTDIR, Errno::ENAMETOOLONG, Errno::ELOOP] {
            assert!(is_absence(&errno.into()), "{errno}");
        }
        for errno in [Errno::EACCES, Errno::EPERM, Errno::EMFILE, Errno::ENFILE, Errno::EIO] {
            assert!(!is_absence(&errno.into()), "{errno}");
        }
        assert!(matches!(open(Path::new("/no/such")), Ok(Thing::Nothing)));
        assert!(matches!(open(Path::new("/\0")), Ok(Thing::Nothing)));
        assert!(matches!(open(Path::new("/")), Ok(Thing::Directory)));
    }

    #[test]
    fn the_location_has_no_links() {
        let directory = tempfile::tempdir().unwrap();
        let real = directory.path().canonicalize().unwrap().join("real");
        std::fs::write(&real, "x").unwrap();
        std::os::unix::fs::symlink("real", directory.path().join("link")).unwrap();
        let Ok(Thing::File(opened)) = open(&directory.path().join("link")) else { panic!() };
        assert_eq!(opened.location().unwrap(), real);
    }
}
