//! All sources, in the order in which they count: environment, arguments, INI files where they are
//! named. Reading them again is what a reload does.

use std::ffi::OsString;
use std::path::Path;

use super::error::{ConfigError, Findings, Report, Warning};
use super::raw::{RawConfig, RawOption};
use super::reading::Reading;
use super::resolve::resolve;
use super::resource::{Stdin, is_unrun};
use super::settings::Settings;
use super::{Config, Context};

/// Where a configuration is written. It is kept for reloads, the files are not.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Sources {
    /// The environment of the start.
    pub environment: Vec<(OsString, OsString)>,
    /// Arguments, in the order in which they count: files without `--ini` last.
    pub arguments: Vec<Argument>,
    /// Standard input, if a configuration is read from there.
    pub stdin: Stdin,
}

/// One argument that configures something.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Argument {
    /// `--key=value`.
    Option(RawOption),
    /// `--ini FILE`, or a file alone; its value is the file, with `:section` if one is asked.
    File(RawOption),
}

impl Sources {
    /// The name of the file that counts last, without directory and ending; `None` if there is none.
    pub fn file_stem(&self) -> Option<String> {
        let file = self.arguments.iter().rev().find_map(|argument| match argument {
            Argument::File(file) => Some(&file.value),
            Argument::Option(_) => None,
        })?;
        Some(Path::new(file).file_stem()?.to_string_lossy().into_owned())
    }
}

/// What was written, what it means if nothing is wrong, and all that was found.
#[derive(Debug)]
pub struct Inspection {
    /// What was written, as far as it could be read.
    pub raw: RawConfig,
    /// What it means; whether that counts, the errors say.
    pub config: Option<Config>,
    /// What is wrong, and what is not quite as written.
    pub findings: Findings,
}

/// Reads and resolves everything.
///
/// # Errors
/// All that is wrong, not only the first.
pub fn load(
    sources: &Sources,
    context: &Context,
) -> Result<(Config, Vec<Warning>), Vec<ConfigError>> {
    let Inspection { config, findings, .. } = inspect(sources, context);
    match config {
        Some(config) => findings.into_result(config),
        None => Err(findings.errors),
    }
}

/// Reads and resolves everything, and keeps what else was found beside errors.
pub fn inspect(sources: &Sources, context: &Context) -> Inspection {
    let mut findings = Findings::default();
    let mut raw = collect(sources, context, &mut findings);
    let unrun = if context.without_commands { take_unrun(&mut raw) } else { Vec::new() };
    if raw.is_partial {
        // What is missing is no mistake of its own.
        Settings::read(&raw, &mut findings);
        return Inspection { raw, config: None, findings };
    }
    let (config, mut resolved) = resolve(&raw, context);
    let is_wrong = config.is_none() || !resolved.errors.is_empty();
    findings.warnings.append(&mut resolved.warnings);
    for report in unrun {
        // It may be what one of the errors would have said.
        if is_wrong { findings.error(report) } else { findings.warn(report) }
    }
    findings.errors.append(&mut resolved.errors);
    Inspection { raw, config, findings }
}

/// Takes away what is known only when commands are run, and says so.
fn take_unrun(raw: &mut RawConfig) -> Vec<Report> {
    let report = |option: &RawOption| {
        let what = format!("`{}` is not looked at: no command is run for it here", option.key);
        let report = Report::new(what).at_value(&option.origin);
        report.help("root runs none; the user that serves does")
    };
    let is_unrun = |option: &RawOption| is_unrun(&option.value);
    let unrun = raw.options.iter().filter(|option| is_unrun(option)).map(report).collect();
    raw.options.retain(|option| !is_unrun(option));
    unrun
}

/// Reads everything, without meaning: what `--show-config` shows.
///
/// # Errors
/// What cannot be read.
pub fn read(
    sources: &Sources,
    context: &Context,
) -> Result<(RawConfig, Vec<Warning>), Vec<ConfigError>> {
    let mut findings = Findings::default();
    let raw = collect(sources, context, &mut findings);
    findings.into_result(raw)
}

pub(super) fn collect(sources: &Sources, context: &Context, findings: &mut Findings) -> RawConfig {
    let mut reading = Reading::new(sources, context, findings);
    reading.obey_all(environment(&sources.environment));
    arguments(sources, reading)
}

/// The same without what the environment configures.
pub(super) fn collect_arguments(
    sources: &Sources,
    context: &Context,
    findings: &mut Findings,
) -> RawConfig {
    arguments(sources, Reading::new(sources, context, findings))
}

fn arguments(sources: &Sources, mut reading: Reading<'_>) -> RawConfig {
    let arguments = sources.arguments.iter().cloned();
    reading.obey_all(
        arguments
            .map(|argument| match argument {
                Argument::Option(option) | Argument::File(option) => option,
            })
            .collect(),
    );
    reading.finish()
}

impl Sources {
    /// A variable of the environment, if it is UTF-8.
    pub fn variable(&self, name: &str) -> Option<String> {
        let found = self.environment.iter().find(|(known, _)| known == name);
        found.and_then(|(_, value)| value.to_str()).map(str::to_owned)
    }
}

/// Variables that are no options though they are called so.
const NO_OPTIONS: &[&str] = &[
    "UWSGI_RELOADS",
    "UWSGI_VASSALS_DIR",
    "UWSGI_EMPEROR_FD*",
    "UWSGI_EMPEROR_PROXY",
    "UWSGI_BROODLORD_NUM",
    "UWSGI_JAIL_PID",
    "UWSGI_ORIGINAL_PROC_NAME",
    "RWSGI_EXTENSION",
    "RWSGI_RUNTIME_DIRECTORY",
    "RWSGI_TAKEOVER",
    "RWSGI_LOG_*",
];

/// The options of the environment, by name; those of rwsgi after those of uWSGI, so that they win.
fn environment(variables: &[(OsString, OsString)]) -> Vec<RawOption> {
    let mut found = Vec::new();
    for prefix in ["UWSGI_", "RWSGI_"] {
        let mut own: Vec<(&str, &str)> = variables
            .iter()
            .filter_map(|(name, value)| Some((name.to_str()?, value.to_str()?)))
            .filter(|(name, _)| name.starts_with(prefix) && !is_no_option(name))
            .collect();
        own.sort_unstable();
        for (variable, value) in own {
            let name = variable.strip_prefix(prefix).unwrap_or_default();
            let key = name.to_ascii_lowercase().replace('_', "-");
            found.push(RawOption::variable(variable, &key, value));
        }
    }
    found
}

fn is_no_option(variable: &str) -> bool {
    NO_OPTIONS.iter().any(|name| match name.strip_suffix('*') {
        Some(stem) => variable.starts_with(stem),
        None => variable == *name,
    })
}

#[cfg(test)]
#[path = "load_tests.rs"]
mod tests;
