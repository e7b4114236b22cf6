//! Gives up what the start needed and the service does not: umask, groups, group, user, in this
//! order, after sockets, pid file and log are open.

use std::ffi::CString;

use nix::sys::stat::{Mode, umask};
use nix::unistd::{Gid, Uid, User, geteuid, initgroups, setgid, setgroups, setuid};
use rwsgi_core::config::Process;
use rwsgi_core::log::{self, Event};

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
    let user = User::from_uid(Uid::from_raw(uid)).ok().flatten();
    let gid = gid.or(user.as_ref().map(|user| user.gid.as_raw()));
    if let Some(gid) = gid.map(Gid::from_raw) {
        let name = user.and_then(|user| CString::new(user.name).ok());
        let groups = match name {
            Some(name) => initgroups(&name, gid),
            None => setgroups(&[gid]),
        };
        groups.and(setgid(gid)).map_err(|error| format!("cannot become group {gid}: {error}"))?;
    }
    setuid(Uid::from_raw(uid)).map_err(|error| format!("cannot become user {uid}: {error}"))
}

fn unprivileged(process: &Process) -> Result<(), String> {
    let me = geteuid().as_raw();
    match process.uid {
        Some(uid) if uid != me => Err(format!(
            "uid={uid}: only root can become another user; this is user {me}. {}",
            if std::env::var_os("NOTIFY_SOCKET").is_none() {
                "Start as root, or remove uid="
            } else if uid == 0 {
                "A service is not run as root: name another, or remove uid="
            } else {
                "`systemctl daemon-reload` makes the service run as the uid= of its INI file"
            }
        )),
        _ => Ok(()),
    }
}
