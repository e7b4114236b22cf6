//! Starts a template: Python, with the extension, on one end of a channel.

use std::env;
use std::ffi::{OsStr, OsString};
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};

use rwsgi_core::commons::Commons;
use rwsgi_core::config::{Application, Config};
use rwsgi_core::ipc::{Channel, Probing, ToTemplate};
use rwsgi_core::log;
use rwsgi_core::scoreboard::Scoreboard;
use rwsgi_core::{shortage, sys};

use crate::handover;

const BOOTSTRAP: &str = include_str!("bootstrap.py");

/// What systemd says to the service, and not to its children.
const NOT_FOR_CHILDREN: [&str; 13] = [
    "LISTEN_PID",
    "LISTEN_FDS",
    "LISTEN_FDNAMES",
    "LISTEN_PIDFDID",
    "NOTIFY_SOCKET",
    "WATCHDOG_PID",
    "WATCHDOG_USEC",
    "FDSTORE",
    "MAINPID",
    "MEMORY_PRESSURE_WATCH",
    "MEMORY_PRESSURE_WRITE",
    "RWSGI_RUNTIME_DIRECTORY",
    handover::VARIABLE,
];

/// What a template has of the instance.
#[derive(Debug, Clone, Copy)]
pub struct Shared<'a> {
    /// What all workers are doing.
    pub scoreboard: &'a Scoreboard,
    /// Its size.
    pub slots: usize,
    /// What uWSGI's module shares.
    pub commons: &'a Commons,
    /// Another generation has served before.
    pub is_reload: bool,
    /// There was a template of this generation before.
    pub is_again: bool,
}

/// Starts the template of `config` and tells it to import the application. `output` is to be its
/// stdout and stderr, if not ours.
///
/// # Errors
/// A sentence: the extension is missing, or the interpreter cannot be executed.
pub fn template(
    config: &Config,
    python: &PathBuf,
    shared: Shared<'_>,
    (listeners, kept): (&[BorrowedFd<'_>], Vec<bool>),
    caches: &[BorrowedFd<'_>],
    output: Option<OwnedFd>,
) -> Result<(Child, Channel), String> {
    let extension = extension()?;
    let trouble = |error: io::Error| {
        format!("cannot start {}: {}", python.display(), shortage::explain(&error))
    };
    let (ours, theirs) = Channel::pair().map_err(trouble)?;
    let mut command = Command::new(python);
    command.args((0..config.application.optimize).map(|_| "-O"));
    command.args(config.application.no_site.then_some("-S"));
    command.arg("-c").arg(BOOTSTRAP).arg(extension).stdin(Stdio::from(theirs.into_fd()));
    let captured = output.is_some();
    if let Some(output) = output {
        command.stdout(Stdio::from(output.try_clone().map_err(trouble)?)).stderr(output);
    }
    set_environment(&mut command, &config.application);
    sys::ignore_terminal_signals(&mut command);
    let child = command.spawn().map_err(trouble)?;
    // Ours are closed: the pipe is to end with the last process that writes to it.
    drop(command);
    let mut fds = vec![shared.scoreboard.memory(), shared.commons.memory()];
    let stderr = io::stderr();
    fds.extend(captured.then(|| stderr.as_fd()));
    let file = log::file();
    fds.extend(file.as_ref().map(|file| file.as_fd()));
    fds.extend(listeners);
    fds.extend(caches);
    let mut config = Box::new(config.clone());
    // There `stderr` is not what it is here.
    for sinks in std::iter::once(&mut config.log.sinks).chain(&mut config.log.requests.sinks) {
        sinks.target = log::resolve_target(&sinks.target);
    }
    let version = rwsgi_core::VERSION.into();
    let Shared { slots, is_reload, is_again, .. } = shared;
    let logged = file.is_some();
    let start =
        ToTemplate::Start { version, config, slots, captured, logged, kept, is_reload, is_again };
    ours.send(&start, &fds).map_err(trouble)?;
    ours.set_nonblocking(true).map_err(trouble)?;
    Ok((child, ours))
}

/// Gives a child the environment of the application, and nothing that is for the master alone.
pub fn set_environment(command: &mut Command, application: &Application) {
    for name in NOT_FOR_CHILDREN {
        command.env_remove(name);
    }
    if let Some(home) = &application.virtualenv {
        command.env("VIRTUAL_ENV", home).env("PATH", path_with(&home.join("bin")));
        command.env_remove("PYTHONHOME");
    }
    for name in &application.unset {
        command.env_remove(name);
    }
    command.envs(application.env.iter().map(|(name, value)| (name, value)));
}

/// Asks a template for a worker, with `output` for its stdout and stderr if not the template's;
/// returns our end of the worker's channel.
///
/// # Errors
/// Those of socketpair(2) and sendmsg(2).
pub fn worker(
    template: &Channel,
    number: u32,
    slot: usize,
    probing: Probing,
    output: Option<BorrowedFd<'_>>,
) -> io::Result<Channel> {
    let (ours, theirs) = Channel::pair()?;
    ours.set_nonblocking(true)?;
    let mut fds = vec![theirs.as_fd()];
    fds.extend(output);
    template.send(&ToTemplate::Fork { worker: number, slot, probing }, &fds)?;
    Ok(ours)
}

/// The extension module: as installed, or as built.
///
/// # Errors
/// A sentence: it is nowhere.
pub fn extension() -> Result<PathBuf, String> {
    if let Some(path) = env::var_os("RWSGI_EXTENSION") {
        return Ok(path.into());
    }
    let program = env::current_exe().map_err(|error| format!("/proc/self/exe: {error}"))?;
    let directory = program.parent().unwrap_or(&program);
    let candidates =
        [directory.join("../lib/rwsgi/python/_rwsgi.abi3.so"), directory.join("lib_rwsgi.so")];
    candidates.iter().find(|path| path.exists()).cloned().ok_or_else(|| {
        let [installed, built] = candidates.each_ref().map(|path| path.display().to_string());
        format!("the Python extension is missing: neither {installed} nor {built} exists; reinstall rwsgi, or name it in RWSGI_EXTENSION")
    })
}

fn path_with(first: &std::path::Path) -> OsString {
    let mut path = first.as_os_str().to_owned();
    path.push(":");
    path.push(env::var_os("PATH").as_deref().unwrap_or(OsStr::new("/usr/bin:/bin")));
    path
}
