//! What is told, and to whom: the log, systemd, who asked by the control socket, who waits in front.

use std::time::{Duration, Instant};

use rwsgi_core::exit::ExitCode;
use rwsgi_core::ipc::Failure;
use rwsgi_core::log::{self, Entry, Event as Said, Level};
use rwsgi_core::running::Running;
use sd_notify::NotifyState;
use serde_json::json;

use crate::action::News;
use crate::boot::with_failure;
use crate::capture::Source;
use crate::event::Key;
use crate::master::{EXTEND_EVERY, Master};
use crate::notify::Supervisor;
use crate::reap::Exit;
use crate::state::WorkerPhase;
use crate::unfinished::Unfinished;

/// Says everywhere that the start has failed, and with which exit code this process will end.
pub fn failed_start(supervisor: &mut Supervisor, failure: &Failure, code: ExitCode) {
    let mut message = failure.summary.clone();
    if !failure.traceback.is_empty() {
        message = format!("{message}\n{}", failure.traceback);
    }
    with_failure(log::critical(Said::Failed, message), failure).send();
    supervisor.refused(failure, code);
}

fn resized(before: u32, wanted: u32, why: &str) {
    let plural = if wanted == 1 { "" } else { "s" };
    let message = match (before, wanted) {
        (_, 0) => format!("all workers leave: {why}; the next connection brings them back"),
        (0, _) => format!("{wanted} worker{plural} again: {why}"),
        _ => format!("{wanted} worker{plural} from now on, not {before}: {why}"),
    };
    log::info(Said::Resized, message).number("RWSGI_WORKERS", wanted).send();
}

fn say_paused() {
    let message = "paused: nothing new reaches the application, connections wait in the queue of the system; \
                   `rwsgi resume` or SIGTSTP goes on";
    log::notice(Said::Paused, message).send();
}

fn say_resumed(time: Duration) {
    let seconds = time.as_secs_f64();
    log::notice(Said::Resumed, format!("resumed after {seconds:.1} s")).send();
}

/// What is told, and to whom.
impl Master {
    pub(crate) fn tell(&mut self, news: News) {
        match news {
            News::Ready => self.ready(),
            News::WorkerReady(key) => {
                self.about_worker(key, Level::Info, Said::WorkerReady, "serves").send();
                self.ask_for_proof(key);
            }
            News::WorkerLeaves(key) => {
                let what = "was sent SIGTERM and drains; a new one is started";
                self.is_followed(key, "it was sent SIGTERM", what);
            }
            News::WorkerLeft(key, exit) => self.worker_left(key, exit),
            News::WorkerDied(key, exit, delay) => {
                self.note_restart(key, &exit.to_string());
                self.worker_died(key, exit, delay);
            }
            News::Replacing(key, why) => {
                self.is_followed(key, &why, &format!("is replaced: {why}"));
            }
            News::ReplacementFailed(key, how, delay) => self.replacement_failed(key, &how, delay),
            News::Resized(before, wanted, why) => resized(before, wanted, &why),
            News::CrashLoop(number) => self.crash_loop(number),
            News::TemplateDied(why, delay) => self.template_died(&why, delay),
            News::Reloading(generation) => {
                log::notice(Said::Reloading, format!("reload: generation {generation}")).send();
                self.extend_at = Instant::now() + EXTEND_EVERY;
            }
            News::ReloadPostponed(since) => reload_postponed(since),
            News::Reloaded => {
                self.trouble = None;
                self.degraded.end();
                self.history.note_reload();
                self.store();
                log::notice(Said::Reloaded, format!("reloaded: {}", self.summary())).send();
                self.instance.supervisor.tell(&[NotifyState::Ready]);
            }
            News::ReloadFailed(failure) => self.reload_failed(&failure),
            News::Paused => say_paused(),
            News::Resumed(time) => say_resumed(time),
            News::RoundBegins(count) => {
                let message = format!("{count} workers are replaced one after the other");
                log::notice(Said::Reloading, message).send();
            }
            News::RoundEnds(Ok(what)) => log::notice(Said::Reloaded, what).send(),
            News::RoundEnds(Err(why)) => log::error(Said::ReloadFailed, why).send(),
            News::Stopping => {
                log::notice(Said::Stopping, "stopping: requests in flight are finished").send();
                self.instance.supervisor.tell(&[NotifyState::Stopping]);
                self.leave_to_socket_unit();
            }
            News::NoMercy(key) => self.no_mercy(key),
            News::Trouble(why) => {
                let message = [why.summary.as_str(), &why.traceback].join("\n");
                with_failure(log::error(Said::SystemError, message), &why).send();
            }
        }
        self.tell_status();
    }

    fn ready(&mut self) {
        log::notice(Said::Ready, format!("ready: {}", self.summary())).send();
        self.begin_rest();
        self.store();
        self.instance.supervisor.tell(&[NotifyState::Ready]);
        if let Some(caller) = self.instance.caller.take() {
            caller.ready();
        }
    }

    fn crash_loop(&self, number: u32) {
        let others = match self.serving() {
            0 => "No worker serves",
            _ => "The other workers serve",
        };
        let message = format!(
            "worker {number} keeps dying; see what the log says before each death. {others}"
        );
        log::critical(Said::CrashLoop, message).send();
    }

    fn no_mercy(&self, key: Key) {
        let unfinished = self.unfinished(key);
        let what = format!("does not leave: killed{}", unfinished.clause());
        let entry = self.about_worker(key, Level::Info, Said::WorkerDied, &what);
        unfinished.add_to(entry).send();
    }

    fn reload_failed(&mut self, failure: &Failure) {
        let text = format!("{}\n{}", failure.summary, failure.traceback);
        let message = format!("reload failed, the old code serves on: {text}");
        with_failure(log::error(Said::ReloadFailed, message), failure).send();
        self.trouble = failure.summary.lines().next().map(str::to_owned);
        self.instance.supervisor.tell(&[NotifyState::Ready]);
    }

    fn worker_died(&mut self, key: Key, exit: Exit, delay: Duration) {
        let unfinished = self.unfinished(key);
        let next = if delay.is_zero() {
            "a new one is started".to_owned()
        } else {
            format!("a new one is started in {} s", delay.as_secs())
        };
        let meanwhile = unfinished.clause();
        let (how, out_of_memory) = if self.workers.get(&key).is_some_and(|worker| worker.killed) {
            (format!("was killed by the master{meanwhile}"), false)
        } else {
            self.oom.describe(exit, &meanwhile)
        };
        let event = if out_of_memory { Said::OutOfMemory } else { Said::WorkerDied };
        let entry = self.about_worker(key, Level::Error, event, &format!("{how}; {next}"));
        self.say_last(key, unfinished.add_to(entry));
    }

    fn note_restart(&mut self, key: Key, cause: &str) {
        let (number, _) = self.name_of(key);
        self.history.note(number, cause, self.now());
        // Before it serves, what systemd has is still that of an earlier start.
        if !self.state.is_starting() {
            self.write_ledger();
        }
    }

    /// Another one follows, for this cause; what the log says of it.
    fn is_followed(&mut self, key: Key, cause: &str, what: &str) {
        self.note_restart(key, cause);
        self.about_worker(key, Level::Info, Said::WorkerRespawned, what).send();
    }

    fn replacement_failed(&self, key: Key, how: &str, delay: Duration) {
        let seconds = delay.as_secs();
        let what = format!("serves on: its successor {how}; the next is started in {seconds} s");
        self.about_worker(key, Level::Error, Said::WorkerRespawned, &what).send();
    }

    fn worker_left(&self, key: Key, exit: Exit) {
        let killed = self.workers.get(&key).is_some_and(|worker| worker.killed);
        // Of one that was killed it was said then what it ran.
        let unfinished = if killed { Unfinished::default() } else { self.unfinished(key) };
        let level = if unfinished.is_empty() { Level::Info } else { Level::Warning };
        let what = if killed { "is gone".to_owned() } else { exit.describe(&unfinished.clause()) };
        let of = self.workers.get(&key).map(|worker| worker.generation);
        let is_of_failed_reload = of.is_some_and(|generation| generation > self.state.generation());
        let why = if is_of_failed_reload { ": its reload has failed" } else { "" };
        let what = format!("{what}{why}");
        let entry = self.about_worker(key, level, Said::WorkerExited, &what);
        self.say_last(key, unfinished.add_to(entry));
    }

    /// Says of a worker that has ended how, after what it has written itself.
    fn say_last(&self, key: Key, entry: Entry) {
        match &self.instance.capture {
            Some(capture) => capture.say_after(Source::Worker(key, self.name_of(key).0), entry),
            None => entry.send(),
        }
    }

    /// What a worker runs, or ran when it died. Its slot is its own until it is forgotten.
    pub(crate) fn unfinished(&self, key: Key) -> Unfinished {
        let worker = self.workers.get(&key).filter(|worker| worker.pid.is_some());
        let slot = worker.and_then(|worker| self.instance.scoreboard.slot(worker.slot));
        slot.map_or_else(Unfinished::default, |slot| Unfinished::new(slot.running()))
    }

    pub(crate) fn name_of(&self, key: Key) -> (u32, i32) {
        self.workers.get(&key).map_or((0, 0), |worker| (worker.number, worker.pid.unwrap_or(0)))
    }

    pub(crate) fn about_worker(&self, key: Key, level: Level, event: Said, what: &str) -> Entry {
        let (number, pid) = self.name_of(key);
        Entry::new(level, event, format!("worker {number} (pid {pid}) {what}"))
            .number("RWSGI_WORKER", number)
            .number("WORKER_PID", pid)
    }

    fn serving(&self) -> usize {
        self.state.workers().values().filter(|w| w.phase == WorkerPhase::Ready).count()
    }

    /// `4 workers × 2 threads serve BookStore`.
    pub(crate) fn summary(&self) -> String {
        let ready = self.serving();
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
}

/// One is going on for this long, or the instance starts.
fn reload_postponed(since: Option<Duration>) {
    let until = since.map_or("as soon as the instance has started".into(), |since| {
        format!("the one that has been going on for {} s", since.as_secs())
    });
    log::notice(Said::Reloading, format!("another reload follows {until}")).send();
}

/// A request that runs, in the answer to `status`.
pub(crate) fn describe(running: &Running) -> serde_json::Value {
    let millis = u32::try_from(running.age().as_millis()).unwrap_or(u32::MAX);
    json!({
        "thread": running.thread,
        "id": running.id.to_string(),
        "method": running.method,
        "path": running.path,
        "seconds": f64::from(millis) / 1000.0,
    })
}
