//! `rwsgi reload|stop|status NAME`, `--stop PIDFILE` and `--reload PIDFILE`: the other end.

use std::io::{self, BufRead as _, BufReader, Write as _};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::time::Duration;

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use rwsgi_core::exit::ExitCode;
use rwsgi_core::sys;
use serde_json::Value;

use crate::cli::Command;
use crate::pidfile;

const RUNTIME: &str = "/run/rwsgi";

/// Asks the instance `name` (or the control socket at a path) and prints the answer.
pub fn control(command: Command, name: &str) -> ExitCode {
    let word = match command {
        Command::Reload => "reload",
        Command::Stop => "stop",
        Command::Status => "status",
    };
    let path = if name.contains('/') {
        PathBuf::from(name)
    } else {
        Path::new(RUNTIME).join(name).join("control")
    };
    match ask(&path, word) {
        Ok(answer) => print(command, &answer),
        Err(error) => {
            let path = path.display();
            complain(&format!(
                "{name}: nobody answers at {path}: {error}\nSee: systemctl status rwsgi@{name}, journalctl -u rwsgi@{name}"
            ));
            ExitCode::Unavailable
        }
    }
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

fn print(command: Command, answer: &Value) -> ExitCode {
    let ok = answer.get("ok").and_then(Value::as_bool).unwrap_or(false);
    let message = answer.get("message").and_then(Value::as_str).unwrap_or("");
    if !ok {
        complain(message);
        return ExitCode::Failed;
    }
    let text = match command {
        Command::Status => serde_json::to_string_pretty(answer).unwrap_or_default(),
        Command::Reload | Command::Stop => message.to_owned(),
    };
    let _ = writeln!(io::stdout(), "{text}");
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
    let shown = pidfile.display();
    let pid = match pidfile::holder(pidfile) {
        Ok(Some(pid)) => pid,
        Ok(None) => {
            complain(&format!("{shown}: no instance of rwsgi holds this pid file; it is stale"));
            return Err(ExitCode::Unavailable);
        }
        Err(error) => {
            complain(&format!("{shown}: {error}; is the instance running?"));
            return Err(ExitCode::Unavailable);
        }
    };
    kill(Pid::from_raw(pid), signal).map(|()| pid).map_err(|error| {
        complain(&format!("cannot signal pid {pid}: {}", error.desc()));
        ExitCode::Permission
    })
}

fn complain(message: &str) {
    let _ = writeln!(io::stderr(), "rwsgi: {message}");
}
