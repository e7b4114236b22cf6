//! One request: from its connection to the application and back.
//!
//! [`answer`] is the connection's half, a future that a leading thread polls; [`run`] is the
//! application's half, one straight function on a Python thread. They meet in an [`Exchange`].

use std::cell::RefCell;
use std::fs::File;
use std::future::poll_fn;
use std::sync::Arc;
use std::task::Poll;

use bytes::Bytes;
use http::header::{ALLOW, CONTENT_LENGTH};
use http::{HeaderName, HeaderValue, Method, Response, StatusCode};
use hyper::body::Incoming;
use rwsgi_core::commons::Deed;
use rwsgi_core::config::Protocol;
use rwsgi_core::log::{self, Event};
use rwsgi_core::request_id::RequestId;
use rwsgi_files::{Answer, Found};
use rwsgi_protocol::body::{Body, End};
use rwsgi_protocol::header::content_length;
use rwsgi_protocol::http1::RequestHead;
use rwsgi_protocol::request::{Expectation, Head as RequestOf, Request};

use crate::commons;
use crate::connection::{Connection, Phase};
use crate::exchange::{Exchange, Gone, Payload, Supply};
use crate::hand::Hand;
use crate::persistence;
use crate::record::Record;
use crate::response::{Aborted, Link, Outgoing};
use crate::route::{self, Routed, RoutedBody};
use crate::upload::{self, Received, Source, Upload};
use crate::worker::Worker;
use crate::wsgi::body;
use crate::wsgi::lines::{Head, Lines};
use crate::wsgi::reply::Reply;

/// A request that is to be run by a Python thread.
#[derive(Debug)]
pub(crate) struct Call {
    pub(crate) request: Arc<Request>,
    pub(crate) reply: Arc<Reply>,
    pub(crate) connection: Arc<Connection>,
    pub(crate) content: Content,
}

/// Where the application reads the body of its request.
#[derive(Debug)]
pub(crate) enum Content {
    /// There is none.
    None,
    /// In the exchange, which has it or gets it.
    Exchange(Supply),
    /// In a file.
    File(Arc<File>),
}

/// [`answer`] for hyper.
///
/// # Errors
/// The request cannot be answered: the connection is closed.
pub(crate) async fn answer_http(
    worker: &'static Worker,
    connection: Arc<Connection>,
    request: http::Request<Incoming>,
) -> Result<Response<Outgoing>, Aborted> {
    let (parts, incoming) = request.into_parts();
    let head = RequestHead::of_parts(&parts);
    let request = Arc::new(Request::http(parts.method, head));
    Ok(answer(worker, &connection, request, Source::Http(incoming)).await?.into_response())
}

/// The connection's half: brings the body, waits for the response. Nobody else has the request yet.
///
/// # Errors
/// The request cannot be answered: the connection is closed.
pub(crate) async fn answer(
    worker: &'static Worker,
    connection: &Arc<Connection>,
    mut request: Arc<Request>,
    mut source: Source,
) -> Result<Answered, Aborted> {
    connection.enter(worker, Phase::Application);
    let asked = Arc::get_mut(&mut request).ok_or(Aborted)?;
    let origin = worker.origins.resolve(connection, asked);
    let routed = match origin {
        Ok(()) => match route::route(worker, connection, asked) {
            Ok(routed) => routed,
            Err(stop) => Box::pin(route::settle(stop, worker, connection, asked)).await,
        },
        Err(_) => None,
    };
    let record = Record::new(worker, connection, &request);
    if let Err(error) = origin {
        let message = format!("request refused: a trusted proxy sent what is no good: {error}");
        let entry = log::warning(Event::ClientError, message);
        worker.complain(&connection.peer().address, worker.about_request(entry, &request));
        return Ok(refuse(StatusCode::BAD_REQUEST, record).into());
    }
    let routed = routed.map(OwnAnswer::Routed);
    if let Some(answer) = own_answer(worker, &request, routed) {
        return Ok(own_response(answer, &request, &source, record).into());
    }
    let expects = request.expectation() == Expectation::Continue;
    let streams = expects || worker.config.http.buffered_bytes == 0;
    let (content, body) = match &mut source {
        source if source.is_empty(connection) => (Content::None, Body::empty()),
        Source::Here(bytes) if streams => {
            let bytes = bytes.take().unwrap_or_default();
            (Content::Exchange(Supply::Ahead), Body::whole(bytes))
        }
        Source::Rest(begun) if streams => {
            (Content::Exchange(Supply::Here), Body::of(std::mem::take(begun)))
        }
        _ if streams => (Content::Exchange(Supply::Ahead), Body::default()),
        source => match upload::receive(worker, connection, source).await {
            Ok(Received::Memory(body)) => (Content::Exchange(Supply::Ahead), body),
            Ok(Received::File(file)) => (Content::File(Arc::new(file)), Body::empty()),
            Err(status) => return Ok(refuse(status, record).into()),
        },
    };
    let upload = (body.end() == End::Open)
        .then(|| Box::new(Upload::new(worker, connection, source, expects && body.is_empty())));
    let waker = poll_fn(|cx| Poll::Ready(cx.waker().clone())).await;
    let exchange = Exchange::new(body, worker.config.http.response_bytes, waker);
    let reply = Reply::new(worker, &request, exchange);
    let mut link = Link { reply: Arc::clone(&reply), upload, refusal: None, is_closed: false };
    let connection = Arc::clone(connection);
    worker.submit(Call { request, reply, connection, content });
    let (head, payload) = match (wait_for_answer(&mut link).await, link.refusal) {
        (Ok(answer), _) => answer,
        // The application learns it from the end of the exchange.
        (Err(Gone), Some(status)) => return Ok(refuse(status, record).into()),
        (Err(Gone), None) => return Err(Aborted),
    };
    link.catch_up();
    link.tell();
    Ok(assemble(worker, head, payload, link, record))
}

/// Waits for the application, and brings it what comes of the body.
async fn wait_for_answer(link: &mut Link) -> Result<(Head, Payload), Gone> {
    // Nothing can have come yet, and who answers has the waker.
    let mut waits = link.upload.is_none();
    poll_fn(|cx| {
        if std::mem::take(&mut waits) {
            return Poll::Pending;
        }
        link.pump(cx);
        link.is_closed = link.upload.is_none();
        match link.reply.exchange.poll_head(cx, &mut link.is_closed) {
            Poll::Pending if link.refusal.is_some() => Poll::Ready(Err(Gone)),
            answer => answer,
        }
    })
    .await
}

/// An answer that takes no application.
enum OwnAnswer {
    /// A refusal; the request's body is not read.
    Refusal(StatusCode),
    /// To `OPTIONS *`, which asks the server and no resource (RFC 9110, section 9.3.7).
    Options,
    /// A file.
    File(Answer),
    /// What a rule says.
    Routed(Routed),
}

fn own_answer(worker: &Worker, request: &Request, routed: Option<OwnAnswer>) -> Option<OwnAnswer> {
    if request.method == Method::CONNECT {
        return Some(OwnAnswer::Refusal(StatusCode::NOT_IMPLEMENTED));
    }
    if request.expectation() == Expectation::Unknown {
        return Some(OwnAnswer::Refusal(StatusCode::EXPECTATION_FAILED));
    }
    if let Some(limit) = worker.config.http.body_bytes {
        let length = request.field(&CONTENT_LENGTH).and_then(rwsgi_protocol::header::number);
        if length.is_some_and(|length| length > limit) {
            return Some(OwnAnswer::Refusal(StatusCode::PAYLOAD_TOO_LARGE));
        }
    }
    if request.method == Method::OPTIONS && &*request.target() == b"*" {
        return Some(OwnAnswer::Options);
    }
    routed.or_else(|| own_file(worker, request)).or_else(|| {
        worker.mounts.misses(request).then_some(OwnAnswer::Refusal(StatusCode::NOT_FOUND))
    })
}

fn own_file(worker: &Worker, request: &Request) -> Option<OwnAnswer> {
    if worker.files.is_empty() {
        return None;
    }
    let (path, target) = (request.path_info(), request.target());
    let fields = || request.fields_named(&rwsgi_files::HEEDED);
    match worker.files.answer(&request.method, &path, &target, &fields) {
        Found::Answer(answer) => Some(OwnAnswer::File(answer)),
        Found::Miss => None,
        Found::Refused(error) => {
            let message = format!("{} {}: {error}", request.method, request.path());
            worker.complain("", log::warning(Event::ClientError, message));
            None
        }
    }
}

fn own_response(
    answer: OwnAnswer,
    request: &Request,
    source: &Source,
    mut record: Record,
) -> Response<Outgoing> {
    let none = RoutedBody::Bytes(Bytes::new());
    let (mut head, mut body) = match answer {
        OwnAnswer::Refusal(status) => return refuse(status, record),
        OwnAnswer::Options => {
            let mut head = Response::new(());
            let methods = "GET, HEAD, POST, PUT, PATCH, DELETE, OPTIONS";
            head.headers_mut().insert(ALLOW, HeaderValue::from_static(methods));
            head.headers_mut().insert(CONTENT_LENGTH, HeaderValue::from_static("0"));
            (head, none)
        }
        OwnAnswer::File(answer) => {
            commons::count(Deed::File);
            (answer.head, answer.body.map_or(none, RoutedBody::File))
        }
        OwnAnswer::Routed(Routed { head, body }) => {
            commons::count(Deed::Routed);
            if matches!(body, RoutedBody::File(_)) {
                commons::count(Deed::File);
            }
            (head, body)
        }
    };
    if let Some(other) = route::respond(&mut record, &mut head) {
        body = other;
    }
    record.answer(&head);
    add_server(&mut head, &record.connection);
    if source.is_unread(&record.connection) || persistence::ends(record.worker, request, false) {
        persistence::end(request, &mut head);
    }
    outgoing(head, body, record)
}

fn outgoing(head: Response<()>, body: RoutedBody, record: Record) -> Response<Outgoing> {
    head.map(|()| match body {
        RoutedBody::Bytes(bytes) => Outgoing::whole(bytes, record),
        RoutedBody::File(file) => Outgoing::file(file, record),
    })
}

/// A response of rwsgi itself; the connection is closed after it, since its request is not read.
fn refuse(status: StatusCode, mut record: Record) -> Response<Outgoing> {
    let (mut head, text) = record.worker.error_pages.response(status);
    let body = route::respond(&mut record, &mut head).unwrap_or(RoutedBody::Bytes(text));
    persistence::end(&record.request, &mut head);
    record.answer(&head);
    add_server(&mut head, &record.connection);
    outgoing(head, body, record)
}

/// Says who answers, to a client. A web server says it itself.
fn add_server(head: &mut Response<()>, connection: &Connection) {
    const SERVER: HeaderName = http::header::SERVER;
    let fields = head.headers_mut();
    if connection.listener.protocol == Protocol::Http && !fields.contains_key(SERVER) {
        fields.insert(SERVER, HeaderValue::from_static("rwsgi"));
    }
}

/// Puts an application's response together.
fn assemble(
    worker: &Worker,
    head: Head,
    payload: Payload,
    link: Link,
    mut record: Record,
) -> Answered {
    let is_plain = route::leaves(&record)
        && match &record.request.head {
            RequestOf::Http(head) => !head.is_1_0(),
            RequestOf::Uwsgi { .. } => true,
        };
    let (mut head, mut payload) = match (head, payload) {
        (Head::Lines(lines), Payload::Whole(bytes)) if is_plain => {
            return assemble_plain(worker, lines, bytes, &link, record);
        }
        (head, payload) => (head.into_map(), payload),
    };
    if worker.files.replaces(&head) {
        let request = &record.request;
        let fields = request.fields_named(&rwsgi_files::HEEDED);
        match worker.files.sendfile(&mut head, &request.method, &fields) {
            Ok(Some(file)) => payload = Payload::File(file),
            Ok(None) => payload = Payload::Whole(Bytes::new()),
            Err(error) => {
                let message = format!("{} {}: {error}", request.method, request.path());
                let entry = log::error(Event::ApplicationError, message);
                worker.about_request(entry, request).send();
                return refuse(error.status(), record).into();
            }
        }
    }
    if let Some(body) = route::respond(&mut record, &mut head) {
        payload = match body {
            RoutedBody::Bytes(bytes) => Payload::Whole(bytes),
            RoutedBody::File(file) => Payload::File(file),
        };
    }
    record.answer(&head);
    add_server(&mut head, &record.connection);
    let length = head.headers().get(CONTENT_LENGTH).and_then(content_length);
    let is_open = matches!(payload, Payload::Stream) && length.is_none();
    // An upload that the application has not read to its end may still be coming.
    let is_unread = link.upload.is_some() || link.refusal.is_some();
    if is_unread || persistence::ends(worker, &record.request, is_open) {
        persistence::end(&record.request, &mut head);
    }
    let body = match payload {
        Payload::Whole(bytes) => Outgoing::whole(bytes, record),
        Payload::Stream => Outgoing::stream(link, length, record),
        Payload::File(file) => Outgoing::file(file, record),
    };
    Answered { head: head.into(), body }
}

/// The same, where it is sent as the application has said it.
fn assemble_plain(
    worker: &Worker,
    mut lines: Lines,
    bytes: Bytes,
    link: &Link,
    mut record: Record,
) -> Answered {
    record.answer_lines(&lines);
    // A web server says both itself.
    if record.connection.listener.protocol == Protocol::Http {
        lines.add_server();
        let is_unread = link.upload.is_some() || link.refusal.is_some();
        if is_unread || persistence::ends(worker, &record.request, false) {
            lines.close();
        }
    }
    Answered { head: lines.into(), body: Outgoing::whole(bytes, record) }
}

/// A response.
pub(crate) struct Answered {
    pub(crate) head: Head,
    pub(crate) body: Outgoing,
}

impl Answered {
    /// As hyper has it.
    pub(crate) fn into_response(self) -> Response<Outgoing> {
        self.head.into_map().map(|()| self.body)
    }
}

impl From<Response<Outgoing>> for Answered {
    fn from(response: Response<Outgoing>) -> Self {
        let (parts, body) = response.into_parts();
        Self { head: Response::from_parts(parts, ()).into(), body }
    }
}

thread_local! {
    /// What this thread works on, for who asks with nothing else in hand.
    static CURRENT: RefCell<Option<Call>> = const { RefCell::new(None) };
}

/// The request that this thread works on, and its response.
pub(crate) fn current() -> Option<(Arc<Request>, Arc<Reply>)> {
    CURRENT.with_borrow(|current| {
        let call = current.as_ref()?;
        Some((Arc::clone(&call.request), Arc::clone(&call.reply)))
    })
}

/// The name of the request that this thread works on, in the log.
pub(crate) fn current_id() -> Option<RequestId> {
    CURRENT.with_borrow(|current| {
        let call = current.as_ref()?;
        Some(call.reply.worker().request_id(&call.request))
    })
}

/// The application's half: request → environ → application → response → close.
pub(crate) fn run(hand: &mut Hand<'_>, call: Call) {
    let request = &*call.request;
    let id = hand.worker.request_id(request);
    request.notes.set_thread(hand.id);
    hand.worker.slot.begin_request(hand.id, &id, request.method.as_str(), request.path_bytes());
    let call = if hand.worker.holds_requests() { hand.worker.hold(call) } else { Some(call) };
    if let Some(call) = call {
        call.reply.begin_work(hand.id);
        CURRENT.with(|current| {
            *current.borrow_mut() = Some(call);
            if let Some(call) = &*current.borrow() {
                work(hand, call);
            }
            current.take();
        });
    }
    let running = hand.worker.slot.end_request(hand.id);
    hand.worker.note_running(running);
}

fn work(hand: &mut Hand<'_>, call: &Call) {
    let reply = &call.reply;
    hand.worker.desks.begin(hand.id, &call.request, reply);
    let outcome =
        hand.call_application(call).and_then(|result| body::send(hand.py, call, reply, &result));
    hand.worker.desks.end(hand.py, hand.id);
    if let Err(failure) = outcome {
        hand.worker.slot.count_exception();
        body::fail(hand.py, call, reply, &failure);
    }
}
