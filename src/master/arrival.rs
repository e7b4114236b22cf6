//! What arrives at the master becomes an event: signals, exits, messages, requests on the control
//! socket.

use std::sync::Arc;

use nix::sys::signal::{Signal, kill};
use nix::sys::wait::{WaitPidFlag, waitpid};
use nix::unistd::Pid;
use rwsgi_core::config::{self, ConfigError, Context};
use rwsgi_core::ipc::{Channel, FromTemplate, FromWorker, Received, ToWorker};
use rwsgi_core::log::{self, Event as Said, Level};
use serde_json::json;

use crate::boot::{adapt, tell};
use crate::control::{Command, Request, Waiter};
use crate::descriptors;
use crate::event::{Event, Generation, Key, Ticket};
use crate::interpreter;
use crate::master::{Arrival, Master, Pending};
use crate::pause::Until;
use crate::reap::Exit;
use crate::signals::Meaning;
use crate::state::{Worker, WorkerPhase};
use crate::stats::StatsServer;

impl Master {
    pub(crate) fn on_signal(&mut self, meaning: Meaning) {
        if meaning == Meaning::StopNow || meaning == Meaning::Stop && self.state.is_stopping() {
            self.commands.hurry();
        }
        match meaning {
            Meaning::Stop => self.queue.push_back(Event::Stop),
            Meaning::StopNow => self.queue.push_back(Event::StopNow),
            Meaning::Reload => self.reload(None),
            Meaning::ReopenLog => self.reopen_log(),
            Meaning::TogglePause if self.state.paused().is_some() => {
                self.queue.push_back(Event::Resume(None));
            }
            Meaning::TogglePause => self.queue.push_back(Event::Pause(None)),
            Meaning::ReloadWorkers => self.queue.push_back(Event::ReloadWorkers(None)),
            Meaning::Grow => self.scale_by(1),
            Meaning::Shrink => self.scale_by(-1),
            Meaning::LogStatus => self.log_status(),
            Meaning::Reap => self.reap(),
        }
    }

    /// Collects every process that has ended; those of the application, too, whose parent is gone.
    ///
    /// What they have said before counts first: the reason of a failure is in the channel.
    pub(crate) fn reap(&mut self) {
        while let Ok(status) = waitpid(None, Some(WaitPidFlag::WNOHANG)) {
            let Some((pid, exit)) = Exit::of(status) else { break };
            if let Some(key) = self.key_of(pid) {
                if let Some(worker) = self.workers.get_mut(&key) {
                    worker.gone = true;
                }
                self.last_words_of_worker(key);
                self.end_hook(self.workers.get(&key).and_then(|worker| worker.hook));
                if exit != Exit::Code(0) {
                    self.tell_workers(&ToWorker::LookAgain);
                }
                self.queue.push_back(Event::WorkerExited(key, exit));
            } else if let Some(generation) = self.template_of(pid) {
                self.last_words_of_template(generation);
                let template = self.templates.remove(&generation);
                self.end_hook(template.and_then(|template| template.hook));
                let (how, _) = self.oom.describe(exit, "");
                self.queue.push_back(Event::TemplateGone(generation, how));
            } else if !self.command_ended(pid, exit)
                && !self.daemon_reaped(pid, exit)
                && !self.is_checked_by(pid, exit)
                && self.workers.values().any(|worker| worker.pid.is_none())
            {
                self.unclaimed.insert(pid, exit);
            }
        }
        self.settle_commands();
    }

    fn last_words_of_worker(&mut self, key: Key) {
        let Some(channel) = self.workers.get(&key).map(|worker| Arc::clone(&worker.channel)) else {
            return;
        };
        while let Some(message) = next_word(channel.get_ref()) {
            self.on_worker(key, message);
        }
    }

    fn last_words_of_template(&mut self, generation: Generation) {
        let template = self.templates.get(&generation);
        let Some(channel) = template.map(|template| Arc::clone(&template.channel)) else { return };
        while let Some(message) = next_word(channel.get_ref()) {
            self.on_template(generation, message);
        }
    }

    pub(crate) fn key_of(&self, pid: i32) -> Option<Key> {
        self.workers.iter().find(|(_, worker)| worker.pid == Some(pid)).map(|(key, _)| *key)
    }

    pub(crate) fn template_of(&self, pid: i32) -> Option<Generation> {
        self.templates.iter().find(|(_, template)| template.pid == pid).map(|(key, _)| *key)
    }

    pub(crate) fn on_arrival(&mut self, arrival: Arrival) {
        match arrival {
            Arrival::Template(generation, message) => self.on_template(generation, message),
            Arrival::Worker(key, message) => self.on_worker(key, message),
            Arrival::Control(request) => self.on_control(request),
            Arrival::Stats(answer) => self.answer_stats(answer),
            Arrival::Letter(meaning) => self.on_signal(meaning),
            Arrival::Closed(key) => self.on_closed(key),
            Arrival::MemoryPressure => self.on_pressure(),
            Arrival::Changed(cause, path) => self.on_changed(cause, &path),
            Arrival::StacksDue(ticket) => self.answer_stacks(ticket),
            Arrival::DaemonGone(id, pid) => self.on_daemon_gone(id, pid),
            Arrival::Knock => self.on_knock(),
        }
    }

    fn on_template(&mut self, generation: Generation, message: FromTemplate) {
        match message {
            FromTemplate::Hello { python } => {
                if let Some(template) = self.templates.get_mut(&generation) {
                    template.version = python;
                }
            }
            FromTemplate::Hook { group } => {
                if let Some(template) = self.templates.get_mut(&generation) {
                    template.hook = group;
                }
            }
            FromTemplate::Imported { micros } => {
                let version = self.templates.get(&generation).map_or("", |t| t.version.as_str());
                let message = format!(
                    "Python {version} has imported the application in {} ms",
                    micros / 1000
                );
                log::info(Said::Imported, message).number("DURATION_USEC", micros).send();
                if generation == self.state.generation() {
                    self.template_is_there();
                    self.begin_daemons();
                }
                self.queue.push_back(Event::Imported(generation));
            }
            FromTemplate::Failed(failure) => {
                self.queue.push_back(Event::TemplateFailed(generation, failure));
            }
            FromTemplate::Module { file } => self.watch_module(generation, file.into()),
            FromTemplate::Signal(order) => self.order_signal(generation, None, order),
            FromTemplate::ForkFailed { slot, reason } => {
                let mut workers = self.workers.iter();
                let unborn = workers.find(|(_, one)| one.slot == slot && one.pid.is_none());
                if let Some((key, _)) = unborn {
                    self.queue.push_back(Event::ForkFailed(*key, reason));
                }
            }
        }
    }

    fn on_worker(&mut self, key: Key, message: FromWorker) {
        match message {
            FromWorker::Forked { pid } if pid > 1 => {
                if let Some(worker) = self.workers.get_mut(&key) {
                    worker.pid = Some(pid);
                }
                if let Some(exit) = self.unclaimed.remove(&pid) {
                    self.last_words_of_worker(key);
                    self.queue.push_back(Event::WorkerExited(key, exit));
                }
                if self.workers.values().all(|worker| worker.pid.is_some()) {
                    self.unclaimed.clear();
                }
            }
            FromWorker::Forked { .. } => {}
            FromWorker::Module { file } => {
                if let Some(generation) = self.workers.get(&key).map(|worker| worker.generation) {
                    self.watch_module(generation, file.into());
                }
            }
            FromWorker::Signal(order) => {
                if let Some(generation) = self.workers.get(&key).map(|worker| worker.generation) {
                    self.order_signal(generation, Some(key), order);
                }
            }
            FromWorker::Hook { group } => {
                if let Some(worker) = self.workers.get_mut(&key) {
                    worker.hook = group;
                }
                if self.state.workers().get(&key).is_some_and(Worker::is_draining) {
                    self.end_hook(group);
                }
                self.settle_commands();
            }
            FromWorker::Ready => self.queue.push_back(Event::WorkerReady(key)),
            FromWorker::Failed(failure) => self.queue.push_back(Event::WorkerFailed(key, failure)),
            FromWorker::Busy => self.look_at_load(),
            FromWorker::Retire { reason } => self.queue.push_back(Event::Retire(key, reason)),
            FromWorker::Draining => {
                if let Some(worker) = self.workers.get_mut(&key) {
                    worker.takes_nothing = true;
                }
                self.queue.push_back(Event::WorkerDraining(key));
            }
            FromWorker::Stuck { reason } => self.on_stuck(key, &reason),
            FromWorker::Paused { number, running } => {
                self.queue.push_back(Event::WorkerPaused(key, number, running));
            }
            FromWorker::Stacks { ticket, threads } => self.on_stacks(ticket, key, threads),
            FromWorker::Alive(part) => self.watchdog.hear(key, part),
        }
    }

    /// Its death is one like any other, and another worker follows.
    pub(crate) fn on_stuck(&mut self, key: Key, reason: &str) {
        let alive = self.workers.get_mut(&key).filter(|worker| !worker.killed && !worker.gone);
        let Some(worker) = alive else { return };
        let Some(pid) = worker.pid else { return };
        worker.killed = true;
        let _ = kill(Pid::from_raw(pid), Signal::SIGKILL);
        let what = format!("is killed: {reason}");
        self.about_worker(key, Level::Error, Said::WorkerStuck, &what).send();
    }

    /// A worker that never said its pid was never forked: its template died before.
    fn on_closed(&mut self, key: Key) {
        if self.workers.get(&key).is_some_and(|worker| worker.pid.is_none()) {
            self.queue.push_back(Event::WorkerExited(key, Exit::Unborn));
        }
    }

    fn on_control(&mut self, request: Request) {
        if request.command.changes() {
            let client = request.client.map_or_else(String::new, |client| {
                let pid = client.pid().map_or_else(String::new, |pid| format!(" (pid {pid})"));
                format!(" of user {}{pid}", client.uid())
            });
            let message = format!("`{}` by order{client}", request.name);
            log::notice(Said::Command, message).send();
        }
        match request.command {
            Command::Status { memory } => self.answer_status(memory, request.waiter.answer),
            Command::Stacks => self.ask_stacks(request.waiter.answer),
            Command::Scale(workers) => self.scale(workers, request.waiter),
            Command::Stop => {
                self.stop_waiters.push(request.waiter.answer);
                if !self.state.is_stopping() {
                    self.queue.push_back(Event::Stop);
                }
            }
            Command::Reload => {
                let ticket = self.ticket(request.waiter);
                self.reload(Some(ticket));
            }
            Command::ReloadWorkers => {
                let ticket = self.ticket(request.waiter);
                self.queue.push_back(Event::ReloadWorkers(Some(ticket)));
            }
            Command::Pause => {
                let ticket = self.ticket(request.waiter);
                self.queue.push_back(Event::Pause(Some((ticket, Until::Paused))));
            }
            Command::Drain => {
                let ticket = self.ticket(request.waiter);
                self.queue.push_back(Event::Pause(Some((ticket, Until::Drained))));
            }
            Command::Resume => {
                let ticket = self.ticket(request.waiter);
                self.queue.push_back(Event::Resume(Some(ticket)));
            }
            Command::Replace(number) => self.replace(number, request.waiter),
        }
    }

    pub(crate) fn ticket(&mut self, waiter: Waiter) -> Ticket {
        self.last_ticket += 1;
        self.tickets.insert(self.last_ticket, vec![waiter]);
        self.last_ticket
    }

    /// `rwsgi drain --worker N`.
    fn replace(&mut self, number: u32, waiter: Waiter) {
        let generation = self.state.generation();
        let serves = |worker: &Worker| {
            worker.number == number
                && worker.generation == generation
                && worker.phase == WorkerPhase::Ready
        };
        let found = self.state.workers().iter().find(|(_, worker)| serves(worker));
        let key = found.map(|(key, _)| *key).filter(|_| !self.state.is_stopping());
        let (ok, message) = match key {
            Some(key) => {
                self.queue.push_back(Event::Retire(key, "by order".into()));
                (true, format!("worker {number} is replaced: its successor comes first"))
            }
            None => (false, format!("no worker {number} serves")),
        };
        let _ = waiter.answer.send(json!({"ok": ok, "message": message}));
    }

    /// In all processes.
    pub(crate) fn reopen_log(&mut self) {
        log::reopen();
        self.tell_workers(&ToWorker::ReopenLog);
    }

    /// Reads the configuration again and prepares what a new generation needs.
    pub(crate) fn reload(&mut self, ticket: Option<Ticket>) {
        self.renew_control();
        if !self.take_over_first(ticket) {
            self.reload_at_last(ticket);
        }
    }

    /// The same in the program that is to make it.
    pub(crate) fn reload_at_last(&mut self, ticket: Option<Ticket>) {
        if self.state.can_reload() && self.pending.is_none() {
            self.instance.supervisor.reloading("reloading");
            match self.prepare() {
                Ok(pending) => {
                    if pending.config.log.reopen {
                        self.reopen_log();
                    }
                    self.pending = Some(pending);
                }
                Err(why) => return self.queue.push_back(Event::BadConfiguration(ticket, why)),
            }
        }
        self.queue.push_back(Event::Reload(ticket));
    }

    fn prepare(&mut self) -> Result<Pending, String> {
        let instance = &mut self.instance;
        let context = Context { is_reload: true, ..instance.context.clone() };
        let (config, warnings) =
            config::load(&instance.sources, &context).map_err(|errors| told(&errors))?;
        tell(&warnings);
        for option in config::needs_restart(&instance.config, &config) {
            let message = format!("{option} has changed; it takes effect after a restart");
            log::warning(Said::ConfigWarning, message).send();
        }
        let config = adapt(config, &instance.inherited);
        descriptors::provide(&config)?;
        let path = std::env::var_os("PATH");
        let python = interpreter::find(&config.application, path.as_deref())?;
        let opened = instance.listeners.open(&config, &instance.inherited, &mut Vec::new())?;
        let stats = match StatsServer::renew(instance.stats.as_ref(), &config) {
            Ok(stats) => stats,
            Err(why) => {
                instance.listeners.close(&opened);
                return Err(why);
            }
        };
        Ok(Pending { config, python, opened, stats })
    }
}

/// The errors of a configuration, where it was said already that they are such.
fn told(errors: &[ConfigError]) -> String {
    let all: String = errors.iter().map(ToString::to_string).collect();
    all.strip_prefix("error: ").map(str::to_owned).unwrap_or(all)
}

/// What waits in a channel and is understood.
fn next_word<M: serde::de::DeserializeOwned>(channel: &Channel) -> Option<M> {
    loop {
        match channel.receive() {
            Ok(Received::Message(message, _)) => return Some(message),
            Err(error) if error.kind() == std::io::ErrorKind::InvalidData => {}
            Ok(Received::Closed) | Err(_) => return None,
        }
    }
}
