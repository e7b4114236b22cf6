//! `master-fifo`: commands of one letter, as uWSGI has them.

use std::io;
use std::os::fd::{AsRawFd as _, OwnedFd};
use std::os::unix::fs::FileTypeExt as _;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use nix::fcntl::{OFlag, open};
use nix::sys::stat::Mode;
use nix::unistd::{geteuid, mkfifo, read};
use rwsgi_core::config::Process;
use rwsgi_core::log::{self, Event as Said};
use tokio::io::Interest;
use tokio::io::unix::AsyncFd;
use tokio::sync::mpsc;
use tokio::task::AbortHandle;

use crate::signals::Meaning;

/// What a letter asks for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Letter {
    /// This.
    Meaning(Meaning),
    /// The FIFO of this number is read from now on.
    Slot(usize),
    /// What uWSGI does and rwsgi does not; with what to do instead.
    Foreign(&'static str),
    /// What has no meaning anywhere.
    Unknown,
    /// What ends a line.
    Nothing,
}

impl Letter {
    fn of(letter: u8) -> Self {
        match letter {
            b'r' | b'c' | b'R' => Self::Meaning(Meaning::Reload),
            b'q' => Self::Meaning(Meaning::Stop),
            b'Q' => Self::Meaning(Meaning::StopNow),
            b'p' => Self::Meaning(Meaning::TogglePause),
            b'l' => Self::Meaning(Meaning::ReopenLog),
            b's' => Self::Meaning(Meaning::LogStatus),
            b'0'..=b'9' => Self::Slot(usize::from(letter - b'0')),
            b'w' | b'W' => Self::Meaning(Meaning::ReloadWorkers),
            b'+' => Self::Meaning(Meaning::Grow),
            b'-' => Self::Meaning(Meaning::Shrink),
            b'C' => Self::Foreign("cheap mode by hand: `idle` does it by the clock"),
            b'f' => Self::Foreign("forking the master anew: `r` reloads"),
            b'L' => Self::Foreign("rotating the log: have logrotate do it, and write `l`"),
            b'P' => Self::Foreign("writing pid files anew: the one there is stays"),
            b'B' | b'E' | b'S' => {
                Self::Foreign("what belongs to the emperor, to subscriptions and to legions")
            }
            b'\n' | b'\r' | b' ' => Self::Nothing,
            _ => Self::Unknown,
        }
    }
}

/// All FIFOs; removed when dropped.
#[derive(Debug)]
pub struct Fifos {
    paths: Vec<PathBuf>,
    reading: Arc<Mutex<Option<Reading>>>,
    /// What reads.
    task: Option<AbortHandle>,
}

/// The number of the FIFO that is read, and its descriptor.
pub type Reading = (usize, Arc<OwnedFd>);

impl Fifos {
    /// Makes those of `process`.
    ///
    /// # Errors
    /// A sentence: which cannot be made, and why.
    pub fn make(process: &Process) -> Result<Self, String> {
        let mut made = Self { paths: Vec::new(), reading: Arc::default(), task: None };
        for path in &process.fifos {
            make(path, process).map_err(|why| format!("master-fifo {}: {why}", path.display()))?;
            made.paths.push(path.clone());
        }
        Ok(made)
    }

    /// Those that an earlier program of this process has made, and what it was reading.
    pub fn resume(paths: Vec<PathBuf>, reading: Option<(usize, OwnedFd)>) -> Self {
        let reading = reading.map(|(slot, fd)| (slot, Arc::new(fd)));
        Self { paths, reading: Arc::new(Mutex::new(reading)), task: None }
    }

    /// All of them.
    pub fn paths(&self) -> &[PathBuf] {
        &self.paths
    }

    /// The one that is read: while a descriptor of it is open, what was written stays in it.
    pub fn reading(&self) -> Option<Reading> {
        lock(&self.reading).clone()
    }

    /// Hands on what is written, from now on. Does nothing when there are none.
    ///
    /// # Errors
    /// Those of open(2) and epoll_ctl(2).
    pub fn serve(&mut self, meanings: mpsc::UnboundedSender<Meaning>) -> io::Result<()> {
        if self.paths.is_empty() {
            return Ok(());
        }
        let (paths, reading) = (self.paths.clone(), Arc::clone(&self.reading));
        let mut fifo = attach(&paths, &reading, None)?;
        let task = tokio::spawn(async move {
            while let Some(bytes) = take(&fifo).await {
                let Some(slot) = hand_on(&bytes, paths.len(), &meanings) else { continue };
                match attach(&paths, &reading, Some(slot)) {
                    Ok(other) => fifo = other,
                    Err(error) => {
                        log::warning(Said::SystemError, format!("master-fifo: {error}")).send();
                    }
                }
            }
        });
        if let Some(before) = self.task.replace(task.abort_handle()) {
            before.abort();
        }
        Ok(())
    }

    /// Makes those again that somebody has deleted; whether there were any. They are to be served anew.
    ///
    /// # Errors
    /// A sentence: which cannot be made, and why.
    pub fn renew(&mut self, process: &Process) -> Result<bool, String> {
        let gone: Vec<usize> =
            (0..self.paths.len()).filter(|slot| !self.paths[*slot].exists()).collect();
        for path in gone.iter().map(|slot| &self.paths[*slot]) {
            make(path, process).map_err(|why| format!("master-fifo {}: {why}", path.display()))?;
        }
        let mut reading = lock(&self.reading);
        // Of a path that is gone nobody writes to what is open.
        if let Some((slot, _)) = reading.take_if(|(slot, _)| gone.contains(slot)) {
            let path = &self.paths[slot];
            let fifo = open_fifo(path)
                .map_err(|error| format!("master-fifo {}: {error}", path.display()))?;
            *reading = Some((slot, Arc::new(fifo)));
        }
        Ok(!gone.is_empty())
    }
}

impl Drop for Fifos {
    fn drop(&mut self) {
        for path in &self.paths {
            let _ = std::fs::remove_file(path);
        }
    }
}

fn make(path: &Path, process: &Process) -> Result<(), String> {
    match std::fs::symlink_metadata(path) {
        Ok(facts) if facts.file_type().is_fifo() => return Ok(()),
        Ok(_) => return Err("there is a file that is no FIFO".to_owned()),
        Err(_) => {}
    }
    mkfifo(path, Mode::S_IRUSR | Mode::S_IWUSR).map_err(|error| error.desc().to_owned())?;
    let owner = process.uid.filter(|_| geteuid().is_root()).map(nix::unistd::Uid::from_raw);
    let given = owner.map_or(Ok(()), |uid| nix::unistd::chown(path, Some(uid), None));
    given.map_err(|error| error.desc().to_owned())
}

/// Has that one read, or the one that is: at first number 0.
#[expect(deprecated, reason = "the successor is unsafe; an OwnedFd keeps its descriptor for life")]
fn attach(
    paths: &[PathBuf],
    reading: &Mutex<Option<Reading>>,
    slot: Option<usize>,
) -> io::Result<AsyncFd<Arc<OwnedFd>>> {
    let mut reading = lock(reading);
    let (slot, fifo) = match (slot, reading.take()) {
        (None, Some(there)) => there,
        (slot, _) => {
            let slot = slot.unwrap_or(0);
            (slot, Arc::new(open_fifo(&paths[slot])?))
        }
    };
    *reading = Some((slot, Arc::clone(&fifo)));
    AsyncFd::with_interest(fifo, Interest::READABLE)
}

/// For writing, too: who writes may come and go, and the end never comes.
fn open_fifo(path: &Path) -> io::Result<OwnedFd> {
    let flags = OFlag::O_RDWR | OFlag::O_NONBLOCK | OFlag::O_CLOEXEC | OFlag::O_NOFOLLOW;
    Ok(open(path, flags, Mode::empty())?)
}

fn lock(reading: &Mutex<Option<Reading>>) -> MutexGuard<'_, Option<Reading>> {
    reading.lock().unwrap_or_else(PoisonError::into_inner)
}

async fn take(fifo: &AsyncFd<Arc<OwnedFd>>) -> Option<Vec<u8>> {
    let mut bytes = [0; 512];
    loop {
        let mut ready = fifo.readable().await.ok()?;
        match ready.try_io(|fifo| Ok(read(fifo.get_ref(), &mut bytes)?)) {
            Ok(Ok(count)) => return Some(bytes[..count].to_vec()),
            Ok(Err(error)) => {
                let number = fifo.as_raw_fd();
                let message = format!("master-fifo (descriptor {number}): {error}");
                log::error(Said::SystemError, message).send();
                return None;
            }
            Err(_would_block) => {}
        }
    }
}

/// Does what was written at once, each letter once: what is written a thousand times is meant once.
/// Returns the slot to read from now on.
fn hand_on(bytes: &[u8], slots: usize, meanings: &mpsc::UnboundedSender<Meaning>) -> Option<usize> {
    let mut seen = Vec::new();
    let mut slot = None;
    let mut unknown = Vec::new();
    for letter in bytes {
        if seen.contains(letter) {
            continue;
        }
        seen.push(*letter);
        let shown = char::from(*letter).escape_default();
        match Letter::of(*letter) {
            Letter::Meaning(meaning) => {
                log::notice(Said::Command, format!("`{shown}` was written to the FIFO")).send();
                let _ = meanings.send(meaning);
            }
            Letter::Slot(number) if number < slots => slot = Some(number),
            Letter::Slot(number) => {
                log::warning(Said::Command, format!("there is no master-fifo number {number}"))
                    .send();
            }
            Letter::Foreign(what) => {
                let message = format!("`{shown}` on the FIFO is not obeyed; {what}");
                log::warning(Said::Command, message).send();
            }
            Letter::Unknown => unknown.push(*letter),
            Letter::Nothing => {}
        }
    }
    // One line for all: what is written by mistake may be a whole file.
    if !unknown.is_empty() {
        let shown = unknown.escape_ascii();
        let message = format!(
            "`{shown}` on the FIFO is not obeyed; the letters are r, c, w, q, Q, p, l, s, +, - and digits"
        );
        log::warning(Said::Command, message).send();
    }
    slot
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_letter_that_is_written_at_once_counts_once() {
        let (meanings, mut got) = mpsc::unbounded_channel();
        assert_eq!(hand_on(b"rrr1p\nrs7x", 2, &meanings), Some(1));
        let all: Vec<_> = std::iter::from_fn(|| got.try_recv().ok()).collect();
        assert_eq!(all, [Meaning::Reload, Meaning::TogglePause, Meaning::LogStatus]);
    }

    #[test]
    fn every_letter_of_uwsgi_means_something_or_is_answered_by_name() {
        for letter in b"+-BcCEflLpPqQrRsSwW" {
            assert_ne!(Letter::of(*letter), Letter::Unknown, "{}", char::from(*letter));
        }
    }

    #[test]
    fn what_is_no_fifo_is_left_alone() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("fifo");
        std::fs::write(&path, "precious").unwrap();
        let process = Process { fifos: vec![path.clone()], ..Process::default() };
        assert!(Fifos::make(&process).unwrap_err().contains("no FIFO"));
        assert!(path.exists());
        std::fs::remove_file(&path).unwrap();
        let fifos = Fifos::make(&process).unwrap();
        let mode = std::os::unix::fs::PermissionsExt::mode(&path.metadata().unwrap().permissions());
        assert_eq!(mode & 0o777, 0o600);
        drop(fifos);
        assert!(!path.exists());
    }
}
