//! What is known of the daemons beside the workers, and what is to be done with them: pure. `keeper.rs`
//! does it.
//!
//! ```text
//!  waiting ──▶ running ──▶ ending ──▶ waiting, if it is still wanted
//!     ▲           │
//!     └── ended ──┘  after a time that grows ([`crate::respawn`])
//!
//!  with a pidfile:  waiting ──▶ looking ──▶ watched ──▶ waiting
//! ```
//! A reload ends each and starts it anew, with its new words; one with a pidfile stays. What is not wanted
//! any more is ended and forgotten.

use std::path::PathBuf;
use std::time::Duration;

use nix::sys::signal::Signal;
use rwsgi_core::config::DaemonSpec;
use serde::{Deserialize, Serialize};

use crate::respawn;

/// A daemon; never repeats, unlike its name.
pub type Id = u64;

/// The first wait for a pidfile; each one after it is twice as long.
const FIRST_LOOK: Duration = Duration::from_millis(50);

/// All of them. Times are on the master's clock.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Daemons {
    all: Vec<Daemon>,
    last: Id,
    /// They were started.
    pub(crate) begun: bool,
    /// They are not started any more: the instance ends.
    pub(crate) over: bool,
}

/// One.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Daemon {
    pub(crate) id: Id,
    pub(crate) spec: DaemonSpec,
    pub(crate) phase: Phase,
    /// It is in the configuration.
    pub(crate) wanted: bool,
    /// Ends in a row, each soon after its start.
    failures: u32,
    /// How often it was started again.
    pub(crate) restarts: u64,
    /// Since when it is as it is.
    pub(crate) since: Duration,
    /// How it has ended last.
    pub(crate) last_end: Option<String>,
}

/// Where one stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Phase {
    /// To be started at this time.
    Waiting(Duration),
    /// It runs.
    Running(i32),
    /// It was asked to end.
    Ending(i32),
    /// It was started, and its pid is looked for.
    Looking {
        /// When it is looked for next,
        next: Duration,
        /// and after how long again.
        wait: Duration,
        /// When it has to be there.
        until: Duration,
    },
    /// The process of its pidfile runs; where the kernel does not tell of its end, it is looked at then.
    Watched(i32, Option<Duration>),
}

impl Phase {
    /// In `rwsgi status`.
    pub fn name(self) -> &'static str {
        match self {
            Self::Waiting(_) => "waiting",
            Self::Running(_) | Self::Watched(..) => "running",
            Self::Ending(_) => "ending",
            Self::Looking { .. } => "starting",
        }
    }

    /// Its process.
    pub fn pid(self) -> Option<i32> {
        match self {
            Self::Running(pid) | Self::Ending(pid) | Self::Watched(pid, _) => Some(pid),
            Self::Waiting(_) | Self::Looking { .. } => None,
        }
    }
}

/// What is to be done.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Deed {
    /// This signal is sent, to all of its group.
    Send(i32, i32),
    /// The same to one that may be in nobody's group.
    Notify(i32, i32),
    /// It is asked to end by this signal, and killed when it does not.
    End(i32, i32),
}

impl Daemon {
    fn new(id: Id, spec: DaemonSpec, now: Duration) -> Self {
        let phase = Phase::Waiting(now);
        Self { id, spec, phase, wanted: true, failures: 0, restarts: 0, since: now, last_end: None }
    }

    /// As in the log.
    pub fn name(&self) -> String {
        format!("daemon {}", self.spec.name)
    }

    /// It has a process of its own, beside the instance.
    fn stays(&self) -> bool {
        self.spec.pidfile.is_some()
    }

    /// Whether it is the same, in other words perhaps.
    fn becomes(&self, spec: &DaemonSpec) -> bool {
        self.wanted && self.spec.name == spec.name && self.spec.pidfile == spec.pidfile
    }

    fn set(&mut self, phase: Phase, now: Duration) {
        (self.phase, self.since) = (phase, now);
    }

    fn end(&mut self, now: Duration) -> Option<Deed> {
        let Phase::Running(pid) = self.phase else { return None };
        self.set(Phase::Ending(pid), now);
        Some(Deed::End(pid, self.spec.stop_signal))
    }

    /// A reload: with these words from now on.
    fn renew(&mut self, spec: DaemonSpec, now: Duration) -> Option<Deed> {
        let before = std::mem::replace(&mut self.spec, spec);
        self.failures = 0;
        match (self.phase, self.spec.reload_signal) {
            (Phase::Waiting(_), _) => {
                self.phase = Phase::Waiting(now);
                None
            }
            (Phase::Watched(pid, _), signal) if self.spec.notify => {
                Some(Deed::Notify(pid, signal.unwrap_or(Signal::SIGHUP as i32)))
            }
            (Phase::Running(pid), Some(signal)) if before == self.spec => {
                Some(Deed::Send(pid, signal))
            }
            (Phase::Running(pid), _) => {
                self.set(Phase::Ending(pid), now);
                Some(Deed::End(pid, before.stop_signal))
            }
            (Phase::Ending(_) | Phase::Looking { .. } | Phase::Watched(..), _) => None,
        }
    }
}

impl Daemons {
    /// All, those that are wanted in the order of the configuration.
    pub fn all(&self) -> &[Daemon] {
        &self.all
    }

    /// One.
    pub fn get(&self, id: Id) -> Option<&Daemon> {
        self.all.iter().find(|one| one.id == id)
    }

    fn get_mut(&mut self, id: Id) -> Option<&mut Daemon> {
        self.all.iter_mut().find(|one| one.id == id)
    }

    /// The files whose touch restarts one.
    pub fn touches(&self) -> impl Iterator<Item = (Id, &PathBuf)> {
        let wanted = self.all.iter().filter(|one| one.wanted);
        wanted.flat_map(|one| one.spec.touch.iter().map(move |path| (one.id, path)))
    }

    /// These are wanted from now on: at the start, and after a reload.
    pub fn change(&mut self, specs: &[DaemonSpec], now: Duration) -> Vec<Deed> {
        self.begun = true;
        let mut deeds = Vec::new();
        let mut before = std::mem::take(&mut self.all);
        for spec in specs {
            let daemon = match before.iter().position(|one| one.becomes(spec)) {
                Some(at) => {
                    let mut daemon = before.remove(at);
                    deeds.extend(daemon.renew(spec.clone(), now));
                    daemon
                }
                None => {
                    self.last += 1;
                    Daemon::new(self.last, spec.clone(), now)
                }
            };
            self.all.push(daemon);
        }
        for mut daemon in before {
            daemon.wanted = false;
            deeds.extend(daemon.end(now));
            if matches!(daemon.phase, Phase::Ending(_)) {
                self.all.push(daemon);
            }
        }
        deeds
    }

    /// The instance ends: none is started any more.
    pub fn stop(&mut self, now: Duration) -> Vec<Deed> {
        if std::mem::replace(&mut self.over, true) {
            return Vec::new();
        }
        let mut deeds = Vec::new();
        for daemon in &mut self.all {
            match daemon.phase {
                Phase::Watched(pid, _) if daemon.spec.notify => {
                    deeds.push(Deed::Notify(pid, daemon.spec.stop_signal));
                }
                _ if daemon.stays() => {}
                _ => deeds.extend(daemon.end(now)),
            }
        }
        deeds
    }

    /// A file of its `touch` has changed.
    pub fn touch(&mut self, id: Id, now: Duration) -> Option<Deed> {
        let daemon = self.get_mut(id)?;
        match daemon.phase {
            Phase::Watched(pid, _) => Some(Deed::Notify(pid, daemon.spec.stop_signal)),
            Phase::Waiting(_) => {
                (daemon.failures, daemon.phase) = (0, Phase::Waiting(now));
                None
            }
            Phase::Running(_) | Phase::Ending(_) | Phase::Looking { .. } => daemon.end(now),
        }
    }

    /// When something is to be done next.
    pub fn due(&self) -> Option<Duration> {
        let due = |one: &Daemon| match one.phase {
            Phase::Waiting(at) => Some(at),
            Phase::Looking { next, until, .. } => Some(next.min(until)),
            Phase::Watched(_, at) => at,
            Phase::Running(_) | Phase::Ending(_) => None,
        };
        self.all.iter().filter(|_| !self.over).filter_map(due).min()
    }

    /// Those of which it is time.
    pub fn take_due(&self, now: Duration) -> Vec<Id> {
        let is_due = |one: &&Daemon| match one.phase {
            Phase::Waiting(at) | Phase::Watched(_, Some(at)) => at <= now,
            Phase::Looking { next, until, .. } => next.min(until) <= now,
            Phase::Running(_) | Phase::Ending(_) | Phase::Watched(_, None) => false,
        };
        let all = self.all.iter().filter(|_| !self.over);
        all.filter(is_due).map(|one| one.id).collect()
    }

    /// One was started, with this pid.
    pub fn started(&mut self, id: Id, pid: i32, now: Duration) {
        let Some(daemon) = self.get_mut(id) else { return };
        if daemon.last_end.is_some() {
            daemon.restarts += 1;
        }
        let (wait, until) = (FIRST_LOOK, now + daemon.spec.freq);
        let phase = match (daemon.stays(), daemon.spec.foreground) {
            (false, _) => Phase::Running(pid),
            (true, false) => Phase::Looking { next: now + wait, wait, until },
            // Its end is that of a child.
            (true, true) => Phase::Watched(pid, None),
        };
        daemon.set(phase, now);
    }

    /// Its pid is not there yet. Whether it can be looked for once more.
    pub fn looked_in_vain(&mut self, id: Id, now: Duration) -> bool {
        let Some(daemon) = self.get_mut(id) else { return false };
        let Phase::Looking { wait, until, .. } = daemon.phase else { return false };
        daemon.phase = Phase::Looking { next: now + wait, wait: wait * 2, until };
        now < until
    }

    /// Its process runs.
    pub fn found(&mut self, id: Id, pid: i32, is_told: bool, now: Duration) {
        let Some(daemon) = self.get_mut(id) else { return };
        let look_at = (!is_told).then(|| now + daemon.spec.freq);
        match daemon.phase {
            Phase::Watched(before, _) if before == pid => {
                daemon.phase = Phase::Watched(pid, look_at);
            }
            _ => daemon.set(Phase::Watched(pid, look_at), now),
        }
    }

    /// It is not started again.
    pub fn no_more(&mut self, id: Id) {
        if let Some(daemon) = self.get_mut(id) {
            daemon.wanted = false;
        }
    }

    /// It has ended, or could not be started, in these words. How long until it is started again; `None`:
    /// it is not.
    pub fn ended(&mut self, id: Id, how: &str, now: Duration) -> Option<Duration> {
        let over = self.over;
        let at = self.all.iter().position(|one| one.id == id)?;
        let daemon = self.all.get_mut(at)?;
        let asked = matches!(daemon.phase, Phase::Ending(_));
        let lived = now.saturating_sub(daemon.since);
        daemon.last_end = Some(how.to_owned());
        if over || !daemon.wanted {
            self.all.remove(at);
            return None;
        }
        daemon.failures = if asked { 0 } else { respawn::count(daemon.failures, lived) };
        let longest = daemon.spec.max_throttle.unwrap_or(Duration::MAX);
        let delay = respawn::delay(daemon.failures).min(longest);
        daemon.set(Phase::Waiting(now + delay), now);
        Some(delay)
    }

    /// Whether it keeps ending.
    pub fn keeps_ending(&self, id: Id) -> bool {
        self.get(id).is_some_and(|one| one.failures >= respawn::LOOP)
    }
}

#[cfg(test)]
#[path = "daemons_tests.rs"]
mod tests;
