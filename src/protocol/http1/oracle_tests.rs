//! The guard against others that read the same bytes: httparse and `http::Uri`, which hyper reads
//! them with, and an oracle that is slow, simple, and shares no code with the guard.

use proptest::prelude::*;
use proptest::sample::{Index, select};
use proptest::strategy::ValueTree;
use proptest::test_runner::TestRunner;

use super::guard_tests::{LIMITS, Outcome, send};
use super::{Position, Refusal};

/// Connections, good and bad.
const SAMPLES: &[&str] = &[
    "GET / HTTP/1.1\r\nHost: localhost\r\n\r\n",
    "GET /a?b HTTP/1.0\r\n\r\n\r\nGET / HTTP/1.7\r\nHost:\r\n\r\n",
    "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\nhelloGET / HTTP/1.1\r\nHost: [::1]:80\r\n\r\n",
    "PUT http://a.test:80/b?c HTTP/1.1\r\nHost: a.test\r\nTransfer-Encoding: Chunked\r\n\r\n3;a=\"b\\\"\"\r\nabc\r\n\
     0\r\nX: y\r\n\r\nOPTIONS * HTTP/1.1\r\nHost: a\r\n\r\n",
    "CONNECT a.test:443 HTTP/1.1\r\nHost: a.test:443\r\nA: b\r\n\r\n\x16\x03\x01",
    "\r\n\r\n\r\nHEAD / HTTP/1.1\r\nHost: a\r\nAccept: text/html;q=0.9\r\nCookie: a=b\t; c\r\n\r\nG",
    "\r\n\r\n\r\n\r\n\r\n\r\n\r\n\r\n\r\nGET /",
    "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
    "\x16\x03\x01\x02",
    "GET / HTTP/1.1\nHost: a\n\n",
    "GET https://u@a HTTP/1.1\r\n\r\n",
    "GET  / HTTP/1.1\r\n\r\n",
    "GET /\r\n",
    "GET /# HTTP/1.1\r\n\r\n",
    "GET / HTTP/1.1\r\nHost: a\r\nHost: a\r\n\r\n",
    "GET / HTTP/1.1\r\nHost : a\r\n\r\n",
    "GET / HTTP/1.1\r\nHost: a\r\nA: b\r\n c\r\n\r\n",
    "GET / HTTP/1.1\r\nA: b\0\r\n\r\n",
    "GET / HTTP/1.1\r\nA: b\rc\r\n\r\n",
    "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\nContent-Length: 1\r\n\r\na",
    "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
    "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n",
    "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n1\r\nab\r\n0\r\n\r\n",
    "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n1 \r\na\r\n0\r\n\r\n",
    "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n0\r\nContent-Length: 1\r\n\r\n",
];

/// What the oracle makes of a connection: where messages end, and what is behind the last one.
#[derive(Debug, PartialEq, Eq)]
struct Reading {
    ends: Vec<usize>,
    rest: Rest,
}

#[derive(Debug, PartialEq, Eq)]
enum Rest {
    Nothing,
    Incomplete,
    Wrong,
}

fn read(bytes: &[u8]) -> Reading {
    let text: String = bytes.iter().copied().map(char::from).collect();
    let mut reading = Reading { ends: Vec::new(), rest: Rest::Nothing };
    let mut at = 0;
    let mut empty_lines = 0;
    loop {
        // Every character is one byte of the connection, and one or two of the string.
        let text: String = text.chars().skip(at).collect();
        if text.is_empty() {
            return reading;
        }
        if text.starts_with("\r\n") && empty_lines < 8 {
            empty_lines += 1;
            at += 2;
            continue;
        }
        empty_lines = 0;
        match message(&text) {
            Ok(length) => at += length,
            Err(rest) => return Reading { rest, ..reading },
        }
        reading.ends.push(at);
    }
}

fn message(text: &str) -> Result<usize, Rest> {
    let (head, rest) = text.split_once("\r\n\r\n").ok_or(Rest::Incomplete)?;
    let length = head.chars().count() + 4;
    let mut lines = head.split("\r\n");
    let is_1_1 = request_line(lines.next().unwrap_or_default()).ok_or(Rest::Wrong)?;
    let fields = lines.map(field).collect::<Option<Vec<_>>>().ok_or(Rest::Wrong)?;
    let all = |name: &str| -> Vec<&str> {
        fields.iter().filter(|(n, _)| n.eq_ignore_ascii_case(name)).map(|(_, v)| *v).collect()
    };
    match &all("Host")[..] {
        [host] if host.is_empty() || is_authority(host, true) => {}
        [] if !is_1_1 => {}
        _ => return Err(Rest::Wrong),
    }
    match (&all("Content-Length")[..], &all("Transfer-Encoding")[..]) {
        ([], []) => Ok(length),
        ([digits], []) if is_all(digits, |c| c.is_ascii_digit()) => {
            let body = digits.parse::<u64>().map_err(|_| Rest::Wrong)?;
            if body > rest.chars().count() as u64 {
                return Err(Rest::Incomplete);
            }
            Ok(length + body as usize)
        }
        ([], [coding]) if is_1_1 && coding.eq_ignore_ascii_case("chunked") => {
            Ok(length + chunks(rest)?)
        }
        _ => Err(Rest::Wrong),
    }
}

fn request_line(line: &str) -> Option<bool> {
    let parts: Vec<&str> = line.split(' ').collect();
    let [method, target, version] = parts[..] else { return None };
    let minor = version.strip_prefix("HTTP/1.")?;
    if !is_token(method) || minor.len() != 1 || !is_all(minor, |c| c.is_ascii_digit()) {
        return None;
    }
    let lower = target.to_ascii_lowercase();
    let absolute = lower.strip_prefix("http://").or(lower.strip_prefix("https://"));
    let is_right = if method == "CONNECT" {
        let port = target.rsplit(':').next().and_then(|port| port.parse::<u16>().ok());
        is_authority(target, false) && port.is_some_and(|port| port > 0) && target.contains(':')
    } else if let Some(rest) = absolute {
        is_authority(rest.split(['/', '?']).next().unwrap_or_default(), false)
    } else {
        target.starts_with('/') || target == "*" && method == "OPTIONS"
    };
    let is_uri = target.is_ascii() && !target.contains('#') && target.parse::<http::Uri>().is_ok();
    (is_right && is_uri).then_some(minor != "0")
}

fn field(line: &str) -> Option<(&str, &str)> {
    let (name, value) = line.split_once(':')?;
    let is_right = is_token(name) && value.chars().all(|c| c == '\t' || !c.is_ascii_control());
    is_right.then_some((name, value.trim_matches([' ', '\t'])))
}

fn is_authority(text: &str, escapes: bool) -> bool {
    let (host, port) = match text.rsplit_once(':') {
        Some((host, port)) if port.chars().all(|c| c.is_ascii_digit()) => (host, port),
        _ => (text, ""),
    };
    let address = host.strip_prefix('[').and_then(|host| host.strip_suffix(']'));
    let is_host = match address {
        Some(address) => address.parse::<std::net::Ipv6Addr>().is_ok(),
        None => !host.is_empty() && is_name(host, escapes),
    };
    is_host && port.chars().all(|c| c.is_ascii_digit())
}

fn is_name(host: &str, escapes: bool) -> bool {
    let mut pieces = host.split('%');
    let first = pieces.next().unwrap_or_default();
    let is_plain = |text: &str| {
        text.chars().all(|c| c.is_ascii_alphanumeric() || "-._~!$&'()*+,;=".contains(c))
    };
    is_plain(first)
        && pieces.all(|piece| {
            let is_escape =
                piece.len() >= 2 && piece.chars().take(2).all(|c| c.is_ascii_hexdigit());
            escapes && is_escape && is_plain(piece)
        })
}

fn chunks(text: &str) -> Result<usize, Rest> {
    let (line, rest) = text.split_once("\r\n").ok_or(Rest::Incomplete)?;
    let digits: String = line.chars().take_while(char::is_ascii_hexdigit).collect();
    if digits.is_empty() || digits.len() > 16 || !is_extensions(&line[digits.len()..]) {
        return Err(Rest::Wrong);
    }
    let size = usize::from_str_radix(&digits, 16).map_err(|_| Rest::Wrong)?;
    let length = line.chars().count() + 2;
    if size == 0 {
        return Ok(length + trailers(rest)?);
    }
    let rest: Vec<char> = rest.chars().collect();
    if rest.len() < size.saturating_add(2) {
        return Err(Rest::Incomplete);
    }
    if rest[size..size + 2] != ['\r', '\n'] {
        return Err(Rest::Wrong);
    }
    let next: String = rest[size + 2..].iter().collect();
    Ok(length + size + 2 + chunks(&next)?)
}

fn trailers(text: &str) -> Result<usize, Rest> {
    let (line, rest) = text.split_once("\r\n").ok_or(Rest::Incomplete)?;
    if line.is_empty() {
        return Ok(2);
    }
    let (name, _) = field(line).ok_or(Rest::Wrong)?;
    if ["host", "content-length", "transfer-encoding"].contains(&&*name.to_ascii_lowercase()) {
        return Err(Rest::Wrong);
    }
    Ok(line.chars().count() + 2 + trailers(rest)?)
}

/// Cuts off one extension after the other.
fn is_extensions(text: &str) -> bool {
    let blanks = [' ', '\t'];
    if text.is_empty() {
        return true;
    }
    let Some(text) = text.trim_start_matches(blanks).strip_prefix(';') else { return false };
    let text = text.trim_start_matches(blanks);
    let name: String = text.chars().take_while(|c| is_token(&c.to_string())).collect();
    let rest = &text[name.len()..];
    if name.is_empty() {
        return false;
    }
    let Some(value) = rest.trim_start_matches(blanks).strip_prefix('=') else {
        return is_extensions(rest);
    };
    let value = value.trim_start_matches(blanks);
    let Some(quoted) = value.strip_prefix('"') else {
        let token: String = value.chars().take_while(|c| is_token(&c.to_string())).collect();
        return !token.is_empty() && is_extensions(&value[token.len()..]);
    };
    let mut characters = quoted.char_indices();
    while let Some((place, character)) = characters.next() {
        let character = match character {
            '"' => return is_extensions(&quoted[place + 1..]),
            '\\' => characters.next().map_or('\0', |(_, escaped)| escaped),
            other => other,
        };
        if character.is_ascii_control() && character != '\t' {
            return false;
        }
    }
    false
}

fn is_token(text: &str) -> bool {
    is_all(text, |c| c.is_ascii_alphanumeric() || "!#$%&'*+-.^_`|~".contains(c))
}

fn is_all(text: &str, class: impl Fn(char) -> bool) -> bool {
    !text.is_empty() && text.chars().all(class)
}

/// hyper's parsers take each head that has passed, at its full length.
fn assert_hyper_takes(bytes: &[u8]) {
    let outcome = send(LIMITS, bytes.chunks(1));
    for head in outcome.heads {
        let head = &outcome.passed[head];
        let mut fields = [httparse::EMPTY_HEADER; LIMITS.fields];
        let mut request = httparse::Request::new(&mut fields);
        let length = request.parse(head);
        assert_eq!(length, Ok(httparse::Status::Complete(head.len())), "{}", head.escape_ascii());
        assert!(http::Uri::try_from(request.path.unwrap()).is_ok(), "{}", head.escape_ascii());
        assert!(http::Method::from_bytes(request.method.unwrap().as_bytes()).is_ok());
    }
}

/// Cut at any place, the bytes have the fate that they have in one piece.
fn assert_same_when_cut(bytes: &[u8], places: &[Index]) {
    let whole = send(LIMITS, [bytes]);
    let mut places: Vec<usize> = places.iter().map(|place| place.index(bytes.len() + 1)).collect();
    places.sort_unstable();
    places.push(bytes.len());
    let mut start = 0;
    let pieces = places.into_iter().map(|end| &bytes[std::mem::replace(&mut start, end)..end]);
    assert_eq!(fate(&send(LIMITS, pieces)), fate(&whole), "{}", bytes.escape_ascii());
    assert_eq!(fate(&send(LIMITS, bytes.chunks(1))), fate(&whole), "{}", bytes.escape_ascii());
}

/// What must not depend on the cut.
fn fate(outcome: &Outcome) -> (&[u8], usize, usize, Position, Option<Refusal>) {
    let Outcome { passed, skipped, held, position, refusal, .. } = outcome;
    (passed, *skipped, *held, *position, *refusal)
}

fn assert_agreement(bytes: &[u8]) {
    let outcome = send(LIMITS, bytes.chunks(1));
    let reading = read(bytes);
    assert_eq!(outcome.ends, reading.ends, "{}", bytes.escape_ascii());
    match reading.rest {
        Rest::Nothing => assert_eq!(outcome.refusal, None),
        Rest::Wrong => assert!(outcome.refusal.is_some(), "{}", bytes.escape_ascii()),
        Rest::Incomplete => {}
    }
}

fn target() -> impl Strategy<Value = String> {
    let fixed = select(vec![
        "/",
        "*",
        "/a?b",
        "/%zz",
        "//",
        "http://a",
        "https://a:80/b?c",
        "http://u@a",
        "http://[::1]:1?q",
        "http://",
        "a.test:443",
        "[::1]:1",
        "a:0",
        "/a#b",
        "/a b",
        "http:/",
        "http://a%41",
        "/{}|^`",
        "",
    ]);
    prop_oneof![fixed.prop_map(str::to_owned), "/[!-~]{0,8}", "http://[!-~]{0,8}", "[!-~]{1,8}"]
}

fn field_line() -> impl Strategy<Value = String> {
    let name =
        select(vec!["Host", "host", "Content-Length", "Transfer-Encoding", "X", "A_b", "", "X "]);
    let value = prop_oneof![
        select(vec![
            "",
            "a",
            "a.test:80",
            "[::1]",
            "a%41",
            "u@a",
            "0",
            "3",
            "007",
            "+3",
            "3, 3",
            "chunked",
            "CHUNKED",
            "gzip",
            "gzip, chunked",
            "chunked, chunked",
            "18446744073709551616",
            "\0",
            "b\r\n c",
        ])
        .prop_map(str::to_owned),
        "[ -~\\t]{0,12}",
    ];
    let colon = select(vec![":", ": ", ":\t", " :", ""]);
    prop_oneof![
        3 => select(vec!["Host: a\r\n", "Content-Length: 3\r\n", "Transfer-Encoding: chunked\r\n", "X: y\r\n"])
            .prop_map(str::to_owned),
        1 => (name, colon, value).prop_map(|(name, colon, value)| format!("{name}{colon}{value}\r\n")),
    ]
}

fn body() -> impl Strategy<Value = String> {
    let piece = prop_oneof![
        4 => select(vec!["3\r\nabc\r\n", "0\r\n\r\n", "abc", "0\r\nX: y\r\n\r\n", "\r\n", "", "1;a=\"b\"\r\nx\r\n"])
            .prop_map(str::to_owned),
        1 => "[0-9a-f]{1,2}[ ;=a\"\\\\\\t]{0,8}\r\n",
        1 => "0\r\n[ -~]{1,4}: ?[ -~]{0,3}\r\n\r\n",
    ];
    prop::collection::vec(piece, 0..4).prop_map(|pieces| pieces.concat())
}

fn request() -> impl Strategy<Value = String> {
    let method =
        prop_oneof![4 => Just("GET"), 1 => select(vec!["OPTIONS", "CONNECT", "PRI", "get", ""])];
    let version = prop_oneof![
        6 => Just("HTTP/1.1"),
        2 => select(vec!["HTTP/1.0", "HTTP/1.2", "HTTP/2.0", "http/1.1", "HTTP/1.10", ""]),
    ];
    let target = prop_oneof![2 => Just("/".to_owned()), 1 => target()];
    let host = select(vec!["Host: a\r\n", "Host: a\r\n", "Host: a\r\n", "Host: a\r\n", ""]);
    (method, target, version, host, prop::collection::vec(field_line(), 0..3), body()).prop_map(
        |(method, target, version, host, fields, body)| {
            let fields = fields.concat();
            format!("{method} {target} {version}\r\n{host}{fields}\r\n{body}")
        },
    )
}

/// Requests whose bodies are as the fields say, if nothing is changed in them.
fn framed() -> impl Strategy<Value = String> {
    let line = select(vec!["GET / HTTP/1.1", "POST http://a/b?c HTTP/1.9", "OPTIONS * HTTP/1.1"]);
    let extension = select(vec!["", "", ";a", " ; a = \"b\\\"\"", ";a=b;c", ";a=", ";"]);
    let trailer = select(vec!["", "", "", "X: y\r\n", "Host: a\r\n", "X : y\r\n"]);
    let chunked = ("[ -~\r\n]{1,20}", extension, trailer).prop_map(|(data, extension, trailer)| {
        let size = data.len();
        let chunk = format!("{size:x}{extension}\r\n{data}\r\n");
        format!("Transfer-Encoding: chunked\r\n\r\n{chunk}{chunk}0\r\n{trailer}\r\n")
    });
    let rest = prop_oneof![
        Just("\r\n".to_owned()),
        "[ -~\r\n]{0,20}".prop_map(|body| format!("Content-Length: {}\r\n\r\n{body}", body.len())),
        chunked,
    ];
    (line, rest).prop_map(|(line, rest)| format!("{line}\r\nHost: a\r\n{rest}"))
}

/// Requests of which a few bytes were changed, put in, or taken away.
fn connection() -> impl Strategy<Value = Vec<u8>> {
    let byte =
        prop_oneof![select(b"\r\n \t:;,/?#@[]%\"\\0a\x00\x0b\x7f\x80".to_vec()), any::<u8>()];
    let change = (any::<Index>(), 0..3, byte);
    let changes = prop_oneof![2 => Just(Vec::new()), 1 => prop::collection::vec(change, 1..3)];
    (prop::collection::vec(prop_oneof![framed(), request()], 1..4), changes).prop_map(
        |(requests, changes)| {
            let mut bytes = requests.concat().into_bytes();
            for (place, kind, byte) in changes {
                let place = place.index(bytes.len());
                match kind {
                    0 => bytes[place] = byte,
                    1 => bytes.insert(place, byte),
                    _ => drop(bytes.remove(place)),
                }
            }
            bytes
        },
    )
}

#[test]
fn samples_are_read_as_the_oracle_reads_them() {
    for sample in SAMPLES {
        assert_agreement(sample.as_bytes());
        assert_hyper_takes(sample.as_bytes());
    }
}

#[test]
fn samples_cut_at_any_byte_are_read_as_in_one_piece() {
    for sample in SAMPLES {
        let whole = send(LIMITS, [sample.as_bytes()]);
        for place in 0..=sample.len() {
            let (left, right) = sample.as_bytes().split_at(place);
            assert_eq!(fate(&send(LIMITS, [left, right])), fate(&whole), "{sample:?} at {place}");
        }
        assert_same_when_cut(sample.as_bytes(), &[]);
    }
}

#[test]
fn some_generated_connections_are_right_and_some_are_wrong() {
    let mut runner = TestRunner::deterministic();
    let (mut right, mut wrong) = (0, 0);
    for _ in 0..500 {
        let bytes = connection().new_tree(&mut runner).unwrap().current();
        match read(&bytes).rest {
            Rest::Nothing => right += 1,
            Rest::Wrong => wrong += 1,
            Rest::Incomplete => {}
        }
    }
    assert!(right > 50 && wrong > 50, "{right} right, {wrong} wrong");
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2_000))]

    #[test]
    fn messages_end_where_the_oracle_says(bytes in connection()) {
        assert_agreement(&bytes);
    }

    #[test]
    fn what_passes_is_taken_by_the_parsers_of_hyper(bytes in connection()) {
        assert_hyper_takes(&bytes);
    }

    #[test]
    fn any_cut_gives_the_same(bytes in connection(), places: Vec<Index>) {
        assert_same_when_cut(&bytes, &places);
    }

    #[test]
    fn no_bytes_are_too_strange(bytes: Vec<u8>, places: Vec<Index>) {
        assert_same_when_cut(&bytes, &places);
    }
}
