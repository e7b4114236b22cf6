//! Bodies in chunks (RFC 9112, section 7.1).

use crate::support::server::Server;

fn post(chunks: &str) -> String {
    format!("POST /echo HTTP/1.1\r\nHost: test\r\nTransfer-Encoding: chunked\r\n\r\n{chunks}")
}

#[test]
fn a_size_that_is_no_hexadecimal_number_is_400() {
    let server = Server::new("");
    let sizes = [
        "",
        " ",
        "-3",
        "+3",
        "0x3",
        "3_0",
        "g",
        "3g",
        " 3",
        "\t3",
        "3.0",
        "\u{663}",
        "3,3",
        "\"3\"",
        "00000000000000003",
        "10000000000000000",
        "fffffffffffffffff",
    ];
    server.refuses_all(400, sizes.map(|size| post(&format!("{size}\r\nabc\r\n0\r\n\r\n"))));
}

#[test]
fn a_size_has_up_to_16_digits_of_either_case() {
    let server = Server::new("");
    for size in ["3", "0003", "0000000000000003"] {
        let chunks = format!("{size}\r\nabc\r\n0\r\n\r\n");
        assert_eq!(server.serves(post(&chunks)).text(), "abc", "{size}");
    }
    for size in ["0a", "0A"] {
        let chunks = format!("{size}\r\n0123456789\r\n000\r\n\r\n");
        assert_eq!(server.serves(post(&chunks)).text(), "0123456789", "{size}");
    }
}

#[test]
fn a_size_near_the_largest_number_never_wraps_to_a_small_one() {
    let server = Server::new("");
    for size in ["ffffffffffffffff", "fffffffffffffffe", "8000000000000000"] {
        let mut client = server.connect();
        client.send(post(&format!("{size}\r\nabc\r\n0\r\n\r\n")));
        client.send("GET /smuggled HTTP/1.1\r\nHost: test\r\n\r\n");
        client.half_close();
        client.response().expect(400);
        assert_eq!(client.rest(), b"", "{size}");
    }
    server.get("/ok").expect(200);
    assert!(!server.log().contains("smuggled"), "{}", server.log());
}

#[test]
fn lines_of_chunks_end_with_cr_lf() {
    let server = Server::new("");
    let chunks = [
        "3\nabc\r\n0\r\n\r\n",
        "3\rabc\r\n0\r\n\r\n",
        "3\r\nabc\n0\r\n\r\n",
        "3\r\nabc\r0\r\n\r\n",
        "3\r\nabc\r\n0\n\r\n",
        "3\r\nabc\r\n0\r\n\n",
        "3 \nabc\r\n0\r\n\r\n",
        "3;a\nabc\r\n0\r\n\r\n",
        "3\r\r\nabc\r\n0\r\n\r\n",
    ];
    server.refuses_all(400, chunks.map(post));
}

#[test]
fn data_is_as_long_as_its_size_says() {
    let server = Server::new("");
    let chunks = [
        "3\r\nabcd\r\n0\r\n\r\n",
        "3\r\nab\r\n0\r\n\r\n",
        "3\r\nabc0\r\n\r\n",
        "3\r\nabc \r\n0\r\n\r\n",
    ];
    server.refuses_all(400, chunks.map(post));
}

#[test]
fn extensions_are_read_and_ignored() {
    let server = Server::new("");
    for extension in
        [";a", ";a=b", ";a=\"b\"", ";a=\"b;\\\"c\"", " ;a", "\t; a = b", ";a;b=c;d", "; a"]
    {
        let chunks = format!("3{extension}\r\nabc\r\n0{extension}\r\n\r\n");
        assert_eq!(server.serves(post(&chunks)).text(), "abc", "{extension:?}");
    }
}

#[test]
fn an_extension_that_is_none_is_400() {
    let server = Server::new("");
    let extensions = [
        ";",
        ";;",
        ";=b",
        ";a=",
        ";a==b",
        ";a=\"b",
        ";a=b c",
        ";a b",
        "a;",
        " a",
        ";a=\0",
        ";a=\"\0\"",
        ";a=\"\r\"",
        ";\u{e9}",
    ];
    let chunks = |extension| post(&format!("3{extension}\r\nabc\r\n0\r\n\r\n"));
    server.refuses_all(400, extensions.map(chunks));
}

#[test]
fn extensions_without_end_are_400() {
    let server = Server::new("");
    let long = format!("3;a={}\r\nabc\r\n", "b".repeat(2_000));
    let many = format!("1;a={}\r\nx\r\n", "b".repeat(900)).repeat(20);
    server.refuses_all(400, [long, many].map(|chunks| post(&(chunks + "0\r\n\r\n"))));
}

#[test]
fn trailers_are_read_and_do_not_reach_the_application() {
    let server = Server::new("");
    let request = "POST /environ HTTP/1.1\r\nHost: test\r\nTransfer-Encoding: chunked\r\n\
        Trailer: X-Late\r\n\r\n3\r\nabc\r\n0\r\nX-Late: 1\r\nAuthorization: x\r\nX-Empty:\r\n\r\n";
    let response = server.serves(request);
    for name in ["HTTP_X_LATE", "HTTP_AUTHORIZATION", "HTTP_X_EMPTY"] {
        assert!(!response.text().contains(name), "{response:?}");
    }
}

#[test]
fn a_trailer_that_is_no_field_or_moves_the_end_is_400() {
    let server = Server::new("");
    let trailers = [
        "X-Late : 1",
        " X-Late: 1",
        "X-Late",
        ": 1",
        "X-L\u{e9}te: 1",
        "X-Late: \0",
        "X-Late: 1\n",
        "X-Late: 1\r",
        "Content-Length: 3",
        "Transfer-Encoding: chunked",
        "Host: other",
        "content-length: 3",
        "X-Late: 1\r\n folded",
    ];
    server.refuses_all(400, trailers.map(|line| post(&format!("0\r\n{line}\r\n\r\n"))));
}

#[test]
fn trailers_without_end_are_431() {
    let server = Server::new("");
    let long = format!("X-Late: {}\r\n", "x".repeat(20_000));
    let many = "X-Late: 1\r\n".repeat(200);
    server.refuses_all(431, [long, many].map(|lines| post(&format!("0\r\n{lines}\r\n"))));
}

#[test]
fn a_body_of_many_small_chunks_is_put_together() {
    let server = Server::new("");
    let chunks = "1\r\nx\r\n".repeat(50_000) + "0\r\n\r\n";
    assert_eq!(server.serves(post(&chunks)).body.len(), 50_000);
}

#[test]
fn a_bad_chunk_of_a_body_that_streams_is_400_too() {
    let server = Server::new("post-buffering=0");
    let chunks =
        ["3\r\nabc\r\nzz\r\n", "3\r\nabcd\r\n", "3\r\nabc\r\n0\r\nContent-Length: 3\r\n\r\n"];
    server.refuses_all(400, chunks.map(post));
}
