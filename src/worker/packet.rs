//! A request of the uwsgi protocol on its way in: it is looked at, and stays where it is.
//!
//! The end of a response is the end of its connection, and one that breaks off must not end like one
//! that is complete. A connection that is closed with something unread is reset, be it of TCP (RFC
//! 1122, section 4.2.2.13) or a UNIX socket (unix(7), ECONNRESET), and be it that the kernel closes it
//! after the worker was killed. So a packet without a body behind it, and the last byte of a body, are
//! looked at, and read when the response is complete.

use std::future::poll_fn;
use std::io;
use std::os::fd::AsRawFd as _;
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use nix::errno::Errno;
use nix::libc::POLLRDHUP;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::socket::{MsgFlags, recv};
use rwsgi_core::config::Http;
use rwsgi_protocol::http1::Refusal;
use rwsgi_protocol::request::Request;
use rwsgi_protocol::uwsgi::{self, Limits, Parsed, UwsgiError, Vars};
use rwsgi_reactor::Direction;

use crate::connection::{Connection, Phase};
use crate::upload::Source;
use crate::worker::Worker;

/// The largest packet, with its header.
const LARGEST: usize = 4 + u16::MAX as usize;

thread_local! {
    static BUFFER: std::cell::RefCell<Box<[u8]>> =
        std::cell::RefCell::new(vec![0; LARGEST].into_boxed_slice());
}

/// Why there is no request.
pub(crate) enum Unserved {
    /// It is none that is served.
    Bad(UwsgiError),
    /// The client took too long.
    Slow(Refusal),
    /// The client has left within it.
    Truncated,
    /// The client has left and said nothing.
    Silent,
}

impl From<UwsgiError> for Unserved {
    fn from(error: UwsgiError) -> Self {
        Self::Bad(error)
    }
}

/// Reads a packet, and with it what has come of the body behind it.
pub(crate) async fn receive(
    worker: &Worker,
    connection: &Connection,
) -> Result<(Request, Source), Unserved> {
    let limits = limits(&worker.config.http);
    let mut arrival = Arrival::new(connection);
    loop {
        if let Parsed::Packet(packet) = uwsgi::parse(&arrival.bytes, limits)? {
            return arrival.finish(connection, packet, limits);
        }
        poll_fn(|cx| arrival.poll_more(worker, connection, limits, cx)).await?;
    }
}

fn limits(http: &Http) -> Limits {
    // A packet is never larger than its size can say.
    Limits {
        packet: (http.head_bytes as usize).min(usize::from(u16::MAX)),
        variables: http.max_fields as usize,
    }
}

/// What has come of a packet.
struct Arrival {
    bytes: Vec<u8>,
    /// How much of it came together with what was before it, and is in the intake.
    in_intake: usize,
    /// How much of it has not been read.
    held: usize,
}

impl Arrival {
    fn new(connection: &Connection) -> Self {
        let bytes = connection.intake().bytes().to_vec();
        Self { in_intake: bytes.len(), bytes, held: 0 }
    }

    fn poll_more(
        &mut self,
        worker: &Worker,
        connection: &Connection,
        limits: Limits,
        cx: &mut Context<'_>,
    ) -> Poll<Result<(), Unserved>> {
        if let Some(refused) = connection.intake().refusal() {
            return Poll::Ready(Err(Unserved::Slow(refused.refusal)));
        }
        if self.bytes.is_empty()
            && ready!(connection.poll_leave(worker, &mut connection.intake(), cx))
        {
            return Poll::Ready(Err(Unserved::Silent));
        }
        let taken = connection.source.poll(Direction::Read, cx, |fd| {
            BUFFER.with_borrow_mut(|buffer| self.take(fd.as_raw_fd(), buffer, limits))
        });
        taken.map(|taken| match taken {
            Ok(count) if count > 0 => {
                if connection.is_idle() {
                    connection.enter(worker, Phase::Head);
                }
                Ok(())
            }
            _ if self.bytes.is_empty() => Err(Unserved::Silent),
            _ => Err(Unserved::Truncated),
        })
    }

    /// Looks at what there is, and reads it unless that makes the packet whole. What is behind that is a
    /// body.
    fn take(&mut self, fd: i32, buffer: &mut [u8], limits: Limits) -> io::Result<(usize, bool)> {
        let there = recv(fd, buffer, MsgFlags::MSG_DONTWAIT | MsgFlags::MSG_PEEK)?;
        self.bytes.extend_from_slice(&buffer[..there]);
        if let Ok(Parsed::Packet(_)) = uwsgi::parse(&self.bytes, limits) {
            self.held = there;
            return Ok((there, false));
        }
        recv(fd, &mut buffer[..there], MsgFlags::MSG_DONTWAIT)?;
        Ok((there, there < buffer.len()))
    }

    fn finish(
        self,
        connection: &Connection,
        packet: uwsgi::Packet,
        limits: Limits,
    ) -> Result<(Request, Source), Unserved> {
        let whole = Bytes::from(self.bytes);
        let vars = Vars::new(whole.slice(packet.variables()), limits)?;
        let length = vars.content_length()?;
        let mut body = whole.slice(packet.length..);
        body.truncate(usize::try_from(length).unwrap_or(usize::MAX));
        let left = length - body.len() as u64;
        let request = Request::uwsgi(vars, packet.modifier1)?;
        let mut intake = connection.intake();
        intake.consume(self.in_intake);
        intake.leave_body(left);
        if left > 0 {
            read(connection, self.held);
            return Ok((request, Source::Rest(body)));
        }
        intake.is_held = self.held > 0;
        Ok((request, Source::Here((length > 0).then_some(body))))
    }
}

/// Reads what was held back, so that the connection ends as it should.
pub(crate) fn release(connection: &Connection) {
    read(connection, LARGEST);
}

/// Reads what has been looked at.
fn read(connection: &Connection, count: usize) {
    if count > 0 {
        BUFFER.with_borrow_mut(|buffer| {
            let fd = connection.source.fd().as_raw_fd();
            let _ = recv(fd, &mut buffer[..count], MsgFlags::MSG_DONTWAIT);
        });
    }
}

/// Waits for the client to leave, without reading what it has sent.
pub(crate) fn poll_departure(connection: &Connection, cx: &mut Context<'_>) -> Poll<()> {
    let polled = connection.source.poll(Direction::Read, cx, |fd| {
        let mut ends = [PollFd::new(fd, PollFlags::from_bits_retain(POLLRDHUP))];
        match poll(&mut ends, PollTimeout::ZERO)? {
            0 => Err(Errno::EAGAIN.into()),
            _ => Ok(((), false)),
        }
    });
    polled.map(drop)
}
