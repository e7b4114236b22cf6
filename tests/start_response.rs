//! How the application begins a response.

use crate::support::server::Server;

/// The application's mistake is answered with 500 and told in the log.
fn fails_and_says(path: &str, words: &str) {
    let server = Server::new("");
    let response = server.get(path).expect(500);
    assert_eq!(response.text(), "Internal Server Error");
    server.wait_for_log(words, 1);
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
    assert!(server.log().contains("in do_error"), "{}", server.log());
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
