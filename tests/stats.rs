//! The stats server: what `uwsgitop` and its like read.

use std::fs;
use std::io::{Read, Write as _};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::os::linux::net::SocketAddrExt as _;
use std::os::unix::fs::PermissionsExt as _;
use std::os::unix::net::{SocketAddr as UnixAddr, UnixListener, UnixStream};

use serde_json::Value;

use crate::support::server::Server;
use crate::support::setup::Setup;
use crate::support::upgrade::{replaceable, upgrade};
use crate::support::wait;

const TCP: &str = "stats = 127.0.0.1:0";

/// The last address where figures are told.
fn address(server: &Server) -> SocketAddr {
    let log = server.log();
    let last = log.rsplit_once("figures are told at ").unwrap_or_else(|| panic!("{log}")).1;
    last.split_once(' ').unwrap().0.parse().unwrap()
}

fn connect(server: &Server) -> TcpStream {
    let stream = TcpStream::connect(address(server)).unwrap();
    stream.set_read_timeout(Some(wait::DEADLINE)).unwrap();
    stream
}

fn rest(mut stream: impl Read) -> String {
    let mut text = String::new();
    stream.read_to_string(&mut text).unwrap();
    text
}

fn json(text: &str) -> Value {
    serde_json::from_str(text).unwrap_or_else(|error| panic!("{error}: {text:?}"))
}

fn figures(server: &Server) -> Value {
    json(&rest(connect(server)))
}

fn local(server: &Server, name: &str) -> UnixStream {
    let stream = UnixStream::connect(server.place.join(name)).unwrap();
    stream.set_read_timeout(Some(wait::DEADLINE)).unwrap();
    stream
}

/// Waits until the figures are so.
fn wait_for(server: &Server, what: &str, is_so: impl Fn(&Value) -> bool) -> Value {
    wait::until(what, || Some(figures(server)).filter(&is_so))
}

#[test]
fn figures_are_those_of_the_requests() {
    let lines = format!(
        "{TCP}\nthreads = 2\nlocks = 1\ncache2 = name=shop,items=5\nlisten = 7\nuwsgi-module = false"
    );
    let server = Server::new(&lines);
    for _ in 0..3 {
        server.get("/ok").expect(200);
    }
    let mut running = server.connect_and_send("/gate?old");
    server.place.wait_for_gate("old");
    let told = wait_for(&server, "three requests", |told| told["workers"][0]["requests"] == 3);
    assert_eq!(told["version"], env!("CARGO_PKG_VERSION"));
    assert_eq!(told["pid"], server.pid());
    assert_eq!(told["uid"], nix::unistd::getuid().as_raw());
    assert_eq!(told["locks"], serde_json::json!([{"user 0": 0}, {"user 1": 0}]));
    assert_eq!(
        (&told["caches"][0]["name"], &told["caches"][0]["max_items"]),
        (&"shop".into(), &5.into())
    );
    let socket = &told["sockets"][0];
    assert_eq!(socket["name"], server.address().to_string());
    assert_eq!((&socket["proto"], &socket["max_queue"]), (&"http".into(), &7.into()));
    let worker = &told["workers"][0];
    assert_eq!(worker["pid"], server.workers()[0]);
    assert_eq!((&worker["id"], &worker["status"]), (&1.into(), &"busy".into()));
    assert_eq!((&worker["accepting"], &worker["respawn_count"]), (&1.into(), &0.into()));
    assert!(
        worker["rss"].as_u64() > Some(1 << 20) && worker["vsz"].as_u64() > worker["rss"].as_u64()
    );
    assert!(
        worker["tx"].as_u64() > Some(0) && worker["running_time"].as_u64() > Some(0),
        "{worker}"
    );
    assert_eq!(worker["apps"][0]["requests"], 3);
    let cores = worker["cores"].as_array().unwrap();
    let sum = |key: &str| cores.iter().filter_map(|core| core[key].as_u64()).sum::<u64>();
    assert_eq!((cores.len(), sum("requests"), sum("in_request")), (2, 3, 1));
    let busy = cores.iter().find(|core| core["in_request"] == 1).unwrap();
    assert_eq!(busy["vars"], serde_json::json!(["REQUEST_METHOD=GET", "REQUEST_URI=/gate"]));
    assert!(busy["req_info"]["request_start"].as_u64() >= worker["last_spawn"].as_u64());
    server.place.open_gate("old");
    running.response().expect(200);
    wait_for(&server, "an idle worker", |told| told["workers"][0]["status"] == "idle");
}

#[test]
fn a_worker_that_is_not_there_is_cheap_and_one_that_follows_is_counted() {
    let server = Server::new(&format!("{TCP}\nprocesses = 3\ncheaper = 1"));
    let told = wait_for(&server, "a worker", |told| told["workers"][0]["accepting"] == 1);
    let status = |index: usize| told["workers"][index]["status"].as_str().unwrap();
    assert_eq!([0, 1, 2].map(status), ["idle", "cheap", "cheap"]);
    assert_eq!((&told["workers"][2]["pid"], &told["workers"][2]["rss"]), (&0.into(), &0.into()));
    server.reload(1);
    wait_for(&server, "its successor", |told| told["workers"][0]["respawn_count"] == 1);
}

#[test]
fn http_has_a_head_and_minified_no_white_space() {
    let server = Server::new(&format!("{TCP}\nstats-http = true\nstats-minified = true"));
    let mut client = connect(&server);
    client.write_all(b"GET / HTTP/1.1\r\nHost: test\r\n\r\n").unwrap();
    let text = rest(client);
    let (head, body) = text.split_once("\r\n\r\n").unwrap();
    assert!(head.starts_with("HTTP/1.0 200 OK\r\n"), "{head}");
    assert!(head.contains("\r\nContent-Type: application/json\r\n"), "{head}");
    assert!(head.contains(&format!("\r\nContent-Length: {}\r\n", body.len())), "{head}");
    assert!(json(body)["workers"].is_array());
    assert_eq!(body.lines().count(), 1);
}

#[test]
fn slow_clients_keep_nobody_waiting_and_too_many_are_told() {
    let server = Server::new(TCP);
    // They have their figures, and do not go.
    let mut idle: Vec<_> = (0..32).map(|_| connect(&server)).collect();
    for client in &mut idle {
        let mut first = [0];
        client.read_exact(&mut first).unwrap();
    }
    let refused = json(&rest(connect(&server)));
    assert_eq!(refused["error"], "32 clients are here already: try again");
    server.get("/ok").expect(200);
    server.reload(1);
    idle.truncate(31);
    wait::until("a place", || {
        let told = json(&rest(connect(&server)));
        told["workers"].is_array().then_some(())
    });
}

/// The sum of a figure over the threads of the first worker.
fn of_cores(told: &Value, key: &str) -> u64 {
    let cores = told["workers"][0]["cores"].as_array().unwrap();
    cores.iter().filter_map(|core| core[key].as_u64()).sum()
}

#[test]
fn what_no_thread_has_done_and_what_went_wrong_is_counted() {
    let app = "import time
def application(environ, start_response):
    start_response('200 OK', [])
    while environ['PATH_INFO'] == '/long':
        time.sleep(0.01)
    for part in range(1000):
        yield bytes(1 << 20)
";
    let lines = format!(
        "{TCP}\nthreads = 2\nstatic-map = /static=.\nroute = ^/gone break:410\nharakiri = 4\nhttp-timeout = 60"
    );
    let server = Setup::new(&lines).app(app).file("a.txt", "text").start();
    server.get("/static/a.txt").expect(200);
    server.get("/gone").expect(410);
    server.get("/long").expect(504);
    let mut client = server.connect_and_send("/");
    client.take_up_to("\r\n\r\n");
    drop(client);
    let mut client = server.connect();
    client.send("POST / HTTP/1.1\r\nHost: test\r\nContent-Length: 9\r\n\r\nhalf");
    client.half_close();
    client.response().expect(400);
    let is_counted = |told: &Value| {
        let errors = ["write_errors", "read_errors"].map(|key| of_cores(told, key));
        let answered = ["static_requests", "routed_requests"].map(|key| of_cores(told, key));
        errors == [1, 1] && answered == [1, 1]
    };
    let told = wait_for(&server, "all of it", is_counted);
    assert_eq!(told["workers"][0]["harakiri_count"], 1);
    server.reload(1);
    let told = wait_for(&server, "a successor", |told| told["workers"][0]["respawn_count"] == 1);
    assert_eq!(
        (of_cores(&told, "static_requests"), &told["workers"][0]["harakiri_count"]),
        (0, &1.into())
    );
}

#[test]
fn threads_are_left_out_where_nobody_wants_them() {
    let server = Server::new(&format!("{TCP}\nstats-no-cores = true"));
    let worker = &figures(&server)["workers"][0];
    assert!(worker.get("cores").is_none() && worker["apps"].is_array(), "{worker}");
}

#[test]
fn unix_sockets_have_their_mode_and_go_with_the_instance() {
    let mut server = Server::new("stats = stats.sock\nchmod-socket = 600");
    assert!(json(&rest(local(&server, "stats.sock")))["workers"].is_array());
    let path = server.place.join("stats.sock");
    assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
    // Somebody deletes it.
    fs::remove_file(&path).unwrap();
    server.reload(1);
    drop(rest(local(&server, "stats.sock")));
    server.stop();
    assert!(!path.exists());
}

#[test]
fn abstract_sockets_are_served() {
    let name = format!("rwsgi-test-stats-{}", std::process::id());
    let server = Server::new(&format!("stats-server = @{name}"));
    let address = UnixAddr::from_abstract_name(name).unwrap();
    let told = json(&rest(UnixStream::connect_addr(&address).unwrap()));
    assert_eq!(told["pid"], server.pid());
}

#[test]
fn a_reload_changes_address_and_form_and_one_that_fails_changes_nothing() {
    let server = Server::new("stats = one.sock");
    let write = |lines: &str| {
        let ini = "[rwsgi]\nhttp = 127.0.0.1:0\nchdir = %d\nwsgi-file = app.py\n";
        server.place.write("app.ini", &format!("{ini}{lines}\n"));
    };
    write("stats = two.sock");
    server.reload(1);
    assert!(rest(local(&server, "two.sock")).starts_with("{\n"));
    assert!(!server.place.join("one.sock").exists());
    write("stats = two.sock\nstats-http = 1");
    server.reload(2);
    assert!(rest(local(&server, "two.sock")).starts_with("HTTP/1.0 200 OK\r\n"));
    server.place.write("app.py", "raise RuntimeError('no')");
    write("stats = three.sock");
    server.reload(3);
    assert!(rest(local(&server, "two.sock")).starts_with("HTTP/1.0 200 OK\r\n"));
    assert!(!server.place.join("three.sock").exists());
    let foreign = UnixListener::bind(server.place.join("foreign.sock")).unwrap();
    write("stats = foreign.sock");
    server.reload(4);
    server.wait_for_log("foreign.sock (stats): another server answers on it", 1);
    assert!(rest(local(&server, "two.sock")).starts_with("HTTP/1.0 200 OK\r\n"));
    drop(foreign);
    server.place.write("app.py", "def application(e, s):\n    s('200 OK', [])\n    return []");
    write("");
    server.reload(5);
    assert!(!server.place.join("two.sock").exists());
    assert!(server.place.join("foreign.sock").exists());
}

#[test]
fn a_new_program_tells_them_at_the_same_socket() {
    let server = replaceable(Setup::new(TCP)).start();
    let before = address(&server);
    let pid = figures(&server)["pid"].clone();
    upgrade(&server.place);
    server.reload(1);
    server.wait_for_log(" has taken over from ", 1);
    assert_eq!(server.log().matches("figures are told at ").count(), 1);
    assert_eq!((address(&server), figures(&server)["pid"].clone()), (before, pid));
}

#[test]
fn an_address_in_use_is_the_end_of_the_start() {
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap();
    let expected = format!("cannot tell figures at {address} (stats): ");
    let check = Setup::new(&format!("stats = {address}")).arguments(&["check", "./app.ini"]).run();
    check.refuses(71, &[&format!("{address} is in use by ")]);
    Setup::new(&format!("stats = {address}")).run().refuses(71, &[&expected, "another server"]);
    let ended = Setup::new("stats = ./precious").file("precious", "text").run();
    ended.refuses(71, &["precious (stats): the path exists and is not a socket"]);
    assert_eq!(ended.place.read("precious"), "text");
}

#[test]
fn what_cannot_be_meant_is_refused_with_a_remedy() {
    let refused = |lines: &str, texts: &[&str]| Setup::new(lines).run().refuses(78, texts);
    refused("stats = fd://3", &["has opened", "expected: an address to bind"]);
    refused("socket = 127.0.0.1:1\nprotocol = http\nstats = 127.0.0.1:1", &["of a listener, too"]);
    refused(
        "stats-push = statsd:127.0.0.1:8125",
        &["stats-push", "write `stats = 127.0.0.1:9191`"],
    );
    refused("stats-pusher-default-freq = 3", &["stats-pusher-default-freq", "`stats = "]);
    let server = Server::new("stats-http = true");
    server.wait_for_log("has no effect", 1);
}
