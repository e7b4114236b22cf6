//! A request, whatever protocol it came by: what the environ, the log and the server's own answers
//! need of it. A new protocol adds one kind of [`Head`].

use std::borrow::Cow;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

use http::header::{self, HeaderName};
use http::{HeaderMap, Method};

use crate::forwarded::Origin;
use crate::header::{cgi_name, http_name, is_of};
use crate::http1::RequestHead;
use crate::notes::Notes;
use crate::path::percent_decode;
use crate::uwsgi::{UwsgiError, Vars};

/// One request, without its body.
#[derive(Debug)]
pub struct Request {
    /// The method.
    pub method: Method,
    /// The rest of what was sent before the body.
    pub head: Head,
    /// What trusted proxies say of the client.
    pub origin: Origin<'static>,
    /// What a trusted proxy calls it.
    pub given_id: Option<Box<str>>,
    /// 0: nobody has asked for it.
    number: AtomicU64,
    /// What the application notes of it for the log.
    pub notes: Notes,
    /// What rules have made of it, if any have.
    pub changes: Option<Box<Changes>>,
}

/// What rules (`route`) have made of a request.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Changes {
    /// PATH_INFO, with the prefix of its mount.
    pub path: Option<Vec<u8>>,
    /// Variables of the environ; the last of a name counts.
    pub variables: Vec<(Box<str>, Vec<u8>)>,
    /// Fields that its response has in addition.
    pub fields: Vec<(HeaderName, http::HeaderValue)>,
    /// Fields that its response loses.
    pub removed: Vec<HeaderName>,
    /// It is not in the log of requests.
    pub silent: bool,
}

impl Changes {
    /// The value that a variable was given.
    pub fn variable(&self, name: &str) -> Option<&[u8]> {
        let set = self.variables.iter().rfind(|(known, _)| **known == *name);
        set.map(|(_, value)| value.as_slice())
    }
}

/// What was sent before the body, as its protocol has it.
#[derive(Debug)]
pub enum Head {
    /// A request line and fields.
    Http(RequestHead),
    /// Variables that a web server made of them.
    Uwsgi {
        /// The variables.
        vars: Vars,
        /// [`crate::uwsgi::WSGI`] or [`crate::uwsgi::WSGI_MOUNTED`].
        modifier: u8,
    },
}

impl Request {
    /// A request of HTTP.
    pub fn http(method: Method, head: RequestHead) -> Self {
        Self::new(method, Head::Http(head))
    }

    /// A request of the uwsgi protocol.
    ///
    /// # Errors
    /// REQUEST_METHOD is missing, or no token.
    pub fn uwsgi(vars: Vars, modifier: u8) -> Result<Self, UwsgiError> {
        let method = vars.method()?;
        Ok(Self::new(method, Head::Uwsgi { vars, modifier }))
    }

    fn new(method: Method, head: Head) -> Self {
        Self {
            method,
            head,
            origin: Origin::default(),
            given_id: None,
            number: AtomicU64::new(0),
            notes: Notes::default(),
            changes: None,
        }
    }

    /// Its number among those of its worker; `draw` gives one to who asks first, and is not 0.
    pub fn number(&self, draw: impl FnOnce() -> u64) -> u64 {
        match self.number.load(Relaxed) {
            0 => {
                let drawn = draw();
                let first = self.number.compare_exchange(0, drawn, Relaxed, Relaxed);
                first.map_or_else(|first| first, |_| drawn)
            }
            number => number,
        }
    }

    /// The value of a field that occurs once.
    pub fn only_field(&self, name: &HeaderName) -> Option<&[u8]> {
        if let Head::Http(head) = &self.head
            && head.values(name).nth(1).is_some()
        {
            return None;
        }
        self.field(name)
    }

    /// `SERVER_PROTOCOL`, for the log.
    pub fn protocol(&self) -> &'static str {
        match &self.head {
            Head::Http(head) if head.is_1_0() => "HTTP/1.0",
            Head::Http(_) => "HTTP/1.1",
            Head::Uwsgi { vars, .. } => match vars.protocol() {
                b"HTTP/1.0" => "HTTP/1.0",
                b"HTTP/2.0" => "HTTP/2.0",
                b"HTTP/3.0" => "HTTP/3.0",
                _ => "HTTP/1.1",
            },
        }
    }

    /// Path and query as the client sent them (RFC 9112, section 3.2).
    pub fn target(&self) -> Cow<'_, [u8]> {
        match &self.head {
            Head::Http(head) => Cow::Borrowed(head.target()),
            Head::Uwsgi { vars, .. } => vars.uri(),
        }
    }

    /// The target without its query.
    pub fn path_bytes(&self) -> Cow<'_, [u8]> {
        match &self.head {
            Head::Http(head) => Cow::Borrowed(head.path_and_query().0),
            Head::Uwsgi { vars, .. } => match vars.uri() {
                Cow::Borrowed(uri) => Cow::Borrowed(before_query(uri)),
                Cow::Owned(uri) => Cow::Owned(before_query(&uri).to_vec()),
            },
        }
    }

    /// The same for messages.
    pub fn path(&self) -> Cow<'_, str> {
        match self.path_bytes() {
            Cow::Borrowed(path) => String::from_utf8_lossy(path),
            Cow::Owned(path) => Cow::Owned(String::from_utf8_lossy(&path).into_owned()),
        }
    }

    /// `PATH_INFO`: the path below the mount point, decoded.
    pub fn path_info(&self) -> Cow<'_, [u8]> {
        if let Some(path) = self.changes.as_ref().and_then(|changes| changes.path.as_deref()) {
            return Cow::Borrowed(path);
        }
        match &self.head {
            Head::Http(head) => percent_decode(head.path_and_query().0),
            Head::Uwsgi { vars, modifier } => Cow::Borrowed(vars.path_info(*modifier)),
        }
    }

    /// The first field of this name.
    pub fn field(&self, name: &HeaderName) -> Option<&[u8]> {
        match &self.head {
            Head::Http(head) => head.values(name).next(),
            Head::Uwsgi { vars, .. } => vars.get(&cgi_name(name)),
        }
    }

    /// All fields, for those who look for several of them.
    pub fn fields(&self) -> HeaderMap {
        match &self.head {
            Head::Http(head) => {
                let fields = head.fields().filter_map(|(name, said)| {
                    Some((HeaderName::from_bytes(name).ok()?, value(said)?))
                });
                fields.collect()
            }
            Head::Uwsgi { vars, .. } => {
                let field = |(name, said): (&[u8], &[u8])| Some((http_name(name)?, value(said)?));
                vars.environ().filter_map(field).collect()
            }
        }
    }

    /// The fields that have one of these names: most requests have none, and that costs nothing.
    pub fn fields_named(&self, names: &[HeaderName]) -> HeaderMap {
        match &self.head {
            Head::Http(head) => {
                let fields = head.fields().filter_map(|(name, said)| {
                    let is_it = |one: &&HeaderName| name.eq_ignore_ascii_case(one.as_ref());
                    Some((names.iter().find(is_it)?.clone(), value(said)?))
                });
                fields.collect()
            }
            Head::Uwsgi { vars, .. } => {
                let field = |(name, said): (&[u8], &[u8])| {
                    let one = names.iter().find(|one| is_of(name, one))?;
                    Some((one.clone(), value(said)?))
                };
                vars.iter().filter_map(field).collect()
            }
        }
    }

    /// The client's address, where a web server says it.
    pub fn remote_address(&self) -> Option<&[u8]> {
        match &self.head {
            Head::Http(_) => None,
            Head::Uwsgi { vars, .. } => {
                Some(vars.remote_address()).filter(|value| !value.is_empty())
            }
        }
    }

    /// What the client expects before it sends the body (RFC 9110, section 10.1.1).
    pub fn expectation(&self) -> Expectation {
        let Head::Http(head) = &self.head else { return Expectation::None };
        if !head.expects() {
            return Expectation::None;
        }
        let mut expected = head.values(&header::EXPECT);
        match (expected.next(), expected.next()) {
            (None, _) => Expectation::None,
            // A client of HTTP/1.0 would not understand the answer.
            _ if head.is_1_0() => Expectation::None,
            (Some(value), None) if value.eq_ignore_ascii_case(b"100-continue") => {
                Expectation::Continue
            }
            _ => Expectation::Unknown,
        }
    }
}

fn value(said: &[u8]) -> Option<http::HeaderValue> {
    http::HeaderValue::from_bytes(said).ok()
}

fn before_query(target: &[u8]) -> &[u8] {
    target.split(|&byte| byte == b'?').next().unwrap_or_default()
}

/// What a client expects.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Expectation {
    /// Nothing.
    None,
    /// `100 Continue`.
    Continue,
    /// Something that nobody knows: 417.
    Unknown,
}

#[cfg(test)]
mod tests {
    use http::Version;

    use super::*;

    fn http(request: http::request::Builder) -> Request {
        let (parts, ()) = request.body(()).unwrap().into_parts();
        let head = RequestHead::of_parts(&parts);
        Request::http(parts.method, head)
    }

    fn request(fields: &[(&'static str, &'static str)], version: Version) -> Request {
        let mut request = http::Request::builder().uri("/a%20b?c=%20").version(version);
        for (name, value) in fields {
            request = request.header(*name, *value);
        }
        http(request)
    }

    #[test]
    fn path_and_target_differ_in_query_and_escapes() {
        let request = request(&[], Version::HTTP_11);
        assert_eq!(&*request.target(), b"/a%20b?c=%20");
        assert_eq!(request.path(), "/a%20b");
        assert_eq!(&*request.path_info(), b"/a b");
    }

    #[test]
    fn fields_are_found_by_their_names_in_any_protocol() {
        let names = [header::RANGE, header::IF_RANGE];
        let fields = [("range", "bytes=0-1"), ("accept", "*/*"), ("range", "bytes=2-3")];
        let http = request(&fields, Version::HTTP_11);
        let mut packet = Vec::new();
        for text in ["REQUEST_METHOD", "GET", "HTTP_RANGE", "bytes=0-1", "HTTP_ACCEPT", "*/*"]
            .into_iter()
            .chain(["HTTP_RANGE", "bytes=2-3"])
        {
            packet.extend(u16::try_from(text.len()).unwrap().to_le_bytes());
            packet.extend(text.as_bytes());
        }
        let limits = crate::uwsgi::Limits { packet: 1000, variables: 10 };
        let vars = Vars::new(packet.into(), limits).unwrap();
        for request in [http, Request::uwsgi(vars, crate::uwsgi::WSGI).unwrap()] {
            let found = request.fields_named(&names);
            let values: Vec<_> = found.get_all(header::RANGE).iter().collect();
            assert_eq!(values, ["bytes=0-1", "bytes=2-3"]);
            assert_eq!(found.len(), 2);
        }
    }

    #[test]
    fn an_empty_path_is_the_root() {
        let request = http(http::Request::builder().uri("http://shop.test?a"));
        assert_eq!(&*request.target(), b"/?a");
        assert_eq!(&*request.path_info(), b"/");
    }

    #[test]
    fn only_one_expectation_is_known_and_only_of_http_1_1() {
        let expectation = |values: &[&'static str], version| {
            let fields: Vec<_> = values.iter().map(|value| ("expect", *value)).collect();
            request(&fields, version).expectation()
        };
        assert_eq!(expectation(&[], Version::HTTP_11), Expectation::None);
        assert_eq!(expectation(&["100-Continue"], Version::HTTP_11), Expectation::Continue);
        assert_eq!(expectation(&["100-continue"], Version::HTTP_10), Expectation::None);
        for unknown in [&["200-ok"][..], &["100-continue", "x"], &["100-continue, 100-continue"]] {
            assert_eq!(expectation(unknown, Version::HTTP_11), Expectation::Unknown);
        }
    }
}
