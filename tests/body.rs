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
fn what_is_not_bytes_later_on_never_looks_complete() {
    let server = Server::new("");
    let response = server.get("/text_later");
    assert_eq!((response.text().as_str(), response.complete), ("begun", false));
    server.wait_for_log("GET /text_later: the body must consist of bytes, not str", 1);
}

#[test]
fn bytes_instead_of_an_iterable_of_them_are_500() {
    let server = Server::new("");
    server.get("/bytes").expect(500);
    server.wait_for_log("returned bytes, which is not an iterable of bytes", 1);
}

#[test]
fn an_iterable_that_cannot_be_iterated_is_told_with_its_traceback() {
    let server = Server::new("");
    server.get("/bad_iterator").expect(500);
    server.wait_for_log("TypeError: in __iter__", 1);
}

#[test]
fn blank_chunks_are_no_end_and_line_ends_stay() {
    let server = Server::new("");
    let mut client = server.connect();
    assert_eq!(client.get("/blanks").expect(200).text(), "ab\r\n\n");
    assert_eq!(client.get("/ok").expect(200).text(), "ok");
}

#[test]
fn a_generator_without_a_byte_has_length_zero() {
    let response = Server::new("").get("/nothing_at_all").expect(200);
    assert_eq!(response.field("content-length"), Some("0"));
}

#[test]
fn an_iterable_of_length_one_gets_a_length_and_no_other() {
    let server = Server::new("");
    for (count, length) in [(0, Some("0")), (1, Some("5")), (2, None)] {
        let response = server.get(&format!("/sized?{count}")).expect(200);
        assert_eq!(response.field("content-length"), length, "{count}");
        assert_eq!(response.text(), "chunk".repeat(count));
    }
}

#[test]
fn a_block_leaves_before_the_next_one_is_asked_for() {
    let server = Server::new("");
    let mut client = server.connect();
    client.send("GET /gated?g HTTP/1.1\r\nHost: test\r\n\r\n");
    server.place.wait_for_gate("g");
    client.wait_for(b"before");
    server.place.open_gate("g");
    assert_eq!(client.response().expect(200).text(), "before,after");
}

#[test]
fn blocks_that_are_gathered_leave_in_time_whoever_leads() {
    for threads in [1, 2, 3] {
        let server = Server::new(&format!("threads={threads}\n"));
        // With three threads one is left, with two they are all busy.
        let mut clients = Vec::new();
        for client in 0..threads.min(2) {
            let gates: Vec<_> = (0..4).map(|number| format!("g{client}-{number}")).collect();
            let mut connection = server.connect();
            connection.send(format!("GET /blocks?{} HTTP/1.1\r\nHost: t\r\n\r\n", gates.join(",")));
            server.place.wait_for_gate(&gates[0]);
            clients.push((connection, gates));
        }
        for number in 0..4 {
            for (client, gates) in &mut clients {
                let gate = &gates[number];
                server.place.wait_for_gate(gate);
                client.wait_for(format!("second of {gate},").as_bytes());
                server.place.open_gate(gate);
            }
        }
        for (mut client, _) in clients {
            assert!(client.response().expect(200).text().ends_with("end"));
        }
    }
}

#[test]
fn many_small_blocks_are_fewer_chunks_on_the_wire() {
    let lines = 10_000;
    let server = Server::new("");
    let mut client = server.connect();
    let request = format!("GET /lines?{lines} HTTP/1.1\r\nHost: t\r\nConnection: close\r\n\r\n");
    client.send(request);
    let wire = String::from_utf8(client.rest()).unwrap();
    assert_eq!(wire.matches("a line of text").count(), lines);
    let (_, body) = wire.split_once("\r\n\r\n").unwrap();
    let chunks = body.matches("\r\n").count() / 2;
    // How many depends on when another thread looks.
    assert!(chunks < lines, "{chunks}");
}

#[test]
fn of_an_iterable_only_close_is_asked_for() {
    let server = Server::new("");
    assert_eq!(server.get("/watched").expect(200).text(), "ab");
    server.wait_for_log("asked for close", 1);
    assert_eq!(server.log().matches("asked for ").count(), 1, "{}", server.log());
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
fn an_aborted_response_has_no_last_chunk() {
    let server = Server::new("");
    let bytes = server.connect_and_send("/mid").rest();
    assert!(bytes.ends_with(b"5\r\nbegun\r\n"), "{bytes:?}");
}

#[test]
fn a_short_stream_is_cut_and_its_connection_closed() {
    let server = Server::new("");
    let mut client = server.connect();
    let response = client.get("/short_stream");
    assert_eq!((response.text().as_str(), response.complete), ("abc", false));
    assert!(client.is_closed());
    server.wait_for_log("shorter (3 bytes) than its Content-Length (10)", 1);
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
fn iteration_stops_when_there_is_enough() {
    let server = Server::new("");
    let response = server.get("/closing?enough").expect(200);
    assert_eq!(response.body, b"x".repeat(150));
    server.wait_for_log("closed enough", 1);
    server.wait_for_log("longer (65636 bytes) than its Content-Length (150)", 1);
}

#[test]
fn close_is_called_once_in_each_case() {
    let server = Server::new("");
    let kinds = ["fine", "early", "text", "middle", "headless", "closing", "enough", "endless"];
    for kind in kinds {
        let mut client = server.connect_and_send(&format!("/closing?{kind}"));
        if kind != "endless" {
            client.rest();
        }
        drop(client);
        server.wait_for_log(&format!("closed {kind}"), 1);
    }
    // The only thread has done with all of them before it answers this.
    server.get("/ok").expect(200);
    for kind in kinds {
        assert_eq!(server.log().matches(&format!("closed {kind}")).count(), 1, "{kind}");
    }
}

#[test]
fn what_close_raises_is_told_and_damages_nothing() {
    let server = Server::new("");
    let mut client = server.connect();
    assert_eq!(client.get("/closing?closing").expect(200).body, b"x".repeat(100));
    server.wait_for_log("GET /closing: ValueError: closing", 1);
    assert_eq!(client.get("/ok").expect(200).text(), "ok");
}

#[test]
fn what_close_raises_does_not_hide_what_was_raised_before() {
    let server = Server::new("");
    server.get("/closing?early").expect(500);
    server.wait_for_log("GET /closing: ValueError: early", 1);
    server.wait_for_log("GET /closing: ValueError: closing", 1);
}

#[test]
fn a_response_does_not_wait_for_close() {
    let server = Server::new("");
    let mut client = server.connect();
    client.send("GET /closing?slow HTTP/1.1\r\nHost: test\r\n\r\n");
    client.response().expect(200);
    server.place.wait_for_gate("slow");
    server.place.open_gate("slow");
    server.get("/ok").expect(200);
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

#[test]
fn a_file_wrapper_reads_what_has_no_descriptor_from_where_it_stands_and_closes_it() {
    let server = Server::new("");
    let response = server.get("/filelike?,abc").expect(200);
    assert_eq!(response.text(), "abc".repeat(49_999));
    server.wait_for_log("closed the file", 1);
    assert_eq!(server.log().matches("closed the file").count(), 1, "{}", server.log());
}

#[test]
fn a_file_wrapper_sends_as_much_as_was_promised() {
    let server = Server::new("");
    let mut client = server.connect();
    assert_eq!(client.get("/filelike?5,abc").expect(200).text(), "abcab");
    server.wait_for_log("closed the file", 1);
    assert_eq!(client.get("/ok").expect(200).text(), "ok");
}
