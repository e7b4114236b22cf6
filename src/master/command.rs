//! Commands of the administrator beside the workers. Each is a child of the master: /bin/sh -c, as in
//! uWSGI, in a session of its own, with the directory and the environment of the application. What it
//! writes is logged under its name, and it is ended with its whole process group.
//!
//! Whoever wants one calls [`Master::start_command`] with an [`Owner`], to whom
//! [`Master::command_ended`] says how it has ended. [`Commands`] knows who runs and until when; it is
//! pure, and survives a takeover.

#![allow(dead_code, reason = "what wants commands to run comes next")]

use std::collections::BTreeMap;
use std::os::fd::OwnedFd;
use std::os::unix::process::CommandExt as _;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use rwsgi_core::config::Application;
use rwsgi_core::config::hooks::Hook;
use rwsgi_core::log::{self, Entry, Event as Said};
use rwsgi_core::{shortage, sys};
use serde::{Deserialize, Serialize};

use crate::capture::Source;
use crate::master::Master;
use crate::reap::Exit;
use crate::spawn;

const SHELL: &str = "/bin/sh";
/// From the signal that asks a command to end, for it has had its time, to the one that ends it.
pub const GRACE: Duration = Duration::from_secs(5);

/// Who wants a command to run, and is told of its end.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum Owner {
    /// A daemon of the INI file, by its name.
    Daemon(String),
    /// A hook of a file that was touched.
    Touch {
        /// Which.
        hook: Box<Hook>,
        /// The file was touched again meanwhile.
        is_again: bool,
    },
}

/// A command to be started.
#[derive(Debug, Clone, Copy)]
pub struct Order<'a> {
    /// As it is called in the log: `daemon celery`.
    pub name: &'a str,
    /// For the shell.
    pub line: &'a str,
    /// Where, if not where the application is.
    pub directory: Option<&'a Path>,
    /// As whom, if not as who we are: user and group.
    pub user: (Option<u32>, Option<u32>),
    /// It does not outlive the master. What does has no pipe to it, either: it writes where the
    /// master's own words go.
    pub bound: bool,
}

/// Starts a command; its pid, which is that of its process group, too. `output` is to be its stdout
/// and stderr, if not ours.
///
/// # Errors
/// A sentence: there is no shell, no such directory, no room, or one may not become that user.
pub fn start(
    order: Order<'_>,
    application: &Application,
    output: Option<OwnedFd>,
) -> Result<i32, String> {
    let Order { line, directory, user: (uid, gid), bound, .. } = order;
    let mut command = Command::new(SHELL);
    command.arg("-c").arg(line).stdin(Stdio::null());
    spawn::set_environment(&mut command, application);
    let directory = directory.or(application.chdir.as_deref());
    if let Some(directory) = directory {
        command.current_dir(directory);
    }
    gid.map(|gid| command.gid(gid));
    uid.map(|uid| command.uid(uid));
    let trouble = |error: std::io::Error| {
        let place = directory.map_or_else(String::new, |it| format!(" in {}", it.display()));
        let user = uid.map_or_else(String::new, |uid| format!(" as user {uid}"));
        format!("cannot be started{place}{user}: {}", shortage::explain(&error))
    };
    if let Some(output) = output {
        command.stdout(output.try_clone().map_err(trouble)?).stderr(output);
    }
    sys::lead_session(&mut command, bound);
    let child = command.spawn().map_err(trouble)?;
    Ok(i32::try_from(child.id()).unwrap_or_default())
}

/// What a command line runs, for people: its first word that is not a variable, without directories.
pub fn program(line: &str) -> &str {
    let is_variable = |word: &&str| {
        word.split_once('=').is_some_and(|(name, _)| {
            !name.is_empty() && name.chars().all(|c| c.is_ascii_alphanumeric() || c == '_')
        })
    };
    let word = line.split_ascii_whitespace().find(|word| *word != "exec" && !is_variable(word));
    let word = word.unwrap_or("command");
    let last = word.rsplit('/').find(|part| !part.is_empty());
    last.unwrap_or(word).trim_matches(['"', '\'', ';', '(', ')', '{', '}'])
}

/// A command that runs. Times are on the master's clock.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Running {
    /// Whose it is.
    pub owner: Owner,
    /// As in the log.
    pub name: String,
    /// Since when.
    pub began: Duration,
    /// When it has to have ended by itself.
    pub until: Option<Duration>,
    /// It was asked to end, and is killed then.
    pub killed_at: Option<Duration>,
    /// It has not ended in time.
    pub is_overdue: bool,
}

/// All that run, by pid.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Commands(BTreeMap<i32, Running>);

impl Commands {
    /// Whether none runs.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// All, by pid.
    pub fn iter(&self) -> impl Iterator<Item = (i32, &Running)> {
        self.0.iter().map(|(pid, running)| (*pid, running))
    }

    /// Whose they are.
    pub fn owners(&mut self) -> impl Iterator<Item = &mut Owner> {
        self.0.values_mut().map(|running| &mut running.owner)
    }

    /// Notes one.
    pub fn insert(&mut self, pid: i32, running: Running) {
        self.0.insert(pid, running);
    }

    /// Forgets one that has ended.
    pub fn remove(&mut self, pid: i32) -> Option<Running> {
        self.0.remove(&pid)
    }

    /// One was asked to end, and is killed at this time, or before if that was said before.
    pub fn note_asked(&mut self, pid: i32, killed_at: Duration) {
        if let Some(running) = self.0.get_mut(&pid) {
            running.killed_at = Some(running.killed_at.unwrap_or(killed_at).min(killed_at));
        }
    }

    /// When the next one is out of time.
    pub fn due(&self) -> Option<Duration> {
        self.0.values().filter_map(|one| one.killed_at.or(one.until)).min()
    }

    /// Who is out of time: asked to end first, killed later; again and again, should it still be there.
    pub fn step(&mut self, now: Duration) -> Vec<(i32, Signal)> {
        let mut signals = Vec::new();
        for (pid, running) in &mut self.0 {
            match (running.killed_at, running.until) {
                (Some(at), _) if at <= now => signals.push((*pid, Signal::SIGKILL)),
                (None, Some(until)) if until <= now => {
                    running.is_overdue = true;
                    signals.push((*pid, Signal::SIGTERM));
                }
                _ => continue,
            }
            running.killed_at = Some(now + GRACE);
        }
        signals
    }
}

/// A command that has ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Ended {
    /// What it was.
    pub running: Running,
    /// Its process, and group.
    pub pid: i32,
    /// How.
    pub exit: Exit,
    /// After what time.
    pub lived: Duration,
}

impl Ended {
    /// Whether it has ended as it should: by itself and well, or because it was asked to.
    pub fn is_well(&self) -> bool {
        let is_asked = self.running.killed_at.is_some() && !self.running.is_overdue;
        is_asked || self.exit == Exit::Code(0)
    }

    /// The sentence's predicate.
    pub fn describe(&self) -> String {
        let seconds = self.lived.as_secs_f64();
        if self.running.is_overdue {
            return format!("has not ended within {seconds:.0} s: it was ended");
        }
        let end = match self.exit {
            Exit::Signal(signal, _) if self.running.killed_at.is_some() => {
                format!("was ended by signal {} ({signal})", signal as i32)
            }
            Exit::Code(0) => "has ended".into(),
            Exit::Code(126) => "exited with code 126: the shell may not execute it".into(),
            Exit::Code(127) => {
                "exited with code 127: the shell has not found it; name it by its whole path".into()
            }
            Exit::Code(code @ 129..=192) => {
                let signal = Signal::try_from(code - 128).map_or("a signal", Signal::as_str);
                format!("exited with code {code}, as of what {signal} has ended")
            }
            exit => exit.to_string(),
        };
        format!("{end}, after {seconds:.1} s")
    }

    /// That, to be logged.
    pub fn entry(&self) -> Entry {
        let text = self.describe();
        if self.is_well() {
            log::info(Said::CommandEnded, text)
        } else {
            log::warning(Said::CommandFailed, text)
        }
    }
}

/// The commands of an instance.
impl Master {
    /// Starts a command that has to end before `until`, if that is said. Its pid.
    ///
    /// # Errors
    /// As those of [`start`].
    pub(crate) fn start_command(
        &mut self,
        order: Order<'_>,
        owner: Owner,
        until: Option<Duration>,
    ) -> Result<i32, String> {
        let output = if order.bound {
            self.output_of(Source::Command(order.name.to_owned()))
        } else {
            log::file()
        };
        let pid = start(order, &self.instance.config.application, output)?;
        let (name, began) = (order.name.to_owned(), self.now());
        let running = Running { owner, name, began, until, killed_at: None, is_overdue: false };
        self.commands.insert(pid, running);
        Ok(pid)
    }

    /// Asks a command to end, with all that it has started, and kills it when it does not within `mercy`.
    pub(crate) fn end_command(&mut self, pid: i32, signal: Signal, mercy: Duration) {
        signal_group(pid, signal);
        let killed_at = self.now() + mercy;
        self.commands.note_asked(pid, killed_at);
    }

    /// When a command is out of time.
    pub(crate) fn commands_due(&self) -> Option<Instant> {
        self.commands.due().map(|at| self.began + at)
    }

    /// Ends those that are.
    pub(crate) fn end_overdue_commands(&mut self) {
        for (pid, signal) in self.commands.step(self.now()) {
            signal_group(pid, signal);
        }
    }

    /// A process has ended. Whether it was a command, whose owner is told then.
    pub(crate) fn command_ended(&mut self, pid: i32, exit: Exit) -> bool {
        let Some(running) = self.commands.remove(pid) else { return false };
        let ended = Ended { lived: self.now().saturating_sub(running.began), pid, exit, running };
        match &ended.running.owner {
            Owner::Daemon(_) => self.say_of_command(&ended.running.name, ended.entry()),
            Owner::Touch { .. } => self.touch_hook_ended(ended),
        }
        true
    }

    /// Logs `entry` after all that the command of this name has written.
    pub(crate) fn say_of_command(&self, name: &str, entry: Entry) {
        let entry = entry.about(name).field("RWSGI_COMMAND", name.to_owned());
        match &self.instance.capture {
            Some(capture) => capture.say_after(Source::Command(name.to_owned()), entry),
            None => entry.send(),
        }
    }
}

/// Sends a signal to a command and to all that it has started and that has not left its group.
pub fn signal_group(pid: i32, signal: Signal) {
    if pid > 1 {
        let _ = kill(Pid::from_raw(-pid), signal);
    }
}

#[cfg(test)]
mod tests {
    use nix::sys::wait::waitpid;
    use rwsgi_core::config::Target;

    use super::*;

    const fn at(seconds: u64) -> Duration {
        Duration::from_secs(seconds)
    }

    #[test]
    fn a_command_is_called_by_what_it_runs() {
        let named = [
            ("celery -A shop worker", "celery"),
            ("/srv/venv/bin/celery -A shop", "celery"),
            ("LANG=C TZ=UTC exec ./bin/run", "run"),
            ("(cd /srv; ls)", "cd"),
            ("  ", "command"),
            ("/", "/"),
        ];
        for (line, name) in named {
            assert_eq!(program(line), name, "{line}");
        }
    }

    fn running(until: Option<Duration>) -> Running {
        let owner = Owner::Daemon("celery".into());
        let name = "daemon celery".into();
        Running { owner, name, began: at(0), until, killed_at: None, is_overdue: false }
    }

    #[test]
    fn who_has_no_time_left_is_asked_to_end_and_then_killed_until_it_has() {
        let mut commands = Commands::default();
        commands.insert(7, running(Some(at(10))));
        commands.insert(8, running(None));
        assert_eq!((commands.due(), commands.step(at(9))), (Some(at(10)), vec![]));
        assert_eq!(commands.step(at(10)), [(7, Signal::SIGTERM)]);
        assert_eq!((commands.due(), commands.step(at(11))), (Some(at(10) + GRACE), vec![]));
        assert_eq!(commands.step(at(15)), [(7, Signal::SIGKILL)]);
        assert_eq!(commands.step(at(20)), [(7, Signal::SIGKILL)]);
        assert!(commands.remove(7).unwrap().is_overdue && commands.due().is_none());
    }

    #[test]
    fn who_is_asked_twice_has_the_shorter_time() {
        let mut commands = Commands::default();
        commands.insert(7, running(None));
        for (mercy, due) in [(60, 60), (3, 3), (30, 3)] {
            commands.note_asked(7, at(mercy));
            assert_eq!(commands.due(), Some(at(due)));
        }
        assert_eq!(commands.step(at(3)), [(7, Signal::SIGKILL)]);
        assert!(!commands.remove(7).unwrap().is_overdue);
    }

    fn ended(exit: Exit, change: impl Fn(&mut Running)) -> Ended {
        let mut running = running(None);
        change(&mut running);
        Ended { running, pid: 7, exit, lived: Duration::from_millis(2340) }
    }

    #[test]
    fn an_end_is_told_in_words_that_help() {
        let asked = |running: &mut Running| running.killed_at = Some(at(9));
        let told = |exit, change: fn(&mut Running)| {
            let ended = ended(exit, change);
            (ended.is_well(), ended.describe())
        };
        let killed = Exit::Signal(Signal::SIGTERM, false);
        assert_eq!(told(Exit::Code(0), |_| {}), (true, "has ended, after 2.3 s".into()));
        let asked = (told(killed, asked), told(Exit::Code(3), asked));
        assert_eq!(asked.0, (true, "was ended by signal 15 (SIGTERM), after 2.3 s".into()));
        assert_eq!(asked.1, (true, "exited with code 3, after 2.3 s".into()));
        assert_eq!(told(Exit::Code(3), |_| {}), (false, "exited with code 3, after 2.3 s".into()));
        assert!(told(Exit::Code(127), |_| {}).1.contains("whole path"));
        assert!(told(Exit::Code(139), |_| {}).1.contains("SIGSEGV"));
        let overdue = |running: &mut Running| {
            (running.killed_at, running.is_overdue) = (Some(at(9)), true);
        };
        let told = told(killed, overdue);
        assert_eq!(told, (false, "has not ended within 2 s: it was ended".into()));
    }

    fn run(line: &str, directory: &Path, change: impl Fn(&mut Application)) -> String {
        let target = Target::Code { text: String::new(), callable: String::new() };
        let mut application = Application::new(target);
        change(&mut application);
        let order = Order {
            name: "daemon test",
            line,
            directory: Some(directory),
            user: (None, None),
            bound: true,
        };
        let out = std::fs::File::create(directory.join("out")).unwrap();
        let pid = start(order, &application, Some(out.into())).unwrap();
        waitpid(Pid::from_raw(pid), None).unwrap();
        std::fs::read_to_string(directory.join("out")).unwrap()
    }

    #[test]
    fn a_command_has_a_session_the_environment_of_the_application_and_no_descriptor_of_ours() {
        let directory = tempfile::tempdir().unwrap();
        let said = run(
            "echo $A ${HOME-none}; pwd; ls -l /proc/self/fd | grep -c out",
            directory.path(),
            |it| {
                it.env.push(("A".into(), "b c".into()));
                it.unset.push("HOME".into());
            },
        );
        let place = directory.path().canonicalize().unwrap();
        // That of stderr, and no more.
        assert_eq!(said, format!("b c none\n{}\n1\n", place.display()));
        let said = run("echo $$; cut -d' ' -f5,6,7 /proc/$$/stat", directory.path(), |_| {});
        let (pid, group) = said.trim().split_once('\n').unwrap();
        assert_eq!(group, format!("{pid} {pid} 0"), "group, session, terminal");
    }

    #[test]
    fn what_cannot_be_started_says_why() {
        let application =
            Application::new(Target::Code { text: String::new(), callable: String::new() });
        let directory = Some(Path::new("/nowhere/at/all"));
        let order =
            Order { name: "daemon x", line: "true", directory, user: (None, None), bound: true };
        let why = start(order, &application, None).unwrap_err();
        assert!(why.starts_with("cannot be started in /nowhere/at/all: No such file"), "{why}");
    }
}
