//! Who does the work in a worker; knows neither HTTP nor Python.
//!
//! - [`Source`]: one descriptor and whether it is ready;
//! - [`Reactor`]: epoll(7), and the tasks that are ready to run;
//! - [`Crew`]: the threads. One of them *leads*: it waits for events, polls the tasks, and runs the
//!   jobs that they submit (calls of the application) itself, without handing anything to anybody.
//!   The others stand by. Only when a job turns out to be long or blocking does the lead pass on;
//! - [`Ladder`]: what happens to a job that goes on for too long, and when.
//!
//! Why not tokio here: a runtime of tokio that is inside a task cannot be taken over by another
//! thread, so that one long call would stop every connection of the worker, and a hand-off for each
//! request costs more than the request (`docs/performance.md`).

mod ages;
mod crew;
mod doors;
mod hopeless;
mod ladder;
mod lead;
mod moment;
mod pace;
mod queue;
mod reactor;
mod respond;
mod source;
mod submit;

pub use crew::{Crew, Duty, Hands};
pub use ladder::{Job, LOOK, Ladder, Reached};
pub use lead::Id;
pub use moment::Moment;
pub use pace::sooner;
pub use queue::Bounds;
pub use reactor::{Found, Reactor, Token, yield_now};
pub use source::{Direction, Source};
