//! What a supervisor is told, and when.

use std::time::{Duration, Instant};

use nix::sys::signal::Signal;

use crate::support::server::Server;
use crate::support::setup::Setup;
use crate::support::wait;

const SLOW: &str = "
import os, time
open('entered-import', 'w').close()
while not os.path.exists('open-import'):
    time.sleep(0.005)
def application(e, s):
    s('200 OK', [])
    return [b'slow']
";

fn says(server: &Server, line: &str) -> bool {
    server.notifications().iter().any(|message| message.lines().any(|said| said == line))
}

#[test]
fn ready_comes_after_the_import_and_the_server_answers_then() {
    let server = Server::launch(Setup::new("processes=2").app(SLOW));
    server.place.wait_for_gate("import");
    assert!(!says(&server, "READY=1"));
    server.place.open_gate("import");
    server.wait_for_notification("READY=1", 1);
    assert_eq!(server.workers().len(), 2);
    assert_eq!(server.get("/").expect(200).text(), "slow");
}

#[test]
fn a_failed_start_never_says_ready_and_says_why() {
    let mut server = Server::launch(Setup::new("").app("import nothing_there\n"));
    assert_eq!(server.wait().code(), Some(70));
    assert!(!says(&server, "READY=1"));
    server.wait_for_notification("STATUS=the application cannot be imported", 1);
}

#[test]
fn reloading_comes_with_the_time_and_ends_with_ready() {
    let server = Server::new("");
    server.reload(1);
    let said = server.notifications();
    let reloading = said.iter().position(|message| message.contains("RELOADING=1")).unwrap();
    let time = said[reloading].lines().find_map(|line| line.strip_prefix("MONOTONIC_USEC="));
    assert!(time.unwrap().parse::<u64>().unwrap() > 0);
    let ready = said.iter().rposition(|message| message.contains("READY=1")).unwrap();
    assert!(ready > reloading, "{said:?}");
}

#[test]
fn a_reload_that_failed_for_its_configuration_is_told_as_ended() {
    // systemd waits for RELOADING=1 after the signal of Type=notify-reload, and READY=1 after it.
    let server = Server::new("");
    server.place.write("app.ini", "[rwsgi]\nfrob = 1\n");
    server.signal(Signal::SIGHUP);
    server.wait_for_notification("RELOADING=1", 1);
    server.wait_for_notification("READY=1", 2);
}

#[test]
fn stopping_is_told() {
    let mut server = Server::new("");
    assert!(server.stop().success());
    server.wait_for_notification("STOPPING=1", 1);
}

#[test]
fn the_status_counts() {
    let server = Server::new("processes=2\nthreads=2");
    server.get("/ok").expect(200);
    server.get("/ok").expect(200);
    server.reload(1);
    let line = server
        .notifications()
        .into_iter()
        .rev()
        .find(|said| said.starts_with("STATUS=serving: 2 workers × 2 threads for app; "))
        .unwrap();
    let figures = line.rsplit_once("; ").unwrap().1;
    assert!(figures.ends_with(" ms, 0 waiting") && figures.contains(" requests/s, p95 "), "{line}");
}

#[test]
fn an_idle_server_says_nothing() {
    let server = Server::new("");
    server.wait_for_notification("STATUS=serving: 1 worker × 1 thread for app; idle", 1);
    let said = server.notifications().len();
    // Longer than the time between two figures.
    let more = || (server.notifications().len() > said).then_some(());
    let heard = wait::within(Duration::from_secs(11), more);
    assert!(heard.is_none(), "{:?}", &server.notifications()[said..]);
}

#[test]
fn figures_are_told_now_and_then() {
    let server = Server::new("processes=1");
    let before = server.notifications().len();
    let began = Instant::now();
    let lines = || {
        let said = server.notifications();
        said[before..].iter().filter(|one| one.starts_with("STATUS=serving")).count()
    };
    while began.elapsed() < Duration::from_secs(4) || lines() == 0 {
        server.get("/ok").expect(200);
        // Each is news, and a reason to tell the status.
        server.place.write("app.ini", "[rwsgi]\nfrob = 1\n");
        server.signal(Signal::SIGHUP);
        assert!(began.elapsed() < wait::DEADLINE, "nothing is told");
    }
    // One in three seconds, and one at each end.
    let lines = lines() as u64;
    let most = began.elapsed().as_secs() / 3 + 2;
    assert!(lines <= most, "{lines}, not {most}: {:?}", server.notifications());
}

#[test]
fn the_application_is_not_told_of_the_supervisor() {
    let app = "import os\ndef application(e, s):\n    s('200 OK', [])\n    \
        return [' '.join(sorted(os.environ)).encode()]\n";
    let text = Setup::new("").app(app).start().get("/").expect(200).text();
    assert!(!text.contains("NOTIFY_SOCKET") && text.contains("PATH"), "{text}");
}

#[test]
fn every_worker_is_told_with_its_pid() {
    let server = Server::new("processes=24");
    assert_eq!(server.workers().len(), 24);
    assert!(!server.log().contains("(pid 0)"), "{}", server.log());
}
