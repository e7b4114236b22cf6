//! Where connections come from: sockets that systemd hands over or has kept, and those that the master
//! binds.

use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::linux::net::SocketAddrExt as _;
use std::path::PathBuf;
use std::time::Duration;

use rwsgi_core::address::ListenAddr;
use rwsgi_core::config::{Config, Listen, Protocol};
use rwsgi_core::log::{self, Event};
use serde::{Deserialize, Serialize};
use socket2::{Domain, Socket, Type};

use crate::fd_store::{self, Store};
use crate::inherited::{Inherited, Stored, local_address};
use crate::notify::Supervisor;
use crate::occupant;
use crate::unix_socket::{self, FileId, SocketFile};

/// How long the kernel keeps a new connection to itself while its client sends nothing: most
/// clients send at once, and the worker is woken once instead of twice.
const DEFER_ACCEPT: Duration = Duration::from_secs(1);

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
    /// Which file that is.
    #[serde(default)]
    pub id: Option<FileId>,
    /// systemd keeps it.
    #[serde(default)]
    pub stored: bool,
}

#[derive(Debug)]
struct Open {
    socket: Socket,
    /// The master has bound it, now or before a restart.
    ours: bool,
    /// A UNIX socket file that is ours to remove.
    file: Option<SocketFile>,
    /// systemd keeps it: it is there, with its file, when the next start comes.
    stored: bool,
}

impl Listeners {
    /// Opens what `config` wants and is not open yet, and takes what fits of `stored`; returns the
    /// addresses that are new.
    ///
    /// # Errors
    /// A sentence with a remedy. What was opened before the error is closed again.
    pub fn open(
        &mut self,
        config: &Config,
        inherited: &Inherited,
        stored: &mut Vec<Stored>,
    ) -> Result<Vec<Place>, String> {
        let mut new = Vec::new();
        for (key, listen) in keys(config) {
            if self.open.contains_key(&key) {
                continue;
            }
            match open(listen, config.backlog, inherited, stored) {
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
        let open = kept.map(|(Kept { place, ours, file, id, stored }, fd)| {
            let file = file.and_then(|path| match id {
                Some(id) => Some(SocketFile::new(&path, id)),
                None => SocketFile::at(&path),
            });
            (place, Open { socket: Socket::from(fd), ours, file, stored })
        });
        Self { open: open.collect() }
    }

    /// All of them, to be kept.
    pub fn parts(&self) -> impl Iterator<Item = (Kept, BorrowedFd<'_>)> {
        self.open.iter().map(|(place, Open { socket, ours, file, stored })| {
            let kept = Kept {
                place: place.clone(),
                ours: *ours,
                file: file.as_ref().map(|file| file.path().to_owned()),
                id: file.as_ref().map(SocketFile::id),
                stored: *stored,
            };
            (kept, socket.as_fd())
        })
    }

    /// Closes these, as after a start or a reload that failed.
    pub fn close(&mut self, keys: &[Place]) {
        keys.iter().filter_map(|key| self.open.remove(key)).for_each(|open| open.leave());
    }

    /// Closes what `config` does not want, as after a reload.
    pub fn retain(&mut self, config: &Config) {
        let wanted: Vec<_> = keys(config).map(|(key, _)| key).collect();
        self.open.retain(|key, open| {
            let is_wanted = wanted.contains(key);
            if !is_wanted {
                open.remove_file();
            }
            is_wanted
        });
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
    /// or systemd, which is to keep ours.
    pub fn lasting(&self, config: &Config, store: &Store) -> Vec<bool> {
        let open = keys(config).filter_map(|(key, _)| self.open.get(&key));
        open.map(|open| !open.ours || store.is_there()).collect()
    }

    /// Has systemd keep those that are ours for the next start; the names that they have there.
    pub fn store(&mut self, store: &mut Store, supervisor: &Supervisor) -> BTreeSet<String> {
        let ours = self.open.values_mut().filter(|open| open.ours);
        ours.map(|open| {
            let name = open.name();
            open.stored = store.add(supervisor, &name, open.socket.as_fd());
            name
        })
        .collect()
    }

    /// The names of those that systemd has kept.
    pub fn stored(&self) -> BTreeSet<String> {
        self.open.values().filter(|open| open.stored).map(Open::name).collect()
    }

    /// Those of `config`, in its order: the address as it really is, what is spoken there, and the socket.
    pub fn spoken<'a>(
        &'a self,
        config: &'a Config,
    ) -> impl Iterator<Item = (String, Protocol, BorrowedFd<'a>)> {
        keys(config).filter_map(|(key, listen)| {
            let socket = &self.open.get(&key)?.socket;
            let address = local_address(socket).unwrap_or(key.0);
            Some((address.to_string(), listen.protocol, socket.as_fd()))
        })
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
        self.open.values().for_each(Open::leave);
    }
}

impl Open {
    /// The next start finds what systemd keeps as it is. Whether one follows cannot be known.
    fn leave(&self) {
        if !self.stored {
            self.remove_file();
        }
    }

    fn remove_file(&self) {
        if let Some(file) = &self.file {
            file.remove();
        }
    }

    /// What it is called where systemd keeps it.
    fn name(&self) -> String {
        fd_store::listener(&self.socket, self.file.as_ref().map(SocketFile::id))
    }
}

fn open(
    listen: &Listen,
    backlog: u32,
    inherited: &Inherited,
    stored: &mut Vec<Stored>,
) -> Result<Open, String> {
    let with = |socket, ours| Open { socket, ours, file: None, stored: false };
    if let Some(socket) = inherited.find(&listen.address) {
        let socket = socket.try_clone().map_err(|error| error.to_string())?;
        socket.set_nonblocking(true).map_err(|error| error.to_string())?;
        return Ok(with(socket, false));
    }
    let backlog = i32::try_from(clamp_backlog(backlog)).unwrap_or(i32::MAX);
    if let Some(open) = take_stored(listen, backlog, stored) {
        return Ok(open);
    }
    match &listen.address {
        ListenAddr::Tcp(_) | ListenAddr::Unix(_) | ListenAddr::Abstract(_) => {
            bind(listen, backlog, Some(DEFER_ACCEPT)).map(|(socket, file)| Open {
                socket,
                ours: true,
                file,
                stored: false,
            })
        }
        ListenAddr::Fd(number) => rwsgi_core::sys::duplicate(*number)
            .map(|fd| with(Socket::from(fd), false))
            .map_err(|error| format!("descriptor {number}: {error}")),
        ListenAddr::Systemd(name) => Err(format!(
            "systemd has handed over no socket of that name; FileDescriptorName={name} belongs into the .socket unit"
        )),
    }
}

/// Binds a new socket, and its file if it has one. `defer`: so long a TCP connection is kept back while its
/// client sends nothing.
///
/// # Errors
/// A sentence with a remedy.
pub fn bind(
    listen: &Listen,
    backlog: i32,
    defer: Option<Duration>,
) -> Result<(Socket, Option<SocketFile>), String> {
    let bound = match &listen.address {
        ListenAddr::Tcp(address) => tcp(*address, backlog, defer),
        ListenAddr::Abstract(name) => abstract_socket(name, backlog),
        ListenAddr::Unix(path) => {
            return unix_socket::bind(path, listen, backlog)
                .map(|(socket, file)| (socket, Some(file)));
        }
        ListenAddr::Fd(_) | ListenAddr::Systemd(_) => Err(io::ErrorKind::InvalidInput.into()),
    };
    bound.map(|socket| (socket, None)).map_err(|error| remedy(&error, &listen.address))
}

/// The listener that an earlier start has bound there, if it still is what `listen` asks for.
fn take_stored(listen: &Listen, backlog: i32, stored: &mut Vec<Stored>) -> Option<Open> {
    while let Some(index) = stored.iter().position(|one| one.address == listen.address) {
        let Stored { socket, address, file, .. } = stored.swap_remove(index);
        match fit(&socket, file.as_ref(), listen, backlog) {
            Ok(()) => return Some(Open { socket, ours: true, file, stored: true }),
            Err(why) => {
                let message =
                    format!("{address} was kept by systemd, but {why}: it is opened anew");
                log::notice(Event::Listening, message).send();
                if let Some(file) = file {
                    file.remove();
                }
            }
        }
    }
    None
}

/// Has a listener of an earlier start be as a new one; why it cannot be.
fn fit(
    socket: &Socket,
    file: Option<&SocketFile>,
    listen: &Listen,
    backlog: i32,
) -> Result<(), String> {
    if let ListenAddr::Unix(_) = listen.address {
        match file {
            Some(file) if file.is_there() => {
                file.fit(listen).map_err(|error| format!("its file cannot be changed: {error}"))?;
            }
            _ => return Err("its path does not lead to it any more".into()),
        }
    }
    let again = socket.listen(backlog).and_then(|()| socket.set_nonblocking(true));
    again.map_err(|error| error.to_string())
}

fn tcp(address: std::net::SocketAddr, backlog: i32, defer: Option<Duration>) -> io::Result<Socket> {
    let socket = Socket::new(Domain::for_address(address), Type::STREAM, None)?;
    socket.set_reuse_address(true)?;
    if address.is_ipv6() {
        socket.set_only_v6(true)?;
    }
    // Accepted sockets inherit both.
    socket.set_tcp_nodelay(true)?;
    if let Some(time) = defer {
        rwsgi_core::sys::defer_accept(socket.as_fd(), time)?;
    }
    socket.bind(&address.into())?;
    socket.listen(backlog)?;
    socket.set_nonblocking(true)?;
    Ok(socket)
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
            Some(occupant) if occupant.pid == std::process::id() => format!(
                "{error}: this instance listens there itself, for something else; give that up in a reload \
                 before, or restart"
            ),
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

/// The most connections that the kernel lets wait at a socket.
pub fn longest_queue() -> Option<u32> {
    std::fs::read_to_string("/proc/sys/net/core/somaxconn").ok()?.trim().parse().ok()
}

fn clamp_backlog(backlog: u32) -> u32 {
    let limit = longest_queue().unwrap_or(backlog);
    if backlog > limit {
        let message = format!(
            "listen={backlog} is more than net.core.somaxconn allows; {limit} connections can wait"
        );
        log::warning(Event::ConfigWarning, message).send();
    }
    backlog.min(limit)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn listen(address: ListenAddr) -> Listen {
        Listen { address, protocol: Protocol::Http, mode: 0o660, owner: None }
    }

    #[test]
    fn a_port_in_use_says_so() {
        let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let spec = listen(ListenAddr::Tcp(taken.local_addr().unwrap()));
        let error = open(&spec, 16, &Inherited::default(), &mut Vec::new()).unwrap_err();
        assert!(error.contains("this instance listens there itself"), "{error}");
    }
}
