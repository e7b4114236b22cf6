//! Replacing workers that serve, sentence by sentence.

use super::*;

fn retire(scene: &mut Scene, key: Key) -> Vec<Action> {
    scene.step(Event::Retire(key, "it is old".into()))
}

/// Two workers, of which the second is being replaced by worker 3.
fn replacing() -> Scene {
    let mut scene = Scene::serving(2);
    let replaced = Action::Tell(News::Replacing(2, "it is old".into()));
    let fork = Action::Fork { generation: 1, key: 3, number: 2, slot: 2 };
    assert_eq!(retire(&mut scene, 2), [replaced, fork]);
    scene
}

/// Those that serve.
fn ready(scene: &Scene) -> Vec<Key> {
    let workers = scene.state.workers().iter();
    let ready = workers.filter(|(_, worker)| worker.phase == WorkerPhase::Ready);
    ready.map(|(key, _)| *key).collect()
}

fn failure_of(actions: &[Action]) -> Option<(&str, u64)> {
    actions.iter().find_map(|action| match action {
        Action::Tell(News::ReplacementFailed(2, how, delay)) => Some((&**how, delay.as_secs())),
        _ => None,
    })
}

#[test]
fn the_old_one_leaves_when_the_new_one_serves_and_not_before() {
    let mut scene = replacing();
    assert_eq!(ready(&scene), [1, 2]);
    let drain = Action::Drain { key: 2, linger: RELOAD_LINGER };
    assert_eq!(scene.step(Event::WorkerReady(3)), [Action::Tell(News::WorkerReady(3)), drain]);
    assert_eq!(ready(&scene), [1, 3]);
    let left = Action::Tell(News::WorkerLeft(2, Exit::Code(0)));
    assert_eq!(scene.step(Event::WorkerDraining(2)), []);
    assert_eq!(scene.step(Event::WorkerExited(2, Exit::Code(0))), [left, Action::Forget(2)]);
}

#[test]
fn an_old_one_that_does_not_leave_is_killed_as_any_other() {
    let mut scene = replacing();
    scene.step(Event::WorkerReady(3));
    assert_eq!(scene.state.deadline(), Some(MERCY + GRACE));
    assert_eq!(killed(&scene.tick_at(MERCY + GRACE)), [2]);
}

#[test]
fn one_at_a_time_in_the_order_in_which_they_asked() {
    let mut scene = Scene::serving(3);
    assert_eq!(forked(&retire(&mut scene, 2)), [4]);
    assert_eq!(retire(&mut scene, 3), []);
    assert_eq!(retire(&mut scene, 1), []);
    let actions = scene.step(Event::WorkerReady(4));
    assert_eq!((drained(&actions), forked(&actions)), (vec![2], vec![5]));
    let actions = scene.step(Event::WorkerReady(5));
    assert_eq!((drained(&actions), forked(&actions)), (vec![3], vec![6]));
    let actions = scene.step(Event::WorkerReady(6));
    assert_eq!((drained(&actions), forked(&actions)), (vec![1], vec![]));
    assert_eq!(ready(&scene), [4, 5, 6]);
}

#[test]
fn who_asks_twice_is_replaced_once() {
    let mut scene = replacing();
    assert_eq!(retire(&mut scene, 2), []);
    assert_eq!(retire(&mut scene, 1), []);
    assert_eq!(retire(&mut scene, 1), []);
    assert_eq!(forked(&scene.step(Event::WorkerReady(3))), [4]);
    assert_eq!(retire(&mut scene, 2), []);
    assert!(forked(&scene.step(Event::WorkerReady(4))).is_empty());
}

#[test]
fn who_does_not_serve_is_not_replaced() {
    let mut scene = replacing();
    assert_eq!(retire(&mut scene, 3), []);
    scene.step(Event::WorkerDraining(1));
    assert_eq!(retire(&mut scene, 1), []);
    assert_eq!(retire(&mut scene, 99), []);
    scene.step(Event::WorkerReady(3));
    assert!(forked(&scene.step(Event::WorkerReady(4))).is_empty());
}

#[test]
fn a_successor_that_fails_leaves_the_old_one_serving_and_the_next_attempts_wait_ever_longer() {
    let mut scene = replacing();
    let (mut key, mut waits) = (3, Vec::new());
    for _ in 0..7 {
        let failed = scene.now;
        let actions = scene.step(Event::WorkerExited(key, Exit::Code(1)));
        assert_eq!((drained(&actions), forked(&actions)), (vec![], vec![]));
        let (how, wait) = failure_of(&actions).unwrap();
        assert_eq!((how, ready(&scene)), ("exited with code 1", vec![1, 2]));
        let due = scene.state.deadline().unwrap();
        assert_eq!(scene.tick_at(due - Duration::from_millis(1)), []);
        key = forked(&scene.tick_at(due))[0];
        assert_eq!((scene.now - failed).as_secs(), wait);
        waits.push(wait);
    }
    assert_eq!(waits, [1, 2, 4, 8, 16, 30, 30]);
    assert_eq!(drained(&scene.step(Event::WorkerReady(key))), [2]);
    assert_eq!(ready(&scene), [1, key]);
}

#[test]
fn a_successor_that_takes_long_to_fail_has_failed_all_the_same() {
    let mut scene = replacing();
    let (mut key, mut waits) = (3, Vec::new());
    for _ in 0..4 {
        scene.tick_at(scene.now + Duration::from_secs(60));
        let actions = scene.step(Event::WorkerExited(key, Exit::Code(1)));
        waits.push(failure_of(&actions).unwrap().1);
        key = forked(&scene.tick_when_due())[0];
    }
    assert_eq!(waits, [1, 2, 4, 8]);
    // It says nothing of those that serve: when one dies, it is replaced at once.
    scene.step(Event::WorkerReady(key));
    let actions = scene.step(Event::WorkerExited(key, Exit::Code(1)));
    assert_eq!(forked(&actions).len(), 1);
}

#[test]
fn no_more_leave_at_a_time_than_twice_those_that_serve() {
    let mut scene = Scene::serving(1);
    for old in [1, 2] {
        assert_eq!(forked(&retire(&mut scene, old)), [old + 1]);
        assert_eq!(drained(&scene.step(Event::WorkerReady(old + 1))), [old]);
    }
    assert_eq!(retire(&mut scene, 3), []);
    let actions = scene.step(Event::WorkerExited(1, Exit::Code(0)));
    assert_eq!(forked(&actions), [4]);
}

#[test]
fn a_successor_that_cannot_serve_or_cannot_be_forked_or_is_told_to_leave_has_failed() {
    let mut scene = replacing();
    let actions = scene.step(Event::WorkerFailed(3, why()));
    assert_eq!(failure_of(&actions), Some(("failed: no module named shop", 1)));
    assert_eq!((&actions[0], drained(&actions)), (&Action::Tell(News::Trouble(why())), vec![3]));
    let left = Action::Tell(News::WorkerLeft(3, Exit::Code(70)));
    assert_eq!(scene.step(Event::WorkerExited(3, Exit::Code(70))), [left, Action::Forget(3)]);
    let mut scene = replacing();
    let actions = scene.step(Event::ForkFailed(3, "EAGAIN".into()));
    assert_eq!(failure_of(&actions), Some(("could not be forked", 1)));
    assert_eq!(count(&actions, &Action::Forget(3)), 1);
    let mut scene = replacing();
    let actions = scene.step(Event::WorkerDraining(3));
    assert_eq!(failure_of(&actions), Some(("was told to leave", 1)));
    assert_eq!(scene.step(Event::WorkerExited(3, Exit::Code(0))).len(), 2);
    assert_eq!(forked(&scene.tick_when_due()), [4]);
}

#[test]
fn a_successor_that_fails_lets_the_others_go_first() {
    let mut scene = replacing();
    retire(&mut scene, 1);
    scene.step(Event::WorkerExited(3, KILLED));
    let actions = scene.tick_when_due();
    assert!(matches!(actions[1], Action::Fork { key: 4, number: 1, .. }), "{actions:?}");
}

#[test]
fn an_old_one_that_dies_or_drains_meanwhile_has_its_successor_already() {
    let mut scene = replacing();
    let died = Action::Tell(News::WorkerDied(2, KILLED, Duration::ZERO));
    assert_eq!(scene.step(Event::WorkerExited(2, KILLED)), [died, Action::Forget(2)]);
    assert_eq!(scene.step(Event::WorkerReady(3)), [Action::Tell(News::WorkerReady(3))]);
    let mut scene = replacing();
    assert_eq!(scene.step(Event::WorkerDraining(2)), []);
    assert_eq!(scene.step(Event::WorkerReady(3)), [Action::Tell(News::WorkerReady(3))]);
}

#[test]
fn a_successor_that_dies_after_the_old_one_is_missing_as_any_other() {
    let mut scene = replacing();
    scene.step(Event::WorkerExited(2, KILLED));
    let actions = scene.step(Event::WorkerExited(3, KILLED));
    assert_eq!(count(&actions, &Action::Tell(News::WorkerDied(3, KILLED, seconds(1)))), 1);
    assert_eq!(forked(&scene.tick_when_due()), [4]);
}

#[test]
fn nobody_is_replaced_while_another_is_missing() {
    let mut scene = Scene::serving(2);
    let next = forked(&scene.step(Event::WorkerExited(1, KILLED)))[0];
    assert_eq!(retire(&mut scene, 2), []);
    let crashed = scene.step(Event::WorkerExited(next, KILLED));
    assert_eq!(forked(&crashed), [] as [Key; 0]);
    let next = forked(&scene.tick_when_due());
    assert_eq!(next.len(), 1);
    assert_eq!(forked(&scene.step(Event::WorkerReady(next[0]))).len(), 1);
}

#[test]
fn a_template_that_is_gone_delays_it_and_one_that_goes_meanwhile_fails_it() {
    let mut scene = Scene::serving(2);
    scene.step(Event::TemplateGone(1, "was killed".into()));
    assert_eq!(retire(&mut scene, 2), []);
    assert_eq!(scene.tick_when_due(), [Action::StartTemplate(1)]);
    assert_eq!(scene.state.deadline(), None);
    assert_eq!(forked(&scene.step(Event::Imported(1))), [3]);
    scene.step(Event::TemplateGone(1, "was killed".into()));
    assert!(failure_of(&scene.step(Event::WorkerExited(3, Exit::Unborn))).is_some());
    assert_eq!(ready(&scene), [1, 2]);
}

#[test]
fn a_reload_that_begins_meanwhile_replaces_all_and_nobody_twice() {
    let mut scene = replacing();
    retire(&mut scene, 1);
    scene.step(Event::Reload(Some(7)));
    assert_eq!(drained(&scene.step(Event::WorkerReady(3))), [2]);
    let (keys, actions) = scene.take_over();
    assert_eq!((drained(&actions), forked(&actions)), (vec![1, 3], vec![]));
    assert_eq!(ready(&scene), keys);
}

#[test]
fn a_reload_that_is_complete_first_ends_the_successor_too() {
    let mut scene = replacing();
    scene.step(Event::Reload(Some(7)));
    let (keys, actions) = scene.take_over();
    assert_eq!(drained(&actions), [1, 2, 3]);
    assert_eq!(scene.step(Event::WorkerReady(3)), []);
    let left = Action::Tell(News::WorkerLeft(3, KILLED));
    assert_eq!(scene.step(Event::WorkerExited(3, KILLED)), [left, Action::Forget(3)]);
    assert_eq!(forked(&retire(&mut scene, keys[0])).len(), 1);
}

#[test]
fn a_new_generation_does_not_wait_because_the_old_one_failed() {
    let mut scene = replacing();
    scene.step(Event::WorkerExited(3, KILLED));
    scene.step(Event::Reload(Some(7)));
    let (keys, _) = scene.take_over();
    assert_eq!(forked(&retire(&mut scene, keys[0])).len(), 1);
}

#[test]
fn a_reload_that_fails_lets_replacements_go_on() {
    let (mut scene, keys) = Scene::reloading(1, 2);
    assert_eq!(retire(&mut scene, 1), []);
    scene.step(Event::WorkerReady(keys[0]));
    assert_eq!(retire(&mut scene, keys[0]), []);
    let actions = scene.step(Event::WorkerExited(keys[1], KILLED));
    assert_eq!(forked(&actions).len(), 1, "{actions:?}");
    assert_eq!(count(&actions, &Action::Tell(News::Replacing(1, "it is old".into()))), 1);
}

#[test]
fn who_asks_before_its_generation_serves_is_replaced_then() {
    let (mut scene, keys) = Scene::reloading(1, 2);
    scene.step(Event::WorkerReady(keys[0]));
    assert_eq!(retire(&mut scene, keys[0]), []);
    let actions = scene.step(Event::WorkerReady(keys[1]));
    let replaced = Action::Tell(News::Replacing(keys[0], "it is old".into()));
    assert_eq!(count(&actions, &replaced), 1);
}

#[test]
fn a_stop_meanwhile_ends_both() {
    let mut scene = replacing();
    retire(&mut scene, 1);
    assert_eq!(drained(&scene.step(Event::Stop)), [1, 2, 3]);
    assert_eq!(scene.step(Event::WorkerReady(3)), []);
    assert_eq!(retire(&mut scene, 1), []);
    assert_eq!(exits(&scene.all_leave()), [&Outcome::Stopped]);
}
