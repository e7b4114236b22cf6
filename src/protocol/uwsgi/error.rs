//! Why a packet of the uwsgi protocol is not served.

use std::fmt;

/// What is wrong with it: a sentence for the log.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum UwsgiError {
    /// An HTTP request where a packet was expected.
    Http,
    /// A TLS handshake where a packet was expected.
    Tls,
    /// The first byte asks for something else than a WSGI application.
    Modifier(u8),
    /// The packet has no variables.
    EmptyPacket,
    /// The variables are larger than allowed.
    TooLarge {
        /// The size that was announced.
        size: usize,
        /// The largest that is accepted.
        limit: usize,
    },
    /// There are more variables than allowed.
    TooManyVariables {
        /// The most that are accepted.
        limit: usize,
    },
    /// A variable has no name.
    EmptyKey {
        /// Where its length stands, counted from the first variable.
        at: usize,
    },
    /// The length of a name or value points behind the packet's end.
    Inconsistent {
        /// Where it stands, counted from the first variable.
        at: usize,
    },
    /// `REQUEST_METHOD` is missing, or no token.
    BadMethod,
    /// `CONTENT_LENGTH` is no number.
    BadLength,
}

impl UwsgiError {
    /// Whether the client speaks another protocol, and can be told so: in HTTP, with 400.
    pub fn is_foreign(self) -> bool {
        matches!(self, Self::Http | Self::Tls)
    }
}

impl fmt::Display for UwsgiError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Http => f.write_str(
                "an HTTP request came to a socket that speaks uwsgi: use `uwsgi_pass` instead of \
                 `proxy_pass` in nginx, or `http` instead of `socket` here",
            ),
            Self::Tls => f.write_str(
                "a TLS handshake came to a socket that speaks uwsgi: use `uwsgi_pass uwsgi://`, \
                 not `suwsgi://`, in nginx",
            ),
            Self::Modifier(modifier) => write!(
                f,
                "modifier {modifier} of the uwsgi protocol is not served: only 0 and 30, WSGI, are \
                 (`uwsgi_modifier1` in nginx)",
            ),
            Self::EmptyPacket => f.write_str(
                "the uwsgi packet has no variables: is `include uwsgi_params` missing in nginx?",
            ),
            Self::TooLarge { size, limit } => {
                write!(f, "the uwsgi packet has {size} bytes, larger than `buffer-size` ({limit})",)
            }
            Self::TooManyVariables { limit } => {
                write!(f, "the uwsgi packet has more variables than `max-fields` ({limit})")
            }
            Self::EmptyKey { at } => {
                write!(f, "the variable at byte {at} of the uwsgi packet has no name")
            }
            Self::Inconsistent { at } => {
                write!(f, "the length at byte {at} of the uwsgi packet exceeds the packet")
            }
            Self::BadMethod => {
                f.write_str("REQUEST_METHOD is missing or no token (RFC 9110, section 9.1)")
            }
            Self::BadLength => f.write_str(
                "CONTENT_LENGTH is not a decimal number of 64 bits (RFC 3875, section 4.1.2)",
            ),
        }
    }
}

impl std::error::Error for UwsgiError {}
