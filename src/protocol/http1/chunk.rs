//! A body in chunks (RFC 9112, section 7.1).

use super::Limits;
use super::byte::{self, TOKEN, VALUE};
use super::refusal::{
    BARE_CR, BARE_LF, CHUNK_END, CHUNK_EXTENSION, CHUNK_EXTENSIONS, CHUNK_SIZE, Checked, TRAILER,
    TRAILER_LENGTH,
};
use super::section::{Name, Section};

/// Digits of the largest size that a number of 64 bits holds.
const DIGITS: u32 = 16;

/// Bytes of a line with a size. Signatures of uploads, which are what extensions are used for, need
/// about 90.
const LINE_LIMIT: u32 = 1024;

/// Bytes of extensions for a body, for they are work that nobody has use for. Below hyper's limit,
/// which is 16 384.
const EXTENSIONS_LIMIT: u32 = 16_000;

/// Bytes of trailers, with their last line, that hyper takes.
const TRAILERS_LIMIT: usize = 16_383;

/// A body as far as it has been looked at.
#[derive(Debug, Clone, Copy)]
pub(super) struct Chunks {
    /// Bytes of data that are yet to come; in the line before them, what its digits say so far.
    size: u64,
    /// Bytes of extensions in the whole body.
    extensions: u32,
    /// Bytes of the line with the size that need no second look.
    at: u32,
    part: Part,
}

#[derive(Debug, Clone, Copy)]
enum Part {
    Size,
    Extension(Spot),
    LineEnd,
    Data,
    DataEnd,
    Trailers(Section),
}

/// A place in `*( BWS ";" BWS name [ BWS "=" BWS value ] )`.
#[derive(Debug, Clone, Copy)]
enum Spot {
    /// Behind the size or a quoted value.
    Done,
    /// Behind the blanks that follow the size or a value.
    Blank,
    BeforeName,
    Name,
    AfterName,
    BeforeValue,
    Value,
    Quoted,
    Escaped,
}

/// How far a body has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Progress {
    /// So many bytes are right; none if the next ones cannot be judged yet.
    More(usize),
    /// So many bytes are right, and they are the last ones.
    End(usize),
}

impl Chunks {
    pub(super) const fn new() -> Self {
        Self { size: 0, extensions: 0, at: 0, part: Part::Size }
    }

    /// Looks at the next line, data or trailers.
    pub(super) fn step(&mut self, bytes: &[u8], limits: Limits) -> Checked<Progress> {
        match &mut self.part {
            Part::Size | Part::Extension(_) | Part::LineEnd => {
                Ok(Progress::More(self.line(bytes)?))
            }
            Part::Data => {
                let count = usize::try_from(self.size).unwrap_or(usize::MAX).min(bytes.len());
                self.size -= count as u64;
                if self.size == 0 {
                    self.part = Part::DataEnd;
                }
                Ok(Progress::More(count))
            }
            Part::DataEnd => match bytes {
                [b'\r', b'\n', ..] => {
                    self.part = Part::Size;
                    Ok(Progress::More(2))
                }
                [] | [b'\r'] => Ok(Progress::More(0)),
                _ => Err(&CHUNK_END),
            },
            Part::Trailers(section) => trailers(section, bytes, limits),
        }
    }

    /// The line with the size; nothing of it goes on before all of it is there.
    fn line(&mut self, bytes: &[u8]) -> Checked<usize> {
        while let Some(&byte) = bytes.get(self.at as usize) {
            self.at += 1;
            self.part = match self.part {
                Part::Size => self.size(byte)?,
                Part::Extension(spot) => {
                    self.extensions += 1;
                    if self.at > LINE_LIMIT || self.extensions > EXTENSIONS_LIMIT {
                        return Err(&CHUNK_EXTENSIONS);
                    }
                    extension(spot, byte)?
                }
                _ if byte != b'\n' => return Err(&BARE_CR),
                _ if self.size == 0 => Part::Trailers(Section::new(0)),
                _ => Part::Data,
            };
            if matches!(self.part, Part::Data | Part::Trailers(_)) {
                return Ok(std::mem::take(&mut self.at) as usize);
            }
        }
        Ok(0)
    }

    fn size(&mut self, byte: u8) -> Checked<Part> {
        match char::from(byte).to_digit(16) {
            Some(digit) if self.at <= DIGITS => {
                self.size = self.size << 4 | u64::from(digit);
                Ok(Part::Size)
            }
            None if self.at > 1 && matches!(byte, b'\r' | b'\n' | b';' | b' ' | b'\t') => {
                extension(Spot::Done, byte)
            }
            _ => Err(&CHUNK_SIZE),
        }
    }
}

/// What comes behind `byte` at `spot`.
fn extension(spot: Spot, byte: u8) -> Checked<Part> {
    let next = match (spot, byte) {
        (Spot::Done | Spot::Name | Spot::Value, b'\r') => return Ok(Part::LineEnd),
        (Spot::Done | Spot::Blank | Spot::Name | Spot::AfterName | Spot::Value, b';') => {
            Spot::BeforeName
        }
        (Spot::Name | Spot::AfterName, b'=') => Spot::BeforeValue,
        (Spot::Done | Spot::Blank | Spot::Value, b' ' | b'\t') => Spot::Blank,
        (Spot::Name | Spot::AfterName, b' ' | b'\t') => Spot::AfterName,
        (Spot::BeforeName | Spot::BeforeValue, b' ' | b'\t') => spot,
        (Spot::BeforeValue, b'"') => Spot::Quoted,
        (Spot::Quoted, b'"') => Spot::Done,
        (Spot::Quoted, b'\\') => Spot::Escaped,
        (Spot::Quoted | Spot::Escaped, _) if byte::is(byte, VALUE) => Spot::Quoted,
        (Spot::BeforeName | Spot::Name, _) if byte::is(byte, TOKEN) => Spot::Name,
        (Spot::BeforeValue | Spot::Value, _) if byte::is(byte, TOKEN) => Spot::Value,
        (_, b'\n') => return Err(&BARE_LF),
        _ => return Err(&CHUNK_EXTENSION),
    };
    Ok(Part::Extension(next))
}

/// The trailers; nothing of them goes on before all of them are there.
fn trailers(section: &mut Section, bytes: &[u8], limits: Limits) -> Checked<Progress> {
    let limit = limits.head.min(TRAILERS_LIMIT);
    let within = &bytes[..bytes.len().min(limit)];
    let end = section.scan(within, limits.fields, |name, _, _| match name {
        Name::Other => Ok(()),
        Name::Host | Name::ContentLength | Name::TransferEncoding => Err(&TRAILER),
    })?;
    match end {
        Some(end) => Ok(Progress::End(end)),
        None if bytes.len() > limit => Err(&TRAILER_LENGTH),
        None => Ok(Progress::More(0)),
    }
}
