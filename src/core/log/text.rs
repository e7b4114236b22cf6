//! Entries as lines for people: time, pid, who, what.

use std::fmt::Write as _;

use super::{Item, Level, Speaker};

/// Appends one item as text to `out`.
pub(super) fn append(out: &mut String, item: &Item, speaker: &Speaker) {
    let now = jiff::Zoned::now();
    out.push_str(&now.strftime("%Y-%m-%d %H:%M:%S.%3f %z").to_string());
    out.push_str(&format!(" [{}] ", std::process::id()));
    if let Some(worker) = speaker.worker {
        out.push_str(&format!("worker {worker}: "));
    }
    match item {
        Item::Access(access) => out.push_str(&access.line()),
        Item::Entry(entry) => {
            if entry.level <= Level::Warning {
                out.push_str(entry.level.name());
                out.push_str(": ");
            }
            let mut lines = entry.message.trim_end_matches('\n').split('\n');
            out.push_str(lines.next().unwrap_or(""));
            for line in lines {
                out.push_str("\n    ");
                out.push_str(line);
            }
        }
    }
    out.push('\n');
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

#[cfg(test)]
mod tests {
    use super::super::{Entry, Event};
    use super::*;

    #[test]
    fn further_lines_are_indented_so_that_an_entry_stays_one() {
        let entry = Entry::new(Level::Error, Event::Traceback, "first\nsecond\n");
        let mut out = String::new();
        let speaker = Speaker { instance: "shop".into(), worker: Some(2) };
        append(&mut out, &Item::Entry(entry), &speaker);
        assert!(out.ends_with("worker 2: error: first\n    second\n"), "{out}");
    }
}
