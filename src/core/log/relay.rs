//! What a process says that has no thread to write it, the template: one line for each entry on
//! stderr, which the master reads there and logs.
//!
//! A line is the whole entry, with its fields, as JSON behind a mark that no text begins with. One
//! that would be too long for the master to read at once is its text only, with the level before it.

use std::borrow::Cow;
use std::io::Write as _;

use serde::{Deserialize, Serialize};

use super::{Entry, Event, Level};

/// What stands for a line feed amid a text that is relayed.
const FOLD: &str = "\x0b";
const MARK: &str = "\x1e";
/// Bytes of the longest line with all fields.
const LONGEST: usize = 48 * 1024;

/// Fields that every entry has by itself.
const OURS: [&str; 6] =
    ["MESSAGE", "MESSAGE_ID", "PRIORITY", "RWSGI_APP", "RWSGI_EVENT", "RWSGI_WORKER"];

#[derive(Serialize, Deserialize)]
struct Line<'a> {
    level: u8,
    event: Cow<'a, str>,
    message: Cow<'a, str>,
    fields: Vec<(Cow<'a, str>, Cow<'a, str>)>,
}

/// Writes it in one piece: what several processes write to one pipe must not mix.
pub(super) fn write(entry: &Entry) {
    let _ = std::io::stderr().lock().write_all(line(entry).as_bytes());
}

fn line(entry: &Entry) -> String {
    let whole = Line {
        level: entry.level as u8,
        event: entry.event.name().into(),
        message: Cow::Borrowed(&entry.message),
        fields: entry.fields.clone(),
    };
    if let Ok(json) = serde_json::to_string(&whole)
        && json.len() < LONGEST
    {
        return format!("{MARK}{json}\n");
    }
    let text = entry.message.trim_end_matches('\n').replace('\n', FOLD);
    format!("<{}>{text}\n", entry.level as u8)
}

/// The entry that was relayed by this line.
pub fn relayed(line: &str) -> Option<Entry> {
    let Line { level, event, message, fields } =
        serde_json::from_str(line.strip_prefix(MARK)?).ok()?;
    let event = Event::ALL.iter().copied().find(|one| one.name() == event)?;
    let mut entry = Entry::new(Level::of(level), event, message);
    let is_name = |name: &str| {
        !OURS.contains(&name)
            && name.bytes().all(|byte| matches!(byte, b'A'..=b'Z' | b'0'..=b'9' | b'_'))
            && name.starts_with(|first: char| first.is_ascii_uppercase())
    };
    // The application can write such lines, too.
    entry.fields = fields
        .into_iter()
        .filter(|(name, _)| is_name(name))
        .map(|(name, value)| (name.into_owned().into(), value.into_owned().into()))
        .collect();
    Some(entry)
}

/// A text that was relayed, with its line feeds.
pub fn unfold(text: &str) -> Option<String> {
    text.contains(FOLD).then(|| text.replace(FOLD, "\n"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_entry_arrives_as_it_was_sent() {
        let entry =
            Entry::new(Level::Warning, Event::ApplicationLog, "a\nb").field("LOGGER", "x\ny");
        let line = line(&entry);
        assert_eq!(line.matches('\n').count(), 1);
        let entry = relayed(line.trim_end()).unwrap();
        assert_eq!((entry.level, entry.event), (Level::Warning, Event::ApplicationLog));
        assert_eq!((entry.message.as_str(), &*entry.fields[0].1), ("a\nb", "x\ny"));
    }

    #[test]
    fn a_long_one_keeps_its_text_and_level() {
        let entry =
            Entry::new(Level::Error, Event::Traceback, format!("a\n{}", "b".repeat(LONGEST)));
        let line = line(&entry);
        assert!(line.starts_with("<3>a\x0bb"));
        assert!(unfold(&line).unwrap().starts_with("<3>a\nb"));
    }

    #[test]
    fn nobody_forges_a_field_by_its_name() {
        let line = r#"{"level":6,"event":"status","message":"m","fields":[["A\nB","1"],["_PID","1"],["OK","1"],["PRIORITY","0"]]}"#;
        let entry = relayed(&format!("{MARK}{line}")).unwrap();
        assert_eq!(entry.fields.len(), 1);
        for bad in ["", "{}", "[1]", r#"{"level":6,"event":"no","message":"","fields":[]}"#] {
            assert!(relayed(&format!("{MARK}{bad}")).is_none(), "{bad}");
            assert!(relayed(bad).is_none());
        }
    }
}
