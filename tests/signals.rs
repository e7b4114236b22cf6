//! Signals to the master.

use nix::sys::signal::Signal;

use crate::support::client::Client;
use crate::support::server::Server;
use crate::support::setup::Setup;

/// A server with a request in flight.
fn busy(name: &str) -> (Server, Client) {
    let server = Server::new("threads=2");
    let mut client = server.connect();
    client.send(format!("GET /gate?{name} HTTP/1.1\r\nHost: test\r\n\r\n"));
    server.place.wait_for_gate(name);
    (server, client)
}

fn finishes_what_is_in_flight(signal: Signal) {
    let (mut server, mut client) = busy("g");
    let mut idle = server.connect();
    idle.get("/ok").expect(200);
    server.signal(signal);
    assert!(idle.is_closed(), "the worker drains now");
    server.place.open_gate("g");
    let response = client.response().expect(200);
    assert_eq!(response.field("connection"), Some("close"));
    assert_eq!(server.wait().code(), Some(0));
    assert!(Client::try_connect(server.address()).is_err());
}

#[test]
fn sigterm_finishes_the_request_in_flight() {
    finishes_what_is_in_flight(Signal::SIGTERM);
}

#[test]
fn sigint_finishes_the_request_in_flight() {
    finishes_what_is_in_flight(Signal::SIGINT);
}

#[test]
fn a_second_sigterm_ends_at_once() {
    let (mut server, mut client) = busy("g");
    server.signal(Signal::SIGTERM);
    server.wait_for_log("stopping", 1);
    server.signal(Signal::SIGTERM);
    assert_eq!(server.wait().code(), Some(0));
    assert!(client.is_closed());
}

#[test]
fn sigquit_ends_at_once() {
    let (mut server, mut client) = busy("g");
    server.signal(Signal::SIGQUIT);
    assert_eq!(server.wait().code(), Some(0));
    assert!(client.is_closed());
}

#[test]
fn mercy_ends() {
    let server = Server::new("worker-reload-mercy=1");
    let mut client = server.connect();
    client.send("GET /gate?g HTTP/1.1\r\nHost: test\r\n\r\n");
    server.place.wait_for_gate("g");
    let mut server = server;
    assert_eq!(server.stop().code(), Some(0));
    assert!(client.is_closed());
    server.wait_for_log("mercy is over", 1);
}

#[test]
fn an_idle_connection_does_not_delay_a_stop() {
    let mut server = Server::new("");
    let mut client = server.connect();
    client.get("/ok").expect(200);
    // The test does not wait for as long as such a connection may be idle, and mercy may take.
    assert!(server.stop().success());
    assert!(client.is_closed());
}

#[test]
fn sighup_loads_new_code() {
    let server = Server::new("processes=2");
    let app = "def application(e, s):\n    s('200 OK', [])\n    return [b'new']\n";
    server.place.write("app.py", app);
    server.reload(1);
    (0..8).for_each(|_| assert_eq!(server.get("/").expect(200).text(), "new"));
}

#[test]
fn sigterm_while_the_application_is_imported_stops_the_start() {
    let app = "import time\nopen('entered-import', 'w').close()\ntime.sleep(60)\n";
    let mut server = Server::launch(Setup::new("").app(app));
    server.place.wait_for_gate("import");
    assert_eq!(server.stop().code(), Some(0));
}

#[test]
fn a_signal_to_a_child_of_the_application_is_none_to_its_worker() {
    let setup = Setup::new("");
    setup.place.write(
        "app.py",
        "import os, signal, time\n\
         def application(environ, start_response):\n\
         \x20   pid = os.fork()\n\
         \x20   if pid == 0:\n\
         \x20       while True:\n\
         \x20           time.sleep(1)\n\
         \x20   os.kill(pid, signal.SIGTERM)\n\
         \x20   _, status = os.waitpid(pid, 0)\n\
         \x20   start_response('200 OK', [])\n\
         \x20   return [b'%d of %d' % (os.WTERMSIG(status), os.getpid())]\n",
    );
    let server = Server::launch(setup);
    let first = server.get("/").expect(200).text();
    assert!(first.starts_with("15 of "), "{first}");
    assert_eq!(server.get("/").expect(200).text(), first);
    assert!(!server.log().contains("drains"), "{}", server.log());
}
