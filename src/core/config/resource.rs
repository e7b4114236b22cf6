//! What a configuration can be read from: a file, standard input, the output of a command.

use std::cell::Cell;
use std::io::Read as _;
use std::os::fd::AsFd;
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::{Arc, OnceLock, mpsc};
use std::time::{Duration, Instant};
use std::{io, thread};

use nix::errno::Errno;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::signal::{Signal, kill, killpg};
use nix::unistd::Pid;

use super::error::Report;
use super::paths::{self, LARGEST};
use super::raw::Origin;

/// How long the commands of one reading may take together: a start or a reload waits for them.
const PATIENCE: Duration = Duration::from_secs(5);
/// Bytes of all that one reading reads, repeats and replaces. A few lines could ask for more than
/// there is memory.
const MOST: usize = 64 << 20;
/// How `@(exec://COMMAND)` begins, which stays as it is where no command is run.
const UNRUN: &str = "@(exec://";

/// Where a text is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Resource {
    /// A file.
    File(PathBuf),
    /// `-`.
    Stdin,
    /// `exec://COMMAND`, run by the shell.
    Command(String),
}

/// Why there is no text.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Missing {
    problem: String,
    help: Option<String>,
}

/// Standard input, which is read once and kept for reloads. It is not there by default: who looks at
/// the instances of others must not wait for it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Stdin {
    is_open: bool,
    text: Arc<OnceLock<Result<Vec<u8>, String>>>,
}

/// What one reading may still cost.
#[derive(Debug)]
pub struct Allowance {
    /// Time for commands; `None`: none is run.
    time: Cell<Option<Duration>>,
    bytes: Cell<usize>,
}

impl Default for Allowance {
    fn default() -> Self {
        Self { time: Cell::new(Some(PATIENCE)), bytes: Cell::new(MOST) }
    }
}

impl Allowance {
    /// One for a reading that runs no commands: of who looks only, and as root.
    pub fn without_commands() -> Self {
        Self { time: Cell::new(None), ..Self::default() }
    }

    /// Whether no commands are run.
    pub fn is_without_commands(&self) -> bool {
        self.time.get().is_none()
    }

    /// Takes `bytes` of it.
    ///
    /// # Errors
    /// There is less left, and from now on nothing.
    pub fn spend(&self, bytes: usize) -> Result<(), Missing> {
        let left = self.bytes.get().checked_sub(bytes);
        self.bytes.set(left.unwrap_or_default());
        left.map(drop).ok_or_else(|| {
            let help = "see what is read or repeated many times";
            Missing::new(format!("the configuration becomes larger than {} MiB", MOST >> 20))
                .help(help)
        })
    }
}

/// Whether a value has the output of a command in it that was not run.
pub fn is_unrun(value: &str) -> bool {
    value.contains(UNRUN)
}

impl Stdin {
    /// That of this process.
    pub fn open() -> Self {
        Self { is_open: true, ..Self::default() }
    }

    /// What was read of it, if it was.
    pub fn kept(&self) -> Option<&[u8]> {
        self.text.get()?.as_deref().ok()
    }

    /// What an earlier program has read of it.
    pub fn keep(&self, text: Vec<u8>) {
        let _ = self.text.set(Ok(text));
    }

    fn read(&self) -> Result<Vec<u8>, Missing> {
        let read = || {
            if !self.is_open {
                return Err("there is none here".to_owned());
            }
            let mut text = Vec::new();
            let input = io::stdin().lock().take(LARGEST + 1).read_to_end(&mut text);
            input.map(|_| text).map_err(|error| error.to_string())
        };
        let text = self.text.get_or_init(read).clone();
        text.map_err(|why| Missing::new(format!("standard input: {why}")))
    }
}

impl Missing {
    fn new(problem: impl Into<String>) -> Self {
        Self { problem: problem.into(), help: None }
    }

    fn help(mut self, help: impl Into<String>) -> Self {
        self.help = Some(help.into());
        self
    }

    /// As a finding about the value at `origin`, which begins with `subject`.
    pub fn report(self, subject: &str, origin: &Origin) -> Report {
        let report = Report::new(format!("{subject}: {}", self.problem)).at_value(origin);
        match self.help {
            Some(help) => report.help(help),
            None => report,
        }
    }
}

impl Resource {
    /// What `text` refers to.
    ///
    /// # Errors
    /// It is one of uWSGI's other schemes.
    pub fn parse(text: &str) -> Result<Self, Missing> {
        if text == "-" {
            return Ok(Self::Stdin);
        }
        let Some((scheme, rest)) = text.split_once("://") else {
            return Ok(Self::File(PathBuf::from(text)));
        };
        let help = match scheme {
            "exec" => return Ok(Self::Command(rest.to_owned())),
            "file" => "write the path without `file://`",
            "fd" => "name the file, or `-` for standard input",
            "http" | "https" => "fetch it before the start (ExecStartPre=) and name the file",
            "sym" | "section" | "data" => "rwsgi has no configuration in its program: name a file",
            "emperor" => "there is no emperor: name a file",
            _ => "name a file, `-`, or exec://COMMAND",
        };
        Err(Missing::new(format!("`{scheme}://` is not read")).help(help))
    }

    /// The text, of a bounded size. Relative paths, and commands, are seen from `cwd`.
    ///
    /// # Errors
    /// A sentence that names the file or the command.
    pub fn read(&self, cwd: &Path, stdin: &Stdin, left: &Allowance) -> Result<Vec<u8>, Missing> {
        let text = match self {
            Self::File(path) => paths::read(&paths::absolute(cwd, path))
                .map_err(|obstacle| Missing { problem: obstacle.problem, help: obstacle.help })?,
            Self::Stdin => stdin.read()?,
            Self::Command(command) => run(command, cwd, left)?,
        };
        if text.len() as u64 > LARGEST {
            let shown = match self {
                Self::Command(command) => command,
                Self::Stdin | Self::File(_) => "standard input",
            };
            return Err(Missing::new(format!("`{shown}`: more than {} MiB", LARGEST >> 20)));
        }
        left.spend(text.len())?;
        Ok(text)
    }
}

/// What `command` prints. It is ended when it prints too much or takes too long.
fn run(command: &str, cwd: &Path, left: &Allowance) -> Result<Vec<u8>, Missing> {
    let failed = |why: String| Missing::new(format!("`{command}`: {why}"));
    let Some(time) = left.time.get() else {
        let missing = failed("commands are not run by who only looks at the configuration".into());
        return Err(missing.help("have it write a file, and name that"));
    };
    let began = Instant::now();
    let child = Command::new("/bin/sh")
        .args(["-c", command])
        .current_dir(cwd)
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .process_group(0)
        .spawn()
        .map_err(|error| failed(error.to_string()))?;
    let printed = printed(child, began + time);
    left.time.set(Some(time.saturating_sub(began.elapsed())));
    match printed {
        Ok(Some((text, status))) if status.success() || text.len() as u64 > LARGEST => Ok(text),
        Ok(Some((_, status))) => Err(failed(format!("it ended with {status}"))),
        Ok(None) => {
            let limit = PATIENCE.as_secs();
            Err(failed(format!("commands took more than {limit} seconds together")))
        }
        Err(error) => Err(failed(error.to_string())),
    }
}

/// What `child` prints, and how it ends; `None` if it has not by `until`: then it is killed. Somebody
/// else may have its output, whom that does not reach, so nobody reads on.
fn printed(mut child: Child, until: Instant) -> io::Result<Option<(Vec<u8>, ExitStatus)>> {
    let number = Pid::from_raw(i32::try_from(child.id()).unwrap_or(i32::MAX));
    let text = child.stdout.take().map_or(Ok(Some(Vec::new())), |out| read_until(out, until));
    let (sender, ended) = mpsc::channel();
    thread::Builder::new().name("rwsgi-command".into()).stack_size(1 << 16).spawn(move || {
        let _ = sender.send(child.wait());
    })?;
    if let Ok(Some(text)) = text {
        let left = until.saturating_duration_since(Instant::now());
        if let Ok(status) = ended.recv_timeout(left) {
            return status.map(|status| Some((text, status)));
        }
    } else if text.is_err() {
        let _ = killpg(number, Signal::SIGKILL);
        return text.map(|_| None);
    }
    let _ = killpg(number, Signal::SIGKILL);
    // It may have left its group.
    let _ = kill(number, Signal::SIGKILL);
    Ok(None)
}

/// What comes until its end, or more than [`LARGEST`]; `None` if neither has been by then.
fn read_until(mut output: impl io::Read + AsFd, until: Instant) -> io::Result<Option<Vec<u8>>> {
    let mut text = Vec::new();
    let mut part = [0; 8192];
    while text.len() as u64 <= LARGEST {
        let left = until.saturating_duration_since(Instant::now());
        let timeout = PollTimeout::try_from(left.as_millis() + 1).unwrap_or(PollTimeout::MAX);
        match poll(&mut [PollFd::new(output.as_fd(), PollFlags::POLLIN)], timeout) {
            Ok(0) => return Ok(None),
            Ok(_) => {}
            Err(Errno::EINTR) => continue,
            Err(error) => return Err(error.into()),
        }
        match output.read(&mut part)? {
            0 => break,
            length => text.extend_from_slice(&part[..length]),
        }
    }
    Ok(Some(text))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str, cwd: &Path) -> Result<String, String> {
        let read = Resource::parse(text)
            .and_then(|resource| resource.read(cwd, &Stdin::default(), &Allowance::default()));
        read.map(|bytes| String::from_utf8(bytes).unwrap()).map_err(|missing| missing.problem)
    }

    #[test]
    fn files_are_seen_from_the_directory_of_the_start() {
        let place = tempfile::tempdir().unwrap();
        std::fs::write(place.path().join("a"), "text\n").unwrap();
        assert_eq!(read("a", place.path()).as_deref(), Ok("text\n"));
        assert!(read("b", place.path()).unwrap_err().ends_with("/b` does not exist"));
        assert!(read(".", place.path()).unwrap_err().contains("a directory"));
    }

    #[test]
    fn commands_are_run_by_the_shell_and_have_to_succeed() {
        let root = Path::new("/");
        assert_eq!(read("exec://echo $((2 + 3)); pwd", root).as_deref(), Ok("5\n/\n"));
        assert!(read("exec://exit 3", root).unwrap_err().contains("exit status: 3"));
        let endless = read("exec://yes", root).unwrap_err();
        assert!(endless.contains("more than 4 MiB"), "{endless}");
    }

    #[test]
    fn commands_have_a_time_that_they_share() {
        let time = Cell::new(Some(Duration::from_millis(50)));
        let left = Allowance { time, ..Allowance::default() };
        let run = |command: &str| run(command, Path::new("/"), &left);
        assert!(run("sleep 60").unwrap_err().problem.contains("5 seconds together"));
        assert_eq!(left.time.get(), Some(Duration::ZERO));
    }

    #[test]
    fn who_leaves_the_group_of_a_command_and_keeps_its_output_holds_nobody_up() {
        let place = tempfile::tempdir().unwrap();
        let time = Cell::new(Some(Duration::from_millis(500)));
        let left = Allowance { time, ..Allowance::default() };
        let command = "setsid sh -c 'echo $$ > pid.new; mv pid.new pid; exec sleep 60'; cat pid";
        let failed = run(command, place.path(), &left).unwrap_err();
        assert!(failed.problem.contains("5 seconds together"));
        // Nobody here waits for its output: to end it is up to the test.
        if let Ok(pid) = std::fs::read_to_string(place.path().join("pid")) {
            let _ = kill(Pid::from_raw(pid.trim().parse().unwrap()), Signal::SIGKILL);
        }
    }

    #[test]
    fn who_only_looks_runs_no_command() {
        let place = tempfile::tempdir().unwrap();
        let left = Allowance::without_commands();
        let failed = run("touch trace", place.path(), &left).unwrap_err();
        assert!(failed.problem.contains("commands are not run"), "{failed:?}");
        assert!(!place.path().join("trace").exists());
    }

    #[test]
    fn all_that_is_read_is_bounded() {
        let left = Allowance::default();
        assert_eq!(left.spend(MOST - 1), Ok(()));
        let problem = left.spend(2).unwrap_err().problem;
        assert_eq!(problem, "the configuration becomes larger than 64 MiB");
        assert!(left.spend(1).is_err());
    }

    #[test]
    fn other_schemes_are_refused_by_name() {
        for text in ["fd://3", "http://x/y", "sym://x", "section://x", "data://0", "emperor://x"] {
            assert!(read(text, Path::new("/")).unwrap_err().ends_with("is not read"), "{text}");
        }
    }

    #[test]
    fn what_was_kept_of_standard_input_is_not_read_again() {
        let stdin = Stdin::default();
        stdin.keep(b"[uwsgi]".to_vec());
        let text = Resource::Stdin.read(Path::new("/"), &stdin, &Allowance::default());
        assert_eq!(text.as_deref(), Ok(&b"[uwsgi]"[..]));
        assert_eq!(stdin.clone().kept(), Some(&b"[uwsgi]"[..]));
    }
}
