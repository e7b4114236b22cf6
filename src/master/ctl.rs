//! `rwsgi reload|stop|status|stacks NAME`, `--stop PIDFILE`, `--reload PIDFILE` and `--stacks PIDFILE`:
//! the other end.

use std::io::{self, BufRead as _, BufReader, Write as _};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::time::Duration;

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use rwsgi_core::exit::ExitCode;
use rwsgi_core::sys;
use serde_json::Value;

use crate::cli::{Command, Instance};
use crate::{control, pidfile, stacks};

const RUNTIME: &str = "/run/rwsgi";

/// Asks the instance `name` (or the control socket at a path) and prints the answer.
pub fn control(command: Command, name: &str) -> ExitCode {
    let word = match command {
        Command::Reload => "reload",
        Command::Stop => "stop",
        Command::Status => "status",
    };
    match ask(&socket_of(name), word) {
        Ok(answer) => print(&answer, |answer| match command {
            Command::Status => serde_json::to_string_pretty(answer).unwrap_or_default(),
            Command::Reload | Command::Stop => message(answer).to_owned(),
        }),
        Err(error) => nobody(name, &error),
    }
}

/// Prints where the Python threads of an instance are.
pub fn stacks(of: &Instance, json: bool) -> ExitCode {
    let path = match of {
        Instance::Name(name) => socket_of(name),
        Instance::Pidfile(pidfile) => match socket_of_pidfile(pidfile) {
            Ok(path) => path,
            Err(code) => return code,
        },
    };
    let show = |answer: &Value| {
        if json {
            serde_json::to_string_pretty(&answer["workers"]).unwrap_or_default()
        } else {
            stacks::text(answer).trim_end().to_owned()
        }
    };
    match (ask(&path, "stacks"), of) {
        (Ok(answer), _) => print(&answer, show),
        (Err(error), Instance::Name(name)) => nobody(name, &error),
        (Err(error), Instance::Pidfile(pidfile)) => {
            let (pidfile, path) = (pidfile.display(), path.display());
            complain(&format!("{pidfile}: nobody answers at {path}: {error}"));
            ExitCode::Unavailable
        }
    }
}

fn socket_of(name: &str) -> PathBuf {
    if name.contains('/') {
        PathBuf::from(name)
    } else {
        Path::new(RUNTIME).join(name).join("control")
    }
}

/// Where the instance with this pidfile was told to have its control socket.
fn socket_of_pidfile(pidfile: &Path) -> Result<PathBuf, ExitCode> {
    let pid = holder(pidfile)?;
    let environment = std::fs::read(format!("/proc/{pid}/environ")).map_err(|error| {
        complain(&format!("cannot see the environment of pid {pid}: {error}"));
        ExitCode::Permission
    })?;
    let value = |name: &str| {
        let mut variables = environment.split(|byte| *byte == 0);
        let value = variables.find_map(|one| one.strip_prefix(format!("{name}=").as_bytes()))?;
        String::from_utf8(value.to_vec()).ok()
    };
    control::path_by(value).ok_or_else(|| {
        let advice = "start it with RWSGI_RUNTIME_DIRECTORY, or as a service";
        complain(&format!("pid {pid} has no control socket: {advice}"));
        ExitCode::Unavailable
    })
}

fn nobody(name: &str, error: &io::Error) -> ExitCode {
    let path = socket_of(name);
    let path = path.display();
    complain(&format!(
        "{name}: nobody answers at {path}: {error}\nSee: systemctl status rwsgi@{name}, journalctl -u rwsgi@{name}"
    ));
    ExitCode::Unavailable
}

fn ask(path: &Path, command: &str) -> io::Result<Value> {
    let mut stream = UnixStream::connect(path)?;
    writeln!(stream, "{}", serde_json::json!({ "command": command }))?;
    let mut line = String::new();
    BufReader::new(stream).read_line(&mut line)?;
    if line.is_empty() {
        return Err(io::ErrorKind::UnexpectedEof.into());
    }
    Ok(serde_json::from_str(&line)?)
}

fn message(answer: &Value) -> &str {
    answer.get("message").and_then(Value::as_str).unwrap_or("")
}

fn print(answer: &Value, show: impl FnOnce(&Value) -> String) -> ExitCode {
    let ok = answer.get("ok").and_then(Value::as_bool).unwrap_or(false);
    if !ok {
        complain(message(answer));
        return ExitCode::Failed;
    }
    let _ = writeln!(io::stdout(), "{}", show(answer));
    ExitCode::Ok
}

/// `--reload PIDFILE`: SIGHUP, as uWSGI does it. The log tells how it went.
pub fn reload(pidfile: &Path) -> ExitCode {
    match signal(pidfile, Signal::SIGHUP) {
        Ok(_) => ExitCode::Ok,
        Err(code) => code,
    }
}

/// `--stop PIDFILE`: SIGTERM, and waits until the instance has left.
pub fn stop(pidfile: &Path) -> ExitCode {
    let pid = match signal(pidfile, Signal::SIGTERM) {
        Ok(pid) => pid,
        Err(code) => return code,
    };
    let mut told = false;
    loop {
        match sys::wait_for_exit(pid, Duration::from_secs(5)) {
            Ok(true) => return ExitCode::Ok,
            Ok(false) if told => {}
            Ok(false) => {
                complain(&format!("waiting for pid {pid} to finish its requests"));
                told = true;
            }
            Err(error) => {
                complain(&format!("cannot wait for pid {pid}: {error}"));
                return ExitCode::System;
            }
        }
    }
}

/// Signals the process that holds the lock on `pidfile`.
fn signal(pidfile: &Path, signal: Signal) -> Result<i32, ExitCode> {
    let pid = holder(pidfile)?;
    kill(Pid::from_raw(pid), signal).map(|()| pid).map_err(|error| {
        complain(&format!("cannot signal pid {pid}: {}", error.desc()));
        ExitCode::Permission
    })
}

/// The process that holds the lock on `pidfile`.
fn holder(pidfile: &Path) -> Result<i32, ExitCode> {
    let shown = pidfile.display();
    match pidfile::holder(pidfile) {
        Ok(Some(pid)) => Ok(pid),
        Ok(None) => {
            complain(&format!("{shown}: no instance of rwsgi holds this pid file; it is stale"));
            Err(ExitCode::Unavailable)
        }
        Err(error) => {
            complain(&format!("{shown}: {error}; is the instance running?"));
            Err(ExitCode::Unavailable)
        }
    }
}

fn complain(message: &str) {
    let _ = writeln!(io::stderr(), "rwsgi: {message}");
}
