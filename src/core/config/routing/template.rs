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
    /// `${cookie[NAME]}`.
    Cookie(String),
    /// `${qs[NAME]}`: a parameter of the query string, as it was sent.
    Parameter(String),
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
    let argument = argument.strip_suffix(']').unwrap_or(argument);
    match function {
        "cookie" => Ok(Piece::Cookie(argument.to_owned())),
        "qs" => Ok(Piece::Parameter(argument.to_owned())),
        _ => Err(Invalid::new(format!("has `${{{function}[…]}}`, which is not in this version"))
            .help("there are `${NAME}` of CGI, `${cookie[NAME]}` and `${qs[NAME]}`")),
    }
}
