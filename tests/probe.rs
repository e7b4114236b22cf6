//! `reload-probe`: what a new worker has to answer before it serves.

use crate::support::load::under_load;
use crate::support::server::Server;
use crate::support::setup::Setup;
use crate::support::wait;

const MOODY: &str = include_str!("support/apps/moody.py");
const FAILED: &str = "reload failed, the old code serves on: ";

fn server(lines: &str) -> Server {
    Setup::new(&format!("reload-probe=/healthz\n{lines}")).app(MOODY).start()
}

fn label(server: &Server) -> String {
    server.get("/").expect(200).text().split(' ').next().unwrap().to_owned()
}

/// A reload whose probe ends in this way fails, for this reason, and the old code loses nothing.
fn refuses(mood: &str, lines: &str, reason: &str) {
    let server = server(&format!("processes=2\n{lines}"));
    server.place.write("label", "second");
    server.place.write("probe", mood);
    under_load(server.address(), false, |_| {
        server.reload(1);
        server.wait_for_log(FAILED, 1);
    });
    server.wait_for_log(reason, 1);
    server.wait_for_notification("STATUS=serving: 2 workers", 1);
    (0..4).for_each(|_| assert_eq!(label(&server), "first"));
    // Master, template, two workers: nothing is left of the attempt.
    wait::until("four processes", || (server.place.processes().len() == 4).then_some(()));
    server.place.write("probe", "good");
    server.reload(2);
    server.wait_for_log("reloaded: 2 workers", 1);
    (0..4).for_each(|_| assert_eq!(label(&server), "second"));
}

#[test]
fn an_answer_that_is_not_good_ends_the_reload() {
    refuses("bad", "", "GET /healthz (reload-probe) is answered with 500, expected 2xx or 3xx");
}

#[test]
fn an_exception_ends_the_reload_and_its_traceback_is_in_the_log() {
    refuses("raise", "threads=2", "ValueError: not well");
}

#[test]
fn no_answer_ends_the_reload_with_the_stack() {
    let reason = "GET /healthz (reload-probe) is not answered after 5 s\n    MainThread:\n";
    refuses("hang", "reload-probe-timeout=5", reason);
}

#[test]
fn a_worker_that_dies_of_it_ends_the_reload() {
    refuses("crash", "", "worker 1 was killed by signal 9 (SIGKILL) before it served");
}

#[test]
fn it_comes_from_this_machine_and_names_the_host_that_is_configured() {
    let lines = "reload-probe=http://shop.example/healthz";
    let server = Setup::new(lines).app(MOODY).start();
    server.reload(1);
    server.wait_for_log("probed: ['127.0.0.1', 'shop.example', 'rwsgi-probe', 'GET']", 2);
    server.wait_for_log("\"GET /healthz HTTP/1.1\" 204", 2);
}

#[test]
fn each_new_worker_is_asked_and_one_in_the_place_of_a_dead_one_is_not() {
    let server = server("processes=3");
    server.wait_for_log("probed: ", 1);
    server.reload(1);
    server.wait_for_log("reloaded: 3 workers", 1);
    server.wait_for_log("probed: ", 4);
    server.place.write("probe", "bad");
    let pid: i32 =
        server.get("/").expect(200).text().split(' ').next_back().unwrap().parse().unwrap();
    nix::sys::signal::kill(nix::unistd::Pid::from_raw(pid), nix::sys::signal::Signal::SIGKILL)
        .unwrap();
    server.wait_for_log(") serves", 7);
    assert_eq!(server.log().matches("probed: ").count(), 4);
}

#[test]
fn a_start_whose_probe_fails_is_a_start_with_a_warning() {
    let setup = Setup::new("reload-probe=/healthz").app(MOODY).file("probe", "bad");
    let server = setup.start();
    server.wait_for_log("expected 2xx or 3xx: a reload would fail", 1);
    server.get("/").expect(200);
}

#[test]
fn it_is_asked_by_http_where_only_the_uwsgi_protocol_is_spoken() {
    let server = Setup::uwsgi("reload-probe=/healthz").app(MOODY).start();
    server.reload(1);
    server.wait_for_log("reloaded: 1 worker", 1);
    server.wait_for_log("probed: ", 2);
}

#[test]
fn a_successor_that_does_not_answer_is_tried_again_and_the_old_one_serves_on() {
    let server = server("max-requests=3\nmax-requests-delta=0\nmin-worker-lifetime=0");
    server.place.write("probe", "bad");
    (0..4).for_each(|_| drop(server.get("/").expect(200)));
    server.wait_for_log("serves on: its successor failed: GET /healthz (reload-probe)", 1);
    server.place.write("probe", "good");
    server.wait_for_log(") serves", 2);
    server.get("/").expect(200);
}
