//! Too little of something: descriptors, disk, memory; and things that vanish.

use std::fs;
use std::process::{Command, Stdio};

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use serde_json::Value;

use crate::support::client::Client;
use crate::support::server::{Server, address};
use crate::support::setup::Setup;
use crate::support::wait;

/// It uses up what a request says.
const SPENDER: &str = "
import os, time
KEPT = []
def descriptors(environ):
    while True:
        KEPT.append(os.open('/dev/null', os.O_RDONLY))
def memory(environ):
    KEPT.append(b'x' * (8 << 30))
def free(environ):
    while KEPT:
        os.close(KEPT.pop())
def children(environ):
    for number in range(3):
        if os.fork() == 0:
            open('entered-child%d' % number, 'w').close()
            while not os.path.exists('open-children'):
                time.sleep(0.005)
            os._exit(0)
def application(environ, start_response):
    what = environ['PATH_INFO'].strip('/')
    try:
        if what in globals():
            globals()[what](environ)
        body = environ['wsgi.input'].read()
    except (OSError, MemoryError) as error:
        start_response('500 Oops', [])
        return [repr(error).encode()]
    start_response('200 OK', [])
    return [str(os.getpid()).encode()]
";

fn limited(lines: &str, script: &'static str) -> Setup {
    Setup::new(lines).app(SPENDER).shell(script, Stdio::null())
}

#[test]
fn a_start_with_too_few_descriptors_says_which_limit_to_raise() {
    for script in ["ulimit -n 10; exec \"$@\"", "ulimit -n 40; exec \"$@\""] {
        let ended = limited("processes=8", script).run();
        ended.refuses(71, &["files may be open, but the master needs", "LimitNOFILE="]);
    }
}

#[test]
fn a_limit_of_descriptors_that_may_be_raised_is_raised() {
    let server = limited("processes=4", "ulimit -S -n 20; exec \"$@\"").start();
    server.reload(1);
    server.wait_for_log("reloaded: 4 workers", 1);
    server.get("/").expect(200);
}

#[test]
fn a_worker_whose_application_has_taken_all_descriptors_serves_again_when_it_gives_them_back() {
    let server = limited("threads=2", "ulimit -n 120; exec \"$@\"").start();
    let mut client = server.connect();
    assert!(client.get("/descriptors").expect(500).text().contains("Too many open files"));
    // Of the descriptors that connections need there is none; this one is there.
    client.get("/free").expect(200);
    server.get("/").expect(200);
}

#[test]
fn memory_that_is_not_there_costs_a_request_and_no_worker() {
    let server = limited("", "ulimit -v 4000000; exec \"$@\"").start();
    let pid = server.get("/").expect(200).text();
    assert!(server.get("/memory").expect(500).text().contains("MemoryError"));
    assert_eq!(server.get("/").expect(200).text(), pid);
}

#[test]
fn a_control_socket_without_descriptors_is_there_again_when_there_are_some() {
    let setup = Setup::new("").app(SPENDER);
    let directory = setup.place.path().display().to_string();
    let server = setup.variable("RUNTIME_DIRECTORY", &directory).start();
    let limit = |number: &str| {
        let pid = format!("--pid={}", server.pid());
        let done =
            Command::new("prlimit").args([&pid, &format!("--nofile={number}:8192")]).status();
        assert!(done.unwrap().success());
    };
    limit("3");
    let waiting = std::os::unix::net::UnixStream::connect(server.place.join("control")).unwrap();
    server.wait_for_log("the control socket: Too many open files", 1);
    drop(waiting);
    limit("8192");
    let control = server.place.join("control").display().to_string();
    let status = Setup::new("").arguments(&["status", "--json", &control]).run();
    let status: Value = serde_json::from_str(&status.stdout).unwrap();
    assert_eq!(status["workers"][0]["phase"], "ready");
}

/// Whether a shell may mount a file system that nobody else sees.
fn can_mount() -> bool {
    let probe = ["-m", "sh", "-c", "mount -t tmpfs tmpfs /mnt"];
    let tried = Command::new("unshare").args(probe).stderr(Stdio::null()).status();
    tried.is_ok_and(|status| status.success())
}

#[test]
fn a_body_for_which_the_disk_has_no_room_is_refused_and_the_others_are_not() {
    if !can_mount() {
        return println!("skipped: no file system can be mounted here");
    }
    let script = "mkdir spool && exec unshare -m sh -c 'mount -t tmpfs -o size=64k tmpfs spool && \
                  TMPDIR=$PWD/spool exec \"$@\"' sh \"$@\"";
    let server = limited("post-buffering=4096", script).start();
    let head = "POST / HTTP/1.1\r\nHost: test\r\nContent-Length: 1000000\r\n\r\n";
    let mut client = server.connect();
    client.send(head);
    let _ = client.try_send("x".repeat(1_000_000));
    client.response().expect(503);
    server.wait_for_log("cannot store the body of a request: No space left on device", 1);
    server.wait_for_log("make room, or set TMPDIR", 1);
    let small = "POST / HTTP/1.1\r\nHost: test\r\nContent-Length: 8000\r\n\r\n";
    server.ask(&format!("{small}{}", "y".repeat(8000))).expect(200);
}

#[test]
fn an_application_that_vanishes_serves_on_and_its_reload_says_what_is_missing() {
    let setup = Setup::classic(
        "[rwsgi]\nhttp = 127.0.0.1:0\nchdir = %d/code\nwsgi-file = code.py\nprocesses=2\n",
    );
    fs::create_dir(setup.place.join("code")).unwrap();
    let server = setup.file("code/code.py", SPENDER).start();
    fs::remove_file(server.place.join("code/code.py")).unwrap();
    server.reload(1);
    server.wait_for_log("reload failed, the old code serves on:", 1);
    server.wait_for_log("code.py", 1);
    fs::remove_dir_all(server.place.join("code")).unwrap();
    server.reload(2);
    server.wait_for_log("cannot be entered", 1);
    // The template has what a worker needs.
    kill(Pid::from_raw(server.workers()[0]), Signal::SIGKILL).unwrap();
    server.wait_for_log(") serves", 3);
    (0..8).for_each(|_| drop(server.get("/").expect(200)));
}

#[test]
fn a_stopped_master_stops_nobody_from_being_served_or_from_logging() {
    let app = format!(
        "{SPENDER}\ndef talk(environ):\n    print('x' * 200000)\n    environ['wsgi.errors'].write('y\\n')\n"
    );
    let mut server = Setup::new("processes=2").app(&app).start();
    server.signal(Signal::SIGSTOP);
    (0..8).for_each(|_| drop(server.get("/talk").expect(200)));
    server.wait_for_log("xxxxxxxx", 8);
    server.signal(Signal::SIGCONT);
    server.get("/").expect(200);
    assert!(server.stop().success());
}

#[test]
fn children_that_the_application_leaves_behind_do_not_hold_the_port() {
    let mut setup = Setup::new("").app(SPENDER);
    let mut first = setup.spawn().unwrap();
    let listening = address(&setup.place, "stderr");
    Client::connect(listening).get("/children").expect(200);
    (0..3).for_each(|number| setup.place.wait_for_gate(&format!("child{number}")));
    kill(Pid::from_raw(i32::try_from(first.id()).unwrap()), Signal::SIGTERM).unwrap();
    assert!(wait::until("the end", || first.try_wait().unwrap()).success());
    assert_eq!(setup.place.processes().len(), 3);
    setup.place.write(
        "app.ini",
        &format!("[rwsgi]\nhttp = {listening}\nchdir = %d\nwsgi-file = app.py\n"),
    );
    let server: Server = setup.start();
    server.get("/").expect(200);
    server.place.open_gate("children");
}
