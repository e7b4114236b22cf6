//! `rwsgi doctor` looks at the machine.

use std::os::unix::fs::PermissionsExt as _;

use crate::support::setup::Setup;

#[test]
fn a_machine_is_looked_at_without_an_instance() {
    let ended = Setup::new("").arguments(&["doctor", "--json"]).run();
    let told: serde_json::Value = serde_json::from_str(&ended.stdout).unwrap();
    let subjects = ["version", "systemd", "python", "extension", "clock", "kernel", "disk"];
    let findings = told["findings"].as_array().unwrap();
    for subject in subjects {
        assert!(findings.iter().any(|it| it["subject"] == subject), "{subject}: {}", ended.stdout);
    }
    for finding in findings.iter().filter(|it| it["grade"] != "ok") {
        assert!(finding["remedy"].is_string(), "{finding}");
    }
}

#[test]
fn an_extension_that_is_not_there_is_an_error_with_a_remedy() {
    let setup = Setup::new("").variable("RWSGI_EXTENSION", "/nowhere/_rwsgi.so");
    let ended = setup.arguments(&["doctor"]).run();
    ended.refuses(71, &["error: extension: /nowhere/_rwsgi.so", "reinstall rwsgi"]);
}

#[test]
fn an_instance_that_is_not_there_says_how_to_make_it() {
    let ended = Setup::new("").arguments(&["doctor", "no-such-instance"]).run();
    let texts = ["there is no /etc/rwsgi/no-such-instance.ini", "rwsgi new no-such-instance"];
    ended.refuses(69, &texts);
}

#[test]
fn an_interpreter_that_does_not_take_the_extension_is_an_error() {
    let setup = Setup::new("").file("_rwsgi.so", "none");
    let extension = setup.place.join("_rwsgi.so").display().to_string();
    // An interpreter that everybody may run: root does not run it as root.
    std::fs::set_permissions(setup.place.path(), std::fs::Permissions::from_mode(0o755)).unwrap();
    let setup = setup.variable("RWSGI_EXTENSION", &extension).variable("PATH", "/usr/bin:/bin");
    let ended = setup.arguments(&["doctor"]).run();
    if std::path::Path::new("/usr/bin/python3").exists() {
        ended.refuses(71, &["does not take the extension", "_rwsgi.so: "]);
    }
}

#[test]
fn an_interpreter_without_a_gil_is_an_error() {
    let real = "/usr/bin/python3";
    let wrapper = format!(
        "#!/bin/sh\nshift 3\nscript=$1\nshift\nexec {real} -I -S -c \"import sys; sys.abiflags = 't'\n$script\" \"$@\"\n"
    );
    let setup = Setup::new("").file("python3", &wrapper);
    let mode = std::fs::Permissions::from_mode(0o755);
    std::fs::set_permissions(setup.place.path(), mode.clone()).unwrap();
    std::fs::set_permissions(setup.place.join("python3"), mode).unwrap();
    let path = format!("{}:/usr/bin:/bin", setup.place.path().display());
    let ended = setup.variable("PATH", &path).arguments(&["doctor"]).run();
    if std::path::Path::new(real).exists() {
        ended.refuses(71, &["does not take the extension", "it is free-threaded"]);
    }
}

#[test]
fn a_wrong_command_line_says_how_it_is_used() {
    let ended = Setup::new("").arguments(&["doctor", "--frob"]).run();
    ended.refuses(64, &["`--frob` is not understood", "rwsgi doctor [NAME]"]);
}

#[test]
fn each_command_explains_itself() {
    for command in ["check", "new", "doctor"] {
        let ended = Setup::new("").arguments(&[command, "--help"]).run();
        assert_eq!(ended.code(), 0, "{}", ended.stderr);
        assert!(ended.stdout.starts_with(&format!("Usage: rwsgi {command} ")), "{}", ended.stdout);
        assert!(ended.stdout.contains("\nExit codes:\n"), "{}", ended.stdout);
    }
}
