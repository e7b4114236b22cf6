//! The table of options, as `--help`, as the manual page rwsgi.ini(5), and as a configuration.

use std::fmt::Write as _;

use super::convert::Others;
use super::lookup::{Lookup, lookup};
use super::options::{Group, OPTIONS, OptionSpec};
use super::quantity::range;
use super::raw::RawConfig;
use super::value::Kind;

const USAGE: &str = "\
rwsgi: WSGI application server, native to systemd

Usage:
  rwsgi --ini FILE[:SECTION] [OPTION]...   serve
  rwsgi FILE [OPTION]...                   serve; the file wins over options
  rwsgi new NAME --django DIR              write /etc/rwsgi/NAME.ini
  rwsgi check NAME|FILE                    tell what is wrong, before a start
  rwsgi doctor [NAME]                      look at the machine and its instances
  rwsgi convert NAME|FILE                  print the same in rwsgi's own words
  rwsgi --show-config [FILE]               print the configuration that counts
  rwsgi --get KEY [FILE]                   print the value of one key
  rwsgi --dump-options                     print the names of all options
  rwsgi --stop PIDFILE                     stop, and wait until it has stopped
  rwsgi --reload PIDFILE                   load configuration and code anew
  rwsgi COMMAND [NAME]                     ask an instance that runs:
    status, workers, top                   its state, that of its workers, live
    list                                   which instances run
    stacks (--stacks PIDFILE)              where its Python threads are
    reload, stop                           load anew; stop
    scale N                                N workers, until the next reload
    pause, resume, drain                   let nothing new reach the application
  rwsgi --help | --version

`rwsgi COMMAND --help`, also of new, check, doctor and convert, tells more.
Every option is also a key of the INI file, and a variable: --foo-bar=1 is
`foo-bar = 1`, UWSGI_FOO_BAR=1 and RWSGI_FOO_BAR=1.
";

const GROUPS: [Group; 12] = [
    Group::Listening,
    Group::Application,
    Group::Workers,
    Group::Http,
    Group::Files,
    Group::Routing,
    Group::Hooks,
    Group::Beside,
    Group::Process,
    Group::Service,
    Group::Log,
    Group::Always,
];

fn members(group: Group) -> impl Iterator<Item = &'static OptionSpec> {
    OPTIONS.iter().filter(move |spec| spec.group == group)
}

/// The text of `--help`.
pub fn help() -> String {
    let mut out = USAGE.to_owned();
    for group in GROUPS {
        let _ = write!(out, "\n{}:\n", group.title());
        for spec in members(group) {
            describe(&mut out, spec);
        }
    }
    out.push_str("\nSee also: man rwsgi.ini\n");
    out
}

fn describe(out: &mut String, spec: &OptionSpec) {
    let letter = spec.short.map_or_else(|| "    ".to_owned(), |letter| format!("-{letter}, "));
    let value = match (spec.kind.placeholder(), spec.bare) {
        (Some(value), None) => format!(" {value}"),
        (Some(value), Some(_)) => format!("[={value}]"),
        (None, _) => String::new(),
    };
    let _ = writeln!(out, "  {letter}--{}{value}", spec.name);
    let mut doc = spec.doc.to_owned();
    if spec.kind.placeholder().is_some() && !spec.default.is_empty() {
        let _ = write!(doc, " [default: {}]", spec.default);
    }
    if !spec.aliases.is_empty() {
        let _ = write!(doc, " [also: {}]", spec.aliases.join(", "));
    }
    for line in wrapped(&doc, 78) {
        let _ = writeln!(out, "          {line}");
    }
}

/// The words of `text` in lines that end before column `width`, ten columns in.
fn wrapped(text: &str, width: usize) -> Vec<String> {
    let mut lines: Vec<String> = Vec::new();
    for word in text.split(' ') {
        match lines.last_mut() {
            Some(line) if line.chars().count() + 1 + word.chars().count() + 10 <= width => {
                line.push(' ');
                line.push_str(word);
            }
            _ => lines.push(word.to_owned()),
        }
    }
    lines
}

/// The names of all options, aliases too, one a line.
pub fn names() -> String {
    let mut names: Vec<&str> = OPTIONS.iter().flat_map(OptionSpec::names).collect();
    names.sort_unstable();
    names.join("\n") + "\n"
}

/// The options that count, as an INI file that says where each comes from. Options that were not
/// written are comments with their default, and so are those of uWSGI that are not obeyed, with the reason.
pub fn show_config(raw: &RawConfig) -> String {
    let mut out = "[rwsgi]\n".to_owned();
    for spec in OPTIONS {
        let written: Vec<_> = raw
            .options
            .iter()
            .filter(|option| match lookup(&option.key) {
                Lookup::Exact(found) | Lookup::Prefix(found) => found == spec,
                Lookup::Known(_) | Lookup::KnownPrefix(..) | Lookup::Unknown(_) => false,
            })
            .collect();
        let skipped = if spec.list { 0 } else { written.len().saturating_sub(1) };
        for option in written.iter().skip(skipped) {
            let value = option.value.replace('%', "%%");
            let _ = writeln!(out, "; {}\n{} = {value}", option.origin, spec.name);
        }
        if written.is_empty() {
            let _ = writeln!(out, "; {} = {}", spec.name, spec.default);
        }
    }
    let mut others = Others::default();
    raw.options.iter().for_each(|option| others.add(option));
    others.write(&mut out);
    out
}

/// The manual page rwsgi.ini(5), for man(1).
pub fn man_ini() -> String {
    let mut out = format!(".TH RWSGI.INI 5 \"\" \"rwsgi {}\" \"rwsgi\"\n", crate::VERSION);
    out.push_str(MAN_HEAD);
    for group in GROUPS {
        let _ = writeln!(out, ".SH {}", roff(&group.title().to_uppercase()));
        for spec in members(group) {
            man_entry(&mut out, spec);
        }
    }
    out.push_str(MAN_TAIL);
    out
}

const MAN_HEAD: &str = r#".SH NAME
rwsgi.ini \- configuration of an instance of rwsgi
.SH DESCRIPTION
Lines
.IB key \~=\~ value
in a section
.B [rwsgi]
or
.BR [uwsgi] ;
several such sections are read as one. A line that begins with # or ; is a comment. There are no
quotes, no escapes and no continued lines. Of an option that is given several times the last counts,
unless it says otherwise.
.PP
In values, %d is the directory of the file, %n its name without extension, %k the number of CPUs,
%% a percent sign; $(NAME) is a variable of the environment, @(PATH) the content of a file,
@(exec://COMMAND) what a command prints, and %(KEY) the value of another key, before or after.
%(KEY * 2 + 1) is computed from left to right. A key that is only referred to in this way may have
any name.
.PP
.B ini = FILE
and
.B ini = FILE:SECTION
include another file, or another section
.RB ( "ini = :SECTION" ).
Paths are seen from where rwsgi was started, so write %d before those beside the file.
.B inherit = FILE
is read after everything else. Between
.B if\-env = NAME
(or NAME=VALUE) and
.B endif =
stands what counts only then, after
.B else =
what counts otherwise; as well:
.BR if\-exists ,
.BR if\-file ,
.BR if\-dir ,
.BR if\-opt ,
.BR if\-plugin ,
.BR if\-hostname ,
.BR if\-hostname\-match ,
.BR if\-reload ,
and each with
.BR if\-not\- .
What stands between
.B for = WORDS
and
.B endfor =
counts for each word, which is %(_); as well:
.BR for\-times ,
.BR for\-glob ,
.BR for\-readline .
Blocks may stand in blocks.
.B set\-ph = KEY=VALUE
is a key to refer to,
.B print
tells its value,
.B exit
ends the start.
.I configuration.md
has all of it, and the differences from uWSGI.
.PP
An unknown key is an error. The beginning of a key that fits one option only is accepted with a
warning. All options of uWSGI are known: those that rwsgi does not have are named in the log if it
can serve without them, and in an error if it cannot, unless ignore\-unsupported is on;
.B rwsgi check
says which are which and
.B rwsgi convert
writes the file without them.
.PP
A switch is on if it is
.BR true ,
.BR yes ,
.B on
or
.BR 1 ,
or has no value, and off if it is
.BR false ,
.BR no ,
.B off
or
.BR 0 .
Sizes are in bytes, with k, m or g after the number in units of 1024, its square and its cube.
"#;

const MAN_TAIL: &str = r".SH SEE ALSO
.BR rwsgi (8)
";

fn man_entry(out: &mut String, spec: &OptionSpec) {
    let value = spec.kind.placeholder().unwrap_or("true|false");
    let _ = writeln!(out, ".TP\n\\fB{}\\fR = \\fI{}\\fR", roff(spec.name), roff(value));
    let _ = writeln!(out, "{}", roff_text(spec.doc));
    let mut facts: Vec<String> = takes(spec.kind).into_iter().collect();
    facts.push(format!("Example: `{} = {}`.", spec.name, spec.example));
    if !spec.default.is_empty() {
        facts.push(format!("Default: `{}`.", spec.default));
    }
    if let Some(letter) = spec.short {
        facts.push(format!("Also `-{letter}`."));
    }
    if !spec.aliases.is_empty() {
        let names: Vec<_> = spec.aliases.iter().map(|name| format!("`{name}`")).collect();
        facts.push(format!("Other names: {}.", names.join(", ")));
    }
    if !spec.reloadable {
        facts.push("A change takes a restart.".to_owned());
    }
    let _ = writeln!(out, ".br\n{}", roff_text(&facts.join(" ")));
}

/// What the placeholder does not tell: a range, or the words to choose from.
fn takes(kind: Kind) -> Option<String> {
    match kind {
        Kind::Bytes { min, max } => {
            Some(format!("Takes a number of bytes from {}.", range(min, max)))
        }
        Kind::Number { .. }
        | Kind::NumberOrWord { .. }
        | Kind::Seconds { .. }
        | Kind::SecondsOrSwitch { .. }
        | Kind::Choice(_)
        | Kind::Words(_) => Some(format!("Takes {}.", kind.expected())),
        _ => None,
    }
}

/// A text with `code` in it.
fn roff_text(text: &str) -> String {
    let mut out = String::new();
    for (index, part) in text.split('`').enumerate() {
        let part = roff(part);
        if index % 2 == 1 {
            let _ = write!(out, "\\fB{part}\\fR");
        } else {
            out.push_str(&part);
        }
    }
    if out.starts_with(['.', '\'']) { format!("\\&{out}") } else { out }
}

fn roff(text: &str) -> String {
    text.replace('\\', "\\e").replace('-', "\\-")
}

#[cfg(test)]
mod tests {
    use super::super::error::Findings;
    use super::super::ini::IniFile;
    use super::super::raw::RawOption;
    use super::*;
    use std::path::Path;

    #[test]
    fn help_has_every_option_and_fits_a_terminal() {
        let help = help();
        for spec in OPTIONS {
            assert!(help.contains(&format!("--{}", spec.name)), "{}", spec.name);
        }
        for line in help.lines() {
            assert!(line.chars().count() <= 80, "{line}");
        }
    }

    #[test]
    fn an_option_is_described_with_letter_value_default_and_aliases() {
        let help = help();
        let expected = "  -p, --processes N\n          Worker processes; with `cheaper` the most. ";
        assert!(help.contains(expected), "{help}");
        assert!(help.contains("[default: 1] [also:\n          workers]\n"));
        assert!(help.contains("      --http ADDRESS\n"));
        assert!(help.contains("      --http-keepalive[=SECONDS]\n"));
        assert!(help.contains("  -L, --disable-logging\n"));
    }

    #[test]
    fn the_manual_tells_ranges_and_words() {
        let manual = man_ini();
        for fact in [
            "\nTakes a number of processes from 1 to 2048, or \\fBauto\\fR. ",
            "\nTakes a number of seconds from 1 to 86400. Example: \\fBhttp\\-timeout = 120\\fR.",
            "\nTakes one of \\fBspare\\fR, \\fBspare2\\fR, ",
            "\nTakes a number of bytes from 1024 to 1048576. Example: \\fBbuffer\\-size",
            "\nTakes a number of bytes from 0 up. ",
        ] {
            assert!(manual.contains(fact), "{fact}");
        }
    }

    #[test]
    fn the_manual_has_every_option_and_no_stray_requests() {
        let manual = man_ini();
        for spec in OPTIONS {
            let heading = format!(".TP\n\\fB{}\\fR = ", roff(spec.name));
            assert!(manual.contains(&heading), "{}", spec.name);
        }
        let requests = [".TH", ".SH", ".TP", ".br", ".PP", ".B", ".RB", ".BR", ".IB", ".I"];
        for line in manual.lines().filter(|line| line.starts_with(['.', '\''])) {
            assert!(requests.contains(&line.split(' ').next().unwrap()), "{line}");
        }
    }

    #[test]
    fn every_group_is_shown() {
        assert!(OPTIONS.iter().all(|spec| GROUPS.contains(&spec.group)));
    }

    #[test]
    fn the_configuration_is_shown_as_a_file_that_reads_back() {
        let raw = RawConfig {
            options: vec![
                RawOption::argument("process", "3", 1, "--process=3"),
                RawOption::argument("workers", "4", 2, "--workers=4"),
                RawOption::argument("env", "A=100%", 3, "--env=A=100%"),
            ],
            ..RawConfig::default()
        };
        let shown = show_config(&raw);
        assert!(shown.contains("; command line\nprocesses = 4\n"), "{shown}");
        assert!(shown.contains("\nenv = A=100%%\n") && shown.contains("\n; threads = 1\n"));
        assert!(!shown.contains("processes = 3"));
        let mut findings = Findings::default();
        let file = IniFile::parse(Path::new("x"), shown.as_bytes(), &mut findings);
        assert_eq!((file.entries.len(), findings.errors.len()), (2, 0));
    }
}
