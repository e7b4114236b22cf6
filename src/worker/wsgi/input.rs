//! `wsgi.input`: the request body as a file.

use std::sync::Arc;

use pyo3::exceptions::PyOSError;
use pyo3::prelude::*;
use pyo3::types::{PyBytes, PyList};
use rwsgi_protocol::body::{Body, Read};

use crate::exchange::Exchange;
use crate::request::Call;
use crate::worker::Worker;

/// The request body as the application reads it. A body that the client did not complete raises
/// OSError: truncated data never looks complete.
#[pyclass(frozen, name = "Input")]
pub(crate) struct Input {
    source: Option<Reader>,
}

struct Reader {
    worker: Arc<Worker>,
    hand: u16,
    exchange: Arc<Exchange>,
}

impl Input {
    /// The body of a request that has none.
    pub(crate) fn empty() -> Self {
        Self { source: None }
    }

    pub(crate) fn new(worker: Arc<Worker>, hand: u16, call: &Call) -> Self {
        let exchange = Arc::clone(&call.exchange);
        Self { source: Some(Reader { worker, hand, exchange }) }
    }

    fn read_with<'py>(
        &self,
        py: Python<'py>,
        read: impl Fn(&mut Body) -> Read,
    ) -> PyResult<Bound<'py, PyBytes>> {
        let Some(source) = &self.source else { return Ok(PyBytes::new(py, b"")) };
        loop {
            match source.read(&read) {
                Read::Data(data) => return Ok(PyBytes::new(py, &data)),
                Read::Broken => {
                    return Err(PyOSError::new_err(
                        "the client closed the connection before the request body was complete",
                    ));
                }
                Read::Wait => source.wait(py),
            }
        }
    }
}

impl Reader {
    /// Reads what is there; looks into the socket first when that is not enough.
    fn read(&self, read: &impl Fn(&mut Body) -> Read) -> Read {
        let mut got = Read::Wait;
        self.worker.reactor().run_here(|| got = self.exchange.read(read));
        if got == Read::Wait { self.exchange.read(read) } else { got }
    }

    /// Waits for more, with the GIL and the lead given up.
    fn wait(&self, py: Python<'_>) {
        self.worker.crew().step_aside(self.hand);
        py.detach(|| self.exchange.wait_readable());
    }
}

/// A size as file objects take it: `None` and negative numbers mean everything.
fn limit(size: Option<isize>) -> Option<usize> {
    size.and_then(|size| usize::try_from(size).ok())
}

#[pymethods]
impl Input {
    #[pyo3(signature = (size=None, /))]
    fn read<'py>(&self, py: Python<'py>, size: Option<isize>) -> PyResult<Bound<'py, PyBytes>> {
        self.read_with(py, |body| body.read(limit(size)))
    }

    #[pyo3(signature = (size=None, /))]
    fn readline<'py>(&self, py: Python<'py>, size: Option<isize>) -> PyResult<Bound<'py, PyBytes>> {
        self.read_with(py, |body| body.read_line(limit(size)))
    }

    /// All lines; with a hint, no more once they have that many bytes together.
    #[pyo3(signature = (hint=None, /))]
    fn readlines<'py>(&self, py: Python<'py>, hint: Option<isize>) -> PyResult<Bound<'py, PyList>> {
        let enough = limit(hint).filter(|hint| *hint > 0).unwrap_or(usize::MAX);
        let lines = PyList::empty(py);
        let mut total = 0;
        while total < enough {
            let line = self.readline(py, None)?;
            let length = line.as_bytes().len();
            if length == 0 {
                break;
            }
            total += length;
            lines.append(line)?;
        }
        Ok(lines)
    }

    fn __iter__(this: PyRef<'_, Self>) -> PyRef<'_, Self> {
        this
    }

    fn __next__<'py>(&self, py: Python<'py>) -> PyResult<Option<Bound<'py, PyBytes>>> {
        let line = self.readline(py, None)?;
        Ok((!line.as_bytes().is_empty()).then_some(line))
    }

    /// Does nothing: the body belongs to the server (PEP 3333: applications must not close it).
    fn close(&self) {}
}
