//! A process that the application forks by itself: it has the memory of the log, and not the thread
//! that writes it.
//!
//! For the length of a fork the forking thread holds what the child needs, so that nobody else has
//! it in the child, where he is not. The child only notes that it is one: most execute a program at
//! once, and say nothing.

use std::cell::RefCell;
use std::io;
use std::os::fd::OwnedFd;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use super::outlets::Outlets;
use super::{Output, Outputs, outputs, sink, stream};
use crate::sys;

/// This process is a child that has said nothing yet.
static FORKED: AtomicBool = AtomicBool::new(false);
/// The file of the log, as the parent had it.
static INHERITED: Mutex<Option<OwnedFd>> = Mutex::new(None);

type Held = MutexGuard<'static, Outputs>;
type Inherited = MutexGuard<'static, Option<OwnedFd>>;

thread_local! {
    static HELD: RefCell<Option<(Held, Inherited)>> = const { RefCell::new(None) };
}

/// From now on processes that this one forks log on, at once and not over a queue.
///
/// # Errors
/// ENOMEM.
pub fn follow_forks() -> io::Result<()> {
    sys::at_fork(before, in_parent, in_child)
}

extern "C" fn before() {
    // First the file: to ask for it takes a lock of its own.
    let log = sink::file();
    let output = outputs();
    let mut inherited = INHERITED.lock().unwrap_or_else(PoisonError::into_inner);
    *inherited = log;
    HELD.set(Some((output, inherited)));
}

extern "C" fn in_parent() {
    if let Some((_, mut inherited)) = HELD.take() {
        *inherited = None;
    }
}

extern "C" fn in_child() {
    FORKED.store(true, Relaxed);
    HELD.take();
}

/// In a child, before its first word: opens a way to the log that needs no thread.
pub(super) fn take_over() {
    if !FORKED.load(Relaxed) || !FORKED.swap(false, Relaxed) {
        return;
    }
    let opened = {
        let mut outputs = outputs();
        outputs.requests = None;
        match outputs.everything.as_deref() {
            Some(Output::Queued(_) | Output::Direct(_)) => outputs.opened.clone(),
            Some(Output::Relay) | None => None,
        }
    };
    let Some((log, speaker)) = opened.as_deref() else { return };
    // The lock of the standard library's stderr may be held by who is not here.
    if stream::stderr().is_none()
        && let Ok(stderr) = sys::duplicate(2)
    {
        stream::use_as_stderr(stderr);
    }
    let file = INHERITED.lock().unwrap_or_else(PoisonError::into_inner).take();
    let outlets = Mutex::new(Outlets::of_everything(log, speaker, file));
    outputs().everything = Some(Arc::new(Output::Direct(Box::new(outlets))));
}
