//! From a listener to a connection.

use std::io;
use std::net::{IpAddr, SocketAddr};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::sync::atomic::{AtomicU32, Ordering::Relaxed};
use std::time::Duration;

use nix::errno::Errno;
use nix::poll::{PollFd, PollFlags, PollTimeout};
use rwsgi_core::address::ListenAddr;
use rwsgi_core::config::{Listen, Protocol};
use rwsgi_core::sys;
use rwsgi_protocol::forwarded;
use serde::{Deserialize, Serialize};
use socket2::{Domain, SockRef, Socket, Type};

/// How long a worker does not accept after the system had no descriptor or memory left for it.
pub(crate) const RECOVERY: Duration = Duration::from_millis(100);

/// Looks at a listener after which a connection that waits is overdue.
pub(crate) const OVERDUE: u32 = 4;
/// The same where a worker more may be on its way, for whom it is better left.
const OVERDUE_WHILE_GROWING: u32 = 100;

/// A listener that the master has handed down.
#[derive(Debug)]
pub(crate) struct Listener {
    socket: Socket,
    /// Somebody else has it, too, for a next start.
    kept: bool,
    /// `SERVER_NAME`.
    pub(crate) server_name: String,
    /// `SERVER_PORT`.
    pub(crate) server_port: String,
    /// What is spoken.
    pub(crate) protocol: Protocol,
    /// Whether connections begin with a header of the PROXY protocol.
    pub(crate) proxy_protocol: bool,
    /// How often in succession a connection waited when this was looked at.
    waited: AtomicU32,
    /// How often it is, at least, when it is overdue.
    overdue: u32,
}

/// Where a client is.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub(crate) struct Peer {
    /// `REMOTE_ADDR`; empty on a UNIX socket.
    pub(crate) address: String,
    /// `REMOTE_PORT`; empty on a UNIX socket.
    pub(crate) port: String,
}

impl Peer {
    /// A client of TCP.
    pub(crate) fn at(address: SocketAddr) -> Self {
        Self { address: address.ip().to_canonical().to_string(), port: address.port().to_string() }
    }

    /// Where it is, for rules about whom to trust.
    pub(crate) fn kind(&self) -> forwarded::Peer {
        self.address.parse().map_or(forwarded::Peer::Unix, forwarded::Peer::Ip)
    }

    /// Whether it is on this machine.
    pub(crate) fn is_local(&self) -> bool {
        match self.kind() {
            forwarded::Peer::Ip(address) => address.is_loopback(),
            forwarded::Peer::Unix => true,
        }
    }
}

/// What came of an attempt to accept.
pub(crate) enum Accepted {
    Connection(OwnedFd, Peer),
    /// Another worker was faster, or the client has left already.
    Nobody,
    /// No descriptor or memory is left: try again after [`RECOVERY`].
    Exhausted(io::Error),
}

impl Listener {
    pub(crate) fn new(
        fd: OwnedFd,
        kept: bool,
        listen: &Listen,
        proxy_protocol: bool,
        grows: bool,
    ) -> Self {
        let socket = Socket::from(fd);
        let local = socket.local_addr().ok().and_then(|address| address.as_socket());
        let (server_name, server_port) = match (local, &listen.address) {
            (Some(address), _) if !address.ip().is_unspecified() => {
                // In brackets, as a URL has it (RFC 3875, section 4.1.14).
                let name = match address.ip() {
                    IpAddr::V4(address) => address.to_string(),
                    IpAddr::V6(address) => format!("[{address}]"),
                };
                (name, address.port().to_string())
            }
            (Some(address), _) => (host_name(), address.port().to_string()),
            // PEP 3333: neither may be empty.
            (None, ListenAddr::Unix(_) | ListenAddr::Abstract(_)) => {
                ("localhost".into(), "80".into())
            }
            (None, _) => (host_name(), "80".into()),
        };
        Self {
            socket,
            kept,
            server_name,
            server_port,
            protocol: listen.protocol,
            proxy_protocol,
            overdue: if grows { OVERDUE_WHILE_GROWING } else { OVERDUE },
            waited: AtomicU32::new(0),
        }
    }

    /// What a connection comes from that nobody outside has made: HTTP, where `like` listens.
    pub(crate) fn internal(like: Option<&Self>) -> io::Result<Self> {
        let name = |of: fn(&Self) -> &String, other: &str| {
            like.map_or_else(|| other.to_owned(), |listener| of(listener).clone())
        };
        Ok(Self {
            socket: Socket::new(Domain::UNIX, Type::STREAM, None)?,
            kept: true,
            server_name: name(|listener| &listener.server_name, "localhost"),
            server_port: name(|listener| &listener.server_port, "80"),
            protocol: Protocol::Http,
            proxy_protocol: false,
            overdue: OVERDUE,
            waited: AtomicU32::new(0),
        })
    }

    /// Whether the application knows both by the same name.
    pub(crate) fn has_name_of(&self, other: &Self) -> bool {
        (&self.server_name, &self.server_port) == (&other.server_name, &other.server_port)
    }

    /// Connections that wait to be accepted; of a UNIX socket, whether there is one.
    pub(crate) fn waiting(&self) -> u32 {
        sys::tcp_backlog(self.as_fd()).unwrap_or_else(|_| self.has_newcomer().into())
    }

    /// Whether anybody waits.
    pub(crate) fn has_newcomer(&self) -> bool {
        is_readable(self.socket.as_fd())
    }

    /// Whether anybody waited when it was looked at last.
    pub(crate) fn is_waited_at(&self) -> bool {
        self.waited.load(Relaxed) > 0
    }

    /// Whether a connection waits that an idle worker would have taken.
    pub(crate) fn is_overdue(&self) -> bool {
        is_overdue(self.socket.as_fd(), &self.waited, self.overdue)
    }

    /// Takes one connection, if there is one.
    pub(crate) fn accept(&self) -> Accepted {
        match sys::accept(self.socket.as_fd()) {
            Ok((socket, address)) => {
                let peer = address.as_socket().map_or_else(Peer::default, Peer::at);
                Accepted::Connection(socket, peer)
            }
            Err(error) => match Errno::from_raw(error.raw_os_error().unwrap_or(0)) {
                Errno::EMFILE | Errno::ENFILE | Errno::ENOBUFS | Errno::ENOMEM => {
                    Accepted::Exhausted(error)
                }
                _ => Accepted::Nobody,
            },
        }
    }

    /// Whether it ends with the instance, and so does everybody's wait there.
    pub(crate) fn is_ours_alone(&self) -> bool {
        !self.kept
    }

    /// Nobody listens any more, whoever has this socket.
    pub(crate) fn shut(&self) {
        let _ = self.socket.shutdown(std::net::Shutdown::Both);
    }

    /// Has this process listen no more; what others have is as before.
    pub(crate) fn let_go(&self) -> io::Result<()> {
        let nothing = Socket::new(Domain::UNIX, Type::DGRAM, None)?;
        sys::replace(self.socket.as_fd(), nothing.as_fd())
    }

    /// Whether the listener would not block.
    pub(crate) fn set_nonblocking(&self) -> io::Result<()> {
        SockRef::from(&self.socket).set_nonblocking(true)
    }
}

impl AsFd for Listener {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.socket.as_fd()
    }
}

/// Whether something waits at `fd`, and did the last `times` that this was asked. Twice is not enough, for
/// it can be one thing now and another one then.
pub(crate) fn is_overdue(fd: BorrowedFd<'_>, waited: &AtomicU32, times: u32) -> bool {
    let looks = if is_readable(fd) { waited.load(Relaxed).saturating_add(1) } else { 0 };
    waited.store(looks, Relaxed);
    looks >= times
}

fn host_name() -> String {
    nix::unistd::gethostname()
        .ok()
        .and_then(|name| name.into_string().ok())
        .filter(|name| !name.is_empty())
        .unwrap_or_else(|| "localhost".into())
}

fn is_readable(fd: BorrowedFd<'_>) -> bool {
    let mut poll = [PollFd::new(fd, PollFlags::POLLIN)];
    nix::poll::poll(&mut poll, PollTimeout::ZERO).is_ok_and(|ready| ready > 0)
}
