//! X-Forwarded-* and Forwarded: lines are lists, and a stranger's entries hide all that is left of
//! them. The input is five fields, one a line; `|` stands between the values of one field.

#![no_main]

use libfuzzer_sys::fuzz_target;
use rwsgi_protocol::forwarded::{Fields, ForwardedError, Origin, Peer, Trust, Values};

const ALL: Fields = Fields { for_: true, proto: true, host: true, port: true, forwarded: true };
const LISTS: Fields = Fields { forwarded: false, ..ALL };

fuzz_target!(|input: &[u8]| {
    let mut lines = input.split(|&byte| byte == b'\n');
    let fields: [Vec<&[u8]>; 5] =
        std::array::from_fn(|_| lines.next().unwrap_or_default().split(|&b| b == b'|').collect());
    for trust in trusts() {
        let apart = resolve(&trust, &fields.each_ref().map(Vec::as_slice));
        joined_lines_say_the_same(&trust, &fields, &apart);
        if let Ok(origin) = &apart {
            assert!(origin.client.is_none_or(|client| client == client.to_canonical()));
        }
        strangers_hide_what_is_left_of_them(&trust, &fields);
    }
});

fn trusts() -> [Trust; 4] {
    let networks = vec!["10.0.0.0/8".parse().unwrap(), "fd00::/8".parse().unwrap()];
    let near = Trust { networks, unix: true, fields: ALL, ..Trust::default() };
    [
        Trust { hops: Some(2), ..near.clone() },
        Trust { all: true, ..near.clone() },
        Trust { fields: LISTS, ..near.clone() },
        near,
    ]
}

fn resolve<'a>(trust: &Trust, fields: &[&'a [&'a [u8]]; 5]) -> Result<Origin<'a>, ForwardedError> {
    let &[x_forwarded_for, x_forwarded_proto, x_forwarded_host, x_forwarded_port, forwarded] =
        fields;
    let values = Values {
        x_forwarded_for,
        x_forwarded_proto,
        x_forwarded_host,
        x_forwarded_port,
        forwarded,
    };
    trust.resolve(&Peer::Unix, &values)
}

/// A quoted string may have the comma in it, so only values without quotes are compared.
fn joined_lines_say_the_same(
    trust: &Trust,
    fields: &[Vec<&[u8]>; 5],
    apart: &Result<Origin<'_>, ForwardedError>,
) {
    if fields[4].iter().any(|value| value.contains(&b'"')) {
        return;
    }
    let joined = fields.each_ref().map(|values| values.join(&b", "[..]));
    let joined = joined.each_ref().map(|value| [value.as_slice()]);
    assert_eq!(&resolve(trust, &joined.each_ref().map(<[&[u8]; 1]>::as_slice)), apart);
}

/// Whatever a client sends stands left of what its proxy appends, and changes nothing.
fn strangers_hide_what_is_left_of_them(trust: &Trust, fields: &[Vec<&[u8]>; 5]) {
    if trust.all || trust.hops.is_some() {
        return;
    }
    let honest: [&[u8]; 5] =
        [b"192.0.2.1", b"https", b"example.org", b"444", b"for=192.0.2.1;proto=https;host=\"a:1\""];
    let alone = honest.each_ref().map(|value| [*value]);
    let alone = resolve(trust, &alone.each_ref().map(<[&[u8]; 1]>::as_slice));
    assert!(alone.as_ref().is_ok_and(|origin| origin.client.is_some()));
    let forged: [Vec<u8>; 5] = std::array::from_fn(|field| {
        [&fields[field].join(&b"|"[..]), &b", "[..], honest[field]].concat()
    });
    let forged = forged.each_ref().map(|value| [value.as_slice()]);
    assert_eq!(resolve(trust, &forged.each_ref().map(<[&[u8]; 1]>::as_slice)), alone);
}
