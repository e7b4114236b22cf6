//! The uwsgi protocol on raw sockets.

use std::time::Duration;

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use serde_json::{Map, Value};

use crate::support::client::Response;
use crate::support::packet::{Packet, ask, both, connect, serve};
use crate::support::setup::Setup;

const SILENCE: Duration = Duration::from_millis(150);

fn environ(response: &Response) -> Map<String, Value> {
    let answer: Value = serde_json::from_slice(&response.body).unwrap();
    assert_eq!(answer["type"], "dict", "PEP 3333 wants a builtin dictionary");
    answer["environ"].as_object().unwrap().clone()
}

/// The characters of a native string, as the bytes that they stand for.
fn latin1(text: &[u8]) -> String {
    text.iter().map(|byte| char::from(*byte)).collect()
}

#[test]
fn the_environ_is_what_the_packet_says() {
    let said: [(&str, &[u8]); 20] = [
        ("QUERY_STRING", b"a=%20b"),
        ("REQUEST_METHOD", b"GET"),
        ("CONTENT_TYPE", b""),
        ("CONTENT_LENGTH", b""),
        ("REQUEST_URI", b"/environ/caf%C3%A9?a=%20b"),
        ("PATH_INFO", b"/environ/caf\xc3\xa9"),
        ("SCRIPT_NAME", b"/shop"),
        ("DOCUMENT_ROOT", b"/var/www"),
        ("SERVER_PROTOCOL", b"HTTP/2.0"),
        ("REQUEST_SCHEME", b"https"),
        ("HTTPS", b"on"),
        ("REMOTE_ADDR", b"2001:db8::7"),
        ("REMOTE_PORT", b"40000"),
        ("SERVER_PORT", b"443"),
        ("SERVER_NAME", b"shop.test"),
        ("HTTP_HOST", b"shop.test"),
        ("HTTP_X_FORWARDED_FOR", b"198.51.100.1"),
        ("HTTP_COOKIE", b"x=1; y=\xff"),
        ("HTTP_CONNECTION", b"Upgrade"),
        ("MY_OWN", b"says nginx"),
    ];
    let packet =
        said.iter().fold(Packet::default(), |packet, (name, value)| packet.var(name, value));
    let server = serve("");
    for mut client in both(&server) {
        client.send(packet.bytes());
        let got = environ(&client.response().expect(200));
        for (name, value) in said {
            assert_eq!(got[name], latin1(value), "{name}");
        }
        assert_eq!(got["wsgi.url_scheme"], "https");
        assert_eq!(got["wsgi.version"], serde_json::json!([1, 0]));
        assert!(got.contains_key("wsgi.input") && got.contains_key("wsgi.errors"));
    }
}

#[test]
fn of_two_variables_with_one_name_the_last_counts() {
    let packet = Packet::get("/environ").var("X_TWICE", "1").var("X_TWICE", "2");
    assert_eq!(environ(&ask(&serve(""), &packet))["X_TWICE"], "2");
}

#[test]
fn each_environ_has_the_variables_of_its_own_packet() {
    let server = serve("");
    let all = [("A", "1"), ("HTTP_B", "2"), ("C", "3"), ("HTTP_COOKIE", "d=4")];
    let mut orders = vec![all.to_vec(), all[1..].to_vec(), vec![all[0], all[2]], vec![]];
    orders.push(all.into_iter().rev().collect());
    orders.push(vec![("A", "10"), ("C", "30"), ("HTTP_B", "20")]);
    for said in orders.iter().chain(orders.iter().rev()).chain(&orders) {
        let packet = Packet::get("/environ");
        let packet = said.iter().fold(packet, |packet, (name, value)| packet.var(name, value));
        let got = environ(&ask(&server, &packet));
        for (name, _) in all {
            let value = said.iter().find(|one| one.0 == name).map(|one| Value::from(one.1));
            assert_eq!(got.get(name), value.as_ref(), "{name} of {said:?}");
        }
    }
}

#[test]
fn the_scheme_is_told_in_several_ways() {
    let server = serve("");
    for (name, value, scheme) in [
        ("HTTPS", "on", "https"),
        ("HTTPS", "1", "https"),
        ("HTTPS", "off", "http"),
        ("REQUEST_SCHEME", "https", "https"),
        ("UWSGI_SCHEME", "https", "https"),
        ("UWSGI_SCHEME", "gopher", "http"),
    ] {
        let got = environ(&ask(&server, &Packet::get("/environ").var(name, value)));
        assert_eq!(got["wsgi.url_scheme"], scheme, "{name}={value}");
    }
}

#[test]
fn a_mount_point_is_taken_off_the_path_by_modifier_30_alone() {
    let server = serve("");
    for (modifier, path) in [(0, "/environ/environ/x"), (30, "/environ/x")] {
        let packet = Packet::get("/environ/environ/x").var("SCRIPT_NAME", "/environ");
        let got = environ(&ask(&server, &packet.modifier(modifier)));
        assert_eq!((&got["PATH_INFO"], &got["SCRIPT_NAME"]), (&path.into(), &"/environ".into()));
    }
}

#[test]
fn a_body_has_the_length_that_the_packet_says_and_not_a_byte_more() {
    for lines in ["", "post-buffering=0"] {
        let server = serve(lines);
        for mut client in both(&server) {
            client.send(Packet::post("/echo", 3).with("abcdef"));
            let response = client.response().expect(200);
            assert_eq!((response.text().as_str(), response.field("x-length")), ("abc", Some("3")));
        }
    }
}

#[test]
fn an_empty_length_is_no_body() {
    for lines in ["", "post-buffering=0"] {
        let server = serve(lines);
        let response = ask(&server, &Packet::request("POST", "/echo", "")).expect(200);
        assert_eq!((response.text().as_str(), response.field("x-length")), ("", Some("")));
    }
}

#[test]
fn a_large_body_comes_whole() {
    let body: Vec<u8> = (0..3_000_000_u32).flat_map(u32::to_le_bytes).collect();
    for lines in ["", "post-buffering=0"] {
        let server = serve(lines);
        for mut client in both(&server) {
            client.send(Packet::post("/echo", body.len()).with(&body));
            assert!(client.response().expect(200).body == body, "{lines}");
        }
    }
}

#[test]
fn a_slow_body_is_waited_for_before_the_application_is_called() {
    let server = serve("");
    let mut client = connect(&server);
    client.send(Packet::post("/count", 6).with("abc"));
    assert!(client.is_silent_for(SILENCE));
    assert!(!server.place.join("entered-count").exists());
    client.send("def");
    assert_eq!(client.response().expect(200).text(), "6");
}

#[test]
fn an_upload_streams_where_nothing_is_buffered() {
    let server = serve("post-buffering=0");
    let mut client = connect(&server);
    client.send(Packet::post("/count", 2 << 20).with(vec![b'x'; 1 << 20]));
    server.place.wait_for_gate("count");
    client.send(vec![b'x'; 1 << 20]);
    assert_eq!(client.response().expect(200).text(), (2 << 20).to_string());
}

#[test]
fn a_truncated_upload_never_passes_for_a_complete_one() {
    let server = serve("post-buffering=0");
    let mut client = connect(&server);
    client.send(Packet::post("/count", 100).with("abc"));
    server.place.wait_for_gate("count");
    drop(client);
    server.wait_for_log("upload broken", 1);
    assert!(!server.log().contains("upload complete"), "{}", server.log());
}

#[test]
fn a_truncated_upload_that_is_buffered_never_reaches_the_application() {
    let server = serve("");
    let mut client = connect(&server);
    client.send(Packet::post("/count", 100).with("abc"));
    client.half_close();
    client.response().expect(400);
    server.wait_for_log("left before the body", 1);
    ask(&server, &Packet::get("/ok")).expect(200);
    assert!(!server.log().contains("upload "), "{}", server.log());
}

#[test]
fn a_body_above_limit_post_is_413_although_it_is_not_read() {
    let server = serve("limit-post=10");
    let piece = [b'x'; 10_000];
    for mut client in both(&server) {
        client.send(Packet::post("/echo", 90 * piece.len()).bytes());
        for _ in 0..90 {
            client.send(piece);
        }
        client.response().expect(413);
        assert!(client.is_closed());
    }
    ask(&server, &Packet::get("/ok")).expect(200);
}

#[test]
fn responses_that_are_there_as_a_whole_say_their_length() {
    let server = serve("");
    for (path, body) in [("/ok", "ok"), ("/list", "abc"), ("/empty", ""), ("/nowhere", "missing")] {
        let response = ask(&server, &Packet::get(path));
        assert_eq!(response.field("content-length"), Some(&*body.len().to_string()), "{path}");
        assert_eq!(response.text(), body);
    }
}

#[test]
fn a_stream_is_sent_as_it_comes_and_ends_with_the_connection() {
    let server = serve("threads=2");
    for (number, mut client) in both(&server).into_iter().enumerate() {
        let gate = format!("s{number}");
        client.send(Packet::get(&format!("/stages?{gate}")).bytes());
        let begun = String::from_utf8(client.take_up_to("first,")).unwrap();
        assert!(begun.starts_with("HTTP/1.1 200 OK\r\n"), "{begun}");
        let lower = begun.to_ascii_lowercase();
        assert!(!lower.contains("content-length") && !lower.contains("chunked"), "{begun}");
        server.place.open_gate(&gate);
        assert_eq!(client.remainder(), (b"second".to_vec(), true));
    }
}

#[test]
fn head_204_and_304_have_no_body() {
    let server = serve("");
    for (method, path, status, length) in [
        ("HEAD", "/ok", 200, Some("2")),
        ("HEAD", "/generator", 200, None),
        ("HEAD", "/error", 500, Some("21")),
        ("GET", "/204", 204, None),
        ("GET", "/304", 304, None),
    ] {
        for mut client in both(&server) {
            client.send(Packet::request(method, path, "").bytes());
            let response = client.response_to_head();
            assert_eq!((response.status, response.field("content-length")), (status, length));
            assert_eq!(client.remainder(), (Vec::new(), true), "{method} {path}");
        }
    }
    assert!(!server.log().contains("(aborted)"), "{}", server.log());
}

#[test]
fn an_exception_is_500_with_a_traceback() {
    let server = serve("");
    for mut client in both(&server) {
        client.send(Packet::get("/error").bytes());
        assert_eq!(client.response().expect(500).text(), "Internal Server Error");
    }
    server.wait_for_log("KeyError: 'on purpose'", 2);
}

#[test]
fn a_response_that_breaks_off_is_reset() {
    let server = serve("");
    for path in ["/mid", "/short", "/closing?middle"] {
        for mut client in both(&server) {
            client.send(Packet::get(path).bytes());
            let response = client.response();
            assert!(response.status == 200 && !response.complete, "{path}: {response:?}");
        }
    }
    server.wait_for_log("(aborted)", 6);
}

/// Says how long the body was, and breaks off.
const COUNTS_AND_BREAKS: &str = "
def application(environ, start_response):
    def pieces():
        yield str(len(environ['wsgi.input'].read())).encode()
        raise ValueError('in the middle')
    start_response('200 OK', [])
    return pieces()
";

#[test]
fn a_response_that_broke_off_after_an_upload_is_reset() {
    for lines in ["", "post-buffering=0"] {
        let server = Setup::uwsgi(lines).app(COUNTS_AND_BREAKS).start();
        for length in [1, 3, 65_539, 300_000] {
            let sent = Packet::post("/", length).with("x".repeat(length));
            for cut in [0, sent.len() - length, sent.len() - 1] {
                for mut client in both(&server) {
                    client.send(&sent[..cut]);
                    client.send(&sent[cut..]);
                    let response = client.response();
                    assert_eq!(response.text(), length.to_string());
                    assert!(!response.complete, "{lines} {length} {cut}: {response:?}");
                }
            }
        }
    }
}

#[test]
fn the_response_of_a_worker_that_was_killed_is_reset() {
    let requests =
        [Packet::get("/stages?killed").bytes(), Packet::post("/stages?killed", 3).with("abc")];
    for (request, index) in requests.iter().flat_map(|request| [(request, 0), (request, 1)]) {
        let server = serve("");
        let mut client = both(&server).into_iter().nth(index).unwrap();
        client.send(request);
        client.take_up_to("first,");
        let worker = server.place.pid_at_gate("killed");
        kill(Pid::from_raw(worker), Signal::SIGKILL).unwrap();
        assert_eq!(client.remainder(), (Vec::new(), false), "{index}");
        server.wait_for_log(") serves", 2);
    }
}

#[test]
fn a_client_that_goes_away_while_the_application_is_silent_is_noticed() {
    let server = serve("threads=2");
    for (number, mut client) in both(&server).into_iter().enumerate() {
        let gate = format!("g{number}");
        client.send(Packet::get(&format!("/stages?{gate}")).bytes());
        client.take_up_to("first,");
        drop(client);
        server.wait_for_log("(aborted)", number + 1);
        server.place.open_gate(&gate);
    }
    ask(&server, &Packet::get("/ok")).expect(200);
}

#[test]
fn what_http_servers_add_is_not_added() {
    let server = serve("");
    let response = ask(&server, &Packet::get("/ok")).expect(200);
    let names: Vec<_> = response.fields.iter().map(|(name, _)| name.as_str()).collect();
    assert_eq!(names, ["content-type", "content-length"]);
    let response = ask(&server, &Packet::get("/missing").var("HTTP_CONNECTION", "keep-alive"));
    for name in ["date", "server", "connection", "transfer-encoding"] {
        assert_eq!(response.field(name), None, "{name}");
    }
}

#[test]
fn a_connection_is_for_one_request() {
    let server = serve("");
    let mut client = connect(&server);
    client.send([Packet::get("/ok").bytes(), Packet::get("/error").bytes()].concat());
    assert_eq!(client.response().expect(200).text(), "ok");
    assert!(client.is_closed());
    ask(&server, &Packet::get("/ok")).expect(200);
    assert!(!server.log().contains("on purpose"), "{}", server.log());
}

#[test]
fn a_client_that_expects_to_continue_is_left_to_the_web_server() {
    let server = serve("");
    let mut client = connect(&server);
    client.send(Packet::post("/echo", 3).var("HTTP_EXPECT", "100-continue").with("abc"));
    assert_eq!(client.response().expect(200).text(), "abc");
}

#[test]
fn a_packet_may_come_in_two_pieces_wherever_it_is_cut() {
    let whole = Packet::default()
        .var("REQUEST_METHOD", "POST")
        .var("PATH_INFO", "/echo")
        .var("CONTENT_LENGTH", "3")
        .with("abc");
    for kept in ["", "post-buffering=1", "post-buffering=0"] {
        let server = serve(&format!("disable-logging=true\n{kept}"));
        for cut in 1..whole.len() {
            for mut client in both(&server) {
                client.send(&whole[..cut]);
                client.send(&whole[cut..]);
                assert_eq!(client.response().expect(200).text(), "abc", "{kept} {cut}");
                assert!(client.has_ended_well(), "{kept} {cut}");
            }
        }
    }
}

#[test]
fn a_packet_may_come_byte_by_byte() {
    let server = serve("");
    for mut client in both(&server) {
        for byte in Packet::post("/echo", 3).with("abc") {
            client.send([byte]);
        }
        assert_eq!(client.response().expect(200).text(), "abc");
    }
}

#[test]
fn a_client_that_goes_away_stops_the_response() {
    let server = serve("");
    for (count, mut client) in both(&server).into_iter().enumerate() {
        client.send(Packet::get("/closing?endless").bytes());
        client.take_up_to("xxx");
        drop(client);
        server.wait_for_log("closed endless", count + 1);
    }
    server.wait_for_log("(aborted)", 2);
}

#[test]
fn the_log_tells_the_client_that_the_web_server_saw() {
    let server = serve("");
    ask(&server, &Packet::get("/ok?a=%20b").var("SERVER_PROTOCOL", "HTTP/2.0")).expect(200);
    server.wait_for_log("192.0.2.7 \"GET /ok?a=%20b HTTP/2.0\" 200 2 ", 1);
    ask(&server, &Packet::get("/ok").var("REMOTE_ADDR", "192.0.2.8\nforged")).expect(200);
    server.wait_for_log("192.0.2.8\\x0aforged \"GET /ok", 1);
}

#[test]
fn variables_that_load_code_do_nothing_and_reach_nobody() {
    let evil = "open('loaded', 'w').close()\ndef application(e, s):\n    \
        s('200 OK', [])\n    return [b'evil']\n";
    let server = Setup::uwsgi("").file("evil.py", evil).start();
    let path = server.place.join("evil.py").display().to_string();
    let place = server.place.path().display().to_string();
    let names = [
        ("UWSGI_FILE", path.as_str()),
        ("UWSGI_SCRIPT", "evil"),
        ("UWSGI_MODULE", "evil"),
        ("UWSGI_CALLABLE", "application"),
        ("UWSGI_PASTE", path.as_str()),
        ("UWSGI_SETENV", "LOADED=1"),
        ("UWSGI_APPID", "evil"),
        ("UWSGI_CHDIR", "/"),
        ("UWSGI_HOME", "/"),
        ("UWSGI_PYHOME", "/"),
        ("UWSGI_POSTFILE", path.as_str()),
        ("UWSGI_TOUCH_RELOAD", place.as_str()),
        ("UWSGI_CACHE_GET", "x"),
        ("wsgi.input", "x"),
        ("wsgi.file_wrapper", "x"),
        ("wsgi.own", "x"),
        ("HTTP_PROXY", "http://evil.test"),
    ];
    let packet =
        names.iter().fold(Packet::get("/environ"), |all, (name, value)| all.var(name, value));
    for modifier in [0, 30] {
        let got = environ(&ask(&server, &packet.clone().modifier(modifier)).expect(200));
        for (name, _) in names {
            match name {
                "wsgi.input" => assert_eq!(got[name], "Input"),
                "wsgi.file_wrapper" => assert_eq!(got[name], "type"),
                _ => assert_eq!(got.get(name), None, "{name}"),
            }
        }
    }
    assert!(!server.place.join("loaded").exists());
    assert_eq!(ask(&server, &Packet::get("/ok")).expect(200).text(), "ok");
    assert!(!server.log().contains("reload"), "{}", server.log());
}
