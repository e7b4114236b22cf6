//! The command line.

use crate::support::setup::{Ended, Setup};

fn run(arguments: &[&str]) -> Ended {
    Setup::new("").arguments(arguments).run()
}

#[test]
fn an_unknown_option_is_64_with_a_suggestion() {
    run(&["--procesess=4", "app.ini"]).refuses(64, &["procesess", "did you mean `processes`?"]);
}

#[test]
fn version_names_the_version() {
    let ended = run(&["--version"]);
    let expected = format!("rwsgi {}\n", env!("CARGO_PKG_VERSION"));
    assert_eq!((ended.code(), ended.stdout, ended.stderr), (0, expected, String::new()));
}

#[test]
fn help_lists_the_options() {
    let ended = run(&["--help"]);
    assert_eq!(ended.code(), 0);
    for option in ["--http ", "--wsgi-file ", "--processes ", "--threads ", "--daemonize "] {
        assert!(ended.stdout.contains(option), "{option}\n{}", ended.stdout);
    }
}

#[test]
fn check_imports_and_does_not_serve() {
    let ended = run(&["--check", "app.ini"]);
    assert_eq!(ended.code(), 0, "{}", ended.stderr);
    assert!(ended.stdout.contains("the configuration is good"), "{}", ended.stdout);
}

#[test]
fn check_finds_an_application_that_cannot_be_imported() {
    let setup = Setup::new("").app("import nothing_there\n").arguments(&["--check", "app.ini"]);
    setup.run().refuses(70, &["app.py\", line 1", "No module named 'nothing_there'"]);
}

#[test]
fn check_finds_a_bad_configuration() {
    Setup::new("threads=x").arguments(&["--check", "app.ini"]).run().refuses(78, &["threads = x"]);
}

#[test]
fn show_config_says_what_counts_and_where_it_is_from() {
    let setup = Setup::new("process=4").arguments(&["--show-config", "app.ini"]);
    let ended = setup.run();
    assert_eq!(ended.code(), 0, "{}", ended.stderr);
    assert!(ended.stdout.contains("; app.ini:5:9\nprocesses = 4\n"), "{}", ended.stdout);
    assert!(ended.stdout.contains("; threads = 1\n"), "{}", ended.stdout);
}

#[test]
fn what_show_config_prints_can_be_served() {
    let mut setup = Setup::new("threads=3").arguments(&["--show-config", "app.ini"]);
    assert!(setup.run_again().success());
    let shown = setup.place.read("stdout");
    let server = setup.file("shown.ini", &shown).arguments(&["shown.ini"]).start();
    assert_eq!(server.get("/ok").expect(200).text(), "ok");
    server.wait_for_log("1 worker × 3 threads", 1);
}

#[test]
fn a_server_can_be_configured_by_options_alone() {
    let setup =
        Setup::new("").arguments(&["--http=127.0.0.1:0", "-w", "app:application", "--pp", "."]);
    assert_eq!(setup.start().get("/ok").expect(200).text(), "ok");
}
