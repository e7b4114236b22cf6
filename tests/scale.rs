//! `rwsgi scale`: as many workers as an administrator says.

use crate::support::load::under_load;
use crate::support::server::Server;
use crate::support::setup::{Ended, Setup};
use crate::support::wait;

fn server(lines: &str) -> Server {
    let setup = Setup::new(lines);
    let directory = setup.place.path().display().to_string();
    setup.variable("RUNTIME_DIRECTORY", &directory).start()
}

fn scale(server: &Server, workers: &str) -> Ended {
    let path = server.place.join("control").display().to_string();
    Setup::new("").arguments(&["scale", &path, workers]).run()
}

#[test]
fn so_many_serve_when_it_returns_until_the_next_reload() {
    let server = server("processes=2");
    assert_eq!(scale(&server, "4").stdout, "4 workers serve\n");
    server.wait_for_log(") serves", 4);
    assert_eq!(scale(&server, "1").stdout, "1 worker serves\n");
    server.wait_for_log(") left", 3);
    server.reload(1);
    server.wait_for_log("reloaded: 2 workers", 1);
}

#[test]
fn with_cheaper_it_is_the_fewest() {
    let server = server("processes=4\ncheaper=1\ncheaper-overload=1");
    assert_eq!(scale(&server, "2").stdout, "2 workers serve\n");
    let names = ["a", "b"];
    let mut clients = names.map(|name| server.connect_and_send(&format!("/gate?{name}")));
    names.iter().for_each(|name| server.place.wait_for_gate(name));
    server.wait_for_log("3 workers from now on, not 2: ", 1);
    names.iter().for_each(|name| server.place.open_gate(name));
    clients.iter_mut().for_each(|client| drop(client.response().expect(200)));
    server.wait_for_log("2 workers from now on, not 3: for ", 1);
}

#[test]
fn numbers_that_cannot_be_are_refused() {
    let server = server("processes=2");
    scale(&server, "0").refuses(1, &["not 0 workers: a number from 1 to 2048 is possible"]);
    scale(&server, "5000").refuses(1, &["from 1 to 2048"]);
    scale(&server, "many").refuses(64, &["[INSTANCE] N`"]);
    assert_eq!(server.workers().len(), 2);
}

#[test]
fn an_application_that_was_promised_to_be_alone_stays_alone() {
    let server = server("");
    scale(&server, "2").refuses(1, &["wsgi.multiprocess", "configure 2 or more, and reload"]);
    assert_eq!(scale(&server, "1").stdout, "1 worker serves\n");
}

#[test]
fn nothing_is_lost_while_workers_come_and_go() {
    let server = server("processes=4\nthreads=2\ndisable-logging=true");
    for keep in [true, false] {
        let mut scaled = Vec::new();
        under_load(server.address(), keep, |answered| {
            for workers in ["1", "5", "2", "4", "1", "3"] {
                let before = answered();
                scaled.push(scale(&server, workers).status.success());
                let more = || (answered() > before + 20).then_some(());
                let _ = wait::within(wait::DEADLINE, more);
            }
        });
        assert_eq!(scaled, [true; 6]);
    }
}
