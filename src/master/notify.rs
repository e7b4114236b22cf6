//! What the service manager is told (sd_notify(3)).

use std::os::linux::net::SocketAddrExt as _;
use std::os::unix::net::{SocketAddr, UnixDatagram};
use std::time::Duration;

use sd_notify::NotifyState;

/// A supervisor that wants to be told.
#[derive(Debug)]
pub struct Supervisor {
    address: Option<Address>,
    /// WATCHDOG=1 is wanted this often; half of what systemd allows.
    pub watchdog: Option<Duration>,
}

#[derive(Debug)]
enum Address {
    /// A socket in the file system: `NOTIFY_SOCKET` as it is.
    Path,
    /// In the abstract namespace, which sd-notify takes for a file.
    Abstract(SocketAddr),
}

impl Supervisor {
    /// The one that `NOTIFY_SOCKET` names, if one does.
    pub fn from_environment() -> Self {
        let variable = std::env::var_os("NOTIFY_SOCKET");
        let address = variable.and_then(|address| {
            match address.to_str().and_then(|text| text.strip_prefix('@')) {
                Some(name) => SocketAddr::from_abstract_name(name).ok().map(Address::Abstract),
                None => Some(Address::Path),
            }
        });
        Self { address, watchdog: sd_notify::watchdog_enabled().map(|time| time / 2) }
    }

    /// Whether there is one.
    pub fn is_there(&self) -> bool {
        self.address.is_some()
    }

    /// Tells it. One that does not listen is no reason to stop.
    pub fn tell(&self, states: &[NotifyState<'_>]) {
        let _ = match &self.address {
            None => return,
            Some(Address::Path) => sd_notify::notify(states).is_ok(),
            Some(Address::Abstract(address)) => {
                let text: Vec<String> = states.iter().map(ToString::to_string).collect();
                UnixDatagram::unbound()
                    .and_then(|socket| socket.send_to_addr(text.join("\n").as_bytes(), address))
                    .is_ok()
            }
        };
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
