//! Who the client is behind trusted proxies: `X-Forwarded-*` and `Forwarded` (RFC 7239).
//!
//! Each proxy appends whom it saw, so these fields are read from the right: the last entry is by the
//! direct peer, and each entry is by the one whom the entry to its right names. What is left of the
//! first entry by a stranger is the stranger's invention. It is never looked at, not even to see
//! whether it is well-formed: otherwise a client could void what the proxies say with a lone `"`.

mod authority;
mod element;
mod error;
mod node;
mod trust;

use std::borrow::Cow;
use std::net::IpAddr;

use crate::scheme::Scheme;
use authority::Authority;
use element::Element;
use node::Node;

pub use error::ForwardedError;
pub use trust::{Fields, Peer, Trust};

/// Most entries of a field that are looked at, from the right.
const DEPTH: usize = 64;

/// The fields of a request: for each, its values in the order of their appearance.
#[derive(Debug, Clone, Copy, Default)]
pub struct Values<'a> {
    /// X-Forwarded-For.
    pub x_forwarded_for: &'a [&'a [u8]],
    /// X-Forwarded-Proto.
    pub x_forwarded_proto: &'a [&'a [u8]],
    /// X-Forwarded-Host.
    pub x_forwarded_host: &'a [&'a [u8]],
    /// X-Forwarded-Port.
    pub x_forwarded_port: &'a [&'a [u8]],
    /// Forwarded.
    pub forwarded: &'a [&'a [u8]],
}

/// What trusted proxies say of a request. Where they say nothing, the connection tells.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Origin<'a> {
    /// The client's address; never an IPv4 address in IPv6 notation.
    pub client: Option<IpAddr>,
    /// The client's port.
    pub port: Option<u16>,
    /// How the client's connection was secured.
    pub scheme: Option<Scheme>,
    /// What the client sent as Host, with its port.
    pub host: Option<Cow<'a, str>>,
    /// The port that the client connected to: X-Forwarded-Port, or else that of the host.
    pub server_port: Option<u16>,
}

impl Trust {
    /// What trusted proxies say of a request that came from `peer`; nothing, if `peer` is none.
    ///
    /// `Forwarded` is preferred where it is known and there: it tells all of one proxy together.
    /// Of `X-Forwarded-Proto`, `-Host` and `-Port`, the entry counts that stands as far from the
    /// right as the client's in `X-Forwarded-For`, or the leftmost if there are fewer: proxies
    /// replace these or append to them.
    ///
    /// # Errors
    /// A trusted proxy's own entry is malformed, so nothing of the fields is to be believed. The
    /// answer is 400: served without them, the client would pass for the proxy, and a proxy that
    /// repeats any Host that it is sent would let every client do so.
    pub fn resolve<'a>(
        &self,
        peer: &Peer,
        values: &Values<'a>,
    ) -> Result<Origin<'a>, ForwardedError> {
        if !self.trusts(peer) || self.hops == Some(0) {
            return Ok(Origin::default());
        }
        if self.fields.forwarded && element::elements(values.forwarded).next().is_some() {
            return self.by_elements(values.forwarded);
        }
        self.by_lists(values)
    }

    fn by_elements<'a>(&self, values: &'a [&'a [u8]]) -> Result<Origin<'a>, ForwardedError> {
        let mut walk = Walk::new(self);
        let mut last = Element::default();
        for text in element::elements(values).take(DEPTH) {
            last = Element::parse(text)?;
            if !walk.goes_on(last.node()) {
                break;
            }
        }
        let authority = last.host.map(Authority::parse).transpose()?;
        Ok(walk.origin(last.proto.as_deref().map(scheme).transpose()?, authority, None))
    }

    fn by_lists<'a>(&self, values: &Values<'a>) -> Result<Origin<'a>, ForwardedError> {
        let mut walk = Walk::new(self);
        if self.fields.for_ {
            for entry in entries(values.x_forwarded_for).take(DEPTH) {
                if !walk.goes_on(Node::parse(entry)) {
                    break;
                }
            }
        }
        let hop = walk.hop();
        let at_hop = |known: bool, values: &'a [&'a [u8]]| {
            known.then(|| entries(values).take(hop).last()).flatten()
        };
        let proto = at_hop(self.fields.proto, values.x_forwarded_proto);
        let host = at_hop(self.fields.host, values.x_forwarded_host);
        let port = at_hop(self.fields.port, values.x_forwarded_port);
        let authority = host.map(|host| Authority::parse(host.into())).transpose()?;
        let port = port.map(|port| node::port(port).ok_or(ForwardedError::Port)).transpose()?;
        Ok(walk.origin(proto.map(scheme).transpose()?, authority, port))
    }
}

/// The entries of a comma-separated list from the right; empty ones are none (RFC 9110, section
/// 5.6.1.2).
fn entries<'a>(values: &'a [&'a [u8]]) -> impl Iterator<Item = &'a [u8]> {
    let split = |value: &&'a [u8]| value.rsplit(|&byte| byte == b',');
    values.iter().rev().flat_map(split).map(<[u8]>::trim_ascii).filter(|entry| !entry.is_empty())
}

fn scheme(name: &[u8]) -> Result<Scheme, ForwardedError> {
    Scheme::from_name(name).ok_or(ForwardedError::Proto)
}

/// The way from the direct peer towards the client, entry by entry.
struct Walk<'t> {
    trust: &'t Trust,
    seen: usize,
    client: Option<(IpAddr, Option<u16>)>,
}

impl<'t> Walk<'t> {
    fn new(trust: &'t Trust) -> Self {
        Self { trust, seen: 0, client: None }
    }

    /// Takes an entry; whether the next one to its left can be believed, too.
    ///
    /// An entry without an address leaves the client at the last one that had one. When proxies are
    /// counted it hides no other proxy; otherwise nobody knows who is behind it.
    fn goes_on(&mut self, node: Node) -> bool {
        self.seen += 1;
        if let Node::Address(address, port) = node {
            self.client = Some((address, port));
        }
        match self.trust.hops {
            Some(hops) => self.seen < count(hops),
            None => node.peer().is_some_and(|peer| self.trust.trusts(&peer)),
        }
    }

    /// How far from the right the client's entry stands.
    fn hop(&self) -> usize {
        self.trust.hops.map_or(self.seen.max(1), count)
    }

    fn origin<'a>(
        &self,
        scheme: Option<Scheme>,
        authority: Option<Authority<'a>>,
        server_port: Option<u16>,
    ) -> Origin<'a> {
        let (host, port) = authority.map(|one| (one.text, one.port)).unzip();
        Origin {
            client: self.client.map(|(address, _)| address),
            port: self.client.and_then(|(_, port)| port),
            scheme,
            host,
            server_port: server_port.or(port.flatten()),
        }
    }
}

fn count(hops: u32) -> usize {
    usize::try_from(hops).map_or(DEPTH, |hops| hops.min(DEPTH))
}

impl Origin<'_> {
    /// The same, for as long as one likes.
    pub fn into_owned(self) -> Origin<'static> {
        let Self { client, port, scheme, host, server_port } = self;
        let host = host.map(|host| Cow::Owned(host.into_owned()));
        Origin { client, port, scheme, host, server_port }
    }
}

#[cfg(test)]
#[path = "forwarded_tests.rs"]
mod tests;
