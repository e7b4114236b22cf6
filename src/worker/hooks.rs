//! Hooks of the INI file in the processes of the application: around its import, and in each worker
//! before it serves. No command keeps Python waiting, or the end of the master from being seen.

use std::os::fd::AsFd as _;
use std::process::Command;

use nix::poll::{PollFd, PollFlags};
use pyo3::prelude::*;
use rwsgi_core::config::hooks::{Hook, Stage};
use rwsgi_core::config::{Config, Hooks};
use rwsgi_core::hooks::{self, Host, Surroundings};
use rwsgi_core::ipc::{Channel, Failure, FromTemplate, FromWorker};

use crate::wsgi::application;

/// Those of the start that the master has run before there was a template.
const EARLIER: [Stage; 4] = [Stage::Asap, Stage::PreJail, Stage::InJail, Stage::AsRoot];

/// This process. It has the environment of the application, and writes where that writes.
#[derive(Clone, Copy)]
pub(crate) struct Here<'py, 'a> {
    py: Python<'py>,
    channel: &'a Channel,
    is_worker: bool,
}

impl<'py, 'a> Here<'py, 'a> {
    pub(crate) fn template(py: Python<'py>, channel: &'a Channel) -> Self {
        Self { py, channel, is_worker: false }
    }

    pub(crate) fn worker(py: Python<'py>, channel: &'a Channel) -> Self {
        Self { py, channel, is_worker: true }
    }
}

impl Host for Here<'_, '_> {
    fn equip(&self, _: &Hook, _: &mut Command) {}

    fn ended(&self, _: &Hook) {}

    /// Whoever is killed meanwhile cannot end it: the master does.
    fn runs(&self, group: Option<i32>) {
        let _ = if self.is_worker {
            self.channel.send(&FromWorker::Hook { group }, &[])
        } else {
            self.channel.send(&FromTemplate::Hook { group }, &[])
        };
    }

    fn farewell(&self) -> Option<PollFd<'_>> {
        // Nothing but its end: what it says is for later.
        Some(PollFd::new(self.channel.as_fd(), PollFlags::empty()))
    }

    fn meanwhile(&self) {}

    fn aside(&self, wait: &mut (dyn FnMut() + Send)) {
        self.py.detach(wait);
    }
}

/// Goes to the directory of the application, and does what has its turn before that is imported. What
/// hooks of the start have left is so here, too; at a reload those run here that run again.
pub(crate) fn before_import(
    here: Here<'_, '_>,
    config: &Config,
    is_reload: bool,
) -> Result<(), Failure> {
    let hooks = &config.hooks;
    for stage in EARLIER {
        if is_reload && matches!(stage, Stage::Asap | Stage::InJail) {
            run(here, hooks, &[stage])?;
        } else {
            let earlier = hooks.of(stage);
            leave(here.py, |it| earlier.for_each(|hook| it.obey(&hook.action)))?;
        }
    }
    application::enter(here.py, &config.application)?;
    run(here, hooks, &[Stage::AsUser, Stage::PreApp])
}

/// Does what has its turn after the import, or, with `lazy-apps`, before the workers' own ones.
pub(crate) fn after_import(
    here: Here<'_, '_>,
    config: &Config,
    is_again: bool,
) -> Result<(), Failure> {
    if !config.lazy_apps {
        run(here, &config.hooks, &[Stage::PostApp])?;
    }
    if is_again { Ok(()) } else { run(here, &config.hooks, &[Stage::MasterStart]) }
}

/// Runs the hooks of `stages`, one after the other.
pub(crate) fn run(here: Here<'_, '_>, hooks: &Hooks, stages: &[Stage]) -> Result<(), Failure> {
    for stage in stages {
        for hook in hooks.of(*stage) {
            let done = leave(here.py, |it| hooks::run(hook, it, hooks.timeout, &here))?;
            done.map_err(Failure::plain)?;
        }
    }
    Ok(())
}

/// Makes what hooks have left so in this process, for Python as well.
fn leave<R>(py: Python<'_>, act: impl FnOnce(&mut Surroundings) -> R) -> Result<R, Failure> {
    let mut surroundings = Surroundings::default();
    let answer = act(&mut surroundings);
    let done = || -> PyResult<()> {
        let os = py.import("os")?;
        if let Some(directory) = &surroundings.directory {
            os.call_method1("chdir", (directory.as_os_str(),))?;
        }
        let environ = os.getattr("environ")?;
        let mut variables = surroundings.variables.iter();
        variables.try_for_each(|(name, value)| environ.set_item(name, value))
    };
    done()
        .map(|()| answer)
        .map_err(|error| Failure::plain(format!("what hooks have changed is not so: {error}")))
}
