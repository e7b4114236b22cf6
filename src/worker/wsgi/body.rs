//! From what the application returned to what the client gets (PEP 3333, "The Server/Gateway Side").

use bytes::Bytes;
use http::header::CONTENT_LENGTH;
use http::{HeaderValue, Method, StatusCode};
use pyo3::exceptions::PyTypeError;
use pyo3::intern;
use pyo3::prelude::*;
use pyo3::pybacked::PyBackedBytes;
use pyo3::types::{PyBytes, PyIterator, PyList, PyString, PyTuple};
use rwsgi_core::log::{self, Event};
use rwsgi_protocol::header::content_length;
use rwsgi_protocol::response::{Framing, framing, status_forbids_content};

use crate::overtime::RequestTimeout;
use crate::record;
use crate::request::Call;
use crate::traceback;
use crate::wsgi::file_wrapper::{self, Rest};
use crate::wsgi::lines::Head;
use crate::wsgi::reply::{Mismatch, Reply};
use crate::wsgi::start_response::type_name;

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

/// Sends what the application returned, and closes it.
///
/// # Errors
/// The application raised while it was iterated or closed, or broke a rule.
pub(crate) fn send(
    py: Python<'_>,
    call: &Call,
    reply: &Reply,
    result: &Bound<'_, PyAny>,
) -> Result<(), Failure> {
    match iterate(py, call, reply, result) {
        Ok(sent) => {
            // The response is complete when the iteration is: `close` cannot damage it, nor delay it by more
            // than a round does.
            if let Sent::InPart = sent {
                finish(call, reply);
            }
            close(result)
        }
        Err(failure) => {
            close(result).unwrap_or_else(|second| tell(py, call, reply, &second));
            Err(failure)
        }
    }
}

/// How a response has left.
enum Sent {
    /// As a whole, with its end.
    Whole,
    /// Perhaps there is something to be said about its end.
    InPart,
}

fn iterate(
    py: Python<'_>,
    call: &Call,
    reply: &Reply,
    result: &Bound<'_, PyAny>,
) -> Result<Sent, Failure> {
    if let Some(whole) = sequence(result)? {
        return match reply.send_plain(whole) {
            Some(whole) => send_sequence(py, call, reply, whole).map(|()| Sent::InPart),
            None => Ok(Sent::Whole),
        };
    }
    iterate_slowly(py, call, reply, result).map(|()| Sent::InPart)
}

fn iterate_slowly(
    py: Python<'_>,
    call: &Call,
    reply: &Reply,
    result: &Bound<'_, PyAny>,
) -> Result<(), Failure> {
    if !reply.is_sent()
        && let Some(file) = file_wrapper::file_of(result)?
    {
        return send_file(call, reply, file);
    }
    let mut chunks = iterator(result)?;
    let alone = result.len().is_ok_and(|length| length == 1);
    let first = loop {
        match chunks.next() {
            None => break None,
            Some(chunk) => {
                let chunk = bytes_of(&chunk?)?;
                if !chunk.is_empty() || reply.is_over() {
                    break Some(chunk);
                }
            }
        }
    };
    match (head_if_unsent(reply)?.map(Head::into_map), first) {
        (None, first) => write(py, reply, first.unwrap_or_default()),
        (Some(head), None) => {
            send_whole(call, reply, head.into(), Bytes::new());
            return Ok(());
        }
        (Some(head), Some(first)) => {
            let declared = head.headers().get(CONTENT_LENGTH).and_then(content_length);
            if alone || declared == Some(first.len() as u64) {
                send_whole(call, reply, head.into(), first);
            } else {
                reply.begin(head);
                write(py, reply, first);
            }
        }
    }
    for chunk in chunks {
        let chunk = bytes_of(&chunk?)?;
        if reply.is_over() {
            break;
        }
        write(py, reply, chunk);
    }
    Ok(())
}

/// The rest of a file, or as much of it as the head promises.
fn send_file(call: &Call, reply: &Reply, file: Rest) -> Result<(), Failure> {
    let Some(mut head) = head_if_unsent(reply)?.map(Head::into_map) else {
        return Err(Failure::Contract("write() was called before a file was returned".into()));
    };
    let declared = head.headers().get(CONTENT_LENGTH).and_then(content_length);
    let length = declared.unwrap_or(file.length).min(file.length);
    match framing(&call.request.method, head.status(), declared, Some(file.length)) {
        Framing::Nothing => {
            if !status_forbids_content(head.status()) {
                head.headers_mut().entry(CONTENT_LENGTH).or_insert(length.into());
            }
            reply.send_whole(head, Bytes::new());
        }
        Framing::Length(promised) if promised > length => {
            // The accounting of streams tells of it.
            reply.begin(head);
        }
        Framing::Length(_) | Framing::Open => reply.send_file(head, file.body(length), length),
    }
    Ok(())
}

/// The chunks of any other iterable. An exception of its `__iter__` is one of the application.
fn iterator<'py>(result: &Bound<'py, PyAny>) -> Result<Bound<'py, PyIterator>, Failure> {
    let py = result.py();
    let wrong = || {
        let kind = type_name(result);
        Failure::Contract(format!(
            "the application returned {kind}, which is not an iterable of bytes"
        ))
    };
    // Both can be iterated, but what comes is never bytes.
    if result.is_instance_of::<PyBytes>() || result.is_instance_of::<PyString>() {
        return Err(wrong());
    }
    result.try_iter().map_err(|error| {
        let none = error.is_instance_of::<PyTypeError>(py) && error.traceback(py).is_none();
        if none { wrong() } else { error.into() }
    })
}

/// Every chunk is there: the response has a length, and leaves at once.
fn send_sequence(py: Python<'_>, call: &Call, reply: &Reply, whole: Bytes) -> Result<(), Failure> {
    match head_if_unsent(reply)? {
        Some(head) => send_whole(call, reply, head, whole),
        None => write(py, reply, whole),
    }
    Ok(())
}

/// The head, unless `write()` has sent it already.
fn head_if_unsent(reply: &Reply) -> Result<Option<Head>, Failure> {
    match reply.take_head() {
        Some(head) => Ok(Some(head)),
        None if reply.is_sent() => Ok(None),
        None => Err(Failure::Contract(if reply.is_called() {
            "the application went on although start_response had raised".into()
        } else {
            "the application returned without calling start_response".into()
        })),
    }
}

fn send_whole(call: &Call, reply: &Reply, head: Head, whole: Bytes) {
    let length = whole.len() as u64;
    if let Head::Lines(lines) = &head
        && lines.length.unwrap_or(length) == length
        && call.request.method != Method::HEAD
    {
        return reply.send_whole(head, whole);
    }
    let mut head = head.into_map();
    let declared = head.headers().get(CONTENT_LENGTH).and_then(content_length);
    match framing(&call.request.method, head.status(), declared, Some(length)) {
        Framing::Nothing => {
            if declared.is_none() && call.request.method == Method::HEAD && length > 0 {
                head.headers_mut().insert(CONTENT_LENGTH, HeaderValue::from(length));
            }
            reply.send_whole(head, Bytes::new());
        }
        Framing::Length(promised) if promised == length => reply.send_whole(head, whole),
        // Shorter or longer than promised: the stream's accounting deals with it.
        Framing::Length(_) | Framing::Open => {
            reply.begin(head);
            let _ = reply.put(whole);
        }
    }
}

/// A client that has gone ends the iteration, see `is_over`; it is no failure.
fn write(py: Python<'_>, reply: &Reply, chunk: Bytes) {
    let _ = reply.write(py, chunk);
}

/// Answers for an application that failed: 500, or an aborted connection once the head is out.
pub(crate) fn fail(py: Python<'_>, call: &Call, reply: &Reply, failure: &Failure) {
    // The log has told of it, with the same stack, when it was raised.
    let is_told =
        |error: &PyErr| reply.is_timed_out() && error.is_instance_of::<RequestTimeout>(py);
    if !matches!(failure, Failure::Raised(error) if is_told(error)) {
        tell(py, call, reply, failure);
    }
    if reply.is_sent() {
        return reply.end(false);
    }
    let pages = &reply.worker().error_pages;
    let (response, text) = pages.response(StatusCode::INTERNAL_SERVER_ERROR);
    let text = if call.request.method == Method::HEAD { Bytes::new() } else { text };
    reply.send_whole(response, text);
}

/// What the log says of a failure.
fn tell(py: Python<'_>, call: &Call, reply: &Reply, failure: &Failure) {
    let what = what(call);
    let entry = match failure {
        Failure::Raised(error) => traceback::entry(py, error, &format!("{what}: ")),
        Failure::Contract(rule) => {
            log::error(Event::ApplicationError, format!("{what}: {rule} (PEP 3333)"))
        }
    };
    let entry = reply.worker().about_request(entry, &call.request);
    let client = record::client(&call.connection, &call.request).into_owned();
    entry.field("REMOTE_ADDR", client).send();
}

/// Ends the response; says so in the log when it was not what its head promised.
fn finish(call: &Call, reply: &Reply) {
    if reply.is_ended() {
        return;
    }
    let mismatch = reply.mismatch();
    if let Some(mismatch) = mismatch {
        let (how, given, promised) = match mismatch {
            Mismatch::Short(given, promised) => ("shorter", given, promised),
            Mismatch::Long(given, promised) => ("longer", given, promised),
        };
        let message = format!(
            "{}: the response was {how} ({given} bytes) than its Content-Length ({promised})",
            what(call)
        );
        let entry = log::error(Event::ApplicationError, message);
        reply.worker().about_request(entry, &call.request).send();
    }
    reply.end(!matches!(mismatch, Some(Mismatch::Short(..))));
}

/// Method and path, harmless in a line: a path may have control characters beyond ASCII.
fn what(call: &Call) -> String {
    let mut what = format!("{} ", call.request.method);
    log::escape_into(&mut what, &call.request.path());
    what
}

/// Calls `close()`, if there is one, as PEP 3333 demands in every case.
fn close(result: &Bound<'_, PyAny>) -> Result<(), Failure> {
    if result.is_exact_instance_of::<PyList>() || result.is_exact_instance_of::<PyTuple>() {
        return Ok(());
    }
    if let Some(close) = result.getattr_opt(intern!(result.py(), "close"))? {
        close.call0()?;
    }
    Ok(())
}

/// The chunks of a list or tuple, as one.
fn sequence(result: &Bound<'_, PyAny>) -> Result<Option<Bytes>, Failure> {
    if let Ok(list) = result.cast_exact::<PyList>() {
        return join(list.iter()).map(Some);
    }
    if let Ok(tuple) = result.cast_exact::<PyTuple>() {
        return join(tuple.iter()).map(Some);
    }
    Ok(None)
}

fn join<'py>(
    mut chunks: impl ExactSizeIterator<Item = Bound<'py, PyAny>>,
) -> Result<Bytes, Failure> {
    if chunks.len() == 1 {
        return chunks.next().map_or(Ok(Bytes::new()), |chunk| bytes_of(&chunk));
    }
    let chunks = chunks.map(|chunk| bytes_of(&chunk)).collect::<Result<Vec<_>, _>>()?;
    Ok(chunks.concat().into())
}

fn bytes_of(chunk: &Bound<'_, PyAny>) -> Result<Bytes, Failure> {
    chunk.cast::<PyBytes>().map(share).map_err(|_| {
        Failure::Contract(format!("the body must consist of bytes, not {}", type_name(chunk)))
    })
}

/// Small chunks are copied; large ones are lent, and given back when they have left.
pub(crate) fn share(chunk: &Bound<'_, PyBytes>) -> Bytes {
    let bytes = chunk.as_bytes();
    // To give a subclass back may run code of the application, anywhere.
    if bytes.len() < LEND || !chunk.is_exact_instance_of::<PyBytes>() {
        return Bytes::copy_from_slice(bytes);
    }
    Bytes::from_owner(PyBackedBytes::from(chunk.clone()))
}
