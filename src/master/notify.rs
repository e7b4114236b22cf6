//! What the service manager is told (sd_notify(3)).

use std::io::ErrorKind;
use std::os::fd::BorrowedFd;
use std::os::linux::net::SocketAddrExt as _;
use std::os::unix::net::{SocketAddr, UnixDatagram};
use std::time::Duration;

use sd_notify::NotifyState;

use crate::listeners::STORED;
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

    /// Has systemd keep these listeners for the next start, and no others of ours: so a restart
    /// refuses nobody. Needs FileDescriptorStoreMax=; without it nothing happens.
    pub fn store(&self, listeners: &[BorrowedFd<'_>]) {
        if self.address.is_none() {
            return;
        }
        self.tell(&[NotifyState::FdStoreRemove, NotifyState::FdName(STORED)]);
        if !listeners.is_empty() {
            // One message of a few hundred bytes after a start or a reload: it fits.
            let _ = sd_notify::notify_with_fds(
                &[NotifyState::FdStore, NotifyState::FdName(STORED)],
                listeners,
            );
        }
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
