//! Pauses, sentence by sentence.

use super::*;

fn pause(scene: &mut Scene, ticket: Ticket, until: Until) -> Vec<Action> {
    scene.step(Event::Pause(Some((ticket, until))))
}

fn paused(scene: &mut Scene, key: Key, running: u64) -> Vec<Action> {
    scene.step(Event::WorkerPaused(key, 1, running))
}

fn answer(ticket: Ticket, text: &str) -> Action {
    Action::Answer(ticket, Ok(text.into()))
}

fn denial(ticket: Ticket, text: &str) -> Action {
    Action::Answer(ticket, Err(text.into()))
}

#[test]
fn it_is_answered_when_every_worker_obeys() {
    let mut scene = Scene::serving(2);
    let begins = [Action::Pause(1), Action::Tell(News::Paused)];
    assert_eq!(pause(&mut scene, 7, Until::Paused), begins);
    assert_eq!(paused(&mut scene, 1, 2), []);
    assert_eq!(paused(&mut scene, 2, 1), [answer(7, "paused: 3 requests still run")]);
    assert_eq!(scene.state.paused(), Some((1, Duration::ZERO)));
}

#[test]
fn a_drain_is_answered_when_nothing_runs() {
    let mut scene = Scene::serving(2);
    pause(&mut scene, 7, Until::Drained);
    paused(&mut scene, 1, 1);
    assert_eq!(paused(&mut scene, 2, 0), []);
    assert_eq!(paused(&mut scene, 1, 0), [answer(7, "drained: 0 requests run")]);
}

#[test]
fn a_second_pause_joins_the_first() {
    let mut scene = Scene::serving(1);
    pause(&mut scene, 7, Until::Drained);
    assert_eq!(pause(&mut scene, 8, Until::Paused), []);
    assert_eq!(paused(&mut scene, 1, 1), [answer(8, "paused: 1 request still runs")]);
    assert_eq!(paused(&mut scene, 1, 0), [answer(7, "drained: 0 requests run")]);
    assert_eq!(pause(&mut scene, 9, Until::Drained), [answer(9, "drained: 0 requests run")]);
}

#[test]
fn what_is_said_of_an_earlier_pause_does_not_count() {
    let mut scene = Scene::serving(1);
    pause(&mut scene, 7, Until::Paused);
    scene.step(Event::Resume(None));
    assert_eq!(count(&pause(&mut scene, 8, Until::Paused), &Action::Pause(2)), 1);
    assert_eq!(paused(&mut scene, 1, 0), []);
    let answered = scene.step(Event::WorkerPaused(1, 2, 0));
    assert_eq!(answered, [answer(8, "paused: 0 requests still run")]);
}

#[test]
fn a_worker_that_dies_is_not_waited_for_and_its_successor_is_born_into_the_pause() {
    let mut scene = Scene::serving(2);
    pause(&mut scene, 7, Until::Drained);
    paused(&mut scene, 2, 0);
    let actions = scene.step(Event::WorkerExited(1, KILLED));
    assert_eq!(forked(&actions), [3]);
    assert_eq!(actions.last(), Some(&answer(7, "drained: 0 requests run")));
}

#[test]
fn a_resume_ends_it_and_tells_who_waits() {
    let mut scene = Scene::serving(1);
    pause(&mut scene, 7, Until::Drained);
    scene.now = seconds(30);
    let ends = [
        Action::Resume,
        Action::Tell(News::Resumed(seconds(30))),
        denial(7, "it was resumed meanwhile"),
        answer(8, "resumed"),
    ];
    assert_eq!(scene.step(Event::Resume(Some(8))), ends);
    assert_eq!(scene.step(Event::Resume(Some(9))), [answer(9, "it was not paused")]);
}

#[test]
fn a_reload_comes_and_goes_meanwhile_and_mercy_begins_with_the_end_of_the_pause() {
    let (mut scene, new) = Scene::reloading(1, 1);
    pause(&mut scene, 8, Until::Paused);
    let actions = scene.step(Event::WorkerReady(new[0]));
    assert_eq!(drained(&actions), [1]);
    assert_eq!(scene.state.deadline(), None);
    assert_eq!(scene.tick_at(seconds(1000)), []);
    scene.step(Event::Resume(None));
    assert_eq!(scene.state.deadline(), Some(seconds(1000) + MERCY + GRACE));
    assert_eq!(killed(&scene.tick_when_due()), [1]);
}

#[test]
fn a_stop_refuses_what_is_held_and_is_not_delayed() {
    let mut scene = Scene::serving(1);
    pause(&mut scene, 7, Until::Drained);
    let actions = scene.step(Event::Stop);
    let position = |action: &Action| actions.iter().position(|one| one == action).unwrap();
    let drain = Action::Drain { key: 1, linger: STOP_LINGER };
    assert!(position(&Action::Refuse) < position(&drain), "{actions:?}");
    assert_eq!(count(&actions, &denial(7, "the instance is stopping")), 1);
    assert_eq!(scene.state.deadline(), Some(MERCY + GRACE));
    assert_eq!(pause(&mut scene, 8, Until::Paused), [denial(8, "the instance is stopping")]);
    let denied = scene.step(Event::Resume(Some(9)));
    assert_eq!(denied, [denial(9, "the instance is stopping")]);
}
