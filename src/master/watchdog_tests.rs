use super::*;

const STEP: Duration = Duration::from_secs(10);

fn seconds(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

fn watchdog() -> Watchdog {
    Watchdog::new(Some(STEP * LOOKS), Duration::ZERO, 0)
}

/// Looks at these times; who answers after each look, and with what.
fn look(
    dog: &mut Watchdog,
    times: &[u64],
    asked: &[Key],
    answers: &[(Key, Part)],
) -> Vec<Findings> {
    let mut all = Vec::new();
    for time in times {
        all.push(dog.look(STEP, seconds(*time), asked, MISSES));
        answers.iter().for_each(|(key, part)| dog.hear(*key, *part));
    }
    all
}

fn both(key: Key) -> [(Key, Part); 2] {
    [(key, Part::Loop), (key, Part::Python)]
}

#[test]
fn who_answers_is_well_and_so_is_an_instance_without_workers() {
    let mut dog = watchdog();
    let found = look(&mut dog, &[0, 10, 20, 30, 40], &[1], &both(1));
    assert_eq!(found, [const { Findings { loops: vec![], pythons: vec![], none: false } }; 5]);
    assert_eq!(look(&mut dog, &[50], &[], &[]), [Findings::default()]);
}

#[test]
fn a_loop_has_two_looks_to_answer() {
    let mut dog = watchdog();
    let found = look(&mut dog, &[0, 10, 20], &[1, 2], &both(2));
    let loops: Vec<_> = found.iter().map(|found| found.loops.clone()).collect();
    assert_eq!(loops, [vec![], vec![], vec![1]]);
    assert!(!found[2].none, "the other one serves");
}

#[test]
fn one_python_that_does_not_answer_is_told_once() {
    let mut dog = watchdog();
    let answers = [both(1).to_vec(), vec![(2, Part::Loop)]].concat();
    let found = look(&mut dog, &[0, 10, 20, 30, 40], &[1, 2], &answers);
    let pythons: Vec<_> = found.iter().map(|found| found.pythons.clone()).collect();
    assert_eq!(pythons, [vec![], vec![], vec![2], vec![], vec![]]);
    assert!(found.iter().all(|found| !found.none && found.loops.is_empty()));
}

#[test]
fn no_python_at_all_is_the_end_until_one_answers() {
    let mut dog = watchdog();
    let answers = [(1, Part::Loop), (2, Part::Loop)];
    let found = look(&mut dog, &[0, 10, 20, 30], &[1, 2], &answers);
    assert_eq!(found.iter().map(|f| f.none).collect::<Vec<_>>(), [false, false, true, true]);
    dog.hear(2, Part::Python);
    assert!(!dog.look(STEP, seconds(40), &[1, 2], MISSES).none);
}

#[test]
fn a_new_worker_is_given_its_time() {
    let mut dog = watchdog();
    look(&mut dog, &[0, 10], &[1], &[(1, Part::Loop)]);
    assert!(!dog.look(STEP, seconds(20), &[1, 2], MISSES).none);
}

#[test]
fn workers_that_are_to_be_replaced_are_not_the_end() {
    let mut dog = watchdog();
    let found = look(&mut dog, &[0, 10, 20], &[1, 2], &[]);
    assert_eq!((found[2].loops.as_slice(), found[2].none), (&[1, 2][..], false));
    dog.watched.values_mut().for_each(|watched| watched.condemned = true);
    assert_eq!(look(&mut dog, &[30], &[1, 2], &[]), [Findings::default()]);
}

#[test]
fn time_in_which_nobody_looked_does_not_count() {
    let mut dog = watchdog();
    // Stopped after the first question, for an hour, and again.
    let found = look(&mut dog, &[0, 3600, 7200, 7210], &[1], &[]);
    assert_eq!(found, [const { Findings { loops: vec![], pythons: vec![], none: false } }; 4]);
    let found = look(&mut dog, &[7220], &[1], &[]);
    assert_eq!(found[0].loops, [1]);
}

#[test]
fn nobody_is_judged_by_less_than_a_second() {
    assert_eq!(
        [50, 300, 500, 30_000].map(|step| misses(Duration::from_millis(step))),
        [20, 4, 2, 2]
    );
    let step = SHORTEST;
    let mut dog = Watchdog::new(Some(step * LOOKS), Duration::ZERO, 0);
    let mut found = (0..=20).map(|look| dog.look(step, step * look, &[1], misses(step)).loops);
    assert!(found.by_ref().take(20).all(|loops| loops.is_empty()));
    assert_eq!(found.next(), Some(vec![1]));
}

#[test]
fn without_a_watchdog_there_is_nothing_to_do() {
    let mut dog = Watchdog::new(None, Duration::ZERO, 0);
    dog.hear(1, Part::Loop);
    assert_eq!((dog.due(), dog.silent()), (None, None));
    let dog = Watchdog::new(Some(Duration::from_micros(1)), Duration::ZERO, 0);
    assert_eq!(dog.step, Some(SHORTEST));
}

#[test]
fn what_waits_for_stacks_comes_when_they_are_written() {
    let mut dog = watchdog();
    dog.sentences =
        vec![(seconds(2), Sentence::Trigger), (seconds(1), Sentence::Kill(1, "x".into()))];
    dog.next = seconds(9);
    assert_eq!(dog.due(), Some(seconds(1)));
    assert_eq!(dog.take_due(seconds(1)), [Sentence::Kill(1, "x".into())]);
    assert_eq!((dog.due(), dog.take_due(seconds(1))), (Some(seconds(2)), vec![]));
}

#[test]
fn who_has_answered_before_the_first_look_can_say_where_it_hangs() {
    let mut dog = watchdog();
    both(1).into_iter().for_each(|(key, part)| dog.hear(key, part));
    dog.look(STEP, seconds(0), &[1], MISSES);
    assert!(dog.watched.get(&1).is_some_and(|watched| watched.dumps));
}
