//! A terminal for a program, and what it shows there.

use std::fs::File;
use std::io::Read as _;
use std::os::fd::OwnedFd;
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Mutex};

use nix::pty::{Winsize, openpty};
use nix::sys::termios::{LocalFlags, tcgetattr};

use super::wait;

pub struct Terminal {
    pub child: Child,
    pub keyboard: File,
    /// The side of the program.
    pub screen: OwnedFd,
    shown: Arc<Mutex<String>>,
}

impl Terminal {
    /// Runs `command` in one of `columns` and 30 lines.
    pub fn new(command: &mut Command, columns: u16) -> Self {
        let size = Winsize { ws_row: 30, ws_col: columns, ws_xpixel: 0, ws_ypixel: 0 };
        let pair = openpty(Some(&size), None).unwrap();
        let side = || Stdio::from(pair.slave.try_clone().unwrap());
        let child = command.stdin(side()).stdout(side()).stderr(side()).spawn().unwrap();
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

    /// All that was written to it.
    pub fn shown(&self) -> String {
        self.shown.lock().unwrap().clone()
    }

    /// Waits for text that is shown from now on.
    pub fn wait_for(&self, text: &str) {
        let before = self.shown().len();
        let appears = || self.shown().get(before..).is_some_and(|new| new.contains(text));
        let found = wait::within(wait::DEADLINE, || appears().then_some(()));
        assert!(found.is_some(), "no `{text}` in {:?}", self.shown());
    }

    pub fn is_raw(&self) -> bool {
        !tcgetattr(&self.screen).unwrap().local_flags.contains(LocalFlags::ICANON)
    }

    /// The program ends well, and the terminal reads lines again.
    pub fn ends(&mut self) {
        let child = &mut self.child;
        let status = wait::until("the end of the program", || child.try_wait().unwrap());
        assert!(status.success(), "{status}: {:?}", self.shown());
        assert!(!self.is_raw());
    }

    /// The lines of the last picture that is complete, of a program that clears the screen before each.
    pub fn picture(&self) -> Vec<String> {
        let shown = self.shown();
        let mut pictures = shown.rsplit("\x1b[H\x1b[2J");
        pictures.next();
        pictures.next().map(lines).unwrap_or_default()
    }
}

impl Drop for Terminal {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// What is on an empty screen after `text`, as far as curses moves the cursor of an `xterm`.
fn lines(text: &str) -> Vec<String> {
    let mut screen = vec![Vec::new()];
    let (mut row, mut column) = (0, 0);
    let mut rest = text.chars();
    while let Some(next) = rest.next() {
        match next {
            '\x1b' => match rest.next() {
                Some('[') => {
                    let mut numbers = String::new();
                    let last = rest.find(|c| {
                        let is_last = c.is_ascii_alphabetic();
                        if !is_last {
                            numbers.push(*c);
                        }
                        is_last
                    });
                    let mut numbers = numbers.split(';').map(|n| n.parse().unwrap_or(1_usize) - 1);
                    let mut number = || numbers.next().unwrap_or(0);
                    match last {
                        Some('H') => (row, column) = (number(), number()),
                        Some('d') => row = number(),
                        Some('G') => column = number(),
                        Some('C') => column += number() + 1,
                        _ => {}
                    }
                }
                // The character set.
                Some('(') => drop(rest.next()),
                _ => {}
            },
            '\r' => column = 0,
            '\n' => row += 1,
            '\t' => column = (column / 8 + 1) * 8,
            '\x08' => column -= 1,
            _ => {
                screen.resize(screen.len().max(row + 1), Vec::new());
                let line = &mut screen[row];
                line.resize(line.len().max(column + 1), ' ');
                line[column] = next;
                column += 1;
            }
        }
    }
    screen.into_iter().map(String::from_iter).collect()
}
