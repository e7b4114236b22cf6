//! What names a request in the log, in every entry that belongs to it: `REQUEST_ID`.
//!
//! A name of our own is two numbers, which become text only when somebody wants to read it.

use std::fmt;

/// Bytes of a name that a proxy may give.
pub const LONGEST: usize = 64;

/// The name of a request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum RequestId {
    /// Ours.
    Own {
        /// A random number of the worker.
        worker: u64,
        /// Which of its requests it is.
        number: u64,
    },
    /// What a proxy calls it.
    Given(Box<str>),
}

/// A name that a proxy gives, if it can be one: 1 to [`LONGEST`] letters and digits of ASCII and
/// `-._~:=+/@,;`, which UUIDs, base64 and the names of known balancers consist of.
pub fn legal(name: &[u8]) -> Option<&str> {
    let is_legal = |byte: &u8| byte.is_ascii_alphanumeric() || b"-._~:=+/@,;".contains(byte);
    let name = std::str::from_utf8(name).ok()?;
    (!name.is_empty() && name.len() <= LONGEST && name.bytes().all(|byte| is_legal(&byte)))
        .then_some(name)
}

impl fmt::Display for RequestId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Own { worker, number } => write!(f, "{worker:016x}{number:016x}"),
            Self::Given(name) => f.write_str(name),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_of_our_own_has_32_digits() {
        let id = RequestId::Own { worker: 0xab, number: 16 };
        assert_eq!(id.to_string(), "00000000000000ab0000000000000010");
    }

    #[test]
    fn only_harmless_names_are_taken_from_a_proxy() {
        for good in ["7", "Root=1-67891233-abcdef", "6ba7b810-9dad-11d1-80b4-00c04fd430c8"] {
            assert_eq!(legal(good.as_bytes()), Some(good));
        }
        let long = "x".repeat(LONGEST);
        assert!(legal(long.as_bytes()).is_some());
        for bad in ["", "a b", "a\nb", "a\"b", "\\", "é", &format!("{long}x")] {
            assert_eq!(legal(bad.as_bytes()), None, "{bad:?}");
        }
    }
}
