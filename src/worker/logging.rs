//! `rwsgi.logging`: a module of Python that is imported only by who wants it, and its way to the log.

use pyo3::prelude::*;
use pyo3::types::PyString;
use rwsgi_core::log::{Entry, Event, Level};

use crate::identity;

const NAME: &str = "rwsgi.logging";
const SOURCE: &str = include_str!("logging.py");

/// Makes it importable below `package`.
pub(crate) fn install(package: &Bound<'_, PyModule>) -> PyResult<()> {
    let py = package.py();
    package.add_function(wrap_pyfunction!(log, package)?)?;
    // A package is what has a path; nothing is found there.
    package.add("__path__", Vec::<String>::new())?;
    // `importlib.util.find_spec("rwsgi")` is how others ask whether it is there.
    package.add("__spec__", spec(py)?.call1(("rwsgi", py.None()))?)?;
    py.import("sys")?.getattr("meta_path")?.call_method1("append", (Bound::new(py, Finder)?,))?;
    Ok(())
}

fn spec(py: Python<'_>) -> PyResult<Bound<'_, PyAny>> {
    py.import("importlib.machinery")?.getattr("ModuleSpec")
}

/// Finds and loads the module, as `importlib` wants it.
#[pyclass(frozen)]
struct Finder;

#[pymethods]
impl Finder {
    #[pyo3(signature = (name, path=None, target=None))]
    fn find_spec<'py>(
        slf: &Bound<'py, Self>,
        name: &str,
        path: Option<&Bound<'py, PyAny>>,
        target: Option<&Bound<'py, PyAny>>,
    ) -> PyResult<Option<Bound<'py, PyAny>>> {
        let (_, _) = (path, target);
        if name != NAME {
            return Ok(None);
        }
        spec(slf.py())?.call1((name, slf)).map(Some)
    }

    fn create_module(&self, spec: &Bound<'_, PyAny>) -> Option<Py<PyModule>> {
        let _ = spec;
        None
    }

    fn exec_module(&self, module: &Bound<'_, PyModule>) -> PyResult<()> {
        let builtins = module.py().import("builtins")?;
        let code = builtins.call_method1("compile", (SOURCE, "<rwsgi.logging>", "exec"))?;
        builtins.call_method1("exec", (code, module.dict()))?;
        Ok(())
    }

    /// For `linecache`, so that tracebacks show lines.
    fn get_source(&self, name: &str) -> &'static str {
        let _ = name;
        SOURCE
    }
}

/// An entry from a record of `logging`.
#[pyfunction]
#[pyo3(name = "_log")]
fn log(
    priority: u8,
    logger: &Bound<'_, PyString>,
    thread: &Bound<'_, PyString>,
    message: &Bound<'_, PyString>,
    fields: Vec<(String, Bound<'_, PyString>)>,
) {
    let text = |string: &Bound<'_, PyString>| string.to_string_lossy().into_owned();
    let mut entry = Entry::new(Level::of(priority), Event::ApplicationLog, text(message))
        .field("LOGGER", text(logger))
        .field("THREAD_NAME", text(thread));
    for (name, value) in fields {
        entry = entry.field(name, text(&value));
    }
    if entry.has("PYTHON_EXCEPTION") {
        entry.event = Event::Traceback;
    }
    // A thread of its own may say for which request it works.
    let entry = if entry.has("REQUEST_ID") { entry } else { identity::about_current(entry) };
    entry.send();
}
