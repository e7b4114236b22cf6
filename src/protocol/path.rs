//! The path of a request target (RFC 9112, section 3.2; RFC 3986, section 2.1).

use std::borrow::Cow;

/// Decodes `%XX`. A `%` that is not followed by two hex digits stays as it is, as in every server.
pub fn percent_decode(path: &[u8]) -> Cow<'_, [u8]> {
    let Some(first) = path.iter().position(|&byte| byte == b'%') else {
        return Cow::Borrowed(path);
    };
    let mut out = Vec::with_capacity(path.len());
    out.extend_from_slice(&path[..first]);
    let mut rest = &path[first..];
    while let Some((&byte, tail)) = rest.split_first() {
        let decoded = match (byte, tail) {
            (b'%', [high, low, ..]) => hex(*high).zip(hex(*low)).map(|(h, l)| h << 4 | l),
            _ => None,
        };
        out.push(decoded.unwrap_or(byte));
        rest = if decoded.is_some() { &tail[2..] } else { tail };
    }
    Cow::Owned(out)
}

fn hex(digit: u8) -> Option<u8> {
    char::from(digit).to_digit(16).and_then(|value| u8::try_from(value).ok())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn escapes_become_bytes_and_broken_ones_stay() {
        assert_eq!(&*percent_decode(b"/caf%C3%a9"), "/café".as_bytes());
        assert_eq!(&*percent_decode(b"/100%"), b"/100%");
        assert_eq!(&*percent_decode(b"/%4"), b"/%4");
        assert_eq!(&*percent_decode(b"/%zz%41"), b"/%zzA");
        assert_eq!(&*percent_decode(b"/a+b"), b"/a+b");
        assert!(matches!(percent_decode(b"/plain"), Cow::Borrowed(_)));
    }

    proptest::proptest! {
        #[test]
        fn what_is_encoded_comes_back(bytes: Vec<u8>) {
            let encoded: String = bytes.iter().map(|byte| format!("%{byte:02X}")).collect();
            proptest::prop_assert_eq!(&*percent_decode(encoded.as_bytes()), &bytes[..]);
        }
    }
}
