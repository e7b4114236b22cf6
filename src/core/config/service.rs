//! What the unit of systemd has to fit, as the generator sees it: before file systems are mounted, so
//! that nothing is looked at but the INI file itself.

use std::path::{Path, PathBuf};

use super::error::{ConfigError, Findings, Report};
use super::load::{Sources, collect};
use super::lookup::{Lookup, lookup};
use super::raw::{RawConfig, RawOption};
use super::resource::is_unrun;
use super::settings::Settings;
use super::value::Value;
use super::{Context, Listen, LogTarget, listening, paths};
use crate::address::ListenAddr;

/// What the unit of an instance has to fit.
#[derive(Debug, Clone, PartialEq, Eq)]
#[cfg_attr(test, derive(serde::Serialize))]
pub struct Service {
    /// It starts with the system (`autostart`).
    pub autostart: bool,
    /// systemd opens its sockets (`socket-activation`).
    pub socket_activation: bool,
    /// Where it listens.
    pub listeners: Vec<Listen>,
    /// Connections that may wait, for each listener (`listen`).
    pub backlog: u32,
    /// Numeric user (`uid`).
    pub uid: Option<u32>,
    /// Numeric group (`gid`).
    pub gid: Option<u32>,
    /// Files that it makes, absolute.
    pub files: Vec<PathBuf>,
    /// Where its code is, absolute: directories, files and interpreters.
    pub code: Vec<PathBuf>,
    /// Something that is written in its configuration is in a home ([`HOMES`]).
    pub names_home: bool,
    /// Open connections of a worker (`max-connections`).
    pub max_connections: u32,
    /// Bytes (`memory-high`).
    pub memory_high: Option<u64>,
    /// Bytes (`memory-max`).
    pub memory_max: Option<u64>,
    /// Percent of one processor (`cpu-quota`).
    pub cpu_quota: Option<u64>,
    /// Processes and threads (`tasks-max`).
    pub tasks_max: Option<u64>,
}

impl Service {
    /// Whether systemd is to open its sockets: because that is asked for, or because only systemd may.
    pub fn wants_sockets(&self) -> bool {
        let privileged = |listen: &Listen| matches!(listen.address, ListenAddr::Tcp(tcp) if (1..1024).contains(&tcp.port()));
        self.socket_activation || self.listeners.iter().any(privileged)
    }
}

/// Options that name a file which the instance makes.
const FILES: [&str; 8] = [
    "pidfile",
    "control-socket",
    "master-fifo",
    "daemonize",
    "logto",
    "logger",
    "req-logger",
    "log-backupname",
];

/// Options that name code, relative to `chdir`.
const CODE: [&str; 4] = ["wsgi-file", "pythonpath", "virtualenv", "python"];

/// Where people have their files; what ProtectHome= of systemd is about.
pub const HOMES: [&str; 3] = ["/home", "/root", "/run/user"];

/// Whether `text` has a path that leads to one of [`HOMES`].
pub fn names_home(text: &str) -> bool {
    let ends =
        |rest: &str| !rest.starts_with(|next: char| next.is_alphanumeric() || "-_.".contains(next));
    let named =
        |home: &&str| text.match_indices(*home).any(|(at, _)| ends(&text[at + home.len()..]));
    text.contains('~') || HOMES.iter().any(named)
}

/// Other options that the unit depends on.
const FITTED: [&str; 19] = [
    "autostart",
    "socket-activation",
    "http",
    "socket",
    "uwsgi-socket",
    "protocol",
    "chmod-socket",
    "chown-socket",
    "listen",
    "uid",
    "gid",
    "chdir",
    "max-connections",
    "memory-high",
    "memory-max",
    "cpu-quota",
    "tasks-max",
    "proxy-protocol",
    "stats",
];

/// Takes away what is known only when commands are run. The unit must not depend on it.
fn drop_unrun(raw: &mut RawConfig, findings: &mut Findings) {
    let is_needed = |option: &RawOption| match lookup(&option.key) {
        Lookup::Exact(spec) | Lookup::Prefix(spec) => {
            [&FITTED[..], &FILES, &CODE].iter().any(|names| names.contains(&spec.name))
        }
        _ => false,
    };
    raw.options.retain(|option| {
        let is_unrun = is_unrun(&option.value);
        if is_unrun && is_needed(option) {
            let what =
                format!("the unit depends on `{}`, and no command is run for it", option.key);
            let report = Report::new(what).at_value(&option.origin);
            findings.error(report.help("have the command write a file, and name that: `@(PATH)`"));
        }
        !is_unrun
    });
}

/// Reads what the unit has to fit. Whether directories exist and modules can be found is not asked.
///
/// # Errors
/// What is written wrongly: the instance would not start.
pub fn service(sources: &Sources, context: &Context) -> Result<Service, Vec<ConfigError>> {
    let mut findings = Findings::default();
    let mut raw = collect(sources, context, &mut findings);
    // The line, too: of `@(/home/al/secret)` the value is what that file says.
    let is_home = |option: &RawOption| names_home(&option.value) || names_home(&option.origin.text);
    let names_home = raw.options.iter().any(is_home);
    if context.without_commands {
        drop_unrun(&mut raw, &mut findings);
    }
    let settings = Settings::read(&raw, &mut findings);
    if !findings.errors.is_empty() {
        return Err(findings.errors);
    }
    let mut service = derive(&settings, context);
    service.names_home = names_home;
    Ok(service)
}

/// Whether a file that cannot be used asks for a start with the system, so that its failure shows.
pub fn wants_autostart(sources: &Sources, context: &Context) -> bool {
    let raw = collect(sources, context, &mut Findings::default());
    Settings::read(&raw, &mut Findings::default()).switch("autostart")
}

fn derive(settings: &Settings<'_>, context: &Context) -> Service {
    // What the file system has to say is told at the start.
    let mut unasked = Findings::default();
    let base = path(settings, "chdir", &context.cwd).unwrap_or_else(|| context.cwd.clone());
    let listeners = listening::listeners(settings, context, &base, &mut unasked);
    Service {
        autostart: settings.switch("autostart"),
        socket_activation: settings.switch("socket-activation"),
        listeners,
        backlog: settings.small("listen").unwrap_or(1024),
        uid: settings.small("uid"),
        gid: settings.small("gid"),
        files: settings
            .all(&FILES)
            .chain(settings.last("stats"))
            .filter_map(|setting| match &setting.value {
                Value::Path(file) | Value::Logger(_, LogTarget::File(file)) => {
                    Some(paths::absolute(&context.cwd, file))
                }
                Value::Address(ListenAddr::Unix(file)) => Some(paths::absolute(&base, file)),
                _ => None,
            })
            .collect(),
        code: code(settings, &base),
        names_home: false,
        max_connections: settings.small("max-connections").unwrap_or_default(),
        memory_high: settings.number("memory-high"),
        memory_max: settings.number("memory-max"),
        cpu_quota: settings.number("cpu-quota"),
        tasks_max: settings.number("tasks-max"),
    }
}

fn code(settings: &Settings<'_>, base: &Path) -> Vec<PathBuf> {
    let of = |name: &str, value: &Value| match value {
        // A name to look up in PATH.
        Value::Path(path) if name == "python" && path.components().count() == 1 => None,
        Value::Path(path) => Some(paths::absolute(base, path)),
        _ => None,
    };
    let named = settings.all(&CODE).filter_map(|setting| of(setting.spec.name, &setting.value));
    settings.last("chdir").map(|_| base.to_owned()).into_iter().chain(named).collect()
}

fn path(settings: &Settings<'_>, name: &str, base: &Path) -> Option<PathBuf> {
    match &settings.last(name)?.value {
        Value::Path(path) => Some(paths::absolute(base, path)),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::names_home;

    #[test]
    fn a_home_is_named_by_a_whole_part_of_a_path() {
        let homes = ["/home/al/shop", "static-map=/s=/home/al", "/root", "~/shop", "a:/run/user/7"];
        assert!(homes.iter().all(|text| names_home(text)));
        let others = ["/srv/homes", "/homeless", "/root.d/x", "/run/users", "x/rooted", ""];
        assert!(!others.iter().any(|text| names_home(text)));
    }
}
