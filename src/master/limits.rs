//! Whether the limits of the machine and of the unit leave an instance what its configuration asks for.

use std::fs;

use nix::sys::resource::{Resource, getrlimit};
use rwsgi_core::config::{Config, LogTarget};

use crate::finding::Findings;
use crate::service::Service;
use crate::unit;

/// Threads of a worker that run no Python, and of a master.
const OWN_THREADS: u64 = 4;
/// Of the memory that is allowed, so many percent are much.
const MUCH: u64 = 90;

/// What counts: of systemd, if it knows the instance, and of the kernel.
pub struct Limits<'a> {
    /// The name of the instance.
    pub name: &'a str,
    /// What it asks for.
    pub config: &'a Config,
    /// Its unit.
    pub service: Option<&'a Service>,
}

impl Limits<'_> {
    /// Tells which are too low.
    pub fn look(&self, findings: &mut Findings) {
        self.files(findings);
        self.backlog(findings);
        if let Some(service) = self.service {
            self.tasks(service, findings);
            self.memory(service, findings);
            self.log(service, findings);
        }
        if findings.is_good("limit") {
            findings.ok("limit", format!("{}: files, tasks, memory and queues suffice", self.name));
        }
    }

    fn files(&self, findings: &mut Findings) {
        let name = self.name;
        let connections = self.config.http.max_connections;
        let needed = unit::open_files(connections);
        let (of_unit, remedy) = match self.service.map(|service| service.number("LimitNOFILE")) {
            Some(limit) => (limit, format!("LimitNOFILE={needed}: systemctl edit rwsgi@{name}")),
            None => (
                getrlimit(Resource::RLIMIT_NOFILE).ok().map(|(_, hard)| hard),
                format!("ulimit -n {needed}, or a smaller `max-connections`"),
            ),
        };
        if let Some(limit) = of_unit.filter(|limit| *limit < needed) {
            let message = format!(
                "{name}: a worker may open {limit} files; with max-connections = {connections} it may want {needed}"
            );
            findings.warn("limit", message, remedy);
        }
        let all = needed.saturating_mul(u64::from(self.config.processes));
        if let Some(most) = number("/proc/sys/fs/file-max").filter(|most| *most < all) {
            let message =
                format!("{name}: fs.file-max is {most}; all workers together may want {all}");
            findings.warn("limit", message, format!("sysctl fs.file-max={all}"));
        }
    }

    fn backlog(&self, findings: &mut Findings) {
        let (name, wanted) = (self.name, u64::from(self.config.backlog));
        if let Some(most) = number("/proc/sys/net/core/somaxconn").filter(|most| *most < wanted) {
            let message = format!(
                "{name}: listen = {wanted}, but net.core.somaxconn is {most}: no queue of connections is longer"
            );
            let remedy = format!(
                "echo net.core.somaxconn={wanted} >/etc/sysctl.d/60-rwsgi.conf; sysctl --system"
            );
            findings.warn("limit", message, remedy);
        }
    }

    fn tasks(&self, service: &Service, findings: &mut Findings) {
        let name = self.name;
        let (processes, threads) =
            (u64::from(self.config.processes), u64::from(self.config.threads));
        // At a reload there is another template, and one worker more at a time.
        let needed = (processes + 4) * (threads + OWN_THREADS);
        if let Some(most) = service.number("TasksMax").filter(|most| *most < needed) {
            let message = format!(
                "{name}: TasksMax={most}; {processes} workers of {threads} threads need {needed}, beside what the application starts"
            );
            findings.warn("limit", message, format!("tasks-max = {} in the INI file", 2 * needed));
        }
    }

    fn memory(&self, service: &Service, findings: &mut Findings) {
        let name = self.name;
        let Some(used) = service.number("MemoryCurrent") else { return };
        for (key, option) in [("MemoryHigh", "memory-high"), ("MemoryMax", "memory-max")] {
            let Some(limit) = service.number(key).filter(|limit| *limit > 0) else { continue };
            if used.saturating_mul(100) >= limit.saturating_mul(MUCH) {
                let (used, limit) = (used >> 20, limit >> 20);
                let message =
                    format!("{name} uses {used} MiB of the {limit} MiB that {key}= allows");
                let remedy = format!(
                    "a larger `{option}`, fewer `processes`, or `reload-on-rss`; rwsgi workers {name}"
                );
                findings.warn("limit", message, remedy);
            }
        }
    }

    /// Each request is an entry, and an error behind them must not be dropped.
    fn log(&self, service: &Service, findings: &mut Findings) {
        let (log, requests) = (&self.config.log, &self.config.log.requests);
        let target = &requests.sinks.as_ref().unwrap_or(&log.sinks).target;
        let to_journal = matches!(target, LogTarget::Auto | LogTarget::Journal);
        if to_journal
            && requests.enabled
            && requests.rate.is_none()
            && service.get("LogRateLimitBurst").is_empty()
        {
            let message = format!(
                "{}: this systemd has no limit of its own for the log of a unit: journald drops entries beyond RateLimitBurst=",
                self.name
            );
            let remedy = "RateLimitBurst=200000 in /etc/systemd/journald.conf, then: systemctl restart systemd-journald; \
                          or `log-rate = 20`, or requests to a file (`req-logger`)";
            findings.warn("journal", message, remedy);
        }
    }
}

/// The number in a file of /proc.
pub fn number(path: &str) -> Option<u64> {
    fs::read_to_string(path).ok()?.trim().parse().ok()
}
