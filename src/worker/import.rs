//! The import of the application, and who watches that it ends: in time (`import-timeout`), and with
//! the master.

use std::os::fd::{AsFd as _, OwnedFd};
use std::os::unix::net::UnixStream;
use std::time::{Duration, Instant};

use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use pyo3::prelude::*;
use rwsgi_core::config::Config;
use rwsgi_core::exit::ExitCode;
use rwsgi_core::ipc::{Channel, Failure};
use rwsgi_core::{log, sys};

use crate::wsgi::application::{self, Callables};
use crate::{stacks, warm_up};

/// Says to the master, on a channel of its own, why the application cannot be used.
pub(crate) type Report = fn(&Channel, Failure);

/// Imports the applications and warms them up, or ends the process with the reason when that takes too
/// long. No thread is left of it.
pub(crate) fn load(
    py: Python<'_>,
    config: &Config,
    channel: &Channel,
    report: Report,
) -> Result<(Callables, u64), Failure> {
    let watch = ident(py).ok().and_then(|ident| {
        let time = config.reloading.import_timeout;
        let channel = channel.as_fd().try_clone_to_owned().ok()?;
        let (done, over) = UnixStream::pair().ok()?;
        let builder = std::thread::Builder::new().name("rwsgi-import".into()).stack_size(2 << 20);
        let thread = builder.spawn(move || watch(&over, time, ident, channel, report)).ok()?;
        Some((done, thread))
    });
    let loaded = application::load(py, &config.application);
    if let Ok((applications, _)) = &loaded {
        warm_up::ask(py, config, applications);
    }
    if let Some((done, thread)) = watch {
        drop(done);
        let _ = py.detach(|| thread.join());
    }
    loaded
}

fn ident(py: Python<'_>) -> PyResult<u64> {
    py.import("_thread")?.call_method0("get_ident")?.extract()
}

/// What an import comes to.
enum End {
    Imported,
    Late,
    MasterGone,
}

fn wait(over: &UnixStream, channel: &OwnedFd, time: Option<Duration>) -> End {
    let deadline = time.map(|time| Instant::now() + time);
    loop {
        let left = deadline.map(|end| end.saturating_duration_since(Instant::now()));
        // Rounded up: a timeout that is over a little early would be asked for again and again.
        let millis = left
            .map_or(-1, |left| i32::try_from(left.as_micros().div_ceil(1000)).unwrap_or(i32::MAX));
        let timeout = PollTimeout::try_from(millis).unwrap_or(PollTimeout::MAX);
        // Of the channel, nothing but its end: what it says is for later.
        let mut ends = [
            PollFd::new(over.as_fd(), PollFlags::POLLIN),
            PollFd::new(channel.as_fd(), PollFlags::empty()),
        ];
        let ended = poll(&mut ends, timeout);
        let happened = |end: &PollFd<'_>| end.any().unwrap_or(false);
        match ended {
            Ok(_) if happened(&ends[0]) => return End::Imported,
            Ok(_) if happened(&ends[1]) => return End::MasterGone,
            _ if left.is_some_and(|left| left.is_zero()) => return End::Late,
            _ => {}
        }
    }
}

fn watch(over: &UnixStream, time: Option<Duration>, ident: u64, channel: OwnedFd, report: Report) {
    match wait(over, &channel, time) {
        End::Imported => return,
        // Whatever the import waits for: nobody will ever use it, and it holds the listeners.
        End::MasterGone => sys::exit_now(ExitCode::Ok as u8),
        End::Late => {}
    }
    // If Python's lock is not to be had, the master ends the process a little later.
    let stack = Python::try_attach(|py| stacks::of_thread(py, ident)).and_then(Result::ok);
    let seconds = time.unwrap_or_default().as_secs();
    let failure = Failure {
        summary: format!("the application is not imported after {seconds} s (import-timeout)"),
        traceback: format!("It is here:\n{}", stack.unwrap_or_default()),
        place: None,
        errno: None,
    };
    report(&Channel::from_fd(channel), failure);
    log::flush();
    sys::exit_now(ExitCode::Application as u8);
}
