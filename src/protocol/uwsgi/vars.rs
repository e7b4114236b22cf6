//! The variables of a packet: what the request is, and what of it an application may see.

use std::borrow::Cow;

use bytes::Bytes;
use http::Method;

use super::{Limits, UwsgiError, WSGI_MOUNTED, check_size};
use crate::scheme::Scheme;

/// The variables of one packet, in its order. Names and values stay where they were received.
#[derive(Debug, Clone)]
pub struct Vars {
    packet: Bytes,
    variables: Vec<Variable>,
    /// The values of those that each request is asked for, by their places in [`Said`].
    said: [Span; Said::COUNT],
}

/// Variables that the server itself looks at.
#[derive(Debug, Clone, Copy)]
enum Said {
    Method,
    Length,
    Uri,
    Path,
    Query,
    Mount,
    Address,
    Protocol,
    OwnScheme,
    Https,
    Scheme,
}

impl Said {
    const COUNT: usize = Self::Scheme as usize + 1;

    fn named(name: &[u8]) -> Option<Self> {
        Some(match name {
            b"REQUEST_METHOD" => Self::Method,
            b"CONTENT_LENGTH" => Self::Length,
            b"REQUEST_URI" => Self::Uri,
            b"PATH_INFO" => Self::Path,
            b"QUERY_STRING" => Self::Query,
            b"SCRIPT_NAME" => Self::Mount,
            b"REMOTE_ADDR" => Self::Address,
            b"SERVER_PROTOCOL" => Self::Protocol,
            b"UWSGI_SCHEME" => Self::OwnScheme,
            b"HTTPS" => Self::Https,
            b"REQUEST_SCHEME" => Self::Scheme,
            _ => return None,
        })
    }
}

#[derive(Debug, Clone, Copy)]
struct Variable {
    name: Span,
    value: Span,
}

/// Places in a packet, which is never longer than a `u16` counts; by default of nothing.
#[derive(Debug, Clone, Copy, Default)]
struct Span {
    start: u16,
    end: u16,
}

impl Span {
    fn range(self) -> std::ops::Range<usize> {
        self.start.into()..self.end.into()
    }
}

impl Vars {
    /// Reads a packet without its header.
    ///
    /// # Errors
    /// The packet exceeds a limit, a name is empty, or lengths and packet do not fit.
    pub fn new(packet: Bytes, limits: Limits) -> Result<Self, UwsgiError> {
        check_size(packet.len(), limits.packet.min(usize::from(u16::MAX)))?;
        // What nginx sends for a browser's request fits without growing.
        let mut variables = Vec::with_capacity(limits.variables.min(48));
        let mut said = [Span::default(); Said::COUNT];
        let mut cursor = Cursor { packet: &packet, at: 0 };
        while cursor.at < packet.len() {
            if variables.len() == limits.variables {
                return Err(UwsgiError::TooManyVariables { limit: limits.variables });
            }
            let variable = cursor.variable()?;
            if let Some(one) = Said::named(cursor.text(variable.name)) {
                // Of two with one name, the last counts.
                said[one as usize] = variable.value;
            }
            variables.push(variable);
        }
        Ok(Self { packet, variables, said })
    }

    /// All variables, in order, as they were sent: see [`Vars::environ`] for an application's.
    pub fn iter(&self) -> impl DoubleEndedIterator<Item = (&[u8], &[u8])> + ExactSizeIterator {
        self.variables.iter().map(|one| (self.at(one.name), self.at(one.value)))
    }

    /// The variables that an application may see ([`is_for_applications`]), in order; of two with one
    /// name, the last counts.
    pub fn environ(&self) -> impl Iterator<Item = (&[u8], &[u8])> {
        self.iter().filter(|(name, _)| is_for_applications(name))
    }

    /// The value of a variable, whether an application may see it or not.
    pub fn get(&self, name: &[u8]) -> Option<&[u8]> {
        self.iter().rfind(|(one, _)| *one == name).map(|(_, value)| value)
    }

    /// The method of the request.
    ///
    /// # Errors
    /// It is missing, or no token.
    pub fn method(&self) -> Result<Method, UwsgiError> {
        Method::from_bytes(self.said(Said::Method)).map_err(|_| UwsgiError::BadMethod)
    }

    /// How many bytes of body follow; a missing or empty CONTENT_LENGTH means none.
    ///
    /// # Errors
    /// It is something else than digits, or more than 64 bits hold.
    pub fn content_length(&self) -> Result<u64, UwsgiError> {
        let text = self.said(Said::Length);
        text.iter().try_fold(0_u64, |sum, &byte| digit(sum, byte)).ok_or(UwsgiError::BadLength)
    }

    /// Where the application is mounted; empty at the root.
    pub fn script_name(&self) -> &[u8] {
        self.said(Said::Mount)
    }

    /// The path below the mount point, decoded; empty when there is none.
    ///
    /// With [`WSGI_MOUNTED`], SCRIPT_NAME is taken off its front; `/app` is not at the front of
    /// `/application`.
    pub fn path_info(&self, modifier1: u8) -> &[u8] {
        let path = self.said(Said::Path);
        if modifier1 != WSGI_MOUNTED {
            return path;
        }
        let mut mount = self.script_name();
        while let Some(shorter) = mount.strip_suffix(b"/") {
            mount = shorter;
        }
        match path.strip_prefix(mount) {
            Some(below) if matches!(below.first(), None | Some(b'/')) => below,
            _ => path,
        }
    }

    /// What follows the `?`, not decoded.
    pub fn query_string(&self) -> &[u8] {
        self.said(Said::Query)
    }

    /// The target as the client sent it, or else as path and query tell it.
    pub fn uri(&self) -> Cow<'_, [u8]> {
        match self.said(Said::Uri) {
            b"" => Cow::Owned(self.told_uri()),
            uri => Cow::Borrowed(uri),
        }
    }

    /// The client's scheme: UWSGI_SCHEME, HTTPS (`on` or `1`) or REQUEST_SCHEME, in this order.
    pub fn scheme(&self) -> Scheme {
        let named = |one| Scheme::from_name(self.said(one));
        let https = self.said(Said::Https);
        let secured = https.eq_ignore_ascii_case(b"on") || https == b"1";
        named(Said::OwnScheme)
            .or(secured.then_some(Scheme::Https))
            .or_else(|| named(Said::Scheme))
            .unwrap_or_default()
    }

    fn told_uri(&self) -> Vec<u8> {
        let path = [self.script_name(), self.said(Said::Path)].concat();
        match self.query_string() {
            b"" => path,
            query => [&path, query].join(&b'?'),
        }
    }

    /// The version of HTTP that the client speaks, as the web server says it; empty if it does not.
    pub fn protocol(&self) -> &[u8] {
        self.said(Said::Protocol)
    }

    /// The client's address; empty if it is not said.
    pub fn remote_address(&self) -> &[u8] {
        self.said(Said::Address)
    }

    fn said(&self, one: Said) -> &[u8] {
        self.at(self.said[one as usize])
    }

    fn at(&self, span: Span) -> &[u8] {
        self.packet.get(span.range()).unwrap_or_default()
    }
}

/// Whether an application may see a variable of this name.
///
/// It may not see those that make uWSGI load code or configure it, and so run code for whoever reaches the
/// socket (all of `UWSGI_*`; see [`Vars::scheme`]); those that only a server says (`wsgi.*`); HTTP_PROXY (see
/// [`crate::header::environ_key`]); and names that are no names.
pub fn is_for_applications(name: &[u8]) -> bool {
    name.iter().all(u8::is_ascii_graphic)
        && !name.starts_with(b"UWSGI_")
        && !name.starts_with(b"wsgi.")
        && name != b"HTTP_PROXY"
        && !OF_THE_HOP.contains(&name)
}

/// How the body was framed between client and web server: here it is CONTENT_LENGTH bytes, and
/// CONTENT_TYPE has its own variable.
const OF_THE_HOP: [&[u8]; 3] =
    [b"HTTP_TRANSFER_ENCODING", b"HTTP_CONTENT_LENGTH", b"HTTP_CONTENT_TYPE"];

fn digit(sum: u64, byte: u8) -> Option<u64> {
    let value = char::from(byte).to_digit(10)?;
    sum.checked_mul(10)?.checked_add(value.into())
}

/// Reads variables one after the other.
struct Cursor<'a> {
    packet: &'a [u8],
    at: usize,
}

impl Cursor<'_> {
    fn text(&self, span: Span) -> &[u8] {
        self.packet.get(span.range()).unwrap_or_default()
    }

    fn variable(&mut self) -> Result<Variable, UwsgiError> {
        let at = self.at;
        let name = self.span()?;
        if name.start == name.end {
            return Err(UwsgiError::EmptyKey { at });
        }
        Ok(Variable { name, value: self.span()? })
    }

    fn span(&mut self) -> Result<Span, UwsgiError> {
        let error = UwsgiError::Inconsistent { at: self.at };
        let length = self.packet.get(self.at..).and_then(|rest| rest.first_chunk::<2>());
        let start = self.at + 2;
        let end = start + usize::from(u16::from_le_bytes(*length.ok_or(error)?));
        if end > self.packet.len() {
            return Err(error);
        }
        self.at = end;
        let place = |at: usize| u16::try_from(at).map_err(|_| error);
        Ok(Span { start: place(start)?, end: place(end)? })
    }
}

#[cfg(test)]
#[path = "vars_tests.rs"]
mod tests;
