//! systemd-journald's native protocol (systemd's docs/JOURNAL_NATIVE_PROTOCOL.md).

use std::fs::File;
use std::io::{self, IoSlice, Write as _};
use std::os::fd::{AsFd, AsRawFd};
use std::os::unix::net::UnixDatagram;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use nix::errno::Errno;
use nix::fcntl::{FcntlArg, SealFlag, fcntl};
use nix::poll::{PollTimeout, poll};
use nix::sys::memfd::{MFdFlags, memfd_create};
use nix::sys::socket::{ControlMessage, MsgFlags, UnixAddr, sendmsg};

use super::{Item, Level, Speaker};
use crate::sys;

const SOCKET: &str = "/run/systemd/journal/socket";

/// Whether stderr of this process is connected to the journal: `JOURNAL_STREAM` names the same
/// file as descriptor 2 (systemd.exec(5)).
pub(super) fn is_stderr() -> bool {
    let Some(stream) = std::env::var_os("JOURNAL_STREAM") else { return false };
    let Ok(stderr) = nix::sys::stat::fstat(io::stderr()) else { return false };
    stream.to_str() == Some(&format!("{}:{}", stderr.st_dev, stderr.st_ino))
        && Path::new(SOCKET).exists()
}

/// How long the end of a process waits for journald.
const PATIENCE: Duration = Duration::from_secs(2);
/// How long journald may take, after it has read an entry, to look who sent it, in milliseconds.
const LOOK: u16 = 20;

/// The socket of this process, for who waits until all is read.
static SOCKET_IN_USE: Mutex<Option<UnixDatagram>> = Mutex::new(None);

/// Waits until journald has read all that this process has sent. It looks up the unit of an entry by
/// the process that sent it: of one that is gone already, `journalctl -u` would not show the last
/// words.
pub(super) fn settle() {
    let socket = SOCKET_IN_USE.lock().unwrap_or_else(PoisonError::into_inner);
    let Some(socket) = &*socket else { return };
    let wait = |millis: u16| {
        let _ = poll(&mut [], PollTimeout::from(millis));
    };
    let end = Instant::now() + PATIENCE;
    // A datagram counts as unsent for as long as it lies in journald's queue.
    while sys::unsent(socket.as_fd()).is_ok_and(|unsent| unsent > 0) && Instant::now() < end {
        wait(1);
    }
    wait(LOOK);
}

/// A socket to journald.
#[derive(Debug)]
pub(super) struct Journal {
    socket: UnixDatagram,
    path: PathBuf,
    buffer: Vec<u8>,
}

impl Journal {
    pub(super) fn open() -> io::Result<Self> {
        let journal = Self::to(Path::new(SOCKET))?;
        let socket = journal.socket.try_clone()?;
        *SOCKET_IN_USE.lock().unwrap_or_else(PoisonError::into_inner) = Some(socket);
        Ok(journal)
    }

    /// The one that listens at `path`.
    pub(super) fn to(path: &Path) -> io::Result<Self> {
        let socket = UnixDatagram::unbound()?;
        // A burst of entries must fit; journald raises its side as well.
        let _ = socket2::SockRef::from(&socket).set_send_buffer_size(8 << 20);
        Ok(Self { socket, path: path.into(), buffer: Vec::with_capacity(1024) })
    }

    /// Sends one entry; waits while journald is busy.
    pub(super) fn write(&mut self, item: &Item, speaker: &Speaker) -> io::Result<()> {
        self.buffer.clear();
        encode(&mut self.buffer, item, speaker);
        match self.socket.send_to(&self.buffer, &self.path) {
            Err(error)
                if [Errno::EMSGSIZE as i32, Errno::ENOBUFS as i32]
                    .contains(&error.raw_os_error().unwrap_or(0)) =>
            {
                self.send_as_file()
            }
            other => other.map(drop),
        }
    }

    /// An entry that is too large for a datagram goes as a sealed memory file.
    fn send_as_file(&self) -> io::Result<()> {
        let flags = MFdFlags::MFD_ALLOW_SEALING | MFdFlags::MFD_CLOEXEC;
        let mut file = File::from(memfd_create(c"rwsgi-journal-entry", flags)?);
        file.write_all(&self.buffer)?;
        fcntl(file.as_fd(), FcntlArg::F_ADD_SEALS(SealFlag::all()))?;
        let fds = [file.as_raw_fd()];
        let address = UnixAddr::new(&self.path)?;
        sendmsg(
            self.socket.as_raw_fd(),
            &[IoSlice::new(&[])],
            &[ControlMessage::ScmRights(&fds)],
            MsgFlags::MSG_NOSIGNAL,
            Some(&address),
        )?;
        Ok(())
    }
}

fn encode(out: &mut Vec<u8>, item: &Item, speaker: &Speaker) {
    if !matches!(item, Item::Entry(entry) if entry.has("SYSLOG_IDENTIFIER")) {
        field(out, "SYSLOG_IDENTIFIER", "rwsgi");
    }
    field(out, "RWSGI_APP", &speaker.instance);
    if let Some(worker) = speaker.worker {
        field(out, "RWSGI_WORKER", &worker.to_string());
    }
    match item {
        Item::Entry(entry) => {
            head(out, entry.level, entry.event);
            field(out, "MESSAGE", entry.message.trim_end_matches('\n'));
            for (name, value) in &entry.fields {
                field(out, name, value);
            }
        }
        Item::Access(access) => {
            let level = if access.status >= 500 { Level::Warning } else { Level::Info };
            head(out, level, super::Event::Access);
            field(out, "MESSAGE", &access.line());
            field(out, "REQUEST_METHOD", &access.method);
            field(out, "REQUEST_PATH", access.target.split('?').next().unwrap_or(""));
            field(out, "REQUEST_PROTOCOL", access.protocol);
            field(out, "HTTP_STATUS", &access.status.to_string());
            field(out, "RESPONSE_BYTES", &access.bytes.to_string());
            field(out, "DURATION_USEC", &access.micros.to_string());
            for (name, value) in [
                ("REMOTE_ADDR", &access.client),
                ("HTTP_HOST", &access.host),
                ("HTTP_REFERER", &access.referer),
                ("HTTP_USER_AGENT", &access.user_agent),
            ] {
                if !value.is_empty() {
                    field(out, name, value);
                }
            }
        }
    }
}

fn head(out: &mut Vec<u8>, level: Level, event: super::Event) {
    field(out, "PRIORITY", &(level as u8).to_string());
    field(out, "RWSGI_EVENT", event.name());
    field(out, "MESSAGE_ID", event.message_id());
}

fn field(out: &mut Vec<u8>, name: &str, value: &str) {
    out.extend_from_slice(name.as_bytes());
    if value.contains('\n') {
        out.push(b'\n');
        out.extend_from_slice(&(value.len() as u64).to_le_bytes());
    } else {
        out.push(b'=');
    }
    out.extend_from_slice(value.as_bytes());
    out.push(b'\n');
}

#[cfg(test)]
mod tests {
    use super::super::{Entry, Event};
    use super::*;

    #[test]
    fn a_value_with_lines_is_framed_by_its_length() {
        let entry = Entry::new(Level::Error, Event::Traceback, "a\nb").field("CODE_LINE", "7");
        let mut out = Vec::new();
        let speaker = Speaker { instance: "shop".into(), worker: Some(1) };
        encode(&mut out, &Item::Entry(entry), &speaker);
        let text = String::from_utf8_lossy(&out);
        assert!(text.starts_with("SYSLOG_IDENTIFIER=rwsgi\nRWSGI_APP=shop\nRWSGI_WORKER=1\n"));
        assert!(text.contains("PRIORITY=3\nRWSGI_EVENT=traceback\nMESSAGE_ID="));
        assert!(text.contains("MESSAGE\n\u{3}\0\0\0\0\0\0\0a\nb\nCODE_LINE=7\n"), "{text}");
    }
}
