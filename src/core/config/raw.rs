//! What was written, in order and with its place, before it means anything.

use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// Everything that was written for one start, in the order in which it counts.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct RawConfig {
    /// Keys and values, variables expanded.
    pub options: Vec<RawOption>,
    /// The first INI file, absolute.
    pub file: Option<PathBuf>,
    /// Something could not be read, or was to end it: more is missing than is wrong.
    pub is_partial: bool,
}

/// One key and its value, as written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RawOption {
    /// The key: an option, an abbreviation of one, a placeholder, or a mistake.
    pub key: String,
    /// The value; empty where there was none.
    pub value: String,
    /// Whether it only exists for `%(key)` elsewhere.
    pub placeholder: bool,
    /// Where it was written.
    pub origin: Origin,
}

/// Where a key and its value were written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Origin {
    /// The kind of place.
    pub source: Source,
    /// The line, or the argument, or the variable, as a whole.
    pub text: Arc<str>,
    /// Where in the text the key is.
    pub key: Span,
    /// Where in the text the value is.
    pub value: Span,
}

/// The kind of place.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Source {
    /// A line of an INI file, counted from 1.
    File {
        /// The file, as the administrator named it.
        path: Arc<Path>,
        /// The line.
        line: u32,
        /// The line of the file that includes this one.
        included_by: Option<Arc<Origin>>,
    },
    /// An argument, counted from 1.
    CommandLine {
        /// The argument.
        index: usize,
    },
    /// A variable of the environment.
    Environment {
        /// Its name.
        variable: String,
    },
}

/// A part of a line, in characters.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Span {
    /// The first character, counted from 1.
    pub column: u32,
    /// How many characters; 0 where something is missing.
    pub width: u32,
}

impl Span {
    /// The span of the bytes `from..to` of `text`.
    pub fn of(text: &str, from: usize, to: usize) -> Self {
        let count = |part: Option<&str>| part.map_or(0, |part| part.chars().count());
        let column = count(text.get(..from)) + 1;
        let width = count(text.get(from..to));
        Self { column: saturated(column), width: saturated(width) }
    }
}

fn saturated(number: usize) -> u32 {
    u32::try_from(number).unwrap_or(u32::MAX)
}

impl RawOption {
    /// An option of the command line: argument number `index`, which reads `text` and ends with
    /// the value.
    pub fn argument(key: &str, value: &str, index: usize, text: &str) -> Self {
        let key_start = text.find(|c| c != '-').unwrap_or(0);
        let value_start = if text.ends_with(value) { text.len() - value.len() } else { text.len() };
        let key_end = text.find(['=', ' ']).unwrap_or(value_start).max(key_start);
        Self {
            key: key.to_owned(),
            value: value.to_owned(),
            placeholder: false,
            origin: Origin {
                source: Source::CommandLine { index },
                text: text.into(),
                key: Span::of(text, key_start, key_end),
                value: Span::of(text, value_start, text.len()),
            },
        }
    }

    /// An option of the environment: `variable` stands for `key`.
    pub fn variable(variable: &str, key: &str, value: &str) -> Self {
        let text = format!("{variable}={value}");
        Self {
            key: key.to_owned(),
            value: value.to_owned(),
            placeholder: false,
            origin: Origin {
                key: Span::of(&text, 0, variable.len()),
                value: Span::of(&text, variable.len() + 1, text.len()),
                text: text.into(),
                source: Source::Environment { variable: variable.to_owned() },
            },
        }
    }
}

impl Origin {
    /// The lines by which the file came to be read, from the inside out.
    pub fn inclusions(&self) -> impl Iterator<Item = &Self> {
        std::iter::successors(self.included_by(), |origin| origin.included_by())
    }

    fn included_by(&self) -> Option<&Self> {
        match &self.source {
            Source::File { included_by, .. } => included_by.as_deref(),
            Source::CommandLine { .. } | Source::Environment { .. } => None,
        }
    }
}

impl fmt::Display for Origin {
    /// `uwsgi.ini:7:9`, with the column of the value.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.source {
            Source::File { path, line, .. } => {
                write!(f, "{}:{line}:{}", path.display(), self.value.column)
            }
            Source::CommandLine { .. } => f.write_str("command line"),
            Source::Environment { variable } => write!(f, "environment variable {variable}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_argument_knows_where_its_key_and_value_are() {
        let joined = RawOption::argument("processes", "four", 2, "--processes=four");
        assert_eq!(joined.origin.key, Span { column: 3, width: 9 });
        assert_eq!(joined.origin.value, Span { column: 13, width: 4 });
        let short = RawOption::argument("processes", "four", 2, "-p four");
        assert_eq!(short.origin.key, Span { column: 2, width: 1 });
        assert_eq!(short.origin.value, Span { column: 4, width: 4 });
        let bare = RawOption::argument("master", "", 1, "--master");
        assert_eq!(bare.origin.key, Span { column: 3, width: 6 });
        assert_eq!(bare.origin.value, Span { column: 9, width: 0 });
    }

    #[test]
    fn columns_count_characters() {
        assert_eq!(Span::of("größe = 4", 10, 11), Span { column: 9, width: 1 });
    }

    #[test]
    fn an_origin_is_named_as_compilers_do() {
        let variable = RawOption::variable("UWSGI_PROCESSES", "processes", "4");
        assert_eq!(variable.origin.to_string(), "environment variable UWSGI_PROCESSES");
        assert_eq!(variable.origin.value, Span { column: 17, width: 1 });
    }
}
