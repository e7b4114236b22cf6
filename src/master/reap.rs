//! From a wait status to a sentence.

use std::fmt;

use nix::sys::signal::Signal;
use nix::sys::wait::WaitStatus;
use serde::{Deserialize, Serialize};

/// How a process ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(from = "Known", into = "Known")]
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

/// The same by numbers, as one program tells another.
#[derive(Serialize, Deserialize)]
enum Known {
    Code(i32),
    Signal(i32, bool),
    Unborn,
}

impl From<Exit> for Known {
    fn from(exit: Exit) -> Self {
        match exit {
            Exit::Code(code) => Self::Code(code),
            Exit::Signal(signal, core) => Self::Signal(signal as i32, core),
            Exit::Unborn => Self::Unborn,
        }
    }
}

impl From<Known> for Exit {
    fn from(exit: Known) -> Self {
        match exit {
            Known::Code(code) => Self::Code(code),
            Known::Signal(signal, core) => {
                Self::Signal(Signal::try_from(signal).unwrap_or(Signal::SIGKILL), core)
            }
            Known::Unborn => Self::Unborn,
        }
    }
}

impl Exit {
    /// The sentence's predicate, with `meanwhile` (what it was doing) where that belongs.
    pub fn describe(self, meanwhile: &str) -> String {
        match self {
            Self::Code(0) if meanwhile.is_empty() => "left".to_owned(),
            Self::Code(code) => format!("exited with code {code}{meanwhile}"),
            Self::Signal(signal, core) => {
                let number = signal as i32;
                let cause = match signal {
                    Signal::SIGKILL => ", by an administrator or the kernel's out-of-memory killer",
                    Signal::SIGSEGV | Signal::SIGBUS | Signal::SIGILL | Signal::SIGFPE => {
                        ", a fault in native code, most likely of an extension module; \
                         `env = PYTHONFAULTHANDLER=1` shows where"
                    }
                    Signal::SIGABRT => {
                        ", it gave up by itself (abort(3)): a failed assertion in native code, or no \
                         memory; see what it wrote before"
                    }
                    Signal::SIGSYS => {
                        ", for a system call that is forbidden here (SystemCallFilter= of the unit)"
                    }
                    Signal::SIGXCPU => ", for it has come to its limit of CPU time (LimitCPU=)",
                    _ => "",
                };
                let core = if core { " (core dumped)" } else { "" };
                format!("was killed by signal {number} ({signal}){meanwhile}{cause}{core}")
            }
            Self::Unborn => "could not be forked".to_owned(),
        }
    }
}

impl fmt::Display for Exit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.describe(""))
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

    #[test]
    fn an_exit_in_the_middle_of_a_request_says_so() {
        let meanwhile = " while it ran GET /reports/7 (2.3 s)";
        let crashed = Exit::Signal(Signal::SIGSEGV, false).describe(meanwhile);
        assert!(crashed.starts_with(
            "was killed by signal 11 (SIGSEGV) while it ran GET /reports/7 (2.3 s), a fault"
        ));
        // Not "left": nobody asked it to.
        let exited = Exit::Code(0).describe(meanwhile);
        assert_eq!(exited, "exited with code 0 while it ran GET /reports/7 (2.3 s)");
    }
}
