//! Where a listener listens: the address syntax of uWSGI's `socket` and `http`.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, ToSocketAddrs};
use std::path::PathBuf;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

/// One place to listen at.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub enum ListenAddr {
    /// TCP over IPv4 or IPv6.
    Tcp(SocketAddr),
    /// A UNIX socket in the file system, absolute.
    Unix(PathBuf),
    /// A UNIX socket in Linux's abstract namespace, without the leading `@`.
    Abstract(String),
    /// Sockets that systemd hands over under this FileDescriptorName= (`systemd:NAME`).
    Systemd(String),
    /// An open descriptor (`fd://N`).
    Fd(i32),
}

/// Why a text is not an address.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AddressError {
    problem: String,
    help: Option<String>,
}

impl AddressError {
    fn new(problem: impl Into<String>) -> Self {
        Self { problem: problem.into(), help: None }
    }

    fn help(mut self, help: impl Into<String>) -> Self {
        self.help = Some(help.into());
        self
    }

    /// What to write instead, where it can be guessed.
    pub fn remedy(&self) -> Option<&str> {
        self.help.as_deref()
    }
}

impl fmt::Display for AddressError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.problem)
    }
}

impl std::error::Error for AddressError {}

impl FromStr for ListenAddr {
    type Err = AddressError;

    /// Reads an address as an administrator writes it; a relative path of a UNIX socket stays so.
    /// The only form that asks the system is a host name other than `localhost`.
    fn from_str(text: &str) -> Result<Self, AddressError> {
        if text.is_empty() {
            return Err(AddressError::new("the address is empty"));
        }
        if let Some(number) = text.strip_prefix("fd://") {
            return descriptor(number);
        }
        if let Some(name) = text.strip_prefix("systemd:") {
            return systemd(name);
        }
        if let Some(name) = text.strip_prefix('@') {
            return abstract_name(name);
        }
        if let Some(path) = text.strip_prefix("unix:") {
            return unix(path.strip_prefix("//").unwrap_or(path));
        }
        if let Some((scheme, rest)) = text.split_once("://") {
            return Err(AddressError::new(format!("`{scheme}://` does not belong in an address"))
                .help(format!("write `{}`", rest.trim_end_matches('/'))));
        }
        if text.starts_with('=') {
            return Err(AddressError::new("numbered shared sockets are not in this version"));
        }
        if text.contains('/') || has_socket_suffix(text) {
            return unix(text);
        }
        tcp(text)
    }
}

fn descriptor(number: &str) -> Result<ListenAddr, AddressError> {
    match number.parse::<i32>() {
        Ok(number) if number >= 0 => Ok(ListenAddr::Fd(number)),
        _ => Err(AddressError::new(format!("`{number}` is not the number of a descriptor"))
            .help("write `fd://3` for descriptor 3")),
    }
}

fn systemd(name: &str) -> Result<ListenAddr, AddressError> {
    let valid = !name.is_empty() && name.chars().all(|c| c.is_ascii_graphic() && c != ':');
    if !valid {
        return Err(AddressError::new("the name of a systemd socket is missing or malformed")
            .help("write `systemd:NAME`, with the FileDescriptorName= of the socket unit"));
    }
    Ok(ListenAddr::Systemd(name.to_owned()))
}

fn abstract_name(name: &str) -> Result<ListenAddr, AddressError> {
    if name.is_empty() {
        return Err(AddressError::new("the name of the abstract socket is missing"));
    }
    Ok(ListenAddr::Abstract(name.to_owned()))
}

fn unix(path: &str) -> Result<ListenAddr, AddressError> {
    if path.is_empty() || path.ends_with('/') {
        return Err(AddressError::new("the file name of the UNIX socket is missing"));
    }
    Ok(ListenAddr::Unix(PathBuf::from(path)))
}

/// `app.sock` is a file by uWSGI's rules, and no host.
fn has_socket_suffix(text: &str) -> bool {
    [".sock", ".socket"].iter().any(|suffix| text.ends_with(suffix) && text.len() > suffix.len())
}

fn tcp(text: &str) -> Result<ListenAddr, AddressError> {
    let Some((host, port)) = text.rsplit_once(':') else {
        return Err(without_port(text));
    };
    let port = parse_port(port)?;
    let bare = host.strip_prefix('[').and_then(|host| host.strip_suffix(']'));
    if let Some(host) = bare {
        let address = host.parse::<Ipv6Addr>().map_err(|_| {
            AddressError::new(format!("`{host}` is not an IPv6 address"))
                .help("write `[::1]:8000`, or `[::]:8000` for every address")
        })?;
        return Ok(ListenAddr::Tcp((address, port).into()));
    }
    if host.contains(':') {
        return Err(AddressError::new("an IPv6 address needs brackets")
            .help(format!("write `[{host}]:{port}`")));
    }
    let address = match host {
        "" | "*" => IpAddr::V4(Ipv4Addr::UNSPECIFIED),
        "localhost" => IpAddr::V4(Ipv4Addr::LOCALHOST),
        host => host.parse::<Ipv4Addr>().map(IpAddr::V4).or_else(|_| look_up(host))?,
    };
    Ok(ListenAddr::Tcp((address, port).into()))
}

fn without_port(text: &str) -> AddressError {
    if text.bytes().all(|b| b.is_ascii_digit()) {
        return AddressError::new("a port needs a colon before it")
            .help(format!("write `:{text}`, or `127.0.0.1:{text}` for this machine only"));
    }
    AddressError::new("the port is missing").help(format!("write `{text}:8000`, or `:8000`"))
}

fn parse_port(text: &str) -> Result<u16, AddressError> {
    let digits = !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit());
    match text.parse::<u16>() {
        Ok(port) if digits => Ok(port),
        _ if digits => Err(AddressError::new(format!("port {text} is above 65535"))),
        _ if text.is_empty() => Err(AddressError::new("the port is missing after the colon")),
        _ => Err(AddressError::new(format!("`{text}` is not the number of a port"))),
    }
}

/// Numeric-looking hosts never get here as a question to DNS.
fn look_up(host: &str) -> Result<IpAddr, AddressError> {
    if host.bytes().all(|b| b.is_ascii_digit() || b == b'.') {
        return Err(AddressError::new(format!("`{host}` is not an IPv4 address")));
    }
    let legal = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'-' | b'_');
    if !host.bytes().all(legal) {
        return Err(AddressError::new(format!("`{host}` is not a host name")));
    }
    let found: Vec<IpAddr> = (host, 0)
        .to_socket_addrs()
        .map_err(|error| AddressError::new(format!("`{host}` has no address: {error}")))?
        .map(|address| address.ip())
        .collect();
    let first_v4 = found.iter().find(|address| address.is_ipv4());
    first_v4
        .or_else(|| found.first())
        .copied()
        .ok_or_else(|| AddressError::new(format!("`{host}` has no address")))
}

impl fmt::Display for ListenAddr {
    /// As an administrator would write it.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Tcp(address) => address.fmt(f),
            Self::Unix(path) => path.display().fmt(f),
            Self::Abstract(name) => write!(f, "@{name}"),
            Self::Systemd(name) => write!(f, "systemd:{name}"),
            Self::Fd(number) => write!(f, "fd://{number}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn read(text: &str) -> ListenAddr {
        text.parse().unwrap()
    }

    fn refusal(text: &str) -> String {
        let error = text.parse::<ListenAddr>().unwrap_err();
        format!("{error}; {}", error.remedy().unwrap_or("-"))
    }

    #[test]
    fn tcp_addresses() {
        assert_eq!(read(":8000").to_string(), "0.0.0.0:8000");
        assert_eq!(read("*:8000").to_string(), "0.0.0.0:8000");
        assert_eq!(read("127.0.0.1:0").to_string(), "127.0.0.1:0");
        assert_eq!(read("localhost:8000").to_string(), "127.0.0.1:8000");
        assert_eq!(read("[::1]:8000").to_string(), "[::1]:8000");
        assert_eq!(read("[::]:65535").to_string(), "[::]:65535");
    }

    #[test]
    fn other_addresses() {
        assert_eq!(read("unix:/run/x.sock"), ListenAddr::Unix("/run/x.sock".into()));
        assert_eq!(read("unix:///run/x.sock"), ListenAddr::Unix("/run/x.sock".into()));
        assert_eq!(read("run/x"), ListenAddr::Unix("run/x".into()));
        assert_eq!(read("/run/a:b"), ListenAddr::Unix("/run/a:b".into()));
        assert_eq!(read("myproject.sock"), ListenAddr::Unix("myproject.sock".into()));
        assert_eq!(read("@name"), ListenAddr::Abstract("name".into()));
        assert_eq!(read("fd://3"), ListenAddr::Fd(3));
        assert_eq!(read("systemd:web"), ListenAddr::Systemd("web".into()));
    }

    #[test]
    fn a_bare_number_or_host_is_told_what_to_write() {
        assert_eq!(
            refusal("8000"),
            "a port needs a colon before it; \
             write `:8000`, or `127.0.0.1:8000` for this machine only"
        );
        assert_eq!(refusal("127.0.0.1"), "the port is missing; write `127.0.0.1:8000`, or `:8000`");
    }

    #[test]
    fn mistakes_are_named() {
        assert_eq!(refusal(":65536"), "port 65536 is above 65535; -");
        assert_eq!(refusal(":+80"), "`+80` is not the number of a port; -");
        assert_eq!(refusal("localhost:"), "the port is missing after the colon; -");
        assert_eq!(refusal("::1:80"), "an IPv6 address needs brackets; write `[::1]:80`");
        assert_eq!(refusal("127.0.0:80"), "`127.0.0` is not an IPv4 address; -");
        assert_eq!(refusal("a b:80"), "`a b` is not a host name; -");
        assert_eq!(
            refusal("http://127.0.0.1:80/"),
            "`http://` does not belong in an address; write `127.0.0.1:80`"
        );
        assert_eq!(refusal("=0"), "numbered shared sockets are not in this version; -");
        for text in ["", "@", "unix:", "/run/", "fd://", "fd://-1", "systemd:", "[x]:80"] {
            assert!(text.parse::<ListenAddr>().is_err(), "{text}");
        }
    }

    proptest! {
        #[test]
        fn what_is_displayed_reads_back(text in "(\\[::1\\]|127\\.0\\.0\\.1|)?:[0-9]{1,5}|[/@][a-z]{1,8}|fd://[0-9]{1,4}") {
            if let Ok(address) = text.parse::<ListenAddr>() {
                prop_assert_eq!(read(&address.to_string()), address);
            }
        }

        #[test]
        fn nothing_panics(text in "[^a-z]*") {
            let _ = text.parse::<ListenAddr>();
        }
    }
}
