//! What a rule does.

use serde::{Deserialize, Serialize};

use super::template::Template;
use super::{Invalid, field, field_name};

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
    /// `log:TEXT`.
    Log(Template),
    /// `logvar:NAME=TEXT`: a variable of `log-format`.
    LogVariable(String, Template),
    /// `donotlog`: the request is not in the log.
    Silent,
    /// `goto:LABEL`.
    Goto(String),
    /// `basicauth:REALM,USER:PASSWORD`.
    Authenticate {
        /// The realm.
        realm: String,
        /// `USER:PASSWORD`.
        credentials: String,
    },
}

/// Actions that set one variable, and that.
const SETTERS: [(&str, &str); 9] = [
    ("sethost", "HTTP_HOST"),
    ("seturi", "REQUEST_URI"),
    ("setqs", "QUERY_STRING"),
    ("setscriptname", "SCRIPT_NAME"),
    ("setremoteaddr", "REMOTE_ADDR"),
    ("setremoteuser", "REMOTE_USER"),
    ("setuser", "REMOTE_USER"),
    ("setdocroot", "DOCUMENT_ROOT"),
    ("setscheme", "wsgi.url_scheme"),
];

/// Reads `name` or `name:argument`.
pub(super) fn read(text: &str) -> Result<Action, Invalid> {
    let (name, argument) = text.split_once(':').unwrap_or((text, ""));
    let template = || match argument {
        "" => Err(Invalid::new(format!("has the action `{name}` without an argument"))
            .help(format!("write it after the colon: `{name}:…`"))),
        text => Template::read(text),
    };
    if let Some((_, variable)) = SETTERS.iter().find(|(setter, _)| *setter == name) {
        return Ok(Action::SetVariable((*variable).to_owned(), template()?));
    }
    match name {
        "continue" | "last" => Ok(Action::Last),
        "break" | "return" => status(argument).map(Action::Status),
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
        "log" => template().map(Action::Log),
        "donotlog" => Ok(Action::Silent),
        "goto" if !argument.is_empty() => Ok(Action::Goto(argument.to_owned())),
        "basicauth" => credentials(argument),
        _ => Err(unknown(name)),
    }
}

fn unknown(name: &str) -> Invalid {
    let help = match name {
        "http" | "uwsgi" | "cgi" | "fastcgi" | "scgi" | "proxyhttp" | "proxyuwsgi" | "offload" => {
            "rwsgi is no proxy: write it in the web server before it"
        }
        "cache" | "cachestore" | "cachenottofile" | "memcached" | "redis" => {
            "write it in the web server before rwsgi, or in a middleware"
        }
        "expires" => "write `addheader:Expires: …`, or `static-expires` for files",
        "harakiri" => {
            "`harakiri` is for every request; one sets its own by uwsgi.set_user_harakiri()"
        }
        "gzip" | "chunked" | "toupper" | "template" => {
            "bodies are sent as the application makes them: write a middleware"
        }
        _ => {
            "there are redirect, redirect-permanent, static, rewrite, rewrite-last, break, return, last, \
             continue, goto, addheader, delheader, addvar, setpathinfo, setscriptname, fixpathinfo, sethost, \
             setremoteuser, log, logvar, donotlog and basicauth; the rest is for the web server or a middleware"
        }
    };
    Invalid::new(format!("has the action `{name}`, which rwsgi does not have")).help(help)
}

/// `404`, or `404 Not Found`, of which the number counts.
fn status(text: &str) -> Result<u16, Invalid> {
    let number = text.split_whitespace().next().unwrap_or_default();
    match number.parse() {
        Ok(status) if (200..600).contains(&status) => Ok(status),
        _ => Err(Invalid::new(format!("answers with `{text}`, which is no status"))
            .help("write a number from 200 to 599, such as `break:403`")),
    }
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

fn credentials(text: &str) -> Result<Action, Invalid> {
    match text.split_once(',') {
        Some((realm, credentials)) if credentials.contains(':') && !realm.contains(['"', '\\']) => {
            let (realm, credentials) = (realm.to_owned(), credentials.to_owned());
            Ok(Action::Authenticate { realm, credentials })
        }
        _ => Err(Invalid::new("asks for a password that is not in it").help(
            "write `basicauth:REALM,USER:PASSWORD`; files of htpasswd are for the web server",
        )),
    }
}
