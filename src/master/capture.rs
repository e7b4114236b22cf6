//! What the application writes to descriptors 1 and 2 itself: C libraries, programs that it starts,
//! and the last words of a worker that dies (faulthandler, abort(3)).
//!
//! Each process has a pipe, and a thread of the master reads them all into the log. So text bears the
//! worker's number, whoever stops reading the log stops no worker, and what a worker wrote before it
//! died is read after. `print` and `logging` come another way: the worker's own queue.
//!
//! On a terminal nothing is captured: who develops there sees everything as it was written.

use std::fs::File;
use std::io::{self, IsTerminal as _, Read as _, Write as _};
use std::mem;
use std::os::fd::{AsFd as _, OwnedFd};
use std::os::unix::net::UnixStream;
use std::sync::mpsc::{self, Receiver, Sender, TryRecvError};
use std::time::{Duration, Instant};

use nix::fcntl::OFlag;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::unistd::pipe2;
use rwsgi_core::config::LogTarget;
use rwsgi_core::log::{self, Entry, Event as Said, Level};
use rwsgi_core::output::{self, Record};
use serde::{Deserialize, Serialize};

use crate::boot::with_place;
use crate::event::{Generation, Key};
use crate::signals;

/// How long text waits for lines that belong to it, while nothing comes.
const GATHER: Duration = Duration::from_millis(20);
/// How long lines wait at most, from who never pauses for as long as that.
const LONGEST: Duration = Duration::from_millis(200);
/// How long a line without an end waits for it: who wrote it may be gone, while the pipe is still that
/// of others.
const REST: Duration = Duration::from_secs(1);
/// What is read at once, and the longest line.
const PART: usize = 64 * 1024;
/// Parts of last words; who writes more than this is not dead.
const LAST_PARTS: usize = 32;
/// How long the end waits for what was written last.
const FINISH: Duration = Duration::from_secs(1);

/// Who writes.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum Source {
    /// The template of a generation.
    Template(Generation),
    /// A worker and its number.
    Worker(Key, u32),
    /// A command of the administrator, by its name in the log.
    Command(String),
}

enum Order {
    Read(Pipe),
    Say(Source, Entry),
    Lend(Sender<Vec<Pipe>>),
    Finish(Sender<()>),
}

/// The thread that reads.
#[derive(Debug)]
pub struct Capture {
    orders: Sender<Order>,
    wake: UnixStream,
}

impl Capture {
    /// Starts to read; `None` where output goes where it always went.
    pub fn start(target: &LogTarget) -> Option<Self> {
        let plain = matches!(log::resolve_target(target), LogTarget::Stderr | LogTarget::Auto);
        if plain && io::stderr().is_terminal() {
            return None;
        }
        Self::spawn()
            .map_err(|error| {
                let message = format!(
                    "what the application writes to stdout and stderr is not captured: {error}"
                );
                log::warning(Said::SystemError, message).send();
            })
            .ok()
    }

    fn spawn() -> io::Result<Self> {
        let (wake, woken) = UnixStream::pair()?;
        wake.set_nonblocking(true)?;
        woken.set_nonblocking(true)?;
        let (orders, theirs) = mpsc::channel();
        std::thread::Builder::new().name("rwsgi-capture".into()).stack_size(1 << 20).spawn(
            move || {
                signals::block_all();
                Reader { woken, orders: theirs, pipes: Vec::new() }.run();
            },
        )?;
        Ok(Self { orders, wake })
    }

    /// A new pipe: the end where `source` is to write.
    ///
    /// # Errors
    /// Those of pipe2(2).
    pub fn pipe(&self, source: Source) -> io::Result<OwnedFd> {
        let (ours, theirs) = pipe2(OFlag::O_CLOEXEC)?;
        socket2::SockRef::from(&ours).set_nonblocking(true)?;
        self.order(Order::Read(Pipe::new(source, ours, Vec::new())));
        Ok(theirs)
    }

    /// Reads on in pipes that [`Capture::lend`] has given, here or in an earlier program.
    pub fn read_on(&self, pipes: Vec<Pipe>) {
        pipes.into_iter().for_each(|pipe| self.order(Order::Read(pipe)));
    }

    /// All pipes: what comes from now on stays in them. `None` when the thread does not give them.
    pub fn lend(&self) -> Option<Vec<Pipe>> {
        let (pipes, lent) = mpsc::channel();
        self.order(Order::Lend(pipes));
        lent.recv_timeout(FINISH).ok()
    }

    /// Logs `entry` after everything that `source`, which has ended, has written.
    pub fn say_after(&self, source: Source, entry: Entry) {
        self.order(Order::Say(source, entry));
    }

    /// Waits, for a moment, until what was written so far is in the log.
    pub fn finish(&self) {
        let (done, finished) = mpsc::channel();
        self.order(Order::Finish(done));
        let _ = finished.recv_timeout(FINISH);
    }

    fn order(&self, order: Order) {
        if self.orders.send(order).is_ok() {
            let _ = (&self.wake).write(&[1]);
        }
    }
}

struct Reader {
    woken: UnixStream,
    orders: Receiver<Order>,
    pipes: Vec<Pipe>,
}

impl Reader {
    fn run(mut self) {
        loop {
            let ready = self.wait();
            for (pipe, _) in self.pipes.iter_mut().zip(ready).filter(|(_, ready)| *ready) {
                pipe.read();
            }
            let now = Instant::now();
            self.pipes.iter_mut().for_each(|pipe| pipe.tell_what_is_due(now));
            self.pipes.retain(|pipe| !pipe.is_over);
            let _ = (&self.woken).read(&mut [0; 64]);
            loop {
                match self.orders.try_recv() {
                    Ok(order) => self.obey(order),
                    Err(TryRecvError::Empty) => break,
                    Err(TryRecvError::Disconnected) => return,
                }
            }
        }
    }

    /// Which pipes have something, as soon as one has, or text has waited long enough for more.
    fn wait(&self) -> Vec<bool> {
        let mut fds = vec![PollFd::new(self.woken.as_fd(), PollFlags::POLLIN)];
        fds.extend(self.pipes.iter().map(|p| PollFd::new(p.file.as_fd(), PollFlags::POLLIN)));
        let due = self.pipes.iter().filter_map(Pipe::due).min();
        let timeout = due.map_or(PollTimeout::NONE, |due| {
            let left = due.saturating_duration_since(Instant::now());
            // Not a moment too early: it would be for nothing.
            PollTimeout::try_from(left.as_millis() + 1).unwrap_or(PollTimeout::MAX)
        });
        match poll(&mut fds, timeout) {
            Ok(_) => fds.iter().skip(1).map(|fd| fd.any().unwrap_or(false)).collect(),
            Err(_) => Vec::new(),
        }
    }

    fn obey(&mut self, order: Order) {
        match order {
            Order::Read(pipe) => self.pipes.push(pipe),
            Order::Lend(asked) => {
                self.pipes.retain(|pipe| !pipe.is_over);
                if let Err(mpsc::SendError(pipes)) = asked.send(mem::take(&mut self.pipes)) {
                    self.pipes = pipes;
                }
            }
            Order::Say(source, entry) => {
                let of_it = self.pipes.iter_mut().filter(|pipe| pipe.source == source);
                of_it.for_each(Pipe::read_rest);
                entry.send();
            }
            Order::Finish(done) => {
                self.pipes.iter_mut().for_each(Pipe::read_rest);
                let _ = done.send(());
            }
        }
    }
}

/// What one process writes.
#[derive(Debug)]
pub struct Pipe {
    /// Who that is.
    pub source: Source,
    /// Where it is read.
    pub file: File,
    /// What was not told yet.
    pub text: Vec<u8>,
    /// When the first and the last of it came.
    came: Option<(Instant, Instant)>,
    is_over: bool,
}

impl Pipe {
    /// One whose end for reading is `fd`, of which `text` was read and not told.
    pub fn new(source: Source, fd: OwnedFd, text: Vec<u8>) -> Self {
        let now = Instant::now();
        let came = (!text.is_empty()).then_some((now, now));
        Self { source, file: fd.into(), text, came, is_over: false }
    }

    /// Reads once. Whether there was something.
    fn read(&mut self) -> bool {
        let before = self.text.len();
        self.text.resize(before + PART, 0);
        let read = self.file.read(&mut self.text[before..]);
        self.text.truncate(before + *read.as_ref().unwrap_or(&0));
        if self.text.len() > before {
            let now = Instant::now();
            self.came = Some((self.came.map_or(now, |(first, _)| first), now));
        }
        match read {
            Ok(0) => {
                self.tell(true);
                self.is_over = true;
            }
            Ok(_) if self.text.len() > PART && self.has_lines() => self.tell(false),
            Ok(_) if self.text.len() > PART => self.cut(),
            Ok(_) => {}
            Err(error) => {
                let again = [io::ErrorKind::WouldBlock, io::ErrorKind::Interrupted];
                self.is_over |= !again.contains(&error.kind());
                return false;
            }
        }
        !self.is_over
    }

    fn read_rest(&mut self) {
        for _ in 0..LAST_PARTS {
            if !self.read() {
                break;
            }
        }
        self.tell(true);
    }

    /// When what is there has waited long enough.
    fn due(&self) -> Option<Instant> {
        let (first, last) = self.came.filter(|_| !self.text.is_empty())?;
        Some(if self.has_lines() { (last + GATHER).min(first + LONGEST) } else { last + REST })
    }

    fn tell_what_is_due(&mut self, now: Instant) {
        if self.due().is_some_and(|due| due <= now) {
            let all = !self.has_lines();
            self.tell(all);
        }
    }

    fn has_lines(&self) -> bool {
        self.text.contains(&b'\n')
    }

    /// Logs the lines that have an end, or all there is.
    fn tell(&mut self, all: bool) {
        let end = if all {
            self.text.len()
        } else {
            self.text.iter().rposition(|byte| *byte == b'\n').map_or(0, |last| last + 1)
        };
        self.tell_up_to(end);
    }

    /// Logs a line that has no end, but for a character that has none either.
    fn cut(&mut self) {
        // One has four bytes at most.
        let tail = self.text.len().saturating_sub(4);
        let starts = (tail..self.text.len()).rev();
        let is_start = |byte: u8| !(0x80..0xc0).contains(&byte);
        let last = starts.into_iter().find(|&at| is_start(self.text[at]));
        let end = last.filter(|&at| match std::str::from_utf8(&self.text[at..]) {
            Ok(_) => false,
            Err(error) => error.error_len().is_none(),
        });
        self.tell_up_to(end.unwrap_or(self.text.len()));
    }

    fn tell_up_to(&mut self, end: usize) {
        let text: Vec<u8> = self.text.drain(..end).collect();
        // What is left came last.
        self.came = self.came.map(|(_, last)| (last, last));
        for mut record in output::split(&String::from_utf8_lossy(&text)) {
            if let Some(entry) = log::relayed(&record.text) {
                about(&self.source, entry).send();
                continue;
            }
            if let Some(text) = log::unfold(&record.text) {
                record.place = output::place(&text);
                record.text = text;
            }
            entry(&self.source, record).send();
        }
    }
}

fn entry(source: &Source, record: Record) -> Entry {
    let (event, level) = match &record.place {
        Some(_) => (Said::Traceback, Level::Error),
        None if matches!(source, Source::Command(_)) => (Said::CommandOutput, Level::Info),
        None => (Said::ApplicationOutput, Level::Info),
    };
    let mut entry = Entry::new(record.level.unwrap_or(level), event, record.text);
    if let Some(place) = &record.place {
        entry = with_place(entry, place);
    }
    about(source, entry)
}

fn about(source: &Source, entry: Entry) -> Entry {
    match source {
        Source::Template(_) => entry.about("template"),
        Source::Worker(_, number) => {
            entry.about(&format!("worker {number}")).number("RWSGI_WORKER", number)
        }
        Source::Command(name) => entry.about(name).field("RWSGI_COMMAND", name.clone()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_entry_says_who_wrote_it_and_where_a_traceback_points() {
        let text = "<4>careful\nTraceback (most recent call last):\n  File \"/srv/a.py\", line 3, in f\nKeyError: 1\n";
        let records = output::split(text);
        let entries: Vec<_> =
            records.into_iter().map(|record| entry(&Source::Worker(7, 2), record)).collect();
        assert_eq!(entries[0].message, "worker 2: careful");
        assert_eq!(entries[0].level, Level::Warning);
        assert_eq!(entries[1].event, Said::Traceback);
        let fields: Vec<_> = entries[1].fields.iter().map(|(n, v)| format!("{n}={v}")).collect();
        assert!(fields.contains(&"CODE_FILE=/srv/a.py".into()), "{fields:?}");
        assert!(fields.contains(&"RWSGI_WORKER=2".into()), "{fields:?}");
    }

    #[test]
    fn who_never_pauses_is_told_and_keeps_nobody_waiting() {
        let (ours, theirs) = pipe2(OFlag::O_CLOEXEC | OFlag::O_NONBLOCK).unwrap();
        let mut pipe = Pipe::new(Source::Worker(7, 2), ours, Vec::new());
        File::from(theirs).write_all(b"one\ntw").unwrap();
        assert!(pipe.due().is_none() && pipe.read());
        let (first, last) = pipe.came.unwrap();
        assert_eq!(pipe.due(), Some(last + GATHER));
        pipe.came = Some((first, first + LONGEST * 9));
        assert_eq!(pipe.due(), Some(first + LONGEST));
        pipe.tell_what_is_due(first + LONGEST);
        assert_eq!(
            (pipe.text.as_slice(), pipe.due()),
            (&b"tw"[..], Some(first + LONGEST * 9 + REST))
        );
        pipe.tell_what_is_due(first + LONGEST * 9 + REST);
        assert!(pipe.text.is_empty() && pipe.due().is_none());
    }

    #[test]
    fn pipes_that_are_lent_keep_what_was_read_and_what_comes_and_are_read_on_elsewhere() {
        let lender = Capture::spawn().unwrap();
        let source = Source::Worker(7, 2);
        let mut writer = File::from(lender.pipe(source).unwrap());
        writer.write_all(b"half a").unwrap();
        let mut lent = lender.lend().unwrap();
        writer.write_all(b" line").unwrap();
        assert_eq!((lent.len(), lender.lend().unwrap().len()), (1, 0));
        lent[0].read();
        assert_eq!(lent[0].text, b"half a line");
        let borrower = Capture::spawn().unwrap();
        borrower.read_on(lent);
        drop(writer);
        borrower.finish();
        assert!(borrower.lend().unwrap().is_empty(), "its end was seen");
    }

    #[test]
    fn a_flood_without_a_line_feed_is_cut_and_the_rest_is_read_at_the_end() {
        let (ours, theirs) = pipe2(OFlag::O_CLOEXEC | OFlag::O_NONBLOCK).unwrap();
        let mut pipe = Pipe::new(Source::Template(1), ours, Vec::new());
        let mut writer = File::from(theirs);
        for _ in 0..8 {
            let written = writer.write(&[b'x'; PART / 2]).unwrap();
            assert_eq!(written, PART / 2);
            assert!(pipe.read());
            assert!(pipe.text.len() <= PART);
        }
        assert!(!pipe.read() && !pipe.is_over);
        drop(writer);
        pipe.read_rest();
        assert!(pipe.is_over && pipe.text.is_empty());
    }
}
