//! The request body.

use std::time::Duration;

use crate::support::server::Server;

const SILENCE: Duration = Duration::from_millis(150);

fn post(path: &str, body: &str) -> String {
    let length = body.len();
    format!(
        "POST {path} HTTP/1.1\r\nHost: test\r\nConnection: close\r\nContent-Length: {length}\r\n\r\n{body}"
    )
}

#[test]
fn reads_of_every_kind_give_the_same_bytes() {
    let body = "ab\ncdefgh\n\nlast";
    for lines in ["", "post-buffering=0"] {
        let server = Server::new(lines);
        for (kind, expected) in [
            ("read", "ab\n|cde|fgh|\n\nl|ast||"),
            ("readline", "ab\n|cdefgh\n|\n|last||"),
            ("readline4", "ab\n|cdef|gh\n|\n|last||"),
            ("readlines", "ab\n|cdefgh\n|\n|last||"),
            ("iteration", "ab\n|cdefgh\n|\n|last||"),
        ] {
            let response = server.ask(&post(&format!("/parts?{kind}"), body)).expect(200);
            assert_eq!(response.text(), expected, "{kind} {lines}");
        }
    }
}

#[test]
fn every_size_is_understood_and_the_end_is_empty_for_ever() {
    let expected = "[b'', b'', b'ab\\n', b'cd\\n', [b'ef\\n'], [b'g\\n', b'h'], b'', b'', b'', b'', \
        b'', b'', [], [], []]";
    for lines in ["", "post-buffering=0"] {
        let server = Server::new(lines);
        let response = server.ask(&post("/sizes", "ab\ncd\nef\ng\nh")).expect(200);
        assert_eq!(response.text(), expected, "{lines}");
        let nothing = server.get("/sizes").expect(200).text();
        assert!(!nothing.contains(['a', 'g', 'h']), "{nothing}");
    }
}

#[test]
fn what_comes_behind_the_body_is_not_read() {
    let server = Server::new("");
    let mut client = server.connect();
    client.send("POST /echo HTTP/1.1\r\nHost: test\r\nContent-Length: 2\r\n\r\nab");
    client.send("GET /ok HTTP/1.1\r\nHost: test\r\n\r\n");
    assert_eq!(client.response().expect(200).text(), "ab");
    assert_eq!(client.response().expect(200).text(), "ok");
}

#[test]
fn a_chunked_upload_is_put_together() {
    let server = Server::new("");
    let response = server.ask(
        "POST /echo HTTP/1.1\r\nHost: test\r\nTransfer-Encoding: chunked\r\nConnection: close\r\n\
        \r\n3\r\nabc\r\n2;x=y\r\nde\r\n0\r\nX-Trailer: 1\r\n\r\n",
    );
    let response = response.expect(200);
    assert_eq!((response.text().as_str(), response.field("x-length")), ("abcde", Some("-")));
}

#[test]
fn an_upload_streams_where_nothing_is_buffered() {
    let server = Server::new("post-buffering=0");
    let megabyte = vec![b'x'; 1 << 20];
    let mut client = server.connect();
    client
        .send(format!("POST /count HTTP/1.1\r\nHost: test\r\nContent-Length: {}\r\n\r\n", 5 << 20));
    client.send(&megabyte);
    client.send(&megabyte);
    server.place.wait_for_gate("count");
    for _ in 0..3 {
        client.send(&megabyte);
    }
    assert_eq!(client.response().expect(200).text(), (5 << 20).to_string());
}

#[test]
fn a_truncated_upload_never_passes_for_a_complete_one() {
    for framing in ["Content-Length: 100\r\n\r\nabc", "Transfer-Encoding: chunked\r\n\r\n9\r\nabc"]
    {
        let server = Server::new("post-buffering=0");
        let mut client = server.connect();
        client.send(format!("POST /count HTTP/1.1\r\nHost: test\r\n{framing}"));
        server.place.wait_for_gate("count");
        drop(client);
        server.wait_for_log("upload broken", 1);
        assert!(!server.log().contains("upload complete"), "{}", server.log());
    }
}

#[test]
fn a_truncated_upload_that_is_buffered_never_reaches_the_application() {
    let server = Server::new("");
    let mut client = server.connect();
    client.send("POST /count HTTP/1.1\r\nHost: test\r\nContent-Length: 100\r\n\r\nabc");
    client.half_close();
    client.response().expect(400);
    server.get("/ok").expect(200);
    assert!(!server.log().contains("upload "), "{}", server.log());
}

#[test]
fn bad_chunks_are_400_and_told() {
    let server = Server::new("");
    for chunk in ["zz\r\n", "-1\r\na\r\n", "0x3\r\nabc\r\n", "3\r\nabcd\r\n"] {
        let response = server.ask(&format!(
            "POST /echo HTTP/1.1\r\nHost: test\r\nTransfer-Encoding: chunked\r\n\r\n{chunk}"
        ));
        assert_eq!(response.status, 400, "{chunk:?}");
    }
    server.wait_for_log("bad request refused", 4);
}

#[test]
fn one_large_upload_after_the_other_is_read_to_its_end_by_the_only_thread() {
    let server = Server::new("");
    let body = "x".repeat(4_000_000);
    for _ in 0..12 {
        let response = server.ask(&post("/echo", &body)).expect(200);
        assert_eq!(response.body.len(), body.len());
    }
}

#[test]
fn the_client_is_told_to_continue_only_when_the_application_reads() {
    let server = Server::new("");
    let mut client = server.connect();
    client.send(
        "POST /gated_echo?e HTTP/1.1\r\nHost: test\r\nContent-Length: 3\r\n\
        Expect: 100-continue\r\n\r\n",
    );
    server.place.wait_for_gate("e");
    assert!(client.is_silent_for(SILENCE));
    server.place.open_gate("e");
    assert_eq!(client.response().status, 100);
    client.send("abc");
    assert_eq!(client.response().expect(200).text(), "abc");
}

#[test]
fn an_application_that_does_not_read_never_asks_for_the_body() {
    let server = Server::new("");
    let mut client = server.connect();
    client.send(
        "POST /ok HTTP/1.1\r\nHost: test\r\nContent-Length: 3\r\nExpect: 100-continue\r\n\r\n",
    );
    assert_eq!(client.response().status, 200);
}

#[test]
fn a_body_that_nobody_reads_does_not_become_the_next_request() {
    let server = Server::new("post-buffering=0");
    let mut client = server.connect();
    client.send("POST /ok HTTP/1.1\r\nHost: test\r\nContent-Length: 35\r\n\r\n");
    client.send("GET /error HTTP/1.1\r\nHost: test\r\n\r\n");
    assert_eq!(client.response().status, 200);
    let rest = client.try_send("GET /pid HTTP/1.1\r\nHost: test\r\nConnection: close\r\n\r\n");
    if let (Ok(()), Ok(response)) = (rest, client.try_response(true)) {
        assert_eq!(response.status, 200);
    }
    assert!(!server.log().contains("on purpose"), "{}", server.log());
}
