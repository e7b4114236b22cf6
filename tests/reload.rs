//! Reloads under load.

use crate::support::client::Client;
use crate::support::load::reload_under_load;
use crate::support::server::Server;
use crate::support::wait;

fn loses_nothing(keep: bool) {
    let server = Server::new("processes=2\nthreads=2\ndisable-logging=true");
    reload_under_load(&server, server.address(), keep, 10);
}

#[test]
fn ten_reloads_lose_no_new_connection() {
    loses_nothing(false);
}

#[test]
fn ten_reloads_lose_no_request_on_kept_connections() {
    loses_nothing(true);
}

#[test]
fn a_request_in_flight_is_finished_by_the_old_code() {
    let server = Server::new("");
    let mut client = server.connect();
    client.send("GET /gate?old HTTP/1.1\r\nHost: test\r\n\r\n");
    server.place.wait_for_gate("old");
    let app = "def application(e, s):\n    s('200 OK', [])\n    return [b'new']\n";
    server.place.write("app.py", app);
    server.reload(1);
    assert_eq!(server.get("/").expect(200).text(), "new");
    server.place.open_gate("old");
    assert_eq!(client.response().expect(200).text(), "MainThread");
    server.wait_for_log(") left", 1);
}

#[test]
fn two_hangups_at_once_are_two_reloads_at_most() {
    let server = Server::new("");
    (0..5).for_each(|_| server.signal(nix::sys::signal::Signal::SIGHUP));
    server.wait_for_log("reloaded: ", 1);
    server.get("/ok").expect(200);
    let everybody = || (server.place.processes().len() == 3).then_some(());
    wait::until("only the last generation", everybody);
}

#[test]
fn a_connection_that_meets_an_idle_worker_while_it_drains_is_served() {
    let server = Server::new("processes=4\ndisable-logging=true");
    let address = server.address();
    for count in 1..=15 {
        server.signal(nix::sys::signal::Signal::SIGHUP);
        let reloaded = || server.log().matches("reloaded: ").count() >= count;
        loop {
            let last = reloaded();
            let outcome = Client::connect(address).try_response_to("/ok");
            assert_eq!(outcome.map(|response| response.status).ok(), Some(200), "reload {count}");
            if last {
                break;
            }
        }
    }
}
