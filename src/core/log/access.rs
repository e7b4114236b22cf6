//! One answered request, as the log tells it.

use std::fmt::Write as _;

use super::escape_into;

/// What is known of a request when its response has left. Kept raw: nothing is formatted before
/// the log's own thread does it.
#[derive(Debug)]
pub struct Access {
    /// The method.
    pub method: String,
    /// Path and query as the client sent them.
    pub target: String,
    /// `HTTP/1.1`.
    pub protocol: &'static str,
    /// The client's address, without port; empty for a UNIX socket.
    pub client: String,
    /// The Host field.
    pub host: String,
    /// The User-Agent field.
    pub user_agent: String,
    /// The Referer field.
    pub referer: String,
    /// The status code.
    pub status: u16,
    /// Bytes of the response body that were handed to the client's socket.
    pub bytes: u64,
    /// From the head's arrival to the end of the response, in microseconds.
    pub micros: u64,
    /// Whether the client got everything.
    pub complete: bool,
}

impl Access {
    /// The line for people: the client, the request line, status, bytes, duration.
    pub fn line(&self) -> String {
        let mut line = String::with_capacity(96);
        let client = if self.client.is_empty() { "unix" } else { &self.client };
        // A web server says it as it likes (uwsgi).
        escape_into(&mut line, client);
        let _ = write!(line, " \"{} ", self.method);
        escape_into(&mut line, &self.target);
        let millis = self.micros / 1000;
        let rest = self.micros % 1000 / 100;
        let _ =
            write!(line, " {}\" {} {} {millis}.{rest}ms", self.protocol, self.status, self.bytes);
        if !self.complete {
            line.push_str(" (aborted)");
        }
        line
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_client_cannot_forge_a_line() {
        let access = Access {
            method: "GET".into(),
            target: "/a\"\n2026 root login".into(),
            protocol: "HTTP/1.1",
            client: "192.0.2.1\n2026".into(),
            host: String::new(),
            user_agent: String::new(),
            referer: String::new(),
            status: 404,
            bytes: 12,
            micros: 1_250,
            complete: true,
        };
        assert_eq!(
            access.line(),
            "192.0.2.1\\x0a2026 \"GET /a\\\"\\x0a2026 root login HTTP/1.1\" 404 12 1.2ms"
        );
    }
}
