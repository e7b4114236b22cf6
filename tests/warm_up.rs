//! `warm-up`: what the application is asked before there are workers.

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use crate::support::memory::own_bytes;
use crate::support::server::Server;
use crate::support::setup::Setup;
use crate::support::wait;

/// Says who asks, in a file, and what came before in the same process.
const APP: &str = "
import os
import time

asked = []

class Body:
    def __iter__(self):
        yield b'a'
        yield str((os.getpid(), asked)).encode()

    def close(self):
        note('closed')

def note(what):
    with open('noted', 'a') as file:
        file.write('%s\\n' % what)

def application(environ, start_response):
    path = environ['SCRIPT_NAME'], environ['PATH_INFO'], environ['QUERY_STRING']
    asked.append(path)
    if environ['HTTP_USER_AGENT'] == 'rwsgi-warm-up':
        assert environ['wsgi.input'].read() == b''
        note(' '.join(path + (environ['HTTP_HOST'], environ['SERVER_PORT'], environ['REMOTE_ADDR'])))
    if path[1] == '/raises':
        raise SystemExit('not well')
    if path[1] == '/says-nothing':
        return []
    if path[1] == '/hangs':
        while True:
            time.sleep(0.01)
    start_response('404 Not Found' if path[1] == '/missing' else '200 OK', [])
    return Body()
";

fn setup(lines: &str) -> Setup {
    Setup::new(lines).app(APP)
}

fn ask(server: &Server, path: &str) -> String {
    let request =
        format!("GET {path} HTTP/1.1\r\nHost: a\r\nUser-Agent: b\r\nConnection: close\r\n\r\n");
    server.ask(&request).expect(200).text()
}

fn noted(server: &Server, what: &str) -> usize {
    server.place.read("noted").lines().filter(|line| *line == what).count()
}

#[test]
fn all_workers_have_what_was_done_once() {
    let server =
        setup("processes=2\nwarm-up=/\nwarm-up=http://shop.test:8000/caf%%C3%%A9?page=1").start();
    server.wait_for_log("warm-up: 2 requests in ", 1);
    assert!(ask(&server, "/x").contains("[('', '/', ''), ('', '/caf\u{c3}\u{a9}', 'page=1'), "));
    assert_eq!(noted(&server, " /  localhost 80 127.0.0.1"), 1);
    assert_eq!(noted(&server, " /caf\u{c3}\u{a9} page=1 shop.test:8000 8000 127.0.0.1"), 1);
    let closed = || noted(&server, "closed");
    // That of the last request is closed when its client has it.
    wait::until("each body is read to its end", || (closed() == 3).then_some(()));
    // A successor comes of the same template.
    kill(Pid::from_raw(server.workers()[0]), Signal::SIGKILL).unwrap();
    server.wait_for_log(") serves", 3);
    assert_eq!(closed(), 3);
    server.reload(1);
    server.wait_for_log("warm-up: 2 requests in ", 2);
}

#[test]
fn what_goes_wrong_is_a_warning() {
    let lines = "warm-up=/missing\nwarm-up=/raises\nwarm-up=/says-nothing\nwarm-up=/";
    let server = setup(lines).start();
    for said in [
        "warning: template: GET /missing (warm-up) is answered with \"404 Not Found\", expected 2xx or 3xx",
        "warning: template: GET /raises (warm-up) is not answered:\n",
        "SystemExit: not well",
        "warning: template: GET /says-nothing (warm-up) is answered with \"\", expected 2xx or 3xx",
    ] {
        server.wait_for_log(said, 1);
    }
    assert_eq!(server.log().matches("warning: template: GET ").count(), 3);
    assert!(ask(&server, "/").contains("('', '/', ''), ('', '/', '')]"));
}

#[test]
fn one_that_does_not_end_is_an_import_that_does_not() {
    let ended = setup("warm-up=/hangs\nimport-timeout=4").run();
    ended.refuses(70, &["not imported after 4 s (import-timeout)", "in application"]);
}

#[test]
fn lazily_each_worker_is_asked() {
    let server = setup("processes=2\nlazy-apps=true\nwarm-up=/").start();
    server.wait_for_log("warm-up: 1 request in ", 2);
    server.wait_for_log(") serves", 2);
    assert_eq!(noted(&server, " /  localhost 80 127.0.0.1"), 2);
    assert!(ask(&server, "/x").contains("[('', '/', ''), ('', '/x', '')]"));
}

#[test]
fn a_mount_gets_what_is_below_it() {
    let ini = "[uwsgi]\nhttp = 127.0.0.1:0\nchdir = %d\nmount = /shop=app.py\nmanage-script-name = true\n\
               no-default-app = true\nwarm-up = /shop/books\nwarm-up = /elsewhere\n";
    let server = Setup::classic(ini).app(APP).start();
    let elsewhere = "GET /elsewhere (warm-up) is answered with \"404 Not Found\"";
    server.wait_for_log(elsewhere, 1);
    assert_eq!(noted(&server, "/shop /books  localhost 80 127.0.0.1"), 1);
}

#[test]
fn a_check_asks_nothing() {
    let ended = setup("warm-up=/raises").arguments(&["--check", "app.ini"]).run();
    assert_eq!(ended.code(), 0);
    assert!(!ended.stderr.contains("warm-up"), "{}", ended.stderr);
    assert!(!ended.place.join("noted").exists());
}

/// What an application makes with its first request.
const LAZY: &str = "
import os
pages = {}

def application(environ, start_response):
    if not pages:
        pages.update((number, os.urandom(1000)) for number in range(32000))
    start_response('200 OK', [])
    return [str(os.getpid()).encode()]
";

fn own_bytes_after_a_request(lines: &str) -> u64 {
    let server = Setup::new(lines).app(LAZY).start();
    let pid = server.get("/").expect(200).text();
    own_bytes(pid.parse().unwrap())
}

#[test]
fn workers_share_what_the_application_makes_with_its_first_request() {
    let (cold, warm) = (own_bytes_after_a_request(""), own_bytes_after_a_request("warm-up=/"));
    assert!(cold > 32 << 20, "{cold} bytes");
    assert!(warm < 16 << 20, "{warm} bytes");
}
