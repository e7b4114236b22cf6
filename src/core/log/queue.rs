//! A bounded queue before the sinks, and the thread that empties it.
//!
//! A sender takes a lock for the length of a push and never waits for a sink. Requests and all other
//! entries have each a bound of their own: whatever is dropped is counted, and no number of requests
//! takes the place of an error. The count is logged when there is room again. The thread is woken
//! once for a burst: after the first entry it waits a moment for more.

use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::time::Duration;

use nix::sys::signal::SigSet;

use super::batch::{Batch, Form};
use super::outlets::Outlets;
use super::{Entry, Level};

/// Entries that may wait, beside requests.
const ENTRIES: usize = 65_536;
/// Bytes of their texts and fields. One that has more may wait alone.
const TEXT: usize = 64 << 20;
/// Bytes of requests that may wait.
const BYTES: usize = 16 << 20;
/// How long the first entry of a burst waits for others.
const GATHER: Duration = Duration::from_millis(20);
/// How long `flush` waits for a sink that does not take anything.
const FLUSH: Duration = Duration::from_secs(1);
/// How often a sink that took nothing is asked whether it takes what was lost.
const RETRY: Duration = Duration::from_secs(2);

#[derive(Default)]
struct State {
    batch: Batch,
    lost: u64,
    writing: bool,
    urgent: bool,
    reopen: bool,
}

#[derive(Default)]
struct Shared {
    state: Mutex<State>,
    arrived: Condvar,
    written: Condvar,
}

/// The sending side; the thread lives as long as the process.
pub(super) struct Queue {
    shared: Arc<Shared>,
}

impl Queue {
    /// Starts the thread.
    ///
    /// # Errors
    /// EAGAIN: too many threads, no memory.
    pub(super) fn start(outlets: Outlets) -> std::io::Result<Self> {
        let shared = Arc::<Shared>::default();
        let theirs = Arc::clone(&shared);
        std::thread::Builder::new().name("rwsgi-log".into()).stack_size(1 << 20).spawn(
            move || {
                // They are for those who wait for them: here one could be taken in unseen.
                let _ = SigSet::all().thread_block();
                write_for_ever(&theirs, outlets);
            },
        )?;
        Ok(Self { shared })
    }

    pub(super) fn push(&self, entry: Entry) {
        let urgent = entry.level <= Level::Notice;
        self.put(urgent, |batch| {
            let has_text = batch.text() == 0 || batch.text() + entry.size() <= TEXT;
            let has_room = batch.entries() < ENTRIES && has_text;
            if has_room {
                batch.push(entry);
            }
            has_room
        });
    }

    pub(super) fn push_access(&self, bytes: &[u8], level: Level, form: Form) {
        self.put(false, |batch| {
            let has_room = batch.bytes() + bytes.len() <= BYTES;
            if has_room {
                batch.push_access(bytes, level, form);
            }
            has_room
        });
    }

    fn put(&self, urgent: bool, put: impl FnOnce(&mut Batch) -> bool) {
        let mut state = self.shared.lock();
        if !put(&mut state.batch) {
            state.lost += 1;
            return;
        }
        // Whoever finds the queue empty wakes the thread; everybody else knows it is awake.
        let wake = state.batch.len() == 1 || (urgent && !state.urgent);
        state.urgent |= urgent;
        drop(state);
        if wake {
            self.shared.arrived.notify_one();
        }
    }

    pub(super) fn reopen(&self) {
        self.shared.lock().reopen = true;
        self.shared.arrived.notify_one();
    }

    pub(super) fn flush(&self) {
        let mut state = self.shared.lock();
        state.urgent = true;
        self.shared.arrived.notify_one();
        let _ = self
            .shared
            .written
            .wait_timeout_while(state, FLUSH, |state| !state.batch.is_empty() || state.writing);
    }
}

impl Shared {
    fn lock(&self) -> std::sync::MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn write_for_ever(shared: &Shared, mut outlets: Outlets) {
    let mut batch = Batch::default();
    loop {
        let mut state = shared.lock();
        while state.batch.is_empty() && !state.reopen {
            if outlets.has_losses() {
                let waited = shared.arrived.wait_timeout(state, RETRY);
                state = waited.unwrap_or_else(PoisonError::into_inner).0;
                break;
            }
            state = shared.arrived.wait(state).unwrap_or_else(PoisonError::into_inner);
        }
        if !state.urgent && !state.reopen {
            state = shared
                .arrived
                .wait_timeout_while(state, GATHER, |state| !state.urgent && !state.reopen)
                .unwrap_or_else(PoisonError::into_inner)
                .0;
        }
        std::mem::swap(&mut batch, &mut state.batch);
        let lost = std::mem::take(&mut state.lost);
        let reopen = std::mem::take(&mut state.reopen);
        state.urgent = false;
        state.writing = true;
        drop(state);
        if reopen {
            outlets.reopen();
        }
        outlets.write_all(&batch);
        batch.clear();
        outlets.lose(lost, "the log is too slow");
        outlets.tell_losses();
        shared.lock().writing = false;
        shared.written.notify_all();
    }
}

#[cfg(test)]
mod tests {
    use super::super::{Event, Speaker};
    use super::*;
    use crate::config::LogTarget;
    use crate::config::logging::{Log, Sinks};

    #[test]
    fn no_size_of_entries_fills_the_memory() {
        let mut batch = Batch::default();
        let large = || Entry::new(Level::Info, Event::ApplicationLog, "x".repeat(TEXT / 4));
        let queue = Queue { shared: Arc::default() };
        (0..9).for_each(|_| queue.push(large()));
        let mut state = queue.shared.lock();
        std::mem::swap(&mut state.batch, &mut batch);
        assert_eq!((batch.entries(), state.lost), (4, 5));
        drop(state);
        queue.push(Entry::new(Level::Info, Event::ApplicationLog, "x".repeat(TEXT + 1)));
        assert_eq!(queue.shared.lock().batch.entries(), 1);
    }

    #[test]
    fn no_number_of_requests_costs_an_error() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("log");
        let fifo = directory.path().join("fifo");
        nix::unistd::mkfifo(&fifo, nix::sys::stat::Mode::S_IRWXU).unwrap();
        // Nobody reads: the pipe is full, and so is the queue.
        let pipe = std::fs::File::options().read(true).write(true).open(&fifo).unwrap();
        let target = LogTarget::File(path);
        let log = Log { sinks: Sinks { target, ..Sinks::default() }, ..Log::default() };
        let speaker = Speaker { instance: "shop".into(), worker: None };
        let stuck = pipe.try_clone().unwrap().into();
        let queue = Queue::start(Outlets::of_everything(&log, &speaker, Some(stuck))).unwrap();
        let line = [b'x'; 1 << 20];
        (0..40).for_each(|_| queue.push_access(&line, Level::Info, Form::Bare));
        queue.push(Entry::new(Level::Error, Event::Traceback, "the error"));
        let (mut said, mut part) = (Vec::new(), vec![0; 1 << 20]);
        while !said.ends_with(b"log is too slow\n") {
            let length = std::io::Read::read(&mut &pipe, &mut part).unwrap();
            said.extend_from_slice(&part[..length]);
        }
        let said = String::from_utf8(said).unwrap();
        assert!(said.contains("error: the error\n"));
        assert!(said.contains(" log entries were lost: the log is too slow"));
    }
}
