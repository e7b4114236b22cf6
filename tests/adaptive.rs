//! As many workers as there is work for.

use std::collections::BTreeSet;
use std::time::Duration;

use crate::support::client::Client;
use crate::support::server::Server;
use crate::support::setup::Setup;
use crate::support::wait;

/// Workers leave one by one, each after a second or two.
const LONG: Duration = Duration::from_secs(60);

fn wait_long_for_log(server: &Server, text: &str, count: usize) {
    let found = wait::within(LONG, || (server.log().matches(text).count() >= count).then_some(()));
    assert!(found.is_some(), "no `{text}` × {count} in the log:\n{}", server.log());
}

/// Requests that wait at gates of these names.
fn burst(server: &Server, names: &[&str]) -> Vec<Client> {
    names.iter().map(|name| server.connect_and_send(&format!("/gate?{name}"))).collect()
}

fn finish(server: &Server, names: &[&str], clients: Vec<Client>) {
    names.iter().for_each(|name| server.place.open_gate(name));
    clients.into_iter().for_each(|mut client| drop(client.response().expect(200)));
}

#[test]
fn a_burst_gets_as_many_workers_as_there_may_be_and_they_leave_when_it_is_over() {
    let server = Server::new("processes=4\ncheaper=1\ncheaper-overload=1\ndisable-logging=true");
    assert_eq!(server.workers().len(), 1);
    let names = ["a", "b", "c", "d"];
    let clients = burst(&server, &names);
    let pids: BTreeSet<i32> = names.iter().map(|name| server.place.pid_at_gate(name)).collect();
    assert_eq!(pids.len(), 4, "each has a worker of its own");
    finish(&server, &names, clients);
    wait_long_for_log(&server, "1 worker from now on, not 2: for ", 1);
    wait_long_for_log(&server, ") left", 3);
    // The master and the template, and the worker with the lowest number.
    wait::until("three processes", || (server.place.processes().len() == 3).then_some(()));
    server.get("/ok").expect(200);
    server.wait_for_log("from now on, not 1: 1 of 1 threads have a request, ", 1);
}

#[test]
fn a_worker_more_comes_when_all_are_busy_although_nobody_waits() {
    let server = Server::new("processes=3\nthreads=2\ncheaper=1\ncheaper-initial=2");
    assert_eq!(server.workers().len(), 2);
    let names = ["a", "b", "c", "d"];
    let clients = burst(&server, &names);
    names.iter().for_each(|name| server.place.wait_for_gate(name));
    server.wait_for_log("3 workers from now on, not 2: 4 of 4 threads have a request", 1);
    server.wait_for_log(") serves", 3);
    finish(&server, &names, clients);
}

#[test]
fn a_unix_socket_says_how_many_wait_too() {
    let lines = "http = app.sock\nprocesses=6\ncheaper=1";
    let server = Server::new(lines);
    let request = |name| format!("GET /gate?{name} HTTP/1.1\r\nHost: test\r\n\r\n");
    let names = ["a", "b", "c", "d"];
    let mut clients: Vec<_> = names.iter().map(|_| server.connect_locally()).collect();
    let all = clients.iter_mut().zip(names);
    all.for_each(|(client, name)| client.send(request(name)));
    let pids: BTreeSet<i32> = names.iter().map(|name| server.place.pid_at_gate(name)).collect();
    assert_eq!(pids.len(), 4);
    finish(&server, &names, clients);
}

#[test]
fn a_reload_has_as_many_workers_as_there_were() {
    let server = Server::new("processes=4\ncheaper=1");
    let names = ["a", "b"];
    let clients = burst(&server, &names);
    server.wait_for_log("3 workers from now on", 1);
    server.reload(1);
    server.wait_for_log("reloaded: 3 workers", 1);
    finish(&server, &names, clients);
}

#[test]
fn what_auto_stands_for_is_said() {
    let server = Server::new("processes=auto\nthreads=auto");
    server.wait_for_log("processes = auto: ", 1);
    server.wait_for_log("threads = auto: 4", 1);
    server.wait_for_log("× 4 threads for", 1);
}

#[test]
fn numbers_that_contradict_each_other_are_refused_at_the_start() {
    Setup::new("processes=2\ncheaper=2").run().refuses(78, &["is not fewer than `processes`"]);
}
