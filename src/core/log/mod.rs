//! One entry for each thing that happened.
//!
//! [`Entry`] is what is said: a level, an [`Event`], a message, fields. [`init`] chooses the sink
//! once for a process; [`Entry::send`] never waits for it: entries go over a bounded queue to a
//! thread that owns the sink. Where there must be no threads (the template, which forks)
//! [`init_relay`] writes to stderr what the master reads there and logs, or [`init_direct`] writes to
//! the sink at once.

mod access;
mod allowance;
mod batch;
mod catalog;
mod clock;
mod encoder;
mod event;
mod explanations;
mod field;
mod fields;
mod file;
mod fork;
mod format;
mod guard;
mod journal;
mod loss;
mod outlets;
mod queue;
mod relay;
mod requests;
mod sink;
mod stream;
mod syslog;
mod text;

use std::borrow::Cow;
use std::fs::File;
use std::io;
use std::os::fd::OwnedFd;
use std::path::Path;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

pub use access::{Access, Asked, Header};
pub use catalog::catalog;
pub use clock::check as check_time;
pub use event::Event;
pub use fields::man_journal_fields;
use file::LogStream;
pub use fork::follow_forks;
pub use format::notes;
use outlets::Outlets;
use queue::Queue;
pub use relay::{relayed, unfold};
pub use requests::Requests;
pub use stream::{stderr, use_as_stderr};
pub use text::escape_into;

use crate::config::logging::LogFile;
use crate::config::{Log, LogTarget};

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

    /// Bytes of its text and fields.
    pub(crate) fn size(&self) -> usize {
        let fields = self.fields.iter().map(|(name, value)| name.len() + value.len());
        self.message.len() + fields.sum::<usize>()
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
        deliver(self);
    }
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
    Direct(Box<Mutex<Outlets>>),
    Relay,
    Queued(Queue),
}

impl Output {
    /// With a thread of its own, or, when there can be none, without.
    fn queued(outlets: impl Fn() -> Outlets) -> (Self, Option<Entry>) {
        match Queue::start(outlets()) {
            Ok(queue) => (Self::Queued(queue), None),
            Err(error) => {
                let message = format!(
                    "no thread for the log: {error}; it is written at once, and may be slow"
                );
                let complaint = warning(Event::SystemError, message);
                (Self::Direct(Box::new(Mutex::new(outlets()))), Some(complaint))
            }
        }
    }

    fn reopen(&self) {
        match self {
            Self::Direct(outlets) => {
                outlets.lock().unwrap_or_else(PoisonError::into_inner).reopen();
            }
            Self::Queued(queue) => queue.reopen(),
            Self::Relay => {}
        }
    }
}

/// Where the entries of this process go.
#[derive(Default)]
struct Outputs {
    everything: Option<Arc<Output>>,
    /// Those of requests, where they have their own.
    requests: Option<Arc<Output>>,
    /// As what they were opened, for who has to do it again.
    opened: Option<Arc<(Log, Speaker)>>,
}

static OUTPUTS: Mutex<Outputs> =
    Mutex::new(Outputs { everything: None, requests: None, opened: None });

fn outputs() -> MutexGuard<'static, Outputs> {
    OUTPUTS.lock().unwrap_or_else(PoisonError::into_inner)
}

fn install(output: Output, log: &Log, speaker: &Speaker) {
    let mut outputs = outputs();
    outputs.everything = Some(Arc::new(output));
    outputs.opened = Some(Arc::new((log.clone(), speaker.clone())));
}

fn current() -> Option<Arc<Output>> {
    outputs().everything.clone()
}

fn all() -> impl Iterator<Item = Arc<Output>> {
    let outputs = outputs();
    [outputs.everything.clone(), outputs.requests.clone()].into_iter().flatten()
}

/// From now on entries are written at once, by the thread that sends them.
pub fn init_direct(log: &Log, speaker: &Speaker) {
    let outlets = Outlets::of_everything(log, speaker, None);
    install(Output::Direct(Box::new(Mutex::new(outlets))), log, speaker);
}

/// From now on entries are text on stderr, with a level that sd-daemon(3) knows: somebody reads them
/// there.
pub fn init_relay() {
    outputs().everything = Some(Arc::new(Output::Relay));
}

/// From now on entries are written by a thread of their own, or, when there can be none, at once.
pub fn init(log: &Log, speaker: &Speaker) {
    init_with(log, speaker, None);
}

/// The same; where the target is a file, it is `file`, if there is one: an earlier program of this
/// process has opened it, perhaps with more rights.
pub fn init_with(log: &Log, speaker: &Speaker, file: Option<OwnedFd>) {
    let open = move || {
        let file = file.as_ref().and_then(|file| file.try_clone().ok());
        Outlets::of_everything(log, speaker, file)
    };
    let (output, complaint) = Output::queued(open);
    install(output, log, speaker);
    complaint.into_iter().for_each(Entry::send);
}

/// Opens a file as those of loggers are: with care for who else can write where it is.
///
/// # Errors
/// Those of open(2); ENXIO for a FIFO that nobody reads.
pub fn open_file(path: &Path, rules: &LogFile) -> io::Result<File> {
    file::open(path, rules)
}

/// Discards what is in the log files of a configuration, where it says so (`log-truncate`); at the
/// start of an instance.
pub fn truncate(log: &Log) {
    if !log.file.truncate {
        return;
    }
    for path in log.files() {
        // What cannot be opened is told when it is opened to be written.
        let _ = file::truncate(path, &log.file);
    }
}

/// A descriptor of the file that the log goes to, if it goes to one.
pub fn file() -> Option<OwnedFd> {
    sink::file()
}

/// Takes a file that [`file()`] has told an ancestor of this process: where the log goes to that and this process may
/// not open it, it is good enough.
pub fn lend(file: OwnedFd) {
    sink::lend(file);
}

/// The sink that `Auto` stands for in this process: the journal when stderr is connected to it.
pub fn resolve_target(target: &LogTarget) -> LogTarget {
    match target {
        LogTarget::Auto if journal::is_stderr() => LogTarget::Journal,
        LogTarget::Auto => LogTarget::Stderr,
        other => other.clone(),
    }
}

/// Waits until what was sent is written, a second at most for each thread that writes.
pub fn flush() {
    fork::take_over();
    for output in all() {
        if let Output::Queued(queue) = &*output {
            queue.flush();
        }
    }
}

/// The same at the end of a process: nothing is said after it. Waits, too, until the journal has seen
/// who it was.
pub fn finish() {
    flush();
    journal::settle();
}

/// Opens log files anew, after they were rotated.
pub fn reopen() {
    all().for_each(|output| output.reopen());
}

/// Renames the log files of a configuration; then they are to be opened anew, everywhere.
pub fn rotate(log: &Log) {
    for path in log.files() {
        let renamed = LogStream::open(path, &log.file, None).and_then(|mut log| log.rotate());
        if let Err(error) = renamed {
            file::complaint(&path.display().to_string(), &error).send();
        }
    }
}

fn deliver(entry: Entry) {
    fork::take_over();
    match current().as_deref() {
        Some(Output::Direct(outlets)) => {
            outlets.lock().unwrap_or_else(PoisonError::into_inner).write(entry);
        }
        Some(Output::Relay) => relay::write(&entry),
        Some(Output::Queued(queue)) => queue.push(entry),
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
