//! The start, as a list.

use std::collections::BTreeSet;
use std::io::{self, Write as _};
use std::os::fd::OwnedFd;
use std::path::PathBuf;

use rwsgi_core::commons::Commons;
use rwsgi_core::config::sizing::MOST_WORKERS;
use rwsgi_core::config::{
    self, Config, ConfigError, Context, Log, LogTarget, Process, Severity, Sources, Warning,
};
use rwsgi_core::exit::ExitCode;
use rwsgi_core::ipc::{Failure, Place};
use rwsgi_core::log::{self, Entry, Event, Speaker};
use rwsgi_core::scoreboard::Scoreboard;
use rwsgi_core::sys;

use crate::caches::Caches;
use crate::capture::Capture;
use crate::control::{self, ControlSocket};
use crate::daemonize::{self, Caller, Side};
use crate::fd_store::Store;
use crate::fifo::Fifos;
use crate::inherited::{Handed, Inherited};
use crate::ledger::Ledger;
use crate::listeners::Listeners;
use crate::master::{self, Instance};
use crate::notify::Supervisor;
use crate::pidfile::Pidfile;
use crate::program::Program;
use crate::stats::StatsServer;
use crate::{
    check, descriptors, handover, hooks, interpreter, privileges, report, resume, signals,
};

/// Slots of the scoreboard: as many as a reload of the largest instance needs.
const SLOTS: usize = 2 * MOST_WORKERS as usize;

/// Beyond stdin, stdout and stderr.
const FIRST_DESCRIPTOR: i32 = 3;

/// Why there is nothing to serve.
pub type Refusal = (ExitCode, Failure);

/// Serves until told to stop.
pub fn serve(sources: &Sources) -> ExitCode {
    // A log file that has come to a limit is an error to be told, not the end.
    sys::ignore_file_size_signal();
    // 0. Perhaps an instance runs already, in this very process.
    match handover::receive() {
        Some(Ok((handover, held))) => return resume::resume(sources, handover, held),
        Some(Err(why)) => return refuse(ExitCode::System, &why),
        None => {}
    }
    // What whoever has started us has left open is not the application's.
    sys::close_on_exec(FIRST_DESCRIPTOR);
    // 1. Read the configuration; nothing has happened yet when it is wrong.
    let handed = match Handed::take() {
        Ok(handed) => handed,
        Err(why) => return refuse(ExitCode::System, &why),
    };
    let context = context(handed.inherited.names());
    let (config, warnings) = match config::load(sources, &context) {
        Ok(loaded) => loaded,
        Err(errors) => {
            log_errors(&errors, sources);
            let first = errors.first().map(ToString::to_string).unwrap_or_default();
            tell_refusal(ExitCode::Config, &format!("the configuration is wrong: {first}"));
            return ExitCode::Config;
        }
    };
    let config = adapt(config, &handed.inherited);
    // 2. Into the background: what fails from here on is told to who waits in front.
    let caller = match &config.process.daemonize {
        None => None,
        Some(path) => match daemonize::daemonize(path, &config.log.file) {
            Ok(Side::Caller(code)) => return code,
            Ok(Side::Daemon(caller)) => Some(caller),
            Err(error) => {
                let why = format!("cannot go to the background: {}: {error}", path.display());
                return refuse(ExitCode::System, &why);
            }
        },
    };
    // What is an order to who serves waits until there is a loop to obey it.
    signals::hold();
    // 3. Open the log.
    log::truncate(&config.log);
    log::init(&config.log, &speaker(&config));
    let began = format!("rwsgi {} starts {}", rwsgi_core::VERSION, config.name);
    log::notice(Event::Starting, began).send();
    for found in &config.sizing.found {
        log::info(Event::Starting, found.clone()).send();
    }
    tell(&warnings);
    for unknown in &handed.unknown {
        log::warning(Event::Listening, unknown.clone()).send();
    }
    let (code, failure) = run(sources, context, config, handed, caller);
    if let Some((caller, failure)) = failure {
        tell_caller(caller, code, &failure);
    }
    log::finish();
    code
}

/// Logs what was found in a configuration: what is not obeyed together, one entry for each reason to
/// go on without; everything else with its place.
pub fn tell(warnings: &[Warning]) {
    for (severity, message) in config::digest(warnings) {
        match severity {
            Severity::Info => log::info(Event::ConfigWarning, message).send(),
            Severity::Warning => log::warning(Event::ConfigWarning, message).send(),
        }
    }
}

/// Fits a configuration, at start and at each reload, to what systemd has given: under it the
/// foreground is the background and its journal the log of a daemon, and all its sockets are served.
pub fn adapt(mut config: Config, inherited: &Inherited) -> Config {
    if std::env::var_os("NOTIFY_SOCKET").is_some()
        && let Some(path) = config.process.daemonize.take()
        && config.log.sinks.target == LogTarget::File(path)
    {
        config.log.sinks.target = LogTarget::Auto;
    }
    inherited.complete(&mut config);
    config
}

type Untold = Option<(Option<Caller>, Failure)>;

/// The steps that need the log.
fn run(
    sources: &Sources,
    context: Context,
    config: Config,
    mut handed: Handed,
    caller: Option<Caller>,
) -> (ExitCode, Untold) {
    let mut supervisor = Supervisor::from_environment();
    let mut store = Store::from_environment(&supervisor, std::mem::take(&mut handed.stored));
    // Whoever waits there is told at once.
    for (name, address) in handed.end_what_is_gone(&config) {
        let message =
            format!("{address} was kept by systemd and is not configured any more: closed");
        log::notice(Event::Listening, message).send();
        store.remove(&supervisor, &name);
    }
    let capture = Capture::start(&config.log.sinks.target);
    let prepared =
        prepare(&config, &mut handed, || hooks::run_first(&config, &supervisor, capture.as_ref()));
    let program = Program::of_this_process(&context.cwd);
    let Prepared { pidfile, control, stats, fifos, listeners, python } = match prepared {
        Ok(prepared) => prepared,
        Err((code, failure)) => {
            report::failed_start(&mut supervisor, &failure, code);
            return (code, Some((caller, failure)));
        }
    };
    let Handed { inherited, memories, .. } = handed;
    let (scoreboard, commons) = match share(&config) {
        Ok(shared) => shared,
        Err(error) => {
            let failure = plain(format!(
                "cannot make the memory that workers share: {error}; see `ulimit -a`, or LimitFSIZE= \
                 and MemoryMax= of the unit"
            ));
            report::failed_start(&mut supervisor, &failure, ExitCode::System);
            return (ExitCode::System, Some((caller, failure)));
        }
    };
    let caches = match Caches::make(&config) {
        Ok(caches) => caches,
        Err(why) => {
            let failure = plain(why);
            report::failed_start(&mut supervisor, &failure, ExitCode::System);
            return (ExitCode::System, Some((caller, failure)));
        }
    };
    let mut wanted = listeners.stored();
    let ledger = open_ledger(&store, memories, &scoreboard, &mut wanted);
    store.retain(&supervisor, &wanted);
    let instance = Instance {
        sources: sources.clone(),
        context,
        config,
        inherited,
        listeners,
        python,
        scoreboard,
        slots: SLOTS,
        commons,
        caches,
        supervisor,
        store,
        ledger,
        caller,
        capture,
        control,
        stats,
        fifos,
        pidfile,
        program,
    };
    // 7. The loop. It ends with everything stopped.
    master::run(instance, None)
}

/// What all workers share.
fn share(config: &Config) -> io::Result<(Scoreboard, Commons)> {
    let board = Scoreboard::create(SLOTS)?;
    let commons = Commons::create(config.locks as usize + 1)?;
    sys::become_subreaper()?;
    Ok((board, commons))
}

/// What the start needs its rights for, and what comes after them.
struct Prepared {
    pidfile: Option<Pidfile>,
    control: Option<ControlSocket>,
    stats: Option<StatsServer>,
    fifos: Fifos,
    listeners: Listeners,
    python: PathBuf,
}

fn prepare(
    config: &Config,
    handed: &mut Handed,
    run_hooks: impl FnOnce() -> Result<(), String>,
) -> Result<Prepared, Refusal> {
    let refuse = |code| move |why| (code, plain(why));
    privileges::refuse_root_in_a_service(&config.process).map_err(refuse(ExitCode::Config))?;
    hooks::refuse_root_in_a_service(config).map_err(refuse(ExitCode::Config))?;
    descriptors::provide(config).map_err(refuse(ExitCode::System))?;
    // 4. Own the pid file before anything that a second instance could disturb.
    let mut pidfile = match &config.process.pidfile {
        Some(path) => Some(Pidfile::take(path).map_err(refuse(ExitCode::System))?),
        None => None,
    };
    if let Some(pidfile) = &mut pidfile {
        pidfile.write().map_err(|error| refuse(ExitCode::System)(error.to_string()))?;
    }
    // 5. Do what the administrator wants done with the rights of the start; with them, too, open the
    // listeners and what commands come from.
    run_hooks().map_err(refuse(ExitCode::Application))?;
    let mut listeners = Listeners::default();
    listeners
        .open(config, &handed.inherited, &mut handed.listeners)
        .map_err(refuse(ExitCode::System))?;
    let stats = StatsServer::open(config).map_err(refuse(ExitCode::System))?;
    let control = open_control(&config.process).map_err(refuse(ExitCode::System))?;
    let fifos = Fifos::make(&config.process).map_err(refuse(ExitCode::System))?;
    // 6. Give these rights up.
    privileges::drop_to(&config.process).map_err(refuse(ExitCode::Permission))?;
    let python = interpreter::find(&config.application, std::env::var_os("PATH").as_deref())
        .map_err(refuse(ExitCode::Config))?;
    Ok(Prepared { pidfile, control, stats, fifos, listeners, python })
}

/// What goes on being counted, if there is a store; and what has to stay in it, in `wanted`.
fn open_ledger(
    store: &Store,
    memories: Vec<(String, OwnedFd)>,
    scoreboard: &Scoreboard,
    wanted: &mut BTreeSet<String>,
) -> Option<Ledger> {
    if !store.is_there() {
        return None;
    }
    match Ledger::open(memories, scoreboard) {
        Ok((ledger, names)) => {
            wanted.extend(names);
            Some(ledger)
        }
        Err(error) => {
            let message = format!("what is counted ends with this start: {error}");
            log::warning(Event::SystemError, message).send();
            None
        }
    }
}

/// Without the socket that is only there by default it is served all the same.
fn open_control(process: &Process) -> Result<Option<ControlSocket>, String> {
    let Some(path) = control::path(process) else {
        if process.control_group.is_some() {
            let message =
                "`control-group` has no effect: there is no control socket; set `control-socket`";
            log::warning(Event::ConfigWarning, message).send();
        }
        return Ok(None);
    };
    match ControlSocket::bind(&path, process) {
        Ok(socket) => Ok(Some(socket)),
        Err(why) if process.control_socket.is_some() || process.control_group.is_some() => Err(why),
        Err(why) => {
            log::warning(Event::SystemError, why).send();
            Ok(None)
        }
    }
}

fn tell_caller(caller: Option<Caller>, code: ExitCode, failure: &Failure) {
    if let Some(caller) = caller {
        let text = format!("rwsgi: {}\n{}", failure.summary, failure.traceback);
        caller.failed(code, text.trim_end());
    }
}

/// `rwsgi check`, `--check`.
pub fn check(sources: &Sources, name: Option<&str>, json: bool) -> ExitCode {
    check::run(sources, &context(vec!["http".into()]), name, json)
}

/// Prints all that is wrong with a configuration or command line.
pub fn print_errors(errors: &[ConfigError]) {
    for error in errors {
        let _ = writeln!(io::stderr(), "{error}");
    }
}

/// The same where there is no configuration that says where the log goes: if standard error is connected to the
/// journal, each is an entry with its level there, so that `journalctl -p err -x` shows it.
fn log_errors(errors: &[ConfigError], sources: &Sources) {
    let log = Log::to(LogTarget::Auto);
    if log::resolve_target(&LogTarget::Auto) != LogTarget::Journal {
        return print_errors(errors);
    }
    let instance = sources.file_stem().unwrap_or_else(|| "rwsgi".to_owned());
    log::init_direct(&log, &Speaker { instance, worker: None });
    for error in errors {
        let message = error.to_string();
        log::error(Event::ConfigError, message.trim_start_matches("error: ")).send();
    }
    log::finish();
}

/// What the configuration is seen from, in this process.
pub fn context(inherited: Vec<String>) -> Context {
    let cwd = std::env::current_dir().unwrap_or_else(|_| "/".into());
    Context { cwd, inherited, ..Context::default() }
}

pub(crate) fn speaker(config: &Config) -> Speaker {
    Speaker { instance: config.name.clone(), worker: None }
}

/// A failure that Python has nothing to do with.
pub fn plain(summary: String) -> Failure {
    Failure::plain(summary)
}

/// Adds what is known of a failure to an entry.
pub fn with_failure(entry: Entry, failure: &Failure) -> Entry {
    match &failure.place {
        Some(place) => with_place(entry, place),
        None => entry,
    }
}

/// Adds a place in Python to an entry.
pub fn with_place(entry: Entry, place: &Place) -> Entry {
    entry
        .field("CODE_FILE", place.file.clone())
        .number("CODE_LINE", place.line)
        .field("CODE_FUNC", place.function.clone())
        .field("PYTHON_EXCEPTION", place.exception.clone())
}

/// The end before there is a log.
fn refuse(code: ExitCode, why: &str) -> ExitCode {
    tell_refusal(code, why);
    complain(code, why)
}

fn tell_refusal(code: ExitCode, why: &str) {
    Supervisor::from_environment().refused(&plain(why.to_owned()), code);
}

pub(crate) fn complain(code: ExitCode, why: &str) -> ExitCode {
    let _ = writeln!(io::stderr(), "rwsgi: {why}");
    code
}
