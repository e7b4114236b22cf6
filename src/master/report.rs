//! What is told, and to whom: the log, systemd, who asked by the control socket, who waits in front.

use std::time::Instant;

use rwsgi_core::ipc::Failure;
use rwsgi_core::log::{self, Event as Said};
use rwsgi_core::scoreboard::Counters;
use sd_notify::NotifyState;
use serde_json::json;

use crate::action::News;
use crate::boot::with_failure;
use crate::event::Key;
use crate::master::{EXTEND_EVERY, Master};
use crate::notify::Supervisor;
use crate::reap::Exit;
use crate::state::WorkerPhase;

/// Says everywhere that the start has failed.
pub fn failed_start(supervisor: &Supervisor, failure: &Failure) {
    let mut message = failure.summary.clone();
    if !failure.traceback.is_empty() {
        message = format!("{message}\n{}", failure.traceback);
    }
    with_failure(log::critical(Said::Failed, message), failure).send();
    supervisor.tell(&[NotifyState::Status(&failure.summary)]);
}

/// What is told, and to whom.
impl Master {
    pub(crate) fn tell(&mut self, news: News) {
        match news {
            News::Ready => {
                log::notice(Said::Ready, format!("ready: {}", self.summary())).send();
                self.instance.supervisor.tell(&[NotifyState::Ready]);
                self.instance.supervisor.store(&self.instance.listeners.to_store());
                if let Some(caller) = self.instance.caller.take() {
                    caller.ready();
                }
            }
            News::WorkerReady(key) => self.about_worker(key, Said::WorkerReady, "serves"),
            News::WorkerLeft(key, exit) => {
                self.about_worker(key, Said::WorkerExited, &self.how_it_left(key, exit));
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
            }
            News::Reloaded => {
                self.trouble = None;
                self.instance.supervisor.store(&self.instance.listeners.to_store());
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
                self.about_worker(key, Said::WorkerDied, "does not leave: killed");
            }
            News::Trouble(why) => {
                let message = [why.summary.as_str(), &why.traceback].join("\n");
                with_failure(log::error(Said::SystemError, message), &why).send();
            }
        }
        self.tell_status();
    }

    fn how_it_left(&self, key: Key, exit: Exit) -> String {
        let killed = self.workers.get(&key).is_some_and(|worker| worker.killed);
        if killed { "is gone".to_owned() } else { exit.to_string() }
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

    pub(crate) fn tell_status(&self) {
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

    pub(crate) fn status(&self) -> serde_json::Value {
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
