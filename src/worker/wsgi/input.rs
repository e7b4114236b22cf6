//! `wsgi.input`: the request body as a file.

use std::fs::File;
use std::io::{BufRead as _, BufReader};
use std::os::fd::BorrowedFd;
use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use bytes::Bytes;
use pyo3::exceptions::PyOSError;
use pyo3::prelude::*;
use pyo3::types::{PyBytes, PyList};
use rwsgi_protocol::body::{Body, End, Read};
use rwsgi_protocol::request::Expectation;

use crate::connection::{Connection, Phase};
use crate::exchange::Supply;
use crate::ffi::Filling;
use crate::request::{Call, Content};
use crate::rest::Waits;
use crate::upload::Broken;
use crate::worker::Worker;
use crate::wsgi::reply::Reply;

/// Bytes that are read ahead of a body in a file, for its lines.
const BUFFER: usize = 64 * 1024;
/// For so many bytes it is waited at first, even if fewer are asked for: to be woken, and to wake, takes
/// longer than to receive them.
const BATCH: usize = 128 * 1024;
/// How long the thread that leads waits for a client, beside whom all others wait: no longer than for a short
/// request.
const MOMENT: Duration = Duration::from_millis(1);
/// How long a thread waits by itself that leads no more, before the client is one that is waited for like any
/// other.
const WHILE: Duration = Duration::from_millis(20);

/// The request body as the application reads it. A body that the client did not complete raises
/// OSError: truncated data never looks complete.
#[pyclass(frozen, name = "Input")]
pub(crate) struct Input {
    source: Source,
}

enum Source {
    /// There is no body.
    Empty,
    /// What has come, and comes.
    Exchange(Reader),
    /// A large one.
    File(Mutex<Stored>),
}

/// A body in a file.
struct Stored {
    reader: BufReader<Arc<File>>,
    left: u64,
}

/// What is asked for in so many bytes is received where it is to be.
const LARGE: usize = 32 * 1024;
/// Not what is asked for in more: a client would have the memory taken by what it only says.
const LARGEST: usize = 1 << 20;

/// How far a read has come.
enum Brought {
    /// As far as it can.
    Enough,
    /// The client has to send more.
    Wait,
}

/// What the application asks for, up to a limit.
#[derive(Debug, Clone, Copy)]
enum Ask {
    Bytes(Option<usize>),
    Line(Option<usize>),
}

impl Ask {
    fn read(self, body: &mut Body) -> Read {
        match self {
            Self::Bytes(limit) => body.read(limit),
            Self::Line(limit) => body.read_line(limit),
        }
    }

    /// How many bytes there have to be; how many a line takes nobody knows.
    fn enough(self) -> Option<usize> {
        match self {
            Self::Bytes(limit) => Some(limit.unwrap_or(usize::MAX)),
            Self::Line(_) => None,
        }
    }
}

struct Reader {
    worker: &'static Worker,
    hand: u16,
    reply: Arc<Reply>,
    /// Weak: the end of the connection is not up to who keeps its request.
    connection: Weak<Connection>,
    supply: Supply,
    /// The client may wait to be told to send the body, which the connection's task does.
    expects: bool,
}

impl Input {
    /// The body of a request that has none.
    pub(crate) fn empty() -> Self {
        Self { source: Source::Empty }
    }

    pub(crate) fn new(worker: &'static Worker, hand: u16, call: &Call) -> Self {
        let source = match &call.content {
            Content::None => Source::Empty,
            Content::Exchange(supply) => {
                let expects = call.request.expectation() == Expectation::Continue;
                let reply = Arc::clone(&call.reply);
                let connection = match supply {
                    Supply::Here => Arc::downgrade(&call.connection),
                    _ => Weak::new(),
                };
                let supply = *supply;
                Source::Exchange(Reader { worker, hand, reply, connection, supply, expects })
            }
            Content::File(file) => {
                let reader = BufReader::with_capacity(BUFFER, Arc::clone(file));
                let left = file.metadata().map_or(0, |metadata| metadata.len());
                Source::File(Mutex::new(Stored { reader, left }))
            }
        };
        Self { source }
    }

    fn get<'py>(&self, py: Python<'py>, ask: Ask) -> PyResult<Bound<'py, PyBytes>> {
        match &self.source {
            Source::Empty => Ok(PyBytes::new(py, b"")),
            Source::Exchange(reader) => reader.get(py, ask),
            Source::File(file) => {
                let mut file = file.lock().unwrap_or_else(PoisonError::into_inner);
                Ok(file.get(py, ask)?)
            }
        }
    }
}

impl Stored {
    fn get<'py>(&mut self, py: Python<'py>, ask: Ask) -> PyResult<Bound<'py, PyBytes>> {
        match ask {
            Ask::Bytes(limit) => {
                let left = usize::try_from(self.left).unwrap_or(usize::MAX);
                let count = limit.unwrap_or(left).min(left);
                self.left -= count as u64;
                let reader = &mut self.reader;
                PyBytes::new_with(py, count, |bytes| {
                    Ok(py.detach(|| std::io::Read::read_exact(reader, bytes))?)
                })
            }
            Ask::Line(limit) => {
                let limit = limit.map_or(u64::MAX, |limit| limit as u64);
                let mut line = Vec::new();
                let mut reader = std::io::Read::take(&mut self.reader, limit);
                reader.read_until(b'\n', &mut line)?;
                self.left -= line.len() as u64;
                Ok(PyBytes::new(py, &line))
            }
        }
    }
}

impl Reader {
    fn get<'py>(&self, py: Python<'py>, ask: Ask) -> PyResult<Bound<'py, PyBytes>> {
        let connection = self.connection.upgrade();
        let begun = connection.as_ref().map(|connection| self.begin(py, connection, ask));
        let (Some(connection), Some(mut bytes)) = (connection, begun.transpose()?.flatten()) else {
            return Ok(PyBytes::new(py, &self.take(py, ask)?));
        };
        while let Brought::Wait = self.bring(&connection, &mut bytes) {
            if !self.wait_here(py, &connection, BATCH, bytes.room()) {
                break;
            }
        }
        drop(connection);
        if bytes.room() > 0 {
            bytes.add(&self.take(py, Ask::Bytes(Some(bytes.room())))?);
        }
        Ok(bytes.finish())
    }

    /// What is asked for, empty, if it is worth it to receive that where it is to be.
    fn begin<'py>(
        &self,
        py: Python<'py>,
        connection: &Connection,
        ask: Ask,
    ) -> PyResult<Option<Filling<'py>>> {
        let Ask::Bytes(limit) = ask else { return Ok(None) };
        if self.supply != Supply::Here || (self.expects && self.reply.exchange.fed() == 0) {
            return Ok(None);
        }
        let left = usize::try_from(connection.intake().body_left()).unwrap_or(usize::MAX);
        let there = self.reply.exchange.arrived();
        let length = limit.unwrap_or(usize::MAX).min(left.saturating_add(there));
        let is_worth_it = (LARGE..=LARGEST).contains(&length) && length > there;
        is_worth_it.then(|| Filling::new(py, length)).transpose()
    }

    /// Adds what has come, and what is in the socket.
    fn bring(&self, connection: &Connection, bytes: &mut Filling<'_>) -> Brought {
        self.reply.exchange.with_body(|body| {
            while bytes.room() > 0
                && let Some(chunk) = body.part(bytes.room())
            {
                bytes.add(&chunk);
            }
            // Once the request is over its connection is no more to be touched: it may have another one.
            let is_open = body.end() == End::Open;
            while bytes.room() > 0 && body.end() == End::Open {
                if connection.phase() != Phase::Body {
                    connection.enter(self.worker, Phase::Body);
                }
                let cx = &mut Context::from_waker(Waker::noop());
                let (room, waits) = (bytes.room(), Waits::Thread);
                let take = |fd: BorrowedFd<'_>, most, stays| bytes.receive(fd, most, stays);
                match connection.poll_rest(self.worker, cx, waits, room, take) {
                    Poll::Ready(Ok(0)) => body.finish(End::Complete),
                    Poll::Ready(Ok(_)) => {}
                    // The task says why.
                    Poll::Ready(Err(Broken)) => return Brought::Enough,
                    Poll::Pending => return Brought::Wait,
                }
            }
            if is_open && connection.phase() == Phase::Body {
                connection.enter(self.worker, Phase::Application);
            }
            Brought::Enough
        })
    }

    /// What is asked for, as the connection's task brings it.
    fn take(&self, py: Python<'_>, ask: Ask) -> PyResult<Bytes> {
        let mut supply = self.supply;
        let mut fed = None;
        let mut has_waited = false;
        loop {
            match self.read(ask, supply) {
                Read::Data(data) => return Ok(data),
                Read::Broken => {
                    return Err(PyOSError::new_err(
                        "the client closed the connection before the request body was complete",
                    ));
                }
                Read::Wait => {}
            }
            let now = Some(self.reply.exchange.fed());
            if fed != now {
                // Something has come since, or this is the first look.
                (fed, has_waited) = (now, false);
                continue;
            }
            if supply == Supply::Here {
                // Where the client has sent what nobody brings, the connection is busy otherwise.
                let connection = self.connection.upgrade();
                let waits = connection
                    .is_some_and(|connection| !has_waited && self.wait_here(py, &connection, 1, 1));
                if !waits {
                    supply = Supply::Later;
                }
                has_waited = true;
                continue;
            }
            self.wait(py);
            (supply, fed) = (self.supply, None);
        }
    }

    /// Reads what is there. When that is not enough the connection's task, on this thread, brings what is in
    /// the socket.
    fn read(&self, ask: Ask, supply: Supply) -> Read {
        let mut got = Read::Wait;
        self.worker.reactor().run_here(|| {
            got = self.reply.exchange.read(supply, ask.enough(), |body| ask.read(body));
        });
        got
    }

    /// Waits for the client in this thread, without the GIL, and soon without the lead: until so many bytes
    /// have come, at first and then; `false` when they do not.
    fn wait_here(
        &self,
        py: Python<'_>,
        connection: &Connection,
        first: usize,
        then: usize,
    ) -> bool {
        // The client may wait for what it has not got of the response.
        self.worker.reactor().run_gathered();
        py.detach(|| {
            connection.is_readable_within(MOMENT, first) || {
                self.worker.crew().step_aside(self.hand);
                connection.is_readable_within(WHILE, then)
            }
        })
    }

    /// Waits for more, with the GIL and the lead given up.
    fn wait(&self, py: Python<'_>) {
        py.detach(|| {
            self.worker.crew().step_aside(self.hand);
            self.reply.exchange.wait_readable();
        });
    }
}

/// A size as file objects take it: `None` and negative numbers mean everything.
fn limit(size: Option<isize>) -> Option<usize> {
    size.and_then(|size| usize::try_from(size).ok())
}

#[pymethods]
impl Input {
    #[pyo3(signature = (size=None, /))]
    fn read<'py>(&self, py: Python<'py>, size: Option<isize>) -> PyResult<Bound<'py, PyBytes>> {
        self.get(py, Ask::Bytes(limit(size)))
    }

    #[pyo3(signature = (size=None, /))]
    fn readline<'py>(&self, py: Python<'py>, size: Option<isize>) -> PyResult<Bound<'py, PyBytes>> {
        self.get(py, Ask::Line(limit(size)))
    }

    /// All lines; with a hint, no more once they have that many bytes together.
    #[pyo3(signature = (hint=None, /))]
    fn readlines<'py>(&self, py: Python<'py>, hint: Option<isize>) -> PyResult<Bound<'py, PyList>> {
        let enough = limit(hint).filter(|hint| *hint > 0).unwrap_or(usize::MAX);
        let lines = PyList::empty(py);
        let mut total = 0;
        while total < enough {
            let line = self.readline(py, None)?;
            let length = line.as_bytes().len();
            if length == 0 {
                break;
            }
            total += length;
            lines.append(line)?;
        }
        Ok(lines)
    }

    fn __iter__(this: PyRef<'_, Self>) -> PyRef<'_, Self> {
        this
    }

    fn __next__<'py>(&self, py: Python<'py>) -> PyResult<Option<Bound<'py, PyBytes>>> {
        let line = self.readline(py, None)?;
        Ok((!line.as_bytes().is_empty()).then_some(line))
    }

    /// Does nothing: the body belongs to the server (PEP 3333: applications must not close it).
    fn close(&self) {}
}
