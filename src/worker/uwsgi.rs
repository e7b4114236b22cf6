//! The uwsgi protocol on a connection: one packet, a body, one response, the end.

use std::future::poll_fn;
use std::pin::Pin;
use std::sync::Arc;
use std::task::Poll;

use bytes::Bytes;
use http::header::{CONNECTION, CONTENT_LENGTH};
use http_body::Body as _;
use rwsgi_core::log::{self, Event};
use rwsgi_protocol::request::Request;
use rwsgi_protocol::response::has_no_content;

use crate::connection::{Connection, Phase};
use crate::encode::encode;
use crate::packet::{self, Unserved};
use crate::request;
use crate::response::{Aborted, Outgoing};
use crate::upload::Source;
use crate::worker::Worker;
use crate::wsgi::lines::Head;

/// What a client of another protocol is told.
const FOREIGN: &str = "HTTP/1.1 400 Bad Request\r\nContent-Type: text/plain; charset=utf-8\r\n\
    Connection: close\r\n\r\nThis port speaks the uwsgi protocol: use uwsgi_pass in nginx, or ask \
    the port of `http`.\n";

/// The life of a uwsgi connection.
pub(crate) async fn serve(worker: &'static Worker, connection: &Arc<Connection>) {
    match packet::receive(worker, connection).await {
        Ok((request, source)) => {
            if respond(worker, connection, request, source).await.is_err() {
                return connection.break_off();
            }
            let (is_held, left) = {
                let intake = connection.intake();
                (intake.is_held, intake.body_left())
            };
            if is_held {
                packet::release(connection);
            } else if left > 0 {
                connection.part(worker).await;
            }
        }
        Err(Unserved::Bad(error)) => {
            complain(worker, connection, &error);
            if error.is_foreign() {
                connection.enter(worker, Phase::Farewell);
                let text = Bytes::from_static(FOREIGN.as_bytes());
                if connection.send(worker, text, Bytes::new()).await.is_ok() {
                    connection.part(worker).await;
                }
            }
        }
        Err(Unserved::Slow(refusal)) => complain(worker, connection, &refusal),
        Err(Unserved::Truncated) => {
            complain(worker, connection, &"the connection ended within a uwsgi packet");
        }
        Err(Unserved::Silent) => {}
    }
}

fn complain(worker: &Worker, connection: &Connection, what: &dyn std::fmt::Display) {
    let entry = log::info(Event::ClientError, format!("bad request refused: {what}"));
    worker.complain(&connection.peer().address, entry);
}

/// Answers; an error when the answer could not be brought to its end.
async fn respond(
    worker: &'static Worker,
    connection: &Arc<Connection>,
    request: Request,
    source: Source,
) -> Result<(), ()> {
    let method = request.method.clone();
    let answer = request::answer(worker, connection, Arc::new(request), source).await;
    let request::Answered { head, mut body } = answer.map_err(drop)?;
    if let Head::Lines(lines) = &head
        && !has_no_content(&method, lines.status)
        && let Some(whole) = body.take_whole(|length| length > 0 && lines.is_followed_by(length))
    {
        let length = whole.len();
        let encode = |out: &mut Vec<u8>| lines.encode_undated(length, out);
        let departure = connection.put_together(worker, encode, body, whole).map_err(drop)?;
        return connection.depart(worker, departure).await.map_err(drop);
    }
    let mut head = head.into_map();
    let silent = has_no_content(&method, head.status());
    if let (false, Some(length)) = (silent, body.size_hint().exact()) {
        head.headers_mut().entry(CONTENT_LENGTH).or_insert(length.into());
    }
    head.headers_mut().remove(CONNECTION);
    let mut text = Vec::with_capacity(256);
    encode(&head, &mut text);
    text.extend_from_slice(b"\r\n");
    let mut pending = Some(Bytes::from(text));
    loop {
        // The head leaves together with the first chunk.
        let next =
            if silent || body.is_end_stream() { None } else { next(connection, &mut body).await };
        let chunk = next.transpose()?.unwrap_or_default();
        let is_last = chunk.is_empty();
        let head = pending.take().unwrap_or_default();
        connection.send(worker, head, chunk).await.map_err(drop)?;
        if is_last {
            return Ok(());
        }
    }
}

/// The next chunk that is not empty. A web server that closes the connection meanwhile wants no more.
async fn next(connection: &Connection, body: &mut Outgoing) -> Option<Result<Bytes, ()>> {
    loop {
        let frame = poll_fn(|cx| match Pin::new(&mut *body).poll_frame(cx) {
            Poll::Pending if connection.intake().refusal().is_some() => {
                Poll::Ready(Some(Err(Aborted)))
            }
            Poll::Pending => packet::poll_departure(connection, cx).map(|()| Some(Err(Aborted))),
            polled => polled,
        });
        match frame.await?.map(http_body::Frame::into_data) {
            Ok(Ok(chunk)) if chunk.is_empty() => {}
            Ok(Ok(chunk)) => return Some(Ok(chunk)),
            Ok(Err(_trailers)) => {}
            Err(Aborted) => return Some(Err(())),
        }
    }
}
