//! What systemd keeps over a restart: nobody is refused, and nobody waits where nobody accepts.

use std::fs;
use std::net::{SocketAddr, TcpListener};
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _};
use std::os::unix::net::UnixListener;
use std::path::Path;
use std::sync::atomic::{AtomicU16, Ordering::Relaxed};

use nix::sys::signal::Signal;

use crate::support::client::Client;
use crate::support::load::{Door, failures_at};
use crate::support::manager::Service;
use crate::support::setup::Setup;
use crate::support::wait;

/// An address that is free, and that nobody else takes meanwhile: a loopback address of its own.
fn free() -> SocketAddr {
    static LAST: AtomicU16 = AtomicU16::new(0);
    let [high, low] = LAST.fetch_add(1, Relaxed).to_be_bytes();
    let address = ([127, 77, high, low + 1], 0);
    TcpListener::bind(SocketAddr::from(address)).unwrap().local_addr().unwrap()
}

fn ini(lines: &str) -> String {
    format!("[rwsgi]\nchdir = %d\nwsgi-file = app.py\n{lines}\n")
}

fn service(lines: &str) -> Service {
    Service::new(Setup::classic(&ini(lines)))
}

/// Asks, and does not wait for the answer.
fn waiting(mut client: Client) -> Client {
    client.send("GET /ok HTTP/1.1\r\nHost: test\r\nConnection: close\r\n\r\n");
    client
}

fn inode(path: &Path) -> u64 {
    fs::symlink_metadata(path).unwrap().ino()
}

#[test]
fn many_restarts_and_crashes_under_load_lose_and_refuse_nothing() {
    let address = free();
    let mut service =
        service(&format!("http = {address}\nsocket = app.sock\nprocesses = 2\nthreads = 2"));
    service.start();
    assert_eq!(service.listeners(), 2, "{:?}", service.stored());
    let path = service.place().join("app.sock");
    let doors = [Door::http(address, false), Door::http(address, true), Door::uwsgi(path.clone())];
    let before = inode(&path);
    let failures = failures_at(&doors, 2, |answered| {
        let mut next = |how: &dyn Fn(&mut Service)| {
            let seen = answered();
            how(&mut service);
            wait::until("answers", || (answered() > seen + 50).then_some(()));
        };
        for _ in 0..3 {
            next(&Service::restart);
            next(&|service| {
                service.crash();
                service.start();
            });
        }
    });
    assert!(failures.is_empty(), "{}: {failures:?}", failures.len());
    assert_eq!((inode(&path), service.listeners()), (before, 2), "{:?}", service.stored());
}

#[test]
fn who_connects_between_two_starts_is_served_by_the_second() {
    let address = free();
    let mut service = service(&format!("http = {address}\nhttp = app.sock\nhttp = @{address}"));
    service.start();
    let path = service.place().join("app.sock");
    for signal in [Signal::SIGTERM, Signal::SIGKILL] {
        service.end(signal);
        let mut clients = [waiting(Client::connect(address)), waiting(Client::unix(&path))];
        service.start();
        clients.iter_mut().for_each(|client| drop(client.response().expect(200)));
    }
    assert_eq!(service.listeners(), 3, "{:?}", service.stored());
}

#[test]
fn a_listener_that_is_not_configured_any_more_is_closed_and_its_file_removed() {
    let address = free();
    let mut service = service(&format!("http = {address}\nhttp = old.sock\nhttp = 127.0.0.1:0"));
    service.start();
    let old = service.place().join("old.sock");
    service.end(Signal::SIGTERM);
    let mut client = waiting(Client::unix(&old));
    service.place().write("app.ini", &ini(&format!("http = {address}")));
    service.start();
    assert!(client.is_reset() || client.is_closed());
    assert!(!old.exists());
    assert_eq!(service.listeners(), 1, "{:?}", service.stored());
    Client::connect(address).get("/ok").expect(200);
}

#[test]
fn a_listener_for_all_addresses_is_not_in_the_way_of_one_for_one() {
    let address = free();
    let mut service = service(&format!("http = 0.0.0.0:{}", address.port()));
    service.start();
    for lines in [format!("http = {address}"), format!("http = 0.0.0.0:{}", address.port())] {
        service.end(Signal::SIGTERM);
        service.place().write("app.ini", &ini(&lines));
        service.start();
        service.wait_for_log("is not configured any more: closed", 1);
        Client::connect(address).get("/ok").expect(200);
        assert_eq!(service.listeners(), 1, "{:?}", service.stored());
    }
}

#[test]
fn when_all_are_killed_only_requests_in_flight_are_lost() {
    // As systemd does it when the master is gone (KillMode=mixed).
    let address = free();
    let mut service = service(&format!("http = {address}\nsocket = app.sock\nprocesses = 2"));
    service.start();
    let path = service.place().join("app.sock");
    let doors = [Door::http(address, false), Door::uwsgi(path)];
    let (clients, kills) = (2, 3);
    let failures = failures_at(&doors, clients, |answered| {
        for _ in 0..kills {
            service.crash();
            service.kill_what_is_left();
            service.start();
            let seen = answered();
            wait::until("answers", || (answered() > seen + 50).then_some(()));
        }
    });
    assert!(failures.len() <= doors.len() * clients * kills, "{failures:?}");
    let is_refusal = |failure: &String| {
        ["Refused", "NotFound", "TimedOut", "WouldBlock"].iter().any(|kind| failure.contains(kind))
    };
    assert!(!failures.iter().any(is_refusal), "{failures:?}");
}

#[test]
fn a_stop_leaves_its_listeners_to_the_socket_unit_that_the_ini_file_now_asks_for() {
    let address = free();
    let mut service = service(&format!("http = {address}"));
    service.start();
    let asked = ini(&format!("http = {address}\nsocket-activation = true"));
    service.place().write("app.ini", &asked);
    service.end(Signal::SIGTERM);
    assert_eq!(service.listeners(), 0, "{:?}", service.stored());
    assert!(!service.stored().is_empty(), "what is counted goes on");
    let unit = TcpListener::bind(address).unwrap();
    let mut service = service.socket("http", &unit);
    service.start();
    Client::connect(address).get("/ok").expect(200);
}

#[test]
fn a_reload_adds_to_the_store_and_takes_from_it() {
    let address = free();
    let mut service = service(&format!("http = {address}\nhttp = old.sock"));
    service.start();
    let (old, new) = (service.place().join("old.sock"), service.place().join("new.sock"));
    service.place().write("app.ini", &ini(&format!("http = {address}\nhttp = new.sock")));
    service.reload();
    assert_eq!(service.listeners(), 2, "{:?}", service.stored());
    assert!(!old.exists() && new.exists());
    service.end(Signal::SIGKILL);
    let mut client = waiting(Client::unix(&new));
    service.start();
    client.response().expect(200);
}

#[test]
fn the_mode_of_a_socket_that_is_kept_is_that_of_the_configuration() {
    let mut service = service("http = app.sock\nchmod-socket = 660");
    service.start();
    let path = service.place().join("app.sock");
    let before = inode(&path);
    service.place().write("app.ini", &ini("http = app.sock\nchmod-socket = 600"));
    service.restart();
    assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
    assert_eq!(inode(&path), before);
    Client::unix(&path).get("/ok").expect(200);
}

#[test]
fn a_path_that_was_removed_or_renamed_is_made_anew() {
    let mut service = service("http = app.sock");
    service.start();
    let path = service.place().join("app.sock");
    for how in ["removed", "renamed"] {
        service.end(Signal::SIGTERM);
        match how {
            "removed" => fs::remove_file(&path).unwrap(),
            _ => fs::rename(&path, service.place().join("elsewhere")).unwrap(),
        }
        service.start();
        service.wait_for_log("its path does not lead to it any more: it is opened anew", 1);
        Client::unix(&path).get("/ok").expect(200);
        assert_eq!(service.listeners(), 1, "{how}: {:?}", service.stored());
    }
}

#[test]
fn a_socket_of_somebody_else_in_its_place_is_left_alone() {
    let mut service = service("http = app.sock");
    service.start();
    let path = service.place().join("app.sock");
    service.end(Signal::SIGTERM);
    fs::remove_file(&path).unwrap();
    let _other = UnixListener::bind(&path).unwrap();
    let before = inode(&path);
    service.launch();
    service.wait_for_log("another server answers on it", 1);
    assert_eq!(inode(&path), before);
}

#[test]
fn sockets_of_a_unit_and_of_the_store_are_served_at_once() {
    let (address, unit) = (free(), TcpListener::bind("127.0.0.1:0").unwrap());
    let of_unit = unit.local_addr().unwrap();
    let setup = Setup::classic(&ini(&format!("http = {address}\nhttp = systemd:api")));
    let mut service = Service::new(setup).socket("api", &unit);
    service.start();
    for signal in [Signal::SIGTERM, Signal::SIGKILL] {
        service.end(signal);
        let mut clients = [address, of_unit].map(|address| waiting(Client::connect(address)));
        service.start();
        clients.iter_mut().for_each(|client| drop(client.response().expect(200)));
        assert_eq!(service.listeners(), 1, "{:?}", service.stored());
    }
}

#[test]
fn what_nobody_knows_is_told_closed_and_taken_back() {
    let address = free();
    let mut service = service(&format!("http = {address}"));
    service.start();
    service.end(Signal::SIGTERM);
    let place = service.place().path();
    service.store("rwsgi-listener-7", fs::File::open(place.join("app.py")).unwrap());
    service.store("rwsgi-listener-8", std::net::UdpSocket::bind("127.0.0.1:0").unwrap());
    service.store("something", fs::File::open(place.join("app.py")).unwrap());
    service.start();
    service.wait_for_log("`rwsgi-listener-7`, is not what its name says: closed", 1);
    service.wait_for_log("`rwsgi-listener-8`, is not what its name says: closed", 1);
    service.wait_for_log("`something`, is no socket that listens: closed", 1);
    assert_eq!(service.listeners(), 1, "{:?}", service.stored());
    assert_eq!(service.stored().len(), 3, "{:?}", service.stored());
    let children: Vec<_> = service.place().processes();
    let open = children.iter().flat_map(|pid| fs::read_dir(format!("/proc/{pid}/fd")).unwrap());
    let targets = open.filter_map(|entry| fs::read_link(entry.unwrap().path()).ok());
    assert!(!targets.into_iter().any(|target| target.ends_with("app.py")));
}

#[test]
fn a_start_that_fails_leaves_what_is_kept_as_it_is() {
    let mut service = service("http = app.sock");
    service.start();
    let path = service.place().join("app.sock");
    service.end(Signal::SIGTERM);
    let good = service.place().read("app.py");
    service.place().write("app.py", "import nothing_there\n");
    service.launch();
    let mut client = waiting(Client::unix(&path));
    service.wait_for_log("nothing_there", 1);
    service.failed(70);
    service.place().write("app.py", &good);
    service.start();
    client.response().expect(200);
}

#[test]
fn a_store_that_is_too_small_is_told_and_filled() {
    let setup = Setup::classic(&ini("http = a.sock\nhttp = b.sock")).variable("FDSTORE", "1");
    let mut service = Service::of(setup);
    service.start();
    service.wait_for_log("systemd keeps 1 descriptors; see FileDescriptorStoreMax=", 1);
    assert_eq!(service.stored().len(), 1, "{:?}", service.stored());
    service.restart();
    for name in ["a.sock", "b.sock"] {
        Client::unix(&service.place().join(name)).get("/ok").expect(200);
    }
}

#[test]
fn without_a_store_the_file_goes_with_the_service() {
    let mut server = Setup::classic(&ini("http = app.sock")).start();
    assert!(server.stop().success());
    assert!(!server.place.join("app.sock").exists());
    assert!(!server.notifications().iter().any(|said| said.contains("FDSTORE")));
}
