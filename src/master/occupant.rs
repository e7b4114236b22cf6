//! Which process has an address that is in use, as far as /proc lets one see.

use std::fmt;
use std::fs;

use rwsgi_core::address::ListenAddr;

/// A process that listens.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Occupant {
    /// Its number.
    pub pid: u32,
    /// Its name, as ps(1) has it in short.
    pub name: String,
    /// The unit of systemd that it belongs to.
    pub unit: Option<String>,
}

/// systemd has the listeners of socket units, and keeps those of services over their restarts.
const SYSTEMD: u32 = 1;

impl Occupant {
    /// What makes it let go of the address.
    pub fn remedy(&self) -> String {
        match &self.unit {
            _ if self.pid == SYSTEMD => {
                "`systemctl list-sockets` shows for which unit: stop that, or choose another address".into()
            }
            Some(unit) => format!("systemctl stop {unit}, or choose another address"),
            None => format!("stop it, or choose another address; ps {}", self.pid),
        }
    }
}

impl fmt::Display for Occupant {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} (pid {})", self.name, self.pid)?;
        self.unit.as_ref().map_or(Ok(()), |unit| write!(f, " of {unit}"))
    }
}

/// Who listens at `address`. Only root sees the descriptors of others.
pub fn at(address: &ListenAddr) -> Option<Occupant> {
    let inode = inode(address)?;
    let wanted = format!("socket:[{inode}]");
    let processes = fs::read_dir("/proc").ok()?.flatten();
    let pids = processes.filter_map(|entry| entry.file_name().to_str()?.parse::<u32>().ok());
    let holds = |pid: &u32| {
        let descriptors = fs::read_dir(format!("/proc/{pid}/fd")).into_iter().flatten().flatten();
        descriptors
            .filter_map(|entry| fs::read_link(entry.path()).ok())
            .any(|target| target.as_os_str() == wanted.as_str())
    };
    let mut holders: Vec<u32> = pids.filter(holds).collect();
    holders.sort_unstable_by_key(|pid| precedence(*pid, started(*pid)));
    holders.first().map(|pid| of_pid(*pid))
}

/// Who is to be named first. Where workers share a listener, the oldest process; systemd, which is older than all, only
/// where nobody else has it.
fn precedence(pid: u32, started: Option<u64>) -> (bool, Option<u64>, u32) {
    (pid == SYSTEMD, started, pid)
}

/// When a process began, in ticks since the boot. Its number does not tell: they begin anew.
fn started(pid: u32) -> Option<u64> {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    stat.rsplit_once(')')?.1.split_whitespace().nth(19)?.parse().ok()
}

/// Name and unit of a process.
pub fn of_pid(pid: u32) -> Occupant {
    let read = |name: &str| fs::read_to_string(format!("/proc/{pid}/{name}")).unwrap_or_default();
    let unit = read("cgroup").lines().find_map(unit_of);
    Occupant { pid, name: read("comm").trim().to_owned(), unit }
}

/// The unit in a line of /proc/PID/cgroup.
fn unit_of(line: &str) -> Option<String> {
    let parts = line.rsplit('/');
    let is_unit = |part: &&str| part.ends_with(".service") || part.ends_with(".scope");
    parts.into_iter().find(is_unit).map(str::to_owned)
}

fn inode(address: &ListenAddr) -> Option<String> {
    match address {
        ListenAddr::Tcp(address) => ["/proc/net/tcp", "/proc/net/tcp6"].iter().find_map(|table| {
            let table = fs::read_to_string(table).ok()?;
            table.lines().find_map(|line| listening(line, address.port()))
        }),
        ListenAddr::Unix(path) => of_unix(path.to_str()?),
        ListenAddr::Abstract(name) => of_unix(&format!("@{name}")),
        ListenAddr::Systemd(_) | ListenAddr::Fd(_) => None,
    }
}

/// The inode, if a line of /proc/net/tcp is about a listener at this port.
fn listening(line: &str, port: u16) -> Option<String> {
    const LISTEN: &str = "0A";
    let fields: Vec<&str> = line.split_whitespace().collect();
    let local = fields.get(1)?.rsplit(':').next()?;
    let is_it = fields.get(3) == Some(&LISTEN) && u16::from_str_radix(local, 16) == Ok(port);
    is_it.then(|| fields.get(9).map(|inode| (*inode).to_owned())).flatten()
}

/// The inode of the listener of this name. Connections that it has accepted bear its name, too.
fn of_unix(name: &str) -> Option<String> {
    const LISTENS: &str = "00010000";
    let table = fs::read_to_string("/proc/net/unix").ok()?;
    table.lines().find_map(|line| {
        let fields: Vec<&str> = line.split_whitespace().collect();
        let is_it = fields.get(7) == Some(&name) && fields.get(3) == Some(&LISTENS);
        is_it.then(|| fields.get(6).map(|inode| (*inode).to_owned())).flatten()
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_listener_of_this_process_is_found_by_port_and_by_path() {
        let tcp = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let found = at(&ListenAddr::Tcp(tcp.local_addr().unwrap())).unwrap();
        assert_eq!(found.pid, std::process::id());
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("s");
        let _unix = std::os::unix::net::UnixListener::bind(&path).unwrap();
        assert_eq!(at(&ListenAddr::Unix(path)).unwrap().pid, std::process::id());
        assert_eq!(at(&ListenAddr::Unix("/nowhere".into())), None);
    }

    #[test]
    fn who_serves_is_named_before_systemd_that_keeps_the_listener_for_it() {
        assert!(precedence(700, Some(9000)) < precedence(1, Some(3)));
        assert!(precedence(900, Some(9000)) < precedence(700, Some(9001)));
        let systemd = Occupant { pid: 1, name: "systemd".into(), unit: Some("init.scope".into()) };
        assert!(systemd.remedy().starts_with("`systemctl list-sockets`"));
    }

    #[test]
    fn the_unit_is_the_innermost_one() {
        let line = "0::/system.slice/system-rwsgi.slice/rwsgi@shop.service/workers";
        assert_eq!(unit_of(line).as_deref(), Some("rwsgi@shop.service"));
        assert_eq!(unit_of("0::/"), None);
    }
}
