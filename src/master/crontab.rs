//! Commands of `cron`: what is known of them, and which are due. The first part is pure.

use std::time::{Duration, Instant};

use rwsgi_core::config::CronSpec;
use rwsgi_core::cron::{self, Clock, Due};
use rwsgi_core::log::{self, Event as Said, Level};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use crate::command::{Ended, Order, Owner};
use crate::master::Master;

/// What became of the commands, by their place in the configuration.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Crontab {
    clock: Clock,
    all: Vec<Cron>,
    /// When the clock is looked at next, while there is something to run.
    #[serde(skip)]
    pub(crate) look_at: Option<Instant>,
}

/// One command.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
struct Cron {
    spec: CronSpec,
    runs: u64,
    /// Starts that were left out, since it still ran.
    skipped: u64,
    /// How it has ended last, and on the master's clock when.
    last_end: Option<(String, Duration)>,
}

impl Crontab {
    /// These are wanted from now on; what is known of those that are the same is kept.
    fn change(&mut self, specs: &[CronSpec]) {
        let before = std::mem::take(&mut self.all);
        let known = |spec: &CronSpec| before.iter().find(|one| one.spec == *spec).cloned();
        let new =
            |spec: &CronSpec| Cron { spec: spec.clone(), runs: 0, skipped: 0, last_end: None };
        self.all = specs.iter().map(|spec| known(spec).unwrap_or_else(|| new(spec))).collect();
    }

    /// Whether there is something to be run.
    fn is_empty(&self) -> bool {
        self.all.is_empty()
    }

    /// Those whose time has come, each once.
    fn due(&self, due: &Due) -> Vec<CronSpec> {
        let due = self.all.iter().filter(|one| due.count(&one.spec.when) > 0);
        due.map(|one| one.spec.clone()).collect()
    }

    fn by_name(&mut self, name: &str) -> Option<&mut Cron> {
        self.all.iter_mut().find(|one| one.spec.name == name)
    }
}

impl Master {
    /// The commands of the configuration are wanted from now on.
    pub(crate) fn change_crons(&mut self) {
        self.crontab.change(&self.instance.config.crons);
        self.mind_crons();
    }

    /// Looks at the clock each minute from now on, if there is something to be run.
    pub(crate) fn mind_crons(&mut self) {
        if self.crontab.is_empty() {
            (self.crontab.look_at, self.crontab.clock) = (None, Clock::default());
        } else if self.crontab.look_at.is_none() {
            // The first look only finds out what time it is.
            self.crontab.look_at = Some(Instant::now());
        }
    }

    /// When that is next; never while the instance ends.
    pub(crate) fn crons_due(&self) -> Option<Instant> {
        self.crontab.look_at.filter(|_| !self.state.is_stopping() && self.outcome.is_none())
    }

    /// Runs what is due.
    pub(crate) fn run_crons_if_due(&mut self) {
        if self.crons_due().is_none_or(|at| at > Instant::now()) {
            return;
        }
        let (minute, left) = cron::now();
        let due = self.crontab.clock.advance(minute);
        self.crontab.look_at = Some(Instant::now() + left.max(Duration::from_millis(1)));
        for spec in self.crontab.due(&due) {
            self.run_cron(&spec);
        }
    }

    fn run_cron(&mut self, spec: &CronSpec) {
        let (name, owner) = (format!("cron {}", spec.name), Owner::Cron(spec.name.clone()));
        let say = |level, said, text: &str| {
            let entry = log::Entry::new(level, said, text).about(&name);
            entry.field("RWSGI_COMMAND", name.clone()).send();
        };
        if let Some(pid) = self.commands.of(&owner).filter(|_| spec.unique) {
            let what = format!("is not started: it still runs (pid {pid})");
            say(Level::Warning, Said::CommandFailed, &what);
            if let Some(cron) = self.crontab.by_name(&spec.name) {
                cron.skipped += 1;
            }
            return;
        }
        let line = spec.command.as_str();
        let order = Order { name: &name, line, directory: None, user: (None, None), bound: true };
        let until = spec.harakiri.map(|time| self.now() + time);
        match self.start_command(order, owner, until) {
            Ok(pid) => {
                let what = format!("is started (pid {pid}): {line}");
                say(Level::Info, Said::CommandStarted, &what);
                if let Some(cron) = self.crontab.by_name(&spec.name) {
                    cron.runs += 1;
                }
            }
            Err(why) => say(Level::Error, Said::CommandFailed, &why),
        }
    }

    /// The command of this name has ended.
    pub(crate) fn cron_ended(&mut self, name: &str, ended: &Ended) {
        let now = self.now();
        if let Some(cron) = self.crontab.by_name(name) {
            cron.last_end = Some((ended.describe(), now));
        }
        self.say_of_command(&ended.running.name, ended.entry());
    }

    /// For `status`.
    pub(crate) fn tell_crons(&self) -> Value {
        let now = self.now();
        let all = self.crontab.all.iter().map(|cron| {
            let end = cron.last_end.as_ref();
            json!({
                "cron": cron.spec.name,
                "command": cron.spec.command,
                "pid": self.commands.of(&Owner::Cron(cron.spec.name.clone())),
                "runs": cron.runs,
                "skipped": cron.skipped,
                "last_end": end.map(|(how, _)| how),
                "ended_seconds": end.map(|(_, at)| now.saturating_sub(*at).as_secs()),
            })
        });
        all.collect()
    }

    /// For `stats`: what was configured, and the process and its start where it runs.
    pub(crate) fn crons(&self) -> impl Iterator<Item = (&CronSpec, Option<(i32, Duration)>)> {
        self.crontab.all.iter().map(|cron| {
            let owner = Owner::Cron(cron.spec.name.clone());
            let pid = self.commands.of(&owner);
            let running = pid.and_then(|pid| Some((pid, self.commands.get(pid)?.began)));
            (&cron.spec, running)
        })
    }
}

#[cfg(test)]
mod tests {
    use rwsgi_core::cron::When;

    use super::*;

    fn spec(name: &str, minute: i64, hour: i64) -> CronSpec {
        CronSpec {
            name: name.into(),
            command: name.into(),
            when: When::new([minute, hour, -1, -1, -1]).unwrap(),
            unique: false,
            harakiri: None,
        }
    }

    fn names(crontab: &Crontab, due: &Due) -> Vec<String> {
        crontab.due(due).into_iter().map(|spec| spec.name).collect()
    }

    #[test]
    fn each_is_due_in_its_minute_and_once() {
        let mut crontab = Crontab::default();
        crontab.change(&[spec("always", -1, -1), spec("early", 5, 0), spec("fifth", -5, -1)]);
        let mut clock = Clock::default();
        let day = 20_541 * 1440;
        assert!(names(&crontab, &clock.advance(day)).is_empty(), "its minute is over in part");
        assert_eq!(names(&crontab, &clock.advance(day + 1)), ["always"]);
        assert!(names(&crontab, &clock.advance(day + 1)).is_empty());
        assert_eq!(names(&crontab, &clock.advance(day + 5)), ["always", "early", "fifth"]);
    }

    #[test]
    fn what_is_known_of_one_outlives_a_reload_that_does_not_change_it() {
        let mut crontab = Crontab::default();
        crontab.change(&[spec("a", 1, 1), spec("b", 1, 1)]);
        crontab.all.iter_mut().for_each(|one| one.runs = 3);
        crontab.change(&[spec("b", 1, 1), spec("a", 2, 1), spec("c", 1, 1)]);
        let runs: Vec<_> = crontab.all.iter().map(|one| one.runs).collect();
        assert_eq!(runs, [3, 0, 0]);
    }
}
