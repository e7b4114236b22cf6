//! What a client has sent and nobody has read yet. For HTTP every byte passes the guard here, so that
//! hyper sees only what is right to the letter, and each head as a whole.

use std::io;
use std::os::fd::AsRawFd as _;
use std::task::{Context, Poll, ready};

use http::StatusCode;
use nix::sys::socket::{MsgFlags, recv};
use rwsgi_core::config::Http;
use rwsgi_protocol::http1::{Guard, Limits, Position, Refusal, Verdict};
use rwsgi_reactor::Direction;

use crate::connection::{Connection, Phase};
use crate::worker::Worker;

/// Bytes read by one system call.
const READ_SIZE: usize = 32 * 1024;

thread_local! {
    static BUFFER: std::cell::RefCell<Box<[u8]>> =
        std::cell::RefCell::new(vec![0; READ_SIZE].into_boxed_slice());
}

/// The client's bytes.
#[derive(Debug)]
pub(crate) struct Intake {
    guard: Guard,
    /// What has come, from `start` on.
    held: Vec<u8>,
    start: usize,
    /// How much of it the guard has passed.
    passed: usize,
    refusal: Option<Refused>,
    ended: bool,
}

/// Why no more is taken from a client.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Refused {
    pub(crate) refusal: Refusal,
    /// It is about a request's body: who reads it answers.
    pub(crate) in_body: bool,
}

const TOO_SLOW: Refusal = Refusal {
    status: StatusCode::REQUEST_TIMEOUT,
    rule: "the request did not come in time (RFC 9110, section 15.5.9)",
};

impl Intake {
    pub(crate) fn new(http: &Http) -> Self {
        let limits = Limits { head: http.head_bytes as usize, fields: http.max_fields as usize };
        Self {
            guard: Guard::new(limits),
            held: Vec::new(),
            start: 0,
            passed: 0,
            refusal: None,
            ended: false,
        }
    }

    /// All bytes that are held.
    pub(crate) fn bytes(&self) -> &[u8] {
        &self.held[self.start..]
    }

    /// Removes bytes from the front.
    pub(crate) fn consume(&mut self, count: usize) {
        self.start += count;
        self.passed = self.passed.saturating_sub(count);
        if self.start >= self.held.len() {
            // The memory goes, too: most connections are idle most of the time.
            self.held = Vec::new();
            self.start = 0;
        }
    }

    /// Why no more is taken.
    pub(crate) fn refusal(&self) -> Option<Refused> {
        self.refusal
    }

    /// Whether the client may still be sending what nobody will read.
    pub(crate) fn has_unread(&self) -> bool {
        !self.ended
            && (self.refusal.is_some()
                || !self.bytes().is_empty()
                || self.guard.position() == Position::Body)
    }

    /// The client is too slow.
    pub(crate) fn time_out(&mut self) {
        self.refuse(TOO_SLOW);
    }

    fn refuse(&mut self, refusal: Refusal) {
        let in_body = self.guard.position() == Position::Body;
        self.refusal.get_or_insert(Refused { refusal, in_body });
    }

    /// Has the guard look at what is new.
    fn judge(&mut self) {
        while self.refusal.is_none() {
            let from = self.start + self.passed;
            if from >= self.held.len() {
                return;
            }
            let verdict = self.guard.inspect(&mut self.held[from..]);
            if !self.apply(verdict) {
                return;
            }
        }
    }

    /// Does as the guard says about the bytes after those that have passed; `false` when it has to
    /// see more of them.
    fn apply(&mut self, verdict: Verdict) -> bool {
        let from = self.start + self.passed;
        match verdict {
            Verdict::Pass(count) => self.passed += count,
            Verdict::Skip(count) if self.passed == 0 => self.consume(count),
            Verdict::Skip(count) => drop(self.held.drain(from..from + count)),
            Verdict::More => return false,
            Verdict::Refuse(refusal) => self.refuse(refusal),
        }
        true
    }

    /// Copies what may go on into `put`, which takes at most `room` bytes; returns how many.
    fn pass_on(&mut self, room: usize, put: &mut impl FnMut(&[u8])) -> usize {
        let count = self.passed.min(room);
        put(&self.held[self.start..self.start + count]);
        self.consume(count);
        count
    }
}

impl Connection {
    /// Reads what the client has sent into the intake, once; `false` at its end.
    pub(crate) fn poll_fill(
        &self,
        worker: &Worker,
        cx: &mut Context<'_>,
    ) -> Poll<io::Result<bool>> {
        BUFFER.with_borrow_mut(|buffer| {
            let count = ready!(self.poll_receive(cx, buffer))?;
            let mut intake = self.intake();
            intake.held.extend_from_slice(&buffer[..count]);
            intake.ended |= count == 0;
            drop(intake);
            if count > 0 && self.is_idle() {
                self.enter(worker, Phase::Head);
            }
            Poll::Ready(Ok(count > 0))
        })
    }

    fn poll_receive(&self, cx: &mut Context<'_>, buffer: &mut [u8]) -> Poll<io::Result<usize>> {
        self.source.poll(Direction::Read, cx, |fd| {
            let count = recv(fd.as_raw_fd(), buffer, MsgFlags::MSG_DONTWAIT)?;
            Ok((count, count < buffer.len()))
        })
    }

    /// Waits for the head of a request to be there as a whole; `false` when none will come.
    pub(crate) fn poll_head(&self, worker: &Worker, cx: &mut Context<'_>) -> Poll<bool> {
        loop {
            {
                let mut intake = self.intake();
                intake.judge();
                if intake.passed > 0 {
                    return Poll::Ready(true);
                }
                if intake.refusal.is_some() || intake.ended {
                    return Poll::Ready(false);
                }
            }
            if ready!(self.poll_fill(worker, cx)).is_err() {
                return Poll::Ready(false);
            }
        }
    }

    /// Brings bytes that the guard has passed, `room` at most; none at the end, or after a refusal.
    pub(crate) fn poll_passed(
        &self,
        worker: &Worker,
        cx: &mut Context<'_>,
        room: usize,
        mut put: impl FnMut(&[u8]),
    ) -> Poll<io::Result<()>> {
        loop {
            let mut intake = self.intake();
            intake.judge();
            if intake.passed > 0 {
                let count = intake.pass_on(room, &mut put);
                drop(intake);
                self.count(worker, count);
                return Poll::Ready(Ok(()));
            }
            if intake.refusal.is_some() || intake.ended {
                return Poll::Ready(Ok(()));
            }
            let is_empty = intake.bytes().is_empty();
            drop(intake);
            if !is_empty {
                ready!(self.poll_fill(worker, cx))?;
            } else if ready!(self.poll_direct(worker, cx, room, &mut put))? {
                return Poll::Ready(Ok(()));
            }
        }
    }

    /// Reads when nothing is held: what passes as a whole is not copied through the intake. Returns
    /// whether it did.
    fn poll_direct(
        &self,
        worker: &Worker,
        cx: &mut Context<'_>,
        room: usize,
        put: &mut impl FnMut(&[u8]),
    ) -> Poll<io::Result<bool>> {
        BUFFER.with_borrow_mut(|buffer| {
            let count = ready!(self.poll_receive(cx, buffer))?;
            let mut intake = self.intake();
            intake.ended |= count == 0;
            if count == 0 {
                return Poll::Ready(Ok(false));
            }
            let bytes = &mut buffer[..count];
            let direct = match intake.guard.inspect(bytes) {
                Verdict::Pass(passed) if passed <= room => {
                    put(&bytes[..passed]);
                    intake.held.extend_from_slice(&bytes[passed..]);
                    passed
                }
                verdict => {
                    intake.held.extend_from_slice(bytes);
                    intake.apply(verdict);
                    0
                }
            };
            drop(intake);
            self.count(worker, direct);
            Poll::Ready(Ok(direct > 0))
        })
    }

    /// Bytes of a body have come into the intake.
    pub(crate) fn count_body(&self, worker: &Worker) {
        self.count(worker, self.intake().bytes().len());
    }

    fn count(&self, worker: &Worker, bytes: usize) {
        match self.phase() {
            Phase::Body => self.reading.count_body(worker, bytes),
            Phase::Fresh | Phase::Idle | Phase::Parked if bytes > 0 => {
                self.enter(worker, Phase::Head);
            }
            _ => {}
        }
    }
}
