use super::*;

const fn at(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

fn spec(name: &str) -> DaemonSpec {
    DaemonSpec {
        name: name.into(),
        command: format!("run-{name}"),
        pidfile: None,
        freq: at(10),
        foreground: false,
        control: false,
        touch: Vec::new(),
        stop_signal: 15,
        reload_signal: None,
        notify: false,
        user: (None, None),
        chdir: None,
        max_throttle: None,
    }
}

fn smart(name: &str) -> DaemonSpec {
    DaemonSpec { pidfile: Some(format!("/run/{name}.pid").into()), ..spec(name) }
}

/// All of these, each started with a pid of 100 and its number.
fn running(specs: &[DaemonSpec]) -> Daemons {
    let mut daemons = Daemons::default();
    assert_eq!(daemons.change(specs, at(0)), []);
    for id in daemons.take_due(at(0)) {
        daemons.started(id, pid(id), at(0));
    }
    daemons
}

fn pid(id: Id) -> i32 {
    100 + i32::try_from(id).unwrap()
}

fn phases(daemons: &Daemons) -> Vec<Phase> {
    daemons.all().iter().map(|one| one.phase).collect()
}

#[test]
fn who_keeps_ending_is_started_ever_later_and_no_later_than_was_said() {
    let quick = DaemonSpec { max_throttle: Some(at(3)), ..spec("quick") };
    let mut daemons = running(&[spec("slow"), quick]);
    let mut waits = [Vec::new(), Vec::new()];
    for _ in 0..8 {
        for (id, waits) in (1..).zip(&mut waits) {
            waits.push(daemons.ended(id, "exited with code 1", at(100)).unwrap().as_secs());
            daemons.started(id, pid(id), at(100));
        }
    }
    assert_eq!(waits, [vec![0, 1, 2, 4, 8, 16, 30, 30], vec![0, 1, 2, 3, 3, 3, 3, 3]]);
    // The first life was a long one, of 100 s.
    assert!(daemons.keeps_ending(1) && daemons.get(1).unwrap().restarts == 8);
    assert_eq!(daemons.ended(1, "exited with code 1", at(200)), Some(at(0)));
    assert!(!daemons.keeps_ending(1));
}

#[test]
fn a_reload_ends_each_and_starts_it_with_its_new_words_after_it_has_gone() {
    let mut daemons = running(&[spec("a"), spec("b"), spec("c")]);
    let changed = DaemonSpec { command: "other".into(), ..spec("a") };
    let deeds = daemons.change(&[changed, spec("c"), spec("d")], at(5));
    assert_eq!(deeds, [Deed::End(101, 15), Deed::End(103, 15), Deed::End(102, 15)]);
    assert_eq!(daemons.take_due(at(5)), [4], "d is new");
    assert_eq!(daemons.ended(1, "was ended", at(6)), Some(at(0)));
    assert_eq!(daemons.ended(2, "was ended", at(6)), None, "b is not wanted");
    assert_eq!(daemons.take_due(at(6)), [1, 4]);
    assert_eq!(daemons.get(1).unwrap().spec.command, "other");
    let names: Vec<_> = daemons.all().iter().map(|one| one.spec.name.as_str()).collect();
    assert_eq!(names, ["a", "c", "d"]);
}

#[test]
fn two_reloads_in_a_row_end_nobody_twice() {
    let mut daemons = running(&[spec("a")]);
    assert_eq!(daemons.change(&[spec("a")], at(1)), [Deed::End(101, 15)]);
    assert_eq!(daemons.change(&[spec("a")], at(2)), []);
    assert_eq!(daemons.change(&[], at(3)), []);
    assert_eq!((daemons.ended(1, "", at(4)), daemons.all().len()), (None, 0));
}

#[test]
fn a_reload_signal_is_sent_instead_unless_the_words_are_others() {
    let hup = DaemonSpec { reload_signal: Some(1), ..spec("a") };
    let mut daemons = running(std::slice::from_ref(&hup));
    assert_eq!(daemons.change(std::slice::from_ref(&hup), at(1)), [Deed::Send(101, 1)]);
    assert_eq!(phases(&daemons), [Phase::Running(101)]);
    let other = DaemonSpec { command: "other".into(), stop_signal: 2, ..hup };
    assert_eq!(daemons.change(&[other], at(1)), [Deed::End(101, 15)]);
}

#[test]
fn a_reload_is_another_chance_for_who_waits() {
    let mut daemons = running(&[spec("a")]);
    for _ in 0..6 {
        daemons.ended(1, "", at(1));
    }
    assert_eq!(daemons.due(), Some(at(17)));
    daemons.change(&[spec("a")], at(2));
    assert_eq!((daemons.take_due(at(2)), daemons.keeps_ending(1)), (vec![1], false));
}

#[test]
fn at_the_end_nobody_is_started_and_pidfiles_are_left_alone() {
    let told = DaemonSpec { notify: true, stop_signal: 2, ..smart("told") };
    let mut daemons = running(&[spec("a"), smart("b"), told, spec("waits")]);
    daemons.ended(4, "", at(1));
    daemons.found(2, 502, true, at(1));
    daemons.found(3, 503, true, at(1));
    assert_eq!(daemons.stop(at(2)), [Deed::End(101, 15), Deed::Notify(503, 2)]);
    assert_eq!(
        (daemons.stop(at(2)), daemons.due(), daemons.take_due(at(99))),
        (vec![], None, vec![])
    );
    assert_eq!(daemons.ended(1, "", at(3)), None);
}

#[test]
fn a_pid_is_looked_for_in_ever_longer_steps_until_it_has_to_be_there() {
    let mut daemons = running(&[smart("a")]);
    let mut looks = 0;
    loop {
        let now = daemons.due().unwrap();
        assert_eq!(daemons.take_due(now), [1]);
        looks += 1;
        if !daemons.looked_in_vain(1, now) {
            assert_eq!(now, at(10));
            break;
        }
    }
    assert_eq!(looks, 9);
    assert_eq!(daemons.ended(1, "has not written its pid", at(10)), Some(at(0)));
}

#[test]
fn who_has_a_pidfile_outlives_a_reload_and_is_looked_at_where_nobody_tells() {
    let mut daemons = running(&[smart("a"), smart("b")]);
    daemons.found(1, 501, true, at(1));
    daemons.found(2, 502, false, at(1));
    assert_eq!((daemons.due(), daemons.take_due(at(11))), (Some(at(11)), vec![2]));
    let hup = DaemonSpec { notify: true, ..smart("a") };
    assert_eq!(daemons.change(&[hup, smart("b")], at(2)), [Deed::Notify(501, 1)]);
    daemons.found(2, 502, false, at(11));
    assert_eq!((daemons.due(), daemons.get(2).unwrap().since), (Some(at(21)), at(1)));
    // What is not wanted any more is left alone, and forgotten.
    assert_eq!((daemons.change(&[], at(12)), daemons.all().len()), (vec![], 0));
}

#[test]
fn a_touch_restarts_one_and_no_other() {
    let mut daemons = running(&[spec("a"), spec("b")]);
    assert_eq!(daemons.touch(2, at(1)), Some(Deed::End(102, 15)));
    assert_eq!(daemons.touch(2, at(1)), None);
    assert_eq!(phases(&daemons), [Phase::Running(101), Phase::Ending(102)]);
}
