//! Connections go to a worker that is idle when all threads of theirs are busy.
//!
//! The workers of a generation share a pair of sockets. A worker whose threads are all busy puts a
//! connection into the one end, with the request that has come by it still unread; a worker that is
//! idle watches the other end as it watches its listeners, and takes it as if it had accepted it. So a
//! request on a keep-alive connection waits behind a busy worker no more than one on a new
//! connection does, and its client notices nothing.
//!
//! Only what nobody has read of can go: the socket is all there is then. And it goes only while
//! another worker says in its slot that it takes newcomers: at once if that has a thread for it, in a
//! moment if not, since that worker's requests are short. When no worker takes newcomers it stays,
//! but is not read for a while, since one may soon. Should nobody take it in the end, its own worker
//! takes it back (`overdue`), so that it does not wait unseen.

use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering::Relaxed, Ordering::SeqCst};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker};
use std::time::{Duration, Instant};

use nix::sys::socket::{AddressFamily, SockFlag, SockType, socketpair};
use rwsgi_core::ipc::{Channel, Received};
use serde::{Deserialize, Serialize};

use crate::accept::{self, Peer};
use crate::connection::{Announced, Connection, Phase};
use crate::intake::Intake;
use crate::worker::Worker;

/// How long until it is seen again whether another worker has a thread to spare.
const MOMENT: Duration = Duration::from_millis(2);
/// How often that is seen before a connection goes to one that has not.
const MOMENTS: u32 = 3;
/// How often, before it stays as no worker takes newcomers.
const WHILE: u32 = 25;
/// How often it is taken back, some 40 ms later each time, before it stays: on a busy machine even
/// an idle worker may be late, and who stays may wait for long.
const ROUNDS: u32 = 25;

/// The pair, and what is about to go into it.
#[derive(Debug)]
pub(crate) struct Relay {
    give: Channel,
    take: Channel,
    /// Tells the workers of this generation from others in the scoreboard.
    pub(crate) team: u64,
    waited: AtomicU32,
    hesitates: AtomicBool,
    hesitating: Mutex<Hesitating>,
}

/// Connections that may go in a moment.
#[derive(Debug, Default)]
struct Hesitating {
    wakers: Vec<Waker>,
    until: Option<Instant>,
}

/// What becomes of a connection by which a request has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Course {
    /// It is served here.
    Stay,
    /// It goes to another worker.
    Leave,
    /// That is decided in a moment, when its task is polled again.
    Hesitate,
}

/// What goes through the pair.
#[derive(Debug, Serialize, Deserialize)]
enum Gift {
    Connection(Handed),
    Knock,
}

/// What another worker has given.
#[derive(Debug)]
pub(crate) enum Given {
    /// A connection.
    Connection(Handed, OwnedFd),
    /// Word that somebody waits at a listener, from a worker that was woken for that and is busy: the
    /// kernel wakes nobody else.
    Knock,
}

/// A connection on its way, beside its descriptor.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Handed {
    /// Which listener accepted it; all workers of a generation have the same.
    pub(crate) listener: usize,
    pub(crate) peer: Peer,
    pub(crate) announced: Option<Announced>,
    /// How often nobody has taken it in time.
    pub(crate) rounds: u32,
}

impl Relay {
    /// For all workers of the generation of this process.
    ///
    /// # Errors
    /// Those of socketpair(2).
    pub(crate) fn new() -> io::Result<Self> {
        let flags = SockFlag::SOCK_CLOEXEC | SockFlag::SOCK_NONBLOCK;
        let (give, take) = socketpair(AddressFamily::Unix, SockType::SeqPacket, None, flags)?;
        let (give, take) = (Channel::from_fd(give), Channel::from_fd(take));
        Ok(Self {
            give,
            take,
            team: u64::from(std::process::id()),
            waited: AtomicU32::new(0),
            hesitates: AtomicBool::new(false),
            hesitating: Mutex::default(),
        })
    }

    fn hesitating(&self) -> MutexGuard<'_, Hesitating> {
        self.hesitating.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn hesitate(&self, waker: &Waker) {
        let mut hesitating = self.hesitating();
        hesitating.wakers.push(waker.clone());
        hesitating.until.get_or_insert_with(|| Instant::now() + MOMENT);
        self.hesitates.store(true, SeqCst);
    }

    /// Time until `on_time` wants to be called.
    #[inline]
    pub(crate) fn timeout(&self) -> Option<Duration> {
        if !self.hesitates.load(Relaxed) {
            return None;
        }
        self.hesitating().until.map(|until| until.saturating_duration_since(Instant::now()))
    }

    /// Has those decide whose moment is over.
    #[inline]
    pub(crate) fn on_time(&self) {
        if self.timeout().is_some_and(|left| left.is_zero()) {
            self.decide();
        }
    }

    /// Has all decide, as a thread is free here, or their moment is over.
    pub(crate) fn decide(&self) {
        if !self.hesitates.load(Relaxed) {
            return;
        }
        let Hesitating { wakers, .. } = {
            let mut hesitating = self.hesitating();
            self.hesitates.store(false, SeqCst);
            std::mem::take(&mut *hesitating)
        };
        wakers.into_iter().for_each(Waker::wake);
    }

    /// Takes what another worker has given, if there is anything.
    pub(crate) fn receive(&self) -> Option<Given> {
        match self.take.receive() {
            Ok(Received::Message(Gift::Connection(handed), mut fds)) => {
                Some(Given::Connection(handed, fds.pop()?))
            }
            Ok(Received::Message(Gift::Knock, _)) => Some(Given::Knock),
            Ok(Received::Closed) | Err(_) => None,
        }
    }

    /// Sends word to another worker that somebody waits at a listener.
    pub(crate) fn knock(&self) {
        // EAGAIN: enough is on its way to wake everybody.
        let _ = self.give.send(&Gift::Knock, &[]);
    }

    /// Whether what was given has not been taken for a while.
    pub(crate) fn is_overdue(&self) -> bool {
        accept::is_overdue(self.take.as_fd(), &self.waited, accept::OVERDUE)
    }
}

impl AsFd for Relay {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.take.as_fd()
    }
}

impl Connection {
    /// Whether what has come is better served by another worker.
    pub(crate) fn course(&self, worker: &Worker, intake: &Intake, waker: &Waker) -> Course {
        let is_crowded = worker.crew().is_crowded();
        if !is_crowded && !worker.crew().turns_away() {
            return Course::Stay;
        }
        let may_leave = self.is_idle()
            && intake.is_untouched()
            && self.rounds.load(Relaxed) < ROUNDS
            && !self.writing.is_blocked();
        if !may_leave || worker.config.processes < 2 || !self.has_input() {
            return Course::Stay;
        }
        let (team, threads) = (worker.relay.team, u64::from(worker.config.threads));
        let (course, after) = if worker.scoreboard.has_idle_beside(&worker.slot, team, threads) {
            (Course::Leave, 0)
        } else if !is_crowded {
            (Course::Stay, 0)
        } else if worker.scoreboard.has_idle_beside(&worker.slot, team, u64::MAX) {
            (Course::Leave, MOMENTS)
        } else {
            (Course::Stay, WHILE)
        };
        if self.moments.fetch_add(1, Relaxed) < after {
            worker.relay.hesitate(waker);
            return Course::Hesitate;
        }
        self.moments.store(0, Relaxed);
        course
    }

    /// Before anything is read of a request: `true` when another worker has the connection.
    pub(crate) fn poll_leave(
        &self,
        worker: &Worker,
        intake: &mut Intake,
        cx: &Context<'_>,
    ) -> Poll<bool> {
        match self.course(worker, intake, cx.waker()) {
            Course::Stay => Poll::Ready(false),
            Course::Leave => Poll::Ready(self.hand_over(worker, intake)),
            Course::Hesitate => Poll::Pending,
        }
    }

    /// Gives it away; `false` if that is not possible now.
    fn hand_over(&self, worker: &Worker, intake: &mut Intake) -> bool {
        let same = |listener: &_| Arc::ptr_eq(listener, &self.listener);
        let Some(listener) = worker.listeners.iter().position(same) else { return false };
        let (peer, announced) = (self.neighbour().clone(), self.announced().cloned());
        let rounds = self.rounds.load(Relaxed);
        let handed = Gift::Connection(Handed { listener, peer, announced, rounds });
        // EAGAIN: too many are on their way already.
        if worker.relay.give.send(&handed, &[self.source.fd()]).is_err() {
            return false;
        }
        // From here on it is somebody else's: nothing may be done to it.
        intake.end();
        self.handed.store(true, Relaxed);
        self.enter(worker, Phase::Application);
        true
    }
}
