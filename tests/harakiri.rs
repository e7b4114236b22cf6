//! Requests that take too long.

use std::io::Write as _;

use nix::sys::stat::Mode;

use crate::support::client::Client;
use crate::support::server::Server;
use crate::support::setup::Setup;
use crate::support::wait;

/// Ways not to end.
const APP: &str = "
import ctypes
import functools
import os


def application(environ, start_response):
    return globals()['do_' + environ['PATH_INFO'].strip('/')](environ, start_response)


def enter(name):
    open('entered-' + name, 'w').close()


def do_ok(environ, start_response):
    start_response('200 OK', [])
    return [b'ok']


def do_spin(environ, start_response):
    enter('spin')
    while True:
        pass


def do_begun(environ, start_response):
    start_response('200 OK', [])
    yield b'begun'
    while True:
        pass


def do_written(environ, start_response):
    start_response('200 OK', [])(b'x' * 1000000)
    while True:
        pass


def do_tidy(environ, start_response):
    try:
        do_spin(environ, start_response)
    except Exception as error:
        enter(type(error).__name__)
        start_response('500 Oops', [])
        return [b'nobody reads this']
    finally:
        enter('finally')


def spin_until_open():
    while not os.path.exists('open-stubborn'):
        pass


def do_stubborn(environ, start_response):
    while not os.path.exists('open-stubborn'):
        try:
            spin_until_open()
        except Exception:
            pass
    return do_ok(environ, start_response)


def do_read(environ, start_response):
    enter('read')
    return [environ['wsgi.input'].read()]


def do_wait(environ, start_response):
    try:
        os.read(os.open('pipe', os.O_RDWR), 1)
        enter('after-wait')
    except Exception as error:
        enter(type(error).__name__)
        raise
    return do_ok(environ, start_response)


def do_native(environ, start_response):
    '''Waits, and ends, without a step of Python code in between.'''
    start_response('200 OK', [])
    return iter(functools.partial(os.read, os.open('pipe', os.O_RDWR), 1), b'.')


def do_hold(environ, start_response):
    '''Waits without giving Python's lock back.'''
    enter('hold')
    ctypes.PyDLL(None).sleep(1000)
";

/// A server that lets a request take a second, and gives it another one.
fn server(lines: &str) -> Server {
    let setup = Setup::new(&format!("harakiri=1\nharakiri-grace=1\n{lines}")).app(APP);
    nix::unistd::mkfifo(&setup.place.join("pipe"), Mode::S_IRWXU).unwrap();
    setup.start()
}

/// Lets those go on who read from the pipe.
fn release(server: &Server, text: &[u8]) {
    let mut pipe = std::fs::OpenOptions::new().write(true).open(server.place.join("pipe")).unwrap();
    pipe.write_all(text).unwrap();
}

/// The `count` entries of the log that have `text` in their first line, with all of their lines.
fn entries(server: &Server, text: &str, count: usize) -> Vec<String> {
    server.wait_for_log(text, count);
    let mut all: Vec<String> = Vec::new();
    for line in server.log().lines() {
        match all.last_mut().filter(|_| line.starts_with("    ")) {
            Some(last) => last.extend(["\n", line]),
            None => all.push(line.to_owned()),
        }
    }
    let has = |entry: &String| entry.lines().next().is_some_and(|first| first.contains(text));
    all.retain(has);
    assert_eq!(all.len(), count, "{}", server.log());
    all
}

fn serves_on(server: &Server) {
    (0..20).for_each(|_| drop(server.get("/ok").expect(200)));
}

#[test]
fn a_request_without_end_gets_504_and_the_log_says_where_it_was() {
    let server = server("");
    server.get("/spin").expect(504);
    serves_on(&server);
    let told = entries(&server, "GET /spin has been running for ", 1);
    assert!(told[0].contains("it is interrupted, and its client gets 504"), "{}", told[0]);
    assert!(told[0].contains("in do_spin\n"), "{}", told[0]);
    assert!(!server.log().contains("Traceback"), "told twice:\n{}", server.log());
}

#[test]
fn a_connection_ends_with_504_and_says_so() {
    let server = server("");
    let mut client = server.connect();
    assert_eq!(client.get("/spin").expect(504).field("connection"), Some("close"));
    assert!(client.is_closed());
    let mut client = server.connect();
    client.send("HEAD /spin HTTP/1.1\r\nHost: test\r\n\r\n");
    assert_eq!(client.response_to_head().status, 504);
    assert!(client.is_closed());
    server.get("/ok").expect(200);
}

#[test]
fn a_response_that_has_begun_breaks_off() {
    let server = server("");
    for path in ["/begun", "/written"] {
        let response = server.get(path);
        assert!(response.status == 200 && !response.complete, "{path}: {response:?}");
        serves_on(&server);
    }
    entries(&server, "and its response breaks off", 2);
}

#[test]
fn the_application_can_tidy_up() {
    let server = server("");
    server.get("/tidy").expect(504);
    server.place.wait_for_gate("RequestTimeout");
    server.place.wait_for_gate("finally");
    serves_on(&server);
}

#[test]
fn an_exception_that_does_not_arrive_in_time_hits_no_other_request() {
    let server = server("harakiri-grace=20");
    server.get("/native").expect(504);
    server.wait_for_log("it is interrupted", 1);
    release(&server, b".");
    serves_on(&server);
    assert!(!server.log().contains("RequestTimeout"), "{}", server.log());
}

#[test]
fn a_body_that_does_not_come_is_not_waited_for() {
    let server = server("post-buffering=0");
    let mut client = server.connect();
    client.send("POST /read HTTP/1.1\r\nHost: test\r\nContent-Length: 9\r\n\r\n");
    client.response().expect(504);
    serves_on(&server);
}

#[test]
fn other_threads_serve_on_meanwhile() {
    let server = server("threads=3");
    let mut late: Vec<Client> = (0..2).map(|_| server.connect_and_send("/spin")).collect();
    server.place.wait_for_gate("spin");
    serves_on(&server);
    late.iter_mut().for_each(|client| drop(client.response().expect(504)));
    serves_on(&server);
    entries(&server, "it is interrupted", 2);
}

#[test]
fn who_waits_outside_of_python_asks_to_be_replaced_and_others_serve_on() {
    let server = server("threads=2");
    server.get("/wait").expect(504);
    serves_on(&server);
    server.wait_for_log("is replaced: GET /wait was interrupted", 1);
    let told = entries(&server, "error: GET /wait was interrupted and has not ended after", 1);
    assert!(told[0].contains("in do_wait\n"), "{told:?}");
    release(&server, b".");
    server.place.wait_for_gate("RequestTimeout");
    serves_on(&server);
    assert!(!server.place.join("entered-after-wait").exists());
}

#[test]
fn who_ignores_the_exception_asks_to_be_replaced() {
    let server = server("threads=2");
    server.get("/stubborn").expect(504);
    server.wait_for_log("is replaced: GET /stubborn was interrupted", 1);
    serves_on(&server);
    server.place.open_gate("stubborn");
    serves_on(&server);
    entries(&server, "it is interrupted", 1);
}

fn is_killed(server: &Server) {
    let mut client = server.connect_and_send("/hold");
    client.response().expect(504);
    server.wait_for_log("is killed: GET /hold was interrupted and has not ended after", 1);
    server.wait_for_log("was killed by the master while it ran GET /hold", 1);
    server.wait_for_log(") serves", 2);
    serves_on(server);
    let told = entries(server, "GET /hold has been running", 1);
    assert!(told[0].contains("where it is cannot be told"), "{}", told[0]);
}

#[test]
fn code_that_holds_the_lock_is_killed_with_its_worker() {
    is_killed(&server(""));
}

#[test]
fn code_that_holds_the_lock_is_killed_whoever_leads() {
    is_killed(&server("threads=4"));
}

#[test]
fn a_warning_comes_once_and_harms_nobody() {
    let server = Server::new("harakiri-warn=1\nthreads=2");
    let mut client = server.connect_and_send("/gate?a");
    server.wait_for_log("GET /gate has been running for ", 1);
    server.place.open_gate("a");
    client.response().expect(200);
    let told = entries(&server, "GET /gate has been running", 1);
    assert!(told[0].contains("warning: ") && told[0].contains("in gate\n"), "{}", told[0]);
}

#[test]
fn a_warning_comes_before_the_end() {
    let server = server("harakiri=2\nharakiri-warn=1");
    server.get("/spin").expect(504);
    let log = wait::until("both", || {
        let log = server.log();
        log.contains("it is interrupted").then_some(log)
    });
    let told: Vec<_> = log.lines().filter(|line| line.contains("GET /spin has been")).collect();
    assert!(told.len() == 2 && told[0].contains("warning: "), "{log}");
    assert!(told[1].contains("it is interrupted"), "{log}");
}

#[test]
fn without_limits_nothing_ends() {
    let server = Server::new("");
    let mut client = server.connect_and_send("/gate?a");
    assert!(client.is_silent_for(std::time::Duration::from_secs(2)));
    server.place.open_gate("a");
    client.response().expect(200);
    assert!(!server.log().contains("has been running"), "{}", server.log());
}
