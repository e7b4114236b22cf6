//! Version 1: one line of text.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use super::{Endpoints, Parsed, ProxyError, has_signature};

/// How it begins.
pub(super) const SIGNATURE: &[u8] = b"PROXY ";

/// The longest line, with its CRLF.
const LIMIT: usize = 107;

pub(super) fn parse(bytes: &[u8]) -> Result<Parsed, ProxyError> {
    if !has_signature(bytes, SIGNATURE)? {
        return Ok(Parsed::More);
    }
    let seen = &bytes[..bytes.len().min(LIMIT)];
    let Some(end) = seen.iter().position(|&byte| byte == b'\n') else {
        return if seen.len() < LIMIT {
            Ok(Parsed::More)
        } else {
            Err(ProxyError::TooLong { limit: LIMIT })
        };
    };
    let line = seen[SIGNATURE.len()..end].strip_suffix(b"\r").ok_or(ProxyError::Line)?;
    Ok(Parsed::Header { length: end + 1, source: source(line)?, tls: false })
}

/// `UNKNOWN` may be followed by anything, all of which is to be ignored.
fn source(line: &[u8]) -> Result<Option<Endpoints>, ProxyError> {
    if line == b"UNKNOWN" || line.starts_with(b"UNKNOWN ") {
        return Ok(None);
    }
    let line = std::str::from_utf8(line).map_err(|_| ProxyError::Line)?;
    endpoints(line).map(Some).ok_or(ProxyError::Line)
}

fn endpoints(line: &str) -> Option<Endpoints> {
    let mut fields = line.split(' ');
    let address = match fields.next()? {
        "TCP4" => |text: &str| text.parse::<Ipv4Addr>().ok().map(IpAddr::V4),
        "TCP6" => |text: &str| text.parse::<Ipv6Addr>().ok().map(IpAddr::V6),
        _ => return None,
    };
    let (client, server) = (address(fields.next()?)?, address(fields.next()?)?);
    let (from, to) = (port(fields.next()?)?, port(fields.next()?)?);
    fields.next().is_none().then(|| Endpoints::new((client, from), (server, to)))
}

/// A port without sign or leading zeros.
fn port(text: &str) -> Option<u16> {
    text.parse().ok().filter(|port: &u16| port.to_string() == text)
}

#[cfg(test)]
mod tests {
    use super::super::parse;
    use super::*;
    use proptest::prelude::*;

    fn header(length: usize, ends: Option<(&str, &str)>) -> Result<Parsed, ProxyError> {
        let source = ends.map(|(client, server)| Endpoints {
            client: client.parse().unwrap(),
            server: server.parse().unwrap(),
        });
        Ok(Parsed::Header { length, source, tls: false })
    }

    #[test]
    fn both_families_are_read_and_what_follows_is_left_alone() {
        assert_eq!(
            parse(b"PROXY TCP4 192.0.2.1 198.51.100.2 65535 0\r\nGET / HTTP/1.1\r\n"),
            header(43, Some(("192.0.2.1:65535", "198.51.100.2:0")))
        );
        assert_eq!(
            parse(b"PROXY TCP6 2001:DB8::1 ::1 80 8000\r\n"),
            header(36, Some(("[2001:db8::1]:80", "[::1]:8000")))
        );
    }

    #[test]
    fn an_ipv4_client_in_ipv6_notation_is_one_of_ipv4() {
        assert_eq!(
            parse(b"PROXY TCP6 ::ffff:192.0.2.1 ::1 80 8000\r\n"),
            header(41, Some(("192.0.2.1:80", "[::1]:8000")))
        );
    }

    #[test]
    fn an_unknown_source_is_a_header_without_addresses() {
        assert_eq!(parse(b"PROXY UNKNOWN\r\n"), header(15, None));
        assert_eq!(parse(b"PROXY UNKNOWN what \xff ever\r\n"), header(27, None));
    }

    #[test]
    fn the_grammar_is_exact() {
        for line in [
            "",
            "TCP4",
            "UNKNOWNX",
            "tcp4 192.0.2.1 192.0.2.2 1 2",
            "TCP4  192.0.2.1 192.0.2.2 1 2",
            "TCP4 192.0.2.1 192.0.2.2 1 2 ",
            "TCP4 192.0.2.1 192.0.2.2 1",
            "TCP4 192.0.2.1 192.0.2.2 1 2 3",
            "TCP4 192.0.2.1 192.0.2.2 01 2",
            "TCP4 192.0.2.1 192.0.2.2 +1 2",
            "TCP4 192.0.2.1 192.0.2.2 1 65536",
            "TCP4 192.0.2.01 192.0.2.2 1 2",
            "TCP4 192.0.2 192.0.2.2 1 2",
            "TCP4 ::1 ::1 1 2",
            "TCP6 192.0.2.1 192.0.2.2 1 2",
            "TCP6 fe80::1%eth0 ::1 1 2",
            "TCP6 [::1] ::1 1 2",
            "TCP4 192.0.2.1\t192.0.2.2 1 2",
        ] {
            let line = format!("PROXY {line}\r\n");
            assert_eq!(parse(line.as_bytes()), Err(ProxyError::Line), "{line}");
        }
        assert_eq!(parse(b"PROXY TCP4 192.0.2.1 192.0.2.2 1 2\n"), Err(ProxyError::Line));
    }

    #[test]
    fn a_line_is_at_most_107_bytes_long() {
        let line = |length: usize| format!("PROXY UNKNOWN {}\r\n", "x".repeat(length - 16));
        assert_eq!(parse(line(107).as_bytes()), header(107, None));
        assert_eq!(parse(&line(107).as_bytes()[..106]), Ok(Parsed::More));
        assert_eq!(parse(line(108).as_bytes()), Err(ProxyError::TooLong { limit: 107 }));
    }

    #[test]
    fn a_connection_without_a_header_is_known_by_its_first_wrong_byte() {
        for text in ["G", "PO", "PROXx", "PROXY\r", "\0", "\r\nG"] {
            assert_eq!(parse(text.as_bytes()), Err(ProxyError::Missing), "{text:?}");
        }
        assert_eq!(parse(b""), Ok(Parsed::More));
    }

    proptest! {
        #[test]
        fn what_is_written_is_read_back_and_every_prefix_asks_for_more(
            six: bool, client: [u8; 16], server: [u8; 16], from: u16, to: u16,
            cut: prop::sample::Index,
        ) {
            let address = |bytes: [u8; 16]| {
                let four = [bytes[0], bytes[1], bytes[2], bytes[3]];
                if six { IpAddr::from(bytes) } else { IpAddr::from(four) }
            };
            let (client, server) = (address(client), address(server));
            let family = if six { "TCP6" } else { "TCP4" };
            let line = format!("PROXY {family} {client} {server} {from} {to}\r\n");
            let source = Some(Endpoints::new((client, from), (server, to)));
            let whole = Parsed::Header { length: line.len(), source, tls: false };
            prop_assert_eq!(parse(line.as_bytes()), Ok(whole));
            let cut = cut.index(line.len());
            prop_assert_eq!(parse(&line.as_bytes()[..cut]), Ok(Parsed::More));
        }

        #[test]
        fn what_was_said_of_a_prefix_stays_true(
            rest: Vec<u8>, text in "[TCPUNKOW46 0-9.:\r\n]{0,120}", cut: prop::sample::Index,
        ) {
            let bytes = [SIGNATURE, text.as_bytes(), &rest].concat();
            let early = parse(&bytes[..cut.index(bytes.len() + 1)]);
            prop_assert!(early == Ok(Parsed::More) || early == parse(&bytes));
        }
    }
}
