//! uWSGI's dialect, as a whole: what it comes to in a server that runs. The single constructs, against
//! what uWSGI makes of them, are beside the code (`src/core/config/reading_tests.rs`).

use std::collections::BTreeSet;
use std::fs;
use std::process::{Command, Stdio};

use nix::sys::signal::Signal;
use rwsgi_core::config::lookup::{Lookup, lookup};

use crate::support::server::Server;
use crate::support::setup::{Ended, Setup};
use crate::support::upgrade::{replaceable, upgrade};
use crate::support::uwsgi::Flavour;

const APP: &str = "import os\ndef application(environ, start_response):\n    \
                   start_response('200 OK', [])\n    return [os.environ.get('SHOWN', '-').encode()]\n";

fn run(setup: Setup, arguments: &[&str]) -> Ended {
    setup.arguments(arguments).run()
}

fn answer(server: &Server) -> String {
    server.get("/").expect(200).text().to_owned()
}

#[test]
fn includes_loops_and_conditions_configure_a_server_and_are_read_anew() {
    let lines = "base = 20\nini = %dparts/%n-%(base).ini\nif-exists = %dno\nprocesses = 9\nelse\n\
                 processes = %(base / 10)\nendif\nfor = a b\nenv = SHOWN=%(_)$(TAIL)\nendfor";
    let setup = Setup::new(lines).app(APP).variable("TAIL", "-tail");
    fs::create_dir(setup.place.join("parts")).unwrap();
    let setup = setup.file("parts/app-20.ini", "[uwsgi]\nthreads = 2\n");
    let server = setup.start();
    server.wait_for_log("2 workers × 2 threads", 1);
    assert_eq!(answer(&server), "b-tail");
    server.place.write("parts/app-20.ini", "[uwsgi]\nthreads = 3\n");
    server.reload(1);
    server.wait_for_log("reloaded: 2 workers × 3 threads", 1);
}

#[test]
fn a_mistake_in_an_included_file_is_shown_with_the_way_to_it() {
    let setup = Setup::new("ini = %dother.ini").file("other.ini", "[uwsgi]\nprocesses = four\n");
    let place = setup.place.path().display().to_string();
    let expected = format!("error: {place}/other.ini:2:13: `processes = four` is not a whole");
    setup.run().refuses(78, &[&expected, "\n  included by app.ini:5:7\n"]);
}

#[test]
fn what_cannot_be_read_is_the_only_error() {
    let setup = Setup::classic("[uwsgi]\nini = nope.ini\n");
    let ended = setup.run();
    ended.refuses(78, &["app.ini:2:7: the INI file cannot be read: `"]);
    assert_eq!(ended.stderr.matches("error: ").count(), 1, "{}", ended.stderr);
}

#[test]
fn exit_ends_the_start_with_its_place() {
    let ended = Setup::new("if-not-env = SECRET\nprint = no secret\nexit = 3\nendif").run();
    ended.refuses(78, &["error: app.ini:7:1: the configuration ends the start here"]);
}

#[test]
fn a_configuration_on_standard_input_is_kept_for_reloads_and_takeovers() {
    let lines = "[uwsgi]\nhttp = 127.0.0.1:0\nwsgi-file = app.py\nenv = SHOWN=kept\n";
    let setup = replaceable(Setup::new("").app(APP).file("input", lines));
    let setup = setup.arguments(&["--ini", "-"]).shell("exec \"$@\" <input", Stdio::null());
    let server = setup.start();
    fs::remove_file(server.place.join("input")).unwrap();
    server.reload(1);
    server.wait_for_log("reloaded: ", 1);
    assert_eq!(answer(&server), "kept");
    upgrade(&server.place);
    server.signal(Signal::SIGHUP);
    server.wait_for_log(" has taken over from ", 1);
    server.wait_for_log("reloaded: ", 2);
    server.signal(Signal::SIGHUP);
    server.wait_for_log("reloaded: ", 3);
    assert_eq!(answer(&server), "kept");
}

#[test]
fn what_is_not_obeyed_is_told_once_for_each_reason() {
    let lines =
        "plugins = python3\nthunder-lock = true\nreuse-port = true\nprint = hello %(plugins)";
    let server = Server::new(lines);
    server.wait_for_log("not needed here: plugins, thunder-lock; `rwsgi check` says why", 1);
    server.wait_for_log("not in this version: reuse-port; `rwsgi check` says why", 1);
    server.wait_for_log("app.ini:8:9: hello python3", 1);
}

#[test]
fn what_is_not_supported_is_refused_unless_it_is_to_be_ignored() {
    let setup = Setup::new("chroot = /srv");
    setup.run().refuses(78, &["app.ini:5:1: `chroot` cannot be obeyed"]);
    let server = Server::new("chroot = /srv\nignore-unsupported = true");
    server.wait_for_log("not supported, and ignored as `ignore-unsupported` says: chroot", 1);
    assert_eq!(server.get("/ok").expect(200).text(), "ok");
}

#[test]
fn check_says_what_becomes_of_each_option() {
    let lines = "plugins = python3\nreuse-port = true\nlimit-as = 512";
    let ended = run(Setup::new(lines), &["check", "./app.ini"]);
    // `http`, `chdir`, `wsgi-file`, and `python` of the environment.
    let expected = "ok: options: 4 options are obeyed; not needed: plugins; replaced: limit-as; \
                    not in this version: reuse-port\n";
    assert!(ended.stdout.contains(expected), "{}", ended.stdout);
    let replaced = "app.ini:7:1: `limit-as` is replaced by something else here: a worker has no limit of \
                    its own\n  |\n7 | limit-as = 512\n  | ^^^^^^^^\n  help: write `memory-max` and ";
    ended.refuses(0, &[replaced]);
    let ended = run(Setup::new(lines), &["--show-config", "app.ini"]);
    for class in [
        "\n; Not needed here:\n;   plugins = python3\n;     Python and HTTP are built in\n",
        "\n; Not in this version:\n;   reuse-port = true\n;     sockets keep the system's settings\n",
        "\n; Replaced:\n;   limit-as = 512\n;     a worker has no limit of its own\n;     instead: write ",
    ] {
        assert!(ended.stdout.contains(class), "{class}\n{}", ended.stdout);
    }
}

#[test]
fn plugins_that_rwsgi_has_nothing_for_are_named() {
    let server = Server::new("plugins = python3,gevent, router_static");
    server.wait_for_log("not in this version: plugins = gevent; `rwsgi check` says why", 1);
    let ended = run(Setup::new("plugins = python3,gevent"), &["check", "./app.ini"]);
    let expected =
        "app.ini:5:11: `gevent` of `plugins` is not in this version: requests run in `threads`";
    assert!(!ended.stderr.contains("`python3`"), "{}", ended.stderr);
    ended.refuses(0, &[expected, "help: set `threads` to as many as have to wait at once"]);
}

#[test]
fn every_option_that_uwsgi_prints_is_known_by_name() {
    let [debian, pypi] = Flavour::both();
    let plugins = fs::read_dir("/usr/lib/uwsgi/plugins").unwrap().flatten();
    let plugins: Vec<_> = plugins.map(|entry| entry.path().display().to_string()).collect();
    assert!(!plugins.is_empty(), "uwsgi-plugin-python3 is missing");
    let mut unknown = BTreeSet::new();
    for (program, plugins) in [(pypi.program, String::new()), (debian.program, plugins.join(","))] {
        let mut command = Command::new(&program);
        if !plugins.is_empty() {
            command.args(["--plugins", &plugins]);
        }
        let help = command.arg("--help").output().unwrap();
        let help = String::from_utf8_lossy(&help.stdout).into_owned();
        let names =
            help.lines().filter_map(|line| line.split("--").nth(1)?.split_whitespace().next());
        let names: BTreeSet<_> = names.collect();
        assert!(names.len() > 700, "{}: {help}", program.display());
        let is_known = |name: &str| matches!(lookup(name), Lookup::Exact(_) | Lookup::Known(_));
        unknown.extend(names.into_iter().filter(|name| !is_known(name)).map(str::to_owned));
    }
    assert_eq!(unknown, BTreeSet::new());
}

#[test]
fn get_prints_values_and_nothing_else() {
    let setup = || Setup::new("base = /srv\nfull = %(base)/x\nprocesses = 2");
    let ended = run(setup(), &["--get", "full", "--get", "processes", "app.ini", "--set", "a=1"]);
    assert_eq!((ended.code(), ended.stdout.as_str()), (0, "/srv/x\n2\n"));
    let ended = run(setup(), &["--get", "nothing", "app.ini"]);
    assert_eq!((ended.code(), ended.stdout.as_str()), (1, ""));
}

#[test]
fn dump_options_prints_every_name_once() {
    let ended = run(Setup::new(""), &["--dump-options"]);
    let names: Vec<_> = ended.stdout.lines().collect();
    assert!(["http", "http-socket", "processes", "workers"].iter().all(|n| names.contains(n)));
    assert!(names.is_sorted() && ended.code() == 0);
}

#[test]
fn what_is_converted_is_the_same_configuration() {
    let lines = "workers = 2\nfor = a b\nenv = X_%(_)=%d 100%%\nendfor\nplugins = x\nharakiri = 30";
    let setup = Setup::new(lines);
    let ended = run(setup, &["convert", "./app.ini"]);
    assert_eq!(ended.code(), 0, "{}", ended.stderr);
    let shown = |ini: &str| {
        let ended = Setup::classic(ini).arguments(&["--show-config", "app.ini"]).run();
        let is_said = |line: &&str| !line.is_empty() && !line.starts_with(';');
        let lines = ended.stdout.lines().filter(is_said).map(str::to_owned);
        lines.collect::<Vec<_>>()
    };
    let directory = ended.place.path().display().to_string();
    let original = ended.place.read("app.ini").replace("%d", &format!("{directory}/"));
    assert_eq!(shown(&ended.stdout), shown(&original));
    assert!(
        ended.stdout.contains("\n; Not in this version:\n;   plugins = x\n"),
        "{}",
        ended.stdout
    );
}

#[test]
fn other_languages_are_refused_with_what_to_write() {
    for (name, text) in [("app.yml", "YAML"), ("app.json", "JSON"), ("app.xml", "XML")] {
        let ended = run(Setup::new(""), &[name]);
        ended.refuses(78, &[&format!("help: {text} is not read: write ")]);
    }
}
