//! Where entries end: the one place that writes to stderr, a log file, the journal or syslog.
//!
//! What a sink does not take (no room on the disk, nobody behind the socket) is counted, and that is
//! the first thing that is said when it takes something again.

use std::fs::{File, OpenOptions};
use std::os::fd::OwnedFd;
use std::os::unix::fs::{MetadataExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use super::journal::Journal;
use super::loss::Loss;
use super::stream::Stream;
use super::{Entry, Event, Item, Level, Speaker, text};
use crate::config::LogTarget;

type Syslog = syslog::Logger<syslog::LoggerBackend, syslog::Formatter3164>;

/// An open sink and who speaks into it.
pub(super) struct Sink {
    speaker: Speaker,
    kind: Kind,
    lines: Lines,
    loss: Loss,
}

enum Kind {
    Stderr(Stream),
    File { path: PathBuf, stream: Stream },
    Journal(Journal),
    Syslog(Box<Syslog>),
}

/// Lines that wait to be written together.
#[derive(Default)]
struct Lines {
    text: String,
    items: u64,
    /// The first of them says what was lost before.
    tells_loss: bool,
    /// The last line that was written has no end.
    is_torn: bool,
}

impl Sink {
    /// Opens the sink; whatever cannot be opened is replaced by stderr, which says so.
    ///
    /// `file` is taken in place of one that would have to be opened.
    pub(super) fn open(target: &LogTarget, speaker: Speaker, file: Option<OwnedFd>) -> Self {
        let opened = match super::resolve_target(target) {
            LogTarget::Auto | LogTarget::Stderr => Ok(Kind::Stderr(Stream::stderr())),
            LogTarget::Journal => Journal::open().map(Kind::Journal).map_err(|e| e.to_string()),
            LogTarget::Syslog => open_syslog(&speaker).map(Kind::Syslog),
            LogTarget::File(path) => file
                .map_or_else(|| open_file(&path), |fd| Ok(File::from(fd)))
                .map(|file| Kind::File { path: path.clone(), stream: note(file) })
                .map_err(|error| format!("{}: {error}", path.display())),
        };
        let (kind, complaint) = match opened {
            Ok(kind) => (kind, None),
            Err(reason) => (Kind::Stderr(Stream::stderr()), Some(reason)),
        };
        let mut sink = Self { speaker, kind, lines: Lines::default(), loss: Loss::default() };
        if let Some(reason) = complaint {
            sink.complain(format!("cannot open the log, writing to stderr instead: {reason}"));
        }
        sink
    }

    fn complain(&mut self, message: String) {
        self.write(&Item::Entry(super::error(Event::SystemError, message)));
    }

    /// Opens a log file anew. When that fails, the one that is open is better than none.
    pub(super) fn reopen(&mut self) {
        let Kind::File { path, stream } = &mut self.kind else { return };
        match open_file(path) {
            Ok(new) => *stream = note(new),
            Err(error) => {
                let path = path.display().to_string();
                self.complain(format!(
                    "cannot reopen the log {path}: {error}; writing goes on to the file that was open. \
                     It is opened by the user that the server runs as"
                ));
            }
        }
    }

    /// Somebody has removed the log file: what is written to it nobody will see.
    fn follow(&mut self) {
        if let Kind::File { path, stream } = &mut self.kind
            && let Stream::File(file) = &stream
            && file.metadata().is_ok_and(|metadata| metadata.nlink() == 0)
            && let Ok(new) = open_file(path)
        {
            *stream = note(new);
        }
    }

    /// So many did not even come here.
    pub(super) fn lose(&mut self, count: u64, why: &str) {
        self.loss.add(count, why);
    }

    /// Whether something is lost that was not told.
    pub(super) fn has_losses(&self) -> bool {
        !self.loss.is_empty()
    }

    /// Tells what was lost, if that is possible now.
    pub(super) fn tell_losses(&mut self) {
        let Some(entry) = self.loss.entry() else { return };
        match &self.kind {
            Kind::Stderr(_) | Kind::File { .. } => {
                self.begin_lines();
                self.write_lines();
            }
            Kind::Journal(_) | Kind::Syslog(_) => {
                if self.hand_over(&Item::Entry(entry)).is_ok() {
                    self.loss.clear();
                }
            }
        }
    }

    /// Writes one item.
    pub(super) fn write(&mut self, item: &Item) {
        self.write_all(std::slice::from_ref(item));
    }

    /// Writes several items with as few system calls as the sink allows.
    pub(super) fn write_all(&mut self, items: &[Item]) {
        if let Kind::Journal(_) | Kind::Syslog(_) = self.kind {
            return self.hand_over_all(items);
        }
        self.follow();
        for item in items {
            self.begin_lines();
            text::append(&mut self.lines.text, item, &self.speaker);
            self.lines.items += 1;
            if self.lines.text.len() > 64 * 1024 {
                self.write_lines();
            }
        }
        self.write_lines();
    }

    fn begin_lines(&mut self) {
        if let Some(entry) = self.loss.entry().filter(|_| self.lines.text.is_empty()) {
            if self.lines.is_torn {
                self.lines.text.push('\n');
            }
            text::append(&mut self.lines.text, &Item::Entry(entry), &self.speaker);
            self.lines.tells_loss = true;
        }
    }

    fn write_lines(&mut self) {
        let (Kind::Stderr(stream) | Kind::File { stream, .. }) = &mut self.kind else { return };
        let lines = &mut self.lines;
        match stream.write_all(lines.text.as_bytes()) {
            Ok(()) if lines.tells_loss => {
                self.loss.clear();
                lines.is_torn = false;
            }
            Ok(()) => {}
            Err((written, error)) => {
                if written > 0 {
                    lines.is_torn = !lines.text.as_bytes()[..written].ends_with(b"\n");
                }
                // What was lost before and has perhaps been told just now counts again rather than
                // not at all.
                self.loss.add(lines.items, error);
            }
        }
        lines.text.clear();
        lines.items = 0;
        lines.tells_loss = false;
    }

    fn hand_over_all(&mut self, items: &[Item]) {
        self.tell_losses();
        for (index, item) in items.iter().enumerate() {
            if let Err(why) = self.hand_over(item) {
                // Who is not there will not be there for the next one.
                return self.loss.add((items.len() - index) as u64, why);
            }
        }
    }

    /// To who keeps the log for us.
    fn hand_over(&mut self, item: &Item) -> Result<(), String> {
        match &mut self.kind {
            Kind::Journal(journal) => journal
                .write(item, &self.speaker)
                .map_err(|error| format!("journald takes none: {error}")),
            Kind::Syslog(syslog) => {
                if write_syslog(syslog, item, &self.speaker).is_err() {
                    // It may have been started anew, with a socket of the same name.
                    *syslog = open_syslog(&self.speaker)?;
                    write_syslog(syslog, item, &self.speaker)
                        .map_err(|error| format!("syslog takes none: {error}"))?;
                }
                Ok(())
            }
            Kind::Stderr(_) | Kind::File { .. } => Ok(()),
        }
    }
}

/// The file of this process's log, as it was opened last.
static FILE: Mutex<Option<Arc<File>>> = Mutex::new(None);

fn note(file: File) -> Stream {
    let file = Arc::new(file);
    *FILE.lock().unwrap_or_else(PoisonError::into_inner) = Some(Arc::clone(&file));
    Stream::File(file)
}

/// The file that the log goes to, if it goes to one.
pub(super) fn file() -> Option<OwnedFd> {
    let file = FILE.lock().unwrap_or_else(PoisonError::into_inner);
    file.as_ref()?.try_clone().ok().map(OwnedFd::from)
}

fn open_file(path: &Path) -> std::io::Result<File> {
    OpenOptions::new().append(true).create(true).mode(0o640).open(path)
}

fn open_syslog(speaker: &Speaker) -> Result<Box<Syslog>, String> {
    let formatter = syslog::Formatter3164 {
        facility: syslog::Facility::LOG_DAEMON,
        hostname: None,
        process: format!("rwsgi@{}", speaker.instance),
        pid: std::process::id(),
    };
    syslog::unix(formatter).map(Box::new).map_err(|error| format!("syslog: {error}"))
}

fn write_syslog(syslog: &mut Syslog, item: &Item, speaker: &Speaker) -> syslog::Result<()> {
    let who = speaker.worker.map(|worker| format!("worker {worker}: ")).unwrap_or_default();
    let (level, message) = match item {
        Item::Access(access) => (Level::Info, access.line()),
        Item::Entry(Entry { level, message, .. }) => (*level, message.clone()),
    };
    // RFC 3164 knows no line breaks; one message for each line, as rsyslog would make of it.
    message.lines().try_for_each(|line| {
        let text = format!("{who}{line}");
        match level {
            Level::Critical => syslog.crit(text),
            Level::Error => syslog.err(text),
            Level::Warning => syslog.warning(text),
            Level::Notice => syslog.notice(text),
            Level::Info => syslog.info(text),
            Level::Debug => syslog.debug(text),
        }
    })
}

#[cfg(test)]
#[path = "sink_tests.rs"]
mod tests;
