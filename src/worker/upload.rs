//! The body of a request, from the client to where the application reads it: memory, a file without
//! a name, or, as it comes, the exchange.

use std::fs::File;
use std::future::poll_fn;
use std::io::{self, Seek as _};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use http::StatusCode;
use http_body::Body as _;
use hyper::body::Incoming;
use rwsgi_core::commons::Deed;
use rwsgi_core::log::{self, Event};
use rwsgi_protocol::body::{Body, End};
use rwsgi_reactor::yield_now;

use crate::commons;
use crate::connection::{Connection, Phase};
use crate::exchange::Exchange;
use crate::packet;
use crate::spool::Spooled;
use crate::worker::Worker;

/// Where the bytes of a body come from.
pub(crate) enum Source {
    /// From hyper, which knows where the body ends.
    Http(Incoming),
    /// All of them have come.
    Here(Option<Bytes>),
    /// From the connection as they are, as many as its intake says.
    Plain(Arc<Worker>, Arc<Connection>),
}

/// The client left, or broke the framing.
pub(crate) struct Broken;

impl Source {
    /// Whether nothing will come.
    pub(crate) fn is_empty(&self) -> bool {
        match self {
            Self::Http(incoming) => incoming.is_end_stream(),
            Self::Here(bytes) => bytes.is_none(),
            Self::Plain(_, connection) => connection.intake().body_left == 0,
        }
    }

    /// Whether bytes may be on the way that nobody has read.
    pub(crate) fn is_unread(&self) -> bool {
        !matches!(self, Self::Here(_)) && !self.is_empty()
    }

    /// The next bytes.
    pub(crate) fn poll_data(
        &mut self,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Bytes, Broken>>> {
        match self {
            Self::Http(incoming) => loop {
                let Some(frame) = ready!(Pin::new(&mut *incoming).poll_frame(cx)) else {
                    return Poll::Ready(None);
                };
                match frame.map(http_body::Frame::into_data) {
                    Ok(Ok(data)) => return Poll::Ready(Some(Ok(data))),
                    Ok(Err(_trailers)) => {}
                    Err(_) => return Poll::Ready(Some(Err(Broken))),
                }
            },
            Self::Here(bytes) => Poll::Ready(bytes.take().map(Ok)),
            Self::Plain(worker, connection) => packet::poll_body(worker, connection, cx),
        }
    }
}

/// A body that has come.
pub(crate) enum Received {
    /// All of it, in memory.
    Memory(Body),
    /// All of it, in a file that is read from its beginning.
    File(File),
}

/// Bytes of a body that are read before others have their turn.
const TURN: u64 = 1 << 20;

/// Reads a body to its end.
///
/// # Errors
/// The status to refuse the request with.
pub(crate) async fn receive(
    worker: &Worker,
    connection: &Connection,
    source: &mut Source,
) -> Result<Received, StatusCode> {
    let http = &worker.config.http;
    if let Source::Here(bytes) = source
        && let Some(bytes) = bytes.take_if(|bytes| bytes.len() as u64 <= http.buffered_bytes)
    {
        // Content-Length was within the limits.
        return Ok(Received::Memory(Body::whole(bytes)));
    }
    let mut store = Store::Memory(Body::default());
    let (mut length, mut turn) = (0, 0);
    connection.enter(worker, Phase::Body);
    while let Some(data) = poll_fn(|cx| source.poll_data(cx)).await {
        let Ok(data) = data else { return Err(blame(worker, connection)) };
        length += data.len() as u64;
        if http.body_bytes.is_some_and(|limit| length > limit) {
            return Err(StatusCode::PAYLOAD_TOO_LARGE);
        }
        let added = store.add(worker, data, length > http.buffered_bytes);
        added.map_err(|error| cannot_store(worker, &error))?;
        if length >= turn + TURN {
            turn = length;
            yield_now().await;
        }
    }
    connection.enter(worker, Phase::Application);
    store.finish().map_err(|error| cannot_store(worker, &error))
}

fn cannot_store(worker: &Worker, error: &io::Error) -> StatusCode {
    let error = worker.spool.explain(error);
    let message = format!("cannot store the body of a request: {error}");
    worker.complain("", log::error(Event::SystemError, message));
    StatusCode::SERVICE_UNAVAILABLE
}

/// What a body that broke off is refused with.
fn blame(worker: &Worker, connection: &Connection) -> StatusCode {
    commons::count(Deed::Unread);
    match connection.intake().refusal() {
        // The guard's word is logged at the end of the connection.
        Some(refused) => refused.refusal.status,
        None => {
            let message = "the client left before the body of its request was complete";
            worker.complain(&connection.peer().address, log::info(Event::ClientError, message));
            StatusCode::BAD_REQUEST
        }
    }
}

enum Store {
    Memory(Body),
    File(Spooled),
}

impl Store {
    fn add(&mut self, worker: &Worker, data: Bytes, is_large: bool) -> io::Result<()> {
        if let Self::Memory(body) = self {
            if !is_large {
                body.push(data);
                return Ok(());
            }
            let batch = worker.config.http.buffered_bytes;
            let mut file = Spooled::new(worker.spool.create()?, batch);
            while let Some(chunk) = body.pop() {
                file.add(chunk)?;
            }
            *self = Self::File(file);
        }
        if let Self::File(file) = self { file.add(data) } else { Ok(()) }
    }

    fn finish(self) -> io::Result<Received> {
        match self {
            Self::Memory(mut body) => {
                body.finish(End::Complete);
                Ok(Received::Memory(body))
            }
            Self::File(spooled) => {
                let mut file = spooled.finish()?;
                file.rewind()?;
                Ok(Received::File(file))
            }
        }
    }
}

/// How far a body has come that comes while the application runs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Progress {
    /// More of it can come.
    Open,
    /// All of it is there.
    Complete,
    /// The rest will not come; the status to refuse the request with. The application has yet to
    /// be told, lest its answer overtake the refusal.
    Refused(StatusCode),
}

/// A body that comes while the application runs.
pub(crate) struct Upload {
    source: Source,
    worker: Arc<Worker>,
    connection: Arc<Connection>,
    /// The client waits for `100 Continue`: nothing is read before the application asks.
    expects: bool,
    received: u64,
}

impl Upload {
    pub(crate) fn new(
        worker: &Arc<Worker>,
        connection: &Arc<Connection>,
        source: Source,
        expects: bool,
    ) -> Self {
        let (worker, connection) = (Arc::clone(worker), Arc::clone(connection));
        Self { source, worker, connection, expects, received: 0 }
    }

    /// Brings what the client has sent, as far as the application wants it.
    pub(crate) fn pump(&mut self, exchange: &Exchange, cx: &mut Context<'_>) -> Progress {
        let connection = Arc::clone(&self.connection);
        let end = self.received + TURN;
        while exchange.poll_wanted(cx, self.expects) {
            if self.received >= end {
                cx.waker().wake_by_ref();
                return Progress::Open;
            }
            self.expects = false;
            if connection.phase() != Phase::Body {
                connection.enter(&self.worker, Phase::Body);
            }
            let Poll::Ready(data) = self.source.poll_data(cx) else { return Progress::Open };
            let data = match data {
                Some(Ok(data)) if self.is_allowed(&data) => {
                    exchange.feed(data);
                    continue;
                }
                data => data,
            };
            connection.enter(&self.worker, Phase::Application);
            return match data {
                Some(Ok(_)) => Progress::Refused(StatusCode::PAYLOAD_TOO_LARGE),
                Some(Err(Broken)) => Progress::Refused(blame(&self.worker, &connection)),
                None => {
                    exchange.feed_end(End::Complete);
                    Progress::Complete
                }
            };
        }
        // The client does not have to send what nobody wants yet.
        connection.enter(&self.worker, Phase::Application);
        Progress::Open
    }

    fn is_allowed(&mut self, data: &Bytes) -> bool {
        self.received += data.len() as u64;
        self.worker.config.http.body_bytes.is_none_or(|limit| self.received <= limit)
    }
}
