//! Exceptions that nobody catches: those that end a thread of the application, and those that Python
//! can only report (in `__del__`, in callbacks). Each is an entry, unless the application has hooks of
//! its own. `threading` and `sys` have such hooks from Python 3.8 on.

use pyo3::exceptions::PySystemExit;
use pyo3::prelude::*;
use rwsgi_core::log::Level;

use crate::{identity, traceback};

/// Takes the place of the hooks that Python has.
pub(crate) fn install(py: Python<'_>) -> PyResult<()> {
    let threading = py.import("threading")?;
    if threading.hasattr("excepthook")? {
        threading.setattr("excepthook", wrap_pyfunction!(thread_ended, py)?)?;
    }
    let sys = py.import("sys")?;
    if sys.hasattr("unraisablehook")? {
        sys.setattr("unraisablehook", wrap_pyfunction!(unraisable, py)?)?;
    }
    Ok(())
}

/// `threading.excepthook`.
#[pyfunction]
fn thread_ended(args: &Bound<'_, PyAny>) -> PyResult<()> {
    let py = args.py();
    let error = exception(args)?;
    // The way in which a thread ends itself.
    if error.is_instance_of::<PySystemExit>(py) {
        return Ok(());
    }
    let thread = args.getattr("thread")?;
    let name: String = match thread.is_none() {
        true => "unknown".to_owned(),
        false => thread.getattr("name")?.extract()?,
    };
    let entry = traceback::entry(py, &error, &format!("thread {name} has ended: "));
    identity::about_current(entry.field("THREAD_NAME", name)).send();
    Ok(())
}

/// `sys.unraisablehook`.
#[pyfunction]
fn unraisable(args: &Bound<'_, PyAny>) -> PyResult<()> {
    let message = args.getattr("err_msg")?;
    let mut what = match message.is_none() {
        true => "Exception ignored in".to_owned(),
        false => message.str()?.to_string(),
    };
    let object = args.getattr("object")?;
    if !object.is_none() {
        let shown = object.repr().map(|shown| shown.to_string());
        what = format!("{what} {}", shown.unwrap_or_else(|_| "an object without repr()".into()));
    }
    let mut entry = traceback::entry(args.py(), &exception(args)?, &format!("{what}: "));
    entry.level = Level::Warning;
    identity::about_current(entry).send();
    Ok(())
}

fn exception(args: &Bound<'_, PyAny>) -> PyResult<PyErr> {
    let value = args.getattr("exc_value")?;
    let value = if value.is_none() { args.getattr("exc_type")? } else { value };
    Ok(PyErr::from_value(value))
}
