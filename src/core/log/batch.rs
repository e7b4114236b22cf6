//! What goes over the queue together: entries as they are, requests as bytes in one buffer.

use super::{Entry, Level, text};

/// What a sink writes, in the order in which it was sent.
#[derive(Debug, Default)]
pub(super) struct Batch {
    items: Vec<Item>,
    bytes: Vec<u8>,
    entries: usize,
    text: usize,
}

#[derive(Debug)]
enum Item {
    /// Something that happened.
    Entry(Entry),
    /// A request that was answered: so many of the bytes.
    Access { length: usize, level: Level, form: Form },
}

/// How far the bytes of a request are prepared.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Form {
    /// They are what is to be written.
    Ready,
    /// A message; where there are lines, time and worker go before it.
    Prefixed,
    /// A message that is a line by itself.
    Bare,
}

/// One thing to write.
#[derive(Debug, Clone, Copy)]
pub(super) enum Piece<'a> {
    Entry(&'a Entry),
    Access { bytes: &'a [u8], level: Level, form: Form },
}

impl Piece<'_> {
    /// The text without anything before and after it.
    pub(super) fn message(&self) -> std::borrow::Cow<'_, [u8]> {
        match self {
            Self::Entry(entry) => {
                let mut out = Vec::new();
                text::message(&mut out, entry);
                out.into()
            }
            Self::Access { bytes, .. } => (*bytes).into(),
        }
    }
}

impl Batch {
    pub(super) fn is_empty(&self) -> bool {
        self.items.is_empty()
    }

    pub(super) fn len(&self) -> usize {
        self.items.len()
    }

    /// Those of its items that are entries.
    pub(super) fn entries(&self) -> usize {
        self.entries
    }

    /// Memory that entries take: their texts and fields.
    pub(super) fn text(&self) -> usize {
        self.text
    }

    /// Memory that requests take.
    pub(super) fn bytes(&self) -> usize {
        self.bytes.len()
    }

    pub(super) fn push(&mut self, entry: Entry) {
        self.entries += 1;
        self.text += entry.size();
        self.items.push(Item::Entry(entry));
    }

    pub(super) fn push_access(&mut self, bytes: &[u8], level: Level, form: Form) {
        self.bytes.extend_from_slice(bytes);
        self.items.push(Item::Access { length: bytes.len(), level, form });
    }

    pub(super) fn pieces(&self) -> impl Iterator<Item = Piece<'_>> {
        let mut rest = self.bytes.as_slice();
        self.items.iter().map(move |item| match item {
            Item::Entry(entry) => Piece::Entry(entry),
            Item::Access { length, level, form } => {
                let (bytes, others) = rest.split_at_checked(*length).unwrap_or((rest, &[]));
                rest = others;
                Piece::Access { bytes, level: *level, form: *form }
            }
        })
    }

    pub(super) fn clear(&mut self) {
        self.items.clear();
        self.bytes.clear();
        (self.entries, self.text) = (0, 0);
    }
}

#[cfg(test)]
mod tests {
    use super::super::Event;
    use super::*;

    #[test]
    fn entries_and_requests_keep_their_order() {
        let mut batch = Batch::default();
        batch.push_access(b"one", Level::Info, Form::Bare);
        batch.push(Entry::new(Level::Info, Event::Ready, "two"));
        batch.push_access(b"three", Level::Info, Form::Bare);
        let said: Vec<_> = batch.pieces().map(|piece| piece.message().into_owned()).collect();
        assert_eq!(said, [&b"one"[..], b"two", b"three"]);
        assert_eq!((batch.len(), batch.entries(), batch.bytes()), (3, 1, 8));
        batch.clear();
        assert!(batch.is_empty() && batch.bytes() == 0);
    }
}
