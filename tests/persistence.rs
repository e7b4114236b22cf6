//! Connections that go on, and those that end (RFC 9112, section 9).

use crate::support::client::Client;
use crate::support::server::Server;

fn ask(client: &mut Client, path: &str, version: &str, fields: &str) -> Option<String> {
    client.send(format!("GET {path} HTTP/{version}\r\nHost: test\r\n{fields}\r\n"));
    let response = client.response();
    assert!(response.status < 500 && response.complete, "{response:?}");
    response.field("connection").map(str::to_owned)
}

#[test]
fn who_closes_says_so_and_who_says_so_closes() {
    let server = Server::new("");
    for (version, fields, closes) in [
        ("1.1", "", false),
        ("1.1", "Connection: keep-alive\r\n", false),
        ("1.1", "Connection: close\r\n", true),
        ("1.1", "Connection: Close\r\n", true),
        ("1.1", "Connection: keep-alive, close\r\n", true),
        ("1.1", "Connection: x-own ,\tclose , keep-alive\r\n", true),
        ("1.1", "Connection: x-own\r\nConnection: close\r\nConnection: keep-alive\r\n", true),
        ("1.1", "Connection: ,, close ,\r\n", true),
        ("1.1", "Connection: closed\r\n", false),
        ("1.1", "Keep-Alive: timeout=5\r\n", false),
        ("1.0", "", true),
        ("1.0", "Connection: keep-alive\r\n", false),
        ("1.0", "Connection: x-own, Keep-Alive\r\n", false),
        ("1.0", "Connection: , ,keep-alive,\r\n", false),
        ("1.0", "Connection: keep-alive, close\r\n", true),
        ("1.0", "Connection: close\r\nConnection: keep-alive\r\n", true),
    ] {
        for path in ["/ok", "/missing", "/204"] {
            let mut client = server.connect();
            let said = ask(&mut client, path, version, fields);
            assert_eq!(said.as_deref() == Some("close"), closes, "{version} {fields:?}: {said:?}");
            if closes {
                assert!(client.is_closed(), "{version} {fields:?}");
            } else {
                client.get("/ok").expect(200);
            }
        }
    }
}

#[test]
fn http_1_0_learns_the_end_of_a_stream_by_the_end_of_the_connection() {
    let server = Server::new("");
    let mut client = server.connect();
    client.send("GET /generator HTTP/1.0\r\nConnection: keep-alive\r\n\r\n");
    let response = client.response();
    assert_eq!(response.field("connection"), Some("close"), "{response:?}");
    assert_eq!(response.field("transfer-encoding"), None, "{response:?}");
    assert_eq!(response.text(), "chunk0,chunk1,chunk2,");
}

#[test]
fn with_keep_alive_off_every_response_says_close() {
    let server = Server::new("http-keepalive=0");
    for (version, fields) in [
        ("1.1", ""),
        ("1.1", "Connection: keep-alive\r\n"),
        ("1.0", ""),
        ("1.0", "Connection: keep-alive\r\n"),
    ] {
        for path in ["/ok", "/generator", "/204", "/missing"] {
            let mut client = server.connect();
            let said = ask(&mut client, path, version, fields);
            assert_eq!(said.as_deref(), Some("close"), "{version} {fields:?} {path}");
            assert!(client.is_closed());
        }
    }
}

#[test]
fn errors_of_the_application_do_not_end_the_connection() {
    let server = Server::new("");
    let mut client = server.connect();
    for (path, status) in
        [("/missing", 404), ("/error", 500), ("/text", 500), ("/bad_status", 500), ("/ok", 200)]
    {
        assert_eq!(client.get(path).expect(status).field("connection"), None, "{path}");
    }
}

#[test]
fn an_upgrade_is_not_taken() {
    let server = Server::new("");
    for upgrade in ["websocket", "h2c", "TLS/1.0", "HTTP/2.0"] {
        let response = server.serves(format!(
            "GET /ok HTTP/1.1\r\nHost: test\r\nConnection: upgrade, http2-settings\r\n\
            Upgrade: {upgrade}\r\nHTTP2-Settings: AAMAAABkAAQAAP__\r\n\r\n"
        ));
        assert_eq!((response.status, response.field("upgrade")), (200, None), "{response:?}");
    }
}

#[test]
fn a_response_that_takes_longer_than_a_connection_may_idle_is_not_cut() {
    for lines in ["http-keepalive=1", "http-keepalive=0"] {
        let server = Server::new(lines);
        let mut slow = server.connect();
        slow.send("GET /whole?16000000 HTTP/1.1\r\nHost: test\r\n\r\n");
        // The log has the request, and its response waits for the client.
        server.wait_for_log("\"GET /whole?16000000", 1);
        let clock = Server::new("http-keepalive=2");
        let mut idle = clock.connect();
        idle.get("/ok").expect(200);
        assert!(idle.is_closed());
        assert_eq!(slow.response().expect(200).body.len(), 16_000_000, "{lines}");
    }
}

#[test]
fn a_response_on_its_way_survives_the_end_of_its_worker() {
    let mut server = Server::new("");
    let mut slow = server.connect();
    slow.send("GET /whole?16000000 HTTP/1.1\r\nHost: test\r\n\r\n");
    server.wait_for_log("\"GET /whole?16000000", 1);
    let mut idle = server.connect();
    idle.get("/ok").expect(200);
    server.signal(nix::sys::signal::Signal::SIGTERM);
    assert!(idle.is_closed());
    assert_eq!(slow.response().expect(200).body.len(), 16_000_000);
    assert_eq!(server.wait().code(), Some(0));
}

#[test]
fn a_request_that_has_begun_on_a_kept_connection_survives_a_reload() {
    let server = Server::new("http=app.sock");
    let mut kept = server.connect_locally();
    let mut idle = server.connect();
    for client in [&mut kept, &mut idle] {
        client.get("/ok").expect(200);
    }
    kept.send("GET /ok HTTP/1.1\r\nHo");
    kept.wait_until_read();
    server.reload(1);
    assert!(idle.is_closed());
    kept.send("st: test\r\n\r\n");
    assert_eq!(kept.response().expect(200).field("connection"), Some("close"));
    assert!(kept.is_closed());
}

#[test]
fn a_request_that_follows_in_the_same_piece_survives_a_reload() {
    let server = Server::new("");
    let mut kept = server.connect();
    let mut idle = server.connect();
    idle.get("/ok").expect(200);
    kept.send("GET /ok HTTP/1.1\r\nHost: test\r\n\r\nGET /list HTTP/1.1\r\nHo");
    kept.response().expect(200);
    server.reload(1);
    assert!(idle.is_closed());
    kept.send("st: test\r\n\r\n");
    assert_eq!(kept.response().expect(200).text(), "abc");
    assert!(kept.is_closed());
}

#[test]
fn a_worker_that_drains_says_close_in_every_response() {
    let server = Server::new("http=app.sock");
    let mut clients: Vec<_> = (0..3).map(|_| server.connect_locally()).collect();
    clients[0].send("GET /gate?drain HTTP/1.1\r\nHost: test\r\n\r\n");
    server.place.wait_for_gate("drain");
    clients[1].send("GET /generator HTTP/1.1\r\nHost: test\r\n\r\n");
    clients[2].send("OPTIONS * HTTP/1.1\r\nHost: test\r\n\r\n");
    // Accepted by the worker that is to drain, not by the next one.
    assert_eq!(clients[2].response().expect(200).field("connection"), None);
    clients[2].send("OPTIONS * HTTP/1.1\r\nHost: te");
    clients[2].wait_until_read();
    server.reload(1);
    clients[2].send("st\r\n\r\n");
    server.place.open_gate("drain");
    for client in &mut clients {
        assert_eq!(client.response().expect(200).field("connection"), Some("close"));
        assert!(client.is_closed());
    }
}
