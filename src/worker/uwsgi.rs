//! The uwsgi protocol on a connection: one packet, a body, one response, the end.

use std::future::poll_fn;
use std::io::{IoSlice, Write as _};
use std::pin::Pin;
use std::sync::Arc;
use std::task::Poll;

use bytes::{Buf as _, Bytes};
use http::Response;
use http::header::CONTENT_LENGTH;
use http_body::Body as _;
use hyper::ext::ReasonPhrase;
use rwsgi_core::log::{self, Event};
use rwsgi_protocol::request::Request;
use rwsgi_protocol::response::has_no_content;

use crate::connection::{Connection, Phase};
use crate::packet::{self, Unserved};
use crate::request;
use crate::response::{Aborted, Outgoing};
use crate::upload::Source;
use crate::worker::Worker;

/// What a client of another protocol is told.
const FOREIGN: &str = "HTTP/1.1 400 Bad Request\r\nContent-Type: text/plain; charset=utf-8\r\n\
    Connection: close\r\n\r\nThis port speaks the uwsgi protocol: use uwsgi_pass in nginx, or ask \
    the port of `http`.\n";

/// The life of a uwsgi connection.
pub(crate) async fn serve(worker: &Arc<Worker>, connection: &Arc<Connection>) {
    match packet::receive(worker, connection).await {
        Ok(request) => {
            if respond(worker, connection, request).await.is_err() {
                return connection.break_off();
            }
            let (is_held, left) = {
                let intake = connection.intake();
                (intake.is_held, intake.body_left)
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
                if send(worker, connection, FOREIGN.as_bytes()).await.is_ok() {
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
    worker: &Arc<Worker>,
    connection: &Arc<Connection>,
    request: Request,
) -> Result<(), ()> {
    let method = request.method.clone();
    let source = Source::Plain(Arc::clone(worker), Arc::clone(connection));
    let answer = request::answer(Arc::clone(worker), Arc::clone(connection), request, source).await;
    let (head, mut body) = answer.map_err(drop)?.into_parts();
    let mut head = Response::from_parts(head, ());
    let silent = has_no_content(&method, head.status());
    if let (false, Some(length)) = (silent, body.size_hint().exact()) {
        head.headers_mut().entry(CONTENT_LENGTH).or_insert(length.into());
    }
    let mut pending = Some(Bytes::from(head_bytes(&head)));
    loop {
        // The head leaves together with the first chunk.
        let next =
            if silent || body.is_end_stream() { None } else { next(connection, &mut body).await };
        let chunk = next.transpose()?.unwrap_or_default();
        let is_last = chunk.is_empty();
        let head = pending.take().unwrap_or_default();
        send_both(worker, connection, head, chunk).await?;
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

/// Status line and fields, as a web server reads them: those of HTTP/1.
fn head_bytes(head: &Response<()>) -> Vec<u8> {
    let mut out = Vec::with_capacity(256);
    let reason = head.extensions().get::<ReasonPhrase>().map(ReasonPhrase::as_bytes);
    let usual = || head.status().canonical_reason().unwrap_or("").as_bytes();
    let _ = write!(out, "HTTP/1.1 {} ", head.status().as_u16());
    out.extend_from_slice(reason.unwrap_or_else(usual));
    out.extend_from_slice(b"\r\n");
    for (name, value) in head.headers() {
        if name == http::header::CONNECTION {
            continue;
        }
        title_case(name.as_str(), &mut out);
        out.extend_from_slice(b": ");
        out.extend_from_slice(value.as_bytes());
        out.extend_from_slice(b"\r\n");
    }
    out.extend_from_slice(b"\r\n");
    out
}

fn title_case(name: &str, out: &mut Vec<u8>) {
    let mut starts = true;
    for byte in name.bytes() {
        out.push(if starts { byte.to_ascii_uppercase() } else { byte });
        starts = byte == b'-';
    }
}

async fn send(worker: &Worker, connection: &Connection, bytes: &'static [u8]) -> Result<(), ()> {
    send_both(worker, connection, Bytes::from_static(bytes), Bytes::new()).await
}

async fn send_both(
    worker: &Worker,
    connection: &Connection,
    mut first: Bytes,
    mut second: Bytes,
) -> Result<(), ()> {
    while first.has_remaining() || second.has_remaining() {
        let parts = [IoSlice::new(&first), IoSlice::new(&second)];
        let parts = if first.is_empty() { &parts[1..] } else { &parts[..] };
        let parts = if second.is_empty() { &parts[..1] } else { parts };
        let sent = poll_fn(|cx| connection.poll_send_parts(worker, cx, parts)).await;
        let Ok(count) = sent else { return Err(()) };
        if count == 0 {
            return Err(());
        }
        let of_first = count.min(first.len());
        first.advance(of_first);
        second.advance(count - of_first);
    }
    Ok(())
}
