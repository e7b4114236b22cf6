//! Raw calls of CPython: what PyO3 has no safe name for. Each costs nothing but the call.

use std::io;
use std::os::fd::BorrowedFd;
use std::sync::OnceLock;

use nix::libc;
use pyo3::ffi;
use pyo3::prelude::*;
use pyo3::types::{PyBytes, PyString};
use rwsgi_core::sys;

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

/// The bytes of a string that has none but ASCII, where they are; `None` for others. CPython before
/// 3.10 does not promise the function, but has it: so it is looked up.
pub(crate) fn ascii<'a>(string: &'a Bound<'_, PyString>) -> Option<&'a [u8]> {
    static FUNCTION: OnceLock<Option<AsUtf8>> = OnceLock::new();
    let as_utf8 = (*FUNCTION.get_or_init(as_utf8))?;
    let mut length: ffi::Py_ssize_t = 0;
    // SAFETY: the GIL is held, since there is a `Bound`; the argument is a `str`; the length is written
    // to a place of ours. Bytes of an ASCII string are in the object, which is there for `'a` and does
    // not change; others are not kept here.
    let bytes = unsafe {
        let text = as_utf8(string.as_ptr(), &raw mut length);
        if text.is_null() {
            // It has surrogates.
            ffi::PyErr_Clear();
            return None;
        }
        std::slice::from_raw_parts(text.cast(), usize::try_from(length).unwrap_or(0))
    };
    bytes.is_ascii().then_some(bytes)
}

type AsUtf8 =
    unsafe extern "C" fn(*mut ffi::PyObject, *mut ffi::Py_ssize_t) -> *const std::ffi::c_char;

fn as_utf8() -> Option<AsUtf8> {
    let address = symbol(c"PyUnicode_AsUTF8AndSize");
    // SAFETY: the function has this type in every CPython.
    (!address.is_null())
        .then(|| unsafe { std::mem::transmute::<*mut libc::c_void, AsUtf8>(address) })
}

/// Calls with two arguments, of which CPython makes no tuple where the callable needs none.
///
/// # Errors
/// What was raised.
pub(crate) fn call2<'py>(
    callable: &Bound<'py, PyAny>,
    first: &Bound<'py, PyAny>,
    second: &Bound<'py, PyAny>,
) -> PyResult<Bound<'py, PyAny>> {
    // SAFETY: all are objects, and there until the call is over; NULL ends the arguments; the result is
    // a new reference, or NULL with an exception set.
    unsafe {
        let result = ffi::PyObject_CallFunctionObjArgs(
            callable.as_ptr(),
            first.as_ptr(),
            second.as_ptr(),
            std::ptr::null_mut::<ffi::PyObject>(),
        );
        Bound::from_owned_ptr_or_err(callable.py(), result)
    }
}

/// A `bytes` object that nobody else has yet, while it is filled: none of it is zeroed before.
pub(crate) struct Filling<'py> {
    object: Bound<'py, PyBytes>,
    filled: usize,
    length: usize,
}

impl<'py> Filling<'py> {
    /// One of `length` bytes.
    ///
    /// # Errors
    /// MemoryError.
    pub(crate) fn new(py: Python<'py>, length: usize) -> PyResult<Self> {
        // SAFETY: a string that is NULL makes an object whose bytes are not set yet; the result is a new
        // reference to a `bytes`, or NULL with an exception set.
        let object = unsafe {
            let bytes = ffi::PyBytes_FromStringAndSize(std::ptr::null(), length as ffi::Py_ssize_t);
            Bound::from_owned_ptr_or_err(py, bytes)?.cast_into_unchecked()
        };
        Ok(Self { object, filled: 0, length })
    }

    /// How many bytes are missing.
    pub(crate) fn room(&self) -> usize {
        self.length - self.filled
    }

    fn end(&self) -> *mut u8 {
        // SAFETY: the object is a `bytes`, of which CPython says where they are, and has at least as many
        // as have been filled.
        unsafe { ffi::PyBytes_AsString(self.object.as_ptr()).add(self.filled).cast() }
    }

    /// Adds bytes, as many as there is room for.
    pub(crate) fn add(&mut self, bytes: &[u8]) {
        let count = bytes.len().min(self.room());
        // SAFETY: there is room for so many, and nobody else has the object.
        unsafe { self.end().copy_from_nonoverlapping(bytes.as_ptr(), count) };
        self.filled += count;
    }

    /// Adds what has come at a socket, `most` bytes at most; returns how many. It does not wait. With
    /// `stays` they are at the socket afterwards, too.
    ///
    /// # Errors
    /// Those of recv(2).
    pub(crate) fn receive(
        &mut self,
        socket: BorrowedFd<'_>,
        most: usize,
        stays: bool,
    ) -> io::Result<usize> {
        let most = most.min(self.room());
        // SAFETY: there is room for so many, which nobody else has and which may be unset.
        let room = unsafe { std::slice::from_raw_parts_mut(self.end().cast(), most) };
        let count = sys::receive_at(socket, room, stays)?;
        self.filled += count;
        Ok(count)
    }

    /// The object; another one, if this has not been filled.
    pub(crate) fn finish(self) -> Bound<'py, PyBytes> {
        if self.room() == 0 {
            return self.object;
        }
        // SAFETY: so many bytes have been set, and do not change any more.
        let filled =
            unsafe { std::slice::from_raw_parts(self.end().sub(self.filled), self.filled) };
        PyBytes::new(self.object.py(), filled)
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

/// What CPython does around fork(2), fork hooks of Python code included. It has names for these steps
/// from 3.7 on, while the extension is loaded by 3.6, too: so they are looked up.
pub(crate) struct ForkHooks {
    before: Step,
    in_parent: Step,
    in_child: Step,
}

type Step = unsafe extern "C" fn();

impl ForkHooks {
    /// `None` before Python 3.7.
    pub(crate) fn find() -> Option<Self> {
        Some(Self {
            before: step(c"PyOS_BeforeFork")?,
            in_parent: step(c"PyOS_AfterFork_Parent")?,
            in_child: step(c"PyOS_AfterFork_Child")?,
        })
    }

    /// Before the fork. One of the other two has to follow, in each process that goes on with Python.
    pub(crate) fn before(&self, _py: Python<'_>) {
        // SAFETY: the GIL is held, as the function wants; it takes nothing and returns nothing.
        unsafe { (self.before)() }
    }

    /// After it, in the process that was there before, whether or not it has come to a fork.
    pub(crate) fn after_in_parent(&self, _py: Python<'_>) {
        // SAFETY: as above, and `before` was called.
        unsafe { (self.in_parent)() }
    }

    /// After it, in the new process.
    pub(crate) fn after_in_child(&self, _py: Python<'_>) {
        // SAFETY: as above; this thread, which had the GIL when it forked, is the only one here.
        unsafe { (self.in_child)() }
    }
}

fn step(name: &std::ffi::CStr) -> Option<Step> {
    let address = symbol(name);
    // SAFETY: the functions of these names are `void (void)` in every CPython that has them.
    (!address.is_null()).then(|| unsafe { std::mem::transmute::<*mut libc::c_void, Step>(address) })
}

fn symbol(name: &std::ffi::CStr) -> *mut libc::c_void {
    // SAFETY: the name ends with NUL, and the lookup has no other effect.
    unsafe { libc::dlsym(libc::RTLD_DEFAULT, name.as_ptr()) }
}
