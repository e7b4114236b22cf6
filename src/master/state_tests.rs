//! The master's behaviour, sentence by sentence, and then at random.

use std::collections::{BTreeMap, BTreeSet};

use nix::sys::signal::Signal;
use proptest::prelude::*;

use super::*;

use crate::pause::Until;

#[path = "pause_tests.rs"]
mod pause;
#[path = "renewal_tests.rs"]
mod replacement;

#[path = "rollout_tests.rs"]
mod rollout;

#[path = "round_tests.rs"]
mod round;
#[path = "size_tests.rs"]
mod size;

const MERCY: Duration = Duration::from_secs(60);
const KILLED: Exit = Exit::Signal(Signal::SIGKILL, false);

fn seconds(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

fn why() -> Failure {
    Failure { summary: "no module named shop".into(), traceback: "Traceback".into(), place: None }
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

/// What the world knows of a process that was asked for.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Life {
    Asked,
    Serves,
    Drains,
}

/// Processes and templates that behave as the kernel lets them: at random, but not impossibly.
struct World {
    scene: Scene,
    /// By generation: whether it has imported. Who was told to leave does, at once.
    templates: BTreeMap<Generation, bool>,
    workers: BTreeMap<Key, (Generation, u32, usize, Life)>,
    last_key: Key,
    asked: Ticket,
    answered: BTreeSet<Ticket>,
    /// Begun, committed, discarded.
    reloads: [usize; 3],
    ends: Vec<Outcome>,
    /// What the workers were told.
    pause: Option<u64>,
    /// Another number of workers was wanted since the last reload began.
    resized: bool,
}

/// One thing that may happen, and to whom.
type Move = (u8, u8);

impl World {
    fn new(processes: u32) -> Self {
        Self {
            scene: Scene::starting(processes),
            templates: BTreeMap::from([(1, false)]),
            workers: BTreeMap::new(),
            last_key: 0,
            asked: 0,
            answered: BTreeSet::new(),
            reloads: [0; 3],
            ends: Vec::new(),
            pause: None,
            resized: false,
        }
    }

    fn play(&mut self, (what, whom): Move) {
        match what {
            0..=2 => self.import(whom),
            3 => self.lose_template(whom, true),
            4 => self.lose_template(whom, false),
            5 => self.fail_fork(whom),
            6..=10 => self.advance(whom, Life::Asked, Life::Serves),
            11 => self.advance(whom, Life::Serves, Life::Drains),
            12 => self.fail_worker(whom),
            13 | 14 => self.exit(whom),
            15 | 16 => self.reload(whom),
            17 if whom < 60 => self.happen(Event::Stop),
            17 if whom < 90 => self.happen(Event::StopNow),
            18 => self.pass(Duration::from_millis(u64::from(whom) * 100)),
            19 | 20 => self.pass_until_due(),
            21..=23 => self.retire(whom),
            25 => self.want(whom),
            26 => self.pause(whom),
            27 => self.resume(),
            28 => self.obey(whom),
            29 => self.begin_round(),
            _ => self.be_impossible(whom),
        }
    }

    fn happen(&mut self, event: Event) {
        let stopping = self.scene.state.is_stopping();
        let serving = self.scene.state.generation();
        let is_tick = event == Event::Tick;
        let loss = match event {
            Event::WorkerExited(..) | Event::WorkerDraining(_) => 1,
            Event::Want(..) | Event::Scale(..) => usize::MAX,
            _ => 0,
        };
        let (before, released) = (self.serving(), self.scene.state.current.released.len());
        let actions = self.scene.step(event);
        for action in &actions {
            self.perform(action, stopping);
        }
        self.check_drains(&actions, serving, released);
        self.check_capacity(before.saturating_sub(loss), &actions);
        self.check_workers();
        if is_tick {
            let due = self.scene.state.deadline();
            assert!(due.is_none_or(|due| due > self.scene.now), "it would tick for ever");
        }
        let postponed = self.scene.state.take_postponed_reload();
        for ticket in postponed.into_iter().flatten() {
            self.happen(Event::Reload(Some(ticket)));
        }
    }

    fn perform(&mut self, action: &Action, stopping: bool) {
        match *action {
            Action::StartTemplate(generation) => {
                assert!(!stopping && self.templates.insert(generation, false).is_none());
            }
            Action::LeaveTemplate(generation) => drop(self.templates.remove(&generation)),
            Action::Fork { generation, key, number, slot } => {
                assert!(!stopping, "a fork after the stop");
                assert!(key > self.last_key, "a key for the second time");
                assert_eq!(self.templates.get(&generation), Some(&true));
                assert!(self.workers.values().all(|worker| worker.2 != slot));
                self.last_key = key;
                self.workers.insert(key, (generation, number, slot, Life::Asked));
            }
            Action::Forget(key) => assert!(!self.workers.contains_key(&key)),
            Action::Drain { key, .. } | Action::Kill(key) => {
                assert!(self.workers.contains_key(&key));
            }
            Action::Answer(ticket, _) => assert!(self.answered.insert(ticket), "answered twice"),
            Action::Commit => self.reloads[1] += 1,
            Action::Discard => self.reloads[2] += 1,
            Action::Tell(News::Reloading(_)) => {
                self.reloads[0] += 1;
                self.resized = false;
            }
            Action::Tell(News::Resized(..)) => self.resized = true,
            // There is nobody to start it again: it goes on.
            Action::GiveUp(_) => {
                assert!(!stopping && self.workers.values().all(|worker| worker.3 == Life::Asked));
            }
            Action::Pause(number) => {
                assert!(!stopping && self.pause.replace(number).is_none());
            }
            Action::Resume | Action::Refuse => assert!(self.pause.take().is_some()),
            Action::Exit(ref outcome) => self.ends.push(outcome.clone()),
            Action::Tell(_) => {}
        }
    }

    /// How many serve, of whatever generation.
    fn serving(&self) -> usize {
        let serves = |worker: &&Worker| worker.phase == WorkerPhase::Ready;
        self.scene.state.workers().values().filter(serves).count()
    }

    /// Workers of the generation that serves are drained by a reload that is complete, by a stop,
    /// because they make room for a new one or are not wanted, or one alone because its successor
    /// serves; or they have failed to serve.
    fn check_drains(&self, actions: &[Action], serving: Generation, released: usize) {
        let all = count(actions, &Action::Commit) + count(actions, &Action::Tell(News::Stopping));
        let wanted = self.scene.state.current.wanted;
        let of_it = |key: &Key| {
            let (generation, number, _, life) = self.workers[key];
            let counts = number <= wanted && life != Life::Asked;
            generation == serving && (all > 0 || counts)
        };
        let drained: Vec<Key> = drained(actions).into_iter().filter(of_it).collect();
        let released = self.scene.state.current.released.len().saturating_sub(released);
        if let (0, 0, [old, more @ ..]) = (all, released, &drained[..]) {
            let succeeds = |(key, new): (&Key, &(Generation, u32, usize, Life))| {
                let same = (new.0, new.1) == (serving, self.workers[old].1);
                key > old && same && new.3 == Life::Serves
            };
            assert!(more.is_empty() && self.workers.iter().any(succeeds), "{actions:?}");
        }
    }

    /// What was there before serves on, or as many as there are to be; and no more processes are
    /// started than both generations and the overlap allow.
    fn check_capacity(&self, before: usize, actions: &[Action]) {
        let state = &self.scene.state;
        if state.is_stopping() {
            return;
        }
        let wanted = state.current.wanted as usize;
        assert!(self.serving() >= before.min(wanted), "fewer serve: {actions:?}\n{state:?}");
        let (next, overlap) = match &state.next {
            Some(team) => (team.wanted as usize, team.plan.overlap as usize),
            None => (0, state.current.plan.overlap as usize),
        };
        let lasting = self.lasting();
        let renewed = usize::from(state.renewal.is_under_way());
        let most = wanted.max(next) + overlap + renewed + self.left_over();
        assert!(self.resized || lasting <= most, "{lasting} of {most}: {state:?}");
    }

    /// Workers of abandoned generations that serve beyond the places they took: none, but one may be
    /// forked in the place of one that has just died.
    fn left_over(&self) -> usize {
        let state = &self.scene.state;
        let known = |worker: &Worker| state.teams().any(|t| t.generation == worker.generation);
        let standing = state.workers().values().filter(|w| !w.is_draining() && !known(w)).count();
        let filled: usize = state.teams().map(|team| state.ready(team.generation)).sum();
        let missing = (state.current.wanted as usize).saturating_sub(filled);
        assert!(standing <= missing, "{standing} stand in for {missing}: {state:?}");
        standing
    }

    fn check_workers(&self) {
        let known = self.scene.state.workers();
        assert!(known.keys().eq(self.workers.keys()), "{known:?}");
        let slots: BTreeSet<usize> = known.values().map(|worker| worker.slot).collect();
        assert_eq!(slots.len(), known.len());
        let lasting = || known.values().filter(|worker| !worker.is_draining());
        let names: BTreeSet<_> = lasting().map(|w| (w.generation, w.number)).collect();
        let successors = lasting().count() - names.len();
        assert!(successors <= 1, "two replacements at once: {known:?}");
        if successors == 1 {
            let twins = |one: &Worker| {
                let same = |w: &&Worker| (w.generation, w.number) == (one.generation, one.number);
                lasting().filter(same).map(|worker| worker.phase).collect::<Vec<_>>()
            };
            let pair = lasting().map(twins).find(|phases| phases.len() == 2);
            assert_eq!(pair, Some(vec![WorkerPhase::Ready, WorkerPhase::Starting]));
        }
    }

    fn pick(&self, whom: u8, life: Option<Life>) -> Option<Key> {
        let fits = |found: Life| life.is_none_or(|life| life == found);
        let keys: Vec<Key> =
            self.workers.iter().filter(|(_, worker)| fits(worker.3)).map(|(key, _)| *key).collect();
        keys.get(usize::from(whom) % keys.len().max(1)).copied()
    }

    fn import(&mut self, whom: u8) {
        let waiting: Vec<_> =
            self.templates.iter_mut().filter(|(_, imported)| !**imported).collect();
        let index = usize::from(whom) % waiting.len().max(1);
        if let Some((generation, imported)) = waiting.into_iter().nth(index) {
            *imported = true;
            let generation = *generation;
            self.happen(Event::Imported(generation));
        }
    }

    /// With a last word or without. Whom it has not forked yet will not be.
    fn lose_template(&mut self, whom: u8, word: bool) {
        let index = usize::from(whom) % self.templates.len().max(1);
        let Some(generation) = self.templates.keys().nth(index).copied() else { return };
        self.templates.remove(&generation);
        if word {
            self.happen(Event::TemplateFailed(generation, why()));
        }
        self.happen(Event::TemplateGone(generation, "was killed".into()));
    }

    fn fail_fork(&mut self, whom: u8) {
        let Some(key) = self.pick(whom, Some(Life::Asked)) else { return };
        self.workers.remove(&key);
        self.happen(Event::ForkFailed(key, "EAGAIN".into()));
    }

    fn advance(&mut self, whom: u8, from: Life, to: Life) {
        let Some(key) = self.pick(whom, Some(from)) else { return };
        self.workers.get_mut(&key).unwrap().3 = to;
        self.happen(match to {
            Life::Drains => Event::WorkerDraining(key),
            Life::Asked | Life::Serves => Event::WorkerReady(key),
        });
    }

    fn fail_worker(&mut self, whom: u8) {
        let Some(key) = self.pick(whom, Some(Life::Asked)) else { return };
        self.happen(Event::WorkerFailed(key, why()));
        self.workers.remove(&key);
        self.happen(Event::WorkerExited(key, Exit::Code(1)));
    }

    fn exit(&mut self, whom: u8) {
        let Some(key) = self.pick(whom, None) else { return };
        self.workers.remove(&key);
        self.happen(Event::WorkerExited(key, KILLED));
    }

    /// One that was told to leave does.
    fn leave(&mut self) {
        let mut workers = self.scene.state.workers().iter();
        let Some(key) = workers.find(|(_, worker)| worker.is_draining()).map(|(key, _)| *key)
        else {
            return;
        };
        self.workers.remove(&key);
        self.happen(Event::WorkerExited(key, Exit::Code(0)));
    }

    fn retire(&mut self, whom: u8) {
        let Some(key) = self.pick(whom, Some(Life::Serves)) else { return };
        self.happen(Event::Retire(key, "it is old".into()));
    }

    /// Whether everybody serves, and nobody else is asked for.
    fn is_settled(&self) -> bool {
        let State { current, .. } = &self.scene.state;
        let serves = self.scene.state.ready(current.generation);
        self.scene.state.can_reload()
            && current.template == Template::Imported
            && serves == current.wanted as usize
            && self.scene.state.lasting(current.generation) == self.lasting()
            && current.released.is_empty()
            && self.workers.values().all(|worker| worker.3 != Life::Asked)
    }

    fn lasting(&self) -> usize {
        self.scene.state.workers().values().filter(|worker| !worker.is_draining()).count()
    }

    /// From now on all goes well. Every worker that serves then asks to be replaced, and is.
    fn renew_all(&mut self) {
        if self.scene.state.current.wanted == 0 {
            self.want(1);
        }
        let mut rounds = 0;
        while !self.is_settled() {
            self.import(0);
            self.advance(0, Life::Asked, Life::Serves);
            self.pass_until_due();
            rounds += 1;
            assert!(rounds < 200, "it does not come to rest: {:?}", self.scene.state);
        }
        let old: Vec<Key> = self.workers.keys().copied().collect();
        for key in &old {
            self.happen(Event::Retire(*key, "it is old".into()));
        }
        for _ in 0..=2 * old.len() {
            // Who was asked for serves before anybody loses patience.
            self.advance(0, Life::Asked, Life::Serves);
            self.leave();
            self.pass_until_due();
        }
        let state = &self.scene.state;
        for key in old {
            let stays = state.workers().get(&key).is_some_and(|worker| !worker.is_draining());
            assert!(!stays, "{key} was not replaced: {state:?}");
        }
        assert!(state.ready(state.generation()) > 0);
    }

    fn want(&mut self, whom: u8) {
        let wanted = u32::from(whom % 6);
        if whom >= 128 {
            self.asked += 1;
            return self.happen(Event::Scale(wanted.max(1), self.asked));
        }
        self.happen(Event::Want(wanted, "so it is".into()));
        if self.scene.state.can_reload() {
            assert_eq!(self.scene.state.current.wanted, wanted);
        }
    }

    fn begin_round(&mut self) {
        self.asked += 1;
        self.happen(Event::ReloadWorkers(Some(self.asked)));
    }

    fn reload(&mut self, whom: u8) {
        self.scene.plan = Plan::fixed(u32::from(whom % 4) + 1, MERCY);
        self.scene.plan.patience =
            [None, Some(Duration::from_secs(30))][usize::from(whom / 12 % 2)];
        self.scene.plan.overlap = [1, 2, u32::MAX][usize::from(whom / 4 % 3)];
        self.asked += 1;
        self.happen(Event::Reload(Some(self.asked)));
    }

    fn pause(&mut self, whom: u8) {
        self.asked += 1;
        let until = if whom.is_multiple_of(2) { Until::Paused } else { Until::Drained };
        self.happen(Event::Pause(Some((self.asked, until))));
    }

    fn resume(&mut self) {
        self.asked += 1;
        self.happen(Event::Resume(Some(self.asked)));
    }

    /// A worker says that it is paused, or was.
    fn obey(&mut self, whom: u8) {
        let Some(key) = self.pick(whom, None) else { return };
        let number = self.pause.unwrap_or(u64::from(whom));
        self.happen(Event::WorkerPaused(key, number, u64::from(whom % 2)));
    }

    fn pass(&mut self, time: Duration) {
        self.scene.now += time;
        self.happen(Event::Tick);
    }

    fn pass_until_due(&mut self) {
        let now = self.scene.now;
        let due = self.scene.state.deadline().unwrap_or(now);
        self.pass(due.saturating_sub(now));
    }

    fn be_impossible(&mut self, whom: u8) {
        let (key, generation) = (self.last_key + 1 + u64::from(whom), 1000);
        let events = [
            Event::Imported(generation),
            Event::TemplateFailed(generation, why()),
            Event::TemplateGone(generation, "left".into()),
            Event::ForkFailed(key, "EAGAIN".into()),
            Event::WorkerReady(key),
            Event::WorkerFailed(key, why()),
            Event::WorkerDraining(key),
            Event::Retire(key, "it is old".into()),
            Event::WorkerExited(key, KILLED),
        ];
        for event in events {
            assert_eq!(self.scene.step(event), []);
        }
    }

    /// Stops it if it has not ended, lets everybody leave, and expects the end exactly once.
    fn end(mut self) -> Option<Outcome> {
        if !self.scene.state.is_stopping() {
            self.happen(Event::Stop);
        }
        while !self.workers.is_empty() {
            self.exit(0);
        }
        self.happen(Event::Stop);
        assert_eq!(self.ends.len(), 1, "{:?}", self.ends);
        assert_eq!(self.answered, (1..=self.asked).collect());
        assert_eq!(self.reloads[0], self.reloads[1] + self.reloads[2]);
        self.ends.pop()
    }
}

proptest! {
    #![proptest_config(ProptestConfig {
        cases: 1500,
        failure_persistence: None,
        ..ProptestConfig::default()
    })]

    #[test]
    fn whatever_happens_it_stays_in_order_and_ends_once(
        processes in 1u32..5,
        moves in prop::collection::vec((0u8..30, any::<u8>()), 0..=60),
    ) {
        let mut world = World::new(processes);
        moves.into_iter().for_each(|one| world.play(one));
        world.end();
    }

    #[test]
    fn whatever_happens_to_an_instance_that_serves_it_stops_as_asked(
        processes in 1u32..5,
        moves in prop::collection::vec((0u8..30, any::<u8>()), 0..=60),
    ) {
        let mut world = World::new(processes);
        world.import(0);
        (0..processes).for_each(|_| world.advance(0, Life::Asked, Life::Serves));
        moves.into_iter().for_each(|one| world.play(one));
        prop_assert_eq!(world.end(), Some(Outcome::Stopped));
    }

    #[test]
    fn whatever_has_happened_who_asks_to_be_replaced_is(
        processes in 1u32..5,
        moves in prop::collection::vec((0u8..30, any::<u8>()), 0..=60),
    ) {
        let mut world = World::new(processes);
        world.import(0);
        (0..processes).for_each(|_| world.advance(0, Life::Asked, Life::Serves));
        moves.into_iter().for_each(|one| world.play(one));
        if !world.scene.state.is_stopping() {
            world.renew_all();
        }
        prop_assert_eq!(world.end(), Some(Outcome::Stopped));
    }
}
