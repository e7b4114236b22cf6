//! What is wrong with a configuration, with the place.

use crate::support::server::Server;
use crate::support::setup::Setup;

#[test]
fn an_unknown_key_is_shown_with_a_suggestion() {
    let expected = "error: app.ini:5:1: there is no option `procesess`\n  |\n5 | procesess = 3\n  \
        | ^^^^^^^^^\n  help: did you mean `processes`?";
    Setup::new("procesess = 3").run().refuses(78, &[expected]);
}

#[test]
fn a_mistake_beside_names_that_begin_alike_is_no_less_of_one() {
    let expected = [
        "no option `touch-relaod`",
        "did you mean `touch-reload`?",
        "no option `harakiri-garce`",
        "did you mean `harakiri-grace`?",
        "no option `cheaper-stpe`",
        "did you mean `cheaper-step`?",
    ];
    let lines = "touch-relaod = x\nharakiri-garce = 5\ncheaper-stpe = 2";
    Setup::new(lines).run().refuses(78, &expected);
}

#[test]
fn every_error_is_told_at_once_each_on_lines_of_its_own() {
    let ended = Setup::new("listen=abc\nbuffer-size=1").run();
    let errors = ended.stderr.lines().filter(|line| line.starts_with("error: app.ini:")).count();
    assert_eq!(errors, 2, "{}", ended.stderr);
    assert!(ended.stderr.ends_with('\n'), "{}", ended.stderr);
    ended.refuses(78, &["`listen = abc` is not a whole number", "`buffer-size = 1` is less than"]);
}

#[test]
fn no_application_is_told_with_what_to_add() {
    let setup = Setup::classic("[rwsgi]\nhttp = 127.0.0.1:0\n");
    setup.run().refuses(78, &["there is no application to serve", "wsgi-file = "]);
}

#[test]
fn nowhere_to_listen_is_told_with_what_to_add() {
    let setup = Setup::classic("[rwsgi]\nwsgi-file = app.py\n");
    setup.run().refuses(78, &["there is nowhere to listen", "http = 127.0.0.1:8000"]);
}

#[test]
fn a_wsgi_file_that_is_missing_is_told() {
    let setup = Setup::classic("[rwsgi]\nhttp = 127.0.0.1:0\nwsgi-file = nope.py\n");
    setup.run().refuses(78, &["app.ini:3:", "nope.py", "^^^^"]);
}

#[test]
fn an_ini_file_that_is_missing_is_told() {
    let ended = Setup::new("").arguments(&["nope.ini"]).run();
    assert!([64, 78].contains(&ended.code()), "{}", ended.stderr);
    assert!(ended.stderr.contains("nope.ini"), "{}", ended.stderr);
}

#[test]
fn process_instead_of_processes_warns_and_gives_four_workers() {
    let server = Server::new("process=4");
    server.wait_for_log("`process` is taken for `processes`", 1);
    assert_eq!(server.workers().len(), 4);
}
