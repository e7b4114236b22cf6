//! One answered request, as the log tells it.
//!
//! What is known of it is borrowed: the thread that ends a request writes the text into a buffer of
//! its own, and what goes over the queue is bytes. No request pays for a field that no format asks.

use std::borrow::Cow;

use super::Level;
use super::text::escape;

/// A field of the request's header that formats ask for by name.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Header {
    /// `Host`.
    Host,
    /// `User-Agent`.
    UserAgent,
    /// `Referer`.
    Referer,
    /// `X-Forwarded-For`.
    ForwardedFor,
    /// `Content-Length`.
    ContentLength,
}

/// What a format may ask about a request beyond what each line has.
pub trait Asked {
    /// A field of the header.
    fn header(&self, header: Header) -> Option<Cow<'_, [u8]>>;
    /// A variable of CGI, such as `HTTP_ACCEPT` or `REMOTE_USER`.
    fn variable(&self, name: &str) -> Option<Cow<'_, [u8]>>;
    /// What the application has noted under this name (`uwsgi.set_logvar`).
    fn note(&self, name: &str) -> Option<Vec<u8>>;
    /// Appends what names the request in other entries: text that needs no quotes.
    fn request_id(&self, out: &mut Vec<u8>);
    /// How many variables of CGI there are, and their size as a packet of the uwsgi protocol.
    fn variables(&self) -> (u64, u64);
    /// The number of the application that it is for, from 0.
    fn application(&self) -> u64;
    /// Requests that this worker has answered, and those of all workers.
    fn counts(&self) -> (u64, u64);
}

/// A request whose response has left.
#[derive(Clone, Copy)]
pub struct Access<'a> {
    /// The rest.
    pub request: &'a dyn Asked,
    /// The method.
    pub method: &'a str,
    /// Path and query as the client sent them.
    pub target: &'a [u8],
    /// `HTTP/1.1`.
    pub protocol: &'static str,
    /// The client's address, without port; empty for a UNIX socket.
    pub client: &'a str,
    /// The status code.
    pub status: u16,
    /// Fields of the response's head, without those that the connection adds.
    pub fields: u32,
    /// Bytes of the response's head with these fields; 0 when nobody asked for it.
    pub head_bytes: u64,
    /// Bytes of the response body that were handed to the client's socket.
    pub bytes: u64,
    /// From the head's arrival to the end of the response, in microseconds.
    pub micros: u64,
    /// Whether the client got everything.
    pub complete: bool,
    /// Whether the body was a file that the kernel sent.
    pub sendfile: bool,
    /// The number of the Python thread, from 0; `None`: no application ran.
    pub thread: Option<u16>,
}

impl std::fmt::Debug for Access<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Access").field("status", &self.status).finish_non_exhaustive()
    }
}

impl Access<'_> {
    /// How bad it is: what the server is to blame for is a warning.
    pub(super) fn level(&self) -> Level {
        if self.status >= 500 { Level::Warning } else { Level::Info }
    }

    /// Appends rwsgi's own line: the client, the request line, status, bytes, duration.
    pub(super) fn line(&self, out: &mut Vec<u8>) {
        let client = if self.client.is_empty() { "unix" } else { self.client };
        escape(out, client.as_bytes());
        out.extend_from_slice(b" \"");
        out.extend_from_slice(self.method.as_bytes());
        out.push(b' ');
        escape(out, self.target);
        out.push(b' ');
        out.extend_from_slice(self.protocol.as_bytes());
        out.extend_from_slice(b"\" ");
        number(out, self.status.into());
        out.push(b' ');
        number(out, self.bytes);
        out.push(b' ');
        number(out, self.micros / 1000);
        out.push(b'.');
        number(out, self.micros % 1000 / 100);
        out.extend_from_slice(b"ms");
        if !self.complete {
            out.extend_from_slice(b" (aborted)");
        }
    }
}

/// Appends a number.
pub(super) fn number(out: &mut Vec<u8>, value: u64) {
    out.extend_from_slice(itoa::Buffer::new().format(value).as_bytes());
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;

    /// A request that has a header, one variable and one note.
    pub(crate) struct Sample;

    impl Asked for Sample {
        fn header(&self, header: Header) -> Option<Cow<'_, [u8]>> {
            Some(Cow::Borrowed(match header {
                Header::Host => b"shop.test".as_slice(),
                Header::UserAgent => b"say \"hi\" \\ there\n",
                Header::ForwardedFor => b"192.0.2.7, 10.0.0.1",
                Header::Referer | Header::ContentLength => return None,
            }))
        }

        fn variable(&self, name: &str) -> Option<Cow<'_, [u8]>> {
            (name == "HTTP_ACCEPT").then_some(Cow::Borrowed(b"*/*"))
        }

        fn note(&self, name: &str) -> Option<Vec<u8>> {
            (name == "who").then(|| b"ann".to_vec())
        }

        fn request_id(&self, out: &mut Vec<u8>) {
            out.extend_from_slice(b"abc-7");
        }

        fn variables(&self) -> (u64, u64) {
            (13, 287)
        }

        fn application(&self) -> u64 {
            0
        }

        fn counts(&self) -> (u64, u64) {
            (2, 5)
        }
    }

    pub(crate) fn access(target: &[u8]) -> Access<'_> {
        Access {
            request: &Sample,
            method: "GET",
            target,
            protocol: "HTTP/1.1",
            client: "192.0.2.1",
            status: 404,
            fields: 2,
            head_bytes: 64,
            bytes: 12,
            micros: 1_250,
            complete: true,
            sendfile: false,
            thread: Some(0),
        }
    }

    #[test]
    fn a_client_cannot_forge_a_line() {
        let mut line = Vec::new();
        let access = access(b"/a\"\n2026 root \xff login");
        Access { client: "192.0.2.1\n2026", ..access }.line(&mut line);
        assert_eq!(
            String::from_utf8(line).unwrap(),
            "192.0.2.1\\x0a2026 \"GET /a\\\"\\x0a2026 root \\xff login HTTP/1.1\" 404 12 1.2ms"
        );
    }
}
