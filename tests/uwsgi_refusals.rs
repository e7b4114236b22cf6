//! What comes to a socket of the uwsgi protocol and is no request: told, closed, survived.

use crate::support::client::Client;
use crate::support::packet::{Packet, ask, both, connect, serve};

/// The packet of a GET up to its size, and one more variable that does not fit.
fn inconsistent() -> Packet {
    Packet::get("/ok").raw(&[1, 0, b'X', 200, 0, b'Y'])
}

/// Bytes that are no request, and what the log says of them.
fn bad() -> Vec<(Vec<u8>, &'static str)> {
    let method = |method: &str| Packet::request(method, "/ok", "").bytes();
    let length = |length: &str| Packet::request("POST", "/echo", length).bytes();
    let many = (0..130).fold(Packet::get("/ok"), |packet, _| packet.var("X", "Y"));
    vec![
        (vec![0, 1, 16, 0], "has 4097 bytes, larger than `buffer-size` (4096)"),
        (vec![0, 0, 0, 0], "has no variables"),
        (Packet::get("/ok").var("", "x").bytes(), "has no name"),
        (inconsistent().bytes(), "exceeds the packet"),
        (Packet::get("/ok").raw(&[1]).bytes(), "exceeds the packet"),
        (many.bytes(), "more variables than `max-fields` (128)"),
        (Packet::get("/ok").modifier(5).bytes(), "modifier 5 "),
        (Packet::get("/ok").modifier(17).bytes(), "modifier 17 "),
        (Packet::get("/ok").modifier(22).bytes(), "modifier 22 "),
        (Packet::get("/ok").modifier(100).bytes(), "modifier 100 "),
        (Packet::get("/ok").modifier(255).bytes(), "modifier 255 "),
        (Packet::default().var("PATH_INFO", "/ok").bytes(), "REQUEST_METHOD is missing"),
        (method("GE T"), "REQUEST_METHOD is missing or no token"),
        (method(""), "REQUEST_METHOD is missing or no token"),
        (length("12a"), "CONTENT_LENGTH is not a decimal number"),
        (length("-1"), "CONTENT_LENGTH is not a decimal number"),
        (length("18446744073709551616"), "CONTENT_LENGTH is not a decimal number"),
    ]
}

#[test]
fn a_bad_packet_is_told_and_closed_and_the_next_one_served() {
    let server = serve("buffer-size=4096");
    for (number, (bytes, text)) in bad().into_iter().enumerate() {
        // The log is limited for each client.
        let source = format!("127.0.1.{}", number + 1);
        let mut client = Client::from(&source, server.uwsgi_address());
        client.send(&bytes);
        assert_eq!(client.rest(), b"", "{text}");
        server.wait_for_log("bad request refused", number + 1);
        let log = server.log();
        let told = log.lines().rfind(|line| line.contains("bad request refused")).unwrap();
        assert!(told.contains(&source) && told.contains(text), "{text}: {told}");
        ask(&server, &Packet::get("/ok")).expect(200);
    }
}

#[test]
fn a_packet_of_the_largest_size_is_served() {
    let value = "x".repeat(4096 - 300);
    let packet = Packet::default().var("REQUEST_METHOD", "GET").var("HTTP_X_LARGE", value);
    let rest = 4096 - (packet.bytes().len() - 4) - 4 - "PATH_INFO".len();
    let packet = packet.var("PATH_INFO", format!("{:/>rest$}", "ok"));
    assert_eq!(packet.bytes().len(), 4096 + 4);
    assert_eq!(ask(&serve("buffer-size=4096"), &packet).expect(200).text(), "ok");
}

#[test]
fn a_packet_that_ends_too_early_is_told() {
    let server = serve("");
    let whole = Packet::get("/ok").bytes();
    for cut in [1, 4, whole.len() - 1] {
        let mut client = connect(&server);
        client.send(&whole[..cut]);
        client.half_close();
        assert_eq!(client.remainder(), (Vec::new(), true), "{cut}");
    }
    server.wait_for_log("bad request refused: the connection ended within a uwsgi packet", 3);
    ask(&server, &Packet::get("/ok")).expect(200);
}

#[test]
fn a_packet_that_does_not_end_is_given_up() {
    let server = serve("http-headers-timeout=3");
    let whole = Packet::get("/ok").bytes();
    let mut clients = both(&server);
    clients.iter_mut().for_each(|client| client.send(&whole[..whole.len() - 1]));
    assert!(clients.iter_mut().all(Client::is_closed));
    server.wait_for_log("bad request refused: the request did not come in time", 2);
}

#[test]
fn a_connection_that_says_nothing_is_closed_in_silence() {
    let server = serve("http-headers-timeout=3");
    let mut client = connect(&server);
    assert!(client.is_closed());
    drop(connect(&server));
    ask(&server, &Packet::get("/ok")).expect(200);
    assert!(!server.log().contains("refused"), "{}", server.log());
}

#[test]
fn clients_of_other_protocols_get_a_hint() {
    let server = serve("");
    let filler = "x".repeat(100_000);
    let large = format!("POST / HTTP/1.1\r\nHost: test\r\nContent-Length: 100000\r\n\r\n{filler}");
    for bytes in [&b"GET / HTTP/1.1\r\nHost: test\r\n\r\n"[..], b"PRI * HTTP/2.0\r\n\r\n"] {
        for mut client in both(&server) {
            client.send(bytes);
            assert!(client.response().expect(400).text().contains("uwsgi_pass"));
            assert!(client.is_closed());
        }
    }
    let mut client = Client::from("127.0.1.1", server.uwsgi_address());
    let _ = client.try_send(large);
    client.response().expect(400);
    server.wait_for_log("an HTTP request came to a socket that speaks uwsgi", 5);
    let mut client = Client::from("127.0.1.2", server.uwsgi_address());
    client.send(b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03");
    assert_eq!(client.response().status, 400);
    server.wait_for_log("a TLS handshake came to a socket that speaks uwsgi", 1);
}
