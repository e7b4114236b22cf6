//! The uwsgi protocol: the head of a request is one packet of CGI variables.
//!
//! ```text
//! modifier1 u8, size u16, modifier2 u8, then `size` bytes: (length u16, name, length u16, value)…
//! ```
//!
//! Numbers are little-endian. The body follows, CONTENT_LENGTH bytes; the answer is HTTP/1, and its
//! end is that of the connection. `modifier2` chooses among a plugin's engines; WSGI has but one.

mod error;
mod vars;

pub use error::UwsgiError;
pub use vars::{Vars, is_for_applications};

/// `modifier1` of a request for a WSGI application.
pub const WSGI: u8 = 0;

/// `modifier1` of the same, when the server has to take SCRIPT_NAME off the front of PATH_INFO.
pub const WSGI_MOUNTED: u8 = 30;

/// Bytes before the variables.
const HEADER: usize = 4;

/// What a packet may be at most.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// Bytes of its variables; the protocol itself ends at 65535.
    pub packet: usize,
    /// Number of its variables.
    pub variables: usize,
}

/// What the bytes of a connection are so far.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Parsed {
    /// The beginning of a packet.
    More,
    /// A packet, and perhaps what follows it.
    Packet(Packet),
}

/// A complete packet.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Packet {
    /// [`WSGI`] or [`WSGI_MOUNTED`].
    pub modifier1: u8,
    /// Bytes of the whole packet; the body begins behind them.
    pub length: usize,
}

impl Packet {
    /// Where the variables are: what [`Vars::new`] takes.
    pub fn variables(&self) -> std::ops::Range<usize> {
        HEADER..self.length
    }
}

/// Finds the packet at the front of `bytes`, which are all that came so far.
///
/// # Errors
/// What is wrong with the first four bytes. It does not depend on how many follow.
pub fn parse(bytes: &[u8], limits: Limits) -> Result<Parsed, UwsgiError> {
    let Some(header) = bytes.first_chunk::<HEADER>() else { return Ok(Parsed::More) };
    let &[modifier1, low, high, _] = header;
    if is_http(header) {
        return Err(UwsgiError::Http);
    }
    if is_tls(header) {
        return Err(UwsgiError::Tls);
    }
    if !matches!(modifier1, WSGI | WSGI_MOUNTED) {
        return Err(UwsgiError::Modifier(modifier1));
    }
    let size = usize::from(u16::from_le_bytes([low, high]));
    check_size(size, limits.packet)?;
    let length = HEADER + size;
    if bytes.len() < length {
        return Ok(Parsed::More);
    }
    Ok(Parsed::Packet(Packet { modifier1, length }))
}

fn check_size(size: usize, limit: usize) -> Result<(), UwsgiError> {
    match size {
        0 => Err(UwsgiError::EmptyPacket),
        size if size > limit => Err(UwsgiError::TooLarge { size, limit }),
        _ => Ok(()),
    }
}

/// A method and a blank, or the first four letters of a longer method: methods are written in
/// capitals, and no modifier that is served is a letter.
fn is_http(&[first, second, third, fourth]: &[u8; HEADER]) -> bool {
    let letter = |byte: u8| byte.is_ascii_uppercase() || byte == b'-';
    [first, second, third].into_iter().all(letter) && (letter(fourth) || fourth == b' ')
}

/// A record of type handshake (22) and version 3.x (RFC 8446, section 5.1).
fn is_tls(&[kind, major, minor, _]: &[u8; HEADER]) -> bool {
    kind == 22 && major == 3 && minor <= 4
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const LIMITS: Limits = Limits { packet: 4096, variables: 128 };

    fn packet(modifier1: u8, size: usize) -> Vec<u8> {
        let [low, high] = u16::try_from(size).unwrap().to_le_bytes();
        let mut packet = vec![modifier1, low, high, 0];
        packet.resize(HEADER + size, 0);
        packet
    }

    #[test]
    fn a_packet_ends_where_its_size_says_whatever_follows() {
        let mut bytes = packet(WSGI_MOUNTED, 9);
        bytes.extend(b"body");
        let Ok(Parsed::Packet(found)) = parse(&bytes, LIMITS) else { panic!("no packet") };
        assert_eq!(found, Packet { modifier1: 30, length: 13 });
        assert_eq!(found.variables(), 4..13);
    }

    #[test]
    fn the_limit_itself_is_allowed_and_one_byte_more_is_not() {
        assert!(parse(&packet(0, 4096), LIMITS).is_ok());
        let error = parse(&packet(0, 4097)[..4], LIMITS).unwrap_err();
        assert_eq!(error, UwsgiError::TooLarge { size: 4097, limit: 4096 });
        assert_eq!(
            error.to_string(),
            "the uwsgi packet has 4097 bytes, larger than `buffer-size` (4096)"
        );
    }

    #[test]
    fn clients_of_other_protocols_are_recognised_by_four_bytes() {
        for text in ["GET ", "HEAD", "POST", "PUT ", "DELE", "OPTI", "PRI ", "ACL ", "M-SE"] {
            assert_eq!(parse(text.as_bytes(), LIMITS), Err(UwsgiError::Http), "{text}");
        }
        let hello = [22, 3, 1, 2];
        assert_eq!(parse(&hello, LIMITS), Err(UwsgiError::Tls));
        assert!(UwsgiError::Http.is_foreign() && UwsgiError::Tls.is_foreign());
        assert!(!UwsgiError::EmptyPacket.is_foreign());
    }

    #[test]
    fn nothing_but_wsgi_is_served() {
        for modifier in [1, 5, 17, 22, 72, 100, 110, 111, 173, 255] {
            let refused = Err(UwsgiError::Modifier(modifier));
            assert_eq!(parse(&packet(modifier, 9), LIMITS), refused);
        }
        assert_eq!(parse(&packet(0, 0), LIMITS), Err(UwsgiError::EmptyPacket));
    }

    proptest! {
        #[test]
        fn every_prefix_of_a_packet_asks_for_more(
            modifier in prop_oneof![Just(WSGI), Just(WSGI_MOUNTED)],
            size in 1_usize..=4096,
            cut: prop::sample::Index,
        ) {
            let bytes = packet(modifier, size);
            let cut = cut.index(bytes.len());
            prop_assert_eq!(parse(&bytes[..cut], LIMITS), Ok(Parsed::More));
            let whole = Parsed::Packet(Packet { modifier1: modifier, length: bytes.len() });
            prop_assert_eq!(parse(&bytes, LIMITS), Ok(whole));
        }

        #[test]
        fn what_was_said_of_a_prefix_stays_true(bytes: Vec<u8>, cut: prop::sample::Index) {
            let early = parse(&bytes[..cut.index(bytes.len() + 1)], LIMITS);
            prop_assert!(early == Ok(Parsed::More) || early == parse(&bytes, LIMITS));
        }
    }
}
