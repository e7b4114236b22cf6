//! What a project directory tells about its application: for `rwsgi new`.

use std::fs;
use std::os::unix::fs::MetadataExt as _;
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

use nix::unistd::{Uid, User, geteuid};
use rwsgi_core::config::Application;
use rwsgi_core::reach::{self, Who, Wish};
use rwsgi_core::sys;
use serde::Deserialize;

const SCRIPT: &str = include_str!("project.py");
/// How long the settings of a project may take.
const PATIENCE: Duration = Duration::from_secs(20);
const VENVS: [&str; 4] = [".venv", "venv", "env", "virtualenv"];

/// How a project was named on the command line.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Kind {
    /// The directory of manage.py.
    Django(PathBuf),
    /// A directory, or `MODULE[:CALLABLE]` below the current one.
    Flask(String),
    /// A file, or `MODULE[:CALLABLE]` below the current one.
    Wsgi(String),
}

/// What to serve, and all that is known about it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Project {
    /// Where it is, absolute.
    pub directory: PathBuf,
    /// `module`, or `wsgi-file`.
    pub file: bool,
    /// The value of that.
    pub target: String,
    /// `callable`, if it is not `application`.
    pub callable: Option<String>,
    /// Its virtual environment.
    pub virtualenv: Option<PathBuf>,
    /// DJANGO_SETTINGS_MODULE.
    pub settings: Option<String>,
    /// URL and directory of static files.
    pub statics: Option<(String, PathBuf)>,
    /// What was seen on the way and may matter.
    pub notes: Vec<String>,
}

/// What the settings of a Django project say.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "UPPERCASE")]
pub struct Settings {
    wsgi_application: Option<String>,
    static_url: Option<String>,
    static_root: Option<PathBuf>,
    /// Where uploads go.
    pub media_root: Option<PathBuf>,
    /// Files of databases.
    pub sqlite: Vec<PathBuf>,
    debug: bool,
    allowed_hosts: Vec<String>,
}

/// Looks at a project. Its code is run as `who`, if this is root.
///
/// # Errors
/// A sentence: there is no such application.
pub fn look(kind: &Kind, cwd: &Path, who: Option<&Who>) -> Result<Project, String> {
    let mut project = match kind {
        Kind::Django(path) => django(&directory(cwd, path)?)?,
        Kind::Flask(text) if cwd.join(text).is_dir() => flask(&directory(cwd, Path::new(text))?)?,
        Kind::Wsgi(text) if cwd.join(text).is_file() => file(&cwd.join(text))?,
        Kind::Flask(text) | Kind::Wsgi(text) => module(cwd, text)?,
    };
    project.virtualenv = virtualenv(&project.directory);
    project.notes.extend(project.environment());
    if let Some(name) = project.settings.clone() {
        match settings(&project, &name, who) {
            Ok(settings) => project.learn(settings),
            Err(why) => project.notes.push(format!(
                "the settings could not be asked ({why}): add static-map yourself, if STATIC_ROOT is set"
            )),
        }
    }
    Ok(project)
}

/// What the settings of a configured application say; `None` if it is none of Django. `who` serves.
pub fn settings_of(
    application: &Application,
    python: &Path,
    who: &Who,
) -> Option<Result<Settings, String>> {
    let directory = application.chdir.clone()?;
    let named = application.env.iter().find(|(name, _)| name == "DJANGO_SETTINGS_MODULE");
    let manage = || fs::read_to_string(directory.join("manage.py")).ok();
    let name = named.map(|(_, name)| name.clone()).or_else(|| settings_in(&manage()?))?;
    Some(ask(python, &directory, &name, Some(who), &application.env))
}

fn directory(cwd: &Path, path: &Path) -> Result<PathBuf, String> {
    let path = cwd.join(path);
    path.canonicalize().map_err(|error| format!("{}: {error}", path.display()))
}

impl Project {
    /// What of the environment of a project is not there by itself when it is a service.
    fn environment(&self) -> Vec<String> {
        let mut notes = Vec::new();
        let near = [Some(self.directory.as_path()), self.directory.parent()];
        let file = |name: &str| {
            let mut all = near.into_iter().flatten().map(|directory| directory.join(name));
            all.find(|path| path.is_file())
        };
        if let Some(path) = file(".env") {
            let shown = path.display();
            notes.push(format!(
                "{shown} is not read by rwsgi, and need not be where the project reads it itself: else an `env =` for each line"
            ));
        }
        if self.virtualenv.is_none() {
            let commands = [
                ("uv.lock", "uv sync"),
                ("poetry.lock", "poetry config virtualenvs.in-project true && poetry install"),
                ("Pipfile", "PIPENV_VENV_IN_PROJECT=1 pipenv install"),
                (
                    "requirements.txt",
                    "python3 -m venv .venv && .venv/bin/pip install -r requirements.txt",
                ),
                ("pyproject.toml", "python3 -m venv .venv && .venv/bin/pip install ."),
            ];
            let found =
                commands.into_iter().find_map(|(name, command)| Some((file(name)?, command)));
            if let Some((path, command)) = found {
                let place = path.parent().unwrap_or(Path::new("/")).display();
                notes.push(format!(
                    "{} wants packages: cd {place} && {command}; then once more",
                    path.display()
                ));
            }
        }
        notes
    }

    fn learn(&mut self, settings: Settings) {
        if let Some((module, callable)) =
            settings.wsgi_application.as_deref().and_then(|name| name.rsplit_once('.'))
        {
            module.clone_into(&mut self.target);
            self.callable = Some(callable.to_owned()).filter(|name| name != "application");
        }
        match (settings.static_url, settings.static_root) {
            (Some(url), Some(root)) if !url.contains("://") => {
                let url = format!("/{}", url.trim_matches('/'));
                let root = self.directory.join(root);
                if !root.is_dir() {
                    let advice = "run `manage.py collectstatic`";
                    self.notes
                        .push(format!("STATIC_ROOT {} is not there: {advice}", root.display()));
                }
                self.statics = Some((url, root));
            }
            (_, None) => {
                let advice = "set it and run `manage.py collectstatic` to have static files served";
                self.notes.push(format!("the settings have no STATIC_ROOT: {advice}"));
            }
            _ => {}
        }
        if settings.debug {
            self.notes.push("DEBUG is on in the settings: turn it off where strangers come".into());
        }
        if settings.allowed_hosts.is_empty() {
            let what = "ALLOWED_HOSTS is empty: without DEBUG, Django answers 400 to every request";
            self.notes.push(what.into());
        }
    }
}

fn django(directory: &Path) -> Result<Project, String> {
    let manage = directory.join("manage.py");
    if !manage.exists() {
        // As in a layout with `src`.
        let below = children(directory).into_iter().filter(|path| path.join("manage.py").is_file());
        return match below.collect::<Vec<_>>().as_slice() {
            [one] => django(one),
            [] => Err(format!("{} does not exist, nor one a directory below", manage.display())),
            several => {
                let names: Vec<_> = several.iter().map(|path| path.display().to_string()).collect();
                Err(format!("there are several projects, name one: {}", names.join(", ")))
            }
        };
    }
    let text =
        fs::read_to_string(&manage).map_err(|error| format!("{}: {error}", manage.display()))?;
    let of_manage = settings_in(&text);
    // What serves may have others than what is run by hand.
    let of_wsgi = of_manage.as_deref().and_then(|settings| {
        let package = settings.split('.').next()?;
        settings_in(&fs::read_to_string(directory.join(package).join("wsgi.py")).ok()?)
    });
    let settings = std::env::var("DJANGO_SETTINGS_MODULE").ok().or(of_wsgi).or(of_manage);
    let settings = settings.ok_or_else(|| {
        format!("{} does not say DJANGO_SETTINGS_MODULE: set that variable", manage.display())
    })?;
    let package = settings.split('.').next().unwrap_or(&settings);
    let target = format!("{package}.wsgi");
    let notes = other_settings(directory, &settings).into_iter().collect();
    Ok(Project {
        directory: directory.into(),
        target,
        settings: Some(settings),
        notes,
        ..Project::default()
    })
}

/// What else may be meant, where settings are split.
fn other_settings(directory: &Path, settings: &str) -> Option<String> {
    let (package, chosen) = settings.rsplit_once('.')?;
    let known = ["production", "prod", "live"];
    if known.contains(&chosen) {
        return None;
    }
    let path = |module: &str| directory.join(module.replace('.', "/"));
    let mut others = [package, settings].into_iter().flat_map(|package| {
        known.map(|name| (format!("{package}.{name}"), path(package).join(format!("{name}.py"))))
    });
    let (other, _) = others.find(|(_, file)| file.is_file())?;
    Some(format!(
        "{settings} is taken, but there is {other}, too: `env = DJANGO_SETTINGS_MODULE={other}`?"
    ))
}

/// The quoted word that follows the name of the variable.
fn settings_in(manage: &str) -> Option<String> {
    let (_, rest) = manage.split_once("DJANGO_SETTINGS_MODULE")?;
    let mut words = rest.get(1..)?.split(['"', '\'']);
    let module = words.nth(1)?;
    let is_module = |text: &str| text.split('.').all(is_identifier);
    is_module(module).then(|| module.to_owned())
}

fn is_identifier(text: &str) -> bool {
    !text.is_empty() && text.chars().all(|letter| letter.is_alphanumeric() || letter == '_')
}

fn flask(directory: &Path) -> Result<Project, String> {
    flask_in(directory).or_else(|why| {
        let below = directory.join("src");
        if below.is_dir() { flask_in(&below) } else { Err(why) }
    })
}

fn flask_in(directory: &Path) -> Result<Project, String> {
    let first = ["wsgi", "app", "application", "main", "run"]
        .map(|name| directory.join(format!("{name}.py")));
    let packages = children(directory).into_iter().map(|path| path.join("__init__.py"));
    for path in first.into_iter().chain(packages) {
        let Ok(text) = fs::read_to_string(&path) else { continue };
        refuse_asgi(&path, &text)?;
        let Some(callable) = callable_in(&text) else { continue };
        let module =
            if path.ends_with("__init__.py") { path.parent() } else { Some(path.as_path()) };
        let module =
            module.and_then(Path::file_stem).unwrap_or_default().to_string_lossy().into_owned();
        return Ok(Project {
            target: module,
            callable,
            directory: directory.into(),
            ..Project::default()
        });
    }
    Err(format!(
        "{} has no application of Flask in wsgi.py, app.py or a package: name it, --flask MODULE:CALLABLE",
        directory.display()
    ))
}

fn file(path: &Path) -> Result<Project, String> {
    let path = path.canonicalize().map_err(|error| format!("{}: {error}", path.display()))?;
    let text = fs::read_to_string(&path).map_err(|error| format!("{}: {error}", path.display()))?;
    refuse_asgi(&path, &text)?;
    let callable = callable_in(&text);
    let notes = if callable.is_none() {
        vec!["no WSGI callable was recognized in it: see `callable`".to_owned()]
    } else {
        Vec::new()
    };
    // What is in a package imports that by its name.
    let outside = path.ancestors().skip(1).find(|above| !above.join("__init__.py").is_file());
    let directory = outside.unwrap_or(Path::new("/"));
    Ok(Project {
        directory: directory.into(),
        file: true,
        target: path.strip_prefix(directory).unwrap_or(&path).to_string_lossy().into_owned(),
        callable: callable.flatten(),
        notes,
        ..Project::default()
    })
}

fn module(cwd: &Path, text: &str) -> Result<Project, String> {
    let (module, callable) = match text.split_once(':') {
        Some((module, callable)) => (module, Some(callable.to_owned())),
        None => (text, None),
    };
    if !module.split('.').all(is_identifier) {
        return Err(format!("`{text}` is neither there nor the name of a module"));
    }
    let path = cwd.join(module.replace('.', "/"));
    let sources = [path.with_extension("py"), path.join("__init__.py")];
    let source = sources.iter().find_map(|path| fs::read_to_string(path).ok());
    let source = source.ok_or_else(|| {
        format!("there is no {} nor a package of that name", sources[0].display())
    })?;
    refuse_asgi(&path, &source)?;
    let callable = callable.map_or_else(|| callable_in(&source).flatten(), Some);
    let callable = callable.filter(|name| name != "application");
    Ok(Project { directory: cwd.into(), target: module.into(), callable, ..Project::default() })
}

/// Frameworks whose applications speak ASGI, as they are called.
const ASGI: [&str; 6] =
    ["FastAPI(", "Starlette(", "Quart(", "Sanic(", "Litestar(", "get_asgi_application("];

/// An application of ASGI would be served with an error for each request.
fn refuse_asgi(path: &Path, source: &str) -> Result<(), String> {
    let value = |line: &str| line.split_once('=').map(|(_, value)| value.trim_start().to_owned());
    let called =
        source.lines().filter(|line| !line.starts_with([' ', '\t', '#'])).filter_map(value);
    let mut called =
        called.filter_map(|value| ASGI.into_iter().find(|name| value.starts_with(name)));
    let is_async = source.lines().any(|line| {
        ["async def app(", "async def application("].iter().any(|start| line.starts_with(start))
    });
    let what = called.next().map(|name| name.trim_end_matches('(')).or(is_async.then_some("async"));
    match what {
        None => Ok(()),
        Some(_)
            if source.contains("WSGIMiddleware") || source.contains("get_wsgi_application(") =>
        {
            Ok(())
        }
        Some(what) => Err(format!(
            "{} has an application of ASGI ({what}), and rwsgi serves WSGI only: take a server for ASGI, or wrap it: \
             `application = a2wsgi.ASGIMiddleware(app)` in a file of its own",
            path.display()
        )),
    }
}

/// The WSGI callable of a source text: `Some(None)` if it is called `application`.
// Each of these is how the documentation of a framework writes it, at the beginning of a line.
fn callable_in(source: &str) -> Option<Option<String>> {
    let mut names = Vec::new();
    for line in source.lines() {
        if let Some(name) = line.strip_prefix("def ").and_then(|rest| rest.split('(').next()) {
            match name {
                "application" | "app" => names.push(name.to_owned()),
                "create_app" | "make_app" | "create_application" => names.push(format!("{name}()")),
                _ => {}
            }
        } else if let Some((name, value)) = line.split_once('=') {
            let name = name.split(':').next().unwrap_or(name).trim_end();
            let is_known =
                matches!(name, "application" | "app") || value.trim_start().starts_with("Flask(");
            if is_known && is_identifier(name) && !value.starts_with('=') {
                names.push(name.to_owned());
            }
        } else if line.starts_with("from ") && line.contains(" import ") {
            let words = line.split([' ', ',']).rev();
            names.extend(
                words
                    .take(1)
                    .filter(|word| matches!(*word, "application" | "app"))
                    .map(str::to_owned),
            );
        }
    }
    if names.iter().any(|name| name == "application") {
        return Some(None);
    }
    let plain = names.iter().find(|name| !name.ends_with(')'));
    plain.or(names.first()).cloned().map(Some)
}

fn children(directory: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(directory).into_iter().flatten().flatten();
    let mut found: Vec<PathBuf> = entries.map(|entry| entry.path()).collect();
    found.sort();
    found
}

/// The virtual environment in the project, beside it, or where poetry and pipenv put those of its
/// owner.
fn virtualenv(directory: &Path) -> Option<PathBuf> {
    let is_one = |path: &PathBuf| path.join("bin/python").exists();
    let above = directory.parent();
    let near = [Some(directory), above].into_iter().flatten();
    let near = near.flat_map(|base| VENVS.map(|name| base.join(name)));
    let prefix = format!("{}-", directory.file_name()?.to_string_lossy());
    let owner = directory.metadata().ok().map(|facts| Uid::from_raw(facts.uid()));
    let home = owner.and_then(|uid| User::from_uid(uid).ok().flatten()).map(|user| user.dir);
    let far = home.into_iter().flat_map(|home| {
        let places = [".cache/pypoetry/virtualenvs", ".local/share/virtualenvs"];
        places.map(|place| home.join(place)).into_iter().flat_map(|place| children(&place))
    });
    let far = far.filter(|path| {
        path.file_name().is_some_and(|name| name.to_string_lossy().starts_with(&prefix))
    });
    near.chain(far).find(is_one)
}

/// Asks the settings by the interpreter of the project, within a time.
fn settings(project: &Project, name: &str, who: Option<&Who>) -> Result<Settings, String> {
    let of_venv = project.virtualenv.as_ref().map(|home| home.join("bin/python"));
    let python = of_venv.unwrap_or_else(|| "python3".into());
    ask(&python, &project.directory, name, who, &[])
}

fn ask(
    python: &Path,
    directory: &Path,
    name: &str,
    who: Option<&Who>,
    env: &[(String, String)],
) -> Result<Settings, String> {
    let mut command = Command::new(python);
    command.args(["-c", SCRIPT]).arg(directory).arg(name).current_dir("/");
    command.envs(env.iter().map(|(name, value)| (name, value)));
    command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    if geteuid().is_root() {
        let who = who.ok_or("nobody but root could run them")?;
        let closed = || reach::barrier_for(who, python, Wish::Enter);
        if let Some(barrier) = closed().or_else(|| reach::barrier_for(who, directory, Wish::Enter))
        {
            return Err(format!("{barrier}: {}", barrier.remedy()));
        }
        command.uid(who.uid).gid(who.groups.first().copied().unwrap_or(who.uid));
    }
    let mut child = command.spawn().map_err(|error| format!("{}: {error}", python.display()))?;
    let pid = i32::try_from(child.id()).unwrap_or(0);
    if !sys::wait_for_exit(pid, PATIENCE).map_err(|error| error.to_string())? {
        let _ = child.kill();
        let _ = child.wait();
        return Err(format!("{} did not end within {} s", python.display(), PATIENCE.as_secs()));
    }
    let output = child.wait_with_output().map_err(|error| error.to_string())?;
    let text = String::from_utf8_lossy(&output.stdout);
    let last = text.lines().last().unwrap_or_default();
    serde_json::from_str(last).map_err(|_| {
        let errors = String::from_utf8_lossy(&output.stderr);
        let why = errors.trim_end().lines().last().unwrap_or("it said nothing").to_owned();
        format!("{}: {why}", python.display())
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_settings_module_is_found_in_manage_py() {
        let text = "os.environ.setdefault(\"DJANGO_SETTINGS_MODULE\", \"shop.settings.live\")";
        assert_eq!(settings_in(text).as_deref(), Some("shop.settings.live"));
        let text = "    os.environ['DJANGO_SETTINGS_MODULE'] = 'shop.settings'\n";
        assert_eq!(settings_in(text).as_deref(), Some("shop.settings"));
        assert_eq!(settings_in("nothing"), None);
    }

    #[test]
    fn the_callable_is_recognized_as_frameworks_write_it() {
        let named = |name: &str| Some(Some(name.to_owned()));
        assert_eq!(callable_in("application = get_wsgi_application()"), Some(None));
        assert_eq!(callable_in("app = Flask(__name__)\n"), named("app"));
        assert_eq!(callable_in("site: Flask = Flask(__name__)\n"), named("site"));
        assert_eq!(
            callable_in("def create_app(test=None):\n    app = Flask()\n"),
            named("create_app()")
        );
        assert_eq!(callable_in("def create_app():\n  pass\napp = create_app()\n"), named("app"));
        assert_eq!(callable_in("from shop import app\n"), named("app"));
        assert_eq!(callable_in("if app == x:\n    pass\n"), None);
        assert_eq!(callable_in("def application(environ, start_response):\n"), Some(None));
    }
}
