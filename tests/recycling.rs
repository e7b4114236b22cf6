//! Workers that have served enough are replaced while they serve.

use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use nix::sys::signal::Signal;

use crate::support::load::under_load;
use crate::support::server::Server;
use crate::support::setup::Setup;
use crate::support::wait;

/// Each worker imports it anew: what is in the file `on-import` then is run.
const LAZY: &str = "\
import os, time
def gate(name):
    open('entered-' + name, 'w').close()
    deadline = time.time() + 120
    while not os.path.exists('open-' + name) and time.time() < deadline:
        time.sleep(0.005)
if os.path.exists('on-import'):
    exec(open('on-import').read())
def application(environ, start_response):
    start_response('200 OK', [])
    return [str(os.getpid()).encode()]
";

/// It keeps as many megabytes as a request says.
const GREEDY: &str = "\
import os
KEPT = []
def application(environ, start_response):
    KEPT.append(b'x' * (int(environ['QUERY_STRING'] or 0) << 20))
    start_response('200 OK', [])
    return [str(os.getpid()).encode()]
";

fn lazy(lines: &str) -> Server {
    Setup::new(&format!("lazy-apps=true\nmin-worker-lifetime=0\n{lines}")).app(LAZY).start()
}

fn pid(server: &Server) -> i32 {
    server.get("/").expect(200).text().parse().unwrap()
}

/// What the master says of workers, line by line: the number, the pid, and the rest.
fn told(server: &Server) -> Vec<(u32, i32, String)> {
    let line = |line: &str| {
        let (number, rest) = line.split_once("worker ")?.1.split_once(" (pid ")?;
        let (pid, rest) = rest.split_once(") ")?;
        Some((number.parse().ok()?, pid.parse().ok()?, rest.to_owned()))
    };
    server.log().lines().filter_map(line).collect()
}

/// Fails unless each replacement begins after the one before is done, and the old worker leaves after
/// the new one serves. Returns how many there were of each of two workers.
fn check_order(server: &Server) -> [usize; 2] {
    let (mut under_way, mut replaced, mut counts) = (None, BTreeSet::new(), [0, 0]);
    for (number, pid, what) in told(server) {
        if what.starts_with("is replaced: ") {
            assert_eq!(under_way.replace((number, pid)), None, "two at once");
            counts[number as usize - 1] += 1;
        } else if what == "serves" {
            if let Some((replaced_number, old)) = under_way.take() {
                assert_eq!(number, replaced_number);
                replaced.insert(old);
            }
        } else if what == "left" && !server.log().contains("stopping") {
            assert!(replaced.contains(&pid), "worker {pid} has left before its successor served");
        }
    }
    counts
}

fn loses_nothing(keep: bool) {
    let server = Server::new(
        "processes=2\nthreads=2\ndisable-logging=true\n\
         max-requests=60\nmax-requests-delta=60\nmin-worker-lifetime=0",
    );
    under_load(server.address(), keep, |_| {
        let several = || {
            let count = |number: u32| {
                let told = told(&server).into_iter();
                told.filter(|(n, _, what)| *n == number && what.starts_with("is replaced")).count()
            };
            (count(1) >= 4 && count(2) >= 4).then_some(())
        };
        // What is missing in the end is seen below, when nobody asks any more.
        let _ = wait::within(wait::DEADLINE, several);
    });
    let counts = check_order(&server);
    assert!(counts.iter().all(|count| *count >= 4), "{counts:?}");
    let answered = |text: &str| {
        let reason = text.strip_prefix("is replaced: it has answered ")?;
        reason.strip_suffix(" requests (max-requests)")?.parse().ok()
    };
    let limits: BTreeSet<u32> = told(&server).iter().filter_map(|(.., t)| answered(t)).collect();
    assert!(limits.len() > 1, "all have drawn the same limit: {limits:?}");
    assert!(limits.iter().all(|limit| (60..=120).contains(limit)), "{limits:?}");
}

#[test]
fn replacements_lose_no_new_connection() {
    loses_nothing(false);
}

#[test]
fn replacements_lose_no_request_on_kept_connections() {
    loses_nothing(true);
}

#[test]
fn the_old_one_serves_until_its_successor_does() {
    let server = lazy("max-requests=3\nmax-requests-delta=0");
    server.place.write("on-import", "gate('import')");
    let old = pid(&server);
    (0..2).for_each(|_| assert_eq!(pid(&server), old));
    server.wait_for_log("is replaced: it has answered 3 requests (max-requests)", 1);
    server.place.wait_for_gate("import");
    (0..10).for_each(|_| assert_eq!(pid(&server), old));
    assert_eq!(server.workers(), [old]);
    server.place.open_gate("import");
    server.wait_for_log(&format!("(pid {old}) left"), 1);
    assert_ne!(pid(&server), old);
    assert_eq!(server.log().matches("is replaced").count(), 1, "{}", server.log());
}

#[test]
fn a_request_in_flight_is_finished_by_the_old_one() {
    let server = Server::new("threads=2\nmax-requests=1\nmin-worker-lifetime=0");
    let mut client = server.connect_and_send("/gate?g");
    let old = server.place.pid_at_gate("g");
    server.get("/ok").expect(200);
    server.wait_for_log(") serves", 2);
    assert_ne!(server.get("/pid").expect(200).text(), old.to_string());
    server.place.open_gate("g");
    client.response().expect(200);
    server.wait_for_log(&format!("(pid {old}) left"), 1);
}

#[test]
fn a_successor_that_cannot_start_leaves_the_old_one_serving() {
    let server = lazy("max-requests=2\nmax-requests-delta=0");
    server.place.write("on-import", "raise RuntimeError('broken')");
    let old = pid(&server);
    assert_eq!(pid(&server), old);
    server.wait_for_log(&format!("(pid {old}) serves on: its successor failed: "), 1);
    server.wait_for_log("RuntimeError: broken", 1);
    (0..10).for_each(|_| assert_eq!(pid(&server), old));
    server.wait_for_log("the next is started in 2 s", 1);
    std::fs::remove_file(server.place.join("on-import")).unwrap();
    server.wait_for_log(&format!("(pid {old}) left"), 1);
    assert_ne!(pid(&server), old);
}

#[test]
fn who_is_too_young_goes_on() {
    let began = Instant::now();
    let setup = Setup::new("max-requests=2\nmin-worker-lifetime=3").app(LAZY);
    let server = setup.start();
    let old = pid(&server);
    (0..10).for_each(|_| assert_eq!(pid(&server), old));
    server.wait_for_log("is replaced: it has answered 2 requests", 1);
    assert!(began.elapsed() >= Duration::from_secs(3), "{:?}", began.elapsed());
    server.wait_for_log(&format!("(pid {old}) left"), 1);
}

#[test]
fn a_worker_leaves_at_the_end_of_its_life_although_it_is_idle_and_young() {
    let server = Server::new("max-worker-lifetime=1\nmax-worker-lifetime-delta=0");
    server.wait_for_log("is replaced: it has served for 1 s (max-worker-lifetime)", 2);
    server.wait_for_log(") left", 2);
    server.get("/ok").expect(200);
}

#[test]
fn a_worker_whose_memory_stays_large_is_replaced_and_the_others_are_not() {
    let lines = "processes=2\nreload-on-rss=256\nmin-worker-lifetime=0\nmem-collector-freq=1";
    let server = Setup::new(lines).app(GREEDY).start();
    let greedy: i32 = server.get("/?400").expect(200).text().parse().unwrap();
    server.wait_for_log("MiB of memory, more than 256 (reload-on-rss)", 1);
    server.wait_for_log(&format!("(pid {greedy}) left"), 1);
    let replaced: Vec<i32> = told(&server)
        .into_iter()
        .filter(|(.., what)| what.starts_with("is replaced: it uses 4"))
        .map(|(_, pid, _)| pid)
        .collect();
    assert_eq!(replaced, [greedy]);
    assert_ne!(pid(&server), greedy);
    assert_eq!(server.log().matches("is replaced").count(), 1, "{}", server.log());
}

#[test]
fn a_worker_that_shares_nothing_is_measured_by_that() {
    let lines = "reload-on-uss=200\nmin-worker-lifetime=0\nmem-collector-freq=1";
    let server = Setup::new(lines).app(GREEDY).start();
    server.get("/?300").expect(200);
    server.wait_for_log("MiB of memory of its own, more than 200 (reload-on-uss)", 1);
    server.wait_for_log(") left", 1);
}

#[test]
fn a_stop_amid_a_replacement_is_a_stop() {
    let mut server = lazy("max-requests=1");
    server.place.write("on-import", "gate('import')");
    pid(&server);
    server.place.wait_for_gate("import");
    server.signal(Signal::SIGTERM);
    server.wait_for_log("stopping", 1);
    server.place.open_gate("import");
    assert!(server.wait().success());
}

#[test]
fn a_reload_amid_a_replacement_replaces_all() {
    let server = lazy("max-requests=1");
    server.place.write("on-import", "gate('import')");
    let old = pid(&server);
    server.place.wait_for_gate("import");
    server.signal(Signal::SIGHUP);
    server.wait_for_log("has imported the application", 1);
    server.place.open_gate("import");
    server.wait_for_log("reloaded: 1 worker", 1);
    server.wait_for_log(&format!("(pid {old}) left"), 1);
    wait::until("only the last generation", || (server.place.processes().len() == 3).then_some(()));
    assert_ne!(pid(&server), old);
}
