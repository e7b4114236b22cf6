//! `rwsgi check` looks at configuration, sockets, permissions and import together.

use std::os::unix::fs::PermissionsExt as _;
use std::os::unix::net::UnixListener;

use crate::support::setup::{Ended, Setup};

fn check(setup: Setup) -> Ended {
    setup.arguments(&["check", "./app.ini"]).run()
}

fn checked(lines: &str) -> Ended {
    check(Setup::new(lines))
}

#[test]
fn what_is_good_is_told_and_nothing_else() {
    let ended = checked("");
    assert_eq!((ended.code(), ended.stderr.as_str()), (0, ""));
    for text in ["ok: socket: 127.0.0.1:0 is free", "ok: project: ", "ok: application: app: the"] {
        assert!(ended.stdout.contains(text), "no `{text}` in:\n{}", ended.stdout);
    }
}

#[test]
fn all_that_is_wrong_is_told_at_once() {
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap();
    let lines = format!("http = {address}\nstatic-map = /static=%d/collected");
    let ended = check(Setup::new(&lines).app("import nothing_there\n"));
    let occupant = format!("error: socket: {address} is in use by ");
    let pid = format!("(pid {})", std::process::id());
    let statics = "warning: static files: ";
    ended.refuses(
        71,
        &[&occupant, &pid, statics, "collected does not exist", "error: application:"],
    );
}

#[test]
fn errors_do_not_hide_what_becomes_of_the_other_options() {
    let lines = "thunder-lock = true\nlimit-as = 512\nthreads = x\nfrobnicate = 1\nchroot = /srv";
    let ended = checked(lines);
    // Besides, `http`, `chdir`, `wsgi-file`, and `python` of the environment.
    let summary = "warning: options: 4 options are obeyed; not needed: thunder-lock; replaced: limit-as; \
                   not supported: chroot; wrong: threads; unknown: frobnicate\n";
    let why = "`thunder-lock` is not needed: the kernel wakes";
    assert!(ended.stdout.contains(why), "{}", ended.stdout);
    let at = |text: &str| ended.stderr.find(text).unwrap_or_else(|| panic!("{}", ended.stderr));
    let order = ["a worker has no limit of its own", summary, "error: configuration: "].map(at);
    assert!(order.is_sorted(), "{}", ended.stderr);
    ended.refuses(78, &["`threads = x`", "`frobnicate`", "`chroot` cannot be obeyed"]);
    // What is above the line that cannot be obeyed, and below it, was read.
    let ended = checked("threads = 2\ninclude = nothing.ini\nthunder-lock = true");
    let texts =
        ["options: of what could be read, 5 options are obeyed; not needed: thunder-lock\n"];
    ended.refuses(78, &texts);
    assert_eq!(ended.stderr.matches("error: ").count(), 1, "{}", ended.stderr);
}

#[test]
fn a_server_that_runs_has_its_address_still() {
    let place = Setup::new("socket = app.sock");
    let _taken = UnixListener::bind(place.place.join("app.sock")).unwrap();
    check(place).refuses(71, &["app.sock is in use by", &std::process::id().to_string()]);
}

#[test]
fn as_json_each_finding_has_grade_subject_and_remedy() {
    let setup = Setup::new("static-map = /static=%d/collected");
    let ended = setup.arguments(&["check", "./app.ini", "--json"]).run();
    assert_eq!((ended.code(), ended.stderr.as_str()), (0, ""));
    let told: serde_json::Value = serde_json::from_str(&ended.stdout).unwrap();
    assert_eq!(told["ok"], true);
    let findings = told["findings"].as_array().unwrap();
    let statics = findings.iter().find(|it| it["subject"] == "static files").unwrap();
    assert_eq!((statics["grade"].as_str(), statics["remedy"].is_string()), (Some("warning"), true));
    let setup = Setup::new("threads = x").arguments(&["check", "./app.ini", "--json"]);
    let ended = setup.run();
    assert_eq!(ended.code(), 78, "{}", ended.stdout);
    assert!(ended.stdout.contains("threads = x"), "{}", ended.stdout);
}

#[test]
fn the_kernel_is_asked_as_the_user_that_serves() {
    if !nix::unistd::geteuid().is_root() {
        return;
    }
    let setup = Setup::new("uid = nobody");
    let mode = |path: &str, mode: u32| {
        let mode = std::fs::Permissions::from_mode(mode);
        std::fs::set_permissions(setup.place.join(path), mode).unwrap();
    };
    mode("", 0o755);
    mode("app.py", 0o600);
    let file = setup.place.join("app.py");
    let closed = format!(
        "error: project: user nobody may not read {} (-rw------- root:root)",
        file.display()
    );
    // Root could import it.
    let texts = [&closed, "-> setfacl -m u:nobody:r ", "error: application: "];
    check(setup).refuses(77, &texts);
}

#[test]
fn a_port_that_needs_a_privilege_is_told_before_the_start() {
    if !nix::unistd::geteuid().is_root() {
        let ended = checked("http = 127.0.0.1:81");
        ended.refuses(71, &["may not bind ports below 1024", ".socket unit"]);
    }
}

#[test]
fn an_instance_is_found_by_its_name() {
    let setup = Setup::new("").arguments(&["check", "no-such-instance"]);
    setup.run().refuses(78, &["/etc/rwsgi/no-such-instance.ini"]);
}

#[test]
fn who_has_the_port_is_told_by_a_start_too() {
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let setup = Setup::new(&format!("http = {}", taken.local_addr().unwrap()));
    let pid = format!("(pid {})", std::process::id());
    setup.run().refuses(71, &["another server listens there: ", &pid]);
}

#[test]
fn what_django_writes_is_looked_at() {
    let settings = "MEDIA_ROOT = 'media'\nDATABASES = {'default': {'ENGINE': 'django.db.backends.sqlite3', \
                    'NAME': 'data/db.sqlite3'}, 'memory': {'ENGINE': 'x.sqlite3', 'NAME': ':memory:'}}\n";
    let conf = "import importlib, os\nsettings = importlib.import_module(os.environ['DJANGO_SETTINGS_MODULE'])\n";
    let setup = Setup::new("env = DJANGO_SETTINGS_MODULE=shop_settings");
    for directory in ["django", "django/conf"] {
        std::fs::create_dir(setup.place.join(directory)).unwrap();
    }
    let setup = setup.file("shop_settings.py", settings).file("django/__init__.py", "");
    let ended = check(setup.file("django/conf/__init__.py", conf));
    let at = |name: &str| format!("{}/{name}", ended.place.path().display());
    let database = format!("error: database: {} does not exist", at("data"));
    let uploads = format!("warning: uploads: MEDIA_ROOT {} does not exist", at("media"));
    ended.refuses(71, &[&database, &uploads, "  -> install -d -o "]);
}

#[test]
fn a_virtual_environment_whose_interpreter_is_gone_says_where_it_led() {
    let setup = Setup::new("virtualenv = venv");
    std::fs::create_dir_all(setup.place.join("venv/bin")).unwrap();
    std::os::unix::fs::symlink("/usr/bin/python3.1", setup.place.join("venv/bin/python")).unwrap();
    let texts = ["is a link to `/usr/bin/python3.1`, which does not exist", "-m venv"];
    check(setup).refuses(78, &texts);
}

#[test]
fn packages_of_another_python_are_told_before_the_import_fails() {
    let setup = Setup::new("virtualenv = venv");
    std::fs::create_dir_all(setup.place.join("venv/bin")).unwrap();
    for name in ["python", "python3"] {
        let link = setup.place.join("venv/bin").join(name);
        std::os::unix::fs::symlink(crate::support::setup::python(), link).unwrap();
    }
    let setup = setup.file("venv/pyvenv.cfg", "home = /usr/bin\nversion = 3.5.3\n");
    check(setup).refuses(78, &["venv was made by Python 3.5 ", "python3 -m venv --clear"]);
}

#[test]
fn root_runs_no_command_of_the_file_that_is_checked() {
    if !nix::unistd::geteuid().is_root() {
        eprintln!("skipped: only root does without");
        return;
    }
    let lines = "env = WHO=@(exec://touch ran; id -u)\nenv = WHERE=here";
    let ended = Setup::new(lines).arguments(&["check", "./app.ini"]).run();
    assert!(!ended.place.join("ran").exists());
    ended.refuses(0, &["`env` is not looked at: no command is run for it here"]);
    let lines = "[rwsgi]\nhttp = 127.0.0.1:0\nmodule = @(exec://touch ran; echo app)\n";
    let ended = Setup::classic(lines).arguments(&["check", "./app.ini"]).run();
    assert!(!ended.place.join("ran").exists());
    ended.refuses(78, &["app.ini:3:10: `module` is not looked at", "no application"]);
}
