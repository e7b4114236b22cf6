//! Times as text. A thread makes each text once a second and copies it for the rest of it.

use std::cell::RefCell;

use jiff::{Timestamp, tz::TimeZone};

/// What ctime(3) writes.
pub(super) const CTIME: &str = "%a %b %e %H:%M:%S %Y";
/// As in the log of most web servers.
pub(super) const LTIME: &str = "%d/%b/%Y:%H:%M:%S %z";

/// A text that is made anew for another second or another format.
struct Stamp {
    second: i64,
    format: String,
    text: String,
}

thread_local! {
    /// As many as a line can have of them.
    static STAMPS: RefCell<Vec<Stamp>> = const { RefCell::new(Vec::new()) };
}

/// Now, in microseconds of the epoch.
pub(super) fn now() -> i64 {
    Timestamp::now().as_microsecond()
}

/// Appends the local time of `second` since the epoch. A format that cannot be obeyed gives nothing:
/// [`check`] has refused it.
pub(super) fn append(out: &mut Vec<u8>, format: &str, second: i64) {
    STAMPS.with_borrow_mut(|stamps| {
        let index = match stamps.iter().position(|stamp| stamp.format == format) {
            Some(index) => index,
            None => {
                stamps.push(Stamp { second: i64::MIN, format: format.into(), text: String::new() });
                stamps.len() - 1
            }
        };
        let Some(stamp) = stamps.get_mut(index) else { return };
        if stamp.second != second {
            stamp.text = text(format, second).unwrap_or_default();
            stamp.second = second;
        }
        out.extend_from_slice(stamp.text.as_bytes());
    });
}

fn text(format: &str, second: i64) -> Result<String, jiff::Error> {
    let time = Timestamp::from_second(second)?.to_zoned(TimeZone::system());
    jiff::fmt::strtime::format(format, &time)
}

/// Whether this is a format of strftime(3) that can be obeyed.
///
/// # Errors
/// What is wrong with it.
pub fn check(format: &str) -> Result<(), String> {
    text(format, 0).map(drop).map_err(|error| error.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_text_follows_the_second_and_the_format() {
        let mut out = Vec::new();
        for (format, second) in [("%s", 5), ("%s", 6), ("%Y;", 6), ("%s", 6)] {
            append(&mut out, format, second);
        }
        let text = String::from_utf8(out).unwrap();
        assert!(text.starts_with("56") && text.ends_with(";6"), "{text}");
    }

    #[test]
    fn a_bad_format_is_refused() {
        assert!(check("%Y-%m").is_ok() && check(CTIME).is_ok());
        assert!(check("%Q%&").is_err());
    }
}
