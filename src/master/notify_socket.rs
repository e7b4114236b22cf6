//! Where the service manager listens: what `NOTIFY_SOCKET` may say (sd_notify(3)).
//!
//! ```text
//!  /run/systemd/notify     a file             @name     an abstract socket
//!  vsock:CID:PORT          the machine around a virtual one; vsock-stream:, vsock-dgram: and
//!                          vsock-seqpacket: name the kind of socket
//! ```

use std::ffi::OsStr;
use std::io;
use std::os::fd::{AsRawFd as _, OwnedFd};
use std::os::linux::net::SocketAddrExt as _;
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::net::SocketAddr;

use nix::errno::Errno;
use nix::sys::socket::{
    AddressFamily, MsgFlags, SockFlag, SockType, VsockAddr, connect, send, socket,
};

/// An address of the service manager.
#[derive(Debug, Clone)]
pub enum NotifySocket {
    /// A datagram socket of this machine.
    Unix(SocketAddr),
    /// One of the machine around this one.
    Vsock(Vsock),
}

/// A socket of another machine.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Vsock {
    /// The kinds of socket, in the order in which they are tried.
    kinds: &'static [SockType],
    cid: u32,
    port: u32,
}

/// Without a kind, as systemd does.
const ANY: &[SockType] = &[SockType::Datagram, SockType::SeqPacket, SockType::Stream];

const KINDS: [(&str, &[SockType]); 4] = [
    ("vsock", ANY),
    ("vsock-stream", &[SockType::Stream]),
    ("vsock-dgram", &[SockType::Datagram]),
    ("vsock-seqpacket", &[SockType::SeqPacket]),
];

impl NotifySocket {
    /// What the variable means.
    ///
    /// # Errors
    /// What is wrong with it, and what was expected.
    pub fn parse(value: &OsStr) -> Result<Self, String> {
        let bytes = value.as_bytes();
        let unix = |address: io::Result<SocketAddr>| {
            address.map(Self::Unix).map_err(|error| error.to_string())
        };
        match (bytes, value.to_str()) {
            ([b'/', _, ..], _) => unix(SocketAddr::from_pathname(value)),
            ([b'@', name @ ..], _) if !name.is_empty() => {
                unix(SocketAddr::from_abstract_name(name))
            }
            (_, Some(text)) if text.starts_with("vsock") => Vsock::parse(text).map(Self::Vsock),
            _ => Err("an absolute path, @NAME or vsock:CID:PORT was expected".to_owned()),
        }
    }
}

impl Vsock {
    fn parse(text: &str) -> Result<Self, String> {
        let mut parts = text.split(':');
        let kind = parts.next().unwrap_or_default();
        let kinds = KINDS.iter().find(|(name, _)| *name == kind).map(|(_, kinds)| *kinds);
        let mut number = || parts.next().and_then(|part| part.parse().ok());
        match (kinds, number(), number(), parts.next()) {
            (Some(kinds), Some(cid), Some(port), None) => Ok(Self { kinds, cid, port }),
            _ => Err("vsock:CID:PORT with two numbers was expected".to_owned()),
        }
    }

    /// Sends one message. May wait until the other machine answers, or for the two seconds that the
    /// kernel gives it.
    ///
    /// # Errors
    /// Those of socket(2), connect(2) and send(2): EAFNOSUPPORT where the kernel, or the unit
    /// (RestrictAddressFamilies=), has no such sockets.
    pub fn send(&self, text: &[u8]) -> io::Result<()> {
        let mut sent = Err(Errno::ESOCKTNOSUPPORT);
        for kind in self.kinds {
            sent = self.send_by(*kind, text);
            let other = [
                Errno::ESOCKTNOSUPPORT,
                Errno::EPROTONOSUPPORT,
                Errno::EOPNOTSUPP,
                Errno::EPROTOTYPE,
                Errno::ENODEV,
            ];
            if !sent.is_err_and(|error| other.contains(&error)) {
                break;
            }
        }
        sent.map_err(io::Error::from)
    }

    fn send_by(&self, kind: SockType, mut text: &[u8]) -> Result<(), Errno> {
        let socket: OwnedFd = socket(AddressFamily::Vsock, kind, SockFlag::SOCK_CLOEXEC, None)?;
        connect(socket.as_raw_fd(), &VsockAddr::new(self.cid, self.port))?;
        while !text.is_empty() {
            let sent = send(socket.as_raw_fd(), text, MsgFlags::MSG_NOSIGNAL)?;
            text = text.get(sent..).unwrap_or_default();
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(text: &str) -> Result<NotifySocket, String> {
        NotifySocket::parse(OsStr::new(text))
    }

    #[test]
    fn paths_and_abstract_names_are_known() {
        let Ok(NotifySocket::Unix(path)) = parse("/run/systemd/notify") else { panic!() };
        assert_eq!(path.as_pathname().unwrap().to_str(), Some("/run/systemd/notify"));
        let Ok(NotifySocket::Unix(name)) = parse("@notify") else { panic!() };
        assert_eq!(name.as_abstract_name(), Some(&b"notify"[..]));
        let name = OsStr::from_bytes(b"@\xff");
        assert!(matches!(NotifySocket::parse(name), Ok(NotifySocket::Unix(_))));
    }

    #[test]
    fn other_machines_are_known_by_their_numbers() {
        let vsock = |kinds, cid, port| Vsock { kinds, cid, port };
        let known = [
            ("vsock:2:1234", vsock(ANY, 2, 1234)),
            ("vsock-stream:1:4294967295", vsock(&[SockType::Stream], 1, u32::MAX)),
            ("vsock-dgram:3:0", vsock(&[SockType::Datagram], 3, 0)),
            ("vsock-seqpacket:3:9", vsock(&[SockType::SeqPacket], 3, 9)),
        ];
        for (text, expected) in known {
            assert!(matches!(parse(text), Ok(NotifySocket::Vsock(it)) if it == expected), "{text}");
        }
    }

    #[test]
    fn garbage_is_told_with_what_was_expected() {
        let long = format!("/{}", "x".repeat(200));
        let garbage = ["", "/", "@", "notify", "./notify", "tcp:1:2", &long];
        let vsock =
            ["vsock", "vsock:", "vsock:2", "vsock:2:", "vsock:a:1", "vsock:2:-1", "vsock:1:2:3"];
        let more = ["vsockets:1:2", "vsock:4294967296:1", "vsock-raw:1:2"];
        for text in garbage.into_iter().chain(vsock).chain(more) {
            assert!(parse(text).is_err(), "{text}");
        }
        assert!(parse("notify").unwrap_err().contains("vsock:CID:PORT"));
    }
}
