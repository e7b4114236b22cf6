//! `start_response`, and the `write` that it returns.

use std::cell::RefCell;
use std::rc::Rc;
use std::sync::Arc;

use http::header::CONTENT_LENGTH;
use http::{HeaderMap, HeaderName, HeaderValue, Response, StatusCode};
use hyper::ext::ReasonPhrase;
use pyo3::exceptions::{PyAssertionError, PyTypeError, PyValueError};
use pyo3::prelude::*;
use pyo3::types::{PyBytes, PyList, PyString, PyTuple};
use rwsgi_protocol::response::status_forbids_content;
use rwsgi_protocol::{header, status};

use crate::ffi::{ascii, to_latin1};
use crate::wsgi::body::share;
use crate::wsgi::known::Known;
use crate::wsgi::lines::{Draft, Head, Lines, Name};
use crate::wsgi::reply::Reply;

thread_local! {
    /// Applications give the same objects again and again: what they were found to be.
    static STATUS: RefCell<Known<(StatusCode, Option<ReasonPhrase>), 4>> = RefCell::default();
    static NAMES: RefCell<Known<Rc<Name>, 256>> = RefCell::default();
}

const NOT_LATIN_1: &str = "it has characters beyond latin-1 (PEP 3333)";

/// `start_response(status, headers[, exc_info])`. It returns itself: called with one argument it is
/// the `write(data)` callable, so that a request costs one object and not two.
#[pyclass(frozen, name = "start_response")]
pub(crate) struct StartResponse {
    reply: Arc<Reply>,
}

impl StartResponse {
    pub(crate) fn new(reply: Arc<Reply>) -> Self {
        Self { reply }
    }

    fn start(
        &self,
        status: &Bound<'_, PyAny>,
        fields: &Bound<'_, PyAny>,
        exc_info: Option<&Bound<'_, PyAny>>,
    ) -> PyResult<()> {
        let again = exc_info.is_some();
        match head(status, fields) {
            Ok(head) => {
                if self.reply.call(again, Some(head)) {
                    return Ok(());
                }
            }
            Err(error) => {
                if self.reply.call(again, None) {
                    return Err(error);
                }
            }
        }
        Err(match exc_info {
            // PEP 3333: after the head is out, the exception goes on its way.
            Some(exc_info) => raised(exc_info),
            None => PyAssertionError::new_err(
                "start_response was called a second time without exc_info (PEP 3333)",
            ),
        })
    }

    fn write(&self, py: Python<'_>, data: &Bound<'_, PyAny>) -> PyResult<()> {
        let Ok(data) = data.cast::<PyBytes>() else {
            let kind = type_name(data);
            let message = if self.reply.is_called() {
                format!("write() takes bytes, not {kind} (PEP 3333)")
            } else {
                "start_response takes a status and a list of headers (PEP 3333)".to_owned()
            };
            return Err(PyTypeError::new_err(message));
        };
        if self.reply.is_ended() {
            return Err(PyAssertionError::new_err("write() after the end of the response"));
        }
        if let Some(head) = self.reply.take_head() {
            self.reply.begin(head.into_map());
        } else if !self.reply.is_sent() {
            return Err(PyAssertionError::new_err("write() before start_response (PEP 3333)"));
        }
        // A client that has gone is no error of the application's.
        let _ = self.reply.write(py, share(data));
        match self.reply.exceeded() {
            Some(length) => Err(PyValueError::new_err(format!(
                "write() beyond the Content-Length of {length} (PEP 3333)"
            ))),
            None => Ok(()),
        }
    }
}

#[pymethods]
impl StartResponse {
    #[pyo3(signature = (first, headers=None, exc_info=None, /))]
    fn __call__<'py>(
        this: &Bound<'py, Self>,
        first: &Bound<'py, PyAny>,
        headers: Option<&Bound<'py, PyAny>>,
        exc_info: Option<&Bound<'py, PyAny>>,
    ) -> PyResult<Bound<'py, PyAny>> {
        let py = this.py();
        match headers {
            Some(headers) => {
                let exc_info = exc_info.filter(|exc_info| !exc_info.is_none());
                this.get().start(first, headers, exc_info)?;
                Ok(this.clone().into_any())
            }
            None => {
                this.get().write(py, first)?;
                Ok(py.None().into_bound(py))
            }
        }
    }
}

/// The head of a response out of what the application said.
fn head(status: &Bound<'_, PyAny>, fields: &Bound<'_, PyAny>) -> PyResult<Head> {
    let (code, reason) = parse_status(status)?;
    if !status_forbids_content(code)
        && reason.is_none()
        && let Some(lines) = lines(code, fields)
    {
        return Ok(lines.into());
    }
    let mut response = Response::new(());
    *response.status_mut() = code;
    if let Some(reason) = reason {
        response.extensions_mut().insert(reason);
    }
    *response.headers_mut() = parse_fields(fields)?;
    if status_forbids_content(code) {
        response.headers_mut().remove(CONTENT_LENGTH);
    }
    Ok(response.into())
}

/// The fields as they are, where nothing is to be said about them.
fn lines(status: StatusCode, fields: &Bound<'_, PyAny>) -> Option<Lines> {
    let list = fields.cast_exact::<PyList>().ok()?;
    let mut draft = Draft::new(status);
    NAMES.with_borrow(|names| {
        for index in 0..list.len() {
            let item = list.get_item(index).ok()?;
            let pair = item.cast_exact::<PyTuple>().ok().filter(|pair| pair.len() == 2)?;
            let name = pair.get_borrowed_item(0).ok()?.cast_exact::<PyString>().ok()?;
            let value = pair.get_borrowed_item(1).ok()?.cast_exact::<PyString>().ok()?;
            draft.add(names.get(&name)?, ascii(&value)?)?;
        }
        Some(draft.finish())
    })
}

fn parse_status(status: &Bound<'_, PyAny>) -> PyResult<(StatusCode, Option<ReasonPhrase>)> {
    let Ok(text) = status.cast::<PyString>() else {
        return Err(PyTypeError::new_err(format!(
            "the status must be a str such as '200 OK', not {}",
            type_name(status)
        )));
    };
    if let Some(known) = STATUS.with_borrow(|status| status.get(text).cloned()) {
        return Ok(known);
    }
    let bad = |rule: &str| PyValueError::new_err(format!("bad status {text:?}: {rule}"));
    let bytes = to_latin1(text).map_err(|_| bad(NOT_LATIN_1))?;
    let (code, reason) = status::parse(bytes.as_bytes()).map_err(bad)?;
    let usual = code.canonical_reason().is_some_and(|usual| usual.as_bytes() == reason);
    let reason = if usual { None } else { ReasonPhrase::try_from(reason).ok() };
    STATUS.with_borrow_mut(|status| status.note(text, bytes.as_bytes(), &(code, reason.clone())));
    Ok((code, reason))
}

fn parse_fields(fields: &Bound<'_, PyAny>) -> PyResult<HeaderMap> {
    let Ok(list) = fields.cast::<PyList>() else {
        return Err(PyTypeError::new_err(format!(
            "the headers must be a list of (name, value) tuples, not {}",
            type_name(fields)
        )));
    };
    let too_many = |_| PyValueError::new_err("there are too many headers");
    let mut map = HeaderMap::try_with_capacity(list.len() + 3).map_err(too_many)?;
    for item in list {
        let (name, value) = parse_field(&item)?;
        if name == CONTENT_LENGTH && map.contains_key(CONTENT_LENGTH) {
            return Err(PyValueError::new_err("Content-Length is there twice"));
        }
        map.try_append(name, value).map_err(too_many)?;
    }
    Ok(map)
}

fn parse_field(item: &Bound<'_, PyAny>) -> PyResult<(HeaderName, HeaderValue)> {
    let pair = item.cast::<PyTuple>().ok().filter(|pair| pair.len() == 2);
    let pair = pair.and_then(|pair| Some((pair.get_item(0).ok()?, pair.get_item(1).ok()?)));
    let Some((name, value)) = pair else {
        return Err(PyTypeError::new_err(format!(
            "a header must be a tuple (name, value), not {item:?}"
        )));
    };
    let (Ok(name), Ok(value)) = (name.cast::<PyString>(), value.cast::<PyString>()) else {
        return Err(PyTypeError::new_err(format!(
            "name and value of a header must be str, not {item:?}"
        )));
    };
    // The value may be a secret, or long: the name is enough to find it.
    let bad = |rule: &str| PyValueError::new_err(format!("bad header {name:?}: {rule}"));
    let checked = |name: HeaderName| {
        let checked = match ascii(value) {
            Some(bytes) => header::response_value(&name, bytes),
            None => {
                let bytes = to_latin1(value).map_err(|_| bad(NOT_LATIN_1))?;
                header::response_value(&name, bytes.as_bytes())
            }
        };
        checked.map(|value| (name, value)).map_err(|rule| bad(&rule.to_string()))
    };
    if let Some(known) = NAMES.with_borrow(|names| Some(names.get(name)?.header.clone())) {
        return checked(known);
    }
    let bytes = to_latin1(name).map_err(|_| bad(NOT_LATIN_1))?;
    let parsed = header::response_name(bytes.as_bytes()).map_err(|rule| bad(&rule.to_string()))?;
    NAMES.with_borrow_mut(|names| names.note(name, bytes.as_bytes(), &Name::new(parsed.clone())));
    checked(parsed)
}

/// The exception of `exc_info`, to be raised as PEP 3333 shows it.
fn raised(exc_info: &Bound<'_, PyAny>) -> PyErr {
    let raise = || {
        let traceback = exc_info.get_item(2)?;
        exc_info.get_item(1)?.call_method1("with_traceback", (traceback,))
    };
    match raise() {
        Ok(exception) => PyErr::from_value(exception),
        Err(_) => PyTypeError::new_err(format!(
            "exc_info must be a tuple of sys.exc_info(), not {exc_info:?} (PEP 3333)"
        )),
    }
}

pub(crate) fn type_name(object: &Bound<'_, PyAny>) -> String {
    object.get_type().name().map_or_else(|_| "an object".into(), |name| name.to_string())
}
