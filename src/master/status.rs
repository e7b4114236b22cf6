//! The state of the instance as `rwsgi status` gets it, and as the log does (SIGUSR2).

use rwsgi_core::log::{self, Event as Said};
use rwsgi_core::scoreboard::Slot;
use serde_json::{Value, json};
use tokio::sync::oneshot;

use crate::event::Key;
use crate::master::Master;
use crate::memory::Usage;
use crate::report;
use crate::signals;
use crate::state::{Worker, WorkerPhase};

impl Master {
    /// Answers with the state; with `memory` it takes the kernel some milliseconds for each worker, and
    /// so does not happen here.
    pub(crate) fn answer_status(&mut self, memory: bool, answer: oneshot::Sender<Value>) {
        let mut status = self.status();
        if !memory {
            let _ = answer.send(status);
            return;
        }
        let measure = move || {
            signals::block_all();
            add_memory(&mut status);
            let _ = answer.send(status);
        };
        // Without a thread nobody is answered, which the client is told.
        let _ = std::thread::Builder::new().stack_size(256 * 1024).spawn(measure);
    }

    /// What the instance does.
    pub(crate) fn state_name(&self) -> &'static str {
        let state = &self.state;
        if state.is_stopping() {
            "stopping"
        } else if state.is_starting() {
            "starting"
        } else if state.is_reloading() {
            "reloading"
        } else if state.paused().is_some() {
            "paused"
        } else {
            "serving"
        }
    }

    pub(crate) fn status(&mut self) -> Value {
        let (now, total) = (self.now(), self.instance.scoreboard.total());
        let load = self.load();
        let workers: Vec<_> =
            self.state.workers().iter().map(|(key, worker)| self.tell_of(*key, worker)).collect();
        let generation = self.state.generation();
        let config = &self.instance.config;
        json!({
            "ok": true,
            "message": self.summary(),
            "name": config.name,
            "version": rwsgi_core::VERSION,
            "pid": std::process::id(),
            "state": self.state_name(),
            "paused_seconds": self.state.paused().map(|(_, at)| now.saturating_sub(at).as_secs()),
            "generation": generation,
            "python": self.templates.get(&generation).map(|template| template.version.clone()),
            "uptime_seconds": now.as_secs(),
            "listeners": self.instance.listeners.addresses(),
            "processes": config.processes,
            "threads": config.threads,
            "last_reload_failed": self.trouble,
            "degraded": self.degraded.reason(),
            "crash_loops": self.state.crash_loops(now),
            "per_second": load.json(),
            "waiting": load.waiting,
            "starts": self.history.starts(),
            "reloads": self.history.reloads(),
            "counted_seconds": self.history.counted(now).as_secs(),
            "total": total,
            "workers": workers,
            "daemons": self.tell_daemons(),
            "crons": self.tell_crons(),
        })
    }

    fn tell_of(&self, key: Key, worker: &Worker) -> Value {
        let now = self.now();
        let slot = self.instance.scoreboard.slot(worker.slot);
        let running = slot.as_ref().map(Slot::running).unwrap_or_default();
        let running: Vec<_> = running.iter().map(report::describe).collect();
        json!({
            "worker": worker.number,
            "pid": self.workers.get(&key).and_then(|worker| worker.pid),
            "generation": worker.generation,
            "phase": match worker.phase {
                WorkerPhase::Starting => "starting",
                WorkerPhase::Ready => "ready",
                WorkerPhase::Draining(_) => "draining",
            },
            "age_seconds": now.saturating_sub(worker.since).as_secs(),
            "counters": slot.as_ref().map(|slot| self.history.own(key, slot.read())),
            "running": running,
            "restarts": self.history.restarts(worker.number),
            "last_restart": self.history.last_restart(worker.number, now),
        })
    }

    /// One entry, of many lines.
    pub(crate) fn log_status(&mut self) {
        let status = self.status();
        let text = crate::overview::text(&status) + "\n" + &crate::table::text(&status);
        log::notice(Said::Status, format!("status\n{}", text.trim_end())).send();
    }
}

/// Adds what each worker uses, in bytes; null where the kernel does not tell.
fn add_memory(status: &mut Value) {
    let Some(workers) = status["workers"].as_array_mut() else { return };
    let mut sum = Some(Usage::default());
    for worker in workers {
        let pid = worker["pid"].as_i64().and_then(|pid| i32::try_from(pid).ok());
        let usage = pid.and_then(|pid| Usage::whole(pid).ok());
        sum = sum.zip(usage).map(|(sum, usage)| sum.plus(usage));
        worker["memory"] = usage.map_or(Value::Null, show);
    }
    status["memory"] = sum.map_or(Value::Null, show);
}

fn show(usage: Usage) -> Value {
    json!({"rss": usage.rss, "pss": usage.pss, "uss": usage.uss})
}

/// `3 d 4 h`, `2 h 5 min`, `7 min 3 s`, `12 s`.
pub fn span(seconds: u64) -> String {
    let (minutes, hours, days) = (seconds / 60, seconds / 3600, seconds / 86400);
    if days > 0 {
        format!("{days} d {} h", hours % 24)
    } else if hours > 0 {
        format!("{hours} h {} min", minutes % 60)
    } else if minutes > 0 {
        format!("{minutes} min {} s", seconds % 60)
    } else {
        format!("{seconds} s")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_span_has_two_units_at_most() {
        let spans = [0, 59, 423, 7500, 273_600].map(span);
        assert_eq!(spans, ["0 s", "59 s", "7 min 3 s", "2 h 5 min", "3 d 4 h"]);
    }

    #[test]
    fn memory_that_cannot_be_read_is_null_and_so_is_the_sum() {
        let me = std::process::id();
        let mut status = json!({"workers": [{"pid": me}]});
        add_memory(&mut status);
        assert!(status["memory"]["pss"].as_u64().unwrap() > 0, "{status}");
        assert_eq!(status["memory"], status["workers"][0]["memory"]);
        let mut status = json!({"workers": [{"pid": me}, {"pid": -1}, {"pid": null}]});
        add_memory(&mut status);
        assert_eq!(
            (&status["memory"], &status["workers"][1]["memory"]),
            (&Value::Null, &Value::Null)
        );
    }
}
