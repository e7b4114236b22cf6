//! What a worker has of the template that it was forked from.

use std::fs;

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use crate::support::server::Server;
use crate::support::setup::Setup;
use crate::support::wait;

/// Serves what a function of this name returns.
const HEAD: &str = "
import gc
import os
import random
import threading
import time

def note(what):
    with open('noted', 'a') as file:
        file.write('%s %d %d\\n' % (what, os.getpid(), os.getppid()))

def meet(path, count):
    open('%s-met-%d' % (path, os.getpid()), 'w').close()
    deadline = time.time() + 120
    while sum(name.startswith(path + '-met-') for name in os.listdir('.')) < count:
        assert time.time() < deadline
        time.sleep(0.005)

def application(environ, start_response):
    start_response('200 OK', [])
    if environ['QUERY_STRING']:
        meet(environ['PATH_INFO'].strip('/'), int(environ['QUERY_STRING']))
    return [str(globals()[environ['PATH_INFO'].strip('/')]()).encode()]

def pid():
    return os.getpid()
";

fn setup(lines: &str, app: &str) -> Setup {
    Setup::new(lines).app(&format!("{HEAD}{app}"))
}

/// What each of `count` workers, with one thread each, answers to `path`. None answers before all
/// were asked.
fn of_each(server: &Server, count: usize, path: &str) -> Vec<String> {
    let ask = |_| server.connect_and_send(&format!("{path}?{count}"));
    let mut clients: Vec<_> = (0..count).map(ask).collect();
    clients.iter_mut().map(|client| client.response().expect(200).text()).collect()
}

/// Kills worker 1, and waits until another one serves.
fn replace(server: &Server) -> (i32, i32) {
    let old = server.workers();
    kill(Pid::from_raw(old[0]), Signal::SIGKILL).unwrap();
    server.wait_for_log(") serves", old.len() + 1);
    (old[0], server.workers()[old.len()])
}

#[test]
fn hooks_around_the_fork_run_once_and_where_they_belong() {
    let app = "
if hasattr(os, 'register_at_fork'):
    note('import')
    os.register_at_fork(
        before=lambda: note('before'),
        after_in_parent=lambda: note('parent'),
        after_in_child=lambda: note('child'),
    )
";
    let server = setup("processes=2", app).start();
    let noted = wait::until("both forks", || {
        let text = server.place.read("noted");
        (text.is_empty() || text.matches("parent ").count() == 2).then_some(text)
    });
    let Some(import) = noted.lines().find_map(|line| line.strip_prefix("import ")) else {
        return println!("this Python has no fork hooks");
    };
    let template = import.split(' ').next().unwrap();
    let pids = |what: &str| -> Vec<_> {
        let lines = noted.lines().filter_map(|line| line.strip_prefix(what));
        lines.map(|line| line.trim().split_once(' ').unwrap()).collect()
    };
    assert_eq!(pids("before").iter().map(|one| one.0).collect::<Vec<_>>(), [template; 2]);
    assert_eq!(pids("parent").iter().map(|one| one.0).collect::<Vec<_>>(), [template; 2]);
    let mut children: Vec<i32> = pids("child").iter().map(|one| one.0.parse().unwrap()).collect();
    let mut workers = server.workers();
    children.sort_unstable();
    workers.sort_unstable();
    assert_eq!(children, workers, "{noted}");
    // The master is the parent by the time the hooks run.
    assert!(pids("child").iter().all(|one| one.1 == server.pid().to_string()), "{noted}");
}

/// It is taken while the thread that has it is still there, and gives it back.
#[test]
fn a_lock_that_a_hook_takes_is_not_waited_for_without_its_thread() {
    let app = "
lock, held, wanted = threading.Lock(), threading.Event(), threading.Event()

def hold():
    with lock:
        held.set()
        wanted.wait()

def take():
    wanted.set()
    lock.acquire()

threading.Thread(target=hold, daemon=True).start()
held.wait()
if hasattr(os, 'register_at_fork'):
    os.register_at_fork(before=take, after_in_parent=lock.release, after_in_child=lock.release)
";
    let server = setup("processes=2", app).start();
    server.get("/pid").expect(200);
}

#[test]
fn workers_do_not_draw_the_same_numbers() {
    let app = "
def draw():
    return random.random()
";
    let mut numbers = of_each(&setup("processes=3", app).start(), 3, "/draw");
    numbers.sort();
    numbers.dedup();
    assert_eq!(numbers.len(), 3, "{numbers:?}");
}

#[test]
fn a_successor_knows_the_import_and_nothing_of_its_predecessor() {
    let app = "
note('import')
DONE = []

def work():
    DONE.append(os.getpid())
    return DONE
";
    let server = setup("", app).start();
    server.get("/work").expect(200);
    let (old, new) = replace(&server);
    assert_eq!(server.get("/work").expect(200).text(), format!("[{new}]"));
    assert_ne!(old, new);
    assert_eq!(server.place.read("noted").matches("import").count(), 1);
}

/// Megabytes of a process: its own, and shared.
fn memory(pid: i32) -> (u64, u64) {
    let text = fs::read_to_string(format!("/proc/{pid}/smaps_rollup")).unwrap();
    let sum = |prefix: &str| -> u64 {
        let lines = text.lines().filter(|line| line.starts_with(prefix));
        let sizes = lines.filter_map(|line| line.split_whitespace().nth(1)?.parse::<u64>().ok());
        sizes.sum::<u64>() / 1024
    };
    (sum("Private_"), sum("Shared_"))
}

#[test]
fn a_successor_shares_the_memory_of_the_import() {
    let app = "
LARGE = [[i] for i in range(500000)]

def collect():
    # Before Python 3.7 the collector writes to everything.
    return hasattr(gc, 'freeze') and gc.collect()
";
    let server = setup("processes=2", app).start();
    let (_, new) = replace(&server);
    // Both have looked through everything, and written to none of it.
    of_each(&server, 2, "/collect");
    let (own, shared) = memory(new);
    assert!(own < 20 && shared > 40, "{own} MB of its own, {shared} MB shared");
}

#[test]
fn the_collector_of_a_worker_has_nothing_to_do_with_the_import() {
    let app = "
def count():
    return '%s %s' % (gc.isenabled(), getattr(gc, 'get_freeze_count', lambda: 'unknown')())
";
    let count = |lines| {
        let text = setup(lines, app).start().get("/count").expect(200).text();
        let (enabled, frozen) = text.split_once(' ').unwrap();
        assert_eq!(enabled, "True");
        frozen.parse::<u64>().ok()
    };
    assert!(count("").is_none_or(|frozen| frozen > 1000));
    assert!(count("lazy-apps=true").is_none_or(|frozen| frozen == 0));
}
