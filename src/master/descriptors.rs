//! How many descriptors the master needs, and whether it may have them.
//!
//! What is missing shows at the start, with a remedy, and not at the reload that needs twice as many.

use nix::sys::resource::{Resource, getrlimit, setrlimit};
use rwsgi_core::config::Config;

/// Its own: standard streams, log, event loop, signals, control socket, scoreboard, pid file, and some
/// for who asks at the control socket.
const OWN: u64 = 32;
/// A channel and a pipe for each process.
const EACH: u64 = 2;

/// Raises the limit where it is too low.
///
/// # Errors
/// A sentence: it may not be raised so far.
pub fn provide(config: &Config) -> Result<(), String> {
    let Ok((soft, hard)) = getrlimit(Resource::RLIMIT_NOFILE) else { return Ok(()) };
    let needed = needed(u64::from(config.processes), config.listeners.len() as u64);
    if soft >= needed
        || (hard >= needed && setrlimit(Resource::RLIMIT_NOFILE, needed, hard).is_ok())
    {
        return Ok(());
    }
    let processes = config.processes;
    Err(format!(
        "at most {hard} files may be open, but the master needs {needed} for {processes} workers and their \
         successors at a reload: raise the limit (LimitNOFILE= of the unit, `ulimit -n`)"
    ))
}

/// Two generations at a time, each a template and its workers.
fn needed(processes: u64, listeners: u64) -> u64 {
    OWN + 2 * listeners + 2 * EACH * (processes + 1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_reload_of_all_workers_is_provided_for() {
        assert_eq!(needed(1, 1), 42);
        assert_eq!(needed(100, 2), 440);
    }
}
