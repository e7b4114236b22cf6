//! Why what a trusted proxy says cannot be used.

use std::fmt;

/// What is wrong with its entry: a sentence for the log.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ForwardedError {
    /// `Forwarded` breaks its grammar.
    Element,
    /// `Forwarded` names a parameter twice in one element.
    Repeated,
    /// The scheme is none of HTTP's.
    Proto,
    /// The host is none.
    Host,
    /// The port is no number of a port.
    Port,
}

impl fmt::Display for ForwardedError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Element => "the proxy's Forwarded is malformed (RFC 7239, section 4)",
            Self::Repeated => {
                "the proxy's Forwarded has a parameter twice in one element (RFC 7239, section 4)"
            }
            Self::Proto => {
                "the proxy's X-Forwarded-Proto, or proto= of Forwarded, is neither http nor https"
            }
            Self::Host => {
                "the proxy's X-Forwarded-Host, or host= of Forwarded, is no host (RFC 9110, \
                 section 7.2)"
            }
            Self::Port => "the proxy's X-Forwarded-Port is no port: 1 to 65535 is expected",
        })
    }
}

impl std::error::Error for ForwardedError {}
