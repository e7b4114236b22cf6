//! HTTP/1.1 on raw sockets.

use crate::support::server::Server;

#[test]
fn a_connection_is_kept_for_the_next_request() {
    let server = Server::new("");
    let mut client = server.connect();
    for _ in 0..3 {
        assert_eq!(client.get("/ok").expect(200).text(), "ok");
    }
    client.send("GET /ok HTTP/1.1\r\nHost: test\r\nConnection: close\r\n\r\n");
    assert_eq!(client.response().expect(200).field("connection"), Some("close"));
    assert!(client.is_closed());
}

#[test]
fn pipelined_requests_are_answered_in_order() {
    let server = Server::new("threads=2");
    let mut client = server.connect();
    let request = |path: &str| format!("GET {path} HTTP/1.1\r\nHost: test\r\n\r\n");
    client.send(
        [request("/generator"), request("/list"), request("/missing"), request("/ok")].concat(),
    );
    for body in ["chunk0,chunk1,chunk2,", "abc", "missing", "ok"] {
        assert_eq!(client.response().text(), body);
    }
}

#[test]
fn http_1_0_closes() {
    let server = Server::new("");
    let mut client = server.connect();
    client.send("GET /generator HTTP/1.0\r\n\r\n");
    let response = client.response();
    assert_eq!(response.field("transfer-encoding"), None);
    assert_eq!(response.text(), "chunk0,chunk1,chunk2,");
    assert!(client.is_closed());
}

#[test]
fn http_1_0_can_ask_for_keep_alive() {
    let server = Server::new("");
    let mut client = server.connect();
    for _ in 0..2 {
        client.send("GET /ok HTTP/1.0\r\nConnection: keep-alive\r\n\r\n");
        let response = client.response().expect(200);
        assert_eq!(response.field("connection"), Some("keep-alive"));
    }
}

#[test]
fn keep_alive_can_be_turned_off() {
    let server = Server::new("http-keepalive=0");
    let mut client = server.connect();
    assert_eq!(client.get("/ok").expect(200).field("connection"), Some("close"));
    assert!(client.is_closed());
}

#[test]
fn a_head_that_is_too_large_is_431() {
    let server = Server::new("");
    let mut client = server.connect();
    let value = "x".repeat(70_000);
    let _ = client.try_send(format!("GET / HTTP/1.1\r\nHost: test\r\nX-Large: {value}\r\n\r\n"));
    assert_eq!(client.response().status, 431);
    server.get("/ok").expect(200);
}

#[test]
fn a_head_without_end_is_431() {
    let server = Server::new("");
    let mut client = server.connect();
    let line = format!("X-Large: {}\r\n", "x".repeat(8_000));
    let _ = client.try_send("GET / HTTP/1.1\r\nHost: test\r\n");
    let sent = (0..100).take_while(|_| client.try_send(&line).is_ok()).count();
    assert!(client.try_response(true).is_ok_and(|response| response.status == 431) || sent < 100);
    server.get("/ok").expect(200);
}

#[test]
fn a_head_just_below_the_limit_is_served() {
    let value = "x".repeat(60_000);
    let server = Server::new("");
    server
        .ask(&format!(
            "GET /ok HTTP/1.1\r\nHost: test\r\nConnection: close\r\nX-Large: {value}\r\n\r\n"
        ))
        .expect(200);
}

#[test]
fn a_head_above_a_small_buffer_size_is_431() {
    let value = "x".repeat(6_000);
    let server = Server::new("buffer-size=4096");
    let request = format!("GET /ok HTTP/1.1\r\nHost: test\r\nX-Large: {value}\r\n\r\n");
    assert_eq!(server.ask(&request).status, 431);
}

#[test]
fn too_many_fields_are_431() {
    let server = Server::new("");
    let fields = "X-Field: 1\r\n".repeat(200);
    let response = server.ask(&format!("GET / HTTP/1.1\r\nHost: test\r\n{fields}\r\n"));
    assert_eq!(response.status, 431);
}

#[test]
fn garbage_is_400_and_told() {
    let server = Server::new("");
    let mut client = server.connect();
    client.send("\x16\x03\x01 this is not HTTP\r\n\r\n");
    assert_eq!(client.response().status, 400);
    assert!(client.is_closed());
    server.wait_for_log("bad request refused", 1);
}

#[test]
fn two_lengths_cannot_smuggle_a_request() {
    let server = Server::new("");
    for fields in [
        "Content-Length: 3\r\nContent-Length: 4\r\n",
        "Content-Length: +3\r\n",
        "Content-Length: 3\r\nTransfer-Encoding: chunked\r\n",
        "Transfer-Encoding: chunked, identity\r\n",
    ] {
        let mut client = server.connect();
        client.send(format!(
            "POST /echo HTTP/1.1\r\nHost: test\r\n{fields}\r\n0\r\n\r\nGET /error HTTP/1.1\r\nHost: test\r\n\r\n"
        ));
        let status = client.response().status;
        let closed = client.is_closed();
        assert!(status == 400 || closed, "{fields}: {status}");
    }
    assert!(!server.log().contains("on purpose"), "{}", server.log());
}

#[test]
fn connect_is_501() {
    let server = Server::new("");
    let response = server.ask("CONNECT shop.test:443 HTTP/1.1\r\nHost: shop.test:443\r\n\r\n");
    assert_eq!(response.status, 501);
}

#[test]
fn a_body_above_limit_post_is_413() {
    let server = Server::new("limit-post=10");
    let mut client = server.connect();
    client.send("POST /echo HTTP/1.1\r\nHost: test\r\nContent-Length: 11\r\n\r\n");
    client.response().expect(413);
    let chunked = "POST /echo HTTP/1.1\r\nHost: test\r\nTransfer-Encoding: chunked\r\n\r\n\
        b\r\n01234567890\r\n0\r\n\r\n";
    server.ask(chunked).expect(413);
    let enough = "POST /echo HTTP/1.1\r\nHost: test\r\nContent-Length: 10\r\n\r\n0123456789";
    server.ask(enough).expect(200);
}

#[test]
fn an_idle_connection_is_closed() {
    let server = Server::new("http-keepalive=2");
    let mut client = server.connect();
    client.get("/ok").expect(200);
    assert!(client.is_closed());
}

#[test]
fn a_head_that_does_not_end_is_given_up() {
    let server = Server::new("http-headers-timeout=3");
    let mut client = server.connect();
    client.send("GET / HTTP/1.1\r\nHost:");
    client.response().expect(408);
    assert!(client.is_closed());
}

#[test]
fn a_body_that_does_not_come_is_given_up() {
    let server = Server::new("http-timeout=1");
    let mut client = server.connect();
    client.send("POST /echo HTTP/1.1\r\nHost: test\r\nContent-Length: 9\r\n\r\nabc");
    client.response().expect(408);
    assert!(client.is_closed());
    server.get("/ok").expect(200);
}

#[test]
fn date_and_server_are_sent() {
    let response = Server::new("").get("/ok");
    assert_eq!(response.field("server"), Some("rwsgi"));
    assert!(response.field("date").is_some_and(|date| date.ends_with(" GMT")), "{response:?}");
}
