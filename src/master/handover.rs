//! What a master hands to the program that takes its place in the same process: everything that it
//! knows, and the numbers of the descriptors that it leaves open.
//!
//! It is a JSON text in a sealed memfd, whose number is in [`VARIABLE`]. The rules that keep an older
//! master and a newer program (or, after a downgrade, the reverse) on speaking terms:
//!
//! - What is added has `#[serde(default)]`; what is not known is ignored; nothing changes its meaning.
//!   That goes for [`Handover`] and for all that is in it, [`State`] above all. `handover_tests.rs` reads
//!   what earlier versions have written.
//! - What cannot be done so is a new [`FORMAT`]: the new program refuses the old one, the old master
//!   serves on, and the administrator is told that a restart is needed. The same goes for another
//!   layout of the scoreboard, in which workers of the old version write on.
//! - The configuration is the exception: when it is not understood, the one in the files counts.
//! - Messages to and from processes of the other version: see [`rwsgi_core::ipc`].

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{self, Read as _, Seek as _, Write as _};
use std::os::fd::{OwnedFd, RawFd};
use std::path::{Path, PathBuf};
use std::time::Duration;

use nix::fcntl::{FcntlArg, SealFlag, fcntl};
use nix::sys::memfd::{MFdFlags, memfd_create};
use nix::time::ClockId;
use rwsgi_core::cache::Geometry;
use rwsgi_core::config::{Context, Listen};
use rwsgi_core::{scoreboard, sys};
use serde::{Deserialize, Serialize};

use crate::capture::Source;
use crate::command::Commands;
use crate::crontab::Crontab;
use crate::daemons::Daemons;
use crate::event::{Generation, Key, Ticket};
use crate::history::History;
use crate::listeners::Kept;
use crate::schedule::Schedules;
use crate::state::State;
use crate::unix_socket::FileId;

/// The variable that names the process and the descriptor: `PID:FD`. Who inherits it has another pid.
pub const VARIABLE: &str = "RWSGI_TAKEOVER";

/// The version of what is written here; see the rules above.
pub const FORMAT: u32 = 1;

const NAME: &str = "rwsgi-takeover";

/// Everything.
#[derive(Debug, PartialEq, Serialize, Deserialize)]
pub struct Handover {
    /// [`FORMAT`].
    pub format: u32,
    /// The version of who hands over.
    pub version: String,
    /// [`scoreboard::LAYOUT`].
    pub layout: u32,
    /// All descriptors that are left open, those below among them.
    pub descriptors: Vec<RawFd>,
    /// What the configuration is seen from.
    pub context: Context,
    /// The configuration that serves.
    pub config: serde_json::Value,
    /// The interpreter of the generation that serves.
    pub python: PathBuf,
    /// Sockets of systemd, by name.
    pub inherited: Vec<(String, RawFd)>,
    /// The listeners.
    pub listeners: Vec<(Kept, RawFd)>,
    /// What systemd keeps for the next start, by name.
    #[serde(default)]
    pub stored: Vec<String>,
    /// The memory of the ledger.
    #[serde(default)]
    pub ledger: Option<RawFd>,
    /// The memory of the scoreboard.
    pub scoreboard: RawFd,
    /// Its slots.
    pub slots: usize,
    /// The memory that uWSGI's module shares; missing before there was one.
    #[serde(default)]
    pub commons: Option<RawFd>,
    /// Signals of that module.
    #[serde(default)]
    pub schedules: Schedules,
    /// The caches: name, size, memory.
    #[serde(default)]
    pub caches: Vec<(String, Geometry, RawFd)>,
    /// Files where their stores should be, which are something else and are not to be touched.
    #[serde(default)]
    pub foreign_stores: Vec<PathBuf>,
    /// The pid file, whose lock depends on the descriptor.
    pub pidfile: Option<(PathBuf, RawFd)>,
    /// The log file, if the log goes to one.
    pub log: Option<RawFd>,
    /// The control socket, and the O_PATH descriptor of its file.
    pub control: Option<(PathBuf, RawFd, RawFd)>,
    /// The stats server: its address, its socket, and which file that has.
    #[serde(default)]
    pub stats: Option<(Listen, RawFd, Option<FileId>)>,
    /// The connections of clients of the control socket that wait, by the tickets that the state has of them.
    pub tickets: BTreeMap<Ticket, Vec<RawFd>>,
    /// The last ticket that was given.
    pub last_ticket: Ticket,
    /// Whose tickets wait for the reload that follows.
    pub reload: Vec<Ticket>,
    /// The FIFOs for commands.
    pub fifos: Vec<PathBuf>,
    /// Which of them is read.
    pub fifo: Option<(usize, RawFd)>,
    /// What processes write to stdout and stderr.
    pub outputs: Vec<Output>,
    /// What the state machine knows.
    pub state: State,
    /// The templates.
    pub templates: BTreeMap<Generation, Template>,
    /// The workers.
    pub workers: BTreeMap<Key, Worker>,
    /// When the instance started, on CLOCK_MONOTONIC: the state counts from there.
    pub began: Duration,
    /// Why the last reload has failed, if it has.
    pub trouble: Option<String>,
    /// What became of workers.
    #[serde(default)]
    pub history: History,
    /// What runs beside the workers.
    #[serde(default)]
    pub beside: Beside,
    /// The configuration that was read from standard input, if one was.
    #[serde(default)]
    pub stdin: Option<Vec<u8>>,
}

/// Commands of the administrator.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Beside {
    /// Those that run.
    pub commands: Commands,
    /// The daemons among them, and those that are not.
    pub daemons: Daemons,
    /// Those of `cron`.
    pub crontab: Crontab,
}

/// A pipe that the master reads.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Output {
    /// Who writes.
    pub source: Source,
    /// The end for reading.
    pub pipe: RawFd,
    /// What was read of it and not logged yet.
    pub text: Vec<u8>,
}

/// A template.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Template {
    /// Its process.
    pub pid: i32,
    /// Its channel.
    pub channel: RawFd,
    /// Its Python.
    pub version: String,
    /// The process group of a hook that runs there.
    #[serde(default)]
    pub hook: Option<i32>,
}

/// A worker.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Worker {
    /// Its process.
    pub pid: i32,
    /// Its channel.
    pub channel: RawFd,
    /// The master has ended it.
    pub killed: bool,
    /// The process group of a hook that runs there.
    #[serde(default)]
    pub hook: Option<i32>,
}

/// What is read before the rest.
#[derive(Deserialize)]
struct Label {
    format: u32,
    version: String,
}

/// Descriptors that an earlier program has left open, until somebody takes them.
pub struct Held(BTreeMap<RawFd, OwnedFd>);

impl Held {
    /// The descriptor with this number.
    ///
    /// # Errors
    /// A sentence, when there is none, or not any more.
    pub fn take(&mut self, fd: RawFd) -> Result<OwnedFd, String> {
        self.0.remove(&fd).ok_or_else(|| format!("descriptor {fd} was not handed over"))
    }
}

impl Handover {
    /// Writes it to memory that nobody can change any more.
    ///
    /// # Errors
    /// Those of memfd_create(2), write(2) and fcntl(2).
    pub fn seal(&self) -> io::Result<OwnedFd> {
        let name = std::ffi::CString::new(NAME)?;
        let flags = MFdFlags::MFD_CLOEXEC | MFdFlags::MFD_ALLOW_SEALING;
        let mut file = File::from(memfd_create(name.as_c_str(), flags)?);
        file.write_all(&serde_json::to_vec(self)?)?;
        file.rewind()?;
        fcntl(&file, FcntlArg::F_ADD_SEALS(SealFlag::all()))?;
        Ok(file.into())
    }

    /// Reads what [`Handover::seal`] has written, here or in another version.
    ///
    /// # Errors
    /// A sentence: why this program cannot take over.
    pub fn read(text: &str) -> Result<Self, String> {
        let damaged = |error: serde_json::Error| format!("what it hands over is damaged: {error}");
        let label: Label = serde_json::from_str(text).map_err(damaged)?;
        let cannot = |what: &str, theirs, ours| {
            let (theirs_is, version) = (label.version.as_str(), rwsgi_core::VERSION);
            format!(
                "rwsgi {version} cannot take over from rwsgi {theirs_is} while it runs: {what} {theirs}, not {ours}"
            )
        };
        if label.format != FORMAT {
            return Err(cannot("it hands over in format", label.format, FORMAT));
        }
        let handover: Self = serde_json::from_str(text).map_err(damaged)?;
        if handover.layout != scoreboard::LAYOUT {
            let ours = scoreboard::LAYOUT;
            return Err(cannot("its workers write a scoreboard of layout", handover.layout, ours));
        }
        Ok(handover)
    }
}

/// What an earlier program of this process has handed over, if there was one.
pub fn receive() -> Option<Result<(Handover, Held), String>> {
    let value = std::env::var(VARIABLE).ok()?;
    let number = number(&value, std::process::id())?;
    Some(take(number).map_err(|why| {
        format!("{why}; the workers finish their requests and leave. Start the instance again")
    }))
}

/// The number in the variable, if it is meant for process `pid`.
fn number(value: &str, pid: u32) -> Option<RawFd> {
    let (of, number) = value.split_once(':')?;
    (of == pid.to_string()).then(|| number.parse().ok())?
}

fn take(number: RawFd) -> Result<(Handover, Held), String> {
    let path = PathBuf::from(format!("/proc/self/fd/{number}"));
    let failed = |error: io::Error| format!("cannot take over what was handed over: {error}");
    let text = memory(&path).map_err(failed)?;
    let handover = Handover::read(&text)?;
    let mut numbers = handover.descriptors.clone();
    numbers.push(number);
    let mut held = sys::adopt(&numbers).map_err(failed)?;
    held.remove(&number);
    Ok((handover, Held(held)))
}

/// The text in a memfd of ours.
fn memory(path: &Path) -> io::Result<String> {
    let name = std::fs::read_link(path)?;
    if !name.to_string_lossy().starts_with(&format!("/memfd:{NAME}")) {
        return Err(io::Error::new(io::ErrorKind::InvalidData, name.display().to_string()));
    }
    let mut text = String::new();
    File::open(path)?.read_to_string(&mut text)?;
    Ok(text)
}

/// The time on CLOCK_MONOTONIC, which goes on whatever program a process executes.
///
/// # Errors
/// Those of clock_gettime(2).
pub fn clock() -> io::Result<Duration> {
    Ok(ClockId::CLOCK_MONOTONIC.now()?.into())
}

#[cfg(test)]
#[path = "handover_tests.rs"]
mod tests;
