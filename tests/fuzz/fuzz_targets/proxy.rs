//! PROXY headers: what is said of a prefix stays true, and what follows a header changes nothing.

#![no_main]

use libfuzzer_sys::fuzz_target;
use rwsgi_protocol::proxy::{Parsed, parse};

fuzz_target!(|bytes: &[u8]| {
    let whole = parse(bytes);
    for cut in 0..bytes.len() {
        let early = parse(&bytes[..cut]);
        assert!(early == Ok(Parsed::More) || early == whole, "{early:?} of {cut} bytes");
    }
    if let Ok(Parsed::Header { length, source, tls }) = whole {
        assert!(length <= bytes.len());
        assert_eq!(parse(&bytes[..length - 1]), Ok(Parsed::More));
        assert!(!tls || bytes[0] == b'\r', "a line cannot tell of TLS");
        let ends = source.map(|source| [source.client, source.server]);
        for end in ends.into_iter().flatten() {
            assert_eq!(end.ip(), end.ip().to_canonical());
        }
    }
});
