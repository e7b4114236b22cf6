//! One non-blocking descriptor, and whether reading or writing it is worth a try.
//!
//! Registered edge-triggered and only once, when something first has to wait: a connection that is
//! served and closed at once costs no epoll_ctl(2).

use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::sync::atomic::{AtomicU32, Ordering::SeqCst};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker};

use nix::sys::epoll::EpollFlags;

use crate::reactor::Reactor;

/// Reading or writing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Direction {
    /// Bytes from the peer, or its end.
    Read,
    /// Room for bytes to the peer.
    Write,
}

/// A descriptor that tasks wait for.
#[derive(Debug)]
pub struct Source {
    entry: Arc<Entry>,
    reactor: &'static Reactor,
}

/// What the reactor keeps of a source.
#[derive(Debug)]
pub(crate) struct Entry {
    fd: OwnedFd,
    /// See [`Readiness`].
    readiness: AtomicU32,
    waiters: Mutex<Waiters>,
}

/// Who waits, and the number under which the reactor has the entry.
#[derive(Debug, Default)]
struct Waiters {
    key: Option<usize>,
    read: Option<Waker>,
    write: Option<Waker>,
}

impl Waiters {
    fn of(&mut self, direction: Direction) -> &mut Option<Waker> {
        match direction {
            Direction::Read => &mut self.read,
            Direction::Write => &mut self.write,
        }
    }
}

/// What is worth a try, and how many events there were, so that one that arrives during a system call is not
/// taken for older: bits of one word, which is read without a lock.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Readiness(u32);

impl Readiness {
    const READ: u32 = 1;
    const WRITE: u32 = 2;
    const HUNG_UP: u32 = 4;
    const EVENT: u32 = 8;

    fn is_ready(self, direction: Direction) -> bool {
        self.0 & Self::bit(direction) != 0
    }

    fn has_hung_up(self) -> bool {
        self.0 & Self::HUNG_UP != 0
    }

    fn event(self) -> u32 {
        self.0 / Self::EVENT
    }

    const fn bit(direction: Direction) -> u32 {
        match direction {
            Direction::Read => Self::READ,
            Direction::Write => Self::WRITE,
        }
    }
}

impl Source {
    /// Watches `fd`, which must be non-blocking.
    pub fn new(reactor: &'static Reactor, fd: OwnedFd) -> Self {
        let readiness = AtomicU32::new(Readiness::READ | Readiness::WRITE);
        Self { entry: Arc::new(Entry { fd, readiness, waiters: Mutex::default() }), reactor }
    }

    /// Does `operation` when it may succeed; otherwise has the task woken when it may. With its
    /// result it says whether the descriptor is drained: a stream socket that read less than was
    /// asked for has no more (epoll(7)), and the system call that would say so is saved.
    ///
    /// # Errors
    /// Those of `operation`, other than `WouldBlock`, and of epoll_ctl(2).
    pub fn poll<T>(
        &self,
        direction: Direction,
        cx: &mut Context<'_>,
        mut operation: impl FnMut(BorrowedFd<'_>) -> io::Result<(T, bool)>,
    ) -> Poll<io::Result<T>> {
        loop {
            let seen = self.entry.readiness();
            if !seen.is_ready(direction) {
                match self.wait(direction, cx) {
                    Ok(true) => return Poll::Pending,
                    Ok(false) => continue,
                    Err(error) => return Poll::Ready(Err(error)),
                }
            }
            match operation(self.entry.fd.as_fd()) {
                Ok((value, drained)) => {
                    if drained {
                        self.entry.not_ready(direction, seen, true);
                    }
                    return Poll::Ready(Ok(value));
                }
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                    self.entry.not_ready(direction, seen, false);
                }
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Poll::Ready(Err(error)),
            }
        }
    }

    /// Does `operation`, once and for somebody who waits for the descriptor by other means: nobody is woken
    /// when it may succeed. Nor is the descriptor watched then, lest its events wake who leads, unless a task
    /// waits for it.
    ///
    /// # Errors
    /// Those of `operation`, other than `WouldBlock`.
    pub fn try_alone<T>(
        &self,
        mut operation: impl FnMut(BorrowedFd<'_>) -> io::Result<T>,
    ) -> Poll<io::Result<T>> {
        loop {
            match operation(self.entry.fd.as_fd()) {
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                    self.unwatch();
                    return Poll::Pending;
                }
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                done => return Poll::Ready(done),
            }
        }
    }

    /// Has the descriptor watched no more until a task waits for it again.
    fn unwatch(&self) {
        let mut waiters = self.entry.waiters();
        if waiters.read.is_some() || waiters.write.is_some() {
            return;
        }
        // While the entry is locked: it must not be registered anew before.
        if let Some(key) = waiters.key.take() {
            self.entry.readiness.fetch_or(Readiness::READ | Readiness::WRITE, SeqCst);
            self.reactor.deregister(key);
        }
    }

    /// Wakes the task that waits in this direction, if one does: it has something else to look at.
    pub fn wake(&self, direction: Direction) {
        let waker = self.entry.waiters().of(direction).take();
        if let Some(waker) = waker {
            waker.wake();
        }
    }

    /// The descriptor.
    pub fn fd(&self) -> BorrowedFd<'_> {
        self.entry.fd.as_fd()
    }

    /// Has the task woken by the next event; `false` when there has been one.
    fn wait(&self, direction: Direction, cx: &Context<'_>) -> io::Result<bool> {
        let mut waiters = self.entry.waiters();
        // An event that comes from here on finds the waker: it is looked for with this lock, and thereafter.
        if self.entry.readiness().is_ready(direction) {
            return Ok(false);
        }
        let waker = waiters.of(direction);
        if !waker.as_ref().is_some_and(|waker| waker.will_wake(cx.waker())) {
            *waker = Some(cx.waker().clone());
        }
        if waiters.key.is_none() {
            // Registration reports what is ready by then, so nothing is missed.
            waiters.key = Some(self.reactor.register(&self.entry)?);
        }
        Ok(true)
    }
}

impl Drop for Source {
    fn drop(&mut self) {
        let key = self.entry.waiters().key.take();
        if let Some(key) = key {
            self.reactor.deregister(key);
        }
    }
}

impl Entry {
    fn waiters(&self) -> MutexGuard<'_, Waiters> {
        self.waiters.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn readiness(&self) -> Readiness {
        Readiness(self.readiness.load(SeqCst))
    }

    pub(crate) fn fd(&self) -> BorrowedFd<'_> {
        self.fd.as_fd()
    }

    /// Nothing more can be had, as the kernel says, or as is concluded from its having given less than
    /// was asked for; unless there has been an event since `seen`.
    fn not_ready(&self, direction: Direction, seen: Readiness, is_concluded: bool) {
        let _ = self.readiness.fetch_update(SeqCst, SeqCst, |word| {
            let now = Readiness(word);
            // After the peer's end a read is always worth a try: it says so at once.
            let may_end = is_concluded && direction == Direction::Read && now.has_hung_up();
            let is_news = now.event() != seen.event();
            (!may_end && !is_news).then_some(word & !Readiness::bit(direction))
        });
    }

    /// Takes note of what epoll(7) reported and wakes who waits for it.
    pub(crate) fn on_event(&self, flags: EpollFlags) {
        let closed = EpollFlags::EPOLLHUP | EpollFlags::EPOLLERR;
        let readable = EpollFlags::EPOLLIN | EpollFlags::EPOLLRDHUP | closed;
        let writable = EpollFlags::EPOLLOUT | closed;
        let bit = |flag, bit| if flags.intersects(flag) { bit } else { 0 };
        let ready = bit(readable, Readiness::READ)
            | bit(writable, Readiness::WRITE)
            | bit(EpollFlags::EPOLLRDHUP | closed, Readiness::HUNG_UP);
        let _ = self
            .readiness
            .fetch_update(SeqCst, SeqCst, |word| Some(word.wrapping_add(Readiness::EVENT) | ready));
        let mut waiters = self.waiters();
        let take = |waker: &mut Option<Waker>, bit| {
            if ready & bit == 0 { None } else { waker.take() }
        };
        let wakers =
            [take(&mut waiters.read, Readiness::READ), take(&mut waiters.write, Readiness::WRITE)];
        drop(waiters);
        wakers.into_iter().flatten().for_each(Waker::wake);
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::net::UnixStream;
    use std::sync::atomic::AtomicBool;
    use std::sync::mpsc;
    use std::time::Duration;

    use super::*;
    use crate::reactor::Found;

    #[test]
    fn a_source_can_go_while_its_event_is_delivered() {
        let reactor = Reactor::new().unwrap();
        let over = Arc::new(AtomicBool::new(false));
        let (done, is_done) = mpsc::channel();
        let ends = Arc::clone(&over);
        let leader = std::thread::spawn(move || {
            while !ends.load(SeqCst) {
                reactor.wait(Some(Duration::from_millis(1)), &mut Found::default());
            }
        });
        let dropping = std::thread::spawn(move || {
            let mut cx = Context::from_waker(Waker::noop());
            for _ in 0..20_000 {
                let (ours, theirs) = UnixStream::pair().unwrap();
                ours.set_nonblocking(true).unwrap();
                let source = Source::new(reactor, ours.into());
                let blocked = |_: BorrowedFd<'_>| -> io::Result<((), bool)> {
                    Err(io::ErrorKind::WouldBlock.into())
                };
                assert!(source.poll(Direction::Read, &mut cx, blocked).is_pending());
                drop(theirs);
                drop(source);
            }
            done.send(()).unwrap();
        });
        is_done.recv_timeout(Duration::from_secs(60)).expect("nobody waits for ever");
        over.store(true, SeqCst);
        leader.join().unwrap();
        dropping.join().unwrap();
    }
}
