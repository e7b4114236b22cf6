//! A section of fields, be it a head's or that of trailers (RFC 9110, section 6.3 and 6.5).

use super::byte;
use super::refusal::{
    BARE_CR, BARE_LF, Checked, FIELD_COUNT, FIELD_LINE, FIELD_NAME, FIELD_SPACE, FIELD_VALUE,
    FOLDING, NAME_LENGTH,
};

/// The longest name that `http::HeaderName` can hold.
const LONGEST_NAME: usize = 65_535;

/// The names that say where a message goes and where it ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Name {
    Host,
    ContentLength,
    TransferEncoding,
    Other,
}

impl Name {
    fn of(name: &[u8]) -> Self {
        match name.len() {
            4 if name.eq_ignore_ascii_case(b"host") => Self::Host,
            14 if name.eq_ignore_ascii_case(b"content-length") => Self::ContentLength,
            17 if name.eq_ignore_ascii_case(b"transfer-encoding") => Self::TransferEncoding,
            _ => Self::Other,
        }
    }
}

/// A section as far as it has been looked at.
#[derive(Debug, Clone, Copy)]
pub(super) struct Section {
    /// Bytes that need no second look.
    at: usize,
    /// Where the name begins, or the value.
    start: usize,
    /// Fields that have begun.
    count: u32,
    part: Part,
}

#[derive(Debug, Clone, Copy)]
enum Part {
    Line,
    Name,
    Value(Name),
}

impl Section {
    pub(super) const fn new(at: usize) -> Self {
        Self { at, start: at, count: 0, part: Part::Line }
    }

    /// Looks at what has come of the section, and shows each field to `check`: what it is, where its
    /// value begins, and the value. Gives the section's end, behind its empty line; `None` while that
    /// has not come.
    pub(super) fn scan(
        &mut self,
        bytes: &[u8],
        limit: usize,
        mut check: impl FnMut(Name, usize, &[u8]) -> Checked<()>,
    ) -> Checked<Option<usize>> {
        loop {
            let part = match self.part {
                Part::Line => match bytes.get(self.at..) {
                    Some([b'\r', b'\n', ..]) => return Ok(Some(self.at + 2)),
                    Some([b'\r'] | []) | None => None,
                    Some([first, ..]) => Some(self.line(*first, limit)?),
                },
                Part::Name => self.name(bytes)?,
                Part::Value(name) => self.value(bytes, |at, value| check(name, at, value))?,
            };
            match part {
                Some(part) => self.part = part,
                None => return Ok(None),
            }
        }
    }

    fn line(&mut self, first: u8, limit: usize) -> Checked<Part> {
        match first {
            b'\r' => Err(&BARE_CR),
            b' ' | b'\t' => Err(&FOLDING),
            _ if self.count as usize >= limit => Err(&FIELD_COUNT),
            _ => {
                self.count += 1;
                self.start = self.at;
                Ok(Part::Name)
            }
        }
    }

    fn name(&mut self, bytes: &[u8]) -> Checked<Option<Part>> {
        self.at = byte::span_token(bytes, self.at);
        let name = &bytes[self.start..self.at];
        match bytes.get(self.at) {
            None => Ok(None),
            Some(b':') if name.len() > LONGEST_NAME => Err(&NAME_LENGTH),
            Some(b':') if !name.is_empty() => {
                let name = Name::of(name);
                self.at += 1;
                self.start = self.at;
                Ok(Some(Part::Value(name)))
            }
            Some(b' ' | b'\t') => Err(&FIELD_SPACE),
            Some(b'\n') => Err(&BARE_LF),
            Some(b':' | b'\r') => Err(&FIELD_LINE),
            Some(_) => Err(&FIELD_NAME),
        }
    }

    fn value(
        &mut self,
        bytes: &[u8],
        check: impl FnOnce(usize, &[u8]) -> Checked<()>,
    ) -> Checked<Option<Part>> {
        self.at = byte::span_value(bytes, self.at);
        match &bytes[self.at..] {
            [b'\r', b'\n', ..] => {
                check(self.start, &bytes[self.start..self.at])?;
                self.at += 2;
                Ok(Some(Part::Line))
            }
            [] | [b'\r'] => Ok(None),
            [b'\r', ..] => Err(&BARE_CR),
            [b'\n', ..] => Err(&BARE_LF),
            _ => Err(&FIELD_VALUE),
        }
    }
}
