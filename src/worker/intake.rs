//! What a client has sent and nobody has read yet. For HTTP every byte passes the guard here, so that
//! hyper sees only what is right to the letter, and each head as a whole.

use std::io;
use std::os::fd::AsRawFd as _;
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use http::StatusCode;
use nix::sys::socket::{MsgFlags, recv};
use rwsgi_core::config::Http;
use rwsgi_core::sys;
use rwsgi_protocol::http1::{Guard, Limits, Notes, Position, Refusal, Verdict};
use rwsgi_reactor::Direction;

use crate::connection::{Connection, Phase};
use crate::express::Asked;
use crate::worker::Worker;

/// Bytes read by one system call: as many as hyper takes of a body.
const READ_SIZE: usize = 64 * 1024;
/// A request of so many bytes is better received where it stays than copied there.
const LARGE: usize = 4 * 1024;

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
    /// What it has noted of the head that it looks at, or looked at last.
    notes: Notes,
    /// That is the one at the beginning of what has passed.
    is_noted: bool,
    refusal: Option<Refused>,
    /// Somebody has asked for more than was passed, and knows of a refusal.
    told: bool,
    ended: bool,
    /// The last request was large, so that the next one is likely to be, too.
    is_large: bool,
    /// Whether the last byte of a request is still in the socket, see `packet`.
    pub(crate) is_held: bool,
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
            notes: Notes::default(),
            is_noted: false,
            refusal: None,
            told: false,
            ended: false,
            is_large: false,
            is_held: false,
        }
    }

    /// All bytes that are held.
    pub(crate) fn bytes(&self) -> &[u8] {
        &self.held[self.start..]
    }

    /// Those of them that the guard has passed.
    pub(crate) fn passed(&self) -> &[u8] {
        &self.held[self.start..self.start + self.passed]
    }

    /// Takes what the guard has noted of the head that those begin with.
    pub(crate) fn take_notes(&mut self) -> Option<Notes> {
        std::mem::take(&mut self.is_noted).then(|| std::mem::take(&mut self.notes))
    }

    /// Takes that many of those, if there are so many.
    pub(crate) fn take(&mut self, count: usize) -> Option<Bytes> {
        if count > self.passed {
            return None;
        }
        self.is_large = count >= LARGE;
        if self.start == 0 && count == self.held.len() {
            self.passed = 0;
            return Some(Bytes::from(std::mem::take(&mut self.held)));
        }
        let bytes = Bytes::copy_from_slice(&self.passed()[..count]);
        self.consume(count);
        Some(bytes)
    }

    /// Removes bytes from the front.
    pub(crate) fn consume(&mut self, count: usize) {
        self.take_notes();
        self.start += count;
        self.passed = self.passed.saturating_sub(count);
        if self.start >= self.held.len() {
            // The memory goes, too: most connections are idle most of the time.
            self.held = Vec::new();
            self.start = 0;
        } else if self.start >= READ_SIZE {
            // Who always has the beginning of another request would have it grow for ever.
            self.held.drain(..self.start);
            self.start = 0;
        }
    }

    /// Takes all of those.
    pub(crate) fn take_passed(&mut self) -> Bytes {
        self.take(self.passed).unwrap_or_default()
    }

    /// Takes back what was passed on and has not been used.
    pub(crate) fn give_back(&mut self, bytes: &[u8]) {
        self.take_notes();
        self.held.splice(self.start..self.start, bytes.iter().copied());
        self.passed += bytes.len();
    }

    /// Whether a request has begun: empty lines before one are nothing.
    pub(crate) fn has_begun(&self) -> bool {
        self.bytes().iter().any(|byte| !matches!(byte, b'\r' | b'\n'))
    }

    /// Whether nothing has come that is not answered, and more may.
    pub(crate) fn is_untouched(&self) -> bool {
        self.bytes().is_empty() && !self.ended && self.refusal.is_none()
    }

    /// Nothing more will come.
    pub(crate) fn end(&mut self) {
        self.ended = true;
    }

    /// Why no more is taken.
    pub(crate) fn refusal(&self) -> Option<Refused> {
        self.refusal
    }

    /// The same, if somebody has asked for more: what follows the last request of a connection is
    /// nobody's (RFC 9112, section 9.6).
    pub(crate) fn told_refusal(&self) -> Option<Refused> {
        self.refusal.filter(|_| self.told)
    }

    /// Whether the client has yet to be answered why no more is taken.
    pub(crate) fn owes_answer(&self) -> bool {
        self.told_refusal().is_some_and(|refused| !refused.in_body)
    }

    /// Whether the rest of a body comes next.
    pub(crate) fn is_in_body(&self) -> bool {
        self.guard.position() == Position::Body
    }

    /// How much of a body of known length nobody has received.
    pub(crate) fn body_left(&self) -> u64 {
        self.guard.body_left()
    }

    /// So much of it is left: the rest does not come through here.
    pub(crate) fn leave_body(&mut self, left: u64) {
        self.guard.leave_body(left);
    }

    /// Whether the client may still be sending what nobody will read.
    pub(crate) fn has_unread(&self) -> bool {
        !self.ended && (self.refusal.is_some() || !self.bytes().is_empty() || self.is_in_body())
    }

    /// The client is too slow.
    pub(crate) fn time_out(&mut self) {
        self.refuse(TOO_SLOW);
    }

    fn refuse(&mut self, refusal: Refusal) {
        let in_body = self.guard.position() == Position::Body;
        self.refusal.get_or_insert(Refused { refusal, in_body });
    }

    /// Whether nothing more will pass; who asks is told.
    pub(crate) fn is_over(&mut self) -> bool {
        self.told |= self.refusal.is_some();
        self.refusal.is_some() || self.ended
    }

    /// Has the guard look at what is new, but at no other request before one that has passed.
    fn judge(&mut self) {
        while self.refusal.is_none() && (self.passed == 0 || self.is_in_body()) {
            let from = self.start + self.passed;
            if from >= self.held.len() {
                return;
            }
            let begins = !self.is_in_body();
            let verdict = self.guard.inspect(&mut self.held[from..], &mut self.notes);
            if !self.apply(verdict) {
                return;
            }
            self.is_noted |= begins && self.passed > 0;
        }
    }

    /// Does as the guard says about the bytes after those that have passed; `false` when it has to
    /// see more of them.
    fn apply(&mut self, verdict: Verdict) -> bool {
        match verdict {
            Verdict::Pass(count) => self.passed += count,
            // Nothing has passed, or it would not have been looked at.
            Verdict::Skip(count) => self.consume(count),
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

// While the intake is locked nothing changes between a look at it and the wait for more, so that who
// refuses or dismisses a connection finds either its bytes or its waker.
impl Connection {
    /// Reads what the client has sent into the intake, once; `false` when no more is taken.
    pub(crate) fn poll_fill(
        &self,
        worker: &Worker,
        cx: &mut Context<'_>,
    ) -> Poll<io::Result<bool>> {
        let mut intake = self.intake();
        if intake.is_over() {
            return Poll::Ready(Ok(false));
        }
        if ready!(self.poll_leave(worker, &mut intake, cx)) {
            return Poll::Ready(Ok(false));
        }
        ready!(self.poll_receive(&mut intake, cx))?;
        self.note_beginning(worker, &intake);
        Poll::Ready(Ok(!intake.ended))
    }

    /// Reads and forgets what nobody wants, up to `most` bytes; `None` at the end of the stream.
    pub(crate) fn poll_discard(&self, cx: &mut Context<'_>, most: usize) -> Poll<Option<usize>> {
        let mut intake = self.intake();
        let mut count = 0;
        while count < most {
            let held = intake.bytes().len();
            intake.consume(held);
            count += held;
            match self.poll_receive(&mut intake, cx) {
                Poll::Ready(Ok(())) if !intake.ended => {}
                Poll::Ready(_) => return Poll::Ready(None),
                Poll::Pending if count > 0 => break,
                Poll::Pending => return Poll::Pending,
            }
        }
        Poll::Ready(Some(count))
    }

    fn poll_receive(&self, intake: &mut Intake, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let held = &mut intake.held;
        let polled = if intake.is_large {
            let polled = self.source.poll(Direction::Read, cx, |fd| {
                let count = sys::receive(fd, held, READ_SIZE, false)?;
                Ok((count, count < READ_SIZE))
            });
            // Nobody has room while nothing comes.
            held.shrink_to_fit();
            polled
        } else {
            BUFFER.with_borrow_mut(|buffer| {
                let polled = self.poll_socket(cx, buffer);
                match polled {
                    Poll::Ready(Ok(count)) if held.is_empty() => *held = buffer[..count].to_vec(),
                    Poll::Ready(Ok(count)) => held.extend_from_slice(&buffer[..count]),
                    _ => {}
                }
                polled
            })
        };
        intake.ended |= ready!(polled)? == 0;
        Poll::Ready(Ok(()))
    }

    fn poll_socket(&self, cx: &mut Context<'_>, buffer: &mut [u8]) -> Poll<io::Result<usize>> {
        self.source.poll(Direction::Read, cx, |fd| {
            let count = recv(fd.as_raw_fd(), buffer, MsgFlags::MSG_DONTWAIT)?;
            Ok((count, count < buffer.len()))
        })
    }

    /// Waits for the head of a request to be there as a whole; `None` when none will come.
    pub(crate) fn poll_head(&self, worker: &Worker, cx: &mut Context<'_>) -> Poll<Option<Asked>> {
        let mut intake = self.intake();
        loop {
            intake.judge();
            if intake.passed > 0 {
                return Poll::Ready(Some(self.take_asked(worker, &mut intake)));
            }
            if intake.is_over() {
                return Poll::Ready(None);
            }
            self.note_beginning(worker, &intake);
            if ready!(self.poll_leave(worker, &mut intake, cx)) {
                return Poll::Ready(None);
            }
            if ready!(self.poll_receive(&mut intake, cx)).is_err() {
                return Poll::Ready(None);
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
        let mut intake = self.intake();
        loop {
            intake.judge();
            if intake.passed > 0 {
                let count = intake.pass_on(room, &mut put);
                self.count(worker, count);
                return Poll::Ready(Ok(()));
            }
            if intake.is_over() {
                return Poll::Ready(Ok(()));
            }
            self.note_beginning(worker, &intake);
            if !intake.bytes().is_empty() {
                ready!(self.poll_receive(&mut intake, cx))?;
                continue;
            }
            if self.rests(&intake) {
                // Its task, which polls this, waits for the next head itself.
                return Poll::Pending;
            }
            let direct = ready!(self.poll_direct(&mut intake, cx, room, &mut put))?;
            if direct > 0 {
                self.count(worker, direct);
                return Poll::Ready(Ok(()));
            }
        }
    }

    /// Reads when nothing is held: what passes as a whole is not copied through the intake. Returns
    /// how much that was.
    fn poll_direct(
        &self,
        intake: &mut Intake,
        cx: &mut Context<'_>,
        room: usize,
        put: &mut impl FnMut(&[u8]),
    ) -> Poll<io::Result<usize>> {
        BUFFER.with_borrow_mut(|buffer| {
            let count = ready!(self.poll_socket(cx, buffer))?;
            intake.ended |= count == 0;
            if count == 0 {
                return Poll::Ready(Ok(0));
            }
            let bytes = &mut buffer[..count];
            let Intake { guard, notes, .. } = intake;
            let direct = match guard.inspect(bytes, notes) {
                Verdict::Pass(passed) if passed <= room => {
                    intake.notes = Notes::default();
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
            Poll::Ready(Ok(direct))
        })
    }

    /// The client's time for a head runs from its first byte.
    fn note_beginning(&self, worker: &Worker, intake: &Intake) {
        if self.is_idle() && intake.has_begun() {
            self.enter(worker, Phase::Head);
        }
    }

    /// Bytes of a request have been taken: its client is not idle, and its rate is counted.
    pub(crate) fn count(&self, worker: &Worker, bytes: usize) {
        match self.phase() {
            Phase::Body => self.reading.count_body(worker, bytes),
            Phase::Fresh | Phase::Idle if bytes > 0 => {
                self.enter(worker, Phase::Head);
            }
            _ => {}
        }
    }
}
