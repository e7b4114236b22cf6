//! hyper takes all that passes the guard, and finds the same requests in it.

#![no_main]

use std::cell::RefCell;
use std::convert::Infallible;
use std::io;
use std::pin::{Pin, pin};
use std::task::{Context, Poll, Waker};

use connection::{LIMITS, parse, send};
use http_body::Body as _;
use hyper::body::Incoming;
use hyper::rt::ReadBufCursor;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::{Method, Request, Response, Uri};

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    let (fate, heads) = send(bytes.chunks(1));
    let guarded: Vec<_> = heads.iter().map(|head| parse(&fate.passed[head.clone()])).collect();
    let is_complete = fate.position != connection::Position::Body;
    let served = serve(fate.passed, is_complete);
    assert!(served.len() <= guarded.len());
    // hyper closes a connection that is not to be kept, so it may see fewer.
    assert_eq!(served[..], guarded[..served.len()]);
    assert!(guarded.is_empty() || !served.is_empty());
});

/// Methods and targets of the requests that hyper finds.
fn serve(input: Vec<u8>, is_complete: bool) -> Vec<(Method, Uri)> {
    let requests = RefCell::new(Vec::new());
    let service = service_fn(async |request: Request<Incoming>| {
        requests.borrow_mut().push((request.method().clone(), request.uri().clone()));
        let mut body = request.into_body();
        while let Some(frame) = std::future::poll_fn(|cx| Pin::new(&mut body).poll_frame(cx)).await
        {
            match frame {
                Ok(_) => {}
                Err(error) if is_complete => panic!("hyper refuses a body: {error:?}"),
                Err(_) => break,
            }
        }
        Ok::<_, Infallible>(Response::new(String::new()))
    });
    let connection = http1::Builder::new()
        .half_close(true)
        .max_headers(LIMITS.fields)
        .serve_connection(Stream { input, at: 0 }, service);
    let mut connection = pin!(connection);
    let mut cx = Context::from_waker(Waker::noop());
    for _ in 0..10_000 {
        if let Poll::Ready(result) = connection.as_mut().poll(&mut cx) {
            if let Err(error) = result {
                assert!(!error.is_parse(), "hyper refuses a head: {error:?}");
            }
            return requests.take();
        }
    }
    panic!("hyper waits for what has come");
}

/// All that passed, and then the end.
struct Stream {
    input: Vec<u8>,
    at: usize,
}

impl hyper::rt::Read for Stream {
    fn poll_read(
        mut self: Pin<&mut Self>,
        _: &mut Context<'_>,
        mut cursor: ReadBufCursor<'_>,
    ) -> Poll<io::Result<()>> {
        let rest = &self.input[self.at..];
        let count = rest.len().min(cursor.remaining());
        cursor.put_slice(&rest[..count]);
        self.at += count;
        Poll::Ready(Ok(()))
    }
}

impl hyper::rt::Write for Stream {
    fn poll_write(
        self: Pin<&mut Self>,
        _: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        Poll::Ready(Ok(bytes.len()))
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }
}
