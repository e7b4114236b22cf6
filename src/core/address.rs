//! Where a listener listens: the address syntax of uWSGI's `socket` and `http`.

use std::net::SocketAddr;
use std::path::PathBuf;

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
