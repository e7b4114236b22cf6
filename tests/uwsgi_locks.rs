//! `uwsgi.lock()`: one thread of all workers.

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use crate::support::server::Server;
use crate::support::setup::Setup;
use crate::support::wait;

const APP: &str = "
import os
import rwsgi
import uwsgi
import uwsgidecorators

def hold(number=0):
    uwsgi.lock(number)
    with open('gate') as gate:
        gate.read()
    uwsgi.unlock(number)
    return os.getpid()

def keep():
    uwsgi.lock()
    open('kept', 'w').write(str(os.getpid()))
    with open('gate') as gate:
        gate.read()

def interrupted():
    try:
        uwsgi.lock()
    except rwsgi.RequestTimeout:
        open('interrupted', 'w').write('yes')
        raise

@uwsgidecorators.lock
def decorated():
    return uwsgi.is_locked()

def raising(call, *arguments):
    try:
        return call(*arguments)
    except Exception as error:
        return '%s: %s' % (type(error).__name__, error)

def application(environ, start_response):
    start_response('200 OK', [])
    return [str(eval(environ['PATH_INFO'].strip('/'), globals())).encode()]
";

fn start(lines: &str) -> Server {
    let setup = Setup::new(lines).app(APP);
    nix::unistd::mkfifo(&setup.place.join("gate"), nix::sys::stat::Mode::S_IRWXU).unwrap();
    setup.start()
}

fn ask(server: &Server, what: &str) -> String {
    server.get(&format!("/{what}")).expect(200).text()
}

fn wait_for_holder(server: &Server, number: u32) {
    wait::until("the lock", || {
        (ask(server, &format!("uwsgi.is_locked({number})")) == "True").then_some(())
    });
}

#[test]
fn a_lock_is_that_of_one_thread_of_all_workers() {
    for lines in ["processes=2\nlocks=1", "processes=1\nthreads=2\nlocks=1"] {
        let server = start(lines);
        let mut holder = server.connect_and_send("/hold(1)");
        wait_for_holder(&server, 1);
        assert_eq!(ask(&server, "uwsgi.is_locked()"), "False", "it is another one");
        let mut waiter = server.connect_and_send("/hold(1)");
        server.place.write("gate", "");
        holder.response().expect(200);
        wait_for_holder(&server, 1);
        server.place.write("gate", "");
        waiter.response().expect(200);
        assert_eq!(ask(&server, "uwsgi.is_locked(1)"), "False");
        assert_eq!(ask(&server, "decorated()"), "True");
    }
}

#[test]
fn a_worker_that_dies_gives_its_lock_back() {
    let server = start("processes=2");
    let _holder = server.connect_and_send("/keep()");
    wait_for_holder(&server, 0);
    let mut waiter = server.connect_and_send("/decorated()");
    let pid = wait::until("its pid", || server.place.read("kept").parse().ok());
    kill(Pid::from_raw(pid), Signal::SIGKILL).unwrap();
    assert_eq!(waiter.response().expect(200).text(), "True");
    server.wait_for_log("has died with it: it is free", 1);
    assert_eq!(ask(&server, "decorated()"), "True");
}

#[test]
fn a_mistake_is_told_and_does_not_wait_for_ever() {
    let server = start("");
    for (what, text) in [
        ("raising(uwsgi.unlock)", "RuntimeError: uwsgi.unlock(0): this thread does not have"),
        (
            "[uwsgi.lock(),raising(uwsgi.lock),uwsgi.unlock()][1]",
            "RuntimeError: uwsgi.lock(0): this",
        ),
        ("raising(uwsgi.lock,1)", "ValueError: there is no lock 1: the last one is 0; see `locks`"),
        ("raising(uwsgi.is_locked,7)", "ValueError: there is no lock 7"),
    ] {
        let told = ask(&server, what);
        assert!(told.starts_with(text), "{told}");
    }
}

#[test]
fn who_waits_for_a_lock_can_be_interrupted() {
    let server = start("threads=3\nharakiri=1");
    let _holder = server.connect_and_send("/[uwsgi.set_user_harakiri(60),keep()]");
    wait_for_holder(&server, 0);
    server.get("/interrupted()").expect(504);
    wait::until("the exception", || (server.place.read("interrupted") == "yes").then_some(()));
    server.place.write("gate", "");
}
