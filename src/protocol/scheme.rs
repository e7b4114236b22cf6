//! The scheme under which a client asked: `wsgi.url_scheme`.

/// How the client's connection was secured.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Scheme {
    /// Not at all.
    #[default]
    Http,
    /// By TLS.
    Https,
}

impl Scheme {
    /// The scheme that a proxy names, in any case (RFC 3986, section 3.1). A WebSocket's is that of
    /// the request which opens it (RFC 6455, section 3).
    pub fn from_name(name: &[u8]) -> Option<Self> {
        let is = |one: &str| name.eq_ignore_ascii_case(one.as_bytes());
        match () {
            () if is("http") || is("ws") => Some(Self::Http),
            () if is("https") || is("wss") => Some(Self::Https),
            () => None,
        }
    }

    /// The value of `wsgi.url_scheme`.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Http => "http",
            Self::Https => "https",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_http_is_spoken_over_is_a_scheme() {
        assert_eq!(Scheme::from_name(b"HTTPS"), Some(Scheme::Https));
        assert_eq!(Scheme::from_name(b"ws"), Some(Scheme::Http));
        assert_eq!(Scheme::from_name(b"wss"), Some(Scheme::Https));
        for name in ["", "ftp", "https ", "on"] {
            assert_eq!(Scheme::from_name(name.as_bytes()), None, "{name}");
        }
    }
}
