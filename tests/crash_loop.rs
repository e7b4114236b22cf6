//! What keeps failing: workers, templates, and both.

use std::fs;
use std::time::Duration;

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use crate::support::server::Server;
use crate::support::setup::Setup;
use crate::support::wait;

/// It dies of every request but `/pid`; and of the import, as a file says.
const POISON: &str = "
import os
if os.path.exists('on-import'):
    exec(open('on-import').read())
def application(environ, start_response):
    if environ['PATH_INFO'] == '/die':
        os.abort()
    start_response('200 OK', [])
    return [str(os.getpid()).encode()]
";

const PATIENCE: Duration = Duration::from_secs(60);

fn wait_long(what: &str, look: impl FnMut() -> Option<()>) {
    assert!(wait::within(PATIENCE, look).is_some(), "waited in vain: {what}");
}

/// Has the only worker die until it is a crash loop.
fn die_in_a_loop(server: &Server) {
    for count in 1..=5 {
        wait_long("a worker that serves", || {
            (server.log().matches(") serves").count() == count).then_some(())
        });
        let _ = server.connect().try_response_to("/die");
    }
}

#[test]
fn a_service_of_which_no_worker_stays_alive_fails_with_the_reason() {
    let mut server = Setup::new("").app(POISON).start();
    die_in_a_loop(&server);
    assert_eq!(server.wait().code(), Some(70), "{}", server.log());
    server.wait_for_log(
        "worker 1 keeps dying; see what the log says before each death. No worker",
        1,
    );
    let reason = "no worker stays alive, each has died at least 5 times in a row: worker 1 was killed \
                  by signal 6 (SIGABRT)";
    server.wait_for_log(&format!("critical: {reason}"), 1);
    server.wait_for_notification(&format!("STATUS={reason}"), 1);
}

#[test]
fn one_worker_that_keeps_dying_hurts_nobody_else() {
    let app = "
import os
def application(environ, start_response):
    start_response('200 OK', [])
    return [str(os.getpid()).encode()]
";
    let server = Setup::new("processes=2").app(app).start();
    let survivor = server.workers()[0];
    for count in 2..=6 {
        wait_long("two workers that serve", || {
            (server.log().matches(") serves").count() == count).then_some(())
        });
        let victim = server.workers().into_iter().rfind(|pid| *pid != survivor).unwrap();
        kill(Pid::from_raw(victim), Signal::SIGKILL).unwrap();
        server.get("/").expect(200);
    }
    server.wait_for_log(
        "keeps dying; see what the log says before each death. The other workers serve",
        1,
    );
    (0..20).for_each(|_| drop(server.get("/").expect(200)));
    assert!(server.place.processes().contains(&survivor));
}

#[test]
fn workers_serve_on_while_the_template_cannot_be_started() {
    let server = Setup::new("").app(POISON).start();
    let worker = server.workers()[0];
    let all = server.place.processes();
    let template = all.into_iter().find(|pid| ![server.pid(), worker].contains(pid)).unwrap();
    server
        .place
        .write("on-import", "open('tried', 'a').write('x'); raise RuntimeError('no database')");
    kill(Pid::from_raw(template), Signal::SIGKILL).unwrap();
    wait_long("four attempts", || (server.place.read("tried").len() >= 4).then_some(()));
    assert_eq!(server.get("/").expect(200).text(), worker.to_string());
    server.wait_for_notification("STATUS=serving: 1 worker × 1 thread for app; idle", 1);
    let is_told = || {
        let told = server.notifications();
        told.iter()
            .any(|line| line.contains("; degraded: no worker can be replaced: "))
            .then_some(())
    };
    wait_long("the status", is_told);
    // Each reason once: that it was killed, and that it cannot import.
    assert_eq!(
        server.log().matches("the workers serve on, a new template").count(),
        2,
        "{}",
        server.log()
    );
    assert_eq!(server.log().matches("RuntimeError: no database").count(), 1, "{}", server.log());
    fs::remove_file(server.place.join("on-import")).unwrap();
    wait_long("a template", || server.log().contains("there is a template again").then_some(()));
    let _ = server.connect().try_response_to("/die");
    server.wait_for_log(") serves", 2);
}

#[test]
fn a_reload_of_code_that_crashes_names_the_signal_and_the_old_code_serves() {
    let server = Setup::new("").app(POISON).start();
    let worker = server.workers()[0];
    server.place.write("on-import", "import ctypes; ctypes.string_at(0)");
    server.reload(1);
    server.wait_for_log(
        "reload failed, the old code serves on: the template was killed by signal 11",
        1,
    );
    server.wait_for_log("PYTHONFAULTHANDLER=1", 1);
    assert_eq!(server.get("/").expect(200).text(), worker.to_string());
}
