//! From a wait status to a sentence.

use std::fmt;

use nix::sys::signal::Signal;
use nix::sys::wait::WaitStatus;

/// How a process ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Exit {
    /// By itself, with this code.
    Code(i32),
    /// By a signal; with a core dump or without.
    Signal(Signal, bool),
    /// It never came to be.
    Unborn,
}

impl Exit {
    /// The end that `status` tells of, and whose it was; `None` when nothing ended.
    pub fn of(status: WaitStatus) -> Option<(i32, Self)> {
        match status {
            WaitStatus::Exited(pid, code) => Some((pid.as_raw(), Self::Code(code))),
            WaitStatus::Signaled(pid, signal, core) => {
                Some((pid.as_raw(), Self::Signal(signal, core)))
            }
            WaitStatus::Stopped(..)
            | WaitStatus::PtraceEvent(..)
            | WaitStatus::PtraceSyscall(_)
            | WaitStatus::Continued(_)
            | WaitStatus::StillAlive => None,
        }
    }
}

impl fmt::Display for Exit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Code(0) => f.write_str("left"),
            Self::Code(code) => write!(f, "exited with code {code}"),
            Self::Signal(signal, core) => {
                write!(f, "was killed by signal {} ({signal})", *signal as i32)?;
                f.write_str(match signal {
                    Signal::SIGKILL => ", by an administrator or the kernel's out-of-memory killer",
                    Signal::SIGSEGV | Signal::SIGBUS | Signal::SIGILL | Signal::SIGFPE => {
                        ", a fault in native code, most likely of an extension module"
                    }
                    _ => "",
                })?;
                f.write_str(if *core { " (core dumped)" } else { "" })
            }
            Self::Unborn => f.write_str("could not be forked"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_exit_is_a_sentence_that_helps() {
        assert_eq!(Exit::Code(3).to_string(), "exited with code 3");
        let killed = Exit::Signal(Signal::SIGKILL, false).to_string();
        assert!(killed.starts_with("was killed by signal 9 (SIGKILL), by an administrator"));
        let crashed = Exit::Signal(Signal::SIGSEGV, true).to_string();
        assert!(crashed.contains("native code") && crashed.ends_with("(core dumped)"));
    }
}
