//! What a new worker has to answer before it serves anybody (`reload-probe`).
//!
//! It is a client of its own: the request comes on a connection like all others, goes the same way,
//! and is answered by the application on a Python thread, while the listeners are left alone. The
//! client's end is on a thread that waits for neither Python nor the reactor, so that it can tell
//! of whatever hangs.

use std::io::{self, ErrorKind, Read as _, Write as _};
use std::os::unix::net::UnixStream;
use std::sync::Arc;
use std::sync::mpsc;
use std::time::{Duration, Instant};

use nix::sys::signal::{Signal, raise};
use rwsgi_core::config::reloading::Probe;
use rwsgi_core::exit::ExitCode;
use rwsgi_core::ipc::{Failure, FromWorker, Probing};
use rwsgi_core::log::{self, Event};
use rwsgi_core::sys;

use crate::accept::{Listener, Peer};
use crate::connection::{self, Connection};
use crate::worker::Worker;

/// Bytes of a head that are read.
const LONGEST_HEAD: usize = 64 * 1024;
/// How long Python may take to say where it is.
const LAST_WORDS: Duration = Duration::from_secs(1);

/// Why a probe has failed.
#[derive(Debug, PartialEq, Eq)]
enum Refused {
    /// The answer is there, and is not good.
    Answer(String),
    /// There was none in time.
    Late,
}

/// Asks, and has the worker serve when the answer is there. Returns at once.
pub(crate) fn begin(worker: &'static Worker, probe: &Probe, probing: Probing) -> io::Result<()> {
    let (ours, theirs) = UnixStream::pair()?;
    ours.set_nonblocking(true)?;
    let listener = Listener::internal(worker.listeners.first().map(Arc::as_ref))?;
    let peer = Peer { address: "127.0.0.1".into(), port: "0".into() };
    let connection = Arc::new(Connection::new(worker, ours.into(), peer, Arc::new(listener)));
    let key = worker.add(&connection);
    worker.reactor().spawn(async move {
        connection::serve(worker, connection).await;
        worker.remove(key);
    });
    let probe = probe.clone();
    let builder = std::thread::Builder::new().name("rwsgi-probe".into()).stack_size(256 * 1024);
    builder.spawn(move || conclude(worker, &probe, probing, theirs)).map(drop)
}

fn conclude(worker: &Worker, probe: &Probe, probing: Probing, stream: UnixStream) {
    let time = worker.config.reloading.probe_timeout;
    let refused = match ask(stream, probe, time) {
        Ok(()) => return worker.announce(),
        Err(refused) => refused,
    };
    let path = &probe.path;
    let summary = match &refused {
        Refused::Answer(what) => format!("GET {path} (reload-probe) {what}"),
        Refused::Late => {
            let seconds = time.as_secs();
            format!("GET {path} (reload-probe) is not answered after {seconds} s")
        }
    };
    if probing == Probing::Told {
        let message = format!("{summary}: a reload would fail");
        log::warning(Event::ProbeFailed, message).send();
        return worker.announce();
    }
    let traceback = if refused == Refused::Late { where_it_is(worker) } else { String::new() };
    let failure = Failure { traceback, ..Failure::plain(summary) };
    let _ = worker.channel.send(&FromWorker::Failed(failure), &[]);
    // It leaves as after any order to: with its atexit hooks.
    if refused == Refused::Late || raise(Signal::SIGTERM).is_err() {
        log::flush();
        sys::exit_now(ExitCode::Application as u8);
    }
}

/// The stacks of the threads that run requests.
fn where_it_is(worker: &Worker) -> String {
    let (tell, told) = mpsc::channel();
    let desks = Arc::clone(&worker.desks);
    worker.inquirer.ask(move |py| drop(tell.send(crate::stacks::of_hands(py, &desks))));
    match told.recv_timeout(LAST_WORDS) {
        Ok(Ok(stacks)) => stacks,
        Ok(Err(_)) => String::new(),
        Err(_) => "code that does not return holds Python's lock".to_owned(),
    }
}

fn ask(mut stream: UnixStream, probe: &Probe, time: Duration) -> Result<(), Refused> {
    let deadline = Instant::now() + time;
    let broken = |error: io::Error| match error.kind() {
        ErrorKind::WouldBlock | ErrorKind::TimedOut => Refused::Late,
        _ => Refused::Answer(format!("is not answered: {error}")),
    };
    let Probe { path, host } = probe;
    let request = format!(
        "GET {path} HTTP/1.1\r\nHost: {host}\r\nUser-Agent: rwsgi-probe\r\nAccept: */*\r\n\
         Connection: close\r\n\r\n"
    );
    stream
        .set_write_timeout(Some(time))
        .and_then(|()| stream.write_all(request.as_bytes()))
        .map_err(broken)?;
    let (mut head, mut tail, mut buffer) = (Vec::new(), Vec::new(), [0; 4096]);
    loop {
        let left = deadline.saturating_duration_since(Instant::now());
        if left.is_zero() {
            return Err(Refused::Late);
        }
        stream.set_read_timeout(Some(left)).map_err(broken)?;
        let count = match stream.read(&mut buffer) {
            Ok(0) => return verdict(&head, &tail),
            Ok(count) => count,
            Err(error) if error.kind() == ErrorKind::Interrupted => continue,
            Err(error) => return Err(broken(error)),
        };
        let room = LONGEST_HEAD.saturating_sub(head.len()).min(count);
        head.extend_from_slice(&buffer[..room]);
        // The last bytes tell whether chunks have ended.
        tail.extend_from_slice(&buffer[..count]);
        tail.drain(..tail.len().saturating_sub(LAST_CHUNK.len()));
    }
}

const LAST_CHUNK: &[u8] = b"0\r\n\r\n";

/// What is said of a response of which this is the beginning, and this the end.
fn verdict(head: &[u8], tail: &[u8]) -> Result<(), Refused> {
    let text = String::from_utf8_lossy(head);
    let Some((head, _)) = text.split_once("\r\n\r\n") else {
        return Err(Refused::Answer("is not answered: the connection was cut".into()));
    };
    let head = head.to_ascii_lowercase();
    let status = head.strip_prefix("http/1.1 ").and_then(|rest| rest.get(..3));
    let status = status.and_then(|digits| digits.parse::<u16>().ok()).unwrap_or(0);
    if !(200..400).contains(&status) {
        return Err(Refused::Answer(format!("is answered with {status}, expected 2xx or 3xx")));
    }
    if head.contains("transfer-encoding: chunked") && tail != LAST_CHUNK {
        return Err(Refused::Answer("is answered in part: the body broke off".into()));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn verdict_of(response: &str) -> Result<(), Refused> {
        let tail = response.len().saturating_sub(LAST_CHUNK.len());
        verdict(response.as_bytes(), &response.as_bytes()[tail..])
    }

    fn says(response: &str, what: &str) {
        let Err(Refused::Answer(said)) = verdict_of(response) else { panic!("{response}") };
        assert!(said.contains(what), "{said}");
    }

    #[test]
    fn two_hundred_and_three_hundred_are_good() {
        for status in ["200 OK", "204 No Content", "302 Found", "399 Odd"] {
            assert_eq!(verdict_of(&format!("HTTP/1.1 {status}\r\n\r\n")), Ok(()));
        }
        for status in ["100 Continue", "400 Bad Request", "500 Internal Server Error"] {
            says(&format!("HTTP/1.1 {status}\r\n\r\n"), &status[..3]);
        }
    }

    #[test]
    fn what_breaks_off_is_not() {
        says("", "cut");
        says("HTTP/1.1 200 OK\r\nA: b\r\n", "cut");
        let chunked = "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\n";
        says(chunked, "broke off");
        assert_eq!(verdict_of(&format!("{chunked}0\r\n\r\n")), Ok(()));
    }
}
