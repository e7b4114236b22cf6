//! From an open file to a response: what conditions and ranges make of it.

use std::collections::VecDeque;
use std::fmt::Write as _;
use std::fs::Metadata;
use std::os::unix::fs::MetadataExt;
use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use http::header::{
    ACCEPT_RANGES, CACHE_CONTROL, CONTENT_ENCODING, CONTENT_LENGTH, CONTENT_RANGE, CONTENT_TYPE,
    ETAG, EXPIRES, LAST_MODIFIED,
};
use http::{HeaderMap, HeaderName, HeaderValue, Method, Response, StatusCode};
use rwsgi_protocol::conditional::{Validators, Verdict, evaluate};
use rwsgi_protocol::date;
use rwsgi_protocol::range::{self, Selection, select};

use crate::body::{FileBody, Segment};
use crate::multipart::Multipart;
use crate::open::Opened;

/// Completes the head of a response whose content is `opened`, and gives the body. The head has
/// what is known about the file besides: type, coding, freshness.
///
/// Conditions and ranges count for a 200 to GET or HEAD (RFC 9110, section 13.2.1); any other
/// response gets the whole file.
pub(crate) fn send(
    head: &mut Response<()>,
    opened: Opened,
    method: &Method,
    fields: &HeaderMap,
    now: SystemTime,
) -> FileBody {
    let reads = *method == Method::GET || *method == Method::HEAD;
    let selection = if reads && head.status() == StatusCode::OK {
        negotiate(head, &opened.facts, method, fields, now)
    } else {
        Some(Selection::Whole)
    };
    let mut segments = match selection {
        Some(selection) => frame(head, selection, opened.facts.len()),
        None => VecDeque::new(),
    };
    if *method == Method::HEAD {
        segments.clear();
    }
    FileBody { file: Arc::new(opened.file), segments }
}

/// What of the file is to be sent; `None` when the conditions say: nothing.
fn negotiate(
    head: &mut Response<()>,
    facts: &Metadata,
    method: &Method,
    fields: &HeaderMap,
    now: SystemTime,
) -> Option<Selection> {
    let validators = validators(facts, now);
    let ours = head.headers_mut();
    if let Some(etag) = &validators.etag {
        ours.insert(ETAG, etag.clone());
    }
    if let Some(value) = validators.last_modified.and_then(date::format) {
        ours.insert(LAST_MODIFIED, value);
    }
    ours.insert(ACCEPT_RANGES, HeaderValue::from_static("bytes"));
    match evaluate(method, fields, &validators) {
        Verdict::Proceed => Some(select(method, fields, &validators, facts.len())),
        Verdict::NotModified => {
            *head.status_mut() = StatusCode::NOT_MODIFIED;
            // What a cache needs to know stays (RFC 9110, section 15.4.5).
            forget(head.headers_mut(), &ABOUT_CONTENT);
            None
        }
        Verdict::PreconditionFailed => {
            fail(head, StatusCode::PRECONDITION_FAILED);
            None
        }
    }
}

/// How much of the file follows, in the head and in segments.
fn frame(head: &mut Response<()>, selection: Selection, length: u64) -> VecDeque<Segment> {
    let ours = head.headers_mut();
    let segments = match selection {
        // The coding would be that of the parts together, not of the file.
        Selection::Parts(_) if ours.contains_key(CONTENT_ENCODING) => whole(length),
        Selection::Whole => whole(length),
        Selection::Part(part) => {
            set(ours, CONTENT_RANGE, part.content_range(length));
            *head.status_mut() = StatusCode::PARTIAL_CONTENT;
            VecDeque::from([Segment::File { offset: part.offset, length: part.length }])
        }
        Selection::Parts(parts) => {
            let multipart = Multipart::new(&parts, length, ours.get(CONTENT_TYPE));
            set(ours, CONTENT_TYPE, multipart.media_type);
            *head.status_mut() = StatusCode::PARTIAL_CONTENT;
            multipart.segments
        }
        Selection::Unsatisfiable => {
            fail(head, StatusCode::RANGE_NOT_SATISFIABLE);
            set(head.headers_mut(), CONTENT_RANGE, range::unsatisfied(length));
            return VecDeque::new();
        }
    };
    let total: u64 = segments.iter().map(Segment::length).sum();
    head.headers_mut().insert(CONTENT_LENGTH, total.into());
    segments
}

fn whole(length: u64) -> VecDeque<Segment> {
    let all = Segment::File { offset: 0, length };
    (length > 0).then_some(all).into_iter().collect()
}

const ABOUT_CONTENT: [HeaderName; 5] =
    [CONTENT_TYPE, CONTENT_LENGTH, CONTENT_ENCODING, LAST_MODIFIED, ACCEPT_RANGES];
const ABOUT_CACHES: [HeaderName; 3] = [CACHE_CONTROL, EXPIRES, ETAG];

/// Makes it an error without content, which nobody should keep.
fn fail(head: &mut Response<()>, status: StatusCode) {
    *head.status_mut() = status;
    forget(head.headers_mut(), &ABOUT_CONTENT);
    forget(head.headers_mut(), &ABOUT_CACHES);
    head.headers_mut().insert(CONTENT_LENGTH, HeaderValue::from_static("0"));
}

fn forget(ours: &mut HeaderMap, names: &[HeaderName]) {
    for name in names {
        ours.remove(name);
    }
}

fn set(ours: &mut HeaderMap, name: HeaderName, text: String) {
    if let Ok(value) = HeaderValue::try_from(text) {
        ours.insert(name, value);
    }
}

/// What tells this state of a file from others, the same in every worker.
///
/// The tag is made of modification time in nanoseconds, size and inode: the time alone stays when
/// releases are built with one date for all files, the size when a digit changes, and a file that
/// replaces another one by `rename` in the same tick of the clock has another inode.
///
/// The date is left out until its second is over, because the file may change once more in it; and
/// when it is of 1970, which is what such releases have.
fn validators(facts: &Metadata, now: SystemTime) -> Validators {
    let (seconds, nanos) = (facts.mtime(), facts.mtime_nsec());
    // Four numbers of 64 bits at most.
    let mut tag = String::with_capacity(4 * 16 + 5);
    let _ = write!(tag, "\"{seconds:x}.{nanos:x}-{:x}-{:x}\"", facts.size(), facts.ino());
    let modified = facts.modified().ok().and_then(date::whole_second);
    let last_modified = modified.filter(|modified| {
        let over = modified.checked_add(SECOND).is_some_and(|end| end <= now);
        over && *modified >= UNIX_EPOCH + DAY
    });
    Validators { etag: HeaderValue::try_from(tag).ok(), last_modified }
}

const SECOND: Duration = Duration::from_secs(1);
const DAY: Duration = Duration::from_secs(24 * 60 * 60);
