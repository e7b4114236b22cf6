//! What a new program meets that takes over in the middle of something.

use std::io::Write as _;
use std::os::unix::net::UnixStream;

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use serde_json::json;

use crate::support::control;
use crate::support::server::Server;
use crate::support::setup::Setup;
use crate::support::upgrade::{WITH_GATES, replaceable, upgrade, upgrade_to};
use crate::support::wait;

/// A server whose next program waits at the gates `check` and `start`.
fn server(lines: &str) -> Server {
    let server = replaceable(control::setup(lines)).start();
    upgrade_to(&server.place, WITH_GATES);
    server
}

/// The same, with the new program executed and before it has done anything.
fn between(lines: &str) -> Server {
    let server = server(lines);
    server.place.open_gate("check");
    server.signal(Signal::SIGHUP);
    assert_eq!(server.place.pid_at_gate("start"), server.pid());
    server
}

fn send(server: &Server, command: &str) -> UnixStream {
    let mut stream = control::connect(server);
    writeln!(stream, "{}", json!({"command": command})).unwrap();
    stream
}

fn answer(stream: UnixStream) -> String {
    control::answer(stream).to_string()
}

fn template(server: &Server) -> i32 {
    let workers = server.workers();
    let others = server.place.processes().into_iter();
    let mut others = others.filter(|pid| *pid != server.pid() && !workers.contains(pid));
    others.next().unwrap()
}

fn end(pid: i32) {
    kill(Pid::from_raw(pid), Signal::SIGKILL).unwrap();
}

#[test]
fn all_who_ask_while_the_new_program_looks_get_one_reload() {
    let server = server("");
    let first = send(&server, "reload");
    server.place.wait_for_gate("check");
    let second = send(&server, "reload");
    server.signal(Signal::SIGHUP);
    assert!(answer(send(&server, "status")).contains("\"ok\":true"));
    server.get("/ok").expect(200);
    ["check", "start"].iter().for_each(|gate| server.place.open_gate(gate));
    assert!(answer(first).contains("reloaded: 1 new worker serves"));
    assert!(answer(second).contains("reloaded: 1 new worker serves"));
    assert_eq!(server.log().matches("reload: generation").count(), 1, "{}", server.log());
}

#[test]
fn a_worker_that_dies_while_the_new_program_looks_is_replaced_before() {
    let server = server("processes=2");
    server.signal(Signal::SIGHUP);
    server.place.wait_for_gate("check");
    end(server.workers()[0]);
    server.wait_for_log(") serves", 3);
    ["check", "start"].iter().for_each(|gate| server.place.open_gate(gate));
    server.wait_for_log("reloaded: 2 workers", 1);
    server.get("/ok").expect(200);
}

#[test]
fn a_stop_while_the_new_program_looks_is_a_stop() {
    let mut server = server("");
    let client = send(&server, "reload");
    server.place.wait_for_gate("check");
    server.signal(Signal::SIGTERM);
    assert_eq!(server.wait().code(), Some(0));
    assert!(answer(client).contains("\"ok\":false"));
    assert!(server.place.is_deserted_within(wait::DEADLINE));
}

#[test]
fn between_two_programs_requests_are_served_and_commands_wait() {
    let server = between("processes=2");
    server.get("/ok").expect(200);
    let client = send(&server, "status");
    server.place.open_gate("start");
    assert!(answer(client).contains(&format!("\"pid\":{}", server.pid())));
    server.wait_for_log("reloaded: 2 workers", 1);
}

#[test]
fn a_worker_that_dies_between_two_programs_is_buried_and_told_of() {
    let server = between("processes=2");
    let worker = server.workers()[0];
    end(worker);
    let ended = || (!server.place.processes().contains(&worker)).then_some(());
    wait::until("its end", ended);
    server.get("/ok").expect(200);
    server.place.open_gate("start");
    server.wait_for_log("was killed by signal 9", 1);
    server.wait_for_log("reloaded: 2 workers", 1);
    let four = || (server.place.processes().len() == 4).then_some(());
    wait::until("only the last generation", four);
}

#[test]
fn a_template_that_dies_between_two_programs_is_missed() {
    let server = between("");
    end(template(&server));
    server.place.open_gate("start");
    server.wait_for_log("the workers serve on, a new template is started", 1);
    server.wait_for_log("reloaded: 1 worker", 1);
    server.get("/ok").expect(200);
}

#[test]
fn signals_between_two_programs_are_for_the_new_one() {
    let mut server = between("");
    server.signal(Signal::SIGTERM);
    server.place.open_gate("start");
    assert_eq!(server.wait().code(), Some(0), "{}", server.log());
    server.wait_for_log(" has taken over from ", 1);
}

#[test]
fn a_template_is_not_started_by_a_program_that_was_replaced() {
    let setup = replaceable(Setup::new("processes=2"));
    let server = setup.start();
    upgrade(&server.place);
    end(template(&server));
    server.wait_for_log(" has taken over from ", 1);
    server.wait_for_log("reloaded: 2 workers", 1);
    server.get("/ok").expect(200);
}

#[test]
fn a_program_that_fails_after_all_leaves_workers_that_finish_and_go() {
    let setup = replaceable(Setup::new("processes=2"));
    let mut server = setup.start();
    let mut client = server.connect_and_send("/gate?last");
    server.place.wait_for_gate("last");
    upgrade_to(&server.place, "sys.exit(0 if arguments[:1] == ['--takeover-check'] else 71)");
    server.signal(Signal::SIGHUP);
    assert_eq!(server.wait().code(), Some(71));
    server.place.open_gate("last");
    client.response().expect(200);
    assert!(server.place.is_deserted_within(wait::DEADLINE), "{}", server.log());
}
