//! The worker's answers to the watchdog: its loop goes on, and so does Python.
//!
//! All of it begins with the first question. Without a systemd that asks (`WatchdogSec=`) there is
//! neither a thread nor a signal handler.

use std::sync::atomic::{AtomicBool, Ordering::SeqCst};

use pyo3::prelude::*;
use rwsgi_core::ipc::{DUMP, FromWorker, Part};

use crate::traceback;
use crate::worker::Worker;

/// What has been asked and answered.
#[derive(Debug, Default)]
pub(crate) struct Proof {
    /// Python was asked and has not answered: to ask again would not help.
    asked: AtomicBool,
    /// It writes where its threads are when it is told to by [`DUMP`].
    dumps: AtomicBool,
}

impl Proof {
    /// Answers. On the thread that leads, which never waits for Python.
    pub(crate) fn give(&self, worker: &'static Worker) {
        let _ = worker.channel.send(&FromWorker::Alive(Part::Loop), &[]);
        if self.asked.swap(true, SeqCst) {
            return;
        }
        if !worker.inquirer.ask(move |py| worker.proof.answer(py, worker)) {
            // Without a thread to wait for Python nothing is known of it, and nothing held against it.
            self.asked.store(false, SeqCst);
            let _ = worker.channel.send(&FromWorker::Alive(Part::Python), &[]);
        }
    }

    /// With the GIL, on the thread of the inquirer.
    fn answer(&self, py: Python<'_>, worker: &Worker) {
        if !self.dumps.swap(true, SeqCst)
            && let Err(error) = dump_on_signal(py)
        {
            traceback::entry(py, &error, "stacks could not be told without Python's lock: ").send();
        }
        self.asked.store(false, SeqCst);
        let _ = worker.channel.send(&FromWorker::Alive(Part::Python), &[]);
    }
}

/// A handler in C that needs no lock, as in the module `faulthandler`.
fn dump_on_signal(py: Python<'_>) -> PyResult<()> {
    const STDERR: i32 = 2;
    let faulthandler = py.import("faulthandler")?;
    faulthandler.call_method1("register", (DUMP as i32, STDERR, true)).map(drop)
}
