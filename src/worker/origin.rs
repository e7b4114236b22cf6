//! Who the client is behind proxies, and which of them are believed.

use std::net::IpAddr;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};

use http::HeaderName;
use rwsgi_core::config::Proxies;
use rwsgi_core::config::value::Peers;
use rwsgi_core::log::{self, Event};
use rwsgi_core::request_id;
use rwsgi_protocol::forwarded::{self, Fields, ForwardedError, Origin, Trust, Values};
use rwsgi_protocol::request::{Head, Request};
use rwsgi_protocol::scheme::Scheme;

use crate::accept::Peer;
use crate::connection::Connection;

const X_REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");

/// Who is believed.
#[derive(Debug)]
pub(crate) struct Origins {
    /// `None`: it was not said who.
    trust: Option<Trust>,
    /// The fields that the trusted proxies set.
    fields: Vec<String>,
    /// Whether they name the requests.
    names_requests: bool,
    warned: AtomicBool,
}

/// What becomes of a client's fields such as X-Forwarded-For.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Forwarding {
    /// They reach the application: those that the trusted proxies set, or all from this machine.
    Kept,
    /// They are removed: anybody could have sent them.
    Cleared,
}

impl Origins {
    pub(crate) fn new(proxies: &Proxies) -> Self {
        let trust = proxies.trusted.as_ref().map(|peers| trust(peers, proxies));
        let fields = proxies.fields.clone();
        let names_requests = fields.iter().any(|field| field == X_REQUEST_ID.as_str());
        Self { trust, fields, names_requests, warned: AtomicBool::new(false) }
    }

    /// Whether this neighbour may say in a header of the PROXY protocol who the client is.
    pub(crate) fn may_announce(&self, neighbour: &Peer) -> bool {
        self.trust.as_ref().is_none_or(|trust| trust.trusts(&neighbour.kind()))
    }

    /// Finds out who asks, and notes it in the request.
    ///
    /// # Errors
    /// A trusted proxy sent what cannot be understood: the request is refused, since nobody knows
    /// whose it is.
    pub(crate) fn resolve(
        &self,
        connection: &Connection,
        request: &mut Request,
    ) -> Result<(), ForwardedError> {
        if connection.is_tls() {
            request.origin.scheme = Some(Scheme::Https);
        }
        if self.names_requests {
            request.given_id = self.given_id(connection, request);
        }
        let Some(trust) = &self.trust else { return Ok(()) };
        let peer = who(connection, request);
        if !trust.trusts(&peer) {
            return Ok(());
        }
        let origin = match &request.head {
            Head::Http(head) => resolve(trust, &peer, head.fields()),
            Head::Uwsgi { .. } => {
                let fields = request.fields();
                let fields = fields.iter().map(|(name, value)| (name.as_ref(), value.as_bytes()));
                resolve(trust, &peer, fields)
            }
        }?;
        let scheme = origin.scheme.or(request.origin.scheme);
        request.origin = Origin { scheme, ..origin };
        Ok(())
    }

    /// What a trusted proxy, or a web server by the uwsgi protocol, calls the request. Of a name that
    /// is no good, or not the only one, nothing is believed.
    fn given_id(&self, connection: &Connection, request: &Request) -> Option<Box<str>> {
        let is_believed = match &request.head {
            Head::Uwsgi { .. } => true,
            Head::Http(_) => {
                self.trust.as_ref().is_some_and(|trust| trust.trusts(&who(connection, request)))
            }
        };
        let said = if is_believed { request.only_field(&X_REQUEST_ID)? } else { return None };
        request_id::legal(said).map(Box::from)
    }

    /// Whether fields such as X-Forwarded-For of this connection may reach the application.
    pub(crate) fn forwarding(&self, connection: &Connection, request: &Request) -> Forwarding {
        let kept = match &self.trust {
            Some(trust) => trust.trusts(&who(connection, request)),
            // A balancer that announces its clients passes on what they send.
            None => connection.peer().is_local(),
        };
        if kept { Forwarding::Kept } else { Forwarding::Cleared }
    }

    /// The same for what a web server says by the uwsgi protocol: it is trusted with all that it says,
    /// unless it was said whom it may speak for.
    pub(crate) fn forwarding_of_variables(
        &self,
        connection: &Connection,
        request: &Request,
    ) -> Forwarding {
        match &self.trust {
            Some(_) => self.forwarding(connection, request),
            None => Forwarding::Kept,
        }
    }

    /// Whether the trusted proxies set this field, if that was said.
    pub(crate) fn sets(&self, field: &str) -> bool {
        self.trust.is_none() || self.fields.iter().any(|one| one == field)
    }

    /// A field was removed: says so once, where nobody said who is trusted.
    pub(crate) fn cleared(&self, connection: &Connection, field: &str) {
        if self.trust.is_some() || self.warned.swap(true, Relaxed) {
            return;
        }
        let address = &connection.peer().address;
        let is_announced = !std::ptr::eq(connection.peer(), connection.neighbour());
        let remedy = if is_announced {
            "the PROXY protocol tells who the client is, and it is the client who sends them".into()
        } else {
            format!("if that is your proxy, write `trusted-proxies = {address}`")
        };
        let message =
            format!("{field} from {address} was removed, as are all fields of its kind: {remedy}");
        log::warning(Event::ClientError, message).send();
    }
}

fn trust(peers: &[Peers], proxies: &Proxies) -> Trust {
    let networks = peers.iter().filter_map(|peers| match peers {
        Peers::Network(network) => Some(*network),
        Peers::Unix | Peers::All => None,
    });
    let has = |name: &str| proxies.fields.iter().any(|field| field == name);
    Trust {
        networks: networks.collect(),
        unix: peers.contains(&Peers::Unix),
        all: peers.contains(&Peers::All),
        hops: proxies.count,
        fields: Fields {
            for_: has("x-forwarded-for"),
            proto: has("x-forwarded-proto"),
            host: has("x-forwarded-host"),
            port: has("x-forwarded-port"),
            forwarded: has("forwarded"),
        },
    }
}

/// Who asks, before any field is looked at: what a web server says by the uwsgi protocol, else what
/// the PROXY protocol says, else the peer.
fn who(connection: &Connection, request: &Request) -> forwarded::Peer {
    let said = request.remote_address().and_then(|address| std::str::from_utf8(address).ok());
    match said.and_then(|address| address.parse::<IpAddr>().ok()) {
        Some(address) => forwarded::Peer::Ip(address.to_canonical()),
        None => connection.peer().kind(),
    }
}

fn resolve<'a>(
    trust: &Trust,
    peer: &forwarded::Peer,
    fields: impl Iterator<Item = (&'a [u8], &'a [u8])>,
) -> Result<Origin<'static>, ForwardedError> {
    const NAMES: [&[u8]; 5] = [
        b"x-forwarded-for",
        b"x-forwarded-proto",
        b"x-forwarded-host",
        b"x-forwarded-port",
        b"forwarded",
    ];
    let mut values: [Vec<&[u8]>; 5] = Default::default();
    for (name, value) in fields {
        let known = NAMES.iter().zip(&mut values).find(|(one, _)| name.eq_ignore_ascii_case(one));
        if let Some((_, values)) = known {
            values.push(value);
        }
    }
    let [for_, proto, host, port, forwarded] = &values;
    let values = Values {
        x_forwarded_for: for_,
        x_forwarded_proto: proto,
        x_forwarded_host: host,
        x_forwarded_port: port,
        forwarded,
    };
    trust.resolve(peer, &values).map(Origin::into_owned)
}
