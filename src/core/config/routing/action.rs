//! What a rule does.

use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use super::phase::Phase::{self, Error, Final, Request, Response};
use super::template::Template;
use super::{Invalid, field, field_name, refused};

/// What a rule does with a request.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum Action {
    /// `continue`, `last`: no more rules.
    Last,
    /// `break:404`, `return:404`: this is the answer.
    Status(u16),
    /// `redirect:URL` (302), `redirect-permanent:URL` (301).
    Redirect(u16, Template),
    /// `static:FILE`: a file is the answer.
    File(Template),
    /// `rewrite:PATH[?QUERY]`; `true`: no more rules (`rewrite-last`).
    Rewrite(Template, bool),
    /// `fixpathinfo`: SCRIPT_NAME is taken off PATH_INFO.
    FixPathInfo,
    /// `setpathinfo:PATH`.
    SetPath(Template),
    /// `addvar:NAME=TEXT`, `sethost:TEXT` and the like: a variable of the environ.
    SetVariable(String, Template),
    /// `addheader:NAME: TEXT`: the response has this field in addition.
    AddHeader(String, Template),
    /// `delheader:NAME`: the application's response loses this field.
    RemoveHeader(String),
    /// `clearheaders:STATUS`: the response loses all fields, and has this status.
    ClearHeaders(u16),
    /// `log:TEXT`.
    Log(Template),
    /// `logvar:NAME=TEXT`: a variable of `log-format`.
    LogVariable(String, Template),
    /// `donotlog`: the request is not in the log.
    Silent,
    /// `goto:LABEL`.
    Goto(String),
    /// `basicauth:REALM,USER:PASSWORD`, `basicauth:REALM,FILE`.
    Authenticate {
        /// The realm.
        realm: String,
        /// Who may pass.
        members: Members,
        /// Who says others may be known to a rule below (`basicauth-next`).
        lenient: bool,
    },
    /// `donotoffload`: there is no offloading that could be switched off.
    Nothing,
}

/// Who passes `basicauth`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum Members {
    /// `USER:PASSWORD`.
    One(String),
    /// Who is in this file of htpasswd(1), absolute.
    File(PathBuf),
}

/// Actions that set one variable, and that.
const SETTERS: [(&str, &str); 10] = [
    ("sethost", "HTTP_HOST"),
    ("seturi", "REQUEST_URI"),
    ("setqs", "QUERY_STRING"),
    ("setscriptname", "SCRIPT_NAME"),
    ("setremoteaddr", "REMOTE_ADDR"),
    ("setremoteuser", "REMOTE_USER"),
    ("setuser", "REMOTE_USER"),
    ("setdocroot", "DOCUMENT_ROOT"),
    ("setscheme", "wsgi.url_scheme"),
    ("setmethod", "REQUEST_METHOD"),
];

const ALWAYS: &[Phase] = &[Request, Error, Response, Final];
const BEFORE_IT_LEAVES: &[Phase] = &[Request, Error, Response];
const OF_RESPONSES: &[Phase] = &[Error, Response];
const OF_REQUESTS: &[Phase] = &[Request];

/// The other actions, and when there is something that they can act on.
const ACTIONS: [(&str, &[Phase]); 28] = [
    ("redirect", BEFORE_IT_LEAVES),
    ("redirect-302", BEFORE_IT_LEAVES),
    ("redirect-permanent", BEFORE_IT_LEAVES),
    ("redirect-301", BEFORE_IT_LEAVES),
    ("static", BEFORE_IT_LEAVES),
    ("break", BEFORE_IT_LEAVES),
    ("return", BEFORE_IT_LEAVES),
    ("break-with-status", BEFORE_IT_LEAVES),
    ("last", ALWAYS),
    ("continue", ALWAYS),
    ("goto", ALWAYS),
    ("addheader", BEFORE_IT_LEAVES),
    ("delheader", BEFORE_IT_LEAVES),
    ("remheader", BEFORE_IT_LEAVES),
    ("clearheaders", OF_RESPONSES),
    ("resetheaders", OF_RESPONSES),
    ("rewrite", OF_REQUESTS),
    ("rewrite-last", OF_REQUESTS),
    ("setpathinfo", OF_REQUESTS),
    ("fixpathinfo", OF_REQUESTS),
    ("basicauth", OF_REQUESTS),
    ("basicauth-next", OF_REQUESTS),
    ("addvar", ALWAYS),
    ("setvar", ALWAYS),
    ("log", ALWAYS),
    ("logvar", ALWAYS),
    ("donotlog", ALWAYS),
    ("donotoffload", ALWAYS),
];

/// The names of all actions.
pub(super) fn names() -> impl Iterator<Item = &'static str> {
    let others = ACTIONS.iter().map(|(name, _)| *name);
    others.chain(SETTERS.iter().map(|(name, _)| *name))
}

/// Reads `name` or `name:argument`.
pub(super) fn read(phase: Phase, text: &str) -> Result<Action, Invalid> {
    let (name, argument) = text.split_once(':').unwrap_or((text, ""));
    let setter = SETTERS.iter().find(|(setter, _)| *setter == name);
    let other = ACTIONS.iter().find(|(action, _)| *action == name).map(|(_, phases)| *phases);
    let Some(phases) = setter.map(|_| OF_REQUESTS).or(other) else {
        return Err(refused::unknown(name));
    };
    if !phases.contains(&phase) {
        return Err(refused::in_phase(name, phase));
    }
    let template = || match argument {
        "" => Err(Invalid::new(format!("has the action `{name}` without an argument"))
            .help(format!("write it after the colon: `{name}:…`"))),
        text => Template::read(text),
    };
    if let Some((_, variable)) = setter {
        return Ok(Action::SetVariable((*variable).to_owned(), template()?));
    }
    match name {
        "continue" | "last" => Ok(Action::Last),
        "break" | "return" | "break-with-status" => status(argument).map(Action::Status),
        "redirect" | "redirect-302" => Ok(Action::Redirect(302, template()?)),
        "redirect-permanent" | "redirect-301" => Ok(Action::Redirect(301, template()?)),
        "static" => file(template()?),
        "rewrite" => Ok(Action::Rewrite(template()?, false)),
        "rewrite-last" => Ok(Action::Rewrite(template()?, true)),
        "fixpathinfo" => Ok(Action::FixPathInfo),
        "setpathinfo" => Ok(Action::SetPath(template()?)),
        "addvar" | "setvar" => variable(argument).map(|(n, v)| Action::SetVariable(n, v)),
        "logvar" => variable(argument).map(|(n, v)| Action::LogVariable(n, v)),
        "addheader" => {
            let (name, value) = field(argument)?;
            Ok(Action::AddHeader(name, Template::read(value)?))
        }
        "delheader" | "remheader" => field_name(argument).map(Action::RemoveHeader),
        "clearheaders" | "resetheaders" => status(argument).map(Action::ClearHeaders),
        "log" => template().map(Action::Log),
        "donotlog" => Ok(Action::Silent),
        "donotoffload" => Ok(Action::Nothing),
        "goto" if !argument.is_empty() => Ok(Action::Goto(argument.to_owned())),
        "goto" => Err(Invalid::new("goes nowhere").help("write `goto:LABEL`")),
        "basicauth" | "basicauth-next" => credentials(argument, name == "basicauth-next"),
        _ => Err(refused::unknown(name)),
    }
}

/// `404`, or `404 Not Found`, of which the number counts.
fn status(text: &str) -> Result<u16, Invalid> {
    super::status(text.split_whitespace().next().unwrap_or_default())
}

/// What a client sends must not choose the directory.
fn file(path: Template) -> Result<Action, Invalid> {
    if !path.beginning().starts_with('/') {
        return Err(Invalid::new("names a file whose directory is not in the configuration").help(
            "write an absolute path that begins with the directory, `static:/srv/media/$1`",
        ));
    }
    Ok(Action::File(path))
}

fn variable(text: &str) -> Result<(String, Template), Invalid> {
    match text.split_once('=') {
        Some((name, value)) if !name.is_empty() && !name.starts_with("wsgi.") => {
            Ok((name.to_owned(), Template::read(value)?))
        }
        _ => {
            Err(Invalid::new(format!("has `{text}`, which sets no variable"))
                .help("write `NAME=TEXT`"))
        }
    }
}

fn credentials(text: &str, lenient: bool) -> Result<Action, Invalid> {
    let wrong = |problem: &str| {
        let help = "write `basicauth:REALM,USER:PASSWORD`, or `basicauth:REALM,FILE` with a file of htpasswd";
        Err(Invalid::new(problem).help(help))
    };
    let Some((realm, members)) = text.split_once(',') else {
        return wrong("asks for a password that is not in it");
    };
    if realm.contains(['"', '\\']) || realm.contains(char::is_control) {
        return wrong("has a realm that cannot be in a field");
    }
    let members = match members {
        "" | ":" => return wrong("asks for a password that is not in it"),
        one if one.contains(':') => Members::One(one.to_owned()),
        file => Members::File(file.into()),
    };
    Ok(Action::Authenticate { realm: realm.to_owned(), members, lenient })
}
