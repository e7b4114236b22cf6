//! The header of the PROXY protocol, before anything else on a connection.

use std::future::poll_fn;
use std::task::Poll;

use rwsgi_core::log::{self, Event};
use rwsgi_protocol::http1::Refusal;
use rwsgi_protocol::proxy::{self, Parsed};

use crate::accept::Peer;
use crate::connection::{Announced, Connection};
use crate::worker::Worker;

/// Reads the header; `false` when there is none, or from somebody who is not trusted: the connection
/// is then closed without an answer, as the protocol demands.
pub(crate) async fn receive(worker: &Worker, connection: &Connection) -> bool {
    if !worker.origins.may_announce(connection.neighbour()) {
        let message = "it sends a header of the PROXY protocol and is not in `trusted-proxies`";
        complain(worker, connection, message);
        return false;
    }
    loop {
        match parse(connection) {
            Ok(true) => return true,
            Ok(false) => {}
            Err(error) => {
                complain(worker, connection, &error.to_string());
                return false;
            }
        }
        match more(worker, connection).await {
            Ok(()) => {}
            Err(Ended::Slow(refusal)) => {
                complain(worker, connection, &refusal.to_string());
                return false;
            }
            Err(Ended::Left) => {
                // A balancer that only looks whether somebody listens says nothing.
                if !connection.intake().bytes().is_empty() {
                    complain(worker, connection, "it ended within a header of the PROXY protocol");
                }
                return false;
            }
        }
    }
}

/// Why no more comes.
enum Ended {
    /// The client took too long.
    Slow(Refusal),
    /// It has left.
    Left,
}

/// Waits for more of the header.
async fn more(worker: &Worker, connection: &Connection) -> Result<(), Ended> {
    let filled = poll_fn(|cx| {
        if let Some(refused) = connection.intake().refusal() {
            return Poll::Ready(Err(Ended::Slow(refused.refusal)));
        }
        connection.poll_fill(worker, cx).map(Ok)
    });
    match filled.await? {
        Ok(true) => Ok(()),
        Ok(false) | Err(_) => Err(Ended::Left),
    }
}

/// Whether the header is there as a whole.
fn parse(connection: &Connection) -> Result<bool, proxy::ProxyError> {
    let mut intake = connection.intake();
    let Parsed::Header { length, source, tls } = proxy::parse(intake.bytes())? else {
        return Ok(false);
    };
    intake.consume(length);
    let peer = source.map(|ends| Peer::at(ends.client));
    connection.announce(Announced { peer, tls });
    Ok(true)
}

fn complain(worker: &Worker, connection: &Connection, what: &str) {
    let message = format!("connection refused: {what}");
    worker.complain(&connection.neighbour().address, log::info(Event::ClientError, message));
}
