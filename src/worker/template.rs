//! The life of a template: import the application once, then fork workers on request.

use std::collections::HashSet;
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use pyo3::prelude::*;
use rwsgi_core::config::{Config, Log, LogTarget};
use rwsgi_core::exit::ExitCode;
use rwsgi_core::ipc::{Channel, Failure, FromTemplate, Received, ToTemplate};
use rwsgi_core::log::{self, Event, Speaker};
use rwsgi_core::sys::{self, Forked};
use rwsgi_core::title;

use crate::fork::fork;
use crate::hooks::Here;
use crate::inheritance::{self, Inheritance};
use crate::relay::Relay;
use crate::witness::Witness;
use crate::wsgi::application::Callables;
use crate::wsgi::stream;
use crate::{api, commons, django, hooks, import, signals, uncaught, worker};

/// What every process of one generation has.
pub(crate) struct Generation {
    pub(crate) config: Config,
    pub(crate) slots: usize,
    pub(crate) scoreboard: OwnedFd,
    pub(crate) listeners: Vec<OwnedFd>,
    /// Which of them outlive the master.
    pub(crate) kept: Vec<bool>,
    /// Who sees what is imported, if that is wanted.
    pub(crate) witness: Option<Witness>,
    pub(crate) relay: Relay,
    /// The applications, unless every worker imports them for itself.
    pub(crate) applications: Option<Callables>,
    /// What workers cannot use of what the import has left behind; told by the first of them.
    pub(crate) inheritance: Option<Inheritance>,
    /// There was a template of this generation before this one.
    pub(crate) is_again: bool,
    /// The worker to be is the first of its number.
    pub(crate) is_first: bool,
}

/// Runs until the master wants no more, or, in a fork, as a worker until that is done.
pub(crate) fn main(py: Python<'_>) -> ExitCode {
    let channel = match take_channel() {
        Ok(channel) => channel,
        Err(error) => {
            log::init_direct(&Log::to(LogTarget::Stderr), &speaker("rwsgi", None));
            log::error(Event::SystemError, format!("this is a part of rwsgi: {error}")).send();
            return ExitCode::System;
        }
    };
    match start(py, &channel) {
        Ok(Some(generation)) => fork_on_request(py, channel, generation),
        Ok(None) => ExitCode::Ok,
        Err(failure) => {
            let _ = channel.send(&FromTemplate::Failed(failure), &[]);
            ExitCode::Application
        }
    }
}

/// The channel is standard input; what is left there is /dev/null.
fn take_channel() -> io::Result<Channel> {
    let channel = sys::duplicate(0)?;
    let null = std::fs::File::open("/dev/null")?;
    sys::replace_standard_stream(null.as_fd(), 0)?;
    Ok(Channel::from_fd(channel))
}

/// Introduces itself and imports the application. `None`: the master has gone.
fn start(py: Python<'_>, channel: &Channel) -> Result<Option<Generation>, Failure> {
    let system = |error: &dyn std::fmt::Display| {
        Failure::plain(format!("the template cannot start: {error}"))
    };
    let hello = hello(py).map_err(|error| system(&error))?;
    channel.send(&hello, &[]).map_err(|error| system(&error))?;
    let received = py.detach(|| channel.receive::<ToTemplate>()).map_err(|error| system(&error))?;
    let Received::Message(start, mut fds) = received else { return Ok(None) };
    let ToTemplate::Start { version, config, slots, captured, logged, kept, is_reload, is_again } =
        start
    else {
        return Ok(None);
    };
    if version != rwsgi_core::VERSION {
        let ours = rwsgi_core::VERSION;
        return Err(system(&format!(
            "the extension is of version {ours}, the master of {version}; install both from one package"
        )));
    }
    if fds.len() < 2 + usize::from(captured) + usize::from(logged) {
        return Err(system(&"the master has sent no descriptors"));
    }
    let scoreboard = fds.remove(0);
    let commons = fds.remove(0);
    let stderr = captured.then(|| fds.remove(0));
    let log_file = logged.then(|| fds.remove(0));
    take_log(py, &config, stderr, log_file).map_err(|error| system(&error))?;
    name_process(&format!("rwsgi: template of {}", config.name), "rwsgi-template");
    let caches = fds.split_off(fds.len().saturating_sub(config.caches.len()));
    let board = scoreboard.try_clone().map_err(|error| system(&error))?;
    commons::take(commons, board, slots, &config).map_err(|error| system(&error))?;
    signals::speak_as_template(channel).map_err(|error| system(&error))?;
    api::install(py, &config, &fds, caches, is_reload).map_err(|error| system(&error))?;
    uncaught::install(py).map_err(|error| system(&error))?;
    let witness = Witness::install(py, &config, channel).map_err(|error| system(&error))?;
    let mut generation = Generation {
        config: *config,
        slots,
        scoreboard,
        listeners: fds,
        kept,
        applications: None,
        inheritance: None,
        witness,
        relay: Relay::new().map_err(|error| system(&error))?,
        is_again,
        is_first: false,
    };
    let here = Here::template(py, channel);
    hooks::before_import(here, &generation.config, is_reload)?;
    let mut micros = 0;
    if !generation.config.lazy_apps {
        let before = inheritance::open();
        let report: import::Report =
            |channel, failure| drop(channel.send(&FromTemplate::Failed(failure), &[]));
        let (callables, took) = import::load(py, &generation.config, channel, report)?;
        generation.applications = Some(callables);
        micros = took;
        django::close_connections(py);
        generation.inheritance =
            Some(Inheritance::note(py, &before).map_err(|error| system(&error))?);
        freeze(py).map_err(|error| system(&error))?;
    }
    hooks::after_import(here, &generation.config, is_again)?;
    channel.send(&FromTemplate::Imported { micros }, &[]).map_err(|error| system(&error))?;
    Ok(Some(generation))
}

/// Has the log, and what the application writes, go where the master says.
fn take_log(
    py: Python<'_>,
    config: &Config,
    stderr: Option<OwnedFd>,
    file: Option<OwnedFd>,
) -> PyResult<()> {
    if let Some(file) = file {
        log::lend(file);
    }
    let captured = stderr.is_some();
    if let Some(stderr) = stderr {
        log::use_as_stderr(stderr);
        log::init_relay();
    } else {
        log::init_direct(&config.log, &speaker(&config.name, None));
    }
    if captured || !is_standard_stream(config) {
        stream::replace_standard_streams(py)?;
    }
    Ok(())
}

/// Whether what the application writes to stdout and stderr is in the log anyhow.
fn is_standard_stream(config: &Config) -> bool {
    match log::resolve_target(&config.log.sinks.target) {
        LogTarget::Auto | LogTarget::Stderr => true,
        LogTarget::File(path) => config.process.daemonize == Some(path),
        LogTarget::Journal | LogTarget::Syslog(_) | LogTarget::Datagram(_) => false,
    }
}

fn hello(py: Python<'_>) -> PyResult<FromTemplate> {
    Ok(FromTemplate::Hello {
        python: py.import("platform")?.call_method0("python_version")?.extract()?,
    })
}

/// What ps(1) says. Without /proc it says less.
pub(crate) fn name_process(title: &str, short: &str) {
    let _ = title::set_short(short);
    let _ = title::set(title);
}

/// Everything that is there now stays for ever: the collector need not look at it in any worker, and
/// so does not touch, and copy, its pages. `gc.freeze` is there from Python 3.7 on.
fn freeze(py: Python<'_>) -> PyResult<()> {
    let gc = py.import("gc")?;
    gc.call_method0("collect")?;
    match gc.getattr_opt("freeze")? {
        Some(freeze) => freeze.call0().map(drop),
        None => Ok(()),
    }
}

fn fork_on_request(py: Python<'_>, channel: Channel, mut generation: Generation) -> ExitCode {
    let mut seen = HashSet::new();
    loop {
        let (worker, slot, probing, theirs, output) = match py
            .detach(|| channel.receive::<ToTemplate>())
        {
            Ok(Received::Message(ToTemplate::Fork { worker, slot, probing }, fds)) => {
                let mut fds = fds.into_iter();
                match fds.next() {
                    Some(fd) => (worker, slot, probing, Channel::from_fd(fd), fds.next()),
                    None => continue,
                }
            }
            Ok(Received::Message(ToTemplate::Start { .. }, _)) => continue,
            // At once: threads of the application would be waited for, and its atexit hooks are for
            // the workers.
            Ok(Received::Message(ToTemplate::Leave, _) | Received::Closed) => {
                sys::exit_now(ExitCode::Ok as u8);
            }
            // Of a newer master, which knows more to ask for.
            Err(error) if error.kind() == io::ErrorKind::InvalidData => {
                let message = format!("a message that is not understood is ignored: {error}");
                log::warning(Event::SystemError, message).send();
                continue;
            }
            Err(error) => {
                log::error(Event::SystemError, format!("the template's channel: {error}")).send();
                return ExitCode::System;
            }
        };
        generation.is_first = !generation.is_again && !seen.contains(&worker);
        match fork(py, &theirs) {
            Ok(Forked::Child) => {
                drop(channel);
                if let Some(output) = output {
                    write_to(output.as_fd());
                }
                return worker::main(py, theirs, generation, worker, slot, probing);
            }
            Ok(Forked::Parent(_)) => {
                seen.insert(worker);
                generation.inheritance = None;
            }
            Err(reason) => {
                let _ = channel.send(&FromTemplate::ForkFailed { slot, reason }, &[]);
            }
        }
    }
}

/// Makes `output` stdout and stderr of this process.
pub(crate) fn write_to(output: BorrowedFd<'_>) {
    for target in [1, 2] {
        let _ = sys::replace_standard_stream(output, target);
    }
}

/// Who this process is, for the log.
pub(crate) fn speaker(instance: &str, worker: Option<u32>) -> Speaker {
    Speaker { instance: instance.to_owned(), worker }
}
