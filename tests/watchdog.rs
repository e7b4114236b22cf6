//! systemd is told that all is well only while it is.

use std::time::Duration;

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use rwsgi_core::ipc::DUMP;

use crate::support::server::Server;
use crate::support::setup::Setup;
use crate::support::wait;

/// Ways to hold Python's lock: for ever, or for as many seconds as the query says. And one not to.
const APP: &str = "
import ctypes
import os
import time


def application(environ, start_response):
    name = environ['PATH_INFO'].strip('/')
    if name == 'hang' and not os.path.exists('enough'):
        open('entered-' + str(os.getpid()), 'w').close()
        mutex = ctypes.create_string_buffer(64)
        ctypes.PyDLL(None).pthread_mutex_lock(mutex)
        ctypes.PyDLL(None).pthread_mutex_lock(mutex)
    if name == 'hold':
        ctypes.PyDLL(None).sleep(int(environ['QUERY_STRING']))
    if name == 'wait':
        time.sleep(int(environ['QUERY_STRING']))
    start_response('200 OK', [])
    return [str(os.getpid()).encode()]
";

/// systemd wants a sign of life every two seconds: half a second between two looks, and one for who
/// does not answer.
fn watched(lines: &str) -> Setup {
    Setup::new(lines).app(APP).variable("WATCHDOG_USEC", "2000000")
}

fn alive(server: &Server) -> usize {
    server.notifications().iter().filter(|said| *said == "WATCHDOG=1").count()
}

/// Waits until systemd has been told `count` times more that all is well.
fn is_well(server: &Server, count: usize) {
    let before = alive(server);
    server.wait_for_notification("WATCHDOG=1", before + count);
}

/// Waits until a worker writes its stacks when it is told to: that begins with its first answer.
fn wait_until_it_can_tell(pid: i32) {
    let bit = 1_u64 << (DUMP as i32 - 1);
    wait::until("the handler for its stacks", || {
        let status = std::fs::read_to_string(format!("/proc/{pid}/status")).ok()?;
        let caught = status.lines().find_map(|line| line.strip_prefix("SigCgt:"))?;
        let caught = u64::from_str_radix(caught.trim(), 16).ok()?;
        (caught & bit != 0).then_some(())
    });
}

fn stop(pid: i32, signal: Signal) {
    kill(Pid::from_raw(pid), signal).unwrap();
}

#[test]
fn an_idle_instance_is_well() {
    let server = watched("processes=2\nthreads=2").start();
    is_well(&server, 6);
    assert!(!server.log().contains("Python code"), "{}", server.log());
    server.get("/").expect(200);
}

#[test]
fn nobody_is_asked_without_a_watchdog() {
    let server = Server::new("processes=2");
    server.get("/ok").expect(200);
    assert_eq!(alive(&server), 0);
    for pid in server.workers() {
        let tasks = std::fs::read_dir(format!("/proc/{pid}/task")).unwrap();
        let names = tasks.flatten().map(|task| std::fs::read_to_string(task.path().join("comm")));
        let names: Vec<_> = names.map(Result::unwrap_or_default).collect();
        assert!(!names.iter().any(|name| name.contains("inquire")), "{names:?}");
    }
}

#[test]
fn another_process_than_the_one_that_is_meant_says_nothing() {
    let server = watched("").variable("WATCHDOG_PID", "1").start();
    server.get("/").expect(200);
    server.reload(1);
    assert_eq!(alive(&server), 0);
}

#[test]
fn a_worker_that_was_stopped_is_killed_and_replaced_and_others_serve() {
    let server = watched("processes=2").start();
    let workers = server.workers();
    stop(workers[0], Signal::SIGSTOP);
    let what = format!("(pid {}) is killed: its loop has not answered for", workers[0]);
    server.wait_for_log(&what, 1);
    server.wait_for_log("the process is stopped", 1);
    server.wait_for_log(") serves", 3);
    (0..8).for_each(|_| drop(server.get("/").expect(200)));
    is_well(&server, 3);
    assert!(!server.notifications().iter().any(|said| said.contains("trigger")));
}

#[test]
fn the_only_worker_is_replaced_too() {
    let server = watched("").start();
    stop(server.workers()[0], Signal::SIGSTOP);
    server.wait_for_log("is killed: its loop has not answered for", 1);
    server.get("/").expect(200);
    is_well(&server, 3);
    assert!(!server.notifications().iter().any(|said| said.contains("trigger")));
}

#[test]
fn a_lock_that_is_never_given_back_is_the_end_and_the_log_says_where() {
    let server = watched("processes=2").start();
    server.workers().into_iter().for_each(wait_until_it_can_tell);
    let mut clients = Vec::new();
    for pid in server.workers() {
        let file = server.place.join(&format!("entered-{pid}"));
        wait::until("both hold it", || {
            clients.push(server.connect_and_send("/hang"));
            wait::within(Duration::from_millis(300), || file.exists().then_some(()))
        });
    }
    // On a slow machine more have been sent than two; they are not for the next workers.
    server.place.write("enough", "");
    server.wait_for_notification("WATCHDOG=trigger", 1);
    server.wait_for_log("no worker has run Python code for", 1);
    server.wait_for_log("hangs while it ran GET /hang", 2);
    server.wait_for_log("systemd is asked to restart the service", 1);
    // The stacks, as `faulthandler` writes them.
    server.wait_for_log("in application", 2);
    let said = server.notifications();
    let why = said.iter().position(|one| one.contains("Python has not answered for")).unwrap();
    let trigger = said.iter().position(|one| one == "WATCHDOG=trigger").unwrap();
    assert!(why < trigger, "{said:?}");
    assert!(!said[trigger..].iter().any(|one| one == "WATCHDOG=1"), "{said:?}");
    // Without a systemd that ends it now, which this one is, it is still there, and can be stopped.
    server.workers().into_iter().for_each(|pid| stop(pid, Signal::SIGKILL));
    server.wait_for_log("Python answers again", 1);
    is_well(&server, 2);
    server.get("/").expect(200);
}

#[test]
fn one_worker_whose_lock_is_gone_is_told_and_the_others_are_enough() {
    let server = watched("processes=2").start();
    let _client = server.connect_and_send("/hang");
    server.wait_for_log("has not run Python code for 1.", 1);
    server.wait_for_log("while it ran GET /hang", 1);
    is_well(&server, 4);
    assert!(!server.notifications().iter().any(|said| said.contains("trigger")));
    assert_eq!(server.log().matches("has not run Python code").count(), 1, "{}", server.log());
    server.get("/").expect(200);
    server.workers().into_iter().for_each(|pid| stop(pid, Signal::SIGKILL));
}

#[test]
fn a_request_may_hold_the_lock_for_as_long_as_harakiri_lets_it() {
    let server = watched("harakiri=8\nharakiri-grace=1").start();
    let mut client = server.connect_and_send("/hold?3");
    client.response().expect(200);
    assert!(!server.notifications().iter().any(|said| said.contains("trigger")));
    assert!(!server.log().contains("Python code"), "{}", server.log());
    is_well(&server, 2);
}

#[test]
fn long_requests_that_wait_are_no_hang() {
    let server = watched("threads=2").start();
    let mut clients: Vec<_> = (0..2).map(|_| server.connect_and_send("/wait?3")).collect();
    clients.iter_mut().for_each(|client| drop(client.response().expect(200)));
    assert!(!server.log().contains("Python code"), "{}", server.log());
    is_well(&server, 2);
}

#[test]
fn an_instance_that_was_stopped_as_a_whole_goes_on() {
    let server = watched("processes=2").start();
    is_well(&server, 1);
    let all: Vec<i32> = server.place.processes();
    all.iter().for_each(|pid| stop(*pid, Signal::SIGSTOP));
    let silent = wait::within(Duration::from_secs(4), || None::<()>);
    assert!(silent.is_none());
    all.iter().for_each(|pid| stop(*pid, Signal::SIGCONT));
    is_well(&server, 4);
    assert!(!server.log().contains("is killed"), "{}", server.log());
    server.get("/").expect(200);
}

#[test]
fn who_imports_drains_or_is_paused_is_not_asked() {
    let server = watched("processes=1\nlazy-apps=true").start();
    stop(server.pid(), Signal::SIGTSTP);
    server.wait_for_log("paused: ", 1);
    let worker = server.workers()[0];
    stop(worker, Signal::SIGSTOP);
    is_well(&server, 5);
    stop(worker, Signal::SIGCONT);
    stop(server.pid(), Signal::SIGTSTP);
    server.wait_for_log("resumed after", 1);
    let slow = format!("import time\ntime.sleep(3)\n{APP}");
    server.place.write("app.py", &slow);
    stop(server.pid(), Signal::SIGHUP);
    is_well(&server, 5);
    server.wait_for_notification("READY=1", 2);
    assert!(!server.log().contains("is killed"), "{}", server.log());
    assert!(!server.log().contains("Python code"), "{}", server.log());
}

#[test]
fn garbage_is_no_watchdog_and_harms_nobody() {
    for garbage in ["", "0", "soon", "-1", "99999999999999999999999"] {
        let server = Setup::new("").variable("WATCHDOG_USEC", garbage).start();
        server.get("/ok").expect(200);
        assert_eq!(alive(&server), 0, "{garbage}");
    }
    let server = Setup::new("").variable("WATCHDOG_USEC", "18446744073709551615").start();
    server.get("/ok").expect(200);
    server.wait_for_notification("WATCHDOG=1", 1);
}
