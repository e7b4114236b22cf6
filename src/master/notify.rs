//! What the service manager is told (sd_notify(3)).

use std::ffi::OsStr;
use std::io::{self, ErrorKind, IoSlice};
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use std::os::unix::net::{SocketAddr, UnixDatagram};
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::time::Duration;

use nix::sys::socket::{ControlMessage, MsgFlags, sendmsg};
use rwsgi_core::exit::ExitCode;
use rwsgi_core::ipc::Failure;
use rwsgi_core::log::{self, Event};
use sd_notify::NotifyState;

use crate::notify_socket::{NotifySocket, Vsock};
use crate::signals;

const VARIABLE: &str = "NOTIFY_SOCKET";
/// How long the last message may take: longer than the kernel tries to reach another machine.
const FAREWELL: Duration = Duration::from_secs(3);

/// A supervisor that wants to be told.
#[derive(Debug, Default)]
pub struct Supervisor {
    /// Its socket on this machine.
    address: Option<SocketAddr>,
    /// The way to one of another machine.
    courier: Option<Courier>,
    /// WATCHDOG=1 has to come within this time, again and again.
    pub watchdog: Option<Duration>,
    /// It was said that it cannot be told.
    complained: AtomicBool,
}

impl Supervisor {
    /// The one that `NOTIFY_SOCKET` names, if one does. What cannot be understood is logged, and is
    /// no reason not to serve.
    pub fn from_environment() -> Self {
        let value = std::env::var_os(VARIABLE).filter(|value| !value.is_empty());
        let mut supervisor = Self::default();
        let Some(value) = value else { return supervisor };
        match NotifySocket::parse(&value) {
            Ok(NotifySocket::Unix(address)) => supervisor.address = Some(address),
            Ok(NotifySocket::Vsock(vsock)) => supervisor.courier = Courier::new(vsock).ok(),
            Err(why) => complain(&value, &why),
        }
        if supervisor.is_there() {
            supervisor.watchdog = sd_notify::watchdog_enabled().filter(|time| !time.is_zero());
        }
        supervisor
    }

    /// Whether there is one.
    pub fn is_there(&self) -> bool {
        self.address.is_some() || self.courier.is_some()
    }

    /// Tells it, without waiting: what is only information is lost when it does not keep up, and the
    /// rest is sent by a thread of its own.
    pub fn tell(&self, states: &[NotifyState<'_>]) {
        let text = text(states);
        if let Some(courier) = &self.courier {
            return courier.send(text);
        }
        let Some(address) = self.address.clone() else { return };
        let Ok(socket) = UnixDatagram::unbound() else { return };
        let _ = socket.set_nonblocking(true);
        let Err(error) = socket.send_to_addr(text.as_bytes(), &address) else { return };
        if error.kind() != ErrorKind::WouldBlock {
            return self.complain(&error);
        }
        let dispensable =
            states.iter().all(|s| matches!(s, NotifyState::Status(_) | NotifyState::Watchdog));
        if !dispensable {
            let _ = socket.set_nonblocking(false);
            std::thread::spawn(move || {
                signals::block_all();
                socket.send_to_addr(text.as_bytes(), &address)
            });
        }
    }

    /// Tells it why there is nothing to serve, and with which code this process ends.
    pub fn refused(&mut self, failure: &Failure, code: ExitCode) {
        let summary = failure.summary.lines().next().unwrap_or_default();
        // For a manager of virtual machines, which does not see the process end.
        let exit = format!("EXIT_STATUS={}", code as u8);
        let mut states = vec![NotifyState::Status(summary), NotifyState::Custom(&exit)];
        let errno = failure.errno.and_then(|errno| u32::try_from(errno).ok());
        states.extend(errno.map(NotifyState::Errno));
        self.tell_last(&states);
    }

    /// Tells it the last that there is to be told, and waits until that has left, or [`FAREWELL`] is over.
    fn tell_last(&mut self, states: &[NotifyState<'_>]) {
        let text = text(states);
        if let Some(courier) = self.courier.take() {
            courier.send(text);
            return courier.finish();
        }
        let Some(address) = &self.address else { return };
        let sent = UnixDatagram::unbound().and_then(|socket| {
            socket.set_write_timeout(Some(FAREWELL))?;
            socket.send_to_addr(text.as_bytes(), address)
        });
        if let Err(error) = sent {
            self.complain(&error);
        }
    }

    fn complain(&self, error: &io::Error) {
        if !self.complained.swap(true, Relaxed) {
            let value = std::env::var_os(VARIABLE).unwrap_or_default();
            complain(&value, &error.to_string());
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
        if let Some(courier) = &self.courier {
            // Descriptors do not travel to other machines.
            return courier.send(text.to_owned());
        }
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

fn text(states: &[NotifyState<'_>]) -> String {
    let lines: Vec<String> = states.iter().map(ToString::to_string).collect();
    lines.join("\n")
}

fn complain(value: &OsStr, why: &str) {
    let mut shown = String::new();
    log::escape_into(&mut shown, &value.to_string_lossy());
    let message = format!("{VARIABLE}={shown} cannot be used: {why}; nobody is told of the state");
    log::warning(Event::SystemError, message).send();
}

/// Carries messages to another machine, which may take its time: a thread, and their order is kept.
#[derive(Debug)]
struct Courier {
    messages: Sender<String>,
    gone: Receiver<()>,
}

impl Courier {
    fn new(vsock: Vsock) -> io::Result<Self> {
        let (messages, waiting) = channel::<String>();
        let (leaves, gone) = channel::<()>();
        let builder = std::thread::Builder::new().name("rwsgi-notify".into());
        builder.stack_size(256 * 1024).spawn(move || {
            signals::block_all();
            let mut complained = false;
            for message in waiting {
                if let Err(error) = vsock.send(message.as_bytes())
                    && !std::mem::replace(&mut complained, true)
                {
                    let value = std::env::var_os(VARIABLE).unwrap_or_default();
                    complain(&value, &error.to_string());
                }
            }
            drop(leaves);
        })?;
        Ok(Self { messages, gone })
    }

    fn send(&self, message: String) {
        let _ = self.messages.send(message);
    }

    fn finish(self) {
        drop(self.messages);
        let _ = self.gone.recv_timeout(FAREWELL);
    }
}
