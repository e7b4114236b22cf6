//! How a new generation takes over, and what becomes of one that fails midway.

use super::*;

/// Serving, with a reload to `then` workers that has imported, `overlap` of them at a time.
fn rolling(processes: u32, then: u32, overlap: u32) -> Scene {
    let mut scene = Scene::serving(processes);
    scene.plan = Plan { overlap, ..Plan::fixed(then, MERCY) };
    scene.step(Event::Reload(Some(7)));
    assert_eq!(forked(&scene.step(Event::Imported(2))).len(), 1, "the canary");
    scene
}

/// Each new worker serves as soon as it is asked for, to the end. How many serve and start after
/// each step, and how many of the old ones leave with each.
fn roll_on(scene: &mut Scene) -> Vec<(usize, usize, usize)> {
    let mut steps = Vec::new();
    while scene.state.is_reloading() {
        let starting = |w: &Worker| w.phase == WorkerPhase::Starting;
        let next = scene.state.workers().iter().find(|(_, w)| starting(w)).map(|(key, _)| *key);
        let actions = scene.step(Event::WorkerReady(next.expect("nobody starts")));
        let count = |phase| scene.state.workers().values().filter(|w| w.phase == phase).count();
        let counts = (count(WorkerPhase::Ready), count(WorkerPhase::Starting));
        steps.push((counts.0, counts.1, drained(&actions).len()));
    }
    steps
}

fn starting(scene: &Scene) -> Vec<(Generation, u32)> {
    let workers = scene.state.workers().values();
    let starting = workers.filter(|worker| worker.phase == WorkerPhase::Starting);
    starting.map(|worker| (worker.generation, worker.number)).collect()
}

fn serving(scene: &Scene) -> Vec<(Generation, u32)> {
    let workers = scene.state.workers().values();
    let serving = workers.filter(|worker| worker.phase == WorkerPhase::Ready);
    serving.map(|worker| (worker.generation, worker.number)).collect()
}

/// A reload of three workers, one at a time, of which the first two serve and took two places.
fn half_way() -> Scene {
    let mut scene = rolling(3, 3, 1);
    assert_eq!(drained(&scene.step(Event::WorkerReady(4))), [1]);
    assert_eq!(drained(&scene.step(Event::WorkerReady(5))), [2]);
    assert_eq!(serving(&scene), [(1, 3), (2, 1), (2, 2)]);
    assert_eq!(starting(&scene), [(2, 3)]);
    scene
}

#[test]
fn nobody_leaves_and_nobody_follows_before_the_first_one_serves() {
    let scene = rolling(4, 4, 4);
    assert_eq!(starting(&scene), [(2, 1)]);
    assert_eq!(serving(&scene).len(), 4);
}

#[test]
fn one_at_a_time_there_is_one_more_at_most_and_never_one_less() {
    assert_eq!(roll_on(&mut rolling(3, 3, 1)), [(3, 1, 1), (3, 1, 1), (3, 0, 1)]);
}

#[test]
fn two_at_a_time_there_are_two_more_at_most() {
    let steps = roll_on(&mut rolling(4, 4, 2));
    assert_eq!(steps, [(4, 2, 1), (4, 2, 1), (5, 1, 0), (4, 0, 2)]);
}

#[test]
fn all_at_a_time_the_old_ones_leave_together() {
    let steps = roll_on(&mut rolling(3, 3, u32::MAX));
    assert_eq!(steps, [(4, 2, 0), (5, 1, 0), (3, 0, 3)]);
}

#[test]
fn the_new_generation_may_have_fewer_workers_or_more() {
    assert_eq!(roll_on(&mut rolling(4, 2, 1)), [(4, 1, 1), (2, 0, 3)]);
    assert_eq!(roll_on(&mut rolling(2, 4, 1)), [(3, 1, 0), (4, 1, 0), (4, 1, 1), (4, 0, 1)]);
    assert_eq!(roll_on(&mut rolling(1, 1, 1)), [(1, 0, 1)]);
}

#[test]
fn an_old_number_that_nobody_has_makes_room_first() {
    let mut scene = rolling(2, 2, 1);
    scene.step(Event::TemplateGone(1, "was killed".into()));
    scene.step(Event::WorkerExited(2, KILLED));
    let actions = scene.step(Event::WorkerReady(3));
    assert_eq!((drained(&actions), forked(&actions).len()), (vec![], 1));
    assert_eq!(scene.state.current.released, BTreeSet::from([2]));
}

#[test]
fn old_code_that_keeps_dying_does_not_hold_up_the_reload_that_mends_it() {
    let mut scene = rolling(2, 2, 1);
    while scene.state.workers().values().any(|worker| worker.generation == 1) {
        let mut old = scene.state.workers().iter().filter(|(_, worker)| worker.generation == 1);
        let key = old.next().map(|(key, _)| *key).unwrap();
        scene.step(Event::WorkerExited(key, KILLED));
    }
    assert_eq!(roll_on(&mut scene).last(), Some(&(2, 0, 0)));
}

#[test]
fn a_worker_that_is_being_replaced_makes_room_together_with_its_successor() {
    let mut scene = Scene::serving(2);
    assert_eq!(forked(&scene.step(Event::Retire(1, "it is old".into()))), [3]);
    scene.plan = Plan { overlap: 1, ..Plan::fixed(2, MERCY) };
    scene.step(Event::Reload(Some(7)));
    scene.step(Event::Imported(2));
    assert_eq!(drained(&scene.step(Event::WorkerReady(4))), [1, 3]);
    assert_eq!(scene.step(Event::WorkerReady(3)), []);
    assert_eq!(roll_on(&mut scene).last(), Some(&(2, 0, 1)));
}

#[test]
fn a_failure_midway_has_the_old_places_filled_again_before_the_new_ones_leave() {
    let mut scene = half_way();
    scene.state.current.plan.overlap = 1;
    let actions = scene.step(Event::WorkerFailed(6, why()));
    assert_eq!((drained(&actions), count(&actions, &Action::Discard)), (vec![6], 1));
    assert_eq!(serving(&scene), [(1, 3), (2, 1), (2, 2)]);
    assert_eq!(starting(&scene), [(1, 1)]);
    let actions = scene.step(Event::WorkerReady(7));
    assert_eq!((drained(&actions), forked(&actions)), (vec![5], vec![8]));
    assert_eq!(drained(&scene.step(Event::WorkerReady(8))), [4]);
    assert_eq!(serving(&scene), [(1, 3), (1, 1), (1, 2)]);
    assert_eq!(scene.state.deadline(), Some(MERCY + seconds(5)), "only those that drain");
}

#[test]
fn who_stands_in_and_dies_has_a_place_filled_at_once() {
    let mut scene = half_way();
    scene.state.current.plan.overlap = 1;
    scene.step(Event::WorkerFailed(6, why()));
    let actions = scene.step(Event::WorkerExited(5, KILLED));
    assert!(matches!(actions[0], Action::Tell(News::WorkerDied(5, KILLED, Duration::ZERO))));
    assert_eq!(starting(&scene), [(1, 1), (1, 2)]);
    scene.step(Event::WorkerReady(7));
    scene.step(Event::WorkerReady(8));
    assert_eq!(serving(&scene), [(1, 3), (1, 1), (1, 2)]);
}

#[test]
fn a_reload_that_follows_at_once_takes_over_from_whoever_serves() {
    let mut scene = half_way();
    scene.step(Event::WorkerFailed(6, why()));
    scene.step(Event::TemplateGone(1, "was killed".into()));
    for key in [7, 8] {
        scene.step(Event::WorkerExited(key, KILLED));
    }
    // The old code cannot be imported any more: two stand in for as long as it takes.
    assert_eq!(serving(&scene), [(1, 3), (2, 1), (2, 2)]);
    scene.step(Event::Reload(Some(8)));
    scene.step(Event::Imported(3));
    assert_eq!(roll_on(&mut scene).last().map(|step| step.0), Some(3));
    assert_eq!(serving(&scene), [(3, 1), (3, 2), (3, 3)]);
}

#[test]
fn a_stop_midway_ends_everybody() {
    let mut scene = half_way();
    scene.step(Event::WorkerFailed(6, why()));
    let lasting = scene.state.workers().iter().filter(|(_, worker)| !worker.is_draining());
    let lasting: Vec<Key> = lasting.map(|(key, _)| *key).collect();
    assert_eq!(drained(&scene.step(Event::Stop)), lasting);
    assert_eq!(exits(&scene.all_leave()), [&Outcome::Stopped]);
}

#[test]
fn an_import_that_never_ends_is_given_up() {
    let mut scene = Scene::serving(2);
    scene.plan.patience = Some(seconds(60));
    scene.step(Event::Reload(Some(7)));
    assert_eq!(scene.state.deadline(), Some(seconds(65)));
    assert_eq!(scene.tick_at(seconds(64)), []);
    let actions = scene.tick_at(seconds(65));
    assert_eq!(count(&actions, &Action::LeaveTemplate(2)), 1);
    let refused = |action: &Action| matches!(action, Action::Answer(7, Err(why)) if why.contains("after 60 s"));
    assert!(actions.iter().any(refused), "{actions:?}");
    assert!(scene.state.can_reload());
}

#[test]
fn a_new_worker_that_never_serves_is_killed_and_ends_the_reload() {
    let mut scene = Scene::serving(1);
    scene.plan.patience = Some(seconds(60));
    scene.step(Event::Reload(Some(7)));
    scene.now = seconds(10);
    scene.step(Event::Imported(2));
    let actions = scene.tick_at(seconds(75));
    assert_eq!((killed(&actions), count(&actions, &Action::Discard)), (vec![2], 1));
    assert_eq!(serving(&scene), [(1, 1)]);
}

#[test]
fn a_successor_that_never_serves_is_killed_and_tried_again() {
    let mut scene = Scene::serving(1);
    scene.state.current.plan.patience = Some(seconds(60));
    scene.step(Event::WorkerExited(1, KILLED));
    assert_eq!(killed(&scene.tick_at(seconds(65))), [2]);
    assert_eq!(killed(&scene.tick_at(seconds(66))), [] as [Key; 0]);
    scene.step(Event::WorkerExited(2, KILLED));
    assert_eq!(forked(&scene.tick_when_due()), [3]);
}
