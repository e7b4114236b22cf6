//! Logs that are stuck, full or gone, and what the application writes itself.

use std::fs::{self, File, Permissions};
use std::io::Read as _;
use std::net::{SocketAddr, TcpListener};
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _};
use std::path::Path;
use std::process::Stdio;

use nix::sys::signal::Signal;
use nix::unistd::geteuid;
use socket2::{Domain, Socket, Type};

use crate::support::client::Client;
use crate::support::server::{self, Server};
use crate::support::setup::{Setup, python};
use crate::support::{extension, wait};

/// It writes as a request says.
const TALKER: &str = "
import ctypes, faulthandler, logging, os, subprocess, sys
faulthandler.enable()
logging.basicConfig(stream=sys.stderr)
def many(environ):
    for number in range(70000):
        print('line', number)
def logged(environ):
    logging.warning('x' * 200000)
def errors(environ):
    environ['wsgi.errors'].write('y' * 200000 + '\\n')
def raw(environ):
    os.write(1, b'z' * 200000)
    os.write(2, b'z' * 200000)
def program(environ):
    subprocess.call(['sh', '-c', 'echo from a program; echo \"<3>in trouble\" >&2'])
def crash(environ):
    sys.stderr.flush()
    ctypes.string_at(0)
def application(environ, start_response):
    what = environ['PATH_INFO'].strip('/')
    if what in globals():
        globals()[what](environ)
    start_response('200 OK', [])
    return [b'done']
";

/// A server whose stdout and stderr are a pipe that nobody reads.
fn mute(lines: &str) -> Server {
    let setup = Setup::classic(&format!(
        "[rwsgi]\nhttp = app.sock\nchdir = %d\nwsgi-file = app.py\n{lines}\n"
    ));
    let script = "mkfifo stuck && exec \"$@\" 1<>stuck 2<>stuck";
    setup.app(TALKER).shell(script, Stdio::null()).start()
}

fn ask(server: &Server, path: &str) {
    let mut client = server.connect_locally();
    assert_eq!(client.get(path).expect(200).text(), "done");
}

/// What comes out of the pipe from now on, up to `text`.
fn read_up_to(server: &Server, text: &str) -> String {
    let mut pipe = File::options().read(true).write(true).open(server.place.join("stuck")).unwrap();
    let (mut said, mut part) = (String::new(), [0; 65536]);
    // Whoever waits for ever here is ended by the deadline of the whole.
    while !said.contains(text) {
        let length = pipe.read(&mut part).unwrap();
        said.push_str(&String::from_utf8_lossy(&part[..length]));
    }
    said
}

#[test]
fn a_pipe_that_nobody_reads_stops_no_request_and_what_it_cost_is_told() {
    let mut server = mute("processes=2\nthreads=2");
    for path in ["/logged", "/errors", "/raw", "/program", "/many", "/many", "/many"] {
        ask(&server, path);
    }
    (0..20).for_each(|_| ask(&server, "/"));
    let said = read_up_to(&server, "lost: the log is too slow");
    assert!(said.contains("worker 1: ") || said.contains("worker 2: "));
    assert!(server.stop().success());
}

#[test]
fn a_pipe_that_nobody_reads_stops_neither_reloads_nor_the_stop() {
    let mut server = mute("");
    ask(&server, "/raw");
    ask(&server, "/many");
    server.reload(1);
    ask(&server, "/");
    assert!(server.stop().success());
}

#[test]
fn who_never_pauses_is_in_the_log_while_it_writes() {
    let app = "
import os, threading
pause = threading.Event()
def talk():
    while not pause.wait(0.002):
        os.write(2, b'tick\\n')
def application(environ, start_response):
    threading.Thread(target=talk, daemon=True).start()
    start_response('200 OK', [])
    return []
";
    let server = Setup::new("").app(app).start();
    server.get("/").expect(200);
    // It would take half a minute to fill what is read at once.
    server.wait_for_log("worker 1: tick\n", 1);
}

#[test]
fn what_looks_like_a_group_of_exceptions_stops_nobody() {
    let app = "
import sys
def application(environ, start_response):
    sys.stderr.write('  + Exception Group Traceback (most recent call last):\\n')
    for number in range(40000):
        sys.stderr.write('  | line\\n')
    print('all written')
    start_response('200 OK', [])
    return []
";
    let server = Setup::new("").app(app).start();
    server.get("/").expect(200);
    server.wait_for_log("all written", 1);
}

#[test]
fn an_import_that_writes_more_than_a_pipe_holds_goes_on() {
    let setup = Setup::classic("[rwsgi]\nhttp = app.sock\nchdir = %d\nwsgi-file = app.py\n");
    let app = format!("import os\nos.write(2, b'a' * 200000)\nprint('b' * 200000)\n{TALKER}");
    let script = "mkfifo stuck && exec \"$@\" 1<>stuck 2<>stuck";
    let server = setup.app(&app).shell(script, Stdio::null()).start();
    ask(&server, "/");
}

#[test]
fn a_full_disk_costs_log_entries_and_no_requests() {
    let setup = Setup::classic(
        "[rwsgi]\nhttp = app.sock\nchdir = %d\nwsgi-file = app.py\nlogto = %d/log\n",
    );
    std::os::unix::fs::symlink("/dev/full", setup.place.join("log")).unwrap();
    let mut server = setup.start();
    let mut client = server.connect_locally();
    (0..5).for_each(|_| drop(client.get("/ok").expect(200)));
    fs::remove_file(server.place.join("log")).unwrap();
    server.signal(Signal::SIGUSR1);
    let log = || server.place.read("log");
    wait::until("what was lost", || log().contains(" lost: No space left on device").then_some(()));
    client.get("/ok?after").expect(200);
    wait::until("an entry", || log().contains("GET /ok?after").then_some(()));
    assert!(server.stop().success());
}

#[test]
fn a_syslog_daemon_that_stalls_keeps_neither_requests_nor_other_sinks_waiting() {
    // The kernel accepts for it, and keeps little; nobody reads.
    let daemon = Socket::new(Domain::IPV4, Type::STREAM, None).unwrap();
    daemon.set_recv_buffer_size(4096).unwrap();
    daemon.bind(&SocketAddr::from(([127, 0, 0, 1], 0)).into()).unwrap();
    daemon.listen(16).unwrap();
    let at = daemon.local_addr().unwrap().as_socket().unwrap();
    let setup = Setup::classic(&format!(
        "[rwsgi]\nhttp = app.sock\nchdir = %d\nwsgi-file = app.py\nlogger = file:%dlog\n\
         logger = syslog5424:tcp://{at}\nlog-format = %(uri)\n"
    ));
    let mut server = setup.start();
    let mut client = server.connect_locally();
    let long = "x".repeat(7000);
    // More than the kernel keeps on the side that sends, which is 4 MB at most, and less than the log
    // keeps when its thread gets no processor, which is 16.
    for number in 0..1500 {
        client.get(&format!("/ok?{number}&{long}")).expect(200);
    }
    client.get("/ok?last").expect(200);
    wait::until("the last line", || server.place.read("log").contains("/ok?last").then_some(()));
    assert!(server.stop().success());
}

#[test]
fn a_syslog_daemon_that_is_started_later_is_found_and_stderr_has_the_log_until_then() {
    let socket = Socket::new(Domain::IPV4, Type::STREAM, None).unwrap();
    socket.bind(&SocketAddr::from(([127, 0, 0, 1], 0)).into()).unwrap();
    let port = socket.local_addr().unwrap().as_socket().unwrap().port();
    let lines = format!("processes = 1\nlogger = syslog5424:tcp://127.0.0.1:{port}\n");
    let mut server = Setup::new(&lines).start();
    server.get("/ok?early").expect(200);
    server.wait_for_log("/ok?early", 1);
    let early = server.log();
    assert!(early.contains("the log goes to stderr until somebody takes it: syslog"), "{early}");
    socket.listen(16).unwrap();
    // For accept(2), and for the connections that come of it.
    socket.set_read_timeout(Some(wait::DEADLINE)).unwrap();
    server.get("/ok?late").expect(200);
    let mut daemon = TcpListener::from(socket).accept().unwrap().0;
    let mut said = [0; 4096];
    let length = daemon.read(&mut said).unwrap();
    let said = String::from_utf8_lossy(&said[..length]).into_owned();
    assert!(said.contains("/ok?late") && said.contains("rwsgi@"), "{said}");
    assert!(!server.log().contains("/ok?late"));
    assert!(server.stop().success());
}

#[test]
fn a_limit_of_file_sizes_costs_log_entries_and_no_requests() {
    let setup = Setup::classic(
        "[rwsgi]\nhttp = app.sock\nchdir = %d\nwsgi-file = app.py\nlogto = %d/log\n",
    );
    // Units of 512 bytes: more than the scoreboard has, which is a file, too.
    let script = "ulimit -f 262144; exec \"$@\"";
    let full = setup.place.join("log");
    File::create(&full).and_then(|file| file.set_len(262_144 * 512)).unwrap();
    let mut server = setup.shell(script, Stdio::null()).start();
    let mut client = server.connect_locally();
    (0..5).for_each(|_| drop(client.get("/ok").expect(200)));
    File::options().write(true).open(&full).unwrap().set_len(0).unwrap();
    wait::until("what was lost", || {
        server.place.read("log").contains(" lost: File too large").then_some(())
    });
    assert!(server.stop().success());
}

#[test]
fn a_log_file_of_root_is_written_by_who_serves() {
    let closed = |path: &Path| {
        path.ancestors().skip(1).any(|above| fs::metadata(above).unwrap().mode() & 1 == 0)
    };
    // Where the extension is below a directory that is closed to nobody, nothing can be shown.
    if !geteuid().is_root() || closed(extension::path()) || closed(python()) {
        return;
    }
    let lines = "uid = nobody\nprocesses = 1\nlogto = %dlog\nlog-format = line of %(uri)";
    let setup = Setup::new(lines).file("log", "");
    for (name, mode) in [("", 0o755), ("app.py", 0o644), ("log", 0o640)] {
        fs::set_permissions(setup.place.join(name), Permissions::from_mode(mode)).unwrap();
    }
    let mut server = setup.start();
    Client::connect(server::address(&server.place, "log")).get("/ok?root").expect(200);
    let said = || server.place.read("log");
    wait::until("its line", || said().contains("line of /ok?root").then_some(()));
    assert!(!said().contains("cannot open the log"), "{}", said());
    assert_eq!(fs::metadata(server.place.join("log")).unwrap().uid(), 0, "it stays root's");
    assert!(server.stop().success());
}

#[test]
fn a_log_file_that_was_removed_is_made_anew() {
    let setup = Setup::new("logto = %d/log");
    let server = setup.start();
    let address = server::address(&server.place, "log");
    let ask = |path: &str| {
        let mut client = Client::connect(address);
        client.get(path).expect(200);
    };
    ask("/ok?before");
    wait::until("an entry", || server.place.read("log").contains("?before").then_some(()));
    fs::remove_file(server.place.join("log")).unwrap();
    ask("/ok?after");
    wait::until("an entry", || server.place.read("log").contains("?after").then_some(()));
}

#[test]
fn what_programs_of_the_application_write_is_in_the_log_with_the_worker() {
    let server = Setup::new("processes=2").app(TALKER).start();
    server.get("/program").expect(200);
    server.wait_for_log(": from a program\n", 1);
    server.wait_for_log(": in trouble\n", 1);
    let log = server.log();
    let line = log.lines().find(|line| line.ends_with("in trouble")).unwrap();
    assert!(line.contains("error: worker 1: ") || line.contains("error: worker 2: "), "{line}");
}

#[test]
fn the_last_words_of_a_worker_are_read_before_its_death_is_told() {
    let server = Setup::new("").app(TALKER).start();
    assert!(server.connect().try_response_to("/crash").is_err());
    server.wait_for_log("was killed by signal 11", 1);
    let log = server.log();
    let words = log.find("worker 1: Fatal Python error: Segmentation fault").expect(&log);
    let stack = log.find("in crash").expect(&log);
    let death = log.find("was killed by signal 11").expect(&log);
    assert!(words < stack && stack < death, "{log}");
}

#[test]
fn the_last_words_of_a_template_are_read_before_the_start_fails() {
    let app = "import os\nos.write(2, b'no database\\n')\nos.abort()\n";
    let ended = Setup::new("").app(app).run();
    ended.refuses(70, &["template: no database", "the template was killed by signal 6"]);
}

#[test]
fn a_worker_whose_master_is_gone_still_writes() {
    let server = Setup::new("").app(&format!("{TALKER}\n{GATED}")).start();
    let mut client = server.connect_and_send("/gated");
    server.place.wait_for_gate("g");
    server.signal(Signal::SIGKILL);
    // Its end is seen by the worker before it reads the gate: from then on the pipe is not its stderr.
    wait::until("the end of the pipe", || {
        let entered: i32 = server.place.pid_at_gate("g");
        let stderr = fs::read_link(format!("/proc/{entered}/fd/2")).ok()?;
        (!stderr.to_string_lossy().starts_with("pipe:")).then_some(())
    });
    server.place.open_gate("g");
    client.response().expect(200);
    server.wait_for_log("written after the end", 1);
}

const GATED: &str = "
import time
def gated(environ):
    with open('part', 'w') as file:
        file.write(str(os.getpid()))
    os.rename('part', 'entered-g')
    while not os.path.exists('open-g'):
        time.sleep(0.005)
    os.write(2, b'written after the end\\n')
";
