//! The status of an application's response: `"404 Not Found"`.

use http::StatusCode;

/// Splits a status string into code and reason (PEP 3333: "a status string of the form
/// `999 Message here`").
///
/// # Errors
/// `Err` says which rule the string breaks.
pub fn parse(status: &[u8]) -> Result<(StatusCode, &[u8]), &'static str> {
    let (code, reason) = match status {
        [a, b, c] => ([*a, *b, *c], &[][..]),
        [a, b, c, b' ', reason @ ..] => ([*a, *b, *c], reason),
        _ => return Err("it is not three digits, a space and a reason"),
    };
    let code = StatusCode::from_bytes(&code).map_err(|_| "its code is not 100 to 999")?;
    if code.is_informational() {
        return Err("an application cannot send an informational (1xx) response");
    }
    if reason.iter().any(u8::is_ascii_control) {
        return Err("its reason contains control characters");
    }
    Ok((code, reason))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn codes_and_reasons_are_taken_apart() {
        assert_eq!(parse(b"200 OK"), Ok((StatusCode::OK, &b"OK"[..])));
        assert_eq!(parse(b"204"), Ok((StatusCode::NO_CONTENT, &b""[..])));
        assert_eq!(parse(b"299 Fine, thanks").unwrap().1, b"Fine, thanks");
    }

    #[test]
    fn what_is_no_status_is_refused() {
        for bad in
            [&b"OK"[..], b"20 OK", b"2000 OK", b"abc OK", b"200 a\r\nb", b"100 Continue", b""]
        {
            assert!(parse(bad).is_err(), "{bad:?}");
        }
    }
}
