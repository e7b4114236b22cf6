//! Ranges of bytes (RFC 9110, section 14): which parts of a file are sent.

use http::header::RANGE;
use http::{HeaderMap, Method};

use crate::conditional::{Validators, allows_range};

/// Ranges that one request may ask for; who asks for more gets the whole.
pub const MOST: usize = 32;
/// Ranges that are as near as this are sent as one: the head of a part is longer (section 14.2
/// names this number).
const GAP: u64 = 80;

/// A part of a file; never empty.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ByteRange {
    /// Where it begins.
    pub offset: u64,
    /// How long it is.
    pub length: u64,
}

/// What of a file is to be sent.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Selection {
    /// 200: all of it.
    Whole,
    /// 206: one part.
    Part(ByteRange),
    /// 206: two parts or more, which do not overlap, as multipart/byteranges.
    Parts(Vec<ByteRange>),
    /// 416: nothing that was asked for is there.
    Unsatisfiable,
}

/// What a request for a file of `length` bytes asks for. `Range` counts for GET only, and only if
/// `If-Range` holds.
pub fn select(
    method: &Method,
    fields: &HeaderMap,
    validators: &Validators,
    length: u64,
) -> Selection {
    let mut values = fields.get_all(RANGE).iter();
    match (values.next(), values.next()) {
        (Some(value), None) if *method == Method::GET && allows_range(fields, validators) => {
            parse(value.as_bytes(), length)
        }
        _ => Selection::Whole,
    }
}

/// What a value of `Range` selects. One that is wrong, of another unit, or abusive is ignored, as
/// the standard allows: the whole is sent.
pub fn parse(value: &[u8], length: u64) -> Selection {
    let Some(specs) = specs(value) else { return Selection::Whole };
    if length == 0 && specs.iter().any(Spec::is_suffix) {
        // The last bytes of nothing are there, but there is no way to write that in a 206.
        return Selection::Whole;
    }
    let ranges: Vec<_> = specs.into_iter().filter_map(|spec| spec.within(length)).collect();
    let mut ranges = coalesced(ranges);
    match ranges.len() {
        0 => Selection::Unsatisfiable,
        1 => ranges.pop().map_or(Selection::Whole, Selection::Part),
        _ => Selection::Parts(ranges),
    }
}

/// The value of `Content-Range` in a 416.
pub fn unsatisfied(length: u64) -> String {
    format!("bytes */{length}")
}

impl ByteRange {
    /// The offset behind its last byte.
    pub fn end(self) -> u64 {
        self.offset.saturating_add(self.length)
    }

    /// The value of `Content-Range` for this part of `length` bytes.
    pub fn content_range(self, length: u64) -> String {
        format!("bytes {}-{}/{length}", self.offset, self.end().saturating_sub(1))
    }
}

/// A range as it was asked for.
#[derive(Debug, Clone, Copy)]
enum Spec {
    /// `first-last`, `first-`.
    From { first: u64, last: u64 },
    /// `-count`: so many bytes at the end.
    Suffix(u64),
}

/// The ranges of a value; `None` unless all are well-formed and there are neither none nor too many.
fn specs(value: &[u8]) -> Option<Vec<Spec>> {
    let (unit, set) = value.split_at_checked(b"bytes=".len())?;
    if !unit.eq_ignore_ascii_case(b"bytes=") {
        return None;
    }
    let mut specs = Vec::new();
    for text in set.split(|&byte| byte == b',').map(<[u8]>::trim_ascii) {
        // Empty members of a list are to be ignored (section 5.6.1).
        if text.is_empty() {
            continue;
        }
        if specs.len() == MOST {
            return None;
        }
        specs.push(Spec::parse(text)?);
    }
    (!specs.is_empty()).then_some(specs)
}

impl Spec {
    fn parse(text: &[u8]) -> Option<Self> {
        let dash = text.iter().position(|&byte| byte == b'-')?;
        let (first, last) = (&text[..dash], &text[dash + 1..]);
        if first.is_empty() {
            return number(last).map(Self::Suffix);
        }
        let first = number(first)?;
        let last = if last.is_empty() { u64::MAX } else { number(last)? };
        (first <= last).then_some(Self::From { first, last })
    }

    fn is_suffix(&self) -> bool {
        matches!(self, Self::Suffix(1..))
    }

    /// What of it is there.
    fn within(self, length: u64) -> Option<ByteRange> {
        let (offset, end) = match self {
            Self::From { first, last } => (first, last.saturating_add(1).min(length)),
            Self::Suffix(count) => (length.saturating_sub(count), length),
        };
        (offset < end).then(|| ByteRange { offset, length: end - offset })
    }
}

/// A number, however large: beyond 64 bits it is beyond every file.
fn number(digits: &[u8]) -> Option<u64> {
    if digits.is_empty() || !digits.iter().all(u8::is_ascii_digit) {
        return None;
    }
    Some(std::str::from_utf8(digits).ok()?.parse().unwrap_or(u64::MAX))
}

/// The ranges in the order in which they were asked for, or, if some overlap or are as good as
/// adjacent, in ascending order with these made one. So no byte is ever sent twice.
fn coalesced(ranges: Vec<ByteRange>) -> Vec<ByteRange> {
    let mut sorted = ranges.clone();
    sorted.sort_unstable_by_key(|range| range.offset);
    let mut merged: Vec<ByteRange> = Vec::with_capacity(sorted.len());
    for range in sorted {
        match merged.last_mut() {
            Some(last) if range.offset <= last.end().saturating_add(GAP) => {
                last.length = last.end().max(range.end()) - last.offset;
            }
            _ => merged.push(range),
        }
    }
    if merged.len() == ranges.len() { ranges } else { merged }
}

#[cfg(test)]
mod tests {
    use super::*;
    use http::HeaderValue;
    use http::header::IF_RANGE;
    use proptest::prelude::*;

    fn part(offset: u64, length: u64) -> ByteRange {
        ByteRange { offset, length }
    }

    #[test]
    fn one_range_is_one_part() {
        let cases = [
            ("bytes=0-0", part(0, 1)),
            ("bytes=0-499", part(0, 500)),
            ("bytes=500-", part(500, 500)),
            ("bytes=-1", part(999, 1)),
            ("bytes=-2000", part(0, 1000)),
            ("bytes=990-99999999999999999999999", part(990, 10)),
            ("BYTES= ,, 5-6 ,", part(5, 2)),
        ];
        for (value, expected) in cases {
            assert_eq!(parse(value.as_bytes(), 1000), Selection::Part(expected), "{value}");
        }
    }

    #[test]
    fn several_ranges_keep_their_order_unless_they_touch() {
        let parts = |value: &str| parse(value.as_bytes(), 1000);
        assert_eq!(parts("bytes=500-509,0-9"), Selection::Parts(vec![part(500, 10), part(0, 10)]));
        assert_eq!(parts("bytes=0-9,20-29"), Selection::Part(part(0, 30)));
        let merged = Selection::Parts(vec![part(0, 10), part(500, 20)]);
        assert_eq!(parts("bytes=510-519,500-515,0-9"), merged);
        assert_eq!(parts("bytes=0-,0-,0-,-5"), Selection::Part(part(0, 1000)));
        assert_eq!(parts("bytes=0-9,2000-"), Selection::Part(part(0, 10)));
    }

    #[test]
    fn what_is_not_there_is_unsatisfiable() {
        for value in ["bytes=1000-", "bytes=1000-1001,5000-", "bytes=-0"] {
            assert_eq!(parse(value.as_bytes(), 1000), Selection::Unsatisfiable, "{value}");
        }
        assert_eq!(parse(b"bytes=0-", 0), Selection::Unsatisfiable);
        assert_eq!(parse(b"bytes=-5", 0), Selection::Whole);
    }

    #[test]
    fn what_is_wrong_or_too_much_is_ignored() {
        let values = [
            "",
            "bytes",
            "bytes=",
            "bytes=,",
            "bytes=-",
            "bytes=5-4",
            "bytes=a-b",
            "bytes=0-1,x",
            "bytes 0-1",
            "items=0-1",
            "bytes=+1-2",
            "bytes=0x1-2",
            "bytes=1-2-3",
            "bytes=1 - 2",
            "bytes=--1",
            "bytes= =1-2",
        ];
        for value in values {
            assert_eq!(parse(value.as_bytes(), 1000), Selection::Whole, "{value}");
        }
        let many = |count: u64| {
            let all: Vec<_> = (0..count).map(|n| format!("{}-{}", n * 200, n * 200 + 1)).collect();
            parse(format!("bytes={}", all.join(",")).as_bytes(), 1 << 20)
        };
        assert!(matches!(many(32), Selection::Parts(parts) if parts.len() == MOST));
        assert_eq!(many(33), Selection::Whole);
    }

    #[test]
    fn a_range_counts_for_get_only_once_and_if_nothing_changed() {
        let validators =
            Validators { etag: Some(HeaderValue::from_static("\"x\"")), last_modified: None };
        let mut fields = HeaderMap::new();
        fields.insert(RANGE, HeaderValue::from_static("bytes=0-4"));
        let select = |method: &Method, fields: &HeaderMap| select(method, fields, &validators, 10);
        assert_eq!(select(&Method::GET, &fields), Selection::Part(part(0, 5)));
        assert_eq!(select(&Method::HEAD, &fields), Selection::Whole);
        fields.insert(IF_RANGE, HeaderValue::from_static("\"x\""));
        assert_eq!(select(&Method::GET, &fields), Selection::Part(part(0, 5)));
        fields.insert(IF_RANGE, HeaderValue::from_static("\"y\""));
        assert_eq!(select(&Method::GET, &fields), Selection::Whole);
        fields.remove(IF_RANGE);
        fields.append(RANGE, HeaderValue::from_static("bytes=0-4"));
        assert_eq!(select(&Method::GET, &fields), Selection::Whole);
    }

    #[test]
    fn content_range_counts_from_zero_to_the_last_byte() {
        assert_eq!(part(0, 500).content_range(1234), "bytes 0-499/1234");
        assert_eq!(unsatisfied(1234), "bytes */1234");
    }

    /// The bytes that a set of ranges names, one by one.
    fn named(ranges: &[(u64, u64)], length: u64) -> Vec<u64> {
        (0..length).filter(|at| ranges.iter().any(|(from, to)| from <= at && at <= to)).collect()
    }

    proptest! {
        #[test]
        fn parts_are_inside_and_disjoint(
            value in "bytes=(,?[ 0-9]{0,4}-[ 0-9]{0,4}){0,6}", length in 0..2000_u64,
        ) {
            let parts = match parse(value.as_bytes(), length) {
                Selection::Part(part) => vec![part],
                Selection::Parts(parts) => {
                    prop_assert!(parts.len() > 1);
                    parts
                }
                Selection::Whole | Selection::Unsatisfiable => vec![],
            };
            let mut sorted = parts;
            sorted.sort_by_key(|part| part.offset);
            prop_assert!(sorted.iter().all(|part| part.length > 0 && part.end() <= length));
            prop_assert!(sorted.windows(2).all(|pair| pair[0].end() + GAP < pair[1].offset));
        }

        #[test]
        fn all_that_was_asked_for_is_sent_and_little_else(
            asked in prop::collection::vec((0..900_u64, 0..300_u64), 1..8), length in 1..1000_u64,
        ) {
            let asked: Vec<_> = asked.iter().map(|(from, more)| (*from, from + more)).collect();
            let texts: Vec<_> = asked.iter().map(|(from, to)| format!("{from}-{to}")).collect();
            let sent = match parse(format!("bytes={}", texts.join(", ")).as_bytes(), length) {
                Selection::Part(part) => vec![part],
                Selection::Parts(parts) => parts,
                Selection::Unsatisfiable => vec![],
                Selection::Whole => return Err(TestCaseError::fail("ignored")),
            };
            let sent: Vec<_> = sent.iter().map(|part| (part.offset, part.end() - 1)).collect();
            let (wanted, got) = (named(&asked, length), named(&sent, length));
            prop_assert!(wanted.iter().all(|at| got.binary_search(at).is_ok()));
            prop_assert!(got.len() <= wanted.len() + 7 * 80);
        }

        #[test]
        fn no_value_panics(value: Vec<u8>, length: u64) {
            let _ = parse(&value, length);
        }
    }
}
