//! Dates in header fields (RFC 9110, section 5.6.7).

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use http::HeaderValue;

/// The first second of the year 10000, which no HTTP date can name.
const END: Duration = Duration::from_secs(253_402_300_800);

/// `time` as an IMF-fixdate; `None` if it is before 1970 or after 9999, which a file's can be.
pub fn format(time: SystemTime) -> Option<HeaderValue> {
    let since = time.duration_since(UNIX_EPOCH).ok()?;
    if since >= END {
        return None;
    }
    HeaderValue::try_from(httpdate::fmt_http_date(time)).ok()
}

/// The time that `value` names, in any of the three forms; `None` if it is no date.
pub fn parse(value: &HeaderValue) -> Option<SystemTime> {
    httpdate::parse_http_date(value.to_str().ok()?.trim()).ok()
}

/// `time` without the part of a second that a date has no room for; `None` before 1970.
pub fn whole_second(time: SystemTime) -> Option<SystemTime> {
    let since = time.duration_since(UNIX_EPOCH).ok()?;
    UNIX_EPOCH.checked_add(Duration::from_secs(since.as_secs()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn the_three_forms_name_the_same_second() {
        let forms = [
            "Sun, 06 Nov 1994 08:49:37 GMT",
            "Sunday, 06-Nov-94 08:49:37 GMT",
            "Sun Nov  6 08:49:37 1994",
        ];
        for form in forms {
            let time = parse(&HeaderValue::from_static(form)).unwrap();
            assert_eq!(format(time).unwrap(), forms[0], "{form}");
        }
    }

    #[test]
    fn what_is_no_date_is_none() {
        for text in ["", "yesterday", "Sun, 06 Nov 1994 08:49:37 CET", "0"] {
            assert_eq!(parse(&HeaderValue::from_static(text)), None, "{text}");
        }
        assert_eq!(parse(&HeaderValue::from_bytes(b"\xff").unwrap()), None);
    }

    #[test]
    fn times_beyond_the_calendar_have_no_date() {
        assert_eq!(format(UNIX_EPOCH + END), None);
        assert_eq!(format(UNIX_EPOCH - Duration::from_secs(1)), None);
        assert!(format(UNIX_EPOCH + END - Duration::from_secs(1)).is_some());
    }

    proptest! {
        #[test]
        fn a_date_that_is_sent_comes_back(seconds in 0..253_402_300_800_u64, nanos in 0..1_000_000_000_u32) {
            let time = UNIX_EPOCH + Duration::new(seconds, nanos);
            let back = parse(&format(time).unwrap()).unwrap();
            prop_assert_eq!(Some(back), whole_second(time));
        }

        #[test]
        fn no_value_panics(bytes: Vec<u8>) {
            if let Ok(value) = HeaderValue::from_bytes(&bytes) {
                let _ = parse(&value);
            }
        }
    }
}
