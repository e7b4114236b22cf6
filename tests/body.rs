//! What PEP 3333 lets the application return.

use crate::support::client::Response;
use crate::support::server::Server;

fn head(server: &Server, path: &str) -> (Response, Vec<u8>) {
    let mut client = server.connect();
    client.send(format!("HEAD {path} HTTP/1.1\r\nHost: test\r\nConnection: close\r\n\r\n"));
    (client.response_to_head(), client.rest())
}

#[test]
fn lists_and_tuples_get_a_length() {
    let server = Server::new("");
    for path in ["/list", "/tuple"] {
        let response = server.get(path).expect(200);
        assert_eq!(
            (response.text().as_str(), response.field("content-length")),
            ("abc", Some("3"))
        );
    }
}

#[test]
fn a_single_chunk_gets_a_length() {
    assert_eq!(Server::new("").get("/ok").expect(200).field("content-length"), Some("2"));
}

#[test]
fn a_generator_is_sent_in_chunks() {
    let response = Server::new("").get("/generator").expect(200);
    assert_eq!(response.field("transfer-encoding"), Some("chunked"));
    assert_eq!(response.text(), "chunk0,chunk1,chunk2,");
}

#[test]
fn an_empty_body_has_length_zero() {
    let response = Server::new("").get("/empty").expect(200);
    assert_eq!((response.field("content-length"), response.body.len()), (Some("0"), 0));
}

#[test]
fn what_is_not_bytes_is_500() {
    let server = Server::new("");
    for path in ["/text", "/none"] {
        server.get(path).expect(500);
        server.wait_for_log(&format!("GET {path}: "), 1);
    }
}

#[test]
fn an_error_in_the_middle_never_looks_complete() {
    let server = Server::new("");
    let response = server.get("/mid");
    assert_eq!((response.text().as_str(), response.complete), ("begun", false));
    server.wait_for_log("ValueError: in the middle", 1);
}

#[test]
fn an_error_in_the_middle_never_looks_complete_to_http_1_0() {
    let server = Server::new("");
    let mut client = server.connect();
    client.send("GET /mid HTTP/1.0\r\n\r\n");
    // Without framing only the log can tell; the connection must not be reused.
    let response = client.response();
    assert_eq!(response.text(), "begun");
    server.wait_for_log("(aborted)", 1);
}

#[test]
fn a_short_body_is_cut_and_told() {
    let server = Server::new("");
    let response = server.get("/short");
    assert_eq!((response.text().as_str(), response.complete), ("abc", false));
    server.wait_for_log("shorter (3 bytes) than its Content-Length (10)", 1);
}

#[test]
fn a_long_body_cannot_spill_into_the_next_response() {
    let server = Server::new("");
    let mut client = server.connect();
    assert_eq!(client.get("/long").expect(200).text(), "ab");
    assert_eq!(client.get("/ok").expect(200).text(), "ok");
    server.wait_for_log("longer (6 bytes) than its Content-Length (2)", 1);
}

#[test]
fn close_is_called_whatever_happens() {
    let server = Server::new("");
    for kind in ["fine", "early", "text", "middle", "headless", "closing"] {
        server.get(&format!("/closing?{kind}"));
        server.wait_for_log(&format!("closed {kind}"), 1);
    }
    head(&server, "/closing?head");
    server.wait_for_log("closed head", 1);
}

#[test]
fn close_is_called_when_the_client_has_left() {
    let server = Server::new("");
    let mut client = server.connect();
    client.send("GET /closing?endless HTTP/1.1\r\nHost: test\r\n\r\n");
    drop(client);
    server.wait_for_log("closed endless", 1);
    server.get("/ok").expect(200);
}

#[test]
fn head_has_the_length_but_no_body() {
    let server = Server::new("");
    for (path, length) in [("/list", Some("3")), ("/short", Some("10")), ("/generator", None)] {
        let (response, rest) = head(&server, path);
        assert_eq!((response.status, response.field("content-length")), (200, length), "{path}");
        assert_eq!(rest, b"", "{path}");
    }
}

#[test]
fn responses_204_and_304_have_no_body() {
    let server = Server::new("");
    let mut client = server.connect();
    for (path, status) in [("/204", 204), ("/304", 304), ("/ok", 200)] {
        let response = client.get(path).expect(status);
        let framed = response.field("transfer-encoding").or(response.field("content-length"));
        assert_eq!(framed.is_some(), status == 200, "{response:?}");
    }
}

#[test]
fn a_file_wrapper_sends_the_file() {
    let server = Server::new("");
    assert_eq!(server.get("/file").expect(200).text(), server.place.read("app.py"));
}
