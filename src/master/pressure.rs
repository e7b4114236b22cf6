//! Memory that is short in the control group: the worker with most memory of its own is replaced,
//! before the kernel kills one.
//!
//! The kernel tells when processes have waited for memory for more than a share of two seconds
//! (`memory.pressure`, the kernel's accounting/psi.rst); nobody asks it. systemd from 254 on names the
//! file in MEMORY_PRESSURE_WATCH and hands it to the service's user (its MEMORY_PRESSURE.md).

use std::fs::{File, OpenOptions};
use std::io::{self, Read as _, Write as _};
use std::os::unix::fs::{FileTypeExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use nix::errno::Errno;
use nix::fcntl::OFlag;
use rwsgi_core::config::recycling::MemoryLimits;
use rwsgi_core::log::{self, Event as Said};
use tokio::io::Interest;
use tokio::io::unix::AsyncFd;
use tokio::task::JoinHandle;

use crate::cgroup::MemoryGroup;
use crate::event::{Event, Key};
use crate::master::{Arrival, Master};
use crate::memory::Usage;
use crate::state::WorkerPhase;

/// The kernel's window. Without privileges it has to be a multiple of two seconds.
const WINDOW: Duration = Duration::from_secs(2);
/// Windows in a row with too much pressure after which something is done.
const SEVERAL: u32 = 3;
/// Longer ago than this is not in a row.
const APART: Duration = Duration::from_secs(5);
/// How long what was done is given to help.
const CALM: Duration = Duration::from_secs(30);

/// What the kernel has said so far.
#[derive(Debug, Default)]
pub(crate) struct Pressure {
    /// The share of a window, in percent, that is watched for.
    percent: Option<u32>,
    watch: Option<JoinHandle<()>>,
    strain: Strain,
}

/// Pressure that lasts.
#[derive(Debug, Default)]
struct Strain {
    in_a_row: u32,
    last: Option<Instant>,
    calm_until: Option<Instant>,
}

impl Strain {
    /// There was too much pressure in a window. Whether something is to be done.
    fn note(&mut self, now: Instant) -> bool {
        let is_in_a_row =
            self.last.is_some_and(|last| now.saturating_duration_since(last) <= APART);
        self.in_a_row = if is_in_a_row { self.in_a_row.saturating_add(1) } else { 1 };
        self.last = Some(now);
        self.in_a_row >= SEVERAL && self.calm_until.is_none_or(|until| now >= until)
    }

    /// Something was done.
    fn relieve(&mut self, now: Instant) {
        self.in_a_row = 0;
        self.calm_until = Some(now + CALM);
    }
}

impl Master {
    /// Has the kernel tell of what the configuration says is too much.
    pub(crate) fn watch_pressure(&mut self) {
        let wanted = self.instance.config.recycling.pressure;
        if wanted == self.pressure.percent {
            return;
        }
        if let Some(watch) = self.pressure.watch.take() {
            watch.abort();
        }
        self.pressure.percent = wanted;
        let Some(percent) = wanted else { return };
        let arrivals = self.arrivals.clone();
        let told = move || arrivals.send(Arrival::MemoryPressure).is_ok();
        match open(percent).and_then(|source| source.watch(told)) {
            Ok(watch) => self.pressure.watch = Some(watch),
            Err(why) => {
                let message = format!(
                    "reload-on-memory-pressure has no effect: {why}. It needs cgroup v2, a kernel with \
                     PSI, and systemd 254 or newer or Delegate=memory in the unit"
                );
                log::warning(Said::ConfigWarning, message).send();
            }
        }
    }

    /// Memory has been short in the last window.
    pub(crate) fn on_pressure(&mut self) {
        let now = Instant::now();
        let Some(percent) = self.pressure.percent else { return };
        if !self.pressure.strain.note(now) || self.state.is_stopping() {
            return;
        }
        let Some((key, uss)) = self.largest() else { return };
        self.pressure.strain.relieve(now);
        let what = format!(
            "memory is short in this control group: for {SEVERAL} times {} s processes have waited for it \
             for more than {percent} % of the time (reload-on-memory-pressure)",
            WINDOW.as_secs()
        );
        log::warning(Said::MemoryPressure, what).send();
        let mib = uss >> 20;
        let why = format!(
            "memory is short, and of all workers it has most memory of its own, {mib} MiB \
             (reload-on-memory-pressure)"
        );
        self.queue.push_back(Event::Retire(key, why));
    }

    /// Of the workers that serve and are old enough, the one with most memory of its own.
    fn largest(&self) -> Option<(Key, u64)> {
        let limits = MemoryLimits { uss: Some(0), ..MemoryLimits::default() };
        let (now, least) = (self.now(), self.instance.config.recycling.min_lifetime);
        let candidates = self.state.workers().iter().filter(|(_, worker)| {
            worker.phase == WorkerPhase::Ready
                && worker.generation == self.state.generation()
                && now.saturating_sub(worker.since) >= least
        });
        let sizes = candidates.filter_map(|(key, _)| {
            let pid = self.workers.get(key)?.pid?;
            Some((*key, Usage::read(pid, &limits).ok()?.uss))
        });
        sizes.max_by_key(|(_, uss)| *uss)
    }
}

/// An open file that tells of pressure.
struct Source {
    file: File,
    interest: Interest,
}

fn open(percent: u32) -> Result<Source, String> {
    let named = std::env::var_os("MEMORY_PRESSURE_WATCH").map(PathBuf::from);
    let path = match named {
        Some(path) if path == Path::new("/dev/null") => {
            return Err("MemoryPressureWatch= of the unit says no".into());
        }
        Some(path) => path,
        None => {
            let own = MemoryGroup::own().and_then(|group| group.pressure());
            own.ok_or("no control group with a memory.pressure is to be seen")?
        }
    };
    open_at(&path, percent).map_err(|error| format!("{}: {error}", path.display()))
}

/// A regular file is the kernel's; a FIFO is somebody's who tells in its place.
fn open_at(path: &Path, percent: u32) -> io::Result<Source> {
    let mut options = OpenOptions::new();
    options.read(true).write(true).custom_flags(OFlag::O_NONBLOCK.bits());
    let mut file = options.open(path)?;
    if file.metadata()?.file_type().is_fifo() {
        return Ok(Source { file, interest: Interest::READABLE });
    }
    file.write_all(trigger(percent).as_bytes())?;
    Ok(Source { file, interest: Interest::PRIORITY })
}

/// What the kernel is to tell of: some process has waited for this share of a window.
fn trigger(percent: u32) -> String {
    let window = WINDOW.as_micros();
    format!("some {} {window}\0", window * u128::from(percent) / 100)
}

impl Source {
    #[expect(
        deprecated,
        reason = "the successor is unsafe; a File keeps its one descriptor for life"
    )]
    fn watch(self, told: impl Fn() -> bool + Send + 'static) -> Result<JoinHandle<()>, String> {
        let Self { file, interest } = self;
        let file = AsyncFd::with_interest(file, interest).map_err(|error| error.to_string())?;
        Ok(tokio::spawn(async move {
            while let Ok(mut ready) = file.ready(interest | Interest::ERROR).await {
                if interest.is_readable() {
                    match file.get_ref().read(&mut [0; 64]) {
                        Err(error) if error.raw_os_error() == Some(Errno::EAGAIN as i32) => {
                            ready.clear_ready();
                            continue;
                        }
                        Ok(0) | Err(_) => return,
                        Ok(_) => {}
                    }
                } else if ready.ready().is_error() {
                    // The control group is gone, and we will be.
                    return;
                } else {
                    ready.clear_ready();
                }
                if !told() {
                    return;
                }
            }
        }))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_kernel_is_asked_for_a_share_of_two_seconds() {
        assert_eq!(trigger(10), "some 200000 2000000\0");
        assert_eq!(trigger(100), "some 2000000 2000000\0");
    }

    #[test]
    fn only_pressure_that_lasts_counts_and_what_was_done_gets_its_time() {
        let begin = Instant::now();
        let mut strain = Strain::default();
        let mut at = |seconds: u64| {
            let now = begin + Duration::from_secs(seconds);
            let is_too_much = strain.note(now);
            if is_too_much {
                strain.relieve(now);
            }
            is_too_much
        };
        let noted = [0, 2, 10, 12, 14, 16, 18, 20, 42, 44, 46].map(&mut at);
        let mut expected = [false; 11];
        expected[4] = true;
        expected[10] = true;
        assert_eq!(noted, expected);
    }
}
