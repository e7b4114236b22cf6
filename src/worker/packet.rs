//! A packet of the uwsgi protocol on its way in: all of it is read but its last byte.
//!
//! The end of a response is the end of its connection, and one that breaks off must not end like one
//! that is complete. A connection that is closed with something unread is reset, be it of TCP (RFC
//! 1122, section 4.2.2.13) or a UNIX socket (unix(7), ECONNRESET), and be it that the kernel closes it
//! after the worker was killed. So the last byte stays where it is until the response is complete.
//! Only with a body behind it, it has to be read.

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
use crate::worker::Worker;

/// The largest packet, with its header.
const LARGEST: usize = 4 + u16::MAX as usize;

thread_local! {
    static BUFFER: std::cell::RefCell<Box<[u8]>> =
        std::cell::RefCell::new(vec![0; LARGEST].into_boxed_slice());
}

/// A request whose packet has come.
pub(crate) struct Received {
    pub(crate) request: Request,
    /// Whether its last byte is still to be read, by [`release`].
    pub(crate) is_held: bool,
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

/// Reads a packet.
pub(crate) async fn receive(
    worker: &Worker,
    connection: &Connection,
) -> Result<Received, Unserved> {
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
    is_held: bool,
}

impl Arrival {
    fn new(connection: &Connection) -> Self {
        let bytes = connection.intake().bytes().to_vec();
        Self { in_intake: bytes.len(), bytes, is_held: false }
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

    /// Looks at what there is, and reads it, but for the last byte of a packet that ends it. What is
    /// behind a packet is a body, which goes to the intake.
    fn take(&mut self, fd: i32, buffer: &mut [u8], limits: Limits) -> io::Result<(usize, bool)> {
        let there = recv(fd, buffer, MsgFlags::MSG_DONTWAIT | MsgFlags::MSG_PEEK)?;
        self.bytes.extend_from_slice(&buffer[..there]);
        let (read, is_drained) = match uwsgi::parse(&self.bytes, limits) {
            Ok(Parsed::Packet(packet)) => {
                self.is_held = self.bytes.len() == packet.length;
                (there - usize::from(self.is_held), false)
            }
            Ok(Parsed::More) | Err(_) => (there, there < buffer.len()),
        };
        if read > 0 {
            recv(fd, &mut buffer[..read], MsgFlags::MSG_DONTWAIT)?;
        }
        Ok((there, is_drained))
    }

    fn finish(
        mut self,
        connection: &Connection,
        packet: uwsgi::Packet,
        limits: Limits,
    ) -> Result<Received, Unserved> {
        let mut intake = connection.intake();
        intake.consume(self.in_intake);
        intake.add(&self.bytes[packet.length..]);
        drop(intake);
        self.bytes.truncate(packet.length);
        let variables = Bytes::from(self.bytes).slice(packet.variables());
        let vars = Vars::new(variables, limits)?;
        let left = vars.content_length()?;
        let request = Request::uwsgi(vars, packet.modifier1)?;
        if self.is_held && left > 0 {
            let _ = recv(connection.source.fd().as_raw_fd(), &mut [0], MsgFlags::MSG_DONTWAIT);
        }
        connection.intake().body_left = left;
        Ok(Received { request, is_held: self.is_held && left == 0 })
    }
}

/// Reads what was held back, so that the connection ends as it should.
pub(crate) fn release(connection: &Connection) {
    BUFFER.with_borrow_mut(|buffer| {
        let _ = recv(connection.source.fd().as_raw_fd(), buffer, MsgFlags::MSG_DONTWAIT);
    });
}

/// Waits for the client to leave, while a byte of it is held back.
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
