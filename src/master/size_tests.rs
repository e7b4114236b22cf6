//! Other numbers of workers, sentence by sentence.

use super::*;

fn want(scene: &mut Scene, workers: u32) -> Vec<Action> {
    scene.step(Event::Want(workers, "the load".into()))
}

/// One to four workers; it has `first`.
fn elastic(first: u32) -> Scene {
    let mut scene = Scene::starting(1);
    let plan = Plan { least: 1, initial: first, ..Plan::fixed(4, MERCY) };
    scene.plan = plan;
    scene.state = State::start(plan, Duration::ZERO).0;
    let keys = forked(&scene.step(Event::Imported(1)));
    assert_eq!(keys.len(), first as usize);
    keys.into_iter().for_each(|key| drop(scene.step(Event::WorkerReady(key))));
    scene
}

fn numbers(scene: &Scene) -> Vec<u32> {
    let lasting = scene.state.workers().values().filter(|worker| !worker.is_draining());
    lasting.map(|worker| worker.number).collect()
}

#[test]
fn more_are_forked_and_the_highest_leave_without_successors() {
    let mut scene = elastic(2);
    let actions = want(&mut scene, 4);
    assert_eq!(actions[0], Action::Tell(News::Resized(2, 4, "the load".into())));
    assert_eq!((forked(&actions), numbers(&scene)), (vec![3, 4], vec![1, 2, 3, 4]));
    scene.step(Event::WorkerReady(3));
    // Whether it serves or is yet to come.
    assert_eq!(drained(&want(&mut scene, 2)), [3, 4]);
    for key in [3, 4] {
        let actions = scene.step(Event::WorkerExited(key, Exit::Code(0)));
        let left = Action::Tell(News::WorkerLeft(key, Exit::Code(0)));
        assert_eq!(actions, [left, Action::Forget(key)]);
    }
    assert_eq!((numbers(&scene), scene.state.deadline()), (vec![1, 2], None));
    assert_eq!(want(&mut scene, 2), []);
}

#[test]
fn a_number_whose_worker_still_leaves_is_filled_at_once() {
    let mut scene = elastic(2);
    assert_eq!(drained(&want(&mut scene, 1)), [2]);
    assert_eq!(forked(&want(&mut scene, 2)), [3]);
    scene.step(Event::WorkerExited(2, Exit::Code(0)));
    assert_eq!(numbers(&scene), [1, 2]);
}

#[test]
fn who_dies_is_missed_only_while_it_is_wanted_and_its_back_off_goes_on() {
    let mut scene = elastic(2);
    assert_eq!(forked(&scene.step(Event::WorkerExited(2, KILLED))), [3]);
    assert!(forked(&scene.step(Event::WorkerExited(3, KILLED))).is_empty());
    want(&mut scene, 1);
    assert_eq!(scene.state.deadline(), None);
    assert!(forked(&want(&mut scene, 2)).is_empty());
    assert_eq!(scene.state.deadline(), Some(seconds(1)));
    assert_eq!(forked(&scene.tick_at(seconds(1))), [4]);
}

#[test]
fn none_is_sleep_and_whoever_wakes_it_gets_workers() {
    let mut scene = elastic(2);
    assert_eq!(drained(&want(&mut scene, 0)), [1, 2]);
    scene.all_leave();
    assert_eq!((scene.state.deadline(), scene.state.can_reload()), (None, true));
    assert_eq!(forked(&want(&mut scene, 1)), [3]);
}

#[test]
fn a_cheap_instance_is_ready_when_its_template_is() {
    let plan = Plan { asleep: true, ..Plan::fixed(2, MERCY) };
    let mut scene = Scene::starting(1);
    (scene.plan, scene.state) = (plan, State::start(plan, Duration::ZERO).0);
    assert_eq!(scene.step(Event::Imported(1)), [Action::Tell(News::Ready)]);
    assert_eq!(forked(&want(&mut scene, 2)), [1, 2]);
}

#[test]
fn a_reload_has_as_many_as_there_were_and_wakes_who_sleeps() {
    for (now, then) in [(0, 2), (1, 2), (3, 3), (4, 4), (9, 4)] {
        let mut scene = elastic(2);
        want(&mut scene, now);
        scene.step(Event::Reload(Some(7)));
        assert_eq!(scene.take_over().0.len(), then, "{now}");
    }
}

#[test]
fn a_reload_that_goes_on_is_given_what_is_wanted_meanwhile() {
    let mut scene = elastic(2);
    scene.step(Event::Reload(Some(7)));
    assert_eq!(forked(&scene.step(Event::Imported(2))), [3]);
    assert_eq!(forked(&scene.step(Event::WorkerReady(3))), [4]);
    assert_eq!(forked(&want(&mut scene, 3)), [5, 6]);
    // Fewer are wanted: the new generation stays as it was announced.
    assert_eq!(drained(&want(&mut scene, 1)), [2, 5]);
    for key in [4, 6] {
        assert!(scene.state.is_reloading());
        scene.step(Event::WorkerReady(key));
    }
    assert_eq!((scene.state.generation(), scene.state.current.wanted), (2, 3));
}

#[test]
fn the_replacement_of_one_that_is_not_wanted_any_more_is_given_up() {
    let mut scene = elastic(3);
    assert_eq!(forked(&scene.step(Event::Retire(3, "it is old".into()))), [4]);
    assert_eq!(drained(&want(&mut scene, 2)), [3, 4]);
    scene.step(Event::WorkerReady(4));
    // The next one is not kept waiting.
    assert_eq!(forked(&scene.step(Event::Retire(2, "it is old".into()))), [5]);
}

#[test]
fn nothing_is_wanted_of_who_starts_or_stops() {
    let mut scene = Scene::starting(2);
    assert_eq!(want(&mut scene, 4), []);
    scene.step(Event::Stop);
    assert_eq!(want(&mut scene, 4), []);
}

mod scale {
    use super::*;

    fn scale(scene: &mut Scene, workers: u32) -> Vec<Action> {
        scene.step(Event::Scale(workers, 7))
    }

    fn answer(actions: &[Action]) -> Option<Result<&str, &str>> {
        actions.iter().find_map(|action| match action {
            Action::Answer(7, Ok(text)) => Some(Ok(&**text)),
            Action::Answer(7, Err(text)) => Some(Err(&**text)),
            _ => None,
        })
    }

    #[test]
    fn who_asks_is_answered_when_so_many_serve() {
        let mut scene = elastic(2);
        let actions = scale(&mut scene, 6);
        assert_eq!((forked(&actions), answer(&actions)), (vec![3, 4, 5, 6], None));
        for key in 3..6 {
            assert_eq!(answer(&scene.step(Event::WorkerReady(key))), None);
        }
        assert_eq!(answer(&scene.step(Event::WorkerReady(6))), Some(Ok("6 workers serve")));
        let actions = scale(&mut scene, 1);
        assert_eq!(
            (drained(&actions), answer(&actions)),
            (vec![2, 3, 4, 5, 6], Some(Ok("1 worker serves")))
        );
        assert_eq!(answer(&scale(&mut scene, 1)), Some(Ok("1 worker serves")));
    }

    #[test]
    fn it_is_the_fewest_until_a_reload() {
        let mut scene = elastic(2);
        scale(&mut scene, 6);
        assert_eq!(scene.state.bounds(), (6, 6, 6));
        scale(&mut scene, 3);
        assert_eq!(scene.state.bounds(), (3, 4, 3));
        scene.step(Event::Reload(None));
        let mut keys = forked(&scene.step(Event::Imported(2)));
        while let Some(key) = keys.pop() {
            keys.extend(forked(&scene.step(Event::WorkerReady(key))));
        }
        assert_eq!((scene.state.generation(), scene.state.bounds()), (2, (1, 4, 3)));
    }

    #[test]
    fn who_asks_is_told_what_is_in_the_way() {
        let mut scene = elastic(2);
        scale(&mut scene, 3);
        let actions = scene.step(Event::WorkerExited(3, KILLED));
        let died = answer(&actions).map(Result::unwrap_err);
        assert!(
            died.is_some_and(|why| why.starts_with("not 3 workers: a worker has died")),
            "{died:?}"
        );
        scene.step(Event::Reload(None));
        assert!(answer(&scale(&mut scene, 3)).is_some_and(|answer| answer.is_err()));
        scene.step(Event::TemplateFailed(2, why()));
        scale(&mut scene, 4);
        let other = scene.step(Event::Scale(3, 8));
        assert_eq!(answer(&other), Some(Err("not 4 workers: another number was asked for")));
        let stopped = scene.step(Event::Stop);
        assert_eq!(
            count(
                &stopped,
                &Action::Answer(8, Err("not 3 workers: the instance is stopping".into()))
            ),
            1
        );
        assert!(answer(&scale(&mut Scene::starting(1), 3)).is_some_and(|answer| answer.is_err()));
    }
}
