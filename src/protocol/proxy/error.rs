//! Why a connection does not begin with a usable PROXY header.

use std::fmt;

/// What is wrong with it: a sentence for the log.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ProxyError {
    /// Neither version's signature.
    Missing,
    /// The header does not end within its limit.
    TooLong {
        /// The most bytes that are accepted.
        limit: usize,
    },
    /// The line of version 1 is not what the grammar allows.
    Line,
    /// The signature of version 2, but another version.
    Version(u8),
    /// Neither LOCAL nor PROXY.
    Command(u8),
    /// An unknown pair of family and transport.
    Family(u8),
    /// Too short for the addresses of its family.
    Short {
        /// Bytes behind the fixed part.
        size: usize,
        /// Bytes that the addresses take.
        needed: usize,
    },
    /// The extensions' lengths do not fit, or one stands where it must not.
    Extension,
    /// The checksum is another than that of the bytes received.
    Checksum,
}

impl fmt::Display for ProxyError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Missing => f.write_str(
                "the connection does not begin with a PROXY header: let the load balancer send it \
                 (`send-proxy-v2` in HAProxy, `proxy_protocol on` in nginx), or do not ask for it \
                 here",
            ),
            Self::TooLong { limit } => {
                write!(f, "the PROXY header is longer than {limit} bytes")
            }
            Self::Line => f.write_str(
                "the PROXY header is malformed: `PROXY TCP4 CLIENT SERVER PORT PORT` is expected",
            ),
            Self::Version(version) => {
                write!(f, "the PROXY header has version {version}; 1 and 2 are known")
            }
            Self::Command(command) => write!(
                f,
                "the PROXY header has command {command}; 0 (LOCAL) and 1 (PROXY) are known",
            ),
            Self::Family(family) => {
                write!(f, "the PROXY header has the unknown address family 0x{family:02x}")
            }
            Self::Short { size, needed } => write!(
                f,
                "the PROXY header is too short: {size} bytes where its addresses take {needed}",
            ),
            Self::Extension => f.write_str("an extension (TLV) of the PROXY header is malformed"),
            Self::Checksum => f.write_str("the checksum of the PROXY header is wrong"),
        }
    }
}

impl std::error::Error for ProxyError {}
