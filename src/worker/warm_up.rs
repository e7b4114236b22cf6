//! Requests that the application is asked when it has been imported (`warm-up`), before there are
//! workers: what it does once, with the first request, is done once for all of them, and is in the
//! memory that they share.
//!
//! Nothing that goes wrong with them keeps the application from serving.

use std::ffi::CString;
use std::time::Instant;

use pyo3::prelude::*;
use pyo3::types::PyDict;
use rwsgi_core::config::Config;
use rwsgi_core::config::reloading::Probe;
use rwsgi_core::log::{self, Event};
use rwsgi_protocol::path::percent_decode;

use crate::ffi::latin1;
use crate::mounts::Mounts;
use crate::traceback;
use crate::wsgi::application::Callables;
use crate::wsgi::environ;

const SCRIPT: &str = include_str!("warm_up.py");

/// Asks all of them, one after the other.
pub(crate) fn ask(py: Python<'_>, config: &Config, applications: &Callables) {
    let requests = &config.application.startup.warm_up;
    if requests.is_empty() {
        return;
    }
    let began = Instant::now();
    let mounts = Mounts::new(&config.application);
    for request in requests {
        let problem = match answer(py, config, &mounts, applications, request) {
            Ok(status) if matches!(status.as_bytes(), [b'2' | b'3', ..]) => continue,
            Ok(status) => format!("is answered with {status:?}, expected 2xx or 3xx"),
            Err(error) => format!("is not answered:\n{}", traceback::text(py, &error)),
        };
        let message = format!("GET {} (warm-up) {problem}", request.path);
        log::warning(Event::WarmUp, message.trim_end()).send();
    }
    let micros = u64::try_from(began.elapsed().as_micros()).unwrap_or(u64::MAX);
    let requests = match requests.len() {
        1 => "1 request".to_owned(),
        count => format!("{count} requests"),
    };
    let message = format!("warm-up: {requests} in {} ms", micros / 1000);
    log::info(Event::WarmUp, message).number("DURATION_USEC", micros).send();
}

/// The status of the application's answer.
fn answer(
    py: Python<'_>,
    config: &Config,
    mounts: &Mounts,
    applications: &Callables,
    request: &Probe,
) -> PyResult<String> {
    let (path, query) = request.path.split_once('?').unwrap_or((&request.path, ""));
    let path = percent_decode(path.as_bytes());
    let place = mounts.at(&path);
    let Some(application) = applications.get(place.map_or(0, |place| place.mounted.index)) else {
        return Ok(String::new());
    };
    if place.is_none() && config.application.only_mounts {
        return Ok("404 Not Found".to_owned());
    }
    let prefix = place.map_or("", |place| &place.mounted.prefix);
    let environ = environ(py, config, request)?;
    environ.set_item("SCRIPT_NAME", latin1(py, prefix.as_bytes())?)?;
    environ.set_item("PATH_INFO", latin1(py, path.get(prefix.len()..).unwrap_or_default())?)?;
    environ.set_item("QUERY_STRING", query)?;
    script(py)?.call_method1("ask", (application, environ))?.extract()
}

/// What does not depend on where the application is.
fn environ<'py>(py: Python<'py>, config: &Config, request: &Probe) -> PyResult<Bound<'py, PyDict>> {
    let (name, port) = match request.host.rsplit_once(':') {
        Some((name, port)) if !port.ends_with(']') => (name, port),
        _ => (request.host.as_str(), "80"),
    };
    let environ = environ::constants(py, config)?;
    for (key, value) in [
        ("REQUEST_METHOD", "GET"),
        ("REQUEST_URI", request.path.as_str()),
        ("SERVER_PROTOCOL", "HTTP/1.1"),
        ("SERVER_NAME", name),
        ("SERVER_PORT", port),
        ("REMOTE_ADDR", "127.0.0.1"),
        ("REMOTE_PORT", "0"),
        ("HTTP_HOST", &request.host),
        ("HTTP_USER_AGENT", "rwsgi-warm-up"),
        ("HTTP_ACCEPT", "*/*"),
    ] {
        environ.set_item(key, value)?;
    }
    Ok(environ)
}

fn script(py: Python<'_>) -> PyResult<Bound<'_, PyModule>> {
    let (code, name) = (CString::new(SCRIPT)?, c"rwsgi_warm_up");
    let module = PyModule::from_code(py, &code, c"warm_up.py", name)?;
    py.import("sys")?.getattr("modules")?.call_method1("pop", ("rwsgi_warm_up", py.None()))?;
    Ok(module)
}
