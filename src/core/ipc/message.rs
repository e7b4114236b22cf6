//! What the master and the processes it starts say to each other.
//!
//! ```text
//! master ── Start, Fork, Leave ──▶ template        template ── Hello, Hook, Module, Imported,
//!                                                              Failed, Signal ──▶ master
//! master ── Drain, Stacks, Pause, Resume,          worker ── Forked, Hook, Ready, Failed, Busy, Retire,
//!           Refuse, Prove ──▶ worker                         Draining, Stuck, Stacks, Paused,
//!                                                            Alive ──▶ master
//! ```
//! The end of the channel is a message, too: the other side is gone.
//!
//! A new program that takes over from the master of an older version (or the reverse) has that one's
//! template and workers, until the reload that follows has replaced them. So, whatever is released:
//!
//! - A message keeps its name, its fields and their meaning.
//! - A field that is added has `#[serde(default)]`, and what reads without it does what it did before.
//! - A message that is added may be ignored by who does not know it; nothing may wait for its answer
//!   alone. Whoever receives one that he does not understand goes on with the next.
//!
//! [`ToTemplate::Start`] is the exception: it is only read by a template of the same version.
//! `messages_0.1.0.jsonl` has what was said first, and a test reads it for ever.

use serde::{Deserialize, Serialize};

use crate::config::Config;
use crate::cron::When;
use crate::shortage;

/// From the master to a template.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub enum ToTemplate {
    /// Import the application. Descriptors: the scoreboard's memory, that of the locks, the master's stderr if this
    /// process's own is captured, the file of its log if there is one, then one for each of `config.listeners`, in
    /// that order.
    Start {
        /// The version of the master; a template of another version refuses to start.
        version: String,
        /// Everything that was configured.
        config: Box<Config>,
        /// Slots of the scoreboard.
        slots: usize,
        /// stdout and stderr are a pipe that the master reads.
        captured: bool,
        /// The log of the master goes to a file.
        #[serde(default)]
        logged: bool,
        /// For each listener, whether it outlives the master: then the next start serves who waits.
        #[serde(default)]
        kept: Vec<bool>,
        /// Another generation has served before.
        #[serde(default)]
        is_reload: bool,
        /// There was a template of this generation before: what is done once for it is done.
        #[serde(default)]
        is_again: bool,
    },
    /// Fork one worker. Descriptors: the worker's end of its channel, and what is to be its stdout
    /// and stderr, if not the template's.
    Fork {
        /// The worker's number, 1 or more: names it in the log.
        worker: u32,
        /// Its slot of the scoreboard.
        slot: usize,
        /// What it makes of `reload-probe`.
        probing: Probing,
    },
    /// Nothing more is wanted: exit.
    Leave,
}

/// What a new worker makes of `reload-probe` before it is ready.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Probing {
    /// Nothing: its code serves already.
    Skipped,
    /// It asks; when the answer is not good, it says so and serves all the same.
    Told,
    /// It serves only when the answer is good.
    Required,
}

/// From a template to the master.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum FromTemplate {
    /// The interpreter runs and the extension is loaded.
    Hello {
        /// `platform.python_version()`.
        python: String,
    },
    /// A module is imported from this file, or has failed to be (`py-autoreload`).
    Module {
        /// The file, absolute.
        file: String,
    },
    /// The application says what signals of uWSGI's module are to do, or sends one.
    Signal(SignalOrder),
    /// The command of a hook runs, in this process group; or no more.
    Hook {
        /// The group.
        group: Option<i32>,
    },
    /// The application is imported (or, with `lazy-apps`, will be by each worker).
    Imported {
        /// Time that the import took.
        micros: u64,
    },
    /// The application cannot be used. The template exits after this.
    Failed(Failure),
    /// fork(2) failed for this worker.
    ForkFailed {
        /// The slot that the worker would have had.
        slot: usize,
        /// The error in words.
        reason: String,
    },
}

/// From the master to a worker.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum ToWorker {
    /// Accept no more, finish what is there, exit.
    Drain {
        /// Time after which an idle keep-alive connection is closed, in milliseconds; its client
        /// may just be sending the next request.
        linger_ms: u64,
        /// Time after which the worker leaves, done or not, in milliseconds.
        mercy_ms: u64,
    },
    /// Open the log file anew: it was rotated.
    ReopenLog,
    /// Tell where each Python thread is.
    Stacks {
        /// Comes back with the answer.
        ticket: u64,
    },
    /// The scoreboard says that there is a pause: accept no more.
    Pause {
        /// That of the pause.
        number: u64,
    },
    /// The pause is over: what is held goes on.
    Resume,
    /// The pause ends with the instance: what is held is answered with 503.
    Refuse,
    /// Call what the application has registered for this signal of uWSGI's module.
    Signal {
        /// Which.
        number: u8,
        /// It recurs: if the last one still waits for its turn, that is enough.
        #[serde(default)]
        recurs: bool,
    },
    /// A worker has died, perhaps between being woken for a connection and accepting it: the kernel
    /// wakes nobody else.
    LookAgain,
    /// systemd wants to know whether all is well: is it here? Never said without such a systemd.
    Prove,
}

/// What in a worker has shown that it goes on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Part {
    /// Who leads it, and waits for events.
    Loop,
    /// Python: its lock can be had.
    Python,
}

/// Has a worker that has answered for Python write to stderr where its Python threads are, without
/// Python's lock. A signal that nobody else uses: it stands for an error that no processor has.
pub const DUMP: nix::sys::signal::Signal = nix::sys::signal::Signal::SIGSTKFLT;

/// From a worker to the master.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum FromWorker {
    /// The worker exists. Said by the process that forked it, in case it dies at once, and by
    /// itself, so that it comes before all else that it says.
    Forked {
        /// The worker's pid.
        pid: i32,
    },
    /// A module is imported from this file, or has failed to be (`py-autoreload`).
    Module {
        /// The file, absolute.
        file: String,
    },
    /// The application says what signals of uWSGI's module are to do, or sends one.
    Signal(SignalOrder),
    /// The command of a hook runs, in this process group; or no more.
    Hook {
        /// The group.
        group: Option<i32>,
    },
    /// It accepts connections.
    Ready,
    /// The application cannot be used (`lazy-apps`). The worker exits after this.
    Failed(Failure),
    /// All its threads have a request. Only said where more workers could help (`cheaper`), and now
    /// and then.
    Busy,
    /// It asks to be replaced, and serves on until it is told to drain.
    Retire {
        /// What the log says of it: "it has answered 5000 requests (max-requests)".
        reason: String,
    },
    /// It drains, by order or because it was signalled; it exits when done.
    Draining,
    /// It cannot be saved: code that does not return holds Python's lock. It has to be killed.
    Stuck {
        /// Why, in words.
        reason: String,
    },
    /// It accepts nothing, and nothing new reaches the application. Said again when nothing runs any
    /// more.
    Paused {
        /// The number of the pause.
        number: u64,
        /// Requests that the application still works on.
        running: u64,
    },
    /// Where each Python thread is.
    Stacks {
        /// That of the question.
        ticket: u64,
        /// The threads, those of rwsgi first.
        threads: Vec<ThreadStack>,
    },
    /// The answer to [`ToWorker::Prove`]: of the loop at once, of Python as soon as its lock can be had.
    Alive(Part),
}

/// What an application wants of the signals of uWSGI's module: numbers that have handlers.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum SignalOrder {
    /// Who says so has a handler for a signal.
    Handler {
        /// Which.
        number: u8,
        /// Who is to call it.
        target: Target,
    },
    /// Send it every so often.
    Timer {
        /// Which.
        number: u8,
        /// The interval, 1 or more.
        seconds: u32,
        /// How often altogether; 0: for ever.
        times: u32,
    },
    /// Send it at these times.
    Cron {
        /// Which.
        number: u8,
        /// When.
        when: When,
    },
    /// Send it when a file or directory changes.
    File {
        /// Which.
        number: u8,
        /// The path, absolute.
        path: String,
    },
    /// Send it now.
    Send {
        /// Which.
        number: u8,
    },
}

/// Who calls the handler of a signal.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Target {
    /// One worker that serves.
    Any,
    /// All of them.
    All,
    /// That of this number.
    Worker(u32),
}

/// Where a Python thread is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ThreadStack {
    /// Its name, as `threading` has it.
    pub name: String,
    /// Its number among the threads that run requests, from 1.
    pub number: Option<u16>,
    /// What it is doing, the outermost call first, as in a traceback.
    pub stack: String,
}

/// Why an application cannot be used.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Failure {
    /// One sentence: what failed and what to do.
    pub summary: String,
    /// The Python traceback, or empty.
    pub traceback: String,
    /// Where in Python, if known.
    pub place: Option<Place>,
    /// The error number of the system, where that is the cause (errno(3)).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub errno: Option<i32>,
}

impl Failure {
    /// A failure that Python has nothing to do with.
    pub fn plain(summary: String) -> Self {
        let errno = shortage::errno_in(&summary);
        Self { summary, traceback: String::new(), place: None, errno }
    }
}

/// A line of Python.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Place {
    /// The file.
    pub file: String,
    /// The line, from 1.
    pub line: u32,
    /// The function.
    pub function: String,
    /// The type of the exception, such as `KeyError`, or `shop.models.Missing`.
    pub exception: String,
}
