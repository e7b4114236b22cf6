//! `rwsgi doctor` looks at the machine.

use crate::support::setup::Setup;

#[test]
fn a_machine_is_looked_at_without_an_instance() {
    let ended = Setup::new("").arguments(&["doctor", "--json"]).run();
    let told: serde_json::Value = serde_json::from_str(&ended.stdout).unwrap();
    let subjects = ["version", "systemd", "python", "extension", "kernel", "disk"];
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
fn an_instance_that_does_not_run_says_how_to_start_it() {
    let ended = Setup::new("").arguments(&["doctor", "no-such-instance"]).run();
    let texts = ["no-such-instance does not run", "rwsgi check no-such-instance"];
    ended.refuses(0, &texts);
}

#[test]
fn a_wrong_command_line_says_how_it_is_used() {
    Setup::new("").arguments(&["doctor", "--frob"]).run().refuses(64, &["rwsgi doctor [NAME]"]);
}
