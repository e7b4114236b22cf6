//! `rwsgi doctor`: the machine, the instances on it, and what is left of those that are gone.

use std::collections::BTreeSet;
use std::ffi::{OsStr, OsString};
use std::fs;
use std::path::{Path, PathBuf};

use rwsgi_core::config::error::Report;
use rwsgi_core::config::raw::RawOption;
use rwsgi_core::config::{self, Argument, Config, ConfigError, Context, Sources};
use rwsgi_core::exit::ExitCode;

use crate::cli::{INSTANCES, Mode};
use crate::finding::Findings;
use crate::limits::Limits;
use crate::service::Service;
use crate::{instances, interpreter, leftovers, machine, pythons, spawn, usage};

/// PATH of services of systemd.
const SERVICE_PATH: &str = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin";

/// What was asked for.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Asked {
    /// One instance; `None`: all.
    pub name: Option<String>,
    /// As JSON.
    pub json: bool,
}

/// Reads what follows `doctor`.
///
/// # Errors
/// What cannot be understood, with how the command is used.
pub fn parse(arguments: impl Iterator<Item = OsString>) -> Result<Mode, Vec<ConfigError>> {
    let mut asked = Asked::default();
    for argument in arguments {
        match argument.to_str() {
            Some("--json") => asked.json = true,
            Some("-h" | "--help") => return Ok(Mode::Explain(&usage::DOCTOR)),
            Some(name) if !name.starts_with('-') && asked.name.is_none() => {
                asked.name = Some(name.to_owned());
            }
            _ => {
                let what =
                    format!("rwsgi doctor: `{}` is not understood", argument.to_string_lossy());
                let report = Report::new(what).expected(format!("`{}`", usage::DOCTOR.usage));
                return Err(vec![report.into()]);
            }
        }
    }
    Ok(Mode::Doctor(asked))
}

/// Looks at everything; the exit code is that of the first error.
pub fn run(asked: &Asked) -> ExitCode {
    let mut findings = Findings::default();
    let names = asked.name.clone().map_or_else(configured, |name| vec![name]);
    let loaded: Vec<_> = names.iter().map(|name| (name.as_str(), load(name))).collect();
    let configs = || loaded.iter().filter_map(|(_, config)| config.as_ref().ok());
    let directories: BTreeSet<PathBuf> = configs().flat_map(written).collect();
    machine::look(&Vec::from_iter(directories), &mut findings);
    interpreters(configs(), &mut findings);
    for (name, config) in &loaded {
        instance(name, config.as_ref(), &mut findings);
    }
    leftovers::look(&mut findings);
    findings.print(asked.json)
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

/// What the configuration of an instance says, or the first thing that is wrong with it.
fn load(name: &str) -> Result<Config, String> {
    let path = format!("{INSTANCES}/{name}.ini");
    let file = Argument::File(RawOption::argument("ini", &path, 1, &path));
    let sources = Sources { arguments: vec![file], ..Sources::default() };
    let cwd = Path::new("/var/lib/rwsgi").join(name);
    // They are those of others, and this may be root.
    let inherited = vec!["http".into()];
    let context = Context { cwd, inherited, without_commands: true, ..Context::default() };
    let first =
        |errors: Vec<ConfigError>| errors.first().map(ToString::to_string).unwrap_or_default();
    config::load(&sources, &context).map(|(config, _)| config).map_err(first)
}

/// Directories in which it makes files.
fn written(config: &Config) -> Vec<PathBuf> {
    let pidfile = config.process.pidfile.iter().map(PathBuf::as_path);
    let files = pidfile.chain(config.log.files());
    let spool = config.application.env.iter().find(|(name, _)| name == "TMPDIR");
    let spool = spool.map(|(_, directory)| PathBuf::from(directory));
    files.filter_map(|file| file.parent()).map(Path::to_owned).chain(spool).collect()
}

/// The python3 of the system, and those that instances name.
fn interpreters<'a>(configs: impl Iterator<Item = &'a Config>, findings: &mut Findings) {
    // What is wrong with it was told.
    let Ok(extension) = spawn::extension() else { return };
    if !extension.is_file() {
        return;
    }
    let of_systemd = Path::new("/run/systemd/system").is_dir().then(|| SERVICE_PATH.into());
    let path = of_systemd.or_else(|| std::env::var_os("PATH"));
    let path = path.as_deref();
    let mut found: BTreeSet<PathBuf> = BTreeSet::new();
    match interpreter::of_system(path) {
        Ok(python) => {
            found.insert(python);
        }
        Err(why) => findings.warn("python", why, "apt install python3"),
    }
    for config in configs {
        match interpreter::find(&config.application, path) {
            Ok(python) => {
                found.insert(python);
            }
            Err(why) => findings.error(ExitCode::Config, "python", why, ""),
        }
    }
    found.iter().for_each(|python| pythons::look(python, &extension, findings));
}

fn instance(name: &str, config: Result<&Config, &String>, findings: &mut Findings) {
    let unit = format!("rwsgi@{name}");
    let is_running = instances::running().iter().any(|(running, _)| running == name);
    let service = Service::ask(&format!("{unit}.service"));
    let get = |property: &str| service.as_ref().map_or("", |service| service.get(property));
    let file = format!("{INSTANCES}/{name}.ini");
    if !is_running && !Path::new(&file).exists() {
        let remedy = format!("rwsgi new {name} --django DIR, or another name: ls {INSTANCES}");
        return findings.error(
            ExitCode::Unavailable,
            "instance",
            format!("there is no {file}"),
            remedy,
        );
    }
    if let Err(why) = config {
        let why = why.trim_start_matches("error: ");
        findings.error(
            ExitCode::Config,
            "configuration",
            why.trim(),
            format!("rwsgi check {name}"),
        );
    }
    if get("ActiveState") == "failed" {
        let arguments = ["-u", &unit, "-p", "err", "-n", "1", "-o", "cat", "-q", "--no-pager"];
        let last = machine::first_line("journalctl", &arguments).unwrap_or_default();
        let message = format!("{name} has failed ({}): {last}", get("Result"));
        let remedy = format!("rwsgi check {name}; journalctl -xeu {unit}");
        findings.error(ExitCode::Unavailable, "instance", message, remedy);
    } else if is_running && runs_replaced_program(get("MainPID")) {
        let message = format!("{name} runs a program that was replaced since");
        findings.warn("instance", message, format!("systemctl reload {unit}"));
    } else if is_running {
        findings.ok("instance", format!("{name} runs"));
    } else {
        let message = format!("{name} does not run");
        let remedy = format!("rwsgi check {name} && systemctl enable --now {unit}");
        findings.warn("instance", message, remedy);
    }
    if let Ok(config) = config {
        let service = service.as_ref().filter(|service| service.is_there());
        Limits { name, config, service }.look(findings);
        if !is_running {
            leftovers::of_instance(name, config, findings);
        }
    }
}

/// As after an upgrade whose reload has failed.
fn runs_replaced_program(pid: &str) -> bool {
    let program = fs::read_link(format!("/proc/{pid}/exe")).unwrap_or_default();
    program.as_os_str() != OsStr::new("") && program.to_string_lossy().ends_with(" (deleted)")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn its_arguments_are_a_name_and_json() {
        let read = |line: &str| parse(line.split_whitespace().map(Into::into));
        let asked = Asked { name: Some("shop".into()), json: true };
        assert_eq!(read("shop --json"), Ok(Mode::Doctor(asked)));
        assert_eq!(read(""), Ok(Mode::Doctor(Asked::default())));
        assert_eq!(read("x --help"), Ok(Mode::Explain(&usage::DOCTOR)));
        assert!(read("a b").is_err() && read("--frob").is_err());
    }
}
