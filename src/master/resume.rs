//! The start of a program that takes over from an earlier one in the same process
//! ([`crate::takeover`]): nothing is opened, bound or started, everything is there.

use std::collections::{BTreeMap, HashMap, VecDeque};
use std::io::{self, Read as _};
use std::os::fd::OwnedFd;
use std::sync::Arc;
use std::time::{Duration, Instant};

use rwsgi_core::commons::Commons;
use rwsgi_core::config::{self, Config, Sources};
use rwsgi_core::exit::ExitCode;
use rwsgi_core::ipc::Channel;
use rwsgi_core::log::{self, Event as Said};
use rwsgi_core::scoreboard::Scoreboard;
use rwsgi_core::sys;
use tokio::io::unix::AsyncFd;
use tokio::sync::mpsc;

use crate::boot::{adapt, complain, print_errors, speaker};
use crate::caches::Caches;
use crate::capture::{Capture, Pipe};
use crate::control::{self, ControlSocket};
use crate::degraded::Degraded;
use crate::event::{Generation, Key, Ticket};
use crate::fd_store::Store;
use crate::fifo::Fifos;
use crate::gauge::Gauge;
use crate::handover::{self, Beside, Handover, Held, Output};
use crate::history::History;
use crate::inherited::Inherited;
use crate::ledger::Ledger;
use crate::listeners::Listeners;
use crate::master::{
    self, Arrival, EXTEND_EVERY, Instance, Master, TemplateProcess, WorkerProcess,
};
use crate::memory::Samples;
use crate::notify::Supervisor;
use crate::oom::Oom;
use crate::perform::watch;
use crate::pidfile::Pidfile;
use crate::pressure::Pressure;
use crate::program::Program;
use crate::report;
use crate::schedule::Schedules;
use crate::stacks::Inquiries;
use crate::state::State;
use crate::stats::StatsServer;
use crate::status_line::StatusLine;
use crate::watchdog::Watchdog;

/// What the loop goes on with.
pub struct Earlier {
    version: String,
    state: State,
    templates: Vec<(Generation, handover::Template, OwnedFd)>,
    workers: Vec<(Key, handover::Worker, OwnedFd)>,
    tickets: Vec<(Ticket, Vec<OwnedFd>)>,
    last_ticket: Ticket,
    reload: Vec<Ticket>,
    began: Duration,
    trouble: Option<String>,
    history: History,
    beside: Beside,
    schedules: Schedules,
}

/// `--takeover-check`: whether this program understands what is on standard input, and the configuration
/// with it. 0: yes; 78: not the configuration; anything else: no.
pub fn check(sources: &Sources) -> ExitCode {
    let mut text = String::new();
    let read = io::stdin().read_to_string(&mut text).map_err(|error| error.to_string());
    let handover = match read.and_then(|_| Handover::read(&text)) {
        Ok(handover) => handover,
        Err(why) => return complain(ExitCode::Failed, &why),
    };
    keep_stdin(sources, &handover);
    match config::load(sources, &handover.context) {
        Ok(_) => ExitCode::Ok,
        Err(errors) => {
            print_errors(&errors);
            ExitCode::Config
        }
    }
}

/// Serves on from where the earlier program has left off.
pub fn resume(sources: &Sources, handover: Handover, mut held: Held) -> ExitCode {
    keep_stdin(sources, &handover);
    let config = match configuration(sources, &handover) {
        Ok(config) => config,
        Err(code) => return code,
    };
    let file = handover.log.and_then(|fd| held.take(fd).ok());
    log::init_with(&config.log, &speaker(&config), file);
    let (code, failure) = match take(sources, config, handover, held) {
        Ok((instance, earlier)) => {
            let (code, untold) = master::run(instance, Some(earlier));
            (code, untold.map(|(_, failure)| failure))
        }
        Err(why) => (ExitCode::System, Some(crate::boot::plain(why))),
    };
    if let Some(failure) = failure {
        report::failed_start(&mut Supervisor::from_environment(), &failure, code);
    }
    log::finish();
    code
}

/// What the earlier program has read of it cannot be read again.
fn keep_stdin(sources: &Sources, handover: &Handover) {
    if let Some(text) = &handover.stdin {
        sources.stdin.keep(text.clone());
    }
}

/// That of the workers, if it can be understood; else that of the files, which has been looked at.
fn configuration(sources: &Sources, handover: &Handover) -> Result<Config, ExitCode> {
    if let Ok(config) = serde_json::from_value(handover.config.clone()) {
        return Ok(config);
    }
    match config::load(sources, &handover.context) {
        Ok((config, _)) => Ok(config),
        Err(errors) => {
            print_errors(&errors);
            Err(ExitCode::Config)
        }
    }
}

fn take(
    sources: &Sources,
    config: Config,
    handover: Handover,
    mut held: Held,
) -> Result<(Instance, Earlier), String> {
    let board = held.take(handover.scoreboard)?;
    let scoreboard = Scoreboard::open(board, handover.slots)
        .map_err(|error| format!("the scoreboard: {error}"))?;
    // It survives, but costs nothing.
    sys::become_subreaper().map_err(|error| format!("prctl: {error}"))?;
    let mut with = |fd| held.take(fd);
    let inherited = all(handover.inherited, |(name, fd)| Ok((name, with(fd)?)))?;
    let inherited = Inherited::resume(inherited);
    let listeners = all(handover.listeners, |(kept, fd)| Ok((kept, with(fd)?)))?;
    let pidfile = all(handover.pidfile, |(path, fd)| Ok(Pidfile::resume(path, with(fd)?)))?;
    let control = all(handover.control, |(path, socket, file)| {
        Ok(ControlSocket::resume(path, with(socket)?, with(file)?))
    })?;
    let stats = all(handover.stats, |(listen, socket, file)| {
        Ok(StatsServer::resume(listen, with(socket)?, file))
    })?;
    let ledger = all(handover.ledger, &mut with)?;
    let commons = share(all(handover.commons, &mut with)?, &config)?;
    let fifo = all(handover.fifo, |(slot, fd)| Ok((slot, with(fd)?)))?;
    let pipes = all(handover.outputs, |Output { source, pipe, text }| {
        Ok(Pipe::new(source, with(pipe)?, text))
    })?;
    let caches = Caches::resume(&config, handover.caches, handover.foreign_stores, &mut with)?;
    let capture =
        Capture::start(&config.log.sinks.target).inspect(|capture| capture.read_on(pipes));
    let earlier = Earlier {
        version: handover.version,
        state: handover.state,
        templates: all(handover.templates, |(key, one)| {
            let fd = with(one.channel)?;
            Ok((key, one, fd))
        })?,
        workers: all(handover.workers, |(key, one)| {
            let fd = with(one.channel)?;
            Ok((key, one, fd))
        })?,
        tickets: all(handover.tickets, |(ticket, fds)| Ok((ticket, all(fds, &mut with)?)))?,
        last_ticket: handover.last_ticket,
        reload: handover.reload,
        began: handover.began,
        trouble: handover.trouble,
        history: handover.history,
        beside: handover.beside,
        schedules: handover.schedules,
    };
    let supervisor = Supervisor::from_environment();
    let store = Store::from_environment(&supervisor, handover.stored);
    let instance = Instance {
        sources: sources.clone(),
        config: adapt(config, &inherited),
        inherited,
        listeners: Listeners::resume(listeners.into_iter()),
        python: handover.python,
        scoreboard,
        slots: handover.slots,
        commons,
        caches,
        supervisor,
        store,
        ledger: ledger.into_iter().next().and_then(Ledger::resume),
        caller: None,
        capture,
        control: control.into_iter().next(),
        stats: stats.into_iter().next(),
        fifos: Fifos::resume(handover.fifos, fifo.into_iter().next()),
        pidfile: pidfile.into_iter().next(),
        program: Program::of_this_process(&handover.context.cwd),
        context: handover.context,
    };
    Ok((instance, earlier))
}

/// What workers share, which is new where it was not handed over.
fn share(handed: Vec<OwnedFd>, config: &Config) -> Result<Commons, String> {
    let commons = match handed.into_iter().next() {
        Some(fd) => Commons::open(fd),
        None => Commons::create(config.locks as usize + 1),
    };
    commons.map_err(|error| format!("what workers share: {error}"))
}

/// Each item as it is now, or why one cannot be.
fn all<T, U>(
    items: impl IntoIterator<Item = T>,
    resume: impl FnMut(T) -> Result<U, String>,
) -> Result<Vec<U>, String> {
    items.into_iter().map(resume).collect()
}

impl Master {
    /// Where the earlier program has left off, and the reload for which it has given way.
    pub(crate) fn resume(
        instance: Instance,
        earlier: Earlier,
        arrivals: mpsc::UnboundedSender<Arrival>,
    ) -> io::Result<Self> {
        let elapsed = handover::clock()?.saturating_sub(earlier.began);
        let now = Instant::now();
        let watchdog = Watchdog::new(
            instance.supervisor.watchdog,
            elapsed,
            // An older program's workers do not know the question; the reload that follows replaces them.
            if earlier.version == rwsgi_core::VERSION { 0 } else { earlier.state.generation() },
        );
        let mut master = Self {
            instance,
            state: earlier.state,
            pending: None,
            templates: BTreeMap::new(),
            workers: BTreeMap::new(),
            unclaimed: HashMap::new(),
            tickets: HashMap::new(),
            last_ticket: earlier.last_ticket,
            inquiries: Inquiries::default(),
            stop_waiters: Vec::new(),
            queue: VecDeque::new(),
            watch: None,
            arrivals,
            began: now.checked_sub(elapsed).unwrap_or(now),
            trouble: earlier.trouble,
            degraded: Degraded::default(),
            extend_at: now + EXTEND_EVERY,
            samples: Samples::new(),
            pressure: Pressure::default(),
            oom: Oom::new(),
            history: earlier.history,
            commands: earlier.beside.commands,
            daemons: earlier.beside.daemons,
            crontab: earlier.beside.crontab,
            hush: None,
            gauge: Gauge::new(elapsed),
            schedules: earlier.schedules,
            watchdog,
            status_line: StatusLine::default(),
            outcome: None,
            takeover: None,
        };
        master.resume_processes(earlier.templates, earlier.workers)?;
        for (ticket, connections) in earlier.tickets {
            let waiters = connections.into_iter().filter_map(|fd| control::resume(fd).ok());
            master.tickets.insert(ticket, waiters.collect());
        }
        master.watch_files();
        master.watch_monitored();
        master.watch_daemons();
        master.mind_crons();
        let ours = rwsgi_core::VERSION;
        let message = format!("rwsgi {ours} has taken over from rwsgi {}", earlier.version);
        log::notice(Said::Takeover, message).send();
        // Who has ended meanwhile has sent its signal to nobody.
        master.reap();
        let ticket = master.merge(&earlier.reload);
        master.reload_at_last(ticket);
        Ok(master)
    }

    fn resume_processes(
        &mut self,
        templates: Vec<(Generation, handover::Template, OwnedFd)>,
        workers: Vec<(Key, handover::Worker, OwnedFd)>,
    ) -> io::Result<()> {
        let open = |fd| -> io::Result<Arc<AsyncFd<Channel>>> {
            Ok(Arc::new(watch(Channel::from_fd(fd))?))
        };
        for (generation, handover::Template { pid, version, hook, .. }, fd) in templates {
            let channel = open(fd)?;
            let template = TemplateProcess { pid, version, channel: Arc::clone(&channel), hook };
            self.templates.insert(generation, template);
            self.listen_to_template(generation, channel);
        }
        for (key, handover::Worker { pid, killed, hook, .. }, fd) in workers {
            let Some(known) = self.state.workers().get(&key).copied() else { continue };
            let channel = open(fd)?;
            let worker = WorkerProcess {
                number: known.number,
                slot: known.slot,
                pid: Some(pid),
                asked: Instant::now(),
                generation: known.generation,
                killed,
                gone: false,
                takes_nothing: false,
                hook,
                channel: Arc::clone(&channel),
            };
            self.workers.insert(key, worker);
            self.listen_to_worker(key, channel);
        }
        Ok(())
    }
}
