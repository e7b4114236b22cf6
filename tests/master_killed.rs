//! The master dies: nothing is left, nothing is lost.

use std::net::TcpListener;
use std::os::fd::OwnedFd;
use std::process::Stdio;

use nix::sys::signal::Signal;
use nix::unistd::Pid;

use crate::support::client::Client;
use crate::support::server::{self, Server};
use crate::support::setup::Setup;
use crate::support::wait;

/// An import that does not end by itself.
const SLOW: &str = "
import os, time
open('entered-import', 'w').close()
while not os.path.exists('open-import'):
    time.sleep(0.01)
def application(environ, start_response):
    start_response('200 OK', [])
    return [b'ok']
";

/// Ends the master, and waits until it is gone.
fn kill(server: &mut Server) {
    server.signal(Signal::SIGKILL);
    server.wait();
}

fn is_deserted(server: &Server) {
    assert!(server.place.is_deserted_within(wait::DEADLINE), "{}", server.log());
}

/// A request that waits at the gate `g`.
fn busy(server: &Server) -> Client {
    let mut client = server.connect();
    client.send("GET /gate?g HTTP/1.1\r\nHost: test\r\n\r\n");
    server.place.wait_for_gate("g");
    client
}

#[test]
fn workers_and_template_leave_by_themselves() {
    let mut server = Server::new("processes=3\nthreads=2");
    server.connect().get("/ok").expect(200);
    server.signal(Signal::SIGKILL);
    server.wait();
    assert!(server.place.is_deserted_within(wait::DEADLINE), "{}", server.log());
}

#[test]
fn daemons_and_what_they_have_started_are_ended() {
    let lines = "attach-daemon = sleep 601\nattach-daemon = sleep 602 & trap 'kill $!' TERM; wait";
    let mut server = Server::new(lines);
    let all = || (server.place.processes().len() >= 6).then_some(());
    wait::until("master, template, worker and daemons", all);
    kill(&mut server);
    is_deserted(&server);
}

#[test]
fn a_request_in_flight_is_finished() {
    let mut server = Server::new("processes=2");
    let mut client = server.connect();
    client.send("GET /gate?g HTTP/1.1\r\nHost: test\r\n\r\n");
    server.place.wait_for_gate("g");
    server.signal(Signal::SIGKILL);
    server.wait();
    let alone = || (server.place.processes().len() == 1).then_some(());
    wait::until("only the busy worker", alone);
    server.place.open_gate("g");
    client.response().expect(200);
    assert!(server.place.is_deserted_within(wait::DEADLINE), "{}", server.log());
}

#[test]
fn a_start_that_is_killed_leaves_nothing() {
    let app = "import time\nopen('entered-import', 'w').close()\ntime.sleep(3)\n";
    let mut server = Server::launch(Setup::new("").app(app));
    server.place.wait_for_gate("import");
    server.signal(Signal::SIGKILL);
    server.wait();
    assert!(server.place.is_deserted_within(wait::DEADLINE), "{}", server.log());
}

#[test]
fn an_import_ends_with_the_master_of_a_start_and_of_a_reload() {
    for lazy in [false, true] {
        let setup = Setup::new(&format!("processes=2\nlazy-apps={lazy}"));
        let mut server = Server::launch(setup.app(SLOW));
        server.place.wait_for_gate("import");
        kill(&mut server);
        is_deserted(&server);
        let mut server = Server::new(&format!("processes=2\nlazy-apps={lazy}"));
        server.place.write("app.py", SLOW);
        server.signal(Signal::SIGHUP);
        server.place.wait_for_gate("import");
        kill(&mut server);
        is_deserted(&server);
    }
}

#[test]
fn the_next_start_has_the_addresses_while_a_request_is_finished() {
    // An address that no client gets for its own end while nobody listens.
    let mut server = Setup::classic(
        "[rwsgi]\nhttp = 127.0.0.2:0\nhttp = app.sock\nprocesses = 2\npidfile = pid\n\
         control-socket = c\nchdir = %d\nwsgi-file = app.py\n",
    )
    .start();
    let mut client = busy(&server);
    let (address, at) = (server.address(), |name| server.place.join(name).display().to_string());
    let (path, pidfile, control) = (at("app.sock"), at("pid"), at("c"));
    kill(&mut server);
    let alone = || (server.place.processes().len() == 1).then_some(());
    wait::until("only the busy worker", alone);
    let ini = format!(
        "[rwsgi]\nhttp = {address}\nhttp = {path}\nchdir = %d\nwsgi-file = app.py\n\
         pidfile = {pidfile}\ncontrol-socket = {control}\n"
    );
    let mut next = Setup::classic(&ini).start();
    for _ in 0..10 {
        next.get("/ok").expect(200);
        Client::unix(&server.place.join("app.sock")).get("/ok").expect(200);
    }
    server.place.open_gate("g");
    client.response().expect(200);
    is_deserted(&server);
    assert_eq!(next.stop().code(), Some(0));
    let left = ["app.sock", "pid", "c"].map(|name| server.place.join(name).exists());
    assert_eq!(left, [false; 3]);
}

#[test]
fn who_waits_outside_is_answered_and_who_comes_later_is_refused() {
    let mut setup = Setup::new("http = app.sock\nprocesses=2");
    // Nobody who would keep the listeners.
    let mut master = setup.spawn().unwrap();
    let place = &setup.place;
    let address = server::address(place, "stderr");
    let serve = || (place.read("stderr").matches(") serves").count() == 2).then_some(());
    wait::until("two workers", serve);
    let ask = |name: &str| {
        let mut client = Client::connect(address);
        client.send(format!("GET /gate?{name} HTTP/1.1\r\nHost: test\r\n\r\n"));
        client
    };
    let mut clients = vec![ask("g"), ask("h")];
    ["g", "h"].iter().for_each(|name| place.wait_for_gate(name));
    let get = "GET /ok HTTP/1.1\r\nHost: test\r\n\r\n";
    for _ in 0..20 {
        for mut client in [Client::connect(address), Client::unix(&place.join("app.sock"))] {
            client.send(get);
            clients.push(client);
        }
    }
    master.kill().unwrap();
    master.wait().unwrap();
    wait::until("nobody listens", || Client::try_connect(address).is_err().then_some(()));
    ["g", "h"].iter().for_each(|name| place.open_gate(name));
    clients.iter_mut().for_each(|client| drop(client.response().expect(200)));
    assert!(place.is_deserted_within(wait::DEADLINE), "{}", place.read("stderr"));
}

#[test]
fn who_waits_at_a_socket_of_systemd_is_served_by_the_next_start() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let start = || {
        let script = "exec 3<&0 </dev/null; LISTEN_PID=$$; export LISTEN_PID; exec \"$@\"";
        let stdin = Stdio::from(OwnedFd::from(listener.try_clone().unwrap()));
        Setup::classic("[rwsgi]\nwsgi-file = app.py\n")
            .shell(script, stdin)
            .variable("LISTEN_FDS", "1")
            .variable("LISTEN_FDNAMES", "http")
            .start()
    };
    let connect = |path: &str| {
        let mut client = Client::connect(address);
        client.send(format!("GET {path} HTTP/1.1\r\nHost: test\r\nConnection: close\r\n\r\n"));
        client
    };
    let mut server = start();
    let mut client = connect("/gate?g");
    let worker = server.place.pid_at_gate("g");
    // So it cannot take them before its master is gone.
    let signal = |signal| nix::sys::signal::kill(Pid::from_raw(worker), signal).unwrap();
    signal(Signal::SIGSTOP);
    let mut waiting: Vec<_> = (0..5).map(|_| connect("/ok")).collect();
    kill(&mut server);
    signal(Signal::SIGCONT);
    let next = start();
    waiting.iter_mut().for_each(|client| drop(client.response().expect(200)));
    server.place.open_gate("g");
    client.response().expect(200);
    is_deserted(&server);
    connect("/ok").response().expect(200);
    drop(next);
}
