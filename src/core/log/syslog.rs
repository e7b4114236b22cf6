//! Syslog daemons: RFC 3164 and RFC 5424 over UNIX sockets, UDP (RFC 5426) and TCP (RFC 6587).

use std::io::{self, Write as _};
use std::net::{TcpStream, ToSocketAddrs as _, UdpSocket};
use std::os::unix::net::UnixDatagram;
use std::path::Path;
use std::time::Duration;

use super::access::number;
use super::{Entry, Level, Speaker, clock};
use crate::config::logging::{Standard, SyslogTarget, Transport};

/// How long a daemon at the other end of a TCP connection may take. Only the log's own thread waits.
const PATIENCE: Duration = Duration::from_secs(2);
/// A datagram that daemons take: RFC 5426, section 3.2, recommends 2048, and all take more.
const DATAGRAM: usize = 8192;

/// A socket to who keeps lines for us.
#[derive(Debug)]
pub(super) enum Wire {
    Unix(UnixDatagram),
    Udp(UdpSocket),
    Tcp(TcpStream),
}

impl Wire {
    /// Opens it, unless that may take long.
    ///
    /// # Errors
    /// Nobody is there.
    pub(super) fn open_at_once(transport: &Transport) -> io::Result<Option<Self>> {
        match transport {
            Transport::Local | Transport::Unix(_) => Self::open(transport).map(Some),
            Transport::Udp(_) | Transport::Tcp(_) => Ok(None),
        }
    }

    /// # Errors
    /// Nobody is there, or the name has no address.
    pub(super) fn open(transport: &Transport) -> io::Result<Self> {
        match transport {
            Transport::Local => unix(Path::new("/dev/log")),
            Transport::Unix(path) => unix(path),
            Transport::Udp(to) => {
                let to = resolve(to)?;
                let any = if to.is_ipv4() { "0.0.0.0:0" } else { "[::]:0" };
                let socket = UdpSocket::bind(any)?;
                socket.connect(to)?;
                Ok(Self::Udp(socket))
            }
            Transport::Tcp(to) => {
                let stream = TcpStream::connect_timeout(&resolve(to)?, PATIENCE)?;
                stream.set_write_timeout(Some(PATIENCE))?;
                Ok(Self::Tcp(stream))
            }
        }
    }

    /// Sends one message by `wire`, which is opened where it is not open, or nobody is there any more.
    ///
    /// # Errors
    /// Those of [`Wire::open`] and send(2).
    pub(super) fn deliver(
        wire: &mut Option<Self>,
        transport: &Transport,
        message: &[u8],
    ) -> io::Result<()> {
        if wire.as_mut().is_some_and(|wire| wire.send(message).is_ok()) {
            return Ok(());
        }
        // One that fails again stays, to be tried first.
        wire.insert(Self::open(transport)?).send(message)
    }

    fn send(&mut self, message: &[u8]) -> io::Result<()> {
        let short = || message.get(..DATAGRAM).unwrap_or(message);
        match self {
            Self::Unix(socket) => socket.send(message).map(drop),
            Self::Udp(socket) => match socket.send(short()) {
                // That is about the datagram before this one: nobody was there. Perhaps now.
                Err(error) if error.kind() == io::ErrorKind::ConnectionRefused => {
                    socket.send(short()).map(drop)
                }
                other => other.map(drop),
            },
            Self::Tcp(stream) => {
                let mut frame = Vec::with_capacity(message.len() + 8);
                number(&mut frame, message.len() as u64);
                frame.push(b' ');
                frame.extend_from_slice(message);
                stream.write_all(&frame)
            }
        }
    }
}

fn unix(path: &Path) -> io::Result<Wire> {
    let socket = UnixDatagram::unbound()?;
    socket.connect(path)?;
    socket.set_write_timeout(Some(PATIENCE))?;
    Ok(Wire::Unix(socket))
}

fn resolve(to: &str) -> io::Result<std::net::SocketAddr> {
    let nothing = || io::Error::new(io::ErrorKind::NotFound, format!("{to} has no address"));
    to.to_socket_addrs()?.next().ok_or_else(nothing)
}

/// The sink of `syslog` and its relatives.
#[derive(Debug)]
pub(super) struct Syslog {
    target: SyslogTarget,
    tag: String,
    host: String,
    /// `None`: it is opened for the first entry, by the log's own thread.
    wire: Option<Wire>,
    message: Vec<u8>,
}

impl Syslog {
    /// # Errors
    /// Those of [`Wire::open_at_once`].
    pub(super) fn open(target: &SyslogTarget, speaker: &Speaker) -> io::Result<Self> {
        let tag = target.tag.clone().unwrap_or_else(|| format!("rwsgi@{}", speaker.instance));
        let host = nix::unistd::gethostname().unwrap_or_default().to_string_lossy().into_owned();
        let wire = Wire::open_at_once(&target.transport)?;
        Ok(Self { target: target.clone(), tag, host, wire, message: Vec::new() })
    }

    /// Whether it is the daemon of this machine, which is journald where that is.
    pub(super) fn is_local(&self) -> bool {
        self.target.transport == Transport::Local
    }

    /// Sends one entry. A daemon that was started anew is found again.
    ///
    /// # Errors
    /// There is none, or it does not take the entry.
    pub(super) fn write(&mut self, said: Said<'_>, speaker: &Speaker) -> io::Result<()> {
        match self.target.standard {
            Standard::Rfc5424 => {
                self.frame_new(&said, speaker);
                self.deliver()
            }
            // RFC 3164 knows no line breaks; one message for each line, as rsyslog would make of it.
            Standard::Rfc3164 => said.text.split(|&byte| byte == b'\n').try_for_each(|line| {
                self.frame_old(&Said { text: line, ..said }, speaker);
                self.deliver()
            }),
        }
    }

    fn deliver(&mut self) -> io::Result<()> {
        Wire::deliver(&mut self.wire, &self.target.transport, &self.message)
    }

    fn priority(&mut self, level: Level) {
        self.message.clear();
        self.message.push(b'<');
        number(&mut self.message, u64::from(self.target.facility) | level as u64);
        self.message.push(b'>');
    }

    fn frame_old(&mut self, said: &Said<'_>, speaker: &Speaker) {
        self.priority(said.level);
        clock::append(&mut self.message, "%b %e %H:%M:%S", clock::now() / 1_000_000);
        self.message.push(b' ');
        if !matches!(self.target.transport, Transport::Local | Transport::Unix(_)) {
            self.message.extend_from_slice(self.host.as_bytes());
            self.message.push(b' ');
        }
        self.message.extend_from_slice(self.tag.as_bytes());
        self.message.push(b'[');
        number(&mut self.message, std::process::id().into());
        self.message.extend_from_slice(b"]: ");
        if let Some(worker) = speaker.worker {
            self.message.extend_from_slice(format!("worker {worker}: ").as_bytes());
        }
        self.message.extend_from_slice(said.text);
    }

    fn frame_new(&mut self, said: &Said<'_>, speaker: &Speaker) {
        self.priority(said.level);
        let now = clock::now();
        let out = &mut self.message;
        out.extend_from_slice(b"1 ");
        clock::append(out, "%Y-%m-%dT%H:%M:%S.", now / 1_000_000);
        out.extend_from_slice(format!("{:06}", now % 1_000_000).as_bytes());
        clock::append(out, "%:z", now / 1_000_000);
        let host = if self.host.is_empty() { "-" } else { &self.host };
        let _ = write!(out, " {host} {} {} {} ", self.tag, std::process::id(), said.event);
        // The number is the one that RFC 5612 sets aside.
        let _ = write!(out, "[rwsgi@32473 instance=\"{}\"", parameter(&speaker.instance));
        if let Some(worker) = speaker.worker {
            let _ = write!(out, " worker=\"{worker}\"");
        }
        for (name, value) in said.entry.iter().flat_map(|entry| &entry.fields) {
            let _ = write!(out, " {}=\"{}\"", name.to_ascii_lowercase(), parameter(value));
        }
        out.extend_from_slice(b"] ");
        out.extend_from_slice(said.text);
    }
}

/// What is to be sent.
#[derive(Debug, Clone, Copy)]
pub(super) struct Said<'a> {
    pub level: Level,
    /// The name of its event: MSGID.
    pub event: &'a str,
    pub text: &'a [u8],
    /// It, where it has fields.
    pub entry: Option<&'a Entry>,
}

/// RFC 5424, section 6.3.3.
fn parameter(value: &str) -> String {
    let mut out = String::with_capacity(value.len());
    for character in value.chars() {
        if matches!(character, '"' | '\\' | ']') {
            out.push('\\');
        }
        out.push(if character.is_control() { ' ' } else { character });
    }
    out
}

#[cfg(test)]
mod tests {
    use super::super::Event;
    use super::*;

    fn speaker() -> Speaker {
        Speaker { instance: "shop".into(), worker: Some(2) }
    }

    fn received(target: &SyslogTarget, socket: &UnixDatagram, entry: &Entry) -> String {
        let mut syslog = Syslog::open(target, &speaker()).unwrap();
        let text = entry.message.as_bytes();
        let said = Said { level: entry.level, event: entry.event.name(), text, entry: Some(entry) };
        syslog.write(said, &speaker()).unwrap();
        let mut bytes = [0; 4096];
        let length = socket.recv(&mut bytes).unwrap();
        String::from_utf8_lossy(&bytes[..length]).into_owned()
    }

    #[test]
    fn both_standards_have_their_form() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("log");
        let socket = UnixDatagram::bind(&path).unwrap();
        let transport = Transport::Unix(path);
        let old = SyslogTarget { transport, facility: 16 << 3, ..SyslogTarget::default() };
        let entry = Entry::new(Level::Error, Event::Ready, "a]b").field("RWSGI_LOST", "\"]\\");
        let text = received(&old, &socket, &entry);
        let pid = std::process::id();
        assert!(text.starts_with("<131>"), "{text}");
        assert!(text.ends_with(&format!(" rwsgi@shop[{pid}]: worker 2: a]b")), "{text}");
        let new = SyslogTarget { standard: Standard::Rfc5424, tag: Some("shop".into()), ..old };
        let text = received(&new, &socket, &entry);
        assert!(text.starts_with("<131>1 2"), "{text}");
        let rest = format!(
            " shop {pid} ready [rwsgi@32473 instance=\"shop\" worker=\"2\" rwsgi_lost=\"\\\"\\]\\\\\"] a]b"
        );
        assert!(text.ends_with(&rest), "{text}");
    }

    #[test]
    fn a_message_over_tcp_follows_its_length() {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let to = listener.local_addr().unwrap().to_string();
        let target = SyslogTarget {
            transport: Transport::Tcp(to),
            standard: Standard::Rfc5424,
            ..SyslogTarget::default()
        };
        let mut syslog = Syslog::open(&target, &speaker()).unwrap();
        let said = Said { level: Level::Info, event: "access", text: b"two\nlines", entry: None };
        syslog.write(said, &speaker()).unwrap();
        drop(syslog);
        let mut stream = listener.accept().unwrap().0;
        let mut text = String::new();
        io::Read::read_to_string(&mut stream, &mut text).unwrap();
        let (length, message) = text.split_once(' ').unwrap();
        assert_eq!(length.parse(), Ok(message.len()));
        assert!(message.ends_with("] two\nlines"), "{text}");
    }

    #[test]
    fn a_daemon_that_is_started_anew_is_found_again() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("log");
        let first = UnixDatagram::bind(&path).unwrap();
        let transport = Transport::Unix(path.clone());
        let target = SyslogTarget { transport, ..SyslogTarget::default() };
        let mut syslog = Syslog::open(&target, &speaker()).unwrap();
        let said = Said { level: Level::Info, event: "access", text: b"one", entry: None };
        syslog.write(said, &speaker()).unwrap();
        drop(first);
        assert!(syslog.write(said, &speaker()).is_err());
        std::fs::remove_file(&path).unwrap();
        let second = UnixDatagram::bind(&path).unwrap();
        syslog.write(said, &speaker()).unwrap();
        assert!(second.recv(&mut [0; 99]).unwrap() > 0);
    }
}
