//! SIGKILL for whichever process in whichever state: what is lost is what that process itself had.

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use crate::support::client::Client;
use crate::support::load::{failures_under_load, under_load};
use crate::support::server::Server;
use crate::support::setup::Setup;
use crate::support::wait;

/// The kitchen, whose import waits at the gate `import` when it is the one that `block` says: the
/// first, the second …
const COUNTING: &str = "
import os
with open('imports', 'a') as file:
    file.write('x')
    file.flush()
    number = file.tell()
if os.path.exists('block') and number == int(open('block').read() or 0):
    gate('import')
";

fn counting(setup: Setup) -> Server {
    let kitchen = include_str!("support/apps/kitchen.py");
    setup.app(&format!("{kitchen}{COUNTING}")).start()
}

fn placed(lines: &str) -> Setup {
    Setup::classic(&format!("{PLACES}{lines}\n"))
}

fn end(pid: i32) {
    assert!(pid > 1, "no such process");
    kill(Pid::from_raw(pid), Signal::SIGKILL).unwrap();
}

/// The processes that are neither the master nor workers that have served.
fn others(server: &Server) -> Vec<i32> {
    let known = [vec![server.pid()], server.workers()].concat();
    server.place.processes().into_iter().filter(|pid| !known.contains(pid)).collect()
}

/// A request that waits at the gate `g`, and the worker that it waits in.
fn busy(server: &Server) -> (Client, i32) {
    let client = server.connect_and_send("/gate?g");
    (client, server.place.pid_at_gate("g"))
}

/// Kills the master of a server in the state to which `reach` brings it; what that returns is answered
/// all the same, nobody is left, and the next start does as if nothing had been.
fn master_killed(mut server: Server, reach: impl FnOnce(&Server) -> Option<Client>) {
    let client = reach(&server);
    server.signal(Signal::SIGKILL);
    server.wait();
    server.place.open_gate("g");
    client.into_iter().for_each(|mut client| drop(client.response().expect(200)));
    assert!(server.place.is_deserted_within(wait::DEADLINE), "{}", server.log());
    let at = |name: &str| server.place.join(name).display().to_string();
    let mut next = Setup::classic(&format!(
        "[rwsgi]\nhttp = {}\nhttp = {}\npidfile = {}\nchdir = %d\nwsgi-file = app.py\n",
        server.address(),
        at("app.sock"),
        at("pid")
    ))
    .start();
    next.get("/ok").expect(200);
    assert_eq!(next.stop().code(), Some(0));
}

/// An address that no client gets for its own end while nobody listens.
const PLACES: &str = "[rwsgi]\nhttp = 127.0.0.2:0\nhttp = app.sock\npidfile = pid\nchdir = %d\n\
    wsgi-file = app.py\n";

#[test]
fn a_master_while_a_new_generation_is_asked_the_probe() {
    let server = placed("processes=2").start();
    master_killed(server, |server| {
        let (client, _) = busy(server);
        let ini = server.place.read("app.ini");
        server.place.write("app.ini", &format!("{ini}reload-probe = /gate?p\n"));
        server.signal(Signal::SIGHUP);
        server.place.wait_for_gate("p");
        Some(client)
    });
}

#[test]
fn a_master_while_generations_change() {
    let server = counting(placed("processes=2\nlazy-apps=true"));
    master_killed(server, |server| {
        let (client, _) = busy(server);
        server.place.write("block", "4");
        server.signal(Signal::SIGHUP);
        server.place.wait_for_gate("import");
        Some(client)
    });
}

#[test]
fn a_master_while_old_workers_drain() {
    master_killed(placed("processes=2").start(), |server| {
        let (client, _) = busy(server);
        server.reload(1);
        Some(client)
    });
}

#[test]
fn a_master_while_a_worker_is_replaced() {
    let server = counting(placed("processes=2\nlazy-apps=true"));
    master_killed(server, |server| {
        let (client, pid) = busy(server);
        server.place.write("block", "3");
        end(server.workers().into_iter().find(|other| *other != pid).unwrap());
        server.place.wait_for_gate("import");
        Some(client)
    });
}

#[test]
fn a_master_whose_workers_sleep() {
    master_killed(placed("idle=1").start(), |server| {
        server.wait_for_log("all workers leave: no request for 1 s (idle)", 1);
        None
    });
}

#[test]
fn a_master_that_stops() {
    master_killed(placed("processes=2").start(), |server| {
        let (client, pid) = busy(server);
        server.signal(Signal::SIGTERM);
        let alone = || server.place.processes().iter().all(|one| [server.pid(), pid].contains(one));
        wait::until("only the busy worker", || alone().then_some(()));
        Some(client)
    });
}

/// Kills what `victim` finds amid a reload that waits at a gate, under load: the reload fails, and that
/// is all.
fn reload_killed(server: &Server, gate: &str, victim: impl FnOnce() -> i32) {
    under_load(server.address(), true, |answered| {
        server.signal(Signal::SIGHUP);
        server.place.wait_for_gate(gate);
        let before = answered();
        end(victim());
        server.wait_for_log("reload failed, the old code serves on", 1);
        wait::until("answers", || (answered() > before + 20).then_some(()));
    });
}

#[test]
fn a_template_that_imports_new_code() {
    let server = counting(Setup::new("processes=2\ndisable-logging=true"));
    server.place.write("block", "2");
    let old = others(&server);
    let new = || others(&server).into_iter().find(|pid| !old.contains(pid)).unwrap();
    reload_killed(&server, "import", new);
    std::fs::remove_file(server.place.join("block")).unwrap();
    server.reload(2);
    server.wait_for_log("reloaded: 2 workers", 1);
}

#[test]
fn a_first_worker_that_is_asked_the_probe() {
    let server = Server::new("processes=2\ndisable-logging=true");
    let ini = server.place.read("app.ini");
    server.place.write("app.ini", &format!("{ini}reload-probe = /gate?p\n"));
    reload_killed(&server, "p", || server.place.pid_at_gate("p"));
    server.place.write("app.ini", &ini);
    server.reload(2);
    server.wait_for_log("reloaded: 2 workers", 1);
}

#[test]
fn a_new_worker_while_generations_change() {
    let server = counting(Setup::new("processes=2\nlazy-apps=true\ndisable-logging=true"));
    server.place.write("block", "4");
    reload_killed(&server, "import", || server.place.pid_at_gate("import"));
    server.reload(2);
    server.wait_for_log("reloaded: 2 workers", 1);
}

#[test]
fn a_template_that_imports_at_the_start_is_a_start_that_fails() {
    let app = "import os, time\nopen('entered-import', 'w').close()\ntime.sleep(30)\n";
    let mut server = Server::launch(Setup::new("pidfile = pid\nhttp = app.sock").app(app));
    server.place.wait_for_gate("import");
    let template = server.place.processes().into_iter().find(|pid| *pid != server.pid());
    end(template.unwrap());
    assert!(!server.wait().success());
    server.wait_for_log("SIGKILL", 1);
    assert!(!server.place.join("pid").exists() && !server.place.join("app.sock").exists());
}

#[test]
fn a_template_under_load_and_asleep() {
    let server = Server::new("processes=2\nidle=1\ndisable-logging=true");
    under_load(server.address(), false, |answered| {
        let before = answered();
        end(others(&server)[0]);
        server.wait_for_log("has imported the application", 2);
        wait::until("answers", || (answered() > before + 20).then_some(()));
    });
    server.wait_for_log("all workers leave: no request for 1 s (idle)", 1);
    let two = || (server.place.processes().len() == 2).then_some(());
    wait::until("master and template", two);
    end(others(&server)[0]);
    server.get("/ok").expect(200);
}

/// Whether a request failed as those do that a killed worker had.
fn is_of_the_dead(failure: &str) -> bool {
    let kinds = ["ConnectionReset", "BrokenPipe", "UnexpectedEof", "Ok(0)"];
    kinds.iter().any(|kind| failure.contains(kind))
}

#[test]
fn a_worker_that_drains_loses_its_own_requests_only() {
    let server = Server::new("processes=2\ndisable-logging=true");
    let (mut client, pid) = busy(&server);
    let failures = failures_under_load(server.address(), false, |answered| {
        server.reload(1);
        end(pid);
        assert!(client.is_closed());
        let before = answered();
        wait::until("answers", || (answered() > before + 50).then_some(()));
    });
    // While no worker was free, it may have taken in one request of each of the four clients.
    assert!(
        failures.len() <= 4 && failures.iter().all(|failure| is_of_the_dead(failure)),
        "{failures:?}"
    );
    server.get("/ok").expect(200);
}

#[test]
fn workers_under_load_lose_what_they_had_and_nobody_is_refused_or_forgotten() {
    for keep in [false, true] {
        let server = Server::new("processes=4\nthreads=2\ndisable-logging=true");
        let failures = failures_under_load(server.address(), keep, |answered| {
            for (count, pid) in server.workers().into_iter().enumerate() {
                let before = answered();
                end(pid);
                server.wait_for_log(") serves", 5 + count);
                wait::until("answers", || (answered() > before + 50).then_some(()));
            }
        });
        // Four clients have one request each, and four workers are killed.
        assert!(failures.len() <= 16, "{failures:?}");
        assert!(failures.iter().all(|failure| is_of_the_dead(failure)), "{failures:?}");
    }
}
