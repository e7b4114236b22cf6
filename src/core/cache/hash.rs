//! The hash of a key: SipHash-1-3 with a seed of each cache, so that nobody who chooses keys from afar
//! can have them all in one bucket. Written out here because the programs of two versions must agree.

/// The hash of `key` (Aumasson and Bernstein, "SipHash: a fast short-input PRF", 2012).
pub(super) fn hash(key: &[u8], seed: [u64; 2]) -> u64 {
    let mut state = [
        seed[0] ^ 0x736f_6d65_7073_6575,
        seed[1] ^ 0x646f_7261_6e64_6f6d,
        seed[0] ^ 0x6c79_6765_6e65_7261,
        seed[1] ^ 0x7465_6462_7974_6573,
    ];
    let (words, rest) = key.as_chunks::<8>();
    for word in words {
        absorb(&mut state, u64::from_le_bytes(*word));
    }
    let mut last = [0; 8];
    last[..rest.len()].copy_from_slice(rest);
    absorb(&mut state, u64::from_le_bytes(last) | (key.len() as u64) << 56);
    state[2] ^= 0xff;
    (0..3).for_each(|_| round(&mut state));
    state[0] ^ state[1] ^ state[2] ^ state[3]
}

fn absorb(state: &mut [u64; 4], word: u64) {
    state[3] ^= word;
    round(state);
    state[0] ^= word;
}

fn round(state: &mut [u64; 4]) {
    let [mut a, mut b, mut c, mut d] = *state;
    a = a.wrapping_add(b);
    c = c.wrapping_add(d);
    b = b.rotate_left(13) ^ a;
    d = d.rotate_left(16) ^ c;
    a = a.rotate_left(32).wrapping_add(d);
    c = c.wrapping_add(b);
    d = d.rotate_left(21) ^ a;
    b = b.rotate_left(17) ^ c;
    *state = [a, b, c.rotate_left(32), d];
}

#[cfg(test)]
mod tests {
    use std::hash::Hasher as _;

    use super::*;

    #[test]
    fn every_byte_and_the_seed_count() {
        let keys = [&b""[..], b"a", b"b", b"aaaaaaaa", b"aaaaaaaab", b"aaaaaaa\0", b"aaaaaaa"];
        let mut seen: Vec<u64> = keys.iter().map(|key| hash(key, [1, 2])).collect();
        seen.push(hash(b"a", [1, 3]));
        seen.push(hash(b"a", [2, 2]));
        seen.sort_unstable();
        seen.dedup();
        assert_eq!(seen.len(), keys.len() + 2);
    }

    #[test]
    fn it_is_the_one_of_the_standard_library() {
        for length in 0..40_u8 {
            let key: Vec<u8> = (0..length).collect();
            let mut theirs = std::collections::hash_map::DefaultHasher::new();
            theirs.write(&key);
            assert_eq!(hash(&key, [0, 0]), theirs.finish(), "{length}");
        }
    }
}
