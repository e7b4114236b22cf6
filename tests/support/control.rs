//! Servers with a control socket, and commands to them.

use std::io::{BufRead as _, BufReader, Write as _};
use std::os::unix::net::UnixStream;

use serde_json::Value;

use super::server::Server;
use super::setup::{Ended, Setup};
use super::wait;

/// The kitchen with a control socket.
pub fn served(lines: &str) -> Server {
    setup(lines).start()
}

/// The same, not yet started.
pub fn setup(lines: &str) -> Setup {
    Setup::new(&format!("control-socket = control\n{lines}"))
}

/// Runs `rwsgi COMMAND … PATH` to its end.
pub fn run(server: &Server, words: &[&str]) -> Ended {
    let path = server.place.join("control").display().to_string();
    let words: Vec<_> = words.iter().copied().chain([path.as_str()]).collect();
    Setup::new("").arguments(&words).run()
}

/// The same, which has to succeed; what it printed.
pub fn tell(server: &Server, words: &[&str]) -> String {
    let ended = run(server, words);
    assert_eq!(ended.code(), 0, "{words:?}: {}", ended.stderr);
    ended.stdout
}

/// A connection to the control socket.
pub fn connect(server: &Server) -> UnixStream {
    let stream = UnixStream::connect(server.place.join("control")).unwrap();
    stream.set_read_timeout(Some(wait::DEADLINE)).unwrap();
    stream
}

/// The answer that comes on such a connection.
pub fn answer(stream: UnixStream) -> Value {
    let mut line = String::new();
    BufReader::new(stream).read_line(&mut line).unwrap();
    serde_json::from_str(&line).unwrap_or_else(|error| panic!("{error}: {line:?}"))
}

/// The answer to one request.
pub fn ask(server: &Server, request: &Value) -> Value {
    let mut stream = connect(server);
    writeln!(stream, "{request}").unwrap();
    answer(stream)
}

/// The answer to `status`.
pub fn status(server: &Server) -> Value {
    ask(server, &serde_json::json!({"command": "status"}))
}
