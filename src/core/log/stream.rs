//! Lines into a descriptor that is not ours alone: stderr, or a log file.

use std::fs::File;
use std::io::{self, Write};
use std::os::fd::{AsFd, OwnedFd};
use std::sync::{Arc, OnceLock};

use nix::poll::{PollFd, PollFlags, PollTimeout, poll};

/// How long a non-blocking descriptor may take nothing in before what is written is lost.
const PATIENCE: u16 = 1000;

/// The stderr that the instance was started with, in processes whose own is a pipe to the master.
static STDERR: OnceLock<OwnedFd> = OnceLock::new();

/// From now on the log means this when it says stderr.
pub fn use_as_stderr(stream: OwnedFd) {
    let _ = STDERR.set(stream);
}

/// The stderr that the log means, for who wants to write there, too; `None` where it is this
/// process's own.
pub fn stderr() -> Option<&'static OwnedFd> {
    STDERR.get()
}

/// Where lines go.
#[derive(Debug, Clone)]
pub(super) enum Stream {
    /// This process's own stderr.
    Stderr,
    /// Another descriptor.
    File(Arc<File>),
}

impl Stream {
    /// What the log means by stderr.
    pub(super) fn stderr() -> Self {
        let other = STDERR.get().and_then(|stream| stream.try_clone().ok());
        other.map_or(Self::Stderr, |stream| Self::File(Arc::new(stream.into())))
    }

    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        match self {
            Self::Stderr => io::stderr().lock().write(bytes),
            Self::File(file) => (&**file).write(bytes),
        }
    }

    /// Somebody else may have made the descriptor non-blocking.
    fn wait(&self) -> io::Result<()> {
        let stderr = io::stderr();
        let fd = match self {
            Self::Stderr => stderr.as_fd(),
            Self::File(file) => file.as_fd(),
        };
        match poll(&mut [PollFd::new(fd, PollFlags::POLLOUT)], PollTimeout::from(PATIENCE)) {
            Ok(0) => Err(io::Error::new(io::ErrorKind::WouldBlock, "nobody reads it")),
            Ok(_) => Ok(()),
            Err(error) => Err(error.into()),
        }
    }

    /// Writes all, and tells beside an error how much was written before it.
    pub(super) fn write_all(&mut self, bytes: &[u8]) -> Result<(), (usize, io::Error)> {
        let mut done = 0;
        while done < bytes.len() {
            match self.write(&bytes[done..]) {
                Ok(0) => return Err((done, io::ErrorKind::WriteZero.into())),
                Ok(length) => done += length,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                    self.wait().map_err(|error| (done, error))?;
                }
                Err(error) => return Err((done, error)),
            }
        }
        Ok(())
    }
}
