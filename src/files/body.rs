//! What is sent: a head, and pieces of memory and of a file.

use std::collections::VecDeque;
use std::fs::File;
use std::sync::Arc;

use bytes::Bytes;
use http::Response;

/// A response that is complete.
#[derive(Debug)]
pub struct Answer {
    /// Status and header fields, with Content-Length wherever the status allows it.
    pub head: Response<()>,
    /// What follows; `None` for HEAD and for what has no content.
    pub body: Option<FileBody>,
}

/// Pieces to send in order.
#[derive(Debug)]
pub struct FileBody {
    /// The file that they are of.
    pub file: Arc<File>,
    /// What is still to be sent.
    pub segments: VecDeque<Segment>,
}

/// One piece.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Segment {
    /// These bytes.
    Bytes(Bytes),
    /// This part of the file. It was there when the file was opened: if it is not any more, the
    /// response cannot be completed.
    File {
        /// Where it begins.
        offset: u64,
        /// How long it is, not zero.
        length: u64,
    },
}

impl Segment {
    /// How many bytes it is.
    pub fn length(&self) -> u64 {
        match self {
            Self::Bytes(bytes) => bytes.len() as u64,
            Self::File { length, .. } => *length,
        }
    }
}
