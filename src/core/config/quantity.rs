//! Numbers of something: how their text is read, and in which range they are.

use super::value::{Invalid, MANY, Value};

/// Both ends, or the lower one where the other is beyond what anybody writes.
pub(super) fn range(min: u64, max: u64) -> String {
    if max >= MANY { format!("{min} up") } else { format!("{min} to {max}") }
}

/// A whole number.
pub(super) fn number(text: &str) -> Result<u64, Invalid> {
    if text.is_empty() || !text.bytes().all(|b| b.is_ascii_digit()) {
        return Err(Invalid::new("is not a whole number"));
    }
    text.parse().map_err(|_| Invalid::new("is too large"))
}

/// `number`, if it is in the range.
pub(super) fn within(number: u64, min: u64, max: u64) -> Result<Value, Invalid> {
    if number < min {
        return Err(Invalid::new(format!("is less than {min}")));
    }
    if number > max {
        return Err(Invalid::new(format!("is more than {max}")));
    }
    Ok(Value::Number(number))
}

/// A number of seconds, with or without an `s`.
pub(super) fn seconds(text: &str) -> Result<u64, Invalid> {
    number(text.strip_suffix('s').unwrap_or(text)).map_err(|invalid| {
        in_units(invalid, text, &[("m", 60), ("min", 60), ("h", 3600), ("d", 86400)])
    })
}

/// A number of megabytes.
pub(super) fn in_megabytes(text: &str) -> Result<u64, Invalid> {
    number(text).map_err(|invalid| in_units(invalid, text, &[("m", 1), ("mb", 1), ("g", 1024)]))
}

/// Advises the number without a unit, if `text` has one that can be meant.
fn in_units(invalid: Invalid, text: &str, units: &[(&str, u64)]) -> Invalid {
    let (count, unit) = text.split_at(text.bytes().take_while(u8::is_ascii_digit).count());
    let unit = unit.trim_start().to_ascii_lowercase();
    let factor = units.iter().find(|(name, _)| *name == unit).map(|(_, factor)| factor);
    match (count.parse::<u64>(), factor) {
        (Ok(count), Some(factor)) => match count.checked_mul(*factor) {
            Some(number) => invalid.help(format!("write `{number}`")),
            None => invalid,
        },
        _ => invalid,
    }
}

/// A number of bytes, or of KiB, MiB or GiB.
pub(super) fn bytes(text: &str) -> Result<u64, Invalid> {
    let (digits, unit) = match text.char_indices().last() {
        Some((at, 'k' | 'K')) => (text.get(..at), 1 << 10),
        Some((at, 'm' | 'M')) => (text.get(..at), 1 << 20),
        Some((at, 'g' | 'G')) => (text.get(..at), 1 << 30),
        _ => (Some(text), 1),
    };
    let count = number(digits.unwrap_or(text))?;
    count.checked_mul(unit).ok_or_else(|| Invalid::new("is too large"))
}
