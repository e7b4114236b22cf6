//! What systemd says and gives to the service is not for the application.

use std::collections::BTreeSet;
use std::net::TcpListener;
use std::os::fd::OwnedFd;
use std::process::Stdio;

use serde_json::Value;

use crate::support::server::Server;
use crate::support::setup::Setup;

/// Tells what the process has, what a program has that it executes with all that it may, and what
/// hooks of the application saw.
const APP: &str = r"
import atexit
import json
import os
import subprocess
import sys

TELL = '''
import json, os, sys
def fds():
    open_files = {}
    for name in os.listdir('/proc/self/fd'):
        try:
            open_files[name] = os.readlink('/proc/self/fd/' + name)
        except OSError:
            pass  # That of listdir itself.
    return open_files
def tell():
    return {'environ': sorted(os.environ), 'fds': fds()}
'''
exec(TELL)
SEEN = {'import': tell()}


def after_fork():
    SEEN['fork'] = tell()


if hasattr(os, 'register_at_fork'):
    os.register_at_fork(after_in_child=after_fork)
else:
    SEEN['fork'] = SEEN['import']


def leave():
    with open('leaving', 'w') as file:
        json.dump(tell(), file)
    os.rename('leaving', 'left')


atexit.register(leave)


def application(environ, start_response):
    script = TELL + 'print(json.dumps(tell()))'
    arguments = [sys.executable, '-S', '-c', script]
    seen = dict(SEEN, request=tell())
    seen['program'] = json.loads(subprocess.check_output(arguments, close_fds=False).decode())
    start_response('200 OK', [('Content-Type', 'application/json')])
    return [json.dumps(seen).encode()]
";

/// As systemd starts a service with a socket, and with a descriptor more than it tells of.
const SYSTEMD: &str = "exec 3<&0 0</dev/null 9</etc/passwd\n\
    export LISTEN_PID=$$ LISTEN_FDS=1 LISTEN_FDNAMES=http LISTEN_PIDFDID=7 WATCHDOG_PID=$$\n\
    export WATCHDOG_USEC=60000000 MAINPID=$$ FDSTORE=3\n\
    export MEMORY_PRESSURE_WATCH=/dev/null MEMORY_PRESSURE_WRITE=c29tZQ==\n\
    export INVOCATION_ID=af JOURNAL_STREAM=9:1 CREDENTIALS_DIRECTORY=/run/credentials/x\n\
    exec \"$@\"";

const NOT_MEANT: [&str; 12] = [
    "NOTIFY_SOCKET",
    "LISTEN_PID",
    "LISTEN_FDS",
    "LISTEN_FDNAMES",
    "LISTEN_PIDFDID",
    "WATCHDOG_PID",
    "WATCHDOG_USEC",
    "MAINPID",
    "FDSTORE",
    "MEMORY_PRESSURE_WATCH",
    "MEMORY_PRESSURE_WRITE",
    "RWSGI_TAKEOVER",
];

const MEANT: [&str; 3] = ["INVOCATION_ID", "JOURNAL_STREAM", "CREDENTIALS_DIRECTORY"];

fn systemd(setup: Setup) -> Server {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    setup.app(APP).shell(SYSTEMD, Stdio::from(OwnedFd::from(listener))).start()
}

fn names(seen: &Value) -> BTreeSet<&str> {
    seen["environ"].as_array().unwrap().iter().filter_map(Value::as_str).collect()
}

fn has_only_what_is_meant(seen: &Value) {
    let names = names(seen);
    let leaked: Vec<_> = NOT_MEANT.iter().filter(|name| names.contains(**name)).collect();
    assert!(leaked.is_empty(), "{leaked:?}");
    assert!(MEANT.iter().all(|name| names.contains(name)), "{names:?}");
}

fn descriptors(seen: &Value) -> Vec<(u32, &str)> {
    let all = seen["fds"].as_object().unwrap().iter();
    let mut all: Vec<_> =
        all.map(|(number, what)| (number.parse().unwrap(), what.as_str().unwrap())).collect();
    all.sort_unstable();
    all
}

fn ours(server: &Server) -> Value {
    serde_json::from_str(&server.get("/").expect(200).text()).unwrap()
}

#[test]
fn variables_of_systemd_stay_with_the_master() {
    let mut server = systemd(Setup::classic("[rwsgi]\nchdir = %d\nwsgi-file = app.py\n"));
    let seen = ours(&server);
    for place in ["import", "fork", "request", "program"] {
        has_only_what_is_meant(&seen[place]);
    }
    assert!(server.stop().success());
    has_only_what_is_meant(&serde_json::from_str(&server.place.read("left")).unwrap());
}

#[test]
fn no_descriptor_reaches_a_program_of_the_application() {
    let ini = "[rwsgi]\nchdir = %d\nwsgi-file = app.py\nhttp = 127.0.0.1:0\nsocket = app.sock\n\
        control-socket = control.sock\npidfile = app.pid\nmaster-fifo = fifo\nprocesses = 2\n";
    let server = systemd(Setup::classic(ini));
    for _ in 0..2 {
        let seen = ours(&server);
        let numbers: Vec<_> = descriptors(&seen["program"]).iter().map(|one| one.0).collect();
        assert_eq!(numbers, [0, 1, 2], "{seen:#}");
        server.reload(1);
    }
}

#[test]
fn a_worker_has_the_descriptors_that_it_serves_with() {
    let server = systemd(Setup::classic("[rwsgi]\nchdir = %d\nwsgi-file = app.py\n"));
    let seen = ours(&server);
    let all = descriptors(&seen["request"]);
    let shared = ["/memfd:rwsgi-scoreboard", "/memfd:rwsgi-commons"];
    let kinds = [&shared[..], &["socket:[", "anon_inode:[event", "pipe:[", "/dev/null"]].concat();
    // The log of this test is a file.
    let is_known =
        |what: &str| kinds.iter().any(|kind| what.starts_with(kind)) || what.ends_with("/stderr");
    assert!(all.iter().all(|(_, what)| is_known(what)), "{all:?}");
    // Beside the three: the log, for the template and for the worker; the channel; the scoreboard, also
    // for who asks about others; what the uwsgi module shares; a listener, the relay's two, the
    // reactor's two, two pairs for signals, and the connection.
    assert!(all.len() <= 3 + 15, "{all:?}");
}

#[test]
fn a_descriptor_that_is_a_listener_is_no_other_thing_as_well() {
    let script = "exec 3<&0 0</dev/null; exec \"$@\"";
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let setup = Setup::classic("[rwsgi]\nhttp = fd://3\nchdir = %d\nwsgi-file = app.py\n").app(APP);
    let server = setup.shell(script, Stdio::from(OwnedFd::from(listener))).start();
    let seen = ours(&server);
    assert_eq!(descriptors(&seen["program"]).len(), 3, "{seen:#}");
}
