//! No request waits for a busy worker while another one is idle, on whatever connection it comes.

use std::time::Duration;

use nix::sys::signal::Signal;
use nix::unistd::Pid;

use crate::support::client::Client;
use crate::support::packet::Packet;
use crate::support::server::Server;
use crate::support::setup::Setup;
use crate::support::wait;

const ADDRESSES: &str = "[rwsgi]\nhttp = 127.0.0.1:0\nhttp = http.sock\nsocket = 127.0.0.1:0\n\
    socket = uwsgi.sock\nchdir = %d\nwsgi-file = app.py\nprocesses = 4\n";
const GET_PID: &str = "GET /pid HTTP/1.1\r\nHost: test\r\n\r\n";

/// Makes all threads busy but one, at gates that have names from `a` on.
fn occupy(server: &Server, threads: u8) -> Vec<(Client, String)> {
    let gate = |number: u8| char::from(b'a' + number).to_string();
    let busy = |name: String| {
        let mut client = server.connect();
        client.send(format!("GET /gate?{name} HTTP/1.1\r\nHost: test\r\n\r\n"));
        server.place.wait_for_gate(&name);
        (client, name)
    };
    (0..threads - 1).map(|number| busy(gate(number))).collect()
}

fn release(server: &Server, busy: Vec<(Client, String)>) {
    for (mut client, gate) in busy {
        server.place.open_gate(&gate);
        client.response().expect(200);
    }
}

/// A connection of each kind, and what to send for an answer.
fn clients(server: &Server) -> [(Client, Vec<u8>); 4] {
    let (http, packet) = (GET_PID.as_bytes().to_vec(), Packet::get("/pid").bytes());
    let unix = |name: &str| Client::unix(&server.place.join(name));
    [
        (server.connect(), http.clone()),
        (unix("http.sock"), http),
        (Client::connect(server.uwsgi_address()), packet.clone()),
        (unix("uwsgi.sock"), packet),
    ]
}

fn new_connections_find_the_idle_thread(threads: u8) {
    let server = Setup::classic(&format!("{ADDRESSES}threads = {threads}")).start();
    let busy = occupy(&server, 4 * threads);
    for _ in 0..10 {
        for (mut client, request) in clients(&server) {
            client.send(request);
            client.response().expect(200);
        }
    }
    release(&server, busy);
}

#[test]
fn new_connections_find_the_one_idle_worker() {
    new_connections_find_the_idle_thread(1);
}

#[test]
fn new_connections_find_the_one_idle_thread_of_eight() {
    new_connections_find_the_idle_thread(2);
}

#[test]
fn connections_that_were_accepted_before_a_worker_was_busy_go_to_an_idle_one() {
    let server = Setup::classic(ADDRESSES).start();
    let mut silent: Vec<_> = (0..6).flat_map(|_| clients(&server)).collect();
    // What connects later is accepted later.
    server.get("/ok").expect(200);
    let busy = occupy(&server, 4);
    for (client, request) in &mut silent {
        client.send(request);
        client.response().expect(200);
    }
    release(&server, busy);
}

#[test]
fn keep_alive_connections_of_busy_workers_are_served_by_an_idle_one() {
    let server = Setup::classic(ADDRESSES).start();
    let mut kept: Vec<_> = (0..12).map(|_| server.connect()).collect();
    let homes: Vec<_> = kept.iter_mut().map(|client| client.get("/pid").expect(200)).collect();
    let busy = occupy(&server, 4);
    for _ in 0..3 {
        for client in &mut kept {
            client.get("/pid").expect(200);
        }
    }
    let now: Vec<_> = kept.iter_mut().map(|client| client.get("/pid").expect(200)).collect();
    let moved = homes.iter().zip(&now).filter(|(home, now)| home.body != now.body).count();
    assert!(moved > 0, "all were at the idle worker from the first");
    release(&server, busy);
}

#[test]
fn connections_that_were_idle_for_long_are_served_by_an_idle_worker_too() {
    let server = Server::new("processes=2");
    let mut kept: Vec<_> = (0..8).map(|_| server.connect()).collect();
    kept.iter_mut().for_each(|client| drop(client.get("/ok").expect(200)));
    let mut last = server.connect();
    last.get("/ok").expect(200);
    // Idle for longer than a second.
    assert!(last.is_silent_for(Duration::from_millis(2500)));
    let busy = occupy(&server, 2);
    kept.iter_mut().for_each(|client| drop(client.get("/ok").expect(200)));
    release(&server, busy);
}

#[test]
fn a_connection_goes_with_its_bodies_and_with_requests_that_follow() {
    let server = Server::new("processes=2");
    let mut kept: Vec<_> = (0..8).map(|_| server.connect()).collect();
    kept.iter_mut().for_each(|client| drop(client.get("/ok").expect(200)));
    let busy = occupy(&server, 2);
    for client in &mut kept {
        client.send(
            "POST /echo HTTP/1.1\r\nHost: test\r\nContent-Length: 5\r\n\r\nfirst\
             POST /echo HTTP/1.1\r\nHost: test\r\nTransfer-Encoding: chunked\r\n\r\n\
             6\r\nsecond\r\n0\r\n\r\n",
        );
    }
    for client in &mut kept {
        assert_eq!(client.response().expect(200).text(), "first");
        assert_eq!(client.response().expect(200).text(), "second");
    }
    release(&server, busy);
}

#[test]
fn who_the_client_is_goes_with_the_connection() {
    let server = Server::new("processes=2\nproxy-protocol=true\ntrusted-proxies=127.0.0.1");
    let connect = |number: usize| {
        let mut client = server.connect();
        client.send(format!("PROXY TCP4 192.0.2.{number} 192.0.2.99 4000 80\r\n"));
        client.get("/environ").expect(200);
        client
    };
    let mut kept: Vec<_> = (1..9).map(connect).collect();
    let mut busy = connect(20);
    busy.send("GET /gate?g HTTP/1.1\r\nHost: test\r\n\r\n");
    server.place.wait_for_gate("g");
    for (number, client) in (1..).zip(&mut kept) {
        let text = client.get("/environ").expect(200).text();
        assert!(text.contains(&format!("\"REMOTE_ADDR\": \"192.0.2.{number}\"")), "{text}");
    }
    server.place.open_gate("g");
    busy.response().expect(200);
}

#[test]
fn what_nobody_can_take_is_answered_by_who_is_free_first() {
    let server = Server::new("processes=2");
    let mut kept: Vec<_> = (0..8).map(|_| server.connect()).collect();
    kept.iter_mut().for_each(|client| drop(client.get("/ok").expect(200)));
    let mut busy = occupy(&server, 3);
    kept.iter_mut().for_each(|client| client.send(GET_PID));
    let (client, gate) = busy.remove(0);
    // One of the two goes on: its own connections, at least, are served.
    release(&server, vec![(client, gate)]);
    release(&server, busy);
    kept.iter_mut().for_each(|client| drop(client.response().expect(200)));
}

#[test]
fn an_idle_client_of_a_busy_worker_keeps_its_connection() {
    let server = Server::new("processes=2\nhttp-keepalive=6");
    let mut kept: Vec<_> = (0..8).map(|_| server.connect()).collect();
    kept.iter_mut().for_each(|client| drop(client.get("/ok").expect(200)));
    let busy = occupy(&server, 2);
    // Its time runs wherever it is.
    kept.iter_mut().for_each(|client| drop(client.get("/ok").expect(200)));
    wait::until("idle clients to be dismissed", || {
        kept.iter_mut().all(Client::is_closed).then_some(())
    });
    release(&server, busy);
}

/// Two workers, of which one is busy; clients of this one have sent requests, which are on their way
/// to the other one. Both stand still.
fn given() -> (Server, [i32; 2], Vec<Client>) {
    wait::until("requests on their way", try_given)
}

/// `None`: the first has taken them back for good, since this process did not run in time.
fn try_given() -> Option<(Server, [i32; 2], Vec<Client>)> {
    let server = Server::new("processes=2");
    let mut clients: Vec<_> = (0..16).map(|_| server.connect()).collect();
    let home = |client: &mut Client| client.get("/pid").expect(200).text().parse::<i32>().unwrap();
    let homes: Vec<_> = clients.iter_mut().map(home).collect();
    let _busy = occupy(&server, 2);
    let giver = server.place.pid_at_gate("a");
    let taker = server.workers().into_iter().find(|pid| *pid != giver).unwrap();
    signal(taker, Signal::SIGSTOP);
    let mut homes = homes.into_iter();
    clients.retain(|_| homes.next() == Some(giver));
    let before = sockets(giver);
    clients.iter_mut().for_each(|client| client.send(GET_PID));
    // Now and then it takes back what nobody has taken, and gives it again.
    let on_their_way = || {
        stop(giver);
        let all = sockets(giver) + clients.len() == before;
        if !all {
            signal(giver, Signal::SIGCONT);
        }
        all.then_some(())
    };
    if wait::within(Duration::from_secs(3), on_their_way).is_none() || clients.is_empty() {
        [giver, taker].into_iter().for_each(|pid| signal(pid, Signal::SIGCONT));
        server.place.open_gate("a");
        return None;
    }
    Some((server, [giver, taker], clients))
}

/// How many sockets a process has.
fn sockets(pid: i32) -> usize {
    let open = std::fs::read_dir(format!("/proc/{pid}/fd")).unwrap().flatten();
    let names = open.filter_map(|entry| std::fs::read_link(entry.path()).ok());
    names.filter(|name| name.to_string_lossy().starts_with("socket:")).count()
}

/// Stops a process, and waits until all of its threads stand still.
fn stop(pid: i32) {
    signal(pid, Signal::SIGSTOP);
    wait::until("a process that stands still", || {
        let mut threads = std::fs::read_dir(format!("/proc/{pid}/task")).unwrap().flatten();
        let stat = |path: std::path::PathBuf| std::fs::read_to_string(path.join("stat")).unwrap();
        threads.all(|thread| stat(thread.path()).contains(") T ")).then_some(())
    });
}

fn signal(pid: i32, signal: Signal) {
    nix::sys::signal::kill(Pid::from_raw(pid), signal).unwrap();
}

#[test]
fn what_was_given_to_a_worker_that_is_killed_is_served_by_another() {
    let (server, [giver, taker], mut clients) = given();
    signal(taker, Signal::SIGKILL);
    clients.iter_mut().for_each(|client| drop(client.response().expect(200)));
    signal(giver, Signal::SIGCONT);
    server.place.open_gate("a");
}

#[test]
fn what_a_worker_has_given_away_before_it_is_killed_is_served() {
    let (server, [giver, taker], mut clients) = given();
    signal(giver, Signal::SIGKILL);
    server.wait_for_log("(SIGKILL)", 1);
    signal(taker, Signal::SIGCONT);
    clients.iter_mut().for_each(|client| drop(client.response().expect(200)));
    server.get("/ok").expect(200);
}
