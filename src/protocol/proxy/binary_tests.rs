//! Headers as load balancers send them, and as nobody should.

use super::super::parse;
use super::*;
use proptest::prelude::*;

const INET: &[u8] = &[192, 0, 2, 1, 198, 51, 100, 2, 0x12, 0x34, 0x1f, 0x40];

fn header(command: u8, family: u8, parts: &[&[u8]]) -> Vec<u8> {
    let block = parts.concat();
    let size = u16::try_from(block.len()).unwrap().to_be_bytes();
    [SIGNATURE, &[command, family], &size, &block].concat()
}

fn tlv(kind: u8, value: &[u8]) -> Vec<u8> {
    let [high, low] = u16::try_from(value.len()).unwrap().to_be_bytes();
    [&[kind, high, low], value].concat()
}

/// A header of IPv4 addresses whose checksum is right, with `more` around it.
fn signed(before: &[u8], after: &[u8]) -> Vec<u8> {
    let mut bytes = header(0x21, 0x11, &[INET, before, &tlv(CHECKSUM, &[0; 4]), after]);
    let sum = crc32c(bytes.iter().copied()).to_be_bytes();
    let at = FIXED + INET.len() + before.len() + 3;
    bytes[at..at + 4].copy_from_slice(&sum);
    bytes
}

fn ends(client: &str, server: &str) -> Option<Endpoints> {
    Some(Endpoints { client: client.parse().unwrap(), server: server.parse().unwrap() })
}

fn source(bytes: &[u8]) -> Option<Endpoints> {
    match parse(bytes).unwrap() {
        Parsed::Header { length, source, .. } if length == bytes.len() => source,
        other => panic!("{other:?}"),
    }
}

fn tls(bytes: &[u8]) -> Result<bool, ProxyError> {
    match parse(bytes)? {
        Parsed::Header { tls, .. } => Ok(tls),
        Parsed::More => panic!("incomplete"),
    }
}

#[test]
fn addresses_of_both_families_are_read_whatever_the_transport() {
    for family in [0x11, 0x12] {
        let expected = ends("192.0.2.1:4660", "198.51.100.2:8000");
        assert_eq!(source(&header(0x21, family, &[INET])), expected);
    }
    let (mut client, mut server) = ([0; 16], [0; 16]);
    (client[0], client[15], server[15]) = (0x20, 1, 1);
    let six = header(0x21, 0x21, &[&client, &server, &[0, 80, 0, 81]]);
    assert_eq!(source(&six), ends("[2000::1]:80", "[::1]:81"));
    (client[0], client[10], client[11]) = (0, 255, 255);
    let mapped = header(0x21, 0x22, &[&client, &server, &[0, 80, 0, 81]]);
    assert_eq!(source(&mapped), ends("0.0.0.1:80", "[::1]:81"));
}

#[test]
fn a_proxy_that_cannot_or_will_not_say_leaves_the_sockets_own_addresses() {
    assert_eq!(source(&header(0x20, 0x00, &[])), None);
    assert_eq!(source(&header(0x21, 0x00, &[b"\xffanything"])), None);
    assert_eq!(source(&header(0x21, 0x31, &[&[b'/'; 216]])), None);
    // LOCAL: the block is discarded, its family too.
    assert_eq!(source(&header(0x20, 0xff, &[INET])), None);
    assert_eq!(source(&header(0x20, 0x11, &[b"short"])), None);
}

#[test]
fn unknown_versions_commands_and_families_are_refused() {
    assert_eq!(parse(&header(0x11, 0x11, &[INET])), Err(ProxyError::Version(1)));
    assert_eq!(parse(&header(0x22, 0x11, &[INET])), Err(ProxyError::Command(2)));
    for family in [0x01, 0x10, 0x13, 0x20, 0x33, 0x41] {
        assert_eq!(parse(&header(0x21, family, &[INET])), Err(ProxyError::Family(family)));
    }
}

#[test]
fn lengths_are_bounded_below_and_above() {
    let short = Err(ProxyError::Short { size: 11, needed: 12 });
    assert_eq!(parse(&header(0x21, 0x11, &[&INET[..11]])), short);
    let padding = tlv(4, &vec![0; LIMIT - INET.len() - 3]);
    assert!(source(&header(0x21, 0x11, &[INET, &padding])).is_some());
    let long = header(0x21, 0x11, &[INET, &padding, b"x"]);
    assert_eq!(parse(&long[..FIXED]), Err(ProxyError::TooLong { limit: 2064 }));
}

#[test]
fn extensions_must_fill_the_header_exactly() {
    for rest in [&b"\x04"[..], b"\x04\0", b"\x04\0\x01", b"\x04\xff\xff123"] {
        assert_eq!(parse(&header(0x21, 0x11, &[INET, rest])), Err(ProxyError::Extension));
    }
    let good = header(0x21, 0x11, &[INET, &tlv(4, b""), &tlv(2, b"example.org")]);
    assert_eq!(tls(&good), Ok(false));
}

#[test]
fn tls_is_told_by_its_extension_alone() {
    let told = |value: &[u8]| tls(&header(0x21, 0x11, &[INET, &tlv(TLS, value)]));
    assert_eq!(told(&[1, 0, 0, 0, 0]), Ok(true));
    assert_eq!(told(&[6, 0, 0, 0, 0]), Ok(false));
    assert_eq!(told(&[&[7, 0, 0, 0, 0][..], &tlv(0x21, b"TLSv1.3")].concat()), Ok(true));
    assert_eq!(told(&[1, 0, 0, 0]), Err(ProxyError::Extension));
    assert_eq!(told(&[1, 0, 0, 0, 0, 0x21, 0, 9]), Err(ProxyError::Extension));
}

#[test]
fn a_checksum_is_verified() {
    assert_eq!(crc32c(b"123456789".iter().copied()), 0xe306_9283);
    let good = signed(&tlv(4, b"pad"), &tlv(1, b"h2"));
    assert_eq!(tls(&good), Ok(false));
    let mut other_client = good.clone();
    other_client[FIXED] ^= 1;
    assert_eq!(parse(&other_client), Err(ProxyError::Checksum));
    let three = header(0x21, 0x11, &[INET, &tlv(CHECKSUM, &[0; 3])]);
    assert_eq!(parse(&three), Err(ProxyError::Extension));
}

#[test]
fn two_checksums_are_refused() {
    let twice = signed(b"", &tlv(CHECKSUM, &[0; 4]));
    assert_eq!(parse(&twice), Err(ProxyError::Extension));
}

#[test]
fn a_wrong_signature_is_known_by_its_first_wrong_byte() {
    for length in 1..SIGNATURE.len() {
        let mut bytes = SIGNATURE[..=length].to_vec();
        assert_eq!(parse(&bytes[..length]), Ok(Parsed::More));
        bytes[length] ^= 0x80;
        assert_eq!(parse(&bytes), Err(ProxyError::Missing), "{length}");
    }
}

proptest! {
    #[test]
    fn every_prefix_of_a_header_asks_for_more_and_any_changed_byte_is_noticed(
        extensions in prop::collection::vec((4_u8..0x20, prop::collection::vec(any::<u8>(), 0..40)), 0..5),
        at: prop::sample::Index,
        bit in 0_u32..8,
    ) {
        let before: Vec<u8> = extensions.iter().flat_map(|(kind, value)| tlv(*kind, value)).collect();
        let bytes = signed(&before, &tlv(TLS, &[1, 0, 0, 0, 0]));
        prop_assert_eq!(tls(&bytes), Ok(true));
        prop_assert_eq!(source(&bytes), ends("192.0.2.1:4660", "198.51.100.2:8000"));
        let at = at.index(bytes.len());
        prop_assert_eq!(parse(&bytes[..at]), Ok(Parsed::More));
        let mut changed = bytes.clone();
        changed[at] ^= 1 << bit;
        let addresses = FIXED..FIXED + INET.len();
        if at < FIXED {
            prop_assert!(parse(&changed) != parse(&bytes));
        } else if addresses.contains(&at) || at >= bytes.len() - 8 {
            prop_assert_eq!(parse(&changed), Err(ProxyError::Checksum));
        }
    }

    #[test]
    fn what_was_said_of_a_prefix_stays_true(
        command in prop_oneof![Just(0x21), any::<u8>()],
        family in prop_oneof![Just(0x11), Just(0x21), any::<u8>()],
        size in 0_u16..80,
        rest in prop::collection::vec(0_u8..6, 0..90),
        cut: prop::sample::Index,
    ) {
        let bytes = [SIGNATURE, &[command, family], &size.to_be_bytes(), &rest].concat();
        let early = parse(&bytes[..cut.index(bytes.len() + 1)]);
        prop_assert!(early == Ok(Parsed::More) || early == parse(&bytes));
    }

    #[test]
    fn nothing_panics(bytes: Vec<u8>) {
        let _ = parse(&bytes);
    }
}
