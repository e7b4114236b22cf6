//! Requests that have waited for a thread for too long, or that too many wait before: 503.

use std::time::Duration;

use bytes::Bytes;
use http::header::RETRY_AFTER;
use http::{HeaderValue, Method, StatusCode};
use rwsgi_core::log::{self, Event};

use crate::exchange::Payload;
use crate::request::Call;
use crate::worker::Worker;

/// Seconds after which a client may try again.
const RETRY: HeaderValue = HeaderValue::from_static("5");

impl Worker {
    /// Answers a request that the application has not seen with 503: the client may try again after so
    /// many seconds.
    pub(crate) fn refuse(&self, call: &Call, seconds: HeaderValue) {
        let (mut head, text) = self.error_pages.response(StatusCode::SERVICE_UNAVAILABLE);
        head.headers_mut().insert(RETRY_AFTER, seconds);
        let text = if call.request.method == Method::HEAD { Bytes::new() } else { text };
        call.reply.exchange.respond(head, Payload::Whole(text));
    }

    /// Answers a request that the application will not see. `waited`: for how long it did; `None`:
    /// there was no room to wait.
    pub(crate) fn turn_away(&self, call: &Call, waited: Option<Duration>) {
        self.slot.count_turned_away();
        self.refuse(call, RETRY);
        self.complain_of_overload(call, waited);
    }

    fn complain_of_overload(&self, call: &Call, waited: Option<Duration>) {
        let threads = self.config.threads;
        let busy = match threads {
            1 => "the thread of this worker is busy".to_owned(),
            _ => format!("all {threads} threads of this worker are busy"),
        };
        let why = match waited {
            Some(waited) => format!("it has waited for {:.1} s", waited.as_secs_f64()),
            None => {
                format!("{} requests wait already (`max-queue`)", self.config.queue.most)
            }
        };
        let mut message = format!("{} ", call.request.method);
        log::escape_into(&mut message, &call.request.path());
        message.push_str(&format!(
            ": answered with 503, as {busy} and {why}; raise `processes` or `threads`, or see \
             `rwsgi stacks` for what they do"
        ));
        let entry = log::error(Event::Overload, message);
        let entry = self
            .about_request(entry, &call.request)
            .field("HTTP_STATUS", "503".to_owned())
            .number("WAITED_USEC", waited.unwrap_or_default().as_micros());
        self.complain("", entry);
    }
}
