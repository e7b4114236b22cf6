//! epoll(7) and the queue of tasks that are ready to be polled, by whichever thread comes.

use std::cell::{Cell, RefCell};
use std::collections::VecDeque;
use std::future::poll_fn;
use std::io;
use std::os::fd::{AsFd as _, BorrowedFd};
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering::Relaxed, Ordering::SeqCst};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::Poll;
use std::time::Duration;

use nix::sys::epoll::{Epoll, EpollCreateFlags, EpollEvent, EpollFlags, EpollTimeout};
use nix::sys::eventfd::{EfdFlags, EventFd};
use slab::Slab;

use crate::ages::Ages;
use crate::moment::Moment;
use crate::source::Entry;

type Runnable = async_task::Runnable<&'static Reactor>;

/// Names a descriptor that is watched level-triggered: a listener, a channel.
pub type Token = u32;

/// Bit of an event's number that tells tokens from sources.
const IS_TOKEN: u64 = 1 << 63;
const KICK: u64 = u64::MAX;
/// Events taken by one epoll_wait(2).
const BATCH: usize = 64;

/// What one look for events has found.
#[derive(Debug)]
pub struct Found {
    events: [EpollEvent; BATCH],
    /// The watched descriptors that are ready.
    pub tokens: Vec<Token>,
    /// Tasks that wait to be polled since then, or for longer; at most.
    pub(crate) waiting: usize,
    /// The sources that `events` are of.
    entries: Vec<(Arc<Entry>, EpollFlags)>,
}

impl Default for Found {
    fn default() -> Self {
        let events = [EpollEvent::empty(); BATCH];
        Self { events, tokens: Vec::new(), waiting: 0, entries: Vec::new() }
    }
}

/// Readiness of descriptors, and the tasks that wait for it.
#[derive(Debug)]
pub struct Reactor {
    epoll: Epoll,
    kick: EventFd,
    sources: Mutex<Slab<Arc<Entry>>>,
    ready: Mutex<Ready>,
    /// How many there are, without a lock; it is written with one.
    ready_count: AtomicUsize,
    /// Whether any gather, in the same way.
    any_gathering: AtomicBool,
    /// The leader is in epoll_wait(2), or about to be: who adds to `ready` has to kick it.
    waiting: AtomicBool,
    /// When it was last looked for events, in nanoseconds of [`Moment`]'s clock.
    looked: AtomicU64,
}

/// Tasks to be polled.
#[derive(Debug, Default)]
struct Ready {
    /// Those that have only to say what is there, before all others.
    answered: VecDeque<Runnable>,
    /// Those that have got a part of what they have to say, see [`Reactor::gather`]; nobody is kicked for them.
    gathering: VecDeque<Runnable>,
    others: VecDeque<Runnable>,
    /// Of the others.
    ages: Ages,
}

impl Ready {
    fn pop(&mut self) -> Option<Runnable> {
        self.answered.pop_front().or_else(|| self.pop_other())
    }

    fn pop_other(&mut self) -> Option<Runnable> {
        let task = self.others.pop_front()?;
        self.ages.pop();
        Some(task)
    }

    fn push_other(&mut self, task: Runnable, looked: u64) {
        self.others.push_back(task);
        self.ages.push(looked);
    }

    fn len(&self) -> usize {
        self.answered.len() + self.others.len()
    }
}

/// Who polls the tasks that a thread wakes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum By {
    /// Whoever leads, in their turn.
    Leader,
    /// Whoever leads, before all others, see [`Reactor::run_later`].
    LeaderFirst,
    /// Who asks for it, see [`Reactor::gather`].
    Gatherer,
    /// This thread, see [`Reactor::run_here`].
    Here,
    /// Whoever leads, in their turn; this thread puts them all there at once, see [`Reactor::wake`].
    Finder,
}

thread_local! {
    static WOKEN: Cell<By> = const { Cell::new(By::Leader) };
    /// It has woken the first of those that gather.
    static IS_FIRST: Cell<bool> = const { Cell::new(false) };
    /// What it has woken to poll it itself.
    static CAPTURED: RefCell<Vec<Runnable>> = const { RefCell::new(Vec::new()) };
}

/// Lets the other tasks that are ready have their turn.
pub async fn yield_now() {
    let mut has_yielded = false;
    poll_fn(|cx| {
        if has_yielded {
            return Poll::Ready(());
        }
        has_yielded = true;
        cx.waker().wake_by_ref();
        Poll::Pending
    })
    .await;
}

impl Reactor {
    /// A reactor without sources. It lasts as long as the process, so that nobody counts who holds it.
    ///
    /// # Errors
    /// Those of epoll_create1(2) and eventfd(2).
    pub fn new() -> io::Result<&'static Self> {
        let epoll = Epoll::new(EpollCreateFlags::EPOLL_CLOEXEC)?;
        let kick = EventFd::from_flags(EfdFlags::EFD_NONBLOCK | EfdFlags::EFD_CLOEXEC)?;
        epoll
            .add(kick.as_fd(), EpollEvent::new(EpollFlags::EPOLLIN | EpollFlags::EPOLLET, KICK))?;
        Ok(Box::leak(Box::new(Self {
            epoll,
            kick,
            sources: Mutex::default(),
            ready: Mutex::default(),
            ready_count: AtomicUsize::new(0),
            any_gathering: AtomicBool::new(false),
            waiting: AtomicBool::new(false),
            looked: AtomicU64::new(Moment::now().nanos()),
        })))
    }

    /// Makes a task of `future`; it is polled soon, by a thread that leads.
    pub fn spawn(&'static self, future: impl Future<Output = ()> + Send + 'static) {
        self.task(future).schedule();
    }

    /// The same, polled for the first time here and now.
    pub fn launch(&'static self, future: impl Future<Output = ()> + Send + 'static) {
        self.task(future).run();
    }

    fn task(&'static self, future: impl Future<Output = ()> + Send + 'static) -> Runnable {
        // The reactor is with the task and not with the function, or each wake-up would count references to that.
        let schedule = |task: Runnable| {
            let reactor: &'static Self = task.metadata();
            reactor.schedule(task);
        };
        let (runnable, task) =
            async_task::Builder::new().metadata(self).spawn(move |_| future, schedule);
        task.detach();
        runnable
    }

    /// Watches `fd` level-triggered; events come out of `wait` as `token`. With `exclusive` one
    /// event wakes one of the processes that watch it (EPOLLEXCLUSIVE): for listeners.
    ///
    /// # Errors
    /// Those of epoll_ctl(2).
    pub fn watch(&self, fd: BorrowedFd<'_>, token: Token, exclusive: bool) -> io::Result<()> {
        let mut flags = EpollFlags::EPOLLIN;
        flags.set(EpollFlags::EPOLLEXCLUSIVE, exclusive);
        Ok(self.epoll.add(fd, EpollEvent::new(flags, IS_TOKEN | u64::from(token)))?)
    }

    /// Watches `fd` no longer.
    ///
    /// # Errors
    /// Those of epoll_ctl(2).
    pub fn unwatch(&self, fd: BorrowedFd<'_>) -> io::Result<()> {
        Ok(self.epoll.delete(fd)?)
    }

    /// Polls one ready task; `false` when there is none.
    pub fn run_one(&self) -> bool {
        self.take(Ready::pop).map(Runnable::run).is_some()
    }

    /// Whether a task is ready.
    pub(crate) fn has_ready(&self) -> bool {
        self.ready_count() > 0
    }

    /// How many are.
    pub(crate) fn ready_count(&self) -> usize {
        self.ready_count.load(SeqCst)
    }

    fn take(&self, pop: impl FnOnce(&mut Ready) -> Option<Runnable>) -> Option<Runnable> {
        if !self.has_ready() {
            return None;
        }
        let mut ready = self.ready();
        let task = pop(&mut ready);
        self.ready_count.store(ready.len(), Relaxed);
        task
    }

    /// Does `act` and then polls the tasks that it woke, on this thread and at once: so a thread
    /// that has a response can send it although another one leads.
    pub fn run_here(&self, act: impl FnOnce()) {
        let outer = WOKEN.replace(By::Here);
        let first = CAPTURED.with_borrow(Vec::len);
        act();
        WOKEN.set(outer);
        let next = || CAPTURED.with_borrow_mut(|tasks| (tasks.len() > first).then(|| tasks.pop()));
        while let Some(task) = next().flatten() {
            task.run();
        }
    }

    /// Does `act`; the tasks that it wakes are polled by whoever leads, before all others.
    pub(crate) fn run_later(&self, act: impl FnOnce()) {
        let outer = WOKEN.replace(By::LeaderFirst);
        act();
        WOKEN.set(outer);
    }

    /// Does `act`; the tasks that it wakes are polled by the next [`Reactor::run_gathered`] or
    /// [`Reactor::run_answered`], and by nobody else. Whether there are any now and were none before.
    pub(crate) fn gather(&self, act: impl FnOnce()) -> bool {
        IS_FIRST.set(false);
        let outer = WOKEN.replace(By::Gatherer);
        act();
        WOKEN.set(outer);
        IS_FIRST.get()
    }

    /// Whether there are such tasks.
    pub(crate) fn gathers(&self) -> bool {
        self.any_gathering.load(SeqCst)
    }

    /// Polls those tasks, as many as there are now.
    pub fn run_gathered(&self) {
        if !self.gathers() {
            return;
        }
        let count = self.ready().gathering.len();
        for _ in 0..count {
            let task = {
                let mut ready = self.ready();
                let task = ready.gathering.pop_front();
                self.any_gathering.store(!ready.gathering.is_empty(), SeqCst);
                task
            };
            let Some(task) = task else { break };
            task.run();
        }
    }

    /// Polls the tasks of [`Reactor::run_later`], and then those.
    pub(crate) fn run_answered(&self) {
        while let Some(task) = self.take(|ready| ready.answered.pop_front()) {
            task.run();
        }
        self.run_gathered();
    }

    /// How many of the tasks that wait to be polled do so for `time` or longer, and for how long the
    /// first has.
    pub(crate) fn have_waited(&self, time: Duration) -> (usize, Duration) {
        self.ready().ages.have_waited(Moment::now().nanos(), time)
    }

    /// Waits for events, `timeout` at most, and wakes the tasks that they concern. Appends to the
    /// tokens of `found`. Returns when that was.
    pub fn wait(&self, timeout: Option<Duration>, found: &mut Found) -> Moment {
        self.waiting.store(true, SeqCst);
        // Who adds one stores this first, and then looks whether somebody waits.
        found.waiting = self.ready_count();
        let timeout = match timeout {
            _ if found.waiting > 0 => EpollTimeout::ZERO,
            None => EpollTimeout::NONE,
            Some(time) => {
                let part = u64::from(time.subsec_nanos().div_ceil(1_000_000));
                let millis = time.as_secs().saturating_mul(1000).saturating_add(part);
                i32::try_from(millis)
                    .ok()
                    .and_then(|millis| EpollTimeout::try_from(millis).ok())
                    .unwrap_or(EpollTimeout::MAX)
            }
        };
        let mut count = self.collect(timeout, found);
        let now = Moment::now();
        let (last, looked) = (self.looked.load(Relaxed), now.nanos());
        self.looked.store(looked, Relaxed);
        if found.waiting > 0 {
            self.ready().ages.look(last, looked);
        }
        self.waiting.store(false, SeqCst);
        // A batch without sources has what is level-triggered, and so would the next.
        while self.wake(count, found) && count == BATCH {
            count = self.collect(EpollTimeout::ZERO, found);
        }
        now
    }

    /// Asks once for events.
    fn collect(&self, timeout: EpollTimeout, found: &mut Found) -> usize {
        // An error here (EINTR, EBADF, EINVAL) cannot come from outside; the next look is as good as any.
        self.epoll.wait(&mut found.events, timeout).unwrap_or(0)
    }

    /// Wakes the tasks that the first `count` events concern; whether there were any.
    fn wake(&self, count: usize, found: &mut Found) -> bool {
        found.waiting += count;
        let Found { events, tokens, entries, .. } = found;
        let mut sources = None;
        for event in &events[..count] {
            match event.data() {
                KICK => {
                    let _ = self.kick.read();
                }
                number if number & IS_TOKEN != 0 => {
                    // Level-triggered: there may have been two looks.
                    if !tokens.contains(&(number as Token)) {
                        tokens.push(number as Token);
                    }
                }
                number => {
                    let sources = sources.get_or_insert_with(|| self.sources());
                    if let Some(entry) = sources.get(number as usize) {
                        entries.push((Arc::clone(entry), event.events()));
                    }
                }
            }
        }
        // The table is free again before anybody is woken.
        drop(sources);
        let has_woken = !entries.is_empty();
        if has_woken {
            self.wake_all(entries.drain(..));
        }
        has_woken
    }

    /// Wakes who waits for these; one lock for all of their tasks.
    fn wake_all(&self, entries: impl Iterator<Item = (Arc<Entry>, EpollFlags)>) {
        let outer = WOKEN.replace(By::Finder);
        let first = CAPTURED.with_borrow(Vec::len);
        for (entry, flags) in entries {
            entry.on_event(flags);
        }
        WOKEN.set(outer);
        let looked = self.looked.load(Relaxed);
        CAPTURED.with_borrow_mut(|woken| {
            let mut ready = self.ready();
            woken.drain(first..).for_each(|task| ready.push_other(task, looked));
            self.ready_count.store(ready.len(), SeqCst);
        });
    }

    /// Makes a `wait` that is going on return.
    pub fn kick(&self) {
        let _ = self.kick.write(1);
    }

    pub(crate) fn register(&self, entry: &Arc<Entry>) -> io::Result<usize> {
        let flags = EpollFlags::EPOLLIN
            | EpollFlags::EPOLLOUT
            | EpollFlags::EPOLLRDHUP
            | EpollFlags::EPOLLET;
        let key = self.sources().insert(Arc::clone(entry));
        if let Err(error) = self.epoll.add(entry.fd(), EpollEvent::new(flags, key as u64)) {
            self.sources().remove(key);
            return Err(error.into());
        }
        Ok(key)
    }

    pub(crate) fn deregister(&self, key: usize) {
        let entry = self.sources().try_remove(key);
        if let Some(entry) = entry {
            let _ = self.epoll.delete(entry.fd());
        }
    }

    fn schedule(&self, task: Runnable) {
        let by = WOKEN.get();
        if matches!(by, By::Here | By::Finder) {
            CAPTURED.with_borrow_mut(|captured| captured.push(task));
            return;
        }
        {
            // The last look may be long ago.
            let looked = match self.waiting.load(Relaxed) {
                true => Moment::now().nanos(),
                false => self.looked.load(Relaxed),
            };
            let mut ready = self.ready();
            match by {
                By::Gatherer => {
                    // Who takes the last has the same lock.
                    IS_FIRST.set(IS_FIRST.get() || ready.gathering.is_empty());
                    ready.gathering.push_back(task);
                    self.any_gathering.store(true, SeqCst);
                    return;
                }
                By::LeaderFirst => ready.answered.push_back(task),
                By::Leader | By::Here | By::Finder => ready.push_other(task, looked),
            }
            self.ready_count.store(ready.len(), SeqCst);
        }
        if self.waiting.load(SeqCst) {
            self.kick();
        }
    }

    fn ready(&self) -> MutexGuard<'_, Ready> {
        self.ready.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn sources(&self) -> MutexGuard<'_, Slab<Arc<Entry>>> {
        self.sources.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
