//! What names a request in the log. A number is drawn when somebody asks first: who runs it, or who
//! writes an entry about it.

use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

use rwsgi_core::log::Entry;
use rwsgi_core::request_id::RequestId;
use rwsgi_core::{age, sys};
use rwsgi_protocol::request::Request;

use crate::request;
use crate::worker::Worker;

/// The names of the requests of a worker.
#[derive(Debug)]
pub(crate) struct Names {
    worker: u64,
    drawn: AtomicU64,
}

impl Names {
    pub(crate) fn new() -> Self {
        let [lot, _] = age::lots();
        Self { worker: sys::random().unwrap_or(lot), drawn: AtomicU64::new(0) }
    }

    /// What all names of this worker begin with.
    pub(crate) fn worker(&self) -> u64 {
        self.worker
    }

    fn of(&self, request: &Request) -> RequestId {
        let number = request.number(|| self.drawn.fetch_add(1, Relaxed) + 1);
        RequestId::Own { worker: self.worker, number }
    }
}

impl Worker {
    /// The name of a request: that of a trusted proxy, or ours.
    pub(crate) fn request_id(&self, request: &Request) -> RequestId {
        match &request.given_id {
            Some(name) => RequestId::Given(name.clone()),
            None => self.names.of(request),
        }
    }

    /// Adds the name, method and path of a request.
    pub(crate) fn about_request(&self, entry: Entry, request: &Request) -> Entry {
        entry
            .number("REQUEST_ID", self.request_id(request))
            .field("REQUEST_METHOD", request.method.as_str().to_owned())
            .field("REQUEST_PATH", request.path().into_owned())
    }
}

/// Adds the name of the request that this thread works on, if there is one.
pub(crate) fn about_current(entry: Entry) -> Entry {
    match request::current_id() {
        Some(id) => entry.number("REQUEST_ID", id),
        None => entry,
    }
}
