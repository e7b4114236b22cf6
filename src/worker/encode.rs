//! The head of a response as it goes over the wire, where hyper does not write it.

use std::cell::RefCell;
use std::time::{Duration, UNIX_EPOCH};

use http::header::{CONTENT_LENGTH, DATE};
use http::{HeaderName, Response, StatusCode};
use hyper::ext::ReasonPhrase;
use nix::time::{ClockId, clock_gettime};

thread_local! {
    /// The second since 1970 that was said last, and how.
    static SAID: RefCell<(u64, String)> = const { RefCell::new((0, String::new())) };
}

/// Status line and fields.
pub(crate) fn encode(head: &Response<()>, out: &mut Vec<u8>) {
    encode_without(head, None, out);
}

/// All of a head whose body is there as a whole, as hyper would write it.
pub(crate) fn encode_whole(head: &Response<()>, length: usize, out: &mut Vec<u8>) {
    // hyper says of no content at the end that there is none.
    let unsaid = (length == 0).then_some(&CONTENT_LENGTH);
    let (has_length, has_date) = encode_without(head, unsaid, out);
    end((!has_length).then_some(length), has_date, out);
}

/// Returns whether it says how long the body is, and what time it is.
fn encode_without(
    head: &Response<()>,
    unsaid: Option<&HeaderName>,
    out: &mut Vec<u8>,
) -> (bool, bool) {
    status_line(head.status(), head.extensions().get::<ReasonPhrase>(), out);
    let (mut has_length, mut has_date) = (false, false);
    for (name, value) in head.headers() {
        if unsaid == Some(name) {
            continue;
        }
        has_length |= *name == CONTENT_LENGTH;
        has_date |= *name == DATE;
        title_case(name.as_str().as_bytes(), out);
        out.extend_from_slice(b": ");
        out.extend_from_slice(value.as_bytes());
        out.extend_from_slice(b"\r\n");
    }
    (has_length, has_date)
}

/// The first line.
pub(crate) fn status_line(status: StatusCode, reason: Option<&ReasonPhrase>, out: &mut Vec<u8>) {
    if status == StatusCode::OK && reason.is_none() {
        return out.extend_from_slice(b"HTTP/1.1 200 OK\r\n");
    }
    let usual = || status.canonical_reason().unwrap_or("").as_bytes();
    out.extend_from_slice(b"HTTP/1.1 ");
    out.extend_from_slice(status.as_str().as_bytes());
    out.push(b' ');
    out.extend_from_slice(reason.map_or_else(usual, ReasonPhrase::as_bytes));
    out.extend_from_slice(b"\r\n");
}

/// The last lines: how long the body is and what time it is, if that is not said yet, and an empty one.
pub(crate) fn end(length: Option<usize>, has_date: bool, out: &mut Vec<u8>) {
    if let Some(length) = length {
        out.extend_from_slice(b"Content-Length: ");
        out.extend_from_slice(itoa::Buffer::new().format(length).as_bytes());
        out.extend_from_slice(b"\r\n");
    }
    if !has_date {
        date(out);
    }
    out.extend_from_slice(b"\r\n");
}

/// As hyper writes names with `title_case_headers`.
pub(crate) fn title_case(name: &[u8], out: &mut Vec<u8>) {
    let mut start = out.len();
    out.extend_from_slice(name);
    while let Some(word) = out.get_mut(start..)
        && let Some(first) = word.first_mut()
    {
        first.make_ascii_uppercase();
        let Some(end) = word.iter().position(|&byte| byte == b'-') else { break };
        start += end + 1;
    }
}

fn date(out: &mut Vec<u8>) {
    // The clock that is read without asking the hardware: some milliseconds late.
    let now = clock_gettime(ClockId::CLOCK_REALTIME_COARSE).map_or(0, |now| now.tv_sec());
    let second = u64::try_from(now).unwrap_or(0);
    SAID.with_borrow_mut(|(said, text)| {
        if *said != second || text.is_empty() {
            let time = UNIX_EPOCH + Duration::from_secs(second);
            *text = format!("Date: {}\r\n", httpdate::fmt_http_date(time));
            *said = second;
        }
        out.extend_from_slice(text.as_bytes());
    });
}
