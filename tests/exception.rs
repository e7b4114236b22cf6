//! What the application raises, and when.

use crate::support::server::Server;

/// What is raised (see `RAISED` in the kitchen), and how Python names it.
const RAISED: [(&str, &str); 5] = [
    ("exit", "SystemExit: bye"),
    ("interrupt", "KeyboardInterrupt: pressed"),
    ("generator", "GeneratorExit: closed"),
    ("stop", "StopIteration"),
    ("base", "BaseException: of all"),
];

/// Raises everything at one moment, in the only worker, which has to survive it.
fn raise(server: &Server, when: &str, check: impl Fn(&str)) {
    let before = server.get("/pid").text();
    for (what, words) in RAISED {
        if (what, when) == ("stop", "first") || (what, when) == ("stop", "later") {
            continue;
        }
        check(&format!("/raise?{what},{when}"));
        server.wait_for_log(&format!("GET /raise: {words}"), 1);
    }
    let log = server.log();
    assert_eq!(server.get("/pid").text(), before, "{log}");
    assert_eq!(
        log.matches("Traceback (most recent call last)").count(),
        log.matches("GET /raise: ").count()
    );
}

#[test]
fn before_start_response_it_is_500_and_the_worker_survives() {
    let server = Server::new("");
    raise(&server, "before", |path| drop(server.get(path).expect(500)));
}

#[test]
fn after_start_response_it_is_500_and_the_worker_survives() {
    let server = Server::new("");
    raise(&server, "called", |path| drop(server.get(path).expect(500)));
}

#[test]
fn before_the_first_bytes_it_is_500_and_the_worker_survives() {
    let server = Server::new("");
    raise(&server, "first", |path| drop(server.get(path).expect(500)));
}

#[test]
fn after_the_head_it_aborts_the_response_and_the_worker_survives() {
    let server = Server::new("");
    raise(&server, "later", |path| {
        let response = server.get(path);
        assert_eq!((response.text().as_str(), response.complete), ("begun", false), "{path}");
    });
}

#[test]
fn the_end_of_an_iterator_is_no_exception() {
    let server = Server::new("");
    server.get("/raise?stop,first").expect(200);
    assert_eq!(server.get("/raise?stop,later").expect(200).text(), "begun");
    assert!(!server.log().contains("StopIteration"), "{}", server.log());
}

#[test]
fn every_thread_survives_it() {
    let server = Server::new("threads=2");
    for _ in 0..8 {
        server.get("/raise?exit,before").expect(500);
    }
    let mut both = [server.connect(), server.connect()];
    both.iter_mut().for_each(|c| c.send("GET /team?2 HTTP/1.1\r\nHost: test\r\n\r\n"));
    both.iter_mut().for_each(|client| drop(client.response().expect(200)));
}
