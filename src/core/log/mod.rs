//! One entry for each thing that happened.
//!
//! [`Entry`] is what is said: a level, an [`Event`], a message, fields. [`init`] chooses the sink
//! once for a process; [`Entry::send`] never waits for it: entries go over a bounded queue to a
//! thread that owns the sink. Where there must be no threads (the template, which forks)
//! [`init_relay`] writes to stderr what the master reads there and logs, or [`init_direct`] writes to
//! the sink at once.

mod access;
mod catalog;
mod event;
mod explanations;
mod fields;
mod fork;
mod journal;
mod loss;
mod queue;
mod relay;
mod sink;
mod stream;
mod text;

use std::borrow::Cow;
use std::os::fd::OwnedFd;
use std::sync::{Mutex, OnceLock, PoisonError};

pub use access::Access;
pub use catalog::catalog;
pub use event::Event;
pub use fields::man_journal_fields;
pub use fork::follow_forks;
use queue::Queue;
pub use relay::{relayed, unfold};
use sink::Sink;
pub use stream::{stderr, use_as_stderr};
pub use text::escape_into;

use crate::config::LogTarget;

/// Severity, as syslog(3) numbers it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
#[repr(u8)]
pub enum Level {
    /// The instance cannot go on.
    Critical = 2,
    /// Something failed that somebody has to look at.
    Error = 3,
    /// Something is odd, service goes on.
    Warning = 4,
    /// A normal event that matters: started, reloaded, stopped.
    Notice = 5,
    /// A normal event.
    Info = 6,
    /// Only of interest to who develops.
    Debug = 7,
}

impl Level {
    /// That of this number; below 2 there is nothing for us, above 7 nothing at all.
    pub fn of(number: u8) -> Self {
        match number {
            0..=2 => Self::Critical,
            3 => Self::Error,
            4 => Self::Warning,
            5 => Self::Notice,
            6 => Self::Info,
            _ => Self::Debug,
        }
    }

    /// The name in text lines.
    pub fn name(self) -> &'static str {
        match self {
            Self::Critical => "critical",
            Self::Error => "error",
            Self::Warning => "warning",
            Self::Notice => "notice",
            Self::Info => "info",
            Self::Debug => "debug",
        }
    }
}

/// One thing that happened.
#[derive(Debug, Clone)]
pub struct Entry {
    /// How bad it is.
    pub level: Level,
    /// Which kind of thing.
    pub event: Event,
    /// The text for people; may have several lines.
    pub message: String,
    /// Further fields of the journal entry: upper-case name and value.
    pub fields: Vec<(Cow<'static, str>, Cow<'static, str>)>,
}

impl Entry {
    /// An entry without fields.
    pub fn new(level: Level, event: Event, message: impl Into<String>) -> Self {
        Self { level, event, message: message.into(), fields: Vec::new() }
    }

    /// Adds a field.
    #[must_use]
    pub fn field(
        mut self,
        name: impl Into<Cow<'static, str>>,
        value: impl Into<Cow<'static, str>>,
    ) -> Self {
        self.fields.push((name.into(), value.into()));
        self
    }

    /// Adds a field that is a number.
    #[must_use]
    pub fn number(self, name: &'static str, value: impl std::fmt::Display) -> Self {
        self.field(name, value.to_string())
    }

    /// Whether it has a field of this name.
    pub fn has(&self, name: &str) -> bool {
        self.fields.iter().any(|(one, _)| one == name)
    }

    /// Says first whom it is about.
    #[must_use]
    pub fn about(mut self, who: &str) -> Self {
        self.message.insert_str(0, ": ");
        self.message.insert_str(0, who);
        self
    }

    /// Hands the entry to the log of this process. Lost when [`init`] was never called.
    pub fn send(self) {
        deliver(Item::Entry(self));
    }
}

/// What the sink writes.
#[derive(Debug)]
pub(crate) enum Item {
    /// Something that happened.
    Entry(Entry),
    /// A request that was answered.
    Access(Access),
}

/// Who speaks: goes into every entry.
#[derive(Debug, Clone)]
pub struct Speaker {
    /// The instance's name.
    pub instance: String,
    /// The worker's number; `None` for master and template.
    pub worker: Option<u32>,
}

enum Output {
    Direct(Mutex<Sink>, LogTarget, Speaker),
    Relay,
    Queued(Queue, LogTarget, Speaker),
}

static OUTPUT: OnceLock<Mutex<Option<std::sync::Arc<Output>>>> = OnceLock::new();

fn slot() -> &'static Mutex<Option<std::sync::Arc<Output>>> {
    OUTPUT.get_or_init(|| Mutex::new(None))
}

fn install(output: Output) {
    *slot().lock().unwrap_or_else(PoisonError::into_inner) = Some(std::sync::Arc::new(output));
}

fn current() -> Option<std::sync::Arc<Output>> {
    slot().lock().unwrap_or_else(PoisonError::into_inner).clone()
}

/// From now on entries are written at once, by the thread that sends them.
pub fn init_direct(target: &LogTarget, speaker: Speaker) {
    let sink = Mutex::new(Sink::open(target, speaker.clone(), None));
    install(Output::Direct(sink, target.clone(), speaker));
}

/// From now on entries are text on stderr, with a level that sd-daemon(3) knows: somebody reads them
/// there.
pub fn init_relay() {
    install(Output::Relay);
}

/// From now on entries are written by a thread of their own, or, when there can be none, at once.
pub fn init(target: &LogTarget, speaker: Speaker) {
    init_with(target, speaker, None);
}

/// The same; where the target is a file, it is `file`, if there is one: an earlier program of this
/// process has opened it, perhaps with more rights.
pub fn init_with(target: &LogTarget, speaker: Speaker, file: Option<OwnedFd>) {
    match Queue::start(Sink::open(target, speaker.clone(), file)) {
        Ok(queue) => install(Output::Queued(queue, target.clone(), speaker)),
        Err(error) => {
            init_direct(target, speaker);
            let message =
                format!("no thread for the log: {error}; it is written at once, and may be slow");
            warning(Event::SystemError, message).send();
        }
    }
}

/// A descriptor of the file that the log goes to, if it goes to one.
pub fn file() -> Option<OwnedFd> {
    sink::file()
}

/// The sink that `Auto` stands for in this process: the journal when stderr is connected to it.
pub fn resolve_target(target: &LogTarget) -> LogTarget {
    match target {
        LogTarget::Auto if journal::is_stderr() => LogTarget::Journal,
        LogTarget::Auto => LogTarget::Stderr,
        other => other.clone(),
    }
}

/// Waits until what was sent is written, a second at most.
pub fn flush() {
    fork::take_over();
    if let Some(output) = current()
        && let Output::Queued(queue, ..) = &*output
    {
        queue.flush();
    }
}

/// The same at the end of a process: nothing is said after it. Waits, too, until the journal has seen
/// who it was.
pub fn finish() {
    flush();
    journal::settle();
}

/// Opens a log file anew, after it was rotated.
pub fn reopen() {
    match current().as_deref() {
        Some(Output::Direct(sink, ..)) => {
            sink.lock().unwrap_or_else(PoisonError::into_inner).reopen();
        }
        Some(Output::Queued(queue, ..)) => queue.reopen(),
        Some(Output::Relay) | None => {}
    }
}

fn deliver(item: Item) {
    fork::take_over();
    match current().as_deref() {
        Some(Output::Direct(sink, ..)) => {
            sink.lock().unwrap_or_else(PoisonError::into_inner).write(&item);
        }
        Some(Output::Relay) => relay::write(&item),
        Some(Output::Queued(queue, ..)) => queue.push(item),
        None => {}
    }
}

/// An entry at level `critical`.
pub fn critical(event: Event, message: impl Into<String>) -> Entry {
    Entry::new(Level::Critical, event, message)
}

/// An entry at level `error`.
pub fn error(event: Event, message: impl Into<String>) -> Entry {
    Entry::new(Level::Error, event, message)
}

/// An entry at level `warning`.
pub fn warning(event: Event, message: impl Into<String>) -> Entry {
    Entry::new(Level::Warning, event, message)
}

/// An entry at level `notice`.
pub fn notice(event: Event, message: impl Into<String>) -> Entry {
    Entry::new(Level::Notice, event, message)
}

/// An entry at level `info`.
pub fn info(event: Event, message: impl Into<String>) -> Entry {
    Entry::new(Level::Info, event, message)
}

impl Access {
    /// Hands the request to the log of this process.
    pub fn send(self) {
        deliver(Item::Access(self));
    }
}
