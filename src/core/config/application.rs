//! What to serve, from `chdir`, `wsgi-file` or `module`, and the interpreter's options.

use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

pub(super) use super::Application;
use super::error::{Findings, Report, quoted};
use super::settings::{Setting, Settings};
use super::value::Value;
use super::{Context, Target, paths};

/// The working directory, absolute.
pub(super) fn chdir(
    settings: &Settings<'_>,
    context: &Context,
    findings: &mut Findings,
) -> Option<PathBuf> {
    let setting = settings.last("chdir")?;
    let Value::Path(path) = &setting.value else { return None };
    let path = paths::absolute(&context.cwd, path);
    if let Err(obstacle) = paths::directory(&path) {
        let subject = format!("{} cannot be entered", quoted(setting.raw));
        findings.error(obstacle.report(&subject, &setting.raw.origin).expected("a directory"));
    }
    Some(path)
}

/// The application; `None` only together with an error.
pub(super) fn application(
    settings: &Settings<'_>,
    chdir: Option<PathBuf>,
    base: &Path,
    findings: &mut Findings,
) -> Option<Application> {
    // When the directory is wrong, nothing in it can be found: one error is enough.
    let usable = base.is_dir();
    let target = target(settings, base, usable, findings);
    let virtualenv = virtualenv(settings, base, findings);
    let mut pythonpath: Vec<PathBuf> = settings
        .all(&["pythonpath"])
        .filter_map(|setting| match &setting.value {
            Value::Path(path) => Some(paths::absolute(base, path)),
            _ => None,
        })
        .collect();
    // uWSGI puts each before those it has put there already.
    pythonpath.reverse();
    let env = settings.all(&["env"]).filter_map(|setting| match &setting.value {
        Value::Variable(name, value) => Some((name.clone(), value.clone())),
        _ => None,
    });
    Some(Application {
        target: target?,
        chdir,
        pythonpath,
        virtualenv,
        python: python(settings, base, findings),
        env: env.collect(),
    })
}

fn target(
    settings: &Settings<'_>,
    base: &Path,
    usable: bool,
    findings: &mut Findings,
) -> Option<Target> {
    match (settings.last("wsgi-file"), settings.last("module")) {
        (Some(file), Some(module)) => {
            let first = format!("{} and {} contradict", quoted(file.raw), quoted(module.raw));
            let report = Report::new(format!("{first} each other")).at_key(&module.raw.origin);
            findings.error(report.help("an instance has one application: remove one of the lines"));
            None
        }
        (Some(file), None) => self::file(file, settings, base, usable, findings),
        (None, Some(module)) => self::module(module, settings, findings),
        (None, None) => {
            if !settings.failed("wsgi-file") && !settings.failed("module") {
                findings.error(Report::new("there is no application to serve").help(
                    "add two lines such as\nchdir = /srv/bookstore\nwsgi-file = BookStore/wsgi.py",
                ));
            }
            None
        }
    }
}

fn callable(settings: &Settings<'_>) -> String {
    settings.word("callable").unwrap_or_else(|| "application".to_owned())
}

fn file(
    setting: &Setting<'_>,
    settings: &Settings<'_>,
    base: &Path,
    usable: bool,
    findings: &mut Findings,
) -> Option<Target> {
    let Value::Path(path) = &setting.value else { return None };
    if usable && let Err(obstacle) = paths::readable_file(&paths::absolute(base, path)) {
        let subject = format!("{} cannot be read", quoted(setting.raw));
        let report = obstacle.report(&subject, &setting.raw.origin);
        let report = report.expected("a Python file, relative to `chdir`");
        let text = &setting.raw.value;
        let is_dotted = !text.contains('/') && !text.ends_with(".py") && text.contains(['.', ':']);
        findings.error(if is_dotted {
            report.help(format!("if it is a module, write `module = {text}`"))
        } else {
            report
        });
    }
    Some(Target::File { path: path.clone(), callable: callable(settings) })
}

fn module(
    setting: &Setting<'_>,
    settings: &Settings<'_>,
    findings: &mut Findings,
) -> Option<Target> {
    let Value::Module(module, named) = &setting.value else { return None };
    if let (Some(named), Some(other)) = (named, settings.last("callable"))
        && other.value != Value::Text(named.clone())
    {
        let report = Report::new(format!(
            "{} and {} name different callables",
            quoted(setting.raw),
            quoted(other.raw)
        ));
        findings.error(
            report
                .at_value(&other.raw.origin)
                .help(format!("remove this line, or write `module = {module}`")),
        );
    }
    let callable = named.clone().unwrap_or_else(|| callable(settings));
    Some(Target::Module { module: module.clone(), callable })
}

fn virtualenv(settings: &Settings<'_>, base: &Path, findings: &mut Findings) -> Option<PathBuf> {
    let setting = settings.last("virtualenv")?;
    let Value::Path(path) = &setting.value else { return None };
    let path = paths::absolute(base, path);
    let interpreter = path.join("bin/python");
    let subject = format!("{} is not a virtual environment", quoted(setting.raw));
    let found = paths::directory(&path).and_then(|()| paths::readable_file(&interpreter));
    if let Err(obstacle) = found {
        let report = obstacle.report(&subject, &setting.raw.origin);
        findings.error(
            report
                .expected("a directory with bin/python in it")
                .help(format!("`python3 -m venv {}` makes one", path.display())),
        );
    }
    Some(path)
}

fn python(settings: &Settings<'_>, base: &Path, findings: &mut Findings) -> Option<PathBuf> {
    let setting = settings.last("python")?;
    let Value::Path(path) = &setting.value else { return None };
    if let Some(other) = settings.last("virtualenv") {
        let report = Report::new(format!("`python` is used in place of {}", quoted(other.raw)));
        findings.warn(report.at_key(&setting.raw.origin).help("remove one of the two lines"));
    }
    if path.components().count() == 1 && !path.is_absolute() {
        return Some(path.clone());
    }
    let path = paths::absolute(base, path);
    let subject = format!("{} cannot be run", quoted(setting.raw));
    if let Err(obstacle) = paths::readable_file(&path) {
        findings.error(obstacle.report(&subject, &setting.raw.origin));
    } else if path.metadata().is_ok_and(|facts| facts.permissions().mode() & 0o111 == 0) {
        let report = Report::new(format!("{subject}: it is not executable"));
        findings.error(report.at_value(&setting.raw.origin));
    }
    Some(path)
}
