//! What goes out by a connection's socket, and the socket as hyper sees it.

use std::cell::RefCell;
use std::future::poll_fn;
use std::io::{self, IoSlice};
use std::os::fd::AsRawFd as _;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use bytes::{Buf as _, Bytes};
use hyper::rt::ReadBufCursor;
use nix::sys::socket::{Shutdown, shutdown};
use rwsgi_core::log::{self, Event};
use rwsgi_reactor::Direction;

use crate::connection::{Connection, Phase};
use crate::hole::{self, JOIN};
use crate::response::{Outgoing, Whole};
use crate::worker::Worker;

thread_local! {
    /// Where this thread puts a response together.
    static OUT: RefCell<Vec<u8>> = const { RefCell::new(Vec::new()) };
}

/// A response that is about to leave.
pub(crate) struct Departure {
    first: Vec<u8>,
    /// What is too large to be copied behind it.
    second: Bytes,
}

impl Departure {
    fn new(encode: impl FnOnce(&mut Vec<u8>), body: Whole) -> io::Result<Self> {
        let mut first = OUT.take();
        first.clear();
        encode(&mut first);
        let second = match body {
            Whole::Bytes(bytes) if first.len() + bytes.len() > JOIN => bytes,
            Whole::Bytes(bytes) => {
                first.extend_from_slice(&bytes);
                Bytes::new()
            }
            Whole::Part(part) => {
                part.read(&mut first)?;
                Bytes::new()
            }
        };
        Ok(Self { first, second })
    }
}

/// One connection's bytes.
pub(crate) struct Stream {
    worker: &'static Worker,
    connection: Arc<Connection>,
}

impl Stream {
    pub(crate) fn new(worker: &'static Worker, connection: &Arc<Connection>) -> Self {
        Self { worker, connection: Arc::clone(connection) }
    }
}

impl Connection {
    /// Sends the first of `parts`, as many as the kernel takes.
    pub(crate) fn poll_send_parts(
        &self,
        worker: &Worker,
        cx: &mut Context<'_>,
        parts: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let sent =
            self.source.poll(Direction::Write, cx, |fd| Ok((hole::write(self, fd, parts)?, false)));
        match &sent {
            Poll::Ready(Ok(count)) => self.writing.count(worker, *count),
            Poll::Ready(Err(error)) => {
                self.writing.stop();
                self.blame(worker, error);
            }
            Poll::Pending => self.writing.block(worker, &self.source),
        }
        sent
    }

    /// If a file is to blame, nobody may take for complete what has been sent of it.
    fn blame(&self, worker: &Worker, error: &io::Error) {
        if error.kind() == hole::FILE {
            self.break_off();
            worker.complain("", log::error(Event::SystemError, error.to_string()));
        }
    }

    /// Puts a response together whose body leaves with its head, which `encode` writes. As far as the log is
    /// concerned, which `outgoing` tells, it has left then.
    ///
    /// # Errors
    /// The body cannot be read.
    pub(crate) fn put_together(
        &self,
        worker: &Worker,
        encode: impl FnOnce(&mut Vec<u8>),
        mut outgoing: Outgoing,
        body: Whole,
    ) -> io::Result<Departure> {
        Departure::new(encode, body).inspect_err(|error| {
            outgoing.is_lost();
            self.blame(worker, error);
        })
    }

    /// Sends such a response.
    ///
    /// # Errors
    /// The connection is gone.
    pub(crate) async fn depart(&self, worker: &Worker, departure: Departure) -> io::Result<()> {
        let mut departure = Some(departure);
        let attempt = poll_fn(|cx| {
            let Some(Departure { first, second }) = departure.take() else { return Poll::Pending };
            let rest = self.send_now(worker, cx, &first, second);
            OUT.set(first);
            Poll::Ready(rest)
        });
        let (first, second) = attempt.await?;
        if first.is_empty() && second.is_empty() {
            return Ok(());
        }
        self.send(worker, first, second).await
    }

    /// Sends of two parts what the kernel takes at once, and returns the rest, which is all that is copied.
    fn send_now(
        &self,
        worker: &Worker,
        cx: &mut Context<'_>,
        first: &[u8],
        mut second: Bytes,
    ) -> io::Result<(Bytes, Bytes)> {
        let parts = [IoSlice::new(first), IoSlice::new(&second)];
        let parts = if second.is_empty() { &parts[..1] } else { &parts[..] };
        let sent = match self.poll_send_parts(worker, cx, parts) {
            Poll::Ready(sent) => sent?,
            Poll::Pending => 0,
        };
        let rest = first.get(sent..).map_or_else(Bytes::new, Bytes::copy_from_slice);
        second.advance(sent.saturating_sub(first.len()));
        Ok((rest, second))
    }

    /// Sends all of two parts.
    ///
    /// # Errors
    /// The connection is gone.
    pub(crate) async fn send(
        &self,
        worker: &Worker,
        mut first: Bytes,
        mut second: Bytes,
    ) -> io::Result<()> {
        while first.has_remaining() || second.has_remaining() {
            let parts = [IoSlice::new(&first), IoSlice::new(&second)];
            let parts = if first.is_empty() { &parts[1..] } else { &parts[..] };
            let parts = if second.is_empty() { &parts[..1] } else { parts };
            let count = poll_fn(|cx| self.poll_send_parts(worker, cx, parts)).await?;
            if count == 0 {
                return Err(io::ErrorKind::WriteZero.into());
            }
            let of_first = count.min(first.len());
            first.advance(of_first);
            second.advance(count - of_first);
        }
        Ok(())
    }

    /// Sends of one part.
    pub(crate) fn poll_send(
        &self,
        worker: &Worker,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        self.poll_send_parts(worker, cx, &[IoSlice::new(bytes)])
    }
}

impl hyper::rt::Read for Stream {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        mut cursor: ReadBufCursor<'_>,
    ) -> Poll<io::Result<()>> {
        let room = cursor.remaining();
        self.connection.poll_passed(self.worker, cx, room, |bytes| cursor.put_slice(bytes))
    }
}

impl hyper::rt::Write for Stream {
    fn poll_write(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        self.connection.poll_send(self.worker, cx, bytes)
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        parts: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        self.connection.poll_send_parts(self.worker, cx, parts)
    }

    fn is_write_vectored(&self) -> bool {
        true
    }

    /// hyper calls this when it has nothing left to send.
    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        if self.connection.phase() == Phase::Reply {
            self.connection.enter(self.worker, Phase::Idle);
            self.worker.make_room();
        }
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        if !self.connection.is_kept_open() {
            let _ = shutdown(self.connection.source.fd().as_raw_fd(), Shutdown::Write);
        }
        Poll::Ready(Ok(()))
    }
}
