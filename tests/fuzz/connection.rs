//! A connection as the targets see it: bytes in pieces, through the guard.

use std::ops::Range;

use http::{Method, Uri};
pub use rwsgi_protocol::http1::Position;
use rwsgi_protocol::http1::{Guard, Limits, Notes, Outline, Refusal, Verdict};

/// Small, so that they are met.
pub const LIMITS: Limits = Limits { head: 1024, fields: 16 };

/// What becomes of a connection, however it is cut.
#[derive(Debug, PartialEq, Eq)]
pub struct Fate {
    /// What goes on to hyper.
    pub passed: Vec<u8>,
    pub skipped: usize,
    /// Bytes that wait for others; not counted when the connection is refused.
    pub held: usize,
    pub position: Position,
    pub refusal: Option<Refusal>,
}

/// Sends a connection's bytes. The ranges are those of heads in what passed, if each piece is a byte.
pub fn send<'a>(pieces: impl Iterator<Item = &'a [u8]>) -> (Fate, Vec<Range<usize>>) {
    let mut guard = Guard::new(LIMITS);
    let (mut passed, mut skipped, mut refusal) = (Vec::new(), 0, None);
    let (mut buffer, mut heads, mut notes) = (Vec::new(), Vec::new(), Notes::default());
    for piece in pieces {
        buffer.extend_from_slice(piece);
        loop {
            let before = guard.position();
            match guard.inspect(&mut buffer, &mut notes) {
                Verdict::Pass(count) => {
                    assert!(count > 0);
                    if before != Position::Body {
                        // However it was cut, the same is known of it.
                        let mut whole = Notes::default();
                        Guard::new(LIMITS).inspect(&mut buffer[..count].to_vec(), &mut whole);
                        assert_eq!(std::mem::take(&mut notes), whole);
                        heads.push(passed.len()..passed.len() + count);
                    }
                    passed.extend(buffer.drain(..count));
                }
                Verdict::Skip(count) => {
                    assert!(count > 0);
                    skipped += buffer.drain(..count).len();
                }
                Verdict::More => break,
                Verdict::Refuse(reason) => {
                    assert!(refusal.is_none_or(|before| before == reason));
                    refusal = Some(reason);
                    break;
                }
            }
        }
    }
    let held = if refusal.is_none() { buffer.len() } else { 0 };
    (Fate { passed, skipped, held, position: guard.position(), refusal }, heads)
}

/// Method and target of a head, which hyper's parsers have to take at its full length.
pub fn parse(head: &[u8]) -> (Method, Uri) {
    let mut fields = [httparse::EMPTY_HEADER; LIMITS.fields];
    let mut request = httparse::Request::new(&mut fields);
    assert_eq!(request.parse(head), Ok(httparse::Status::Complete(head.len())));
    let (mut again, mut notes) = (head.to_vec(), Notes::default());
    Guard::new(LIMITS).inspect(&mut again, &mut notes);
    if let Some(outline) = Outline::of(head, notes) {
        // The express way reads it as hyper does.
        let (length, closes) = (outline.head, outline.closes);
        let (method, ours) = outline.fill(head.to_vec().into());
        assert_eq!(length, head.len());
        assert_eq!(request.method, Some(method.as_str()));
        assert_eq!(request.path.map(str::as_bytes), Some(ours.target()));
        let theirs = request.headers.iter().map(|field| (field.name.as_bytes(), field.value));
        assert!(ours.fields().eq(theirs));
        let ends = |(name, value): (&[u8], &[u8])| {
            name.eq_ignore_ascii_case(b"connection") && value.eq_ignore_ascii_case(b"close")
        };
        assert_eq!(closes, ours.fields().any(ends));
    }
    let method = request.method.map(|method| Method::from_bytes(method.as_bytes()));
    let target = request.path.map(Uri::try_from);
    match (method, target) {
        (Some(Ok(method)), Some(Ok(target))) => (method, target),
        other => panic!("the head has passed, and is not taken: {other:?}"),
    }
}
