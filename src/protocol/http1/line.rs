//! The request line (RFC 9112, section 3).

use super::authority;
use super::byte::{self, AUTHORITY, PATH, QUERY, TOKEN};
use super::refusal::{
    ASTERISK, BARE_CR, BARE_LF, CONNECT_TARGET, Checked, FRAGMENT, MAJOR_VERSION, METHOD,
    NO_VERSION, Refusal, TARGET_CHARACTER, TARGET_FORM, TARGET_LENGTH, TARGET_SPACE, VERSION,
};

/// The longest target that `http::Uri` can hold.
const LONGEST_TARGET: usize = 65_534;

/// The method that most requests have, and the space behind it.
const USUAL_METHOD: &[u8] = b"GET ";

/// The line that most requests have from the space behind the target on.
const USUAL_END: &[u8; 10] = b"HTTP/1.1\r\n";

/// A request line as far as it has been looked at.
#[derive(Debug, Clone, Copy)]
pub(super) struct Line {
    /// Bytes that need no second look.
    at: usize,
    /// Where the part that [`Self::part`] names begins; the target, while there is one.
    start: usize,
    part: Part,
    method: Method,
}

#[derive(Debug, Clone, Copy)]
enum Part {
    Method,
    Target,
    Scheme,
    /// Of an absolute target; the number is where it begins in the target.
    Authority(u8),
    Path,
    /// With its question mark.
    Query,
    /// The target of CONNECT.
    Destination,
    Asterisk,
    Version,
}

/// Methods whose targets have forms of their own.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Method {
    Connect,
    Options,
    /// The preface of HTTP/2 (RFC 9113, section 3.4) reads like a request of this method.
    Preface,
    Other,
}

/// A complete request line.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Complete {
    /// Where the target is.
    pub(super) target: (usize, usize),
    /// Where the fields begin.
    pub(super) end: usize,
    /// Whether the client speaks HTTP/1.1 or what has to be taken for it.
    pub(super) is_1_1: bool,
}

impl Line {
    pub(super) const fn new() -> Self {
        Self { at: 0, start: 0, part: Part::Method, method: Method::Other }
    }

    /// Looks at what has come of the line; `None` while that is not all of it. The digit of a minor
    /// version that is above 1 becomes 1: so it has to be understood (RFC 9110, section 2.5).
    pub(super) fn scan(&mut self, bytes: &mut [u8]) -> Checked<Option<Complete>> {
        loop {
            let part = match self.part {
                Part::Method => self.method(bytes),
                Part::Target => self.target(bytes),
                Part::Scheme => self.scheme(bytes),
                Part::Authority(start) => self.authority(bytes, start),
                Part::Path => self.path(bytes),
                Part::Query => self.query(bytes),
                Part::Destination => self.destination(bytes),
                Part::Asterisk => self.target_end(bytes),
                Part::Version => return self.version(bytes),
            };
            match part? {
                Some(part) => self.part = part,
                None => return Ok(None),
            }
        }
    }

    fn method(&mut self, bytes: &[u8]) -> Checked<Option<Part>> {
        if bytes.starts_with(USUAL_METHOD) {
            self.at = USUAL_METHOD.len();
            self.start = self.at;
            return Ok(Some(Part::Target));
        }
        self.at = byte::span(bytes, self.at, TOKEN);
        match bytes.get(self.at) {
            None => Ok(None),
            Some(b' ') if self.at > 0 => {
                self.method = match &bytes[..self.at] {
                    b"CONNECT" => Method::Connect,
                    b"OPTIONS" => Method::Options,
                    b"PRI" => Method::Preface,
                    _ => Method::Other,
                };
                self.at += 1;
                self.start = self.at;
                Ok(Some(Part::Target))
            }
            Some(_) => Err(&METHOD),
        }
    }

    /// Which of the four forms the target has (RFC 9112, section 3.2).
    fn target(&mut self, bytes: &[u8]) -> Checked<Option<Part>> {
        let Some(&first) = bytes.get(self.at) else { return Ok(None) };
        match (first, self.method) {
            (b' ', _) => Err(&TARGET_SPACE),
            (_, Method::Connect) => Ok(Some(Part::Destination)),
            (b'/', _) => Ok(Some(Part::Path)),
            (b'h' | b'H', _) => Ok(Some(Part::Scheme)),
            (b'*', Method::Options | Method::Preface) => {
                self.at += 1;
                Ok(Some(Part::Asterisk))
            }
            (b'*', _) => Err(&ASTERISK),
            _ => Err(outside(first, &TARGET_FORM)),
        }
    }

    fn scheme(&mut self, bytes: &[u8]) -> Checked<Option<Part>> {
        let target = &bytes[self.start..];
        for scheme in [&b"http://"[..], b"https://"] {
            let length = scheme.len().min(target.len());
            if !target[..length].eq_ignore_ascii_case(&scheme[..length]) {
                continue;
            }
            if length < scheme.len() {
                return Ok(None);
            }
            self.at = self.start + length;
            return Ok(Some(Part::Authority(length as u8)));
        }
        Err(&TARGET_FORM)
    }

    fn authority(&mut self, bytes: &[u8], start: u8) -> Checked<Option<Part>> {
        self.at = byte::span(bytes, self.at, AUTHORITY);
        let Some(&after) = bytes.get(self.at) else { return Ok(None) };
        if !matches!(after, b'/' | b'?' | b' ') {
            return Err(outside(after, &TARGET_CHARACTER));
        }
        authority::of_target(&bytes[self.start + usize::from(start)..self.at])?;
        match after {
            b'/' => Ok(Some(Part::Path)),
            b'?' => Ok(Some(Part::Query)),
            _ => self.target_end(bytes),
        }
    }

    fn path(&mut self, bytes: &[u8]) -> Checked<Option<Part>> {
        self.at = byte::span(bytes, self.at, PATH);
        if bytes.get(self.at) == Some(&b'?') {
            return Ok(Some(Part::Query));
        }
        self.target_end(bytes)
    }

    fn query(&mut self, bytes: &[u8]) -> Checked<Option<Part>> {
        self.at = byte::span(bytes, self.at, QUERY);
        self.target_end(bytes)
    }

    fn destination(&mut self, bytes: &[u8]) -> Checked<Option<Part>> {
        self.at = byte::span(bytes, self.at, AUTHORITY);
        match bytes.get(self.at) {
            None => Ok(None),
            Some(b' ') => {
                authority::of_connect(&bytes[self.start..self.at])?;
                self.target_end(bytes)
            }
            Some(&other) => Err(outside(other, &CONNECT_TARGET)),
        }
    }

    fn target_end(&mut self, bytes: &[u8]) -> Checked<Option<Part>> {
        match bytes.get(self.at) {
            None => Ok(None),
            Some(b' ') if self.at - self.start > LONGEST_TARGET => Err(&TARGET_LENGTH),
            Some(b' ') => {
                self.at += 1;
                Ok(Some(Part::Version))
            }
            Some(&other) => Err(outside(other, &TARGET_CHARACTER)),
        }
    }

    fn version(&self, bytes: &mut [u8]) -> Checked<Option<Complete>> {
        let is_asterisk = self.method == Method::Preface && bytes[self.start] == b'*';
        let version = &mut bytes[self.at..];
        let mut minor = b'1';
        if version.first_chunk() != Some(USUAL_END) {
            for (place, &byte) in version.iter().take(USUAL_END.len()).enumerate() {
                check_version(version, place, byte)?;
            }
            if version.len() < USUAL_END.len() {
                return Ok(None);
            }
            minor = version[7];
            if minor != b'0' {
                version[7] = b'1';
            }
        }
        if is_asterisk {
            return Err(&ASTERISK);
        }
        let target = (self.start, self.at - 1);
        Ok(Some(Complete { target, end: self.at + USUAL_END.len(), is_1_1: minor != b'0' }))
    }
}

/// Checks one byte of a version, given that those before it are right.
fn check_version(version: &[u8], place: usize, byte: u8) -> Checked<()> {
    match (place, byte) {
        (0, b' ') => Err(&TARGET_SPACE),
        (0, b'\r') => Err(&NO_VERSION),
        (5, b'0'..=b'9') | (8, b'\r') | (9, b'\n') => Ok(()),
        (7, b'0'..=b'9') if version[5] == b'1' => Ok(()),
        (7, b'0'..=b'9') => Err(&MAJOR_VERSION),
        (9, _) => Err(&BARE_CR),
        (0..=4 | 6, _) if byte == USUAL_END[place] => Ok(()),
        (_, b'\n') => Err(&BARE_LF),
        _ => Err(&VERSION),
    }
}

/// The rule that a byte breaks which cannot be in a target: `otherwise`, if it is an ordinary one.
fn outside(byte: u8, otherwise: &'static Refusal) -> &'static Refusal {
    match byte {
        b'\n' => &BARE_LF,
        b'\r' => &NO_VERSION,
        b'#' => &FRAGMENT,
        _ => otherwise,
    }
}
