//! What the kernel and the load allow: each request is answered with bytes that were made before, by one thread, with as few
//! system calls as can be, and looked at no closer than to find its end: constant PORT, or constant SOCKET behind uwsgi_pass

use std::borrow::Cow;
use std::error::Error;
use std::io::{self, ErrorKind, Read, Write};
use std::os::fd::AsRawFd;
use std::os::unix::fs::PermissionsExt;

use memchr::memmem;
use mio::event::Source;
use mio::net::{TcpListener, UnixListener};
use mio::{Events, Interest, Poll, Token};

/// What is received with one call at most.
const RECEIVED: usize = 64 << 10;
/// What is sent with one call of what is too large to be there as a whole.
const SENT: usize = 256 << 10;
const LISTENER: Token = Token(usize::MAX);

fn main() -> Result<(), Box<dyn Error>> {
    let place = std::env::args().nth(1).ok_or("constant PORT, or constant SOCKET")?;
    let replies = Replies::new();
    if let Ok(port) = place.parse::<u16>() {
        let mut listener = TcpListener::bind(([127, 0, 0, 1], port).into())?;
        // What is accepted has both from its listener: no call for each, and a request that is there.
        set(&listener, libc::TCP_NODELAY, 1)?;
        set(&listener, libc::TCP_DEFER_ACCEPT, 1)?;
        serve(&mut listener, &replies, |listener| Ok(listener.accept()?.0))?;
    } else {
        let mut listener = UnixListener::bind(&place)?;
        // The web server may be another user.
        std::fs::set_permissions(place, std::fs::Permissions::from_mode(0o666))?;
        serve(&mut listener, &replies, |listener| Ok(listener.accept()?.0))?;
    }
    Ok(())
}

fn set(listener: &TcpListener, option: libc::c_int, value: libc::c_int) -> io::Result<()> {
    let length = size_of::<libc::c_int>() as libc::socklen_t;
    let (fd, at) = (listener.as_raw_fd(), (&raw const value).cast());
    // SAFETY: the kernel reads an int, which lives until it returns.
    match unsafe { libc::setsockopt(fd, libc::IPPROTO_TCP, option, at, length) } {
        0 => Ok(()),
        _ => Err(io::Error::last_os_error()),
    }
}

fn serve<L: Source, S: Source + Read + Write>(
    listener: &mut L,
    replies: &Replies,
    accept: impl Fn(&L) -> io::Result<S>,
) -> io::Result<()> {
    let mut poll = Poll::new()?;
    let registry = poll.registry().try_clone()?;
    registry.register(listener, LISTENER, Interest::READABLE)?;
    let mut connections: Vec<Option<Connection<'_, S>>> = Vec::new();
    let mut events = Events::with_capacity(256);
    let mut buffer = vec![0; RECEIVED];
    loop {
        poll.poll(&mut events, None)?;
        for event in &events {
            if event.token() != LISTENER {
                let slot = &mut connections[event.token().0];
                let Some(connection) = slot else { continue };
                if let Ok(true) | Err(_) = connection.is_over(&mut buffer, replies) {
                    *slot = None;
                }
                continue;
            }
            while let Ok(stream) = accept(listener) {
                let mut connection = Connection { stream, head: Vec::new(), turn: None };
                // The first request is there, mostly, and may be the last one.
                if let Ok(true) | Err(_) = connection.is_over(&mut buffer, replies) {
                    continue;
                }
                let free = connections.iter().position(Option::is_none);
                let free = free.unwrap_or(connections.len());
                let interest = Interest::READABLE | Interest::WRITABLE;
                registry.register(&mut connection.stream, Token(free), interest)?;
                if free == connections.len() {
                    connections.push(None);
                }
                connections[free] = Some(connection);
            }
        }
    }
}

struct Connection<'a, S> {
    stream: S,
    /// The beginning of a head that has not come as a whole.
    head: Vec<u8>,
    turn: Option<Turn<'a>>,
}

/// A request, and what is left to do for it.
struct Turn<'a> {
    to_receive: usize,
    text: &'a [u8],
    /// Bytes that follow the text, a block at a time.
    more: usize,
    closes: bool,
}

impl<'a, S: Read + Write> Connection<'a, S> {
    fn is_over(&mut self, buffer: &mut [u8], replies: &'a Replies) -> io::Result<bool> {
        let again = |error: io::Error| match error.kind() {
            ErrorKind::WouldBlock => Ok(false),
            _ => Err(error),
        };
        loop {
            if let Some(turn) = self.turn.as_mut().filter(|turn| turn.to_receive == 0) {
                if let Err(error) = turn.send(&mut self.stream, &replies.block) {
                    return again(error);
                }
                if self.turn.take().is_some_and(|turn| turn.closes) {
                    return Ok(true);
                }
                // The client waits for the response before it sends more, and then there is an event.
                return Ok(false);
            }
            match self.stream.read(buffer) {
                Ok(0) => return Ok(true),
                Ok(count) => {
                    self.received(&buffer[..count], replies);
                    let is_received = self.turn.as_ref().is_some_and(|turn| turn.to_receive == 0);
                    // What is less than was asked for is all that there is.
                    if !is_received && count < buffer.len() {
                        return Ok(false);
                    }
                }
                Err(error) => return again(error),
            }
        }
    }

    fn received(&mut self, bytes: &[u8], replies: &'a Replies) {
        if let Some(turn) = &mut self.turn {
            turn.to_receive = turn.to_receive.saturating_sub(bytes.len());
            return;
        }
        // Mostly a head comes as a whole, and need not be kept.
        let kept = std::mem::take(&mut self.head);
        let head =
            if kept.is_empty() { Cow::Borrowed(bytes) } else { [&kept, bytes].concat().into() };
        self.turn = replies.turn(&head);
        if self.turn.is_none() {
            self.head = head.into_owned();
        }
    }
}

impl Turn<'_> {
    fn send(&mut self, stream: &mut impl Write, block: &[u8]) -> io::Result<()> {
        while !self.text.is_empty() {
            self.text = &self.text[stream.write(self.text)?..];
        }
        while self.more > 0 {
            self.more -= stream.write(&block[..self.more.min(block.len())])?;
        }
        Ok(())
    }
}

struct Page {
    path: &'static str,
    kept: Vec<u8>,
    closed: Vec<u8>,
    more: usize,
}

/// Responses to the paths of `pages.py`, as bytes.
struct Replies {
    pages: Vec<Page>,
    block: Vec<u8>,
}

impl Replies {
    fn new() -> Self {
        let lines = [[b'x'; 63].as_slice(), b"\n"].concat().repeat(1 << 11);
        let page = |path, body: &[u8], more: usize| {
            let length = body.len() + more;
            let head = |connection: &str| {
                format!(
                    "HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nContent-Length: {length}\r\n\
                     Date: Thu, 01 Jan 2026 00:00:00 GMT\r\n{connection}\r\n"
                )
            };
            let kept = [head("").as_bytes(), body].concat();
            let closed = [head("Connection: close\r\n").as_bytes(), body].concat();
            Page { path, kept, closed, more }
        };
        let block = vec![b'x'; SENT];
        let large = block.repeat(4);
        let pages = vec![
            page("/", b"Hello world\n", 0),
            page("/length", b"10240\n", 0),
            page("/echo", &block[..10 << 10], 0),
            page("/64k", &block[..64 << 10], 0),
            page("/1m", &large, 0),
            page("/stream", &large, 0),
            page("/lines", &lines, 0),
            page("/download", b"", 100_000_000),
        ];
        Self { pages, block }
    }

    /// What there is to do for the request that begins so, if its head is there as a whole.
    fn turn(&self, bytes: &[u8]) -> Option<Turn<'_>> {
        // modifier1 of a request to Python is 0.
        let is_uwsgi = bytes.first() == Some(&0);
        let (path, head, length, closes);
        if is_uwsgi {
            head = 4 + usize::from(u16::from_le_bytes([*bytes.get(1)?, *bytes.get(2)?]));
            let vars = bytes.get(..head)?;
            path = uwsgi_var(vars, b"PATH_INFO")?;
            length = uwsgi_var(vars, b"CONTENT_LENGTH");
            closes = true;
        } else {
            head = memmem::find(bytes, b"\r\n\r\n")? + 4;
            path = bytes.split(|&byte| byte == b' ').nth(1)?;
            length = field(&bytes[..head], b"\r\nContent-Length: ");
            closes = memmem::find(&bytes[..head], b"\r\nConnection: close\r\n").is_some();
        }
        let length = length.and_then(|digits| std::str::from_utf8(digits).ok()?.parse().ok());
        let to_receive = length.unwrap_or(0usize).saturating_sub(bytes.len() - head);
        let page = self.pages.iter().find(|page| page.path.as_bytes() == path)?;
        let text = if closes { &page.closed } else { &page.kept };
        Some(Turn { to_receive, text, more: page.more, closes })
    }
}

fn field<'a>(head: &'a [u8], name: &[u8]) -> Option<&'a [u8]> {
    let begin = memmem::find(head, name)? + name.len();
    let end = memchr::memchr(b'\r', &head[begin..])?;
    Some(&head[begin..begin + end])
}

fn uwsgi_var<'a>(vars: &'a [u8], name: &[u8]) -> Option<&'a [u8]> {
    let begin = memmem::find(vars, name)? + name.len();
    let length = usize::from(u16::from_le_bytes([*vars.get(begin)?, *vars.get(begin + 1)?]));
    vars.get(begin + 2..begin + 2 + length)
}
