//! Whether a connection goes on after a response (RFC 9112, section 9.3). hyper sees to it, too, and
//! says so to clients of HTTP/1.1; those of HTTP/1.0 are told here.

use http::header::CONNECTION;
use http::{HeaderValue, Response, Version};
use rwsgi_protocol::http1::RequestHead;
use rwsgi_protocol::request::{Head, Request};

use crate::worker::Worker;

/// Whether a response is the last one of its connection. `is_open`: its head leaves open where it
/// ends, which a client of HTTP/1.0 learns only from the end of the connection.
pub(crate) fn ends(worker: &Worker, request: &Request, is_open: bool) -> bool {
    if worker.is_draining() || worker.config.http.idle_timeout.is_zero() {
        return true;
    }
    match &request.head {
        Head::Http(head) if head.is_1_0() => {
            is_open || has(head, b"close") || !has(head, b"keep-alive")
        }
        Head::Http(_) | Head::Uwsgi { .. } => false,
    }
}

/// Makes a response the last one.
pub(crate) fn end(request: &Request, head: &mut Response<()>) {
    head.headers_mut().insert(CONNECTION, HeaderValue::from_static("close"));
    // Otherwise hyper would add that the connection is kept.
    if is_1_0(request) {
        *head.version_mut() = Version::HTTP_10;
    }
}

fn is_1_0(request: &Request) -> bool {
    matches!(&request.head, Head::Http(head) if head.is_1_0())
}

/// Whether a field Connection has this option.
fn has(head: &RequestHead, option: &[u8]) -> bool {
    let options = head.values(&CONNECTION).flat_map(|value| value.split(|&byte| byte == b','));
    options.map(<[u8]>::trim_ascii).any(|one| one.eq_ignore_ascii_case(option))
}
