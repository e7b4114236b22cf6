//! The commands to a running instance: THE table, and how their arguments are read.

use std::ffi::{OsStr, OsString};
use std::fmt::Write as _;
use std::path::PathBuf;
use std::time::Duration;

use lexopt::Arg;
use rwsgi_core::config::ConfigError;
use rwsgi_core::config::error::Report;
use rwsgi_core::exit::ExitCode;

use crate::usage;

/// What an instance can be asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verb {
    /// Tell its state.
    Status,
    /// Tell the state of its workers.
    Workers,
    /// The same, live.
    Top,
    /// Tell where Python is.
    Stacks,
    /// Load configuration and application anew.
    Reload,
    /// Stop.
    Stop,
    /// Let nothing new reach the application.
    Pause,
    /// The end of that.
    Resume,
    /// Pause, and wait until nothing runs; or replace a worker.
    Drain,
    /// Have so many workers.
    Scale,
    /// Which instances there are.
    List,
}

/// A command.
#[derive(Debug, PartialEq, Eq)]
pub struct Command {
    /// Its name.
    pub name: &'static str,
    /// What it asks for.
    pub verb: Verb,
    /// What it does, for `--help`.
    pub does: &'static str,
    /// Its options beside `--pidfile` and `--help`.
    options: &'static [Flag],
    /// How long it waits, if no `--timeout` says.
    timeout: Option<Duration>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Flag {
    Json,
    Timeout,
    Wait,
    Worker,
    Workers,
    Interval,
    Once,
}

const fn command(
    name: &'static str,
    verb: Verb,
    options: &'static [Flag],
    does: &'static str,
) -> Command {
    Command { name, verb, does, options, timeout: None }
}

impl Flag {
    /// As one writes it, and what it does.
    fn describe(self) -> (&'static str, &'static str) {
        match self {
            Json => ("--json", "print the answer as JSON; control.md describes it"),
            Timeout => ("--timeout SECONDS", "do not wait longer; what was asked for goes on"),
            Wait => ("--wait", "wait until no request runs, as `drain` does"),
            Worker => ("--worker N", "replace worker N, its successor first; nothing is paused"),
            Workers => ("--workers", "only new processes, of the same code and configuration"),
            Interval => ("--interval SECONDS", "how often to look (2)"),
            Once => ("--once", "look once, and print it as text"),
        }
    }
}

impl Command {
    /// Its options as one writes them, with the name of their value.
    pub fn options(&self) -> impl Iterator<Item = &'static str> {
        self.options.iter().map(|option| option.describe().0)
    }

    const fn within(mut self, seconds: u64) -> Self {
        self.timeout = Some(Duration::from_secs(seconds));
        self
    }
}

use Flag::{Interval, Json, Once, Timeout, Wait, Worker, Workers};

/// All of them, in the order of the help text.
pub const COMMANDS: &[Command] = &[
    command("status", Verb::Status, &[Json], "Tell the state of the instance."),
    command("workers", Verb::Workers, &[Json], "Tell the state of each worker."),
    command("top", Verb::Top, &[Interval, Once], "Show workers and requests, live."),
    command("stacks", Verb::Stacks, &[Json], "Tell where in Python each thread is."),
    command(
        "reload",
        Verb::Reload,
        &[Json, Timeout, Workers],
        "Load configuration and application anew; wait until the new code serves.",
    ),
    command("stop", Verb::Stop, &[Json, Timeout], "Finish the requests in flight and stop."),
    command(
        "pause",
        Verb::Pause,
        &[Json, Timeout, Wait],
        "Let nothing new reach the application; who connects waits. What runs goes on.",
    )
    .within(10),
    command("resume", Verb::Resume, &[Json, Timeout], "End a pause.").within(10),
    command(
        "drain",
        Verb::Drain,
        &[Json, Timeout, Worker],
        "Pause, and wait until no request runs; with --worker, replace that worker.",
    ),
    command(
        "scale",
        Verb::Scale,
        &[Json, Timeout],
        "Have N workers until the next reload, with `cheaper` no fewer; wait for them.",
    ),
    command("list", Verb::List, &[Json], "Tell which instances run."),
];

/// A command as it was given.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Call {
    /// Which.
    pub command: &'static Command,
    /// Of whom; `None`: of the only one that runs.
    pub instance: Option<Instance>,
    /// The answer as it comes, and not as text.
    pub json: bool,
    /// How long to wait.
    pub timeout: Option<Duration>,
    /// `drain --worker`.
    pub worker: Option<u32>,
    /// `reload --workers`.
    pub workers_only: bool,
    /// `scale`.
    pub workers: Option<u32>,
    /// How often `top` looks.
    pub interval: Duration,
    /// `top` looks once.
    pub once: bool,
}

/// How an instance is named.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Instance {
    /// By its name, or the path of its control socket.
    Name(String),
    /// By its pidfile.
    Pidfile(PathBuf),
}

/// What was asked of a command.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Asked {
    /// To be done.
    Call(Call),
    /// To explain itself.
    Help(&'static Command),
}

/// The command of this name.
pub fn find(name: &str) -> Option<&'static Command> {
    COMMANDS.iter().find(|command| command.name == name)
}

impl Call {
    /// `command` without any option.
    pub fn new(command: &'static Command, instance: Option<Instance>) -> Self {
        Self {
            command,
            instance,
            json: false,
            timeout: command.timeout,
            worker: None,
            workers_only: false,
            workers: None,
            interval: Duration::from_secs(2),
            once: false,
        }
    }
}

/// Reads what follows the name of `command`.
///
/// # Errors
/// What cannot be understood, with how the command is used.
pub fn parse(
    command: &'static Command,
    arguments: impl Iterator<Item = OsString>,
) -> Result<Asked, Vec<ConfigError>> {
    read(command, arguments).map_err(|what| {
        let report = Report::new(format!("rwsgi {}: {what}", command.name));
        vec![report.expected(format!("`{}`", usage_of(command))).into()]
    })
}

fn read(
    command: &'static Command,
    arguments: impl Iterator<Item = OsString>,
) -> Result<Asked, String> {
    let mut call = Call::new(command, None);
    let (mut waits, mut timeout) = (false, None);
    let mut parser = lexopt::Parser::from_args(arguments);
    while let Some(argument) = parser.next().map_err(|error| error.to_string())? {
        let flag = match &argument {
            Arg::Short('h') | Arg::Long("help") => return Ok(Asked::Help(command)),
            Arg::Long("pidfile") if command.verb != Verb::List => {
                let path = parser.value().map_err(|error| error.to_string())?;
                call.name(Instance::Pidfile(path.into()))?;
                continue;
            }
            Arg::Value(value) if command.verb == Verb::Scale && is_number(value) => {
                call.workers = value.to_str().and_then(|text| text.parse().ok());
                continue;
            }
            Arg::Value(value) => {
                let name = value.to_str().filter(|name| is_name(name));
                let name = name.ok_or(format!("`{}` is no name", value.to_string_lossy()))?;
                call.name(Instance::Name(name.to_owned()))?;
                continue;
            }
            Arg::Long(name) => flag(name).filter(|flag| command.options.contains(flag)),
            Arg::Short(_) => None,
        };
        let Some(flag) = flag else { return Err(argument.unexpected().to_string()) };
        match flag {
            Json => call.json = true,
            Once => call.once = true,
            Wait => waits = true,
            Workers => call.workers_only = true,
            Timeout => timeout = Some(seconds(&mut parser, "--timeout")?),
            Interval => call.interval = seconds(&mut parser, "--interval")?,
            Worker => call.worker = Some(number(&mut parser)?),
        }
    }
    if command.verb == Verb::Scale && call.workers.is_none() {
        return Err("how many workers there are to be is needed".to_owned());
    }
    if waits {
        call.command = find("drain").unwrap_or(command);
    }
    call.timeout = timeout.or(call.command.timeout);
    Ok(Asked::Call(call))
}

impl Call {
    fn name(&mut self, instance: Instance) -> Result<(), String> {
        if self.command.verb == Verb::List {
            return Err("it needs no name".to_owned());
        }
        if self.instance.replace(instance).is_some() {
            return Err("the name of one instance is needed, not of several".to_owned());
        }
        Ok(())
    }
}

fn flag(name: &str) -> Option<Flag> {
    Some(match name {
        "json" => Json,
        "timeout" => Timeout,
        "wait" => Wait,
        "worker" => Worker,
        "workers" => Workers,
        "interval" => Interval,
        "once" => Once,
        _ => return None,
    })
}

fn seconds(parser: &mut lexopt::Parser, option: &str) -> Result<Duration, String> {
    let value = parser.value().map_err(|error| error.to_string())?;
    let seconds = value.to_str().and_then(|text| text.parse::<f64>().ok());
    let seconds = seconds.filter(|seconds| (0.1..=1e9).contains(seconds));
    seconds.map(Duration::from_secs_f64).ok_or_else(|| {
        format!("{option} `{}`: seconds are expected, 0.1 or more", value.to_string_lossy())
    })
}

fn number(parser: &mut lexopt::Parser) -> Result<u32, String> {
    let value = parser.value().map_err(|error| error.to_string())?;
    let number = value.to_str().and_then(|text| text.parse().ok()).filter(|number| *number > 0);
    number.ok_or_else(|| {
        let shown = value.to_string_lossy();
        format!(
            "--worker `{shown}`: the number of a worker is expected, as `rwsgi workers` tells it"
        )
    })
}

fn is_number(value: &OsStr) -> bool {
    value.to_str().is_some_and(|text| text.parse::<u32>().is_ok())
}

/// The name of an instance, or the path of its control socket.
fn is_name(name: &str) -> bool {
    name.contains('/') || !name.is_empty() && !name.starts_with('.')
}

fn usage_of(command: &Command) -> String {
    let mut usage = format!("rwsgi {}", command.name);
    for option in command.options {
        usage.push_str(match option {
            Json => " [--json]",
            Timeout => " [--timeout SECONDS]",
            Wait => " [--wait]",
            Worker => " [--worker N]",
            Workers => " [--workers]",
            Interval => " [--interval SECONDS]",
            Once => " [--once]",
        });
    }
    if command.verb != Verb::List {
        usage.push_str(" [INSTANCE]");
    }
    if command.verb == Verb::Scale {
        usage.push_str(" N");
    }
    usage
}

/// `rwsgi COMMAND --help`.
pub fn help(command: &Command) -> String {
    let mut text = format!("Usage: {}\n\n{}\n", usage_of(command), command.does);
    if command.verb != Verb::List {
        text.push_str(
            "\nINSTANCE is its name, the path of its control socket, or --pidfile FILE.\n\
             Without, the only one that runs is meant.\n",
        );
    }
    for option in command.options {
        let (option, does) = option.describe();
        let _ = write!(text, "\n  {option:20} {does}");
    }
    let example = match command.verb {
        Verb::List => "rwsgi list --json",
        Verb::Scale => "rwsgi scale bookstore 8",
        Verb::Drain => "rwsgi drain bookstore --timeout 30",
        Verb::Reload => "rwsgi reload bookstore --timeout 120",
        Verb::Top => "rwsgi top bookstore --interval 1",
        Verb::Status => "rwsgi status bookstore",
        Verb::Workers => "rwsgi workers bookstore --json",
        Verb::Stacks => "rwsgi stacks bookstore",
        Verb::Stop => "rwsgi stop --pidfile /run/bookstore.pid",
        Verb::Pause => "rwsgi pause bookstore --wait",
        Verb::Resume => "rwsgi resume bookstore",
    };
    let _ = write!(text, "\n\nExample:\n  {example}\n");
    text.push_str(&usage::codes(match command.verb {
        Verb::List => &[ExitCode::Ok, ExitCode::Usage],
        _ => &[
            ExitCode::Ok,
            ExitCode::Failed,
            ExitCode::Usage,
            ExitCode::Unavailable,
            ExitCode::Permission,
        ],
    }));
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    fn call(line: &str) -> Result<Call, String> {
        let mut words = line.split_whitespace();
        let command = find(words.next().unwrap()).unwrap();
        match parse(command, words.map(OsString::from)) {
            Ok(Asked::Call(call)) => Ok(call),
            Ok(Asked::Help(command)) => Err(help(command)),
            Err(errors) => Err(errors.iter().map(ToString::to_string).collect()),
        }
    }

    #[test]
    fn help_fits_a_terminal() {
        for command in COMMANDS {
            for line in help(command).lines() {
                assert!(line.chars().count() <= 80, "{line}");
            }
        }
    }

    #[test]
    fn scale_needs_a_number_and_perhaps_a_name() {
        let scaled = call("scale shop 4").unwrap();
        assert_eq!(scaled.workers, Some(4));
        assert_eq!(scaled.instance, Some(Instance::Name("shop".into())));
        assert_eq!(call("scale 4").unwrap().instance, None);
        let error = call("scale shop").unwrap_err();
        assert!(error.contains("[INSTANCE] N`") && error.contains("how many"), "{error}");
        assert!(call("scale shop many").is_err());
    }

    #[test]
    fn an_instance_has_a_name_a_path_or_a_pidfile_or_is_the_only_one() {
        let name = |text: &str| Some(Instance::Name(text.to_owned()));
        assert_eq!(call("status shop").unwrap().instance, name("shop"));
        assert_eq!(call("status ./x/control").unwrap().instance, name("./x/control"));
        assert_eq!(call("status").unwrap().instance, None);
        let pidfile = Some(Instance::Pidfile("x.pid".into()));
        assert_eq!(call("stop --pidfile x.pid").unwrap().instance, pidfile);
        assert!(call("reload a b").unwrap_err().contains("not of several"));
        assert!(call("reload a --pidfile b").unwrap_err().contains("not of several"));
        assert!(call("reload ..").unwrap_err().contains("is no name"));
        assert!(call("list shop").unwrap_err().contains("needs no name"));
    }

    #[test]
    fn options_belong_to_commands() {
        assert!(
            call("stacks shop --json").unwrap().json && call("stacks --json shop").unwrap().json
        );
        let drain = call("drain --timeout 2.5 --worker=3 shop").unwrap();
        assert_eq!((drain.timeout, drain.worker), (Some(Duration::from_millis(2500)), Some(3)));
        let waits = call("pause --wait shop").unwrap();
        assert_eq!((waits.command.verb, waits.timeout), (Verb::Drain, None));
        assert!(call("status --worker 3").unwrap_err().contains("--worker"));
        assert!(call("drain --worker 0").unwrap_err().contains("the number of a worker"));
        assert!(call("drain --timeout soon").unwrap_err().contains("seconds are expected"));
        assert!(call("status -p 4").unwrap_err().contains("rwsgi status [--json] [INSTANCE]"));
    }

    #[test]
    fn every_command_explains_itself() {
        for command in COMMANDS {
            let text = call(&format!("{} --help", command.name)).unwrap_err();
            assert!(text.starts_with(&format!("Usage: rwsgi {}", command.name)), "{text}");
            assert!(text.contains(command.does), "{text}");
            assert!(text.contains(&format!("\n\nExample:\n  rwsgi {} ", command.name)), "{text}");
            assert!(text.contains("\nExit codes:\n   0  "), "{text}");
        }
    }
}
