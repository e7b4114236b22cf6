//! A log file: opened, opened anew, and begun anew when it is large.
//!
//! All processes of an instance append to it, each with one write for many lines. Whoever finds it
//! too large renames it, under a lock of the file itself, so that only one does; the others see by
//! its name that it is another one. Nobody waits for that lock: whoever has it may be a stranger.

use std::fs::File;
use std::io;
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _, fchown};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use nix::errno::Errno;
use nix::fcntl::{Flock, FlockArg, OFlag};
use nix::unistd::geteuid;

use super::stream::Stream;
use super::{Entry, Event, clock, guard};
use crate::config::logging::LogFile;

/// An open log file.
#[derive(Debug)]
pub(super) struct LogStream {
    path: PathBuf,
    rules: LogFile,
    file: Arc<File>,
}

impl LogStream {
    /// Opens the file at `path`, or takes one that is open.
    ///
    /// # Errors
    /// Those of open(2).
    pub(super) fn open(path: &Path, rules: &LogFile, file: Option<File>) -> io::Result<Self> {
        let file = match file {
            Some(file) => file,
            None => open(path, rules)?,
        };
        Ok(Self { path: path.to_owned(), rules: rules.clone(), file: Arc::new(file) })
    }

    /// The same as what lines are written to.
    pub(super) fn stream(&self) -> Stream {
        Stream::File(Arc::clone(&self.file))
    }

    pub(super) fn file(&self) -> &Arc<File> {
        &self.file
    }

    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    /// Opens it anew. When that fails, the one that is open is better than none.
    ///
    /// # Errors
    /// Those of open(2).
    pub(super) fn reopen(&mut self) -> io::Result<()> {
        self.file = Arc::new(open(&self.path, &self.rules)?);
        Ok(())
    }

    /// Before lines are written: where somebody has removed the file, it is made anew. Whether it was.
    ///
    /// # Errors
    /// Those of open(2): what is written nobody will see.
    pub(super) fn restore(&mut self) -> io::Result<bool> {
        let is_gone = self.file.metadata().is_ok_and(|ours| ours.nlink() == 0);
        if is_gone {
            self.reopen()?;
        }
        Ok(is_gone)
    }

    /// Before lines are written: somebody has renamed the file, or it has become too large. `None`: it
    /// is the one that it was.
    pub(super) fn follow(&mut self) -> Option<io::Result<()>> {
        let Ok(ours) = self.file.metadata() else { return None };
        let limit = self.rules.max_bytes?;
        let there = std::fs::metadata(&self.path).ok();
        let is_ours =
            there.is_some_and(|there| (there.dev(), there.ino()) == (ours.dev(), ours.ino()));
        match (is_ours, ours.len() >= limit && ours.is_file()) {
            (true, false) => None,
            (true, true) => match self.rotate() {
                // Another worker is at it, most likely. A stranger that keeps the lock is told of.
                Err(error) if is_locked(&error) && ours.len() < limit.saturating_mul(2) => None,
                rotated => Some(rotated),
            },
            (false, _) => self.reopen().ok().map(Ok),
        }
    }

    /// Renames the file and begins another one.
    ///
    /// # Errors
    /// Those of flock(2), rename(2) and open(2); lines go on to the file that is open.
    pub(super) fn rotate(&mut self) -> io::Result<()> {
        let lock = Flock::lock(self.file.try_clone()?, FlockArg::LockExclusiveNonblock);
        let _lock = lock.map_err(|(_, error)| error)?;
        self.rename()?;
        self.reopen()
    }

    fn rename(&self) -> io::Result<()> {
        let (ours, there) = (self.file.metadata()?, std::fs::metadata(&self.path)?);
        if (there.dev(), there.ino()) != (ours.dev(), ours.ino()) {
            // Somebody else has done it meanwhile.
            return Ok(());
        }
        std::fs::rename(&self.path, self.backup())
    }

    /// `log-backupname`, or the name with the seconds of the epoch, as uWSGI has it; of two in a
    /// second the first is kept.
    fn backup(&self) -> PathBuf {
        if let Some(name) = &self.rules.backup {
            return name.clone();
        }
        let second = clock::now() / 1_000_000;
        let name = |suffix: String| {
            let mut name = self.path.clone().into_os_string();
            name.push(suffix);
            PathBuf::from(name)
        };
        let plain = name(format!(".{second}"));
        if !plain.exists() {
            return plain;
        }
        (1..)
            .map(|number| name(format!(".{second}.{number}")))
            .find(|name| !name.exists())
            .unwrap_or(plain)
    }
}

/// What is said of a file that cannot be renamed.
pub(super) fn complaint(path: &str, error: &io::Error) -> Entry {
    let remedy = if is_locked(error) {
        "another process has locked it (flock): `fuser` shows which have it open"
    } else {
        "the user that the server runs as must be able to write to its directory"
    };
    let message = format!(
        "cannot rotate the log {path}: {error}; writing goes on to the same file, and {remedy}"
    );
    super::error(Event::SystemError, message)
}

fn is_locked(error: &io::Error) -> bool {
    error.kind() == io::ErrorKind::WouldBlock
}

/// Opens a log file to append to it, and makes it if need be.
///
/// # Errors
/// Those of open(2); ENXIO for a FIFO that nobody reads.
pub(super) fn open(path: &Path, rules: &LogFile) -> io::Result<File> {
    let opened = match guard::open(path, rules, OFlag::O_APPEND) {
        Err(Errno::ENOENT) => make(path, rules),
        opened => opened,
    };
    match opened {
        Err(Errno::EACCES) if guard::is_needed(path, rules) => Err(io::Error::new(
            io::ErrorKind::PermissionDenied,
            "root follows no symbolic link where other users can make some, and takes no file that has several \
             names there, and the user whom the log is given to (`logfile-chown`, `uid`) may not open it himself",
        )),
        opened => Ok(opened?),
    }
}

/// What root gives away is a file that was not there, not one that the user who serves has a symbolic link
/// to in his directory.
fn make(path: &Path, rules: &LogFile) -> nix::Result<File> {
    let file = match guard::open(path, rules, OFlag::O_APPEND | OFlag::O_CREAT | OFlag::O_EXCL) {
        // A link to what is not there yet, or another process has just made it.
        Err(Errno::EEXIST) => {
            let flags = if rules.owner.is_some() && geteuid().is_root() {
                OFlag::empty()
            } else {
                OFlag::O_CREAT
            };
            return guard::open(path, rules, OFlag::O_APPEND | flags);
        }
        made => made?,
    };
    // Whatever umask says. Who may not do this has made the file as well as it could be.
    if rules.mode != LogFile::default().mode {
        let _ = file.set_permissions(std::fs::Permissions::from_mode(rules.mode));
    }
    if let Some((user, group)) = rules.owner {
        let _ = fchown(&file, Some(user), group);
    }
    Ok(file)
}

/// Discards what is in the file, at the start of the instance (`log-truncate`).
pub(super) fn truncate(path: &Path, rules: &LogFile) -> io::Result<()> {
    match guard::open(path, rules, OFlag::O_TRUNC) {
        Err(Errno::ENOENT) => Ok(()),
        opened => Ok(opened.map(drop)?),
    }
}

#[cfg(test)]
mod tests {
    use std::fs::OpenOptions;
    use std::os::unix::fs::OpenOptionsExt as _;

    use super::*;

    #[test]
    fn a_file_that_is_too_large_is_renamed_once_by_all_who_write_it() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("log");
        let rules = LogFile { max_bytes: Some(4), ..LogFile::default() };
        let mut writers: Vec<_> =
            (0..3).map(|_| LogStream::open(&path, &rules, None).unwrap()).collect();
        for writer in &mut writers {
            drop(writer.follow());
            writer.stream().write_all(b"12345\n").unwrap();
        }
        // The second found large what the first had written; the third went on where the second is.
        let files: Vec<_> = std::fs::read_dir(directory.path()).unwrap().collect();
        assert_eq!(files.len(), 2);
        let mut total = 0;
        for file in files {
            total += std::fs::read(file.unwrap().path()).unwrap().len();
        }
        assert_eq!(total, 18);
        assert!(writers[0].follow().is_some() && writers[1].follow().is_some());
    }

    #[test]
    fn a_backup_has_the_name_that_was_asked_for_and_the_new_file_its_mode() {
        let directory = tempfile::tempdir().unwrap();
        let (path, backup) = (directory.path().join("log"), directory.path().join("old"));
        let rules = LogFile { mode: 0o604, backup: Some(backup.clone()), ..LogFile::default() };
        let mut log = LogStream::open(&path, &rules, None).unwrap();
        log.stream().write_all(b"one\n").unwrap();
        log.rotate().unwrap();
        assert_eq!(std::fs::read(backup).unwrap(), b"one\n");
        assert_eq!(std::fs::metadata(&path).unwrap().mode() & 0o777, 0o604);
    }

    #[test]
    fn a_fifo_without_a_reader_is_an_error_and_one_with_a_reader_is_written() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("fifo");
        nix::unistd::mkfifo(&path, nix::sys::stat::Mode::S_IRWXU).unwrap();
        let rules = LogFile::default();
        assert!(LogStream::open(&path, &rules, None).is_err() && truncate(&path, &rules).is_err());
        let reader = OpenOptions::new()
            .read(true)
            .custom_flags(OFlag::O_NONBLOCK.bits())
            .open(&path)
            .unwrap();
        LogStream::open(&path, &rules, None).unwrap().stream().write_all(b"one\n").unwrap();
        assert_eq!(io::read_to_string(reader).unwrap(), "one\n");
    }

    #[test]
    fn a_file_that_a_stranger_has_locked_is_written_on_and_told_when_it_is_far_too_large() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("log");
        let rules = LogFile { max_bytes: Some(4), ..LogFile::default() };
        let mut log = LogStream::open(&path, &rules, None).unwrap();
        let stranger = Flock::lock(File::open(&path).unwrap(), FlockArg::LockShared).unwrap();
        log.stream().write_all(b"12345\n").unwrap();
        assert!(log.follow().is_none());
        log.stream().write_all(b"12345\n").unwrap();
        let error = log.follow().unwrap().unwrap_err();
        assert!(complaint("/log", &error).message.contains("another process has locked it"));
        log.stream().write_all(b"on\n").unwrap();
        drop(stranger);
        assert!(log.follow().unwrap().is_ok());
        assert!(std::fs::read(&path).unwrap().is_empty());
    }

    #[test]
    fn what_cannot_be_renamed_is_written_on() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("log");
        let rules = LogFile { backup: Some("/nonexistent/old".into()), ..LogFile::default() };
        let mut log = LogStream::open(&path, &rules, None).unwrap();
        assert!(log.rotate().is_err());
        log.stream().write_all(b"on\n").unwrap();
        assert_eq!(std::fs::read(path).unwrap(), b"on\n");
    }

    #[test]
    fn a_link_to_nothing_makes_no_file_that_is_given_away() {
        let directory = tempfile::tempdir().unwrap();
        let (path, target) = (directory.path().join("log"), directory.path().join("target"));
        std::os::unix::fs::symlink(&target, &path).unwrap();
        let given = LogFile { owner: Some((65534, None)), ..LogFile::default() };
        let opened = LogStream::open(&path, &given, None);
        if geteuid().is_root() {
            assert_eq!(opened.unwrap_err().kind(), io::ErrorKind::NotFound);
            assert!(!target.exists());
        }
        // Who gives nothing away may have such links.
        LogStream::open(&path, &LogFile::default(), None).unwrap();
        assert!(target.is_file());
        // What is there already stays whose it is.
        drop(LogStream::open(&target, &given, None).unwrap());
        assert_eq!(std::fs::metadata(&target).unwrap().uid(), geteuid().as_raw());
    }

    #[test]
    fn root_follows_no_link_that_another_user_may_have_made() {
        let directory = tempfile::tempdir().unwrap();
        let at = |name| directory.path().join(name);
        let anybodys = std::fs::Permissions::from_mode(0o777);
        std::fs::set_permissions(directory.path(), anybodys).unwrap();
        std::fs::write(at("target"), "kept").unwrap();
        std::fs::create_dir(at("roots")).unwrap();
        std::os::unix::fs::symlink(at("target"), at("log")).unwrap();
        std::os::unix::fs::symlink(at("roots"), at("logs")).unwrap();
        let given = LogFile { owner: Some((65534, None)), ..LogFile::default() };
        let is_root = geteuid().is_root();
        for path in [at("log"), at("logs/log")] {
            let opened = LogStream::open(&path, &given, None);
            let is_refused = opened.is_err_and(|error| error.to_string().contains("symbolic link"));
            assert_eq!(is_refused, is_root, "{path:?}");
        }
        assert_eq!(at("roots/log").exists(), !is_root);
        assert_eq!(truncate(&at("log"), &given).is_err(), is_root);
        assert_eq!(std::fs::read(at("target")).unwrap().is_empty(), !is_root);
        // Another name for a file of root is no log, either.
        std::fs::hard_link(at("target"), at("name")).unwrap();
        assert_eq!(LogStream::open(&at("name"), &given, None).is_err(), is_root);
        std::fs::remove_file(at("name")).unwrap();
        // What is there without a link is written, whosever it is; and so is what that user may write.
        drop(LogStream::open(&at("target"), &given, None).unwrap());
        if is_root {
            std::os::unix::fs::chown(at("target"), Some(65534), None).unwrap();
            drop(LogStream::open(&at("log"), &given, None).unwrap());
        }
    }
}
