//! What proxies say, and what clients would like them to have said.

use super::*;
use proptest::prelude::*;

const ALL: Fields = Fields { for_: true, proto: true, host: true, port: true, forwarded: true };
const X: Fields = Fields { forwarded: false, ..ALL };

/// Proxies in 10.0.0.0/8 and fd00::/8, and on UNIX sockets.
fn networks(fields: Fields) -> Trust {
    let networks = vec!["10.0.0.0/8".parse().unwrap(), "fd00::/8".parse().unwrap()];
    Trust { networks, unix: true, fields, ..Trust::default() }
}

fn counted(hops: u32, fields: Fields) -> Trust {
    Trust { hops: Some(hops), ..networks(fields) }
}

fn ip(text: &str) -> IpAddr {
    text.parse().unwrap()
}

/// What is said with one value of X-Forwarded-For alone.
fn client(trust: &Trust, text: &str) -> Option<String> {
    let values = Values { x_forwarded_for: &[text.as_bytes()], ..Values::default() };
    let origin = trust.resolve(&Peer::Ip(ip("10.0.0.1")), &values).unwrap();
    origin.client.map(|client| client.to_string())
}

/// What is said with one value of Forwarded alone.
fn told<'a>(trust: &Trust, values: &'a [&'a [u8]]) -> Result<Origin<'a>, ForwardedError> {
    trust.resolve(&Peer::Unix, &Values { forwarded: values, ..Values::default() })
}

#[test]
fn a_peer_who_is_no_proxy_is_not_believed() {
    let one: &[&[u8]] = &[b"192.0.2.1"];
    let values =
        Values { x_forwarded_for: one, forwarded: &[b"for=192.0.2.1"], ..Values::default() };
    for trust in [networks(ALL), counted(1, ALL)] {
        let origin = trust.resolve(&Peer::Ip(ip("203.0.113.9")), &values).unwrap();
        assert_eq!(origin, Origin::default());
    }
    let none = counted(0, ALL).resolve(&Peer::Unix, &values).unwrap();
    assert_eq!(none, Origin::default());
}

#[test]
fn the_client_is_the_first_from_the_right_who_is_no_proxy() {
    let client = |text| client(&networks(X), text);
    assert_eq!(client("192.0.2.1").as_deref(), Some("192.0.2.1"));
    assert_eq!(client("6.6.6.6, 192.0.2.1, 10.0.0.3,fd00::1").as_deref(), Some("192.0.2.1"));
    assert_eq!(client("192.0.2.1, ::ffff:10.0.0.3, unix:").as_deref(), Some("192.0.2.1"));
    assert_eq!(client("10.0.0.9, 10.0.0.8").as_deref(), Some("10.0.0.9"));
    assert_eq!(client(" , ,"), None);
}

#[test]
fn an_entry_that_is_no_address_stops_at_the_last_one_that_is() {
    let client = |text| client(&networks(X), text);
    assert_eq!(client("192.0.2.1, unknown, 10.0.0.3").as_deref(), Some("10.0.0.3"));
    assert_eq!(client("192.0.2.1, _hidden"), None);
    assert_eq!(client("192.0.2.1, evil, 10.0.0.3").as_deref(), Some("10.0.0.3"));
}

#[test]
fn counted_proxies_are_taken_by_their_number_whatever_their_addresses() {
    let list = "6.6.6.6, 192.0.2.1, 203.0.113.7";
    assert_eq!(client(&counted(1, X), list).as_deref(), Some("203.0.113.7"));
    assert_eq!(client(&counted(2, X), list).as_deref(), Some("192.0.2.1"));
    assert_eq!(client(&counted(9, X), list).as_deref(), Some("6.6.6.6"));
    assert_eq!(client(&counted(2, X), "192.0.2.1, unix:").as_deref(), Some("192.0.2.1"));
    assert_eq!(client(&counted(2, X), "unknown, 10.0.0.3").as_deref(), Some("10.0.0.3"));
    assert_eq!(client(&counted(u32::MAX, X), list).as_deref(), Some("6.6.6.6"));
}

#[test]
fn no_more_than_64_entries_are_looked_at() {
    let list = |trusted: usize| format!("192.0.2.1{}", ", 10.0.0.3".repeat(trusted));
    assert_eq!(client(&networks(X), &list(63)).as_deref(), Some("192.0.2.1"));
    assert_eq!(client(&networks(X), &list(64)).as_deref(), Some("10.0.0.3"));
    assert_eq!(client(&counted(65, X), &list(64)).as_deref(), Some("10.0.0.3"));
}

#[test]
fn scheme_host_and_port_are_those_of_the_clients_hop() {
    let values = Values {
        x_forwarded_for: &[b"6.6.6.6, 192.0.2.1:4711", b"10.0.0.3"],
        x_forwarded_proto: &[b"gopher,wss", b"http"],
        x_forwarded_host: &[b"evil/, example.org:8443, inner"],
        x_forwarded_port: &[b"443"],
        ..Values::default()
    };
    let expected = Origin {
        client: Some(ip("192.0.2.1")),
        port: Some(4711),
        scheme: Some(Scheme::Https),
        host: Some("example.org:8443".into()),
        server_port: Some(443),
    };
    for trust in [networks(X), counted(2, X)] {
        assert_eq!(trust.resolve(&Peer::Unix, &values).unwrap(), expected);
    }
    let values = Values { x_forwarded_port: &[], ..values };
    let origin = networks(ALL).resolve(&Peer::Unix, &values).unwrap();
    assert_eq!(origin.server_port, Some(8443));
}

#[test]
fn fields_that_the_proxies_do_not_set_are_ignored_even_when_malformed() {
    let values = Values {
        x_forwarded_for: &[b"192.0.2.1"],
        x_forwarded_proto: &[b"evil"],
        x_forwarded_host: &[b"<evil>"],
        x_forwarded_port: &[b"evil"],
        forwarded: &[b"evil"],
    };
    let fields = Fields { for_: true, ..Fields::default() };
    let origin = networks(fields).resolve(&Peer::Unix, &values).unwrap();
    assert_eq!(origin, Origin { client: Some(ip("192.0.2.1")), ..Origin::default() });
    let nothing = networks(Fields::default()).resolve(&Peer::Unix, &values).unwrap();
    assert_eq!(nothing, Origin::default());
}

#[test]
fn without_a_client_the_direct_proxys_own_words_count() {
    let fields = Fields { proto: true, ..Fields::default() };
    let values = Values {
        x_forwarded_for: &[b"192.0.2.1, 10.0.0.3"],
        x_forwarded_proto: &[b"https, http"],
        ..Values::default()
    };
    let scheme = |trust: Trust| trust.resolve(&Peer::Unix, &values).unwrap().scheme;
    assert_eq!(scheme(networks(fields)), Some(Scheme::Http));
    assert_eq!(scheme(counted(2, fields)), Some(Scheme::Https));
}

#[test]
fn malformed_words_of_a_proxy_are_refused_as_a_whole() {
    let bad: [(&[&[u8]], _); 3] = [
        (&[b"http, gopher"], ForwardedError::Proto),
        (&[b"example.org, a b"], ForwardedError::Host),
        (&[b"80, x"], ForwardedError::Port),
    ];
    for (value, error) in bad {
        let mut values = Values { x_forwarded_for: &[b"192.0.2.1"], ..Values::default() };
        match error {
            ForwardedError::Proto => values.x_forwarded_proto = value,
            ForwardedError::Host => values.x_forwarded_host = value,
            _ => values.x_forwarded_port = value,
        }
        assert_eq!(networks(X).resolve(&Peer::Unix, &values), Err(error));
    }
    let refused = |text: &'static str| told(&networks(ALL), &[text.as_bytes()]).unwrap_err();
    assert_eq!(refused("for=192.0.2.1;proto=gopher"), ForwardedError::Proto);
    assert_eq!(refused("for=192.0.2.1;host=\"a b\""), ForwardedError::Host);
    assert_eq!(refused("for=192.0.2.1:80"), ForwardedError::Element);
    assert_eq!(refused("for=192.0.2.1;for=192.0.2.2"), ForwardedError::Repeated);
}

#[test]
fn forwarded_tells_all_of_the_outermost_proxy() {
    let value: &[u8] =
        br#"for="[2001:db8::1]:4711";proto=HTTPS;host="example.org:444", for="[fd00::1]""#;
    let evil: &[u8] = br#"for=6.6.6.6;proto=http;x="#;
    let both: &[&[u8]] = &[evil, b"for=10.0.0.3;proto=http;host=inner"];
    let list: &[&[u8]] = &[evil, value, both[1]];
    let expected = Origin {
        client: Some(ip("2001:db8::1")),
        port: Some(4711),
        scheme: Some(Scheme::Https),
        host: Some("example.org:444".into()),
        server_port: Some(444),
    };
    assert_eq!(told(&counted(3, ALL), list).unwrap(), expected);
    assert_eq!(told(&networks(ALL), list).unwrap(), expected);
    assert_eq!(told(&networks(ALL), both), Err(ForwardedError::Element));
}

#[test]
fn a_hidden_client_still_has_a_scheme() {
    let values: &[&[u8]] = &[b"for=192.0.2.1;proto=http, for=_hidden;proto=https;host=example.org"];
    let origin = told(&networks(ALL), values).unwrap();
    assert_eq!((origin.client, origin.scheme), (None, Some(Scheme::Https)));
    assert_eq!(origin.host.as_deref(), Some("example.org"));
}

#[test]
fn forwarded_goes_before_x_forwarded_where_it_is_there() {
    let x: &[&[u8]] = &[b"192.0.2.2"];
    let mut values =
        Values { x_forwarded_for: x, forwarded: &[b"for=192.0.2.1"], ..Values::default() };
    let client = |values: &Values<'_>| networks(ALL).resolve(&Peer::Unix, values).unwrap().client;
    assert_eq!(client(&values), Some(ip("192.0.2.1")));
    values.forwarded = &[b"", b" , "];
    assert_eq!(client(&values), Some(ip("192.0.2.2")));
}

/// What a chain of proxies appended: whom each saw, and under which scheme, host and port the
/// outermost was asked.
#[derive(Debug, Clone)]
struct Chain {
    client: std::net::SocketAddr,
    proxies: Vec<IpAddr>,
    https: bool,
}

impl Chain {
    fn any() -> impl Strategy<Value = Self> {
        let client = prop_oneof![
            any::<[u8; 4]>().prop_map(|[_, b, c, d]| IpAddr::from([192, b, c, d])),
            any::<[u8; 16]>().prop_map(|mut bytes| {
                bytes[0] = 0x20;
                IpAddr::from(bytes)
            }),
        ];
        let proxy = prop_oneof![
            any::<[u8; 4]>().prop_map(|[_, b, c, d]| IpAddr::from([10, b, c, d])),
            any::<[u8; 16]>().prop_map(|mut bytes| {
                bytes[0] = 0xfd;
                IpAddr::from(bytes)
            }),
        ];
        (client, 1_u16.., prop::collection::vec(proxy, 0..5), any::<bool>()).prop_map(
            |(client, port, proxies, https)| Self { client: (client, port).into(), proxies, https },
        )
    }

    fn hops(&self) -> u32 {
        u32::try_from(self.proxies.len()).unwrap() + 1
    }

    fn proto(&self) -> &'static str {
        if self.https { "https" } else { "http" }
    }

    /// One list, `first` for the outermost proxy and `then` for each of the others.
    fn list(&self, first: String, then: impl Fn(&IpAddr) -> String) -> String {
        let rest = self.proxies.iter().map(then);
        std::iter::once(first).chain(rest).collect::<Vec<_>>().join(", ")
    }

    fn x_for(&self) -> String {
        self.list(self.client.to_string(), ToString::to_string)
    }

    fn forwarded(&self) -> String {
        let node = |address: &IpAddr| match address {
            IpAddr::V4(address) => address.to_string(),
            IpAddr::V6(address) => format!("\"[{address}]:_\\x\""),
        };
        let first = format!("for=\"{}\";host=\"a\\.b:81\";proto={}", self.client, self.proto());
        self.list(first, |address| format!("proto=http;FOR={}", node(address)))
    }

    fn origin(&self) -> Origin<'static> {
        Origin {
            client: Some(self.client.ip()),
            port: Some(self.client.port()),
            scheme: Some(if self.https { Scheme::Https } else { Scheme::Http }),
            host: Some("a.b:81".into()),
            server_port: Some(81),
        }
    }
}

/// What a client sends in the hope to be taken for somebody else.
fn forged() -> impl Strategy<Value = Vec<u8>> {
    prop_oneof![
        "(for=)?[\"\\\\]{0,2}(10\\.0\\.0\\.3|6\\.6\\.6\\.6|unknown)[\"\\\\]{0,3}(;proto=https)?,?"
            .prop_map(String::into_bytes),
        "[a-z0-9.:=;, \"\\\\]{0,40}".prop_map(String::into_bytes),
        any::<Vec<u8>>(),
    ]
}

/// The request's values with and without the client's: as one line, and as a line of its own.
fn with(forged: &[u8], honest: &str) -> [Vec<Vec<u8>>; 3] {
    let honest = honest.as_bytes();
    [
        vec![honest.to_vec()],
        vec![[forged, b", ", honest].concat()],
        vec![forged.to_vec(), honest.to_vec()],
    ]
}

fn slices(values: &[Vec<u8>]) -> Vec<&[u8]> {
    values.iter().map(Vec::as_slice).collect()
}

proptest! {
    #[test]
    fn a_client_cannot_change_what_x_forwarded_says(chain in Chain::any(), forged in forged()) {
        let http = |_: &IpAddr| "http".to_owned();
        let lists = [
            with(&forged, &chain.x_for()),
            with(&forged, &chain.list(chain.proto().to_owned(), http)),
            with(&forged, &chain.list("a.b:81".to_owned(), |_| "inner".to_owned())),
            with(&forged, &chain.list("81".to_owned(), |_| "80".to_owned())),
        ];
        for trust in [networks(X), counted(chain.hops(), X)] {
            for form in 0..3 {
                let [seen, proto, host, port] = lists.each_ref().map(|list| slices(&list[form]));
                let values = Values {
                    x_forwarded_for: &seen,
                    x_forwarded_proto: &proto,
                    x_forwarded_host: &host,
                    x_forwarded_port: &port,
                    forwarded: &[&forged],
                };
                prop_assert_eq!(trust.resolve(&Peer::Unix, &values), Ok(chain.origin()));
            }
        }
    }

    #[test]
    fn a_client_cannot_change_what_forwarded_says(chain in Chain::any(), forged in forged()) {
        for values in &with(&forged, &chain.forwarded()) {
            let values = slices(values);
            for trust in [networks(ALL), counted(chain.hops(), ALL)] {
                prop_assert_eq!(told(&trust, &values), Ok(chain.origin()));
            }
        }
    }

    #[test]
    fn nothing_panics(lists in prop::array::uniform5(prop::collection::vec(forged(), 0..4)), hops: Option<u32>) {
        let [seen, proto, host, port, forwarded] = lists.each_ref().map(|list| slices(list));
        let values = Values {
            x_forwarded_for: &seen,
            x_forwarded_proto: &proto,
            x_forwarded_host: &host,
            x_forwarded_port: &port,
            forwarded: &forwarded,
        };
        let _ = Trust { hops, all: true, ..networks(ALL) }.resolve(&Peer::Unix, &values);
    }
}
