//! Where entries end: the one place that writes to stderr, a log file, the journal or syslog.
//!
//! What a sink does not take (no room on the disk, nobody behind the socket) is counted, and that is
//! the first thing that is said when it takes something again.

use std::fs::File;
use std::io::ErrorKind;
use std::os::fd::OwnedFd;
use std::path::Path;
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::time::{Duration, Instant};

use super::batch::{Form, Piece};
use super::encoder::encode;
use super::file::LogStream;
use super::journal::Journal;
use super::loss::Loss;
use super::stream::Stream;
use super::syslog::{Said, Syslog, Wire};
use super::{Entry, Event, Speaker, text};
use crate::config::LogTarget;
use crate::config::logging::{Encoder, Log, Transport};

/// An open sink and who speaks into it.
pub(super) struct Sink {
    speaker: Speaker,
    kind: Kind,
    dress: Dress,
    lines: Lines,
    loss: Loss,
    /// It kept the log waiting for nothing, and gets nothing until then.
    rests: Option<Rest>,
    /// It is the file that a new program of this process takes over.
    is_noted: bool,
    /// How far it has come.
    reached: Reached,
}

/// Whether somebody has ever taken what is handed over.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Reached {
    /// Nobody was asked.
    Unknown,
    /// Nobody was there; that was said, and stderr has the entries until somebody is.
    Not,
    /// Yes.
    Once,
}

enum Kind {
    Stderr(Stream),
    File(LogStream),
    Journal(Journal),
    Syslog(Box<Syslog>),
    Datagram { to: String, wire: Option<Wire> },
}

/// What lines look like.
#[derive(Debug, Clone, Default)]
pub(super) struct Dress {
    /// The format of the time before them.
    pub date: Option<String>,
    /// What becomes of them; then nothing is before them.
    pub encoders: Vec<Encoder>,
}

/// What a sink makes of a line, for who prepares one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Style {
    /// Lines with all that is before and after them.
    Lines,
    /// Datagrams of the journal.
    Journal,
    /// The message alone; the sink does the rest.
    Message,
}

/// How many times as long as it took a sink to take nothing it is left alone: others wait for the same
/// thread.
const RESTS: u32 = 10;

/// What takes nothing at once costs nobody anything.
const LONG: Duration = Duration::from_millis(100);

/// Why a sink is left alone, and until when.
struct Rest {
    until: Instant,
    why: String,
}

/// Lines that wait to be written together.
#[derive(Default)]
struct Lines {
    text: Vec<u8>,
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
    pub(super) fn open(
        target: &LogTarget,
        log: &Log,
        speaker: &Speaker,
        file: Option<OwnedFd>,
    ) -> Self {
        let opened = open(target, log, speaker, file);
        let (kind, complaint) = match opened {
            Ok(kind) => (kind, None),
            Err(reason) => (Kind::Stderr(Stream::stderr()), Some(reason)),
        };
        let dress = Dress { date: log.date.clone(), encoders: log.encoders.clone() };
        let mut sink = Self {
            speaker: speaker.clone(),
            kind,
            dress,
            lines: Lines::default(),
            loss: Loss::default(),
            rests: None,
            is_noted: false,
            reached: Reached::Unknown,
        };
        if let Some(reason) = complaint {
            sink.complain(format!("cannot open the log, writing to stderr instead: {reason}"));
        }
        sink
    }

    /// From now on it is the one that [`file()`] is about.
    pub(super) fn noted(mut self) -> Self {
        self.is_noted = true;
        self.note();
        self
    }

    /// With other encoders.
    pub(super) fn encoded(mut self, encoders: &[Encoder]) -> Self {
        self.dress.encoders = encoders.to_vec();
        self
    }

    pub(super) fn dress(&self) -> &Dress {
        &self.dress
    }

    pub(super) fn style(&self) -> Style {
        match self.kind {
            Kind::Stderr(_) | Kind::File(_) => Style::Lines,
            Kind::Journal(_) => Style::Journal,
            Kind::Syslog(_) | Kind::Datagram { .. } => Style::Message,
        }
    }

    /// Whether journald keeps what goes here, and its limits hold.
    pub(super) fn is_kept_by_journald(&self) -> bool {
        match &self.kind {
            Kind::Journal(_) => true,
            Kind::Syslog(syslog) => syslog.is_local(),
            Kind::Stderr(_) | Kind::File(_) | Kind::Datagram { .. } => false,
        }
    }

    fn note(&self) {
        if let (true, Kind::File(log)) = (self.is_noted, &self.kind) {
            *FILE.lock().unwrap_or_else(PoisonError::into_inner) = Some(Arc::clone(log.file()));
        }
    }

    fn complain(&mut self, message: String) {
        self.write(&super::error(Event::SystemError, message));
    }

    /// Opens a log file anew. When that fails, the one that is open is better than none.
    pub(super) fn reopen(&mut self) {
        let Kind::File(log) = &mut self.kind else { return };
        match log.reopen() {
            Ok(()) => self.note(),
            Err(error) => {
                let path = log.path().display().to_string();
                self.complain(format!(
                    "cannot reopen the log {path}: {error}; writing goes on to the file that was open. \
                     It is opened by the user that the server runs as"
                ));
            }
        }
    }

    fn rotated(&mut self, rotated: std::io::Result<()>) {
        match (&self.kind, rotated) {
            (_, Ok(())) => {
                self.loss.forgive();
                self.note();
            }
            (Kind::File(log), Err(error)) if self.loss.is_first_failure() => {
                let path = log.path().display().to_string();
                let entry = super::file::complaint(&path, &error);
                self.begin_lines();
                self.append(&Piece::Entry(&entry));
                self.write_lines();
            }
            _ => {}
        }
    }

    /// Sees to it that lines go to the file of the name that the log has.
    fn follow(&mut self) -> Result<(), String> {
        let Kind::File(log) = &mut self.kind else { return Ok(()) };
        let is_new = log.restore().map_err(|error| {
            format!("the log file was removed and cannot be made anew: {error}")
        })?;
        if let Some(rotated) = if is_new { Some(Ok(())) } else { log.follow() } {
            self.rotated(rotated);
        }
        Ok(())
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
        if self.writes_lines() {
            if self.follow().is_ok() {
                self.begin_lines();
                self.write_lines();
            }
        } else if self.hand_over_in_time(&Piece::Entry(&entry)).is_ok() {
            self.loss.clear();
        }
    }

    fn writes_lines(&self) -> bool {
        matches!(self.kind, Kind::Stderr(_) | Kind::File(_))
    }

    /// Writes one entry.
    pub(super) fn write(&mut self, entry: &Entry) {
        self.write_all(&[Piece::Entry(entry)]);
    }

    /// Writes several items with as few system calls as the sink allows.
    pub(super) fn write_all(&mut self, pieces: &[Piece<'_>]) {
        if !self.writes_lines() {
            return self.hand_over_all(pieces);
        }
        if let Err(why) = self.follow() {
            return self.loss.add(pieces.len() as u64, why);
        }
        for piece in pieces {
            self.begin_lines();
            self.append(piece);
            if self.lines.text.len() > 64 * 1024 {
                self.write_lines();
            }
        }
        self.write_lines();
    }

    fn append(&mut self, piece: &Piece<'_>) {
        self.lines.items += 1;
        let (out, date) = (&mut self.lines.text, self.dress.date.as_deref());
        match piece {
            Piece::Access { bytes, form: Form::Ready, .. } => out.extend_from_slice(bytes),
            _ if !self.dress.encoders.is_empty() => {
                encode(&self.dress.encoders, &piece.message(), out);
            }
            Piece::Entry(entry) => text::append(out, entry, date, &self.speaker),
            Piece::Access { bytes, form, .. } => {
                if *form == Form::Prefixed {
                    text::prefix(out, date, std::process::id(), &self.speaker);
                }
                out.extend_from_slice(bytes);
                out.push(b'\n');
            }
        }
    }

    fn begin_lines(&mut self) {
        if let Some(entry) = self.loss.entry().filter(|_| self.lines.text.is_empty()) {
            if self.lines.is_torn {
                self.lines.text.push(b'\n');
            }
            self.append(&Piece::Entry(&entry));
            self.lines.items = 0;
            self.lines.tells_loss = true;
        }
    }

    fn write_lines(&mut self) {
        let mut stream = match &self.kind {
            Kind::Stderr(stream) => stream.clone(),
            Kind::File(log) => log.stream(),
            Kind::Journal(_) | Kind::Syslog(_) | Kind::Datagram { .. } => return,
        };
        let lines = &mut self.lines;
        match stream.write_all(&lines.text) {
            Ok(()) if lines.tells_loss => {
                self.loss.clear();
                lines.is_torn = false;
            }
            Ok(()) => {}
            Err((written, error)) => {
                if written > 0 {
                    lines.is_torn = !lines.text[..written].ends_with(b"\n");
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

    fn hand_over_all(&mut self, pieces: &[Piece<'_>]) {
        self.tell_losses();
        for (index, piece) in pieces.iter().enumerate() {
            let Err(why) = self.hand_over_in_time(piece) else {
                self.reached = Reached::Once;
                continue;
            };
            // Who is not there will not be there for the next one.
            let rest = pieces.get(index..).unwrap_or_default();
            return match self.reached {
                Reached::Once => self.loss.add(rest.len() as u64, why),
                Reached::Not | Reached::Unknown => self.divert(rest, &why),
            };
        }
    }

    /// To stderr: there is no other place yet.
    fn divert(&mut self, pieces: &[Piece<'_>], why: &str) {
        if self.reached == Reached::Unknown {
            self.reached = Reached::Not;
            let message = format!("the log goes to stderr until somebody takes it: {why}");
            self.append(&Piece::Entry(&super::error(Event::SystemError, message)));
        }
        pieces.iter().for_each(|piece| self.append(piece));
        if let Err((_, error)) = Stream::stderr().write_all(&self.lines.text) {
            self.loss.add(pieces.len() as u64, error);
        }
        self.lines.text.clear();
        self.lines.items = 0;
    }

    /// The same as [`Sink::hand_over`], unless who takes nothing has to rest for having taken long.
    fn hand_over_in_time(&mut self, piece: &Piece<'_>) -> Result<(), String> {
        let began = Instant::now();
        if let Some(rest) = self.rests.as_ref().filter(|rest| began < rest.until) {
            return Err(rest.why.clone());
        }
        let handed = self.hand_over(piece);
        let took = began.elapsed();
        if let (Err(why), true) = (&handed, took > LONG) {
            self.rests = Some(Rest { until: began + took * (RESTS + 1), why: why.clone() });
        }
        handed
    }

    /// To who keeps the log for us.
    fn hand_over(&mut self, piece: &Piece<'_>) -> Result<(), String> {
        match &mut self.kind {
            Kind::Journal(journal) => journal
                .write(piece, &self.speaker)
                .map_err(|error| format!("journald takes none: {error}")),
            Kind::Syslog(syslog) => {
                let message = piece.message();
                let (level, event, entry) = match piece {
                    Piece::Entry(entry) => (entry.level, entry.event.name(), Some(*entry)),
                    Piece::Access { level, .. } => (*level, Event::Access.name(), None),
                };
                syslog
                    .write(Said { level, event, text: &message, entry }, &self.speaker)
                    .map_err(|error| format!("syslog takes none: {error}"))
            }
            Kind::Datagram { to, wire } => {
                let mut line = Vec::new();
                encode(&self.dress.encoders, &piece.message(), &mut line);
                Wire::deliver(wire, &datagrams(to), &line)
                    .map_err(|error| format!("{to} takes none: {error}"))
            }
            Kind::Stderr(_) | Kind::File(_) => Ok(()),
        }
    }
}

fn open(
    target: &LogTarget,
    log: &Log,
    speaker: &Speaker,
    file: Option<OwnedFd>,
) -> Result<Kind, String> {
    Ok(match super::resolve_target(target) {
        LogTarget::Auto | LogTarget::Stderr => Kind::Stderr(Stream::stderr()),
        LogTarget::Journal => Kind::Journal(Journal::open().map_err(|error| error.to_string())?),
        LogTarget::Syslog(target) => {
            let syslog = Syslog::open(&target, speaker);
            Kind::Syslog(Box::new(syslog.map_err(|error| format!("syslog: {error}"))?))
        }
        LogTarget::File(path) => {
            let open = |file| LogStream::open(&path, &log.file, file);
            let is_first = log.sinks.target == LogTarget::File(path.clone());
            let stream = open(file.map(File::from)).or_else(|error| match error.kind() {
                ErrorKind::PermissionDenied if is_first => open(Some(lent().ok_or(error)?)),
                _ => Err(error),
            });
            Kind::File(stream.map_err(|error| unopened(&path, &error))?)
        }
        LogTarget::Datagram(to) => {
            let wire =
                Wire::open_at_once(&datagrams(&to)).map_err(|error| format!("{to}: {error}"))?;
            Kind::Datagram { to, wire }
        }
    })
}

fn unopened(path: &Path, error: &std::io::Error) -> String {
    let remedy = match error.kind() {
        ErrorKind::PermissionDenied => {
            "; each worker opens it, as the user that serves: `chown` it to that user"
        }
        _ => "",
    };
    format!("{}: {error}{remedy}", path.display())
}

fn datagrams(to: &str) -> Transport {
    if to.starts_with('/') { Transport::Unix(to.into()) } else { Transport::Udp(to.to_owned()) }
}

/// That of an ancestor, who may have opened it with more rights.
static LENT: OnceLock<OwnedFd> = OnceLock::new();

pub(super) fn lend(file: OwnedFd) {
    let _ = LENT.set(file);
}

fn lent() -> Option<File> {
    LENT.get()?.try_clone().ok().map(File::from)
}

/// The file of this process's log, as it was opened last.
static FILE: Mutex<Option<Arc<File>>> = Mutex::new(None);

/// The file that the log goes to, if it goes to one.
pub(super) fn file() -> Option<OwnedFd> {
    let file = FILE.lock().unwrap_or_else(PoisonError::into_inner);
    file.as_ref()?.try_clone().ok().map(OwnedFd::from)
}

#[cfg(test)]
#[path = "sink_tests.rs"]
mod tests;
