//! What a hook does: `exec:…`, `print:…` and so on, as uWSGI calls it.

use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use super::value::{self, Invalid, Value};

/// What can be written.
pub(super) const EXPECTED: &str =
    "an action and what it is about, such as `exec:./manage.py migrate --no-input`";

const ACTIONS: &str = "actions are `exec`, `safeexec`, `print`, `log`, `chdir`, `cd`, `mkdir`, `putenv`, `create`, \
                       `creat`, `write`, `writen`, `append`, `appendn`, `writefifo`, `unlink`, `chmod`, \
                       `sticky`, `chown`, `chown2` and `unix_signal`";

/// One thing to do. Paths are relative to the directory that the hook runs in.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum Action {
    /// A command for the shell; unless it has to succeed, a failure is only told.
    Exec {
        /// As for `sh -c`.
        command: String,
        /// `exec`, and not `safeexec`.
        must_succeed: bool,
    },
    /// A line of the log.
    Print(String),
    /// What follows, the application as well, runs in this directory.
    Enter(PathBuf),
    /// A directory; one that is there is left as it is.
    MakeDirectory(PathBuf),
    /// What follows, the application as well, has this variable.
    SetVariable(String, String),
    /// A text in a file.
    Write {
        /// The file; made if it is not there.
        path: PathBuf,
        /// What it has then.
        text: String,
        /// What it had stays before that.
        append: bool,
    },
    /// A text for who reads a FIFO; nobody need.
    WriteFifo {
        /// The FIFO.
        path: PathBuf,
        /// The text.
        text: String,
    },
    /// A file is deleted.
    Unlink(PathBuf),
    /// The permission bits of a file.
    SetMode(PathBuf, u32),
    /// Only who owns a file of this directory can delete it.
    SetSticky(PathBuf),
    /// The user and the group of a file.
    SetOwner(PathBuf, u32, u32),
    /// What rwsgi does without being told.
    AlwaysSo,
}

/// What was written for a hook.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Order {
    /// What it does.
    pub action: Action,
    /// It begins with `!`: the log does not show it.
    pub secret: bool,
}

/// Actions of uWSGI that are not to be had, and what is.
const REFUSED: &[(&[&str], &str, &str)] = &[
    (
        &["call", "callret", "callint", "callintret"],
        "calls a C function of uWSGI's process, and rwsgi is another program",
        "write `exec:` and a command; for a Python function `import = MODULE`, or `uwsgidecorators.postfork`",
    ),
    (
        &["mount", "umount"],
        "changes file systems, which only root may",
        "use BindPaths=, TemporaryFileSystem= or RequiresMountsFor= of the service, or a mount unit",
    ),
    (
        &["hostname"],
        "changes the name of the machine, which only root may",
        "use `hostnamectl`, or `ExecStartPre=+` of the service",
    ),
    (
        &["wait_for_fs", "wait_for_file", "wait_for_dir"],
        "looks again and again whether something is there",
        "use After=, RequiresMountsFor= or a path unit of systemd, or write \
         `exec:until test -e FILE; do sleep 1; done`, which `hook-timeout` ends",
    ),
    (
        &["wait_for_socket"],
        "connects again and again until somebody listens",
        "use After= of the service, or write `exec:` and a command that waits, such as `pg_isready`, which \
         `hook-timeout` ends",
    ),
    (
        &["alarm"],
        "raises an alarm, and rwsgi has none",
        "write `exec:` and a command that tells you, or look for the message ids of rwsgi in the journal",
    ),
    (
        &["rpc", "retryrpc"],
        "calls a function of another instance, which rwsgi does not offer",
        "write `exec:` and a command such as `curl`",
    ),
    (&["exit"], "is for tests of uWSGI", "write `exec:exit 1`: a hook that fails ends the start"),
    (
        &["spinningfifo"],
        "tries again and again until somebody reads",
        "write `writefifo:FILE TEXT`, or `exec:echo TEXT > FILE`, which waits",
    ),
    (&["tcc", "ffi"], "is for C code", "write `exec:` and a command"),
];

/// Functions of uWSGI for `unix_signal`, and the signals that mean the same to rwsgi.
const FUNCTIONS: &[(&str, &[&str])] = &[
    ("gracefully_kill_them_all", &["15", "2"]),
    ("kill_them_all", &["3"]),
    ("grace_them_all", &["1"]),
    ("suspend_resume_them_all", &["20"]),
    ("stats", &["12"]),
];

/// Reads the value of `hook-…`.
pub(super) fn order(text: &str) -> Result<Order, Invalid> {
    if text.contains('\0') {
        return Err(Invalid::new("contains a NUL character"));
    }
    let (open, secret) = match text.strip_prefix('!') {
        Some(rest) => (rest, true),
        None => (text, false),
    };
    let Some((name, about)) = open.split_once(':') else {
        return Err(
            Invalid::new("names no action").help(format!("to run a command, write `exec:{open}`"))
        );
    };
    Ok(Order { action: action(name.trim(), about)?, secret })
}

fn action(name: &str, about: &str) -> Result<Action, Invalid> {
    let words = |count: usize, form: &str| {
        let words: Vec<&str> = about.splitn(count, ' ').collect();
        if words.len() < count || words[..count - 1].contains(&"") {
            return Err(Invalid::new("is not complete").help(format!("write `{name}:{form}`")));
        }
        Ok(words)
    };
    let path = || {
        if about.is_empty() {
            return Err(Invalid::new("names no file").help(format!("write `{name}:PATH`")));
        }
        Ok(PathBuf::from(about))
    };
    let write = |append: bool, end: &str| {
        let words = words(2, "FILE TEXT")?;
        let text = format!("{}{end}", words[1]);
        Ok(Action::Write { path: words[0].into(), text, append })
    };
    match name {
        "exec" | "safeexec" => command(about, name == "exec"),
        "print" | "log" => Ok(Action::Print(about.to_owned())),
        "chdir" | "cd" => path().map(Action::Enter),
        "mkdir" => path().map(Action::MakeDirectory),
        "putenv" => match about.split_once('=') {
            Some((key, value)) if !key.is_empty() => {
                Ok(Action::SetVariable(key.to_owned(), value.to_owned()))
            }
            _ => Err(Invalid::new("sets no variable").help("write `putenv:NAME=value`")),
        },
        "create" | "creat" => {
            Ok(Action::Write { path: path()?, text: String::new(), append: false })
        }
        "write" => write(false, ""),
        "writen" => write(false, "\n"),
        "append" => write(true, ""),
        "appendn" if !about.is_empty() && !about.contains(' ') => {
            Ok(Action::Write { path: about.into(), text: "\n".into(), append: true })
        }
        "appendn" => write(true, "\n"),
        "writefifo" => {
            let words = words(2, "FIFO TEXT")?;
            Ok(Action::WriteFifo { path: words[0].into(), text: words[1].to_owned() })
        }
        "unlink" => path().map(Action::Unlink),
        "chmod" => {
            let words = words(2, "FILE MODE")?;
            match value::mode(words[1], 3)? {
                Value::Number(mode) => Ok(Action::SetMode(words[0].into(), mode as u32)),
                _ => Err(Invalid::new("has no mode")),
            }
        }
        "sticky" => path().map(Action::SetSticky),
        "chown" | "chown2" => {
            let words = words(3, "FILE USER GROUP")?;
            let (user, group) = (value::user(words[1])?, value::group(words[2])?);
            Ok(Action::SetOwner(words[0].into(), user, group))
        }
        "unix_signal" => {
            let words = words(2, "SIGNAL FUNCTION")?;
            unix_signal(words[0], words[1].trim())
        }
        _ => Err(absent(name)),
    }
}

/// Reads the value of `exec-…`, or what follows `exec:`.
pub(super) fn command(text: &str, must_succeed: bool) -> Result<Action, Invalid> {
    if text.trim().is_empty() {
        return Err(Invalid::new("has no command"));
    }
    if text.contains('\0') {
        return Err(Invalid::new("contains a NUL character"));
    }
    Ok(Action::Exec { command: text.to_owned(), must_succeed })
}

fn absent(name: &str) -> Invalid {
    match REFUSED.iter().find(|(names, ..)| names.contains(&name)) {
        Some((_, why, instead)) => {
            Invalid::new(format!("cannot be obeyed: `{name}` {why}")).help(*instead)
        }
        None => {
            let problem = format!("has the action `{name}`, which is none of uWSGI's");
            Invalid::new(problem).help(ACTIONS)
        }
    }
}

fn unix_signal(signal: &str, function: &str) -> Result<Action, Invalid> {
    let known = FUNCTIONS.iter().find(|(name, _)| *name == function);
    match known {
        Some((_, signals)) if signals.contains(&signal) => Ok(Action::AlwaysSo),
        Some((_, signals)) => {
            let problem = format!("gives signal {signal} another meaning than it has in rwsgi");
            Err(Invalid::new(problem).help(format!(
                "send signal {} for that; rwsgi(8) has what each signal means",
                signals.join(" or ")
            )))
        }
        None => Err(Invalid::new("has a function of uWSGI's that rwsgi does not have").help(
            "SIGTERM and SIGINT finish what is in flight, SIGHUP reloads: rwsgi(8) has what each signal means",
        )),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn done(text: &str) -> Action {
        order(text).unwrap().action
    }

    #[test]
    fn every_action_of_uwsgi_is_read_as_uwsgi_reads_it() {
        let exec =
            |command: &str, must_succeed| Action::Exec { command: command.into(), must_succeed };
        assert_eq!(done("exec:a: b # c"), exec("a: b # c", true));
        assert_eq!(done("safeexec: true"), exec(" true", false));
        assert_eq!(done("print:"), Action::Print(String::new()));
        assert_eq!(done("log:a b"), Action::Print("a b".into()));
        assert_eq!(
            (done("cd:/a b"), done("chdir:x")),
            (Action::Enter("/a b".into()), Action::Enter("x".into()))
        );
        assert_eq!(done("mkdir:/x"), Action::MakeDirectory("/x".into()));
        assert_eq!(done("putenv:A=b=c"), Action::SetVariable("A".into(), "b=c".into()));
        let write = |path: &str, text: &str, append| Action::Write {
            path: path.into(),
            text: text.into(),
            append,
        };
        assert_eq!(
            (done("create:a b"), done("creat:a")),
            (write("a b", "", false), write("a", "", false))
        );
        assert_eq!(done("write:a b c"), write("a", "b c", false));
        assert_eq!(
            (done("writen:a b"), done("append:a b")),
            (write("a", "b\n", false), write("a", "b", true))
        );
        assert_eq!(
            (done("appendn:a b"), done("appendn:a")),
            (write("a", "b\n", true), write("a", "\n", true))
        );
        assert_eq!(done("writefifo:f q"), Action::WriteFifo { path: "f".into(), text: "q".into() });
        assert_eq!(
            (done("unlink:x"), done("sticky:x")),
            (Action::Unlink("x".into()), Action::SetSticky("x".into()))
        );
        assert_eq!(done("chmod:x 640"), Action::SetMode("x".into(), 0o640));
        assert_eq!(done("chown:x root root"), Action::SetOwner("x".into(), 0, 0));
        assert_eq!(done("chown2:x 1 2"), Action::SetOwner("x".into(), 1, 2));
        for (signal, function) in
            [(15, "gracefully_kill_them_all"), (1, "grace_them_all"), (3, "kill_them_all")]
        {
            assert_eq!(done(&format!("unix_signal:{signal} {function}")), Action::AlwaysSo);
        }
        assert!(order("!exec:echo $PASSWORD").unwrap().secret);
    }

    #[test]
    fn what_cannot_be_done_is_named_with_what_can() {
        for (text, problem, help) in [
            ("./migrate", "names no action", "write `exec:./migrate`"),
            ("execute:x", "the action `execute`, which is none of uWSGI's", "actions are `exec`"),
            ("exec:", "has no command", ""),
            ("mkdir:", "names no file", "write `mkdir:PATH`"),
            ("write:file", "is not complete", "write `write:FILE TEXT`"),
            ("write: text", "is not complete", "write `write:FILE TEXT`"),
            ("chown:x root", "is not complete", "write `chown:FILE USER GROUP`"),
            ("chown:x no-such-user root", "names no user", ""),
            ("chmod:x rwx", "not an octal mode", ""),
            ("putenv:A", "sets no variable", "write `putenv:NAME=value`"),
            ("call:f", "`call` calls a C function", "uwsgidecorators.postfork"),
            ("mount:none /x /y", "`mount` changes file systems", "BindPaths="),
            ("exit:3", "`exit` is for tests", "write `exec:exit 1`"),
            ("wait_for_socket:x:1", "`wait_for_socket` connects again", "After="),
            ("unix_signal:15 kill_them_all", "another meaning", "send signal 3"),
            ("unix_signal:15 reap_them_all", "does not have", "rwsgi(8)"),
        ] {
            let found = order(text).unwrap_err();
            assert!(found.problem.contains(problem), "{text}: {found:?}");
            assert!(found.help.unwrap_or_default().contains(help), "{text}");
        }
        for (names, ..) in REFUSED {
            for name in *names {
                assert!(order(&format!("{name}:x y z")).unwrap_err().help.is_some(), "{name}");
            }
        }
    }
}
