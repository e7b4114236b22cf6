//! Where a message ends (RFC 9112, section 6), and that it says once for which host it is.

use super::authority;
use super::byte::{self, TOKEN};
use super::refusal::{
    CHUNKED_LAST, CHUNKED_TWICE, CODING, CODING_IN_1_0, CODING_SYNTAX, Checked, LENGTH,
    LENGTH_AND_CODING, NO_HOST, TWO_HOSTS, TWO_LENGTHS,
};
use super::section::Name;
use crate::header::number;

/// The longest body that hyper can count.
const LONGEST_BODY: u64 = u64::MAX - 2;

/// What the fields of a head have said so far.
#[derive(Debug, Clone, Copy)]
pub(super) struct Framing {
    length: u64,
    is_1_1: bool,
    has_host: bool,
    has_length: bool,
    codings: Codings,
}

/// A Transfer-Encoding, which can be a list in several fields.
#[derive(Debug, Clone, Copy, Default)]
struct Codings {
    any: bool,
    chunked: bool,
    /// The last one is chunked.
    ends_chunked: bool,
    unknown: bool,
}

/// What follows a head.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Body {
    /// So many bytes.
    Length(u64),
    /// Chunks.
    Chunked,
}

impl Framing {
    pub(super) fn new(is_1_1: bool) -> Self {
        Self { length: 0, is_1_1, has_host: false, has_length: false, codings: Codings::default() }
    }

    /// Takes one field of the head.
    pub(super) fn field(&mut self, name: Name, value: &[u8]) -> Checked<()> {
        let value = if name == Name::Other { value } else { value.trim_ascii() };
        match name {
            Name::Other => Ok(()),
            Name::Host if self.has_host => Err(&TWO_HOSTS),
            Name::Host => {
                self.has_host = true;
                authority::of_host(value)
            }
            Name::ContentLength if self.has_length => Err(&TWO_LENGTHS),
            Name::ContentLength if self.codings.any => Err(&LENGTH_AND_CODING),
            Name::ContentLength => {
                self.has_length = true;
                self.length = length(value).ok_or(&LENGTH)?;
                Ok(())
            }
            Name::TransferEncoding if !self.is_1_1 => Err(&CODING_IN_1_0),
            Name::TransferEncoding if self.has_length => Err(&LENGTH_AND_CODING),
            Name::TransferEncoding => self.codings.add(value),
        }
    }

    /// What follows, once the last field is known.
    pub(super) fn body(&self) -> Checked<Body> {
        if self.is_1_1 && !self.has_host {
            return Err(&NO_HOST);
        }
        match self.codings {
            Codings { any: false, .. } => Ok(Body::Length(self.length)),
            Codings { ends_chunked: false, .. } => Err(&CHUNKED_LAST),
            Codings { unknown: true, .. } => Err(&CODING),
            Codings { .. } => Ok(Body::Chunked),
        }
    }
}

impl Codings {
    /// Adds one field. The coding chunked has no parameters (RFC 9112, section 7.1).
    fn add(&mut self, value: &[u8]) -> Checked<()> {
        self.any = true;
        for coding in value.split(|&byte| byte == b',').map(<[u8]>::trim_ascii) {
            let name = &coding[..byte::span(coding, 0, TOKEN)];
            let parameters = coding[name.len()..].trim_ascii_start();
            if name.is_empty() || !matches!(parameters.first(), None | Some(b';')) {
                return Err(&CODING_SYNTAX);
            }
            self.ends_chunked = name.eq_ignore_ascii_case(b"chunked");
            if !self.ends_chunked {
                self.unknown = true;
            } else if !parameters.is_empty() {
                return Err(&CODING_SYNTAX);
            } else if self.chunked {
                return Err(&CHUNKED_TWICE);
            } else {
                self.chunked = true;
            }
        }
        Ok(())
    }
}

/// `1*DIGIT` (RFC 9110, section 8.6).
fn length(value: &[u8]) -> Option<u64> {
    number(value).filter(|&length| length <= LONGEST_BODY)
}
