//! Texts of rules, with what they take from the request.

use serde::{Deserialize, Serialize};

use super::Invalid;

/// A text in which parts of the request are put.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Template(pub Vec<Piece>);

/// A part of it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum Piece {
    /// As it is.
    Text(String),
    /// `$1`: a group of the rule's expression; `$0`: all that it matches.
    Group(usize),
    /// `${NAME}`: a variable of CGI.
    Variable(String),
    /// `${cookie[NAME]}` and its kin.
    Function(Function),
}

/// What is in a text by a function. Those with a name take the value of this variable.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum Function {
    /// `${cookie[NAME]}`.
    Cookie(String),
    /// `${qs[NAME]}`: a parameter of the query string, as it was sent.
    Parameter(String),
    /// `${mime[VARIABLE]}`: the media type of a file of this name.
    MediaType(String),
    /// `${base64[VARIABLE]}`.
    Base64(String),
    /// `${hex[VARIABLE]}`, with capitals.
    Hex(String),
    /// `${httptime[SECONDS]}`: in so many seconds, as fields of HTTP have it.
    HttpTime(u64),
    /// `${time[unix]}`: seconds of the epoch.
    Seconds,
    /// `${time[micros]}`: microseconds of the epoch.
    Micros,
    /// `${uwsgi[uuid]}`: another one each time.
    Uuid,
    /// `${uwsgi[wid]}` and its kin.
    Figure(Figure),
}

/// A number that tells of the server or the response.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Figure {
    /// `wid`: the number of the worker.
    Worker,
    /// `pid`: its process.
    Process,
    /// `status`: of the response, once there is one.
    Status,
    /// `rtime`: how many microseconds it took, once it has left.
    Micros,
    /// `rsize`: the bytes of its body, once it has left.
    Size,
}

impl Template {
    /// Reads a text. A `$` before anything but a digit or a brace is a `$`.
    pub(super) fn read(text: &str) -> Result<Self, Invalid> {
        let mut pieces = Vec::new();
        let mut plain = String::new();
        let mut rest = text;
        while let Some((before, after)) = rest.split_once('$') {
            plain.push_str(before);
            let digit = after.chars().next().and_then(|c| c.to_digit(10));
            let (piece, left) = if let Some(digit) = digit {
                (Piece::Group(digit as usize), &after[1..])
            } else if let Some(inner) = after.strip_prefix('{') {
                let Some((name, left)) = inner.split_once('}') else {
                    return Err(Invalid::new("has a `${` without its `}`"));
                };
                (variable(name)?, left)
            } else {
                plain.push('$');
                rest = after;
                continue;
            };
            if !plain.is_empty() {
                pieces.push(Piece::Text(std::mem::take(&mut plain)));
            }
            pieces.push(piece);
            rest = left;
        }
        plain.push_str(rest);
        if !plain.is_empty() {
            pieces.push(Piece::Text(plain));
        }
        Ok(Self(pieces))
    }

    /// The text before the first part of a request.
    pub fn beginning(&self) -> &str {
        match self.0.first() {
            Some(Piece::Text(text)) => text,
            _ => "",
        }
    }
}

fn variable(name: &str) -> Result<Piece, Invalid> {
    let Some((function, argument)) = name.split_once('[') else {
        let legal = |c: u8| c.is_ascii_alphanumeric() || c == b'_' || c == b'-';
        if name.is_empty() || !name.bytes().all(legal) {
            return Err(Invalid::new(format!("has `${{{name}}}`, which names no variable")));
        }
        return Ok(Piece::Variable(name.to_owned()));
    };
    let Some(argument) = argument.strip_suffix(']') else {
        return Err(Invalid::new(format!("has `${{{name}}}`, in which a `]` is missing")));
    };
    let named = || argument.to_owned();
    Ok(Piece::Function(match (function, argument) {
        ("cookie", _) => Function::Cookie(named()),
        ("qs", _) => Function::Parameter(named()),
        ("mime", _) => Function::MediaType(named()),
        ("base64", _) => Function::Base64(named()),
        ("hex", _) => Function::Hex(named()),
        ("httptime", "") => Function::HttpTime(0),
        ("httptime", _) => match argument.parse() {
            // Within the years that a date of HTTP can have.
            Ok(seconds @ 0..=0xffff_ffff) => Function::HttpTime(seconds),
            _ => {
                let problem = format!("has `${{{name}}}`, which is no number of seconds");
                return Err(Invalid::new(problem).help("write such as `${httptime[3600]}`"));
            }
        },
        ("time", "unix") => Function::Seconds,
        ("time", "micros") => Function::Micros,
        ("uwsgi", "uuid") => Function::Uuid,
        ("uwsgi", "wid") => Function::Figure(Figure::Worker),
        ("uwsgi", "pid") => Function::Figure(Figure::Process),
        ("uwsgi", "status") => Function::Figure(Figure::Status),
        ("uwsgi", "rtime") => Function::Figure(Figure::Micros),
        ("uwsgi", "rsize") => Function::Figure(Figure::Size),
        _ => {
            return Err(Invalid::new(format!("has `${{{name}}}`, which is not known here")).help(
                "there are `${NAME}` of CGI, `cookie[NAME]`, `qs[NAME]`, `mime[NAME]`, `base64[NAME]`, \
                 `hex[NAME]`, `httptime[SECONDS]`, `time[unix]`, `time[micros]`, and of `uwsgi[…]` wid, pid, \
                 uuid, status, rtime and rsize",
            ));
        }
    }))
}
