//! Regular expressions in options.

use std::fmt;
use std::str::FromStr;

use regex::bytes::{Regex, RegexBuilder};
use serde::{Deserialize, Serialize};

use super::value::Invalid;

/// A regular expression over bytes, since paths are bytes: classes such as `\d` are ASCII, and it
/// matches anywhere unless it is anchored.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Pattern(Regex);

/// Why a text is no pattern, in a few words.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BadPattern(String);

impl Pattern {
    /// Whether it matches somewhere in `subject`.
    pub fn matches(&self, subject: &[u8]) -> bool {
        self.0.is_match(subject)
    }

    /// What its groups match in `subject`, the whole first; a group that takes no part is empty.
    pub fn groups(&self, subject: &[u8]) -> Option<Vec<Vec<u8>>> {
        let captures = self.0.captures(subject)?;
        let text = |group: Option<regex::bytes::Match<'_>>| {
            group.map(|group| group.as_bytes().to_vec()).unwrap_or_default()
        };
        Some(captures.iter().map(text).collect())
    }

    /// As written.
    pub fn as_str(&self) -> &str {
        self.0.as_str()
    }
}

impl FromStr for Pattern {
    type Err = BadPattern;

    fn from_str(text: &str) -> Result<Self, BadPattern> {
        RegexBuilder::new(text)
            .unicode(false)
            .build()
            .map(Self)
            .map_err(|error| BadPattern::from(&error))
    }
}

impl TryFrom<String> for Pattern {
    type Error = BadPattern;

    fn try_from(text: String) -> Result<Self, BadPattern> {
        text.parse()
    }
}

impl From<Pattern> for String {
    fn from(pattern: Pattern) -> Self {
        pattern.as_str().to_owned()
    }
}

impl PartialEq for Pattern {
    fn eq(&self, other: &Self) -> bool {
        self.as_str() == other.as_str()
    }
}

impl Eq for Pattern {}

impl From<&regex::Error> for BadPattern {
    /// Of the several lines that a syntax error has, the last one is the reason.
    fn from(error: &regex::Error) -> Self {
        let text = match error {
            regex::Error::CompiledTooBig(_) => "it is too large".to_owned(),
            other => other.to_string(),
        };
        let last = text.lines().last().unwrap_or_default();
        Self(last.strip_prefix("error: ").unwrap_or(last).to_owned())
    }
}

impl fmt::Display for BadPattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for BadPattern {}

/// Reads a regular expression.
pub(super) fn read(text: &str) -> Result<Pattern, Invalid> {
    text.parse().map_err(|BadPattern(reason)| {
        let invalid = Invalid::new(format!("is not a regular expression: {reason}"));
        if reason.contains("look-around") || reason.contains("backreference") {
            return invalid.help("PCRE has these, the expressions of rwsgi do not");
        }
        if text.starts_with('*') {
            return invalid.help(format!("it is not a wildcard: write `.{text}`"));
        }
        invalid
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pattern_matches_bytes_anywhere() {
        let pattern: Pattern = r"\.css$".parse().unwrap();
        assert!(pattern.matches(b"/srv/\xff/a.css") && !pattern.matches(b"/srv/a.css.map"));
        let digits: Pattern = r"-\d+\.js".parse().unwrap();
        assert!(digits.matches(b"/app-42.js") && !digits.matches("/app-\u{664}.js".as_bytes()));
        assert!("é".parse::<Pattern>().unwrap().matches("café".as_bytes()));
    }

    #[test]
    fn a_bad_pattern_is_explained_in_one_line() {
        let problem = |text| read(text).unwrap_err().problem;
        assert_eq!(problem("(a"), "is not a regular expression: unclosed group");
        assert_eq!(problem("a{9999}{9999}"), "is not a regular expression: it is too large");
        assert!(read("(?!a)b").unwrap_err().help.unwrap().contains("PCRE"));
        assert_eq!(
            read("*.css").unwrap_err().help.unwrap(),
            "it is not a wildcard: write `.*.css`"
        );
    }

    #[test]
    fn a_pattern_goes_to_the_workers_as_its_text() {
        let pattern: Pattern = r"^/a\b".parse().unwrap();
        let text = serde_json::to_string(&pattern).unwrap();
        assert_eq!(text, r#""^/a\\b""#);
        assert_eq!(serde_json::from_str::<Pattern>(&text).unwrap(), pattern);
        assert!(serde_json::from_str::<Pattern>("\"(\"").is_err());
    }
}
