//! How the application begins a response.

use std::time::Duration;

use crate::support::server::Server;

const SILENCE: Duration = Duration::from_millis(150);

/// The application's mistake is answered with 500 and told in the log.
fn fails_and_says(path: &str, words: &str) {
    let server = Server::new("");
    let response = server.get(path).expect(500);
    assert_eq!(response.text(), "Internal Server Error");
    server.wait_for_log(words, 1);
}

/// Each of `kinds` (see `STARTS` in the kitchen) is 500, the log says why, and nothing of what was
/// refused has been sent.
fn refuses(kinds: &[(&str, &str)]) {
    let server = Server::new("");
    for (kind, words) in kinds {
        let response = server.get(&format!("/start?{kind}")).expect(500);
        assert_eq!(response.text(), "Internal Server Error", "{kind}");
        for name in ["x-name", "x-split", "x-evil", "upgrade", "keep-alive", "trailer"] {
            assert_eq!(response.field(name), None, "{kind}");
        }
        server.wait_for_log(words, 1);
        server.wait_for_log("GET /start: ", 1);
    }
    server.get("/ok").expect(200);
}

#[test]
fn a_second_call_without_exc_info_is_500() {
    fails_and_says("/twice", "a second time without exc_info");
}

#[test]
fn exc_info_before_the_head_replaces_the_response() {
    let response = Server::new("").get("/replace").expect(503);
    assert_eq!(response.text(), "replaced");
    assert_eq!((response.field("x-first"), response.field("x-second")), (None, Some("2")));
}

#[test]
fn exc_info_after_the_head_aborts_the_response() {
    let server = Server::new("");
    let response = server.get("/after_head");
    assert_eq!((response.status, response.complete), (200, false));
    assert_eq!(response.text(), "begun");
    server.wait_for_log("ValueError: after the head", 1);
}

#[test]
fn what_was_given_before_a_failure_is_sent_whoever_is_about_to_send_it() {
    let server = Server::new("");
    // The watcher sends what waits for one to two ticks of 2 ms.
    for micros in (0..6000).step_by(20) {
        let response = server.get(&format!("/fails_after?{micros}"));
        assert_eq!((response.text().as_str(), response.complete), ("begun", false), "{micros}");
    }
}

#[test]
fn a_bad_status_is_500() {
    fails_and_says("/bad_status", "bad status 'OK'");
}

#[test]
fn a_newline_in_a_value_cannot_split_the_response() {
    let server = Server::new("");
    let response = server.get("/bad_value").expect(500);
    assert_eq!(response.field("set-cookie"), None);
    server.wait_for_log("control characters", 1);
}

#[test]
fn a_hop_by_hop_field_is_500() {
    fails_and_says("/hop", "hop-by-hop fields belong to the server");
}

#[test]
fn a_response_that_was_never_begun_is_500() {
    fails_and_says("/nothing", "without calling start_response");
}

#[test]
fn an_exception_is_500_with_its_traceback_in_the_log_only() {
    let server = Server::new("");
    let response = server.get("/error").expect(500);
    assert!(!response.text().contains("KeyError"));
    server.wait_for_log("KeyError: 'on purpose'", 1);
    server.wait_for_log("in do_error", 1);
    server.get("/ok").expect(200);
}

#[test]
fn write_comes_before_what_is_returned() {
    assert_eq!(Server::new("").get("/write").expect(200).text(), "one,two,three");
}

#[test]
fn a_reason_of_the_applications_own_is_sent() {
    assert_eq!(Server::new("").get("/reason").line, "HTTP/1.1 299 Quite Fine");
}

#[test]
fn a_generator_may_call_start_response_late() {
    let response = Server::new("").get("/late").expect(201);
    assert_eq!((response.field("x-late"), response.text()), (Some("yes"), "late".to_owned()));
}

#[test]
fn a_status_that_is_none_is_refused() {
    refuses(&[
        ("status-int", "the status must be a str such as '200 OK', not int"),
        ("status-bytes", "the status must be a str such as '200 OK', not bytes"),
        ("status-word", "bad status 'OK': it is not three digits"),
        ("status-newline", "its reason contains control characters"),
        ("status-100", "an application cannot send an informational (1xx) response"),
    ]);
}

#[test]
fn headers_that_are_no_list_of_pairs_of_strings_are_refused() {
    refuses(&[
        ("headers-tuple", "the headers must be a list of (name, value) tuples, not tuple"),
        (
            "headers-iterator",
            "the headers must be a list of (name, value) tuples, not list_iterator",
        ),
        ("headers-dict", "the headers must be a list of (name, value) tuples, not dict"),
        ("pair-list", "a header must be a tuple (name, value), not ['X-Name', 'value']"),
        ("pair-three", "a header must be a tuple (name, value), not ('X-Name', 'value', 'more')"),
        ("pair-text", "a header must be a tuple (name, value), not 'ab'"),
        ("name-bytes", "name and value of a header must be str, not (b'X-Name', 'value')"),
        ("value-bytes", "name and value of a header must be str, not ('X-Name', b'value')"),
        ("value-int", "name and value of a header must be str, not ('X-Name', 1)"),
        ("too-many", "there are too many headers"),
    ]);
}

#[test]
fn characters_beyond_latin_1_are_refused_by_name() {
    refuses(&[
        ("status-euro", "bad status '200 €': it has characters beyond latin-1"),
        ("name-euro", "bad header 'X-€': it has characters beyond latin-1"),
        ("value-euro", "bad header 'X-Name': it has characters beyond latin-1"),
        ("value-surrogate", "bad header 'X-Name': it has characters beyond latin-1"),
    ]);
}

#[test]
fn the_value_of_a_refused_header_is_not_told() {
    let server = Server::new("");
    server.get("/start?value-euro").expect(500);
    server.wait_for_log("bad header 'X-Name'", 1);
    assert!(!server.log().contains("secret"), "{}", server.log());
}

#[test]
fn a_name_that_is_no_token_is_refused() {
    refuses(&[
        ("name-colon", "bad header 'X-Name:': the name is not an HTTP token"),
        ("name-blank", "bad header 'X Name': the name is not an HTTP token"),
        ("name-empty", "bad header '': the name is not an HTTP token"),
        ("name-newline", "bad header 'X-Split\\r\\nX-Evil': the name is not an HTTP token"),
    ]);
}

#[test]
fn control_characters_in_a_value_are_refused_at_its_end_too() {
    let words = "bad header 'X-Name': the value contains control characters";
    for kind in ["value-cr", "value-lf", "value-end", "value-nul", "value-tab"] {
        refuses(&[(kind, words)]);
    }
}

#[test]
fn what_belongs_to_the_connection_is_refused_in_any_case() {
    for (kind, name) in [
        ("connection", "CONNECTION"),
        ("keep-alive", "Keep-Alive"),
        ("proxy-connection", "Proxy-Connection"),
        ("transfer-encoding", "transfer-encoding"),
        ("upgrade", "Upgrade"),
        ("trailer", "Trailer"),
    ] {
        refuses(&[(kind, &format!("bad header '{name}': hop-by-hop fields belong to the server"))]);
    }
}

#[test]
fn a_content_length_that_is_not_one_number_is_refused() {
    refuses(&[
        ("length-word", "bad header 'Content-Length': Content-Length is not a decimal number"),
        ("length-sign", "bad header 'Content-Length': Content-Length is not a decimal number"),
        ("length-twice", "Content-Length is there twice"),
    ]);
}

#[test]
fn status_and_fields_are_sent_as_they_were_said() {
    let server = Server::new("");
    assert_eq!(server.get("/start?reason").expect(200).line, "HTTP/1.1 200 Fine, thanks");
    assert_eq!(server.get("/start?text").expect(200).field("x-name"), Some("value"));
    assert_eq!(server.get("/start?bare").expect(204).line.trim_end(), "HTTP/1.1 204");
    let response = server.get("/start?cookies").expect(200);
    let cookies = response.fields.iter().filter(|(name, _)| name == "set-cookie");
    assert_eq!(cookies.map(|(_, value)| value.as_str()).collect::<Vec<_>>(), ["a=1", "b=2"]);
}

#[test]
fn native_strings_leave_as_latin_1() {
    let server = Server::new("");
    let head = server.connect_and_send("/start?latin").rest();
    let has = |bytes: &[u8]| head.windows(bytes.len()).any(|window| window == bytes);
    assert!(has(b"HTTP/1.1 200 caf\xe9\r\n") && has(b"X-Name: caf\xe9\r\n"), "{head:?}");
}

#[test]
fn date_and_server_of_the_applications_own_stay_alone() {
    let response = Server::new("").get("/start?own").expect(200);
    for (name, value) in [("date", "my date"), ("server", "my server")] {
        let all: Vec<_> = response.fields.iter().filter(|(key, _)| key == name).collect();
        assert_eq!(all.len(), 1, "{response:?}");
        assert_eq!(all[0].1, value);
    }
}

#[test]
fn the_headers_are_those_of_the_call_whatever_becomes_of_the_list() {
    let response = Server::new("").get("/changed_headers").expect(200);
    assert_eq!((response.field("x-first"), response.field("x-second")), (Some("1"), None));
    assert_eq!(response.field("x-bad"), None);
}

#[test]
fn a_first_call_that_was_refused_counts() {
    let server = Server::new("");
    server.get("/refused?again").expect(500);
    server.wait_for_log("a second time without exc_info", 1);
    server.get("/refused?nothing").expect(500);
    server.wait_for_log("went on although start_response had raised", 1);
    assert_eq!(server.get("/refused?exc_info").expect(503).text(), "went on");
}

#[test]
fn a_replacement_that_is_refused_does_not_bring_back_what_it_replaced() {
    fails_and_says("/refused?replacement", "went on although start_response had raised");
}

#[test]
fn the_head_waits_for_the_first_bytes_and_can_be_replaced_until_then() {
    let server = Server::new("");
    let mut client = server.connect();
    client.send("GET /changes_its_mind?g HTTP/1.1\r\nHost: test\r\n\r\n");
    server.place.wait_for_gate("g");
    assert!(client.is_silent_for(SILENCE));
    server.place.open_gate("g");
    assert_eq!(client.response().expect(503).text(), "busy");
}

#[test]
fn the_exception_of_exc_info_comes_back_with_its_traceback() {
    let server = Server::new("");
    server.get("/after_head");
    server.wait_for_log("ValueError: after the head", 1);
    let log = server.log();
    assert!(log.contains("raise ValueError('after the head')"), "{log}");
}

#[test]
fn exc_info_that_is_no_exc_info_raises_all_the_same() {
    let server = Server::new("");
    assert!(!server.get("/bad_exc_info").complete);
    server.wait_for_log("exc_info must be a tuple of sys.exc_info(), not 'no tuple'", 1);
}

#[test]
fn nobody_keeps_exc_info() {
    let server = Server::new("");
    server.get("/exc_info?before").expect(503);
    assert!(!server.get("/exc_info?after").complete);
    server.wait_for_log("ValueError: with a frame", 1);
    assert_eq!(server.get("/witnesses").expect(200).text(), "0 of 2");
}

#[test]
fn an_application_may_only_write() {
    let response = Server::new("").get("/write_only").expect(200);
    assert_eq!(response.text(), "one,two");
}

#[test]
fn write_takes_nothing_but_bytes() {
    fails_and_says("/write_text", "write() takes bytes, not str");
}

#[test]
fn write_beyond_the_content_length_raises() {
    let server = Server::new("");
    let mut client = server.connect();
    assert_eq!(client.get("/write_long").expect(200).text(), "abcd");
    server.wait_for_log("ValueError: write() beyond the Content-Length of 4", 1);
    assert!(!server.log().contains("must not come"));
}

#[test]
fn what_is_written_leaves_before_write_returns() {
    let server = Server::new("");
    let mut client = server.connect();
    client.send("GET /write_gated?g HTTP/1.1\r\nHost: test\r\n\r\n");
    server.place.wait_for_gate("g");
    client.wait_for(b"before");
    server.place.open_gate("g");
    assert_eq!(client.response().expect(200).text(), "before,after");
}

#[test]
fn writing_nothing_sends_the_head() {
    let server = Server::new("");
    let mut client = server.connect();
    client.send("GET /write_nothing?g HTTP/1.1\r\nHost: test\r\n\r\n");
    server.place.wait_for_gate("g");
    client.wait_for(b"\r\n\r\n");
    server.place.open_gate("g");
    assert_eq!(client.response().expect(200).text(), "");
}

#[test]
fn write_cannot_reach_a_response_that_has_ended() {
    let server = Server::new("");
    assert_eq!(server.get("/write_late").expect(200).text(), "01");
    server.get("/write_late").expect(500);
    server.wait_for_log("AssertionError: write() after the end of the response", 1);
}

#[test]
fn a_call_without_headers_says_what_is_missing() {
    fails_and_says("/one_argument", "start_response takes a status and a list of headers");
}
