//! The end of what keeps failing.
//!
//! As long as somebody serves, the master goes on: attempts come ever later ([`crate::respawn`]), and
//! whoever serves knows nothing of them. When nobody serves and everything that is missing has failed
//! [`respawn::LOOP`] times in a row, the instance is of no use. A service manager is better told than
//! kept in the belief that the service runs: the master exits, the reason is in the status and in the
//! log, and what the unit says (`Restart=`, `OnFailure=`) happens. Where there is no manager nobody
//! would start it again, so it goes on trying.

use rwsgi_core::ipc::Failure;

use crate::respawn;
use crate::state::{Phase, State, WorkerPhase};
use crate::team::Template;

impl State {
    /// Why there is no hope, if there is none; `last` is what has just happened, in words.
    pub(crate) fn despair(&self, last: &str) -> Option<Failure> {
        let is_served = self.workers.values().any(|worker| worker.phase != WorkerPhase::Starting);
        if self.phase != Phase::Serving || self.next.is_some() || is_served {
            return None;
        }
        let team = &self.current;
        let is_missing = |number: u32, due: bool| {
            due || self.workers.values().any(|worker| worker.number == number)
        };
        let wanted = team.vacancies.range(..=team.wanted);
        let missing = wanted.filter(|(n, v)| is_missing(**n, v.due.is_some()));
        let failures = missing.map(|(_, vacancy)| vacancy.failures).min();
        let no_template =
            matches!(team.template, Template::Down(_)) && team.template_failures >= respawn::LOOP;
        let summary = if no_template && self.workers.is_empty() && team.wanted > 0 {
            let times = team.template_failures;
            format!("no worker is left, and the template has failed {times} times in a row: {last}")
        } else if let Some(times) = failures.filter(|times| *times >= respawn::LOOP) {
            format!(
                "no worker stays alive, each has died at least {times} times in a row: {last}; see what the \
                 log says before"
            )
        } else {
            return None;
        };
        Some(Failure::plain(summary))
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use nix::sys::signal::Signal;

    use super::*;
    use crate::action::Action;
    use crate::event::{Event, Key};
    use crate::reap::Exit;
    use crate::team::Plan;

    const CRASH: Exit = Exit::Signal(Signal::SIGSEGV, false);

    /// An instance of which time passes with each event.
    struct Instance {
        state: State,
        plan: Plan,
        now: Duration,
    }

    impl Instance {
        fn serving(processes: u32) -> Self {
            let plan = Plan::fixed(processes, Duration::from_secs(60));
            let (state, _) = State::start(plan, Duration::ZERO);
            let mut instance = Self { state, plan, now: Duration::ZERO };
            instance.step(Event::Imported(1));
            instance.all_serve();
            instance
        }

        fn step(&mut self, event: Event) -> Vec<Action> {
            self.state.step(event, self.plan, self.now)
        }

        fn keys(&self) -> Vec<Key> {
            self.state.workers().keys().copied().collect()
        }

        fn all_serve(&mut self) {
            self.keys().into_iter().for_each(|key| drop(self.step(Event::WorkerReady(key))));
        }

        /// All these workers die. Whether it gave up.
        fn die(&mut self, keys: Vec<Key>) -> bool {
            let exits = keys.into_iter().map(|key| Event::WorkerExited(key, CRASH));
            let actions: Vec<_> = exits.flat_map(|exit| self.step(exit)).collect();
            actions.iter().any(|action| matches!(action, Action::GiveUp(_)))
        }

        /// Whatever is due happens.
        fn wait(&mut self) {
            if let Some(deadline) = self.state.deadline() {
                self.now = deadline;
            }
            self.step(Event::Tick);
        }
    }

    #[test]
    fn all_workers_that_keep_dying_are_given_up() {
        let mut instance = Instance::serving(3);
        for round in 1..respawn::LOOP {
            assert!(!instance.die(instance.keys()), "in round {round}");
            instance.wait();
            instance.all_serve();
        }
        assert!(instance.die(instance.keys()));
    }

    #[test]
    fn one_that_serves_is_reason_enough_to_go_on() {
        let mut instance = Instance::serving(2);
        for _ in 0..3 * respawn::LOOP {
            let second = instance.keys().pop().into_iter().collect();
            assert!(!instance.die(second));
            instance.wait();
            instance.all_serve();
        }
        // Its own first death costs nothing, either.
        assert!(!instance.die(instance.keys()));
    }

    #[test]
    fn a_template_that_fails_is_given_up_when_nobody_is_left() {
        let failed = || Event::TemplateGone(1, "was killed by signal 6 (SIGABRT)".into());
        let gives_up = |actions: &[Action]| actions.iter().any(|a| matches!(a, Action::GiveUp(_)));
        let mut instance = Instance::serving(1);
        for _ in 0..2 * respawn::LOOP {
            assert!(!gives_up(&instance.step(failed())), "a worker serves");
            instance.wait();
        }
        assert!(!instance.die(instance.keys()), "the template is being started");
        assert!(gives_up(&instance.step(failed())));
    }

    #[test]
    fn a_reload_under_way_may_be_the_remedy() {
        let mut instance = Instance::serving(1);
        for _ in 1..respawn::LOOP {
            instance.die(instance.keys());
            instance.wait();
            instance.all_serve();
        }
        let last = instance.keys();
        instance.step(Event::Reload(None));
        assert!(!instance.die(last));
    }
}
