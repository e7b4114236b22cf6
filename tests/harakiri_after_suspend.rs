//! The time in which a worker was stopped does not count.

use std::time::Duration;

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use crate::support::client::Client;
use crate::support::server::Server;

/// A request that has been stopped for longer than it may take, and goes on.
fn after_suspend(server: &Server) -> Client {
    let mut client = server.connect_and_send("/gate?a");
    let pid = Pid::from_raw(server.place.pid_at_gate("a"));
    server.wait_for_log("GET /gate has been running for ", 1);
    kill(pid, Signal::SIGSTOP).unwrap();
    let silent = client.is_silent_for(Duration::from_secs(12));
    kill(pid, Signal::SIGCONT).unwrap();
    assert!(silent);
    client
}

#[test]
fn who_was_stopped_has_its_time_afterwards() {
    let server = Server::new("harakiri=6\nharakiri-warn=1");
    let mut client = after_suspend(&server);
    assert!(client.is_silent_for(Duration::from_millis(700)), "{}", server.log());
    server.place.open_gate("a");
    client.response().expect(200);
    assert!(!server.log().contains("interrupted"), "{}", server.log());
}

#[test]
fn who_was_stopped_has_no_more_than_its_time() {
    let server = Server::new("harakiri=6\nharakiri-warn=1");
    after_suspend(&server).response().expect(504);
    server.wait_for_log("it is interrupted", 1);
    // The twelve seconds are not in it.
    let log = server.log();
    let line = log.lines().find(|line| line.contains("it is interrupted")).unwrap();
    let seconds = line.split_once("has been running for ").unwrap().1.split_once(' ').unwrap().0;
    assert!(seconds.parse::<f64>().unwrap() < 12.0, "{line}");
}
