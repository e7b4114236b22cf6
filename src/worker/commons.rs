//! What workers know of each other by uWSGI's module, and the locks that they share.

use std::os::fd::OwnedFd;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU32, Ordering::Relaxed};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use nix::errno::Errno;
use pyo3::exceptions::{PyOSError, PyRuntimeError, PyValueError};
use pyo3::prelude::*;
use pyo3::types::{PyBytes, PyDict, PyTuple};
use rwsgi_core::commons::{self, Commons, Deed, Entry, Portrait};
use rwsgi_core::config::Config;
use rwsgi_core::lock::SharedLocks;
use rwsgi_core::log::{self, Event};
use rwsgi_core::scoreboard::{Counters, Scoreboard};
use rwsgi_core::sys::Taken;

use crate::{identity, request};

/// How long a thread waits for a lock before it looks whether its request has been given up.
const LOOK: Duration = Duration::from_millis(500);

/// What processes share.
struct Shared {
    commons: Commons,
    board: Scoreboard,
    processes: u32,
    started: u64,
}

static SHARED: OnceLock<Shared> = OnceLock::new();
/// That of this worker.
static ENTRY: OnceLock<Entry> = OnceLock::new();
static NUMBER: AtomicU32 = AtomicU32::new(0);

/// Takes what the master has sent: the memory of both, and the slots of the scoreboard.
///
/// # Errors
/// Those of mmap(2).
pub(crate) fn take(
    commons: OwnedFd,
    board: OwnedFd,
    slots: usize,
    config: &Config,
) -> std::io::Result<()> {
    let shared = Shared {
        commons: Commons::open(commons)?,
        board: Scoreboard::open(board, slots)?,
        processes: config.processes,
        started: now(),
    };
    let _ = SHARED.set(shared);
    Ok(())
}

fn now() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |time| time.as_secs())
}

fn shared() -> PyResult<&'static Shared> {
    SHARED.get().ok_or_else(|| PyRuntimeError::new_err("this process is no part of an instance"))
}

/// From now on this process is worker `number`.
pub(crate) fn become_worker(number: u32) {
    NUMBER.store(number, Relaxed);
}

/// The number of this worker; 0 in the template.
#[pyfunction]
pub(crate) fn worker_id() -> u32 {
    NUMBER.load(Relaxed)
}

/// The worker begins to serve, in this slot of the scoreboard, where so much was counted before.
pub(crate) fn introduce(slot: usize, before: Counters) {
    if let Some(entry) = SHARED.get().and_then(|shared| shared.commons.entry(worker_id())) {
        entry.introduce(nix::unistd::getpid().as_raw(), now(), slot, before);
        let _ = ENTRY.set(entry);
    }
}

/// A request took so long.
pub(crate) fn count_time(took: Duration) {
    if let Some(entry) = ENTRY.get() {
        entry.count_time(took);
    }
}

/// This worker has done this once more.
pub(crate) fn count(deed: Deed) {
    if let Some(entry) = ENTRY.get() {
        entry.count(deed);
    }
}

/// The handler of a signal was called.
pub(crate) fn count_signal() {
    if let Some(entry) = ENTRY.get() {
        entry.count_signal();
    }
}

/// Adds functions and attributes to uWSGI's module.
pub(crate) fn install(module: &Bound<'_, PyModule>) -> PyResult<()> {
    module.add("started_on", shared()?.started)?;
    module.add_function(wrap_pyfunction!(worker_id, module)?)?;
    module.add_function(wrap_pyfunction!(workers, module)?)?;
    module.add_function(wrap_pyfunction!(total_requests, module)?)?;
    module.add_function(wrap_pyfunction!(request_number, module)?)?;
    module.add_function(wrap_pyfunction!(listen_queue, module)?)?;
    module.add_function(wrap_pyfunction!(mem, module)?)?;
    module.add_function(wrap_pyfunction!(lock, module)?)?;
    module.add_function(wrap_pyfunction!(unlock, module)?)?;
    module.add_function(wrap_pyfunction!(is_locked, module)?)?;
    Ok(())
}

/// Resident and virtual memory of this process, in bytes.
#[pyfunction]
fn mem() -> (u64, u64) {
    commons::memory(nix::unistd::getpid().as_raw()).unwrap_or_default()
}

/// A dictionary for each worker that there can be, with uWSGI's keys.
#[pyfunction]
fn workers(py: Python<'_>) -> PyResult<Bound<'_, PyTuple>> {
    let shared = shared()?;
    let one = |number| {
        let entry = shared.commons.entry(number);
        describe(py, number, &entry.map(|one| one.portray(&shared.board)).unwrap_or_default())
    };
    PyTuple::new(py, (1..=shared.processes).map(one).collect::<PyResult<Vec<_>>>()?)
}

fn describe<'py>(
    py: Python<'py>,
    number: u32,
    portrait: &Portrait,
) -> PyResult<Bound<'py, PyDict>> {
    let person = &portrait.person;
    let worker = PyDict::new(py);
    worker.set_item("id", number)?;
    worker.set_item("pid", person.pid)?;
    worker.set_item("requests", person.requests)?;
    worker.set_item("delta_requests", person.requests)?;
    worker.set_item("signals", person.signals)?;
    worker.set_item("exceptions", person.exceptions)?;
    worker.set_item("status", PyBytes::new(py, portrait.status.name().as_bytes()))?;
    worker.set_item("rss", portrait.rss)?;
    worker.set_item("vsz", portrait.vsz)?;
    worker.set_item("running_time", portrait.running_micros())?;
    worker.set_item("last_spawn", person.since)?;
    worker.set_item("respawn_count", portrait.respawns())?;
    worker.set_item("tx", person.bytes_sent)?;
    worker.set_item("avg_rt", portrait.average_micros())?;
    let app = PyDict::new(py);
    app.set_item("id", 0)?;
    app.set_item("modifier1", 0)?;
    app.set_item("mountpoint", PyBytes::new(py, b""))?;
    app.set_item("startup_time", 0)?;
    app.set_item("requests", person.requests)?;
    app.set_item("exceptions", person.exceptions)?;
    app.set_item("chdir", PyBytes::new(py, b""))?;
    worker.set_item("apps", PyTuple::new(py, [app])?)?;
    Ok(worker)
}

/// Requests that all workers together have answered.
#[pyfunction]
fn total_requests() -> PyResult<u64> {
    Ok(shared()?.board.total().requests)
}

/// Requests that this worker has answered.
#[pyfunction]
#[pyo3(name = "request_id")]
fn request_number() -> PyResult<u64> {
    let board = &shared()?.board;
    Ok(ENTRY.get().map_or(0, |entry| entry.read(board).requests))
}

/// Connections that wait to be accepted, at the listener of this number.
#[pyfunction]
#[pyo3(signature = (number=0))]
fn listen_queue(number: usize) -> PyResult<u32> {
    let listeners = request::current()
        .map(|(_, reply)| reply.worker().listeners.get(number).map(|listener| listener.waiting()));
    match listeners {
        Some(Some(waiting)) => Ok(waiting),
        Some(None) => Err(PyValueError::new_err(format!("there is no listener {number}"))),
        None => Err(PyRuntimeError::new_err(
            "uwsgi.listen_queue() is for the thread of a request, while it works on one",
        )),
    }
}

/// The locks, if there is one of this number.
fn locks(number: usize) -> PyResult<&'static SharedLocks> {
    let locks = shared()?.commons.locks();
    if number < locks.count() {
        return Ok(locks);
    }
    let last = locks.count() - 1;
    let message = format!("there is no lock {number}: the last one is {last}; see `locks`");
    Err(PyValueError::new_err(message))
}

fn failed(error: &std::io::Error, name: &str, number: usize) -> PyErr {
    match error.raw_os_error().map(Errno::from_raw) {
        Some(Errno::EDEADLK) => PyRuntimeError::new_err(format!(
            "uwsgi.{name}({number}): this thread has the lock already, and would wait for ever"
        )),
        Some(Errno::EPERM) => PyRuntimeError::new_err(format!(
            "uwsgi.{name}({number}): this thread does not have the lock"
        )),
        Some(errno) => PyOSError::new_err((errno as i32, errno.desc())),
        None => PyOSError::new_err(error.to_string()),
    }
}

/// Waits until this thread has the lock. A thread that has it and ends, or whose process dies, gives it
/// back; the end of a request does not.
#[pyfunction]
#[pyo3(signature = (number=0))]
fn lock(py: Python<'_>, number: usize) -> PyResult<()> {
    let locks = locks(number)?;
    let mut patience = Duration::ZERO;
    loop {
        let taken = py.detach(|| locks.lock(number, patience));
        match taken.map_err(|error| failed(&error, "lock", number))? {
            Taken::Free => return Ok(()),
            Taken::AfterDeath => {
                let message =
                    format!("who had lock {number} of uwsgi.lock() has died with it: it is free");
                identity::about_current(log::warning(Event::ApplicationError, message)).send();
                return Ok(());
            }
            Taken::No => {}
        }
        patience = LOOK;
        // A signal, or RequestTimeout, is only raised where Python code runs.
        py.check_signals()?;
        py.run(c"pass", None, None)?;
    }
}

/// Gives the lock back.
#[pyfunction]
#[pyo3(signature = (number=0))]
fn unlock(number: usize) -> PyResult<()> {
    locks(number)?.unlock(number).map_err(|error| failed(&error, "unlock", number))
}

/// Whether somebody has the lock.
#[pyfunction]
#[pyo3(signature = (number=0))]
fn is_locked(number: usize) -> PyResult<bool> {
    let found = locks(number)?.look(number);
    found.map(|found| found == Taken::No).map_err(|error| failed(&error, "is_locked", number))
}
