//! What an application can import here and nowhere else.
//!
//! - `rwsgi`: `RequestTimeout`, `set_deadline(seconds)`, `request_id()`, `__version__`,
//!   and below it `rwsgi.logging`;
//! - `uwsgi` and `uwsgidecorators`, unless `uwsgi-module = false`: uWSGI's names. What is not behind
//!   them says what to use instead ([`crate::missing`]).

use std::os::fd::{AsRawFd, OwnedFd};
use std::sync::atomic::{AtomicI32, Ordering::Relaxed};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use pyo3::exceptions::{PyOSError, PyRuntimeError, PyTypeError, PyValueError};
use pyo3::prelude::*;
use pyo3::types::{PyBytes, PyDict, PyString};
use rwsgi_core::config::Config;
use rwsgi_core::config::exported::{Exported, exported};
use rwsgi_core::ipc::Failure;
use rwsgi_core::log::{self, Event};
use rwsgi_core::title;
use rwsgi_protocol::notes::MOST_NAMES;

use crate::identity;
use crate::overtime::{Limit, Overtime, RequestTimeout};
use crate::{cache, commons, logging, missing, request, signals, traceback};

/// The version of uWSGI whose names these are.
const UWSGI: (u32, u32, u32) = (2, 0, 30);

const DECORATORS: &std::ffi::CStr = match std::ffi::CStr::from_bytes_with_nul(
    concat!(include_str!("uwsgidecorators.py"), "\0").as_bytes(),
) {
    Ok(source) => source,
    Err(_) => c"",
};

static MASTER: AtomicI32 = AtomicI32::new(0);

/// Makes the modules, before the application is imported.
pub(crate) fn install(
    py: Python<'_>,
    config: &Config,
    listeners: &[OwnedFd],
    caches: Vec<OwnedFd>,
    is_reload: bool,
) -> PyResult<()> {
    MASTER.store(nix::unistd::getppid().as_raw(), Relaxed);
    let modules = py.import("sys")?.getattr("modules")?;
    let own = PyModule::new(py, "rwsgi")?;
    own.add("RequestTimeout", py.get_type::<RequestTimeout>())?;
    own.add("__version__", rwsgi_core::VERSION)?;
    own.add_function(wrap_pyfunction!(set_deadline, &own)?)?;
    own.add_function(wrap_pyfunction!(request_id, &own)?)?;
    logging::install(&own)?;
    modules.set_item("rwsgi", &own)?;
    if config.uwsgi_module {
        let module = uwsgi(py, config)?;
        module.add("sockets", listeners.iter().map(AsRawFd::as_raw_fd).collect::<Vec<_>>())?;
        module.add("is_a_reload", is_reload)?;
        cache::install(&module, &config.caches, caches)?;
        modules.set_item("uwsgi", module)?;
        PyModule::from_code(py, DECORATORS, c"uwsgidecorators.py", c"uwsgidecorators")?;
    }
    Ok(())
}

fn uwsgi<'py>(py: Python<'py>, config: &Config) -> PyResult<Bound<'py, PyModule>> {
    let module = PyModule::new(py, "uwsgi")?;
    let (major, minor, patch) = UWSGI;
    module.add("version", PyBytes::new(py, format!("{major}.{minor}.{patch}").as_bytes()))?;
    module.add("version_info", (major, minor, patch, 0, PyBytes::new(py, b"")))?;
    module.add("opt", options(py, config)?)?;
    module.add("numproc", config.processes)?;
    module.add("cores", config.threads)?;
    module.add("has_threads", true)?;
    module.add("buffer_size", config.http.head_bytes)?;
    let host = nix::unistd::gethostname().unwrap_or_default();
    module.add("hostname", PyBytes::new(py, host.as_encoded_bytes()))?;
    if let Some(pidfile) = &config.process.pidfile {
        module.add("pidfile", PyBytes::new(py, pidfile.as_os_str().as_encoded_bytes()))?;
    }
    for nothing in ["applications", "loop", "unbit"] {
        module.add(nothing, py.None())?;
    }
    module.add("magic_table", PyDict::new(py))?;
    for (name, number) in [("SPOOL_OK", -2), ("SPOOL_RETRY", -1), ("SPOOL_IGNORE", 0)] {
        module.add(name, number)?;
    }
    commons::install(&module)?;
    signals::install(&module)?;
    missing::install(&module)?;
    module.add_function(wrap_pyfunction!(masterpid, &module)?)?;
    module.add_function(wrap_pyfunction!(reload, &module)?)?;
    module.add_function(wrap_pyfunction!(stop, &module)?)?;
    module.add_function(wrap_pyfunction!(log_message, &module)?)?;
    module.add_function(wrap_pyfunction!(set_logvar, &module)?)?;
    module.add_function(wrap_pyfunction!(get_logvar, &module)?)?;
    module.add_function(wrap_pyfunction!(setprocname, &module)?)?;
    module.add_function(wrap_pyfunction!(set_user_harakiri, &module)?)?;
    module.add_function(wrap_pyfunction!(disconnect, &module)?)?;
    module.add_function(wrap_pyfunction!(accepting, &module)?)?;
    module.add_function(wrap_pyfunction!(ready, &module)?)?;
    module.add_function(wrap_pyfunction!(micros, &module)?)?;
    module.add_function(wrap_pyfunction!(cl, &module)?)?;
    module.add_function(wrap_pyfunction!(logsize, &module)?)?;
    module.add_function(wrap_pyfunction!(mule_id, &module)?)?;
    module.add_function(wrap_pyfunction!(in_farm, &module)?)?;
    module.add_function(wrap_pyfunction!(i_am_the_spooler, &module)?)?;
    Ok(module)
}

fn options<'py>(py: Python<'py>, config: &Config) -> PyResult<Bound<'py, PyDict>> {
    let all = PyDict::new(py);
    for (name, value) in exported(&config.options) {
        match value {
            Exported::On => all.set_item(name, true)?,
            Exported::Text(text) => all.set_item(name, PyBytes::new(py, text.as_bytes()))?,
        }
    }
    Ok(all)
}

/// The application is imported, and nothing is served yet: calls its post-fork hooks.
pub(crate) fn after_fork(py: Python<'_>) -> Result<(), Failure> {
    call_post_fork_hooks(py).map_err(|error| {
        let summary = "a post-fork hook of the application has failed".to_owned();
        traceback::failure(py, &error, summary)
    })
}

/// Both the one that was assigned to `uwsgi.post_fork_hook` and those of `uwsgidecorators`, which in
/// uWSGI the later one of them would silence.
fn call_post_fork_hooks(py: Python<'_>) -> PyResult<()> {
    let hook = attribute(py, "uwsgi", "post_fork_hook")?;
    let chain = attribute(py, "uwsgidecorators", "postfork_chain_hook")?;
    if let Some(hook) = &hook {
        hook.call0()?;
    }
    match chain {
        Some(chain) if hook.is_none_or(|hook| !hook.is(&chain)) => chain.call0().map(drop),
        _ => Ok(()),
    }
}

/// The worker ends: calls `uwsgi.atexit`.
pub(crate) fn at_exit(py: Python<'_>) {
    let called = attribute(py, "uwsgi", "atexit")
        .and_then(|hook| hook.map_or(Ok(()), |hook| hook.call0().map(drop)));
    if let Err(error) = called {
        traceback::entry(py, &error, "uwsgi.atexit: ").send();
    }
}

/// An attribute of a module, if that was imported and has it, and it is not None.
fn attribute<'py>(
    py: Python<'py>,
    module: &str,
    name: &str,
) -> PyResult<Option<Bound<'py, PyAny>>> {
    let module = py.import("sys")?.getattr("modules")?.call_method1("get", (module,))?;
    if module.is_none() {
        return Ok(None);
    }
    Ok(module.getattr_opt(name)?.filter(|value| !value.is_none()))
}

/// The name of the request that this thread works on, as the log has it; None when it works on none.
#[pyfunction]
fn request_id() -> Option<String> {
    request::current_id().map(|id| id.to_string())
}

/// Gives the request that this thread works on `seconds` from now on instead of what `harakiri`
/// says; None: for ever.
#[pyfunction]
fn set_deadline(py: Python<'_>, seconds: Option<f64>) -> PyResult<()> {
    let limit = match seconds {
        None => Limit::Never,
        Some(seconds) => match Duration::try_from_secs_f64(seconds) {
            Ok(time) if !time.is_zero() => {
                Limit::In(time.min(Duration::from_secs(u32::MAX.into())))
            }
            _ => {
                return Err(PyValueError::new_err(
                    "set_deadline() takes seconds, more than 0, or None for no limit",
                ));
            }
        },
    };
    set_limit(py, "rwsgi.set_deadline()", limit)
}

/// Gives the request that this thread works on `seconds` from now on; 0: `harakiri` counts anew.
#[pyfunction]
fn set_user_harakiri(py: Python<'_>, seconds: i64) -> PyResult<()> {
    let limit = match u32::try_from(seconds) {
        Ok(0) => Limit::Configured,
        Ok(seconds) => Limit::In(Duration::from_secs(seconds.into())),
        Err(_) => {
            return Err(PyValueError::new_err(
                "set_user_harakiri() takes seconds, or 0 for what `harakiri` says",
            ));
        }
    };
    set_limit(py, "uwsgi.set_user_harakiri()", limit)
}

fn set_limit(py: Python<'_>, name: &str, limit: Limit) -> PyResult<()> {
    if Overtime::limit(py, limit)? {
        return Ok(());
    }
    Err(PyRuntimeError::new_err(format!(
        "{name} is for the thread of a request, while it works on one"
    )))
}

#[pyfunction]
fn masterpid() -> i32 {
    MASTER.load(Relaxed)
}

/// As SIGHUP: imports the application anew and replaces the workers.
#[pyfunction]
fn reload() -> PyResult<bool> {
    signal_master(Signal::SIGHUP)
}

/// As SIGTERM: ends the instance when its requests have ended.
#[pyfunction]
fn stop() -> PyResult<bool> {
    signal_master(Signal::SIGTERM)
}

fn signal_master(signal: Signal) -> PyResult<bool> {
    let master = Pid::from_raw(masterpid());
    kill(master, signal)
        .map(|()| true)
        .map_err(|error| PyOSError::new_err((error as i32, error.desc())))
}

/// Into the log, as it is.
#[pyfunction]
#[pyo3(name = "log")]
fn log_message(message: &str) -> bool {
    identity::about_current(log::info(Event::ApplicationOutput, message)).send();
    true
}

/// A text, or bytes: argument `number` of `function`.
fn words(function: &str, number: u8, value: &Bound<'_, PyAny>) -> PyResult<Vec<u8>> {
    if let Ok(text) = value.cast::<PyString>() {
        return Ok(text.extract::<String>()?.into_bytes());
    }
    if let Ok(bytes) = value.cast::<PyBytes>() {
        return Ok(bytes.as_bytes().to_vec());
    }
    let name = value.get_type().name()?;
    let message = format!("{function}() argument {number} must be str or bytes, not {name}");
    Err(PyTypeError::new_err(message))
}

/// Gives `%(name)` of `log-format` a value, for the request that this thread works on.
#[pyfunction]
fn set_logvar(name: &Bound<'_, PyAny>, value: &Bound<'_, PyAny>) -> PyResult<()> {
    let (name, value) = (words("set_logvar", 1, name)?, words("set_logvar", 2, value)?);
    let Some((request, _)) = request::current() else {
        return Err(PyRuntimeError::new_err(
            "uwsgi.set_logvar() is for the thread of a request, while it works on one",
        ));
    };
    if request.notes.set(&name, &value) {
        return Ok(());
    }
    let message = format!("uwsgi.set_logvar(): this request has {MOST_NAMES} variables already");
    Err(PyValueError::new_err(message))
}

/// What [`set_logvar`] was told last, or None.
#[pyfunction]
fn get_logvar<'py>(name: &Bound<'py, PyAny>) -> PyResult<Option<Bound<'py, PyBytes>>> {
    let key = words("get_logvar", 1, name)?;
    let value = request::current().and_then(|(request, _)| request.notes.get(&key));
    Ok(value.map(|value| PyBytes::new(name.py(), &value)))
}

/// What ps(1) calls this process.
#[pyfunction]
fn setprocname(name: &str) -> PyResult<()> {
    Ok(title::set(name)?)
}

/// The response of the request that this thread works on is what was said so far, and its client is
/// waited for no longer; the application goes on.
#[pyfunction]
fn disconnect(py: Python<'_>) -> PyResult<()> {
    let Some((_, reply)) = request::current() else {
        return Err(PyRuntimeError::new_err(
            "uwsgi.disconnect() is for the thread of a request, while it works on one",
        ));
    };
    py.detach(|| reply.disconnect());
    Ok(())
}

/// Workers accept when they have a thread: there is nothing to be told.
#[pyfunction]
fn accepting() {}

#[pyfunction]
fn ready() -> bool {
    true
}

/// Microseconds since the epoch.
#[pyfunction]
fn micros() -> u64 {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    u64::try_from(now.as_micros()).unwrap_or(u64::MAX)
}

/// The Content-Length of the request that this thread works on; 0 without.
#[pyfunction]
fn cl() -> u64 {
    let length = |request: &rwsgi_protocol::request::Request| {
        request.field(&http::header::CONTENT_LENGTH).and_then(rwsgi_protocol::header::number)
    };
    request::current().and_then(|(request, _)| length(&request)).unwrap_or(0)
}

/// The log is the master's: its size is not this process's to know.
#[pyfunction]
fn logsize() -> u64 {
    0
}

/// No worker is a mule.
#[pyfunction]
fn mule_id() -> u32 {
    0
}

#[pyfunction]
#[pyo3(signature = (_name=None))]
fn in_farm(_name: Option<&str>) -> bool {
    false
}

#[pyfunction]
fn i_am_the_spooler() -> bool {
    false
}
