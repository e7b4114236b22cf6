//! `Accept-Encoding` (RFC 9110, section 12.5.3): which compressed sibling of a file a client takes.

use http::HeaderMap;
use http::header::ACCEPT_ENCODING;

/// A content coding that files are compressed with beforehand.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Coding {
    /// Brotli (RFC 7932).
    Brotli,
    /// Zstandard (RFC 8878).
    Zstd,
    /// Gzip (RFC 1952).
    Gzip,
}

impl Coding {
    /// All of them, the one that makes the smallest files first.
    pub const ALL: [Self; 3] = [Self::Brotli, Self::Zstd, Self::Gzip];

    /// Its name in `Content-Encoding`.
    pub fn token(self) -> &'static str {
        match self {
            Self::Brotli => "br",
            Self::Zstd => "zstd",
            Self::Gzip => "gzip",
        }
    }

    /// What the names of such files end with.
    pub fn suffix(self) -> &'static str {
        match self {
            Self::Brotli => ".br",
            Self::Zstd => ".zst",
            Self::Gzip => ".gz",
        }
    }
}

/// The codings that a client takes and does not like less than none, the best first. Without the
/// field there are none: such clients are too simple to be surprised.
pub fn accepted(fields: &HeaderMap) -> impl Iterator<Item = Coding> {
    let quality = Quality::read(fields);
    let mut all = Coding::ALL.map(|coding| (coding, quality.of(coding)));
    // Stable: among equals, the order of the constant.
    all.sort_by_key(|(_, quality)| std::cmp::Reverse(*quality));
    let least = quality.identity.unwrap_or(0).max(1);
    all.into_iter().filter(move |(_, quality)| *quality >= least).map(|(coding, _)| coding)
}

/// A quality value (section 12.4.2) in thousandths.
type Weight = u16;

/// How much a client likes what; `None` for what it did not name.
#[derive(Debug, Default)]
struct Quality {
    brotli: Option<Weight>,
    zstd: Option<Weight>,
    gzip: Option<Weight>,
    identity: Option<Weight>,
    rest: Option<Weight>,
}

impl Quality {
    fn read(fields: &HeaderMap) -> Self {
        let mut quality = Self::default();
        for value in fields.get_all(ACCEPT_ENCODING) {
            for member in value.as_bytes().split(|&byte| byte == b',') {
                quality.take(member);
            }
        }
        quality
    }

    /// Notes one member of the list. One with a weight that is wrong does not count.
    fn take(&mut self, member: &[u8]) {
        let mut parts = member.split(|&byte| byte == b';').map(<[u8]>::trim_ascii);
        let name = parts.next().unwrap_or_default().to_ascii_lowercase();
        let slot = match name.as_slice() {
            b"br" => &mut self.brotli,
            b"zstd" => &mut self.zstd,
            // Section 8.4.1.3: the old name is an alias.
            b"gzip" | b"x-gzip" => &mut self.gzip,
            b"identity" => &mut self.identity,
            b"*" => &mut self.rest,
            _ => return,
        };
        match parts.next() {
            None => *slot = Some(1000),
            Some(text) => *slot = weight(text).or(*slot),
        }
    }

    fn of(&self, coding: Coding) -> Weight {
        let named = match coding {
            Coding::Brotli => self.brotli,
            Coding::Zstd => self.zstd,
            Coding::Gzip => self.gzip,
        };
        named.or(self.rest).unwrap_or(0)
    }
}

/// `q=0.5` as 500: at most three digits behind the point, and no more than 1.
fn weight(text: &[u8]) -> Option<Weight> {
    let (name, value) = text.split_at_checked(2)?;
    if !name.eq_ignore_ascii_case(b"q=") {
        return None;
    }
    let (whole, fraction) = match value {
        [whole] | [whole, b'.'] => (whole, &[][..]),
        [whole, b'.', fraction @ ..] => (whole, fraction),
        _ => return None,
    };
    if fraction.len() > 3 || !fraction.iter().all(u8::is_ascii_digit) {
        return None;
    }
    let digits = fraction.iter().chain(b"000").take(3);
    let thousandths = digits.fold(0, |sum, digit| sum * 10 + Weight::from(digit - b'0'));
    match (whole, thousandths) {
        (b'0', _) => Some(thousandths),
        (b'1', 0) => Some(1000),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use Coding::{Brotli, Gzip, Zstd};
    use http::HeaderValue;
    use proptest::prelude::*;

    fn best(lines: &[&str]) -> Vec<Coding> {
        let mut fields = HeaderMap::new();
        for line in lines {
            fields.append(ACCEPT_ENCODING, HeaderValue::from_str(line).unwrap());
        }
        accepted(&fields).collect()
    }

    #[test]
    fn browsers_get_the_smallest_first() {
        assert_eq!(best(&["gzip, deflate, br, zstd"]), [Brotli, Zstd, Gzip]);
        assert_eq!(best(&["gzip, deflate"]), [Gzip]);
        assert_eq!(best(&["GZIP", "Br;Q=1.000"]), [Brotli, Gzip]);
        assert_eq!(best(&["x-gzip"]), [Gzip]);
    }

    #[test]
    fn the_clients_order_is_that_of_its_weights() {
        assert_eq!(best(&["br;q=0.5, gzip ; q=0.8 , zstd;q=0.8"]), [Zstd, Gzip, Brotli]);
        assert_eq!(best(&["br;q=0, gzip;q=0.001"]), [Gzip]);
        assert_eq!(best(&["br;q=0.2, gzip, identity;q=0.5"]), [Gzip]);
        assert_eq!(best(&["br;q=0.5, identity;q=0.5"]), [Brotli]);
    }

    #[test]
    fn a_star_is_all_that_is_not_named() {
        assert_eq!(best(&["*"]), [Brotli, Zstd, Gzip]);
        assert_eq!(best(&["br;q=0, *;q=0.1"]), [Zstd, Gzip]);
        assert_eq!(best(&["gzip, *;q=0"]), [Gzip]);
    }

    #[test]
    fn who_asks_for_nothing_gets_the_plain_file() {
        assert_eq!(best(&[]), []);
        for line in ["", "identity", "deflate", "gzip;q=0", "gzip;q=2", "gzip;q=", "gzip;x=1"] {
            assert_eq!(best(&[line]), [], "{line}");
        }
    }

    #[test]
    fn weights_have_three_decimals_at_most() {
        let cases = [
            ("q=0", Some(0)),
            ("q=0.", Some(0)),
            ("q=0.5", Some(500)),
            ("Q=0.123", Some(123)),
            ("q=1", Some(1000)),
            ("q=1.000", Some(1000)),
            ("q=1.001", None),
            ("q=0.1234", None),
            ("q=.5", None),
            ("q=-1", None),
            ("q =1", None),
        ];
        for (text, expected) in cases {
            assert_eq!(weight(text.as_bytes()), expected, "{text}");
        }
    }

    proptest! {
        #[test]
        fn nothing_is_accepted_that_was_not_named(line in "[ -~]{0,60}") {
            let accepted = best(&[&line]);
            let lower = line.to_ascii_lowercase();
            for coding in accepted {
                prop_assert!(lower.contains(coding.token()) || lower.contains('*'));
            }
        }
    }
}
