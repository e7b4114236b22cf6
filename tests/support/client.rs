//! An HTTP client that hides nothing: bytes out, one response in.

use std::io::{self, Read, Write};
use std::net::{IpAddr, SocketAddr, TcpStream};
use std::os::fd::AsFd as _;
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::time::{Duration, Instant};

use rwsgi_core::sys;
use socket2::{Domain, Socket, Type};

use super::wait;

/// How long a response may take.
const PATIENCE: Duration = wait::DEADLINE;

trait Stream: Read + Write + Send {}
impl<T: Read + Write + Send> Stream for T {}

/// One connection.
pub struct Client {
    stream: Box<dyn Stream>,
    tcp: Option<TcpStream>,
    unix: Option<UnixStream>,
    buffer: Vec<u8>,
}

/// One response.
#[derive(Debug)]
pub struct Response {
    pub line: String,
    pub status: u16,
    pub fields: Vec<(String, String)>,
    pub body: Vec<u8>,
    /// Whether the body ended where its framing says that it ends.
    pub complete: bool,
}

impl Response {
    /// A field, by its name in lower case.
    pub fn field(&self, name: &str) -> Option<&str> {
        self.fields.iter().find(|(key, _)| key == name).map(|(_, value)| value.as_str())
    }

    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }

    /// Fails unless it is complete and has this status.
    pub fn expect(self, status: u16) -> Self {
        assert!(self.status == status && self.complete, "{self:?}");
        self
    }
}

impl Client {
    pub fn connect(address: SocketAddr) -> Self {
        Self::try_connect(address).unwrap()
    }

    pub fn try_connect(address: SocketAddr) -> io::Result<Self> {
        Self::over(TcpStream::connect(address)?)
    }

    /// From another of this machine's addresses: all of 127.0.0.0/8 are.
    pub fn from(source: &str, address: SocketAddr) -> Self {
        let source: IpAddr = source.parse().unwrap();
        let socket = Socket::new(Domain::for_address(address), Type::STREAM, None).unwrap();
        socket.bind(&SocketAddr::new(source, 0).into()).unwrap();
        socket.connect(&address.into()).unwrap();
        Self::over(socket.into()).unwrap()
    }

    fn over(stream: TcpStream) -> io::Result<Self> {
        stream.set_nodelay(true)?;
        stream.set_read_timeout(Some(PATIENCE))?;
        stream.set_write_timeout(Some(PATIENCE))?;
        let tcp = Some(stream.try_clone()?);
        Ok(Self { stream: Box::new(stream), tcp, unix: None, buffer: Vec::new() })
    }

    pub fn unix(path: &Path) -> Self {
        Self::try_unix(path).unwrap()
    }

    pub fn try_unix(path: &Path) -> io::Result<Self> {
        let stream = UnixStream::connect(path)?;
        stream.set_read_timeout(Some(PATIENCE))?;
        stream.set_write_timeout(Some(PATIENCE))?;
        let unix = Some(stream.try_clone().unwrap());
        Ok(Self { stream: Box::new(stream), tcp: None, unix, buffer: Vec::new() })
    }

    /// The same connection, for another thread; what has been read so far stays here.
    pub fn try_clone(&self) -> io::Result<Self> {
        let stream = self.tcp.as_ref().ok_or(io::ErrorKind::Unsupported)?.try_clone()?;
        let tcp = Some(stream.try_clone()?);
        Ok(Self { stream: Box::new(stream), tcp, unix: None, buffer: Vec::new() })
    }

    pub fn local_port(&self) -> u16 {
        self.tcp.as_ref().unwrap().local_addr().unwrap().port()
    }

    pub fn send(&mut self, bytes: impl AsRef<[u8]>) {
        self.try_send(bytes).unwrap();
    }

    pub fn try_send(&mut self, bytes: impl AsRef<[u8]>) -> io::Result<()> {
        self.stream.write_all(bytes.as_ref())
    }

    /// The socket itself, past what is buffered here.
    pub fn raw(&self) -> TcpStream {
        self.tcp.as_ref().unwrap().try_clone().unwrap()
    }

    /// Sends no more.
    pub fn half_close(&self) {
        self.tcp.as_ref().unwrap().shutdown(std::net::Shutdown::Write).unwrap();
    }

    /// Whether nothing has arrived within `limit`.
    pub fn is_silent_for(&mut self, limit: Duration) -> bool {
        let tcp = self.tcp.as_ref().unwrap();
        let began = Instant::now();
        let got = loop {
            let rest = limit.saturating_sub(began.elapsed()).max(Duration::from_millis(1));
            tcp.set_read_timeout(Some(rest)).unwrap();
            match tcp.peek(&mut [0]) {
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                got => break got,
            }
        };
        tcp.set_read_timeout(Some(PATIENCE)).unwrap();
        got.is_err_and(|error| error.kind() == io::ErrorKind::WouldBlock)
    }

    /// `GET path` on this connection, which stays open.
    pub fn get(&mut self, path: &str) -> Response {
        self.send(format!("GET {path} HTTP/1.1\r\nHost: test\r\n\r\n"));
        self.response()
    }

    /// `GET path`; an error when no response comes.
    pub fn try_response_to(&mut self, path: &str) -> io::Result<Response> {
        self.try_send(format!("GET {path} HTTP/1.1\r\nHost: test\r\n\r\n"))?;
        self.try_response(true)
    }

    /// The next response.
    pub fn response(&mut self) -> Response {
        self.try_response(true).unwrap()
    }

    /// The next response, to a HEAD.
    pub fn response_to_head(&mut self) -> Response {
        self.try_response(false).unwrap()
    }

    /// The next response; an error when the connection ends before its head does.
    pub fn try_response(&mut self, may_have_body: bool) -> io::Result<Response> {
        let head = self.until(b"\r\n\r\n")?;
        let head = String::from_utf8_lossy(&head).into_owned();
        let mut lines = head.trim_end().split("\r\n");
        let line = lines.next().unwrap_or("").to_owned();
        let status = line.get(9..12).and_then(|code| code.parse().ok());
        let status = status.ok_or_else(|| io::Error::other(format!("no status: {line:?}")))?;
        let field = |line: &str| {
            let (name, value) = line.split_once(':')?;
            Some((name.to_ascii_lowercase(), value.trim().to_owned()))
        };
        let fields = lines.filter_map(field).collect();
        let mut response = Response { line, status, fields, body: Vec::new(), complete: true };
        if may_have_body && status >= 200 && status != 204 && status != 304 {
            (response.body, response.complete) = self.body(&response)?;
        }
        Ok(response)
    }

    fn body(&mut self, response: &Response) -> io::Result<(Vec<u8>, bool)> {
        if response.field("transfer-encoding") == Some("chunked") {
            return Ok(self.chunks());
        }
        let Some(length) = response.field("content-length") else {
            return Ok(self.remainder());
        };
        let length = length.parse().map_err(io::Error::other)?;
        let complete = self.fill(length).is_ok();
        let length = length.min(self.buffer.len());
        Ok((self.buffer.drain(..length).collect(), complete))
    }

    fn chunks(&mut self) -> (Vec<u8>, bool) {
        let mut body = Vec::new();
        loop {
            let Ok(line) = self.until(b"\r\n") else { return (body, false) };
            let text = String::from_utf8_lossy(&line).trim().to_owned();
            let Ok(size) = usize::from_str_radix(&text, 16) else { return (body, false) };
            if self.fill(size + 2).is_err() {
                return (body, false);
            }
            body.extend(self.buffer.drain(..size + 2).take(size));
            if size == 0 {
                return (body, true);
            }
        }
    }

    /// Everything up to the end of the connection.
    pub fn rest(&mut self) -> Vec<u8> {
        self.remainder().0
    }

    /// The same, and whether the end was one and no reset.
    pub fn remainder(&mut self) -> (Vec<u8>, bool) {
        loop {
            if let Err(error) = self.fill(self.buffer.len() + 1) {
                let clean = error.kind() == io::ErrorKind::UnexpectedEof;
                return (std::mem::take(&mut self.buffer), clean);
            }
        }
    }

    /// Waits until this has come, and takes it with all that came before it.
    pub fn take_up_to(&mut self, text: &str) -> Vec<u8> {
        self.until(text.as_bytes()).unwrap()
    }

    /// Reads to the end of the connection: whether it was an orderly one.
    pub fn end(&mut self) -> Result<(), io::ErrorKind> {
        loop {
            match self.fill(self.buffer.len() + 1) {
                Ok(()) => {}
                Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => return Ok(()),
                Err(error) => return Err(error.kind()),
            }
        }
    }

    /// Whether the server has closed the connection, within the client's patience.
    pub fn is_closed(&mut self) -> bool {
        match self.fill(self.buffer.len() + 1) {
            Ok(()) => false,
            Err(error) => error.kind() != io::ErrorKind::WouldBlock,
        }
    }

    /// Waits until `bytes` have come; they stay to be read.
    pub fn wait_for(&mut self, bytes: &[u8]) {
        while !self.buffer.windows(bytes.len()).any(|window| window == bytes) {
            self.fill(self.buffer.len() + 1).expect("the server sends more");
        }
    }

    /// Whether the server closes the connection, and without a reset.
    pub fn has_ended_well(&mut self) -> bool {
        let ended = self.fill(self.buffer.len() + 1);
        ended.is_err_and(|error| error.kind() == io::ErrorKind::UnexpectedEof)
    }

    /// Whether the server answers to bytes that are sent now with a reset.
    pub fn is_reset(&mut self) -> bool {
        let gone = |error: io::Error| {
            matches!(error.kind(), io::ErrorKind::ConnectionReset | io::ErrorKind::BrokenPipe)
        };
        self.try_send("x").is_err_and(gone)
    }

    /// Waits until the server has taken every byte that was sent out of its UNIX socket.
    pub fn wait_until_read(&self) {
        let unix = self.unix.as_ref().expect("only a UNIX socket knows what its peer has read");
        let is_read = || sys::unsent(unix.as_fd()).unwrap() == 0;
        // The server is fast: most of the time there is no reason to pause.
        if !(0..100).any(|_| {
            is_read() || {
                std::thread::yield_now();
                false
            }
        }) {
            wait::until("the server to read", || is_read().then_some(()));
        }
    }

    fn until(&mut self, end: &[u8]) -> io::Result<Vec<u8>> {
        loop {
            let found = self.buffer.windows(end.len()).position(|window| window == end);
            if let Some(at) = found {
                return Ok(self.buffer.drain(..at + end.len()).collect());
            }
            self.fill(self.buffer.len() + 1)?;
        }
    }

    fn fill(&mut self, length: usize) -> io::Result<()> {
        let mut block = vec![0; 65536];
        while self.buffer.len() < length {
            match self.stream.read(&mut block) {
                Ok(0) => return Err(io::ErrorKind::UnexpectedEof.into()),
                Ok(count) => self.buffer.extend(&block[..count]),
                // This process was stopped and goes on: a read with a timeout is not begun again.
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }
}

/// The same bytes of responses, where what comes in chunks comes in one: who sends them decides how many.
pub fn join_chunks(mut rest: &[u8]) -> Vec<u8> {
    let split = |bytes: &[u8], by: &[u8]| {
        bytes.windows(by.len()).position(|part| part == by).map(|at| at + by.len())
    };
    let mut all = Vec::new();
    while let Some(end) = split(rest, b"\r\n\r\n") {
        let (head, body) = rest.split_at(end);
        all.extend(head);
        rest = body;
        let head = String::from_utf8_lossy(head).to_lowercase();
        while head.contains("transfer-encoding: chunked")
            && let Some(start) = split(rest, b"\r\n")
            && let Ok(line) = std::str::from_utf8(&rest[..start - 2])
            && let Ok(size @ 1..) = usize::from_str_radix(line, 16)
            && rest.len() >= start + size + 2
        {
            all.extend(&rest[start..start + size]);
            rest = &rest[start + size + 2..];
        }
    }
    all.extend(rest);
    all
}
