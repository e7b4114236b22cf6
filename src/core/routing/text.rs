//! Texts of requests: numbers, lists of `name=value`, credentials.

/// Whether `part` is somewhere in `text`.
pub(super) fn contains(text: &[u8], part: &[u8]) -> bool {
    part.is_empty() || text.windows(part.len()).any(|window| window == part)
}

/// The number that a text begins with; 0 when it begins with none.
pub(super) fn number(text: &[u8]) -> u64 {
    let digits = text.iter().take_while(|byte| byte.is_ascii_digit());
    digits.fold(0_u64, |sum, digit| sum.saturating_mul(10).saturating_add(u64::from(digit - b'0')))
}

/// The value of `name` in a list of `name=value`; empty when it is not there.
pub(super) fn named<'a>(list: &'a [u8], separator: u8, name: &[u8]) -> &'a [u8] {
    let mut pairs = list.split(|&byte| byte == separator).map(<[u8]>::trim_ascii);
    let value = pairs.find_map(|pair| pair.strip_prefix(name)?.strip_prefix(b"="));
    value.unwrap_or_default()
}

/// `USER:PASSWORD` of a field Authorization (RFC 7617).
pub(super) fn credentials(said: &[u8]) -> Option<Vec<u8>> {
    let (scheme, rest) = said.split_at_checked("basic ".len())?;
    if scheme.eq_ignore_ascii_case(b"basic ") { base64(rest.trim_ascii()) } else { None }
}

/// Whether two secrets are the same. Takes as long for others of the same length.
pub(super) fn equal(one: &[u8], other: &[u8]) -> bool {
    let differ = one.iter().zip(other).fold(0, |all, (one, other)| all | (one ^ other));
    one.len() == other.len() && differ == 0
}

/// Decodes base64 (RFC 4648, section 4), with or without its padding.
fn base64(text: &[u8]) -> Option<Vec<u8>> {
    let end = text.iter().rposition(|&byte| byte != b'=').map_or(0, |last| last + 1);
    let (mut bits, mut count, mut bytes) = (0_u32, 0, Vec::with_capacity(text.len()));
    for &byte in text.get(..end)? {
        let digit = match byte {
            b'A'..=b'Z' => byte - b'A',
            b'a'..=b'z' => byte - b'a' + 26,
            b'0'..=b'9' => byte - b'0' + 52,
            b'+' => 62,
            b'/' => 63,
            _ => return None,
        };
        bits = (bits << 6 | u32::from(digit)) & 0xffff;
        count += 6;
        if count >= 8 {
            count -= 8;
            bytes.push((bits >> count & 0xff) as u8);
        }
    }
    Some(bytes)
}

/// Encodes base64, with its padding.
pub(super) fn to_base64(bytes: &[u8]) -> Vec<u8> {
    const DIGITS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let mut text = Vec::with_capacity(bytes.len().div_ceil(3) * 4);
    for chunk in bytes.chunks(3) {
        let bits = (0..3).fold(0_usize, |bits, index| {
            bits << 8 | usize::from(chunk.get(index).copied().unwrap_or_default())
        });
        for index in 0..4 {
            let digit = DIGITS.get(bits >> (18 - 6 * index) & 63).filter(|_| index <= chunk.len());
            text.push(digit.copied().unwrap_or(b'='));
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn base64_is_that_of_rfc_4648() {
        let vectors: [(&str, &str); 7] = [
            ("", ""),
            ("Zg==", "f"),
            ("Zm8=", "fo"),
            ("Zm9v", "foo"),
            ("Zm9vYg==", "foob"),
            ("Zm9vYmE=", "fooba"),
            ("Zm9vYmFy", "foobar"),
        ];
        for (text, plain) in vectors {
            assert_eq!(base64(text.as_bytes()).as_deref(), Some(plain.as_bytes()));
            assert_eq!(to_base64(plain.as_bytes()), text.as_bytes());
        }
        assert_eq!(base64(b"Zm9v Yg"), None);
    }

    #[test]
    fn only_the_whole_credentials_are_right() {
        let right =
            |said: &str| credentials(said.as_bytes()).is_some_and(|said| equal(&said, b"u:pw"));
        assert!(right("Basic dTpwdw==") && right("basic  dTpwdw"));
        for wrong in ["", "Basic", "Basic ", "Basic dTpw", "Basic dTpwdzE=", "Bearer dTpwdw=="] {
            assert!(!right(wrong), "{wrong}");
        }
    }

    #[test]
    fn values_are_found_by_their_whole_name() {
        assert_eq!(named(b"ab=1; a=2;a=3", b';', b"a"), b"2");
        assert_eq!(named(b"ab=1&b", b'&', b"b"), b"");
        assert_eq!((number(b"12x"), number(b"x"), number(b"")), (12, 0, 0));
    }
}
