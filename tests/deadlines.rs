//! Clients that are too slow (RFC 9110, section 15.5.9).

use crate::support::server::Server;

#[test]
fn the_second_head_of_a_connection_has_a_deadline_too() {
    let server = Server::new("http-headers-timeout=4");
    let begun = "GET /ok HTTP/1.1\r\nHo";
    let mut apart = server.connect();
    apart.get("/ok").expect(200);
    apart.send(begun);
    let mut together = server.connect();
    together.send("GET /ok HTTP/1.1\r\nHost: test\r\n\r\n".to_owned() + begun);
    together.response().expect(200);
    for client in [&mut apart, &mut together] {
        assert_eq!(client.response().expect(408).field("connection"), Some("close"));
        assert!(client.is_closed());
    }
    server.wait_for_log("the request did not come in time (RFC 9110, section 15.5.9)", 2);
}

#[test]
fn empty_lines_are_no_head_that_has_begun() {
    let server = Server::new("http-headers-timeout=3\nhttp-keepalive=10");
    let mut clients: Vec<_> = ["\r\n", "\r", "\r\n\r\n"]
        .into_iter()
        .map(|line| {
            let mut client = server.connect();
            client.get("/ok").expect(200);
            client.send(line);
            client
        })
        .collect();
    let mut late = server.connect();
    late.send("GET");
    late.response().expect(408);
    for client in &mut clients[..1] {
        client.get("/ok").expect(200);
    }
    for client in &mut clients {
        // Idle, and closed as such: without an answer that could be taken for that to a request.
        assert_eq!(String::from_utf8_lossy(&client.rest()), "");
    }
}

#[test]
fn a_connection_that_sends_nothing_is_closed_without_an_answer() {
    let server = Server::new("http-headers-timeout=1");
    assert_eq!(server.connect().rest(), b"");
}

#[test]
fn the_time_of_the_application_is_not_the_clients() {
    let server = Server::new("http-headers-timeout=3\nhttp-timeout=1\nhttp-keepalive=1");
    let mut client = server.connect();
    client.send("POST /gated_echo?g HTTP/1.1\r\nHost: test\r\nContent-Length: 3\r\n\r\nabc");
    server.place.wait_for_gate("g");
    // Two deadlines pass.
    for _ in 0..2 {
        assert_eq!(server.connect().rest(), b"");
    }
    server.place.open_gate("g");
    assert_eq!(client.response().expect(200).text(), "abc");
}

#[test]
fn a_body_that_pauses_is_408_in_whatever_way_it_is_read() {
    for lines in ["http-timeout=1", "http-timeout=1\npost-buffering=0"] {
        let server = Server::new(lines);
        for framing in
            ["Content-Length: 9\r\n\r\nabc", "Transfer-Encoding: chunked\r\n\r\n9\r\nabc"]
        {
            let mut client = server.connect();
            client.send(format!("POST /echo HTTP/1.1\r\nHost: test\r\n{framing}"));
            assert_eq!(client.response().expect(408).field("connection"), Some("close"), "{lines}");
            assert_eq!(client.rest(), b"");
        }
    }
}

#[test]
fn a_header_of_the_proxy_protocol_that_does_not_end_is_given_up() {
    let server = Server::new("http-headers-timeout=1\nproxy-protocol=true");
    for begun in [&b"PROXY TCP4 127"[..], b"\r\n\r\n\0\r\nQUIT\n\x21\x11\0"] {
        let mut client = server.connect();
        client.send(begun);
        assert_eq!(client.rest(), b"");
        assert!(client.is_closed());
    }
}

#[test]
fn a_client_that_does_not_take_its_response_is_cut() {
    let server = Server::new("http-timeout=1");
    let mut client = server.connect();
    client.send("GET /closing?endless HTTP/1.1\r\nHost: test\r\n\r\n");
    // The application is told that nobody reads.
    server.wait_for_log("closed endless", 1);
    server.get("/ok").expect(200);
}
