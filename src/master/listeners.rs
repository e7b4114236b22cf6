//! Where connections come from: sockets that systemd hands over, and those that the master binds.

use std::collections::BTreeMap;
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::linux::net::SocketAddrExt as _;
use std::os::unix::fs::{FileTypeExt as _, PermissionsExt as _};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::time::Duration;

use rwsgi_core::address::ListenAddr;
use rwsgi_core::config::{Config, Listen};
use rwsgi_core::log::{self, Event};
use serde::{Deserialize, Serialize};
use socket2::{Domain, SockAddr, SockRef, Socket, Type};

use crate::occupant;

/// How long the kernel keeps a new connection to itself while its client sends nothing: most
/// clients send at once, and the worker is woken once instead of twice.
const DEFER_ACCEPT: Duration = Duration::from_secs(1);

/// The name under which listeners that the master has bound itself are kept by systemd over a restart
/// (FDSTORE=1, sd_notify(3)).
pub const STORED: &str = "rwsgi-listener";

/// Sockets that came from systemd, by FileDescriptorName=.
#[derive(Debug, Default)]
pub struct Inherited {
    sockets: Vec<(String, Socket)>,
}

impl Inherited {
    /// Takes what `LISTEN_FDS` promises to this process (sd_listen_fds(3)).
    ///
    /// # Errors
    /// A sentence, when a promised descriptor is not there.
    pub fn take() -> Result<Self, String> {
        if std::env::var("LISTEN_PID").ok().as_deref() != Some(&std::process::id().to_string()) {
            return Ok(Self::default());
        }
        let names = std::env::var("LISTEN_FDNAMES").unwrap_or_default();
        let mut names = names.split(':').map(str::to_owned);
        let mut passed = listenfd::ListenFd::from_env();
        let mut sockets = Vec::new();
        for index in 0..passed.len() {
            let fd: OwnedFd = passed
                .take_tcp_listener(index)
                .map(|socket| socket.map(OwnedFd::from))
                .or_else(|_| passed.take_unix_listener(index).map(|s| s.map(OwnedFd::from)))
                .map_err(|error| format!("descriptor {} of systemd: {error}", 3 + index))?
                .ok_or_else(|| format!("descriptor {} of systemd is missing", 3 + index))?;
            let name = names.next().filter(|name| !name.is_empty());
            sockets.push((name.unwrap_or_else(|| "unknown".into()), Socket::from(fd)));
        }
        Ok(Self { sockets })
    }

    /// The names of those that a socket unit has opened, in the order of the descriptors.
    pub fn names(&self) -> Vec<String> {
        let names = self.sockets.iter().map(|(name, _)| name.clone());
        names.filter(|name| name != STORED).collect()
    }

    /// Those that an earlier program of this process has kept.
    pub fn resume(sockets: Vec<(String, OwnedFd)>) -> Self {
        let sockets = sockets.into_iter().map(|(name, fd)| (name, Socket::from(fd)));
        Self { sockets: sockets.collect() }
    }

    /// All of them, to be kept.
    pub fn parts(&self) -> impl Iterator<Item = (&str, BorrowedFd<'_>)> {
        self.sockets.iter().map(|(name, socket)| (name.as_str(), socket.as_fd()))
    }

    /// Adds the sockets that the configuration does not ask for: whoever wrote the socket unit wants
    /// them served.
    pub fn complete(&self, config: &mut Config) {
        let mut used = Vec::new();
        for listen in &config.listeners {
            used.extend(self.position(&listen.address));
        }
        let rest = self
            .sockets
            .iter()
            .enumerate()
            .filter(|(index, (name, _))| name != STORED && !used.contains(index));
        let rest = rest.filter_map(|(_, (_, socket))| local_address(socket));
        config.listeners.extend(rest.map(|address| Listen {
            address,
            protocol: config.inherited_protocol,
            mode: 0o660,
            owner: None,
        }));
    }

    fn position(&self, address: &ListenAddr) -> Option<usize> {
        self.sockets.iter().position(|(name, socket)| match address {
            ListenAddr::Systemd(wanted) => name == wanted,
            other => local_address(socket).is_some_and(|local| local == *other),
        })
    }
}

/// The open listeners of the instance.
#[derive(Debug, Default)]
pub struct Listeners {
    open: BTreeMap<Place, Open>,
}

/// A listener of a configuration: its address as written, and how many of the same are before it.
/// There can be several only with port 0, where each gets a port of its own.
pub type Place = (ListenAddr, usize);

fn keys(config: &Config) -> impl Iterator<Item = (Place, &Listen)> {
    config.listeners.iter().enumerate().map(|(index, listen)| {
        let before = config.listeners[..index].iter();
        let same = before.filter(|other| other.address == listen.address).count();
        ((listen.address.clone(), same), listen)
    })
}

/// A listener that is kept while one program gives way to the next, but for its descriptor.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Kept {
    /// Which one.
    pub place: Place,
    /// The master has bound it, now or before a restart.
    pub ours: bool,
    /// A UNIX socket file that is ours to remove.
    pub file: Option<PathBuf>,
}

#[derive(Debug)]
struct Open {
    socket: Socket,
    /// The master has bound it, now or before a restart.
    ours: bool,
    /// A UNIX socket file that is ours to remove.
    file: Option<PathBuf>,
}

impl Listeners {
    /// Opens what `config` wants and is not open yet; returns the addresses that are new.
    ///
    /// # Errors
    /// A sentence with a remedy. What was opened before the error is closed again.
    pub fn open(&mut self, config: &Config, inherited: &Inherited) -> Result<Vec<Place>, String> {
        let mut new = Vec::new();
        for (key, listen) in keys(config) {
            if self.open.contains_key(&key) {
                continue;
            }
            match open(listen, config.backlog, inherited) {
                Ok(open) => {
                    let address = local_address(&open.socket).unwrap_or(listen.address.clone());
                    log::info(
                        Event::Listening,
                        format!("listening on {}://{address}", listen.protocol.scheme()),
                    )
                    .send();
                    self.open.insert(key.clone(), open);
                    new.push(key);
                }
                Err(reason) => {
                    self.close(&new);
                    return Err(format!("cannot listen on {}: {reason}", listen.address));
                }
            }
        }
        Ok(new)
    }

    /// Those that an earlier program of this process has kept.
    pub fn resume(kept: impl Iterator<Item = (Kept, OwnedFd)>) -> Self {
        let open = kept.map(|(Kept { place, ours, file }, fd)| {
            (place, Open { socket: Socket::from(fd), ours, file })
        });
        Self { open: open.collect() }
    }

    /// All of them, to be kept.
    pub fn parts(&self) -> impl Iterator<Item = (Kept, BorrowedFd<'_>)> {
        self.open.iter().map(|(place, Open { socket, ours, file })| {
            let kept = Kept { place: place.clone(), ours: *ours, file: file.clone() };
            (kept, socket.as_fd())
        })
    }

    /// Closes these, as after a reload that failed.
    pub fn close(&mut self, keys: &[Place]) {
        for key in keys {
            if let Some(open) = self.open.remove(key) {
                open.remove_file();
            }
        }
    }

    /// Closes what `config` does not want, as after a reload.
    pub fn retain(&mut self, config: &Config) {
        let wanted: Vec<_> = keys(config).map(|(key, _)| key).collect();
        let gone: Vec<_> = self.open.keys().filter(|key| !wanted.contains(key)).cloned().collect();
        self.close(&gone);
    }

    /// Nobody listens any more, not even processes of the application that are still there and have
    /// inherited these sockets: the next start finds its ports free, and no client waits in vain.
    pub fn shut(&self) {
        for open in self.open.values().filter(|open| open.ours) {
            let _ = open.socket.shutdown(std::net::Shutdown::Both);
        }
    }

    /// The descriptors for `config`, in its order.
    pub fn descriptors(&self, config: &Config) -> Vec<BorrowedFd<'_>> {
        let open = keys(config).filter_map(|(key, _)| self.open.get(&key));
        open.map(|open| open.socket.as_fd()).collect()
    }

    /// Which of these somebody keeps open who is no part of the instance: who has handed them over,
    /// or a service manager that was given them.
    pub fn lasting(&self, config: &Config, supervised: bool) -> Vec<bool> {
        let open = keys(config).filter_map(|(key, _)| Some((self.open.get(&key)?, key.0)));
        let is_kept = |(open, address): (&Open, ListenAddr)| {
            !open.ours || supervised && matches!(address, ListenAddr::Tcp(_))
        };
        open.map(is_kept).collect()
    }

    /// The TCP listeners that are ours: systemd may keep them. A UNIX socket's file would go with its
    /// directory all the same.
    pub fn to_store(&self) -> Vec<BorrowedFd<'_>> {
        let tcp = self
            .open
            .iter()
            .filter(|((address, _), open)| open.ours && matches!(address, ListenAddr::Tcp(_)));
        tcp.map(|(_, open)| open.socket.as_fd()).collect()
    }

    /// The addresses as they really are, for people.
    pub fn addresses(&self) -> Vec<String> {
        let real = |((address, _), open): (&Place, &Open)| {
            local_address(&open.socket).unwrap_or_else(|| address.clone()).to_string()
        };
        self.open.iter().map(real).collect()
    }
}

impl Drop for Listeners {
    fn drop(&mut self) {
        self.open.values().for_each(Open::remove_file);
    }
}

impl Open {
    fn remove_file(&self) {
        if let Some(path) = &self.file {
            let _ = std::fs::remove_file(path);
        }
    }
}

fn open(listen: &Listen, backlog: u32, inherited: &Inherited) -> Result<Open, String> {
    if let Some(index) = inherited.position(&listen.address) {
        let (name, socket) = &inherited.sockets[index];
        let socket = socket.try_clone().map_err(|error| error.to_string())?;
        socket.set_nonblocking(true).map_err(|error| error.to_string())?;
        return Ok(Open { socket, ours: name == STORED, file: None });
    }
    let backlog = i32::try_from(clamp_backlog(backlog)).unwrap_or(i32::MAX);
    match &listen.address {
        ListenAddr::Tcp(address) => tcp(*address, backlog)
            .map(|socket| Open { socket, ours: true, file: None })
            .map_err(|error| remedy(&error, &listen.address)),
        ListenAddr::Unix(path) => unix(path, listen, backlog).map(|socket| Open {
            socket,
            ours: true,
            file: Some(path.clone()),
        }),
        ListenAddr::Abstract(name) => abstract_socket(name, backlog)
            .map(|socket| Open { socket, ours: true, file: None })
            .map_err(|error| remedy(&error, &listen.address)),
        ListenAddr::Fd(number) => rwsgi_core::sys::duplicate(*number)
            .map(|fd| Open { socket: Socket::from(fd), ours: false, file: None })
            .map_err(|error| format!("descriptor {number}: {error}")),
        ListenAddr::Systemd(name) => Err(format!(
            "systemd has handed over no socket of that name; FileDescriptorName={name} belongs into the .socket unit"
        )),
    }
}

fn tcp(address: std::net::SocketAddr, backlog: i32) -> io::Result<Socket> {
    let socket = Socket::new(Domain::for_address(address), Type::STREAM, None)?;
    socket.set_reuse_address(true)?;
    if address.is_ipv6() {
        socket.set_only_v6(true)?;
    }
    // Accepted sockets inherit both.
    socket.set_tcp_nodelay(true)?;
    rwsgi_core::sys::defer_accept(socket.as_fd(), DEFER_ACCEPT)?;
    socket.bind(&address.into())?;
    socket.listen(backlog)?;
    socket.set_nonblocking(true)?;
    Ok(socket)
}

/// Mode and owner are set between bind(2) and listen(2): nobody can connect before.
fn unix(path: &Path, listen: &Listen, backlog: i32) -> Result<Socket, String> {
    remove_stale(path)?;
    let failed = |error: io::Error| match error.kind() {
        io::ErrorKind::PermissionDenied | io::ErrorKind::NotFound => format!(
            "{error}; the directory must exist and be writable for this user: RuntimeDirectory= of a service, or mkdir"
        ),
        _ => error.to_string(),
    };
    let bind = || -> io::Result<Socket> {
        let socket = Socket::new(Domain::UNIX, Type::STREAM, None)?;
        socket.bind(&SockAddr::unix(path)?)?;
        std::fs::set_permissions(path, std::fs::Permissions::from_mode(listen.mode))?;
        if let Some((user, group)) = listen.owner {
            std::os::unix::fs::chown(path, Some(user), group)?;
        }
        socket.listen(backlog)?;
        socket.set_nonblocking(true)?;
        Ok(socket)
    };
    bind().map_err(failed)
}

/// A socket file on which nobody answers is left from a crash; anything else is not ours.
fn remove_stale(path: &Path) -> Result<(), String> {
    let Ok(metadata) = std::fs::symlink_metadata(path) else { return Ok(()) };
    if !metadata.file_type().is_socket() {
        return Err("the path exists and is not a socket; remove it or choose another".into());
    }
    match UnixStream::connect(path) {
        Err(error) if error.kind() == io::ErrorKind::ConnectionRefused => {
            std::fs::remove_file(path).map_err(|error| format!("a stale socket: {error}"))
        }
        Ok(_) => {
            let occupant = occupant::at(&ListenAddr::Unix(path.to_owned()));
            let whose = occupant.map_or_else(String::new, |occupant| format!(": {occupant}"));
            Err(format!("another server answers on it{whose}"))
        }
        Err(error) => Err(format!("a socket is there already: {error}")),
    }
}

fn abstract_socket(name: &str, backlog: i32) -> io::Result<Socket> {
    let address = std::os::unix::net::SocketAddr::from_abstract_name(name)?;
    let listener = std::os::unix::net::UnixListener::bind_addr(&address)?;
    let socket = Socket::from(OwnedFd::from(listener));
    socket.listen(backlog)?;
    socket.set_nonblocking(true)?;
    Ok(socket)
}

fn remedy(error: &io::Error, address: &ListenAddr) -> String {
    let port = match address {
        ListenAddr::Tcp(address) => address.port(),
        _ => u16::MAX,
    };
    match error.kind() {
        io::ErrorKind::AddrInUse => match occupant::at(address) {
            Some(occupant) => format!("{error}: another server listens there: {occupant}"),
            None => format!("{error}: another server listens there; see: ss -ltnp"),
        },
        io::ErrorKind::PermissionDenied if port < 1024 => format!(
            "{error}: ports below 1024 need a .socket unit, or CAP_NET_BIND_SERVICE (AmbientCapabilities=)"
        ),
        io::ErrorKind::AddrNotAvailable => format!("{error}: this machine has no such address"),
        _ => error.to_string(),
    }
}

fn clamp_backlog(backlog: u32) -> u32 {
    let limit = std::fs::read_to_string("/proc/sys/net/core/somaxconn")
        .ok()
        .and_then(|text| text.trim().parse().ok())
        .unwrap_or(backlog);
    if backlog > limit {
        let message = format!(
            "listen={backlog} is more than net.core.somaxconn allows; {limit} connections can wait"
        );
        log::warning(Event::ConfigWarning, message).send();
    }
    backlog.min(limit)
}

/// What a socket is bound to.
fn local_address(socket: &Socket) -> Option<ListenAddr> {
    let address = SockRef::from(socket).local_addr().ok()?;
    if let Some(address) = address.as_socket() {
        return Some(ListenAddr::Tcp(address));
    }
    if let Some(path) = address.as_pathname() {
        return Some(ListenAddr::Unix(path.to_owned()));
    }
    let name = address.as_abstract_namespace()?;
    Some(ListenAddr::Abstract(String::from_utf8_lossy(name).into_owned()))
}

#[cfg(test)]
mod tests {
    use rwsgi_core::config::Protocol;

    use super::*;

    fn listen(address: ListenAddr) -> Listen {
        Listen { address, protocol: Protocol::Http, mode: 0o660, owner: None }
    }

    #[test]
    fn a_unix_socket_has_its_mode_and_a_stale_one_is_replaced() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("s");
        drop(std::os::unix::net::UnixListener::bind(&path).unwrap());
        let spec = listen(ListenAddr::Unix(path.clone()));
        let open = open(&spec, 16, &Inherited::default()).unwrap();
        let mode = std::fs::metadata(&path).unwrap().permissions().mode() & 0o777;
        assert_eq!(mode, 0o660);
        assert!(UnixStream::connect(&path).is_ok());
        open.remove_file();
        assert!(!path.exists());
    }

    #[test]
    fn a_socket_that_somebody_serves_is_left_alone() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("s");
        let _alive = std::os::unix::net::UnixListener::bind(&path).unwrap();
        let error = open(&listen(ListenAddr::Unix(path)), 16, &Inherited::default()).unwrap_err();
        let pid = format!("(pid {})", std::process::id());
        let expected = error.starts_with("another server answers on it: ") && error.contains(&pid);
        assert!(expected, "{error}");
    }

    #[test]
    fn a_file_that_is_no_socket_is_never_removed() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("s");
        std::fs::write(&path, "precious").unwrap();
        let spec = listen(ListenAddr::Unix(path.clone()));
        assert!(open(&spec, 16, &Inherited::default()).is_err());
        assert_eq!(std::fs::read_to_string(path).unwrap(), "precious");
    }

    #[test]
    fn a_port_in_use_says_so() {
        let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let spec = listen(ListenAddr::Tcp(taken.local_addr().unwrap()));
        let error = open(&spec, 16, &Inherited::default()).unwrap_err();
        assert!(error.contains("another server listens there"), "{error}");
    }
}
