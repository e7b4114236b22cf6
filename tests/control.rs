//! The control socket, and the commands that need no file of their own.

use std::io::{Read as _, Write as _};
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _};
use std::os::unix::process::CommandExt as _;
use std::process::Command;

use nix::sys::signal::{Signal, kill};
use nix::unistd::{Pid, getegid, geteuid};
use serde_json::{Value, json};

use crate::support::control::{answer, connect, run, served, status, tell};
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
    crate::support::control::ask(server, &json!({"command": command}))
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
    assert!(status.stdout.contains(&format!("pid {}\n", server.pid())), "{}", status.stdout);
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
    server.wait_for_log("(SIGKILL)", 1);
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
fn status_is_text_for_people_and_json_for_programs() {
    let server = served("processes=2\nthreads=3");
    server.get("/ok").expect(200);
    let text = tell(&server, &["status"]);
    let expected = [
        "app: serving, up ",
        &format!("  version      rwsgi {}, Python 3.", env!("CARGO_PKG_VERSION")),
        "  generation   1\n",
        &format!("  listeners    {}\n", server.address()),
        "  workers      2 × 3 threads: 2 ready\n",
        "  requests     1 answered, 0 running, ",
        "  connections  0\n",
        " MiB (PSS of all workers), ",
    ];
    expected.iter().for_each(|line| assert!(text.contains(line), "no `{line}`:\n{text}"));
    assert!(!text.contains("unusual"), "{text}");
    let status: Value = serde_json::from_str(&tell(&server, &["status", "--json"])).unwrap();
    let memory = &status["memory"];
    let size = |key: &str| memory[key].as_u64().unwrap();
    assert!(
        size("uss") <= size("pss") && size("pss") <= size("rss") && size("uss") > 0,
        "{memory}"
    );
    assert_eq!(status["state"], "serving");
    assert!(status["per_second"]["requests"].is_number());
}

#[test]
fn what_is_unusual_is_told() {
    let server = served("");
    server.place.write("app.py", "import nothing_there\n");
    run(&server, &["reload"]).refuses(1, &["No module named 'nothing_there'"]);
    tell(&server, &["pause"]);
    let text = tell(&server, &["status"]);
    assert!(text.starts_with("app: paused, up "), "{text}");
    assert!(text.contains("  unusual      paused since "), "{text}");
    assert!(text.contains("  unusual      the last reload failed: "), "{text}");
    let ended = run(&server, &["reload", "--json"]);
    ended.refuses(1, &["nothing_there"]);
    assert_eq!(serde_json::from_str::<Value>(&ended.stdout).unwrap()["ok"], false);
}

#[test]
fn workers_are_a_table_with_restarts_and_their_causes() {
    let server = served("processes=2");
    // The first in the log may be another one.
    let all = status(&server)["workers"].as_array().unwrap().clone();
    let first = all.iter().find(|worker| worker["worker"] == 1).unwrap();
    let pid = i32::try_from(first["pid"].as_i64().unwrap()).unwrap();
    kill(Pid::from_raw(pid), Signal::SIGKILL).unwrap();
    server.wait_for_log(") serves", 3);
    let told = tell(&server, &["drain", "--worker", "2"]);
    assert_eq!(told, "worker 2 is replaced: its successor comes first\n");
    server.wait_for_log(") serves", 4);
    let alone = || Some(status(&server)).filter(|s| s["workers"].as_array().unwrap().len() == 2);
    wait::until("the end of the old one", alone);
    let table = tell(&server, &["workers"]);
    let lines: Vec<_> = table.lines().collect();
    let head = "WORKER PID GEN PHASE AGE REQUESTS RUNNING CONNS RSS PSS USS RESTARTS LAST CAUSE";
    assert_eq!(lines[0].split_whitespace().collect::<Vec<_>>().join(" "), head);
    assert_eq!(lines.len(), 3, "{table}");
    let of = |number: &str| lines.iter().find(|l| l.trim_start().starts_with(number)).unwrap();
    assert!(of("1 ").contains("  1  ") && of("1 ").contains("SIGKILL"), "{table}");
    assert!(of("2 ").contains("  by order ("), "{table}");
    let json: Value = serde_json::from_str(&tell(&server, &["workers", "--json"])).unwrap();
    assert_eq!(json.as_array().unwrap().len(), 2);
    assert!(json[0]["memory"]["pss"].as_u64() > Some(0));
    run(&server, &["drain", "--worker", "9"]).refuses(1, &["no worker 9 serves"]);
}

#[test]
fn a_worker_that_was_told_to_leave_is_followed_and_the_cause_is_known() {
    let server = served("");
    kill(Pid::from_raw(server.workers()[0]), Signal::SIGTERM).unwrap();
    server.wait_for_log("was sent SIGTERM and drains; a new one is started", 1);
    server.wait_for_log(") serves", 2);
    let workers = status(&server)["workers"].clone();
    let workers = workers.as_array().unwrap();
    let new = workers.iter().find(|worker| worker["phase"] == "ready").unwrap();
    assert_eq!(new["last_restart"]["cause"], "it was sent SIGTERM");
}

#[test]
fn a_worker_counts_its_own_requests_and_not_those_of_its_predecessor() {
    let server = served("");
    server.get("/ok").expect(200);
    wait::until("one request", || (status(&server)["total"]["requests"] == 1).then_some(()));
    kill(Pid::from_raw(server.workers()[0]), Signal::SIGKILL).unwrap();
    server.wait_for_log(") serves", 2);
    let status = status(&server);
    assert_eq!(status["workers"][0]["counters"]["requests"], 0);
    assert_eq!(status["total"]["requests"], 1);
}

#[test]
fn the_only_instance_needs_no_name_and_of_several_one_is_to_be_named() {
    let runtime = tempfile::tempdir().unwrap();
    let start = |name: &str| {
        let directory = runtime.path().join("rwsgi").join(name);
        std::fs::create_dir_all(&directory).unwrap();
        Setup::new("").variable("RUNTIME_DIRECTORY", &directory.display().to_string()).start()
    };
    let ask = |words: &[&str]| {
        let path = runtime.path().display().to_string();
        Setup::new("").variable("XDG_RUNTIME_DIR", &path).arguments(words).run()
    };
    ask(&["status"]).refuses(69, &["no instance runs in /run/rwsgi, "]);
    let shop = start("shop");
    assert!(ask(&["status"]).stdout.contains(&format!("pid {}\n", shop.pid())));
    let blog = start("blog");
    ask(&["pause"]).refuses(64, &["2 instances run, name one: blog, shop"]);
    assert!(ask(&["status", "blog"]).stdout.contains(&format!("pid {}\n", blog.pid())));
    ask(&["status", "forum"]).refuses(69, &["nobody answers", "These run: blog, shop"]);
    let list = ask(&["list"]).stdout;
    assert_eq!(list.lines().count(), 2, "{list}");
    assert!(list.starts_with("blog  serving  1 worker"), "{list}");
    let list: Value = serde_json::from_str(&ask(&["list", "--json"]).stdout).unwrap();
    assert_eq!((&list[1]["name"], &list[1]["state"]), (&"shop".into(), &"serving".into()));
}

#[test]
fn a_pidfile_names_an_instance_whatever_its_control_socket_is_called() {
    let server = Server::new("pidfile = app.pid\nhttp = app.sock\ncontrol-socket = here");
    let pidfile = server.place.join("app.pid").display().to_string();
    let ended = Setup::new("").arguments(&["pause", "--pidfile", &pidfile]).run();
    assert_eq!((ended.code(), ended.stdout.as_str()), (0, "paused: 0 requests still run\n"));
}

#[test]
fn a_control_socket_that_cannot_be_made_is_a_reason_not_to_start() {
    let ended = Setup::new("control-socket = app.py").run();
    ended.refuses(78, &["app.ini:5:18: `control-socket = app.py` is there, and is no socket"]);
    let long = "a".repeat(108);
    let ended = Setup::new(&format!("control-socket = {long}")).run();
    ended.refuses(78, &["app.ini:5:18", "is too long", "at most 107 bytes"]);
    let ended = Setup::new("control-socket = here\nmaster-fifo = here").run();
    ended.refuses(78, &["app.ini:6:15", "another channel for commands is there"]);
    let server = served("");
    let path = server.place.join("control").display().to_string();
    let ended = Setup::new(&format!("control-socket = {path}")).run();
    ended.refuses(71, &["another instance listens there"]);
    assert_eq!(ask(&server, "status")["ok"], true);
}

/// As somebody else if this is root, to whom everything is open; else as nobody may.
fn as_stranger(server: &Server, gid: u32) -> Command {
    let binary = server.place.join("rwsgi");
    std::fs::copy(env!("CARGO_BIN_EXE_rwsgi"), &binary).unwrap();
    let open = |path: &std::path::Path| {
        std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o755)).unwrap();
    };
    open(server.place.path());
    let mut command = Command::new(binary);
    command.args(["status", &server.place.join("control").display().to_string()]);
    if geteuid().is_root() {
        command.uid(54_321).gid(gid);
    } else {
        let closed = std::fs::Permissions::from_mode(0o000);
        std::fs::set_permissions(server.place.join("control"), closed).unwrap();
    }
    command
}

#[test]
fn who_may_not_is_told_who_may() {
    let server = served("");
    let output = as_stranger(&server, 54_321).output().unwrap();
    let said = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(77), "{said}");
    assert!(said.contains("permission denied: it is for root, for the user "), "{said}");
    assert!(said.contains(" and for the members of the group "), "{said}");
}

#[test]
fn members_of_the_control_group_may() {
    // Only root can give a file to any group; others to one of their own.
    let root = geteuid().is_root();
    let gid = if root { 54_322 } else { getegid().as_raw() };
    let server = served(&format!("control-group = {gid}"));
    let facts = std::fs::metadata(server.place.join("control")).unwrap();
    assert_eq!((facts.gid(), facts.mode() & 0o777), (gid, 0o660));
    if root {
        let output = as_stranger(&server, gid).output().unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    }
}

#[test]
fn who_has_changed_something_is_in_the_log_and_who_has_looked_is_not() {
    let server = served("");
    tell(&server, &["status"]);
    tell(&server, &["pause"]);
    server.wait_for_log(&format!("`pause` by order of user {} (pid ", geteuid()), 1);
    assert!(!server.log().contains("`status`"), "{}", server.log());
}

#[test]
fn nonsense_on_the_control_socket_harms_nobody() {
    let server = server("");
    let cases = [
        (&b"\n"[..], "no JSON"),
        (b"{}\n", "no \"command\""),
        (b"[1]\n", "no \"command\""),
        (b"\xff\xfe\0\n", "no JSON"),
        (b"GET / HTTP/1.1\r\n", "no JSON"),
        (b"{\"command\":\"dance\"}\n", "unknown command \"dance\""),
        (b"{\"command\":\"drain\",\"worker\":\"x\"}\n", "is no number"),
        (&[b'x'; 10_000], "longer than 4096 bytes"),
        (&[b'['; 4000], "no JSON"),
    ];
    for (bytes, expected) in cases {
        let mut stream = connect(&server);
        stream.write_all(bytes).unwrap();
        stream.shutdown(std::net::Shutdown::Write).unwrap();
        let answer = answer(stream);
        assert_eq!(answer["ok"], false);
        assert!(text(&answer, "message").contains(expected), "{answer}");
    }
    assert_eq!(ask(&server, "status")["ok"], true);
}

#[test]
fn who_only_shuts_its_own_side_is_answered_when_it_is_done() {
    let server = served("");
    let mut client = server.connect_and_send("/gate?a");
    server.place.wait_for_gate("a");
    let mut drain = connect(&server);
    drain.write_all(b"{\"command\":\"drain\"}\n").unwrap();
    drain.shutdown(std::net::Shutdown::Write).unwrap();
    server.wait_for_log("`drain` by order", 1);
    server.place.open_gate("a");
    client.response().expect(200);
    assert_eq!(text(&answer(drain), "message"), "drained: 0 requests run");
}

#[test]
fn who_says_nothing_does_not_stay_and_many_keep_nobody_out_for_long() {
    let server = served("");
    let mut silent: Vec<_> = (0..64).map(|_| connect(&server)).collect();
    let busy =
        || Some(answer(connect(&server))).filter(|a| text(a, "message").contains("64 clients"));
    wait::until("a full house", busy);
    let mut said = String::new();
    silent[0].read_to_string(&mut said).unwrap();
    assert!(said.contains("no request has come in time"), "{said}");
    let free = || {
        let mut stream = connect(&server);
        let _ = stream.write_all(b"{\"command\":\"status\"}\n");
        Some(answer(stream)).filter(|answer| answer["ok"] == true)
    };
    wait::until("room again", free);
}

#[test]
fn who_leaves_while_it_waits_makes_room() {
    let server = served("");
    let mut client = server.connect_and_send("/gate?a");
    server.place.wait_for_gate("a");
    for count in 1..=70 {
        let mut drain = connect(&server);
        drain.write_all(b"{\"command\":\"drain\"}\n").unwrap();
        server.wait_for_log("`drain` by order", count);
    }
    assert_eq!(ask(&server, "status")["state"], "paused");
    server.place.open_gate("a");
    client.response().expect(200);
}

#[test]
fn a_master_that_does_not_run_is_told_to_who_asks_for_the_state() {
    let server = server("");
    let path = server.place.join("control").display().to_string();
    server.signal(Signal::SIGSTOP);
    let runs = ["status", "workers"].map(|word| Setup::new("").arguments(&[word, &path]).run());
    server.signal(Signal::SIGCONT);
    for run in runs {
        run.refuses(69, &["nobody answers at", "it does not answer"]);
    }
}

#[test]
fn a_socket_that_was_deleted_is_there_again_after_a_reload() {
    let server = served("");
    std::fs::remove_file(server.place.join("control")).unwrap();
    server.signal(Signal::SIGHUP);
    server.wait_for_log("the control socket was deleted by somebody: it is there again", 1);
    server.wait_for_log("reloaded: ", 1);
    assert_eq!(status(&server)["ok"], true);
    // One that is there is left alone.
    server.signal(Signal::SIGHUP);
    server.wait_for_log("reloaded: ", 2);
    server.wait_for_log("it is there again", 1);
}
