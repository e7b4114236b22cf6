//! A worker dies: another comes.

use std::time::Duration;

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use crate::support::client::Client;
use crate::support::server::Server;
use crate::support::wait;

fn end(pid: i32) {
    assert!(pid > 1, "the log does not know the worker's pid");
    kill(Pid::from_raw(pid), Signal::SIGKILL).unwrap();
}

/// A request that waits at a gate, and the worker that it waits in.
fn victim(server: &Server) -> (Client, i32) {
    let mut client = server.connect();
    client.send("GET /gate?g HTTP/1.1\r\nHost: test\r\n\r\n");
    (client, server.place.pid_at_gate("g"))
}

#[test]
fn each_worker_is_replaced_and_the_others_serve() {
    let server = Server::new("processes=3");
    for (count, pid) in server.workers().into_iter().enumerate() {
        end(pid);
        server.wait_for_log(") serves", 4 + count);
        assert_eq!(server.get("/ok").expect(200).text(), "ok");
    }
    assert_eq!(server.log().matches("(SIGKILL)").count(), 3, "{}", server.log());
    server.wait_for_log("a new one is started", 3);
}

#[test]
fn only_the_requests_of_a_dead_worker_fail() {
    let server = Server::new("processes=2");
    let (mut lost, pid) = victim(&server);
    let mut kept = server.connect();
    kept.get("/ok").expect(200);
    end(pid);
    assert!(lost.is_closed());
    assert_eq!(kept.get("/ok").expect(200).text(), "ok");
    server.wait_for_log(") serves", 3);
    (0..8).for_each(|_| drop(server.get("/ok").expect(200)));
}

#[test]
fn an_application_that_kills_its_worker_is_told_with_the_signal() {
    let app = "import os\ndef application(e, s):\n    os.kill(os.getpid(), 11)\n";
    let server = crate::support::setup::Setup::new("").app(app).start();
    assert!(server.connect().try_response_to("/").is_err());
    server.wait_for_log("SIGSEGV", 1);
    server.wait_for_log(") serves", 2);
}

#[test]
fn a_crash_loop_is_slowed_down_and_told() {
    let server = Server::new("");
    for count in 1..=5 {
        server.wait_for_log(") serves", count);
        end(*server.workers().last().unwrap());
        server.wait_for_log("a new one is started", count);
    }
    server.wait_for_log("keeps dying", 1);
    server.wait_for_log("a new one is started in 8 s", 1);
}

#[test]
fn sigterm_to_a_worker_replaces_it_without_a_loss() {
    let server = Server::new("processes=2");
    let pid = server.workers()[0];
    kill(Pid::from_raw(pid), Signal::SIGTERM).unwrap();
    (0..20).for_each(|_| drop(server.get("/ok").expect(200)));
    server.wait_for_log(") serves", 3);
    server.wait_for_log(&format!("(pid {pid}) left"), 1);
}

#[test]
fn a_dead_template_is_replaced_and_workers_still_come_back() {
    let server = Server::new("");
    let worker = server.workers()[0];
    let template =
        server.place.processes().into_iter().find(|pid| ![server.pid(), worker].contains(pid));
    end(template.expect("a template"));
    server.wait_for_log("a new template is started", 1);
    server.wait_for_log("has imported the application", 2);
    end(worker);
    server.wait_for_log(") serves", 2);
    let alive = || server.workers().last().copied().filter(|pid| *pid != worker);
    assert!(wait::within(Duration::from_secs(5), alive).is_some());
    server.get("/ok").expect(200);
}
