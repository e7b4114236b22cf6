//! What the value of an option can be, and how its text becomes that.

use std::net::IpAddr;
use std::path::PathBuf;

use ipnet::IpNet;
use nix::unistd::{Group, User};
use serde::{Deserialize, Serialize};

use super::action::{self, Order};
use super::caches::{self, CacheSpec};
use super::pattern::{self, Pattern};
use super::quantity::{bytes, in_megabytes, number, range, seconds, within};
use super::reloading::{self, Probe};
use super::target::Named;
use super::{files, hooks, logger, target};
use crate::address::ListenAddr;

/// More than is ever counted to.
pub(super) const MANY: u64 = 1 << 48;

/// What the value of an option can be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// On or off.
    Switch,
    /// On, whatever is written; the text says what rwsgi does.
    Always(&'static str),
    /// A whole number of something.
    Number {
        /// The least.
        min: u64,
        /// The most.
        max: u64,
        /// What is counted, in the plural.
        unit: &'static str,
    },
    /// A whole number of something, or a word.
    NumberOrWord {
        /// The least.
        min: u64,
        /// The most.
        max: u64,
        /// What is counted, in the plural.
        unit: &'static str,
        /// The word.
        word: &'static str,
    },
    /// A time in whole seconds.
    Seconds {
        /// The least.
        min: u64,
        /// The most.
        max: u64,
    },
    /// A time in seconds, or a switch: on is the default, off is zero.
    SecondsOrSwitch {
        /// The most.
        max: u64,
        /// What "on" stands for.
        on: u64,
    },
    /// A size in bytes.
    Bytes {
        /// The least.
        min: u64,
        /// The most.
        max: u64,
    },
    /// Permission bits, three or four octal digits.
    Mode,
    /// The same for a socket; `1` are those that let everybody in.
    SocketMode,
    /// A file mode creation mask, octal.
    Mask,
    /// A user, by name or number.
    User,
    /// A group, by name or number.
    Group,
    /// `user` or `user:group`.
    Owner,
    /// The same, or a switch: who serves, or nobody else.
    OwnerOrSwitch,
    /// A file or directory.
    Path,
    /// Where to listen.
    Address,
    /// `package.module` or `package.module:callable`.
    Module,
    /// The name of the callable.
    Callable,
    /// `/prefix=application`.
    Mount,
    /// Where to listen, or a switch: everywhere, or nowhere.
    AddressOrSwitch,
    /// Addresses of peers: a network, `unix`, or `*`.
    Network,
    /// One of these words.
    Choice(&'static [&'static str]),
    /// Some of these words, with blanks or commas between.
    Words(&'static [&'static str]),
    /// `NAME=value`.
    Variable,
    /// A file name, or the end of one.
    Name,
    /// `/prefix=directory`.
    Mapping,
    /// A regular expression.
    Pattern,
    /// `regex seconds`.
    Expiry,
    /// `type/subtype=seconds`.
    TypeExpiry,
    /// The path of a request, or its URL.
    Probe,
    /// Any text.
    Text,
    /// Any text, or nothing.
    SwitchOrText,
    /// `[name ]kind[:argument]`: a sink of the log.
    Logger(&'static str),
    /// `name regex`.
    Route,
    /// `name[ argument]`.
    Encoder,
    /// A cache: `name=value`, with commas between.
    Cache,
    /// What a hook does: `action:argument`.
    Hook,
    /// A command for the shell.
    Command,
    /// `file action:argument`.
    TouchHook,
}

/// A value that was understood.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Value {
    /// Of [`Kind::Switch`] and [`Kind::Always`].
    Switch(bool),
    /// A number, seconds, bytes, bits, or the number of a user or group.
    Number(u64),
    /// Of [`Kind::Owner`].
    Owner(u32, Option<u32>),
    /// Of [`Kind::Path`], as written.
    Path(PathBuf),
    /// Of [`Kind::Address`]; a UNIX path as written.
    Address(ListenAddr),
    /// Of [`Kind::Network`].
    Peers(Peers),
    /// Of [`Kind::Words`].
    Words(Vec<String>),
    /// Of [`Kind::Module`]: the module, and the callable if it was named.
    Module(String, Option<String>),
    /// Of [`Kind::Mount`]: the prefix without a slash at its end, and the application.
    Mount(String, Named),
    /// Of [`Kind::Callable`], [`Kind::Choice`], [`Kind::Name`] and [`Kind::Text`], and the word of
    /// [`Kind::NumberOrWord`].
    Text(String),
    /// Of [`Kind::Variable`].
    Variable(String, String),
    /// Of [`Kind::Mapping`]: the prefix without a slash at its end, and the directory as written.
    Mapping(String, PathBuf),
    /// Of [`Kind::Pattern`].
    Pattern(Pattern),
    /// Of [`Kind::Expiry`].
    Expiry(Pattern, u32),
    /// Of [`Kind::TypeExpiry`].
    TypeExpiry(String, u32),
    /// Of [`Kind::Logger`]: the name, if it has one, and the sink, with a path as written.
    Logger(Option<String>, super::LogTarget),
    /// Of [`Kind::Route`].
    Route(String, Pattern),
    /// Of [`Kind::Encoder`]: the name of the logger that it is for, if it is for one.
    Encoder(Option<String>, super::logging::Encoder),
    /// Of [`Kind::Probe`].
    Probe(Probe),
    /// Of [`Kind::Cache`].
    Cache(Box<CacheSpec>),
    /// Of [`Kind::Hook`] and [`Kind::Command`].
    Order(Box<Order>),
    /// Of [`Kind::TouchHook`]: the file as written, and what is done.
    Touch(PathBuf, Box<Order>),
}

/// Peers, by where they are.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Peers {
    /// An address or a network of addresses.
    Network(IpNet),
    /// The other end of a UNIX socket.
    Unix,
    /// Everybody.
    All,
}

/// Why a text is not a value of its kind.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Invalid {
    /// Completes "`option = text` …".
    pub problem: String,
    /// What to write instead, where that can be guessed.
    pub help: Option<String>,
}

impl Invalid {
    pub(super) fn new(problem: impl Into<String>) -> Self {
        Self { problem: problem.into(), help: None }
    }

    pub(super) fn help(mut self, help: impl Into<String>) -> Self {
        self.help = Some(help.into());
        self
    }
}

impl Kind {
    /// What can be written, in words.
    pub fn expected(self) -> String {
        match self {
            Self::Switch | Self::Always(_) => {
                "`true`, `yes`, `on`, `1`, or `false`, `no`, `off`, `0`".to_owned()
            }
            Self::Number { min, max, unit } => {
                format!("a number of {unit} from {}", range(min, max))
            }
            Self::NumberOrWord { min, max, unit, word } => {
                format!("a number of {unit} from {}, or `{word}`", range(min, max))
            }
            Self::Seconds { min, max } => format!("a number of seconds from {min} to {max}"),
            Self::SecondsOrSwitch { max, .. } => {
                format!("a number of seconds up to {max}, or `true` or `false`")
            }
            Self::Bytes { min, max } => {
                format!("a number of bytes from {}, such as `65536` or `64k`", range(min, max))
            }
            Self::Mode | Self::SocketMode => "three octal digits, such as `660`".to_owned(),
            Self::Mask => "octal digits, such as `022`".to_owned(),
            Self::User => "a user's name or number".to_owned(),
            Self::Group => "a group's name or number".to_owned(),
            Self::Owner => "`user` or `user:group`".to_owned(),
            Self::OwnerOrSwitch => "`true`, `false`, `user` or `user:group`".to_owned(),
            Self::Path => "a path".to_owned(),
            Self::Address => {
                "`127.0.0.1:8000`, `:8000`, `[::1]:8000`, a path such as `/run/app.sock`, \
                 `@abstract`, `systemd:NAME` or `fd://3`"
                    .to_owned()
            }
            Self::AddressOrSwitch => {
                "`true`, or one of the addresses of `http` and `socket`, as it is written there"
                    .to_owned()
            }
            Self::Network => {
                "an address such as `10.0.0.1` or `::1`, a network such as `10.0.0.0/8`, `unix`, or `*`"
                    .to_owned()
            }
            Self::Words(words) => format!("some of {}", list(words)),
            Self::Module => "`package.module` or `package.module:callable`".to_owned(),
            Self::Callable => "the name of the WSGI callable, such as `application`".to_owned(),
            Self::Mount => {
                "a prefix and an application, `/shop=shop.wsgi:application` or `/shop=shop/wsgi.py`"
                    .to_owned()
            }
            Self::Choice(words) => format!("one of {}", list(words)),
            Self::Variable => "`NAME=value`".to_owned(),
            Self::Name => "a file name, or the end of one, without slashes".to_owned(),
            Self::Mapping => "a prefix and a directory, `/static=/srv/static`".to_owned(),
            Self::Pattern => r"a regular expression, such as `\.(css|js)$`".to_owned(),
            Self::Expiry => r"a regular expression and seconds, such as `\.css$ 3600`".to_owned(),
            Self::TypeExpiry => "a media type and seconds, `image/png=86400`".to_owned(),
            Self::Cache => caches::EXPECTED.to_owned(),
            Self::Hook => action::EXPECTED.to_owned(),
            Self::Command => "a command, as for `sh -c`".to_owned(),
            Self::TouchHook => format!("a file, a blank, and {}", action::EXPECTED),
            Self::Probe => "a path such as `/healthz`, or `http://host/path`".to_owned(),
            Self::Text | Self::SwitchOrText => "a text".to_owned(),
            Self::Logger(_) => {
                "a logger such as `file:/var/log/shop.log`, `syslog` or `socket:127.0.0.1:5140`, \
                 with a name and a blank before it if routes are to name it"
                    .to_owned()
            }
            Self::Route => "the name of a logger and a regular expression".to_owned(),
            Self::Encoder => "an encoder such as `nl`, `prefix TEXT` or `json TEXT`".to_owned(),
        }
    }

    /// The placeholder for the value in help texts; `None` for a switch.
    pub fn placeholder(self) -> Option<&'static str> {
        match self {
            Self::Switch | Self::Always(_) => None,
            Self::Number { .. } | Self::NumberOrWord { .. } => Some("N"),
            Self::Seconds { .. } | Self::SecondsOrSwitch { .. } => Some("SECONDS"),
            Self::Bytes { .. } => Some("BYTES"),
            Self::Mode | Self::SocketMode | Self::Mask => Some("MODE"),
            Self::User => Some("USER"),
            Self::Group => Some("GROUP"),
            Self::Owner | Self::OwnerOrSwitch => Some("USER[:GROUP]"),
            Self::Path => Some("PATH"),
            Self::Address | Self::AddressOrSwitch => Some("ADDRESS"),
            Self::Network => Some("NETWORK"),
            Self::Words(_) => Some("WORDS"),
            Self::Module => Some("MODULE[:CALLABLE]"),
            Self::Callable => Some("NAME"),
            Self::Mount => Some("/PREFIX=APPLICATION"),
            Self::Choice(_) => Some("WORD"),
            Self::Variable => Some("NAME=VALUE"),
            Self::Name => Some("NAME"),
            Self::Mapping => Some("/PREFIX=DIRECTORY"),
            Self::Pattern => Some("REGEX"),
            Self::Expiry => Some("REGEX SECONDS"),
            Self::TypeExpiry => Some("TYPE=SECONDS"),
            Self::Probe => Some("PATH"),
            Self::Text | Self::SwitchOrText | Self::Encoder => Some("TEXT"),
            Self::Logger(_) => Some("LOGGER"),
            Self::Route => Some("NAME REGEX"),
            Self::Cache => Some("KEY=VALUE,..."),
            Self::Hook => Some("ACTION:ARGUMENT"),
            Self::Command => Some("COMMAND"),
            Self::TouchHook => Some("FILE ACTION:ARGUMENT"),
        }
    }

    /// Whether ` # text` and ` ; text` after a value can only be a comment.
    pub fn excludes_comments(self) -> bool {
        !matches!(
            self,
            Self::Variable
                | Self::Text
                | Self::SwitchOrText
                | Self::Route
                | Self::Encoder
                | Self::Hook
                | Self::Command
                | Self::TouchHook
        )
    }

    /// Reads a value. Users, groups and host names ask the system, all else is in the text.
    ///
    /// # Errors
    /// What is wrong with it.
    pub fn parse(self, text: &str) -> Result<Value, Invalid> {
        self.parse_unquoted(text).map_err(|invalid| {
            if is_quoted(text) && invalid.help.is_none() {
                invalid.help("quotes are part of the value in this file format: leave them out")
            } else {
                invalid
            }
        })
    }

    fn parse_unquoted(self, text: &str) -> Result<Value, Invalid> {
        match self {
            Self::Switch | Self::Always(_) => switch(text).map(Value::Switch),
            Self::SwitchOrText => Ok(Value::Text(text.to_owned())),
            Self::Variable => variable(text),
            Self::SecondsOrSwitch { max, on } => seconds_or_switch(text, max, on),
            Self::AddressOrSwitch => switch(text).map(Value::Switch).or_else(|neither| {
                let is_word = text.bytes().all(|byte| byte.is_ascii_alphabetic());
                if is_word { Err(neither) } else { address(text) }
            }),
            Self::OwnerOrSwitch => switch(text).map(Value::Switch).or_else(|_| owner(text)),
            _ if text.is_empty() => Err(Invalid::new("has no value")),
            Self::Number { min, max, unit } => {
                let number = if unit == "megabytes" { in_megabytes(text) } else { number(text) };
                within(number?, min, max)
            }
            Self::NumberOrWord { word, .. } if text.eq_ignore_ascii_case(word) => {
                Ok(Value::Text(word.to_owned()))
            }
            Self::NumberOrWord { min, max, .. } => within(number(text)?, min, max),
            Self::Seconds { min, max } => within(seconds(text)?, min, max),
            Self::Bytes { min, max } => within(bytes(text)?, min, max),
            // uWSGI's word for it.
            Self::SocketMode if text == "1" => Ok(Value::Number(0o666)),
            Self::Mode | Self::SocketMode => mode(text, 3),
            Self::Mask => mode(text, 1),
            Self::User => user(text).map(|id| Value::Number(id.into())),
            Self::Group => group(text).map(|id| Value::Number(id.into())),
            Self::Owner => owner(text),
            Self::Path => path(text),
            Self::Address => address(text),
            Self::Module => target::module(text),
            Self::Callable => target::callable(text).map(Value::Text),
            Self::Mount => target::mount(text),
            Self::Choice(words) => choice(text, words),
            Self::Words(words) => some_words(text, words),
            Self::Network => network(text),
            Self::Name => files::name(text),
            Self::Mapping => files::mapping(text),
            Self::Pattern => pattern::read(text).map(Value::Pattern),
            Self::Expiry => files::pattern_expiry(text),
            Self::TypeExpiry => files::type_expiry(text),
            Self::Cache => caches::cache(text),
            Self::Hook => action::order(text).map(|order| Value::Order(Box::new(order))),
            Self::Command => hooks::command(text),
            Self::TouchHook => hooks::touch(text),
            Self::Probe => reloading::probe(text),
            Self::Text => Ok(Value::Text(text.to_owned())),
            Self::Logger(kind) => logger::logger(&format!("{kind}{text}")),
            Self::Route => logger::route(text),
            Self::Encoder => logger::encoder(text),
        }
    }
}

fn list(words: &[&str]) -> String {
    let words: Vec<_> = words.iter().map(|word| format!("`{word}`")).collect();
    words.join(", ")
}

fn is_quoted(text: &str) -> bool {
    ['"', '\''].iter().any(|&q| text.len() > 1 && text.starts_with(q) && text.ends_with(q))
}

pub(super) fn switch(text: &str) -> Result<bool, Invalid> {
    match text.to_ascii_lowercase().as_str() {
        "" | "true" | "1" | "yes" | "on" => Ok(true),
        "false" | "0" | "no" | "off" => Ok(false),
        _ => Err(Invalid::new("is neither on nor off")),
    }
}

fn seconds_or_switch(text: &str, max: u64, on: u64) -> Result<Value, Invalid> {
    match switch(text) {
        Ok(true) => Ok(Value::Number(on)),
        Ok(false) => Ok(Value::Number(0)),
        Err(_) => within(seconds(text)?, 0, max),
    }
}

pub(super) fn mode(text: &str, least_digits: usize) -> Result<Value, Invalid> {
    let octal = text.bytes().all(|b| (b'0'..=b'7').contains(&b));
    if !octal || !(least_digits..=4).contains(&text.len()) {
        return Err(Invalid::new("is not an octal mode"));
    }
    match u32::from_str_radix(text, 8) {
        Ok(bits) if bits <= 0o777 => Ok(Value::Number(bits.into())),
        _ => Err(Invalid::new("has more than permission bits")),
    }
}

pub(super) fn user(text: &str) -> Result<u32, Invalid> {
    if text.bytes().all(|b| b.is_ascii_digit()) {
        return id(text);
    }
    match User::from_name(text) {
        Ok(Some(user)) => Ok(user.uid.as_raw()),
        Ok(None) => Err(Invalid::new("names no user of this system")
            .help(format!("`getent passwd {text}` finds none; `adduser --system {text}` adds it"))),
        Err(errno) => Err(Invalid::new(format!("cannot be looked up: {}", errno.desc()))),
    }
}

pub(super) fn group(text: &str) -> Result<u32, Invalid> {
    if text.bytes().all(|b| b.is_ascii_digit()) {
        return id(text);
    }
    match Group::from_name(text) {
        Ok(Some(group)) => Ok(group.gid.as_raw()),
        Ok(None) => Err(Invalid::new("names no group of this system")
            .help(format!("`getent group {text}` finds none; `addgroup --system {text}` adds it"))),
        Err(errno) => Err(Invalid::new(format!("cannot be looked up: {}", errno.desc()))),
    }
}

/// The number of a user or group; the highest one means "leave it" to the kernel.
fn id(text: &str) -> Result<u32, Invalid> {
    match text.parse::<u32>() {
        Ok(id) if id != u32::MAX => Ok(id),
        _ => Err(Invalid::new("is not a number that a user or group can have")),
    }
}

fn owner(text: &str) -> Result<Value, Invalid> {
    let (user_text, group_text) = match text.split_once(':') {
        Some((user, group)) => (user, Some(group)),
        None => (text, None),
    };
    if user_text.is_empty() || group_text == Some("") {
        return Err(Invalid::new("lacks the user or the group"));
    }
    Ok(Value::Owner(user(user_text)?, group_text.map(group).transpose()?))
}

pub(super) fn path(text: &str) -> Result<Value, Invalid> {
    if text.contains('\0') {
        return Err(Invalid::new("contains a NUL character"));
    }
    if is_quoted(text) {
        return Err(Invalid::new("is in quotes"));
    }
    Ok(Value::Path(PathBuf::from(text)))
}

fn address(text: &str) -> Result<Value, Invalid> {
    text.parse().map(Value::Address).map_err(|error: crate::address::AddressError| Invalid {
        problem: format!("is not an address: {error}"),
        help: error.remedy().map(str::to_owned),
    })
}

fn choice(text: &str, words: &[&str]) -> Result<Value, Invalid> {
    match words.iter().find(|word| **word == text) {
        Some(word) => Ok(Value::Text((*word).to_owned())),
        None => Err(Invalid::new("is not a word that is known here")),
    }
}

fn some_words(text: &str, words: &[&str]) -> Result<Value, Invalid> {
    let separators = |c: char| c == ',' || c.is_ascii_whitespace();
    let written = text.split(separators).filter(|word| !word.is_empty());
    let written: Vec<_> = written.map(str::to_ascii_lowercase).collect();
    match written.iter().find(|word| !words.contains(&word.as_str())) {
        Some(word) => Err(Invalid::new(format!("has `{word}`, which is not known here"))),
        None => Ok(Value::Words(written)),
    }
}

fn network(text: &str) -> Result<Value, Invalid> {
    let peers = match text {
        "*" => Peers::All,
        "unix" => Peers::Unix,
        _ => match text.parse::<IpAddr>() {
            Ok(address) => Peers::Network(address.to_canonical().into()),
            Err(_) => Peers::Network(text.parse::<IpNet>().map_err(|_| {
                let invalid = Invalid::new("is neither an address nor a network");
                if text.contains([',', ' ']) {
                    invalid.help("write one line for each")
                } else {
                    invalid
                }
            })?),
        },
    };
    Ok(Value::Peers(peers))
}

fn variable(text: &str) -> Result<Value, Invalid> {
    match text.split_once('=') {
        Some((name, value)) if !name.is_empty() && !text.contains('\0') => {
            Ok(Value::Variable(name.to_owned(), value.to_owned()))
        }
        _ => Err(Invalid::new("has no name with `=` before its value")),
    }
}

#[cfg(test)]
#[path = "value_tests.rs"]
mod tests;
