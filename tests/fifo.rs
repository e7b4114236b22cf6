//! `master-fifo`, and the signals that mean the same.

use std::fs::OpenOptions;
use std::io::Write as _;
use std::os::unix::fs::OpenOptionsExt as _;
use std::os::unix::fs::PermissionsExt as _;

use nix::sys::signal::Signal;

use crate::support::server::Server;
use crate::support::setup::Setup;
use crate::support::wait;

fn write(server: &Server, fifo: &str, letters: &str) {
    // A FIFO that nobody reads is an error, and no wait.
    let mut options = OpenOptions::new();
    options.write(true).custom_flags(nix::libc::O_NONBLOCK);
    let path = server.place.join(fifo);
    let mut file = wait::until("a reader of the FIFO", || options.open(&path).ok());
    file.write_all(letters.as_bytes()).unwrap();
}

#[test]
fn its_letters_are_commands_and_writers_come_and_go() {
    let mut server = Server::new("master-fifo = fifo");
    let mode = std::fs::metadata(server.place.join("fifo")).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o600);
    write(&server, "fifo", "r\n");
    server.wait_for_log("reloaded: ", 1);
    write(&server, "fifo", "p");
    server.wait_for_log("paused: ", 1);
    write(&server, "fifo", "p");
    server.wait_for_log("resumed after ", 1);
    write(&server, "fifo", "s");
    server.wait_for_log("requests     0 answered", 1);
    write(&server, "fifo", "P");
    server.wait_for_log("`P` on the FIFO is not obeyed", 1);
    write(&server, "fifo", "q");
    assert_eq!(server.wait().code(), Some(0));
    assert!(!server.place.join("fifo").exists());
}

#[test]
fn plus_and_minus_are_a_worker_more_and_a_worker_less() {
    let server = Server::new("master-fifo = fifo\nprocesses = 2");
    write(&server, "fifo", "+");
    server.wait_for_log("worker 3 (pid ", 1);
    server.wait_for_log(") serves", 3);
    for count in 1..=2 {
        write(&server, "fifo", "-");
        server.wait_for_log(") left", count);
    }
    write(&server, "fifo", "-");
    server.wait_for_log("not 0 workers: a number from 1", 1);
    server.get("/ok").expect(200);
}

#[test]
fn rubbish_neither_harms_nor_floods_the_log() {
    let server = Server::new("master-fifo = fifo");
    write(&server, "fifo", &"x\0\u{1b}".repeat(1000));
    write(&server, "fifo", "s");
    server.wait_for_log("requests     0 answered", 1);
    let log = server.log();
    assert!(
        log.contains("`x\\x00\\x1b` on the FIFO") && log.matches("not obeyed").count() < 10,
        "{log}"
    );
    server.get("/ok").expect(200);
}

#[test]
fn a_digit_changes_to_another_one() {
    let server = Server::new("master-fifo = zero\nmaster-fifo = one");
    write(&server, "zero", "17");
    server.wait_for_log("there is no master-fifo number 7", 1);
    write(&server, "one", "s");
    server.wait_for_log("requests     0 answered", 1);
}

#[test]
fn what_is_no_fifo_is_a_reason_not_to_start() {
    let ended = Setup::new("master-fifo = app.py").run();
    ended.refuses(78, &["app.ini:5:15: `master-fifo = app.py` is there, and is no FIFO"]);
    assert!(ended.place.read("app.py").contains("def application"));
}

#[test]
fn sigusr2_logs_the_state() {
    let server = Server::new("processes=2");
    server.signal(Signal::SIGUSR2);
    server.wait_for_log("workers      2 × 1 threads: 2 ready", 1);
    server.wait_for_log("WORKER", 1);
}

#[test]
fn sigwinch_and_sigurg_mean_nothing() {
    let server = Server::new("");
    [Signal::SIGWINCH, Signal::SIGURG].iter().for_each(|signal| server.signal(*signal));
    server.get("/ok").expect(200);
}

#[test]
fn one_that_was_deleted_is_there_again_after_a_reload() {
    let server = Server::new("master-fifo = fifo\nmaster-fifo = other");
    for name in ["fifo", "other"] {
        std::fs::remove_file(server.place.join(name)).unwrap();
    }
    server.signal(Signal::SIGHUP);
    server.wait_for_log("master-fifo was deleted by somebody: it is there again", 1);
    server.wait_for_log("reloaded: ", 1);
    write(&server, "fifo", "p");
    server.wait_for_log("paused: ", 1);
    write(&server, "fifo", "1");
    write(&server, "other", "p");
    server.wait_for_log("resumed after ", 1);
}
