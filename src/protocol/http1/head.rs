//! A request's head as it came: text, and where its parts are.
//!
//! The [`Guard`](super::Guard) notes where fields are ([`Notes`]). So [`Outline::of`] checks nothing: it
//! says which requests are common, and where their bytes are. All others are read by hyper, and
//! become such a text again ([`RequestHead::of_parts`]).

use crate::header::number;
use bytes::Bytes;
use http::header::EXPECT;
use http::{HeaderName, Method, Version, request};

/// The line of a common request from the space behind the target on.
const LINE_END: &[u8] = b" HTTP/1.1\r\n";

/// A head.
#[derive(Debug)]
pub struct RequestHead {
    /// What the spans are of.
    text: Bytes,
    target: Span,
    /// The part of that before the question mark.
    path: Span,
    /// That of an absolute target (RFC 9112, section 3.2.2).
    authority: Option<Span>,
    is_1_0: bool,
    /// There is a field Expect.
    expects: bool,
    fields: Vec<Field>,
}

/// Where something is.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
struct Span {
    start: u32,
    end: u32,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Field {
    name: Span,
    value: Span,
}

/// Where the target and the fields of a head are, values with the blanks around them.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Notes {
    target: Span,
    fields: Vec<Field>,
    /// Where the next line begins.
    next: usize,
}

impl Notes {
    /// A head with its target between `start` and `end`, and whose fields begin at `next`.
    pub(super) fn begin(&mut self, (start, end): (usize, usize), next: usize) {
        self.target = span(start, end);
        self.fields = Vec::with_capacity(16);
        self.next = next;
    }

    /// The next field, with a value of `length` bytes at `value`, behind the colon.
    pub(super) fn add(&mut self, value: usize, length: usize) {
        let end = value + length;
        self.fields.push(Field { name: span(self.next, value - 1), value: span(value, end) });
        self.next = end + 2;
    }
}

/// Where the parts of a common request are: of HTTP/1.1, for a path, with a body of known length, and
/// with nothing that changes how it is to be answered.
#[derive(Debug)]
pub struct Outline {
    /// The method: neither HEAD nor CONNECT.
    pub method: Method,
    /// Bytes of the head, with the empty line that ends it.
    pub head: usize,
    /// Bytes of the body.
    pub body: u64,
    /// The client wants the connection to end after it (RFC 9112, section 9.6).
    pub closes: bool,
    /// The client waits for `100 Continue` before it sends the body.
    expects: bool,
    target: Span,
    fields: Vec<Field>,
}

impl Span {
    fn of(self, text: &[u8]) -> &[u8] {
        text.get(self.start as usize..self.end as usize).unwrap_or_default()
    }

    /// Without the blanks around it.
    fn trim(mut self, text: &[u8]) -> Self {
        let is_blank = |index: u32| matches!(text.get(index as usize), Some(b' ' | b'\t'));
        while self.start < self.end && is_blank(self.start) {
            self.start += 1;
        }
        while self.start < self.end && is_blank(self.end - 1) {
            self.end -= 1;
        }
        self
    }
}

fn span(start: usize, end: usize) -> Span {
    // A head is shorter than the limit for it, which is a u32.
    Span { start: start as u32, end: end as u32 }
}

/// The part of a target before its query.
fn path_of(target: Span, text: &[u8]) -> Span {
    let length = target.of(text).iter().position(|&byte| byte == b'?');
    Span { end: length.map_or(target.end, |length| target.start + length as u32), ..target }
}

impl Outline {
    /// The request at the beginning of `passed`, which the guard has passed, with what it has noted of
    /// its head; `None` if it is not a common one.
    pub fn of(passed: &[u8], notes: Notes) -> Option<Self> {
        let Span { start, end } = notes.target;
        let method = match passed.get(..(start as usize).checked_sub(1)?)? {
            b"GET" => Method::GET,
            method => Method::from_bytes(method).ok()?,
        };
        if method == Method::HEAD || method == Method::CONNECT {
            return None;
        }
        let is_path = passed.get(start as usize) == Some(&b'/');
        if !is_path || !passed.get(end as usize..)?.starts_with(LINE_END) {
            return None;
        }
        let mut outline = Self {
            method,
            head: notes.next + 2,
            body: 0,
            closes: false,
            expects: false,
            target: notes.target,
            fields: Vec::new(),
        };
        let mut fields = notes.fields;
        for field in &mut fields {
            field.value = field.value.trim(passed);
            outline.look_at(field.name.of(passed), field.value.of(passed))?;
        }
        outline.fields = fields;
        Some(outline)
    }

    /// Bytes of head and body; `None` if that is more than there can be.
    pub fn length(&self) -> Option<usize> {
        usize::try_from(self.body).ok()?.checked_add(self.head)
    }

    /// With the text that it was made of.
    pub fn fill(self, text: Bytes) -> (Method, RequestHead) {
        let Self { method, target, fields, expects, .. } = self;
        let path = path_of(target, &text);
        let (authority, is_1_0) = (None, false);
        (method, RequestHead { text, target, path, authority, is_1_0, expects, fields })
    }

    /// Takes note of a field that says where a request or its connection ends; `None` if it makes the
    /// request an uncommon one.
    fn look_at(&mut self, name: &[u8], value: &[u8]) -> Option<()> {
        match name.len() {
            6 if name.eq_ignore_ascii_case(b"expect") => {
                let is_known = !self.expects && value.eq_ignore_ascii_case(b"100-continue");
                self.expects = true;
                is_known.then_some(())
            }
            7 if name.eq_ignore_ascii_case(b"upgrade") => None,
            10 if name.eq_ignore_ascii_case(b"connection") => {
                self.closes |= value.eq_ignore_ascii_case(b"close");
                (self.closes || value.eq_ignore_ascii_case(b"keep-alive")).then_some(())
            }
            14 if name.eq_ignore_ascii_case(b"content-length") => {
                self.body = number(value)?;
                Some(())
            }
            17 if name.eq_ignore_ascii_case(b"transfer-encoding") => None,
            _ => Some(()),
        }
    }
}

impl RequestHead {
    /// What hyper has read.
    pub fn of_parts(parts: &request::Parts) -> Self {
        let (uri, fields) = (&parts.uri, &parts.headers);
        let mut text = Vec::with_capacity(64 * (fields.len() + 1));
        let mut add = |bytes: &[u8]| {
            let start = text.len();
            text.extend_from_slice(bytes);
            span(start, text.len())
        };
        let mut target = add(b"");
        let path_and_query = uri.path_and_query().map_or("*", |target| target.as_str());
        if path_and_query.starts_with('?') {
            // `http://shop.test?a` has an empty path, which is `/` (RFC 9110, section 4.2.3).
            add(b"/");
        }
        target.end = add(path_and_query.as_bytes()).end;
        let authority = uri.authority().map(|authority| add(authority.as_str().as_bytes()));
        let field = |(name, value): (&HeaderName, &http::HeaderValue)| Field {
            name: add(name.as_str().as_bytes()),
            value: add(value.as_bytes()),
        };
        let fields = fields.iter().map(field).collect();
        let is_1_0 = parts.version == Version::HTTP_10;
        let expects = parts.headers.contains_key(EXPECT);
        let path = path_of(target, &text);
        Self { text: text.into(), target, path, authority, is_1_0, expects, fields }
    }

    /// Whether the client speaks HTTP/1.0.
    pub fn is_1_0(&self) -> bool {
        self.is_1_0
    }

    /// Whether the client expects something before it sends the body.
    pub fn expects(&self) -> bool {
        self.expects
    }

    /// Path and query.
    pub fn target(&self) -> &[u8] {
        self.target.of(&self.text)
    }

    /// The path as it came, and the query without its question mark.
    pub fn path_and_query(&self) -> (&[u8], &[u8]) {
        let query = Span { start: self.path.end + 1, end: self.target.end };
        (self.path.of(&self.text), query.of(&self.text))
    }

    /// For whom the request is, if its target says so.
    pub fn authority(&self) -> Option<&[u8]> {
        self.authority.map(|authority| authority.of(&self.text))
    }

    /// Names, in the case in which they came, and values.
    pub fn fields(&self) -> impl ExactSizeIterator<Item = (&[u8], &[u8])> + Clone {
        self.fields.iter().map(|field| (field.name.of(&self.text), field.value.of(&self.text)))
    }

    /// The values of a field.
    pub fn values<'a>(&'a self, name: &HeaderName) -> impl Iterator<Item = &'a [u8]> {
        let wanted = name.as_str().as_bytes();
        let fields = self.fields().filter(|(name, _)| name.eq_ignore_ascii_case(wanted));
        fields.map(|(_, value)| value)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::super::{Guard, Limits, Verdict};
    use super::*;

    fn outline(text: &str) -> Option<Outline> {
        let (mut bytes, mut notes) = (text.as_bytes().to_vec(), Notes::default());
        let mut guard = Guard::new(Limits { head: 4096, fields: 16 });
        match guard.inspect(&mut bytes, &mut notes) {
            Verdict::Pass(count) => Outline::of(&bytes[..count], notes),
            verdict => panic!("{text}: {verdict:?}"),
        }
    }

    fn get(fields: &str) -> String {
        format!("GET /a?b HTTP/1.1\r\nHost: a\r\n{fields}\r\n")
    }

    #[test]
    fn what_hyper_would_do_more_about_is_not_common() {
        for common in [
            "",
            "Connection: keep-alive\r\n",
            "connection:Close \r\n",
            "Content-Length: 0\r\n",
            "Upgrade-Insecure-Requests: 1\r\n",
            "EXPECT: 100-Continue\r\n",
        ] {
            assert!(outline(&get(common)).is_some(), "{common}");
        }
        for uncommon in [
            "Connection: keep-alive, keep-alive\r\n",
            "Connection: upgrade\r\n",
            "Connection:\r\n",
            "Expect: 100-continue\r\nExpect: 100-continue\r\n",
            "Expect: 100-continue, x\r\n",
            "Expect:\r\n",
            "Upgrade: h2c\r\n",
            "Transfer-Encoding: chunked\r\n",
        ] {
            assert!(outline(&get(uncommon)).is_none(), "{uncommon}");
        }
        for line in [
            "HEAD / HTTP/1.1",
            "GET / HTTP/1.0",
            "OPTIONS * HTTP/1.1",
            "CONNECT a:1 HTTP/1.1",
            "GET http://a/ HTTP/1.1",
        ] {
            assert!(outline(&format!("{line}\r\nHost: a\r\n\r\n")).is_none(), "{line}");
        }
    }

    #[test]
    fn the_length_of_a_body_and_the_end_of_a_connection_are_known() {
        let post =
            "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\nConnection: close\r\n\r\nabcGET";
        let outline = outline(post).unwrap();
        assert_eq!((outline.body, outline.closes, outline.method.as_str()), (3, true, "POST"));
        assert_eq!(outline.length(), Some(post.len() - 3));
    }

    #[test]
    fn a_head_of_hyper_and_one_that_came_say_the_same() {
        let text = get("X-A: 1\r\nCookie:\t c \r\nx-a: \r\n");
        let (method, ours) = outline(&text).unwrap().fill(Bytes::from(text));
        let request = http::Request::get("/a?b").header("host", "a").header("x-a", "1");
        let request = request.header("x-a", "").header("cookie", "c").body(()).unwrap();
        let theirs = RequestHead::of_parts(&request.into_parts().0);
        assert_eq!((method, ours.target(), ours.is_1_0()), (Method::GET, theirs.target(), false));
        for name in ["host", "x-a", "cookie", "none"].map(HeaderName::from_static) {
            assert!(ours.values(&name).eq(theirs.values(&name)), "{name}");
        }
        assert_eq!(ours.path_and_query(), (&b"/a"[..], &b"b"[..]));
    }

    proptest! {
        /// What the guard has passed and is common is what hyper's parser takes it for.
        #[test]
        fn what_has_passed_is_read_as_by_hyper(
            text in "(GET|POST|x) /[!-~]{0,9} HTTP/1.1\r\nHost: a\r\n([A-Za-z:-]{1,12}:[ \t]{0,2}[ -~\u{e4}]{0,40}[ \t]?\r\n){0,6}\r\n"
        ) {
            let mut bytes = text.into_bytes();
            let (mut guard, mut notes) = (Guard::new(Limits { head: 4096, fields: 16 }), Notes::default());
            let verdict = guard.inspect(&mut bytes, &mut notes);
            let passed = matches!(verdict, Verdict::Pass(count) if count == bytes.len());
            if let (true, Some(outline)) = (passed, Outline::of(&bytes, notes)) {
                let mut fields = [httparse::EMPTY_HEADER; 16];
                let mut request = httparse::Request::new(&mut fields);
                let length = outline.head;
                prop_assert_eq!(request.parse(&bytes), Ok(httparse::Status::Complete(length)));
                let (method, head) = outline.fill(Bytes::from(bytes.clone()));
                prop_assert_eq!(request.method, Some(method.as_str()));
                prop_assert_eq!(request.path.map(str::as_bytes), Some(head.target()));
                let theirs = request.headers.iter().map(|field| (field.name.as_bytes(), field.value));
                prop_assert!(head.fields().eq(theirs));
            }
        }
    }
}
