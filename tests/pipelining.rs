//! Requests that do not wait for the responses before them (RFC 9112, section 9.3.2), and bytes that
//! come in any pieces.

use crate::support::client::{Client, join_chunks};
use crate::support::memory::own_bytes;
use crate::support::server::Server;

fn get(path: &str) -> String {
    format!("GET {path} HTTP/1.1\r\nHost: test\r\n\r\n")
}

#[test]
fn good_requests_before_a_bad_one_are_answered_before_it() {
    let server = Server::new("threads=2");
    for bad in ["GET /ok HTTP/1.1\r\n\r\n", "nonsense\r\n\r\n", "GET /ok HTTP/2.0\r\n\r\n", "\0"] {
        let mut client = server.connect();
        client.send(get("/generator") + &get("/missing") + &get("/list") + bad + &get("/smuggled"));
        for (status, text) in [(200, "chunk0,chunk1,chunk2,"), (404, "missing"), (200, "abc")] {
            assert_eq!(client.response().expect(status).text(), text);
        }
        let refusal = client.response();
        assert!([400, 505].contains(&refusal.status), "{refusal:?}");
        assert_eq!(client.rest(), b"");
    }
    assert!(!server.log().contains("smuggled"), "{}", server.log());
}

#[test]
fn who_always_has_the_beginning_of_another_request_does_not_fill_the_memory() {
    let server = Server::new("disable-logging=true");
    let worker = server.workers()[0];
    let request =
        format!("GET /ok HTTP/1.1\r\nHost: test\r\nX-Long: {}\r\n\r\n", "x".repeat(48_000));
    let mut client = server.connect();
    client.send(&request);
    client.response().expect(200);
    let before = own_bytes(worker);
    // So each piece that is read ends within a request.
    client.send(&request[..20_000]);
    for _ in 0..1000 {
        client.send(&request[20_000..]);
        client.send(&request[..20_000]);
        client.response().expect(200);
    }
    let gained = own_bytes(worker).saturating_sub(before);
    assert!(gained < 4 << 20, "{gained} bytes more for one connection");
}

#[test]
fn a_bad_request_does_not_overtake_the_one_that_the_application_works_on() {
    let server = Server::new("");
    let mut client = server.connect();
    client.send(get("/gate?slow") + "nonsense\r\n\r\n");
    server.place.wait_for_gate("slow");
    assert!(client.is_silent_for(std::time::Duration::from_millis(100)));
    server.place.open_gate("slow");
    client.response().expect(200);
    client.response().expect(400);
    assert!(client.is_closed());
}

#[test]
fn nothing_is_answered_after_the_response_that_closes() {
    let server = Server::new("");
    let last = "GET /ok HTTP/1.1\r\nHost: test\r\nConnection: close\r\n\r\n";
    for (first, after) in [
        (last, get("/smuggled")),
        (last, "nonsense\r\n\r\n".into()),
        (last, "\0".into()),
        ("GET /ok HTTP/1.0\r\n\r\n", get("/smuggled")),
        ("GET /ok HTTP/1.0\r\n\r\n", "nonsense\r\n\r\n".into()),
    ] {
        let mut client = server.connect();
        client.send(get("/list") + first + &after);
        assert_eq!(client.response().expect(200).text(), "abc");
        let response = client.response().expect(200);
        assert_eq!((response.text().as_str(), response.field("connection")), ("ok", Some("close")));
        assert_eq!(String::from_utf8_lossy(&client.rest()), "", "{after:?}");
    }
    assert!(!server.log().contains("smuggled"), "{}", server.log());
    assert!(!server.log().contains("bad request"), "{}", server.log());
}

#[test]
fn nothing_completes_a_response_that_broke_off() {
    let server = Server::new("");
    for path in ["/short", "/mid"] {
        let mut client = server.connect();
        client.send(get(path) + "nonsense\r\n\r\n");
        let response = client.response();
        assert!(!response.complete, "{response:?}");
        assert!(["abc", "begun"].contains(&response.text().as_str()), "{response:?}");
        assert_eq!(client.rest(), b"");
    }
}

#[test]
fn ten_thousand_requests_of_a_client_that_does_not_read_are_answered_once_it_does() {
    let server = Server::new("disable-logging=true");
    let mut client = server.connect();
    let mut sender = client.try_clone().unwrap();
    let sending = std::thread::spawn(move || sender.send(get("/ok").repeat(10_000)));
    // Meanwhile others are served.
    for _ in 0..10 {
        server.get("/ok").expect(200);
    }
    for _ in 0..10_000 {
        assert_eq!(client.response().expect(200).text(), "ok");
    }
    sending.join().unwrap();
    client.get("/ok").expect(200);
}

#[test]
fn a_client_that_half_closes_gets_all_its_answers() {
    let server = Server::new("threads=2");
    for last in ["", "GET / HT"] {
        let mut client = server.connect();
        client.send(get("/gate?half") + &get("/list") + &get("/generator") + last);
        client.half_close();
        server.place.open_gate("half");
        client.response().expect(200);
        assert_eq!(client.response().expect(200).text(), "abc");
        assert_eq!(client.response().expect(200).text(), "chunk0,chunk1,chunk2,");
        assert_eq!(client.rest(), b"");
    }
}

const LAST: &str = "GET /ok HTTP/1.1\r\nHost: test\r\nConnection: close\r\n\r\n";

/// Requests of all kinds.
fn samples() -> Vec<String> {
    let post = |fields: &str, body: &str| {
        format!("POST /echo HTTP/1.1\r\nHost: test\r\n{fields}\r\n\r\n{body}")
    };
    vec![
        get("/ok") + LAST,
        "\r\n\r\n".to_owned() + &get("/missing") + "\r\n" + LAST,
        "HEAD /list HTTP/1.1\r\nHost: test\r\n\r\n".to_owned() + LAST,
        post("Content-Length: 5", "ab\r\nc") + LAST,
        post(
            "Transfer-Encoding: chunked",
            "3;a=\"b\"\r\nabc\r\n0A\r\n\r\n23456789\r\n0\r\nT: 1\r\n\r\n",
        ) + LAST,
        get("/generator") + &post("Content-Length: 3", "abc") + &get("/list") + LAST,
        "GET http://shop.test/ok?a HTTP/1.2\r\nHost: other\r\n\r\n".to_owned() + LAST,
        "GET /list HTTP/1.0\r\nConnection: keep-alive\r\n\r\nGET /ok HTTP/1.0\r\n\r\n".to_owned(),
        "OPTIONS * HTTP/1.1\r\nHost: test\r\nX-Own:\t a\t\r\nCookie: a=b\r\n\r\n".to_owned() + LAST,
        get("/ok") + &post("Content-Length: 3, 3", "abc") + LAST,
        post("Transfer-Encoding: chunked", "3\r\nabc\r\n3\r\nabcd\r\n0\r\n\r\n") + LAST,
        "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n".to_owned(),
        post("Transfer-Encoding: gzip, chunked", "") + LAST,
    ]
}

/// Everything that comes back, without what the time of day or other tasks of the machine decide.
fn answers(client: &mut Client) -> String {
    let text = String::from_utf8(join_chunks(&client.rest())).unwrap();
    let is_timeless = |line: &&str| !line.starts_with("Date: ");
    text.split_inclusive("\r\n").filter(is_timeless).collect()
}

#[test]
fn requests_that_are_split_at_any_byte_are_answered_alike() {
    let server = Server::new("http=app.sock\ndisable-logging=true");
    for sample in samples() {
        let mut client = server.connect_locally();
        client.send(&sample);
        let whole = answers(&mut client);
        assert!(whole.starts_with("HTTP/1."), "{sample:?}: {whole:?}");
        for at in 1..sample.len() {
            let (first, second) = sample.split_at(at);
            let mut client = server.connect_locally();
            client.send(first);
            client.wait_until_read();
            // Once refused, the server may have closed.
            let _ = client.try_send(second);
            assert_eq!(answers(&mut client), whole, "{first:?} and {second:?}");
        }
    }
}

#[test]
fn a_request_that_comes_byte_by_byte_is_served() {
    let server = Server::new("");
    for sample in samples() {
        let mut client = server.connect();
        client.send(&sample);
        let whole = answers(&mut client);
        let mut client = server.connect();
        for byte in sample.bytes() {
            if client.try_send([byte]).is_err() {
                break;
            }
        }
        assert_eq!(answers(&mut client), whole, "{sample:?}");
    }
}
