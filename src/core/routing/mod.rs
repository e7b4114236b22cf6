//! Internal routing (`route`, `route-if`, …): what rules do to a request and its response. Neither HTTP
//! nor Python is known here: a request is variables that are asked for and set.
//!
//! Rules are obeyed from the first to the last, once: `goto` only leads on.

mod function;
mod htpasswd;
mod text;

use std::borrow::Cow;
use std::os::unix::ffi::OsStrExt as _;
use std::path::{Component, Path};

use nix::unistd::{AccessFlags, access};

use crate::config::routing::{
    Action, Condition, Figure, Members, Order, Piece, Rule, Template, Test,
};

pub use htpasswd::{Doubt, Htpasswd, Known};

/// A request, as rules see and change it.
pub trait Subject {
    /// A variable of CGI, as the rules before have left it.
    fn variable(&self, name: &str) -> Option<Cow<'_, [u8]>>;
    /// A number that tells of the server or the response, if it is known yet.
    fn figure(&self, figure: Figure) -> Option<u64>;
    /// Whether `USER:PASSWORD` is in a file of htpasswd(1); `None`: that takes a while, see
    /// [`Answer::Later`].
    fn knows(&mut self, file: &Path, credentials: &[u8]) -> Option<bool>;
    /// The media type of a file of this name.
    fn media_type(&self, path: &[u8]) -> Vec<u8>;
    /// Gives a variable a value; PATH_INFO is the path below the mount.
    fn set(&mut self, name: &str, value: Vec<u8>);
    /// The response has this field in addition.
    fn add_field(&mut self, name: &str, value: Vec<u8>);
    /// The response of the application loses this field.
    fn remove_field(&mut self, name: &str);
    /// The response of the application loses all fields, and has this status.
    fn clear(&mut self, status: u16);
    /// Writes into the log.
    fn log(&self, text: &[u8]);
    /// Sets a variable of `log-format`.
    fn note(&self, name: &str, value: &[u8]);
    /// The request is not in the log of requests.
    fn silence(&mut self);
}

/// What is answered in place of the application.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Answer {
    /// A status, and its reason as text.
    Status(u16),
    /// 301 or 302, and where to.
    Redirect(u16, Vec<u8>),
    /// A file by its absolute path, which has no `..`; below the directory that the configuration names.
    File {
        /// The path.
        path: Vec<u8>,
        /// What of it is in the configuration.
        root: String,
    },
    /// Who asks has to say a name and a password, for this realm.
    Unauthorized(String),
    /// None yet: the subject is to find out whom it knows, and the rules go on from this one.
    Later(usize),
}

/// Has `rules` act on a request. `None`: it goes its way.
pub fn run(rules: &[Rule], subject: &mut dyn Subject) -> Option<Answer> {
    let mut label: Option<&str> = None;
    for (index, rule) in rules.iter().enumerate() {
        let (test, action) = match rule {
            Rule::Label(name) => {
                label = label.filter(|wanted| wanted != name);
                continue;
            }
            Rule::Do(..) if label.is_some() => continue,
            Rule::Do(test, action) => (test, action),
        };
        let Some(groups) = asks(test, subject) else { continue };
        match act(action, &groups, subject) {
            Next::Rule => {}
            Next::Label(name) => label = Some(name),
            Next::Application => return None,
            Next::Again => return Some(Answer::Later(index)),
            Next::Answer(answer) => return Some(answer),
        }
    }
    None
}

enum Next<'a> {
    Rule,
    Label(&'a str),
    Application,
    /// The same rule, when more is known.
    Again,
    Answer(Answer),
}

/// What the groups of a rule's expression match, the whole first.
type Groups = Vec<Vec<u8>>;

/// Whether a test holds, and the groups of its expression.
fn asks(test: &Test, subject: &dyn Subject) -> Option<Groups> {
    match test {
        Test::Always => Some(Groups::new()),
        Test::Matches(variable, pattern) => {
            pattern.groups(&subject.variable(variable).unwrap_or_default())
        }
        Test::Status(status) => {
            let is_it = subject.figure(Figure::Status) == Some(u64::from(*status));
            is_it.then(Groups::new)
        }
        Test::If(condition, wanted) => {
            let groups = holds(condition, subject);
            if groups.is_some() == *wanted { Some(groups.unwrap_or_default()) } else { None }
        }
    }
}

fn holds(condition: &Condition, subject: &dyn Subject) -> Option<Groups> {
    let text = |template: &Template| expand(template, &[], subject);
    let is = |holds: bool| holds.then(Groups::new);
    let path = |template| Path::new(std::ffi::OsStr::from_bytes(&text(template))).to_owned();
    match condition {
        Condition::Exists(one) => is(path(one).exists()),
        Condition::IsFile(one) => is(path(one).is_file()),
        Condition::IsDirectory(one) => is(path(one).is_dir()),
        Condition::IsLink(one) => is(path(one).is_symlink()),
        Condition::IsExecutable(one) => is(access(&path(one), AccessFlags::X_OK).is_ok()),
        Condition::Empty(one) => is(text(one).is_empty()),
        Condition::Equal(one, other) => is(text(one) == text(other)),
        Condition::StartsWith(one, other) => is(text(one).starts_with(&text(other))),
        Condition::EndsWith(one, other) => is(text(one).ends_with(&text(other))),
        Condition::Contains(one, other) => is(text::contains(&text(one), &text(other))),
        Condition::Matches(one, pattern) => pattern.groups(&text(one)),
        Condition::Compares(one, order, other) => {
            let (one, other) = (text::number(&text(one)), text::number(&text(other)));
            is(match order {
                Order::Higher => one > other,
                Order::HigherOrEqual => one >= other,
                Order::Lower => one < other,
                Order::LowerOrEqual => one <= other,
            })
        }
        Condition::IsIn(one, network) => {
            let address = text(one);
            let address = std::str::from_utf8(&address).ok().and_then(|it| it.parse().ok());
            is(address.is_some_and(|address: std::net::IpAddr| network.contains(&address)))
        }
    }
}

fn act<'a>(action: &'a Action, groups: &[Vec<u8>], subject: &mut dyn Subject) -> Next<'a> {
    let text = |template: &Template, subject: &dyn Subject| expand(template, groups, subject);
    match action {
        Action::Last => return Next::Application,
        Action::Status(status) => return Next::Answer(Answer::Status(*status)),
        Action::Redirect(status, to) => {
            return Next::Answer(Answer::Redirect(*status, text(to, subject)));
        }
        Action::File(path) => return Next::Answer(file(path, text(path, subject))),
        Action::Rewrite(to, is_last) => {
            rewrite(&text(to, subject), subject);
            if *is_last {
                return Next::Application;
            }
        }
        Action::FixPathInfo => fix_path_info(subject),
        Action::SetPath(to) => set_path(text(to, subject), subject),
        Action::SetVariable(name, value) => subject.set(name, text(value, subject)),
        Action::AddHeader(name, value) => subject.add_field(name, text(value, subject)),
        Action::RemoveHeader(name) => subject.remove_field(name),
        Action::ClearHeaders(status) => subject.clear(*status),
        Action::Log(line) => subject.log(&text(line, subject)),
        Action::LogVariable(name, value) => subject.note(name, &text(value, subject)),
        Action::Silent => subject.silence(),
        Action::Goto(label) => return Next::Label(label),
        Action::Authenticate { realm, members, lenient } => {
            return authenticate(realm, members, *lenient, subject);
        }
        Action::Nothing => {}
    }
    Next::Rule
}

/// Who is known already, by a rule above or to the web server, is not asked.
fn authenticate<'a>(
    realm: &str,
    members: &Members,
    lenient: bool,
    subject: &mut dyn Subject,
) -> Next<'a> {
    if subject.variable("REMOTE_USER").is_some_and(|user| !user.is_empty()) {
        return Next::Rule;
    }
    let said = subject.variable("HTTP_AUTHORIZATION").and_then(|said| text::credentials(&said));
    let Some(said) = said else { return Next::Answer(Answer::Unauthorized(realm.to_owned())) };
    let passes = match members {
        Members::One(credentials) => text::equal(&said, credentials.as_bytes()),
        Members::File(file) => match subject.knows(file, &said) {
            Some(passes) => passes,
            None => return Next::Again,
        },
    };
    if passes {
        let user = said.split(|&byte| byte == b':').next().unwrap_or_default();
        subject.set("REMOTE_USER", user.to_vec());
    } else if !lenient {
        return Next::Answer(Answer::Unauthorized(realm.to_owned()));
    }
    Next::Rule
}

/// The query of the request stays, after that of the rule.
fn rewrite(to: &[u8], subject: &mut dyn Subject) {
    let mut parts = to.splitn(2, |&byte| byte == b'?');
    set_path(parts.next().unwrap_or_default().to_vec(), subject);
    if let Some(query) = parts.next() {
        let old = subject.variable("QUERY_STRING").unwrap_or_default();
        let parts: Vec<_> = [query, &old].into_iter().filter(|part| !part.is_empty()).collect();
        let query = parts.join(&b'&');
        subject.set("QUERY_STRING", query);
    }
}

/// PEP 3333: it is empty, or begins with a slash.
fn set_path(mut path: Vec<u8>, subject: &mut dyn Subject) {
    if path.first().is_some_and(|&first| first != b'/') {
        path.insert(0, b'/');
    }
    subject.set("PATH_INFO", path);
}

/// What a client has sent may name a file below the directory of the configuration, not lead out of it.
fn file(template: &Template, path: Vec<u8>) -> Answer {
    let names = Path::new(std::ffi::OsStr::from_bytes(&path)).components();
    if path.contains(&0) || names.into_iter().any(|part| part == Component::ParentDir) {
        return Answer::Status(404);
    }
    let root = root(template).to_owned();
    Answer::File { path, root }
}

/// The part of a file's path that is in the configuration: a directory, or the file itself.
pub fn root(path: &Template) -> &str {
    let beginning = path.beginning();
    match (path.0.len(), beginning.rfind('/')) {
        (1, _) | (_, None) => beginning,
        (_, Some(end)) => beginning.get(..=end).unwrap_or(beginning),
    }
}

fn fix_path_info(subject: &mut dyn Subject) {
    let path = subject.variable("PATH_INFO").unwrap_or_default().into_owned();
    let script = subject.variable("SCRIPT_NAME").unwrap_or_default().into_owned();
    if let Some(rest) = path.strip_prefix(script.as_slice())
        && matches!(rest.first(), None | Some(b'/'))
    {
        subject.set("PATH_INFO", rest.to_vec());
    }
}

fn expand(template: &Template, groups: &[Vec<u8>], subject: &dyn Subject) -> Vec<u8> {
    let mut text = Vec::new();
    for piece in &template.0 {
        match piece {
            Piece::Text(plain) => text.extend_from_slice(plain.as_bytes()),
            Piece::Group(index) => {
                text.extend_from_slice(groups.get(*index).map_or(&[], Vec::as_slice));
            }
            Piece::Variable(name) => {
                text.extend_from_slice(&subject.variable(name).unwrap_or_default());
            }
            Piece::Function(function) => {
                text.extend_from_slice(&function::value(function, subject));
            }
        }
    }
    text
}

#[cfg(test)]
#[path = "routing_tests.rs"]
mod tests;
