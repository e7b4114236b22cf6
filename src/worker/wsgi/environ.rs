//! The environ of PEP 3333: a copy of a dictionary that has what never changes, and what does.

use std::collections::HashMap;
use std::sync::Arc;

use http::header::COOKIE;
use http::request::Parts;
use http::{HeaderName, Version};
use pyo3::exceptions::PyKeyError;
use pyo3::intern;
use pyo3::prelude::*;
use pyo3::types::{PyDict, PyString, PyTuple};
use rwsgi_protocol::header::environ_key;
use rwsgi_protocol::path::percent_decode;

use crate::accept::Listener;
use crate::ffi::latin1;
use crate::request::{Call, protocol};
use crate::worker::Worker;
use crate::wsgi::file_wrapper::FileWrapper;
use crate::wsgi::input::Input;
use crate::wsgi::stream::LogStream;

/// Header names that are remembered; a client can send any.
const REMEMBERED: usize = 512;

/// Makes environs, on one thread.
pub(crate) struct Environ<'py> {
    py: Python<'py>,
    /// What never changes, for each listener.
    constants: Vec<(Arc<Listener>, Bound<'py, PyDict>)>,
    /// Values that clients send again and again: methods, and the address of a proxy.
    repeated: HashMap<Box<str>, Bound<'py, PyString>>,
    /// Keys of header fields; `None` for those that must not reach the application.
    keys: HashMap<HeaderName, Option<Bound<'py, PyString>>>,
}

impl<'py> Environ<'py> {
    pub(crate) fn new(py: Python<'py>, worker: &Arc<Worker>) -> PyResult<Self> {
        let constant = PyDict::new(py);
        let set = |key: &str, value: Bound<'py, PyAny>| {
            constant.set_item(PyString::intern(py, key), value)
        };
        let boolean =
            |value: bool| value.into_pyobject(py).map(|value| value.to_owned().into_any());
        let text = |value: &str| PyString::intern(py, value).into_any();
        set("SCRIPT_NAME", text(""))?;
        set("SERVER_SOFTWARE", text(concat!("rwsgi/", env!("CARGO_PKG_VERSION"))))?;
        set("wsgi.version", PyTuple::new(py, [1, 0])?.into_any())?;
        set("wsgi.url_scheme", text("http"))?;
        set("wsgi.errors", Bound::new(py, LogStream::errors())?.into_any())?;
        set("wsgi.multithread", boolean(worker.config.threads > 1)?)?;
        set("wsgi.multiprocess", boolean(worker.config.processes > 1)?)?;
        set("wsgi.run_once", boolean(false)?)?;
        set("wsgi.input_terminated", boolean(true)?)?;
        set("wsgi.file_wrapper", py.get_type::<FileWrapper>().into_any())?;
        let for_listener = |listener: &Arc<Listener>| {
            let constant = constant.copy()?;
            constant.set_item(PyString::intern(py, "SERVER_NAME"), &listener.server_name)?;
            constant.set_item(PyString::intern(py, "SERVER_PORT"), &listener.server_port)?;
            constant.set_item(PyString::intern(py, "SERVER_PROTOCOL"), "HTTP/1.1")?;
            Ok((Arc::clone(listener), constant))
        };
        let constants = worker.listeners.iter().map(for_listener).collect::<PyResult<_>>()?;
        Ok(Self { py, constants, repeated: HashMap::new(), keys: HashMap::new() })
    }

    /// The environ of one request.
    pub(crate) fn build(
        &mut self,
        call: &Call,
        input: Bound<'py, Input>,
    ) -> PyResult<Bound<'py, PyDict>> {
        let py = self.py;
        let head = &*call.head;
        let environ = self.constant(&call.connection.listener)?.copy()?;
        let peer = &call.connection.peer;
        environ.set_item(intern!(py, "REQUEST_METHOD"), self.repeated(head.method.as_str())?)?;
        environ.set_item(intern!(py, "REMOTE_ADDR"), self.repeated(&peer.address)?)?;
        let set =
            |key: &Bound<'py, PyString>, value: &[u8]| environ.set_item(key, latin1(py, value)?);
        let target = head.uri.path_and_query();
        set(intern!(py, "PATH_INFO"), &percent_decode(head.uri.path().as_bytes()))?;
        set(intern!(py, "QUERY_STRING"), head.uri.query().unwrap_or("").as_bytes())?;
        set(intern!(py, "REQUEST_URI"), target.map_or("*", |target| target.as_str()).as_bytes())?;
        set(intern!(py, "REMOTE_PORT"), peer.port.as_bytes())?;
        if head.version != Version::HTTP_11 {
            set(intern!(py, "SERVER_PROTOCOL"), protocol(head.version).as_bytes())?;
        }
        environ.set_item(intern!(py, "wsgi.input"), input)?;
        self.fields(head, &environ)?;
        Ok(environ)
    }

    fn constant(&self, listener: &Arc<Listener>) -> PyResult<&Bound<'py, PyDict>> {
        let found = self.constants.iter().find(|(one, _)| Arc::ptr_eq(one, listener));
        found.map(|(_, constant)| constant).ok_or_else(|| PyKeyError::new_err("listener"))
    }

    /// A string that is likely to be needed again.
    fn repeated(&mut self, text: &str) -> PyResult<Bound<'py, PyString>> {
        if let Some(known) = self.repeated.get(text) {
            return Ok(known.clone());
        }
        let string = latin1(self.py, text.as_bytes())?;
        if self.repeated.len() < REMEMBERED {
            self.repeated.insert(text.into(), string.clone());
        }
        Ok(string)
    }

    /// Adds the header fields; repeated ones become one (RFC 9110, section 5.3; cookies: RFC 9113,
    /// section 8.2.3).
    fn fields(&mut self, head: &Parts, environ: &Bound<'py, PyDict>) -> PyResult<()> {
        if head.headers.keys_len() == head.headers.len() {
            for (name, value) in &head.headers {
                if let Some(key) = self.key(name) {
                    environ.set_item(key, latin1(self.py, value.as_bytes())?)?;
                }
            }
            return Ok(());
        }
        for name in head.headers.keys() {
            let Some(key) = self.key(name) else { continue };
            let separator: &[u8] = if name == COOKIE { b"; " } else { b", " };
            let values: Vec<&[u8]> =
                head.headers.get_all(name).iter().map(http::HeaderValue::as_bytes).collect();
            environ.set_item(key, latin1(self.py, &values.join(separator))?)?;
        }
        Ok(())
    }

    fn key(&mut self, name: &HeaderName) -> Option<Bound<'py, PyString>> {
        if let Some(key) = self.keys.get(name) {
            return key.clone();
        }
        let key = environ_key(name.as_str()).map(|key| PyString::intern(self.py, &key));
        if self.keys.len() < REMEMBERED {
            self.keys.insert(name.clone(), key.clone());
        }
        key
    }
}
