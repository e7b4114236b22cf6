//! Who always has another request takes nobody else's share.

use std::sync::atomic::{AtomicBool, Ordering::Relaxed};

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use crate::support::client::Client;
use crate::support::packet::Packet;
use crate::support::setup::Setup;
use crate::support::wait;

/// Counts its requests, and answers with the number.
const COUNTER: &str = "
count = 0
def application(environ, start_response):
    global count
    count += 1
    start_response('200 OK', [('Content-Type', 'text/plain')])
    return [b'%d' % count]
";

/// Clients that always have a request, and newcomers that wait when the server looks at them first.
const STORM: usize = 4;
const NEWCOMERS: usize = 120;

/// Sends without end, reads without end.
fn storm(mut client: Client, over: &AtomicBool) {
    let requests = "GET / HTTP/1.1\r\nHost: test\r\n\r\n".repeat(50);
    let mut reader = client.try_clone().unwrap();
    std::thread::scope(|scope| {
        scope.spawn(move || reader.rest());
        while !over.load(Relaxed) && client.try_send(&requests).is_ok() {}
        drop(client.raw().shutdown(std::net::Shutdown::Both));
    });
}

#[test]
fn newcomers_at_each_listener_get_their_share_beside_busy_keep_alive_connections() {
    let ini = "[rwsgi]\nhttp = 127.0.0.1:0\nhttp = http.sock\nsocket = 127.0.0.1:0\nchdir = %d\n\
        wsgi-file = app.py\ndisable-logging = true\n";
    let server = Setup::classic(ini).app(COUNTER).start();
    let worker = Pid::from_raw(server.workers()[0]);
    let counted =
        |client: &mut Client| -> usize { client.response().expect(200).text().parse().unwrap() };
    let over = AtomicBool::new(false);
    std::thread::scope(|scope| {
        let clients: Vec<_> = (0..STORM).map(|_| server.connect()).collect();
        for client in clients {
            scope.spawn(|| storm(client, &over));
        }
        let mut probe = server.connect();
        wait::until("the storm", || (counted_by(&mut probe) > 2000).then_some(()));
        // They all wait by the time it goes on.
        kill(worker, Signal::SIGSTOP).unwrap();
        let newcomer = |number: usize| {
            let http = "GET / HTTP/1.1\r\nHost: test\r\nConnection: close\r\n\r\n";
            let (mut client, request) = match number % 3 {
                0 => (server.connect(), http.as_bytes().to_vec()),
                1 => (Client::unix(&server.place.join("http.sock")), http.as_bytes().to_vec()),
                _ => (Client::connect(server.uwsgi_address()), Packet::get("/").bytes()),
            };
            client.send(request);
            client
        };
        let mut newcomers: Vec<_> = (0..NEWCOMERS).map(newcomer).collect();
        kill(worker, Signal::SIGCONT).unwrap();
        let numbers: Vec<_> = newcomers.iter_mut().map(counted).collect();
        over.store(true, Relaxed);
        let first = numbers.iter().min().unwrap();
        let answers = numbers.iter().max().unwrap() - first;
        assert!(answers < NEWCOMERS * 10, "{answers} answers until the last newcomer: {numbers:?}");
        for kind in 0..3 {
            let theirs = numbers.iter().skip(kind).step_by(3);
            let last = theirs.max().unwrap() - first;
            assert!(
                last * 3 > answers,
                "listener {kind} was served before the others: {numbers:?}"
            );
        }
    });
}

fn counted_by(probe: &mut Client) -> usize {
    probe.get("/").expect(200).text().parse().unwrap()
}

#[test]
fn no_newcomer_waits_behind_a_long_request_while_another_worker_is_idle() {
    let app = "
import os, time
def application(environ, start_response):
    if environ['QUERY_STRING']:
        open('entered-g', 'w').write('')
        while not os.path.exists('open-g'):
            time.sleep(0.002)
    start_response('200 OK', [])
    return [b'%d' % os.getpid()]
";
    let server = Setup::new("processes=2").app(app).start();
    let mut kept = server.connect();
    let busy: i32 = kept.get("/").expect(200).text().parse().unwrap();
    let workers = server.workers();
    let send = |signal: Signal, pid: i32| kill(Pid::from_raw(pid), signal).unwrap();
    workers.iter().for_each(|&pid| send(Signal::SIGSTOP, pid));
    kept.send("GET /?long HTTP/1.1\r\nHost: test\r\n\r\n");
    // Each worker is told of some of them.
    let mut newcomers: Vec<_> = (0..8).map(|_| server.connect_and_send("/")).collect();
    send(Signal::SIGCONT, busy);
    server.place.wait_for_gate("g");
    workers.iter().filter(|&&pid| pid != busy).for_each(|&pid| send(Signal::SIGCONT, pid));
    for newcomer in &mut newcomers {
        newcomer.response().expect(200);
    }
    server.place.open_gate("g");
    kept.response().expect(200);
}
