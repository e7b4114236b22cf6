//! The import of the application, and who watches that it ends (`import-timeout`).

use std::os::fd::{AsFd as _, OwnedFd};
use std::sync::mpsc::{self, Receiver, RecvTimeoutError};
use std::time::Duration;

use pyo3::prelude::*;
use rwsgi_core::config::Config;
use rwsgi_core::exit::ExitCode;
use rwsgi_core::ipc::{Channel, Failure};
use rwsgi_core::{log, sys};

use crate::stacks;
use crate::wsgi::application;

/// Says to the master, on a channel of its own, why the application cannot be used.
pub(crate) type Report = fn(&Channel, Failure);

/// Imports the application, or ends the process with the reason when that takes too long. No thread
/// is left of it.
pub(crate) fn load(
    py: Python<'_>,
    config: &Config,
    channel: &Channel,
    report: Report,
) -> Result<(Py<PyAny>, u64), Failure> {
    let watch = config.reloading.import_timeout.and_then(|time| {
        let ident = ident(py).ok()?;
        let channel = channel.as_fd().try_clone_to_owned().ok()?;
        let (done, waits) = mpsc::channel::<()>();
        let builder = std::thread::Builder::new().name("rwsgi-import".into()).stack_size(2 << 20);
        let thread = builder.spawn(move || watch(&waits, time, ident, channel, report)).ok()?;
        Some((done, thread))
    });
    let loaded = application::load(py, &config.application);
    if let Some((done, thread)) = watch {
        drop(done);
        let _ = py.detach(|| thread.join());
    }
    loaded
}

fn ident(py: Python<'_>) -> PyResult<u64> {
    py.import("_thread")?.call_method0("get_ident")?.extract()
}

fn watch(waits: &Receiver<()>, time: Duration, ident: u64, channel: OwnedFd, report: Report) {
    if waits.recv_timeout(time) != Err(RecvTimeoutError::Timeout) {
        return;
    }
    // If Python's lock is not to be had, the master ends the process a little later.
    let stack = Python::try_attach(|py| stacks::of_thread(py, ident)).and_then(Result::ok);
    let seconds = time.as_secs();
    let failure = Failure {
        summary: format!("the application is not imported after {seconds} s (import-timeout)"),
        traceback: format!("It is here:\n{}", stack.unwrap_or_default()),
        place: None,
    };
    report(&Channel::from_fd(channel), failure);
    log::flush();
    sys::exit_now(ExitCode::Application as u8);
}
