//! The log of requests: which are logged, as what, and where.

use std::cell::RefCell;
use std::sync::{Arc, Mutex, PoisonError};

use super::access::Access;
use super::allowance::Allowance;
use super::batch::{Batch, Form};
use super::clock::{self, LTIME};
use super::encoder::encode;
use super::field::Scene;
use super::format::Format;
use super::outlets::Outlets;
use super::sink::{Dress, Style};
use super::{Event, Level, Output, Speaker, journal, text};
use crate::config::Log;
use crate::config::logging::{self, Selection};

/// Entries a second that journald keeps beside everything else: of the 200 000 in 30 seconds that
/// the unit allows, less than a third.
const JOURNAL_RATE: u32 = 2000;

thread_local! {
    /// Where this thread prepares a line.
    static LINE: RefCell<Vec<u8>> = const { RefCell::new(Vec::new()) };
}

/// The log of requests of a worker.
#[derive(Debug)]
pub struct Requests {
    settings: logging::Requests,
    format: Format,
    style: Style,
    dress: Dress,
    allowance: Option<Allowance>,
    output: Arc<Output>,
    speaker: Speaker,
    pid: u32,
}

impl std::fmt::Debug for Output {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Output").finish_non_exhaustive()
    }
}

/// What a request has to be prepared for.
struct Surroundings {
    style: Style,
    dress: Dress,
    is_limited: bool,
}

fn surroundings(outlets: &mut Outlets) -> Surroundings {
    Surroundings {
        style: outlets.style(),
        dress: outlets.dress().clone(),
        is_limited: outlets.is_kept_by_journald(),
    }
}

impl Requests {
    /// Opens the log of a process together with that of its requests. `workers` share the rate.
    pub fn init(log: &Log, speaker: &Speaker, workers: u32) -> Self {
        // The sinks are asked before a thread has them.
        let seen: Mutex<Option<Surroundings>> = Mutex::new(None);
        let looked_at = |mut outlets: Outlets| {
            *seen.lock().unwrap_or_else(PoisonError::into_inner) = Some(surroundings(&mut outlets));
            outlets
        };
        let (output, complaint) =
            Output::queued(|| looked_at(Outlets::of_everything(log, speaker, None)));
        let mut output = Arc::new(output);
        {
            let mut outputs = super::outputs();
            outputs.everything = Some(Arc::clone(&output));
            outputs.opened = Some(Arc::new((log.clone(), speaker.clone())));
        }
        complaint.into_iter().for_each(super::Entry::send);
        if let Some(sinks) = &log.requests.sinks {
            let (own, complaint) =
                Output::queued(|| looked_at(Outlets::of_requests(sinks, log, speaker)));
            output = Arc::new(own);
            super::outputs().requests = Some(Arc::clone(&output));
            complaint.into_iter().for_each(super::Entry::send);
        }
        let seen = seen.into_inner().unwrap_or_else(PoisonError::into_inner);
        let Surroundings { style, mut dress, is_limited } = seen.unwrap_or(Surroundings {
            style: Style::Message,
            dress: Dress::default(),
            is_limited: false,
        });
        let settings = log.requests.clone();
        if !settings.encoders.is_empty() {
            dress.encoders.clone_from(&settings.encoders);
        }
        let rate = settings.rate.unwrap_or(if is_limited { JOURNAL_RATE } else { 0 });
        let rate = (rate > 0).then(|| rate.div_ceil(workers.max(1)));
        Self {
            format: Format::compile(settings.format.as_deref(), settings.micros),
            style,
            dress,
            allowance: rate.map(Allowance::new),
            output,
            speaker: speaker.clone(),
            pid: std::process::id(),
            settings,
        }
    }

    /// Whether no request is ever logged.
    pub fn is_off(&self) -> bool {
        !self.settings.enabled && self.settings.selection.is_empty()
    }

    /// Whether lines tell how large the heads of responses are.
    pub fn measures_heads(&self) -> bool {
        !self.is_off() && self.format.measures_heads()
    }

    /// Logs a request, if it is one of those that are logged.
    pub fn log(&self, access: &Access<'_>) {
        if !self.settings.enabled && !selects(&self.settings.selection, access) {
            return;
        }
        let now = clock::now();
        if let Some(allowance) = &self.allowance {
            let admitted = allowance.admits(now, access.level() < Level::Info);
            self.tell_left_out(allowance, now, false);
            if !admitted {
                return;
            }
        }
        LINE.with_borrow_mut(|line| {
            line.clear();
            let form = self.prepare(line, access, now);
            match &*self.output {
                Output::Queued(queue) => queue.push_access(line, access.level(), form),
                Output::Direct(outlets) => {
                    let mut batch = Batch::default();
                    batch.push_access(line, access.level(), form);
                    outlets.lock().unwrap_or_else(PoisonError::into_inner).write_all(&batch);
                }
                Output::Relay => {}
            }
        });
    }

    /// Says what was left out and not told yet, at the end of the process.
    pub fn close(&self) {
        if let Some(allowance) = &self.allowance {
            self.tell_left_out(allowance, clock::now(), true);
        }
    }

    fn tell_left_out(&self, allowance: &Allowance, now: i64, at_last: bool) {
        if let Some(count) = allowance.left_out(now, at_last) {
            let (requests, were) =
                if count == 1 { ("request", "was") } else { ("requests", "were") };
            let message = format!(
                "{count} {requests} {were} served and not logged: there are more than `log-rate` allows; \
                 a `req-logger` to a file takes all"
            );
            super::warning(Event::LogLost, message).number("RWSGI_LOST", count).send();
        }
    }

    fn prepare(&self, out: &mut Vec<u8>, access: &Access<'_>, now: i64) -> Form {
        let scene = Scene {
            now,
            worker: self.speaker.worker.unwrap_or_default(),
            pid: self.pid,
            ftime: self.settings.ftime.as_deref().unwrap_or(LTIME),
            forwarded: self.settings.forwarded,
        };
        match self.style {
            Style::Journal => {
                journal::encode_access(out, access, &self.speaker, |out| {
                    self.format.append(out, access, &scene);
                });
                Form::Ready
            }
            Style::Message => {
                self.format.append(out, access, &scene);
                if self.format.is_bare() { Form::Bare } else { Form::Prefixed }
            }
            Style::Lines if self.dress.encoders.is_empty() => {
                if !self.format.is_bare() {
                    text::prefix(out, self.dress.date.as_deref(), self.pid, &self.speaker);
                }
                self.format.append(out, access, &scene);
                out.push(b'\n');
                Form::Ready
            }
            Style::Lines => {
                let mut line = Vec::new();
                self.format.append(&mut line, access, &scene);
                encode(&self.dress.encoders, &line, out);
                Form::Ready
            }
        }
    }
}

/// As uWSGI does.
fn selects(selection: &Selection, access: &Access<'_>) -> bool {
    let reaches = |limit: Option<u64>, value: u64| limit.is_some_and(|limit| value >= limit);
    selection.client_errors && (400..500).contains(&access.status)
        || selection.server_errors && (500..600).contains(&access.status)
        || reaches(selection.slow, access.micros / 1000)
        || reaches(selection.big, access.bytes)
        || selection.empty && access.bytes == 0
        || selection.incomplete && !access.complete
        || selection.sendfile && access.sendfile
}

#[cfg(test)]
mod tests {
    use super::super::access::tests::access;
    use super::*;

    #[test]
    fn only_what_is_selected_is_logged() {
        let with = |change: fn(&mut Selection)| {
            let mut selection = Selection::default();
            change(&mut selection);
            selects(&selection, &access(b"/"))
        };
        assert!(!with(|_| {}));
        assert!(with(|selection| selection.client_errors = true));
        assert!(!with(|selection| selection.server_errors = true));
        assert!(with(|selection| selection.slow = Some(1)));
        assert!(!with(|selection| selection.slow = Some(2)));
        assert!(with(|selection| selection.big = Some(12)));
        assert!(!with(|selection| selection.big = Some(13)));
        assert!(!with(|selection| selection.empty = true));
        assert!(!with(|selection| selection.incomplete = true));
        assert!(!with(|selection| selection.sendfile = true));
    }
}
