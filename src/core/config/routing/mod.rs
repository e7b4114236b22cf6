//! Internal routing (`route`, `route-if`, …) and fields of responses (`add-header`, `del-header`): what
//! was written, as rules.
//!
//! `action` reads what a rule does, `condition` what it asks, `template` texts with variables.

mod action;
mod condition;
mod template;

use serde::{Deserialize, Serialize};

use super::error::{Findings, Report, quoted};
use super::pattern::{self, Pattern};
use super::settings::{Setting, Settings};
use super::value::{Invalid, Value};

pub use action::Action;
pub use condition::{Condition, Order};
pub use template::{Piece, Template};

/// Rules for requests, and what responses have.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Routing {
    /// In the order of the configuration.
    pub rules: Vec<Rule>,
    /// Fields that every response has in addition (`add-header`).
    pub added: Vec<(String, String)>,
    /// Fields that no response of the application keeps (`del-header`), in lower case.
    pub removed: Vec<String>,
}

/// One rule.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum Rule {
    /// When the test holds, this is done.
    Do(Test, Action),
    /// A place for `goto` (`route-label`).
    Label(String),
}

/// What a rule asks of a request.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum Test {
    /// Nothing (`route-run`).
    Always,
    /// Whether the variable matches (`route` and its kin).
    Matches(String, Pattern),
    /// Whether a condition holds (`route-if`), or does not (`route-if-not`).
    If(Condition, bool),
}

impl Routing {
    /// Whether requests and responses are left alone.
    pub fn is_empty(&self) -> bool {
        self.rules.is_empty() && self.added.is_empty() && self.removed.is_empty()
    }
}

/// The options that are rules, and the variable that each looks at.
const SUBJECTS: [(&str, &str); 8] = [
    ("route", "PATH_INFO"),
    ("route-uri", "REQUEST_URI"),
    ("route-host", "HTTP_HOST"),
    ("route-qs", "QUERY_STRING"),
    ("route-remote-addr", "REMOTE_ADDR"),
    ("route-remote-user", "REMOTE_USER"),
    ("route-user-agent", "HTTP_USER_AGENT"),
    ("route-referer", "HTTP_REFERER"),
];

const RULES: [&str; 12] = [
    "route",
    "route-uri",
    "route-host",
    "route-qs",
    "route-remote-addr",
    "route-remote-user",
    "route-user-agent",
    "route-referer",
    "route-if",
    "route-if-not",
    "route-run",
    "route-label",
];

/// Fields that the connection decides about.
const OF_THE_CONNECTION: [&str; 7] =
    ["connection", "content-length", "date", "keep-alive", "te", "transfer-encoding", "upgrade"];

/// What was written, as rules; all that is wrong goes to `findings`.
pub(super) fn routing(settings: &Settings<'_>, findings: &mut Findings) -> Routing {
    let mut routing = Routing::default();
    let mut jumps = Vec::new();
    for setting in settings.all(&RULES) {
        let Value::Text(text) = &setting.value else { continue };
        match rule(setting.spec.name, text) {
            Ok(rule) => {
                if let Rule::Do(_, Action::Goto(label)) = &rule {
                    jumps.push((setting, label.clone(), routing.rules.len()));
                }
                routing.rules.push(rule);
            }
            Err(invalid) => complain(setting, invalid, findings),
        }
    }
    for (setting, label, index) in jumps {
        let later = routing.rules.iter().skip(index);
        if !later.into_iter().any(|rule| *rule == Rule::Label(label.clone())) {
            let problem = format!("goes to `{label}`, which is no `route-label` below it");
            complain(setting, Invalid::new(problem), findings);
        }
    }
    for setting in settings.all(&["add-header", "del-header"]) {
        let Value::Text(text) = &setting.value else { continue };
        let read = match setting.spec.name {
            "add-header" => field(text).and_then(|(name, value)| {
                let value = field_value(value)?;
                routing.added.push((name, value));
                Ok(())
            }),
            _ => field_name(text).map(|name| routing.removed.push(name.to_ascii_lowercase())),
        };
        if let Err(invalid) = read {
            complain(setting, invalid, findings);
        }
    }
    routing
}

fn complain(setting: &Setting<'_>, invalid: Invalid, findings: &mut Findings) {
    let report = Report::new(format!("{} {}", quoted(setting.raw), invalid.problem));
    let report = report.at_value(&setting.raw.origin);
    findings.error(match invalid.help {
        Some(help) => report.help(help),
        None => report,
    });
}

fn rule(option: &str, text: &str) -> Result<Rule, Invalid> {
    if option == "route-label" {
        return Ok(Rule::Label(text.to_owned()));
    }
    if option == "route-run" {
        return Ok(Rule::Do(Test::Always, action::read(text)?));
    }
    let Some((test, rest)) = text.split_once(char::is_whitespace) else {
        return Err(Invalid::new("has no action")
            .help("write the test, a blank, and the action, such as `^/old redirect:/new`"));
    };
    let action = action::read(rest.trim_start())?;
    let test = match SUBJECTS.iter().find(|(name, _)| *name == option) {
        Some((_, variable)) => Test::Matches((*variable).to_owned(), pattern::read(test)?),
        None => Test::If(condition::read(test)?, option == "route-if"),
    };
    Ok(Rule::Do(test, action))
}

/// `Name: value`.
fn field(text: &str) -> Result<(String, &str), Invalid> {
    let Some((name, value)) = text.split_once(':') else {
        return Err(Invalid::new("is no field of a header").help("write `Name: value`"));
    };
    Ok((field_name(name.trim_end())?, value.trim()))
}

fn field_name(name: &str) -> Result<String, Invalid> {
    let is_token = |c: u8| c.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&c);
    if name.is_empty() || !name.bytes().all(is_token) {
        let problem = format!("has `{}`, which is no name of a field", name.escape_debug());
        return Err(Invalid::new(problem).help("write `Name: value`"));
    }
    if OF_THE_CONNECTION.contains(&name.to_ascii_lowercase().as_str()) {
        let problem = format!("is about {name}, which depends on the connection");
        return Err(Invalid::new(problem).help("rwsgi sets it itself: remove this line"));
    }
    Ok(name.to_owned())
}

fn field_value(value: &str) -> Result<String, Invalid> {
    match value.chars().find(|c| c.is_control() && *c != '\t') {
        Some(c) => Err(Invalid::new(format!("has `{}` in its value", c.escape_debug()))),
        None => Ok(value.to_owned()),
    }
}

#[cfg(test)]
#[path = "routing_tests.rs"]
mod tests;
