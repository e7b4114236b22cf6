//! How long the application allows itself for a request.

use std::time::{Duration, Instant};

use nix::sys::stat::Mode;

use crate::support::client::Response;
use crate::support::server::Server;
use crate::support::setup::Setup;

/// `/NAME?SECONDS` sets the limit and goes on until it is interrupted, or a gate is opened.
const APP: &str = "
import os
import threading
import time

import rwsgi
import uwsgi
import uwsgidecorators


def application(environ, start_response):
    name, query = environ['PATH_INFO'].strip('/'), environ['QUERY_STRING']
    return globals()['do_' + name](query, start_response)


def answer(start_response, text='ok'):
    start_response('200 OK', [])
    return [str(text).encode()]


def spin(gate='open-spin'):
    while not os.path.exists(gate):
        pass


def do_ok(query, start_response):
    return answer(start_response)


def do_spin(query, start_response):
    spin()
    return answer(start_response)


def do_uwsgi(query, start_response):
    uwsgi.set_user_harakiri(int(query))
    spin()
    return answer(start_response)


def do_rwsgi(query, start_response):
    rwsgi.set_deadline(float(query) if query else None)
    spin()
    return answer(start_response)


def do_twice(query, start_response):
    uwsgi.set_user_harakiri(1)
    uwsgi.set_user_harakiri(int(query))
    spin()
    return answer(start_response)


def do_stream(query, start_response):
    start_response('200 OK', [])
    yield b'begun'
    uwsgi.set_user_harakiri(int(query))
    spin()


def do_wait(query, start_response):
    uwsgi.set_user_harakiri(int(query))
    os.read(os.open('pipe', os.O_RDWR), 1)
    return answer(start_response)


@uwsgidecorators.harakiri(1)
def limited(gate):
    spin(gate)


def do_decorated(query, start_response):
    limited('open-decorated' if query else 'app.py')
    spin()
    return answer(start_response)


def refused(call, *arguments):
    try:
        call(*arguments)
    except (RuntimeError, ValueError, TypeError) as error:
        return '%s: %s' % (type(error).__name__, error)


def do_bad(query, start_response):
    calls = [(rwsgi.set_deadline, 0), (rwsgi.set_deadline, -1), (rwsgi.set_deadline, float('nan')),
             (uwsgi.set_user_harakiri, -1), (uwsgi.set_user_harakiri, 'x')]
    return answer(start_response, [refused(*call).split(':')[0] for call in calls])


AT_IMPORT = refused(uwsgi.set_user_harakiri, 1)


def do_elsewhere(query, start_response):
    found = []
    thread = threading.Thread(target=lambda: found.append(refused(rwsgi.set_deadline, 1)))
    thread.start()
    thread.join()
    return answer(start_response, '%s|%s' % (AT_IMPORT, found[0]))


def do_interrupted(query, start_response):
    try:
        spin()
    except rwsgi.RequestTimeout:
        rwsgi.set_deadline(None)
        spin('open-interrupted')
    return answer(start_response)
";

fn server(lines: &str) -> Server {
    let setup = Setup::new(lines).app(APP);
    nix::unistd::mkfifo(&setup.place.join("pipe"), Mode::S_IRWXU).unwrap();
    setup.start()
}

fn timed(server: &Server, path: &str) -> (Response, Duration) {
    let began = Instant::now();
    let response = server.get(path);
    (response, began.elapsed())
}

fn serves_on(server: &Server) {
    (0..5).for_each(|_| drop(server.get("/ok").expect(200)));
}

/// After a second, and not of what is configured.
fn is_shorter(lines: &str, path: &str) {
    let server = server(lines);
    let (response, took) = timed(&server, path);
    response.expect(504);
    assert!(took >= Duration::from_millis(900), "{took:?}");
    server.wait_for_log("it is interrupted", 1);
    server.wait_for_log(", in spin\n", 1);
    serves_on(&server);
}

#[test]
fn a_request_has_a_limit_where_none_is_configured() {
    is_shorter("", "/uwsgi?1");
    is_shorter("", "/rwsgi?0.9");
}

#[test]
fn a_request_has_a_limit_whoever_leads() {
    is_shorter("threads=4", "/uwsgi?1");
}

#[test]
fn a_limit_of_its_own_may_be_shorter() {
    is_shorter("harakiri=3600", "/uwsgi?1");
    is_shorter("harakiri-warn=3600", "/rwsgi?1");
}

/// It is still there when a request that began later has had its time.
fn outlasts(lines: &str, path: &str) {
    let server = server(&format!("threads=2\n{lines}"));
    let mut client = server.connect_and_send(path);
    server.get("/rwsgi?3").expect(504);
    server.wait_for_log("it is interrupted", 1);
    server.place.open_gate("spin");
    client.response().expect(200);
    assert_eq!(server.log().matches("it is interrupted").count(), 1, "{}", server.log());
}

#[test]
fn a_limit_of_its_own_may_be_longer() {
    outlasts("harakiri=1", "/uwsgi?3600");
}

#[test]
fn a_request_may_have_no_limit() {
    outlasts("harakiri=1", "/rwsgi");
}

#[test]
fn a_limit_that_is_taken_back_is_none() {
    outlasts("", "/twice?0");
}

#[test]
fn a_limit_that_is_taken_back_leaves_what_is_configured() {
    let server = server("harakiri=2");
    let (response, took) = timed(&server, "/twice?0");
    response.expect(504);
    assert!(took >= Duration::from_millis(1900), "{took:?}");
    server.wait_for_log("GET /twice has been running for 2.", 1);
}

#[test]
fn the_next_request_of_the_thread_has_the_common_limit() {
    let server = server("harakiri=1");
    server.place.open_gate("spin");
    server.get("/uwsgi?3600").expect(200);
    std::fs::remove_file(server.place.join("open-spin")).unwrap();
    server.get("/spin").expect(504);
    let server = self::server("");
    server.get("/uwsgi?1").expect(504);
    let mut client = server.connect_and_send("/spin");
    assert!(client.is_silent_for(Duration::from_secs(2)));
    server.place.open_gate("spin");
    client.response().expect(200);
}

#[test]
fn a_response_that_has_begun_breaks_off_at_a_limit_of_its_own() {
    let server = server("");
    let response = server.get("/stream?1");
    assert!(response.status == 200 && !response.complete, "{response:?}");
    serves_on(&server);
}

#[test]
fn who_cannot_be_interrupted_is_replaced_without_any_configured_limit() {
    let server = server("harakiri-grace=1\nthreads=2");
    server.get("/wait?1").expect(504);
    server.wait_for_log("is replaced: GET /wait was interrupted", 1);
    server.wait_for_log(") serves", 2);
    serves_on(&server);
    std::fs::write(server.place.join("pipe"), ".").unwrap();
}

#[test]
fn a_decorated_function_has_its_limit_and_no_longer() {
    let server = server("");
    server.get("/decorated?gate").expect(504);
    let mut client = server.connect_and_send("/decorated");
    assert!(client.is_silent_for(Duration::from_secs(2)));
    server.place.open_gate("spin");
    client.response().expect(200);
}

#[test]
fn who_was_interrupted_cannot_take_more_time() {
    let server = server("harakiri=1\nharakiri-grace=1\nthreads=2");
    server.get("/interrupted").expect(504);
    server.wait_for_log("is replaced: GET /interrupted was interrupted", 1);
    server.place.open_gate("interrupted");
    server.wait_for_log(") serves", 2);
}

#[test]
fn what_is_no_limit_is_refused() {
    let text = server("").get("/bad").expect(200).text();
    let expected =
        "['ValueError', 'ValueError', 'ValueError', 'ValueError', 'TypeError']".to_owned();
    assert_eq!(text, expected);
}

#[test]
fn a_thread_without_request_has_no_limit() {
    let text = server("").get("/elsewhere").expect(200).text();
    let (at_import, in_thread) = text.split_once('|').unwrap();
    assert!(at_import.starts_with("RuntimeError: uwsgi.set_user_harakiri() is for"), "{text}");
    assert!(in_thread.starts_with("RuntimeError: rwsgi.set_deadline() is for"), "{text}");
}
