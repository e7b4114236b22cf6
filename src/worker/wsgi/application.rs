//! From configuration to the callables.

use std::ffi::CString;
use std::path::Path;
use std::sync::Arc;
use std::time::Instant;

use pyo3::exceptions::{PyRuntimeError, PyValueError};
use pyo3::prelude::*;
use pyo3::types::{PyDict, PyList, PyString};
use rwsgi_core::config::{Application, Import, Target};
use rwsgi_core::ipc::Failure;
use rwsgi_core::log::{self, Event};

use crate::{advice, traceback};

const NOT_IMPORTED: &str = "the application cannot be imported";

/// The callables, in the order of [`Application::targets`].
pub(crate) type Callables = Arc<[Py<PyAny>]>;

/// Imports the applications. Returns the callables and the time it took, in microseconds.
pub(crate) fn load(py: Python<'_>, application: &Application) -> Result<(Callables, u64), Failure> {
    let began = Instant::now();
    prepare(py, application)
        .map_err(|error| traceback::failure(py, &error, NOT_IMPORTED.to_owned()))?;
    let startup = &application.startup;
    aliases(py, &startup.aliases, "pymodule-alias")?;
    let loaded = callables(py, application)?;
    for one in &startup.imports {
        module(py, one)
            .map_err(|error| import_failed(py, &error, &format!("import={}", text(one))))?;
    }
    aliases(py, &startup.late_aliases, "post-pymodule-alias")?;
    if let Some(directory) = &startup.chdir {
        std::env::set_current_dir(directory).map_err(|error| {
            Failure::plain(format!("chdir2={} cannot be entered: {error}", directory.display()))
        })?;
    }
    let micros = u64::try_from(began.elapsed().as_micros()).unwrap_or(u64::MAX);
    Ok((loaded, micros))
}

/// With `need-app = false` one that cannot be imported is replaced, unless none can.
fn callables(py: Python<'_>, application: &Application) -> Result<Callables, Failure> {
    let mut loaded: Vec<(&Target, Py<PyAny>)> = Vec::new();
    let mut failures = Vec::new();
    for target in application.targets() {
        // One that is mounted twice is one application.
        let known = loaded.iter().find(|(other, _)| *other == target);
        let callable = match known {
            Some((_, callable)) => callable.clone_ref(py),
            None => match callable(py, application, target) {
                Ok(callable) => callable.unbind(),
                Err(failure) if application.needs_all => return Err(failure),
                Err(failure) => {
                    failures.push((target, failure));
                    let missing = Missing { what: describe(application, target) };
                    let missing = Bound::new(py, missing).map_err(|error| {
                        traceback::failure(py, &error, "there is no memory".to_owned())
                    })?;
                    missing.into_any().unbind()
                }
            },
        };
        loaded.push((target, callable));
    }
    if loaded.iter().all(|(target, _)| failures.iter().any(|(failed, _)| failed == target))
        && let Some((_, failure)) = failures.pop()
    {
        return Err(failure);
    }
    for (_, Failure { summary, traceback, .. }) in failures {
        let message = format!("{summary}; the others serve (`need-app = false`)\n{traceback}");
        log::error(Event::ApplicationError, message.trim_end()).send();
    }
    Ok(loaded.into_iter().map(|(_, callable)| callable).collect())
}

/// Stands for an application that could not be imported: each request for it is answered with 500, and
/// the log says why.
#[pyclass(frozen)]
struct Missing {
    what: String,
}

#[pymethods]
impl Missing {
    fn __call__(&self, _environ: &Bound<'_, PyAny>, _start: &Bound<'_, PyAny>) -> PyResult<()> {
        let what = &self.what;
        Err(PyRuntimeError::new_err(format!("it could not be imported at the start: {what}")))
    }
}

/// Goes to its directory.
pub(crate) fn enter(py: Python<'_>, application: &Application) -> Result<(), Failure> {
    let Some(directory) = &application.chdir else { return Ok(()) };
    let entered = py.import("os").and_then(|os| os.call_method1("chdir", (directory.as_os_str(),)));
    entered.map(drop).map_err(|error| traceback::failure(py, &error, NOT_IMPORTED.to_owned()))
}

/// Where modules are looked for, and what they find in `sys.argv`.
fn prepare(py: Python<'_>, application: &Application) -> PyResult<()> {
    let sys = py.import("sys")?;
    let path = sys.getattr("path")?.cast_into::<PyList>()?;
    for directory in application.pythonpath.iter().rev() {
        path.insert(0, directory.as_os_str())?;
    }
    let argv = sys.getattr("argv")?.cast_into::<PyList>()?;
    application.startup.arguments.iter().try_for_each(|argument| argv.append(argument))
}

fn aliases(py: Python<'_>, aliases: &[(String, Import)], option: &str) -> Result<(), Failure> {
    for (alias, import) in aliases {
        let made = module(py, import)
            .and_then(|module| py.import("sys")?.getattr("modules")?.set_item(alias, module));
        made.map_err(|error| {
            import_failed(py, &error, &format!("{option}={alias}={}", text(import)))
        })?;
    }
    Ok(())
}

fn import_failed(py: Python<'_>, error: &PyErr, option: &str) -> Failure {
    traceback::failure(py, error, format!("a module cannot be imported: {option}"))
}

fn text(import: &Import) -> String {
    match import {
        Import::Module(name) => name.clone(),
        Import::File(path) => path.display().to_string(),
    }
}

fn module<'py>(py: Python<'py>, import: &Import) -> PyResult<Bound<'py, PyAny>> {
    match import {
        Import::Module(name) => Ok(py.import(name.as_str())?.into_any()),
        Import::File(path) => execute_file(py, path),
    }
}

fn callable<'py>(
    py: Python<'py>,
    application: &Application,
    target: &Target,
) -> Result<Bound<'py, PyAny>, Failure> {
    let callable = import(py, target).map_err(|error| {
        let what = describe(application, target);
        let summary = format!("the application cannot be imported: {what}");
        let mut failure = traceback::failure(py, &error.exception, summary);
        failure.traceback.push_str(&error.advice(py, application, target));
        failure
    })?;
    if !callable.is_callable() {
        let what = describe(application, target);
        return Err(Failure::plain(format!("{what} is not callable; name the WSGI callable")));
    }
    Ok(callable)
}

/// The application in the words of the configuration.
fn describe(application: &Application, target: &Target) -> String {
    let mount = application.mounts.iter().find(|mount| mount.target == *target);
    let mount = mount.map(|mount| match mount.prefix.as_str() {
        "" => "mount=/, ".to_owned(),
        prefix => format!("mount={prefix}, "),
    });
    let mount = mount.unwrap_or_default();
    match target {
        Target::File { path, callable } => {
            format!("{mount}wsgi-file={}, callable={callable}", path.display())
        }
        Target::Module { module, callable } => format!("{mount}module={module}:{callable}"),
        Target::Code { callable, .. } => format!("eval, callable={callable}"),
        Target::Paste { uri, .. } => format!("paste={uri}"),
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
    fn advice(&self, py: Python<'_>, application: &Application, target: &Target) -> String {
        match &self.without {
            Some((module, name)) => advice::about_callable(module, name),
            None => advice::about(py, &self.exception, application, target),
        }
    }
}

fn import<'py>(py: Python<'py>, target: &Target) -> Result<Bound<'py, PyAny>, Unusable<'py>> {
    let (module, name) = match target {
        Target::Module { module, callable } => (py.import(module.as_str())?.into_any(), callable),
        Target::File { path, callable } => (execute_file(py, path)?, callable),
        Target::Code { text, callable } => (evaluate(py, text)?, callable),
        Target::Paste { uri, logging } => return Ok(deploy(py, uri, logging.as_deref())?),
    };
    let (plain, call) = name.split_at(name.find('(').unwrap_or(name.len()));
    let mut found = module.clone();
    for part in plain.split('.') {
        found = found.getattr(part).map_err(|exception| {
            let without = Some((module.clone(), plain.to_owned()));
            Unusable { exception, without }
        })?;
    }
    Ok(match call {
        "" => found,
        "()" => found.call0()?,
        _ => call_factory(&found, name)?,
    })
}

/// Calls a factory as `text` does. Its arguments are literals: a configuration is not a program.
fn call_factory<'py>(factory: &Bound<'py, PyAny>, text: &str) -> PyResult<Bound<'py, PyAny>> {
    let py = factory.py();
    let read = || {
        let ast = py.import("ast")?;
        let call = ast.call_method1("parse", (text, "<callable>", "eval"))?.getattr("body")?;
        let literal = |node: &Bound<'py, PyAny>| ast.call_method1("literal_eval", (node,));
        let arguments = PyList::empty(py);
        for node in call.getattr("args")?.try_iter()? {
            arguments.append(literal(&node?)?)?;
        }
        let named = PyDict::new(py);
        for keyword in call.getattr("keywords")?.try_iter()? {
            let keyword = keyword?;
            let name = keyword.getattr("arg")?.cast_into::<PyString>()?;
            named.set_item(name, literal(&keyword.getattr("value")?)?)?;
        }
        // `a(1)(2)` calls what `a(1)` returns.
        call.getattr("func")?.getattr("ctx")?;
        Ok((arguments.to_tuple(), named))
    };
    let (arguments, named) = read().map_err(|error: PyErr| {
        let rule = "the arguments of a factory are literals, such as \"production\" or debug=False";
        PyValueError::new_err(format!("{text}: {rule} ({error})"))
    })?;
    factory.call(arguments, Some(&named))
}

/// Runs the code of `eval` as a module.
fn evaluate<'py>(py: Python<'py>, text: &str) -> PyResult<Bound<'py, PyAny>> {
    let code = CString::new(text)?;
    Ok(PyModule::from_code(py, &code, c"<eval>", c"uwsgi_eval")?.into_any())
}

/// What PasteDeploy makes of `uri`.
fn deploy<'py>(py: Python<'py>, uri: &str, logging: Option<&Path>) -> PyResult<Bound<'py, PyAny>> {
    if let Some(file) = logging {
        let defaults = PyDict::new(py);
        defaults.set_item("__file__", file.as_os_str())?;
        defaults.set_item("here", file.parent().unwrap_or(file).as_os_str())?;
        py.import("logging.config")?.call_method1("fileConfig", (file.as_os_str(), defaults))?;
    }
    py.import("paste.deploy")?.call_method1("loadapp", (uri,))
}

/// Runs a file as a module of its own. Its name is made of the path, as uWSGI's is, and its
/// directory is not put into `sys.path`.
fn execute_file<'py>(py: Python<'py>, path: &Path) -> PyResult<Bound<'py, PyAny>> {
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
