//! Internal routing (`route`, `route-if`, …) and fields of responses (`add-header`, `del-header`, …): what
//! was written, as rules.
//!
//! `phase` is when a rule acts, `action` what it does, `refused` what it cannot do, `condition` what it
//! asks, `template` texts with variables.

mod action;
mod condition;
mod phase;
mod refused;
mod template;

use std::path::Path;

use serde::{Deserialize, Serialize};

use super::error::{Findings, Report, quoted};
use super::options::Group;
use super::paths;
use super::pattern::{self, Pattern};
use super::settings::{Setting, Settings};
use super::value::{Invalid, Value};

pub use action::{Action, Members};
pub use condition::{Condition, Order};
pub use phase::Phase;
pub use template::{Figure, Function, Piece, Template};

/// Rules for requests, and what responses have.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Routing {
    /// Those of each phase, in the order of the configuration.
    pub rules: Rules,
    /// Fields that every response has in addition (`add-header`).
    pub added: Vec<(String, String)>,
    /// Fields that no response of the application keeps (`del-header`), in lower case.
    pub removed: Vec<String>,
    /// Fields of responses that become variables (`collect-header`, `pull-header`).
    pub collected: Vec<Collected>,
}

/// Rules by their phase.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Rules {
    /// Of requests (`route`).
    pub request: Vec<Rule>,
    /// Of responses, before the others (`error-route`).
    pub error: Vec<Rule>,
    /// Of responses (`response-route`).
    pub response: Vec<Rule>,
    /// Of requests that have been answered (`final-route`).
    pub done: Vec<Rule>,
}

impl Rules {
    fn of(&mut self, phase: Phase) -> &mut Vec<Rule> {
        match phase {
            Phase::Request => &mut self.request,
            Phase::Error => &mut self.error,
            Phase::Response => &mut self.response,
            Phase::Final => &mut self.done,
        }
    }
}

/// A field of responses that becomes a variable.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Collected {
    /// The field, in lower case.
    pub field: String,
    /// The variable.
    pub variable: String,
    /// The response loses the field.
    pub pulled: bool,
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
    /// Whether the response has this status (`response-route-status` and the like).
    Status(u16),
}

/// The options that are rules, without their phase, and the variable that each looks at.
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

/// Fields that the connection decides about.
const OF_THE_CONNECTION: [&str; 7] =
    ["connection", "content-length", "date", "keep-alive", "te", "transfer-encoding", "upgrade"];

/// What was written, as rules; all that is wrong goes to `findings`.
pub(super) fn routing(settings: &Settings<'_>, base: &Path, findings: &mut Findings) -> Routing {
    let mut routing = Routing::default();
    let mut jumps = Vec::new();
    for setting in settings.of(Group::Routing) {
        let Value::Text(text) = &setting.value else { continue };
        let read = match Phase::of(setting.spec.name) {
            Some((phase, option)) => rule(phase, option, text).map(|mut rule| {
                if let Rule::Do(_, Action::Authenticate { members: Members::File(path), .. }) =
                    &mut rule
                {
                    *path = paths::absolute(base, path);
                    if let Err(obstacle) = paths::readable_file(path) {
                        let subject = format!("{} lets nobody pass", quoted(setting.raw));
                        let report = obstacle.report(&subject, &setting.raw.origin);
                        findings.error(report.expected("a file of htpasswd, relative to `chdir`"));
                    }
                }
                let rules = routing.rules.of(phase);
                if let Rule::Do(_, Action::Goto(label)) = &rule {
                    jumps.push((setting, label.clone(), phase, rules.len()));
                }
                rules.push(rule);
            }),
            None => routing.take(setting.spec.name, text),
        };
        if let Err(invalid) = read {
            complain(setting, invalid, findings);
        }
    }
    for (setting, label, phase, index) in jumps {
        let mut later = routing.rules.of(phase).iter().skip(index);
        if !later.any(|rule| *rule == Rule::Label(label.clone())) {
            let option = phase.option("route-label");
            let problem = format!("goes to `{label}`, which is no `{option}` below it");
            complain(setting, Invalid::new(problem), findings);
        }
    }
    routing
}

impl Routing {
    /// Takes an option that is about fields of responses.
    fn take(&mut self, option: &str, text: &str) -> Result<(), Invalid> {
        match option {
            "add-header" => {
                let (name, value) = field(text)?;
                self.added.push((name, field_value(value)?));
            }
            "del-header" => self.removed.push(field_name(text)?.to_ascii_lowercase()),
            "collect-header" | "pull-header" => {
                let pulled = option == "pull-header";
                self.collected.push(collected(text, pulled)?);
            }
            _ => {}
        }
        Ok(())
    }
}

/// `Name VARIABLE`.
fn collected(text: &str, pulled: bool) -> Result<Collected, Invalid> {
    let mut words = text.split_whitespace();
    let (Some(field), Some(variable), None) = (words.next(), words.next(), words.next()) else {
        return Err(Invalid::new("names no field and variable")
            .help("write the field, a blank, and the variable, such as `X-User USER`"));
    };
    let (field, variable) = (field.to_ascii_lowercase(), variable.to_owned());
    if pulled { field_name(&field).map(drop) } else { token(&field) }?;
    Ok(Collected { field, variable, pulled })
}

fn complain(setting: &Setting<'_>, invalid: Invalid, findings: &mut Findings) {
    let report = Report::new(format!("{} {}", quoted(setting.raw), invalid.problem));
    let report = report.at_value(&setting.raw.origin);
    findings.error(match invalid.help {
        Some(help) => report.help(help),
        None => report,
    });
}

/// `option` is without its phase.
fn rule(phase: Phase, option: &str, text: &str) -> Result<Rule, Invalid> {
    if option == "route-label" {
        return Ok(Rule::Label(text.to_owned()));
    }
    if option == "route-run" {
        return Ok(Rule::Do(Test::Always, action::read(phase, text)?));
    }
    let Some((test, rest)) = text.split_once(char::is_whitespace) else {
        return Err(Invalid::new("has no action")
            .help("write the test, a blank, and the action, such as `^/old redirect:/new`"));
    };
    let action = action::read(phase, rest.trim_start())?;
    let test = match SUBJECTS.iter().find(|(name, _)| *name == option) {
        Some((_, variable)) => Test::Matches((*variable).to_owned(), pattern::read(test)?),
        None if option == "route-status" => Test::Status(status(test)?),
        None => Test::If(condition::read(test)?, option == "route-if"),
    };
    Ok(Rule::Do(test, action))
}

/// A number from 200 to 599.
fn status(text: &str) -> Result<u16, Invalid> {
    match text.parse() {
        Ok(status) if (200..600).contains(&status) => Ok(status),
        _ => Err(Invalid::new(format!("has `{text}`, which is no status"))
            .help("write a number from 200 to 599")),
    }
}

/// `Name: value`.
fn field(text: &str) -> Result<(String, &str), Invalid> {
    let Some((name, value)) = text.split_once(':') else {
        return Err(Invalid::new("is no field of a header").help("write `Name: value`"));
    };
    Ok((field_name(name.trim_end())?, value.trim()))
}

fn token(name: &str) -> Result<(), Invalid> {
    let is_token = |c: u8| c.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&c);
    if name.is_empty() || !name.bytes().all(is_token) {
        let problem = format!("has `{}`, which is no name of a field", name.escape_debug());
        return Err(Invalid::new(problem).help("write a name such as `X-User`"));
    }
    Ok(())
}

/// One that may come and go.
fn field_name(name: &str) -> Result<String, Invalid> {
    token(name)?;
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
