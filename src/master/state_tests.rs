//! The master's behaviour, sentence by sentence, and then at random.

use std::collections::{BTreeMap, BTreeSet};

use nix::sys::signal::Signal;
use proptest::prelude::*;

use super::*;

use crate::pause::Until;
use crate::reap::Exit;

#[path = "pause_tests.rs"]
mod pause;
#[path = "renewal_tests.rs"]
mod replacement;

#[path = "rollout_tests.rs"]
mod rollout;

#[path = "round_tests.rs"]
mod round;
#[path = "state_sequences_tests.rs"]
mod sequences;
#[path = "size_tests.rs"]
mod size;

const MERCY: Duration = Duration::from_secs(60);
const KILLED: Exit = Exit::Signal(Signal::SIGKILL, false);

fn seconds(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

fn why() -> Failure {
    Failure { traceback: "Traceback".into(), ..Failure::plain("no module named shop".into()) }
}

fn forked(actions: &[Action]) -> Vec<Key> {
    let key = |action: &Action| match action {
        Action::Fork { key, .. } => Some(*key),
        _ => None,
    };
    actions.iter().filter_map(key).collect()
}

fn drained(actions: &[Action]) -> Vec<Key> {
    let key = |action: &Action| match action {
        Action::Drain { key, .. } => Some(*key),
        _ => None,
    };
    actions.iter().filter_map(key).collect()
}

fn killed(actions: &[Action]) -> Vec<Key> {
    let key = |action: &Action| match action {
        Action::Kill(key) => Some(*key),
        _ => None,
    };
    actions.iter().filter_map(key).collect()
}

fn exits(actions: &[Action]) -> Vec<&Outcome> {
    fn outcome(action: &Action) -> Option<&Outcome> {
        match action {
            Action::Exit(outcome) => Some(outcome),
            _ => None,
        }
    }
    actions.iter().filter_map(outcome).collect()
}

fn failed_start(actions: &[Action]) -> bool {
    matches!(exits(actions)[..], [Outcome::FailedStart(_)])
}

fn count(actions: &[Action], wanted: &Action) -> usize {
    actions.iter().filter(|action| *action == wanted).count()
}

/// A state, a clock, and what the next generation is to look like.
struct Scene {
    state: State,
    now: Duration,
    plan: Plan,
}

impl Scene {
    fn starting(processes: u32) -> Self {
        let plan = Plan::fixed(processes, MERCY);
        let (state, actions) = State::start(plan, Duration::ZERO);
        assert_eq!(actions, [Action::StartTemplate(1)]);
        Self { state, now: Duration::ZERO, plan }
    }

    /// Keys are 1 … `processes`.
    fn serving(processes: u32) -> Self {
        let mut scene = Self::starting(processes);
        let keys = forked(&scene.step(Event::Imported(1)));
        keys.into_iter().for_each(|key| drop(scene.step(Event::WorkerReady(key))));
        assert!(scene.state.can_reload());
        scene
    }

    /// … and with a generation 2 that has imported; the keys of its workers, of which the first one
    /// serves if there are others: all of them start at a time.
    fn reloading(processes: u32, then: u32) -> (Self, Vec<Key>) {
        let mut scene = Self::serving(processes);
        scene.plan = Plan::fixed(then, MERCY);
        scene.step(Event::Reload(Some(7)));
        let mut keys = forked(&scene.step(Event::Imported(2)));
        assert_eq!(keys.len(), 1);
        if then > 1 {
            keys.extend(forked(&scene.step(Event::WorkerReady(keys[0]))));
        }
        assert_eq!(keys.len(), then as usize);
        (scene, keys)
    }

    /// Generation 2 imports and all its workers come to serve; their keys, and what the last one
    /// leads to.
    fn take_over(&mut self) -> (Vec<Key>, Vec<Action>) {
        let (mut keys, mut last) = (Vec::new(), self.step(Event::Imported(2)));
        while self.state.is_reloading() {
            let new = forked(&last);
            assert!(!new.is_empty(), "{:?}", self.state);
            new.iter().for_each(|key| last = self.step(Event::WorkerReady(*key)));
            keys.extend(new);
        }
        (keys, last)
    }

    fn step(&mut self, event: Event) -> Vec<Action> {
        self.state.step(event, self.plan, self.now)
    }

    fn tick_at(&mut self, now: Duration) -> Vec<Action> {
        self.now = now;
        self.step(Event::Tick)
    }

    fn tick_when_due(&mut self) -> Vec<Action> {
        let due = self.state.deadline().expect("nothing is due");
        self.tick_at(due.max(self.now))
    }

    fn all_leave(&mut self) -> Vec<Action> {
        let keys: Vec<Key> = self.state.workers().keys().copied().collect();
        keys.into_iter()
            .flat_map(|key| self.step(Event::WorkerExited(key, Exit::Code(0))))
            .collect()
    }
}

mod start {
    use super::*;

    #[test]
    fn it_is_ready_once_when_all_workers_are() {
        let mut scene = Scene::starting(2);
        assert_eq!(forked(&scene.step(Event::Imported(1))), [1, 2]);
        let first = scene.step(Event::WorkerReady(1));
        assert_eq!(first, [Action::Tell(News::WorkerReady(1))]);
        assert!(scene.state.is_starting());
        let second = scene.step(Event::WorkerReady(2));
        assert_eq!(second, [Action::Tell(News::WorkerReady(2)), Action::Tell(News::Ready)]);
        assert_eq!(scene.step(Event::WorkerReady(2)), []);
        let next = forked(&scene.step(Event::WorkerExited(1, KILLED)))[0];
        assert_eq!(count(&scene.step(Event::WorkerReady(next)), &Action::Tell(News::Ready)), 0);
    }

    #[test]
    fn a_template_that_cannot_import_fails_the_start() {
        let mut scene = Scene::starting(2);
        let actions = scene.step(Event::TemplateFailed(1, why()));
        assert_eq!(actions, [Action::Exit(Outcome::FailedStart(why()))]);
        assert_eq!(scene.step(Event::TemplateGone(1, "exited with code 1".into())), []);
    }

    #[test]
    fn a_template_that_dies_fails_the_start_and_its_workers_are_killed() {
        let mut scene = Scene::starting(2);
        scene.step(Event::Imported(1));
        let actions = scene.step(Event::TemplateGone(1, "was killed".into()));
        assert!(failed_start(&actions));
        assert_eq!(killed(&actions), [1, 2]);
    }

    #[test]
    fn a_worker_that_dies_before_it_serves_fails_the_start_and_nothing_else() {
        for processes in [1, 2] {
            let mut scene = Scene::starting(processes);
            scene.step(Event::Imported(1));
            let actions = scene.step(Event::WorkerExited(1, Exit::Code(3)));
            assert!(failed_start(&actions), "{actions:?}");
            assert_eq!(exits(&scene.all_leave()), [] as [&Outcome; 0]);
        }
    }

    #[test]
    fn a_worker_that_cannot_serve_fails_the_start_although_its_exit_follows() {
        let mut scene = Scene::starting(1);
        scene.step(Event::Imported(1));
        let mut actions = scene.step(Event::WorkerFailed(1, why()));
        actions.extend(scene.step(Event::WorkerExited(1, Exit::Code(1))));
        assert_eq!(exits(&actions), [&Outcome::FailedStart(why())]);
    }

    #[test]
    fn a_worker_that_cannot_be_forked_fails_the_start() {
        let mut scene = Scene::starting(1);
        scene.step(Event::Imported(1));
        assert!(failed_start(&scene.step(Event::ForkFailed(1, "EAGAIN".into()))));
    }

    #[test]
    fn a_reload_waits_for_the_start_and_is_answered_when_it_fails() {
        let mut scene = Scene::starting(1);
        let told = Action::Tell(News::ReloadPostponed(None));
        assert_eq!(scene.step(Event::Reload(Some(7))), [told]);
        assert_eq!(scene.state.take_postponed_reload(), None);
        let actions = scene.step(Event::TemplateFailed(1, why()));
        assert_eq!(count(&actions, &Action::Answer(7, Err(why().summary))), 1);
    }
}

mod respawn_of_workers {
    use super::*;

    #[test]
    fn the_first_death_is_made_good_at_once() {
        let mut scene = Scene::serving(2);
        let actions = scene.step(Event::WorkerExited(1, KILLED));
        let fork = Action::Fork { generation: 1, key: 3, number: 1, slot: 0 };
        let died = Action::Tell(News::WorkerDied(1, KILLED, Duration::ZERO));
        assert_eq!(actions, [died, fork, Action::Forget(1)]);
    }

    #[test]
    fn who_keeps_dying_is_waited_for_and_the_fifth_death_is_a_crash_loop_told_once() {
        let mut scene = Scene::serving(2);
        let (mut key, mut waits, mut loops) = (1, Vec::new(), Vec::new());
        for _ in 0..7 {
            let mut actions = scene.step(Event::WorkerExited(key, KILLED));
            loops.push(count(&actions, &Action::Tell(News::CrashLoop(1))));
            let died = scene.now;
            if forked(&actions).is_empty() {
                let due = scene.state.deadline().unwrap();
                assert_eq!(scene.tick_at(due - Duration::from_millis(1)), []);
                actions = scene.tick_at(due);
            }
            waits.push((scene.now - died).as_secs());
            key = forked(&actions)[0];
            scene.step(Event::WorkerReady(key));
        }
        assert_eq!(waits, [0, 1, 2, 4, 8, 16, 30]);
        assert_eq!(loops, [0, 0, 0, 0, 1, 0, 0]);
    }

    #[test]
    fn who_lived_long_is_made_good_at_once_again() {
        let mut scene = Scene::serving(1);
        let second = forked(&scene.step(Event::WorkerExited(1, KILLED)))[0];
        scene.now = respawn::TOO_SHORT;
        assert_eq!(forked(&scene.step(Event::WorkerExited(second, KILLED))).len(), 1);
    }

    #[test]
    fn each_number_has_its_own_count() {
        let mut scene = Scene::serving(2);
        for key in [1, 2] {
            assert_eq!(forked(&scene.step(Event::WorkerExited(key, KILLED))).len(), 1);
        }
    }

    #[test]
    fn a_fork_that_fails_is_tried_again_after_a_growing_delay() {
        let mut scene = Scene::serving(1);
        let mut key = forked(&scene.step(Event::WorkerExited(1, KILLED)))[0];
        for wait in [1, 2, 4] {
            let failed = scene.now;
            let actions = scene.step(Event::ForkFailed(key, "EAGAIN".into()));
            assert!(matches!(&actions[0], Action::Tell(News::Trouble(why)) if
                why.summary == "cannot fork worker 1: EAGAIN"));
            assert!(forked(&actions).is_empty());
            key = forked(&scene.tick_when_due())[0];
            assert_eq!(scene.now - failed, seconds(wait));
        }
    }

    #[test]
    fn a_fork_that_fails_while_nobody_was_asked_for_is_nothing() {
        let mut scene = Scene::serving(1);
        assert_eq!(scene.step(Event::ForkFailed(1, "EAGAIN".into())), []);
        assert_eq!(scene.step(Event::ForkFailed(2, "EAGAIN".into())), []);
    }
}

mod template_death {
    use super::*;

    #[test]
    fn workers_serve_on_and_the_vacancies_are_filled_by_the_next_template() {
        let mut scene = Scene::serving(2);
        let actions = scene.step(Event::TemplateGone(1, "was killed".into()));
        assert!(matches!(actions[0], Action::Tell(News::TemplateDied(_, Duration::ZERO))));
        assert_eq!((drained(&actions), killed(&actions)), (vec![], vec![]));
        assert!(forked(&scene.step(Event::WorkerExited(2, KILLED))).is_empty());
        assert_eq!(scene.tick_when_due(), [Action::StartTemplate(1)]);
        assert_eq!(scene.tick_at(seconds(9)), []);
        assert_eq!(forked(&scene.step(Event::Imported(1))), [3]);
    }

    #[test]
    fn the_next_attempts_wait_ever_longer() {
        let mut scene = Scene::serving(1);
        let mut waits = Vec::new();
        for _ in 0..4 {
            let died = scene.now;
            scene.step(Event::TemplateGone(1, "was killed".into()));
            assert_eq!(scene.tick_when_due(), [Action::StartTemplate(1)]);
            waits.push((scene.now - died).as_secs());
        }
        assert_eq!(waits, [0, 1, 2, 4]);
    }

    #[test]
    fn a_failure_and_the_exit_that_follows_are_one() {
        let mut scene = Scene::serving(1);
        let mut actions = scene.step(Event::TemplateFailed(1, why()));
        actions.extend(scene.step(Event::TemplateGone(1, "exited with code 1".into())));
        actions.extend(scene.tick_when_due());
        let died = Action::Tell(News::TemplateDied(why(), Duration::ZERO));
        assert_eq!(actions, [died, Action::StartTemplate(1)]);
        assert_eq!(scene.state.deadline(), None);
    }
}

mod reload {
    use super::*;

    /// Nothing that serves was touched, and who asked knows.
    fn assert_abandoned(scene: &Scene, actions: &[Action], new: &[Key]) {
        let mut leaving = drained(actions);
        leaving.sort_unstable();
        assert_eq!(leaving, new);
        assert_eq!(count(actions, &Action::Discard), 1);
        assert_eq!(count(actions, &Action::Commit), 0);
        assert_eq!(count(actions, &Action::LeaveTemplate(2)), 1);
        let failed = |action: &&Action| matches!(action, Action::Tell(News::ReloadFailed(_)));
        assert_eq!(actions.iter().filter(failed).count(), 1);
        let refused = |action: &&Action| matches!(action, Action::Answer(7, Err(_)));
        assert_eq!(actions.iter().filter(refused).count(), 1);
        let serving = |worker: &&Worker| worker.phase == WorkerPhase::Ready;
        assert_eq!(scene.state.workers().values().filter(serving).count(), 2);
        assert_eq!((scene.state.generation(), scene.state.can_reload()), (1, true));
    }

    #[test]
    fn the_old_workers_leave_when_all_new_ones_serve() {
        let mut scene = Scene::serving(2);
        let actions = scene.step(Event::Reload(Some(7)));
        assert_eq!(actions, [Action::Tell(News::Reloading(2)), Action::StartTemplate(2)]);
        assert_eq!(forked(&scene.step(Event::Imported(2))), [3]);
        let actions = scene.step(Event::WorkerReady(3));
        assert_eq!((forked(&actions), drained(&actions)), (vec![4], vec![]));
        let linger = RELOAD_LINGER;
        let answer = Action::Answer(7, Ok("reloaded: 2 new workers serve".into()));
        let expected = [
            Action::Tell(News::WorkerReady(4)),
            Action::Commit,
            Action::LeaveTemplate(1),
            Action::Drain { key: 1, linger },
            Action::Drain { key: 2, linger },
            Action::Tell(News::Reloaded),
            answer,
        ];
        assert_eq!(scene.step(Event::WorkerReady(4)), expected);
        assert_eq!((scene.state.generation(), scene.state.is_reloading()), (2, false));
    }

    #[test]
    fn the_new_plan_may_have_fewer_processes_or_more() {
        for (before, after) in [(3, 1), (1, 3)] {
            let (mut scene, keys) = Scene::reloading(before, after);
            let last = keys.iter().flat_map(|key| scene.step(Event::WorkerReady(*key)));
            let actions: Vec<Action> = last.collect();
            assert_eq!(count(&actions, &Action::Commit), 1);
            assert_eq!(drained(&actions).len(), before as usize);
            assert!(forked(&actions).is_empty());
        }
    }

    #[test]
    fn a_template_that_cannot_import_ends_the_reload_only() {
        let mut scene = Scene::serving(2);
        scene.step(Event::Reload(Some(7)));
        let actions = scene.step(Event::TemplateFailed(2, why()));
        assert_abandoned(&scene, &actions, &[]);
        let answer = "no module named shop\nTraceback".to_owned();
        assert_eq!(count(&actions, &Action::Answer(7, Err(answer))), 1);
        assert_eq!(scene.step(Event::TemplateGone(2, "exited with code 1".into())), []);
    }

    #[test]
    fn a_new_worker_that_dies_cannot_serve_or_cannot_be_forked_ends_the_reload_only() {
        let (mut scene, keys) = Scene::reloading(2, 2);
        scene.step(Event::WorkerReady(keys[0]));
        let actions = scene.step(Event::WorkerExited(keys[1], Exit::Code(3)));
        assert_abandoned(&scene, &actions, &keys[..1]);
        let (mut scene, keys) = Scene::reloading(2, 2);
        let actions = scene.step(Event::WorkerFailed(keys[1], why()));
        assert_abandoned(&scene, &actions, &keys);
        let (mut scene, keys) = Scene::reloading(2, 2);
        let actions = scene.step(Event::ForkFailed(keys[1], "EAGAIN".into()));
        assert_abandoned(&scene, &actions, &keys[..1]);
    }

    #[test]
    fn workers_of_a_failed_generation_leave_without_a_successor() {
        let (mut scene, keys) = Scene::reloading(2, 2);
        scene.step(Event::TemplateGone(2, "was killed".into()));
        for key in keys {
            let left = Action::Tell(News::WorkerLeft(key, Exit::Code(0)));
            let actions = scene.step(Event::WorkerExited(key, Exit::Code(0)));
            assert_eq!(actions, [left, Action::Forget(key)]);
        }
    }

    #[test]
    fn a_worker_of_a_failed_generation_that_was_never_forked_is_forgotten() {
        let (mut scene, keys) = Scene::reloading(2, 2);
        scene.step(Event::WorkerFailed(keys[0], why()));
        let actions = scene.step(Event::ForkFailed(keys[1], "EAGAIN".into()));
        assert_eq!(count(&actions, &Action::Forget(keys[1])), 1, "{actions:?}");
    }

    #[test]
    fn a_reload_during_a_reload_is_postponed_exactly_once() {
        let (mut scene, keys) = Scene::reloading(1, 1);
        let told = Action::Tell(News::ReloadPostponed(Some(Duration::ZERO)));
        assert_eq!(scene.step(Event::Reload(Some(8))), [told]);
        assert_eq!(scene.step(Event::Reload(None)), []);
        assert_eq!(scene.step(Event::Reload(Some(9))), []);
        assert_eq!(scene.state.take_postponed_reload(), None);
        let actions = scene.step(Event::WorkerReady(keys[0]));
        let answers = actions.iter().filter(|action| matches!(action, Action::Answer(..)));
        assert_eq!(answers.count(), 1);
        assert_eq!(scene.state.take_postponed_reload(), Some(vec![8, 9]));
        assert_eq!(scene.state.take_postponed_reload(), None);
    }

    #[test]
    fn a_reload_while_stopping_is_refused() {
        let mut scene = Scene::serving(1);
        scene.step(Event::Stop);
        let refusal = Action::Answer(7, Err("the instance is stopping".into()));
        assert_eq!(scene.step(Event::Reload(Some(7))), [refusal]);
        assert_eq!(scene.step(Event::Reload(None)), []);
    }

    #[test]
    fn a_wrong_configuration_is_told_and_answered() {
        let mut scene = Scene::serving(1);
        let actions = scene.step(Event::BadConfiguration(Some(7), "threads = many".into()));
        let told = Action::Tell(News::ReloadFailed(failure("threads = many".into())));
        assert_eq!(actions, [told, Action::Answer(7, Err("threads = many".into()))]);
        assert!(scene.state.can_reload());
    }

    #[test]
    fn an_old_worker_that_dies_meanwhile_is_made_good_and_the_reload_goes_on() {
        let (mut scene, keys) = Scene::reloading(2, 1);
        let actions = scene.step(Event::WorkerExited(1, KILLED));
        assert!(matches!(actions[1], Action::Fork { generation: 1, number: 1, .. }));
        let actions = scene.step(Event::WorkerReady(keys[0]));
        assert_eq!(drained(&actions), [2, forked_last(&scene)]);
    }

    fn forked_last(scene: &Scene) -> Key {
        *scene.state.workers().keys().last().unwrap()
    }
}

mod drain {
    use super::*;

    #[test]
    fn a_worker_that_drains_by_itself_gets_a_successor_at_once() {
        let mut scene = Scene::serving(2);
        let fork = Action::Fork { generation: 1, key: 3, number: 2, slot: 2 };
        let told = Action::Tell(News::WorkerLeaves(2));
        assert_eq!(scene.step(Event::WorkerDraining(2)), [told, fork]);
        assert_eq!(scene.step(Event::WorkerDraining(2)), []);
        let left = Action::Tell(News::WorkerLeft(2, Exit::Code(0)));
        let actions = scene.step(Event::WorkerExited(2, Exit::Code(0)));
        assert_eq!(actions, [left, Action::Forget(2)]);
    }

    #[test]
    fn who_does_not_leave_in_time_is_killed_and_again_later() {
        let mut scene = Scene::serving(1);
        scene.step(Event::WorkerDraining(1));
        let merciless = [Action::Tell(News::NoMercy(1)), Action::Kill(1)];
        assert_eq!(scene.tick_at(MERCY + seconds(4)), []);
        assert_eq!(scene.state.deadline(), Some(MERCY + seconds(5)));
        assert_eq!(scene.tick_at(MERCY + seconds(5)), merciless);
        assert_eq!(scene.tick_at(MERCY + seconds(9)), []);
        assert_eq!(scene.tick_at(MERCY + seconds(10)), merciless);
    }

    #[test]
    fn a_draining_worker_that_is_killed_has_left() {
        let mut scene = Scene::serving(1);
        scene.step(Event::WorkerDraining(1));
        let actions = scene.step(Event::WorkerExited(1, KILLED));
        assert_eq!(actions, [Action::Tell(News::WorkerLeft(1, KILLED)), Action::Forget(1)]);
    }
}

mod stop {
    use super::*;

    #[test]
    fn all_drain_and_it_ends_with_the_last() {
        let mut scene = Scene::serving(2);
        let linger = STOP_LINGER;
        let expected = [
            Action::Tell(News::Stopping),
            Action::Drain { key: 1, linger },
            Action::Drain { key: 2, linger },
            Action::LeaveTemplate(1),
        ];
        assert_eq!(scene.step(Event::Stop), expected);
        assert_eq!(exits(&scene.step(Event::WorkerExited(2, Exit::Code(0)))), [] as [&Outcome; 0]);
        assert_eq!(exits(&scene.step(Event::WorkerExited(1, KILLED))), [&Outcome::Stopped]);
    }

    #[test]
    fn a_second_stop_kills() {
        let mut scene = Scene::serving(2);
        scene.step(Event::Stop);
        assert_eq!(scene.step(Event::Stop), [Action::Kill(1), Action::Kill(2)]);
    }

    #[test]
    fn stop_now_kills_at_once_also_while_stopping() {
        let mut scene = Scene::serving(2);
        let actions = scene.step(Event::StopNow);
        assert_eq!(count(&actions, &Action::Tell(News::Stopping)), 1);
        assert_eq!(killed(&actions), [1, 2]);
        assert_eq!(scene.step(Event::StopNow), [Action::Kill(1), Action::Kill(2)]);
    }

    #[test]
    fn a_stop_during_a_reload_discards_it_and_answers_all_who_wait() {
        let (mut scene, keys) = Scene::reloading(1, 1);
        scene.step(Event::Reload(Some(8)));
        let actions = scene.step(Event::Stop);
        assert_eq!(count(&actions, &Action::Discard), 1);
        assert_eq!(drained(&actions), [keys[0], 1]);
        for ticket in [7, 8] {
            let answer = Action::Answer(ticket, Err("the instance is stopping".into()));
            assert_eq!(count(&actions, &answer), 1);
        }
        assert_eq!(scene.state.take_postponed_reload(), None);
        assert_eq!(exits(&scene.all_leave()), [&Outcome::Stopped]);
    }

    #[test]
    fn a_stop_before_there_are_workers_ends_it_at_once() {
        let mut scene = Scene::starting(2);
        assert_eq!(exits(&scene.step(Event::Stop)), [&Outcome::Stopped]);
        assert_eq!(scene.step(Event::Imported(1)), []);
        assert_eq!(scene.step(Event::TemplateGone(1, "left".into())), []);
    }

    #[test]
    fn a_stop_during_the_start_waits_for_the_workers_there_are() {
        let mut scene = Scene::starting(2);
        scene.step(Event::Imported(1));
        scene.step(Event::WorkerReady(1));
        assert_eq!(drained(&scene.step(Event::Stop)), [1, 2]);
        assert_eq!(scene.step(Event::WorkerReady(2)), []);
        assert_eq!(exits(&scene.all_leave()), [&Outcome::Stopped]);
    }

    #[test]
    fn a_worker_that_was_never_forked_does_not_hold_up_the_end() {
        let mut scene = Scene::starting(1);
        scene.step(Event::Imported(1));
        scene.step(Event::Stop);
        let actions = scene.step(Event::ForkFailed(1, "EAGAIN".into()));
        assert_eq!(exits(&actions), [&Outcome::Stopped], "{actions:?}");
    }

    #[test]
    fn nobody_who_dies_or_drains_then_gets_a_successor() {
        let mut scene = Scene::serving(2);
        scene.step(Event::WorkerExited(1, KILLED));
        scene.step(Event::WorkerExited(3, KILLED));
        scene.step(Event::Stop);
        assert_eq!(scene.tick_at(seconds(50)), []);
        assert_eq!(scene.step(Event::WorkerDraining(2)), []);
        assert_eq!(scene.step(Event::TemplateGone(1, "left".into())), []);
        assert_eq!(scene.state.deadline(), Some(MERCY + seconds(5)));
    }
}
