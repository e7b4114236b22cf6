//! One non-blocking descriptor, and whether reading or writing it is worth a try.
//!
//! Registered edge-triggered and only once, when something first has to wait: a connection that is
//! served and closed at once costs no epoll_ctl(2).

use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
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
    reactor: Arc<Reactor>,
}

/// What the reactor keeps of a source.
#[derive(Debug)]
pub(crate) struct Entry {
    fd: OwnedFd,
    state: Mutex<State>,
}

#[derive(Debug)]
struct State {
    key: Option<usize>,
    /// Counts events, so that one that arrives during a system call is not taken for older.
    tick: u32,
    hung_up: bool,
    read: Side,
    write: Side,
}

#[derive(Debug)]
struct Side {
    ready: bool,
    waker: Option<Waker>,
}

impl State {
    fn side(&mut self, direction: Direction) -> &mut Side {
        match direction {
            Direction::Read => &mut self.read,
            Direction::Write => &mut self.write,
        }
    }
}

impl Source {
    /// Watches `fd`, which must be non-blocking.
    pub fn new(reactor: &Arc<Reactor>, fd: OwnedFd) -> Self {
        let side = || Side { ready: true, waker: None };
        let state = State { key: None, tick: 0, hung_up: false, read: side(), write: side() };
        let entry = Arc::new(Entry { fd, state: Mutex::new(state) });
        Self { entry, reactor: Arc::clone(reactor) }
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
            let tick = {
                let mut state = self.entry.lock();
                if !state.side(direction).ready {
                    return match self.wait(&mut state, direction, cx) {
                        Ok(()) => Poll::Pending,
                        Err(error) => Poll::Ready(Err(error)),
                    };
                }
                state.tick
            };
            match operation(self.entry.fd.as_fd()) {
                Ok((value, drained)) => {
                    if drained {
                        self.not_ready(direction, tick, true);
                    }
                    return Poll::Ready(Ok(value));
                }
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                    self.not_ready(direction, tick, false);
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
        let mut state = self.entry.lock();
        if state.read.waker.is_some() || state.write.waker.is_some() {
            return;
        }
        // While the entry is locked: it must not be registered anew before.
        if let Some(key) = state.key.take() {
            (state.read.ready, state.write.ready) = (true, true);
            self.reactor.deregister(key);
        }
    }

    /// Wakes the task that waits in this direction, if one does: it has something else to look at.
    pub fn wake(&self, direction: Direction) {
        let waker = self.entry.lock().side(direction).waker.take();
        if let Some(waker) = waker {
            waker.wake();
        }
    }

    /// The descriptor.
    pub fn fd(&self) -> BorrowedFd<'_> {
        self.entry.fd.as_fd()
    }

    /// Nothing more can be had, as the kernel says, or as is concluded from its having given less than
    /// was asked for.
    fn not_ready(&self, direction: Direction, tick: u32, is_concluded: bool) {
        let mut state = self.entry.lock();
        // After the peer's end a read is always worth a try: it says so at once.
        let may_end = is_concluded && direction == Direction::Read && state.hung_up;
        if state.tick == tick && !may_end {
            state.side(direction).ready = false;
        }
    }

    fn wait(&self, state: &mut State, direction: Direction, cx: &Context<'_>) -> io::Result<()> {
        let side = state.side(direction);
        if !side.waker.as_ref().is_some_and(|waker| waker.will_wake(cx.waker())) {
            side.waker = Some(cx.waker().clone());
        }
        if state.key.is_none() {
            // Registration reports what is ready by then, so nothing is missed.
            state.key = Some(self.reactor.register(&self.entry)?);
        }
        Ok(())
    }
}

impl Drop for Source {
    fn drop(&mut self) {
        let key = self.entry.lock().key.take();
        if let Some(key) = key {
            self.reactor.deregister(key);
        }
    }
}

impl Entry {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn fd(&self) -> BorrowedFd<'_> {
        self.fd.as_fd()
    }

    /// Takes note of what epoll(7) reported and wakes who waits for it.
    pub(crate) fn on_event(&self, flags: EpollFlags) {
        let closed = EpollFlags::EPOLLHUP | EpollFlags::EPOLLERR;
        let readable = EpollFlags::EPOLLIN | EpollFlags::EPOLLRDHUP | closed;
        let writable = EpollFlags::EPOLLOUT | closed;
        let mut state = self.lock();
        state.tick = state.tick.wrapping_add(1);
        state.hung_up |= flags.intersects(EpollFlags::EPOLLRDHUP | closed);
        let mut wakers = [None, None];
        if flags.intersects(readable) {
            state.read.ready = true;
            wakers[0] = state.read.waker.take();
        }
        if flags.intersects(writable) {
            state.write.ready = true;
            wakers[1] = state.write.waker.take();
        }
        drop(state);
        wakers.into_iter().flatten().for_each(Waker::wake);
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::net::UnixStream;
    use std::sync::atomic::{AtomicBool, Ordering::SeqCst};
    use std::sync::mpsc;
    use std::time::Duration;

    use super::*;
    use crate::reactor::Found;

    #[test]
    fn a_source_can_go_while_its_event_is_delivered() {
        let reactor = Reactor::new().unwrap();
        let over = Arc::new(AtomicBool::new(false));
        let (done, is_done) = mpsc::channel();
        let (leading, ends) = (Arc::clone(&reactor), Arc::clone(&over));
        let leader = std::thread::spawn(move || {
            while !ends.load(SeqCst) {
                leading.wait(Some(Duration::from_millis(1)), &mut Found::default());
            }
        });
        let dropping = std::thread::spawn(move || {
            let mut cx = Context::from_waker(Waker::noop());
            for _ in 0..20_000 {
                let (ours, theirs) = UnixStream::pair().unwrap();
                ours.set_nonblocking(true).unwrap();
                let source = Source::new(&reactor, ours.into());
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
