//! `rwsgi check`: configuration, unit, sockets, permissions and import, looked at together.
//!
//! What only root can see comes first; then the process becomes the user that serves, and the kernel
//! itself says what is closed to it.

use std::os::fd::AsFd as _;
use std::path::Path;
use std::time::{Duration, Instant};

use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::unistd::geteuid;
use rwsgi_core::address::ListenAddr;
use rwsgi_core::commons::Commons;
use rwsgi_core::config::hooks::Stage;
use rwsgi_core::config::raw::RawConfig;
use rwsgi_core::config::{
    self, Classes, Config, ConfigError, Context, Hooks, Inspection, Listen, LogTarget, Process,
    Severity, Sources, Target,
};
use rwsgi_core::exit::ExitCode;
use rwsgi_core::hooks::sentence as hook_sentence;
use rwsgi_core::ipc::{FromTemplate, Received};
use rwsgi_core::reach::{self, Barrier, Who, Wish};
use rwsgi_core::scoreboard::Scoreboard;

use crate::boot::{Refusal, plain};
use crate::caches::Caches;
use crate::cli::INSTANCES;
use crate::finding::Findings;
use crate::hooks::WITHOUT_ROOT;
use crate::service::{self, Service};
use crate::spawn::{self, Shared};
use crate::{generator, interpreter, machine, occupant, privileges, project};

/// What an import may take here when the configuration sets no limit.
const PATIENCE: Duration = Duration::from_secs(600);
/// The user of web servers on Debian and Ubuntu.
const WEB: &str = "www-data";

/// Looks at everything, serves nothing. `name` is the instance, if it is one of /etc/rwsgi.
pub fn run(sources: &Sources, context: &Context, name: Option<&str>, json: bool) -> ExitCode {
    let mut findings = Findings::default();
    // Who writes the INI file of an instance is not to have commands run as root by who checks it.
    let without_commands = context.without_commands || geteuid().is_root();
    let context = &Context { without_commands, ..context.clone() };
    let Inspection { raw, config, findings: found } = config::inspect(sources, context);
    for warning in found.warnings {
        match warning.severity {
            Severity::Info => findings.ok("configuration", format!("{warning:#}")),
            Severity::Warning => findings.warn("configuration", format!("{warning:#}"), ""),
        }
    }
    classify(&raw, &found.errors, &mut findings);
    for error in &found.errors {
        findings.error(ExitCode::Config, "configuration", format!("{error:#}"), "");
    }
    let Some(config) = config.filter(|_| found.errors.is_empty()) else {
        return findings.print(json);
    };
    let scene = Scene::look(&config, name);
    scene.unit(&mut findings);
    scene.generated(&mut findings);
    machine::denials(&mut findings);
    for listen in &config.listeners {
        scene.listener(listen, &mut findings);
        scene.web_server(listen, &mut findings);
    }
    if let Some(stats) = &config.stats {
        scene.listener(&stats.listen, &mut findings);
    }
    scene.become_user(&mut findings);
    scene.paths(&mut findings);
    scene.environment(&mut findings);
    scene.written(&mut findings);
    scene.hooks(&mut findings);
    import(config.clone(), &mut findings);
    findings.print(json)
}

/// How many options are obeyed, and what becomes of which others.
fn classify(raw: &RawConfig, errors: &[ConfigError], findings: &mut Findings) {
    if raw.options.is_empty() {
        return;
    }
    let read = if raw.is_partial { "of what could be read, " } else { "" };
    let summary = format!("{read}{}", Classes::of(raw, errors).summary());
    if errors.is_empty() {
        findings.ok("options", summary);
    } else {
        findings.warn("options", summary, "");
    }
}

/// What the configuration is seen from.
struct Scene<'a> {
    config: &'a Config,
    /// The name of the instance, its service and its socket.
    unit: Option<(&'a str, Service, Service)>,
    /// Who serves.
    who: Who,
}

impl<'a> Scene<'a> {
    fn look(config: &'a Config, name: Option<&'a str>) -> Self {
        let unit = name.and_then(|name| {
            let service = Service::ask(&format!("rwsgi@{name}.service"))?;
            let socket = Service::ask(&format!("rwsgi@{name}.socket"))?;
            Some((name, service, socket))
        });
        let of_unit = unit.as_ref().and_then(|(_, service, _)| match service.get("User") {
            "" => None,
            user => Who::named(user),
        });
        let who = match (config.process.uid, of_unit, name) {
            (Some(uid), ..) => Who::numbered(uid),
            (None, Some(who), _) => who,
            (None, None, Some(_)) => Who::named("rwsgi").unwrap_or_else(Who::current),
            (None, None, None) => Who::current(),
        };
        Self { config, unit, who }
    }

    fn service(&self) -> Option<&Service> {
        self.unit.as_ref().map(|(_, service, _)| service).filter(|service| service.is_there())
    }

    fn unit(&self, findings: &mut Findings) {
        let Some((name, service, socket)) = &self.unit else { return };
        let unit = format!("rwsgi@{name}");
        if !service.is_there() {
            let message = format!("systemd knows no {unit}: {}", service.get("LoadState"));
            let remedy = "install the package rwsgi, or: systemctl daemon-reload";
            findings.error(ExitCode::Unavailable, "unit", message, remedy);
            return;
        }
        if service.get("NeedDaemonReload") == "yes" {
            let message = format!("systemd has not read the newest files of {unit}");
            findings.warn("unit", message, "systemctl daemon-reload");
        }
        let is_enabled = |unit: &Service| unit.get("UnitFileState").starts_with("enabled");
        if !is_enabled(service) && !is_enabled(socket) {
            let message = format!("{unit} does not start with the machine");
            findings.warn("unit", message, format!("systemctl enable {unit}"));
        }
        if service.get("ActiveState") == "failed" {
            let message = format!("{unit} has failed: {}", service.get("Result"));
            findings.warn("unit", message, format!("journalctl -xeu {unit}"));
        }
        if findings.is_good("unit") {
            // Those of the generator are told where they are wrong.
            let paths = service.get("DropInPaths").split_whitespace();
            let own: Vec<_> = paths.filter(|path| !path.starts_with("/run/systemd/gen")).collect();
            let drop_ins = match own.as_slice() {
                [] => String::new(),
                own => format!(", changed by {}", own.join(" and ")),
            };
            let user = &self.who.name;
            findings.ok("unit", format!("{unit} runs as {user}{drop_ins}"));
        }
    }

    /// Whether the generator can make the units fit, and has.
    fn generated(&self, findings: &mut Findings) {
        let Some((name, ..)) = &self.unit else { return };
        let plan = generator::plan(name, Path::new(&format!("{INSTANCES}/{name}.ini")));
        if let Some(trouble) = &plan.trouble {
            let remedy = "change the INI file, then: systemctl daemon-reload";
            return findings.error(ExitCode::Config, "unit", trouble.clone(), remedy);
        }
        let outdated = plan.outdated(name);
        if self.service().is_some() && !outdated.is_empty() {
            let units = outdated.join(" and ");
            let message =
                format!("systemd has not read the INI file since it was changed: {units}");
            let remedy = format!("systemctl daemon-reload && systemctl restart rwsgi@{name}");
            findings.warn("unit", message, remedy);
        }
    }

    fn listener(&self, listen: &Listen, findings: &mut Findings) {
        let shown = listen.address.to_string();
        if let Some((name, _, socket)) = &self.unit
            && socket.listens(&shown)
        {
            findings.ok("socket", format!("{shown} comes from rwsgi@{name}.socket"));
            return;
        }
        if let Some(occupant) = occupant::at(&listen.address) {
            let ours = self.unit.as_ref().map(|(name, ..)| format!("rwsgi@{name}.service"));
            if ours.is_some() && occupant.unit == ours {
                findings.ok("socket", format!("{shown} is served by the instance itself"));
            } else {
                let message = format!("{shown} is in use by {occupant}");
                findings.error(ExitCode::System, "socket", message, occupant.remedy());
            }
        } else if let ListenAddr::Tcp(address) = &listen.address {
            self.tcp(*address, findings);
        }
    }

    fn tcp(&self, address: std::net::SocketAddr, findings: &mut Findings) {
        if address.port() != 0 && address.port() < lowest_free_port() && self.who.uid != 0 {
            let capable = self.service().is_some_and(|service| {
                service.get("AmbientCapabilities").contains("cap_net_bind_service")
            });
            // Who starts as root and has `uid=` binds before.
            let early =
                self.config.process.uid.is_some() && geteuid().is_root() && self.unit.is_none();
            if !capable && !early {
                let message = format!(
                    "{address}: user {} may not bind ports below {}",
                    self.who.name,
                    lowest_free_port()
                );
                let remedy = match &self.unit {
                    Some((name, ..)) => format!(
                        "systemctl daemon-reload gives rwsgi@{name}.socket the port; then: systemctl restart rwsgi@{name}"
                    ),
                    None => format!(
                        "run it as a service, where a .socket unit has the port; or a port above, with nginx in front; or: \
                         sysctl net.ipv4.ip_unprivileged_port_start={}",
                        address.port()
                    ),
                };
                findings.error(ExitCode::System, "socket", message, remedy);
                return;
            }
        }
        let free = std::net::TcpListener::bind(address);
        match free {
            Err(error) if error.kind() != std::io::ErrorKind::PermissionDenied => {
                let message = format!("{address}: {error}");
                let remedy = match error.kind() {
                    std::io::ErrorKind::AddrNotAvailable => {
                        "this machine has no such address: ip address"
                    }
                    _ => "`ss -ltnp`, as root, shows who has it",
                };
                findings.error(ExitCode::System, "socket", message, remedy);
            }
            _ => findings.ok("socket", format!("{address} is free")),
        }
    }

    /// Whether nginx could connect to a UNIX socket.
    fn web_server(&self, listen: &Listen, findings: &mut Findings) {
        let ListenAddr::Unix(path) = &listen.address else { return };
        let Some(web) = Who::named(WEB) else { return };
        let directory = path.parent().unwrap_or(path);
        if let Some(barrier) = reach::barrier_for(&web, directory, Wish::Enter) {
            return findings.warn("web server", barrier.to_string(), barrier.remedy());
        }
        if path.exists() {
            if let Some(barrier) = reach::barrier_for(&web, path, Wish::Connect) {
                findings.warn("web server", barrier.to_string(), barrier.remedy());
            }
            return;
        }
        let (owner, group) = listen.owner.unwrap_or((self.who.uid, None));
        let group = group.or(self.who.groups.first().copied()).unwrap_or(owner);
        if !web.may(Wish::Connect, listen.mode, owner, group) {
            let mode = listen.mode & 0o777;
            let message =
                format!("{} will have mode {mode:o}: {WEB} may not connect", path.display());
            let remedy =
                format!("`chown-socket = {}:{WEB}` with `chmod-socket = 660`", self.who.name);
            findings.warn("web server", message, remedy);
        }
    }

    /// From here on the process is the one that serves, if it may become that.
    fn become_user(&self, findings: &mut Findings) {
        if geteuid().as_raw() == self.who.uid {
            return;
        }
        let name = &self.who.name;
        if !geteuid().is_root() {
            let message = format!("looked at as {}, while {name} serves", Who::current().name);
            return findings.warn("user", message, "run the check as root");
        }
        let groups = self.config.process.gid.or(self.who.groups.first().copied());
        let process = Process { uid: Some(self.who.uid), gid: groups, ..Process::default() };
        if let Err(why) = privileges::drop_to(&process) {
            findings.error(ExitCode::Permission, "user", why, "");
        }
    }

    /// Hooks are not run here.
    fn hooks(&self, findings: &mut Findings) {
        let hooks = &self.config.hooks;
        for hook in hooks.of(Stage::AsRoot).filter(|_| self.unit.is_some()) {
            let message =
                hook_sentence(hook, "needs root, and no service of rwsgi is started as root");
            findings.error(ExitCode::Config, "hooks", message, WITHOUT_ROOT);
        }
        let count = hooks.all.len() + hooks.touch.len();
        if count > 0 && findings.is_good("hooks") {
            let plural = if count == 1 { "" } else { "s" };
            findings.ok("hooks", format!("{count} hook{plural}, not run here"));
        }
    }

    fn barrier(&self, path: &Path, wish: Wish) -> Option<Barrier> {
        if geteuid().as_raw() == self.who.uid {
            reach::barrier(path, wish)
        } else {
            reach::barrier_for(&self.who, path, wish)
        }
    }

    fn paths(&self, findings: &mut Findings) {
        let application = &self.config.application;
        let base = application.chdir.clone().unwrap_or_default();
        let mut wishes: Vec<(&'static str, std::path::PathBuf, Wish)> = Vec::new();
        wishes.extend(application.chdir.clone().map(|path| ("project", path, Wish::Enter)));
        for target in application.targets() {
            if let Target::File { path, .. } = target {
                wishes.push(("project", base.join(path), Wish::Read));
            }
        }
        wishes.extend(
            application.pythonpath.iter().map(|path| ("project", path.clone(), Wish::Enter)),
        );
        if let Some(home) = &application.virtualenv {
            wishes.push(("virtualenv", home.join("bin/python"), Wish::Enter));
        }
        let files = &self.config.files;
        let roots = files.checked.iter().chain(files.maps.iter().map(|map| &map.target));
        wishes.extend(roots.map(|path| ("static files", path.clone(), Wish::Enter)));
        let written =
            self.config.process.pidfile.iter().map(AsRef::as_ref).chain(self.config.log.files());
        let stats = self.config.stats.iter().map(|stats| &stats.listen);
        let sockets = self.config.listeners.iter().chain(stats);
        let sockets = sockets.filter_map(|listen| match &listen.address {
            ListenAddr::Unix(path) => Some(path.as_path()),
            _ => None,
        });
        // What is opened before the rights of the start are given up is no matter of this user.
        if self.unit.is_some() || self.config.process.uid.is_none() {
            let parents = written.chain(sockets).filter_map(|path| path.parent());
            wishes.extend(parents.map(|path| ("directory", path.to_owned(), Wish::Write)));
        }
        for (subject, path, wish) in wishes {
            self.path(subject, &path, wish, findings);
        }
        if findings.is_good("project") {
            let shown =
                application.chdir.as_deref().unwrap_or(Path::new("the directory of the start"));
            findings.ok("project", format!("{} can read {}", self.who.name, shown.display()));
        }
    }

    fn path(&self, subject: &'static str, path: &Path, wish: Wish, findings: &mut Findings) {
        if let Some(why) = self.service().and_then(|service| service.hides(path)) {
            let remedy =
                "put it below /srv, or name the path in the INI file and: systemctl daemon-reload";
            return findings.error(ExitCode::Permission, subject, why, remedy);
        }
        if wish == Wish::Write
            && let Some((name, service, _)) = &self.unit
            && let Some(why) = service.closes(name, path)
        {
            let remedy = service::opening(name, path);
            return findings.error(ExitCode::Permission, subject, why, remedy);
        }
        if let Some(barrier) = self.barrier(path, wish) {
            let (message, remedy) = (barrier.to_string(), barrier.remedy());
            return findings.error(ExitCode::Permission, subject, message, remedy);
        }
        if !path.exists() {
            // systemd makes it when the service starts.
            let runtime = path.starts_with("/run/rwsgi") && self.unit.is_some();
            let shown = path.display();
            if subject == "static files" {
                findings.warn(
                    subject,
                    format!("{shown} does not exist"),
                    "manage.py collectstatic makes it with Django",
                );
            } else if !runtime {
                findings.error(ExitCode::System, subject, format!("{shown} does not exist"), "");
            }
        }
    }
}

impl Scene<'_> {
    /// Whether the virtual environment is one of the interpreter that it has now.
    fn environment(&self, findings: &mut Findings) {
        let Some(home) = &self.config.application.virtualenv else { return };
        if let Some((made, now)) = interpreter::mismatch(home) {
            let shown = home.display();
            let message = format!(
                "{shown} was made by Python {made} and has its packages for that, but its interpreter is {now} now"
            );
            let remedy = format!(
                "python3 -m venv --clear {shown} && {shown}/bin/pip install -r requirements.txt"
            );
            findings.error(ExitCode::Config, "virtualenv", message, remedy);
        }
    }

    /// What an application of Django writes: uploads, databases of SQLite.
    fn written(&self, findings: &mut Findings) {
        let application = &self.config.application;
        if geteuid().as_raw() != self.who.uid {
            return;
        }
        let python = interpreter::find(application, std::env::var_os("PATH").as_deref());
        let settings =
            |python: std::path::PathBuf| project::settings_of(application, &python, &self.who);
        // What is wrong with them, the import tells.
        let Some(Ok(settings)) = python.ok().and_then(settings) else { return };
        let base = application.chdir.clone().unwrap_or_default();
        for file in settings.sqlite.iter().map(|file| base.join(file)) {
            if let Some(barrier) = self.barrier(&file, Wish::Change) {
                findings.error(
                    ExitCode::Permission,
                    "database",
                    barrier.to_string(),
                    barrier.remedy(),
                );
            }
            // Beside it SQLite makes its journal.
            if let Some(directory) = file.parent() {
                self.path("database", directory, Wish::Write, findings);
            }
        }
        if let Some(media) = settings.media_root.map(|media| base.join(media)) {
            if media.exists() {
                self.path("uploads", &media, Wish::Write, findings);
            } else {
                let message = format!("MEDIA_ROOT {} does not exist", media.display());
                let remedy = format!("install -d -o {} {}", self.who.name, media.display());
                findings.warn("uploads", message, remedy);
            }
        }
    }
}

/// Below which a privilege is needed to bind.
fn lowest_free_port() -> u16 {
    let text = std::fs::read_to_string("/proc/sys/net/ipv4/ip_unprivileged_port_start");
    text.ok().and_then(|text| text.trim().parse().ok()).unwrap_or(1024)
}

fn import(config: Config, findings: &mut Findings) {
    match import_once(config) {
        Ok(said) => findings.ok("application", said),
        Err((code, failure)) => {
            let message = format!("{}\n{}", failure.summary, failure.traceback);
            findings.error(code, "application", message, "");
        }
    }
}

fn import_once(mut config: Config) -> Result<String, Refusal> {
    config.log = config::Log::to(LogTarget::Stderr);
    config.lazy_apps = false;
    config.listeners.clear();
    // They act on what serves.
    config.hooks = Hooks::default();
    config.application.startup.warm_up.clear();
    let system = |why: String| (ExitCode::System, plain(why));
    let python = interpreter::find(&config.application, std::env::var_os("PATH").as_deref())
        .map_err(|why| (ExitCode::Config, plain(why)))?;
    let board = Scoreboard::create(1).map_err(|error| system(error.to_string()))?;
    let commons = Commons::create(config.locks as usize + 1);
    let commons = commons.map_err(|error| system(error.to_string()))?;
    let shared = Shared {
        scoreboard: &board,
        slots: 1,
        commons: &commons,
        is_reload: false,
        is_again: false,
    };
    for cache in &mut config.caches {
        cache.store = None;
    }
    let caches = Caches::make(&config).map_err(system)?;
    let caches = caches.memories(&config);
    let (mut child, channel) =
        spawn::template(&config, &python, shared, (&[], Vec::new()), &caches, None)
            .map_err(system)?;
    let limit = config.reloading.import_timeout.unwrap_or(PATIENCE) + Duration::from_secs(5);
    let deadline = Instant::now() + limit;
    let mut version = String::new();
    let result = loop {
        let left = deadline.saturating_duration_since(Instant::now());
        let mut ready = [PollFd::new(channel.as_fd(), PollFlags::POLLIN)];
        let left = PollTimeout::try_from(left).unwrap_or(PollTimeout::MAX);
        if poll(&mut ready, left) == Ok(0) {
            let _ = child.kill();
            let seconds = limit.as_secs();
            break Err(system(format!("the import has not ended after {seconds} s")));
        }
        match channel.receive::<FromTemplate>() {
            Ok(Received::Message(FromTemplate::Hello { python }, _)) => version = python,
            Ok(Received::Message(FromTemplate::Imported { micros }, _)) => {
                let millis = micros / 1000;
                break Ok(format!(
                    "{}: the configuration is good; Python {version} imports the application in {millis} ms",
                    config.name
                ));
            }
            Ok(Received::Message(FromTemplate::Failed(failure), _)) => {
                break Err((ExitCode::Application, failure));
            }
            Ok(Received::Message(
                FromTemplate::ForkFailed { .. }
                | FromTemplate::Hook { .. }
                | FromTemplate::Module { .. }
                | FromTemplate::Signal(_),
                _,
            )) => {}
            Ok(Received::Closed) | Err(_) => {
                break Err(system(format!("{} has ended without a word", python.display())));
            }
        }
    };
    drop(channel);
    let _ = child.wait();
    result
}
