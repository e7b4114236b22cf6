//! What the state machine wants done, done: templates, workers, answers.

use std::os::fd::{AsFd as _, AsRawFd, OwnedFd};
use std::sync::Arc;
use std::time::{Duration, Instant};

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use rwsgi_core::ipc::{Channel, Received, ToTemplate, ToWorker};
use rwsgi_core::log::{self, Event as Said};
use rwsgi_core::shortage;
use serde_json::json;
use tokio::io::Interest;
use tokio::io::unix::AsyncFd;

use crate::action::{Action, News, Outcome};
use crate::boot::plain;
use crate::capture::Source;
use crate::event::{Event, Generation, Key, Ticket};
use crate::master::{Arrival, Master, TemplateProcess, WorkerProcess};
use crate::spawn::{self, Shared};

/// Actions.
impl Master {
    pub(crate) fn perform(&mut self, actions: Vec<Action>) {
        for action in actions {
            match action {
                Action::StartTemplate(generation) => self.start_template(generation),
                Action::LeaveTemplate(generation) => {
                    if let Some(template) = self.templates.get(&generation) {
                        // It serves nothing and has nothing to finish, whatever state it is in.
                        let _ = template.channel.get_ref().send(&ToTemplate::Leave, &[]);
                        let _ = kill(Pid::from_raw(template.pid), Signal::SIGKILL);
                    }
                }
                Action::Fork { generation, key, number, slot } => {
                    self.fork(generation, key, number, slot);
                }
                Action::Drain { key, linger } => self.drain(key, linger),
                Action::Kill(key) => {
                    if let Some(worker) = self.workers.get_mut(&key)
                        && let Some(pid) = worker.pid
                    {
                        worker.killed = true;
                        let _ = kill(Pid::from_raw(pid), Signal::SIGKILL);
                    }
                }
                Action::Forget(key) => {
                    self.workers.remove(&key);
                    self.forget_handlers(key);
                    self.history.forget(key);
                }
                Action::Pause(number) => {
                    self.instance.scoreboard.set_pause(number);
                    self.tell_workers(&ToWorker::Pause { number });
                }
                Action::Resume => {
                    self.instance.scoreboard.set_pause(0);
                    self.tell_workers(&ToWorker::Resume);
                }
                Action::Refuse => self.tell_workers(&ToWorker::Refuse),
                Action::Commit => {
                    if let Some(pending) = self.pending.take() {
                        self.instance.config = pending.config;
                        self.instance.python = pending.python;
                        self.instance.listeners.retain(&self.instance.config);
                        self.change_stats(pending.stats);
                        self.watch_pressure();
                        self.change_daemons();
                        self.change_crons();
                        self.watch_files();
                        self.change_schedules();
                    }
                }
                Action::Discard => {
                    if let Some(pending) = self.pending.take() {
                        self.instance.listeners.close(&pending.opened);
                    }
                }
                Action::Answer(ticket, answer) => self.answer_in_turn(ticket, answer),
                Action::Tell(News::Reloaded) => self.begin_hush(),
                Action::Tell(news @ (News::Reloading(_) | News::Stopping)) => {
                    self.end_hush();
                    self.tell(news);
                }
                Action::Tell(news) => self.tell(news),
                Action::GiveUp(failure) => {
                    if self.instance.supervisor.is_there() {
                        self.outcome = Some(Outcome::GaveUp(failure));
                    }
                }
                Action::Exit(outcome) => self.outcome = Some(outcome),
            }
        }
    }

    fn start_template(&mut self, generation: Generation) {
        // With the program its extension was replaced: only its successor can use that.
        let is_respawn = generation == self.state.generation();
        if is_respawn && !self.instance.program.is_refused() && self.take_over_first(None) {
            let why = "the program was replaced: its successor takes over first".to_owned();
            return self.queue.push_back(Event::TemplateFailed(generation, plain(why)));
        }
        if let Err(why) = self.provide_caches(generation) {
            return self.queue.push_back(Event::TemplateFailed(generation, plain(why)));
        }
        let instance = &self.instance;
        // A template of the generation that serves may have to be replaced during a reload.
        let pending = self.pending.as_ref().filter(|_| generation != self.state.generation());
        let (config, python) = match pending {
            Some(pending) => (&pending.config, &pending.python),
            None => (&instance.config, &instance.python),
        };
        let caches = instance.caches.memories(config);
        let listeners = instance.listeners.descriptors(config);
        let kept = instance.listeners.lasting(config, &instance.store);
        let shared = Shared {
            scoreboard: &instance.scoreboard,
            slots: instance.slots,
            commons: &instance.commons,
            is_reload: generation > 1,
            is_again: is_respawn && !self.state.is_starting(),
        };
        let output = self.output_of(Source::Template(generation));
        let started = spawn::template(config, python, shared, (&listeners, kept), &caches, output);
        let started = started.and_then(|(child, channel)| {
            let channel = watch(channel);
            Ok((child, channel.map_err(|error| format!("the template's channel: {error}"))?))
        });
        match started {
            Ok((child, channel)) => {
                let channel = Arc::new(channel);
                let pid = i32::try_from(child.id()).unwrap_or(0);
                let template = TemplateProcess {
                    pid,
                    channel: Arc::clone(&channel),
                    version: String::new(),
                    hook: None,
                };
                self.templates.insert(generation, template);
                self.listen_to_template(generation, channel);
            }
            Err(why) => self.queue.push_back(Event::TemplateFailed(generation, plain(why))),
        }
    }

    fn fork(&mut self, generation: Generation, key: Key, number: u32, slot: usize) {
        // What the last one there was doing when it died has been told, and is not the next one's.
        if let Some(slot) = self.instance.scoreboard.slot(slot) {
            slot.take(0);
            self.history.begin(key, slot.read());
        }
        let forked = match self.templates.get(&generation) {
            Some(template) => {
                let output = self.output_of(Source::Worker(key, number));
                let probing = self.state.probing(key);
                spawn::worker(
                    template.channel.get_ref(),
                    number,
                    slot,
                    probing,
                    output.as_ref().map(OwnedFd::as_fd),
                )
            }
            None => Err(std::io::ErrorKind::BrokenPipe.into()),
        };
        match forked.and_then(watch) {
            Ok(channel) => {
                let channel = Arc::new(channel);
                let worker = WorkerProcess {
                    number,
                    slot,
                    pid: None,
                    asked: Instant::now(),
                    killed: false,
                    gone: false,
                    takes_nothing: false,
                    hook: None,
                    generation,
                    channel: Arc::clone(&channel),
                };
                self.workers.insert(key, worker);
                self.listen_to_worker(key, channel);
            }
            Err(error) => {
                self.queue.push_back(Event::ForkFailed(key, shortage::explain(&error)));
            }
        }
    }

    /// Where a new process is to write. Without a pipe of its own, for want of descriptors, it has
    /// that of who starts it.
    pub(crate) fn output_of(&self, source: Source) -> Option<OwnedFd> {
        self.instance.capture.as_ref()?.pipe(source).ok()
    }

    pub(crate) fn tell_workers(&self, message: &ToWorker) {
        for worker in self.workers.values() {
            let _ = worker.channel.get_ref().send(message, &[]);
        }
    }

    /// Has what a template says arrive.
    pub(crate) fn listen_to_template(
        &self,
        generation: Generation,
        channel: Arc<AsyncFd<Channel>>,
    ) {
        let arrivals = self.arrivals.clone();
        tokio::spawn(read(channel, move |message| {
            let _ = arrivals.send(Arrival::Template(generation, message));
        }));
    }

    /// Has what a worker says arrive.
    pub(crate) fn listen_to_worker(&self, key: Key, channel: Arc<AsyncFd<Channel>>) {
        let arrivals = self.arrivals.clone();
        tokio::spawn(async move {
            let deliver = |message| drop(arrivals.send(Arrival::Worker(key, message)));
            read(channel, deliver).await;
            let _ = arrivals.send(Arrival::Closed(key));
        });
    }

    fn drain(&mut self, key: Key, linger: Duration) {
        // It does not listen yet.
        self.end_hook(self.workers.get(&key).and_then(|worker| worker.hook));
        let Some(worker) = self.workers.get_mut(&key) else { return };
        let millis = |time: Duration| u64::try_from(time.as_millis()).unwrap_or(u64::MAX);
        let drain = ToWorker::Drain {
            linger_ms: millis(linger),
            mercy_ms: millis(self.instance.config.mercy),
        };
        if worker.channel.get_ref().send(&drain, &[]).is_err()
            && let Some(pid) = worker.pid
        {
            // It is on its way out, and not the victim of somebody else.
            worker.killed = true;
            let _ = kill(Pid::from_raw(pid), Signal::SIGTERM);
        }
    }

    /// Makes one ticket of several: one reload answers all who wait.
    pub(crate) fn merge(&mut self, tickets: &[Ticket]) -> Option<Ticket> {
        let first = *tickets.first()?;
        let waiting = tickets.iter().filter_map(|ticket| self.tickets.remove(ticket));
        let waiting = waiting.flatten().collect();
        self.tickets.insert(first, waiting);
        Some(first)
    }

    pub(crate) fn answer(&mut self, ticket: Ticket, answer: Result<String, String>) {
        let Some(waiting) = self.tickets.remove(&ticket) else { return };
        let (ok, message) = match answer {
            Ok(message) => (true, message),
            Err(message) => (false, message),
        };
        for waiter in waiting {
            let _ = waiter.answer.send(json!({"ok": ok, "message": message}));
        }
    }
}

/// Reads messages until the other end is gone; its exit status tells the rest.
async fn read<M: serde::de::DeserializeOwned>(
    channel: Arc<AsyncFd<Channel>>,
    mut deliver: impl FnMut(M),
) {
    let mut is_told = false;
    while let Ok(mut ready) = channel.readable().await {
        match ready.try_io(|channel| channel.get_ref().receive::<M>()) {
            Ok(Ok(Received::Message(message, _))) => deliver(message),
            Ok(Ok(Received::Closed)) => return,
            // Of another version, which says more. What this one knows goes on.
            Ok(Err(error)) if error.kind() == std::io::ErrorKind::InvalidData => {
                if !std::mem::replace(&mut is_told, true) {
                    let message = format!("a message that is not understood is ignored: {error}");
                    log::warning(Said::SystemError, message).send();
                }
            }
            Ok(Err(error)) => {
                let message = format!("the channel to a process: {error}");
                return log::error(Said::SystemError, message).send();
            }
            Err(_would_block) => {}
        }
    }
}

#[expect(
    deprecated,
    reason = "the successor is unsafe; what is watched keeps its one descriptor for life"
)]
pub(crate) fn watch<T: AsRawFd>(owner: T) -> std::io::Result<AsyncFd<T>> {
    AsyncFd::with_interest(owner, Interest::READABLE)
}
