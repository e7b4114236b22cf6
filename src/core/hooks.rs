//! Hooks, run: in the master before it listens and after all has ended, in the template, in a worker.
//!
//! Each of these processes has nothing else to do then, and waits. What a hook changes for those that
//! follow, and for the application (`chdir`, `putenv`), is kept in [`Surroundings`], and not in the
//! process: that is for the caller to do, who knows whether it may. A command is ended by who waits for it;
//! by the master, when that one is gone before.

use std::fs::{self, OpenOptions, Permissions};
use std::io::{self, Write as _};
use std::os::fd::AsFd as _;
use std::os::unix::fs::{MetadataExt as _, OpenOptionsExt as _, PermissionsExt as _};
use std::os::unix::net::UnixStream;
use std::os::unix::process::ExitStatusExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

use nix::errno::Errno;
use nix::libc;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::signal::{Signal, killpg};
use nix::sys::wait::{WaitPidFlag, waitpid};
use nix::unistd::Pid;

use crate::config::action::Action;
use crate::config::hooks::Hook;
use crate::log::{self, Entry, Event};
use crate::shell::{self, GRACE, SHELL};
use crate::{shortage, sys};

/// The name of the thread that waits for a command.
pub const THREAD: &str = "rwsgi-hook";
/// The first look at what an ended command has left; each pause after it is twice as long.
const FIRST_LOOK: Duration = Duration::from_millis(2);
/// How often who waits for a command is asked whether there is something to do meanwhile.
const MEANWHILE: Duration = Duration::from_secs(5);
/// The bit of a directory in which only owners delete.
const STICKY: u32 = 0o1000;

/// What hooks leave to those that follow.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Surroundings {
    /// The working directory, if it is not that of the process.
    pub directory: Option<PathBuf>,
    /// Variables, the later of one name counts.
    pub variables: Vec<(String, String)>,
}

impl Surroundings {
    fn path(&self, path: &Path) -> PathBuf {
        self.directory.as_ref().map_or_else(|| path.to_owned(), |directory| directory.join(path))
    }

    /// Obeys `action`, if it is one whose effect is here.
    pub fn obey(&mut self, action: &Action) {
        match action {
            Action::Enter(path) => self.directory = Some(self.path(path)),
            Action::SetVariable(name, value) => self.variables.push((name.clone(), value.clone())),
            _ => {}
        }
    }
}

/// Who runs hooks.
pub trait Host {
    /// Gives a command what it is to have beside [`Surroundings`]: variables, where it writes.
    fn equip(&self, hook: &Hook, command: &mut Command);
    /// It has ended. What it wrote is to be in the log before what is said of it.
    fn ended(&self, hook: &Hook);
    /// A command runs, in this process group; or no more.
    fn runs(&self, group: Option<i32>);
    /// What happens there ends the wait: nobody needs the hook any more.
    fn farewell(&self) -> Option<PollFd<'_>>;
    /// A command takes its time. Called now and then.
    fn meanwhile(&self);
    /// Waits with `wait`, and lets others do what they can do meanwhile.
    fn aside(&self, wait: &mut (dyn FnMut() + Send));
}

/// Runs a hook.
///
/// # Errors
/// A sentence, which begins with the option and its place.
pub fn run(
    hook: &Hook,
    surroundings: &mut Surroundings,
    timeout: Option<Duration>,
    host: &impl Host,
) -> Result<(), String> {
    announce(hook);
    let done = match &hook.action {
        Action::Exec { command, .. } => {
            let ended = execute(hook, command, surroundings, timeout, host);
            host.ended(hook);
            ended
        }
        action => perform(action, surroundings),
    };
    let Err(why) = done else { return Ok(()) };
    let why = sentence(hook, &why);
    failure(hook, why.as_str()).send();
    if let Action::Exec { must_succeed: false, .. } = hook.action { Ok(()) } else { Err(why) }
}

/// Says that a hook has its turn, unless it says something itself.
pub fn announce(hook: &Hook) {
    if !matches!(hook.action, Action::Print(_)) {
        let message = format!("{}: {}", hook.option, shown(hook));
        about(hook, log::info(Event::Hook, message)).send();
    }
}

/// A predicate about a hook, with its subject.
pub fn sentence(hook: &Hook, predicate: &str) -> String {
    format!("{} ({}): `{}` {predicate}", hook.option, hook.place, shown(hook))
}

/// What the log says of a hook that has failed.
pub fn failure(hook: &Hook, sentence: &str) -> Entry {
    about(hook, log::error(Event::HookFailed, sentence))
}

fn about(hook: &Hook, entry: Entry) -> Entry {
    entry.field("RWSGI_HOOK", hook.option.clone())
}

fn shown(hook: &Hook) -> &str {
    hook.shown.as_deref().unwrap_or("(not shown)")
}

/// Does what is no command.
///
/// # Errors
/// What follows the value in a sentence.
pub fn perform(action: &Action, surroundings: &mut Surroundings) -> Result<(), String> {
    let done = match action {
        Action::Exec { .. } | Action::AlwaysSo => Ok(()),
        Action::Print(text) => {
            log::notice(Event::Hook, text.as_str()).send();
            Ok(())
        }
        Action::Enter(path) => enter(&surroundings.path(path)).map(|()| surroundings.obey(action)),
        Action::SetVariable(..) => {
            surroundings.obey(action);
            Ok(())
        }
        Action::MakeDirectory(path) => make_directory(&surroundings.path(path)),
        Action::Write { path, text, append } => write(&surroundings.path(path), text, *append),
        Action::WriteFifo { path, text } => write_fifo(&surroundings.path(path), text),
        Action::Unlink(path) => fs::remove_file(surroundings.path(path)),
        Action::SetMode(path, mode) => {
            fs::set_permissions(surroundings.path(path), Permissions::from_mode(*mode))
        }
        Action::SetSticky(path) => make_sticky(&surroundings.path(path)),
        Action::SetOwner(path, user, group) => {
            std::os::unix::fs::chown(surroundings.path(path), Some(*user), Some(*group))
        }
    };
    done.map_err(|error| format!("has failed: {}", shortage::explain(&error)))
}

fn enter(path: &Path) -> io::Result<()> {
    // As `chdir` would say it: not a directory, or not for this user.
    nix::unistd::access(path, nix::unistd::AccessFlags::X_OK)?;
    if fs::metadata(path)?.is_dir() { Ok(()) } else { Err(Errno::ENOTDIR.into()) }
}

fn make_directory(path: &Path) -> io::Result<()> {
    match fs::create_dir(path) {
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists && path.is_dir() => Ok(()),
        done => done,
    }
}

/// Never waits: a FIFO that nobody reads is an error.
fn write(path: &Path, text: &str, append: bool) -> io::Result<()> {
    let mut options = OpenOptions::new();
    options.create(true).custom_flags(libc::O_NONBLOCK);
    let mut file = options.write(true).append(append).truncate(!append).open(path)?;
    file.write_all(text.as_bytes())
}

/// Nobody need read it.
fn write_fifo(path: &Path, text: &str) -> io::Result<()> {
    match OpenOptions::new().write(true).custom_flags(libc::O_NONBLOCK).open(path) {
        Ok(mut fifo) => fifo.write_all(text.as_bytes()),
        Err(error) if error.raw_os_error() == Some(libc::ENXIO) => Ok(()),
        Err(error) => Err(error),
    }
}

fn make_sticky(path: &Path) -> io::Result<()> {
    let mode = fs::metadata(path)?.mode();
    fs::set_permissions(path, Permissions::from_mode(mode | STICKY))
}

fn execute(
    hook: &Hook,
    line: &str,
    surroundings: &Surroundings,
    timeout: Option<Duration>,
    host: &impl Host,
) -> Result<(), String> {
    let trouble = |error: io::Error| format!("cannot be started: {}", shortage::explain(&error));
    let mut command = Command::new(SHELL);
    command.arg("-c").arg(line).stdin(Stdio::null());
    host.equip(hook, &mut command);
    let variables = surroundings.variables.iter();
    command.envs(variables.map(|(name, value)| (name, value)));
    if let Some(directory) = &surroundings.directory {
        command.current_dir(directory);
    }
    sys::lead_session(&mut command, true);
    let began = Instant::now();
    let child = command.spawn().map_err(trouble)?;
    // Ours are closed: a pipe is to end with the last process that writes to it.
    drop(command);
    let wait = Wait { began, timeout, host };
    host.runs(i32::try_from(child.id()).ok());
    let ended = wait.for_end(child);
    host.runs(None);
    match ended.map_err(trouble)? {
        End::Exited(status) if status.success() => Ok(()),
        End::Exited(status) => Err(describe(status)),
        End::Late => {
            let seconds = timeout.unwrap_or_default().as_secs();
            Err(format!("has not ended after {seconds} s (hook-timeout): it was ended"))
        }
        End::Unwanted => Err("was ended: rwsgi ends".into()),
        End::Never(pid) => {
            Err(format!("was to end, and {}", shell::cannot_be_ended(&format!("process {pid}"))))
        }
    }
}

fn describe(status: ExitStatus) -> String {
    match (status.code(), status.signal().and_then(|signal| Signal::try_from(signal).ok())) {
        (Some(code), _) => shell::exited(code),
        (None, Some(signal)) => format!("was killed by signal {} ({signal})", signal as i32),
        (None, None) => "ended".to_owned(),
    }
}

/// What a command comes to.
enum End {
    Exited(ExitStatus),
    Late,
    Unwanted,
    /// It cannot be ended, and is left.
    Never(Pid),
}

struct Wait<'a, H> {
    began: Instant,
    timeout: Option<Duration>,
    host: &'a H,
}

impl<H: Host> Wait<'_, H> {
    /// A thread waits for the process, this one for the thread, the time and the end of rwsgi. The thread is
    /// gone when this returns, unless the process cannot be ended.
    fn for_end(&self, mut child: Child) -> io::Result<End> {
        let group = Pid::from_raw(i32::try_from(child.id()).unwrap_or_default());
        let kill = |_: &io::Error| {
            let _ = killpg(group, Signal::SIGKILL);
        };
        let (done, over) = UnixStream::pair().inspect_err(kill)?;
        let builder = std::thread::Builder::new().name(THREAD.into()).stack_size(256 * 1024);
        let thread = builder.spawn(move || {
            let status = child.wait();
            drop(done);
            status
        });
        let thread = thread.inspect_err(kill)?;
        let deadline = self.timeout.map(|timeout| self.began + timeout);
        let early = self.until(&over, deadline, true);
        if early.is_some() && !self.end(group, &over) {
            return Ok(End::Never(group));
        }
        let mut status = Err(io::ErrorKind::Other.into());
        let mut thread = Some(thread);
        self.host.aside(&mut || {
            if let Some(Ok(ended)) = thread.take().map(std::thread::JoinHandle::join) {
                status = ended;
            }
        });
        match early {
            Some(end) => Ok(end),
            None => status.map(End::Exited),
        }
    }

    /// Asks all of a group to end, and kills what is left of it after its time. Whether the process has ended.
    fn end(&self, group: Pid, over: &UnixStream) -> bool {
        let deadline = Instant::now() + GRACE;
        let _ = killpg(group, Signal::SIGTERM);
        self.until(over, Some(deadline), false);
        // Nobody tells when those have ended that the process had started, be they children of ours by now
        // or of others.
        let mut pause = FIRST_LOOK;
        while Instant::now() < deadline && is_left(group) {
            let part = pause.min(deadline.saturating_duration_since(Instant::now()) + FIRST_LOOK);
            self.host.aside(&mut || {
                let _ = poll(&mut [], PollTimeout::try_from(part).unwrap_or(PollTimeout::ZERO));
            });
            pause *= 2;
        }
        let _ = killpg(group, Signal::SIGKILL);
        self.until(over, Some(Instant::now() + GRACE), false).is_none()
    }

    /// Waits until the process has ended: `None`; or until something else has come first.
    fn until(&self, over: &UnixStream, deadline: Option<Instant>, listen: bool) -> Option<End> {
        loop {
            let left = deadline.map(|end| end.saturating_duration_since(Instant::now()));
            let part = left.unwrap_or(MEANWHILE).min(MEANWHILE);
            let mut happened = (false, false);
            let mut fds = vec![PollFd::new(over.as_fd(), PollFlags::POLLIN)];
            fds.extend(self.host.farewell().filter(|_| listen));
            self.host.aside(&mut || {
                // Rounded up: it is not to be asked for the last part of a millisecond again and again.
                let part = PollTimeout::try_from(part + Duration::from_millis(1));
                if poll(&mut fds, part.unwrap_or(PollTimeout::MAX)).is_ok() {
                    let any = |at: usize| fds.get(at).and_then(PollFd::any).unwrap_or(false);
                    happened = (any(0), any(1));
                }
            });
            match happened {
                (true, _) => return None,
                (_, true) => return Some(End::Unwanted),
                _ if left.is_some_and(|left| left.is_zero()) => return Some(End::Late),
                _ => self.host.meanwhile(),
            }
        }
    }
}

/// Whether there is anybody in that group.
fn is_left(group: Pid) -> bool {
    let of_it = Pid::from_raw(-group.as_raw());
    while waitpid(of_it, Some(WaitPidFlag::WNOHANG)).is_ok_and(|one| one.pid().is_some()) {}
    shell::is_left(group.as_raw())
}

#[cfg(test)]
#[path = "hooks_tests.rs"]
mod tests;
