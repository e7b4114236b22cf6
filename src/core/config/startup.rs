//! What is done around the import of an application: `pyargv`, `import`, `pymodule-alias`, `chdir2`,
//! and its environment.

use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use super::error::{Findings, Report, quoted};
use super::reloading::Probe;
use super::settings::{Setting, Settings};
use super::value::Value;
use super::{glob, paths, target};

/// What is done before and after the import.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Startup {
    /// What `sys.argv` has after its first element (`pyargv`).
    pub arguments: Vec<String>,
    /// Names under which other modules are found (`pymodule-alias`), made before.
    pub aliases: Vec<(String, Import)>,
    /// Modules that are imported after the application (`import`, `shared-import`).
    pub imports: Vec<Import>,
    /// The same as `aliases`, made after (`post-pymodule-alias`).
    pub late_aliases: Vec<(String, Import)>,
    /// The working directory after all imports, absolute (`chdir2`).
    pub chdir: Option<PathBuf>,
    /// What the application is asked after that (`warm-up`).
    pub warm_up: Vec<Probe>,
}

/// A module.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum Import {
    /// By its dotted name.
    Module(String),
    /// By its file, absolute.
    File(PathBuf),
}

impl Import {
    fn read(text: &str, base: &Path) -> Self {
        if target::is_file(text) {
            Self::File(paths::absolute(base, Path::new(text)))
        } else {
            Self::Module(text.to_owned())
        }
    }
}

/// What is done around the import; relative paths begin at `base`.
pub(super) fn startup(settings: &Settings<'_>, base: &Path, findings: &mut Findings) -> Startup {
    let words = settings.word("pyargv").unwrap_or_default();
    let mut import = |setting: &Setting<'_>, text: &str| {
        let import = Import::read(text, base);
        if let (Import::File(path), true) = (&import, base.is_dir())
            && let Err(obstacle) = paths::readable_file(path)
        {
            let subject = format!("{} cannot be read", quoted(setting.raw));
            let report = obstacle.report(&subject, &setting.raw.origin);
            findings.error(report.expected("a Python file, or the dotted name of a module"));
        }
        import
    };
    let mut imports = Vec::new();
    for setting in settings.all(&["import", "shared-import"]) {
        if let Value::Text(text) = &setting.value {
            imports.push(import(setting, text));
        }
    }
    let mut aliases = |name| {
        let mut aliases = Vec::new();
        for setting in settings.each(name) {
            if let Value::Variable(alias, text) = &setting.value {
                aliases.push((alias.clone(), import(setting, text)));
            }
        }
        aliases
    };
    Startup {
        arguments: words.split_ascii_whitespace().map(str::to_owned).collect(),
        aliases: aliases("pymodule-alias"),
        late_aliases: aliases("post-pymodule-alias"),
        imports,
        chdir: directory(settings, "chdir2", base, findings),
        warm_up: settings.each("warm-up").filter_map(probe).collect(),
    }
}

fn probe(setting: &Setting<'_>) -> Option<Probe> {
    match &setting.value {
        Value::Probe(probe) => Some(probe.clone()),
        _ => None,
    }
}

fn directory(
    settings: &Settings<'_>,
    name: &str,
    base: &Path,
    findings: &mut Findings,
) -> Option<PathBuf> {
    let setting = settings.last(name)?;
    let Value::Path(path) = &setting.value else { return None };
    let path = paths::absolute(base, path);
    if let Err(obstacle) = paths::directory(&path) {
        let subject = format!("{} cannot be entered", quoted(setting.raw));
        findings.error(obstacle.report(&subject, &setting.raw.origin).expected("a directory"));
    }
    Some(path)
}

/// The directories of `pythonpath`, in the order of `sys.path`.
pub(super) fn pythonpath(settings: &Settings<'_>, base: &Path) -> Vec<PathBuf> {
    let mut all = Vec::new();
    for setting in settings.each("pythonpath") {
        let Value::Path(path) = &setting.value else { continue };
        let text = path.to_string_lossy();
        let found = if text.contains(['*', '?', '[']) { glob::expand(&text, base) } else { vec![] };
        if found.is_empty() {
            all.push(paths::absolute(base, path));
        }
        let trimmed = |name: &String| PathBuf::from(name.trim_end_matches('/'));
        all.extend(found.iter().map(|name| paths::absolute(base, &trimmed(name))));
    }
    // uWSGI puts each before those it has put there already.
    all.reverse();
    all
}

/// The variables that are set, and those that are taken away, in the order of the configuration;
/// `envdir` counts after all, as in uWSGI.
pub(super) fn environment(
    settings: &Settings<'_>,
    base: &Path,
    findings: &mut Findings,
) -> (Vec<(String, String)>, Vec<String>) {
    let (mut set, mut unset) = (Vec::new(), Vec::new());
    for setting in settings.all(&["env", "unenv"]) {
        match &setting.value {
            Value::Variable(name, value) => {
                unset.retain(|other| other != name);
                set.push((name.clone(), value.clone()));
            }
            Value::Text(name) => take_away(name, &mut set, &mut unset),
            _ => {}
        }
    }
    for setting in settings.each("envdir") {
        let Value::Path(path) = &setting.value else { continue };
        let path = paths::absolute(base, path);
        match variables(&path) {
            Ok(variables) => {
                for (name, value) in variables {
                    match value {
                        Some(value) => {
                            unset.retain(|other| *other != name);
                            set.push((name, value));
                        }
                        None => take_away(&name, &mut set, &mut unset),
                    }
                }
            }
            Err(problem) => {
                let message = format!("{} cannot be read: {problem}", quoted(setting.raw));
                let report = Report::new(message).at_value(&setting.raw.origin);
                findings.error(report.expected(
                    "a directory of files, as envdir(8) has it: each named after a variable, with its value",
                ));
            }
        }
    }
    (set, unset)
}

fn take_away(name: &str, set: &mut Vec<(String, String)>, unset: &mut Vec<String>) {
    set.retain(|(other, _)| other != name);
    unset.push(name.to_owned());
}

/// The variables of a directory, sorted; an empty file takes its variable away (envdir(8)).
fn variables(directory: &Path) -> Result<Vec<(String, Option<String>)>, String> {
    let entries = std::fs::read_dir(directory).map_err(|error| paths::reason(&error))?;
    let mut all = Vec::new();
    for entry in entries {
        let entry = entry.map_err(|error| paths::reason(&error))?;
        let Ok(name) = entry.file_name().into_string() else {
            return Err(format!("{} has a name that is not UTF-8", entry.path().display()));
        };
        if name.starts_with('.') || name.contains('=') || !entry.path().is_file() {
            continue;
        }
        let bytes = paths::read(&entry.path()).map_err(|it| format!("{name}: {}", it.problem))?;
        if bytes.is_empty() {
            all.push((name, None));
            continue;
        }
        let text = String::from_utf8(bytes).map_err(|_| format!("{name} is not UTF-8"))?;
        let line = text.lines().next().unwrap_or_default();
        all.push((name, Some(line.trim_end().replace('\0', "\n"))));
    }
    all.sort();
    Ok(all)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_envdir_sets_and_takes_away() {
        let directory = tempfile::tempdir().unwrap();
        let write = |name: &str, text: &str| std::fs::write(directory.path().join(name), text);
        write("SECRET", "s3cret  \nsecond line\n").unwrap();
        write("GONE", "").unwrap();
        write("EMPTY", "\n").unwrap();
        write(".hidden", "x").unwrap();
        let expected = [
            ("EMPTY".to_owned(), Some(String::new())),
            ("GONE".to_owned(), None),
            ("SECRET".to_owned(), Some("s3cret".to_owned())),
        ];
        assert_eq!(variables(directory.path()).unwrap(), expected);
        assert!(variables(&directory.path().join("none")).is_err());
    }
}
