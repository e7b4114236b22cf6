//! What to do about an import that has failed, as far as the exception and the project tell.

use std::path::{Path, PathBuf};

use pyo3::prelude::*;
use rwsgi_core::config::{Application, Target};
use rwsgi_core::reach::{self, Wish};

const SCRIPT: &str = include_str!("advice.py");

/// Lines of advice for people; empty when there is none.
pub(crate) fn about(
    py: Python<'_>,
    error: &PyErr,
    application: &Application,
    target: &Target,
) -> String {
    let asked = script(py).and_then(|script| {
        let module = match target {
            Target::Module { module, .. } => Some(module.as_str()),
            Target::File { .. } | Target::Code { .. } | Target::Paste { .. } => None,
        };
        let home = application.virtualenv.as_deref().map(Path::as_os_str);
        let root = root(application);
        script.call_method1("advise", (error.value(py), root.as_os_str(), home, module))?.extract()
    });
    // An exception may have any shape. Advice that cannot be given is none.
    let lines: String = asked.unwrap_or_default();
    let lines = lines.lines().map(|line| line.strip_prefix('@').map_or(line.to_owned(), closed));
    lines.filter(|line| !line.is_empty()).map(|line| format!("  -> {line}\n")).collect()
}

/// Advice about a module without the callable `name`.
pub(crate) fn about_callable(module: &Bound<'_, PyAny>, name: &str) -> String {
    let asked =
        script(module.py()).and_then(|it| it.call_method1("callables", (module,))?.extract());
    let found: String = asked.unwrap_or_default();
    if found.is_empty() {
        return format!("  -> there is no `{name}` in it, nor anything like a WSGI callable\n");
    }
    format!(
        "  -> there is no `{name}` in it, but: {found}. Name it: `callable = NAME`; `callable = NAME()` calls a factory\n"
    )
}

fn script(py: Python<'_>) -> PyResult<Bound<'_, PyModule>> {
    let (code, name) = (std::ffi::CString::new(SCRIPT)?, c"rwsgi_advice");
    let module = PyModule::from_code(py, &code, c"advice.py", name)?;
    py.import("sys")?.getattr("modules")?.call_method1("pop", ("rwsgi_advice", py.None()))?;
    Ok(module)
}

/// Where the project is: the working directory.
fn root(application: &Application) -> PathBuf {
    let cwd = || std::env::current_dir().unwrap_or_else(|_| "/".into());
    application.chdir.clone().unwrap_or_else(cwd)
}

fn closed(path: &str) -> String {
    let wishes = [Wish::Read, Wish::Write];
    let barrier = wishes.into_iter().find_map(|wish| reach::barrier(Path::new(path), wish));
    barrier.map(|barrier| format!("{barrier}: {}", barrier.remedy())).unwrap_or_default()
}
