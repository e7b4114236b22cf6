//! Whom a proxy saw: one entry of X-Forwarded-For, or `for=` of Forwarded (RFC 7239, section 6).

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use super::Peer;

/// The other end of a proxy's connection, as it tells.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Node {
    /// An address, and its port if it was told.
    Address(IpAddr, Option<u16>),
    /// Somebody on a UNIX socket: nginx writes `unix:`.
    Unix,
    /// Somebody whom the proxy does not know or name (`unknown`, `_hidden`), or no node at all.
    Hidden,
}

impl Node {
    /// Reads `192.0.2.1`, `2001:db8::1` or `[2001:db8::1]`, the first and last with `:PORT` or not.
    pub(super) fn parse(text: &[u8]) -> Self {
        match text {
            b"unix:" => Self::Unix,
            _ => std::str::from_utf8(text).ok().and_then(address).unwrap_or(Self::Hidden),
        }
    }

    pub(super) fn peer(self) -> Option<Peer> {
        match self {
            Self::Address(address, _) => Some(Peer::Ip(address)),
            Self::Unix => Some(Peer::Unix),
            Self::Hidden => None,
        }
    }
}

fn address(text: &str) -> Option<Node> {
    if let Ok(address) = text.parse::<IpAddr>() {
        return Some(Node::Address(address.to_canonical(), None));
    }
    let (address, rest): (IpAddr, _) = match text.strip_prefix('[') {
        Some(text) => {
            let (address, rest) = text.split_once(']')?;
            (address.parse::<Ipv6Addr>().ok()?.into(), rest)
        }
        None => {
            let (address, _) = text.split_once(':')?;
            (address.parse::<Ipv4Addr>().ok()?.into(), &text[address.len()..])
        }
    };
    let port = if rest.is_empty() { None } else { node_port(rest.strip_prefix(':')?)? };
    Some(Node::Address(address.to_canonical(), port))
}

/// A port, or a name that stands for one (`_` and letters, digits, `.`, `_`, `-`).
fn node_port(text: &str) -> Option<Option<u16>> {
    let obfuscated = |byte: u8| byte.is_ascii_alphanumeric() || b"._-".contains(&byte);
    match text.strip_prefix('_') {
        Some(name) if !name.is_empty() && name.bytes().all(obfuscated) => Some(None),
        Some(_) => None,
        None => port(text.as_bytes()).map(Some),
    }
}

/// The number of a port: one to five digits, and not 0, which nobody can connect to.
pub(super) fn port(text: &[u8]) -> Option<u16> {
    if text.len() > 5 || !text.iter().all(u8::is_ascii_digit) {
        return None;
    }
    std::str::from_utf8(text).ok()?.parse().ok().filter(|&port| port != 0)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn node(text: &str) -> Node {
        Node::parse(text.as_bytes())
    }

    fn seen(address: &str, port: Option<u16>) -> Node {
        Node::Address(address.parse().unwrap(), port)
    }

    #[test]
    fn addresses_come_with_and_without_ports_and_brackets() {
        assert_eq!(node("192.0.2.1"), seen("192.0.2.1", None));
        assert_eq!(node("192.0.2.1:567"), seen("192.0.2.1", Some(567)));
        assert_eq!(node("2001:db8::1"), seen("2001:db8::1", None));
        assert_eq!(node("[2001:db8::1]"), seen("2001:db8::1", None));
        assert_eq!(node("[2001:db8::1]:65535"), seen("2001:db8::1", Some(65535)));
        assert_eq!(node("[2001:db8::1]:_a.b-c"), seen("2001:db8::1", None));
    }

    #[test]
    fn ipv4_in_ipv6_notation_is_ipv4() {
        assert_eq!(node("::ffff:192.0.2.1"), seen("192.0.2.1", None));
        assert_eq!(node("[::ffff:c000:201]:80"), seen("192.0.2.1", Some(80)));
    }

    #[test]
    fn what_is_no_address_names_nobody() {
        assert_eq!(node("unix:"), Node::Unix);
        for text in [
            "",
            "unknown",
            "_gazonk",
            "localhost",
            "192.0.2.256",
            "192.0.2.01",
            "192.0.2.1:",
            "192.0.2.1:0",
            "192.0.2.1:65536",
            "192.0.2.1:+80",
            "192.0.2.1:_",
            "192.0.2.1 ",
            "[192.0.2.1]",
            "[::1",
            "[::1]80",
            "[::1]:",
            "::1:x",
            "fe80::1%eth0",
            "0x7f.1",
        ] {
            assert_eq!(node(text), Node::Hidden, "{text}");
        }
        assert_eq!(Node::parse(b"\xff"), Node::Hidden);
    }

    proptest! {
        #[test]
        fn every_address_is_read_as_it_is_written(address: IpAddr, number in 1_u16..) {
            let bare = Node::Address(address.to_canonical(), None);
            prop_assert_eq!(node(&address.to_string()), bare);
            let with_port = std::net::SocketAddr::new(address, number).to_string();
            prop_assert_eq!(node(&with_port), Node::Address(address.to_canonical(), Some(number)));
        }

        #[test]
        fn nothing_panics(text: Vec<u8>, almost in "[0-9a-f:.\\[\\]_%]{0,30}") {
            let _ = (Node::parse(&text), node(&almost));
        }
    }
}
