//! Raw calls of CPython: what PyO3 has no safe name for. Each costs nothing but the call.

use pyo3::ffi;
use pyo3::prelude::*;
use pyo3::types::{PyBytes, PyString};

/// A `str` of these bytes as latin-1: how PEP 3333 carries bytes in native strings.
///
/// # Errors
/// MemoryError.
pub(crate) fn latin1<'py>(py: Python<'py>, bytes: &[u8]) -> PyResult<Bound<'py, PyString>> {
    // SAFETY: pointer and length are those of a slice; the result is a new reference or NULL with an
    // exception set; CPython returns exactly a `str`.
    unsafe {
        let string = ffi::PyUnicode_DecodeLatin1(
            bytes.as_ptr().cast(),
            bytes.len() as ffi::Py_ssize_t,
            std::ptr::null(),
        );
        Ok(Bound::from_owned_ptr_or_err(py, string)?.cast_into_unchecked())
    }
}

/// The bytes that a native string carries.
///
/// # Errors
/// UnicodeEncodeError when it has characters beyond latin-1.
pub(crate) fn to_latin1<'py>(string: &Bound<'py, PyString>) -> PyResult<Bound<'py, PyBytes>> {
    // SAFETY: the argument is a `str`; the result is a new reference to a `bytes`, or NULL with an
    // exception set.
    unsafe {
        let bytes = ffi::PyUnicode_AsLatin1String(string.as_ptr());
        Ok(Bound::from_owned_ptr_or_err(string.py(), bytes)?.cast_into_unchecked())
    }
}

/// Has `exception`, a class, be raised in the thread that Python numbers `ident`, before its next
/// step of Python code; `None` takes back one that has not arrived. `false`: there is no such thread.
pub(crate) fn raise_in_thread(
    _py: Python<'_>,
    ident: u64,
    exception: Option<&Bound<'_, PyAny>>,
) -> bool {
    let exception = exception.map_or(std::ptr::null_mut(), Bound::as_ptr);
    // SAFETY: the GIL is held (`_py`); the exception is a borrowed reference, of which CPython takes
    // its own, or NULL; `ident` is only compared with the numbers of the threads that there are. The
    // parameter is an unsigned long in C, of the same size and bits.
    unsafe { ffi::PyThreadState_SetAsyncExc(ident as std::ffi::c_long, exception) == 1 }
}
