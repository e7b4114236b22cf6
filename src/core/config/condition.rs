//! What blocks ask: whether `if-…` is true, and what `for…` goes through.

use std::path::Path;

use nix::unistd::gethostname;

use super::blocks;
use super::error::{Findings, Report};
use super::glob;
use super::pattern::Pattern;
use super::plugins;
use super::raw::RawOption;
use super::resource::{Allowance, Resource, Stdin};

/// How often one loop is gone through.
pub const MOST: usize = glob::MOST;

/// What a block is seen from.
pub struct Scene<'a> {
    /// Where rwsgi was started.
    pub cwd: &'a Path,
    /// The environment, with what `env` has added so far.
    pub environment: &'a dyn Fn(&str) -> Option<String>,
    /// What was read before.
    pub known: &'a [RawOption],
    /// A reload reads it.
    pub is_reload: bool,
    /// What commands may still take.
    pub left: &'a Allowance,
}

/// What comes of the beginning of a block.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Verdict {
    /// The body counts once; `%(_)` is this, if it is anything.
    Yes(Option<String>),
    /// What is after `else` counts.
    No,
    /// The body counts for each of these, which `%(_)` is.
    Each(Vec<String>),
}

impl Scene<'_> {
    /// Judges the line that begins a block.
    pub fn judge(&self, head: &RawOption, findings: &mut Findings) -> Verdict {
        if blocks::is_loop(&head.key) {
            return Verdict::Each(self.values(head, findings));
        }
        let Some((name, negated)) = blocks::condition(&head.key) else { return Verdict::No };
        let (holds, value) = self.holds(name, head, findings);
        if holds == negated { Verdict::No } else { Verdict::Yes(value) }
    }

    /// Whether it is so, and what `%(_)` is then, or if it is not.
    fn holds(
        &self,
        name: &str,
        head: &RawOption,
        findings: &mut Findings,
    ) -> (bool, Option<String>) {
        let value = head.value.as_str();
        let of_path = |holds| (holds, Some(value.to_owned()));
        let path = self.cwd.join(value);
        match name {
            "env" => equals(value, self.environment),
            "opt" => equals(value, &|key| {
                self.known.iter().find(|option| option.key == key).map(|known| known.value.clone())
            }),
            "exists" => of_path(path.exists()),
            "file" => of_path(path.is_file()),
            "dir" | "directory" => of_path(path.is_dir()),
            "plugin" => of_path(plugins::is_built_in(value)),
            "hostname" => of_path(host() == value),
            "hostname-match" => match value.parse::<Pattern>() {
                Ok(pattern) => of_path(pattern.matches(host().as_bytes())),
                Err(why) => {
                    let report = Report::new(format!("`{value}` is no regular expression: {why}"));
                    findings.error(report.at_value(&head.origin));
                    (false, None)
                }
            },
            _ => (self.is_reload, None),
        }
    }

    fn values(&self, head: &RawOption, findings: &mut Findings) -> Vec<String> {
        let values = match head.key.as_str() {
            "for-times" => return times(head, findings),
            "for-glob" => {
                let found = glob::expand(&head.value, self.cwd);
                if found.is_empty() {
                    let report = Report::new(format!("nothing fits `{}`", head.value));
                    let report = report.at_value(&head.origin);
                    findings.inform(report.help("the block does nothing; uWSGI takes the pattern"));
                }
                found
            }
            "for-readline" => self.lines(head, findings),
            _ => {
                let words = head.value.split(' ').filter(|word| !word.is_empty());
                words.map(str::to_owned).collect()
            }
        };
        if values.len() > MOST {
            let report = Report::new(format!("`{}` has {} values", head.key, values.len()));
            findings.error(report.at_value(&head.origin).expected(format!("{MOST} at most")));
            return Vec::new();
        }
        values
    }

    fn lines(&self, head: &RawOption, findings: &mut Findings) -> Vec<String> {
        let read = Resource::parse(&head.value)
            .and_then(|resource| resource.read(self.cwd, &Stdin::default(), self.left));
        match read.map(String::from_utf8) {
            Ok(Ok(text)) => text.lines().map(str::to_owned).collect(),
            Ok(Err(_)) => {
                let report = Report::new(format!("`{}` is not UTF-8 text", head.value));
                findings.error(report.at_value(&head.origin));
                Vec::new()
            }
            Err(missing) => {
                findings.error(missing.report("`for-readline`", &head.origin));
                Vec::new()
            }
        }
    }
}

/// `NAME` is there, or `NAME=VALUE` is so; in both cases with the value of NAME.
fn equals(text: &str, find: &dyn Fn(&str) -> Option<String>) -> (bool, Option<String>) {
    match text.split_once('=') {
        Some((name, wanted)) => {
            let value = find(name);
            (value.as_deref() == Some(wanted), value)
        }
        None => {
            let value = find(text);
            (value.is_some(), value)
        }
    }
}

fn host() -> String {
    gethostname().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default()
}

/// 1 … N.
fn times(head: &RawOption, findings: &mut Findings) -> Vec<String> {
    match head.value.trim().parse::<usize>() {
        Ok(number) if number <= MOST => (1..=number).map(|number| number.to_string()).collect(),
        _ => {
            let report = Report::new(format!("`{} = {}`", head.key, head.value));
            let report = report.at_value(&head.origin);
            findings.error(report.expected(format!("a whole number from 0 to {MOST}")));
            Vec::new()
        }
    }
}
