//! How a new generation takes over, and what is left of one that fails midway.

use std::collections::BTreeSet;

use nix::sys::signal::Signal;

use crate::support::load::{reload_under_load, under_load};
use crate::support::server::Server;
use crate::support::setup::Setup;
use crate::support::wait;

const MOODY: &str = include_str!("support/apps/moody.py");

fn moody(lines: &str) -> Server {
    Setup::new(lines).app(MOODY).start()
}

/// The label of the code that answers, and who does.
fn answer(server: &Server) -> (String, i32) {
    let text = server.get("/").expect(200).text();
    let (label, pid) = text.split_once(' ').unwrap();
    (label.to_owned(), pid.parse().unwrap())
}

/// The pids of the workers that serve, by the log.
fn serving(server: &Server) -> BTreeSet<i32> {
    let log = server.log();
    let mut serving = BTreeSet::new();
    for line in log.lines() {
        let Some((pid, what)) = line.split_once("(pid ").and_then(|(_, rest)| rest.split_once(')'))
        else {
            continue;
        };
        match (pid.parse::<i32>(), what) {
            (Ok(pid), " serves") => drop(serving.insert(pid)),
            (Ok(pid), _) => drop(serving.remove(&pid)),
            _ => {}
        }
    }
    serving
}

fn loses_nothing(lines: &str, keep: bool) {
    let server = Server::new(&format!("disable-logging=true\n{lines}"));
    reload_under_load(&server, server.address(), keep, 20);
}

#[test]
fn twenty_reloads_one_at_a_time_lose_no_new_connection() {
    loses_nothing("processes=3\nthreads=1", false);
}

#[test]
fn twenty_reloads_one_at_a_time_lose_no_request_on_kept_connections() {
    loses_nothing("processes=3\nthreads=2", true);
}

#[test]
fn twenty_reloads_of_all_at_a_time_lose_no_new_connection() {
    loses_nothing("processes=3\nthreads=2\nreload-overlap=all", false);
}

#[test]
fn twenty_reloads_of_all_at_a_time_lose_no_request_on_kept_connections() {
    loses_nothing("processes=3\nthreads=1\nreload-overlap=all", true);
}

#[test]
fn old_workers_make_room_one_by_one() {
    let mut server = moody("processes=3");
    server.reload(1);
    server.wait_for_log("reloaded: 3 workers", 1);
    server.wait_for_log(") left", 3);
    // Before each of the later ones an old one has been told to leave, and none before the first.
    assert_eq!(serving(&server).len(), 3);
    assert_eq!(server.stop().code(), Some(0));
}

#[test]
fn a_failure_midway_ends_with_the_old_workers_complete_and_loses_nothing() {
    let server = moody("processes=3\nlazy-apps=true\ndisable-logging=true");
    server.place.write("import", "count");
    under_load(server.address(), false, |_| {
        server.signal(Signal::SIGHUP);
        server.wait_for_log("reload failed, the old code serves on: ", 1);
        // The old workers import anew, too: what served must be able to.
        std::fs::remove_file(server.place.join("import")).unwrap();
        // Two new ones had come to serve and leave again, and two old ones were made good.
        wait::within(wait::DEADLINE, || {
            let log = server.log();
            (log.matches(") serves").count() >= 7 && serving(&server).len() == 3).then_some(())
        });
    });
    let log = server.log();
    assert!(log.contains("RuntimeError: no third one"), "{log}");
    assert_eq!(serving(&server).len(), 3, "{log}");
    server.wait_for_notification("STATUS=serving: 3 workers", 1);
    server.place.write("label", "third");
    server.reload(2);
    server.wait_for_log("reloaded: 3 workers", 1);
    assert_eq!(answer(&server).0, "third");
}

#[test]
fn a_slow_import_keeps_nobody_waiting() {
    let server = moody("processes=2");
    server.place.write("import", "gate");
    server.place.write("label", "second");
    server.signal(Signal::SIGHUP);
    server.place.wait_for_gate("import");
    assert_eq!(answer(&server).0, "first");
    // A second one waits for the first, and says so.
    server.signal(Signal::SIGHUP);
    server.wait_for_log("another reload follows the one that has been going on for", 1);
    server.place.open_gate("import");
    server.wait_for_log("reloaded: 2 workers", 2);
    assert_eq!(answer(&server).0, "second");
}

#[test]
fn systemd_is_told_to_be_patient_with_a_slow_import() {
    let server = moody("");
    server.place.write("import", "gate");
    server.signal(Signal::SIGHUP);
    server.wait_for_notification("EXTEND_TIMEOUT_USEC=", 1);
    server.place.open_gate("import");
    server.wait_for_log("reloaded: 1 worker", 1);
}

#[test]
fn an_import_that_never_ends_is_ended_with_its_stack() {
    let server = moody("import-timeout=6");
    server.place.write("import", "hang");
    server.reload(1);
    server.wait_for_log("the application is not imported after 6 s (import-timeout)", 1);
    server.wait_for_log("    time.sleep(0.01)", 1);
    assert_eq!(answer(&server).0, "first");
    std::fs::remove_file(server.place.join("import")).unwrap();
    server.reload(2);
    server.wait_for_log("reloaded: 1 worker", 1);
}

#[test]
fn a_lazy_import_that_never_ends_is_ended_too() {
    let server = moody("import-timeout=6\nlazy-apps=true");
    server.place.write("import", "hang");
    server.reload(1);
    server.wait_for_log("the application is not imported after 6 s (import-timeout)", 1);
    assert_eq!(answer(&server).0, "first");
}

#[test]
fn an_import_that_holds_pythons_lock_is_killed() {
    let server = moody("import-timeout=6\nreload-probe-timeout=6\nreload-probe=/healthz");
    // A regular expression that C works on until the sun is cold.
    server.place.write("app.py", "import re\nre.match('(a*)*b', 'a' * 100)\n");
    server.reload(1);
    server.wait_for_log("code that does not return holds Python's lock: the template is killed", 1);
    assert_eq!(answer(&server).0, "first");
}

#[test]
fn a_stop_does_not_wait_for_an_import() {
    let mut server = moody("");
    server.place.write("import", "hang");
    server.signal(Signal::SIGHUP);
    server.wait_for_log("reload: generation 2", 1);
    assert_eq!(server.stop().code(), Some(0));
}

#[test]
fn requests_in_flight_outlast_several_reloads() {
    let server = moody("processes=2\nthreads=2");
    let names = ["one", "two", "three"];
    let mut clients = Vec::new();
    for (count, name) in names.iter().enumerate() {
        server.place.write("label", name);
        server.reload(count + 1);
        server.wait_for_log("reloaded: 2 workers", count + 1);
        clients.push(server.connect_and_send(&format!("/gate/{name}")));
        server.place.wait_for_gate(name);
    }
    server.reload(4);
    for (mut client, name) in clients.into_iter().zip(names) {
        server.place.open_gate(name);
        assert!(client.response().expect(200).text().starts_with(name), "{name}");
    }
}

#[test]
fn reloads_with_more_and_fewer_workers_lose_nothing() {
    let server = moody("processes=2\ndisable-logging=true");
    let ini = server.place.read("app.ini");
    under_load(server.address(), true, |answered| {
        for (count, processes) in [4, 1, 3, 2].into_iter().enumerate() {
            let before = answered();
            let lines = format!("processes={processes}");
            server.place.write("app.ini", &ini.replace("processes=2", &lines));
            server.reload(count + 1);
            wait::within(wait::DEADLINE, || (answered() > before + 20).then_some(()));
        }
    });
    for said in ["4 workers", "1 worker ", "3 workers", "2 workers"] {
        server.wait_for_log(&format!("reloaded: {said}"), 1);
    }
}

#[test]
fn listeners_that_are_added_and_removed_lose_nothing_at_those_that_stay() {
    let server = moody("processes=2\ndisable-logging=true");
    let ini = server.place.read("app.ini");
    let address = server.address();
    under_load(address, false, |_| {
        server.place.write("app.ini", &format!("{ini}http = app.sock\n"));
        server.reload(1);
        server.wait_for_log("reloaded: 2 workers", 1);
        let mut client = server.connect_locally();
        client.send("GET / HTTP/1.1\r\nHost: test\r\nConnection: close\r\n\r\n");
        client.response().expect(200);
        server.place.write("app.ini", &ini);
        server.reload(2);
        server.wait_for_log("reloaded: 2 workers", 2);
    });
    assert!(!server.place.join("app.sock").exists());
}
