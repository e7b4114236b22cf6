//! The threads of a worker, and how they take turns.
//!
//! A *hand* runs jobs (a Python thread). The *watcher* never does: it looks, while there is work,
//! every [`TICK`] whether the leader is still in the job in which it was a tick ago. If so it takes
//! the lead and gives it to a hand that stands by; when none does, it leads itself, so that
//! connections of a worker whose hands are all busy are read, written and closed in time. Listeners
//! are not watched meanwhile: a worker accepts only what it can run, and one by one what no other
//! worker has taken either, so that nobody waits for ever behind busy keep-alive connections. What
//! is submitted meanwhile waits in the [`Queue`], within its bounds.
//!
//! When jobs are known to block (long by the clock, short by the CPU), the lead is passed on before
//! the job and not a tick later.
//!
//! Where jobs are short, the leader works in rounds: it reads half of the requests that wait, runs them, and
//! then answers them. So the code of each of the three is still in the processor's caches for the next request, and a
//! client, or a proxy in front, is woken once for some responses, which costs more than to send them. A
//! response waits for [`ROUND`] and a job at most, or, should that turn out long, until the watcher notices.
//!
//! With deadlines for jobs ([`Duty::watches`]) the watcher also has the duty look at them, every
//! [`LOOK`], for as long as any hand is in a job, whoever leads. It begins to when the first job asks
//! for it ([`Crew::watch_job`]).

use std::cell::Cell;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering::Relaxed, Ordering::SeqCst};
use std::sync::{Mutex, MutexGuard, OnceLock, PoisonError};
use std::thread::Thread;
use std::time::{Duration, Instant};

use crate::doors::Doors;
use crate::hopeless::Hopeless;
use crate::ladder::LOOK;
use crate::lead::{Id, Lead, Word};
use crate::moment::Moment;
use crate::pace::{Pace, ROUND, TICK, sooner};
use crate::queue::{Bounds, Queue};
use crate::reactor::{Found, Reactor, Token};
use crate::respond::IN_ROUND;
use crate::submit::ME;

/// Ticks without a job after which the watcher sleeps until the next one.
const QUIET_TICKS: u32 = 10;
/// While all hands are busy, how often it is seen whether new work waits that nobody else takes.
const PATIENCE: Duration = Duration::from_millis(10);
/// Tasks and jobs in succession after which it is looked for new events, although there is work: as
/// many as one look can bring, so that it costs nothing where no client is greedy.
const STREAK: usize = 64;
/// Time after which it is looked for them in any case.
const LOOK_AGAIN: Duration = Duration::from_millis(5);
const WATCHER: Id = Id::MAX;

thread_local! {
    /// The job of this thread is among those of `Crew::running`.
    static COUNTED: Cell<bool> = const { Cell::new(false) };
}

/// What the leader does beside polling tasks and running jobs.
pub trait Duty<J>: Send + Sync {
    /// Time until `on_time` wants to be called; `None`: never.
    fn timeout(&self, now: Moment) -> Option<Duration>;
    /// That time has come, or something else has happened.
    fn on_time(&self, now: Moment);
    /// A watched descriptor is ready. It is called on every turn until that is dealt with.
    fn on_token(&self, token: Token);
    /// Whether newcomers come by this descriptor: then `admit` is called for it, when it is their turn.
    fn is_door(&self, token: Token) -> bool;
    /// Whether nobody else lets in who waits at the doors.
    fn is_sole(&self) -> bool;
    /// Takes one newcomer in and polls its task for the first time; `false` when there is none.
    fn admit(&self, door: Token) -> bool;
    /// New work may (`true`) or must not be taken in: watch the listeners, or do not.
    fn take_in(&self, allowed: bool);
    /// All hands have been busy for another while, and new work is not taken in: what has waited
    /// since the last time is to be taken in all the same, or it would wait for ever.
    fn overdue(&self);
    /// How many jobs may wait, and for how long. Asked once.
    fn bounds(&self) -> Bounds;
    /// A job has waited for so long, or (`None`) too many wait: it will not be run.
    fn turn_away(&self, job: J, waited: Option<Duration>);
    /// So many jobs wait. Called now and then while all hands are busy, or more than may wait, and with 0
    /// thereafter.
    fn waiting(&self, count: usize);
    /// Whether jobs have deadlines, so that `look` is wanted while one runs. Asked once; see
    /// [`Crew::watch_job`].
    fn watches(&self) -> bool;
    /// Jobs run: are they in time? Called by the watcher, which must not wait for any of them.
    fn look(&self);
}

/// One thread that runs jobs.
pub trait Hands<J> {
    /// Runs a job to its end.
    fn run(&mut self, job: J);
    /// Waits without what only a running job needs (the GIL).
    fn wait(&mut self, wait: &mut (dyn FnMut() + Send));
}

/// The threads of a worker, and what they share.
pub struct Crew<J> {
    pub(crate) reactor: &'static Reactor,
    pub(crate) duty: Box<dyn Duty<J>>,
    bounds: Bounds,
    pub(crate) lead: Lead,
    jobs: Mutex<Queue<J>>,
    /// Whether there may be any, without a lock: for the leader, whose tasks submit most.
    pub(crate) any_job: AtomicBool,
    idle: Mutex<Vec<(Id, Thread)>>,
    pace: Pace,
    watcher: OnceLock<Thread>,
    pub(crate) watcher_sleeps: AtomicBool,
    /// A hand wants the lead that the watcher has.
    wanted: AtomicBool,
    takes_in: AtomicBool,
    stopped: AtomicBool,
    /// Jobs have deadlines.
    watches: AtomicBool,
    /// Jobs that run, if they have deadlines.
    running: AtomicUsize,
}

impl<J: Send> Crew<J> {
    /// A crew without threads.
    pub fn new(reactor: &'static Reactor, duty: Box<dyn Duty<J>>) -> Self {
        let watches = duty.watches();
        let bounds = duty.bounds();
        let jobs = Mutex::new(Queue::new(bounds));
        Self {
            reactor,
            duty,
            bounds,
            lead: Lead::default(),
            jobs,
            any_job: AtomicBool::new(false),
            idle: Mutex::default(),
            pace: Pace::default(),
            watcher: OnceLock::new(),
            watcher_sleeps: AtomicBool::new(false),
            wanted: AtomicBool::new(false),
            takes_in: AtomicBool::new(false),
            stopped: AtomicBool::new(false),
            watches: AtomicBool::new(watches),
            running: AtomicUsize::new(0),
        }
    }

    /// The reactor.
    pub fn reactor(&self) -> &'static Reactor {
        self.reactor
    }

    /// Whether all hands are in jobs, and have been for a tick or two.
    pub fn is_crowded(&self) -> bool {
        self.lead.read().holder() == Some(WATCHER)
    }

    /// A job is about to wait for something that only the leader can bring (the rest of a body, room
    /// in a socket): if this thread leads, somebody else has to.
    pub fn step_aside(&self, me: Id) {
        self.reactor.run_gathered();
        if ME.get() != me || !self.is_led_by(me) {
            return;
        }
        self.reactor.run_answered();
        if !self.lead.release(me) {
            // Who leads now may be looking for events, and what has been answered may have asked again.
            self.reactor.kick();
        } else if !self.wake_idle() {
            self.wake_watcher();
        }
    }

    /// The job that runs on this thread has a deadline, and so may all that follow.
    pub fn watch_job(&self) {
        self.watches.store(true, SeqCst);
        if !COUNTED.replace(true) {
            self.running.fetch_add(1, SeqCst);
        }
        if self.watcher_sleeps.load(SeqCst) {
            self.wake_watcher();
        }
    }

    /// Ends all threads of the crew as soon as their jobs end.
    pub fn stop(&self) {
        self.stopped.store(true, SeqCst);
        while self.wake_idle() {}
        self.wake_watcher();
        self.reactor.kick();
    }

    /// The life of hand `me` (1 or more).
    pub fn serve(&self, me: Id, hands: &mut dyn Hands<J>) {
        ME.set(me);
        while !self.is_stopped() {
            if self.pace.is_short() && self.claim(me) {
                self.lead_as_hand(me, hands);
                continue;
            }
            let job = self.jobs().pop();
            if let Some(job) = job {
                self.run(me, hands, job, false);
            } else if self.lead.take(me, self.may_take_from_job()) {
                self.lead_as_hand(me, hands);
            } else {
                hands.wait(&mut || self.stand_by(me));
            }
        }
        self.lead.release(me);
    }

    /// The life of the watcher.
    pub fn watch(&self) {
        let _ = self.watcher.set(std::thread::current());
        let mut seen = self.lead.read();
        let mut quiet = 0;
        let mut looked = Moment::now();
        while !self.is_stopped() {
            let gathers = self.reactor.gathers();
            self.pause(seen, gathers, &mut quiet);
            if gathers {
                self.reactor.run_gathered();
            }
            self.look(&mut looked);
            let now = self.lead.read();
            let unled = now.holder().is_none() || (now == seen && self.lead.free_from(now));
            if unled {
                self.find_leader(&mut looked);
            }
            seen = self.lead.read();
        }
    }

    /// For the watcher, when nobody leads.
    fn find_leader(&self, looked: &mut Moment) {
        // Who leads next may have to wait for the GIL first.
        self.reactor.run_answered();
        // What has been answered may have asked again, and a hand that has come by itself may be looking for
        // events by now.
        if self.lead.read().holder().is_some() {
            return self.reactor.kick();
        }
        if self.wake_idle() {
            return;
        }
        if self.lead.take(WATCHER, false) {
            self.lead_as_watcher(looked);
        } else {
            self.reactor.kick();
        }
    }

    fn pause(&self, seen: Word, gathers: bool, quiet: &mut u32) {
        if *quiet < QUIET_TICKS || seen.in_job() || gathers {
            std::thread::park_timeout(TICK);
        } else {
            self.watcher_sleeps.store(true, SeqCst);
            let nothing = self.lead.read() == seen && !self.reactor.gathers();
            if nothing && seen.holder().is_some() && !self.is_stopped() {
                // Counted before `watcher_sleeps` is read by who counts: what begins now wakes us.
                match self.running.load(SeqCst) {
                    0 => std::thread::park(),
                    _ => std::thread::park_timeout(LOOK),
                }
            }
            self.watcher_sleeps.store(false, SeqCst);
        }
        *quiet = if self.lead.read() == seen { *quiet + 1 } else { 0 };
    }

    /// Has the deadlines of jobs looked at, if it is time.
    fn look(&self, looked: &mut Moment) {
        if self.watches.load(Relaxed) && looked.elapsed() >= LOOK && self.running.load(SeqCst) > 0 {
            *looked = Moment::now();
            self.duty.look();
        }
    }

    /// Leads until the lead is lost, or the end.
    fn lead_as_hand(&self, me: Id, hands: &mut dyn Hands<J>) {
        self.take_in(true);
        let mut found = Found::default();
        let mut now = Moment::now();
        let mut doors = Doors::new(self.duty.is_sole());
        // It is looked soon: what the last leader knew of the doors is forgotten.
        let (mut streak, mut looked) = (STREAK, now);
        // It is hardly later than `now`.
        let mut knows_time = false;
        let mut is_odd = false;
        // Jobs that wait.
        let mut line = self.jobs().len();
        let (mut hopeless, mut told) = (Hopeless::default(), None);
        while !self.is_stopped() {
            let round = self.round(&doors, line);
            let mut read = 0;
            // A long line gets shorter: who waits to be read has an age, and makes room for newcomers.
            is_odd = !is_odd;
            let most = if line < round { round - line } else { usize::from(is_odd) };
            while (read < most || !hopeless.is_empty())
                && doors.advance(
                    line + read,
                    |door| self.duty.admit(door),
                    || hopeless.mark(self.reactor, || self.reactor.run_one()),
                )
            {
                read += 1;
            }
            let mut ran = 0;
            let mut over = None;
            while ran < round && over.is_none_or(|over| now < over) && !self.is_stopped() {
                let job;
                (job, line) = self.next_job();
                let Some(job) = job else { break };
                ran += 1;
                IN_ROUND.set(round > 1 && (ran > 1 || line > 0));
                let leads;
                (now, leads) = self.run(me, hands, job, true);
                IN_ROUND.set(false);
                if !leads {
                    return;
                }
                over.get_or_insert(now + ROUND);
                doors.count_job();
            }
            if round > 1 {
                self.reactor.run_answered();
            }
            // After a look the thread may have had to wait for the GIL, and tasks take their time, too.
            knows_time = ran > 0 || (knows_time && read == 0);
            let worked = read + ran > 0;
            streak += read.max(ran);
            let goes_on = worked && (line > 0 || self.has_work(&doors, &hopeless));
            if goes_on && streak < STREAK && now < looked + LOOK_AGAIN {
                continue;
            }
            let at_most = goes_on.then_some(Duration::ZERO);
            if !(goes_on || knows_time) {
                now = Moment::now();
            }
            knows_time = false;
            hands.wait(&mut || now = self.turn(&mut found, at_most, now));
            doors.find(found.tokens.drain(..));
            if line > 0 {
                line = self.turn_away_hopeless();
            }
            hopeless = Hopeless::find(self.reactor, self.bounds, found.waiting, line);
            let all = found.waiting + line;
            let waiting = if all > self.bounds.most { all } else { 0 };
            if told.replace(waiting) != Some(waiting) {
                self.duty.waiting(waiting);
            }
            (streak, looked) = (0, now);
        }
    }

    /// For the leader: how many requests make a round, while so many jobs wait.
    fn round(&self, doors: &Doors, line: usize) -> usize {
        let most = self.pace.round(doors.are_crowded());
        let waiting = self.reactor.ready_count() + line;
        // The first of a few does not wait for all of them; how many wait at a door nobody knows.
        if doors.are_empty() { most.min(waiting.div_ceil(2)).max(1) } else { most }
    }

    /// For the leader: whether there may be something to do; where one client waits there mostly is not.
    fn has_work(&self, doors: &Doors, hopeless: &Hopeless) -> bool {
        let any_known = self.any_job.load(Relaxed) || self.reactor.has_ready();
        any_known || !doors.are_empty() || !hopeless.is_empty()
    }

    /// For the leader: a job, and how many more wait.
    fn next_job(&self) -> (Option<J>, usize) {
        if !self.any_job.load(Relaxed) {
            return (None, 0);
        }
        let mut jobs = self.jobs();
        let job = jobs.pop();
        self.any_job.store(!jobs.is_empty(), Relaxed);
        (job, jobs.len())
    }

    /// Leads, without running jobs, until a hand wants to.
    fn lead_as_watcher(&self, jobs_looked: &mut Moment) {
        self.take_in(false);
        let mut now = Moment::now();
        self.jobs().begin(Instant::now());
        let mut found = Found::default();
        let mut looked = now;
        let mut streak = 0;
        while !self.is_stopped() && !self.wanted.swap(false, SeqCst) {
            let polled = self.reactor.run_one();
            streak = if polled { streak + 1 } else { 0 };
            if !polled || streak == STREAK {
                let gathers = self.reactor.gathers();
                let at_most = match (polled, gathers) {
                    (true, _) => Duration::ZERO,
                    (false, true) => TICK,
                    (false, false) => PATIENCE,
                };
                now = self.turn(&mut found, Some(at_most), now);
                if gathers {
                    self.reactor.run_gathered();
                }
                streak = 0;
            }
            // Doors are not watched; one may have been found ready before.
            found.tokens.clear();
            if looked.elapsed() >= PATIENCE {
                self.duty.waiting(self.turn_away_hopeless());
                self.duty.overdue();
                looked = Moment::now();
            }
            self.look(jobs_looked);
        }
        self.duty.waiting(0);
        self.lead.release(WATCHER);
        self.wake_idle();
    }

    /// Turns those jobs away that have waited for too long, or that are too many; how many are left.
    fn turn_away_hopeless(&self) -> usize {
        let free = self.idle().len();
        let (late, surplus, count) = {
            let mut jobs = self.jobs();
            let now = Instant::now();
            (jobs.look(now), jobs.surplus(now, free), jobs.len())
        };
        // The refusals are sent at once.
        self.reactor.run_here(|| {
            late.into_iter().for_each(|(job, waited)| self.duty.turn_away(job, Some(waited)));
            surplus.into_iter().for_each(|job| self.duty.turn_away(job, None));
        });
        count
    }

    /// Waits for events once, `at_most` that long, and does what they ask for; leaves the doors.
    /// `before` is the time of the last turn or job, as it returns that of this one: nothing but tasks
    /// has been polled since.
    fn turn(&self, found: &mut Found, at_most: Option<Duration>, before: Moment) -> Moment {
        let timeout = sooner(self.duty.timeout(before), at_most);
        let now = self.reactor.wait(timeout, found);
        self.duty.on_time(now);
        found.tokens.retain(|token| {
            let is_door = self.duty.is_door(*token);
            if !is_door {
                self.duty.on_token(*token);
            }
            is_door
        });
        now
    }

    /// Runs one job; returns when it ended, and whether `me` leads afterwards.
    fn run(&self, me: Id, hands: &mut dyn Hands<J>, job: J, leads: bool) -> (Moment, bool) {
        let watches = self.watches.load(Relaxed);
        if watches {
            COUNTED.set(true);
            self.running.fetch_add(1, SeqCst);
        }
        if leads {
            self.lead.begin_job(me);
        }
        if (leads || watches) && self.watcher_sleeps.load(SeqCst) {
            self.wake_watcher();
        }
        if leads {
            // Who is free takes over at once from a job that will block anyway.
            if self.pace.blocks.load(Relaxed) {
                self.wake_idle();
            }
        }
        let ended = self.pace.measure(|| hands.run(job));
        if self.watches.load(Relaxed) && COUNTED.replace(false) {
            self.running.fetch_sub(1, SeqCst);
        }
        (ended, leads && self.lead.end_job(me))
    }

    /// Takes the lead if it is free, or asks the watcher for it, which gives it soon: when jobs are
    /// short, and there is always another one, nobody would lead who takes newcomers in.
    fn claim(&self, me: Id) -> bool {
        if self.is_crowded() && !self.jobs().is_empty() && !self.wanted.swap(true, SeqCst) {
            self.reactor.kick();
        }
        self.lead.take(me, false)
    }

    /// Waits until there is something to do for a hand.
    fn stand_by(&self, me: Id) {
        self.idle().push((me, std::thread::current()));
        let lead = self.lead.read();
        if lead.holder() == Some(WATCHER) {
            self.wanted.store(true, SeqCst);
            self.reactor.kick();
        }
        let busy = !self.jobs().is_empty() || lead.holder().is_none() || self.is_stopped();
        if !busy {
            std::thread::park();
        }
        self.idle().retain(|(id, _)| *id != me);
    }

    /// Whether a free hand may take the lead from one that is in a job: not for a short job, whose
    /// thread will be back before the other one has begun.
    fn may_take_from_job(&self) -> bool {
        self.pace.blocks.load(Relaxed)
    }

    /// Wakes the hand that stood by last: its stack and caches are the warmest.
    pub(crate) fn wake_idle(&self) -> bool {
        let last = self.idle().pop();
        last.map(|(_, thread)| thread.unpark()).is_some()
    }

    pub(crate) fn wake_watcher(&self) {
        if let Some(watcher) = self.watcher.get() {
            watcher.unpark();
        }
    }

    fn take_in(&self, allowed: bool) {
        if self.takes_in.swap(allowed, SeqCst) != allowed {
            self.duty.take_in(allowed);
        }
    }

    fn is_stopped(&self) -> bool {
        self.stopped.load(SeqCst)
    }

    pub(crate) fn jobs(&self) -> MutexGuard<'_, Queue<J>> {
        self.jobs.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn idle(&self) -> MutexGuard<'_, Vec<(Id, Thread)>> {
        self.idle.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
#[path = "crew_tests.rs"]
mod tests;
