//! A new program takes over, as after an upgrade: the master executes it in its own process, and
//! hands it everything that it has ([`crate::handover`]).
//!
//! ```text
//!  a reload, or a template is missing,      the new program, run beside, says    no worker is
//!  and another program lies in our place    that it can                          being forked
//!            ───────▶ checking ──────────────────────▶ agreed ─────────────────▶ execve(2)
//!                        │ it cannot, or says nothing                               │ cannot be
//!                        └──────────▶ the reload has failed ◀───────────────────────┘ executed
//! ```
//! execve(2) cannot be undone, so the new program is asked first whether it understands this master and
//! its own configuration. It then makes the reload that was asked for ([`crate::resume`]). Template and
//! workers stay children of this process and go on meanwhile; listeners are never closed. What nobody
//! can do any more between the two programs, the kernel keeps: signals are blocked, connections wait
//! in the control socket, who has ended is a zombie.
//!
//! Should the new program fail before it has taken everything, the channels end with it: the workers
//! finish their requests and leave, and the service manager starts the instance anew.

use std::collections::BTreeMap;
use std::convert::Infallible;
use std::ffi::{CString, OsString};
use std::fs::{File, OpenOptions};
use std::io::{self, Read as _, Seek as _};
use std::os::fd::{AsFd as _, AsRawFd, BorrowedFd, OwnedFd, RawFd};
use std::os::unix::ffi::OsStringExt as _;
use std::time::{Duration, Instant};

use nix::fcntl::{FcntlArg, FdFlag, fcntl};
use nix::spawn::{PosixSpawnAttr, PosixSpawnFileActions, posix_spawn};
use nix::sys::memfd::{MFdFlags, memfd_create};
use nix::sys::signal::{Signal, kill};
use nix::unistd::{Pid, execve};
use rwsgi_core::exit::ExitCode;
use rwsgi_core::log::{self, Event as Said};
use rwsgi_core::scoreboard;
use tokio::sync::mpsc;

use crate::capture::{Capture, Pipe};
use crate::cli::TAKEOVER_CHECK;
use crate::event::{Event, Ticket};
use crate::fifo::Reading;
use crate::handover::{self, Beside, Handover};
use crate::master::{Arrival, Master};
use crate::reap::Exit;
use crate::signals::{self, Signals};

/// How long the new program may take to look at what it would be handed.
const PATIENCE: Duration = Duration::from_secs(10);
/// Of what it says about that, as much is told.
const SAID: u64 = 16 * 1024;

/// A takeover on its way.
#[derive(Debug)]
pub(crate) struct Takeover {
    /// Who waits for the reload that follows.
    tickets: Vec<Ticket>,
    step: Step,
}

#[derive(Debug)]
enum Step {
    Checking(Check),
    Agreed,
}

/// The new program, looking.
#[derive(Debug)]
struct Check {
    pid: i32,
    /// What it says.
    said: File,
    due: Instant,
    /// It has not answered in time and was ended.
    is_ended: bool,
}

/// What others in this process hold, for as long as it is handed over.
struct Lent {
    pipes: Vec<Pipe>,
    fifo: Option<Reading>,
    log: Option<OwnedFd>,
}

/// Until the new program has agreed.
impl Master {
    /// Whether another program lies in the place of this one and takes over first, with a reload;
    /// `ticket` waits for that.
    pub(crate) fn take_over_first(&mut self, ticket: Option<Ticket>) -> bool {
        if let Some(takeover) = &mut self.takeover {
            takeover.tickets.extend(ticket);
            return true;
        }
        let can_reload = self.state.can_reload() && self.pending.is_none();
        if !can_reload || !self.instance.program.is_replaced() {
            return false;
        }
        self.instance.supervisor.reloading("a new program takes over");
        let path = self.instance.program.path().display();
        log::notice(
            Said::Takeover,
            format!("{path} was replaced: it takes over before the reload"),
        )
        .send();
        let checking = self.check();
        self.takeover =
            Some(Takeover { tickets: ticket.into_iter().collect(), step: Step::Agreed });
        match (checking, &mut self.takeover) {
            (Ok(check), Some(takeover)) => takeover.step = Step::Checking(check),
            (Err(why), _) => self.give_up(self.refusal(&why.to_string())),
            (Ok(_), None) => {}
        }
        true
    }

    /// Starts the new program with our command line, to look at what we would hand over now.
    fn check(&self) -> io::Result<Check> {
        let lent = self.lend()?;
        let sealed = self.handover(&lent).and_then(|(handover, _)| handover.seal());
        self.take_back(lent);
        let memory = sealed?;
        let said = File::from(memfd_create(c"rwsgi-takeover-said", MFdFlags::MFD_CLOEXEC)?);
        let null = OpenOptions::new().write(true).open("/dev/null")?;
        let mut streams = PosixSpawnFileActions::init()?;
        for (fd, stream) in [(memory.as_fd(), 0), (null.as_fd(), 1), (said.as_fd(), 2)] {
            streams.add_dup2(fd.as_raw_fd(), stream)?;
        }
        let path = self.instance.program.path();
        let mut arguments = arguments()?;
        let after_name = arguments.len().min(1);
        arguments.insert(after_name, CString::new(TAKEOVER_CHECK)?);
        // As execve(2) will: `Command` would have a shell read what is no program.
        let attributes = PosixSpawnAttr::init()?;
        let pid = posix_spawn(path, &streams, &attributes, &arguments, &environment(None)?)?;
        Ok(Check { pid: pid.as_raw(), said, due: Instant::now() + PATIENCE, is_ended: false })
    }

    /// Whether process `pid`, which has ended, was the new program, looking.
    pub(crate) fn is_checked_by(&mut self, pid: i32, exit: Exit) -> bool {
        let Some(Takeover { step, .. }) = &mut self.takeover else { return false };
        let Step::Checking(check) = step else { return false };
        if check.pid != pid {
            return false;
        }
        let said = check.read();
        let why = match exit {
            Exit::Code(0) => {
                *step = Step::Agreed;
                return true;
            }
            // What is said then is what is wrong with the configuration.
            Exit::Code(code) if code == ExitCode::Config as i32 => said,
            Exit::Signal(Signal::SIGKILL, _) if check.is_ended => {
                self.refusal(&format!("it does not answer within {} s", PATIENCE.as_secs()))
            }
            Exit::Code(_) | Exit::Signal(..) | Exit::Unborn => {
                self.refusal(if said.is_empty() { exit.to_string() } else { said }.as_str())
            }
        };
        self.give_up(why);
        true
    }

    /// When the new program has to have answered.
    pub(crate) fn check_due(&self) -> Option<Instant> {
        self.checking().filter(|check| !check.is_ended).map(|check| check.due)
    }

    pub(crate) fn end_overdue_check(&mut self) {
        if self.check_due().is_some_and(|due| Instant::now() >= due) {
            self.end_check();
        }
    }

    /// There will be no takeover: the instance ends.
    pub(crate) fn end_takeover(&mut self) {
        self.end_check();
        self.give_up(String::new());
    }

    /// Ends the new program, if it is looking.
    fn end_check(&mut self) {
        if let Some(Takeover { step: Step::Checking(check), .. }) = &mut self.takeover {
            check.is_ended = true;
            let _ = kill(Pid::from_raw(check.pid), Signal::SIGKILL);
        }
    }

    fn checking(&self) -> Option<&Check> {
        match &self.takeover {
            Some(Takeover { step: Step::Checking(check), .. }) => Some(check),
            Some(Takeover { step: Step::Agreed, .. }) | None => None,
        }
    }

    fn refusal(&self, why: &str) -> String {
        let path = self.instance.program.path().display();
        format!(
            "{path} was replaced, and the new program cannot take over: {why}\nRestart the instance to run it"
        )
    }

    /// The takeover, and the reload with it, has failed.
    fn give_up(&mut self, why: String) {
        let Some(Takeover { tickets, .. }) = self.takeover.take() else { return };
        let ticket = self.merge(&tickets);
        self.instance.program.refuse();
        if !self.state.is_stopping() {
            self.queue.push_back(Event::BadConfiguration(ticket, why));
        } else if let Some(ticket) = ticket {
            self.answer(ticket, Err("the instance is stopping".into()));
        }
    }
}

impl Check {
    fn read(&mut self) -> String {
        let mut bytes = Vec::new();
        let _ = self.said.rewind();
        let _ = (&mut self.said).take(SAID).read_to_end(&mut bytes);
        String::from_utf8_lossy(&bytes).trim().to_owned()
    }
}

/// The moment itself.
impl Master {
    /// Whether the new program has agreed and nothing is under way that could not be handed over.
    pub(crate) fn may_give_way(&self) -> bool {
        let agreed = matches!(self.takeover, Some(Takeover { step: Step::Agreed, .. }));
        agreed
            && self.state.can_reload()
            && self.outcome.is_none()
            && self.hush.is_none()
            && self.queue.is_empty()
            && self.inquiries.is_empty()
            && self.workers.values().all(|worker| worker.pid.is_some())
    }

    /// Executes the new program, unless something has arrived meanwhile that comes first. Returns only
    /// if there is no new program then.
    pub(crate) async fn give_way(
        &mut self,
        signals: &mut Signals,
        arrived: &mut mpsc::UnboundedReceiver<Arrival>,
    ) {
        // From here on the kernel keeps signals. Those that came before are on their way through
        // the runtime, as are requests on the control socket and answers to them: a few turns.
        let _ = signals::block();
        for _ in 0..4 {
            tokio::task::yield_now().await;
        }
        let mut is_first = false;
        while let Ok(arrival) = arrived.try_recv() {
            self.on_arrival(arrival);
            is_first = true;
        }
        while let Some(meaning) = signals.try_next() {
            self.on_signal(meaning);
            is_first = true;
        }
        if !is_first {
            let Err(error) = self.execute();
            self.give_up(self.refusal(&format!("it cannot be executed: {error}")));
        }
        let _ = signals::unblock();
    }

    fn execute(&self) -> io::Result<Infallible> {
        let lent = self.lend()?;
        let executed = self.execute_with(&lent);
        self.take_back(lent);
        executed
    }

    fn execute_with(&self, lent: &Lent) -> io::Result<Infallible> {
        let (handover, kept) = self.handover(lent)?;
        let memory = handover.seal()?;
        let path = CString::new(self.instance.program.path().as_os_str().to_owned().into_vec())?;
        let (arguments, environment) = (arguments()?, environment(Some(memory.as_raw_fd()))?);
        log::flush();
        let stay_open = |flag: FdFlag| {
            let all = kept.iter().copied().chain([memory.as_fd()]);
            all.map(|fd| fcntl(fd, FcntlArg::F_SETFD(flag))).try_for_each(|done| done.map(drop))
        };
        let failed = match stay_open(FdFlag::empty()) {
            Ok(()) => match execve(&path, &arguments, &environment) {
                Ok(never) => match never {},
                Err(error) => error,
            },
            Err(error) => error,
        };
        let _ = stay_open(FdFlag::FD_CLOEXEC);
        Err(failed.into())
    }

    fn lend(&self) -> io::Result<Lent> {
        let pipes = self.instance.capture.as_ref().map_or(Some(Vec::new()), Capture::lend);
        let pipes = pipes.ok_or_else(|| io::Error::other("what workers write is not read"))?;
        Ok(Lent { pipes, fifo: self.instance.fifos.reading(), log: log::file() })
    }

    fn take_back(&self, lent: Lent) {
        if let Some(capture) = &self.instance.capture {
            capture.read_on(lent.pipes);
        }
    }

    fn beside(&self) -> Beside {
        Beside {
            commands: self.commands.clone(),
            daemons: self.daemons.clone(),
            crontab: self.crontab.clone(),
        }
    }

    /// Everything, and the descriptors in it.
    fn handover<'a>(&'a self, lent: &'a Lent) -> io::Result<(Handover, Vec<BorrowedFd<'a>>)> {
        let instance = &self.instance;
        let mut kept = Vec::new();
        let mut keep = |fd| keep(&mut kept, fd);
        let pid = |pid: Option<i32>| pid.unwrap_or_default();
        let mut handover = Handover {
            format: handover::FORMAT,
            version: rwsgi_core::VERSION.into(),
            layout: scoreboard::LAYOUT,
            descriptors: Vec::new(),
            context: instance.context.clone(),
            config: serde_json::to_value(&instance.config)?,
            python: instance.python.clone(),
            inherited: instance.inherited.parts().map(|(n, fd)| (n.into(), keep(fd))).collect(),
            listeners: instance.listeners.parts().map(|(l, fd)| (l, keep(fd))).collect(),
            stored: instance.store.names().cloned().collect(),
            ledger: instance.ledger.as_ref().map(|ledger| keep(ledger.as_fd())),
            scoreboard: keep(instance.scoreboard.memory()),
            slots: instance.slots,
            commons: Some(keep(instance.commons.memory())),
            schedules: self.schedules.clone(),
            caches: instance.caches.parts().map(|(n, g, fd)| (n.into(), g, keep(fd))).collect(),
            foreign_stores: instance.caches.foreign(),
            pidfile: instance.pidfile.as_ref().map(|pidfile| {
                let (path, file) = pidfile.parts();
                (path.to_owned(), keep(file))
            }),
            log: lent.log.as_ref().map(|fd| keep(fd.as_fd())),
            control: instance.control.as_ref().map(|control| {
                let (path, socket, file) = control.parts();
                (path.to_owned(), keep(socket), keep(file))
            }),
            stats: instance.stats.as_ref().map(|stats| stats.hand_over(&mut keep)),
            tickets: BTreeMap::new(),
            last_ticket: self.last_ticket,
            reload: self.takeover.iter().flat_map(|takeover| takeover.tickets.clone()).collect(),
            fifos: instance.fifos.paths().to_vec(),
            fifo: lent.fifo.as_ref().map(|(slot, fd)| (*slot, keep(fd.as_fd()))),
            outputs: Vec::new(),
            state: self.state.clone(),
            templates: BTreeMap::new(),
            workers: BTreeMap::new(),
            began: handover::clock()?.saturating_sub(self.now()),
            trouble: self.trouble.clone(),
            history: self.history.clone(),
            beside: self.beside(),
            stdin: self.instance.sources.stdin.kept().map(<[u8]>::to_vec),
        };
        for Pipe { source, file, text, .. } in &lent.pipes {
            let (source, pipe, text) = (source.clone(), keep(file.as_fd()), text.clone());
            handover.outputs.push(handover::Output { source, pipe, text });
        }
        for (ticket, waiters) in &self.tickets {
            let connections = waiters.iter().flat_map(|waiter| &waiter.connection);
            let connections = connections.map(|fd| keep(fd.as_fd())).collect();
            handover.tickets.insert(*ticket, connections);
        }
        for (generation, template) in &self.templates {
            let channel = keep(template.channel.get_ref().as_fd());
            let (pid, version) = (template.pid, template.version.clone());
            let template = handover::Template { pid, channel, version, hook: template.hook };
            handover.templates.insert(*generation, template);
        }
        for (key, worker) in &self.workers {
            let channel = keep(worker.channel.get_ref().as_fd());
            let (pid, killed, hook) = (pid(worker.pid), worker.killed, worker.hook);
            handover.workers.insert(*key, handover::Worker { pid, channel, killed, hook });
        }
        handover.descriptors = kept.iter().map(AsRawFd::as_raw_fd).collect();
        Ok((handover, kept))
    }
}

/// Notes a descriptor that is to stay open; its number.
fn keep<'a>(kept: &mut Vec<BorrowedFd<'a>>, fd: BorrowedFd<'a>) -> RawFd {
    kept.push(fd);
    fd.as_raw_fd()
}

/// Those of the start.
fn arguments() -> io::Result<Vec<CString>> {
    std::env::args_os().map(|argument| Ok(CString::new(argument.into_vec())?)).collect()
}

/// Ours, with the news if there are any.
fn environment(memory: Option<RawFd>) -> io::Result<Vec<CString>> {
    let others = std::env::vars_os().filter(|(name, _)| name != handover::VARIABLE);
    let pair = |(name, value): (OsString, OsString)| {
        let bytes = [name.into_vec(), value.into_vec()].join(&b'=');
        Ok(CString::new(bytes)?)
    };
    let news = memory.map(|memory| format!("{}:{memory}", std::process::id()));
    let news = news.map(|news| (handover::VARIABLE.into(), news.into()));
    others.chain(news).map(pair).collect()
}
