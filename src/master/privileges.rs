//! Gives up what the start needed and the service does not: umask, groups, group, user, in this
//! order, after sockets, pid file and log are open.

use std::os::unix::process::CommandExt as _;
use std::process::Command;

use nix::sys::stat::{Mode, umask};
use nix::unistd::{Gid, Uid, geteuid, setgid, setgroups, setuid};
use rwsgi_core::config::Process;
use rwsgi_core::identity::groups;
use rwsgi_core::log::{self, Event};
use rwsgi_core::sys;

/// The variable by which rwsgi@.service tells an instance its directory.
const OF_THE_SERVICE: &str = "RWSGI_RUNTIME_DIRECTORY";

/// Whether this is an instance of rwsgi@.service.
pub fn is_service() -> bool {
    std::env::var_os(OF_THE_SERVICE).is_some()
}

/// Refuses what would run an application as root in rwsgi@.service, whoever has asked for it: the INI file by `uid`, or
/// a drop-in by User=.
///
/// # Errors
/// A sentence that says what to do.
pub fn refuse_root_in_a_service(process: &Process) -> Result<(), String> {
    if is_service() && stays_root(geteuid().is_root(), process.uid) {
        return Err("an application of rwsgi@.service is not run as root: name another user by uid=, or take User= of \
                    a drop-in away, which `systemctl cat` shows"
            .into());
    }
    Ok(())
}

/// Whether the application would be root's, or is meant to.
fn stays_root(is_root: bool, uid: Option<u32>) -> bool {
    uid.map_or(is_root, |uid| uid == 0)
}

/// Becomes who `process` says.
///
/// # Errors
/// A sentence: which call failed, or that only root can become somebody else.
pub fn drop_to(process: &Process) -> Result<(), String> {
    if let Some(mask) = process.umask {
        umask(Mode::from_bits_truncate(mask));
    }
    if !geteuid().is_root() {
        return unprivileged(process);
    }
    let (Some(uid), gid) = (process.uid, process.gid) else {
        if let Some(gid) = process.gid {
            setgroups(&[])
                .and(setgid(Gid::from_raw(gid)))
                .map_err(|e| format!("gid={gid}: {e}"))?;
        }
        let message = "running as root: the application can do everything; set uid= and gid=";
        log::warning(Event::ConfigWarning, message).send();
        return Ok(());
    };
    let (groups, gid) = groups(uid, gid);
    if let Some(gid) = gid {
        setgroups(&groups)
            .and(setgid(gid))
            .map_err(|error| format!("cannot become group {gid}: {error}"))?;
    }
    setuid(Uid::from_raw(uid)).map_err(|error| format!("cannot become user {uid}: {error}"))
}

/// Has a command run as somebody else, with the groups of that user, where it is said who.
pub fn run_as(command: &mut Command, uid: Option<u32>, gid: Option<u32>) {
    if !geteuid().is_root() {
        // Who it is already, or an error.
        gid.map(|gid| command.gid(gid));
        uid.map(|uid| command.uid(uid));
    } else if uid.or(gid).is_some() {
        let (groups, gid) = match uid {
            Some(uid) => groups(uid, gid),
            None => (Vec::new(), gid.map(Gid::from_raw)),
        };
        sys::run_as(command, groups, gid, uid.map(Uid::from_raw));
    }
}

fn unprivileged(process: &Process) -> Result<(), String> {
    let me = geteuid().as_raw();
    match process.uid {
        Some(uid) if uid != me => Err(format!(
            "uid={uid}: only root can become another user; this is user {me}. {}",
            if std::env::var_os("NOTIFY_SOCKET").is_none() {
                "Start as root, or remove uid="
            } else {
                "`systemctl daemon-reload` makes the service run as the uid= of its INI file"
            }
        )),
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn root_is_who_is_not_made_somebody_else() {
        assert!(stays_root(true, None) && stays_root(true, Some(0)) && stays_root(false, Some(0)));
        assert!(
            !stays_root(true, Some(33)) && !stays_root(false, None) && !stays_root(false, Some(33))
        );
    }
}
