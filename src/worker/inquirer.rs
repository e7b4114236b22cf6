//! The thread that waits for the GIL in the place of those who must not: the watcher, and the
//! leader. It begins with the first question and asks them one by one.

use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;

use pyo3::prelude::*;

/// Something that takes the GIL.
type Question = Box<dyn FnOnce(Python<'_>) + Send>;

/// The thread, and the way to it.
#[derive(Debug, Default)]
pub(crate) struct Inquirer {
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    thread: Option<(Sender<Question>, JoinHandle<()>)>,
    ended: bool,
}

impl Inquirer {
    /// Asks as soon as the GIL can be had, and never waits. `false`: it never will.
    pub(crate) fn ask(&self, question: impl FnOnce(Python<'_>) + Send + 'static) -> bool {
        let mut state = self.state();
        if state.thread.is_none() && !state.ended {
            state.thread = start();
        }
        let thread = state.thread.as_ref();
        thread.is_some_and(|(questions, _)| questions.send(Box::new(question)).is_ok())
    }

    /// Asks what has been asked for, and ends: no thread may wait for the GIL when Python ends.
    /// Without the GIL.
    pub(crate) fn end(&self) {
        let mut state = self.state();
        state.ended = true;
        let thread = state.thread.take();
        drop(state);
        if let Some((questions, thread)) = thread {
            drop(questions);
            let _ = thread.join();
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn start() -> Option<(Sender<Question>, JoinHandle<()>)> {
    let (questions, asked) = channel();
    // It runs Python code.
    let builder = std::thread::Builder::new().name("rwsgi-inquire".into()).stack_size(2 << 20);
    let thread = builder.spawn(move || answer(&asked)).ok()?;
    Some((questions, thread))
}

fn answer(asked: &Receiver<Question>) {
    while let Ok(question) = asked.recv() {
        Python::try_attach(question);
    }
}
