//! What the service manager is told (sd_notify(3)).

use std::io::{self, ErrorKind, IoSlice};
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use std::os::linux::net::SocketAddrExt as _;
use std::os::unix::net::{SocketAddr, UnixDatagram};
use std::time::Duration;

use nix::sys::socket::{ControlMessage, MsgFlags, sendmsg};
use sd_notify::NotifyState;

use crate::signals;

/// A supervisor that wants to be told.
#[derive(Debug)]
pub struct Supervisor {
    address: Option<SocketAddr>,
    /// WATCHDOG=1 is wanted this often; half of what systemd allows.
    pub watchdog: Option<Duration>,
}

impl Supervisor {
    /// The one that `NOTIFY_SOCKET` names, if one does.
    pub fn from_environment() -> Self {
        let variable = std::env::var_os("NOTIFY_SOCKET");
        let address = variable.and_then(|address| {
            let abstract_name = address.to_str().and_then(|text| text.strip_prefix('@'));
            match abstract_name {
                Some(name) => SocketAddr::from_abstract_name(name).ok(),
                None => SocketAddr::from_pathname(&address).ok(),
            }
        });
        Self { address, watchdog: sd_notify::watchdog_enabled().map(|time| time / 2) }
    }

    /// Whether there is one.
    pub fn is_there(&self) -> bool {
        self.address.is_some()
    }

    /// Tells it, without waiting: what is only information is lost when it does not keep up, and the
    /// rest is sent by a thread of its own.
    pub fn tell(&self, states: &[NotifyState<'_>]) {
        let Some(address) = self.address.clone() else { return };
        let text: Vec<String> = states.iter().map(ToString::to_string).collect();
        let text = text.join("\n");
        let Ok(socket) = UnixDatagram::unbound() else { return };
        let _ = socket.set_nonblocking(true);
        let sent = socket.send_to_addr(text.as_bytes(), &address);
        let dispensable =
            states.iter().all(|s| matches!(s, NotifyState::Status(_) | NotifyState::Watchdog));
        if sent.is_err_and(|error| error.kind() == ErrorKind::WouldBlock) && !dispensable {
            let _ = socket.set_nonblocking(false);
            std::thread::spawn(move || {
                signals::block_all();
                socket.send_to_addr(text.as_bytes(), &address)
            });
        }
    }

    /// The same for a text that there is no [`NotifyState`] for. It gets there, late if need be.
    pub fn say(&self, text: &str) {
        self.send(text, None);
    }

    /// The same, with a descriptor.
    pub fn pass(&self, text: &str, fd: BorrowedFd<'_>) {
        self.send(text, Some(fd));
    }

    fn send(&self, text: &str, fd: Option<BorrowedFd<'_>>) {
        let Some(address) = &self.address else { return };
        let socket = UnixDatagram::unbound().and_then(|socket| {
            socket.connect_addr(address)?;
            Ok(socket)
        });
        let Ok(socket) = socket else { return };
        let _ = socket.set_nonblocking(true);
        if !send_now(&socket, text, fd).is_err_and(|error| error.kind() == ErrorKind::WouldBlock) {
            return;
        }
        let (text, fd) = (text.to_owned(), fd.map(|fd| fd.try_clone_to_owned()));
        let Ok(fd): Result<Option<OwnedFd>, _> = fd.transpose() else { return };
        let _ = socket.set_nonblocking(false);
        std::thread::spawn(move || {
            signals::block_all();
            send_now(&socket, &text, fd.as_ref().map(AsFd::as_fd))
        });
    }

    /// A reload has begun: with the time that Type=notify-reload asks for.
    pub fn reloading(&self, status: &str) {
        if let Ok(now) = NotifyState::monotonic_usec_now() {
            self.tell(&[NotifyState::Reloading, now, NotifyState::Status(status)]);
        }
    }

    /// The phase that is going on takes its time: systemd should wait for this much longer.
    pub fn extend(&self, time: Duration) {
        let micros = u32::try_from(time.as_micros()).unwrap_or(u32::MAX);
        self.tell(&[NotifyState::ExtendTimeoutUsec(micros)]);
    }
}

fn send_now(socket: &UnixDatagram, text: &str, fd: Option<BorrowedFd<'_>>) -> io::Result<()> {
    let fds: Vec<_> = fd.iter().map(AsRawFd::as_raw_fd).collect();
    let rights = [ControlMessage::ScmRights(&fds)];
    let control: &[ControlMessage<'_>] = if fds.is_empty() { &[] } else { &rights };
    let parts = [IoSlice::new(text.as_bytes())];
    let flags = MsgFlags::MSG_NOSIGNAL;
    sendmsg::<()>(socket.as_raw_fd(), &parts, control, flags, None)?;
    Ok(())
}
