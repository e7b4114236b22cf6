//! The request line (RFC 9112, sections 2.2, 2.3 and 3).

use crate::support::server::Server;

fn with_line(line: &str) -> String {
    format!("{line}\r\nHost: test\r\n\r\n")
}

#[test]
fn a_line_that_is_no_request_line_is_400() {
    let server = Server::new("");
    let lines = [
        "GET",
        "GET ",
        "GET /ok",
        "GET /ok ",
        " GET /ok HTTP/1.1",
        "GET  /ok HTTP/1.1",
        "GET\t/ok HTTP/1.1",
        "GET /ok  HTTP/1.1",
        "GET /ok\tHTTP/1.1",
        "GET /ok HTTP/1.1 ",
        "GET /o k HTTP/1.1",
        "G(T /ok HTTP/1.1",
        "G\u{e9}T /ok HTTP/1.1",
        "G\0T /ok HTTP/1.1",
        ": /ok HTTP/1.1",
    ];
    server.refuses_all(400, lines.map(with_line));
}

#[test]
fn a_line_that_does_not_end_with_cr_lf_is_400() {
    let server = Server::new("");
    server.refuses_all(
        400,
        [
            "GET /ok HTTP/1.1\nHost: test\r\n\r\n",
            "GET /ok HTTP/1.1\rHost: test\r\n\r\n",
            "GET /ok HTTP/1.1\r\r\nHost: test\r\n\r\n",
            "GET /ok\r HTTP/1.1\r\nHost: test\r\n\r\n",
            "\nGET /ok HTTP/1.1\r\nHost: test\r\n\r\n",
            "\rGET /ok HTTP/1.1\r\nHost: test\r\n\r\n",
        ],
    );
}

#[test]
fn http_0_9_is_400() {
    let server = Server::new("");
    server.refuses_all(400, ["GET /ok\r\n\r\n", "GET /ok\n", "GET /\r\n"]);
}

#[test]
fn a_version_that_is_none_is_400() {
    let server = Server::new("");
    let versions = [
        "HTTP/1",
        "HTTP/1.",
        "HTTP/.1",
        "HTTP/1.1.1",
        "HTTP/11.1",
        "HTTP/1.10",
        "http/1.1",
        "Http/1.1",
        "HTTP 1.1",
        "HTTP/1,1",
        "HTTP/a.1",
        "HTTP/1.a",
        "HTTPS/1.1",
        "ICY/1.1",
        "HTTP/-1.1",
        "HTTP/+1.1",
        "HTTP/ 1.1",
    ];
    server.refuses_all(400, versions.map(|version| with_line(&format!("GET /ok {version}"))));
}

#[test]
fn a_major_version_that_is_not_1_is_505() {
    let server = Server::new("");
    for version in ["HTTP/2.0", "HTTP/3.0", "HTTP/0.9", "HTTP/9.9", "HTTP/2.1"] {
        server.refuses(505, with_line(&format!("GET /ok {version}")));
    }
    server.refuses_all(505, ["PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\x04\0\0\0\0\0"]);
}

#[test]
fn a_minor_version_above_1_is_served_as_1_1() {
    let server = Server::new("");
    for version in ["HTTP/1.2", "HTTP/1.9"] {
        let response = server.serves(with_line(&format!("GET /environ {version}")));
        assert!(response.line.starts_with("HTTP/1.1 200"), "{response:?}");
        assert!(response.text().contains("\"SERVER_PROTOCOL\": \"HTTP/1.1\""), "{response:?}");
    }
}

#[test]
fn methods_are_tokens_with_cases_and_go_to_the_application() {
    let server = Server::new("");
    for method in ["get", "PURGE", "M-SEARCH", "X!#$%&'*+-.^_`|~9"] {
        let response = server.serves(with_line(&format!("{method} /environ HTTP/1.1")));
        let expected = format!("\"REQUEST_METHOD\": \"{method}\"");
        assert!(response.text().contains(&expected), "{response:?}");
    }
}

#[test]
fn empty_lines_before_a_request_are_skipped_but_not_for_ever() {
    let server = Server::new("");
    for count in [1, 2, 8] {
        server.serves("\r\n".repeat(count) + &with_line("GET /ok HTTP/1.1"));
    }
    let body = "POST /echo HTTP/1.1\r\nHost: test\r\nContent-Length: 3\r\n\r\nabc\r\n";
    assert_eq!(server.serves(body).text(), "abc");
    server.refuses_all(400, ["\r\n".repeat(9) + &with_line("GET /ok HTTP/1.1")]);
}

#[test]
fn a_target_that_is_none_is_400() {
    let server = Server::new("");
    let targets = [
        "ok",
        "test",
        "test/ok",
        "?q",
        "/ok#part",
        "#",
        "/o\u{e9}k",
        "/ok\u{7f}",
        "/o\0k",
        "/<ok>",
        "ftp://test/ok",
        "ws://test/ok",
        "urn:ok",
        "http:/ok",
        "http:ok",
        "http://",
        "http:///ok",
        "http://user@test/ok",
        "http://user:word@test/ok",
        "http://test:port/ok",
        "http://[::1/ok",
        "http://te st/ok",
        "http://test#part",
        "*/ok",
        "**",
    ];
    server.refuses_all(400, targets.map(|target| with_line(&format!("GET {target} HTTP/1.1"))));
}

#[test]
fn an_asterisk_is_a_target_of_options_only() {
    let server = Server::new("");
    let allow = server.serves(with_line("OPTIONS * HTTP/1.1"));
    assert!(allow.field("allow").is_some_and(|methods| methods.contains("POST")), "{allow:?}");
    assert_eq!(allow.field("content-length"), Some("0"));
    server
        .refuses_all(400, ["GET", "POST", "own"].map(|it| with_line(&format!("{it} * HTTP/1.1"))));
}

#[test]
fn an_authority_is_a_target_of_connect_only() {
    let server = Server::new("");
    server.refuses(501, with_line("CONNECT shop.test:443 HTTP/1.1"));
    server.refuses(501, with_line("CONNECT [::1]:443 HTTP/1.1"));
    for target in ["shop.test", "shop.test:", "shop.test:0", "/ok", "http://shop.test/", "*"] {
        server.refuses(400, with_line(&format!("CONNECT {target} HTTP/1.1")));
    }
    server.refuses_all(400, [with_line("GET shop.test:443 HTTP/1.1")]);
}

#[test]
fn an_absolute_target_is_served_by_its_path_and_host() {
    let server = Server::new("");
    for (target, path, host) in [
        ("http://shop.test/environ?a=b", "/environ", "shop.test"),
        ("HTTP://Shop.Test:81/environ", "/environ", "Shop.Test:81"),
        ("https://[::1]:81/environ", "/environ", "[::1]:81"),
    ] {
        let response = server.serves(with_line(&format!("GET {target} HTTP/1.1")));
        for (key, value) in [("PATH_INFO", path), ("HTTP_HOST", host)] {
            let expected = format!("\"{key}\": \"{value}\"");
            assert!(response.text().contains(&expected), "{target}: {response:?}");
        }
    }
    server.serves(with_line("GET http://shop.test HTTP/1.1"));
    server.serves(with_line("GET http://shop.test?q HTTP/1.1"));
}

#[test]
fn a_target_of_8000_bytes_is_served_and_one_without_end_is_414() {
    let server = Server::new("");
    server.serves(with_line(&format!("GET /ok?{} HTTP/1.1", "q".repeat(60_000))));
    let endless = |count| format!("GET /ok?{} HTTP/1.1", "q".repeat(count));
    server.refuses_all(414, [65_536, 100_000, 500_000].map(|count| with_line(&endless(count))));
    let small = Server::new("buffer-size=8192");
    small.serves(with_line(&endless(8_000)));
    small.refuses_all(414, [with_line(&endless(9_000))]);
}

#[test]
fn a_target_that_no_uri_can_hold_is_414_whatever_the_limit() {
    let server = Server::new("buffer-size=262144");
    let target = |length: usize| format!("/ok?{}", "q".repeat(length - 4));
    server.serves(with_line(&format!("GET {} HTTP/1.1", target(65_534))));
    server.refuses_all(414, [with_line(&format!("GET {} HTTP/1.1", target(65_535)))]);
}
