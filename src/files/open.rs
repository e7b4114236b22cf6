//! Opening what a path leads to, without waiting for it and without harm if it is no file.
//!
//! First without following links (openat2(2)): what is opened so is where its path says, and nobody has to ask.

use std::fs::{File, Metadata, OpenOptions};
use std::io;
use std::os::fd::AsRawFd;
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Component, Path, PathBuf};

use nix::errno::Errno;
use nix::fcntl::{AT_FDCWD, OFlag, OpenHow, ResolveFlag, openat2};

use crate::error::FileError;

/// A regular file that is open.
#[derive(Debug)]
pub(crate) struct Opened {
    pub(crate) file: File,
    pub(crate) facts: Metadata,
    /// No link was followed on the way.
    is_direct: bool,
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
    let opened = match open_direct(path) {
        Ok(file) => Ok((file, true)),
        Err(Errno::ENOENT) => return Ok(Thing::Nothing),
        // There is a link, or no such system call: before Linux 5.6, or forbidden.
        Err(_) => open_anyhow(path).map(|file| (file, false)),
    };
    let with_facts = opened.and_then(|(file, is_direct)| {
        file.metadata().map(|facts| Opened { file, facts, is_direct })
    });
    match with_facts {
        Ok(opened) if opened.facts.is_file() => Ok(Thing::File(opened)),
        Ok(opened) if opened.facts.is_dir() => Ok(Thing::Directory),
        Ok(_) => Ok(Thing::Nothing),
        Err(error) if is_absence(&error) => Ok(Thing::Nothing),
        Err(error) => Err(FileError::Closed(path.to_owned(), error)),
    }
}

/// Neither blocks nor makes a terminal ours.
const HARMLESS: OFlag = OFlag::O_NONBLOCK.union(OFlag::O_NOCTTY);

fn open_direct(path: &Path) -> Result<File, Errno> {
    let flags = HARMLESS | OFlag::O_RDONLY | OFlag::O_CLOEXEC;
    let how = OpenHow::new().flags(flags).resolve(ResolveFlag::RESOLVE_NO_SYMLINKS);
    openat2(AT_FDCWD, path, how).map(File::from)
}

fn open_anyhow(path: &Path) -> io::Result<File> {
    OpenOptions::new().read(true).custom_flags(HARMLESS.bits()).open(path)
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
    /// Whether `path`, by which it was opened, leads into `root` without links and without detours.
    pub(crate) fn is_plainly_in(&self, path: &Path, root: &Path) -> bool {
        let (text, front) = (path.as_os_str().as_bytes(), root.as_os_str().as_bytes());
        // Where it is plain to see, nobody has to take the paths apart.
        let is_below = text.strip_prefix(front).is_some_and(|rest| rest.first() == Some(&b'/'));
        let may_climb = text.windows(2).any(|pair| pair == b"..");
        self.is_direct
            && (is_below || path.starts_with(root))
            && !(may_climb && path.components().any(|part| part == Component::ParentDir))
    }

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

    #[test]
    fn only_a_path_without_links_and_detours_tells_where_a_file_is() {
        let directory = tempfile::tempdir().unwrap();
        let root = directory.path().canonicalize().unwrap();
        std::fs::create_dir(root.join("public")).unwrap();
        std::fs::write(root.join("secret"), "x").unwrap();
        std::fs::write(root.join("public/file"), "x").unwrap();
        std::os::unix::fs::symlink("file", root.join("public/link")).unwrap();
        std::os::unix::fs::symlink("public", root.join("current")).unwrap();
        let is_plainly_in = |path: &str, directory: &str| {
            let (path, directory) = (root.join(path), root.join(directory));
            let Ok(Thing::File(opened)) = open(&path) else { panic!("{path:?}") };
            opened.is_plainly_in(&path, &directory)
        };
        // Where openat2(2) is missing or forbidden, nothing is plain.
        let can_tell = open_direct(&root.join("public/file")).is_ok();
        assert_eq!(is_plainly_in("public/file", "public"), can_tell);
        for (path, directory) in [
            ("public/link", "public"),
            ("current/file", "current"),
            ("public/../secret", "public"),
            ("secret", "public"),
        ] {
            assert!(!is_plainly_in(path, directory), "{path}");
        }
    }
}
