//! The loop: next event → [`State::step`] → its actions, which `perform.rs` does.

use std::collections::{BTreeMap, HashMap, VecDeque};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use rwsgi_core::commons::Commons;
use rwsgi_core::config::{Config, Context, Sources};
use rwsgi_core::exit::ExitCode;
use rwsgi_core::ipc::{Channel, Failure, FromTemplate, FromWorker};
use rwsgi_core::log::{self, Event as Said};
use rwsgi_core::scoreboard::Scoreboard;
use serde_json::json;
use tokio::io::unix::AsyncFd;
use tokio::sync::{mpsc, oneshot};

use crate::action::Outcome;
use crate::boot::plain;
use crate::caches::Caches;
use crate::capture::Capture;
use crate::command::Commands;
use crate::control::{ControlSocket, Request, Waiter};
use crate::crontab::Crontab;
use crate::daemonize::Caller;
use crate::daemons::{self, Daemons};
use crate::degraded::Degraded;
use crate::event::{Event, Generation, Key, Ticket};
use crate::fd_store::Store;
use crate::fifo::Fifos;
use crate::gauge::Gauge;
use crate::history::History;
use crate::hush::Hush;
use crate::inherited::Inherited;
use crate::ledger::Ledger;
use crate::listeners::{Listeners, Place};
use crate::memory::Samples;
use crate::notify::Supervisor;
use crate::oom::Oom;
use crate::pidfile::Pidfile;
use crate::pressure::Pressure;
use crate::program::Program;
use crate::reap::Exit;
use crate::report;
use crate::resume::Earlier;
use crate::schedule::Schedules;
use crate::signals::{self, Meaning, Signals};
use crate::stacks::Inquiries;
use crate::state::State;
use crate::stats::StatsServer;
use crate::stats_report::Report;
use crate::status_line::StatusLine;
use crate::takeover::Takeover;
use crate::team::Plan;
use crate::watch::{Cause, Watch};
use crate::watchdog::Watchdog;

/// How often systemd is told that a start, a reload or a stop takes its time, and by how much more.
pub(crate) const EXTEND_EVERY: Duration = Duration::from_secs(5);
pub(crate) const EXTEND_BY: Duration = Duration::from_secs(15);
/// How often the status line counts requests.
const STATUS_EVERY: Duration = Duration::from_secs(10);
/// How long a template may take to fork a worker.
const FORK_MERCY: Duration = Duration::from_secs(10);
/// How long a template may take to leave.
const TEMPLATE_MERCY: Duration = Duration::from_secs(3);

/// Everything that the start has prepared.
pub struct Instance {
    /// Where the configuration is read from again.
    pub sources: Sources,
    /// What it is resolved against.
    pub context: Context,
    /// The configuration that serves.
    pub config: Config,
    /// Sockets of systemd.
    pub inherited: Inherited,
    /// The open listeners.
    pub listeners: Listeners,
    /// The interpreter.
    pub python: PathBuf,
    /// Shared with all workers.
    pub scoreboard: Scoreboard,
    /// Its size.
    pub slots: usize,
    /// What uWSGI's module shares.
    pub commons: Commons,
    /// Shared as well, by what the application keeps there.
    pub caches: Caches,
    /// systemd, or nobody.
    pub supervisor: Supervisor,
    /// What it keeps for the next start.
    pub store: Store,
    /// What it keeps of what is counted, if it does.
    pub ledger: Option<Ledger>,
    /// Who waits in front of a daemon.
    pub caller: Option<Caller>,
    /// Reads what the application writes to stdout and stderr, unless that is a terminal.
    pub capture: Option<Capture>,
    /// Where commands come from.
    pub control: Option<ControlSocket>,
    /// Where figures are told.
    pub stats: Option<StatsServer>,
    /// The same as `control`, of one letter.
    pub fifos: Fifos,
    /// The pid file, locked.
    pub pidfile: Option<Pidfile>,
    /// The program that this process executes.
    pub program: Program,
}

/// What a new generation will be.
pub(crate) struct Pending {
    pub(crate) config: Config,
    pub(crate) python: PathBuf,
    pub(crate) opened: Vec<Place>,
    /// A new stats server, if it is another one than that which serves.
    pub(crate) stats: Option<StatsServer>,
}

/// A running template.
pub(crate) struct TemplateProcess {
    pub(crate) pid: i32,
    pub(crate) channel: Arc<AsyncFd<Channel>>,
    pub(crate) version: String,
    /// The process group of a hook that runs there.
    pub(crate) hook: Option<i32>,
}

/// A worker, running or asked for.
pub(crate) struct WorkerProcess {
    pub(crate) number: u32,
    /// Its slot of the scoreboard.
    pub(crate) slot: usize,
    pub(crate) pid: Option<i32>,
    pub(crate) asked: Instant,
    pub(crate) generation: Generation,
    /// The master itself has ended it.
    pub(crate) killed: bool,
    /// It has ended: its pid may be somebody else's by now.
    pub(crate) gone: bool,
    /// It has said that it drains: it accepts no more.
    pub(crate) takes_nothing: bool,
    /// The process group of a hook that runs there.
    pub(crate) hook: Option<i32>,
    pub(crate) channel: Arc<AsyncFd<Channel>>,
}

/// What arrives beside signals and time.
pub(crate) enum Arrival {
    Template(Generation, FromTemplate),
    Worker(Key, FromWorker),
    Control(Request),
    /// Somebody has come for figures.
    Stats(oneshot::Sender<Report>),
    /// A letter was written to the FIFO.
    Letter(Meaning),
    /// A worker's channel is closed.
    Closed(Key),
    /// Processes have waited for memory.
    MemoryPressure,
    /// A file that is watched has changed.
    Changed(Cause, PathBuf),
    /// Who has asked for stacks has waited long enough.
    StacksDue(Ticket),
    /// The process of a daemon's pidfile has ended.
    DaemonGone(daemons::Id, i32),
    /// Somebody connects, and nobody serves.
    Knock,
}

/// The master: what it was given, what it knows, and the processes it has.
pub(crate) struct Master {
    pub(crate) instance: Instance,
    pub(crate) state: State,
    pub(crate) pending: Option<Pending>,
    pub(crate) templates: BTreeMap<Generation, TemplateProcess>,
    pub(crate) workers: BTreeMap<Key, WorkerProcess>,
    /// Exits of processes that have not been introduced yet.
    pub(crate) unclaimed: HashMap<i32, Exit>,
    pub(crate) tickets: HashMap<Ticket, Vec<Waiter>>,
    pub(crate) last_ticket: Ticket,
    pub(crate) inquiries: Inquiries,
    pub(crate) stop_waiters: Vec<oneshot::Sender<serde_json::Value>>,
    pub(crate) queue: VecDeque<Event>,
    /// Since there is something to watch.
    pub(crate) watch: Option<Watch>,
    pub(crate) arrivals: mpsc::UnboundedSender<Arrival>,
    pub(crate) began: Instant,
    pub(crate) trouble: Option<String>,
    pub(crate) degraded: Degraded,
    pub(crate) extend_at: Instant,
    pub(crate) samples: Samples,
    pub(crate) pressure: Pressure,
    pub(crate) oom: Oom,
    pub(crate) history: History,
    /// What runs beside the workers.
    pub(crate) commands: Commands,
    pub(crate) daemons: Daemons,
    pub(crate) crontab: Crontab,
    pub(crate) hush: Option<Hush>,
    pub(crate) gauge: Gauge,
    /// Signals of uWSGI's module.
    pub(crate) schedules: Schedules,
    pub(crate) watchdog: Watchdog,
    pub(crate) status_line: StatusLine,
    pub(crate) outcome: Option<Outcome>,
    /// A new program is about to take over.
    pub(crate) takeover: Option<Takeover>,
}

/// Runs the instance to its end: from the start, or from where an earlier program of this process has
/// left off. Returns the exit code and what the caller has not been told.
pub fn run(
    instance: Instance,
    earlier: Option<Earlier>,
) -> (ExitCode, Option<(Option<Caller>, Failure)>) {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let runtime = match runtime {
        Ok(runtime) => runtime,
        Err(error) => {
            let failure = plain(format!("cannot start the event loop: {error}"));
            return (ExitCode::System, Some((instance.caller, failure)));
        }
    };
    runtime.block_on(async move {
        let (arrivals, mut arrived) = mpsc::unbounded_channel();
        let mut signals = match Signals::new() {
            Ok(signals) => signals,
            Err(error) => {
                let failure = plain(format!("cannot handle signals: {error}"));
                return (ExitCode::System, Some((instance.caller, failure)));
            }
        };
        // Not before there are handlers: an earlier program may have left signals for this one.
        let _ = signals::unblock();
        let mut master = match earlier {
            None => Master::new(instance, arrivals),
            Some(earlier) => match Master::resume(instance, earlier, arrivals) {
                Ok(master) => master,
                Err(error) => {
                    let failure = plain(format!("cannot take over: {error}"));
                    return (ExitCode::System, Some((None, failure)));
                }
            },
        };
        master.open_control();
        master.open_stats();
        master.watch_pressure();
        let outcome = master.serve(&mut signals, &mut arrived).await;
        master.end(&outcome, &mut signals).await;
        match outcome {
            Outcome::Stopped => (ExitCode::Ok, None),
            Outcome::FailedStart(failure) => {
                (ExitCode::Application, Some((master.instance.caller.take(), failure)))
            }
            Outcome::GaveUp(_) => (ExitCode::Application, None),
        }
    })
}

impl Master {
    fn new(mut instance: Instance, arrivals: mpsc::UnboundedSender<Arrival>) -> Self {
        let history = instance.ledger.as_mut().map(Ledger::take_history).unwrap_or_default();
        let (state, actions) = State::start(plan(&instance.config), Duration::ZERO);
        let watchdog = Watchdog::new(instance.supervisor.watchdog, Duration::ZERO, 0);
        let mut master = Self {
            instance,
            state,
            pending: None,
            templates: BTreeMap::new(),
            workers: BTreeMap::new(),
            unclaimed: HashMap::new(),
            tickets: HashMap::new(),
            last_ticket: 0,
            inquiries: Inquiries::default(),
            stop_waiters: Vec::new(),
            queue: VecDeque::new(),
            watch: None,
            arrivals,
            began: Instant::now(),
            trouble: None,
            degraded: Degraded::default(),
            extend_at: Instant::now() + EXTEND_EVERY,
            samples: Samples::new(),
            pressure: Pressure::default(),
            oom: Oom::new(),
            history,
            commands: Commands::default(),
            daemons: Daemons::default(),
            crontab: Crontab::default(),
            hush: None,
            gauge: Gauge::new(Duration::ZERO),
            schedules: Schedules::default(),
            watchdog,
            status_line: StatusLine::default(),
            outcome: None,
            takeover: None,
        };
        master.watch_files();
        master.perform(actions);
        master
    }

    fn open_control(&mut self) {
        let asked = self.forward(Arrival::Control);
        if let Some(control) = &mut self.instance.control {
            complain("the control socket", control.serve(asked));
        }
        let letters = self.forward(Arrival::Letter);
        complain("master-fifo", self.instance.fifos.serve(letters));
    }

    /// Makes the control socket and the FIFOs again that somebody has deleted.
    pub(crate) fn renew_control(&mut self) {
        let process = &self.instance.config.process;
        let control = self.instance.control.as_ref().map(|control| control.anew(process));
        let fifos = self.instance.fifos.renew(process);
        let again = |what: &str| {
            let message = format!("{what} was deleted by somebody: it is there again");
            log::warning(Said::SystemError, message).send();
        };
        match control {
            Some(Ok(Some(mut control))) => {
                complain("the control socket", control.serve(self.forward(Arrival::Control)));
                self.instance.control = Some(control);
                again("the control socket");
            }
            Some(Err(why)) => log::warning(Said::SystemError, why).send(),
            Some(Ok(None)) | None => {}
        }
        match fifos {
            Ok(true) => {
                let letters = self.forward(Arrival::Letter);
                complain("master-fifo", self.instance.fifos.serve(letters));
                again("master-fifo");
            }
            Ok(false) => {}
            Err(why) => log::warning(Said::SystemError, why).send(),
        }
    }

    /// A way for others to have something arrive.
    pub(crate) fn forward<T: Send + 'static>(
        &self,
        arrival: impl Fn(T) -> Arrival + Send + 'static,
    ) -> mpsc::UnboundedSender<T> {
        let (sender, mut receiver) = mpsc::unbounded_channel();
        let arrivals = self.arrivals.clone();
        tokio::spawn(async move {
            while let Some(item) = receiver.recv().await {
                let _ = arrivals.send(arrival(item));
            }
        });
        sender
    }

    async fn serve(
        &mut self,
        signals: &mut Signals,
        arrived: &mut mpsc::UnboundedReceiver<Arrival>,
    ) -> Outcome {
        let mut status = tokio::time::interval(STATUS_EVERY);
        loop {
            self.settle();
            if self.outcome.is_some()
                && self.is_alone()
                && let Some(outcome) = self.outcome.take()
            {
                return outcome;
            }
            if self.may_give_way() {
                self.give_way(signals, arrived).await;
                continue;
            }
            let deadline = self.deadline();
            tokio::select! {
                meaning = signals.next() => {
                    while let Ok(arrival) = arrived.try_recv() {
                        self.on_arrival(arrival);
                    }
                    self.on_signal(meaning);
                }
                Some(arrival) = arrived.recv() => self.on_arrival(arrival),
                () = tokio::time::sleep_until(deadline.into()) => self.on_time(),
                _ = status.tick(), if self.instance.supervisor.is_there() => self.tell_status(),
            }
        }
    }

    pub(crate) fn now(&self) -> Duration {
        self.began.elapsed()
    }

    fn is_busy(&self) -> bool {
        self.state.is_starting()
            || self.state.is_reloading()
            || self.state.is_stopping()
            || self.takeover.is_some()
    }

    fn deadline(&self) -> Instant {
        let far = Instant::now() + Duration::from_secs(3600);
        let state = self.state.deadline().map_or(far, |at| self.began + at);
        let fork = self.overdue_fork().map_or(far, |(at, _)| at);
        let state = state.min(fork).min(self.memory_due().unwrap_or(far));
        let state = state.min(self.load_due().unwrap_or(far));
        let state = state.min(self.check_due().unwrap_or(far));
        let state = state.min(self.watchdog.due().map_or(far, |at| self.began + at));
        let state = state.min(self.hush_ends().unwrap_or(far));
        let state = state.min(self.schedule_due().unwrap_or(far));
        let state = state.min(self.status_line.due().map_or(far, |at| self.began + at));
        let state = state.min(self.caches_due().unwrap_or(far));
        let state = state.min(self.commands_due().unwrap_or(far));
        let state = state.min(self.crons_due().unwrap_or(far));
        let state = state.min(self.daemons.due().map_or(far, |at| self.began + at));
        let extend = self.instance.supervisor.is_there() && self.is_busy();
        if extend { state.min(self.extend_at) } else { state }
    }

    fn on_time(&mut self) {
        if self.is_busy() && Instant::now() >= self.extend_at {
            self.extend_at = Instant::now() + EXTEND_EVERY;
            self.instance.supervisor.extend(EXTEND_BY);
        }
        if let Some((at, generation)) = self.overdue_fork()
            && Instant::now() >= at
            && let Some(template) = self.templates.get(&generation)
        {
            log::error(Said::SystemError, "the template does not fork: it is killed").send();
            let _ = kill(Pid::from_raw(template.pid), Signal::SIGKILL);
        }
        self.end_overdue_check();
        self.end_overdue_commands();
        self.mind_daemons();
        self.run_crons_if_due();
        self.mind_watchdog();
        self.tell_status_if_due();
        self.save_caches_if_due();
        if self.memory_due().is_some_and(|due| Instant::now() >= due) {
            self.look_at_memory();
        }
        if self.load_due().is_some_and(|due| Instant::now() >= due) {
            self.look_at_load();
        }
        if self.schedule_due().is_some_and(|due| Instant::now() >= due) {
            self.send_what_is_due();
        }
        self.queue.push_back(Event::Tick);
    }

    /// When a template has to have forked what it was asked for first, and which template.
    fn overdue_fork(&self) -> Option<(Instant, Generation)> {
        let unborn = self.workers.values().filter(|worker| worker.pid.is_none());
        let first = unborn.min_by_key(|worker| worker.asked)?;
        self.templates.get(&first.generation)?;
        Some((first.asked + FORK_MERCY, first.generation))
    }

    /// Steps through all events that wait, and does what follows from them.
    fn settle(&mut self) {
        loop {
            while let Some(event) = self.queue.pop_front() {
                let config = self.pending.as_ref().map_or(&self.instance.config, |p| &p.config);
                let (plan, now) = (plan(config), self.now());
                let actions = self.state.step(event, plan, now);
                self.perform(actions);
            }
            match self.state.take_postponed_reload() {
                Some(tickets) => {
                    let ticket = self.merge(&tickets);
                    self.reload(ticket);
                }
                None => {
                    if !self.schedules.held.is_empty() {
                        self.deliver_held();
                    }
                    self.end_hush_if_due();
                    self.mind_sleep();
                    if self.queue.is_empty() {
                        return;
                    }
                }
            }
        }
    }
}

/// The end.
impl Master {
    /// Waits for the templates, and ends what is left.
    async fn end(&mut self, outcome: &Outcome, signals: &mut Signals) {
        let failed = !matches!(outcome, Outcome::Stopped);
        let deadline = tokio::time::Instant::now() + TEMPLATE_MERCY;
        self.end_takeover();
        let workers: Vec<i32> = self.workers.values().filter_map(|worker| worker.pid).collect();
        while !failed && !self.templates.is_empty() {
            match tokio::time::timeout_at(deadline, signals.next()).await {
                Ok(Meaning::Reap) => self.reap(),
                Ok(_) => {}
                Err(_) => break,
            }
        }
        let templates = self.templates.values().map(|template| template.pid);
        for pid in templates.chain(workers).filter(|pid| *pid > 1) {
            let _ = kill(Pid::from_raw(pid), Signal::SIGKILL);
        }
        let hooks = self.templates.values().map(|template| template.hook);
        let hooks: Vec<_> = hooks.chain(self.workers.values().map(|worker| worker.hook)).collect();
        hooks.into_iter().for_each(|hook| self.end_hook(hook));
        self.end_commands(signals).await;
        self.save_caches();
        self.run_last_hooks();
        if !self.instance.store.is_there() {
            // systemd would keep them for the next start, and end who is left.
            self.instance.listeners.shut();
        }
        drop(self.instance.control.take());
        drop(self.instance.stats.take());
        if let Some(capture) = &self.instance.capture {
            capture.finish();
        }
        match outcome {
            Outcome::Stopped => {
                let requests = self.instance.scoreboard.total().requests;
                let requests = self.history.since_start(requests);
                log::notice(Said::Stopped, format!("stopped after {requests} requests")).send();
            }
            Outcome::FailedStart(failure) | Outcome::GaveUp(failure) => {
                report::failed_start(&mut self.instance.supervisor, failure, ExitCode::Application);
            }
        }
        for waiter in self.stop_waiters.drain(..) {
            let _ = waiter.send(json!({"ok": true, "message": "stopped"}));
        }
        tokio::task::yield_now().await;
    }
}

pub(crate) fn complain(what: &str, done: std::io::Result<()>) {
    if let Err(error) = done {
        log::warning(Said::SystemError, format!("{what} cannot be read: {error}")).send();
    }
}

fn plan(config: &Config) -> Plan {
    let reloading = &config.reloading;
    let mut plan = Plan::fixed(config.processes, config.mercy);
    plan.overlap = reloading.overlap;
    let patience = reloading.import_timeout.map(|time| time + reloading.probe_timeout);
    plan.patience = patience.zip(config.hooks.patience()).map(|(own, hooks)| own + hooks);
    plan.asleep = config.sizing.cheap;
    if let Some(cheaper) = &config.sizing.cheaper {
        (plan.least, plan.initial) = (cheaper.least, cheaper.initial);
    }
    plan
}
