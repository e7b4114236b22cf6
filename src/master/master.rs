//! The loop: next event → [`State::step`] → perform its actions. The only file with side effects on
//! running processes.

use std::collections::{BTreeMap, HashMap, VecDeque};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};

use nix::sys::signal::{Signal, kill};
use nix::sys::wait::{WaitPidFlag, waitpid};
use nix::unistd::Pid;
use rwsgi_core::address::ListenAddr;
use rwsgi_core::config::{self, Config, Context, Sources};
use rwsgi_core::exit::ExitCode;
use rwsgi_core::ipc::{Channel, Failure, FromTemplate, FromWorker, Received, ToTemplate, ToWorker};
use rwsgi_core::log::{self, Event as Said};
use rwsgi_core::scoreboard::{Counters, Scoreboard};
use sd_notify::NotifyState;
use serde_json::json;
use tokio::io::Interest;
use tokio::io::unix::AsyncFd;
use tokio::sync::{mpsc, oneshot};

use crate::action::{Action, News, Outcome};
use crate::boot::{plain, with_failure};
use crate::control::{self, Command, Request};
use crate::daemonize::Caller;
use crate::event::{Event, Generation, Key, Ticket};
use crate::interpreter;
use crate::listeners::{Inherited, Listeners};
use crate::notify::Supervisor;
use crate::reap::Exit;
use crate::signals::{Meaning, Signals};
use crate::spawn;
use crate::state::{State, WorkerPhase};
use crate::team::Plan;

/// How often systemd is told that a start, a reload or a stop takes its time, and by how much more.
const EXTEND_EVERY: Duration = Duration::from_secs(5);
const EXTEND_BY: Duration = Duration::from_secs(15);
/// How often the status line counts requests.
const STATUS_EVERY: Duration = Duration::from_secs(10);
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
    /// systemd, or nobody.
    pub supervisor: Supervisor,
    /// Who waits in front of a daemon.
    pub caller: Option<Caller>,
}

/// What a new generation will be.
struct Pending {
    config: Config,
    python: PathBuf,
    opened: Vec<ListenAddr>,
}

struct TemplateProcess {
    pid: i32,
    channel: Arc<AsyncFd<Channel>>,
    version: String,
}

struct WorkerProcess {
    number: u32,
    pid: Option<i32>,
    channel: Arc<AsyncFd<Channel>>,
}

/// What arrives beside signals and time.
enum Arrival {
    Template(Generation, FromTemplate),
    Worker(Key, FromWorker),
    Control(Request),
}

struct Master {
    instance: Instance,
    state: State,
    pending: Option<Pending>,
    templates: BTreeMap<Generation, TemplateProcess>,
    workers: BTreeMap<Key, WorkerProcess>,
    /// Exits of processes that have not been introduced yet.
    unclaimed: HashMap<i32, Exit>,
    tickets: HashMap<Ticket, oneshot::Sender<serde_json::Value>>,
    last_ticket: Ticket,
    stop_waiters: Vec<oneshot::Sender<serde_json::Value>>,
    queue: VecDeque<Event>,
    arrivals: mpsc::UnboundedSender<Arrival>,
    began: Instant,
    trouble: Option<String>,
    extend_at: Instant,
    outcome: Option<Outcome>,
}

/// Runs the instance to its end. Returns the exit code and what the caller has not been told.
pub fn run(instance: Instance) -> (ExitCode, Option<(Option<Caller>, Failure)>) {
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
        let mut master = Master::new(instance, arrivals);
        master.open_control();
        let outcome = master.serve(&mut signals, &mut arrived).await;
        master.end(&outcome, &mut signals).await;
        match outcome {
            Outcome::Stopped => (ExitCode::Ok, None),
            Outcome::FailedStart(failure) => {
                (ExitCode::Application, Some((master.instance.caller.take(), failure)))
            }
        }
    })
}

/// Says everywhere that the start has failed.
pub fn report_failed_start(supervisor: &Supervisor, failure: &Failure) {
    let mut message = failure.summary.clone();
    if !failure.traceback.is_empty() {
        message = format!("{message}\n{}", failure.traceback);
    }
    with_failure(log::critical(Said::Failed, message), failure).send();
    supervisor.tell(&[NotifyState::Status(&failure.summary)]);
}

impl Master {
    fn new(instance: Instance, arrivals: mpsc::UnboundedSender<Arrival>) -> Self {
        let (state, actions) = State::start(plan(&instance.config), Duration::ZERO);
        let mut master = Self {
            instance,
            state,
            pending: None,
            templates: BTreeMap::new(),
            workers: BTreeMap::new(),
            unclaimed: HashMap::new(),
            tickets: HashMap::new(),
            last_ticket: 0,
            stop_waiters: Vec::new(),
            queue: VecDeque::new(),
            arrivals,
            began: Instant::now(),
            trouble: None,
            extend_at: Instant::now() + EXTEND_EVERY,
            outcome: None,
        };
        master.perform(actions);
        master
    }

    fn open_control(&self) {
        let Some(path) = control::path() else { return };
        let (requests, mut asked) = mpsc::unbounded_channel();
        if let Err(error) = control::listen(&path, requests) {
            let message = format!("no control socket at {}: {error}", path.display());
            log::warning(Said::SystemError, message).send();
            return;
        }
        let arrivals = self.arrivals.clone();
        tokio::spawn(async move {
            while let Some(request) = asked.recv().await {
                let _ = arrivals.send(Arrival::Control(request));
            }
        });
    }

    async fn serve(
        &mut self,
        signals: &mut Signals,
        arrived: &mut mpsc::UnboundedReceiver<Arrival>,
    ) -> Outcome {
        let mut status = tokio::time::interval(STATUS_EVERY);
        let watchdog = self.instance.supervisor.watchdog;
        let mut alive = tokio::time::interval(watchdog.unwrap_or(Duration::from_secs(3600)));
        loop {
            self.settle();
            if let Some(outcome) = self.outcome.take() {
                return outcome;
            }
            let deadline = self.deadline();
            tokio::select! {
                meaning = signals.next() => self.on_signal(meaning),
                Some(arrival) = arrived.recv() => self.on_arrival(arrival),
                () = tokio::time::sleep_until(deadline.into()) => self.on_time(),
                _ = status.tick(), if self.instance.supervisor.is_there() => self.tell_status(),
                _ = alive.tick(), if watchdog.is_some() => {
                    self.instance.supervisor.tell(&[NotifyState::Watchdog]);
                }
            }
        }
    }

    fn now(&self) -> Duration {
        self.began.elapsed()
    }

    fn is_busy(&self) -> bool {
        self.state.is_starting() || self.state.is_reloading() || self.state.is_stopping()
    }

    fn deadline(&self) -> Instant {
        let far = Instant::now() + Duration::from_secs(3600);
        let state = self.state.deadline().map_or(far, |at| self.began + at);
        let extend = self.instance.supervisor.is_there() && self.is_busy();
        if extend { state.min(self.extend_at) } else { state }
    }

    fn on_time(&mut self) {
        if self.is_busy() && Instant::now() >= self.extend_at {
            self.extend_at = Instant::now() + EXTEND_EVERY;
            self.instance.supervisor.extend(EXTEND_BY);
        }
        self.queue.push_back(Event::Tick);
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
                Some(tickets) if tickets.is_empty() => self.reload(None),
                Some(tickets) => tickets.into_iter().for_each(|ticket| self.reload(Some(ticket))),
                None => return,
            }
        }
    }
}

/// Arrivals.
impl Master {
    fn on_signal(&mut self, meaning: Meaning) {
        match meaning {
            Meaning::Stop => self.queue.push_back(Event::Stop),
            Meaning::StopNow => self.queue.push_back(Event::StopNow),
            Meaning::Reload => self.reload(None),
            Meaning::ReopenLog => log::reopen(),
            Meaning::Reap => self.reap(),
        }
    }

    /// Collects every process that has ended; those of the application, too, whose parent is gone.
    fn reap(&mut self) {
        while let Ok(status) = waitpid(None, Some(WaitPidFlag::WNOHANG)) {
            let Some((pid, exit)) = Exit::of(status) else { return };
            if let Some(key) = self.key_of(pid) {
                self.queue.push_back(Event::WorkerExited(key, exit));
            } else if let Some(generation) = self.template_of(pid) {
                self.templates.remove(&generation);
                self.queue.push_back(Event::TemplateGone(generation, exit.to_string()));
            } else {
                self.unclaimed.insert(pid, exit);
            }
        }
    }

    fn key_of(&self, pid: i32) -> Option<Key> {
        self.workers.iter().find(|(_, worker)| worker.pid == Some(pid)).map(|(key, _)| *key)
    }

    fn template_of(&self, pid: i32) -> Option<Generation> {
        self.templates.iter().find(|(_, template)| template.pid == pid).map(|(key, _)| *key)
    }

    fn on_arrival(&mut self, arrival: Arrival) {
        match arrival {
            Arrival::Template(generation, message) => self.on_template(generation, message),
            Arrival::Worker(key, message) => self.on_worker(key, message),
            Arrival::Control(request) => self.on_control(request),
        }
    }

    fn on_template(&mut self, generation: Generation, message: FromTemplate) {
        match message {
            FromTemplate::Hello { python, .. } => {
                if let Some(template) = self.templates.get_mut(&generation) {
                    template.version = python;
                }
            }
            FromTemplate::Imported { micros } => {
                let version = self.templates.get(&generation).map_or("", |t| t.version.as_str());
                let message = format!(
                    "Python {version} has imported the application in {} ms",
                    micros / 1000
                );
                log::info(Said::Imported, message).number("DURATION_USEC", micros).send();
                self.queue.push_back(Event::Imported(generation));
            }
            FromTemplate::Failed(failure) => {
                self.queue.push_back(Event::TemplateFailed(generation, failure));
            }
            FromTemplate::ForkFailed { worker, reason } => {
                self.queue.push_back(Event::ForkFailed(generation, worker, reason));
            }
        }
    }

    fn on_worker(&mut self, key: Key, message: FromWorker) {
        match message {
            FromWorker::Forked { pid } => {
                if let Some(worker) = self.workers.get_mut(&key) {
                    worker.pid = Some(pid);
                }
                if let Some(exit) = self.unclaimed.remove(&pid) {
                    self.queue.push_back(Event::WorkerExited(key, exit));
                }
            }
            FromWorker::Ready => self.queue.push_back(Event::WorkerReady(key)),
            FromWorker::Failed(failure) => self.queue.push_back(Event::WorkerFailed(key, failure)),
            FromWorker::Draining => self.queue.push_back(Event::WorkerDraining(key)),
        }
    }

    fn on_control(&mut self, request: Request) {
        match request.command {
            Command::Status => drop(request.answer.send(self.status())),
            Command::Stop => {
                self.stop_waiters.push(request.answer);
                if !self.state.is_stopping() {
                    self.queue.push_back(Event::Stop);
                }
            }
            Command::Reload => {
                self.last_ticket += 1;
                self.tickets.insert(self.last_ticket, request.answer);
                self.reload(Some(self.last_ticket));
            }
        }
    }

    /// Reads the configuration again and prepares what a new generation needs.
    fn reload(&mut self, ticket: Option<Ticket>) {
        if self.state.can_reload() && self.pending.is_none() {
            match self.prepare() {
                Ok(pending) => self.pending = Some(pending),
                Err(why) => return self.queue.push_back(Event::BadConfiguration(ticket, why)),
            }
        }
        self.queue.push_back(Event::Reload(ticket));
    }

    fn prepare(&mut self) -> Result<Pending, String> {
        let instance = &mut self.instance;
        let (config, warnings) = config::load(&instance.sources, &instance.context)
            .map_err(|errors| errors.iter().map(ToString::to_string).collect::<String>())?;
        for warning in warnings {
            log::warning(Said::ConfigWarning, warning.line()).send();
        }
        for option in config::needs_restart(&instance.config, &config) {
            let message = format!("{option} has changed; it takes effect after a restart");
            log::warning(Said::ConfigWarning, message).send();
        }
        let path = std::env::var_os("PATH");
        let python = interpreter::find(&config.application, path.as_deref())?;
        let opened = instance.listeners.open(&config, &instance.inherited)?;
        Ok(Pending { config, python, opened })
    }
}

/// Actions.
impl Master {
    fn perform(&mut self, actions: Vec<Action>) {
        for action in actions {
            match action {
                Action::StartTemplate(generation) => self.start_template(generation),
                Action::LeaveTemplate(generation) => {
                    if let Some(template) = self.templates.get(&generation) {
                        let _ = template.channel.get_ref().send(&ToTemplate::Leave, &[]);
                    }
                }
                Action::Fork { generation, key, number, slot } => {
                    self.fork(generation, key, number, slot);
                }
                Action::Drain { key, linger } => self.drain(key, linger),
                Action::Kill(key) => {
                    if let Some(pid) = self.workers.get(&key).and_then(|worker| worker.pid) {
                        let _ = kill(Pid::from_raw(pid), Signal::SIGKILL);
                    }
                }
                Action::Forget(key) => drop(self.workers.remove(&key)),
                Action::Commit => {
                    if let Some(pending) = self.pending.take() {
                        self.instance.config = pending.config;
                        self.instance.python = pending.python;
                        self.instance.listeners.retain(&self.instance.config);
                    }
                }
                Action::Discard => {
                    if let Some(pending) = self.pending.take() {
                        self.instance.listeners.close(&pending.opened);
                    }
                }
                Action::Answer(ticket, answer) => self.answer(ticket, answer),
                Action::Tell(news) => self.tell(news),
                Action::Exit(outcome) => self.outcome = Some(outcome),
            }
        }
    }

    fn start_template(&mut self, generation: Generation) {
        let instance = &self.instance;
        let (config, python) = match &self.pending {
            Some(pending) => (&pending.config, &pending.python),
            None => (&instance.config, &instance.python),
        };
        let listeners = instance.listeners.descriptors(config);
        let (board, slots) = (&instance.scoreboard, instance.slots);
        let started = spawn::template(config, python, board, slots, &listeners);
        let started = started.and_then(|(child, channel)| {
            let channel = watch(channel);
            Ok((child, channel.map_err(|error| format!("the template's channel: {error}"))?))
        });
        match started {
            Ok((child, channel)) => {
                let channel = Arc::new(channel);
                let pid = i32::try_from(child.id()).unwrap_or(0);
                let template =
                    TemplateProcess { pid, channel: Arc::clone(&channel), version: String::new() };
                self.templates.insert(generation, template);
                let arrivals = self.arrivals.clone();
                tokio::spawn(read(channel, move |message| {
                    let _ = arrivals.send(Arrival::Template(generation, message));
                }));
            }
            Err(why) => self.queue.push_back(Event::TemplateFailed(generation, plain(why))),
        }
    }

    fn fork(&mut self, generation: Generation, key: Key, number: u32, slot: usize) {
        let forked = match self.templates.get(&generation) {
            Some(template) => spawn::worker(template.channel.get_ref(), number, slot),
            None => Err(std::io::ErrorKind::BrokenPipe.into()),
        };
        match forked.and_then(watch) {
            Ok(channel) => {
                let channel = Arc::new(channel);
                let worker = WorkerProcess { number, pid: None, channel: Arc::clone(&channel) };
                self.workers.insert(key, worker);
                let arrivals = self.arrivals.clone();
                tokio::spawn(read(channel, move |message| {
                    let _ = arrivals.send(Arrival::Worker(key, message));
                }));
            }
            Err(error) => {
                self.queue.push_back(Event::ForkFailed(generation, number, error.to_string()));
            }
        }
    }

    fn drain(&self, key: Key, linger: Duration) {
        let Some(worker) = self.workers.get(&key) else { return };
        let millis = |time: Duration| u64::try_from(time.as_millis()).unwrap_or(u64::MAX);
        let drain = ToWorker::Drain {
            linger_ms: millis(linger),
            mercy_ms: millis(self.instance.config.mercy),
        };
        if worker.channel.get_ref().send(&drain, &[]).is_err()
            && let Some(pid) = worker.pid
        {
            let _ = kill(Pid::from_raw(pid), Signal::SIGTERM);
        }
    }

    fn answer(&mut self, ticket: Ticket, answer: Result<String, String>) {
        let Some(waiting) = self.tickets.remove(&ticket) else { return };
        let (ok, message) = match answer {
            Ok(message) => (true, message),
            Err(message) => (false, message),
        };
        let _ = waiting.send(json!({"ok": ok, "message": message}));
    }

    /// Waits for the templates, and ends what is left.
    async fn end(&mut self, outcome: &Outcome, signals: &mut Signals) {
        let failed = matches!(outcome, Outcome::FailedStart(_));
        let deadline = tokio::time::Instant::now() + TEMPLATE_MERCY;
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
        if let Some(path) = control::path() {
            let _ = std::fs::remove_file(path);
        }
        match outcome {
            Outcome::Stopped => {
                let requests = self.instance.scoreboard.total().requests;
                log::notice(Said::Stopped, format!("stopped after {requests} requests")).send();
            }
            Outcome::FailedStart(failure) => {
                report_failed_start(&self.instance.supervisor, failure)
            }
        }
        for waiter in self.stop_waiters.drain(..) {
            let _ = waiter.send(json!({"ok": true, "message": "stopped"}));
        }
        tokio::task::yield_now().await;
    }
}

/// What is told, and to whom.
impl Master {
    fn tell(&mut self, news: News) {
        match news {
            News::Ready => {
                log::notice(Said::Ready, format!("ready: {}", self.summary())).send();
                self.instance.supervisor.tell(&[NotifyState::Ready]);
                if let Some(caller) = self.instance.caller.take() {
                    caller.ready();
                }
            }
            News::WorkerReady(key) => self.about_worker(key, Said::WorkerReady, "serves"),
            News::WorkerLeft(key, exit) => {
                self.about_worker(key, Said::WorkerExited, &exit.to_string());
            }
            News::WorkerDied(key, exit, delay) => {
                let (number, pid) = self.name_of(key);
                let next = if delay.is_zero() {
                    "a new one is started".to_owned()
                } else {
                    format!("a new one is started in {} s", delay.as_secs())
                };
                let message = format!("worker {number} (pid {pid}) {exit}; {next}");
                log::error(Said::WorkerDied, message)
                    .number("RWSGI_WORKER", number)
                    .number("WORKER_PID", pid)
                    .send();
            }
            News::CrashLoop(number) => {
                let message = format!(
                    "worker {number} keeps dying; see what the log says before each death. The other workers serve"
                );
                log::critical(Said::CrashLoop, message).send();
            }
            News::TemplateDied(why, delay) => {
                let seconds = delay.as_secs();
                let message = format!(
                    "{}; the workers serve on, a new template is started in {seconds} s",
                    why.summary
                );
                with_failure(log::error(Said::SystemError, message), &why).send();
            }
            News::Reloading(generation) => {
                log::notice(Said::Reloading, format!("reload: generation {generation}")).send();
                self.extend_at = Instant::now() + EXTEND_EVERY;
                self.instance.supervisor.reloading("reloading");
            }
            News::Reloaded => {
                self.trouble = None;
                log::notice(Said::Reloaded, format!("reloaded: {}", self.summary())).send();
                self.instance.supervisor.tell(&[NotifyState::Ready]);
            }
            News::ReloadFailed(failure) => {
                let text = format!("{}\n{}", failure.summary, failure.traceback);
                let message = format!("reload failed, the old code serves on: {text}");
                with_failure(log::error(Said::ReloadFailed, message), &failure).send();
                self.trouble = failure.summary.lines().next().map(str::to_owned);
                self.instance.supervisor.tell(&[NotifyState::Ready]);
            }
            News::Stopping => {
                log::notice(Said::Stopping, "stopping: requests in flight are finished").send();
                self.instance.supervisor.tell(&[NotifyState::Stopping]);
            }
            News::NoMercy(key) => {
                self.about_worker(key, Said::WorkerDied, "does not leave: killed")
            }
            News::Trouble(why) => {
                let message = [why.summary.as_str(), &why.traceback].join("\n");
                with_failure(log::error(Said::SystemError, message), &why).send();
            }
        }
        self.tell_status();
    }

    fn name_of(&self, key: Key) -> (u32, i32) {
        self.workers.get(&key).map_or((0, 0), |worker| (worker.number, worker.pid.unwrap_or(0)))
    }

    fn about_worker(&self, key: Key, event: Said, what: &str) {
        let (number, pid) = self.name_of(key);
        log::info(event, format!("worker {number} (pid {pid}) {what}"))
            .number("RWSGI_WORKER", number)
            .number("WORKER_PID", pid)
            .send();
    }

    /// `4 workers × 2 threads serve BookStore`.
    fn summary(&self) -> String {
        let ready = self.state.workers().values().filter(|w| w.phase == WorkerPhase::Ready);
        let ready = ready.count();
        let config = &self.instance.config;
        let plural = |count: usize, what: &str| {
            if count == 1 { format!("1 {what}") } else { format!("{count} {what}s") }
        };
        format!(
            "{} × {} for {}",
            plural(ready, "worker"),
            plural(config.threads as usize, "thread"),
            config.name
        )
    }

    fn tell_status(&self) {
        let phase = if self.state.is_stopping() {
            "stopping"
        } else if self.state.is_starting() {
            "starting"
        } else if self.state.is_reloading() {
            "reloading"
        } else {
            "serving"
        };
        let Counters { requests, running, .. } = self.instance.scoreboard.total();
        let mut status =
            format!("{phase}: {}; {requests} requests answered, {running} running", self.summary());
        if let Some(trouble) = &self.trouble {
            status.push_str(&format!("; the last reload failed: {trouble}"));
        }
        self.instance.supervisor.tell(&[NotifyState::Status(&status)]);
    }

    fn status(&self) -> serde_json::Value {
        let now = self.now();
        let workers = self.state.workers().iter().map(|(key, worker)| {
            let slot = self.instance.scoreboard.slot(worker.slot).map(|slot| slot.read());
            json!({
                "worker": worker.number,
                "pid": self.workers.get(key).and_then(|worker| worker.pid),
                "generation": worker.generation,
                "phase": match worker.phase {
                    WorkerPhase::Starting => "starting",
                    WorkerPhase::Ready => "ready",
                    WorkerPhase::Draining(_) => "draining",
                },
                "age_seconds": now.saturating_sub(worker.since).as_secs(),
                "counters": slot,
            })
        });
        let generation = self.state.generation();
        json!({
            "ok": true,
            "message": self.summary(),
            "name": self.instance.config.name,
            "version": rwsgi_core::VERSION,
            "pid": std::process::id(),
            "generation": generation,
            "python": self.templates.get(&generation).map(|template| template.version.clone()),
            "uptime_seconds": now.as_secs(),
            "listeners": self.instance.listeners.addresses(),
            "last_reload_failed": self.trouble,
            "total": self.instance.scoreboard.total(),
            "workers": workers.collect::<Vec<_>>(),
        })
    }
}

/// Reads messages until the other end is gone; its exit status tells the rest.
async fn read<M: serde::de::DeserializeOwned>(
    channel: Arc<AsyncFd<Channel>>,
    mut deliver: impl FnMut(M),
) {
    while let Ok(mut ready) = channel.readable().await {
        match ready.try_io(|channel| channel.get_ref().receive::<M>()) {
            Ok(Ok(Received::Message(message, _))) => deliver(message),
            Ok(Ok(Received::Closed)) => return,
            Ok(Err(error)) => {
                let message = format!("a message that cannot be understood: {error}");
                return log::error(Said::SystemError, message).send();
            }
            Err(_would_block) => {}
        }
    }
}

#[expect(
    deprecated,
    reason = "the successor is unsafe; a Channel keeps its one descriptor for life"
)]
fn watch(channel: Channel) -> std::io::Result<AsyncFd<Channel>> {
    AsyncFd::with_interest(channel, Interest::READABLE)
}

fn plan(config: &Config) -> Plan {
    Plan { processes: config.processes, mercy: config.mercy }
}
