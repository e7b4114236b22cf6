//! The control socket, and `rwsgi status|reload|stop`.

use std::io::{BufRead as _, BufReader, Write as _};
use std::os::unix::fs::PermissionsExt as _;
use std::os::unix::net::UnixStream;

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use serde_json::Value;

use crate::support::server::Server;
use crate::support::setup::Setup;
use crate::support::wait;

/// A server with a runtime directory, as systemd gives it one.
fn server(lines: &str) -> Server {
    let setup = Setup::new(lines);
    let directory = setup.place.path().display().to_string();
    setup.variable("RUNTIME_DIRECTORY", &directory).start()
}

/// The answer to one command.
fn ask(server: &Server, command: &str) -> Value {
    let mut stream = UnixStream::connect(server.place.join("control")).unwrap();
    stream.set_read_timeout(Some(wait::DEADLINE)).unwrap();
    writeln!(stream, "{{\"command\": \"{command}\"}}").unwrap();
    let mut line = String::new();
    BufReader::new(stream).read_line(&mut line).unwrap();
    serde_json::from_str(&line).unwrap()
}

fn text<'a>(answer: &'a Value, key: &str) -> &'a str {
    answer[key].as_str().unwrap_or("")
}

#[test]
fn the_commands_take_the_path_of_a_control_socket() {
    let mut server = server("");
    let path = server.place.join("control").display().to_string();
    let run = |word| Setup::new("").arguments(&[word, &path]).run();
    let status = run("status");
    assert_eq!(status.code(), 0, "{}", status.stderr);
    let status: Value = serde_json::from_str(&status.stdout).unwrap();
    assert_eq!(status["pid"], server.pid());
    assert!(run("reload").stdout.starts_with("reloaded: 1 new worker"));
    server.place.write("app.py", "import nothing_there\n");
    run("reload").refuses(1, &["No module named 'nothing_there'"]);
    assert_eq!(run("stop").stdout, "stopped\n");
    assert_eq!(server.wait().code(), Some(0));
}

#[test]
fn status_tells_what_runs() {
    let server = server("processes=2\nthreads=2");
    server.get("/ok").expect(200);
    let counted = || Some(ask(&server, "status")).filter(|s| s["total"]["requests"] == 1);
    let status = wait::until("one request in the status", counted);
    assert_eq!(status["pid"], server.pid());
    assert_eq!(status["message"], "2 workers × 2 threads for app");
    assert_eq!(status["listeners"][0], server.address().to_string());
    let workers = status["workers"].as_array().unwrap();
    let pids: Vec<_> = workers.iter().filter_map(|worker| worker["pid"].as_i64()).collect();
    let alive = server.place.processes();
    assert_eq!(pids.len(), 2);
    assert!(pids.iter().all(|pid| alive.iter().any(|real| i64::from(*real) == *pid)), "{pids:?}");
}

/// What `status` says to run.
fn running(server: &Server) -> Vec<Value> {
    let status = ask(server, "status");
    let of = |worker: &Value| worker["running"].as_array().unwrap().clone();
    status["workers"].as_array().unwrap().iter().flat_map(of).collect()
}

#[test]
fn status_tells_which_requests_run_and_for_how_long() {
    let server = server("threads=2");
    let clients = ["a", "b"].map(|gate| {
        let client = server.connect_and_send(&format!("/gate?{gate}"));
        server.place.wait_for_gate(gate);
        client
    });
    let both = running(&server);
    let paths: Vec<_> = both.iter().map(|one| (text(one, "method"), text(one, "path"))).collect();
    assert_eq!(paths, [("GET", "/gate"), ("GET", "/gate")], "the query is nobody's business");
    let mut threads: Vec<_> = both.iter().filter_map(|one| one["thread"].as_u64()).collect();
    threads.sort_unstable();
    assert_eq!(threads, [1, 2]);
    let age = |one: &Value| one["seconds"].as_f64().unwrap();
    assert!(age(&both[0]) >= age(&both[1]), "{both:?}");
    let older = || running(&server).iter().all(|one| age(one) > age(&both[0])).then_some(());
    wait::until("a greater age", older);
    ["a", "b"].iter().for_each(|gate| server.place.open_gate(gate));
    clients.into_iter().for_each(|mut client| drop(client.response().expect(200)));
    wait::until("the end of both", || running(&server).is_empty().then_some(()));
}

#[test]
fn an_idle_worker_that_dies_ran_nothing() {
    let server = server("");
    server.get("/ok").expect(200);
    wait::until("the end of it", || running(&server).is_empty().then_some(()));
    kill(Pid::from_raw(server.workers()[0]), Signal::SIGKILL).unwrap();
    server.wait_for_log("(SIGKILL), by an administrator", 1);
    assert!(!server.log().contains("while it ran"), "{}", server.log());
}

#[test]
fn the_socket_is_for_its_user_and_group_only() {
    let server = server("");
    let mode = std::fs::metadata(server.place.join("control")).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o660);
}

#[test]
fn reload_answers_when_the_new_code_serves() {
    let server = server("processes=2");
    let app = "def application(e, s):\n    s('200 OK', [])\n    return [b'new']\n";
    server.place.write("app.py", app);
    let answer = ask(&server, "reload");
    assert_eq!(
        (&answer["ok"], text(&answer, "message")),
        (&true.into(), "reloaded: 2 new workers serve")
    );
    assert_eq!(server.get("/").expect(200).text(), "new");
}

#[test]
fn a_reload_that_fails_says_why() {
    let server = server("");
    server.place.write("app.py", "import nothing_there\n");
    let answer = ask(&server, "reload");
    assert_eq!(answer["ok"], false);
    assert!(text(&answer, "message").contains("No module named 'nothing_there'"), "{answer}");
    assert!(text(&ask(&server, "status"), "last_reload_failed").contains("cannot be imported"));
    server.place.write("app.ini", "[rwsgi]\nfrob = 1\n");
    assert!(text(&ask(&server, "reload"), "message").contains("there is no option `frob`"));
    assert_eq!(server.get("/ok").expect(200).text(), "ok");
}

#[test]
fn stop_answers_when_it_has_stopped() {
    let mut server = server("processes=2");
    assert_eq!(text(&ask(&server, "stop"), "message"), "stopped");
    assert_eq!(server.wait().code(), Some(0));
    assert!(!server.place.join("control").exists());
}

#[test]
fn nobody_there_is_69_with_where_to_look() {
    let ended = Setup::new("").arguments(&["status", "nobody-has-this-name"]).run();
    ended.refuses(69, &["nobody answers", "journalctl -u rwsgi@nobody-has-this-name"]);
}

#[test]
fn nonsense_on_the_control_socket_harms_nobody() {
    let server = server("");
    for bytes in [&b"\n"[..], b"{}\n", b"\xff\xff\n", &[b'x'; 10_000]] {
        let mut stream = UnixStream::connect(server.place.join("control")).unwrap();
        let _ = stream.write_all(bytes);
    }
    assert_eq!(ask(&server, "status")["ok"], true);
}
