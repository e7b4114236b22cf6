//! What was written becomes a valid [`Config`]: the rules between options, and the only place that
//! asks the system whether files are there.

use std::fs::{FileType, symlink_metadata};
use std::os::unix::fs::FileTypeExt as _;
use std::path::{Path, PathBuf};
use std::time::Duration;

use super::application::{self, Application};
use super::error::{Findings, Report, quoted};
use super::lookup::{Lookup, lookup};
use super::options::OptionSpec;
use super::paths;
use super::raw::RawConfig;
use super::settings::{Setting, Settings};
use super::value::Value;
use super::{
    Config, Context, Harakiri, Http, Process, Proxies, QueueLimits, caches, crontab, daemons,
    files, hooks, listening, logging, recycling, reloading, routing, sizing, stats,
};
use crate::address::ListenAddr;

/// As many as there are digits.
const FIFOS: usize = 10;

/// Makes a configuration of what was written, and says all that is wrong, in the order: each option
/// by itself, then what they mean together. It counts if nothing is.
pub fn resolve(raw: &RawConfig, context: &Context) -> (Option<Config>, Findings) {
    let mut findings = Findings::default();
    let settings = Settings::read(raw, &mut findings);
    let chdir = application::chdir(&settings, context, &mut findings);
    let base = chdir.clone().unwrap_or_else(|| context.cwd.clone());
    let listeners = listening::listeners(&settings, context, &base, &mut findings);
    let proxy_protocol = listening::proxy_protocol(&settings, &listeners, &base, &mut findings);
    let application = application::application(&settings, chdir, &base, &listeners, &mut findings);
    let process = process(&settings, context, &mut findings);
    let log = logging::log(&settings, context, &mut findings);
    let files = files::files(&settings, &base, &mut findings);
    let recycling = recycling::recycling(&settings, &mut findings);
    let reloading = reloading::reloading(&settings, &base, &mut findings);
    let routing = routing::routing(&settings, &base, &mut findings);
    let harakiri = harakiri(&settings, &mut findings);
    let stats = stats::stats(&settings, &base, &listeners, &mut findings);
    let caches = caches::caches(&settings, context, &mut findings);
    let hooks = hooks::hooks(&settings, &base, &mut findings);
    let crons = crontab::crons(&settings, &mut findings);
    let daemons = daemons::daemons(&settings, &base, process.uid, &mut findings);
    let (processes, threads, sizing) = sizing::sizing(&settings, context, &mut findings);
    let Some(application) = application else { return (None, findings) };
    let config = Config {
        name: name(raw, context, &application),
        listeners,
        backlog: settings.small("listen").unwrap_or(1024),
        application,
        processes,
        cpu_affinity: settings.small("cpu-affinity").unwrap_or(0),
        threads,
        sizing,
        lazy_apps: settings.switch("lazy-apps"),
        uwsgi_module: settings.switch("uwsgi-module"),
        locks: settings.small("locks").unwrap_or(0),
        caches,
        daemons,
        crons,
        stats,
        process,
        log,
        http: http(&settings),
        harakiri,
        queue: queue(&settings),
        proxies: proxies(&settings),
        inherited_protocol: listening::inherited_protocol(&settings),
        proxy_protocol,
        files,
        routing,
        mercy: seconds(&settings, "worker-reload-mercy").unwrap_or(Duration::from_secs(60)),
        recycling,
        reloading,
        hooks,
        options: raw.options.iter().map(|o| (o.key.clone(), o.value.clone())).collect(),
    };
    (Some(config), findings)
}

/// The options that differ between two configurations but take a restart, by name.
pub fn needs_restart(old: &Config, new: &Config) -> Vec<&'static str> {
    let mut names = Vec::new();
    for (key, _) in old.options.iter().chain(&new.options) {
        let (Lookup::Exact(spec) | Lookup::Prefix(spec)) = lookup(key) else { continue };
        let differs = !spec.reloadable && values(old, spec) != values(new, spec);
        if differs && !names.contains(&spec.name) {
            names.push(spec.name);
        }
    }
    names
}

fn values<'a>(config: &'a Config, spec: &'static OptionSpec) -> Vec<&'a str> {
    let same = |key: &str| match lookup(key) {
        Lookup::Exact(found) | Lookup::Prefix(found) => found == spec,
        Lookup::Known(_) | Lookup::KnownPrefix(..) | Lookup::Unknown(_) => false,
    };
    let mut all =
        config.options.iter().filter(|(key, _)| same(key)).map(|(_, value)| value.as_str());
    if spec.list { all.collect() } else { all.next_back().into_iter().collect() }
}

/// The name that was given, or that of the file, or that of the directory.
fn name(raw: &RawConfig, context: &Context, application: &Application) -> String {
    if let Some(name) = &context.name {
        return name.clone();
    }
    let file = raw.file.as_deref();
    let stem = file.and_then(Path::file_stem).map(|stem| stem.to_string_lossy().into_owned());
    if let Some(stem) = stem.filter(|stem| stem != "uwsgi" && stem != "rwsgi") {
        return stem;
    }
    let directory = application.chdir.as_deref().and_then(Path::file_name);
    directory.map_or_else(|| "rwsgi".to_owned(), |name| name.to_string_lossy().into_owned())
}

fn seconds(settings: &Settings<'_>, name: &str) -> Option<Duration> {
    settings.number(name).map(Duration::from_secs)
}

fn http(settings: &Settings<'_>) -> Http {
    let default = Http::default();
    Http {
        head_bytes: settings.small("buffer-size").unwrap_or(default.head_bytes),
        max_fields: settings.small("max-fields").unwrap_or(default.max_fields),
        body_bytes: settings.number("limit-post").filter(|limit| *limit > 0),
        buffered_bytes: settings.number("post-buffering").unwrap_or(default.buffered_bytes),
        response_bytes: settings.number("response-buffering").unwrap_or(default.response_bytes),
        minimum_rate: settings.number("minimum-rate").unwrap_or(default.minimum_rate),
        max_connections: settings.small("max-connections").unwrap_or(default.max_connections),
        head_timeout: seconds(settings, "http-headers-timeout").unwrap_or(default.head_timeout),
        idle_timeout: seconds(settings, "http-keepalive").unwrap_or(default.idle_timeout),
        io_timeout: seconds(settings, "http-timeout").unwrap_or(default.io_timeout),
    }
}

fn harakiri(settings: &Settings<'_>, findings: &mut Findings) -> Harakiri {
    let given = |name: &str| seconds(settings, name).filter(|time| !time.is_zero());
    let (deadline, warn) = (given("harakiri"), given("harakiri-warn"));
    if let (Some(setting), Some(deadline), Some(warn)) =
        (settings.last("harakiri-warn"), deadline, warn)
        && warn >= deadline
    {
        let report = Report::new(format!("{} has no effect", quoted(setting.raw)));
        let report = report.at_value(&setting.raw.origin);
        findings.warn(report.help("`harakiri` ends the request before: name a shorter time"));
    }
    let warn = warn.filter(|warn| deadline.is_none_or(|deadline| *warn < deadline));
    let grace = seconds(settings, "harakiri-grace").unwrap_or(Duration::from_secs(5));
    Harakiri { deadline, warn, grace }
}

fn queue(settings: &Settings<'_>) -> QueueLimits {
    let is_chosen = settings.last("max-queue").is_some();
    QueueLimits {
        most: settings.small("max-queue").unwrap_or(1000),
        patience: if is_chosen { Duration::from_millis(10) } else { super::long_patience() },
        timeout: seconds(settings, "queue-timeout").filter(|time| !time.is_zero()),
    }
}

fn proxies(settings: &Settings<'_>) -> Proxies {
    let networks: Vec<_> = settings
        .all(&["trusted-proxies"])
        .filter_map(|setting| match setting.value {
            Value::Peers(peers) => Some(peers),
            _ => None,
        })
        .collect();
    let fields = match settings.value("trusted-proxy-headers") {
        Some(Value::Words(words)) => words,
        _ => Proxies::default().fields,
    };
    Proxies {
        trusted: (!networks.is_empty()).then_some(networks),
        count: settings.small("trusted-proxy-count"),
        fields,
    }
}

fn process(settings: &Settings<'_>, context: &Context, findings: &mut Findings) -> Process {
    let pidfile = new_file(settings, "pidfile", context, findings);
    let daemonize = new_file(settings, "daemonize", context, findings);
    if let (Some(setting), true) = (settings.last("daemonize"), pidfile.is_some())
        && pidfile == daemonize
    {
        let report = Report::new("`pidfile` and `daemonize` name the same file");
        findings.error(report.at_value(&setting.raw.origin).expected("a path of its own"));
    }
    let (control_socket, fifos) = channels(settings, context, findings);
    Process {
        control_socket,
        control_group: settings.small("control-group"),
        fifos,
        pidfile,
        daemonize,
        uid: settings.small("uid"),
        gid: settings.small("gid"),
        umask: settings.small("umask"),
    }
}

/// Where commands come from: the control socket, and the FIFOs.
fn channels(
    settings: &Settings<'_>,
    context: &Context,
    findings: &mut Findings,
) -> (Option<PathBuf>, Vec<PathBuf>) {
    let mut seen = Vec::new();
    let mut channel = |setting: &Setting<'_>, what: &str, is_one: fn(&FileType) -> bool| {
        let Value::Path(path) = &setting.value else { return None };
        let path = made_file(setting, path, context, findings);
        let (origin, shown) = (&setting.raw.origin, quoted(setting.raw));
        let kind = symlink_metadata(&path).map(|facts| facts.file_type());
        if kind.is_ok_and(|kind| !kind.is_dir() && !is_one(&kind)) {
            let report = Report::new(format!("{shown} is there, and is no {what}"));
            findings.error(report.at_value(origin).expected(format!("a new file, or a {what}")));
        } else if seen.contains(&path) {
            let report = Report::new(format!("{shown}: another channel for commands is there"));
            findings.error(report.at_value(origin).expected("a path of its own"));
        }
        seen.push(path.clone());
        Some(path)
    };
    let socket = settings.last("control-socket");
    let control_socket = socket.and_then(|one| channel(one, "socket", FileType::is_socket));
    let fifos: Vec<_> = settings
        .all(&["master-fifo"])
        .filter_map(|one| channel(one, "FIFO", FileType::is_fifo))
        .collect();
    if let (Some(setting), Some(path)) = (socket, &control_socket) {
        let address = ListenAddr::Unix(path.clone());
        listening::check_length(&address, &setting.raw.origin, findings);
    }
    if let (Some(setting), true) = (settings.last("master-fifo"), fifos.len() > FIFOS) {
        let report = Report::new(format!("there are {} of `master-fifo`", fifos.len()));
        findings.error(report.at_key(&setting.raw.origin).expected("10 at most: 0 to 9"));
    }
    (control_socket, fifos)
}

pub(super) fn new_file(
    settings: &Settings<'_>,
    name: &str,
    context: &Context,
    findings: &mut Findings,
) -> Option<PathBuf> {
    let setting = settings.last(name)?;
    let Value::Path(path) = &setting.value else { return None };
    Some(made_file(setting, path, context, findings))
}

/// A file that rwsgi makes, relative to where it was started. A directory that is missing now may
/// be there at the start, so it is a warning.
pub(super) fn made_file(
    setting: &Setting<'_>,
    path: &Path,
    context: &Context,
    findings: &mut Findings,
) -> PathBuf {
    let path = paths::absolute(&context.cwd, path);
    if path.is_dir() {
        let report = Report::new(format!("{} is a directory", quoted(setting.raw)));
        findings.error(report.at_value(&setting.raw.origin).expected("a file"));
    } else if let Err(obstacle) = paths::parent(&path) {
        let subject = format!("{} cannot be written", quoted(setting.raw));
        findings.warn(obstacle.report(&subject, &setting.raw.origin));
    }
    path
}

#[cfg(test)]
#[path = "resolve_tests.rs"]
mod tests;
