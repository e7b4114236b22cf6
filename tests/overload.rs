//! Requests for which no thread is free: how many wait, for how long, and what the others are told.

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use crate::support::client::{Client, Response};
use crate::support::packet::{self, Packet};
use crate::support::server::Server;
use crate::support::setup::Setup;
use crate::support::wait;

/// A millisecond of the processor for each request, answered with the worker that had it.
const SHORT: &str = "
import os, time
def application(environ, start_response):
    end = time.perf_counter() + 0.001
    while time.perf_counter() < end:
        pass
    start_response('200 OK', [])
    return [b'%d' % os.getpid()]
";

fn occupy(server: &Server) -> Client {
    let mut client = server.connect();
    client.send("GET /gate?g HTTP/1.1\r\nHost: test\r\n\r\n");
    server.place.wait_for_gate("g");
    client
}

fn release(server: &Server, mut busy: Client) {
    server.place.open_gate("g");
    busy.response().expect(200);
}

fn expect_503(response: &Response) {
    assert_eq!(response.status, 503, "{response:?}");
    assert_eq!(response.field("retry-after"), Some("5"), "{response:?}");
    assert_eq!(response.field("content-length"), Some("19"), "{response:?}");
    assert_ne!(response.field("connection"), Some("close"), "{response:?}");
    assert!(response.complete, "{response:?}");
}

#[test]
fn who_has_waited_for_too_long_gets_503_and_keeps_the_connection() {
    let server = Server::new("queue-timeout=1");
    let (mut kept, mut other) = (server.connect(), server.connect());
    kept.get("/ok").expect(200);
    let busy = occupy(&server);
    // The application never sees it: the gate would say so.
    kept.send("GET /gate?unseen HTTP/1.1\r\nHost: test\r\n\r\n");
    expect_503(&kept.response());
    kept.send("HEAD /gate?unseen HTTP/1.1\r\nHost: test\r\n\r\n");
    expect_503(&kept.response_to_head());
    kept.send("POST /gate?unseen HTTP/1.1\r\nHost: test\r\nContent-Length: 4\r\n\r\nbody");
    expect_503(&kept.response());
    // Two at once: the second begins to wait when the first has been answered.
    kept.send("GET /gate?unseen HTTP/1.1\r\nHost: test\r\n\r\n".repeat(2));
    expect_503(&kept.response());
    expect_503(&kept.response());
    // One that no worker has accepted when its thread was free.
    other.send("GET /gate?unseen HTTP/1.1\r\nHost: test\r\n\r\n");
    expect_503(&other.response());
    release(&server, busy);
    assert_eq!(kept.get("/ok").expect(200).text(), "ok");
    assert!(!server.place.join("entered-unseen").exists());
    server.wait_for_log("GET /gate: answered with 503, as the thread of this worker is busy", 1);
    server.wait_for_log("\" 503 ", 6);
}

#[test]
fn a_body_that_is_still_coming_does_not_wait_for_a_thread() {
    let server = Server::new("queue-timeout=1");
    let mut slow = server.connect();
    slow.send("POST /echo HTTP/1.1\r\nHost: test\r\nContent-Length: 8\r\n\r\nhalf");
    let busy = occupy(&server);
    let mut kept = server.connect();
    kept.send("GET /ok HTTP/1.1\r\nHost: test\r\n\r\n");
    expect_503(&kept.response());
    release(&server, busy);
    slow.send("done");
    assert_eq!(slow.response().expect(200).text(), "halfdone");
}

#[test]
fn a_client_that_waits_for_100_gets_503_and_the_end() {
    let server = Server::new("queue-timeout=1");
    let busy = occupy(&server);
    let mut client = server.connect();
    client.send(
        "POST /echo HTTP/1.1\r\nHost: test\r\nContent-Length: 8\r\nExpect: 100-continue\r\n\r\n",
    );
    let response = client.response();
    assert_eq!((response.status, response.field("connection")), (503, Some("close")));
    assert!(client.is_closed());
    release(&server, busy);
}

#[test]
fn more_than_may_wait_get_503_at_once() {
    let server = Server::new("max-queue=2");
    let mut kept: Vec<_> = (0..5).map(|_| server.connect()).collect();
    kept.iter_mut().for_each(|client| drop(client.get("/ok").expect(200)));
    let busy = occupy(&server);
    // Two of them have room, whoever comes first.
    kept.iter_mut().for_each(|client| client.send("GET /ok HTTP/1.1\r\nHost: test\r\n\r\n"));
    server.wait_for_log("2 requests wait already (`max-queue`)", 3);
    release(&server, busy);
    let mut statuses: Vec<_> = kept.iter_mut().map(|client| client.response().status).collect();
    statuses.sort_unstable();
    assert_eq!(statuses, [200, 200, 503, 503, 503]);
    kept.iter_mut().for_each(|client| drop(client.get("/ok").expect(200)));
}

#[test]
fn more_than_may_wait_for_short_requests_get_503_too() {
    let server = Setup::new("max-queue=5").app(SHORT).start();
    let mut kept: Vec<_> = (0..100).map(|_| server.connect()).collect();
    kept.iter_mut().for_each(|client| drop(client.get("/").expect(200)));
    let worker = Pid::from_raw(server.workers()[0]);
    kill(worker, Signal::SIGSTOP).unwrap();
    kept.iter_mut().for_each(|client| client.send("GET / HTTP/1.1\r\nHost: test\r\n\r\n"));
    kill(worker, Signal::SIGCONT).unwrap();
    let statuses: Vec<_> = kept.iter_mut().map(|client| client.response().status).collect();
    let count = |status| statuses.iter().filter(|one| **one == status).count();
    // Most are refused once the first have waited for 10 ms; five of them and what ran before are not.
    assert!(count(503) > 50 && count(200) >= 6, "{statuses:?}");
    assert_eq!(count(503) + count(200), kept.len());
    kept.iter_mut().for_each(|client| drop(client.get("/").expect(200)));
}

#[test]
fn short_requests_that_are_too_many_go_to_a_worker_that_is_idle() {
    let server = Setup::new("processes=2\nmax-queue=5").app(SHORT).start();
    let signal = |pid: i32, signal| kill(Pid::from_raw(pid), signal).unwrap();
    let [idle, busy] = server.workers()[..] else { panic!("two workers") };
    signal(idle, Signal::SIGSTOP);
    let mut kept: Vec<_> = (0..300).map(|_| server.connect()).collect();
    let busy_has = |client: &mut Client| client.get("/").expect(200).text() == busy.to_string();
    assert!(kept.iter_mut().all(busy_has));
    signal(idle, Signal::SIGCONT);
    signal(busy, Signal::SIGSTOP);
    kept.iter_mut().for_each(|client| client.send("GET / HTTP/1.1\r\nHost: test\r\n\r\n"));
    signal(busy, Signal::SIGCONT);
    let answers: Vec<_> = kept.iter_mut().map(Client::response).collect();
    // Those that wait too long are offered to the other one, which has had nothing to do.
    let theirs = |answer: &&Response| answer.text() == idle.to_string();
    assert!(answers.iter().filter(theirs).count() > 0, "{answers:?}");
}

#[test]
fn at_the_bound_free_threads_are_used_and_newcomers_wait_in_the_kernel() {
    let server = Server::new("max-queue=1\nthreads=2");
    let (mut kept, mut other) = (server.connect(), server.connect());
    let busy = occupy(&server);
    (0..50).for_each(|_| drop(kept.get("/ok").expect(200)));
    other.get("/ok").expect(200);
    let mut second = server.connect();
    second.send("GET /gate?h HTTP/1.1\r\nHost: test\r\n\r\n");
    server.place.wait_for_gate("h");
    let both = [&mut kept, &mut other].map(|client| {
        client.send("GET /ok HTTP/1.1\r\nHost: test\r\n\r\n");
        client
    });
    server.wait_for_log("answered with 503, as all 2 threads of this worker are busy", 1);
    let mut newcomer = server.connect_and_send("/ok");
    assert!(newcomer.is_silent_for(std::time::Duration::from_millis(300)));
    server.place.open_gate("h");
    second.response().expect(200);
    let mut statuses = both.map(|client| client.response().status);
    statuses.sort_unstable();
    assert_eq!(statuses, [200, 503]);
    newcomer.response().expect(200);
    release(&server, busy);
}

#[test]
fn a_web_server_gets_503_by_the_uwsgi_protocol() {
    let server = packet::serve("queue-timeout=1");
    let mut busy = packet::connect(&server);
    busy.send(Packet::get("/gate?g").bytes());
    server.place.wait_for_gate("g");
    for mut client in packet::both(&server) {
        client.send(Packet::post("/gate?unseen", 4).with("body"));
        let response = client.response();
        assert_eq!((response.status, response.field("retry-after")), (503, Some("5")));
        assert_eq!(response.text(), "Service Unavailable");
    }
    server.place.open_gate("g");
    busy.response().expect(200);
    assert!(!server.place.join("entered-unseen").exists());
}

#[test]
fn status_counts_who_waits_and_who_was_turned_away() {
    let setup = Setup::new("max-queue=1");
    let directory = setup.place.path().display().to_string();
    let server = setup.variable("RUNTIME_DIRECTORY", &directory).start();
    let mut kept = [server.connect(), server.connect()];
    kept.iter_mut().for_each(|client| drop(client.get("/ok").expect(200)));
    let busy = occupy(&server);
    kept.iter_mut().for_each(|client| client.send("GET /ok HTTP/1.1\r\nHost: test\r\n\r\n"));
    let path = server.place.join("control").display().to_string();
    let counters = |waiting: u64, turned_away: u64| {
        wait::until("the counters", || {
            let told = Setup::new("").arguments(&["status", "--json", &path]).run();
            let status: serde_json::Value = serde_json::from_str(&told.stdout).ok()?;
            let total = &status["total"];
            (total["waiting"] == waiting && total["turned_away"] == turned_away).then_some(())
        });
    };
    counters(1, 1);
    release(&server, busy);
    counters(0, 1);
}
