//! One Python thread of a worker.

use std::sync::Arc;

use pyo3::exceptions::PyRuntimeError;
use pyo3::prelude::*;
use rwsgi_reactor::Hands;

use crate::ffi;
use crate::request::{self, Call, Content};
use crate::worker::Worker;
use crate::wsgi::application::Callables;
use crate::wsgi::body::Failure;
use crate::wsgi::environ::Environ;
use crate::wsgi::input::Input;
use crate::wsgi::start_response::StartResponse;

/// What a Python thread needs to run requests. It holds the GIL for as long as it has work.
pub(crate) struct Hand<'py> {
    pub(crate) py: Python<'py>,
    /// Its number in the crew, 1 or more.
    pub(crate) id: u16,
    pub(crate) worker: &'static Worker,
    /// Of [`Callables`], the one at the root, and all.
    application: Bound<'py, PyAny>,
    applications: Vec<Bound<'py, PyAny>>,
    environ: Environ<'py>,
}

impl<'py> Hand<'py> {
    pub(crate) fn new(
        py: Python<'py>,
        id: u16,
        worker: &'static Worker,
        applications: &Callables,
    ) -> PyResult<Self> {
        worker.desks.occupy(py, id)?;
        let applications: Vec<_> = applications.iter().map(|one| one.bind(py).clone()).collect();
        let none = || PyRuntimeError::new_err("there is no application");
        Ok(Self {
            py,
            id,
            worker,
            application: applications.first().ok_or_else(none)?.clone(),
            applications,
            environ: Environ::new(py, worker)?,
        })
    }

    /// Serves until the worker stops.
    pub(crate) fn serve(&mut self) {
        let worker = self.worker;
        worker.crew().serve(self.id, self);
    }

    /// Makes the environ and calls the application.
    pub(crate) fn call_application(&mut self, call: &Call) -> Result<Bound<'py, PyAny>, Failure> {
        let input = match call.content {
            Content::None => None,
            Content::Exchange(_) | Content::File(_) => {
                Some(Bound::new(self.py, Input::new(self.worker, self.id, call))?)
            }
        };
        let environ = self.environ.build(call, input)?;
        let mut application = &self.application;
        if let Some(place) = self.worker.mounts.find(&call.request) {
            application = self.applications.get(place.mounted.index).unwrap_or(application);
            self.environ.mount(call, place, &environ)?;
        }
        if let Some(changes) = &call.request.changes {
            self.environ.change(changes, &environ)?;
        }
        let start_response = Bound::new(self.py, StartResponse::new(Arc::clone(&call.reply)))?;
        Ok(ffi::call2(application, environ.as_any(), start_response.as_any())?)
    }
}

impl Hands<Call> for Hand<'_> {
    fn run(&mut self, call: Call) {
        request::run(self, call);
    }

    fn wait(&mut self, wait: &mut (dyn FnMut() + Send)) {
        self.py.detach(wait);
    }
}

/// What a Python thread is started with: `threading.Thread(target=HandMain)`.
#[pyclass(frozen)]
pub(crate) struct HandMain {
    pub(crate) id: u16,
    pub(crate) worker: &'static Worker,
    pub(crate) applications: Callables,
}

#[pymethods]
impl HandMain {
    fn __call__(&self, py: Python<'_>) -> PyResult<()> {
        Hand::new(py, self.id, self.worker, &self.applications)?.serve();
        Ok(())
    }
}
