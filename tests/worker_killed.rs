//! A worker dies: another comes.

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

/// A request that ends its worker: its client sees an orderly end of the connection and nothing else.
fn die(server: &Server, target: &str) {
    let mut client = server.connect_and_send(target);
    assert_eq!(client.end(), Ok(()));
    assert_eq!(client.rest(), b"");
}

#[test]
fn the_log_says_which_request_a_crashed_worker_ran() {
    let server = Server::new("processes=2");
    die(&server, "/die?segv");
    server.wait_for_log("was killed by signal 11 (SIGSEGV) while it ran GET /die (", 1);
    server.wait_for_log(") serves", 3);
    server.get("/ok").expect(200);
}

#[test]
fn the_log_says_which_request_left_the_process() {
    let server = Server::new("processes=2");
    die(&server, "/die?exit3");
    server.wait_for_log("exited with code 3 while it ran GET /die (", 1);
    die(&server, "/die?exit0");
    server.wait_for_log("exited with code 0 while it ran GET /die (", 1);
    server.wait_for_log(") serves", 4);
    assert_eq!(server.log().matches(" while it ran ").count(), 2, "{}", server.log());
}

#[test]
fn the_log_says_every_request_that_a_worker_ran() {
    let server = Server::new("threads=3");
    let (_first, pid) = victim(&server);
    let mut second = server.connect();
    second.send("POST /gate?h HTTP/1.1\r\nHost: test\r\nContent-Length: 0\r\n\r\n");
    server.place.wait_for_gate("h");
    end(pid);
    let told = |log: &str| {
        let line = log.lines().find(|line| line.contains("(SIGKILL)"))?;
        Some(line.contains(" while it ran GET /gate (") && line.contains(" s), POST /gate ("))
    };
    assert!(wait::until("the death in the log", || told(&server.log())));
}

#[test]
fn a_long_path_is_cut_in_the_line_about_a_death() {
    let app = "import os\ndef application(e, s):\n    os._exit(1)\n";
    let server = crate::support::setup::Setup::new("").app(app).start();
    die(&server, &format!("/{}", "a".repeat(300)));
    server.wait_for_log(&format!(" while it ran GET /{}… (", "a".repeat(127)), 1);
}

#[test]
fn a_worker_that_is_killed_for_not_leaving_is_told_with_its_request() {
    let mut server = Server::new("worker-reload-mercy=1");
    let (_client, _) = victim(&server);
    server.stop();
    server.wait_for_log("while it ran GET /gate (", 1);
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
    wait::until("a worker in its place", alive);
    server.get("/ok").expect(200);
}

/// The kernel wakes one worker for a connection. Its replacement would see who waits, but there is none.
#[test]
fn who_a_dead_worker_was_woken_for_is_served_by_an_idle_one_at_once() {
    let server = Server::new("processes=10");
    let others = [vec![server.pid()], server.workers()].concat();
    let mut all = server.place.processes().into_iter();
    let template = Pid::from_raw(all.find(|pid| !others.contains(pid)).expect("a template"));
    kill(template, Signal::SIGSTOP).unwrap();
    let mut lost = 0;
    for _ in 0..8 {
        let pid = server.get("/pid").expect(200).text().parse().unwrap();
        let mut client = server.connect_and_send("/pid");
        end(pid);
        assert!(!client.is_silent_for(wait::DEADLINE), "{}", server.log());
        // Or it had been accepted, and is lost with the worker.
        lost += usize::from(client.try_response(true).is_err());
    }
    kill(template, Signal::SIGCONT).unwrap();
    assert!(lost < 8, "none was left for another worker");
}
