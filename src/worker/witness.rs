//! Which modules the application imports, for `py-autoreload`.

use std::ffi::CString;
use std::os::fd::AsFd as _;

use pyo3::prelude::*;
use pyo3::types::{PyCFunction, PyTuple};
use rwsgi_core::config::{Config, Target};
use rwsgi_core::ipc::{Channel, FromTemplate, FromWorker};

/// A finder of modules before all others, which finds what they find.
const FINDER: &str = include_str!("witness.py");

/// Who sees each import.
pub(crate) struct Witness(Py<PyAny>);

impl Witness {
    /// Sees all imports from now on, if they are to be seen, and tells the master by a template's
    /// channel.
    pub(crate) fn install(
        py: Python<'_>,
        config: &Config,
        channel: &Channel,
    ) -> PyResult<Option<Self>> {
        if config.reloading.autoreload.is_none() {
            return Ok(None);
        }
        let tell = teller(py, channel, |channel, file| {
            drop(channel.send(&FromTemplate::Module { file }, &[]));
        })?;
        let chdir = config.application.chdir.clone().unwrap_or_default();
        for target in config.application.targets() {
            if let Target::File { path, .. } = target {
                tell.call1((std::path::absolute(chdir.join(path))?.to_string_lossy(),))?;
            }
        }
        let code = CString::new(FINDER)?;
        let module = PyModule::from_code(py, &code, c"<rwsgi>", c"_rwsgi_witness")?;
        let witness = module.getattr("Witness")?.call1((tell,))?;
        py.import("sys")?.getattr("meta_path")?.call_method1("insert", (0, &witness))?;
        Ok(Some(Self(witness.unbind())))
    }

    /// The same by a worker's channel, in a fork of the template.
    pub(crate) fn move_to(&self, py: Python<'_>, channel: &Channel) -> PyResult<()> {
        let tell = teller(py, channel, |channel, file| {
            drop(channel.send(&FromWorker::Module { file }, &[]));
        })?;
        self.0.bind(py).setattr("tell", tell)
    }
}

fn teller<'py>(
    py: Python<'py>,
    channel: &Channel,
    tell: fn(&Channel, String),
) -> PyResult<Bound<'py, PyCFunction>> {
    let channel = Channel::from_fd(channel.as_fd().try_clone_to_owned()?);
    PyCFunction::new_closure(py, Some(c"tell"), None, move |args: &Bound<'_, PyTuple>, _| {
        // Who does not take it is gone, or so busy that a change may be missed.
        tell(&channel, args.get_item(0)?.extract()?);
        PyResult::Ok(())
    })
}
