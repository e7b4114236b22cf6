//! How a response is framed: who says where it ends (RFC 9112, section 6).

use http::{Method, StatusCode};

/// What is sent after the head.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Framing {
    /// Nothing: the request was HEAD, or the status forbids content.
    Nothing,
    /// This many bytes, neither fewer nor more.
    Length(u64),
    /// Until the application has done: chunked in HTTP/1.1, end of the connection in HTTP/1.0.
    Open,
}

/// Whether a response has no content whatever its fields say (RFC 9110, section 6.4.1).
pub fn has_no_content(method: &Method, status: StatusCode) -> bool {
    method == Method::HEAD || status_forbids_content(status)
}

/// 204 and 304 (and 1xx): not even an empty body, nor its length.
pub fn status_forbids_content(status: StatusCode) -> bool {
    status.is_informational()
        || status == StatusCode::NO_CONTENT
        || status == StatusCode::NOT_MODIFIED
}

/// The framing of a response whose application declared `declared` bytes, and whose whole body is
/// known to be `whole` bytes long, if it is known.
pub fn framing(
    method: &Method,
    status: StatusCode,
    declared: Option<u64>,
    whole: Option<u64>,
) -> Framing {
    if has_no_content(method, status) {
        return Framing::Nothing;
    }
    match declared.or(whole) {
        Some(length) => Framing::Length(length),
        None => Framing::Open,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_declared_length_wins_over_a_counted_one() {
        let get = |declared, whole| framing(&Method::GET, StatusCode::OK, declared, whole);
        assert_eq!(get(Some(5), Some(7)), Framing::Length(5));
        assert_eq!(get(None, Some(7)), Framing::Length(7));
        assert_eq!(get(None, None), Framing::Open);
    }

    #[test]
    fn head_204_and_304_have_no_content() {
        assert_eq!(framing(&Method::HEAD, StatusCode::OK, Some(5), None), Framing::Nothing);
        for status in [StatusCode::NO_CONTENT, StatusCode::NOT_MODIFIED] {
            assert_eq!(framing(&Method::GET, status, None, Some(3)), Framing::Nothing);
        }
    }
}
