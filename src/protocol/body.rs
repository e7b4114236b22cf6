//! A request body as a reader sees it: chunks that came, in order, and whether more will come.

use std::collections::VecDeque;

use bytes::Bytes;

/// How a body ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum End {
    /// More may come.
    Open,
    /// It is complete.
    Complete,
    /// The client left, or broke the framing, before it was complete.
    Broken,
}

/// Bytes that were received and not yet read.
#[derive(Debug)]
pub struct Body {
    chunks: VecDeque<Bytes>,
    length: usize,
    end: End,
}

/// What a reader gets.
#[derive(Debug, PartialEq, Eq)]
pub enum Read {
    /// This much; empty at the end.
    Data(Bytes),
    /// Not enough is there yet.
    Wait,
    /// The rest will never come.
    Broken,
}

impl Default for Body {
    fn default() -> Self {
        Self { chunks: VecDeque::new(), length: 0, end: End::Open }
    }
}

impl Body {
    /// A body without a byte.
    pub fn empty() -> Self {
        Self { end: End::Complete, ..Self::default() }
    }

    /// A body that begins with this.
    pub fn of(bytes: Bytes) -> Self {
        let mut body = Self::default();
        body.push(bytes);
        body
    }

    /// A body that is there as a whole.
    pub fn whole(bytes: Bytes) -> Self {
        let mut body = Self::of(bytes);
        body.finish(End::Complete);
        body
    }

    /// Adds what was received.
    pub fn push(&mut self, chunk: Bytes) {
        if !chunk.is_empty() {
            self.length += chunk.len();
            self.chunks.push_back(chunk);
        }
    }

    /// Says how it ended. The first word counts.
    pub fn finish(&mut self, end: End) {
        if self.end == End::Open {
            self.end = end;
        }
    }

    /// Bytes that wait to be read.
    pub fn len(&self) -> usize {
        self.length
    }

    /// Whether nothing waits to be read.
    pub fn is_empty(&self) -> bool {
        self.length == 0
    }

    /// How it ended, if it has.
    pub fn end(&self) -> End {
        self.end
    }

    /// Reads `limit` bytes, fewer only at the end; everything without a limit.
    pub fn read(&mut self, limit: Option<usize>) -> Read {
        let wanted = limit.unwrap_or(usize::MAX);
        if wanted <= self.length {
            return Read::Data(self.take(wanted));
        }
        match self.end {
            End::Open => Read::Wait,
            End::Complete => Read::Data(self.take(self.length)),
            End::Broken => Read::Broken,
        }
    }

    /// Reads up to and with the next line feed, `limit` bytes at most.
    pub fn read_line(&mut self, limit: Option<usize>) -> Read {
        let limit = limit.unwrap_or(usize::MAX);
        if limit == 0 {
            return Read::Data(Bytes::new());
        }
        match self.line_length(limit) {
            Some(length) => Read::Data(self.take(length)),
            None => match self.end {
                End::Open => Read::Wait,
                End::Complete => Read::Data(self.take(self.length.min(limit))),
                End::Broken => Read::Broken,
            },
        }
    }

    fn line_length(&self, limit: usize) -> Option<usize> {
        let mut before = 0;
        for chunk in &self.chunks {
            if let Some(at) = chunk.iter().position(|&byte| byte == b'\n') {
                return Some((before + at + 1).min(limit));
            }
            before += chunk.len();
            if before >= limit {
                return Some(limit);
            }
        }
        None
    }

    /// The next `count` bytes; what came together is not copied.
    fn take(&mut self, count: usize) -> Bytes {
        let Some(first) = self.part(count) else { return Bytes::new() };
        if first.len() == count || self.chunks.is_empty() {
            return first;
        }
        let mut out = Vec::with_capacity(count);
        out.extend_from_slice(&first);
        while out.len() < count
            && let Some(part) = self.part(count - out.len())
        {
            out.extend_from_slice(&part);
        }
        out.into()
    }

    /// The first chunk that waits, or its first `most` bytes.
    pub fn part(&mut self, most: usize) -> Option<Bytes> {
        let chunk = self.chunks.front_mut()?;
        let part =
            if chunk.len() > most { chunk.split_to(most) } else { self.chunks.pop_front()? };
        self.length -= part.len();
        Some(part)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn body(chunks: &[&'static str], end: End) -> Body {
        let mut body = Body::default();
        chunks.iter().for_each(|chunk| body.push((*chunk).into()));
        body.finish(end);
        body
    }

    fn data(text: &str) -> Read {
        Read::Data(Bytes::copy_from_slice(text.as_bytes()))
    }

    #[test]
    fn a_limited_read_waits_until_it_is_full_or_the_body_ends() {
        let mut open = body(&["ab", "c"], End::Open);
        assert_eq!(open.read(Some(2)), data("ab"));
        assert_eq!(open.read(Some(2)), Read::Wait);
        open.finish(End::Complete);
        assert_eq!(open.read(Some(2)), data("c"));
        assert_eq!(open.read(Some(2)), data(""));
    }

    #[test]
    fn a_truncated_body_is_never_short_data() {
        let mut broken = body(&["abc"], End::Broken);
        assert_eq!(broken.read(Some(2)), data("ab"));
        assert_eq!(broken.read(None), Read::Broken);
        assert_eq!(broken.read_line(None), Read::Broken);
    }

    #[test]
    fn lines_keep_their_line_feed_across_chunks() {
        let mut lines = body(&["a", "b\nc", "\n", "\nd"], End::Complete);
        for expected in ["ab\n", "c\n", "\n", "d", ""] {
            assert_eq!(lines.read_line(None), data(expected));
        }
    }

    #[test]
    fn a_limited_line_is_cut() {
        let mut lines = body(&["abcdef\n"], End::Complete);
        assert_eq!(lines.read_line(Some(3)), data("abc"));
        assert_eq!(lines.read_line(Some(3)), data("def"));
        assert_eq!(lines.read_line(Some(3)), data("\n"));
    }

    #[test]
    fn who_wants_nothing_does_not_wait_for_it() {
        let mut open = body(&[], End::Open);
        assert_eq!(open.read(Some(0)), data(""));
        assert_eq!(open.read_line(Some(0)), data(""));
    }

    proptest::proptest! {
        #[test]
        fn reading_by_lines_or_by_bytes_gives_the_same(chunks: Vec<Vec<u8>>, step in 1_usize..9) {
            let whole: Vec<u8> = chunks.concat();
            let mut by_line = Body::default();
            let mut by_bytes = Body::default();
            for chunk in &chunks {
                by_line.push(chunk.clone().into());
                by_bytes.push(chunk.clone().into());
            }
            by_line.finish(End::Complete);
            by_bytes.finish(End::Complete);
            let mut lines = Vec::new();
            while let Read::Data(line) = by_line.read_line(None) {
                if line.is_empty() { break }
                lines.extend(line);
            }
            let mut bytes = Vec::new();
            while let Read::Data(some) = by_bytes.read(Some(step)) {
                if some.is_empty() { break }
                bytes.extend(some);
            }
            proptest::prop_assert_eq!(&lines, &whole);
            proptest::prop_assert_eq!(&bytes, &whole);
        }
    }
}
