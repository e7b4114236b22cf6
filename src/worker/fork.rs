//! How a template forks a worker that is a child of the master.
//!
//! The template forks, the child forks again and leaves at once; the worker's new parent is the
//! nearest subreaper, the master, which sees its death at first hand. What Python and the application
//! do around a fork (`os.register_at_fork`) is done once, and where it belongs: `before` and
//! `after_in_parent` in the template, `after_in_child` in the worker. The locks that `before` takes
//! are thus taken while the threads that may hold them still exist.

use std::io;
use std::time::Duration;

use nix::errno::Errno;
use nix::sys::wait::{WaitStatus, waitpid};
use nix::unistd::{Pid, getpid, getppid};
use pyo3::prelude::*;
use rwsgi_core::ipc::{Channel, FromWorker};
use rwsgi_core::shortage;
use rwsgi_core::sys::{self, Forked};

use crate::ffi::ForkHooks;

/// How long the process between may take to leave.
const ADOPTION: Duration = Duration::from_secs(1);

/// Forks a worker, whose channel to the master `theirs` is. In it, `Child` is returned; the process
/// between never returns.
pub(crate) fn fork(py: Python<'_>, theirs: &Channel) -> Result<Forked, String> {
    let Some(hooks) = ForkHooks::find() else { return fork_by_python(py, theirs) };
    hooks.before(py);
    let forked = twice(theirs);
    if matches!(forked, Ok(Forked::Child)) {
        hooks.after_in_child(py);
    } else {
        hooks.after_in_parent(py);
    }
    forked
}

fn twice(theirs: &Channel) -> Result<Forked, String> {
    match sys::fork_unchecked().map_err(|error| shortage::explain(&error))? {
        Forked::Parent(between) => reap(between),
        Forked::Child => {
            let between = getpid();
            match sys::fork_unchecked() {
                Ok(Forked::Child) => {
                    wait_for_master(between);
                    Ok(Forked::Child)
                }
                Ok(Forked::Parent(pid)) => leave_behind(theirs, pid),
                Err(error) => sys::exit_now(code(error.raw_os_error())),
            }
        }
    }
}

/// Python 3.6 has no hooks, and one function for all that has to be done around a fork.
fn fork_by_python(py: Python<'_>, theirs: &Channel) -> Result<Forked, String> {
    match sys::fork_unchecked().map_err(|error| shortage::explain(&error))? {
        Forked::Parent(between) => reap(between),
        Forked::Child => match py.import("os").and_then(|os| os.call_method0("fork")?.extract()) {
            Ok(0) => {
                reseed(py);
                Ok(Forked::Child)
            }
            Ok(pid) => leave_behind(theirs, pid),
            Err(error) => {
                let errno = error.value(py).getattr("errno").and_then(|errno| errno.extract());
                let code = code(errno.ok());
                if code == u8::MAX {
                    crate::traceback::entry(py, &error, "os.fork(): ").send();
                }
                sys::exit_now(code)
            }
        },
    }
}

/// What later Pythons do by a hook: workers must not draw the same numbers.
fn reseed(py: Python<'_>) {
    let seed = || -> PyResult<()> {
        let modules = py.import("sys")?.getattr("modules")?;
        match modules.call_method1("get", ("random",))? {
            random if random.is_none() => Ok(()),
            random => random.call_method0("seed").map(drop),
        }
    };
    if let Err(error) = seed() {
        crate::traceback::entry(py, &error, "random.seed(): ").send();
    }
}

/// Until the parent of this process, a worker, is the master, which hooks of the application may look
/// at. Before Linux 5.3 nobody tells, and it may be the process between for some microseconds.
fn wait_for_master(between: Pid) {
    if getppid() == between {
        let _ = sys::wait_for_exit(between.as_raw(), ADOPTION);
    }
}

/// The end of the process between: says who the worker is, in case it cannot say so itself.
fn leave_behind(theirs: &Channel, pid: i32) -> ! {
    let _ = theirs.send(&FromWorker::Forked { pid }, &[]);
    sys::exit_now(0)
}

fn reap(between: i32) -> Result<Forked, String> {
    match waitpid(Pid::from_raw(between), None) {
        // ECHILD: the application ignores SIGCHLD, and the kernel has reaped it.
        Ok(WaitStatus::Exited(_, 0)) | Err(Errno::ECHILD) => Ok(Forked::Parent(between)),
        Ok(WaitStatus::Exited(_, errno)) if errno < UNKNOWN => {
            Err(shortage::explain(&io::Error::from_raw_os_error(errno)))
        }
        _ => Err("the second fork failed; see the entry before".to_owned()),
    }
}

/// The exit code of the process between when it has no number of an error to tell.
const UNKNOWN: i32 = u8::MAX as i32;

/// An error number as an exit code.
fn code(errno: Option<i32>) -> u8 {
    let errno = errno.filter(|errno| (1..UNKNOWN).contains(errno));
    errno.and_then(|errno| u8::try_from(errno).ok()).unwrap_or(u8::MAX)
}
