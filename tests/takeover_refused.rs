//! Programs that cannot take over: what serves goes on.

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use crate::support::control;
use crate::support::server::Server;
use crate::support::setup::Ended;
use crate::support::upgrade::{replaceable, upgrade, upgrade_to, upgrade_to_bytes};
use crate::support::wait;

fn server() -> Server {
    replaceable(control::setup("processes=2")).start()
}

/// `rwsgi reload`.
fn reload(server: &Server) -> Ended {
    control::run(server, &["reload"])
}

/// The reload fails with these words; what was there is there.
fn goes_on(server: &Server, words: &[&str]) {
    let workers = server.workers();
    reload(server).refuses(1, words);
    server.get("/ok").expect(200);
    assert_eq!(server.workers(), workers);
    server.wait_for_log("reload failed, the old code serves on", 1);
    server.wait_for_notification("READY=1", 2);
    assert!(!server.log().contains(" has taken over from "));
}

/// The next reload is another one's.
fn takes_over(server: &Server) {
    assert_eq!(reload(server).code(), 0, "{}", server.log());
    server.wait_for_log(" has taken over from ", 1);
    server.get("/ok").expect(200);
}

#[test]
fn one_that_says_no_does_not() {
    let server = server();
    upgrade_to(&server.place, "sys.exit('I am another program')");
    goes_on(&server, &["cannot take over: I am another program", "Restart the instance to run it"]);
    upgrade(&server.place);
    takes_over(&server);
}

#[test]
fn one_that_says_nothing_does_not() {
    let server = server();
    upgrade_to(&server.place, "sys.exit(3)");
    goes_on(&server, &["cannot take over: exited with code 3", "Restart the instance to run it"]);
}

#[test]
fn one_that_is_no_program_does_not() {
    let server = server();
    upgrade_to_bytes(&server.place, b"\x7fELF\x02\x01", 0o755);
    goes_on(&server, &["cannot take over: Exec format error"]);
}

#[test]
fn one_that_may_not_be_executed_does_not() {
    let server = server();
    upgrade_to_bytes(&server.place, b"#!/bin/sh\n", 0o644);
    goes_on(&server, &["cannot take over: Permission denied"]);
}

#[test]
fn one_that_cannot_be_executed_when_it_matters_does_not() {
    let server = server();
    upgrade_to(&server.place, "os.chmod(sys.argv[0], 0o644)");
    goes_on(&server, &["it cannot be executed: ", "Permission denied"]);
    upgrade(&server.place);
    takes_over(&server);
}

#[test]
fn one_that_does_not_like_the_configuration_says_why() {
    let server = server();
    let good = server.place.read("app.ini");
    server.place.write("app.ini", "[rwsgi]\nhttp = 127.0.0.1:0\nfrob = 1\nwsgi-file = app.py\n");
    upgrade(&server.place);
    goes_on(&server, &["there is no option `frob`", "app.ini:3"]);
    assert!(!server.log().contains("Restart the instance"), "that would not help");
    server.place.write("app.ini", &good);
    takes_over(&server);
}

#[test]
fn one_that_never_answers_is_ended() {
    let server = server();
    upgrade_to(&server.place, "open('looking', 'w').close()\ntime.sleep(60)");
    server.signal(Signal::SIGHUP);
    wait::until("the new program", || server.place.join("looking").exists().then_some(()));
    assert_eq!(server.place.processes().len(), 5);
    server.get("/ok").expect(200);
    let refused = || server.log().contains("it does not answer within 10 s").then_some(());
    wait::within(wait::DEADLINE, refused).expect("it is not waited for for ever");
    server.get("/ok").expect(200);
    assert_eq!(server.place.processes().len(), 4);
}

#[test]
fn one_that_was_refused_is_not_asked_for_each_template() {
    let server = server();
    upgrade_to(&server.place, "sys.exit('no')");
    reload(&server).refuses(1, &["cannot take over: no"]);
    let workers = server.workers();
    let others = server.place.processes().into_iter();
    let mut others = others.filter(|pid| *pid != server.pid() && !workers.contains(pid));
    kill(Pid::from_raw(others.next().unwrap()), Signal::SIGKILL).unwrap();
    server.wait_for_log("has imported the application", 2);
    assert_eq!(server.log().matches("cannot take over: no").count(), 1, "{}", server.log());
}
