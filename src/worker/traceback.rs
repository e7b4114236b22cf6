//! A Python exception as one log entry.

use pyo3::exceptions::PyOSError;
use pyo3::prelude::*;
use pyo3::types::PyTraceback;
use rwsgi_core::ipc::{Failure, Place};
use rwsgi_core::log::{self, Entry, Event};
use rwsgi_core::output;

/// The exception with its traceback, as Python prints it.
pub(crate) fn text(py: Python<'_>, error: &PyErr) -> String {
    format(py, error).unwrap_or_else(|_| error.to_string())
}

fn format(py: Python<'_>, error: &PyErr) -> PyResult<String> {
    let arguments = (error.get_type(py), error.value(py), error.traceback(py));
    let lines = py.import("traceback")?.call_method1("format_exception", arguments)?;
    lines.try_iter()?.map(|line| line?.extract::<String>()).collect()
}

/// Where it was raised: the innermost frame of the application, or the innermost at all.
pub(crate) fn place(py: Python<'_>, error: &PyErr) -> Option<Place> {
    let exception = error.get_type(py).fully_qualified_name().ok()?.to_string();
    innermost(error.traceback(py)?).ok().map(|(file, line, function)| Place {
        file,
        line,
        function,
        exception,
    })
}

fn innermost(traceback: Bound<'_, PyTraceback>) -> PyResult<(String, u32, String)> {
    let mut next = traceback.into_any();
    let mut found = frame(&next)?;
    loop {
        next = next.getattr("tb_next")?;
        if next.is_none() {
            return Ok(found);
        }
        let inner = frame(&next)?;
        if output::is_library(&found.0) || !output::is_library(&inner.0) {
            found = inner;
        }
    }
}

fn frame(traceback: &Bound<'_, PyAny>) -> PyResult<(String, u32, String)> {
    let code = traceback.getattr("tb_frame")?.getattr("f_code")?;
    let line: Option<u32> = traceback.getattr("tb_lineno")?.extract()?;
    let (file, function) = (code.getattr("co_filename")?, code.getattr("co_name")?);
    Ok((file.extract()?, line.unwrap_or(0), function.extract()?))
}

/// The entry; `prefix` says during what it was raised.
pub(crate) fn entry(py: Python<'_>, error: &PyErr, prefix: &str) -> Entry {
    let text = text(py, error);
    let summary = text.trim_end().rsplit('\n').next().unwrap_or("").to_owned();
    let entry = log::error(Event::Traceback, format!("{prefix}{summary}\n{text}"));
    let entry = entry.field("PYTHON_TRACEBACK", text);
    match place(py, error) {
        Some(place) => with_place(entry, place),
        None => entry,
    }
}

/// Adds the fields that say where in Python it was.
pub(crate) fn with_place(entry: Entry, place: Place) -> Entry {
    entry
        .number("CODE_LINE", place.line)
        .field("CODE_FILE", place.file)
        .field("CODE_FUNC", place.function)
        .field("PYTHON_EXCEPTION", place.exception)
}

/// An exception that keeps the application from being used, as the master hears of it.
pub(crate) fn failure(py: Python<'_>, error: &PyErr, summary: String) -> Failure {
    let mut traceback = text(py, error);
    // The channel's messages are bounded; the end of a traceback is the part that matters.
    const LONGEST: usize = 32 * 1024;
    if traceback.len() > LONGEST {
        let mut cut = traceback.len() - LONGEST;
        while !traceback.is_char_boundary(cut) {
            cut += 1;
        }
        traceback = format!("...\n{}", &traceback[cut..]);
    }
    Failure { summary, traceback, place: place(py, error), errno: errno(py, error) }
}

/// That of an OSError.
fn errno(py: Python<'_>, error: &PyErr) -> Option<i32> {
    if !error.is_instance_of::<PyOSError>(py) {
        return None;
    }
    let errno: Option<i32> = error.value(py).getattr("errno").ok()?.extract().ok()?;
    errno.filter(|number| *number > 0)
}
