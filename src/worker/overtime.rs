//! Requests that take too long: what is done about them, and when.
//!
//! ```text
//!   harakiri-warn        harakiri                             + harakiri-grace     + as long again
//!        │                  │                                        │                   │
//!   log, with the      log; 504 or break off;                log; ask to be       ask to be killed,
//!   stack of the       RequestTimeout is raised              replaced             if Python could
//!   thread             in the thread                                              not be asked
//! ```
//! An application may set the deadline of a request by itself ([`Overtime::limit`]); the rest follows
//! in the same steps, counted from that moment. Until the first one does where nothing is configured,
//! nobody looks, and no request is noted for who would.
//!
//! The crew's watcher climbs this ladder and never waits for Python: what takes the GIL is left to
//! the [`Inquirer`](crate::inquirer::Inquirer). Each step is logged once, by who claims its notice
//! first: the inquirer, with the stack, or, when the GIL cannot be had, the watcher without it.
//!
//! `RequestTimeout` is an `Exception`: frameworks catch it, roll back, and make their page for
//! errors out of it, which nobody gets to see since the client has got its 504. An application that
//! catches every exception and goes on outlasts the grace.

use std::sync::atomic::{AtomicBool, Ordering::SeqCst};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use pyo3::exceptions::PyException;
use pyo3::prelude::*;
use rwsgi_core::commons::Deed;
use rwsgi_core::config::Harakiri;
use rwsgi_core::exit::ExitCode;
use rwsgi_core::ipc::FromWorker;
use rwsgi_core::log::{self, Entry, Event};
use rwsgi_core::request_id::RequestId;
use rwsgi_core::running::Running;
use rwsgi_core::sys;
use rwsgi_protocol::request::Request;
use rwsgi_reactor::{Id, Job, Ladder, Reached};

use crate::commons;
use crate::request;
use crate::stacks;
use crate::worker::Worker;
use crate::wsgi::reply::Cut;

pyo3::create_exception!(
    _rwsgi,
    RequestTimeout,
    PyException,
    "Raised by rwsgi in the thread of a request that has taken longer than `harakiri`."
);

/// How long Python may take to tell a stack, before the log does without.
const PATIENCE: Duration = Duration::from_secs(1);

/// What has to be done.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Rung {
    /// Say that it takes long.
    Warn,
    /// Answer the client and interrupt the application.
    Interrupt,
    /// It does not end: ask to be replaced.
    GiveUp,
    /// What was asked of Python last should have been answered.
    Answered,
    /// The same, after the application was given up: Python does not answer at all.
    Lost,
}

/// How long the application allows itself for a request, from the moment on in which it says so.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Limit {
    /// As long as `harakiri` says.
    Configured,
    /// So long.
    In(Duration),
    /// For ever.
    Never,
}

/// The requests that take too long.
#[derive(Debug)]
pub(crate) struct Overtime {
    climbing: Mutex<Climbing>,
    limits: Harakiri,
    /// It has asked to be replaced.
    retired: AtomicBool,
    /// It has asked to be killed.
    lost: AtomicBool,
}

#[derive(Debug)]
struct Climbing {
    ladder: Ladder<Rung>,
    /// The last notice of each request.
    notices: Vec<Arc<Notice>>,
}

/// One step of one request, to be told once.
#[derive(Debug)]
struct Notice {
    rung: Rung,
    hand: Id,
    serial: u64,
    age: Duration,
    request: Arc<Request>,
    id: RequestId,
    /// What became of the response.
    cut: Cut,
    /// Somebody tells it.
    claimed: AtomicBool,
    /// Python has answered.
    answered: AtomicBool,
}

impl Overtime {
    pub(crate) fn new(limits: &Harakiri) -> Self {
        let climbing = Climbing { ladder: Ladder::new(rungs(limits)), notices: Vec::new() };
        let (retired, lost) = (AtomicBool::new(false), AtomicBool::new(false));
        Self { climbing: Mutex::new(climbing), limits: *limits, retired, lost }
    }

    /// Whether there is a limit for all requests.
    pub(crate) fn watches(&self) -> bool {
        self.limits.deadline.is_some() || self.limits.warn.is_some()
    }

    /// Gives the request of this thread a limit of its own, from now on. `false`: this thread works
    /// on no request.
    pub(crate) fn limit(py: Python<'_>, limit: Limit) -> PyResult<bool> {
        let Some((request, reply)) = request::current() else { return Ok(false) };
        let (worker, hand) = (reply.worker(), reply.hand());
        stacks::prepare(py)?;
        let running = worker.slot.running();
        let running = running.iter().find(|running| running.thread == hand);
        let ago = running.map_or(Duration::ZERO, Running::age);
        let Some(job) = worker.desks.begin_late(hand, &request, &reply, ago) else {
            // It was interrupted: what its client gets is decided.
            return Ok(true);
        };
        worker.overtime.change(worker.desks.now(), &job, limit);
        worker.crew().watch_job();
        Ok(true)
    }

    fn change(&self, now: Duration, job: &Job, limit: Limit) {
        let mut climbing = self.climbing.lock().unwrap_or_else(PoisonError::into_inner);
        climbing.ladder.change(now, job, |age| {
            let deadline = match limit {
                Limit::Configured => self.limits.deadline,
                Limit::In(time) => Some(time),
                Limit::Never => None,
            };
            let deadline = deadline.map(|time| age + time);
            let warn = self.limits.warn.filter(|warn| deadline.is_none_or(|end| *warn < end));
            rungs(&Harakiri { deadline, warn, ..self.limits })
        });
    }

    /// Looks at what runs and does what has to be done.
    pub(crate) fn look(&self, worker: &'static Worker) {
        let mut climbing = self.climbing.lock().unwrap_or_else(PoisonError::into_inner);
        let jobs = worker.desks.jobs();
        for reached in climbing.ladder.look(worker.desks.now(), &jobs) {
            climbing.climb(worker, &reached);
        }
        let runs = |notice: &Arc<Notice>| jobs.iter().any(|job| notice.is_of(job.hand, job.serial));
        climbing.notices.retain(runs);
    }

    /// Asks to be replaced. Once is enough.
    fn retire(&self, worker: &Worker, reason: String) {
        if !self.retired.swap(true, SeqCst) {
            let _ = worker.channel.send(&FromWorker::Retire { reason }, &[]);
        }
    }

    /// Asks to be killed.
    fn lose(&self, worker: &Worker, reason: String) {
        if self.lost.load(SeqCst) {
            return;
        }
        // What follows is SIGKILL.
        log::flush();
        if worker.channel.send(&FromWorker::Stuck { reason }, &[]).is_err() {
            // Nobody will do it: the master is gone, or does not listen.
            sys::exit_now(ExitCode::Application as u8);
        }
        self.lost.store(true, SeqCst);
    }
}

fn rungs(limits: &Harakiri) -> Vec<(Duration, Rung)> {
    let mut rungs = Vec::new();
    if let Some(warn) = limits.warn {
        rungs.extend([(warn, Rung::Warn), (warn + PATIENCE, Rung::Answered)]);
    }
    if let Some(deadline) = limits.deadline {
        let given_up = deadline + limits.grace;
        let lost = given_up + limits.grace;
        rungs.extend([(deadline, Rung::Interrupt), (deadline + PATIENCE, Rung::Answered)]);
        rungs.extend([(given_up, Rung::GiveUp), (lost, Rung::Lost)]);
    }
    rungs
}

impl Climbing {
    fn climb(&mut self, worker: &'static Worker, reached: &Reached<Rung>) {
        let Some(work) = worker.desks.work(reached.hand, reached.serial) else { return };
        let last = self.notices.iter().find(|notice| notice.is_of(reached.hand, reached.serial));
        let last = last.map(Arc::clone);
        if let Some(last) = last.as_ref().filter(|last| last.claim()) {
            last.entry(Stack::Unknown).send();
        }
        let unanswered = last.as_ref().is_some_and(|last| !last.answered.load(SeqCst));
        let cut = match reached.rung {
            Rung::Interrupt => {
                commons::count(Deed::Interrupted);
                work.reply.time_out()
            }
            Rung::Warn | Rung::GiveUp => Cut::Nothing,
            Rung::Answered => return,
            Rung::Lost if !unanswered => return,
            Rung::Lost => Cut::Nothing,
        };
        let notice = Arc::new(Notice::new(reached, worker, work.request, cut));
        self.notices.retain(|other| !other.is_of(notice.hand, notice.serial));
        self.notices.push(Arc::clone(&notice));
        match reached.rung {
            Rung::GiveUp if unanswered => notice.give_up_worker(worker),
            Rung::Lost => notice.give_up_worker(worker),
            Rung::Warn | Rung::Interrupt | Rung::GiveUp | Rung::Answered => {
                worker.inquirer.ask(move |py| notice.tell(py, worker));
            }
        }
    }
}

/// What is known of where a thread is.
enum Stack {
    Known(String),
    /// The request has ended meanwhile.
    Ended,
    /// Python does not answer.
    Unknown,
}

impl Notice {
    fn new(reached: &Reached<Rung>, worker: &Worker, request: Arc<Request>, cut: Cut) -> Self {
        let id = worker.request_id(&request);
        let Reached { hand, serial, age, rung } = *reached;
        let (claimed, answered) = (AtomicBool::new(false), AtomicBool::new(false));
        Self { rung, hand, serial, age, request, id, cut, claimed, answered }
    }

    fn is_of(&self, hand: Id, serial: u64) -> bool {
        (self.hand, self.serial) == (hand, serial)
    }

    /// Whether it has yet to be told: by who asks first.
    fn claim(&self) -> bool {
        !self.claimed.swap(true, SeqCst)
    }

    /// With the GIL: says where the thread is, and does what only Python can do.
    fn tell(&self, py: Python<'_>, worker: &Worker) {
        self.answered.store(true, SeqCst);
        if self.claim() {
            let stack = match worker.desks.ident_at(self.hand, self.serial) {
                None => Stack::Ended,
                Some(ident) => stacks::of_thread(py, ident).map_or(Stack::Ended, Stack::Known),
            };
            self.entry(stack).send();
        }
        // Others may have had the GIL while the stack was written: whether the request still runs
        // is only seen, and only true, in `interrupt`, and while this thread has the GIL.
        match self.rung {
            Rung::Interrupt => {
                let exception = py.get_type::<RequestTimeout>();
                worker.desks.interrupt(exception.as_any(), self.hand, self.serial);
            }
            Rung::GiveUp if worker.desks.work(self.hand, self.serial).is_some() => {
                worker.overtime.retire(worker, self.reason());
            }
            Rung::GiveUp | Rung::Warn | Rung::Answered | Rung::Lost => {}
        }
    }

    /// Without the GIL, which nobody gets any more.
    fn give_up_worker(&self, worker: &Worker) {
        if self.claim() {
            self.entry(Stack::Unknown).send();
        }
        let reason = format!("{}, and Python does not answer", self.reason());
        worker.overtime.lose(worker, reason);
    }

    fn what(&self) -> String {
        let mut what = format!("{} ", self.request.method);
        log::escape_into(&mut what, &self.request.path());
        what
    }

    fn reason(&self) -> String {
        let seconds = self.age.as_secs_f64();
        format!("{} was interrupted and has not ended after {seconds:.1} s", self.what())
    }

    fn entry(&self, stack: Stack) -> Entry {
        let (what, seconds) = (self.what(), self.age.as_secs_f64());
        let mut message = match self.rung {
            Rung::Warn | Rung::Answered => format!("{what} has been running for {seconds:.1} s"),
            Rung::Interrupt => {
                let cut = match self.cut {
                    Cut::Answered => ", and its client gets 504",
                    Cut::BrokenOff => ", and its response breaks off",
                    Cut::Nothing => "; its response has left",
                };
                format!("{what} has been running for {seconds:.1} s: it is interrupted{cut}")
            }
            Rung::GiveUp | Rung::Lost => self.reason(),
        };
        let level = if self.rung == Rung::Warn { log::warning } else { log::error };
        let event = match self.rung {
            Rung::Warn | Rung::Answered => Event::SlowRequest,
            Rung::Interrupt => Event::RequestTimeout,
            Rung::GiveUp | Rung::Lost => Event::WorkerStuck,
        };
        match &stack {
            Stack::Known(stack) => {
                message.push_str("\nStack of its thread (most recent call last):\n");
                message.push_str(stack);
            }
            Stack::Ended => message.push_str("; it has ended meanwhile"),
            Stack::Unknown => message.push_str(
                "; where it is cannot be told: code that does not return holds Python's lock",
            ),
        }
        let entry = level(event, message)
            .number("REQUEST_ID", &self.id)
            .field("REQUEST_METHOD", self.request.method.as_str().to_owned())
            .field("REQUEST_PATH", self.request.path().into_owned())
            .number("DURATION_USEC", self.age.as_micros());
        match stack {
            Stack::Known(stack) => entry.field("PYTHON_STACK", stack),
            Stack::Ended | Stack::Unknown => entry,
        }
    }
}
