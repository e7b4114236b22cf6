//! The environ of PEP 3333: a copy of a dictionary that has what never changes, and what does.

use std::collections::HashMap;
use std::sync::Arc;

use http::Method;
use pyo3::exceptions::PyKeyError;
use pyo3::intern;
use pyo3::prelude::*;
use pyo3::types::{PyDict, PyString, PyTuple};
use rwsgi_core::config::Config;
use rwsgi_core::hash::Seed;
use rwsgi_protocol::forwarded::Origin;
use rwsgi_protocol::header::{environ_key, http_name, is_forwarding};
use rwsgi_protocol::http1::RequestHead;
use rwsgi_protocol::request::{Changes, Head};
use rwsgi_protocol::scheme::Scheme;
use rwsgi_protocol::uwsgi::{Vars, is_for_applications};

use crate::accept::Listener;
use crate::ffi::latin1;
use crate::mounts::Place;
use crate::origin::Forwarding;
use crate::request::Call;
use crate::worker::Worker;
use crate::wsgi::file_wrapper::FileWrapper;
use crate::wsgi::input::Input;
use crate::wsgi::names::{Key, Names, Walk};
use crate::wsgi::stream::LogStream;

/// Methods, addresses and the like that are remembered; a client can send any.
const REMEMBERED: usize = 512;

/// What each request of HTTP has.
const SET: [&str; 6] =
    ["REQUEST_METHOD", "REQUEST_URI", "PATH_INFO", "QUERY_STRING", "REMOTE_ADDR", "REMOTE_PORT"];
/// Variables from which on CPython makes a dictionary with room for 42, in a table of 64 places.
const ROOMY: usize = 22;

/// Makes environs, on one thread.
pub(crate) struct Environ<'py> {
    py: Python<'py>,
    worker: &'static Worker,
    /// For each listener.
    templates: Vec<Template<'py>>,
    /// What clients send again and again, methods and addresses, and names that rules give.
    repeated: HashMap<Box<str>, Bound<'py, PyString>, Seed>,
    /// Of header fields, in the case in which they come.
    fields: Names<'py>,
    /// Of the variables of web servers.
    variables: Names<'py>,
}

/// What environs of a listener begin with.
struct Template<'py> {
    listener: Arc<Listener>,
    /// What never changes.
    constant: Bound<'py, PyDict>,
    /// The same with what most requests by HTTP have, which is set anew for all others.
    usual: Bound<'py, PyDict>,
    /// The peer of the last request by HTTP, which often is a proxy.
    address: String,
}

impl<'py> Template<'py> {
    fn new(
        listener: &Arc<Listener>,
        constant: &Bound<'py, PyDict>,
        no_input: &Bound<'py, Input>,
    ) -> PyResult<Self> {
        let (py, constant) = (constant.py(), constant.copy()?);
        let set = |dict: &Bound<'py, PyDict>, key: &str, value: &str| {
            dict.set_item(PyString::intern(py, key), PyString::intern(py, value))
        };
        set(&constant, "SERVER_NAME", &listener.server_name)?;
        set(&constant, "SERVER_PORT", &listener.server_port)?;
        set(&constant, "SERVER_PROTOCOL", "HTTP/1.1")?;
        constant.set_item(intern!(py, "wsgi.input"), no_input)?;
        let usual = constant.copy()?;
        make_room(&constant, &["PATH_INFO"])?;
        make_room(&usual, &SET)?;
        set(&usual, "REQUEST_METHOD", "GET")?;
        set(&usual, "QUERY_STRING", "")?;
        set(&usual, "REMOTE_ADDR", "")?;
        let (listener, address) = (Arc::clone(listener), String::new());
        Ok(Self { listener, constant, usual, address })
    }

    /// The environ of a request by HTTP from `address`, as far as it can be told of all.
    fn copy_for(&mut self, address: &str) -> PyResult<Bound<'py, PyDict>> {
        if self.address != address {
            let py = self.usual.py();
            let said = latin1(py, address.as_bytes())?;
            self.usual.set_item(intern!(py, "REMOTE_ADDR"), said)?;
            self.address.clear();
            self.address.push_str(address);
        }
        self.usual.copy()
    }
}

/// Prepares a dictionary for being copied: a variable that is there costs less to set than one that comes, so
/// those that are always `set` are, and its copies have room for the fields of a browser, as they get tables
/// of the same size.
fn make_room(constant: &Bound<'_, PyDict>, set: &[&str]) -> PyResult<()> {
    let py = constant.py();
    for key in set {
        constant.set_item(PyString::intern(py, key), py.None())?;
    }
    let more: Vec<_> = (constant.len()..ROOMY).map(|number| format!("rwsgi.{number}")).collect();
    for key in &more {
        constant.set_item(key, py.None())?;
    }
    more.iter().try_for_each(|key| constant.del_item(key))
}

/// What has nothing to do with a request or a listener.
pub(crate) fn constants<'py>(py: Python<'py>, config: &Config) -> PyResult<Bound<'py, PyDict>> {
    let constant = PyDict::new(py);
    let set =
        |key: &str, value: Bound<'py, PyAny>| constant.set_item(PyString::intern(py, key), value);
    let boolean = |value: bool| value.into_pyobject(py).map(|value| value.to_owned().into_any());
    let text = |value: &str| PyString::intern(py, value).into_any();
    set("SCRIPT_NAME", text(""))?;
    set("SERVER_SOFTWARE", text(concat!("rwsgi/", env!("CARGO_PKG_VERSION"))))?;
    set("wsgi.version", PyTuple::new(py, [1, 0])?.into_any())?;
    set("wsgi.url_scheme", text("http"))?;
    set("wsgi.errors", Bound::new(py, LogStream::errors())?.into_any())?;
    set("wsgi.multithread", boolean(config.threads > 1)?)?;
    set("wsgi.multiprocess", boolean(config.processes > 1)?)?;
    set("wsgi.run_once", boolean(false)?)?;
    set("wsgi.input_terminated", boolean(true)?)?;
    set("wsgi.file_wrapper", py.get_type::<FileWrapper>().into_any())?;
    Ok(constant)
}

impl<'py> Environ<'py> {
    pub(crate) fn new(py: Python<'py>, worker: &'static Worker) -> PyResult<Self> {
        let constant = constants(py, &worker.config)?;
        let no_input = Bound::new(py, Input::empty())?;
        let template = |listener| Template::new(listener, &constant, &no_input);
        let templates = worker.listeners.iter().map(template).collect::<PyResult<_>>()?;
        Ok(Self {
            py,
            worker,
            templates,
            repeated: HashMap::default(),
            fields: Names::new(),
            variables: Names::new(),
        })
    }

    /// The environ of one request; without `input` its body is empty.
    pub(crate) fn build(
        &mut self,
        call: &Call,
        input: Option<Bound<'py, Input>>,
    ) -> PyResult<Bound<'py, PyDict>> {
        let request = &*call.request;
        let template = self.template(&call.connection.listener)?;
        let environ = match &request.head {
            Head::Http(_) => template.copy_for(&call.connection.peer().address)?,
            Head::Uwsgi { .. } => template.constant.copy()?,
        };
        if let Some(input) = input {
            environ.set_item(intern!(self.py, "wsgi.input"), input)?;
        }
        match &request.head {
            Head::Http(head) => {
                self.target(call, head, &environ)?;
                self.fields(call, head, &environ)?;
                if let Some(host) = head.authority() {
                    // RFC 9112, section 3.2.2: then the Host field does not count.
                    environ.set_item(intern!(self.py, "HTTP_HOST"), latin1(self.py, host)?)?;
                }
            }
            Head::Uwsgi { vars, .. } => self.variables(call, vars, &environ)?,
        }
        if request.origin != Origin::default() {
            self.origin(&request.origin, &environ)?;
        }
        Ok(environ)
    }

    /// Takes the prefix of its mount off the path, if it is in there.
    pub(crate) fn mount(
        &mut self,
        call: &Call,
        place: Place<'_>,
        environ: &Bound<'py, PyDict>,
    ) -> PyResult<()> {
        if !place.splits {
            return Ok(());
        }
        let prefix = &place.mounted.prefix;
        let path = call.request.path_info();
        let rest = path.get(prefix.len()..).unwrap_or_default();
        environ.set_item(intern!(self.py, "PATH_INFO"), latin1(self.py, rest)?)?;
        // As PATH_INFO: each byte is a character.
        environ.set_item(intern!(self.py, "SCRIPT_NAME"), latin1(self.py, prefix.as_bytes())?)
    }

    /// Sets what rules have set.
    pub(crate) fn change(
        &mut self,
        changes: &Changes,
        environ: &Bound<'py, PyDict>,
    ) -> PyResult<()> {
        for (name, value) in &changes.variables {
            environ.set_item(self.repeated(name)?, latin1(self.py, value)?)?;
        }
        Ok(())
    }

    /// Request line and peer.
    fn target(
        &mut self,
        call: &Call,
        head: &RequestHead,
        environ: &Bound<'py, PyDict>,
    ) -> PyResult<()> {
        let py = self.py;
        let request = &*call.request;
        if request.method != Method::GET {
            let method = self.repeated(request.method.as_str())?;
            environ.set_item(intern!(py, "REQUEST_METHOD"), method)?;
        }
        let set =
            |key: &Bound<'py, PyString>, value: &[u8]| environ.set_item(key, latin1(py, value)?);
        let (target, path) = (head.target(), request.path_info());
        let uri = latin1(py, target)?;
        if *path == *target {
            environ.set_item(intern!(py, "PATH_INFO"), &uri)?;
        } else {
            set(intern!(py, "PATH_INFO"), &path)?;
        }
        environ.set_item(intern!(py, "REQUEST_URI"), uri)?;
        let (_, query) = head.path_and_query();
        if !query.is_empty() {
            set(intern!(py, "QUERY_STRING"), query)?;
        }
        set(intern!(py, "REMOTE_PORT"), call.connection.peer().port.as_bytes())?;
        if head.is_1_0() {
            set(intern!(py, "SERVER_PROTOCOL"), request.protocol().as_bytes())?;
        }
        Ok(())
    }

    /// What a web server says by the uwsgi protocol.
    fn variables(
        &mut self,
        call: &Call,
        vars: &Vars,
        environ: &Bound<'py, PyDict>,
    ) -> PyResult<()> {
        let py = self.py;
        let mut walk = Walk::default();
        for (name, value) in vars.iter() {
            let is_done = match self.variables.find(name, &mut walk) {
                Some(known) => known.is_dropped() || known.set(environ, value)?,
                None => false,
            };
            if !is_done && let Some(key) = self.key_of_variable(call, name) {
                environ.set_item(key, latin1(py, value)?)?;
            }
        }
        environ.set_item(intern!(py, "PATH_INFO"), latin1(py, &call.request.path_info())?)?;
        let scheme = match vars.scheme() {
            // As it is already.
            Scheme::Http => return Ok(()),
            Scheme::Https => intern!(py, "https"),
        };
        environ.set_item(intern!(py, "wsgi.url_scheme"), scheme)
    }

    /// What trusted proxies say of the client.
    fn origin(&mut self, origin: &Origin, environ: &Bound<'py, PyDict>) -> PyResult<()> {
        let py = self.py;
        if let Some(client) = origin.client {
            environ.set_item(intern!(py, "REMOTE_ADDR"), self.repeated(&client.to_string())?)?;
            let port = origin.port.map(|port| port.to_string()).unwrap_or_default();
            environ.set_item(intern!(py, "REMOTE_PORT"), port)?;
        }
        if let Some(scheme) = origin.scheme {
            environ.set_item(intern!(py, "wsgi.url_scheme"), scheme.as_str())?;
        }
        if let Some(host) = &origin.host {
            environ.set_item(intern!(py, "HTTP_HOST"), latin1(py, host.as_bytes())?)?;
        }
        if let Some(port) = origin.server_port {
            environ.set_item(intern!(py, "SERVER_PORT"), port.to_string())?;
        }
        Ok(())
    }

    fn template(&mut self, listener: &Arc<Listener>) -> PyResult<&mut Template<'py>> {
        let templates = || self.templates.iter();
        let found = templates().position(|one| Arc::ptr_eq(&one.listener, listener));
        // A probe comes from a listener that is none, and says that it is one of them.
        let found =
            found.or_else(|| templates().position(|one| one.listener.has_name_of(listener)));
        let template = found.and_then(|place| self.templates.get_mut(place));
        template.ok_or_else(|| PyKeyError::new_err("listener"))
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
    fn fields(
        &mut self,
        call: &Call,
        head: &RequestHead,
        environ: &Bound<'py, PyDict>,
    ) -> PyResult<()> {
        let (mut length, mut walk) = (environ.len(), Walk::default());
        for (name, value) in head.fields() {
            let is_set = match self.fields.find(name, &mut walk) {
                Some(known) => known.set(environ, value)?,
                None => false,
            };
            if is_set {
                length += 1;
            } else if let Some(key) = self.key_of(call, name) {
                environ.set_item(key, latin1(self.py, value)?)?;
                length += 1;
            }
        }
        // Fewer than that: a later field has taken the place of one of the same name.
        if environ.len() == length { Ok(()) } else { self.repeated_fields(call, head, environ) }
    }

    fn repeated_fields(
        &mut self,
        call: &Call,
        head: &RequestHead,
        environ: &Bound<'py, PyDict>,
    ) -> PyResult<()> {
        for (index, (name, _)) in head.fields().enumerate() {
            let mut before = head.fields().take(index);
            if before.any(|(other, _)| other.eq_ignore_ascii_case(name)) {
                continue;
            }
            let Some(key) = self.key_of(call, name) else { continue };
            let separator: &[u8] = if name.eq_ignore_ascii_case(b"cookie") { b"; " } else { b", " };
            let same = head.fields().filter(|(other, _)| other.eq_ignore_ascii_case(name));
            let values: Vec<&[u8]> = same.map(|(_, value)| value).collect();
            if values.len() > 1 {
                environ.set_item(key, latin1(self.py, &values.join(separator))?)?;
            }
        }
        Ok(())
    }

    /// The variable that a field becomes in the environ of this request, if it does.
    fn key_of(&mut self, call: &Call, name: &[u8]) -> Option<Bound<'py, PyString>> {
        match self.key(name) {
            Key::Dropped => None,
            Key::Plain(key) => Some(key),
            Key::Forwarding(key) => {
                let (origins, connection) = (&self.worker.origins, &call.connection);
                let kept = origins.forwarding(connection, &call.request) == Forwarding::Kept;
                let name = String::from_utf8_lossy(name).to_ascii_lowercase();
                if !kept {
                    origins.cleared(connection, &name);
                }
                (kept && origins.sets(&name)).then_some(key)
            }
        }
    }

    fn key(&mut self, name: &[u8]) -> Key<'py> {
        if let Some(known) = self.fields.get(name) {
            return known.key.clone();
        }
        // The guard passes ASCII only.
        let text = String::from_utf8_lossy(name);
        let is_remembered = self.fields.have_room();
        let key = match environ_key(&text) {
            None => Key::Dropped,
            Some(key) if is_forwarding(&text) => Key::Forwarding(self.string(&key, is_remembered)),
            Some(key) => Key::Plain(self.string(&key, is_remembered)),
        };
        if is_remembered {
            self.fields.add(name, key.clone());
        }
        key
    }

    /// The variable that one of a web server becomes in the environ of this request, if it does.
    fn key_of_variable(&mut self, call: &Call, name: &[u8]) -> Option<Bound<'py, PyString>> {
        match self.variable(name) {
            Key::Dropped => None,
            Key::Plain(key) => Some(key),
            Key::Forwarding(key) => {
                let (origins, connection) = (&self.worker.origins, &call.connection);
                let kept = origins.forwarding_of_variables(connection, &call.request);
                let is_set = || http_name(name).is_some_and(|field| origins.sets(field.as_str()));
                (kept == Forwarding::Kept && is_set()).then_some(key)
            }
        }
    }

    fn variable(&mut self, name: &[u8]) -> Key<'py> {
        if let Some(known) = self.variables.get(name) {
            return known.key.clone();
        }
        let is_remembered = self.variables.have_room();
        let text = String::from_utf8_lossy(name);
        let key = match &*text {
            // What it is below the mount point is set for itself.
            "PATH_INFO" => Key::Dropped,
            _ if !is_for_applications(name) => Key::Dropped,
            text if text == "HTTP_FORWARDED" || text.starts_with("HTTP_X_FORWARDED_") => {
                Key::Forwarding(self.string(text, is_remembered))
            }
            text => Key::Plain(self.string(text, is_remembered)),
        };
        if is_remembered {
            self.variables.add(name, key.clone());
        }
        key
    }

    /// A key of environs. A Python may keep what is interned for ever, and clients think of any name.
    fn string(&self, key: &str, is_remembered: bool) -> Bound<'py, PyString> {
        if is_remembered { PyString::intern(self.py, key) } else { PyString::new(self.py, key) }
    }
}
