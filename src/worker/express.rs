//! The express way of common requests: past hyper, which reads each head again, makes a map of it, and
//! writes the response's.
//!
//! The head that the guard has passed is there as text, and where its body ends is known
//! ([`Outline`]); `request::answer` does with both what it does for hyper, and what has not come of the body
//! is received where it is wanted (`rest`); and a response that is there as a whole leaves with one system
//! call. When one of this is not so, hyper has the connection until it is idle again. Where only the response
//! is uncommon, hyper reads a request that stands for the one that was answered, and gets the response.

use std::sync::Arc;

use bytes::Bytes;
use http::Response;
use http::header::{CONNECTION, CONTENT_LENGTH, TRAILER, TRANSFER_ENCODING};
use http_body::Body as _;
use rwsgi_protocol::http1::Outline;
use rwsgi_protocol::request::Request;
use rwsgi_protocol::response::status_forbids_content;

use crate::connection::{Connection, Phase};
use crate::encode;
use crate::intake::Intake;
use crate::request::{self, Answered};
use crate::response::Outgoing;
use crate::upload::Source;
use crate::worker::Worker;
use crate::wsgi::lines::Head;

/// What hyper is shown of a request that has a response already: nothing else makes a difference to how it
/// sends that.
const ANOTHER: &[u8] = b"GET / HTTP/1.1\r\n\r\n";
/// The same of one after which the client wants the connection to end.
const LAST: &[u8] = b"GET / HTTP/1.1\r\nConnection: close\r\n\r\n";

/// What comes of a request, and what is to be done about the next one.
pub(crate) enum Outcome {
    /// It is answered, and another one may come.
    Answered,
    /// The connection is done with.
    Ended,
    /// It is hyper's; so is the response, if it has been made.
    Hyper(Option<Box<Response<Outgoing>>>),
}

/// Serves the request whose head is there.
pub(crate) async fn serve(
    worker: &'static Worker,
    connection: &Arc<Connection>,
    asked: Asked,
) -> Outcome {
    let Asked::Common(common) = asked else { return Outcome::Hyper(None) };
    let answer = request::answer(worker, connection, common.request, common.source).await;
    let Ok(Answered { mut head, mut body }) = answer else { return Outcome::Ended };
    if body.is_end_stream() {
        // hyper says of no content at the end that there is none.
        head = head.into_map().into();
    }
    let Some(whole) = body.take_whole(|length| is_common(&head, length)) else {
        connection.intake().give_back(if common.closes { LAST } else { ANOTHER });
        return Outcome::Hyper(Some(Box::new(Answered { head, body }.into_response())));
    };
    if common.closes {
        head.close();
    }
    let closes = head.closes();
    let length = whole.len();
    let encode = move |out: &mut Vec<u8>| match head {
        Head::Lines(lines) => lines.encode(length, out),
        Head::Map(head) => encode::encode_whole(&head, length, out),
    };
    let Ok(departure) = connection.put_together(worker, encode, body, whole) else {
        return Outcome::Ended;
    };
    if connection.depart(worker, departure).await.is_err() || closes {
        return Outcome::Ended;
    }
    connection.enter(worker, Phase::Idle);
    worker.make_room();
    Outcome::Answered
}

/// A request whose head is there.
pub(crate) enum Asked {
    Common(Common),
    /// It still is in the intake.
    Uncommon,
}

/// A request whose body has a length, if it has one.
pub(crate) struct Common {
    request: Arc<Request>,
    source: Source,
    closes: bool,
}

impl Connection {
    /// Takes the request whose head is there, if it is common.
    pub(crate) fn take_asked(&self, worker: &Worker, intake: &mut Intake) -> Asked {
        self.take_common(worker, intake).map_or(Asked::Uncommon, Asked::Common)
    }

    fn take_common(&self, worker: &Worker, intake: &mut Intake) -> Option<Common> {
        let notes = intake.take_notes()?;
        let outline = Outline::of(intake.passed(), notes)?;
        let (start, length) = (outline.head, outline.length()?);
        let (text, source) = match intake.take(length) {
            Some(text) => {
                let body = (start < length).then(|| text.slice(start..));
                (text, Source::Here(body))
            }
            None => {
                let begun = intake.take_passed();
                let head = Bytes::copy_from_slice(&begun[..start]);
                (head, Source::Rest(begun.slice(start..)))
            }
        };
        // While the intake is locked: nobody may take the connection for idle.
        self.enter(worker, Phase::Application);
        let closes = outline.closes;
        let (method, head) = outline.fill(text);
        let request = Arc::new(Request::http(method, head));
        Some(Common { request, source, closes })
    }
}

/// Whether hyper would do nothing with such a response but write it.
fn is_common(head: &Head, length: usize) -> bool {
    let head = match head {
        Head::Lines(lines) => return lines.is_followed_by(length),
        Head::Map(head) => head,
    };
    let mut closes = false;
    // Each field is looked at once: to look for each of these would take longer.
    !status_forbids_content(head.status())
        && head.headers().iter().all(|(name, value)| match *name {
            CONTENT_LENGTH => rwsgi_protocol::header::content_length(value) == Some(length as u64),
            CONNECTION => value == "close" && !std::mem::replace(&mut closes, true),
            TRANSFER_ENCODING | TRAILER => false,
            _ => true,
        })
}
