//! Each rule, and that it makes no difference how the bytes are cut.

use std::ops::Range;

use http::StatusCode;

use super::refusal::*;
use super::*;

pub(super) const LIMITS: Limits = Limits { head: 4096, fields: 32 };

/// What became of a connection.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Outcome {
    /// What hyper gets to see.
    pub(super) passed: Vec<u8>,
    /// Where messages ended, in bytes that came.
    pub(super) ends: Vec<usize>,
    /// Where heads are in what passed. Like `ends`, this is complete if the bytes come one by one.
    pub(super) heads: Vec<Range<usize>>,
    pub(super) skipped: usize,
    pub(super) held: usize,
    pub(super) position: Position,
    pub(super) refusal: Option<Refusal>,
}

/// Sends a connection's bytes in pieces, as the caller of a guard does.
pub(super) fn send<'a>(limits: Limits, pieces: impl IntoIterator<Item = &'a [u8]>) -> Outcome {
    let mut guard = Guard::new(limits);
    let mut outcome = Outcome {
        passed: Vec::new(),
        ends: Vec::new(),
        heads: Vec::new(),
        skipped: 0,
        held: 0,
        position: Position::Between,
        refusal: None,
    };
    let mut buffer = Vec::new();
    for piece in pieces {
        buffer.extend_from_slice(piece);
        loop {
            let before = guard.position();
            match guard.inspect(&mut buffer, &mut Notes::default()) {
                Verdict::Pass(count) => {
                    assert!(count > 0 && count <= buffer.len());
                    if before != Position::Body {
                        outcome.heads.push(outcome.passed.len()..outcome.passed.len() + count);
                    }
                    outcome.passed.extend(buffer.drain(..count));
                    if guard.position() == Position::Between {
                        outcome.ends.push(outcome.passed.len() + outcome.skipped);
                    }
                }
                Verdict::Skip(count) => {
                    assert!(count > 0 && count <= buffer.len());
                    outcome.skipped += buffer.drain(..count).len();
                }
                Verdict::More => break,
                Verdict::Refuse(refusal) => {
                    assert!(outcome.refusal.is_none_or(|before| before == refusal));
                    outcome.refusal = Some(refusal);
                    break;
                }
            }
        }
    }
    // What lies behind the byte that was refused depends on the cut.
    outcome.held = if outcome.refusal.is_none() { buffer.len() } else { 0 };
    outcome.position = guard.position();
    outcome
}

fn passes(message: &str) {
    let outcome = send(LIMITS, [message.as_bytes()]);
    assert_eq!(outcome.refusal, None, "{message:?}");
    assert_eq!(outcome.passed, message.as_bytes(), "{message:?}");
    assert_eq!(outcome.position, Position::Between, "{message:?}");
}

fn refuses(message: &str, refusal: &'static Refusal) {
    let outcome = send(LIMITS, [message.as_bytes()]);
    assert_eq!(outcome.refusal, Some(*refusal), "{message:?}");
}

fn get(fields: &str) -> String {
    format!("GET / HTTP/1.1\r\nHost: a\r\n{fields}\r\n\r\n")
}

fn post(body: &str) -> String {
    format!("POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n{body}")
}

#[test]
fn a_head_passes_in_one_piece_and_a_body_as_it_comes() {
    let mut guard = Guard::new(LIMITS);
    let head = b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 4\r\n\r\n";
    for end in 0..head.len() {
        assert_eq!(guard.inspect(&mut head[..end].to_vec(), &mut Notes::default()), Verdict::More);
        assert_eq!(guard.position() == Position::Between, end == 0);
    }
    assert_eq!(guard.inspect(&mut head.to_vec(), &mut Notes::default()), Verdict::Pass(head.len()));
    assert_eq!(guard.position(), Position::Body);
    assert_eq!(guard.inspect(&mut b"ab".to_vec(), &mut Notes::default()), Verdict::Pass(2));
    assert_eq!(guard.position(), Position::Body);
    assert_eq!(guard.inspect(&mut b"cdGET".to_vec(), &mut Notes::default()), Verdict::Pass(2));
    assert_eq!(guard.position(), Position::Between);
}

#[test]
fn a_message_that_is_complete_passes_at_once_and_alone() {
    let whole = "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 2\r\n\r\nab".to_owned();
    let several = [whole, post("1\r\na\r\n0\r\nX: y\r\n\r\n"), get("A: b")];
    let mut bytes = [several.concat().as_bytes(), b"GET /"].concat();
    let (mut guard, mut notes) = (Guard::new(LIMITS), Notes::default());
    for message in several {
        assert_eq!(guard.inspect(&mut bytes, &mut notes), Verdict::Pass(message.len()));
        bytes.drain(..message.len());
    }
    assert_eq!(guard.inspect(&mut bytes, &mut notes), Verdict::More);
}

#[test]
fn what_is_right_passes_before_what_is_wrong_is_refused() {
    let mut guard = Guard::new(LIMITS);
    let right = get("A: b");
    let mut bytes = [right.as_bytes(), b"\0"].concat();
    assert_eq!(guard.inspect(&mut bytes, &mut Notes::default()), Verdict::Pass(right.len()));
    for rest in [&b"\0"[..], b"", right.as_bytes()] {
        assert_eq!(
            guard.inspect(&mut rest.to_vec(), &mut Notes::default()),
            Verdict::Refuse(METHOD)
        );
    }
    assert_eq!(guard.position(), Position::Head);
}

#[test]
fn the_first_byte_that_makes_a_head_impossible_is_refused() {
    for (message, refusal) in [
        ("\x16", &METHOD),
        ("GET x", &TARGET_FORM),
        ("GET http:x", &TARGET_FORM),
        ("GET /#", &FRAGMENT),
        ("GET / h", &VERSION),
        ("GET / HTTP/2.0", &MAJOR_VERSION),
        ("GET / HTTP/1.1\r\n ", &FOLDING),
        ("GET / HTTP/1.1\r\nA ", &FIELD_SPACE),
        ("GET / HTTP/1.1\r\nA: b\0", &FIELD_VALUE),
        ("GET / HTTP/1.1\r\nHost: a\r\nHost:\r\n", &TWO_HOSTS),
    ] {
        refuses(message, refusal);
        let before = &message.as_bytes()[..message.len() - 1];
        assert_eq!(send(LIMITS, [before]).refusal, None, "{message:?}");
    }
}

#[test]
fn bytes_that_were_looked_at_are_not_looked_at_again() {
    let mut guard = Guard::new(LIMITS);
    let mut bytes = Vec::new();
    for piece in ["GE", "T", " /pa", "th?que", "ry HTTP/1.1\r\nHost: a\r\nNa", "me: val", "ue\r\n"]
    {
        bytes.extend_from_slice(piece.as_bytes());
        assert_eq!(guard.inspect(&mut bytes, &mut Notes::default()), Verdict::More);
    }
    bytes.fill(0);
    bytes.extend_from_slice(b"\r\n");
    assert_eq!(guard.inspect(&mut bytes, &mut Notes::default()), Verdict::Pass(bytes.len()));
}

#[test]
fn a_chunk_line_is_held_until_it_is_complete_and_looked_at_once() {
    let mut guard = Guard::new(LIMITS);
    let head = post("");
    assert_eq!(
        guard.inspect(&mut head.clone().into_bytes(), &mut Notes::default()),
        Verdict::Pass(head.len())
    );
    let mut line = Vec::new();
    for piece in ["1", ";na", "me=\"val", "ue\"\r"] {
        line.extend_from_slice(piece.as_bytes());
        assert_eq!(guard.inspect(&mut line, &mut Notes::default()), Verdict::More);
    }
    line.fill(0);
    line.push(b'\n');
    assert_eq!(guard.inspect(&mut line, &mut Notes::default()), Verdict::Pass(line.len()));
    assert_eq!(guard.inspect(&mut b"x".to_vec(), &mut Notes::default()), Verdict::Pass(1));
    assert_eq!(guard.inspect(&mut b"\r".to_vec(), &mut Notes::default()), Verdict::More);
    assert_eq!(guard.inspect(&mut b"\r\n0\r\n".to_vec(), &mut Notes::default()), Verdict::Pass(5));
    assert_eq!(guard.position(), Position::Body);
    assert_eq!(guard.inspect(&mut b"X: y\r\n".to_vec(), &mut Notes::default()), Verdict::More);
    assert_eq!(
        guard.inspect(&mut b"X: y\r\n\r\n".to_vec(), &mut Notes::default()),
        Verdict::Pass(8)
    );
    assert_eq!(guard.position(), Position::Between);
}

#[test]
fn lines_end_with_both_characters() {
    refuses("GET / HTTP/1.1\nHost: a\n\n", &BARE_LF);
    refuses("GET /\n", &BARE_LF);
    refuses("GET / HTTP/1.1\r\nHost: a\nA: b\r\n\r\n", &BARE_LF);
    refuses("GET / HTTP/1.1\r\nHost: a\r\n\n", &BARE_LF);
    refuses("GET / HTTP/1.1\r\nHost\n", &BARE_LF);
    refuses("GET / HTTP/1.1\rHost: a\r\r", &BARE_CR);
    refuses("GET / HTTP/1.1\r\nHost: a\rA: b\r\n\r\n", &BARE_CR);
    refuses("GET / HTTP/1.1\r\nHost: a\r\r\n\r\n", &BARE_CR);
    refuses("GET / HTTP/1.1\r\nHost: a\r\n\rA: b\r\n", &BARE_CR);
}

#[test]
fn a_few_empty_lines_before_a_request_are_dropped() {
    let request = get("A: b");
    for count in 1..=8 {
        let message = "\r\n".repeat(count) + &request + "\r\n" + &request;
        let outcome = send(LIMITS, [message.as_bytes()]);
        assert_eq!(outcome.refusal, None);
        assert_eq!(outcome.passed, request.repeat(2).as_bytes());
        assert_eq!(outcome.skipped, 2 * count + 2);
    }
    refuses(&"\r\n".repeat(9), &EMPTY_LINES);
    refuses("\n", &BARE_LF);
    refuses("\rG", &BARE_CR);
    assert_eq!(
        Guard::new(LIMITS).inspect(&mut b"\r\nGET".to_vec(), &mut Notes::default()),
        Verdict::Skip(2)
    );
    let mut guard = Guard::new(LIMITS);
    assert_eq!(guard.inspect(&mut b"\r".to_vec(), &mut Notes::default()), Verdict::More);
    assert_eq!(guard.position(), Position::Between);
}

#[test]
fn a_method_is_a_token_and_letters_have_a_case() {
    passes("M-SEARCH / HTTP/1.1\r\nHost: a\r\n\r\n");
    passes("get / HTTP/1.1\r\nHost: a\r\n\r\n");
    for line in [" GET /", "GE(T /", "GET\t/", "G\u{e9}T /", "GET\r\n", ":"] {
        refuses(line, &METHOD);
    }
}

#[test]
fn one_space_is_on_either_side_of_the_target() {
    refuses("GET  / HTTP/1.1\r\n", &TARGET_SPACE);
    refuses("GET /  HTTP/1.1\r\n", &TARGET_SPACE);
    refuses("GET /\tHTTP/1.1\r\n", &TARGET_CHARACTER);
    refuses("GET / HTTP/1.1 \r\n", &VERSION);
}

#[test]
fn a_request_line_has_a_version() {
    for target in ["/", "/?q", "http://a", "*", "http://a/"] {
        refuses(&format!("OPTIONS {target}\r\n"), &NO_VERSION);
    }
    refuses("CONNECT a:1\r\n", &NO_VERSION);
    refuses("GET / \r\n", &NO_VERSION);
}

#[test]
fn versions_other_than_1_are_505() {
    assert_eq!(MAJOR_VERSION.status, StatusCode::HTTP_VERSION_NOT_SUPPORTED);
    for version in ["2.0", "3.0", "0.9", "9.9"] {
        refuses(&format!("GET / HTTP/{version}\r\n"), &MAJOR_VERSION);
    }
    refuses("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", &MAJOR_VERSION);
    refuses("PRI * HTTP/1.1\r\n", &ASTERISK);
    refuses("PRI * HTTP/1.0\r\n", &ASTERISK);
}

#[test]
fn a_version_has_one_form() {
    for version in [
        "http/1.1",
        "HTTP/11",
        "HTTP/1",
        "HTTP/1.",
        "HTTP/1.10",
        "HTTP/x.1",
        "HTTP 1.1",
        "HTTPS/1.1",
        "X",
    ] {
        refuses(&format!("GET / {version}\r\n"), &VERSION);
    }
    refuses("GET / HTTP/1.1\n", &BARE_LF);
}

#[test]
fn later_minor_versions_are_1_1_to_hyper() {
    for minor in 2..=9 {
        let outcome = send(LIMITS, [format!("GET / HTTP/1.{minor}\r\nHost: a\r\n\r\n").as_bytes()]);
        assert_eq!(outcome.passed, b"GET / HTTP/1.1\r\nHost: a\r\n\r\n");
        refuses(&format!("GET / HTTP/1.{minor}\r\n\r\n"), &NO_HOST);
    }
    passes("GET / HTTP/1.0\r\n\r\n");
}

#[test]
fn a_target_is_a_path_or_an_http_uri() {
    for target in [
        "/",
        "//",
        "/a/b;c=d?e=f&g[]=%20",
        "/%zz",
        "/a{b}|c\"",
        "/?a{b}`^\\?/",
        "/:@!$&'()*+,;=~-._",
        "http://a",
        "HTTP://a/",
        "https://a.test:8000/b?c",
        "http://a?b",
        "http://[::1]:80/",
    ] {
        passes(&format!("GET {target} HTTP/1.1\r\nHost: a\r\n\r\n"));
    }
    for target in ["a", "?a", "ftp://a/", "http:/a", "http//a", "https:a", "hello", "a:80", "://"] {
        refuses(&format!("GET {target} HTTP/1.1\r\n"), &TARGET_FORM);
    }
}

#[test]
fn a_target_has_legal_characters_only() {
    for character in ["<", ">", "\u{e9}", "\0", "\x7f", "\t", "\x0b"] {
        for target in ["/", "/a?b", "http://a", "http://a/b"] {
            refuses(&format!("GET {target}{character} HTTP/1.1\r\n"), &TARGET_CHARACTER);
        }
    }
    for target in ["/#", "/a?b#c", "http://a#b", "http://a/b#c", "#"] {
        refuses(&format!("GET {target} HTTP/1.1\r\n"), &FRAGMENT);
    }
}

#[test]
fn the_host_of_an_absolute_target_is_checked() {
    for (target, refusal) in [
        ("http://", &HOST_EMPTY),
        ("http:///a", &HOST_EMPTY),
        ("http://:80/", &HOST_EMPTY),
        ("https://u@a/", &USERINFO),
        ("http://u:p@a", &USERINFO),
        ("http://a:b/", &PORT),
        ("http://[::1/", &HOST_SYNTAX),
        ("http://a%41/", &HOST_ESCAPE),
    ] {
        refuses(&format!("GET {target} HTTP/1.1\r\n"), refusal);
    }
}

#[test]
fn an_asterisk_is_for_options_only() {
    passes("OPTIONS * HTTP/1.1\r\nHost: a\r\n\r\n");
    refuses("GET * HTTP/1.1\r\n", &ASTERISK);
    refuses("OPTIONS *a HTTP/1.1\r\n", &TARGET_CHARACTER);
}

#[test]
fn connect_takes_a_host_and_a_port_and_nothing_else() {
    passes("CONNECT a.test:443 HTTP/1.1\r\nHost: a.test:443\r\n\r\n");
    passes("CONNECT [::1]:443 HTTP/1.1\r\nHost: a\r\n\r\n");
    for target in ["/", "http://a/", "a:1?", "*"] {
        refuses(&format!("CONNECT {target} HTTP/1.1\r\n"), &CONNECT_TARGET);
    }
    refuses("CONNECT a HTTP/1.1\r\n", &CONNECT_TARGET);
}

#[test]
fn a_request_line_is_414_when_it_is_longer_than_a_head() {
    assert_eq!(LINE_LENGTH.status, StatusCode::URI_TOO_LONG);
    let line = format!("GET /{}", "a".repeat(LIMITS.head - 5));
    assert_eq!(send(LIMITS, [line.as_bytes()]).refusal, None);
    refuses(&(line + "a"), &LINE_LENGTH);
    refuses(&"A".repeat(LIMITS.head + 1), &LINE_LENGTH);
}

#[test]
fn a_target_is_414_when_it_is_longer_than_a_uri_can_be() {
    let limits = Limits { head: 1 << 20, fields: 32 };
    let request = |length: usize| {
        format!("GET /{} HTTP/1.1\r\nHost: a\r\n\r\n", "a".repeat(length - 1)).into_bytes()
    };
    assert_eq!(send(limits, [&request(65_534)[..]]).passed.len(), request(65_534).len());
    assert_eq!(send(limits, [&request(65_535)[..]]).refusal, Some(TARGET_LENGTH));
    assert_eq!(TARGET_LENGTH.status, StatusCode::URI_TOO_LONG);
}

#[test]
fn a_head_is_431_as_soon_as_it_is_too_long() {
    assert_eq!(HEAD_LENGTH.status, StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE);
    let padding = LIMITS.head - get("A: ").len();
    let longest = get(&format!("A: {}", "a".repeat(padding)));
    passes(&longest);
    passes(&longest.repeat(2));
    refuses(&get(&format!("A: {}", "a".repeat(padding + 1))), &HEAD_LENGTH);
    let open = &longest[..longest.len() - 4];
    assert_eq!(send(LIMITS, [format!("{open}aaaa").as_bytes()]).refusal, None);
    refuses(&format!("{open}aaaaa"), &HEAD_LENGTH);
}

#[test]
fn too_many_fields_are_431() {
    assert_eq!(FIELD_COUNT.status, StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE);
    passes(&get("A: b\r\n".repeat(LIMITS.fields - 1).trim_end()));
    refuses(&get("A: b\r\n".repeat(LIMITS.fields).trim_end()), &FIELD_COUNT);
}

#[test]
fn there_is_never_more_than_hyper_has_room_for() {
    let most = http::HeaderMap::<http::HeaderValue>::try_with_capacity(FIELDS_LIMIT);
    assert!(most.is_ok());
    let limits = Limits { head: 1 << 20, fields: usize::MAX };
    let message = get("A: b\r\n".repeat(FIELDS_LIMIT).trim_end());
    assert_eq!(send(limits, [message.as_bytes()]).refusal, Some(FIELD_COUNT));
    let message = get(&("a".repeat(65_536) + ": b"));
    assert_eq!(send(limits, [message.as_bytes()]).refusal, Some(NAME_LENGTH));
    let message = get(&("a".repeat(65_535) + ": b"));
    assert_eq!(send(limits, [message.as_bytes()]).refusal, None);
}

#[test]
fn a_field_is_a_name_a_colon_and_a_value() {
    for field in ["A:", "A:b", "A:\t b \t", "A: b\tc", "x!#$%&'*+-.^_`|~9: (\"\\{", "A: :"] {
        passes(&get(field));
    }
    passes(&get("A: caf\u{e9}"));
    for name in ["Hos", "Most", "Content-Lengts", "Transfer-Encodinx"] {
        passes(&get(&format!("{name}: u@a")));
    }
    refuses(&get(": b"), &FIELD_LINE);
    refuses(&get("A"), &FIELD_LINE);
    for field in ["A(: b", "\u{e9}: b", "A\0: b", "A\x7f: b", "\"A\": b"] {
        refuses(&get(field), &FIELD_NAME);
    }
}

#[test]
fn no_blank_is_before_the_colon() {
    refuses(&get("A : b"), &FIELD_SPACE);
    refuses(&get("A\t: b"), &FIELD_SPACE);
    refuses(&get("A b"), &FIELD_SPACE);
}

#[test]
fn folded_lines_are_refused() {
    refuses(&get("A: b\r\n c"), &FOLDING);
    refuses(&get("A: b\r\n\tc"), &FOLDING);
    refuses("GET / HTTP/1.1\r\n Host: a\r\n\r\n", &FOLDING);
}

#[test]
fn a_value_has_no_control_character_but_the_tab() {
    for byte in (0..0x20).chain([0x7f]).filter(|byte| !b"\t\r\n".contains(byte)) {
        refuses(&get(&format!("A: b{}c", char::from(byte))), &FIELD_VALUE);
        refuses(&get(&format!("A: {}{}", "b".repeat(30), char::from(byte))), &FIELD_VALUE);
    }
    let obs_text = [b"GET / HTTP/1.1\r\nHost: a\r\nA: \x80\xff\r\n\r\n"];
    assert_eq!(send(LIMITS, obs_text.map(|bytes| &bytes[..])).refusal, None);
}

#[test]
fn a_host_is_there_once() {
    refuses("GET / HTTP/1.1\r\n\r\n", &NO_HOST);
    refuses("GET http://a/ HTTP/1.1\r\n\r\n", &NO_HOST);
    refuses(&get("host: a"), &TWO_HOSTS);
    passes("GET / HTTP/1.0\r\n\r\n");
    refuses("GET / HTTP/1.0\r\nHost: a\r\nHOST: a\r\n\r\n", &TWO_HOSTS);
}

#[test]
fn a_host_is_a_name_or_an_address() {
    for host in ["", "  ", "a", " a:80 ", "[::1]:80"] {
        passes(&format!("GET / HTTP/1.1\r\nHost:{host}\r\n\r\n"));
    }
    for (host, refusal) in [
        ("a b", &HOST_SYNTAX),
        ("a/", &HOST_SYNTAX),
        ("[a]", &HOST_SYNTAX),
        ("u@a", &USERINFO),
        ("a:x", &PORT),
    ] {
        for version in ["1.0", "1.1"] {
            refuses(&format!("GET / HTTP/{version}\r\nHost: {host}\r\n\r\n"), refusal);
        }
    }
}

#[test]
fn a_length_is_a_decimal_number() {
    passes(&(get("Content-Length: 3") + "abc"));
    passes(&(get("content-length:\t003 ") + "abc"));
    passes(&get("Content-Length: 0"));
    for length in [
        "",
        "-1",
        "+1",
        "0x1",
        "1_0",
        "1,1",
        "1, 1",
        "1 1",
        "1.0",
        "a",
        "\u{b2}",
        "18446744073709551616",
    ] {
        refuses(&get(&format!("Content-Length: {length}")), &LENGTH);
    }
}

#[test]
fn a_length_is_one_that_hyper_can_count() {
    assert_eq!(
        send(LIMITS, [get("Content-Length: 18446744073709551613").as_bytes()]).position,
        Position::Body
    );
    refuses(&get("Content-Length: 18446744073709551614"), &LENGTH);
}

#[test]
fn a_second_length_is_refused_even_if_it_is_equal() {
    refuses(&get("Content-Length: 1\r\nContent-Length: 1"), &TWO_LENGTHS);
    refuses(&get("Content-Length: 1\r\nA: b\r\ncontent-length: 2"), &TWO_LENGTHS);
}

#[test]
fn a_length_and_a_coding_exclude_each_other() {
    refuses(&get("Content-Length: 1\r\nTransfer-Encoding: chunked"), &LENGTH_AND_CODING);
    refuses(&get("Transfer-Encoding: chunked\r\nContent-Length: 1"), &LENGTH_AND_CODING);
}

#[test]
fn http_1_0_has_no_coding() {
    refuses("POST / HTTP/1.0\r\nTransfer-Encoding: chunked\r\n\r\n", &CODING_IN_1_0);
}

#[test]
fn chunked_is_served_in_any_case_of_letters() {
    for coding in ["chunked", "Chunked", "CHUNKED", "\tchunked "] {
        passes(&(get(&format!("Transfer-Encoding: {coding}")) + "0\r\n\r\n"));
    }
}

#[test]
fn the_last_coding_is_chunked() {
    for coding in
        ["gzip", "identity", "chunked, gzip", "xchunked", "chunked\r\nTransfer-Encoding: gzip"]
    {
        refuses(&get(&format!("Transfer-Encoding: {coding}")), &CHUNKED_LAST);
    }
}

#[test]
fn chunked_is_there_once() {
    refuses(&get("Transfer-Encoding: chunked, chunked"), &CHUNKED_TWICE);
    refuses(&get("Transfer-Encoding: chunked, gzip, chunked"), &CHUNKED_TWICE);
    refuses(&get("Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked"), &CHUNKED_TWICE);
}

#[test]
fn codings_other_than_chunked_are_501() {
    assert_eq!(CODING.status, StatusCode::NOT_IMPLEMENTED);
    for coding in
        ["gzip, chunked", "gzip\r\nTransfer-Encoding: chunked", "a;b=c,chunked", "identity,chunked"]
    {
        refuses(&get(&format!("Transfer-Encoding: {coding}")), &CODING);
    }
}

#[test]
fn a_coding_is_a_token_in_a_list_without_gaps() {
    for coding in [
        "",
        " ",
        ",",
        "chunked,",
        ",chunked",
        "chunked chunked",
        "chunked;a=b",
        "\"chunked\"",
        "chunk\u{e9}d",
    ] {
        refuses(&get(&format!("Transfer-Encoding: {coding}")), &CODING_SYNTAX);
    }
    for byte in ["\x0b", "\x0c", "\0"] {
        refuses(&get(&format!("Transfer-Encoding: {byte}chunked")), &FIELD_VALUE);
    }
}

#[test]
fn a_message_that_says_nothing_of_a_body_has_none() {
    passes(&"POST / HTTP/1.1\r\nHost: a\r\n\r\n".repeat(2));
    refuses("POST / HTTP/1.1\r\nHost: a\r\n\r\n{}", &METHOD);
}

#[test]
fn chunks_have_hexadecimal_sizes() {
    for body in [
        "1\r\na\r\n0\r\n\r\n",
        "0000000A\r\n0123456789\r\n00\r\n\r\n",
        "a\r\n0123456789\r\n0\r\n\r\n",
    ] {
        passes(&post(body));
    }
    passes(&post(&format!("10\r\n{0:16}\r\n1fA\r\n{0:506}\r\n0\r\n\r\n", "")));
    let largest = send(LIMITS, [post("ffffffffffffffff\r\na").as_bytes()]);
    assert_eq!((largest.refusal, largest.position), (None, Position::Body));
    for size in [
        "\r\n",
        ";a\r\n",
        "-1",
        "+1",
        " 1",
        "0x1",
        "1_0",
        "g",
        "1g",
        "11111111111111111",
        "1,",
        "\0",
    ] {
        refuses(&post(size), &CHUNK_SIZE);
    }
}

#[test]
fn chunk_extensions_are_legal_if_they_are_extensions() {
    for extension in [
        ";a",
        ";a=b",
        ";a=\"b\"",
        " ; a = b",
        "\t;\ta\t=\t\"b c\\\"\t\\\\\";d",
        ";a;b=c;d",
        ";a=\"\"",
        ";a=\"\u{e9}\"",
    ] {
        passes(&post(&format!("1{extension}\r\na\r\n0{extension}\r\n\r\n")));
    }
    for extension in [
        ";",
        ";;a",
        ";=b",
        ";a=",
        ";a=b=c",
        ";a b",
        ";a=b c",
        " ",
        ";a ",
        ";a=\"b",
        ";a=\"b\"c",
        ";a=b ",
        ";a(",
        ";a=\"\0\"",
        ";a=\"\\\x01\"",
        ";\u{e9}",
        " a",
        ";a=\"b\" ",
    ] {
        refuses(&post(&format!("1{extension}\r\n")), &CHUNK_EXTENSION);
    }
}

#[test]
fn chunk_extensions_are_bounded() {
    let longest = format!("0;{}\r\n\r\n", "a".repeat(1024 - 4 + 1));
    passes(&post(&longest));
    refuses(&post(&format!("0;{}", "a".repeat(1024))), &CHUNK_EXTENSIONS);
    let chunk = format!("1;{}\r\na\r\n", "a".repeat(99));
    passes(&post(&(chunk.repeat(160) + "0\r\n\r\n")));
    refuses(&post(&(chunk.repeat(161) + "0\r\n\r\n")), &CHUNK_EXTENSIONS);
    refuses(&post(&(chunk.repeat(1_000))), &CHUNK_EXTENSIONS);
}

#[test]
fn chunk_lines_and_data_end_with_both_characters() {
    refuses(&post("1\na\r\n0\r\n\r\n"), &BARE_LF);
    refuses(&post("1;a\n"), &BARE_LF);
    refuses(&post("1\ra"), &BARE_CR);
    refuses(&post("1\r\nab"), &CHUNK_END);
    refuses(&post("1\r\na\n"), &CHUNK_END);
    refuses(&post("1\r\na\rb"), &CHUNK_END);
    refuses(&post("1\r\na0\r\n\r\n"), &CHUNK_END);
}

#[test]
fn trailers_are_fields() {
    passes(&post("0\r\nA: b\r\nC:\r\n\r\n"));
    refuses(&post("0\r\nA : b\r\n\r\n"), &FIELD_SPACE);
    refuses(&post("0\r\nA: b\r\n c\r\n\r\n"), &FOLDING);
    refuses(&post("0\r\nA: \0\r\n\r\n"), &FIELD_VALUE);
    refuses(&post("0\r\nA: b\n"), &BARE_LF);
    refuses(&post("0\r\nGET / HTTP/1.1\r\n"), &FIELD_SPACE);
}

#[test]
fn trailers_say_nothing_of_where_a_message_ends_or_goes() {
    for field in ["Content-Length: 1", "transfer-encoding: chunked", "HOST: a"] {
        refuses(&post(&format!("0\r\n{field}\r\n\r\n")), &TRAILER);
    }
}

#[test]
fn trailers_are_bounded() {
    passes(&post(&("0\r\n".to_owned() + &"A: b\r\n".repeat(LIMITS.fields) + "\r\n")));
    refuses(&post(&("0\r\n".to_owned() + &"A: b\r\n".repeat(LIMITS.fields + 1))), &FIELD_COUNT);
    let trailer = |length| format!("0\r\nA:{}\r\n\r\n", "a".repeat(length - 6));
    passes(&post(&trailer(LIMITS.head)));
    let open = post(&format!("0\r\nA:{}", "a".repeat(LIMITS.head - 2)));
    assert_eq!(send(LIMITS, [open.as_bytes()]).refusal, None);
    refuses(&(open + "a"), &TRAILER_LENGTH);
    refuses(&post(&trailer(LIMITS.head + 1)), &TRAILER_LENGTH);
    let large = Limits { head: 1 << 20, fields: 32 };
    assert_eq!(send(large, [post(&trailer(16_383)).as_bytes()]).refusal, None);
    assert_eq!(send(large, [post(&trailer(16_384)).as_bytes()]).refusal, Some(TRAILER_LENGTH));
}

#[test]
fn every_rule_names_its_section_and_is_one_line_of_a_log() {
    for refusal in ALL {
        assert!(refusal.to_string().contains(" (RFC "), "{refusal}");
        assert!(!refusal.to_string().contains(char::is_control), "{refusal}");
        assert!(refusal.status.is_client_error() || refusal.status.is_server_error());
    }
}
