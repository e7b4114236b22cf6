//! The descriptors that systemd keeps for the next start of the service (sd_notify(3), FDSTORE=1): what
//! they are called, and which there are. systemd forgets them when the service is stopped for good, or
//! fails for good.
//!
//! Each has a name of its own, so that it can be removed alone. A listener's has the inode of the socket
//! in it, and if it is a UNIX socket, device and inode of its file: the path may lead elsewhere by then.

use std::collections::BTreeSet;
use std::os::fd::{AsFd, BorrowedFd};

use nix::sys::stat::fstat;
use rwsgi_core::config::service::service;
use rwsgi_core::log::{self, Event};

use crate::handover;
use crate::master::{Instance, Master};
use crate::notify::Supervisor;
use crate::unix_socket::FileId;

/// How the names of listeners begin.
const LISTENER: &str = "rwsgi-listener";
/// What is counted over restarts.
pub const COUNTERS: &str = "rwsgi-counters";
/// How the names of scoreboards begin.
const SCOREBOARD: &str = "rwsgi-scoreboard";

/// What is kept under a name.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Item {
    /// A listener, and which file it has.
    Listener(Option<FileId>),
    /// Memory.
    Memory,
}

/// What `name` stands for; `None` when it is not ours.
pub fn item(name: &str) -> Option<Item> {
    if name == COUNTERS || is_numbered(name, SCOREBOARD).is_some() {
        return Some(Item::Memory);
    }
    let numbers = is_numbered(name, LISTENER)?;
    let mut numbers = numbers.split('-').map(str::parse);
    let id = match (numbers.next(), numbers.next(), numbers.next(), numbers.next()) {
        (Some(Ok(_)), Some(Ok(device)), Some(Ok(inode)), None) => Some((device, inode)),
        _ => None,
    };
    Some(Item::Listener(id))
}

/// What follows `kind` in a name, if that is how it begins.
fn is_numbered<'a>(name: &'a str, kind: &str) -> Option<&'a str> {
    let rest = name.strip_prefix(kind)?;
    if rest.is_empty() { Some(rest) } else { rest.strip_prefix('-') }
}

/// The name of a listener whose file, if any, is `id`.
pub fn listener(socket: impl AsFd, id: Option<FileId>) -> String {
    let file = id.map_or_else(String::new, |(device, inode)| format!("-{device}-{inode}"));
    format!("{LISTENER}-{}{file}", inode(socket))
}

/// The inode of a descriptor; 0 if the kernel does not tell.
pub fn inode(fd: impl AsFd) -> u64 {
    fstat(fd).map_or(0, |stat| stat.st_ino)
}

/// What this service has there.
#[derive(Debug, Default)]
pub struct Store {
    /// How many it can keep.
    room: usize,
    names: BTreeSet<String>,
    /// It was too small.
    complained: bool,
}

impl Store {
    /// The store, if `FDSTORE` says that there is room in one, with these names in it. systemd sets that
    /// since release 254; rwsgi@.service sets it for those before.
    pub fn from_environment(supervisor: &Supervisor, names: Vec<String>) -> Self {
        let room = std::env::var("FDSTORE").ok().and_then(|room| room.trim().parse().ok());
        let room = room.filter(|_| supervisor.is_there()).unwrap_or(0);
        Self { room, names: names.into_iter().collect(), complained: false }
    }

    /// Whether what is added is there at the next start.
    pub fn is_there(&self) -> bool {
        self.room > 0
    }

    /// What is in it.
    pub fn names(&self) -> impl Iterator<Item = &String> {
        self.names.iter()
    }

    /// Adds a descriptor, unless there is no room: whether it is there now. One that was there already
    /// stays as it is.
    pub fn add(&mut self, supervisor: &Supervisor, name: &str, fd: BorrowedFd<'_>) -> bool {
        if self.names.len() >= self.room && !self.names.contains(name) {
            self.complain();
            return false;
        }
        // A listener that nobody needs any more is removed by its name, and memory never hangs up.
        supervisor.pass(&format!("FDSTORE=1\nFDNAME={name}\nFDPOLL=0"), fd);
        self.names.insert(name.to_owned());
        true
    }

    fn complain(&mut self) {
        if self.is_there() && !self.complained {
            self.complained = true;
            let message = format!(
                "not all listeners and counters survive a restart: systemd keeps {} descriptors; see \
                 FileDescriptorStoreMax= of the unit",
                self.room
            );
            log::warning(Event::ConfigWarning, message).send();
        }
    }

    /// Removes one.
    pub fn remove(&mut self, supervisor: &Supervisor, name: &str) {
        if self.names.remove(name) {
            supervisor.say(&format!("FDSTOREREMOVE=1\nFDNAME={name}"));
        }
    }

    /// Removes all but `wanted`: nobody waits at a listener at which nobody accepts.
    pub fn retain(&mut self, supervisor: &Supervisor, wanted: &BTreeSet<String>) {
        let others: Vec<String> = self.names.difference(wanted).cloned().collect();
        others.iter().for_each(|name| self.remove(supervisor, name));
    }
}

impl Master {
    /// Has systemd keep what serves now for the next start, and nothing else.
    pub(crate) fn store(&mut self) {
        let Instance { store, supervisor, listeners, ledger, scoreboard, .. } = &mut self.instance;
        let mut wanted = listeners.store(store, supervisor);
        if let Some(ledger) = ledger {
            let board = format!("{SCOREBOARD}-{}", inode(scoreboard.memory()));
            for (name, fd) in [(COUNTERS.into(), ledger.as_fd()), (board, scoreboard.memory())] {
                store.add(supervisor, &name, fd);
                wanted.insert(name);
            }
        }
        // From here on they belong together, and the earlier scoreboard is not needed any more.
        self.write_ledger();
        self.instance.store.retain(&self.instance.supervisor, &wanted);
    }

    /// At a stop: lets go of the listeners if the INI file has come to leave them to systemd (`socket-activation`). The
    /// socket unit is started when this service has stopped, and could not open what the store still has.
    pub(crate) fn leave_to_socket_unit(&mut self) {
        let Instance { store, supervisor, sources, context, .. } = &mut self.instance;
        if store.is_there() && service(sources, context).is_ok_and(|asked| asked.socket_activation)
        {
            let is_memory = |name: &&String| item(name) == Some(Item::Memory);
            let memory = store.names().filter(is_memory).cloned().collect();
            store.retain(supervisor, &memory);
        }
    }

    /// Writes down what has been counted.
    pub(crate) fn write_ledger(&mut self) {
        let now = self.now();
        let (Some(ledger), Ok(clock)) = (&mut self.instance.ledger, handover::clock()) else {
            return;
        };
        let began = clock.saturating_sub(now);
        ledger.write(&self.instance.scoreboard, self.instance.slots, began, &self.history);
    }
}

#[cfg(test)]
mod tests {
    use std::net::TcpListener;

    use super::*;

    #[test]
    fn a_name_tells_what_it_stands_for() {
        let socket = TcpListener::bind("127.0.0.1:0").unwrap();
        assert_eq!(item(&listener(&socket, None)), Some(Item::Listener(None)));
        assert_eq!(item(&listener(&socket, Some((26, 7)))), Some(Item::Listener(Some((26, 7)))));
        assert_eq!(item("rwsgi-listener"), Some(Item::Listener(None)));
        assert_eq!(item("rwsgi-listener-1-2"), Some(Item::Listener(None)));
        assert_eq!(item(COUNTERS), Some(Item::Memory));
        assert_eq!(
            ["http", "rwsgi-http", "rwsgi-listeners", "rwsgi@shop.socket"].map(item),
            [None; 4]
        );
    }

    #[test]
    fn a_name_is_one_that_systemd_takes() {
        let socket = TcpListener::bind("127.0.0.1:0").unwrap();
        let name = listener(&socket, Some((u64::MAX, u64::MAX)));
        assert!(
            name.len() <= 255 && name.chars().all(|c| c.is_ascii_graphic() && c != ':'),
            "{name}"
        );
    }
}
