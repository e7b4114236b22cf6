//! Django's connections that were opened while the application was imported.
//!
//! A connection that several processes share is none: each reads the answers to the others. Closed
//! before the first fork, by the process that has opened it, it ends as its server expects; Django
//! opens another one when it needs one. Django is not imported for that.

use pyo3::prelude::*;

use crate::traceback;

/// Closes connections to databases and caches, and pools of them, if the application uses Django.
pub(crate) fn close_connections(py: Python<'_>) {
    for close in [close_databases, close_caches] {
        if let Err(error) = close(py) {
            traceback::entry(py, &error, "closing Django's connections before the fork: ").send();
        }
    }
}

fn close_databases(py: Python<'_>) -> PyResult<()> {
    let Some(database) = imported(py, "django.db")? else { return Ok(()) };
    // Without settings nothing can be open, and to ask for connections is an error.
    let settings = imported(py, "django.conf")?.map(|conf| conf.getattr("settings")).transpose()?;
    let configured = settings.map(|settings| settings.getattr("configured")?.is_truthy());
    if !configured.transpose()?.unwrap_or(false) {
        return Ok(());
    }
    let connections = database.getattr("connections")?;
    connections.call_method0("close_all")?;
    // Pools are of Django 5.1; the argument is of 4.1.
    let Ok(all) = connections.call_method1("all", (true,)) else { return Ok(()) };
    for connection in all.try_iter()? {
        if let Some(close) = connection?.getattr_opt("close_pool")? {
            close.call0()?;
        }
    }
    Ok(())
}

fn close_caches(py: Python<'_>) -> PyResult<()> {
    let Some(cache) = imported(py, "django.core.cache")? else { return Ok(()) };
    cache.call_method0("close_caches").map(drop)
}

fn imported<'py>(py: Python<'py>, name: &str) -> PyResult<Option<Bound<'py, PyAny>>> {
    let modules = py.import("sys")?.getattr("modules")?;
    let module = modules.call_method1("get", (name,))?;
    Ok(Some(module).filter(|module| !module.is_none()))
}
