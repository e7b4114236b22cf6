//! A directory for one test, and a mark on every process that is started in it.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use tempfile::TempDir;

use super::wait;

/// The variable that marks processes. Not `RWSGI_…`, which would be taken for an option.
pub const MARK: &str = "TEST_ID_OF_RWSGI";

/// The directory. When it is dropped, no process of it may be left.
pub struct Place {
    directory: TempDir,
    id: String,
}

impl Place {
    pub fn new() -> Self {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        let count = COUNT.fetch_add(1, Ordering::Relaxed);
        let directory = tempfile::Builder::new().prefix("rwsgi-test-").tempdir().unwrap();
        Self { directory, id: format!("{}.{count}.", std::process::id()) }
    }

    pub fn path(&self) -> &Path {
        self.directory.path()
    }

    pub fn join(&self, name: &str) -> PathBuf {
        self.path().join(name)
    }

    pub fn write(&self, name: &str, text: &str) {
        fs::write(self.join(name), text).unwrap();
    }

    /// The text of a file; empty when it is not there.
    pub fn read(&self, name: &str) -> String {
        fs::read(self.join(name))
            .map(|bytes| String::from_utf8_lossy(&bytes).into_owned())
            .unwrap_or_default()
    }

    /// The value of [`MARK`].
    pub fn id(&self) -> &str {
        &self.id
    }

    /// Every process that was started here, and those that they started.
    pub fn processes(&self) -> Vec<i32> {
        let mark = format!("{MARK}={}", self.id);
        let mut found = Vec::new();
        for entry in fs::read_dir("/proc").unwrap().flatten() {
            let Some(pid) = entry.file_name().to_str().and_then(|name| name.parse().ok()) else {
                continue;
            };
            let environment = fs::read(entry.path().join("environ")).unwrap_or_default();
            if environment.split(|byte| *byte == 0).any(|variable| variable == mark.as_bytes()) {
                found.push(pid);
            }
        }
        found
    }

    /// Whether all processes leave by themselves in time.
    pub fn is_deserted_within(&self, limit: Duration) -> bool {
        let deserted = || self.processes().is_empty().then_some(());
        let is_deserted = wait::within(limit, deserted).is_some();
        if is_deserted {
            // Who is about to end may have sockets open when its environment is gone. Whoever is so later
            // than now was not one of these.
            let others: Vec<_> = exiting().collect();
            let gone = || (!exiting().any(|pid| others.contains(&pid))).then_some(());
            wait::within(limit, gone);
        }
        is_deserted
    }

    /// Waits until the application waits at the gate `name`.
    pub fn wait_for_gate(&self, name: &str) {
        let file = self.join(&format!("entered-{name}"));
        wait::until(&file.display().to_string(), || file.exists().then_some(()));
    }

    /// The process in which it waits there.
    pub fn pid_at_gate(&self, name: &str) -> i32 {
        self.wait_for_gate(name);
        self.read(&format!("entered-{name}")).parse().unwrap()
    }

    /// Lets it go on.
    pub fn open_gate(&self, name: &str) {
        self.write(&format!("open-{name}"), "");
    }
}

/// All processes that are about to end.
fn exiting() -> impl Iterator<Item = i32> {
    const PF_EXITING: u64 = 4;
    fs::read_dir("/proc").unwrap().flatten().filter_map(|entry| {
        let stat = fs::read_to_string(entry.path().join("stat")).ok()?;
        let (before, fields) = stat.rsplit_once(") ")?;
        let flags: u64 = fields.split(' ').nth(6)?.parse().ok()?;
        let exits = !fields.starts_with(['Z', 'X']) && flags & PF_EXITING != 0;
        exits.then(|| before.split(' ').next()?.parse().ok()).flatten()
    })
}

impl Drop for Place {
    fn drop(&mut self) {
        let limit = if std::thread::panicking() { Duration::ZERO } else { wait::DEADLINE };
        if self.is_deserted_within(limit) {
            return;
        }
        let left = self.processes();
        let name = |pid: &i32| fs::read_to_string(format!("/proc/{pid}/comm")).unwrap_or_default();
        let names: Vec<_> = left.iter().map(name).collect();
        for pid in &left {
            let _ = kill(Pid::from_raw(*pid), Signal::SIGKILL);
        }
        if !std::thread::panicking() {
            panic!("processes were left behind: {left:?} {names:?}");
        }
    }
}
