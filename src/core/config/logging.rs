//! Where the log goes, what is said of requests, and how.

use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use super::Context;
use super::error::{Findings, Report, quoted};
use super::pattern::Pattern;
use super::resolve::{made_file, new_file};
use super::settings::{Setting, Settings};
use super::value::Value;
use crate::log;

pub use super::logger::{Encoder, LogTarget, Standard, SyslogTarget, Transport};

/// Where log entries go, and how they look.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Log {
    /// The sinks of everything.
    pub sinks: Sinks,
    /// What holds for files.
    pub file: LogFile,
    /// The format of the time before each line, of strftime(3) (`log-date`); `None`: rwsgi's own.
    pub date: Option<String>,
    /// What becomes of a line (`log-encoder`).
    pub encoders: Vec<Encoder>,
    /// What is left out (`log-drain`).
    #[serde(default)]
    pub drains: Vec<Pattern>,
    /// If there are any, what one of them does not match is left out (`log-filter`).
    #[serde(default)]
    pub filters: Vec<Pattern>,
    /// A reload opens log files anew (`log-reopen`).
    pub reopen: bool,
    /// What is said of requests.
    pub requests: Requests,
}

impl Log {
    /// One sink, and everything else as by default.
    pub fn to(target: LogTarget) -> Self {
        Self { sinks: Sinks { target, ..Sinks::default() }, ..Self::default() }
    }
}

impl Log {
    /// All files that it goes to, each once.
    pub fn files(&self) -> Vec<&Path> {
        let mut files: Vec<&Path> = Vec::new();
        for sinks in std::iter::once(&self.sinks).chain(&self.requests.sinks) {
            let routes = sinks.routes.iter().map(|route| &route.target);
            for target in std::iter::once(&sinks.target).chain(&sinks.copies).chain(routes) {
                match target {
                    LogTarget::File(path) if !files.contains(&path.as_path()) => files.push(path),
                    _ => {}
                }
            }
        }
        files
    }
}

/// Sinks, and which entry goes to which.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Sinks {
    /// Where everything goes that no route takes (`logging`, `logto`, `daemonize`, `logger`).
    pub target: LogTarget,
    /// The same goes there, too (further lines of `logger`).
    pub copies: Vec<LogTarget>,
    /// What matches goes there and not to the others (`log-route`).
    pub routes: Vec<Route>,
}

/// What a sink with a name gets.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Route {
    /// What its lines match.
    pub pattern: Pattern,
    /// The sink.
    pub target: LogTarget,
    /// What becomes of a line there.
    #[serde(default)]
    pub encoders: Vec<Encoder>,
}

/// What holds for log files.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct LogFile {
    /// Permission bits of a file that is made (`logfile-chmod`).
    pub mode: u32,
    /// Numeric owner and group (`logfile-chown`, or who serves).
    pub owner: Option<(u32, Option<u32>)>,
    /// A file of so many bytes is renamed and begun anew (`log-maxsize`); `None`: never.
    pub max_bytes: Option<u64>,
    /// To what it is renamed (`log-backupname`), absolute; `None`: its name with the time.
    pub backup: Option<PathBuf>,
    /// What is in the file at the start is discarded (`log-truncate`).
    pub truncate: bool,
}

impl Default for LogFile {
    fn default() -> Self {
        Self { mode: 0o640, owner: None, max_bytes: None, backup: None, truncate: false }
    }
}

/// What is said of requests.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Requests {
    /// Whether every one is logged (`disable-logging` turns it off).
    pub enabled: bool,
    /// Which are logged even if not every one is.
    pub selection: Selection,
    /// The line (`log-format`); `None`: rwsgi's own.
    pub format: Option<String>,
    /// The format of `%(ftime)` (`log-format-strftime` with `log-date`).
    pub ftime: Option<String>,
    /// Durations of uWSGI's line are microseconds (`log-micros`).
    pub micros: bool,
    /// The client is the whole X-Forwarded-For (`log-x-forwarded-for`).
    pub forwarded: bool,
    /// Their own sinks (`req-logger`); `None`: those of everything.
    pub sinks: Option<Sinks>,
    /// What becomes of a line (`log-req-encoder`).
    pub encoders: Vec<Encoder>,
    /// Entries of the whole instance in a second (`log-rate`); 0: no limit. `None`: as fits the
    /// sink.
    pub rate: Option<u32>,
}

impl Default for Requests {
    fn default() -> Self {
        Self {
            enabled: true,
            selection: Selection::default(),
            format: None,
            ftime: None,
            micros: false,
            forwarded: false,
            sinks: None,
            encoders: Vec::new(),
            rate: None,
        }
    }
}

/// Requests that are logged in spite of `disable-logging`.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Selection {
    /// Status 400 … 499 (`log-4xx`).
    pub client_errors: bool,
    /// Status 500 … 599 (`log-5xx`).
    pub server_errors: bool,
    /// Those that took so many milliseconds (`log-slow`).
    pub slow: Option<u64>,
    /// Those whose response has so many bytes (`log-big`).
    pub big: Option<u64>,
    /// Those whose response has no body (`log-zero`).
    pub empty: bool,
    /// Those whose client did not get everything (`log-ioerror`).
    pub incomplete: bool,
    /// Those whose body was sent as a file (`log-sendfile`).
    pub sendfile: bool,
}

impl Selection {
    /// Whether it has any request logged.
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }
}

/// What the options of this group mean.
pub(super) fn log(settings: &Settings<'_>, context: &Context, findings: &mut Findings) -> Log {
    let target = main_target(settings, context, findings);
    let date = date(settings, findings);
    let sinks = sinks(settings, &OF_EVERYTHING, context, findings);
    Log {
        sinks: Sinks { target, ..sinks.unwrap_or_default() },
        file: file(settings, context, findings),
        requests: requests(settings, date.as_deref(), context, findings),
        date,
        encoders: encoders(settings, "log-encoder", None),
        drains: patterns(settings, "log-drain"),
        filters: patterns(settings, "log-filter"),
        reopen: settings.switch("log-reopen"),
    }
}

fn requests(
    settings: &Settings<'_>,
    date: Option<&str>,
    context: &Context,
    findings: &mut Findings,
) -> Requests {
    if let Some(setting) = settings.last("log-format") {
        for name in log::notes(&setting.raw.value) {
            let report =
                Report::new(format!("`%({name})` is nothing that rwsgi knows of a request"));
            findings.inform(report.at_value(&setting.raw.origin).help(format!(
                "it is `-` unless the application calls uwsgi.set_logvar('{name}', …)"
            )));
        }
    }
    let rate = match settings.value("log-rate") {
        Some(Value::Number(rate)) => Some(u32::try_from(rate).unwrap_or(u32::MAX)),
        _ => None,
    };
    Requests {
        enabled: !settings.switch("disable-logging"),
        selection: Selection {
            client_errors: settings.switch("log-4xx"),
            server_errors: settings.switch("log-5xx"),
            slow: settings.number("log-slow"),
            big: settings.number("log-big"),
            empty: settings.switch("log-zero"),
            incomplete: settings.switch("log-ioerror"),
            sendfile: settings.switch("log-sendfile"),
        },
        format: settings.word("log-format"),
        ftime: date.filter(|_| settings.switch("log-format-strftime")).map(str::to_owned),
        micros: settings.switch("log-micros"),
        forwarded: settings.switch("log-x-forwarded-for"),
        sinks: sinks(settings, &OF_REQUESTS, context, findings),
        encoders: encoders(settings, "log-req-encoder", None),
        rate,
    }
}

/// Those for the logger of this name, or for the loggers without one.
fn encoders(settings: &Settings<'_>, option: &str, logger: Option<&str>) -> Vec<Encoder> {
    let encoders = settings.each(option).filter_map(|setting| match &setting.value {
        Value::Encoder(only, encoder) if only.is_none() || only.as_deref() == logger => {
            Some(encoder.clone())
        }
        _ => None,
    });
    encoders.collect()
}

fn patterns(settings: &Settings<'_>, option: &str) -> Vec<Pattern> {
    let patterns = settings.each(option).filter_map(|setting| match &setting.value {
        Value::Pattern(pattern) => Some(pattern.clone()),
        _ => None,
    });
    patterns.collect()
}

/// `log-date`: alone it stands for the format of ctime(3), as in uWSGI.
fn date(settings: &Settings<'_>, findings: &mut Findings) -> Option<String> {
    let setting = settings.last("log-date")?;
    let text = setting.raw.value.trim();
    match text.to_ascii_lowercase().as_str() {
        "" | "true" | "1" | "yes" | "on" => return Some("%a %b %e %H:%M:%S %Y".to_owned()),
        _ => {}
    }
    if let Err(error) = log::check_time(text) {
        let report =
            Report::new(format!("{} is no format of a time: {error}", quoted(setting.raw)));
        let report = report.at_value(&setting.raw.origin).expected("a format of strftime(3)");
        findings.error(report.help("write for example `%Y-%m-%d %H:%M:%S`"));
        return None;
    }
    Some(text.to_owned())
}

fn file(settings: &Settings<'_>, context: &Context, findings: &mut Findings) -> LogFile {
    let default = LogFile::default();
    LogFile {
        mode: settings.small("logfile-chmod").unwrap_or(default.mode),
        owner: match settings.value("logfile-chown") {
            Some(Value::Owner(user, group)) => Some((user, group)),
            Some(Value::Switch(false)) => settings.small("uid").map(|_| (0, Some(0))),
            // Workers open it, too, when they are that user already.
            _ => settings.small("uid").map(|user| (user, settings.small("gid"))),
        },
        max_bytes: settings.number("log-maxsize").filter(|&bytes| bytes > 0),
        backup: new_file(settings, "log-backupname", context, findings),
        truncate: settings.switch("log-truncate"),
    }
}

/// Options that belong together.
struct Names {
    /// Those that name sinks; the first can give one a name.
    loggers: &'static [&'static str],
    route: &'static str,
    encoder: &'static str,
}

const OF_EVERYTHING: Names = Names {
    loggers: &["logger", "log-syslog", "log-socket"],
    route: "log-route",
    encoder: "log-encoder",
};
const OF_REQUESTS: Names =
    Names { loggers: &["req-logger"], route: "log-req-route", encoder: "log-req-encoder" };

/// Those of `logger` or `req-logger`, with their routes; `None` without any.
fn sinks(
    settings: &Settings<'_>,
    names: &Names,
    context: &Context,
    findings: &mut Findings,
) -> Option<Sinks> {
    let mut unnamed = Vec::new();
    let mut named = Vec::new();
    for setting in settings.all(names.loggers) {
        let Value::Logger(name, target) = &setting.value else { continue };
        let target = placed(target, setting, context, findings);
        match name {
            Some(name) => named.push((name, target)),
            None => unnamed.push(target),
        }
    }
    let mut sinks = Sinks::default();
    let has_any = !unnamed.is_empty() || !named.is_empty();
    let mut unnamed = unnamed.into_iter();
    sinks.target = unnamed.next().unwrap_or_default();
    sinks.copies = unnamed.collect();
    for setting in settings.all(&[names.route, names.encoder]) {
        let (Value::Route(name, _) | Value::Encoder(Some(name), _)) = &setting.value else {
            continue;
        };
        let targets = named.iter().filter(|(known, _)| *known == name);
        if targets.clone().next().is_none() {
            let logger = names.loggers[0];
            let report = Report::new(format!("there is no `{logger}` with the name `{name}`"));
            let report = report.at_value(&setting.raw.origin);
            findings
                .error(report.help(format!("write `{logger} = {name} file:/var/log/{name}.log`")));
        }
        let Value::Route(_, pattern) = &setting.value else { continue };
        for (_, target) in targets {
            let encoders = encoders(settings, names.encoder, Some(name));
            let (pattern, target) = (pattern.clone(), target.clone());
            sinks.routes.push(Route { pattern, target, encoders });
        }
    }
    has_any.then_some(sinks)
}

/// The same with an absolute path.
fn placed(
    target: &LogTarget,
    setting: &Setting<'_>,
    context: &Context,
    findings: &mut Findings,
) -> LogTarget {
    match target {
        LogTarget::File(path) => LogTarget::File(made_file(setting, path, context, findings)),
        other => other.clone(),
    }
}

fn main_target(settings: &Settings<'_>, context: &Context, findings: &mut Findings) -> LogTarget {
    let daemonize = settings.last("daemonize");
    let to_file = settings.last("logto");
    let sink = settings.last("logging");
    let word = settings.word("logging").unwrap_or_default();
    if let (Some(to_file), Some(sink)) = (to_file, sink)
        && word != "auto"
    {
        let report = Report::new(format!("`logto` and {} contradict each other", quoted(sink.raw)));
        let report = report.at_key(&to_file.raw.origin);
        findings.error(report.help("the log has one destination: remove one of the two lines"));
    }
    let logger = settings
        .all(OF_EVERYTHING.loggers)
        .find(|setting| matches!(setting.value, Value::Logger(None, _)))
        .filter(|_| to_file.is_none());
    if let (Some(logger), Some(sink)) = (logger, sink) {
        let report = Report::new(format!(
            "{} and {} contradict each other",
            quoted(logger.raw),
            quoted(sink.raw)
        ));
        findings.error(report.at_key(&logger.raw.origin).help("remove one of the two lines"));
    }
    if let (Some(_), Some(sink), "stderr") = (daemonize, sink, word.as_str()) {
        let report =
            Report::new("a daemon has no standard error: `logging` contradicts `daemonize`");
        findings.error(report.at_value(&sink.raw.origin).help("remove one of the two lines"));
    }
    if let Some(to_file) = to_file {
        return logto(settings, to_file, daemonize, context, findings);
    }
    if let Some(logger) = logger
        && let Value::Logger(_, target) = &logger.value
    {
        return placed(target, logger, context, &mut Findings::default());
    }
    match word.as_str() {
        "stderr" => LogTarget::Stderr,
        "journal" => LogTarget::Journal,
        "syslog" => LogTarget::Syslog(SyslogTarget::default()),
        _ => match daemonize.map(|setting| &setting.value) {
            Some(Value::Path(path)) => LogTarget::File(super::paths::absolute(&context.cwd, path)),
            _ => LogTarget::Auto,
        },
    }
}

fn logto(
    settings: &Settings<'_>,
    to_file: &Setting<'_>,
    daemonize: Option<&Setting<'_>>,
    context: &Context,
    findings: &mut Findings,
) -> LogTarget {
    if let Some(daemonize) = daemonize
        && daemonize.value != to_file.value
    {
        let report = Report::new("the log goes to the file of `logto`");
        let help = "`daemonize` only puts rwsgi in the background: name the same file in both";
        findings.inform(report.at_value(&daemonize.raw.origin).help(help));
    }
    match &to_file.value {
        Value::Path(path) if looks_like_udp(path) => {
            LogTarget::Datagram(path.to_string_lossy().into_owned())
        }
        _ => {
            new_file(settings, "logto", context, findings).map_or(LogTarget::Auto, LogTarget::File)
        }
    }
}

/// `host:port` is a UDP destination in uWSGI.
fn looks_like_udp(path: &Path) -> bool {
    let text = path.to_string_lossy();
    let port = text.rsplit_once(':').filter(|_| !text.contains('/')).map(|(_, port)| port);
    port.is_some_and(|port| port.parse::<u16>().is_ok())
}
