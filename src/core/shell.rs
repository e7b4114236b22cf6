//! Commands of an administrator, as a shell runs them: by `cron`, a daemon, or a hook.

use std::time::Duration;

use nix::sys::signal::{Signal, killpg};
use nix::unistd::Pid;

/// Who runs them.
pub const SHELL: &str = "/bin/sh";
/// From the signal that asks a command to end, for it has had its time, to the one that ends it.
pub const GRACE: Duration = Duration::from_secs(5);

/// Whether there is anybody in that process group whom this process may signal, and so end.
pub fn is_left(group: i32) -> bool {
    group > 1 && killpg(Pid::from_raw(group), None).is_ok()
}

/// A predicate for a command that has ended with this code, as the shell means it (sh(1), EXIT STATUS).
pub fn exited(code: i32) -> String {
    match code {
        126 => "exited with code 126: the shell may not execute it".into(),
        127 => "exited with code 127: the shell has not found it; name it by its whole path".into(),
        129..=192 => {
            let signal = Signal::try_from(code - 128).map_or("a signal", Signal::as_str);
            format!("exited with code {code}, as of what {signal} has ended")
        }
        code => format!("exited with code {code}"),
    }
}

/// A predicate for what is still there after SIGKILL.
pub fn cannot_be_ended(who: &str) -> String {
    format!(
        "cannot be ended, and is left: {who} is another user's, or the kernel does not let it go"
    )
}
