//! Says that somebody connects while no worker is there who would notice.
//!
//! It looks and never accepts: the connection stays in the queue of its listener, for a worker.

use std::io;
use std::os::fd::{BorrowedFd, OwnedFd};

use tokio::io::Interest;
use tokio::io::unix::AsyncFd;
use tokio::sync::mpsc;
use tokio::task::JoinHandle;

use crate::master::Arrival;

/// Rings once, for the first who connects; silent when dropped.
#[derive(Debug)]
pub(crate) struct Doorbell {
    watches: Vec<JoinHandle<()>>,
}

impl Doorbell {
    /// Watches `listeners`, those at which somebody waits already included.
    ///
    /// # Errors
    /// EMFILE, ENOMEM, or ENOSPC of epoll_ctl(2).
    pub(crate) fn new(
        listeners: &[BorrowedFd<'_>],
        arrivals: &mpsc::UnboundedSender<Arrival>,
    ) -> io::Result<Self> {
        let mut doorbell = Self { watches: Vec::new() };
        for listener in listeners {
            let listener = watch(listener.try_clone_to_owned()?)?;
            let arrivals = arrivals.clone();
            doorbell.watches.push(tokio::spawn(async move {
                if listener.readable().await.is_ok() {
                    let _ = arrivals.send(Arrival::Knock);
                }
            }));
        }
        Ok(doorbell)
    }
}

impl Drop for Doorbell {
    fn drop(&mut self) {
        self.watches.iter().for_each(JoinHandle::abort);
    }
}

#[expect(
    deprecated,
    reason = "the successor is unsafe; the descriptor is a duplicate of our own and stays what it is"
)]
fn watch(listener: OwnedFd) -> io::Result<AsyncFd<OwnedFd>> {
    AsyncFd::with_interest(listener, Interest::READABLE)
}
