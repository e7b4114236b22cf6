//! Passwords of `basicauth` are hashed on a thread of its own: that takes long, on purpose, and whoever
//! sends wrong ones must not keep others waiting.

use std::future::poll_fn;
use std::io;
use std::sync::mpsc::{Receiver, SyncSender, TrySendError, sync_channel};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Poll, Waker};
use std::time::{Duration, Instant};

use rwsgi_core::routing::Doubt;
use rwsgi_core::shortage;

/// So many wait to be told whether their password is right: with bcrypt's usual cost for some seconds.
const MOST: usize = 64;
/// How long one waits for its turn; a worker that is to leave waits for it, too.
const PATIENCE: Duration = Duration::from_secs(5);

/// Who can tell whether passwords are right.
#[derive(Debug, Default)]
pub(crate) struct Porter {
    /// The way to the thread, which begins with the first password.
    cases: Mutex<Option<SyncSender<Case>>>,
}

#[derive(Debug)]
struct Case {
    doubt: Doubt,
    since: Instant,
    verdict: Arc<Verdict>,
}

/// Whether the password is right, or what is wrong with its file; `None`: it was not looked at.
type Told = Option<io::Result<bool>>;

/// What has turned out, and who waits for it.
#[derive(Debug, Default)]
struct Verdict(Mutex<(Option<Told>, Option<Waker>)>);

impl Porter {
    /// Whether the password is right, or what is wrong with its file; `None`: too many others want to know
    /// that.
    ///
    /// # Errors
    /// Those of starting a thread; the next one to ask tries again.
    pub(crate) async fn ask(&self, doubt: Doubt) -> io::Result<Told> {
        let verdict = Arc::new(Verdict::default());
        let case = Case { doubt, since: Instant::now(), verdict: Arc::clone(&verdict) };
        if !self.hand_over(case)? {
            return Ok(None);
        }
        let told = poll_fn(move |cx| {
            let mut state = verdict.state();
            match state.0.take() {
                Some(told) => Poll::Ready(told),
                None => {
                    state.1 = Some(cx.waker().clone());
                    Poll::Pending
                }
            }
        });
        Ok(told.await)
    }

    /// `false`: too many are in front.
    fn hand_over(&self, case: Case) -> io::Result<bool> {
        let mut cases = self.cases.lock().unwrap_or_else(PoisonError::into_inner);
        let way = match cases.take() {
            Some(way) => way,
            None => start()?,
        };
        match cases.insert(way).try_send(case) {
            Ok(()) => Ok(true),
            Err(TrySendError::Full(_)) => Ok(false),
            Err(TrySendError::Disconnected(_)) => {
                *cases = None;
                Err(io::Error::other("the thread that hashes passwords has ended"))
            }
        }
    }
}

impl Verdict {
    fn state(&self) -> MutexGuard<'_, (Option<Told>, Option<Waker>)> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn start() -> io::Result<SyncSender<Case>> {
    let (cases, asked) = sync_channel(MOST);
    let builder = std::thread::Builder::new().name("rwsgi-passwords".into()).stack_size(256 * 1024);
    builder.spawn(move || settle(&asked)).map_err(|error| {
        let why = shortage::explain(&error);
        io::Error::new(error.kind(), format!("no thread can be started to hash passwords: {why}"))
    })?;
    Ok(cases)
}

fn settle(asked: &Receiver<Case>) {
    while let Ok(Case { doubt, since, verdict }) = asked.recv() {
        // Who has hung up wants to know nothing.
        if Arc::strong_count(&verdict) == 1 {
            continue;
        }
        let told = (since.elapsed() < PATIENCE).then(|| doubt.settle());
        let waker = {
            let mut state = verdict.state();
            state.0 = Some(told);
            state.1.take()
        };
        if let Some(waker) = waker {
            waker.wake();
        }
    }
}
