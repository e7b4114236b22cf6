//! One connection: what the worker, the protocols and the requests know of it.

use std::collections::VecDeque;
use std::future::poll_fn;
use std::os::fd::{AsRawFd, OwnedFd};
use std::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::Duration;

use nix::errno::Errno;
use nix::sys::socket::{MsgFlags, Shutdown, recv, shutdown};
use rwsgi_core::config::Protocol;
use rwsgi_core::log::{self, Event};
use rwsgi_reactor::{Direction, Source, yield_now};
use serde::{Deserialize, Serialize};
use socket2::SockRef;

use crate::accept::{Listener, Peer};
use crate::hole::Extent;
use crate::intake::Intake;
use crate::pace::{Reading, Writing};
use crate::worker::Worker;
use crate::{http, preface, uwsgi};

/// How long one whose time is over, but whose next request has come meanwhile, may take to begin it.
const REPRIEVE: Duration = Duration::from_secs(1);
/// How long a client may pause that is expected to close its side of a connection that ours is done
/// with.
const FAREWELL: Duration = Duration::from_secs(2);
/// How long such a client may go on sending what nobody reads, before the connection is cut.
const UNREAD: Duration = Duration::from_secs(10);
/// Bytes of that which are read before others have their turn.
const DISCARD: usize = 1 << 20;

/// One connection.
#[derive(Debug)]
pub(crate) struct Connection {
    pub(crate) source: Source,
    pub(crate) listener: Arc<Listener>,
    accepted: Peer,
    /// Who a header of the PROXY protocol says that the client is.
    announced: OnceLock<Announced>,
    intake: Mutex<Intake>,
    /// Parts of files that are on their way, see `hole`.
    extents: Mutex<VecDeque<Extent>>,
    /// There are any, without a lock: for the task, which alone has to do with them.
    pub(crate) has_extents: AtomicBool,
    phase: AtomicU64,
    pub(crate) reading: Reading,
    pub(crate) writing: Writing,
    keep_open: AtomicBool,
    /// Its last response has been made.
    last: AtomicBool,
    broken: AtomicBool,
    /// Another worker has it.
    pub(crate) handed: AtomicBool,
    /// How often no other worker has taken it in time.
    pub(crate) rounds: AtomicU32,
    /// How often it has hesitated whether to go to one.
    pub(crate) moments: AtomicU32,
}

/// What a header of the PROXY protocol says.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Announced {
    /// The client; `None`: the proxy itself asks.
    pub(crate) peer: Option<Peer>,
    /// Whether the client's connection to the proxy is encrypted.
    pub(crate) tls: bool,
}

/// What a connection waits for its client to do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u64)]
pub(crate) enum Phase {
    /// To send its first byte.
    Fresh,
    /// To send another request.
    Idle,
    /// To finish a request's head.
    Head,
    /// To send the request's body.
    Body,
    /// Nothing: the application works.
    Application,
    /// To take the response: all of it is on its way.
    Reply,
    /// To close its side, after ours said why it was refused.
    Farewell,
}

const PHASES: [Phase; 7] = [
    Phase::Fresh,
    Phase::Idle,
    Phase::Head,
    Phase::Body,
    Phase::Application,
    Phase::Reply,
    Phase::Farewell,
];

impl Connection {
    pub(crate) fn new(worker: &Worker, fd: OwnedFd, peer: Peer, listener: Arc<Listener>) -> Self {
        let connection = Self {
            source: Source::new(worker.reactor(), fd),
            listener,
            accepted: peer,
            announced: OnceLock::new(),
            intake: Mutex::new(Intake::new(&worker.config.http)),
            extents: Mutex::default(),
            has_extents: AtomicBool::new(false),
            phase: AtomicU64::new(Phase::Fresh as u64),
            reading: Reading::default(),
            writing: Writing::default(),
            keep_open: AtomicBool::new(false),
            last: AtomicBool::new(false),
            broken: AtomicBool::new(false),
            handed: AtomicBool::new(false),
            rounds: AtomicU32::new(0),
            moments: AtomicU32::new(0),
        };
        connection.enter(worker, Phase::Fresh);
        connection
    }

    pub(crate) fn intake(&self) -> MutexGuard<'_, Intake> {
        self.intake.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn extents(&self) -> MutexGuard<'_, VecDeque<Extent>> {
        self.extents.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Who the client is, as far as the connection tells.
    pub(crate) fn peer(&self) -> &Peer {
        let announced = self.announced.get().and_then(|announced| announced.peer.as_ref());
        announced.unwrap_or(&self.accepted)
    }

    /// Who has connected.
    pub(crate) fn neighbour(&self) -> &Peer {
        &self.accepted
    }

    pub(crate) fn announce(&self, announced: Announced) {
        let _ = self.announced.set(announced);
    }

    /// What a header of the PROXY protocol has said.
    pub(crate) fn announced(&self) -> Option<&Announced> {
        self.announced.get()
    }

    /// Whether a proxy says that its connection with the client is encrypted.
    pub(crate) fn is_tls(&self) -> bool {
        self.announced.get().is_some_and(|announced| announced.tls)
    }

    pub(crate) fn phase(&self) -> Phase {
        let index = usize::try_from(self.phase.load(Relaxed)).unwrap_or(0);
        PHASES.get(index).copied().unwrap_or(Phase::Application)
    }

    /// The connection enters a phase, and its client gets the time that belongs to it.
    pub(crate) fn enter(&self, worker: &Worker, phase: Phase) {
        let http = &worker.config.http;
        match phase {
            Phase::Fresh | Phase::Head => self.reading.within(worker, http.head_timeout),
            Phase::Idle => self.reading.within(worker, worker.idle_timeout()),
            Phase::Body => self.reading.begin_body(worker),
            Phase::Application if self.phase() == Phase::Body => self.reading.pause_body(worker),
            Phase::Application | Phase::Reply => self.reading.stop(),
            Phase::Farewell => self.reading.within(worker, FAREWELL),
        }
        self.phase.store(phase as u64, Relaxed);
    }

    /// Whether it can be closed without loss: nothing of a request has come.
    pub(crate) fn is_idle(&self) -> bool {
        matches!(self.phase(), Phase::Fresh | Phase::Idle)
    }

    /// Whether it is idle, and another request may come.
    pub(crate) fn rests(&self, intake: &Intake) -> bool {
        self.phase() == Phase::Idle && !intake.is_in_body() && !self.last.load(Relaxed)
    }

    /// The response that has been made is its last.
    pub(crate) fn end_after_this(&self) {
        self.last.store(true, Relaxed);
    }

    /// An idle connection is closed at `deadline` at the latest.
    pub(crate) fn hurry(&self, deadline: u64) {
        if self.is_idle() {
            self.reading.hurry(deadline);
        }
    }

    /// Ends what has taken too long; returns when to look again.
    pub(crate) fn look(&self, worker: &Worker, now: u64) -> u64 {
        if self.writing.is_hopeless(worker, &self.source, now) {
            let message =
                "response cut: the client takes it too slowly (`http-timeout`, `minimum-rate`)";
            worker.complain(&self.peer().address, log::info(Event::ClientError, message));
            self.cut();
        } else if now >= self.reading.deadline() {
            self.expire(worker);
        }
        self.deadline()
    }

    fn deadline(&self) -> u64 {
        self.reading.deadline().min(self.writing.deadline())
    }

    /// The client has not done its part in time.
    fn expire(&self, worker: &Worker) {
        match self.phase() {
            Phase::Head | Phase::Body => {
                self.reading.stop();
                self.intake().time_out();
                self.source.wake(Direction::Read);
            }
            Phase::Fresh | Phase::Idle => {
                if !self.dismiss() {
                    self.reading.within(worker, REPRIEVE);
                }
            }
            Phase::Farewell => self.cut(),
            // It has done its part in this very moment.
            Phase::Application | Phase::Reply => {}
        }
    }

    /// Ends the connection if it is idle, and not even unread bytes of a request have come.
    pub(crate) fn dismiss(&self) -> bool {
        // While this is held, nobody takes bytes out of the socket.
        let intake = self.intake();
        let is_idle = self.is_idle() && !intake.has_begun() && !self.has_input();
        if is_idle {
            self.cut();
        }
        is_idle
    }

    /// Whether bytes wait in the socket.
    pub(crate) fn has_input(&self) -> bool {
        let flags = MsgFlags::MSG_PEEK | MsgFlags::MSG_DONTWAIT;
        loop {
            match recv(self.source.fd().as_raw_fd(), &mut [0], flags) {
                Err(Errno::EINTR) => {}
                peeked => return peeked.is_ok_and(|count| count > 0),
            }
        }
    }

    /// Whether our side stays open although hyper is done: the connection goes on, or has yet to be
    /// told why it is refused.
    pub(crate) fn is_kept_open(&self) -> bool {
        self.keep_open.load(Relaxed) || self.intake().owes_answer()
    }

    pub(crate) fn keep_open(&self, keep: bool) {
        self.keep_open.store(keep, Relaxed);
    }

    /// Ends the connection: its task sees the end of the stream.
    pub(crate) fn cut(&self) {
        self.reading.stop();
        self.writing.stop();
        let _ = shutdown(self.source.fd().as_raw_fd(), Shutdown::Both);
    }

    /// Closes our side, and waits for the client to close its own, since it may still be sending: the
    /// kernel would answer that with a reset, which can destroy a response on its way (RFC 9112,
    /// section 9.6).
    pub(crate) async fn part(&self, worker: &Worker) {
        let _ = shutdown(self.source.fd().as_raw_fd(), Shutdown::Write);
        let end = worker.deadlines.after(UNREAD);
        while worker.deadlines.now() < end {
            self.enter(worker, Phase::Farewell);
            if poll_fn(|cx| self.poll_discard(cx, DISCARD)).await.is_none() {
                return;
            }
            yield_now().await;
        }
    }

    /// A response broke off: the client must not take the end of the connection for its end, so the
    /// connection is reset and not closed (RFC 9112, section 8: incomplete messages).
    pub(crate) fn break_off(&self) {
        self.broken.store(true, Relaxed);
    }

    /// Whether a response broke off: nothing may follow it.
    pub(crate) fn is_broken(&self) -> bool {
        self.broken.load(Relaxed)
    }
}

impl Drop for Connection {
    fn drop(&mut self) {
        if self.is_broken() {
            let _ = SockRef::from(&self.source.fd()).set_linger(Some(Duration::ZERO));
        }
    }
}

/// The life of a connection.
pub(crate) async fn serve(worker: &'static Worker, connection: Arc<Connection>) {
    let has_preface = connection.listener.proxy_protocol && connection.announced().is_none();
    if has_preface && !preface::receive(worker, &connection).await {
        return;
    }
    match connection.listener.protocol {
        Protocol::Http => http::serve(worker, &connection).await,
        Protocol::Uwsgi => uwsgi::serve(worker, &connection).await,
    }
}
