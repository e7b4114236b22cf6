//! Where entries end: the one place that writes to stderr, a log file, the journal or syslog.

use std::fs::{File, OpenOptions};
use std::io::Write as _;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};

use super::journal::Journal;
use super::{Item, Level, Speaker, text};
use crate::config::LogTarget;

type Syslog = syslog::Logger<syslog::LoggerBackend, syslog::Formatter3164>;

/// An open sink and who speaks into it.
pub(super) struct Sink {
    speaker: Speaker,
    kind: Kind,
    line: String,
}

enum Kind {
    Stderr,
    File { path: PathBuf, file: File },
    Journal(Journal),
    Syslog(Box<Syslog>),
}

impl Sink {
    /// Opens the sink; whatever cannot be opened is replaced by stderr, which says so.
    pub(super) fn open(target: &LogTarget, speaker: Speaker) -> Self {
        let opened = match super::resolve_target(target) {
            LogTarget::Auto | LogTarget::Stderr => Ok(Kind::Stderr),
            LogTarget::Journal => Journal::open().map(Kind::Journal).map_err(|e| e.to_string()),
            LogTarget::Syslog => open_syslog(&speaker).map(Kind::Syslog),
            LogTarget::File(path) => open_file(&path)
                .map(|file| Kind::File { path: path.clone(), file })
                .map_err(|error| format!("{}: {error}", path.display())),
        };
        let (kind, complaint) = match opened {
            Ok(kind) => (kind, None),
            Err(reason) => (Kind::Stderr, Some(reason)),
        };
        let mut sink = Self { speaker, kind, line: String::new() };
        if let Some(reason) = complaint {
            let message = format!("cannot open the log, writing to stderr instead: {reason}");
            let entry = super::error(super::Event::SystemError, message);
            sink.write(&Item::Entry(entry));
        }
        sink
    }

    /// Opens a log file anew.
    pub(super) fn reopen(&mut self) {
        if let Kind::File { path, file } = &mut self.kind
            && let Ok(new) = open_file(path)
        {
            *file = new;
        }
    }

    /// Writes one item; an error has no other place to go and is dropped.
    pub(super) fn write(&mut self, item: &Item) {
        match &mut self.kind {
            Kind::Journal(journal) => {
                let _ = journal.write(item, &self.speaker);
            }
            Kind::Syslog(syslog) => write_syslog(syslog, item, &self.speaker),
            Kind::Stderr | Kind::File { .. } => {
                text::append(&mut self.line, item, &self.speaker);
                self.write_lines();
            }
        }
    }

    /// Writes several items with as few system calls as the sink allows.
    pub(super) fn write_all(&mut self, items: &[Item]) {
        if let Kind::Stderr | Kind::File { .. } = self.kind {
            for item in items {
                text::append(&mut self.line, item, &self.speaker);
                if self.line.len() > 64 * 1024 {
                    self.write_lines();
                }
            }
            self.write_lines();
        } else {
            items.iter().for_each(|item| self.write(item));
        }
    }

    fn write_lines(&mut self) {
        let bytes = self.line.as_bytes();
        let _ = match &mut self.kind {
            Kind::File { file, .. } => file.write_all(bytes),
            _ => std::io::stderr().lock().write_all(bytes),
        };
        self.line.clear();
    }
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

fn write_syslog(syslog: &mut Syslog, item: &Item, speaker: &Speaker) {
    let who = speaker.worker.map(|worker| format!("worker {worker}: ")).unwrap_or_default();
    let (level, message) = match item {
        Item::Access(access) => (Level::Info, access.line()),
        Item::Entry(entry) => (entry.level, entry.message.clone()),
    };
    // RFC 3164 knows no line breaks; one message for each line, as rsyslog would make of it.
    for line in message.lines() {
        let text = format!("{who}{line}");
        let _ = match level {
            Level::Critical => syslog.crit(text),
            Level::Error => syslog.err(text),
            Level::Warning => syslog.warning(text),
            Level::Notice => syslog.notice(text),
            Level::Info => syslog.info(text),
            Level::Debug => syslog.debug(text),
        };
    }
}
