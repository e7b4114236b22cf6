//! Which peers are proxies to believe, and what they are known to say.

use std::net::IpAddr;

use ipnet::IpNet;

/// Whom to believe.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Trust {
    /// Networks whose addresses are proxies.
    pub networks: Vec<IpNet>,
    /// Whether who connects to a UNIX socket is a proxy.
    pub unix: bool,
    /// Whether everyone is: the server cannot be reached but through proxies.
    pub all: bool,
    /// How many proxies there are, one behind the other. Then the address of the direct peer alone
    /// must be known; without it, those of all proxies.
    pub hops: Option<u32>,
    /// What the proxies say.
    pub fields: Fields,
}

/// Which fields the proxies are known to set. A proxy passes on those that it does not know, so any
/// other field may be the client's.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Fields {
    /// X-Forwarded-For.
    pub for_: bool,
    /// X-Forwarded-Proto.
    pub proto: bool,
    /// X-Forwarded-Host.
    pub host: bool,
    /// X-Forwarded-Port.
    pub port: bool,
    /// Forwarded (RFC 7239).
    pub forwarded: bool,
}

/// The other end of a connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Peer {
    /// Of a TCP connection.
    Ip(IpAddr),
    /// Of a connection to a UNIX socket.
    Unix,
}

impl Trust {
    /// Whether `peer` is a proxy to believe.
    pub fn trusts(&self, peer: &Peer) -> bool {
        self.all
            || match peer {
                Peer::Ip(address) => self.has(address.to_canonical()),
                Peer::Unix => self.unix,
            }
    }

    /// The fields, in lower case, that nobody who is believed is known to set when the request comes
    /// from `peer`. A server that has proxies to trust does not pass them to the application.
    pub fn cleared(&self, peer: &Peer) -> impl Iterator<Item = &'static str> + use<> {
        let known = if self.trusts(peer) { self.fields } else { Fields::default() };
        [
            ("x-forwarded-for", known.for_),
            ("x-forwarded-proto", known.proto),
            ("x-forwarded-host", known.host),
            ("x-forwarded-port", known.port),
            ("forwarded", known.forwarded),
        ]
        .into_iter()
        .filter_map(|(name, known)| (!known).then_some(name))
    }

    fn has(&self, address: IpAddr) -> bool {
        self.networks.iter().any(|network| network.contains(&address))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn peer(text: &str) -> Peer {
        Peer::Ip(text.parse().unwrap())
    }

    #[test]
    fn nobody_is_trusted_unless_told() {
        let nobody = Trust::default();
        assert!(!nobody.trusts(&Peer::Unix) && !nobody.trusts(&peer("127.0.0.1")));
        let everybody = Trust { all: true, ..nobody };
        assert!(everybody.trusts(&Peer::Unix) && everybody.trusts(&peer("2001:db8::1")));
    }

    #[test]
    fn networks_know_their_addresses_in_both_notations() {
        let networks = vec!["10.0.0.0/8".parse().unwrap(), "fd00::/8".parse().unwrap()];
        let trust = Trust { networks, unix: true, ..Trust::default() };
        for text in ["10.1.2.3", "::ffff:10.1.2.3", "fd00::1"] {
            assert!(trust.trusts(&peer(text)), "{text}");
        }
        for text in ["11.0.0.1", "::ffff:11.0.0.1", "fe80::1", "::10.1.2.3"] {
            assert!(!trust.trusts(&peer(text)), "{text}");
        }
        assert!(trust.trusts(&Peer::Unix));
    }

    #[test]
    fn fields_that_the_proxies_do_not_set_are_the_clients() {
        let fields = Fields { for_: true, proto: true, ..Fields::default() };
        let trust = Trust { unix: true, fields, ..Trust::default() };
        let cleared = |peer: &Peer| trust.cleared(peer).collect::<Vec<_>>();
        assert_eq!(cleared(&Peer::Unix), ["x-forwarded-host", "x-forwarded-port", "forwarded"]);
        assert_eq!(cleared(&peer("192.0.2.1")).len(), 5);
    }
}
