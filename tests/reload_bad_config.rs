//! Reloads of a configuration that is wrong.

use crate::support::server::Server;

fn ini(lines: &str) -> String {
    format!("[rwsgi]\nhttp = 127.0.0.1:0\nchdir = %d\nwsgi-file = app.py\n{lines}\n")
}

#[test]
fn the_old_configuration_serves_on_and_the_log_shows_the_line() {
    let server = Server::new("processes=2");
    server.place.write("app.ini", &ini("procesess = 3"));
    server.signal(nix::sys::signal::Signal::SIGHUP);
    server.wait_for_log("reload failed, the old code serves on", 1);
    server.wait_for_log("app.ini:5:1: there is no option `procesess`", 1);
    assert_eq!(server.get("/ok").expect(200).text(), "ok");
    server.place.write("app.ini", &ini("processes = 3"));
    server.signal(nix::sys::signal::Signal::SIGHUP);
    server.wait_for_log("reloaded: 3 workers × 1 thread", 1);
}

#[test]
fn a_file_that_is_gone_keeps_the_old_configuration() {
    let server = Server::new("");
    std::fs::remove_file(server.place.join("app.ini")).unwrap();
    server.signal(nix::sys::signal::Signal::SIGHUP);
    server.wait_for_log("reload failed, the old code serves on", 1);
    assert_eq!(server.get("/ok").expect(200).text(), "ok");
}

#[test]
fn what_takes_a_restart_is_told() {
    let server = Server::new("");
    server.place.write("app.ini", &ini("pidfile = new.pid"));
    server.reload(1);
    server.wait_for_log("pidfile has changed; it takes effect after a restart", 1);
}

#[test]
fn fewer_and_more_workers_and_threads_take_effect() {
    let server = Server::new("processes=3");
    for (count, (lines, said)) in [
        ("processes=1\nthreads=3", "1 worker × 3 threads"),
        ("processes=2", "2 workers × 1 thread"),
    ]
    .into_iter()
    .enumerate()
    {
        server.place.write("app.ini", &ini(lines));
        server.reload(count + 1);
        server.wait_for_log(&format!("reloaded: {said}"), 1);
        assert_eq!(server.get("/ok").expect(200).text(), "ok");
    }
}

#[test]
fn that_it_is_an_error_is_said_once() {
    let server = Server::new("");
    let ini = server.place.read("app.ini");
    server.place.write("app.ini", &format!("{ini}threads = x\n"));
    server.reload(1);
    server.wait_for_log("reload failed, the old code serves on: app.ini:", 1);
}
