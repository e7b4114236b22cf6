//! `logger`, `req-logger`, their routes and encoders: from text to a sink.

use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use super::value::{Invalid, Value};
use crate::log::check_time;

/// The sink of log entries.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub enum LogTarget {
    /// The journal where stderr is connected to it, else stderr.
    #[default]
    Auto,
    /// Lines on stderr.
    Stderr,
    /// The journal's native socket.
    Journal,
    /// A syslog daemon.
    Syslog(SyslogTarget),
    /// A file, absolute.
    File(PathBuf),
    /// Each line a datagram, to `host:port` or to the path of a UNIX socket.
    Datagram(String),
}

/// A syslog daemon, and how it is spoken to.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SyslogTarget {
    /// Where it is.
    pub transport: Transport,
    /// What it understands.
    pub standard: Standard,
    /// Who the entries are from; `None`: `rwsgi@INSTANCE`.
    pub tag: Option<String>,
    /// The facility: a multiple of 8, as in <syslog.h>.
    pub facility: u8,
}

impl Default for SyslogTarget {
    fn default() -> Self {
        Self {
            transport: Transport::Local,
            standard: Standard::Rfc3164,
            tag: None,
            facility: DAEMON,
        }
    }
}

/// The way to a syslog daemon.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum Transport {
    /// /dev/log.
    Local,
    /// A UNIX datagram socket.
    Unix(PathBuf),
    /// UDP (RFC 5426) to `host:port`.
    Udp(String),
    /// TCP to `host:port`, each message after its length (RFC 6587, section 3.4.1).
    Tcp(String),
}

/// The form of a message.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Standard {
    /// The old one, of BSD.
    Rfc3164,
    /// The new one, with the time zone, microseconds and structured data.
    Rfc5424,
}

const DAEMON: u8 = 3 << 3;

/// What becomes of a line before it is written; in order, each of what the one before has made.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum Encoder {
    /// A text before it.
    Prefix(String),
    /// A text after it.
    Suffix(String),
    /// A line feed after it.
    NewLine,
    /// A text with `${msg}`, `${msgnl}`, `${unix}`, `${micros}`, `${strftime:…}`.
    Format(String),
    /// The same; the message is quoted for JSON.
    Json(String),
}

/// `[name ]kind[:argument]`.
pub(super) fn logger(text: &str) -> Result<Value, Invalid> {
    let (name, rest) = match text.split_once(' ') {
        Some((name, rest)) if !name.contains(':') => (Some(name.to_owned()), rest.trim()),
        _ => (None, text),
    };
    let (kind, argument) = rest.split_once(':').unwrap_or((rest, ""));
    let argument = argument.trim();
    let target = match kind.trim() {
        "file" if argument.is_empty() => {
            return Err(Invalid::new("names no file").help("write `file:/var/log/shop.log`"));
        }
        "file" => LogTarget::File(argument.into()),
        "stdio" => LogTarget::Stderr,
        "fd" if argument == "2" => LogTarget::Stderr,
        "fd" => {
            return Err(Invalid::new("is a descriptor that workers do not have")
                .help("only `fd:2` can be: standard error. Write `file:PATH`"));
        }
        "systemd" | "journal" => LogTarget::Journal,
        "syslog" => LogTarget::Syslog(syslog(argument)?),
        "rsyslog" => LogTarget::Syslog(rsyslog(argument)?),
        "syslog5424" => LogTarget::Syslog(new_syslog(argument)?),
        "socket" if argument.starts_with('/') => LogTarget::Datagram(argument.to_owned()),
        "socket" => LogTarget::Datagram(destination(argument, None)?),
        kind => return Err(unsupported(kind)),
    };
    Ok(Value::Logger(name, target))
}

fn unsupported(kind: &str) -> Invalid {
    let instead = match kind {
        "redislog" | "mongodblog" | "graylog2" | "zeromq" | "logzmq" | "crypto" => {
            "write `syslog5424:udp://HOST:514` and let the syslog daemon forward it"
        }
        "pipe" | "logpipe" => "write `stdio` and start rwsgi in a pipe, or `socket:/path`",
        _ => {
            "write `file:PATH`, `syslog`, `syslog5424:tcp://HOST:PORT`, `rsyslog:HOST:PORT`, \
             `socket:HOST:PORT`, `journal` or `stdio`"
        }
    };
    Invalid::new("names a logger that rwsgi does not have").help(instead)
}

/// `[tag][,facility]`, as uWSGI's plugin has it.
fn syslog(argument: &str) -> Result<SyslogTarget, Invalid> {
    let (tag, name) = argument.split_once(',').unwrap_or((argument, ""));
    let facility = if name.is_empty() { DAEMON } else { facility(name.trim())? };
    Ok(SyslogTarget { tag: tagged(tag)?, facility, ..SyslogTarget::default() })
}

/// `host[:port][,tag]`, as uWSGI's plugin has it.
fn rsyslog(argument: &str) -> Result<SyslogTarget, Invalid> {
    let (address, tag) = argument.split_once(',').unwrap_or((argument, ""));
    let transport = if address.starts_with('/') {
        Transport::Unix(address.into())
    } else {
        Transport::Udp(destination(address, Some(514))?)
    };
    Ok(SyslogTarget { transport, tag: tagged(tag)?, ..SyslogTarget::default() })
}

/// `[udp://host[:port]|tcp://host[:port]|/path][,tag[,facility]]`.
fn new_syslog(argument: &str) -> Result<SyslogTarget, Invalid> {
    let mut parts = argument.splitn(3, ',').map(str::trim);
    let transport = match parts.next().unwrap_or_default() {
        "" => Transport::Local,
        path if path.starts_with('/') => Transport::Unix(path.into()),
        url => match url.split_once("://") {
            Some(("udp", address)) => Transport::Udp(destination(address, Some(514))?),
            Some(("tcp", address)) => Transport::Tcp(destination(address, Some(601))?),
            _ => {
                return Err(Invalid::new("does not say how to get there")
                    .help(format!("write `syslog5424:udp://{url}` or `syslog5424:tcp://{url}`")));
            }
        },
    };
    let tag = tagged(parts.next().unwrap_or_default())?;
    let facility = parts.next().filter(|name| !name.is_empty()).map_or(Ok(DAEMON), facility)?;
    Ok(SyslogTarget { transport, standard: Standard::Rfc5424, tag, facility })
}

fn tagged(tag: &str) -> Result<Option<String>, Invalid> {
    let tag = tag.trim();
    if tag.len() > 48 || !tag.bytes().all(|byte| byte.is_ascii_graphic()) {
        return Err(Invalid::new("has a tag that no syslog daemon understands")
            .help("a tag has at most 48 letters, digits and signs, and no blank"));
    }
    Ok((!tag.is_empty()).then(|| tag.to_owned()))
}

fn facility(name: &str) -> Result<u8, Invalid> {
    let facility: Result<syslog::Facility, ()> = name.to_ascii_lowercase().parse();
    facility.map(|facility| facility as u8).map_err(|()| {
        Invalid::new(format!("names no facility: `{name}`"))
            .help("write `daemon`, `user` or `local0` to `local7`, for example")
    })
}

/// `host:port`; the port may be missing where there is a usual one.
fn destination(text: &str, usual: Option<u16>) -> Result<String, Invalid> {
    let (host, port) = match text.rsplit_once(':') {
        Some((host, port)) if !text.ends_with(']') => (host, port.parse().ok()),
        _ => (text, usual),
    };
    match port {
        Some(port) if !host.is_empty() && port != 0 => Ok(format!("{host}:{port}")),
        _ => Err(Invalid::new("has no destination").help("write host and port: `127.0.0.1:514`")),
    }
}

/// `name pattern`.
pub(super) fn route(text: &str) -> Result<Value, Invalid> {
    let Some((name, pattern)) = text.split_once(' ') else {
        return Err(Invalid::new("has no pattern")
            .help("write the name of the logger, a blank, and a regular expression"));
    };
    let pattern = super::pattern::read(pattern.trim())?;
    Ok(Value::Route(name.to_owned(), pattern))
}

/// `name[:logger][ argument]`.
pub(super) fn encoder(text: &str) -> Result<Value, Invalid> {
    let (name, argument) = text.split_once(' ').unwrap_or((text, ""));
    let (name, logger) = match name.split_once(':') {
        Some((name, logger)) => (name, Some(logger.to_owned())),
        None => (name, None),
    };
    let encoder = match name {
        "prefix" => Encoder::Prefix(argument.to_owned()),
        "suffix" => Encoder::Suffix(argument.to_owned()),
        "nl" => Encoder::NewLine,
        "format" => Encoder::Format(template(argument)?),
        "json" => Encoder::Json(template(argument)?),
        "gzip" | "compress" | "crypto" | "msgpack" => {
            return Err(Invalid::new("names an encoder that does not make lines, and rwsgi does not have")
                .help("have who keeps the files compress or encrypt them (logrotate); write `json` for tools"));
        }
        _ => {
            return Err(Invalid::new("names an encoder that rwsgi does not have")
                .help("write `json`, `format`, `prefix`, `suffix` or `nl`"));
        }
    };
    Ok(Value::Encoder(logger, encoder))
}

/// A text for the encoders that have variables. In uWSGI what is unknown is nothing, and so is the log.
fn template(text: &str) -> Result<String, Invalid> {
    let known = "there are `${msg}`, `${msgnl}`, `${unix}`, `${micros}` and `${strftime:FORMAT}`";
    for after in text.split("${").skip(1) {
        let Some((name, _)) = after.split_once('}') else {
            return Err(Invalid::new("has a `${` without its `}`").help(known));
        };
        match name.strip_prefix("strftime:") {
            Some(format) => check_time(format).map_err(|error| {
                Invalid::new(format!("has a time that cannot be written: {error}"))
                    .help("write a format of strftime(3), such as `${strftime:%F %T}`")
            })?,
            None if ["msg", "msgnl", "unix", "micros"].contains(&name) => {}
            None => {
                let problem = format!("has `${{{}}}`, which is unknown", name.escape_debug());
                return Err(Invalid::new(problem).help(known));
            }
        }
    }
    Ok(text.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn target(text: &str) -> LogTarget {
        match logger(text) {
            Ok(Value::Logger(_, target)) => target,
            other => panic!("{text}: {other:?}"),
        }
    }

    #[test]
    fn a_logger_is_a_sink() {
        assert_eq!(target("file:/var/log/a.log"), LogTarget::File("/var/log/a.log".into()));
        assert_eq!(target("socket:127.0.0.1:99"), LogTarget::Datagram("127.0.0.1:99".into()));
        assert_eq!(target("stdio"), LogTarget::Stderr);
        assert_eq!(target("errors systemd"), LogTarget::Journal);
        let LogTarget::Syslog(syslog) = target("syslog:shop,local3") else { panic!() };
        assert_eq!((syslog.tag.as_deref(), syslog.facility), (Some("shop"), 19 << 3));
        let LogTarget::Syslog(syslog) = target("rsyslog:[::1],shop") else { panic!() };
        assert_eq!(syslog.transport, Transport::Udp("[::1]:514".into()));
        let LogTarget::Syslog(syslog) = target("syslog5424:tcp://log.test:99") else { panic!() };
        assert_eq!(syslog.transport, Transport::Tcp("log.test:99".into()));
        assert_eq!(syslog.standard, Standard::Rfc5424);
    }

    #[test]
    fn what_is_no_logger_says_what_to_write() {
        for (text, help) in [
            ("redislog:127.0.0.1:6379", "syslog5424"),
            ("fd:17", "file:PATH"),
            ("file:", "file:/var"),
            ("rsyslog::0", "host and port"),
            ("syslog:a,loud", "local0"),
            ("syslog5424:log.test", "udp://log.test"),
        ] {
            let invalid = logger(text).unwrap_err();
            assert!(invalid.help.as_deref().unwrap_or("").contains(help), "{text}: {invalid:?}");
        }
    }

    #[test]
    fn an_encoder_has_a_name_and_an_argument() {
        let json = Encoder::Json("{\"a\":\"${msg}\"}".to_owned());
        assert_eq!(encoder("json {\"a\":\"${msg}\"}"), Ok(Value::Encoder(None, json.clone())));
        let named = encoder("json:errors {\"a\":\"${msg}\"}");
        assert_eq!(named, Ok(Value::Encoder(Some("errors".to_owned()), json)));
        assert_eq!(encoder("nl"), Ok(Value::Encoder(None, Encoder::NewLine)));
        assert!(encoder("gzip").is_err() && encoder("yaml").is_err());
        for bad in ["json {\"a\":${msg", "format ${message}", "format ${}", "format ${strftime:%!}"]
        {
            assert!(encoder(bad).is_err(), "{bad}");
        }
        assert!(encoder("format ${strftime:%F %T} ${unix}$ ${micros} ${msgnl}").is_ok());
        assert!(route("errors").is_err() && route("errors [").is_err());
    }
}
