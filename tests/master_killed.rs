//! The master dies: nothing is left, nothing is lost.

use std::time::Duration;

use nix::sys::signal::Signal;

use crate::support::server::Server;
use crate::support::wait;

#[test]
fn workers_and_template_leave_by_themselves() {
    let mut server = Server::new("processes=3\nthreads=2");
    server.connect().get("/ok").expect(200);
    server.signal(Signal::SIGKILL);
    server.wait();
    assert!(server.place.is_deserted_within(Duration::from_secs(10)), "{}", server.log());
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
    assert!(server.place.is_deserted_within(Duration::from_secs(10)), "{}", server.log());
}

#[test]
fn a_start_that_is_killed_leaves_nothing() {
    let app = "import time\nopen('entered-import', 'w').close()\ntime.sleep(3)\n";
    let mut server = Server::launch(crate::support::setup::Setup::new("").app(app));
    server.place.wait_for_gate("import");
    server.signal(Signal::SIGKILL);
    server.wait();
    assert!(server.place.is_deserted_within(Duration::from_secs(10)), "{}", server.log());
}
