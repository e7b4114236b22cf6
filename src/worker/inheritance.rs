//! What the import has started or opened, and the workers cannot use: threads, which no fork takes
//! along, and connections, which all workers would share.
//!
//! The template notes it after the import. The first worker of a generation looks what is left of it
//! when the fork hooks of the application have run, since there are libraries that start their threads
//! anew or close what they have inherited, and the log tells the rest, once.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::os::fd::RawFd;

use nix::unistd::gettid;
use pyo3::prelude::*;
use rwsgi_core::log::{self, Event};
use rwsgi_core::sys;
use socket2::{SockAddr, Socket, Type};

/// The descriptors that were open at a time, with what they referred to.
pub(crate) type Open = BTreeMap<RawFd, String>;

/// Begins each database file of SQLite.
const SQLITE: &[u8; 16] = b"SQLite format 3\0";

/// Named at most, of each kind.
const NAMED: usize = 10;

/// What an import has left behind.
#[derive(Debug, Clone, Default)]
pub(crate) struct Inheritance {
    threads: Vec<PythonThread>,
    /// Names of threads that Python does not know of.
    native: Vec<String>,
    descriptors: Vec<Descriptor>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
struct PythonThread {
    name: String,
    /// What it runs: the function, its file and line.
    place: String,
}

#[derive(Debug, Clone)]
struct Descriptor {
    fd: RawFd,
    link: String,
    kind: Kind,
    /// Where it leads.
    what: String,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    Connection,
    Epoll,
    Sqlite,
}

impl Inheritance {
    /// In the template, after the import; `before` was open before it.
    pub(crate) fn note(py: Python<'_>, before: &Open) -> PyResult<Self> {
        let (threads, numbers) = python_threads(py)?;
        let mut descriptors = Vec::new();
        for (fd, link) in open() {
            if before.get(&fd) != Some(&link)
                && let Some((kind, what)) = classify(fd, &link)
            {
                descriptors.push(Descriptor { fd, link, kind, what });
            }
        }
        let native = native_threads(&numbers, threads.len());
        Ok(Self { native, threads, descriptors })
    }

    /// In a worker: warns of what was noted, except what the application has dealt with.
    pub(crate) fn warn(mut self, py: Python<'_>) -> PyResult<()> {
        let (alive, _) = python_threads(py)?;
        self.threads
            .retain(|old| !alive.iter().any(|new| new.name == old.name || new.place == old.place));
        let native = task_names();
        self.native.retain(|name| !native.contains(name));
        let open = open();
        self.descriptors.retain(|one| open.get(&one.fd) == Some(&one.link));
        self.warn_of_threads();
        let of = |kind| {
            let all = self.descriptors.iter().filter(move |one| one.kind == kind);
            all.map(|one| format!("descriptor {}: {}", one.fd, one.what)).collect::<Vec<_>>()
        };
        warn(
            &of(Kind::Connection),
            "the import has left connections open, which all workers share: each reads answers to \
             the others",
            "close them when the import ends, connect in each worker (os.register_at_fork, \
             uwsgidecorators.postfork) or with the first request, or set `lazy-apps = true`",
        );
        warn(
            &of(Kind::Epoll),
            "the import has made an event loop, whose events all workers share",
            "make it in each worker (os.register_at_fork, uwsgidecorators.postfork) or when it is \
             needed, or set `lazy-apps = true`",
        );
        warn(
            &of(Kind::Sqlite),
            "the import has left SQLite databases open: carried over a fork they lose their locks, \
             and may be damaged",
            "close them when the import ends, or set `lazy-apps = true`",
        );
        Ok(())
    }

    fn warn_of_threads(&self) {
        let named = self.threads.iter().map(|thread| format!("{}: {}", thread.name, thread.place));
        warn(
            &named.collect::<Vec<_>>(),
            "the import has started threads, which do not run in the workers, and may hold locks \
             there for ever",
            "start them in each worker (os.register_at_fork, uwsgidecorators.postfork) or with the \
             first request, or set `lazy-apps = true`",
        );
        warn(
            &self.native,
            "the import has started threads outside of Python, which do not run in the workers; \
             the library whose they are may hang there",
            "use it only after the fork (os.register_at_fork, uwsgidecorators.postfork), or set \
             `lazy-apps = true`",
        );
    }
}

fn warn(things: &[String], what: &str, remedy: &str) {
    if things.is_empty() {
        return;
    }
    let mut list = things.iter().take(NAMED).cloned().collect::<Vec<_>>().join("; ");
    if things.len() > NAMED {
        list.push_str(&format!("; and {} more", things.len() - NAMED));
    }
    let message = format!("{what}; {remedy}\nFound: {list}");
    log::warning(Event::NotForWorkers, message).send();
}

/// What is open now.
pub(crate) fn open() -> Open {
    let entries = fs::read_dir("/proc/self/fd").into_iter().flatten().flatten();
    let entry = |entry: fs::DirEntry| {
        let link = fs::read_link(entry.path()).ok()?.to_string_lossy().into_owned();
        Some((entry.file_name().to_str()?.parse().ok()?, link))
    };
    entries.filter_map(entry).collect()
}

/// What is not to be shared. Listeners and datagrams are: each connection goes to one process, and
/// each datagram is whole. So are files that are only written to; and a pair of sockets or a pipe does
/// no harm without the threads at its ends, which are told of.
fn classify(fd: RawFd, link: &str) -> Option<(Kind, String)> {
    if link.starts_with("socket:") {
        return connection(fd).map(|what| (Kind::Connection, what));
    }
    if link == "anon_inode:[eventpoll]" {
        return Some((Kind::Epoll, "an epoll instance".to_owned()));
    }
    let mut beginning = [0; SQLITE.len()];
    let is_sqlite = link.starts_with('/')
        && sys::read_beginning(fd, &mut beginning).is_ok_and(|length| length == SQLITE.len())
        && &beginning == SQLITE;
    is_sqlite.then(|| (Kind::Sqlite, link.to_owned()))
}

fn connection(fd: RawFd) -> Option<String> {
    let socket = Socket::from(sys::duplicate(fd).ok()?);
    let is_stream =
        socket.r#type().is_ok_and(|kind| kind == Type::STREAM || kind == Type::SEQPACKET);
    if !is_stream {
        return None;
    }
    let peer = socket.peer_addr().ok()?;
    if let Some(address) = peer.as_socket() {
        return Some(format!("TCP to {address}"));
    }
    unix_name(&peer).map(|name| format!("UNIX socket to {name}"))
}

fn unix_name(peer: &SockAddr) -> Option<String> {
    if let Some(path) = peer.as_pathname() {
        return Some(path.display().to_string());
    }
    let name = peer.as_abstract_namespace()?;
    Some(format!("@{}", String::from_utf8_lossy(name)))
}

/// The threads that `threading` knows, without this one, and the kernel's numbers of all of them.
fn python_threads(py: Python<'_>) -> PyResult<(Vec<PythonThread>, BTreeSet<i32>)> {
    let threading = py.import("threading")?;
    let this = threading.call_method0("get_ident")?;
    let mut threads = Vec::new();
    let mut numbers = BTreeSet::from([gettid().as_raw()]);
    for thread in threading.call_method0("enumerate")?.try_iter()? {
        let thread = thread?;
        // From Python 3.8 on.
        if let Some(number) = thread.getattr_opt("native_id")?.filter(|number| !number.is_none()) {
            numbers.insert(number.extract()?);
        }
        if !thread.getattr("ident")?.eq(&this)? {
            let name = thread.getattr("name")?.str()?.to_string();
            threads.push(PythonThread { name, place: place(&thread)? });
        }
    }
    Ok((threads, numbers))
}

/// What a thread runs: its target, or the method `run` of its class.
fn place(thread: &Bound<'_, PyAny>) -> PyResult<String> {
    let target = thread.getattr_opt("_target")?.filter(|target| !target.is_none());
    let mut function = match target {
        Some(target) => target,
        None => thread.get_type().getattr("run")?,
    };
    // functools.partial, methods.
    for inner in ["func", "__func__", "__wrapped__"] {
        if let Some(inner) = function.getattr_opt(inner)? {
            function = inner;
        }
    }
    let Some(code) = function.getattr_opt("__code__")? else {
        return Ok(function.repr()?.to_string());
    };
    let name = function.getattr_opt("__qualname__")?.unwrap_or(code.getattr("co_name")?);
    let (file, line) = (code.getattr("co_filename")?, code.getattr("co_firstlineno")?);
    Ok(format!("{name} ({file}, line {line})"))
}

/// Names of threads that are not among the `known`, which are this one and those of Python: `python`
/// in number, whose numbers it only tells from 3.8 on.
fn native_threads(known: &BTreeSet<i32>, python: usize) -> Vec<String> {
    let process = name_of(gettid().as_raw());
    // OpenBLAS, which comes with numpy, ends its threads before a fork and starts them anew; they have
    // no name of their own.
    let has_openblas =
        fs::read_to_string("/proc/self/maps").is_ok_and(|maps| maps.contains("openblas"));
    let foreign = tasks().filter(|number| !known.contains(number)).map(name_of);
    // It waits for a command that cannot be ended, and for nothing else.
    let foreign = foreign.filter(|name| name != rwsgi_core::hooks::THREAD);
    let (mut nameless, mut named): (Vec<_>, Vec<_>) = foreign.partition(|name| *name == process);
    nameless.truncate(nameless.len().saturating_sub((python + 1).saturating_sub(known.len())));
    if !has_openblas {
        named.append(&mut nameless);
    }
    named
}

fn task_names() -> BTreeSet<String> {
    tasks().map(name_of).collect()
}

/// The kernel's numbers of all threads.
fn tasks() -> impl Iterator<Item = i32> {
    let entries = fs::read_dir("/proc/self/task").into_iter().flatten().flatten();
    entries.filter_map(|entry| entry.file_name().to_str()?.parse().ok())
}

fn name_of(thread: i32) -> String {
    let name = fs::read_to_string(format!("/proc/self/task/{thread}/comm")).unwrap_or_default();
    name.trim_end().to_owned()
}
