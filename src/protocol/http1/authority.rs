//! A host and a port: in a Host field, in an absolute target, as the target of CONNECT.

use std::net::Ipv6Addr;

use super::byte::{self, NAME};
use super::refusal::{
    CONNECT_TARGET, Checked, HOST_EMPTY, HOST_ESCAPE, HOST_SYNTAX, PORT, USERINFO,
};

/// Checks the value of a Host field (RFC 9112, section 3.2), which may be empty.
pub(super) fn of_host(value: &[u8]) -> Checked<()> {
    let end = byte::span(value, 0, NAME);
    match value.get(end..) {
        None | Some([]) => return Ok(()),
        Some([b':', port @ ..]) if end > 0 && port.iter().all(u8::is_ascii_digit) => return Ok(()),
        Some(_) => {}
    }
    let (host, _) = split(value)?;
    if host.is_empty() { Err(&HOST_EMPTY) } else { Ok(()) }
}

/// Checks what is between `http://` and the path (RFC 9110, section 4.2). A percent-escape is legal
/// in a name, but `http::Uri` takes none.
pub(super) fn of_target(authority: &[u8]) -> Checked<()> {
    let (host, _) = split(authority)?;
    if host.is_empty() {
        return Err(&HOST_EMPTY);
    }
    if host.contains(&b'%') { Err(&HOST_ESCAPE) } else { Ok(()) }
}

/// Checks the target of CONNECT (RFC 9110, section 9.3.6), which has a port that there is.
pub(super) fn of_connect(target: &[u8]) -> Checked<()> {
    of_target(target)?;
    let (_, port) = split(target)?;
    let number = port.and_then(|port| std::str::from_utf8(port).ok()?.parse::<u16>().ok());
    if number.unwrap_or_default() == 0 { Err(&CONNECT_TARGET) } else { Ok(()) }
}

/// `uri-host [ ":" port ]`, where either may be empty (RFC 3986, section 3.2).
fn split(authority: &[u8]) -> Checked<(&[u8], Option<&[u8]>)> {
    let end = match authority.first() {
        Some(b'[') => address(authority)?,
        _ => name(authority)?,
    };
    let (host, rest) = authority.split_at(end);
    match rest.split_first() {
        None => Ok((host, None)),
        Some((b':', port)) if port.iter().all(u8::is_ascii_digit) => Ok((host, Some(port))),
        Some(_) if authority.contains(&b'@') => Err(&USERINFO),
        Some((b':', _)) => Err(&PORT),
        Some(_) => Err(&HOST_SYNTAX),
    }
}

/// The end of an address in brackets. The form for addresses of later versions has never been used,
/// and one that is unknown has to be refused (RFC 3986, section 3.2.2).
fn address(authority: &[u8]) -> Checked<usize> {
    let end = authority.iter().position(|&byte| byte == b']').ok_or(&HOST_SYNTAX)?;
    let address = std::str::from_utf8(&authority[1..end]).map_err(|_| &HOST_SYNTAX)?;
    address.parse::<Ipv6Addr>().map_err(|_| &HOST_SYNTAX)?;
    Ok(end + 1)
}

/// The end of a registered name or an IPv4 address.
fn name(authority: &[u8]) -> Checked<usize> {
    let mut at = 0;
    loop {
        at = byte::span(authority, at, NAME);
        match authority.get(at..) {
            Some([b'%', high, low, ..]) if high.is_ascii_hexdigit() && low.is_ascii_hexdigit() => {
                at += 3;
            }
            _ => return Ok(at),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_addresses_and_ports_are_legal() {
        for host in
            ["a", "shop.test", "shop.test:", "shop.test:80", "10.0.0.1:8000", "a_b~c!$&'()*+,;=-"]
        {
            assert_eq!(of_host(host.as_bytes()), Ok(()), "{host}");
            assert_eq!(of_target(host.as_bytes()), Ok(()), "{host}");
        }
        for host in ["[::1]", "[::1]:80", "[2001:db8::7]:", "[::ffff:1.2.3.4]:1"] {
            assert_eq!(of_host(host.as_bytes()), Ok(()), "{host}");
            assert_eq!(of_target(host.as_bytes()), Ok(()), "{host}");
        }
    }

    #[test]
    fn a_host_field_may_be_empty_and_a_target_must_not() {
        assert_eq!(of_host(b""), Ok(()));
        assert_eq!(of_host(b":80"), Err(&HOST_EMPTY));
        assert_eq!(of_target(b""), Err(&HOST_EMPTY));
        assert_eq!(of_target(b":80"), Err(&HOST_EMPTY));
    }

    #[test]
    fn a_host_field_may_have_escapes_and_a_target_must_not() {
        for host in [&b"caf%C3%A9.test:1"[..], b"a%20b%41", b"abcd%7e:"] {
            assert_eq!(of_host(host), Ok(()));
        }
        assert_eq!(of_target(b"caf%C3%A9.test"), Err(&HOST_ESCAPE));
        for broken in [&b"a%"[..], b"a%4", b"a%zz", b"a%4z", b"a%z4", b"ab%20 c", b"%"] {
            assert_eq!(of_host(broken), Err(&HOST_SYNTAX));
        }
    }

    #[test]
    fn what_is_no_host_is_refused() {
        for host in [
            "a b", "a,b c", "a/b", "a?b", "a#b", "a\\b", "a\"b", "[::1", "[::1]x", "[::1]]", "[]",
            "[:]",
        ] {
            assert_eq!(of_host(host.as_bytes()), Err(&HOST_SYNTAX), "{host}");
        }
        for host in ["::1", "[1.2.3.4]", "[fe80::1%eth0]", "[v1.x]", "a]", "a[b]", "caf\u{e9}"] {
            assert!(of_host(host.as_bytes()).is_err(), "{host}");
        }
    }

    #[test]
    fn a_port_is_a_number() {
        for host in ["a:b", "a:1b", "a:-1", "a:+1", "a:1:2", "a: 1", "[::1]:x"] {
            assert_eq!(of_host(host.as_bytes()), Err(&PORT), "{host}");
        }
    }

    #[test]
    fn a_user_in_a_host_is_refused() {
        for host in ["u@a", "u:p@a", "u:1@a:80", "@a", "a@", "[::1]@a"] {
            assert_eq!(of_host(host.as_bytes()), Err(&USERINFO), "{host}");
            assert_eq!(of_target(host.as_bytes()), Err(&USERINFO), "{host}");
        }
    }

    #[test]
    fn connect_needs_a_port_that_there_is() {
        for target in ["a:1", "a:65535", "[::1]:443"] {
            assert_eq!(of_connect(target.as_bytes()), Ok(()), "{target}");
        }
        for target in ["a", "a:", "a:0", "a:65536", "[::1]"] {
            assert_eq!(of_connect(target.as_bytes()), Err(&CONNECT_TARGET), "{target}");
        }
    }
}
