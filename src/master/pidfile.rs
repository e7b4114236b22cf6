//! The pid file: says who runs, and proves it by a lock.
//!
//! The master holds a POSIX record lock on the file while it lives (fcntl(2), F_SETLK). So a second
//! instance is refused, and `--stop` asks the kernel who holds the lock (F_GETLK): a stale file, or
//! one with somebody else's number in it, never gets a stranger killed.

use std::fs::{File, OpenOptions};
use std::io::{self, Write as _};
use std::os::fd::{AsFd as _, BorrowedFd, OwnedFd};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};

use nix::fcntl::{FcntlArg, fcntl};
use nix::libc;

/// An open, locked pid file. Removed when dropped.
#[derive(Debug)]
pub struct Pidfile {
    path: PathBuf,
    file: File,
}

impl Pidfile {
    /// Opens and locks `path`.
    ///
    /// # Errors
    /// A sentence: who holds it, or why it cannot be written.
    pub fn take(path: &Path) -> Result<Self, String> {
        let failed = |error: &dyn std::fmt::Display| {
            format!("cannot write the pid file {}: {error}", path.display())
        };
        let file = OpenOptions::new()
            .read(true)
            .write(true)
            .create(true)
            .truncate(false)
            .mode(0o644)
            .custom_flags(libc::O_CLOEXEC | libc::O_NOFOLLOW)
            .open(path)
            .map_err(|error| failed(&error))?;
        if let Err(error) = fcntl(&file, FcntlArg::F_SETLK(&whole_file())) {
            return Err(match holder(path) {
                Ok(Some(pid)) => format!(
                    "{} belongs to a running instance (pid {pid}); stop it first: rwsgi --stop {}",
                    path.display(),
                    path.display()
                ),
                _ => failed(&error),
            });
        }
        Ok(Self { path: path.to_owned(), file })
    }

    /// The one that an earlier program of this process has taken: path and open file.
    pub fn resume(path: PathBuf, file: OwnedFd) -> Self {
        Self { path, file: file.into() }
    }

    /// Where it is, and the open file, on which the lock depends.
    pub fn parts(&self) -> (&Path, BorrowedFd<'_>) {
        (&self.path, self.file.as_fd())
    }

    /// Writes this process's pid.
    ///
    /// # Errors
    /// Those of write(2).
    pub fn write(&mut self) -> io::Result<()> {
        self.file.set_len(0)?;
        writeln!(self.file, "{}", std::process::id())
    }
}

impl Drop for Pidfile {
    fn drop(&mut self) {
        let _ = std::fs::remove_file(&self.path);
    }
}

/// The process that holds the lock on `path`, if one does.
///
/// # Errors
/// Those of open(2) and fcntl(2).
pub fn holder(path: &Path) -> io::Result<Option<i32>> {
    let file =
        OpenOptions::new().read(true).write(true).open(path).or_else(|_| File::open(path))?;
    let mut lock = whole_file();
    fcntl(&file, FcntlArg::F_GETLK(&mut lock))?;
    Ok((i32::from(lock.l_type) != libc::F_UNLCK).then_some(lock.l_pid))
}

fn whole_file() -> libc::flock {
    libc::flock {
        l_type: libc::F_WRLCK as libc::c_short,
        l_whence: libc::SEEK_SET as libc::c_short,
        l_start: 0,
        l_len: 0,
        l_pid: 0,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_that_nobody_holds_names_nobody() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("pid");
        std::fs::write(&path, "1\n").unwrap();
        assert_eq!(holder(&path).unwrap(), None);
    }

    #[test]
    fn it_says_who_runs_and_goes_away() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("pid");
        let mut pidfile = Pidfile::take(&path).unwrap();
        pidfile.write().unwrap();
        let text = std::fs::read_to_string(&path).unwrap();
        assert_eq!(text, format!("{}\n", std::process::id()));
        drop(pidfile);
        assert!(!path.exists());
    }

    #[test]
    fn a_directory_that_does_not_exist_is_named() {
        let error = Pidfile::take(Path::new("/nonexistent/pid")).unwrap_err();
        assert!(error.contains("/nonexistent/pid"), "{error}");
    }
}
