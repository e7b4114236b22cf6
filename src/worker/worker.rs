//! The life of a worker, and what its threads share.

use std::io;
use std::os::fd::AsFd as _;
use std::os::unix::net::UnixStream;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, Mutex, OnceLock};
use std::time::{Duration, Instant};

use pyo3::prelude::*;
use pyo3::types::PyDict;
use rwsgi_core::age::{self, Age};
use rwsgi_core::config::hooks::Stage;
use rwsgi_core::config::{Config, Listen};
use rwsgi_core::cpus;
use rwsgi_core::exit::ExitCode;
use rwsgi_core::ipc::{Channel, Failure, FromWorker, Probing};
use rwsgi_core::log::{self, Entry, Event, Requests};
use rwsgi_core::scoreboard::{Scoreboard, Slot};
use rwsgi_core::sys;
use rwsgi_files::Files;
use rwsgi_reactor::{Crew, Reactor};
use slab::Slab;

use crate::accept::Listener;
use crate::api;
use crate::commons;
use crate::complaints::Complaints;
use crate::connection::Connection;
use crate::control::{CHANNEL, Post, SIGNAL};
use crate::deadlines::{Deadlines, NEVER};
use crate::desk::Desks;
use crate::error_page::ErrorPages;
use crate::hand::{Hand, HandMain};
use crate::hooks::{self, Here};
use crate::identity::Names;
use crate::import;
use crate::inquirer::Inquirer;
use crate::mounts::Mounts;
use crate::origin::Origins;
use crate::overtime::Overtime;
use crate::pause::Held;
use crate::porter::Porter;
use crate::probe;
use crate::proof::Proof;
use crate::relay::Relay;
use crate::request::Call;
use crate::room::FAR;
use crate::route::Router;
use crate::signals::{self, Signals};
use crate::spool::Spool;
use crate::stacks;
use crate::template::{Generation, name_process, speaker};
use crate::traceback;
use crate::wsgi::application::Callables;

/// Descriptors that a worker needs beside those of its connections, until the application opens some.
const RESERVE: u64 = 64;

/// How long Python may take to end a worker that has served.
const PYTHON_MERCY: Duration = Duration::from_secs(10);

/// What the threads of a worker share.
pub(crate) struct Worker {
    pub(crate) config: Config,
    pub(crate) listeners: Vec<Arc<Listener>>,
    pub(crate) channel: Channel,
    pub(crate) slot: Slot,
    pub(crate) scoreboard: Scoreboard,
    /// The log of requests.
    pub(crate) requests: Requests,
    pub(crate) relay: Relay,
    pub(crate) deadlines: Deadlines,
    pub(crate) files: Files,
    pub(crate) mounts: Mounts,
    pub(crate) router: Router,
    pub(crate) porter: Porter,
    pub(crate) error_pages: ErrorPages,
    pub(crate) spool: Spool,
    pub(crate) origins: Origins,
    pub(crate) names: Names,
    pub(crate) desks: Arc<Desks>,
    pub(crate) overtime: Overtime,
    pub(crate) inquirer: Inquirer,
    pub(crate) signals: Signals,
    pub(crate) proof: Proof,
    pub(crate) max_connections: u64,
    /// There was no room for another connection.
    pub(crate) full: AtomicBool,
    pub(crate) rests: AtomicU64,
    pub(crate) trim_at: AtomicU64,
    pub(crate) reactor: &'static Reactor,
    crew: OnceLock<Crew<Call>>,
    pub(crate) connections: Mutex<Slab<Arc<Connection>>>,
    pub(crate) open: AtomicU64,
    pub(crate) listening: AtomicBool,
    pub(crate) wants_listening: AtomicBool,
    pub(crate) resume_at: AtomicU64,
    pub(crate) draining: AtomicBool,
    pub(crate) linger_ms: AtomicU64,
    pub(crate) leave_at: AtomicU64,
    pub(crate) complaints: Complaints,
    pub(crate) held: Held,
    /// When the master was told last that all threads have a request.
    pub(crate) busy_at: AtomicU64,
    age: Age,
}

impl std::fmt::Debug for Worker {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Worker").finish_non_exhaustive()
    }
}

/// Why a worker drains.
#[derive(Debug, Clone, Copy)]
pub(crate) enum DrainReason {
    /// The master said so.
    Order { linger: Duration, mercy: Duration },
    /// SIGTERM to this very process.
    Signal,
    /// The channel is closed.
    MasterGone,
}

fn place(number: u32, each: u32) -> nix::Result<()> {
    if each == 0 { Ok(()) } else { cpus::take_share(number, each) }
}

/// Has malloc keep what a round of requests needs. By itself it gives the top of the heap back whenever 128 KiB
/// of it are free, and takes and clears them again for the next round; what it has seen come and go at once it
/// expects again, and keeps twice as much (mallopt(3), `M_MMAP_THRESHOLD`).
fn keep_memory() {
    const ROOM: usize = 1 << 20;
    drop(std::hint::black_box(Vec::<u8>::with_capacity(ROOM)));
}

/// Runs a worker to its end. `number` names it, `slot` is its place in the scoreboard.
pub(crate) fn main(
    py: Python<'_>,
    channel: Channel,
    generation: Generation,
    number: u32,
    slot: usize,
    probing: Probing,
) -> ExitCode {
    keep_memory();
    let who = speaker(&generation.config.name, Some(number));
    // Threads that are started from now on are there, too.
    let placed = place(number, generation.config.cpu_affinity);
    let requests = Requests::init(&generation.config.log, &who, generation.config.processes);
    name_process(&format!("rwsgi: worker {number} of {}", generation.config.name), "rwsgi-worker");
    if let Err(error) = placed {
        let message = format!("cpu-affinity has no effect: {error}");
        log::warning(Event::SystemError, message).send();
    }
    if let Err(error) = log::follow_forks() {
        let message = format!("processes that the application forks cannot log: {error}");
        log::warning(Event::SystemError, message).send();
    }
    commons::become_worker(number);
    if let Err(error) = signals::speak_as_worker(&channel) {
        let message = format!("signals of the uwsgi module do not work: {error}");
        log::warning(Event::SystemError, message).send();
    }
    let pid = nix::unistd::getpid().as_raw();
    let _ = channel.send(&FromWorker::Forked { pid }, &[]);
    let code = match start(py, channel, generation, (number, slot), requests) {
        Ok((worker, applications)) => {
            let code = serve(py, worker, &applications, probing);
            worker.requests.close();
            code
        }
        Err((channel, failure)) => {
            let _ = channel.send(&FromWorker::Failed(failure), &[]);
            ExitCode::Application
        }
    };
    log::flush();
    end_in_time(code);
    api::at_exit(py);
    log::finish();
    code
}

/// What follows is Python's: atexit hooks, and threads that are no daemons. It may not take for ever.
fn end_in_time(code: ExitCode) {
    let _ = std::thread::Builder::new().stack_size(256 * 1024).spawn(move || {
        let deadline = Instant::now() + PYTHON_MERCY;
        while let left = deadline.saturating_duration_since(Instant::now())
            && !left.is_zero()
        {
            std::thread::park_timeout(left);
        }
        let seconds = PYTHON_MERCY.as_secs();
        let message = format!(
            "atexit hooks or threads of the application have not ended in {seconds} s: leaving"
        );
        log::warning(Event::WorkerExited, message).send();
        log::flush();
        sys::exit_now(code as u8);
    });
}

/// What has its turn in a worker that is about to accept.
fn accepting(number: u32, is_first: bool) -> Vec<Stage> {
    let once = [Stage::AcceptingOnce, Stage::Accepting1Once];
    [Stage::Accepting, Stage::AcceptingOnce, Stage::Accepting1, Stage::Accepting1Once]
        .into_iter()
        .filter(|stage| number == 1 || *stage < Stage::Accepting1)
        .filter(|stage| is_first || !once.contains(stage))
        .collect()
}

type Started = (&'static Worker, Callables);

fn start(
    py: Python<'_>,
    channel: Channel,
    mut generation: Generation,
    (number, slot): (u32, usize),
    requests: Requests,
) -> Result<Started, (Channel, Failure)> {
    if let Some(Err(error)) = generation.witness.as_ref().map(|one| one.move_to(py, &channel)) {
        traceback::entry(py, &error, "changes of modules are not noticed: ").send();
    }
    let around = &generation.config.hooks;
    if let Err(failure) = hooks::run(Here::worker(py, &channel), around, &[Stage::PostFork]) {
        return Err((channel, failure));
    }
    let applications = match &generation.applications {
        Some(applications) => Arc::clone(applications),
        None => {
            let report: import::Report =
                |channel, failure| drop(channel.send(&FromWorker::Failed(failure), &[]));
            let loaded = import::load(py, &generation.config, &channel, report);
            let done = loaded.and_then(|(applications, _)| {
                hooks::run(Here::worker(py, &channel), around, &[Stage::PostApp])
                    .map(|()| applications)
            });
            match done {
                Ok(applications) => applications,
                Err(failure) => return Err((channel, failure)),
            }
        }
    };
    let after = api::after_fork(py);
    let inheritance = generation.inheritance.take().map(|inheritance| inheritance.warn(py));
    if let Some(Err(error)) = inheritance {
        traceback::entry(py, &error, "looking for what the import has left: ").send();
    }
    let stages = accepting(number, generation.is_first);
    let after = after
        .and_then(|()| hooks::run(Here::worker(py, &channel), &generation.config.hooks, &stages));
    if let Err(failure) = after {
        return Err((channel, failure));
    }
    let spare = channel.as_fd().try_clone_to_owned();
    let worker = Worker::create(channel, generation, slot, requests);
    worker.map(|worker| (worker, applications)).map_err(|error| {
        let summary = format!("the worker cannot start: {error}");
        let failure = Failure::plain(summary);
        match spare {
            Ok(fd) => (Channel::from_fd(fd), failure),
            Err(_) => sys::exit_now(ExitCode::System as u8),
        }
    })
}

/// Serves until drained.
fn serve(
    py: Python<'_>,
    worker: &'static Worker,
    applications: &Callables,
    probing: Probing,
) -> ExitCode {
    match serve_with_threads(py, worker, applications, probing) {
        Ok(()) => ExitCode::Ok,
        Err(error) => {
            traceback::entry(py, &error, "the worker cannot serve: ").send();
            ExitCode::Application
        }
    }
}

fn serve_with_threads(
    py: Python<'_>,
    worker: &'static Worker,
    applications: &Callables,
    probing: Probing,
) -> PyResult<()> {
    let watcher = std::thread::Builder::new()
        .name("rwsgi-watch".into())
        .stack_size(1 << 20)
        .spawn(move || worker.crew().watch())?;
    let mut hand = Hand::new(py, 1, worker, applications)?;
    let mut threads = Vec::new();
    for id in 2..=u16::try_from(worker.config.threads).unwrap_or(u16::MAX - 1) {
        threads.push(start_thread(py, id, worker, applications)?);
    }
    if worker.overtime.watches() {
        // Later an application that is stuck in an import could be in the way.
        stacks::prepare(py)?;
    }
    match &worker.config.reloading.probe {
        Some(probe) if probing != Probing::Skipped => {
            stacks::prepare(py)?;
            probe::begin(worker, probe, probing)?;
        }
        _ => worker.announce(),
    }
    worker.confirm_pause();
    hand.serve();
    for thread in threads {
        thread.call_method1("join", (5,))?;
    }
    py.detach(|| drop(watcher.join()));
    py.detach(|| worker.inquirer.end());
    py.detach(|| worker.end_signals());
    worker.complaints.end();
    Ok(())
}

/// A thread of Python's own making, so that `threading` knows it.
fn start_thread<'py>(
    py: Python<'py>,
    id: u16,
    worker: &'static Worker,
    applications: &Callables,
) -> PyResult<Bound<'py, PyAny>> {
    let main = HandMain { id, worker, applications: Arc::clone(applications) };
    let arguments = PyDict::new(py);
    arguments.set_item("target", Bound::new(py, main)?)?;
    arguments.set_item("name", format!("rwsgi-{id}"))?;
    arguments.set_item("daemon", true)?;
    let thread = py.import("threading")?.call_method("Thread", (), Some(&arguments))?;
    thread.call_method0("start")?;
    Ok(thread)
}

/// How many connections there can be, of `wanted`: the limit of descriptors is raised for them as far
/// as it may be.
fn room_for(wanted: u64) -> u64 {
    use nix::sys::resource::{Resource, getrlimit, setrlimit};
    let Ok((soft, hard)) = getrlimit(Resource::RLIMIT_NOFILE) else { return wanted };
    let needed = (wanted + RESERVE).min(hard);
    let raised = needed > soft && setrlimit(Resource::RLIMIT_NOFILE, needed, hard).is_ok();
    let limit = if raised { needed } else { soft };
    wanted.min(limit.saturating_sub(RESERVE)).max(1)
}

impl Worker {
    fn create(
        channel: Channel,
        generation: Generation,
        slot: usize,
        requests: Requests,
    ) -> io::Result<&'static Self> {
        channel.set_nonblocking(true)?;
        let scoreboard = Scoreboard::open(generation.scoreboard, generation.slots)?;
        let index = slot;
        let slot = scoreboard.slot(index).ok_or(io::ErrorKind::InvalidInput)?;
        let names = Names::new();
        slot.take(names.worker());
        commons::introduce(index, slot.read());
        let config = generation.config;
        let age = Age::new(&config.recycling, slot.read().requests, age::lots());
        let pairs = generation.listeners.into_iter().zip(generation.kept).zip(&config.listeners);
        let listener = |((fd, kept), listen): (_, &Listen)| {
            let proxy_protocol = config.proxy_protocol.is_expected_at(&listen.address);
            let grows = config.sizing.cheaper.is_some();
            Arc::new(Listener::new(fd, kept, listen, proxy_protocol, grows))
        };
        let listeners: Vec<_> = pairs.map(listener).collect();
        listeners.iter().try_for_each(|listener| listener.set_nonblocking())?;
        let reactor = Reactor::new()?;
        let overtime = Overtime::new(&config.harakiri);
        let (signals, notify) = UnixStream::pair()?;
        signals.set_nonblocking(true)?;
        sys::tell_of_sigterm(notify.into())?;
        reactor.watch(channel.as_fd(), CHANNEL, false)?;
        reactor.watch(signals.as_fd(), SIGNAL, false)?;
        // As long as the process: nobody counts who holds it.
        let worker: &'static Self = Box::leak(Box::new(Self {
            files: Files::new(&config.files),
            mounts: Mounts::new(&config.application),
            router: Router::new(&config),
            porter: Porter::default(),
            error_pages: ErrorPages::read(&config.files),
            spool: Spool::new(),
            origins: Origins::new(&config.proxies),
            names,
            desks: Arc::new(Desks::new(config.threads, overtime.watches())),
            overtime,
            inquirer: Inquirer::default(),
            signals: Signals::default(),
            proof: Proof::default(),
            max_connections: room_for(u64::from(config.http.max_connections)),
            full: AtomicBool::new(false),
            rests: AtomicU64::new(0),
            trim_at: AtomicU64::new(0),
            config,
            listeners,
            channel,
            slot,
            scoreboard,
            requests,
            relay: generation.relay,
            deadlines: Deadlines::new(),
            reactor,
            crew: OnceLock::new(),
            connections: Mutex::default(),
            open: AtomicU64::new(0),
            listening: AtomicBool::new(false),
            wants_listening: AtomicBool::new(false),
            // Its threads run before it is announced, and may not accept until then.
            resume_at: AtomicU64::new(FAR),
            draining: AtomicBool::new(false),
            linger_ms: AtomicU64::new(0),
            leave_at: AtomicU64::new(NEVER),
            complaints: Complaints::default(),
            held: Held::default(),
            busy_at: AtomicU64::new(0),
            age,
        }));
        worker.deadlines.look_at(worker.age.look(0).0);
        let post = Box::new(Post { worker, signals });
        let _ = worker.crew.set(Crew::new(worker.reactor, post));
        Ok(worker)
    }

    /// The threads.
    pub(crate) fn crew(&self) -> &Crew<Call> {
        // Set in `create`, before anybody else has the worker.
        self.crew.get().unwrap_or_else(|| sys::exit_now(ExitCode::System as u8))
    }

    pub(crate) fn reactor(&self) -> &'static Reactor {
        self.reactor
    }

    /// A request for a Python thread.
    pub(crate) fn submit(&self, call: Call) {
        self.crew().submit(call);
    }

    pub(crate) fn is_draining(&self) -> bool {
        self.draining.load(Relaxed)
    }

    /// How long a connection may wait for its client's next request.
    pub(crate) fn idle_timeout(&self) -> Duration {
        if self.is_draining() {
            Duration::from_millis(self.linger_ms.load(Relaxed))
        } else {
            self.config.http.idle_timeout
        }
    }

    /// A response has left, or broke off, after `bytes` of its body, so long after its request came.
    pub(crate) fn count_response(&self, bytes: u64, took: Duration) {
        let answered = self.slot.count_response(bytes, took);
        if self.config.uwsgi_module || self.config.stats.is_some() {
            commons::count_time(took);
        }
        if self.age.is_last(answered) {
            self.deadlines.look_at(self.age.be_done());
            self.retire_if_due(self.deadlines.advance());
        }
    }

    /// Requests that this worker has answered, and those of all workers.
    pub(crate) fn answered(&self) -> (u64, u64) {
        (self.slot.read().requests, self.scoreboard.total().requests)
    }

    /// Asks to be replaced when it is time, and serves on.
    pub(crate) fn retire_if_due(&self, now: u64) {
        let (next, reason) = self.age.look(now);
        self.deadlines.look_at(next);
        let Some(reason) = reason.filter(|_| !self.is_draining()) else { return };
        if self.channel.send(&FromWorker::Retire { reason }, &[]).is_err() {
            self.deadlines.look_at(self.age.ask_again(now));
        }
    }

    /// Tells the master where the Python threads are.
    pub(crate) fn tell_stacks(&self, py: Python<'_>, ticket: u64) {
        let threads = stacks::of_all(py, &self.desks).unwrap_or_else(|error| {
            traceback::entry(py, &error, "cannot tell where threads are: ").send();
            Vec::new()
        });
        let _ = self.channel.send(&FromWorker::Stacks { ticket, threads }, &[]);
    }

    /// Logs something that a client or a shortage can cause at any rate; `peer` is empty when nobody
    /// in particular does.
    pub(crate) fn complain(&self, peer: &str, entry: Entry) {
        let now = self.deadlines.advance();
        self.complaints.add(now, peer, entry);
        self.deadlines.look_at(self.complaints.look(now));
    }
}
