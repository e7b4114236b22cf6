//! Commands of the administrator beside the workers. Each is a child of the master: /bin/sh -c, as in
//! uWSGI, in a session of its own, with the directory and the environment of the application. What it
//! writes is logged under its name, and it is ended with its whole process group: what the shell has
//! started may take its time after the shell, which has none, and is waited for. The master inherits such
//! orphans, and so hears of their ends.
//!
//! Whoever wants one calls [`Master::start_command`] with an [`Owner`], to whom
//! [`Master::command_ended`] says how it has ended. [`Commands`] knows who runs and until when; it is
//! pure, and survives a takeover.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::os::fd::OwnedFd;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use rwsgi_core::config::Application;
use rwsgi_core::config::hooks::Hook;
use rwsgi_core::log::{self, Entry, Event as Said, Level};
use rwsgi_core::shell::{self, GRACE, SHELL, is_left};
use rwsgi_core::{shortage, sys};
use serde::{Deserialize, Serialize};

use crate::capture::Source;
use crate::master::Master;
use crate::reap::Exit;
use crate::signals::{Meaning, Signals};
use crate::{privileges, spawn};

/// So many times a command is killed before it is given up.
const KILLS: u32 = 2;

/// Who wants a command to run, and is told of its end.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum Owner {
    /// A daemon of the INI file.
    Daemon(crate::daemons::Id),
    /// A hook of a file that was touched.
    Touch {
        /// Which.
        hook: Box<Hook>,
        /// The file was touched again meanwhile.
        is_again: bool,
    },
    /// A command of `cron`, by its name.
    Cron(String),
    /// Nobody: a hook of a template or a worker that is gone, or is to go.
    Nobody,
}

impl Owner {
    /// The option that says how long its commands may take.
    fn limit(&self) -> &'static str {
        match self {
            Self::Cron(_) => " (cron-harakiri, or harakiri= of cron2)",
            Self::Touch { .. } => " (hook-timeout)",
            Self::Daemon(_) | Self::Nobody => "",
        }
    }
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
    command.arg("-c").arg(for_shell(line).as_ref()).stdin(Stdio::null());
    spawn::set_environment(&mut command, application);
    let directory = directory.or(application.chdir.as_deref());
    if let Some(directory) = directory {
        command.current_dir(directory);
    }
    let trouble = |error: std::io::Error| {
        let place = directory.map_or_else(String::new, |it| format!(" in {}", it.display()));
        let user = uid.map_or_else(String::new, |uid| format!(" as user {uid}"));
        format!("cannot be started{place}{user}: {}", shortage::explain(&error))
    };
    if let Some(output) = output {
        command.stdout(output.try_clone().map_err(trouble)?).stderr(output);
    }
    privileges::run_as(&mut command, uid, gid);
    sys::lead_session(&mut command, bound);
    let child = command.spawn().map_err(trouble)?;
    Ok(i32::try_from(child.id()).unwrap_or_default())
}

/// The line, with `exec` before it if it is a single command: then no shell stands between it and the
/// signals that are meant for it.
fn for_shell(line: &str) -> Cow<'_, str> {
    /// Words that are the shell's own.
    const ITS_OWN: &str = " ! . : alias bg break case cd command continue eval exec exit export fg for \
                           getopts hash if jobs local read readonly return set shift times trap type \
                           ulimit umask unalias unset until wait while ";
    let first = line.split_ascii_whitespace().next().unwrap_or_default();
    let is_single =
        !line.replace(">&", ">").contains(['\n', ';', '&', '|', '(', ')', '{', '}', '`'])
            && !first.is_empty()
            && !first.contains(['=', '<', '>', '#'])
            && !ITS_OWN.contains(&format!(" {first} "));
    if is_single { format!("exec {line}").into() } else { line.into() }
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
    /// It was asked to end before it did.
    pub is_asked: bool,
    /// When what is left of it is killed, since it is to end.
    pub killed_at: Option<Duration>,
    /// It has not ended in time.
    pub is_overdue: bool,
    /// How often it was killed.
    #[serde(default)]
    pub kills: u32,
    /// It cannot be ended, and is not waited for.
    #[serde(default)]
    pub is_lost: bool,
    /// It does not outlive the master.
    pub bound: bool,
    /// How it has ended, while others of its group have not.
    pub exit: Option<Exit>,
}

/// All that run, by pid.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Commands {
    running: BTreeMap<i32, Running>,
    /// Who is asked to end has no time for it.
    hasty: bool,
}

impl Commands {
    /// All, by pid.
    pub fn iter(&self) -> impl Iterator<Item = (i32, &Running)> {
        self.running.iter().map(|(pid, running)| (*pid, running))
    }

    /// The last one of this owner that was not asked to end.
    pub fn of(&self, owner: &Owner) -> Option<i32> {
        let of_it = self.iter().filter(|(_, one)| one.owner == *owner && !one.is_asked);
        of_it.max_by_key(|(_, one)| one.began).map(|(pid, _)| pid)
    }

    /// Whose they are.
    pub fn owners(&mut self) -> impl Iterator<Item = &mut Owner> {
        self.running.values_mut().map(|running| &mut running.owner)
    }

    /// Notes one.
    pub fn insert(&mut self, pid: i32, running: Running) {
        self.running.insert(pid, running);
    }

    /// One.
    pub fn get(&self, pid: i32) -> Option<&Running> {
        self.running.get(&pid)
    }

    /// A process has ended. Whether it was a command.
    pub fn note_exit(&mut self, pid: i32, exit: Exit) -> bool {
        let running = self.running.get_mut(&pid);
        running.map(|running| running.exit = Some(exit)).is_some()
    }

    /// One that is over: it has ended, and if it was to end, so has its group; or it is given up.
    pub fn take_over(&mut self, is_left: impl Fn(i32) -> bool) -> Option<(i32, Running)> {
        let is_over = |(pid, one): &(i32, &Running)| {
            one.is_lost || one.exit.is_some() && (one.killed_at.is_none() || !is_left(*pid))
        };
        let (pid, _) = self.iter().find(is_over)?;
        self.running.remove_entry(&pid)
    }

    /// One was asked to end, and is killed at this time, or before if that was said before.
    pub fn note_asked(&mut self, pid: i32, killed_at: Duration) {
        let killed_at = if self.hasty { Duration::ZERO } else { killed_at };
        if let Some(running) = self.running.get_mut(&pid) {
            running.is_asked |= running.exit.is_none();
            running.killed_at = Some(running.killed_at.unwrap_or(killed_at).min(killed_at));
        }
    }

    /// Who is asked to end, or was, is killed at once; who is killed already has its time to go.
    pub fn hurry(&mut self) {
        self.hasty = true;
        let alive = self.running.values_mut().filter(|one| one.kills == 0);
        let asked = alive.filter_map(|one| one.killed_at.as_mut());
        asked.for_each(|at| *at = Duration::ZERO);
    }

    /// Those that are not to outlive the master, and were not asked to end.
    pub fn unasked(&self) -> Vec<i32> {
        let bound = self.iter().filter(|(_, one)| one.bound && one.killed_at.is_none());
        bound.map(|(pid, _)| pid).collect()
    }

    /// When the next one is out of time.
    pub fn due(&self) -> Option<Duration> {
        self.running.values().filter_map(|one| one.killed_at.or(one.until)).min()
    }

    /// Who is out of time: asked to end first, killed later, and once more, and then given up.
    pub fn step(&mut self, now: Duration) -> Vec<(i32, Signal)> {
        let mut signals = Vec::new();
        for (pid, running) in &mut self.running {
            match (running.killed_at, running.until) {
                (Some(at), _) if at <= now && running.kills == KILLS => {
                    running.is_lost = true;
                    continue;
                }
                (Some(at), _) if at <= now => {
                    running.kills += 1;
                    signals.push((*pid, Signal::SIGKILL));
                }
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
        !self.running.is_lost && (self.running.is_asked || self.exit == Exit::Code(0))
    }

    /// The sentence's predicate.
    pub fn describe(&self) -> String {
        let seconds = self.lived.as_secs_f64();
        if self.running.is_lost {
            // Its group is still there; itself, only if it has not been reaped.
            let who = match self.running.exit {
                None => format!("process {}", self.pid),
                Some(_) => format!("what process {} has started", self.pid),
            };
            return shell::cannot_be_ended(&who);
        }
        if self.running.is_overdue {
            let until = self.running.until.unwrap_or(self.lived);
            let within = until.saturating_sub(self.running.began).as_secs_f64();
            let option = self.running.owner.limit();
            return format!("has not ended within {within:.0} s{option}: it was ended");
        }
        let end = match self.exit {
            Exit::Signal(signal, _) if self.running.is_asked => {
                format!("was ended by signal {} ({signal})", signal as i32)
            }
            Exit::Code(0) => "has ended".into(),
            Exit::Code(code) => shell::exited(code),
            exit => exit.to_string(),
        };
        format!("{end}, after {seconds:.1} s")
    }

    /// How bad it is.
    pub fn level(&self) -> Level {
        if self.is_well() { Level::Info } else { Level::Warning }
    }

    /// That, to be logged.
    pub fn entry(&self) -> Entry {
        let said = if self.is_well() { Said::CommandEnded } else { Said::CommandFailed };
        Entry::new(self.level(), said, self.describe())
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
        let (name, began, bound) = (order.name.to_owned(), self.now(), order.bound);
        let running = Running {
            owner,
            name,
            began,
            until,
            is_asked: false,
            killed_at: None,
            is_overdue: false,
            kills: 0,
            is_lost: false,
            bound,
            exit: None,
        };
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
        self.settle_commands();
        for (pid, signal) in self.commands.step(self.now()) {
            signal_group(pid, signal);
        }
        self.settle_commands();
    }

    /// A process has ended. Whether it was a command, whose owner is told as soon as it is over.
    pub(crate) fn command_ended(&mut self, pid: i32, exit: Exit) -> bool {
        let is_command = self.commands.note_exit(pid, exit);
        let running = self.commands.get(pid).filter(|one| one.bound && is_left(pid));
        if let Some(Owner::Daemon(_)) = running.map(|running| &running.owner) {
            // What is left of it would be in the way of its successor.
            self.end_command(pid, Signal::SIGTERM, self.instance.config.mercy);
        }
        self.settle_commands();
        is_command
    }

    /// Tells the owners of those that are over.
    pub(crate) fn settle_commands(&mut self) {
        while let Some((pid, running)) = self.commands.take_over(is_left) {
            let lived = self.now().saturating_sub(running.began);
            let exit = running.exit.unwrap_or(Exit::Unborn);
            let ended = Ended { running, pid, exit, lived };
            match &ended.running.owner {
                Owner::Daemon(id) => self.daemon_command_ended(*id, &ended),
                Owner::Touch { .. } => self.touch_hook_ended(ended),
                Owner::Cron(name) => self.cron_ended(name, &ended),
                Owner::Nobody => {}
            }
        }
    }

    /// Ends what a hook runs in this process group: who waits for it is gone, or is not needed any more, and
    /// perhaps does not ask it to end.
    pub(crate) fn end_hook(&mut self, group: Option<i32>) {
        let Some(group) = group else { return };
        if self.commands.get(group).is_none() {
            let (owner, name, began) = (Owner::Nobody, String::new(), self.now());
            let running = Running {
                owner,
                name,
                began,
                until: None,
                is_asked: true,
                killed_at: None,
                is_overdue: false,
                kills: 0,
                is_lost: false,
                bound: true,
                // How it ends is for who waits for it.
                exit: Some(Exit::Unborn),
            };
            self.commands.insert(group, running);
        }
        self.end_command(group, Signal::SIGTERM, GRACE);
    }

    /// The workers are gone: whether what does not outlive the instance is gone, too. It is asked to end.
    pub(crate) fn is_alone(&mut self) -> bool {
        self.stop_daemons();
        for pid in self.commands.unasked() {
            self.end_command(pid, Signal::SIGTERM, self.instance.config.mercy);
        }
        !self.has_commands()
    }

    /// Whether there is one that is not to outlive the instance.
    pub(crate) fn has_commands(&self) -> bool {
        self.commands.iter().any(|(_, one)| one.bound || one.is_asked)
    }

    /// Waits for what was asked to end, and ends it.
    pub(crate) async fn end_commands(&mut self, signals: &mut Signals) {
        self.settle_commands();
        while self.has_commands() {
            let due = self.commands_due().unwrap_or_else(Instant::now);
            match tokio::time::timeout_at(due.into(), signals.next()).await {
                Ok(Meaning::Reap) => self.reap(),
                Ok(Meaning::Stop | Meaning::StopNow) => self.commands.hurry(),
                Ok(_) => {}
                Err(_) => self.end_overdue_commands(),
            }
        }
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
#[path = "command_tests.rs"]
mod tests;
