//! `rwsgi new`: writes the configuration of an instance after a look at its project.

use std::ffi::OsString;
use std::fmt::Write as _;
use std::io::{self, Write as _};
use std::net::TcpListener;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};

use lexopt::Arg;
use rwsgi_core::config::ConfigError;
use rwsgi_core::config::error::Report;
use rwsgi_core::exit::ExitCode;
use rwsgi_core::reach::Who;

use crate::cli::{INSTANCES, Mode};
use crate::project::{self, Kind, Project};
use crate::usage;

/// What was asked for.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Asked {
    name: String,
    kind: Option<Kind>,
    http: Option<String>,
    socket: Option<String>,
    processes: Option<String>,
    user: Option<String>,
    output: Option<PathBuf>,
    dry_run: bool,
}

/// Reads what follows `new`.
///
/// # Errors
/// What cannot be understood, with how the command is used.
pub fn parse(arguments: impl Iterator<Item = OsString>) -> Result<Mode, Vec<ConfigError>> {
    read(arguments).map_err(|what| {
        let report = Report::new(format!("rwsgi new: {what}"));
        vec![report.expected(format!("`{}`", usage::NEW.usage)).into()]
    })
}

fn read(arguments: impl Iterator<Item = OsString>) -> Result<Mode, String> {
    let mut asked = Asked::default();
    let mut parser = lexopt::Parser::from_args(arguments);
    while let Some(argument) = parser.next().map_err(|error| error.to_string())? {
        let option = match argument {
            Arg::Short('h') | Arg::Long("help") => return Ok(Mode::Explain(&usage::NEW)),
            Arg::Long("dry-run") => {
                asked.dry_run = true;
                continue;
            }
            Arg::Value(value) if asked.name.is_empty() => {
                asked.name = text(value)?;
                continue;
            }
            Arg::Short('o') => "output".to_owned(),
            Arg::Long(name) => name.to_owned(),
            other => return Err(other.unexpected().to_string()),
        };
        let value = parser.value().map_err(|error| error.to_string()).and_then(text)?;
        let kind = match option.as_str() {
            "django" => Kind::Django(value.into()),
            "flask" => Kind::Flask(value),
            "wsgi" => Kind::Wsgi(value),
            other => {
                asked.set(other, value)?;
                continue;
            }
        };
        if asked.kind.replace(kind).is_some() {
            return Err("an instance serves one application".to_owned());
        }
    }
    let is_letter = |letter: char| letter.is_ascii_alphanumeric() || "_-.".contains(letter);
    if !asked.name.starts_with(|letter: char| letter.is_ascii_alphanumeric())
        || !asked.name.chars().all(is_letter)
    {
        return Err("a name of letters, digits, `-`, `_` and `.` is needed".to_owned());
    }
    if asked.kind.is_none() {
        return Err("what is to be served: --django, --flask or --wsgi".to_owned());
    }
    Ok(Mode::New(asked))
}

/// As the text of one line: there is no way to write others in an INI file.
fn text(value: OsString) -> Result<String, String> {
    let text = value.into_string().map_err(|_| "an argument is not UTF-8".to_owned())?;
    if text.contains(['\n', '\r']) {
        Err("an argument has a line end".to_owned())
    } else {
        Ok(text)
    }
}

impl Asked {
    fn set(&mut self, option: &str, value: String) -> Result<(), String> {
        match option {
            "http" => self.http = Some(value),
            "socket" => self.socket = Some(value),
            "processes" => self.processes = Some(value),
            "user" => self.user = Some(value),
            "output" => self.output = Some(value.into()),
            _ => return Err(format!("there is no option `--{option}`")),
        }
        Ok(())
    }

    /// Where the file goes; `None`: to stdout.
    fn target(&self) -> Option<PathBuf> {
        match &self.output {
            _ if self.dry_run => None,
            Some(path) if path.as_os_str() == "-" => None,
            Some(path) => Some(path.clone()),
            None => Some(format!("{INSTANCES}/{}.ini", self.name).into()),
        }
    }
}

/// Looks, writes, and says what was found and what comes next.
pub fn run(asked: &Asked) -> ExitCode {
    let Some(kind) = &asked.kind else { return ExitCode::Usage };
    match write(asked, kind) {
        Ok(()) => ExitCode::Ok,
        Err((code, why)) => {
            let _ = writeln!(io::stderr(), "rwsgi new: {why}");
            code
        }
    }
}

fn write(asked: &Asked, kind: &Kind) -> Result<(), (ExitCode, String)> {
    let target = asked.target();
    let exists = |path: &Path| {
        let why =
            format!("{} exists and is left alone; remove it first, or: -o FILE", path.display());
        (ExitCode::Failed, why)
    };
    if let Some(path) = target.as_deref().filter(|path| path.exists()) {
        return Err(exists(path));
    }
    let who = match &asked.user {
        Some(name) => {
            let why = || (ExitCode::Usage, format!("there is no user {name}"));
            Some(Who::named(name).ok_or_else(why)?)
        }
        // Code of the project is never run as root.
        None => Who::named("rwsgi").or_else(|| Who::named("nobody")),
    };
    let cwd = std::env::current_dir().map_err(|error| (ExitCode::System, error.to_string()))?;
    let project = project::look(kind, &cwd, who.as_ref()).map_err(|why| (ExitCode::Failed, why))?;
    let http = asked.http.clone().or_else(|| asked.socket.is_none().then(free_address));
    let ini = ini(asked, &project, http.as_deref());
    let Some(path) = target else {
        let _ = io::stdout().write_all(ini.as_bytes());
        let _ = io::stderr().write_all(story(&project).as_bytes());
        return Ok(());
    };
    let mut options = std::fs::OpenOptions::new();
    let file = options.write(true).create_new(true).mode(0o644).open(&path);
    file.and_then(|mut file| file.write_all(ini.as_bytes())).map_err(|error| {
        match error.kind() {
            io::ErrorKind::AlreadyExists => exists(&path),
            io::ErrorKind::PermissionDenied => {
                (ExitCode::Permission, format!("{}: {error}; use sudo, or -o FILE", path.display()))
            }
            io::ErrorKind::NotFound => {
                let parent = path.parent().unwrap_or(Path::new("/")).display();
                let why = format!("{parent} does not exist: mkdir -p {parent}, or -o FILE");
                (ExitCode::System, why)
            }
            _ => (ExitCode::System, format!("{}: {error}", path.display())),
        }
    })?;
    let _ = write!(
        io::stdout(),
        "{}wrote {}\n\n{}",
        story(&project),
        path.display(),
        next(asked, &project, &path)
    );
    Ok(())
}

/// The first from 8000 on that nobody has, nor another instance is to have.
fn free_address() -> String {
    let entries = std::fs::read_dir(INSTANCES).into_iter().flatten().flatten();
    let others: Vec<String> =
        entries.filter_map(|entry| std::fs::read_to_string(entry.path()).ok()).collect();
    let is_free = |port: &u16| {
        let written = format!(":{port}");
        let ends = |line: &str| line.trim_end().ends_with(&written);
        !others.iter().any(|text| text.lines().any(ends))
            && TcpListener::bind(("127.0.0.1", *port)).is_ok()
    };
    format!("127.0.0.1:{}", (8000..8100).find(is_free).unwrap_or(8000))
}

/// A value as the INI file has it: `%` begins a variable there.
fn literal(value: &(impl ToString + ?Sized)) -> String {
    value.to_string().replace('%', "%%")
}

fn ini(asked: &Asked, project: &Project, http: Option<&str>) -> String {
    let directory = literal(&project.directory.display());
    let name = &asked.name;
    let mut out = format!(
        "; {name}, in {}. All options: man rwsgi.ini\n; After a change: rwsgi check {name} && systemctl reload rwsgi@{name}\n[rwsgi]\n",
        project.directory.display()
    );
    let mut line = |key: &str, value: &str| {
        let _ = writeln!(out, "{key} = {value}");
    };
    http.iter().for_each(|address| line("http", &literal(address)));
    if let Some(path) = &asked.socket {
        line("socket", &literal(path));
        line("chmod-socket", "660");
    }
    asked.user.iter().for_each(|user| line("uid", user));
    line("chdir", &directory);
    project.virtualenv.iter().for_each(|home| line("virtualenv", &literal(&home.display())));
    if project.file {
        line("wsgi-file", &literal(&project.target));
    } else {
        line("pythonpath", &directory);
        line("module", &project.target);
    }
    project.callable.iter().for_each(|name| line("callable", name));
    project.settings.iter().for_each(|name| line("env", &format!("DJANGO_SETTINGS_MODULE={name}")));
    out.push_str("\n; Each worker has its own memory; threads share it, and are for applications that wait.\n");
    let processes = asked.processes.as_deref().unwrap_or("auto");
    let _ = writeln!(out, "processes = {processes}\nthreads = 2");
    if let Some((url, root)) = &project.statics {
        out.push_str("\n; STATIC_URL and STATIC_ROOT. Leave it out if a web server in front sends these files.\n");
        let _ = writeln!(out, "static-map = {}={}", literal(url), literal(&root.display()));
    }
    if http.is_some() {
        out.push_str("\n; The proxy in front, which is believed who the client is and whether it speaks TLS.\n");
        out.push_str("trusted-proxies = 127.0.0.1\n");
    }
    out.push_str(
        "\n; A request that takes longer is interrupted, and its client gets 504.\nharakiri = 60\n",
    );
    out
}

/// What was found.
fn story(project: &Project) -> String {
    let mut out = format!("project: {}\n", project.directory.display());
    let key = if project.file { "wsgi-file" } else { "module" };
    let callable = project.callable.as_deref().unwrap_or("application");
    let _ = writeln!(out, "application: {key} {}, callable {callable}", project.target);
    let _ = match &project.virtualenv {
        Some(home) => writeln!(out, "virtual environment: {}", home.display()),
        None => writeln!(out, "virtual environment: none found; the python3 of the system is used"),
    };
    if let Some(settings) = &project.settings {
        let _ = writeln!(out, "settings: {settings}");
    }
    if let Some((url, root)) = &project.statics {
        let _ = writeln!(out, "static files: {url} from {}", root.display());
    }
    for note in &project.notes {
        let _ = writeln!(out, "note: {note}");
    }
    out
}

fn next(asked: &Asked, project: &Project, path: &Path) -> String {
    let mut out = "next:\n".to_owned();
    if let Some((_, root)) = &project.statics
        && !root.is_dir()
    {
        let python = project.virtualenv.as_ref().map(|home| home.join("bin/python"));
        let python = python.unwrap_or_else(|| "python3".into());
        let manage = project.directory.join("manage.py");
        let _ = writeln!(out, "  {} {} collectstatic", python.display(), manage.display());
    }
    if asked.socket.is_some() {
        let _ = writeln!(
            out,
            "  usermod -aG {} www-data    # nginx may connect, once it is restarted",
            asked.user.as_deref().unwrap_or("rwsgi")
        );
    }
    let name = &asked.name;
    if path.starts_with(INSTANCES) {
        let _ = writeln!(out, "  rwsgi check {name}\n  systemctl enable --now rwsgi@{name}");
    } else {
        let shown = path.display();
        let _ = writeln!(out, "  rwsgi --check {shown}\n  rwsgi --ini {shown}");
    }
    out
}
