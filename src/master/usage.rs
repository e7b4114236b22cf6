//! What `--help` after a command says: how it is used, its arguments, examples, exit codes.

use std::fmt::Write as _;

use rwsgi_core::exit::ExitCode;

/// The help of a command.
#[derive(Debug, PartialEq, Eq)]
pub struct Help {
    /// The command line, without `Usage:`.
    pub usage: &'static str,
    /// What it does.
    pub does: &'static str,
    /// Arguments, and what they mean.
    pub arguments: &'static [(&'static str, &'static str)],
    /// Command lines, and what they are for.
    pub examples: &'static [(&'static str, &'static str)],
    /// What it ends with.
    pub codes: &'static [ExitCode],
}

/// `rwsgi check`.
pub const CHECK: Help = Help {
    usage: "rwsgi check NAME|FILE [--json]",
    does: "Looks at an instance before it starts, as the user that serves: configuration,\n\
           unit and what the generator makes of it, sockets, permissions, what the\n\
           application writes, import. Serves nothing.",
    arguments: &[
        ("NAME", "the instance of /etc/rwsgi/NAME.ini, with its unit"),
        ("FILE", "an INI file anywhere, without a unit; the same as `rwsgi --check FILE`"),
        ("--json", "print all findings as JSON"),
    ],
    examples: &[
        ("rwsgi check bookstore", "before systemctl restart; as root it sees most"),
        ("rwsgi check ./uwsgi.ini --json", "for a script"),
    ],
    codes: &[
        ExitCode::Ok,
        ExitCode::Usage,
        ExitCode::Unavailable,
        ExitCode::Application,
        ExitCode::System,
        ExitCode::Permission,
        ExitCode::Config,
    ],
};

/// `rwsgi convert`.
pub const CONVERT: Help = Help {
    usage: "rwsgi convert NAME|FILE",
    does: "Prints the same configuration in rwsgi's own words: what is included, repeated,\n\
           computed or referred to is written out with the line that it comes from; what\n\
           rwsgi does not obey is a comment with the reason.",
    arguments: &[
        ("NAME", "the instance of /etc/rwsgi/NAME.ini"),
        ("FILE", "an INI file of uWSGI or rwsgi anywhere; `-` for standard input"),
    ],
    examples: &[
        ("rwsgi convert ./uwsgi.ini", "to see what it comes to"),
        ("rwsgi convert ./uwsgi.ini > /etc/rwsgi/bookstore.ini", "as an instance"),
    ],
    codes: &[ExitCode::Ok, ExitCode::Usage, ExitCode::Config],
};

/// `rwsgi doctor`.
pub const DOCTOR: Help = Help {
    usage: "rwsgi doctor [NAME] [--json]",
    does: "Looks at the machine (versions, clock, kernel, disks, journal, denials), at each\n\
           instance and its limits, and for what is left over from instances that are gone.\n\
           Changes nothing, and asks nobody on the network.",
    arguments: &[
        ("NAME", "look at this instance only; without it, at all of /etc/rwsgi"),
        ("--json", "print all findings as JSON"),
    ],
    examples: &[
        ("rwsgi doctor", "everything; as root it sees most"),
        ("rwsgi doctor bookstore --json", "for a script or a monitor"),
    ],
    codes: &[
        ExitCode::Ok,
        ExitCode::Usage,
        ExitCode::Unavailable,
        ExitCode::System,
        ExitCode::Config,
    ],
};

/// `rwsgi new`.
pub const NEW: Help = Help {
    usage: "rwsgi new NAME --django DIR|--flask PROJECT|--wsgi PROJECT [OPTION]...",
    does: "Looks at a project (settings, virtual environment, static files) and writes\n\
           /etc/rwsgi/NAME.ini.",
    arguments: &[
        ("--django DIR", "the directory of manage.py"),
        ("--flask PROJECT", "a directory, or MODULE[:CALLABLE]"),
        ("--wsgi PROJECT", "a Python file, or MODULE[:CALLABLE]"),
        ("--http ADDRESS", "listen there (a free port from 127.0.0.1:8000 on)"),
        ("--socket PATH", "listen there, with the uwsgi protocol, for nginx"),
        ("--processes N", "so many workers (auto: as many as there are processors)"),
        ("--user USER", "who serves (rwsgi, the user of the unit)"),
        ("-o, --output FILE", "write to FILE instead, - is stdout"),
        ("--dry-run", "write nothing, show it"),
    ],
    examples: &[
        ("sudo rwsgi new bookstore --django /srv/bookstore", "then: rwsgi check bookstore"),
        ("rwsgi new api --flask shop:create_app() --dry-run", "look first"),
    ],
    codes: &[
        ExitCode::Ok,
        ExitCode::Failed,
        ExitCode::Usage,
        ExitCode::System,
        ExitCode::Permission,
    ],
};

impl Help {
    /// As it is printed.
    pub fn text(&self) -> String {
        let mut text = format!("Usage: {}\n\n{}\n\n", self.usage, self.does);
        table(&mut text, self.arguments);
        text.push_str("\nExamples:\n");
        table(&mut text, self.examples);
        text.push_str(&codes(self.codes));
        text
    }
}

fn table(text: &mut String, rows: &[(&str, &str)]) {
    let width = rows.iter().map(|(left, _)| left.len()).max().unwrap_or_default();
    for (left, right) in rows {
        let _ = writeln!(text, "  {left:width$}  {right}");
    }
}

/// The exit codes of a command, with a heading.
pub fn codes(codes: &[ExitCode]) -> String {
    let mut text = "\nExit codes:\n".to_owned();
    for code in codes {
        let _ = writeln!(text, "  {:2}  {}", *code as u8, code.meaning());
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_help_has_all_parts_and_fits_a_terminal() {
        for help in [&CHECK, &CONVERT, &DOCTOR, &NEW] {
            let text = help.text();
            for part in ["Usage: rwsgi ", "\nExamples:\n", "\nExit codes:\n   0  done"] {
                assert!(text.contains(part), "{part}: {text}");
            }
            assert!(text.lines().all(|line| line.chars().count() <= 80), "{text}");
        }
    }
}
