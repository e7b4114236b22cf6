//! Reloads of code that cannot be imported.

use crate::support::server::Server;
use crate::support::setup::Setup;
use crate::support::wait;

const GOOD: &str = "def application(e, s):\n    s('200 OK', [])\n    return [b'good']\n";

fn survives(bad: &str, reason: &str) {
    let server = Server::new("processes=2");
    server.place.write("app.py", bad);
    server.reload(1);
    server.wait_for_log("reload failed, the old code serves on", 1);
    server.wait_for_log(reason, 1);
    (0..4).for_each(|_| assert_eq!(server.get("/ok").expect(200).text(), "ok"));
    server.wait_for_notification("STATUS=serving: 2 workers × 1 thread for app", 1);
    server.place.write("app.py", GOOD);
    server.reload(2);
    server.wait_for_log("reloaded: 2 workers", 1);
    (0..4).for_each(|_| assert_eq!(server.get("/").expect(200).text(), "good"));
}

#[test]
fn an_import_error_keeps_the_old_code() {
    survives("import nothing_there\n", "No module named 'nothing_there'");
}

#[test]
fn a_syntax_error_keeps_the_old_code() {
    survives("def (\n", "SyntaxError");
}

#[test]
fn a_process_that_dies_while_it_imports_keeps_the_old_code() {
    survives("import os, signal\nos.kill(os.getpid(), signal.SIGKILL)\n", "the template");
}

#[test]
fn a_failed_reload_leaves_no_process() {
    let server = Server::new("");
    let before = server.place.processes().len();
    server.place.write("app.py", "import nothing_there\n");
    server.reload(1);
    let same = || (server.place.processes().len() == before).then_some(());
    wait::until("the failed template to leave", same);
}

#[test]
fn a_thread_that_the_application_left_behind_keeps_no_process_alive() {
    let app = "import threading, time\n\
        threading.Thread(target=time.sleep, args=(1000,)).start()\n\
        def application(e, s):\n    s('200 OK', [])\n    return [b'ok']\n";
    let mut server = Setup::new("").app(app).start();
    for count in 1..=3 {
        server.reload(count);
        server.wait_for_log("reloaded: 1 worker", count);
    }
    // Master, template, worker; the old ones are gone or about to go.
    wait::until("three processes", || (server.place.processes().len() == 3).then_some(()));
    assert_eq!(server.stop().code(), Some(0));
}

#[test]
fn workers_of_a_failed_reload_say_that_they_end_for_it() {
    let server = Server::new("processes=2\nlazy-apps = true\nreload-probe = /ok");
    server.place.write("app.py", "def application(e, s):\n    s('500 No', [])\n    return [b'']\n");
    server.reload(1);
    server.wait_for_log("reload failed, the old code serves on", 1);
    server.wait_for_log(": its reload has failed", 1);
    let log = server.log();
    assert!(!log.contains("signal 15"), "{log}");
}
