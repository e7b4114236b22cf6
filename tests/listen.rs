//! Where connections come from.

use std::net::TcpListener;
use std::os::fd::OwnedFd;
use std::os::unix::fs::PermissionsExt as _;
use std::os::unix::net::UnixListener;
use std::process::Stdio;

use crate::support::client::Client;
use crate::support::packet::Packet;
use crate::support::server::Server;
use crate::support::setup::Setup;

fn unix() -> Setup {
    Setup::classic("[rwsgi]\nhttp = app.sock\nchdir = %d\nwsgi-file = app.py\numask = 077\n")
}

fn serves(server: &Server) {
    let mut client = Client::unix(&server.place.join("app.sock"));
    assert_eq!(client.get("/ok").expect(200).text(), "ok");
}

#[test]
fn a_unix_socket_has_its_mode_and_goes_with_the_server() {
    let mut server = unix().start();
    let path = server.place.join("app.sock");
    assert_eq!(std::fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o660);
    serves(&server);
    assert!(server.stop().success());
    assert!(!path.exists());
}

#[test]
fn a_stale_unix_socket_is_replaced() {
    let setup = unix();
    drop(UnixListener::bind(setup.place.join("app.sock")).unwrap());
    serves(&setup.start());
}

#[test]
fn a_unix_socket_that_somebody_serves_is_left_alone() {
    let setup = unix();
    let alive = UnixListener::bind(setup.place.join("app.sock")).unwrap();
    let ended = setup.run();
    assert!(ended.place.join("app.sock").exists());
    ended.refuses(71, &["app.sock", "another server answers on it"]);
    drop(alive);
}

#[test]
fn ipv6_is_served_where_there_is_one() {
    if TcpListener::bind("[::1]:0").is_err() {
        return println!("this machine has no IPv6");
    }
    let server = Setup::classic("[rwsgi]\nhttp = [::1]:0\nwsgi-file = app.py\n").start();
    let mut client = server.connect();
    let text = client.get("/environ").expect(200).text();
    assert!(text.contains("\"REMOTE_ADDR\": \"::1\""), "{text}");
}

#[test]
fn several_addresses_are_served() {
    let lines = "[rwsgi]\nhttp = 127.0.0.1:0\nhttp = app.sock\nchdir = %d\nwsgi-file = app.py\n";
    let server = Setup::classic(lines).start();
    serves(&server);
    assert_eq!(server.get("/ok").expect(200).text(), "ok");
}

/// A listener, handed over as systemd does it.
fn handed_over(ini: &str, name: &str) -> (Setup, std::net::SocketAddr) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let script = "exec 3<&0 </dev/null; LISTEN_PID=$$; export LISTEN_PID; exec \"$@\"";
    let setup = Setup::classic(ini)
        .shell(script, Stdio::from(OwnedFd::from(listener)))
        .variable("LISTEN_FDS", "1")
        .variable("LISTEN_FDNAMES", name);
    (setup, address)
}

#[test]
fn a_socket_of_systemd_is_found_by_its_name() {
    let ini = "[rwsgi]\nhttp = systemd:shop\nwsgi-file = app.py\n";
    let (setup, address) = handed_over(ini, "shop");
    let _server = setup.start();
    assert_eq!(Client::connect(address).get("/ok").expect(200).text(), "ok");
}

#[test]
fn a_socket_of_systemd_needs_no_address_in_the_configuration() {
    let (setup, address) = handed_over("[rwsgi]\nwsgi-file = app.py\n", "http");
    let server = setup.start();
    assert_eq!(Client::connect(address).get("/ok").expect(200).text(), "ok");
    server.reload(1);
    assert_eq!(Client::connect(address).get("/ok").expect(200).text(), "ok");
}

#[test]
fn a_socket_of_systemd_speaks_the_protocol_that_is_written() {
    let (setup, address) = handed_over("[rwsgi]\nprotocol = uwsgi\nwsgi-file = app.py\n", "http");
    let _server = setup.start();
    let mut client = Client::connect(address);
    client.send(Packet::get("/ok").bytes());
    assert_eq!(client.response().expect(200).text(), "ok");
}

#[test]
fn a_socket_that_systemd_did_not_hand_over_is_named() {
    let (setup, _) = handed_over("[rwsgi]\nhttp = systemd:api\nwsgi-file = app.py\n", "shop");
    setup.run().refuses(71, &["api", "FileDescriptorName=api"]);
}

#[test]
fn a_socket_of_systemd_is_not_removed_by_a_stop() {
    let ini = "[rwsgi]\nhttp = systemd:shop\nwsgi-file = app.py\n";
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let script = "exec 3<&0 </dev/null; LISTEN_PID=$$; export LISTEN_PID; exec \"$@\"";
    let copy = listener.try_clone().unwrap();
    let setup = Setup::classic(ini)
        .shell(script, Stdio::from(OwnedFd::from(copy)))
        .variable("LISTEN_FDS", "1")
        .variable("LISTEN_FDNAMES", "shop");
    assert!(setup.start().stop().success());
    let mut waiting = Client::connect(address);
    waiting.send("GET /ok HTTP/1.1\r\nHost: test\r\n\r\n");
    assert!(listener.accept().is_ok());
}

#[test]
fn two_listeners_with_port_0_are_two() {
    let server = Server::new("socket = 127.0.0.1:0");
    server.wait_for_log("listening on http://127.0.0.1:", 1);
    server.wait_for_log("listening on uwsgi://127.0.0.1:", 1);
    server.get("/ok").expect(200);
}
