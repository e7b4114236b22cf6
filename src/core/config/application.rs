//! What to serve, from `chdir`, `wsgi-file` or `module`, and the interpreter's options.

use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

pub(super) use super::Application;
use super::error::{Findings, Report, quoted};
use super::settings::{EMPEROR, Setting, Settings};
use super::target::{Mount, Named};
use super::value::Value;
use super::{Context, Listen, Protocol, Target, paths, startup};

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
    listeners: &[Listen],
    findings: &mut Findings,
) -> Option<Application> {
    // When the directory is wrong, nothing in it can be found: one error is enough.
    let usable = base.is_dir();
    let mounts = mounts(settings, base, usable, findings);
    let has_root = SOURCES.iter().any(|name| settings.last(name).is_some())
        || mounts.iter().any(|(_, mount)| mount.prefix.is_empty());
    let target = target(settings, &mounts, base, usable, findings);
    let virtualenv = virtualenv(settings, base, findings);
    let (env, unset) = startup::environment(settings, base, findings);
    let application = Application {
        mounts: mounts.iter().map(|(_, mount)| mount.clone()).collect(),
        manage_script_name: settings.switch("manage-script-name"),
        only_mounts: settings.switch("no-default-app") && !has_root,
        needs_all: settings.switch("need-app"),
        startup: startup::startup(settings, base, findings),
        chdir,
        pythonpath: startup::pythonpath(settings, base),
        virtualenv,
        python: python(settings, base, findings),
        optimize: settings.small("optimize").unwrap_or(0),
        no_site: settings.switch("no-site"),
        env,
        unset,
        ..Application::new(target?)
    };
    explain(&application, &mounts, has_root, listeners, findings);
    Some(application)
}

/// The options that name the application at the root.
const SOURCES: [&str; 4] = ["wsgi-file", "module", "eval", "paste"];

fn target(
    settings: &Settings<'_>,
    mounts: &[(&Setting<'_>, Mount)],
    base: &Path,
    usable: bool,
    findings: &mut Findings,
) -> Option<Target> {
    let mut sources = SOURCES.iter().filter_map(|name| settings.last(name));
    let source = sources.next();
    if let (Some(first), Some(second)) = (source, sources.next()) {
        contradiction(first, second, findings);
        return None;
    }
    let at_root = mounts.iter().find(|(_, mount)| mount.prefix.is_empty());
    let Some(source) = source else {
        if let Some((_, mount)) = at_root.or(mounts.first()) {
            return Some(mount.target.clone());
        }
        if !SOURCES.iter().chain(&["mount", EMPEROR]).any(|name| settings.failed(name)) {
            findings.error(Report::new("there is no application to serve").help(
                "add two lines such as\nchdir = /srv/bookstore\nwsgi-file = BookStore/wsgi.py",
            ));
        }
        return None;
    };
    if let Some((root, _)) = at_root {
        contradiction(source, root, findings);
        return None;
    }
    match source.spec.name {
        "wsgi-file" => file(source, settings, base, usable, findings),
        "module" => module(source, settings, findings),
        "eval" => {
            let Value::Text(text) = &source.value else { return None };
            Some(Target::Code { text: text.clone(), callable: callable(settings) })
        }
        _ => paste(source, settings, base, findings),
    }
}

fn contradiction(first: &Setting<'_>, second: &Setting<'_>, findings: &mut Findings) {
    let pair = format!("{} and {} contradict", quoted(first.raw), quoted(second.raw));
    let report = Report::new(format!("{pair} each other")).at_key(&second.raw.origin);
    findings.error(
        report.help("there is one application at the root: remove one of the lines, or give one a prefix by `mount`"),
    );
}

/// What is mounted where, with its place in the configuration.
fn mounts<'s, 'a>(
    settings: &'s Settings<'a>,
    base: &Path,
    usable: bool,
    findings: &mut Findings,
) -> Vec<(&'s Setting<'a>, Mount)> {
    let mut all: Vec<(&Setting<'_>, Mount)> = Vec::new();
    for setting in settings.each("mount") {
        let Value::Mount(prefix, named) = &setting.value else { continue };
        if let Some((other, _)) = all.iter().find(|(_, mount)| mount.prefix == *prefix) {
            let pair = format!("{} and {}", quoted(other.raw), quoted(setting.raw));
            let report = Report::new(format!("{pair} have the same prefix"));
            findings.error(report.at_value(&setting.raw.origin).help("remove one of the lines"));
            continue;
        }
        if let (Named::File(path, _), true) = (named, usable)
            && let Err(obstacle) = paths::readable_file(&paths::absolute(base, path))
        {
            let subject = format!("{} cannot be read", quoted(setting.raw));
            let report = obstacle.report(&subject, &setting.raw.origin);
            let report = report.expected("a Python file, relative to `chdir`");
            let text = path.to_string_lossy();
            let is_dotted = !text.contains('/') && text.ends_with(".wsgi");
            findings.error(if is_dotted {
                report.help(format!("if it is a module, write `{text}:{}`", callable(settings)))
            } else {
                report
            });
        }
        let target = named.target(&callable(settings));
        all.push((setting, Mount { prefix: prefix.clone(), target }));
    }
    all
}

/// Says what becomes of requests for which a reader may expect another application.
fn explain(
    application: &Application,
    mounts: &[(&Setting<'_>, Mount)],
    has_root: bool,
    listeners: &[Listen],
    findings: &mut Findings,
) {
    let Some((first, _)) = mounts.iter().find(|(_, mount)| !mount.prefix.is_empty()) else {
        return;
    };
    let origin = &first.raw.origin;
    let by_variable = listeners.iter().any(|listen| listen.protocol == Protocol::Uwsgi);
    if !application.manage_script_name && !by_variable {
        let report = Report::new("`mount` is not obeyed for requests by HTTP").at_key(origin);
        findings.warn(report.help("add `manage-script-name = true`: their path tells the mount"));
    }
    if !has_root && !application.only_mounts {
        let report = Report::new(format!("requests for no mount go to {}", quoted(first.raw)));
        findings.inform(report.at_key(origin).help(
            "`no-default-app = true` answers them with 404; `mount = /=APPLICATION` has them served",
        ));
    }
}

fn paste(
    setting: &Setting<'_>,
    settings: &Settings<'_>,
    base: &Path,
    findings: &mut Findings,
) -> Option<Target> {
    let Value::Text(text) = &setting.value else { return None };
    let (kind, rest) = text.split_once(':').unwrap_or(("config", text));
    if kind != "config" {
        return Some(Target::Paste { uri: text.clone(), logging: None });
    }
    let (file, name) = rest.split_once('#').map_or((rest, None), |(file, name)| (file, Some(name)));
    let path = paths::absolute(base, Path::new(file));
    if let Err(obstacle) = paths::readable_file(&path) {
        let subject = format!("{} cannot be read", quoted(setting.raw));
        let report = obstacle.report(&subject, &setting.raw.origin);
        findings.error(report.expected("`config:FILE`, an INI file of PasteDeploy"));
    }
    let name = name.map(|name| format!("#{name}")).unwrap_or_default();
    let uri = format!("config:{}{name}", path.display());
    Some(Target::Paste { uri, logging: settings.switch("paste-logger").then_some(path) })
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
