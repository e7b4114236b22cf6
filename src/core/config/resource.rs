//! What a configuration can be read from: a file, standard input, the output of a command.

use std::cell::Cell;
use std::io::Read as _;
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::mpsc::{self, RecvTimeoutError};
use std::sync::{Arc, OnceLock};
use std::time::{Duration, Instant};

use nix::sys::signal::{Signal, killpg};
use nix::unistd::Pid;

use super::error::Report;
use super::paths::{self, LARGEST};
use super::raw::Origin;

/// How long the commands of one reading may take together: systemd's boot may wait for them.
const PATIENCE: Duration = Duration::from_secs(5);

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

/// The time that is left for commands.
#[derive(Debug)]
pub struct Allowance(Cell<Duration>);

impl Default for Allowance {
    fn default() -> Self {
        Self(Cell::new(PATIENCE))
    }
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
            let input = std::io::stdin().lock().take(LARGEST + 1).read_to_end(&mut text);
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
            Self::File(path) => {
                return paths::read(&paths::absolute(cwd, path)).map_err(|obstacle| Missing {
                    problem: obstacle.problem,
                    help: obstacle.help,
                });
            }
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
        Ok(text)
    }
}

/// What `command` prints. It is ended when it prints too much or takes too long.
fn run(command: &str, cwd: &Path, left: &Allowance) -> Result<Vec<u8>, Missing> {
    let began = Instant::now();
    let failed = |why: String| Missing::new(format!("`{command}`: {why}"));
    let mut child = Command::new("/bin/sh")
        .args(["-c", command])
        .current_dir(cwd)
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .process_group(0)
        .spawn()
        .map_err(|error| failed(error.to_string()))?;
    let group = Pid::from_raw(i32::try_from(child.id()).unwrap_or(i32::MAX));
    let (sender, receiver) = mpsc::channel();
    std::thread::spawn(move || {
        let mut text = Vec::new();
        let read = match child.stdout.take() {
            Some(output) => output.take(LARGEST + 1).read_to_end(&mut text),
            None => Ok(0),
        };
        let ended = read.and_then(|_| child.wait());
        let _ = sender.send(ended.map(|status| (text, status)));
    });
    let received = receiver.recv_timeout(left.0.get());
    left.0.set(left.0.get().saturating_sub(began.elapsed()));
    match received {
        Ok(Ok((text, status))) if status.success() || text.len() as u64 > LARGEST => Ok(text),
        Ok(Ok((_, status))) => Err(failed(format!("it ended with {status}"))),
        Ok(Err(error)) => Err(failed(error.to_string())),
        Err(RecvTimeoutError::Timeout | RecvTimeoutError::Disconnected) => {
            let _ = killpg(group, Signal::SIGKILL);
            let limit = PATIENCE.as_secs();
            Err(failed(format!("commands took more than {limit} seconds together")))
        }
    }
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
        let left = Allowance(Cell::new(Duration::from_millis(50)));
        let run = |command: &str| run(command, Path::new("/"), &left);
        assert!(run("sleep 60").unwrap_err().problem.contains("5 seconds together"));
        assert_eq!(left.0.get(), Duration::ZERO);
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
