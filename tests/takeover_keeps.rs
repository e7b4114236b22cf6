//! What others have begun before a new program takes over, and goes on under it.

use std::fs::OpenOptions;
use std::io::Write as _;
use std::os::unix::fs::OpenOptionsExt as _;
use std::os::unix::net::UnixStream;
use std::time::Duration;

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use serde_json::json;

use crate::support::control::{answer, connect, setup, status, tell};
use crate::support::server::Server;
use crate::support::upgrade::{WITH_GATES, replaceable, upgrade, upgrade_to};
use crate::support::wait;

fn server(lines: &str) -> Server {
    replaceable(setup(lines)).start()
}

fn send(server: &Server, command: &str) -> UnixStream {
    let mut stream = connect(server);
    writeln!(stream, "{}", json!({"command": command})).unwrap();
    stream
}

/// The next program takes over, and does what a reload does.
fn take_over(server: &Server) {
    upgrade(&server.place);
    server.signal(Signal::SIGHUP);
    server.wait_for_log(" has taken over from ", 1);
}

fn write(server: &Server, fifo: &str, letters: &str) {
    // One that nobody reads is an error, and no wait.
    let mut options = OpenOptions::new();
    options.write(true).custom_flags(nix::libc::O_NONBLOCK);
    let mut file = options.open(server.place.join(fifo)).unwrap();
    file.write_all(letters.as_bytes()).unwrap();
}

#[test]
fn a_pause_goes_on_and_who_waits_until_nothing_runs_is_told() {
    let server = server("");
    let mut running = server.connect_and_send("/gate?old");
    server.place.wait_for_gate("old");
    let drained = send(&server, "drain");
    server.wait_for_log("paused: ", 1);
    let mut held = server.connect_and_send("/ok");
    take_over(&server);
    server.wait_for_log("reloaded: 1 worker", 1);
    assert_eq!(status(&server)["state"], "paused");
    assert!(held.is_silent_for(Duration::from_millis(300)), "it is answered");
    server.place.open_gate("old");
    running.response().expect(200);
    assert_eq!(answer(drained)["message"], "drained: 0 requests run");
    assert_eq!(tell(&server, &["resume"]), "resumed\n");
    held.response().expect(200);
    server.wait_for_log(") left", 1);
}

#[test]
fn what_workers_of_the_old_program_write_is_logged_by_the_new_one() {
    let app = "\
import os, time
def application(environ, start_response):
    os.write(1, b'half a ')
    open('entered-old', 'w').write(str(os.getpid()))
    while not os.path.exists('open-old'):
        time.sleep(0.005)
    os.write(1, b'line\\n' + b'x' * 200000 + b'\\n')
    start_response('200 OK', [])
    return [b'done']
";
    let server = replaceable(setup("").app(app)).start();
    let mut client = server.connect_and_send("/");
    server.place.wait_for_gate("old");
    take_over(&server);
    server.wait_for_log("reloaded: 1 worker", 1);
    server.place.open_gate("old");
    client.response().expect(200);
    // A line that does not end within a second is told in two.
    wait::until("half a line", || {
        let log = server.log();
        let whole = log.contains("worker 1: half a line\n");
        let halves = log.contains("worker 1: half a \n") && log.contains("worker 1: line\n");
        (whole || halves).then_some(())
    });
    server.wait_for_log(") left", 1);
}

#[test]
fn letters_that_are_written_between_two_programs_are_obeyed() {
    let server = server("master-fifo=zero\nmaster-fifo=one");
    write(&server, "zero", "1");
    let moved = || {
        OpenOptions::new()
            .write(true)
            .custom_flags(nix::libc::O_NONBLOCK)
            .open(server.place.join("one"))
            .ok()
    };
    drop(wait::until("a reader of the other FIFO", moved));
    upgrade_to(&server.place, WITH_GATES);
    server.place.open_gate("check");
    write(&server, "one", "r");
    assert_eq!(server.place.pid_at_gate("start"), server.pid());
    write(&server, "one", "s");
    server.place.open_gate("start");
    server.wait_for_log("requests     0 answered", 1);
    server.wait_for_log("reloaded: 1 worker", 1);
    write(&server, "one", "q");
    server.wait_for_log("stopped after ", 1);
    wait::until("no FIFO", || (!server.place.join("one").exists()).then_some(()));
}

#[test]
fn files_are_watched_by_the_new_program_too() {
    let server = server("touch-reload=go");
    let good = server.place.read("app.py");
    server.place.write("app.py", "import nowhere");
    take_over(&server);
    server.wait_for_log("reload failed, the old code serves on", 1);
    server.place.write("app.py", &good);
    server.place.write("go", "");
    server.wait_for_log("go has changed (touch-reload)", 1);
    server.wait_for_log("reloaded: 1 worker", 1);
}

#[test]
fn who_sleeps_is_woken_by_whoever_connects_also_when_the_new_code_is_broken() {
    let server = server("idle=1");
    server.wait_for_log("all workers leave: no request for 1 s (idle)", 1);
    server.place.write("app.py", "import nowhere");
    take_over(&server);
    server.wait_for_log("reload failed, the old code serves on", 1);
    server.get("/ok").expect(200);
    server.wait_for_log("1 worker again: somebody connects", 1);
}

#[test]
fn what_became_of_workers_is_still_known() {
    let server = server("");
    kill(Pid::from_raw(server.workers()[0]), Signal::SIGKILL).unwrap();
    server.wait_for_log(") serves", 2);
    let restarts = status(&server)["workers"][0]["restarts"].clone();
    assert_eq!(restarts, 1);
    server.place.write("app.py", "import nowhere");
    take_over(&server);
    server.wait_for_log("reload failed, the old code serves on", 1);
    assert_eq!(status(&server)["workers"][0]["restarts"], restarts);
}
