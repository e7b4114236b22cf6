//! Files that are watched: those of `touch-reload` and its relatives, and the modules of
//! `py-autoreload`.
//!
//! A thread of its own asks the file system, which may take its time; it sleeps until inotify(7) has
//! something to say. What is watched is not the file but its name, in the directory where that is,
//! and the name of each symbolic link on the way there: so a file that is replaced, or a link that
//! is switched, is noticed, and a file that is not there yet when it is made.

use std::collections::{BTreeMap, HashSet, VecDeque};
use std::ffi::{OsStr, OsString};
use std::io::{Read as _, Write as _};
use std::os::fd::AsFd as _;
use std::os::unix::fs::MetadataExt as _;
use std::os::unix::net::UnixStream;
use std::path::{Component, Path, PathBuf};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::time::{Duration, Instant};

use nix::errno::Errno;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::inotify::{AddWatchFlags, InitFlags, Inotify, InotifyEvent, WatchDescriptor};
use rwsgi_core::config::{Hooks, Reloading};
use rwsgi_core::log::{self, Event as Said};
use tokio::sync::mpsc::UnboundedSender;

use crate::daemons::Id;
use crate::event::{Event, Generation};
use crate::master::{Arrival, Master};
use crate::signals;

/// How long after a touch others may come that mean the same.
const QUIET: Duration = Duration::from_millis(100);
/// Links on the way to a file before it leads nowhere (as in Linux itself).
const MOST_LINKS: usize = 40;

/// What a change leads to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Cause {
    /// A reload (`touch-reload`).
    Touch,
    /// The replacement of all workers (`touch-workers-reload`).
    TouchWorkers,
    /// Log files are opened anew (`touch-logreopen`).
    ReopenLog,
    /// Log files are renamed and begun anew (`touch-logrotate`).
    RotateLog,
    /// This one of the hooks has its turn (`hook-touch`).
    Hook(usize),
    /// A reload, for a module has changed (`py-autoreload`).
    Module,
    /// This signal of uWSGI's module is sent (`uwsgi.add_file_monitor`).
    Monitor(u8),
    /// This daemon is restarted (`touch=` of `attach-daemon2`).
    Daemon(Id),
}

enum Order {
    /// These files mean something, and this generation serves.
    Serve(Vec<(Cause, PathBuf)>, Generation),
    /// A generation imports a module; a change of it counts after this time.
    Module(Generation, PathBuf, Duration),
    /// A generation wants this signal to be sent when a file changes.
    Monitor(Generation, PathBuf, u8),
}

/// The way to the thread, which ends with it.
#[derive(Debug)]
pub struct Watch {
    orders: Sender<Order>,
    wake: UnixStream,
}

impl Watch {
    /// Starts the thread, which says to `arrivals` what has changed.
    ///
    /// # Errors
    /// Those of inotify_init1(2), socketpair(2) and pthread_create(3).
    pub fn start(arrivals: UnboundedSender<Arrival>) -> std::io::Result<Self> {
        let inotify = Inotify::init(InitFlags::IN_NONBLOCK | InitFlags::IN_CLOEXEC)?;
        let (wake, woken) = UnixStream::pair()?;
        wake.set_nonblocking(true)?;
        woken.set_nonblocking(true)?;
        let (orders, ordered) = channel();
        let watcher = Watcher {
            inotify,
            watched: BTreeMap::new(),
            descriptors: HashSet::new(),
            due: BTreeMap::new(),
            arrivals,
        };
        let builder = std::thread::Builder::new().name("rwsgi-files".into()).stack_size(256 * 1024);
        builder.spawn(move || {
            signals::block_all();
            watcher.run(&ordered, woken);
        })?;
        Ok(Self { orders, wake })
    }

    /// These files mean something from now on, and this generation serves.
    pub fn serve(&self, files: Vec<(Cause, PathBuf)>, generation: Generation) {
        self.order(Order::Serve(files, generation));
    }

    /// A generation imports a module from this file, or tries to.
    pub fn module(&self, generation: Generation, file: PathBuf, quiet: Duration) {
        self.order(Order::Module(generation, file, quiet));
    }

    /// A generation wants this signal of uWSGI's module to be sent when a file changes.
    pub fn monitor(&self, generation: Generation, file: PathBuf, signal: u8) {
        self.order(Order::Monitor(generation, file, signal));
    }

    fn order(&self, order: Order) {
        let _ = self.orders.send(order);
        // A full socket wakes just as well.
        let _ = (&self.wake).write(&[0]);
    }
}

/// The files whose touch means something, and what.
fn touched(reloading: &Reloading, hooks: &Hooks) -> Vec<(Cause, PathBuf)> {
    let files = [
        (Cause::Touch, &reloading.touch),
        (Cause::TouchWorkers, &reloading.touch_workers),
        (Cause::ReopenLog, &reloading.touch_log_reopen),
        (Cause::RotateLog, &reloading.touch_log_rotate),
    ];
    let files =
        files.into_iter().flat_map(|(cause, paths)| paths.iter().map(move |it| (cause, it)));
    let hooks = hooks.touch.iter().enumerate().map(|(at, (path, _))| (Cause::Hook(at), path));
    files.chain(hooks).map(|(cause, path)| (cause, path.clone())).collect()
}

/// What is watched, and what follows from a change.
impl Master {
    /// The configuration that serves says what is watched.
    pub(crate) fn watch_files(&mut self) {
        let config = &self.instance.config;
        let mut files = touched(&config.reloading, &config.hooks);
        let of_daemons = self.daemons.touches();
        files.extend(of_daemons.map(|(id, path)| (Cause::Daemon(id), path.clone())));
        if !files.is_empty() && self.watch.is_none() {
            self.watch = start(&self.arrivals);
        }
        if let Some(watch) = &self.watch {
            watch.serve(files, self.state.generation());
        }
    }

    pub(crate) fn watch_module(&mut self, generation: Generation, file: PathBuf) {
        let pending = self.pending.as_ref().filter(|_| generation != self.state.generation());
        let config = pending.map_or(&self.instance.config, |pending| &pending.config);
        let Some(quiet) = config.reloading.autoreload else { return };
        if self.watch.is_none() {
            self.watch = start(&self.arrivals);
        }
        if let Some(watch) = &self.watch {
            watch.module(generation, file, quiet);
        }
    }

    pub(crate) fn watch_monitor(&mut self, generation: Generation, file: PathBuf, signal: u8) {
        if self.watch.is_none() {
            self.watch = start(&self.arrivals);
        }
        if let Some(watch) = &self.watch {
            watch.monitor(generation, file, signal);
        }
    }

    pub(crate) fn on_changed(&mut self, cause: Cause, path: &Path) {
        if self.state.is_stopping() {
            return;
        }
        let option = match cause {
            Cause::Touch => "touch-reload",
            Cause::TouchWorkers => "touch-workers-reload",
            Cause::ReopenLog => "touch-logreopen",
            Cause::RotateLog => "touch-logrotate",
            Cause::Hook(_) => "hook-touch",
            Cause::Module => "py-autoreload",
            Cause::Monitor(signal) => {
                self.deliver(signal, true);
                return;
            }
            Cause::Daemon(id) => return self.touch_daemon(id, path),
        };
        log::notice(Said::Touched, format!("{} has changed ({option})", path.display())).send();
        match cause {
            Cause::Touch | Cause::Module => self.reload(None),
            Cause::ReopenLog => self.reopen_log(),
            Cause::RotateLog => {
                log::rotate(&self.instance.config.log);
                self.reopen_log();
            }
            Cause::TouchWorkers => self.queue.push_back(Event::ReloadWorkers(None)),
            Cause::Hook(at) => self.run_touch_hook(at, path),
            Cause::Monitor(_) | Cause::Daemon(_) => {}
        }
    }
}

fn start(arrivals: &UnboundedSender<Arrival>) -> Option<Watch> {
    Watch::start(arrivals.clone())
        .inspect_err(|error| {
            let message = format!("changes of files are not noticed: {error}");
            log::error(Said::SystemError, message).send();
        })
        .ok()
}

/// Which file it is, and when it was modified. Nothing: there is none.
type Stamp = Option<(u64, u64, i64, i64)>;
/// The same by the directory's path.
type Name = (PathBuf, Option<OsString>);
/// A name in a directory; without one, all of them.
type Place = (WatchDescriptor, Option<OsString>);

struct Watched {
    stamp: Stamp,
    places: Vec<Place>,
    /// The last generation that has imported it.
    generation: Generation,
    quiet: Duration,
}

struct Watcher {
    inotify: Inotify,
    watched: BTreeMap<(Cause, PathBuf), Watched>,
    /// Of the directories that are watched.
    descriptors: HashSet<WatchDescriptor>,
    /// What has changed, and when that is told: with one of the files.
    due: BTreeMap<Cause, (Instant, PathBuf)>,
    arrivals: UnboundedSender<Arrival>,
}

impl Watcher {
    fn run(mut self, orders: &Receiver<Order>, mut woken: UnixStream) {
        loop {
            let next = self.due.values().map(|(at, _)| *at).min();
            let timeout = next.map_or(PollTimeout::NONE, |at| {
                let left = at.saturating_duration_since(Instant::now());
                // Rounded up, not to turn in circles for the last part of a millisecond.
                PollTimeout::try_from(left + Duration::from_millis(1)).unwrap_or(PollTimeout::MAX)
            });
            let mut sources = [
                PollFd::new(self.inotify.as_fd(), PollFlags::POLLIN),
                PollFd::new(woken.as_fd(), PollFlags::POLLIN),
            ];
            let _ = poll(&mut sources, timeout);
            match woken.read(&mut [0; 4096]) {
                Ok(0) => return,
                Ok(_) | Err(_) => orders.try_iter().for_each(|order| self.obey(order)),
            }
            if let Ok(events) = self.inotify.read_events() {
                self.notice(events);
            }
            self.tell();
        }
    }

    fn obey(&mut self, order: Order) {
        match order {
            Order::Serve(wanted, generation) => {
                self.watched.retain(|key, watched| match key.0 {
                    Cause::Touch
                    | Cause::TouchWorkers
                    | Cause::ReopenLog
                    | Cause::RotateLog
                    | Cause::Hook(_)
                    | Cause::Daemon(_) => wanted.contains(key),
                    Cause::Module | Cause::Monitor(_) => watched.generation >= generation,
                });
                for key in wanted {
                    self.add(key, generation, QUIET);
                }
                self.tidy();
            }
            Order::Module(generation, path, quiet) => {
                self.add((Cause::Module, path), generation, quiet);
            }
            Order::Monitor(generation, path, signal) => {
                self.add((Cause::Monitor(signal), path), generation, QUIET);
            }
        }
    }

    /// Watches a file from now on; what is watched already keeps its stamp, and so a change that has
    /// not been seen yet.
    fn add(&mut self, key: (Cause, PathBuf), generation: Generation, quiet: Duration) {
        if let Some(watched) = self.watched.get_mut(&key) {
            (watched.generation, watched.quiet) = (generation.max(watched.generation), quiet);
            return;
        }
        // First the places, then the stamp, or a change between both would be lost.
        let places = self.places(key.0, &key.1);
        let stamp = stamp(&key.1);
        self.watched.insert(key, Watched { stamp, places, generation, quiet });
    }

    fn notice(&mut self, events: Vec<InotifyEvent>) {
        let overflow = AddWatchFlags::IN_Q_OVERFLOW;
        let all = events.iter().any(|event| event.mask.contains(overflow));
        let happened: HashSet<Place> =
            events.into_iter().map(|event| (event.wd, event.name)).collect();
        let is_touched = |places: &[Place]| {
            places.iter().any(|(wd, name)| {
                // Without a name it is about the directory itself.
                let itself = happened.contains(&(*wd, None));
                let any = || happened.iter().any(|(one, _)| one == wd);
                itself
                    || if name.is_some() { happened.contains(&(*wd, name.clone())) } else { any() }
            })
        };
        let touched = self.watched.iter().filter(|(_, watched)| all || is_touched(&watched.places));
        let touched: Vec<_> = touched.map(|(key, _)| key.clone()).collect();
        let any = !touched.is_empty();
        for key in touched {
            self.look(key);
        }
        if any {
            self.tidy();
        }
    }

    /// Whether a file is another one, or another version of it, and where it is to be watched now.
    fn look(&mut self, key: (Cause, PathBuf)) {
        let places = self.places(key.0, &key.1);
        let now = stamp(&key.1);
        let Some(watched) = self.watched.get_mut(&key) else { return };
        watched.places = places;
        let before = std::mem::replace(&mut watched.stamp, now);
        if now.is_some() && now != before {
            let at = Instant::now() + watched.quiet;
            self.due.entry(key.0).or_insert((at, key.1));
        }
    }

    fn tell(&mut self) {
        let now = Instant::now();
        self.due.retain(|cause, (at, path)| {
            let waits = *at > now;
            if !waits {
                let _ = self.arrivals.send(Arrival::Changed(*cause, std::mem::take(path)));
            }
            waits
        });
    }

    /// Has the changes of `path` seen, and says where.
    fn places(&mut self, cause: Cause, path: &Path) -> Vec<Place> {
        let mut names = names_on_the_way(path);
        loop {
            let mut watched = names.clone();
            if cause != Cause::Module && path.is_dir() {
                watched.push((path.to_path_buf(), None));
            }
            let watch = |(directory, name): Name| Some((self.watch(&directory)?, name));
            let places = watched.into_iter().filter_map(watch).collect();
            // What has changed before it was watched is not told.
            let again = names_on_the_way(path);
            if again == names {
                return places;
            }
            names = again;
        }
    }

    fn watch(&mut self, directory: &Path) -> Option<WatchDescriptor> {
        let flags = AddWatchFlags::IN_ATTRIB
            | AddWatchFlags::IN_CLOSE_WRITE
            | AddWatchFlags::IN_CREATE
            | AddWatchFlags::IN_DELETE
            | AddWatchFlags::IN_MOVE
            | AddWatchFlags::IN_DELETE_SELF
            | AddWatchFlags::IN_MOVE_SELF
            | AddWatchFlags::IN_ONLYDIR;
        match self.inotify.add_watch(directory, flags) {
            Ok(descriptor) => {
                self.descriptors.insert(descriptor);
                Some(descriptor)
            }
            // It has just gone; its own name is watched.
            Err(Errno::ENOENT | Errno::ENOTDIR) => None,
            Err(error) => {
                unwatchable(directory, error);
                None
            }
        }
    }

    /// Watches no directory in which nothing is watched any more.
    fn tidy(&mut self) {
        let places = self.watched.values().flat_map(|watched| &watched.places);
        let used: HashSet<WatchDescriptor> = places.map(|(descriptor, _)| *descriptor).collect();
        for descriptor in self.descriptors.difference(&used) {
            // One whose directory is gone is gone already.
            let _ = self.inotify.rm_watch(*descriptor);
        }
        self.descriptors = used;
    }
}

fn unwatchable(directory: &Path, error: Errno) {
    let remedy = match error {
        Errno::ENOSPC => ": raise fs.inotify.max_user_watches (sysctl)",
        Errno::EACCES => ": the user of rwsgi has to be able to list it",
        _ => "",
    };
    let directory = directory.display();
    let message = format!("changes in {directory} are not noticed: {}{remedy}", error.desc());
    log::warning(Said::SystemError, message).send();
}

fn stamp(path: &Path) -> Stamp {
    let facts = path.metadata().ok()?;
    Some((facts.dev(), facts.ino(), facts.mtime(), facts.mtime_nsec()))
}

/// The names that decide which file `path` is, each with its directory: those of symbolic links, and
/// the last one; or the first that is missing.
fn names_on_the_way(path: &Path) -> Vec<Name> {
    let mut names = Vec::new();
    let mut here = PathBuf::from("/");
    let mut left: VecDeque<OsString> = parts(path).collect();
    while let Some(name) = left.pop_front() {
        if name == ".." {
            here.pop();
            continue;
        }
        let next = here.join(&name);
        match (next.symlink_metadata(), next.read_link()) {
            (Ok(_), Ok(target)) if names.len() < MOST_LINKS => {
                names.push((here.clone(), Some(name)));
                if target.is_absolute() {
                    here = PathBuf::from("/");
                }
                let target: Vec<_> = parts(&target).collect();
                target.into_iter().rev().for_each(|part| left.push_front(part));
            }
            (Ok(_), Err(_)) if !left.is_empty() => here = next,
            (Ok(_) | Err(_), _) => {
                names.push((here, Some(name)));
                break;
            }
        }
    }
    names
}

fn parts(path: &Path) -> impl Iterator<Item = OsString> {
    path.components().filter_map(|part| match part {
        Component::Normal(name) => Some(name.to_owned()),
        Component::ParentDir => Some(OsStr::new("..").to_owned()),
        Component::RootDir | Component::CurDir | Component::Prefix(_) => None,
    })
}

#[cfg(test)]
#[path = "watch_tests.rs"]
mod tests;
