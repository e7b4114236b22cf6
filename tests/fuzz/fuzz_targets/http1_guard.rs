//! The guard gives the same for every cut, and httparse and `http::Uri` take each head that passes.

#![no_main]

use connection::{parse, send};

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    let (whole, _) = send(std::iter::once(bytes));
    let (single, heads) = send(bytes.chunks(1));
    assert_eq!(single, whole);
    assert_eq!(send(bytes.chunks(2 + bytes.len() % 11)).0, whole);
    for head in heads {
        parse(&whole.passed[head]);
    }
});
