//! What is left over: sockets and pid files of masters that were killed, workers without a master, masters that
//! systemd knows nothing of, directories and units of instances without a configuration.

use std::fs;
use std::io::ErrorKind;
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};

use rwsgi_core::address::ListenAddr;
use rwsgi_core::config::Config;

use crate::cli::INSTANCES;
use crate::finding::Findings;
use crate::{instances, occupant, pidfile};

const RUN: &str = "/run/rwsgi";
const UNITS: &str = "/etc/systemd/system";

/// Looks for what belongs to no instance.
pub fn look(findings: &mut Findings) {
    for path in dead_sockets(Path::new(RUN)) {
        let message = format!("nobody answers at {}", path.display());
        findings.warn("stale socket", message, "its instance was killed; a start replaces it");
    }
    let has_none = |name: &String| !Path::new(INSTANCES).join(format!("{name}.ini")).exists();
    let runs = |name: &String| instances::running().iter().any(|(running, _)| running == name);
    for name in names_in(Path::new(RUN)).into_iter().filter(|name| has_none(name)) {
        if runs(&name) {
            let message = format!("{name} runs, but there is no {INSTANCES}/{name}.ini");
            findings.warn(
                "leftover",
                message,
                format!("systemctl stop rwsgi@{name}, or put the file back"),
            );
        } else {
            let message = format!("{RUN}/{name} belongs to no instance");
            findings.warn("leftover", message, format!("rm -r {RUN}/{name}"));
        }
    }
    for unit in enabled(Path::new(UNITS)) {
        let name = unit.trim_start_matches("rwsgi@").rsplit_once('.').map_or("", |(name, _)| name);
        if !name.is_empty() && has_none(&name.to_owned()) {
            let message = format!("{unit} is enabled, but there is no {INSTANCES}/{name}.ini");
            findings.warn("leftover", message, format!("systemctl disable {unit}"));
        }
    }
    processes(&processes_of_rwsgi(), findings);
}

/// Looks at what an instance that does not run has left behind.
pub fn of_instance(name: &str, config: &Config, findings: &mut Findings) {
    if let Some(path) = &config.process.pidfile
        && matches!(pidfile::holder(path), Ok(None))
    {
        let message = format!("{name}: nobody holds the pid file {}", path.display());
        findings.warn(
            "stale pid file",
            message,
            format!("a start takes it; or: rm {}", path.display()),
        );
    }
    let paths = config.listeners.iter().filter_map(|listen| match &listen.address {
        ListenAddr::Unix(path) => Some(path),
        ListenAddr::Tcp(_)
        | ListenAddr::Abstract(_)
        | ListenAddr::Systemd(_)
        | ListenAddr::Fd(_) => None,
    });
    for path in paths.filter(|path| refuses(path)) {
        let message = format!("{name}: nobody listens at {}", path.display());
        findings.warn(
            "stale socket",
            message,
            "a start replaces it; until then its clients get errors",
        );
    }
}

/// A process of an instance.
struct Process {
    pid: u32,
    parent: u32,
    name: String,
}

fn processes_of_rwsgi() -> Vec<Process> {
    let entries = fs::read_dir("/proc").into_iter().flatten().flatten();
    let pids = entries.filter_map(|entry| entry.file_name().to_str()?.parse::<u32>().ok());
    pids.filter_map(|pid| {
        let name = fs::read_to_string(format!("/proc/{pid}/comm")).ok()?.trim().to_owned();
        let stat = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
        let parent = stat.rsplit_once(')')?.1.split_whitespace().nth(1)?.parse().ok()?;
        name.starts_with("rwsgi").then_some(Process { pid, parent, name })
    })
    .collect()
}

fn processes(all: &[Process], findings: &mut Findings) {
    let by_systemd = Path::new("/run/systemd/system").is_dir();
    let workers = all.iter().filter(|process| process.name == "rwsgi-worker");
    let mut masters: Vec<u32> = Vec::new();
    for worker in workers {
        if !all.iter().any(|process| process.pid == worker.parent) {
            let message = format!("worker {} has no master any more", worker.pid);
            let remedy = format!("it leaves when its requests are done; kill {}", worker.pid);
            findings.warn("leftover", message, remedy);
        } else if !masters.contains(&worker.parent) {
            masters.push(worker.parent);
        }
    }
    for pid in masters.into_iter().filter(|_| by_systemd) {
        let unit = occupant::of_pid(pid).unit.unwrap_or_default();
        if !unit.starts_with("rwsgi@") {
            let message = format!(
                "process {pid} serves, and is no service of systemd: nothing starts it again"
            );
            findings.warn(
                "leftover",
                message,
                format!("kill {pid} stops it; rwsgi new makes a service"),
            );
        }
    }
}

/// Units of instances that start with the machine.
fn enabled(units: &Path) -> Vec<String> {
    let wants = names_in(units).into_iter().filter(|name| name.ends_with(".wants"));
    let mut found: Vec<String> = wants
        .flat_map(|wants| names_in(&units.join(wants)))
        .filter(|name| name.starts_with("rwsgi@"))
        .collect();
    found.sort_unstable();
    found.dedup();
    found
}

fn names_in(directory: &Path) -> Vec<String> {
    let entries = fs::read_dir(directory).into_iter().flatten().flatten();
    entries.filter_map(|entry| entry.file_name().into_string().ok()).collect()
}

/// Control sockets that nobody serves.
fn dead_sockets(directory: &Path) -> Vec<PathBuf> {
    let sockets = names_in(directory).into_iter().map(|name| directory.join(name).join("control"));
    sockets.filter(|path| refuses(path)).collect()
}

/// Whether there is a socket at which nobody listens. A connection that is made is closed again unused.
fn refuses(path: &Path) -> bool {
    UnixStream::connect(path).is_err_and(|error| error.kind() == ErrorKind::ConnectionRefused)
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::symlink;
    use std::os::unix::net::UnixListener;

    use super::*;

    #[test]
    fn a_socket_of_a_dead_master_is_told_from_one_that_is_served() {
        let directory = tempfile::tempdir().unwrap();
        for name in ["alive", "dead"] {
            fs::create_dir(directory.path().join(name)).unwrap();
        }
        let _alive = UnixListener::bind(directory.path().join("alive/control")).unwrap();
        drop(UnixListener::bind(directory.path().join("dead/control")).unwrap());
        assert_eq!(dead_sockets(directory.path()), [directory.path().join("dead/control")]);
    }

    #[test]
    fn units_that_are_enabled_are_found_once() {
        let directory = tempfile::tempdir().unwrap();
        for wants in ["multi-user.target.wants", "sockets.target.wants"] {
            fs::create_dir(directory.path().join(wants)).unwrap();
            symlink("/x", directory.path().join(wants).join("rwsgi@a.service")).unwrap();
            symlink("/x", directory.path().join(wants).join("nginx.service")).unwrap();
        }
        assert_eq!(enabled(directory.path()), ["rwsgi@a.service"]);
    }

    #[test]
    fn a_worker_whose_parent_is_no_master_is_left_over() {
        let process = |pid, parent, name: &str| Process { pid, parent, name: name.to_owned() };
        let all =
            [process(7, 1, "rwsgi"), process(8, 7, "rwsgi-worker"), process(9, 1, "rwsgi-worker")];
        let mut findings = Findings::default();
        processes(&all, &mut findings);
        let told = findings.text();
        assert!(told.contains("worker 9 has no master") && !told.contains("worker 8"), "{told}");
    }
}
