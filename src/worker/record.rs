//! What the log will say of a request.

use std::sync::Arc;
use std::time::Instant;

use http::HeaderName;
use http::header::{HOST, REFERER, USER_AGENT};
use rwsgi_core::log::Access;
use rwsgi_protocol::request::Request;

use crate::connection::{Connection, Phase};
use crate::worker::Worker;

/// What the log says for a response that was never begun because its client left (as nginx does).
const CLIENT_CLOSED_REQUEST: u16 = 499;

/// What the log will say of a request; says it when it is dropped, that is, when the response has
/// left or the connection is gone.
#[derive(Debug)]
pub(crate) struct Record {
    pub(crate) worker: Arc<Worker>,
    pub(crate) connection: Arc<Connection>,
    pub(crate) request: Arc<Request>,
    began: Instant,
    pub(crate) status: u16,
    pub(crate) bytes: u64,
    pub(crate) complete: bool,
}

impl Record {
    pub(crate) fn new(
        worker: &Arc<Worker>,
        connection: &Arc<Connection>,
        request: &Arc<Request>,
    ) -> Self {
        Self {
            worker: Arc::clone(worker),
            connection: Arc::clone(connection),
            request: Arc::clone(request),
            began: Instant::now(),
            status: CLIENT_CLOSED_REQUEST,
            bytes: 0,
            complete: false,
        }
    }

    fn field(&self, name: &HeaderName) -> String {
        let value = self.request.field(name);
        value.map(|value| String::from_utf8_lossy(value).into_owned()).unwrap_or_default()
    }
}

impl Drop for Record {
    fn drop(&mut self) {
        let took = self.began.elapsed();
        self.worker.count_response(self.bytes, took);
        self.connection.enter(&self.worker, Phase::Reply);
        if !self.worker.config.log.requests {
            return;
        }
        let access = Access {
            method: self.request.method.as_str().to_owned(),
            target: String::from_utf8_lossy(&self.request.target()).into_owned(),
            protocol: self.request.protocol(),
            client: client(&self.connection, &self.request),
            host: self.field(&HOST),
            user_agent: self.field(&USER_AGENT),
            referer: self.field(&REFERER),
            status: self.status,
            bytes: self.bytes,
            micros: u64::try_from(took.as_micros()).unwrap_or(u64::MAX),
            complete: self.complete,
        };
        access.send();
    }
}

/// The address of who asks, as text; empty on a UNIX socket.
pub(crate) fn client(connection: &Connection, request: &Request) -> String {
    match (request.origin.client, request.remote_address()) {
        (Some(client), _) => client.to_string(),
        (None, Some(said)) => String::from_utf8_lossy(said).into_owned(),
        (None, None) => connection.peer().address.clone(),
    }
}
