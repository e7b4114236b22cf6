//! Pidfiles of daemons: who is meant, and whether that is still there.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Read as _, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::Path;
use std::time::{Duration, SystemTime};

use nix::errno::Errno;
use nix::libc;
use nix::sys::signal::kill;
use nix::unistd::{Pid, SysconfVar, sysconf};

/// Who was started later than the file was written is somebody else, but for clocks that do not agree.
const SLACK: Duration = Duration::from_secs(60);

/// Notes a process that was started.
///
/// # Errors
/// Those of open(2) and write(2); a FIFO that nobody reads is one.
pub fn write(path: &Path, pid: i32) -> io::Result<()> {
    let mut options = OpenOptions::new();
    options.write(true).create(true).truncate(true).custom_flags(libc::O_NONBLOCK);
    options.open(path)?.write_all(format!("{pid}\n").as_bytes())
}

/// The process that a pidfile names, if it runs.
pub fn process(path: &Path) -> Option<i32> {
    // Who made it may have made a FIFO.
    let mut options = OpenOptions::new();
    let file = options.read(true).custom_flags(libc::O_NONBLOCK).open(path).ok()?;
    let pid = number(&file)?;
    let written = file.metadata().ok()?.modified().ok()?;
    (is_there(pid) && began(pid).is_none_or(|began| began <= written + SLACK)).then_some(pid)
}

/// Whether there is such a process; one that has ended and that nobody has asked for does not count.
pub fn is_there(pid: i32) -> bool {
    matches!(kill(Pid::from_raw(pid), None), Ok(()) | Err(Errno::EPERM))
        && stat(pid).is_none_or(|fields| fields.first().is_none_or(|state| state != "Z"))
}

fn number(file: &File) -> Option<i32> {
    let mut text = String::new();
    file.take(64).read_to_string(&mut text).ok()?;
    text.split_ascii_whitespace().next()?.parse().ok().filter(|pid| *pid > 1)
}

/// What /proc tells of a process behind its name, which may have any character: the fields from the third one on.
fn stat(pid: i32) -> Option<Vec<String>> {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    let (_, fields) = stat.rsplit_once(')')?;
    Some(fields.split_ascii_whitespace().map(str::to_owned).collect())
}

/// When a process was started, by the clock of the wall; `None` where /proc does not tell.
fn began(pid: i32) -> Option<SystemTime> {
    // The 22nd field, in ticks since the system's start.
    let ticks: f64 = stat(pid)?.get(19)?.parse().ok()?;
    let uptime = fs::read_to_string("/proc/uptime").ok()?;
    let uptime: f64 = uptime.split_ascii_whitespace().next()?.parse().ok()?;
    let per_second = sysconf(SysconfVar::CLK_TCK).ok()??;
    let age = uptime - ticks / f64::from(i32::try_from(per_second).ok()?);
    SystemTime::now().checked_sub(Duration::try_from_secs_f64(age.max(0.0)).ok()?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pidfile_names_who_ran_when_it_was_written() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("pid");
        assert_eq!(process(&path), None);
        let me = i32::try_from(std::process::id()).unwrap();
        fs::write(&path, format!("{me}\n")).unwrap();
        assert_eq!(process(&path), Some(me));
        let long_ago = SystemTime::now() - Duration::from_secs(86400 * 365);
        File::options().write(true).open(&path).unwrap().set_modified(long_ago).unwrap();
        assert_eq!(process(&path), None, "somebody else has that number now");
    }

    #[test]
    fn one_that_has_ended_and_was_not_waited_for_does_not_run() {
        let mut child = std::process::Command::new("sleep").arg("600").spawn().unwrap();
        let pid = i32::try_from(child.id()).unwrap();
        assert!(is_there(pid));
        child.kill().unwrap();
        // Its end, and not what is left of it.
        let id = nix::sys::wait::Id::Pid(Pid::from_raw(pid));
        let flags = nix::sys::wait::WaitPidFlag::WEXITED | nix::sys::wait::WaitPidFlag::WNOWAIT;
        nix::sys::wait::waitid(id, flags).unwrap();
        assert!(!is_there(pid));
        child.wait().unwrap();
    }

    #[test]
    fn a_pidfile_that_is_a_fifo_is_not_waited_for() {
        let directory = tempfile::tempdir().unwrap();
        let fifo = directory.path().join("fifo");
        nix::unistd::mkfifo(&fifo, nix::sys::stat::Mode::S_IRWXU).unwrap();
        let errno = write(&fifo, 7).unwrap_err().raw_os_error();
        assert_eq!(errno, Some(libc::ENXIO));
        let file = directory.path().join("pid");
        fs::write(&file, "123456\n").unwrap();
        write(&file, 7).unwrap();
        assert_eq!(fs::read_to_string(&file).unwrap(), "7\n");
    }

    #[test]
    fn what_is_no_pid_names_nobody() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("pid");
        for text in ["", "x", "1", "-7", "0", "99999999999"] {
            fs::write(&path, text).unwrap();
            assert_eq!(process(&path), None, "{text}");
        }
        let fifo = directory.path().join("fifo");
        nix::unistd::mkfifo(&fifo, nix::sys::stat::Mode::S_IRWXU).unwrap();
        assert_eq!(process(&fifo), None);
        assert_eq!(process(directory.path()), None);
    }
}
