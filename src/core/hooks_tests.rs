//! Real commands, real files.

use std::cell::Cell;
use std::os::unix::fs::FileTypeExt as _;

use crate::config::hooks::Stage;

use super::*;

struct Alone {
    asked: Cell<u32>,
    master: Option<UnixStream>,
}

impl Host for Alone {
    fn equip(&self, _: &Hook, command: &mut Command) {
        command.env("BASE", "equipped").stdout(Stdio::null()).stderr(Stdio::null());
    }

    fn runs(&self, _: Option<i32>) {}

    fn farewell(&self) -> Option<PollFd<'_>> {
        self.master.as_ref().map(|master| PollFd::new(master.as_fd(), PollFlags::empty()))
    }

    fn ended(&self, _: &Hook) {}

    fn meanwhile(&self) {
        self.asked.set(self.asked.get() + 1);
    }

    fn aside(&self, wait: &mut (dyn FnMut() + Send)) {
        wait();
    }
}

fn alone() -> Alone {
    Alone { asked: Cell::new(0), master: None }
}

struct Scene {
    directory: tempfile::TempDir,
    surroundings: Surroundings,
}

impl Scene {
    fn new() -> Self {
        let directory = tempfile::tempdir().unwrap();
        let surroundings =
            Surroundings { directory: Some(directory.path().to_owned()), variables: Vec::new() };
        Self { directory, surroundings }
    }

    fn act(&mut self, action: Action) -> Result<(), String> {
        self.within(action, Some(Duration::from_secs(30)), &alone())
    }

    fn within(
        &mut self,
        action: Action,
        timeout: Option<Duration>,
        host: &Alone,
    ) -> Result<(), String> {
        let hook = Hook {
            stage: Stage::PreApp,
            option: "hook-pre-app".into(),
            shown: Some("this".into()),
            place: "shop.ini:7:9".into(),
            action,
        };
        run(&hook, &mut self.surroundings, timeout, host)
    }

    fn exec(&mut self, command: &str) -> Result<(), String> {
        self.act(Action::Exec { command: command.into(), must_succeed: true })
    }

    fn read(&self, name: &str) -> String {
        fs::read_to_string(self.directory.path().join(name)).unwrap()
    }
}

#[test]
fn what_hooks_leave_is_there_for_those_that_follow() {
    let mut scene = Scene::new();
    scene.act(Action::MakeDirectory("sub".into())).unwrap();
    scene.act(Action::MakeDirectory("sub".into())).unwrap();
    scene.act(Action::Enter("sub".into())).unwrap();
    scene.act(Action::SetVariable("STAGE".into(), "one".into())).unwrap();
    scene.act(Action::SetVariable("STAGE".into(), "two".into())).unwrap();
    scene.exec("echo $BASE $STAGE > ../said; basename \"$PWD\" >> ../said").unwrap();
    assert_eq!(scene.read("said"), "equipped two\nsub\n");
    let missing = scene.act(Action::Enter("nowhere".into())).unwrap_err();
    assert!(missing.contains("`this` has failed: No such file"), "{missing}");
    assert!(scene.surroundings.directory.as_ref().unwrap().ends_with("sub"));
}

#[test]
fn files_are_written_and_changed() {
    let mut scene = Scene::new();
    let write = |text: &str, append| Action::Write { path: "f".into(), text: text.into(), append };
    scene.act(write("a", false)).unwrap();
    scene.act(write("b\n", true)).unwrap();
    assert_eq!(scene.read("f"), "ab\n");
    scene.act(write("", false)).unwrap();
    assert_eq!(scene.read("f"), "");
    scene.act(Action::SetMode("f".into(), 0o600)).unwrap();
    scene.act(Action::SetSticky("f".into())).unwrap();
    let facts = fs::metadata(scene.directory.path().join("f")).unwrap();
    assert_eq!(facts.mode() & 0o7777, 0o1600);
    scene.act(Action::SetOwner("f".into(), facts.uid(), facts.gid())).unwrap();
    scene.act(Action::Unlink("f".into())).unwrap();
    assert!(scene.act(Action::Unlink("f".into())).is_err());
}

#[test]
fn a_fifo_that_nobody_reads_keeps_nobody_waiting() {
    let mut scene = Scene::new();
    let path = scene.directory.path().join("fifo");
    nix::unistd::mkfifo(&path, nix::sys::stat::Mode::S_IRWXU).unwrap();
    scene.act(Action::WriteFifo { path: "fifo".into(), text: "x".into() }).unwrap();
    let write = Action::Write { path: "fifo".into(), text: "x".into(), append: false };
    assert!(scene.act(write.clone()).is_err());
    let reader = OpenOptions::new().read(true).custom_flags(libc::O_NONBLOCK).open(&path).unwrap();
    scene.act(write).unwrap();
    assert_eq!(io::Read::read(&mut &reader, &mut [0; 9]).unwrap(), 1);
    assert!(fs::metadata(path).unwrap().file_type().is_fifo());
}

#[test]
fn a_command_that_fails_is_told_with_its_place() {
    let mut scene = Scene::new();
    let told = scene.exec("exit 3").unwrap_err();
    assert_eq!(told, "hook-pre-app (shop.ini:7:9): `this` exited with code 3");
    assert!(scene.exec("no-such-command").unwrap_err().contains("the shell has not found it"));
    assert!(scene.exec("kill -9 $$").unwrap_err().ends_with("killed by signal 9 (SIGKILL)"));
    let safe = Action::Exec { command: "exit 3".into(), must_succeed: false };
    assert_eq!(scene.act(safe), Ok(()));
}

#[test]
fn a_command_that_takes_too_long_is_ended_with_all_that_it_has_started() {
    let mut scene = Scene::new();
    let line = "echo $$ > pid; sleep 600 & sleep 600";
    let action = Action::Exec { command: line.into(), must_succeed: true };
    let told = scene.within(action, Some(Duration::from_millis(300)), &alone()).unwrap_err();
    assert!(told.contains("has not ended after 0 s (hook-timeout)"), "{told}");
    // The leader was waited for; who is left of its group has been sent the same signal.
    let group = Pid::from_raw(scene.read("pid").trim().parse().unwrap());
    let deadline = Instant::now() + Duration::from_secs(20);
    while killpg(group, None) != Err(Errno::ESRCH) {
        assert!(Instant::now() < deadline, "something of group {group} lives on");
        std::thread::yield_now();
    }
}

#[test]
fn a_command_that_ignores_its_end_is_killed() {
    let mut scene = Scene::new();
    let line = "trap '' TERM; sleep 600 & wait; sleep 600";
    let action = Action::Exec { command: line.into(), must_succeed: true };
    let host = alone();
    let began = Instant::now();
    assert!(scene.within(action, Some(Duration::from_millis(100)), &host).is_err());
    assert!(began.elapsed() >= GRACE);
    assert!(host.asked.get() <= 2);
}

#[test]
fn a_command_does_not_outlive_the_master() {
    let mut scene = Scene::new();
    let (ours, theirs) = UnixStream::pair().unwrap();
    drop(theirs);
    let host = Alone { asked: Cell::new(0), master: Some(ours) };
    let action = Action::Exec { command: "sleep 600".into(), must_succeed: true };
    let told = scene.within(action, None, &host).unwrap_err();
    assert!(told.ends_with("rwsgi ends"), "{told}");
}

#[test]
fn what_outlasts_a_hook_can_be_had_without_running_it() {
    let mut surroundings = Surroundings::default();
    for action in [
        Action::Enter("/a".into()),
        Action::Enter("b".into()),
        Action::SetVariable("A".into(), "1".into()),
        Action::Unlink("/a".into()),
    ] {
        surroundings.obey(&action);
    }
    assert_eq!(surroundings.directory, Some("/a/b".into()));
    assert_eq!(surroundings.variables, [("A".to_owned(), "1".to_owned())]);
}
