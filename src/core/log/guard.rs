//! How root opens a log where other users can change what its path leads to.
//!
//! With the rights of the one who gets the file: then the links that he has made lead nowhere that he could
//! not write to himself. What he may not open, though root has put it there for him, is opened by root
//! without following a link, but for those that only root could have made.

use std::fs::File;
use std::os::fd::OwnedFd;
use std::os::unix::fs::MetadataExt as _;
use std::path::Path;

use nix::errno::Errno;
use nix::fcntl::{OFlag, open as open_plainly, openat};
use nix::sys::stat::Mode;
use nix::unistd::{Uid, ftruncate, getegid, geteuid, getgroups, setfsgid, setfsuid};

use crate::config::logging::LogFile;
use crate::{identity, sys};

/// As open(2), without waiting for who reads a FIFO.
pub(super) fn open(path: &Path, rules: &LogFile, flags: OFlag) -> nix::Result<File> {
    let flags = flags | OFlag::O_WRONLY | OFlag::O_NONBLOCK | OFlag::O_CLOEXEC;
    let mode = Mode::from_bits_truncate(rules.mode);
    let plainly = || open_plainly(path, flags, mode);
    let Some((user, group)) = rules.owner.filter(|_| is_needed(path, rules)) else {
        return plainly().map(File::from);
    };
    let opened = as_user(user, group, plainly).unwrap_or(Err(Errno::EACCES));
    match opened {
        Err(Errno::EACCES) => without_links(path, flags, mode).map_err(|error| match error {
            Errno::ELOOP | Errno::ENOTDIR => Errno::EACCES,
            error => error,
        }),
        opened => opened.map(File::from),
    }
}

/// Whether this is root, and others can change what the path leads to.
pub(super) fn is_needed(path: &Path, rules: &LogFile) -> bool {
    let directory = path.parent().unwrap_or(path);
    rules.owner.is_some() && geteuid().is_root() && !is_roots(directory)
}

/// Whether nobody but root can change where a directory's path leads to.
fn is_roots(directory: &Path) -> bool {
    let is_roots = |directory: &Path| {
        directory.metadata().is_ok_and(|there| there.uid() == 0 && there.mode() & 0o022 == 0)
    };
    let all_are = |path: &Path| path.ancestors().all(is_roots);
    all_are(directory) && directory.canonicalize().is_ok_and(|real| all_are(&real))
}

/// Does `act` with the rights of that user, on this thread alone; `None`: this process cannot have them, or they are root's.
fn as_user<T>(user: u32, group: Option<u32>, act: impl FnOnce() -> T) -> Option<T> {
    let user = Uid::from_raw(user);
    let (groups, group) = identity::groups(user.as_raw(), group);
    let own = (getgroups().ok()?, getegid(), geteuid());
    let group = group.filter(|_| !user.is_root())?;
    sys::set_own_groups(&groups).ok()?;
    setfsgid(group);
    setfsuid(user);
    // What is no user changes nothing, and tells who it is.
    let done = (setfsuid(Uid::from_raw(u32::MAX)) == user).then(act);
    setfsuid(own.2);
    setfsgid(own.1);
    // They were these.
    let _ = sys::set_own_groups(&own.0);
    done
}

/// As open(2), but of the links on the way only those are followed that nobody but root can have made, and
/// what has several names is none of a log.
fn without_links(path: &Path, flags: OFlag, mode: Mode) -> nix::Result<File> {
    let file = File::from(walk(path, flags.difference(OFlag::O_TRUNC), mode)?);
    let there = file.metadata().map_err(|_| Errno::EACCES)?;
    if there.is_file() && there.nlink() > 1 {
        return Err(Errno::EACCES);
    }
    if flags.contains(OFlag::O_TRUNC) && there.is_file() {
        ftruncate(&file, 0)?;
    }
    Ok(file)
}

fn walk(path: &Path, flags: OFlag, mode: Mode) -> nix::Result<OwnedFd> {
    let start = path.ancestors().skip(1).find(|start| is_roots(start)).ok_or(Errno::EACCES)?;
    let rest = path.strip_prefix(start).unwrap_or(path);
    let way = OFlag::O_PATH | OFlag::O_DIRECTORY | OFlag::O_CLOEXEC;
    let mut directory = open_plainly(start, way, Mode::empty())?;
    let mut names = rest.components().peekable();
    while let Some(name) = names.next() {
        let name: &Path = name.as_ref();
        if names.peek().is_none() {
            return openat(&directory, name, flags | OFlag::O_NOFOLLOW, mode);
        }
        directory = openat(&directory, name, way | OFlag::O_NOFOLLOW, Mode::empty())?;
    }
    Err(Errno::EISDIR)
}
