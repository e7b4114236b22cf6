//! The machine, for `rwsgi doctor`: versions, clock, kernel, disks, journal, denials.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, SystemTime};

use nix::sys::statvfs::statvfs;
use rwsgi_core::exit::ExitCode;
use rwsgi_core::sys;

use crate::cli::INSTANCES;
use crate::finding::Findings;
use crate::limits::number;
use crate::spawn;

/// Below so many free bytes a disk is short.
const SHORT: u64 = 256 << 20;
/// Below so many free inodes.
const FEW: u64 = 1000;
/// What the socket unit asks for, and a good value of net.core.somaxconn.
const BACKLOG: u64 = 4096;
/// Files may be so much newer than the clock: they come from machines whose clocks differ.
const TOLERANCE: Duration = Duration::from_secs(300);
/// Of journald: entries of a unit were suppressed.
const SUPPRESSED: &str = "MESSAGE_ID=a596d6fe7bfa4994828e72309e95d61e";
/// Of systemd: the clock was set.
const CLOCK_SET: &str = "MESSAGE_ID=c7a787079b354eaaa9e77b371893cd27";

/// Looks at all of it. `directories` are those in which instances write.
pub fn look(directories: &[PathBuf], findings: &mut Findings) {
    versions(findings);
    clock(findings);
    kernel(findings);
    disks(directories, findings);
    journal(findings);
    denials(findings);
}

/// Whether systemd runs this machine.
fn has_systemd() -> bool {
    Path::new("/run/systemd/system").is_dir()
}

/// What a program prints, if it can be run.
fn said(program: &str, arguments: &[&str]) -> Option<String> {
    let mut command = Command::new(program);
    let output = command.args(arguments).stdin(Stdio::null()).output().ok()?;
    output.status.success().then(|| String::from_utf8_lossy(&output.stdout).into_owned())
}

/// The first line of that.
pub fn first_line(program: &str, arguments: &[&str]) -> Option<String> {
    said(program, arguments)?.lines().next().map(str::to_owned)
}

fn versions(findings: &mut Findings) {
    findings.ok("version", format!("rwsgi {}", rwsgi_core::VERSION));
    match first_line("systemctl", &["--version"]) {
        Some(_) if !has_systemd() => {
            let remedy = "use `daemonize`, or another supervisor";
            findings.warn("systemd", "is installed, but does not run this machine", remedy);
        }
        Some(version) => findings.ok("systemd", version),
        None => findings.warn("systemd", "is not here", "use `daemonize`, or another supervisor"),
    }
    let remedy = "apt install --reinstall rwsgi";
    match spawn::extension() {
        Err(why) => findings.error(ExitCode::System, "extension", why, remedy),
        Ok(path) if !path.is_file() => {
            let message = format!("{} is not there", path.display());
            findings.error(ExitCode::System, "extension", message, remedy);
        }
        Ok(path) => findings.ok("extension", path.display().to_string()),
    }
}

/// rwsgi itself measures with a clock that nobody sets; cookies, tokens, TLS and logs do not.
fn clock(findings: &mut Findings) {
    let own = std::env::current_exe().into_iter().chain(spawn::extension());
    let configured = fs::read_dir(INSTANCES).into_iter().flatten().flatten();
    let files = own.chain(configured.map(|entry| entry.path()));
    if let Some(file) = newer_than(SystemTime::now() + TOLERANCE, files) {
        let message = format!("is behind: {} is from the future", file.display());
        findings.warn("clock", message, "timedatectl; hwclock --show");
    }
    if sys::clock_is_kept() == Some(false) {
        let message = "is kept right by nobody: cookies, tokens and certificates may seem to be too old or too new";
        findings.warn(
            "clock",
            message,
            "apt install systemd-timesyncd (or chrony); timedatectl set-ntp true",
        );
    }
    let arguments = ["-b", "-q", "-o", "short-iso", "--no-pager", "-n", "100", CLOCK_SET];
    let times = said("journalctl", &arguments).unwrap_or_default();
    // Once is usual: after the start, by the first answer of a server.
    if times.lines().count() > 1 {
        let message = format!(
            "was set {} times since the start of the machine, last: {}",
            times.lines().count(),
            times.lines().last().unwrap_or_default()
        );
        findings.warn(
            "clock",
            message,
            "one service is to set it, slowly: timedatectl timesync-status, chronyc tracking",
        );
    }
    if findings.is_good("clock") {
        findings.ok("clock", "is kept right");
    }
}

fn newer_than(time: SystemTime, mut files: impl Iterator<Item = PathBuf>) -> Option<PathBuf> {
    files.find(|file| file.metadata().and_then(|facts| facts.modified()).is_ok_and(|it| it > time))
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

/// Where pid files and sockets, bodies of requests, logs, and what applications keep are.
fn disks(directories: &[PathBuf], findings: &mut Findings) {
    let usual = ["/run", "/tmp", "/var/tmp", "/var/log", "/var/lib"].map(PathBuf::from);
    for path in usual.iter().chain(directories) {
        let Ok(facts) = statvfs(path) else { continue };
        let shown = path.display();
        let free = facts.blocks_available().saturating_mul(facts.fragment_size());
        if free < SHORT {
            let message = format!("{shown} has {} MiB left", free >> 20);
            findings.warn("disk", message, "journalctl --vacuum-size=500M, apt clean, du -xh");
        }
        // Some file systems count none.
        if facts.files() > 0 && facts.files_available() < FEW {
            let message = format!("{shown} has room for {} more files", facts.files_available());
            findings.warn(
                "disk",
                message,
                format!("du --inodes -xd2 {shown} shows where they are"),
            );
        }
    }
    if findings.is_good("disk") {
        let more = if directories.is_empty() { "" } else { ", and where instances write," };
        findings.ok("disk", format!("/run, /tmp, /var/tmp, /var/log and /var/lib{more} have room"));
    }
}

fn journal(findings: &mut Findings) {
    if !has_systemd() {
        return;
    }
    if !Path::new("/var/log/journal").is_dir() {
        let remedy = "mkdir -p /var/log/journal && systemd-tmpfiles --create --prefix /var/log/journal && journalctl --flush";
        findings.warn("journal", "is in memory: the next start of the machine loses it", remedy);
    }
    let arguments = ["-b", "-q", "-o", "cat", "--no-pager", "-n", "200", SUPPRESSED];
    let suppressed = said("journalctl", &arguments).unwrap_or_default();
    if let Some(last) = suppressed.lines().rev().find(|line| line.contains("rwsgi@")) {
        let remedy = "LogRateLimitBurst= of the unit (systemctl edit), before systemd 240 RateLimitBurst= in \
                      /etc/systemd/journald.conf; or `disable-logging`";
        findings.warn("journal", format!("has dropped entries: {last}"), remedy);
    }
    if findings.is_good("journal") {
        findings.ok("journal", "outlives a start of the machine, and has dropped nothing of rwsgi");
    }
}

/// What AppArmor or SELinux has denied to rwsgi since the boot.
pub fn denials(findings: &mut Findings) {
    let arguments =
        ["-k", "-b", "-q", "-o", "cat", "--no-pager", "-n", "1", "-g", "(DENIED|denied).*rwsgi"];
    if let Some(line) = first_line("journalctl", &arguments) {
        findings.warn("denial", line.clone(), remedy_of_denial(&line));
    }
}

/// What lets it do that, after the line of the kernel.
fn remedy_of_denial(line: &str) -> String {
    let field = |name: &str| {
        let (_, rest) = line.split_once(&format!("{name}=\""))?;
        rest.split('"').next().map(str::to_owned)
    };
    if !line.contains("apparmor=") {
        return "ausearch -m avc -ts boot | audit2why; a path of its own type: semanage fcontext -a -t httpd_sys_content_t \
                'DIR(/.*)?' && restorecon -R DIR"
            .to_owned();
    }
    let letters = field("requested_mask").unwrap_or_else(|| "r".to_owned());
    match field("name").filter(|name| name.starts_with('/')) {
        Some(name) => format!(
            "echo '{name} {letters},' >>/etc/apparmor.d/local/rwsgi && apparmor_parser -r /etc/apparmor.d/rwsgi"
        ),
        None => "aa-logprof; or, to see whether that is all: aa-complain rwsgi".to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_denial_says_what_would_allow_it() {
        let line = "audit: apparmor=\"DENIED\" operation=\"open\" profile=\"rwsgi\" name=\"/opt/shop/x.py\" \
                    requested_mask=\"r\"";
        let remedy = remedy_of_denial(line);
        assert!(
            remedy.starts_with("echo '/opt/shop/x.py r,' >>/etc/apparmor.d/local/"),
            "{remedy}"
        );
        let line = "audit: apparmor=\"DENIED\" operation=\"capable\" profile=\"rwsgi\"";
        assert!(remedy_of_denial(line).starts_with("aa-logprof"));
        let line = "audit: avc: denied { read } for comm=\"rwsgi\" tcontext=user_home_t";
        assert!(remedy_of_denial(line).contains("restorecon"));
    }

    #[test]
    fn a_file_from_the_future_is_found() {
        let place = tempfile::tempdir().unwrap();
        let file = place.path().join("x");
        fs::write(&file, "").unwrap();
        let past = SystemTime::now() - Duration::from_secs(3600);
        assert_eq!(newer_than(past, [file.clone()].into_iter()), Some(file.clone()));
        assert_eq!(newer_than(SystemTime::now() + TOLERANCE, [file].into_iter()), None);
    }
}
