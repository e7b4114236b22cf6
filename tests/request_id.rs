//! What names a request, and where the name is to be found.

use crate::support::client::Client;
use crate::support::journal::Journal;
use crate::support::packet::{self, Packet};
use crate::support::setup::Setup;

const APP: &str = "
import os, sys, threading, rwsgi
outside = rwsgi.request_id()
def application(environ, start_response):
    path = environ['PATH_INFO']
    if path == '/write':
        print('to stdout')
        print('to stderr', file=sys.stderr)
        environ['wsgi.errors'].write('to errors\\n')
    if path == '/raise':
        raise KeyError('k')
    if path == '/die':
        os.kill(os.getpid(), 9)
    inside = rwsgi.request_id()
    elsewhere = []
    thread = threading.Thread(target=lambda: elsewhere.append(rwsgi.request_id()))
    thread.start()
    thread.join()
    start_response('200 OK', [])
    return [' '.join(map(str, [inside, rwsgi.request_id(), outside, *elsewhere])).encode()]
";

const LOCAL: &str = "[rwsgi]\nhttp = app.sock\nchdir = %d\nwsgi-file = app.py\nlogging = journal\n";
const NAMED: &str =
    "trusted-proxies = unix\ntrusted-proxy-headers = x-forwarded-for x-request-id\n";

fn ask(client: &mut Client, path: &str, lines: &str) -> String {
    client.send(format!("GET {path} HTTP/1.1\r\nHost: test\r\n{lines}\r\n"));
    client.response().expect(200).text()
}

fn id(answer: &str) -> &str {
    let parts: Vec<_> = answer.split(' ').collect();
    assert_eq!(parts[0], parts[1], "asked twice");
    assert_eq!(parts[2..], ["None", "None"], "outside of a request");
    parts[0]
}

#[test]
fn every_request_has_a_name_of_its_own_in_every_worker() {
    let server = Setup::new("processes = 2\nthreads = 2").app(APP).start();
    let mut seen = std::collections::HashSet::new();
    for _ in 0..4 {
        let mut client = server.connect();
        for _ in 0..5 {
            let answer = ask(&mut client, "/", "X-Request-ID: mine\r\n");
            let id = id(&answer);
            assert_eq!(id.len(), 32);
            assert!(id.bytes().all(|byte| byte.is_ascii_hexdigit()), "{id}");
            assert!(seen.insert(id.to_owned()), "{id} twice");
        }
    }
}

#[test]
fn a_name_is_taken_from_a_trusted_proxy_if_it_is_one() {
    let server =
        Setup::classic(&format!("{LOCAL}{NAMED}").replace("journal", "stderr")).app(APP).start();
    let mut client = server.connect_locally();
    let mut given = |lines: &str| id(&ask(&mut client, "/", lines)).to_owned();
    let uuid = "6ba7b810-9dad-11d1-80b4-00c04fd430c8";
    assert_eq!(given(&format!("x-request-id: {uuid}\r\n")), uuid);
    let long = "x".repeat(65);
    for bad in ["", "a b", "\"a\"", "a\\b", "\u{e9}", &long, "a\r\nX-Request-ID: b"] {
        let id = given(&format!("X-Request-ID: {bad}\r\n"));
        assert_eq!(id.len(), 32, "{bad:?} became {id}");
    }
}

#[test]
fn nobody_names_requests_without_being_trusted_to() {
    for lines in ["trusted-proxies = 127.0.0.1", "trusted-proxy-headers = x-request-id"] {
        let server = Setup::new(lines).app(APP).start();
        let answer = ask(&mut server.connect(), "/", "X-Request-ID: mine\r\n");
        assert_ne!(id(&answer), "mine", "{lines}");
    }
}

#[test]
fn a_web_server_names_requests_of_the_uwsgi_protocol() {
    let server = Setup::uwsgi("trusted-proxy-headers = x-request-id").app(APP).start();
    let packet = Packet::get("/").var("HTTP_X_REQUEST_ID", "r-1");
    assert_eq!(id(&packet::ask(&server, &packet).expect(200).text()), "r-1");
}

#[test]
fn all_entries_that_belong_to_a_request_bear_its_name() {
    let setup = Setup::classic(&format!("{LOCAL}{NAMED}")).app(APP);
    let Some((setup, journal)) = Journal::of(setup) else { return };
    let server = setup.start();
    ask(&mut server.connect_locally(), "/write", "X-Request-ID: writes\r\n");
    for text in ["to stdout", "to stderr", "to errors"] {
        assert_eq!(journal.wait_for("MESSAGE", text).get("REQUEST_ID"), "writes", "{text}");
    }
    let fails = |path: &str, id: &str| {
        let mut client = server.connect_locally();
        client.send(format!("GET {path} HTTP/1.1\r\nHost: test\r\nX-Request-ID: {id}\r\n\r\n"));
        client
    };
    fails("/raise", "raises").response().expect(500);
    assert_eq!(journal.wait_for("PYTHON_EXCEPTION", "KeyError").get("REQUEST_ID"), "raises");
    let _killed = fails("/die", "dies");
    let died = journal.wait_for("RWSGI_EVENT", "worker_died");
    assert_eq!((died.get("REQUEST_ID"), died.get("REQUEST_PATH")), ("dies", "/die"));
}
