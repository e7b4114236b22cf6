//! `wsgi.file_wrapper`: a file-like object as an iterable of blocks, or, where it is a real file, as
//! that file (PEP 3333, section "Optional Platform-Specific File Handling").

use std::fs::{File, Metadata};
use std::os::unix::fs::MetadataExt as _;
use std::sync::Arc;

use pyo3::intern;
use pyo3::prelude::*;
use pyo3::sync::PyOnceLock;
use pyo3::types::{PyBytes, PyType};
use rwsgi_core::sys;
use rwsgi_files::{FileBody, Segment};

/// Smallest block that is read: what an application asks for (often 4096 or 8192) is meant for
/// servers that write each block.
const BLOCK: usize = 64 * 1024;

/// `wsgi.file_wrapper(filelike, blksize)`.
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
        let block = self.filelike.bind(py).call_method1(intern!(py, "read"), (size,))?;
        let ended = block.cast::<PyBytes>().is_ok_and(|bytes| bytes.as_bytes().is_empty());
        Ok((!ended).then_some(block))
    }

    fn close(&self, py: Python<'_>) -> PyResult<()> {
        match self.filelike.bind(py).getattr_opt(intern!(py, "close"))? {
            Some(close) => close.call0().map(drop),
            None => Ok(()),
        }
    }
}

/// The rest of a file.
pub(crate) struct Rest {
    file: File,
    offset: u64,
    /// Bytes from there to its end.
    pub(crate) length: u64,
}

impl Rest {
    /// Its first `length` bytes, as a response.
    pub(crate) fn body(self, length: u64) -> FileBody {
        let segment = Segment::File { offset: self.offset, length };
        FileBody { file: Arc::new(self.file), segments: [segment].into() }
    }
}

/// The file of what the application returned, if its bytes are those of the response: it is wrapped,
/// regular, and open for reading bytes, with nothing of Python's in between. Many other objects have a
/// `fileno()`, too, and other bytes: `gzip.GzipFile`, for one. A pipe has no place to tell.
pub(crate) fn file_of(result: &Bound<'_, PyAny>) -> PyResult<Option<Rest>> {
    let Ok(wrapper) = result.cast_exact::<FileWrapper>() else { return Ok(None) };
    let py = result.py();
    let filelike = wrapper.get().filelike.bind(py);
    if !is_plain(filelike)? {
        return Ok(None);
    }
    let number: i32 = filelike.call_method0(intern!(py, "fileno"))?.extract()?;
    let file = File::from(sys::duplicate(number)?);
    let metadata = file.metadata()?;
    if !has_its_size(&metadata) {
        return Ok(None);
    }
    let offset: u64 = filelike.call_method0(intern!(py, "tell"))?.extract()?;
    let length = metadata.len().saturating_sub(offset);
    Ok(Some(Rest { file, offset, length }))
}

/// Whether it is a regular file whose size is that of its content. Those of /proc and /sys have
/// another one than they say, and no block of a disk.
fn has_its_size(metadata: &Metadata) -> bool {
    metadata.is_file() && metadata.blocks() > 0
}

fn is_plain(filelike: &Bound<'_, PyAny>) -> PyResult<bool> {
    let py = filelike.py();
    let raw = if filelike.is_exact_instance(buffered(py)?) {
        filelike.getattr(intern!(py, "raw"))?
    } else {
        filelike.clone()
    };
    let closed = || filelike.getattr(intern!(py, "closed"))?.is_truthy();
    let readable = || raw.call_method0(intern!(py, "readable"))?.is_truthy();
    Ok(raw.is_exact_instance(unbuffered(py)?) && !closed()? && readable()?)
}

fn buffered(py: Python<'_>) -> PyResult<&Bound<'_, PyType>> {
    static TYPE: PyOnceLock<Py<PyType>> = PyOnceLock::new();
    TYPE.import(py, "io", "BufferedReader")
}

fn unbuffered(py: Python<'_>) -> PyResult<&Bound<'_, PyType>> {
    static TYPE: PyOnceLock<Py<PyType>> = PyOnceLock::new();
    TYPE.import(py, "io", "FileIO")
}
