//! The rest of a body whose length is known, from the socket to where it is wanted: none of its bytes has
//! to be looked at, so they are put nowhere else before.

use std::io;
use std::os::fd::{AsRawFd as _, BorrowedFd};
use std::task::{Context, Poll, ready};
use std::time::Duration;

use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::socket::{MsgFlags, recv};
use rwsgi_core::config::Protocol;
use rwsgi_core::sys;
use rwsgi_reactor::Direction;

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
    /// Appends what has come of a body to `bytes`, `room` bytes at most; returns how many, none at its end.
    pub(crate) fn poll_rest(
        &self,
        worker: &Worker,
        cx: &mut Context<'_>,
        bytes: &mut Vec<u8>,
        room: usize,
        waits: Waits,
    ) -> Poll<Result<usize, Broken>> {
        let mut intake = self.intake();
        let left = intake.body_left();
        if left == 0 {
            return Poll::Ready(Ok(0));
        }
        if intake.is_over() {
            return Poll::Ready(Err(Broken));
        }
        let is_last = self.listener.protocol == Protocol::Uwsgi && left == 1;
        let keeps = u64::from(self.listener.protocol == Protocol::Uwsgi && !is_last);
        let room = room.min(usize::try_from(left - keeps).unwrap_or(usize::MAX));
        let mut take = |fd: BorrowedFd<'_>| {
            if is_last { look(fd, bytes) } else { sys::receive(fd, bytes, room) }
        };
        let taken = match waits {
            Waits::Thread => self.source.try_alone(take),
            Waits::Task => self.source.poll(Direction::Read, cx, |fd| {
                let count = take(fd)?;
                Ok((count, count < room))
            }),
        };
        match ready!(taken) {
            Ok(count) if count > 0 => {
                intake.leave_body(left - count as u64);
                intake.is_held = is_last;
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

    /// Waits until the client has sent something, for `time` at most: whether it has.
    pub(crate) fn is_readable_within(&self, time: Duration) -> bool {
        let mut ends = [PollFd::new(self.source.fd(), PollFlags::POLLIN)];
        let time = PollTimeout::try_from(time).unwrap_or(PollTimeout::ZERO);
        poll(&mut ends, time).is_ok_and(|count| count > 0)
    }
}

/// Looks at the last byte of a body, see `packet`.
fn look(fd: BorrowedFd<'_>, bytes: &mut Vec<u8>) -> io::Result<usize> {
    let mut last = [0];
    let count = recv(fd.as_raw_fd(), &mut last, MsgFlags::MSG_DONTWAIT | MsgFlags::MSG_PEEK)?;
    bytes.extend_from_slice(&last[..count]);
    Ok(count)
}
