//! The line of a request (`log-format`): compiled once, written without allocation.

use super::Access;
use super::access::{Header, number};
use super::clock::{self, CTIME};
use super::field::{FIELDS, Field, Scene};
use super::text::{escape, escape_json};

/// NCSA's combined format, as Apache and nginx write it.
const COMBINED: &str = "%(addr) - %(user) [%(ltime)] \"%(method) %(uri) %(proto)\" %(status) %(rsize) \
                        \"%(referer)\" \"%(uagent)\"";

/// How a request becomes a line.
#[derive(Debug)]
pub(super) enum Format {
    /// rwsgi's own.
    Own,
    /// The one that uWSGI writes when it was told nothing.
    Uwsgi {
        /// Durations in microseconds (`log-micros`).
        micros: bool,
    },
    /// An object with the documented keys.
    Json,
    /// As was asked for.
    Pieces {
        pieces: Vec<Piece>,
        /// It is an object of JSON: so is quoted what comes from elsewhere.
        json: bool,
    },
}

/// A part of a line.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Piece {
    Text(Box<str>),
    Field(Field),
    /// A variable of CGI.
    Variable(Box<str>),
    /// What the application has noted.
    Note(Box<str>),
}

impl Format {
    /// The format that this text stands for. `None` and `rwsgi`: rwsgi's own; `uwsgi`, `combined`,
    /// `json` by name.
    pub(super) fn compile(text: Option<&str>, micros: bool) -> Self {
        match text {
            None | Some("rwsgi") => Self::Own,
            Some("uwsgi") => Self::Uwsgi { micros },
            Some("json") => Self::Json,
            Some("combined") => Self::Pieces { pieces: pieces(COMBINED), json: false },
            Some(text) => {
                let json = text.starts_with('{') && text.ends_with('}');
                Self::Pieces { pieces: pieces(text), json }
            }
        }
    }

    /// Whether a line of it wants to know how large the head of the response was.
    pub(super) fn measures_heads(&self) -> bool {
        match self {
            Self::Own => false,
            Self::Uwsgi { .. } | Self::Json => true,
            Self::Pieces { pieces, .. } => pieces.iter().any(|piece| {
                matches!(piece, Piece::Field(Field::Headers | Field::HeadSize | Field::Size))
            }),
        }
    }

    /// Whether a line of it has its time and its worker already, or is meant to have none.
    pub(super) fn is_bare(&self) -> bool {
        !matches!(self, Self::Own)
    }

    /// Appends the line, without its end.
    pub(super) fn append(&self, out: &mut Vec<u8>, access: &Access<'_>, scene: &Scene<'_>) {
        match self {
            Self::Own => access.line(out),
            Self::Uwsgi { micros } => uwsgi(out, access, scene, *micros),
            Self::Json => json(out, access, scene),
            Self::Pieces { pieces, json } => {
                let quote = if *json { escape_json } else { escape };
                for piece in pieces {
                    append(out, piece, access, scene, quote);
                }
            }
        }
    }
}

type Quote = fn(&mut Vec<u8>, &[u8]);

fn append(out: &mut Vec<u8>, piece: &Piece, access: &Access<'_>, scene: &Scene<'_>, quote: Quote) {
    let mut value = |text: Option<&[u8]>| match text {
        Some(text) if !text.is_empty() => quote(out, text),
        _ => out.push(b'-'),
    };
    match piece {
        Piece::Text(text) => out.extend_from_slice(text.as_bytes()),
        Piece::Variable(name) => value(access.request.variable(name).as_deref()),
        Piece::Note(name) => value(access.request.note(name).as_deref()),
        Piece::Field(field) => match field.text(access, scene) {
            Some(text) => value(Some(&text)),
            None => field.number(out, access, scene),
        },
    }
}

/// The line that uWSGI writes by itself.
fn uwsgi(out: &mut Vec<u8>, access: &Access<'_>, scene: &Scene<'_>, micros: bool) {
    let (here, all) = access.request.counts();
    let (variables, size) = access.request.variables();
    let ran = access.thread.is_some();
    out.extend_from_slice(b"[pid: ");
    number(out, scene.pid.into());
    out.extend_from_slice(b"|app: ");
    if ran {
        number(out, access.request.application());
        out.extend_from_slice(b"|req: ");
        number(out, here);
    } else {
        out.extend_from_slice(b"-1|req: -1");
    }
    out.push(b'/');
    number(out, all);
    out.extend_from_slice(b"] ");
    escape(out, access.client.as_bytes());
    out.extend_from_slice(b" (");
    escape(out, &access.request.variable("REMOTE_USER").unwrap_or_default());
    out.extend_from_slice(b") {");
    number(out, 2 * variables);
    out.extend_from_slice(b" vars in ");
    number(out, size);
    out.extend_from_slice(b" bytes} [");
    clock::append(out, CTIME, scene.began(access) / 1_000_000);
    out.extend_from_slice(b"] ");
    out.extend_from_slice(access.method.as_bytes());
    out.push(b' ');
    escape(out, access.target);
    out.extend_from_slice(b" => generated ");
    number(out, access.bytes);
    out.extend_from_slice(b" bytes in ");
    number(out, if micros { access.micros } else { access.micros / 1000 });
    out.extend_from_slice(if micros { b" micros" } else { b" msecs" });
    out.extend_from_slice(if access.sendfile { b" via sendfile() (" } else { b" (" });
    out.extend_from_slice(access.protocol.as_bytes());
    out.push(b' ');
    number(out, access.status.into());
    out.extend_from_slice(b") ");
    number(out, access.fields.into());
    out.extend_from_slice(b" headers in ");
    number(out, access.head_bytes);
    out.extend_from_slice(b" bytes (");
    number(out, u64::from(ran));
    out.extend_from_slice(b" switches on core ");
    number(out, access.thread.unwrap_or_default().into());
    out.push(b')');
}

/// An object with everything that most want to know. Keys that have nothing to say are left out.
fn json(out: &mut Vec<u8>, access: &Access<'_>, scene: &Scene<'_>) {
    out.extend_from_slice(b"{\"time\":\"");
    Field::Iso.number(out, access, scene);
    let header = |header| access.request.header(header);
    let (host, referer) = (header(Header::Host), header(Header::Referer));
    let agent = header(Header::UserAgent);
    let user = access.request.variable("REMOTE_USER");
    let texts = [
        ("client", Some(access.client.as_bytes())),
        ("user", user.as_deref()),
        ("method", Some(access.method.as_bytes())),
        ("uri", Some(access.target)),
        ("protocol", Some(access.protocol.as_bytes())),
        ("host", host.as_deref()),
        ("referer", referer.as_deref()),
        ("user_agent", agent.as_deref()),
    ];
    for (key, text) in texts {
        let Some(text) = text.filter(|text| !text.is_empty()) else { continue };
        out.extend_from_slice(b"\",\"");
        out.extend_from_slice(key.as_bytes());
        out.extend_from_slice(b"\":\"");
        escape_json(out, text);
    }
    out.extend_from_slice(b"\",\"request_id\":\"");
    access.request.request_id(out);
    out.push(b'"');
    let numbers = [
        ("status", access.status.into()),
        ("bytes", access.bytes),
        ("head_bytes", access.head_bytes),
        ("duration_usec", access.micros),
        ("worker", scene.worker.into()),
        ("pid", scene.pid.into()),
    ];
    for (key, value) in numbers {
        out.extend_from_slice(b",\"");
        out.extend_from_slice(key.as_bytes());
        out.extend_from_slice(b"\":");
        number(out, value);
    }
    out.extend_from_slice(if access.complete {
        b",\"complete\":true}".as_slice()
    } else {
        b",\"complete\":false}"
    });
}

/// Takes a format apart. What is not closed is text.
fn pieces(text: &str) -> Vec<Piece> {
    let mut pieces = Vec::new();
    let mut plain = String::new();
    let mut rest = text;
    while let Some((before, after)) = rest.split_once("%(") {
        let Some((name, tail)) = after.split_once(')') else { break };
        plain.push_str(before);
        if !plain.is_empty() {
            pieces.push(Piece::Text(std::mem::take(&mut plain).into()));
        }
        pieces.push(piece(name));
        rest = tail;
    }
    plain.push_str(rest);
    if !plain.is_empty() {
        pieces.push(Piece::Text(plain.into()));
    }
    pieces
}

fn piece(name: &str) -> Piece {
    if let Some((_, field)) = FIELDS.iter().find(|(known, _)| *known == name) {
        return Piece::Field(*field);
    }
    match name.strip_prefix("var.") {
        Some(variable) => Piece::Variable(variable.into()),
        // There are no metrics.
        None if name.starts_with("metric.") => Piece::Text("0".into()),
        None => Piece::Note(name.into()),
    }
}

/// The names in a format that only the application can give a value (`uwsgi.set_logvar`).
pub fn notes(format: &str) -> Vec<String> {
    let names = pieces(format).into_iter().filter_map(|piece| match piece {
        Piece::Note(name) => Some(name.into_string()),
        Piece::Text(_) | Piece::Field(_) | Piece::Variable(_) => None,
    });
    names.collect()
}

#[cfg(test)]
#[path = "format_tests.rs"]
mod tests;
