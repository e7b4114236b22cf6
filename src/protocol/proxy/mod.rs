//! The PROXY protocol of HAProxy, versions 1 and 2: what a load balancer tells, before the first
//! byte of the request, of the connection that it accepted.

mod binary;
mod error;
mod line;

use std::net::{IpAddr, SocketAddr};

pub use error::ProxyError;

/// What the bytes of a connection are so far.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Parsed {
    /// The beginning of a header.
    More,
    /// A header, and perhaps what follows it.
    Header {
        /// Bytes of the header; the request begins behind them.
        length: usize,
        /// Between whom the connection is. `None`: the proxy cannot say, or speaks for itself, as
        /// in a health check, so the addresses are those of the socket.
        source: Option<Endpoints>,
        /// Whether the client used TLS; only version 2 can tell.
        tls: bool,
    },
}

/// The two ends of the connection that the proxy accepted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Endpoints {
    /// Who connected.
    pub client: SocketAddr,
    /// What they connected to.
    pub server: SocketAddr,
}

impl Endpoints {
    /// An IPv4 address that is written as an IPv6 one (`::ffff:192.0.2.1`) is one of IPv4, so that
    /// networks and logs know it.
    fn new(client: (IpAddr, u16), server: (IpAddr, u16)) -> Self {
        let end = |(address, port): (IpAddr, u16)| (address.to_canonical(), port).into();
        Self { client: end(client), server: end(server) }
    }
}

/// Finds the header at the front of `bytes`, which are all that came so far.
///
/// # Errors
/// There is no header, or it is malformed. Then the connection is closed: a client that bypasses
/// the proxy must not be served.
pub fn parse(bytes: &[u8]) -> Result<Parsed, ProxyError> {
    match bytes.first() {
        None => Ok(Parsed::More),
        Some(&first) if first == line::SIGNATURE[0] => line::parse(bytes),
        Some(_) => binary::parse(bytes),
    }
}

/// Whether the whole signature is there, not yet (`false`), or cannot come any more.
fn has_signature(bytes: &[u8], signature: &[u8]) -> Result<bool, ProxyError> {
    let seen = bytes.len().min(signature.len());
    if bytes[..seen] != signature[..seen] {
        return Err(ProxyError::Missing);
    }
    Ok(seen == signature.len())
}
