//! Text that the application writes: `wsgi.errors`, and, where the log takes entries and not lines,
//! `sys.stdout` and `sys.stderr`.

use std::sync::{Mutex, PoisonError};

use pyo3::exceptions::PyTypeError;
use pyo3::prelude::*;
use pyo3::types::PyString;
use rwsgi_core::log::{self, Event, Level};
use rwsgi_core::output::{Gather, Record};

use crate::identity;
use crate::wsgi::start_response::type_name;

/// A text stream into the log. What is written up to a line's end is an entry; a traceback is one,
/// however many lines and writes it has.
#[pyclass(frozen, name = "LogStream")]
pub(crate) struct LogStream {
    /// The level of text that has none of its own.
    level: Level,
    /// The descriptor that `fileno()` tells, for who wants to write there.
    descriptor: i32,
    gather: Mutex<Gather>,
}

impl LogStream {
    /// `wsgi.errors`.
    pub(crate) fn errors() -> Self {
        Self::new(Level::Warning, 2)
    }

    fn new(level: Level, descriptor: i32) -> Self {
        Self { level, descriptor, gather: Mutex::default() }
    }

    fn deliver(&self, records: Vec<Record>) {
        for record in records {
            let (event, level) = match &record.place {
                Some(_) => (Event::Traceback, Level::Error),
                None => (Event::ApplicationOutput, self.level),
            };
            let mut entry = log::Entry::new(record.level.unwrap_or(level), event, record.text);
            if let Some(place) = record.place {
                entry = crate::traceback::with_place(entry, place);
            }
            identity::about_current(entry).send();
        }
    }
}

/// Replaces `sys.stdout` and `sys.stderr`.
pub(crate) fn replace_standard_streams(py: Python<'_>) -> PyResult<()> {
    let sys = py.import("sys")?;
    sys.setattr("stdout", Bound::new(py, LogStream::new(Level::Info, 1))?)?;
    sys.setattr("stderr", Bound::new(py, LogStream::new(Level::Info, 2))?)
}

#[pymethods]
impl LogStream {
    fn write(&self, text: &Bound<'_, PyAny>) -> PyResult<usize> {
        let Ok(text) = text.cast::<PyString>() else {
            return Err(PyTypeError::new_err(format!(
                "write() takes str, not {}",
                type_name(text)
            )));
        };
        let length = text.len()?;
        let text = text.to_string_lossy();
        let records = self.gather.lock().unwrap_or_else(PoisonError::into_inner).feed(&text);
        self.deliver(records);
        Ok(length)
    }

    fn writelines(&self, lines: &Bound<'_, PyAny>) -> PyResult<()> {
        lines.try_iter()?.try_for_each(|line| self.write(&line?).map(drop))
    }

    fn flush(&self) {
        let rest = self.gather.lock().unwrap_or_else(PoisonError::into_inner).flush();
        self.deliver(rest);
    }

    fn fileno(&self) -> i32 {
        self.descriptor
    }

    fn isatty(&self) -> bool {
        false
    }

    fn readable(&self) -> bool {
        false
    }

    fn writable(&self) -> bool {
        true
    }

    fn seekable(&self) -> bool {
        false
    }

    fn close(&self) {}

    #[getter]
    fn closed(&self) -> bool {
        false
    }

    #[getter]
    fn encoding(&self) -> &'static str {
        "utf-8"
    }

    #[getter(errors)]
    fn error_handler(&self) -> &'static str {
        "backslashreplace"
    }

    #[getter]
    fn mode(&self) -> &'static str {
        "w"
    }

    #[getter]
    fn name(&self) -> &'static str {
        if self.descriptor == 1 { "<stdout>" } else { "<stderr>" }
    }

    /// The bytes below: the original stream's.
    #[getter]
    fn buffer<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyAny>> {
        let original = if self.descriptor == 1 { "__stdout__" } else { "__stderr__" };
        py.import("sys")?.getattr(original)?.getattr("buffer")
    }
}
