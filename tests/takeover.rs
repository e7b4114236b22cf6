//! A new program takes over from the one that runs, as after an upgrade.

use std::collections::BTreeMap;
use std::fs;

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use serde_json::{Value, json};

use crate::support::client::Client;
use crate::support::control;
use crate::support::load::under_load;
use crate::support::server::{Server, address, pids};
use crate::support::setup::Setup;
use crate::support::upgrade::{replaceable, upgrade};
use crate::support::wait;

fn server(lines: &str) -> Server {
    replaceable(control::setup(lines)).start()
}

/// The answer to one command.
fn ask(server: &Server, command: &str) -> Value {
    control::ask(server, &json!({"command": command}))
}

/// Waits until `count` programs have taken over and reloaded.
fn wait_for_takeovers(server: &Server, count: usize) {
    server.wait_for_log(" has taken over from ", count);
    server.wait_for_log("reloaded: ", count);
}

#[test]
fn who_asked_the_old_program_for_a_reload_is_answered_by_the_new_one() {
    let server = server("processes=2");
    let before = server.workers();
    server.get("/ok").expect(200);
    let app = "def application(e, s):\n    s('200 OK', [])\n    return [b'new']\n";
    server.place.write("app.py", app);
    upgrade(&server.place);
    assert_eq!(ask(&server, "reload")["message"], "reloaded: 2 new workers serve");
    wait_for_takeovers(&server, 1);
    // An old one takes the connection for which it was woken before it knew that it is to leave.
    server.wait_for_log(") left", 2);
    assert_eq!(server.get("/").expect(200).text(), "new");
    let counted = || Some(ask(&server, "status")).filter(|s| s["total"]["requests"] == 2);
    let status = wait::until("the requests of both generations", counted);
    assert_eq!(status["pid"], server.pid());
    assert_eq!(status["generation"], 2);
    let program = fs::read_link(format!("/proc/{}/exe", server.pid())).unwrap();
    assert_eq!(program, server.place.join("bin/rwsgi"));
    let alive = server.place.processes();
    assert!(before.iter().all(|pid| !alive.contains(pid)), "{before:?} {alive:?}");
}

#[test]
fn the_supervisor_sees_one_process_that_reloads() {
    let server = server("");
    upgrade(&server.place);
    server.signal(Signal::SIGHUP);
    wait_for_takeovers(&server, 1);
    server.wait_for_notification("READY=1", 2);
    let said = server.notifications().join("\n");
    let first = |line| said.find(line).unwrap_or_else(|| panic!("no {line} in {said}"));
    assert!(first("RELOADING=1") < said.rfind("READY=1").unwrap(), "{said}");
    assert!(!said.contains("STOPPING") && !said.contains("MAINPID"), "{said}");
    // The next reload is one like any other.
    server.reload(2);
    assert_eq!(server.log().matches(" has taken over from ").count(), 1);
}

fn loses_nothing(keep: bool) {
    let server = server("processes=2\nthreads=2\ndisable-logging=true");
    under_load(server.address(), keep, |answered| {
        for count in 1..=5 {
            let before = answered();
            upgrade(&server.place);
            server.signal(Signal::SIGHUP);
            wait_for_takeovers(&server, count);
            wait::until("requests", || (answered() > before + 20).then_some(()));
        }
    });
    assert_eq!(ask(&server, "status")["pid"], server.pid());
}

#[test]
fn five_takeovers_lose_no_new_connection() {
    loses_nothing(false);
}

#[test]
fn five_takeovers_lose_no_request_on_kept_connections() {
    loses_nothing(true);
}

#[test]
fn a_request_in_flight_is_finished() {
    let server = server("");
    let mut client = server.connect_and_send("/gate?old");
    server.place.wait_for_gate("old");
    upgrade(&server.place);
    server.signal(Signal::SIGHUP);
    wait_for_takeovers(&server, 1);
    server.place.open_gate("old");
    client.response().expect(200);
    server.wait_for_log(") left", 1);
}

#[test]
fn code_that_cannot_be_imported_leaves_the_old_workers_to_the_new_program() {
    let server = server("processes=2");
    let workers = server.workers();
    server.place.write("app.py", "import nothing_there\n");
    upgrade(&server.place);
    let answer = ask(&server, "reload");
    assert_eq!(answer["ok"], false);
    assert!(answer["message"].as_str().unwrap().contains("No module named 'nothing_there'"));
    server.get("/ok").expect(200);
    assert_eq!(pids(&server.log()), workers, "nothing new serves");
    // Both die; the new program has them replaced by the template of the old one.
    for pid in &workers {
        kill(Pid::from_raw(*pid), Signal::SIGKILL).unwrap();
    }
    server.wait_for_log(") serves", 4);
    server.get("/ok").expect(200);
    server
        .place
        .write("app.py", "def application(e, s):\n    s('200 OK', [])\n    return [b'new']\n");
    assert_eq!(ask(&server, "reload")["ok"], true);
    assert_eq!(server.log().matches(" has taken over from ").count(), 1);
    server.wait_for_log(") left", 2);
    assert_eq!(server.get("/").expect(200).text(), "new");
}

/// What the descriptors of a process lead to, and how often.
fn descriptors(pid: i32) -> BTreeMap<String, usize> {
    let mut found = BTreeMap::new();
    for entry in fs::read_dir(format!("/proc/{pid}/fd")).unwrap().flatten() {
        let Ok(target) = fs::read_link(entry.path()) else { continue };
        let target = target.to_string_lossy().into_owned();
        // Numbers of sockets and pipes differ from one to the next.
        let kind = target.split(":[").next().unwrap_or_default().to_owned();
        *found.entry(kind).or_default() += 1;
    }
    found
}

#[test]
fn ten_takeovers_leave_no_descriptor_behind_and_give_none_to_children() {
    let server = server("http=app.sock\nprocesses=2\npidfile=app.pid");
    let template = |workers: &[i32]| {
        let others = server.place.processes().into_iter();
        let mut others = others.filter(|pid| *pid != server.pid() && !workers.contains(pid));
        others.next().unwrap()
    };
    let snapshot = |count: usize| {
        let workers = pids(&server.log()).split_off(2 * (count - 1));
        [server.pid(), template(&workers), workers[0], workers[1]].map(descriptors)
    };
    let take_over = |count| {
        upgrade(&server.place);
        server.signal(Signal::SIGHUP);
        wait_for_takeovers(&server, count);
    };
    server.wait_for_log(") serves", 2);
    // With the first one ends what whoever runs this test has left open.
    take_over(1);
    server.wait_for_log(") left", 2);
    // A line in the log or a word to the supervisor costs one for a moment.
    let quiet = || Some(snapshot(2)).filter(|first| *first == snapshot(2));
    let before = wait::until("two equal snapshots", quiet);
    (2..=11).for_each(take_over);
    server.wait_for_log(") left", 22);
    let same = wait::within(wait::DEADLINE, || (snapshot(12) == before).then_some(()));
    assert!(same.is_some(), "{before:#?}\n{:#?}", snapshot(12));
    Client::unix(&server.place.join("app.sock")).get("/ok").expect(200);
}

#[test]
fn a_socket_file_goes_when_the_last_program_ends() {
    let mut server = server("http=app.sock");
    upgrade(&server.place);
    assert_eq!(ask(&server, "reload")["ok"], true);
    server.connect_locally().get("/ok").expect(200);
    assert_eq!(server.stop().code(), Some(0));
    assert!(!server.place.join("app.sock").exists() && !server.place.join("control").exists());
}

#[test]
fn sockets_of_systemd_are_served_by_the_new_program_too() {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let setup = Setup::classic("[rwsgi]\nhttp = systemd:web\nchdir = %d\nwsgi-file = app.py\n");
    let script = "exec 3<&0 </dev/null; LISTEN_FDS=1 LISTEN_PID=$$ LISTEN_FDNAMES=web exec \"$@\"";
    let setup = replaceable(setup).shell(script, std::os::fd::OwnedFd::from(listener).into());
    let server = setup.start();
    for count in 1..=2 {
        upgrade(&server.place);
        server.signal(Signal::SIGHUP);
        wait_for_takeovers(&server, count);
        Client::connect(address).get("/ok").expect(200);
    }
}

#[test]
fn a_daemon_keeps_its_log_and_the_lock_on_its_pidfile() {
    let lines = "http=127.0.0.1:0\nchdir=%d\nwsgi-file=app.py\ndaemonize=app.log\npidfile=app.pid";
    let mut setup = replaceable(Setup::classic(&format!("[uwsgi]\n{lines}\n")));
    assert!(setup.run_again().success());
    let log = |setup: &Setup| setup.place.read("app.log");
    let pid = setup.place.read("app.pid");
    for count in 1..=2 {
        upgrade(&setup.place);
        setup = setup.arguments(&["--reload", "app.pid"]);
        assert!(setup.run_again().success());
        let reloaded = || (log(&setup).matches("reloaded: ").count() == count).then_some(());
        wait::until("the takeover", reloaded);
    }
    assert_eq!(log(&setup).matches(" has taken over from ").count(), 2, "{}", log(&setup));
    setup = setup.arguments(&["app.ini"]);
    assert_eq!(setup.run_again().code(), Some(71), "a second instance has started");
    assert!(setup.place.read("stderr").contains("belongs to a running instance"));
    Client::connect(address(&setup.place, "app.log")).get("/ok").expect(200);
    assert_eq!(setup.place.read("app.pid"), pid);
    setup = setup.arguments(&["--stop", "app.pid"]);
    assert!(setup.run_again().success());
    assert!(!setup.place.join("app.pid").exists());
    assert!(setup.place.is_deserted_within(wait::DEADLINE));
}

#[test]
fn the_log_goes_on_in_the_file_that_is_open() {
    let setup = replaceable(Setup::new("logto=app.log"));
    let server = setup.start();
    fs::rename(server.place.join("app.log"), server.place.join("app.log.1")).unwrap();
    upgrade(&server.place);
    server.signal(Signal::SIGHUP);
    let text = || server.place.read("app.log.1");
    let found = || text().contains(" has taken over from ").then_some(());
    assert!(wait::within(wait::DEADLINE, found).is_some(), "{}", text());
    wait::until("the reload", || text().contains("reloaded: ").then_some(()));
}
