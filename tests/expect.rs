//! Expectations (RFC 9110, section 10.1.1), and interim responses.

use std::time::Duration;

use crate::support::server::Server;

const SILENCE: Duration = Duration::from_millis(100);

fn post(path: &str, version: &str, fields: &str) -> String {
    format!("POST {path} {version}\r\nHost: test\r\nContent-Length: 3\r\n{fields}\r\n\r\n")
}

#[test]
fn an_expectation_that_nobody_knows_is_417() {
    let server = Server::new("");
    let fields = [
        "Expect: 200-ok",
        "Expect:",
        "Expect: 100-continue,",
        "Expect: 100-continue, other",
        "Expect: 100-continue\r\nExpect: other",
        "Expect: 100-continue;q=1",
        "Expect: \"100-continue\"",
    ];
    server.refuses_all(417, fields.map(|fields| post("/echo", "HTTP/1.1", fields)));
}

#[test]
fn a_client_of_http_1_0_is_never_told_to_continue() {
    let server = Server::new("");
    for expectation in ["100-continue", "200-ok"] {
        let mut client = server.connect();
        client.send(post("/echo", "HTTP/1.0", &format!("Expect: {expectation}")));
        assert!(client.is_silent_for(SILENCE));
        client.send("abc");
        assert_eq!(client.response().expect(200).text(), "abc");
    }
}

#[test]
fn the_expectation_has_no_case() {
    let server = Server::new("");
    let mut client = server.connect();
    client.send(post("/echo", "HTTP/1.1", "Expect: 100-CONTINUE"));
    let interim = client.response();
    assert_eq!((interim.status, interim.fields.len()), (100, 0), "{interim:?}");
    client.send("abc");
    assert_eq!(client.response().expect(200).text(), "abc");
    assert_eq!(client.get("/ok").expect(200).text(), "ok");
}

#[test]
fn a_request_without_a_body_has_nothing_to_continue_with() {
    let server = Server::new("");
    for length in ["", "Content-Length: 0\r\n"] {
        let response = server.serves(format!(
            "POST /echo HTTP/1.1\r\nHost: test\r\n{length}Expect: 100-continue\r\n\r\n"
        ));
        assert_eq!(response.text(), "", "{length:?}");
    }
}

#[test]
fn a_body_that_is_refused_by_its_length_is_never_asked_for() {
    let server = Server::new("limit-post=2");
    server.refuses_all(413, [post("/echo", "HTTP/1.1", "Expect: 100-continue")]);
}

#[test]
fn a_body_that_comes_uncalled_after_the_answer_is_not_the_next_request() {
    let server = Server::new("");
    let mut client = server.connect();
    client.send(
        "POST /ok HTTP/1.1\r\nHost: test\r\nContent-Length: 42\r\nExpect: 100-continue\r\n\r\n",
    );
    assert_eq!(client.response().expect(200).field("connection"), Some("close"));
    let _ = client.try_send("GET /smuggled HTTP/1.1\r\nHost: test\r\n\r\n");
    assert_eq!(client.rest(), b"");
    server.get("/ok").expect(200);
    assert!(!server.log().contains("smuggled"), "{}", server.log());
}

#[test]
fn a_client_that_does_not_wait_is_served_all_the_same() {
    let server = Server::new("");
    let mut client = server.connect();
    let request = post("/echo", "HTTP/1.1", "Expect: 100-continue");
    client.send(request + "abcGET /ok HTTP/1.1\r\nHost: test\r\n\r\n");
    let mut response = client.response();
    if response.status == 100 {
        response = client.response();
    }
    assert_eq!(response.expect(200).text(), "abc");
    assert_eq!(client.response().expect(200).text(), "ok");
}

#[test]
fn a_body_above_the_limit_is_413_although_the_application_runs_already() {
    let server = Server::new("limit-post=10");
    let mut client = server.connect();
    client.send(
        "POST /echo HTTP/1.1\r\nHost: test\r\nTransfer-Encoding: chunked\r\n\
        Expect: 100-continue\r\n\r\n",
    );
    assert_eq!(client.response().status, 100);
    client.send("b\r\n01234567890\r\n0\r\n\r\n");
    assert_eq!(client.response().expect(413).field("connection"), Some("close"));
    assert_eq!(client.rest(), b"");
}
