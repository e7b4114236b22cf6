//! What may be an application, and how it is called.

use crate::support::setup::Setup;

fn serves(app: &str, body: &str) {
    let server = Setup::new("").app(app).start();
    for _ in 0..2 {
        assert_eq!(server.get("/").expect(200).text(), body, "{app}");
    }
}

#[test]
fn it_is_called_with_two_positional_arguments_once_for_a_request() {
    let app = "
calls = []
def application(*arguments, **named):
    calls.append((len(arguments), len(named)))
    environ, start_response = arguments
    start_response('200 OK', [])
    return [repr(calls).encode()]
";
    let server = Setup::new("").app(app).start();
    assert_eq!(server.get("/").expect(200).text(), "[(2, 0)]");
    assert_eq!(server.get("/").expect(200).text(), "[(2, 0), (2, 0)]");
}

#[test]
fn a_class_an_instance_and_a_method_are_applications_too() {
    let class = "
class application:
    def __init__(self, environ, start_response):
        self.start_response = start_response
    def __iter__(self):
        self.start_response('200 OK', [])
        yield b'class'
";
    serves(class, "class");
    let instance = "
class Application:
    def __call__(self, environ, start_response):
        start_response('200 OK', [])
        return [b'instance']
    def method(self, environ, start_response):
        start_response('200 OK', [])
        return [b'method']
application = Application()
";
    serves(instance, "instance");
    serves(&format!("{instance}application = application.method\n"), "method");
}

#[test]
fn a_generator_function_is_an_application() {
    let app = "
def application(environ, start_response):
    start_response('200 OK', [])
    yield b'gen'
    yield b'erator'
";
    serves(app, "generator");
}

#[test]
fn one_thread_never_runs_two_requests_at_once() {
    let app = "
import time
running = []
def application(environ, start_response):
    running.append(1)
    time.sleep(0.01)
    start_response('200 OK', [])
    most = len(running)
    yield str(most).encode()
    time.sleep(0.01)
    running.pop()
";
    let server = Setup::new("threads=1").app(app).start();
    let mut clients: Vec<_> = (0..8).map(|_| server.connect_and_send("/")).collect();
    for client in &mut clients {
        assert_eq!(client.response().expect(200).text(), "1");
    }
}

#[test]
fn python_optimizes_and_leaves_site_out_as_it_is_told_to() {
    let app = "
import sys
def application(environ, start_response):
    start_response('200 OK', [])
    return [repr((sys.flags.optimize, sys.flags.no_site, __debug__)).encode()]
";
    let server = Setup::new("optimize = 2\nno-site = true").app(app).start();
    assert_eq!(server.get("/").expect(200).text(), "(2, 1, False)");
    server.place.write("app.ini", &server.place.read("app.ini").replace("optimize = 2", ""));
    server.reload(1);
    server.wait_for_log("reloaded: ", 1);
    assert_eq!(server.get("/").expect(200).text(), "(0, 1, True)");
}
