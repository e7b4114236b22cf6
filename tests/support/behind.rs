//! What has to work behind every web server, however it is connected.

use std::time::Duration;

use serde_json::{Map, Value};

use super::client::Response;
use super::front::Front;
use super::server::Server;

const SILENCE: Duration = Duration::from_millis(150);

/// rwsgi behind a web server. The latter ends first.
pub struct Behind {
    pub front: Front,
    pub server: Server,
}

/// A way to connect the two: its name, and what starts them with lines for rwsgi.
pub type Way = (&'static str, fn(&str) -> Behind);

/// Tries every way.
pub fn each(ways: &[Way], lines: &str, check: impl Fn(&Behind)) {
    for (name, way) in ways {
        println!("--- {name}");
        check(&way(lines));
    }
}

/// The environ that a response tells.
pub fn environ(response: &Response) -> Map<String, Value> {
    let answer: Value = serde_json::from_slice(&response.body).unwrap();
    answer["environ"].as_object().unwrap().clone()
}

/// Bytes that are easily told apart: four times `count`.
fn numbers(count: u32) -> Vec<u8> {
    (0..count).flat_map(u32::to_le_bytes).collect()
}

impl Behind {
    /// Targets, fields and statuses.
    pub fn passes_requests_and_responses_on(&self) {
        let request = "GET /environ/caf%C3%A9%20b?a=%20b&c=%C3%A9 HTTP/1.1\r\nHost: shop.test\r\n\
            X-Own: mine\r\nCookie: x=1\r\nConnection: close\r\n\r\n";
        let got = environ(&self.front.ask(request).expect(200));
        let path: String = b"/environ/caf\xc3\xa9 b".iter().map(|byte| char::from(*byte)).collect();
        assert_eq!(got["PATH_INFO"], path);
        assert_eq!(got["QUERY_STRING"], "a=%20b&c=%C3%A9");
        assert_eq!(got["HTTP_X_OWN"], "mine");
        assert_eq!(got["HTTP_COOKIE"], "x=1");
        assert_eq!(got["wsgi.url_scheme"], "http");
        assert_eq!(self.front.get("/ok").expect(200).text(), "ok");
        assert_eq!(self.front.get("/empty").expect(200).text(), "");
        assert_eq!(self.front.get("/missing").expect(404).text(), "missing");
        assert_eq!(self.front.get("/error").expect(500).text(), "Internal Server Error");
        self.front.get("/204").expect(204);
        self.front.get("/304").expect(304);
        for path in ["/ok", "/large?100000"] {
            let mut client = self.front.connect();
            client.send(format!(
                "HEAD {path} HTTP/1.1\r\nHost: shop.test\r\nConnection: close\r\n\r\n"
            ));
            assert_eq!(client.response_to_head().status, 200);
            assert_eq!(client.remainder(), (Vec::new(), true), "{path}");
        }
    }

    /// Uploads of a known length, and large responses of an unknown one.
    pub fn carries_bodies(&self) {
        for body in [b"abc".to_vec(), numbers(5 << 20)] {
            let mut client = self.front.connect();
            client.send(format!(
                "POST /echo HTTP/1.1\r\nHost: shop.test\r\nConnection: close\r\n\
                Content-Length: {}\r\n\r\n",
                body.len()
            ));
            client.send(&body);
            let response = client.response().expect(200);
            assert!(response.body == body, "{} bytes of {}", response.body.len(), body.len());
        }
        let lines = 5 * 1024 * 1024 / 16;
        let body = self.front.get(&format!("/large?{lines}")).expect(200).body;
        let expected: String = (0..lines).map(|number| format!("{number:015}\n")).collect();
        assert!(body == expected.as_bytes(), "{} bytes", body.len());
    }

    /// Uploads of an unknown length; returns the response, and what was sent.
    pub fn chunked_upload(&self) -> (Response, Vec<u8>) {
        let mut client = self.front.connect();
        client.send(
            "POST /echo HTTP/1.1\r\nHost: shop.test\r\nConnection: close\r\n\
            Transfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n",
        );
        let block = numbers(25_000);
        let chunk = [format!("{:x}\r\n", block.len()).as_bytes(), &block, b"\r\n"].concat();
        (0..10).for_each(|_| client.send(&chunk));
        client.send("0\r\n\r\n");
        (client.response(), [b"abc".to_vec(), block.repeat(10)].concat())
    }

    /// The same, where the web server passes them on.
    pub fn carries_chunked_uploads(&self) {
        let (response, sent) = self.chunked_upload();
        assert!(response.expect(200).body == sent);
    }

    /// A client that waits for leave to send.
    pub fn tells_clients_to_continue(&self) {
        let mut client = self.front.connect();
        client.send(
            "POST /echo HTTP/1.1\r\nHost: shop.test\r\nContent-Length: 3\r\n\
            Expect: 100-continue\r\nConnection: close\r\n\r\n",
        );
        assert_eq!(client.response().status, 100);
        assert!(client.is_silent_for(SILENCE));
        client.send("abc");
        assert_eq!(client.response().expect(200).text(), "abc");
    }

    /// Responses that end too early never pass for complete ones.
    pub fn passes_broken_responses_on_as_broken(&self) {
        for path in ["/mid", "/short"] {
            let response = self.front.get(path);
            let passes = response.complete && response.status == 200;
            assert!(!passes, "{path}: {response:?}");
        }
        self.server.wait_for_log("ValueError: in the middle", 1);
        self.server.wait_for_log("(aborted)", 2);
        self.front.get("/ok").expect(200);
    }

    /// Clients that leave stop the application.
    pub fn stops_what_nobody_waits_for(&self) {
        let mut client = self.front.connect();
        client.send("GET /closing?endless HTTP/1.1\r\nHost: shop.test\r\n\r\n");
        client.take_up_to("xxx");
        drop(client);
        self.server.wait_for_log("closed endless", 1);
        self.front.get("/ok").expect(200);
    }

    /// A field that has a web server send a file comes to it as the application says it.
    pub fn passes_a_field_on(&self, name: &str) {
        let response = self.front.get(&format!("/send?{name}=/a%20b")).expect(200);
        assert_eq!(response.field(&name.to_ascii_lowercase()), Some("/a%20b"));
        assert_eq!(response.text(), "instead of the file");
    }
}
