//! Files that start a reload: `touch-reload`, `touch-workers-reload`, `py-autoreload`; and
//! `rwsgi reload --workers`.

use std::os::unix::fs::symlink;
use std::time::{Duration, Instant};

use crate::support::load::under_load;
use crate::support::server::Server;
use crate::support::setup::Setup;
use crate::support::wait;

const MOODY: &str = include_str!("support/apps/moody.py");

/// It imports one module at once, and another one with the first request.
const IMPORTER: &str = "\
import early
def application(environ, start_response):
    import late
    start_response('200 OK', [])
    return [(early.WORD + late.WORD).encode()]
";

fn word(server: &Server, module: &str, text: &str) {
    server.place.write(module, &format!("WORD = {text}\n"));
}

#[test]
fn a_touched_file_reloads_and_one_that_is_missing_is_told() {
    let server = Setup::new("touch-reload=go").app(MOODY).start();
    server.wait_for_log("go` does not exist", 1);
    server.place.write("label", "second");
    server.place.write("go", "");
    server.wait_for_log("reloaded: 1 worker", 1);
    assert!(server.get("/").expect(200).text().starts_with("second"));
    server.place.write("go", "again");
    server.wait_for_log("reloaded: 1 worker", 2);
    server.wait_for_log("go has changed (touch-reload)", 2);
}

#[test]
fn a_release_that_is_switched_reloads() {
    let setup = Setup::new("touch-reload=current/release").app(MOODY);
    for release in ["one", "two"] {
        std::fs::create_dir(setup.place.join(release)).unwrap();
        setup.place.write(&format!("{release}/release"), release);
    }
    symlink("one", setup.place.join("current")).unwrap();
    let server = setup.start();
    symlink("two", server.place.join("next")).unwrap();
    std::fs::rename(server.place.join("next"), server.place.join("current")).unwrap();
    server.wait_for_log("reloaded: 1 worker", 1);
}

#[test]
fn another_touched_file_replaces_the_workers_only() {
    let server = Setup::new("touch-workers-reload=go\nprocesses=2").app(MOODY).start();
    server.place.write("label", "second");
    server.place.write("go", "");
    server.wait_for_log("2 workers were replaced", 1);
    assert!(server.get("/").expect(200).text().starts_with("first"), "the same code");
}

#[test]
fn changed_modules_reload_also_those_that_requests_import() {
    let setup = Setup::new("py-autoreload=1\npythonpath=.").app(IMPORTER);
    let setup = setup.file("early.py", "WORD = 'a'\n").file("late.py", "WORD = 'x'\n");
    let server = setup.variable("PYTHONDONTWRITEBYTECODE", "1").start();
    assert_eq!(server.get("/").expect(200).text(), "ax");
    word(&server, "early.py", "'b'");
    server.wait_for_log("reloaded: 1 worker", 1);
    assert_eq!(server.get("/").expect(200).text(), "bx");
    // The master hears of the import about when the client hears of the answer: what is changed before
    // it watches is not noticed until it is changed again.
    let mut changed = None::<Instant>;
    wait::until("a reload for what a request has imported", || {
        if changed.is_none_or(|last| last.elapsed() > Duration::from_secs(4)) {
            word(&server, "late.py", "'y'");
            changed = Some(Instant::now());
        }
        (server.log().matches("reloaded: 1 worker").count() > 1).then_some(())
    });
    assert_eq!(server.get("/").expect(200).text(), "by");
    server.place.write("app.py", &IMPORTER.replace("early.WORD", "'c'"));
    server.wait_for_log("reloaded: 1 worker", 3);
    assert_eq!(server.get("/").expect(200).text(), "cy");
}

#[test]
fn a_module_that_is_broken_is_watched_until_it_is_mended() {
    let setup = Setup::new("py-autoreload=1\npythonpath=.").app(IMPORTER);
    let setup = setup.file("early.py", "WORD = 'a'\n").file("late.py", "WORD = 'x'\n");
    let server = setup.variable("PYTHONDONTWRITEBYTECODE", "1").start();
    word(&server, "early.py", "(");
    server.wait_for_log("reload failed, the old code serves on", 1);
    assert_eq!(server.get("/").expect(200).text(), "ax");
    word(&server, "early.py", "'b'");
    server.wait_for_log("reloaded: 1 worker", 1);
    assert_eq!(server.get("/").expect(200).text(), "bx");
}

/// A server with a control socket, and `rwsgi reload --workers` for it.
fn replace_all(lines: &str, meanwhile: impl FnOnce(&Server, &dyn Fn() -> (i32, String))) {
    let setup = Setup::new(lines).app(MOODY);
    let directory = setup.place.path().display().to_string();
    let server = setup.variable("RUNTIME_DIRECTORY", &directory).start();
    let path = server.place.join("control").display().to_string();
    let command = || {
        let ended = Setup::new("").arguments(&["reload", "--workers", &path]).run();
        (ended.code(), format!("{}{}", ended.stdout, ended.stderr))
    };
    meanwhile(&server, &command);
}

#[test]
fn all_workers_are_replaced_and_nothing_is_lost() {
    replace_all("processes=3\ndisable-logging=true", |server, command| {
        let before = server.workers();
        under_load(server.address(), true, |_| {
            assert_eq!(command(), (0, "3 workers were replaced\n".into()));
        });
        let gone = || server.place.processes().iter().all(|pid| !before.contains(pid));
        wait::until("the old ones to leave", || gone().then_some(()));
    });
}

#[test]
fn with_lazy_apps_the_code_is_new_and_a_failure_is_answered() {
    replace_all("processes=2\nlazy-apps=true", |server, command| {
        server.place.write("label", "second");
        assert_eq!(command().0, 0);
        (0..4).for_each(|_| assert!(server.get("/").expect(200).text().starts_with("second")));
        server.place.write("app.py", "import nothing_there\n");
        let (code, said) = command();
        assert_eq!(code, 1, "{said}");
        assert!(said.contains("2 of 2 workers were not replaced"), "{said}");
        (0..4).for_each(|_| assert!(server.get("/").expect(200).text().starts_with("second")));
    });
}
