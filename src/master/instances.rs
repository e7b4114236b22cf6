//! Which instances run, and where their control sockets are.

use std::io;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};

use nix::unistd::{Gid, Group, Uid, User};
use rwsgi_core::exit::ExitCode;

use crate::commands::Instance;
use crate::{control, pidfile};

/// Why an instance cannot be asked: the exit code, and a sentence.
pub type Trouble = (ExitCode, String);

/// Where services of the system have their directories, and those of the user who asks.
fn directories() -> Vec<PathBuf> {
    let own = std::env::var_os("XDG_RUNTIME_DIR").filter(|path| !path.is_empty());
    let own = own.map(|path| Path::new(&path).join("rwsgi"));
    [PathBuf::from("/run/rwsgi")].into_iter().chain(own).collect()
}

/// All instances that run, with their control sockets, by name.
pub fn running() -> Vec<(String, PathBuf)> {
    let mut found = Vec::new();
    for directory in directories() {
        let entries = std::fs::read_dir(directory).into_iter().flatten().flatten();
        for entry in entries {
            let path = entry.path().join("control");
            if let Ok(name) = entry.file_name().into_string()
                && listens(&path)
            {
                found.push((name, path));
            }
        }
    }
    found.sort();
    found
}

/// Whether somebody has the socket, be it that we may not connect.
fn listens(path: &Path) -> bool {
    match std::os::unix::net::UnixStream::connect(path) {
        Ok(_) => true,
        Err(error) => error.kind() == io::ErrorKind::PermissionDenied && path.exists(),
    }
}

/// The control socket of the instance that is meant.
///
/// # Errors
/// It is not there, or not the only one.
pub fn socket_of(instance: Option<&Instance>) -> Result<PathBuf, Trouble> {
    match instance {
        Some(Instance::Name(path)) if path.contains('/') => Ok(PathBuf::from(path)),
        Some(Instance::Name(name)) => {
            let places: Vec<_> =
                directories().iter().map(|place| place.join(name).join("control")).collect();
            let there = places.iter().find(|path| path.exists()).or(places.first());
            Ok(there.cloned().unwrap_or_default())
        }
        Some(Instance::Pidfile(path)) => of_pidfile(path),
        None => the_only_one(),
    }
}

fn the_only_one() -> Result<PathBuf, Trouble> {
    let mut all = running();
    match all.len() {
        0 => Err((ExitCode::Unavailable, format!("no instance runs {}", looked()))),
        1 => Ok(all.remove(0).1),
        count => {
            let names: Vec<_> = all.iter().map(|(name, _)| name.as_str()).collect();
            Err((ExitCode::Usage, format!("{count} instances run, name one: {}", names.join(", "))))
        }
    }
}

fn looked() -> String {
    let places: Vec<_> = directories().iter().map(|path| path.display().to_string()).collect();
    format!(
        "in {}; others are named by the path of `control-socket` or by --pidfile",
        places.join(", ")
    )
}

/// The process that holds the lock on the pid file `path`.
///
/// # Errors
/// Nobody does.
pub fn holder(path: &Path) -> Result<i32, Trouble> {
    let shown = path.display();
    match pidfile::holder(path) {
        Ok(Some(pid)) => Ok(pid),
        Ok(None) => {
            let why = format!("{shown}: no instance of rwsgi holds this pid file; it is stale");
            Err((ExitCode::Unavailable, why))
        }
        Err(error) => {
            Err((ExitCode::Unavailable, format!("{shown}: {error}; is the instance running?")))
        }
    }
}

fn of_pidfile(path: &Path) -> Result<PathBuf, Trouble> {
    let pid = holder(path)?;
    match control::path_of(pid) {
        Ok(Some(socket)) => Ok(socket),
        Ok(None) => {
            let advice = "start it as a service, or with `control-socket = PATH`";
            Err((ExitCode::Unavailable, format!("pid {pid} has no control socket: {advice}")))
        }
        Err(error) => {
            let why = format!("cannot see where pid {pid} has its control socket: {error}");
            Err((ExitCode::Permission, why))
        }
    }
}

/// Why nobody answers at `path`.
pub fn trouble(instance: Option<&Instance>, path: &Path, error: &io::Error) -> Trouble {
    let shown = path.display();
    if error.kind() == io::ErrorKind::PermissionDenied {
        return (ExitCode::Permission, format!("{shown}: permission denied{}", whose(path)));
    }
    let mut why = format!("nobody answers at {shown}: {error}");
    if let Some(Instance::Name(name)) = instance
        && !name.contains('/')
    {
        why = format!(
            "{name}: {why}\nSee: systemctl status rwsgi@{name}, journalctl -u rwsgi@{name}"
        );
        let names: Vec<_> = running().into_iter().map(|(name, _)| name).collect();
        if !names.is_empty() {
            why.push_str(&format!("\nThese run: {}", names.join(", ")));
        }
    }
    (ExitCode::Unavailable, why)
}

/// Who may: names the group that one has to be in.
fn whose(path: &Path) -> String {
    let Ok(facts) = std::fs::metadata(path) else {
        return ": its directory is closed to you".to_owned();
    };
    let user = User::from_uid(Uid::from_raw(facts.uid())).ok().flatten();
    let user = user.map_or_else(|| facts.uid().to_string(), |user| user.name);
    let group = Group::from_gid(Gid::from_raw(facts.gid())).ok().flatten();
    let group = group.map_or_else(|| facts.gid().to_string(), |group| group.name);
    format!(": it is for root, for the user {user} and for the members of the group {group}")
}
