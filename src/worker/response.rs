//! The response as a connection takes it: a body that counts what left, and tells the log when it
//! ends.

use std::fs::File;
use std::io;
use std::os::fd::AsFd as _;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use http::StatusCode;
use http_body::{Body, Frame, SizeHint};
use rwsgi_core::log::{self, Event};
use rwsgi_core::sys;
use rwsgi_files::{FileBody, Segment};
use rwsgi_protocol::body::End;

use crate::connection::Connection;
use crate::exchange::Next;
use crate::hole;
use crate::record::Record;
use crate::upload::{Progress, Upload};
use crate::wsgi::reply::Reply;

/// Files up to this many bytes are read and not sent by sendfile(2).
const SMALL: u64 = 32 * 1024;

/// The response broke off: the connection is closed without the end that its framing announced.
#[derive(Debug)]
pub(crate) struct Aborted;

impl std::fmt::Display for Aborted {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("the response was not completed")
    }
}

impl std::error::Error for Aborted {}

/// The body of a response.
pub(crate) struct Outgoing {
    content: Content,
    /// Bytes that the head has promised and that have not come yet.
    promised: Option<u64>,
    /// What was given last may not have been sent.
    is_unsent: bool,
    record: Record,
}

enum Content {
    Whole(Option<Bytes>),
    Stream(Box<Link>),
    Part(Part),
    File(FileBody),
    Ended,
}

/// A body that leaves together with its head.
pub(crate) enum Whole {
    Bytes(Bytes),
    Part(Part),
}

/// A part of a file that is cheaper to read, when it is sent, than to be sent by sendfile(2).
pub(crate) struct Part {
    file: Arc<File>,
    offset: u64,
    length: usize,
}

/// The connection's hold on an exchange: when it goes, the application learns that.
pub(crate) struct Link {
    pub(crate) reply: Arc<Reply>,
    pub(crate) upload: Option<Box<Upload>>,
    /// Why the rest of the request body will not come.
    pub(crate) refusal: Option<StatusCode>,
    /// The application knows already.
    pub(crate) is_closed: bool,
}

impl Link {
    /// Brings more of the request body, if there is more.
    pub(crate) fn pump(&mut self, cx: &mut Context<'_>) {
        let Some(upload) = &mut self.upload else { return };
        let progress = upload.pump(&self.reply.exchange, cx);
        self.note(progress);
    }

    /// The same once the application has answered.
    pub(crate) fn catch_up(&mut self) {
        let Some(upload) = &mut self.upload else { return };
        let progress = upload.catch_up(&self.reply.exchange);
        self.note(progress);
    }

    fn note(&mut self, progress: Progress) {
        match progress {
            Progress::Open => return,
            Progress::Complete => {}
            Progress::Refused(status) => self.refusal = Some(status),
        }
        self.upload = None;
    }

    /// Tells the application if the rest of the request body will not come.
    pub(crate) fn tell(&self) {
        if self.refusal.is_some() {
            self.reply.exchange.feed_end(End::Broken);
        }
    }
}

impl Drop for Link {
    fn drop(&mut self) {
        if !self.is_closed {
            self.reply.exchange.close();
        }
    }
}

impl Outgoing {
    /// A body that is there already.
    pub(crate) fn whole(bytes: Bytes, record: Record) -> Self {
        let content = if bytes.is_empty() { Content::Ended } else { Content::Whole(Some(bytes)) };
        let mut outgoing = Self { content, promised: None, is_unsent: false, record };
        if let Content::Ended = outgoing.content {
            outgoing.record.complete = true;
        }
        outgoing
    }

    /// A body that is in a file.
    pub(crate) fn file(body: FileBody, record: Record) -> Self {
        let length = |segment: &Segment| match segment {
            Segment::Bytes(bytes) => bytes.len() as u64,
            Segment::File { length, .. } => *length,
        };
        let length = body.segments.iter().map(length).sum();
        if length == 0 {
            return Self::whole(Bytes::new(), record);
        }
        let content = match Part::of(&body) {
            Some(part) => Content::Part(part),
            None => Content::File(body),
        };
        let mut file = Self { content, promised: Some(length), is_unsent: false, record };
        file.record.sendfile = matches!(file.content, Content::File(_));
        file
    }

    /// A body that comes bit by bit; `length` is what its head promised.
    pub(crate) fn stream(link: Link, length: Option<u64>, record: Record) -> Self {
        Self {
            content: Content::Stream(Box::new(link)),
            promised: length,
            is_unsent: false,
            record,
        }
    }

    /// Takes all of it, as sent, if it can leave with its head and `is_wanted` says so of its length.
    pub(crate) fn take_whole(&mut self, is_wanted: impl FnOnce(usize) -> bool) -> Option<Whole> {
        let length = match &self.content {
            Content::Whole(bytes) => bytes.as_ref().map_or(0, Bytes::len),
            Content::Part(part) => part.length,
            Content::Ended => 0,
            Content::Stream(_) | Content::File(_) => return None,
        };
        if !is_wanted(length) {
            return None;
        }
        let content = std::mem::replace(&mut self.content, Content::Ended);
        self.count(length);
        self.end();
        Some(match content {
            Content::Whole(Some(bytes)) => Whole::Bytes(bytes),
            Content::Part(part) => Whole::Part(part),
            _ => Whole::Bytes(Bytes::new()),
        })
    }

    /// What was taken cannot be had: nothing has left.
    pub(crate) fn is_lost(&mut self) {
        self.record.bytes = 0;
        self.record.complete = false;
    }

    fn end(&mut self) {
        self.content = Content::Ended;
        self.record.complete = true;
    }

    fn count(&mut self, length: usize) {
        self.record.bytes += length as u64;
        if let Some(promised) = &mut self.promised {
            *promised = promised.saturating_sub(length as u64);
        }
    }
}

impl Whole {
    /// Bytes.
    pub(crate) fn len(&self) -> usize {
        match self {
            Self::Bytes(bytes) => bytes.len(),
            Self::Part(part) => part.length,
        }
    }
}

impl Part {
    fn of(body: &FileBody) -> Option<Self> {
        let [Segment::File { offset, length: length @ ..=SMALL }] = body.segments.as_slices().0
        else {
            return None;
        };
        let (file, length) = (Arc::clone(&body.file), usize::try_from(*length).ok()?);
        Some(Self { file, offset: *offset, length })
    }

    /// Appends it to `out`.
    ///
    /// # Errors
    /// [`hole::FILE`]: why it is not there any more.
    pub(crate) fn read(&self, out: &mut Vec<u8>) -> io::Result<()> {
        let read = sys::read_at(self.file.as_fd(), out, self.offset, self.length);
        read.map_err(|error| hole::blame(&self.file, &error))
    }
}

/// The next part of a file, as what stands for it; small ones as they are.
fn next_of(body: &mut FileBody, connection: &Connection) -> Option<Bytes> {
    let (offset, length) = match body.segments.front_mut()? {
        Segment::Bytes(bytes) => {
            let bytes = std::mem::take(bytes);
            body.segments.pop_front();
            return Some(bytes);
        }
        Segment::File { offset, length } => {
            let here = (*offset, (*length).min(hole::LENGTH as u64));
            *offset += here.1;
            *length -= here.1;
            if *length == 0 {
                body.segments.pop_front();
            }
            here
        }
    };
    Some(hole::dig(connection, &body.file, offset, length))
}

impl Body for Outgoing {
    type Data = Bytes;
    type Error = Aborted;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Aborted>>> {
        let this = &mut *self;
        let chunk = match &mut this.content {
            Content::Ended => return Poll::Ready(None),
            Content::Whole(bytes) => bytes.take().map_or(Next::End, Next::Chunk),
            Content::Stream(link) => {
                link.pump(cx);
                link.tell();
                match ready!(link.reply.exchange.poll_next(cx)) {
                    // hyper sends what it was given before it waits, but not before an error.
                    Next::Aborted if std::mem::take(&mut this.is_unsent) => {
                        cx.waker().wake_by_ref();
                        return Poll::Pending;
                    }
                    next => {
                        this.is_unsent = matches!(next, Next::Chunk(_));
                        next
                    }
                }
            }
            Content::Part(part) => {
                let mut bytes = Vec::new();
                match part.read(&mut bytes) {
                    Ok(()) => Next::Chunk(bytes.into()),
                    Err(error) => {
                        let entry = log::error(Event::SystemError, error.to_string());
                        this.record.worker.complain("", entry);
                        Next::Aborted
                    }
                }
            }
            Content::File(body) => {
                next_of(body, &this.record.connection).map_or(Next::End, Next::Chunk)
            }
        };
        Poll::Ready(match chunk {
            Next::Chunk(chunk) => {
                this.count(chunk.len());
                let is_whole = matches!(this.content, Content::Whole(_));
                if is_whole || this.promised == Some(0) {
                    this.end();
                }
                Some(Ok(Frame::data(chunk)))
            }
            Next::End if this.promised.is_none_or(|bytes| bytes == 0) => {
                this.end();
                None
            }
            Next::End | Next::Aborted => {
                this.record.connection.break_off();
                Some(Err(Aborted))
            }
        })
    }

    fn is_end_stream(&self) -> bool {
        matches!(self.content, Content::Ended)
    }

    fn size_hint(&self) -> SizeHint {
        match &self.content {
            Content::Ended => SizeHint::with_exact(0),
            Content::Whole(bytes) => {
                SizeHint::with_exact(bytes.as_ref().map_or(0, |bytes| bytes.len() as u64))
            }
            Content::Part(_) | Content::File(_) => SizeHint::with_exact(self.promised.unwrap_or(0)),
            Content::Stream(_) => SizeHint::default(),
        }
    }
}
