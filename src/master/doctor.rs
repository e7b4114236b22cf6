//! `rwsgi doctor`: the machine, and the instances on it.

use std::fs;
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use nix::sys::statvfs::statvfs;
use rwsgi_core::exit::ExitCode;

use crate::cli::INSTANCES;
use crate::finding::Findings;
use crate::service::Service;
use crate::{instances, spawn};

/// Below so many free bytes a disk is short.
const SHORT: u64 = 256 << 20;
/// What the socket unit asks for, and a good value of net.core.somaxconn.
const BACKLOG: u64 = 4096;

/// What was asked for.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Asked {
    /// One instance; `None`: all.
    pub name: Option<String>,
    /// As JSON.
    pub json: bool,
}

/// Reads what follows `doctor`; `None`: it is to explain itself.
pub fn parse(arguments: impl Iterator<Item = std::ffi::OsString>) -> Option<Asked> {
    let mut asked = Asked::default();
    for argument in arguments {
        match argument.to_str() {
            Some("--json") => asked.json = true,
            Some(name) if !name.starts_with('-') && asked.name.is_none() => {
                asked.name = Some(name.to_owned());
            }
            _ => return None,
        }
    }
    Some(asked)
}

/// Looks at everything; the exit code is that of the first error.
pub fn run(asked: &Asked) -> ExitCode {
    let mut findings = Findings::default();
    versions(&mut findings);
    kernel(&mut findings);
    disks(&mut findings);
    denials(&mut findings);
    match &asked.name {
        Some(name) => instance(name, &mut findings),
        None => configured().iter().for_each(|name| instance(name, &mut findings)),
    }
    stale(&mut findings);
    findings.print(asked.json)
}

/// The first line of what a program prints, if it can be run.
fn first_line(program: &str, arguments: &[&str]) -> Option<String> {
    let mut command = Command::new(program);
    let output = command.args(arguments).stdin(Stdio::null()).output().ok()?;
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    text.lines().next().map(str::to_owned).filter(|_| output.status.success())
}

fn versions(findings: &mut Findings) {
    findings.ok("version", format!("rwsgi {}", rwsgi_core::VERSION));
    match first_line("systemctl", &["--version"]) {
        Some(_) if !Path::new("/run/systemd/system").is_dir() => {
            let remedy = "use `daemonize`, or another supervisor";
            findings.warn("systemd", "is installed, but does not run this machine", remedy);
        }
        Some(version) => findings.ok("systemd", version),
        None => findings.warn("systemd", "is not here", "use `daemonize`, or another supervisor"),
    }
    match first_line("python3", &["-c", "import sys; print(sys.executable, sys.version)"]) {
        Some(version) => findings.ok("python", version),
        None => findings.warn(
            "python",
            "there is no python3 in PATH",
            "apt install python3, or set `python` or `virtualenv` in each configuration",
        ),
    }
    extension(findings);
}

/// Whether it is there. That it is of this version, each start makes sure.
fn extension(findings: &mut Findings) {
    let remedy = "apt install --reinstall rwsgi";
    let path = match spawn::extension() {
        Ok(path) => path,
        Err(why) => return findings.error(ExitCode::System, "extension", why, remedy),
    };
    let shown = path.display().to_string();
    if !path.is_file() {
        let message = format!("{shown} is not there");
        return findings.error(ExitCode::System, "extension", message, remedy);
    }
    findings.ok("extension", shown);
}

fn number(path: &str) -> Option<u64> {
    fs::read_to_string(path).ok()?.trim().parse().ok()
}

fn kernel(findings: &mut Findings) {
    if let Some(longest) = number("/proc/sys/net/core/somaxconn") {
        if longest < BACKLOG {
            let message =
                format!("net.core.somaxconn is {longest}: no queue of connections is longer");
            let remedy = format!(
                "echo net.core.somaxconn={BACKLOG} >/etc/sysctl.d/60-rwsgi.conf; sysctl --system"
            );
            findings.warn("kernel", message, remedy);
        } else {
            findings.ok("kernel", format!("net.core.somaxconn is {longest}"));
        }
    }
    if number("/proc/sys/vm/overcommit_memory") == Some(2) {
        let message = "vm.overcommit_memory is 2: a fork may be refused although memory is free";
        findings.warn("kernel", message, "sysctl vm.overcommit_memory=0, or fewer processes");
    }
    if !Path::new("/sys/fs/cgroup/cgroup.controllers").exists() {
        let message = "there is no unified cgroup hierarchy: memory pressure cannot be seen";
        findings.warn("kernel", message, "boot with systemd.unified_cgroup_hierarchy=1");
    }
}

fn disks(findings: &mut Findings) {
    for path in ["/run", "/tmp", "/var/log", "/var/lib"] {
        let Ok(facts) = statvfs(path) else { continue };
        let free = facts.blocks_available().saturating_mul(facts.fragment_size());
        if free < SHORT {
            let message = format!("{path} has {} MiB left", free >> 20);
            findings.warn("disk", message, "journalctl --vacuum-size=500M, apt clean, du -xh");
        }
    }
    if findings.is_good("disk") {
        findings.ok("disk", "/run, /tmp, /var/log and /var/lib have room");
    }
}

/// What AppArmor or SELinux has denied to rwsgi since the boot.
fn denials(findings: &mut Findings) {
    let arguments =
        ["-k", "-b", "-q", "-o", "cat", "--no-pager", "-n", "1", "-g", "(DENIED|denied).*rwsgi"];
    if let Some(line) = first_line("journalctl", &arguments) {
        let remedy = "aa-logprof for AppArmor, audit2allow for SELinux; or change the path in the configuration";
        findings.warn("denial", line, remedy);
    }
}

/// The instances that have a configuration.
fn configured() -> Vec<String> {
    let entries = fs::read_dir(INSTANCES).into_iter().flatten().flatten();
    let names = entries.filter_map(|entry| {
        let path = entry.path();
        let is_one = path.extension().is_some_and(|extension| extension == "ini");
        path.file_stem().filter(|_| is_one)?.to_str().map(str::to_owned)
    });
    let mut names: Vec<String> = names.collect();
    names.sort();
    names
}

fn instance(name: &str, findings: &mut Findings) {
    let unit = format!("rwsgi@{name}");
    let is_running = instances::running().iter().any(|(running, _)| running == name);
    let service = Service::ask(&format!("{unit}.service"));
    let state = service.as_ref().map_or("", |service| service.get("ActiveState"));
    if state == "failed" {
        let result = service.as_ref().map_or("", |service| service.get("Result"));
        let arguments = ["-u", &unit, "-p", "err", "-n", "1", "-o", "cat", "-q", "--no-pager"];
        let last = first_line("journalctl", &arguments).unwrap_or_default();
        let message = format!("{name} has failed ({result}): {last}");
        let remedy = format!("rwsgi check {name}; journalctl -xeu {unit}");
        return findings.error(ExitCode::Unavailable, "instance", message, remedy);
    }
    if is_running {
        findings.ok("instance", format!("{name} runs"));
    } else {
        let message = format!("{name} does not run");
        let remedy = format!("rwsgi check {name} && systemctl enable --now {unit}");
        findings.warn("instance", message, remedy);
    }
}

/// Control sockets that nobody serves: of masters that were killed.
fn stale(findings: &mut Findings) {
    for path in dead_sockets(Path::new("/run/rwsgi")) {
        let message = format!("nobody answers at {}", path.display());
        findings.warn("stale socket", message, "its instance was killed; a start replaces it");
    }
}

fn dead_sockets(directory: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(directory).into_iter().flatten().flatten();
    let sockets = entries.map(|entry| entry.path().join("control"));
    let refused = |path: &PathBuf| {
        let answer = UnixStream::connect(path);
        answer.is_err_and(|error| error.kind() == std::io::ErrorKind::ConnectionRefused)
    };
    sockets.filter(refused).collect()
}

#[cfg(test)]
mod tests {
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
    fn its_arguments_are_a_name_and_json() {
        let read = |line: &str| parse(line.split_whitespace().map(Into::into));
        assert_eq!(read("shop --json"), Some(Asked { name: Some("shop".into()), json: true }));
        assert_eq!(read(""), Some(Asked::default()));
        assert_eq!((read("--help"), read("a b")), (None, None));
    }
}
