//! The socket, as hyper sees it.

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
use crate::hole;
use crate::worker::Worker;

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
                if error.kind() == hole::FILE {
                    self.break_off();
                    worker.complain("", log::error(Event::SystemError, error.to_string()));
                }
            }
            Poll::Pending => self.writing.block(worker, &self.source),
        }
        sent
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
