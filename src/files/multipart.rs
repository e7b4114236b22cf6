//! Several parts of a file in one response: multipart/byteranges (RFC 9110, section 14.6).

use std::collections::VecDeque;
use std::hash::{BuildHasher, RandomState};

use http::HeaderValue;
use rwsgi_protocol::range::ByteRange;

use crate::body::Segment;

/// Parts of a file, with what stands between them.
#[derive(Debug)]
pub(crate) struct Multipart {
    /// The value of Content-Type.
    pub(crate) media_type: String,
    pub(crate) segments: VecDeque<Segment>,
}

impl Multipart {
    /// `parts` of a file of `length` bytes and of type `media_type`.
    pub(crate) fn new(parts: &[ByteRange], length: u64, media_type: Option<&HeaderValue>) -> Self {
        let boundary = boundary();
        let mut segments = VecDeque::with_capacity(2 * parts.len() + 1);
        for (index, part) in parts.iter().enumerate() {
            let mut head = if index == 0 { Vec::new() } else { b"\r\n".to_vec() };
            head.extend_from_slice(format!("--{boundary}\r\n").as_bytes());
            if let Some(value) = media_type {
                head.extend_from_slice(b"Content-Type: ");
                head.extend_from_slice(value.as_bytes());
                head.extend_from_slice(b"\r\n");
            }
            let range = part.content_range(length);
            head.extend_from_slice(format!("Content-Range: {range}\r\n\r\n").as_bytes());
            segments.push_back(Segment::Bytes(head.into()));
            segments.push_back(Segment::File { offset: part.offset, length: part.length });
        }
        segments.push_back(Segment::Bytes(format!("\r\n--{boundary}--\r\n").into()));
        Self { media_type: format!("multipart/byteranges; boundary={boundary}"), segments }
    }
}

/// A line that no file has in it: 128 bits that nobody can foresee, so that whoever wrote the file
/// could not have put them there. The standard library seeds its hashes with such.
fn boundary() -> String {
    let random = || RandomState::new().hash_one(());
    format!("{:016x}{:016x}", random(), random())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parts_are_framed_and_named() {
        let parts = [ByteRange { offset: 5, length: 2 }, ByteRange { offset: 0, length: 1 }];
        let text = HeaderValue::from_static("text/plain");
        let multipart = Multipart::new(&parts, 10, Some(&text));
        let boundary = multipart.media_type.rsplit_once('=').unwrap().1.to_owned();
        let bytes = |text: String| Segment::Bytes(text.into());
        let head = |range: &str| {
            format!("--{boundary}\r\nContent-Type: text/plain\r\nContent-Range: {range}\r\n\r\n")
        };
        let expected = [
            bytes(head("bytes 5-6/10")),
            Segment::File { offset: 5, length: 2 },
            bytes(format!("\r\n{}", head("bytes 0-0/10"))),
            Segment::File { offset: 0, length: 1 },
            bytes(format!("\r\n--{boundary}--\r\n")),
        ];
        assert_eq!(multipart.segments, expected);
    }

    #[test]
    fn boundaries_differ() {
        let all: std::collections::HashSet<_> = (0..1000).map(|_| boundary()).collect();
        assert!(all.len() == 1000 && all.iter().all(|boundary| boundary.len() == 32));
    }
}
