//! All workers replaced one after the other.

use super::*;

fn begun(processes: u32) -> (Scene, Key) {
    let mut scene = Scene::serving(processes);
    let new = forked(&scene.step(Event::ReloadWorkers(Some(7))));
    assert_eq!(new.len(), 1);
    (scene, new[0])
}

fn answer(actions: &[Action]) -> Option<&Result<String, String>> {
    actions.iter().find_map(|action| match action {
        Action::Answer(7, answer) => Some(answer),
        _ => None,
    })
}

#[test]
fn one_after_the_other_is_replaced_and_the_last_one_answers() {
    let (mut scene, new) = begun(2);
    let actions = scene.step(Event::WorkerReady(new));
    assert_eq!((drained(&actions), answer(&actions)), (vec![1], None));
    let new = forked(&actions)[0];
    let actions = scene.step(Event::WorkerReady(new));
    assert_eq!((drained(&actions), forked(&actions)), (vec![2], vec![]));
    assert_eq!(answer(&actions), Some(&Ok("2 workers were replaced".into())));
    assert_eq!(scene.state.generation(), 1);
}

#[test]
fn one_that_dies_meanwhile_is_replaced_that_way() {
    let (mut scene, new) = begun(2);
    scene.step(Event::WorkerReady(new));
    let actions = scene.step(Event::WorkerExited(2, KILLED));
    assert!(answer(&actions).is_some_and(Result::is_ok), "{actions:?}");
}

#[test]
fn a_successor_that_fails_ends_the_round_and_who_is_left_stays() {
    let (mut scene, new) = begun(3);
    let second = forked(&scene.step(Event::WorkerReady(new)))[0];
    let actions = scene.step(Event::WorkerFailed(second, why()));
    assert_eq!(drained(&actions), [second]);
    let Some(Err(what)) = answer(&actions) else { panic!("{actions:?}") };
    assert_eq!(
        what,
        "a new worker 2 failed: no module named shop; 2 of 3 workers were not replaced"
    );
    let left = Action::Tell(News::WorkerLeft(second, Exit::Code(70)));
    assert_eq!(
        scene.step(Event::WorkerExited(second, Exit::Code(70))),
        [left, Action::Forget(second)]
    );
    assert_eq!(forked(&scene.tick_at(seconds(1000))), [] as [Key; 0]);
    // It can be asked for again.
    assert_eq!(forked(&scene.step(Event::ReloadWorkers(None))).len(), 1);
}

#[test]
fn a_reload_meanwhile_completes_it_and_one_that_fails_lets_it_go_on() {
    let (mut scene, new) = begun(2);
    scene.step(Event::Reload(None));
    scene.step(Event::WorkerReady(new));
    let (_, last) = scene.take_over();
    assert!(answer(&last).is_some_and(Result::is_ok), "{last:?}");
    let (mut scene, new) = begun(2);
    scene.step(Event::Reload(None));
    assert!(forked(&scene.step(Event::WorkerReady(new))).is_empty());
    let actions = scene.step(Event::TemplateFailed(2, why()));
    assert_eq!(forked(&actions).len(), 1, "{actions:?}");
}

#[test]
fn who_starts_or_stops_has_nothing_to_replace() {
    let mut scene = Scene::starting(1);
    assert!(answer(&scene.step(Event::ReloadWorkers(Some(7)))).is_some_and(Result::is_err));
    let (mut scene, _) = begun(2);
    assert!(answer(&scene.step(Event::Stop)).is_some_and(Result::is_err));
    assert!(answer(&scene.step(Event::ReloadWorkers(Some(7)))).is_some_and(Result::is_err));
}
