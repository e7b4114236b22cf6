//! What a server makes of bytes: it serves them, or it refuses them and whatever follows.

use super::client::Response;
use super::server::Server;

/// A request that follows one that is refused, and that nobody may serve.
const SMUGGLED: &[u8] = b"GET /smuggled HTTP/1.1\r\nHost: test\r\n\r\n";

impl Server {
    /// Fails unless `bytes` are refused with `status` and nothing that follows them is served.
    pub fn refuses(&self, status: u16, bytes: impl AsRef<[u8]>) -> Response {
        let bytes = bytes.as_ref();
        let shown = String::from_utf8_lossy(&bytes[..bytes.len().min(200)]).into_owned();
        let mut client = self.connect();
        client.send([bytes, SMUGGLED].concat());
        let response = client.try_response(true);
        let response = response.unwrap_or_else(|error| panic!("{shown:?}: {error}"));
        assert!(response.status == status && response.complete, "{shown:?}: {response:?}");
        assert_eq!(response.field("connection"), Some("close"), "{shown:?}");
        for field in ["date", "server", "content-length", "content-type"] {
            assert!(response.field(field).is_some(), "{shown:?}: no {field} in {response:?}");
        }
        assert_eq!(String::from_utf8_lossy(&client.rest()), "", "{shown:?}");
        response
    }

    /// The same for all of `requests`; then nothing of what followed them may be in the log.
    pub fn refuses_all<T: AsRef<[u8]>>(&self, status: u16, requests: impl IntoIterator<Item = T>) {
        for request in requests {
            self.refuses(status, request);
        }
        self.get("/ok").expect(200);
        self.wait_for_log("\"GET /ok HTTP/1.1\" 200", 1);
        assert!(!self.log().contains("/smuggled"), "{}", self.log());
    }

    /// Fails unless `bytes` are answered with 200 and the connection goes on.
    pub fn serves(&self, bytes: impl AsRef<[u8]>) -> Response {
        let bytes = bytes.as_ref();
        let shown = String::from_utf8_lossy(&bytes[..bytes.len().min(200)]).into_owned();
        let mut client = self.connect();
        client.send(bytes);
        let response = client.response();
        assert!(response.status == 200 && response.complete, "{shown:?}: {response:?}");
        assert_eq!(client.get("/ok").status, 200, "{shown:?}");
        response
    }
}
