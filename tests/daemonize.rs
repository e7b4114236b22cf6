//! The classic INI file: background, pidfile, log file.

use std::collections::BTreeSet;
use std::fs;
use std::process::ExitStatus;

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use crate::support::client::Client;
use crate::support::place::Place;
use crate::support::server::address;
use crate::support::setup::Setup;
use crate::support::wait;

/// As people have it, `process` included; only the port is chosen by the system.
const CLASSIC: &str = "[uwsgi]
http = 127.0.0.1:0
chdir = %d
wsgi-file = app.py
master = true
process = 4
threads = 2
daemonize = app.log
pidfile = app.pid
";

/// A server in the background.
struct Daemon {
    setup: Setup,
}

impl Daemon {
    fn start() -> Self {
        let mut setup = Setup::classic(CLASSIC);
        let status = setup.run_again();
        let daemon = Self { setup };
        assert!(status.success(), "{status}\n{}", daemon.log());
        daemon
    }

    fn place(&self) -> &Place {
        &self.setup.place
    }

    fn log(&self) -> String {
        self.place().read("app.log")
    }

    fn wait_for_log(&self, text: &str) {
        let found = wait::within(wait::DEADLINE, || self.log().contains(text).then_some(()));
        assert!(found.is_some(), "no `{text}` in:\n{}", self.log());
    }

    fn pid(&self) -> Option<i32> {
        self.place().read("app.pid").trim().parse().ok()
    }

    fn connect(&self) -> Client {
        Client::connect(address(self.place(), "app.log"))
    }

    fn get(&self, path: &str) -> String {
        self.connect().get(path).expect(200).text()
    }

    /// `rwsgi ARGUMENTS`, and what it printed.
    fn command(&mut self, arguments: &[&str]) -> (ExitStatus, String) {
        let setup = std::mem::replace(&mut self.setup, Setup::new(""));
        self.setup = setup.arguments(arguments);
        let status = self.setup.run_again();
        (status, self.place().read("stderr"))
    }
}

impl Drop for Daemon {
    fn drop(&mut self) {
        if let Some(pid) = self.pid().filter(|pid| self.place().processes().contains(pid)) {
            let _ = kill(Pid::from_raw(pid), Signal::SIGTERM);
            self.place().is_deserted_within(wait::DEADLINE);
        }
        if std::thread::panicking() {
            println!("--- log ---\n{}", self.log());
        }
    }
}

#[test]
fn the_classic_file_serves_when_the_command_returns() {
    let daemon = Daemon::start();
    daemon.connect().get("/ok").expect(200);
    let pid = daemon.pid().unwrap();
    assert!(daemon.place().processes().contains(&pid));
    daemon.wait_for_log("4 workers × 2 threads");
    assert_eq!(daemon.log().matches(") serves").count(), 4);
    daemon.wait_for_log("`process` is taken for `processes`");
    daemon.wait_for_log("\"GET /ok HTTP/1.1\" 200 2");
}

#[test]
fn four_workers_run_two_requests_each_at_the_same_time() {
    let daemon = Daemon::start();
    let mut clients: Vec<_> = (0..8).map(|_| daemon.connect()).collect();
    for (number, client) in clients.iter_mut().enumerate() {
        client.send(format!("GET /gate?{number} HTTP/1.1\r\nHost: test\r\n\r\n"));
    }
    (0..8).for_each(|number| daemon.place().wait_for_gate(&number.to_string()));
    (0..8).for_each(|number| daemon.place().open_gate(&number.to_string()));
    clients.iter_mut().for_each(|client| drop(client.response().expect(200)));
    let pids: BTreeSet<_> = (0..64).map(|_| daemon.get("/pid")).collect();
    assert!(!pids.is_empty() && pids.len() <= 4, "{pids:?}");
}

#[test]
fn a_failing_import_is_told_in_front_and_leaves_no_pidfile() {
    let ended = Setup::classic(CLASSIC).app("import nothing_there\n").run();
    assert!(!ended.place.join("app.pid").exists());
    ended.refuses(70, &["Traceback", "No module named 'nothing_there'"]);
}

#[test]
fn a_second_start_is_refused_and_the_running_one_unharmed() {
    let mut daemon = Daemon::start();
    let pid = daemon.pid();
    let (status, said) = daemon.command(&["app.ini"]);
    assert_eq!(status.code(), Some(71), "{said}");
    assert!(said.contains("belongs to a running instance"), "{said}");
    assert_eq!((daemon.get("/ok").as_str(), daemon.pid()), ("ok", pid));
}

#[test]
fn stop_waits_for_the_request_in_flight() {
    let mut daemon = Daemon::start();
    let mut client = daemon.connect();
    client.send("GET /gate?stop HTTP/1.1\r\nHost: test\r\n\r\n");
    daemon.place().wait_for_gate("stop");
    let stop = daemon.setup.place.path().to_owned();
    let opener = std::thread::spawn(move || {
        let stopping =
            || fs::read_to_string(stop.join("app.log")).ok()?.contains("stopping").then_some(());
        wait::until("the stop", stopping);
        fs::write(stop.join("open-stop"), "").unwrap();
    });
    let (status, said) = daemon.command(&["--stop", "app.pid"]);
    opener.join().unwrap();
    assert!(status.success(), "{said}");
    client.response().expect(200);
    assert!(!daemon.place().join("app.pid").exists());
    assert_eq!(daemon.place().processes(), Vec::<i32>::new());
}

#[test]
fn a_stale_pidfile_kills_nobody_and_says_so() {
    let mut stranger = std::process::Command::new("sleep").arg("60").spawn().unwrap();
    let pid = stranger.id().to_string();
    for option in ["--stop", "--reload"] {
        let setup = Setup::classic(CLASSIC).file("app.pid", &pid);
        setup.arguments(&[option, "app.pid"]).run().refuses(69, &["it is stale"]);
    }
    assert!(stranger.try_wait().unwrap().is_none());
    let mut daemon = Daemon { setup: Setup::classic(CLASSIC).file("app.pid", &pid) };
    assert!(daemon.setup.run_again().success(), "{}", daemon.log());
    assert_eq!(daemon.get("/ok"), "ok");
    assert!(stranger.try_wait().unwrap().is_none());
    stranger.kill().unwrap();
    stranger.wait().unwrap();
}

#[test]
fn reload_loads_new_code() {
    let mut daemon = Daemon::start();
    let pid = daemon.pid();
    let app = "def application(e, s):\n    s('200 OK', [])\n    return [b'new']\n";
    daemon.place().write("app.py", app);
    let (status, said) = daemon.command(&["--reload", "app.pid"]);
    assert!(status.success(), "{said}");
    daemon.wait_for_log("reloaded: 4 workers");
    wait::until("the new code", || (daemon.get("/") == "new").then_some(()));
    assert_eq!(daemon.pid(), pid);
}

#[test]
fn the_log_is_opened_anew_after_rotation() {
    let daemon = Daemon::start();
    let address = address(daemon.place(), "app.log");
    fs::rename(daemon.place().join("app.log"), daemon.place().join("old.log")).unwrap();
    kill(Pid::from_raw(daemon.pid().unwrap()), Signal::SIGUSR1).unwrap();
    wait::until("the new log", || daemon.place().join("app.log").exists().then_some(()));
    wait::until("requests in the new log", || {
        Client::connect(address).get("/rotated").expect(404);
        daemon.log().contains("GET /rotated").then_some(())
    });
}

#[test]
fn what_the_application_prints_goes_to_the_log_file() {
    let app = "import sys\ndef application(e, s):\n    print('printed', 1)\n\
        \x20   sys.stderr.write('written\\n')\n    s('200 OK', [])\n    return [b'ok']\n";
    let server = Setup::new("logto=out.log").app(app).start();
    let log = || server.place.read("out.log");
    Client::connect(address(&server.place, "out.log")).get("/").expect(200);
    wait::until("both texts", || {
        (log().contains("printed 1") && log().contains("written")).then_some(())
    });
}
