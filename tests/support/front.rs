//! Real web servers in front of rwsgi: each in a directory of the test and on a port of 127.0.0.1,
//! not as a daemon, ended by its pid.

use std::fs;
use std::net::{SocketAddr, TcpListener};
use std::os::fd::OwnedFd;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};

use nix::sys::signal::{Signal, kill};
use nix::unistd::{Pid, geteuid};

use super::client::{Client, Response};
use super::place::{MARK, Place};
use super::wait;

/// Where Debian keeps the modules of Apache.
const MODULES: &str = "/usr/lib/apache2/modules";

/// A web server that serves.
pub struct Front {
    child: Child,
    directory: PathBuf,
    address: SocketAddr,
}

impl Front {
    /// nginx; `http` and `server` are lines of these blocks.
    pub fn nginx(place: &Place, http: &str, server: &str) -> Self {
        Self::start_on_a_free_port(place, |directory, port| {
            let text = nginx_configuration(&format!(
                "{http}\nserver {{\nlisten 127.0.0.1:{port};\n{server}\n}}"
            ));
            fs::write(directory.join("front.conf"), text).unwrap();
            let mut command = Command::new(program("nginx"));
            command.arg("-p").arg(directory).arg("-e").arg(directory.join("log"));
            command.arg("-c").arg(directory.join("front.conf"));
            command
        })
    }

    /// Apache; `lines` are its server's.
    pub fn apache(place: &Place, lines: &str) -> Self {
        // It never serves as root, and has to come to the sockets of the test.
        fs::set_permissions(place.path(), fs::Permissions::from_mode(0o755)).unwrap();
        Self::start_on_a_free_port(place, |directory, port| {
            let text =
                apache_configuration(directory, &format!("Listen 127.0.0.1:{port}\n{lines}"));
            fs::write(directory.join("front.conf"), text).unwrap();
            let mut command = Command::new(program("apache2"));
            command.arg("-DFOREGROUND").arg("-f").arg(directory.join("front.conf"));
            command
        })
    }

    /// HAProxy; `lines` are those of its backend.
    pub fn haproxy(place: &Place, defaults: &str, lines: &str) -> Self {
        let directory = directory(place);
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let text = format!(
            "global\nmaxconn 200\ndefaults\ntimeout connect 40s\ntimeout client 40s\n\
            timeout server 40s\ntimeout check 40s\n{defaults}\nfrontend front\nbind fd@0\ndefault_backend rwsgi\n\
            backend rwsgi\n{lines}\n"
        );
        fs::write(directory.join("front.conf"), text).unwrap();
        let mut command = Command::new(program("haproxy"));
        command.arg("-db").arg("-f").arg(directory.join("front.conf"));
        command.stdin(Stdio::from(OwnedFd::from(listener)));
        let child = spawn(&mut command, place, &directory);
        Self { child, directory, address }
    }

    fn start_on_a_free_port(place: &Place, command: impl Fn(&Path, u16) -> Command) -> Self {
        for _ in 0..5 {
            let directory = directory(place);
            // Somebody else may take it before the web server does; then there is no pid file.
            let free = TcpListener::bind("127.0.0.1:0").unwrap();
            let address = free.local_addr().unwrap();
            drop(free);
            let mut command = command(&directory, address.port());
            let child = spawn(&mut command, place, &directory);
            let mut front = Self { child, directory, address };
            if front.is_up() {
                return front;
            }
            println!("{}", front.log());
        }
        panic!("the web server does not start");
    }

    fn is_up(&mut self) -> bool {
        let pidfile = self.directory.join("pid");
        let child = &mut self.child;
        let decided = wait::within(wait::DEADLINE, || {
            let ended = child.try_wait().unwrap().is_some();
            (ended || pidfile.exists()).then_some(!ended)
        });
        decided == Some(true)
    }

    pub fn log(&self) -> String {
        let text = |name| fs::read_to_string(self.directory.join(name)).unwrap_or_default();
        text("log") + &text("output")
    }

    pub fn address(&self) -> SocketAddr {
        self.address
    }

    pub fn connect(&self) -> Client {
        Client::connect(self.address)
    }

    /// One response to `GET path`, on a connection of its own.
    pub fn get(&self, path: &str) -> Response {
        self.ask(&format!("GET {path} HTTP/1.1\r\nHost: shop.test\r\nConnection: close\r\n\r\n"))
    }

    /// One response to `request`, on a connection of its own.
    pub fn ask(&self, request: &str) -> Response {
        let mut client = self.connect();
        client.send(request);
        client.response()
    }
}

impl Drop for Front {
    fn drop(&mut self) {
        if std::thread::panicking() {
            println!("--- web server ---\n{}", self.log());
        }
        if self.child.try_wait().unwrap().is_some() {
            return;
        }
        let pid = Pid::from_raw(i32::try_from(self.child.id()).unwrap());
        let _ = kill(pid, Signal::SIGTERM);
        let child = &mut self.child;
        let ended = wait::within(wait::DEADLINE, || child.try_wait().unwrap()).is_some();
        if !ended {
            let _ = self.child.kill();
            let _ = self.child.wait();
        }
        assert!(ended || std::thread::panicking(), "the web server had to be killed");
    }
}

/// The path of a web server.
pub fn program(name: &str) -> PathBuf {
    let path = std::env::var("PATH").unwrap_or_default();
    // Not every user has these directories in PATH.
    let directories = path.split(':').chain(["/usr/sbin", "/usr/local/sbin"]);
    let mut candidates = directories.map(|directory| Path::new(directory).join(name));
    candidates
        .find(|candidate| candidate.exists())
        .unwrap_or_else(|| panic!("{name} is not installed: run `packaging/prerequisites front`"))
}

/// What a web server says of a configuration, and whether it would run with it.
pub fn check(command: &mut Command) -> Output {
    command.stdin(Stdio::null()).output().unwrap()
}

/// A configuration of nginx with these lines in its `http` block, relative to its directory.
pub fn nginx_configuration(http: &str) -> String {
    let user = if geteuid().is_root() { "user root;" } else { "" };
    let kinds = ["client_body", "proxy", "uwsgi", "fastcgi", "scgi"];
    let temporary: String =
        kinds.iter().map(|kind| format!("{kind}_temp_path {kind};\n")).collect();
    format!(
        "daemon off;\npid pid;\nerror_log log info;\nworker_processes 1;\n{user}\n\
        events {{ worker_connections 256; }}\n\
        http {{\naccess_log off;\nclient_max_body_size 0;\n{temporary}{http}\n}}\n"
    )
}

/// A configuration of Apache with these lines for its server.
pub fn apache_configuration(directory: &Path, lines: &str) -> String {
    let user = if geteuid().is_root() { "User www-data\nGroup www-data" } else { "" };
    let modules =
        ["mpm_event", "authz_core", "alias", "headers", "proxy", "proxy_http", "proxy_uwsgi"];
    let load: String = modules
        .iter()
        .map(|name| format!("LoadModule {name}_module {MODULES}/mod_{name}.so\n"))
        .collect();
    let directory = directory.display();
    format!(
        "ServerRoot {directory}\nDefaultRuntimeDir {directory}\nPidFile {directory}/pid\n\
        ErrorLog {directory}/log\nServerName shop.test\n{load}{user}\n\
        StartServers 1\nServerLimit 1\nThreadsPerChild 32\nMaxRequestWorkers 32\n{lines}\n"
    )
}

/// A fresh directory for a web server.
pub fn directory(place: &Place) -> PathBuf {
    let path = place.join("front");
    let _ = fs::remove_dir_all(&path);
    fs::create_dir(&path).unwrap();
    path
}

fn spawn(command: &mut Command, place: &Place, directory: &Path) -> Child {
    let output = fs::File::create(directory.join("output")).unwrap();
    command.env(MARK, place.id()).stdout(output.try_clone().unwrap()).stderr(output);
    command.spawn().unwrap()
}
