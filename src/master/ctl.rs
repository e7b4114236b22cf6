//! The other end: the commands to a running instance, `--stop PIDFILE` and `--reload PIDFILE`.

use std::io::{self, Write as _};
use std::path::Path;
use std::time::Duration;

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use rwsgi_core::exit::ExitCode;
use rwsgi_core::sys;
use serde_json::{Value, json};

use crate::client::{Reply, ask, ask_within};
use crate::commands::{Call, Verb};
use crate::instances::{self, Trouble};
use crate::{overview, stacks, table, top};

/// How long `list` waits for each instance.
const GLANCE: Duration = Duration::from_secs(2);

/// How long a command waits for what is answered at once, if it was not told.
const PATIENCE: Duration = Duration::from_secs(5);

/// Does what was asked for, and prints the answer.
pub fn run(call: &Call) -> ExitCode {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let done = match runtime {
        Ok(runtime) => runtime.block_on(command(call)),
        Err(error) => Err((ExitCode::System, format!("cannot start: {error}"))),
    };
    match done {
        Ok(text) if text.is_empty() => ExitCode::Ok,
        Ok(text) => print(&text),
        Err((code, why)) => {
            complain(&why);
            code
        }
    }
}

async fn command(call: &Call) -> Result<String, Trouble> {
    if call.command.verb == Verb::List {
        return Ok(list(call.json).await);
    }
    let instance = call.instance.as_ref();
    let path = instances::socket_of(instance)?;
    if call.command.verb == Verb::Top {
        return top::run(&path, call).await.map_err(|e| instances::trouble(instance, &path, &e));
    }
    let glance = is_answered_at_once(call.command.verb).then_some(PATIENCE);
    let reply = ask_within(&path, &question(call), call.timeout.or(glance)).await;
    match reply.map_err(|error| instances::trouble(instance, &path, &error))? {
        Reply::Answer(answer) if answer["ok"] == true => Ok(show(call, &answer)),
        Reply::Answer(answer) if call.json => {
            print(&answer.to_string());
            Err((ExitCode::Failed, message(&answer)))
        }
        Reply::Answer(answer) => Err((ExitCode::Failed, message(&answer))),
        Reply::Late if call.timeout.is_none() => {
            let silent = io::Error::new(io::ErrorKind::TimedOut, "it does not answer");
            Err(instances::trouble(instance, &path, &silent))
        }
        Reply::Late => Err((ExitCode::Failed, unfinished(call, "no answer in time"))),
        Reply::Interrupted => Err((ExitCode::Failed, unfinished(call, "interrupted"))),
    }
}

/// Whether somebody who is well answers this without having to wait for anything else.
fn is_answered_at_once(verb: Verb) -> bool {
    matches!(verb, Verb::Status | Verb::Workers | Verb::Stacks | Verb::Resume)
}

fn question(call: &Call) -> Value {
    match call.command.verb {
        Verb::Status | Verb::Workers | Verb::Top | Verb::List => {
            json!({"command": "status", "memory": true})
        }
        Verb::Drain => json!({"command": "drain", "worker": call.worker}),
        Verb::Reload => json!({"command": "reload", "workers": call.workers_only}),
        Verb::Scale => json!({"command": "scale", "workers": call.workers}),
        Verb::Stacks | Verb::Stop | Verb::Pause | Verb::Resume => {
            json!({"command": call.command.name})
        }
    }
}

fn show(call: &Call, answer: &Value) -> String {
    let text = match call.command.verb {
        Verb::Workers if call.json => return pretty(&answer["workers"]),
        Verb::Stacks if call.json => return pretty(&answer["workers"]),
        _ if call.json => return pretty(answer),
        Verb::Status => overview::text(answer),
        Verb::Workers => table::text(answer),
        Verb::Stacks => stacks::text(answer),
        Verb::Top
        | Verb::List
        | Verb::Reload
        | Verb::Stop
        | Verb::Pause
        | Verb::Resume
        | Verb::Scale
        | Verb::Drain => message(answer),
    };
    text.trim_end().to_owned()
}

/// What goes on although nobody waits for it any more.
fn unfinished(call: &Call, why: &str) -> String {
    let goes_on = match call.command.verb {
        Verb::Drain if call.worker.is_none() => {
            "requests still run. The instance stays paused, until `rwsgi resume`"
        }
        Verb::Pause => {
            "a worker has not said that it accepts nothing, but nothing new reaches the application. The instance \
             stays paused, until `rwsgi resume`"
        }
        Verb::Reload => "the reload goes on; the log tells how it ends",
        Verb::Stop => "the instance goes on stopping",
        Verb::Scale => "the workers are on their way",
        Verb::Status
        | Verb::Workers
        | Verb::Top
        | Verb::Stacks
        | Verb::Resume
        | Verb::Drain
        | Verb::List => "the instance does not answer",
    };
    format!("{why}: {goes_on}")
}

/// `rwsgi list`.
async fn list(as_json: bool) -> String {
    let question = json!({"command": "status"});
    let mut all = Vec::new();
    for (name, path) in instances::running() {
        let asked = tokio::time::timeout(GLANCE, ask(&path, &question)).await;
        let (state, message) = match asked {
            Ok(Ok(answer)) => (answer["state"].clone(), message(&answer)),
            Ok(Err(error)) => (Value::Null, error.to_string()),
            Err(_) => (Value::Null, "it does not answer".to_owned()),
        };
        all.push(json!({"name": name, "control": path, "state": state, "message": message}));
    }
    if as_json {
        return pretty(&Value::from(all));
    }
    let rows = all.iter().map(|one| {
        let text = |key: &str| table::harmless(one[key].as_str().unwrap_or("?"));
        vec![text("name"), text("state"), text("message")]
    });
    table::aligned(&rows.collect::<Vec<_>>(), &[]).trim_end().to_owned()
}

fn pretty(value: &Value) -> String {
    serde_json::to_string_pretty(value).unwrap_or_default()
}

fn message(answer: &Value) -> String {
    answer.get("message").and_then(Value::as_str).unwrap_or("").to_owned()
}

fn print(text: &str) -> ExitCode {
    let written = writeln!(io::stdout(), "{text}");
    if written.is_ok() { ExitCode::Ok } else { ExitCode::Failed }
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
    let pid = instances::holder(pidfile).map_err(|(code, why)| {
        complain(&why);
        code
    })?;
    kill(Pid::from_raw(pid), signal).map(|()| pid).map_err(|error| {
        complain(&format!("cannot signal pid {pid}: {}", error.desc()));
        ExitCode::Permission
    })
}

fn complain(message: &str) {
    let _ = writeln!(io::stderr(), "rwsgi: {message}");
}
