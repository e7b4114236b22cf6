//! Memory that is short: by pressure, and when the kernel has killed.

use std::fs::{self, File};
use std::io::Write as _;
use std::path::PathBuf;

use nix::sys::signal::{Signal, kill};
use nix::sys::stat::Mode;
use nix::unistd::Pid;

use crate::support::server::Server;
use crate::support::setup::Setup;

/// It keeps as many megabytes as a request says.
const GREEDY: &str = "
import os
KEPT = []
def application(environ, start_response):
    KEPT.append(b'x' * (int(environ['QUERY_STRING'] or 0) << 20))
    start_response('200 OK', [])
    return [str(os.getpid()).encode()]
";

/// A server whose supervisor tells of memory pressure by a FIFO, and that FIFO.
fn strained(lines: &str) -> (Server, File) {
    let setup = Setup::new(lines).app(GREEDY);
    let path = setup.place.join("pressure");
    nix::unistd::mkfifo(&path, Mode::S_IRWXU).unwrap();
    let setup = setup.variable("MEMORY_PRESSURE_WATCH", &path.display().to_string());
    let server = setup.start();
    (server, File::options().read(true).write(true).open(path).unwrap())
}

fn tell(mut fifo: &File) {
    fifo.write_all(&[b'!'; 64]).unwrap();
}

#[test]
fn the_worker_with_most_memory_of_its_own_is_replaced_when_memory_stays_short() {
    let lines = "processes=3\nreload-on-memory-pressure=10\nmin-worker-lifetime=0";
    let (server, fifo) = strained(lines);
    let greedy = server.get("/?100").expect(200).text();
    (0..3).for_each(|_| tell(&fifo));
    server.wait_for_log("memory is short in this control group", 1);
    server.wait_for_log(&format!("(pid {greedy}) left"), 1);
    server.wait_for_log("(reload-on-memory-pressure)", 2);
    // What was done has its time to help.
    (0..3).for_each(|_| tell(&fifo));
    server.reload(1);
    assert_eq!(server.log().matches("is replaced: memory is short").count(), 1, "{}", server.log());
}

#[test]
fn a_moment_of_pressure_and_young_workers_are_let_be() {
    let (server, fifo) = strained("reload-on-memory-pressure=10");
    (0..3).for_each(|_| tell(&fifo));
    server.get("/").expect(200);
    server.reload(1);
    assert!(!server.log().contains("memory is short"), "{}", server.log());
}

#[test]
fn where_the_kernel_cannot_tell_a_warning_says_so() {
    let setup = Setup::new("reload-on-memory-pressure=10");
    let server = setup.variable("MEMORY_PRESSURE_WATCH", "/nonexistent/pressure").start();
    server.wait_for_log(
        "warning: reload-on-memory-pressure has no effect: /nonexistent/pressure: No such file",
        1,
    );
    server.get("/ok").expect(200);
}

/// A control group with a limit, if this user may make one; it goes when it is dropped.
struct Group(PathBuf);

impl Group {
    fn new(megabytes: u64) -> Option<Self> {
        let name = format!("rwsgi-test-{}", std::process::id());
        let bytes = (megabytes << 20).to_string();
        for (parent, limit, swap) in [
            ("/sys/fs/cgroup/memory", "memory.limit_in_bytes", "memory.memsw.limit_in_bytes"),
            ("/sys/fs/cgroup", "memory.max", "memory.swap.max"),
        ] {
            let group = Self(PathBuf::from(parent).join(&name));
            if fs::create_dir(&group.0).is_ok() && fs::write(group.0.join(limit), &bytes).is_ok() {
                let swap_limit = if limit == "memory.max" { "0" } else { &bytes };
                let _ = fs::write(group.0.join(swap), swap_limit);
                return Some(group);
            }
        }
        None
    }
}

impl Drop for Group {
    fn drop(&mut self) {
        crate::support::wait::until("the end of the group", || fs::remove_dir(&self.0).ok());
    }
}

#[test]
fn a_worker_that_the_kernel_kills_for_memory_is_told_from_one_that_somebody_kills() {
    let Some(group) = Group::new(300) else {
        return println!("skipped: no control group can be made here");
    };
    let setup = Setup::new("").app(GREEDY);
    let setup = setup.variable("TEST_GROUP", &group.0.display().to_string());
    let script = "echo $$ >\"$TEST_GROUP/cgroup.procs\"; exec \"$@\"";
    let server = setup.shell(script, std::process::Stdio::null()).start();
    assert!(server.connect().try_response_to("/?400").is_err());
    let told = "was killed by the kernel (SIGKILL) while it ran GET / (";
    server.wait_for_log(told, 1);
    server.wait_for_log("out of memory: the processes of this service may use 300 MiB", 1);
    server.wait_for_log(") serves", 2);
    kill(Pid::from_raw(server.workers()[1]), Signal::SIGKILL).unwrap();
    server.wait_for_log("which somebody has sent", 1);
    assert_eq!(server.log().matches(told).count(), 1, "{}", server.log());
    server.wait_for_log(") serves", 3);
    drop(server);
}
