//! Signals of uWSGI's module: numbers from 0 to 255 that have handlers, sent by the application, by
//! timers, at times of the clock, and when a file changes. The master does the sending; here is
//! who asks for it, and who calls the handlers: a thread of its own, one after the other, while
//! requests go on.

use std::collections::{BTreeMap, VecDeque};
use std::io;
use std::os::fd::AsFd as _;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use pyo3::exceptions::{PyNotImplementedError, PyOSError, PyTypeError, PyValueError};
use pyo3::prelude::*;
use pyo3::types::PyDict;
use rwsgi_core::cron::When;
use rwsgi_core::ipc::{Channel, FromTemplate, FromWorker, SignalOrder, Target};
use rwsgi_core::log::{self, Event};

use crate::worker::Worker;
use crate::{commons, traceback};

/// How many may wait; more are not called.
const MOST: usize = 1000;
/// How long the master may not read what it is told, and how long one look at that takes, in milliseconds.
const PATIENCE: Duration = Duration::from_secs(5);
const LOOK: u16 = 500;

/// The way to the master.
enum Voice {
    Template(Channel),
    Worker(Channel),
}

impl Voice {
    fn say(&self, order: &SignalOrder) -> io::Result<()> {
        match self {
            Self::Template(channel) => channel.send(&FromTemplate::Signal(order.clone()), &[]),
            Self::Worker(channel) => channel.send(&FromWorker::Signal(order.clone()), &[]),
        }
    }

    /// Waits a while until the channel takes something in.
    fn wait(&self) {
        let (Self::Template(channel) | Self::Worker(channel)) = self;
        let _ =
            poll(&mut [PollFd::new(channel.as_fd(), PollFlags::POLLOUT)], PollTimeout::from(LOOK));
    }
}

static VOICE: Mutex<Option<Arc<Voice>>> = Mutex::new(None);
static HANDLERS: Mutex<BTreeMap<u8, Py<PyAny>>> = Mutex::new(BTreeMap::new());

fn hold<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// What is said from now on is said as this template.
///
/// # Errors
/// EMFILE.
pub(crate) fn speak_as_template(channel: &Channel) -> io::Result<()> {
    let channel = Channel::from_fd(channel.as_fd().try_clone_to_owned()?);
    *hold(&VOICE) = Some(Arc::new(Voice::Template(channel)));
    Ok(())
}

/// What is said from now on is said as this worker.
///
/// # Errors
/// EMFILE.
pub(crate) fn speak_as_worker(channel: &Channel) -> io::Result<()> {
    let channel = Channel::from_fd(channel.as_fd().try_clone_to_owned()?);
    *hold(&VOICE) = Some(Arc::new(Voice::Worker(channel)));
    Ok(())
}

/// Tells the master, and waits while it has not read what was told before.
fn say(py: Python<'_>, order: &SignalOrder) -> PyResult<()> {
    let voice = hold(&VOICE).clone();
    let until = Instant::now() + PATIENCE;
    let mut said =
        voice.as_ref().map_or(Err(io::ErrorKind::NotConnected.into()), |it| it.say(order));
    while let (Some(voice), Err(error)) = (&voice, &said)
        && error.kind() == io::ErrorKind::WouldBlock
        && Instant::now() < until
    {
        py.detach(|| voice.wait());
        py.check_signals()?;
        said = voice.say(order);
    }
    said.map_err(|error| PyOSError::new_err(format!("the master cannot be told: {error}")))
}

/// Adds functions to uWSGI's module.
pub(crate) fn install(module: &Bound<'_, PyModule>) -> PyResult<()> {
    module.add_function(wrap_pyfunction!(register_signal, module)?)?;
    module.add_function(wrap_pyfunction!(signal_registered, module)?)?;
    module.add_function(wrap_pyfunction!(signal, module)?)?;
    module.add_function(wrap_pyfunction!(add_timer, module)?)?;
    module.add_function(wrap_pyfunction!(add_rb_timer, module)?)?;
    module.add_function(wrap_pyfunction!(add_cron, module)?)?;
    module.add_function(wrap_pyfunction!(add_file_monitor, module)?)?;
    Ok(())
}

fn number(number: i64) -> PyResult<u8> {
    u8::try_from(number)
        .map_err(|_| PyValueError::new_err(format!("{number} is no signal: 0 to 255")))
}

fn target(text: &str) -> PyResult<Target> {
    let refuse = |what: &str| {
        PyNotImplementedError::new_err(format!(
            "target {text:?}: there are no {what}; the handler can run in a worker: \"\" or \"worker\", \
             \"workers\", \"workerN\", \"active-workers\""
        ))
    };
    let worker = |number: &str| number.parse().ok().filter(|number| *number > 0);
    match text {
        "" | "worker" | "worker0" => Ok(Target::Any),
        "workers" | "active-workers" => Ok(Target::All),
        _ if text.starts_with("mule") => Err(refuse("mules")),
        _ if text.starts_with("farm") => Err(refuse("farms")),
        "spooler" | "subscribed" => {
            Err(refuse(if text == "spooler" { "spoolers" } else { "subscriptions" }))
        }
        _ => match text.strip_prefix("worker").and_then(worker) {
            Some(number) => Ok(Target::Worker(number)),
            None => Err(PyValueError::new_err(format!(
                "target {text:?}: it is one of \"\", \"worker\", \"workers\", \"workerN\" and \
                 \"active-workers\""
            ))),
        },
    }
}

/// Has `handler(number)` be called for a signal, where `who` says.
#[pyfunction]
fn register_signal(
    py: Python<'_>,
    signum: i64,
    who: &str,
    handler: &Bound<'_, PyAny>,
) -> PyResult<bool> {
    let (number, target) = (number(signum)?, target(who)?);
    if !handler.is_callable() {
        return Err(PyTypeError::new_err("the handler of a signal has to be callable"));
    }
    say(py, &SignalOrder::Handler { number, target })?;
    let earlier = hold(&HANDLERS).insert(number, handler.clone().unbind());
    drop(earlier);
    Ok(true)
}

/// True, or None.
#[pyfunction]
fn signal_registered(signum: i64) -> PyResult<Option<bool>> {
    Ok(hold(&HANDLERS).contains_key(&number(signum)?).then_some(true))
}

/// Sends a signal to the workers of this instance that are to have it.
#[pyfunction]
#[pyo3(signature = (signum, node=None))]
fn signal(py: Python<'_>, signum: i64, node: Option<&Bound<'_, PyAny>>) -> PyResult<()> {
    if node.is_some() {
        return Err(PyNotImplementedError::new_err(
            "uwsgi.signal(): signals stay within the instance; ask another one by HTTP",
        ));
    }
    say(py, &SignalOrder::Send { number: number(signum)? })
}

fn interval(seconds: i64) -> PyResult<u32> {
    u32::try_from(seconds).ok().filter(|seconds| *seconds > 0).ok_or_else(|| {
        PyValueError::new_err(format!("{seconds} is no interval: whole seconds, 1 or more"))
    })
}

/// Sends a signal every so many seconds.
#[pyfunction]
fn add_timer(py: Python<'_>, signum: i64, seconds: i64) -> PyResult<bool> {
    let (number, seconds) = (number(signum)?, interval(seconds)?);
    say(py, &SignalOrder::Timer { number, seconds, times: 0 }).map(|()| true)
}

/// The same, so many times; 0: for ever.
#[pyfunction]
#[pyo3(signature = (signum, seconds, iterations=0))]
fn add_rb_timer(py: Python<'_>, signum: i64, seconds: i64, iterations: u32) -> PyResult<bool> {
    let (number, seconds) = (number(signum)?, interval(seconds)?);
    say(py, &SignalOrder::Timer { number, seconds, times: iterations }).map(|()| true)
}

/// Sends a signal at times of the local clock; -1: any, -N: every Nth.
#[pyfunction]
fn add_cron(
    py: Python<'_>,
    signum: i64,
    minute: i64,
    hour: i64,
    day: i64,
    month: i64,
    weekday: i64,
) -> PyResult<bool> {
    let when = When::new([minute, hour, day, month, weekday])
        .map_err(|why| PyValueError::new_err(format!("uwsgi.add_cron(): {why}")))?;
    say(py, &SignalOrder::Cron { number: number(signum)?, when }).map(|()| true)
}

/// Sends a signal when a file or directory changes, or is made.
#[pyfunction]
fn add_file_monitor(py: Python<'_>, signum: i64, path: std::path::PathBuf) -> PyResult<bool> {
    let number = number(signum)?;
    let path = std::path::absolute(path)?;
    let path = path.into_os_string().into_string().map_err(|path| {
        PyValueError::new_err(format!("{} is no text", std::path::Path::new(&path).display()))
    })?;
    say(py, &SignalOrder::File { number, path }).map(|()| true)
}

/// Signals of a worker that wait for their handlers.
#[derive(Debug, Default)]
pub(crate) struct Signals {
    state: Mutex<State>,
    news: Condvar,
}

#[derive(Debug, Default)]
struct State {
    waiting: VecDeque<u8>,
    has_thread: bool,
    is_calling: bool,
    ended: bool,
}

impl Worker {
    /// A signal has come, and the GIL is not ours.
    pub(crate) fn on_signal(&'static self, number: u8, recurs: bool) {
        let mut state = hold(&self.signals.state);
        if state.ended || recurs && state.waiting.contains(&number) {
            return;
        }
        if state.waiting.len() >= MOST {
            let message = format!(
                "{MOST} signals of the uwsgi module wait for their handlers: signal {number} is lost"
            );
            drop(state);
            return self.complain("", log::error(Event::ApplicationError, message));
        }
        state.waiting.push_back(number);
        self.signals.news.notify_all();
        if !std::mem::replace(&mut state.has_thread, true) {
            drop(state);
            self.inquirer.ask(move |py| {
                if let Err(error) = start(py, self) {
                    traceback::entry(py, &error, "no handler of a signal can be called: ").send();
                    hold(&self.signals.state).has_thread = false;
                }
            });
        }
    }

    /// The worker has served. A handler that is being called may end, within the time that the
    /// worker has; others are not called any more. Without the GIL.
    pub(crate) fn end_signals(&self) {
        let until = Instant::now() + self.config.mercy;
        let mut state = hold(&self.signals.state);
        state.ended = true;
        state.waiting.clear();
        self.signals.news.notify_all();
        while state.is_calling {
            let left = until.saturating_duration_since(Instant::now());
            if left.is_zero() {
                let message = "the handler of a signal has not ended: the worker leaves without it";
                log::warning(Event::WorkerExited, message).send();
                return;
            }
            let waited = self.signals.news.wait_timeout(state, left);
            state = waited.unwrap_or_else(PoisonError::into_inner).0;
        }
    }
}

/// A thread of Python's own making, so that `threading` knows it.
fn start(py: Python<'_>, worker: &'static Worker) -> PyResult<()> {
    let arguments = PyDict::new(py);
    arguments.set_item("target", Bound::new(py, Caller { worker })?)?;
    arguments.set_item("name", "rwsgi-signals")?;
    arguments.set_item("daemon", true)?;
    let thread = py.import("threading")?.call_method("Thread", (), Some(&arguments))?;
    thread.call_method0("start").map(drop)
}

/// Calls handlers until the worker ends.
#[pyclass(frozen)]
struct Caller {
    worker: &'static Worker,
}

#[pymethods]
impl Caller {
    fn __call__(&self, py: Python<'_>) {
        while let Some(number) = py.detach(|| self.worker.signals.next()) {
            call(py, number);
            hold(&self.worker.signals.state).is_calling = false;
            self.worker.signals.news.notify_all();
        }
    }
}

impl Signals {
    /// The next one, when it has come; `None`: there will be no more.
    fn next(&self) -> Option<u8> {
        let mut state = hold(&self.state);
        loop {
            if state.ended {
                return None;
            }
            if let Some(number) = state.waiting.pop_front() {
                state.is_calling = true;
                return Some(number);
            }
            state = self.news.wait(state).unwrap_or_else(PoisonError::into_inner);
        }
    }
}

fn call(py: Python<'_>, number: u8) {
    let handler = hold(&HANDLERS).get(&number).map(|handler| handler.clone_ref(py));
    let Some(handler) = handler else {
        let message = format!(
            "signal {number} of the uwsgi module has no handler in this worker: register it while the \
             application is imported"
        );
        return log::warning(Event::ApplicationError, message).send();
    };
    commons::count_signal();
    if let Err(error) = handler.call1(py, (number,)) {
        traceback::entry(py, &error, &format!("the handler of signal {number}: ")).send();
    }
}
