//! Requests that are refused: their answer arrives, they are told in the log, and nobody else
//! suffers.

use crate::support::server::Server;
use crate::support::wait;

const BAD: &str = "GET /ok HTTP/1.1\r\nX Y: 1\r\n\r\n";

#[test]
fn other_protocols_are_400_at_their_first_bytes() {
    let server = Server::new("");
    let hello = b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03";
    for bytes in [&hello[..], b"SSH-2.0-client\r\n", b"\0", b"\xff\xfe", b"{\"json\": 1}\n"] {
        let mut client = server.connect();
        client.send(bytes);
        // Nothing more comes: the first byte that makes it impossible is enough.
        client.response().expect(400);
        assert!(client.is_closed());
    }
}

#[test]
fn a_refusal_has_a_date_and_a_server_and_a_text() {
    let response = Server::new("").refuses(400, BAD);
    assert_eq!(response.line, "HTTP/1.1 400 Bad Request");
    assert_eq!(response.field("server"), Some("rwsgi"));
    assert_eq!(response.field("content-type"), Some("text/plain; charset=utf-8"));
    assert!(response.field("date").is_some_and(|date| date.ends_with(" GMT")), "{response:?}");
    assert_eq!(response.text(), "Bad Request");
}

#[test]
fn a_refusal_of_head_has_no_content() {
    let server = Server::new("limit-post=2");
    for (status, request) in [
        (400, "HEAD /ok HTTP/1.1\r\n\r\n"),
        (417, "HEAD /ok HTTP/1.1\r\nHost: test\r\nExpect: x\r\n\r\n"),
        (413, "HEAD /ok HTTP/1.1\r\nHost: test\r\nContent-Length: 3\r\n\r\n"),
    ] {
        let mut client = server.connect();
        client.send(request);
        let response = client.response_to_head();
        assert_eq!((response.status, response.field("connection")), (status, Some("close")));
        assert_eq!(client.rest(), b"", "{request}");
    }
}

#[test]
fn the_rest_of_a_large_upload_does_not_destroy_its_refusal() {
    let server = Server::new("limit-post=1m");
    let megabytes = vec![b'x'; 20 << 20];
    let length = megabytes.len();
    for (status, head) in [
        (413, format!("POST /echo HTTP/1.1\r\nHost: test\r\nContent-Length: {length}\r\n\r\n")),
        (400, format!("POST /echo HTTP/1.1\r\nContent-Length: {length}\r\n\r\n")),
        (
            413,
            format!(
                "POST /echo HTTP/1.1\r\nHost: test\r\nTransfer-Encoding: chunked\r\n\r\n{length:x}\r\n"
            ),
        ),
        (
            417,
            format!(
                "POST /echo HTTP/1.1\r\nHost: test\r\nExpect: x\r\nContent-Length: {length}\r\n\r\n"
            ),
        ),
    ] {
        let mut client = server.connect();
        client.send(head);
        client.send(&megabytes);
        assert_eq!(client.response().expect(status).field("connection"), Some("close"));
        assert!(client.is_closed());
    }
}

#[test]
fn what_follows_a_last_request_does_not_destroy_its_response() {
    let server = Server::new("");
    for _ in 0..20 {
        let mut client = server.connect();
        client.send("GET /gate?last HTTP/1.1\r\nHost: test\r\nConnection: close\r\n\r\n");
        client.send("GET /smuggled HTTP/1.1\r\nHost: test\r\n\r\n");
        server.place.open_gate("last");
        client.response().expect(200);
        // Not a reset, which would be an error.
        assert!(client.has_ended_well());
    }
}

#[test]
fn each_bad_request_is_told_once_with_the_rule_and_the_peer() {
    let server = Server::new("");
    let post = |rest: &str| format!("POST /echo HTTP/1.1\r\nHost: test\r\n{rest}");
    for (bad, rule) in [
        (
            "GET /ok HTTP/1.1\r\n\r\n".to_owned(),
            "HTTP/1.1 without a Host field (RFC 9112, section 3.2)",
        ),
        (post("Content-Length: +1\r\n\r\n"), "a Content-Length that is not a decimal number"),
        (post("Transfer-Encoding: chunked\r\n\r\n-1\r\n"), "a chunk size that is not 1 to 16"),
        ("GET /ok HTTP/2.0\r\n\r\n".to_owned(), "a version of HTTP that is not 1 (RFC 9110"),
    ] {
        server.connect().send(&bad);
        server.wait_for_log(rule, 1);
    }
    server.get("/ok").expect(200);
    let log = server.log();
    let lines: Vec<_> = log.lines().filter(|line| line.contains("bad request refused: ")).collect();
    assert_eq!(lines.len(), 4, "{log}");
    for line in lines {
        assert!(
            line.contains("worker 1: 127.0.0.1: bad request") && !line.contains("error"),
            "{line}"
        );
    }
}

#[test]
fn a_thousand_bad_requests_of_one_peer_are_a_handful_of_lines_and_their_number() {
    let mut server = Server::new("disable-logging=true");
    for _ in 0..1000 {
        let mut client = server.connect();
        client.send(BAD);
        client.response().expect(400);
    }
    assert_eq!(server.stop().code(), Some(0));
    let log = server.log();
    let told = log.matches("bad request refused: ").count();
    let counted = log.lines().filter_map(|line| {
        let (before, _) = line.split_once(" more bad requests or shortages")?;
        before.rsplit(' ').next()?.parse::<usize>().ok()
    });
    assert_eq!(told + counted.sum::<usize>(), 1000, "{log}");
    // Five in ten seconds, and the machine may be slow.
    assert!((5..=50).contains(&told), "{log}");
}

#[test]
fn how_many_bad_requests_were_not_told_is_told_in_time() {
    let server = Server::new("disable-logging=true");
    for _ in 0..20 {
        server.refuses(400, BAD);
    }
    let told =
        || server.log().contains("15 more bad requests or shortages within 10 s").then_some(());
    assert!(wait::within(wait::DEADLINE, told).is_some(), "{}", server.log());
}

#[test]
fn bad_requests_do_not_disturb_the_connections_of_others() {
    let server = Server::new("threads=2");
    let mut kept = server.connect();
    let mut working = server.connect();
    working.send("GET /gate?work HTTP/1.1\r\nHost: test\r\n\r\n");
    server.place.wait_for_gate("work");
    for _ in 0..50 {
        server.refuses(400, BAD);
        kept.get("/ok").expect(200);
    }
    server.place.open_gate("work");
    working.response().expect(200);
    working.get("/ok").expect(200);
}

#[test]
fn a_client_that_is_refused_and_does_not_leave_is_left() {
    let server = Server::new("http-headers-timeout=3");
    let mut client = server.connect();
    client.send(BAD);
    client.response().expect(400);
    // More time passes than such a client gets.
    assert_eq!(server.connect().rest(), b"");
    wait::until("a reset", || client.is_reset().then_some(()));
}
