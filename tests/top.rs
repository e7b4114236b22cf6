//! `rwsgi top`, in a terminal and without one.

use std::io::Write as _;
use std::os::fd::OwnedFd;
use std::process::Command;

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use crate::support::control::{run, served, tell};
use crate::support::server::Server;
use crate::support::terminal::Terminal;
use crate::support::wait;

const ENTER: &str = "\x1b[?1049h";
const LEAVE: &str = "\x1b[?25h\x1b[?1049l";

/// `rwsgi top` in a terminal of 100 columns and 30 lines.
fn top(server: &Server) -> Terminal {
    let mut command = Command::new(env!("CARGO_BIN_EXE_rwsgi"));
    let control = server.place.join("control");
    Terminal::new(command.args(["top", "--interval", "0.2"]).arg(control), 100)
}

/// It ends, and the terminal is as it was.
fn ends(mut terminal: Terminal) {
    terminal.ends();
    wait::until("the usual screen", || terminal.shown().ends_with(LEAVE).then_some(()));
}

#[test]
fn it_shows_the_requests_that_run_and_q_quits() {
    let server = served("processes=2");
    let mut terminal = top(&server);
    terminal.wait_for("app: serving, up ");
    assert!(terminal.shown().starts_with(ENTER) && terminal.is_raw());
    let mut client = server.connect_and_send("/gate?a");
    server.place.wait_for_gate("a");
    terminal.wait_for("1: GET /gate (");
    terminal.keyboard.write_all(b"m").unwrap();
    terminal.wait_for("by memory; ");
    terminal.keyboard.write_all(b"q").unwrap();
    ends(terminal);
    server.place.open_gate("a");
    client.response().expect(200);
}

#[test]
fn signals_end_it_and_the_terminal_is_as_it_was() {
    let server = served("");
    for signal in [Signal::SIGTERM, Signal::SIGINT, Signal::SIGHUP, Signal::SIGQUIT] {
        let terminal = top(&server);
        terminal.wait_for("app: serving, up ");
        kill(Pid::from_raw(terminal.child.id().try_into().unwrap()), signal).unwrap();
        ends(terminal);
    }
}

#[test]
fn ctrl_z_gives_the_terminal_back_until_it_goes_on() {
    let server = served("");
    let mut terminal = top(&server);
    terminal.wait_for("app: serving, up ");
    let pid = Pid::from_raw(terminal.child.id().try_into().unwrap());
    kill(pid, Signal::SIGTSTP).unwrap();
    let stopped = || {
        let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap();
        stat.contains(") T ").then_some(())
    };
    wait::until("a stopped top", stopped);
    assert!(!terminal.is_raw());
    wait::until("the usual screen", || terminal.shown().ends_with(LEAVE).then_some(()));
    kill(pid, Signal::SIGCONT).unwrap();
    wait::until("its screen again", || {
        (terminal.shown().matches(ENTER).count() == 2).then_some(())
    });
    terminal.keyboard.write_all(b"q").unwrap();
    ends(terminal);
}

#[test]
fn it_fits_a_terminal_that_changes() {
    let server = served("");
    let mut terminal = top(&server);
    terminal.wait_for("REQUEST, OR LAST CAUSE");
    let screen = std::fs::read_link(format!("/proc/self/fd/{}", raw(&terminal.screen))).unwrap();
    let arguments = ["cols", "20", "rows", "5"];
    let mut stty = Command::new("stty");
    assert!(stty.arg("-F").arg(screen).args(arguments).status().unwrap().success());
    kill(Pid::from_raw(terminal.child.id().try_into().unwrap()), Signal::SIGWINCH).unwrap();
    let narrow = || {
        let shown = terminal.shown();
        let last = shown.rsplit("\x1b[H").find(|frame| frame.ends_with("\x1b[J"))?;
        let lines: Vec<_> = last.trim_end_matches("\x1b[J").split("\r\n").collect();
        let fits =
            |line: &&str| line.replace("\x1b[K", "").trim_end_matches('\r').chars().count() <= 20;
        (lines.len() <= 5 && lines.iter().all(fits)).then_some(())
    };
    wait::until("a smaller picture", narrow);
    terminal.keyboard.write_all(b"q").unwrap();
    ends(terminal);
}

fn raw(fd: &OwnedFd) -> i32 {
    std::os::fd::AsRawFd::as_raw_fd(fd)
}

#[test]
fn an_instance_that_stops_is_told_and_the_picture_stays() {
    let mut server = served("");
    let mut terminal = top(&server);
    terminal.wait_for("app: serving, up ");
    assert!(server.stop().success());
    terminal.wait_for("it cannot be asked: ");
    terminal.keyboard.write_all(b"q").unwrap();
    ends(terminal);
}

#[test]
fn without_a_terminal_it_is_one_look_as_text() {
    let server = served("processes=2");
    for words in [&["top"][..], &["top", "--once"]] {
        let text = tell(&server, words);
        assert!(text.starts_with("app: serving, up ") && !text.contains('\u{1b}'), "{text}");
        assert_eq!(text.matches("  ready  ").count(), 2, "{text}");
    }
    let ended = run(&server, &["top", "--interval", "0"]);
    ended.refuses(64, &["--interval `0`: seconds are expected"]);
}
