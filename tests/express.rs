//! Common requests are answered past hyper: the same bytes have to come back, and the application has to
//! be told the same.

use crate::support::client::{Client, join_chunks};
use crate::support::server::Server;

/// What is said of the connection by a client whose request goes the express way, and the same as only
/// hyper takes it.
const GOES_ON: [&str; 2] = ["keep-alive", "keep-alive, keep-alive"];
const CLOSES: [&str; 2] = ["close", "close, close"];

const FIELDS: &str = "Host: shop.test\r\nhost-name: a\r\nX-Twice: 1\r\nAccept:\t */* \r\nx-twice:2\r\n\
    Cookie: a=b\r\nX-Empty:\r\ncookie: c=\u{e4}\r\nX_Under: 1\r\nProxy: x\r\nX-Forwarded-For: 10.0.0.1\r\n\
    Content-Type: text/plain\r\n";

/// Requests with `CONNECTION` where they name what becomes of the connection.
fn requests() -> Vec<String> {
    let paths = [
        "/ok?a=%20&b",
        "/missing/%7e%zz",
        "/list",
        "/tuple",
        "/empty",
        "/204",
        "/304",
        "/reason",
        "/generator",
        "/write",
        "/nothing_at_all",
        "/blanks",
        "/sized?1",
        "/sized?3",
        "/whole?0",
        "/whole?1",
        "/whole?20000",
        "/whole?300000",
        "/file",
        "/filelike?,abc",
        "/long",
        "/raise",
        "/none",
        "/twice",
        "/bad_value",
        "/send?X-Sendfile=/none",
        "//a/b?",
        "/repeated?1",
        "/repeated?2",
        "/repeated?3",
        "/repeated?4",
        "/repeated?6",
    ];
    let mut requests = Vec::new();
    for path in paths {
        for method in ["GET", "HEAD", "DELETE", "own"] {
            requests.push(format!(
                "{method} {path} HTTP/1.1\r\n{FIELDS}Connection: CONNECTION\r\n\r\n"
            ));
        }
    }
    for length in [0, 1, 20_000] {
        let body = "x".repeat(length);
        requests.push(format!(
            "POST /echo HTTP/1.1\r\nHost: a\r\nconnection:CONNECTION\r\nContent-Length: {length}\r\n\r\n{body}"
        ));
    }
    requests
}

/// Everything that comes back to a request, and to one that follows if the connection goes on, without
/// what the time of day or other tasks of the machine decide.
fn answers(client: &mut Client, request: &str, option: &str) -> Vec<u8> {
    let is_last = option.starts_with("close");
    client.send(request.replace("CONNECTION", option));
    if !is_last {
        client.send("GET /ok HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n");
    }
    let bytes = join_chunks(&client.rest());
    assert!(bytes.starts_with(b"HTTP/1.1 "), "{request:?}: {}", bytes.escape_ascii());
    let lines = bytes.split_inclusive(|&byte| byte == b'\n');
    lines.filter(|line| !line.starts_with(b"Date: ")).flatten().copied().collect()
}

#[test]
fn the_same_comes_back_as_from_hyper() {
    let server = Server::new("disable-logging=true");
    for request in requests() {
        for [express, hyper] in [GOES_ON, CLOSES] {
            let answers = |option| answers(&mut server.connect(), &request, option);
            let (ours, theirs) = (answers(express), answers(hyper));
            assert!(
                ours == theirs,
                "{request:.300} with {express}: {} and not {}",
                ours[..ours.len().min(600)].escape_ascii(),
                theirs[..theirs.len().min(600)].escape_ascii()
            );
        }
    }
}

/// The same where the body of the request comes in pieces.
#[test]
fn the_same_comes_back_to_an_upload_in_pieces() {
    let server = Server::new("http=app.sock\ndisable-logging=true");
    for path in [
        "/echo",
        "/empty",
        "/204",
        "/304",
        "/generator",
        "/write",
        "/sized?3",
        "/whole?300000",
        "/file",
        "/filelike?,abc",
        "/missing",
        "/error",
    ] {
        for method in ["POST", "HEAD", "OPTIONS", "DELETE", "own"] {
            for [express, hyper] in [GOES_ON, CLOSES] {
                let answers = |option: &str| {
                    let mut client = server.connect_locally();
                    client.send(format!(
                        "{method} {path} HTTP/1.1\r\nHost: a\r\nContent-Length: 9\r\n\
                        Connection: {option}\r\n\r\nabc"
                    ));
                    client.wait_until_read();
                    client.send("def");
                    client.wait_until_read();
                    answers(&mut client, "ghi", option)
                };
                let (ours, theirs) = (answers(express), answers(hyper));
                let told = [&ours, &theirs].map(|bytes| bytes.escape_ascii().to_string());
                assert!(ours == theirs, "{method} {path} {express}: {told:.600?}");
            }
        }
    }
}

#[test]
fn the_application_is_told_the_same() {
    let server = Server::new("");
    let told = |option: &str| {
        let mut client = server.connect();
        client.send(format!(
            "GET /environ/%c3%a4?q=%20 HTTP/1.1\r\n{FIELDS}Connection: {option}\r\n\r\n"
        ));
        let port = client.local_port().to_string();
        let text = client.response().expect(200).text();
        let mut lines: Vec<_> = text
            .replace(option, "OPTION")
            .replace(&port, "PORT")
            .split(", ")
            .map(str::to_owned)
            .collect();
        lines.sort();
        lines
    };
    for [express, hyper] in [GOES_ON, CLOSES] {
        let told = [told(express), told(hyper)];
        assert_eq!(told[0], told[1]);
        let has = |text: &str| told[0].iter().any(|line| line.contains(text));
        assert!(has("\"HTTP_X_TWICE\": \"1") && has("\"HTTP_COOKIE\": \"a=b; c="), "{told:?}");
    }
}

#[test]
fn the_log_says_the_same() {
    let format = "%(method) %(uri) %(proto) %(status) %(rsize) %(hsize) %(headers) %(cl) %(host)";
    let server = Server::new(&format!("log-format=SEEN {format}"));
    let logged = |option: &str| {
        let before = server.log().matches("SEEN ").count();
        let requests: Vec<_> = requests().into_iter().step_by(3).collect();
        for request in &requests {
            answers(&mut server.connect(), request, option);
        }
        server.wait_for_log("SEEN ", before + requests.len());
        let log = server.log();
        let seen = log.lines().filter_map(|line| line.split_once("SEEN ")).skip(before);
        seen.map(|(_, line)| line.to_owned()).collect::<Vec<_>>()
    };
    let [express, hyper] = CLOSES.map(logged);
    assert_eq!(express, hyper);
    assert!(!express.is_empty());
}

#[test]
fn a_value_is_remembered_for_its_field_alone() {
    let server = Server::new("");
    let mut client = server.connect();
    for (first, second) in
        [("a", "b"), ("b", "a"), ("a", "a"), ("", "a"), ("a", ""), ("b", "\u{e4}")]
    {
        client.send(format!(
            "GET /environ HTTP/1.1\r\nHost: a\r\nX-First: {first}\r\nX-Second: {second}\r\n\r\n"
        ));
        let text = client.response().expect(200).text();
        assert!(text.contains(&format!("\"HTTP_X_FIRST\": \"{first}\"")), "{text}");
        let second = second.bytes().map(|byte| match byte {
            0x80.. => format!("\\u{byte:04x}"),
            byte => char::from(byte).to_string(),
        });
        let second: String = second.collect();
        assert!(text.contains(&format!("\"HTTP_X_SECOND\": \"{second}\"")), "{text}");
    }
}

#[test]
fn large_and_small_bodies_follow_each_other() {
    let server = Server::new("http = app.sock");
    let mut client = server.connect_locally();
    let lengths =
        [10_000, 5_000, 9_000, 20_000, 3, 30_000, 100_000, 65_536, 6_000, 0, 5_000, 9_000];
    for (index, length) in lengths.into_iter().enumerate() {
        let body: String = (0..length).map(|index| char::from(b'!' + (index % 89) as u8)).collect();
        let request =
            format!("POST /echo HTTP/1.1\r\nHost: a\r\nContent-Length: {length}\r\n\r\n{body}");
        // All at once, or first a head without its end, a head alone, or with some of the body.
        let head = request.len() - body.len();
        let cut = [0, 40, 0, head, 0, head + length / 2][index % 6];
        client.send(&request[..cut]);
        client.wait_until_read();
        client.send(&request[cut..]);
        let answer = client.response().expect(200).text();
        assert!(answer == body, "{length} bytes: {answer:.100}");
    }
}

#[test]
fn nothing_of_a_request_is_told_of_the_next_one() {
    let server = Server::new("");
    let told = |source: &str, request: &str| {
        let mut client = Client::from(source, server.address());
        client.send(request);
        client.response().expect(200).text()
    };
    let get = "GET /environ HTTP/1.1\r\nHost: a\r\n\r\n";
    let first = told("127.0.0.1", get);
    let is_told = |text: &str, source: &str, method: &str, query: &str| {
        for (name, value) in
            [("REMOTE_ADDR", source), ("REQUEST_METHOD", method), ("QUERY_STRING", query)]
        {
            assert!(text.contains(&format!("\"{name}\": \"{value}\"")), "{name}: {text}");
        }
    };
    is_told(&first, "127.0.0.1", "GET", "");
    let post = "POST /environ?a=b HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\n\r\nx";
    is_told(&told("127.0.0.2", post), "127.0.0.2", "POST", "a=b");
    assert_eq!(told("127.0.0.2", &post.replace("/environ?a=b", "/echo")), "x");
    assert_eq!(told("127.0.0.1", &get.replace("/environ", "/echo")), "");
    is_told(&told("127.0.0.2", get), "127.0.0.2", "GET", "");
    is_told(&told("127.0.0.1", get), "127.0.0.1", "GET", "");
}
