//! The body of a request, from the client to where the application reads it: memory, a file without
//! a name, or, as it comes, the exchange.

use std::fs::File;
use std::future::poll_fn;
use std::io;
use std::ops::ControlFlow;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, Waker, ready};

use bytes::Bytes;
use http::StatusCode;
use http_body::Body as _;
use hyper::body::Incoming;
use rwsgi_core::commons::Deed;
use rwsgi_core::log::{self, Event};
use rwsgi_core::sys;
use rwsgi_protocol::body::{Body, End};
use rwsgi_reactor::yield_now;

use crate::commons;
use crate::connection::{Connection, Phase};
use crate::exchange::Exchange;
use crate::rest::Waits;
use crate::spool::{Store, Stored};
use crate::worker::Worker;

/// Where the bytes of a body come from.
pub(crate) enum Source {
    /// From hyper, which knows where the body ends.
    Http(Incoming),
    /// All of them have come.
    Here(Option<Bytes>),
    /// From the connection, whose intake knows how many; these have come.
    Rest(Bytes),
}

/// The client left, or broke the framing.
pub(crate) struct Broken;

/// How much of a body is received at a time where it is not yet to be anywhere.
const PIECE: usize = 64 * 1024;

impl Source {
    /// Whether nothing will come.
    pub(crate) fn is_empty(&self, connection: &Connection) -> bool {
        match self {
            Self::Http(incoming) => incoming.is_end_stream(),
            Self::Here(bytes) => bytes.is_none(),
            Self::Rest(begun) => begun.is_empty() && connection.intake().body_left() == 0,
        }
    }

    /// Whether bytes may be on the way that nobody has read.
    pub(crate) fn is_unread(&self, connection: &Connection) -> bool {
        !matches!(self, Self::Here(_)) && !self.is_empty(connection)
    }

    /// Whether the thread that wants its bytes can receive them itself.
    pub(crate) fn is_direct(&self) -> bool {
        matches!(self, Self::Rest(_))
    }

    /// The next bytes.
    fn poll_data(
        &mut self,
        worker: &Worker,
        connection: &Connection,
        cx: &mut Context<'_>,
        waits: Waits,
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
            Self::Rest(begun) if !begun.is_empty() => Poll::Ready(Some(Ok(std::mem::take(begun)))),
            Self::Rest(_) => {
                let mut bytes = Vec::new();
                let received =
                    ready!(connection.poll_rest(worker, cx, waits, PIECE, |fd, most, stays| {
                        sys::receive(fd, &mut bytes, most, stays)
                    }));
                // What comes in many small pieces would be many large ones.
                if bytes.len() < PIECE / 2 {
                    bytes.shrink_to_fit();
                }
                Poll::Ready(match received {
                    Ok(0) => None,
                    Ok(_) => Some(Ok(bytes.into())),
                    Err(broken) => Some(Err(broken)),
                })
            }
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
    let mut store = Store::new(http.buffered_bytes);
    let (mut length, mut turn) = (0, 0);
    connection.enter(worker, Phase::Body);
    loop {
        let count = receive_some(worker, connection, source, &mut store, length).await?;
        length += count;
        if count == 0 {
            break;
        }
        if length >= turn + TURN {
            turn = length;
            yield_now().await;
        }
    }
    connection.enter(worker, Phase::Application);
    match store.finish() {
        Ok(Stored::Memory(bytes)) => Ok(Received::Memory(Body::whole(bytes.into()))),
        Ok(Stored::File(file)) => Ok(Received::File(file)),
        Err(error) => Err(cannot_store(worker, &error)),
    }
}

/// Reads more of a body of which `length` bytes have been read; returns how many, none at its end.
async fn receive_some(
    worker: &Worker,
    connection: &Connection,
    source: &mut Source,
    store: &mut Store,
    length: u64,
) -> Result<u64, StatusCode> {
    let cannot = |error| cannot_store(worker, &error);
    let broken = |Broken| blame(worker, connection);
    if let Source::Rest(begun) = source
        && begun.is_empty()
    {
        let left = connection.intake().body_left();
        if left == 0 {
            return Ok(0);
        }
        // Straight to where it stays, or from where it is written.
        let (block, room) = store.room(&worker.spool, left).map_err(cannot)?;
        let rest = |cx: &mut Context<'_>| {
            connection.poll_rest(worker, cx, Waits::Task, room, |fd, most, stays| {
                sys::receive(fd, block, most, stays)
            })
        };
        return poll_fn(rest).await.map(|count| count as u64).map_err(broken);
    }
    let data = poll_fn(|cx| source.poll_data(worker, connection, cx, Waits::Task)).await;
    let Some(data) = data.transpose().map_err(broken)? else { return Ok(0) };
    let count = data.len() as u64;
    if worker.config.http.body_bytes.is_some_and(|limit| length + count > limit) {
        return Err(StatusCode::PAYLOAD_TOO_LARGE);
    }
    store.add(&worker.spool, &data).map_err(cannot)?;
    Ok(count)
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
    worker: &'static Worker,
    connection: Arc<Connection>,
    /// The client waits for `100 Continue`: nothing is read before the application asks.
    expects: bool,
    /// What has to be sent before something is received.
    interim: &'static [u8],
    received: u64,
}

/// What a client is told that waits for it (RFC 9110, section 10.1.1); hyper tells its own.
const CONTINUE: &[u8] = b"HTTP/1.1 100 Continue\r\n\r\n";

impl Upload {
    pub(crate) fn new(
        worker: &'static Worker,
        connection: &Arc<Connection>,
        source: Source,
        expects: bool,
    ) -> Self {
        let (worker, connection) = (worker, Arc::clone(connection));
        let interim = if expects && source.is_direct() { CONTINUE } else { b"" };
        Self { source, worker, connection, expects, interim, received: 0 }
    }

    /// Brings what the client has sent, as far as the application wants it.
    pub(crate) fn pump(&mut self, exchange: &Exchange, cx: &mut Context<'_>) -> Progress {
        let end = self.received + TURN;
        let is_direct = self.source.is_direct();
        while let Some(waits) = exchange.poll_wanted(cx, self.expects || is_direct) {
            if self.received >= end {
                cx.waker().wake_by_ref();
                return Progress::Open;
            }
            self.expects = false;
            if self.connection.phase() != Phase::Body {
                self.connection.enter(self.worker, Phase::Body);
            }
            match self.bring(exchange, cx, waits) {
                Poll::Ready(Progress::Open) => {}
                Poll::Ready(progress) => {
                    self.connection.enter(self.worker, Phase::Application);
                    return progress;
                }
                // It may be up to the task by now.
                Poll::Pending if waits == Waits::Task || exchange.leaves_to_thread(cx) => {
                    return Progress::Open;
                }
                Poll::Pending => {}
            }
        }
        // The client does not have to send what nobody wants yet.
        self.connection.enter(self.worker, Phase::Application);
        Progress::Open
    }

    /// When the application has answered and not read all of a body: brings what is there, if it is not
    /// much, as the connection can go on if that is all.
    pub(crate) fn catch_up(&mut self, exchange: &Exchange) -> Progress {
        let mut cx = Context::from_waker(Waker::noop());
        let mut brought = 0;
        // Behind its answer nobody is told to go on.
        self.interim = b"";
        self.connection.enter(self.worker, Phase::Application);
        while self.source.is_direct() && !self.expects && brought < PIECE as u64 * 4 {
            let before = self.received;
            match self.bring(exchange, &mut cx, Waits::Thread) {
                Poll::Ready(Progress::Open) => brought += self.received - before,
                Poll::Ready(progress) => return progress,
                Poll::Pending => break,
            }
        }
        Progress::Open
    }

    /// Brings the next bytes.
    fn bring(&mut self, exchange: &Exchange, cx: &mut Context<'_>, waits: Waits) -> Poll<Progress> {
        while !self.interim.is_empty() {
            let sent = self.connection.poll_send(self.worker, cx, self.interim);
            match ready!(sent) {
                Ok(count) if count > 0 => self.interim = &self.interim[count..],
                _ => return Poll::Ready(Progress::Refused(blame(self.worker, &self.connection))),
            }
        }
        let fed = exchange.feed(|| {
            let Self { source, worker, connection, .. } = self;
            match source.poll_data(worker, connection, cx, waits) {
                Poll::Pending => ControlFlow::Break(Poll::Pending),
                Poll::Ready(None) => ControlFlow::Break(Poll::Ready(Ok(()))),
                Poll::Ready(Some(Ok(data))) if self.is_allowed(&data) => {
                    ControlFlow::Continue(data)
                }
                Poll::Ready(Some(data)) => {
                    let refusal = data.map_or_else(
                        |Broken| blame(self.worker, &self.connection),
                        |_| StatusCode::PAYLOAD_TOO_LARGE,
                    );
                    ControlFlow::Break(Poll::Ready(Err(refusal)))
                }
            }
        });
        let is_end = self.source.is_direct() && self.source.is_empty(&self.connection);
        match fed {
            ControlFlow::Continue(()) if !is_end => Poll::Ready(Progress::Open),
            ControlFlow::Break(Poll::Pending) => Poll::Pending,
            ControlFlow::Break(Poll::Ready(Err(status))) => Poll::Ready(Progress::Refused(status)),
            ControlFlow::Continue(()) | ControlFlow::Break(Poll::Ready(Ok(()))) => {
                exchange.feed_end(End::Complete);
                Poll::Ready(Progress::Complete)
            }
        }
    }

    fn is_allowed(&mut self, data: &Bytes) -> bool {
        self.received += data.len() as u64;
        self.worker.config.http.body_bytes.is_none_or(|limit| self.received <= limit)
    }
}
