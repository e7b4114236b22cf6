//! A worker that has nothing free any more says so, where that brings others.

use std::sync::atomic::Ordering::Relaxed;

use rwsgi_core::ipc::FromWorker;

use crate::worker::Worker;

/// Milliseconds in which it is said once.
const PAUSE: u64 = 20;

impl Worker {
    /// All threads have a request, and new ones are not taken in until one is done; or somebody waits
    /// for that.
    pub(crate) fn tell_busy(&self) {
        if self.config.sizing.cheaper.is_none() || self.is_draining() {
            return;
        }
        let now = self.deadlines.advance();
        if now >= self.busy_at.load(Relaxed) + PAUSE {
            self.busy_at.store(now, Relaxed);
            // Should the master not keep up, it looks by itself, too.
            let _ = self.channel.send(&FromWorker::Busy, &[]);
        }
    }
}
