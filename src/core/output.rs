//! Text that an application writes to a stream, cut into log entries.
//!
//! A line is an entry, several lines in one write are one, and a traceback is one, even when it is
//! written line by line (as `traceback.print_exc` does). `<3>` before a line sets its level
//! (sd-daemon(3)).

use crate::ipc::Place;
use crate::log::Level;

/// Longest text that is held back for its end.
const LONGEST: usize = 256 * 1024;
const TRACEBACK: &str = "Traceback (most recent call last):";

/// One entry's worth of text.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Record {
    /// The text, without the last line feed.
    pub text: String,
    /// The level that the text gives itself.
    pub level: Option<Level>,
    /// Where a traceback points.
    pub place: Option<Place>,
}

/// Collects what is written until it makes an entry.
#[derive(Debug, Default)]
pub struct Gather {
    pending: String,
}

impl Gather {
    /// Takes what was written; returns the entries that are complete.
    pub fn feed(&mut self, text: &str) -> Vec<Record> {
        self.pending.push_str(text);
        let complete = self.pending.ends_with('\n') && !in_traceback(&self.pending);
        if complete || self.pending.len() > LONGEST { self.flush() } else { Vec::new() }
    }

    /// Returns what is there, complete or not.
    pub fn flush(&mut self) -> Vec<Record> {
        let text = std::mem::take(&mut self.pending);
        let text = text.trim_end_matches('\n');
        if text.is_empty() {
            return Vec::new();
        }
        let (level, text) = own_level(text);
        vec![Record { level, place: place(text), text: text.to_owned() }]
    }
}

/// Cuts text of which nobody knows in how many writes it came: what is indented or empty belongs to
/// the line before it.
pub fn split(text: &str) -> Vec<Record> {
    let mut gather = Gather::default();
    let mut records = Vec::new();
    for line in text.split_inclusive('\n') {
        if !line.starts_with([' ', '\t', '\n']) && !in_traceback(&gather.pending) {
            records.extend(gather.flush());
        }
        gather.pending.push_str(line);
    }
    records.extend(gather.flush());
    records
}

/// Whether a traceback has begun whose last line, the exception, has not come.
fn in_traceback(text: &str) -> bool {
    let Some(start) = text.rfind(TRACEBACK) else { return false };
    let after = text[start + TRACEBACK.len()..].trim_start_matches('\n');
    !after.lines().any(|line| !line.is_empty() && !line.starts_with(' '))
}

fn own_level(text: &str) -> (Option<Level>, &str) {
    let bytes = text.as_bytes();
    let level = match bytes {
        [b'<', digit, b'>', ..] => match digit {
            b'0'..=b'2' => Some(Level::Critical),
            b'3' => Some(Level::Error),
            b'4' => Some(Level::Warning),
            b'5' => Some(Level::Notice),
            b'6' => Some(Level::Info),
            b'7' => Some(Level::Debug),
            _ => None,
        },
        _ => None,
    };
    (level, if level.is_some() { &text[3..] } else { text })
}

/// Where the last traceback in `text` points: its innermost frame and the exception's name.
pub fn place(text: &str) -> Option<Place> {
    let start = text.rfind(TRACEBACK)?;
    let mut lines = text[start..].lines().skip(1);
    let mut frame = None;
    let exception = loop {
        let line = lines.next()?;
        if let Some(found) = parse_frame(line) {
            frame = Some(found);
        } else if !line.starts_with(' ') && !line.is_empty() {
            break line.split(':').next().unwrap_or(line);
        }
    };
    let (file, line, function) = frame?;
    let exception = exception.rsplit('.').next().unwrap_or(exception).to_owned();
    Some(Place { file, line, function, exception })
}

/// `  File "x.py", line 3, in f`
fn parse_frame(line: &str) -> Option<(String, u32, String)> {
    let rest = line.trim_start().strip_prefix("File \"")?;
    let (file, rest) = rest.split_once("\", line ")?;
    let (number, function) = rest.split_once(", in ").unwrap_or((rest, "<module>"));
    Some((file.to_owned(), number.trim().parse().ok()?, function.to_owned()))
}

#[cfg(test)]
mod tests {
    use super::*;

    const SAMPLE: &str = "Traceback (most recent call last):\n  File \"/srv/a.py\", line 3, in f\n    x()\n  File \"/srv/b.py\", line 9, in x\n    raise a.KeyError('k')\nKeyError: 'k'\n";

    fn texts(records: Vec<Record>) -> Vec<String> {
        records.into_iter().map(|record| record.text).collect()
    }

    #[test]
    fn a_print_of_several_arguments_is_one_entry() {
        let mut gather = Gather::default();
        assert!(gather.feed("a").is_empty());
        assert!(gather.feed(" ").is_empty());
        assert_eq!(texts(gather.feed("b\n")), ["a b"]);
        assert!(gather.feed("\n").is_empty());
    }

    #[test]
    fn a_traceback_written_line_by_line_is_one_entry_with_its_place() {
        let mut gather = Gather::default();
        let mut records = Vec::new();
        for line in SAMPLE.split_inclusive('\n') {
            records.extend(gather.feed(line));
        }
        assert_eq!(records.len(), 1);
        let place = records[0].place.clone().unwrap();
        assert_eq!((place.file.as_str(), place.line), ("/srv/b.py", 9));
        assert_eq!((place.function.as_str(), place.exception.as_str()), ("x", "KeyError"));
    }

    #[test]
    fn a_record_of_logging_with_a_traceback_is_one_entry() {
        let mut gather = Gather::default();
        let records = gather.feed(&format!("ERROR Internal Server Error: /x\n{SAMPLE}"));
        assert_eq!(records.len(), 1);
        assert!(records[0].place.is_some());
        assert!(records[0].text.starts_with("ERROR Internal"));
    }

    #[test]
    fn a_text_may_set_its_level() {
        let mut gather = Gather::default();
        let records = gather.feed("<4>careful\n");
        assert_eq!((records[0].level, records[0].text.as_str()), (Some(Level::Warning), "careful"));
    }

    #[test]
    fn lines_that_came_together_are_told_apart_but_not_from_what_belongs_to_them() {
        let fault = "Fatal Python error: Aborted\n\nThread 0x1 (most recent call first):\n  File \"a.py\", line 3 in f\n";
        let text = format!("one\n<3>two\n  more\n{SAMPLE}{fault}last");
        let records = split(&text);
        let levels: Vec<_> = records.iter().map(|record| record.level).collect();
        assert_eq!(levels[..2], [None, Some(Level::Error)]);
        let expected = [
            "one",
            "two\n  more",
            SAMPLE.trim_end(),
            "Fatal Python error: Aborted",
            "Thread 0x1 (most recent call first):\n  File \"a.py\", line 3 in f",
            "last",
        ];
        assert_eq!(texts(records), expected);
    }

    proptest::proptest! {
        #[test]
        fn nothing_is_lost_and_nothing_panics(writes: Vec<String>) {
            let mut gather = Gather::default();
            let mut got: usize = 0;
            for text in &writes {
                got += gather.feed(text).iter().map(|record| record.text.len()).sum::<usize>();
            }
            got += gather.flush().iter().map(|record| record.text.len()).sum::<usize>();
            proptest::prop_assert!(got <= writes.concat().len());
        }
    }
}
