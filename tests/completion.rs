//! Completions of the shells, by the shells themselves.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::support::place::Place;

fn file(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("packaging/completion").join(name)
}

fn is_installed(shell: &str) -> bool {
    let paths = std::env::var_os("PATH").unwrap();
    std::env::split_paths(&paths).any(|path| path.join(shell).exists())
}

/// What bash offers for the last of these words, in a directory with two files and a directory.
fn bash(words: &[&str]) -> Vec<String> {
    let place = Place::new();
    place.write("shop.ini", "");
    place.write("shop.pid", "");
    fs::create_dir(place.path().join("shops")).unwrap();
    let script = r#"source "$1"; shift
        COMP_WORDS=(rwsgi "$@") COMP_CWORD=$#
        _rwsgi
        printf '%s\n' "${COMPREPLY[@]}" | LC_ALL=C sort"#;
    let mut command = Command::new("bash");
    command.args(["-c", script, "bash"]).arg(file("rwsgi.bash")).args(words);
    let output = command.current_dir(place.path()).output().unwrap();
    assert_eq!(String::from_utf8_lossy(&output.stderr), "");
    String::from_utf8(output.stdout).unwrap().lines().map(str::to_owned).collect()
}

#[test]
fn bash_offers_commands_and_files_first() {
    assert_eq!(bash(&["rel"]), ["reload"]);
    assert_eq!(bash(&["st"]), ["stacks", "status", "stop"]);
    assert_eq!(bash(&["sh"]), ["shop.ini", "shops"]);
    assert_eq!(bash(&["check", "sh"]), ["shop.ini", "shops"]);
}

#[test]
fn bash_offers_options_and_what_their_values_can_be() {
    assert_eq!(bash(&["--max-req"]), ["--max-requests", "--max-requests-delta"]);
    assert_eq!(bash(&["--ini", "sh"]), ["shop.ini", "shops"]);
    assert_eq!(bash(&["--stop", "sh"]), ["shop.ini", "shop.pid", "shops"]);
    assert_eq!(bash(&["--virtualenv", "sh"]), ["shops"]);
    assert_eq!(bash(&["--logging", "j"]), ["journal"]);
    assert_eq!(bash(&["--logging", "=", "j"]), ["journal"], "bash takes it for three words");
    assert_eq!(bash(&["--logging", "="]), ["auto", "journal", "stderr", "syslog"]);
    assert_eq!(bash(&["--uid", "roo"]), ["root"]);
    assert_eq!(bash(&["--processes", "sh"]), [""], "a number cannot be guessed");
    assert_eq!(bash(&["stacks", "--js"]), ["--json"]);
}

#[test]
fn zsh_can_read_its_completion() {
    if is_installed("zsh") {
        let output = Command::new("zsh").arg("-n").arg(file("_rwsgi")).output().unwrap();
        assert_eq!(String::from_utf8_lossy(&output.stderr), "");
        assert!(output.status.success());
    }
}

#[test]
fn fish_offers_commands_and_options() {
    if is_installed("fish") {
        let place = Place::new();
        let offers = |line: &str| {
            let script = format!("source {}; complete -C '{line}'", file("rwsgi.fish").display());
            let mut command = Command::new("fish");
            command.args(["--no-config", "-c", &script]).env("HOME", place.path());
            let output = command.output().unwrap();
            assert_eq!(String::from_utf8_lossy(&output.stderr), "", "{line}");
            let text = String::from_utf8(output.stdout).unwrap();
            text.lines().map(|line| line.split('\t').next().unwrap().to_owned()).collect::<Vec<_>>()
        };
        assert_eq!(offers("rwsgi rel"), ["reload"]);
        assert_eq!(offers("rwsgi --max-requests-"), ["--max-requests-delta"]);
        assert_eq!(offers("rwsgi --logging j"), ["journal"]);
    }
}
