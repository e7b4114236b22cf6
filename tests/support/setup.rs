//! How a server is to be started.

use std::fs::File;
use std::io;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::OnceLock;

use super::place::{MARK, Place};
use super::server::Server;
use super::{extension, wait};

const KITCHEN: &str = include_str!("apps/kitchen.py");

/// The interpreter to test with: `RWSGI_TEST_PYTHON`, or python3, without any shim before it.
pub fn python() -> &'static Path {
    static PYTHON: OnceLock<PathBuf> = OnceLock::new();
    PYTHON.get_or_init(|| {
        let name = std::env::var_os("RWSGI_TEST_PYTHON").unwrap_or_else(|| "python3".into());
        let script = ["-c", "import sys; print(sys.executable)"];
        let output = Command::new(name).args(script).output().expect("python3 can be run");
        String::from_utf8(output.stdout).unwrap().trim().into()
    })
}

/// What `rwsgi` has said, and how it ended.
pub struct Ended {
    pub place: Place,
    pub status: ExitStatus,
    pub stdout: String,
    pub stderr: String,
}

impl Ended {
    pub fn code(&self) -> i32 {
        self.status.code().unwrap_or_else(|| panic!("{}\n{}", self.status, self.stderr))
    }

    /// Fails unless the exit code is `code` and standard error has all of `texts`.
    pub fn refuses(&self, code: i32, texts: &[&str]) {
        for text in texts {
            assert!(self.stderr.contains(text), "no `{text}` in:\n{}", self.stderr);
        }
        assert_eq!(self.code(), code, "{}", self.stderr);
    }
}

/// A directory with `app.py` and `app.ini`, and a command line.
pub struct Setup {
    pub place: Place,
    arguments: Vec<String>,
    variables: Vec<(String, String)>,
    shell: Option<&'static str>,
    stdin: Option<Stdio>,
    binary: PathBuf,
}

impl Setup {
    /// The kitchen, with `lines` in its configuration.
    pub fn new(lines: &str) -> Self {
        Self::classic(&format!(
            "[rwsgi]\nhttp = 127.0.0.1:0\nchdir = %d\nwsgi-file = app.py\n{lines}\n"
        ))
    }

    /// The same with the uwsgi protocol, on TCP and on the UNIX socket `app.sock`.
    pub fn uwsgi(lines: &str) -> Self {
        let sockets = "socket = 127.0.0.1:0\nsocket = app.sock";
        Self::classic(&format!("[rwsgi]\n{sockets}\nchdir = %d\nwsgi-file = app.py\n{lines}\n"))
    }

    /// The kitchen, with this whole configuration.
    pub fn classic(ini: &str) -> Self {
        let place = Place::new();
        place.write("app.ini", ini);
        place.write("app.py", KITCHEN);
        let variables = vec![("RWSGI_PYTHON".to_owned(), python().display().to_string())];
        let arguments = vec!["app.ini".to_owned()];
        let binary = env!("CARGO_BIN_EXE_rwsgi").into();
        Self { place, arguments, variables, shell: None, stdin: None, binary }
    }

    /// Another application.
    pub fn app(self, text: &str) -> Self {
        self.file("app.py", text)
    }

    pub fn file(self, name: &str, text: &str) -> Self {
        self.place.write(name, text);
        self
    }

    pub fn variable(mut self, name: &str, value: &str) -> Self {
        self.variables.push((name.to_owned(), value.to_owned()));
        self
    }

    /// Another program than the one under test.
    pub fn binary(mut self, path: PathBuf) -> Self {
        self.binary = path;
        self
    }

    /// Other arguments than the INI file.
    pub fn arguments(mut self, arguments: &[&str]) -> Self {
        self.arguments = arguments.iter().map(|&argument| argument.to_owned()).collect();
        self
    }

    /// Starts by this script of sh(1), which has to end in `exec "$@"`.
    pub fn shell(mut self, script: &'static str, stdin: Stdio) -> Self {
        self.shell = Some(script);
        self.stdin = Some(stdin);
        self
    }

    /// The standard input of the next process.
    pub fn stdin(&mut self, stdin: Stdio) {
        self.stdin = Some(stdin);
    }

    /// A process with its output in the files `stdout` and `stderr`.
    pub fn spawn(&mut self) -> io::Result<Child> {
        let binary = &self.binary;
        let mut command = match self.shell {
            None => Command::new(binary),
            Some(script) => {
                let mut shell = Command::new("/bin/sh");
                shell.args(["-c", script, "sh"]).arg(binary);
                shell
            }
        };
        for (name, _) in std::env::vars_os() {
            let text = name.to_string_lossy();
            let foreign =
                ["RWSGI_", "UWSGI_", "LISTEN_", "NOTIFY_", "WATCHDOG_", "JOURNAL_", "RUNTIME_"];
            if foreign.iter().any(|prefix| text.starts_with(prefix)) {
                command.env_remove(&name);
            }
        }
        command
            .args(&self.arguments)
            .current_dir(self.place.path())
            .env("RWSGI_EXTENSION", extension::path())
            .env(MARK, self.place.id())
            .envs(self.variables.iter().cloned())
            .stdin(self.stdin.take().unwrap_or_else(Stdio::null))
            .stdout(File::create(self.place.join("stdout"))?)
            .stderr(File::create(self.place.join("stderr"))?)
            .spawn()
    }

    /// Runs until it ends by itself.
    pub fn run(mut self) -> Ended {
        let status = self.run_again();
        let (stdout, stderr) = (self.place.read("stdout"), self.place.read("stderr"));
        Ended { place: self.place, status, stdout, stderr }
    }

    /// The same, in a place that is still needed.
    pub fn run_again(&mut self) -> ExitStatus {
        let mut child = self.spawn().unwrap();
        wait::until("the end of rwsgi", || child.try_wait().unwrap())
    }

    /// Runs until it serves.
    pub fn start(self) -> Server {
        Server::start(self)
    }
}
