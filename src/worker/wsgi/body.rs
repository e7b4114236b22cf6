//! From what the application returned to what the client gets (PEP 3333, "The Server/Gateway Side").

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use bytes::Bytes;
use http::header::CONTENT_LENGTH;
use http::{HeaderValue, Method, Response, StatusCode};
use pyo3::intern;
use pyo3::prelude::*;
use pyo3::pybacked::PyBackedBytes;
use pyo3::types::{PyBytes, PyList, PyTuple};
use rwsgi_core::log::{self, Event};
use rwsgi_protocol::header::content_length;
use rwsgi_protocol::response::{Framing, framing};

use crate::exchange::{Exchange, Gone, Payload};
use crate::request::{Call, error_head, error_text};
use crate::traceback;
use crate::worker::Worker;
use crate::wsgi::start_response::{Shared, type_name};

/// Chunks from this size on are lent to the socket instead of copied.
const LEND: usize = 16 * 1024;

/// Why a request failed.
#[derive(Debug)]
pub(crate) enum Failure {
    /// The application raised.
    Raised(PyErr),
    /// The application broke a rule.
    Contract(String),
}

impl From<PyErr> for Failure {
    fn from(error: PyErr) -> Self {
        Self::Raised(error)
    }
}

/// The response of one request, as it is made.
pub(crate) struct Responder<'call> {
    pub(crate) state: Arc<Shared>,
    call: &'call Call,
    worker: Arc<Worker>,
    writer: Writer,
}

/// Puts chunks into the exchange, and watches that they are as many as the head promised.
#[derive(Debug, Clone)]
pub(crate) struct Writer {
    worker: Arc<Worker>,
    hand: u16,
    exchange: Arc<Exchange>,
    method: Method,
    progress: Arc<Mutex<Progress>>,
}

/// How far a streamed response has come.
#[derive(Debug, Default)]
struct Progress {
    begun: bool,
    framing: Option<Framing>,
    sent: u64,
    excess: u64,
    /// Goes together with the first chunk.
    head: Option<(Response<()>, Payload)>,
}

impl<'call> Responder<'call> {
    pub(crate) fn new(worker: Arc<Worker>, hand: u16, call: &'call Call) -> Self {
        let writer = Writer {
            worker: Arc::clone(&worker),
            hand,
            exchange: Arc::clone(&call.exchange),
            method: call.head.method.clone(),
            progress: Arc::default(),
        };
        Self { state: Shared::new(writer.clone()), call, worker, writer }
    }

    /// Sends what the application returned.
    pub(crate) fn send(
        &mut self,
        py: Python<'_>,
        result: &Bound<'_, PyAny>,
    ) -> Result<(), Failure> {
        if let Some(chunks) = sequence(result)? {
            return self.send_sequence(py, &chunks);
        }
        let mut chunks = result.try_iter().map_err(|_| {
            Failure::Contract(format!(
                "the application returned {}, which is not an iterable of bytes",
                type_name(result)
            ))
        })?;
        let alone = result.len().is_ok_and(|length| length == 1);
        let first = loop {
            match chunks.next() {
                None => break None,
                Some(chunk) => {
                    let chunk = bytes_of(&chunk?)?;
                    if !chunk.is_empty() {
                        break Some(chunk);
                    }
                }
            }
        };
        match (self.head_if_unsent()?, first) {
            (None, first) => self.write(py, first)?,
            (Some(head), None) => return self.send_whole(head, Bytes::new()),
            (Some(head), Some(first)) => {
                let declared = head.headers().get(CONTENT_LENGTH).and_then(content_length);
                if alone || declared == Some(first.len() as u64) {
                    self.send_whole(head, first)?;
                } else {
                    self.writer.begin(head);
                    self.write(py, Some(first))?;
                }
            }
        }
        for chunk in chunks {
            let chunk = bytes_of(&chunk?)?;
            if self.writer.is_over() {
                break;
            }
            self.write(py, Some(chunk))?;
        }
        Ok(())
    }

    /// Every chunk is there: the response has a length, and leaves at once.
    fn send_sequence(&mut self, py: Python<'_>, chunks: &[Bytes]) -> Result<(), Failure> {
        let whole = match chunks {
            [one] => one.clone(),
            many => many.concat().into(),
        };
        match self.head_if_unsent()? {
            Some(head) => self.send_whole(head, whole),
            None => self.write(py, Some(whole)),
        }
    }

    /// The head, unless `write()` has sent it already.
    fn head_if_unsent(&self) -> Result<Option<Response<()>>, Failure> {
        match self.state.take_head() {
            Some(head) => Ok(Some(head)),
            None if self.state.is_sent() => Ok(None),
            None => Err(Failure::Contract(
                "the application returned without calling start_response".into(),
            )),
        }
    }

    fn send_whole(&mut self, mut head: Response<()>, whole: Bytes) -> Result<(), Failure> {
        let length = whole.len() as u64;
        let declared = head.headers().get(CONTENT_LENGTH).and_then(content_length);
        let kind = framing(&self.call.head.method, head.status(), declared, Some(length));
        let payload = match kind {
            Framing::Nothing => {
                if declared.is_none() && self.call.head.method == Method::HEAD && length > 0 {
                    head.headers_mut().insert(CONTENT_LENGTH, HeaderValue::from(length));
                }
                Payload::Whole(Bytes::new())
            }
            Framing::Length(promised) if promised == length => Payload::Whole(whole),
            // Shorter or longer than promised: the stream's accounting deals with it.
            Framing::Length(_) | Framing::Open => {
                self.writer.begin(head);
                return self.writer.put(whole).map(drop).or(Ok(()));
            }
        };
        self.writer.progress().begun = true;
        self.writer.progress().framing = Some(kind);
        self.writer.progress().sent = length;
        let exchange = Arc::clone(&self.call.exchange);
        self.worker.reactor().run_here(|| exchange.respond(head, payload));
        Ok(())
    }

    fn write(&mut self, py: Python<'_>, chunk: Option<Bytes>) -> Result<(), Failure> {
        if let Some(chunk) = chunk {
            // A client that has gone ends the iteration, see `is_over`; it is no failure.
            let _ = self.writer.write_bytes(py, chunk);
        }
        Ok(())
    }

    /// Answers for an application that failed: 500, or an aborted connection once the head is out.
    pub(crate) fn fail(&mut self, py: Python<'_>, failure: Failure) {
        self.worker.slot.count_exception();
        let head = &self.call.head;
        let what = format!("{} {}", head.method, head.uri.path());
        let entry = match failure {
            Failure::Raised(error) => traceback::entry(py, &error, &format!("{what}: ")),
            Failure::Contract(rule) => {
                log::error(Event::ApplicationError, format!("{what}: {rule} (PEP 3333)"))
            }
        };
        entry
            .field("REQUEST_METHOD", head.method.as_str().to_owned())
            .field("REQUEST_PATH", head.uri.path().to_owned())
            .field("REMOTE_ADDR", self.call.connection.peer.address.clone())
            .send();
        if self.writer.progress().begun {
            self.writer.end(false);
            return;
        }
        let exchange = Arc::clone(&self.call.exchange);
        let status = StatusCode::INTERNAL_SERVER_ERROR;
        let mut response = error_head(status);
        let text = error_text(status);
        response.headers_mut().insert(CONTENT_LENGTH, HeaderValue::from(text.len()));
        self.writer.progress().begun = true;
        let text = if head.method == Method::HEAD { Bytes::new() } else { text };
        self.worker.reactor().run_here(|| exchange.respond(response, Payload::Whole(text)));
    }

    /// Ends the response; says so in the log when it was not what its head promised.
    pub(crate) fn finish(&mut self) {
        let (wrong, short) = {
            let progress = self.writer.progress();
            match progress.framing {
                Some(Framing::Length(length)) if progress.excess > 0 => {
                    let sent = progress.sent + progress.excess;
                    (
                        Some(format!("longer ({sent} bytes) than its Content-Length ({length})")),
                        false,
                    )
                }
                Some(Framing::Length(length)) if progress.sent < length => {
                    let sent = progress.sent;
                    (
                        Some(format!("shorter ({sent} bytes) than its Content-Length ({length})")),
                        true,
                    )
                }
                _ => (None, false),
            }
        };
        let gone = self.call.exchange.is_gone();
        if let Some(wrong) = wrong.filter(|_| !(gone && short)) {
            let head = &self.call.head;
            let message = format!("{} {}: the response was {wrong}", head.method, head.uri.path());
            log::error(Event::ApplicationError, message)
                .field("REQUEST_METHOD", head.method.as_str().to_owned())
                .field("REQUEST_PATH", head.uri.path().to_owned())
                .send();
        }
        self.writer.end(!short);
    }
}

impl Writer {
    fn progress(&self) -> MutexGuard<'_, Progress> {
        self.progress.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Sends the head of a response whose body comes bit by bit.
    pub(crate) fn begin(&mut self, head: Response<()>) {
        let declared = head.headers().get(CONTENT_LENGTH).and_then(content_length);
        let kind = framing(&self.method, head.status(), declared, None);
        let payload = if kind == Framing::Nothing || kind == Framing::Length(0) {
            Payload::Whole(Bytes::new())
        } else {
            Payload::Stream
        };
        let mut progress = self.progress();
        progress.begun = true;
        progress.framing = Some(kind);
        progress.head = Some((head, payload));
    }

    /// What `write()` does.
    pub(crate) fn write(&mut self, py: Python<'_>, data: &Bound<'_, PyBytes>) -> Result<(), Gone> {
        self.write_bytes(py, share(data))
    }

    /// Whether nothing that still comes can reach the client.
    fn is_over(&self) -> bool {
        let progress = self.progress();
        let over = match progress.framing {
            Some(Framing::Nothing) => true,
            Some(Framing::Length(length)) => progress.excess > 0 && progress.sent >= length,
            Some(Framing::Open) | None => false,
        };
        drop(progress);
        over || self.exchange.is_gone()
    }

    fn write_bytes(&mut self, py: Python<'_>, chunk: Bytes) -> Result<(), Gone> {
        if self.put(chunk)? {
            return Ok(());
        }
        self.worker.crew().step_aside(self.hand);
        py.detach(|| self.exchange.wait_writable());
        Ok(())
    }

    /// Puts a chunk on its way, cut to what the head promised; `Ok(false)` when the client is behind.
    fn put(&self, mut chunk: Bytes) -> Result<bool, Gone> {
        let mut progress = self.progress();
        if let Some(Framing::Length(length)) = progress.framing {
            let room = usize::try_from(length - progress.sent).unwrap_or(usize::MAX);
            progress.excess += chunk.len().saturating_sub(room) as u64;
            chunk.truncate(room);
        }
        progress.sent += chunk.len() as u64;
        let head = progress.head.take();
        let silent = chunk.is_empty() || progress.framing == Some(Framing::Nothing);
        drop(progress);
        let mut put = Ok(true);
        self.worker.reactor().run_here(|| {
            if let Some((head, payload)) = head {
                self.exchange.respond(head, payload);
            }
            if !silent {
                put = self.exchange.push(chunk);
            }
        });
        put
    }

    /// Ends the response: what follows will never come, or there is nothing to follow.
    fn end(&self, complete: bool) {
        let head = self.progress().head.take();
        self.worker.reactor().run_here(|| {
            if let Some((head, payload)) = head {
                self.exchange.respond(head, payload);
            }
            if complete { self.exchange.finish() } else { self.exchange.abort() }
        });
    }
}

/// Calls `close()`, if there is one, as PEP 3333 demands in every case.
pub(crate) fn close(result: &Bound<'_, PyAny>) -> Result<(), Failure> {
    if result.is_exact_instance_of::<PyList>() || result.is_exact_instance_of::<PyTuple>() {
        return Ok(());
    }
    if let Some(close) = result.getattr_opt(intern!(result.py(), "close"))? {
        close.call0()?;
    }
    Ok(())
}

/// The chunks of a list or tuple.
fn sequence(result: &Bound<'_, PyAny>) -> Result<Option<Vec<Bytes>>, Failure> {
    if let Ok(list) = result.cast_exact::<PyList>() {
        return list.iter().map(|chunk| bytes_of(&chunk)).collect::<Result<_, _>>().map(Some);
    }
    if let Ok(tuple) = result.cast_exact::<PyTuple>() {
        return tuple.iter().map(|chunk| bytes_of(&chunk)).collect::<Result<_, _>>().map(Some);
    }
    Ok(None)
}

fn bytes_of(chunk: &Bound<'_, PyAny>) -> Result<Bytes, Failure> {
    chunk.cast::<PyBytes>().map(share).map_err(|_| {
        Failure::Contract(format!("the body must consist of bytes, not {}", type_name(chunk)))
    })
}

/// Small chunks are copied; large ones are lent, and given back when they have left.
fn share(chunk: &Bound<'_, PyBytes>) -> Bytes {
    let bytes = chunk.as_bytes();
    if bytes.len() < LEND {
        return Bytes::copy_from_slice(bytes);
    }
    Bytes::from_owner(PyBackedBytes::from(chunk.clone()))
}
