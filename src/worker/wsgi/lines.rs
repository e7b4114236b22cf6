//! The head of a response as most applications give it: text that can be sent as it is.
//!
//! It is made of fields whose names are known, each once, with values of ASCII, and has the usual
//! reason. All other heads, and those of which something is to be looked up or changed, are maps
//! ([`Response`]).

use std::cell::RefCell;
use std::collections::HashMap;
use std::rc::Rc;

use http::header::{CONNECTION, CONTENT_LENGTH, DATE, SERVER};
use http::{HeaderName, HeaderValue, Response, StatusCode};
use rwsgi_core::hash::Seed;
use rwsgi_protocol::header;

use crate::encode::{self, title_case};

thread_local! {
    /// The places of names in `Draft::seen`.
    static PLACES: RefCell<HashMap<HeaderName, u32, Seed>> = RefCell::default();
}

/// The head of a response.
#[derive(Debug)]
pub(crate) enum Head {
    Lines(Lines),
    Map(Box<Response<()>>),
}

/// One that can be sent as it is.
#[derive(Debug)]
pub(crate) struct Lines {
    pub(crate) status: StatusCode,
    /// `Name: value` with line ends.
    text: Vec<u8>,
    /// Fields.
    pub(crate) count: u32,
    /// What Content-Length says.
    pub(crate) length: Option<u64>,
    /// It is the last one of its connection.
    pub(crate) closes: bool,
    has_server: bool,
    has_date: bool,
}

/// One that is being made.
#[derive(Debug)]
pub(crate) struct Draft {
    lines: Lines,
    /// A bit for each name.
    seen: u128,
}

/// A name that an application gives to a field of its responses.
#[derive(Debug)]
pub(crate) struct Name {
    pub(crate) header: HeaderName,
    /// `Name: `.
    title: Box<[u8]>,
    kind: Kind,
    /// Its bit in [`Draft::seen`]; none if it is one of too many, or may be looked up.
    bit: u128,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    Length,
    Server,
    Date,
    Other,
}

impl Name {
    pub(crate) fn new(header: HeaderName) -> Rc<Self> {
        let kind = match header {
            CONTENT_LENGTH => Kind::Length,
            SERVER => Kind::Server,
            DATE => Kind::Date,
            _ => Kind::Other,
        };
        // Those that name a file to send.
        let is_order = matches!(header.as_str(), "x-sendfile" | "x-accel-redirect");
        let place = PLACES.with_borrow_mut(|places| {
            let next = places.len() as u32;
            match places.get(&header) {
                Some(place) => Some(*place),
                None if next == u128::BITS => None,
                None => Some(*places.entry(header.clone()).or_insert(next)),
            }
        });
        let bit = place.filter(|_| !is_order).map_or(0, |place| 1 << place);
        let mut title = Vec::new();
        title_case(header.as_str().as_bytes(), &mut title);
        title.extend_from_slice(b": ");
        Rc::new(Self { header, title: title.into(), kind, bit })
    }
}

impl Draft {
    /// Without fields; the reason is the usual one.
    pub(crate) fn new(status: StatusCode) -> Self {
        let lines = Lines {
            status,
            text: Vec::with_capacity(256),
            count: 0,
            length: None,
            closes: false,
            has_server: false,
            has_date: false,
        };
        Self { lines, seen: 0 }
    }

    /// Adds a field of the application; `None` if that takes a map.
    pub(crate) fn add(&mut self, name: &Name, value: &[u8]) -> Option<()> {
        let value = header::plain_value(value)?;
        if name.bit == 0 || self.seen & name.bit != 0 {
            return None;
        }
        self.seen |= name.bit;
        match name.kind {
            Kind::Length => self.lines.length = Some(header::number(value)?),
            Kind::Server => self.lines.has_server = true,
            Kind::Date => self.lines.has_date = true,
            Kind::Other => {}
        }
        self.lines.push(&name.title, value);
        self.lines.count += 1;
        Some(())
    }

    /// Itself, when all fields have been added.
    pub(crate) fn finish(self) -> Lines {
        self.lines
    }
}

impl Lines {
    fn push(&mut self, title: &[u8], value: &[u8]) {
        for part in [title, value, b"\r\n"] {
            self.text.extend_from_slice(part);
        }
    }

    /// Says who answers, unless the application has.
    pub(crate) fn add_server(&mut self) {
        if !self.has_server {
            self.text.extend_from_slice(b"Server: rwsgi\r\n");
        }
    }

    /// Makes it the last one of its connection.
    pub(crate) fn close(&mut self) {
        if !self.closes {
            self.push(b"Connection: ", b"close");
            self.closes = true;
        }
    }

    /// Whether a body of this length is what they say.
    pub(crate) fn is_followed_by(&self, length: usize) -> bool {
        self.length.is_none_or(|said| said == length as u64)
    }

    /// Bytes of the fields.
    pub(crate) fn size(&self) -> usize {
        self.text.len()
    }

    /// All of the head, before a body of `length` bytes, one at least.
    pub(crate) fn encode(&self, length: usize, out: &mut Vec<u8>) {
        self.encode_for(length, self.has_date, out);
    }

    /// The same for a web server, which knows what time it is.
    pub(crate) fn encode_undated(&self, length: usize, out: &mut Vec<u8>) {
        self.encode_for(length, true, out);
    }

    fn encode_for(&self, length: usize, is_dated: bool, out: &mut Vec<u8>) {
        encode::status_line(self.status, None, out);
        out.extend_from_slice(&self.text);
        encode::end(self.length.is_none().then_some(length), is_dated, out);
    }
}

impl Head {
    /// As a map.
    pub(crate) fn into_map(self) -> Response<()> {
        let lines = match self {
            Self::Map(head) => return *head,
            Self::Lines(lines) => lines,
        };
        let mut head = Response::new(());
        *head.status_mut() = lines.status;
        for line in lines.text.split_inclusive(|&byte| byte == b'\n') {
            let line = line.trim_ascii_end();
            let end = line.iter().position(|&byte| byte == b':').unwrap_or(line.len());
            let value = line.get(end + 1..).unwrap_or_default().trim_ascii();
            let parsed = (HeaderName::from_bytes(&line[..end]), HeaderValue::from_bytes(value));
            if let (Ok(name), Ok(value)) = parsed {
                head.headers_mut().append(name, value);
            }
        }
        head
    }
}

impl Head {
    /// Makes it the last one of its connection.
    pub(crate) fn close(&mut self) {
        match self {
            Self::Lines(lines) => lines.close(),
            Self::Map(head) => {
                head.headers_mut().insert(CONNECTION, HeaderValue::from_static("close"));
            }
        }
    }

    /// Whether it is.
    pub(crate) fn closes(&self) -> bool {
        match self {
            Self::Lines(lines) => lines.closes,
            Self::Map(head) => head.headers().contains_key(CONNECTION),
        }
    }
}

impl From<Response<()>> for Head {
    fn from(head: Response<()>) -> Self {
        Self::Map(Box::new(head))
    }
}

impl From<Lines> for Head {
    fn from(lines: Lines) -> Self {
        Self::Lines(lines)
    }
}
