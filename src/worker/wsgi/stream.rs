//! Text that the application writes: `wsgi.errors`, and, where the log takes entries and not lines,
//! `sys.stdout` and `sys.stderr`.

use std::sync::{Mutex, PoisonError};
use std::thread::{self, ThreadId};

use pyo3::exceptions::PyTypeError;
use pyo3::prelude::*;
use pyo3::types::PyString;
use rwsgi_core::log::{self, Event, Level};
use rwsgi_core::output::{Gather, Record};
use rwsgi_core::request_id::RequestId;

use crate::request;
use crate::wsgi::start_response::type_name;

/// A text stream into the log. What is written up to a line's end is an entry; a traceback is one,
/// however many lines and writes it has. What threads write at the same time does not mix.
#[pyclass(frozen, name = "LogStream")]
pub(crate) struct LogStream {
    /// The level of text that has none of its own.
    level: Level,
    /// The descriptor that `fileno()` tells, for who wants to write there.
    descriptor: i32,
    pending: Mutex<Vec<Pending>>,
}

/// What a thread has begun and not ended.
struct Pending {
    thread: ThreadId,
    /// The request during which it was written.
    request: Option<RequestId>,
    gather: Gather,
}

impl LogStream {
    /// `wsgi.errors`.
    pub(crate) fn errors() -> Self {
        Self::new(Level::Warning, 2)
    }

    fn new(level: Level, descriptor: i32) -> Self {
        Self { level, descriptor, pending: Mutex::default() }
    }

    /// Takes what this thread writes.
    fn take(&self, text: &str) {
        let (thread, request) = (thread::current().id(), request::current_id());
        let mut all = self.pending.lock().unwrap_or_else(PoisonError::into_inner);
        let mut pending = match all.iter().position(|one| one.thread == thread) {
            Some(index) => all.swap_remove(index),
            None => Pending { thread, request: request.clone(), gather: Gather::default() },
        };
        let mut before = Vec::new();
        if pending.request != request {
            before = pending.gather.flush();
        }
        let of_before = std::mem::replace(&mut pending.request, request.clone());
        let records = pending.gather.feed(text);
        if !pending.gather.is_empty() {
            all.push(pending);
        }
        drop(all);
        self.deliver(before, of_before.as_ref());
        self.deliver(records, request.as_ref());
    }

    /// Gives what is there, complete or not: of this thread, or of all. Whether there was anything.
    fn give(&self, all: bool) -> bool {
        let thread = thread::current().id();
        let mut pending = self.pending.lock().unwrap_or_else(PoisonError::into_inner);
        let given: Vec<_> = pending.extract_if(.., |one| all || one.thread == thread).collect();
        drop(pending);
        let is_any = !given.is_empty();
        for mut one in given {
            self.deliver(one.gather.flush(), one.request.as_ref());
        }
        is_any
    }

    fn deliver(&self, records: Vec<Record>, request: Option<&RequestId>) {
        for record in records {
            let (event, level) = match &record.place {
                Some(_) => (Event::Traceback, Level::Error),
                None => (Event::ApplicationOutput, self.level),
            };
            let mut entry = log::Entry::new(record.level.unwrap_or(level), event, record.text);
            if let Some(place) = record.place {
                entry = crate::traceback::with_place(entry, place);
            }
            if let Some(id) = request {
                entry = entry.number("REQUEST_ID", id);
            }
            entry.send();
        }
    }
}

/// Replaces `sys.stdout` and `sys.stderr`. The last thing at exit is what they still have.
pub(crate) fn replace_standard_streams(py: Python<'_>) -> PyResult<()> {
    let sys = py.import("sys")?;
    let atexit = py.import("atexit")?;
    for (name, descriptor) in [("stdout", 1), ("stderr", 2)] {
        let stream = Bound::new(py, LogStream::new(Level::Info, descriptor))?;
        atexit.call_method1("register", (stream.getattr("_finish")?,))?;
        sys.setattr(name, stream)?;
    }
    Ok(())
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
        self.take(&text);
        Ok(length)
    }

    fn writelines(&self, lines: &Bound<'_, PyAny>) -> PyResult<()> {
        lines.try_iter()?.try_for_each(|line| self.write(&line?).map(drop))
    }

    fn flush(&self) {
        let _ = self.give(false);
    }

    /// The process ends.
    fn _finish(&self) {
        if self.give(true) {
            log::finish();
        } else {
            // What hooks have logged that ran before this one.
            log::flush();
        }
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
