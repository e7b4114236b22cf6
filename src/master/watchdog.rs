//! When systemd is told that all is well (`WatchdogSec=` of the unit), and what follows when it is not.
//!
//! The master asks its workers four times in the time that systemd allows. A loop answers at once,
//! Python as soon as its lock can be had.
//!
//! ```text
//!  what does not answer            for                     then
//!  the loop of a worker            two looks, a second     stacks; it is killed and replaced
//!  Python, in one of several       two looks, or as long   a warning: `harakiri` is for that
//!  Python, in all of them          as `harakiri` allows    stacks; WATCHDOG=trigger
//! ```
//! Only time in which this process has run counts: after a look that comes late, as after SIGSTOP or
//! in a frozen cgroup, everybody has another one. Who starts, drains or pauses is not asked, and an
//! instance without workers (`cheap`, `idle`) is well when its master is.

use std::collections::BTreeMap;
use std::time::Duration;

use nix::sys::signal::kill;
use nix::unistd::Pid;
use rwsgi_core::ipc::{DUMP, Part, ToWorker};
use rwsgi_core::log::{self, Event as Said, Level};
use sd_notify::NotifyState;

use crate::event::{Generation, Key};
use crate::master::Master;
use crate::stacks::{self, Halt};
use crate::state::WorkerPhase;

/// Looks in the time that systemd allows.
const LOOKS: u32 = 4;
/// Questions without an answer that are too many, if they have waited for [`FAIR`].
const MISSES: u32 = 2;
/// Nobody is judged by less: on a machine that is busy, who is well may have to wait for a processor.
const FAIR: Duration = Duration::from_secs(1);
/// A look that is late by more, or by a step, says that this process has not run.
const LATE: Duration = Duration::from_secs(1);
/// The shortest time between two looks, whatever systemd wants.
const SHORTEST: Duration = Duration::from_millis(50);
/// How long workers have to write where their threads are.
const DUMPING: Duration = Duration::from_secs(1);

/// What has answered, and when it is looked again.
#[derive(Debug)]
pub(crate) struct Watchdog {
    /// Time between two looks; `None`: systemd wants none.
    step: Option<Duration>,
    /// When the next look is due.
    next: Duration,
    /// Workers of this and earlier generations do not know the question.
    unaware: Generation,
    watched: BTreeMap<Key, Watched>,
    /// Python does not answer anywhere, for this long.
    silent: Option<Duration>,
    /// What is done when stacks have been written.
    sentences: Vec<(Duration, Sentence)>,
}

#[derive(Debug, Default, Clone, Copy)]
struct Watched {
    /// Questions that the loop has not answered.
    of_loop: u32,
    /// The same, of Python.
    of_python: u32,
    /// Python has answered once: then it can be told to write where its threads are.
    dumps: bool,
    /// It is about to be killed.
    condemned: bool,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Sentence {
    /// Kill a worker, for this reason.
    Kill(Key, String),
    /// Have systemd restart the service.
    Trigger,
}

/// What a look has found.
#[derive(Debug, Default, PartialEq, Eq)]
struct Findings {
    /// Workers whose loop does not answer.
    loops: Vec<Key>,
    /// Workers of which that has just become true for Python.
    pythons: Vec<Key>,
    /// Python answers in none.
    none: bool,
}

/// Questions without an answer that are too many, `step` after another.
fn misses(step: Duration) -> u32 {
    let fair = FAIR.as_millis().div_ceil(step.as_millis().max(1));
    u32::try_from(fair).unwrap_or(u32::MAX).max(MISSES)
}

impl Watchdog {
    /// `allowed` is the time of systemd; workers up to generation `unaware` are not asked.
    pub(crate) fn new(allowed: Option<Duration>, now: Duration, unaware: Generation) -> Self {
        let step = allowed.map(|time| (time / LOOKS).max(SHORTEST));
        let (watched, sentences) = (BTreeMap::new(), Vec::new());
        Self { step, next: now, unaware, watched, silent: None, sentences }
    }

    /// When there is something to do.
    pub(crate) fn due(&self) -> Option<Duration> {
        let sentences = self.sentences.iter().map(|(at, _)| *at);
        sentences.chain(self.step.map(|_| self.next)).min()
    }

    /// For how long Python has answered nowhere, if that is too long.
    pub(crate) fn silent(&self) -> Option<Duration> {
        self.silent
    }

    /// A worker has answered.
    pub(crate) fn hear(&mut self, key: Key, part: Part) {
        // The first answer may come before the first look.
        let watched = self.watched.entry(key).or_default();
        match part {
            Part::Loop => watched.of_loop = 0,
            Part::Python => (watched.of_python, watched.dumps) = (0, true),
        }
    }

    /// Looks at who has answered; all of `asked` are asked again. `patience` is how many questions
    /// Python may leave open.
    fn look(&mut self, step: Duration, now: Duration, asked: &[Key], patience: u32) -> Findings {
        let (late, misses) = (now > self.next + step.min(LATE), misses(step));
        self.next = now + step;
        self.watched.retain(|key, _| asked.contains(key));
        let mut found = Findings::default();
        let mut answering = 0;
        for key in asked {
            let watched = self.watched.entry(*key).or_default();
            if watched.condemned {
                continue;
            }
            if watched.of_loop >= misses && !late {
                found.loops.push(*key);
                continue;
            }
            answering += u32::from(watched.of_python < patience || late);
            if watched.of_python == patience && !late {
                found.pythons.push(*key);
            }
            if !late {
                watched.of_loop += 1;
                watched.of_python = watched.of_python.saturating_add(1);
            }
        }
        let judged = self.watched.values().filter(|watched| !watched.condemned).count();
        found.none = answering == 0 && judged > found.loops.len();
        found
    }

    /// Nothing is held against it any more.
    fn excuse(&mut self, key: Key) {
        if let Some(watched) = self.watched.get_mut(&key) {
            (watched.of_loop, watched.of_python) = (0, 0);
        }
    }

    fn take_due(&mut self, now: Duration) -> Vec<Sentence> {
        let (due, later) = self.sentences.drain(..).partition(|(at, _)| *at <= now);
        self.sentences = later;
        let due: Vec<(Duration, Sentence)> = due;
        due.into_iter().map(|(_, sentence)| sentence).collect()
    }
}

impl Master {
    /// Does what the watchdog wants done by now.
    pub(crate) fn mind_watchdog(&mut self) {
        let now = self.now();
        for sentence in self.watchdog.take_due(now) {
            match sentence {
                Sentence::Kill(key, reason) => self.on_stuck(key, &reason),
                Sentence::Trigger => self.trigger(),
            }
        }
        let Some(step) = self.watchdog.step.filter(|_| now >= self.watchdog.next) else { return };
        let (asked, patience) = (self.to_be_asked(), self.patience_with_python(step));
        let found = self.watchdog.look(step, now, &asked, patience);
        for key in found.loops {
            self.condemn(key, step * misses(step));
        }
        let silence = step * patience;
        match (found.none, self.watchdog.silent) {
            (true, None) => {
                self.watchdog.silent = Some(silence);
                self.say_silent(silence);
                asked.iter().for_each(|key| self.have_dumped(*key));
                self.watchdog.sentences.push((now + DUMPING, Sentence::Trigger));
            }
            (true, Some(_)) => {}
            (false, since) => {
                if since.is_some() {
                    self.watchdog.silent = None;
                    log::notice(Said::Unresponsive, "Python answers again").send();
                }
                found.pythons.into_iter().for_each(|key| self.warn_of_python(key, silence));
            }
        }
        asked.iter().for_each(|key| self.ask_for_proof(*key));
        if self.watchdog.silent.is_none() {
            self.instance.supervisor.tell(&[NotifyState::Watchdog]);
        }
    }

    /// Has a worker prove that it goes on, if systemd wants to know.
    pub(crate) fn ask_for_proof(&self, key: Key) {
        if let (Some(_), Some(worker)) = (self.watchdog.step, self.workers.get(&key))
            && worker.generation > self.watchdog.unaware
        {
            let _ = worker.channel.get_ref().send(&ToWorker::Prove, &[]);
        }
    }

    /// Those who serve, and know the question.
    fn to_be_asked(&self) -> Vec<Key> {
        if self.state.paused().is_some() || self.state.is_stopping() {
            return Vec::new();
        }
        let serves = |key: &Key| {
            let known = self.state.workers().get(key);
            known.is_some_and(|worker| worker.phase == WorkerPhase::Ready)
        };
        let alive = self.workers.iter().filter(|(_, worker)| {
            worker.pid.is_some()
                && !worker.killed
                && !worker.gone
                && !worker.takes_nothing
                && worker.generation > self.watchdog.unaware
        });
        alive.map(|(key, _)| *key).filter(serves).collect()
    }

    /// In looks. A request may hold Python's lock for as long as it may run.
    fn patience_with_python(&self, step: Duration) -> u32 {
        let harakiri = &self.instance.config.harakiri;
        let longest = harakiri.deadline.map_or(Duration::ZERO, |time| time + harakiri.grace * 2);
        let looks = longest.as_millis().div_ceil(step.as_millis().max(1));
        u32::try_from(looks).unwrap_or(u32::MAX).saturating_add(1).max(misses(step))
    }

    /// A worker whose loop does not answer is killed, after it has said where it is if it can.
    fn condemn(&mut self, key: Key, silence: Duration) {
        let Some(pid) = self.workers.get(&key).and_then(|worker| worker.pid) else { return };
        let reason = format!("its loop has not answered for {:.1} s", silence.as_secs_f64());
        match stacks::halt(pid) {
            // Somebody looks at it, with a debugger.
            Some(Halt::Traced) => return self.watchdog.excuse(key),
            Some(Halt::Stopped) => {
                return self.on_stuck(key, &format!("{reason}: the process is stopped"));
            }
            None => {}
        }
        self.have_dumped(key);
        if let Some(watched) = self.watchdog.watched.get_mut(&key) {
            watched.condemned = true;
        }
        self.watchdog.sentences.push((self.now() + DUMPING, Sentence::Kill(key, reason)));
    }

    /// Has a worker write to its stderr where its Python threads are, if it can without Python's lock.
    fn have_dumped(&self, key: Key) {
        let dumps = self.watchdog.watched.get(&key).is_some_and(|watched| watched.dumps);
        let alive = self.workers.get(&key).filter(|worker| dumps && !worker.killed && !worker.gone);
        if let Some(pid) = alive.and_then(|worker| worker.pid) {
            let _ = kill(Pid::from_raw(pid), DUMP);
        }
    }

    /// Others serve, and `harakiri` is for those who want such a worker to be replaced.
    fn warn_of_python(&self, key: Key, silence: Duration) {
        let seconds = silence.as_secs_f64();
        let running = self.unfinished(key).clause();
        let what = format!(
            "has not run Python code for {seconds:.1} s{running}: something else holds Python's lock"
        );
        let entry = self.about_worker(key, Level::Warning, Said::Unresponsive, &what);
        entry.number("DURATION_USEC", silence.as_micros()).send();
    }

    /// Nobody serves.
    fn say_silent(&self, silence: Duration) {
        let seconds = silence.as_secs_f64();
        let mut message = format!(
            "no worker has run Python code for {seconds:.1} s: something else holds Python's lock in each"
        );
        for key in self.to_be_asked() {
            let (number, pid) = self.name_of(key);
            let running = self.unfinished(key).clause();
            message.push_str(&format!("\nworker {number} (pid {pid}) hangs{running}"));
        }
        let entry = log::error(Said::Unresponsive, message);
        entry.number("DURATION_USEC", silence.as_micros()).send();
    }

    /// Stacks are written, and nothing here can help.
    fn trigger(&mut self) {
        // The signal for the stacks may have ended what did not return.
        let Some(silence) = self.watchdog.silent else { return };
        let message =
            "Python does not answer in any worker: systemd is asked to restart the service";
        let entry = log::critical(Said::Unresponsive, message.to_owned());
        entry.number("DURATION_USEC", silence.as_micros()).send();
        // systemd ends this process next.
        log::flush();
        self.tell_status_now();
        self.instance.supervisor.tell(&[NotifyState::WatchdogTrigger]);
    }
}

#[cfg(test)]
#[path = "watchdog_tests.rs"]
mod tests;
