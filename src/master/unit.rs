//! What the generator writes for an instance: drop-ins for its service and its socket, from what its
//! INI file says. Text only; [`generator`](crate::generator) writes it.
//!
//! Timeouts are not among it: while workers are imported or leave, the master asks systemd for more time,
//! and what `harakiri` allows counts for the watchdog, too ([`crate::watchdog`]).

use std::fmt::Write as _;
use std::path::Path;

use rwsgi_core::address::ListenAddr;
use rwsgi_core::config::Service;

use crate::service::OWN;

/// As whom the instance runs, by name or number, and what that takes.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Account {
    /// User, where the INI file names one.
    pub user: Option<String>,
    /// Group, of its own or of the user.
    pub group: Option<String>,
    /// Nothing that it needs is in a home.
    pub hides_homes: bool,
}

/// LimitNOFILE= of rwsgi@.service, which is changed only to be enough.
const OPEN_FILES: u64 = 65_536;

/// A connection and a file that is sent or spooled by it.
const FILES_PER_CONNECTION: u64 = 2;
/// What an application opens besides.
const FILES_OF_THE_APPLICATION: u64 = 4096;

/// How many files a worker with so many connections may have open.
pub fn open_files(max_connections: u32) -> u64 {
    u64::from(max_connections) * FILES_PER_CONNECTION + FILES_OF_THE_APPLICATION
}

/// What rwsgi@.service lets every instance write to, besides directories of its own.
const WRITABLE: [&str; 5] = ["/srv", "/var/www", "/tmp", "/var/tmp", "/dev/shm"];

/// What a unit file has no way to write: the name of a file or socket with a line end, or with one that a
/// line ends in.
pub fn inexpressible(name: &str, wanted: &Service) -> Option<String> {
    let streams = streams(wanted).filter(|_| wanted.wants_sockets());
    let mut streams = streams.filter(|stream| {
        stream.ends_with(|last: char| last == '\\' || last.is_whitespace())
            || stream.contains(char::is_control)
    });
    let mut directories = writable(name, wanted).into_iter();
    streams.next().or_else(|| directories.find(|path| path.contains(char::is_control)))
}

/// The drop-in of rwsgi@NAME.service; empty when the unit fits as it is.
pub fn service(name: &str, wanted: &Service, account: &Account) -> String {
    let mut unit = String::new();
    if wanted.wants_sockets() && has_sockets(wanted) {
        let _ = write!(unit, "Requires=rwsgi@{name}.socket\nAfter=rwsgi@{name}.socket\n");
    }
    let mut service = String::new();
    let mut set = |key: &str, value: &str| {
        let _ = writeln!(service, "{key}={value}");
    };
    if let Some(user) = &account.user {
        set("User", user);
    }
    if let Some(group) = &account.group {
        set("Group", group);
    }
    if account.hides_homes {
        set("ProtectHome", "yes");
    }
    for directory in writable(name, wanted) {
        set("ReadWritePaths", &format!("\"-{}\"", quoted(&directory)));
    }
    let files = open_files(wanted.max_connections);
    if files > OPEN_FILES {
        set("LimitNOFILE", &files.to_string());
    }
    let limits = [
        ("MemoryHigh", wanted.memory_high, ""),
        ("MemoryMax", wanted.memory_max, ""),
        ("CPUQuota", wanted.cpu_quota, "%"),
        ("TasksMax", wanted.tasks_max, ""),
    ];
    for (key, limit, unit) in limits {
        if let Some(limit) = limit {
            set(key, &format!("{limit}{unit}"));
        }
    }
    sections(&[("Unit", &unit), ("Service", &service)])
}

/// The drop-in of rwsgi@NAME.socket; empty when the master opens its sockets itself.
pub fn socket(wanted: &Service) -> String {
    if !wanted.wants_sockets() || !has_sockets(wanted) {
        return String::new();
    }
    // The list of the unit begins anew with an empty value.
    let mut socket = String::from("ListenStream=\n");
    for stream in streams(wanted) {
        let _ = writeln!(socket, "ListenStream={stream}");
    }
    let _ = writeln!(socket, "Backlog={}", wanted.backlog);
    if let Some(first) = wanted.listeners.first() {
        let _ = writeln!(socket, "SocketMode=0{:o}", first.mode);
        if let Some((user, group)) = first.owner {
            let _ = writeln!(socket, "SocketUser={user}");
            let group = group.map(|group| group.to_string()).unwrap_or_default();
            let _ = writeln!(socket, "SocketGroup={group}");
        }
    }
    // As the master opens them. systemd warns of these where a socket is none of TCP.
    socket.push_str("BindIPv6Only=ipv6-only\n");
    if wanted.listeners.iter().all(|listen| matches!(listen.address, ListenAddr::Tcp(_))) {
        socket.push_str("NoDelay=yes\nDeferAcceptSec=1\n");
    }
    sections(&[("Socket", &socket)])
}

fn has_sockets(wanted: &Service) -> bool {
    streams(wanted).next().is_some()
}

/// What systemd can open. A port that the kernel is to choose is none that a unit could name.
fn streams(wanted: &Service) -> impl Iterator<Item = String> {
    wanted.listeners.iter().filter_map(|listen| match &listen.address {
        ListenAddr::Tcp(tcp) => (tcp.port() != 0).then(|| tcp.to_string()),
        ListenAddr::Unix(path) => Some(escaped(&path.to_string_lossy())),
        ListenAddr::Abstract(name) => Some(escaped(&format!("@{name}"))),
        ListenAddr::Systemd(_) | ListenAddr::Fd(_) => None,
    })
}

/// Directories of files that the instance makes, where the unit does not let it write yet.
fn writable(name: &str, wanted: &Service) -> Vec<String> {
    let sockets = wanted.listeners.iter().filter(|_| !wanted.wants_sockets());
    let sockets = sockets.filter_map(|listen| match &listen.address {
        ListenAddr::Unix(path) => Some(path),
        _ => None,
    });
    let directories = wanted.files.iter().chain(sockets).filter_map(|file| file.parent());
    let mut found: Vec<String> = directories
        .filter(|directory| !is_writable(name, directory))
        .map(|directory| directory.to_string_lossy().into_owned())
        .collect();
    found.sort_unstable();
    found.dedup();
    found
}

/// The root counts as such, too: to open it would open everything.
fn is_writable(name: &str, directory: &Path) -> bool {
    directory.parent().is_none()
        || WRITABLE.iter().any(|known| directory.starts_with(known))
        || OWN.iter().any(|known| directory.starts_with(Path::new(known).join(name)))
}

fn sections(sections: &[(&str, &str)]) -> String {
    let mut text = String::new();
    for (name, body) in sections.iter().filter(|(_, body)| !body.is_empty()) {
        let _ = write!(text, "\n[{name}]\n{body}");
    }
    if text.is_empty() {
        return text;
    }
    format!("# From the INI file of the instance, by rwsgi-generator(8).\n{text}")
}

/// Without specifiers.
fn escaped(text: &str) -> String {
    text.replace('%', "%%")
}

/// For between quotation marks, where systemd reads a list.
fn quoted(text: &str) -> String {
    escaped(&text.replace('\\', "\\\\").replace('"', "\\\""))
}

#[cfg(test)]
#[path = "unit_tests.rs"]
mod tests;
