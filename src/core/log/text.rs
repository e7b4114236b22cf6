//! Entries as lines for people: time, pid, who, what.

use std::fmt::Write as _;

use super::access::number;
use super::{Entry, Level, Speaker, clock};

/// Appends what each line begins with: the time, the process, the worker.
///
/// `format` is that of the time, where it was asked for. To ask for `pid` is a system call.
pub(super) fn prefix(out: &mut Vec<u8>, format: Option<&str>, pid: u32, speaker: &Speaker) {
    let now = clock::now();
    match format {
        Some(format) => clock::append(out, format, now / 1_000_000),
        None => {
            clock::append(out, "%Y-%m-%d %H:%M:%S.", now / 1_000_000);
            let millis = now / 1000 % 1000;
            for unit in [100, 10, 1] {
                out.push(b'0' + u8::try_from(millis / unit % 10).unwrap_or_default());
            }
            clock::append(out, " %z", now / 1_000_000);
        }
    }
    out.extend_from_slice(b" [");
    number(out, pid.into());
    out.extend_from_slice(b"] ");
    if let Some(worker) = speaker.worker {
        out.extend_from_slice(b"worker ");
        number(out, worker.into());
        out.extend_from_slice(b": ");
    }
}

/// Appends one entry as text to `out`.
pub(super) fn append(out: &mut Vec<u8>, entry: &Entry, format: Option<&str>, speaker: &Speaker) {
    prefix(out, format, std::process::id(), speaker);
    message(out, entry);
    out.push(b'\n');
}

/// Appends what an entry says; further lines are indented.
pub(super) fn message(out: &mut Vec<u8>, entry: &Entry) {
    if entry.level <= Level::Warning {
        out.extend_from_slice(entry.level.name().as_bytes());
        out.extend_from_slice(b": ");
    }
    let mut lines = entry.message.trim_end_matches('\n').split('\n');
    out.extend_from_slice(lines.next().unwrap_or("").as_bytes());
    for line in lines {
        out.extend_from_slice(b"\n    ");
        out.extend_from_slice(line.as_bytes());
    }
}

/// Appends what a client sent so that it can neither end the line nor the quotes.
pub fn escape_into(line: &mut String, text: &str) {
    for character in text.chars() {
        match character {
            '"' | '\\' => {
                line.push('\\');
                line.push(character);
            }
            c if c.is_control() => {
                let _ = write!(line, "\\x{:02x}", u32::from(c));
            }
            c => line.push(c),
        }
    }
}

/// The same for bytes, which may be no text.
pub(super) fn escape(out: &mut Vec<u8>, bytes: &[u8]) {
    if is_plain(bytes) {
        return out.extend_from_slice(bytes);
    }
    for chunk in bytes.utf8_chunks() {
        let mut text = String::with_capacity(bytes.len() + 16);
        escape_into(&mut text, chunk.valid());
        out.extend_from_slice(text.as_bytes());
        for byte in chunk.invalid() {
            out.extend_from_slice(format!("\\x{byte:02x}").as_bytes());
        }
    }
}

/// As the inside of a string of JSON (RFC 8259, section 7). What is no text is U+FFFD.
pub(super) fn escape_json(out: &mut Vec<u8>, bytes: &[u8]) {
    if is_plain(bytes) {
        return out.extend_from_slice(bytes);
    }
    for character in String::from_utf8_lossy(bytes).chars() {
        match character {
            '"' | '\\' => out.extend_from_slice(&[b'\\', character as u8]),
            c if c.is_control() => {
                out.extend_from_slice(format!("\\u{:04x}", u32::from(c)).as_bytes());
            }
            c => out.extend_from_slice(c.encode_utf8(&mut [0; 4]).as_bytes()),
        }
    }
}

/// Whether nothing in it needs care, as nearly always.
fn is_plain(bytes: &[u8]) -> bool {
    bytes.iter().all(|&byte| (b' '..0x7f).contains(&byte) && byte != b'"' && byte != b'\\')
}

#[cfg(test)]
mod tests {
    use super::super::{Entry, Event};
    use super::*;

    #[test]
    fn further_lines_are_indented_so_that_an_entry_stays_one() {
        let entry = Entry::new(Level::Error, Event::Traceback, "first\nsecond\n");
        let mut out = Vec::new();
        let speaker = Speaker { instance: "shop".into(), worker: Some(2) };
        append(&mut out, &entry, None, &speaker);
        let out = String::from_utf8(out).unwrap();
        assert!(out.ends_with("worker 2: error: first\n    second\n"), "{out}");
    }

    #[test]
    fn bytes_are_escaped_for_their_surroundings() {
        let (mut line, mut json) = (Vec::new(), Vec::new());
        escape(&mut line, b"a\"\n\xc3\xa9\xff\x7f");
        escape_json(&mut json, b"a\"\n\xc3\xa9\xff");
        assert_eq!(String::from_utf8(line).unwrap(), "a\\\"\\x0aé\\xff\\x7f");
        assert_eq!(String::from_utf8(json).unwrap(), "a\\\"\\u000aé\u{fffd}");
    }
}
