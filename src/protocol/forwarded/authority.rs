//! What a client asked for by name: a host, and perhaps a port (RFC 9110, section 7.2).

use std::borrow::Cow;
use std::net::Ipv6Addr;

use super::{ForwardedError, node};

/// A host that may be used in links.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Authority<'a> {
    /// All of it.
    pub(super) text: Cow<'a, str>,
    /// Its port.
    pub(super) port: Option<u16>,
}

impl<'a> Authority<'a> {
    /// Reads a host: an IPv6 address in brackets, or letters, digits, `.`, `-`, `_` and `~`. What
    /// else RFC 3986 allows in a name is in no name that DNS has, and does no good in a link.
    pub(super) fn parse(text: Cow<'a, [u8]>) -> Result<Self, ForwardedError> {
        let port = read(&text).ok_or(ForwardedError::Host)?;
        let text = match text {
            Cow::Borrowed(text) => std::str::from_utf8(text).ok().map(Cow::Borrowed),
            Cow::Owned(text) => String::from_utf8(text).ok().map(Cow::Owned),
        };
        Ok(Self { text: text.ok_or(ForwardedError::Host)?, port })
    }
}

/// The port of a well-formed authority.
fn read(text: &[u8]) -> Option<Option<u16>> {
    let end = match text.strip_prefix(b"[") {
        Some(rest) => {
            let length = rest.iter().position(|&byte| byte == b']')?;
            std::str::from_utf8(&rest[..length]).ok()?.parse::<Ipv6Addr>().ok()?;
            length + 2
        }
        None => text.iter().position(|&byte| !is_name(byte)).unwrap_or(text.len()),
    };
    match text.split_at(end) {
        ([], _) => None,
        (_, []) => Some(None),
        (_, [b':', port @ ..]) => node::port(port).map(Some),
        _ => None,
    }
}

fn is_name(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b".-_~".contains(&byte)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Option<(String, Option<u16>)> {
        let authority = Authority::parse(text.as_bytes().into()).ok()?;
        Some((authority.text.into_owned(), authority.port))
    }

    #[test]
    fn a_host_is_kept_as_it_is_and_its_port_is_known() {
        for (text, port) in [
            ("example.org", None),
            ("Example.org:8443", Some(8443)),
            ("192.0.2.1:80", Some(80)),
            ("[2001:db8::1]", None),
            ("[2001:db8::1]:80", Some(80)),
            ("my_host", None),
        ] {
            assert_eq!(read(text), Some((text.to_owned(), port)));
        }
    }

    #[test]
    fn what_would_change_a_link_is_no_host() {
        for text in [
            "",
            ":80",
            "a b",
            "a/b",
            "a?b",
            "a#b",
            "a@b",
            "a\\b",
            "a%2fb",
            "a,b",
            "a\"b",
            "a\nb",
            "a:",
            "a:0",
            "a:65536",
            "a:b",
            "a:80:80",
            "[a]",
            "[::1",
            "[::1]x",
            "2001:db8::1",
            "caf\u{e9}",
            "<script>",
        ] {
            assert_eq!(read(text), None, "{text}");
        }
    }
}
