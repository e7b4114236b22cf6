//! What a check has found, and how it is told.

use std::io::{self, Write as _};

use rwsgi_core::exit::ExitCode;
use serde::Serialize;

/// How bad it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Grade {
    /// As it should be.
    Ok,
    /// It works, but somebody should look.
    Warning,
    /// It cannot work.
    Error,
}

/// One thing that was looked at.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Finding {
    /// How bad it is.
    pub grade: Grade,
    /// What was looked at, in a word.
    pub subject: &'static str,
    /// What was found.
    pub message: String,
    /// What to do about it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub remedy: Option<String>,
    #[serde(skip)]
    code: Option<ExitCode>,
}

/// All findings, in the order in which they were made.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Findings(Vec<Finding>);

impl Findings {
    /// Something is as it should be.
    pub fn ok(&mut self, subject: &'static str, message: impl Into<String>) {
        self.add(Grade::Ok, subject, message.into(), None, None);
    }

    /// Something that somebody should look at.
    pub fn warn(
        &mut self,
        subject: &'static str,
        message: impl Into<String>,
        remedy: impl Into<String>,
    ) {
        self.add(Grade::Warning, subject, message.into(), Some(remedy.into()), None);
    }

    /// Something that cannot work, and the exit code that a start would have.
    pub fn error(
        &mut self,
        code: ExitCode,
        subject: &'static str,
        message: impl Into<String>,
        remedy: impl Into<String>,
    ) {
        self.add(Grade::Error, subject, message.into(), Some(remedy.into()), Some(code));
    }

    fn add(
        &mut self,
        grade: Grade,
        subject: &'static str,
        message: String,
        remedy: Option<String>,
        code: Option<ExitCode>,
    ) {
        let remedy = remedy.filter(|remedy| !remedy.is_empty());
        let finding = Finding { grade, subject, message, remedy, code };
        // A directory that is closed is in the way of all in it.
        if !self.0.contains(&finding) {
            self.0.push(finding);
        }
    }

    /// Whether nothing about `subject` is worse than it should be.
    pub fn is_good(&self, subject: &str) -> bool {
        !self.0.iter().any(|finding| finding.subject == subject && finding.grade != Grade::Ok)
    }

    /// The code of the first error.
    pub fn code(&self) -> ExitCode {
        self.0.iter().find_map(|finding| finding.code).unwrap_or(ExitCode::Ok)
    }

    /// Prints all: what is good to stdout, the rest to stderr; or everything as JSON to stdout.
    pub fn print(&self, json: bool) -> ExitCode {
        if json {
            let value =
                serde_json::json!({ "ok": self.code() == ExitCode::Ok, "findings": self.0 });
            let _ = writeln!(io::stdout(), "{value:#}");
            return self.code();
        }
        for finding in &self.0 {
            let text = finding.text();
            let _ = match finding.grade {
                Grade::Ok => io::stdout().write_all(text.as_bytes()),
                Grade::Warning | Grade::Error => io::stderr().write_all(text.as_bytes()),
            };
        }
        self.code()
    }
}

impl Finding {
    fn text(&self) -> String {
        let grade = match self.grade {
            Grade::Ok => "ok",
            Grade::Warning => "warning",
            Grade::Error => "error",
        };
        let message = self.message.trim_end();
        let mut text = format!("{grade}: {}: {message}\n", self.subject);
        if let Some(remedy) = &self.remedy {
            text.push_str(&format!("  -> {remedy}\n"));
        }
        text
    }
}

#[cfg(test)]
impl Findings {
    /// All of them, as they are printed.
    pub fn text(&self) -> String {
        self.0.iter().map(Finding::text).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_error_is_the_exit_code_and_warnings_are_none() {
        let mut findings = Findings::default();
        findings.ok("project", "is there");
        findings.warn("unit", "is not enabled", "systemctl enable x");
        assert_eq!(findings.code(), ExitCode::Ok);
        assert!(findings.is_good("project") && !findings.is_good("unit"));
        findings.error(ExitCode::Permission, "project", "closed", "open it");
        findings.error(ExitCode::Config, "other", "wrong", "");
        assert_eq!(findings.code(), ExitCode::Permission);
        assert_eq!(findings.0[2].text(), "error: project: closed\n  -> open it\n");
        findings.error(ExitCode::Permission, "project", "closed", "open it");
        assert_eq!(findings.0.len(), 4);
        assert_eq!(findings.0[3].text(), "error: other: wrong\n");
    }
}
