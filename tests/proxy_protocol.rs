//! The PROXY protocol on raw sockets.

use std::time::Duration;

use serde_json::Value;

use crate::support::client::Client;
use crate::support::packet::Packet;
use crate::support::server::Server;
use crate::support::setup::Setup;

const SILENCE: Duration = Duration::from_millis(150);
const GET: &str = "GET /environ HTTP/1.1\r\nHost: test\r\nConnection: close\r\n\r\n";
const LINE: &str = "PROXY TCP4 203.0.113.9 198.51.100.2 4711 443\r\n";

/// The beginning of every header of version 2.
const SIGNATURE: &[u8] = b"\r\n\r\n\0\r\nQUIT\n";

/// A header of version 2: command, family, and what these announce.
fn binary(command: u8, family: u8, rest: &[u8]) -> Vec<u8> {
    let length = u16::try_from(rest.len()).unwrap().to_be_bytes();
    [SIGNATURE, &[0x20 | command, family], &length, rest].concat()
}

/// The addresses of [`LINE`].
fn ends() -> Vec<u8> {
    let (from, to) = (4711_u16.to_be_bytes(), 443_u16.to_be_bytes());
    [&[203, 0, 113, 9][..], &[198, 51, 100, 2], &from, &to].concat()
}

/// An extension that says whether the client used TLS.
fn tls(used: bool) -> Vec<u8> {
    [0x20, 0, 5, u8::from(used), 0, 0, 0, 0].to_vec()
}

/// HTTP and the uwsgi protocol, on TCP and on UNIX sockets, all behind a balancer.
fn serve(lines: &str) -> Server {
    let sockets = "http=127.0.0.1:0\nhttp=web.sock\nsocket=127.0.0.1:0\nsocket=app.sock";
    let ini =
        format!("[rwsgi]\n{sockets}\nproxy-protocol=true\nchdir=%d\nwsgi-file=app.py\n{lines}\n");
    Setup::classic(&ini).start()
}

/// A client of each socket that speaks HTTP.
fn web(server: &Server) -> [Client; 2] {
    [server.connect(), Client::unix(&server.place.join("web.sock"))]
}

/// A client of each socket that speaks the uwsgi protocol.
fn uwsgi(server: &Server) -> [Client; 2] {
    [Client::connect(server.uwsgi_address()), Client::unix(&server.place.join("app.sock"))]
}

/// What the application is told when this header and `GET` are sent.
fn environ(client: &mut Client, header: &[u8]) -> Value {
    client.send([header, GET.as_bytes()].concat());
    let response = client.response().expect(200);
    serde_json::from_slice::<Value>(&response.body).unwrap()["environ"].take()
}

fn is_announced(got: &Value) {
    assert_eq!((&got["REMOTE_ADDR"], &got["REMOTE_PORT"]), (&"203.0.113.9".into(), &"4711".into()));
}

#[test]
fn both_versions_tell_the_client_on_tcp_and_unix_sockets() {
    let server = serve("");
    for header in [LINE.as_bytes().to_vec(), binary(1, 0x11, &ends())] {
        for mut client in web(&server) {
            let got = environ(&mut client, &header);
            is_announced(&got);
            assert_eq!(got["wsgi.url_scheme"], "http");
            assert_eq!(
                got["SERVER_PORT"],
                if got["SERVER_NAME"] == "localhost" {
                    "80".to_owned()
                } else {
                    server.address().port().to_string()
                }
            );
        }
    }
    server.wait_for_log("203.0.113.9 \"GET /environ HTTP/1.1\" 200", 4);
}

#[test]
fn ipv6_clients_are_told_too() {
    let server = serve("");
    let line = b"PROXY TCP6 2001:db8::9 2001:db8::1 4711 443\r\n";
    assert_eq!(environ(&mut server.connect(), line)["REMOTE_ADDR"], "2001:db8::9");
    let mut ends = [0_u8; 36];
    ends[..4].copy_from_slice(&[0x20, 1, 0x0d, 0xb8]);
    ends[15] = 9;
    let header = binary(1, 0x21, &ends);
    assert_eq!(environ(&mut server.connect(), &header)["REMOTE_ADDR"], "2001:db8::9");
}

#[test]
fn a_balancer_that_speaks_for_itself_is_the_client() {
    let server = serve("");
    for header in [
        b"PROXY UNKNOWN\r\n".to_vec(),
        b"PROXY UNKNOWN 203.0.113.9 198.51.100.2 4711 443\r\n".to_vec(),
        binary(0, 0, b""),
        binary(0, 0x11, &ends()),
        binary(1, 0, b""),
    ] {
        let [mut tcp, mut unix] = web(&server);
        assert_eq!(environ(&mut tcp, &header)["REMOTE_ADDR"], "127.0.0.1", "{header:?}");
        assert_eq!(environ(&mut unix, &header)["REMOTE_ADDR"], "", "{header:?}");
    }
}

#[test]
fn the_header_counts_for_every_request_of_its_connection() {
    let server = serve("");
    let mut client = server.connect();
    client.send(LINE);
    for _ in 0..3 {
        let body = client.get("/environ").expect(200).body;
        is_announced(&serde_json::from_slice::<Value>(&body).unwrap()["environ"]);
    }
    // A second one is no request.
    client.send(LINE);
    assert_eq!(client.response().status, 400);
}

#[test]
fn a_client_that_used_tls_has_https() {
    let server = serve("");
    for (used, scheme) in [(true, "https"), (false, "http")] {
        let header = binary(1, 0x11, &[ends(), tls(used)].concat());
        let got = environ(&mut server.connect(), &header);
        is_announced(&got);
        assert_eq!(got["wsgi.url_scheme"], scheme);
    }
    // A health check over TLS is no client's.
    let got = environ(&mut server.connect(), &binary(0, 0x11, &[ends(), tls(true)].concat()));
    assert_eq!(got["wsgi.url_scheme"], "http");
}

#[test]
fn unknown_extensions_are_skipped() {
    let server = serve("");
    let extensions = [&[0x02, 0, 4][..], b"shop", &[0xe0, 0, 0], &[0x04, 0, 2, 0, 0]].concat();
    let header = binary(1, 0x11, &[ends(), extensions].concat());
    is_announced(&environ(&mut server.connect(), &header));
}

#[test]
fn a_header_may_be_cut_anywhere() {
    let server = serve("disable-logging=true");
    for header in [LINE.as_bytes().to_vec(), binary(1, 0x11, &[ends(), tls(true)].concat())] {
        for cut in 1..=header.len() {
            let mut client = server.connect();
            client.send(&header[..cut]);
            is_announced(&environ(&mut client, &header[cut..]));
        }
        let mut client = server.connect();
        header.iter().for_each(|byte| client.send([*byte]));
        is_announced(&environ(&mut client, b""));
    }
}

#[test]
fn a_web_server_behind_a_balancer_is_served_too() {
    let server = serve("");
    let bare = Packet::default().var("REQUEST_METHOD", "GET").var("PATH_INFO", "/environ");
    for header in [LINE.as_bytes().to_vec(), binary(1, 0x11, &ends())] {
        for mut client in uwsgi(&server) {
            client.send(&header);
            client.send(bare.bytes());
            client.response().expect(200);
        }
    }
    server.wait_for_log("203.0.113.9 \"GET /environ HTTP/1.1\" 200", 4);
    // What the web server says of the client is the better word.
    for mut client in uwsgi(&server) {
        client.send(LINE);
        client.send(Packet::get("/ok").bytes());
        client.response().expect(200);
    }
    server.wait_for_log("192.0.2.7 \"GET /ok HTTP/1.1\" 200", 2);
}

#[test]
fn a_connection_without_a_header_is_closed_without_an_answer_and_told() {
    let server = serve("");
    let requests = [GET.as_bytes().to_vec(), Packet::get("/ok").bytes()];
    let clients = [web(&server), uwsgi(&server)];
    for (request, clients) in requests.iter().zip(clients) {
        for mut client in clients {
            client.send(request);
            assert_eq!(client.rest(), b"");
        }
    }
    server.wait_for_log("connection refused: the connection does not begin with a PROXY header", 4);
    assert!(!server.log().contains(" 200 "), "{}", server.log());
}

#[test]
fn a_malformed_header_is_closed_without_an_answer_and_told() {
    let server = serve("");
    let long = format!("PROXY TCP4 {}\r\n", "1".repeat(200));
    for (number, (header, told)) in [
        (b"PROXY TCP4 203.0.113.9 198.51.100.2 4711\r\n".to_vec(), "malformed"),
        (b"PROXY TCP4 203.0.113.999 198.51.100.2 1 2\r\n".to_vec(), "malformed"),
        (long.into_bytes(), "longer than 107 bytes"),
        (binary(2, 0x11, &ends()), "command 2"),
        (binary(1, 0x41, &ends()), "unknown address family 0x41"),
        (binary(1, 0x11, b"short"), "too short"),
        (binary(1, 0x11, &[0; 4000]), "longer than 2064 bytes"),
        (binary(1, 0x11, &[ends(), vec![0x20, 0, 9]].concat()), "extension"),
        (binary(1, 0x11, &[ends(), vec![3, 0, 4, 1, 2, 3, 4]].concat()), "checksum"),
    ]
    .into_iter()
    .enumerate()
    {
        let source = format!("127.0.1.{}", number + 1);
        let mut client = Client::from(&source, server.address());
        let _ = client.try_send([&header, GET.as_bytes()].concat());
        assert_eq!(client.rest(), b"", "{told}");
        server.wait_for_log("connection refused: ", number + 1);
        let log = server.log();
        let line = log.lines().rfind(|line| line.contains("connection refused")).unwrap();
        assert!(line.contains(told) && line.contains(&source), "{told}: {line}");
    }
    is_announced(&environ(&mut server.connect(), LINE.as_bytes()));
}

#[test]
fn a_header_that_does_not_end_is_given_up() {
    let server = serve("http-headers-timeout=3");
    let mut clients = web(&server);
    clients.iter_mut().for_each(|client| client.send("PROXY TCP4"));
    for client in &mut clients {
        assert_eq!(client.rest(), b"");
    }
    server.wait_for_log("connection refused: the request did not come in time", 2);
    let mut client = server.connect();
    client.send("PROXY TCP4");
    client.half_close();
    assert_eq!(client.rest(), b"");
    server.wait_for_log("connection refused: it ended within a header", 1);
}

#[test]
fn a_balancer_that_only_looks_is_nobodys_business() {
    let server = serve("");
    drop(server.connect());
    drop(Client::connect(server.uwsgi_address()));
    is_announced(&environ(&mut server.connect(), LINE.as_bytes()));
    assert!(!server.log().contains("refused"), "{}", server.log());
}

#[test]
fn only_trusted_balancers_may_connect() {
    let server = serve("trusted-proxies=127.0.0.2");
    let mut client = Client::from("127.0.0.3", server.address());
    let _ = client.try_send([LINE, GET].concat());
    assert_eq!(client.rest(), b"");
    server.wait_for_log("127.0.0.3: connection refused: ", 1);
    server.wait_for_log("not in `trusted-proxies`", 1);
    let mut unix = Client::unix(&server.place.join("web.sock"));
    let _ = unix.try_send([LINE, GET].concat());
    assert_eq!(unix.rest(), b"");
    let mut client = Client::from("127.0.0.2", server.address());
    is_announced(&environ(&mut client, LINE.as_bytes()));
}

#[test]
fn one_address_can_be_behind_a_balancer_and_another_not() {
    let ini = "[rwsgi]\nhttp=127.0.0.1:0\nhttp=web.sock\nproxy-protocol=web.sock\nchdir=%d\n\
        wsgi-file=app.py\n";
    let server = Setup::classic(ini).start();
    let [mut direct, mut behind] = web(&server);
    assert_eq!(environ(&mut direct, b"")["REMOTE_ADDR"], "127.0.0.1");
    is_announced(&environ(&mut behind, LINE.as_bytes()));
}

#[test]
fn nothing_is_said_before_the_header_is_there() {
    let server = serve("");
    let mut client = server.connect();
    client.send(&LINE[..20]);
    assert!(client.is_silent_for(SILENCE));
    is_announced(&environ(&mut client, &LINE.as_bytes()[20..]));
}

#[test]
fn the_clients_of_a_balancer_are_not_of_this_machine() {
    let server = serve("");
    let get = |client: &mut Client, header: &str| {
        let request = GET.replace("Host: test", "Host: test\r\nX-Forwarded-For: 10.0.0.1");
        client.send([header, &request].concat());
        let body = client.response().expect(200).body;
        let mut got = serde_json::from_slice::<Value>(&body).unwrap();
        got["environ"]["HTTP_X_FORWARDED_FOR"].take()
    };
    for mut client in web(&server) {
        assert_eq!(get(&mut client, LINE), Value::Null);
    }
    assert_eq!(get(&mut server.connect(), "PROXY UNKNOWN\r\n"), "10.0.0.1");
    server.wait_for_log("x-forwarded-for from 203.0.113.9 was removed", 1);
    assert_eq!(server.log().matches("was removed").count(), 1, "{}", server.log());
}
