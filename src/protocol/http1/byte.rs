//! What a byte may be part of (RFC 9110, section 5.6; RFC 3986, section 3), and how far such bytes go.

use crate::word::{controls, first, outside_of_names};

/// A token (RFC 9110, section 5.6.2).
pub(super) const TOKEN: u8 = 1;
/// A path. Wider than RFC 3986 by what clients send unescaped, and not wider than `http::Uri`.
pub(super) const PATH: u8 = 1 << 1;
/// A query, with the same reservation.
pub(super) const QUERY: u8 = 1 << 2;
/// A registered name, without percent-escapes (RFC 3986, section 3.2.2).
pub(super) const NAME: u8 = 1 << 3;
/// An authority in a target, before its syntax is looked at.
pub(super) const AUTHORITY: u8 = 1 << 4;
/// A field value with its blanks (RFC 9110, section 5.5).
pub(super) const VALUE: u8 = 1 << 5;

static CLASSES: [u8; 256] = classes();

const fn classes() -> [u8; 256] {
    let mut classes = [0; 256];
    let mut byte = 0;
    while byte < 256 {
        classes[byte] = class(byte as u8);
        byte += 1;
    }
    classes
}

const fn class(byte: u8) -> u8 {
    let unreserved = byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.' | b'_' | b'~');
    let token = byte.is_ascii_alphanumeric()
        || matches!(byte, b'!' | b'#' | b'$' | b'%' | b'&' | b'\'' | b'*' | b'+')
        || matches!(byte, b'-' | b'.' | b'^' | b'_' | b'`' | b'|' | b'~');
    let delimiter =
        matches!(byte, b'!' | b'$' | b'&' | b'\'' | b'(' | b')' | b'*' | b'+' | b',' | b';' | b'=');
    let name = unreserved || delimiter;
    let visible = byte.is_ascii_graphic();
    let path = visible && !matches!(byte, b'#' | b'?' | b'<' | b'>' | b'`');
    let query = visible && !matches!(byte, b'#' | b'"' | b'<' | b'>');
    let authority = name || matches!(byte, b':' | b'[' | b']' | b'@' | b'%');
    let value = !byte.is_ascii_control() || byte == b'\t';
    (if token { TOKEN } else { 0 })
        | (if path { PATH } else { 0 })
        | (if query { QUERY } else { 0 })
        | (if name { NAME } else { 0 })
        | (if authority { AUTHORITY } else { 0 })
        | (if value { VALUE } else { 0 })
}

/// Whether the byte may be part of what `class` names.
pub(super) fn is(byte: u8, class: u8) -> bool {
    CLASSES[usize::from(byte)] & class != 0
}

/// The index of the first byte from `start` on that is not of the class.
pub(super) fn span(bytes: &[u8], start: usize, class: u8) -> usize {
    let rest = bytes.get(start..).unwrap_or_default();
    start + rest.iter().position(|&byte| !is(byte, class)).unwrap_or(rest.len())
}

/// The same as `span` with `TOKEN`, eight bytes at a time: names are of letters and hyphens, mostly.
pub(super) fn span_token(bytes: &[u8], start: usize) -> usize {
    let mut at = start;
    while let Some(word) = bytes.get(at..).and_then(<[u8]>::first_chunk) {
        match first(outside_of_names(u64::from_le_bytes(*word))) {
            None => at += 8,
            Some(offset) if is(word[offset], TOKEN) => at += offset + 1,
            Some(offset) => return at + offset,
        }
    }
    span(bytes, at, TOKEN)
}

/// Bytes that are looked at together, without a branch: the compiler takes 16 or more for one.
const BLOCK: usize = 32;

/// The same as `span` with `VALUE`, many bytes at a time: most bytes of a head are looked at here.
pub(super) fn span_value(bytes: &[u8], start: usize) -> usize {
    let mut at = start;
    while let Some(block) = bytes.get(at..).and_then(<[u8]>::first_chunk::<BLOCK>) {
        if block.iter().fold(false, |any, &byte| any | (byte < b' ') | (byte == 0x7f)) {
            break;
        }
        at += BLOCK;
    }
    while let Some(word) = bytes.get(at..).and_then(<[u8]>::first_chunk) {
        match first(controls(u64::from_le_bytes(*word))) {
            None => at += 8,
            Some(offset) if word[offset] == b'\t' => at += offset + 1,
            Some(offset) => return at + offset,
        }
    }
    span(bytes, at, VALUE)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_has_the_characters_of_http_method_and_no_others() {
        for byte in 0..=u8::MAX {
            assert_eq!(is(byte, TOKEN), http::Method::from_bytes(&[byte]).is_ok(), "{byte:#x}");
        }
    }

    #[test]
    fn a_target_has_every_visible_character_that_http_uri_takes_and_no_others() {
        for byte in (0..=u8::MAX).filter(|&byte| byte != b'#' && byte < 0x80) {
            let parses = |before: &[u8]| http::Uri::try_from([before, &[byte]].concat()).is_ok();
            assert_eq!(is(byte, PATH) || byte == b'?', parses(b"/"), "{byte:#x}");
            assert_eq!(is(byte, QUERY), parses(b"/?"), "{byte:#x}");
        }
        for byte in 0x80..=u8::MAX {
            assert!(!is(byte, PATH | QUERY | NAME | AUTHORITY | TOKEN), "{byte:#x}");
        }
    }

    #[test]
    fn a_value_has_the_characters_of_http_header_value_and_no_others() {
        for byte in 0..=u8::MAX {
            let accepted = http::HeaderValue::from_bytes(&[byte]).is_ok();
            assert_eq!(is(byte, VALUE), accepted, "{byte:#x}");
        }
    }

    #[test]
    fn every_byte_at_every_place_stops_a_value_as_it_should() {
        for length in (0..20).chain(BLOCK - 2..BLOCK + 12) {
            for place in 0..length {
                for byte in 0..=u8::MAX {
                    let mut bytes = vec![b'x'; length];
                    bytes[place] = byte;
                    assert_eq!(span_value(&bytes, 0), span(&bytes, 0, VALUE), "{bytes:?}");
                }
            }
        }
    }

    #[test]
    fn every_byte_at_every_place_stops_a_name_as_it_should() {
        for place in 0..12 {
            for byte in 0..=u8::MAX {
                let mut bytes = *b"Accept-zA-Zz";
                bytes[place] = byte;
                assert_eq!(span_token(&bytes, 0), span(&bytes, 0, TOKEN), "{bytes:?}");
            }
        }
    }

    proptest::proptest! {
        #[test]
        fn a_name_ends_where_its_token_does(bytes in "[a-z:\u{0} \r-]{0,40}", start in 0_usize..40) {
            let bytes = bytes.as_bytes();
            let start = start.min(bytes.len());
            proptest::prop_assert_eq!(span_token(bytes, start), span(bytes, start, TOKEN));
        }

        #[test]
        fn eight_at_a_time_find_what_one_at_a_time_find(bytes: Vec<u8>, start in 0_usize..40) {
            let start = start.min(bytes.len());
            proptest::prop_assert_eq!(span_value(&bytes, start), span(&bytes, start, VALUE));
        }
    }
}
