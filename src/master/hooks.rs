//! Hooks that the master runs: before it listens, when a file is touched, and after all has ended. At the
//! start and at the end it has nothing else to do, and waits for them; in between they are commands like
//! all others ([`crate::command`]). The rest is for the template and the workers.

use std::os::fd::AsFd as _;
use std::path::Path;
use std::process::Command;

use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::signal::{SigSet, Signal};
use nix::sys::signalfd::{SfdFlags, SignalFd};
use nix::unistd::geteuid;
use rwsgi_core::config::Config;
use rwsgi_core::config::action::Action;
use rwsgi_core::config::hooks::{Hook, Stage};
use rwsgi_core::hooks::{self, Host, Surroundings};
use rwsgi_core::log::{self, Event as Said};

use crate::capture::{Capture, Source};
use crate::command::{Ended, Order, Owner};
use crate::master::{EXTEND_BY, Master};
use crate::notify::Supervisor;
use crate::{privileges, spawn};

/// What has its turn before the first socket is open.
const FIRST: [Stage; 4] = [Stage::Asap, Stage::PreJail, Stage::InJail, Stage::AsRoot];
const NOT_ROOT: &str = "does not run: rwsgi was not started as root";
/// What to do where nobody may be root.
pub const WITHOUT_ROOT: &str = "write `ExecStartPre=+COMMAND` in a drop-in of the service (`systemctl edit`): systemd \
                                runs that as root";

/// The master while it has nothing else to do.
struct Idle<'a> {
    config: &'a Config,
    supervisor: &'a Supervisor,
    capture: Option<&'a Capture>,
    orders: Option<Orders>,
}

impl Host for Idle<'_> {
    fn equip(&self, hook: &Hook, command: &mut Command) {
        spawn::set_environment(command, &self.config.application);
        // Root looks for programs where another user may put some (`virtualenv`) only if it is told so.
        let application = &self.config.application;
        let mut said = application.env.iter().map(|(name, _)| name).chain(&application.unset);
        let is_another = self.config.process.uid.is_some_and(|uid| uid != 0);
        if geteuid().is_root() && is_another && !said.any(|name| name == "PATH") {
            match std::env::var_os("PATH") {
                Some(path) => command.env("PATH", path),
                None => command.env_remove("PATH"),
            };
        }
        let source = Source::Command(hook.option.clone());
        let pipe = self.capture.and_then(|capture| capture.pipe(source).ok());
        if let Some((output, errors)) = pipe.and_then(|pipe| Some((pipe.try_clone().ok()?, pipe))) {
            command.stdout(output).stderr(errors);
        }
    }

    fn ended(&self, _: &Hook) {
        if let Some(capture) = self.capture {
            capture.finish();
        }
    }

    fn runs(&self, _: Option<i32>) {}

    fn farewell(&self) -> Option<PollFd<'_>> {
        self.orders.as_ref().map(|orders| PollFd::new(orders.fd.as_fd(), PollFlags::POLLIN))
    }

    fn meanwhile(&self) {
        self.supervisor.extend(EXTEND_BY);
    }

    fn aside(&self, wait: &mut (dyn FnMut() + Send)) {
        wait();
    }
}

/// Signals that end a hook, and wait for it to have ended: what they do, they do after it.
struct Orders {
    set: SigSet,
    fd: SignalFd,
}

impl Orders {
    fn hold() -> Option<Self> {
        let set: SigSet = [Signal::SIGTERM, Signal::SIGINT, Signal::SIGQUIT].into_iter().collect();
        let fd = SignalFd::with_flags(&set, SfdFlags::SFD_CLOEXEC).ok()?;
        set.thread_block().ok()?;
        Some(Self { set, fd })
    }
}

impl Drop for Orders {
    fn drop(&mut self) {
        // Before there are handlers, one that waits is the end of this process.
        log::flush();
        let _ = self.set.thread_unblock();
    }
}

impl<'a> Idle<'a> {
    /// Whether rwsgi was told to end.
    fn is_to_end(&self) -> bool {
        let mut fds: Vec<_> = self.farewell().into_iter().collect();
        !fds.is_empty() && poll(&mut fds, PollTimeout::ZERO).is_ok_and(|ready| ready > 0)
    }

    fn new(config: &'a Config, supervisor: &'a Supervisor, capture: Option<&'a Capture>) -> Self {
        let is_needed = |stage| config.hooks.of(stage).next().is_some();
        let orders = [FIRST.as_slice(), &[Stage::AtExit]].concat().into_iter().any(is_needed);
        Self { config, supervisor, capture, orders: orders.then(Orders::hold).flatten() }
    }
}

/// Refuses what is to be done by root where nobody ever is.
///
/// # Errors
/// A sentence that says what to do.
pub fn refuse_root_in_a_service(config: &Config) -> Result<(), String> {
    let hook = config.hooks.of(Stage::AsRoot).next();
    match hook.filter(|_| privileges::is_service() && !geteuid().is_root()) {
        Some(hook) => Err(format!("{}; {WITHOUT_ROOT}", hooks::sentence(hook, NOT_ROOT))),
        None => Ok(()),
    }
}

/// Runs those that have their turn before the first socket is open.
///
/// # Errors
/// A sentence: one has failed.
pub fn run_first(
    config: &Config,
    supervisor: &Supervisor,
    capture: Option<&Capture>,
) -> Result<(), String> {
    let is_root = geteuid().is_root();
    let idle = Idle::new(config, supervisor, capture);
    let mut surroundings = Surroundings::default();
    for stage in FIRST {
        for hook in config.hooks.of(stage) {
            if stage == Stage::AsRoot && !is_root {
                let told = hooks::sentence(hook, NOT_ROOT);
                log::warning(Said::ConfigWarning, told).send();
            } else if idle.is_to_end() {
                let told = hooks::sentence(hook, "does not run: rwsgi ends");
                log::notice(Said::Stopped, &*told).send();
                return Err(told);
            } else {
                hooks::run(hook, &mut surroundings, config.hooks.timeout, &idle)?;
            }
        }
    }
    Ok(())
}

/// Where a command of the application is, unless it says otherwise.
fn surroundings(config: &Config) -> Surroundings {
    Surroundings { directory: config.application.chdir.clone(), variables: Vec::new() }
}

impl Master {
    /// Runs those of the end, when nobody serves any more and the loop is over.
    pub(crate) fn run_last_hooks(&self) {
        let config = &self.instance.config;
        let (supervisor, capture) = (&self.instance.supervisor, self.instance.capture.as_ref());
        let idle = Idle::new(config, supervisor, capture);
        let mut surroundings = surroundings(config);
        for hook in config.hooks.of(Stage::AtExit) {
            // It has been told, and what follows runs all the same.
            let _ = hooks::run(hook, &mut surroundings, config.hooks.timeout, &idle);
        }
    }

    /// A file was touched that has a hook.
    pub(crate) fn run_touch_hook(&mut self, at: usize, path: &Path) {
        let hook = self.instance.config.hooks.touch.get(at).filter(|(watched, _)| watched == path);
        let Some((_, hook)) = hook.cloned() else { return };
        for owner in self.commands.owners() {
            if let Owner::Touch { hook: running, is_again } = owner
                && **running == hook
            {
                *is_again = true;
                return;
            }
        }
        hooks::announce(&hook);
        let failed = match &hook.action {
            Action::Exec { command, .. } => self.start_touch_hook(&hook, command),
            action => hooks::perform(action, &mut surroundings(&self.instance.config)),
        };
        if let Err(why) = failed {
            hooks::failure(&hook, &hooks::sentence(&hook, &why)).send();
        }
    }

    fn start_touch_hook(&mut self, hook: &Hook, line: &str) -> Result<(), String> {
        let order =
            Order { name: &hook.option, line, directory: None, user: (None, None), bound: true };
        let until = self.instance.config.hooks.timeout.map(|timeout| self.now() + timeout);
        let owner = Owner::Touch { hook: Box::new(hook.clone()), is_again: false };
        self.start_command(order, owner, until).map(drop)
    }

    /// Its command has ended. Once more, if the file was touched meanwhile.
    pub(crate) fn touch_hook_ended(&mut self, ended: Ended) {
        let well = ended.is_well();
        let how = ended.describe();
        let Owner::Touch { hook, is_again } = ended.running.owner else { return };
        if !well {
            let entry = hooks::failure(&hook, &hooks::sentence(&hook, &how));
            self.say_of_command(&hook.option, entry);
        }
        let mut all = self.instance.config.hooks.touch.iter().enumerate();
        let same = all.find(|(_, (_, other))| *other == *hook);
        if let Some((at, (path, _))) = same.filter(|_| is_again && !self.state.is_stopping()) {
            let path = path.clone();
            self.run_touch_hook(at, &path);
        }
    }
}
