//! `rwsgi stacks`: where Python is.

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use serde_json::Value;

use crate::support::server::Server;
use crate::support::setup::{Ended, Setup};
use crate::support::wait;

const HOLD: &str = "
import ctypes
def application(environ, start_response):
    open('entered-hold', 'w').close()
    ctypes.PyDLL(None).sleep(1000)
";

/// A server with a control socket.
fn start(setup: Setup) -> Server {
    let directory = setup.place.path().display().to_string();
    setup.variable("RUNTIME_DIRECTORY", &directory).start()
}

fn run(arguments: &[&str]) -> Ended {
    let ended = Setup::new("").arguments(arguments).run();
    assert_eq!(ended.code(), 0, "{}", ended.stderr);
    ended
}

fn stacks(server: &Server) -> String {
    run(&["stacks", &server.place.join("control").display().to_string()]).stdout
}

#[test]
fn it_tells_where_each_thread_is_and_what_it_runs() {
    let server = start(Setup::new("threads=3"));
    let mut client = server.connect_and_send("/gate?a");
    server.place.wait_for_gate("a");
    let text = stacks(&server);
    let pid = server.workers()[0];
    assert!(text.starts_with(&format!("worker 1 (pid {pid})\n")), "{text}");
    assert_eq!(text.matches("  thread ").count(), 3, "{text}");
    assert_eq!(text.matches(", idle\n").count(), 2, "{text}");
    let busy = text.split("  thread ").find(|thread| thread.contains("runs GET /gate (")).unwrap();
    assert!(busy.contains("app.py\", line ") && busy.contains(", in do_gate\n"), "{text}");
    assert!(busy.contains("    gate(environ['QUERY_STRING'])\n"), "no source line: {text}");
    server.place.open_gate("a");
    client.response().expect(200);
}

#[test]
fn it_tells_of_threads_of_the_application() {
    let app = "
import threading
def brood():
    open('entered-brood', 'w').close()
    threading.Event().wait()
started = []
def application(environ, start_response):
    started.append(threading.Thread(target=brood, name='the\\nhen', daemon=True))
    started[0].start()
    start_response('200 OK', [])
    return [b'ok']
";
    let server = start(Setup::new("").app(app));
    server.get("/").expect(200);
    server.place.wait_for_gate("brood");
    let text = stacks(&server);
    assert!(text.contains("  thread the\\x0ahen\n") && text.contains(", in brood\n"), "{text}");
}

#[test]
fn it_tells_all_workers_as_json() {
    let server = start(Setup::new("processes=2"));
    let path = server.place.join("control").display().to_string();
    let told: Value = serde_json::from_str(&run(&["stacks", "--json", &path]).stdout).unwrap();
    let workers = told.as_array().unwrap();
    let mut pids: Vec<_> = workers.iter().filter_map(|worker| worker["pid"].as_i64()).collect();
    pids.sort_unstable();
    let mut expected: Vec<_> = server.workers().into_iter().map(i64::from).collect();
    expected.sort_unstable();
    assert_eq!(pids, expected);
    for worker in workers {
        let thread = &worker["threads"][0];
        assert_eq!((&thread["name"], &thread["thread"]), (&"MainThread".into(), &1.into()));
        assert_eq!(worker["problem"], Value::Null);
    }
}

/// One whose Python is stuck, beside one that is not.
#[test]
fn of_a_stuck_worker_it_says_so_and_does_not_hang() {
    let server = start(Setup::new("processes=2\nthreads=2").app(HOLD));
    let _client = server.connect_and_send("/hold");
    server.place.wait_for_gate("hold");
    let text = stacks(&server);
    let expected =
        "  Python does not answer: code that does not return holds its lock\n  it runs GET /hold (";
    assert!(text.contains(expected), "{text}");
    assert_eq!(text.matches("thread MainThread").count(), 1, "{text}");
    end_busy(&server, "/hold");
}

/// Ends the worker that runs this path: nothing else can.
fn end_busy(server: &Server, path: &str) {
    let control = server.place.join("control").display().to_string();
    let told: Value = serde_json::from_str(&run(&["status", "--json", &control]).stdout).unwrap();
    let workers = told["workers"].as_array().unwrap();
    let busy = workers.iter().find(|worker| worker["running"][0]["path"] == path).unwrap();
    let pid = i32::try_from(busy["pid"].as_i64().unwrap()).unwrap();
    kill(Pid::from_raw(pid), Signal::SIGKILL).unwrap();
    server.wait_for_log("(SIGKILL)", 1);
}

#[test]
fn of_a_stopped_worker_it_says_so() {
    let server = start(Setup::new(""));
    let pid = Pid::from_raw(server.workers()[0]);
    kill(pid, Signal::SIGSTOP).unwrap();
    let stat = format!("/proc/{pid}/stat");
    wait::until("a stopped worker", || {
        std::fs::read_to_string(&stat).unwrap().contains(") T ").then_some(())
    });
    let text = stacks(&server);
    kill(pid, Signal::SIGCONT).unwrap();
    assert!(text.contains("  the process is stopped\n"), "{text}");
    assert!(stacks(&server).contains("thread MainThread"));
}

#[test]
fn it_finds_an_instance_by_its_pidfile() {
    let server = start(Setup::new("pidfile = app.pid"));
    let pidfile = server.place.join("app.pid").display().to_string();
    assert!(run(&["--stacks", &pidfile]).stdout.contains("thread MainThread, idle"));
}

#[test]
fn an_instance_without_control_socket_is_told() {
    let server = Server::new("pidfile = app.pid");
    let pidfile = server.place.join("app.pid").display().to_string();
    let ended = Setup::new("").arguments(&["--stacks", &pidfile]).run();
    ended.refuses(69, &["has no control socket", "control-socket = PATH"]);
}

#[test]
fn nobody_there_is_69() {
    let ended = Setup::new("").arguments(&["stacks", "nobody-has-this-name"]).run();
    ended.refuses(69, &["nobody answers", "journalctl -u rwsgi@nobody-has-this-name"]);
}
