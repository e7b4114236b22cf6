//! Hooks: `hook-…`, `exec-…`.

use std::collections::BTreeSet;
use std::process::Command;

use nix::sys::signal::{Signal, kill};
use nix::unistd::{Pid, geteuid};

use crate::support::server::Server;
use crate::support::setup::{Ended, Setup, python};
use crate::support::upgrade::{replaceable, upgrade};
use crate::support::uwsgi::Uwsgi;
use crate::support::wait;

/// Says in the trace that it is imported, and answers with a variable and its directory.
const APP: &str = "
import os

with open(os.environ['TRACE'], 'a') as trace:
    trace.write('import\\n')

def application(environ, start_response):
    start_response('200 OK', [])
    answer = '%s %s' % (os.environ.get('LEFT'), os.path.basename(os.getcwd()))
    return [answer.encode()]
";

/// Every stage that commands have, and every one that only hooks have.
const COMMANDS: [&str; 9] = [
    "asap",
    "pre-jail",
    "post-jail",
    "in-jail",
    "as-root",
    "as-user",
    "pre-app",
    "post-app",
    "as-user-atexit",
];
const HOOKS: [&str; 6] =
    ["master-start", "post-fork", "accepting", "accepting1", "accepting-once", "accepting1-once"];

fn setup(lines: &str) -> Setup {
    let setup = Setup::new(lines).app(APP);
    let trace = setup.place.join("trace").display().to_string();
    setup.variable("TRACE", &trace)
}

/// The lines of an INI file that have each stage say so in the trace; what is to run last comes first.
fn traced(file: &str) -> String {
    let command = |name: &str| format!("echo {name} >> {file}");
    let mut lines = String::new();
    for stage in COMMANDS {
        let name = format!("exec-{stage}");
        lines.push_str(&format!("{name} = {}\n", command(&name)));
    }
    for stage in COMMANDS.iter().chain(&HOOKS).rev() {
        let name = format!("hook-{stage}");
        lines.push_str(&format!("{name} = exec:{}\n", command(&name)));
    }
    lines
}

fn trace(server: &Server) -> Vec<String> {
    server.place.read("trace").lines().map(str::to_owned).collect()
}

/// The trace, once it has this many lines.
fn trace_of(server: &Server, count: usize) -> Vec<String> {
    wait::until("the trace", || {
        let lines = trace(server);
        (lines.len() >= count).then_some(lines)
    })
}

fn names(text: &str) -> Vec<String> {
    text.split_whitespace().map(str::to_owned).collect()
}

const START: &str = "hook-asap exec-asap hook-pre-jail exec-pre-jail hook-in-jail exec-in-jail \
                     hook-as-root exec-as-root hook-as-user exec-as-user hook-pre-app exec-pre-app \
                     import hook-post-app exec-post-app hook-master-start hook-post-fork \
                     hook-accepting hook-accepting-once hook-accepting1 hook-accepting1-once";
const RELOAD: &str = "hook-asap exec-asap hook-in-jail exec-in-jail hook-as-user exec-as-user \
                      hook-pre-app exec-pre-app import hook-post-app exec-post-app \
                      hook-master-start hook-post-fork hook-accepting hook-accepting-once \
                      hook-accepting1 hook-accepting1-once";

/// Without root that is told, and not done.
fn start() -> Vec<String> {
    let mut all = names(START);
    all.retain(|name| geteuid().is_root() || !name.ends_with("-as-root"));
    all
}

#[test]
fn each_stage_has_its_turn() {
    let mut server = setup(&traced("$TRACE")).start();
    assert_eq!(trace(&server), start());
    let mut done = trace(&server).len();
    server.reload(1);
    assert_eq!(trace(&server)[done..], names(RELOAD));
    done = trace(&server).len();
    server.wait_for_log(") serves", 2);
    // One that takes the place of another of the same code is not the first.
    kill(Pid::from_raw(*server.workers().last().unwrap()), Signal::SIGKILL).unwrap();
    let again = names("hook-post-fork hook-accepting hook-accepting1");
    assert_eq!(trace_of(&server, done + 3)[done..], again);
    server.wait_for_log(") serves", 3);
    done += 3;
    assert!(server.stop().success());
    assert_eq!(trace(&server)[done..], names("hook-as-user-atexit exec-as-user-atexit"));
}

#[test]
fn uwsgi_has_the_same_order() {
    let place = setup("").place;
    let file = place.join("trace").display().to_string();
    let lines =
        format!("wsgi-file = app.py\nmaster = true\nenv = TRACE={file}\n{}", traced("$TRACE"));
    let uwsgi = Uwsgi::start(&place, "python3", &lines);
    let said = wait::until("uWSGI", || {
        let said = place.read("trace");
        said.contains("accepting1-once").then_some(said)
    });
    drop(uwsgi);
    // There, some have their turn several times.
    let mut seen = BTreeSet::new();
    let first: Vec<_> = said.lines().filter(|line| seen.insert(line.to_owned())).collect();
    assert_eq!(first, start());
}

fn refused(lines: &str) -> Ended {
    setup(lines).run()
}

#[test]
fn a_hook_that_fails_ends_the_start() {
    for stage in COMMANDS.iter().chain(&HOOKS) {
        let is_silent = ["post-jail", "as-user-atexit"].contains(stage);
        if is_silent || *stage == "as-root" && !geteuid().is_root() {
            continue;
        }
        let place = format!("hook-{stage} (");
        let ended = refused(&format!("hook-{stage} = exec:echo said by it; exit 3"));
        let how = "app.ini:5:";
        ended.refuses(70, &[&place, how, "exited with code 3", "said by it"]);
        let told = ended.stderr.find("said by it").unwrap();
        assert!(told < ended.stderr.rfind("exited with code 3").unwrap(), "{}", ended.stderr);
    }
    refused("exec-pre-app = no-such-command")
        .refuses(70, &["exec-pre-app (", "the shell has not found it"]);
    refused("hook-asap = unlink:nothing").refuses(70, &["`unlink:nothing` has failed: No such"]);
    assert!(!refused("hook-pre-app = exec:exit 3").place.join("trace").exists(), "not imported");
}

#[test]
fn a_hook_that_fails_ends_a_reload_and_the_old_code_serves_on() {
    let stages = ["asap", "in-jail", "as-user", "pre-app", "post-app"];
    let hooks = ["master-start", "post-fork", "accepting", "accepting1-once"];
    let lines: String = stages
        .iter()
        .chain(&hooks)
        .map(|stage| format!("hook-{stage} = exec:test ! -e {stage}.fails\n"))
        .collect();
    let server = setup(&lines).start();
    for (count, stage) in (1..).zip(stages.iter().chain(&hooks)) {
        let file = format!("{stage}.fails");
        server.place.write(&file, "");
        server.reload(count);
        server.wait_for_log("reload failed, the old code serves on", count);
        server.wait_for_log(&format!("hook-{stage} (app.ini"), 1);
        server.get("/").expect(200);
        std::fs::remove_file(server.place.join(&file)).unwrap();
    }
    server.reload(stages.len() + hooks.len() + 1);
    server.wait_for_log("reloaded: 1 worker", 1);
}

#[test]
fn what_hooks_leave_is_there_for_the_application() {
    let lines = "hook-asap = putenv:LEFT=asap\nhook-pre-app = mkdir:sub\nhook-pre-app = cd:sub\n\
                 hook-pre-app = exec:test \"$LEFT\" = asap && touch ../from-sub\n\
                 hook-pre-app = cd:..\nhook-post-app = cd:sub\nhook-post-fork = mkdir:worker\n\
                 hook-post-fork = chdir:worker";
    let server = setup(lines).start();
    assert_eq!(server.get("/").expect(200).text(), "asap worker");
    assert!(server.place.join("sub/worker").is_dir() && server.place.join("from-sub").exists());
    server.reload(1);
    assert_eq!(server.get("/").expect(200).text(), "asap worker");
    let lines = "lazy-apps = true\nhook-in-jail = putenv:LEFT=a\nhook-pre-app = putenv:LEFT=b\n\
                 hook-post-app = cd:/";
    assert_eq!(setup(lines).start().get("/").expect(200).text(), "b ");
}

#[test]
fn with_lazy_apps_migrations_run_once() {
    let lines = "lazy-apps = true\nprocesses = 3\nhook-pre-app = exec:echo before >> trace\n\
                 hook-post-app = exec:echo after >> trace";
    let server = setup(lines).start();
    let mut lines = trace(&server);
    assert_eq!(lines.remove(0), "before");
    lines.sort();
    assert_eq!(lines, names("after after after import import import"));
}

#[test]
fn a_command_that_takes_too_long_is_ended() {
    for stage in ["asap", "pre-app", "accepting"] {
        let lines = format!("hook-timeout = 1\nhook-{stage} = exec:sleep 600 & wait");
        let told = format!("hook-{stage} (");
        refused(&lines).refuses(70, &[&told, "has not ended after 1 s (hook-timeout)"]);
    }
}

/// An instance that is stopped as soon as its hook of this stage says that it has begun.
fn stopped_in(stage: &str, lines: &str) -> Server {
    let mut server = Server::launch(setup(lines));
    if stage == "as-user-atexit" {
        server.wait_for_notification("READY=1", 1);
        server.signal(Signal::SIGTERM);
    }
    server.wait_for_log(": begun", 1);
    server.stop();
    server
}

#[test]
fn root_looks_for_no_program_in_the_environment_of_another_user() {
    if !geteuid().is_root() {
        return;
    }
    // It ends the start, so that nothing has to be served.
    let path_of = |lines: &str| {
        let lines =
            format!("virtualenv = %d/venv\nhook-asap = exec:echo path=$PATH.; exit 3\n{lines}");
        let setup = setup(&lines);
        let venv = setup.place.join("venv");
        let made = Command::new(python()).args(["-m", "venv", "--without-pip"]).arg(&venv).status();
        assert!(made.unwrap().success());
        let ended = setup.run();
        assert!(ended.stderr.contains("path="), "{}", ended.stderr);
        ended.stderr.contains(&format!("path={}/bin:", venv.display()))
    };
    assert!(!path_of("uid = nobody\ngid = 1"));
    assert!(path_of(""));
    assert!(!path_of("uid = nobody\ngid = 1\nenv = PATH=/bin"));
}

#[test]
fn a_stop_ends_a_hook_of_the_start() {
    for stage in ["asap", "pre-app", "post-fork", "as-user-atexit"] {
        // Whatever is left of it when the test ends fails it.
        let lines =
            format!("hook-{stage} = exec:echo begun; sleep 600 & sleep 600; touch survived");
        let server = stopped_in(stage, &lines);
        // A template and a worker are sent away with their hooks, and say no more.
        if !matches!(stage, "pre-app" | "post-fork") {
            server.wait_for_log("was ended: rwsgi ends", 1);
        }
        assert!(!server.place.join("survived").exists(), "{}", server.log());
    }
}

#[test]
fn a_stop_ends_what_does_not_want_to_end() {
    for stage in ["asap", "pre-app", "post-fork", "as-user-atexit"] {
        // Whatever is left of it when the test ends fails it.
        let lines = format!(
            "worker-reload-mercy = 1\nhook-{stage} = exec:trap '' TERM; sleep 600 & echo begun; sleep 600"
        );
        stopped_in(stage, &lines);
    }
}

#[test]
fn a_command_that_is_ended_leaves_nothing_that_does_not_want_to_end() {
    let lines = "hook-timeout = 1\nhook-pre-app = exec:(trap '' TERM; sleep 600) & wait";
    refused(lines).refuses(70, &["has not ended after 1 s (hook-timeout)"]);
}

#[test]
fn what_is_ordered_during_a_hook_of_the_start_is_done_after_it() {
    let lines = "exec-asap = echo begun; until test -e go; do sleep 0.02; done";
    let mut server = Server::launch(setup(lines));
    server.wait_for_log("exec-asap: begun", 1);
    for signal in [Signal::SIGUSR1, Signal::SIGUSR2, Signal::SIGHUP] {
        server.signal(signal);
    }
    server.place.write("go", "");
    server.wait_for_log("reloaded: 1 worker", 1);
    server.get("/").expect(200);
    assert!(server.stop().success());
}

#[test]
fn systemd_is_asked_to_wait_for_a_hook_of_the_start() {
    let lines = "exec-asap = until test -e go; do sleep 0.1; done";
    let server = Server::launch(setup(lines));
    server.wait_for_notification("EXTEND_TIMEOUT_USEC=", 1);
    assert!(!server.place.join("trace").exists());
    server.place.write("go", "");
    server.wait_for_notification("READY=1", 1);
}

#[test]
fn what_may_fail_and_what_is_secret() {
    let lines = "hook-pre-app = safeexec:exit 4\nhook-pre-app = !exec:test hunter2\n\
                 hook-as-user-atexit = exec:exit 5\nhook-as-user-atexit = print:the end\n\
                 hook-master-start = unix_signal:15 gracefully_kill_them_all";
    let mut server = setup(lines).start();
    server.wait_for_log("`safeexec:exit 4` exited with code 4", 1);
    server.wait_for_log("hook-pre-app: (not shown)", 1);
    server.wait_for_log("is not needed: it is always so", 1);
    assert!(server.stop().success());
    let log = server.log();
    assert!(log.contains("exited with code 5") && log.contains("the end"), "{log}");
    assert!(!log.contains("hunter2"), "{log}");
}

#[test]
fn a_touched_file_has_a_hook() {
    let lines = "hook-touch = go exec:cat go >> out; test ! -e fails\n\
                 hook-touch = note writen:noted it is";
    let server = setup(lines).start();
    server.place.write("go", "one\n");
    let read = |text: &str| {
        wait::until(text, || {
            let path = server.place.join("out");
            std::fs::read_to_string(path).ok().filter(|out| out == text)
        })
    };
    read("one\n");
    server.place.write("fails", "");
    server.place.write("go", "two\n");
    read("one\ntwo\n");
    server.wait_for_log("hook-touch (app.ini:5:", 1);
    server.wait_for_log("exited with code 1", 1);
    server.place.write("note", "");
    wait::until("the note", || server.place.join("noted").exists().then_some(()));
    server.get("/").expect(200);
}

#[test]
fn a_file_that_is_touched_while_its_hook_runs_has_it_run_again() {
    let lines = "hook-touch = go exec:echo begun >> out; until test -e open; do sleep 0.02; done";
    let server = setup(lines).start();
    let runs = |count: usize| {
        wait::until("the hook", || {
            let out = std::fs::read_to_string(server.place.join("out")).unwrap_or_default();
            (out.lines().count() == count).then_some(())
        });
    };
    server.place.write("go", "1");
    runs(1);
    for count in 2..4 {
        server.place.write("go", &"x".repeat(count));
        server.wait_for_log("go has changed (hook-touch)", count);
    }
    runs(1);
    server.place.write("open", "");
    runs(2);
}

#[test]
fn a_takeover_repeats_no_start_and_a_touch_hook_outlives_it() {
    let lines = "hook-asap = exec:echo asap >> trace\nhook-pre-jail = exec:echo once >> trace\n\
                 hook-accepting1 = exec:echo accepting >> trace\n\
                 hook-touch = go exec:echo begun >> out; until test -e open; do sleep 0.02; done; exit 9";
    let server = replaceable(setup(lines)).start();
    assert_eq!(trace(&server), names("asap once import accepting"));
    server.place.write("go", "");
    server.wait_for_log("hook-touch: ", 1);
    upgrade(&server.place);
    server.signal(Signal::SIGHUP);
    server.wait_for_log(" has taken over from ", 1);
    server.wait_for_notification("READY=1", 2);
    assert_eq!(trace(&server)[4..], names("asap import accepting"));
    server.place.write("open", "");
    server.wait_for_log("exited with code 9", 1);
}

#[test]
fn a_hook_of_a_worker_is_ended_by_a_program_that_has_taken_over() {
    // The second worker never comes to serve; whatever is left of its hook when the test ends fails it.
    let lines = "hook-accepting = exec:test ! -e hang || { trap '' TERM; echo hangs; sleep 600; }";
    let server = replaceable(setup(lines)).start();
    server.place.write("hang", "");
    kill(Pid::from_raw(server.workers()[0]), Signal::SIGKILL).unwrap();
    server.wait_for_log(": hangs", 1);
    std::fs::remove_file(server.place.join("hang")).unwrap();
    upgrade(&server.place);
    server.signal(Signal::SIGHUP);
    server.wait_for_log(" has taken over from ", 1);
    server.wait_for_log("reloaded: 1 worker", 1);
    server.get("/").expect(200);
}

#[test]
fn a_check_runs_no_hooks() {
    let lines = "hook-asap = create:made\nhook-pre-app = create:made\nexec-as-user = touch made\n\
                 hook-touch = x create:made";
    let ended = setup(lines).arguments(&["check", "app.ini"]).run();
    assert!(ended.stdout.contains("4 hooks, not run here"), "{}\n{}", ended.stdout, ended.stderr);
    assert!(!ended.place.join("made").exists());
    let ended = setup("hook-asap = exce:true").arguments(&["check", "app.ini"]).run();
    ended.refuses(78, &["app.ini:5:13", "the action `exce`, which is none of uWSGI's", "`exec`"]);
}

#[test]
fn c_functions_are_refused_with_what_to_write_instead() {
    refused("call-pre-app = prepare").refuses(78, &["names a C function", "`import`"]);
    refused("hook-pre-app = call:prepare").refuses(78, &["`call` calls a C function"]);
    refused("hook-as-root = mount:none /tmp tmpfs").refuses(78, &["BindPaths="]);
}
