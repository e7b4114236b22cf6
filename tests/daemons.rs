//! Daemons beside the workers: they run as long as they should, and requests do not depend on them.

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use serde_json::Value;

use crate::support::control::{self, served, setup, status, tell};
use crate::support::server::Server;
use crate::support::setup::Setup;
use crate::support::upgrade::{replaceable, upgrade};
use crate::support::wait;

/// The daemon of this name in the answer to `status`, as soon as it runs.
fn running(server: &Server, name: &str) -> (i32, Value) {
    wait::until(&format!("daemon {name} runs"), || {
        let status = status(server);
        let daemon = status["daemons"].as_array()?.iter().find(|one| one["daemon"] == name)?;
        let pid = daemon["pid"].as_i64().filter(|_| daemon["phase"] == "running")?;
        Some((i32::try_from(pid).unwrap(), daemon.clone()))
    })
}

/// The same, with another pid than this.
fn successor(server: &Server, name: &str, pid: i32) -> Value {
    wait::until(&format!("daemon {name} runs again"), || {
        let (other, daemon) = running(server, name);
        (other != pid).then_some(daemon)
    })
}

fn send(pid: i32, signal: Signal) {
    kill(Pid::from_raw(pid), signal).unwrap();
}

#[test]
fn a_daemon_has_the_environment_of_the_application_and_its_words_are_in_the_log() {
    let lines = "env = GREETING=hello from outside\n\
                 attach-daemon = echo \"$GREETING, $PWD, ${NOTIFY_SOCKET-none}\"; exec sleep 600";
    let server = Setup::new(lines).start();
    let place = server.place.path().canonicalize().unwrap();
    let said = format!("daemon echo: hello from outside, {}, none", place.display());
    server.wait_for_log(&said, 1);
}

#[test]
fn a_daemon_that_dies_is_started_again_with_all_that_it_had_started() {
    let server = served("attach-daemon = sleep 601 & exec sleep 602");
    let (pid, daemon) = running(&server, "sleep");
    assert_eq!((&daemon["restarts"], &daemon["last_end"]), (&0.into(), &Value::Null));
    let of_group = |pid: i32| kill(Pid::from_raw(-pid), None).is_ok();
    send(pid, Signal::SIGKILL);
    let daemon = successor(&server, "sleep", pid);
    assert_eq!(daemon["restarts"], 1);
    assert!(daemon["last_end"].as_str().unwrap().starts_with("was killed by signal 9"), "{daemon}");
    assert!(!of_group(pid), "what it had started is left");
    let overview = tell(&server, &["status"]);
    assert!(
        overview.contains("started again once; before it was killed by signal 9"),
        "{overview}"
    );
}

#[test]
fn one_that_keeps_ending_is_told_and_requests_are_served() {
    let server = served("attach-daemon2 = cmd=exit 7,max_throttle=1");
    let keeps = wait::until("it is known to keep ending", || {
        let status = status(&server);
        (status["daemons"][0]["keeps_ending"] == true).then_some(status)
    });
    assert_eq!(
        (&keeps["state"], &keeps["daemons"][0]["phase"]),
        (&"serving".into(), &"waiting".into())
    );
    server.get("/ok").expect(200);
    server.wait_for_log("error: daemon exit: exited with code 7", 1);
    server.wait_for_log("it is started again in 1 s", 2);
    assert!(tell(&server, &["status"]).contains("keeps ending: daemon exit; see the log"));
}

#[test]
fn one_that_goes_to_the_background_by_itself_is_told_what_to_write() {
    let server = served("attach-daemon = exit 0");
    server.wait_for_log("; one that goes to the background by itself is for `smart-attach-daemon`; it is started again", 1);
}

#[test]
fn one_of_another_user_has_the_groups_of_that_user() {
    if !nix::unistd::geteuid().is_root() {
        return;
    }
    let said = |lines: &str| {
        let server = served(&format!(
            "attach-daemon2 = cmd=echo `id -un`: `id -G`.; exec sleep 601,{lines}"
        ));
        wait::until("what it says", || {
            let log = server.log();
            let (_, said) =
                log.rsplit_once("daemon echo: ").filter(|(_, said)| said.contains(".\n"))?;
            said.split_once(".\n").map(|(said, _)| said.to_owned())
        })
    };
    assert_eq!(said("uid=nobody"), format!("nobody: {}", groups_of("nobody")));
    assert_eq!(said("uid=nobody,gid=1").split_once(": ").unwrap().1.split(' ').next(), Some("1"));
    assert_eq!(said("gid=1"), "root: 1");
}

/// As id(1) tells them of the files of the system.
fn groups_of(user: &str) -> String {
    let said = std::process::Command::new("id").args(["-G", user]).output().unwrap();
    String::from_utf8(said.stdout).unwrap().trim().to_owned()
}

#[test]
fn at_a_stop_daemons_end_after_the_workers_and_in_their_own_time() {
    let daemon =
        "trap 'sleep 0.3; echo done; exit 0' TERM; echo there; while :; do sleep 0.05; done";
    let mut server = served(&format!("attach-daemon = {daemon}"));
    server.wait_for_log("daemon trap: there", 1);
    let mut client = server.connect_and_send("/gate?last");
    server.place.wait_for_gate("last");
    server.signal(Signal::SIGTERM);
    server.wait_for_log("stopping: ", 1);
    server.place.open_gate("last");
    client.response().expect(200);
    assert!(server.wait().success());
    let log = server.log();
    let at = |text: &str| log.find(text).unwrap_or_else(|| panic!("no `{text}` in:\n{log}"));
    assert!(at(") left") < at("daemon trap: done"), "{log}");
    assert!(at("daemon trap: done") < at("daemon trap: has ended"), "{log}");
}

#[test]
fn one_that_does_not_end_is_killed_and_what_it_started_with_it() {
    let daemon = "trap '' TERM; sleep 603 & echo there; while :; do sleep 600; done";
    let mut server = served(&format!("worker-reload-mercy = 1\nattach-daemon = {daemon}"));
    server.wait_for_log("daemon trap: there", 1);
    assert!(server.stop().success());
    server.wait_for_log("daemon trap: was ended by signal 9 (SIGKILL)", 1);
}

#[test]
fn a_second_order_to_stop_leaves_a_daemon_no_time() {
    let daemon = "trap '' TERM; echo there; while :; do sleep 600; done";
    let mut server = served(&format!("attach-daemon = {daemon}"));
    server.wait_for_log("daemon trap: there", 1);
    server.signal(Signal::SIGTERM);
    server.wait_for_log(") left", 1);
    server.signal(Signal::SIGTERM);
    assert!(server.wait().success());
}

#[test]
fn a_reload_starts_them_anew_and_one_that_fails_does_not() {
    let lines = "attach-daemon = sleep 604\nattach-daemon = tail -f /dev/null";
    let server = served(lines);
    let ((sleep, _), (tail, _)) = (running(&server, "sleep"), running(&server, "tail"));
    server.place.write("app.py", "nonsense");
    assert_eq!(control::run(&server, &["reload"]).code(), 1);
    assert_eq!((running(&server, "sleep").0, running(&server, "tail").0), (sleep, tail));
    server.place.write("app.py", include_str!("support/apps/kitchen.py"));
    let ini = server.place.read("app.ini");
    server.place.write("app.ini", &ini.replace("attach-daemon = tail -f /dev/null", ""));
    tell(&server, &["reload"]);
    let daemon = successor(&server, "sleep", sleep);
    assert!(daemon["last_end"].as_str().unwrap().starts_with("was ended by signal 15"), "{daemon}");
    wait::until("what is not wanted is gone", || {
        let status = status(&server);
        (status["daemons"].as_array().unwrap().len() == 1).then_some(())
    });
    assert!(kill(Pid::from_raw(tail), None).is_err());
}

#[test]
fn a_signal_instead_and_a_touched_file() {
    let daemon = "trap 'echo again' USR1; echo there; while :; do sleep 0.05; done";
    let lines = format!("attach-daemon2 = cmd={daemon},reloadsignal=USR1,touch=go");
    let server = served(&lines);
    server.wait_for_log("daemon trap: there", 1);
    let (pid, _) = running(&server, "trap");
    tell(&server, &["reload"]);
    server.wait_for_log("daemon trap: again", 1);
    assert_eq!(running(&server, "trap").0, pid);
    server.place.write("go", "");
    successor(&server, "trap", pid);
    server.wait_for_log("go has changed (touch of daemon trap)", 1);
}

#[test]
fn a_new_program_keeps_them_and_starts_them_again() {
    let server = replaceable(setup("attach-daemon2 = cmd=sleep 605,reloadsignal=CONT")).start();
    let (pid, _) = running(&server, "sleep");
    upgrade(&server.place);
    tell(&server, &["reload"]);
    server.wait_for_log(" has taken over from ", 1);
    assert_eq!(running(&server, "sleep").0, pid);
    send(pid, Signal::SIGKILL);
    assert_eq!(successor(&server, "sleep", pid)["restarts"], 1);
}

#[test]
fn one_with_a_pidfile_outlives_the_instance_and_is_found_again() {
    let lines = |file: &str| format!("smart-attach-daemon = {file} sleep 606 & echo $! > {file}");
    let mut server = served(&lines("daemon.pid"));
    let (pid, _) = running(&server, "sleep");
    tell(&server, &["reload"]);
    assert_eq!(running(&server, "sleep").0, pid);
    assert!(server.stop().success());
    let mut other = served(&lines(&server.place.join("daemon.pid").display().to_string()));
    let (found, daemon) = running(&other, "sleep");
    assert_eq!((found, &daemon["restarts"]), (pid, &0.into()));
    // It is nobody's child here, and still its end is known at once.
    send(pid, Signal::SIGKILL);
    let daemon = successor(&other, "sleep", pid);
    assert!(other.stop().success());
    end(&daemon);
}

/// Ends one that has outlived its instance.
fn end(daemon: &Value) {
    send(i32::try_from(daemon["pid"].as_i64().unwrap()).unwrap(), Signal::SIGKILL);
}

#[test]
fn a_pidfile_is_written_for_one_that_stays_in_the_foreground() {
    let mut server = served("smart-attach-daemon2 = daemon.pid sleep 607");
    let (pid, _) = running(&server, "sleep");
    assert_eq!(server.place.read("daemon.pid"), format!("{pid}\n"));
    send(pid, Signal::SIGKILL);
    let daemon = successor(&server, "sleep", pid);
    assert_eq!(server.place.read("daemon.pid"), format!("{}\n", daemon["pid"]));
    assert!(server.stop().success());
    end(&daemon);
}

#[test]
fn one_that_does_not_go_to_the_background_is_told_what_to_write() {
    let server = served("smart-attach-daemon = daemon.pid,1 sleep 608");
    server.wait_for_log("within 1 s: it did not go to the background, and is ended", 1);
    server.get("/ok").expect(200);
}

#[test]
fn a_pidfile_that_names_the_master_is_that_of_an_earlier_one() {
    let script = "echo $$ > daemon.pid; exec \"$@\"";
    let setup = setup("smart-attach-daemon2 = daemon.pid sleep 606");
    let mut server = setup.shell(script, std::process::Stdio::null()).start();
    let (pid, daemon) = running(&server, "sleep");
    assert_ne!(pid, server.pid());
    assert_eq!(server.place.read("daemon.pid"), format!("{pid}\n"));
    assert!(server.stop().success());
    end(&daemon);
}

#[test]
fn what_a_daemon_writes_holds_up_nobody_and_does_not_fill_the_memory() {
    let flood =
        "head -c 30000000 /dev/zero | tr '\\0' x; printf '\\377\\n'; echo done; exec sleep 612";
    let server = served(&format!("attach-daemon = {flood}"));
    let (pid, _) = running(&server, "head");
    let is_done = || {
        let name = std::fs::read_to_string(format!("/proc/{pid}/cmdline")).unwrap_or_default();
        server.get("/ok").expect(200);
        name.starts_with("sleep").then_some(())
    };
    wait::until("all is written", is_done);
    let status = std::fs::read_to_string(format!("/proc/{}/status", server.pid())).unwrap();
    let peak = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).unwrap();
    let peak: u64 = peak.trim().trim_end_matches(" kB").parse().unwrap();
    assert!(peak < 100_000, "{peak} kB");
}

#[test]
fn the_instance_stops_with_a_daemon_that_controls_it() {
    let mut server = served("attach-control-daemon = sleep 609");
    let (pid, _) = running(&server, "sleep");
    send(pid, Signal::SIGTERM);
    assert!(server.wait().success());
    server.wait_for_log("the instance stops (`control`)", 1);
}

#[test]
fn what_is_wrong_with_a_daemon_is_shown_with_its_place() {
    let lines = "attach-daemon2 = cmd=celery,colour=red\nsmart-attach-daemon = only.pid";
    let ended = Setup::new(lines).run();
    ended.refuses(
        78,
        &[
            "error: app.ini:5:18: `attach-daemon2 = cmd=celery,colour=red` has `colour`, which no daemon has",
            "error: app.ini:6:23: `smart-attach-daemon = only.pid` has no command after the pidfile",
            "expected: `cmd=COMMAND`, and any of",
        ],
    );
}

#[test]
fn uwsgitop_and_its_kind_find_them() {
    let server = served("stats = stats.sock\nattach-daemon = sleep 610");
    let (pid, _) = running(&server, "sleep");
    let mut text = String::new();
    let mut stream =
        std::os::unix::net::UnixStream::connect(server.place.join("stats.sock")).unwrap();
    std::io::Read::read_to_string(&mut stream, &mut text).unwrap();
    let figures: Value = serde_json::from_str(&text).unwrap();
    let daemon = serde_json::json!({"cmd": "sleep 610", "pid": pid, "respawns": 0});
    assert_eq!(figures["daemons"], serde_json::json!([daemon]));
}
