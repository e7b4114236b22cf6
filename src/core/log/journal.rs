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

use super::access::{Access, Header, number};
use super::batch::{Form, Piece};
use super::{Entry, Level, Speaker};
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

    /// The one that listens at `path`, now or later.
    pub(super) fn to(path: &Path) -> io::Result<Self> {
        let socket = UnixDatagram::unbound()?;
        // To look the path up again for each entry costs more than all the rest of sending it.
        let _ = socket.connect(path);
        // A burst of entries must fit; journald raises its side as well.
        let _ = socket2::SockRef::from(&socket).set_send_buffer_size(8 << 20);
        Ok(Self { socket, path: path.into(), buffer: Vec::with_capacity(1024) })
    }

    /// Sends one entry; waits while journald is busy.
    pub(super) fn write(&mut self, piece: &Piece<'_>, speaker: &Speaker) -> io::Result<()> {
        self.buffer.clear();
        match piece {
            Piece::Entry(entry) => encode(&mut self.buffer, entry, speaker),
            Piece::Access { bytes, form: Form::Ready, .. } => {
                self.buffer.extend_from_slice(bytes);
            }
            Piece::Access { bytes, level, .. } => {
                let message = String::from_utf8_lossy(bytes);
                encode(
                    &mut self.buffer,
                    &Entry::new(*level, super::Event::Access, message),
                    speaker,
                );
            }
        }
        match self.send() {
            Err(error)
                if [Errno::EMSGSIZE as i32, Errno::ENOBUFS as i32]
                    .contains(&error.raw_os_error().unwrap_or(0)) =>
            {
                self.send_as_file()
            }
            other => other.map(drop),
        }
    }

    fn send(&self) -> io::Result<usize> {
        match self.socket.send(&self.buffer) {
            Err(error) if is_gone(&error) => {
                self.socket.connect(&self.path)?;
                self.socket.send(&self.buffer)
            }
            sent => sent,
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

/// Whether nobody listens any more where we are connected to; somebody else may, at the same path.
fn is_gone(error: &io::Error) -> bool {
    [Errno::ENOTCONN, Errno::ECONNREFUSED, Errno::ECONNRESET]
        .iter()
        .any(|gone| error.raw_os_error() == Some(*gone as i32))
}

fn encode(out: &mut Vec<u8>, entry: &Entry, speaker: &Speaker) {
    if !entry.has("SYSLOG_IDENTIFIER") {
        field(out, "SYSLOG_IDENTIFIER", b"rwsgi");
    }
    speaks(out, speaker);
    head(out, entry.level, entry.event);
    field(out, "MESSAGE", entry.message.trim_end_matches('\n').as_bytes());
    for (name, value) in &entry.fields {
        field(out, name, value.as_bytes());
    }
}

/// Appends the entry of a request, whose message `line` appends.
pub(super) fn encode_access(
    out: &mut Vec<u8>,
    access: &Access<'_>,
    speaker: &Speaker,
    line: impl FnOnce(&mut Vec<u8>),
) {
    field(out, "SYSLOG_IDENTIFIER", b"rwsgi");
    speaks(out, speaker);
    head(out, access.level(), super::Event::Access);
    // It is one line: what a client sent is escaped.
    out.extend_from_slice(b"MESSAGE=");
    line(out);
    out.push(b'\n');
    out.extend_from_slice(b"REQUEST_ID=");
    access.request.request_id(out);
    out.push(b'\n');
    let path = access.target.split(|&byte| byte == b'?').next().unwrap_or_default();
    let header = |header| access.request.header(header);
    text_field(out, "REQUEST_METHOD", Some(access.method.as_bytes()));
    text_field(out, "REQUEST_PATH", Some(path));
    text_field(out, "REQUEST_PROTOCOL", Some(access.protocol.as_bytes()));
    text_field(out, "REMOTE_ADDR", Some(access.client.as_bytes()));
    text_field(out, "HTTP_HOST", header(Header::Host).as_deref());
    text_field(out, "HTTP_REFERER", header(Header::Referer).as_deref());
    text_field(out, "HTTP_USER_AGENT", header(Header::UserAgent).as_deref());
    number_field(out, "HTTP_STATUS", access.status.into());
    number_field(out, "RESPONSE_BYTES", access.bytes);
    number_field(out, "DURATION_USEC", access.micros);
}

fn speaks(out: &mut Vec<u8>, speaker: &Speaker) {
    field(out, "RWSGI_APP", speaker.instance.as_bytes());
    if let Some(worker) = speaker.worker {
        number_field(out, "RWSGI_WORKER", worker.into());
    }
}

fn head(out: &mut Vec<u8>, level: Level, event: super::Event) {
    number_field(out, "PRIORITY", level as u64);
    field(out, "RWSGI_EVENT", event.name().as_bytes());
    field(out, "MESSAGE_ID", event.message_id().as_bytes());
}

/// What is no text would be shown as nothing but its length, and what is empty says nothing.
fn text_field(out: &mut Vec<u8>, name: &str, value: Option<&[u8]>) {
    if let Some(value) = value.filter(|value| !value.is_empty()) {
        field(out, name, String::from_utf8_lossy(value).as_bytes());
    }
}

fn number_field(out: &mut Vec<u8>, name: &str, value: u64) {
    out.extend_from_slice(name.as_bytes());
    out.push(b'=');
    number(out, value);
    out.push(b'\n');
}

fn field(out: &mut Vec<u8>, name: &str, value: &[u8]) {
    out.extend_from_slice(name.as_bytes());
    if value.contains(&b'\n') {
        out.push(b'\n');
        out.extend_from_slice(&(value.len() as u64).to_le_bytes());
    } else {
        out.push(b'=');
    }
    out.extend_from_slice(value);
    out.push(b'\n');
}

#[cfg(test)]
mod tests {
    use super::super::{Entry, Event};
    use super::*;

    #[test]
    fn who_listens_later_or_instead_of_another_gets_the_entry() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("socket");
        let speaker = Speaker { instance: "shop".into(), worker: None };
        let entry = Entry::new(Level::Info, Event::Ready, "here");
        let mut journal = Journal::to(&path).unwrap();
        assert!(journal.write(&Piece::Entry(&entry), &speaker).is_err());
        for _ in 0..2 {
            let listener = UnixDatagram::bind(&path).unwrap();
            for _ in 0..2 {
                journal.write(&Piece::Entry(&entry), &speaker).unwrap();
                let mut bytes = [0; 1024];
                let count = listener.recv(&mut bytes).unwrap();
                assert!(String::from_utf8_lossy(&bytes[..count]).contains("MESSAGE=here\n"));
            }
            drop(listener);
            assert!(journal.write(&Piece::Entry(&entry), &speaker).is_err());
            std::fs::remove_file(&path).unwrap();
        }
    }

    #[test]
    fn a_value_with_lines_is_framed_by_its_length() {
        let entry = Entry::new(Level::Error, Event::Traceback, "a\nb").field("CODE_LINE", "7");
        let mut out = Vec::new();
        let speaker = Speaker { instance: "shop".into(), worker: Some(1) };
        encode(&mut out, &entry, &speaker);
        let text = String::from_utf8_lossy(&out);
        assert!(text.starts_with("SYSLOG_IDENTIFIER=rwsgi\nRWSGI_APP=shop\nRWSGI_WORKER=1\n"));
        assert!(text.contains("PRIORITY=3\nRWSGI_EVENT=traceback\nMESSAGE_ID="));
        assert!(text.contains("MESSAGE\n\u{3}\0\0\0\0\0\0\0a\nb\nCODE_LINE=7\n"), "{text}");
    }
}
