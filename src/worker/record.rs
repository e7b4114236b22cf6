//! What the log will say of a request.

use std::borrow::Cow;
use std::io::Write as _;
use std::sync::Arc;

use http::header::{CONTENT_LENGTH, HOST, REFERER, USER_AGENT};
use http::{HeaderName, Response};
use rwsgi_core::commons::Deed;
use rwsgi_core::log::{Access, Asked, Header};
use rwsgi_protocol::header::http_name;
use rwsgi_protocol::request::{Changes, Head, Request};
use rwsgi_reactor::Moment;

use crate::commons;
use crate::connection::{Connection, Phase};
use crate::route;
use crate::worker::Worker;
use crate::wsgi::lines::Lines;

/// What the log says for a response that was never begun because its client left (as nginx does).
const CLIENT_CLOSED_REQUEST: u16 = 499;
const FORWARDED_FOR: HeaderName = HeaderName::from_static("x-forwarded-for");

/// The variables that each request by HTTP has beside its fields.
const OF_EVERY_REQUEST: [&str; 9] = [
    "REQUEST_METHOD",
    "REQUEST_URI",
    "SCRIPT_NAME",
    "PATH_INFO",
    "QUERY_STRING",
    "SERVER_PROTOCOL",
    "SERVER_NAME",
    "SERVER_PORT",
    "REMOTE_ADDR",
];

/// What the log will say of a request; says it when it is dropped: when a response that is there as a whole
/// is about to leave, when another one has left, or when the connection is gone.
#[derive(Debug)]
pub(crate) struct Record {
    pub(crate) worker: &'static Worker,
    pub(crate) connection: Arc<Connection>,
    pub(crate) request: Arc<Request>,
    began: Moment,
    status: u16,
    fields: u32,
    head_bytes: u64,
    /// What rules have made of it since the response is there.
    pub(crate) changes: Option<Box<Changes>>,
    /// The body is a file that the kernel sends.
    pub(crate) sendfile: bool,
    pub(crate) bytes: u64,
    pub(crate) complete: bool,
}

impl Record {
    pub(crate) fn new(
        worker: &'static Worker,
        connection: &Arc<Connection>,
        request: &Arc<Request>,
    ) -> Self {
        Self {
            worker,
            connection: Arc::clone(connection),
            request: Arc::clone(request),
            began: Moment::now(),
            status: CLIENT_CLOSED_REQUEST,
            fields: 0,
            head_bytes: 0,
            changes: None,
            sendfile: false,
            bytes: 0,
            complete: false,
        }
    }

    /// This is what is answered, before the server adds fields of its own.
    pub(crate) fn answer(&mut self, head: &Response<()>) {
        self.status = head.status().as_u16();
        if !self.worker.requests.measures_heads() {
            return;
        }
        // `HTTP/1.1 200 OK`, the fields with `: ` and line ends, an empty line.
        let reason = head.status().canonical_reason().unwrap_or_default();
        let mut bytes = "HTTP/1.1 200 ".len() + reason.len() + 4;
        for (name, value) in head.headers() {
            bytes += name.as_str().len() + value.len() + 4;
        }
        self.fields = u32::try_from(head.headers().len()).unwrap_or(u32::MAX);
        self.head_bytes = bytes as u64;
    }

    /// The same.
    pub(crate) fn answer_lines(&mut self, lines: &Lines) {
        self.status = lines.status.as_u16();
        if !self.worker.requests.measures_heads() {
            return;
        }
        let reason = lines.status.canonical_reason().unwrap_or_default();
        self.fields = lines.count;
        self.head_bytes = ("HTTP/1.1 200 ".len() + reason.len() + 4 + lines.size()) as u64;
    }
}

impl Drop for Record {
    fn drop(&mut self) {
        let took = self.began.elapsed();
        self.worker.count_response(self.bytes, took);
        if !self.complete {
            commons::count(Deed::Unsent);
        }
        self.connection.enter(self.worker, Phase::Reply);
        if !self.worker.config.routing.rules.done.is_empty() {
            route::conclude(self, self.status, took);
        }
        let requests = &self.worker.requests;
        let changes = [&self.request.changes, &self.changes];
        let is_silent = changes.into_iter().flatten().any(|changes| changes.silent);
        if requests.is_off() || is_silent {
            return;
        }
        requests.log(&Access {
            request: self,
            method: self.request.method.as_str(),
            target: &self.request.target(),
            protocol: self.request.protocol(),
            client: &client(&self.connection, &self.request),
            status: self.status,
            fields: self.fields,
            head_bytes: self.head_bytes,
            bytes: self.bytes,
            micros: u64::try_from(took.as_micros()).unwrap_or(u64::MAX),
            complete: self.complete,
            sendfile: self.sendfile,
            thread: self.request.notes.thread().map(|hand| hand.saturating_sub(1)),
        });
    }
}

impl Asked for Record {
    fn header(&self, header: Header) -> Option<Cow<'_, [u8]>> {
        let (name, variable): (&HeaderName, &[u8]) = match header {
            Header::Host => (&HOST, b"HTTP_HOST"),
            Header::UserAgent => (&USER_AGENT, b"HTTP_USER_AGENT"),
            Header::Referer => (&REFERER, b"HTTP_REFERER"),
            Header::ForwardedFor => (&FORWARDED_FOR, b"HTTP_X_FORWARDED_FOR"),
            Header::ContentLength => (&CONTENT_LENGTH, b"CONTENT_LENGTH"),
        };
        match &self.request.head {
            Head::Http(_) => self.request.field(name).map(Cow::Borrowed),
            Head::Uwsgi { vars, .. } => vars.get(variable).map(Cow::Borrowed),
        }
    }

    fn variable(&self, name: &str) -> Option<Cow<'_, [u8]>> {
        variable(self.worker, &self.connection, &self.request, self.changes.as_deref(), name)
    }

    fn note(&self, name: &str) -> Option<Vec<u8>> {
        self.request.notes.get(name.as_bytes())
    }

    fn request_id(&self, out: &mut Vec<u8>) {
        let _ = write!(out, "{}", self.worker.request_id(&self.request));
    }

    fn variables(&self) -> (u64, u64) {
        // Each is a name and a value after their lengths, two bytes each.
        let size = |name: usize, value: usize| (name + value + 4) as u64;
        match &self.request.head {
            Head::Uwsgi { vars, .. } => {
                vars.iter().fold((0, 0), |(count, bytes), (name, value)| {
                    (count + 1, bytes + size(name.len(), value.len()))
                })
            }
            Head::Http(head) => {
                let (mut count, mut bytes) = (0, 0);
                let plain = |name: &[u8]| {
                    [&b"content-type"[..], b"content-length"]
                        .iter()
                        .any(|plain| name.eq_ignore_ascii_case(plain))
                };
                for (name, value) in head.fields() {
                    let prefix = if plain(name) { 0 } else { "HTTP_".len() };
                    count += 1;
                    bytes += size(prefix + name.len(), value.len());
                }
                for name in OF_EVERY_REQUEST {
                    count += 1;
                    bytes += size(name.len(), self.variable(name).map_or(0, |value| value.len()));
                }
                (count, bytes)
            }
        }
    }

    fn application(&self) -> u64 {
        self.worker.mounts.find(&self.request).map_or(0, |place| place.mounted.number)
    }

    fn counts(&self) -> (u64, u64) {
        self.worker.answered()
    }
}

/// The address of who asks, as text; empty on a UNIX socket.
pub(crate) fn client<'a>(connection: &'a Connection, request: &'a Request) -> Cow<'a, str> {
    match (request.origin.client, request.remote_address()) {
        (Some(client), _) => client.to_string().into(),
        (None, Some(said)) => String::from_utf8_lossy(said),
        (None, None) => connection.peer().address.as_str().into(),
    }
}

/// A variable of CGI, as rules and the mount have left it; `changes` are those since the response is
/// there.
pub(crate) fn variable<'a>(
    worker: &'a Worker,
    connection: &'a Connection,
    request: &'a Request,
    changes: Option<&'a Changes>,
    name: &str,
) -> Option<Cow<'a, [u8]>> {
    let changes = [changes, request.changes.as_deref()];
    if let Some(set) = changes.into_iter().flatten().find_map(|it| it.variable(name)) {
        return Some(Cow::Borrowed(set));
    }
    match name {
        "PATH_INFO" => {
            let prefix = worker.mounts.prefix(request);
            Some(match request.path_info() {
                Cow::Borrowed(path) => path.get(prefix.len()..)?.into(),
                Cow::Owned(path) => path.get(prefix.len()..)?.to_vec().into(),
            })
        }
        "SCRIPT_NAME" => match worker.mounts.prefix(request) {
            "" => as_sent(connection, request, name),
            prefix => Some(prefix.as_bytes().into()),
        },
        _ => as_sent(connection, request, name),
    }
}

/// A variable of CGI, as it came.
fn as_sent<'a>(
    connection: &'a Connection,
    request: &'a Request,
    name: &str,
) -> Option<Cow<'a, [u8]>> {
    if let Head::Uwsgi { vars, .. } = &request.head {
        return vars.get(name.as_bytes()).map(Cow::Borrowed);
    }
    let target = || request.target();
    match name {
        "REQUEST_METHOD" => Some(request.method.as_str().as_bytes().into()),
        "REQUEST_URI" => Some(target()),
        "QUERY_STRING" => Some(match target().iter().position(|&byte| byte == b'?') {
            Some(index) => target().get(index + 1..).unwrap_or_default().to_vec().into(),
            None => Cow::Borrowed(b""),
        }),
        "SCRIPT_NAME" => Some(Cow::Borrowed(b"")),
        "SERVER_NAME" => Some(connection.listener.server_name.as_bytes().into()),
        "SERVER_PORT" => Some(connection.listener.server_port.as_bytes().into()),
        "SERVER_PROTOCOL" => Some(request.protocol().as_bytes().into()),
        "REMOTE_ADDR" => Some(match client(connection, request) {
            Cow::Borrowed(client) => client.as_bytes().into(),
            Cow::Owned(client) => client.into_bytes().into(),
        }),
        _ => request.field(&http_name(name.as_bytes())?).map(Cow::Borrowed),
    }
}
