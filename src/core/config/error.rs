//! What is wrong with a configuration, and how it is shown: place, line, caret, what was expected
//! and what to do.

use std::fmt;

use super::digest::Topic;
use super::raw::{Origin, RawOption, Source, Span};

/// The configuration cannot be used.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ConfigError(Box<Report>);

/// The configuration can be used, but not quite as written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Warning {
    /// How much of a difference it makes.
    pub severity: Severity,
    /// What it is about, if it is an option that is known and not obeyed.
    topic: Option<(Topic, String)>,
    report: Box<Report>,
}

/// How much of a difference it makes that an option is not obeyed as written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Severity {
    /// None.
    Info,
    /// Some; somebody should look.
    Warning,
}

/// All that was found, in the order in which it was found.
#[derive(Debug, Clone, Default)]
pub struct Findings {
    /// What prevents the start.
    pub errors: Vec<ConfigError>,
    /// What does not.
    pub warnings: Vec<Warning>,
}

/// One finding, before it is known how bad it is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Report {
    message: String,
    place: Option<(Origin, Part)>,
    expected: Option<String>,
    help: Vec<String>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Part {
    Key,
    Value,
}

impl Report {
    /// A finding that one sentence tells.
    #[must_use]
    pub fn new(message: impl Into<String>) -> Self {
        Self { message: message.into(), place: None, expected: None, help: Vec::new() }
    }

    /// It is about the key.
    #[must_use]
    pub fn at_key(mut self, origin: &Origin) -> Self {
        self.place = Some((origin.clone(), Part::Key));
        self
    }

    /// It is about the value.
    #[must_use]
    pub fn at_value(mut self, origin: &Origin) -> Self {
        self.place = Some((origin.clone(), Part::Value));
        self
    }

    /// What could have stood there.
    #[must_use]
    pub fn expected(mut self, expected: impl Into<String>) -> Self {
        self.expected = Some(expected.into());
        self
    }

    /// What to do about it.
    #[must_use]
    pub fn help(mut self, help: impl Into<String>) -> Self {
        self.help.push(help.into());
        self
    }

    fn span(&self) -> Option<(&Origin, Span)> {
        let (origin, part) = self.place.as_ref()?;
        let span = match part {
            Part::Key => origin.key,
            Part::Value => origin.value,
        };
        Some((origin, span))
    }

    fn render(&self, f: &mut fmt::Formatter<'_>, label: &str) -> fmt::Result {
        // `{:#}` is for who says the severity in words of their own.
        if !f.alternate() {
            write!(f, "{label}: ")?;
        }
        if let Some((origin, span)) = self.span() {
            write_place(f, origin, span)?;
        }
        f.write_str(&self.message)?;
        if let Some((origin, span)) = self.span() {
            write_line(f, origin, span)?;
            for above in origin.inclusions() {
                write!(f, "\n  included by {above}")?;
            }
        }
        if let Some(expected) = &self.expected {
            write!(f, "\n  expected: {expected}")?;
        }
        for help in &self.help {
            write!(f, "\n  help: {}", help.replace('\n', "\n        "))?;
        }
        Ok(())
    }
}

fn write_place(f: &mut fmt::Formatter<'_>, origin: &Origin, span: Span) -> fmt::Result {
    match &origin.source {
        Source::File { path, line, .. } => {
            write!(f, "{}:{line}:{}: ", path.display(), span.column)
        }
        Source::CommandLine { .. } => f.write_str("command line: "),
        Source::Environment { .. } => f.write_str("environment: "),
    }
}

/// As much of a line as anybody wants to see.
const SHOWN: usize = 160;

fn write_line(f: &mut fmt::Formatter<'_>, origin: &Origin, span: Span) -> fmt::Result {
    let number = match &origin.source {
        Source::File { line, .. } => line.to_string(),
        Source::CommandLine { .. } | Source::Environment { .. } => String::new(),
    };
    let gutter = " ".repeat(number.len());
    let shown: String = origin.text.chars().take(SHOWN).map(printable).collect();
    let before = (span.column.saturating_sub(1) as usize).min(SHOWN);
    let pad: String = shown
        .chars()
        .chain(std::iter::repeat(' '))
        .take(before)
        .map(|c| if c == '\t' { '\t' } else { ' ' })
        .collect();
    let carets = "^".repeat((span.width as usize).clamp(1, (SHOWN - before).max(1)));
    write!(f, "\n{gutter} |\n{number} | {}\n{gutter} | {pad}{carets}", shown.trim_end())
}

fn printable(c: char) -> char {
    if c.is_control() && c != '\t' { char::REPLACEMENT_CHARACTER } else { c }
}

impl fmt::Display for ConfigError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.render(f, "error")
    }
}

impl std::error::Error for ConfigError {}

impl From<Report> for ConfigError {
    fn from(report: Report) -> Self {
        Self(Box::new(report))
    }
}

impl ConfigError {
    /// Where it is, if it is at one place.
    pub fn origin(&self) -> Option<&Origin> {
        self.0.place.as_ref().map(|(origin, _)| origin)
    }
}

impl fmt::Display for Warning {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.severity {
            Severity::Info => self.report.render(f, "info"),
            Severity::Warning => self.report.render(f, "warning"),
        }
    }
}

impl Warning {
    /// Where it is, if it is at one place.
    pub fn origin(&self) -> Option<&Origin> {
        self.report.place.as_ref().map(|(origin, _)| origin)
    }

    /// What it is about, if it is an option that is known and not obeyed, and its name.
    pub fn topic(&self) -> Option<(Topic, &str)> {
        self.topic.as_ref().map(|(topic, name)| (*topic, name.as_str()))
    }

    /// The warning on one line: the place and the sentence.
    pub fn line(&self) -> String {
        match &self.report.place {
            Some((origin, _)) => format!("{origin}: {}", self.report.message),
            None => self.report.message.clone(),
        }
    }
}

impl Findings {
    /// Adds an error.
    pub fn error(&mut self, report: Report) {
        self.errors.push(report.into());
    }

    /// Adds a warning.
    pub fn warn(&mut self, report: Report) {
        self.add(Severity::Warning, None, report);
    }

    /// Adds a remark.
    pub fn inform(&mut self, report: Report) {
        self.add(Severity::Info, None, report);
    }

    /// Adds that the option `name` is known and not obeyed.
    pub fn decline(&mut self, topic: Topic, name: &str, report: Report) {
        let severity = match topic {
            Topic::NotNeeded => Severity::Info,
            Topic::Replaced | Topic::Missed | Topic::Tolerated => Severity::Warning,
        };
        self.add(severity, Some((topic, name.to_owned())), report);
    }

    fn add(&mut self, severity: Severity, topic: Option<(Topic, String)>, report: Report) {
        self.warnings.push(Warning { severity, topic, report: Box::new(report) });
    }

    /// `value` and the warnings, unless there were errors.
    ///
    /// # Errors
    /// All the errors that were added.
    pub fn into_result<T>(self, value: T) -> Result<(T, Vec<Warning>), Vec<ConfigError>> {
        if self.errors.is_empty() { Ok((value, self.warnings)) } else { Err(self.errors) }
    }
}

/// How the value of `option` is quoted in a sentence.
pub(super) fn quoted(option: &RawOption) -> String {
    if option.value.is_empty() {
        format!("`{}` has no value", option.key)
    } else {
        format!("`{} = {}`", option.key, option.value)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::path::Path;

    fn line(number: u32, text: &str, key: (u32, u32), value: (u32, u32)) -> Origin {
        Origin {
            source: Source::File {
                path: Path::new("uwsgi.ini").into(),
                line: number,
                included_by: None,
            },
            text: text.into(),
            key: Span { column: key.0, width: key.1 },
            value: Span { column: value.0, width: value.1 },
        }
    }

    #[test]
    fn an_error_shows_the_line_with_a_caret_under_the_value() {
        let origin = line(12, "processes = four", (1, 9), (13, 4));
        let error: ConfigError = Report::new("`processes = four` is not a number")
            .at_value(&origin)
            .expected("a number from 1 to 1024")
            .help("write `processes = 4`\nor so")
            .into();
        assert_eq!(
            error.to_string(),
            "error: uwsgi.ini:12:13: `processes = four` is not a number\n   |\n\
             12 | processes = four\n   |             ^^^^\n\
             \x20 expected: a number from 1 to 1024\n\
             \x20 help: write `processes = 4`\n        or so"
        );
        let told = error.to_string();
        assert_eq!(told.strip_prefix("error: "), Some(format!("{error:#}").as_str()));
    }

    #[test]
    fn a_key_can_be_meant_and_tabs_keep_the_caret_in_place() {
        let origin = line(3, "\tfrob\t= 4", (2, 4), (9, 1));
        let error: ConfigError = Report::new("no such option").at_key(&origin).into();
        assert_eq!(
            error.to_string(),
            "error: uwsgi.ini:3:2: no such option\n  |\n3 | \tfrob\t= 4\n  | \t^^^^"
        );
    }

    #[test]
    fn an_argument_is_shown_as_typed() {
        let option = RawOption::argument("processes", "four", 2, "--processes=four");
        let error: ConfigError = Report::new("no number").at_value(&option.origin).into();
        assert_eq!(
            error.to_string(),
            "error: command line: no number\n |\n | --processes=four\n |             ^^^^"
        );
    }

    #[test]
    fn a_missing_value_gets_one_caret_and_long_lines_are_cut() {
        let origin = line(1, "processes =", (1, 9), (12, 0));
        let error: ConfigError = Report::new("empty").at_value(&origin).into();
        assert!(error.to_string().ends_with("1 | processes =\n  |            ^"));
        let long = line(1, &"x".repeat(5000), (1, 4000), (4001, 999));
        let error: ConfigError = Report::new("long").at_key(&long).into();
        assert!(error.to_string().len() < 500);
    }

    #[test]
    fn a_warning_also_fits_on_one_line() {
        let mut findings = Findings::default();
        findings.warn(Report::new("odd").at_key(&line(1, "a = b", (1, 1), (5, 1))));
        assert_eq!(findings.warnings[0].line(), "uwsgi.ini:1:5: odd");
        assert!(findings.warnings[0].to_string().starts_with("warning: uwsgi.ini:1:1: odd"));
    }
}
