//! From configuration to the callable.

use std::time::Instant;

use pyo3::prelude::*;
use pyo3::types::{PyDict, PyList};
use rwsgi_core::config::{Application, Target};
use rwsgi_core::ipc::Failure;

use crate::{advice, traceback};

/// Imports the application. Returns the callable and the time it took, in microseconds.
pub(crate) fn load(py: Python<'_>, application: &Application) -> Result<(Py<PyAny>, u64), Failure> {
    let began = Instant::now();
    let callable = import(py, application).map_err(|error| {
        let summary = format!("the application cannot be imported: {}", describe(application));
        let mut failure = traceback::failure(py, &error.exception, summary);
        failure.traceback.push_str(&error.advice(py, application));
        failure
    })?;
    if !callable.is_callable() {
        let summary = format!("{} is not callable; name the WSGI callable", describe(application));
        return Err(Failure::plain(summary));
    }
    let micros = u64::try_from(began.elapsed().as_micros()).unwrap_or(u64::MAX);
    Ok((callable.unbind(), micros))
}

/// The application in the words of the configuration.
fn describe(application: &Application) -> String {
    match &application.target {
        Target::File { path, callable } => {
            format!("wsgi-file={}, callable={callable}", path.display())
        }
        Target::Module { module, callable } => format!("module={module}:{callable}"),
    }
}

/// Why there is no application.
struct Unusable<'py> {
    exception: PyErr,
    /// The module that has no callable of that name, and the name.
    without: Option<(Bound<'py, PyAny>, String)>,
}

impl From<PyErr> for Unusable<'_> {
    fn from(exception: PyErr) -> Self {
        Self { exception, without: None }
    }
}

impl Unusable<'_> {
    fn advice(&self, py: Python<'_>, application: &Application) -> String {
        match &self.without {
            Some((module, name)) => advice::about_callable(module, name),
            None => advice::about(py, &self.exception, application),
        }
    }
}

fn import<'py>(
    py: Python<'py>,
    application: &Application,
) -> Result<Bound<'py, PyAny>, Unusable<'py>> {
    let (module, name) = module(py, application)?;
    let (plain, is_factory) = match name.strip_suffix("()") {
        Some(factory) => (factory, true),
        None => (name, false),
    };
    let found = module.getattr(plain).map_err(|exception| {
        let without = Some((module.clone(), plain.to_owned()));
        Unusable { exception, without }
    })?;
    Ok(if is_factory { found.call0()? } else { found })
}

/// The module with the callable, and the name of that.
fn module<'py, 'a>(
    py: Python<'py>,
    application: &'a Application,
) -> PyResult<(Bound<'py, PyAny>, &'a str)> {
    if let Some(directory) = &application.chdir {
        py.import("os")?.call_method1("chdir", (directory.as_os_str(),))?;
    }
    let path = py.import("sys")?.getattr("path")?.cast_into::<PyList>()?;
    for directory in application.pythonpath.iter().rev() {
        path.insert(0, directory.as_os_str())?;
    }
    Ok(match &application.target {
        Target::Module { module, callable } => {
            (py.import(module.as_str())?.into_any(), callable.as_str())
        }
        Target::File { path, callable } => (execute_file(py, path)?, callable.as_str()),
    })
}

/// Runs a file as a module of its own. Its name is made of the path, as uWSGI's is, and its
/// directory is not put into `sys.path`.
fn execute_file<'py>(py: Python<'py>, path: &std::path::Path) -> PyResult<Bound<'py, PyAny>> {
    let stem = path.with_extension("");
    // Absolute in tracebacks, wherever the application goes.
    let path = std::path::absolute(path)?.into_os_string();
    let name: String = stem
        .to_string_lossy()
        .chars()
        .map(|character| if character.is_alphanumeric() { character } else { '_' })
        .collect();
    let name = format!("uwsgi_file_{}", name.trim_start_matches('_'));
    let loader =
        py.import("importlib.machinery")?.getattr("SourceFileLoader")?.call1((&name, &path))?;
    let util = py.import("importlib.util")?;
    let arguments = PyDict::new(py);
    arguments.set_item("loader", &loader)?;
    let spec = util.call_method("spec_from_file_location", (&name, &path), Some(&arguments))?;
    let module = util.call_method1("module_from_spec", (spec,))?;
    let modules = py.import("sys")?.getattr("modules")?;
    modules.set_item(&name, &module)?;
    if let Err(error) = loader.call_method1("exec_module", (&module,)) {
        modules.del_item(&name)?;
        return Err(error);
    }
    Ok(module)
}
