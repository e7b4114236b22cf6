//! Where a request ends: Content-Length and Transfer-Encoding (RFC 9112, section 6; RFC 9110,
//! section 8.6). What is not clear is refused, and nothing after it is a request.

use crate::support::server::Server;

fn post(fields: &str, body: &str) -> String {
    format!("POST /echo HTTP/1.1\r\nHost: test\r\n{fields}\r\n\r\n{body}")
}

#[test]
fn a_length_that_is_no_number_is_400() {
    let server = Server::new("");
    let values = [
        "",
        "+3",
        "-3",
        "0x3",
        "3x",
        "x",
        "3 3",
        "3,3",
        "3, 3",
        "3;",
        "3.0",
        "1_0",
        "1e1",
        "\"3\"",
        "\u{663}",
        "18446744073709551616",
        "99999999999999999999999999",
        "3\u{b}",
        "\u{b}3",
        "3\u{c}",
    ];
    server.refuses_all(400, values.map(|value| post(&format!("Content-Length: {value}"), "abc")));
}

#[test]
fn two_lengths_are_400_even_if_they_agree() {
    let server = Server::new("");
    server.refuses_all(
        400,
        [
            post("Content-Length: 3\r\nContent-Length: 3", "abc"),
            post("Content-Length: 3\r\nContent-Length: 4", "abc"),
            post("Content-Length: 0\r\ncontent-length: 3", "abc"),
            post("Content-Length: 3\r\nX-Other: 1\r\nCONTENT-LENGTH: 03", "abc"),
        ],
    );
}

#[test]
fn a_length_is_a_decimal_number_with_blanks_around_it() {
    let server = Server::new("");
    for value in ["3", "  3\t", "03", "0000000000000000000000003"] {
        let response = server.serves(post(&format!("Content-Length:{value}"), "abc"));
        assert_eq!(response.text(), "abc", "{value:?}");
    }
    assert_eq!(server.serves(post("Content-Length: 0", "")).text(), "");
}

#[test]
fn a_length_and_a_coding_together_are_400() {
    let server = Server::new("");
    let chunks = "3\r\nabc\r\n0\r\n\r\n";
    server.refuses_all(
        400,
        [
            post("Content-Length: 3\r\nTransfer-Encoding: chunked", chunks),
            post("Transfer-Encoding: chunked\r\nContent-Length: 3", chunks),
            post("Transfer-Encoding: chunked\r\nContent-Length: 0", chunks),
            post("Content-Length: 3\r\nTransfer-Encoding: gzip, chunked", chunks),
            post("Content-Length: 3\r\nTransfer-Encoding:", chunks),
        ],
    );
}

#[test]
fn a_coding_that_does_not_end_with_one_chunked_is_400() {
    let server = Server::new("");
    let values = [
        "",
        ",",
        "identity",
        "gzip",
        "chunked, identity",
        "chunked, gzip",
        "chunked, chunked",
        "chunked,",
        ",chunked",
        "chunked;q=1",
        "chunked;",
        "xchunked",
        "chunkedx",
        "chunked\u{b}",
        "\u{b}chunked",
        "chunked\0",
        "\"chunked\"",
        "chun ked",
        "chunked chunked",
        "(x)chunked",
    ];
    let chunks = "3\r\nabc\r\n0\r\n\r\n";
    let requests = values.map(|value| post(&format!("Transfer-Encoding: {value}"), chunks));
    server.refuses_all(400, requests);
    server.refuses_all(
        400,
        [
            post("Transfer-Encoding: chunked\r\nTransfer-Encoding: identity", chunks),
            post("Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked", chunks),
        ],
    );
}

#[test]
fn a_blank_before_the_colon_does_not_hide_a_coding() {
    let server = Server::new("");
    let chunks = "3\r\nabc\r\n0\r\n\r\n";
    server.refuses_all(
        400,
        [
            post("Transfer-Encoding : chunked", chunks),
            post("Content-Length: 3\r\nTransfer-Encoding\t: chunked", chunks),
            post("Content-Length : 3", "abc"),
            post("Content-Length: 3\r\n Transfer-Encoding: chunked", chunks),
            post("X: y\r\n\tTransfer-Encoding: chunked", chunks),
            post("Transfer-Encoding:\r\n chunked", chunks),
            post("X: y\nTransfer-Encoding: chunked", chunks),
            post("X: y\rTransfer-Encoding: chunked", chunks),
            post("\u{b}Transfer-Encoding: chunked", chunks),
            post("Transfer-Encoding\0: chunked", chunks),
        ],
    );
}

#[test]
fn a_coding_that_nobody_knows_is_501() {
    let server = Server::new("");
    let values =
        ["gzip, chunked", "x-own, chunked", "identity,chunked", "gzip;q=1, deflate , chunked"];
    server.refuses_all(501, values.map(|value| post(&format!("Transfer-Encoding: {value}"), "")));
    server.refuses_all(501, [post("Transfer-Encoding: gzip\r\nTransfer-Encoding: chunked", "")]);
}

#[test]
fn chunked_is_read_whatever_its_case() {
    let server = Server::new("");
    for value in ["chunked", "Chunked", "CHUNKED", "\tchunked  "] {
        let request = post(&format!("Transfer-Encoding:{value}"), "3\r\nabc\r\n0\r\n\r\n");
        assert_eq!(server.serves(request).text(), "abc", "{value:?}");
    }
}

#[test]
fn a_coding_in_http_1_0_is_400() {
    let server = Server::new("");
    server.refuses_all(
        400,
        ["POST /echo HTTP/1.0\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n"],
    );
}

#[test]
fn without_length_and_coding_there_is_no_body() {
    let server = Server::new("");
    let mut client = server.connect();
    client.send(post("X-None: 1", "GET /pid HTTP/1.1\r\nHost: test\r\n\r\n"));
    assert_eq!(client.response().expect(200).text(), "");
    let pid = client.response().expect(200).text();
    assert_eq!(server.workers(), [pid.parse::<i32>().unwrap()]);
}

#[test]
fn every_method_can_have_a_body_and_it_is_never_the_next_request() {
    let server = Server::new("");
    for method in ["GET", "HEAD", "DELETE", "OPTIONS", "PATCH", "OWN"] {
        let request = format!("{method} /ok HTTP/1.1\r\nHost: test\r\nContent-Length: 40\r\n\r\n");
        let mut client = server.connect();
        client.send(request + "GET /smuggled HTTP/1.1\r\nHost: other\r\n\r\n.");
        let response = client.try_response(method != "HEAD").unwrap();
        assert_eq!(response.status, 200, "{method}");
        assert_eq!(client.get("/ok").expect(200).text(), "ok", "{method}");
    }
    server.wait_for_log("\"OWN /ok", 1);
    assert!(!server.log().contains("smuggled"), "{}", server.log());
}

#[test]
fn the_body_of_options_for_the_server_is_not_the_next_request() {
    let server = Server::new("");
    let mut client = server.connect();
    client.send("OPTIONS * HTTP/1.1\r\nHost: test\r\nContent-Length: 40\r\n\r\n");
    client.send("GET /smuggled HTTP/1.1\r\nHost: other\r\n\r\n.");
    assert_eq!(client.response().expect(200).field("connection"), Some("close"));
    assert_eq!(client.rest(), b"");
    server.get("/ok").expect(200);
    assert!(!server.log().contains("smuggled"), "{}", server.log());
}
