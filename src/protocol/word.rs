//! Eight bytes looked at together.

/// A bit for each byte, the lowest, and the highest.
const ONES: u64 = u64::MAX / 255;
const HIGHS: u64 = ONES << 7;

/// Flags the bytes of a word that are control characters, by their highest bits. A borrow can flag a
/// byte in error only above one that is flagged rightly, so the lowest flag is true.
pub(crate) fn controls(word: u64) -> u64 {
    let low = word.wrapping_sub(ONES * 0x20) & !word;
    let delete = word ^ (ONES * 0x7f);
    let delete = delete.wrapping_sub(ONES) & !delete;
    (low | delete) & HIGHS
}

/// The lowest byte that is flagged by its highest bit.
pub(crate) fn first(flags: u64) -> Option<usize> {
    (flags != 0).then(|| flags.trailing_zeros() as usize / 8)
}

/// Flags the bytes that are neither letters nor hyphens. Sums of seven bits have no carry.
pub(crate) fn outside_of_names(word: u64) -> u64 {
    let low = word & !HIGHS;
    let lower = low | (ONES * 0x20);
    let from_a = lower + ONES * (0x80 - 0x61);
    let beyond_z = lower + ONES * (0x80 - 0x7b);
    let no_hyphen = (low ^ (ONES * 0x2d)) + ONES * 0x7f;
    (((!from_a | beyond_z) & no_hyphen) | word) & HIGHS
}
