use nix::sys::wait::waitpid;
use rwsgi_core::config::Target;

use super::*;

const fn at(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

fn running(until: Option<Duration>) -> Running {
    Running {
        owner: Owner::Daemon(1),
        name: "daemon celery".into(),
        began: at(0),
        until,
        is_asked: false,
        killed_at: None,
        is_overdue: false,
        kills: 0,
        is_lost: false,
        bound: true,
        exit: None,
    }
}

#[test]
fn who_has_no_time_left_is_asked_to_end_and_then_killed_until_it_has() {
    let mut commands = Commands::default();
    commands.insert(7, running(Some(at(10))));
    commands.insert(8, running(None));
    assert_eq!((commands.due(), commands.step(at(9))), (Some(at(10)), vec![]));
    assert_eq!(commands.step(at(10)), [(7, Signal::SIGTERM)]);
    assert_eq!((commands.due(), commands.step(at(11))), (Some(at(10) + GRACE), vec![]));
    assert_eq!(commands.step(at(15)), [(7, Signal::SIGKILL)]);
    assert_eq!(commands.step(at(20)), [(7, Signal::SIGKILL)]);
    assert!(commands.note_exit(7, Exit::Code(0)) && !commands.note_exit(9, Exit::Code(0)));
    assert!(commands.take_over(|_| true).is_none(), "others of its group are left");
    let (pid, over) = commands.take_over(|_| false).unwrap();
    assert!((pid, over.is_overdue, commands.due()) == (7, true, None));
}

#[test]
fn who_cannot_be_ended_is_given_up_and_told() {
    let mut commands = Commands::default();
    commands.insert(7, running(None));
    commands.note_asked(7, at(0));
    for seconds in [0, 5] {
        assert_eq!(commands.step(at(seconds)), [(7, Signal::SIGKILL)]);
        assert!(commands.take_over(|_| true).is_none());
    }
    assert_eq!(commands.step(at(10)), []);
    let (pid, running) = commands.take_over(|_| true).unwrap();
    let ended = Ended { running, pid, exit: Exit::Unborn, lived: at(10) };
    assert!(
        !ended.is_well() && ended.describe().contains("cannot be ended, and is left: process 7")
    );
}

#[test]
fn who_is_asked_twice_has_the_shorter_time() {
    let mut commands = Commands::default();
    commands.insert(7, running(None));
    for (mercy, due) in [(60, 60), (3, 3), (30, 3)] {
        commands.note_asked(7, at(mercy));
        assert_eq!(commands.due(), Some(at(due)));
    }
    assert_eq!(commands.step(at(3)), [(7, Signal::SIGKILL)]);
    commands.note_exit(7, Exit::Code(0));
    let (_, over) = commands.take_over(|_| false).unwrap();
    assert!(over.is_asked && !over.is_overdue);
}

#[test]
fn who_has_ended_unasked_is_over_with_what_it_leaves_unless_that_is_to_end() {
    let mut commands = Commands::default();
    commands.insert(7, running(None));
    commands.insert(8, running(None));
    commands.note_exit(7, Exit::Code(1));
    commands.note_exit(8, Exit::Code(1));
    commands.note_asked(8, at(60));
    assert_eq!(commands.take_over(|_| true).map(|(pid, _)| pid), Some(7));
    assert_eq!(commands.take_over(|_| true), None);
    let (_, over) = commands.take_over(|_| false).unwrap();
    assert!(!over.is_asked, "it had ended before");
}

#[test]
fn a_single_command_takes_the_place_of_the_shell() {
    let single = ["celery -A shop", "a \"b c\" $D >> x.log 2>&1", "/bin/x < y"];
    for line in single {
        assert_eq!(for_shell(line), format!("exec {line}"));
    }
    let others = [
        "cd /srv && run",
        "a | b",
        "a; b",
        "A=1 run",
        "exec run",
        "exit 7",
        ". ./x",
        "(run)",
        "if a\nthen b\nfi",
        "! run",
        "run &",
        "> x",
        "# run",
        "",
        "{ run; }",
        "x `y`",
    ];
    for line in others {
        assert_eq!(for_shell(line), line);
    }
}

#[test]
fn in_haste_nobody_who_is_asked_has_time() {
    let mut commands = Commands::default();
    (7..10).for_each(|pid| commands.insert(pid, running(None)));
    commands.note_asked(7, at(60));
    assert_eq!(commands.unasked(), [8, 9]);
    commands.hurry();
    commands.note_asked(8, at(60));
    let killed = commands.step(at(1));
    assert_eq!(killed, [(7, Signal::SIGKILL), (8, Signal::SIGKILL)]);
}

fn ended(exit: Exit, change: impl Fn(&mut Running)) -> Ended {
    let mut running = running(None);
    change(&mut running);
    Ended { running, pid: 7, exit, lived: Duration::from_millis(2340) }
}

#[test]
fn an_end_is_told_in_words_that_help() {
    let asked = |running: &mut Running| running.is_asked = true;
    let told = |exit, change: fn(&mut Running)| {
        let ended = ended(exit, change);
        (ended.is_well(), ended.describe())
    };
    let killed = Exit::Signal(Signal::SIGTERM, false);
    assert_eq!(told(Exit::Code(0), |_| {}), (true, "has ended, after 2.3 s".into()));
    let asked = (told(killed, asked), told(Exit::Code(3), asked));
    assert_eq!(asked.0, (true, "was ended by signal 15 (SIGTERM), after 2.3 s".into()));
    assert_eq!(asked.1, (true, "exited with code 3, after 2.3 s".into()));
    assert_eq!(told(Exit::Code(3), |_| {}), (false, "exited with code 3, after 2.3 s".into()));
    assert!(told(Exit::Code(127), |_| {}).1.contains("whole path"));
    assert!(told(Exit::Code(139), |_| {}).1.contains("SIGSEGV"));
    let overdue = |running: &mut Running| {
        (running.killed_at, running.is_overdue) = (Some(at(9)), true);
    };
    let told = told(killed, overdue);
    assert_eq!(told, (false, "has not ended within 2 s: it was ended".into()));
}

fn run(line: &str, directory: &Path, change: impl Fn(&mut Application)) -> String {
    let target = Target::Code { text: String::new(), callable: String::new() };
    let mut application = Application::new(target);
    change(&mut application);
    let order = Order {
        name: "daemon test",
        line,
        directory: Some(directory),
        user: (None, None),
        bound: true,
    };
    let out = std::fs::File::create(directory.join("out")).unwrap();
    let pid = start(order, &application, Some(out.into())).unwrap();
    waitpid(Pid::from_raw(pid), None).unwrap();
    std::fs::read_to_string(directory.join("out")).unwrap()
}

#[test]
fn a_command_has_a_session_the_environment_of_the_application_and_no_descriptor_of_ours() {
    let directory = tempfile::tempdir().unwrap();
    let said = run(
        "echo $A ${HOME-none}; pwd; ls -l /proc/self/fd | grep -c out",
        directory.path(),
        |it| {
            it.env.push(("A".into(), "b c".into()));
            it.unset.push("HOME".into());
        },
    );
    let place = directory.path().canonicalize().unwrap();
    // That of stderr, and no more.
    assert_eq!(said, format!("b c none\n{}\n1\n", place.display()));
    let said = run("echo $$; cut -d' ' -f5,6,7 /proc/$$/stat", directory.path(), |_| {});
    let (pid, group) = said.trim().split_once('\n').unwrap();
    assert_eq!(group, format!("{pid} {pid} 0"), "group, session, terminal");
}

#[test]
fn what_cannot_be_started_says_why() {
    let application =
        Application::new(Target::Code { text: String::new(), callable: String::new() });
    let directory = Some(Path::new("/nowhere/at/all"));
    let order =
        Order { name: "daemon x", line: "true", directory, user: (None, None), bound: true };
    let why = start(order, &application, None).unwrap_err();
    assert!(why.starts_with("cannot be started in /nowhere/at/all: No such file"), "{why}");
}
