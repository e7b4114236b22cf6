//! Header fields: which of a client's reach the environ, and which of an application's may leave.

use http::header::{HeaderName, HeaderValue};

use crate::word;

/// The environ's key for a client's field; `None` when the field must not reach the application.
///
/// A name with `_` would be taken for the one with `-` (`X_Forwarded_For`), and `Proxy` would
/// become `HTTP_PROXY`, which HTTP clients obey (CVE-2016-5385): both are dropped.
/// `Content-Type` and `Content-Length` have keys without prefix (RFC 3875, section 4.1).
pub fn environ_key(name: &str) -> Option<String> {
    if name.contains('_') || name.eq_ignore_ascii_case("proxy") {
        return None;
    }
    let upper = |byte: char| if byte == '-' { '_' } else { byte.to_ascii_uppercase() };
    if name.eq_ignore_ascii_case("content-type") || name.eq_ignore_ascii_case("content-length") {
        return Some(name.chars().map(upper).collect());
    }
    Some("HTTP_".chars().chain(name.chars().map(upper)).collect())
}

/// The variable in which a web server passes a field on (RFC 3875, section 4.1.18).
pub fn cgi_name(name: &HeaderName) -> Vec<u8> {
    environ_key(name.as_str()).unwrap_or_default().into_bytes()
}

/// The field that such a variable was; `None` when it is none.
pub fn http_name(variable: &[u8]) -> Option<HeaderName> {
    let name: Vec<u8> = letters_of(variable)?.collect();
    HeaderName::from_bytes(&name).ok()
}

/// Whether such a variable was this field.
pub fn is_of(variable: &[u8], field: &HeaderName) -> bool {
    let letters = letters_of(variable);
    letters.is_some_and(|letters| letters.eq(field.as_str().bytes()))
}

fn letters_of(variable: &[u8]) -> Option<impl Iterator<Item = u8>> {
    let name = match variable {
        b"CONTENT_TYPE" | b"CONTENT_LENGTH" => variable,
        _ => variable.strip_prefix(b"HTTP_")?,
    };
    let letter = |byte: &u8| if *byte == b'_' { b'-' } else { byte.to_ascii_lowercase() };
    Some(name.iter().map(letter))
}

/// Whether a field only proxies set, on behalf of a client (RFC 7239, and what came before it).
pub fn is_forwarding(name: &str) -> bool {
    const PREFIX: &str = "x-forwarded-";
    name.eq_ignore_ascii_case("forwarded")
        || name.get(..PREFIX.len()).is_some_and(|begin| begin.eq_ignore_ascii_case(PREFIX))
}

/// Whether a field belongs to the connection and so to the server: PEP 3333 forbids applications to
/// send it (section "Other HTTP Features"; RFC 2616, section 13.5.1).
pub fn is_hop_by_hop(name: &HeaderName) -> bool {
    matches!(
        name.as_str(),
        "connection"
            | "keep-alive"
            | "proxy-authenticate"
            | "proxy-authorization"
            | "proxy-connection"
            | "te"
            | "trailer"
            | "trailers"
            | "transfer-encoding"
            | "upgrade"
    )
}

/// Why an application's header field cannot be sent.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum BadField {
    /// The name is not a token (RFC 9110, section 5.6.2).
    Name,
    /// The value has a control character (PEP 3333: "must not include any control characters").
    Value,
    /// The field is the server's business.
    HopByHop,
    /// `Content-Length` is not a number.
    Length,
}

impl std::fmt::Display for BadField {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Name => "the name is not an HTTP token (RFC 9110, section 5.6.2)",
            Self::Value => "the value contains control characters (PEP 3333)",
            Self::HopByHop => "hop-by-hop fields belong to the server (PEP 3333)",
            Self::Length => "Content-Length is not a decimal number (RFC 9110, section 8.6)",
        })
    }
}

/// The name of a field of an application's response.
///
/// # Errors
/// What is wrong with it.
pub fn response_name(name: &[u8]) -> Result<HeaderName, BadField> {
    let name = HeaderName::from_bytes(name).map_err(|_| BadField::Name)?;
    if is_hop_by_hop(&name) { Err(BadField::HopByHop) } else { Ok(name) }
}

/// A value of an application's, without the blanks around it; `None` if it has control characters. Of
/// those HTTP allows tabs; PEP 3333 allows none, not even around the value.
pub fn plain_value(value: &[u8]) -> Option<&[u8]> {
    let (words, rest) = value.as_chunks();
    let any = words.iter().fold(0, |any, word| any | word::controls(u64::from_le_bytes(*word)));
    let is_plain = any == 0
        && match value.last_chunk() {
            Some(last) => word::controls(u64::from_le_bytes(*last)) == 0,
            None => !rest.iter().any(u8::is_ascii_control),
        };
    is_plain.then(|| trim(value))
}

/// The value of the field `name` of an application's response.
///
/// # Errors
/// What is wrong with it.
pub fn response_value(name: &HeaderName, value: &[u8]) -> Result<HeaderValue, BadField> {
    let value = plain_value(value).ok_or(BadField::Value)?;
    let value = HeaderValue::from_bytes(value).map_err(|_| BadField::Value)?;
    if *name == http::header::CONTENT_LENGTH && content_length(&value).is_none() {
        return Err(BadField::Length);
    }
    Ok(value)
}

/// The number that a `Content-Length` is: digits only, no sign, no list.
pub fn content_length(value: &HeaderValue) -> Option<u64> {
    number(value.as_bytes())
}

/// The same of bytes.
pub fn number(digits: &[u8]) -> Option<u64> {
    let mut number = 0_u64;
    for byte in digits {
        let digit = byte.is_ascii_digit().then(|| u64::from(byte - b'0'))?;
        number = number.checked_mul(10)?.checked_add(digit)?;
    }
    (!digits.is_empty()).then_some(number)
}

fn trim(value: &[u8]) -> &[u8] {
    value.trim_ascii()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_become_cgi_variables() {
        assert_eq!(environ_key("accept-encoding").as_deref(), Some("HTTP_ACCEPT_ENCODING"));
        assert_eq!(environ_key("content-type").as_deref(), Some("CONTENT_TYPE"));
        assert_eq!(environ_key("content-length").as_deref(), Some("CONTENT_LENGTH"));
    }

    #[test]
    fn spoofing_names_never_reach_the_application() {
        assert_eq!(environ_key("x_forwarded_for"), None);
        assert_eq!(environ_key("proxy"), None);
        assert_eq!(environ_key("proxy-authorization").as_deref(), Some("HTTP_PROXY_AUTHORIZATION"));
    }

    #[test]
    fn fields_are_found_among_cgi_variables() {
        for (field, variable) in
            [("content-type", "CONTENT_TYPE"), ("if-none-match", "HTTP_IF_NONE_MATCH")]
        {
            let name = HeaderName::from_static(field);
            assert_eq!(cgi_name(&name), variable.as_bytes());
            assert!(is_of(variable.as_bytes(), &name));
            assert!(!is_of(b"HTTP_IF_NONE", &name) && !is_of(b"HTTP_IF_NONE_MATCHES", &name));
            assert_eq!(http_name(variable.as_bytes()), Some(name));
        }
        assert!(!is_of(b"REMOTE_ADDR", &HeaderName::from_static("remote-addr")));
        assert_eq!(http_name(b"REMOTE_ADDR"), None);
    }

    fn response_field(name: &[u8], value: &[u8]) -> Result<HeaderValue, BadField> {
        response_value(&response_name(name)?, value)
    }

    #[test]
    fn what_makes_or_breaks_connections_is_the_servers() {
        for name in [
            "Connection",
            "Keep-Alive",
            "Proxy-Authenticate",
            "Proxy-Authorization",
            "Proxy-Connection",
            "TE",
            "Trailer",
            "Trailers",
            "transfer-encoding",
            "UPGRADE",
        ] {
            assert_eq!(response_field(name.as_bytes(), b"x"), Err(BadField::HopByHop), "{name}");
        }
    }

    #[test]
    fn an_application_cannot_split_a_response() {
        assert_eq!(response_field(b"X-A", b"a\r\nSet-Cookie: b"), Err(BadField::Value));
        for value in [&b"a\0"[..], b"a\r\n", b"\na", b"a\tb", b"\ta", b"a\x7f", b"\x1b[2J"] {
            assert_eq!(response_field(b"X-A", value), Err(BadField::Value), "{value:?}");
        }
        for name in [&b"X A"[..], b"X-A:", b"", b"X\r\nY", b"X-\xe9"] {
            assert_eq!(response_field(name, b"a"), Err(BadField::Name), "{name:?}");
        }
        assert_eq!(response_field(b"Content-Length", b"+5"), Err(BadField::Length));
        assert!(response_field(b"X-A", b"caf\xe9").is_ok());
    }
}
