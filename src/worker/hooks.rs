//! Hooks of the INI file in the processes of the application: around its import, and in each worker
//! before it serves. No command keeps Python waiting, or the end of the master from being seen.

use std::os::fd::{AsFd as _, BorrowedFd};
use std::process::Command;

use pyo3::prelude::*;
use rwsgi_core::config::hooks::{Hook, Stage};
use rwsgi_core::config::{Config, Hooks};
use rwsgi_core::hooks::{self, Host, Surroundings};
use rwsgi_core::ipc::{Channel, Failure};

use crate::wsgi::application;

/// Those of the start that the master has run before there was a template.
const EARLIER: [Stage; 4] = [Stage::Asap, Stage::PreJail, Stage::InJail, Stage::AsRoot];

/// This process. It has the environment of the application, and writes where that writes.
struct Here<'py, 'a> {
    py: Python<'py>,
    channel: &'a Channel,
}

impl Host for Here<'_, '_> {
    fn equip(&self, _: &Hook, _: &mut Command) {}

    fn ended(&self, _: &Hook) {}

    fn master(&self) -> Option<BorrowedFd<'_>> {
        Some(self.channel.as_fd())
    }

    fn meanwhile(&self) {}

    fn aside(&self, wait: &mut (dyn FnMut() + Send)) {
        self.py.detach(wait);
    }
}

/// Goes to the directory of the application, and does what has its turn before that is imported. What
/// hooks of the start have left is so here, too; at a reload those run here that run again.
pub(crate) fn before_import(
    py: Python<'_>,
    config: &Config,
    channel: &Channel,
    is_reload: bool,
) -> Result<(), Failure> {
    let hooks = &config.hooks;
    for stage in EARLIER {
        if is_reload && matches!(stage, Stage::Asap | Stage::InJail) {
            run(py, hooks, &[stage], channel)?;
        } else {
            let earlier = hooks.of(stage);
            leave(py, |it| earlier.for_each(|hook| it.obey(&hook.action)))?;
        }
    }
    application::enter(py, &config.application)?;
    run(py, hooks, &[Stage::AsUser, Stage::PreApp], channel)
}

/// Does what has its turn after the import, or, with `lazy-apps`, before the workers' own ones.
pub(crate) fn after_import(
    py: Python<'_>,
    config: &Config,
    channel: &Channel,
    is_again: bool,
) -> Result<(), Failure> {
    if !config.lazy_apps {
        run(py, &config.hooks, &[Stage::PostApp], channel)?;
    }
    if is_again { Ok(()) } else { run(py, &config.hooks, &[Stage::MasterStart], channel) }
}

/// Runs the hooks of `stages`, one after the other.
pub(crate) fn run(
    py: Python<'_>,
    hooks: &Hooks,
    stages: &[Stage],
    channel: &Channel,
) -> Result<(), Failure> {
    let here = Here { py, channel };
    for stage in stages {
        for hook in hooks.of(*stage) {
            let done = leave(py, |it| hooks::run(hook, it, hooks.timeout, &here))?;
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
