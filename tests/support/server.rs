//! A server in the foreground, with a supervisor that listens to what it says.

use std::net::SocketAddr;
use std::os::unix::net::UnixDatagram;
use std::path::Path;
use std::process::{Child, ExitStatus};
use std::sync::{Arc, Mutex};

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use super::client::{Client, Response};
use super::place::Place;
use super::setup::Setup;
use super::wait;

/// It serves. It is stopped when dropped, and nothing may be left of it then.
pub struct Server {
    child: Child,
    ended: Option<ExitStatus>,
    said: Arc<Mutex<Vec<String>>>,
    pub place: Place,
}

impl Server {
    /// The kitchen, with `lines` in its configuration.
    pub fn new(lines: &str) -> Self {
        Setup::new(lines).start()
    }

    pub(super) fn start(setup: Setup) -> Self {
        let server = Self::launch(setup);
        server.wait_for_notification("READY=1", 1);
        server
    }

    /// Started, not yet ready.
    pub fn launch(setup: Setup) -> Self {
        let path = setup.place.join("notify");
        let said = supervise(&path);
        let mut setup = setup.variable("NOTIFY_SOCKET", &path.display().to_string());
        let child = setup.spawn().unwrap();
        let place = setup.place;
        Self { child, ended: None, said, place }
    }

    pub fn pid(&self) -> i32 {
        i32::try_from(self.child.id()).unwrap()
    }

    pub fn signal(&self, signal: Signal) {
        kill(Pid::from_raw(self.pid()), signal).unwrap();
    }

    /// Everything on standard error.
    pub fn log(&self) -> String {
        self.place.read("stderr")
    }

    /// Waits until the log has `text` `count` times.
    pub fn wait_for_log(&self, text: &str, count: usize) {
        let found = wait::within(wait::DEADLINE, || {
            (self.log().matches(text).count() >= count).then_some(())
        });
        assert!(found.is_some(), "no `{text}` × {count} in the log:\n{}", self.log());
    }

    /// What the supervisor was told, one message after the other.
    pub fn notifications(&self) -> Vec<String> {
        self.said.lock().unwrap().clone()
    }

    /// Waits until a line was told `count` times.
    pub fn wait_for_notification(&self, line: &str, count: usize) {
        let found = wait::within(wait::DEADLINE, || {
            let said = self.notifications();
            let lines = said.iter().flat_map(|message| message.lines());
            (lines.filter(|said| said.starts_with(line)).count() >= count).then_some(())
        });
        assert!(
            found.is_some(),
            "no {line} × {count}:\n{:?}\n{}",
            self.notifications(),
            self.log()
        );
    }

    /// The first address of its log.
    pub fn address(&self) -> SocketAddr {
        address(&self.place, "stderr")
    }

    /// The first address where it speaks the uwsgi protocol.
    pub fn uwsgi_address(&self) -> SocketAddr {
        address_of(&self.place, "stderr", "uwsgi")
    }

    pub fn connect(&self) -> Client {
        Client::connect(self.address())
    }

    /// The same, to the UNIX socket of a server with `http = app.sock`.
    pub fn connect_locally(&self) -> Client {
        Client::unix(&self.place.join("app.sock"))
    }

    /// One response to `GET path`, on a connection of its own.
    pub fn get(&self, path: &str) -> Response {
        self.ask(&format!("GET {path} HTTP/1.1\r\nHost: test\r\nConnection: close\r\n\r\n"))
    }

    /// A connection on which `GET path` has been sent, and nothing will follow.
    pub fn connect_and_send(&self, path: &str) -> Client {
        let mut client = self.connect();
        client.send(format!("GET {path} HTTP/1.1\r\nHost: test\r\nConnection: close\r\n\r\n"));
        client
    }

    /// One response to `request`, on a connection of its own.
    pub fn ask(&self, request: &str) -> Response {
        let mut client = self.connect();
        client.send(request);
        client.response()
    }

    /// The pids of all workers that have served, in the order of the log.
    pub fn workers(&self) -> Vec<i32> {
        self.wait_for_log("ready: ", 1);
        pids(&self.log())
    }

    /// SIGHUP, and waits until the `count`th reload of this server is done or has failed.
    pub fn reload(&self, count: usize) {
        self.signal(Signal::SIGHUP);
        self.wait_for_notification("READY=1", count + 1);
    }

    /// Waits until it ends by itself.
    pub fn wait(&mut self) -> ExitStatus {
        if let Some(status) = self.ended {
            return status;
        }
        let child = &mut self.child;
        let status = wait::within(wait::DEADLINE, || child.try_wait().unwrap());
        self.ended = status;
        status.unwrap_or_else(|| panic!("it does not end:\n{}", self.log()))
    }

    /// SIGTERM, and how it ended.
    pub fn stop(&mut self) -> ExitStatus {
        self.signal(Signal::SIGTERM);
        self.wait()
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let path = self.place.join("notify");
        let _ = UnixDatagram::unbound().and_then(|socket| socket.send_to(FAREWELL, path));
        if std::thread::panicking() {
            println!("--- log ---\n{}", self.log());
        }
        if self.ended.is_some() {
            return;
        }
        self.signal(Signal::SIGTERM);
        let child = &mut self.child;
        let ended = wait::within(wait::DEADLINE, || child.try_wait().ok().flatten()).is_some();
        if !ended {
            let _ = self.child.kill();
            let _ = self.child.wait();
        }
        if !std::thread::panicking() {
            assert!(ended, "it had to be killed:\n{}", self.log());
        }
    }
}

/// What ends the supervisor's thread.
const FAREWELL: &[u8] = b"END";

/// Collects what is told at `path`. It always listens: a full queue would block who tells.
fn supervise(path: &Path) -> Arc<Mutex<Vec<String>>> {
    let socket = UnixDatagram::bind(path).unwrap();
    let said = Arc::new(Mutex::new(Vec::new()));
    let theirs = Arc::clone(&said);
    std::thread::spawn(move || {
        let mut buffer = [0; 4096];
        while let Ok(length) = socket.recv(&mut buffer) {
            let text = &buffer[..length];
            if text == FAREWELL {
                return;
            }
            theirs.lock().unwrap().push(String::from_utf8_lossy(text).into_owned());
        }
    });
    said
}

/// The first TCP address of a log where HTTP is spoken.
pub fn address(place: &Place, log: &str) -> SocketAddr {
    address_of(place, log, "http")
}

fn address_of(place: &Place, log: &str, protocol: &str) -> SocketAddr {
    let before = format!("listening on {protocol}://");
    wait::until("an address in the log", || {
        let text = place.read(log);
        let mut addresses = text.split(&before).skip(1).filter_map(|rest| rest.lines().next());
        addresses.find_map(|address| address.parse().ok())
    })
}

/// The pids of the workers that a log says to serve.
pub fn pids(log: &str) -> Vec<i32> {
    let lines = log.lines().filter(|line| line.ends_with(") serves"));
    lines.filter_map(|line| line.split_once("(pid ")?.1.split_once(')')?.0.parse().ok()).collect()
}
