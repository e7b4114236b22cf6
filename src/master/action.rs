//! What the state machine wants done. `master.rs` does it.

use std::time::Duration;

use rwsgi_core::ipc::Failure;

use crate::event::{Generation, Key, Ticket};
use crate::reap::Exit;

/// One thing to do.
#[derive(Debug, Clone, PartialEq)]
pub enum Action {
    /// Start a template.
    StartTemplate(Generation),
    /// Tell a template to exit.
    LeaveTemplate(Generation),
    /// Ask a template for a worker.
    Fork {
        /// The template.
        generation: Generation,
        /// The worker to be.
        key: Key,
        /// Its number, 1 or more.
        number: u32,
        /// Its slot of the scoreboard.
        slot: usize,
    },
    /// Tell a worker to finish and leave.
    Drain {
        /// The worker.
        key: Key,
        /// For idle connections.
        linger: Duration,
    },
    /// SIGKILL.
    Kill(Key),
    /// Forget a worker: it is gone and was reaped.
    Forget(Key),
    /// The new generation serves: what was prepared for it is the instance's now.
    Commit,
    /// The new generation has failed: what was prepared for it is closed.
    Discard,
    /// Nothing new may reach the application: a pause of this number.
    Pause(u64),
    /// It may again.
    Resume,
    /// It never will: answer what is held.
    Refuse,
    /// Answer who asked for a reload or a pause.
    Answer(Ticket, Result<String, String>),
    /// Tell the log, systemd and who started us.
    Tell(News),
    /// Nobody serves, and whoever should keeps failing: leave the loop, if there is somebody to start
    /// us again.
    GiveUp(Failure),
    /// Leave the loop.
    Exit(Outcome),
}

/// What is told.
#[derive(Debug, Clone, PartialEq)]
pub enum News {
    /// All first workers serve.
    Ready,
    /// A worker serves.
    WorkerReady(Key),
    /// A worker leaves that nobody here has told to.
    WorkerLeaves(Key),
    /// A worker ended as it should.
    WorkerLeft(Key, Exit),
    /// A worker ended as it should not; the next attempt follows after this time.
    WorkerDied(Key, Exit, Duration),
    /// A worker is being replaced; why, in words.
    Replacing(Key, String),
    /// The successor of a worker that serves on has failed, in these words; the next attempt follows
    /// after this time.
    ReplacementFailed(Key, String, Duration),
    /// Another number of workers is wanted: how many were, how many are, and why, in words.
    Resized(u32, u32, String),
    /// The worker of this number keeps dying.
    CrashLoop(u32),
    /// A template is gone and will be started again after this time.
    TemplateDied(Failure, Duration),
    /// A reload begins.
    Reloading(Generation),
    /// A reload was asked for while it was not possible: it follows. One is going on for this long.
    ReloadPostponed(Option<Duration>),
    /// A reload is complete.
    Reloaded,
    /// A reload has failed; what served serves on.
    ReloadFailed(Failure),
    /// A pause begins.
    Paused,
    /// It is over, after this time.
    Resumed(Duration),
    /// All workers, so many, are replaced one after the other.
    RoundBegins(usize),
    /// That is done, or has failed; in words.
    RoundEnds(Result<String, String>),
    /// The instance stops.
    Stopping,
    /// A worker did not leave in time and is killed.
    NoMercy(Key),
    /// Something else went wrong.
    Trouble(Failure),
}

/// How the master ends.
#[derive(Debug, Clone, PartialEq)]
pub enum Outcome {
    /// As asked.
    Stopped,
    /// It never came to serve.
    FailedStart(Failure),
    /// It has served, and cannot any more.
    GaveUp(Failure),
}
