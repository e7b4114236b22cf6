//! What an import has started or opened, and workers cannot use.

use std::io::{Read as _, Write as _};
use std::net::TcpListener;

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use crate::support::server::Server;
use crate::support::setup::Setup;

const HEAD: &str = "
import os
import socket
import sqlite3
import threading

def application(environ, start_response):
    start_response('200 OK', [])
    return [b'ok']

def wait():
    threading.Event().wait()

def connect():
    server = socket.socket()
    server.bind(('127.0.0.1', 0))
    server.listen(1)
    return server, socket.create_connection(server.getsockname())
";

fn start(lines: &str, app: &str) -> Server {
    Setup::new(lines).app(&format!("{HEAD}{app}")).start()
}

/// The warning that begins so, with what was found.
fn warning(server: &Server, begin: &str) -> String {
    let log = server.log();
    let told: Vec<_> = log.split("warning: ").filter(|told| told.starts_with(begin)).collect();
    assert_eq!(told.len(), 1, "{begin}:\n{log}");
    told[0].lines().take(2).collect::<Vec<_>>().join("\n")
}

fn tells_nothing(server: &Server) {
    assert!(!server.log().contains("the import has"), "{}", server.log());
}

#[test]
fn threads_are_told_with_what_they_run() {
    let app = "threading.Thread(target=wait, name='flusher', daemon=True).start()";
    let server = start("processes=3", app);
    let told = warning(&server, "the import has started threads, which do not run in the workers");
    assert!(told.contains("Found: flusher: wait (") && told.contains("app.py, line 11)"), "{told}");
    assert!(told.contains("`lazy-apps = true`"), "{told}");
    assert!(!server.log().contains("outside of Python"), "{}", server.log());
}

#[test]
fn threads_outside_of_python_are_told_by_name() {
    let app = "
import ctypes
c = ctypes.CDLL(None)
thread = ctypes.c_ulong()
pause = ctypes.cast(c.pause, ctypes.c_void_p)
try:
    start, rename = c.pthread_create, c.pthread_setname_np
except AttributeError:
    lib = ctypes.CDLL('libpthread.so.0')
    start, rename = lib.pthread_create, lib.pthread_setname_np
start(ctypes.byref(thread), None, pause, None)
rename(thread, b'rdk:main')
threading.Thread(target=wait, daemon=True).start()
";
    let server = start("", app);
    let told = warning(&server, "the import has started threads outside of Python");
    assert!(told.ends_with("Found: rdk:main"), "{told}");
}

#[test]
fn a_connection_is_told_with_its_peer() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let app = format!("kept = socket.create_connection(('127.0.0.1', {}))", address.port());
    let server = start("processes=2", &app);
    let told = warning(&server, "the import has left connections open");
    assert!(told.ends_with(&format!(": TCP to {address}")), "{told}");
}

#[test]
fn a_connection_to_a_unix_socket_is_told_with_its_path() {
    let app = "
server = socket.socket(socket.AF_UNIX)
server.bind('database.sock')
server.listen(1)
kept = socket.socket(socket.AF_UNIX)
kept.connect('database.sock')
";
    let told = warning(&start("", app), "the import has left connections open");
    assert!(told.ends_with(": UNIX socket to database.sock"), "{told}");
}

#[test]
fn an_event_loop_is_told() {
    let app = "import asyncio\nloop = asyncio.new_event_loop()\n";
    warning(&start("", app), "the import has made an event loop");
}

#[test]
fn a_database_of_sqlite_is_told_with_its_file() {
    let app = "
base = sqlite3.connect('book.db')
base.execute('create table a (b)')
base.commit()
";
    let told = warning(&start("", app), "the import has left SQLite databases open");
    assert!(told.ends_with("/book.db"), "{told}");
}

#[test]
fn it_is_told_once_for_each_import() {
    let app = "threading.Thread(target=wait, daemon=True).start()";
    let server = start("processes=2", app);
    let count = || server.log().matches("the import has started threads").count();
    assert_eq!(count(), 1);
    kill(Pid::from_raw(server.workers()[0]), Signal::SIGKILL).unwrap();
    server.wait_for_log(") serves", 3);
    assert_eq!(count(), 1, "{}", server.log());
    server.reload(1);
    server.wait_for_log("the import has started threads", 2);
}

#[test]
fn what_is_harmless_is_not_told() {
    let app = "
import logging.handlers
log = open('some.log', 'w')
reading = open('app.py')
database = sqlite3.connect(':memory:')
closed = sqlite3.connect('closed.db')
closed.execute('create table a (b)')
closed.close()
server = socket.socket()
server.bind(('127.0.0.1', 0))
server.listen(1)
datagrams = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
datagrams.connect(('127.0.0.1', 9))
pair, pipe = socket.socketpair(), os.pipe()
unconnected = socket.socket()
ended = threading.Thread(target=print)
ended.start()
ended.join()
";
    tells_nothing(&start("processes=2\nthreads=2\npidfile=app.pid\nlogto=app.log", app));
}

#[test]
fn what_the_application_has_dealt_with_is_not_told() {
    let app = "
import uwsgidecorators

def start():
    threading.Thread(target=wait, daemon=True).start()

@uwsgidecorators.postfork
def deal():
    start()
    server, connection = connections.pop()
    connection.close()
    server.close()

start()
connections = [connect()]
";
    tells_nothing(&start("processes=2", app));
}

#[test]
fn an_import_in_each_worker_leaves_nothing_behind() {
    let app = "
kept = connect()
threading.Thread(target=wait, daemon=True).start()
";
    tells_nothing(&start("lazy-apps=true\nprocesses=2", app));
}

/// As much of Django as matters here: what is closed says goodbye to its server.
fn django(port: u16) -> String {
    format!(
        "
import socket

class Connection:
    def __init__(self):
        self.socket = None
    def use(self):
        if self.socket is None:
            self.socket = socket.create_connection(('127.0.0.1', {port}))
        self.socket.sendall(b'query;')
    def close(self):
        if self.socket is not None:
            self.socket.sendall(b'goodbye;')
            self.socket.close()
            self.socket = None

class Connections:
    def __init__(self):
        self.default = Connection()
    def all(self, initialized_only=False):
        return [self.default]
    def close_all(self):
        self.default.close()

connections = Connections()
"
    )
}

#[test]
fn connections_of_django_end_before_the_fork_as_their_server_expects() {
    let database = TcpListener::bind("127.0.0.1:0").unwrap();
    let app = "
from django.db import connections
connections.default.use()

def application(environ, start_response):
    connections.default.use()
    start_response('200 OK', [])
    return [b'ok']
";
    let setup = Setup::new("processes=2\npythonpath=%d").app(app);
    std::fs::create_dir(setup.place.join("django")).unwrap();
    let port = database.local_addr().unwrap().port();
    let mut server = setup
        .file("django/__init__.py", "")
        .file("django/conf.py", "class settings:\n    configured = True\n")
        .file("django/db.py", &format!("import django.conf\n{}", django(port)))
        .start();
    // Its end is seen while the workers run: none of them has it.
    let (mut first, _) = database.accept().unwrap();
    let mut said = String::new();
    first.read_to_string(&mut said).unwrap();
    assert_eq!(said, "query;goodbye;");
    tells_nothing(&server);
    server.get("/").expect(200);
    let (mut second, _) = database.accept().unwrap();
    second.write_all(b"result").unwrap();
    server.stop();
    said.clear();
    let _ = second.read_to_string(&mut said);
    assert_eq!(said, "query;");
}

#[test]
fn django_without_settings_is_left_alone() {
    let app = "
import django.db

def application(environ, start_response):
    start_response('200 OK', [])
    return [b'ok']
";
    let setup = Setup::new("pythonpath=%d").app(app);
    std::fs::create_dir(setup.place.join("django")).unwrap();
    let server = setup
        .file("django/__init__.py", "")
        .file("django/conf.py", "class settings:\n    configured = False\n")
        .file("django/db.py", "import django.conf\n")
        .start();
    server.get("/").expect(200);
    assert!(!server.log().contains("Django"), "{}", server.log());
}
