//! `Range`: eight bytes are the length of a file, the rest is the value.
#![no_main]

use libfuzzer_sys::fuzz_target;
use rwsgi_protocol::range::{self, ByteRange, Selection};

fuzz_target!(|data: &[u8]| {
    let Some((length, value)) = data.split_first_chunk::<8>() else { return };
    let length = u64::from_le_bytes(*length);
    match range::parse(value, length) {
        Selection::Whole | Selection::Unsatisfiable => {}
        Selection::Part(part) => check(&[part], length),
        Selection::Parts(parts) => {
            assert!((2..=range::MOST).contains(&parts.len()));
            check(&parts, length);
        }
    }
});

/// Parts are not empty, are in the file, and share no byte.
fn check(parts: &[ByteRange], length: u64) {
    let mut sorted = parts.to_vec();
    sorted.sort_by_key(|part| part.offset);
    for part in &sorted {
        assert!(part.length > 0 && part.offset.checked_add(part.length) <= Some(length));
        assert!(part.offset.checked_add(part.length).is_some());
        let text = part.content_range(length);
        assert_eq!(text, format!("bytes {}-{}/{length}", part.offset, part.end() - 1));
    }
    for pair in sorted.windows(2) {
        assert!(pair[0].end() < pair[1].offset);
    }
}
