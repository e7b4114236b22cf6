//! All sources, in the order in which they count: environment, arguments, INI files where they are
//! named. Reading them again is what a reload does.

use std::ffi::OsString;
use std::path::{Path, PathBuf};

use super::error::{ConfigError, Findings, Report, Warning};
use super::ini::IniFile;
use super::lookup::{Lookup, lookup};
use super::magic::Magic;
use super::paths;
use super::raw::{RawConfig, RawOption};
use super::resolve::resolve;
use super::vars;
use super::{Config, Context};

/// Where a configuration is written. It is kept for reloads, the files are not.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Sources {
    /// The environment of the start.
    pub environment: Vec<(OsString, OsString)>,
    /// Arguments, in the order in which they count: files without `--ini` last.
    pub arguments: Vec<Argument>,
}

/// One argument that configures something.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Argument {
    /// `--key=value`.
    Option(RawOption),
    /// `--ini FILE`, or a file alone; its value is the file, with `:section` if one is asked.
    File(RawOption),
}

/// Reads and resolves everything.
///
/// # Errors
/// All that is wrong, not only the first.
pub fn load(
    sources: &Sources,
    context: &Context,
) -> Result<(Config, Vec<Warning>), Vec<ConfigError>> {
    let mut findings = Findings::default();
    let raw = collect(sources, context, &mut findings);
    match resolve(&raw, context) {
        Ok((config, warnings)) => {
            findings.warnings.extend(warnings);
            findings.into_result(config)
        }
        Err(errors) => {
            findings.errors.extend(errors);
            Err(findings.errors)
        }
    }
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
    let mut collector = Collector { context, raw: RawConfig::default(), first: None, findings };
    for argument in environment(&sources.environment).into_iter().chain(sources.arguments.clone()) {
        match argument {
            Argument::Option(option) => collector.add(option),
            Argument::File(file) => collector.file(&file),
        }
    }
    let mut raw = collector.raw;
    let variable = |name: &str| {
        let found = sources.environment.iter().find(|(known, _)| known == name);
        found.and_then(|(_, value)| value.to_str()).map(str::to_owned)
    };
    vars::expand(&mut raw.options, &variable, &context.cwd, findings);
    raw
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
fn environment(variables: &[(OsString, OsString)]) -> Vec<Argument> {
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
            let option = RawOption::variable(variable, &key, value);
            let file = key == "ini";
            found.push(if file { Argument::File(option) } else { Argument::Option(option) });
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

struct Collector<'a> {
    context: &'a Context,
    raw: RawConfig,
    first: Option<PathBuf>,
    findings: &'a mut Findings,
}

impl Collector<'_> {
    /// Adds an option; `set = key=value` is `key = value`.
    fn add(&mut self, mut option: RawOption) {
        let placeholder = matches!(option.key.as_str(), "set-placeholder" | "set-ph");
        if option.key != "set" && !placeholder {
            self.raw.options.push(option);
            return;
        }
        let Some((key, value)) = option.value.split_once('=') else {
            let report = Report::new(format!("`{}` does not set anything", option.key));
            self.findings.error(report.at_value(&option.origin).expected("`KEY=VALUE`"));
            return;
        };
        let is_option = matches!(lookup(key), Lookup::Exact(_) | Lookup::Known(_));
        if placeholder && is_option {
            let report = Report::new(format!("`{key}` is an option, not a placeholder"));
            self.findings.error(report.at_value(&option.origin));
            return;
        }
        let (key, value) = (key.to_owned(), value.to_owned());
        option.placeholder = true;
        (option.key, option.value) = (key, value);
        self.raw.options.push(option);
    }

    fn file(&mut self, argument: &RawOption) {
        let (path, section) = split_section(&argument.value);
        let first = self.first.get_or_insert_with(|| path.clone()).clone();
        let asked = section.as_deref().unwrap_or("uwsgi");
        let magic = Magic::new(&path, &first, asked, &self.context.cwd);
        self.raw.file.get_or_insert_with(|| magic.path().to_owned());
        let full = self.context.cwd.join(&path);
        let bytes = match paths::read(&full) {
            Ok(bytes) => bytes,
            Err(obstacle) => {
                let subject = "the INI file cannot be read";
                self.findings.error(obstacle.report(subject, &argument.origin));
                return;
            }
        };
        let file = IniFile::parse(&path, &bytes, self.findings);
        self.take(file, &path, section.as_deref(), &magic);
    }

    fn take(&mut self, file: IniFile, path: &Path, section: Option<&str>, magic: &Magic) {
        let found = file.sections.clone();
        let wanted = section.map_or(vec!["uwsgi", "rwsgi"], |section| vec![section]);
        let Some(options) = file.select(&wanted) else {
            self.findings.error(no_section(path, &wanted, &found));
            return;
        };
        for mut option in options {
            self.expand(&mut option, magic);
            self.add(option);
        }
    }

    fn expand(&mut self, option: &mut RawOption, magic: &Magic) {
        let (key, _) = magic.expand(&option.key);
        let (value, unknown) = magic.expand(&option.value);
        option.key = key;
        option.value = value;
        if matches!(lookup(&option.key), Lookup::Known(_)) {
            return;
        }
        for name in unknown {
            let report = Report::new(format!("there is no variable `%{name}`"));
            self.findings.warn(
                report
                    .at_value(&option.origin)
                    .help(format!("it is kept as text: write `%%{name}` if that is meant")),
            );
        }
    }
}

/// `app.ini:section` names a section. A colon before a slash belongs to the path.
fn split_section(text: &str) -> (PathBuf, Option<String>) {
    match text.rsplit_once(':') {
        Some((path, section))
            if !path.is_empty() && !section.is_empty() && !section.contains('/') =>
        {
            (PathBuf::from(path), Some(section.to_owned()))
        }
        _ => (PathBuf::from(text), None),
    }
}

fn no_section(path: &Path, wanted: &[&str], found: &[String]) -> Report {
    let list = |names: &[&str], word: &str| {
        let names: Vec<_> = names.iter().map(|name| format!("[{name}]")).collect();
        names.join(word)
    };
    let found: Vec<&str> = found.iter().map(String::as_str).collect();
    let what = format!("there is no section {}", list(wanted, " or "));
    let report = Report::new(format!("{}: {what}", path.display()));
    match found.first() {
        None => report.help("the file has no section: begin it with a line `[rwsgi]`"),
        Some(first) => report.help(format!(
            "it has {}; `{}:{first}` asks for the first",
            list(&found, ", "),
            path.display()
        )),
    }
}

#[cfg(test)]
#[path = "load_tests.rs"]
mod tests;
