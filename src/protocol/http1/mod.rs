//! The guard of an HTTP/1 connection: what passes it is right to the letter of RFC 9110 and RFC 9112.
//!
//! It stands between the socket and hyper, which is laxer than those, and says how many of the bytes
//! that have come may go on. A head is looked at once, in the order of its bytes, however it is cut,
//! and is refused at the first byte that makes it impossible.
//!
//! In the order of a request: `line` (the request line, with `authority` for hosts), `section`
//! (fields), `framing` (where the message ends), `chunk` (a body in chunks). `byte` knows what
//! a byte may be part of, `refusal` all that is refused. `head` is what a head is once it has passed.

mod authority;
mod byte;
mod chunk;
mod framing;
mod head;
mod line;
mod refusal;
mod section;

pub use head::{Notes, Outline, RequestHead};
pub use refusal::Refusal;

use chunk::{Chunks, Progress};
use framing::{Body, Framing};
use line::Line;
use refusal::{BARE_CR, BARE_LF, Checked, EMPTY_LINES, HEAD_LENGTH, LINE_LENGTH};
use section::Section;

/// Empty lines that may come before a request line. RFC 9112, section 2.2, wants at least one.
const EMPTY_LINES_LIMIT: u8 = 8;

/// The most fields for which `http::HeaderMap` makes room without a panic.
const FIELDS_LIMIT: usize = 24_576;

/// How large a head may be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// Bytes of request line and fields, with the empty line that ends them.
    pub head: usize,
    /// Fields of a head, and of a trailer section.
    pub fields: usize,
}

/// What is to be done with the bytes that have come.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    /// So many may go on, of one message at most. A head goes on in one piece.
    Pass(usize),
    /// So many are to be dropped: empty lines before a request line (RFC 9112, section 2.2).
    Skip(usize),
    /// None may go on before more have come.
    More,
    /// No more may go on, now or later.
    Refuse(Refusal),
}

/// What the bytes that come next belong to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Position {
    /// A request of which nothing has come.
    Between,
    /// The rest of a head.
    Head,
    /// The rest of a body.
    Body,
}

/// A connection as far as it has been looked at.
#[derive(Debug, Clone)]
pub struct Guard {
    limits: Limits,
    phase: Phase,
}

// There is one for each connection, and most connections are idle.
const _: () = assert!(size_of::<Guard>() <= 64);

#[derive(Debug, Clone, Copy)]
enum Phase {
    Between {
        empty_lines: u8,
    },
    Line(Line),
    Fields(Section, Framing),
    Length(u64),
    Chunks(Chunks),
    /// For ever, at the place where it was.
    Refused(&'static Refusal, Position),
}

const BETWEEN: Phase = Phase::Between { empty_lines: 0 };

/// What one step made of the bytes.
enum Step {
    Pass(usize),
    Skip(usize),
    More,
}

impl Guard {
    /// The guard of a connection on which nothing has come.
    pub const fn new(limits: Limits) -> Self {
        let fields = if limits.fields < FIELDS_LIMIT { limits.fields } else { FIELDS_LIMIT };
        Self { limits: Limits { fields, ..limits }, phase: BETWEEN }
    }

    /// Judges `bytes`, which are all that have come and were neither passed nor skipped. The digit
    /// of a minor version above 1 becomes 1, for it has to be understood as that and hyper does not
    /// (RFC 9110, section 2.5). Of a head `notes` are made, which have to be the same until it has
    /// passed.
    pub fn inspect(&mut self, bytes: &mut [u8], notes: &mut Notes) -> Verdict {
        let mut passed = 0;
        loop {
            match self.step(&mut bytes[passed..], notes) {
                Ok(Step::Pass(count)) => {
                    passed += count;
                    if self.position() == Position::Between {
                        return Verdict::Pass(passed);
                    }
                }
                Ok(Step::Skip(count)) => return Verdict::Skip(count),
                Ok(Step::More) if passed > 0 => return Verdict::Pass(passed),
                Ok(Step::More) => return Verdict::More,
                Err(refusal) => {
                    self.phase = Phase::Refused(refusal, self.position());
                    if passed == 0 {
                        return Verdict::Refuse(*refusal);
                    }
                    return Verdict::Pass(passed);
                }
            }
        }
    }

    /// Where the connection is.
    pub fn position(&self) -> Position {
        match self.phase {
            Phase::Between { .. } => Position::Between,
            Phase::Line(_) | Phase::Fields(..) => Position::Head,
            Phase::Length(_) | Phase::Chunks(_) => Position::Body,
            Phase::Refused(_, position) => position,
        }
    }

    /// How much of a body of known length comes next.
    pub fn body_left(&self) -> u64 {
        if let Phase::Length(left) = self.phase { left } else { 0 }
    }

    /// So much of a body of known length comes next: the rest has gone another way, or its head has.
    pub fn leave_body(&mut self, left: u64) {
        self.phase = if left == 0 { BETWEEN } else { Phase::Length(left) };
    }

    fn step(&mut self, bytes: &mut [u8], notes: &mut Notes) -> Checked<Step> {
        match &mut self.phase {
            Phase::Refused(refusal, _) => Err(refusal),
            _ if bytes.is_empty() => Ok(Step::More),
            Phase::Between { .. } => self.between(bytes, notes),
            Phase::Line(_) | Phase::Fields(..) => self.head(bytes, notes),
            Phase::Length(rest) => {
                let count = usize::try_from(*rest).unwrap_or(usize::MAX).min(bytes.len());
                *rest -= count as u64;
                if *rest == 0 {
                    self.phase = BETWEEN;
                }
                Ok(Step::Pass(count))
            }
            Phase::Chunks(chunks) => match chunks.step(bytes, self.limits)? {
                Progress::More(0) => Ok(Step::More),
                Progress::More(count) => Ok(Step::Pass(count)),
                Progress::End(count) => {
                    self.phase = BETWEEN;
                    Ok(Step::Pass(count))
                }
            },
        }
    }

    fn between(&mut self, bytes: &mut [u8], notes: &mut Notes) -> Checked<Step> {
        match bytes {
            [b'\r', b'\n', ..] => self.empty_lines(bytes),
            [b'\r'] => Ok(Step::More),
            [b'\r', ..] => Err(&BARE_CR),
            [b'\n', ..] => Err(&BARE_LF),
            _ => {
                self.phase = Phase::Line(Line::new());
                self.head(bytes, notes)
            }
        }
    }

    fn empty_lines(&mut self, bytes: &[u8]) -> Checked<Step> {
        let Phase::Between { empty_lines } = &mut self.phase else { return Ok(Step::More) };
        let mut count = 0;
        while *empty_lines < EMPTY_LINES_LIMIT && bytes[count..].starts_with(b"\r\n") {
            *empty_lines += 1;
            count += 2;
        }
        if count == 0 { Err(&EMPTY_LINES) } else { Ok(Step::Skip(count)) }
    }

    fn head(&mut self, bytes: &mut [u8], notes: &mut Notes) -> Checked<Step> {
        let is_over = bytes.len() > self.limits.head;
        let bytes = if is_over { &mut bytes[..self.limits.head] } else { bytes };
        if let Phase::Line(line) = &mut self.phase {
            match line.scan(bytes)? {
                Some(line) => {
                    let (section, framing) = (Section::new(line.end), Framing::new(line.is_1_1));
                    self.phase = Phase::Fields(section, framing);
                    notes.begin(line.target, line.end);
                }
                None if is_over => return Err(&LINE_LENGTH),
                None => return Ok(Step::More),
            }
        }
        let Phase::Fields(section, framing) = &mut self.phase else { return Ok(Step::More) };
        let end = section.scan(bytes, self.limits.fields, |name, at, value| {
            notes.add(at, value.len());
            framing.field(name, value)
        })?;
        match end {
            Some(end) => {
                self.phase = match framing.body()? {
                    Body::Length(0) => BETWEEN,
                    Body::Length(length) => Phase::Length(length),
                    Body::Chunked => Phase::Chunks(Chunks::new()),
                };
                Ok(Step::Pass(end))
            }
            None if is_over => Err(&HEAD_LENGTH),
            None => Ok(Step::More),
        }
    }
}

#[cfg(test)]
#[path = "guard_tests.rs"]
mod guard_tests;

#[cfg(test)]
#[path = "oracle_tests.rs"]
mod oracle_tests;
