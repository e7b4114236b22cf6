//! What each signal to the master means.

use std::future::poll_fn;
use std::io;
use std::task::{Context, Poll, Waker};

use nix::libc;
use nix::sys::signal::{SigSet, Signal as Number};
use tokio::signal::unix::{Signal, SignalKind, signal};

/// What a signal asks for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Meaning {
    /// Finish what is there and leave; a second time: leave.
    Stop,
    /// Leave.
    StopNow,
    /// Load configuration and application anew.
    Reload,
    /// Start new processes of the same code (only from the FIFO).
    ReloadWorkers,
    /// One worker more (only from the FIFO).
    Grow,
    /// One worker less (only from the FIFO).
    Shrink,
    /// Open the log file anew, after it was rotated.
    ReopenLog,
    /// Let nothing new reach the application, or let it again.
    TogglePause,
    /// Log the state.
    LogStatus,
    /// A child has ended.
    Reap,
}

/// Every signal that the master handles.
pub const SIGNALS: [(libc::c_int, Meaning); 8] = [
    (libc::SIGTERM, Meaning::Stop),
    (libc::SIGINT, Meaning::Stop),
    (libc::SIGQUIT, Meaning::StopNow),
    (libc::SIGHUP, Meaning::Reload),
    (libc::SIGUSR1, Meaning::ReopenLog),
    (libc::SIGUSR2, Meaning::LogStatus),
    (libc::SIGTSTP, Meaning::TogglePause),
    (libc::SIGCHLD, Meaning::Reap),
];

/// The streams of them all.
pub struct Signals {
    streams: Vec<(Signal, Meaning)>,
}

impl Signals {
    /// Installs the handlers.
    ///
    /// # Errors
    /// Those of sigaction(2).
    pub fn new() -> io::Result<Self> {
        let open = |(number, meaning)| {
            signal(SignalKind::from_raw(number)).map(|stream| (stream, meaning))
        };
        Ok(Self { streams: SIGNALS.into_iter().map(open).collect::<io::Result<_>>()? })
    }

    /// One that has been seen already, if there is one.
    pub fn try_next(&mut self) -> Option<Meaning> {
        let mut cx = Context::from_waker(Waker::noop());
        let mut streams = self.streams.iter_mut();
        streams
            .find_map(|(stream, meaning)| stream.poll_recv(&mut cx).is_ready().then_some(*meaning))
    }

    /// Waits for the next one.
    pub async fn next(&mut self) -> Meaning {
        poll_fn(|cx| {
            for (stream, meaning) in &mut self.streams {
                if stream.poll_recv(cx).is_ready() {
                    return Poll::Ready(*meaning);
                }
            }
            Poll::Pending
        })
        .await
    }
}

/// Has the kernel keep, until [`unblock`], those that are orders to an instance that runs: until there
/// are handlers, each would end this process. Those that are to end it do so.
pub fn hold() {
    let mut orders = all();
    [Number::SIGTERM, Number::SIGINT, Number::SIGQUIT, Number::SIGCHLD]
        .into_iter()
        .for_each(|number| orders.remove(number));
    let _ = orders.thread_block();
}

/// Has the kernel keep all of them until [`unblock`]: what comes while one program gives way to the
/// next in this process is the next one's.
///
/// # Errors
/// Those of pthread_sigmask(3).
pub fn block() -> io::Result<()> {
    Ok(all().thread_block()?)
}

/// Lets them come again, those that were kept among them.
///
/// # Errors
/// Those of pthread_sigmask(3).
pub fn unblock() -> io::Result<()> {
    Ok(all().thread_unblock()?)
}

/// For each thread beside the first: a signal that it took would be lost to a program that takes over.
pub fn block_all() {
    let _ = SigSet::all().thread_block();
}

fn all() -> SigSet {
    SIGNALS.iter().filter_map(|(number, _)| Number::try_from(*number).ok()).collect()
}
