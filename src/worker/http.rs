//! HTTP/1 on a connection: the guard in `intake` sees to it that it is spoken to the letter, and what
//! must be refused is refused here.
//!
//! ```text
//!   Fresh ──head──▶ express: request, response ──▶ Idle ──head──▶ …
//!                      └─ uncommon ─▶ hyper: request, response ──▶ Idle
//! ```
//! Common requests are answered by `express`; hyper speaks for all others. What it keeps of a connection
//! is some 10 KiB, so it is given back when the connection is idle.

use std::future::poll_fn;
use std::pin::Pin;
use std::sync::atomic::Ordering::Relaxed;
use std::sync::{Arc, Mutex, PoisonError};

use http::header::CONNECTION;
use http::{Request, Response};
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use rwsgi_core::log::{self, Event};
use rwsgi_protocol::http1::Refusal;
use rwsgi_reactor::yield_now;

use crate::connection::{Connection, Phase};
use crate::express::{self, Outcome};
use crate::request;
use crate::response::{Aborted, Outgoing};
use crate::stream::Stream;
use crate::worker::Worker;

/// So many requests are answered at once, before others have their turn.
const TURN: u32 = 16;

/// The life of an HTTP connection.
pub(crate) async fn serve(worker: &'static Worker, connection: &Arc<Connection>) {
    let mut streak = 0;
    while let Some(asked) = poll_fn(|cx| connection.poll_head(worker, cx)).await {
        let goes_on = match express::serve(worker, connection, asked).await {
            Outcome::Answered => {
                // What takes no application may never have to wait.
                streak = (streak + 1) % TURN;
                if streak == 0 {
                    yield_now().await;
                }
                true
            }
            Outcome::Ended => false,
            Outcome::Hyper(response) => speak(worker, connection, response).await,
        };
        if !goes_on {
            break;
        }
    }
    if connection.is_broken() || connection.handed.load(Relaxed) {
        return;
    }
    let refused = connection.intake().told_refusal();
    if let Some(refused) = refused {
        complain(worker, connection, refused.refusal);
        if !refused.in_body {
            refuse(worker, connection, refused.refusal).await;
        }
    }
    part(worker, connection).await;
}

/// Serves requests until the connection is idle (`true`) or done with. To the first one there may be a
/// `response` already.
async fn speak(
    worker: &'static Worker,
    connection: &Arc<Connection>,
    response: Option<Box<Response<Outgoing>>>,
) -> bool {
    let http = worker.config.http;
    let stream = Stream::new(worker, connection);
    let theirs = Arc::clone(connection);
    let response = Mutex::new(response);
    let service = service_fn(move |request: Request<Incoming>| {
        let theirs = Arc::clone(&theirs);
        let response = response.lock().unwrap_or_else(PoisonError::into_inner).take();
        async move {
            let response = match response {
                None => request::answer_http(worker, Arc::clone(&theirs), request).await?,
                Some(response) => *response,
            };
            if response.headers().contains_key(CONNECTION) {
                theirs.end_after_this();
            }
            Ok::<_, Aborted>(response)
        }
    });
    let mut speaker = Box::new(
        http1::Builder::new()
            .half_close(true)
            .keep_alive(!http.idle_timeout.is_zero())
            .max_headers(http.max_fields as usize)
            .max_buf_size((http.head_bytes as usize).max(8192) + 1024)
            .title_case_headers(true)
            .serve_connection(stream, service),
    );
    let mut rests = false;
    let served = poll_fn(|cx| {
        loop {
            let polled = Pin::new(&mut *speaker).poll(cx);
            if polled.is_ready() || rests || !connection.rests(&connection.intake()) {
                return polled;
            }
            // The end of a speaker that is idle is not the end of the connection.
            rests = true;
            connection.keep_open(true);
            Pin::new(&mut *speaker).graceful_shutdown();
        }
    })
    .await;
    connection.keep_open(false);
    if let Err(error) = &served
        && error.is_parse()
    {
        let message = format!("bad request refused: {error}");
        worker.complain(&connection.peer().address, log::info(Event::ClientError, message));
    }
    if rests && served.is_ok() {
        connection.intake().give_back(&speaker.into_parts().read_buf);
        worker.count_rest();
    }
    rests && served.is_ok()
}

fn complain(worker: &Worker, connection: &Connection, refusal: Refusal) {
    let message = format!("bad request refused: {refusal}");
    let entry = log::info(Event::ClientError, message);
    let entry = entry.field("HTTP_STATUS", refusal.status.as_str().to_owned());
    worker.complain(&connection.peer().address, entry);
}

/// Answers what never became a request.
async fn refuse(worker: &Worker, connection: &Connection, refusal: Refusal) {
    let status = refusal.status;
    let reason = status.canonical_reason().unwrap_or("Error");
    // The head of the request is held as a whole.
    let is_head = connection.intake().bytes().starts_with(b"HEAD ");
    let text = format!(
        "HTTP/1.1 {} {reason}\r\nServer: rwsgi\r\nDate: {}\r\nContent-Type: text/plain; charset=utf-8\r\n\
         Content-Length: {}\r\nConnection: close\r\n\r\n{}",
        status.as_u16(),
        httpdate::HttpDate::from(std::time::SystemTime::now()),
        reason.len(),
        if is_head { "" } else { reason },
    );
    connection.enter(worker, Phase::Farewell);
    let mut rest = text.as_bytes();
    while !rest.is_empty() {
        let sent = poll_fn(|cx| connection.poll_send(worker, cx, rest)).await;
        match sent {
            Ok(count) if count > 0 => rest = &rest[count..],
            _ => return,
        }
    }
}

/// Closes the connection, in stages if its client may still be sending.
async fn part(worker: &Worker, connection: &Connection) {
    if connection.intake().has_unread() || connection.has_input() {
        connection.part(worker).await;
    }
}
