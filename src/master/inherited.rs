//! What this process is given at its start (sd_listen_fds(3)): the sockets of socket units, and what
//! systemd has kept of an earlier start ([`crate::fd_store`]). Which is which, the names say.

use std::os::fd::{AsFd as _, BorrowedFd, OwnedFd};

use rwsgi_core::address::ListenAddr;
use rwsgi_core::config::{Config, Listen};
use rwsgi_core::sys;
use socket2::{SockRef, Socket};

use crate::fd_store::{self, Item};
use crate::unix_socket::SocketFile;

/// The first descriptor that systemd hands over.
const FIRST: i32 = 3;

/// Everything that was handed over.
#[derive(Debug, Default)]
pub struct Handed {
    /// Of socket units.
    pub inherited: Inherited,
    /// Of an earlier start: the listeners.
    pub listeners: Vec<Stored>,
    /// Of an earlier start: memory, by name.
    pub memories: Vec<(String, OwnedFd)>,
    /// All names that the store may have.
    pub stored: Vec<String>,
    /// What nobody knows and was closed; a sentence for each.
    pub unknown: Vec<String>,
}

/// A listener that an earlier start has bound.
#[derive(Debug)]
pub struct Stored {
    /// Its name in the store.
    pub name: String,
    /// The socket. It listens.
    pub socket: Socket,
    /// What it is bound to.
    pub address: ListenAddr,
    /// Its file, if it has one and its name tells which.
    pub file: Option<SocketFile>,
}

/// Sockets of socket units, by FileDescriptorName=.
#[derive(Debug, Default)]
pub struct Inherited {
    sockets: Vec<(String, Socket)>,
}

impl Handed {
    /// Takes what `LISTEN_FDS` promises to this process.
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
        let (mut handed, mut others) = (Self::default(), Vec::new());
        for (index, number) in (0..passed.len()).zip(FIRST..) {
            let name = names.next().filter(|name| !name.is_empty());
            let name = name.unwrap_or_else(|| "unknown".into());
            let stream = passed
                .take_tcp_listener(index)
                .map(|socket| socket.map(OwnedFd::from))
                .or_else(|_| passed.take_unix_listener(index).map(|s| s.map(OwnedFd::from)));
            match stream {
                Ok(Some(fd)) => handed.sort_socket(name, Socket::from(fd)),
                Ok(None) => return Err(format!("descriptor {number} of systemd is missing")),
                Err(_) => others.push((number, name)),
            }
        }
        handed.sort_others(others)?;
        Ok(handed)
    }

    /// Ends the listeners of an earlier start that `config` does not ask for; their names and addresses.
    pub fn end_what_is_gone(&mut self, config: &Config) -> Vec<(String, ListenAddr)> {
        let is_wanted =
            |one: &Stored| config.listeners.iter().any(|listen| listen.address == one.address);
        let (wanted, gone) = self.listeners.drain(..).partition(is_wanted);
        self.listeners = wanted;
        let end = |Stored { name, socket, address, file }: Stored| {
            // Whoever still has the socket: a listener for all addresses is in the way of one for one.
            let _ = socket.shutdown(std::net::Shutdown::Both);
            if let Some(file) = file {
                file.remove();
            }
            (name, address)
        };
        let gone: Vec<Stored> = gone;
        gone.into_iter().map(end).collect()
    }

    fn sort_socket(&mut self, name: String, socket: Socket) {
        let listens = socket.is_listener().unwrap_or(false);
        match (fd_store::item(&name), local_address(&socket)) {
            (None, _) if listens => self.inherited.sockets.push((name, socket)),
            (Some(Item::Listener(id)), Some(address)) if listens => {
                let file = match (&address, id) {
                    (ListenAddr::Unix(path), Some(id)) => Some(SocketFile::new(path, id)),
                    _ => None,
                };
                self.stored.push(name.clone());
                self.listeners.push(Stored { name, socket, address, file });
            }
            _ => self.close(name),
        }
    }

    fn sort_others(&mut self, others: Vec<(i32, String)>) -> Result<(), String> {
        if others.is_empty() {
            return Ok(());
        }
        let numbers: Vec<i32> = others.iter().map(|(number, _)| *number).collect();
        let mut taken = sys::adopt(&numbers)
            .map_err(|error| format!("descriptors {numbers:?} of systemd: {error}"))?;
        for (number, name) in others {
            let is_memory = matches!(fd_store::item(&name), Some(Item::Memory));
            match taken.remove(&number) {
                Some(fd) if is_memory => {
                    self.stored.push(name.clone());
                    self.memories.push((name, fd));
                }
                _ => self.close(name),
            }
        }
        Ok(())
    }

    /// What is called `name` has been dropped: nobody knows it.
    fn close(&mut self, name: String) {
        let known = fd_store::item(&name).is_some();
        let what = if known { "is not what its name says" } else { "is no socket that listens" };
        self.unknown.push(format!("a descriptor of systemd, `{name}`, {what}: closed"));
        // It may be one of the store; then it need not come again.
        self.stored.push(name);
    }
}

impl Inherited {
    /// The names, in the order of the descriptors.
    pub fn names(&self) -> Vec<String> {
        self.sockets.iter().map(|(name, _)| name.clone()).collect()
    }

    /// Those that an earlier program of this process has kept.
    pub fn resume(sockets: Vec<(String, OwnedFd)>) -> Self {
        // Earlier versions have what was stored among them.
        let ours = |name: &str| fd_store::item(name).is_some();
        let sockets = sockets.into_iter().filter(|(name, _)| !ours(name));
        Self { sockets: sockets.map(|(name, fd)| (name, Socket::from(fd))).collect() }
    }

    /// All of them, to be kept.
    pub fn parts(&self) -> impl Iterator<Item = (&str, BorrowedFd<'_>)> {
        self.sockets.iter().map(|(name, socket)| (name.as_str(), socket.as_fd()))
    }

    /// The one for `address`: by its name, or by what it is bound to.
    pub fn find(&self, address: &ListenAddr) -> Option<&Socket> {
        self.position(address).and_then(|index| self.sockets.get(index)).map(|(_, socket)| socket)
    }

    /// Adds the sockets that the configuration does not ask for: whoever wrote the socket unit wants
    /// them served.
    pub fn complete(&self, config: &mut Config) {
        let mut used = Vec::new();
        for listen in &config.listeners {
            used.extend(self.position(&listen.address));
        }
        let rest = self.sockets.iter().enumerate().filter(|(index, _)| !used.contains(index));
        let rest: Vec<_> = rest
            .filter_map(|(_, (name, socket))| {
                let protocol = config.protocol_of(name);
                let address = local_address(socket)?;
                Some(Listen { address, protocol, mode: 0o660, owner: None })
            })
            .collect();
        config.listeners.extend(rest);
    }

    fn position(&self, address: &ListenAddr) -> Option<usize> {
        self.sockets.iter().position(|(name, socket)| match address {
            ListenAddr::Systemd(wanted) => name == wanted,
            other => local_address(socket).is_some_and(|local| local == *other),
        })
    }
}

/// What a socket is bound to.
pub fn local_address(socket: &Socket) -> Option<ListenAddr> {
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
