//! Header fields: their syntax (RFC 9112, section 5; RFC 9110, section 5), their limits, and which of
//! them reach the application.

use serde_json::Value;

use crate::support::server::Server;

fn with_lines(lines: &str) -> String {
    format!("GET /environ HTTP/1.1\r\nHost: test\r\n{lines}\r\n\r\n")
}

/// What the application gets of `lines`.
fn environ(server: &Server, lines: &str) -> Value {
    let response = server.serves(with_lines(lines));
    let mut answer: Value = serde_json::from_slice(&response.body).unwrap();
    answer["environ"].take()
}

#[test]
fn a_line_that_is_no_field_is_400() {
    let server = Server::new("");
    let lines = [
        "X-Own",
        "X-Own ",
        ": 1",
        " : 1",
        "X-Own : 1",
        "X-Own\t: 1",
        "X Own: 1",
        "X-\u{d6}wn: 1",
        "X(Own): 1",
        "X-Own\0: 1",
        "\"X\": 1",
        "X/Y: 1",
        "X@Y: 1",
        "[X]: 1",
        "X\u{7f}: 1",
        "X\u{b}: 1",
    ];
    server.refuses_all(400, lines.map(with_lines));
}

#[test]
fn a_folded_line_is_400() {
    let server = Server::new("");
    server.refuses_all(
        400,
        [
            "X-Own: 1\r\n 2",
            "X-Own: 1\r\n\t2",
            "X-Own:\r\n 1",
            "X-Own: 1\r\n ",
            "X-Own: 1\r\n \r\nX: 2",
        ]
        .map(with_lines),
    );
    server.refuses_all(400, ["GET /ok HTTP/1.1\r\n Host: test\r\n\r\n"]);
}

#[test]
fn a_bare_cr_or_lf_or_a_control_character_in_a_value_is_400() {
    let server = Server::new("");
    let controls = (0..0x20).chain([0x7f]).map(char::from).filter(|&control| control != '\t');
    for control in controls {
        server.refuses(400, with_lines(&format!("X-Own: 1{control}2")));
        server.refuses(400, with_lines(&format!("X-Own: 1{control}")));
    }
    server.refuses_all(400, ["X-Own: 1\r\r", "X-Own: 1\n", "X-Own: 1\nX: 2"].map(with_lines));
    server.refuses_all(
        400,
        ["GET /ok HTTP/1.1\r\nHost: test\r\n\n", "GET /ok HTTP/1.1\nHost: test\n\n"],
    );
}

#[test]
fn blanks_around_a_value_are_not_part_of_it() {
    let server = Server::new("");
    for line in ["X-Own:a \t b", "X-Own: \t a \t b \t ", "x-oWN:a \t b"] {
        assert_eq!(environ(&server, line)["HTTP_X_OWN"], "a \t b", "{line:?}");
    }
    assert_eq!(environ(&server, "X-Own:")["HTTP_X_OWN"], "");
    assert_eq!(environ(&server, "X-Own: \t ")["HTTP_X_OWN"], "");
}

#[test]
fn every_character_of_a_token_can_be_in_a_name() {
    let server = Server::new("");
    let got = environ(&server, "x!#$%&'*+.^`|~9-z: 1");
    assert_eq!(got["HTTP_X!#$%&'*+.^`|~9_Z"], "1");
}

#[test]
fn a_name_that_could_be_taken_for_another_is_dropped() {
    let server = Server::new("");
    let got = environ(
        &server,
        "X_Real_Ip: evil\r\nX-Real_Ip: evil\r\nContent_Length: 7\r\nHost_: evil\r\nProxy: evil\r\n\
        PROXY: evil\r\nX-Real-Ip: good\r\nProxy-Authorization: good",
    );
    assert!(!got.to_string().contains("evil"), "{got}");
    assert!(
        got.get("CONTENT_LENGTH").is_none() && got.get("HTTP_CONTENT_LENGTH").is_none(),
        "{got}"
    );
    assert_eq!(
        (&got["HTTP_X_REAL_IP"], &got["HTTP_PROXY_AUTHORIZATION"]),
        (&"good".into(), &"good".into())
    );
}

#[test]
fn fields_of_proxies_are_believed_and_passed_on_only_from_those_that_are_trusted() {
    let lines =
        "X-Forwarded-For: 192.0.2.7\r\nX-Forwarded-Proto: https\r\nForwarded: for=192.0.2.8";
    let keys = ["HTTP_X_FORWARDED_FOR", "HTTP_X_FORWARDED_PROTO", "HTTP_FORWARDED"];
    for (options, kept, client, scheme) in [
        // Nobody said who is trusted: this machine's own may speak, and is not believed.
        ("", &keys[..], "127.0.0.1", "http"),
        ("trusted-proxies=192.0.2.1", &[], "127.0.0.1", "http"),
        // Those that the proxy does not set are the client's.
        ("trusted-proxies=127.0.0.1", &keys[..2], "192.0.2.7", "https"),
    ] {
        let got = environ(&Server::new(options), lines);
        let found: Vec<_> = keys.into_iter().filter(|key| got.get(*key).is_some()).collect();
        assert_eq!(found, kept, "{options}");
        let origin = (&got["REMOTE_ADDR"], &got["wsgi.url_scheme"]);
        assert_eq!(origin, (&client.into(), &scheme.into()), "{options}");
    }
}

#[test]
fn repeated_fields_are_joined_in_their_order() {
    let server = Server::new("");
    let got = environ(&server, "X-Own: b\r\nCookie: c=1\r\nx-own: a, d\r\ncookie: b=2\r\nX-OWN:");
    assert_eq!(got["HTTP_X_OWN"], "b, a, d, ");
    assert_eq!(got["HTTP_COOKIE"], "c=1; b=2");
}

#[test]
fn a_head_has_at_most_as_many_fields_as_max_fields_says() {
    let server = Server::new("max-fields=20");
    let fields = |count: usize| vec!["X-Own: 1"; count].join("\r\n");
    // Host is one of them.
    server.serves(with_lines(&fields(19)));
    server.refuses_all(431, [with_lines(&fields(20)), with_lines(&fields(4000))]);
}

#[test]
fn a_head_has_at_most_as_many_bytes_as_buffer_size_says() {
    let server = Server::new("buffer-size=4096");
    let of_length = |length: usize| {
        let frame = with_lines("X-Own: ").len();
        with_lines(&format!("X-Own: {}", "x".repeat(length - frame)))
    };
    server.serves(of_length(4096));
    server.refuses_all(431, [of_length(4097), of_length(5000), of_length(200_000)]);
}
