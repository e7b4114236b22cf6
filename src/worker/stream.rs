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
use crate::response::Whole;
use crate::worker::Worker;

thread_local! {
    /// Where this thread puts a response together.
    static OUT: RefCell<Vec<u8>> = const { RefCell::new(Vec::new()) };
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

    /// Sends a response that is there as a whole: the head that `encode` writes, and its body.
    ///
    /// # Errors
    /// The connection is gone.
    pub(crate) async fn send_whole(
        &self,
        worker: &Worker,
        encode: impl Fn(&mut Vec<u8>),
        body: &Whole,
    ) -> io::Result<()> {
        let mut rest = None;
        let attempt = poll_fn(|cx| {
            OUT.with_borrow_mut(|out| {
                out.clear();
                encode(out);
                let lent = match body {
                    Whole::Bytes(bytes) if out.len() + bytes.len() > JOIN => Some(bytes),
                    Whole::Bytes(bytes) => {
                        out.extend_from_slice(bytes);
                        None
                    }
                    Whole::Part(part) => {
                        part.read(out).inspect_err(|error| self.blame(worker, error))?;
                        None
                    }
                };
                let parts = [IoSlice::new(out), IoSlice::new(lent.map_or(&[], |bytes| bytes))];
                let parts = if lent.is_some() { &parts[..] } else { &parts[..1] };
                let sent = match self.poll_send_parts(worker, cx, parts) {
                    Poll::Ready(sent) => sent?,
                    Poll::Pending => 0,
                };
                let mut second = lent.cloned().unwrap_or_default();
                if sent < out.len() + second.len() {
                    // What the kernel does not take at once is all that is copied.
                    let first = out.get(sent..).map_or_else(Bytes::new, Bytes::copy_from_slice);
                    second.advance(sent.saturating_sub(out.len()));
                    rest = Some((first, second));
                }
                Poll::Ready(io::Result::Ok(()))
            })
        });
        attempt.await?;
        match rest {
            None => Ok(()),
            Some((first, second)) => self.send(worker, first, second).await,
        }
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
