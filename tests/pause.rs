//! Pauses: nothing new reaches the application, and nobody is refused.

use std::time::Duration;

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use crate::support::client::Client;
use crate::support::control::{run, served, setup, status, tell};
use crate::support::load;
use crate::support::server::Server;
use crate::support::setup::Setup;
use crate::support::wait;

/// An application that leaves a trace of each call.
const COUNTING: &str = "
import os
count = os.open('count', os.O_WRONLY | os.O_CREAT | os.O_APPEND)
def application(environ, start_response):
    os.write(count, b'x')
    start_response('200 OK', [])
    return [b'old']
";

fn calls(server: &Server) -> usize {
    server.place.read("count").len()
}

fn request(client: &mut Client, path: &str) {
    client.send(format!("GET {path} HTTP/1.1\r\nHost: test\r\n\r\n"));
}

/// An open connection, to the only worker of a server.
fn open(server: &Server) -> Client {
    let mut client = server.connect();
    client.get("/ok").expect(200);
    client
}

/// What was sent on other connections before is dealt with, when rwsgi has answered here of its own
/// accord, a few times.
fn round_trips(client: &mut Client) {
    for _ in 0..3 {
        client.send("OPTIONS * HTTP/1.1\r\nHost: test\r\n\r\n");
        client.response().expect(200);
    }
}

fn drained(server: &Server) {
    assert_eq!(tell(server, &["drain"]), "drained: 0 requests run\n");
}

fn resumed(server: &Server) {
    assert_eq!(tell(server, &["resume"]), "resumed\n");
}

fn nothing_gets_through(keep: bool) {
    let server = setup("processes=2\nthreads=2").app(COUNTING).start();
    load::under_load(server.address(), keep, |answered| {
        for _ in 0..5 {
            let before = answered();
            wait::until("answers", || (answered() > before + 20).then_some(()));
            drained(&server);
            let reached = calls(&server);
            // Some have sent their requests by now, on connections new and old.
            let mut others: Vec<_> = (0..4).map(|_| server.connect_and_send("/")).collect();
            assert!(others[0].is_silent_for(Duration::from_millis(300)), "it is answered");
            assert_eq!(calls(&server), reached, "something has got through");
            resumed(&server);
            let all = others.iter_mut().map(Client::response);
            all.for_each(|response| drop(response.expect(200)));
        }
    });
}

#[test]
fn nothing_reaches_the_application_and_nobody_is_refused() {
    nothing_gets_through(false);
}

#[test]
fn the_same_on_connections_that_are_open() {
    nothing_gets_through(true);
}

#[test]
fn who_waits_because_of_it_is_not_cut_off_by_any_deadline() {
    let lines = "http-headers-timeout=5\nhttp-keepalive=5\nhttp-timeout=5\nharakiri=5\nminimum-rate=1000000";
    let server = setup(lines).app(COUNTING).start();
    let mut held = open(&server);
    drained(&server);
    let reached = calls(&server);
    held.send("POST / HTTP/1.1\r\nHost: test\r\nContent-Length: 3\r\n\r\nabc");
    let mut outside = server.connect_and_send("/");
    // Nobody has accepted this one, so its time has not begun.
    let mut slow = server.connect();
    assert!(held.is_silent_for(Duration::from_secs(8)));
    assert_eq!(calls(&server), reached);
    slow.send("GET / HTTP/1.1\r\nHost: test\r\nConnection: close\r\n\r\n");
    resumed(&server);
    for client in [&mut held, &mut outside, &mut slow] {
        assert_eq!(client.response().expect(200).text(), "old");
    }
    assert!(!server.log().contains("interrupted"), "{}", server.log());
}

#[test]
fn requests_that_run_finish_and_drain_waits_for_them() {
    let server = served("threads=2");
    let mut client = server.connect_and_send("/gate?a");
    server.place.wait_for_gate("a");
    assert_eq!(tell(&server, &["pause"]), "paused: 1 request still runs\n");
    let late = run(&server, &["drain", "--timeout", "0.2"]);
    late.refuses(1, &["no answer in time", "stays paused", "rwsgi resume"]);
    assert_eq!(status(&server)["state"], "paused");
    let path = server.place.join("control").display().to_string();
    let mut drain = Setup::new("").arguments(&["drain", &path]);
    let mut waiting = drain.spawn().unwrap();
    server.wait_for_log("`drain` by order of user", 2);
    assert!(waiting.try_wait().unwrap().is_none(), "it does not wait");
    server.place.open_gate("a");
    client.response().expect(200);
    let ended = wait::until("the end of drain", || waiting.try_wait().unwrap());
    assert!(ended.success());
    assert_eq!(drain.place.read("stdout"), "drained: 0 requests run\n");
    server.wait_for_notification("STATUS=paused: ", 1);
    resumed(&server);
    server.get("/ok").expect(200);
}

#[test]
fn ctrl_c_ends_the_wait_and_not_the_pause() {
    let server = served("");
    let mut client = server.connect_and_send("/gate?a");
    server.place.wait_for_gate("a");
    let path = server.place.join("control").display().to_string();
    let mut drain = Setup::new("").arguments(&["pause", "--wait", &path]);
    let mut waiting = drain.spawn().unwrap();
    server.wait_for_log("`drain` by order of user", 1);
    kill(Pid::from_raw(waiting.id().try_into().unwrap()), Signal::SIGINT).unwrap();
    let ended = wait::until("the end of drain", || waiting.try_wait().unwrap());
    assert_eq!(ended.code(), Some(1));
    let said = drain.place.read("stderr");
    assert!(said.contains("interrupted") && said.contains("stays paused"), "{said}");
    server.place.open_gate("a");
    client.response().expect(200);
    assert_eq!(status(&server)["state"], "paused");
}

#[test]
fn a_stop_is_not_delayed_and_refuses_what_is_held() {
    let mut server = setup("").app(COUNTING).start();
    let (mut held, mut other) = (open(&server), open(&server));
    drained(&server);
    let reached = calls(&server);
    request(&mut held, "/");
    round_trips(&mut other);
    assert_eq!(tell(&server, &["stop", "--timeout", "8"]), "stopped\n");
    assert_eq!(server.wait().code(), Some(0));
    let refused = held.response().expect(503);
    assert_eq!(refused.field("retry-after"), Some("10"));
    assert_eq!(calls(&server), reached);
}

#[test]
fn a_reload_meanwhile_loses_nobody() {
    let server = setup("worker-reload-mercy=1").app(COUNTING).start();
    let (mut held, mut other) = (open(&server), open(&server));
    drained(&server);
    let reached = calls(&server);
    request(&mut held, "/");
    round_trips(&mut other);
    let mut outside = server.connect_and_send("/");
    server.place.write("app.py", &COUNTING.replace("old", "new"));
    assert!(tell(&server, &["reload"]).starts_with("reloaded: 1 new worker"));
    // The mercy of the old one has passed, but it cannot finish what it holds.
    assert!(held.is_silent_for(Duration::from_secs(2)));
    assert_eq!((calls(&server), status(&server)["state"].as_str()), (reached, Some("paused")));
    resumed(&server);
    assert_eq!(held.response().expect(200).text(), "old");
    assert_eq!(outside.response().expect(200).text(), "new");
    let gone = || (status(&server)["workers"].as_array().unwrap().len() == 1).then_some(());
    wait::until("the end of the old worker", gone);
}

#[test]
fn a_worker_that_follows_meanwhile_is_paused_from_the_start() {
    let server = setup("processes=2").app(COUNTING).start();
    drained(&server);
    let reached = calls(&server);
    kill(Pid::from_raw(server.workers()[0]), Signal::SIGKILL).unwrap();
    server.wait_for_log(") serves", 3);
    let mut clients: Vec<_> = (0..8).map(|_| server.connect_and_send("/")).collect();
    assert!(clients[0].is_silent_for(Duration::from_millis(500)));
    assert_eq!(calls(&server), reached);
    drained(&server);
    resumed(&server);
    clients.iter_mut().for_each(|client| drop(client.response().expect(200)));
}

#[test]
fn a_busy_worker_is_paused_too() {
    let server = setup("").app(HOLD).start();
    let mut client = server.connect_and_send("/hold");
    server.place.wait_for_gate("hold");
    assert_eq!(tell(&server, &["pause"]), "paused: 1 request still runs\n");
    let mut second = server.connect_and_send("/");
    assert!(second.is_silent_for(Duration::from_millis(200)));
    server.place.open_gate("hold");
    client.response().expect(200);
    drained(&server);
    assert!(second.is_silent_for(Duration::from_millis(200)), "it was let in");
    resumed(&server);
    second.response().expect(200);
}

/// It holds Python's lock until the gate is open.
const HOLD: &str = "
import ctypes, os
def application(environ, start_response):
    if environ['PATH_INFO'] == '/hold':
        open('entered-hold', 'w').close()
        while not os.path.exists('open-hold'):
            ctypes.PyDLL(None).usleep(10000)
    start_response('200 OK', [])
    return [b'ok']
";

#[test]
fn requests_that_wait_for_a_thread_are_held_too() {
    let server = setup("threads=1").app(HOLD).start();
    let mut waiting: Vec<_> = (0..3).map(|_| server.connect()).collect();
    waiting.iter_mut().for_each(|client| drop(client.get("/").expect(200)));
    let mut busy = server.connect_and_send("/hold");
    server.place.wait_for_gate("hold");
    waiting.iter_mut().for_each(|client| request(client, "/"));
    tell(&server, &["pause"]);
    server.place.open_gate("hold");
    busy.response().expect(200);
    drained(&server);
    assert!(waiting[0].is_silent_for(Duration::from_millis(200)), "it has got through");
    resumed(&server);
    waiting.iter_mut().for_each(|client| drop(client.response().expect(200)));
}

/// Clock ticks of the processor that a process has used, a hundredth of a second each.
fn ticks(pid: i32) -> u64 {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap();
    let fields: Vec<_> = stat.rsplit_once(") ").unwrap().1.split(' ').collect();
    fields[11..13].iter().map(|field| field.parse::<u64>().unwrap()).sum()
}

#[test]
fn who_waits_outside_costs_no_processor() {
    let server = served("");
    drained(&server);
    let mut outside = server.connect_and_send("/ok");
    let before = ticks(server.workers()[0]);
    assert!(outside.is_silent_for(Duration::from_secs(1)));
    let used = ticks(server.workers()[0]) - before;
    assert!(used < 10, "{used} ticks within a second");
    resumed(&server);
    outside.response().expect(200);
}

#[test]
fn sigtstp_pauses_and_resumes() {
    let server = Server::new("");
    server.signal(Signal::SIGTSTP);
    server.wait_for_log("paused: nothing new reaches the application", 1);
    let mut client = server.connect_and_send("/ok");
    assert!(client.is_silent_for(Duration::from_millis(200)));
    server.signal(Signal::SIGTSTP);
    client.response().expect(200);
    server.wait_for_log("resumed after ", 1);
}

#[test]
fn it_ends_with_the_master_and_what_is_held_is_answered() {
    let mut server = setup("").app(COUNTING).start();
    let (mut held, mut other) = (open(&server), open(&server));
    drained(&server);
    request(&mut held, "/");
    round_trips(&mut other);
    server.signal(Signal::SIGKILL);
    assert!(!server.wait().success());
    assert_eq!(held.response().expect(200).text(), "old");
}
