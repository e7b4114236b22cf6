//! Which Python runs the application.

use std::env;
use std::ffi::OsStr;
use std::fmt::Write as _;
use std::path::{Path, PathBuf};

use nix::unistd::{AccessFlags, access};
use rwsgi_core::config::Application;

/// The oldest Python 3 that the extension runs in.
const OLDEST: u32 = 6;
/// The newest that is looked for by name.
const NEWEST: u32 = 19;
const FALLBACK_PATH: &str = "/usr/local/bin:/usr/bin:/bin";

/// Finds the interpreter: `python` of the configuration, else that of `virtualenv`, else the system's
/// python3, else the newest python3.X.
///
/// # Errors
/// What was tried, and why none of it can be used.
pub fn find(application: &Application, path: Option<&OsStr>) -> Result<PathBuf, String> {
    let path = path.unwrap_or(OsStr::new(FALLBACK_PATH));
    let mut tried = Vec::new();
    let found = match (&application.python, &application.virtualenv) {
        (Some(python), _) if python.components().count() > 1 => check(python, &mut tried),
        (Some(python), _) => look_up(python, path, &mut tried),
        (None, Some(home)) => ["bin/python3", "bin/python"]
            .iter()
            .find_map(|name| check(&home.join(name), &mut tried)),
        (None, None) => system(path, &mut tried),
    };
    found.ok_or_else(|| none(&tried))
}

/// Finds the one that is taken when the configuration names none.
///
/// # Errors
/// As [`find`].
pub fn of_system(path: Option<&OsStr>) -> Result<PathBuf, String> {
    let mut tried = Vec::new();
    system(path.unwrap_or(OsStr::new(FALLBACK_PATH)), &mut tried).ok_or_else(|| none(&tried))
}

/// The version that made a virtual environment, and that of the interpreter which it has by now: after an
/// upgrade of the distribution they differ. `None` if they agree, or cannot be seen.
pub fn mismatch(home: &Path) -> Option<(String, String)> {
    let written = std::fs::read_to_string(home.join("pyvenv.cfg")).ok()?;
    let version = written.lines().find_map(|line| {
        let (key, value) = line.split_once('=')?;
        matches!(key.trim(), "version" | "version_info").then(|| value.trim())
    })?;
    let made = version.splitn(3, '.').take(2).collect::<Vec<_>>().join(".");
    let real = home.join("bin/python3").canonicalize().ok()?;
    let now = real.file_name()?.to_str()?.strip_prefix("python")?.to_owned();
    let has_packages = home.join(format!("lib/python{now}/site-packages")).is_dir();
    (now.contains('.') && now != made && !has_packages).then_some((made, now))
}

type Tried = Vec<(PathBuf, String)>;

fn none(tried: &Tried) -> String {
    let mut message = "no usable Python interpreter was found; tried:".to_owned();
    for (path, why) in tried {
        let _ = write!(message, "\n  {}: {why}", path.display());
    }
    message.push_str("\nInstall python3, or name an interpreter: python = /usr/bin/python3.12");
    message
}

fn system(path: &OsStr, tried: &mut Tried) -> Option<PathBuf> {
    look_up(Path::new("python3"), path, tried).or_else(|| {
        (OLDEST..=NEWEST).rev().find_map(|minor| {
            let name = format!("python3.{minor}");
            env::split_paths(path)
                .map(|directory| directory.join(&name))
                .find(|candidate| access(candidate, AccessFlags::X_OK).is_ok())
        })
    })
}

fn look_up(name: &Path, path: &OsStr, tried: &mut Tried) -> Option<PathBuf> {
    for directory in env::split_paths(path) {
        let candidate = directory.join(name);
        if candidate.exists()
            && let Some(found) = check(&candidate, tried)
        {
            return Some(found);
        }
    }
    if tried.is_empty() {
        let path = path.to_string_lossy();
        tried.push((name.to_owned(), format!("not in PATH ({path})")));
    }
    None
}

/// The path, if it can be executed and is not known to be too old: its real name tells, as
/// /usr/bin/python3 leads to python3.11.
fn check(path: &Path, tried: &mut Tried) -> Option<PathBuf> {
    if let Err(error) = access(path, AccessFlags::X_OK) {
        tried.push((path.to_owned(), error.desc().to_owned()));
        return None;
    }
    let real = path.canonicalize().unwrap_or_else(|_| path.to_owned());
    let name = real.file_name().and_then(OsStr::to_str).unwrap_or("");
    let minor = name.strip_prefix("python3.").and_then(|minor| minor.parse::<u32>().ok());
    if minor.is_some_and(|minor| minor < OLDEST) || name.starts_with("python2") {
        tried.push((path.to_owned(), format!("{name} is too old: Python 3.{OLDEST} or newer")));
        return None;
    }
    Some(path.to_owned())
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt as _;

    use rwsgi_core::config::Target;

    use super::*;

    fn application(python: Option<&str>, home: Option<&Path>) -> Application {
        let module = Target::Module { module: "m".into(), callable: "application".into() };
        Application {
            virtualenv: home.map(Into::into),
            python: python.map(Into::into),
            ..Application::new(module)
        }
    }

    fn directory(names: &[&str]) -> tempfile::TempDir {
        let directory = tempfile::tempdir().unwrap();
        std::fs::create_dir(directory.path().join("bin")).unwrap();
        for name in names {
            let path = directory.path().join("bin").join(name);
            std::fs::write(&path, "").unwrap();
            std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o755)).unwrap();
        }
        directory
    }

    #[test]
    fn the_newest_is_taken_when_there_is_no_python3() {
        let home = directory(&["python3.8", "python3.12", "python3.9"]);
        let bin = home.path().join("bin");
        let found = find(&application(None, None), Some(bin.as_os_str())).unwrap();
        assert_eq!(found, bin.join("python3.12"));
    }

    #[test]
    fn a_python3_that_is_too_old_is_passed_over() {
        let home = directory(&["python3.5", "python3.8"]);
        let bin = home.path().join("bin");
        std::os::unix::fs::symlink("python3.5", bin.join("python3")).unwrap();
        let found = find(&application(None, None), Some(bin.as_os_str())).unwrap();
        assert_eq!(found, bin.join("python3.8"));
    }

    #[test]
    fn a_virtual_environment_without_python_is_an_error_that_says_what_was_tried() {
        let home = directory(&[]);
        let error = find(&application(None, Some(home.path())), None).unwrap_err();
        assert!(error.contains("bin/python3: No such file"), "{error}");
        assert!(error.contains("python = "), "{error}");
    }

    #[test]
    fn a_virtual_environment_of_another_version_is_told() {
        let (home, system) = (directory(&[]), directory(&["python3.11"]));
        let made_by = |version: &str| {
            std::fs::write(
                home.path().join("pyvenv.cfg"),
                format!("home = /usr/bin\nversion = {version}\n"),
            )
            .unwrap();
            mismatch(home.path())
        };
        assert_eq!(made_by("3.9.2"), None);
        let real = system.path().join("bin/python3.11");
        std::os::unix::fs::symlink(real, home.path().join("bin/python3")).unwrap();
        assert_eq!(made_by("3.9.2"), Some(("3.9".to_owned(), "3.11".to_owned())));
        assert_eq!(made_by("3.11.0"), None);
    }

    #[test]
    fn a_name_is_looked_up_and_a_path_is_not() {
        let home = directory(&["python3.8"]);
        let bin = home.path().join("bin");
        let named = find(&application(Some("python3.8"), None), Some(bin.as_os_str()));
        assert_eq!(named.unwrap(), bin.join("python3.8"));
        assert!(find(&application(Some("./python3.8"), None), Some(bin.as_os_str())).is_err());
    }
}
