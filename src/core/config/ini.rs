//! The lines of an INI file, by uWSGI's grammar.
//!
//! A line is empty, a comment (`#` or `;` first), a section (`[name]`), or `key = value`, split at
//! the first `=`. There are no quotes, escapes or continued lines. Where uWSGI is silent about what
//! it drops, this is not.

use std::path::Path;
use std::sync::Arc;

use super::error::{Findings, Report};
use super::options;
use super::raw::{Origin, RawOption, Source, Span};

/// An INI file, as read.
#[derive(Debug, Clone, Default)]
pub struct IniFile {
    /// The names of the sections in the order in which they first occur.
    pub sections: Vec<String>,
    /// Every key, with the index of its section.
    pub entries: Vec<(usize, RawOption)>,
}

impl IniFile {
    /// Reads the text of the file `path`.
    pub fn parse(path: &Path, bytes: &[u8], findings: &mut Findings) -> Self {
        Self::parse_included(path, None, bytes, findings)
    }

    /// The same for a file that the line at `included_by` includes.
    pub fn parse_included(
        path: &Path,
        included_by: Option<Arc<Origin>>,
        bytes: &[u8],
        findings: &mut Findings,
    ) -> Self {
        let file = Self::default();
        let mut reader = Reader { path: path.into(), included_by, file, current: None };
        let text = bytes.strip_prefix(b"\xef\xbb\xbf").unwrap_or(bytes);
        for (index, line) in text.split(|&b| b == b'\n').enumerate() {
            let number = u32::try_from(index + 1).unwrap_or(u32::MAX);
            reader.line(number, line, findings);
        }
        reader.file
    }

    /// The entries of these sections, in the order of the file; `None` if there is no such section.
    pub fn select(self, wanted: &[&str]) -> Option<Vec<RawOption>> {
        let Self { sections, entries } = self;
        let is_wanted = |index: usize| {
            sections.get(index).is_some_and(|section| wanted.contains(&section.as_str()))
        };
        if !(0..sections.len()).any(is_wanted) {
            return None;
        }
        let chosen = entries.into_iter().filter(|(section, _)| is_wanted(*section));
        Some(chosen.map(|(_, option)| option).collect())
    }
}

struct Reader {
    path: Arc<Path>,
    included_by: Option<Arc<Origin>>,
    file: IniFile,
    current: Option<usize>,
}

const BLANK: &[char] = &[' ', '\t', '\r'];

impl Reader {
    fn line(&mut self, number: u32, bytes: &[u8], findings: &mut Findings) {
        let first = bytes.iter().find(|b| !matches!(b, b' ' | b'\t' | b'\r'));
        if matches!(first, None | Some(b'#' | b';')) {
            return;
        }
        let lossy = String::from_utf8_lossy(bytes);
        let text = lossy.trim_end_matches(BLANK);
        if std::str::from_utf8(bytes).is_err() || text.contains('\0') {
            let report = Report::new("this line is not UTF-8 text").help("save the file as UTF-8");
            findings.error(report.at_key(&self.whole(number, text)));
        } else if text.trim_start_matches(BLANK).starts_with('[') {
            self.section(number, text, findings);
        } else {
            self.entry(number, text, findings);
        }
    }

    fn section(&mut self, number: u32, text: &str, findings: &mut Findings) {
        let origin = self.whole(number, text);
        let inner = text.trim_start_matches(BLANK).strip_prefix('[').unwrap_or_default();
        let Some((name, rest)) = inner.split_once(']') else {
            let report = Report::new("the name of the section is not closed").at_key(&origin);
            findings.error(report.expected("`[NAME]` on a line of its own"));
            return;
        };
        match rest.trim_matches(BLANK).chars().next() {
            None => {}
            Some('#' | ';') => {
                findings.warn(Report::new("a comment after a section was ignored").at_key(&origin));
            }
            Some(_) => {
                let report = Report::new("there is text after the section's name").at_key(&origin);
                findings.error(report.expected("`[NAME]` on a line of its own"));
            }
        }
        let name = name.trim_matches(BLANK);
        let known = self.file.sections.iter().position(|section| section == name);
        self.current = Some(known.unwrap_or_else(|| {
            self.file.sections.push(name.to_owned());
            self.file.sections.len() - 1
        }));
    }

    fn entry(&mut self, number: u32, text: &str, findings: &mut Findings) {
        let option = self.option(number, text, findings);
        if option.key.is_empty() {
            let report = Report::new("there is no key before the `=`").at_key(&option.origin);
            findings.error(report.expected("`key = value`"));
            return;
        }
        match self.current {
            Some(section) => self.file.entries.push((section, option)),
            None => findings.error(
                Report::new("this line is before any section")
                    .at_key(&option.origin)
                    .help("put a line `[rwsgi]` (or `[uwsgi]`) above it"),
            ),
        }
    }

    fn option(&self, number: u32, text: &str, findings: &mut Findings) -> RawOption {
        let start = text.len() - text.trim_start_matches(BLANK).len();
        let mut end = text.len();
        let equals = text.find('=');
        let key_end = |end: usize| text.get(start..end).unwrap_or_default().trim_end_matches(BLANK);
        let mut key = key_end(equals.unwrap_or(end));
        if let Some(at) = comment(text, equals.map_or(start, |at| at + 1), equals.is_some(), key) {
            end = text.get(..at).unwrap_or_default().trim_end_matches(BLANK).len();
            end = end.max(equals.map_or(start, |at| at + 1));
            key = key_end(equals.unwrap_or(end));
            let origin = self.origin(number, text, Span::of(text, start, start), (at, text.len()));
            findings.warn(
                Report::new(format!("the comment after `{key}` was cut off"))
                    .at_value(&origin)
                    .help("uWSGI takes it for a part of the value: write it on a line of its own"),
            );
        }
        let from = equals.map_or(end, |at| at + 1);
        let tail = text.get(from..end).unwrap_or_default();
        let value = tail.trim_matches(BLANK);
        let value_start = if value.is_empty() {
            from
        } else {
            from + tail.len() - tail.trim_start_matches(BLANK).len()
        };
        let key_span = Span::of(text, start, start + key.len());
        let place = (value_start, value_start + value.len());
        RawOption {
            key: key.to_owned(),
            value: value.to_owned(),
            placeholder: false,
            origin: self.origin(number, text, key_span, place),
        }
    }

    fn origin(&self, line: u32, text: &str, key: Span, value: (usize, usize)) -> Origin {
        let included_by = self.included_by.clone();
        let source = Source::File { path: Arc::clone(&self.path), line, included_by };
        Origin { source, text: text.into(), key, value: Span::of(text, value.0, value.1) }
    }

    fn whole(&self, line: u32, text: &str) -> Origin {
        let start = text.len() - text.trim_start_matches(BLANK).len();
        self.origin(line, text, Span::of(text, start, text.len()), (start, text.len()))
    }
}

/// Where a comment begins that follows a value which cannot contain one: `#` or `;` after a blank,
/// at or behind `from`.
fn comment(text: &str, from: usize, has_value: bool, key: &str) -> Option<usize> {
    let first_word = key.split(BLANK).next().unwrap_or_default();
    if !options::excludes_comments(if has_value { key } else { first_word }) {
        return None;
    }
    let mut before = if has_value { text.get(..from)?.chars().last() } else { None };
    // The character right after `=` is the value's first one: `env=#x` is no comment.
    if before == Some('=') {
        before = None;
    }
    for (at, c) in text.get(from..)?.char_indices() {
        if matches!(c, '#' | ';') && before.is_some_and(|c| BLANK.contains(&c)) {
            return Some(from + at);
        }
        before = Some(c);
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn read(text: &str) -> (IniFile, Findings) {
        let mut findings = Findings::default();
        let file = IniFile::parse(Path::new("uwsgi.ini"), text.as_bytes(), &mut findings);
        (file, findings)
    }

    fn pairs(text: &str) -> Vec<(String, String)> {
        let (file, findings) = read(text);
        assert!(findings.errors.is_empty(), "{:?}", findings.errors);
        let options = file.select(&["uwsgi", "rwsgi"]).unwrap();
        options.into_iter().map(|option| (option.key, option.value)).collect()
    }

    fn owned(pairs: &[(&str, &str)]) -> Vec<(String, String)> {
        pairs.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect()
    }

    #[test]
    fn lines_are_split_at_the_first_equals_sign() {
        let text = "[uwsgi]\nenv = a=b = c\n  master  \nhttp=:8000\n\tvacuum\t=\n";
        let expected =
            owned(&[("env", "a=b = c"), ("master", ""), ("http", ":8000"), ("vacuum", "")]);
        assert_eq!(pairs(text), expected);
    }

    #[test]
    fn crlf_byte_order_mark_and_missing_last_newline_are_fine() {
        let text = "\u{feff}[uwsgi]\r\nprocesses = 4\r\n\r\nthreads = 2";
        assert_eq!(pairs(text), owned(&[("processes", "4"), ("threads", "2")]));
    }

    #[test]
    fn comments_may_be_indented_and_need_not_be_utf8() {
        assert_eq!(pairs("; x\n[uwsgi]\n  # = y\n\t; z\nmaster=1"), owned(&[("master", "1")]));
        let mut findings = Findings::default();
        let file = IniFile::parse(Path::new("x"), b"[uwsgi]\n# gr\xfc\xdfe\n", &mut findings);
        assert!(findings.errors.is_empty() && file.entries.is_empty());
    }

    #[test]
    fn both_sections_count_in_the_order_of_the_file() {
        let text = "[uwsgi]\nthreads=1\n[other]\nx=1\n[rwsgi]\nthreads=2\n[uwsgi]\nthreads=3\n";
        let values: Vec<_> = pairs(text).into_iter().map(|(_, value)| value).collect();
        assert_eq!(values, ["1", "2", "3"]);
        assert_eq!(read(text).0.sections, ["uwsgi", "other", "rwsgi"]);
        assert_eq!(read(text).0.select(&["other"]).unwrap().len(), 1);
        assert!(read(text).0.select(&["missing"]).is_none());
    }

    #[test]
    fn a_value_without_a_key_is_an_error() {
        let mut findings = Findings::default();
        let file = IniFile::parse(Path::new("a.ini"), b"[uwsgi]\n = 3\n", &mut findings);
        assert!(file.entries.is_empty());
        assert!(findings.errors[0].to_string().contains("there is no key before the `=`"));
    }

    #[test]
    fn a_line_before_any_section_is_an_error() {
        let (_, findings) = read("processes = 4\n[uwsgi]\n");
        assert_eq!(
            findings.errors[0].to_string(),
            "error: uwsgi.ini:1:1: this line is before any section\n  |\n\
             1 | processes = 4\n  | ^^^^^^^^^\n\
             \x20 help: put a line `[rwsgi]` (or `[uwsgi]`) above it"
        );
    }

    #[test]
    fn sections_must_be_closed_and_alone() {
        assert_eq!(read("[uwsgi\n").1.errors.len(), 1);
        assert_eq!(read("[uwsgi] x\n").1.errors.len(), 1);
        let (file, findings) = read("[ uwsgi ] ; main\n");
        assert_eq!((file.sections.len(), findings.warnings.len()), (1, 1));
        assert_eq!(file.sections[0], "uwsgi");
    }

    #[test]
    fn inline_comments_are_cut_off_with_a_warning_where_they_must_be_comments() {
        let text = "[uwsgi]\nmaster = false # no\nchdir = /srv/x\t; here\nprocess = 4 # four\n\
                    vacuum ; bare\nhttp = # none\n";
        let expected = owned(&[
            ("master", "false"),
            ("chdir", "/srv/x"),
            ("process", "4"),
            ("vacuum", ""),
            ("http", ""),
        ]);
        assert_eq!(pairs(text), expected);
        let (_, findings) = read(text);
        assert_eq!(findings.warnings.len(), 5);
        assert_eq!(
            findings.warnings[0].to_string(),
            "warning: uwsgi.ini:2:16: the comment after `master` was cut off\n  |\n\
             2 | master = false # no\n  |                ^^^^\n\
             \x20 help: uWSGI takes it for a part of the value: write it on a line of its own"
        );
    }

    #[test]
    fn other_values_keep_what_looks_like_a_comment() {
        let text = "[uwsgi]\nenv = A=b # c\nlog-format = %(uri) ; x\nchdir = /a#b\nfoo = 1 # 2\n";
        let values: Vec<_> = pairs(text).into_iter().map(|(_, value)| value).collect();
        assert_eq!(values, ["A=b # c", "%(uri) ; x", "/a#b", "1 # 2"]);
    }

    #[test]
    fn a_value_that_is_not_utf8_is_an_error() {
        let mut findings = Findings::default();
        IniFile::parse(Path::new("x"), b"[uwsgi]\nchdir = /gr\xfcn\n", &mut findings);
        assert!(findings.errors[0].to_string().contains("x:2:1: this line is not UTF-8 text"));
    }

    #[test]
    fn places_are_those_of_the_line() {
        let (file, _) = read("[uwsgi]\n  processes =   four  \n");
        let origin = &file.entries[0].1.origin;
        assert_eq!(origin.key, Span { column: 3, width: 9 });
        assert_eq!(origin.value, Span { column: 17, width: 4 });
        assert_eq!(origin.to_string(), "uwsgi.ini:2:17");
    }

    fn slice(text: &str, span: Span) -> String {
        text.chars().skip(span.column as usize - 1).take(span.width as usize).collect()
    }

    proptest! {
        #[test]
        fn any_bytes_are_read_without_panic(bytes in proptest::collection::vec(any::<u8>(), 0..400)) {
            let mut findings = Findings::default();
            IniFile::parse(Path::new("x"), &bytes, &mut findings);
            for error in &findings.errors {
                let _ = error.to_string();
            }
        }

        #[test]
        fn every_key_and_value_is_where_its_origin_says(
            lines in proptest::collection::vec("[ \t]{0,2}[a-zä-]{0,9}[ =;#\t]{0,4}[a-zß0-9=;# \t]{0,9}\r?", 0..20),
        ) {
            let text = format!("[uwsgi]\n{}", lines.join("\n"));
            let (file, _) = read(&text);
            for (_, option) in file.entries {
                prop_assert_eq!(slice(&option.origin.text, option.origin.key), option.key);
                prop_assert_eq!(slice(&option.origin.text, option.origin.value), option.value);
                let Source::File { line, .. } = option.origin.source else { panic!() };
                let there = text.lines().nth(line as usize - 1).unwrap();
                prop_assert!(there.starts_with(&*option.origin.text));
            }
        }

        #[test]
        fn what_is_rendered_reads_back(
            written in proptest::collection::vec(("[a-z][a-z-]{0,8}", "([a-z0-9/:.=]([a-z0-9 /:.=]*[a-z0-9/:.=])?)?"), 1..20),
        ) {
            let lines: Vec<_> = written.iter().map(|(k, v)| format!("{k} = {v}\n")).collect();
            prop_assert_eq!(pairs(&format!("[rwsgi]\n{}", lines.concat())), written);
        }
    }
}
