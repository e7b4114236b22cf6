//! A bounded queue before the sink, and the thread that empties it.
//!
//! A sender takes a lock for the length of a push and never waits for the sink; when the queue is
//! full the entry is dropped and counted, and the count is logged when there is room again. The
//! thread is woken once for a burst: after the first entry it waits a moment for more.

use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::time::Duration;

use nix::sys::signal::SigSet;

use super::sink::Sink;
use super::{Item, Level};

/// Entries that may wait; about 30 MiB of requests.
const CAPACITY: usize = 65_536;
/// How long the first entry of a burst waits for others.
const GATHER: Duration = Duration::from_millis(20);
/// How long `flush` waits for a sink that does not take anything.
const FLUSH: Duration = Duration::from_secs(1);
/// How often a sink that took nothing is asked whether it takes what was lost.
const RETRY: Duration = Duration::from_secs(2);

#[derive(Default)]
struct State {
    items: Vec<Item>,
    lost: u64,
    writing: bool,
    urgent: bool,
    reopen: bool,
}

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
    pub(super) fn start(sink: Sink) -> std::io::Result<Self> {
        let shared = Arc::new(Shared {
            state: Mutex::default(),
            arrived: Condvar::new(),
            written: Condvar::new(),
        });
        let theirs = Arc::clone(&shared);
        std::thread::Builder::new().name("rwsgi-log".into()).stack_size(1 << 20).spawn(
            move || {
                // They are for those who wait for them: here one could be taken in unseen.
                let _ = SigSet::all().thread_block();
                write_for_ever(&theirs, sink);
            },
        )?;
        Ok(Self { shared })
    }

    pub(super) fn push(&self, item: Item) {
        let urgent = matches!(&item, Item::Entry(entry) if entry.level <= Level::Notice);
        let mut state = self.shared.lock();
        if state.items.len() >= CAPACITY {
            state.lost += 1;
            return;
        }
        state.items.push(item);
        // Whoever finds the queue empty wakes the thread; everybody else knows it is awake.
        let wake = state.items.len() == 1 || (urgent && !state.urgent);
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
            .wait_timeout_while(state, FLUSH, |state| !state.items.is_empty() || state.writing);
    }
}

impl Shared {
    fn lock(&self) -> std::sync::MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn write_for_ever(shared: &Shared, mut sink: Sink) {
    let mut batch = Vec::new();
    loop {
        let mut state = shared.lock();
        while state.items.is_empty() && !state.reopen {
            if sink.has_losses() {
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
        std::mem::swap(&mut batch, &mut state.items);
        let lost = std::mem::take(&mut state.lost);
        let reopen = std::mem::take(&mut state.reopen);
        state.urgent = false;
        state.writing = true;
        drop(state);
        if reopen {
            sink.reopen();
        }
        sink.write_all(&batch);
        batch.clear();
        sink.lose(lost, "the log is too slow");
        sink.tell_losses();
        shared.lock().writing = false;
        shared.written.notify_all();
    }
}
