//! What the application is told of a request.

use serde_json::{Map, Value, json};

use crate::support::server::Server;

/// The environ of a request, and the port it came from.
fn environ_of(server: &Server, request: &[u8]) -> (Map<String, Value>, u16) {
    let mut client = server.connect();
    client.send(request);
    let response = client.response().expect(200);
    let mut answer: Value = serde_json::from_slice(&response.body).unwrap();
    assert_eq!(answer["type"], "dict", "PEP 3333 wants a builtin dictionary");
    (answer["environ"].take().as_object().unwrap().clone(), client.local_port())
}

fn environ(request: &[u8]) -> Map<String, Value> {
    environ_of(&Server::new(""), request).0
}

/// The characters of a native string, as the bytes that they stand for.
fn latin1(text: &[u8]) -> String {
    text.iter().map(|byte| char::from(*byte)).collect()
}

#[test]
fn every_key_of_pep_3333_is_there() {
    let server = Server::new("");
    let request = b"POST /environ?a=%20b&c HTTP/1.1\r\nHost: shop.test:81\r\n\
        Content-Type: text/x\r\nContent-Length: 2\r\nX-Own: 1\r\n\r\nhi";
    let (got, port) = environ_of(&server, request);
    let expected = json!({
        "REQUEST_METHOD": "POST", "SCRIPT_NAME": "", "PATH_INFO": "/environ",
        "QUERY_STRING": "a=%20b&c", "CONTENT_TYPE": "text/x", "CONTENT_LENGTH": "2",
        "SERVER_NAME": "127.0.0.1", "SERVER_PORT": server.address().port().to_string(),
        "SERVER_PROTOCOL": "HTTP/1.1", "HTTP_HOST": "shop.test:81", "HTTP_X_OWN": "1",
        "wsgi.version": [1, 0], "wsgi.url_scheme": "http", "wsgi.run_once": false,
        "wsgi.multithread": false, "wsgi.multiprocess": false, "REMOTE_ADDR": "127.0.0.1",
        "REMOTE_PORT": port.to_string(), "REQUEST_URI": "/environ?a=%20b&c",
    });
    for (key, value) in expected.as_object().unwrap() {
        assert_eq!(got.get(key), Some(value), "{key}");
    }
    assert!(got.contains_key("wsgi.input") && got.contains_key("wsgi.errors"));
    assert!(!got.contains_key("HTTP_CONTENT_TYPE") && !got.contains_key("HTTP_CONTENT_LENGTH"));
}

#[test]
fn what_the_client_did_not_send_is_not_invented() {
    let got = environ(b"GET /environ HTTP/1.1\r\nHost: test\r\n\r\n");
    assert!(!got.contains_key("CONTENT_LENGTH") && !got.contains_key("CONTENT_TYPE"));
    assert_eq!(got["QUERY_STRING"], "");
}

#[test]
fn the_path_is_decoded_and_its_bytes_tunnel_through_latin_1() {
    let app = "import json\ndef application(e, s):\n    s('200 OK', [])\n    \
        return [json.dumps([e['PATH_INFO'], e['REQUEST_URI']]).encode()]\n";
    let server = crate::support::setup::Setup::new("").app(app).start();
    let body = server.get("/caf%C3%A9%2Fa%20b%zz%ff").expect(200).body;
    let path = latin1(b"/caf\xc3\xa9/a b%zz\xff");
    let got: Value = serde_json::from_slice(&body).unwrap();
    assert_eq!(got, json!([path, "/caf%C3%A9%2Fa%20b%zz%ff"]));
}

#[test]
fn each_path_arrives_as_it_is() {
    // Path as sent, and PATH_INFO: decoded once, never cleaned or cut.
    let cases: [(&str, &[u8]); 13] = [
        ("/", b"/"),
        ("//a", b"//a"),
        ("//a//b/", b"//a//b/"),
        ("/a/../b/./c", b"/a/../b/./c"),
        ("/a%2Fb", b"/a/b"),
        ("/a%2fb", b"/a/b"),
        ("/a%252Fb", b"/a%2Fb"),
        ("/a%00b", b"/a\0b"),
        ("/a%0D%0Ab", b"/a\r\nb"),
        ("/%ff%C3%28", b"/\xff\xc3("),
        ("/a;b=1,c+d", b"/a;b=1,c+d"),
        ("/caf%C3%A9", b"/caf\xc3\xa9"),
        ("/a%3Fb", b"/a?b"),
    ];
    let app = "import json\ndef application(e, s):\n    s('200 OK', [])\n    \
        return [json.dumps([e['SCRIPT_NAME'], e['PATH_INFO'], e['QUERY_STRING'], e['REQUEST_URI']]).encode()]\n";
    let server = crate::support::setup::Setup::new("").app(app).start();
    for (sent, path) in cases {
        for query in ["", "?", "?a=%2F&b=%00?/"] {
            let target = format!("{sent}{query}");
            let got: Value = serde_json::from_slice(&server.get(&target).expect(200).body).unwrap();
            let query = query.trim_start_matches('?').to_owned();
            let query = if query.is_empty() { query } else { "a=%2F&b=%00?/".to_owned() };
            let uri = latin1(target.as_bytes());
            assert_eq!(got, json!(["", latin1(path), query, uri]), "{target}");
        }
    }
}

#[test]
fn every_variable_of_cgi_is_a_native_string_of_latin_1() {
    let server = Server::new("");
    let request = b"POST /strings?%ff=%c3%a9 HTTP/1.1\r\nHost: test\r\nX-Bytes: \xff\xc3\xa9\r\n\
        Cookie: a=\xe2\x82\xac\r\nContent-Type: text/\xe9\r\nContent-Length: 0\r\n\
        User-Agent:\r\n\r\n";
    let mut client = server.connect();
    client.send(request);
    assert_eq!(client.response().expect(200).text(), ".");
}

#[test]
fn an_environ_belongs_to_its_request_alone() {
    let server = Server::new("");
    for _ in 0..3 {
        assert_eq!(server.get("/mutate").expect(200).text(), "clean");
    }
    server.get("/environ").expect(200);
}

#[test]
fn a_chunked_body_has_no_length() {
    let got = environ(
        b"POST /environ HTTP/1.1\r\nHost: test\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
    );
    assert!(!got.contains_key("CONTENT_LENGTH") && !got.contains_key("HTTP_CONTENT_LENGTH"));
    assert_eq!(got["wsgi.input_terminated"], true);
}

#[test]
fn server_name_and_port_are_never_empty() {
    let without_host: &[u8] = b"GET /environ HTTP/1.0\r\n\r\n";
    for (listen, name) in [
        ("127.0.0.1:0", Some("127.0.0.1")),
        // As a URL has it, and RFC 3875, section 4.1.14.
        ("[::1]:0", Some("[::1]")),
        ("0.0.0.0:0", None),
    ] {
        let ini = format!("[rwsgi]\nhttp = {listen}\nchdir = %d\nwsgi-file = app.py\n");
        let server = crate::support::setup::Setup::classic(&ini).start();
        let port = server.address().port();
        let mut client = crate::support::client::Client::connect(match listen {
            "0.0.0.0:0" => ([127, 0, 0, 1], port).into(),
            _ => server.address(),
        });
        client.send(without_host);
        let answer: Value = serde_json::from_slice(&client.response().body).unwrap();
        let got = &answer["environ"];
        assert_eq!(got["SERVER_PORT"], port.to_string(), "{listen}");
        assert!(got["SERVER_NAME"].as_str().is_some_and(|name| !name.is_empty()), "{listen}");
        assert!(name.is_none_or(|name| got["SERVER_NAME"] == name), "{listen}: {got}");
        assert_eq!(got.get("HTTP_HOST"), None);
    }
}

#[test]
fn server_name_and_port_of_a_unix_socket_are_never_empty() {
    let ini = "[rwsgi]\nhttp-socket = %d/web.sock\nchdir = %d\nwsgi-file = app.py\n";
    let server = crate::support::setup::Setup::classic(ini).start();
    let mut client = crate::support::client::Client::unix(&server.place.join("web.sock"));
    client.send("GET /environ HTTP/1.0\r\n\r\n");
    let answer: Value = serde_json::from_slice(&client.response().body).unwrap();
    let got = &answer["environ"];
    assert_eq!((&got["SERVER_NAME"], &got["SERVER_PORT"]), (&json!("localhost"), &json!("80")));
}

#[test]
fn the_url_can_be_put_together_again() {
    let app = "
from wsgiref.util import request_uri
def application(environ, start_response):
    start_response('200 OK', [])
    return [request_uri(environ).encode('latin-1')]
";
    let server = crate::support::setup::Setup::new("").app(app).start();
    let body = |request: &str| server.ask(request).expect(200).text();
    let port = server.address().port();
    let with = "GET /a%20b?c=d HTTP/1.1\r\nHost: shop.test\r\nConnection: close\r\n\r\n";
    assert_eq!(body(with), "http://shop.test/a%20b?c=d");
    let without = "GET /a%20b?c=d HTTP/1.0\r\n\r\n";
    assert_eq!(body(without), format!("http://127.0.0.1:{port}/a%20b?c=d"));
}

#[test]
fn field_values_tunnel_through_latin_1() {
    let got = environ(b"GET /environ HTTP/1.1\r\nHost: test\r\nX-Name: caf\xc3\xa9\r\n\r\n");
    assert_eq!(got["HTTP_X_NAME"], latin1(b"caf\xc3\xa9"));
}

#[test]
fn fields_that_spoof_others_are_dropped() {
    let got = environ(
        b"GET /environ HTTP/1.1\r\nHost: test\r\nX_Forwarded_For: evil\r\nProxy: evil\r\n\r\n",
    );
    assert!(!got.contains_key("HTTP_X_FORWARDED_FOR") && !got.contains_key("HTTP_PROXY"));
}

#[test]
fn repeated_fields_are_joined() {
    let got = environ(
        b"GET /environ HTTP/1.1\r\nHost: test\r\nAccept: a\r\nCookie: x=1\r\nAccept: b\r\n\
        Cookie: y=2\r\n\r\n",
    );
    assert_eq!((&got["HTTP_ACCEPT"], &got["HTTP_COOKIE"]), (&json!("a, b"), &json!("x=1; y=2")));
}

#[test]
fn threads_and_processes_are_told() {
    for (lines, threads, processes) in [("threads=2", true, false), ("processes=2", false, true)] {
        let (got, _) =
            environ_of(&Server::new(lines), b"GET /environ HTTP/1.1\r\nHost: test\r\n\r\n");
        assert_eq!(got["wsgi.multithread"], threads, "{lines}");
        assert_eq!(got["wsgi.multiprocess"], processes, "{lines}");
    }
}

#[test]
fn http_1_0_is_told() {
    assert_eq!(environ(b"GET /environ HTTP/1.0\r\n\r\n")["SERVER_PROTOCOL"], "HTTP/1.0");
}

#[test]
fn an_absolute_target_counts_instead_of_host_and_an_asterisk_is_the_server() {
    let server = Server::new("");
    let (got, _) =
        environ_of(&server, b"GET http://shop.test/environ?q HTTP/1.1\r\nHost: other.test\r\n\r\n");
    assert_eq!((&got["PATH_INFO"], &got["QUERY_STRING"]), (&json!("/environ"), &json!("q")));
    assert_eq!(got["HTTP_HOST"], json!("shop.test"));
    let response = server.ask("OPTIONS * HTTP/1.1\r\nHost: test\r\nConnection: close\r\n\r\n");
    assert!(response.expect(200).field("allow").is_some_and(|allow| allow.contains("GET")));
}
