//! A request of the uwsgi protocol, byte by byte.

use super::client::{Client, Response};
use super::server::Server;
use super::setup::Setup;

/// The packet; a body follows where its CONTENT_LENGTH says so.
#[derive(Debug, Clone, Default)]
pub struct Packet {
    modifier: u8,
    variables: Vec<u8>,
}

impl Packet {
    /// What nginx says of a GET with its `uwsgi_params`.
    pub fn get(target: &str) -> Self {
        Self::request("GET", target, "")
    }

    /// The same of a POST with a body of this many bytes.
    pub fn post(target: &str, length: usize) -> Self {
        Self::request("POST", target, &length.to_string())
    }

    /// The same of a request with this method.
    pub fn request(method: &str, target: &str, length: &str) -> Self {
        let (path, query) = target.split_once('?').unwrap_or((target, ""));
        Self::default()
            .var("QUERY_STRING", query)
            .var("REQUEST_METHOD", method)
            .var("CONTENT_TYPE", "")
            .var("CONTENT_LENGTH", length)
            .var("REQUEST_URI", target)
            .var("PATH_INFO", path)
            .var("DOCUMENT_ROOT", "/usr/share/nginx/html")
            .var("SERVER_PROTOCOL", "HTTP/1.1")
            .var("REQUEST_SCHEME", "http")
            .var("REMOTE_ADDR", "192.0.2.7")
            .var("REMOTE_PORT", "40000")
            .var("SERVER_PORT", "8080")
            .var("SERVER_NAME", "shop.test")
            .var("HTTP_HOST", "shop.test:8080")
    }

    /// One more variable.
    pub fn var(mut self, name: impl AsRef<[u8]>, value: impl AsRef<[u8]>) -> Self {
        for text in [name.as_ref(), value.as_ref()] {
            self.variables.extend(u16::try_from(text.len()).unwrap().to_le_bytes());
            self.variables.extend(text);
        }
        self
    }

    /// Bytes among the variables, whatever they are.
    pub fn raw(mut self, bytes: &[u8]) -> Self {
        self.variables.extend(bytes);
        self
    }

    /// Another first byte.
    pub fn modifier(mut self, modifier: u8) -> Self {
        self.modifier = modifier;
        self
    }

    /// As it is sent.
    pub fn bytes(&self) -> Vec<u8> {
        let [low, high] = u16::try_from(self.variables.len()).unwrap().to_le_bytes();
        [&[self.modifier, low, high, 0], &*self.variables].concat()
    }

    /// The same with a body behind it.
    pub fn with(&self, body: impl AsRef<[u8]>) -> Vec<u8> {
        [&*self.bytes(), body.as_ref()].concat()
    }
}

/// A server with uwsgi sockets of both kinds.
pub fn serve(lines: &str) -> Server {
    Setup::uwsgi(lines).start()
}

pub fn connect(server: &Server) -> Client {
    Client::connect(server.uwsgi_address())
}

/// A client of each kind of socket.
pub fn both(server: &Server) -> [Client; 2] {
    [connect(server), Client::unix(&server.place.join("app.sock"))]
}

pub fn ask(server: &Server, packet: &Packet) -> Response {
    let mut client = connect(server);
    client.send(packet.bytes());
    client.response()
}
