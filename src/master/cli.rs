//! The command line: which of its modes is meant, and what it configures. What options are called
//! and what they mean is in rwsgi-core's table.

use std::ffi::OsString;
use std::path::{Path, PathBuf};

use lexopt::Arg;
use rwsgi_core::config::error::Report;
use rwsgi_core::config::lookup::{Lookup, by_letter, lookup, unknown};
use rwsgi_core::config::raw::RawOption;
use rwsgi_core::config::{Argument, ConfigError, Sources, Stdin, other_format};

use crate::commands;
use crate::generated::Generated;
use crate::usage::{self, Help};
use crate::{doctor, draft};

/// Before all others: whether this program could take over with them ([`crate::takeover`]).
pub const TAKEOVER_CHECK: &str = "--takeover-check";

/// Where the services of the package have their configuration.
pub const INSTANCES: &str = "/etc/rwsgi";

/// What rwsgi was called for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Mode {
    /// Serve.
    Serve {
        /// What configures it, to be read now and at each reload.
        sources: Sources,
    },
    /// Tell whether this program could take over from a running master (not for people).
    TakeoverCheck {
        /// What configures that.
        sources: Sources,
    },
    /// Tell what is wrong with a configuration, and with what it needs.
    Check {
        /// What configures it.
        sources: Sources,
        /// The instance, if it is one of /etc/rwsgi.
        name: Option<String>,
        /// As JSON.
        json: bool,
    },
    /// Print the configuration that counts.
    ShowConfig {
        /// What configures it.
        sources: Sources,
    },
    /// Print the values of these keys, nothing else.
    Get {
        /// What configures them.
        sources: Sources,
        /// The keys.
        keys: Vec<String>,
    },
    /// Write a configuration anew, in rwsgi's own words.
    Convert {
        /// What configures it.
        sources: Sources,
    },
    /// Print the names of all options.
    DumpOptions,
    /// Stop the instance with this pidfile.
    Stop {
        /// The file.
        pidfile: PathBuf,
    },
    /// Reload the instance with this pidfile.
    Reload {
        /// The file.
        pidfile: PathBuf,
    },
    /// Ask a running instance.
    Command(commands::Asked),
    /// Write the configuration of a new instance.
    New(draft::Asked),
    /// Look at the machine.
    Doctor(doctor::Asked),
    /// Print the help text of a command.
    Explain(&'static Help),
    /// Print the help text.
    Help,
    /// Print the version.
    Version,
    /// Print what the package has of a table of the program.
    Generate(Generated),
}

/// Reads arguments (without the program's name) and environment.
///
/// # Errors
/// All arguments that cannot be understood.
pub fn parse(
    args: impl Iterator<Item = OsString>,
    env: impl Iterator<Item = (OsString, OsString)>,
) -> Result<Mode, Vec<ConfigError>> {
    let mut args = args.peekable();
    if args.peek().is_some_and(|word| word == "new") {
        return draft::parse(args.skip(1));
    }
    if args.peek().is_some_and(|word| word == "doctor") {
        return doctor::parse(args.skip(1));
    }
    let takes_over = args.next_if(|first| first == TAKEOVER_CHECK).is_some();
    let command = args.peek().and_then(|word| word.to_str()).and_then(commands::find);
    if let Some(command) = command {
        return commands::parse(command, args.skip(1)).map(Mode::Command);
    }
    let mut line = Line::default();
    let mut parser = lexopt::Parser::from_args(args);
    loop {
        match parser.next() {
            Ok(None) => break,
            Ok(Some(Arg::Short(letter))) => {
                let step = line.short(letter, &mut parser);
                line.note(step);
            }
            Ok(Some(Arg::Long(name))) => {
                let name = name.to_owned();
                let step = line.long(&name, &mut parser);
                line.note(step);
            }
            Ok(Some(Arg::Value(value))) => line.positional(value),
            Err(error) => {
                line.errors.push(Report::new(error.to_string()).into());
                break;
            }
        }
    }
    match line.finish(env.collect())? {
        Mode::Serve { sources } if takes_over => Ok(Mode::TakeoverCheck { sources }),
        mode => Ok(mode),
    }
}

#[derive(Debug, Default)]
struct Line {
    index: usize,
    mode: Option<Asked>,
    options: Vec<Argument>,
    positional: Vec<OsString>,
    errors: Vec<ConfigError>,
    /// `--json` of `--stacks` and of `check`.
    json: bool,
    /// The instance of `check`.
    name: Option<String>,
    /// The keys of `--get`.
    keys: Vec<String>,
    /// After an unknown option, a word alone may be its value.
    confused: bool,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Asked {
    Check,
    ShowConfig,
    Get,
    Convert,
    DumpOptions,
    Stop(OsString),
    Reload(OsString),
    Stacks(OsString),
    Help,
    Explain(&'static Help),
    Version,
    Generate(Generated),
}

type Step = Result<(), Box<Report>>;

impl Line {
    fn note(&mut self, step: Step) {
        if let Err(report) = step {
            self.errors.push((*report).into());
        }
    }

    fn short(&mut self, letter: char, parser: &mut lexopt::Parser) -> Step {
        if letter == 'h' {
            self.explain();
            return Ok(());
        }
        let typed = format!("-{letter}");
        let Some(key) = by_letter(letter) else {
            let report = Report::new(format!("there is no option `{typed}`"));
            return Err(Box::new(report.help("`rwsgi --help` lists all")));
        };
        self.option(key, &typed, parser)
    }

    /// What is explained depends on what was asked for before.
    fn explain(&mut self) {
        self.mode = Some(match self.mode {
            Some(Asked::Check) => Asked::Explain(&usage::CHECK),
            Some(Asked::Convert) => Asked::Explain(&usage::CONVERT),
            Some(Asked::Explain(help)) => Asked::Explain(help),
            _ => Asked::Help,
        });
    }

    fn long(&mut self, name: &str, parser: &mut lexopt::Parser) -> Step {
        let typed = format!("--{name}");
        self.mode = Some(match name {
            "ini" => return self.ini(&typed, parser),
            "check" | "check-config" => Asked::Check,
            "show-config" => Asked::ShowConfig,
            "get" => {
                self.keys.push(text(value(&typed, parser)?)?);
                Asked::Get
            }
            "dump-options" => Asked::DumpOptions,
            "stop" => Asked::Stop(value(&typed, parser)?),
            "reload" => Asked::Reload(value(&typed, parser)?),
            "stacks" => Asked::Stacks(value(&typed, parser)?),
            // Elsewhere it is an option of uWSGI.
            "json" if matches!(self.mode, Some(Asked::Stacks(_) | Asked::Check)) => {
                self.json = true;
                return Ok(());
            }
            "help" => {
                self.explain();
                return Ok(());
            }
            "version" => Asked::Version,
            _ => match Generated::by_option(name) {
                Some(generated) => Asked::Generate(generated),
                None => return self.option(name, &typed, parser),
            },
        });
        Ok(())
    }

    fn ini(&mut self, typed: &str, parser: &mut lexopt::Parser) -> Step {
        let path = text(value(typed, parser)?)?;
        self.index += 1;
        let written = format!("{typed} {path}");
        self.options.push(Argument::File(RawOption::argument("ini", &path, self.index, &written)));
        Ok(())
    }

    fn option(&mut self, key: &str, typed: &str, parser: &mut lexopt::Parser) -> Step {
        self.index += 1;
        let (value, written) = match shape(key) {
            Shape::Unknown(similar) => {
                let _ = parser.optional_value();
                self.confused = true;
                let option = RawOption::argument(key, "", self.index, typed);
                return Err(Box::new(unknown(&option, &similar)));
            }
            // The letters of switches are written together: `-ML`.
            Shape::Switch if !typed.starts_with("--") => ("true".to_owned(), typed.to_owned()),
            Shape::Switch => optional("true", typed, parser)?,
            Shape::Optional(bare) => optional(bare, typed, parser)?,
            Shape::Value => {
                let value = text(value(typed, parser)?)?;
                let written = format!("{typed} {value}");
                (value, written)
            }
        };
        let option = RawOption::argument(key, &value, self.index, &written);
        self.options.push(Argument::Option(option));
        Ok(())
    }

    fn positional(&mut self, value: OsString) {
        if self.mode.is_none() && self.positional.is_empty() {
            self.mode = match value.to_str() {
                Some("check") => Some(Asked::Check),
                Some("convert") => Some(Asked::Convert),
                _ => None,
            };
            if self.mode.is_some() {
                return;
            }
        }
        self.positional.push(value);
    }

    fn finish(self, environment: Vec<(OsString, OsString)>) -> Result<Mode, Vec<ConfigError>> {
        // What asks for help is answered, whatever else there is.
        match self.mode {
            Some(Asked::Help) => return Ok(Mode::Help),
            Some(Asked::Explain(help)) => return Ok(Mode::Explain(help)),
            Some(Asked::Version) => return Ok(Mode::Version),
            Some(Asked::Generate(generated)) => return Ok(Mode::Generate(generated)),
            Some(Asked::DumpOptions) => return Ok(Mode::DumpOptions),
            _ => {}
        }
        if self.confused {
            return Err(self.errors);
        }
        if let Some(Asked::Stacks(pidfile)) = self.mode {
            return stacks(pidfile, self.json);
        }
        self.with_sources(environment)
    }

    fn with_sources(
        mut self,
        environment: Vec<(OsString, OsString)>,
    ) -> Result<Mode, Vec<ConfigError>> {
        for value in std::mem::take(&mut self.positional) {
            let step = self.file(value);
            self.note(step);
        }
        if !self.errors.is_empty() {
            return Err(self.errors);
        }
        let sources = Sources { environment, arguments: self.options, stdin: Stdin::open() };
        Ok(match self.mode {
            Some(Asked::Stop(pidfile)) => Mode::Stop { pidfile: pidfile.into() },
            Some(Asked::Reload(pidfile)) => Mode::Reload { pidfile: pidfile.into() },
            Some(Asked::Check) => Mode::Check { sources, name: self.name, json: self.json },
            Some(Asked::ShowConfig) => Mode::ShowConfig { sources },
            Some(Asked::Get) => Mode::Get { sources, keys: self.keys },
            Some(Asked::Convert) => Mode::Convert { sources },
            Some(
                Asked::Stacks(_)
                | Asked::Help
                | Asked::Explain(_)
                | Asked::Version
                | Asked::Generate(_)
                | Asked::DumpOptions,
            )
            | None => Mode::Serve { sources },
        })
    }

    /// A file alone counts after all options, as in uWSGI.
    fn file(&mut self, value: OsString) -> Step {
        self.index += 1;
        let mut path = text(value)?;
        if matches!(self.mode, Some(Asked::Check | Asked::Convert)) && path != "-" {
            if !path.contains(['/', '.', ':']) {
                path = format!("{INSTANCES}/{path}.ini");
            }
            self.name = instance_of(&path);
        }
        let option = RawOption::argument("ini", &path, self.index, &path);
        let name = path.rsplit_once(':').map_or(path.as_str(), |(path, _)| path);
        let is_ini = name.ends_with(".ini") || path.ends_with(".ini") || path == "-";
        if !is_ini && other_format(Path::new(name)).is_none() {
            let report = Report::new(format!("`{path}` is neither a command nor an INI file"));
            let report = report.at_value(&option.origin);
            return Err(Box::new(report.expected("an option, or a FILE.ini")));
        }
        self.options.push(Argument::File(option));
        Ok(())
    }
}

/// The instance that has its configuration at `path`.
fn instance_of(path: &str) -> Option<String> {
    let name = path.strip_prefix(INSTANCES)?.strip_prefix('/')?.strip_suffix(".ini")?;
    (!name.contains('/')).then(|| name.to_owned())
}

/// How an option is written.
enum Shape {
    Switch,
    Optional(&'static str),
    Value,
    Unknown(Vec<&'static str>),
}

fn shape(key: &str) -> Shape {
    match lookup(key) {
        Lookup::Exact(spec) | Lookup::Prefix(spec) => match spec.bare {
            Some(_) if spec.kind.placeholder().is_none() => Shape::Switch,
            Some(bare) => Shape::Optional(bare),
            None => Shape::Value,
        },
        Lookup::Known(known) | Lookup::KnownPrefix(known, _) if known.takes_value => Shape::Value,
        Lookup::Known(_) | Lookup::KnownPrefix(..) => Shape::Switch,
        Lookup::Unknown(similar) => Shape::Unknown(similar),
    }
}

fn optional(
    bare: &str,
    typed: &str,
    parser: &mut lexopt::Parser,
) -> Result<(String, String), Box<Report>> {
    match parser.optional_value() {
        Some(value) => {
            let value = text(value)?;
            let written = format!("{typed}={value}");
            Ok((value, written))
        }
        None => Ok((bare.to_owned(), typed.to_owned())),
    }
}

/// `--stacks PIDFILE`.
fn stacks(pidfile: OsString, json: bool) -> Result<Mode, Vec<ConfigError>> {
    let Some(command) = commands::find("stacks") else { return Ok(Mode::Help) };
    let json = json.then(|| "--json".into());
    let arguments = ["--pidfile".into(), pidfile].into_iter().chain(json);
    commands::parse(command, arguments).map(Mode::Command)
}

fn value(typed: &str, parser: &mut lexopt::Parser) -> Result<OsString, Box<Report>> {
    let missing = |_| Box::new(Report::new(format!("`{typed}` needs a value")));
    parser.value().map_err(missing)
}

fn text(value: OsString) -> Result<String, Box<Report>> {
    value.into_string().map_err(|value| {
        let shown = value.to_string_lossy();
        Box::new(Report::new(format!("the argument `{shown}` is not UTF-8 text")))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn mode(line: &str) -> Result<Mode, String> {
        let args = line.split_whitespace().map(OsString::from);
        parse(args, std::iter::empty()).map_err(|errors| {
            let texts: Vec<_> = errors.iter().map(ToString::to_string).collect();
            texts.join("\n")
        })
    }

    fn written(line: &str) -> Vec<String> {
        let Ok(Mode::Serve { sources }) = mode(line) else { panic!("{:?}", mode(line)) };
        let show = |argument: &Argument| match argument {
            Argument::Option(option) => format!("{}={}", option.key, option.value),
            Argument::File(option) => format!("<{}>", option.value),
        };
        sources.arguments.iter().map(show).collect()
    }

    #[test]
    fn values_are_attached_or_follow() {
        assert_eq!(
            written("-p 4 -p4 -p=4 --processes=4 --processes 4 --process 4"),
            [
                "processes=4",
                "processes=4",
                "processes=4",
                "processes=4",
                "processes=4",
                "process=4"
            ]
        );
    }

    #[test]
    fn switches_take_no_following_value() {
        assert_eq!(written("-M --vacuum x.ini"), ["master=true", "vacuum=true", "<x.ini>"]);
        assert_eq!(
            written("--master=false -ML"),
            ["master=false", "master=true", "disable-logging=true"]
        );
        assert_eq!(
            written("-C -C600 --thunder-lock"),
            ["chmod-socket=666", "chmod-socket=600", "thunder-lock=true"]
        );
    }

    #[test]
    fn files_alone_count_last() {
        assert_eq!(written("x.ini -p 2"), ["processes=2", "<x.ini>"]);
        assert_eq!(written("--ini x.ini:web -p 2"), ["<x.ini:web>", "processes=2"]);
    }

    #[test]
    fn modes() {
        assert_eq!(mode("--stop x.pid"), Ok(Mode::Stop { pidfile: "x.pid".into() }));
        assert_eq!(mode("--reload=x.pid"), Ok(Mode::Reload { pidfile: "x.pid".into() }));
        let call = |line: &str| match mode(line) {
            Ok(Mode::Command(commands::Asked::Call(call))) => call,
            other => panic!("{line}: {other:?}"),
        };
        for word in ["reload", "stop", "status", "stacks", "drain"] {
            let called = call(&format!("{word} shop"));
            assert_eq!((called.command.name, called.instance.is_some()), (word, true));
        }
        assert_eq!(call("--stacks x.pid --json"), call("stacks --json --pidfile x.pid"));
        assert_eq!(mode("-h --frob"), Ok(Mode::Help));
        for (line, help) in [
            ("check --help", &usage::CHECK),
            ("check shop -h", &usage::CHECK),
            ("--check --help", &usage::CHECK),
            ("new --help", &usage::NEW),
            ("new shop -h", &usage::NEW),
            ("doctor --help", &usage::DOCTOR),
        ] {
            assert_eq!(mode(line), Ok(Mode::Explain(help)), "{line}");
        }
        assert_eq!(mode("--version"), Ok(Mode::Version));
        assert_eq!(mode("--man-ini"), Ok(Mode::Generate(Generated::ManIni)));
        for line in ["check x.ini", "--check x.ini", "--check --ini x.ini"] {
            assert!(matches!(mode(line), Ok(Mode::Check { .. })), "{line}");
        }
        let checked = |line: &str| match mode(line) {
            Ok(Mode::Check { sources, name, json }) => {
                let Some(Argument::File(file)) = sources.arguments.first() else {
                    panic!("{line}")
                };
                (file.value.clone(), name, json)
            }
            other => panic!("{line}: {other:?}"),
        };
        let shop = ("/etc/rwsgi/shop.ini".to_owned(), Some("shop".to_owned()), true);
        for line in ["check shop --json", "check --json shop", "check --json /etc/rwsgi/shop.ini"] {
            assert_eq!(checked(line), shop, "{line}");
        }
        assert_eq!(checked("--check ./shop.ini"), ("./shop.ini".to_owned(), None, false));
        assert!(matches!(mode("--show-config x.ini"), Ok(Mode::ShowConfig { .. })));
    }

    #[test]
    fn mistakes_are_told_together() {
        let errors = mode("-Q frob").unwrap_err();
        assert!(errors.contains("there is no option `-Q`"), "{errors}");
        let twice = mode("--vaccum --processs 4").unwrap_err();
        assert!(twice.contains("did you mean `vacuum`?\n"), "{twice}");
        assert!(twice.contains("did you mean `processes`?") && !twice.contains("INI file"));
        assert!(mode("frob").unwrap_err().contains("neither a command nor an INI file"));
        assert!(mode("--processes").unwrap_err().contains("`--processes` needs a value"));
    }
}
