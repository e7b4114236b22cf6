//! `uwsgi.cache_get` and its kind: the caches of `cache2`, as an application finds them under uWSGI.
//!
//! What uWSGI answers with None is None here, too; where that hides a mistake, the log says so, now and
//! then. Python's lock is only given up when the cache is locked by somebody else.

use std::borrow::Cow;
use std::io;
use std::os::fd::OwnedFd;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::sync::{Mutex, OnceLock};
use std::time::Duration;

use nix::errno::Errno;
use pyo3::exceptions::{PyOSError, PyTimeoutError, PyTypeError, PyValueError, PyZeroDivisionError};
use pyo3::prelude::*;
use pyo3::types::{PyByteArray, PyBytes, PyMemoryView, PyString};
use rwsgi_core::cache::{Cache, Entry, Number, PATIENCE, Refusal, Table, Write, now};
use rwsgi_core::config::CacheSpec;
use rwsgi_core::log::{self, Event};

use crate::identity;

/// How often the log tells the same of a cache, in milliseconds.
const TELL_EVERY: u64 = 60_000;
/// Most names of caches that there are not and that are remembered.
const MOST_UNKNOWN: usize = 32;

static CACHES: OnceLock<Vec<Named>> = OnceLock::new();
static UNKNOWN: Mutex<Vec<String>> = Mutex::new(Vec::new());

struct Named {
    spec: CacheSpec,
    cache: Cache,
    /// When it was told last that something was refused.
    told: AtomicU64,
}

/// Maps the caches, whose memory the master has sent, and adds the functions to the module.
pub(crate) fn install(
    module: &Bound<'_, PyModule>,
    specs: &[CacheSpec],
    memories: Vec<OwnedFd>,
) -> PyResult<()> {
    let mut caches = Vec::new();
    for (spec, memory) in specs.iter().zip(memories) {
        let cache = Cache::open(memory, spec.geometry)
            .map_err(|why| PyOSError::new_err(format!("the cache `{}`: {why}", spec.name)))?;
        caches.push(Named { spec: spec.clone(), cache, told: AtomicU64::new(0) });
    }
    let _ = CACHES.set(caches);
    module.add_function(wrap_pyfunction!(cache_get, module)?)?;
    module.add_function(wrap_pyfunction!(cache_exists, module)?)?;
    module.add_function(wrap_pyfunction!(cache_set, module)?)?;
    module.add_function(wrap_pyfunction!(cache_update, module)?)?;
    module.add_function(wrap_pyfunction!(cache_del, module)?)?;
    module.add_function(wrap_pyfunction!(cache_clear, module)?)?;
    module.add_function(wrap_pyfunction!(cache_keys, module)?)?;
    module.add_function(wrap_pyfunction!(cache_num, module)?)?;
    module.add_function(wrap_pyfunction!(cache_inc, module)?)?;
    module.add_function(wrap_pyfunction!(cache_dec, module)?)?;
    module.add_function(wrap_pyfunction!(cache_mul, module)?)?;
    module.add_function(wrap_pyfunction!(cache_div, module)?)
}

/// The value of `key` in `cache`, or in the first one; None when there is none.
#[pyfunction]
#[pyo3(signature = (key, cache=None, /))]
fn cache_get<'py>(
    py: Python<'py>,
    key: &Bound<'py, PyAny>,
    cache: Option<&str>,
) -> PyResult<Option<Bound<'py, PyBytes>>> {
    let key = bytes(key)?;
    let Some(named) = find(cache)? else { return Ok(None) };
    let now = now();
    let value = match named.cache.peek(&key, now) {
        Some(value) => value,
        None => named.locked(py, |table| table.get(&key, now))?,
    };
    named.cache.count_read(value.is_some());
    Ok(value.map(|value| PyBytes::new(py, &value)))
}

/// True when there is `key`, else None.
#[pyfunction]
#[pyo3(signature = (key, cache=None, /))]
fn cache_exists(
    py: Python<'_>,
    key: &Bound<'_, PyAny>,
    cache: Option<&str>,
) -> PyResult<Option<bool>> {
    let key = bytes(key)?;
    let Some(named) = find(cache)? else { return Ok(None) };
    let now = now();
    let found = match named.cache.peek_has(&key, now) {
        Some(found) => found,
        None => named.locked(py, |table| table.has(&key, now))?,
    };
    Ok(found.then_some(true))
}

/// Writes a key that is not there yet. True when that is done, else None.
#[pyfunction]
#[pyo3(signature = (key, value, expires=0, cache=None, /))]
fn cache_set(
    py: Python<'_>,
    key: &Bound<'_, PyAny>,
    value: &Bound<'_, PyAny>,
    expires: i64,
    cache: Option<&str>,
) -> PyResult<Option<bool>> {
    write(py, (key, value), expires, cache, Write::New)
}

/// Writes a key, whether it is there or not. True when that is done, else None.
#[pyfunction]
#[pyo3(signature = (key, value, expires=0, cache=None, /))]
fn cache_update(
    py: Python<'_>,
    key: &Bound<'_, PyAny>,
    value: &Bound<'_, PyAny>,
    expires: i64,
    cache: Option<&str>,
) -> PyResult<Option<bool>> {
    write(py, (key, value), expires, cache, Write::Any)
}

fn write(
    py: Python<'_>,
    (key, value): (&Bound<'_, PyAny>, &Bound<'_, PyAny>),
    expires: i64,
    cache: Option<&str>,
    write: Write,
) -> PyResult<Option<bool>> {
    let (key, value) = (bytes(key)?, bytes(value)?);
    let Some(named) = find(cache)? else { return Ok(None) };
    let now = now();
    let entry = Entry { key: &key, value: &value, expires: expiry(expires, now) };
    let when_full = named.spec.when_full;
    let done = named.locked(py, |table| table.set(&entry, write, when_full, now))?;
    named.answer(done, &key)
}

/// Removes a key. True when it was there, else None.
#[pyfunction]
#[pyo3(signature = (key, cache=None, /))]
fn cache_del(
    py: Python<'_>,
    key: &Bound<'_, PyAny>,
    cache: Option<&str>,
) -> PyResult<Option<bool>> {
    let key = bytes(key)?;
    let Some(named) = find(cache)? else { return Ok(None) };
    let now = now();
    Ok(named.locked(py, |table| table.remove(&key, now))?.then_some(true))
}

/// Removes everything. True, or None when there is no such cache.
#[pyfunction]
#[pyo3(signature = (cache=None, /))]
fn cache_clear(py: Python<'_>, cache: Option<&str>) -> PyResult<Option<bool>> {
    let Some(named) = find(cache)? else { return Ok(None) };
    named.locked(py, |table| {
        table.clear();
    })?;
    Ok(Some(true))
}

/// All keys, in no order.
#[pyfunction]
#[pyo3(signature = (cache=None, /))]
fn cache_keys<'py>(py: Python<'py>, cache: Option<&str>) -> PyResult<Vec<Bound<'py, PyBytes>>> {
    let named = find(cache)?;
    let named = named.ok_or_else(|| PyValueError::new_err("no local uWSGI cache available"))?;
    let now = now();
    let keys = named.locked(py, |table| table.keys(now))?;
    Ok(keys.into_iter().map(|key| PyBytes::new(py, &key)).collect())
}

/// The number that `key` has; 0 when there is none.
#[pyfunction]
#[pyo3(signature = (key, cache=None, /))]
fn cache_num(py: Python<'_>, key: &Bound<'_, PyAny>, cache: Option<&str>) -> PyResult<i64> {
    let key = bytes(key)?;
    let Some(named) = find(cache)? else { return Ok(0) };
    let now = now();
    match named.locked(py, |table| table.number(&key, now))? {
        Number::Is(number) => Ok(number),
        Number::Missing => Ok(0),
        Number::Not(_) => Err(named.no_number(&key)),
    }
}

/// Adds to the number that `key` has, 0 when there is none.
#[pyfunction]
#[pyo3(signature = (key, value=1, expires=0, cache=None, /))]
fn cache_inc(
    py: Python<'_>,
    key: &Bound<'_, PyAny>,
    value: i64,
    expires: i64,
    cache: Option<&str>,
) -> PyResult<Option<bool>> {
    compute(py, key, expires, cache, |number| number.wrapping_add(value))
}

/// Subtracts from it.
#[pyfunction]
#[pyo3(signature = (key, value=1, expires=0, cache=None, /))]
fn cache_dec(
    py: Python<'_>,
    key: &Bound<'_, PyAny>,
    value: i64,
    expires: i64,
    cache: Option<&str>,
) -> PyResult<Option<bool>> {
    compute(py, key, expires, cache, |number| number.wrapping_sub(value))
}

/// Multiplies it.
#[pyfunction]
#[pyo3(signature = (key, value=2, expires=0, cache=None, /))]
fn cache_mul(
    py: Python<'_>,
    key: &Bound<'_, PyAny>,
    value: i64,
    expires: i64,
    cache: Option<&str>,
) -> PyResult<Option<bool>> {
    compute(py, key, expires, cache, |number| number.wrapping_mul(value))
}

/// Divides it, towards 0.
#[pyfunction]
#[pyo3(signature = (key, value=2, expires=0, cache=None, /))]
fn cache_div(
    py: Python<'_>,
    key: &Bound<'_, PyAny>,
    value: i64,
    expires: i64,
    cache: Option<&str>,
) -> PyResult<Option<bool>> {
    if value == 0 {
        return Err(PyZeroDivisionError::new_err("cache_div() by 0"));
    }
    compute(py, key, expires, cache, |number| number.wrapping_div(value))
}

fn compute(
    py: Python<'_>,
    key: &Bound<'_, PyAny>,
    expires: i64,
    cache: Option<&str>,
    operation: impl Fn(i64) -> i64 + Send + Sync,
) -> PyResult<Option<bool>> {
    let key = bytes(key)?;
    let Some(named) = find(cache)? else { return Ok(None) };
    let now = now();
    let (place, when_full) = ((&*key, expiry(expires, now)), named.spec.when_full);
    let done = named.locked(py, |table| table.compute(place, &operation, when_full, now))?;
    named.answer(done, &key)
}

/// A text in UTF-8, or the bytes that something has.
fn bytes<'a>(value: &'a Bound<'_, PyAny>) -> PyResult<Cow<'a, [u8]>> {
    if let Ok(bytes) = value.cast::<PyBytes>() {
        return Ok(Cow::Borrowed(bytes.as_bytes()));
    }
    if let Ok(text) = value.cast::<PyString>() {
        return Ok(Cow::Owned(text.to_cow()?.into_owned().into_bytes()));
    }
    if value.is_instance_of::<PyByteArray>() || value.is_instance_of::<PyMemoryView>() {
        let copy = value.py().get_type::<PyBytes>().call1((value,))?;
        return Ok(Cow::Owned(copy.cast::<PyBytes>()?.as_bytes().to_vec()));
    }
    let kind = value.get_type().name()?;
    Err(PyTypeError::new_err(format!("a bytes-like object is required, not '{kind}'")))
}

/// When something expires that lasts so many seconds; 0: never. Less is the past, by which libraries say
/// that it is not to be found.
fn expiry(seconds: i64, now: u64) -> u64 {
    let time = seconds.unsigned_abs().saturating_mul(1000);
    match seconds.signum() {
        0 => 0,
        1 => now.saturating_add(time),
        _ => now.saturating_sub(time).max(1),
    }
}

/// The cache of this name, or the first one. One that there is not is told once.
fn find(name: Option<&str>) -> PyResult<Option<&'static Named>> {
    let caches = CACHES.get().map_or(&[][..], Vec::as_slice);
    let found = match name {
        None => caches.first(),
        Some(name) => caches.iter().find(|named| named.spec.name == name),
    };
    if found.is_some() {
        return Ok(found);
    }
    let name = name.unwrap_or_default();
    if name.contains('@') {
        return Err(PyValueError::new_err(format!(
            "`{name}` is a cache of another instance: rwsgi has only those of its own; use a cache \
             server such as memcached or Redis"
        )));
    }
    if let Ok(mut unknown) = UNKNOWN.lock()
        && unknown.len() < MOST_UNKNOWN
        && !unknown.iter().any(|one| one == name)
    {
        unknown.push(name.to_owned());
        let what = if name.is_empty() { "no cache".into() } else { format!("no cache `{name}`") };
        let message = format!(
            "the application uses a cache, but there is {what}: nothing is kept; add \
             `cache2 = name=NAME,items=NUMBER`"
        );
        identity::about_current(log::warning(Event::Cache, message)).send();
    }
    Ok(None)
}

impl Named {
    /// What `operate` makes of the cache while that is locked.
    fn locked<T: Send>(
        &self,
        py: Python<'_>,
        operate: impl Fn(&Table<'_>) -> T + Send + Sync,
    ) -> PyResult<T> {
        match self.cache.lock(Duration::ZERO) {
            Ok(table) => return Ok(operate(&table)),
            Err(error) if error.raw_os_error() == Some(Errno::EBUSY as i32) => {}
            Err(error) => return Err(self.trouble(&error)),
        }
        let done = py.detach(|| self.cache.lock(PATIENCE).map(|table| operate(&table)));
        done.map_err(|error| self.trouble(&error))
    }

    fn trouble(&self, error: &io::Error) -> PyErr {
        let name = &self.spec.name;
        if error.kind() == io::ErrorKind::TimedOut {
            let seconds = PATIENCE.as_secs();
            return PyTimeoutError::new_err(format!(
                "the cache `{name}` was locked for {seconds} seconds: is a process stopped that uses it?"
            ));
        }
        PyOSError::new_err(format!("the cache `{name}` cannot be locked: {error}"))
    }

    /// True, or None, as uWSGI has it; what it does not say is told in the log.
    fn answer(&self, done: Result<(), Refusal>, key: &[u8]) -> PyResult<Option<bool>> {
        let why = match done {
            Ok(()) => return Ok(Some(true)),
            Err(Refusal::Exists) => return Ok(None),
            Err(Refusal::NoNumber) => return Err(self.no_number(key)),
            Err(Refusal::Full) if self.spec.quiet => return Ok(None),
            Err(Refusal::Full) => "is full: make it larger, or add `purge_lru=1`".into(),
            Err(Refusal::Key) => {
                let (length, most) = (key.len(), self.spec.geometry.key_bytes);
                format!("takes no key of {length} bytes, but 1 to {most} (`keysize`)")
            }
            Err(Refusal::TooLarge) => {
                let most = self.spec.geometry.largest_value();
                format!(
                    "takes no value of more than {most} bytes: raise `blocksize`, or add `bitmap=1`"
                )
            }
        };
        let (last, now) = (self.told.load(Relaxed), now());
        if last == 0 || now.saturating_sub(last) >= TELL_EVERY {
            self.told.store(now.max(1), Relaxed);
            let message = format!("the cache `{}` {why}", self.spec.name);
            identity::about_current(log::warning(Event::Cache, message)).send();
        }
        Ok(None)
    }

    fn no_number(&self, key: &[u8]) -> PyErr {
        let (name, key) = (&self.spec.name, String::from_utf8_lossy(key));
        PyValueError::new_err(format!(
            "what the cache `{name}` has for {key:?} is no number: those are made by cache_inc() and \
             its kind, and have 8 bytes"
        ))
    }
}
