//! What can happen to the master. Signals, messages, exits and time all become one of these; none of
//! them carries policy.

use rwsgi_core::ipc::Failure;

use crate::pause::Until;
use crate::reap::Exit;

/// A generation: one template and the workers it forked. Counts from 1, never repeats.
pub type Generation = u64;

/// A worker process that was asked for. Never repeats, unlike its number.
pub type Key = u64;

/// Who asked for a reload, to be answered when it is done.
pub type Ticket = u64;

/// One thing that happened.
#[derive(Debug, Clone, PartialEq)]
pub enum Event {
    /// A template has the application.
    Imported(Generation),
    /// A template cannot import the application, or cannot run.
    TemplateFailed(Generation, Failure),
    /// A template's process is gone; how, in words.
    TemplateGone(Generation, String),
    /// A worker could not be forked.
    ForkFailed(Key, String),
    /// A worker serves.
    WorkerReady(Key),
    /// A worker cannot serve.
    WorkerFailed(Key, Failure),
    /// A worker drains by itself.
    WorkerDraining(Key),
    /// A worker is to be replaced; why, in words.
    Retire(Key, String),
    /// A worker is gone.
    WorkerExited(Key, Exit),
    /// So many workers are wanted from now on, none to save what they use; why, in words.
    Want(u32, String),
    /// An administrator wants so many workers, 1 or more (`rwsgi scale`).
    Scale(u32, Ticket),
    /// SIGHUP, or `rwsgi reload`. The configuration of the new generation has been read.
    Reload(Option<Ticket>),
    /// `rwsgi reload --workers`: every worker is to be replaced by a new one of the same code.
    ReloadWorkers(Option<Ticket>),
    /// A reload was asked for, but its configuration is wrong.
    BadConfiguration(Option<Ticket>, String),
    /// Nothing new is to reach the application; who has asked for it, and waits until when.
    Pause(Option<(Ticket, Until)>),
    /// It may again.
    Resume(Option<Ticket>),
    /// A worker obeys the pause of this number, and still runs this many requests.
    WorkerPaused(Key, u64, u64),
    /// SIGTERM, SIGINT, or `rwsgi stop`: finish what is there. Again: do not.
    Stop,
    /// SIGQUIT: at once.
    StopNow,
    /// A deadline has come.
    Tick,
}
