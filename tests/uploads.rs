//! Uploads of a known length, which are received without hyper: straight to where they are kept, or by
//! the application's own thread.

use std::time::{Duration, Instant};

use crate::support::client::Client;
use crate::support::packet::Packet;
use crate::support::server::Server;
use crate::support::setup::Setup;
use crate::support::wait;

/// The body in memory, in a file, and as the application reads it.
const KEPT: [&str; 3] = ["", "post-buffering=100", "post-buffering=0"];
const PAUSE: Duration = Duration::from_millis(50);

/// Gives the body back in several ways, or does not read it.
const APP: &str = r#"
kept = []

def application(environ, start_response):
    source = environ['wsgi.input']
    path, size = environ['PATH_INFO'], int(environ['QUERY_STRING'] or -1)
    start_response('200 OK', [('Content-Type', 'text/plain')])
    if path == '/all':
        return [source.read(size)]
    if path == '/pieces':
        return [b''.join(iter(lambda: source.read(size), b''))]
    if path == '/lines':
        return [b''.join(source)]
    if path == '/stream':
        return iter(lambda: source.read(size), b'')
    if path == '/kept':
        kept.append((environ, start_response))
        return [source.read()]
    if path == '/unread':
        return (b'x' * 1000 for _ in range(100))
    return [b'ok']
"#;

const LAST: &str = "GET /ok HTTP/1.1\r\nHost: test\r\nConnection: close\r\n\r\n";

fn serve(lines: &str) -> Server {
    Setup::new(lines).app(APP).start()
}

fn post(path: &str, length: usize) -> String {
    format!("POST {path} HTTP/1.1\r\nHost: test\r\nContent-Length: {length}\r\n\r\n")
}

/// Lines of all lengths.
fn text(length: usize) -> String {
    let mut text = String::new();
    for number in 0_usize.. {
        if text.len() >= length {
            break;
        }
        text.push_str(&format!("{}{number}\n", "-".repeat(number % 97)));
    }
    text.truncate(length);
    text
}

#[test]
fn a_body_is_whole_wherever_it_is_cut() {
    for lines in KEPT {
        let server = serve(&format!("http=app.sock\ndisable-logging=true\n{lines}"));
        for path in ["/all", "/all?300", "/pieces?7", "/lines"] {
            let (head, body) = (post(path, 300), text(300));
            let request = head.clone() + &body;
            let (head, end) = (head.len(), request.len());
            let cuts = (head - 2..head + 4).chain(head + 98..head + 103).chain(end - 2..end);
            for at in cuts {
                let mut client = server.connect_locally();
                let next = (at + 1).min(end);
                for piece in [&request[..at], &request[at..next]] {
                    client.send(piece);
                    client.wait_until_read();
                }
                client.send(request[next..].to_owned() + LAST);
                let response = client.response().expect(200);
                assert_eq!(response.text(), body, "{lines} {path} {at}");
                assert_eq!(response.field("connection"), None, "{lines} {path} {at}");
                assert_eq!(client.response().expect(200).text(), "ok", "{lines} {path} {at}");
                assert_eq!(client.rest(), b"");
            }
        }
    }
}

#[test]
fn a_client_may_pause_for_shorter_and_for_longer() {
    for lines in KEPT {
        let server = serve(lines);
        for path in ["/all", "/pieces?65536", "/pieces?1000", "/lines"] {
            let body = text(600_000);
            let mut client = server.connect();
            client.send(post(path, body.len()));
            let mut rest = body.as_str();
            for (number, length) in [1, 200_000, 3, 70_000, 65_536, 1, 100_000].iter().enumerate() {
                let (piece, others) = rest.split_at(*length);
                client.send(piece);
                if number % 2 == 0 {
                    assert!(client.is_silent_for(PAUSE));
                }
                rest = others;
            }
            client.send(rest);
            assert!(client.response().expect(200).text() == body, "{lines} {path}");
            client.get("/ok").expect(200);
        }
    }
}

#[test]
fn who_waits_for_a_client_leaves_the_other_threads_to_the_others() {
    let server = serve("http=app.sock\nthreads=2\npost-buffering=0");
    let mut client = server.connect_locally();
    client.send(post("/all", 6) + "abc");
    client.wait_until_read();
    // At first it waits in another way than for those that send nothing for longer.
    let began = Instant::now();
    while began.elapsed() < 4 * PAUSE {
        server.connect_locally().get("/ok").expect(200);
    }
    client.send("def");
    assert_eq!(client.response().expect(200).text(), "abcdef");
}

#[test]
fn a_response_can_be_sent_while_its_upload_is_read() {
    let server = serve("post-buffering=0");
    let body = text(1_000_000);
    let mut client = server.connect();
    let mut sender = client.try_clone().unwrap();
    let sent = body.clone();
    let sending = std::thread::spawn(move || {
        sender.send(post("/stream?5000", sent.len()));
        for piece in sent.as_bytes().chunks(70_001) {
            sender.send(piece);
        }
    });
    let response = client.response().expect(200);
    sending.join().unwrap();
    assert!(response.text() == body);
    // Its end was not known when the response began.
    assert_eq!(response.field("connection"), Some("close"));
    assert_eq!(client.rest(), b"");
}

#[test]
fn a_client_that_leaves_midway_leaves_no_file() {
    let server = serve("");
    let mut client = server.connect();
    client.send(post("/all", 3 << 20));
    client.send(vec![b'x'; 2 << 20]);
    let worker = server.workers()[0];
    let has_file = || {
        let open = std::fs::read_dir(format!("/proc/{worker}/fd")).unwrap().flatten();
        let mut names = open.filter_map(|entry| std::fs::read_link(entry.path()).ok());
        names.any(|name| {
            let name = name.to_string_lossy();
            name.contains("(deleted)") && !name.contains("memfd")
        })
    };
    wait::until("the body is in a file", || has_file().then_some(()));
    drop(client);
    server.wait_for_log("the client left before the body of its request was complete", 1);
    wait::until("the file is gone", || (!has_file()).then_some(()));
    server.get("/ok").expect(200);
}

#[test]
fn a_client_that_stalls_is_408_whoever_waits_for_it() {
    for lines in KEPT {
        let server = serve(&format!("http-timeout=1\n{lines}"));
        let mut client = server.connect();
        client.send(post("/all", 300) + &text(200));
        assert_eq!(client.response().expect(408).field("connection"), Some("close"));
        assert_eq!(client.rest(), b"");
        server.wait_for_log("did not come in time", 1);
        server.get("/ok").expect(200);
    }
}

/// Sends what is left of an upload after the answer: that arrives all the same, and is the last.
fn ends_well(mut client: Client, status: u16, length: usize) {
    client.wait_for(b"\r\n\r\n");
    for _ in 0..4 {
        client.send(vec![b'x'; length / 4]);
    }
    assert_eq!(client.response().expect(status).field("connection"), Some("close"));
    assert_eq!(client.remainder(), (Vec::new(), true));
}

#[test]
fn the_answer_to_an_upload_that_nobody_reads_arrives_and_is_the_last() {
    let server = serve("post-buffering=0\nlimit-post=1m");
    for (path, length, status) in
        [("/ok", 400_000, 200), ("/unread", 400_000, 200), ("/all", 2_000_000, 413)]
    {
        let mut client = server.connect();
        client.send(post(path, length) + "x");
        ends_well(client, status, length);
    }
}

#[test]
fn what_has_come_of_an_upload_by_its_answer_does_not_end_the_connection() {
    let server = Server::new("post-buffering=0");
    let mut client = server.connect();
    client.send(post("/gate?unread", 6) + "abc");
    server.place.wait_for_gate("unread");
    client.send("def");
    server.place.open_gate("unread");
    assert_eq!(client.response().expect(200).field("connection"), None);
    client.get("/ok").expect(200);
}

#[test]
fn a_client_that_waits_for_word_to_go_on_gets_it_once() {
    for lines in KEPT {
        let server = serve(lines);
        for path in ["/all", "/pieces?65536", "/pieces?1000", "/lines", "/stream?5000"] {
            let body = text(300_000);
            let mut client = server.connect();
            client.send(format!(
                "POST {path} HTTP/1.1\r\nHost: test\r\nExpect: 100-continue\r\n\
                Content-Length: {}\r\n\r\n",
                body.len()
            ));
            let interim = client.response();
            assert_eq!((interim.status, interim.fields.len()), (100, 0), "{lines} {path}");
            let mut sender = client.try_clone().unwrap();
            let sent = body.clone();
            let sending = std::thread::spawn(move || sender.send(sent));
            let response = client.response().expect(200);
            sending.join().unwrap();
            assert!(response.text() == body, "{lines} {path}");
            if path != "/stream?5000" {
                client.get("/ok").expect(200);
            }
        }
    }
}

/// While more of an upload is waited for the kernel wakes nobody for a few bytes.
#[test]
fn a_small_request_behind_an_upload_is_noticed() {
    let server = serve("post-buffering=0");
    let mut client = server.connect();
    let body = text(300_000);
    for _ in 0..20 {
        client.send(post("/all", body.len()) + &body[..100_000]);
        assert!(client.is_silent_for(Duration::from_millis(5)));
        client.send(&body[100_000..]);
        assert!(client.response().expect(200).text() == body);
        assert!(client.is_silent_for(Duration::from_millis(5)));
        client.get("/ok").expect(200);
    }
}

#[test]
fn who_keeps_a_request_does_not_keep_its_connection() {
    for lines in KEPT {
        let server = serve(&format!("http=app.sock\nsocket=uwsgi.sock\n{lines}"));
        let mut client = server.connect_locally();
        let head = post("/kept", 6).replace("Host", "Connection: close\r\nHost");
        client.send(head + "abc");
        client.wait_until_read();
        client.send("def");
        let (bytes, is_end) = client.remainder();
        assert!(is_end && bytes.ends_with(b"\r\n\r\nabcdef"), "{lines}");
        let mut client = Client::unix(&server.place.join("uwsgi.sock"));
        client.send(Packet::request("POST", "/kept", "6").bytes());
        client.send("abcdef");
        let (bytes, is_end) = client.remainder();
        assert!(is_end && bytes.ends_with(b"\r\n\r\nabcdef"), "{lines}");
    }
}

#[test]
fn who_sends_too_slowly_is_cut_off_however_little_is_read_at_a_time() {
    for path in ["/lines", "/pieces?1", "/all"] {
        let server = serve("post-buffering=0\nminimum-rate=10k\nhttp-timeout=60");
        let mut client = server.connect();
        client.send(post(path, 100_000));
        // A byte is enough for a read; the client is slow all the same.
        wait::until("the end of a slow client", || client.try_send("\n").is_err().then_some(()));
        server.wait_for_log("did not come in time", 1);
    }
}
