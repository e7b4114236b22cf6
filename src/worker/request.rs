//! One request: from hyper to the application and back.
//!
//! [`answer`] is the connection's half, a future that a leading thread polls; [`run`] is the
//! application's half, one straight function on a Python thread. They meet in an [`Exchange`].

use std::pin::Pin;
use std::sync::Arc;
use std::time::Instant;

use bytes::Bytes;
use http::header::{CONNECTION, CONTENT_LENGTH, CONTENT_TYPE, EXPECT, HOST, REFERER, USER_AGENT};
use http::request::Parts;
use http::{HeaderName, HeaderValue, Method, Request, Response, StatusCode, Version};
use http_body::Body as _;
use hyper::body::Incoming;
use rwsgi_core::log::{self, Access, Event};
use rwsgi_protocol::body::{Body, End};
use rwsgi_protocol::header::content_length;

use crate::connection::{Connection, Phase, Upload};
use crate::exchange::{Exchange, Payload};
use crate::hand::Hand;
use crate::response::{Aborted, Link, Outgoing};
use crate::worker::Worker;
use crate::wsgi::body;
use crate::wsgi::reply::Reply;

/// A request that is to be run by a Python thread.
#[derive(Debug)]
pub(crate) struct Call {
    pub(crate) head: Arc<Parts>,
    pub(crate) exchange: Arc<Exchange>,
    pub(crate) connection: Arc<Connection>,
    /// The request has a body, of known or unknown length.
    pub(crate) has_body: bool,
}

/// The connection's half: brings the body, waits for the response.
///
/// # Errors
/// The request cannot be answered: the connection is closed.
pub(crate) async fn answer(
    worker: Arc<Worker>,
    connection: Arc<Connection>,
    request: Request<Incoming>,
) -> Result<Response<Outgoing>, Aborted> {
    connection.enter(&worker, Phase::Application);
    let (head, mut incoming) = request.into_parts();
    let head = Arc::new(head);
    let record = Record::new(&worker, &connection, &head);
    if let Some(status) = refusal(&worker, &head) {
        return Ok(refuse(status, record));
    }
    let expects = head.headers.contains_key(EXPECT) && head.version == Version::HTTP_11;
    let has_body = !incoming.is_end_stream();
    let mut body = if has_body { Body::default() } else { Body::empty() };
    if has_body && !expects {
        connection.enter(&worker, Phase::Body);
        if let Err(status) = receive(&worker, &connection, &mut incoming, &mut body).await {
            return Ok(refuse(status, record));
        }
        connection.enter(&worker, Phase::Application);
    }
    let received = body.len() as u64;
    let upload = (body.end() == End::Open)
        .then(|| Upload::new(Arc::clone(&worker), incoming, expects, received));
    let exchange = Exchange::new(body);
    let mut link =
        Link { exchange: Arc::clone(&exchange), connection: Arc::clone(&connection), upload };
    worker.submit(Call { head, exchange, connection, has_body });
    let answer = std::future::poll_fn(|cx| {
        link.pump(cx);
        link.exchange.poll_head(cx)
    });
    let (head, payload) = answer.await.ok_or(Aborted)?;
    Ok(assemble(&worker, head, payload, link, record))
}

/// Reads the body until it is complete, or as much of it as is buffered before the application is
/// called. `Err`: the status to refuse it with.
async fn receive(
    worker: &Worker,
    connection: &Connection,
    incoming: &mut Incoming,
    body: &mut Body,
) -> Result<(), StatusCode> {
    let http = &worker.config.http;
    while (body.len() as u64) < http.buffered_bytes {
        let frame = std::future::poll_fn(|cx| Pin::new(&mut *incoming).poll_frame(cx)).await;
        match frame {
            Some(Ok(frame)) => {
                if let Ok(data) = frame.into_data() {
                    body.push(data);
                }
                connection.enter(worker, Phase::Body);
            }
            // Bad framing, or a client that has gone and will not read this.
            Some(Err(error)) => {
                let client = &connection.peer.address;
                let message = format!("{client}: bad request body: {error}");
                worker.complain(log::info(Event::ClientError, message));
                return Err(StatusCode::BAD_REQUEST);
            }
            None => {
                body.finish(End::Complete);
                return Ok(());
            }
        }
        if http.body_bytes.is_some_and(|limit| body.len() as u64 > limit) {
            return Err(StatusCode::PAYLOAD_TOO_LARGE);
        }
    }
    Ok(())
}

/// The status with which a request is refused before the application hears of it.
fn refusal(worker: &Worker, head: &Parts) -> Option<StatusCode> {
    if head.method == Method::CONNECT {
        return Some(StatusCode::NOT_IMPLEMENTED);
    }
    if head_size(head) > worker.config.http.head_bytes as usize {
        return Some(StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE);
    }
    let limit = worker.config.http.body_bytes?;
    let length = head.headers.get(CONTENT_LENGTH).and_then(content_length)?;
    (length > limit).then_some(StatusCode::PAYLOAD_TOO_LARGE)
}

/// Bytes of a request's head, as its client sent it but for spare blanks: hyper's own limit is that
/// of its buffer, which can be larger.
fn head_size(head: &Parts) -> usize {
    let target = head.uri.path_and_query().map_or(0, |target| target.as_str().len());
    let fields = head.headers.iter().map(|(name, value)| name.as_str().len() + value.len() + 4);
    head.method.as_str().len() + target + " HTTP/1.1\r\n\r\n".len() + fields.sum::<usize>()
}

/// A response of rwsgi itself; the connection is closed after it, since its request is not read.
fn refuse(status: StatusCode, mut record: Record) -> Response<Outgoing> {
    let mut head = error_head(status);
    head.headers_mut().insert(CONNECTION, HeaderValue::from_static("close"));
    record.status = status.as_u16();
    head.map(|()| Outgoing::whole(error_text(status), record))
}

/// The head of a response of rwsgi itself.
pub(crate) fn error_head(status: StatusCode) -> Response<()> {
    let mut head = Response::new(());
    *head.status_mut() = status;
    head.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("text/plain; charset=utf-8"));
    head
}

/// Its body: the reason, for people.
pub(crate) fn error_text(status: StatusCode) -> Bytes {
    Bytes::from_static(status.canonical_reason().unwrap_or("Error").as_bytes())
}

/// Puts a response together for hyper.
fn assemble(
    worker: &Worker,
    mut head: Response<()>,
    payload: Payload,
    link: Link,
    mut record: Record,
) -> Response<Outgoing> {
    record.status = head.status().as_u16();
    let fields = head.headers_mut();
    const SERVER: HeaderName = http::header::SERVER;
    if !fields.contains_key(SERVER) {
        fields.insert(SERVER, HeaderValue::from_static("rwsgi"));
    }
    if worker.is_draining() {
        fields.insert(CONNECTION, HeaderValue::from_static("close"));
    }
    let length = fields.get(CONTENT_LENGTH).and_then(content_length);
    match payload {
        Payload::Whole(bytes) => head.map(|()| Outgoing::whole(bytes, record)),
        Payload::Stream => head.map(|()| Outgoing::stream(link, length, record)),
    }
}

/// The application's half: request → environ → application → response → close.
pub(crate) fn run(hand: &mut Hand<'_>, call: &Call) {
    hand.worker.slot.begin_request();
    let reply = Reply::new(&hand.worker, hand.id, call);
    let outcome = hand.call_application(call, &reply).and_then(|result| {
        let sent = body::send(hand.py, call, &reply, &result);
        let closed = body::close(&result);
        sent.and(closed)
    });
    match outcome {
        Ok(()) => body::finish(call, &reply),
        Err(failure) => {
            hand.worker.slot.count_exception();
            body::fail(hand.py, call, &reply, &failure);
        }
    }
    hand.worker.slot.end_request();
}

/// What the log will say of a request; says it when it is dropped, that is, when the response has
/// left or the connection is gone.
#[derive(Debug)]
pub(crate) struct Record {
    worker: Arc<Worker>,
    connection: Arc<Connection>,
    head: Arc<Parts>,
    began: Instant,
    pub(crate) status: u16,
    pub(crate) bytes: u64,
    pub(crate) complete: bool,
}

/// What the log says for a response that was never begun because its client left (as nginx does).
const CLIENT_CLOSED_REQUEST: u16 = 499;

impl Record {
    fn new(worker: &Arc<Worker>, connection: &Arc<Connection>, head: &Arc<Parts>) -> Self {
        Self {
            worker: Arc::clone(worker),
            connection: Arc::clone(connection),
            head: Arc::clone(head),
            began: Instant::now(),
            status: CLIENT_CLOSED_REQUEST,
            bytes: 0,
            complete: false,
        }
    }

    fn field(&self, name: HeaderName) -> String {
        self.head
            .headers
            .get(name)
            .map(|value| String::from_utf8_lossy(value.as_bytes()).into_owned())
            .unwrap_or_default()
    }
}

impl Drop for Record {
    fn drop(&mut self) {
        self.worker.slot.count_response(self.bytes);
        self.connection.enter(&self.worker, Phase::Idle);
        if !self.worker.config.log.requests {
            return;
        }
        let target = self.head.uri.path_and_query().map_or("*", |target| target.as_str());
        let access = Access {
            method: self.head.method.as_str().to_owned(),
            target: target.to_owned(),
            protocol: protocol(self.head.version),
            client: self.connection.peer.address.clone(),
            host: self.field(HOST),
            user_agent: self.field(USER_AGENT),
            referer: self.field(REFERER),
            status: self.status,
            bytes: self.bytes,
            micros: u64::try_from(self.began.elapsed().as_micros()).unwrap_or(u64::MAX),
            complete: self.complete,
        };
        access.send();
    }
}

/// `SERVER_PROTOCOL`.
pub(crate) fn protocol(version: Version) -> &'static str {
    if version == Version::HTTP_10 { "HTTP/1.0" } else { "HTTP/1.1" }
}
