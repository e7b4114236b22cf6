//! The fields of the journal's entries: every name that is logged, and what it means.
//!
//! A new field gets its line here; a test looks through the sources for names that have none. Then
//! `packaging/generate` writes the manual page anew.

use std::fmt::Write as _;

use super::Event;
use super::catalog;

/// One field.
#[derive(Debug, Clone, Copy)]
pub(super) struct Field {
    /// As in the journal.
    pub name: &'static str,
    chapter: Chapter,
    doc: &'static str,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Chapter {
    Every,
    Request,
    Python,
    Rest,
}

const CHAPTERS: [(Chapter, &str); 4] = [
    (Chapter::Every, "FIELDS OF EVERY ENTRY"),
    (Chapter::Request, "FIELDS OF REQUESTS"),
    (Chapter::Python, "FIELDS OF PYTHON"),
    (Chapter::Rest, "FURTHER FIELDS"),
];

const fn field(name: &'static str, chapter: Chapter, doc: &'static str) -> Field {
    Field { name, chapter, doc }
}

/// Every field, in the order of the manual.
pub(super) const FIELDS: &[Field] = &[
    field("MESSAGE", Chapter::Every, "The text for people. May have several lines."),
    field(
        "MESSAGE_ID",
        Chapter::Every,
        "Identifies the event, for ever; `journalctl -x` explains it.",
    ),
    field(
        "PRIORITY",
        Chapter::Every,
        "2 (critical): the instance cannot go on. 3 (error): somebody has to look. 4 (warning): odd, but service \
         goes on. 5 (notice): started, reloaded, stopped. 6 (info): all else that is normal.",
    ),
    field(
        "SYSLOG_IDENTIFIER",
        Chapter::Every,
        "`rwsgi`, unless a handler of the application has another one.",
    ),
    field(
        "RWSGI_APP",
        Chapter::Every,
        "The name of the instance: `bookstore` of `rwsgi@bookstore`.",
    ),
    field("RWSGI_EVENT", Chapter::Every, "The event by its name; see EVENTS."),
    field(
        "RWSGI_WORKER",
        Chapter::Every,
        "The number of the worker that speaks, or that the master speaks about. A worker's successor has the \
         number of its predecessor.",
    ),
    field(
        "REQUEST_ID",
        Chapter::Request,
        "Names the request: the same in all entries that belong to it, and in no entry of another one. 32 digits, \
         or what the proxy calls it (`x-request-id` in `trusted-proxy-headers`). `rwsgi.request_id()` tells it to \
         the application.",
    ),
    field("REQUEST_METHOD", Chapter::Request, "`GET`, `POST`, …"),
    field(
        "REQUEST_PATH",
        Chapter::Request,
        "The path, without the query. Of a worker that died with several requests, this field and the two above \
         occur once for each.",
    ),
    field("REQUEST_PROTOCOL", Chapter::Request, "`HTTP/1.1`, `HTTP/1.0`."),
    field(
        "WAITED_USEC",
        Chapter::Request,
        "How long the request has waited for a thread, in microseconds.",
    ),
    field("HTTP_STATUS", Chapter::Request, "The status of the response."),
    field("RESPONSE_BYTES", Chapter::Request, "The size of its body, as far as it was sent."),
    field(
        "DURATION_USEC",
        Chapter::Request,
        "Microseconds from the complete head of the request to the end of the response; of an entry about a slow \
         request, those until then.",
    ),
    field("REMOTE_ADDR", Chapter::Request, "The client, behind the proxies of `trusted-proxies`."),
    field("HTTP_HOST", Chapter::Request, "The header Host."),
    field("HTTP_REFERER", Chapter::Request, "The header Referer."),
    field("HTTP_USER_AGENT", Chapter::Request, "The header User-Agent."),
    field(
        "PYTHON_EXCEPTION",
        Chapter::Python,
        "The class of an exception: `KeyError`, `shop.models.Missing`.",
    ),
    field("PYTHON_TRACEBACK", Chapter::Python, "The traceback as Python prints it."),
    field(
        "PYTHON_STACK",
        Chapter::Python,
        "Where the thread of a slow request was when the entry was written.",
    ),
    field(
        "CODE_FILE",
        Chapter::Python,
        "The file of the innermost frame of the traceback that belongs to the application; of the innermost at all if \
         none does. Of a record of `logging` without an exception, the file that logged it.",
    ),
    field("CODE_LINE", Chapter::Python, "The line in it."),
    field("CODE_FUNC", Chapter::Python, "The function in it."),
    field(
        "LOGGER",
        Chapter::Python,
        "The logger of a record of `logging`. What the application gives as `extra` is in fields of its own, by \
         upper-case names; a name that is here gets `EXTRA_` before it.",
    ),
    field(
        "THREAD_NAME",
        Chapter::Python,
        "The thread that logged a record, or that an exception has ended.",
    ),
    field("RWSGI_WORKERS", Chapter::Rest, "How many workers are wanted from now on."),
    field(
        "RWSGI_COMMAND",
        Chapter::Rest,
        "The command of the configuration that speaks, or that the master speaks about, by its name.",
    ),
    field("RWSGI_HOOK", Chapter::Rest, "The option whose hook runs, or has failed."),
    field("WORKER_PID", Chapter::Rest, "The process of the worker that the master speaks about."),
    field(
        "RWSGI_LOST",
        Chapter::Rest,
        "How many entries were dropped because the log was too slow.",
    ),
];

/// The manual page rwsgi.journal-fields(7), for man(1).
pub fn man_journal_fields() -> String {
    let mut out =
        format!(".TH RWSGI.JOURNAL-FIELDS 7 \"\" \"rwsgi {}\" \"rwsgi\"\n", crate::VERSION);
    out.push_str(HEAD);
    for (chapter, title) in CHAPTERS {
        let _ = writeln!(out, ".SH {title}");
        for field in FIELDS.iter().filter(|field| field.chapter == chapter) {
            let _ = writeln!(out, ".TP\n.B {}\n{}", field.name, roff(field.doc));
        }
    }
    out.push_str(EVENTS);
    for &event in Event::ALL {
        let subject = catalog::heading(event);
        let id = event.message_id();
        let _ =
            writeln!(out, ".TP\n.B {}\n{}.\n.br\nMESSAGE_ID={id}", event.name(), roff(&subject));
    }
    out.push_str(TAIL);
    out
}

const HEAD: &str = r".SH NAME
rwsgi.journal\-fields \- fields of the entries that rwsgi writes to the journal
.SH DESCRIPTION
Under systemd, each thing that happens is one entry of the journal, whatever the number of its lines,
with the fields below. Their names and meanings are stable: new fields are added, none changes.
A field without a value is left out. journald adds its own, such as
.B _SYSTEMD_UNIT
and
.BR _PID ;
see
.BR systemd.journal\-fields (7).
.PP
Each field can be searched for:
.PP
.RS
.nf
journalctl \-u rwsgi@bookstore HTTP_STATUS=500 REQUEST_METHOD=POST
journalctl \-u rwsgi@bookstore RWSGI_EVENT=worker_died \-x
journalctl \-F PYTHON_EXCEPTION
journalctl \-u rwsgi@bookstore RWSGI_EVENT=access \-o json \e
    \-\-output\-fields=REQUEST_PATH,DURATION_USEC
.fi
.RE
";

const EVENTS: &str = r".SH EVENTS
The values of
.BR RWSGI_EVENT .
What each means, and what to do about it, is what
.B journalctl \-x
adds to the entry.
";

const TAIL: &str = r".SH SEE ALSO
.BR rwsgi (8),
.BR rwsgi.ini (5),
.BR journalctl (1),
.BR systemd.journal\-fields (7)
";

/// A text with `code` in it.
fn roff(text: &str) -> String {
    let mut out = String::new();
    for (index, part) in text.split('`').enumerate() {
        let part = part.replace('\\', "\\e").replace('-', "\\-").replace('…', "...");
        match index % 2 {
            1 => {
                let _ = write!(out, "\\fB{part}\\fR");
            }
            _ => out.push_str(&part),
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::path::{Path, PathBuf};

    use super::*;

    /// All sources but this one.
    fn sources(directory: &Path, found: &mut Vec<PathBuf>) {
        for entry in fs::read_dir(directory).unwrap().flatten() {
            let path = entry.path();
            if path.is_dir() {
                sources(&path, found);
            } else if path.extension().is_some_and(|suffix| suffix == "rs")
                && !path.ends_with("log/fields.rs")
            {
                found.push(path);
            }
        }
    }

    /// The names of fields in a source text: literals in capitals that a call of `field` or
    /// `number` begins with, or that stand first in a pair of a list of them.
    fn names(text: &str) -> Vec<&str> {
        let calls = ["field(", ".number(", "field(out,", "\n                ("];
        let after = calls.iter().flat_map(|call| {
            text.match_indices(call).map(|(at, call)| text[at + call.len()..].trim_start())
        });
        let literals = after.filter_map(|rest| rest.strip_prefix('"')?.split_once('"'));
        let capitals = |name: &&str| name.chars().all(|c| matches!(c, 'A'..='Z' | '0'..='9' | '_'));
        literals.map(|(name, _)| name).filter(capitals).collect()
    }

    #[test]
    fn every_field_that_is_logged_is_documented_and_the_other_way_round() {
        let mut files = Vec::new();
        sources(Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap(), &mut files);
        let mut logged = std::collections::HashSet::new();
        for file in files {
            let text = fs::read_to_string(&file).unwrap();
            for name in names(&text) {
                let known = FIELDS.iter().any(|field| field.name == name);
                assert!(known, "{} logs {name}, which is not in FIELDS", file.display());
                logged.insert(name.to_owned());
            }
        }
        for field in FIELDS {
            assert!(logged.contains(field.name), "nothing logs {}", field.name);
        }
    }

    #[test]
    fn names_are_found_however_the_call_is_laid_out() {
        let text = "x.field(\n    \"A_B\",\n 1).number(\"C\", 2); field(out, \"D\", e); \
                    headers.field(\"Host\"); [\n                (\"E\", &access.host)]";
        assert_eq!(names(text), ["A_B", "C", "D", "E"]);
    }

    #[test]
    fn the_manual_has_every_field_and_every_event() {
        let manual = man_journal_fields();
        for field in FIELDS {
            assert!(manual.contains(&format!(".TP\n.B {}\n", field.name)), "{}", field.name);
        }
        for &event in Event::ALL {
            assert!(manual.contains(event.message_id()), "{event:?}");
        }
    }
}
