//! The reference implementation's own check of servers.

use crate::support::server::Server;
use crate::support::setup::Setup;

const APP: &str = r"
from wsgiref.validate import validator

def plain(environ, start_response):
    source = environ['wsgi.input']
    body = source.read(3) + source.readline(10) + b''.join(source.readlines()) + source.read(1)
    start_response('200 OK', [('Content-Type', 'text/plain'), ('Content-Length', str(len(body)))])
    return [body]

def generator(environ, start_response):
    start_response('200 OK', [('Content-Type', 'text/plain')])
    yield b'one,'
    yield b'two'

def route(environ, start_response):
    inner = generator if environ['PATH_INFO'] == '/generator' else plain
    return inner(environ, start_response)

application = validator(route)
";

fn ask(server: &Server, request: &str) -> String {
    let mut client = server.connect();
    client.send(request);
    let response = client.try_response(!request.starts_with("HEAD")).unwrap();
    let problem =
        server.log().lines().find(|line| line.contains("AssertionError")).map(str::to_owned);
    assert_eq!((response.status, problem), (200, None), "{}", server.log());
    response.text()
}

#[test]
fn the_validator_finds_nothing() {
    let server = Setup::new("").app(APP).start();
    let close = "Host: test\r\nConnection: close\r\n";
    assert_eq!(ask(&server, &format!("GET / HTTP/1.1\r\n{close}\r\n")), "");
    let post = format!("POST / HTTP/1.1\r\n{close}Content-Length: 12\r\n\r\nabc\ndef\nghij");
    assert_eq!(ask(&server, &post), "abc\ndef\nghij");
    let chunked = format!(
        "POST / HTTP/1.1\r\n{close}Transfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n"
    );
    assert_eq!(ask(&server, &chunked), "abc");
    assert_eq!(ask(&server, &format!("HEAD / HTTP/1.1\r\n{close}\r\n")), "");
    assert_eq!(ask(&server, &format!("GET /generator HTTP/1.1\r\n{close}\r\n")), "one,two");
}
