//! The files of UNIX sockets: made with mode and owner, kept over a restart, removed only if they are
//! still the ones that were made.

use std::fs::{self, File, Metadata};
use std::io;
use std::os::fd::AsRawFd as _;
use std::os::unix::fs::{
    FileTypeExt as _, MetadataExt as _, OpenOptionsExt as _, PermissionsExt as _,
};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};

use nix::libc;
use rwsgi_core::address::ListenAddr;
use rwsgi_core::config::Listen;
use socket2::{Domain, SockAddr, Socket, Type};

use crate::occupant;

/// Device and inode. No other file gets these numbers while the socket is open: it holds its file.
pub type FileId = (u64, u64);

/// The file of a socket.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SocketFile {
    path: PathBuf,
    id: FileId,
}

impl SocketFile {
    /// The one with these numbers, once made at `path`.
    pub fn new(path: &Path, id: FileId) -> Self {
        Self { path: path.to_owned(), id }
    }

    /// The one that is at `path` now, if one is.
    pub fn at(path: &Path) -> Option<Self> {
        let metadata = fs::symlink_metadata(path).ok()?;
        Some(Self::new(path, id(&metadata)))
    }

    /// Where it was made.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Which one.
    pub fn id(&self) -> FileId {
        self.id
    }

    /// Whether the path still leads to it.
    pub fn is_there(&self) -> bool {
        fs::symlink_metadata(&self.path).is_ok_and(|metadata| id(&metadata) == self.id)
    }

    /// Removes it, if it is still there; what somebody else has put in its place stays.
    pub fn remove(&self) {
        if self.is_there() {
            let _ = fs::remove_file(&self.path);
        }
    }

    /// Gives it the mode and the owner that a new one would have.
    ///
    /// # Errors
    /// Those of open(2), chmod(2) and chown(2); `NotFound` when the path leads elsewhere.
    pub fn fit(&self, listen: &Listen) -> io::Result<()> {
        // Whoever may write to the directory could put another file there between two steps.
        let flags = libc::O_PATH | libc::O_NOFOLLOW;
        let file = File::options().read(true).custom_flags(flags).open(&self.path)?;
        let metadata = file.metadata()?;
        if id(&metadata) != self.id {
            return Err(io::ErrorKind::NotFound.into());
        }
        let path = format!("/proc/self/fd/{}", file.as_raw_fd());
        let (user, group) = owner(listen, &self.path);
        if (metadata.uid(), metadata.gid()) != (user, group) {
            std::os::unix::fs::chown(&path, Some(user), Some(group))?;
        }
        if metadata.mode() & 0o7777 != listen.mode {
            fs::set_permissions(&path, fs::Permissions::from_mode(listen.mode))?;
        }
        Ok(())
    }
}

fn id(metadata: &Metadata) -> FileId {
    (metadata.dev(), metadata.ino())
}

/// Whom a new file at `path` would belong to.
fn owner(listen: &Listen, path: &Path) -> (u32, u32) {
    let us = (nix::unistd::geteuid().as_raw(), nix::unistd::getegid().as_raw());
    let directory = path.parent().and_then(|parent| fs::metadata(parent).ok());
    let inherits = |directory: &Metadata| directory.mode() & libc::S_ISGID != 0;
    let group = directory.filter(inherits).map_or(us.1, |directory| directory.gid());
    listen.owner.map_or((us.0, group), |(user, given)| (user, given.unwrap_or(group)))
}

/// Binds a new one. Mode and owner are set between bind(2) and listen(2): nobody can connect before.
///
/// # Errors
/// A sentence with a remedy.
pub fn bind(path: &Path, listen: &Listen, backlog: i32) -> Result<(Socket, SocketFile), String> {
    remove_stale(path)?;
    let failed = |error: io::Error| match error.kind() {
        io::ErrorKind::PermissionDenied | io::ErrorKind::NotFound => format!(
            "{error}; the directory must exist and be writable for this user: RuntimeDirectory= of a service, or mkdir"
        ),
        _ => error.to_string(),
    };
    let bind = || -> io::Result<(Socket, SocketFile)> {
        let socket = Socket::new(Domain::UNIX, Type::STREAM, None)?;
        socket.bind(&SockAddr::unix(path)?)?;
        fs::set_permissions(path, fs::Permissions::from_mode(listen.mode))?;
        if let Some((user, group)) = listen.owner {
            std::os::unix::fs::chown(path, Some(user), group)?;
        }
        let file = SocketFile::at(path).ok_or(io::ErrorKind::NotFound)?;
        socket.listen(backlog)?;
        socket.set_nonblocking(true)?;
        Ok((socket, file))
    };
    bind().map_err(failed)
}

/// A socket file on which nobody answers is left from a crash; anything else is not ours.
fn remove_stale(path: &Path) -> Result<(), String> {
    let Ok(metadata) = fs::symlink_metadata(path) else { return Ok(()) };
    if !metadata.file_type().is_socket() {
        return Err("the path exists and is not a socket; remove it or choose another".into());
    }
    match UnixStream::connect(path) {
        Err(error) if error.kind() == io::ErrorKind::ConnectionRefused => {
            fs::remove_file(path).map_err(|error| format!("a stale socket: {error}"))
        }
        Ok(_) => {
            let occupant = occupant::at(&ListenAddr::Unix(path.to_owned()));
            let whose = occupant.map_or_else(String::new, |occupant| format!(": {occupant}"));
            Err(format!("another server answers on it{whose}"))
        }
        Err(error) => Err(format!("a socket is there already: {error}")),
    }
}

#[cfg(test)]
mod tests {
    use rwsgi_core::config::Protocol;

    use super::*;

    fn listen(path: &Path, mode: u32) -> Listen {
        let address = ListenAddr::Unix(path.to_owned());
        Listen { address, protocol: Protocol::Http, mode, owner: None }
    }

    fn mode(path: &Path) -> u32 {
        fs::metadata(path).unwrap().mode() & 0o777
    }

    #[test]
    fn it_has_its_mode_and_a_stale_one_is_replaced() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("s");
        drop(std::os::unix::net::UnixListener::bind(&path).unwrap());
        let (_socket, file) = bind(&path, &listen(&path, 0o640), 16).unwrap();
        assert_eq!(mode(&path), 0o640);
        assert!(UnixStream::connect(&path).is_ok());
        file.remove();
        assert!(!path.exists());
    }

    #[test]
    fn one_that_somebody_serves_is_left_alone() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("s");
        let _alive = std::os::unix::net::UnixListener::bind(&path).unwrap();
        let error = bind(&path, &listen(&path, 0o660), 16).unwrap_err();
        let pid = format!("(pid {})", std::process::id());
        let expected = error.starts_with("another server answers on it: ") && error.contains(&pid);
        assert!(expected, "{error}");
    }

    #[test]
    fn a_file_that_is_no_socket_is_never_removed() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("s");
        fs::write(&path, "precious").unwrap();
        assert!(bind(&path, &listen(&path, 0o660), 16).is_err());
        assert_eq!(fs::read_to_string(path).unwrap(), "precious");
    }

    #[test]
    fn one_that_is_kept_gets_the_mode_of_today() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("s");
        let (_socket, file) = bind(&path, &listen(&path, 0o660), 16).unwrap();
        file.fit(&listen(&path, 0o600)).unwrap();
        assert_eq!(mode(&path), 0o600);
    }

    #[test]
    fn what_took_the_place_of_one_is_neither_changed_nor_removed() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("s");
        let (_socket, file) = bind(&path, &listen(&path, 0o660), 16).unwrap();
        fs::remove_file(&path).unwrap();
        let _other = std::os::unix::net::UnixListener::bind(&path).unwrap();
        let before = mode(&path);
        assert!(!file.is_there());
        assert_eq!(file.fit(&listen(&path, 0o600)).unwrap_err().kind(), io::ErrorKind::NotFound);
        file.remove();
        assert_eq!(mode(&path), before);
    }
}
