//! `wsgi.file_wrapper`: a file-like object as an iterable of blocks.

use pyo3::prelude::*;
use pyo3::types::PyBytes;

/// Smallest block that is read: what an application asks for (often 4096 or 8192) is meant for
/// servers that write each block.
const BLOCK: usize = 64 * 1024;

/// PEP 3333, section "Optional Platform-Specific File Handling".
#[pyclass(frozen)]
pub(crate) struct FileWrapper {
    #[pyo3(get)]
    filelike: Py<PyAny>,
    #[pyo3(get)]
    blksize: usize,
}

#[pymethods]
impl FileWrapper {
    #[new]
    #[pyo3(signature = (filelike, blksize=8192))]
    fn new(filelike: Py<PyAny>, blksize: usize) -> Self {
        Self { filelike, blksize }
    }

    fn __iter__(this: PyRef<'_, Self>) -> PyRef<'_, Self> {
        this
    }

    fn __next__<'py>(&self, py: Python<'py>) -> PyResult<Option<Bound<'py, PyAny>>> {
        let size = self.blksize.max(BLOCK);
        let block = self.filelike.bind(py).call_method1(pyo3::intern!(py, "read"), (size,))?;
        let ended = block.cast::<PyBytes>().is_ok_and(|bytes| bytes.as_bytes().is_empty());
        Ok((!ended).then_some(block))
    }

    fn close(&self, py: Python<'_>) -> PyResult<()> {
        match self.filelike.bind(py).getattr_opt(pyo3::intern!(py, "close"))? {
            Some(close) => close.call0().map(drop),
            None => Ok(()),
        }
    }
}
