//! What each Python thread works on, for who watches the time.
//!
//! A thread sits down at its desk with a request and leaves it when the application has done with
//! it, both with the GIL. So who has the GIL and finds a request at a desk can raise an exception in
//! its thread without hitting the next request by mistake: until the GIL is given back the thread
//! cannot leave, and when it leaves it takes back an exception that has not arrived yet. A serial
//! number tells whether the request is still the one that was meant.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::{Duration, Instant};

use pyo3::prelude::*;
use rwsgi_protocol::request::Request;
use rwsgi_reactor::{Id, Job};

use crate::ffi;
use crate::wsgi::reply::Reply;

/// The desks of all threads of a worker.
#[derive(Debug)]
pub(crate) struct Desks {
    desks: Vec<Desk>,
    /// Whether anybody wants to know what lies there.
    watched: AtomicBool,
    start: Instant,
}

#[derive(Debug, Default)]
struct Desk {
    /// The number that Python has for the thread; not set before it runs.
    ident: OnceLock<u64>,
    serial: AtomicU64,
    work: Mutex<Option<Work>>,
}

/// A request that the application works on.
#[derive(Debug, Clone)]
pub(crate) struct Work {
    pub(crate) request: Arc<Request>,
    pub(crate) reply: Arc<Reply>,
    serial: u64,
    began: Duration,
    /// An exception was raised in its thread, and has arrived or not.
    interrupted: bool,
}

impl Desks {
    pub(crate) fn new(threads: u32, watched: bool) -> Self {
        let desks = (0..threads).map(|_| Desk::default()).collect();
        Self { desks, watched: AtomicBool::new(watched), start: Instant::now() }
    }

    fn desk(&self, hand: Id) -> Option<&Desk> {
        self.desks.get(usize::from(hand.checked_sub(1)?))
    }

    /// The clock of `Job::began`.
    pub(crate) fn now(&self) -> Duration {
        self.start.elapsed()
    }

    /// The thread that calls is the one of `hand`.
    pub(crate) fn occupy(&self, py: Python<'_>, hand: Id) -> PyResult<()> {
        let ident = py.import("threading")?.call_method0("get_ident")?.extract()?;
        if let Some(desk) = self.desk(hand) {
            let _ = desk.ident.set(ident);
        }
        Ok(())
    }

    /// The numbers that Python has for the threads, with those of their desks.
    pub(crate) fn idents(&self) -> impl Iterator<Item = (u64, Id)> + '_ {
        let desks = (1..).zip(&self.desks);
        desks.filter_map(|(hand, desk)| Some((*desk.ident.get()?, hand)))
    }

    /// The application is called. With the GIL.
    pub(crate) fn begin(&self, hand: Id, request: &Arc<Request>, reply: &Arc<Reply>) {
        if self.watched.load(Relaxed)
            && let Some(desk) = self.desk(hand)
        {
            desk.put(request, reply, self.now());
        }
    }

    /// The same for a request whose application has been called `ago`, if nobody has asked for what
    /// lies here before; from now on somebody does. `None`: its time is over already, or there is no
    /// such desk.
    pub(crate) fn begin_late(
        &self,
        hand: Id,
        request: &Arc<Request>,
        reply: &Arc<Reply>,
        ago: Duration,
    ) -> Option<Job> {
        self.watched.store(true, Relaxed);
        let desk = self.desk(hand)?;
        if desk.work().is_none() {
            desk.put(request, reply, self.now().saturating_sub(ago));
        }
        let work = desk.work();
        let Work { serial, began, .. } = *work.as_ref().filter(|work| !work.interrupted)?;
        Some(Job { hand, serial, began })
    }

    /// The application has done with it; an exception that has not arrived never will. With the GIL,
    /// on the thread of `hand`.
    pub(crate) fn end(&self, py: Python<'_>, hand: Id) {
        if !self.watched.load(Relaxed) {
            return;
        }
        let Some(desk) = self.desk(hand) else { return };
        let work = desk.work().take();
        if let (Some(Work { interrupted: true, .. }), Some(ident)) = (work, desk.ident.get()) {
            ffi::raise_in_thread(py, *ident, None);
        }
    }

    /// What runs.
    pub(crate) fn jobs(&self) -> Vec<Job> {
        let desks = (1..).zip(&self.desks);
        let job = |(hand, desk): (Id, &Desk)| {
            let work = desk.work();
            let Work { serial, began, .. } = *work.as_ref()?;
            Some(Job { hand, serial, began })
        };
        desks.filter_map(job).collect()
    }

    /// The request, if that thread still works on it.
    pub(crate) fn work(&self, hand: Id, serial: u64) -> Option<Work> {
        let work = self.desk(hand)?.work().clone();
        work.filter(|work| work.serial == serial)
    }

    /// The number that Python has for the thread, if it still works on that request.
    pub(crate) fn ident_at(&self, hand: Id, serial: u64) -> Option<u64> {
        self.work(hand, serial)?;
        self.desk(hand)?.ident.get().copied()
    }

    /// Raises `exception` in the thread if it still works on that request, and was not interrupted
    /// before.
    pub(crate) fn interrupt(&self, exception: &Bound<'_, PyAny>, hand: Id, serial: u64) {
        let Some(desk) = self.desk(hand) else { return };
        let mut work = desk.work();
        if let Some(work) = work.as_mut().filter(|work| work.serial == serial && !work.interrupted)
            && let Some(ident) = desk.ident.get()
        {
            work.interrupted = ffi::raise_in_thread(exception.py(), *ident, Some(exception));
        }
    }
}

impl Desk {
    fn put(&self, request: &Arc<Request>, reply: &Arc<Reply>, began: Duration) {
        let serial = self.serial.fetch_add(1, Relaxed);
        *self.work() = Some(Work {
            request: Arc::clone(request),
            reply: Arc::clone(reply),
            serial,
            began,
            interrupted: false,
        });
    }

    fn work(&self) -> MutexGuard<'_, Option<Work>> {
        self.work.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
