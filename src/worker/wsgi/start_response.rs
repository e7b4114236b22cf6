//! `start_response`, and the `write` that it returns.

use std::sync::Arc;

use http::header::CONTENT_LENGTH;
use http::{HeaderMap, Response, StatusCode};
use hyper::ext::ReasonPhrase;
use pyo3::exceptions::{PyAssertionError, PyTypeError, PyValueError};
use pyo3::prelude::*;
use pyo3::types::{PyBytes, PyList, PyString, PyTuple};
use rwsgi_protocol::{header, status};

use crate::ffi::to_latin1;
use crate::wsgi::body::share;
use crate::wsgi::reply::Reply;

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
        match exc_info {
            // PEP 3333: after the head is out, the exception goes on its way.
            Some(exc_info) if self.reply.is_sent() => return Err(raised(exc_info)),
            None if self.reply.has_head() => {
                return Err(PyAssertionError::new_err(
                    "start_response was called a second time without exc_info (PEP 3333)",
                ));
            }
            Some(_) | None => {}
        }
        self.reply.set_head(head(status, fields)?);
        Ok(())
    }

    fn write(&self, py: Python<'_>, data: &Bound<'_, PyAny>) -> PyResult<()> {
        let Ok(data) = data.cast::<PyBytes>() else {
            return Err(PyTypeError::new_err(format!(
                "write() takes bytes, not {} (PEP 3333)",
                type_name(data)
            )));
        };
        if let Some(head) = self.reply.take_head() {
            self.reply.begin(head);
        } else if !self.reply.is_sent() {
            return Err(PyAssertionError::new_err("write() before start_response (PEP 3333)"));
        }
        // A client that has gone is no error of the application's.
        let _ = self.reply.write(py, share(data));
        Ok(())
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
fn head(status: &Bound<'_, PyAny>, fields: &Bound<'_, PyAny>) -> PyResult<Response<()>> {
    let (code, reason) = parse_status(status)?;
    let mut response = Response::new(());
    *response.status_mut() = code;
    if let Some(reason) = reason {
        response.extensions_mut().insert(reason);
    }
    *response.headers_mut() = parse_fields(fields)?;
    if rwsgi_protocol::response::status_forbids_content(code) {
        response.headers_mut().remove(CONTENT_LENGTH);
    }
    Ok(response)
}

fn parse_status(status: &Bound<'_, PyAny>) -> PyResult<(StatusCode, Option<ReasonPhrase>)> {
    let Ok(text) = status.cast::<PyString>() else {
        return Err(PyTypeError::new_err(format!(
            "the status must be a str such as '200 OK', not {}",
            type_name(status)
        )));
    };
    let bytes = to_latin1(text)?;
    let (code, reason) = status::parse(bytes.as_bytes())
        .map_err(|rule| PyValueError::new_err(format!("bad status {text:?}: {rule}")))?;
    let usual = code.canonical_reason().is_some_and(|usual| usual.as_bytes() == reason);
    let reason = if usual { None } else { ReasonPhrase::try_from(reason).ok() };
    Ok((code, reason))
}

fn parse_fields(fields: &Bound<'_, PyAny>) -> PyResult<HeaderMap> {
    let Ok(list) = fields.cast::<PyList>() else {
        return Err(PyTypeError::new_err(format!(
            "the headers must be a list of (name, value) tuples, not {}",
            type_name(fields)
        )));
    };
    let mut map = HeaderMap::with_capacity(list.len() + 3);
    for item in list {
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
        let field =
            header::response_field(to_latin1(name)?.as_bytes(), to_latin1(value)?.as_bytes());
        match field {
            Ok((name, value)) => drop(map.append(name, value)),
            Err(rule) => {
                return Err(PyValueError::new_err(format!("bad header {item:?}: {rule}")));
            }
        }
    }
    Ok(map)
}

/// The exception that `exc_info` is.
fn raised(exc_info: &Bound<'_, PyAny>) -> PyErr {
    match exc_info.get_item(1) {
        Ok(value) => PyErr::from_value(value),
        Err(error) => error,
    }
}

pub(crate) fn type_name(object: &Bound<'_, PyAny>) -> String {
    object.get_type().name().map_or_else(|_| "an object".into(), |name| name.to_string())
}
