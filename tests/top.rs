//! `rwsgi top`, in a terminal and without one.

use std::fs::File;
use std::io::{Read as _, Write as _};
use std::os::fd::OwnedFd;
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Mutex};

use nix::pty::{Winsize, openpty};
use nix::sys::signal::{Signal, kill};
use nix::sys::termios::{LocalFlags, tcgetattr};
use nix::unistd::Pid;

use crate::support::control::{run, served, tell};
use crate::support::server::Server;
use crate::support::wait;

const ENTER: &str = "\x1b[?1049h";
const LEAVE: &str = "\x1b[?25h\x1b[?1049l";

/// `rwsgi top` in a terminal of 100 columns and 30 lines.
struct Terminal {
    child: Child,
    keyboard: File,
    /// The side of the program.
    screen: OwnedFd,
    shown: Arc<Mutex<String>>,
}

impl Terminal {
    fn new(server: &Server) -> Self {
        let size = Winsize { ws_row: 30, ws_col: 100, ws_xpixel: 0, ws_ypixel: 0 };
        let pair = openpty(Some(&size), None).unwrap();
        let side = || Stdio::from(pair.slave.try_clone().unwrap());
        let child = Command::new(env!("CARGO_BIN_EXE_rwsgi"))
            .args(["top", "--interval", "0.2"])
            .arg(server.place.join("control"))
            .stdin(side())
            .stdout(side())
            .stderr(side())
            .spawn()
            .unwrap();
        let keyboard = File::from(pair.master);
        let mut reader = keyboard.try_clone().unwrap();
        let shown = Arc::new(Mutex::new(String::new()));
        let theirs = Arc::clone(&shown);
        std::thread::spawn(move || {
            let mut bytes = [0; 4096];
            while let Ok(count) = reader.read(&mut bytes) {
                theirs.lock().unwrap().push_str(&String::from_utf8_lossy(&bytes[..count]));
            }
        });
        Self { child, keyboard, screen: pair.slave, shown }
    }

    fn shown(&self) -> String {
        self.shown.lock().unwrap().clone()
    }

    /// Waits for text that is shown from now on.
    fn wait_for(&self, text: &str) {
        let before = self.shown().len();
        let appears = || self.shown().get(before..).is_some_and(|new| new.contains(text));
        let found = wait::within(wait::DEADLINE, || appears().then_some(()));
        assert!(found.is_some(), "no `{text}` in {:?}", self.shown());
    }

    fn is_raw(&self) -> bool {
        !tcgetattr(&self.screen).unwrap().local_flags.contains(LocalFlags::ICANON)
    }

    /// It ends, and the terminal is as it was.
    fn ends(mut self) {
        let child = &mut self.child;
        let status = wait::until("the end of top", || child.try_wait().unwrap());
        assert!(status.success(), "{status}: {:?}", self.shown());
        assert!(!self.is_raw());
        wait::until("the usual screen", || self.shown().ends_with(LEAVE).then_some(()));
    }
}

impl Drop for Terminal {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

#[test]
fn it_shows_the_requests_that_run_and_q_quits() {
    let server = served("processes=2");
    let mut terminal = Terminal::new(&server);
    terminal.wait_for("app: serving, up ");
    assert!(terminal.shown().starts_with(ENTER) && terminal.is_raw());
    let mut client = server.connect_and_send("/gate?a");
    server.place.wait_for_gate("a");
    terminal.wait_for("1: GET /gate (");
    terminal.keyboard.write_all(b"m").unwrap();
    terminal.wait_for("by memory; ");
    terminal.keyboard.write_all(b"q").unwrap();
    terminal.ends();
    server.place.open_gate("a");
    client.response().expect(200);
}

#[test]
fn signals_end_it_and_the_terminal_is_as_it_was() {
    let server = served("");
    for signal in [Signal::SIGTERM, Signal::SIGINT, Signal::SIGHUP, Signal::SIGQUIT] {
        let terminal = Terminal::new(&server);
        terminal.wait_for("app: serving, up ");
        kill(Pid::from_raw(terminal.child.id().try_into().unwrap()), signal).unwrap();
        terminal.ends();
    }
}

#[test]
fn ctrl_z_gives_the_terminal_back_until_it_goes_on() {
    let server = served("");
    let mut terminal = Terminal::new(&server);
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
    terminal.ends();
}

#[test]
fn it_fits_a_terminal_that_changes() {
    let server = served("");
    let mut terminal = Terminal::new(&server);
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
    terminal.ends();
}

fn raw(fd: &OwnedFd) -> i32 {
    std::os::fd::AsRawFd::as_raw_fd(fd)
}

#[test]
fn an_instance_that_stops_is_told_and_the_picture_stays() {
    let mut server = served("");
    let mut terminal = Terminal::new(&server);
    terminal.wait_for("app: serving, up ");
    assert!(server.stop().success());
    terminal.wait_for("it cannot be asked: ");
    terminal.keyboard.write_all(b"q").unwrap();
    terminal.ends();
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
