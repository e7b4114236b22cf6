//! What is counted survives a restart and a crash, and nothing that was put in its place is believed.

use std::fs::File;
use std::os::fd::OwnedFd;
use std::os::unix::fs::FileExt as _;
use std::time::Instant;

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use serde_json::Value;

use crate::support::client::Client;
use crate::support::manager::Service;
use crate::support::setup::Setup;
use crate::support::upgrade::{replaceable, upgrade};
use crate::support::wait;

fn setup() -> Setup {
    let lines = "http = app.sock\nprocesses = 2\ncontrol-socket = control";
    Setup::classic(&format!("[rwsgi]\nchdir = %d\nwsgi-file = app.py\n{lines}\n"))
}

fn started() -> Service {
    let mut service = Service::new(setup());
    service.start();
    service
}

fn ask(service: &Service, path: &str, times: usize) {
    for _ in 0..times {
        Client::unix(&service.place().join("app.sock")).get(path);
    }
}

/// Waits until so many requests are counted: that happens when the response has left.
fn counts(service: &Service, requests: u64) -> Value {
    let mut last = Value::Null;
    wait::within(wait::DEADLINE, || {
        last = service.status();
        (last["total"]["requests"] == requests).then_some(())
    });
    assert_eq!(last["total"]["requests"], requests, "{last}\n{}", service.log());
    last
}

#[test]
fn totals_survive_restarts_and_crashes_and_end_with_a_stop() {
    let mut service = started();
    ask(&service, "/ok", 7);
    ask(&service, "/error", 2);
    let first = counts(&service, 9);
    service.restart();
    let second = counts(&service, 9);
    for name in ["exceptions", "bytes_sent"] {
        assert_eq!(first["total"][name], second["total"][name], "{second}");
    }
    assert_eq!((&first["starts"], &second["starts"]), (&1.into(), &2.into()));
    assert_eq!(second["workers"][0]["counters"]["requests"], 0, "{second}");
    ask(&service, "/ok", 3);
    counts(&service, 12);
    // Whoever is killed, whenever: workers count.
    service.crash();
    service.start();
    let third = counts(&service, 12);
    assert_eq!((&third["starts"], &third["total"]["exceptions"]), (&3.into(), &2.into()));
    service.restart();
    service.end(Signal::SIGTERM);
    assert!(service.log().contains("stopped after 0 requests"), "{}", service.log());
    service.forget();
    let began = Instant::now();
    service.start();
    let anew = counts(&service, 0);
    assert_eq!(anew["starts"], 1, "{anew}");
    assert!(anew["counted_seconds"].as_u64().unwrap() <= began.elapsed().as_secs(), "{anew}");
}

#[test]
fn reloads_and_replaced_workers_are_counted_over_restarts() {
    let mut service = started();
    service.reload();
    let ready = |status: &Value, number: u64| {
        let workers = status["workers"].as_array().unwrap();
        let is_it = |worker: &&Value| worker["worker"] == number && worker["phase"] == "ready";
        workers.iter().find(is_it).cloned().unwrap_or_default()
    };
    let (number, status) = (1, service.status());
    let pid = ready(&status, number)["pid"].as_i64().unwrap();
    kill(Pid::from_raw(i32::try_from(pid).unwrap()), Signal::SIGKILL).unwrap();
    let of = |status: &Value| ready(status, number);
    wait::until("its death", || (of(&service.status())["restarts"] == 1).then_some(()));
    for start in 2..4 {
        service.crash();
        service.start();
        let status = service.status();
        assert_eq!((&status["reloads"], &status["starts"]), (&1.into(), &start.into()));
        let worker = of(&status);
        assert_eq!(worker["restarts"], 1, "{status}");
        assert!(worker["last_restart"]["cause"].as_str().unwrap().contains("SIGKILL"), "{worker}");
    }
}

#[test]
fn a_start_that_fails_takes_nothing_away() {
    let mut service = started();
    ask(&service, "/ok", 5);
    counts(&service, 5);
    service.end(Signal::SIGTERM);
    let good = service.place().read("app.py");
    service.place().write("app.py", "import nothing_there\n");
    service.launch();
    service.failed(70);
    service.place().write("app.py", &good);
    service.start();
    assert_eq!(counts(&service, 5)["starts"], 2);
}

#[test]
fn garbage_is_told_and_counted_from_zero() {
    let said = "counters of earlier starts are not used, all begin at 0: ";
    let mut service = started();
    let app = service.place().join("app.py");
    let file = || OwnedFd::from(File::open(&app).unwrap());
    let spoil: [&dyn Fn(&Service); 4] = [
        &|service| service.store("rwsgi-counters", file()),
        &|service| service.store("rwsgi-counters", service.taken("rwsgi-scoreboard")),
        &|service| {
            let ledger = File::from(service.taken("rwsgi-counters"));
            ledger.write_all_at(&vec![0x5a; 256 * 1024], 0).unwrap();
        },
        &|service| {
            let board = File::from(service.taken("rwsgi-scoreboard"));
            board.write_all_at(&[0xff; 8], 0).unwrap();
        },
    ];
    for spoil in spoil {
        ask(&service, "/ok", 2);
        counts(&service, 2);
        service.end(Signal::SIGTERM);
        spoil(&service);
        service.start();
        service.wait_for_log(said, 1);
        assert_eq!(counts(&service, 0)["starts"], 1);
        assert_eq!(service.stored().len(), 3, "{:?}", service.stored());
    }
}

#[test]
fn a_takeover_goes_on_counting() {
    let mut service = Service::new(replaceable(setup()));
    service.start();
    ask(&service, "/ok", 4);
    counts(&service, 4);
    service.crash();
    service.start();
    upgrade(service.place());
    service.reload();
    service.wait_for_log(" has taken over from ", 1);
    ask(&service, "/ok", 2);
    let status = counts(&service, 6);
    assert_eq!((&status["starts"], &status["reloads"]), (&2.into(), &1.into()), "{status}");
    assert_eq!(service.stored().len(), 3, "{:?}", service.stored());
    service.crash();
    service.start();
    let status = counts(&service, 6);
    assert_eq!((&status["starts"], &status["reloads"]), (&3.into(), &1.into()), "{status}");
}
