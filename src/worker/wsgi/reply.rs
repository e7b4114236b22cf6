//! The response of one request as the application makes it: what `start_response` said, what has
//! been sent, and whether that is what the head promised.

use std::sync::atomic::{AtomicU16, Ordering::Relaxed};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use bytes::Bytes;
use http::header::{CONNECTION, CONTENT_LENGTH};
use http::{HeaderValue, Method, Response, StatusCode};
use pyo3::prelude::*;
use rwsgi_files::FileBody;
use rwsgi_protocol::header::content_length;
use rwsgi_protocol::request::Request;
use rwsgi_protocol::response::{Framing, framing};

use rwsgi_core::log::{self, Event};

use crate::exchange::{Exchange, Gone, Payload, Pushed};
use crate::hole::JOIN;
use crate::worker::Worker;
use crate::wsgi::lines::{Head, Lines};

/// The response of one request.
#[derive(Debug)]
pub(crate) struct Reply {
    worker: &'static Worker,
    /// The number of its thread, once it has one.
    hand: AtomicU16,
    pub(crate) exchange: Exchange,
    method: Method,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    /// `start_response` was called, be it in vain.
    called: bool,
    /// What `start_response` said, until it is sent.
    head: Option<Head>,
    /// The head is on its way: it cannot be changed any more.
    sent: bool,
    /// The head of a streamed response goes together with its first chunk.
    pending: Option<Box<(Response<()>, Payload)>>,
    framing: Option<Framing>,
    bytes: u64,
    excess: u64,
    /// Nothing can be added any more.
    ended: bool,
    /// The connection has the head, or gets it in this moment.
    responded: bool,
    /// Its time is over: the application is not listened to any more.
    timed_out: bool,
}

/// What became of a response whose time was over.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Cut {
    /// 504.
    Answered,
    /// It had begun, and is not completed.
    BrokenOff,
    /// It was complete.
    Nothing,
}

/// How a response differs from its Content-Length.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Mismatch {
    /// Bytes sent, and bytes promised.
    Short(u64, u64),
    /// Bytes given, and bytes promised.
    Long(u64, u64),
}

impl Reply {
    pub(crate) fn new(worker: &'static Worker, request: &Request, exchange: Exchange) -> Arc<Self> {
        Arc::new(Self {
            worker,
            hand: AtomicU16::new(0),
            exchange,
            method: request.method.clone(),
            state: Mutex::default(),
        })
    }

    /// Thread `hand` works on it.
    pub(crate) fn begin_work(&self, hand: u16) {
        self.hand.store(hand, Relaxed);
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whose request it is.
    pub(crate) fn worker(&self) -> &'static Worker {
        self.worker
    }

    /// The number of its thread.
    pub(crate) fn hand(&self) -> u16 {
        self.hand.load(Relaxed)
    }

    /// Whether `start_response` has been called, even if what it was called with was refused.
    pub(crate) fn is_called(&self) -> bool {
        self.lock().called
    }

    /// Whether the head is on its way.
    pub(crate) fn is_sent(&self) -> bool {
        self.lock().sent
    }

    /// Whether the response is complete, or was given up.
    pub(crate) fn is_ended(&self) -> bool {
        self.lock().ended
    }

    /// `start_response` is called and says `head`, unless that is no good; `again` if with an exception:
    /// what an earlier call has said does not count any more, whatever comes of this one. `false`: it may
    /// not be called.
    pub(crate) fn call(&self, again: bool, head: Option<Head>) -> bool {
        let mut state = self.lock();
        let may = if again { !state.sent } else { !state.called };
        if may {
            state.called = true;
            state.head = head;
        }
        may
    }

    /// Takes the head to send it; `None` before `start_response` was called, and after it was sent.
    pub(crate) fn take_head(&self) -> Option<Head> {
        let mut state = self.lock();
        let head = state.head.take().filter(|_| !state.timed_out);
        state.sent |= head.is_some();
        head
    }

    /// Sends a response that is there as a whole, if that is all that was said of it, and its head can
    /// leave as it is; else gives it back.
    pub(crate) fn send_plain(&self, whole: Bytes) -> Option<Bytes> {
        let length = whole.len() as u64;
        let mut state = self.lock();
        let is_plain = |lines: &Lines| lines.length.unwrap_or(length) == length;
        let is_plain = matches!(&state.head, Some(Head::Lines(lines)) if is_plain(lines));
        if !is_plain || self.method == Method::HEAD || !state.respond() {
            return Some(whole);
        }
        let head = state.head.take();
        state.end_whole(length);
        drop(state);
        if let Some(head) = head {
            let answer = || self.exchange.respond(head, Payload::Whole(whole));
            self.worker.crew().respond(self.hand(), answer);
        }
        None
    }

    /// Sends a response that is there as a whole.
    pub(crate) fn send_whole(&self, head: impl Into<Head>, whole: Bytes) {
        {
            let mut state = self.lock();
            if !state.respond() {
                return;
            }
            state.end_whole(whole.len() as u64);
        }
        let crew = self.worker.crew();
        crew.respond(self.hand(), || self.exchange.respond(head, Payload::Whole(whole)));
    }

    /// Sends a response whose body is in a file.
    pub(crate) fn send_file(&self, head: Response<()>, body: FileBody, length: u64) {
        {
            let mut state = self.lock();
            if !state.respond() {
                return;
            }
            state.end_whole(length);
        }
        self.worker.reactor().run_here(|| self.exchange.respond(head, Payload::File(body)));
    }

    /// Begins a response whose body comes bit by bit.
    pub(crate) fn begin(&self, head: Response<()>) {
        let declared = head.headers().get(CONTENT_LENGTH).and_then(content_length);
        let kind = framing(&self.method, head.status(), declared, None);
        let payload = if kind == Framing::Nothing || kind == Framing::Length(0) {
            Payload::Whole(Bytes::new())
        } else {
            Payload::Stream
        };
        let mut state = self.lock();
        state.sent = true;
        state.framing = Some(kind);
        if !state.timed_out {
            state.pending = Some(Box::new((head, payload)));
        }
    }

    /// Puts a chunk on its way. A client that is behind gets it from a file, later; only when that
    /// is not possible the application waits.
    ///
    /// # Errors
    /// The client has gone.
    pub(crate) fn write(&self, py: Python<'_>, chunk: Bytes) -> Result<(), Gone> {
        match self.put(chunk)? {
            Some(rest) => py.detach(|| self.write_slowly(rest)),
            None => Ok(()),
        }
    }

    /// Without the GIL.
    fn write_slowly(&self, mut chunk: Bytes) -> Result<(), Gone> {
        // The client can catch up only if somebody else leads meanwhile.
        self.worker.crew().step_aside(self.hand());
        loop {
            chunk = match self.exchange.spill(chunk, &self.worker.spool)? {
                Pushed::Taken { .. } => return Ok(()),
                Pushed::Full(chunk) => chunk,
                Pushed::Failed(chunk, error) => {
                    let message = format!("cannot store a response for a slow client: {error}");
                    self.worker.complain("", log::error(Event::SystemError, message));
                    chunk
                }
            };
            self.exchange.wait_writable();
        }
    }

    /// Puts a chunk on its way, cut to what the head promised; returns it when the client is behind.
    ///
    /// # Errors
    /// The client has gone.
    pub(crate) fn put(&self, mut chunk: Bytes) -> Result<Option<Bytes>, Gone> {
        let mut state = self.lock();
        if state.timed_out {
            return Err(Gone);
        }
        if let Some(Framing::Length(length)) = state.framing {
            let room = usize::try_from(length - state.bytes).unwrap_or(usize::MAX);
            state.excess += chunk.len().saturating_sub(room) as u64;
            chunk.truncate(room);
        }
        state.bytes += chunk.len() as u64;
        let pending = state.pending.take();
        state.responded |= pending.is_some();
        let silent = chunk.is_empty() || state.framing == Some(Framing::Nothing);
        drop(state);
        let respond = || {
            if let Some((head, payload)) = pending.map(|pending| *pending) {
                self.exchange.respond(head, payload);
            }
        };
        if silent {
            self.worker.reactor().run_here(respond);
            return Ok(None);
        }
        let mut put = Err(Gone);
        let is_large = chunk.len() >= JOIN;
        self.worker.crew().respond_in_part(self.hand(), is_large, || {
            respond();
            put = self.exchange.push(chunk);
            !matches!(put, Ok(Pushed::Taken { is_last: false }))
        });
        match put? {
            Pushed::Full(chunk) => Ok(Some(chunk)),
            Pushed::Taken { .. } | Pushed::Failed(..) => Ok(None),
        }
    }

    /// The Content-Length that what was written exceeds.
    pub(crate) fn exceeded(&self) -> Option<u64> {
        let state = self.lock();
        match state.framing {
            Some(Framing::Length(length)) if state.excess > 0 => Some(length),
            Some(Framing::Length(_) | Framing::Nothing | Framing::Open) | None => None,
        }
    }

    /// Whether nothing that still comes can reach the client.
    pub(crate) fn is_over(&self) -> bool {
        let state = self.lock();
        let over = match state.framing {
            _ if state.timed_out || state.ended => true,
            Some(Framing::Nothing) => true,
            Some(Framing::Length(length)) => state.excess > 0 && state.bytes >= length,
            Some(Framing::Open) | None => false,
        };
        drop(state);
        over || self.exchange.is_gone()
    }

    /// How the response differs from what its head promised, if it does and the client is there to
    /// notice.
    pub(crate) fn mismatch(&self) -> Option<Mismatch> {
        let state = self.lock();
        let Some(Framing::Length(length)) = state.framing.filter(|_| !state.timed_out) else {
            return None;
        };
        if state.excess > 0 {
            return Some(Mismatch::Long(state.bytes + state.excess, length));
        }
        let short = state.bytes < length && !self.exchange.is_gone();
        short.then_some(Mismatch::Short(state.bytes, length))
    }

    /// Ends the response: as complete, or so that the client cannot take it for complete. Only the
    /// first end counts.
    pub(crate) fn end(&self, complete: bool) {
        let mut state = self.lock();
        if std::mem::replace(&mut state.ended, true) {
            return;
        }
        let pending = state.pending.take();
        state.responded |= pending.is_some();
        drop(state);
        if !complete {
            // What an end that is no good would take with it.
            self.worker.reactor().run_gathered();
        }
        self.worker.crew().respond_at_last(self.hand(), || {
            if let Some((head, payload)) = pending.map(|pending| *pending) {
                self.exchange.respond(head, payload);
            }
            if complete { self.exchange.finish() } else { self.exchange.abort() }
        });
    }

    /// Whether its time was over.
    pub(crate) fn is_timed_out(&self) -> bool {
        self.lock().timed_out
    }

    /// What was said so far is the response, if it is one: else the connection is closed. Whatever
    /// the application says from now on is not sent.
    pub(crate) fn disconnect(&self) {
        if let Some(head) = self.take_head() {
            self.begin(head.into_map());
        }
        let complete = {
            let state = self.lock();
            state.framing.is_some()
                && !matches!(state.framing, Some(Framing::Length(length)) if state.bytes < length)
        };
        self.end(complete);
        let mut state = self.lock();
        state.timed_out = true;
        state.sent = true;
    }

    /// The application has had its time: 504 if the head is still here, else the response breaks
    /// off. Whatever the application says from now on is not sent. From any thread, without the GIL.
    pub(crate) fn time_out(&self) -> Cut {
        let mut state = self.lock();
        if state.ended || state.timed_out {
            return Cut::Nothing;
        }
        let begun = state.responded;
        state.timed_out = true;
        state.sent = true;
        state.responded = true;
        state.pending = None;
        drop(state);
        if begun {
            self.worker.reactor().run_here(|| self.exchange.cancel());
            return Cut::BrokenOff;
        }
        let (mut head, text) = self.worker.error_pages.response(StatusCode::GATEWAY_TIMEOUT);
        // The next request of this client is better off with a worker whose threads are free.
        head.headers_mut().insert(CONNECTION, HeaderValue::from_static("close"));
        let text = if self.method == Method::HEAD { Bytes::new() } else { text };
        self.worker.reactor().run_here(|| self.exchange.respond(head, Payload::Whole(text)));
        Cut::Answered
    }
}

impl State {
    /// The head is handed to the connection; `false` when that got another one meanwhile.
    fn respond(&mut self) -> bool {
        self.sent = true;
        self.responded |= !self.timed_out;
        !self.timed_out
    }

    /// All of it is there, `length` bytes.
    fn end_whole(&mut self, length: u64) {
        self.framing = Some(Framing::Length(length));
        self.bytes = length;
        self.ended = true;
    }
}
