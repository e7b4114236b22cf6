//! The Host field (RFC 9112, section 3.2; RFC 9110, section 7.2).

use crate::support::server::Server;

fn with_hosts(version: &str, hosts: &[&str]) -> Vec<u8> {
    let mut request = format!("GET /environ {version}\r\n").into_bytes();
    for host in hosts {
        request.extend(format!("Host:{host}\r\n").into_bytes());
    }
    request.extend(b"\r\n");
    request
}

#[test]
fn http_1_1_without_a_host_is_400() {
    let server = Server::new("");
    server.refuses_all(400, [with_hosts("HTTP/1.1", &[]), with_hosts("HTTP/1.2", &[])]);
}

#[test]
fn an_absolute_target_does_not_make_up_for_a_missing_host() {
    Server::new("").refuses_all(400, ["GET http://test/ok HTTP/1.1\r\n\r\n"]);
}

#[test]
fn two_hosts_are_400_even_if_they_agree_and_even_in_http_1_0() {
    let server = Server::new("");
    server.refuses_all(
        400,
        [
            with_hosts("HTTP/1.1", &["test", "test"]),
            with_hosts("HTTP/1.1", &["test", "other"]),
            with_hosts("HTTP/1.1", &["test", ""]),
            with_hosts("HTTP/1.0", &["test", "test"]),
        ],
    );
}

#[test]
fn a_host_that_is_none_is_400() {
    let server = Server::new("");
    let hosts = [
        "te st",
        "a, b",
        "a,b c",
        "http://test",
        "test/",
        "test?q",
        "test#part",
        "user@test",
        "test:port",
        "test:8o",
        "test:-1",
        "test:80:81",
        ":80",
        "[::1",
        "[::g]",
        "[]",
        "::1",
        "te\\st",
        "\"test\"",
        "te%zz",
        "te%4",
        "<test>",
        "t\u{e9}st",
        "te\0st",
        "test\u{7f}",
    ];
    server.refuses_all(400, hosts.map(|host| with_hosts("HTTP/1.1", &[host])));
}

#[test]
fn names_addresses_ports_and_nothing_are_hosts() {
    let server = Server::new("");
    for host in [
        "test",
        "shop.test:81",
        "127.0.0.1",
        "[::1]:81",
        "[::ffff:1.2.3.4]",
        "a_b~c!",
        "caf%C3%A9",
        "",
    ] {
        let response = server.serves(with_hosts("HTTP/1.1", &[host]));
        let expected = format!("\"HTTP_HOST\": \"{host}\"");
        assert!(response.text().contains(&expected), "{host}: {response:?}");
    }
    let response = server.serves(with_hosts("HTTP/1.1", &[" \t test\t "]));
    assert!(response.text().contains("\"HTTP_HOST\": \"test\""), "{response:?}");
}

#[test]
fn http_1_0_needs_no_host_and_none_is_invented() {
    let response = Server::new("").ask("GET /environ HTTP/1.0\r\n\r\n").expect(200);
    assert!(!response.text().contains("HTTP_HOST"), "{response:?}");
}

#[test]
fn the_host_of_an_absolute_target_counts_and_not_the_field() {
    let server = Server::new("");
    let response = server.serves("GET http://shop.test/environ HTTP/1.1\r\nHost: other\r\n\r\n");
    assert!(response.text().contains("\"HTTP_HOST\": \"shop.test\""), "{response:?}");
    server.refuses_all(400, ["GET http://shop.test/ok HTTP/1.1\r\nHost: a b\r\n\r\n"]);
}
