//! Keeps the daemons: what `daemons.rs` wants done, done; and what becomes of them, told.

use std::io;
use std::path::Path;

use nix::errno::Errno;
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use rwsgi_core::log::{self, Event as Said, Level};
use rwsgi_core::sys;
use serde_json::{Value, json};

use crate::command::{Ended, Order, Owner, signal_group};
use crate::daemons::{Daemon, Deed, Id, Phase};
use crate::event::Event;
use crate::master::{Arrival, Master};
use crate::perform::watch;
use crate::pidfiles;
use crate::reap::Exit;
use crate::respawn::TOO_SHORT;

impl Master {
    /// The application was imported: what may need it, or what it may need, is started the first time.
    pub(crate) fn begin_daemons(&mut self) {
        if !self.daemons.begun && !self.state.is_stopping() {
            self.change_daemons();
            self.change_crons();
            self.watch_files();
        }
    }

    /// The daemons of the configuration are wanted from now on.
    pub(crate) fn change_daemons(&mut self) {
        let now = self.now();
        let deeds = self.daemons.change(&self.instance.config.daemons, now);
        self.do_to_daemons(deeds);
        self.mind_daemons();
    }

    /// After a takeover: who tells of the ends of others is this program.
    pub(crate) fn watch_daemons(&mut self) {
        let all = self.daemons.all().iter();
        let watched: Vec<_> = all
            .filter_map(|one| match one.phase {
                Phase::Watched(pid, _) => Some((one.id, pid)),
                _ => None,
            })
            .collect();
        for (id, pid) in watched {
            self.watch_daemon(id, pid);
        }
    }

    /// The instance ends.
    pub(crate) fn stop_daemons(&mut self) {
        let deeds = self.daemons.stop(self.now());
        self.do_to_daemons(deeds);
        // Who has not gone to the background yet.
        let all = self.daemons.all().iter();
        let begun = all.filter(|one| matches!(one.phase, Phase::Looking { .. }));
        let begun: Vec<_> =
            begun.filter_map(|one| self.commands.of(&Owner::Daemon(one.id))).collect();
        for pid in begun {
            self.end_command(pid, Signal::SIGTERM, self.instance.config.mercy);
        }
    }

    /// A file of its `touch` has changed.
    pub(crate) fn touch_daemon(&mut self, id: Id, path: &Path) {
        let Some(daemon) = self.daemons.get(id) else { return };
        let message = format!("{} has changed (touch of {})", path.display(), daemon.name());
        log::notice(Said::Touched, message).send();
        let deed = self.daemons.touch(id, self.now());
        self.do_to_daemons(deed);
        self.mind_daemons();
    }

    fn do_to_daemons(&mut self, deeds: impl IntoIterator<Item = Deed>) {
        for deed in deeds {
            let (Deed::Send(pid, signal) | Deed::Notify(pid, signal) | Deed::End(pid, signal)) =
                deed;
            let signal = Signal::try_from(signal).unwrap_or(Signal::SIGTERM);
            match deed {
                Deed::Send(..) => signal_group(pid, signal),
                Deed::Notify(..) => drop(kill(Pid::from_raw(pid), signal)),
                Deed::End(..) => self.end_command(pid, signal, self.instance.config.mercy),
            }
        }
    }

    /// Starts and looks at those of which it is time.
    pub(crate) fn mind_daemons(&mut self) {
        for id in self.daemons.take_due(self.now()) {
            let Some(daemon) = self.daemons.get(id).cloned() else { continue };
            let found = daemon.spec.pidfile.as_deref().and_then(pidfiles::process);
            // A number that is one of ours by now was somebody else's when it was written.
            let found = found.filter(|pid| !self.is_of_others(id, *pid));
            match (daemon.phase, found) {
                (Phase::Waiting(_), None) => self.start_daemon(&daemon),
                (Phase::Watched(pid, _), _) if !pidfiles::is_there(pid) => {
                    self.daemon_gone(id, pid, "has ended");
                }
                (Phase::Watched(pid, _), _) => self.daemons.found(id, pid, false, self.now()),
                (Phase::Waiting(_) | Phase::Looking { .. }, Some(pid)) => {
                    say(&daemon, Level::Info, Said::CommandStarted, &format!("runs (pid {pid})"));
                    self.watch_daemon(id, pid);
                }
                (Phase::Looking { .. }, None) => self.look_in_vain(&daemon),
                (Phase::Running(_) | Phase::Ending(_), _) => {}
            }
        }
    }

    /// Whether a process is of the instance, and not of this daemon.
    fn is_of_others(&self, id: Id, pid: i32) -> bool {
        let owner = self.commands.get(pid).map(|running| &running.owner);
        Pid::this().as_raw() == pid
            || self.key_of(pid).is_some()
            || self.template_of(pid).is_some()
            || owner.is_some_and(|owner| *owner != Owner::Daemon(id))
    }

    fn start_daemon(&mut self, daemon: &Daemon) {
        let (id, spec, name) = (daemon.id, &daemon.spec, daemon.name());
        let order = Order {
            name: &name,
            line: &spec.command,
            directory: spec.chdir.as_deref(),
            user: spec.user,
            bound: spec.pidfile.is_none(),
        };
        match self.start_command(order, Owner::Daemon(id), None) {
            Ok(pid) => {
                self.daemons.started(id, pid, self.now());
                let what = format!("is started (pid {pid}): {}", spec.command);
                say(daemon, Level::Info, Said::CommandStarted, &what);
                if let Some(path) = spec.pidfile.as_deref().filter(|_| spec.foreground)
                    && let Err(error) = pidfiles::write(path, pid)
                {
                    let what = format!("{} cannot be written: {error}", path.display());
                    say(daemon, Level::Error, Said::CommandFailed, &what);
                }
            }
            Err(why) => {
                self.daemon_ended(id, Level::Error, &why);
            }
        }
    }

    /// It was started, and its pidfile names nobody yet.
    fn look_in_vain(&mut self, daemon: &Daemon) {
        if self.daemons.looked_in_vain(daemon.id, self.now()) {
            return;
        }
        let path = daemon.spec.pidfile.as_deref().unwrap_or(Path::new("")).display();
        let seconds = daemon.spec.freq.as_secs();
        let mut how = format!("has not written the pid of a process to {path} within {seconds} s");
        if let Some(pid) = self.commands.of(&Owner::Daemon(daemon.id)) {
            how += ": it did not go to the background, and is ended; `smart-attach-daemon2` is for such ones";
            self.end_command(pid, Signal::SIGTERM, self.instance.config.mercy);
        }
        self.daemon_ended(daemon.id, Level::Warning, &how);
    }

    /// Has the end of a process arrive that may be nobody's child here; where the kernel does not tell it
    /// (before Linux 5.3), it is looked at.
    fn watch_daemon(&mut self, id: Id, pid: i32) {
        let opened = sys::open_process(pid).and_then(watch);
        self.daemons.found(id, pid, opened.is_ok(), self.now());
        match opened {
            Ok(process) => {
                let arrivals = self.arrivals.clone();
                tokio::spawn(async move {
                    let _ = process.readable().await.map(drop);
                    let _ = arrivals.send(Arrival::DaemonGone(id, pid));
                });
            }
            Err(error) if is_gone(&error) => {
                let _ = self.arrivals.send(Arrival::DaemonGone(id, pid));
            }
            Err(_) => {}
        }
    }

    /// The process of a pidfile is gone.
    pub(crate) fn on_daemon_gone(&mut self, id: Id, pid: i32) {
        // If it was a child of ours, that says how.
        self.reap();
        self.daemon_gone(id, pid, "has ended");
    }

    /// A process has ended that may be one of a pidfile: its parents were children of ours.
    pub(crate) fn daemon_reaped(&mut self, pid: i32, exit: Exit) -> bool {
        let mut all = self.daemons.all().iter();
        let Some(id) = all.find(|one| one.phase.pid() == Some(pid)).map(|one| one.id) else {
            return false;
        };
        self.daemon_gone(id, pid, &exit.to_string());
        true
    }

    fn daemon_gone(&mut self, id: Id, pid: i32, how: &str) {
        let phase = self.daemons.get(id).map(|daemon| daemon.phase);
        if matches!(phase, Some(Phase::Watched(watched, _)) if watched == pid) {
            self.daemon_ended(id, Level::Warning, how);
        }
    }

    /// The command of a daemon has ended.
    pub(crate) fn daemon_command_ended(&mut self, id: Id, ended: &Ended) {
        let phase = self.daemons.get(id).map(|daemon| daemon.phase);
        match phase {
            Some(Phase::Running(pid) | Phase::Ending(pid) | Phase::Watched(pid, _))
                if pid == ended.pid =>
            {
                let mut how = ended.describe();
                if ended.exit == Exit::Code(0) && !ended.running.is_asked && ended.lived < TOO_SHORT
                {
                    how +=
                        "; one that goes to the background by itself is for `smart-attach-daemon`";
                }
                self.daemon_ended(id, ended.level(), &how);
            }
            // It has gone to the background.
            Some(Phase::Looking { .. }) if ended.exit == Exit::Code(0) => {}
            // Another one, which has been given up, may have ended only now.
            Some(Phase::Looking { .. }) if !ended.running.is_asked => {
                self.daemon_ended(id, ended.level(), &ended.describe());
            }
            Some(_) | None => self.say_of_command(&ended.running.name, ended.entry()),
        }
    }

    /// It is gone, or was never there: it is told, and started again if it is wanted.
    fn daemon_ended(&mut self, id: Id, level: Level, how: &str) {
        let Some(daemon) = self.daemons.get(id).cloned() else { return };
        let is_asked = matches!(daemon.phase, Phase::Ending(_));
        let stops = daemon.spec.control && !is_asked && !self.state.is_stopping();
        if stops {
            self.daemons.no_more(id);
        }
        let again = self.daemons.ended(id, how, self.now());
        let follows = match again {
            _ if stops => "; the instance stops (`control`)".to_owned(),
            None => String::new(),
            Some(delay) if delay.is_zero() => "; it is started again".to_owned(),
            Some(delay) => format!("; it is started again in {} s", delay.as_secs()),
        };
        let level = if stops || self.daemons.keeps_ending(id) { Level::Error } else { level };
        let said = if level == Level::Info { Said::CommandEnded } else { Said::CommandFailed };
        let entry = log::Entry::new(level, said, format!("{how}{follows}"));
        self.say_of_command(&daemon.name(), entry);
        if stops {
            self.queue.push_back(Event::Stop);
        }
    }

    /// For `status`.
    pub(crate) fn tell_daemons(&self) -> Value {
        let now = self.now();
        let all = self.daemons.all().iter().map(|daemon| {
            json!({
                "daemon": daemon.spec.name,
                "command": daemon.spec.command,
                "pid": daemon.phase.pid(),
                "phase": daemon.phase.name(),
                "seconds": now.saturating_sub(daemon.since).as_secs(),
                "restarts": daemon.restarts,
                "last_end": daemon.last_end,
                "keeps_ending": self.daemons.keeps_ending(daemon.id),
            })
        });
        all.collect()
    }
}

fn say(daemon: &Daemon, level: Level, said: Said, what: &str) {
    let name = daemon.name();
    log::Entry::new(level, said, what).about(&name).field("RWSGI_COMMAND", name).send();
}

fn is_gone(error: &io::Error) -> bool {
    error.raw_os_error() == Some(Errno::ESRCH as i32)
}
