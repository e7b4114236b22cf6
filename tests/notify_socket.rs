//! Whatever `NOTIFY_SOCKET` says, and what is told there when the start fails.

use std::net::TcpListener;
use std::os::fd::{AsRawFd as _, OwnedFd};
use std::os::linux::net::SocketAddrExt as _;
use std::os::unix::net::{SocketAddr, UnixDatagram};

use nix::sys::signal::{Signal, kill};
use nix::sys::socket::{
    AddressFamily, Backlog, MsgFlags, SockFlag, SockType, VsockAddr, accept, bind, getsockname,
    listen, recv, socket,
};
use nix::unistd::Pid;

use crate::support::client::Client;
use crate::support::server::{Server, address};
use crate::support::setup::Setup;
use crate::support::wait;

const BROKEN: &str = "raise PermissionError(13, 'Permission denied', '/srv/shop')\n";

/// Everything that waits in a socket.
fn messages(socket: &UnixDatagram) -> Vec<String> {
    socket.set_nonblocking(true).unwrap();
    let mut all = Vec::new();
    let mut buffer = [0; 4096];
    while let Ok(length) = socket.recv(&mut buffer) {
        all.push(String::from_utf8_lossy(&buffer[..length]).into_owned());
    }
    all
}

fn says(server: &Server, line: &str) -> bool {
    server.notifications().iter().any(|message| message.lines().any(|said| said == line))
}

#[test]
fn a_port_in_use_is_told_by_its_number() {
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let at = taken.local_addr().unwrap();
    let mut server = Server::launch(Setup::new(&format!("http = {at}")));
    assert_eq!(server.wait().code(), Some(71));
    server.wait_for_notification(&format!("STATUS=cannot listen on {at}: Address already"), 1);
    assert!(says(&server, "ERRNO=98") && says(&server, "EXIT_STATUS=71"));
    assert!(!says(&server, "READY=1"));
}

#[test]
fn a_directory_that_is_not_there_is_told_by_its_number() {
    let mut server = Server::launch(Setup::new("http = nowhere/app.sock"));
    assert_eq!(server.wait().code(), Some(71));
    server.wait_for_notification("ERRNO=2", 1);
}

#[test]
fn an_error_of_the_system_in_the_import_is_told_by_its_number() {
    let mut server = Server::launch(Setup::new("").app(BROKEN));
    assert_eq!(server.wait().code(), Some(70));
    server.wait_for_notification("STATUS=the application cannot be imported", 1);
    assert!(says(&server, "ERRNO=13") && says(&server, "EXIT_STATUS=70"));
}

#[test]
fn an_error_of_another_kind_has_no_number() {
    let mut server = Server::launch(Setup::new("").app("import nothing_there\n"));
    server.wait();
    server.wait_for_notification("EXIT_STATUS=70", 1);
    assert!(!server.notifications().iter().any(|said| said.contains("ERRNO=")));
}

#[test]
fn a_wrong_configuration_is_told() {
    let mut server = Server::launch(Setup::new("frob = 1"));
    assert_eq!(server.wait().code(), Some(78));
    server.wait_for_notification("STATUS=the configuration is wrong: ", 1);
    assert!(says(&server, "EXIT_STATUS=78"));
}

#[test]
fn an_abstract_socket_is_told() {
    let setup = Setup::new("").app(BROKEN);
    let name = format!("rwsgi-test-{}", setup.place.id());
    let socket = UnixDatagram::bind_addr(&SocketAddr::from_abstract_name(&name).unwrap()).unwrap();
    let ended = setup.variable("NOTIFY_SOCKET", &format!("@{name}")).run();
    assert_eq!(ended.code(), 70);
    let all = messages(&socket).join("\n");
    assert!(all.contains("STATUS=the application cannot be imported"), "{all}");
    assert!(all.lines().any(|line| line == "ERRNO=13"), "{all}");
}

#[test]
fn garbage_is_logged_and_the_server_serves() {
    let long = format!("/{}", "x".repeat(300));
    for garbage in ["notify", "@", "vsock:", "vsock:x:1", "/nowhere/at/all", "http://x/", &long] {
        let mut setup = Setup::new("").variable("NOTIFY_SOCKET", garbage);
        let mut child = setup.spawn().unwrap();
        let address = address(&setup.place, "stderr");
        Client::connect(address).get("/ok").expect(200);
        kill(Pid::from_raw(i32::try_from(child.id()).unwrap()), Signal::SIGTERM).unwrap();
        let status = wait::until("the end", || child.try_wait().unwrap());
        let log = setup.place.read("stderr");
        assert!(status.success(), "{log}");
        let complaint = format!("warning: NOTIFY_SOCKET={garbage} cannot be used: ");
        assert_eq!(log.matches(&complaint).count(), 1, "{garbage}: {log}");
    }
}

/// A listener of this machine's own virtual machines; `None` where there is nothing of the kind.
fn vsock(kind: SockType) -> Option<(OwnedFd, u32)> {
    const LOCAL: u32 = 1;
    const ANY_PORT: u32 = u32::MAX;
    let listener = socket(AddressFamily::Vsock, kind, SockFlag::SOCK_CLOEXEC, None).ok()?;
    bind(listener.as_raw_fd(), &VsockAddr::new(LOCAL, ANY_PORT)).ok()?;
    listen(&listener, Backlog::new(16).unwrap()).ok()?;
    let address: VsockAddr = getsockname(listener.as_raw_fd()).ok()?;
    Some((listener, address.port()))
}

#[test]
fn another_machine_is_told_in_order() {
    let Some((listener, port)) = vsock(SockType::Stream) else {
        let setup = Setup::new("").app(BROKEN).variable("NOTIFY_SOCKET", "vsock:1:9");
        let ended = setup.run();
        let log = ended.stderr.clone();
        assert_eq!(ended.code(), 70);
        assert!(log.contains("NOTIFY_SOCKET=vsock:1:9 cannot be used: "), "{log}");
        return println!("this machine has no AF_VSOCK of its own");
    };
    let reader = std::thread::spawn(move || {
        let mut all = String::new();
        while !all.contains("EXIT_STATUS=") {
            let connection = accept(listener.as_raw_fd()).unwrap();
            let mut buffer = [0; 4096];
            while let Ok(length @ 1..) = recv(connection, &mut buffer, MsgFlags::empty()) {
                all.push_str(&String::from_utf8_lossy(&buffer[..length]));
            }
            all.push('\n');
            nix::unistd::close(connection).unwrap();
        }
        all
    });
    let setup = Setup::new("").app(BROKEN);
    let ended = setup.variable("NOTIFY_SOCKET", &format!("vsock-stream:1:{port}")).run();
    assert_eq!(ended.code(), 70);
    wait::until("the end of the reader", || reader.is_finished().then_some(()));
    let all = reader.join().unwrap();
    let (starting, failed) = (all.find("STATUS=starting"), all.find("STATUS=the application"));
    assert!(starting.is_some() && starting < failed, "{all}");
}

#[test]
fn a_slow_drain_is_given_time_and_no_more_than_it_takes() {
    let mut server = Server::new("worker-reload-mercy=60");
    let mut client = server.connect_and_send("/gate?a");
    server.place.wait_for_gate("a");
    server.signal(Signal::SIGTERM);
    server.wait_for_notification("STOPPING=1", 1);
    server.wait_for_notification("EXTEND_TIMEOUT_USEC=15000000", 2);
    server.place.open_gate("a");
    client.response().expect(200);
    assert!(server.wait().success());
    let said = server.notifications();
    let extended = said.iter().filter(|one| one.starts_with("EXTEND_TIMEOUT_USEC=")).count();
    assert!(extended <= 3, "{said:?}");
}

#[test]
fn an_import_is_given_time_until_its_own_limit() {
    let app = "import time\ntime.sleep(60)\n";
    let mut server = Server::launch(Setup::new("import-timeout=6").app(app));
    server.wait_for_notification("EXTEND_TIMEOUT_USEC=15000000", 1);
    assert_eq!(server.wait().code(), Some(70));
    server.wait_for_notification("STATUS=the application is not imported after 6 s", 1);
    assert!(!says(&server, "READY=1"));
}
