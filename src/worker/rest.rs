//! The rest of a body whose length is known, from the socket to where it is wanted: none of its bytes has
//! to be looked at, so they are put nowhere else before.

use std::io;
use std::os::fd::BorrowedFd;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use rwsgi_core::config::Protocol;
use rwsgi_core::sys;
use rwsgi_reactor::Direction;
use socket2::SockRef;

use crate::connection::Connection;
use crate::upload::Broken;
use crate::worker::Worker;

/// Who waits when nothing has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Waits {
    /// The task: it is woken.
    Task,
    /// The thread that asks, by [`Connection::is_readable_within`].
    Thread,
}

impl Connection {
    /// Has `take` receive what has come of a body: it is told how many bytes at most, and whether they have to
    /// stay at the socket. Returns how many came, none at the end of the body.
    pub(crate) fn poll_rest(
        &self,
        worker: &Worker,
        cx: &mut Context<'_>,
        waits: Waits,
        room: usize,
        mut take: impl FnMut(BorrowedFd<'_>, usize, bool) -> io::Result<usize>,
    ) -> Poll<Result<usize, Broken>> {
        let mut intake = self.intake();
        let left = intake.body_left();
        if left == 0 {
            return Poll::Ready(Ok(0));
        }
        if intake.is_over() {
            return Poll::Ready(Err(Broken));
        }
        // The last byte of uwsgi's stays, see `packet`.
        let is_uwsgi = self.listener.protocol == Protocol::Uwsgi;
        let stays = is_uwsgi && left == 1;
        let most = left - u64::from(is_uwsgi && !stays);
        let room = room.min(usize::try_from(most).unwrap_or(usize::MAX));
        let taken = match waits {
            Waits::Thread => self.source.try_alone(|fd| take(fd, room, stays)),
            Waits::Task => self.source.poll(Direction::Read, cx, |fd| {
                let count = take(fd, room, stays)?;
                Ok((count, count < room))
            }),
        };
        match ready!(taken) {
            Ok(count) if count > 0 => {
                intake.leave_body(left - count as u64);
                intake.is_held = stays;
                drop(intake);
                self.count(worker, count);
                Poll::Ready(Ok(count))
            }
            _ => {
                intake.end();
                Poll::Ready(Err(Broken))
            }
        }
    }

    /// Waits until the client has sent `least` bytes, or the rest of a body, for `time` at most: whether it
    /// has. Nobody else may wait for them.
    pub(crate) fn is_readable_within(&self, time: Duration, least: usize) -> bool {
        let left = usize::try_from(self.intake().body_left()).unwrap_or(usize::MAX);
        let socket = self.source.fd();
        let least = least.min(left).max(1);
        let _ = sys::wake_at(socket, least);
        // Before Linux 4.18 the kernel does not make room for them.
        let room = SockRef::from(&socket).recv_buffer_size().unwrap_or(0) / 2;
        if least > room {
            let _ = sys::wake_at(socket, (room / 2).max(1));
        }
        let mut ends = [PollFd::new(socket, PollFlags::POLLIN)];
        let time = PollTimeout::try_from(time).unwrap_or(PollTimeout::ZERO);
        let is_readable = poll(&mut ends, time).is_ok_and(|count| count > 0);
        let _ = sys::wake_at(socket, 1);
        is_readable
    }
}
