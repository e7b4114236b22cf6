//! Scale to zero, and back: nobody who connects meanwhile is lost.

use std::net::{SocketAddr, TcpListener};
use std::os::fd::{AsFd as _, OwnedFd};
use std::process::Stdio;
use std::time::{Duration, Instant};

use nix::poll::{PollFd, PollFlags, poll};

use crate::support::client::Client;
use crate::support::server::Server;
use crate::support::setup::Setup;
use crate::support::wait;

const ASLEEP: &str = "all workers leave: no request for 1 s (idle)";

/// Waits until nothing but the master and its template is there.
fn wait_for_sleep(server: &Server, count: usize) {
    server.wait_for_log(ASLEEP, count);
    wait::until("two processes", || (server.place.processes().len() == 2).then_some(()));
}

#[test]
fn workers_leave_who_have_nothing_to_do_and_whoever_connects_is_served() {
    let server = Server::new("processes=2\nidle=1\nhttp = app.sock");
    for round in 1..=2 {
        wait_for_sleep(&server, round);
        assert_eq!(server.get("/ok").expect(200).text(), "ok");
        server.wait_for_log("2 workers again: somebody connects", round);
    }
    wait_for_sleep(&server, 3);
    let mut crowd: Vec<_> = (0..20).map(|_| server.connect_and_send("/ok")).collect();
    crowd.iter_mut().for_each(|client| drop(client.response().expect(200)));
    wait_for_sleep(&server, 4);
    server.connect_locally().get("/ok").expect(200);
}

#[test]
fn a_request_that_runs_is_no_rest() {
    assert!((0..20).any(|_| is_no_rest()));
}

/// `false`: there was rest before the request ran.
fn is_no_rest() -> bool {
    let server = Server::new("idle=1\nthreads=2");
    let mut busy = server.connect_and_send("/gate?a");
    server.place.wait_for_gate("a");
    if server.log().contains(ASLEEP) {
        server.place.open_gate("a");
        return false;
    }
    let mut other = server.connect();
    let over_two_seconds = Duration::from_millis(2500);
    other.get("/ok").expect(200);
    assert!(other.is_silent_for(over_two_seconds));
    assert!(!server.log().contains(ASLEEP));
    server.place.open_gate("a");
    busy.response().expect(200);
    server.wait_for_log(ASLEEP, 1);
    true
}

#[test]
fn a_start_that_takes_longer_is_no_rest() {
    let app = format!("import time\ntime.sleep(2)\n{}", include_str!("support/apps/kitchen.py"));
    let server = Setup::new("idle=1").app(&app).start();
    server.wait_for_log(ASLEEP, 1);
    let log = server.log();
    // Milliseconds of the day.
    let time_of = |text: &str| -> i64 {
        let line = log.lines().find(|line| line.contains(text)).unwrap();
        let time = line.split(' ').nth(1).unwrap();
        let numbers = time.split([':', '.']).map(|number| number.parse::<i64>().unwrap());
        numbers.zip([3_600_000, 60_000, 1000, 1]).map(|(number, unit)| number * unit).sum()
    };
    let rest = (time_of(ASLEEP) - time_of("ready: ")).rem_euclid(86_400_000);
    assert!(rest > 900, "{log}");
}

#[test]
fn a_connection_that_is_kept_is_closed_and_not_cut() {
    // An attempt that came too late shows nothing.
    assert!((0..20).any(|_| a_kept_connection_is_closed_and_not_cut()));
}

/// `false`: its client has sent too late.
fn a_kept_connection_is_closed_and_not_cut() -> bool {
    let server = Server::new("idle=1");
    let mut kept = server.connect();
    let began = Instant::now();
    if kept.get("/ok").expect(200).field("connection").is_some() {
        return false;
    }
    server.wait_for_log(ASLEEP, 1);
    // Its client may just be sending.
    let sent = kept.try_send("GET /ok HTTP/1.1\r\nHost: test\r\n\r\n");
    // The worker was told to leave a second after it began at the earliest, and waits for two.
    if began.elapsed() > Duration::from_secs(3) {
        return false;
    }
    sent.unwrap();
    kept.response().expect(200);
    assert!(kept.has_ended_well());
    true
}

#[test]
fn a_reload_wakes_who_sleeps() {
    let server = Server::new("idle=1");
    wait_for_sleep(&server, 1);
    server.place.write("app.py", "import nowhere");
    server.reload(1);
    server.wait_for_log("reload failed, the old code serves on", 1);
    server.get("/ok").expect(200);
    server.place.write("app.py", include_str!("support/apps/kitchen.py"));
    server.reload(2);
    server.wait_for_log("reloaded: 1 worker", 1);
}

#[test]
fn a_cheap_start_is_ready_without_workers() {
    let server = Server::new("cheap=true\nprocesses=2");
    assert_eq!(server.place.processes().len(), 2);
    assert!(!server.log().contains(") serves"));
    server.get("/ok").expect(200);
    server.wait_for_log(") serves", 2);
}

#[test]
fn a_cheap_start_fails_with_an_application_that_cannot_be_imported() {
    let setup = Setup::new("cheap=true").app("import nowhere");
    setup.run().refuses(70, &["No module named 'nowhere'"]);
}

/// An instance that a socket unit starts: it has the listener as systemd hands it over.
fn activate(listener: &TcpListener) -> Server {
    let mut waiting = [PollFd::new(listener.as_fd(), PollFlags::POLLIN)];
    assert_eq!(poll(&mut waiting, 40_000_u16), Ok(1), "nobody has connected");
    let script = "exec 3<&0 </dev/null; LISTEN_PID=$$; export LISTEN_PID; exec \"$@\"";
    let ini = "[rwsgi]\nwsgi-file = app.py\nprocesses = 2\nidle = 1\ndie-on-idle = true\n";
    let setup = Setup::classic(ini)
        .shell(script, Stdio::from(OwnedFd::from(listener.try_clone().unwrap())))
        .variable("LISTEN_FDS", "1")
        .variable("LISTEN_FDNAMES", "http");
    Server::launch(setup)
}

fn connect_and_send(address: SocketAddr) -> Client {
    let mut client = Client::connect(address);
    client.send("GET /ok HTTP/1.1\r\nHost: test\r\nConnection: close\r\n\r\n");
    client
}

/// What is being logged when somebody connects: from a start to an end, and beyond.
const MOMENTS: [&str; 8] = [
    " starts ",
    "has imported the application",
    "ready: ",
    ASLEEP,
    ") left",
    "the end (die-on-idle)",
    "stopping: ",
    "stopped after",
];

#[test]
fn whenever_somebody_connects_this_start_or_the_next_one_answers() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let mut clients = vec![connect_and_send(address)];
    for moment in MOMENTS {
        let mut server = activate(&listener);
        server.wait_for_log(moment, 1);
        // Twelve at once, and then one after the other until the instance has ended or is woken.
        clients.extend((0..12).map(|_| connect_and_send(address)));
        let ended = server.wait();
        assert!(ended.success(), "{ended}: {}", server.log());
        clients.push(connect_and_send(address));
    }
    let mut last = activate(&listener);
    assert!(clients.len() > 100);
    for client in &mut clients {
        assert_eq!(client.response().expect(200).text(), "ok");
    }
    assert!(last.wait().success(), "{}", last.log());
}
