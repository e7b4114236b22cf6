//! Text that an application writes to a stream, cut into log entries.
//!
//! A line is an entry, several lines in one write are one, and a traceback is one, even when it is
//! written line by line (as `traceback.print_exc` does). `<3>` before a line sets its level, and
//! begins an entry (sd-daemon(3)).

use crate::ipc::Place;
use crate::log::Level;

/// Longest text that is held back for its end.
const LONGEST: usize = 256 * 1024;
/// What a line begins with that is an entry of its own (`log::relayed`).
const RELAYED: char = '\x1e';
const TRACEBACK: &str = "Traceback (most recent call last):";
/// What comes before that when it is one of an `ExceptionGroup`, whose lines have a margin.
const GROUP: &str = "+ Exception Group ";

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
    /// So much of it was looked at for what is still to come.
    seen: usize,
    awaited: Awaited,
}

/// What has to come before text is complete.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
enum Awaited {
    #[default]
    Nothing,
    /// A traceback has begun: the exception.
    Exception,
    /// One of a group has: the rule below its last exception.
    Rule,
}

impl Gather {
    /// Takes what was written; returns the entries that are complete.
    pub fn feed(&mut self, text: &str) -> Vec<Record> {
        self.pending.push_str(text);
        let complete = self.pending.ends_with('\n') && !self.in_traceback();
        if complete || self.pending.len() > LONGEST { self.flush() } else { Vec::new() }
    }

    /// Returns what is there, complete or not.
    pub fn flush(&mut self) -> Vec<Record> {
        let text = std::mem::take(self).pending;
        let mut rest = text.trim_end_matches('\n');
        let mut records = Vec::new();
        while !rest.is_empty() {
            let mut lines = rest.match_indices("\n<").map(|(at, _)| at + 1);
            let end = lines.find(|&at| own_level(&rest[at..]).0.is_some()).unwrap_or(rest.len());
            let (level, text) = own_level(rest[..end].trim_end_matches('\n'));
            if !text.is_empty() {
                records.push(Record { level, place: place(text), text: text.to_owned() });
            }
            rest = &rest[end..];
        }
        records
    }

    /// Whether a traceback has begun whose last line has not come. Looks at each line once: an
    /// application may write as many as it likes.
    fn in_traceback(&mut self) -> bool {
        let new = self.pending.get(self.seen..).unwrap_or_default();
        for line in new.split_inclusive('\n').filter_map(|line| line.strip_suffix('\n')) {
            self.awaited = self.awaited.after(line);
            self.seen += line.len() + 1;
        }
        self.awaited != Awaited::Nothing
    }

    /// Whether there is anything that waits for its end.
    pub fn is_empty(&self) -> bool {
        self.pending.is_empty()
    }
}

/// Cuts text of which nobody knows in how many writes it came: what is indented or empty belongs to
/// the line before it.
pub fn split(text: &str) -> Vec<Record> {
    let mut gather = Gather::default();
    let mut records = Vec::new();
    for line in text.split_inclusive('\n') {
        let is_whole = gather.pending.starts_with(RELAYED);
        if is_whole || !line.starts_with([' ', '\t', '\n']) && !gather.in_traceback() {
            records.extend(gather.flush());
        }
        gather.pending.push_str(line);
    }
    records.extend(gather.flush());
    records
}

impl Awaited {
    /// What is to come after `line`.
    fn after(self, line: &str) -> Self {
        match line.split_once(TRACEBACK) {
            Some((before, _)) if before.ends_with(GROUP) => return Self::Rule,
            // Those of its exceptions have a margin.
            Some((_, rest)) if self != Self::Rule => return Self::Exception.after(rest),
            _ => {}
        }
        let ends = match self {
            Self::Nothing => true,
            Self::Exception => !line.is_empty() && !line.starts_with(' '),
            Self::Rule => is_rule(line) || !line.trim_start().starts_with(['|', '+']),
        };
        if ends { Self::Nothing } else { self }
    }
}

/// `    +------------------------------------`
fn is_rule(line: &str) -> bool {
    let dashes = line.trim().strip_prefix('+');
    dashes.is_some_and(|dashes| dashes.len() > 20 && dashes.bytes().all(|byte| byte == b'-'))
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

/// Where the last traceback in `text` points: its innermost frame of the application, and the
/// exception's name. Of a group it is the group's own.
pub fn place(text: &str) -> Option<Place> {
    let (start, has_margin) = text.rmatch_indices(TRACEBACK).find_map(|(at, _)| {
        let before = text[..at].rsplit('\n').next()?.trim_start();
        (!before.starts_with('|')).then_some((at, before.starts_with(GROUP)))
    })?;
    let margin = if has_margin { "| " } else { "" };
    let unframed = |line| if has_margin { str::trim_start(line) } else { line };
    let mut lines = text[start..].lines().skip(1).map(|line| unframed(line).strip_prefix(margin));
    let (mut frame, mut any) = (None, None);
    let exception = loop {
        let line = lines.next()??;
        if let Some(found) = parse_frame(line) {
            if !is_library(&found.0) {
                frame = Some(found.clone());
            }
            any = Some(found);
        } else if !line.starts_with(' ') && !line.is_empty() {
            break line.split(':').next().unwrap_or(line);
        }
    };
    let (file, line, function) = frame.or(any)?;
    Some(Place { file, line, function, exception: exception.to_owned() })
}

/// Whether a file of Python's is none of the application: the standard library, and what was
/// installed. Paths of Python tell, wherever it lies: `lib/python3.11`, `site-packages`.
pub fn is_library(file: &str) -> bool {
    file.starts_with('<')
        || ["/lib/python3", "/site-packages/", "/dist-packages/"]
            .iter()
            .any(|part| file.contains(part))
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

    const GROUPED: &str = "  + Exception Group Traceback (most recent call last):\n  |   File \"/srv/a.py\", line 3, in f\n  |     x()\n  | ExceptionGroup: two (2 sub-exceptions)\n  +-+---------------- 1 ----------------\n    | Traceback (most recent call last):\n    |   File \"/srv/b.py\", line 9, in x\n    | KeyError: 'k'\n    +---------------- 2 ----------------\n    | ValueError: 7\n    +------------------------------------\n";

    #[test]
    fn a_group_of_exceptions_is_one_entry_and_its_place_is_its_own() {
        let mut gather = Gather::default();
        let lines = GROUPED.split_inclusive('\n');
        let mut records: Vec<_> = lines.flat_map(|line| gather.feed(line)).collect();
        records.extend(gather.feed("next\n"));
        assert_eq!(texts(records.clone()), [GROUPED.trim_end(), "next"]);
        let place = records[0].place.clone().unwrap();
        assert_eq!((place.line, place.exception.as_str()), (3, "ExceptionGroup"));
        let together = split(&format!("{GROUPED}after\n"));
        assert_eq!(texts(together), [GROUPED.trim_end(), "after"]);
    }

    #[test]
    fn of_a_chain_the_last_exception_counts_and_its_name_is_whole() {
        let chain = format!(
            "{SAMPLE}\nThe above exception was the direct cause of the following exception:\n\n\
             Traceback (most recent call last):\n  File \"/srv/c.py\", line 5, in g\n\
             shop.models.Missing: no such book\n"
        );
        let place = place(&chain).unwrap();
        assert_eq!(
            (place.file.as_str(), place.exception.as_str()),
            ("/srv/c.py", "shop.models.Missing")
        );
    }

    #[test]
    fn a_traceback_points_into_the_application_and_not_into_what_it_calls() {
        let text = |files: &[&str]| {
            let frames = files.iter().map(|file| format!("  File \"{file}\", line 1, in f\n"));
            format!("{TRACEBACK}\n{}KeyError: 1\n", frames.collect::<String>())
        };
        let django = "/srv/venv/lib/python3.11/site-packages/django/db/models/query.py";
        let system = "/usr/lib/python3/dist-packages/psycopg2/__init__.py";
        let found = |files: &[&str]| place(&text(files)).unwrap().file;
        assert_eq!(found(&[django, "/srv/shop/views.py", django, system]), "/srv/shop/views.py");
        assert_eq!(
            found(&[django, "/usr/lib/python3.11/json/decoder.py"]),
            "/usr/lib/python3.11/json/decoder.py"
        );
        assert_eq!(found(&["/srv/a.py", "<frozen importlib._bootstrap>"]), "/srv/a.py");
    }

    #[test]
    fn a_level_begins_an_entry_within_one_write_too() {
        let mut gather = Gather::default();
        let records = gather.feed("<3>bad\nmore of it\n<5>notice\n<8>none\n<7>\n");
        let levels: Vec<_> = records.iter().map(|record| record.level).collect();
        assert_eq!(levels, [Some(Level::Error), Some(Level::Notice)]);
        assert_eq!(texts(records), ["bad\nmore of it", "notice\n<8>none"]);
        for (digit, level) in (0..8).zip([2, 2, 2, 3, 4, 5, 6, 7]) {
            let records = gather.feed(&format!("<{digit}>x\n"));
            assert_eq!(records[0].level.unwrap() as u8, level, "{digit}");
        }
    }

    #[test]
    fn what_only_looks_like_a_group_holds_back_nothing_and_long_ones_take_no_time() {
        let mut gather = Gather::default();
        for text in ["see + Exception Group now\n", "+ Exception Group Traceback\n", "next\n"] {
            assert_eq!(texts(gather.feed(text)), [text.trim_end()]);
        }
        let group = GROUPED.lines().next().unwrap();
        assert!(gather.feed(&format!("{group}\n")).is_empty());
        assert_eq!(texts(gather.feed("no margin\n")).len(), 1);
        // Each line looked at again and again would take minutes.
        let lines = format!("{group}\n{}", "  | x\n".repeat(40_000));
        let records: usize = lines.split_inclusive('\n').map(|line| gather.feed(line).len()).sum();
        assert_eq!(records, 0);
        assert_eq!(gather.flush().len(), 1);
        assert_eq!(split(&lines).len(), 1);
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
