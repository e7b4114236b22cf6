//! One request between its connection and the application: where the two sides meet.
//!
//! The connection's task brings the rest of the request body and takes the response; the thread that
//! runs the application takes the one and brings the other. Neither ever waits for the other's
//! thread: the task is woken through its waker, the thread waits on a condition variable, and only
//! for what a client has to do.

use std::collections::VecDeque;
use std::fs::File;
use std::ops::ControlFlow;
use std::os::unix::fs::FileExt as _;
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker};
use std::time::Duration;
use std::{io, mem};

use bytes::Bytes;
use rwsgi_files::FileBody;
use rwsgi_protocol::body::{Body, End, Read};

use crate::hole::JOIN;
use crate::rest::Waits;
use crate::spool::Spool;
use crate::wsgi::lines::Head;

/// Response bytes that wait for the client in memory.
const HIGH_WATER: usize = 128 * 1024;
/// How long the application waits for a client that is behind, before its response goes to a file:
/// a fast client has caught up by then.
const PATIENCE: Duration = Duration::from_millis(5);
/// Bytes of that file that are read at a time.
const BLOCK: usize = 64 * 1024;
/// Request bytes that are taken from the client before the application asks for them, where its thread does
/// not receive them itself.
const READ_AHEAD: usize = 256 * 1024;

/// Who brings what the application waits for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Supply {
    /// The connection's task, and ahead of the application.
    Ahead,
    /// The connection's task, once the client has sent something.
    Later,
    /// The connection's task, too, but on the application's thread, which waits for the client itself.
    Here,
}

/// The connection is gone: nobody reads what the application says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Gone;

/// What follows a response's head.
#[derive(Debug)]
pub(crate) enum Payload {
    /// All of it.
    Whole(Bytes),
    /// What comes by [`Exchange::push`], until [`Exchange::finish`] or [`Exchange::abort`].
    Stream,
    /// What is in a file.
    File(FileBody),
}

/// What became of a chunk.
#[derive(Debug)]
pub(crate) enum Pushed {
    /// It is on its way. `is_last`: there is no room for another one until what waits has been sent.
    Taken { is_last: bool },
    /// There is no room for it.
    Full(Bytes),
    /// There would be room in a file, but the file failed.
    Failed(Bytes, io::Error),
}

/// What the connection takes out of a streamed response.
#[derive(Debug)]
pub(crate) enum Next {
    Chunk(Bytes),
    End,
    Aborted,
}

/// Both directions of one request.
#[derive(Debug)]
pub(crate) struct Exchange {
    state: Mutex<State>,
    changed: Condvar,
    /// How much may wait in a file.
    spill_limit: u64,
}

/// What waits in a file, for a client that is slow.
#[derive(Debug)]
struct Spill {
    file: File,
    written: u64,
    read: u64,
}

#[derive(Debug)]
struct State {
    incoming: Body,
    /// How many bytes of it the application waits for.
    wanted: usize,
    supply: Supply,
    /// How often something has come of it.
    fed: u64,
    head: Option<(Head, Payload)>,
    outgoing: VecDeque<Bytes>,
    /// Small chunks behind those, as one.
    joined: Vec<u8>,
    /// Bytes of both.
    queued: usize,
    spill: Option<Spill>,
    end: End,
    connection: Option<Waker>,
    gone: bool,
    /// A thread waits on `changed`: only then is it worth the system call to wake it.
    waiting: bool,
}

impl Exchange {
    /// An exchange whose request body begins with `incoming`. The task of `connection` waits for the
    /// answer.
    pub(crate) fn new(incoming: Body, spill_limit: u64, connection: Waker) -> Self {
        let state = State {
            incoming,
            wanted: 0,
            supply: Supply::Ahead,
            fed: 0,
            head: None,
            outgoing: VecDeque::new(),
            joined: Vec::new(),
            queued: 0,
            spill: None,
            end: End::Open,
            connection: Some(connection),
            gone: false,
            waiting: false,
        };
        Self { state: Mutex::new(state), changed: Condvar::new(), spill_limit }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The application's side.
impl Exchange {
    /// Reads from the request body with `read`; `Wait` asks the connection for more, until there are
    /// `enough` bytes; `None`: until there are more than now.
    pub(crate) fn read(
        &self,
        supply: Supply,
        enough: Option<usize>,
        read: impl FnOnce(&mut Body) -> Read,
    ) -> Read {
        let mut state = self.lock();
        let got = read(&mut state.incoming);
        let more = state.incoming.len() + 1;
        state.wanted = if got == Read::Wait { enough.unwrap_or(more) } else { 0 };
        state.supply = supply;
        let asks = if supply == Supply::Ahead { state.takes_more() } else { state.is_wanted() };
        let waker = if asks { state.connection.take() } else { None };
        if !asks {
            // Another thread may have asked for more.
            self.notify(&state);
        }
        drop(state);
        if let Some(waker) = waker {
            waker.wake();
        }
        got
    }

    /// Does `read` with the request body; meanwhile nobody brings any of it, nor is asked to.
    pub(crate) fn with_body<T>(&self, read: impl FnOnce(&mut Body) -> T) -> T {
        let mut state = self.lock();
        state.wanted = 0;
        let got = read(&mut state.incoming);
        self.notify(&state);
        got
    }

    /// Request bytes that wait to be read.
    pub(crate) fn arrived(&self) -> usize {
        self.lock().incoming.len()
    }

    /// How often something of the request body has come, its end included.
    pub(crate) fn fed(&self) -> u64 {
        self.lock().fed
    }

    /// Waits until what a read asked for has come, or the body has ended. What came between that read
    /// and this call counts.
    pub(crate) fn wait_readable(&self) {
        self.wait_while(|state| state.is_wanted() && !state.gone);
    }

    /// Answers. Only the first answer counts.
    pub(crate) fn respond(&self, head: impl Into<Head>, payload: Payload) {
        let mut state = self.lock();
        if matches!(payload, Payload::Whole(_) | Payload::File(_)) {
            state.end = End::Complete;
        }
        state.head = Some((head.into(), payload));
        Self::wake(state);
    }

    /// Adds a chunk to a streamed response, if there is room in memory.
    ///
    /// # Errors
    /// The connection is gone.
    pub(crate) fn push(&self, chunk: Bytes) -> Result<Pushed, Gone> {
        let mut state = self.lock();
        if state.gone {
            return Err(Gone);
        }
        if state.is_behind() {
            return Ok(Pushed::Full(chunk));
        }
        state.enqueue(chunk);
        let is_last = state.is_behind();
        Self::wake(state);
        Ok(Pushed::Taken { is_last })
    }

    /// Adds a chunk for a client that is behind: in memory if it has caught up within a moment, else
    /// in a file. May take the time of a disk.
    ///
    /// # Errors
    /// The connection is gone.
    pub(crate) fn spill(&self, chunk: Bytes, spool: &Spool) -> Result<Pushed, Gone> {
        let mut state = self.lock();
        if state.spill.is_none() {
            state.waiting = true;
            let waits = |state: &mut State| state.queued >= HIGH_WATER && !state.gone;
            let waited = self.changed.wait_timeout_while(state, PATIENCE, waits);
            (state, _) = waited.unwrap_or_else(PoisonError::into_inner);
            state.waiting = false;
        }
        if !state.gone && state.is_behind() {
            return Ok(self.store(&mut state, chunk, spool));
        }
        drop(state);
        self.push(chunk)
    }

    fn store(&self, state: &mut State, chunk: Bytes, spool: &Spool) -> Pushed {
        let stored = state.spill.as_ref().map_or(0, |spill| spill.written);
        if stored + chunk.len() as u64 > self.spill_limit {
            return Pushed::Full(chunk);
        }
        match state.write(&chunk, spool) {
            Ok(()) => Pushed::Taken { is_last: true },
            Err(error) => Pushed::Failed(chunk, error),
        }
    }

    /// Waits until the client has caught up.
    pub(crate) fn wait_writable(&self) {
        self.wait_while(|state| state.is_behind() && !state.gone);
    }

    /// The streamed response is complete.
    pub(crate) fn finish(&self) {
        self.end(End::Complete);
    }

    /// The response cannot be completed: the client must not take it for complete.
    pub(crate) fn abort(&self) {
        self.end(End::Broken);
    }

    /// The application has had its time: what of the response has not left never will, and nothing
    /// that the application waits for will come.
    pub(crate) fn cancel(&self) {
        let mut state = self.lock();
        state.give_up();
        self.notify(&state);
        if state.end == End::Open {
            state.end = End::Broken;
        }
        Self::wake(state);
    }

    /// Whether the connection is gone.
    pub(crate) fn is_gone(&self) -> bool {
        self.lock().gone
    }

    fn wait_while(&self, waits: impl Fn(&mut State) -> bool) {
        let mut state = self.lock();
        while waits(&mut state) {
            state.waiting = true;
            state = self.changed.wait(state).unwrap_or_else(PoisonError::into_inner);
        }
        state.waiting = false;
    }

    fn end(&self, end: End) {
        let mut state = self.lock();
        if state.end == End::Open {
            state.end = end;
        }
        Self::wake(state);
    }

    fn wake(mut state: MutexGuard<'_, State>) {
        let waker = state.connection.take();
        drop(state);
        if let Some(waker) = waker {
            waker.wake();
        }
    }
}

/// The connection's side.
impl Exchange {
    fn notify(&self, state: &State) {
        if state.waiting {
            self.changed.notify_all();
        }
    }

    /// Whether the application wants more of the request body, or there is room to read ahead; if so, who
    /// waits for that.
    pub(crate) fn poll_wanted(&self, cx: &Context<'_>, only_if_asked: bool) -> Option<Waits> {
        let mut state = self.lock();
        let wanted = if only_if_asked { state.is_wanted() } else { state.takes_more() };
        if !wanted {
            state.connection = Some(cx.waker().clone());
            return None;
        }
        Some(if state.supply == Supply::Here { Waits::Thread } else { Waits::Task })
    }

    /// Whether the application's thread waits for the client itself; should it leave that to the task later on,
    /// the task is woken.
    pub(crate) fn leaves_to_thread(&self, cx: &Context<'_>) -> bool {
        let mut state = self.lock();
        state.connection = Some(cx.waker().clone());
        state.supply == Supply::Here
    }

    /// Brings the chunk of the request body that `receive` gets. Meanwhile the application's thread cannot
    /// receive what follows.
    pub(crate) fn feed<T>(
        &self,
        receive: impl FnOnce() -> ControlFlow<T, Bytes>,
    ) -> ControlFlow<T> {
        let mut state = self.lock();
        state.incoming.push(receive()?);
        state.fed += 1;
        if !state.is_wanted() {
            self.notify(&state);
        }
        ControlFlow::Continue(())
    }

    /// Brings the end of the request body.
    pub(crate) fn feed_end(&self, end: End) {
        let mut state = self.lock();
        state.incoming.finish(end);
        state.fed += 1;
        self.notify(&state);
    }

    /// Takes the answer; `Gone`: there will be none. `closes`: the request has come as a whole, so that a whole
    /// answer leaves nothing to bring or take: then this is [closed](Self::close), and `closes` stays `true`.
    pub(crate) fn poll_head(
        &self,
        cx: &Context<'_>,
        closes: &mut bool,
    ) -> Poll<Result<(Head, Payload), Gone>> {
        let mut state = self.lock();
        if let Some(answer) = state.head.take() {
            *closes &= matches!(answer.1, Payload::Whole(_));
            if *closes {
                state.give_up();
                self.notify(&state);
            }
            return Poll::Ready(Ok(answer));
        }
        *closes = false;
        if state.end != End::Open {
            return Poll::Ready(Err(Gone));
        }
        state.connection = Some(cx.waker().clone());
        Poll::Pending
    }

    /// Takes the next chunk of a streamed response.
    pub(crate) fn poll_next(&self, cx: &Context<'_>) -> Poll<Next> {
        let mut state = self.lock();
        let was_behind = state.is_behind();
        match state.next() {
            Ok(Some(chunk)) => {
                if was_behind && !state.is_behind() {
                    self.notify(&state);
                }
                return Poll::Ready(Next::Chunk(chunk));
            }
            Ok(None) => {}
            Err(_) => return Poll::Ready(Next::Aborted),
        }
        match state.end {
            End::Complete => Poll::Ready(Next::End),
            End::Broken => Poll::Ready(Next::Aborted),
            End::Open => {
                state.connection = Some(cx.waker().clone());
                Poll::Pending
            }
        }
    }

    /// The connection will neither bring nor take any more.
    pub(crate) fn close(&self) {
        let mut state = self.lock();
        state.give_up();
        self.notify(&state);
    }
}

impl State {
    /// Nothing comes or goes any more.
    fn give_up(&mut self) {
        self.gone = true;
        self.fed += 1;
        self.incoming.finish(End::Broken);
        self.outgoing.clear();
        self.joined = Vec::new();
        self.queued = 0;
        self.spill = None;
    }

    /// Whether the application waits for more of the request body.
    fn is_wanted(&self) -> bool {
        self.incoming.len() < self.wanted && self.incoming.end() == End::Open
    }

    /// Whether the connection is to bring more of it.
    fn takes_more(&self) -> bool {
        self.is_wanted() || (self.incoming.len() < READ_AHEAD && self.incoming.end() == End::Open)
    }

    /// Whether the client has to take something before there is room in memory.
    fn is_behind(&self) -> bool {
        self.queued >= HIGH_WATER || self.spill.as_ref().is_some_and(|spill| spill.written > 0)
    }

    /// Adds a chunk to those that wait. What is small is copied, so that the client gets one chunk for many.
    fn enqueue(&mut self, chunk: Bytes) {
        self.queued += chunk.len();
        let is_small = chunk.len() < JOIN && self.queued > chunk.len();
        if !is_small || self.joined.len() + chunk.len() > BLOCK {
            self.seal();
        }
        if is_small {
            self.joined.extend_from_slice(&chunk);
        } else {
            self.outgoing.push_back(chunk);
        }
    }

    /// What has been joined is a chunk.
    fn seal(&mut self) {
        if !self.joined.is_empty() {
            self.outgoing.push_back(mem::take(&mut self.joined).into());
        }
    }

    /// Takes the first chunk that waits.
    fn next(&mut self) -> io::Result<Option<Bytes>> {
        if self.outgoing.is_empty() {
            self.seal();
        }
        if let Some(chunk) = self.outgoing.pop_front() {
            self.queued -= chunk.len();
            return Ok(Some(chunk));
        }
        match &mut self.spill {
            Some(spill) if spill.written > 0 => spill.next().map(Some),
            _ => Ok(None),
        }
    }

    fn write(&mut self, chunk: &[u8], spool: &Spool) -> io::Result<()> {
        self.spill_over(chunk, spool).map_err(|error| spool.explain(&error))
    }

    fn spill_over(&mut self, chunk: &[u8], spool: &Spool) -> io::Result<()> {
        let spill = match &mut self.spill {
            Some(spill) => spill,
            None => self.spill.insert(Spill { file: spool.create()?, written: 0, read: 0 }),
        };
        spill.file.write_all_at(chunk, spill.written)?;
        spill.written += chunk.len() as u64;
        Ok(())
    }
}

impl Spill {
    fn next(&mut self) -> io::Result<Bytes> {
        let length = usize::try_from(self.written - self.read).unwrap_or(BLOCK).min(BLOCK);
        let mut block = vec![0; length];
        self.file.read_exact_at(&mut block, self.read)?;
        self.read += length as u64;
        if self.read == self.written {
            // All of it has been taken: the disk gets its room back, and memory is enough again.
            self.file.set_len(0)?;
            (self.read, self.written) = (0, 0);
        }
        Ok(block.into())
    }
}
