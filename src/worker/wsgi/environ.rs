//! The environ of PEP 3333: a copy of a dictionary that has what never changes, and what does.

use std::collections::HashMap;
use std::sync::Arc;

use http::HeaderName;
use http::header::COOKIE;
use http::request::Parts;
use pyo3::intern;
use pyo3::prelude::*;
use pyo3::types::{PyDict, PyString, PyTuple};
use rwsgi_protocol::header::environ_key;
use rwsgi_protocol::path::percent_decode;

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
    constant: Bound<'py, PyDict>,
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
        Ok(Self { py, constant, keys: HashMap::new() })
    }

    /// The environ of one request.
    pub(crate) fn build(
        &mut self,
        call: &Call,
        input: Bound<'py, Input>,
    ) -> PyResult<Bound<'py, PyDict>> {
        let py = self.py;
        let environ = self.constant.copy()?;
        let head = &*call.head;
        let target = head.uri.path_and_query();
        let path = head.uri.path();
        let query = head.uri.query().unwrap_or("");
        let set =
            |key: &Bound<'py, PyString>, value: &[u8]| environ.set_item(key, latin1(py, value)?);
        set(intern!(py, "REQUEST_METHOD"), head.method.as_str().as_bytes())?;
        set(intern!(py, "PATH_INFO"), &percent_decode(path.as_bytes()))?;
        set(intern!(py, "QUERY_STRING"), query.as_bytes())?;
        set(intern!(py, "REQUEST_URI"), target.map_or("*", |target| target.as_str()).as_bytes())?;
        let peer = &call.connection.peer;
        set(intern!(py, "REMOTE_ADDR"), peer.address.as_bytes())?;
        set(intern!(py, "REMOTE_PORT"), peer.port.as_bytes())?;
        let listener = &call.connection.listener;
        set(intern!(py, "SERVER_NAME"), listener.server_name.as_bytes())?;
        set(intern!(py, "SERVER_PORT"), listener.server_port.as_bytes())?;
        set(intern!(py, "SERVER_PROTOCOL"), protocol(head.version).as_bytes())?;
        environ.set_item(intern!(py, "wsgi.input"), input)?;
        self.fields(head, &environ)?;
        Ok(environ)
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
