//! What runs at the same time.

use std::collections::BTreeSet;

use crate::support::client::Client;
use crate::support::server::Server;

fn stuck(server: &Server, name: &str) -> Client {
    let mut client = server.connect();
    client.send(format!("GET /gate?{name} HTTP/1.1\r\nHost: test\r\n\r\n"));
    server.place.wait_for_gate(name);
    client
}

#[test]
fn two_threads_run_two_requests_at_once() {
    let server = Server::new("threads=2");
    let mut clients = [server.connect(), server.connect()];
    for client in &mut clients {
        client.send("GET /team?2 HTTP/1.1\r\nHost: test\r\n\r\n");
    }
    clients.iter_mut().for_each(|client| drop(client.response().expect(200)));
}

#[test]
fn threads_have_names() {
    let server = Server::new("threads=2");
    let mut clients = [stuck(&server, "a"), stuck(&server, "b")];
    server.place.open_gate("a");
    server.place.open_gate("b");
    let mut names: Vec<_> = clients.iter_mut().map(|client| client.response().text()).collect();
    names.sort();
    assert_eq!(names, ["MainThread", "rwsgi-2"]);
}

#[test]
fn a_stuck_request_does_not_stop_what_needs_no_python() {
    let server = Server::new("http-headers-timeout=4");
    let mut kept = server.connect();
    kept.get("/ok").expect(200);
    let mut half = server.connect();
    half.send("GET /ok HTTP/1.1\r\n");
    server.ask("GET /ok HTTP/1.1\r\nHost: test\r\nConnection: close\r\n\r\n").expect(200);
    let mut busy = stuck(&server, "g");
    kept.send("GET /pid HTTP/1.1\r\nHost: test\r\n\r\n");
    half.response().expect(408);
    server.place.open_gate("g");
    busy.response().expect(200);
    kept.response().expect(200);
}

#[test]
fn new_connections_go_to_workers_that_are_free() {
    let server = Server::new("processes=4");
    let mut busy = [stuck(&server, "a"), stuck(&server, "b")];
    for _ in 0..40 {
        assert_eq!(server.get("/ok").expect(200).text(), "ok");
    }
    server.place.open_gate("a");
    server.place.open_gate("b");
    busy.iter_mut().for_each(|client| drop(client.response().expect(200)));
}

#[test]
fn a_slow_reader_does_not_hold_a_thread_that_others_need() {
    let server = Server::new("threads=2");
    let mut slow = server.connect();
    slow.send("GET /closing?endless HTTP/1.1\r\nHost: test\r\n\r\n");
    for _ in 0..20 {
        server.get("/ok").expect(200);
    }
    drop(slow);
    server.wait_for_log("closed endless", 1);
}

#[test]
fn threads_of_the_application_run_between_requests() {
    let app = "
import threading, time
def work():
    time.sleep(0.01)
    open('entered-work', 'w').close()
started = []
def application(e, s):
    started.append(threading.Thread(target=work, daemon=True))
    started[-1].start()
    s('200 OK', [])
    return [b'ok']
";
    let server = crate::support::setup::Setup::new("").app(app).start();
    server.get("/").expect(200);
    server.place.wait_for_gate("work");
}

/// CPUs of a thread, as the kernel writes them.
fn cpus(status: &str) -> String {
    let status = std::fs::read_to_string(status).unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("Cpus_allowed_list:")).unwrap();
    line.trim().to_owned()
}

#[test]
fn each_worker_has_its_cpus_where_that_is_asked_for() {
    let server = Server::new("processes = 3\nthreads = 2\ncpu-affinity = 1\n");
    let there = cpus("/proc/self/status");
    let mut found = Vec::new();
    for pid in server.workers() {
        let threads = std::fs::read_dir(format!("/proc/{pid}/task")).unwrap().flatten();
        let theirs = threads.map(|thread| cpus(&format!("{}/status", thread.path().display())));
        let theirs: BTreeSet<_> = theirs.collect();
        assert_eq!(theirs.len(), 1, "all threads of a worker are in one place: {theirs:?}");
        found.extend(theirs);
    }
    assert!(found.iter().all(|one| one.parse::<u32>().is_ok()), "{found:?} of {there}");
    let different: BTreeSet<_> = found.iter().collect();
    let expected = if there.parse::<u32>().is_ok() { 1 } else { 2 };
    assert!(different.len() >= expected, "{found:?} of {there}");
    assert_eq!(cpus(&format!("/proc/{}/status", server.pid())), there, "the master stays");
}
