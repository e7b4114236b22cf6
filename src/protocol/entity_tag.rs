//! Entity tags (RFC 9110, section 8.8.3), and the lists of them that clients send.

use http::HeaderValue;
use http::header::GetAll;

/// One entity tag.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct EntityTag<'a> {
    weak: bool,
    /// With its quotes.
    opaque: &'a [u8],
}

impl<'a> EntityTag<'a> {
    /// The tag that `text` is; `None` if it is anything else.
    pub fn parse(text: &'a [u8]) -> Option<Self> {
        match Self::first(text)? {
            (tag, []) => Some(tag),
            _ => None,
        }
    }

    /// The tag that `text` begins with, and what follows it.
    fn first(text: &'a [u8]) -> Option<(Self, &'a [u8])> {
        let (weak, quoted) = match text.strip_prefix(b"W/") {
            Some(quoted) => (true, quoted),
            None => (false, text),
        };
        let inside = quoted.strip_prefix(b"\"")?;
        let length = inside.iter().position(|&byte| byte == b'"')?;
        let legal = |&byte: &u8| byte > b' ' && byte != 0x7f;
        if !inside[..length].iter().all(legal) {
            return None;
        }
        let (opaque, rest) = quoted.split_at(length + 2);
        Some((Self { weak, opaque }, rest))
    }

    /// Both are the same bytes (section 8.8.3.2).
    pub fn is_strongly(self, other: EntityTag<'_>) -> bool {
        !self.weak && !other.weak && self.opaque == other.opaque
    }

    /// Both are the same content, to the one who made the tags.
    pub fn is_weakly(self, other: EntityTag<'_>) -> bool {
        self.opaque == other.opaque
    }
}

/// Whether `is_ours` holds for any tag of a list, or the list is `*`. What is neither matches
/// nothing.
pub fn any(
    values: &GetAll<'_, HeaderValue>,
    mut is_ours: impl FnMut(EntityTag<'_>) -> bool,
) -> bool {
    values.iter().any(|value| {
        let value = value.as_bytes();
        value.trim_ascii() == b"*" || Tags(value).any(&mut is_ours)
    })
}

/// The tags of one line.
struct Tags<'a>(&'a [u8]);

impl<'a> Iterator for Tags<'a> {
    type Item = EntityTag<'a>;

    fn next(&mut self) -> Option<EntityTag<'a>> {
        loop {
            let between = |&byte: &u8| matches!(byte, b' ' | b'\t' | b',');
            let start = self.0.iter().position(|byte| !between(byte))?;
            let text = &self.0[start..];
            if let Some((tag, rest)) = EntityTag::first(text) {
                self.0 = rest;
                return Some(tag);
            }
            // Not a tag: go on behind the next comma.
            let comma = text.iter().position(|&byte| byte == b',')?;
            self.0 = &text[comma..];
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use http::header::{HeaderMap, IF_NONE_MATCH};

    fn tag(text: &str) -> EntityTag<'_> {
        EntityTag::parse(text.as_bytes()).unwrap()
    }

    #[test]
    fn tags_are_compared_as_the_table_of_the_standard_has_it() {
        let table = [
            ("W/\"1\"", "W/\"1\"", false, true),
            ("W/\"1\"", "W/\"2\"", false, false),
            ("W/\"1\"", "\"1\"", false, true),
            ("\"1\"", "\"1\"", true, true),
        ];
        for (one, other, strong, weak) in table {
            assert_eq!(tag(one).is_strongly(tag(other)), strong, "{one} {other}");
            assert_eq!(tag(one).is_weakly(tag(other)), weak, "{one} {other}");
        }
    }

    #[test]
    fn what_is_no_tag_is_none() {
        for text in ["", "a", "\"a", "a\"", "w/\"a\"", "\"a b\"", "\"a\"b", "W/a", "\"\x7f\""] {
            assert_eq!(EntityTag::parse(text.as_bytes()), None, "{text}");
        }
        assert!(EntityTag::parse(b"\"\"").is_some());
        assert!(EntityTag::parse(b"\"\xe9,\"").is_some());
    }

    #[test]
    fn lists_have_commas_in_and_between_tags_and_may_go_over_lines() {
        let mut fields = HeaderMap::new();
        for line in ["\"a,b\" , W/\"c\",,bad, \"d\"", " *junk, \"e\" "] {
            fields.append(IF_NONE_MATCH, HeaderValue::from_static(line));
        }
        let matches =
            |text: &str| any(&fields.get_all(IF_NONE_MATCH), |theirs| theirs.is_weakly(tag(text)));
        for text in ["\"a,b\"", "\"c\"", "\"d\"", "\"e\""] {
            assert!(matches(text), "{text}");
        }
        assert!(!matches("\"b\"") && !matches("\"bad\"") && !matches("\"junk\""));
    }

    #[test]
    fn a_star_is_any_tag() {
        let mut fields = HeaderMap::new();
        fields.insert(IF_NONE_MATCH, HeaderValue::from_static(" * "));
        assert!(any(&fields.get_all(IF_NONE_MATCH), |_| false));
    }

    proptest::proptest! {
        #[test]
        fn any_line_is_read_to_its_end(bytes: Vec<u8>) {
            let count = Tags(&bytes).count();
            proptest::prop_assert!(count * 2 <= bytes.len());
        }

        #[test]
        fn a_tag_is_found_in_any_list(
            before in "(\"[!#-~]{0,5}\"|[a-z]{1,3})(, ?(\"[!#-~]{0,5}\"|[a-z]{1,3})){0,4}",
            mine in "[!#-~]{6,9}",
        ) {
            let line = format!("{before}, \"{mine}\"");
            let mut fields = HeaderMap::new();
            fields.insert(IF_NONE_MATCH, HeaderValue::try_from(line).unwrap());
            let quoted = format!("\"{mine}\"");
            let ours = tag(&quoted);
            proptest::prop_assert!(any(&fields.get_all(IF_NONE_MATCH), |t| t.is_strongly(ours)));
        }
    }
}
