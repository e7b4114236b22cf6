//! One connection: hyper speaks HTTP/1 on a socket, and each request goes to the application.

use std::io::{self, IoSlice};
use std::os::fd::{AsRawFd, OwnedFd};
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use http_body::{Body as _, Frame};
use hyper::body::Incoming;
use hyper::rt::ReadBufCursor;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use nix::sys::socket::{MsgFlags, Shutdown, recv, send, sendmsg, shutdown};
use rwsgi_core::log::{self, Event};
use rwsgi_protocol::body::End;
use rwsgi_reactor::{Direction, Source};

use crate::accept::{Listener, Peer};
use crate::deadlines::NEVER;
use crate::exchange::Exchange;
use crate::request;
use crate::worker::Worker;

/// Bytes read by one system call.
const READ_SIZE: usize = 32 * 1024;

/// Head and body up to this many bytes together are copied into one buffer to be sent.
const JOIN: usize = 16 * 1024;

/// What the worker and the request know of a connection.
#[derive(Debug)]
pub(crate) struct Connection {
    pub(crate) source: Source,
    pub(crate) peer: Peer,
    pub(crate) listener: Arc<Listener>,
    /// When the client must have sent something, in the worker's milliseconds.
    read_deadline: AtomicU64,
    /// When the client must have taken something.
    write_deadline: AtomicU64,
    /// What it is waited for.
    phase: AtomicU64,
}

/// What a connection waits for its client to do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u64)]
pub(crate) enum Phase {
    /// To send a request, or another one.
    Idle,
    /// To finish a request's head.
    Head,
    /// To send the request's body.
    Body,
    /// Nothing: the application works.
    Application,
}

impl Connection {
    pub(crate) fn new(worker: &Worker, fd: OwnedFd, peer: Peer, listener: Arc<Listener>) -> Self {
        Self {
            source: Source::new(worker.reactor(), fd),
            peer,
            listener,
            read_deadline: AtomicU64::new(worker.deadlines.after(worker.config.http.head_timeout)),
            write_deadline: AtomicU64::new(NEVER),
            phase: AtomicU64::new(Phase::Head as u64),
        }
    }

    /// The connection enters a phase, and its client gets the time that belongs to it.
    pub(crate) fn enter(&self, worker: &Worker, phase: Phase) {
        let http = &worker.config.http;
        let deadline = match phase {
            Phase::Idle => worker.deadlines.after(worker.idle_timeout()),
            Phase::Head => worker.deadlines.after(http.head_timeout),
            Phase::Body => worker.deadlines.after(http.io_timeout),
            Phase::Application => NEVER,
        };
        self.phase.store(phase as u64, Relaxed);
        self.read_deadline.store(deadline, Relaxed);
    }

    pub(crate) fn is_idle(&self) -> bool {
        self.phase.load(Relaxed) == Phase::Idle as u64
    }

    /// The next moment at which the client has to have done something.
    pub(crate) fn deadline(&self) -> u64 {
        self.read_deadline.load(Relaxed).min(self.write_deadline.load(Relaxed))
    }

    /// An idle connection is closed at `deadline` at the latest.
    pub(crate) fn hurry(&self, deadline: u64) {
        if self.is_idle() {
            self.read_deadline.fetch_min(deadline, Relaxed);
        }
    }

    /// Ends the connection: its task sees the end of the stream.
    pub(crate) fn cut(&self) {
        self.read_deadline.store(NEVER, Relaxed);
        self.write_deadline.store(NEVER, Relaxed);
        let _ = shutdown(self.source.fd().as_raw_fd(), Shutdown::Both);
    }
}

/// The life of a connection.
pub(crate) async fn serve(worker: Arc<Worker>, connection: Arc<Connection>) {
    let http = worker.config.http;
    let stream = Stream { worker: Arc::clone(&worker), connection: Arc::clone(&connection) };
    let (ours, theirs) = (Arc::clone(&worker), Arc::clone(&connection));
    let service =
        service_fn(move |request| request::answer(Arc::clone(&ours), Arc::clone(&theirs), request));
    let served = http1::Builder::new()
        .half_close(true)
        .keep_alive(!http.idle_timeout.is_zero())
        .max_headers(http.max_fields as usize)
        .max_buf_size((http.head_bytes as usize).max(8192))
        .title_case_headers(true)
        .serve_connection(stream, service)
        .await;
    if let Err(error) = served
        && error.is_parse()
    {
        let message = format!("{}: bad request refused: {error}", connection.peer.address);
        let entry = log::info(Event::ClientError, message);
        worker.complain(entry.field("REMOTE_ADDR", connection.peer.address.clone()));
    }
}

/// The socket, as hyper sees it.
struct Stream {
    worker: Arc<Worker>,
    connection: Arc<Connection>,
}

thread_local! {
    static BUFFER: std::cell::RefCell<Box<[u8]>> =
        std::cell::RefCell::new(vec![0; READ_SIZE].into_boxed_slice());
}

impl hyper::rt::Read for Stream {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        mut cursor: ReadBufCursor<'_>,
    ) -> Poll<io::Result<()>> {
        let limit = cursor.remaining().min(READ_SIZE);
        BUFFER.with_borrow_mut(|buffer| {
            let count = ready!(self.connection.source.poll(Direction::Read, cx, |fd| {
                let count = recv(fd.as_raw_fd(), &mut buffer[..limit], MsgFlags::MSG_DONTWAIT)?;
                Ok((count, count < limit))
            }))?;
            cursor.put_slice(&buffer[..count]);
            if count > 0 && self.connection.is_idle() {
                self.connection.enter(&self.worker, Phase::Head);
            }
            Poll::Ready(Ok(()))
        })
    }
}

impl Stream {
    fn poll_send(
        &self,
        cx: &mut Context<'_>,
        mut send: impl FnMut(i32, MsgFlags) -> nix::Result<usize>,
    ) -> Poll<io::Result<usize>> {
        let flags = MsgFlags::MSG_DONTWAIT | MsgFlags::MSG_NOSIGNAL;
        let sent = self
            .connection
            .source
            .poll(Direction::Write, cx, |fd| Ok((send(fd.as_raw_fd(), flags)?, false)));
        let deadline = &self.connection.write_deadline;
        if sent.is_ready() {
            deadline.store(NEVER, Relaxed);
        } else if deadline.load(Relaxed) == NEVER {
            deadline
                .store(self.worker.deadlines.after(self.worker.config.http.io_timeout), Relaxed);
        }
        sent
    }
}

impl hyper::rt::Write for Stream {
    fn poll_write(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        self.poll_send(cx, |fd, flags| send(fd, bytes, flags))
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        parts: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let total: usize = parts.iter().map(|part| part.len()).sum();
        if total <= JOIN {
            // A small head and body: copying them costs less than a vector costs the kernel.
            return BUFFER.with_borrow_mut(|buffer| {
                let mut end = 0;
                for part in parts {
                    buffer[end..end + part.len()].copy_from_slice(part);
                    end += part.len();
                }
                self.poll_send(cx, |fd, flags| send(fd, &buffer[..end], flags))
            });
        }
        self.poll_send(cx, |fd, flags| sendmsg::<()>(fd, parts, &[], flags, None))
    }

    fn is_write_vectored(&self) -> bool {
        true
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        let _ = shutdown(self.connection.source.fd().as_raw_fd(), Shutdown::Write);
        Poll::Ready(Ok(()))
    }
}

/// The part of a request body that the client has yet to send.
pub(crate) struct Upload {
    incoming: Incoming,
    worker: Arc<Worker>,
    /// The client waits for `100 Continue`: nothing is read before the application asks.
    expects: bool,
    received: u64,
}

impl Upload {
    pub(crate) fn new(
        worker: Arc<Worker>,
        incoming: Incoming,
        expects: bool,
        received: u64,
    ) -> Self {
        Self { incoming, worker, expects, received }
    }

    /// Brings what the client has sent, as far as the application wants it; `false` when nothing
    /// more can come.
    pub(crate) fn pump(
        &mut self,
        exchange: &Exchange,
        connection: &Connection,
        cx: &mut Context<'_>,
    ) -> bool {
        while exchange.poll_wanted(cx, self.expects) {
            self.expects = false;
            let Poll::Ready(frame) = Pin::new(&mut self.incoming).poll_frame(cx) else {
                return true;
            };
            let end = match frame {
                Some(Ok(frame)) => match self.take(frame, exchange) {
                    Ok(()) => {
                        connection.enter(&self.worker, Phase::Body);
                        continue;
                    }
                    Err(end) => end,
                },
                Some(Err(_)) => End::Broken,
                None => End::Complete,
            };
            connection.enter(&self.worker, Phase::Application);
            exchange.feed_end(end);
            return false;
        }
        true
    }

    fn take(&mut self, frame: Frame<Bytes>, exchange: &Exchange) -> Result<(), End> {
        let Ok(data) = frame.into_data() else { return Ok(()) };
        self.received += data.len() as u64;
        if self.worker.config.http.body_bytes.is_some_and(|limit| self.received > limit) {
            return Err(End::Broken);
        }
        exchange.feed(data);
        Ok(())
    }
}
