//! The Python side of rwsgi: one extension for the process that imports an application and for the
//! workers that serve it.
//!
//! A process loads it, calls `_rwsgi::main`, and becomes a template (`template`); each fork (`fork`) of
//! that is a worker (`worker`). A request then goes one way: `accept` → `connection` → `intake` →
//! `http` or `uwsgi` → `request` → `upload` → `exchange` → `wsgi/environ` → the application →
//! `wsgi/start_response` → `wsgi/body` → `exchange` → `response` → `stream`.

mod accept;
mod advice;
mod api;
mod busy;
mod cache;
mod commons;
mod complaints;
mod connection;
mod control;
mod deadlines;
mod desk;
mod django;
mod encode;
mod error_page;
mod exchange;
mod express;
#[expect(unsafe_code, reason = "one of the two files that may: raw calls of CPython")]
mod ffi;
mod fork;
mod hand;
mod hole;
mod hooks;
mod http;
mod identity;
mod import;
mod inheritance;
mod inquirer;
mod intake;
mod logging;
mod missing;
mod mounts;
mod origin;
mod overload;
mod overtime;
mod pace;
mod packet;
mod pause;
mod persistence;
mod porter;
mod preface;
mod probe;
mod proof;
mod record;
mod relay;
mod request;
mod response;
mod rest;
mod room;
mod route;
mod signals;
mod spool;
mod stacks;
mod stream;
mod template;
mod traceback;
mod uncaught;
mod upload;
mod uwsgi;
mod warm_up;
mod witness;
mod worker;
mod wsgi {
    pub(crate) mod application;
    pub(crate) mod body;
    pub(crate) mod environ;
    pub(crate) mod file_wrapper;
    pub(crate) mod input;
    pub(crate) mod known;
    pub(crate) mod lines;
    pub(crate) mod names;
    pub(crate) mod reply;
    pub(crate) mod start_response;
    pub(crate) mod stream;
}

/// The extension module.
#[pyo3::pymodule]
mod _rwsgi {
    use pyo3::prelude::*;

    /// The life of this process as a template, and, in its forks, as a worker. The channel to the
    /// master is standard input. Returns the exit code.
    #[pyfunction]
    fn main(py: Python<'_>) -> u8 {
        crate::template::main(py) as u8
    }

    /// The version of rwsgi, and what it raises.
    #[pymodule_init]
    fn init(module: &Bound<'_, PyModule>) -> PyResult<()> {
        let timeout = module.py().get_type::<crate::overtime::RequestTimeout>();
        module.add("RequestTimeout", timeout)?;
        module.add("__version__", rwsgi_core::VERSION)
    }
}
