//! Packets of the uwsgi protocol: what is said of a prefix stays true, and what is accepted is the
//! packet and nothing else.

#![no_main]

use libfuzzer_sys::fuzz_target;
use rwsgi_protocol::uwsgi::{Limits, Packet, Parsed, Vars, parse};

const LIMITS: Limits = Limits { packet: 4096, variables: 64 };

fuzz_target!(|bytes: &[u8]| {
    let whole = parse(bytes, LIMITS);
    for cut in 0..bytes.len() {
        let early = parse(&bytes[..cut], LIMITS);
        assert!(early == Ok(Parsed::More) || early == whole, "{early:?} of {cut} bytes");
    }
    if let Ok(Parsed::Packet(packet)) = whole {
        check(bytes, packet);
    }
});

fn check(bytes: &[u8], packet: Packet) {
    let variables = &bytes[packet.variables()];
    let Ok(vars) = Vars::new(variables.to_vec().into(), LIMITS) else { return };
    assert!(vars.iter().len() <= LIMITS.variables);
    let lengths: usize = vars.iter().map(|(name, value)| 4 + name.len() + value.len()).sum();
    assert_eq!(lengths, variables.len());
    for (name, _) in vars.iter() {
        assert!(!name.is_empty() && vars.get(name).is_some());
    }
    for (name, _) in vars.environ() {
        assert!(name.iter().all(u8::is_ascii_graphic));
        assert!(
            !name.starts_with(b"UWSGI_") && !name.starts_with(b"wsgi.") && name != b"HTTP_PROXY"
        );
    }
    assert!(vars.get(b"PATH_INFO").unwrap_or_default().ends_with(vars.path_info(packet.modifier1)));
    let _ = (vars.method(), vars.content_length(), vars.scheme(), vars.uri());
}
