//! One element of Forwarded: what one proxy says (RFC 7239, section 4).

use std::borrow::Cow;

use super::{ForwardedError, Node};

/// The parameters that matter.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Element<'a> {
    /// Whom the proxy saw.
    pub(super) for_: Option<Cow<'a, [u8]>>,
    /// Under which scheme it was asked.
    pub(super) proto: Option<Cow<'a, [u8]>>,
    /// By which name it was asked.
    pub(super) host: Option<Cow<'a, [u8]>>,
    /// At which of its addresses it was asked.
    by: Option<Cow<'a, [u8]>>,
}

impl<'a> Element<'a> {
    /// Reads an element. Around `;` blanks are tolerated, as many senders write them.
    pub(super) fn parse(text: &'a [u8]) -> Result<Self, ForwardedError> {
        let mut element = Self::default();
        let mut rest = text.trim_ascii();
        while !rest.is_empty() {
            if rest[0] != b';' {
                let (parameter, after) = parameter(rest).ok_or(ForwardedError::Element)?;
                element.set(parameter)?;
                rest = after.trim_ascii_start();
            }
            rest = match rest {
                [] => rest,
                [b';', after @ ..] => after.trim_ascii_start(),
                _ => return Err(ForwardedError::Element),
            };
        }
        Ok(element)
    }

    /// Whom the proxy saw.
    pub(super) fn node(&self) -> Node {
        self.for_.as_deref().map_or(Node::Hidden, Node::parse)
    }

    fn set(&mut self, parameter: Parameter<'a>) -> Result<(), ForwardedError> {
        let is = |one: &str| parameter.name.eq_ignore_ascii_case(one.as_bytes());
        let known = match () {
            () if is("for") => &mut self.for_,
            () if is("proto") => &mut self.proto,
            () if is("host") => &mut self.host,
            () if is("by") => &mut self.by,
            () => return Ok(()),
        };
        match known.replace(parameter.value) {
            None => Ok(()),
            Some(_) => Err(ForwardedError::Repeated),
        }
    }
}

/// The elements from the right; empty ones are none (RFC 9110, section 5.6.1.2).
pub(super) fn elements<'a>(values: &'a [&'a [u8]]) -> impl Iterator<Item = &'a [u8]> {
    let split = |value: &&'a [u8]| FromRight { rest: Some(*value) };
    values.iter().rev().flat_map(split).map(<[u8]>::trim_ascii).filter(|text| !text.is_empty())
}

/// Splits at commas outside of quoted strings, from the right, so that what is left of a well-formed
/// element has no part in where it begins.
struct FromRight<'a> {
    rest: Option<&'a [u8]>,
}

impl<'a> Iterator for FromRight<'a> {
    type Item = &'a [u8];

    fn next(&mut self) -> Option<&'a [u8]> {
        let rest = self.rest.take()?;
        let Some(comma) = last_comma(rest) else { return Some(rest) };
        self.rest = Some(&rest[..comma]);
        Some(&rest[comma + 1..])
    }
}

/// Seen from the right, a quoted string begins with its closing quote and ends with the next one
/// that has no backslash before it, but `=`.
fn last_comma(text: &[u8]) -> Option<usize> {
    let mut quoted = false;
    for (at, &byte) in text.iter().enumerate().rev() {
        match byte {
            b'"' if quoted => quoted = text[..at].ends_with(b"\\"),
            b'"' => quoted = true,
            b',' if !quoted => return Some(at),
            _ => {}
        }
    }
    None
}

struct Parameter<'a> {
    name: &'a [u8],
    value: Cow<'a, [u8]>,
}

/// `name=value`, and what follows.
fn parameter(text: &[u8]) -> Option<(Parameter<'_>, &[u8])> {
    let (name, rest) = token(text)?;
    let (value, after) = match rest.strip_prefix(b"=")? {
        [b'"', rest @ ..] => quoted(rest)?,
        rest => token(rest).map(|(value, after)| (value.into(), after))?,
    };
    Some((Parameter { name, value }, after))
}

/// RFC 9110, section 5.6.2.
fn token(text: &[u8]) -> Option<(&[u8], &[u8])> {
    let is_token = |byte: u8| byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte);
    let end = text.iter().position(|&byte| !is_token(byte)).unwrap_or(text.len());
    (end > 0).then(|| text.split_at(end))
}

/// A quoted string after its opening quote, and what follows (RFC 9110, section 5.6.4).
fn quoted(text: &[u8]) -> Option<(Cow<'_, [u8]>, &[u8])> {
    let mut value = Cow::Borrowed(&text[..0]);
    let mut at = 0;
    loop {
        match *text.get(at..)? {
            [b'"', ref rest @ ..] => return Some((value, rest)),
            [b'\\', byte, ..] if is_text(byte) => {
                value.to_mut().push(byte);
                at += 2;
            }
            [byte, ..] if byte != b'\\' && is_text(byte) => {
                at += 1;
                match &mut value {
                    Cow::Borrowed(so_far) => *so_far = &text[..at],
                    Cow::Owned(so_far) => so_far.push(byte),
                }
            }
            _ => return None,
        }
    }
}

fn is_text(byte: u8) -> bool {
    byte == b'\t' || !byte.is_ascii_control()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn parse(text: &str) -> Result<Element<'_>, ForwardedError> {
        Element::parse(text.as_bytes())
    }

    fn value(text: &str) -> Option<Cow<'_, [u8]>> {
        Some(Cow::Borrowed(text.as_bytes()))
    }

    fn split(values: &[&str]) -> Vec<String> {
        let values: Vec<&[u8]> = values.iter().map(|value| value.as_bytes()).collect();
        elements(&values).map(|one| String::from_utf8(one.to_vec()).unwrap()).collect()
    }

    #[test]
    fn parameters_come_in_any_order_and_case() {
        let element = parse("Proto=https;HOST=example.org;for=192.0.2.1;by=_me;secret=x").unwrap();
        let expected = Element {
            for_: value("192.0.2.1"),
            proto: value("https"),
            host: value("example.org"),
            by: value("_me"),
        };
        assert_eq!(element, expected);
    }

    #[test]
    fn quoted_values_lose_their_quotes_and_escapes() {
        let element = parse(r#"for="[2001:db8::1]:4711";host="a\b\"\\c";proto="""#).unwrap();
        assert_eq!(element.for_, value("[2001:db8::1]:4711"));
        assert_eq!(element.host, value(r#"ab"\c"#));
        assert_eq!(element.proto, value(""));
    }

    #[test]
    fn empty_parameters_and_blanks_around_semicolons_are_tolerated() {
        let element = parse(" ;for=192.0.2.1 ; ;\tproto=http;; ").unwrap();
        assert_eq!((element.for_, element.proto), (value("192.0.2.1"), value("http")));
        assert_eq!(parse(""), Ok(Element::default()));
    }

    #[test]
    fn what_breaks_the_grammar_is_refused() {
        for text in [
            "for",
            "for=",
            "=x",
            "for =x",
            "for= x",
            "for=x y",
            "for=x\"y\"",
            "for=\"x",
            "for=\"x\\",
            "for=\"x\\\"",
            "for=\"x\"y",
            "for=\"\u{7}\"",
            "for=192.0.2.1:80",
            "for=[::1]",
            "for=x;y",
            "for=x,proto=http",
            "f\u{fc}r=x",
        ] {
            assert_eq!(parse(text), Err(ForwardedError::Element), "{text}");
        }
    }

    #[test]
    fn a_parameter_that_is_there_twice_is_refused() {
        for text in ["for=a;For=a", "proto=http;proto=https", "by=a;by=b", "host=a;host=b"] {
            assert_eq!(parse(text), Err(ForwardedError::Repeated), "{text}");
        }
    }

    #[test]
    fn elements_are_found_from_the_right_across_fields_and_quotes() {
        assert_eq!(split(&["for=a, for=b", "", " , ", "for=c"]), ["for=c", "for=b", "for=a"]);
        assert_eq!(
            split(&[r#"for="a,b" , for="\",\\",for=c"#]),
            ["for=c", r#"for="\",\\""#, r#"for="a,b""#]
        );
    }

    #[test]
    fn an_open_quote_does_not_swallow_what_a_proxy_appended() {
        assert_eq!(split(&[r#"for="evil, for=b"#]), ["for=b", "for=\"evil"]);
        assert_eq!(split(&[r#"evil\", for="b""#])[0], r#"for="b""#);
    }

    proptest! {
        #[test]
        fn what_is_quoted_comes_back(text in "[ -~\t]{0,30}") {
            let escaped: String = text
                .chars()
                .flat_map(|one| "\"\\".contains(one).then_some('\\').into_iter().chain([one]))
                .collect();
            let element = format!("host=\"{escaped}\";proto=http");
            prop_assert_eq!(parse(&element).unwrap().host, value(&text));
            let list = format!("{element}, {element}");
            prop_assert_eq!(split(&[&list]), [element.clone(), element]);
        }

        #[test]
        fn nothing_panics_and_nothing_is_lost(text in "[a-z=;, \"\\\\]{0,40}") {
            let _ = parse(&text);
            let letters = |text: &str| text.replace([',', ' '], "");
            let found: String = split(&[&text]).into_iter().rev().collect();
            prop_assert_eq!(letters(&found), letters(&text));
        }
    }
}
