//! A bounded stream of requests while something happens to the server.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering::Relaxed};
use std::thread;

use nix::sys::signal::Signal;

use super::client::Client;
use super::packet::Packet;
use super::server::Server;
use super::wait;

/// What clients saw.
#[derive(Default)]
struct Tally {
    answered: AtomicUsize,
    failures: Mutex<Vec<String>>,
}

impl Tally {
    fn note(&self, outcome: std::io::Result<u16>) {
        match outcome {
            Ok(200) => drop(self.answered.fetch_add(1, Relaxed)),
            other => self.failures.lock().unwrap().push(format!("{other:?}")),
        }
    }
}

/// Where is asked, and what.
pub struct Door {
    connect: Box<dyn Fn() -> std::io::Result<Client> + Sync>,
    request: Vec<u8>,
    keep: bool,
}

impl Door {
    /// HTTP, with a new connection for each request or as few as possible.
    pub fn http(address: SocketAddr, keep: bool) -> Self {
        let connection = if keep { "keep-alive" } else { "close" };
        let request = format!("GET /ok HTTP/1.1\r\nHost: test\r\nConnection: {connection}\r\n\r\n");
        let connect = Box::new(move || Client::try_connect(address));
        Self { connect, request: request.into(), keep }
    }

    /// The uwsgi protocol on a UNIX socket.
    pub fn uwsgi(path: PathBuf) -> Self {
        let connect = Box::new(move || Client::try_unix(&path));
        Self { connect, request: Packet::get("/ok").bytes(), keep: false }
    }
}

/// Asks without pause until told to stop.
fn ask(door: &Door, stop: &AtomicBool, tally: &Tally) {
    let Door { connect, request, keep } = door;
    let mut client = None;
    while !stop.load(Relaxed) {
        let outcome = match client.take() {
            Some(client) => Ok(client),
            None => connect(),
        };
        tally.note(outcome.and_then(|mut open| {
            open.try_send(request)?;
            let response = open.try_response(true)?;
            let goes_on = *keep && response.field("connection") != Some("close");
            client = goes_on.then_some(open);
            Ok(if response.complete { response.status } else { 0 })
        }));
    }
}

/// Ends the load, however what happens meanwhile ends.
struct Stop<'a>(&'a AtomicBool);

impl Drop for Stop<'_> {
    fn drop(&mut self) {
        self.0.store(true, Relaxed);
    }
}

/// Has four clients ask at `address` while `meanwhile` runs, which is given the number of answers so
/// far; fails if one request does.
pub fn under_load(address: SocketAddr, keep: bool, meanwhile: impl FnOnce(&dyn Fn() -> usize)) {
    let failures = failures_under_load(address, keep, meanwhile);
    assert!(failures.is_empty(), "{}: {failures:?}", failures.len());
}

/// The same; what failed.
pub fn failures_under_load(
    address: SocketAddr,
    keep: bool,
    meanwhile: impl FnOnce(&dyn Fn() -> usize),
) -> Vec<String> {
    failures_at(&[Door::http(address, keep)], 4, meanwhile)
}

/// The same, with `clients` at each of these.
pub fn failures_at(
    doors: &[Door],
    clients: usize,
    meanwhile: impl FnOnce(&dyn Fn() -> usize),
) -> Vec<String> {
    let (stop, tally) = (AtomicBool::new(false), Tally::default());
    let (stop, tally) = (&stop, &tally);
    thread::scope(|scope| {
        for door in doors {
            for _ in 0..clients {
                scope.spawn(move || ask(door, stop, tally));
            }
        }
        let stop = Stop(stop);
        meanwhile(&|| tally.answered.load(Relaxed));
        drop(stop);
    });
    tally.failures.lock().unwrap().clone()
}

/// Reloads `server` this often under such a load.
pub fn reload_under_load(server: &Server, address: SocketAddr, keep: bool, reloads: usize) {
    under_load(address, keep, |answered| {
        for count in 1..=reloads {
            let before = answered();
            server.signal(Signal::SIGHUP);
            let done = || {
                let reloaded = server.log().matches("reloaded: ").count() >= count;
                (reloaded && answered() > before + 20).then_some(())
            };
            if wait::within(wait::DEADLINE, done).is_none() {
                break;
            }
        }
    });
    assert_eq!(server.log().matches("reloaded: ").count(), reloads, "{}", server.log());
}
